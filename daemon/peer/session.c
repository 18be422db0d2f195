#include "daemon/peer/session.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "daemon/peer/handshake.h"

static void session_free(struct session *s)
{
	aead_key_wipe(&s->send);
	aead_key_wipe(&s->recv);
	pthread_mutex_destroy(&s->window_lock);
	sodium_memzero(s, sizeof(*s));
	free(s);
}

struct session *session_new(const struct handshake_keys *keys, uint32_t local_index, uint32_t remote_index,
			    bool is_initiator, uint64_t now_ms, void *peer)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	pthread_mutex_init(&s->window_lock, NULL);
	if (aead_key_init(&s->send, keys->suite, keys->send) < 0 ||
	    aead_key_init(&s->recv, keys->suite, keys->recv) < 0) {
		session_free(s);
		return NULL;
	}
	s->suite = keys->suite;
	s->features = keys->features;
	s->local_index = local_index;
	s->remote_index = remote_index;
	s->is_initiator = is_initiator;
	s->created_ms = now_ms;
	s->peer = peer;
	replay_init(&s->window);
	atomic_init(&s->refs, 1);
	atomic_init(&s->next_counter, 0);
	/* The response has proved the responder to its initiator; the other way it takes a datagram. */
	atomic_init(&s->is_confirmed, is_initiator);
	return s;
}

struct session *session_ref(struct session *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void session_unref(struct session *s)
{
	/* Release: what this thread did with it comes before another thread's free. */
	if (s && atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1)
		session_free(s);
}

bool session_take(struct session *s, unsigned n, uint64_t *first)
{
	/* Taken before the AEAD and never given back. The limit lies so far under 2^64 that the threads which pass
	 * it cannot count round to 0. */
	*first = atomic_fetch_add_explicit(&s->next_counter, n, memory_order_relaxed);
	if (*first + n <= aead_reject_after(s->suite))
		return true;
	atomic_store_explicit(&s->next_counter, aead_reject_after(s->suite), memory_order_relaxed);
	return false;
}

static int seal(const struct session *s, const struct wire_sealed *h, uint8_t *out, const uint8_t *in, size_t len)
{
	wire_sealed_encode(out, h);
	aead_seal(&s->send, out + WIRE_SEALED_HEADER_BYTES, in, len, out, WIRE_SEALED_HEADER_BYTES, h->counter);
	return (int)(len + WIRE_SEALED_OVERHEAD_BYTES);
}

int session_seal(struct session *s, uint8_t type, uint8_t flags, uint8_t *out, const uint8_t *in, size_t len)
{
	struct wire_sealed h = { .type = type, .flags = flags, .index = s->remote_index };

	return session_take(s, 1, &h.counter) ? seal(s, &h, out, in, len) : -EKEYEXPIRED;
}

int session_seal_piece(struct session *s, uint64_t first, uint8_t piece, uint8_t n_pieces, uint8_t flags, uint8_t *out,
		       const uint8_t *in, size_t len)
{
	struct wire_sealed h = { .type = WIRE_DATA, .flags = flags, .index = s->remote_index };

	h.piece = piece;
	h.n_pieces = n_pieces;
	h.counter = first + piece;
	return seal(s, &h, out, in, len);
}

int session_open(struct session *s, const struct wire_sealed *h, uint8_t *data, size_t len, uint64_t now_ms)
{
	uint8_t *body = data + WIRE_SEALED_HEADER_BYTES;
	bool is_new;

	if (len < WIRE_SEALED_OVERHEAD_BYTES)
		return -EBADMSG;
	/* A worker's now_ms may have been read just before the loop made the session. */
	if (now_ms > s->created_ms && now_ms - s->created_ms >= SESSION_REJECT_AFTER_MS)
		return -EKEYEXPIRED;
	len -= WIRE_SEALED_OVERHEAD_BYTES;
	if (aead_open(&s->recv, body, body, len, data, WIRE_SEALED_HEADER_BYTES, h->counter) < 0)
		return -EBADMSG;
	pthread_mutex_lock(&s->window_lock);
	is_new = replay_accept(&s->window, h->counter);
	pthread_mutex_unlock(&s->window_lock);
	return is_new ? (int)len : -EALREADY;
}

bool session_is_worn(const struct session *s)
{
	return atomic_load_explicit(&s->next_counter, memory_order_relaxed) >= aead_rekey_after(s->suite);
}
