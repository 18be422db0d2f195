/* A path in use that falls silent is doubted, left, and taken up again; idle ones cost next to nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/path_sim.h"

#define HOUR_MS 3600000

static void start_direct(struct sim *s, unsigned loss_permille)
{
	sim_init(s, SIM_PORT_RESTRICTED, SIM_PORT_RESTRICTED, 7);
	s->loss_permille = loss_permille;
	sim_start(s);
	assert_true(sim_run(s, s->now_ms + 4000, sim_both_direct));
}

static void start_sending(struct sim *s, uint64_t every_ms)
{
	sim_data(s, 0, every_ms);
	sim_data(s, 1, every_ms);
	sim_run(s, s->now_ms + 20000, NULL);
	assert_true(sim_both_direct(s));
}

static bool none_is_direct(const struct sim *s)
{
	return !sim_is_direct(s, 0) && !sim_is_direct(s, 1);
}

static bool one_is_unsure(const struct sim *s)
{
	return path_set_extra(s->node[0].set) != NULL;
}

static void a_path_with_traffic_is_probed_to_measure_it_only(void **state)
{
	struct sim s;
	unsigned n_probes;

	(void)state;
	start_direct(&s, 0);
	start_sending(&s, 20);
	n_probes = s.node[0].n_probes;
	sim_run(&s, s.now_ms + 60000, NULL);
	assert_in_range(s.node[0].n_probes - n_probes, 180, 250); /* four times a second */
	assert_int_equal(s.node[0].n_silent, 0);
	sim_fini(&s);
}

static void one_way_traffic_is_proven_by_a_few_probes_a_second(void **state)
{
	struct sim s;
	unsigned n_probes;

	(void)state;
	start_direct(&s, 0);
	sim_data(&s, 0, 20);
	sim_run(&s, s.now_ms + 20000, NULL);
	n_probes = s.node[0].n_probes;
	sim_run(&s, s.now_ms + 60000, NULL);
	assert_in_range(s.node[0].n_probes - n_probes, 150, 300); /* asked whether it is there, and for its loss */
	assert_true(sim_is_direct(&s, 0));
	assert_int_equal(s.node[0].n_silent, 0);
	sim_fini(&s);
}

static void a_silent_path_is_left_while_sending_and_taken_up_again(void **state)
{
	struct sim s;
	uint64_t down_ms;

	(void)state;
	start_direct(&s, 0);
	start_sending(&s, 20);
	down_ms = s.now_ms;
	s.is_direct_down = true;
	assert_true(sim_run(&s, down_ms + 900, one_is_unsure)); /* left within a second */
	assert_true(s.now_ms >= down_ms + 600);                 /* two probes out */
	assert_true(sim_is_direct(&s, 0));
	assert_int_equal(path_set_extra(s.node[0].set)->addr.kind, PATH_RELAY_UDP);
	assert_true(sim_run(&s, down_ms + 1500, none_is_direct));
	assert_true(s.now_ms >= down_ms + 1000);
	assert_null(path_set_extra(s.node[0].set));
	assert_int_equal(s.node[0].n_silent, 1);
	assert_int_equal(path_set_best(s.node[0].set)->addr.kind, PATH_RELAY_UDP);

	s.is_direct_down = false; /* within the new round */
	assert_true(sim_run(&s, s.now_ms + 1000, sim_both_direct));
	sim_run(&s, s.now_ms + 60000, NULL);
	assert_true(sim_both_direct(&s));
	assert_int_equal(s.node[0].n_silent, 1);
	sim_fini(&s);
}

static void data_reaches_the_peer_over_the_extra_path(void **state)
{
	struct sim s;
	uint64_t down_ms;

	(void)state;
	start_direct(&s, 0);
	start_sending(&s, 20);
	down_ms = s.now_ms;
	s.is_direct_down = true;
	sim_run(&s, down_ms + 1000, NULL);
	assert_true(s.node[1].last_data_ms >= down_ms + 900);
	sim_fini(&s);
}

