#include "crypto/sign.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include <sodium.h>

static_assert(KEY_BYTES == crypto_sign_SEEDBYTES && KEY_BYTES == crypto_sign_PUBLICKEYBYTES, "Ed25519 keys");
static_assert(SIGNATURE_BYTES == crypto_sign_BYTES, "Ed25519 signatures");

void signkey_generate(struct signkey *out)
{
	randombytes_buf(out->b, sizeof(out->b));
}

void verifykey_of(struct verifykey *out, const struct signkey *key)
{
	uint8_t both[crypto_sign_SECRETKEYBYTES];

	crypto_sign_seed_keypair(out->b, both, key->b);
	sodium_memzero(both, sizeof(both));
}

bool verifykey_equal(const struct verifykey *a, const struct verifykey *b)
{
	return sodium_memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

/* The purpose, its NUL, the message: no purpose is the beginning of another. Returns the length, 0 if it is too long. */
static size_t compose(uint8_t out[static SIGN_MESSAGE_MAX_BYTES], const char *purpose, const void *msg, size_t len)
{
	size_t head = strlen(purpose) + 1;

	if (head > SIGN_MESSAGE_MAX_BYTES || len > SIGN_MESSAGE_MAX_BYTES - head)
		return 0;
	memcpy(out, purpose, head);
	memcpy(out + head, msg, len);
	return head + len;
}

int sign_make(uint8_t out[static SIGNATURE_BYTES], const struct signkey *key, const char *purpose, const void *msg,
	      size_t len)
{
	uint8_t whole[SIGN_MESSAGE_MAX_BYTES], both[crypto_sign_SECRETKEYBYTES], public[KEY_BYTES];
	size_t n = compose(whole, purpose, msg, len);

	if (!n)
		return -EMSGSIZE;
	crypto_sign_seed_keypair(public, both, key->b);
	crypto_sign_detached(out, NULL, whole, n, both);
	sodium_memzero(both, sizeof(both));
	return 0;
}

bool sign_is_good(const uint8_t signature[static SIGNATURE_BYTES], const struct verifykey *key, const char *purpose,
		  const void *msg, size_t len)
{
	uint8_t whole[SIGN_MESSAGE_MAX_BYTES];
	size_t n = compose(whole, purpose, msg, len);

	return n && crypto_sign_verify_detached(signature, whole, n, key->b) == 0;
}

/* One text form for all keys: that of key.h. */
static_assert(sizeof(struct verifykey) == sizeof(struct pubkey) && sizeof(struct signkey) == sizeof(struct seckey),
	      "all keys are as long");

const char *verifykey_to_text(const struct verifykey *key, char out[static KEY_TEXT_BYTES])
{
	struct pubkey same;

	memcpy(same.b, key->b, sizeof(same.b));
	return pubkey_to_text(&same, out);
}

const char *signkey_to_text(const struct signkey *key, char out[static KEY_TEXT_BYTES])
{
	struct seckey same;

	memcpy(same.b, key->b, sizeof(same.b));
	seckey_to_text(&same, out);
	key_wipe(&same, sizeof(same));
	return out;
}

int verifykey_from_text(struct verifykey *out, const char *text, size_t len)
{
	struct pubkey same;
	int ret = pubkey_from_text(&same, text, len);

	if (ret == 0)
		memcpy(out->b, same.b, sizeof(out->b));
	return ret;
}

int signkey_from_text(struct signkey *out, const char *text, size_t len)
{
	struct seckey same;
	int ret = seckey_from_text(&same, text, len);

	if (ret == 0)
		memcpy(out->b, same.b, sizeof(out->b));
	key_wipe(&same, sizeof(same));
	return ret;
}
