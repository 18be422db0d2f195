#include "daemon/net/udp.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <unistd.h>

/* What the kernel takes in one UDP_SEGMENT send: UDP_MAX_SEGMENTS of include/linux/udp.h before Linux 6.10, and an IP
 * packet less its headers, IPv6's being the longer. */
#define UDP_GSO_MAX_SEGMENTS 64
#define UDP_GSO_MAX_BYTES (65535 - 40 - 8)

/* A socket's pending error comes before its datagrams, and whole batches may be unusable; past this many in a row the
 * caller gets its turn and comes back, the socket being readable still. */
#define UDP_RECV_TRIES 4

/* 10 KiB and more that are filled as far as they are used: not zeroed at every call (-ftrivial-auto-var-init). */
#define BATCH_UNINITIALIZED __attribute__((uninitialized))

union control { /* our address (the longer of the two families'), then UDP_SEGMENT (uint16_t), UDP_GRO or hops (int) */
	struct cmsghdr header;
	uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int))];
};

/* ------------------------------------------------------------------ open */

static int set_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* Either DF on every datagram and the kernel's own idea of the path MTU ignored, so that a forged ICMP message cannot shrink
 * what is sent (EMSGSIZE then means the outgoing link's MTU); or never DF, and what is too big is fragmented. */
static void set_fragmenting(int fd, bool is_v6, bool dont_fragment)
{
	set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, dont_fragment ? IP_PMTUDISC_PROBE : IP_PMTUDISC_DONT);
	if (is_v6)
		set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER,
			   dont_fragment ? IPV6_PMTUDISC_PROBE : IPV6_PMTUDISC_DONT);
}

static void set_buffers(int fd, int bytes)
{
	if (bytes <= 0)
		return;
	if (set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, bytes) < 0)
		set_option(fd, SOL_SOCKET, SO_RCVBUF, bytes);
	if (set_option(fd, SOL_SOCKET, SO_SNDBUFFORCE, bytes) < 0)
		set_option(fd, SOL_SOCKET, SO_SNDBUF, bytes);
}

static int bind_to(int fd, bool is_v6, const struct ip *address, const struct udp_options *options)
{
	struct endpoint ep = { .ip = *address, .port = options->port };
	struct sockaddr_storage ss;
	socklen_t len;

	if (ip_is_link_local(address) && address->len == 16 && options->bind_interface)
		ep.scope = if_nametoindex(options->bind_interface);
	len = endpoint_to_sockaddr(&ep, is_v6, &ss);
	return bind(fd, (struct sockaddr *)&ss, len) < 0 ? -errno : 0;
}

static int open_family(struct udp *udp, bool is_v6, const struct ip *address, const struct udp_options *options)
{
	const char *interface = options->bind_interface;
	int ret = 0, fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP);

	if (fd < 0)
		return -errno;
	if (is_v6)
		ret = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	if (ret == 0 && options->reuse_port)
		ret = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (ret == 0 && interface && interface[0] &&
	    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface, (socklen_t)strlen(interface)) < 0)
		ret = -errno;
	if (ret == 0)
		ret = bind_to(fd, is_v6, address, options);
	if (ret < 0) {
		close(fd);
		return ret;
	}
	set_fragmenting(fd, is_v6, options->dont_fragment);
	set_buffers(fd, options->buffer_bytes);
	udp->fd = fd;
	udp->is_v6 = is_v6;
	/* An IPv6 socket tells of IPv4 datagrams, and takes the order for them, in the same message, mapped. */
	udp->has_local = options->want_local && (is_v6 ? set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) :
							 set_option(fd, IPPROTO_IP, IP_PKTINFO, 1)) == 0;
	udp->has_gso = options->want_gso && set_option(fd, IPPROTO_UDP, UDP_SEGMENT, 0) == 0;
	udp->has_gro = options->want_gro && set_option(fd, IPPROTO_UDP, UDP_GRO, 1) == 0;
	return 0;
}

int udp_open(struct udp *udp, const struct udp_options *options)
{
	static const struct ip any4 = { .len = 4 }, any6 = { .len = 16 };
	const struct ip *address = &options->address;
	bool is_both = ip_is_none(address) || (address->len == 16 && ip_is_unspecified(address));
	int ret;

	*udp = (struct udp){ .fd = -1 };
	if (!is_both)
		return open_family(udp, address->len == 16, address, options);
	ret = open_family(udp, true, &any6, options);
	/* No IPv6 in this kernel, or not allowed here. Every other failure would be IPv4's as well. */
	if (ret == -EAFNOSUPPORT || ret == -EADDRNOTAVAIL || ret == -EPROTONOSUPPORT)
		ret = open_family(udp, false, &any4, options);
	return ret;
}

