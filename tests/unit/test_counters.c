#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/base/counters.h"

static void every_counter_has_its_own_name(void **state)
{
	(void)state;
	for (int i = 0; i < COUNTER_COUNT; i++) {
		assert_non_null(counter_name((enum counter)i));
		for (int j = 0; j < i; j++)
			assert_string_not_equal(counter_name((enum counter)i), counter_name((enum counter)j));
	}
	assert_string_equal(counter_name(COUNTER_drop_replay), "drop_replay");
}

static void the_sum_is_over_all_threads_structs(void **state)
{
	static struct counters a, b;
	uint64_t sum[COUNTER_COUNT] = { 0 };

	(void)state;
	counters_inc(&a, COUNTER_rx_datagrams);
	counters_inc(&b, COUNTER_rx_datagrams);
	counters_add(&b, COUNTER_relay_bad_source, UINT64_MAX / 2);
	counters_sum(sum, &a);
	counters_sum(sum, &b);
	assert_true(counters_get(&b, COUNTER_rx_datagrams) == 1);
	assert_true(sum[COUNTER_rx_datagrams] == 2);
	assert_true(sum[COUNTER_relay_bad_source] == UINT64_MAX / 2);
	assert_true(sum[COUNTER_tx_datagrams] == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_counter_has_its_own_name),
		cmocka_unit_test(the_sum_is_over_all_threads_structs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
