/* Two devices in two namespaces, and between them this program, which does what two daemons do: it reads trains from
 * one, cuts them, joins the packets and writes them to the other. Two kernels judge: what is wrong in a header or a checksum
 * does not reach the socket. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_net.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "daemon/data/train.h"
#include "tests/unit/netns.h"
#include "tests/unit/train_cases.h"
#include "tun/netlink.h"

#define MTU 1400
#define TRANSFER_BYTES (20 * 1000 * 1000)
#define URGENT_AT 3000000
#define DEADLINE_S 20
#define SLOTS 256 /* packets on their way between the two */
#define OFFLOADS (TUN_VNET | TUN_TSO | TUN_USO)

struct way {
	const char *name;
	unsigned features[2];
	size_t max_packet;
	bool is_joining;
};

static const struct way ways[] = {
	{ "cut and joined", { OFFLOADS, OFFLOADS }, MTU, true },
	{ "cut, not joined", { OFFLOADS, OFFLOADS }, MTU, false },
	{ "cut smaller and joined", { OFFLOADS, OFFLOADS }, 600, true },
	{ "without a header at the far end", { OFFLOADS, 0 }, MTU, true },
	{ "without a header at the near end", { 0, OFFLOADS }, MTU, true },
	{ "with TSO alone at the far end", { OFFLOADS, TUN_VNET | TUN_TSO }, MTU, true },
};

struct lab {
	const struct way *way;
	struct tun tun[2];
	int ns[2];
	unsigned n_trains, n_cut, n_written, n_packets; /* n_written: super-packets */
};

static uint8_t *data; /* TRANSFER_BYTES of noise */

static void lab_open(struct lab *lab, const struct way *way)
{
	*lab = (struct lab){ .way = way };
	for (uint8_t side = 0; side < 2; side++) {
		const uint8_t v4[4] = { 10, 78, 0, (uint8_t)(side + 1) };
		const uint8_t v6[16] = { 0xfd, 0x78, [15] = (uint8_t)(side + 1) };

		netns_enter();
		netns_set("net/ipv4/tcp_ecn", "1");
		lab->ns[side] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
		assert_true(lab->ns[side] >= 0);
		assert_int_equal(tun_open(&lab->tun[side], "test%d", 1, way->features[side]), 0);
		assert_int_equal(netlink_addr_add(lab->tun[side].ifindex, v4, 4, 24), 0);
		assert_int_equal(netlink_addr_add(lab->tun[side].ifindex, v6, 16, 64), 0);
		assert_int_equal(netlink_link_up(lab->tun[side].ifindex, MTU), 0);
	}
}

static void lab_close(struct lab *lab)
{
	for (unsigned side = 0; side < 2; side++) {
		tun_close(&lab->tun[side]);
		close(lab->ns[side]);
	}
}

static void write_joined(struct lab *lab, unsigned to, struct joined *j)
{
	const struct tun *tun = &lab->tun[to];
	struct iovec iov[TRAIN_JOIN_MAX + 1];
	struct virtio_net_hdr hdr = { 0 };

	train_join_end(j);
	lab->n_packets += j->n_packets;
	lab->n_written += j->n_packets > 1;
	hdr.flags = j->vnet.flags;
	hdr.gso_type = j->vnet.gso_type;
	hdr.gso_size = j->vnet.gso_size;
	hdr.hdr_len = j->vnet.hdr_len;
	hdr.csum_start = j->vnet.csum_start;
	hdr.csum_offset = j->vnet.csum_offset;
	iov[0] = (struct iovec){ .iov_base = &hdr, .iov_len = sizeof(hdr) };
	memcpy(iov + 1, j->iov, j->n_iov * sizeof(*iov));
	if (tun->features & TUN_VNET) {
		assert_int_equal(writev(tun->fd[0], iov, (int)j->n_iov + 1), sizeof(hdr) + j->len);
	} else {
		assert_int_equal(j->n_iov, 1);
		assert_int_equal(writev(tun->fd[0], j->iov, 1), j->len);
	}
}

