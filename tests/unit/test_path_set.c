/* What a set knows, what it sends, and what cannot make it believe or send more. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/path_one.h"

static const char *const peer_text = "192.0.2.1:1000";

static void flood(struct candidates *c, unsigned first)
{
	c->n = WIRE_CANDIDATES_MAX;
	for (unsigned i = 0; i < c->n; i++) {
		c->v[i] = (struct candidate){ .kind = CANDIDATE_REFLEXIVE, .endpoint = one_udp(peer_text).endpoint };
		c->v[i].endpoint.port = (uint16_t)(first + i);
	}
}

/* Most probes to endpoints within any 5 s. */
static unsigned worst_5_s(const struct one *f)
{
	unsigned worst = 0;

	for (unsigned i = 0; i < f->n_sent; i++) {
		unsigned n = 0;

		for (unsigned k = i; k < f->n_sent && f->sent[k].ms < f->sent[i].ms + 5000; k++)
			n += f->sent[k].to.kind == PATH_UDP && !f->sent[k].probe.is_reply;
		worst = n > worst ? n : worst;
	}
	return worst;
}

static void candidates_are_added_once_and_not_without_end(void **state)
{
	struct one f;
	struct candidates c = { 0 };

	(void)state;
	one_init(&f);
	assert_int_equal(path_set_count(f.set), 0);
	assert_null(path_set_at(f.set, 0));
	assert_int_equal(one_add(&f, CANDIDATE_HOST, peer_text), 0);
	assert_int_equal(one_add(&f, CANDIDATE_MAPPED, peer_text), -EEXIST);
	assert_int_equal(path_set_at(f.set, 0)->candidate, CANDIDATE_MAPPED);
	flood(&c, 2000);
	for (unsigned i = 0; i < c.n; i++)
		assert_int_equal(path_set_add(f.set, &c.v[i], false, f.now_ms), 0);
	flood(&c, 3000);
	for (unsigned i = 0; i < PATH_CANDIDATES_MAX - 17; i++)
		assert_int_equal(path_set_add(f.set, &c.v[i], false, f.now_ms), 0);
	assert_int_equal(path_set_add(f.set, &c.v[15], false, f.now_ms), -ENOSPC);
	assert_int_equal(path_set_count(f.set), PATH_CANDIDATES_MAX);
	assert_true(path_set_next_ms(f.set) == UINT64_MAX);
	one_fini(&f);
}

static void a_failed_peer_reflexive_gives_way(void **state)
{
	struct one f;
	struct candidates c = { 0 };
	struct path_addr stranger = one_udp("198.51.100.9:9");
	const struct wire_probe probe = { .size = WIRE_PROBE_BYTES };

	(void)state;
	one_init(&f);
	flood(&c, 2000);
	path_set_replace(f.set, &c, NULL, f.now_ms);
	path_set_start(f.set, f.now_ms);
	for (unsigned i = 0; i < 9; i++) { /* the ninth finds no room */
		stranger.endpoint.port = (uint16_t)(100 + i);
		path_set_on_probe(f.set, &stranger, &probe, f.now_ms);
	}
	assert_null(one_path(&f, &stranger));
	one_run(&f, 9000);
	stranger.endpoint.port = 200;
	path_set_on_probe(f.set, &stranger, &probe, f.now_ms);
	assert_non_null(one_path(&f, &stranger));
	assert_int_equal(path_set_count(f.set), PATH_CANDIDATES_MAX);
	one_fini(&f);
}

static bool is_10_net(void *arg, const struct ip *ip)
{
	(void)arg;
	return ip->b[0] == 10;
}

