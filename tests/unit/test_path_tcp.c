/* TCP candidates: when they are tried, what makes them a path, and what becomes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/wire/frame.h"
#include "tests/unit/path_one.h"

#define UDP "192.0.2.1:1000"
#define TCP "192.0.2.1:2000"
#define RTT_MS 40

static const struct wire_probe probe = { .size = WIRE_PROBE_BYTES };

/* A session through the relay, and one candidate of each kind. */
static void begin(struct one *f)
{
	one_init(f);
	path_set_relay(f->set, PATH_RELAY_TCP, 0, true, f->now_ms);
	path_set_on_handshake(f->set, &one_relay_tcp, RTT_MS * 1000, f->now_ms);
	one_add(f, CANDIDATE_HOST, UDP);
	one_add(f, CANDIDATE_TCP_HOST, TCP);
}

static void run_with(struct one *f, uint64_t ms, bool udp_answers, bool tcp_answers)
{
	const struct one_peer peers[] = {
		{ one_relay_tcp, RTT_MS },
		{ one_udp(UDP), udp_answers ? 20 : 0 },
		{ one_tcp(TCP), tcp_answers ? 30 : 0 },
	};

	one_run_answered(f, ms, peers, 3);
}

static void use_tcp(struct one *f)
{
	begin(f);
	path_set_start(f->set, f->now_ms);
	run_with(f, 1100, false, true);
	assert_int_equal(path_set_best(f->set)->addr.kind, PATH_TCP);
}

static uint64_t first_to_ms(const struct one *f, const struct path_addr *to, uint64_t since_ms)
{
	for (unsigned i = 0; i < f->n_sent; i++)
		if (!f->sent[i].probe.is_reply && f->sent[i].ms >= since_ms && path_addr_equal(&f->sent[i].to, to))
			return f->sent[i].ms;
	return UINT64_MAX;
}

static void connections_are_tried_when_udp_had_its_time(void **state)
{
	const struct path_addr tcp = one_tcp(TCP);
	uint64_t start_ms, first_ms;
	struct one f;

	(void)state;
	begin(&f);
	path_set_start(f.set, f.now_ms);
	start_ms = f.now_ms;
	run_with(&f, 1000, false, false);
	assert_int_equal(one_count_to(&f, &tcp), 0);
	assert_int_equal(f.n_calls, 0);
	run_with(&f, 5000, false, false);
	assert_int_equal(f.n_calls, 1);
	assert_int_equal(f.called_ms, start_ms + 1000);
	/* half a round trip after the call, when the peer hears it, and then once a second */
	assert_int_equal(one_count_to(&f, &tcp), 5);
	first_ms = first_to_ms(&f, &tcp, 0);
	assert_in_range(first_ms, start_ms + 1000 + RTT_MS / 2, start_ms + 1000 + RTT_MS / 2 + 10);
	assert_in_range(one_last_to(&f, &tcp)->ms, first_ms + 3990, first_ms + 4010);
	assert_int_equal(one_path(&f, &tcp)->state, PATH_PROBING);
	run_with(&f, 1000, false, false);
	assert_int_equal(one_path(&f, &tcp)->state, PATH_FAILED);
	assert_int_equal(f.n_drops, 1);
	assert_true(path_addr_equal(&f.dropped, &tcp));
	run_with(&f, 20000, false, false);
	assert_int_equal(one_count_to(&f, &tcp), 5); /* until the next round */
	run_with(&f, 10000, false, false);
	assert_int_equal(one_count_to(&f, &tcp), 10);
	assert_int_equal(f.n_calls, 2);
	one_fini(&f);
}

static void where_udp_gets_through_none_is_tried(void **state)
{
	const struct path_addr tcp = one_tcp(TCP);
	struct one f;

	(void)state;
	begin(&f);
	path_set_start(f.set, f.now_ms);
	run_with(&f, 120000, true, true);
	assert_int_equal(path_set_best(f.set)->addr.kind, PATH_UDP);
	assert_int_equal(one_count_to(&f, &tcp), 0);
	assert_int_equal(f.n_calls, 0);
	assert_int_equal(one_path(&f, &tcp)->state, PATH_NOT_TRIED);
	/* nor for the peer's call */
	path_set_tcp_called(f.set, f.now_ms);
	run_with(&f, 10000, true, true);
	assert_int_equal(one_count_to(&f, &tcp), 0);
	one_fini(&f);
}

