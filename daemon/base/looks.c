#include "daemon/base/looks.h"

void looks_init(struct looks *l)
{
	*l = (struct looks){ .due_ms = UINT64_MAX, .wait_ms = LOOKS_WAIT_MIN_MS };
}

void looks_want(struct looks *l, uint64_t now_ms)
{
	uint64_t rested_ms = l->last_ms + l->wait_ms;

	if (l->due_ms == UINT64_MAX)
		l->due_ms = rested_ms > now_ms ? rested_ms : now_ms;
}

void looks_begin(struct looks *l, uint64_t now_ms)
{
	l->due_ms = UINT64_MAX;
	l->last_ms = now_ms;
}

void looks_end(struct looks *l, bool has_found)
{
	if (has_found)
		l->wait_ms = LOOKS_WAIT_MIN_MS;
	else if (l->wait_ms < LOOKS_WAIT_MAX_MS)
		l->wait_ms *= 2;
}