static void a_nat_that_forgot_is_healed_within_three_seconds(void **state)
{
	struct sim s;
	uint64_t flush_ms;

	(void)state;
	start_direct(&s, 0);
	start_sending(&s, 20);
	flush_ms = s.now_ms;
	sim_nat_flush(&s, 0);
	sim_run(&s, flush_ms + 2000, NULL);
	assert_true(s.node[0].last_data_ms > flush_ms + 1900);
	assert_true(s.node[1].last_data_ms > flush_ms + 1900);
	assert_true(sim_run(&s, flush_ms + 3000, sim_both_direct));
	sim_fini(&s);
}

static void loss_does_not_shake_a_path_that_carries_data(void **state)
{
	struct sim s;

	(void)state;
	start_direct(&s, 50);
	start_sending(&s, 50);
	sim_run(&s, s.now_ms + 600000, NULL);
	assert_int_equal(s.node[0].n_silent + s.node[1].n_silent, 0);
	sim_fini(&s);
}

static void with_no_other_path_the_silent_one_stays_and_all_are_probed(void **state)
{
	struct sim s;
	unsigned n_probes;

	(void)state;
	start_direct(&s, 0);
	start_sending(&s, 20);
	for (unsigned i = 0; i < 2; i++)
		path_set_relay(s.node[i].set, PATH_RELAY_UDP, 0, false, s.now_ms);
	s.is_direct_down = true;
	sim_run(&s, s.now_ms + 30000, NULL);
	assert_true(sim_both_direct(&s));
	assert_int_equal(s.node[0].n_silent, 1);
	n_probes = s.node[0].n_probes;
	sim_run(&s, s.now_ms + 10000, NULL);
	assert_in_range(s.node[0].n_probes - n_probes, 18, 22); /* two endpoints, once a second each */

	s.is_direct_down = false;
	sim_run(&s, s.now_ms + 1300, NULL);
	assert_true(s.node[1].last_data_ms + 100 > s.now_ms);
	sim_run(&s, s.now_ms + 20000, NULL);
	n_probes = s.node[0].n_probes;
	sim_run(&s, s.now_ms + 10000, NULL);
	assert_in_range(s.node[0].n_probes - n_probes, 0, 45); /* it is measured again, and that is all */
	sim_fini(&s);
}

static void a_lost_peer_that_is_not_sent_to_is_left_alone(void **state)
{
	struct sim s;
	unsigned n_ticks;

	(void)state;
	start_direct(&s, 0);
	start_sending(&s, 20);
	for (unsigned i = 0; i < 2; i++)
		path_set_relay(s.node[i].set, PATH_RELAY_UDP, 0, false, s.now_ms);
	s.is_direct_down = true;
	sim_run(&s, s.now_ms + 30000, NULL);
	sim_data(&s, 0, 0);
	sim_data(&s, 1, 0);
	s.node[0].activity.in_contact = false;
	sim_run(&s, s.now_ms + 5000, NULL);
	n_ticks = s.node[0].n_ticks;
	sim_run(&s, s.now_ms + HOUR_MS, NULL);
	assert_int_equal(s.node[0].n_ticks, n_ticks);
	sim_fini(&s);
}

static void a_silent_udp_relay_gives_way_to_the_tcp_one(void **state)
{
	struct sim s;
	const struct path *best;

	(void)state;
	sim_init(&s, SIM_SYMMETRIC, SIM_SYMMETRIC, 1);
	sim_start(&s);
	for (unsigned i = 0; i < 2; i++)
		path_set_relay(s.node[i].set, PATH_RELAY_TCP, 0, true, s.now_ms);
	sim_data(&s, 0, 20);
	sim_data(&s, 1, 20);
	sim_run(&s, s.now_ms + 40000, NULL);
	assert_int_equal(path_set_best(s.node[0].set)->addr.kind, PATH_RELAY_UDP);
	s.is_relay_udp_down = true;
	sim_run(&s, s.now_ms + 2200, NULL);
	best = path_set_best(s.node[0].set);
	assert_int_equal(best->addr.kind, PATH_RELAY_TCP);
	assert_int_equal(s.node[0].n_silent, 1);
	s.is_relay_udp_down = false;
	sim_run(&s, s.now_ms + 60000, NULL);
	assert_int_equal(path_set_best(s.node[0].set)->addr.kind, PATH_RELAY_UDP);
	assert_int_equal(s.node[0].n_silent, 1);
	sim_fini(&s);
}

