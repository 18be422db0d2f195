/* crypto/sign.h - Ed25519 signatures, each for one purpose
 *
 * What is signed is the purpose's name, its NUL, and the message: a signature made for one purpose is none for another. Text is
 * standard base64 with padding, 44 characters, as of the other keys (key.h). Secrets are wiped by their owner with key_wipe().
 * Thread: any.  Follows RFC 8032, with libsodium's refusal of non-canonical and small-order values. */
#ifndef CRYPTO_SIGN_H
#define CRYPTO_SIGN_H

#include "crypto/key.h"

#define SIGNATURE_BYTES 64
/* The longest message, with its purpose. */
#define SIGN_MESSAGE_MAX_BYTES 1024

struct verifykey { /* the public half */
	uint8_t b[KEY_BYTES];
};
struct signkey { /* the secret half: Ed25519's seed */
	uint8_t b[KEY_BYTES];
};

void signkey_generate(struct signkey *out);
void verifykey_of(struct verifykey *out, const struct signkey *key);
bool verifykey_equal(const struct verifykey *a, const struct verifykey *b);

/* -EMSGSIZE past SIGN_MESSAGE_MAX_BYTES. */
int sign_make(uint8_t out[static SIGNATURE_BYTES], const struct signkey *key, const char *purpose, const void *msg,
	      size_t len);
bool sign_is_good(const uint8_t signature[static SIGNATURE_BYTES], const struct verifykey *key, const char *purpose,
		  const void *msg, size_t len);

const char *verifykey_to_text(const struct verifykey *key, char out[static KEY_TEXT_BYTES]);
const char *signkey_to_text(const struct signkey *key, char out[static KEY_TEXT_BYTES]);
int verifykey_from_text(struct verifykey *out, const char *text, size_t len); /* -EINVAL */
int signkey_from_text(struct signkey *out, const char *text, size_t len);

#endif
