#include "daemon/relay/account.h"

#include <stdlib.h>

struct relay_account *relay_account_new(void)
{
	struct relay_account *a = calloc(1, sizeof(*a));

	if (a)
		atomic_init(&a->refs, 1);
	return a;
}

struct relay_account *relay_account_ref(struct relay_account *a)
{
	atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
	return a;
}

void relay_account_unref(struct relay_account *a)
{
	if (a && atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) == 1)
		free(a);
}
