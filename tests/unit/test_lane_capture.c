/* The rings that lanes write and the loop reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <cmocka.h>

#include "daemon/data/capture.h"

struct seen {
	unsigned n, most; /* records handed over; stops at most (0: never) */
	uint32_t last;    /* the number in the last packet */
	struct capture_record record;
	uint8_t data[CAPTURE_SNAP_MAX_BYTES];
	bool is_in_order;
};

static bool on_record(void *arg, const struct capture_record *r, const uint8_t *data)
{
	struct seen *s = arg;
	uint32_t number = 0;

	s->n++;
	s->record = *r;
	memcpy(s->data, data, r->captured);
	if (r->captured >= sizeof(number))
		memcpy(&number, data, sizeof(number));
	s->is_in_order = s->is_in_order && number > s->last;
	s->last = number;
	return s->n != s->most;
}

static void what_passes_is_handed_over_once(void **state)
{
	static struct seen s;
	struct capture *c = capture_new(0, 65535);

	(void)state;
	s = (struct seen){ .n = 0 };
	assert_int_equal(capture_add_lane(c, 3), 0);
	assert_true(capture_is_empty(c));
	capture_packet(c, 3, 42, true, (const uint8_t *)"\x45packet", 7);
	assert_false(capture_is_empty(c));
	capture_drain(c, on_record, &s);
	assert_int_equal(s.n, 1);
	assert_int_equal(s.record.peer, 42);
	assert_int_equal(s.record.len, 7);
	assert_true(s.record.is_inbound);
	assert_true(s.record.time_ns > (uint64_t)1700000000 * 1000000000);
	assert_memory_equal(s.data, "\x45packet", 7);
	capture_drain(c, on_record, &s);
	assert_int_equal(s.n, 1);
	assert_true(capture_is_empty(c));
	capture_unref(c);
}

static void only_the_peer_and_the_bytes_asked_for_are_kept(void **state)
{
	static struct seen s;
	struct capture *c = capture_new(42, 64);
	uint8_t packet[1400] = { 0x45 };

	(void)state;
	s = (struct seen){ .n = 0 };
	assert_int_equal(capture_add_lane(c, 0), 0);
	capture_packet(c, 0, 41, true, packet, sizeof(packet));
	assert_true(capture_is_empty(c));
	capture_packet(c, 0, 42, false, packet, sizeof(packet));
	capture_packet(c, 1, 42, false, packet, sizeof(packet)); /* a lane that was not let in */
	capture_drain(c, on_record, &s);
	assert_int_equal(s.n, 1);
	assert_int_equal(s.record.len, sizeof(packet));
	assert_int_equal(s.record.captured, 64);
	assert_int_equal(capture_dropped(c), 0);
	capture_unref(c);
}

static void a_full_ring_leaves_out_and_counts(void **state)
{
	static struct seen s;
	struct capture *c = capture_new(0, 65535);
	uint8_t packet[1000];
	unsigned n = 2 * CAPTURE_RING_BYTES / sizeof(packet);

	(void)state;
	s = (struct seen){ .is_in_order = true };
	memset(packet, 0xff, sizeof(packet));
	assert_int_equal(capture_add_lane(c, 0), 0);
	for (uint32_t i = 1; i <= n; i++) {
		memcpy(packet, &i, sizeof(i));
		capture_packet(c, 0, 1, true, packet, sizeof(packet));
	}
	capture_drain(c, on_record, &s);
	assert_true(s.n > 400 && s.n < n);
	assert_int_equal(s.n + capture_dropped(c), n);
	assert_true(s.is_in_order);
	capture_unref(c);
}

static void whoever_has_enough_gets_the_rest_the_next_time(void **state)
{
	static struct seen s;
	struct capture *c = capture_new(0, 65535);

	(void)state;
	s = (struct seen){ .most = 2 };
	for (unsigned lane = 0; lane < CAPTURE_LANES; lane++) {
		assert_int_equal(capture_add_lane(c, lane), 0);
		capture_packet(c, lane, 1, true, (const uint8_t *)"\x45", 1);
	}
	capture_drain(c, on_record, &s);
	assert_int_equal(s.n, 2);
	assert_false(capture_is_empty(c));
	capture_drain(c, on_record, &s);
	assert_int_equal(s.n, CAPTURE_LANES);
	capture_unref(c);
}

#define MANY 200000

static void *write_many(void *arg)
{
	uint8_t packet[300] = { 0 };

	for (uint32_t i = 1; i <= MANY; i++) {
		memcpy(packet, &i, sizeof(i));
		packet[4] = (uint8_t)i;
		packet[sizeof(packet) - 1] = (uint8_t)i;
		capture_packet(arg, 0, 1, true, packet, 5 + i % (sizeof(packet) - 5));
	}
	return NULL;
}

static bool on_whole(void *arg, const struct capture_record *r, const uint8_t *data)
{
	struct seen *s = arg;
	uint32_t number;

	memcpy(&number, data, sizeof(number));
	s->is_in_order =
		s->is_in_order && number > s->last && r->captured == 5 + number % 295 && data[4] == (uint8_t)number;
	s->last = number;
	s->n++;
	return true;
}

static void a_writer_and_a_reader_at_once_lose_nothing_uncounted(void **state)
{
	static struct seen s;
	struct capture *c = capture_new(0, 65535);
	pthread_t writer;

	(void)state;
	s = (struct seen){ .is_in_order = true };
	assert_int_equal(capture_add_lane(c, 0), 0);
	assert_int_equal(pthread_create(&writer, NULL, write_many, capture_ref(c)), 0);
	while (s.n + capture_dropped(c) < MANY)
		capture_drain(c, on_whole, &s);
	pthread_join(writer, NULL);
	capture_drain(c, on_whole, &s);
	assert_true(s.is_in_order);
	assert_int_equal(s.n + capture_dropped(c), MANY);
	capture_unref(c);
	capture_unref(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_passes_is_handed_over_once),
		cmocka_unit_test(only_the_peer_and_the_bytes_asked_for_are_kept),
		cmocka_unit_test(a_full_ring_leaves_out_and_counts),
		cmocka_unit_test(whoever_has_enough_gets_the_rest_the_next_time),
		cmocka_unit_test(a_writer_and_a_reader_at_once_lose_nothing_uncounted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
