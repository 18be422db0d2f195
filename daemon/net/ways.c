#include "daemon/net/ways.h"

#include <stdio.h>

/* PCP's anycast addresses (RFC 7723): the way to them is the way out. Nothing is sent there. */
static const uint8_t out4[4] = { 192, 0, 0, 9 };
static const uint8_t out6[16] = { 0x20, 0x01, 0x00, 0x01, [15] = 1 };

int ways_open(struct ways *w, int own_ifindex, const char *bind_interface)
{
	*w = (struct ways){ .own_ifindex = own_ifindex };
	snprintf(w->bind_interface, sizeof(w->bind_interface), "%s", bind_interface ? bind_interface : "");
	return netlink_watch_open(&w->watch);
}

void ways_close(struct ways *w)
{
	netlink_watch_close(&w->watch);
}

bool ways_drain(struct ways *w)
{
	return netlink_watch_drain(&w->watch);
}

static void mix(uint64_t *mark, const void *data, size_t len) /* FNV-1a */
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		*mark = (*mark ^ p[i]) * 0x100000001b3;
}

static bool find(struct ways *w, uint64_t *mark, struct netlink_way *way, const uint8_t *addr, size_t len)
{
	uint32_t losses;
	int ret = w->bind_interface[0] && !w->bound ? -1 : netlink_ways_find(&w->netlink, way, w->bound, addr, len);

	mix(mark, &len, sizeof(len));
	if (ret < 0)
		return false;
	losses = netlink_watch_losses(&w->watch, way->ifindex);
	mix(mark, &losses, sizeof(losses));
	mix(mark, &way->ifindex, sizeof(way->ifindex));
	mix(mark, &way->mtu_bytes, sizeof(way->mtu_bytes));
	mix(mark, way->source, len);
	mix(mark, way->gateway, len);
	return true;
}

int ways_begin(struct ways *w, uint64_t *mark)
{
	struct netlink_way way;
	int ret = netlink_ways_open(&w->netlink);

	if (ret < 0)
		return ret;
	w->bound = (int)if_nametoindex(w->bind_interface);
	w->out_ifindex[0] = find(w, mark, &way, out4, sizeof(out4)) ? way.ifindex : 0;
	w->out_ifindex[1] = find(w, mark, &way, out6, sizeof(out6)) ? way.ifindex : 0;
	if (w->via)
		w->bound = w->via; /* what else is looked for */
	return 0;
}

bool ways_has_router(struct ways *w, int ifindex)
{
	struct netlink_way way;

	return (netlink_ways_find(&w->netlink, &way, ifindex, out4, sizeof(out4)) == 0 && way.has_gateway) ||
	       (netlink_ways_find(&w->netlink, &way, ifindex, out6, sizeof(out6)) == 0 && way.has_gateway);
}

void ways_end(struct ways *w)
{
	netlink_ways_close(&w->netlink);
}

enum way_kind ways_find(struct ways *w, uint64_t *mark, const struct ip *ip, char *link)
{
	struct netlink_way way;

	if (!find(w, mark, &way, ip->b, ip->len))
		return WAY_NONE;
	if (link && !if_indextoname((unsigned)way.ifindex, link))
		link[0] = '\0';
	if (way.ifindex == w->own_ifindex)
		return WAY_INSIDE;
	/* Who sends everything through a VPN has no other way out. */
	if (way.is_overlay && !w->bound && way.ifindex != w->out_ifindex[ip->len == 16])
		return WAY_INSIDE;
	return WAY_OUTSIDE;
}
