/* Real sockets over the loopback of a namespace of its own. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/net/udp.h"
#include "tests/unit/netns.h"
#include "tun/netlink.h"

#define LO 1
#define RUNS 16

static uint8_t out[200000];
static uint8_t in[RUNS][65536];
static struct udp_run runs[RUNS];

static void open_with(struct udp *udp, const char *address, bool want_gso, bool want_gro)
{
	struct udp_options options = {
		.want_gso = want_gso, .want_gro = want_gro, .dont_fragment = true, .buffer_bytes = 4 << 20
	};

	if (address)
		assert_int_equal(ip_from_text(&options.address, address), 0);
	assert_int_equal(udp_open(udp, &options), 0);
}

static struct endpoint at(const char *address, const struct udp *udp)
{
	struct endpoint ep = { 0 };

	assert_int_equal(ip_from_text(&ep.ip, address), 0);
	if (udp)
		ep.port = (uint16_t)udp_port(udp);
	return ep;
}

static struct udp_run run_to(struct endpoint to, size_t offset, size_t len, size_t segment)
{
	return (struct udp_run){ .peer = to, .data = out + offset, .len = len, .segment_bytes = segment };
}

static unsigned recv_runs(struct udp *udp)
{
	struct pollfd p = { .fd = udp->fd, .events = POLLIN };

	for (unsigned i = 0; i < RUNS; i++)
		runs[i] = (struct udp_run){ .data = in[i], .capacity = sizeof(in[i]) };
	poll(&p, 1, 1000);
	return (unsigned)udp_recv(udp, runs, RUNS);
}

/* The kernel's work queue makes a new IPv6 address reachable a moment after it was added. */
static void add_address(const char *text, unsigned prefix_bits, uint32_t scope)
{
	struct endpoint self;
	struct udp udp;
	struct pollfd p = { .events = POLLIN };

	open_with(&udp, NULL, false, false);
	self = at(text, &udp);
	self.scope = scope;
	assert_int_equal(netlink_addr_add(LO, self.ip.b, self.ip.len, prefix_bits), 0);
	p.fd = udp.fd;
	for (int tries = 0; tries < 500; tries++) {
		udp_send_one(&udp, &self, out, 1);
		if (poll(&p, 1, 10) == 1)
			break;
	}
	assert_int_equal(recv_runs(&udp) > 0, 1);
	udp_close(&udp);
}

static int prepare(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7 + i / 251);
	add_address("::1", 128, 0);
	add_address("fe80::9", 64, LO);
	add_address("fd00::7", 128, 0);
	return 0;
}

/* Receives until `len` bytes are here, equal to `want`; every datagram but the last has `segment` bytes. */
static unsigned expect_bytes(struct udp *udp, const uint8_t *want, size_t len, size_t segment)
{
	size_t got = 0;
	unsigned n_runs = 0;

	while (got < len) {
		unsigned n = recv_runs(udp);

		assert_true(n > 0);
		for (unsigned i = 0; i < n; i++) {
			bool is_last = got + runs[i].len == len;

			assert_true(got + runs[i].len <= len);
			assert_memory_equal(runs[i].data, want + got, runs[i].len);
			assert_true(runs[i].segment_bytes == segment || (is_last && runs[i].len < segment));
			got += runs[i].len;
		}
		n_runs += n;
	}
	return n_runs;
}

static void both_families_reach_one_socket(void **state)
{
	struct udp a, b;
	struct endpoint four, six;

	(void)state;
	open_with(&a, NULL, false, false);
	open_with(&b, "::", false, false);
	assert_true(a.is_v6 && b.is_v6);
	four = at("127.0.0.1", &b);
	six = at("::1", &b);
	assert_int_equal(udp_send_one(&a, &four, out, 100), 0);
	assert_int_equal(recv_runs(&b), 1);
	assert_int_equal(runs[0].peer.ip.len, 4); /* not mapped */
	assert_true(ip_is_loopback(&runs[0].peer.ip));
	assert_int_equal(runs[0].peer.port, udp_port(&a));
	assert_int_equal(runs[0].len, 100);
	assert_int_equal(runs[0].segment_bytes, 100);
	assert_memory_equal(runs[0].data, out, 100);
	assert_int_equal(udp_send_one(&a, &six, out, 0), 0);
	assert_int_equal(recv_runs(&b), 1);
	assert_int_equal(runs[0].peer.ip.len, 16);
	assert_int_equal(runs[0].len, 0);
	udp_close(&a);
	udp_close(&b);
	udp_close(&b);
}

