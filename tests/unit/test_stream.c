/* Real connections over the loopback of a namespace of its own. A watchdog ends a test that waits in vain. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/net/stream.h"
#include "tests/unit/netns.h"
#include "tun/netlink.h"
#include "tun/tun.h"

#define WAIT_MS 10000

/* One end of a connection and what it saw. */
struct end {
	struct stream *s;
	unsigned n_connected, n_frames, n_reads, n_closed;
	int reason;
	size_t n_bytes, last_len;
	uint8_t last[WIRE_FRAME_MAX_BYTES];
	bool is_echo, is_closing_at_frame, is_numbered, is_closing_at_preface;
	unsigned n_prefaces;
};

struct fixture {
	uv_loop_t loop;
	uv_timer_t watchdog;
	bool is_late;
	struct stream_listener *listener;
	struct endpoint at;
	struct end accepted, outgoing;
	unsigned n_accepted;
	bool is_refusing;
};

static void on_connected(void *arg, struct stream *s)
{
	struct end *end = arg;

	assert_ptr_equal(s, end->s);
	end->n_connected++;
}

static void on_frame(void *arg, struct stream *s, uint8_t *body, size_t len)
{
	struct end *end = arg;

	if (end->is_numbered) {
		uint32_t number;

		memcpy(&number, body, sizeof(number));
		assert_int_equal(number, end->n_frames);
	}
	end->n_frames++;
	end->n_bytes += len;
	end->last_len = len;
	memcpy(end->last, body, len);
	memset(body, 0xee, len); /* ours to write */
	if (end->is_echo)
		assert_int_equal(stream_send(s, end->last, len, false), 0);
	if (end->is_closing_at_frame) {
		stream_close(s);
		assert_int_equal(stream_send(s, "x", 1, false), -EPIPE); /* not freed yet */
		assert_int_equal(stream_queued(s), 0);
	}
}

static void on_read(void *arg, struct stream *s)
{
	struct end *end = arg;

	assert_true(!end->s || s == end->s);
	assert_true(end->n_frames > 0);
	end->n_reads++;
}

static void on_closed(void *arg, struct stream *s, int reason)
{
	struct end *end = arg;

	end->n_closed++;
	end->reason = reason;
	end->s = NULL;
	stream_close(s); /* no harm */
}

/* "go\n" is whole, "no" is refused, and whatever else may become the one. */
static int on_preface(void *arg, struct stream *s, const uint8_t *data, size_t len)
{
	struct end *end = arg;

	end->n_prefaces++;
	if (end->is_closing_at_preface)
		stream_close(s);
	if (len >= 2 && memcmp(data, "no", 2) == 0)
		return -ECONNREFUSED;
	return len >= 3 && memcmp(data, "go\n", 3) == 0 ? 3 : 0;
}

static const struct stream_events events = { .on_connected = on_connected,
					     .on_preface = on_preface,
					     .on_frame = on_frame,
					     .on_read = on_read,
					     .on_closed = on_closed };

static void on_accept(void *arg, struct stream *s)
{
	struct fixture *f = arg;

	f->n_accepted++;
	if (f->is_refusing) {
		stream_close(s);
		return;
	}
	f->accepted.s = s;
	stream_set_arg(s, &f->accepted);
}

static void on_watchdog(uv_timer_t *timer)
{
	((struct fixture *)timer->data)->is_late = true;
}

static struct ip ip(const char *text)
{
	struct ip out = { 0 };

	if (text)
		assert_int_equal(ip_from_text(&out, text), 0);
	return out;
}

static void listen_on(struct fixture *f, const char *address, const char *reached_at)
{
	const struct stream_listen_options options = { .address = ip(address) };

	assert_int_equal(stream_listen(&f->listener, &f->loop, &options, &events, on_accept, f), 0);
	f->at = (struct endpoint){ .ip = ip(reached_at), .port = (uint16_t)stream_listener_port(f->listener) };
	assert_true(f->at.port > 0);
}

