/* crypto/mac.h - mac1, mac2 and cookies of the handshake, as in WireGuard (whitepaper sections 5.4.4, 5.4.7)
 *
 * Keyed BLAKE2b with 16 bytes out in place of BLAKE2s (libsodium has no BLAKE2s); XChaCha20-Poly1305 seals the
 * cookie.  Thread: any. */
#ifndef CRYPTO_MAC_H
#define CRYPTO_MAC_H

#include "crypto/key.h"

#define MAC_BYTES 16
#define COOKIE_BYTES 16
#define COOKIE_NONCE_BYTES 24
#define COOKIE_SEALED_BYTES (COOKIE_BYTES + 16)

struct mac_key { /* derived from a public key: what proves that the sender knows it */
	uint8_t b[32];
};

void mac1_key(struct mac_key *out, const struct pubkey *receiver);   /* label "mac1----" */
void cookie_key(struct mac_key *out, const struct pubkey *receiver); /* label "cookie--" */
void mac_compute(uint8_t out[static MAC_BYTES], const uint8_t *key, size_t key_len, const void *msg, size_t len);
bool mac_equal(const uint8_t a[static MAC_BYTES], const uint8_t b[static MAC_BYTES]); /* constant time */

/* The cookie of a source: mac of its address bytes under a secret that changes every 2 minutes. */
void cookie_make(uint8_t out[static COOKIE_BYTES], const uint8_t secret[static 32], const void *source, size_t len);
void cookie_seal(uint8_t out[static COOKIE_SEALED_BYTES], const uint8_t nonce[static COOKIE_NONCE_BYTES],
		 const struct mac_key *key, const uint8_t cookie[static COOKIE_BYTES],
		 const uint8_t mac1[static MAC_BYTES]);
int cookie_unseal(uint8_t out[static COOKIE_BYTES], const uint8_t nonce[static COOKIE_NONCE_BYTES],
		  const struct mac_key *key, const uint8_t sealed[static COOKIE_SEALED_BYTES],
		  const uint8_t mac1[static MAC_BYTES]); /* -EBADMSG */

/* Short tag of a relay header: SipHash-2-4 under 16 bytes of key. */
#define SHORT_TAG_BYTES 8
#define SHORT_KEY_BYTES 16
void short_tag(uint8_t out[static SHORT_TAG_BYTES], const uint8_t key[static SHORT_KEY_BYTES], const void *msg,
	       size_t len);
bool short_tag_equal(const uint8_t a[static SHORT_TAG_BYTES], const uint8_t b[static SHORT_TAG_BYTES]);

/* BLAKE2b of `len` bytes, 32 out; for derived identifiers. */
void hash_bytes(uint8_t out[static 32], const void *msg, size_t len);

#endif
