/* daemon/base/epochs.h - one published item at a time, and when those before it may be freed
 *
 * The owner builds a whole new item when anything in it changes and publishes it with one store; an item is never changed
 * after that. An old item is freed once no reader can still hold it: each reader announces the epoch it entered in, and
 * leaves before it sleeps. Items carry a struct epochs_item as their first field.
 * Thread: init, publish, reclaim and fini by the owner's; enter, current and leave by any reader, under its own number. */
#ifndef DAEMON_BASE_EPOCHS_H
#define DAEMON_BASE_EPOCHS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define EPOCHS_READERS_MAX 16

struct epochs_item {
	uint64_t epoch; /* the last it was current in */
	struct epochs_item *next;
};

typedef void epochs_free_fn(struct epochs_item *item);

struct epochs {
	_Atomic(struct epochs_item *) current;
	_Atomic uint64_t epoch;
	_Atomic uint64_t active[EPOCHS_READERS_MAX]; /* 0: holds nothing */
	struct epochs_item *retired;                 /* the owner's */
	epochs_free_fn *free_fn;
};

void epochs_init(struct epochs *e, epochs_free_fn *free_fn);
void epochs_fini(struct epochs *e); /* frees all; no reader may be left */
void epochs_publish_take(struct epochs *e, struct epochs_item *next);
/* Frees what nobody can hold. True if something is still waiting. */
bool epochs_reclaim(struct epochs *e);
const struct epochs_item *epochs_enter(struct epochs *e, unsigned reader); /* NULL before the first */
void epochs_leave(struct epochs *e, unsigned reader);
/* What a reader would find that entered now; for comparison only. */
const struct epochs_item *epochs_current(const struct epochs *e);

#endif