static void one_family_alone_when_asked_for(void **state)
{
	struct udp a, b;
	struct endpoint to;

	(void)state;
	open_with(&a, "0.0.0.0", false, false);
	open_with(&b, "127.0.0.1", false, false);
	assert_false(a.is_v6 || b.is_v6);
	to = at("127.0.0.1", &b);
	assert_int_equal(udp_send_one(&a, &to, out, 10), 0);
	assert_int_equal(recv_runs(&b), 1);
	assert_int_equal(runs[0].peer.ip.len, 4);
	to = at("::1", &b);
	assert_int_equal(udp_send_one(&a, &to, out, 10), -EAFNOSUPPORT);
	udp_close(&a);
	udp_close(&b);
}

/* In a process of its own, which then has no AF_INET6. */
static int without_ipv6(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_socket, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };
	struct udp_options options = { 0 };
	struct udp udp;
	struct endpoint to = { .ip = { .len = 4, .b = { 127, 0, 0, 1 } } };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ||
	    socket(AF_INET6, SOCK_DGRAM, 0) >= 0)
		return 77;
	if (udp_open(&udp, &options) < 0 || udp.is_v6)
		return 1;
	to.port = (uint16_t)udp_port(&udp);
	if (udp_send_one(&udp, &to, out, 10) < 0 || recv_runs(&udp) != 1 || runs[0].peer.port != to.port)
		return 2;
	return 0;
}