static void replacing_forgets_what_is_told_no_more_but_not_what_is_proven(void **state)
{
	struct one f;
	struct path_addr a = one_udp("192.0.2.1:1"), b = one_udp("192.0.2.1:2"), reflexive = one_udp("192.0.2.1:3");
	struct candidates c = { .n = 1, .v = { { CANDIDATE_HOST, one_udp("10.0.0.9:5").endpoint } } };
	const struct wire_probe probe = { .size = WIRE_PROBE_BYTES };
	const struct path_addr told = one_udp("10.0.0.9:5");

	(void)state;
	one_init(&f);
	one_add(&f, CANDIDATE_HOST, "192.0.2.1:1");
	one_add(&f, CANDIDATE_HOST, "192.0.2.1:2");
	path_set_start(f.set, f.now_ms);
	path_set_on_probe(f.set, &reflexive, &probe, f.now_ms);
	one_run_answered(&f, 500, &(struct one_peer){ a, 20 }, 1);
	path_set_replace(f.set, &c, is_10_net, f.now_ms);
	assert_non_null(one_path(&f, &a));
	assert_null(one_path(&f, &b));
	assert_non_null(one_path(&f, &reflexive));
	assert_true(one_path(&f, &told)->is_lan);
	one_run(&f, 10);
	assert_int_equal(one_count_to(&f, &told), 1); /* at once */
	one_fini(&f);
}

static void a_forgotten_address_is_left_at_once(void **state)
{
	struct one f;
	const struct path_addr a = one_udp("192.0.2.1:1000"), b = one_udp("192.0.2.1:2000"),
			       other = one_udp("192.0.2.2:1");

	(void)state;
	one_init(&f);
	one_add(&f, CANDIDATE_HOST, "192.0.2.1:1000");
	one_add(&f, CANDIDATE_REFLEXIVE, "192.0.2.1:2000");
	one_add(&f, CANDIDATE_REFLEXIVE, "192.0.2.2:1");
	path_set_relay(f.set, PATH_RELAY_UDP, 0, true, f.now_ms);
	path_set_start(f.set, f.now_ms);
	one_run_answered(&f, 500, (struct one_peer[]){ { a, 20 }, { one_relay_udp, 60 } }, 2);
	assert_true(path_addr_equal(&path_set_best(f.set)->addr, &a));
	path_set_forget(f.set, &a.endpoint.ip, f.now_ms);
	assert_int_equal(path_set_best(f.set)->addr.kind, PATH_RELAY_UDP);
	assert_null(one_path(&f, &a));
	assert_null(one_path(&f, &b));
	assert_non_null(one_path(&f, &other));
	f.n_sent = 0;
	one_run(&f, 10000);
	assert_int_equal(one_count_to(&f, &a) + one_count_to(&f, &b), 0);
	assert_true(one_count_to(&f, &other) > 0);
	/* Without another path there is none. */
	path_set_relay(f.set, PATH_RELAY_UDP, 0, false, f.now_ms);
	path_set_start(f.set, f.now_ms);
	one_run_answered(&f, 500, &(struct one_peer){ other, 20 }, 1);
	assert_true(path_addr_equal(&path_set_best(f.set)->addr, &other));
	path_set_forget(f.set, &other.endpoint.ip, f.now_ms);
	assert_null(path_set_best(f.set));
	one_run(&f, 10000);
	one_fini(&f);
}

static void a_round_probes_at_its_instants(void **state)
{
	static const uint64_t at_ms[] = { 0, 100, 250, 500, 1000, 5000, 8000 };
	struct one f;
	unsigned n = 0;

	(void)state;
	one_init(&f);
	one_add(&f, CANDIDATE_HOST, peer_text);
	one_run(&f, 1000);
	assert_int_equal(f.n_sent, 0);
	path_set_start(f.set, f.now_ms);
	one_run(&f, 29000);
	for (; n < f.n_sent; n++)
		assert_int_equal(f.sent[n].ms - path_set_last_round_ms(f.set), at_ms[n]);
	assert_int_equal(n, 7);
	assert_true(path_set_next_ms(f.set) == path_set_next_round_ms(f.set));
	one_run(&f, 1001);
	assert_int_equal(f.n_sent, 8);
	one_fini(&f);
}

static void probes_are_paced(void **state)
{
	struct one f;
	struct candidates c = { 0 };

	(void)state;
	one_init(&f);
	flood(&c, 2000);
	path_set_replace(f.set, &c, NULL, f.now_ms);
	path_set_relay(f.set, PATH_RELAY_UDP, 0, true, f.now_ms);
	path_set_start(f.set, f.now_ms);
	one_run(&f, 3000);
	assert_int_equal(f.n_sent, 17 * 5);
	for (unsigned i = 1; i < f.n_sent; i++)
		assert_true(f.sent[i].ms >= f.sent[i - 1].ms + PATH_PACE_MS);
	assert_true(f.sent[16].ms - f.sent[0].ms <= 100);
	one_fini(&f);
}

