#include "tun/netlink.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The kernel fills a dump up to the buffer, 32 KiB at most, so no message is ever cut. */
#define NETLINK_BUFFER_BYTES 32768
/* A dump during which something changed is asked for again; under constant change the last one has to do. */
#define NETLINK_DUMP_TRIES 4

/* ------------------------------------------------------------------ one request */

struct request {
	union {
		struct nlmsghdr header; /* for its alignment */
		uint8_t bytes[512];
	} u;
	struct nlmsghdr *nlh;
};

static void *request_init(struct request *req, uint16_t type, uint16_t flags, size_t extra_bytes)
{
	req->nlh = mnl_nlmsg_put_header(req->u.bytes);
	req->nlh->nlmsg_type = type;
	req->nlh->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	req->nlh->nlmsg_seq = 1;
	return mnl_nlmsg_put_extra_header(req->nlh, extra_bytes);
}

/* Reads answers until the acknowledgement or the end of the dump. */
static int answers_read(struct mnl_socket *nl, const struct request *req, mnl_cb_t each, void *arg)
{
	uint8_t buffer[NETLINK_BUFFER_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));

	for (;;) {
		ssize_t n = mnl_socket_recvfrom(nl, buffer, sizeof(buffer));
		int ret;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		ret = mnl_cb_run(buffer, (size_t)n, req->nlh->nlmsg_seq, mnl_socket_get_portid(nl), each, arg);
		if (ret == MNL_CB_ERROR)
			return errno ? -errno : -EIO;
		if (ret == MNL_CB_STOP)
			return 0;
	}
}

/* Sends it on a socket of its own. `each`, if any, gets every message of the answer. */
static int request_run(const struct request *req, mnl_cb_t each, void *arg)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	int ret = 0;

	if (!nl)
		return -errno;
	if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 || mnl_socket_sendto(nl, req->nlh, req->nlh->nlmsg_len) < 0)
		ret = -errno;
	else
		ret = answers_read(nl, req, each, arg);
	mnl_socket_close(nl);
	return ret;
}

static int family_of(size_t len)
{
	return len == 4 ? AF_INET : len == 16 ? AF_INET6 : AF_UNSPEC;
}

static const struct nlattr *attr_first(const struct nlmsghdr *nlh, size_t extra_bytes)
{
	return mnl_nlmsg_get_payload_offset(nlh, extra_bytes);
}

static bool attr_is_inside(const struct nlmsghdr *nlh, const struct nlattr *attr)
{
	return mnl_attr_ok(attr, (int)((const char *)mnl_nlmsg_get_payload_tail(nlh) - (const char *)attr));
}

/* ------------------------------------------------------------------ links */

int netlink_link_up(int ifindex, unsigned mtu_bytes)
{
	struct request req;
	struct ifinfomsg *ifi = request_init(&req, RTM_NEWLINK, NLM_F_ACK, sizeof(*ifi));

	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_index = ifindex;
	ifi->ifi_flags = IFF_UP;
	ifi->ifi_change = IFF_UP;
	if (mtu_bytes)
		mnl_attr_put_u32(req.nlh, IFLA_MTU, mtu_bytes);
	return request_run(&req, NULL, NULL);
}

