#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <sodium.h>

#include "crypto/aead.h"
#include "crypto/key.h"
#include "tests/unit/vectors.h"

static uint8_t *heap_bytes(size_t len)
{
	uint8_t *p = malloc(len > 0 ? len : 1);

	assert_non_null(p);
	return p;
}

/* One record through one implementation, apart and in place. */
static void check_record(struct vectors *v, const struct aead_key *key)
{
	const struct aead_impl *impl = key->impl;
	struct vector_bytes nonce = vectors_hex(v, "nonce"), ad = vectors_hex(v, "aad"), msg = vectors_hex(v, "msg");
	struct vector_bytes ct = vectors_hex(v, "ct"), tag = vectors_hex(v, "tag");
	size_t len = ct.len, sealed_len = len + AEAD_TAG_BYTES;
	uint8_t *sealed = heap_bytes(sealed_len), *out = heap_bytes(sealed_len);

	assert_int_equal(nonce.len, 12);
	assert_int_equal(tag.len, AEAD_TAG_BYTES);
	memcpy(sealed, ct.data, len);
	memcpy(sealed + len, tag.data, tag.len);
	if (vectors_is(v, "result", "valid")) {
		assert_int_equal(msg.len, len);
		impl->seal(key->state, out, msg.data, len, ad.data, ad.len, nonce.data);
		assert_memory_equal(out, sealed, sealed_len);
		memcpy(out, msg.data, len);
		impl->seal(key->state, out, out, len, ad.data, ad.len, nonce.data);
		assert_memory_equal(out, sealed, sealed_len);
		assert_int_equal(impl->open(key->state, out, out, len, ad.data, ad.len, nonce.data), 0);
		assert_memory_equal(out, msg.data, len);
		memset(out, 0, sealed_len);
		assert_int_equal(impl->open(key->state, out, sealed, len, ad.data, ad.len, nonce.data), 0);
		assert_memory_equal(out, msg.data, len);
	} else {
		assert_true(vectors_is(v, "result", "invalid"));
		assert_int_equal(impl->open(key->state, out, sealed, len, ad.data, ad.len, nonce.data), -EBADMSG);
		assert_int_equal(impl->open(key->state, sealed, sealed, len, ad.data, ad.len, nonce.data), -EBADMSG);
	}
	free(sealed);
	free(out);
}

static int check_file(const char *file_name, enum aead_suite suite)
{
	struct vectors *v = vectors_open(file_name);
	int n = 0;

	while (vectors_next(v)) {
		uint8_t secret[32];

		vectors_hex_exact(v, "key", secret, sizeof(secret));
		for (size_t i = 0; aead_impl_at(i); i++) {
			struct aead_key key;

			if (aead_impl_at(i)->suite != suite)
				continue;
			assert_int_equal(aead_key_init_with(&key, aead_impl_at(i), secret), 0);
			check_record(v, &key);
			aead_key_wipe(&key);
		}
		n++;
	}
	vectors_close(v);
	return n;
}

static void chacha20_poly1305_agrees_with_published_vectors(void **state)
{
	(void)state;
	assert_int_equal(check_file("wycheproof_chacha20_poly1305.txt", AEAD_CHACHA20_POLY1305), 316);
}

static void aes_256_gcm_agrees_with_published_vectors(void **state)
{
	(void)state;
	if (!aead_impl_of(AEAD_AES_256_GCM))
		skip();
	assert_int_equal(check_file("wycheproof_aes256_gcm.txt", AEAD_AES_256_GCM), 66);
}

static void counter_becomes_the_nonce_that_noise_gives_each_suite(void **state)
{
	static const uint8_t secret[32] = { 7 }, msg[5] = "hello", ad[3] = "adx";
	static const uint8_t little[12] = { 0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1 };
	static const uint8_t big[12] = { 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8 };

	(void)state;
	for (size_t i = 0; aead_impl_at(i); i++) {
		const struct aead_impl *impl = aead_impl_at(i);
		const uint8_t *nonce = impl->suite == AEAD_AES_256_GCM ? big : little;
		uint8_t by_counter[sizeof(msg) + AEAD_TAG_BYTES], by_nonce[sizeof(by_counter)], out[sizeof(msg)];
		struct aead_key key;

		assert_int_equal(aead_key_init_with(&key, impl, secret), 0);
		aead_seal(&key, by_counter, msg, sizeof(msg), ad, sizeof(ad), 0x0102030405060708u);
		impl->seal(key.state, by_nonce, msg, sizeof(msg), ad, sizeof(ad), nonce);
		assert_memory_equal(by_counter, by_nonce, sizeof(by_nonce));
		assert_int_equal(aead_open(&key, out, by_nonce, sizeof(msg), ad, sizeof(ad), 0x0102030405060708u), 0);
		assert_memory_equal(out, msg, sizeof(msg));
		assert_int_equal(aead_open(&key, out, by_nonce, sizeof(msg), ad, sizeof(ad), 0x0102030405060709u),
				 -EBADMSG);
		aead_key_wipe(&key);
	}
}

