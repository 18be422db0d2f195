#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

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

/* A time namespace whose CLOCK_BOOTTIME is ahead is as a machine that slept. */
static void sleep_is_what_boot_time_is_ahead(void **state)
{
	uint64_t slept_ms = clock_slept_ms();
	int status, fd;
	pid_t pid;

	(void)state;
	assert_true(clock_slept_ms() + 1000 > slept_ms);
	if (unshare(CLONE_NEWTIME) < 0)
		skip();
	fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "boottime 1000 0", 15), 15);
	close(fd);
	pid = fork();
	if (pid == 0) {
		uint64_t now_ms = clock_slept_ms();

		_exit(now_ms < slept_ms + 999000 || now_ms > slept_ms + 1001000);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_clock_does_not_go_back),
		cmocka_unit_test(text_is_utc_and_names_the_instant),
		cmocka_unit_test(sleep_is_what_boot_time_is_ahead),
		cmocka_unit_test(text_of_the_end_of_time_stays_in_its_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
