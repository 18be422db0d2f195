#include "daemon/peer/responder.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/bytes.h"

#define COOKIE_SECRET_AGE_MS 120000
#define LOAD_STAYS_MS 1000

/* Who an initiation came from, as bytes: for a bucket the network that is one customer's, for a cookie the endpoint. */
#define SOURCE_BYTES 24
#define BUCKET_SETS 512
#define BUCKET_WAYS 4

struct bucket {
	uint8_t source[SOURCE_BYTES];
	uint64_t milli;     /* tokens */
	uint64_t filled_ms; /* 0: free */
};

/* Of fixed size, its places drawn by a keyed hash: a flood of forged sources can only push out others of a set that it
 * cannot aim at, and whoever is pushed out starts with a full bucket. */
struct buckets {
	unsigned per_s, burst;
	uint8_t hash_key[crypto_shorthash_KEYBYTES];
	struct bucket v[BUCKET_SETS][BUCKET_WAYS];
};

struct responder {
	const struct responder_env *env;
	void *arg;
	const struct identity *identity;
	struct indices *indices;
	struct counters *counters;
	uint8_t cookie_secret[32];
	uint64_t cookie_secret_ms; /* when it was drawn */
	uint64_t second_started_ms, loaded_until_ms;
	unsigned n_in_second;
	struct bucket all;
	struct buckets sources, cookies;
};

static void buckets_init(struct buckets *b, unsigned per_s, unsigned burst)
{
	b->per_s = per_s;
	b->burst = burst;
	randombytes_buf(b->hash_key, sizeof(b->hash_key));
}

static bool bucket_take(struct bucket *b, unsigned per_s, unsigned burst, uint64_t now_ms)
{
	uint64_t limit = UINT64_C(1000) * burst, elapsed_ms = now_ms > b->filled_ms ? now_ms - b->filled_ms : 0;

	if (elapsed_ms >= limit / per_s || b->milli + elapsed_ms * per_s >= limit)
		b->milli = limit;
	else
		b->milli += elapsed_ms * per_s;
	b->filled_ms = now_ms > b->filled_ms ? now_ms : b->filled_ms;
	if (b->milli < 1000)
		return false;
	b->milli -= 1000;
	return true;
}

static bool buckets_take(struct buckets *t, const uint8_t source[static SOURCE_BYTES], uint64_t now_ms)
{
	uint64_t hash;
	struct bucket *set, *oldest;

	crypto_shorthash((uint8_t *)&hash, source, SOURCE_BYTES, t->hash_key);
	set = oldest = t->v[hash % BUCKET_SETS];
	for (struct bucket *b = set; b < set + BUCKET_WAYS; b++) {
		if (b->filled_ms && memcmp(b->source, source, SOURCE_BYTES) == 0)
			return bucket_take(b, t->per_s, t->burst, now_ms);
		if (b->filled_ms < oldest->filled_ms)
			oldest = b;
	}
	*oldest = (struct bucket){ .milli = UINT64_C(1000) * t->burst, .filled_ms = now_ms + (now_ms == 0) };
	memcpy(oldest->source, source, SOURCE_BYTES);
	return bucket_take(oldest, t->per_s, t->burst, now_ms);
}

struct responder *responder_new(const struct responder_env *env, void *arg, const struct identity *identity,
				struct indices *indices, struct counters *counters)
{
	struct responder *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->env = env;
	r->arg = arg;
	r->identity = identity;
	r->indices = indices;
	r->counters = counters;
	r->all.milli = UINT64_C(1000) * RESPONDER_ALL_BURST;
	randombytes_buf(r->cookie_secret, sizeof(r->cookie_secret));
	buckets_init(&r->sources, RESPONDER_SOURCE_PER_S, RESPONDER_SOURCE_BURST);
	buckets_init(&r->cookies, RESPONDER_COOKIE_PER_S, RESPONDER_COOKIE_BURST);
	return r;
}

void responder_free(struct responder *r)
{
	if (!r)
		return;
	sodium_memzero(r, sizeof(*r));
	free(r);
}