static int begin(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f || uv_loop_init(&f->loop) < 0 || uv_timer_init(&f->loop, &f->watchdog) < 0)
		return -1;
	f->watchdog.data = f;
	uv_timer_start(&f->watchdog, on_watchdog, WAIT_MS, 0);
	*state = f;
	return 0;
}

static int end(void **state)
{
	struct fixture *f = *state;
	int ret;

	stream_close(f->accepted.s);
	stream_close(f->outgoing.s);
	stream_listener_close(f->listener);
	stream_listener_close(NULL);
	uv_close((uv_handle_t *)&f->watchdog, NULL);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	ret = uv_loop_close(&f->loop); /* UV_EBUSY: a handle was left */
	free(f);
	return ret;
}

static void run_for(struct fixture *f, uint64_t ms)
{
	uint64_t until_ms;

	uv_update_time(&f->loop);
	until_ms = uv_now(&f->loop) + ms;
	while (uv_now(&f->loop) < until_ms && !f->is_late) {
		uv_sleep(5);
		uv_run(&f->loop, UV_RUN_NOWAIT);
		uv_update_time(&f->loop);
	}
}

#define RUN_UNTIL(f, condition)                              \
	do {                                                 \
		while (!(condition) && !(f)->is_late)        \
			uv_run(&(f)->loop, UV_RUN_ONCE);     \
		if (!(condition))                            \
			fail_msg("in vain: %s", #condition); \
	} while (0)

static void connect_out(struct fixture *f)
{
	assert_int_equal(stream_connect(&f->outgoing.s, &f->loop, &f->at,
					&(struct stream_options){ .timeout_ms = WAIT_MS }, &events, &f->outgoing),
			 0);
	RUN_UNTIL(f, f->outgoing.n_connected && f->n_accepted);
}

static void connect_with_preface(struct fixture *f, uint64_t timeout_ms)
{
	const struct stream_options options = { .timeout_ms = timeout_ms, .has_preface = true };

	listen_on(f, "127.0.0.1", "127.0.0.1");
	assert_int_equal(stream_connect(&f->outgoing.s, &f->loop, &f->at, &options, &events, &f->outgoing), 0);
	RUN_UNTIL(f, f->outgoing.n_connected && f->n_accepted);
}

/* A client without the module: bytes as the test wants them. */
static int raw_client(struct fixture *f)
{
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(&f->at, false, &ss);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	assert_int_equal(connect(fd, (struct sockaddr *)&ss, len), 0);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	RUN_UNTIL(f, f->n_accepted);
	return fd;
}

static void frames_pass(struct fixture *f, const char *own, const char *reached_at)
{
	uint8_t big[WIRE_FRAME_MAX_BYTES];

	listen_on(f, own, reached_at);
	f->accepted.is_echo = true;
	connect_out(f);
	assert_true(endpoint_equal(stream_peer(f->outgoing.s), &f->at));
	assert_true(ip_equal(&stream_peer(f->accepted.s)->ip, &f->at.ip)); /* not mapped */
	assert_int_equal(stream_send(f->outgoing.s, "hello", 5, false), 0);
	RUN_UNTIL(f, f->outgoing.n_frames == 1);
	assert_int_equal(f->outgoing.last_len, 5);
	assert_memory_equal(f->outgoing.last, "hello", 5);
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 3);
	assert_int_equal(stream_send(f->outgoing.s, big, sizeof(big), true), 0);
	RUN_UNTIL(f, f->outgoing.n_frames == 2);
	assert_int_equal(f->outgoing.last_len, sizeof(big));
	assert_memory_equal(f->outgoing.last, big, sizeof(big));
	assert_int_equal(stream_queued(f->outgoing.s), 0);
}

static void frames_pass_both_ways_over_ipv4(void **state)
{
	frames_pass(*state, NULL, "127.0.0.1");
}

static void frames_pass_both_ways_over_ipv6(void **state)
{
	frames_pass(*state, "::", "::1");
}

