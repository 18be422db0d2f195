#include "crypto/aead_impl.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include <sodium.h>

static_assert(crypto_aead_chacha20poly1305_ietf_ABYTES == AEAD_TAG_BYTES, "tag");
static_assert(crypto_aead_aes256gcm_ABYTES == AEAD_TAG_BYTES, "tag");

static bool chacha_is_available(void)
{
	return true;
}

static void chacha_expand(void *state, const uint8_t key[32])
{
	memcpy(state, key, crypto_aead_chacha20poly1305_ietf_KEYBYTES);
}

static void chacha_seal(const void *state, uint8_t *out, const uint8_t *in, size_t len, const uint8_t *ad,
			size_t ad_len, const uint8_t nonce[12])
{
	crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, in, len, ad, ad_len, NULL, nonce, state);
}

static int chacha_open(const void *state, uint8_t *out, const uint8_t *in, size_t len, const uint8_t *ad, size_t ad_len,
		       const uint8_t nonce[12])
{
	if (crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, in, len + AEAD_TAG_BYTES, ad, ad_len, nonce,
						      state) != 0)
		return -EBADMSG;
	return 0;
}

const struct aead_impl aead_sodium_chacha20_poly1305 = {
	.name = "libsodium",
	.suite = AEAD_CHACHA20_POLY1305,
	.state_bytes = crypto_aead_chacha20poly1305_ietf_KEYBYTES,
	.is_available = chacha_is_available,
	.expand = chacha_expand,
	.seal = chacha_seal,
	.open = chacha_open,
};

static bool gcm_is_available(void)
{
	return crypto_aead_aes256gcm_is_available() == 1 && !aead_is_disabled("aes");
}

static void gcm_expand(void *state, const uint8_t key[32])
{
	crypto_aead_aes256gcm_beforenm(state, key);
}

static void gcm_seal(const void *state, uint8_t *out, const uint8_t *in, size_t len, const uint8_t *ad, size_t ad_len,
		     const uint8_t nonce[12])
{
	crypto_aead_aes256gcm_encrypt_afternm(out, NULL, in, len, ad, ad_len, NULL, nonce, state);
}

static int gcm_open(const void *state, uint8_t *out, const uint8_t *in, size_t len, const uint8_t *ad, size_t ad_len,
		    const uint8_t nonce[12])
{
	if (crypto_aead_aes256gcm_decrypt_afternm(out, NULL, NULL, in, len + AEAD_TAG_BYTES, ad, ad_len, nonce,
						  state) != 0)
		return -EBADMSG;
	return 0;
}

const struct aead_impl aead_sodium_aes_256_gcm = {
	.name = "libsodium",
	.suite = AEAD_AES_256_GCM,
	.state_bytes = sizeof(crypto_aead_aes256gcm_state),
	.is_available = gcm_is_available,
	.expand = gcm_expand,
	.seal = gcm_seal,
	.open = gcm_open,
};