static void source_encode(uint8_t out[static SOURCE_BYTES], const struct path_addr *from, uint32_t relay_member,
			  bool is_network)
{
	struct writer w = writer_of(out, SOURCE_BYTES);
	struct ip ip = from->endpoint.ip;

	if (is_network && ip.len == 16)
		memset(ip.b + 8, 0, 8);                   /* whoever has one address of a /64 has them all */
	writer_u8(&w, path_addr_is_direct(from) ? 0 : 1); /* one member is one source, whatever relays it */
	writer_u8(&w, path_addr_is_direct(from) ? ip.len : from->coordinator);
	if (path_addr_is_direct(from)) {
		writer_put(&w, ip.b, sizeof(ip.b));
		writer_be16(&w, is_network ? 0 : from->endpoint.port);
	} else {
		writer_be32(&w, relay_member);
	}
	writer_zero(&w, SOURCE_BYTES - writer_len(&w));
}

/* Counts one initiation that will cost a DH unless it is turned away. */
static bool is_loaded(struct responder *r, uint64_t now_ms)
{
	if (now_ms < r->second_started_ms || now_ms - r->second_started_ms >= 1000) {
		r->second_started_ms = now_ms;
		r->n_in_second = 0;
	}
	if (++r->n_in_second > RESPONDER_LOAD_PER_S)
		r->loaded_until_ms = now_ms + LOAD_STAYS_MS;
	return now_ms < r->loaded_until_ms;
}

static void send_cookie(struct responder *r, const struct path_addr *from, uint32_t relay_member,
			const struct wire_init *msg, const uint8_t *data, const uint8_t cookie[static COOKIE_BYTES])
{
	struct wire_cookie reply = { .receiver = msg->sender };
	uint8_t out[WIRE_COOKIE_BYTES];

	static_assert(sizeof(reply.nonce) == COOKIE_NONCE_BYTES && sizeof(reply.sealed) == COOKIE_SEALED_BYTES,
		      "cookie reply");
	randombytes_buf(reply.nonce, sizeof(reply.nonce));
	cookie_seal(reply.sealed, reply.nonce, &r->identity->cookie_key, cookie, data + msg->mac1_at);
	wire_cookie_encode(out, &reply);
	counters_inc(r->counters, COUNTER_cookies_sent);
	r->env->send(r->arg, from, relay_member, out, sizeof(out));
}

/* Under load: has the sender shown that it receives at its address, and does it keep within its share? */
static bool may_pass(struct responder *r, const struct path_addr *from, uint32_t relay_member,
		     const struct wire_init *msg, const uint8_t *data, size_t len, uint64_t now_ms)
{
	uint8_t endpoint[SOURCE_BYTES], network[SOURCE_BYTES], cookie[COOKIE_BYTES];
	bool is_shown;

	if (now_ms - r->cookie_secret_ms >= COOKIE_SECRET_AGE_MS) {
		randombytes_buf(r->cookie_secret, sizeof(r->cookie_secret));
		r->cookie_secret_ms = now_ms;
	}
	source_encode(endpoint, from, relay_member, false);
	source_encode(network, from, relay_member, true);
	cookie_make(cookie, r->cookie_secret, endpoint, sizeof(endpoint));
	is_shown = handshake_mac2_ok(cookie, data, len, msg->mac1_at);
	if (!is_shown && buckets_take(&r->cookies, network, now_ms))
		send_cookie(r, from, relay_member, msg, data, cookie);
	else if (!is_shown || !buckets_take(&r->sources, network, now_ms) ||
		 !bucket_take(&r->all, RESPONDER_ALL_PER_S, RESPONDER_ALL_BURST, now_ms))
		counters_inc(r->counters, COUNTER_handshake_rate_limited);
	else
		return true;
	return false;
}

/* The initiation is the peer's and new, and there is no cipher for what would follow, or its certificate is not good. */
static void refuse(struct responder *r, struct handshake *h, struct sessions *s, enum cert_verdict verdict,
		   const struct path_addr *from, uint32_t relay_member)
{
	uint8_t out[WIRE_RESPONSE_BYTES];
	int len = handshake_refuse(h, r->identity, verdict, out, sizeof(out));

	counters_inc(r->counters, verdict == CERT_GOOD ? COUNTER_handshake_no_cipher : COUNTER_handshake_untrusted);
	if (len > 0)
		r->env->send(r->arg, from, relay_member, out, (size_t)len);
	if (verdict == CERT_GOOD)
		sessions_on_refused(s, h->suites_there);
}

