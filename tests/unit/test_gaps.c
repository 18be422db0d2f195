#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/base/gaps.h"

static uint64_t gap_ms;

static void waking_in_time_is_no_gap(void **state)
{
	struct gaps g;

	(void)state;
	gaps_init(&g, 777);
	assert_int_equal(gaps_wake(&g, 777, 1000, &gap_ms), GAP_NONE);
	gaps_sleep(&g, 2000, 1000);
	assert_int_equal(gaps_wake(&g, 777, 1500, &gap_ms), GAP_NONE); /* something came */
	gaps_sleep(&g, 2000, 1500);
	assert_int_equal(gaps_wake(&g, 777, 2000 + GAPS_LEAST_MS - 1, &gap_ms), GAP_NONE); /* a busy machine */
	gaps_sleep(&g, UINT64_MAX, 9000);
	assert_int_equal(gaps_wake(&g, 777, 9000000, &gap_ms), GAP_NONE); /* nothing was due */
}

static void what_was_due_long_before_falling_asleep_is_no_gap(void **state)
{
	struct gaps g;

	(void)state;
	gaps_init(&g, 0);
	gaps_sleep(&g, 5, 100000);
	assert_int_equal(gaps_wake(&g, 0, 100001, &gap_ms), GAP_NONE);
}

static void late_waking_is_a_gap_once(void **state)
{
	struct gaps g;

	(void)state;
	gaps_init(&g, 0);
	gaps_sleep(&g, 2000, 1000);
	assert_int_equal(gaps_wake(&g, 0, 202000, &gap_ms), GAP_STOPPED);
	assert_int_equal(gap_ms, 200000);
	assert_int_equal(gaps_wake(&g, 0, 202000, &gap_ms), GAP_NONE);
	gaps_sleep(&g, 203000, 202000);
	assert_int_equal(gaps_wake(&g, 0, 203000, &gap_ms), GAP_NONE);
}

static void sleep_of_the_machine_is_a_gap_though_the_timer_was_punctual(void **state)
{
	struct gaps g;

	(void)state;
	gaps_init(&g, 4000);
	gaps_sleep(&g, 100000, 1000);
	assert_int_equal(gaps_wake(&g, 4000 + 60000, 62000, &gap_ms), GAP_SLEPT);
	assert_int_equal(gap_ms, 60000);
	gaps_sleep(&g, 100000, 62000);
	assert_int_equal(gaps_wake(&g, 64000 - 1, 63000, &gap_ms), GAP_NONE); /* the clocks' difference trembles */
	gaps_sleep(&g, 100000, 63000);
	assert_int_equal(gaps_wake(&g, 64000, 63000, &gap_ms), GAP_NONE);
	/* Short sleeps are not added up. */
	gaps_sleep(&g, 100000, 63000);
	assert_int_equal(gaps_wake(&g, 64000 + GAPS_LEAST_MS - 1, 70000, &gap_ms), GAP_NONE);
	gaps_sleep(&g, 100000, 70000);
	assert_int_equal(gaps_wake(&g, 64000 + GAPS_LEAST_MS + 1, 71000, &gap_ms), GAP_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waking_in_time_is_no_gap),
		cmocka_unit_test(what_was_due_long_before_falling_asleep_is_no_gap),
		cmocka_unit_test(late_waking_is_a_gap_once),
		cmocka_unit_test(sleep_of_the_machine_is_a_gap_though_the_timer_was_punctual),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
