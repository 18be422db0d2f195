#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "daemon/data/held.h"

struct drained {
	unsigned n;
	uint8_t first[HELD_PACKETS_MAX]; /* byte of each */
	size_t len[HELD_PACKETS_MAX];
};

static void note(void *arg, const uint8_t *packet, size_t len)
{
	struct drained *d = arg;

	assert_true(d->n < HELD_PACKETS_MAX);
	d->first[d->n] = packet[0];
	d->len[d->n++] = len;
}

static void packets_come_back_copied_and_in_order(void **state)
{
	struct held *h = held_new();
	struct drained d = { 0 };
	uint8_t packet[100] = { 0 };

	(void)state;
	assert_non_null(h);
	assert_true(held_is_empty(h));
	for (uint8_t i = 1; i <= 5; i++) {
		packet[0] = i;
		assert_int_equal(held_add(h, packet, i * 10u), 0);
	}
	memset(packet, 0xff, sizeof(packet));
	assert_false(held_is_empty(h));
	held_drain(h, note, &d);
	assert_int_equal(d.n, 5);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(d.first[i], i + 1);
		assert_int_equal(d.len[i], (i + 1) * 10);
	}
	assert_true(held_is_empty(h));
	held_drain(h, note, &d);
	assert_int_equal(d.n, 5);
	held_free(h);
}

static void oldest_goes_past_the_packet_limit(void **state)
{
	struct held *h = held_new();
	struct drained d = { 0 };

	(void)state;
	for (unsigned i = 0; i < HELD_PACKETS_MAX + 3; i++) {
		uint8_t packet[1] = { (uint8_t)i };

		assert_int_equal(held_add(h, packet, 1), i < HELD_PACKETS_MAX ? 0 : 1);
	}
	held_drain(h, note, &d);
	assert_int_equal(d.n, HELD_PACKETS_MAX);
	assert_int_equal(d.first[0], 3);
	assert_int_equal(d.first[HELD_PACKETS_MAX - 1], HELD_PACKETS_MAX + 2);
	held_free(h);
}

static void oldest_go_past_the_byte_limit(void **state)
{
	static uint8_t packet[HELD_BYTES_MAX / 4];
	struct held *h = held_new();
	struct drained d = { 0 };

	(void)state;
	for (uint8_t i = 0; i < 4; i++) {
		packet[0] = i;
		assert_int_equal(held_add(h, packet, sizeof(packet)), 0);
	}
	packet[0] = 4;
	assert_int_equal(held_add(h, packet, sizeof(packet) * 3 / 4), 1);
	packet[0] = 5;
	assert_int_equal(held_add(h, packet, sizeof(packet)), 1);
	held_drain(h, note, &d);
	assert_int_equal(d.n, 4);
	assert_memory_equal(d.first, "\2\3\4\5", 4);
	held_free(h);
}

static void memory_of_what_was_drained_counts_no_more(void **state)
{
	static uint8_t packet[HELD_BYTES_MAX / 2];
	struct held *h = held_new();
	struct drained d = { 0 };

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		assert_int_equal(held_add(h, packet, sizeof(packet)), 0);
		assert_int_equal(held_add(h, packet, sizeof(packet)), 0);
		held_drain(h, note, &d);
	}
	assert_int_equal(d.n, 6);
	held_free(h);
}

static void what_is_still_held_is_freed(void **state)
{
	struct held *h = held_new();
	uint8_t packet[1400] = { 0 };

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(held_add(h, packet, sizeof(packet)), 0);
	held_free(h); /* the address sanitizer tells */
	held_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_come_back_copied_and_in_order),
		cmocka_unit_test(oldest_goes_past_the_packet_limit),
		cmocka_unit_test(oldest_go_past_the_byte_limit),
		cmocka_unit_test(memory_of_what_was_drained_counts_no_more),
		cmocka_unit_test(what_is_still_held_is_freed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
