/* daemon/data/lane_private.h - what lane.c, lane_out.c and lane_in.c share */
#ifndef DAEMON_DATA_LANE_PRIVATE_H
#define DAEMON_DATA_LANE_PRIVATE_H

#include "daemon/base/usdt.h"
#include "daemon/data/lane.h"

/* Inner packets up to this go over every path, in pieces if need be: what IPv6 asks of a link (RFC 8200 section 5). */
#define LANE_WHOLE_BYTES 1280
/* Of unpacked packets: more than may be joined into one, so that this seldom ends a join. */
#define LANE_UNPACKED_BYTES (128 * 1024)

static inline void lane_drop(struct lane *l, enum counter why)
{
	USDT2(drop, (int)why, counter_name(why));
	counters_inc(l->counters, why);
}

static inline void lane_tell(struct lane *l, const struct mail *m)
{
	if (!l->tell(l->arg, m))
		lane_drop(l, COUNTER_drop_queue_full);
}

static inline void lane_store_ms(_Atomic uint64_t *at, uint64_t now_ms)
{
	/* Several workers may carry one peer: the same instant is not worth a write to a shared line. */
	if (atomic_load_explicit(at, memory_order_relaxed) != now_ms)
		atomic_store_explicit(at, now_ms, memory_order_relaxed);
}

/* Counts for this peer from now on; what was counted for another is added to its traffic. */
void lane_count_for(struct lane *l, struct shared_peer *peer);
void lane_flush_out(struct lane *l);    /* sends what is sealed */
void lane_flush_joined(struct lane *l); /* writes what is joined */

#endif