static void host_without_ipv6_gets_an_ipv4_socket(void **state)
{
	int status = -1;
	pid_t pid = fork();

	(void)state;
	if (pid == 0)
		_exit(without_ipv6());
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void port_is_shared_only_when_asked_for(void **state)
{
	struct udp_options options = { .reuse_port = true };
	struct udp a, b, c;

	(void)state;
	assert_int_equal(udp_open(&a, &options), 0);
	options.port = (uint16_t)udp_port(&a);
	assert_true(options.port > 0);
	assert_int_equal(udp_open(&b, &options), 0);
	assert_int_equal(udp_port(&b), options.port);
	options.reuse_port = false;
	assert_int_equal(udp_open(&c, &options), -EADDRINUSE);
	assert_int_equal(c.fd, -1);
	udp_close(&a);
	udp_close(&b);
}

static void a_port_of_ones_own_is_opened_several_times(void **state)
{
	struct udp_options options = { .port = 0 };
	struct udp v[3], other[2];

	(void)state;
	assert_int_equal(udp_open_shared(v, 3, &options), 3);
	options.port = (uint16_t)udp_port(&v[0]);
	assert_int_equal(udp_port(&v[2]), options.port);
	/* Others may not join, whoever they are. */
	assert_int_equal(udp_open_shared(other, 2, &options), -EADDRINUSE);
	assert_int_equal(other[0].fd, -1);
	for (unsigned i = 0; i < 3; i++)
		udp_close(&v[i]);
	assert_int_equal(udp_open_shared(v, 1, &options), 1);
	/* Alone it is not shared either. */
	options.reuse_port = true;
	assert_int_equal(udp_open(&other[0], &options), -EADDRINUSE);
	udp_close(&v[0]);
}

static void socket_is_bound_to_its_interface(void **state)
{
	struct udp_options options = { .bind_interface = "lo" };
	char name[IFNAMSIZ] = "";
	socklen_t len = sizeof(name);
	struct udp udp;

	(void)state;
	assert_int_equal(udp_open(&udp, &options), 0);
	assert_int_equal(getsockopt(udp.fd, SOL_SOCKET, SO_BINDTODEVICE, name, &len), 0);
	assert_string_equal(name, "lo");
	udp_close(&udp);
	options.bind_interface = "none-such";
	assert_int_equal(udp_open(&udp, &options), -ENODEV);
	options.bind_interface = "";
	assert_int_equal(udp_open(&udp, &options), 0);
	udp_close(&udp);
}

static void address_that_is_not_ours_is_refused(void **state)
{
	struct udp_options options = { 0 };
	struct udp udp;

	(void)state;
	assert_int_equal(ip_from_text(&options.address, "192.0.2.1"), 0);
	assert_int_equal(udp_open(&udp, &options), -EADDRNOTAVAIL);
}

static void check_fragmenting(bool dont_fragment, int want4, int want6)
{
	struct udp_options options = { .dont_fragment = dont_fragment };
	int value = -1;
	socklen_t len = sizeof(value);
	struct udp udp;

	assert_int_equal(udp_open(&udp, &options), 0);
	assert_int_equal(getsockopt(udp.fd, IPPROTO_IP, IP_MTU_DISCOVER, &value, &len), 0);
	assert_int_equal(value, want4);
	assert_int_equal(getsockopt(udp.fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &value, &len), 0);
	assert_int_equal(value, want6);
	udp_close(&udp);
}

static void datagrams_behind_each_other_are_one_run(void **state)
{
	const struct endpoint a = at("192.0.2.1", NULL), b = at("192.0.2.2", NULL);
	struct udp_run v[8];
	unsigned n;

	(void)state;
	n = udp_runs_add(v, 0, &a, NULL, out, 100);
	n = udp_runs_add(v, n, &a, NULL, out + 100, 100);
	n = udp_runs_add(v, n, &a, NULL, out + 200, 60); /* the last of them */
	assert_int_equal(n, 1);
	assert_int_equal(v[0].len, 260);
	assert_int_equal(v[0].segment_bytes, 100);
	assert_int_equal(udp_run_count(&v[0]), 3);
	n = udp_runs_add(v, n, &a, NULL, out + 260, 60);   /* after a shorter one */
	n = udp_runs_add(v, n, &a, NULL, out + 320, 100);  /* longer */
	n = udp_runs_add(v, n, &b, NULL, out + 420, 100);  /* another's */
	n = udp_runs_add(v, n, &b, NULL, out + 600, 100);  /* elsewhere */
	n = udp_runs_add(v, n, &b, &b.ip, out + 700, 100); /* from another address */
	assert_int_equal(n, 6);
	n = 0;
	for (size_t i = 0; i < UDP_RUN_SEGMENTS_MAX + 1; i++)
		n = udp_runs_add(v, n, &a, NULL, out + 10 * i, 10);
	assert_int_equal(n, 2);
	assert_int_equal(udp_run_count(&v[0]), UDP_RUN_SEGMENTS_MAX);
	assert_true(udp_run_is_full(&v[0], 10));
	assert_false(udp_run_is_full(&v[1], 10));
	assert_false(udp_run_is_full(&v[1], 9));
	assert_true(udp_run_is_full(&v[1], 11));
	assert_true(udp_run_is_full(&v[1], 0));
}

static void fragmenting_is_the_owners_choice(void **state)
{
	(void)state;
	check_fragmenting(true, IP_PMTUDISC_PROBE, IPV6_PMTUDISC_PROBE);
	check_fragmenting(false, IP_PMTUDISC_DONT, IPV6_PMTUDISC_DONT);
}

static void link_local_sender_keeps_its_scope(void **state)
{
	struct udp_options options = { .bind_interface = "lo" };
	struct udp a, b;
	struct endpoint to;

	(void)state;
	options.address = at("fe80::9", NULL).ip;
	assert_int_equal(udp_open(&a, &options), 0);
	open_with(&b, NULL, false, false);
	to = at("fe80::9", &b);
	to.scope = LO;
	assert_int_equal(udp_send_one(&a, &to, out, 10), 0);
	assert_int_equal(recv_runs(&b), 1);
	assert_true(ip_equal(&runs[0].peer.ip, &to.ip));
	assert_int_equal(runs[0].peer.scope, LO);
	assert_int_equal(udp_send_one(&b, &runs[0].peer, out, 10), 0); /* and can be answered */
	assert_int_equal(recv_runs(&a), 1);
	udp_close(&a);
	udp_close(&b);
}

/* There is no route: only whoever names the link gets out. */
static void what_is_to_go_through_a_link_goes_through_it(void **state)
{
	static const char *const bound[] = { NULL, "0.0.0.0" };
	struct endpoint to = at("192.0.2.1", NULL);
	struct udp_run run;
	unsigned n_errors;
	struct udp udp;
	struct ip ip;

	(void)state;
	to.port = 9;
	assert_int_equal(endpoint_through(&to), 0);
	for (int i = 0; i < 2; i++)
		for (int gso = 0; gso < 2; gso++) {
			open_with(&udp, bound[i], gso, false);
			to.scope = 0;
			n_errors = 0;
			run = run_to(to, 0, 2500, 1000);
			assert_int_equal(udp_send_one(&udp, &to, out, 10), -ENETUNREACH);
			assert_int_equal(udp_send(&udp, &run, 1, &n_errors, NULL), 1);
			assert_int_equal(n_errors, 1);
			to.scope = LO;
			n_errors = 0;
			run = run_to(to, 0, 2500, 1000);
			assert_int_equal(udp_send_one(&udp, &to, out, 10), 0);
			assert_int_equal(udp_send(&udp, &run, 1, &n_errors, NULL), 1);
			assert_int_equal(n_errors, 0);
			udp_close(&udp);
		}
	assert_int_equal(endpoint_through(&to), LO);
	assert_int_equal(udp_local_address(&to, &ip), 0);
	to.scope = 0;
	assert_int_equal(udp_local_address(&to, &ip), -ENETUNREACH);
}

static void train_arrives(bool gso, bool gro, const char *address)
{
	const size_t len = 30 * 1200 + 77;
	struct udp a, b;
	struct udp_run run;
	unsigned n_errors = 0, n;
	int error = 0;

	open_with(&a, NULL, gso, false);
	open_with(&b, NULL, false, gro);
	run = run_to(at(address, &b), 0, len, 1200);
	assert_int_equal(udp_send(&a, &run, 1, &n_errors, &error), 1);
	assert_int_equal(n_errors, 0);
	assert_int_equal(a.has_gso && !gso, 0);
	n = expect_bytes(&b, out, len, 1200);
	if (a.has_gso && b.has_gro)
		assert_true(n < 31); /* something was joined */
	if (!b.has_gro)
		assert_int_equal(n, 31);
	assert_int_equal(udp_recv(&b, runs, RUNS), 0);
	udp_close(&a);
	udp_close(&b);
}

static void train_arrives_whole_with_offloads(void **state)
{
	(void)state;
	train_arrives(true, true, "127.0.0.1");
	train_arrives(true, true, "::1");
}

static void train_arrives_without_gso(void **state)
{
	(void)state;
	train_arrives(false, true, "127.0.0.1");
}

static void train_arrives_without_gro(void **state)
{
	(void)state;
	train_arrives(true, false, "::1");
}

static void train_arrives_without_either(void **state)
{
	(void)state;
	train_arrives(false, false, "127.0.0.1");
}

static void trains_beyond_the_kernels_limits_are_divided(void **state)
{
	struct udp a, b;
	struct udp_run run[2];

	(void)state;
	open_with(&a, NULL, true, false);
	open_with(&b, NULL, false, true);
	run[0] = run_to(at("127.0.0.1", &b), 0, 150 * 100 + 1, 100); /* more segments */
	run[1] = run_to(at("127.0.0.1", &b), 0, 140000, 1400);       /* more bytes */
	assert_int_equal(udp_send(&a, run, 1, NULL, NULL), 1);
	expect_bytes(&b, out, run[0].len, 100);
	assert_int_equal(udp_send(&a, run + 1, 1, NULL, NULL), 1);
	expect_bytes(&b, out, run[1].len, 1400);
	udp_close(&a);
	udp_close(&b);
}

static void more_runs_than_a_batch_arrive_in_order(void **state)
{
	enum {
		N = UDP_BATCH_MAX + 40
	};
	struct udp_run many[N];
	struct udp a, b;

	(void)state;
	open_with(&a, NULL, true, false);
	open_with(&b, NULL, false, false);
	for (unsigned i = 0; i < N; i++)
		many[i] = run_to(at("127.0.0.1", &b), i * 500, 500, 500);
	assert_int_equal(udp_send(&a, many, N, NULL, NULL), N);
	assert_int_equal(expect_bytes(&b, out, N * 500, 500), N);
	udp_close(&a);
	udp_close(&b);
}

/* The kernel refuses trains from this socket, not datagrams: they arrive all the same, and no train is tried again until that is
 * asked for. */
static void expect_plain_after(struct udp *a, struct udp *b, int refused_with)
{
	struct udp_run run[3];
	unsigned n_errors = 0;
	int error = 0;

	for (unsigned i = 0; i < 3; i++)
		run[i] = run_to(at("127.0.0.1", b), i * 3500, 3500, 1000);
	assert_true(udp_has_gso(a, &error));
	assert_int_equal(error, 0);
	for (unsigned round = 0; round < 2; round++) {
		assert_int_equal(udp_send(a, run, 3, &n_errors, &error), 3);
		assert_int_equal(n_errors, 0);
		for (unsigned i = 0; i < 3; i++) {
			for (unsigned j = 0; j < 4; j++) {
				ssize_t n = recv(b->fd, in[0], sizeof(in[0]), MSG_DONTWAIT);

				assert_int_equal(n, j < 3 ? 1000 : 500);
				assert_memory_equal(in[0], out + i * 3500 + j * 1000, (size_t)n);
			}
		}
		assert_false(udp_has_gso(a, &error));
		assert_int_equal(error, refused_with);
	}
	udp_retry_gso(a);
	assert_true(udp_has_gso(a, NULL));
}

static void socket_that_may_not_checksum_goes_plain(void **state)
{
	struct udp a, b;
	int on = 1, off = 0;
	struct udp_run run;

	(void)state;
	open_with(&a, NULL, true, false);
	open_with(&b, NULL, false, false);
	if (!a.has_gso)
		skip();
	assert_int_equal(setsockopt(a.fd, SOL_SOCKET, SO_NO_CHECK, &on, sizeof(on)), 0);
	expect_plain_after(&a, &b, EINVAL);
	/* Still refused: off again at once. */
	run = run_to(at("127.0.0.1", &b), 0, 3500, 1000);
	assert_int_equal(udp_send(&a, &run, 1, NULL, NULL), 1);
	assert_false(udp_has_gso(&a, NULL));
	assert_int_equal(expect_bytes(&b, out, 3500, 1000), 4);
	/* And with the reason gone it stays on. */
	assert_int_equal(setsockopt(a.fd, SOL_SOCKET, SO_NO_CHECK, &off, sizeof(off)), 0);
	udp_retry_gso(&a);
	assert_int_equal(udp_send(&a, &run, 1, NULL, NULL), 1);
	assert_true(udp_has_gso(&a, NULL));
	assert_int_equal(expect_bytes(&b, out, 3500, 1000), 4);
	udp_close(&a);
	udp_close(&b);
}

/* UDP-Lite's sockets are the ones that every kernel which has them answers EIO for. */
static void make_lite(struct udp *udp)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6 };
	int off = 0, fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDPLITE);

	if (fd < 0 || !udp->is_v6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0)
		skip();
	assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
	assert_int_equal(dup2(fd, udp->fd), udp->fd);
	close(fd);
}

