#include "crypto/channel.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include <sodium.h>

static_assert(CHANNEL_TAG_BYTES == crypto_aead_chacha20poly1305_ietf_ABYTES, "tag");

#define KEY_LEN 32
#define NONCE_LEN 12

void channel_init(struct channel *c, const uint8_t send_key[static 32], const uint8_t recv_key[static 32])
{
	memcpy(c->send_key, send_key, KEY_LEN);
	memcpy(c->recv_key, recv_key, KEY_LEN);
	c->n_sent = 0;
	c->n_received = 0;
}

void channel_wipe(struct channel *c)
{
	sodium_memzero(c, sizeof(*c));
}

/* As Noise has it for ChaChaPoly (revision 34, section 12.3). */
static void nonce_of(uint8_t nonce[NONCE_LEN], uint64_t counter)
{
	memset(nonce, 0, 4);
	for (unsigned int i = 0; i < 8; i++)
		nonce[4 + i] = (uint8_t)(counter >> (8 * i));
}

/* REKEY(k) of Noise, section 4.2: 32 zero bytes encrypted under the nonce 2^64 - 1, which no frame ever has. */
static void ratchet(uint8_t key[KEY_LEN])
{
	static const uint8_t zeros[KEY_LEN];
	uint8_t out[KEY_LEN + CHANNEL_TAG_BYTES], nonce[NONCE_LEN];

	nonce_of(nonce, UINT64_MAX);
	crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, zeros, sizeof(zeros), NULL, 0, NULL, nonce, key);
	memcpy(key, out, KEY_LEN);
	sodium_memzero(out, sizeof(out));
}

size_t channel_seal(struct channel *c, uint8_t *out, const uint8_t *in, size_t len)
{
	uint8_t nonce[NONCE_LEN];

	nonce_of(nonce, c->n_sent);
	crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, in, len, NULL, 0, NULL, nonce, c->send_key);
	if (++c->n_sent % CHANNEL_RATCHET_FRAMES == 0)
		ratchet(c->send_key);
	return len + CHANNEL_TAG_BYTES;
}

int channel_open(struct channel *c, uint8_t *out, const uint8_t *in, size_t len)
{
	uint8_t nonce[NONCE_LEN];

	if (len < CHANNEL_TAG_BYTES || len - CHANNEL_TAG_BYTES > INT_MAX)
		return -EBADMSG;
	nonce_of(nonce, c->n_received);
	if (crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, in, len, NULL, 0, nonce, c->recv_key) != 0)
		return -EBADMSG;
	if (++c->n_received % CHANNEL_RATCHET_FRAMES == 0)
		ratchet(c->recv_key);
	return (int)(len - CHANNEL_TAG_BYTES);
}
