#include "daemon/data/capture.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A power of two: places in the ring are counts that only rise, masked. */
static_assert((CAPTURE_RING_BYTES & (CAPTURE_RING_BYTES - 1)) == 0, "the ring's size is a power of two");

struct ring {
	uint8_t *bytes; /* NULL: no lane writes here */
	/* Bytes written and read so far; each is written by one side only. */
	_Atomic uint64_t written, read;
	_Atomic uint64_t n_dropped;
};

struct capture {
	_Atomic unsigned refs;
	uint64_t peer;
	size_t snap_bytes;
	struct ring rings[CAPTURE_LANES];
	uint8_t packet[CAPTURE_SNAP_MAX_BYTES]; /* the loop's, of the record at hand */
};

struct capture *capture_new(uint64_t peer, size_t snap_bytes)
{
	struct capture *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	atomic_init(&c->refs, 1);
	c->peer = peer;
	c->snap_bytes = snap_bytes < CAPTURE_SNAP_MAX_BYTES ? snap_bytes : CAPTURE_SNAP_MAX_BYTES;
	return c;
}

int capture_add_lane(struct capture *c, unsigned lane)
{
	c->rings[lane].bytes = malloc(CAPTURE_RING_BYTES);
	return c->rings[lane].bytes ? 0 : -ENOMEM;
}

struct capture *capture_ref(struct capture *c)
{
	if (c)
		atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void capture_unref(struct capture *c)
{
	if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (unsigned i = 0; i < CAPTURE_LANES; i++)
		free(c->rings[i].bytes);
	free(c);
}

static void put(struct ring *r, uint64_t at, const void *data, size_t len)
{
	size_t place = at & (CAPTURE_RING_BYTES - 1), until_end = CAPTURE_RING_BYTES - place;
	size_t first = len < until_end ? len : until_end;

	memcpy(r->bytes + place, data, first);
	memcpy(r->bytes, (const uint8_t *)data + first, len - first);
}

static void get(const struct ring *r, uint64_t at, void *data, size_t len)
{
	size_t place = at & (CAPTURE_RING_BYTES - 1), until_end = CAPTURE_RING_BYTES - place;
	size_t first = len < until_end ? len : until_end;

	memcpy(data, r->bytes + place, first);
	memcpy((uint8_t *)data + first, r->bytes, len - first);
}

void capture_packet(struct capture *c, unsigned lane, uint64_t peer, bool is_inbound, const uint8_t *packet, size_t len)
{
	struct ring *r = &c->rings[lane];
	struct capture_record record = { .peer = peer, .len = (uint32_t)len, .is_inbound = is_inbound };
	uint64_t at = atomic_load_explicit(&r->written, memory_order_relaxed);
	uint64_t used = at - atomic_load_explicit(&r->read, memory_order_acquire);
	struct timespec now;

	if ((c->peer && c->peer != peer) || !r->bytes)
		return;
	record.captured = (uint32_t)(len < c->snap_bytes ? len : c->snap_bytes);
	if (CAPTURE_RING_BYTES - used < sizeof(record) + record.captured) {
		atomic_fetch_add_explicit(&r->n_dropped, 1, memory_order_relaxed);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	record.time_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	put(r, at, &record, sizeof(record));
	put(r, at + sizeof(record), packet, record.captured);
	atomic_store_explicit(&r->written, at + sizeof(record) + record.captured, memory_order_release);
}

/* False: `fn` has had enough. */
static bool drain_ring(struct capture *c, struct ring *r, capture_fn *fn, void *arg)
{
	uint64_t written = atomic_load_explicit(&r->written, memory_order_acquire);
	uint64_t at = atomic_load_explicit(&r->read, memory_order_relaxed);
	struct capture_record record;
	bool goes_on = true;

	while (at < written && goes_on) {
		get(r, at, &record, sizeof(record));
		get(r, at + sizeof(record), c->packet, record.captured);
		at += sizeof(record) + record.captured;
		goes_on = fn(arg, &record, c->packet);
	}
	atomic_store_explicit(&r->read, at, memory_order_release);
	return goes_on;
}

void capture_drain(struct capture *c, capture_fn *fn, void *arg)
{
	for (unsigned i = 0; i < CAPTURE_LANES; i++)
		if (!drain_ring(c, &c->rings[i], fn, arg))
			return;
}

bool capture_is_empty(const struct capture *c)
{
	for (unsigned i = 0; i < CAPTURE_LANES; i++)
		if (atomic_load_explicit(&c->rings[i].written, memory_order_acquire) !=
		    atomic_load_explicit(&c->rings[i].read, memory_order_relaxed))
			return false;
	return true;
}

uint64_t capture_dropped(const struct capture *c)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < CAPTURE_LANES; i++)
		n += atomic_load_explicit(&c->rings[i].n_dropped, memory_order_relaxed);
	return n;
}
