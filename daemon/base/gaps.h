/* daemon/base/gaps.h - times that the program did not live through
 *
 * The machine was suspended, or the process stopped, or its container frozen, and nobody said so. Pure: time is handed in. */
#ifndef DAEMON_BASE_GAPS_H
#define DAEMON_BASE_GAPS_H

#include <stdint.h>

/* A gap so long is worth mention: NATs forget after 20 s, and peers miss us after less. */
#define GAPS_LEAST_MS 5000

enum gap_kind {
	GAP_NONE = 0,
	GAP_SLEPT,   /* the machine */
	GAP_STOPPED, /* the process: it should have woken up long ago */
};

struct gaps {
	uint64_t slept_ms; /* the machine's sleep up to now, as clock_slept_ms() */
	uint64_t
		armed_ms; /* when the program is to wake up at the latest; UINT64_MAX: it sleeps for as long as nothing comes */
};

void gaps_init(struct gaps *g, uint64_t slept_ms);
/* The program goes to sleep until due_ms, which may be past. */
void gaps_sleep(struct gaps *g, uint64_t due_ms, uint64_t now_ms);
/* It woke up, for whatever reason. Of what kind was the gap, and how long? */
enum gap_kind gaps_wake(struct gaps *g, uint64_t slept_ms, uint64_t now_ms, uint64_t *gap_ms);

#endif