static void a_flood_of_candidates_causes_five_probes_each(void **state)
{
	struct one f;
	struct candidates c = { 0 };

	(void)state;
	one_init(&f);
	flood(&c, 2000);
	path_set_replace(f.set, &c, NULL, f.now_ms);
	for (unsigned i = 0; i < 40; i++) { /* however often a round is begun */
		path_set_start(f.set, f.now_ms);
		one_run(&f, 500);
	}
	assert_in_range(worst_5_s(&f), 60, 16 * 5);
	one_fini(&f);
}

static void candidates_that_keep_changing_gain_nothing(void **state)
{
	struct one f;
	struct candidates c = { 0 };

	(void)state;
	one_init(&f);
	path_set_start(f.set, f.now_ms);
	for (unsigned i = 0; i < 40; i++) {
		flood(&c, 2000 + 16 * i);
		path_set_replace(f.set, &c, NULL, f.now_ms);
		one_run(&f, 300);
	}
	assert_true(worst_5_s(&f) <= PATH_CANDIDATES_MAX * 5);
	one_fini(&f);
}

static void probes_that_arrive_cause_five_checks_in_five_seconds(void **state)
{
	struct one f;
	const struct path_addr from = one_udp(peer_text);
	const struct wire_probe probe = { .size = WIRE_PROBE_BYTES };

	(void)state;
	one_init(&f);
	path_set_start(f.set, f.now_ms);
	for (unsigned i = 0; i < 250; i++) {
		path_set_on_probe(f.set, &from, &probe, f.now_ms);
		one_run(&f, 20);
	}
	assert_in_range(one_count_to(&f, &from), 8, 10); /* five of the round, five for what arrived */
	one_fini(&f);
}

static void a_probe_is_answered_to_where_it_came_from(void **state)
{
	struct one f;
	const struct path_addr from = one_udp(peer_text);
	struct wire_probe probe = { .size = 1200 };

	(void)state;
	one_init(&f);
	memset(probe.id, 7, sizeof(probe.id));
	path_set_on_probe(f.set, &from, &probe, f.now_ms);
	assert_int_equal(f.n_sent, 1);
	assert_true(f.sent[0].probe.is_reply);
	assert_true(path_addr_equal(&f.sent[0].to, &from));
	assert_memory_equal(f.sent[0].probe.id, probe.id, sizeof(probe.id));
	assert_int_equal(f.sent[0].probe.size, 1200);
	assert_true(endpoint_equal(&f.sent[0].probe.observed, &from.endpoint));
	path_set_on_probe(f.set, &one_relay_udp, &probe, f.now_ms);
	assert_int_equal(f.sent[1].probe.observed.ip.len, 0);
	assert_int_equal(f.sent[1].to.kind, PATH_RELAY_UDP);
	one_fini(&f);
}

static void two_answers_make_a_path_one_a_relay(void **state)
{
	struct one f;
	const struct path_addr a = one_udp(peer_text);

	(void)state;
	one_init(&f);
	one_add(&f, CANDIDATE_HOST, peer_text);
	path_set_relay(f.set, PATH_RELAY_UDP, 0, true, f.now_ms);
	path_set_start(f.set, f.now_ms);
	one_run(&f, 30);
	one_answer(&f, one_last_to(&f, &a));
	assert_null(path_set_best(f.set));
	one_answer(&f, one_last_to(&f, &one_relay_udp));
	assert_int_equal(path_set_best(f.set)->addr.kind, PATH_RELAY_UDP);
	assert_true(path_set_next_ms(f.set) <= f.now_ms); /* the second probe leaves as the first is answered */
	one_run(&f, 30);
	assert_int_equal(one_count_to(&f, &a), 2);
	one_answer(&f, one_last_to(&f, &a));
	assert_true(path_addr_equal(&path_set_best(f.set)->addr, &a));
	assert_int_equal(path_set_best(f.set)->state, PATH_IN_USE);
	assert_int_equal(one_path(&f, &one_relay_udp)->state, PATH_STANDBY);
	assert_int_equal(path_set_best(f.set)->n_answered, 2);
	assert_int_equal(path_set_best(f.set)->rtt_us, 30000); /* of 31 and 26 ms: 7/8, 1/8 */
	one_fini(&f);
}

