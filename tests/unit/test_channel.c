#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/channel.h"
#include "crypto/key.h"

#define TEXT_BYTES 40
#define SEALED_BYTES (TEXT_BYTES + CHANNEL_TAG_BYTES)

static const uint8_t key_a[32] = { 1 }, key_b[32] = { 2 };

struct pair {
	struct channel a, b;
};

static struct pair pair_new(void)
{
	struct pair p;

	channel_init(&p.a, key_a, key_b);
	channel_init(&p.b, key_b, key_a);
	return p;
}

static void text_of(uint8_t text[TEXT_BYTES], int i)
{
	memset(text, 0, TEXT_BYTES);
	text[0] = (uint8_t)i;
	text[1] = (uint8_t)(i >> 8);
}

static void send_one(struct channel *from, struct channel *to, int i)
{
	uint8_t text[TEXT_BYTES], sealed[SEALED_BYTES], out[TEXT_BYTES];

	text_of(text, i);
	assert_int_equal(channel_seal(from, sealed, text, sizeof(text)), sizeof(sealed));
	assert_int_equal(channel_open(to, out, sealed, sizeof(sealed)), TEXT_BYTES);
	assert_memory_equal(out, text, sizeof(text));
}

static void frames_cross_both_ways_past_many_ratchets(void **state)
{
	struct pair p = pair_new();

	(void)state;
	for (int i = 0; i < 10 * CHANNEL_RATCHET_FRAMES + 3; i++) {
		send_one(&p.a, &p.b, i);
		if (i % 3 == 0)
			send_one(&p.b, &p.a, i);
	}
	assert_memory_not_equal(p.a.send_key, key_a, 32);
	assert_memory_equal(p.a.send_key, p.b.recv_key, 32);
	assert_memory_equal(p.b.send_key, p.a.recv_key, 32);
}

static void frames_may_be_sealed_and_opened_in_place_and_empty(void **state)
{
	struct pair p = pair_new();
	uint8_t text[TEXT_BYTES], buf[SEALED_BYTES];

	(void)state;
	text_of(text, 7);
	memcpy(buf, text, sizeof(text));
	assert_int_equal(channel_seal(&p.a, buf, buf, TEXT_BYTES), SEALED_BYTES);
	assert_memory_not_equal(buf, text, sizeof(text));
	assert_int_equal(channel_open(&p.b, buf, buf, SEALED_BYTES), TEXT_BYTES);
	assert_memory_equal(buf, text, sizeof(text));
	assert_int_equal(channel_seal(&p.a, buf, buf, 0), CHANNEL_TAG_BYTES);
	assert_int_equal(channel_open(&p.b, buf, buf, CHANNEL_TAG_BYTES), 0);
}

static void the_same_text_is_never_sealed_alike(void **state)
{
	struct pair p = pair_new();
	uint8_t text[TEXT_BYTES] = { 0 }, all[2 * CHANNEL_RATCHET_FRAMES][SEALED_BYTES];

	(void)state;
	for (int i = 0; i < 2 * CHANNEL_RATCHET_FRAMES; i++) {
		channel_seal(&p.a, all[i], text, sizeof(text));
		for (int k = 0; k < i; k++)
			assert_memory_not_equal(all[i], all[k], SEALED_BYTES);
	}
}

static void altered_cut_and_lengthened_frames_are_refused(void **state)
{
	struct pair p = pair_new();
	uint8_t text[TEXT_BYTES] = { 1 }, sealed[SEALED_BYTES + 1] = { 0 }, out[TEXT_BYTES + 1];

	(void)state;
	channel_seal(&p.a, sealed, text, sizeof(text));
	for (size_t bit = 0; bit < 8 * SEALED_BYTES; bit++) {
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(channel_open(&p.b, out, sealed, SEALED_BYTES), -EBADMSG);
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t len = 0; len < SEALED_BYTES; len++) {
		uint8_t *cut = malloc(len > 0 ? len : 1);

		memcpy(cut, sealed, len);
		assert_int_equal(channel_open(&p.b, out, cut, len), -EBADMSG);
		free(cut);
	}
	assert_int_equal(channel_open(&p.b, out, sealed, SEALED_BYTES + 1), -EBADMSG);
	assert_int_equal(channel_open(&p.b, out, sealed, SEALED_BYTES), TEXT_BYTES);
}

