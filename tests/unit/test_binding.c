#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/key.h"
#include "daemon/peer/binding.h"

#define SENT_MAX 256

static const struct endpoint relay = { .ip = { 4, { 203, 0, 113, 1 } }, .port = 27700 };
static const struct endpoint home = { .ip = { 4, { 198, 51, 100, 9 } }, .port = 4000 };

struct sent {
	uint64_t at_ms;
	struct endpoint to;
	struct wire_bind request;
};

struct fixture {
	struct binding *b;
	uint64_t now_ms;
	unsigned n_sent, n_changed, n_ticks;
	struct sent sent[SENT_MAX];
};

static void on_send(void *arg, const struct endpoint *to, const struct wire_bind *request)
{
	struct fixture *f = arg;

	assert_true(f->n_sent < SENT_MAX);
	f->sent[f->n_sent++] = (struct sent){ f->now_ms, *to, *request };
}

static void on_changed(void *arg)
{
	((struct fixture *)arg)->n_changed++;
}

static const struct binding_env env = { on_send, on_changed };

static int set_up(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	f.now_ms = 1000;
	f.b = binding_new(&env, &f);
	assert_non_null(f.b);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	binding_free(f->b);
	return 0;
}

static void run(struct fixture *f, uint64_t ms)
{
	uint64_t end_ms = f->now_ms + ms;

	while (binding_next_ms(f->b) <= end_ms) {
		if (binding_next_ms(f->b) > f->now_ms)
			f->now_ms = binding_next_ms(f->b);
		f->n_ticks++;
		binding_tick(f->b, f->now_ms);
		assert_true(binding_next_ms(f->b) > f->now_ms); /* or the loop would spin */
	}
	f->now_ms = end_ms;
}

static const struct sent *last(const struct fixture *f)
{
	assert_true(f->n_sent > 0);
	return &f->sent[f->n_sent - 1];
}

static bool answer(struct fixture *f, const struct endpoint *observed, bool is_bound)
{
	const struct wire_bind reply = {
		.type = BIND_REPLY,
		.flags = is_bound ? BIND_BOUND : 0,
		.token = last(f)->request.token,
		.challenge = is_bound ? 0 : 4711,
		.observed = *observed,
	};

	return binding_on_reply(f->b, &relay, &reply, f->now_ms);
}

static struct endpoint with_port(struct endpoint e, uint16_t port)
{
	e.port = port;
	return e;
}

static void bind_now(struct fixture *f)
{
	binding_start(f->b, &relay, f->now_ms);
	f->now_ms += 20;
	answer(f, &home, false);
	f->now_ms += 20;
	answer(f, &home, true);
	assert_true(binding_is_bound(f->b));
}

/* So long with everything answered `rtt_ms` after it was asked. */
static void run_answered(struct fixture *f, uint64_t ms, uint64_t rtt_ms)
{
	uint64_t end_ms = f->now_ms + ms;

	while (f->now_ms < end_ms && binding_next_ms(f->b) < end_ms) {
		unsigned before = f->n_sent;

		run(f, binding_next_ms(f->b) - f->now_ms);
		f->now_ms += rtt_ms;
		if (f->n_sent > before)
			answer(f, &home, true);
	}
	run(f, end_ms > f->now_ms ? end_ms - f->now_ms : 0);
}

/* ---------------------------------------------------------------- asking */

static void start_asks_at_once_and_repeats_the_challenge(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(binding_next_ms(f->b), UINT64_MAX);
	binding_start(f->b, &relay, f->now_ms);
	assert_int_equal(f->n_sent, 1);
	assert_int_equal(last(f)->request.type, BIND_REQUEST);
	assert_int_equal(last(f)->request.flags, 0);
	assert_int_equal(last(f)->request.time_ds, 180);
	assert_int_equal(last(f)->request.challenge, 0);
	assert_true(endpoint_equal(&last(f)->to, &relay));
	f->now_ms += 20;
	assert_true(answer(f, &home, false));
	assert_false(binding_is_bound(f->b));
	assert_true(endpoint_equal(binding_reflexive(f->b), &home));
	assert_int_equal(f->n_sent, 2);
	assert_int_equal(last(f)->at_ms, f->now_ms);
	assert_int_equal(last(f)->request.challenge, 4711);
	f->now_ms += 20;
	assert_true(answer(f, &home, true));
	assert_true(binding_is_bound(f->b));
	assert_int_equal(binding_rtt_us(f->b), 20000);
	assert_int_equal(f->n_sent, 2);
	assert_int_equal(f->n_changed, 2); /* seen; bound */
}