static void answers_that_are_not_ours_change_nothing(void **state)
{
	struct one f;
	const struct path_addr a = one_udp(peer_text), b = one_udp("192.0.2.2:1000"), nobody = one_udp("192.0.2.9:9");
	struct one_sent forged, late;
	struct path before;

	(void)state;
	one_init(&f);
	one_add(&f, CANDIDATE_HOST, peer_text);
	one_add(&f, CANDIDATE_HOST, "192.0.2.2:1000");
	path_set_relay(f.set, PATH_RELAY_UDP, 0, true, f.now_ms);
	path_set_start(f.set, f.now_ms);
	one_run(&f, 30);
	before = *one_path(&f, &a);
	late = *one_last_to(&f, &a);

	forged = late; /* another id */
	forged.probe.id[0] ^= 1;
	assert_false(path_set_on_reply(f.set, &a, &forged.probe, f.now_ms));
	assert_false(path_set_on_reply(f.set, &b, &late.probe, f.now_ms)); /* another path's */
	assert_false(path_set_on_reply(f.set, &one_relay_udp, &late.probe, f.now_ms));
	assert_false(path_set_on_reply(f.set, &a, &one_last_to(&f, &one_relay_udp)->probe, f.now_ms));
	assert_false(path_set_on_reply(f.set, &nobody, &late.probe, f.now_ms)); /* nobody's */
	assert_memory_equal(&before, one_path(&f, &a), sizeof(before));
	assert_int_equal(one_path(&f, &b)->n_answered, 0);
	assert_int_equal(one_path(&f, &one_relay_udp)->n_answered, 0);
	assert_int_equal(path_set_count(f.set), 3);

	assert_true(path_set_on_reply(f.set, &a, &late.probe, f.now_ms)); /* the real one still counts, and once */
	assert_false(path_set_on_reply(f.set, &a, &late.probe, f.now_ms));
	assert_int_equal(one_path(&f, &a)->n_answered, 1);
	assert_null(path_set_best(f.set));
	one_fini(&f);
}

static void a_late_answer_changes_nothing(void **state)
{
	struct one f;
	const struct path_addr a = one_udp(peer_text);
	struct one_sent first;

	(void)state;
	one_init(&f);
	one_add(&f, CANDIDATE_HOST, peer_text);
	path_set_start(f.set, f.now_ms);
	one_run(&f, 1);
	first = *one_last_to(&f, &a);
	one_run(&f, PATH_PROBE_LIFE_MS);
	assert_false(path_set_on_reply(f.set, &a, &first.probe, first.ms + PATH_PROBE_LIFE_MS + 1));
	assert_int_equal(one_path(&f, &a)->n_answered, 0);
	assert_true(path_set_on_reply(f.set, &a, &first.probe, first.ms + PATH_PROBE_LIFE_MS));
	assert_int_equal(one_path(&f, &a)->n_answered, 1);
	one_fini(&f);
}

static void an_answer_may_come_by_the_other_transport_of_its_relay(void **state)
{
	struct one f;
	const struct path_addr other = { .kind = PATH_RELAY_TCP, .coordinator = 1 };
	const struct wire_probe *probe;

	(void)state;
	one_init(&f);
	path_set_relay(f.set, PATH_RELAY_UDP, 0, true, f.now_ms);
	path_set_start(f.set, f.now_ms);
	one_run(&f, 30);
	probe = &one_last_to(&f, &one_relay_udp)->probe;
	path_set_on_reply(f.set, &other, probe, f.now_ms);
	assert_null(path_set_best(f.set));
	path_set_on_reply(f.set, &one_relay_tcp, probe, f.now_ms);
	assert_int_equal(path_set_best(f.set)->addr.kind, PATH_RELAY_UDP);
	one_fini(&f);
}

