#include "daemon/base/epochs.h"

#include <string.h>

void epochs_init(struct epochs *e, epochs_free_fn *free_fn)
{
	memset(e, 0, sizeof(*e));
	e->free_fn = free_fn;
	atomic_init(&e->epoch, 1);
}

void epochs_fini(struct epochs *e)
{
	struct epochs_item *current = atomic_exchange(&e->current, NULL);

	epochs_reclaim(e);
	if (current)
		e->free_fn(current);
}

void epochs_publish_take(struct epochs *e, struct epochs_item *next)
{
	struct epochs_item *old = atomic_exchange(&e->current, next);
	/* A reader that enters from here on can only see `next`; one that entered before announced an older epoch. */
	uint64_t epoch = atomic_fetch_add(&e->epoch, 1);

	if (old) {
		old->epoch = epoch;
		old->next = e->retired;
		e->retired = old;
	}
	epochs_reclaim(e);
}

bool epochs_reclaim(struct epochs *e)
{
	uint64_t oldest = UINT64_MAX;

	for (unsigned i = 0; i < EPOCHS_READERS_MAX; i++) {
		uint64_t active = atomic_load(&e->active[i]);

		if (active && active < oldest)
			oldest = active;
	}
	for (struct epochs_item **link = &e->retired; *link;) {
		struct epochs_item *old = *link;

		if (old->epoch < oldest) {
			*link = old->next;
			e->free_fn(old);
		} else {
			link = &old->next;
		}
	}
	return e->retired != NULL;
}

const struct epochs_item *epochs_enter(struct epochs *e, unsigned reader)
{
	/* Sequentially consistent with publish and reclaim: either reclaim sees this announcement, or this reader sees the
	 * item published before it. */
	atomic_store(&e->active[reader], atomic_load(&e->epoch));
	return atomic_load(&e->current);
}

void epochs_leave(struct epochs *e, unsigned reader)
{
	atomic_store_explicit(&e->active[reader], 0, memory_order_release);
}

const struct epochs_item *epochs_current(const struct epochs *e)
{
	return atomic_load(&e->current);
}