static void socket_that_gets_eio_goes_plain(void **state)
{
	struct udp a, b;

	(void)state;
	open_with(&a, NULL, true, false);
	open_with(&b, NULL, false, false);
	if (!a.has_gso)
		skip();
	make_lite(&a);
	make_lite(&b);
	expect_plain_after(&a, &b, EIO);
	udp_close(&a);
	udp_close(&b);
}

static void segments_over_the_mtu_are_told_and_gso_stays(void **state)
{
	struct udp a, b;
	struct udp_run run[2];
	unsigned n_errors = 0;
	int error = 0;
	bool had_gso;

	(void)state;
	assert_int_equal(netlink_link_up(LO, 1500), 0);
	open_with(&a, NULL, true, false);
	had_gso = udp_has_gso(&a, NULL);
	open_with(&b, NULL, false, false);
	run[0] = run_to(at("127.0.0.1", &b), 0, 6000, 2000);
	run[1] = run_to(at("127.0.0.1", &b), 0, 900, 900);
	assert_int_equal(udp_send(&a, run, 2, &n_errors, &error), 2);
	assert_int_equal(n_errors, 1);
	assert_int_equal(error, EMSGSIZE);
	assert_int_equal(expect_bytes(&b, out, 900, 900), 1);
	assert_int_equal(udp_send_one(&a, &run[0].peer, out, 2000), -EMSGSIZE);
	run[0].len = 2400;
	run[0].segment_bytes = 1200;
	n_errors = 0;
	assert_int_equal(udp_send(&a, run, 1, &n_errors, &error), 1);
	assert_int_equal(n_errors, 0);
	assert_int_equal(expect_bytes(&b, out, 2400, 1200), 2);
	assert_int_equal(udp_has_gso(&a, NULL), had_gso);
	udp_close(&a);
	udp_close(&b);
	assert_int_equal(netlink_link_up(LO, 65536), 0);
}

