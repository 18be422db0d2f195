#include "daemon/base/gaps.h"

void gaps_init(struct gaps *g, uint64_t slept_ms)
{
	*g = (struct gaps){ .slept_ms = slept_ms, .armed_ms = UINT64_MAX };
}

void gaps_sleep(struct gaps *g, uint64_t due_ms, uint64_t now_ms)
{
	g->armed_ms = due_ms > now_ms ? due_ms : now_ms;
}

enum gap_kind gaps_wake(struct gaps *g, uint64_t slept_ms, uint64_t now_ms, uint64_t *gap_ms)
{
	/* Two clocks are not read at one instant: their difference may seem to shrink by a little. */
	uint64_t slept = slept_ms > g->slept_ms ? slept_ms - g->slept_ms : 0,
		 late = now_ms > g->armed_ms ? now_ms - g->armed_ms : 0;

	if (slept_ms > g->slept_ms)
		g->slept_ms = slept_ms;
	g->armed_ms = UINT64_MAX;
	*gap_ms = slept > late ? slept : late;
	if (slept >= GAPS_LEAST_MS)
		return GAP_SLEPT;
	return late >= GAPS_LEAST_MS ? GAP_STOPPED : GAP_NONE;
}
