#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "daemon/base/clock.h"

static void the_clock_does_not_go_back(void **state)
{
	uint64_t before_us = clock_now_us(), ms = clock_now_ms(), after_us = clock_now_us();

	(void)state;
	assert_true(before_us <= after_us);
	assert_true(before_us / 1000 <= ms && ms <= after_us / 1000);
}

static void text_is_utc_and_names_the_instant(void **state)
{
	char out[CLOCK_TEXT_BYTES];
	struct tm tm = { 0 };
	uint64_t wall_ms = clock_wall_ms();
	time_t shown;

	(void)state;
	assert_string_equal(strptime(clock_text(clock_now_ms() - 60000, out), "%Y-%m-%dT%H:%M:%SZ", &tm), "");
	shown = timegm(&tm);
	assert_in_range((uint64_t)shown, wall_ms / 1000 - 61, wall_ms / 1000 - 58);
}

static void text_of_the_end_of_time_stays_in_its_room(void **state)
{
	char out[CLOCK_TEXT_BYTES];

	(void)state;
	assert_in_range(strlen(clock_text(UINT64_MAX, out)), 0, CLOCK_TEXT_BYTES - 1);
	assert_in_range(strlen(clock_text(UINT64_MAX / 2, out)), 0, CLOCK_TEXT_BYTES - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_clock_does_not_go_back),
		cmocka_unit_test(text_is_utc_and_names_the_instant),
		cmocka_unit_test(text_of_the_end_of_time_stays_in_its_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
