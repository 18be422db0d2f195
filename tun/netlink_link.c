#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>

#include "tun/netlink_request.h"

/* Kinds of links that carry their packets inside those of another network. TAP devices are of kind "tun". */
static const char *const overlay_kinds[] = {
	"tun", "wireguard", "amneziawg", "ovpn",      "ovpn-dco",  "vxlan",   "geneve",
	"gre", "gretap",    "ip6gre",    "ip6gretap", "ipip",      "sit",     "ip6tnl",
	"vti", "vti6",      "xfrm",      "erspan",    "ip6erspan", "bareudp",
};

static const char *kind_in(const struct nlattr *linkinfo)
{
	const char *end = (const char *)mnl_attr_get_payload(linkinfo) + mnl_attr_get_payload_len(linkinfo);
	const struct nlattr *attr;

	for (attr = mnl_attr_get_payload(linkinfo); mnl_attr_ok(attr, (int)(end - (const char *)attr));
	     attr = mnl_attr_next(attr))
		if (mnl_attr_get_type(attr) == IFLA_INFO_KIND && mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			return mnl_attr_get_str(attr);
	return NULL;
}

const char *netlink_link_kind(const struct nlmsghdr *nlh)
{
	const struct nlattr *attr;

	for (attr = netlink_attr_first(nlh, sizeof(struct ifinfomsg)); netlink_attr_is_inside(nlh, attr);
	     attr = mnl_attr_next(attr))
		if (mnl_attr_get_type(attr) == IFLA_LINKINFO)
			return kind_in(attr);
	return NULL;
}

bool netlink_link_is_overlay(const struct nlmsghdr *nlh)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	const char *kind = netlink_link_kind(nlh);

	if (!kind)
		return false; /* a device: also the modems that look like a tunnel */
	for (size_t i = 0; i < sizeof(overlay_kinds) / sizeof(overlay_kinds[0]); i++)
		if (strcmp(kind, overlay_kinds[i]) == 0)
			return true;
	/* Others of the sort; not ppp, behind which a provider is. */
	return (ifi->ifi_flags & IFF_POINTOPOINT) && ifi->ifi_type == ARPHRD_NONE && strcmp(kind, "wwan") != 0;
}
