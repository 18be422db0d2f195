/* Which of several proven paths is used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/path_one.h"

static const char *const v4 = "192.0.2.1:1000", *const other_v4 = "192.0.2.2:1000";
static const char *const v6 = "[2001:db8::1]:1000", *const lan = "192.168.1.9:1000";

static bool is_best(const struct one *f, const struct path_addr *a)
{
	return path_set_best(f->set) && path_addr_equal(&path_set_best(f->set)->addr, a);
}

static void classes_come_before_rtt(void **state)
{
	struct one f;
	const struct one_peer peers[] = {
		{ one_relay_tcp, 5 },
		{ one_relay_udp, 6 },
		{ one_udp(v4), 50 },
		{ one_udp(lan), 80 },
	};

	(void)state;
	for (unsigned n = 1; n <= 4; n++) { /* with each further one the further one is used */
		one_init(&f);
		one_add(&f, CANDIDATE_HOST, v4);
		one_add(&f, CANDIDATE_HOST, lan);
		path_set_relay(f.set, PATH_RELAY_UDP, 0, true, f.now_ms);
		path_set_relay(f.set, PATH_RELAY_TCP, 0, true, f.now_ms);
		path_set_start(f.set, f.now_ms);
		one_run_answered(&f, 2000, peers, n);
		assert_true(is_best(&f, &peers[n - 1].addr));
		assert_int_equal(path_set_best(f.set)->is_lan, n == 4); /* private, and it answered */
		for (unsigned i = 0; n == 4 && i < 4; i++)              /* listed from the best class to the worst */
			assert_true(path_addr_equal(&path_set_at(f.set, i)->addr, &peers[3 - i].addr));
		one_fini(&f);
	}
}

static void the_first_of_a_class_is_kept_unless_another_is_clearly_better(void **state)
{
	static const struct {
		uint64_t v4_ms, v6_ms;
		bool is_v6_used;
	} cases[] = {
		{ 20, 18, false },                                       /* 3 ms are not gained */
		{ 20, 17, false }, { 20, 16, true }, { 100, 93, false }, /* 10 % are not gained */
		{ 100, 85, true },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct one f;
		const struct path_addr a4 = one_udp(v4), a6 = one_udp(v6);

		one_init(&f);
		one_add(&f, CANDIDATE_HOST, v4);
		path_set_start(f.set, f.now_ms);
		one_run_answered(&f, 2000, &(struct one_peer){ a4, cases[i].v4_ms }, 1);
		assert_true(is_best(&f, &a4));
		one_add(&f, CANDIDATE_HOST, v6);
		one_run_answered(&f, 2000, &(struct one_peer){ a6, cases[i].v6_ms }, 1);
		assert_true(is_best(&f, cases[i].is_v6_used ? &a6 : &a4));
		one_fini(&f);
	}
}

static void jitter_does_not_make_it_flap(void **state)
{
	struct one f;
	struct one_peer peers[] = { { one_udp(v4), 20 }, { one_udp(other_v4), 20 } };
	struct path_addr last = { 0 };
	uint64_t changed_ms = 0;
	unsigned n_changes = 0, seed = 12345;

	(void)state;
	one_init(&f);
	one_add(&f, CANDIDATE_HOST, v4);
	one_add(&f, CANDIDATE_HOST, other_v4);
	for (unsigned i = 0; i < 600; i++) { /* a round a second, for ten minutes */
		seed = seed * 1103515245u + 12345u;
		peers[0].rtt_ms = 5 + (seed >> 16) % 60;
		seed = seed * 1103515245u + 12345u;
		peers[1].rtt_ms = 5 + (seed >> 16) % 60;
		path_set_start(f.set, f.now_ms);
		one_run_answered(&f, 1000, peers, 2);
		if (is_best(&f, &last))
			continue;
		last = path_set_best(f.set)->addr;
		if (n_changes++ > 1)
			assert_true(f.now_ms - changed_ms >= 9000);
		changed_ms = f.now_ms;
	}
	assert_in_range(n_changes, 2, 40);
	assert_int_equal(f.n_silent, 0);
	one_fini(&f);
}

static void given_up(struct one *f, uint64_t idle_ms)
{
	one_run(f, idle_ms);
	f->activity.last_sent_ms = f->now_ms;
	path_set_tick(f->set, &f->activity, f->now_ms);
	for (unsigned i = 0; i < 40 && f->n_silent == 0; i++) {
		f->activity.last_sent_ms = f->now_ms;
		one_run(f, 50);
	}
	assert_int_equal(f->n_silent, 1);
}

static void start_with_lan_v4_and_relay(struct one *f, const struct one_peer *peers)
{
	one_init(f);
	f->activity.in_contact = false;
	one_add(f, CANDIDATE_HOST, lan);
	one_add(f, CANDIDATE_HOST, v4);
	path_set_relay(f->set, PATH_RELAY_UDP, 0, true, f->now_ms);
	path_set_start(f->set, f->now_ms);
	one_run_answered(f, 1500, peers, 3);
	assert_true(is_best(f, &peers[0].addr));
}