static void refused_runs_do_not_stop_the_batch(void **state)
{
	struct udp a, b;
	struct udp_run run[6];
	unsigned n_errors = 3;
	int error = 0;
	bool had_gso;

	(void)state;
	open_with(&a, NULL, true, false);
	had_gso = udp_has_gso(&a, NULL);
	open_with(&b, NULL, false, false);
	run[0] = run_to(at("127.0.0.1", NULL), 0, 3000, 1000); /* port 0 */
	run[1] = run_to(at("127.0.0.1", &b), 0, 100, 100);
	run[2] = run_to((struct endpoint){ .port = 9 }, 0, 100, 100); /* no address */
	run[3] = run_to(at("192.0.2.1", &b), 0, 100, 100);            /* no route */
	run[4] = run_to(at("::1", &b), 100, 100, 100);
	run[5] = run_to(at("2001:db8::1", &b), 0, 100, 100); /* no route */
	assert_int_equal(udp_send(&a, run, 6, &n_errors, &error), 6);
	assert_int_equal(n_errors, 3 + 4);
	assert_int_equal(error, ENETUNREACH);
	assert_int_equal(udp_has_gso(&a, NULL), had_gso);
	assert_int_equal(expect_bytes(&b, out, 200, 100), 2);
	assert_int_equal(udp_send_one(&a, &run[2].peer, out, 1), -EDESTADDRREQ);
	assert_int_equal(udp_send_one(&a, &run[3].peer, out, 1), -ENETUNREACH);
	udp_close(&a);
	udp_close(&b);
}