/* Around every block size that an implementation may treat apart. */
static void every_length_opens_and_no_flipped_bit_does(void **state)
{
	static const uint8_t secret[32] = { 42 };
	uint8_t msg[300], ad[8] = { 1, 2, 3 }, sealed[sizeof(msg) + AEAD_TAG_BYTES], out[sizeof(sealed)];

	(void)state;
	for (size_t i = 0; i < sizeof(msg); i++)
		msg[i] = (uint8_t)i;
	for (size_t i = 0; aead_impl_at(i); i++) {
		struct aead_key key;

		assert_int_equal(aead_key_init_with(&key, aead_impl_at(i), secret), 0);
		for (size_t len = 0; len <= sizeof(msg); len++) {
			aead_seal(&key, sealed, msg, len, ad, sizeof(ad), len);
			assert_int_equal(aead_open(&key, out, sealed, len, ad, sizeof(ad), len), 0);
			assert_memory_equal(out, msg, len);
			if (len % 37 != 0)
				continue;
			for (size_t bit = 0; bit < 8 * (len + AEAD_TAG_BYTES); bit++) {
				memcpy(out, sealed, len + AEAD_TAG_BYTES);
				out[bit / 8] ^= (uint8_t)(1 << bit % 8);
				assert_int_equal(aead_open(&key, out, out, len, ad, sizeof(ad), len), -EBADMSG);
			}
			ad[0] ^= 1;
			assert_int_equal(aead_open(&key, out, sealed, len, ad, sizeof(ad), len), -EBADMSG);
			ad[0] ^= 1;
			assert_int_equal(aead_open(&key, out, sealed, len, ad, sizeof(ad) - 1, len), -EBADMSG);
		}
		aead_key_wipe(&key);
	}
}

static void no_flipped_bit_of_the_tag_opens(void **state)
{
	static const uint8_t secret[32] = { 5 };
	static const size_t lengths[] = { 0, 1, 16, 1420, 65535 };
	static uint8_t sealed[65535 + AEAD_TAG_BYTES], out[65535];

	(void)state;
	for (size_t i = 0; aead_impl_at(i); i++) {
		struct aead_key key;

		assert_int_equal(aead_key_init_with(&key, aead_impl_at(i), secret), 0);
		for (size_t k = 0; k < sizeof(lengths) / sizeof(lengths[0]); k++) {
			size_t len = lengths[k];

			memset(sealed, 0x5a, len);
			aead_seal(&key, sealed, sealed, len, NULL, 0, k);
			for (size_t bit = 0; bit < 8 * AEAD_TAG_BYTES; bit++) {
				sealed[len + bit / 8] ^= (uint8_t)(1 << bit % 8);
				assert_int_equal(aead_open(&key, out, sealed, len, NULL, 0, k), -EBADMSG);
				sealed[len + bit / 8] ^= (uint8_t)(1 << bit % 8);
			}
			assert_int_equal(aead_open(&key, out, sealed, len, NULL, 0, k), 0);
		}
		aead_key_wipe(&key);
	}
}

/* Memory that ends where a page begins that cannot be touched: assembly is not watched by the sanitizers. */
#define FENCE_AT (20 * 4096)

