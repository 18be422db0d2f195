/* The data path with a fixed key and nothing else: what is left when sessions, tables, replay windows and control are taken away.
 *
 *   bench_floor TUN LOCAL:PORT REMOTE:PORT
 *
 * TUN to UDP in one thread, UDP to TUN in another, over the same trains, AEAD and offloads as the daemon's, so that the
 * difference between the two is what the daemon costs. IPv4 underlay of 1500 bytes. For measurement only: the key is no secret, nothing
 * is installed, and there is no protection against replay. Runs until it is killed. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/virtio_net.h>
#include <netinet/udp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crypto/aead.h"
#include "crypto/key.h"
#include "daemon/base/addr.h"
#include "daemon/data/train.h"
#include "tun/netlink.h"
#include "tun/tun.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#define UDP_GRO 104
#endif

/* As the daemon's data header: type, flags, six bytes, counter. */
#define HEADER_BYTES 16
#define COUNTER_AT 8
#define FLAG_PARTIAL 1
#define OVERHEAD_BYTES (HEADER_BYTES + AEAD_TAG_BYTES)
#define MTU_BYTES (1500 - 20 - 8 - OVERHEAD_BYTES)
/* One send: the kernel's UDP_MAX_SEGMENTS before Linux 6.9, and the largest UDP payload over IPv4. */
#define SEND_SEGMENTS_MAX 64
#define SEND_BYTES_MAX 65507
#define RECEIVE_BYTES 65536
#define SOCKET_BUFFER_BYTES (4 << 20)

struct floor {
	struct tun tun;
	int udp;
	struct aead_key send, recv;
};

static void must(int ret, const char *what)
{
	if (ret >= 0)
		return;
	fprintf(stderr, "bench_floor: %s: %s\n", what, strerror(-ret));
	exit(1);
}

/* ---------------------------------------------------------------- TUN to UDP */

static void send_segments(const struct floor *f, uint8_t *data, size_t len, size_t segment_bytes)
{
	union {
		char bytes[CMSG_SPACE(sizeof(uint16_t))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { .iov_base = data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	uint16_t size = (uint16_t)segment_bytes;

	if (len > segment_bytes) {
		struct cmsghdr *cmsg;

		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = IPPROTO_UDP;
		cmsg->cmsg_type = UDP_SEGMENT;
		cmsg->cmsg_len = CMSG_LEN(sizeof(size));
		memcpy(CMSG_DATA(cmsg), &size, sizeof(size));
	}
	/* Refused: the far end does not run yet. A full buffer drops, as a network would. */
	if (sendmsg(f->udp, &msg, 0) < 0 && errno != ECONNREFUSED && errno != ENOBUFS)
		must(-errno, "sendmsg");
}

static size_t seal(const struct floor *f, uint8_t *out, const uint8_t *packet, size_t len, bool is_partial,
		   uint64_t counter)
{
	memset(out, 0, HEADER_BYTES);
	out[1] = is_partial ? FLAG_PARTIAL : 0;
	for (unsigned i = 0; i < 8; i++)
		out[COUNTER_AT + i] = (uint8_t)(counter >> (56 - 8 * i));
	aead_seal(&f->send, out + HEADER_BYTES, packet, len, out, HEADER_BYTES, counter);
	return len + OVERHEAD_BYTES;
}

static void send_train(const struct floor *f, struct train *t, uint64_t *counter)
{
	static uint8_t out[SEND_BYTES_MAX];
	size_t packet_len, used = 0, segment_bytes = 0;
	unsigned n = 0;
	uint8_t *packet;

	while ((packet = train_next(t, &packet_len)) != NULL) {
		if (n == SEND_SEGMENTS_MAX || used + packet_len + OVERHEAD_BYTES > sizeof(out)) {
			send_segments(f, out, used, segment_bytes);
			used = n = 0;
		}
		if (n++ == 0)
			segment_bytes = packet_len + OVERHEAD_BYTES;
		used += seal(f, out + used, packet, packet_len, t->is_partial, (*counter)++);
	}
	if (n > 0)
		send_segments(f, out, used, segment_bytes);
}

static void *outwards(void *arg)
{
	static uint8_t buffer[TUN_VNET_BYTES + TUN_PACKET_MAX_BYTES];
	struct floor *f = arg;
	uint64_t counter = 0;

	for (;;) {
		struct pollfd poll_fd = { .fd = f->tun.fd[0], .events = POLLIN };
		struct tun_vnet vnet;
		struct train train;
		ssize_t len = tun_read(&f->tun, 0, buffer + TUN_VNET_BYTES, TUN_PACKET_MAX_BYTES, &vnet);

		if (len == -EAGAIN) {
			poll(&poll_fd, 1, -1);
			continue;
		}
		must((int)len, "reading the TUN");
		if (train_begin(&train, buffer + TUN_VNET_BYTES, (size_t)len, &vnet, MTU_BYTES) == 0)
			send_train(f, &train, &counter);
	}
	return NULL;
}

/* ---------------------------------------------------------------- UDP to TUN */

static void write_joined(const struct floor *f, struct joined *j)
{
	struct iovec iov[1 + TRAIN_JOIN_MAX];
	struct virtio_net_hdr hdr;

	train_join_end(j);
	hdr = (struct virtio_net_hdr){ .flags = j->vnet.flags,
				       .gso_type = j->vnet.gso_type,
				       .hdr_len = j->vnet.hdr_len,
				       .gso_size = j->vnet.gso_size,
				       .csum_start = j->vnet.csum_start,
				       .csum_offset = j->vnet.csum_offset };
	iov[0] = (struct iovec){ .iov_base = &hdr, .iov_len = TUN_VNET_BYTES };
	memcpy(iov + 1, j->iov, j->n_iov * sizeof(iov[0]));
	/* The kernel refuses what is no packet; a real network's garbage does not get this far. */
	if (writev(f->tun.fd[0], iov, (int)(1 + j->n_iov)) < 0 && errno != EAGAIN && errno != EINVAL)
		must(-errno, "writing the TUN");
}

/* Opens a datagram in place; its packet, or NULL. */
static uint8_t *open_datagram(const struct floor *f, uint8_t *data, size_t len, size_t *packet_len)
{
	uint64_t counter = 0;

	if (len < OVERHEAD_BYTES)
		return NULL;
	for (unsigned i = 0; i < 8; i++)
		counter = counter << 8 | data[COUNTER_AT + i];
	*packet_len = len - OVERHEAD_BYTES;
	if (aead_open(&f->recv, data + HEADER_BYTES, data + HEADER_BYTES, *packet_len, data, HEADER_BYTES, counter) < 0)
		return NULL;
	return data + HEADER_BYTES;
}

static void write_segments(const struct floor *f, uint8_t *data, size_t len, size_t segment_bytes)
{
	static struct joined joined;
	bool is_open = false;

	for (size_t at = 0; at < len; at += segment_bytes) {
		size_t packet_len, datagram_len = len - at < segment_bytes ? len - at : segment_bytes;
		uint8_t *packet = open_datagram(f, data + at, datagram_len, &packet_len);
		bool is_partial = data[at + 1] & FLAG_PARTIAL;

		if (!packet || (is_open && train_join_add(&joined, packet, packet_len, is_partial)))
			continue;
		if (is_open)
			write_joined(f, &joined);
		train_join_begin(&joined, packet, packet_len, is_partial, f->tun.features);
		is_open = true;
	}
	if (is_open)
		write_joined(f, &joined);
}

static size_t segment_size_of(struct msghdr *msg, size_t len)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c))
		if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
			int size;

			memcpy(&size, CMSG_DATA(c), sizeof(size));
			if (size > 0)
				return (size_t)size;
		}
	return len;
}

