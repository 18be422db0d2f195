#include "daemon/coordinator/roster.h"

#include <stdlib.h>

struct roster *roster_new(unsigned max)
{
	struct roster *r = calloc(1, sizeof(*r));
	unsigned slots = 8;

	if (!r)
		return NULL;
	while (slots < max * 2)
		slots *= 2;
	r->max = max;
	r->mask = slots - 1;
	r->ends = calloc(max ? max : 1, sizeof(*r->ends));
	r->by_index = calloc(slots, sizeof(struct roster_end *));
	r->by_member = calloc(slots, sizeof(struct roster_end *));
	if (!r->ends || !r->by_index || !r->by_member) {
		roster_free(r);
		return NULL;
	}
	return r;
}

void roster_free(struct roster *r)
{
	if (!r)
		return;
	for (unsigned i = 0; i < r->n; i++) {
		relay_link_unref(r->ends[i].link);
		relay_account_unref(r->ends[i].account);
	}
	free(r->ends);
	free(r->by_index);
	free(r->by_member);
	free(r);
}

/* Indices are random; members' ids follow the addresses in the file, which may all end alike. Multiplied by the golden
 * ratio (of 2^32), their high bits differ. */
static unsigned slot_of(const struct roster *r, uint32_t key)
{
	return (key * 2654435769u >> 12) & r->mask;
}

/* Where it is, or belongs. Half of the slots are free: there a search ends. */
static const struct roster_end **index_slot(const struct roster *r, uint32_t index)
{
	unsigned at = slot_of(r, index);

	while (r->by_index[at] && r->by_index[at]->link->local_index != index)
		at = (at + 1) & r->mask;
	return &r->by_index[at];
}

static const struct roster_end **member_slot(const struct roster *r, uint32_t member)
{
	unsigned at = slot_of(r, member);

	while (r->by_member[at] && r->by_member[at]->member != member)
		at = (at + 1) & r->mask;
	return &r->by_member[at];
}

void roster_add(struct roster *r, const struct roster_end *end)
{
	struct roster_end *e;

	if (r->n == r->max)
		return;
	e = &r->ends[r->n++];
	*e = *end;
	relay_link_ref(e->link);
	relay_account_ref(e->account);
	*index_slot(r, e->link->local_index) = e;
	*member_slot(r, e->member) = e;
}

const struct roster_end *roster_by_index(const struct roster *r, uint32_t index)
{
	return *index_slot(r, index);
}

const struct roster_end *roster_by_member(const struct roster *r, uint32_t member)
{
	return *member_slot(r, member);
}
