/* crypto/aead.h - the transport AEADs, behind which several implementations give the same bytes
 *
 * A suite is what the handshake negotiates; an implementation is who computes it here: "ipsec-mb" (intel-ipsec-mb,
 * where the build found it and the CPU is fit for it) or "libsodium". The fastest available one is chosen once, when it
 * is first asked for; the environment variable WARREN_DISABLE, a list with commas, may hold "ipsec-mb" by then, or
 * "aes": as if the CPU had no instructions for it.
 * To add one: a file aead_NAME.c with a struct aead_impl, and a line in aead.c's table. There is no null cipher.
 * Nonces: 4 zero bytes, then the 64-bit counter: little-endian for ChaCha20-Poly1305, big-endian for AES-GCM
 * (Noise section 12). A counter is never used twice with one key: the caller's atomic counter sees to it.
 * Thread: a struct aead_key may be used by several threads at once; init and wipe by one, with no user left. */
#ifndef CRYPTO_AEAD_H
#define CRYPTO_AEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AEAD_TAG_BYTES 16

enum aead_suite { /* numbers on the wire: bit (1 << suite) in an offer */
	AEAD_NONE = 0,
	AEAD_CHACHA20_POLY1305 = 1,
	AEAD_AES_256_GCM = 2,
};
#define AEAD_SUITE_COUNT 3

struct aead_impl {
	const char *name; /* "ipsec-mb", "libsodium" */
	enum aead_suite suite;
	size_t state_bytes; /* of the expanded key, 64-byte aligned */
	bool (*is_available)(void);
	void (*expand)(void *state, const uint8_t key[32]);
	/* out gets len + AEAD_TAG_BYTES; out == in is allowed, other overlap is not. */
	void (*seal)(const void *state, uint8_t *out, const uint8_t *in, size_t len, const uint8_t *ad, size_t ad_len,
		     const uint8_t nonce[12]);
	/* in has len + AEAD_TAG_BYTES; out gets len; in place allowed. -EBADMSG: out is not to be used,
	 * it may hold what a forger's bytes decipher to. */
	int (*open)(const void *state, uint8_t *out, const uint8_t *in, size_t len, const uint8_t *ad, size_t ad_len,
		    const uint8_t nonce[12]);
};

struct aead_key {
	const struct aead_impl *impl;
	void *state;
};

const char *aead_suite_name(enum aead_suite suite); /* "aes-256-gcm", "chacha20-poly1305" */
int aead_suite_from_name(const char *name);         /* the suite, or -EINVAL */
/* The implementation in use, NULL if this machine has none for the suite. */
const struct aead_impl *aead_impl_of(enum aead_suite suite);
/* All implementations that are available, for tests that compare them; NULL ends. */
const struct aead_impl *aead_impl_at(size_t i);
/* Offer bits of what this machine does fast enough to want: ChaCha20-Poly1305 always, AES-256-GCM with hardware. */
uint16_t aead_offer(void);
/* "aes-256-gcm, chacha20-poly1305", of the suites known here; "none". Returns out. */
#define AEAD_OFFER_TEXT_BYTES 64
const char *aead_offer_text(uint16_t offer, char out[static AEAD_OFFER_TEXT_BYTES]);
/* The best suite in both offers by our own preference (AES-256-GCM first), AEAD_NONE if there is none. */
enum aead_suite aead_choose(uint16_t ours, uint16_t theirs);
/* Packets one key may seal: a rekey is due at the first, nothing is sealed past the second (SECURITY: GCM at
 * 2^34 blocks of 16 bytes, counted as packets of at most 2048 bytes; ChaCha 2^60). */
uint64_t aead_rekey_after(enum aead_suite suite);
uint64_t aead_reject_after(enum aead_suite suite);

int aead_key_init(struct aead_key *key, enum aead_suite suite, const uint8_t secret[static 32]); /* -ENOTSUP, -ENOMEM */
/* With a given implementation, for tests and benchmarks. */
int aead_key_init_with(struct aead_key *key, const struct aead_impl *impl, const uint8_t secret[static 32]);
void aead_key_wipe(struct aead_key *key); /* a zeroed struct is fine */

/* Lengths and overlap as in struct aead_impl: `len` is the plaintext's, without the tag, of both. */
void aead_seal(const struct aead_key *key, uint8_t *out, const uint8_t *in, size_t len, const uint8_t *ad,
	       size_t ad_len, uint64_t counter);
int aead_open(const struct aead_key *key, uint8_t *out, const uint8_t *in, size_t len, const uint8_t *ad, size_t ad_len,
	      uint64_t counter);

#endif
