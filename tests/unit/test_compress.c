#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <sodium.h>

#include "daemon/data/compress.h"
#include "tests/unit/train_cases.h"
#include "tests/unit/vectors.h"

#define MTU_BYTES 1500
#define NOW_MS 777000
#define STALE 0xee /* what stood in the output before */

/* ---------------------------------------------------------------- packets */

static void fill_with_text(uint8_t *p, size_t len)
{
	static const char words[] = "the same words again and again, with a number here and there: ";

	for (size_t i = 0; i < len; i++)
		p[i] = i % 97 == 0 ? (uint8_t)('0' + draw(10)) : (uint8_t)words[i % (sizeof(words) - 1)];
}

static void packets_come_back_as_they_were(void **state)
{
	struct compressor *c = compressor_new(MTU_BYTES);
	uint8_t packet[MTU_BYTES], out[MTU_BYTES];
	unsigned n_packed = 0;

	(void)state;
	assert_non_null(c);
	for (size_t len = 1; len <= MTU_BYTES; len++) {
		size_t n = 0;
		const uint8_t *block;

		fill_with_text(packet, len);
		block = compressor_pack(c, packet, len, &n);
		if (!block)
			continue;
		n_packed++;
		assert_true(n <= len - len / 16);
		memset(out, STALE, sizeof(out));
		assert_int_equal(compress_unpack(out, sizeof(out), block, n), len);
		assert_memory_equal(out, packet, len);
	}
	assert_true(n_packed > MTU_BYTES - 150); /* all but the short ones */
	compressor_free(c);
}

static void what_does_not_shrink_is_left_alone(void **state)
{
	struct compressor *c = compressor_new(MTU_BYTES);
	uint8_t packet[MTU_BYTES + 1];
	size_t n = 0;

	(void)state;
	for (size_t len = 0; len <= MTU_BYTES; len++) {
		draw_bytes(packet, len);
		assert_null(compressor_pack(c, packet, len, &n));
	}
	/* A thirtieth of it would. */
	draw_bytes(packet, MTU_BYTES);
	memset(packet + 100, 'x', MTU_BYTES / 30);
	assert_null(compressor_pack(c, packet, MTU_BYTES, &n));
	memset(packet, 'x', sizeof(packet));
	assert_null(compressor_pack(c, packet, COMPRESS_LEAST_BYTES - 1, &n));
	assert_non_null(compressor_pack(c, packet, COMPRESS_LEAST_BYTES, &n));
	assert_non_null(compressor_pack(c, packet, MTU_BYTES, &n));
	assert_null(compressor_pack(c, packet, MTU_BYTES + 1, &n)); /* no packet of ours */
	assert_int_equal(n < MTU_BYTES / 10, true);
	compressor_free(c);
	compressor_free(NULL);
}

/* What a packet is packed to depends on nothing but itself. */
static void packets_know_nothing_of_each_other(void **state)
{
	struct compressor *used = compressor_new(MTU_BYTES);
	uint8_t secret[800], guess[800];
	size_t n_used = 0, n_fresh = 0;

	(void)state;
	fill_with_text(secret, sizeof(secret));
	for (unsigned i = 0; i < 200; i++) {
		struct compressor *fresh = compressor_new(MTU_BYTES);
		size_t len = COMPRESS_LEAST_BYTES + draw(sizeof(guess) - COMPRESS_LEAST_BYTES);
		const uint8_t *a, *b;

		draw_bytes(guess, sizeof(guess));
		memcpy(guess + draw(300), secret + draw(300), 200);
		compressor_pack(used, secret, sizeof(secret), &n_used);
		a = compressor_pack(used, guess, len, &n_used);
		b = compressor_pack(fresh, guess, len, &n_fresh);
		assert_int_equal(a != NULL, b != NULL);
		if (a) {
			assert_int_equal(n_used, n_fresh);
			assert_memory_equal(a, b, n_used);
		}
		compressor_free(fresh);
	}
	compressor_free(used);
}

static void assert_result(struct vectors *v, const uint8_t *out, size_t size)
{
	const char *text = vectors_text(v, "out"), *name = vectors_text(v, "name");
	uint8_t hash[crypto_hash_sha256_BYTES];
	char hex[2 * sizeof(hash) + 1];

	if (size != vectors_number(v, "size"))
		fail_msg("%s: %zu bytes", name, size);
	if (strncmp(text, "sha256:", 7) == 0) {
		crypto_hash_sha256(hash, out, size);
		sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
		if (strcmp(hex, text + 7) != 0)
			fail_msg("%s: other bytes", name);
	} else {
		struct vector_bytes wanted = vectors_hex(v, "out");

		if (wanted.len != size || memcmp(wanted.data, out, size) != 0)
			fail_msg("%s: other bytes", name);
	}
}

