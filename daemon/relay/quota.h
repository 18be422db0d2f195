/* daemon/relay/quota.h - how much a member may send through the relay
 *
 * Token buckets for bytes and datagrams, one pair per sender and one for the network. Time is handed in. Thread: one. */
#ifndef DAEMON_RELAY_QUOTA_H
#define DAEMON_RELAY_QUOTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct quota {
	uint64_t bits_per_s, packets_per_s; /* 0 packets: no limit on them; 0 bits: nothing passes */
	uint64_t bits_left,
		packets_left_milli; /* burst: a quarter second of each, at least 64 datagrams of 1500 bytes */
	uint64_t refilled_ms;
};

void quota_init(struct quota *q, uint64_t bits_per_s, uint64_t packets_per_s, uint64_t now_ms);
/* Changes the limits and keeps what is left. */
void quota_set(struct quota *q, uint64_t bits_per_s, uint64_t packets_per_s);
/* True and charged if one datagram of len bytes may pass. */
bool quota_take(struct quota *q, size_t len, uint64_t now_ms);

#endif