static void answers_from_before_a_change_of_network_prove_nothing(void **state)
{
	struct one f;
	const struct path_addr a = one_udp(peer_text);

	(void)state;
	one_init(&f);
	one_add(&f, CANDIDATE_HOST, peer_text);
	path_set_start(f.set, f.now_ms);
	one_run(&f, 10);
	path_set_network_changed(f.set, f.now_ms);
	one_answer(&f, one_last_to(&f, &a));
	assert_int_equal(one_path(&f, &a)->n_answered, 0);
	one_fini(&f);
}

static void only_so_many_probes_are_remembered(void **state)
{
	struct one f;
	struct candidates c = { 0 };
	unsigned n_answered = 0;

	(void)state;
	one_init(&f);
	flood(&c, 2000);
	path_set_replace(f.set, &c, NULL, f.now_ms);
	path_set_start(f.set, f.now_ms);
	one_run(&f, 3000);
	assert_int_equal(f.n_sent, 80);
	for (unsigned i = 0; i < 80; i++)
		one_answer(&f, &f.sent[i]);
	for (unsigned i = 0; i < path_set_count(f.set); i++)
		n_answered += path_set_at(f.set, i)->n_answered;
	assert_int_equal(n_answered, PATH_OUTSTANDING_MAX);
	one_fini(&f);
}

static void data_from_a_stranger_endpoint_is_checked_once_a_second(void **state)
{
	struct one f;
	const struct path_addr known = one_udp(peer_text);
	unsigned n_strangers = 0;

	(void)state;
	one_init(&f);
	one_add(&f, CANDIDATE_HOST, peer_text);
	path_set_start(f.set, f.now_ms);
	one_run_answered(&f, 2000, &(struct one_peer){ known, 20 }, 1);
	assert_true(path_addr_equal(&path_set_best(f.set)->addr, &known));
	path_set_on_data(f.set, &known, f.now_ms);
	for (unsigned i = 0; i < 3500; i++) { /* each from elsewhere, for 3.5 s */
		struct path_addr from = one_udp("198.51.100.1:1");

		from.endpoint.port = (uint16_t)(1 + i);
		path_set_on_data(f.set, &from, f.now_ms);
		one_run(&f, 1);
	}
	for (unsigned i = 0; i < path_set_count(f.set); i++)
		n_strangers += path_set_at(f.set, i)->candidate == CANDIDATE_PEER_REFLEXIVE;
	assert_int_equal(n_strangers, 4);
	assert_true(path_addr_equal(&path_set_best(f.set)->addr, &known));
	one_fini(&f);
}

static void a_handshake_proves_its_path(void **state)
{
	struct one f;
	const struct path_addr a = one_udp(peer_text);

	(void)state;
	one_init(&f);
	path_set_on_handshake(f.set, &a, 12000, f.now_ms);
	assert_true(path_addr_equal(&path_set_best(f.set)->addr, &a));
	assert_int_equal(path_set_best(f.set)->rtt_us, 12000);
	path_set_start(f.set, f.now_ms);
	assert_true(path_addr_equal(&path_set_best(f.set)->addr, &a));
	one_fini(&f);
}

static void the_endpoint_the_peer_saw_is_kept(void **state)
{
	struct one f;
	const struct path_addr a = one_udp(peer_text);
	struct wire_probe reply;

	(void)state;
	one_init(&f);
	assert_int_equal(path_set_observed(f.set)->ip.len, 0);
	one_add(&f, CANDIDATE_HOST, peer_text);
	path_set_start(f.set, f.now_ms);
	one_run(&f, 10);
	reply = one_last_to(&f, &a)->probe;
	reply.is_reply = true;
	reply.observed = one_udp("203.0.113.5:55").endpoint;
	path_set_on_reply(f.set, &a, &reply, f.now_ms);
	assert_true(endpoint_equal(path_set_observed(f.set), &reply.observed));
	one_fini(&f);
}

