/* tun/netlink.h - addresses, routes, MTU and state of a link, by rtnetlink (libmnl)
 *
 * Blocking calls with the kernel's acknowledgement; each opens a socket of its own and is over in microseconds.
 * Thread: loop, at start and on changes, never per packet.  Errors: negative errno, the kernel's own. */
#ifndef TUN_NETLINK_H
#define TUN_NETLINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int netlink_link_up(int ifindex, unsigned mtu_bytes); /* mtu 0: as it is */
int netlink_link_mtu(int ifindex);                    /* the MTU, or negative errno */
/* `addr` has `len` 4 or 16 bytes. Adding what is there already is fine (0), so is removing what is not. IPv6 addresses
 * are added without duplicate address detection. */
int netlink_addr_add(int ifindex, const uint8_t *addr, size_t len, unsigned prefix_bits);
int netlink_addr_del(int ifindex, const uint8_t *addr, size_t len, unsigned prefix_bits);
int netlink_route_add(int ifindex, const uint8_t *prefix, size_t len, unsigned prefix_bits);
int netlink_route_del(int ifindex, const uint8_t *prefix, size_t len, unsigned prefix_bits);

struct netlink_way { /* how the kernel would send to an address now */
	int ifindex;
	uint8_t len;         /* of the addresses: 4 or 16 */
	uint8_t source[16];  /* ours; zeros: none chosen */
	uint8_t gateway[16]; /* the next router, if has_gateway */
	bool has_gateway;
	bool is_tunnel; /* the link is point-to-point, a TUN or a TAP: some overlay's, ours among them, or a modem's */
};
/* Nothing is sent. With ifindex only through that link. -ENETUNREACH: not at all. */
int netlink_way_to(struct netlink_way *out, int ifindex, const uint8_t *dst, size_t len);

struct netlink_address {
	int ifindex;
	uint8_t len; /* 4 or 16 */
	uint8_t addr[16];
	uint8_t prefix_bits;
	bool is_deprecated, is_tentative;
	bool is_up;             /* the link is up and running */
	bool is_point_to_point; /* tun and the like */
	char name[IFNAMSIZ];
};
/* Every address of every link. Returns how many there are; at most `max` are written. */
int netlink_addresses(struct netlink_address *out, size_t max);

/* Opens a socket that becomes readable when a link, an address or a route changes; netlink_watch_drain() empties it and
 * says whether anything but `own_ifindex`'s own changes was among it. Close with close(2). Returns the descriptor. */
int netlink_watch_open(void);
bool netlink_watch_drain(int fd, int own_ifindex);

#endif