static void relay_that_never_binds_does_not_set_the_pace(void **state)
{
	struct fixture *f = *state;

	binding_start(f->b, &relay, f->now_ms);
	for (unsigned i = 0; i < 100; i++)
		answer(f, &home, false);
	assert_in_range(f->n_sent, 2, 5);
	run(f, 14999);
	assert_in_range(f->n_sent, 2, 5);
	run(f, 3001);
	assert_true(f->n_sent > 3);
}

static void unanswered_request_is_repeated_and_tried_again_after_30_s(void **state)
{
	static const uint64_t at_ms[] = { 0, 150, 450, 1050, 2250 };
	struct fixture *f = *state;
	uint64_t began_ms = f->now_ms;

	binding_start(f->b, &relay, f->now_ms);
	run(f, 3450);
	assert_int_equal(f->n_sent, 5);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(f->sent[i].at_ms - began_ms, at_ms[i]);
		assert_true(f->sent[i].request.token == f->sent[0].request.token);
	}
	assert_int_equal(f->n_changed, 0);
	run(f, 29999);
	assert_int_equal(f->n_sent, 5);
	run(f, 1);
	assert_int_equal(f->n_sent, 6);
	run(f, 10000);
	assert_int_equal(f->n_sent, 10);
	binding_refresh(f->b, f->now_ms);
	assert_int_equal(f->n_sent, 11);
	answer(f, &home, true);
	assert_true(binding_is_bound(f->b));
}

static void relay_that_answered_lately_is_asked_each_second(void **state)
{
	struct fixture *f = *state;
	uint64_t began_ms, gap_ms = 0;

	bind_now(f);
	began_ms = f->now_ms;
	binding_refresh(f->b, f->now_ms);
	run(f, 120000);
	assert_false(binding_is_bound(f->b));
	for (unsigned i = 1; i < f->n_sent; i++)
		if (f->sent[i].at_ms > began_ms && f->sent[i].at_ms - f->sent[i - 1].at_ms > gap_ms)
			gap_ms = f->sent[i].at_ms - f->sent[i - 1].at_ms;
	assert_in_range(gap_ms, 1000, 2200); /* 1.2 s for the last answer of a round, then 1 s */
	f->n_sent = 0;
	run(f, 120000);
	assert_in_range(f->n_sent, 10, 25); /* it may be closed for good: 5 every 33 s */
	run(f, binding_next_ms(f->b) - f->now_ms);
	answer(f, &home, true);
	assert_true(binding_is_bound(f->b));
}

static void answer_on_a_slow_path_counts_after_a_repetition(void **state)
{
	struct fixture *f = *state;

	binding_start(f->b, &relay, f->now_ms);
	run(f, 400);
	assert_int_equal(f->n_sent, 2);
	answer(f, &home, true);
	assert_true(binding_is_bound(f->b));
	assert_int_equal(binding_rtt_us(f->b), 400000);
}

static void moved_endpoint_is_told_and_bound_anew(void **state)
{
	struct fixture *f = *state;
	struct endpoint moved = with_port(home, 4242);
	unsigned n_changed;

	bind_now(f);
	n_changed = f->n_changed;
	run(f, binding_next_ms(f->b) - f->now_ms); /* the NAT restarted; the keepalive is seen from elsewhere */
	answer(f, &moved, false);
	assert_int_equal(f->n_changed, n_changed + 1);
	assert_true(endpoint_equal(binding_reflexive(f->b), &moved));
	assert_false(binding_is_bound(f->b)); /* the relay sends to the old one until we prove the new */
	answer(f, &moved, true);
	assert_true(binding_is_bound(f->b));
}