static void closed_port_is_only_a_hint(void **state)
{
	struct udp a, b;
	struct endpoint gone;
	struct udp_run run;

	(void)state;
	open_with(&a, NULL, false, false);
	open_with(&b, NULL, false, false);
	gone = at("127.0.0.1", &b);
	udp_close(&b);
	for (int i = 0; i < 3; i++)
		assert_int_equal(udp_send_one(&a, &gone, out, 10), 0);
	open_with(&b, NULL, false, false);
	run = run_to(at("127.0.0.1", &b), 0, 10, 10);
	assert_int_equal(udp_send(&a, &run, 1, NULL, NULL), 1);
	assert_int_equal(expect_bytes(&b, out, 10, 10), 1);
	udp_close(&a);
	udp_close(&b);
}

/* An Ethernet link where nobody answers ARP: datagrams wait for the address and fill the socket's buffer. */
static int silent_link(void)
{
	static const uint8_t own[4] = { 10, 66, 0, 1 };
	struct ifreq ifr = { .ifr_name = "silent" };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	ifr.ifr_flags = IFF_TAP | IFF_NO_PI;
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0)
		return -1;
	assert_int_equal(netlink_addr_add((int)if_nametoindex("silent"), own, 4, 24), 0);
	assert_int_equal(netlink_link_up((int)if_nametoindex("silent"), 0), 0);
	return fd;
}

static void full_socket_stops_at_the_run_that_does_not_fit(void **state)
{
	struct udp_options options = { .buffer_bytes = 4096 };
	struct udp_run run[RUNS];
	struct udp udp;
	unsigned n_errors = 0;
	int n, link = silent_link();

	(void)state;
	if (link < 0)
		skip();
	assert_int_equal(udp_open(&udp, &options), 0);
	for (unsigned i = 0; i < RUNS; i++) {
		run[i] = run_to(at("10.66.0.2", NULL), 0, 1200, 1200);
		run[i].peer.port = 9;
	}
	n = udp_send(&udp, run, RUNS, &n_errors, NULL);
	assert_true(n > 0 && n < RUNS);
	assert_int_equal(n_errors, 0);
	assert_int_equal(udp_send(&udp, run, RUNS, NULL, NULL), 0);
	assert_int_equal(udp_send_one(&udp, &run[0].peer, out, 1200), -EAGAIN);
	assert_true(udp_fill(&udp).out_percent >= 75);
	assert_int_equal(udp_fill(&udp).in_percent, 0);
	udp_close(&udp);
	close(link);
}

static void a_socket_that_nobody_reads_fills_up(void **state)
{
	struct udp_options options = { .buffer_bytes = 65536 };
	struct udp a, b;
	struct endpoint to;

	(void)state;
	assert_int_equal(udp_open(&a, &options), 0);
	assert_int_equal(udp_open(&b, &options), 0);
	to = at("127.0.0.1", &b);
	assert_int_equal(udp_fill(&b).in_percent, 0);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(udp_send_one(&a, &to, out, 1000), 0);
	assert_true(udp_fill(&b).in_percent >= 90);
	assert_int_equal(udp_fill(&b).out_percent, 0);
	for (unsigned i = 0; i < RUNS; i++)
		runs[i] = (struct udp_run){ .data = in[i], .capacity = sizeof(in[i]) };
	while (udp_recv(&b, runs, RUNS) > 0)
		;
	assert_int_equal(udp_fill(&b).in_percent, 0);
	udp_close(&a);
	udp_close(&b);
}

static void datagrams_cut_short_are_left_out(void **state)
{
	struct udp a, b;
	struct endpoint to;
	uint8_t *seen[3];
	struct pollfd p;

	(void)state;
	open_with(&a, NULL, false, false);
	open_with(&b, NULL, false, false);
	to = at("127.0.0.1", &b);
	assert_int_equal(udp_send_one(&a, &to, out, 101), 0);
	assert_int_equal(udp_send_one(&a, &to, out + 1, 100), 0);
	assert_int_equal(udp_send_one(&a, &to, out, 500), 0);
	assert_int_equal(udp_send_one(&a, &to, out + 2, 50), 0);
	for (unsigned i = 0; i < 3; i++)
		runs[i] = (struct udp_run){ .data = in[i], .capacity = 100 };
	p = (struct pollfd){ .fd = b.fd, .events = POLLIN };
	assert_int_equal(poll(&p, 1, 1000), 1);
	assert_int_equal(udp_recv(&b, runs, 3), 1);
	assert_int_equal(runs[0].len, 100);
	assert_memory_equal(runs[0].data, out + 1, 100);
	for (unsigned i = 0; i < 3; i++) { /* no buffer is lost or there twice */
		seen[i] = runs[i].data;
		for (unsigned j = 0; j < i; j++)
			assert_ptr_not_equal(seen[i], seen[j]);
	}
	assert_int_equal(udp_recv(&b, runs, 3), 1);
	assert_memory_equal(runs[0].data, out + 2, 50);
	assert_int_equal(udp_send_one(&a, &to, out, 101), 0);
	assert_int_equal(udp_recv(&b, runs, 3), 0);
	udp_close(&a);
	udp_close(&b);
}