static uint8_t *fenced(void)
{
	uint8_t *p = mmap(NULL, FENCE_AT + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(mprotect(p + FENCE_AT, 4096, PROT_NONE), 0);
	return p + FENCE_AT;
}

static void unfence(uint8_t *end)
{
	assert_int_equal(munmap(end - FENCE_AT, FENCE_AT + 4096), 0);
}

struct fences {
	uint8_t *msg, *ad, *sealed, *out; /* where each ends */
};

/* Seals with one and opens with the other, apart and in place, `gap` bytes before the fences. */
static void check_pair(const struct fences *f, const struct aead_key *a, const struct aead_key *b, size_t len,
		       size_t ad_len, size_t gap, uint64_t counter)
{
	size_t sealed_len = len + AEAD_TAG_BYTES;
	uint8_t *msg = f->msg - gap - len, *ad = f->ad - gap - ad_len, *sealed = f->sealed - gap - sealed_len;
	uint8_t *out = f->out - gap - sealed_len;

	randombytes_buf(msg, len);
	randombytes_buf(ad, ad_len);
	sealed[-1] = out[-1] = 0xa5;
	aead_seal(a, sealed, msg, len, ad, ad_len, counter);
	aead_seal(b, out, msg, len, ad, ad_len, counter);
	assert_memory_equal(sealed, out, sealed_len);
	assert_int_equal(aead_open(b, out, out, len, ad, ad_len, counter), 0);
	assert_memory_equal(out, msg, len);
	assert_memory_equal(out + len, sealed + len, AEAD_TAG_BYTES); /* a tag is read only */
	aead_seal(b, out, out, len, ad, ad_len, counter);
	assert_memory_equal(sealed, out, sealed_len);
	assert_int_equal(aead_open(a, out, sealed, len, ad, ad_len, counter), 0);
	assert_memory_equal(out, msg, len);
	assert_int_equal(sealed[-1], 0xa5);
	assert_int_equal(out[-1], 0xa5);
	sealed[randombytes_uniform((uint32_t)sealed_len)] ^= (uint8_t)(1 << randombytes_uniform(8));
	assert_int_equal(aead_open(a, out, sealed, len, ad, ad_len, counter), -EBADMSG);
	assert_int_equal(aead_open(b, sealed, sealed, len, ad, ad_len, counter), -EBADMSG);
}

static void implementations_of_a_suite_give_the_same_bytes(void **state)
{
	static const size_t ad_lengths[] = { 0, 16, 20 };
	struct fences f = { fenced(), fenced(), fenced(), fenced() };

	(void)state;
	for (size_t i = 0; aead_impl_at(i); i++) {
		struct aead_key ours, best;
		uint8_t secret[32];

		randombytes_buf(secret, sizeof(secret));
		assert_int_equal(aead_key_init(&best, aead_impl_at(i)->suite, secret), 0);
		assert_int_equal(aead_key_init_with(&ours, aead_impl_at(i), secret), 0);
		assert_ptr_equal(best.impl, aead_impl_of(aead_impl_at(i)->suite));
		for (size_t len = 0; len <= 2000; len++) /* the gap runs through all alignments at each length mod 3 */
			check_pair(&f, &best, &ours, len, ad_lengths[len % 3], len / 3 % 67, randombytes_random());
		for (size_t gap = 0; gap < 3; gap++)
			check_pair(&f, &best, &ours, 65535, ad_lengths[gap], gap, UINT64_MAX - gap);
		aead_key_wipe(&best);
		aead_key_wipe(&ours);
	}
	unfence(f.msg);
	unfence(f.ad);
	unfence(f.sealed);
	unfence(f.out);
}

struct shared {
	const struct aead_key *key;
	const uint8_t *msg, *sealed; /* N_SHARED bytes, the same sealed with counter 0 */
	bool is_wrong;
};
#define N_SHARED 1420

static void *use_shared_key(void *arg)
{
	struct shared *s = arg;
	uint8_t sealed[N_SHARED + AEAD_TAG_BYTES];

	for (int i = 0; i < 2000; i++) {
		aead_seal(s->key, sealed, s->msg, N_SHARED, s->msg, 16, 0);
		s->is_wrong |= memcmp(sealed, s->sealed, sizeof(sealed)) != 0;
		s->is_wrong |= aead_open(s->key, sealed, sealed, N_SHARED, s->msg, 16, 0) != 0;
		s->is_wrong |= memcmp(sealed, s->msg, N_SHARED) != 0;
	}
	return NULL;
}

static void threads_use_one_key_at_once(void **state)
{
	static const uint8_t secret[32] = { 77 };
	uint8_t msg[N_SHARED], sealed[N_SHARED + AEAD_TAG_BYTES];

	(void)state;
	randombytes_buf(msg, sizeof(msg));
	for (size_t i = 0; aead_impl_at(i); i++) {
		struct aead_key key;
		struct shared other = { &key, msg, sealed, false }, ours = other;
		pthread_t thread;

		assert_int_equal(aead_key_init_with(&key, aead_impl_at(i), secret), 0);
		aead_seal(&key, sealed, msg, sizeof(msg), msg, 16, 0);
		assert_int_equal(pthread_create(&thread, NULL, use_shared_key, &other), 0);
		use_shared_key(&ours);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_false(ours.is_wrong);
		assert_false(other.is_wrong);
		aead_key_wipe(&key);
	}
}

static bool has_ipsec_mb(void)
{
	for (size_t i = 0; aead_impl_at(i); i++)
		if (strcmp(aead_impl_at(i)->name, "ipsec-mb") == 0)
			return true;
	return false;
}

static void ipsec_mb_goes_before_libsodium(void **state)
{
	(void)state;
	if (!has_ipsec_mb())
		skip();
	assert_string_equal(aead_impl_of(AEAD_AES_256_GCM)->name, "ipsec-mb");
	assert_string_equal(aead_impl_at(0)->name, "ipsec-mb");
}

/* What is chosen stays chosen, so the choice with another environment is another process's: this program again, which
 * prints who computes each suite and the offer. */
static void print_choice(void)
{
	const struct aead_impl *gcm = aead_impl_of(AEAD_AES_256_GCM), *chacha = aead_impl_of(AEAD_CHACHA20_POLY1305);

	printf("%s %s %u %d\n", gcm ? gcm->name : "none", chacha ? chacha->name : "none", (unsigned)aead_offer(),
	       has_ipsec_mb());
}

static void choice_with(char *out, int size, const char *disable)
{
	int fds[2], status;
	pid_t child;
	FILE *in;

	assert_int_equal(pipe(fds), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		dup2(fds[1], STDOUT_FILENO);
		setenv("WARREN_DISABLE", disable, 1);
#ifdef WARREN_EMULATOR
		execlp(WARREN_EMULATOR, WARREN_EMULATOR, program_invocation_name, "print-choice", (char *)NULL);
#else
		execl("/proc/self/exe", "test_aead", "print-choice", (char *)NULL);
#endif
		_exit(127);
	}
	close(fds[1]);
	in = fdopen(fds[0], "r");
	assert_non_null(in);
	assert_non_null(fgets(out, size, in));
	fclose(in);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void disabling_ipsec_mb_leaves_libsodium_and_the_offer(void **state)
{
	char with[64], without[64], expected[64];

	(void)state;
	if (!has_ipsec_mb())
		skip();
	choice_with(with, sizeof(with), "gso,ipsec-mbx,ipsec");
	choice_with(without, sizeof(without), "gso,ipsec-mb,gro");
	snprintf(expected, sizeof(expected), "ipsec-mb %s %u 1\n", aead_impl_of(AEAD_CHACHA20_POLY1305)->name,
		 (unsigned)aead_offer());
	assert_string_equal(with, expected);
	snprintf(expected, sizeof(expected), "libsodium libsodium %u 0\n", (unsigned)aead_offer());
	assert_string_equal(without, expected);
}

static void without_the_cpus_aes_chacha_is_the_offer(void **state)
{
	char out[64], expected[64];

	(void)state;
	choice_with(out, sizeof(out), "aes,gso");
	snprintf(expected, sizeof(expected), "none %s %u %d\n", aead_impl_of(AEAD_CHACHA20_POLY1305)->name,
		 1u << AEAD_CHACHA20_POLY1305, strcmp(aead_impl_of(AEAD_CHACHA20_POLY1305)->name, "ipsec-mb") == 0);
	assert_string_equal(out, expected);
}

static void offers_are_told_in_words(void **state)
{
	char text[AEAD_OFFER_TEXT_BYTES];

	(void)state;
	assert_string_equal(aead_offer_text(UINT16_MAX, text), "aes-256-gcm, chacha20-poly1305");
	assert_string_equal(aead_offer_text(1 << AEAD_AES_256_GCM | 1 << 9, text), "aes-256-gcm");
	assert_string_equal(aead_offer_text(1 << AEAD_CHACHA20_POLY1305, text), "chacha20-poly1305");
	assert_string_equal(aead_offer_text(0xff01, text), "none");
}

static void key_state_is_aligned_and_wiping_twice_is_fine(void **state)
{
	static const uint8_t secret[32] = { 3 };

	(void)state;
	for (size_t i = 0; aead_impl_at(i); i++) {
		struct aead_key key;

		assert_int_equal(aead_key_init_with(&key, aead_impl_at(i), secret), 0);
		assert_int_equal((uintptr_t)key.state % 64, 0);
		aead_key_wipe(&key);
		assert_null(key.state);
		aead_key_wipe(&key);
	}
}

static void there_is_no_null_cipher(void **state)
{
	static const uint8_t secret[32] = { 3 };
	struct aead_key key;

	(void)state;
	assert_null(aead_impl_of(AEAD_NONE));
	assert_int_equal(aead_key_init(&key, AEAD_NONE, secret), -ENOTSUP);
	assert_int_equal(aead_key_init(&key, (enum aead_suite)3, secret), -ENOTSUP);
	assert_int_equal(aead_offer() & 1, 0);
	assert_int_equal(aead_suite_from_name("none"), -EINVAL);
	assert_int_equal(aead_suite_from_name(""), -EINVAL);
}

static void suites_have_names(void **state)
{
	(void)state;
	assert_string_equal(aead_suite_name(AEAD_CHACHA20_POLY1305), "chacha20-poly1305");
	assert_string_equal(aead_suite_name(AEAD_AES_256_GCM), "aes-256-gcm");
	assert_string_equal(aead_suite_name(AEAD_NONE), "none");
	assert_string_equal(aead_suite_name((enum aead_suite)77), "none");
	assert_int_equal(aead_suite_from_name("chacha20-poly1305"), AEAD_CHACHA20_POLY1305);
	assert_int_equal(aead_suite_from_name("aes-256-gcm"), AEAD_AES_256_GCM);
}

static void offer_holds_what_this_machine_has(void **state)
{
	const uint16_t chacha = 1 << AEAD_CHACHA20_POLY1305, gcm = 1 << AEAD_AES_256_GCM;

	(void)state;
	assert_int_equal(aead_offer() & chacha, chacha);
	assert_int_equal(aead_offer() & gcm, aead_impl_of(AEAD_AES_256_GCM) ? gcm : 0);
	assert_int_equal(aead_offer() & ~(chacha | gcm), 0);
}

static void choice_is_the_best_of_both_offers(void **state)
{
	const uint16_t chacha = 1 << AEAD_CHACHA20_POLY1305, gcm = 1 << AEAD_AES_256_GCM, unknown = 0xfff8;

	(void)state;
	assert_int_equal(aead_choose(chacha | gcm, chacha | gcm | unknown), AEAD_AES_256_GCM);
	assert_int_equal(aead_choose(chacha | gcm, chacha), AEAD_CHACHA20_POLY1305);
	assert_int_equal(aead_choose(chacha, chacha | gcm), AEAD_CHACHA20_POLY1305);
	assert_int_equal(aead_choose(chacha, gcm), AEAD_NONE);
	assert_int_equal(aead_choose(chacha | gcm, 0), AEAD_NONE);
	assert_int_equal(aead_choose(unknown | 1, unknown | 1), AEAD_NONE); /* bit 0 would be no cipher */
}

static void a_rekey_is_due_well_before_the_limit(void **state)
{
	(void)state;
	assert_true(aead_rekey_after(AEAD_CHACHA20_POLY1305) == UINT64_C(1) << 60);
	assert_true(aead_reject_after(AEAD_CHACHA20_POLY1305) == UINT64_MAX - (1 << 13));
	assert_true(aead_rekey_after(AEAD_AES_256_GCM) * 2048 / 16 == UINT64_C(1) << 34);
	assert_true(aead_reject_after(AEAD_AES_256_GCM) == UINT64_C(1) << 28);
	assert_true(aead_rekey_after(AEAD_AES_256_GCM) < aead_reject_after(AEAD_AES_256_GCM));
	assert_true(aead_reject_after(AEAD_NONE) == 0);
}

static int start(void **state)
{
	(void)state;
	return crypto_start();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chacha20_poly1305_agrees_with_published_vectors),
		cmocka_unit_test(aes_256_gcm_agrees_with_published_vectors),
		cmocka_unit_test(counter_becomes_the_nonce_that_noise_gives_each_suite),
		cmocka_unit_test(every_length_opens_and_no_flipped_bit_does),
		cmocka_unit_test(no_flipped_bit_of_the_tag_opens),
		cmocka_unit_test(implementations_of_a_suite_give_the_same_bytes),
		cmocka_unit_test(threads_use_one_key_at_once),
		cmocka_unit_test(ipsec_mb_goes_before_libsodium),
		cmocka_unit_test(disabling_ipsec_mb_leaves_libsodium_and_the_offer),
		cmocka_unit_test(without_the_cpus_aes_chacha_is_the_offer),
		cmocka_unit_test(offers_are_told_in_words),
		cmocka_unit_test(key_state_is_aligned_and_wiping_twice_is_fine),
		cmocka_unit_test(there_is_no_null_cipher),
		cmocka_unit_test(suites_have_names),
		cmocka_unit_test(offer_holds_what_this_machine_has),
		cmocka_unit_test(choice_is_the_best_of_both_offers),
		cmocka_unit_test(a_rekey_is_due_well_before_the_limit),
	};

	if (argc == 2 && strcmp(argv[1], "print-choice") == 0) {
		if (crypto_start() < 0)
			return 1;
		print_choice();
		return 0;
	}
	return cmocka_run_group_tests(tests, start, NULL);
}
