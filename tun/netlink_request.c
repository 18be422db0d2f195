#include "tun/netlink_request.h"

#include <errno.h>
#include <sys/socket.h>

void *netlink_request_init(struct netlink_request *req, uint16_t type, uint16_t flags, size_t extra_bytes)
{
	req->nlh = mnl_nlmsg_put_header(req->u.bytes);
	req->nlh->nlmsg_type = type;
	req->nlh->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	req->nlh->nlmsg_seq = 1;
	return mnl_nlmsg_put_extra_header(req->nlh, extra_bytes);
}

/* Reads answers until the acknowledgement or the end of the dump. */
static int answers_read(struct mnl_socket *nl, const struct netlink_request *req, mnl_cb_t each, void *arg)
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

int netlink_request_open(struct mnl_socket **out)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	int ret;

	if (!nl)
		return -errno;
	if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0) {
		ret = -errno;
		mnl_socket_close(nl);
		return ret;
	}
	*out = nl;
	return 0;
}

int netlink_request_run_on(struct mnl_socket *nl, const struct netlink_request *req, mnl_cb_t each, void *arg)
{
	if (mnl_socket_sendto(nl, req->nlh, req->nlh->nlmsg_len) < 0)
		return -errno;
	return answers_read(nl, req, each, arg);
}

int netlink_request_run(const struct netlink_request *req, mnl_cb_t each, void *arg)
{
	struct mnl_socket *nl;
	int ret = netlink_request_open(&nl);

	if (ret < 0)
		return ret;
	ret = netlink_request_run_on(nl, req, each, arg);
	mnl_socket_close(nl);
	return ret;
}

int netlink_family_of(size_t len)
{
	return len == 4 ? AF_INET : len == 16 ? AF_INET6 : AF_UNSPEC;
}

const struct nlattr *netlink_attr_first(const struct nlmsghdr *nlh, size_t extra_bytes)
{
	return mnl_nlmsg_get_payload_offset(nlh, extra_bytes);
}

bool netlink_attr_is_inside(const struct nlmsghdr *nlh, const struct nlattr *attr)
{
	return mnl_attr_ok(attr, (int)((const char *)mnl_nlmsg_get_payload_tail(nlh) - (const char *)attr));
}