static void where_udp_is_blocked_they_are_tried_at_once(void **state)
{
	const struct path_addr tcp = one_tcp(TCP), mapped = one_tcp("192.0.2.1:2001");
	struct one f;

	(void)state;
	begin(&f);
	path_set_udp_blocked(f.set, true, f.now_ms);
	path_set_start(f.set, f.now_ms);
	run_with(&f, RTT_MS / 2 + 20, false, false);
	assert_int_equal(f.n_calls, 1);
	assert_int_equal(one_count_to(&f, &tcp), 1);
	one_fini(&f);

	begin(&f); /* told a little later */
	path_set_start(f.set, f.now_ms);
	run_with(&f, 300, false, false);
	path_set_udp_blocked(f.set, true, f.now_ms);
	run_with(&f, RTT_MS / 2 + 20, false, false);
	assert_int_equal(one_count_to(&f, &tcp), 1);
	one_fini(&f);

	begin(&f); /* and known before its candidates are */
	path_set_udp_blocked(f.set, true, f.now_ms);
	path_set_start(f.set, f.now_ms);
	run_with(&f, 600, false, false);
	one_add(&f, CANDIDATE_TCP_MAPPED, "192.0.2.1:2001");
	run_with(&f, RTT_MS / 2 + 20, false, false);
	assert_int_equal(one_count_to(&f, &mapped), 1);
	one_fini(&f);
}

static void udp_that_gets_through_again_is_probed_at_once(void **state)
{
	struct path_addr udp = one_udp(UDP);
	struct one f;
	uint64_t at_ms;

	(void)state;
	begin(&f);
	path_set_udp_blocked(f.set, true, f.now_ms);
	path_set_start(f.set, f.now_ms);
	run_with(&f, 20000, false, true);
	at_ms = f.now_ms;
	path_set_udp_blocked(f.set, false, f.now_ms);
	run_with(&f, 100, true, true);
	assert_in_range(first_to_ms(&f, &udp, at_ms), at_ms, at_ms + 20);
	assert_int_equal(path_set_best(f.set)->addr.kind, PATH_UDP);
	one_fini(&f);
}

static void one_answer_puts_tcp_before_relays_and_behind_udp(void **state)
{
	struct one f;

	(void)state;
	use_tcp(&f);
	path_set_relay(f.set, PATH_RELAY_UDP, 0, true, f.now_ms);
	one_run_answered(&f, 3000, (struct one_peer[]){ { one_relay_udp, 1 }, { one_tcp(TCP), 30 } }, 2);
	assert_int_equal(path_set_best(f.set)->addr.kind, PATH_TCP);
	assert_null(path_set_extra(f.set));
	run_with(&f, 60000, true, true); /* UDP is tried again while TCP is in use */
	assert_int_equal(path_set_best(f.set)->addr.kind, PATH_UDP);
	assert_string_equal(path_kind_name(path_set_best(f.set)), "direct");
	one_fini(&f);
}

static void while_tcp_is_in_use_udp_is_tried_once_a_minute_and_tcp_no_more(void **state)
{
	const struct path_addr udp = one_udp(UDP), tcp = one_tcp(TCP);
	struct one f;
	unsigned n_udp, n_tcp;

	(void)state;
	use_tcp(&f);
	run_with(&f, 20000, false, true);
	n_udp = one_count_to(&f, &udp);
	n_tcp = one_count_to(&f, &tcp);
	run_with(&f, 180000, false, true);
	assert_int_equal(one_count_to(&f, &udp), n_udp + 3 * 7);       /* three rounds */
	assert_in_range(one_count_to(&f, &tcp), n_tcp + 3, n_tcp + 4); /* kept alive */
	assert_int_equal(f.n_calls, 1);
	f.activity.in_contact = false;
	path_set_tick(f.set, &f.activity, f.now_ms);
	n_tcp = f.n_sent;
	run_with(&f, 600000, false, true);
	assert_in_range(f.n_sent, n_tcp, n_tcp + 7); /* the round that was on */
	one_fini(&f);
}

