#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/key.h"
#include "daemon/peer/binding.h"

#define SENT_MAX 256

static const struct endpoint servers[] = {
	{ .ip = { 4, { 203, 0, 113, 1 } }, .port = 27700 },
	{ .ip = { 4, { 203, 0, 113, 1 } }, .port = 27701 },
	{ .ip = { 16, { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 } }, .port = 27700 },
};
static const struct endpoint home = { .ip = { 4, { 198, 51, 100, 9 } }, .port = 4000 };
static const struct endpoint home_6 = { .ip = { 16, { 0x20, 0x01, 0x0d, 0xb8, [15] = 9 } }, .port = 4000 };

struct sent {
	uint64_t at_ms;
	struct endpoint to;
	struct wire_bind request;
};

struct fixture {
	struct binding *b;
	uint64_t now_ms;
	unsigned n_sent, n_changed, n_ticks;
	struct sent sent[SENT_MAX];
};

static void on_send(void *arg, const struct endpoint *to, const struct wire_bind *request)
{
	struct fixture *f = arg;

	assert_true(f->n_sent < SENT_MAX);
	f->sent[f->n_sent++] = (struct sent){ f->now_ms, *to, *request };
}

static void on_changed(void *arg)
{
	((struct fixture *)arg)->n_changed++;
}

static const struct binding_env env = { on_send, on_changed };

static int set_up(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	f.now_ms = 1000;
	f.b = binding_new(&env, &f);
	assert_non_null(f.b);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	binding_free(f->b);
	return 0;
}

static void run(struct fixture *f, uint64_t ms)
{
	uint64_t end_ms = f->now_ms + ms;

	while (binding_next_ms(f->b) <= end_ms) {
		if (binding_next_ms(f->b) > f->now_ms)
			f->now_ms = binding_next_ms(f->b);
		f->n_ticks++;
		binding_tick(f->b, f->now_ms);
		assert_true(binding_next_ms(f->b) > f->now_ms); /* or the loop would spin */
	}
	f->now_ms = end_ms;
}

/* The last request that went to a server. */
static const struct sent *last_to(const struct fixture *f, unsigned server)
{
	for (unsigned i = f->n_sent; i > 0; i--)
		if (endpoint_equal(&f->sent[i - 1].to, &servers[server]))
			return &f->sent[i - 1];
	fail_msg("nothing was sent to server %u", server);
	return NULL;
}

static unsigned n_sent_to(const struct fixture *f, unsigned server)
{
	unsigned n = 0;

	for (unsigned i = 0; i < f->n_sent; i++)
		n += endpoint_equal(&f->sent[i].to, &servers[server]);
	return n;
}

static void answer(struct fixture *f, unsigned server, const struct endpoint *observed, bool is_bound)
{
	struct wire_bind reply = {
		.type = BIND_REPLY,
		.flags = is_bound ? BIND_BOUND : 0,
		.token = last_to(f, server)->request.token,
		.observed = *observed,
	};

	if (server == 0 && !is_bound)
		reply.challenge = 4711;
	binding_on_reply(f->b, &servers[server], &reply, f->now_ms);
}

static struct endpoint with_port(struct endpoint e, uint16_t port)
{
	e.port = port;
	return e;
}

/* Both IPv4 ports have answered, the first is bound. */
static void bind_now(struct fixture *f)
{
	binding_start(f->b, servers, 2, f->now_ms);
	f->now_ms += 20;
	answer(f, 0, &home, false);
	answer(f, 1, &home, false);
	f->now_ms += 20;
	answer(f, 0, &home, true);
	assert_true(binding_is_bound(f->b));
}

/* So long with everything answered `rtt_ms` after it was asked. */
static void run_answered(struct fixture *f, uint64_t ms, uint64_t rtt_ms)
{
	uint64_t end_ms = f->now_ms + ms;

	while (f->now_ms < end_ms && binding_next_ms(f->b) < end_ms) {
		unsigned before = f->n_sent;

		run(f, binding_next_ms(f->b) - f->now_ms);
		f->now_ms += rtt_ms;
		for (unsigned i = before, n = f->n_sent; i < n; i++)
			answer(f, endpoint_equal(&f->sent[i].to, &servers[0]) ? 0 : 1, &home, true);
	}
	run(f, end_ms > f->now_ms ? end_ms - f->now_ms : 0);
}

