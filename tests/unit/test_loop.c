#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/net/loop.h"
#include "tests/unit/netns.h"
#include "tun/netlink.h"

/* ------------------------------------------------------------------ timer */

struct timer_log {
	struct loop_timer *timer;
	uint64_t fired_ms[8];
	unsigned n;
	uint64_t again_ms; /* set from within the callback, 0: not */
	bool is_closing;
};

static void log_timer(void *arg)
{
	struct timer_log *log = arg;

	assert_true(log->n < 8);
	log->fired_ms[log->n++] = clock_now_ms();
	if (log->again_ms) {
		loop_timer_set(log->timer, log->again_ms);
		log->again_ms = 0;
	} else if (log->is_closing) {
		loop_timer_close(log->timer);
	}
}

/* Runs until the timer closed itself. */
static void run_timer(uv_loop_t *loop, struct timer_log *log, uint64_t at_ms)
{
	log->is_closing = true;
	assert_int_equal(loop_timer_open(&log->timer, loop, log_timer, log), 0);
	loop_timer_set(log->timer, at_ms);
	uv_run(loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(loop), 0);
}

static void timer_fires_at_its_instant_and_once(void **state)
{
	struct timer_log log = { 0 };
	uint64_t at_ms;
	uv_loop_t loop;

	(void)state;
	for (unsigned i = 0; i < 30; i++) {
		assert_int_equal(uv_loop_init(&loop), 0);
		log.n = 0;
		at_ms = clock_now_ms() + i % 4;
		run_timer(&loop, &log, at_ms);
		assert_int_equal(log.n, 1);
		assert_true(log.fired_ms[0] >= at_ms);
		assert_true(log.fired_ms[0] < at_ms + 2000);
	}
}

static void timer_set_to_the_past_fires_at_once(void **state)
{
	static const uint64_t past[] = { 0, 1, 999, 1000 };
	struct timer_log log = { 0 };
	uv_loop_t loop;

	(void)state;
	for (size_t i = 0; i < sizeof(past) / sizeof(past[0]); i++) {
		assert_int_equal(uv_loop_init(&loop), 0);
		log.n = 0;
		run_timer(&loop, &log, past[i]);
		assert_int_equal(log.n, 1);
	}
}

static void timer_can_be_set_from_its_own_call(void **state)
{
	struct timer_log log = { .again_ms = clock_now_ms() + 10 };
	uint64_t second_ms = log.again_ms;
	uv_loop_t loop;

	(void)state;
	assert_int_equal(uv_loop_init(&loop), 0);
	run_timer(&loop, &log, second_ms - 5);
	assert_int_equal(log.n, 2);
	assert_true(log.fired_ms[1] >= second_ms);
}