static void hostile_blocks_get_their_verdicts(void **state)
{
	struct vectors *v = vectors_open("lz4_hostile.txt");
	unsigned n = 0;

	(void)state;
	for (; vectors_next(v); n++) {
		struct vector_bytes block = vectors_hex(v, "block");
		size_t cap = vectors_number(v, "cap");
		uint8_t *out = malloc(cap); /* the address sanitizer sees its end */
		int ret;

		assert_non_null(out);
		memset(out, STALE, cap);
		ret = compress_unpack(out, cap, block.data, block.len);
		if (vectors_is(v, "verdict", "accept")) {
			if (ret < 0)
				fail_msg("%s: refused", vectors_text(v, "name"));
			assert_result(v, out, (size_t)ret);
		} else if (vectors_is(v, "verdict", "drop")) {
			if (ret != -EBADMSG)
				fail_msg("%s: gave %d", vectors_text(v, "name"), ret);
		} else {
			assert_true(vectors_is(v, "verdict", "drop-or-zeros"));
			/* One literal, the zeros, and the literals at the end. */
			for (int i = 1; i < ret - 5; i++)
				assert_int_equal(out[i], 0);
		}
		assert_null(memchr(out, STALE, cap));
		free(out);
	}
	vectors_close(v);
	assert_int_equal(n, 18);
}

static void a_block_cut_or_prolonged_is_none(void **state)
{
	struct compressor *c = compressor_new(MTU_BYTES);
	uint8_t packet[1200], out[MTU_BYTES], longer[MTU_BYTES];
	const uint8_t *block;
	size_t n = 0;

	(void)state;
	draw_bytes(packet, sizeof(packet));
	memset(packet + 300, 0, 500);
	block = compressor_pack(c, packet, sizeof(packet), &n);
	assert_non_null(block);
	for (size_t len = 0; len < n; len++) {
		int ret = compress_unpack(out, sizeof(out), block, len);

		/* Cut between two sequences it is a block, of a packet that is cut. */
		assert_true(ret < (int)sizeof(packet));
	}
	memcpy(longer, block, n);
	for (unsigned byte = 0; byte < 256; byte++) {
		longer[n] = (uint8_t)byte;
		assert_int_equal(compress_unpack(out, sizeof(out), longer, n + 1), -EBADMSG);
	}
	assert_int_equal(compress_unpack(out, sizeof(packet), block, n), sizeof(packet));
	assert_int_equal(compress_unpack(out, sizeof(packet) - 1, block, n), -EBADMSG);
	assert_int_equal(compress_unpack(out, 0, block, n), -EBADMSG);
	assert_int_equal(compress_unpack(out, sizeof(out), block, (size_t)1 << 32 | n), -EBADMSG);
	compressor_free(c);
}

static void nothing_that_stood_there_comes_out(void **state)
{
	struct compressor *c = compressor_new(MTU_BYTES);
	uint8_t packet[600], damaged[MTU_BYTES], *out = malloc(MTU_BYTES);
	unsigned n_accepted = 0;

	(void)state;
	assert_non_null(out);
	for (unsigned i = 0; i < 20000; i++) {
		size_t n = 0;
		const uint8_t *block;

		fill_with_text(packet, sizeof(packet));
		block = compressor_pack(c, packet, sizeof(packet), &n);
		assert_non_null(block);
		memcpy(damaged, block, n);
		for (unsigned k = 0; k <= draw(4); k++)
			damaged[draw((uint32_t)n)] = draw_one_of(4) ? 0 : (uint8_t)draw(STALE);
		memset(out, STALE, MTU_BYTES);
		n_accepted += compress_unpack(out, MTU_BYTES, damaged, n) > 0;
		if (!memchr(damaged, STALE, n))
			assert_null(memchr(out, STALE, MTU_BYTES));
	}
	assert_true(n_accepted > 100);
	free(out);
	compressor_free(c);
}

/* ---------------------------------------------------------------- worth it? */

static enum compress_state state_at(const struct compress_trial *t, uint64_t now_ms)
{
	return compress_state(t, CONFIG_COMPRESSION_AUTO, now_ms);
}

/* A sample's worth of packets, of which so many percent are left. */
static void note_sample(struct compress_trial *t, unsigned percent, uint64_t now_ms)
{
	uint64_t each = COMPRESS_SAMPLE_BYTES / 64;

	for (unsigned i = 0; i < 64; i++)
		compress_note(t, each, each * percent / 100, now_ms);
}

static void a_gain_ends_the_trial_well(void **state)
{
	struct compress_trial t = { 0 };

	(void)state;
	assert_int_equal(state_at(&t, NOW_MS), COMPRESS_TRIAL);
	compress_note(&t, COMPRESS_SAMPLE_BYTES - 1, COMPRESS_SAMPLE_BYTES / 2, NOW_MS);
	assert_int_equal(state_at(&t, NOW_MS), COMPRESS_TRIAL);
	compress_note(&t, 1, 1, NOW_MS);
	assert_int_equal(state_at(&t, NOW_MS), COMPRESS_ON);
	for (unsigned i = 0; i < 20; i++)
		note_sample(&t, 80, NOW_MS + i);
	assert_int_equal(state_at(&t, NOW_MS), COMPRESS_ON);
	assert_int_equal(t.tx_plain_bytes, 21 * COMPRESS_SAMPLE_BYTES);
}