/* ---------------------------------------------------------------- asking */

static void start_asks_every_server_at_once(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(binding_next_ms(f->b), UINT64_MAX);
	binding_start(f->b, servers, 3, f->now_ms);
	assert_int_equal(f->n_sent, 3);
	assert_int_equal(last_to(f, 0)->request.flags, 0);
	assert_int_equal(last_to(f, 1)->request.flags, BIND_NO_MOVE);
	assert_int_equal(last_to(f, 2)->request.flags, BIND_NO_MOVE);
	assert_int_equal(last_to(f, 0)->request.type, BIND_REQUEST);
	assert_true(last_to(f, 0)->request.token != last_to(f, 1)->request.token);
	assert_false(binding_is_tested(f->b));
	assert_false(binding_is_blocked(f->b));
	assert_false(binding_is_bound(f->b));
}

static void challenge_is_repeated_at_once(void **state)
{
	struct fixture *f = *state;

	binding_start(f->b, servers, 2, f->now_ms);
	assert_int_equal(last_to(f, 0)->request.challenge, 0);
	f->now_ms += 20;
	answer(f, 0, &home, false);
	assert_false(binding_is_bound(f->b));
	assert_int_equal(n_sent_to(f, 0), 2);
	assert_int_equal(last_to(f, 0)->at_ms, f->now_ms);
	assert_int_equal(last_to(f, 0)->request.challenge, 4711);
	f->now_ms += 20;
	answer(f, 0, &home, true);
	assert_true(binding_is_bound(f->b));
	assert_int_equal(binding_rtt_us(f->b), 20000);
	answer(f, 1, &home, false);
	assert_int_equal(n_sent_to(f, 1), 1); /* binds nothing, so nothing is to be proved */
}

static void server_that_never_binds_does_not_set_the_pace(void **state)
{
	struct fixture *f = *state;

	binding_start(f->b, servers, 1, f->now_ms);
	for (unsigned i = 0; i < 100; i++)
		answer(f, 0, &home, false);
	assert_in_range(f->n_sent, 2, 5);
	run(f, 14999);
	assert_in_range(f->n_sent, 2, 5);
	run(f, 3001);
	assert_true(f->n_sent > 3);
}

static void unanswered_request_is_repeated_and_given_up(void **state)
{
	static const uint64_t at_ms[] = { 0, 150, 450, 1050, 2250 };
	struct fixture *f = *state;
	uint64_t began_ms = f->now_ms;

	binding_start(f->b, servers, 1, f->now_ms);
	run(f, 3449);
	assert_int_equal(f->n_sent, 5);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(f->sent[i].at_ms - began_ms, at_ms[i]);
	assert_false(binding_is_tested(f->b));
	assert_false(binding_is_blocked(f->b));
	assert_int_equal(f->n_changed, 0);
	run(f, 1);
	assert_int_equal(f->n_sent, 5);
	assert_true(binding_is_tested(f->b));
	assert_true(binding_is_blocked(f->b));
	assert_false(binding_family_ok(f->b, 4));
	assert_int_equal(f->n_changed, 1);
}

static void blocked_is_tried_again_every_30_s_and_on_refresh(void **state)
{
	struct fixture *f = *state;

	binding_start(f->b, servers, 1, f->now_ms);
	run(f, 3450 + 29999);
	assert_int_equal(f->n_sent, 5);
	run(f, 1);
	assert_int_equal(f->n_sent, 6);
	assert_true(binding_is_blocked(f->b)); /* until there is an answer */
	run(f, 10000);
	assert_int_equal(f->n_sent, 10);
	binding_refresh(f->b, f->now_ms);
	assert_int_equal(f->n_sent, 11);
	answer(f, 0, &home, true);
	assert_false(binding_is_blocked(f->b));
	assert_true(binding_is_bound(f->b));
	assert_true(binding_family_ok(f->b, 4));
}

