/* daemon/relay/quota.h - how much a member may send through the relay
 *
 * Token buckets for bytes and datagrams, one pair per sender and one for the network. They hold over all threads that take
 * from them: a token is taken by one only, and one thread refills. What all share is shared fairly: half of the network's
 * burst is kept for those who have lately tried to use little of their own quota, the more of it the less they tried, so
 * that many who send all they may leave room for the others.
 * Time is handed in. Thread: take by any; init before the others can see it, set by the loop. */
#ifndef DAEMON_RELAY_QUOTA_H
#define DAEMON_RELAY_QUOTA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct quota {
	_Atomic uint64_t bits_per_s, packets_per_s; /* 0 packets: no limit on them; 0 bits: nothing passes */
	_Atomic uint64_t bits_left,
		packets_left_milli; /* burst: a quarter second of each, at least 64 datagrams of 1500 bytes */
	_Atomic uint64_t refilled_ms;
};

void quota_init(struct quota *q, uint64_t bits_per_s, uint64_t packets_per_s, uint64_t now_ms);
/* Changes the limits and keeps what is left. */
void quota_set(struct quota *q, uint64_t bits_per_s, uint64_t packets_per_s);
/* True and charged if one datagram of len bytes may pass. */
bool quota_take(struct quota *q, size_t len, uint64_t now_ms);
/* The same of a sender's quota and of what it shares with all. Who tries in vain is charged to its own: it tried. */
bool quota_take_shared(struct quota *own, struct quota *all, size_t len, uint64_t now_ms);

#endif
