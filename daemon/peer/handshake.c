#include "daemon/peer/handshake.h"

#include <errno.h>
#include <string.h>

#include "daemon/base/bytes.h"

static_assert(WIRE_INIT_BYTES ==
		      WIRE_INIT_HEADER_BYTES + NOISE_MESSAGE_1_BYTES + WIRE_INIT_PAYLOAD_BYTES + WIRE_MACS_BYTES,
	      "initiation");
static_assert(WIRE_RESPONSE_BYTES == WIRE_RESPONSE_HEADER_BYTES + NOISE_MESSAGE_2_BYTES + WIRE_RESPONSE_PAYLOAD_BYTES +
					     WIRE_MACS_BYTES,
	      "response");
static_assert(WIRE_MACS_BYTES == 2 * MAC_BYTES, "mac1 and mac2");
static_assert(WIRE_COOKIE_BYTES == 8 + COOKIE_NONCE_BYTES + COOKIE_SEALED_BYTES, "cookie reply");
static_assert(AEAD_SUITE_COUNT <= 16, "suites are bits of an offer");

/* "warren", version, purpose, then the initiation's header as it was sent: its index and the reserved bits are
 * authenticated with the rest. */
#define PROLOGUE_BYTES (6 + 1 + 1 + WIRE_INIT_HEADER_BYTES)

int identity_init(struct identity *id, const struct seckey *secret, const struct psk *psk, uint16_t suites,
		  uint16_t features)
{
	int ret;

	memset(id, 0, sizeof(*id));
	key_lock(id, sizeof(*id));
	ret = pubkey_of(&id->public, secret);
	if (ret < 0)
		return ret;
	id->secret = *secret;
	if (psk)
		id->psk = *psk;
	mac1_key(&id->mac1_key, &id->public);
	cookie_key(&id->cookie_key, &id->public);
	id->suites = suites;
	id->features = features;
	return 0;
}

void identity_fini(struct identity *id)
{
	key_unlock(id, sizeof(*id));
}

void handshake_wipe(struct handshake *h)
{
	key_wipe(h, sizeof(*h));
}

static void prologue_encode(uint8_t out[PROLOGUE_BYTES], enum handshake_purpose purpose,
			    const uint8_t header[WIRE_INIT_HEADER_BYTES])
{
	struct writer w = writer_of(out, PROLOGUE_BYTES);

	writer_put(&w, "warren", 6);
	writer_u8(&w, WIRE_VERSION);
	writer_u8(&w, (uint8_t)purpose);
	writer_put(&w, header, WIRE_INIT_HEADER_BYTES);
}

/* The network's psk is never the coordinator's. */
static const struct psk *psk_for(const struct identity *id, enum handshake_purpose purpose)
{
	return purpose == HANDSHAKE_PEER ? &id->psk : NULL;
}

/* The stream to a coordinator has one cipher, whatever the configuration allows between peers. */
static uint16_t suites_for(const struct identity *id, enum handshake_purpose purpose)
{
	return purpose == HANDSHAKE_PEER ? id->suites : 1 << AEAD_CHACHA20_POLY1305;
}

/* Writes mac1 and mac2 behind the `len` bytes of a message; keeps mac1 in *h. */
static void append_macs(struct handshake *h, const struct pubkey *remote, const uint8_t *cookie, uint8_t *msg,
			size_t len)
{
	struct mac_key key;

	mac1_key(&key, remote);
	mac_compute(h->mac1, key.b, sizeof(key.b), msg, len);
	memcpy(msg + len, h->mac1, MAC_BYTES);
	if (cookie)
		mac_compute(msg + len + MAC_BYTES, cookie, COOKIE_BYTES, msg, len + MAC_BYTES);
	else
		memset(msg + len + MAC_BYTES, 0, MAC_BYTES);
}

static bool macs_are_within(size_t len, size_t mac1_at)
{
	return len >= WIRE_MACS_BYTES && mac1_at <= len - WIRE_MACS_BYTES;
}

