#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tun/netlink.h"
#include "tun/netlink_request.h"

int netlink_watch_open(struct netlink_watch *watch)
{
	/* A bare descriptor, which its owner can poll; a struct mnl_socket hides it. */
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK };

	*watch = (struct netlink_watch){ .fd = -1 };
	if (fd < 0)
		return -errno;
	sa.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		int ret = -errno;

		close(fd);
		return ret;
	}
	watch->fd = fd;
	return 0;
}

void netlink_watch_close(struct netlink_watch *watch)
{
	if (watch->fd >= 0)
		close(watch->fd);
	watch->fd = -1;
}

uint32_t netlink_watch_losses(struct netlink_watch *watch, int ifindex)
{
	for (unsigned i = 0; i < watch->n_used; i++)
		if (watch->used[i].ifindex == ifindex)
			return watch->n_lost_all + watch->used[i].n_lost;
	if (watch->n_used == NETLINK_USED_MAX) { /* what they counted is forgotten: said by one loss of each */
		for (unsigned i = 0; i < watch->n_used; i++)
			watch->n_lost_all += watch->used[i].n_lost;
		watch->n_lost_all++;
		watch->n_used = 0;
	}
	watch->used[watch->n_used++] = (struct netlink_used){ .ifindex = ifindex };
	return watch->n_lost_all;
}

static void lose(struct netlink_watch *watch, int ifindex)
{
	for (unsigned i = 0; i < watch->n_used; i++)
		if (watch->used[i].ifindex == ifindex)
			watch->used[i].n_lost++;
}

struct drain {
	struct netlink_watch *watch;
	bool is_changed;
};

static void link_judge(struct drain *drain, const struct nlmsghdr *nlh)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;

	if (nlh->nlmsg_type == RTM_DELLINK || !(ifi->ifi_flags & IFF_UP) || !(ifi->ifi_flags & IFF_RUNNING))
		lose(drain->watch, ifi->ifi_index);
	/* Scan results and signal levels of a wireless driver come as link messages, many a minute. */
	for (attr = netlink_attr_first(nlh, sizeof(*ifi)); netlink_attr_is_inside(nlh, attr);
	     attr = mnl_attr_next(attr))
		if (mnl_attr_get_type(attr) == IFLA_WIRELESS)
			return;
	drain->is_changed = true;
}

static int message_judge(const struct nlmsghdr *nlh, void *arg)
{
	struct drain *drain = arg;

	switch (nlh->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		if (mnl_nlmsg_get_payload_len(nlh) >= sizeof(struct ifinfomsg))
			link_judge(drain, nlh);
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		if (mnl_nlmsg_get_payload_len(nlh) >= sizeof(struct rtmsg))
			drain->is_changed |=
				!(((const struct rtmsg *)mnl_nlmsg_get_payload(nlh))->rtm_flags & RTM_F_CLONED);
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		drain->is_changed = true;
		break;
	default:
		break;
	}
	return MNL_CB_OK;
}

bool netlink_watch_drain(struct netlink_watch *watch)
{
	uint8_t buffer[NETLINK_BUFFER_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct drain drain = { .watch = watch };

	for (;;) {
		struct sockaddr_nl from = { 0 };
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(watch->fd, buffer, sizeof(buffer), 0, (struct sockaddr *)&from, &from_len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ENOBUFS) { /* more happened than the socket could hold */
			drain.is_changed = true;
			watch->n_lost_all++;
			continue;
		}
		if (n <= 0)
			return drain.is_changed;
		if (from.nl_pid == 0) /* the kernel; other processes may write to us as well */
			mnl_cb_run(buffer, (size_t)n, 0, 0, message_judge, &drain);
	}
}
