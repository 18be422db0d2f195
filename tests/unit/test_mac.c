#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "crypto/mac.h"
#include "tests/unit/vectors.h"

static const struct pubkey alice = { { 1, 2, 3 } }, bob = { { 4, 5, 6 } };

/* BLAKE2b-256 of the label and the key, made by Python's hashlib. */
static void keys_are_the_hash_of_label_and_public_key(void **state)
{
	static const uint8_t expected_mac1[32] = { 0xd1, 0xa3, 0xad, 0xdd, 0x7f, 0xbe, 0x61, 0xd5, 0x75, 0x60, 0x77,
						   0xc2, 0xeb, 0xfe, 0xf4, 0x92, 0x53, 0xaa, 0xe5, 0x9e, 0x8b, 0x36,
						   0x8d, 0x0d, 0x49, 0x97, 0x5d, 0xd1, 0x5a, 0x37, 0xbb, 0xad };
	static const uint8_t expected_cookie[32] = { 0xe2, 0xe1, 0x27, 0xd5, 0x16, 0x60, 0x89, 0x1c, 0x44, 0x00, 0xbc,
						     0xec, 0x6f, 0xea, 0xc0, 0x4f, 0xcd, 0x27, 0x6b, 0x48, 0x4a, 0x00,
						     0x46, 0x71, 0x27, 0x02, 0xb2, 0x6b, 0xc5, 0x38, 0xa0, 0xd7 };
	struct mac_key mac1, cookie;

	(void)state;
	mac1_key(&mac1, &alice);
	cookie_key(&cookie, &alice);
	assert_memory_equal(mac1.b, expected_mac1, sizeof(expected_mac1));
	assert_memory_equal(cookie.b, expected_cookie, sizeof(expected_cookie));
}

/* BLAKE2b-128 with a key of 32 and of 16 bytes (a cookie), made by Python's hashlib. */
static void mac_is_keyed_blake2b_of_16_bytes(void **state)
{
	static const uint8_t by_32[MAC_BYTES] = { 0xbd, 0x34, 0xa4, 0x21, 0x57, 0x56, 0x27, 0xa3,
						  0x72, 0x94, 0xbc, 0x37, 0xba, 0x68, 0x6f, 0x61 };
	static const uint8_t by_16[MAC_BYTES] = { 0xaf, 0xe4, 0xcf, 0x02, 0x0c, 0x87, 0xd0, 0x93,
						  0x70, 0x77, 0x6e, 0xd7, 0x67, 0x3e, 0x7c, 0xf8 };
	uint8_t key[32], out[MAC_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)i;
	mac_compute(out, key, 32, "message", 7);
	assert_memory_equal(out, by_32, sizeof(out));
	mac_compute(out, key, 16, "message", 7);
	assert_memory_equal(out, by_16, sizeof(out));
}

static void hash_is_blake2b_of_32_bytes(void **state)
{
	static const uint8_t expected[32] = { 0x2e, 0x78, 0x36, 0xcc, 0x18, 0xab, 0x1d, 0xb2, 0xa2, 0xe2, 0x39,
					      0xeb, 0xf4, 0x04, 0x37, 0x72, 0xb3, 0x35, 0x95, 0x20, 0x19, 0x8b,
					      0x5f, 0xd5, 0x54, 0x43, 0xb0, 0x1a, 0x10, 0x23, 0xa5, 0xb0 };
	uint8_t out[32];

	(void)state;
	hash_bytes(out, "message", 7);
	assert_memory_equal(out, expected, sizeof(out));
}