static void owner_is_told_of_changes_only(void **state)
{
	struct fixture *f = *state;
	unsigned n;

	bind_now(f);
	n = f->n_changed;
	run_answered(f, 600000, 20);
	assert_int_equal(f->n_changed, n);
}

/* ---------------------------------------------------------------- keeping */

static void check_pace(struct fixture *f, uint64_t least_ms, uint64_t most_ms, uint64_t for_ms)
{
	uint64_t last_ms = last(f)->at_ms;
	unsigned before = f->n_sent;

	f->n_ticks = 0;
	run_answered(f, for_ms, 20);
	assert_in_range(f->n_sent - before, for_ms / (most_ms + 50), for_ms / least_ms + 1);
	for (unsigned i = before; i < f->n_sent; i++) {
		assert_in_range(f->sent[i].at_ms - last_ms, least_ms, most_ms + 50);
		assert_int_equal(f->sent[i].request.time_ds, most_ms / 100);
		last_ms = f->sent[i].at_ms;
	}
	assert_int_equal(f->n_ticks, f->n_sent - before); /* idle: one wake-up each */
	assert_true(binding_is_bound(f->b));
}

static void mapping_is_kept_open_every_15_to_18_s(void **state)
{
	struct fixture *f = *state;

	bind_now(f);
	run_answered(f, 1000, 20);
	check_pace(f, 15000, 18000, 300000);
}

static void learned_lifetime_sets_the_pace(void **state)
{
	struct fixture *f = *state;
	uint64_t due_ms;

	bind_now(f);
	due_ms = binding_next_ms(f->b);
	binding_set_keepalive(f->b, 96000, f->now_ms);
	assert_int_equal(binding_next_ms(f->b), due_ms); /* the relay must hear of it before it gives us up */
	run_answered(f, 20000, 20);
	check_pace(f, 80000, 96000, 1000000);
	binding_set_keepalive(f->b, 12000, f->now_ms);
	assert_true(binding_next_ms(f->b) <= f->now_ms + 12000);
	run_answered(f, 12000, 20);
	check_pace(f, 10000, 12000, 100000);
}

static void nothing_to_keep_open_is_silence(void **state)
{
	struct fixture *f = *state;
	unsigned n;

	bind_now(f);
	binding_set_keepalive(f->b, 0, f->now_ms);
	run_answered(f, 20000, 20); /* one more, to say so */
	assert_int_equal(last(f)->request.time_ds, BIND_TIME_NEVER);
	n = f->n_sent;
	f->n_ticks = 0;
	run(f, 100000000);
	assert_int_equal(f->n_sent, n);
	assert_int_equal(f->n_ticks, 0);
	assert_true(binding_is_bound(f->b));
	binding_set_keepalive(f->b, BINDING_KEEPALIVE_MS, f->now_ms);
	assert_true(binding_is_bound(f->b));
	run_answered(f, 18000, 20);
	assert_int_equal(f->n_sent, n + 1);
	check_pace(f, 15000, 18000, 100000);
}

static void silent_relay_is_unbound(void **state)
{
	struct fixture *f = *state;
	unsigned n;

	bind_now(f);
	n = f->n_changed;
	run(f, 18000 + 3450);
	assert_false(binding_is_bound(f->b));
	assert_int_equal(f->n_changed, n + 1);
	run(f, 3500);
	assert_int_equal(binding_rtt_us(f->b), 0);
	binding_refresh(f->b, f->now_ms);
	answer(f, &home, true);
	assert_true(binding_is_bound(f->b));
}