static void a_path_idle_for_long_is_unsure_from_the_first_probe_on(void **state)
{
	struct sim s;

	(void)state;
	start_direct(&s, 0);
	for (unsigned i = 0; i < 2; i++)
		s.node[i].activity.in_contact = false;
	sim_run(&s, s.now_ms + 300000, NULL);
	s.nat_timeout_ms = 20000; /* forgotten long ago */
	sim_data(&s, 0, 20);
	sim_run(&s, s.now_ms + 1, NULL);
	assert_true(one_is_unsure(&s));
	sim_run(&s, s.now_ms + 100, NULL);
	assert_true(s.node[1].last_data_ms + 100 > s.now_ms);
	sim_fini(&s);
}

static void out_of_contact_nothing_is_due(void **state)
{
	struct sim s;

	(void)state;
	start_direct(&s, 0);
	s.node[0].activity.in_contact = s.node[1].activity.in_contact = false;
	sim_run(&s, s.now_ms + 20000, NULL);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(path_set_next_ms(s.node[i].set) == UINT64_MAX);
		s.node[i].n_ticks = s.node[i].n_probes = 0;
	}
	sim_run(&s, s.now_ms + HOUR_MS, NULL);
	assert_int_equal(s.node[0].n_ticks + s.node[1].n_ticks, 0);
	assert_int_equal(s.node[0].n_probes + s.node[1].n_probes, 0);
	sim_fini(&s);
}

static void relayed_and_out_of_contact_nothing_is_due(void **state)
{
	struct sim s;

	(void)state;
	sim_init(&s, SIM_SYMMETRIC, SIM_SYMMETRIC, 1);
	s.node[0].activity.in_contact = s.node[1].activity.in_contact = false;
	sim_start(&s);
	sim_run(&s, s.now_ms + 20000, NULL);
	s.node[0].n_ticks = 0;
	assert_true(path_set_next_round_ms(s.node[0].set) == UINT64_MAX);
	sim_run(&s, s.now_ms + HOUR_MS, NULL);
	assert_int_equal(s.node[0].n_ticks, 0);

	s.node[0].activity.in_contact = true; /* the round that is overdue begins with the next tick */
	path_set_tick(s.node[0].set, &s.node[0].activity, s.now_ms);
	assert_true(path_set_is_probing(s.node[0].set));
	sim_fini(&s);
}

static void relayed_and_in_contact_rounds_back_off(void **state)
{
	struct sim s;
	uint64_t begin_ms, last_ms = 0, gap_ms = 0;
	unsigned n_rounds = 0;

	(void)state;
	sim_init(&s, SIM_SYMMETRIC, SIM_SYMMETRIC, 1);
	sim_start(&s);
	begin_ms = last_ms = s.now_ms;
	while (s.now_ms < begin_ms + HOUR_MS) {
		uint64_t round_ms;

		sim_run(&s, s.now_ms + 1000, NULL);
		round_ms = path_set_last_round_ms(s.node[0].set);
		if (round_ms == last_ms)
			continue;
		assert_true(round_ms - last_ms >= gap_ms && round_ms - last_ms <= 300000);
		gap_ms = round_ms - last_ms;
		last_ms = round_ms;
		n_rounds++;
	}
	assert_int_equal(gap_ms, 300000);
	assert_in_range(n_rounds, 13, 16);
	/* Of a round, 7 probes to each of two endpoints, one to the relay, and verdicts. */
	assert_true(s.node[0].n_probes <= (n_rounds + 1) * 15);
	assert_true(s.node[0].n_ticks <= (n_rounds + 1) * 25);
	sim_fini(&s);
}

