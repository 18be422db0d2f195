/* daemon/base/looks.h - when to look at something whose changes are announced, often for nothing
 *
 * A change makes its owner look; looks that find nothing come ever more seldom, so that a host which makes and unmakes
 * containers all day costs little. Pure: time is handed in. */
#ifndef DAEMON_BASE_LOOKS_H
#define DAEMON_BASE_LOOKS_H

#include <stdbool.h>
#include <stdint.h>

/* Between two looks; doubled by each that finds nothing. */
#define LOOKS_WAIT_MIN_MS 100
#define LOOKS_WAIT_MAX_MS 2000

struct looks {
	uint64_t due_ms; /* of the next look; UINT64_MAX: nothing has changed since the last */
	uint64_t last_ms, wait_ms;
};

void looks_init(struct looks *l);
/* Something changed: makes a look due, unless one is. */
void looks_want(struct looks *l, uint64_t now_ms);
/* Around a look, due or not. */
void looks_begin(struct looks *l, uint64_t now_ms);
void looks_end(struct looks *l, bool has_found);

#endif
