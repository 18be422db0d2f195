#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "crypto/aead.h"
#include "crypto/noise.h"
#include "tests/unit/vectors.h"

#define NAME "Noise_IKpsk2_25519_ChaChaPoly_SHA256"
#define PAYLOAD_1_BYTES 32
#define PAYLOAD_2_BYTES 16
#define MESSAGE_1_TOTAL (NOISE_MESSAGE_1_BYTES + PAYLOAD_1_BYTES)
#define MESSAGE_2_TOTAL (NOISE_MESSAGE_2_BYTES + PAYLOAD_2_BYTES)

/* Two ends of one handshake, before its first message. */
struct pair {
	struct seckey i_sec, r_sec, i_eph, r_eph;
	struct pubkey i_pub, r_pub;
	struct psk psk;
	struct noise i, r;
	uint8_t payload_1[PAYLOAD_1_BYTES], payload_2[PAYLOAD_2_BYTES];
	uint8_t msg_1[MESSAGE_1_TOTAL], msg_2[MESSAGE_2_TOTAL];
};

static void pair_start(struct pair *p)
{
	seckey_generate(&p->i_sec);
	seckey_generate(&p->r_sec);
	seckey_generate(&p->i_eph);
	seckey_generate(&p->r_eph);
	assert_int_equal(pubkey_of(&p->i_pub, &p->i_sec), 0);
	assert_int_equal(pubkey_of(&p->r_pub, &p->r_sec), 0);
	randombytes_buf(&p->psk, sizeof(p->psk));
	randombytes_buf(p->payload_1, sizeof(p->payload_1));
	randombytes_buf(p->payload_2, sizeof(p->payload_2));
	assert_int_equal(noise_init_initiator(&p->i, &p->i_sec, &p->i_pub, &p->r_pub, &p->psk, "test", 4), 0);
	assert_int_equal(noise_init_responder(&p->r, &p->r_sec, &p->r_pub, &p->psk, "test", 4), 0);
}

static void pair_write_1(struct pair *p)
{
	assert_int_equal(noise_write_1(&p->i, &p->i_eph, p->msg_1, p->payload_1, sizeof(p->payload_1)), 0);
}

static int read_1(struct noise *r, struct pubkey *who, uint8_t *payload, const uint8_t *msg, size_t len)
{
	int ret = noise_read_1_static(r, who, msg, len);

	return ret < 0 ? ret : noise_read_1_payload(r, payload, msg, len);
}

static void pair_answer(struct pair *p)
{
	uint8_t payload[PAYLOAD_1_BYTES];
	struct pubkey who;

	assert_int_equal(read_1(&p->r, &who, payload, p->msg_1, sizeof(p->msg_1)), 0);
	assert_true(pubkey_equal(&who, &p->i_pub));
	assert_memory_equal(payload, p->payload_1, sizeof(payload));
	assert_int_equal(noise_write_2(&p->r, &p->r_eph, p->msg_2, p->payload_2, sizeof(p->payload_2)), 0);
}

/* Up to the point where message 2 is on its way. */
static void pair_write_2(struct pair *p)
{
	pair_write_1(p);
	pair_answer(p);
}

static void check_transport(struct vectors *v, const uint8_t to_responder[32], const uint8_t to_initiator[32])
{
	struct aead_key keys[2];
	size_t n_messages = vectors_number(v, "messages");

	assert_int_equal(aead_key_init(&keys[0], AEAD_CHACHA20_POLY1305, to_responder), 0);
	assert_int_equal(aead_key_init(&keys[1], AEAD_CHACHA20_POLY1305, to_initiator), 0);
	for (size_t i = 2; i < n_messages; i++) {
		const struct aead_key *key = &keys[i % 2];
		struct vector_bytes payload, expected;
		char field[32];
		uint8_t out[256];

		snprintf(field, sizeof(field), "payload%zu", i);
		payload = vectors_hex(v, field);
		snprintf(field, sizeof(field), "ciphertext%zu", i);
		expected = vectors_hex(v, field);
		assert_int_equal(expected.len, payload.len + AEAD_TAG_BYTES);
		assert_true(expected.len <= sizeof(out));
		aead_seal(key, out, payload.data, payload.len, NULL, 0, i / 2 - 1);
		assert_memory_equal(out, expected.data, expected.len);
		assert_int_equal(aead_open(key, out, expected.data, payload.len, NULL, 0, i / 2 - 1), 0);
		assert_memory_equal(out, payload.data, payload.len);
	}
	aead_key_wipe(&keys[0]);
	aead_key_wipe(&keys[1]);
}

