#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/aead.h"
#include "crypto/key.h"
#include "tests/unit/vectors.h"

static uint8_t *heap_bytes(size_t len)
{
	uint8_t *p = malloc(len > 0 ? len : 1);

	assert_non_null(p);
	return p;
}

/* One record through one implementation, apart and in place. */
static void check_record(struct vectors *v, const struct aead_key *key)
{
	const struct aead_impl *impl = key->impl;
	struct vector_bytes nonce = vectors_hex(v, "nonce"), ad = vectors_hex(v, "aad"), msg = vectors_hex(v, "msg");
	struct vector_bytes ct = vectors_hex(v, "ct"), tag = vectors_hex(v, "tag");
	size_t len = ct.len, sealed_len = len + AEAD_TAG_BYTES;
	uint8_t *sealed = heap_bytes(sealed_len), *out = heap_bytes(sealed_len);

	assert_int_equal(nonce.len, 12);
	assert_int_equal(tag.len, AEAD_TAG_BYTES);
	memcpy(sealed, ct.data, len);
	memcpy(sealed + len, tag.data, tag.len);
	if (vectors_is(v, "result", "valid")) {
		assert_int_equal(msg.len, len);
		impl->seal(key->state, out, msg.data, len, ad.data, ad.len, nonce.data);
		assert_memory_equal(out, sealed, sealed_len);
		memcpy(out, msg.data, len);
		impl->seal(key->state, out, out, len, ad.data, ad.len, nonce.data);
		assert_memory_equal(out, sealed, sealed_len);
		assert_int_equal(impl->open(key->state, out, out, len, ad.data, ad.len, nonce.data), 0);
		assert_memory_equal(out, msg.data, len);
		memset(out, 0, sealed_len);
		assert_int_equal(impl->open(key->state, out, sealed, len, ad.data, ad.len, nonce.data), 0);
		assert_memory_equal(out, msg.data, len);
	} else {
		assert_true(vectors_is(v, "result", "invalid"));
		assert_int_equal(impl->open(key->state, out, sealed, len, ad.data, ad.len, nonce.data), -EBADMSG);
		if (msg.len == len && len >= 8) /* shorter could be equal by chance */
			assert_memory_not_equal(out, msg.data, len);
		assert_int_equal(impl->open(key->state, sealed, sealed, len, ad.data, ad.len, nonce.data), -EBADMSG);
	}
	free(sealed);
	free(out);
}

static int check_file(const char *file_name, enum aead_suite suite)
{
	struct vectors *v = vectors_open(file_name);
	int n = 0;

	while (vectors_next(v)) {
		uint8_t secret[32];

		vectors_hex_exact(v, "key", secret, sizeof(secret));
		for (size_t i = 0; aead_impl_at(i); i++) {
			struct aead_key key;

			if (aead_impl_at(i)->suite != suite)
				continue;
			assert_int_equal(aead_key_init_with(&key, aead_impl_at(i), secret), 0);
			check_record(v, &key);
			aead_key_wipe(&key);
		}
		n++;
	}
	vectors_close(v);
	return n;
}

static void chacha20_poly1305_agrees_with_published_vectors(void **state)
{
	(void)state;
	assert_int_equal(check_file("wycheproof_chacha20_poly1305.txt", AEAD_CHACHA20_POLY1305), 316);
}

static void aes_256_gcm_agrees_with_published_vectors(void **state)
{
	(void)state;
	if (!aead_impl_of(AEAD_AES_256_GCM))
		skip();
	assert_int_equal(check_file("wycheproof_aes256_gcm.txt", AEAD_AES_256_GCM), 66);
}