static void the_end_of_the_connection_in_use_is_left_at_once(void **state)
{
	const struct path_addr tcp = one_tcp(TCP);
	struct one f;
	unsigned n;

	(void)state;
	use_tcp(&f);
	run_with(&f, 10000, false, true);
	n = one_count_to(&f, &tcp);
	path_set_tcp_closed(f.set, &tcp, f.now_ms);
	assert_int_equal(path_set_best(f.set)->addr.kind, PATH_RELAY_TCP);
	assert_int_equal(one_path(&f, &tcp)->state, PATH_FAILED);
	assert_int_equal(f.n_silent, 1);
	path_set_tcp_closed(f.set, &tcp, f.now_ms); /* no harm */
	run_with(&f, 1200, false, true);
	assert_true(one_count_to(&f, &tcp) > n); /* and is made again */
	assert_int_equal(path_set_best(f.set)->addr.kind, PATH_TCP);
	one_fini(&f);
}

static void an_answer_to_what_was_sent_over_an_ended_connection_proves_nothing(void **state)
{
	const struct path_addr tcp = one_tcp(TCP);
	struct one f;

	(void)state;
	begin(&f);
	path_set_start(f.set, f.now_ms);
	run_with(&f, 1030, false, false);
	assert_int_equal(one_count_to(&f, &tcp), 1);
	path_set_tcp_closed(f.set, &tcp, f.now_ms);
	one_answer(&f, one_last_to(&f, &tcp));
	assert_int_equal(path_set_best(f.set)->addr.kind, PATH_RELAY_TCP);
	run_with(&f, 1010, false, true); /* refused once, it is tried again a second later */
	assert_int_equal(one_count_to(&f, &tcp), 2);
	one_fini(&f);
}

static void a_connection_of_the_peers_is_a_path_and_forgotten_with_it(void **state)
{
	const struct path_addr from = one_tcp("198.51.100.7:777"), same_by_udp = one_udp("198.51.100.7:777");
	struct one f;

	(void)state;
	begin(&f);
	path_set_start(f.set, f.now_ms);
	path_set_on_probe(f.set, &from, &probe, f.now_ms);
	assert_true(path_addr_equal(&f.sent[f.n_sent - 1].to, &from)); /* answered over it */
	assert_true(f.sent[f.n_sent - 1].probe.is_reply);
	assert_int_equal(f.sent[f.n_sent - 1].probe.observed.ip.len, 0);
	assert_int_equal(one_path(&f, &from)->candidate, CANDIDATE_PEER_REFLEXIVE);
	assert_null(one_path(&f, &same_by_udp));
	one_run_answered(&f, 50, (struct one_peer[]){ { from, 10 } }, 1);
	assert_true(path_addr_equal(&path_set_best(f.set)->addr, &from));
	assert_int_equal(one_count_to(&f, &from), 1);
	one_run_answered(&f, 5000, (struct one_peer[]){ { from, 10 } }, 1);
	assert_int_equal(f.n_calls, 0); /* there is one: none is begun here */
	path_set_tcp_closed(f.set, &from, f.now_ms);
	assert_null(one_path(&f, &from));
	assert_int_equal(path_set_best(f.set)->addr.kind, PATH_RELAY_TCP);
	one_fini(&f);
}

