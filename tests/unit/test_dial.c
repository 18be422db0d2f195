/* Calls to a coordinator at 127.0.0.1, in a namespace of its own: what listens at its port and at 443 is the test's. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/data/dial.h"
#include "tests/unit/netns.h"

#define WAIT_MS 10000
#define PORT 27700
#define OWN_PORT 12345

enum manner {
	SILENT, /* takes the connection, and says nothing */
	ANSWERS,
	CLOSES,
	SPEAKS_HTTP,
};

struct fixture;

struct place {
	struct fixture *f;
	struct stream_listener *listener;
	enum manner manner;
	struct stream *streams[4];
	unsigned n_streams, n_heard;
	uint16_t from_port; /* of the last who connected */
};

struct fixture {
	uv_loop_t loop;
	uv_timer_t tick, watchdog;
	bool is_late;
	struct dial *dial;
	struct dial_options options;
	struct place first, other; /* PORT, 443 */
	unsigned n_connected, n_answered, n_failed, n_frames, n_closed;
	int reason;
	struct stream *stream;
	bool is_mute;
};

static void on_connected(void *arg)
{
	struct fixture *f = arg;

	f->n_connected++;
	if (!f->is_mute)
		assert_int_equal(dial_say(f->dial, (const uint8_t *)"hello", 5), 0);
}

static void on_answered(void *arg, struct stream *s, uint8_t *body, size_t len)
{
	struct fixture *f = arg;

	assert_int_equal(len, 5);
	assert_memory_equal(body, "HELLO", 5);
	f->n_answered++;
	f->stream = s;
}

static void on_failed(void *arg, int reason)
{
	struct fixture *f = arg;

	f->n_failed++;
	f->reason = reason;
}

static void on_frame(void *arg, struct stream *s, uint8_t *body, size_t len)
{
	struct fixture *f = arg;

	assert_ptr_equal(s, f->stream);
	assert_int_equal(len, 4);
	assert_memory_equal(body, "more", 4);
	f->n_frames++;
}

static void on_closed(void *arg, struct stream *s, int reason)
{
	struct fixture *f = arg;

	(void)reason;
	assert_ptr_equal(s, f->stream);
	f->stream = NULL;
	f->n_closed++;
}

static const struct dial_env env = {
	.connected = on_connected,
	.answered = on_answered,
	.failed = on_failed,
	.events = { .on_frame = on_frame, .on_closed = on_closed },
};

/* ---------------------------------------------------------------- what is called */

static void place_on_frame(void *arg, struct stream *s, uint8_t *body, size_t len)
{
	struct place *p = arg;

	assert_int_equal(len, 5);
	assert_memory_equal(body, "hello", 5);
	p->n_heard++;
	if (p->manner != ANSWERS)
		return;
	stream_send(s, "HELLO", 5, false);
	stream_send(s, "more", 4, false);
}

static void place_on_closed(void *arg, struct stream *s, int reason)
{
	struct place *p = arg;

	(void)reason;
	for (unsigned i = 0; i < p->n_streams; i++)
		if (p->streams[i] == s)
			p->streams[i] = NULL;
}

static const struct stream_events place_events = { .on_frame = place_on_frame, .on_closed = place_on_closed };

