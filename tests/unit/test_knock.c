/* Knocks at 127.0.0.1:443, in a namespace of its own: what listens there is the test's. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/key.h"
#include "daemon/base/clock.h"
#include "daemon/data/knock.h"
#include "tests/unit/netns.h"

#define WAIT_MS 10000
#define PORT 443

enum manner {
	SILENT,
	ANSWERS, /* as the coordinator whose key it has */
	CLOSES,
	SPEAKS_HTTP,
	ECHOES,
};

struct fixture {
	uv_loop_t loop;
	uv_timer_t tick, watchdog;
	bool is_late;
	struct identity us, coordinator;
	struct knock *knock;
	struct stream_listener *listener;
	struct stream *stream; /* the far end */
	enum manner manner;
	unsigned n_heard;
};

static void answer(struct fixture *f, struct stream *s, const uint8_t *data, size_t len)
{
	uint8_t out[WIRE_RESPONSE_BYTES];
	struct wire_init_payload payload;
	struct handshake_keys keys;
	struct handshake h;
	struct pubkey who;
	int n;

	if (handshake_read_static(&h, &f->coordinator, HANDSHAKE_COORDINATOR, data, len, &who) < 0) {
		stream_close(s); /* as a coordinator does whose key is another */
		f->stream = NULL;
		return;
	}
	assert_true(pubkey_equal(&who, &f->us.public));
	assert_int_equal(handshake_read_payload(&h, data, len, &payload), 0);
	n = handshake_respond(&h, &f->coordinator, &payload, 9, out, sizeof(out), &keys);
	assert_true(n > 0);
	assert_int_equal(stream_send(s, out, (size_t)n, false), 0);
}

static void far_on_frame(void *arg, struct stream *s, uint8_t *body, size_t len)
{
	struct fixture *f = arg;

	f->n_heard++;
	if (f->manner == ANSWERS)
		answer(f, s, body, len);
	else if (f->manner == ECHOES)
		assert_int_equal(stream_send(s, body, len, false), 0);
}

static void far_on_closed(void *arg, struct stream *s, int reason)
{
	(void)s;
	(void)reason;
	((struct fixture *)arg)->stream = NULL;
}

static const struct stream_events far_events = { .on_frame = far_on_frame, .on_closed = far_on_closed };

static void on_accept(void *arg, struct stream *s)
{
	struct fixture *f = arg;

	stream_close(f->stream);
	f->stream = NULL;
	if (f->manner == CLOSES) {
		stream_close(s);
		return;
	}
	f->stream = s;
	if (f->manner == SPEAKS_HTTP)
		stream_send_frames(s, "HTTP/1.1 302 Found\r\n\r\n", 22);
}

static void listen_as(struct fixture *f, enum manner manner)
{
	const struct stream_listen_options options = { .port = PORT };

	f->manner = manner;
	if (!f->listener)
		assert_int_equal(stream_listen(&f->listener, &f->loop, &options, &far_events, on_accept, f), 0);
}

static void on_tick(uv_timer_t *timer)
{
	struct fixture *f = timer->data;

	knock_tick(f->knock, clock_now_ms());
}

static void on_watchdog(uv_timer_t *timer)
{
	((struct fixture *)timer->data)->is_late = true;
}

static int begin(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct seckey secret;

	if (!f || uv_loop_init(&f->loop) < 0)
		return -1;
	uv_timer_init(&f->loop, &f->tick);
	uv_timer_init(&f->loop, &f->watchdog);
	f->tick.data = f->watchdog.data = f;
	uv_timer_start(&f->tick, on_tick, 5, 5);
	uv_timer_start(&f->watchdog, on_watchdog, WAIT_MS, 0);
	seckey_generate(&secret);
	if (identity_init(&f->us, &secret, NULL, aead_offer(), 0) < 0)
		return -1;
	seckey_generate(&secret);
	if (identity_init(&f->coordinator, &secret, NULL, aead_offer(), 0) < 0)
		return -1;
	f->knock = knock_new(&f->loop, &f->us);
	*state = f;
	return f->knock ? 0 : -1;
}

static int end(void **state)
{
	struct fixture *f = *state;
	int ret;

	knock_free(f->knock);
	knock_free(NULL);
	stream_close(f->stream);
	stream_listener_close(f->listener);
	uv_close((uv_handle_t *)&f->tick, NULL);
	uv_close((uv_handle_t *)&f->watchdog, NULL);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	ret = uv_loop_close(&f->loop);
	identity_fini(&f->us);
	identity_fini(&f->coordinator);
	free(f);
	return ret;
}

