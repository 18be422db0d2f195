#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/socket.h>

#include "tun/netlink.h"
#include "tun/netlink_request.h"

struct route {
	int ifindex;
	uint8_t dst[16]; /* host bits cleared, as the kernel wants it */
	size_t len;
	unsigned prefix_bits;
	uint32_t metric; /* 0: any */
	bool is_found;
};

static int route_init(struct route *route, int ifindex, const uint8_t *prefix, size_t len, unsigned prefix_bits,
		      uint32_t metric)
{
	*route = (struct route){ .ifindex = ifindex, .len = len, .prefix_bits = prefix_bits, .metric = metric };
	if (netlink_family_of(len) == AF_UNSPEC || prefix_bits > len * 8)
		return -EINVAL;
	memcpy(route->dst, prefix, len);
	for (unsigned bit = prefix_bits; bit < len * 8; bit++)
		route->dst[bit / 8] &= (uint8_t)(0xff7fu >> bit % 8);
	return 0;
}

static int route_request(uint16_t type, uint16_t flags, const struct route *route)
{
	struct netlink_request req;
	struct rtmsg *rtm = netlink_request_init(&req, type, (uint16_t)(NLM_F_ACK | flags), sizeof(*rtm));

	rtm->rtm_family = (uint8_t)netlink_family_of(route->len);
	rtm->rtm_dst_len = (uint8_t)route->prefix_bits;
	rtm->rtm_table = RT_TABLE_MAIN;
	/* Told apart from the kernel's own connected routes, which a removal must not hit. */
	rtm->rtm_protocol = RTPROT_STATIC;
	rtm->rtm_scope = route->len == 4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
	rtm->rtm_type = RTN_UNICAST;
	mnl_attr_put(req.nlh, RTA_DST, route->len, route->dst);
	mnl_attr_put_u32(req.nlh, RTA_OIF, (uint32_t)route->ifindex);
	if (route->metric)
		mnl_attr_put_u32(req.nlh, RTA_PRIORITY, route->metric);
	return netlink_request_run(&req, NULL, NULL);
}

static int route_compare(const struct nlmsghdr *nlh, void *arg)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;
	struct route *route = arg;
	bool is_dst = route->prefix_bits == 0, is_link = false, is_metric = route->metric == 0;

	if (rtm->rtm_family != netlink_family_of(route->len) || rtm->rtm_table != RT_TABLE_MAIN ||
	    rtm->rtm_dst_len != route->prefix_bits || rtm->rtm_type != RTN_UNICAST)
		return MNL_CB_OK;
	for (attr = netlink_attr_first(nlh, sizeof(*rtm)); netlink_attr_is_inside(nlh, attr);
	     attr = mnl_attr_next(attr)) {
		if (mnl_attr_get_type(attr) == RTA_DST && mnl_attr_get_payload_len(attr) == route->len)
			is_dst = memcmp(mnl_attr_get_payload(attr), route->dst, route->len) == 0;
		if (mnl_attr_get_type(attr) == RTA_OIF && mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
			is_link = mnl_attr_get_u32(attr) == (uint32_t)route->ifindex;
		if (mnl_attr_get_type(attr) == RTA_PRIORITY && mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
			is_metric |= mnl_attr_get_u32(attr) == route->metric;
	}
	if (is_dst && is_link && is_metric)
		route->is_found = true;
	return MNL_CB_OK;
}

static int route_find(struct route *route)
{
	struct netlink_request req;
	struct rtmsg *rtm = netlink_request_init(&req, RTM_GETROUTE, NLM_F_DUMP, sizeof(*rtm));
	int ret = -EINTR;

	rtm->rtm_family = (uint8_t)netlink_family_of(route->len);
	for (int i = 0; i < NETLINK_DUMP_TRIES && ret == -EINTR; i++)
		ret = netlink_request_run(&req, route_compare, route);
	return ret;
}

int netlink_route_add(int ifindex, const uint8_t *prefix, size_t len, unsigned prefix_bits, uint32_t metric)
{
	struct route route;
	int ret = route_init(&route, ifindex, prefix, len, prefix_bits, metric);

	if (ret < 0)
		return ret;
	ret = route_request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &route);
	if (ret != -EEXIST)
		return ret;
	/* The kernel says so for another link's route to the same prefix too, and that is no success. */
	ret = route_find(&route);
	if (ret < 0)
		return ret;
	return route.is_found ? 0 : -EEXIST;
}

int netlink_route_del(int ifindex, const uint8_t *prefix, size_t len, unsigned prefix_bits, uint32_t metric)
{
	struct route route;
	int ret = route_init(&route, ifindex, prefix, len, prefix_bits, metric);

	if (ret < 0)
		return ret;
	ret = route_request(RTM_DELROUTE, 0, &route);
	return ret == -ESRCH ? 0 : ret;
}

/* ------------------------------------------------------------------ the way to an address */