static int mtu_of_link(const struct nlmsghdr *nlh, void *arg)
{
	const struct nlattr *attr;
	int *mtu = arg;

	for (attr = attr_first(nlh, sizeof(struct ifinfomsg)); attr_is_inside(nlh, attr); attr = mnl_attr_next(attr))
		if (mnl_attr_get_type(attr) == IFLA_MTU && mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
			*mtu = (int)mnl_attr_get_u32(attr);
	return MNL_CB_OK;
}

int netlink_link_mtu(int ifindex)
{
	struct request req;
	struct ifinfomsg *ifi = request_init(&req, RTM_GETLINK, NLM_F_ACK, sizeof(*ifi));
	int ret, mtu = -ENODATA;

	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_index = ifindex;
	ret = request_run(&req, mtu_of_link, &mtu);
	return ret < 0 ? ret : mtu;
}

/* ------------------------------------------------------------------ addresses */

static int addr_request(uint16_t type, uint16_t flags, int ifindex, const uint8_t *addr, size_t len,
			unsigned prefix_bits)
{
	struct request req;
	struct ifaddrmsg *ifa = request_init(&req, type, (uint16_t)(NLM_F_ACK | flags), sizeof(*ifa));

	if (family_of(len) == AF_UNSPEC || prefix_bits > len * 8)
		return -EINVAL;
	ifa->ifa_family = (uint8_t)family_of(len);
	ifa->ifa_prefixlen = (uint8_t)prefix_bits;
	ifa->ifa_index = (uint32_t)ifindex;
	ifa->ifa_scope = RT_SCOPE_UNIVERSE;
	/* Nobody else can have the address, and an address under detection cannot be bound or sent from. */
	if (len == 16)
		ifa->ifa_flags = IFA_F_NODAD;
	mnl_attr_put(req.nlh, IFA_LOCAL, len, addr);
	mnl_attr_put(req.nlh, IFA_ADDRESS, len, addr);
	return request_run(&req, NULL, NULL);
}

int netlink_addr_add(int ifindex, const uint8_t *addr, size_t len, unsigned prefix_bits)
{
	int ret = addr_request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, ifindex, addr, len, prefix_bits);

	return ret == -EEXIST ? 0 : ret;
}

int netlink_addr_del(int ifindex, const uint8_t *addr, size_t len, unsigned prefix_bits)
{
	int ret = addr_request(RTM_DELADDR, 0, ifindex, addr, len, prefix_bits);

	return ret == -EADDRNOTAVAIL ? 0 : ret;
}

/* ------------------------------------------------------------------ routes */

struct route {
	int ifindex;
	uint8_t dst[16]; /* host bits cleared, as the kernel wants it */
	size_t len;
	unsigned prefix_bits;
	bool is_found;
};

static int route_init(struct route *route, int ifindex, const uint8_t *prefix, size_t len, unsigned prefix_bits)
{
	*route = (struct route){ .ifindex = ifindex, .len = len, .prefix_bits = prefix_bits };
	if (family_of(len) == AF_UNSPEC || prefix_bits > len * 8)
		return -EINVAL;
	memcpy(route->dst, prefix, len);
	for (unsigned bit = prefix_bits; bit < len * 8; bit++)
		route->dst[bit / 8] &= (uint8_t)(0xff7fu >> bit % 8);
	return 0;
}

static int route_request(uint16_t type, uint16_t flags, const struct route *route)
{
	struct request req;
	struct rtmsg *rtm = request_init(&req, type, (uint16_t)(NLM_F_ACK | flags), sizeof(*rtm));

	rtm->rtm_family = (uint8_t)family_of(route->len);
	rtm->rtm_dst_len = (uint8_t)route->prefix_bits;
	rtm->rtm_table = RT_TABLE_MAIN;
	/* Told apart from the kernel's own connected routes, which a removal must not hit. */
	rtm->rtm_protocol = RTPROT_STATIC;
	rtm->rtm_scope = route->len == 4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
	rtm->rtm_type = RTN_UNICAST;
	mnl_attr_put(req.nlh, RTA_DST, route->len, route->dst);
	mnl_attr_put_u32(req.nlh, RTA_OIF, (uint32_t)route->ifindex);
	return request_run(&req, NULL, NULL);
}

static int route_compare(const struct nlmsghdr *nlh, void *arg)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;
	struct route *route = arg;
	bool is_dst = route->prefix_bits == 0, is_link = false;

	if (rtm->rtm_family != family_of(route->len) || rtm->rtm_table != RT_TABLE_MAIN ||
	    rtm->rtm_dst_len != route->prefix_bits || rtm->rtm_type != RTN_UNICAST)
		return MNL_CB_OK;
	for (attr = attr_first(nlh, sizeof(*rtm)); attr_is_inside(nlh, attr); attr = mnl_attr_next(attr)) {
		if (mnl_attr_get_type(attr) == RTA_DST && mnl_attr_get_payload_len(attr) == route->len)
			is_dst = memcmp(mnl_attr_get_payload(attr), route->dst, route->len) == 0;
		if (mnl_attr_get_type(attr) == RTA_OIF && mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
			is_link = mnl_attr_get_u32(attr) == (uint32_t)route->ifindex;
	}
	if (is_dst && is_link)
		route->is_found = true;
	return MNL_CB_OK;
}