int udp_open_shared(struct udp *v, unsigned n, const struct udp_options *options)
{
	struct udp_options o = *options;
	int ret = udp_open(&v[0], &o);
	unsigned n_open = 0;

	if (ret < 0 || n == 1)
		return ret < 0 ? ret : 1;
	/* Alone first: a port that another program lets others share would be taken from it unnoticed. */
	ret = udp_port(&v[0]);
	udp_close(&v[0]);
	if (ret < 0)
		return ret;
	o.port = (uint16_t)ret;
	o.reuse_port = true;
	while (n_open < n && udp_open(&v[n_open], &o) == 0)
		n_open++;
	if (n_open > 0)
		return (int)n_open;
	o.reuse_port = false;
	ret = udp_open(&v[0], &o);
	return ret < 0 ? ret : 1;
}

void udp_close(struct udp *udp)
{
	if (udp->fd >= 0)
		close(udp->fd);
	*udp = (struct udp){ .fd = -1 };
}

static int local_endpoint(int fd, struct endpoint *out)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
		return -errno;
	return endpoint_from_sockaddr(out, (struct sockaddr *)&ss);
}

int udp_port(const struct udp *udp)
{
	struct endpoint ep = { 0 };
	int ret = local_endpoint(udp->fd, &ep);

	return ret < 0 ? ret : ep.port;
}

int udp_local_address(const struct endpoint *to, struct ip *out)
{
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(to, false, &ss);
	struct endpoint ep = { 0 };
	int ret, fd;

	if (ip_is_none(&to->ip))
		return -EINVAL;
	fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);
	if (fd < 0)
		return -errno;
	ret = endpoint_through(to) ? set_option(fd, SOL_SOCKET, SO_BINDTOIFINDEX, (int)to->scope) : 0;
	if (ret == 0)
		ret = connect(fd, (struct sockaddr *)&ss, len) < 0 ? -errno : local_endpoint(fd, &ep);
	close(fd);
	if (ret == 0)
		*out = ep.ip;
	return ret;
}

struct udp_fill udp_fill(const struct udp *udp)
{
	uint32_t m[SK_MEMINFO_VARS] = { 0 };
	socklen_t len = sizeof(m);
	struct udp_fill fill = { 0 };

	if (getsockopt(udp->fd, SOL_SOCKET, SO_MEMINFO, m, &len) < 0 || !m[SK_MEMINFO_RCVBUF] || !m[SK_MEMINFO_SNDBUF])
		return fill;
	fill.in_percent = (unsigned)((uint64_t)m[SK_MEMINFO_RMEM_ALLOC] * 100 / m[SK_MEMINFO_RCVBUF]);
	fill.out_percent = (unsigned)((uint64_t)m[SK_MEMINFO_WMEM_ALLOC] * 100 / m[SK_MEMINFO_SNDBUF]);
	return fill;
}

/* ------------------------------------------------------------------ receive */

struct recv_batch {
	struct mmsghdr m[UDP_BATCH_MAX];
	struct iovec iov[UDP_BATCH_MAX];
	struct sockaddr_in6 from[UDP_BATCH_MAX]; /* the longer of the two families */
	union control control[UDP_BATCH_MAX];
};

/* What the control messages say: the segment size (0: not a train) and our address (none: not told). */
static size_t control_read(struct msghdr *h, struct ip *local)
{
	size_t segment = 0;

	*local = (struct ip){ 0 };
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
			int size;

			memcpy(&size, CMSG_DATA(c), sizeof(size));
			segment = size > 0 ? (size_t)size : 0;
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			ip_from_bytes(local, (const uint8_t *)&info.ipi6_addr, 16);
		} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			ip_from_bytes(local, (const uint8_t *)&info.ipi_spec_dst, 4);
		}
	}
	if (ip_is_multicast(local) || ip_is_broadcast(local)) /* nothing can be sent from there */
		*local = (struct ip){ 0 };
	return segment;
}