static void lost_repeated_and_reordered_frames_are_refused(void **state)
{
	struct pair p = pair_new();
	uint8_t text[TEXT_BYTES], sealed[3][SEALED_BYTES], out[TEXT_BYTES];

	(void)state;
	for (int i = 0; i < 3; i++) {
		text_of(text, i);
		channel_seal(&p.a, sealed[i], text, sizeof(text));
	}
	assert_int_equal(channel_open(&p.b, out, sealed[1], SEALED_BYTES), -EBADMSG);
	assert_int_equal(channel_open(&p.b, out, sealed[0], SEALED_BYTES), TEXT_BYTES);
	assert_int_equal(channel_open(&p.b, out, sealed[0], SEALED_BYTES), -EBADMSG);
	assert_int_equal(channel_open(&p.b, out, sealed[2], SEALED_BYTES), -EBADMSG);
	assert_int_equal(channel_open(&p.b, out, sealed[1], SEALED_BYTES), TEXT_BYTES);
}

static void a_frame_sent_back_to_its_sender_is_refused(void **state)
{
	struct pair p = pair_new();
	uint8_t text[TEXT_BYTES] = { 1 }, sealed[SEALED_BYTES], out[TEXT_BYTES];

	(void)state;
	channel_seal(&p.a, sealed, text, sizeof(text));
	assert_int_equal(channel_open(&p.a, out, sealed, sizeof(sealed)), -EBADMSG);
}

static void the_key_of_a_later_ratchet_does_not_open_an_earlier_frame(void **state)
{
	struct pair p = pair_new();
	uint8_t text[TEXT_BYTES] = { 1 }, first[SEALED_BYTES], out[TEXT_BYTES];
	struct channel stolen;

	(void)state;
	channel_seal(&p.a, first, text, sizeof(text));
	assert_int_equal(channel_open(&p.b, out, first, sizeof(first)), TEXT_BYTES);
	for (int i = 1; i < CHANNEL_RATCHET_FRAMES; i++)
		send_one(&p.a, &p.b, i);
	stolen = p.b;
	assert_int_equal(stolen.n_received, CHANNEL_RATCHET_FRAMES);
	stolen.n_received = 0;
	assert_int_equal(channel_open(&stolen, out, first, sizeof(first)), -EBADMSG);
	memcpy(stolen.recv_key, key_a, 32); /* it would with the first key */
	assert_int_equal(channel_open(&stolen, out, first, sizeof(first)), TEXT_BYTES);
}

static void wiping_leaves_zeros(void **state)
{
	static const struct channel zeros;
	struct pair p = pair_new();

	(void)state;
	channel_wipe(&p.a);
	assert_memory_equal(&p.a, &zeros, sizeof(zeros));
}

static int start(void **state)
{
	(void)state;
	return crypto_start();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_cross_both_ways_past_many_ratchets),
		cmocka_unit_test(frames_may_be_sealed_and_opened_in_place_and_empty),
		cmocka_unit_test(the_same_text_is_never_sealed_alike),
		cmocka_unit_test(altered_cut_and_lengthened_frames_are_refused),
		cmocka_unit_test(lost_repeated_and_reordered_frames_are_refused),
		cmocka_unit_test(a_frame_sent_back_to_its_sender_is_refused),
		cmocka_unit_test(the_key_of_a_later_ratchet_does_not_open_an_earlier_frame),
		cmocka_unit_test(wiping_leaves_zeros),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
