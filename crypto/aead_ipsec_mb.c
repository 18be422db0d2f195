/* intel-ipsec-mb by its direct API, which computes one packet in the call that asks for it.
 *
 * A manager is not for several threads at once, but what is called here never sees one: its functions take the expanded
 * key, which they only read, and a context, which is on the caller's stack. So the manager is made once, for its choice
 * of functions and for its known-answer tests, and freed. (The functions of 1.3 also reset a global error number that
 * is not read here; two threads lose nothing by that: tests/bench/bench_aead.c.) */
#include <assert.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <intel-ipsec-mb.h>
#include <sodium.h>

#include "crypto/aead_impl.h"

#define CHACHA_KEY_BYTES 32

/* Tags are compared with crypto_verify_16(): as constant in time as sodium_memcmp() at a fifth of its 29 ns, where opening
 * a packet takes 240. */
static_assert(AEAD_TAG_BYTES == crypto_verify_16_BYTES, "tag");

/* Written once, before the first is_available() returns, and constant from then on. */
static struct {
	aes_gcm_pre_t gcm_expand;
	aes_gcm_enc_dec_t gcm_seal, gcm_open;
	chacha_poly_init_t chacha_init;
	chacha_poly_enc_dec_update_t chacha_seal, chacha_open;
	chacha_poly_finalize_t chacha_finalize;
} call; /* NULL: not to be used here */
static pthread_once_t chosen = PTHREAD_ONCE_INIT;

/* The known-answer tests walk through the whole library: 3.6 MB of resident code, of which the functions in use are some
 * 100 KB. Segments that cannot be written are handed back; what is called comes back from the page cache. */
static int drop_code(struct dl_phdr_info *object, size_t size, void *arg)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	bool is_it = false;

	(void)size;
	for (unsigned int i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
		uintptr_t begin = object->dlpi_addr + segment->p_vaddr;

		is_it |= segment->p_type == PT_LOAD && (uintptr_t)arg - begin < segment->p_memsz;
	}
	for (unsigned int i = 0; is_it && i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
		uintptr_t begin = (object->dlpi_addr + segment->p_vaddr + page - 1) / page * page;
		uintptr_t end = (object->dlpi_addr + segment->p_vaddr + segment->p_memsz) / page * page;

		if (segment->p_type == PT_LOAD && segment->p_flags == (PF_R | PF_X) && begin < end)
			(void)madvise((void *)begin, end - begin,
				      MADV_DONTNEED); /* NOLINT(performance-no-int-to-ptr) */
	}
	return is_it;
}

static void choose(void)
{
	const uint64_t aes = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ;
	IMB_ARCH arch = IMB_ARCH_NONE;
	IMB_MGR *mgr;

	if (aead_is_disabled("ipsec-mb"))
		return;
	mgr = alloc_mb_mgr(0);
	if (!mgr)
		return;
	init_mb_mgr_auto(mgr, &arch);
	if (imb_get_errno(mgr) != 0 || !(mgr->features & IMB_FEATURE_SELF_TEST_PASS))
		goto out;                   /* an unfit CPU, or wrong answers */
	if ((mgr->features & aes) == aes) { /* else it would be tables: slow, and with the key in their timing */
		call.gcm_expand = mgr->gcm256_pre;
		call.gcm_seal = mgr->gcm256_enc;
		call.gcm_open = mgr->gcm256_dec;
	}
	/* With SSE and AVX alone libsodium is faster above some 1000 bytes, from AVX2 on it never is (bench_aead). */
	if (arch >= IMB_ARCH_AVX2) {
		call.chacha_init = mgr->chacha20_poly1305_init;
		call.chacha_seal = mgr->chacha20_poly1305_enc_update;
		call.chacha_open = mgr->chacha20_poly1305_dec_update;
		call.chacha_finalize = mgr->chacha20_poly1305_finalize;
	}
	dl_iterate_phdr(drop_code, (void *)mgr->gcm256_pre);
out:
	free_mb_mgr(mgr);
}

static bool gcm_is_available(void)
{
	pthread_once(&chosen, choose);
	return call.gcm_seal && !aead_is_disabled("aes");
}

static void gcm_expand(void *state, const uint8_t key[32])
{
	call.gcm_expand(key, state);
}

static void gcm_seal(const void *state, uint8_t *out, const uint8_t *in, size_t len, const uint8_t *ad, size_t ad_len,
		     const uint8_t nonce[12])
{
	struct gcm_context_data ctx;

	call.gcm_seal(state, &ctx, out, in, len, nonce, ad, ad_len, out + len, AEAD_TAG_BYTES);
	sodium_memzero(&ctx, sizeof(ctx));
}

static int gcm_open(const void *state, uint8_t *out, const uint8_t *in, size_t len, const uint8_t *ad, size_t ad_len,
		    const uint8_t nonce[12])
{
	struct {
		struct gcm_context_data ctx;
		uint8_t tag[AEAD_TAG_BYTES]; /* the right one for these bytes, also where they are a forger's */
	} work;
	int ret;

	call.gcm_open(state, &work.ctx, out, in, len, nonce, ad, ad_len, work.tag, sizeof(work.tag));
	ret = crypto_verify_16(work.tag, in + len) == 0 ? 0 : -EBADMSG;
	sodium_memzero(&work, sizeof(work));
	return ret;
}

const struct aead_impl aead_ipsec_mb_aes_256_gcm = {
	.name = "ipsec-mb",
	.suite = AEAD_AES_256_GCM,
	.state_bytes = sizeof(struct gcm_key_data),
	.is_available = gcm_is_available,
	.expand = gcm_expand,
	.seal = gcm_seal,
	.open = gcm_open,
};

static bool chacha_is_available(void)
{
	pthread_once(&chosen, choose);
	return call.chacha_seal != NULL;
}

static void chacha_expand(void *state, const uint8_t key[32])
{
	memcpy(state, key, CHACHA_KEY_BYTES);
}

static void chacha_seal(const void *state, uint8_t *out, const uint8_t *in, size_t len, const uint8_t *ad,
			size_t ad_len, const uint8_t nonce[12])
{
	struct chacha20_poly1305_context_data ctx;

	call.chacha_init(state, &ctx, nonce, ad, ad_len);
	call.chacha_seal(state, &ctx, out, in, len);
	call.chacha_finalize(&ctx, out + len, AEAD_TAG_BYTES);
	sodium_memzero(&ctx, sizeof(ctx));
}

static int chacha_open(const void *state, uint8_t *out, const uint8_t *in, size_t len, const uint8_t *ad, size_t ad_len,
		       const uint8_t nonce[12])
{
	struct {
		struct chacha20_poly1305_context_data ctx;
		uint8_t tag[AEAD_TAG_BYTES];
	} work;
	int ret;

	call.chacha_init(state, &work.ctx, nonce, ad, ad_len);
	call.chacha_open(state, &work.ctx, out, in, len);
	call.chacha_finalize(&work.ctx, work.tag, sizeof(work.tag));
	ret = crypto_verify_16(work.tag, in + len) == 0 ? 0 : -EBADMSG;
	sodium_memzero(&work, sizeof(work));
	return ret;
}

const struct aead_impl aead_ipsec_mb_chacha20_poly1305 = {
	.name = "ipsec-mb",
	.suite = AEAD_CHACHA20_POLY1305,
	.state_bytes = CHACHA_KEY_BYTES,
	.is_available = chacha_is_available,
	.expand = chacha_expand,
	.seal = chacha_seal,
	.open = chacha_open,
};