static int route_find(struct route *route)
{
	struct request req;
	struct rtmsg *rtm = request_init(&req, RTM_GETROUTE, NLM_F_DUMP, sizeof(*rtm));
	int ret = -EINTR;

	rtm->rtm_family = (uint8_t)family_of(route->len);
	for (int i = 0; i < NETLINK_DUMP_TRIES && ret == -EINTR; i++)
		ret = request_run(&req, route_compare, route);
	return ret;
}

int netlink_route_add(int ifindex, const uint8_t *prefix, size_t len, unsigned prefix_bits)
{
	struct route route;
	int ret = route_init(&route, ifindex, prefix, len, prefix_bits);

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

int netlink_route_del(int ifindex, const uint8_t *prefix, size_t len, unsigned prefix_bits)
{
	struct route route;
	int ret = route_init(&route, ifindex, prefix, len, prefix_bits);

	if (ret < 0)
		return ret;
	ret = route_request(RTM_DELROUTE, 0, &route);
	return ret == -ESRCH ? 0 : ret;
}

/* ------------------------------------------------------------------ every address of the host */

struct address_list {
	struct netlink_address *v;
	size_t max, n; /* n counts those beyond max too */
};

static int address_append(const struct nlmsghdr *nlh, void *arg)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr, *local = NULL, *address = NULL;
	struct address_list *list = arg;
	uint32_t flags = ifa->ifa_flags;
	size_t len = ifa->ifa_family == AF_INET ? 4 : ifa->ifa_family == AF_INET6 ? 16 : 0;

	for (attr = attr_first(nlh, sizeof(*ifa)); attr_is_inside(nlh, attr); attr = mnl_attr_next(attr)) {
		uint16_t type = mnl_attr_get_type(attr);

		if (type == IFA_LOCAL && mnl_attr_get_payload_len(attr) == len)
			local = attr;
		else if (type == IFA_ADDRESS && mnl_attr_get_payload_len(attr) == len)
			address = attr;
		else if (type == IFA_FLAGS && mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
			flags = mnl_attr_get_u32(attr);
	}
	if (!local) /* on a point-to-point link IFA_ADDRESS is the far end's */
		local = address;
	if (len == 0 || !local)
		return MNL_CB_OK;
	if (list->n < list->max) {
		struct netlink_address *out = &list->v[list->n];

		*out = (struct netlink_address){
			.ifindex = (int)ifa->ifa_index,
			.len = (uint8_t)len,
			.prefix_bits = ifa->ifa_prefixlen,
			.is_deprecated = flags & IFA_F_DEPRECATED,
			.is_tentative = flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED),
		};
		memcpy(out->addr, mnl_attr_get_payload(local), len);
	}
	list->n++;
	return MNL_CB_OK;
}

static int link_join(const struct nlmsghdr *nlh, void *arg)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;
	const char *name = "";
	struct address_list *list = arg;

	for (attr = attr_first(nlh, sizeof(*ifi)); attr_is_inside(nlh, attr); attr = mnl_attr_next(attr))
		if (mnl_attr_get_type(attr) == IFLA_IFNAME && mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			name = mnl_attr_get_str(attr);
	for (size_t i = 0; i < list->n && i < list->max; i++) {
		struct netlink_address *a = &list->v[i];

		if (a->ifindex != ifi->ifi_index)
			continue;
		a->is_up = (ifi->ifi_flags & IFF_UP) && (ifi->ifi_flags & IFF_RUNNING);
		a->is_point_to_point = ifi->ifi_flags & IFF_POINTOPOINT;
		strncpy(a->name, name, sizeof(a->name) - 1); /* zeroed before: always ends in a NUL */
	}
	return MNL_CB_OK;
}