static void check_handshake(struct vectors *v)
{
	struct vector_bytes i_prologue = vectors_hex(v, "init_prologue"), r_prologue = vectors_hex(v, "resp_prologue");
	struct vector_bytes payload_0 = vectors_hex(v, "payload0"), payload_1 = vectors_hex(v, "payload1");
	struct vector_bytes msg_0 = vectors_hex(v, "ciphertext0"), msg_1 = vectors_hex(v, "ciphertext1");
	uint8_t out[512], hash[32], to_r[2][32], to_i[2][32];
	struct seckey i_sec, r_sec, i_eph, r_eph;
	struct pubkey i_pub, r_pub, known, who;
	struct noise i, r;
	struct psk psk;

	vectors_hex_exact(v, "init_static", i_sec.b, sizeof(i_sec.b));
	vectors_hex_exact(v, "resp_static", r_sec.b, sizeof(r_sec.b));
	vectors_hex_exact(v, "init_ephemeral", i_eph.b, sizeof(i_eph.b));
	vectors_hex_exact(v, "resp_ephemeral", r_eph.b, sizeof(r_eph.b));
	vectors_hex_exact(v, "init_remote_static", known.b, sizeof(known.b));
	vectors_hex_exact(v, "psk", psk.b, sizeof(psk.b));
	vectors_hex_exact(v, "handshake_hash", hash, sizeof(hash));
	assert_int_equal(pubkey_of(&i_pub, &i_sec), 0);
	assert_int_equal(pubkey_of(&r_pub, &r_sec), 0);
	assert_true(pubkey_equal(&r_pub, &known));
	assert_int_equal(noise_init_initiator(&i, &i_sec, &i_pub, &known, &psk, i_prologue.data, i_prologue.len), 0);
	assert_int_equal(noise_init_responder(&r, &r_sec, &r_pub, NULL, r_prologue.data, r_prologue.len), 0);

	assert_int_equal(msg_0.len, NOISE_MESSAGE_1_BYTES + payload_0.len);
	assert_int_equal(noise_write_1(&i, &i_eph, out, payload_0.data, payload_0.len), 0);
	assert_memory_equal(out, msg_0.data, msg_0.len);
	assert_int_equal(read_1(&r, &who, out, msg_0.data, msg_0.len), 0);
	assert_true(pubkey_equal(&who, &i_pub));
	assert_memory_equal(out, payload_0.data, payload_0.len);

	noise_set_psk(&r, &psk);
	assert_int_equal(msg_1.len, NOISE_MESSAGE_2_BYTES + payload_1.len);
	assert_int_equal(noise_write_2(&r, &r_eph, out, payload_1.data, payload_1.len), 0);
	assert_memory_equal(out, msg_1.data, msg_1.len);
	assert_int_equal(noise_read_2(&i, out, msg_1.data, msg_1.len), 0);
	assert_memory_equal(out, payload_1.data, payload_1.len);

	noise_split(&i, to_r[0], to_i[0]);
	noise_split(&r, to_r[1], to_i[1]);
	assert_memory_equal(i.h, hash, sizeof(hash));
	assert_memory_equal(r.h, hash, sizeof(hash));
	assert_memory_equal(to_r[0], to_r[1], 32);
	assert_memory_equal(to_i[0], to_i[1], 32);
	check_transport(v, to_r[0], to_i[0]);
}

static void handshake_and_transport_agree_with_published_vectors(void **state)
{
	struct vectors *v = vectors_open("noise_ik.txt");
	int n = 0;

	(void)state;
	while (vectors_next(v)) {
		if (!vectors_is(v, "protocol_name", NAME))
			continue;
		check_handshake(v);
		n++;
	}
	vectors_close(v);
	assert_int_equal(n, 1); /* the file's other records are of other patterns, ciphers and hashes */
}

static void both_ends_reach_the_same_keys(void **state)
{
	uint8_t payload[PAYLOAD_2_BYTES], to_r[2][32], to_i[2][32];
	struct pair p;

	(void)state;
	pair_start(&p);
	pair_write_2(&p);
	assert_int_equal(noise_read_2(&p.i, payload, p.msg_2, sizeof(p.msg_2)), 0);
	assert_memory_equal(payload, p.payload_2, sizeof(payload));
	assert_memory_equal(p.i.h, p.r.h, sizeof(p.i.h));
	noise_split(&p.i, to_r[0], to_i[0]);
	noise_split(&p.r, to_r[1], to_i[1]);
	assert_memory_equal(to_r[0], to_r[1], 32);
	assert_memory_equal(to_i[0], to_i[1], 32);
	assert_memory_not_equal(to_r[0], to_i[0], 32);
}