static void listener_of_one_family_takes_only_that(void **state)
{
	struct fixture *f = *state;

	frames_pass(f, "0.0.0.0", "127.0.0.1");
	stream_close(f->outgoing.s);
	f->outgoing = (struct end){ 0 };
	f->at.ip = ip("::1");
	assert_int_equal(stream_connect(&f->outgoing.s, &f->loop, &f->at,
					&(struct stream_options){ .timeout_ms = WAIT_MS }, &events, &f->outgoing),
			 0);
	RUN_UNTIL(f, f->outgoing.n_closed);
	assert_int_equal(f->outgoing.reason, -ECONNREFUSED);
}

static int bound_socket(int type, struct endpoint *at)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	*at = (struct endpoint){ .ip = ip("127.0.0.1"), .port = ntohs(address.sin_port) };
	return fd;
}

static void connections_come_through_a_socket_that_was_taken(void **state)
{
	struct fixture *f = *state;
	int fd = bound_socket(SOCK_STREAM, &f->at), kept = dup(fd);

	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(stream_listen_take(&f->listener, &f->loop, fd, &events, on_accept, f), 0);
	assert_int_equal(stream_listener_port(f->listener), f->at.port);
	f->accepted.is_echo = true;
	connect_out(f);
	assert_int_equal(stream_send(f->outgoing.s, "hello", 5, false), 0);
	RUN_UNTIL(f, f->outgoing.n_frames == 1);
	/* Its owner still has it when we are gone, and whoever connects then only waits. */
	stream_close(f->outgoing.s);
	stream_listener_close(f->listener);
	f->outgoing = (struct end){ 0 };
	assert_int_equal(stream_connect(&f->outgoing.s, &f->loop, &f->at,
					&(struct stream_options){ .timeout_ms = WAIT_MS }, &events, &f->outgoing),
			 0);
	RUN_UNTIL(f, f->outgoing.n_connected);
	assert_int_equal(f->n_accepted, 1);
	f->n_accepted = 0;
	f->accepted = (struct end){ 0 };
	assert_int_equal(stream_listen_take(&f->listener, &f->loop, kept, &events, on_accept, f), 0);
	RUN_UNTIL(f, f->n_accepted);
}

static void only_a_listening_tcp_socket_can_be_taken(void **state)
{
	struct fixture *f = *state;
	int fds[] = { bound_socket(SOCK_STREAM, &f->at), bound_socket(SOCK_DGRAM, &f->at),
		      socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), dup(STDIN_FILENO) };

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		assert_int_equal(stream_listen_take(&f->listener, &f->loop, fds[i], &events, on_accept, f),
				 -EPROTOTYPE);
		assert_null(f->listener);
		assert_int_equal(fcntl(fds[i], F_GETFD), -1);
	}
}

static void frames_sent_before_the_connection_arrive(void **state)
{
	struct fixture *f = *state;

	listen_on(f, NULL, "127.0.0.1");
	assert_int_equal(stream_connect(&f->outgoing.s, &f->loop, &f->at,
					&(struct stream_options){ .timeout_ms = WAIT_MS }, &events, &f->outgoing),
			 0);
	assert_int_equal(stream_send(f->outgoing.s, "early", 5, false), 0);
	assert_int_equal(stream_queued(f->outgoing.s), 7);
	RUN_UNTIL(f, f->accepted.n_frames == 1);
	assert_memory_equal(f->accepted.last, "early", 5);
}

static void bad_lengths_are_not_sent(void **state)
{
	static const uint8_t big[WIRE_FRAME_MAX_BYTES + 1];
	struct fixture *f = *state;

	listen_on(f, NULL, "127.0.0.1");
	connect_out(f);
	assert_int_equal(stream_send(f->outgoing.s, big, 0, false), -EINVAL);
	assert_int_equal(stream_send(f->outgoing.s, big, sizeof(big), false), -EINVAL);
}