static void openers_go_where_a_nat_is_on_the_way(void **state)
{
	static const char *const host = "10.0.2.2:27700", *const outer = "203.0.113.2:40002";
	const struct candidate lan = { CANDIDATE_HOST, one_udp("192.168.1.9:27700").endpoint };
	const struct path_addr outer_addr = one_udp(outer), stranger = one_udp("198.51.100.9:9");
	const struct wire_probe probe = { .size = WIRE_PROBE_BYTES };
	struct one f;

	(void)state;
	one_init(&f);
	one_add(&f, CANDIDATE_HOST, host);
	path_set_add(f.set, &lan, true, f.now_ms);
	one_add(&f, CANDIDATE_REFLEXIVE, outer);
	one_add(&f, CANDIDATE_HOST, "[2001:db8::1]:27700");
	one_add(&f, CANDIDATE_TCP_REFLEXIVE, outer);
	path_set_on_probe(f.set, &stranger, &probe, f.now_ms); /* it was before us */
	path_set_relay(f.set, PATH_RELAY_UDP, 0, true, f.now_ms);
	path_set_open(f.set, f.now_ms); /* no session is needed */
	assert_int_equal(f.n_openers, 2);
	assert_true(path_addr_equal(&f.opened, &outer_addr));
	for (unsigned i = 0; i < 100; i++)
		path_set_open(f.set, f.now_ms + i * 49); /* whoever asks for it again and again gains nothing */
	assert_int_equal(f.n_openers, 2);

	/* Nor does one who names it anew. */
	path_set_replace(f.set, &(struct candidates){ 0 }, NULL, f.now_ms);
	one_add(&f, CANDIDATE_REFLEXIVE, outer);
	path_set_open(f.set, f.now_ms + PATH_OPEN_MS - 1);
	assert_in_range(f.n_openers, 2, 3); /* another slot may be had */
	f.n_openers = 0;
	path_set_open(f.set, f.now_ms + 2 * PATH_OPEN_MS);
	assert_int_equal(f.n_openers, 1);
	path_set_set_policy(f.set, PATH_POLICY_RELAY, f.now_ms);
	path_set_open(f.set, f.now_ms + 4 * PATH_OPEN_MS);
	assert_int_equal(f.n_openers, 1);
	one_fini(&f);
}

static void a_path_that_answered_needs_no_opener(void **state)
{
	const struct one_peer peer = { one_udp(peer_text), 20 };
	struct one f;

	(void)state;
	one_init(&f);
	one_add(&f, CANDIDATE_REFLEXIVE, peer_text);
	path_set_start(f.set, f.now_ms);
	one_run_answered(&f, 1000, &peer, 1);
	assert_true(path_addr_equal(&path_set_best(f.set)->addr, &peer.addr));
	path_set_open(f.set, f.now_ms);
	assert_int_equal(f.n_openers, 0);
	one_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(candidates_are_added_once_and_not_without_end),
		cmocka_unit_test(a_failed_peer_reflexive_gives_way),
		cmocka_unit_test(replacing_forgets_what_is_told_no_more_but_not_what_is_proven),
		cmocka_unit_test(a_forgotten_address_is_left_at_once),
		cmocka_unit_test(a_round_probes_at_its_instants),
		cmocka_unit_test(probes_are_paced),
		cmocka_unit_test(a_flood_of_candidates_causes_five_probes_each),
		cmocka_unit_test(candidates_that_keep_changing_gain_nothing),
		cmocka_unit_test(probes_that_arrive_cause_five_checks_in_five_seconds),
		cmocka_unit_test(a_probe_is_answered_to_where_it_came_from),
		cmocka_unit_test(two_answers_make_a_path_one_a_relay),
		cmocka_unit_test(answers_that_are_not_ours_change_nothing),
		cmocka_unit_test(a_late_answer_changes_nothing),
		cmocka_unit_test(an_answer_may_come_by_the_other_transport_of_its_relay),
		cmocka_unit_test(answers_from_before_a_change_of_network_prove_nothing),
		cmocka_unit_test(only_so_many_probes_are_remembered),
		cmocka_unit_test(data_from_a_stranger_endpoint_is_checked_once_a_second),
		cmocka_unit_test(a_handshake_proves_its_path),
		cmocka_unit_test(the_endpoint_the_peer_saw_is_kept),
		cmocka_unit_test(openers_go_where_a_nat_is_on_the_way),
		cmocka_unit_test(a_path_that_answered_needs_no_opener),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
