#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/peer/handshake.h"

#define CHACHA (1 << AEAD_CHACHA20_POLY1305)
#define GCM (1 << AEAD_AES_256_GCM)
#define INIT_MAC1_AT (WIRE_INIT_BYTES - WIRE_MACS_BYTES)
#define RESPONSE_MAC1_AT (WIRE_RESPONSE_BYTES - WIRE_MACS_BYTES)

static const struct psk network_psk = { { 0x42 } };
static const uint8_t timestamp[WIRE_TIMESTAMP_BYTES] = { 0x40, 0, 0, 0, 1 };

/* Alice initiates, bob responds. */
struct pair {
	struct identity alice, bob;
	struct handshake a, b;
	struct handshake_keys a_keys, b_keys;
	uint8_t init[WIRE_INIT_BYTES], response[WIRE_RESPONSE_BYTES];
};

static void identity_make(struct identity *id, const struct psk *psk, uint16_t suites, uint16_t features)
{
	struct seckey sec;

	seckey_generate(&sec);
	assert_int_equal(identity_init(id, &sec, psk, suites, features), 0);
}

static void pair_make(struct pair *p)
{
	memset(p, 0, sizeof(*p));
	identity_make(&p->alice, &network_psk, CHACHA | GCM, WIRE_FEATURE_LZ4);
	identity_make(&p->bob, &network_psk, CHACHA | GCM, WIRE_FEATURE_LZ4);
}

static void pair_initiate(struct pair *p, enum handshake_purpose purpose)
{
	assert_int_equal(handshake_initiate(&p->a, &p->alice, purpose, &p->bob.public, 0xa11ce, timestamp, NULL,
					    p->init, sizeof(p->init)),
			 WIRE_INIT_BYTES);
}

static void pair_respond(struct pair *p, enum handshake_purpose purpose)
{
	struct wire_init_payload payload;
	struct pubkey who;

	assert_true(handshake_mac1_ok(&p->bob, p->init, sizeof(p->init), INIT_MAC1_AT));
	assert_int_equal(handshake_read_static(&p->b, &p->bob, purpose, p->init, sizeof(p->init), &who), 0);
	assert_true(pubkey_equal(&who, &p->alice.public));
	assert_int_equal(handshake_read_payload(&p->b, p->init, sizeof(p->init), &payload), 0);
	assert_memory_equal(payload.timestamp, timestamp, sizeof(timestamp));
	assert_int_equal(
		handshake_respond(&p->b, &p->bob, &payload, 0xb0b, p->response, sizeof(p->response), &p->b_keys),
		WIRE_RESPONSE_BYTES);
}

static int pair_finish(struct pair *p)
{
	return handshake_finish(&p->a, &p->alice, p->response, sizeof(p->response), &p->a_keys, NULL);
}

static void pair_run(struct pair *p, enum handshake_purpose purpose)
{
	pair_initiate(p, purpose);
	pair_respond(p, purpose);
	assert_int_equal(pair_finish(p), 0);
}

/* What anybody can do who knows the receiver's public key. */
static void redo_mac1(uint8_t *msg, size_t mac1_at, const struct identity *receiver)
{
	mac_compute(msg + mac1_at, receiver->mac1_key.b, sizeof(receiver->mac1_key.b), msg, mac1_at);
}

static bool is_zero(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint8_t any = 0;

	for (size_t i = 0; i < len; i++)
		any |= p[i];
	return any == 0;
}

static void peers_reach_the_same_transport_keys(void **state)
{
	struct pair p;

	(void)state;
	pair_make(&p);
	pair_run(&p, HANDSHAKE_PEER);
	assert_int_equal(p.a_keys.suite, AEAD_AES_256_GCM);
	assert_int_equal(p.b_keys.suite, AEAD_AES_256_GCM);
	assert_memory_equal(p.a_keys.send, p.b_keys.recv, 32);
	assert_memory_equal(p.a_keys.recv, p.b_keys.send, 32);
	assert_memory_not_equal(p.a_keys.send, p.a_keys.recv, 32);
	assert_false(is_zero(p.a_keys.send, 32));
	assert_int_equal(p.a.local_index, 0xa11ce);
	assert_int_equal(p.a.remote_index, 0xb0b);
	assert_int_equal(p.b.local_index, 0xb0b);
	assert_int_equal(p.b.remote_index, 0xa11ce);
}