static int way_read(const struct nlmsghdr *nlh, void *arg)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;
	struct netlink_way *way = arg;

	if (rtm->rtm_family != netlink_family_of(way->len) || rtm->rtm_type != RTN_UNICAST)
		return MNL_CB_OK;
	for (attr = netlink_attr_first(nlh, sizeof(*rtm)); netlink_attr_is_inside(nlh, attr);
	     attr = mnl_attr_next(attr)) {
		bool is_address = mnl_attr_get_payload_len(attr) == way->len;

		if (mnl_attr_get_type(attr) == RTA_GATEWAY && is_address) {
			memcpy(way->gateway, mnl_attr_get_payload(attr), way->len);
			way->has_gateway = true;
		}
		if (mnl_attr_get_type(attr) == RTA_PREFSRC && is_address)
			memcpy(way->source, mnl_attr_get_payload(attr), way->len);
		if (mnl_attr_get_type(attr) == RTA_OIF && mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
			way->ifindex = (int)mnl_attr_get_u32(attr);
	}
	return MNL_CB_OK;
}

static int way_judge_link(const struct nlmsghdr *nlh, void *arg)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	const char *kind = netlink_link_kind(nlh);
	struct netlink_way *link = arg;
	const struct nlattr *attr;

	for (attr = netlink_attr_first(nlh, sizeof(*ifi)); netlink_attr_is_inside(nlh, attr);
	     attr = mnl_attr_next(attr))
		if (mnl_attr_get_type(attr) == IFLA_MTU && mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
			link->mtu_bytes = mnl_attr_get_u32(attr);
	/* WireGuard, TUN, TAP, PPP, GRE ...: links whose far end is no router of a local network. */
	link->is_tunnel = (ifi->ifi_flags & IFF_POINTOPOINT) || ifi->ifi_type == ARPHRD_NONE ||
			  (kind && strcmp(kind, "tun") == 0);
	link->is_overlay = netlink_link_is_overlay(nlh);
	return MNL_CB_OK;
}

int netlink_ways_open(struct netlink_ways *ways)
{
	*ways = (struct netlink_ways){ 0 };
	return netlink_request_open(&ways->nl);
}

void netlink_ways_close(struct netlink_ways *ways)
{
	if (ways->nl)
		mnl_socket_close(ways->nl);
	ways->nl = NULL;
}

/* What sort of link a way goes by; those asked about lately are remembered. */
static int judge_link(struct netlink_ways *ways, struct netlink_way *way)
{
	struct netlink_way *link = NULL;
	struct netlink_request req;
	struct ifinfomsg *ifi;
	int ret;

	for (unsigned i = 0; i < NETLINK_WAYS_LINKS; i++)
		if (ways->links[i].ifindex == way->ifindex)
			link = &ways->links[i];
	if (!link) {
		link = &ways->links[ways->next_link];
		*link = (struct netlink_way){ 0 };
		ifi = netlink_request_init(&req, RTM_GETLINK, NLM_F_ACK, sizeof(*ifi));
		ifi->ifi_family = AF_UNSPEC;
		ifi->ifi_index = way->ifindex;
		ret = netlink_request_run_on(ways->nl, &req, way_judge_link, link);
		if (ret < 0)
			return ret;
		link->ifindex = way->ifindex;
		ways->next_link = (ways->next_link + 1) % NETLINK_WAYS_LINKS;
	}
	way->mtu_bytes = link->mtu_bytes;
	way->is_tunnel = link->is_tunnel;
	way->is_overlay = link->is_overlay;
	return 0;
}

int netlink_ways_find(struct netlink_ways *ways, struct netlink_way *out, int ifindex, const uint8_t *dst, size_t len)
{
	struct netlink_way way = { .len = (uint8_t)len };
	struct netlink_request req;
	struct rtmsg *rtm = netlink_request_init(&req, RTM_GETROUTE, NLM_F_ACK, sizeof(*rtm));
	int ret;

	if (netlink_family_of(len) == AF_UNSPEC)
		return -EINVAL;
	rtm->rtm_family = (uint8_t)netlink_family_of(len);
	rtm->rtm_dst_len = (uint8_t)(len * 8);
	mnl_attr_put(req.nlh, RTA_DST, len, dst);
	if (ifindex)
		mnl_attr_put_u32(req.nlh, RTA_OIF, (uint32_t)ifindex);
	ret = netlink_request_run_on(ways->nl, &req, way_read, &way);
	if (ret == 0 && way.ifindex == 0)
		ret = -ENETUNREACH;
	if (ret == 0)
		ret = judge_link(ways, &way);
	if (ret == 0)
		*out = way;
	return ret;
}

int netlink_way_to(struct netlink_way *out, int ifindex, const uint8_t *dst, size_t len)
{
	struct netlink_ways ways;
	int ret = netlink_ways_open(&ways);

	if (ret == 0)
		ret = netlink_ways_find(&ways, out, ifindex, dst, len);
	netlink_ways_close(&ways);
	return ret;
}
