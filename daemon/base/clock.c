#include "daemon/base/clock.h"

#include <time.h>

static uint64_t read_us(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts); /* cannot fail: both clocks are older than any kernel this runs on */
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t clock_now_us(void)
{
	return read_us(CLOCK_BOOTTIME);
}

uint64_t clock_now_ms(void)
{
	return clock_now_us() / 1000;
}

uint64_t clock_slept_ms(void)
{
	uint64_t boot_us = read_us(CLOCK_BOOTTIME), awake_us = read_us(CLOCK_MONOTONIC);

	/* The second was read later: a little more than nothing has to be nothing. */
	return boot_us > awake_us ? (boot_us - awake_us) / 1000 : 0;
}

uint64_t clock_wall_ms(void)
{
	return read_us(CLOCK_REALTIME) / 1000;
}

const char *clock_text(uint64_t at_ms, char out[static CLOCK_TEXT_BYTES])
{
	/* Wraps and unwraps for an instant before the boot. */
	time_t at = (time_t)((clock_wall_ms() - clock_now_ms() + at_ms) / 1000);
	struct tm tm;

	if (!gmtime_r(&at, &tm) || strftime(out, CLOCK_TEXT_BYTES, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		out[0] = '\0';
	return out;
}