static void an_empty_payload_is_a_payload(void **state)
{
	uint8_t msg_1[NOISE_MESSAGE_1_BYTES], msg_2[NOISE_MESSAGE_2_BYTES], none[1];
	struct pubkey who;
	struct pair p;

	(void)state;
	pair_start(&p);
	assert_int_equal(noise_write_1(&p.i, &p.i_eph, msg_1, NULL, 0), 0);
	assert_int_equal(read_1(&p.r, &who, none, msg_1, sizeof(msg_1)), 0);
	assert_int_equal(noise_write_2(&p.r, &p.r_eph, msg_2, NULL, 0), 0);
	assert_int_equal(noise_read_2(&p.i, none, msg_2, sizeof(msg_2)), 0);
}

static void split_keeps_the_hash_and_nothing_else(void **state)
{
	uint8_t to_r[32], to_i[32], h[32];
	struct noise rest;
	struct pair p;

	(void)state;
	pair_start(&p);
	pair_write_2(&p);
	memcpy(h, p.r.h, sizeof(h));
	noise_split(&p.r, to_r, to_i);
	memset(&rest, 0, sizeof(rest));
	memcpy(rest.h, h, sizeof(h));
	assert_memory_equal(&p.r, &rest, sizeof(rest));
	noise_wipe(&p.r);
	memset(&rest, 0, sizeof(rest));
	assert_memory_equal(&p.r, &rest, sizeof(rest));
}

/* Each half must refuse `msg`, or the first refuses it, and the state stays as it was. */
static void refuses_1(const struct noise *fresh, const uint8_t *msg, size_t len)
{
	struct noise r = *fresh, before = *fresh;
	uint8_t payload[PAYLOAD_1_BYTES];
	struct pubkey who;

	if (noise_read_1_static(&r, &who, msg, len) == 0) {
		before = r;
		assert_int_equal(noise_read_1_payload(&r, payload, msg, len), -EBADMSG);
	}
	assert_memory_equal(&r, &before, sizeof(r));
}

static void refuses_2(const struct noise *fresh, const uint8_t *msg, size_t len)
{
	uint8_t payload[PAYLOAD_2_BYTES];
	struct noise i = *fresh;

	assert_int_equal(noise_read_2(&i, payload, msg, len), -EBADMSG);
	assert_memory_equal(&i, fresh, sizeof(i));
}

