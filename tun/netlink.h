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
int netlink_link_down(int ifindex);                   /* its routes go, and its IPv6 addresses */
int netlink_link_is_up(int ifindex);                  /* 1, 0, or negative errno: -ENODEV, there is none */
int netlink_link_mtu(int ifindex);                    /* the MTU, or negative errno */
/* `addr` has `len` 4 or 16 bytes. Adding what is there already is fine (0), so is removing what is not. IPv6 addresses
 * are added without duplicate address detection. */
int netlink_addr_add(int ifindex, const uint8_t *addr, size_t len, unsigned prefix_bits);
int netlink_addr_del(int ifindex, const uint8_t *addr, size_t len, unsigned prefix_bits);
/* Of two routes to one prefix the kernel takes that of the lower metric; a metric of 0 is its default. -EEXIST: there is another link's
 * with the same metric, which stays. */
int netlink_route_add(int ifindex, const uint8_t *prefix, size_t len, unsigned prefix_bits, uint32_t metric);
int netlink_route_del(int ifindex, const uint8_t *prefix, size_t len, unsigned prefix_bits, uint32_t metric);

struct netlink_way { /* how the kernel would send to an address now */
	int ifindex;
	uint8_t len;         /* of the addresses: 4 or 16 */
	uint8_t source[16];  /* ours; zeros: none chosen */
	uint8_t gateway[16]; /* the next router, if has_gateway */
	bool has_gateway;
	uint32_t mtu_bytes; /* the link's */
	bool is_tunnel;  /* the link is point-to-point, a TUN or a TAP: some overlay's, ours among them, or a modem's */
	bool is_overlay; /* the link carries its packets inside those of another network: a VPN's, ours among them */
};
/* Nothing is sent. With ifindex only through that link. -ENETUNREACH: not at all. */
int netlink_way_to(struct netlink_way *out, int ifindex, const uint8_t *dst, size_t len);

/* The same for many addresses, on one socket, while links are what they were when it was opened. Close it even if opening failed. */
#define NETLINK_WAYS_LINKS 8
struct netlink_ways {
	struct mnl_socket *nl;
	struct netlink_way links[NETLINK_WAYS_LINKS]; /* asked about: what sort each is */
	unsigned next_link;
};
int netlink_ways_open(struct netlink_ways *ways);
int netlink_ways_find(struct netlink_ways *ways, struct netlink_way *out, int ifindex, const uint8_t *dst, size_t len);
void netlink_ways_close(struct netlink_ways *ways);

struct netlink_address {
	int ifindex;
	uint8_t len; /* 4 or 16 */
	uint8_t addr[16];
	uint8_t prefix_bits;
	bool is_deprecated, is_tentative;
	bool is_up;             /* the link is up and running */
	bool is_point_to_point; /* tun and the like */
	bool is_overlay;        /* as in struct netlink_way */
	char name[IFNAMSIZ];
};
/* Every address of every link. Returns how many there are; at most `max` are written. */
int netlink_addresses(struct netlink_address *out, size_t max);

/* A socket that becomes readable when a link, an address or a route changes. */
#define NETLINK_USED_MAX 16
struct netlink_watch {
	int fd; /* -1: none */
	/* private */
	uint32_t n_lost_all;
	unsigned n_used;
	struct netlink_used {
		int ifindex;
		uint32_t n_lost;
	} used[NETLINK_USED_MAX];
};
int netlink_watch_open(struct netlink_watch *watch); /* 0 or negative errno */
void netlink_watch_close(struct netlink_watch *watch);
/* Reads what there is. Was there a change? Not one of those that a wireless driver tells all the time. */
bool netlink_watch_drain(struct netlink_watch *watch);
/* A number that is another whenever the link was down or gone in between, if only for a moment. Links are followed from the
 * first time they are asked for. */
uint32_t netlink_watch_losses(struct netlink_watch *watch, int ifindex);

#endif
