#include "daemon/base/order.h"

#include <stdlib.h>

static const void *key_of(const struct order *o, const void *thing)
{
	return (const char *)thing + o->key;
}

static int compare_things(const void *a, const void *b, void *arg)
{
	const struct order *o = arg;

	return o->compare(key_of(o, *(void *const *)a), key_of(o, *(void *const *)b));
}

void order_add(struct order *o, void *thing)
{
	o->v[o->n++] = thing;
}

void order_sort(struct order *o)
{
	if (o->n > 1)
		qsort_r(o->v, o->n, sizeof(*o->v), compare_things, o);
}

unsigned order_before(const struct order *o, const void *key)
{
	unsigned low = 0, high = o->n;

	while (low < high) {
		unsigned middle = low + (high - low) / 2;

		if (o->compare(key_of(o, o->v[middle]), key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void *order_find(const struct order *o, const void *key)
{
	unsigned at = order_before(o, key);

	return at < o->n && o->compare(key_of(o, o->v[at]), key) == 0 ? o->v[at] : NULL;
}
