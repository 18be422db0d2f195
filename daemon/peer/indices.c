#include "daemon/peer/indices.h"

#include <sodium.h>
#include <stdlib.h>

#include <utlist.h>

#include "daemon/base/hash.h"

/* So long after its end, datagrams of a session may still be on their way; they must not meet another's keys. */
#define INDICES_REST_MS 10000

struct entry {
	uint32_t index;
	enum index_kind kind;
	void *owner; /* NULL: freed, resting */
	uint64_t freed_ms;
	struct entry *prev, *next; /* the resting ones, oldest first */
	UT_hash_handle hh;
};

struct indices {
	struct entry *by_index;
	struct entry *resting;
	uint64_t now_ms; /* latest seen */
};

struct indices *indices_new(void)
{
	return calloc(1, sizeof(struct indices));
}

void indices_free(struct indices *t)
{
	struct entry *e, *following;

	if (!t)
		return;
	e = t->by_index;
	HASH_CLEAR(hh, t->by_index); /* the table only; the entries are still a list */
	for (; e; e = following) {
		following = e->hh.next;
		free(e);
	}
	free(t);
}

static struct entry *find(const struct indices *t, uint32_t index)
{
	struct entry *e;

	HASH_FIND(hh, t->by_index, &index, sizeof(index), e);
	return e;
}

uint32_t indices_add(struct indices *t, enum index_kind kind, void *owner)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (!e)
		return 0;
	do {
		e->index = randombytes_random();
	} while (e->index == 0 || find(t, e->index));
	e->kind = kind;
	e->owner = owner;
	HASH_ADD(hh, t->by_index, index, sizeof(e->index), e);
	if (!hash_has(hh, e)) {
		free(e);
		return 0;
	}
	return e->index;
}

void indices_change(struct indices *t, uint32_t index, enum index_kind kind)
{
	struct entry *e = find(t, index);

	if (e && e->owner)
		e->kind = kind;
}

static void forget_rested(struct indices *t)
{
	struct entry *e;

	while ((e = t->resting) != NULL && t->now_ms - e->freed_ms >= INDICES_REST_MS) {
		DL_DELETE(t->resting, e);
		HASH_DEL(t->by_index, e);
		free(e);
	}
}

void indices_remove(struct indices *t, uint32_t index, uint64_t now_ms)
{
	struct entry *e;

	if (now_ms > t->now_ms)
		t->now_ms = now_ms;
	forget_rested(t);
	e = find(t, index);
	if (!e || !e->owner)
		return;
	e->owner = NULL;
	e->freed_ms = t->now_ms;
	DL_APPEND(t->resting, e);
}

void *indices_find(const struct indices *t, uint32_t index, enum index_kind *kind)
{
	const struct entry *e = find(t, index);

	if (!e || !e->owner)
		return NULL;
	*kind = e->kind;
	return e->owner;
}
