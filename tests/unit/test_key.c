#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/key.h"
#include "tests/unit/vectors.h"

static int start(void **state)
{
	(void)state;
	return crypto_start();
}

static void starting_twice_does_no_harm(void **state)
{
	(void)state;
	assert_int_equal(crypto_start(), 0);
}

static void x25519_agrees_with_published_vectors(void **state)
{
	struct vectors *v = vectors_open("wycheproof_x25519.txt");
	int n_shared = 0, n_rejected = 0;

	(void)state;
	while (vectors_next(v)) {
		uint8_t out[KEY_BYTES], untouched[KEY_BYTES], expected[KEY_BYTES];
		struct seckey sec;
		struct pubkey pub;

		vectors_hex_exact(v, "private", sec.b, sizeof(sec.b));
		vectors_hex_exact(v, "public", pub.b, sizeof(pub.b));
		vectors_hex_exact(v, "shared", expected, sizeof(expected));
		memset(out, 0x5a, sizeof(out));
		memset(untouched, 0x5a, sizeof(untouched));
		if (vectors_is(v, "expect", "reject")) {
			assert_int_equal(key_dh(out, &sec, &pub), -EINVAL);
			assert_memory_equal(out, untouched, sizeof(out));
			n_rejected++;
		} else {
			assert_true(vectors_is(v, "expect", "shared"));
			assert_int_equal(key_dh(out, &sec, &pub), 0);
			assert_memory_equal(out, expected, sizeof(out));
			n_shared++;
		}
	}
	vectors_close(v);
	assert_int_equal(n_rejected, 31);
	assert_int_equal(n_shared, 518 - 31);
}

/* RFC 7748 section 6.1 */
static void public_key_of_the_rfc_is_computed(void **state)
{
	static const struct seckey alice = { { 0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d, 0x3c, 0x16, 0xc1,
					       0x72, 0x51, 0xb2, 0x66, 0x45, 0xdf, 0x4c, 0x2f, 0x87, 0xeb, 0xc0,
					       0x99, 0x2a, 0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9, 0x2c, 0x2a } };
	static const struct pubkey expected = { { 0x85, 0x20, 0xf0, 0x09, 0x89, 0x30, 0xa7, 0x54, 0x74, 0x8b, 0x7d,
						  0xdc, 0xb4, 0x3e, 0xf7, 0x5a, 0x0d, 0xbf, 0x3a, 0x0d, 0x26, 0x38,
						  0x1a, 0xf4, 0xeb, 0xa4, 0xa9, 0x8e, 0xaa, 0x9b, 0x4e, 0x6a } };
	struct pubkey pub;

	(void)state;
	assert_int_equal(pubkey_of(&pub, &alice), 0);
	assert_true(pubkey_equal(&pub, &expected));
	pub.b[31] ^= 1;
	assert_false(pubkey_equal(&pub, &expected));
}

static void generated_keys_differ_agree_and_are_clamped(void **state)
{
	struct seckey a, b;
	struct pubkey a_pub, b_pub;
	uint8_t ab[KEY_BYTES], ba[KEY_BYTES];

	(void)state;
	seckey_generate(&a);
	seckey_generate(&b);
	assert_memory_not_equal(a.b, b.b, sizeof(a.b));
	assert_int_equal(a.b[0] & 7, 0);
	assert_int_equal(a.b[31] & 0xc0, 0x40);
	assert_int_equal(pubkey_of(&a_pub, &a), 0);
	assert_int_equal(pubkey_of(&b_pub, &b), 0);
	assert_int_equal(key_dh(ab, &a, &b_pub), 0);
	assert_int_equal(key_dh(ba, &b, &a_pub), 0);
	assert_memory_equal(ab, ba, sizeof(ab));
}

static void text_form_goes_there_and_back(void **state)
{
	(void)state;
	for (int i = 0; i < 200; i++) {
		struct seckey sec, sec_back;
		struct pubkey pub, pub_back;
		char text[KEY_TEXT_BYTES];

		seckey_generate(&sec);
		assert_int_equal(pubkey_of(&pub, &sec), 0);
		assert_ptr_equal(seckey_to_text(&sec, text), text);
		assert_int_equal(strlen(text), KEY_TEXT_BYTES - 1);
		assert_int_equal(seckey_from_text(&sec_back, text, strlen(text)), 0);
		assert_memory_equal(sec.b, sec_back.b, sizeof(sec.b));
		assert_ptr_equal(pubkey_to_text(&pub, text), text);
		assert_int_equal(pubkey_from_text(&pub_back, text, strlen(text)), 0);
		assert_true(pubkey_equal(&pub, &pub_back));
	}
}

static void refused(const char *text, size_t len)
{
	struct pubkey pub, before;

	memset(&pub, 0x5a, sizeof(pub));
	before = pub;
	assert_int_equal(pubkey_from_text(&pub, text, len), -EINVAL);
	assert_memory_equal(&pub, &before, sizeof(pub));
}

static void what_is_not_exactly_a_key_is_refused(void **state)
{
	static const char good[] = "qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqg=";
	struct pubkey pub;
	char text[64];

	(void)state;
	assert_int_equal(pubkey_from_text(&pub, good, 44), 0);
	for (size_t len = 0; len < 44; len++)
		refused(good, len);
	snprintf(text, sizeof(text), "%s\n", good);
	refused(text, 45);
	refused("", 0);
	refused(" qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqg", 44);  /* white space before */
	refused("qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqg\n", 44); /* after, in the padding's place */
	refused("qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqh=", 44);  /* bits past the last byte */
	refused("qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq==", 44);  /* 31 bytes */
	refused("qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq", 44);  /* 33 bytes */
	refused("qqqq-qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqg=", 44);  /* the alphabet of URLs */
	refused("qqqqqqqqqqqqqqqqqqqq\0qqqqqqqqqqqqqqqqqqqqqg=", 44);
	for (size_t i = 0; i < 44; i++) {
		memcpy(text, good, 44);
		text[i] = '*';
		refused(text, 44);
		for (int byte = 128; byte < 256; byte++) {
			text[i] = (char)byte;
			refused(text, 44);
		}
	}
}

static void a_psk_of_zeros_is_refused(void **state)
{
	static const char zeros[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
	static const char one[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE=";
	struct psk psk;

	(void)state;
	assert_int_equal(psk_from_text(&psk, zeros, 44), -EINVAL);
	assert_int_equal(psk_from_text(&psk, one, 43), -EINVAL);
	assert_int_equal(psk_from_text(&psk, one, 44), 0);
	assert_int_equal(psk.b[31], 1);
}

static void wiping_leaves_zeros(void **state)
{
	static const struct seckey zeros;
	struct seckey key;

	(void)state;
	seckey_generate(&key);
	key_wipe(&key, sizeof(key));
	assert_memory_equal(&key, &zeros, sizeof(key));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starting_twice_does_no_harm),
		cmocka_unit_test(x25519_agrees_with_published_vectors),
		cmocka_unit_test(public_key_of_the_rfc_is_computed),
		cmocka_unit_test(generated_keys_differ_agree_and_are_clamped),
		cmocka_unit_test(text_form_goes_there_and_back),
		cmocka_unit_test(what_is_not_exactly_a_key_is_refused),
		cmocka_unit_test(a_psk_of_zeros_is_refused),
		cmocka_unit_test(wiping_leaves_zeros),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
