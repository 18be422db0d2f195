#include "daemon/coordinator/bucket.h"

#define TOKEN 1000 /* of left_milli */

void bucket_init(struct bucket *b, uint32_t burst, uint64_t now_ms)
{
	b->left_milli = (uint64_t)burst * TOKEN;
	b->refilled_ms = now_ms;
}

bool bucket_take(struct bucket *b, uint32_t per_s, uint32_t burst, uint64_t now_ms)
{
	uint64_t full = (uint64_t)burst * TOKEN;

	if (now_ms > b->refilled_ms) {
		uint64_t elapsed_ms = now_ms - b->refilled_ms;

		/* A token a second is a thousandth of one a millisecond. Past the time a refill takes, the product is
		 * not needed and could overflow. */
		if (!per_s || elapsed_ms >= full / per_s)
			b->left_milli = per_s ? full : b->left_milli;
		else
			b->left_milli += elapsed_ms * per_s;
		if (b->left_milli > full)
			b->left_milli = full;
		b->refilled_ms = now_ms;
	}
	if (b->left_milli < TOKEN)
		return false;
	b->left_milli -= TOKEN;
	return true;
}