static void a_call_of_the_peers_is_followed_and_not_returned(void **state)
{
	const struct path_addr tcp = one_tcp(TCP);
	struct one f;
	unsigned n;

	(void)state;
	begin(&f);
	path_set_tcp_called(f.set, f.now_ms); /* no session yet */
	one_run(&f, 100);
	assert_int_equal(f.n_sent, 0);
	path_set_start(f.set, f.now_ms);
	run_with(&f, 200, false, false);
	path_set_tcp_called(f.set, f.now_ms);
	run_with(&f, 20, false, false);
	assert_int_equal(one_count_to(&f, &tcp), 1);
	assert_int_equal(f.n_calls, 0);
	/* whoever calls all the time gets no more out of it */
	run_with(&f, 10000, false, false);
	n = one_count_to(&f, &tcp);
	for (int i = 0; i < 1000; i++) {
		path_set_tcp_called(f.set, f.now_ms);
		run_with(&f, 10, false, false);
	}
	assert_in_range(one_count_to(&f, &tcp), n, n + 10);
	one_fini(&f);
}

static void where_only_the_relay_may_be_used_nobody_connects(void **state)
{
	const struct path_addr tcp = one_tcp(TCP);
	struct one f;

	(void)state;
	begin(&f);
	path_set_set_policy(f.set, PATH_POLICY_RELAY, f.now_ms);
	path_set_start(f.set, f.now_ms);
	run_with(&f, 5000, true, true);
	path_set_tcp_called(f.set, f.now_ms);
	run_with(&f, 5000, true, true);
	assert_int_equal(one_count_to(&f, &tcp), 0);
	assert_int_equal(f.n_calls, 0);
	assert_int_equal(one_path(&f, &tcp)->state, PATH_NOT_TRIED);
	one_fini(&f);
}

static void the_round_trip_does_not_count_the_connecting(void **state)
{
	const struct path_addr tcp = one_tcp(TCP);
	struct one f;

	(void)state;
	begin(&f);
	path_set_udp_blocked(f.set, true, f.now_ms);
	path_set_start(f.set, f.now_ms);
	run_with(&f, 400, false, false);
	path_set_tcp_opened(f.set, &tcp, f.now_ms);
	one_run(&f, 25);
	one_answer(&f, one_last_to(&f, &tcp));
	assert_in_range(one_path(&f, &tcp)->rtt_us, 25000, 26000);
	one_fini(&f);
}

static void datagrams_over_tcp_are_as_long_as_a_frame(void **state)
{
	const struct path_addr tcp = one_tcp(TCP);
	struct one f;

	(void)state;
	begin(&f);
	assert_int_equal(path_datagram_max(one_path(&f, &tcp)), PATH_MTU_BASE_BYTES);
	path_set_set_max_datagram(f.set, 1452, f.now_ms);
	assert_int_equal(path_datagram_max(one_path(&f, &tcp)), 1452);
	assert_int_equal(one_path(&f, &tcp)->mtu_state, PATH_MTU_FOUND);
	path_set_set_max_datagram(f.set, 9032, f.now_ms);
	assert_int_equal(path_datagram_max(one_path(&f, &tcp)), WIRE_FRAME_MAX_BYTES);
	path_set_start(f.set, f.now_ms);
	for (int i = 0; i < 200; i++) { /* nothing is searched */
		f.activity.last_sent_ms = f.activity.path_received_ms = f.now_ms;
		run_with(&f, 50, false, true);
	}
	assert_int_equal(path_set_best(f.set)->addr.kind, PATH_TCP);
	assert_int_equal(path_set_best(f.set)->mtu_bytes, WIRE_FRAME_MAX_BYTES);
	for (unsigned i = 0; i < f.n_sent; i++)
		assert_true(!path_addr_equal(&f.sent[i].to, &tcp) || f.sent[i].probe.size == WIRE_PROBE_BYTES);
	path_set_tcp_closed(f.set, &tcp, f.now_ms);
	assert_int_equal(path_datagram_max(one_path(&f, &tcp)), WIRE_FRAME_MAX_BYTES);
	one_fini(&f);
}