static void frame_in_single_bytes_is_put_together(void **state)
{
	static const char bytes[] = "\0\3abc\0\2de";
	struct fixture *f = *state;
	int fd;

	listen_on(f, NULL, "127.0.0.1");
	fd = raw_client(f);
	for (size_t i = 0; i < sizeof(bytes) - 1; i++) {
		assert_int_equal(send(fd, bytes + i, 1, 0), 1);
		uv_run(&f->loop, UV_RUN_ONCE);
	}
	RUN_UNTIL(f, f->accepted.n_frames == 2);
	assert_int_equal(f->accepted.n_bytes, 5);
	assert_memory_equal(f->accepted.last, "de", 2);
	close(fd);
}

static void frames_in_one_piece_are_taken_apart(void **state)
{
	static const char bytes[] = "\0\3abc\0\2de\0\1f\0\4gh";
	struct fixture *f = *state;
	int fd;

	listen_on(f, NULL, "127.0.0.1");
	fd = raw_client(f);
	assert_int_equal(send(fd, bytes, sizeof(bytes) - 1, 0), sizeof(bytes) - 1);
	RUN_UNTIL(f, f->accepted.n_frames == 3);
	assert_int_equal(f->accepted.n_reads, 1);
	assert_int_equal(send(fd, "ij", 2, 0), 2);
	RUN_UNTIL(f, f->accepted.n_frames == 4);
	assert_int_equal(f->accepted.n_reads, 2);
	assert_memory_equal(f->accepted.last, "ghij", 4);
	close(fd);
}

static void impossible_frame(struct fixture *f, const char *bytes, size_t len)
{
	int fd;

	listen_on(f, NULL, "127.0.0.1");
	fd = raw_client(f);
	assert_int_equal(send(fd, bytes, len, 0), (ssize_t)len);
	RUN_UNTIL(f, f->accepted.n_closed);
	assert_int_equal(f->accepted.reason, -EBADMSG);
	assert_int_equal(f->accepted.n_frames, 1); /* the good one before */
	close(fd);
}

static void empty_frame_ends_the_stream(void **state)
{
	impossible_frame(*state, "\0\1a\0\0\0\1b", 8);
}

static void overlong_frame_ends_the_stream(void **state)
{
	impossible_frame(*state, "\0\1a\x10\x01", 5);
}

static void end_of_the_far_side_is_told_once(void **state)
{
	struct fixture *f = *state;
	int fd;

	listen_on(f, NULL, "127.0.0.1");
	fd = raw_client(f);
	assert_int_equal(send(fd, "\0\1a\0\5bc", 7, 0), 7); /* the last frame is not whole */
	close(fd);
	RUN_UNTIL(f, f->accepted.n_closed);
	assert_int_equal(f->accepted.n_frames, 1);
	assert_int_equal(f->accepted.reason, UV_EOF);
	uv_run(&f->loop, UV_RUN_NOWAIT);
	assert_int_equal(f->accepted.n_closed, 1);
}

static void reset_by_the_far_side_is_told(void **state)
{
	const struct linger hard = { .l_onoff = 1 };
	struct fixture *f = *state;
	int fd;

	listen_on(f, NULL, "127.0.0.1");
	fd = raw_client(f);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(fd);
	RUN_UNTIL(f, f->accepted.n_closed);
	assert_int_equal(f->accepted.reason, -ECONNRESET);
}

static void stream_closed_in_its_own_call_gets_no_more(void **state)
{
	static const char bytes[] = "\0\1a\0\1b\0\1c";
	struct fixture *f = *state;
	int fd;

	listen_on(f, NULL, "127.0.0.1");
	f->accepted.is_closing_at_frame = true;
	fd = raw_client(f);
	assert_int_equal(send(fd, bytes, sizeof(bytes) - 1, 0), sizeof(bytes) - 1);
	RUN_UNTIL(f, f->accepted.n_frames);
	f->accepted.s = NULL;
	uv_run(&f->loop, UV_RUN_NOWAIT);
	uv_run(&f->loop, UV_RUN_NOWAIT);
	assert_int_equal(f->accepted.n_frames, 1);
	assert_int_equal(f->accepted.n_closed, 0);
	close(fd);
}

