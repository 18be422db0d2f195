#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "daemon/coordinator/bucket.h"
#include "daemon/coordinator/stun_limit.h"

static struct ip ip(const char *text)
{
	struct ip out;

	assert_int_equal(ip_from_text(&out, text), 0);
	return out;
}

static unsigned taken(struct stun_limit *l, const char *source, unsigned tries, uint64_t now_ms)
{
	struct ip from = ip(source);
	unsigned n = 0;

	for (unsigned i = 0; i < tries; i++)
		n += stun_limit_take(l, &from, now_ms);
	return n;
}

static void a_source_gets_its_burst_and_then_its_rate(void **state)
{
	struct stun_limit *l = stun_limit_new(1000);

	(void)state;
	assert_int_equal(taken(l, "192.0.2.1", 100, 1000), STUN_LIMIT_BURST);
	assert_int_equal(taken(l, "192.0.2.1", 100, 2000), STUN_LIMIT_PER_S);
	assert_int_equal(taken(l, "192.0.2.1", 100, 2000), 0);
	assert_int_equal(taken(l, "192.0.2.1", 100, UINT64_MAX / 2), STUN_LIMIT_BURST);
	stun_limit_free(l);
}

static void another_source_has_its_own_burst(void **state)
{
	struct stun_limit *l = stun_limit_new(0);

	(void)state;
	assert_int_equal(taken(l, "192.0.2.1", 100, 0), STUN_LIMIT_BURST);
	assert_int_equal(taken(l, "192.0.2.2", 100, 0), STUN_LIMIT_BURST);
	stun_limit_free(l);
}

static void hosts_of_one_ipv6_network_share_a_burst(void **state)
{
	struct stun_limit *l = stun_limit_new(0);

	(void)state;
	assert_int_equal(taken(l, "2001:db8::1", 30, 0), 30);
	assert_int_equal(taken(l, "2001:db8::ffff:2", 30, 0), STUN_LIMIT_BURST - 30);
	assert_int_equal(taken(l, "2001:db8:0:1::1", 30, 0), 30);
	stun_limit_free(l);
}

static void many_sources_meet_the_limit_over_all(void **state)
{
	struct stun_limit *l = stun_limit_new(0);
	unsigned n = 0;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		struct ip from = { .len = 4, .b = { 198, 51, (uint8_t)(i >> 8), (uint8_t)i } };

		n += stun_limit_take(l, &from, 0);
	}
	assert_int_equal(n, STUN_LIMIT_TOTAL_PER_S);
	stun_limit_free(l);
}

static void a_bucket_ignores_a_clock_that_stands_still_or_falls_back(void **state)
{
	struct bucket b;

	(void)state;
	bucket_init(&b, 2, 5000);
	assert_true(bucket_take(&b, 1, 2, 5000));
	assert_true(bucket_take(&b, 1, 2, 4000));
	assert_false(bucket_take(&b, 1, 2, 4999));
	assert_false(bucket_take(&b, 1, 2, 5999));
	assert_true(bucket_take(&b, 1, 2, 6000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_source_gets_its_burst_and_then_its_rate),
		cmocka_unit_test(another_source_has_its_own_burst),
		cmocka_unit_test(hosts_of_one_ipv6_network_share_a_burst),
		cmocka_unit_test(many_sources_meet_the_limit_over_all),
		cmocka_unit_test(a_bucket_ignores_a_clock_that_stands_still_or_falls_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