static void an_idle_direct_path_is_kept_open_by_one_exchange_every_15_to_18_s(void **state)
{
	struct sim s;

	(void)state;
	start_direct(&s, 0);
	s.nat_timeout_ms = 20000;
	sim_run(&s, s.now_ms + 20000, NULL);
	s.node[0].n_ticks = s.node[0].n_probes = s.node[1].n_probes = 0;
	sim_run(&s, s.now_ms + HOUR_MS, NULL);
	/* Either side's probe and its answer keep both mappings open. */
	assert_in_range(s.node[0].n_probes + s.node[1].n_probes, HOUR_MS / 18000 - 1, 2 * HOUR_MS / 15000);
	assert_in_range(s.node[0].n_ticks, s.node[0].n_probes, HOUR_MS / 15000 + 1);
	assert_int_equal(s.node[0].n_silent + s.node[1].n_silent, 0);
	assert_true(sim_both_direct(&s));
	sim_fini(&s);
}

static void a_learned_lifetime_sets_the_pace_of_keepalives(void **state)
{
	struct sim s;

	(void)state;
	start_direct(&s, 0);
	s.nat_timeout_ms = 120000;
	for (unsigned i = 0; i < 2; i++)
		path_set_set_keepalive(s.node[i].set, 96000);
	sim_run(&s, s.now_ms + 100000, NULL);
	s.node[0].n_ticks = s.node[0].n_probes = s.node[1].n_probes = 0;
	sim_run(&s, s.now_ms + HOUR_MS, NULL);
	assert_in_range(s.node[0].n_probes + s.node[1].n_probes, HOUR_MS / 96000 - 1, 2 * HOUR_MS / 93000);
	assert_int_equal(s.node[0].n_silent + s.node[1].n_silent, 0);
	assert_true(sim_both_direct(&s));
	for (unsigned i = 0; i < 2; i++)
		path_set_set_keepalive(s.node[i].set, 12000);
	sim_run(&s, s.now_ms + 100000, NULL);
	s.nat_timeout_ms = 13000;
	s.node[0].n_probes = s.node[1].n_probes = 0;
	sim_run(&s, s.now_ms + HOUR_MS, NULL);
	assert_in_range(s.node[0].n_probes + s.node[1].n_probes, HOUR_MS / 12000 - 1, 2 * HOUR_MS / 9000);
	assert_true(sim_both_direct(&s));
	sim_fini(&s);
}

static void where_nothing_has_to_be_kept_open_nothing_is_sent(void **state)
{
	struct sim s;

	(void)state;
	start_direct(&s, 0);
	for (unsigned i = 0; i < 2; i++)
		path_set_set_keepalive(s.node[i].set, 0);
	sim_run(&s, s.now_ms + 20000, NULL);
	s.node[0].n_ticks = s.node[0].n_probes = s.node[1].n_probes = 0;
	sim_run(&s, s.now_ms + HOUR_MS, NULL);
	assert_int_equal(s.node[0].n_probes + s.node[1].n_probes + s.node[0].n_ticks, 0);
	assert_true(sim_both_direct(&s));
	s.is_direct_down = true;
	sim_data(&s, 0, 20);
	sim_data(&s, 1, 20);
	sim_run(&s, s.now_ms + 1, NULL);
	assert_true(one_is_unsure(&s)); /* a relay helps out from the first datagram on */
	assert_true(sim_run(&s, s.now_ms + 2000, none_is_direct));
	sim_fini(&s);
}

static void an_idle_path_that_died_is_noticed_by_its_keepalive(void **state)
{
	struct sim s;

	(void)state;
	start_direct(&s, 0);
	sim_run(&s, s.now_ms + 20000, NULL);
	s.is_direct_down = true;
	assert_true(sim_run(&s, s.now_ms + 16000 + 1000, none_is_direct));
	s.is_direct_down = false;
	assert_true(sim_run(&s, s.now_ms + 3000, sim_both_direct));
	sim_fini(&s);
}