static void stream_refused_at_accept_is_closed(void **state)
{
	struct fixture *f = *state;

	listen_on(f, NULL, "127.0.0.1");
	f->is_refusing = true;
	assert_int_equal(stream_connect(&f->outgoing.s, &f->loop, &f->at,
					&(struct stream_options){ .timeout_ms = WAIT_MS }, &events, &f->outgoing),
			 0);
	RUN_UNTIL(f, f->outgoing.n_closed);
	assert_int_equal(f->n_accepted, 1);
	assert_int_equal(f->accepted.n_closed, 0);
}

static void connecting_to_a_closed_port_is_refused(void **state)
{
	struct fixture *f = *state;

	listen_on(f, NULL, "127.0.0.1");
	stream_listener_close(f->listener);
	f->listener = NULL;
	uv_run(&f->loop, UV_RUN_NOWAIT);
	assert_int_equal(stream_connect(&f->outgoing.s, &f->loop, &f->at,
					&(struct stream_options){ .timeout_ms = WAIT_MS }, &events, &f->outgoing),
			 0);
	RUN_UNTIL(f, f->outgoing.n_closed);
	assert_int_equal(f->outgoing.reason, -ECONNREFUSED);
	assert_int_equal(f->outgoing.n_connected, 0);
}

static void connecting_ends_at_its_time_limit(void **state)
{
	static const uint8_t own[4] = { 10, 66, 0, 1 };
	struct fixture *f = *state;
	struct tun silent; /* takes SYNs and says nothing */

	if (tun_open(&silent, "silent%d", 1, 0) < 0)
		skip();
	assert_int_equal(netlink_addr_add(silent.ifindex, own, 4, 24), 0);
	assert_int_equal(netlink_link_up(silent.ifindex, 0), 0);
	f->at = (struct endpoint){ .ip = ip("10.66.0.2"), .port = 9 };
	assert_int_equal(stream_connect(&f->outgoing.s, &f->loop, &f->at, &(struct stream_options){ .timeout_ms = 20 },
					&events, &f->outgoing),
			 0);
	RUN_UNTIL(f, f->outgoing.n_closed);
	assert_int_equal(f->outgoing.reason, -ETIMEDOUT);
	/* one that its owner gives up is silent */
	f->outgoing.n_closed = 0;
	assert_int_equal(stream_connect(&f->outgoing.s, &f->loop, &f->at, &(struct stream_options){ .timeout_ms = 20 },
					&events, &f->outgoing),
			 0);
	stream_close(f->outgoing.s);
	stream_close(f->outgoing.s);
	f->outgoing.s = NULL;
	uv_run(&f->loop, UV_RUN_NOWAIT);
	uv_run(&f->loop, UV_RUN_NOWAIT);
	assert_int_equal(f->outgoing.n_closed, 0);
	tun_close(&silent);
}

static void what_cannot_be_is_refused_at_once(void **state)
{
	struct fixture *f = *state;
	struct stream_listener *second;
	struct stream_listen_options taken = { 0 };
	struct stream *s;

	listen_on(f, NULL, "127.0.0.1");
	taken.port = f->at.port;
	assert_int_equal(stream_listen(&second, &f->loop, &taken, &events, on_accept, f), -EADDRINUSE);
	assert_null(second);
	assert_int_equal(
		stream_connect(&s, &f->loop, &f->at,
			       &(struct stream_options){ .timeout_ms = WAIT_MS, .bind_interface = "none-such" },
			       &events, &f->outgoing),
		-ENODEV);
	assert_null(s);
	f->at.ip = ip("192.0.2.1"); /* no route */
	assert_int_equal(stream_connect(&s, &f->loop, &f->at,
					&(struct stream_options){ .timeout_ms = WAIT_MS, .bind_interface = "" },
					&events, &f->outgoing),
			 -ENETUNREACH);
	f->at.ip = (struct ip){ 0 };
	assert_int_equal(stream_connect(&s, &f->loop, &f->at, &(struct stream_options){ .timeout_ms = WAIT_MS },
					&events, &f->outgoing),
			 -EINVAL);
	uv_run(&f->loop, UV_RUN_NOWAIT);
	assert_int_equal(f->outgoing.n_closed, 0);
}