/* Carries what one device holds to the other. False: there was nothing. */
static bool pump(struct lab *lab, unsigned from)
{
	static uint8_t buffer[TUN_VNET_BYTES + TUN_PACKET_MAX_BYTES], slots[SLOTS][TUN_PACKET_MAX_BYTES];
	uint8_t *const packet = buffer + TUN_VNET_BYTES;
	const struct tun *to = &lab->tun[1 - from];
	struct tun_vnet vnet;
	struct joined j = { .n_packets = 0 };
	unsigned n = 0;
	ssize_t len;

	while (n < SLOTS / 2 && (len = tun_read(&lab->tun[from], 0, packet, TUN_PACKET_MAX_BYTES, &vnet)) > 0) {
		struct train t;
		size_t size;
		uint8_t *cut;
		int ret = train_begin(&t, packet, (size_t)len, &vnet, lab->way->max_packet);

		if (ret == -EMSGSIZE) /* single packets and datagrams' trains: as over another path */
			ret = train_begin(&t, packet, (size_t)len, &vnet, TUN_PACKET_MAX_BYTES);
		assert_int_equal(ret, 0);
		assert_true(t.n <= SLOTS / 2);
		lab->n_trains += t.n > 1;
		lab->n_cut += t.n > 1 ? t.n : 0;
		while ((cut = train_next(&t, &size))) {
			bool is_partial = t.is_partial;

			assert_true(size <= MTU);
			memcpy(slots[n], cut, size);
			if (is_partial && !(to->features & TUN_VNET)) {
				assert_int_equal(train_finish_checksum(slots[n], size), 0);
				is_partial = false;
			}
			if (j.n_packets == 0 || !lab->way->is_joining ||
			    !train_join_add(&j, slots[n], size, is_partial)) {
				if (j.n_packets > 0)
					write_joined(lab, 1 - from, &j);
				train_join_begin(&j, slots[n], size, is_partial, to->features);
			}
			n++;
		}
	}
	if (j.n_packets > 0)
		write_joined(lab, 1 - from, &j);
	return n > 0;
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Carries packets until there are none and something else may have happened. */
static void pump_all(struct lab *lab)
{
	struct pollfd p[2];
	bool is_moving;

	for (unsigned side = 0; side < 2; side++)
		p[side] = (struct pollfd){ .fd = lab->tun[side].fd[0], .events = POLLIN };
	poll(p, 2, 2);
	do
		is_moving = pump(lab, 0);
	while (pump(lab, 1) || is_moving);
}

static socklen_t address(struct sockaddr_storage *sa, int family, unsigned side, uint16_t port)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	*sa = (struct sockaddr_storage){ 0 };
	if (family == AF_INET) {
		v4.sin_addr.s_addr = htonl(0x0a4e0001 + side);
		memcpy(sa, &v4, sizeof(v4));
		return sizeof(v4);
	}
	v6.sin6_addr = (struct in6_addr){ .s6_addr = { 0xfd, 0x78, [15] = (uint8_t)(side + 1) } };
	memcpy(sa, &v6, sizeof(v6));
	return sizeof(v6);
}

static int bound_socket(const struct lab *lab, int family, int type, unsigned side, uint16_t port)
{
	struct sockaddr_storage sa;
	socklen_t len = address(&sa, family, side, port);
	int fd;

	assert_int_equal(setns(lab->ns[side], CLONE_NEWNET), 0);
	fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
	return fd;
}

/* Sends a piece; one byte is urgent, and while it is on its way the kernel makes no trains. */
static size_t send_some(int fd, size_t sent)
{
	size_t end = sent < URGENT_AT ? URGENT_AT : sent == URGENT_AT ? URGENT_AT + 1 : TRANSFER_BYTES;
	ssize_t n;

	if (sent == TRANSFER_BYTES)
		return 0;
	n = send(fd, data + sent, end - sent, MSG_NOSIGNAL | (sent == URGENT_AT ? MSG_OOB : 0));
	assert_true(n > 0 || errno == EAGAIN);
	return n > 0 ? (size_t)n : 0;
}

static void tcp_transfer(struct lab *lab, int family)
{
	int listener = bound_socket(lab, family, SOCK_STREAM, 1, 7000), fd = -1, on = 1;
	int sender = bound_socket(lab, family, SOCK_STREAM, 0, 7001);
	static uint8_t got[1 << 18];
	size_t sent = 0, received = 0;
	bool is_reading = false; /* not before the window is full */
	double deadline = now_s() + DEADLINE_S;
	struct sockaddr_storage sa;
	socklen_t len = address(&sa, family, 1, 7000);

	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(connect(sender, (struct sockaddr *)&sa, len), -1);
	assert_int_equal(errno, EINPROGRESS);
	while (fd < 0) {
		pump_all(lab);
		assert_true(now_s() < deadline);
		fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	}
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on)), 0);
	pump_all(lab);
	while (received < TRANSFER_BYTES) {
		size_t n_sent = 0, n;
		ssize_t n_got;

		assert_true(now_s() < deadline);
		while ((n = send_some(sender, sent + n_sent)) > 0)
			n_sent += n;
		sent += n_sent;
		pump_all(lab);
		if (n_sent == 0)
			is_reading = true;
		while (is_reading && (n_got = recv(fd, got, sizeof(got), 0)) > 0) {
			assert_true(received + (size_t)n_got <= sent);
			assert_memory_equal(got, data + received, n_got);
			received += (size_t)n_got;
		}
	}
	close(sender);
	close(fd);
	close(listener);
	pump_all(lab);
}