static void on_accept(void *arg, struct stream *s)
{
	struct place *p = arg;

	p->from_port = stream_peer(s)->port;
	if (p->manner == CLOSES) {
		stream_close(s);
		p->n_heard++;
		return;
	}
	assert_true(p->n_streams < 4);
	p->streams[p->n_streams++] = s;
	if (p->manner == SPEAKS_HTTP) /* as a frame: longer than any can be */
		stream_send_frames(s, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
}

static void listen_at(struct fixture *f, struct place *p, uint16_t port, enum manner manner)
{
	const struct stream_listen_options options = { .port = port };

	p->f = f;
	p->manner = manner;
	assert_int_equal(stream_listen(&p->listener, &f->loop, &options, &place_events, on_accept, p), 0);
}

static void place_end(struct place *p)
{
	for (unsigned i = 0; i < p->n_streams; i++)
		stream_close(p->streams[i]);
	stream_listener_close(p->listener);
}

/* ---------------------------------------------------------------- the loop */

static void on_tick(uv_timer_t *timer)
{
	struct fixture *f = timer->data;

	dial_tick(f->dial, clock_now_ms());
}

static void on_watchdog(uv_timer_t *timer)
{
	((struct fixture *)timer->data)->is_late = true;
}

static int begin(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f || uv_loop_init(&f->loop) < 0)
		return -1;
	uv_timer_init(&f->loop, &f->tick);
	uv_timer_init(&f->loop, &f->watchdog);
	f->tick.data = f->watchdog.data = f;
	uv_timer_start(&f->tick, on_tick, 5, 5);
	uv_timer_start(&f->watchdog, on_watchdog, WAIT_MS, 0);
	f->dial = dial_new(&env, f, &f->loop);
	f->options = (struct dial_options){
		.host = "127.0.0.1", .port = PORT, .bind_interface = "", .local_port = OWN_PORT
	};
	*state = f;
	return f->dial ? 0 : -1;
}

static int end(void **state)
{
	struct fixture *f = *state;
	int ret;

	dial_free(f->dial);
	dial_free(NULL);
	stream_abort(f->stream);
	place_end(&f->first);
	place_end(&f->other);
	uv_close((uv_handle_t *)&f->tick, NULL);
	uv_close((uv_handle_t *)&f->watchdog, NULL);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	ret = uv_loop_close(&f->loop);
	free(f);
	return ret;
}

