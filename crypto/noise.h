/* crypto/noise.h - Noise_IKpsk2_25519_ChaChaPoly_SHA256 (The Noise Protocol Framework, revision 34)
 *
 * The two handshake messages and the split; nothing of warren's own format. Time, indices, macs and retries are
 * other modules'. Ephemeral keys are handed in, so that published vectors can be replayed.
 * A struct noise holds secrets: noise_wipe() it on every way out. After an error of a noise_write_ it is to be wiped,
 * not used on; a noise_read_ that fails leaves it as it was, so that a forged answer does not end a handshake.
 * Payloads: `out`, `payload` and `msg` do not overlap; `psk` may be NULL for none.
 * Thread: any; one struct belongs to one thread.  Errors: -EBADMSG (does not authenticate), -EINVAL. */
#ifndef CRYPTO_NOISE_H
#define CRYPTO_NOISE_H

#include "crypto/key.h"

#define NOISE_TAG_BYTES 16
#define NOISE_MESSAGE_1_BYTES (32 + 32 + 16 + 16) /* e, s, payload tag; plus the payload */
#define NOISE_MESSAGE_2_BYTES (32 + 16)

struct noise {
	uint8_t ck[32], h[32], k[32];
	uint64_t n;
	struct seckey s, e;
	struct pubkey s_pub, e_pub, rs, re;
	struct psk psk;
};

/* Initiator: knows the responder's static key. */
int noise_init_initiator(struct noise *n, const struct seckey *s, const struct pubkey *s_pub, const struct pubkey *rs,
			 const struct psk *psk, const void *prologue, size_t len);
/* Responder: the psk may be set later, before noise_write_2, by noise_set_psk (it may depend on the peer). */
int noise_init_responder(struct noise *n, const struct seckey *s, const struct pubkey *s_pub, const struct psk *psk,
			 const void *prologue, size_t len);
void noise_set_psk(struct noise *n, const struct psk *psk);

/* -> e, es, s, ss, payload. Writes NOISE_MESSAGE_1_BYTES + len bytes to `out`. */
int noise_write_1(struct noise *n, const struct seckey *ephemeral, uint8_t *out, const uint8_t *payload, size_t len);
/* First half of reading message 1: up to the initiator's static key (one DH), so that a stranger costs no more. */
int noise_read_1_static(struct noise *n, struct pubkey *initiator, const uint8_t *msg, size_t len);
/* Second half; writes len - NOISE_MESSAGE_1_BYTES bytes to `payload`. The same `msg` and `len`. */
int noise_read_1_payload(struct noise *n, uint8_t *payload, const uint8_t *msg, size_t len);
/* <- e, ee, se, psk, payload. Writes NOISE_MESSAGE_2_BYTES + len. */
int noise_write_2(struct noise *n, const struct seckey *ephemeral, uint8_t *out, const uint8_t *payload, size_t len);
int noise_read_2(struct noise *n, uint8_t *payload, const uint8_t *msg, size_t len);

/* The transport keys: `to_responder` encrypts what the initiator sends. Wipes *n but for h. */
void noise_split(struct noise *n, uint8_t to_responder[static 32], uint8_t to_initiator[static 32]);
void noise_wipe(struct noise *n);

/* HKDF of Noise section 4.3 with two outputs; also used to derive keys by label. */
void noise_hkdf2(uint8_t out1[static 32], uint8_t out2[static 32], const uint8_t chaining_key[static 32],
		 const void *input, size_t len);

#endif
