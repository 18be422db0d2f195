#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "daemon/relay/quota.h"

#define MBIT UINT64_C(1000000)

/* Tries a datagram of `len` bytes each ms of [from, to); returns the bits that passed. */
static uint64_t flood(struct quota *q, size_t len, unsigned tries_per_ms, uint64_t from_ms, uint64_t to_ms)
{
	uint64_t bits = 0;

	for (uint64_t now = from_ms; now < to_ms; now++)
		for (unsigned i = 0; i < tries_per_ms; i++)
			bits += quota_take(q, len, now) ? len * 8 : 0;
	return bits;
}

static void assert_within(uint64_t value, uint64_t expected, unsigned percent)
{
	assert_in_range(value, expected - expected * percent / 100, expected + expected * percent / 100);
}

static void burst_is_a_quarter_second(void **state)
{
	struct quota q;

	(void)state;
	quota_init(&q, 20 * MBIT, 0, 1000);
	assert_within(flood(&q, 1250, 1000, 1000, 1001), 5 * MBIT, 1);
	assert_false(quota_take(&q, 1250, 1000));
}

static void low_rate_still_passes_64_full_datagrams_at_once(void **state)
{
	struct quota q;

	(void)state;
	quota_init(&q, 1000, 1, 0);
	for (int i = 0; i < 64; i++)
		assert_true(quota_take(&q, 1500, 0));
	assert_false(quota_take(&q, 1500, 0));
}

static void rate_is_kept_over_time(void **state)
{
	static const uint64_t rates[] = { 64000, MBIT, 20 * MBIT, 100 * MBIT };
	struct quota q;

	(void)state;
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		quota_init(&q, rates[i], 0, 0);
		flood(&q, 1250, 1000, 0, 1); /* the burst */
		assert_within(flood(&q, 1250, 12, 1, 20001), 20 * rates[i], 1);
	}
}

static void packets_are_limited_apart_from_bits(void **state)
{
	uint64_t n;
	struct quota q;

	(void)state;
	quota_init(&q, 1000 * MBIT, 5000, 0);
	n = flood(&q, 1, 2000, 0, 1) / 8;
	assert_int_equal(n, 1250);
	assert_within(flood(&q, 1, 20, 1, 2001) / 8, 10000, 1);
}

static void no_packet_rate_is_no_limit_on_packets(void **state)
{
	struct quota q;

	(void)state;
	quota_init(&q, 100 * MBIT, 0, 0);
	assert_int_equal(flood(&q, 1, 100000, 0, 1), 800000);
}

static void no_bit_rate_passes_nothing(void **state)
{
	struct quota q;

	(void)state;
	quota_init(&q, 0, 0, 0);
	assert_false(quota_take(&q, 1, 0));
	assert_false(quota_take(&q, 0, 100000));
}

static void refused_datagram_is_not_charged(void **state)
{
	struct quota q;
	uint64_t bits;

	(void)state;
	quota_init(&q, MBIT, 5000, 0);
	bits = q.bits_left;
	assert_false(quota_take(&q, bits / 8 + 1, 0));
	assert_int_equal(q.bits_left, bits);
	assert_true(quota_take(&q, bits / 8, 0));
	assert_int_equal(q.bits_left, 0);
}

static void changed_limit_keeps_what_is_left(void **state)
{
	struct quota q;

	(void)state;
	quota_init(&q, 20 * MBIT, 5000, 0);
	assert_true(quota_take(&q, 125000, 0));
	assert_int_equal(q.bits_left, 4 * MBIT);
	quota_set(&q, 40 * MBIT, 5000); /* no fresh burst by changing the file */
	assert_int_equal(q.bits_left, 4 * MBIT);
	quota_set(&q, 4 * MBIT, 5000);
	assert_int_equal(q.bits_left, MBIT);
}

static void clock_jumps_neither_grant_nor_starve(void **state)
{
	struct quota q;

	(void)state;
	quota_init(&q, UINT64_MAX, UINT64_MAX, 1000);
	assert_true(quota_take(&q, 1500, 999)); /* a worker's clock read a moment earlier */
	quota_init(&q, 20 * MBIT, 5000, 1000);
	flood(&q, 1250, 1000, 1000, 1001);
	assert_false(quota_take(&q, 1250, 0));
	assert_true(quota_take(&q, 1250, UINT64_MAX));
	assert_true(q.bits_left <= 5 * MBIT);
}

#define N_HEAVY 5

