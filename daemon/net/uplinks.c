#include "daemon/net/uplinks.h"

#include <stdio.h>
#include <string.h>

#define ADDRESSES_MAX 64

static bool is_known(const struct uplinks *u, int ifindex)
{
	for (unsigned i = 0; i < u->n; i++)
		if (u->v[i].ifindex == ifindex)
			return true;
	return false;
}

/* Links with an address, each once. What lies behind a point-to-point link needs no router. */
static void read_all(struct uplinks *u, struct ways *w)
{
	struct netlink_address a[ADDRESSES_MAX];
	int n = netlink_addresses(a, ADDRESSES_MAX);

	u->n = 0;
	for (int i = 0; i < n && i < ADDRESSES_MAX && u->n < UPLINKS_MAX; i++) {
		struct uplink *found = &u->v[u->n];

		if (!a[i].is_up || a[i].is_overlay || a[i].ifindex == w->own_ifindex || is_known(u, a[i].ifindex))
			continue;
		if (!a[i].is_point_to_point && !ways_has_router(w, a[i].ifindex))
			continue;
		found->ifindex = a[i].ifindex;
		snprintf(found->name, sizeof(found->name), "%s", a[i].name);
		u->n++;
	}
}

static void leave_out(struct uplinks *u, int ifindex)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < u->n; i++)
		if (u->v[i].ifindex != ifindex)
			u->v[kept++] = u->v[i];
	u->n = kept;
}

bool uplinks_read(struct uplinks *u, struct ways *w)
{
	int via = u->via.ifindex, chosen = w->out_ifindex[0] ? w->out_ifindex[0] : w->out_ifindex[1];

	if (w->bind_interface[0])
		return false;
	read_all(u, w);
	if (via && (via == chosen || !is_known(u, via)))
		u->via = (struct uplink){ 0 };
	leave_out(u, u->via.ifindex ? u->via.ifindex : chosen);
	w->via = w->bound = u->via.ifindex;
	return via != u->via.ifindex;
}

bool uplinks_use(struct uplinks *u, int ifindex)
{
	for (unsigned i = 0; i < u->n; i++)
		if (u->v[i].ifindex == ifindex) {
			u->via = u->v[i];
			return true;
		}
	if (ifindex == 0)
		u->via = (struct uplink){ 0 };
	return ifindex == 0;
}