static void timer_that_was_unset_does_not_fire(void **state)
{
	struct timer_log log = { 0 };
	uv_loop_t loop;

	(void)state;
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(loop_timer_open(&log.timer, &loop, log_timer, &log), 0);
	loop_timer_set(log.timer, 1);
	loop_timer_set(log.timer, UINT64_MAX);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(log.n, 0);
	loop_timer_set(log.timer, UINT64_MAX - 1); /* later than any clock will say */
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(log.n, 0);
	loop_timer_set(log.timer, 1); /* nearer again */
	uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(log.n, 1);
	loop_timer_close(log.timer);
	loop_timer_close(log.timer);
	loop_timer_close(NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

static void timer_wakes_the_loop_once_an_instant(void **state)
{
	struct timer_log log = { 0 };
	unsigned n_turns = 0;
	uv_loop_t loop;

	(void)state;
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(loop_timer_open(&log.timer, &loop, log_timer, &log), 0);
	loop_timer_set(log.timer, clock_now_ms() + 20);
	while (log.n == 0) {
		uv_run(&loop, UV_RUN_ONCE);
		n_turns++;
	}
	assert_int_equal(n_turns, 1);
	loop_timer_close(log.timer);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

/* ------------------------------------------------------------------ readable descriptor */

struct watch_log {
	struct loop_watch *watch;
	unsigned n;
	ssize_t last;
	int last_errno;
	bool is_closing;
};

static void log_watch(void *arg, int fd)
{
	struct watch_log *log = arg;
	char byte[64];

	log->n++;
	log->last = recv(fd, byte, sizeof(byte), MSG_DONTWAIT);
	log->last_errno = errno;
	if (log->is_closing)
		loop_watch_close(log->watch);
}

static void watch_calls_while_there_is_something_to_read(void **state)
{
	struct watch_log log = { 0 };
	uv_loop_t loop;
	int fd[2];

	(void)state;
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fd), 0);
	assert_int_equal(loop_watch_open(&log.watch, &loop, fd[0], log_watch, &log), 0);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(log.n, 0);
	assert_int_equal(send(fd[1], "a", 1, 0), 1);
	assert_int_equal(send(fd[1], "bc", 2, 0), 2);
	uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(log.n, 1);
	assert_int_equal(log.last, 1);
	log.is_closing = true;
	uv_run(&loop, UV_RUN_DEFAULT); /* ends: it closed itself */
	assert_int_equal(log.n, 2);
	assert_int_equal(log.last, 2);
	assert_int_equal(uv_loop_close(&loop), 0);
	assert_int_equal(send(fd[0], "open", 4, 0), 4); /* the descriptor was not ours to close */
	close(fd[0]);
	close(fd[1]);
}

static void watch_goes_on_after_an_error_was_read(void **state)
{
	static const uint8_t address[4] = { 10, 1, 2, 3 };
	struct watch_log log = { 0 };
	uv_loop_t loop;
	struct netlink_watch netlink;
	int fd, bytes = 1;

	(void)state;
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(netlink_watch_open(&netlink), 0);
	fd = netlink.fd;
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)), 0);
	assert_int_equal(loop_watch_open(&log.watch, &loop, fd, log_watch, &log), 0);
	for (int i = 0; i < 50; i++) { /* more than the socket holds: ENOBUFS */
		assert_int_equal(netlink_addr_add(1, address, 4, 8), 0);
		assert_int_equal(netlink_addr_del(1, address, 4, 8), 0);
	}
	uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(log.last, -1);
	assert_int_equal(log.last_errno, ENOBUFS);
	netlink_watch_drain(&netlink);
	bytes = 1 << 16;
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)), 0);
	log.n = 0;
	assert_int_equal(netlink_addr_add(1, address, 4, 8), 0);
	uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(log.n, 1);
	assert_true(log.last > 0);
	loop_watch_close(log.watch);
	loop_watch_close(log.watch);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	netlink_watch_close(&netlink);
}

static void watch_of_a_file_is_refused(void **state)
{
	struct loop_watch *watch;
	uv_loop_t loop;
	FILE *file = tmpfile();

	(void)state;
	assert_non_null(file);
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_true(loop_watch_open(&watch, &loop, fileno(file), log_watch, NULL) < 0);
	assert_null(watch);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	fclose(file);
}

/* ------------------------------------------------------------------ resolver */

struct resolve_log {
	struct endpoint v[LOOP_RESOLVE_MAX];
	unsigned n_calls, n;
	int error;
};

static void log_resolve(void *arg, const struct endpoint *v, unsigned n, int error)
{
	struct resolve_log *log = arg;

	log->n_calls++;
	log->n = n;
	log->error = error;
	memcpy(log->v, v, n * sizeof(*v));
}

static struct resolve_log resolve(const char *host)
{
	struct resolve_log log = { 0 };
	struct loop_resolve *r;
	uv_loop_t loop;

	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(loop_resolve_start(&r, &loop, host, 27700, log_resolve, &log), 0);
	assert_non_null(r);
	assert_int_equal(log.n_calls, 0); /* never from within the start */
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	assert_int_equal(log.n_calls, 1);
	return log;
}

