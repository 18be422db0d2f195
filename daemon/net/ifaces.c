#include "daemon/net/ifaces.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tun/netlink.h"

/* Room for a host with a few links; more is made when there are more. */
#define IFACES_FIRST_MAX 64
#define IFACES_TRIES 4

/* Every address of the host, to be freed. Returns how many, or a negative errno with *out NULL. */
static int addresses_new(struct netlink_address **out)
{
	size_t max = IFACES_FIRST_MAX;

	*out = NULL;
	for (int i = 0; i < IFACES_TRIES; i++) {
		struct netlink_address *v = calloc(max, sizeof(*v));
		int n;

		if (!v)
			return -ENOMEM;
		n = netlink_addresses(v, max);
		if (n >= 0 && (size_t)n <= max) {
			*out = v;
			return n;
		}
		free(v);
		if (n < 0)
			return n;
		max = (size_t)n + IFACES_FIRST_MAX; /* some may be added before the next look */
	}
	return -EAGAIN;
}

static bool is_wanted(const struct netlink_address *a, const struct ip *ip, int own_ifindex, const char *bind_interface)
{
	if (a->ifindex == own_ifindex || !a->is_up || a->is_deprecated || a->is_tentative)
		return false;
	if (bind_interface && bind_interface[0]) {
		if (strcmp(a->name, bind_interface) != 0)
			return false;
	} else if (a->is_overlay) {
		return false;
	}
	return ip_is_sendable(ip) && !(ip->len == 4 && ip_is_link_local(ip));
}

static bool is_within(const struct prefix *v, unsigned n, const struct ip *ip)
{
	for (unsigned i = 0; i < n; i++)
		if (prefix_contains(&v[i], ip))
			return true;
	return false;
}

static bool is_known(const struct ifaces *i, const struct prefix *p)
{
	for (unsigned k = 0; k < i->n; k++)
		if (i->v[k].bits == p->bits && ip_equal(&i->v[k].ip, &p->ip))
			return true;
	return false;
}

int ifaces_read(struct ifaces *out, int own_ifindex, const char *bind_interface, const struct prefix *exclude,
		unsigned n_exclude)
{
	struct netlink_address *addresses;
	int n = addresses_new(&addresses);

	if (n < 0)
		return n;
	*out = (struct ifaces){ 0 };
	for (int i = 0; i < n && out->n < IFACES_MAX; i++) {
		const struct netlink_address *a = &addresses[i];
		struct prefix p = { .bits = a->prefix_bits };

		ip_from_bytes(&p.ip, a->addr, a->len);
		if (is_wanted(a, &p.ip, own_ifindex, bind_interface) && !is_within(exclude, n_exclude, &p.ip) &&
		    !is_known(out, &p))
			out->v[out->n++] = p;
	}
	free(addresses);
	return 0;
}

bool ifaces_has(const struct ifaces *i, const struct ip *ip)
{
	for (unsigned k = 0; k < i->n; k++)
		if (ip_equal(&i->v[k].ip, ip))
			return true;
	return false;
}

bool ifaces_is_on_link(const struct ifaces *i, const struct ip *ip)
{
	for (unsigned k = 0; k < i->n; k++)
		if (i->v[k].bits < i->v[k].ip.len * 8 && prefix_contains(&i->v[k], ip))
			return true;
	return false;
}