static void *inwards(void *arg)
{
	static uint8_t buffer[RECEIVE_BYTES];
	const struct floor *f = arg;

	for (;;) {
		union {
			char bytes[CMSG_SPACE(sizeof(int))];
			struct cmsghdr align;
		} control;
		struct iovec iov = { .iov_base = buffer, .iov_len = sizeof(buffer) };
		struct msghdr msg = { .msg_iov = &iov,
				      .msg_iovlen = 1,
				      .msg_control = control.bytes,
				      .msg_controllen = sizeof(control.bytes) };
		ssize_t len = recvmsg(f->udp, &msg, 0);

		if (len > 0)
			write_segments(f, buffer, (size_t)len, segment_size_of(&msg, (size_t)len));
		else if (len < 0 && errno != ECONNREFUSED && errno != EINTR)
			must(-errno, "recvmsg");
	}
	return NULL;
}

/* ---------------------------------------------------------------- start */

static struct sockaddr_in address_of(const char *text)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	struct endpoint ep;

	if (endpoint_from_text(&ep, text) < 0 || ep.ip.len != 4) {
		fprintf(stderr, "bench_floor: %s is no IPv4 endpoint\n", text);
		exit(64);
	}
	memcpy(&sin.sin_addr, ep.ip.b, 4);
	sin.sin_port = htons(ep.port);
	return sin;
}

static int udp_open(const struct sockaddr_in *local, const struct sockaddr_in *remote)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), size = SOCKET_BUFFER_BYTES, on = 1;

	if (fd < 0 || bind(fd, (const struct sockaddr *)local, sizeof(*local)) < 0 ||
	    connect(fd, (const struct sockaddr *)remote, sizeof(*remote)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0 ||
	    setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on)) < 0)
		must(-errno, "UDP socket");
	return fd;
}

int main(int argc, char **argv)
{
	static struct floor f;
	struct sockaddr_in local, remote;
	uint8_t key_up[32] = { 1 }, key_down[32] = { 2 };
	bool is_lower;
	pthread_t thread;

	if (argc != 4) {
		fprintf(stderr, "usage: %s TUN LOCAL:PORT REMOTE:PORT\n", argv[0]);
		return 64;
	}
	local = address_of(argv[2]);
	remote = address_of(argv[3]);
	is_lower = memcmp(&local.sin_addr, &remote.sin_addr, sizeof(local.sin_addr)) < 0;
	must(crypto_start(), "crypto");
	must(aead_key_init(&f.send, AEAD_AES_256_GCM, is_lower ? key_up : key_down), "AES-256-GCM");
	must(aead_key_init(&f.recv, AEAD_AES_256_GCM, is_lower ? key_down : key_up), "AES-256-GCM");
	must(tun_open(&f.tun, argv[1], 1, TUN_VNET | TUN_TSO | TUN_USO), "TUN");
	if (!(f.tun.features & TUN_TSO))
		must(-ENOTSUP, "TSO on the TUN");
	f.udp = udp_open(&local, &remote);
	must(netlink_link_up(f.tun.ifindex, MTU_BYTES), "MTU");
	fprintf(stderr, "bench_floor: %s, %s\n", aead_suite_name(AEAD_AES_256_GCM), f.send.impl->name);
	must(-pthread_create(&thread, NULL, outwards, &f), "thread");
	inwards(&f);
	return 0;
}
