#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/key.h"
#include "daemon/peer/lifetime.h"
#include "tests/unit/nat_double.h"

/* A port behind nat_double, and a coordinator that answers at once and again later, as it is asked. */

#define ONE_WAY_MS 10

struct fixture {
	struct lifetime *l;
	struct nat_double nat;
	uint64_t now_ms;
	unsigned unit_ms;
	bool is_down, is_open, cannot_open, has_nobody;
	unsigned lose_percent;
	uint32_t seed;
	uint16_t local;
	unsigned n_opened, n_asked, n_learned, n_ticks, n_later;
	uint64_t token;
	struct endpoint observed;
	uint64_t answer_ms, later_ms; /* when they reach the NAT; 0: none is out */
	uint64_t quiet_since_ms, longest_quiet_ms;
};

static const struct endpoint server = { .ip = { 4, { 198, 51, 100, 10 } }, .port = 27700 };

static int on_open(void *arg)
{
	struct fixture *f = arg;

	assert_false(f->is_open);
	if (f->cannot_open)
		return -24;
	f->is_open = true;
	f->local = (uint16_t)(40000 + f->n_opened++);
	f->answer_ms = f->later_ms = 0;
	return 0;
}

static void on_close(void *arg)
{
	struct fixture *f = arg;

	assert_true(f->is_open);
	f->is_open = false;
	f->answer_ms = f->later_ms = 0;
}

static bool is_lost(struct fixture *f)
{
	f->seed = f->seed * 1664525 + 1013904223;
	return f->seed >> 16 < f->lose_percent * 65536 / 100;
}

static bool on_ask(void *arg, uint64_t token, uint16_t delay_ds)
{
	struct fixture *f = arg;

	assert_true(f->is_open);
	if (f->has_nobody)
		return false;
	f->n_asked++;
	f->token = token;
	f->observed = nat_double_out(&f->nat, f->local, &server, f->now_ms);
	if (f->is_down || is_lost(f))
		return true;
	f->answer_ms = f->now_ms + 2 * ONE_WAY_MS;
	f->later_ms = delay_ds ? f->answer_ms + delay_ds * UINT64_C(100) : 0;
	return true;
}

static void on_learned(void *arg)
{
	((struct fixture *)arg)->n_learned++;
}

static const struct lifetime_env env = { on_open, on_close, on_ask, on_learned };

static void arrive(struct fixture *f, bool is_later)
{
	uint64_t *at_ms = is_later ? &f->later_ms : &f->answer_ms;
	uint16_t local = nat_double_in(&f->nat, &f->observed, &server, f->now_ms);

	*at_ms = 0;
	if (local != f->local || is_lost(f))
		return;
	f->nat.v[f->nat.n - 1].used_ms = f->now_ms; /* what comes in keeps it too */
	f->n_later += is_later;
	lifetime_on_answer(f->l, f->token, is_later, f->now_ms);
}