static void every_flipped_bit_of_message_1_is_refused(void **state)
{
	struct pair p;

	(void)state;
	pair_start(&p);
	pair_write_1(&p);
	for (size_t bit = 0; bit < 8 * sizeof(p.msg_1); bit++) {
		p.msg_1[bit / 8] ^= (uint8_t)(1 << bit % 8);
		refuses_1(&p.r, p.msg_1, sizeof(p.msg_1));
		p.msg_1[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	pair_answer(&p); /* after all this the true one still counts */
}

static void every_flipped_bit_of_message_2_is_refused(void **state)
{
	uint8_t payload[PAYLOAD_2_BYTES];
	struct pair p;

	(void)state;
	pair_start(&p);
	pair_write_2(&p);
	for (size_t bit = 0; bit < 8 * sizeof(p.msg_2); bit++) {
		p.msg_2[bit / 8] ^= (uint8_t)(1 << bit % 8);
		refuses_2(&p.i, p.msg_2, sizeof(p.msg_2));
		p.msg_2[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(noise_read_2(&p.i, payload, p.msg_2, sizeof(p.msg_2)), 0);
}

static void messages_cut_at_any_length_are_refused(void **state)
{
	struct pair p;

	(void)state;
	pair_start(&p);
	pair_write_1(&p);
	for (size_t len = 0; len < sizeof(p.msg_1); len++) {
		uint8_t *cut = malloc(len > 0 ? len : 1); /* exact, so that a read past the end is seen */

		memcpy(cut, p.msg_1, len);
		refuses_1(&p.r, cut, len);
		free(cut);
	}
	pair_start(&p);
	pair_write_2(&p);
	for (size_t len = 0; len < sizeof(p.msg_2); len++) {
		uint8_t *cut = malloc(len > 0 ? len : 1);

		memcpy(cut, p.msg_2, len);
		refuses_2(&p.i, cut, len);
		free(cut);
	}
}

static void a_longer_message_is_refused(void **state)
{
	uint8_t longer_1[MESSAGE_1_TOTAL + 1] = { 0 }, longer_2[MESSAGE_2_TOTAL + 1] = { 0 };
	uint8_t payload[PAYLOAD_1_BYTES + 1];
	struct pubkey who;
	struct pair p;

	(void)state;
	pair_start(&p);
	pair_write_1(&p);
	memcpy(longer_1, p.msg_1, sizeof(p.msg_1));
	assert_int_equal(read_1(&p.r, &who, payload, longer_1, sizeof(longer_1)), -EBADMSG);
	pair_start(&p);
	pair_write_2(&p);
	memcpy(longer_2, p.msg_2, sizeof(p.msg_2));
	assert_int_equal(noise_read_2(&p.i, payload, longer_2, sizeof(longer_2)), -EBADMSG);
}

static void a_wrong_psk_fails_at_message_2(void **state)
{
	const struct psk *const wrong[] = { NULL, &(struct psk){ { 1 } } };

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		uint8_t payload[PAYLOAD_2_BYTES];
		struct pair p;

		pair_start(&p);
		assert_int_equal(noise_init_responder(&p.r, &p.r_sec, &p.r_pub, wrong[k], "test", 4), 0);
		pair_write_2(&p);
		refuses_2(&p.i, p.msg_2, sizeof(p.msg_2));
		noise_set_psk(&p.i, wrong[k] ? wrong[k] : &(struct psk){ { 0 } });
		assert_int_equal(noise_read_2(&p.i, payload, p.msg_2, sizeof(p.msg_2)), 0);
	}
}

static void a_wrong_prologue_is_refused(void **state)
{
	static const char *const wrong[] = { "tesT", "tes", "test1", "" };

	(void)state;
	for (size_t k = 0; k < sizeof(wrong) / sizeof(wrong[0]); k++) {
		struct pubkey who;
		struct noise r;
		struct pair p;

		pair_start(&p);
		pair_write_1(&p);
		assert_int_equal(noise_init_responder(&r, &p.r_sec, &p.r_pub, &p.psk, wrong[k], strlen(wrong[k])), 0);
		assert_int_equal(noise_read_1_static(&r, &who, p.msg_1, sizeof(p.msg_1)), -EBADMSG);
	}
}

static void a_message_to_another_static_key_is_refused(void **state)
{
	struct seckey other_sec;
	struct pubkey other_pub, who;
	struct noise r;
	struct pair p;

	(void)state;
	pair_start(&p);
	pair_write_1(&p);
	seckey_generate(&other_sec);
	assert_int_equal(pubkey_of(&other_pub, &other_sec), 0);
	assert_int_equal(noise_init_responder(&r, &other_sec, &other_pub, &p.psk, "test", 4), 0);
	assert_int_equal(noise_read_1_static(&r, &who, p.msg_1, sizeof(p.msg_1)), -EBADMSG);
	/* nor does it help to claim the name without having the key */
	assert_int_equal(noise_init_responder(&r, &other_sec, &p.r_pub, &p.psk, "test", 4), 0);
	assert_int_equal(noise_read_1_static(&r, &who, p.msg_1, sizeof(p.msg_1)), -EBADMSG);
}

static void who_lacks_the_static_key_he_names_is_refused(void **state)
{
	struct seckey thief;
	struct pair p;

	(void)state;
	pair_start(&p);
	seckey_generate(&thief);
	assert_int_equal(noise_init_initiator(&p.i, &thief, &p.i_pub, &p.r_pub, &p.psk, "test", 4), 0);
	pair_write_1(&p);
	refuses_1(&p.r, p.msg_1, sizeof(p.msg_1));
}

static void an_answer_to_another_message_1_is_refused(void **state)
{
	uint8_t msg_1[MESSAGE_1_TOTAL];
	struct seckey fresh;
	struct noise again;
	struct pair p;

	(void)state;
	pair_start(&p);
	again = p.i;
	pair_write_2(&p);
	seckey_generate(&fresh);
	assert_int_equal(noise_write_1(&again, &fresh, msg_1, p.payload_1, sizeof(p.payload_1)), 0);
	refuses_2(&again, p.msg_2, sizeof(p.msg_2));
}

static void low_order_keys_are_refused(void **state)
{
	static const struct pubkey zero;
	uint8_t out[MESSAGE_1_TOTAL];
	struct pair p;

	(void)state;
	pair_start(&p);
	assert_int_equal(noise_init_initiator(&p.i, &p.i_sec, &p.i_pub, &zero, &p.psk, "test", 4), 0);
	assert_int_equal(noise_write_1(&p.i, &p.i_eph, out, p.payload_1, sizeof(p.payload_1)), -EINVAL);
	pair_start(&p);
	pair_write_1(&p);
	memset(p.msg_1, 0, KEY_BYTES);
	refuses_1(&p.r, p.msg_1, sizeof(p.msg_1));
	pair_start(&p);
	pair_write_2(&p);
	memset(p.msg_2, 0, KEY_BYTES);
	refuses_2(&p.i, p.msg_2, sizeof(p.msg_2));
}

/* Noise's HKDF is RFC 5869's with an empty info and the chaining key as salt. A salt shorter than that is the same as
 * one filled up with zeros (RFC 2104); a longer one cannot be had here. */
static void hkdf_agrees_with_published_vectors(void **state)
{
	struct vectors *v = vectors_open("wycheproof_hkdf_sha256.txt");
	int n_checked = 0, n_skipped = 0;

	(void)state;
	while (vectors_next(v)) {
		struct vector_bytes ikm = vectors_hex(v, "ikm"), salt = vectors_hex(v, "salt");
		struct vector_bytes okm = vectors_hex(v, "okm");
		uint8_t ck[32] = { 0 }, out[64];

		if (vectors_hex(v, "info").len > 0 || vectors_number(v, "size") > 64 || salt.len > sizeof(ck)) {
			n_skipped++;
			continue;
		}
		memcpy(ck, salt.data, salt.len);
		noise_hkdf2(out, out + 32, ck, ikm.data, ikm.len);
		assert_int_equal(okm.len, vectors_number(v, "size"));
		assert_memory_equal(out, okm.data, okm.len);
		n_checked++;
	}
	vectors_close(v);
	print_message("hkdf: %d records checked, %d skipped (info, size over 64 or salt over 32)\n", n_checked,
		      n_skipped);
	assert_int_equal(n_checked, 28);
	assert_int_equal(n_checked + n_skipped, 86);
}

static void hkdf_may_write_over_its_chaining_key(void **state)
{
	uint8_t ck[32] = { 5 }, apart[2][32], second[32];

	(void)state;
	noise_hkdf2(apart[0], apart[1], ck, "input", 5);
	noise_hkdf2(ck, second, ck, "input", 5);
	assert_memory_equal(ck, apart[0], 32);
	assert_memory_equal(second, apart[1], 32);
}

/* Of libsodium, not of ours: the one primitive below the handshake that no other vector reaches on its own. */
static void hmac_sha256_of_the_library_agrees_with_published_vectors(void **state)
{
	struct vectors *v = vectors_open("wycheproof_hmac_sha256.txt");
	int n = 0;

	(void)state;
	while (vectors_next(v)) {
		struct vector_bytes key = vectors_hex(v, "key"), msg = vectors_hex(v, "msg");
		struct vector_bytes tag = vectors_hex(v, "tag");
		crypto_auth_hmacsha256_state hmac;
		uint8_t out[32];

		crypto_auth_hmacsha256_init(&hmac, key.data, key.len);
		crypto_auth_hmacsha256_update(&hmac, msg.data, msg.len);
		crypto_auth_hmacsha256_final(&hmac, out);
		assert_int_equal(tag.len, vectors_number(v, "tagbits") / 8);
		assert_int_equal(memcmp(out, tag.data, tag.len) == 0, vectors_is(v, "result", "valid"));
		n++;
	}
	vectors_close(v);
	assert_int_equal(n, 174);
}

static int start(void **state)
{
	(void)state;
	return crypto_start();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handshake_and_transport_agree_with_published_vectors),
		cmocka_unit_test(both_ends_reach_the_same_keys),
		cmocka_unit_test(an_empty_payload_is_a_payload),
		cmocka_unit_test(split_keeps_the_hash_and_nothing_else),
		cmocka_unit_test(every_flipped_bit_of_message_1_is_refused),
		cmocka_unit_test(every_flipped_bit_of_message_2_is_refused),
		cmocka_unit_test(messages_cut_at_any_length_are_refused),
		cmocka_unit_test(a_longer_message_is_refused),
		cmocka_unit_test(a_wrong_psk_fails_at_message_2),
		cmocka_unit_test(a_wrong_prologue_is_refused),
		cmocka_unit_test(a_message_to_another_static_key_is_refused),
		cmocka_unit_test(who_lacks_the_static_key_he_names_is_refused),
		cmocka_unit_test(an_answer_to_another_message_1_is_refused),
		cmocka_unit_test(low_order_keys_are_refused),
		cmocka_unit_test(hkdf_agrees_with_published_vectors),
		cmocka_unit_test(hkdf_may_write_over_its_chaining_key),
		cmocka_unit_test(hmac_sha256_of_the_library_agrees_with_published_vectors),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