static void train_cut_short_keeps_its_whole_datagrams(void **state)
{
	struct udp a, b;
	struct udp_run run;

	(void)state;
	open_with(&a, NULL, true, false);
	open_with(&b, NULL, false, true);
	if (!a.has_gso || !b.has_gro)
		skip();
	run = run_to(at("127.0.0.1", &b), 0, 5000, 1000);
	assert_int_equal(udp_send(&a, &run, 1, NULL, NULL), 1);
	runs[0] = (struct udp_run){ .data = in[0], .capacity = 2500 };
	assert_int_equal(udp_recv(&b, runs, 1), 1);
	assert_int_equal(runs[0].len, 2000);
	assert_int_equal(runs[0].segment_bytes, 1000);
	assert_memory_equal(runs[0].data, out, 2000);
	udp_close(&a);
	udp_close(&b);
}

/* Asked at one of several addresses, the answer comes from there, trains with and without GSO too. */
static void answer_leaves_from(const char *bound, const char *asked_at, bool gso, bool no_check)
{
	struct udp_options options = { .want_local = true, .want_gso = gso };
	struct udp a, b;
	struct udp_run answer;
	struct endpoint to;
	int on = 1;

	if (bound)
		assert_int_equal(ip_from_text(&options.address, bound), 0);
	assert_int_equal(udp_open(&b, &options), 0);
	assert_true(b.has_local);
	open_with(&a, NULL, false, false);
	if (no_check)
		assert_int_equal(setsockopt(b.fd, SOL_SOCKET, SO_NO_CHECK, &on, sizeof(on)), 0);
	to = at(asked_at, &b);
	assert_int_equal(udp_send_one(&a, &to, out, 10), 0);
	assert_int_equal(recv_runs(&b), 1);
	assert_true(ip_equal(&runs[0].local, &to.ip));
	answer = run_to(runs[0].peer, 0, 2500, 1000);
	answer.local = runs[0].local;
	assert_int_equal(udp_send(&b, &answer, 1, NULL, NULL), 1);
	for (size_t got = 0; got < 2500;) {
		unsigned n = recv_runs(&a);

		assert_true(n > 0);
		for (unsigned i = 0; i < n; i++) {
			assert_true(endpoint_equal(&runs[i].peer, &to));
			got += runs[i].len;
		}
	}
	udp_close(&a);
	udp_close(&b);
}

static void answers_leave_from_the_address_that_was_asked(void **state)
{
	(void)state;
	for (int gso = 0; gso < 2; gso++) {
		answer_leaves_from(NULL, "127.0.0.7", gso, false);
		answer_leaves_from(NULL, "fd00::7", gso, false);
		answer_leaves_from("0.0.0.0", "127.0.0.7", gso, false);
		answer_leaves_from(NULL, "127.0.0.7", gso, true);
	}
}

static void address_of_ours_that_is_gone_refuses_its_run_only(void **state)
{
	struct udp_options options = { .want_local = true };
	struct udp_run run[2];
	struct udp a, b;
	unsigned n_errors = 0;

	(void)state;
	assert_int_equal(udp_open(&a, &options), 0);
	open_with(&b, NULL, false, false);
	run[0] = run_to(at("127.0.0.1", &b), 0, 10, 10);
	run[1] = run[0];
	assert_int_equal(ip_from_text(&run[0].local, "192.0.2.1"), 0);
	assert_int_equal(ip_from_text(&run[1].local, "fd00::7"), 0); /* the other family's says nothing */
	assert_int_equal(udp_send(&a, run, 2, &n_errors, NULL), 2);
	assert_int_equal(n_errors, 1);
	assert_int_equal(expect_bytes(&b, out, 10, 10), 1);
	udp_close(&a);
	udp_close(&b);
}

