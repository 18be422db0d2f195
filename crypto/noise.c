/* Names follow the specification: MixHash, MixKey, EncryptAndHash (section 5.2), tokens (section 7.4).
 *
 *	IKpsk2:  <- s  ...  -> e, es, s, ss  <- e, ee, se, psk
 *
 * A handshake with a psk mixes each ephemeral public key into the chaining key too (section 9.2). */
#include "crypto/noise.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include <sodium.h>

#define HASH_BYTES 32

static_assert(HASH_BYTES == crypto_hash_sha256_BYTES && HASH_BYTES == crypto_auth_hmacsha256_BYTES, "SHA-256");
static_assert(NOISE_TAG_BYTES == crypto_aead_chacha20poly1305_ietf_ABYTES, "tag");

/* Offsets in message 1; message 2 is e, payload, tag. */
#define MESSAGE_1_STATIC KEY_BYTES
#define MESSAGE_1_PAYLOAD (KEY_BYTES + KEY_BYTES + NOISE_TAG_BYTES)

static const char protocol_name[] = "Noise_IKpsk2_25519_ChaChaPoly_SHA256";

struct span {
	const void *data;
	size_t len;
};

/* HMAC-SHA256 over one or two pieces. */
static void hmac(uint8_t out[HASH_BYTES], const uint8_t key[HASH_BYTES], struct span a, struct span b)
{
	crypto_auth_hmacsha256_state state;

	crypto_auth_hmacsha256_init(&state, key, HASH_BYTES);
	if (a.len > 0)
		crypto_auth_hmacsha256_update(&state, a.data, a.len);
	if (b.len > 0)
		crypto_auth_hmacsha256_update(&state, b.data, b.len);
	crypto_auth_hmacsha256_final(&state, out);
	sodium_memzero(&state, sizeof(state));
}

/* HKDF with two or three outputs (out3 NULL). Outputs may be the chaining key itself. */
static void hkdf(uint8_t out1[HASH_BYTES], uint8_t out2[HASH_BYTES], uint8_t *out3, const uint8_t ck[HASH_BYTES],
		 struct span input)
{
	static const uint8_t one = 1, two = 2, three = 3;
	const struct span none = { NULL, 0 };
	uint8_t temp[HASH_BYTES], previous[HASH_BYTES];

	hmac(temp, ck, input, none);
	hmac(previous, temp, none, (struct span){ &one, 1 });
	memcpy(out1, previous, HASH_BYTES);
	hmac(previous, temp, (struct span){ previous, HASH_BYTES }, (struct span){ &two, 1 });
	memcpy(out2, previous, HASH_BYTES);
	if (out3)
		hmac(out3, temp, (struct span){ previous, HASH_BYTES }, (struct span){ &three, 1 });
	sodium_memzero(temp, sizeof(temp));
	sodium_memzero(previous, sizeof(previous));
}

void noise_hkdf2(uint8_t out1[static 32], uint8_t out2[static 32], const uint8_t chaining_key[static 32],
		 const void *input, size_t len)
{
	hkdf(out1, out2, NULL, chaining_key, (struct span){ input, len });
}

static void mix_hash(struct noise *n, const void *data, size_t len)
{
	crypto_hash_sha256_state state;

	crypto_hash_sha256_init(&state);
	crypto_hash_sha256_update(&state, n->h, sizeof(n->h));
	if (len > 0)
		crypto_hash_sha256_update(&state, data, len);
	crypto_hash_sha256_final(&state, n->h);
}

static void mix_key(struct noise *n, const uint8_t input[KEY_BYTES])
{
	hkdf(n->ck, n->k, NULL, n->ck, (struct span){ input, KEY_BYTES });
	n->n = 0;
}

static void mix_key_and_hash(struct noise *n, const struct psk *psk)
{
	uint8_t temp_h[HASH_BYTES];

	hkdf(n->ck, temp_h, n->k, n->ck, (struct span){ psk->b, sizeof(psk->b) });
	n->n = 0;
	mix_hash(n, temp_h, sizeof(temp_h));
	sodium_memzero(temp_h, sizeof(temp_h));
}