static void counter_becomes_the_nonce_that_noise_gives_each_suite(void **state)
{
	static const uint8_t secret[32] = { 7 }, msg[5] = "hello", ad[3] = "adx";
	static const uint8_t little[12] = { 0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1 };
	static const uint8_t big[12] = { 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8 };

	(void)state;
	for (size_t i = 0; aead_impl_at(i); i++) {
		const struct aead_impl *impl = aead_impl_at(i);
		const uint8_t *nonce = impl->suite == AEAD_AES_256_GCM ? big : little;
		uint8_t by_counter[sizeof(msg) + AEAD_TAG_BYTES], by_nonce[sizeof(by_counter)], out[sizeof(msg)];
		struct aead_key key;

		assert_int_equal(aead_key_init_with(&key, impl, secret), 0);
		aead_seal(&key, by_counter, msg, sizeof(msg), ad, sizeof(ad), 0x0102030405060708u);
		impl->seal(key.state, by_nonce, msg, sizeof(msg), ad, sizeof(ad), nonce);
		assert_memory_equal(by_counter, by_nonce, sizeof(by_nonce));
		assert_int_equal(aead_open(&key, out, by_nonce, sizeof(msg), ad, sizeof(ad), 0x0102030405060708u), 0);
		assert_memory_equal(out, msg, sizeof(msg));
		assert_int_equal(aead_open(&key, out, by_nonce, sizeof(msg), ad, sizeof(ad), 0x0102030405060709u),
				 -EBADMSG);
		aead_key_wipe(&key);
	}
}

/* Around every block size that an implementation may treat apart. */
static void every_length_opens_and_no_flipped_bit_does(void **state)
{
	static const uint8_t secret[32] = { 42 };
	uint8_t msg[300], ad[8] = { 1, 2, 3 }, sealed[sizeof(msg) + AEAD_TAG_BYTES], out[sizeof(sealed)];

	(void)state;
	for (size_t i = 0; i < sizeof(msg); i++)
		msg[i] = (uint8_t)i;
	for (size_t i = 0; aead_impl_at(i); i++) {
		struct aead_key key;

		assert_int_equal(aead_key_init_with(&key, aead_impl_at(i), secret), 0);
		for (size_t len = 0; len <= sizeof(msg); len++) {
			aead_seal(&key, sealed, msg, len, ad, sizeof(ad), len);
			assert_int_equal(aead_open(&key, out, sealed, len, ad, sizeof(ad), len), 0);
			assert_memory_equal(out, msg, len);
			if (len % 37 != 0)
				continue;
			for (size_t bit = 0; bit < 8 * (len + AEAD_TAG_BYTES); bit++) {
				memcpy(out, sealed, len + AEAD_TAG_BYTES);
				out[bit / 8] ^= (uint8_t)(1 << bit % 8);
				assert_int_equal(aead_open(&key, out, out, len, ad, sizeof(ad), len), -EBADMSG);
			}
			ad[0] ^= 1;
			assert_int_equal(aead_open(&key, out, sealed, len, ad, sizeof(ad), len), -EBADMSG);
			ad[0] ^= 1;
			assert_int_equal(aead_open(&key, out, sealed, len, ad, sizeof(ad) - 1, len), -EBADMSG);
		}
		aead_key_wipe(&key);
	}
}

static void implementations_of_a_suite_give_the_same_bytes(void **state)
{
	static const uint8_t secret[32] = { 9 };
	uint8_t msg[1500] = { 1 }, first[sizeof(msg) + AEAD_TAG_BYTES], sealed[sizeof(first)];

	(void)state;
	for (size_t i = 0; aead_impl_at(i); i++) {
		struct aead_key ours, best;

		assert_int_equal(aead_key_init(&best, aead_impl_at(i)->suite, secret), 0);
		assert_int_equal(aead_key_init_with(&ours, aead_impl_at(i), secret), 0);
		assert_ptr_equal(best.impl, aead_impl_of(aead_impl_at(i)->suite));
		aead_seal(&best, first, msg, sizeof(msg), NULL, 0, 5);
		aead_seal(&ours, sealed, msg, sizeof(msg), NULL, 0, 5);
		assert_memory_equal(first, sealed, sizeof(sealed));
		aead_key_wipe(&best);
		aead_key_wipe(&ours);
	}
}

static void key_state_is_aligned_and_wiping_twice_is_fine(void **state)
{
	static const uint8_t secret[32] = { 3 };

	(void)state;
	for (size_t i = 0; aead_impl_at(i); i++) {
		struct aead_key key;

		assert_int_equal(aead_key_init_with(&key, aead_impl_at(i), secret), 0);
		assert_int_equal((uintptr_t)key.state % 64, 0);
		aead_key_wipe(&key);
		assert_null(key.state);
		aead_key_wipe(&key);
	}
}