static void one_answering_server_is_not_blocked(void **state)
{
	struct fixture *f = *state;

	binding_start(f->b, servers, 3, f->now_ms);
	answer(f, 2, &home_6, false);
	run(f, 4000);
	assert_true(binding_is_tested(f->b));
	assert_false(binding_is_blocked(f->b));
	assert_false(binding_is_bound(f->b));
	assert_true(binding_family_ok(f->b, 16));
	assert_false(binding_family_ok(f->b, 4));
	run(f, 30000); /* the relay's own port is tried on */
	assert_true(n_sent_to(f, 0) > 5);
}

static void answer_on_a_slow_path_counts_after_a_repetition(void **state)
{
	struct fixture *f = *state;
	struct wire_bind reply = { .type = BIND_REPLY, .flags = BIND_BOUND, .observed = home };

	binding_start(f->b, servers, 1, f->now_ms);
	reply.token = f->sent[0].request.token;
	run(f, 400);
	assert_int_equal(f->n_sent, 2);
	binding_on_reply(f->b, &servers[0], &reply, f->now_ms);
	assert_true(binding_is_bound(f->b));
	assert_int_equal(binding_rtt_us(f->b), 400000);
}

/* ---------------------------------------------------------------- judging */

static void same_reflexive_port_from_two_ports_is_endpoint_independent(void **state)
{
	struct fixture *f = *state;
	struct endpoint seen[4];

	binding_start(f->b, servers, 2, f->now_ms);
	assert_int_equal(binding_mapping(f->b), NAT_MAPPING_UNKNOWN);
	answer(f, 0, &home, false);
	assert_int_equal(binding_mapping(f->b), NAT_MAPPING_UNKNOWN);
	assert_false(binding_is_tested(f->b));
	answer(f, 1, &home, false);
	assert_int_equal(binding_mapping(f->b), NAT_MAPPING_ENDPOINT_INDEPENDENT);
	assert_true(binding_is_tested(f->b));
	assert_int_equal(binding_reflexive(f->b, seen, 4), 1);
	assert_true(endpoint_equal(&seen[0], &home));
}

static void other_reflexive_port_from_the_other_port_is_endpoint_dependent(void **state)
{
	struct fixture *f = *state;
	struct endpoint other = with_port(home, 4001), seen[4];

	binding_start(f->b, servers, 2, f->now_ms);
	answer(f, 0, &home, false);
	answer(f, 1, &other, false);
	assert_int_equal(binding_mapping(f->b), NAT_MAPPING_ENDPOINT_DEPENDENT);
	assert_int_equal(binding_reflexive(f->b, seen, 4), 2);
	assert_true(endpoint_equal(&seen[0], &other)); /* newest first */
	assert_true(endpoint_equal(&seen[1], &home));
	assert_int_equal(binding_reflexive(f->b, seen, 1), 1);
}

static void one_answer_or_another_family_leaves_the_mapping_unknown(void **state)
{
	struct fixture *f = *state;

	binding_start(f->b, servers, 3, f->now_ms);
	answer(f, 0, &home, true);
	answer(f, 2, &home_6, false);
	run(f, 4000);
	assert_true(binding_is_tested(f->b));
	assert_int_equal(binding_mapping(f->b), NAT_MAPPING_UNKNOWN);
	assert_true(binding_family_ok(f->b, 4));
	assert_true(binding_family_ok(f->b, 16));
}

static void new_network_is_not_judged_by_what_the_old_one_answered(void **state)
{
	static const struct endpoint elsewhere = { .ip = { 4, { 192, 0, 2, 77 } }, .port = 5000 };
	struct fixture *f = *state;
	struct endpoint seen[4];

	bind_now(f);
	assert_int_equal(binding_mapping(f->b), NAT_MAPPING_ENDPOINT_INDEPENDENT);
	run(f, 1000);
	binding_refresh(f->b, f->now_ms);
	answer(f, 0, &elsewhere, false);
	assert_int_equal(binding_mapping(f->b), NAT_MAPPING_ENDPOINT_INDEPENDENT); /* not "dependent" meanwhile */
	answer(f, 1, &elsewhere, false);
	assert_int_equal(binding_mapping(f->b), NAT_MAPPING_ENDPOINT_INDEPENDENT);
	assert_int_equal(binding_reflexive(f->b, seen, 4), 1); /* the old one is gone */
	assert_true(endpoint_equal(&seen[0], &elsewhere));
}

