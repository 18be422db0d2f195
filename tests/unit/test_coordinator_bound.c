#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "daemon/coordinator/bound.h"

static struct way way(const char *from)
{
	struct way w = { .port = 0 };

	assert_int_equal(endpoint_from_text(&w.peer, from), 0);
	return w;
}

static struct wire_bind ask(struct bound *b, const char *from, uint64_t challenge, uint8_t flags, uint64_t now_ms)
{
	struct wire_bind request = { .type = BIND_REQUEST, .token = 5, .challenge = challenge, .flags = flags }, reply;
	static uint64_t fresh = 1000;
	struct way w = way(from);

	bound_request(b, &request, &w, ++fresh, now_ms, &reply);
	assert_int_equal(reply.type, BIND_REPLY);
	assert_int_equal(reply.token, 5);
	assert_true(endpoint_equal(&reply.observed, &w.peer));
	return reply;
}

static void bind_at(struct bound *b, const char *from, uint64_t now_ms)
{
	struct wire_bind reply = ask(b, from, 0, 0, now_ms);

	assert_int_equal(reply.flags & BIND_BOUND, 0);
	assert_int_not_equal(reply.challenge, 0);
	reply = ask(b, from, reply.challenge, 0, now_ms);
	assert_int_equal(reply.flags & BIND_BOUND, BIND_BOUND);
	assert_int_equal(reply.challenge, 0);
}

static void an_endpoint_is_bound_once_it_repeats_its_challenge(void **state)
{
	struct bound b = { 0 };

	(void)state;
	assert_null(bound_way(&b, 0));
	bind_at(&b, "192.0.2.1:4000", 100);
	assert_int_equal(bound_way(&b, 100)->peer.port, 4000);
}

static void a_wrong_challenge_binds_nothing(void **state)
{
	struct bound b = { 0 };
	struct wire_bind reply = ask(&b, "192.0.2.1:4000", 0, 0, 0);

	(void)state;
	reply = ask(&b, "192.0.2.1:4000", reply.challenge + 1, 0, 0);
	assert_int_equal(reply.flags, 0);
	assert_null(bound_way(&b, 0));
}

static void a_challenge_counts_only_from_the_endpoint_it_was_sent_to(void **state)
{
	struct bound b = { 0 };
	struct wire_bind reply = ask(&b, "192.0.2.1:4000", 0, 0, 0);

	(void)state;
	reply = ask(&b, "198.51.100.9:1", reply.challenge, 0, 0);
	assert_int_equal(reply.flags, 0);
	assert_null(bound_way(&b, 0));
}

static void a_request_from_elsewhere_leaves_the_bound_endpoint_alone(void **state)
{
	struct bound b = { 0 };
	struct endpoint other = way("198.51.100.9:1").peer;

	(void)state;
	bind_at(&b, "192.0.2.1:4000", 0);
	ask(&b, "198.51.100.9:1", 0, 0, 10);
	assert_int_equal(bound_way(&b, 10)->peer.port, 4000);
	assert_false(bound_is_source(&b, &other));
	bind_at(&b, "198.51.100.9:1", 20); /* after a NAT's change it is the peer itself */
	assert_int_equal(bound_way(&b, 20)->peer.port, 1);
	assert_true(bound_is_source(&b, &other));
}

static void a_repeated_request_gets_the_same_challenge(void **state)
{
	struct bound b = { 0 };
	uint64_t first = ask(&b, "192.0.2.1:4000", 0, 0, 0).challenge;

	(void)state;
	assert_int_equal(ask(&b, "192.0.2.1:4000", 0, 0, 150).challenge, first);
	assert_int_not_equal(ask(&b, "192.0.2.1:4001", 0, 0, 300).challenge, first);
}

static void asking_without_moving_binds_and_challenges_nothing(void **state)
{
	struct bound b = { 0 };
	struct wire_bind reply;

	(void)state;
	bind_at(&b, "192.0.2.1:4000", 0);
	reply = ask(&b, "192.0.2.1:4002", 0, BIND_NO_MOVE, 10);
	assert_int_equal(reply.challenge, 0);
	assert_int_equal(reply.flags, 0);
	assert_int_equal(bound_way(&b, 10)->peer.port, 4000);
}

static void a_binding_is_used_as_long_as_it_is_proven(void **state)
{
	struct bound b = { 0 };
	struct endpoint own = way("192.0.2.1:4000").peer;

	(void)state;
	bind_at(&b, "192.0.2.1:4000", 1000);
	assert_non_null(bound_way(&b, 1000 + BOUND_PROVEN_MS - 1));
	assert_null(bound_way(&b, 1000 + BOUND_PROVEN_MS));
	assert_true(bound_is_source(&b, &own));
	assert_int_equal(ask(&b, "192.0.2.1:4000", 0, 0, 60000).flags, BIND_BOUND);
	assert_non_null(bound_way(&b, 60000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_endpoint_is_bound_once_it_repeats_its_challenge),
		cmocka_unit_test(a_wrong_challenge_binds_nothing),
		cmocka_unit_test(a_challenge_counts_only_from_the_endpoint_it_was_sent_to),
		cmocka_unit_test(a_request_from_elsewhere_leaves_the_bound_endpoint_alone),
		cmocka_unit_test(a_repeated_request_gets_the_same_challenge),
		cmocka_unit_test(asking_without_moving_binds_and_challenges_nothing),
		cmocka_unit_test(a_binding_is_used_as_long_as_it_is_proven),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