static void bound_stream_connects_over_its_interface(void **state)
{
	struct fixture *f = *state;

	listen_on(f, NULL, "127.0.0.1");
	assert_int_equal(stream_connect(&f->outgoing.s, &f->loop, &f->at,
					&(struct stream_options){ .timeout_ms = WAIT_MS, .bind_interface = "lo" },
					&events, &f->outgoing),
			 0);
	RUN_UNTIL(f, f->outgoing.n_connected);
}

static void connections_leave_from_the_port_of_a_shared_listener(void **state)
{
	struct stream_options from_it = { .timeout_ms = WAIT_MS };
	struct fixture *f = *state;
	struct stream_listener *own;
	struct endpoint local;
	struct stream *again;

	listen_on(f, NULL, "127.0.0.1");
	assert_int_equal(stream_listen(&own, &f->loop, &(struct stream_listen_options){ .is_shared = true }, &events,
				       on_accept, f),
			 0);
	from_it.local_port = (uint16_t)stream_listener_port(own);
	assert_int_equal(stream_connect(&f->outgoing.s, &f->loop, &f->at, &from_it, &events, &f->outgoing), 0);
	RUN_UNTIL(f, f->outgoing.n_connected && f->n_accepted);
	assert_int_equal(stream_local(f->outgoing.s, &local), 0);
	assert_int_equal(local.port, from_it.local_port);
	assert_int_equal(stream_peer(f->accepted.s)->port, from_it.local_port);
	assert_int_equal(stream_local(f->accepted.s, &local), 0);
	assert_true(endpoint_equal(&local, &f->at));
	/* once to each endpoint */
	assert_int_equal(stream_connect(&again, &f->loop, &f->at, &from_it, &events, &f->outgoing), -EADDRNOTAVAIL);
	/* and not from one that is not shared */
	from_it.local_port = f->at.port;
	assert_int_equal(stream_connect(&again, &f->loop, &f->at, &from_it, &events, &f->outgoing), -EADDRINUSE);
	stream_listener_close(own);
}

static void frames_put_together_arrive_apart(void **state)
{
	static const char bytes[] = "\0\3abc\0\2de";
	struct fixture *f = *state;

	listen_on(f, NULL, "127.0.0.1");
	connect_out(f);
	assert_int_equal(stream_send_frames(f->outgoing.s, bytes, sizeof(bytes) - 1), 0);
	RUN_UNTIL(f, f->accepted.n_frames == 2);
	assert_memory_equal(f->accepted.last, "de", 2);
	stream_close(f->outgoing.s);
	assert_int_equal(stream_send_frames(f->outgoing.s, bytes, sizeof(bytes) - 1), -EPIPE);
	f->outgoing.s = NULL;
}

static void slow_receiver_loses_droppable_frames_then_the_stream(void **state)
{
	uint8_t frame[WIRE_FRAME_MAX_BYTES] = { 0 };
	struct fixture *f = *state;
	size_t queued;
	int fd, ret;

	listen_on(f, NULL, "127.0.0.1");
	fd = raw_client(f);
	do /* the kernel's buffers first */
		ret = stream_send(f->accepted.s, frame, sizeof(frame), true);
	while (ret == 0);
	assert_int_equal(ret, -ENOBUFS);
	queued = stream_queued(f->accepted.s);
	assert_true(queued > STREAM_QUEUE_SOFT_BYTES && queued < STREAM_QUEUE_SOFT_BYTES + 2 * sizeof(frame));
	do
		ret = stream_send(f->accepted.s, frame, sizeof(frame), false);
	while (ret == 0);
	assert_int_equal(ret, -ENOBUFS);
	assert_int_equal(f->accepted.n_closed, 0); /* told by the loop, not in our own call */
	assert_int_equal(stream_send(f->accepted.s, frame, 1, false), -EPIPE);
	RUN_UNTIL(f, f->accepted.n_closed);
	assert_int_equal(f->accepted.reason, -ENOBUFS);
	close(fd);
}

