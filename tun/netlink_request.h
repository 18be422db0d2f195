/* tun/netlink_request.h - one rtnetlink request and its answers, for netlink*.c
 *
 * Thread: any.  Errors: negative errno, the kernel's own. */
#ifndef TUN_NETLINK_REQUEST_H
#define TUN_NETLINK_REQUEST_H

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The kernel fills a dump up to the buffer, 32 KiB at most, so no message is ever cut. */
#define NETLINK_BUFFER_BYTES 32768
/* A dump during which something changed is asked for again; under constant change the last one has to do. */
#define NETLINK_DUMP_TRIES 4

struct netlink_request {
	union {
		struct nlmsghdr header; /* for its alignment */
		uint8_t bytes[512];
	} u;
	struct nlmsghdr *nlh;
};

/* Begins a message; returns its family header, zeroed, of `extra_bytes`. */
void *netlink_request_init(struct netlink_request *req, uint16_t type, uint16_t flags, size_t extra_bytes);
/* Sends it on a socket of its own, and waits for the kernel's acknowledgement. `each`, if any, gets every message of the answer. */
int netlink_request_run(const struct netlink_request *req, mnl_cb_t each, void *arg);
/* The same on a socket for several, one after the other; mnl_socket_close() it. */
int netlink_request_open(struct mnl_socket **out);
int netlink_request_run_on(struct mnl_socket *nl, const struct netlink_request *req, mnl_cb_t each, void *arg);

int netlink_family_of(size_t len); /* of an address of 4 or 16 bytes */
/* The attributes behind a family header. */
const struct nlattr *netlink_attr_first(const struct nlmsghdr *nlh, size_t extra_bytes);
bool netlink_attr_is_inside(const struct nlmsghdr *nlh, const struct nlattr *attr);

/* Of a link message: "veth", "wireguard" ...; NULL: a device. */
const char *netlink_link_kind(const struct nlmsghdr *nlh);
bool netlink_link_is_overlay(const struct nlmsghdr *nlh);

#endif