static void after_a_change_of_our_network_the_connection_is_checked_and_kept(void **state)
{
	const struct path_addr tcp = one_tcp(TCP);
	uint64_t at_ms;
	struct one f;

	(void)state;
	use_tcp(&f);
	run_with(&f, 10000, false, true);
	at_ms = f.now_ms;
	path_set_network_changed(f.set, f.now_ms);
	run_with(&f, 100, false, true);
	assert_in_range(first_to_ms(&f, &tcp, at_ms), at_ms, at_ms + 20);
	run_with(&f, 10000, false, true);
	assert_int_equal(path_set_best(f.set)->addr.kind, PATH_TCP);
	assert_int_equal(f.n_calls, 1); /* the first round's */
	/* and one that carries nothing any more is given up */
	path_set_network_changed(f.set, f.now_ms);
	run_with(&f, 2500, false, false);
	assert_int_equal(path_set_best(f.set)->addr.kind, PATH_RELAY_TCP);
	run_with(&f, 8000, false, false);
	assert_true(path_addr_equal(&f.dropped, &tcp));
	one_fini(&f);
}

static void told_anew_only_what_is_of_the_same_transport_is_the_same(void **state)
{
	struct candidates c = { .n = 2,
				.v = { { CANDIDATE_REFLEXIVE, one_udp(TCP).endpoint },
				       { CANDIDATE_TCP_REFLEXIVE, one_udp(UDP).endpoint } } };
	const struct path_addr old_udp = one_udp(UDP), old_tcp = one_tcp(TCP), udp = one_udp(TCP), tcp = one_tcp(UDP);
	struct one f;

	(void)state;
	begin(&f);
	path_set_replace(f.set, &c, NULL, f.now_ms);
	assert_null(one_path(&f, &old_udp));
	assert_null(one_path(&f, &old_tcp));
	assert_int_equal(one_path(&f, &udp)->candidate, CANDIDATE_REFLEXIVE);
	assert_int_equal(one_path(&f, &tcp)->candidate, CANDIDATE_TCP_REFLEXIVE);
	one_fini(&f);
}

static void without_a_relay_connections_are_tried_in_their_turn(void **state)
{
	const struct path_addr tcp = one_tcp(TCP);
	uint64_t start_ms;
	struct one f;

	(void)state;
	one_init(&f);
	one_add(&f, CANDIDATE_HOST, UDP);
	one_add(&f, CANDIDATE_TCP_HOST, TCP);
	f.activity.last_sent_ms = f.now_ms;
	path_set_start(f.set, f.now_ms);
	start_ms = f.now_ms;
	for (int i = 0; i < 20; i++) {
		f.activity.last_sent_ms = f.now_ms;
		one_run_answered(&f, 100, (struct one_peer[]){ { one_tcp(TCP), 30 } }, 1);
	}
	assert_in_range(first_to_ms(&f, &tcp, 0), start_ms + 1000, start_ms + 1010);
	assert_int_equal(path_set_best(f.set)->addr.kind, PATH_TCP);
	one_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connections_are_tried_when_udp_had_its_time),
		cmocka_unit_test(where_udp_gets_through_none_is_tried),
		cmocka_unit_test(where_udp_is_blocked_they_are_tried_at_once),
		cmocka_unit_test(udp_that_gets_through_again_is_probed_at_once),
		cmocka_unit_test(one_answer_puts_tcp_before_relays_and_behind_udp),
		cmocka_unit_test(while_tcp_is_in_use_udp_is_tried_once_a_minute_and_tcp_no_more),
		cmocka_unit_test(the_end_of_the_connection_in_use_is_left_at_once),
		cmocka_unit_test(an_answer_to_what_was_sent_over_an_ended_connection_proves_nothing),
		cmocka_unit_test(a_connection_of_the_peers_is_a_path_and_forgotten_with_it),
		cmocka_unit_test(a_call_of_the_peers_is_followed_and_not_returned),
		cmocka_unit_test(where_only_the_relay_may_be_used_nobody_connects),
		cmocka_unit_test(the_round_trip_does_not_count_the_connecting),
		cmocka_unit_test(datagrams_over_tcp_are_as_long_as_a_frame),
		cmocka_unit_test(after_a_change_of_our_network_the_connection_is_checked_and_kept),
		cmocka_unit_test(told_anew_only_what_is_of_the_same_transport_is_the_same),
		cmocka_unit_test(without_a_relay_connections_are_tried_in_their_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