static void a_standby_proven_lately_takes_over_at_once(void **state)
{
	struct one f;
	const struct one_peer peers[] = { { one_udp(lan), 2 }, { one_udp(v4), 20 }, { one_relay_udp, 40 } };

	(void)state;
	for (unsigned is_late = 0; is_late < 2; is_late++) {
		start_with_lan_v4_and_relay(&f, peers);
		given_up(&f, is_late ? 31000 : 20000);
		assert_true(is_best(&f, is_late ? &peers[2].addr : &peers[1].addr));
		one_fini(&f);
	}
}

static void one_answer_after_a_long_time_is_not_enough(void **state)
{
	struct one f;
	const struct one_peer peers[] = { { one_udp(lan), 2 }, { one_udp(v4), 20 }, { one_relay_udp, 40 } };

	(void)state;
	start_with_lan_v4_and_relay(&f, peers);
	given_up(&f, 31000);
	one_run(&f, 30);
	one_answer(&f, one_last_to(&f, &peers[1].addr));
	assert_true(is_best(&f, &one_relay_udp));
	one_run(&f, 10);
	one_answer(&f, one_last_to(&f, &peers[1].addr));
	assert_true(is_best(&f, &peers[1].addr));
	one_fini(&f);
}

static void a_standby_that_missed_a_round_is_not_trusted(void **state)
{
	struct one f;
	const struct one_peer peers[] = { { one_udp(lan), 2 }, { one_udp(v4), 20 }, { one_relay_udp, 40 } };

	(void)state;
	start_with_lan_v4_and_relay(&f, peers);
	path_set_start(f.set, f.now_ms);
	one_run_answered(&f, 9000, peers, 1);
	assert_int_equal(one_path(&f, &peers[1].addr)->state, PATH_FAILED);
	given_up(&f, 10000);
	assert_true(is_best(&f, &one_relay_udp));
	one_fini(&f);
}

static void data_that_was_answered_asks_for_no_probe(void **state)
{
	struct one f;
	const struct one_peer peers[] = { { one_udp(lan), 2 }, { one_udp(v4), 20 }, { one_relay_udp, 40 } };
	unsigned n_sent;

	(void)state;
	start_with_lan_v4_and_relay(&f, peers);
	one_run(&f, 20000);
	n_sent = f.n_sent;
	f.activity.last_sent_ms = f.now_ms;
	f.activity.path_received_ms = f.now_ms + 40;
	one_run(&f, 1);
	path_set_tick(f.set, &f.activity, f.now_ms + 40);
	one_run(&f, 5000);
	assert_int_equal(f.n_sent, n_sent);
	one_fini(&f);
}

static void a_change_of_network_does_not_wait_for_budgets(void **state)
{
	struct one f;
	const struct path_addr a = one_udp(v4);

	(void)state;
	one_init(&f);
	one_add(&f, CANDIDATE_HOST, v4);
	path_set_start(f.set, f.now_ms);
	one_run(&f, 1500);
	assert_int_equal(one_count_to(&f, &a), 5);
	path_set_start(f.set, f.now_ms);
	one_run(&f, 1500);
	assert_int_equal(one_count_to(&f, &a), 5);
	path_set_network_changed(f.set, f.now_ms);
	one_run(&f, 1500);
	assert_int_equal(one_count_to(&f, &a), 10);
	one_fini(&f);
}

static void a_relay_not_yet_proven_is_better_than_a_dead_path(void **state)
{
	struct one f;
	const struct path_addr a = one_udp(v4);

	(void)state;
	one_init(&f);
	path_set_on_handshake(f.set, &a, 20000, f.now_ms);
	path_set_start(f.set, f.now_ms);
	given_up(&f, 10000);
	assert_true(is_best(&f, &a)); /* nothing else there is */
	path_set_relay(f.set, PATH_RELAY_UDP, 0, true, f.now_ms);
	assert_true(is_best(&f, &one_relay_udp));
	assert_int_equal(one_path(&f, &a)->state, PATH_FAILED);
	one_fini(&f);
}

static void a_relay_that_cannot_be_used_is_left(void **state)
{
	struct one f;

	(void)state;
	one_init(&f);
	path_set_relay(f.set, PATH_RELAY_TCP, 0, true, f.now_ms);
	path_set_on_handshake(f.set, &one_relay_udp, 20000, f.now_ms);
	path_set_start(f.set, f.now_ms);
	assert_true(is_best(&f, &one_relay_udp));
	path_set_relay(f.set, PATH_RELAY_UDP, 0, false, f.now_ms);
	assert_true(is_best(&f, &one_relay_tcp));
	path_set_relay(f.set, PATH_RELAY_TCP, 0, false, f.now_ms);
	assert_null(path_set_best(f.set));
	one_run(&f, 60000);
	assert_int_equal(f.n_sent, 0);
	path_set_relay(f.set, PATH_RELAY_TCP, 0, true, f.now_ms);
	one_run_answered(&f, 1000, &(struct one_peer){ one_relay_tcp, 30 }, 1);
	assert_true(is_best(&f, &one_relay_tcp));
	one_fini(&f);
}

