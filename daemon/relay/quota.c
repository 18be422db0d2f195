#include "daemon/relay/quota.h"

/* A burst of this much always passes: fewer would cut the first window of a TCP connection to pieces at low rates. */
#define QUOTA_BURST_DATAGRAMS 64
#define QUOTA_BURST_BITS (UINT64_C(64) * 1500 * 8)
#define QUOTA_BURST_PER_S 4 /* a quarter second's worth */

/* Refilling in steps this long keeps what integer division loses under 100 bit/s at any rate. */
#define QUOTA_REFILL_MS 10

static uint64_t load(const _Atomic uint64_t *at)
{
	return atomic_load_explicit(at, memory_order_relaxed);
}

static void store(_Atomic uint64_t *at, uint64_t value)
{
	atomic_store_explicit(at, value, memory_order_relaxed);
}

static bool exchange(_Atomic uint64_t *at, uint64_t *expected, uint64_t value)
{
	return atomic_compare_exchange_weak_explicit(at, expected, value, memory_order_relaxed, memory_order_relaxed);
}

static uint64_t at_least(uint64_t value, uint64_t floor)
{
	return value > floor ? value : floor;
}

static uint64_t burst_bits(const struct quota *q)
{
	return at_least(load(&q->bits_per_s) / QUOTA_BURST_PER_S, QUOTA_BURST_BITS);
}

static uint64_t burst_packets_milli(const struct quota *q)
{
	uint64_t packets = at_least(load(&q->packets_per_s) / QUOTA_BURST_PER_S, QUOTA_BURST_DATAGRAMS);

	return packets * 1000;
}

/* What is left and what was gained, at most limit. */
static void fill(_Atomic uint64_t *left, uint64_t gained, uint64_t limit)
{
	uint64_t old = load(left), filled;

	do {
		filled = old >= limit || gained >= limit - old ? limit : old + gained;
	} while (!exchange(left, &old, filled));
}

static bool take(_Atomic uint64_t *left, uint64_t n)
{
	uint64_t old = load(left);

	do {
		if (old < n)
			return false;
	} while (!exchange(left, &old, old - n));
	return true;
}

void quota_init(struct quota *q, uint64_t bits_per_s, uint64_t packets_per_s, uint64_t now_ms)
{
	store(&q->bits_per_s, bits_per_s);
	store(&q->packets_per_s, packets_per_s);
	store(&q->refilled_ms, now_ms);
	store(&q->bits_left, burst_bits(q));
	store(&q->packets_left_milli, burst_packets_milli(q));
}

void quota_set(struct quota *q, uint64_t bits_per_s, uint64_t packets_per_s)
{
	store(&q->bits_per_s, bits_per_s);
	store(&q->packets_per_s, packets_per_s);
	fill(&q->bits_left, 0, burst_bits(q));
	fill(&q->packets_left_milli, 0, burst_packets_milli(q));
}

static void refill(struct quota *q, uint64_t now_ms)
{
	uint64_t gained, then_ms = load(&q->refilled_ms), elapsed_ms = now_ms - then_ms;

	if (now_ms < then_ms || elapsed_ms < QUOTA_REFILL_MS)
		return;
	/* Whoever moves the instant gives what was gained until then. */
	if (!atomic_compare_exchange_strong_explicit(&q->refilled_ms, &then_ms, now_ms, memory_order_relaxed,
						     memory_order_relaxed))
		return;
	if (__builtin_mul_overflow(elapsed_ms, load(&q->bits_per_s), &gained))
		gained = UINT64_MAX;
	fill(&q->bits_left, gained / 1000, burst_bits(q));
	if (__builtin_mul_overflow(elapsed_ms, load(&q->packets_per_s), &gained))
		gained = UINT64_MAX;
	fill(&q->packets_left_milli, gained, burst_packets_milli(q));
}

bool quota_take(struct quota *q, size_t len, uint64_t now_ms)
{
	uint64_t bits = (uint64_t)len * 8;

	if (load(&q->bits_per_s) == 0) /* not "no limit": a rate that was left out must not open the relay */
		return false;
	refill(q, now_ms);
	if (!take(&q->bits_left, bits))
		return false;
	if (load(&q->packets_per_s) == 0 || take(&q->packets_left_milli, 1000))
		return true;
	atomic_fetch_add_explicit(&q->bits_left, bits, memory_order_relaxed);
	return false;
}

/* How much of what all share this sender has to leave: of half a burst, the part that it used of its own. */
static uint64_t reserve_bits(const struct quota *own, const struct quota *all)
{
	uint64_t burst = burst_bits(own), left = load(&own->bits_left), used = left < burst ? burst - left : 0;

	/* In parts of 1024: a burst is more than that, and the product stays under half of `all`'s. */
	return burst_bits(all) / 2048 * (used / (burst / 1024 + 1));
}

bool quota_take_shared(struct quota *own, struct quota *all, size_t len, uint64_t now_ms)
{
	/* The sender's own limit first: who is over it uses up nothing of the others'. */
	if (!quota_take(own, len, now_ms))
		return false;
	refill(all, now_ms);
	return load(&all->bits_left) >= reserve_bits(own, all) && quota_take(all, len, now_ms);
}