/* What the message says about its run; false: nothing of it is usable. */
static bool run_from_message(struct udp_run *run, struct mmsghdr *m)
{
	size_t len = m->msg_len, segment = control_read(&m->msg_hdr, &run->local);

	if (segment == 0 || segment > len)
		segment = len;
	if (m->msg_hdr.msg_flags & MSG_TRUNC) {
		/* Of a train, those that came whole are kept. */
		if (segment == len || segment > run->capacity)
			return false;
		len -= len % segment;
	}
	run->len = len;
	run->segment_bytes = segment;
	return endpoint_from_sockaddr(&run->peer, m->msg_hdr.msg_name) == 0;
}

/* The kernel fills iov in place, so a run that is left out changes places with a later one, buffer and all. */
static int runs_from_batch(struct udp_run *runs, struct recv_batch *b, unsigned n_messages)
{
	unsigned n_kept = 0;

	for (unsigned i = 0; i < n_messages; i++) {
		struct udp_run spare;

		if (!run_from_message(&runs[i], &b->m[i]))
			continue;
		spare = runs[n_kept];
		runs[n_kept] = runs[i];
		runs[i] = spare;
		n_kept++;
	}
	return (int)n_kept;
}

static void recv_batch_init(struct recv_batch *b, const struct udp_run *runs, unsigned n, bool has_control)
{
	for (unsigned i = 0; i < n; i++) {
		struct msghdr *h = &b->m[i].msg_hdr;

		b->iov[i] = (struct iovec){ .iov_base = runs[i].data, .iov_len = runs[i].capacity };
		*h = (struct msghdr){ .msg_name = &b->from[i], .msg_iov = &b->iov[i], .msg_iovlen = 1 };
		h->msg_namelen = sizeof(b->from[i]);
		if (has_control) {
			h->msg_control = &b->control[i];
			h->msg_controllen = sizeof(b->control[i]);
		}
	}
}

int udp_recv(struct udp *udp, struct udp_run *runs, unsigned n)
{
	struct recv_batch b BATCH_UNINITIALIZED;

	if (n > UDP_BATCH_MAX)
		n = UDP_BATCH_MAX;
	for (int tries = 0; tries < UDP_RECV_TRIES; tries++) {
		int n_messages, n_runs;

		recv_batch_init(&b, runs, n, udp->has_gro || udp->has_local);
		n_messages = recvmmsg(udp->fd, b.m, n, MSG_DONTWAIT, NULL);
		if (n_messages < 0 && errno == EAGAIN)
			return 0;
		if (n_messages <= 0)
			continue;
		n_runs = runs_from_batch(runs, &b, (unsigned)n_messages);
		if (n_runs > 0)
			return n_runs; /* else all were cut short, and there may be more */
	}
	return 0;
}

/* ------------------------------------------------------------------ send */

unsigned udp_runs_add(struct udp_run *runs, unsigned n_runs, const struct endpoint *to, const struct ip *local,
		      uint8_t *data, size_t len)
{
	static const struct ip any = { 0 };
	struct udp_run *last = n_runs ? &runs[n_runs - 1] : NULL;

	if (!local)
		local = &any;
	if (last && last->data + last->len == data && !udp_run_is_full(last, len) && endpoint_equal(&last->peer, to) &&
	    ip_equal(&last->local, local)) {
		last->len += len;
		return n_runs;
	}
	runs[n_runs] = (struct udp_run){ .peer = *to, .local = *local, .data = data, .len = len, .segment_bytes = len };
	return n_runs + 1;
}

struct send_batch {
	struct mmsghdr m[UDP_BATCH_MAX];
	struct iovec iov[UDP_BATCH_MAX];
	struct sockaddr_storage to[UDP_BATCH_MAX];
	union control control[UDP_BATCH_MAX];
	size_t local_bytes[UDP_BATCH_MAX]; /* of control that say our address; UDP_SEGMENT comes after */
	unsigned run[UDP_BATCH_MAX];       /* which run a message is a part of */
	size_t segment[UDP_BATCH_MAX];     /* of a message with UDP_SEGMENT, else 0 */
	unsigned n;
};

struct send_result {
	unsigned n_errors;
	int last_error;
	unsigned last_run; /* counted in n_errors already, UINT_MAX: none */
};

/* gso_error is the one thing that sending changes; any thread may send. */
bool udp_has_gso(const struct udp *udp, int *error)
{
	int refused = __atomic_load_n(&udp->gso_error, __ATOMIC_RELAXED);

	if (error)
		*error = refused;
	return udp->has_gso && refused == 0;
}

void udp_retry_gso(struct udp *udp)
{
	__atomic_store_n(&udp->gso_error, 0, __ATOMIC_RELAXED);
}

