/* daemon/base/clock.h - the one clock of the program
 *
 * CLOCK_BOOTTIME: it goes on in suspend, so that keys age while a laptop sleeps (libuv's clock stands still).
 * Only adapters and roles read it; decisions take now_ms as an argument.  Thread: any. */
#ifndef DAEMON_BASE_CLOCK_H
#define DAEMON_BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_now_ms(void);
uint64_t clock_now_us(void);
/* How long the machine has been suspended since its boot: what CLOCK_BOOTTIME counts and CLOCK_MONOTONIC does not. */
uint64_t clock_slept_ms(void);
uint64_t clock_wall_ms(void); /* CLOCK_REALTIME, for times shown to people and TAI64N stamps */

/* RFC 3339 UTC with seconds, "2026-01-02T12:44:03Z", of a clock_now_ms() instant. 21 bytes with NUL. */
#define CLOCK_TEXT_BYTES 32
const char *clock_text(uint64_t at_ms, char out[static CLOCK_TEXT_BYTES]);

#endif