static void peer_and_coordinator_reach_six_different_keys(void **state)
{
	struct pair p;

	(void)state;
	pair_make(&p);
	pair_run(&p, HANDSHAKE_COORDINATOR);
	assert_memory_equal(p.a_keys.send, p.b_keys.recv, 32);
	assert_memory_equal(p.a_keys.recv, p.b_keys.send, 32);
	assert_memory_equal(p.a_keys.udp_send, p.b_keys.udp_recv, 32);
	assert_memory_equal(p.a_keys.udp_recv, p.b_keys.udp_send, 32);
	assert_memory_equal(p.a_keys.tag_send, p.b_keys.tag_recv, SHORT_KEY_BYTES);
	assert_memory_equal(p.a_keys.tag_recv, p.b_keys.tag_send, SHORT_KEY_BYTES);
	{
		const uint8_t *const keys[] = { p.a_keys.send,     p.a_keys.recv,     p.a_keys.udp_send,
						p.a_keys.udp_recv, p.a_keys.tag_send, p.a_keys.tag_recv };

		for (size_t i = 0; i < 6; i++) {
			assert_false(is_zero(keys[i], SHORT_KEY_BYTES));
			for (size_t k = 0; k < i; k++)
				assert_memory_not_equal(keys[i], keys[k], SHORT_KEY_BYTES);
		}
	}
}

static void a_coordinator_needs_no_psk_and_no_common_suite(void **state)
{
	struct pair p;

	(void)state;
	pair_make(&p);
	identity_make(&p.alice, &network_psk, GCM, 0);
	identity_make(&p.bob, NULL, 0, 0);
	pair_run(&p, HANDSHAKE_COORDINATOR);
	assert_int_equal(p.a_keys.suite, AEAD_CHACHA20_POLY1305);
	assert_memory_equal(p.a_keys.send, p.b_keys.recv, 32);
}

static void every_handshake_gives_new_keys(void **state)
{
	struct handshake_keys first;
	struct pair p;

	(void)state;
	pair_make(&p);
	pair_run(&p, HANDSHAKE_PEER);
	first = p.a_keys;
	pair_run(&p, HANDSHAKE_PEER);
	assert_memory_not_equal(first.send, p.a_keys.send, 32);
	assert_memory_not_equal(first.recv, p.a_keys.recv, 32);
}

static void the_best_suite_that_both_allow_is_chosen(void **state)
{
	static const struct {
		uint16_t alice, bob;
		enum aead_suite suite;
	} cases[] = {
		{ CHACHA | GCM, CHACHA | GCM, AEAD_AES_256_GCM },
		{ CHACHA | GCM, CHACHA, AEAD_CHACHA20_POLY1305 },
		{ CHACHA, CHACHA | GCM, AEAD_CHACHA20_POLY1305 },
		{ GCM, GCM, AEAD_AES_256_GCM },
		{ CHACHA | 0xff00, CHACHA | 0x0f00, AEAD_CHACHA20_POLY1305 }, /* bits of the future */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pair p;

		pair_make(&p);
		p.alice.suites = cases[i].alice;
		p.bob.suites = cases[i].bob;
		pair_run(&p, HANDSHAKE_PEER);
		assert_int_equal(p.a_keys.suite, cases[i].suite);
		assert_int_equal(p.b_keys.suite, cases[i].suite);
		assert_memory_equal(p.a_keys.send, p.b_keys.recv, 32);
	}
}

static void without_a_common_suite_there_is_no_answer(void **state)
{
	struct wire_init_payload payload;
	struct pubkey who;
	struct pair p;

	(void)state;
	pair_make(&p);
	p.alice.suites = GCM;
	p.bob.suites = CHACHA;
	pair_initiate(&p, HANDSHAKE_PEER);
	assert_int_equal(handshake_read_static(&p.b, &p.bob, HANDSHAKE_PEER, p.init, sizeof(p.init), &who), 0);
	assert_int_equal(handshake_read_payload(&p.b, p.init, sizeof(p.init), &payload), 0);
	assert_int_equal(handshake_respond(&p.b, &p.bob, &payload, 1, p.response, sizeof(p.response), &p.b_keys),
			 -ENOTSUP);
	assert_true(is_zero(p.response, sizeof(p.response)));
	assert_true(is_zero(&p.b_keys, sizeof(p.b_keys)));
	assert_true(is_zero(&p.b.noise, sizeof(p.b.noise)));
}