static void a_mac_depends_on_receiver_and_every_bit(void **state)
{
	uint8_t msg[116] = { 1, 2, 3 }, mac[MAC_BYTES], other[MAC_BYTES];
	struct mac_key to_alice, to_bob;

	(void)state;
	mac1_key(&to_alice, &alice);
	mac1_key(&to_bob, &bob);
	mac_compute(mac, to_alice.b, sizeof(to_alice.b), msg, sizeof(msg));
	mac_compute(other, to_alice.b, sizeof(to_alice.b), msg, sizeof(msg));
	assert_true(mac_equal(mac, other));
	mac_compute(other, to_bob.b, sizeof(to_bob.b), msg, sizeof(msg));
	assert_false(mac_equal(mac, other));
	for (size_t bit = 0; bit < 8 * sizeof(msg); bit++) {
		msg[bit / 8] ^= (uint8_t)(1 << bit % 8);
		mac_compute(other, to_alice.b, sizeof(to_alice.b), msg, sizeof(msg));
		assert_false(mac_equal(mac, other));
		msg[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t bit = 0; bit < 8 * MAC_BYTES; bit++) {
		memcpy(other, mac, sizeof(other));
		other[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(mac_equal(mac, other));
	}
}

static void a_cookie_depends_on_source_and_secret(void **state)
{
	static const uint8_t secret[32] = { 1 }, next_secret[32] = { 2 };
	static const uint8_t source[6] = { 192, 0, 2, 1, 0x12, 0x34 }, other_port[6] = { 192, 0, 2, 1, 0x12, 0x35 };
	uint8_t cookie[COOKIE_BYTES], other[COOKIE_BYTES];

	(void)state;
	cookie_make(cookie, secret, source, sizeof(source));
	cookie_make(other, secret, source, sizeof(source));
	assert_memory_equal(cookie, other, sizeof(cookie));
	cookie_make(other, secret, other_port, sizeof(other_port));
	assert_memory_not_equal(cookie, other, sizeof(cookie));
	cookie_make(other, next_secret, source, sizeof(source));
	assert_memory_not_equal(cookie, other, sizeof(cookie));
}

static void a_sealed_cookie_opens_only_for_its_message(void **state)
{
	uint8_t nonce[COOKIE_NONCE_BYTES] = { 9 }, mac1[MAC_BYTES] = { 8 }, cookie[COOKIE_BYTES] = { 7 };
	uint8_t sealed[COOKIE_SEALED_BYTES], out[COOKIE_BYTES], untouched[COOKIE_BYTES];
	struct mac_key key, other;

	(void)state;
	cookie_key(&key, &alice);
	cookie_key(&other, &bob);
	memset(out, 0x5a, sizeof(out));
	memset(untouched, 0x5a, sizeof(untouched));
	cookie_seal(sealed, nonce, &key, cookie, mac1);
	assert_int_equal(cookie_unseal(out, nonce, &other, sealed, mac1), -EBADMSG);
	for (size_t bit = 0; bit < 8 * sizeof(sealed); bit++) {
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(cookie_unseal(out, nonce, &key, sealed, mac1), -EBADMSG);
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	mac1[15] ^= 1;
	assert_int_equal(cookie_unseal(out, nonce, &key, sealed, mac1), -EBADMSG);
	mac1[15] ^= 1;
	nonce[23] ^= 1;
	assert_int_equal(cookie_unseal(out, nonce, &key, sealed, mac1), -EBADMSG);
	nonce[23] ^= 1;
	assert_memory_equal(out, untouched, sizeof(out));
	assert_int_equal(cookie_unseal(out, nonce, &key, sealed, mac1), 0);
	assert_memory_equal(out, cookie, sizeof(out));
}

/* Of libsodium, below cookie_seal(): no record has both a message and associated data of 16 bytes. */
static void xchacha20_poly1305_of_the_library_agrees_with_published_vectors(void **state)
{
	struct vectors *v = vectors_open("wycheproof_xchacha20_poly1305.txt");
	int n = 0;

	(void)state;
	while (vectors_next(v)) {
		struct vector_bytes key = vectors_hex(v, "key"), nonce = vectors_hex(v, "nonce");
		struct vector_bytes ad = vectors_hex(v, "aad"), msg = vectors_hex(v, "msg");
		struct vector_bytes ct = vectors_hex(v, "ct"), tag = vectors_hex(v, "tag");
		uint8_t *sealed = malloc(ct.len + tag.len), *out = malloc(ct.len + tag.len);
		bool is_valid = vectors_is(v, "result", "valid");
		int ret;

		assert_non_null(sealed);
		assert_non_null(out);
		memcpy(sealed, ct.data, ct.len);
		memcpy(sealed + ct.len, tag.data, tag.len);
		ret = crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, sealed, ct.len + tag.len, ad.data,
								 ad.len, nonce.data, key.data);
		assert_int_equal(ret, is_valid ? 0 : -1);
		if (is_valid) {
			assert_memory_equal(out, msg.data, msg.len);
			crypto_aead_xchacha20poly1305_ietf_encrypt(out, NULL, msg.data, msg.len, ad.data, ad.len, NULL,
								   nonce.data, key.data);
			assert_memory_equal(out, sealed, ct.len + tag.len);
		}
		free(sealed);
		free(out);
		n++;
	}
	vectors_close(v);
	assert_int_equal(n, 306);
}

/* The test vector of the SipHash paper, appendix A. */
static void short_tag_is_siphash_2_4(void **state)
{
	static const uint8_t expected[SHORT_TAG_BYTES] = { 0xe5, 0x45, 0xbe, 0x49, 0x61, 0xca, 0x29, 0xa1 };
	uint8_t key[SHORT_KEY_BYTES], msg[15], tag[SHORT_TAG_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)i;
	for (size_t i = 0; i < sizeof(msg); i++)
		msg[i] = (uint8_t)i;
	short_tag(tag, key, msg, sizeof(msg));
	assert_memory_equal(tag, expected, sizeof(tag));
	assert_true(short_tag_equal(tag, expected));
	for (size_t bit = 0; bit < 8 * sizeof(tag); bit++) {
		tag[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(short_tag_equal(tag, expected));
		tag[bit / 8] ^= (uint8_t)(1 << bit % 8);
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
		cmocka_unit_test(keys_are_the_hash_of_label_and_public_key),
		cmocka_unit_test(mac_is_keyed_blake2b_of_16_bytes),
		cmocka_unit_test(hash_is_blake2b_of_32_bytes),
		cmocka_unit_test(a_mac_depends_on_receiver_and_every_bit),
		cmocka_unit_test(a_cookie_depends_on_source_and_secret),
		cmocka_unit_test(a_sealed_cookie_opens_only_for_its_message),
		cmocka_unit_test(xchacha20_poly1305_of_the_library_agrees_with_published_vectors),
		cmocka_unit_test(short_tag_is_siphash_2_4),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
