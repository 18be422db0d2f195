/* crypto/key.h - key types and their text form
 *
 * Keys are types, so that the compiler sees a swap. Text is standard base64 with padding, 44 characters.
 * Secrets are wiped by their owner with key_wipe().  Thread: any. */
#ifndef CRYPTO_KEY_H
#define CRYPTO_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEY_BYTES 32
#define KEY_TEXT_BYTES 45 /* with the NUL */

struct pubkey { /* X25519 */
	uint8_t b[KEY_BYTES];
};
struct seckey { /* X25519 */
	uint8_t b[KEY_BYTES];
};
struct psk {
	uint8_t b[KEY_BYTES]; /* all zero: none */
};

/* sodium_init() and the choice of AEAD implementations; once, before anything else here. Negative errno. */
int crypto_start(void);

void seckey_generate(struct seckey *out);
int pubkey_of(struct pubkey *out, const struct seckey *sec); /* -EINVAL */
/* X25519; -EINVAL when the result is all zero (a low-order public key). */
int key_dh(uint8_t out[static KEY_BYTES], const struct seckey *sec, const struct pubkey *pub);

bool pubkey_equal(const struct pubkey *a, const struct pubkey *b);
const char *pubkey_to_text(const struct pubkey *key, char out[static KEY_TEXT_BYTES]);
const char *seckey_to_text(const struct seckey *key, char out[static KEY_TEXT_BYTES]);
/* `len` excludes any NUL; surrounding white space is not allowed. -EINVAL. */
int pubkey_from_text(struct pubkey *out, const char *text, size_t len);
int seckey_from_text(struct seckey *out, const char *text, size_t len);
int psk_from_text(struct psk *out, const char *text, size_t len); /* also -EINVAL for zeros, which would mean none */

void key_wipe(void *secret, size_t len);
/* Where a key stays for long: neither in swap nor in a core dump, as far as RLIMIT_MEMLOCK lets. key_unlock wipes too. */
void key_lock(void *secret, size_t len);
void key_unlock(void *secret, size_t len);

#endif