bool handshake_mac1_ok(const struct identity *id, const uint8_t *data, size_t len, size_t mac1_at)
{
	uint8_t mac[MAC_BYTES];

	if (!macs_are_within(len, mac1_at))
		return false;
	mac_compute(mac, id->mac1_key.b, sizeof(id->mac1_key.b), data, mac1_at);
	return mac_equal(mac, data + mac1_at);
}

bool handshake_mac2_ok(const uint8_t cookie[static COOKIE_BYTES], const uint8_t *data, size_t len, size_t mac1_at)
{
	uint8_t mac[MAC_BYTES];

	if (!macs_are_within(len, mac1_at))
		return false;
	mac_compute(mac, cookie, COOKIE_BYTES, data, mac1_at + MAC_BYTES);
	return mac_equal(mac, data + mac1_at + MAC_BYTES);
}

/* One key for one use: nothing sealed for one purpose or suite opens under another. */
static void derive(uint8_t *out, size_t size, const uint8_t split[32], const char *label, uint8_t suite)
{
	uint8_t key[32], unused[32], input[32] = { 0 };
	struct writer w = writer_of(input, sizeof(input));

	writer_put(&w, label, strlen(label));
	writer_u8(&w, suite);
	noise_hkdf2(key, unused, split, input, sizeof(input));
	memcpy(out, key, size);
	key_wipe(key, sizeof(key));
	key_wipe(unused, sizeof(unused));
}

/* Ends the Noise handshake of *noise. */
static void make_keys(struct handshake_keys *keys, struct noise *noise, enum handshake_purpose purpose,
		      bool is_initiator, enum aead_suite suite, uint16_t features)
{
	uint8_t split[2][32]; /* to the responder, to the initiator */
	const uint8_t *send = split[is_initiator ? 0 : 1], *recv = split[is_initiator ? 1 : 0];

	noise_split(noise, split[0], split[1]);
	memset(keys, 0, sizeof(*keys));
	keys->suite = suite;
	keys->features = features;
	if (purpose == HANDSHAKE_PEER) {
		derive(keys->send, sizeof(keys->send), send, "warren transport", (uint8_t)suite);
		derive(keys->recv, sizeof(keys->recv), recv, "warren transport", (uint8_t)suite);
	} else {
		derive(keys->send, sizeof(keys->send), send, "warren stream", 0);
		derive(keys->recv, sizeof(keys->recv), recv, "warren stream", 0);
		derive(keys->udp_send, sizeof(keys->udp_send), send, "warren bind", 0);
		derive(keys->udp_recv, sizeof(keys->udp_recv), recv, "warren bind", 0);
		derive(keys->tag_send, sizeof(keys->tag_send), send, "warren relay tag", 0);
		derive(keys->tag_recv, sizeof(keys->tag_recv), recv, "warren relay tag", 0);
	}
	key_wipe(split, sizeof(split));
}

/* What is left of *h tells which attempt it was. */
static void end_attempt(struct handshake *h)
{
	noise_wipe(&h->noise);
	h->is_active = false;
}

int handshake_initiate(struct handshake *h, const struct identity *id, enum handshake_purpose purpose,
		       const struct pubkey *remote, uint32_t index,
		       const uint8_t timestamp[static WIRE_TIMESTAMP_BYTES], const uint8_t *cookie, uint8_t *out,
		       size_t capacity)
{
	struct wire_init_payload payload = { .suites = suites_for(id, purpose), .features = id->features };
	uint8_t prologue[PROLOGUE_BYTES], encoded[WIRE_INIT_PAYLOAD_BYTES + WIRE_EXTENSIONS_BYTES];
	struct seckey ephemeral;
	size_t payload_len, len;
	int ret;

	handshake_wipe(h);
	memcpy(payload.timestamp, timestamp, sizeof(payload.timestamp));
	trust_show(id->trust, &payload.trust);
	payload_len = wire_init_payload_encode(encoded, &payload);
	len = WIRE_INIT_BYTES - WIRE_INIT_PAYLOAD_BYTES + payload_len;
	if (capacity < len)
		return -ENOBUFS;
	wire_init_header_encode(out, index);
	prologue_encode(prologue, purpose, out);
	seckey_generate(&ephemeral);
	ret = noise_init_initiator(&h->noise, &id->secret, &id->public, remote, psk_for(id, purpose), prologue,
				   sizeof(prologue));
	if (ret == 0)
		ret = noise_write_1(&h->noise, &ephemeral, out + WIRE_INIT_HEADER_BYTES, encoded, payload_len);
	key_wipe(&ephemeral, sizeof(ephemeral));
	if (ret < 0) {
		handshake_wipe(h);
		return ret;
	}
	append_macs(h, remote, cookie, out, len - WIRE_MACS_BYTES);
	h->purpose = purpose;
	h->local_index = index;
	h->offered = payload.suites;
	h->features = payload.features;
	h->is_active = true;
	return (int)len;
}

