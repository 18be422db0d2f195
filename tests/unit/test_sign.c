#include "tests/unit/wire_checks.h"
#include "crypto/sign.h"

/* RFC 8032 section 7.1, TEST 1: the key pair. */
static void public_half_is_ed25519s(void **state)
{
	static const uint8_t seed[] = { 0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a,
					0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32,
					0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60 };
	static const uint8_t public[] = { 0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe,
					  0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6,
					  0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a };
	struct signkey key;
	struct verifykey out;

	(void)state;
	memcpy(key.b, seed, sizeof(seed));
	verifykey_of(&out, &key);
	assert_memory_equal(out.b, public, sizeof(public));
}

static void signature_is_good_for_its_message_key_and_purpose_only(void **state)
{
	uint8_t signature[SIGNATURE_BYTES];
	struct signkey key, other_key;
	struct verifykey public, other;

	(void)state;
	signkey_generate(&key);
	signkey_generate(&other_key);
	verifykey_of(&public, &key);
	verifykey_of(&other, &other_key);
	assert_int_equal(sign_make(signature, &key, "test-1", "message", 7), 0);
	assert_true(sign_is_good(signature, &public, "test-1", "message", 7));
	assert_false(sign_is_good(signature, &public, "test-2", "message", 7));
	assert_false(sign_is_good(signature, &public, "test-1", "messag", 6));
	assert_false(sign_is_good(signature, &other, "test-1", "message", 7));
	for (unsigned bit = 0; bit < SIGNATURE_BYTES * 8; bit++) {
		signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(sign_is_good(signature, &public, "test-1", "message", 7));
		signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

/* "ab" + "c" is not "a" + "bc": a purpose ends where it ends. */
static void purpose_cannot_run_into_the_message(void **state)
{
	uint8_t signature[SIGNATURE_BYTES];
	struct verifykey public;
	struct signkey key;

	(void)state;
	signkey_generate(&key);
	verifykey_of(&public, &key);
	assert_int_equal(sign_make(signature, &key, "ab", "c", 1), 0);
	assert_false(sign_is_good(signature, &public, "a", "bc", 2));
	assert_false(sign_is_good(signature, &public, "abc", "", 0));
}

static void message_that_is_too_long_is_refused(void **state)
{
	uint8_t signature[SIGNATURE_BYTES], message[SIGN_MESSAGE_MAX_BYTES] = { 0 };
	struct verifykey public;
	struct signkey key;

	(void)state;
	signkey_generate(&key);
	verifykey_of(&public, &key);
	assert_int_equal(sign_make(signature, &key, "p", message, sizeof(message) - 2), 0);
	assert_true(sign_is_good(signature, &public, "p", message, sizeof(message) - 2));
	assert_int_equal(sign_make(signature, &key, "p", message, sizeof(message) - 1), -EMSGSIZE);
	assert_false(sign_is_good(signature, &public, "p", message, sizeof(message) - 1));
}

static void text_comes_back(void **state)
{
	char text[KEY_TEXT_BYTES];
	struct signkey key, back;
	struct verifykey public, public_back;

	(void)state;
	signkey_generate(&key);
	verifykey_of(&public, &key);
	assert_int_equal(signkey_from_text(&back, signkey_to_text(&key, text), KEY_TEXT_BYTES - 1), 0);
	assert_memory_equal(key.b, back.b, sizeof(key.b));
	assert_int_equal(verifykey_from_text(&public_back, verifykey_to_text(&public, text), KEY_TEXT_BYTES - 1), 0);
	assert_true(verifykey_equal(&public, &public_back));
	assert_int_equal(verifykey_from_text(&public_back, text, KEY_TEXT_BYTES - 2), -EINVAL);
	assert_int_equal(signkey_from_text(&back, "", 0), -EINVAL);
}

static int start(void **state)
{
	(void)state;
	return crypto_start();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(public_half_is_ed25519s),
		cmocka_unit_test(signature_is_good_for_its_message_key_and_purpose_only),
		cmocka_unit_test(purpose_cannot_run_into_the_message),
		cmocka_unit_test(message_that_is_too_long_is_refused),
		cmocka_unit_test(text_comes_back),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