static void queued_frames_arrive_in_order(void **state)
{
	uint8_t frame[WIRE_FRAME_MAX_BYTES - 100] = { 0 };
	struct fixture *f = *state;
	uint32_t n = 0;

	listen_on(f, NULL, "127.0.0.1");
	connect_out(f);
	f->accepted.is_numbered = true;
	do {
		memcpy(frame, &n, sizeof(n));
		n++;
		assert_int_equal(stream_send(f->outgoing.s, frame, sizeof(frame) - n % 50, false), 0);
	} while (stream_queued(f->outgoing.s) < STREAM_QUEUE_HARD_BYTES / 2);
	RUN_UNTIL(f, f->accepted.n_frames == n);
	RUN_UNTIL(f, stream_queued(f->outgoing.s) == 0);
	assert_int_equal(f->outgoing.n_closed, 0);
}

static void stream_with_a_full_queue_can_be_closed(void **state)
{
	uint8_t frame[WIRE_FRAME_MAX_BYTES] = { 0 };
	struct fixture *f = *state;
	int fd;

	listen_on(f, NULL, "127.0.0.1");
	fd = raw_client(f);
	while (stream_send(f->accepted.s, frame, sizeof(frame), true) == 0)
		;
	stream_close(f->accepted.s);
	f->accepted.s = NULL;
	uv_run(&f->loop, UV_RUN_NOWAIT);
	uv_run(&f->loop, UV_RUN_NOWAIT);
	assert_int_equal(f->accepted.n_closed, 0);
	close(fd);
}

static void write_to_a_reset_connection_ends_it(void **state)
{
	const struct linger hard = { .l_onoff = 1 };
	struct fixture *f = *state;
	int fd;

	listen_on(f, NULL, "127.0.0.1");
	fd = raw_client(f);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(fd);
	assert_int_equal(stream_send(f->accepted.s, "x", 1, false), -EPIPE);
	RUN_UNTIL(f, f->accepted.n_closed);
	assert_true(f->accepted.reason == -ECONNRESET || f->accepted.reason == -EPIPE);
}

static void check_options(uv_handle_t *handle, void *arg)
{
	static const struct {
		int level, name, value;
	} options[] = {
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, 20 },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, 15000 },
	};
	unsigned *n_checked = arg;
	uv_os_fd_t fd;

	if (handle->type != UV_TCP || !uv_is_readable((uv_stream_t *)handle)) /* not the listener */
		return;
	assert_int_equal(uv_fileno(handle, &fd), 0);
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		int value = -1;
		socklen_t len = sizeof(value);

		assert_int_equal(getsockopt(fd, options[i].level, options[i].name, &value, &len), 0);
		assert_int_equal(value, options[i].value);
	}
	++*n_checked;
}

static void both_ends_find_out_that_the_other_is_dead(void **state)
{
	struct fixture *f = *state;
	unsigned n_checked = 0;

	listen_on(f, NULL, "127.0.0.1");
	connect_out(f);
	uv_walk(&f->loop, check_options, &n_checked);
	assert_int_equal(n_checked, 2);
}

static void frames_begin_where_the_preface_ends(void **state)
{
	struct fixture *f = *state;

	connect_with_preface(f, 300);
	assert_int_equal(stream_send_frames(f->accepted.s, "g", 1), 0);
	RUN_UNTIL(f, f->outgoing.n_prefaces == 1);
	assert_int_equal(stream_send_frames(f->accepted.s, "o\n\0\003abc\0", 8), 0); /* and the next one's begin */
	RUN_UNTIL(f, f->outgoing.n_frames == 1);
	assert_int_equal(f->outgoing.last_len, 3);
	assert_memory_equal(f->outgoing.last, "abc", 3);
	assert_int_equal(f->outgoing.n_prefaces, 2);
	assert_int_equal(f->outgoing.n_connected, 1);
	run_for(f, 400); /* past the time limit */
	assert_int_equal(stream_send_frames(f->accepted.s, "\003def", 4), 0);
	RUN_UNTIL(f, f->outgoing.n_frames == 2);
	assert_int_equal(f->outgoing.n_prefaces, 2);
	assert_int_equal(f->outgoing.n_closed, 0);
}

