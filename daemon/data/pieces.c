#include "daemon/data/pieces.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct packet { /* in part; its pieces lie in the order they came in */
	uint32_t index;
	uint64_t first; /* counter */
	uint8_t n, n_got, flags;
	uint64_t used_at; /* by the table's own count */
	size_t len;
	struct {
		size_t at, len; /* 0: missing */
	} piece[WIRE_PIECES_MAX];
	uint8_t *data;
};

struct pieces {
	size_t capacity, headroom;
	uint64_t count;
	struct packet packets[PIECES_PACKETS];
	uint8_t *whole;
};

struct pieces *pieces_new(size_t mtu_bytes, size_t headroom_bytes)
{
	struct pieces *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->capacity = mtu_bytes;
	p->headroom = headroom_bytes;
	/* One block; the kernel gives its pages when a piece comes. */
	p->whole = malloc(headroom_bytes + (1 + PIECES_PACKETS) * mtu_bytes);
	if (!p->whole) {
		free(p);
		return NULL;
	}
	for (size_t i = 0; i < PIECES_PACKETS; i++)
		p->packets[i].data = p->whole + headroom_bytes + (1 + i) * mtu_bytes;
	return p;
}

void pieces_free(struct pieces *p)
{
	if (!p)
		return;
	free(p->whole);
	free(p);
}

static struct packet *find(struct pieces *p, const struct wire_sealed *h)
{
	struct packet *oldest = &p->packets[0];
	uint64_t first = h->counter - h->piece;
	uint8_t *data;

	for (size_t i = 0; i < PIECES_PACKETS; i++) {
		struct packet *k = &p->packets[i];

		if (k->n && k->index == h->index && k->first == first)
			return k->n == h->n_pieces && k->flags == h->flags ? k : NULL;
		if (k->used_at < oldest->used_at)
			oldest = k;
	}
	data = oldest->data;
	*oldest =
		(struct packet){ .index = h->index, .first = first, .n = h->n_pieces, .flags = h->flags, .data = data };
	return oldest;
}

uint8_t *pieces_add(struct pieces *p, const struct wire_sealed *h, const uint8_t *data, size_t len, size_t *packet_len)
{
	struct packet *k = find(p, h);
	uint8_t *at = p->whole + p->headroom;

	if (!k || len == 0 || k->piece[h->piece].len || len > p->capacity - k->len)
		return NULL;
	k->used_at = ++p->count;
	k->piece[h->piece].at = k->len;
	k->piece[h->piece].len = len;
	memcpy(k->data + k->len, data, len);
	k->len += len;
	if (++k->n_got < k->n)
		return NULL;
	for (unsigned i = 0; i < k->n; i++) {
		memcpy(at, k->data + k->piece[i].at, k->piece[i].len);
		at += k->piece[i].len;
	}
	*packet_len = k->len;
	k->n = 0;
	k->used_at = 0;
	return p->whole + p->headroom;
}