static bool was_offered(const struct handshake *h, uint8_t suite)
{
	return suite != AEAD_NONE && suite < AEAD_SUITE_COUNT && (h->offered & (1U << suite));
}

int handshake_finish(struct handshake *h, const struct identity *id, const uint8_t *data, size_t len,
		     struct handshake_keys *keys, struct wire_trust *trust)
{
	uint8_t encoded[WIRE_HANDSHAKE_MAX_BYTES];
	struct wire_response_payload payload;
	struct wire_response msg;
	struct noise noise; /* *h itself changes on success only */
	int ret;

	if (!h->is_active || wire_response_decode(&msg, data, len) < 0 || msg.version != WIRE_VERSION ||
	    msg.receiver != h->local_index || !handshake_mac1_ok(id, data, len, msg.mac1_at))
		return -EBADMSG;
	noise = h->noise;
	ret = noise_read_2(&noise, encoded, msg.noise, msg.noise_len);
	if (ret == 0)
		ret = wire_response_payload_decode(&payload, encoded, msg.noise_len - NOISE_MESSAGE_2_BYTES);
	if (ret == 0 && payload.suite == AEAD_NONE) {
		h->suites_there = payload.suites;
		h->refusal = payload.refusal;
		end_attempt(h);
		ret = payload.refusal ? -EACCES : -ENOTSUP;
	} else if (ret == 0 && !was_offered(h, payload.suite)) {
		ret = -EBADMSG;
	}
	if (ret == 0) {
		h->remote_index = msg.sender;
		h->features &= payload.features;
		if (trust)
			*trust = payload.trust;
		make_keys(keys, &noise, h->purpose, true, (enum aead_suite)payload.suite, h->features);
		end_attempt(h);
	}
	noise_wipe(&noise);
	return ret;
}

int handshake_read_static(struct handshake *h, const struct identity *id, enum handshake_purpose purpose,
			  const uint8_t *data, size_t len, struct pubkey *initiator)
{
	uint8_t prologue[PROLOGUE_BYTES];
	struct wire_init msg;
	int ret;

	handshake_wipe(h);
	if (wire_init_decode(&msg, data, len) < 0)
		return -EBADMSG;
	if (msg.version != WIRE_VERSION)
		return -EPROTONOSUPPORT;
	prologue_encode(prologue, purpose, data);
	ret = noise_init_responder(&h->noise, &id->secret, &id->public, psk_for(id, purpose), prologue,
				   sizeof(prologue));
	if (ret == 0)
		ret = noise_read_1_static(&h->noise, initiator, msg.noise, msg.noise_len);
	if (ret < 0) {
		handshake_wipe(h);
		return ret;
	}
	h->purpose = purpose;
	h->remote_index = msg.sender;
	h->is_active = true;
	return 0;
}

int handshake_read_payload(struct handshake *h, const uint8_t *data, size_t len, struct wire_init_payload *payload)
{
	uint8_t encoded[WIRE_HANDSHAKE_MAX_BYTES];
	struct wire_init msg;
	int ret = -EBADMSG;

	if (h->is_active && wire_init_decode(&msg, data, len) == 0)
		ret = noise_read_1_payload(&h->noise, encoded, msg.noise, msg.noise_len);
	if (ret == 0)
		ret = wire_init_payload_decode(payload, encoded, msg.noise_len - NOISE_MESSAGE_1_BYTES);
	if (ret < 0) {
		handshake_wipe(h);
		return ret;
	}
	h->suites_there = payload->suites;
	return 0;
}