static uint64_t min_of(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void run(struct fixture *f, uint64_t ms)
{
	uint64_t end_ms = f->now_ms + ms;

	for (;;) {
		uint64_t answer_ms = f->answer_ms ? f->answer_ms : UINT64_MAX,
			 later_ms = f->later_ms ? f->later_ms : UINT64_MAX, next_ms = min_of(answer_ms, later_ms);

		if (f->nat.n > NAT_DOUBLE_MAPPINGS - 2)
			f->nat.n = 0;
		next_ms = min_of(next_ms, lifetime_next_ms(f->l));
		if (next_ms > end_ms)
			break;
		f->now_ms = next_ms > f->now_ms ? next_ms : f->now_ms;
		if (next_ms == answer_ms || next_ms == later_ms) {
			arrive(f, next_ms != answer_ms);
		} else {
			f->n_ticks++;
			lifetime_tick(f->l, f->now_ms);
		}
	}
	f->now_ms = end_ms;
}

static void use_unit(struct fixture *f, unsigned unit_ms)
{
	lifetime_free(f->l);
	f->unit_ms = unit_ms;
	f->l = lifetime_new(&env, f, unit_ms);
	assert_non_null(f->l);
}

static int set_up(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	f.now_ms = 1000000;
	f.nat = (struct nat_double){ .outside = { 4, { 203, 0, 113, 7 } },
				     .mapping = NAT_MAPPING_ENDPOINT_INDEPENDENT,
				     .filtering = NAT_FILTERING_ADDRESS_AND_PORT_DEPENDENT };
	use_unit(&f, 1000);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	lifetime_free(f->l);
	assert_false(f->is_open);
	return 0;
}

#define HOUR_MS (UINT64_C(3600) * 1000)

static void lifetimes_are_learned_within_a_fifth(void **state)
{
	struct fixture *f = *state;

	for (unsigned s = 6; s <= 200; s++) {
		use_unit(f, 1000);
		f->nat.n = 0;
		f->nat.lifetime_ms = s * 1000;
		lifetime_start(f->l, f->now_ms);
		assert_true(lifetime_is_measuring(f->l));
		run(f, HOUR_MS);
		assert_true(lifetime_is_done(f->l));
		assert_false(lifetime_is_measuring(f->l));
		assert_false(f->is_open);
		if (s > LIFETIME_ENOUGH_S)
			assert_int_equal(lifetime_s(f->l), LIFETIME_ENOUGH_S);
		else /* what is just over it may have succeeded by the time a datagram takes */
			assert_in_range(lifetime_s(f->l), (s * 4 + 4) / 5 - 1, s);
	}
}

static void shorter_units_measure_shorter_times(void **state)
{
	struct fixture *f = *state;

	use_unit(f, 100);
	f->nat.lifetime_ms = 4000;
	lifetime_start(f->l, f->now_ms);
	run(f, HOUR_MS / 10);
	assert_true(lifetime_is_done(f->l));
	assert_in_range(lifetime_s(f->l), 32, 40);
}

static void nat_that_forgets_at_once_is_told_from_one_not_measured(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(lifetime_s(f->l), 0);
	f->nat.lifetime_ms = 2600;
	lifetime_start(f->l, f->now_ms);
	assert_int_equal(lifetime_s(f->l), 0);
	run(f, HOUR_MS);
	assert_true(lifetime_is_done(f->l));
	assert_int_equal(lifetime_s(f->l), 1);
}

static void what_is_learned_so_far_is_told_at_once(void **state)
{
	struct fixture *f = *state;

	f->nat.lifetime_ms = 300000;
	lifetime_start(f->l, f->now_ms);
	run(f, 29000);
	assert_int_equal(lifetime_s(f->l), 25);
	assert_int_equal(f->n_learned, 1);
	run(f, 49000);
	assert_int_equal(lifetime_s(f->l), 45);
	assert_false(lifetime_is_done(f->l));
	run(f, 480000);
	assert_int_equal(lifetime_s(f->l), 180);
	assert_true(lifetime_is_done(f->l));
	assert_int_equal(f->n_learned, 6);
	assert_int_equal(lifetime_next_ms(f->l), UINT64_MAX);
}

static void lost_datagrams_make_no_short_lifetime(void **state)
{
	struct fixture *f = *state;

	f->nat.lifetime_ms = 300000;
	f->lose_percent = 3;
	for (unsigned i = 0; i < 30; i++) {
		use_unit(f, 1000);
		lifetime_start(f->l, f->now_ms);
		run(f, HOUR_MS);
		assert_int_equal(lifetime_s(f->l), 180);
	}
}

static void test_costs_two_requests_and_its_silence_no_wake_up(void **state)
{
	struct fixture *f = *state;

	f->nat.lifetime_ms = 300000;
	lifetime_start(f->l, f->now_ms);
	run(f, 4000);
	assert_int_equal(f->n_asked, 2);
	f->n_ticks = 0;
	run(f, 21000); /* silent */
	assert_int_equal(f->n_asked, 2);
	assert_int_equal(f->n_ticks, 0);
	run(f, 3600 * 1000);
	assert_int_equal(f->n_opened, 6);
	assert_int_equal(f->n_asked, 12);
}

static void server_that_is_away_is_asked_ever_less(void **state)
{
	struct fixture *f = *state;

	f->is_down = true;
	lifetime_start(f->l, f->now_ms);
	run(f, 24 * HOUR_MS);
	assert_in_range(f->n_opened, 20, 36);
	assert_false(f->is_open);
	assert_int_equal(lifetime_s(f->l), 0);
	assert_false(lifetime_is_done(f->l));
	f->is_down = false;
	f->nat.lifetime_ms = 50000;
	run(f, 3 * HOUR_MS);
	assert_in_range(lifetime_s(f->l), 40, 50);
}

static void no_port_and_nobody_to_ask_are_tried_again(void **state)
{
	struct fixture *f = *state;

	f->cannot_open = true;
	f->nat.lifetime_ms = 50000;
	lifetime_start(f->l, f->now_ms);
	run(f, 1000);
	f->cannot_open = false;
	f->has_nobody = true;
	run(f, 120000);
	assert_false(f->is_open);
	assert_int_equal(lifetime_s(f->l), 0);
	f->has_nobody = false;
	run(f, HOUR_MS);
	assert_in_range(lifetime_s(f->l), 40, 50);
}

static void disturbed_test_counts_for_nothing(void **state)
{
	struct fixture *f = *state;

	f->nat.lifetime_ms = 300000;
	lifetime_start(f->l, f->now_ms);
	for (unsigned i = 0; i < 5; i++) {
		run(f, 10000);
		f->later_ms = 0; /* the coordinator forgot */
		lifetime_disturbed(f->l, f->now_ms);
		assert_false(f->is_open);
		run(f, 60000 << i);
	}
	assert_true(lifetime_s(f->l) == 0 || lifetime_s(f->l) >= 25);
	run(f, 2 * HOUR_MS);
	assert_int_equal(lifetime_s(f->l), 180);
}

static void known_lifetime_is_not_measured_again(void **state)
{
	struct fixture *f = *state;

	lifetime_take(f->l, 90);
	assert_int_equal(lifetime_s(f->l), 90);
	assert_true(lifetime_is_done(f->l));
	run(f, HOUR_MS);
	assert_int_equal(f->n_asked, 0);
	lifetime_start(f->l, f->now_ms); /* another network */
	assert_int_equal(lifetime_s(f->l), 0);
	run(f, 10000);
	assert_true(f->is_open);
	lifetime_stop(f->l);
	assert_false(f->is_open);
	assert_int_equal(lifetime_next_ms(f->l), UINT64_MAX);
}

static void answer_that_does_not_match_changes_nothing(void **state)
{
	struct fixture *f = *state;
	uint64_t first_token;

	f->nat.lifetime_ms = 20000;
	assert_false(lifetime_on_answer(f->l, 0, true, f->now_ms));
	lifetime_start(f->l, f->now_ms);
	run(f, 0);
	first_token = f->token;
	assert_false(lifetime_on_answer(f->l, f->token ^ 1, false, f->now_ms));
	assert_true(lifetime_on_answer(f->l, f->token, true, f->now_ms)); /* later, before it was asked for */
	assert_int_equal(f->n_learned, 0);
	run(f, 5000); /* the second request is out, and answered */
	assert_int_equal(f->n_asked, 2);
	assert_true(f->token != first_token);
	assert_false(lifetime_on_answer(f->l, first_token, true, f->now_ms)); /* replayed */
	assert_true(lifetime_on_answer(f->l, f->token, false, f->now_ms));    /* the first answer once more */
	assert_int_equal(f->n_learned, 0);
	run(f, HOUR_MS);
	assert_in_range(lifetime_s(f->l), 16, 20);
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
		TEST(lifetimes_are_learned_within_a_fifth),
		TEST(shorter_units_measure_shorter_times),
		TEST(nat_that_forgets_at_once_is_told_from_one_not_measured),
		TEST(what_is_learned_so_far_is_told_at_once),
		TEST(lost_datagrams_make_no_short_lifetime),
		TEST(test_costs_two_requests_and_its_silence_no_wake_up),
		TEST(server_that_is_away_is_asked_ever_less),
		TEST(no_port_and_nobody_to_ask_are_tried_again),
		TEST(disturbed_test_counts_for_nothing),
		TEST(known_lifetime_is_not_measured_again),
		TEST(answer_that_does_not_match_changes_nothing),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
