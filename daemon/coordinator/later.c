#include "daemon/coordinator/later.h"

#include <utlist.h>

static struct later_entry **slot_at(struct later *l, uint64_t at_ms)
{
	return &l->slots[at_ms / LATER_SLOT_MS % LATER_SLOTS];
}

void later_cancel(struct later_entry *e)
{
	struct later_entry **slot;

	if (!e->wheel)
		return;
	slot = slot_at(e->wheel, e->due_ms);
	DL_DELETE(*slot, e);
	e->wheel->n--;
	e->wheel = NULL;
}

void later_set(struct later *l, struct later_entry *e, uint64_t wait_ms, uint64_t now_ms)
{
	struct later_entry **slot;

	later_cancel(e);
	if (l->n == 0)
		l->from_ms = now_ms;
	e->wheel = l;
	e->due_ms = now_ms + (wait_ms < LATER_MOST_MS ? wait_ms : LATER_MOST_MS);
	slot = slot_at(l, e->due_ms);
	DL_APPEND(*slot, e);
	l->n++;
}

struct later_entry *later_take(struct later *l, uint64_t now_ms)
{
	while (l->n > 0 && l->from_ms <= now_ms) {
		struct later_entry *e;

		DL_FOREACH(*slot_at(l, l->from_ms), e) {
			if (e->due_ms > now_ms)
				continue;
			later_cancel(e);
			return e;
		}
		if (l->from_ms / LATER_SLOT_MS == now_ms / LATER_SLOT_MS)
			break; /* what is left of this slot is due later in it */
		l->from_ms = (l->from_ms / LATER_SLOT_MS + 1) * LATER_SLOT_MS;
	}
	return NULL;
}

uint64_t later_next_ms(const struct later *l)
{
	uint64_t first = l->from_ms / LATER_SLOT_MS, next_ms = UINT64_MAX;

	for (uint64_t at = first; l->n > 0 && at < first + LATER_SLOTS; at++) {
		bool is_this_turn = false;

		for (const struct later_entry *e = l->slots[at % LATER_SLOTS]; e; e = e->next) {
			next_ms = e->due_ms < next_ms ? e->due_ms : next_ms;
			is_this_turn |= e->due_ms / LATER_SLOT_MS == at;
		}
		if (is_this_turn) /* what lies in later slots is due later */
			break;
	}
	return next_ms;
}
