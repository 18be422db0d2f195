#include "daemon/coordinator/stun_limit.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/coordinator/bucket.h"

#define WAYS 4 /* places one source may lie in: several busy ones share a set without pushing each other out */
#define SETS (STUN_LIMIT_ENTRIES / WAYS)

struct entry {
	uint64_t prefix; /* keyed hash of family and prefix; 0: free */
	struct bucket bucket;
};

struct stun_limit {
	uint8_t key[crypto_shorthash_KEYBYTES];
	pthread_mutex_t lock; /* of what follows */
	struct bucket total;
	struct entry sets[SETS][WAYS];
};

struct stun_limit *stun_limit_new(uint64_t now_ms)
{
	struct stun_limit *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	crypto_shorthash_keygen(l->key);
	pthread_mutex_init(&l->lock, NULL);
	bucket_init(&l->total, STUN_LIMIT_TOTAL_PER_S, now_ms);
	return l;
}

void stun_limit_free(struct stun_limit *l)
{
	if (!l)
		return;
	pthread_mutex_destroy(&l->lock);
	free(l);
}

static uint64_t prefix_hash(const struct stun_limit *l, const struct ip *source)
{
	uint8_t in[9] = { source->len };
	uint64_t out;

	memcpy(in + 1, source->b, source->len == 4 ? 4 : 8);
	crypto_shorthash((uint8_t *)&out, in, sizeof(in), l->key);
	return out ? out : 1;
}

/* The source's place: its own, or a free one, or that of whoever has been silent longest. */
static struct entry *entry_of(struct stun_limit *l, uint64_t prefix, uint64_t now_ms)
{
	struct entry *set = l->sets[prefix % SETS], *oldest = &set[0];

	for (unsigned i = 0; i < WAYS; i++) {
		if (set[i].prefix == prefix)
			return &set[i];
		if (!set[i].prefix || (oldest->prefix && set[i].bucket.refilled_ms < oldest->bucket.refilled_ms))
			oldest = &set[i];
	}
	oldest->prefix = prefix;
	bucket_init(&oldest->bucket, STUN_LIMIT_BURST, now_ms);
	return oldest;
}

bool stun_limit_take(struct stun_limit *l, const struct ip *source, uint64_t now_ms)
{
	uint64_t prefix = prefix_hash(l, source);
	struct entry *e;
	bool is_within;

	pthread_mutex_lock(&l->lock);
	e = entry_of(l, prefix, now_ms);
	/* The source first: one that asks too much must not use up what all share. */
	is_within = bucket_take(&e->bucket, STUN_LIMIT_PER_S, STUN_LIMIT_BURST, now_ms) &&
		    bucket_take(&l->total, STUN_LIMIT_TOTAL_PER_S, STUN_LIMIT_TOTAL_PER_S, now_ms);
	pthread_mutex_unlock(&l->lock);
	return is_within;
}
