#include "crypto/aead.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/aead_impl.h"
#include "crypto/aead_state.h"
#include "crypto/replay.h"

/* Fastest first within a suite. */
static const struct aead_impl *const impls[] = {
#ifdef HAVE_IPSEC_MB
	&aead_ipsec_mb_aes_256_gcm,
	&aead_ipsec_mb_chacha20_poly1305,
#endif
	&aead_sodium_aes_256_gcm,
	&aead_sodium_chacha20_poly1305,
};

static const char *const suite_names[AEAD_SUITE_COUNT] = {
	[AEAD_CHACHA20_POLY1305] = "chacha20-poly1305",
	[AEAD_AES_256_GCM] = "aes-256-gcm",
};

/* With hardware GCM is the faster one, and without it is not offered at all. */
static const enum aead_suite preference[] = { AEAD_AES_256_GCM, AEAD_CHACHA20_POLY1305 };

bool aead_is_disabled(const char *word)
{
	const char *list = getenv("WARREN_DISABLE");

	while (list && *list) {
		size_t len = strcspn(list, ",");

		if (len == strlen(word) && memcmp(list, word, len) == 0)
			return true;
		list += len;
		list += *list == ',';
	}
	return false;
}

const char *aead_suite_name(enum aead_suite suite)
{
	if ((unsigned int)suite >= AEAD_SUITE_COUNT || !suite_names[suite])
		return "none";
	return suite_names[suite];
}

int aead_suite_from_name(const char *name)
{
	for (int suite = 0; suite < AEAD_SUITE_COUNT; suite++)
		if (suite_names[suite] && strcmp(name, suite_names[suite]) == 0)
			return suite;
	return -EINVAL;
}

const struct aead_impl *aead_impl_of(enum aead_suite suite)
{
	for (size_t i = 0; i < sizeof(impls) / sizeof(impls[0]); i++)
		if (impls[i]->suite == suite && impls[i]->is_available())
			return impls[i];
	return NULL;
}

const struct aead_impl *aead_impl_at(size_t i)
{
	for (size_t k = 0; k < sizeof(impls) / sizeof(impls[0]); k++)
		if (impls[k]->is_available() && i-- == 0)
			return impls[k];
	return NULL;
}

uint16_t aead_offer(void)
{
	unsigned int offer = 0;

	for (size_t i = 0; i < sizeof(preference) / sizeof(preference[0]); i++)
		if (aead_impl_of(preference[i]))
			offer |= 1U << preference[i];
	return (uint16_t)offer;
}

const char *aead_offer_text(uint16_t offer, char out[static AEAD_OFFER_TEXT_BYTES])
{
	size_t len = 0;

	for (size_t i = 0; i < sizeof(preference) / sizeof(preference[0]); i++)
		if (offer & (1U << preference[i]))
			len += (size_t)snprintf(out + len, AEAD_OFFER_TEXT_BYTES - len, "%s%s", len ? ", " : "",
						suite_names[preference[i]]);
	if (len == 0)
		snprintf(out, AEAD_OFFER_TEXT_BYTES, "none");
	return out;
}

enum aead_suite aead_choose(uint16_t ours, uint16_t theirs)
{
	unsigned int both = (unsigned int)ours & theirs;

	for (size_t i = 0; i < sizeof(preference) / sizeof(preference[0]); i++)
		if (both & (1U << preference[i]))
			return preference[i];
	return AEAD_NONE;
}

uint64_t aead_rekey_after(enum aead_suite suite)
{
	switch (suite) {
	case AEAD_CHACHA20_POLY1305:
		return UINT64_C(1) << 60; /* WireGuard's REKEY_AFTER_MESSAGES */
	case AEAD_AES_256_GCM:
		return (UINT64_C(1) << 34) / (2048 / 16);
	case AEAD_NONE:
		break;
	}
	return 0;
}

uint64_t aead_reject_after(enum aead_suite suite)
{
	switch (suite) {
	case AEAD_CHACHA20_POLY1305:
		return REPLAY_COUNTER_LIMIT; /* the receiver takes no more */
	case AEAD_AES_256_GCM:
		return UINT64_C(1) << 28; /* RFC 9001 appendix B.1.1, packets of at most 2^11 bytes */
	case AEAD_NONE:
		break;
	}
	return 0;
}

int aead_key_init_with(struct aead_key *key, const struct aead_impl *impl, const uint8_t secret[static 32])
{
	void *state = aead_state_new(impl->state_bytes);

	if (!state)
		return -ENOMEM;
	impl->expand(state, secret);
	key->impl = impl;
	key->state = state;
	return 0;
}

int aead_key_init(struct aead_key *key, enum aead_suite suite, const uint8_t secret[static 32])
{
	const struct aead_impl *impl = aead_impl_of(suite);

	if (!impl)
		return -ENOTSUP;
	return aead_key_init_with(key, impl, secret);
}

void aead_key_wipe(struct aead_key *key)
{
	if (key->state)
		aead_state_free(key->state, key->impl->state_bytes);
	*key = (struct aead_key){ 0 };
}

static void nonce_of(uint8_t nonce[12], enum aead_suite suite, uint64_t counter)
{
	uint64_t field = suite == AEAD_AES_256_GCM ? htobe64(counter) : htole64(counter);

	memset(nonce, 0, 4);
	memcpy(nonce + 4, &field, sizeof(field));
}

void aead_seal(const struct aead_key *key, uint8_t *out, const uint8_t *in, size_t len, const uint8_t *ad,
	       size_t ad_len, uint64_t counter)
{
	uint8_t nonce[12];

	nonce_of(nonce, key->impl->suite, counter);
	key->impl->seal(key->state, out, in, len, ad, ad_len, nonce);
}

int aead_open(const struct aead_key *key, uint8_t *out, const uint8_t *in, size_t len, const uint8_t *ad, size_t ad_len,
	      uint64_t counter)
{
	uint8_t nonce[12];

	nonce_of(nonce, key->impl->suite, counter);
	return key->impl->open(key->state, out, in, len, ad, ad_len, nonce);
}
