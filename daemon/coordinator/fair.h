/* daemon/coordinator/fair.h - who gives way when there is not room for all
 *
 * Counts what each sender got through lately. While a queue is congested, a sender is refused who has both got the most, or
 * nearly as much, and a greater part of the batch at hand than each would have if it were divided equally. So the heaviest
 * come down until the others, who ask for less, get what they ask for, and those who ask for more get alike. Without
 * congestion nobody is refused. There are no queues of its own: the queues are the kernel's, and what is refused early,
 * before it has cost anything but its receipt, makes room in them. That is the point for a socket that all senders share:
 * were it left to fill up, the kernel would drop from everybody alike.
 *
 * "Lately": counts are halved every FAIR_HALVED_MS. Senders are told apart by a number that they do not choose; its low
 * bits name a count, so that the table has a fixed size, and two of some thousand may share one.
 * No clock, no sockets: time, cost and congestion are handed in. Thread: one. */
#ifndef DAEMON_COORDINATOR_FAIR_H
#define DAEMON_COORDINATOR_FAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAIR_COUNTS 1024
/* A few round trips: long enough to tell a flood from a burst, short enough to forgive it. */
#define FAIR_HALVED_MS 64

struct fair {
	uint64_t halved_ms;
	uint64_t most; /* the highest of got, halved with them */
	uint64_t got[FAIR_COUNTS];
};

struct fair_item {
	uint32_t sender;
	size_t cost; /* in any unit, the same for all */
	bool is_refused;
};

void fair_init(struct fair *f, uint64_t now_ms);
/* Is this sender among the heaviest? Not if nobody has sent anything. */
bool fair_is_heavy(const struct fair *f, uint32_t sender);
/* Sets is_refused of each item of a batch, a few dozen; counts the others. */
void fair_batch(struct fair *f, struct fair_item *items, unsigned n, bool is_congested, uint64_t now_ms);
/* A batch of one. True if it may pass. */
bool fair_admit(struct fair *f, uint32_t sender, size_t cost, bool is_congested, uint64_t now_ms);

#endif