static void after_a_change_of_network_the_path_is_checked_and_kept(void **state)
{
	struct sim s;
	unsigned n_changes;

	(void)state;
	start_direct(&s, 0);
	start_sending(&s, 20);
	n_changes = s.node[0].n_changes;
	path_set_network_changed(s.node[0].set, s.now_ms);
	assert_true(one_is_unsure(&s));
	sim_run(&s, s.now_ms + 10000, NULL);
	assert_false(one_is_unsure(&s));
	assert_int_equal(s.node[0].n_changes, n_changes);
	assert_int_equal(s.node[0].n_silent, 0);
	sim_fini(&s);
}

static void after_a_move_data_flows_again_at_once_and_directly_soon(void **state)
{
	struct sim s;
	uint64_t move_ms;

	(void)state;
	start_direct(&s, 0);
	start_sending(&s, 20);
	move_ms = s.now_ms;
	s.node[0].outer = sim_endpoint("192.0.2.77:33333");
	s.node[0].n_flows = 0;
	path_set_network_changed(s.node[0].set, s.now_ms);
	sim_run(&s, move_ms + 200, NULL);
	assert_true(s.node[1].last_data_ms > move_ms + 150);
	sim_run(&s, move_ms + 3000, NULL);
	assert_true(s.node[0].last_data_ms > move_ms + 2900);
	assert_true(s.node[1].last_data_ms > move_ms + 2900);
	sim_fini(&s);
}

static void stopped_nothing_is_trusted_or_probed_and_candidates_stay(void **state)
{
	struct sim s;
	unsigned n_probes;

	(void)state;
	start_direct(&s, 0);
	for (unsigned i = 0; i < 2; i++)
		path_set_stop(s.node[i].set, s.now_ms);
	assert_null(path_set_best(s.node[0].set));
	assert_null(path_set_extra(s.node[0].set));
	assert_true(path_set_next_ms(s.node[0].set) == UINT64_MAX);
	n_probes = s.node[0].n_probes;
	sim_run(&s, s.now_ms + HOUR_MS, NULL);
	assert_int_equal(s.node[0].n_probes, n_probes);
	assert_int_equal(path_set_count(s.node[0].set), 3);
	for (unsigned i = 0; i < 2; i++)
		path_set_start(s.node[i].set, s.now_ms);
	assert_true(sim_run(&s, s.now_ms + 1000, sim_both_direct));
	sim_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_path_with_traffic_is_probed_to_measure_it_only),
		cmocka_unit_test(one_way_traffic_is_proven_by_a_few_probes_a_second),
		cmocka_unit_test(a_silent_path_is_left_while_sending_and_taken_up_again),
		cmocka_unit_test(data_reaches_the_peer_over_the_extra_path),
		cmocka_unit_test(a_nat_that_forgot_is_healed_within_three_seconds),
		cmocka_unit_test(loss_does_not_shake_a_path_that_carries_data),
		cmocka_unit_test(with_no_other_path_the_silent_one_stays_and_all_are_probed),
		cmocka_unit_test(a_lost_peer_that_is_not_sent_to_is_left_alone),
		cmocka_unit_test(a_silent_udp_relay_gives_way_to_the_tcp_one),
		cmocka_unit_test(a_path_idle_for_long_is_unsure_from_the_first_probe_on),
		cmocka_unit_test(out_of_contact_nothing_is_due),
		cmocka_unit_test(relayed_and_out_of_contact_nothing_is_due),
		cmocka_unit_test(relayed_and_in_contact_rounds_back_off),
		cmocka_unit_test(an_idle_direct_path_is_kept_open_by_one_exchange_every_15_to_18_s),
		cmocka_unit_test(a_learned_lifetime_sets_the_pace_of_keepalives),
		cmocka_unit_test(where_nothing_has_to_be_kept_open_nothing_is_sent),
		cmocka_unit_test(an_idle_path_that_died_is_noticed_by_its_keepalive),
		cmocka_unit_test(after_a_change_of_network_the_path_is_checked_and_kept),
		cmocka_unit_test(after_a_move_data_flows_again_at_once_and_directly_soon),
		cmocka_unit_test(stopped_nothing_is_trusted_or_probed_and_candidates_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