static int mix_dh(struct noise *n, const struct seckey *sec, const struct pubkey *pub)
{
	uint8_t shared[KEY_BYTES];
	int ret = key_dh(shared, sec, pub);

	if (ret == 0)
		mix_key(n, shared);
	sodium_memzero(shared, sizeof(shared));
	return ret;
}

static void mix_ephemeral(struct noise *n, const struct pubkey *e)
{
	mix_hash(n, e->b, sizeof(e->b));
	mix_key(n, e->b);
}

static void nonce_of(uint8_t nonce[12], uint64_t counter)
{
	memset(nonce, 0, 4);
	for (unsigned int i = 0; i < 8; i++)
		nonce[4 + i] = (uint8_t)(counter >> (8 * i));
}

/* Writes len + NOISE_TAG_BYTES bytes. */
static void encrypt_and_hash(struct noise *n, uint8_t *out, const uint8_t *in, size_t len)
{
	uint8_t nonce[12];

	nonce_of(nonce, n->n++);
	crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, in, len, n->h, sizeof(n->h), NULL, nonce, n->k);
	mix_hash(n, out, len + NOISE_TAG_BYTES);
}

/* Reads len + NOISE_TAG_BYTES bytes. */
static int decrypt_and_hash(struct noise *n, uint8_t *out, const uint8_t *in, size_t len)
{
	uint8_t nonce[12];

	nonce_of(nonce, n->n++);
	if (crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, in, len + NOISE_TAG_BYTES, n->h, sizeof(n->h),
						      nonce, n->k) != 0)
		return -EBADMSG;
	mix_hash(n, in, len + NOISE_TAG_BYTES);
	return 0;
}

/* Both sides start alike: the responder's static key is known beforehand. */
static void init_common(struct noise *n, const struct seckey *s, const struct pubkey *s_pub, const struct psk *psk,
			const void *prologue, size_t len, const struct pubkey *responder)
{
	static_assert(sizeof(protocol_name) - 1 > HASH_BYTES, "a longer name is hashed, a shorter one padded");

	memset(n, 0, sizeof(*n));
	crypto_hash_sha256(n->h, (const uint8_t *)protocol_name, sizeof(protocol_name) - 1);
	memcpy(n->ck, n->h, sizeof(n->ck));
	n->s = *s;
	n->s_pub = *s_pub;
	if (psk)
		n->psk = *psk;
	mix_hash(n, prologue, len);
	mix_hash(n, responder->b, sizeof(responder->b));
}

int noise_init_initiator(struct noise *n, const struct seckey *s, const struct pubkey *s_pub, const struct pubkey *rs,
			 const struct psk *psk, const void *prologue, size_t len)
{
	init_common(n, s, s_pub, psk, prologue, len, rs);
	n->rs = *rs;
	return 0;
}

int noise_init_responder(struct noise *n, const struct seckey *s, const struct pubkey *s_pub, const struct psk *psk,
			 const void *prologue, size_t len)
{
	init_common(n, s, s_pub, psk, prologue, len, s_pub);
	return 0;
}

void noise_set_psk(struct noise *n, const struct psk *psk)
{
	n->psk = *psk;
}

/* Token e of the writing side. */
static int write_ephemeral(struct noise *n, const struct seckey *ephemeral, uint8_t out[KEY_BYTES])
{
	int ret = pubkey_of(&n->e_pub, ephemeral);

	if (ret < 0)
		return ret;
	n->e = *ephemeral;
	memcpy(out, n->e_pub.b, KEY_BYTES);
	mix_ephemeral(n, &n->e_pub);
	return 0;
}

static void read_ephemeral(struct noise *n, const uint8_t *msg)
{
	memcpy(n->re.b, msg, KEY_BYTES);
	mix_ephemeral(n, &n->re);
}