static void numeric_addresses_are_resolved(void **state)
{
	static const char *const hosts[][2] = {
		{ "192.0.2.7", "192.0.2.7:27700" },
		{ "2001:db8::7", "[2001:db8::7]:27700" },
		{ "[2001:db8::7]", "[2001:db8::7]:27700" },
		{ "::ffff:192.0.2.7", "192.0.2.7:27700" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		struct resolve_log log = resolve(hosts[i][0]);
		struct endpoint want;

		assert_int_equal(endpoint_from_text(&want, hosts[i][1]), 0);
		assert_int_equal(log.error, 0);
		assert_int_equal(log.n, 1);
		assert_true(endpoint_equal(&log.v[0], &want));
	}
}

static void names_are_resolved_without_repeats(void **state)
{
	/* The second is for systems without /etc/hosts, as debootstrap leaves them: getaddrinfo() needs nobody for it,
	 * and it goes the way of a name too. */
	bool has_hosts = access("/etc/hosts", R_OK) == 0;
	struct resolve_log log = resolve(has_hosts ? "localhost" : "127.1");

	(void)state;
	assert_int_equal(log.error, 0);
	assert_true(log.n > 0);
	for (unsigned i = 0; i < log.n; i++) {
		assert_true(ip_is_loopback(&log.v[i].ip));
		for (unsigned j = 0; j < i; j++)
			assert_false(endpoint_equal(&log.v[i], &log.v[j]));
	}
}

static void name_that_cannot_be_is_an_error(void **state)
{
	struct resolve_log log = resolve("no such name");

	(void)state;
	assert_int_equal(log.n, 0);
	assert_true(log.error < 0);
}

static void empty_and_overlong_hosts_are_refused_at_once(void **state)
{
	char host[300];
	struct loop_resolve *r;
	uv_loop_t loop;

	(void)state;
	memset(host, 'a', sizeof(host) - 1);
	host[sizeof(host) - 1] = '\0';
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(loop_resolve_start(&r, &loop, host, 1, log_resolve, NULL), -EINVAL);
	assert_int_equal(loop_resolve_start(&r, &loop, "", 1, log_resolve, NULL), -EINVAL);
	assert_int_equal(loop_resolve_start(&r, &loop, "[]", 1, log_resolve, NULL), -EINVAL);
	assert_null(r);
	assert_int_equal(uv_loop_close(&loop), 0);
}

static void cancelled_resolve_does_not_call_back(void **state)
{
	struct resolve_log log = { 0 };
	struct loop_resolve *r;
	uv_loop_t loop;

	(void)state;
	assert_int_equal(uv_loop_init(&loop), 0);
	for (int i = 0; i < 8; i++) { /* some are queued still, some are with a thread */
		assert_int_equal(loop_resolve_start(&r, &loop, "192.0.2.7", 1, log_resolve, &log), 0);
		loop_resolve_cancel(r);
	}
	loop_resolve_cancel(NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	assert_int_equal(log.n_calls, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timer_fires_at_its_instant_and_once),
		cmocka_unit_test(timer_set_to_the_past_fires_at_once),
		cmocka_unit_test(timer_can_be_set_from_its_own_call),
		cmocka_unit_test(timer_that_was_unset_does_not_fire),
		cmocka_unit_test(timer_wakes_the_loop_once_an_instant),
		cmocka_unit_test(watch_calls_while_there_is_something_to_read),
		cmocka_unit_test(watch_goes_on_after_an_error_was_read),
		cmocka_unit_test(watch_of_a_file_is_refused),
		cmocka_unit_test(numeric_addresses_are_resolved),
		cmocka_unit_test(names_are_resolved_without_repeats),
		cmocka_unit_test(name_that_cannot_be_is_an_error),
		cmocka_unit_test(empty_and_overlong_hosts_are_refused_at_once),
		cmocka_unit_test(cancelled_resolve_does_not_call_back),
	};

	netns_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
