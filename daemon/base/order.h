/* daemon/base/order.h - things in the order of one of their fields, to be searched by halves
 *
 * A table that allocates nothing: the room is the owner's, who fills it with whatever there is and then sorts. */
#ifndef DAEMON_BASE_ORDER_H
#define DAEMON_BASE_ORDER_H

#include <stddef.h>

typedef int order_compare_fn(const void *a, const void *b); /* of two keys: < 0, 0, > 0 */

struct order {
	size_t key; /* where in a thing its key is: offsetof */
	order_compare_fn *compare;
	unsigned n;
	void **v; /* the owner's: room for as many as are added */
};

void order_add(struct order *o, void *thing); /* unsorted */
void order_sort(struct order *o);
/* Sorted, and stays so; takes time by the number there are. */
void order_insert(struct order *o, void *thing);
void order_remove(struct order *o, const void *thing); /* one that is not in it is fine */
/* Sorted: how many stand before the key; n: all do. */
unsigned order_before(const struct order *o, const void *key);
/* Sorted: one with that key, NULL if there is none. */
void *order_find(const struct order *o, const void *key);

#endif
