#include "tun/netlink.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tun/netlink_request.h"

/* ------------------------------------------------------------------ links */

static int link_set(int ifindex, unsigned flags, unsigned mtu_bytes)
{
	struct netlink_request req;
	struct ifinfomsg *ifi = netlink_request_init(&req, RTM_NEWLINK, NLM_F_ACK, sizeof(*ifi));

	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_index = ifindex;
	ifi->ifi_flags = flags;
	ifi->ifi_change = IFF_UP;
	if (mtu_bytes)
		mnl_attr_put_u32(req.nlh, IFLA_MTU, mtu_bytes);
	return netlink_request_run(&req, NULL, NULL);
}

int netlink_link_up(int ifindex, unsigned mtu_bytes)
{
	return link_set(ifindex, IFF_UP, mtu_bytes);
}

int netlink_link_down(int ifindex)
{
	return link_set(ifindex, 0, 0);
}

static int link_get(int ifindex, mnl_cb_t each, void *arg)
{
	struct netlink_request req;
	struct ifinfomsg *ifi = netlink_request_init(&req, RTM_GETLINK, NLM_F_ACK, sizeof(*ifi));

	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_index = ifindex;
	return netlink_request_run(&req, each, arg);
}

static int is_link_up(const struct nlmsghdr *nlh, void *arg)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	int *is_up = arg;

	*is_up = (ifi->ifi_flags & IFF_UP) != 0;
	return MNL_CB_OK;
}

int netlink_link_is_up(int ifindex)
{
	int is_up = -ENODATA, ret = link_get(ifindex, is_link_up, &is_up);

	return ret < 0 ? ret : is_up;
}

static int mtu_of_link(const struct nlmsghdr *nlh, void *arg)
{
	const struct nlattr *attr;
	int *mtu = arg;

	for (attr = netlink_attr_first(nlh, sizeof(struct ifinfomsg)); netlink_attr_is_inside(nlh, attr);
	     attr = mnl_attr_next(attr))
		if (mnl_attr_get_type(attr) == IFLA_MTU && mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
			*mtu = (int)mnl_attr_get_u32(attr);
	return MNL_CB_OK;
}

int netlink_link_mtu(int ifindex)
{
	int mtu = -ENODATA, ret = link_get(ifindex, mtu_of_link, &mtu);

	return ret < 0 ? ret : mtu;
}

/* ------------------------------------------------------------------ addresses */

static int addr_request(uint16_t type, uint16_t flags, int ifindex, const uint8_t *addr, size_t len,
			unsigned prefix_bits)
{
	struct netlink_request req;
	struct ifaddrmsg *ifa = netlink_request_init(&req, type, (uint16_t)(NLM_F_ACK | flags), sizeof(*ifa));

	if (netlink_family_of(len) == AF_UNSPEC || prefix_bits > len * 8)
		return -EINVAL;
	ifa->ifa_family = (uint8_t)netlink_family_of(len);
	ifa->ifa_prefixlen = (uint8_t)prefix_bits;
	ifa->ifa_index = (uint32_t)ifindex;
	ifa->ifa_scope = RT_SCOPE_UNIVERSE;
	/* Nobody else can have the address, and an address under detection cannot be bound or sent from. */
	if (len == 16)
		ifa->ifa_flags = IFA_F_NODAD;
	mnl_attr_put(req.nlh, IFA_LOCAL, len, addr);
	mnl_attr_put(req.nlh, IFA_ADDRESS, len, addr);
	return netlink_request_run(&req, NULL, NULL);
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

	for (attr = netlink_attr_first(nlh, sizeof(*ifa)); netlink_attr_is_inside(nlh, attr);
	     attr = mnl_attr_next(attr)) {
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
	bool is_overlay = netlink_link_is_overlay(nlh);
	struct address_list *list = arg;

	for (attr = netlink_attr_first(nlh, sizeof(*ifi)); netlink_attr_is_inside(nlh, attr);
	     attr = mnl_attr_next(attr))
		if (mnl_attr_get_type(attr) == IFLA_IFNAME && mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			name = mnl_attr_get_str(attr);
	for (size_t i = 0; i < list->n && i < list->max; i++) {
		struct netlink_address *a = &list->v[i];

		if (a->ifindex != ifi->ifi_index)
			continue;
		a->is_up = (ifi->ifi_flags & IFF_UP) && (ifi->ifi_flags & IFF_RUNNING);
		a->is_point_to_point = ifi->ifi_flags & IFF_POINTOPOINT;
		a->is_overlay = is_overlay;
		strncpy(a->name, name, sizeof(a->name) - 1); /* zeroed before: always ends in a NUL */
	}
	return MNL_CB_OK;
}

static int addresses_dump(struct address_list *list)
{
	struct netlink_request req;
	struct ifaddrmsg *ifa = netlink_request_init(&req, RTM_GETADDR, NLM_F_DUMP, sizeof(*ifa));
	struct ifinfomsg *ifi;
	int ret;

	ifa->ifa_family = AF_UNSPEC;
	list->n = 0;
	ret = netlink_request_run(&req, address_append, list);
	if (ret < 0)
		return ret;
	ifi = netlink_request_init(&req, RTM_GETLINK, NLM_F_DUMP, sizeof(*ifi));
	ifi->ifi_family = AF_UNSPEC;
	return netlink_request_run(&req, link_join, list);
}

int netlink_addresses(struct netlink_address *out, size_t max)
{
	struct address_list list = { .v = out, .max = max };
	int ret = -EINTR;

	for (int i = 0; i < NETLINK_DUMP_TRIES && ret == -EINTR; i++)
		ret = addresses_dump(&list);
	return ret < 0 ? ret : (int)list.n;
}