#define RUN_UNTIL(f, condition)                              \
	do {                                                 \
		while (!(condition) && !(f)->is_late)        \
			uv_run(&(f)->loop, UV_RUN_ONCE);     \
		if (!(condition))                            \
			fail_msg("in vain: %s", #condition); \
	} while (0)

static void call(struct fixture *f)
{
	assert_int_equal(dial_start(f->dial, &f->options), 0);
}

/* ---------------------------------------------------------------- tests */

static void what_answers_is_the_callers_with_all_that_follows(void **state)
{
	struct fixture *f = *state;

	listen_at(f, &f->first, PORT, ANSWERS);
	call(f);
	RUN_UNTIL(f, f->n_frames == 1);
	assert_int_equal(f->n_answered, 1);
	assert_int_equal(f->n_connected, 1);
	assert_int_equal(stream_peer(f->stream)->port, PORT);
	assert_int_equal(f->first.from_port, OWN_PORT);
	assert_true(dial_next_ms(f->dial) == UINT64_MAX);
	stream_close(f->first.streams[0]);
	f->first.streams[0] = NULL;
	RUN_UNTIL(f, f->n_closed == 1);
	assert_int_equal(f->n_failed, 0);
}

static void one_that_takes_the_call_and_is_silent_does_not_win(void **state)
{
	struct fixture *f = *state;

	listen_at(f, &f->first, PORT, SILENT);
	listen_at(f, &f->other, DIAL_OTHER_PORT, ANSWERS);
	call(f);
	RUN_UNTIL(f, f->n_answered);
	assert_int_equal(stream_peer(f->stream)->port, DIAL_OTHER_PORT);
	assert_int_equal(f->first.n_heard, 1);
	assert_int_equal(f->n_connected, 1); /* asked for its word once */
	RUN_UNTIL(f, !f->first.streams[0]);  /* and given up */
}

static void one_that_speaks_otherwise_is_passed_over_at_once(void **state)
{
	struct fixture *f = *state;
	uint64_t begin_ms = clock_now_ms();

	listen_at(f, &f->first, PORT, SPEAKS_HTTP);
	listen_at(f, &f->other, DIAL_OTHER_PORT, ANSWERS);
	call(f);
	RUN_UNTIL(f, f->n_answered);
	assert_int_equal(stream_peer(f->stream)->port, DIAL_OTHER_PORT);
	assert_true(clock_now_ms() < begin_ms + DIAL_STAGGER_MS);
}

static void a_port_nobody_listens_to_costs_no_time(void **state)
{
	struct fixture *f = *state;
	uint64_t begin_ms = clock_now_ms();

	listen_at(f, &f->other, DIAL_OTHER_PORT, ANSWERS);
	call(f);
	RUN_UNTIL(f, f->n_answered);
	assert_true(clock_now_ms() < begin_ms + DIAL_STAGGER_MS);
	assert_int_equal(f->other.from_port, OWN_PORT);
}

static void when_all_ways_fail_the_reason_is_of_one_that_got_furthest(void **state)
{
	struct fixture *f = *state;

	call(f);
	RUN_UNTIL(f, f->n_failed);
	assert_int_equal(f->reason, -ECONNREFUSED);
	assert_int_equal(f->n_connected, 0);
	listen_at(f, &f->first, PORT, CLOSES);
	call(f);
	RUN_UNTIL(f, f->n_failed == 2);
	assert_true(f->reason == UV_EOF || f->reason == -ECONNRESET);
	assert_int_equal(f->first.n_heard, 2); /* from our port, and from any */
	assert_int_not_equal(f->first.from_port, OWN_PORT);
}

static void without_a_port_of_our_own_each_is_called_once(void **state)
{
	struct fixture *f = *state;

	listen_at(f, &f->first, PORT, CLOSES);
	listen_at(f, &f->other, DIAL_OTHER_PORT, CLOSES);
	f->options.local_port = 0;
	call(f);
	RUN_UNTIL(f, f->n_failed);
	assert_int_equal(f->first.n_heard, 1);
	assert_int_equal(f->other.n_heard, 1);
	f->options.port = DIAL_OTHER_PORT;
	call(f);
	RUN_UNTIL(f, f->n_failed == 2);
	assert_int_equal(f->other.n_heard, 2);
}

static void a_call_after_another_leaves_from_the_same_port(void **state)
{
	struct fixture *f = *state;

	listen_at(f, &f->first, PORT, ANSWERS);
	for (unsigned i = 1; i <= 3; i++) {
		call(f);
		RUN_UNTIL(f, f->n_answered == i);
		assert_int_equal(f->first.from_port, OWN_PORT);
		stream_abort(f->stream);
		f->stream = NULL;
	}
}

static void a_name_that_does_not_resolve_is_told(void **state)
{
	struct fixture *f = *state;

	f->options.host = "no-such-host.invalid";
	call(f);
	RUN_UNTIL(f, f->n_failed);
	assert_in_range(-f->reason, -UV_EAI_ADDRFAMILY, -UV_EAI_SOCKTYPE);
}

static void a_cancelled_call_tells_nobody(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(dial_say(f->dial, (const uint8_t *)"hello", 5), -ENOTCONN);
	dial_cancel(f->dial);
	listen_at(f, &f->first, PORT, SILENT);
	call(f);
	dial_cancel(f->dial); /* while it resolves */
	call(f);
	RUN_UNTIL(f, f->first.n_heard);
	dial_cancel(f->dial); /* while it waits for an answer */
	RUN_UNTIL(f, !f->first.streams[0]);
	assert_int_equal(f->n_answered + f->n_failed, 0);
	assert_int_equal(f->n_connected, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_answers_is_the_callers_with_all_that_follows),
		TEST(one_that_takes_the_call_and_is_silent_does_not_win),
		TEST(one_that_speaks_otherwise_is_passed_over_at_once),
		TEST(a_port_nobody_listens_to_costs_no_time),
		TEST(when_all_ways_fail_the_reason_is_of_one_that_got_furthest),
		TEST(without_a_port_of_our_own_each_is_called_once),
		TEST(a_call_after_another_leaves_from_the_same_port),
		TEST(a_name_that_does_not_resolve_is_told),
		TEST(a_cancelled_call_tells_nobody),
	};

	signal(SIGPIPE, SIG_IGN);
	netns_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