static void expect_datagram(struct lab *lab, int fd, const uint8_t *expected, size_t len)
{
	static uint8_t got[1 << 16];
	double deadline = now_s() + DEADLINE_S;
	ssize_t n;

	while ((n = recv(fd, got, sizeof(got), 0)) < 0) {
		assert_int_equal(errno, EAGAIN);
		assert_true(now_s() < deadline);
		pump_all(lab);
	}
	assert_int_equal(n, len);
	assert_memory_equal(got, expected, len);
}

static void udp_datagrams(struct lab *lab, int family)
{
	static const size_t sizes[] = { 1,    2,    3,    535,  536,  552,  553,  1351, 1352,  1353,  1371,
					1372, 1373, 1400, 2000, 2743, 2744, 2745, 9000, 32767, 65506, 65507 };
	int fd = bound_socket(lab, family, SOCK_DGRAM, 1, 7000);
	int sender = bound_socket(lab, family, SOCK_DGRAM, 0, 7001);
	struct sockaddr_storage sa;
	socklen_t sa_len = address(&sa, family, 1, 7000);

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]) + 100; i++) {
		size_t len = i < 100 ? 1 + draw(i % 2 ? 65507 : 3000) : sizes[i - 100];

		assert_int_equal(sendto(sender, data + i, len, 0, (struct sockaddr *)&sa, sa_len), len);
		expect_datagram(lab, fd, data + i, len);
	}
	for (unsigned i = 0; i < 100; i++) { /* trains */
		int segment = (int)(1 + draw(1300));
		size_t len = 1 + draw(60u * (unsigned)segment < 64000 ? 60u * (unsigned)segment : 64000);

		assert_int_equal(setsockopt(sender, SOL_UDP, UDP_SEGMENT, &segment, sizeof(segment)), 0);
		assert_int_equal(sendto(sender, data, len, 0, (struct sockaddr *)&sa, sa_len), len);
		for (size_t at = 0; at < len; at += (size_t)segment)
			expect_datagram(lab, fd, data + at, len - at < (size_t)segment ? len - at : (size_t)segment);
	}
	close(sender);
	close(fd);
}

static void bytes_arrive_whole_on_every_way(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		const struct way *way = &ways[i];
		struct lab lab;

		print_message("%s\n", way->name);
		lab_open(&lab, way);
		for (unsigned f = 0; f < 2; f++) {
			int family = f ? AF_INET6 : AF_INET;
			struct lab before = lab;
			bool is_near = lab.tun[0].features & TUN_TSO, is_far = lab.tun[1].features & TUN_TSO;

			tcp_transfer(&lab, family);
			/* The transfer went in trains where it can. */
			if (is_near)
				assert_true(lab.n_cut - before.n_cut > TRANSFER_BYTES / MTU / 2);
			if (is_near && is_far && way->is_joining)
				assert_true(lab.n_written - before.n_written > 100);
			else
				assert_int_equal(lab.n_written, 0);
			before = lab;
			udp_datagrams(&lab, family);
			if (lab.tun[0].features & TUN_USO)
				assert_true(lab.n_trains - before.n_trains > 50);
			if (way->is_joining && lab.tun[0].features & lab.tun[1].features & TUN_USO)
				assert_true(lab.n_written - before.n_written > 50);
			else
				assert_int_equal(lab.n_written, before.n_written);
		}
		lab_close(&lab);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_arrive_whole_on_every_way),
	};
	struct tun tun;
	int ret;

	netns_enter();
	ret = tun_open(&tun, "test%d", 1, 0);
	if (ret == -ENOENT || ret == -ENODEV) /* a container without the device */
		return 77;
	tun_close(&tun);
	data = malloc(TRANSFER_BYTES);
	if (!data)
		return 1;
	draw_bytes(data, TRANSFER_BYTES);
	ret = cmocka_run_group_tests(tests, NULL, NULL);
	free(data);
	return ret;
}