static void moved_reflexive_endpoint_is_noticed_by_the_keepalive(void **state)
{
	struct fixture *f = *state;
	struct endpoint moved = with_port(home, 4242), seen[4];
	unsigned n_alternate, n_changed;

	bind_now(f);
	n_alternate = n_sent_to(f, 1);
	n_changed = f->n_changed;
	run(f, binding_next_ms(f->b) - f->now_ms); /* the NAT restarted; the keepalive is seen from elsewhere */
	answer(f, 0, &moved, false);
	assert_int_equal(f->n_changed, n_changed + 1);
	assert_false(binding_is_bound(f->b)); /* the relay sends to the old one until we prove the new */
	assert_int_equal(n_sent_to(f, 1), n_alternate + 1);
	answer(f, 0, &moved, true);
	answer(f, 1, &moved, false);
	assert_true(binding_is_bound(f->b));
	assert_int_equal(binding_reflexive(f->b, seen, 4), 1);
	assert_true(endpoint_equal(&seen[0], &moved));
}

static void owner_is_told_of_changes_only(void **state)
{
	struct fixture *f = *state;
	unsigned n;

	bind_now(f);
	n = f->n_changed;
	assert_in_range(n, 1, 4);
	run_answered(f, 600000, 20);
	assert_int_equal(f->n_changed, n);
}

/* ---------------------------------------------------------------- keeping */

static void mapping_is_kept_open_every_15_to_18_s(void **state)
{
	struct fixture *f = *state;
	uint64_t last_ms;
	unsigned before;

	bind_now(f);
	run_answered(f, 1000, 20);
	before = f->n_sent;
	last_ms = last_to(f, 0)->at_ms;
	f->n_ticks = 0;
	run_answered(f, 300000, 20);
	for (unsigned i = before; i < f->n_sent; i++) {
		assert_true(endpoint_equal(&f->sent[i].to, &servers[0])); /* one mapping is enough */
		assert_in_range(f->sent[i].at_ms - last_ms, 15000, 18050);
		last_ms = f->sent[i].at_ms;
	}
	assert_in_range(f->n_sent - before, 16, 20);
	assert_int_equal(f->n_ticks, f->n_sent - before); /* idle: one wake-up each */
	assert_true(binding_is_bound(f->b));
}

static void silent_relay_is_unbound_and_everything_is_asked_anew(void **state)
{
	struct fixture *f = *state;
	unsigned n_alternate;

	bind_now(f);
	n_alternate = n_sent_to(f, 1);
	run(f, 18000 + 3450);
	assert_false(binding_is_bound(f->b));
	assert_true(n_sent_to(f, 1) > n_alternate);
	run(f, 3500);
	assert_true(binding_is_blocked(f->b));
	assert_int_equal(binding_mapping(f->b), NAT_MAPPING_UNKNOWN);
	assert_int_equal(binding_rtt_us(f->b), 0);
	binding_refresh(f->b, f->now_ms);
	answer(f, 0, &home, true);
	assert_true(binding_is_bound(f->b));
	assert_false(binding_is_blocked(f->b));
}

static void refreshes_are_500_ms_apart_and_none_is_lost(void **state)
{
	struct fixture *f = *state;
	uint64_t began_ms;
	unsigned before;

	bind_now(f);
	run_answered(f, 1000, 20);
	before = n_sent_to(f, 1);
	began_ms = f->now_ms;
	for (unsigned i = 0; i < 100; i++) {
		binding_refresh(f->b, f->now_ms);
		if (n_sent_to(f, 1) > before)
			answer(f, 1, &home, false);
		answer(f, 0, &home, true);
		run(f, 10);
	}
	assert_in_range(n_sent_to(f, 1) - before, 2, 3); /* at 0, 500 and perhaps 1000 ms */
	run(f, 600);
	assert_int_equal(n_sent_to(f, 1) >= before + 3, true);
	assert_true(f->now_ms > began_ms);
}