static void a_refused_preface_ends_the_stream(void **state)
{
	struct fixture *f = *state;

	connect_with_preface(f, WAIT_MS);
	assert_int_equal(stream_send_frames(f->accepted.s, "no\0\001a", 5), 0);
	RUN_UNTIL(f, f->outgoing.n_closed);
	assert_int_equal(f->outgoing.reason, -ECONNREFUSED);
	assert_int_equal(f->outgoing.n_frames, 0);
}

static void a_preface_has_a_time_limit(void **state)
{
	struct fixture *f = *state;

	connect_with_preface(f, 200);
	assert_int_equal(stream_send_frames(f->accepted.s, "g", 1), 0);
	RUN_UNTIL(f, f->outgoing.n_closed);
	assert_int_equal(f->outgoing.reason, -ETIMEDOUT);
}

static void a_preface_without_end_is_no_more_memory(void **state)
{
	struct fixture *f = *state;
	char much[4096];

	memset(much, 'g', sizeof(much));
	connect_with_preface(f, WAIT_MS);
	for (unsigned i = 0; i < 32; i++)
		stream_send_frames(f->accepted.s, much, sizeof(much));
	RUN_UNTIL(f, f->outgoing.n_closed);
	assert_int_equal(f->outgoing.reason, -EMSGSIZE);
	assert_int_equal(f->outgoing.n_frames, 0);
}

static void a_stream_can_be_closed_by_its_preface(void **state)
{
	struct fixture *f = *state;

	connect_with_preface(f, WAIT_MS);
	f->outgoing.is_closing_at_preface = true;
	assert_int_equal(stream_send_frames(f->accepted.s, "go\n\0\001a", 6), 0);
	RUN_UNTIL(f, f->accepted.n_closed);
	assert_int_equal(f->outgoing.n_frames + f->outgoing.n_closed, 0);
	f->outgoing.s = NULL;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(frames_pass_both_ways_over_ipv4),
		TEST(frames_pass_both_ways_over_ipv6),
		TEST(listener_of_one_family_takes_only_that),
		TEST(connections_come_through_a_socket_that_was_taken),
		TEST(only_a_listening_tcp_socket_can_be_taken),
		TEST(frames_sent_before_the_connection_arrive),
		TEST(bad_lengths_are_not_sent),
		TEST(frame_in_single_bytes_is_put_together),
		TEST(frames_in_one_piece_are_taken_apart),
		TEST(empty_frame_ends_the_stream),
		TEST(overlong_frame_ends_the_stream),
		TEST(end_of_the_far_side_is_told_once),
		TEST(reset_by_the_far_side_is_told),
		TEST(stream_closed_in_its_own_call_gets_no_more),
		TEST(stream_refused_at_accept_is_closed),
		TEST(connecting_to_a_closed_port_is_refused),
		TEST(connecting_ends_at_its_time_limit),
		TEST(what_cannot_be_is_refused_at_once),
		TEST(bound_stream_connects_over_its_interface),
		TEST(connections_leave_from_the_port_of_a_shared_listener),
		TEST(frames_put_together_arrive_apart),
		TEST(slow_receiver_loses_droppable_frames_then_the_stream),
		TEST(queued_frames_arrive_in_order),
		TEST(stream_with_a_full_queue_can_be_closed),
		TEST(write_to_a_reset_connection_ends_it),
		TEST(both_ends_find_out_that_the_other_is_dead),
		TEST(frames_begin_where_the_preface_ends),
		TEST(a_refused_preface_ends_the_stream),
		TEST(a_preface_has_a_time_limit),
		TEST(a_preface_without_end_is_no_more_memory),
		TEST(a_stream_can_be_closed_by_its_preface),
	};

	signal(SIGPIPE, SIG_IGN);
	netns_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