static void a_tenth_is_enough_and_less_is_not(void **state)
{
	struct compress_trial t = { 0 };

	(void)state;
	compress_note(&t, 1000000, 900000, NOW_MS);
	assert_int_equal(state_at(&t, NOW_MS), COMPRESS_ON);
	compress_note(&t, 1000000, 900001, NOW_MS);
	assert_int_equal(state_at(&t, NOW_MS), COMPRESS_PAUSED);
}

static void pauses_grow_while_nothing_is_gained(void **state)
{
	static const uint64_t pauses_ms[] = { 5000, 10000, 20000, 40000, 60000, 60000, 60000 };
	struct compress_trial t = { 0 };
	uint64_t now = NOW_MS;

	(void)state;
	for (size_t i = 0; i < sizeof(pauses_ms) / sizeof(pauses_ms[0]); i++) {
		note_sample(&t, 100, now);
		assert_int_equal(state_at(&t, now), COMPRESS_PAUSED);
		assert_false(compress_is_wanted(&t, CONFIG_COMPRESSION_AUTO, now + pauses_ms[i] - 1));
		now += pauses_ms[i];
		assert_true(compress_is_wanted(&t, CONFIG_COMPRESSION_AUTO, now));
		assert_int_equal(state_at(&t, now), COMPRESS_TRIAL);
	}
	note_sample(&t, 50, now);
	assert_int_equal(state_at(&t, now), COMPRESS_ON);
	note_sample(&t, 95, now); /* other traffic now */
	assert_int_equal(state_at(&t, now), COMPRESS_PAUSED);
	assert_true(compress_is_wanted(&t, CONFIG_COMPRESSION_AUTO, now + pauses_ms[0]));
}

static void what_is_set_is_not_judged(void **state)
{
	struct compress_trial t = { 0 };

	(void)state;
	note_sample(&t, 100, NOW_MS);
	assert_true(compress_is_wanted(&t, CONFIG_COMPRESSION_ON, NOW_MS));
	assert_int_equal(compress_state(&t, CONFIG_COMPRESSION_ON, NOW_MS), COMPRESS_ON);
	assert_false(compress_is_wanted(&t, CONFIG_COMPRESSION_OFF, NOW_MS + COMPRESS_PAUSE_MAX_MS));
	assert_int_equal(compress_state(&t, CONFIG_COMPRESSION_OFF, NOW_MS), COMPRESS_OFF);
	assert_string_equal(compress_state_name(COMPRESS_OFF), "off");
	assert_string_equal(compress_state_name(COMPRESS_TRIAL), "trial");
	assert_string_equal(compress_state_name(COMPRESS_ON), "on");
	assert_string_equal(compress_state_name(COMPRESS_PAUSED), "paused");
}

#define THREADS 4
#define NOTES 20000

static void *note_bad_packets(void *arg)
{
	for (unsigned i = 0; i < NOTES; i++)
		compress_note(arg, 1400, 1400, NOW_MS);
	return NULL;
}

static void threads_share_one_judgement(void **state)
{
	struct compress_trial t = { 0 };
	pthread_t threads[THREADS];
	const uint64_t all = (uint64_t)THREADS * NOTES * 1400;

	(void)state;
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, note_bad_packets, &t), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(t.tx_plain_bytes, all);
	assert_int_equal(t.tx_packed_bytes, all);
	assert_true(t.judged_plain_bytes <= all && t.judged_plain_bytes > all - 2 * COMPRESS_SAMPLE_BYTES);
	assert_int_equal(state_at(&t, NOW_MS), COMPRESS_PAUSED);
	assert_true(t.paused_until_ms <= NOW_MS + COMPRESS_PAUSE_MAX_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_come_back_as_they_were),
		cmocka_unit_test(what_does_not_shrink_is_left_alone),
		cmocka_unit_test(packets_know_nothing_of_each_other),
		cmocka_unit_test(hostile_blocks_get_their_verdicts),
		cmocka_unit_test(a_block_cut_or_prolonged_is_none),
		cmocka_unit_test(nothing_that_stood_there_comes_out),
		cmocka_unit_test(a_gain_ends_the_trial_well),
		cmocka_unit_test(a_tenth_is_enough_and_less_is_not),
		cmocka_unit_test(pauses_grow_while_nothing_is_gained),
		cmocka_unit_test(what_is_set_is_not_judged),
		cmocka_unit_test(threads_share_one_judgement),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