static void a_refusal_says_what_the_other_side_accepts(void **state)
{
	struct wire_init_payload payload;
	struct pubkey who;
	struct pair p;

	(void)state;
	pair_make(&p);
	p.alice.suites = GCM;
	p.bob.suites = CHACHA;
	pair_initiate(&p, HANDSHAKE_PEER);
	assert_int_equal(handshake_read_static(&p.b, &p.bob, HANDSHAKE_PEER, p.init, sizeof(p.init), &who), 0);
	assert_int_equal(handshake_read_payload(&p.b, p.init, sizeof(p.init), &payload), 0);
	assert_int_equal(p.b.suites_there, GCM);
	assert_int_equal(handshake_refuse(&p.b, &p.bob, CERT_GOOD, p.response, sizeof(p.response)),
			 WIRE_RESPONSE_BYTES);
	assert_true(is_zero(&p.b.noise, sizeof(p.b.noise)));
	assert_int_equal(handshake_refuse(&p.b, &p.bob, CERT_GOOD, p.response, sizeof(p.response)), -EINVAL);
	/* Any bit of it flipped, and it is no refusal: the attempt goes on. */
	for (size_t bit = 0; bit < 8 * (WIRE_RESPONSE_BYTES - MAC_BYTES); bit++) {
		p.response[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (bit / 8 != 2 && bit / 8 != 3) /* reserved, but under mac1 */
			assert_int_equal(pair_finish(&p), -EBADMSG);
		p.response[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_true(p.a.is_active);
	}
	assert_int_equal(pair_finish(&p), -ENOTSUP);
	assert_int_equal(p.a.suites_there, CHACHA);
	assert_false(p.a.is_active);
	assert_true(is_zero(&p.a.noise, sizeof(p.a.noise)));
	assert_true(is_zero(&p.a_keys, sizeof(p.a_keys)));
	assert_int_equal(pair_finish(&p), -EBADMSG);
}

static void a_refusal_needs_room_and_the_psk(void **state)
{
	struct wire_init_payload payload;
	struct pubkey who;
	struct pair p;

	(void)state;
	pair_make(&p);
	pair_initiate(&p, HANDSHAKE_PEER);
	assert_int_equal(handshake_read_static(&p.b, &p.bob, HANDSHAKE_PEER, p.init, sizeof(p.init), &who), 0);
	assert_int_equal(handshake_read_payload(&p.b, p.init, sizeof(p.init), &payload), 0);
	assert_int_equal(handshake_refuse(&p.b, &p.bob, CERT_GOOD, p.response, WIRE_RESPONSE_BYTES - 1), -ENOBUFS);
	assert_true(is_zero(&p.b.noise, sizeof(p.b.noise)));
	p.bob.psk.b[0] ^= 1;
	assert_int_equal(handshake_read_static(&p.b, &p.bob, HANDSHAKE_PEER, p.init, sizeof(p.init), &who), 0);
	assert_int_equal(handshake_read_payload(&p.b, p.init, sizeof(p.init), &payload), 0);
	assert_int_equal(handshake_refuse(&p.b, &p.bob, CERT_GOOD, p.response, sizeof(p.response)),
			 WIRE_RESPONSE_BYTES);
	assert_int_equal(pair_finish(&p), -EBADMSG);
	assert_true(p.a.is_active);
}

static void a_feature_needs_both_sides(void **state)
{
	(void)state;
	for (uint16_t mask = 0; mask < 4; mask++) {
		struct pair p;

		pair_make(&p);
		p.alice.features = mask & 1 ? WIRE_FEATURE_LZ4 : 0;
		p.bob.features = mask & 2 ? WIRE_FEATURE_LZ4 : 0;
		pair_run(&p, HANDSHAKE_PEER);
		assert_int_equal(p.a_keys.features, mask == 3 ? WIRE_FEATURE_LZ4 : 0);
		assert_int_equal(p.b_keys.features, mask == 3 ? WIRE_FEATURE_LZ4 : 0);
	}
}

/* A responder as it must not be: answers alice's initiation with this payload. */
static void answer_with(struct pair *p, const uint8_t *payload, size_t payload_len, uint8_t *out, size_t *len)
{
	struct wire_init_payload offered;
	struct seckey ephemeral;
	struct pubkey who;
	size_t mac1_at = WIRE_RESPONSE_HEADER_BYTES + NOISE_MESSAGE_2_BYTES + payload_len;

	assert_int_equal(handshake_read_static(&p->b, &p->bob, HANDSHAKE_PEER, p->init, sizeof(p->init), &who), 0);
	assert_int_equal(handshake_read_payload(&p->b, p->init, sizeof(p->init), &offered), 0);
	wire_response_header_encode(out, 0xb0b, p->b.remote_index);
	seckey_generate(&ephemeral);
	assert_int_equal(noise_write_2(&p->b.noise, &ephemeral, out + WIRE_RESPONSE_HEADER_BYTES, payload, payload_len),
			 0);
	redo_mac1(out, mac1_at, &p->alice);
	*len = mac1_at + WIRE_MACS_BYTES;
}

static void a_suite_that_was_not_offered_is_refused(void **state)
{
	static const uint8_t wrong[] = { AEAD_AES_256_GCM, 3, 9, 15, 16, 33, 255 };

	(void)state;
	for (size_t i = 0; i < sizeof(wrong); i++) {
		struct wire_response_payload payload = { .suite = wrong[i] };
		uint8_t encoded[WIRE_RESPONSE_PAYLOAD_BYTES + WIRE_EXTENSIONS_BYTES],
			answer[WIRE_RESPONSE_BYTES] = { 0 };
		struct pair p;
		size_t len;

		pair_make(&p);
		p.alice.suites = CHACHA;
		pair_initiate(&p, HANDSHAKE_PEER);
		answer_with(&p, encoded, wire_response_payload_encode(encoded, &payload), answer, &len);
		assert_int_equal(handshake_finish(&p.a, &p.alice, answer, len, &p.a_keys, NULL), -EBADMSG);
		assert_true(is_zero(&p.a_keys, sizeof(p.a_keys)));
		assert_true(p.a.is_active);
		pair_respond(&p, HANDSHAKE_PEER); /* a proper answer still counts */
		assert_int_equal(pair_finish(&p), 0);
	}
}

static void an_unasked_feature_is_not_taken(void **state)
{
	struct wire_response_payload payload = { .suite = AEAD_CHACHA20_POLY1305, .features = 0xffff };
	uint8_t encoded[WIRE_RESPONSE_PAYLOAD_BYTES + WIRE_EXTENSIONS_BYTES], answer[WIRE_RESPONSE_BYTES] = { 0 };
	struct pair p;
	size_t len;

	(void)state;
	pair_make(&p);
	p.alice.features = 0;
	pair_initiate(&p, HANDSHAKE_PEER);
	answer_with(&p, encoded, wire_response_payload_encode(encoded, &payload), answer, &len);
	assert_int_equal(handshake_finish(&p.a, &p.alice, answer, len, &p.a_keys, NULL), 0);
	assert_int_equal(p.a_keys.features, 0);
}

static void extensions_are_skipped_and_malformed_payloads_refused(void **state)
{
	uint8_t payload[WIRE_RESPONSE_PAYLOAD_BYTES + 7] = { AEAD_CHACHA20_POLY1305 };
	uint8_t answer[WIRE_RESPONSE_BYTES + 7] = { 0 };
	struct pair p;
	size_t len;

	(void)state;
	pair_make(&p);
	payload[16 + 1] = 77; /* type 77, 3 bytes */
	payload[16 + 3] = 3;
	pair_initiate(&p, HANDSHAKE_PEER);
	answer_with(&p, payload, sizeof(payload), answer, &len);
	assert_int_equal(handshake_finish(&p.a, &p.alice, answer, len, &p.a_keys, NULL), 0);
	payload[16 + 3] = 4; /* one more than there is */
	pair_initiate(&p, HANDSHAKE_PEER);
	answer_with(&p, payload, sizeof(payload), answer, &len);
	assert_int_equal(handshake_finish(&p.a, &p.alice, answer, len, &p.a_keys, NULL), -EBADMSG);
}

static void secrets_are_gone_when_the_handshake_is_done(void **state)
{
	struct pair p;

	(void)state;
	pair_make(&p);
	pair_run(&p, HANDSHAKE_PEER);
	assert_true(is_zero(&p.a.noise, sizeof(p.a.noise)));
	assert_true(is_zero(&p.b.noise, sizeof(p.b.noise)));
	assert_false(p.a.is_active);
	assert_false(p.b.is_active);
	handshake_wipe(&p.a);
	assert_true(is_zero(&p.a, sizeof(p.a)));
	identity_fini(&p.alice);
	assert_true(is_zero(&p.alice, sizeof(p.alice)));
}

static void an_attempt_accepts_exactly_one_response(void **state)
{
	struct pair p;

	(void)state;
	pair_make(&p);
	pair_run(&p, HANDSHAKE_PEER);
	assert_int_equal(pair_finish(&p), -EBADMSG);
}

static void fields_stand_at_their_offsets(void **state)
{
	static const uint8_t zeros[MAC_BYTES];
	struct pair p;

	(void)state;
	pair_make(&p);
	pair_run(&p, HANDSHAKE_PEER);
	assert_memory_equal(p.init, "\x50\x01\0\0\x00\x0a\x11\xce", 8);
	assert_memory_equal(p.init + INIT_MAC1_AT + MAC_BYTES, zeros, MAC_BYTES);
	assert_memory_equal(p.response, "\x51\x01\0\0\x00\x00\x0b\x0b\x00\x0a\x11\xce", 12);
	assert_memory_equal(p.response + RESPONSE_MAC1_AT + MAC_BYTES, zeros, MAC_BYTES);
	assert_true(handshake_mac1_ok(&p.alice, p.response, sizeof(p.response), RESPONSE_MAC1_AT));
	assert_false(handshake_mac1_ok(&p.bob, p.response, sizeof(p.response), RESPONSE_MAC1_AT));
}

/* Does bob refuse it, in whichever step? */
static bool is_refused_1(const struct pair *p, const uint8_t *msg, size_t len)
{
	struct wire_init_payload payload;
	struct handshake h;
	struct pubkey who;

	if (handshake_read_static(&h, &p->bob, HANDSHAKE_PEER, msg, len, &who) == 0 &&
	    handshake_read_payload(&h, msg, len, &payload) == 0)
		return false;
	assert_true(is_zero(&h, sizeof(h)));
	return true;
}

static bool is_refused_2(struct pair *p, const uint8_t *msg, size_t len)
{
	const struct handshake before = p->a;

	if (handshake_finish(&p->a, &p->alice, msg, len, &p->a_keys, NULL) == 0)
		return false;
	assert_memory_equal(&p->a, &before, sizeof(before));
	assert_true(is_zero(&p->a_keys, sizeof(p->a_keys)));
	return true;
}

static void every_flipped_bit_of_an_initiation_is_refused(void **state)
{
	struct pair p;

	(void)state;
	pair_make(&p);
	pair_initiate(&p, HANDSHAKE_PEER);
	for (size_t bit = 0; bit < 8 * sizeof(p.init); bit++) {
		uint8_t msg[WIRE_INIT_BYTES];

		memcpy(msg, p.init, sizeof(msg));
		msg[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (bit / 8 >= INIT_MAC1_AT + MAC_BYTES)
			continue; /* mac2: asked for under load only, see below */
		assert_false(handshake_mac1_ok(&p.bob, msg, sizeof(msg), INIT_MAC1_AT));
		if (bit / 8 >= INIT_MAC1_AT)
			continue;
		redo_mac1(msg, INIT_MAC1_AT, &p.bob); /* so that what lies behind is seen to refuse it too */
		assert_true(handshake_mac1_ok(&p.bob, msg, sizeof(msg), INIT_MAC1_AT));
		assert_true(is_refused_1(&p, msg, sizeof(msg)));
	}
	pair_respond(&p, HANDSHAKE_PEER);
	assert_int_equal(pair_finish(&p), 0);
}

static void every_flipped_bit_of_a_response_is_refused(void **state)
{
	struct pair p;

	(void)state;
	pair_make(&p);
	pair_initiate(&p, HANDSHAKE_PEER);
	pair_respond(&p, HANDSHAKE_PEER);
	for (size_t bit = 0; bit < 8 * (RESPONSE_MAC1_AT + MAC_BYTES); bit++) {
		uint8_t msg[WIRE_RESPONSE_BYTES];
		size_t at = bit / 8;

		memcpy(msg, p.response, sizeof(msg));
		msg[at] ^= (uint8_t)(1 << bit % 8);
		assert_true(is_refused_2(&p, msg, sizeof(msg)));
		/* Only mac1 covers the reserved bytes and the responder's index; who can redo it could as well
		 * drop the response. */
		if ((at >= 2 && at < 8) || at >= RESPONSE_MAC1_AT)
			continue;
		redo_mac1(msg, RESPONSE_MAC1_AT, &p.alice);
		assert_true(is_refused_2(&p, msg, sizeof(msg)));
	}
	assert_int_equal(pair_finish(&p), 0); /* the attempt waited on */
}

static void messages_cut_at_any_length_are_refused(void **state)
{
	struct pair p;

	(void)state;
	pair_make(&p);
	pair_initiate(&p, HANDSHAKE_PEER);
	pair_respond(&p, HANDSHAKE_PEER);
	for (size_t len = 0; len < WIRE_INIT_BYTES; len++) {
		uint8_t *cut = malloc(len > 0 ? len : 1); /* exact, so that a read past the end is seen */

		memcpy(cut, p.init, len);
		assert_true(is_refused_1(&p, cut, len));
		assert_false(handshake_mac1_ok(&p.bob, cut, len, INIT_MAC1_AT));
		assert_false(handshake_mac2_ok(network_psk.b, cut, len, INIT_MAC1_AT));
		free(cut);
	}
	for (size_t len = 0; len < WIRE_RESPONSE_BYTES; len++) {
		uint8_t *cut = malloc(len > 0 ? len : 1);

		memcpy(cut, p.response, len);
		assert_true(is_refused_2(&p, cut, len));
		free(cut);
	}
	assert_false(handshake_mac1_ok(&p.bob, p.init, sizeof(p.init), SIZE_MAX));
	assert_false(handshake_mac2_ok(network_psk.b, p.init, sizeof(p.init), SIZE_MAX - 16));
}

static void a_foreign_version_is_told_apart(void **state)
{
	struct pubkey who;
	struct pair p;

	(void)state;
	pair_make(&p);
	pair_initiate(&p, HANDSHAKE_PEER);
	p.init[1] = WIRE_VERSION + 1;
	assert_int_equal(handshake_read_static(&p.b, &p.bob, HANDSHAKE_PEER, p.init, sizeof(p.init), &who),
			 -EPROTONOSUPPORT);
}

static void a_message_for_one_purpose_does_not_serve_the_other(void **state)
{
	static const enum handshake_purpose purposes[] = { HANDSHAKE_PEER, HANDSHAKE_COORDINATOR };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct pubkey who;
		struct pair p;

		pair_make(&p);
		pair_initiate(&p, purposes[i]);
		assert_true(handshake_mac1_ok(&p.bob, p.init, sizeof(p.init), INIT_MAC1_AT));
		assert_int_equal(handshake_read_static(&p.b, &p.bob, purposes[1 - i], p.init, sizeof(p.init), &who),
				 -EBADMSG);
	}
}

static void peers_with_different_psks_do_not_agree(void **state)
{
	static const struct psk other = { { 0x43 } };
	const struct psk *const wrong[] = { NULL, &other };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct pair p;

		pair_make(&p);
		identity_make(&p.bob, wrong[i], CHACHA, 0);
		pair_initiate(&p, HANDSHAKE_PEER);
		pair_respond(&p, HANDSHAKE_PEER); /* psk2: seen by the initiator first */
		assert_true(is_refused_2(&p, p.response, sizeof(p.response)));
	}
}

static void peers_without_a_psk_agree(void **state)
{
	struct pair p;

	(void)state;
	pair_make(&p);
	identity_make(&p.alice, NULL, CHACHA, 0);
	identity_make(&p.bob, NULL, CHACHA, 0);
	pair_run(&p, HANDSHAKE_PEER);
	assert_memory_equal(p.a_keys.send, p.b_keys.recv, 32);
}

static void a_message_for_somebody_else_is_refused(void **state)
{
	struct identity carol;
	struct pubkey who;
	struct pair p;

	(void)state;
	pair_make(&p);
	identity_make(&carol, &network_psk, CHACHA, 0);
	pair_initiate(&p, HANDSHAKE_PEER);
	assert_false(handshake_mac1_ok(&carol, p.init, sizeof(p.init), INIT_MAC1_AT));
	assert_int_equal(handshake_read_static(&p.b, &carol, HANDSHAKE_PEER, p.init, sizeof(p.init), &who), -EBADMSG);
	redo_mac1(p.init, INIT_MAC1_AT, &carol);
	assert_int_equal(handshake_read_static(&p.b, &carol, HANDSHAKE_PEER, p.init, sizeof(p.init), &who), -EBADMSG);
}

static void a_response_to_another_attempt_is_refused(void **state)
{
	struct pair p;

	(void)state;
	pair_make(&p);
	pair_initiate(&p, HANDSHAKE_PEER);
	pair_respond(&p, HANDSHAKE_PEER);
	pair_initiate(&p, HANDSHAKE_PEER); /* the same index, another ephemeral key */
	assert_true(is_refused_2(&p, p.response, sizeof(p.response)));
	p.response[8] ^= 1;
	redo_mac1(p.response, RESPONSE_MAC1_AT, &p.alice);
	assert_true(is_refused_2(&p, p.response, sizeof(p.response)));
}

static void steps_out_of_order_are_refused(void **state)
{
	struct wire_init_payload payload = { .suites = CHACHA };
	struct pair p;

	(void)state;
	pair_make(&p);
	pair_initiate(&p, HANDSHAKE_PEER);
	assert_int_equal(handshake_read_payload(&p.b, p.init, sizeof(p.init), &payload), -EBADMSG);
	assert_int_equal(handshake_respond(&p.b, &p.bob, &payload, 1, p.response, sizeof(p.response), &p.b_keys),
			 -EINVAL);
	handshake_wipe(&p.a);
	assert_int_equal(pair_finish(&p), -EBADMSG);
}

static void short_buffers_and_bad_keys_are_refused(void **state)
{
	static const struct pubkey zero;
	struct wire_init_payload payload;
	struct pubkey who;
	struct pair p;

	(void)state;
	pair_make(&p);
	assert_int_equal(handshake_initiate(&p.a, &p.alice, HANDSHAKE_PEER, &p.bob.public, 1, timestamp, NULL, p.init,
					    WIRE_INIT_BYTES - 1),
			 -ENOBUFS);
	assert_int_equal(
		handshake_initiate(&p.a, &p.alice, HANDSHAKE_PEER, &zero, 1, timestamp, NULL, p.init, sizeof(p.init)),
		-EINVAL);
	assert_true(is_zero(&p.a, sizeof(p.a)));
	pair_initiate(&p, HANDSHAKE_PEER);
	assert_int_equal(handshake_read_static(&p.b, &p.bob, HANDSHAKE_PEER, p.init, sizeof(p.init), &who), 0);
	assert_int_equal(handshake_read_payload(&p.b, p.init, sizeof(p.init), &payload), 0);
	assert_int_equal(handshake_respond(&p.b, &p.bob, &payload, 1, p.response, WIRE_RESPONSE_BYTES - 1, &p.b_keys),
			 -ENOBUFS);
}

/* As a responder under load makes it. */
static void make_cookie_reply(const struct pair *p, const uint8_t cookie[COOKIE_BYTES], uint8_t out[WIRE_COOKIE_BYTES])
{
	struct wire_cookie reply = { .receiver = 0xa11ce, .nonce = { 5 } };

	cookie_seal(reply.sealed, reply.nonce, &p->bob.cookie_key, cookie, p->init + INIT_MAC1_AT);
	wire_cookie_encode(out, &reply);
}

static void a_cookie_is_taken_and_keys_mac2(void **state)
{
	static const uint8_t cookie[COOKIE_BYTES] = { 1, 2, 3 }, other[COOKIE_BYTES] = { 9 };
	uint8_t reply[WIRE_COOKIE_BYTES], taken[COOKIE_BYTES];
	struct pair p;

	(void)state;
	pair_make(&p);
	pair_initiate(&p, HANDSHAKE_PEER);
	assert_false(handshake_mac2_ok(cookie, p.init, sizeof(p.init), INIT_MAC1_AT));
	make_cookie_reply(&p, cookie, reply);
	assert_int_equal(handshake_take_cookie(&p.a, &p.bob.public, reply, sizeof(reply), taken), 0);
	assert_memory_equal(taken, cookie, sizeof(cookie));
	assert_int_equal(handshake_initiate(&p.a, &p.alice, HANDSHAKE_PEER, &p.bob.public, 0xa11ce, timestamp, taken,
					    p.init, sizeof(p.init)),
			 WIRE_INIT_BYTES);
	assert_true(handshake_mac2_ok(cookie, p.init, sizeof(p.init), INIT_MAC1_AT));
	assert_false(handshake_mac2_ok(other, p.init, sizeof(p.init), INIT_MAC1_AT));
	for (size_t bit = 0; bit < 8 * sizeof(p.init); bit++) {
		p.init[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(handshake_mac2_ok(cookie, p.init, sizeof(p.init), INIT_MAC1_AT));
		p.init[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	pair_respond(&p, HANDSHAKE_PEER);
	assert_int_equal(pair_finish(&p), 0);
}

static void a_cookie_for_another_message_is_not_taken(void **state)
{
	static const uint8_t cookie[COOKIE_BYTES] = { 1, 2, 3 };
	uint8_t reply[WIRE_COOKIE_BYTES], taken[COOKIE_BYTES] = { 0 };
	struct pair p;

	(void)state;
	pair_make(&p);
	pair_initiate(&p, HANDSHAKE_PEER);
	make_cookie_reply(&p, cookie, reply);
	assert_int_equal(handshake_take_cookie(&p.a, &p.alice.public, reply, sizeof(reply), taken), -EBADMSG);
	for (size_t bit = 0; bit < 8 * sizeof(reply); bit++) {
		if (bit / 8 >= 1 && bit / 8 < 4)
			continue; /* reserved */
		reply[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(handshake_take_cookie(&p.a, &p.bob.public, reply, sizeof(reply), taken), -EBADMSG);
		reply[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t len = 0; len < sizeof(reply); len++)
		assert_int_equal(handshake_take_cookie(&p.a, &p.bob.public, reply, len, taken), -EBADMSG);
	pair_initiate(&p, HANDSHAKE_PEER); /* another mac1 */
	assert_int_equal(handshake_take_cookie(&p.a, &p.bob.public, reply, sizeof(reply), taken), -EBADMSG);
	handshake_wipe(&p.a);
	assert_int_equal(handshake_take_cookie(&p.a, &p.bob.public, reply, sizeof(reply), taken), -EBADMSG);
	assert_true(is_zero(taken, sizeof(taken)));
}

static void timestamps_are_tai64n_of_a_coarse_clock(void **state)
{
	/* 1 s after the epoch; 500 ms are 0x1dcd6500 ns */
	static const uint8_t expected[WIRE_TIMESTAMP_BYTES] = { 0x40, 0, 0, 0, 0, 0, 0, 11, 0x1d, 0, 0, 0 };
	uint8_t a[WIRE_TIMESTAMP_BYTES], b[WIRE_TIMESTAMP_BYTES];

	(void)state;
	timestamp_encode(a, 1500);
	assert_memory_equal(a, expected, sizeof(expected));
	assert_int_equal(timestamp_compare(a, a), 0);
	for (uint64_t ms = 0; ms < 5000; ms++) {
		timestamp_encode(a, 1700000000000u + ms);
		timestamp_encode(b, 1700000000000u + ms + 17); /* one grain is 16.8 ms */
		assert_true(timestamp_compare(a, b) < 0);
		assert_true(timestamp_compare(b, a) > 0);
		assert_int_equal(a[9] | a[10] | a[11], 0);
	}
}

static int start(void **state)
{
	(void)state;
	return crypto_start();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(peers_reach_the_same_transport_keys),
		cmocka_unit_test(peer_and_coordinator_reach_six_different_keys),
		cmocka_unit_test(a_coordinator_needs_no_psk_and_no_common_suite),
		cmocka_unit_test(every_handshake_gives_new_keys),
		cmocka_unit_test(the_best_suite_that_both_allow_is_chosen),
		cmocka_unit_test(without_a_common_suite_there_is_no_answer),
		cmocka_unit_test(a_refusal_says_what_the_other_side_accepts),
		cmocka_unit_test(a_refusal_needs_room_and_the_psk),
		cmocka_unit_test(a_feature_needs_both_sides),
		cmocka_unit_test(a_suite_that_was_not_offered_is_refused),
		cmocka_unit_test(an_unasked_feature_is_not_taken),
		cmocka_unit_test(extensions_are_skipped_and_malformed_payloads_refused),
		cmocka_unit_test(secrets_are_gone_when_the_handshake_is_done),
		cmocka_unit_test(an_attempt_accepts_exactly_one_response),
		cmocka_unit_test(fields_stand_at_their_offsets),
		cmocka_unit_test(every_flipped_bit_of_an_initiation_is_refused),
		cmocka_unit_test(every_flipped_bit_of_a_response_is_refused),
		cmocka_unit_test(messages_cut_at_any_length_are_refused),
		cmocka_unit_test(a_foreign_version_is_told_apart),
		cmocka_unit_test(a_message_for_one_purpose_does_not_serve_the_other),
		cmocka_unit_test(peers_with_different_psks_do_not_agree),
		cmocka_unit_test(peers_without_a_psk_agree),
		cmocka_unit_test(a_message_for_somebody_else_is_refused),
		cmocka_unit_test(a_response_to_another_attempt_is_refused),
		cmocka_unit_test(steps_out_of_order_are_refused),
		cmocka_unit_test(short_buffers_and_bad_keys_are_refused),
		cmocka_unit_test(a_cookie_is_taken_and_keys_mac2),
		cmocka_unit_test(a_cookie_for_another_message_is_not_taken),
		cmocka_unit_test(timestamps_are_tai64n_of_a_coarse_clock),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
