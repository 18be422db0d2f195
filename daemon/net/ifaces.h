/* daemon/net/ifaces.h - this host's own addresses, as candidates and to tell what is on-link
 *
 * Thread: loop. */
#ifndef DAEMON_NET_IFACES_H
#define DAEMON_NET_IFACES_H

#include "daemon/base/addr.h"

#define IFACES_MAX 64

struct ifaces {
	unsigned n;
	struct prefix v[IFACES_MAX]; /* interface address and its on-link prefix length */
};

/* Addresses of links that are up, without loopback, link-local IPv4, deprecated and tentative ones, the link
 * own_ifindex, other overlays' links, and whatever lies in `exclude` (overlay prefixes). With bind_interface only that link's, be it
 * an overlay's. Negative errno. */
int ifaces_read(struct ifaces *out, int own_ifindex, const char *bind_interface, const struct prefix *exclude,
		unsigned n_exclude);
bool ifaces_has(const struct ifaces *i, const struct ip *ip);        /* one of our own addresses */
bool ifaces_is_on_link(const struct ifaces *i, const struct ip *ip); /* within a link's prefix (not /32, /128) */

#endif
