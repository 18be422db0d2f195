#include "crypto/mac.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include <sodium.h>

static_assert(COOKIE_NONCE_BYTES == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "XChaCha20 nonce");
static_assert(COOKIE_SEALED_BYTES == COOKIE_BYTES + crypto_aead_xchacha20poly1305_ietf_ABYTES, "sealed cookie");
static_assert(SHORT_TAG_BYTES == crypto_shorthash_siphash24_BYTES, "SipHash-2-4 output");
static_assert(SHORT_KEY_BYTES == crypto_shorthash_siphash24_KEYBYTES, "SipHash-2-4 key");

#define LABEL_BYTES 8

static void labelled_key(struct mac_key *out, const char label[LABEL_BYTES], const struct pubkey *receiver)
{
	uint8_t input[LABEL_BYTES + KEY_BYTES];

	memcpy(input, label, LABEL_BYTES);
	memcpy(input + LABEL_BYTES, receiver->b, KEY_BYTES);
	crypto_generichash(out->b, sizeof(out->b), input, sizeof(input), NULL, 0);
}

void mac1_key(struct mac_key *out, const struct pubkey *receiver)
{
	labelled_key(out, "mac1----", receiver);
}

void cookie_key(struct mac_key *out, const struct pubkey *receiver)
{
	labelled_key(out, "cookie--", receiver);
}

void mac_compute(uint8_t out[static MAC_BYTES], const uint8_t *key, size_t key_len, const void *msg, size_t len)
{
	crypto_generichash(out, MAC_BYTES, msg, len, key, key_len);
}

bool mac_equal(const uint8_t a[static MAC_BYTES], const uint8_t b[static MAC_BYTES])
{
	return sodium_memcmp(a, b, MAC_BYTES) == 0;
}

void cookie_make(uint8_t out[static COOKIE_BYTES], const uint8_t secret[static 32], const void *source, size_t len)
{
	crypto_generichash(out, COOKIE_BYTES, source, len, secret, 32);
}

void cookie_seal(uint8_t out[static COOKIE_SEALED_BYTES], const uint8_t nonce[static COOKIE_NONCE_BYTES],
		 const struct mac_key *key, const uint8_t cookie[static COOKIE_BYTES],
		 const uint8_t mac1[static MAC_BYTES])
{
	crypto_aead_xchacha20poly1305_ietf_encrypt(out, NULL, cookie, COOKIE_BYTES, mac1, MAC_BYTES, NULL, nonce,
						   key->b);
}

int cookie_unseal(uint8_t out[static COOKIE_BYTES], const uint8_t nonce[static COOKIE_NONCE_BYTES],
		  const struct mac_key *key, const uint8_t sealed[static COOKIE_SEALED_BYTES],
		  const uint8_t mac1[static MAC_BYTES])
{
	uint8_t cookie[COOKIE_BYTES];

	if (crypto_aead_xchacha20poly1305_ietf_decrypt(cookie, NULL, NULL, sealed, COOKIE_SEALED_BYTES, mac1, MAC_BYTES,
						       nonce, key->b) != 0)
		return -EBADMSG;
	memcpy(out, cookie, sizeof(cookie));
	sodium_memzero(cookie, sizeof(cookie));
	return 0;
}

void short_tag(uint8_t out[static SHORT_TAG_BYTES], const uint8_t key[static SHORT_KEY_BYTES], const void *msg,
	       size_t len)
{
	crypto_shorthash_siphash24(out, msg, len, key);
}

bool short_tag_equal(const uint8_t a[static SHORT_TAG_BYTES], const uint8_t b[static SHORT_TAG_BYTES])
{
	return sodium_memcmp(a, b, SHORT_TAG_BYTES) == 0;
}

void hash_bytes(uint8_t out[static 32], const void *msg, size_t len)
{
	crypto_generichash(out, 32, msg, len, NULL, 0);
}