/* Knocks, and returns what came of it. */
static const struct knock_result *knock(struct fixture *f, const struct pubkey *key)
{
	const struct endpoint to = { .ip = { 4, { 127, 0, 0, 1 } }, .port = PORT };

	knock_start(f->knock, &to, key, "", clock_now_ms());
	while (knock_result(f->knock)->state == KNOCK_ASKING && !f->is_late)
		uv_run(&f->loop, UV_RUN_ONCE);
	assert_true(knock_next_ms(f->knock) == UINT64_MAX);
	return knock_result(f->knock);
}

static void the_coordinator_is_known_by_its_key(void **state)
{
	struct fixture *f = *state;
	const struct knock_result *r;

	assert_int_equal(knock_result(f->knock)->state, KNOCK_NOT_TRIED);
	listen_as(f, ANSWERS);
	r = knock(f, &f->coordinator.public);
	assert_int_equal(r->state, KNOCK_OK);
	assert_in_range(r->connect_us, 1, 1000000);
	assert_int_equal(f->n_heard, 1);
	assert_int_equal(knock(f, &f->coordinator.public)->state, KNOCK_OK); /* and again */
	assert_int_equal(knock(f, &f->us.public)->state, KNOCK_CLOSED);
}

static void whatever_else_answers_is_foreign(void **state)
{
	struct fixture *f = *state;

	listen_as(f, SPEAKS_HTTP);
	assert_int_equal(knock(f, &f->coordinator.public)->state, KNOCK_FOREIGN);
	listen_as(f, ECHOES);
	assert_int_equal(knock(f, &f->coordinator.public)->state, KNOCK_FOREIGN);
}

static void what_does_not_answer_is_told_apart(void **state)
{
	struct fixture *f = *state;
	uint64_t begin_ms = clock_now_ms();
	const struct knock_result *r = knock(f, &f->coordinator.public);

	assert_int_equal(r->state, KNOCK_UNREACHABLE);
	assert_int_equal(r->error, -ECONNREFUSED);
	assert_int_equal(r->connect_us, 0);
	listen_as(f, CLOSES);
	assert_int_equal(knock(f, &f->coordinator.public)->state, KNOCK_CLOSED);
	assert_true(clock_now_ms() < begin_ms + KNOCK_ANSWER_MS);
	listen_as(f, SILENT);
	begin_ms = clock_now_ms();
	assert_int_equal(knock(f, &f->coordinator.public)->state, KNOCK_SILENT);
	assert_true(clock_now_ms() >= begin_ms + KNOCK_ANSWER_MS);
	assert_int_equal(f->n_heard, 1);
}

static void one_that_is_begun_anew_forgets_the_last(void **state)
{
	struct fixture *f = *state;
	const struct endpoint to = { .ip = { 4, { 127, 0, 0, 1 } }, .port = PORT };

	listen_as(f, SILENT);
	knock_start(f->knock, &to, &f->coordinator.public, "", clock_now_ms());
	while (!f->n_heard && !f->is_late)
		uv_run(&f->loop, UV_RUN_ONCE);
	assert_int_equal(knock_result(f->knock)->state, KNOCK_ASKING);
	listen_as(f, ANSWERS);
	assert_int_equal(knock(f, &f->coordinator.public)->state, KNOCK_OK);
}

static void each_state_that_is_known_has_a_name(void **state)
{
	(void)state;
	assert_null(knock_state_name(KNOCK_NOT_TRIED));
	assert_null(knock_state_name(KNOCK_ASKING));
	assert_string_equal(knock_state_name(KNOCK_OK), "ok");
	for (enum knock_state s = KNOCK_OK; s <= KNOCK_UNREACHABLE; s++)
		assert_non_null(knock_state_name(s));
	assert_null(knock_state_name((enum knock_state)99));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_coordinator_is_known_by_its_key),
		TEST(whatever_else_answers_is_foreign),
		TEST(what_does_not_answer_is_told_apart),
		TEST(one_that_is_begun_anew_forgets_the_last),
		cmocka_unit_test(each_state_that_is_known_has_a_name),
	};

	signal(SIGPIPE, SIG_IGN);
	if (crypto_start() < 0)
		return 1;
	netns_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
