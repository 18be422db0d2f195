/* daemon/coordinator/later.h - answers that are given once more, after a while
 *
 * A wheel of slots, so that thousands of them cost no more than few. Entries are their owner's, who cancels them before they
 * go. Decides only; time is handed in. Thread: one. */
#ifndef DAEMON_COORDINATOR_LATER_H
#define DAEMON_COORDINATOR_LATER_H

#include "daemon/coordinator/bound.h"

#define LATER_SLOTS 2048
#define LATER_SLOT_MS 100
/* The longest wait; one slot less than a turn of the wheel. */
#define LATER_MOST_MS ((LATER_SLOTS - 1) * LATER_SLOT_MS)

struct later;

struct later_entry { /* zeroed: none */
	void *owner;
	uint64_t token;
	struct way to;
	/* the wheel's */
	struct later *wheel; /* NULL: not in it */
	struct later_entry *prev, *next;
	uint64_t due_ms;
};

struct later { /* zeroed: empty */
	unsigned n;
	uint64_t from_ms; /* no entry is due before it */
	struct later_entry *slots[LATER_SLOTS];
};

/* Puts it in, or elsewhere in; after LATER_MOST_MS at the latest. */
void later_set(struct later *l, struct later_entry *e, uint64_t wait_ms, uint64_t now_ms);
void later_cancel(struct later_entry *e);
/* One that is due, taken out; NULL: none is. In the order of their slots. */
struct later_entry *later_take(struct later *l, uint64_t now_ms);
/* When later_take may have one; UINT64_MAX: there is none. */
uint64_t later_next_ms(const struct later *l);

#endif