static void stop_forgets_all_but_the_facts(void **state)
{
	struct fixture *f = *state;
	struct endpoint seen[4];
	unsigned n;

	bind_now(f);
	binding_stop(f->b);
	n = f->n_sent;
	assert_false(binding_is_bound(f->b));
	assert_false(binding_is_blocked(f->b));
	assert_int_equal(binding_next_ms(f->b), UINT64_MAX);
	binding_refresh(f->b, f->now_ms);
	binding_tick(f->b, f->now_ms + 100000);
	answer(f, 0, &home, true);
	assert_int_equal(f->n_sent, n);
	assert_false(binding_is_bound(f->b));
	assert_int_equal(binding_mapping(f->b), NAT_MAPPING_ENDPOINT_INDEPENDENT);
	assert_int_equal(binding_reflexive(f->b, seen, 4), 1);
	assert_true(binding_family_ok(f->b, 4));
	bind_now(f); /* and it can begin again */
}

/* ---------------------------------------------------------------- strangers */

static void reply_that_does_not_match_is_ignored(void **state)
{
	static const struct endpoint elsewhere = { .ip = { 4, { 203, 0, 113, 66 } }, .port = 27700 };
	struct fixture *f = *state;
	struct wire_bind reply = { .type = BIND_REPLY, .flags = BIND_BOUND, .observed = home };
	uint64_t token;
	unsigned n;

	binding_start(f->b, servers, 2, f->now_ms);
	token = last_to(f, 0)->request.token;
	n = f->n_sent;
	reply.token = token;
	binding_on_reply(f->b, &elsewhere, &reply, f->now_ms);  /* wrong address */
	binding_on_reply(f->b, &servers[1], &reply, f->now_ms); /* another server's port */
	reply.token = token ^ 1;
	binding_on_reply(f->b, &servers[0], &reply, f->now_ms); /* wrong token */
	reply.token = 0;
	binding_on_reply(f->b, &servers[0], &reply, f->now_ms);
	reply.token = token;
	reply.type = BIND_REQUEST;
	binding_on_reply(f->b, &servers[0], &reply, f->now_ms); /* our own, reflected */
	assert_int_equal(f->n_changed, 0);
	assert_int_equal(f->n_sent, n);
	assert_false(binding_is_bound(f->b));
	assert_false(binding_family_ok(f->b, 4));
	reply.type = BIND_REPLY;
	binding_on_reply(f->b, &servers[0], &reply, f->now_ms);
	assert_true(binding_is_bound(f->b));
}

static void second_reply_to_one_request_is_ignored(void **state)
{
	struct fixture *f = *state;
	struct endpoint other = with_port(home, 9), seen[4];

	bind_now(f);
	answer(f, 0, &other, false); /* the same token again */
	assert_true(binding_is_bound(f->b));
	assert_int_equal(binding_reflexive(f->b, seen, 4), 1);
	assert_true(endpoint_equal(&seen[0], &home));
}

static int start(void **state)
{
	(void)state;
	return crypto_start();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(start_asks_every_server_at_once),
		TEST(challenge_is_repeated_at_once),
		TEST(server_that_never_binds_does_not_set_the_pace),
		TEST(unanswered_request_is_repeated_and_given_up),
		TEST(blocked_is_tried_again_every_30_s_and_on_refresh),
		TEST(one_answering_server_is_not_blocked),
		TEST(answer_on_a_slow_path_counts_after_a_repetition),
		TEST(same_reflexive_port_from_two_ports_is_endpoint_independent),
		TEST(other_reflexive_port_from_the_other_port_is_endpoint_dependent),
		TEST(one_answer_or_another_family_leaves_the_mapping_unknown),
		TEST(new_network_is_not_judged_by_what_the_old_one_answered),
		TEST(moved_reflexive_endpoint_is_noticed_by_the_keepalive),
		TEST(owner_is_told_of_changes_only),
		TEST(mapping_is_kept_open_every_15_to_18_s),
		TEST(silent_relay_is_unbound_and_everything_is_asked_anew),
		TEST(refreshes_are_500_ms_apart_and_none_is_lost),
		TEST(stop_forgets_all_but_the_facts),
		TEST(reply_that_does_not_match_is_ignored),
		TEST(second_reply_to_one_request_is_ignored),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