/* The length of the next message of a run from `offset`: one datagram, or as much of the train as goes at once. */
static size_t chunk_len(const struct udp_run *run, size_t offset, size_t segment, bool has_gso)
{
	size_t left = run->len - offset, n = 1;

	if (has_gso && segment > 0) {
		n = UDP_GSO_MAX_BYTES / segment;
		if (n > UDP_GSO_MAX_SEGMENTS)
			n = UDP_GSO_MAX_SEGMENTS;
		if (n == 0)
			n = 1;
	}
	return left < n * segment ? left : n * segment;
}

static size_t run_segment(const struct udp_run *run)
{
	return run->segment_bytes > 0 && run->segment_bytes < run->len ? run->segment_bytes : run->len;
}

/* Appends one control message; the buffer has room for those we send. */
static void control_add(struct msghdr *h, union control *control, int level, int type, const void *data, size_t len)
{
	struct cmsghdr *c = (void *)(control->bytes + h->msg_controllen);

	memset(c, 0, CMSG_SPACE(len));
	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(c), data, len);
	h->msg_control = control;
	h->msg_controllen += CMSG_SPACE(len);
}

/* Where a datagram is to leave: from that address of ours, which may be none, and through the link that `to` says. */
static void control_add_local(struct msghdr *h, union control *control, const struct endpoint *to,
			      const struct ip *from, bool is_v6)
{
	struct endpoint local = { .ip = { .len = to->ip.len } };
	struct sockaddr_storage ss;

	if (from->len == to->ip.len)
		local.ip = *from;
	if (is_v6) {
		struct in6_pktinfo info = { .ipi6_ifindex = to->scope };

		endpoint_to_sockaddr(&local, true, &ss);
		info.ipi6_addr = ((struct sockaddr_in6 *)&ss)->sin6_addr;
		control_add(h, control, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
	} else {
		struct in_pktinfo info = { .ipi_ifindex = (int)to->scope };

		memcpy(&info.ipi_spec_dst, local.ip.b, 4);
		control_add(h, control, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	}
}

static void message_add(struct send_batch *b, const struct udp *udp, unsigned run_index, const struct udp_run *run,
			size_t offset, size_t len)
{
	unsigned i = b->n++;
	struct msghdr *h = &b->m[i].msg_hdr;
	size_t segment = run_segment(run);

	b->run[i] = run_index;
	b->segment[i] = 0;
	b->iov[i] = (struct iovec){ .iov_base = offset ? run->data + offset : run->data, .iov_len = len };
	*h = (struct msghdr){ .msg_name = &b->to[i], .msg_iov = &b->iov[i], .msg_iovlen = 1 };
	h->msg_namelen = endpoint_to_sockaddr(&run->peer, udp->is_v6, &b->to[i]);
	if ((udp->has_local && run->local.len == run->peer.ip.len) || endpoint_through(&run->peer))
		control_add_local(h, &b->control[i], &run->peer, &run->local, udp->is_v6);
	b->local_bytes[i] = h->msg_controllen;
	if (len > segment) {
		uint16_t gso_size = (uint16_t)segment;

		b->segment[i] = segment;
		control_add(h, &b->control[i], IPPROTO_UDP, UDP_SEGMENT, &gso_size, sizeof(gso_size));
	}
}

static int send_message(int fd, const struct msghdr *h)
{
	for (;;) {
		if (sendmsg(fd, h, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno != EINTR)
			return -errno;
	}
}

static void count_error(struct send_result *result, unsigned run, int error)
{
	if (result->last_run != run)
		result->n_errors++;
	result->last_run = run;
	result->last_error = error < 0 ? -error : error;
}

/* EIO: the way out cannot checksum (no offload before Linux 6.11, IPsec on top); EINVAL: the socket is not to, or with older
 * kernels that a segment is longer than the link's MTU, or the address no good. EOPNOTSUPP: kernels that only look like Linux. */
static bool may_be_gso(int error)
{
	return error == EIO || error == EINVAL || error == EOPNOTSUPP;
}

/* Sends what UDP_SEGMENT was refused for, datagram by datagram. Only datagrams that go through alone show that
 * segmentation was to blame. */
static int resend_plain(struct udp *udp, const struct send_batch *b, unsigned i, int error, struct send_result *result)
{
	struct iovec iov = { .iov_base = b->iov[i].iov_base };
	struct msghdr h = b->m[i].msg_hdr;
	size_t left = b->iov[i].iov_len;
	bool is_any_sent = false, is_any_refused = false;

	h.msg_iov = &iov;
	h.msg_controllen = b->local_bytes[i];
	while (left > 0) {
		int ret;

		iov.iov_len = left < b->segment[i] ? left : b->segment[i];
		ret = send_message(udp->fd, &h);
		if (ret == -EAGAIN)
			return ret;
		if (ret < 0) {
			count_error(result, b->run[i], ret);
			is_any_refused = true;
		} else {
			is_any_sent = true;
		}
		iov.iov_base = (uint8_t *)iov.iov_base + iov.iov_len;
		left -= iov.iov_len;
	}
	if (is_any_sent && !is_any_refused)
		__atomic_store_n(&udp->gso_error, error, __ATOMIC_RELAXED);
	return 0;
}

/* Returns 0, or -EAGAIN with *n_done messages gone. */
static int batch_flush(struct udp *udp, struct send_batch *b, unsigned *n_done, struct send_result *result)
{
	unsigned i = 0;
	int ret = 0;

	while (i < b->n && ret == 0) {
		int n = sendmmsg(udp->fd, b->m + i, b->n - i, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0) {
			i += (unsigned)n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0 || errno == EAGAIN) {
			ret = -EAGAIN;
		} else if (b->segment[i] && may_be_gso(errno)) {
			ret = resend_plain(udp, b, i, errno, result);
			if (ret == 0)
				i++;
		} else {
			count_error(result, b->run[i], errno);
			i++;
		}
	}
	*n_done = i;
	return ret;
}

/* Adds messages from run *r, offset *offset on until the batch is full or the runs are. */
static void batch_fill(struct send_batch *b, const struct udp *udp, const struct udp_run *runs, unsigned n, unsigned *r,
		       size_t *offset, struct send_result *result)
{
	bool has_gso = udp_has_gso(udp, NULL);

	b->n = 0;
	while (b->n < UDP_BATCH_MAX && *r < n) {
		const struct udp_run *run = &runs[*r];
		size_t len = chunk_len(run, *offset, run_segment(run), has_gso);

		if (ip_is_none(&run->peer.ip)) { /* would be written as "::", which the kernel takes for itself */
			count_error(result, *r, EDESTADDRREQ);
			++*r;
			continue;
		}
		message_add(b, udp, *r, run, *offset, len);
		*offset += len;
		if (*offset >= run->len) {
			++*r;
			*offset = 0;
		}
	}
}

int udp_send(struct udp *udp, const struct udp_run *runs, unsigned n, unsigned *n_errors, int *last_error)
{
	struct send_result result = { .last_run = UINT32_MAX };
	struct send_batch b BATCH_UNINITIALIZED;
	unsigned r = 0, n_done = 0;
	size_t offset = 0;
	int ret = 0;

	while (r < n && ret == 0) {
		batch_fill(&b, udp, runs, n, &r, &offset, &result);
		ret = batch_flush(udp, &b, &n_done, &result);
		if (ret < 0)
			r = b.run[n_done];
	}
	if (n_errors)
		*n_errors += result.n_errors;
	if (last_error && result.n_errors)
		*last_error = result.last_error;
	return (int)r;
}

/* hops 0: as many as the kernel's default allows */
static int send_single(const struct udp *udp, const struct endpoint *to, const void *data, size_t len, int hops)
{
	struct sockaddr_storage ss;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)data, .iov_len = len }; /* only read */
	struct msghdr h = { .msg_name = &ss, .msg_iov = &iov, .msg_iovlen = 1 };
	static const struct ip any = { 0 };
	bool is_v4 = to->ip.len == 4; /* on an IPv6 socket too: mapped */
	union control control;

	if (ip_is_none(&to->ip))
		return -EDESTADDRREQ;
	if (endpoint_through(to))
		control_add_local(&h, &control, to, &any, udp->is_v6);
	h.msg_namelen = endpoint_to_sockaddr(to, udp->is_v6, &ss);
	if (hops)
		control_add(&h, &control, is_v4 ? IPPROTO_IP : IPPROTO_IPV6, is_v4 ? IP_TTL : IPV6_HOPLIMIT, &hops,
			    sizeof(hops));
	return send_message(udp->fd, &h);
}

int udp_send_one(const struct udp *udp, const struct endpoint *to, const void *data, size_t len)
{
	return send_single(udp, to, data, len, 0);
}

int udp_send_hops(const struct udp *udp, const struct endpoint *to, const void *data, size_t len, int hops)
{
	return send_single(udp, to, data, len, hops);
}