static void refreshes_are_500_ms_apart_and_none_is_lost(void **state)
{
	struct fixture *f = *state;
	unsigned before;

	bind_now(f);
	run_answered(f, 1000, 20);
	before = f->n_sent;
	for (unsigned i = 0; i < 100; i++) {
		binding_refresh(f->b, f->now_ms);
		answer(f, &home, true);
		run(f, 10);
	}
	assert_in_range(f->n_sent - before, 2, 3); /* at 0, 500 and perhaps 1000 ms */
	run(f, 600);
	assert_true(f->n_sent >= before + 3);
}

static void stop_forgets_all_but_the_endpoint(void **state)
{
	struct fixture *f = *state;
	unsigned n;

	bind_now(f);
	binding_stop(f->b);
	n = f->n_sent;
	assert_false(binding_is_bound(f->b));
	assert_int_equal(binding_next_ms(f->b), UINT64_MAX);
	binding_refresh(f->b, f->now_ms);
	binding_set_keepalive(f->b, 12000, f->now_ms);
	binding_tick(f->b, f->now_ms + 100000);
	assert_false(answer(f, &home, true));
	assert_int_equal(f->n_sent, n);
	assert_false(binding_is_bound(f->b));
	assert_true(endpoint_equal(binding_reflexive(f->b), &home));
	bind_now(f); /* and it can begin again */
}

/* ---------------------------------------------------------------- strangers */

static void reply_that_does_not_match_is_ignored(void **state)
{
	static const struct endpoint elsewhere = { .ip = { 4, { 203, 0, 113, 66 } }, .port = 27700 };
	struct fixture *f = *state;
	struct wire_bind reply = { .type = BIND_REPLY, .flags = BIND_BOUND, .observed = home };
	struct endpoint port = with_port(relay, 27701);
	uint64_t token;

	binding_start(f->b, &relay, f->now_ms);
	token = last(f)->request.token;
	reply.token = token;
	assert_false(binding_on_reply(f->b, &elsewhere, &reply, f->now_ms));
	assert_false(binding_on_reply(f->b, &port, &reply, f->now_ms));
	reply.token = token ^ 1;
	assert_false(binding_on_reply(f->b, &relay, &reply, f->now_ms));
	reply.token = 0;
	assert_false(binding_on_reply(f->b, &relay, &reply, f->now_ms));
	reply.token = token;
	reply.type = BIND_REQUEST; /* our own, reflected */
	assert_false(binding_on_reply(f->b, &relay, &reply, f->now_ms));
	assert_int_equal(f->n_changed, 0);
	assert_int_equal(f->n_sent, 1);
	assert_false(binding_is_bound(f->b));
	reply.type = BIND_REPLY;
	assert_true(binding_on_reply(f->b, &relay, &reply, f->now_ms));
	assert_true(binding_is_bound(f->b));
}

static void second_reply_to_one_request_is_ignored(void **state)
{
	struct fixture *f = *state;
	struct endpoint other = with_port(home, 9);

	bind_now(f);
	assert_false(answer(f, &other, false)); /* the same token again */
	assert_true(binding_is_bound(f->b));
	assert_true(endpoint_equal(binding_reflexive(f->b), &home));
}

static int start(void **state)
{
	(void)state;
	return crypto_start();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(start_asks_at_once_and_repeats_the_challenge),
		TEST(relay_that_never_binds_does_not_set_the_pace),
		TEST(unanswered_request_is_repeated_and_tried_again_after_30_s),
		TEST(relay_that_answered_lately_is_asked_each_second),
		TEST(answer_on_a_slow_path_counts_after_a_repetition),
		TEST(moved_endpoint_is_told_and_bound_anew),
		TEST(owner_is_told_of_changes_only),
		TEST(mapping_is_kept_open_every_15_to_18_s),
		TEST(learned_lifetime_sets_the_pace),
		TEST(nothing_to_keep_open_is_silence),
		TEST(silent_relay_is_unbound),
		TEST(refreshes_are_500_ms_apart_and_none_is_lost),
		TEST(stop_forgets_all_but_the_endpoint),
		TEST(reply_that_does_not_match_is_ignored),
		TEST(second_reply_to_one_request_is_ignored),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
