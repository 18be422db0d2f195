#include "daemon/data/compress.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <lz4.h>

/* LZ4's: higher is faster and finds less. */
#define ACCELERATION 1

struct compressor {
	size_t packet_max_bytes;
	void *state;
	uint8_t block[];
};

struct compressor *compressor_new(size_t packet_max_bytes)
{
	struct compressor *c = malloc(sizeof(*c) + packet_max_bytes);

	if (!c)
		return NULL;
	c->packet_max_bytes = packet_max_bytes;
	/* Its own and not the stack's, where the library may have been built to take it from the heap each time. */
	c->state = malloc((size_t)LZ4_sizeofState());
	if (!c->state) {
		free(c);
		return NULL;
	}
	return c;
}

void compressor_free(struct compressor *c)
{
	if (!c)
		return;
	free(c->state);
	free(c);
}

const uint8_t *compressor_pack(struct compressor *c, const uint8_t *packet, size_t len, size_t *block_len)
{
	size_t room = len - len / 16;
	int n;

	if (len < COMPRESS_LEAST_BYTES || len > c->packet_max_bytes)
		return NULL;
	n = LZ4_compress_fast_extState(c->state, (const char *)packet, (char *)c->block, (int)len, (int)room,
				       ACCELERATION);
	if (n <= 0)
		return NULL;
	*block_len = (size_t)n;
	return c->block;
}

int compress_unpack(uint8_t *out, size_t cap, const uint8_t *block, size_t len)
{
	int n;

	if (len > WIRE_DATAGRAM_MAX_BYTES)
		return -EBADMSG;
	/* A match that refers to itself, at offset 0, leaves bytes as they were in some versions of the library. */
	memset(out, 0, cap);
	n = LZ4_decompress_safe((const char *)block, (char *)out, (int)len, (int)cap);
	return n > 0 ? n : -EBADMSG;
}

/* ---------------------------------------------------------------- worth it? */

static uint64_t load(const _Atomic uint64_t *v)
{
	return atomic_load_explicit(v, memory_order_relaxed);
}

static uint64_t add(_Atomic uint64_t *v, uint64_t n)
{
	return atomic_fetch_add_explicit(v, n, memory_order_relaxed) + n;
}

enum compress_state compress_state(const struct compress_trial *t, enum config_compression mode, uint64_t now_ms)
{
	if (mode == CONFIG_COMPRESSION_OFF)
		return COMPRESS_OFF;
	if (!compress_is_wanted(t, mode, now_ms))
		return COMPRESS_PAUSED;
	if (mode == CONFIG_COMPRESSION_AUTO && !atomic_load_explicit(&t->is_worth_it, memory_order_relaxed))
		return COMPRESS_TRIAL;
	return COMPRESS_ON;
}

const char *compress_state_name(enum compress_state s)
{
	static const char *const names[] = { "off", "trial", "on", "paused" };

	return names[s];
}

static void judge(struct compress_trial *t, int64_t plain_bytes, int64_t packed_bytes, uint64_t now_ms)
{
	uint32_t n = atomic_load_explicit(&t->n_pauses, memory_order_relaxed);
	bool is_worth_it = packed_bytes * 10 <= plain_bytes * 9;
	uint64_t pause_ms = (uint64_t)COMPRESS_PAUSE_FIRST_MS << n;

	atomic_store_explicit(&t->is_worth_it, is_worth_it, memory_order_relaxed);
	if (is_worth_it) {
		n = 0;
	} else {
		if (pause_ms < COMPRESS_PAUSE_MAX_MS)
			n++;
		else
			pause_ms = COMPRESS_PAUSE_MAX_MS;
		atomic_store_explicit(&t->paused_until_ms, now_ms + pause_ms, memory_order_relaxed);
	}
	atomic_store_explicit(&t->n_pauses, n, memory_order_relaxed);
}

void compress_note(struct compress_trial *t, uint64_t plain_bytes, uint64_t packed_bytes, uint64_t now_ms)
{
	uint64_t plain = add(&t->tx_plain_bytes, plain_bytes), packed = add(&t->tx_packed_bytes, packed_bytes);
	uint64_t judged = load(&t->judged_plain_bytes);
	/* Signed: another thread may have judged what was added after us. */
	int64_t sample = (int64_t)(plain - judged);

	/* Of the threads that see the sample full, one judges. */
	if (sample < COMPRESS_SAMPLE_BYTES ||
	    !atomic_compare_exchange_strong_explicit(&t->judged_plain_bytes, &judged, plain, memory_order_relaxed,
						     memory_order_relaxed))
		return;
	judged = atomic_exchange_explicit(&t->judged_packed_bytes, packed, memory_order_relaxed);
	judge(t, sample, (int64_t)(packed - judged), now_ms);
}
