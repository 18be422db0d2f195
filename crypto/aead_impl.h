/* crypto/aead_impl.h - the implementations that aead.c chooses from; for this directory only */
#ifndef CRYPTO_AEAD_IMPL_H
#define CRYPTO_AEAD_IMPL_H

#include "crypto/aead.h"

/* aead.c: is the word in WARREN_DISABLE? */
bool aead_is_disabled(const char *word);

/* aead_sodium.c */
extern const struct aead_impl aead_sodium_chacha20_poly1305;
extern const struct aead_impl aead_sodium_aes_256_gcm;

/* aead_ipsec_mb.c, which is built where HAVE_IPSEC_MB is defined */
extern const struct aead_impl aead_ipsec_mb_chacha20_poly1305;
extern const struct aead_impl aead_ipsec_mb_aes_256_gcm;

#endif