static void local_address_is_the_one_towards_the_endpoint(void **state)
{
	struct endpoint to = at("127.0.0.9", NULL);
	struct ip ip = { 0 };

	(void)state;
	to.port = 9;
	assert_int_equal(udp_local_address(&to, &ip), 0);
	assert_true(ip.len == 4 && ip_is_loopback(&ip));
	to = at("::1", NULL);
	to.port = 9;
	assert_int_equal(udp_local_address(&to, &ip), 0);
	assert_true(ip.len == 16 && ip_is_loopback(&ip));
	to = at("192.0.2.1", NULL);
	to.port = 9;
	assert_int_equal(udp_local_address(&to, &ip), -ENETUNREACH);
	assert_int_equal(udp_local_address(&(struct endpoint){ 0 }, &ip), -EINVAL);
}

/* The hops left of the next datagram, as the kernel tells them; no router is on the way. */
static int hops_left(struct udp *udp)
{
	uint8_t data[16];
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = data, .iov_len = sizeof(data) };
	struct msghdr h = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	struct pollfd p = { .fd = udp->fd, .events = POLLIN };
	int hops = -1;

	assert_int_equal(poll(&p, 1, 1000), 1);
	assert_int_equal(recvmsg(udp->fd, &h, MSG_DONTWAIT), 3);
	assert_non_null(CMSG_FIRSTHDR(&h));
	memcpy(&hops, CMSG_DATA(CMSG_FIRSTHDR(&h)), sizeof(hops));
	return hops;
}

static void one_datagram_alone_gets_fewer_hops(void **state)
{
	static const char *const receivers[] = { "127.0.0.1", "::1" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		const char *const senders[] = { NULL, receivers[i] }; /* both families' socket, and the family's own */

		for (size_t k = 0; k < 2; k++) {
			const int on = 1;
			struct udp a, b;
			struct endpoint to;

			open_with(&a, senders[k], false, false);
			open_with(&b, receivers[i], false, false);
			to = at(receivers[i], &b);
			if (b.is_v6)
				assert_int_equal(setsockopt(b.fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &on, sizeof(on)), 0);
			else
				assert_int_equal(setsockopt(b.fd, IPPROTO_IP, IP_RECVTTL, &on, sizeof(on)), 0);
			assert_int_equal(udp_send_hops(&a, &to, out, 3, 2), 0);
			assert_int_equal(hops_left(&b), 2);
			assert_int_equal(udp_send_hops(&a, &to, out, 3, 255), 0);
			assert_int_equal(hops_left(&b), 255);
			assert_int_equal(udp_send_one(&a, &to, out, 3), 0);
			assert_int_equal(hops_left(&b), 64); /* the default, as before */
			udp_close(&a);
			udp_close(&b);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_families_reach_one_socket),
		cmocka_unit_test(one_family_alone_when_asked_for),
		cmocka_unit_test(host_without_ipv6_gets_an_ipv4_socket),
		cmocka_unit_test(port_is_shared_only_when_asked_for),
		cmocka_unit_test(a_port_of_ones_own_is_opened_several_times),
		cmocka_unit_test(socket_is_bound_to_its_interface),
		cmocka_unit_test(address_that_is_not_ours_is_refused),
		cmocka_unit_test(datagrams_behind_each_other_are_one_run),
		cmocka_unit_test(fragmenting_is_the_owners_choice),
		cmocka_unit_test(link_local_sender_keeps_its_scope),
		cmocka_unit_test(what_is_to_go_through_a_link_goes_through_it),
		cmocka_unit_test(train_arrives_whole_with_offloads),
		cmocka_unit_test(train_arrives_without_gso),
		cmocka_unit_test(train_arrives_without_gro),
		cmocka_unit_test(train_arrives_without_either),
		cmocka_unit_test(trains_beyond_the_kernels_limits_are_divided),
		cmocka_unit_test(more_runs_than_a_batch_arrive_in_order),
		cmocka_unit_test(socket_that_may_not_checksum_goes_plain),
		cmocka_unit_test(socket_that_gets_eio_goes_plain),
		cmocka_unit_test(segments_over_the_mtu_are_told_and_gso_stays),
		cmocka_unit_test(refused_runs_do_not_stop_the_batch),
		cmocka_unit_test(closed_port_is_only_a_hint),
		cmocka_unit_test(full_socket_stops_at_the_run_that_does_not_fit),
		cmocka_unit_test(a_socket_that_nobody_reads_fills_up),
		cmocka_unit_test(datagrams_cut_short_are_left_out),
		cmocka_unit_test(train_cut_short_keeps_its_whole_datagrams),
		cmocka_unit_test(answers_leave_from_the_address_that_was_asked),
		cmocka_unit_test(address_of_ours_that_is_gone_refuses_its_run_only),
		cmocka_unit_test(local_address_is_the_one_towards_the_endpoint),
		cmocka_unit_test(one_datagram_alone_gets_fewer_hops),
	};

	netns_enter();
	return cmocka_run_group_tests(tests, prepare, NULL);
}