static int addresses_dump(struct address_list *list)
{
	struct request req;
	struct ifaddrmsg *ifa = request_init(&req, RTM_GETADDR, NLM_F_DUMP, sizeof(*ifa));
	struct ifinfomsg *ifi;
	int ret;

	ifa->ifa_family = AF_UNSPEC;
	list->n = 0;
	ret = request_run(&req, address_append, list);
	if (ret < 0)
		return ret;
	ifi = request_init(&req, RTM_GETLINK, NLM_F_DUMP, sizeof(*ifi));
	ifi->ifi_family = AF_UNSPEC;
	return request_run(&req, link_join, list);
}

int netlink_addresses(struct netlink_address *out, size_t max)
{
	struct address_list list = { .v = out, .max = max };
	int ret = -EINTR;

	for (int i = 0; i < NETLINK_DUMP_TRIES && ret == -EINTR; i++)
		ret = addresses_dump(&list);
	return ret < 0 ? ret : (int)list.n;
}

/* ------------------------------------------------------------------ changes */

int netlink_watch_open(void)
{
	/* A bare descriptor: the caller closes it with close(2), which would leak a struct mnl_socket. */
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK };

	if (fd < 0)
		return -errno;
	sa.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		int ret = -errno;

		close(fd);
		return ret;
	}
	return fd;
}

struct watch {
	int own_ifindex;
	bool is_changed;
};

static void link_judge(struct watch *watch, const struct nlmsghdr *nlh)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;

	if (ifi->ifi_index == watch->own_ifindex)
		return;
	/* Scan results and signal levels of a wireless driver come as link messages, many a minute. */
	for (attr = attr_first(nlh, sizeof(*ifi)); attr_is_inside(nlh, attr); attr = mnl_attr_next(attr))
		if (mnl_attr_get_type(attr) == IFLA_WIRELESS)
			return;
	watch->is_changed = true;
}

static void route_judge(struct watch *watch, const struct nlmsghdr *nlh)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;

	if (rtm->rtm_flags & RTM_F_CLONED)
		return;
	for (attr = attr_first(nlh, sizeof(*rtm)); attr_is_inside(nlh, attr); attr = mnl_attr_next(attr))
		if (mnl_attr_get_type(attr) == RTA_OIF && mnl_attr_validate(attr, MNL_TYPE_U32) >= 0 &&
		    mnl_attr_get_u32(attr) == (uint32_t)watch->own_ifindex)
			return;
	watch->is_changed = true;
}

static int message_judge(const struct nlmsghdr *nlh, void *arg)
{
	struct watch *watch = arg;

	switch (nlh->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		if (mnl_nlmsg_get_payload_len(nlh) >= sizeof(struct ifinfomsg))
			link_judge(watch, nlh);
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		if (mnl_nlmsg_get_payload_len(nlh) >= sizeof(struct ifaddrmsg)) {
			const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);

			if ((int)ifa->ifa_index != watch->own_ifindex)
				watch->is_changed = true;
		}
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		if (mnl_nlmsg_get_payload_len(nlh) >= sizeof(struct rtmsg))
			route_judge(watch, nlh);
		break;
	default:
		break;
	}
	return MNL_CB_OK;
}

bool netlink_watch_drain(int fd, int own_ifindex)
{
	uint8_t buffer[NETLINK_BUFFER_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct watch watch = { .own_ifindex = own_ifindex };

	for (;;) {
		struct sockaddr_nl from = { 0 };
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(fd, buffer, sizeof(buffer), 0, (struct sockaddr *)&from, &from_len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ENOBUFS) {
			watch.is_changed = true; /* more happened than the socket could hold */
			continue;
		}
		if (n <= 0)
			return watch.is_changed;
		if (from.nl_pid == 0) /* the kernel; other processes may write to us as well */
			mnl_cb_run(buffer, (size_t)n, 0, 0, message_judge, &watch);
	}
}