static void the_network_changed_and_the_path_does_not_answer(void **state)
{
	struct one f;
	const struct one_peer peers[] = { { one_udp(v4), 20 }, { one_relay_udp, 40 } };

	(void)state;
	one_init(&f);
	one_add(&f, CANDIDATE_HOST, v4);
	path_set_relay(f.set, PATH_RELAY_UDP, 0, true, f.now_ms);
	path_set_start(f.set, f.now_ms);
	one_run_answered(&f, 2000, peers, 2);
	path_set_network_changed(f.set, f.now_ms);
	assert_true(is_best(&f, &peers[0].addr));
	assert_true(path_addr_equal(&path_set_extra(f.set)->addr, &one_relay_udp));
	one_run_answered(&f, 2000, &peers[1], 1);
	assert_true(is_best(&f, &one_relay_udp));
	assert_int_equal(f.n_silent, 1);
	one_fini(&f);
}

static void a_policy_leaves_out_what_it_does_not_allow(void **state)
{
	const struct one_peer peers[] = { { one_udp(v4), 20 }, { one_relay_udp, 30 } };
	struct wire_probe probe = { .size = WIRE_PROBE_BYTES };
	struct one f;
	unsigned n;

	(void)state;
	one_init(&f);
	path_set_set_policy(f.set, PATH_POLICY_RELAY, f.now_ms);
	one_add(&f, CANDIDATE_HOST, v4);
	path_set_relay(f.set, PATH_RELAY_UDP, 0, true, f.now_ms);
	path_set_start(f.set, f.now_ms);
	one_run_answered(&f, 60000, peers, 2);
	assert_int_equal(one_count_to(&f, &peers[0].addr), 0);
	assert_true(is_best(&f, &peers[1].addr));
	n = f.n_sent;
	path_set_on_probe(f.set, &peers[0].addr, &probe, f.now_ms);
	path_set_on_data(f.set, &peers[0].addr, f.now_ms);
	path_set_on_handshake(f.set, &peers[0].addr, 1000, f.now_ms);
	one_run_answered(&f, 5000, peers, 2);
	assert_int_equal(f.n_sent, n); /* not even an answer */
	assert_true(is_best(&f, &peers[1].addr));

	path_set_set_policy(f.set, PATH_POLICY_AUTO, f.now_ms);
	one_run_answered(&f, 2000, peers, 2);
	assert_true(is_best(&f, &peers[0].addr));
	path_set_set_policy(f.set, PATH_POLICY_RELAY, f.now_ms); /* left at once */
	assert_false(is_best(&f, &peers[0].addr));

	path_set_set_policy(f.set, PATH_POLICY_DIRECT, f.now_ms);
	assert_true(is_best(&f, &peers[0].addr)); /* proven a moment ago */
	one_fini(&f);

	one_init(&f);
	path_set_set_policy(f.set, PATH_POLICY_DIRECT, f.now_ms);
	one_add(&f, CANDIDATE_HOST, v4);
	path_set_relay(f.set, PATH_RELAY_UDP, 0, true, f.now_ms);
	path_set_on_handshake(f.set, &one_relay_udp, 1000, f.now_ms);
	path_set_start(f.set, f.now_ms);
	one_run_answered(&f, 2000, &peers[1], 1); /* the relay alone would answer */
	assert_null(path_set_best(f.set));
	one_run_answered(&f, 40000, peers, 2);
	assert_true(is_best(&f, &peers[0].addr));
	one_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(classes_come_before_rtt),
		cmocka_unit_test(the_first_of_a_class_is_kept_unless_another_is_clearly_better),
		cmocka_unit_test(jitter_does_not_make_it_flap),
		cmocka_unit_test(a_standby_proven_lately_takes_over_at_once),
		cmocka_unit_test(one_answer_after_a_long_time_is_not_enough),
		cmocka_unit_test(a_standby_that_missed_a_round_is_not_trusted),
		cmocka_unit_test(data_that_was_answered_asks_for_no_probe),
		cmocka_unit_test(a_change_of_network_does_not_wait_for_budgets),
		cmocka_unit_test(a_relay_not_yet_proven_is_better_than_a_dead_path),
		cmocka_unit_test(a_relay_that_cannot_be_used_is_left),
		cmocka_unit_test(the_network_changed_and_the_path_does_not_answer),
		cmocka_unit_test(a_policy_leaves_out_what_it_does_not_allow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
