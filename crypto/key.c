#include "crypto/key.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include <sodium.h>

static_assert(KEY_BYTES == crypto_scalarmult_BYTES && KEY_BYTES == crypto_scalarmult_SCALARBYTES, "X25519 keys");
static_assert(KEY_TEXT_BYTES == sodium_base64_ENCODED_LEN(KEY_BYTES, sodium_base64_VARIANT_ORIGINAL), "text form");

int crypto_start(void)
{
	/* Which AEAD implementations there are is found out by sodium_init(); aead.c asks it from then on. */
	return sodium_init() < 0 ? -EIO : 0;
}

void seckey_generate(struct seckey *out)
{
	randombytes_buf(out->b, sizeof(out->b));
	/* RFC 7748 section 5. The function does this to its input anyway; stored so, the text compares equal to
	 * what other tools make of it. */
	out->b[0] &= 248;
	out->b[31] = (uint8_t)((out->b[31] & 127) | 64);
}

int pubkey_of(struct pubkey *out, const struct seckey *sec)
{
	struct pubkey pub;

	if (crypto_scalarmult_base(pub.b, sec->b) != 0)
		return -EINVAL;
	*out = pub;
	return 0;
}

int key_dh(uint8_t out[static KEY_BYTES], const struct seckey *sec, const struct pubkey *pub)
{
	uint8_t shared[KEY_BYTES];
	int ret = 0;

	if (crypto_scalarmult(shared, sec->b, pub->b) != 0)
		ret = -EINVAL;
	else
		memcpy(out, shared, sizeof(shared));
	sodium_memzero(shared, sizeof(shared));
	return ret;
}

bool pubkey_equal(const struct pubkey *a, const struct pubkey *b)
{
	return sodium_memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

static const char *to_text(const uint8_t key[KEY_BYTES], char out[KEY_TEXT_BYTES])
{
	return sodium_bin2base64(out, KEY_TEXT_BYTES, key, KEY_BYTES, sodium_base64_VARIANT_ORIGINAL);
}

const char *pubkey_to_text(const struct pubkey *key, char out[static KEY_TEXT_BYTES])
{
	return to_text(key->b, out);
}

const char *seckey_to_text(const struct seckey *key, char out[static KEY_TEXT_BYTES])
{
	return to_text(key->b, out);
}

/* Constant time for well-formed text. libsodium also refuses missing padding and bits past the last byte, so that
 * a key has one text only. */
static int from_text(uint8_t out[KEY_BYTES], const char *text, size_t len)
{
	uint8_t bin[KEY_BYTES];
	unsigned int seen = 0;
	size_t bin_len = 0;
	int ret = -EINVAL;

	if (len != KEY_TEXT_BYTES - 1)
		return -EINVAL;
	/* libsodium 1.0.18 takes some bytes above 127 for letters, where char is signed. */
	for (size_t i = 0; i < len; i++)
		seen |= (unsigned char)text[i];
	if (seen > 127)
		return -EINVAL;
	if (sodium_base642bin(bin, sizeof(bin), text, len, NULL, &bin_len, NULL, sodium_base64_VARIANT_ORIGINAL) == 0 &&
	    bin_len == sizeof(bin)) {
		memcpy(out, bin, sizeof(bin));
		ret = 0;
	}
	sodium_memzero(bin, sizeof(bin));
	return ret;
}

int pubkey_from_text(struct pubkey *out, const char *text, size_t len)
{
	return from_text(out->b, text, len);
}

int seckey_from_text(struct seckey *out, const char *text, size_t len)
{
	return from_text(out->b, text, len);
}

int psk_from_text(struct psk *out, const char *text, size_t len)
{
	struct psk psk;
	int ret = from_text(psk.b, text, len);

	if (ret == 0 && sodium_is_zero(psk.b, sizeof(psk.b)))
		ret = -EINVAL;
	if (ret == 0)
		*out = psk;
	sodium_memzero(&psk, sizeof(psk));
	return ret;
}

void key_wipe(void *secret, size_t len)
{
	sodium_memzero(secret, len);
}

void key_lock(void *secret, size_t len)
{
	(void)sodium_mlock(secret, len); /* also MADV_DONTDUMP */
}

void key_unlock(void *secret, size_t len)
{
	(void)sodium_munlock(secret, len);
}
