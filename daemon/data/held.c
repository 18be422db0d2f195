#include "daemon/data/held.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct held_packet {
	struct held_packet *next;
	size_t len;
	uint8_t data[];
};

struct held {
	struct held_packet *first, **last;
	unsigned n;
	size_t bytes;
};

struct held *held_new(void)
{
	struct held *h = calloc(1, sizeof(*h));

	if (h)
		h->last = &h->first;
	return h;
}

static void remove_first(struct held *h)
{
	struct held_packet *p = h->first;

	h->first = p->next;
	if (!h->first)
		h->last = &h->first;
	h->n--;
	h->bytes -= p->len;
	free(p);
}

void held_free(struct held *h)
{
	if (!h)
		return;
	while (h->first)
		remove_first(h);
	free(h);
}

int held_add(struct held *h, const uint8_t *packet, size_t len)
{
	struct held_packet *p = malloc(sizeof(*p) + len);
	int gone = 0;

	if (!p)
		return -ENOMEM;
	p->next = NULL;
	p->len = len;
	memcpy(p->data, packet, len);
	*h->last = p;
	h->last = &p->next;
	h->n++;
	h->bytes += len;
	while (h->n > HELD_PACKETS_MAX || (h->bytes > HELD_BYTES_MAX && h->n > 1)) {
		remove_first(h);
		gone++;
	}
	return gone;
}

bool held_is_empty(const struct held *h)
{
	return h->n == 0;
}

void held_drain(struct held *h, held_fn *fn, void *arg)
{
	while (h->first) {
		fn(arg, h->first->data, h->first->len);
		remove_first(h);
	}
}
