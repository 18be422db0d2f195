/* crypto/channel.h - a sealed, ordered stream of frames (the control connection over TCP)
 *
 * ChaCha20-Poly1305 with an implicit counter each way: a lost, repeated, reordered or altered frame does not open,
 * and the connection is to be closed. Every CHANNEL_RATCHET_FRAMES frames a direction's key is replaced by a
 * one-way function of itself, so that keys read from memory later open nothing sent before.
 * Thread: one at a time. */
#ifndef CRYPTO_CHANNEL_H
#define CRYPTO_CHANNEL_H

#include <stddef.h>
#include <stdint.h>

#define CHANNEL_TAG_BYTES 16
#define CHANNEL_RATCHET_FRAMES 64

struct channel {
	uint8_t send_key[32], recv_key[32];
	uint64_t n_sent, n_received;
};

void channel_init(struct channel *c, const uint8_t send_key[static 32], const uint8_t recv_key[static 32]);
void channel_wipe(struct channel *c);
/* Writes len + CHANNEL_TAG_BYTES; out == in is allowed. Returns that length. */
size_t channel_seal(struct channel *c, uint8_t *out, const uint8_t *in, size_t len);
/* Returns the plaintext's length, or -EBADMSG (the connection is to be closed). In place allowed. */
int channel_open(struct channel *c, uint8_t *out, const uint8_t *in, size_t len);

#endif
