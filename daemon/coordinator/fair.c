#include "daemon/coordinator/fair.h"

#include <string.h>

void fair_init(struct fair *f, uint64_t now_ms)
{
	memset(f, 0, sizeof(*f));
	f->halved_ms = now_ms;
}

static void halve(struct fair *f, uint64_t now_ms)
{
	uint64_t n;

	if (now_ms < f->halved_ms + FAIR_HALVED_MS)
		return;
	n = (now_ms - f->halved_ms) / FAIR_HALVED_MS;
	f->halved_ms += n * FAIR_HALVED_MS;
	if (n > 63) {
		fair_init(f, f->halved_ms);
		return;
	}
	f->most >>= n;
	for (unsigned i = 0; i < FAIR_COUNTS; i++)
		f->got[i] >>= n;
}

bool fair_is_heavy(const struct fair *f, uint32_t sender)
{
	/* Those within an eighth of the heaviest with it: else each of several alike would be spared in turn for a batch. */
	return f->got[sender % FAIR_COUNTS] > f->most - f->most / 8;
}

static uint64_t cost_of_all(const struct fair_item *items, unsigned n)
{
	uint64_t cost = 0;

	for (unsigned i = 0; i < n; i++)
		cost += items[i].cost;
	return cost;
}

static uint64_t cost_of(const struct fair_item *items, unsigned n, uint32_t sender)
{
	uint64_t cost = 0;

	for (unsigned i = 0; i < n; i++)
		cost += items[i].sender == sender ? items[i].cost : 0;
	return cost;
}

static unsigned count_senders(const struct fair_item *items, unsigned n)
{
	unsigned n_senders = 0;

	for (unsigned i = 0; i < n; i++) {
		unsigned first = 0;

		while (items[first].sender != items[i].sender)
			first++;
		n_senders += first == i;
	}
	return n_senders;
}

void fair_batch(struct fair *f, struct fair_item *items, unsigned n, bool is_congested, uint64_t now_ms)
{
	uint64_t part = is_congested && n ? cost_of_all(items, n) / count_senders(items, n) : 0;

	halve(f, now_ms);
	for (unsigned i = 0; i < n; i++) {
		struct fair_item *item = &items[i];
		uint64_t *got = &f->got[item->sender % FAIR_COUNTS];

		item->is_refused =
			is_congested && fair_is_heavy(f, item->sender) && cost_of(items, n, item->sender) >= part;
		if (item->is_refused)
			continue;
		*got += item->cost;
		if (*got > f->most)
			f->most = *got;
	}
}

bool fair_admit(struct fair *f, uint32_t sender, size_t cost, bool is_congested, uint64_t now_ms)
{
	struct fair_item item = { .sender = sender, .cost = cost };

	fair_batch(f, &item, 1, is_congested, now_ms);
	return !item.is_refused;
}
