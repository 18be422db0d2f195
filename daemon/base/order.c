#include "daemon/base/order.h"

#include <stdlib.h>
#include <string.h>

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

void order_insert(struct order *o, void *thing)
{
	unsigned at = order_before(o, key_of(o, thing));

	memmove(&o->v[at + 1], &o->v[at], (o->n - at) * sizeof(*o->v));
	o->v[at] = thing;
	o->n++;
}

void order_remove(struct order *o, const void *thing)
{
	unsigned at = order_before(o, key_of(o, thing));

	while (at < o->n && o->v[at] != thing && o->compare(key_of(o, o->v[at]), key_of(o, thing)) == 0)
		at++;
	if (at == o->n || o->v[at] != thing)
		return;
	o->n--;
	memmove(&o->v[at], &o->v[at + 1], (o->n - at) * sizeof(*o->v));
}
