#include "daemon/relay/quota.h"

/* A burst of this much always passes: fewer would cut the first window of a TCP connection to pieces at low rates. */
#define QUOTA_BURST_DATAGRAMS 64
#define QUOTA_BURST_BITS (UINT64_C(64) * 1500 * 8)
#define QUOTA_BURST_PER_S 4 /* a quarter second's worth */

/* Refilling in steps this long keeps what integer division loses under 100 bit/s at any rate. */
#define QUOTA_REFILL_MS 10

static uint64_t at_least(uint64_t value, uint64_t floor)
{
	return value > floor ? value : floor;
}

static uint64_t burst_bits(const struct quota *q)
{
	return at_least(q->bits_per_s / QUOTA_BURST_PER_S, QUOTA_BURST_BITS);
}

static uint64_t burst_packets_milli(const struct quota *q)
{
	return at_least(q->packets_per_s / QUOTA_BURST_PER_S, QUOTA_BURST_DATAGRAMS) * 1000;
}

/* left + gained, at most limit. */
static uint64_t fill(uint64_t left, uint64_t gained, uint64_t limit)
{
	return left >= limit || gained >= limit - left ? limit : left + gained;
}

void quota_init(struct quota *q, uint64_t bits_per_s, uint64_t packets_per_s, uint64_t now_ms)
{
	*q = (struct quota){ .bits_per_s = bits_per_s, .packets_per_s = packets_per_s, .refilled_ms = now_ms };
	q->bits_left = burst_bits(q);
	q->packets_left_milli = burst_packets_milli(q);
}

void quota_set(struct quota *q, uint64_t bits_per_s, uint64_t packets_per_s)
{
	q->bits_per_s = bits_per_s;
	q->packets_per_s = packets_per_s;
	q->bits_left = fill(q->bits_left, 0, burst_bits(q));
	q->packets_left_milli = fill(q->packets_left_milli, 0, burst_packets_milli(q));
}

static void refill(struct quota *q, uint64_t now_ms)
{
	uint64_t gained, elapsed_ms = now_ms - q->refilled_ms;

	if (now_ms < q->refilled_ms || elapsed_ms < QUOTA_REFILL_MS)
		return;
	if (__builtin_mul_overflow(elapsed_ms, q->bits_per_s, &gained))
		gained = UINT64_MAX;
	q->bits_left = fill(q->bits_left, gained / 1000, burst_bits(q));
	if (__builtin_mul_overflow(elapsed_ms, q->packets_per_s, &gained))
		gained = UINT64_MAX;
	q->packets_left_milli = fill(q->packets_left_milli, gained, burst_packets_milli(q));
	q->refilled_ms = now_ms;
}

bool quota_take(struct quota *q, size_t len, uint64_t now_ms)
{
	uint64_t bits = (uint64_t)len * 8;

	if (q->bits_per_s == 0) /* not "no limit": a rate that was left out must not open the relay */
		return false;
	refill(q, now_ms);
	if (q->bits_left < bits)
		return false;
	if (q->packets_per_s > 0) {
		if (q->packets_left_milli < 1000)
			return false;
		q->packets_left_milli -= 1000;
	}
	q->bits_left -= bits;
	return true;
}