static void what_all_share_is_not_used_up_by_a_few(void **state)
{
	/* 20 Mbit/s for all; five that send all of their 10, and one that sends 1, last in every turn. */
	struct quota heavy[N_HEAVY], light, all;
	uint64_t bits = 0, n_light = 0;

	(void)state;
	quota_init(&all, 20 * MBIT, 0, 0);
	quota_init(&light, 10 * MBIT, 5000, 0);
	for (unsigned i = 0; i < N_HEAVY; i++)
		quota_init(&heavy[i], 10 * MBIT, 5000, 0);
	for (uint64_t now = 0; now < 2000; now++) {
		for (unsigned i = 0; i < N_HEAVY; i++)
			for (unsigned j = 0; j < 10; j++)
				bits += quota_take_shared(&heavy[i], &all, 1250, now) ? 10000 : 0;
		if (now % 10 == 0)
			n_light += quota_take_shared(&light, &all, 1250, now);
	}
	assert_int_equal(n_light, 200);
	assert_in_range(bits + n_light * 10000, 39 * MBIT, 45 * MBIT); /* the rest is used */
}

static void who_is_alone_gets_all(void **state)
{
	struct quota own, all;
	uint64_t bits = 0;

	(void)state;
	quota_init(&own, 100 * MBIT, 0, 0);
	quota_init(&all, 100 * MBIT, 0, 0);
	for (uint64_t now = 0; now < 2000; now++)
		for (unsigned i = 0; i < 100; i++)
			bits += quota_take_shared(&own, &all, 1250, now) ? 10000 : 0;
	assert_in_range(bits, 198 * MBIT, 226 * MBIT); /* two seconds, and up to a burst */
}

static void who_is_over_its_limit_uses_nothing_of_the_others(void **state)
{
	struct quota own, all;
	uint64_t bits;

	(void)state;
	quota_init(&own, 0, 0, 0);
	quota_init(&all, MBIT, 0, 0);
	bits = all.bits_left;
	assert_false(quota_take_shared(&own, &all, 1250, 0));
	assert_int_equal(all.bits_left, bits);
}

#define THREADS 4
#define THREAD_MS 2000

struct taker {
	pthread_t id;
	struct quota *own, *all;
	uint64_t bits, n;
};

static void *take_much(void *arg)
{
	struct taker *t = arg;

	for (uint64_t now = 0; now < THREAD_MS; now++)
		for (unsigned i = 0; i < 20; i++)
			if (quota_take_shared(t->own, t->all, 1250, now)) {
				t->bits += 10000;
				t->n++;
			}
	return NULL;
}

/* The threads' times differ as far as the scheduler lets them; what the latest grants is all that is granted. */
static void limits_hold_over_all_threads(void **state)
{
	struct taker takers[THREADS];
	struct quota own, all;
	uint64_t bits = 0, n = 0;

	(void)state;
	quota_init(&own, 20 * MBIT, 1000, 0);
	quota_init(&all, 100 * MBIT, 0, 0);
	for (unsigned i = 0; i < THREADS; i++) {
		takers[i] = (struct taker){ .own = &own, .all = &all };
		assert_int_equal(pthread_create(&takers[i].id, NULL, take_much, &takers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(takers[i].id, NULL);
		bits += takers[i].bits;
		n += takers[i].n;
	}
	/* 1000 a second for two seconds, and a burst of 250. Each had reason to take it all alone. */
	assert_in_range(n, 2000, 2250);
	assert_int_equal(bits, n * 10000);
	assert_true(all.bits_left <= 25 * MBIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(burst_is_a_quarter_second),
		cmocka_unit_test(low_rate_still_passes_64_full_datagrams_at_once),
		cmocka_unit_test(rate_is_kept_over_time),
		cmocka_unit_test(packets_are_limited_apart_from_bits),
		cmocka_unit_test(no_packet_rate_is_no_limit_on_packets),
		cmocka_unit_test(no_bit_rate_passes_nothing),
		cmocka_unit_test(refused_datagram_is_not_charged),
		cmocka_unit_test(changed_limit_keeps_what_is_left),
		cmocka_unit_test(clock_jumps_neither_grant_nor_starve),
		cmocka_unit_test(what_all_share_is_not_used_up_by_a_few),
		cmocka_unit_test(who_is_alone_gets_all),
		cmocka_unit_test(who_is_over_its_limit_uses_nothing_of_the_others),
		cmocka_unit_test(limits_hold_over_all_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
