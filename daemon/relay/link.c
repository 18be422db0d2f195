#include "daemon/relay/link.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/bytes.h"

/* Bind datagrams need no other suite: they are few, and this one runs everywhere. */
#define LINK_SUITE AEAD_CHACHA20_POLY1305

static void link_free(struct relay_link *l)
{
	aead_key_wipe(&l->bind_send);
	aead_key_wipe(&l->bind_recv);
	pthread_mutex_destroy(&l->window_lock);
	sodium_memzero(l, sizeof(*l));
	free(l);
}

struct relay_link *relay_link_new(const uint8_t udp_send[static 32], const uint8_t udp_recv[static 32],
				  const uint8_t tag_send[static SHORT_KEY_BYTES],
				  const uint8_t tag_recv[static SHORT_KEY_BYTES], uint32_t local_index,
				  uint32_t remote_index, void *owner)
{
	struct relay_link *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	pthread_mutex_init(&l->window_lock, NULL);
	if (aead_key_init(&l->bind_send, LINK_SUITE, udp_send) < 0 ||
	    aead_key_init(&l->bind_recv, LINK_SUITE, udp_recv) < 0) {
		link_free(l);
		return NULL;
	}
	memcpy(l->tag_send, tag_send, sizeof(l->tag_send));
	memcpy(l->tag_recv, tag_recv, sizeof(l->tag_recv));
	l->local_index = local_index;
	l->remote_index = remote_index;
	l->owner = owner;
	replay_init(&l->window);
	atomic_init(&l->refs, 1);
	atomic_init(&l->next_counter, 0);
	return l;
}

struct relay_link *relay_link_ref(struct relay_link *l)
{
	atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
	return l;
}

void relay_link_unref(struct relay_link *l)
{
	/* Release: what this thread did with it comes before another thread's free. */
	if (l && atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) == 1)
		link_free(l);
}

/* The tag of an encoded header for a payload of that length. */
static void header_tag(uint8_t out[static SHORT_TAG_BYTES], const uint8_t key[static SHORT_KEY_BYTES],
		       const uint8_t *header, size_t payload_len)
{
	uint8_t tagged[WIRE_RELAY_TAGGED_BYTES + 4];
	struct writer w = writer_of(tagged, sizeof(tagged));

	writer_put(&w, header, WIRE_RELAY_TAGGED_BYTES);
	writer_be32(&w, (uint32_t)payload_len);
	short_tag(out, key, tagged, sizeof(tagged));
}

static bool is_new(struct relay_link *l, uint64_t counter)
{
	bool is_accepted;

	pthread_mutex_lock(&l->window_lock);
	is_accepted = replay_accept(&l->window, counter);
	pthread_mutex_unlock(&l->window_lock);
	return is_accepted;
}

void relay_link_wrap(struct relay_link *l, uint8_t header[static WIRE_RELAY_HEADER_BYTES], uint32_t member,
		     size_t payload_len)
{
	struct wire_relay r = {
		.index = l->remote_index,
		.counter = atomic_fetch_add_explicit(&l->next_counter, 1, memory_order_relaxed),
		.member = member,
	};

	wire_relay_encode(header, &r);
	header_tag(header + WIRE_RELAY_TAGGED_BYTES, l->tag_send, header, payload_len);
}

int relay_link_check(struct relay_link *l, const struct wire_relay *r, const uint8_t *data)
{
	uint8_t tag[SHORT_TAG_BYTES];

	header_tag(tag, l->tag_recv, data, r->payload_len);
	if (!short_tag_equal(tag, r->tag))
		return -EBADMSG;
	return is_new(l, r->counter) ? 0 : -EALREADY;
}

int relay_link_bind_seal(struct relay_link *l, uint8_t out[static RELAY_BIND_DATAGRAM_BYTES], const struct wire_bind *b)
{
	struct wire_sealed h = { .type = WIRE_BIND, .index = l->remote_index };
	uint8_t *body = out + WIRE_SEALED_HEADER_BYTES;

	h.counter = atomic_fetch_add_explicit(&l->next_counter, 1, memory_order_relaxed);
	if (h.counter >= aead_reject_after(LINK_SUITE))
		return -EKEYEXPIRED;
	wire_sealed_encode(out, &h);
	wire_bind_encode(body, b);
	aead_seal(&l->bind_send, body, body, WIRE_BIND_BYTES, out, WIRE_SEALED_HEADER_BYTES, h.counter);
	return RELAY_BIND_DATAGRAM_BYTES;
}

int relay_link_bind_open(struct relay_link *l, const struct wire_sealed *h, uint8_t *data, size_t len,
			 struct wire_bind *out)
{
	uint8_t *body = data + WIRE_SEALED_HEADER_BYTES;
	int ret;

	if (h->type != WIRE_BIND || len != RELAY_BIND_DATAGRAM_BYTES)
		return -EBADMSG;
	ret = aead_open(&l->bind_recv, body, body, WIRE_BIND_BYTES, data, WIRE_SEALED_HEADER_BYTES, h->counter);
	if (ret < 0)
		return -EBADMSG;
	if (!is_new(l, h->counter))
		return -EALREADY;
	return wire_bind_decode(out, body, WIRE_BIND_BYTES);
}