int noise_write_1(struct noise *n, const struct seckey *ephemeral, uint8_t *out, const uint8_t *payload, size_t len)
{
	int ret = write_ephemeral(n, ephemeral, out);

	if (ret < 0)
		return ret;
	ret = mix_dh(n, &n->e, &n->rs); /* es */
	if (ret < 0)
		return ret;
	encrypt_and_hash(n, out + MESSAGE_1_STATIC, n->s_pub.b, KEY_BYTES);
	ret = mix_dh(n, &n->s, &n->rs); /* ss */
	if (ret < 0)
		return ret;
	encrypt_and_hash(n, out + MESSAGE_1_PAYLOAD, payload, len);
	return 0;
}

/* The reading halves work on a copy, so that what does not authenticate leaves no trace. A low-order key from the
 * network is one more way not to authenticate. */

static int read_1_static(struct noise *n, const uint8_t *msg)
{
	read_ephemeral(n, msg);
	if (mix_dh(n, &n->s, &n->re) < 0) /* es */
		return -EBADMSG;
	return decrypt_and_hash(n, n->rs.b, msg + MESSAGE_1_STATIC, KEY_BYTES);
}

int noise_read_1_static(struct noise *n, struct pubkey *initiator, const uint8_t *msg, size_t len)
{
	struct noise next = *n;
	int ret = -EBADMSG;

	if (len >= NOISE_MESSAGE_1_BYTES)
		ret = read_1_static(&next, msg);
	if (ret == 0) {
		*n = next;
		*initiator = n->rs;
	}
	noise_wipe(&next);
	return ret;
}

static int read_1_payload(struct noise *n, uint8_t *payload, const uint8_t *msg, size_t len)
{
	if (mix_dh(n, &n->s, &n->rs) < 0) /* ss */
		return -EBADMSG;
	return decrypt_and_hash(n, payload, msg + MESSAGE_1_PAYLOAD, len - NOISE_MESSAGE_1_BYTES);
}

int noise_read_1_payload(struct noise *n, uint8_t *payload, const uint8_t *msg, size_t len)
{
	struct noise next = *n;
	int ret = -EBADMSG;

	if (len >= NOISE_MESSAGE_1_BYTES)
		ret = read_1_payload(&next, payload, msg, len);
	if (ret == 0)
		*n = next;
	noise_wipe(&next);
	return ret;
}

int noise_write_2(struct noise *n, const struct seckey *ephemeral, uint8_t *out, const uint8_t *payload, size_t len)
{
	int ret = write_ephemeral(n, ephemeral, out);

	if (ret < 0)
		return ret;
	ret = mix_dh(n, &n->e, &n->re); /* ee */
	if (ret < 0)
		return ret;
	ret = mix_dh(n, &n->e, &n->rs); /* se */
	if (ret < 0)
		return ret;
	mix_key_and_hash(n, &n->psk);
	encrypt_and_hash(n, out + KEY_BYTES, payload, len);
	return 0;
}

static int read_2(struct noise *n, uint8_t *payload, const uint8_t *msg, size_t len)
{
	read_ephemeral(n, msg);
	if (mix_dh(n, &n->e, &n->re) < 0) /* ee */
		return -EBADMSG;
	if (mix_dh(n, &n->s, &n->re) < 0) /* se */
		return -EBADMSG;
	mix_key_and_hash(n, &n->psk);
	return decrypt_and_hash(n, payload, msg + KEY_BYTES, len - NOISE_MESSAGE_2_BYTES);
}

int noise_read_2(struct noise *n, uint8_t *payload, const uint8_t *msg, size_t len)
{
	struct noise next = *n;
	int ret = -EBADMSG;

	if (len >= NOISE_MESSAGE_2_BYTES)
		ret = read_2(&next, payload, msg, len);
	if (ret == 0)
		*n = next;
	noise_wipe(&next);
	return ret;
}

void noise_split(struct noise *n, uint8_t to_responder[static 32], uint8_t to_initiator[static 32])
{
	uint8_t h[HASH_BYTES];

	hkdf(to_responder, to_initiator, NULL, n->ck, (struct span){ NULL, 0 });
	memcpy(h, n->h, sizeof(h));
	noise_wipe(n);
	memcpy(n->h, h, sizeof(h));
}

void noise_wipe(struct noise *n)
{
	sodium_memzero(n, sizeof(*n));
}