/* Makes keys for an initiation that passed every check, and answers it. */
static struct sessions *answer(struct responder *r, struct handshake *h, struct sessions *s,
			       const struct wire_init_payload *payload, const struct path_addr *from,
			       uint32_t relay_member, uint64_t now_ms)
{
	uint32_t index = indices_add(r->indices, INDEX_SESSION, s->owner);
	uint8_t out[WIRE_RESPONSE_MAX_BYTES];
	struct handshake_keys keys;
	int len;

	if (!index)
		return NULL;
	len = handshake_respond(h, r->identity, payload, index, out, sizeof(out), &keys);
	if (len < 0) {
		indices_remove(r->indices, index, now_ms);
		counters_inc(r->counters, COUNTER_handshake_malformed);
		return NULL;
	}
	sessions_on_answered(s, &keys, index, h->remote_index, now_ms);
	sodium_memzero(&keys, sizeof(keys));
	if (!s->next || s->next->local_index != index)
		return NULL; /* memory: an answer would promise what is not there */
	counters_inc(r->counters, COUNTER_handshakes_answered);
	r->env->send(r->arg, from, relay_member, out, (size_t)len);
	return s;
}

/* From the first DH on. */
static struct sessions *authenticate(struct responder *r, struct handshake *h, const struct path_addr *from,
				     uint32_t relay_member, const uint8_t *data, size_t len, uint64_t now_ms)
{
	struct wire_init_payload payload;
	enum cert_verdict verdict;
	struct pubkey initiator;
	struct sessions *s;

	if (handshake_read_static(h, r->identity, HANDSHAKE_PEER, data, len, &initiator) < 0) {
		counters_inc(r->counters, COUNTER_handshake_bad_auth);
		return NULL;
	}
	s = r->env->find(r->arg, &initiator);
	if (!s) {
		counters_inc(r->counters, COUNTER_handshake_unknown_key);
		return NULL;
	}
	if (handshake_read_payload(h, data, len, &payload) < 0) {
		counters_inc(r->counters, COUNTER_handshake_bad_auth);
		return NULL;
	}
	if (timestamp_compare(payload.timestamp, s->last_timestamp) <= 0) {
		counters_inc(r->counters, COUNTER_handshake_replayed);
		sessions_on_replayed(s, payload.timestamp, now_ms);
		return NULL;
	}
	if (s->last_accepted_ms && now_ms < s->last_accepted_ms + RESPONDER_SPACING_MS) {
		counters_inc(r->counters, COUNTER_handshake_rate_limited);
		return NULL;
	}
	memcpy(s->last_timestamp, payload.timestamp, sizeof(s->last_timestamp));
	s->last_accepted_ms = now_ms;
	verdict = sessions_judge(s, &payload.trust);
	if (verdict != CERT_GOOD || aead_choose(r->identity->suites, payload.suites) == AEAD_NONE) {
		refuse(r, h, s, verdict, from, relay_member);
		return NULL;
	}
	return answer(r, h, s, &payload, from, relay_member, now_ms);
}

/* It cannot be opened, so who sent it is only known where a relay vouches for it. That it is made for us mac1 shows. */
static void hear_version(struct responder *r, const struct path_addr *from, uint32_t relay_member, const uint8_t *data,
			 size_t len)
{
	struct wire_init msg;

	if (r->env->other_version && path_addr_is_relay(from) && wire_init_decode(&msg, data, len) == 0 &&
	    handshake_mac1_ok(r->identity, data, len, msg.mac1_at))
		r->env->other_version(r->arg, from, relay_member, msg.version);
}

struct sessions *responder_receive(struct responder *r, const struct path_addr *from, uint32_t relay_member,
				   const uint8_t *data, size_t len, uint64_t now_ms)
{
	struct wire_init msg;
	struct handshake h;
	struct sessions *s;

	if (wire_init_decode(&msg, data, len) < 0 || msg.version != WIRE_VERSION) {
		counters_inc(r->counters, COUNTER_handshake_malformed);
		hear_version(r, from, relay_member, data, len);
		return NULL;
	}
	if (!handshake_mac1_ok(r->identity, data, len, msg.mac1_at)) {
		counters_inc(r->counters, COUNTER_handshake_bad_mac);
		return NULL;
	}
	if (is_loaded(r, now_ms) && !may_pass(r, from, relay_member, &msg, data, len, now_ms))
		return NULL;
	s = authenticate(r, &h, from, relay_member, data, len, now_ms);
	handshake_wipe(&h);
	return s;
}