/* The response, sealed and with its macs; h's Noise handshake is then ready to be split. */
static int write_response(struct handshake *h, const struct wire_response_payload *answer, uint32_t index, uint8_t *out,
			  size_t capacity)
{
	uint8_t encoded[WIRE_RESPONSE_PAYLOAD_BYTES + WIRE_EXTENSIONS_BYTES];
	size_t payload_len = wire_response_payload_encode(encoded, answer);
	size_t len = WIRE_RESPONSE_BYTES - WIRE_RESPONSE_PAYLOAD_BYTES + payload_len;
	struct pubkey initiator = h->noise.rs;
	struct seckey ephemeral;
	int ret;

	if (capacity < len)
		return -ENOBUFS;
	wire_response_header_encode(out, index, h->remote_index);
	seckey_generate(&ephemeral);
	ret = noise_write_2(&h->noise, &ephemeral, out + WIRE_RESPONSE_HEADER_BYTES, encoded, payload_len);
	key_wipe(&ephemeral, sizeof(ephemeral));
	if (ret < 0)
		return ret;
	append_macs(h, &initiator, NULL, out, len - WIRE_MACS_BYTES);
	return (int)len;
}

int handshake_respond(struct handshake *h, const struct identity *id, const struct wire_init_payload *payload,
		      uint32_t index, uint8_t *out, size_t capacity, struct handshake_keys *keys)
{
	enum aead_suite suite = aead_choose(suites_for(id, h->purpose), payload->suites);
	struct wire_response_payload answer = {
		.suite = (uint8_t)suite,
		.features = id->features & payload->features,
	};
	int ret;

	if (!h->is_active)
		return -EINVAL;
	/* Never longer than what it answers: an initiation without the extension has no room for ours. */
	if (payload->trust.is_shown)
		trust_show(id->trust, &answer.trust);
	ret = suite == AEAD_NONE ? -ENOTSUP : write_response(h, &answer, index, out, capacity);
	if (ret > 0) {
		h->local_index = index;
		h->features = answer.features;
		make_keys(keys, &h->noise, h->purpose, false, suite, answer.features);
	}
	end_attempt(h);
	return ret;
}

int handshake_refuse(struct handshake *h, const struct identity *id, enum cert_verdict verdict, uint8_t *out,
		     size_t capacity)
{
	struct wire_response_payload answer = { .suite = AEAD_NONE,
						.suites = suites_for(id, h->purpose),
						.refusal = (uint8_t)verdict };
	int ret;

	if (!h->is_active)
		return -EINVAL;
	ret = write_response(h, &answer, 0, out, capacity);
	end_attempt(h);
	return ret;
}

int handshake_take_cookie(const struct handshake *h, const struct pubkey *remote, const uint8_t *data, size_t len,
			  uint8_t cookie[static COOKIE_BYTES])
{
	struct wire_cookie msg;
	struct mac_key key;

	if (!h->is_active || wire_cookie_decode(&msg, data, len) < 0 || msg.receiver != h->local_index)
		return -EBADMSG;
	cookie_key(&key, remote);
	return cookie_unseal(cookie, msg.nonce, &key, msg.sealed, h->mac1);
}

/* TAI64 counts from 2^62 at 1970 in TAI, which was 10 s ahead then; leap seconds are left out, as everywhere. */
#define TAI64_EPOCH (UINT64_C(0x4000000000000000) + 10)
#define TIMESTAMP_GRAIN_NS (1U << 24)

void timestamp_encode(uint8_t out[static WIRE_TIMESTAMP_BYTES], uint64_t wall_ms)
{
	struct writer w = writer_of(out, WIRE_TIMESTAMP_BYTES);
	uint32_t ns = (uint32_t)(wall_ms % 1000 * 1000000);

	writer_be64(&w, TAI64_EPOCH + wall_ms / 1000);
	writer_be32(&w, ns & ~(TIMESTAMP_GRAIN_NS - 1));
}

int timestamp_compare(const uint8_t a[static WIRE_TIMESTAMP_BYTES], const uint8_t b[static WIRE_TIMESTAMP_BYTES])
{
	return memcmp(a, b, WIRE_TIMESTAMP_BYTES);
}