static void there_is_no_null_cipher(void **state)
{
	static const uint8_t secret[32] = { 3 };
	struct aead_key key;

	(void)state;
	assert_null(aead_impl_of(AEAD_NONE));
	assert_int_equal(aead_key_init(&key, AEAD_NONE, secret), -ENOTSUP);
	assert_int_equal(aead_key_init(&key, (enum aead_suite)3, secret), -ENOTSUP);
	assert_int_equal(aead_offer() & 1, 0);
	assert_int_equal(aead_suite_from_name("none"), -EINVAL);
	assert_int_equal(aead_suite_from_name(""), -EINVAL);
}

static void suites_have_names(void **state)
{
	(void)state;
	assert_string_equal(aead_suite_name(AEAD_CHACHA20_POLY1305), "chacha20-poly1305");
	assert_string_equal(aead_suite_name(AEAD_AES_256_GCM), "aes-256-gcm");
	assert_string_equal(aead_suite_name(AEAD_NONE), "none");
	assert_string_equal(aead_suite_name((enum aead_suite)77), "none");
	assert_int_equal(aead_suite_from_name("chacha20-poly1305"), AEAD_CHACHA20_POLY1305);
	assert_int_equal(aead_suite_from_name("aes-256-gcm"), AEAD_AES_256_GCM);
}

static void offer_holds_what_this_machine_has(void **state)
{
	const uint16_t chacha = 1 << AEAD_CHACHA20_POLY1305, gcm = 1 << AEAD_AES_256_GCM;

	(void)state;
	assert_int_equal(aead_offer() & chacha, chacha);
	assert_int_equal(aead_offer() & gcm, aead_impl_of(AEAD_AES_256_GCM) ? gcm : 0);
	assert_int_equal(aead_offer() & ~(chacha | gcm), 0);
}

static void choice_is_the_best_of_both_offers(void **state)
{
	const uint16_t chacha = 1 << AEAD_CHACHA20_POLY1305, gcm = 1 << AEAD_AES_256_GCM, unknown = 0xfff8;

	(void)state;
	assert_int_equal(aead_choose(chacha | gcm, chacha | gcm | unknown), AEAD_AES_256_GCM);
	assert_int_equal(aead_choose(chacha | gcm, chacha), AEAD_CHACHA20_POLY1305);
	assert_int_equal(aead_choose(chacha, chacha | gcm), AEAD_CHACHA20_POLY1305);
	assert_int_equal(aead_choose(chacha, gcm), AEAD_NONE);
	assert_int_equal(aead_choose(chacha | gcm, 0), AEAD_NONE);
	assert_int_equal(aead_choose(unknown | 1, unknown | 1), AEAD_NONE); /* bit 0 would be no cipher */
}

static void a_rekey_is_due_well_before_the_limit(void **state)
{
	(void)state;
	assert_true(aead_rekey_after(AEAD_CHACHA20_POLY1305) == UINT64_C(1) << 60);
	assert_true(aead_reject_after(AEAD_CHACHA20_POLY1305) == UINT64_MAX - (1 << 13));
	assert_true(aead_rekey_after(AEAD_AES_256_GCM) * 2048 / 16 == UINT64_C(1) << 34);
	assert_true(aead_reject_after(AEAD_AES_256_GCM) == UINT64_C(1) << 28);
	assert_true(aead_rekey_after(AEAD_AES_256_GCM) < aead_reject_after(AEAD_AES_256_GCM));
	assert_true(aead_reject_after(AEAD_NONE) == 0);
}

static int start(void **state)
{
	(void)state;
	return crypto_start();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chacha20_poly1305_agrees_with_published_vectors),
		cmocka_unit_test(aes_256_gcm_agrees_with_published_vectors),
		cmocka_unit_test(counter_becomes_the_nonce_that_noise_gives_each_suite),
		cmocka_unit_test(every_length_opens_and_no_flipped_bit_does),
		cmocka_unit_test(implementations_of_a_suite_give_the_same_bytes),
		cmocka_unit_test(key_state_is_aligned_and_wiping_twice_is_fine),
		cmocka_unit_test(there_is_no_null_cipher),
		cmocka_unit_test(suites_have_names),
		cmocka_unit_test(offer_holds_what_this_machine_has),
		cmocka_unit_test(choice_is_the_best_of_both_offers),
		cmocka_unit_test(a_rekey_is_due_well_before_the_limit),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
