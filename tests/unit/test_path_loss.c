/* A path's loss is measured on the data it carries; a lossy one is left for a clean one, and taken up again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/path_sim.h"

static void start(struct sim *s, uint64_t seed, uint64_t every_ms)
{
	sim_init(s, SIM_PORT_RESTRICTED, SIM_PORT_RESTRICTED, seed);
	sim_start(s);
	assert_true(sim_run(s, s->now_ms + 4000, sim_both_direct));
	sim_data(s, 0, every_ms);
	sim_data(s, 1, every_ms);
	sim_run(s, s->now_ms + 5000, NULL);
	assert_true(sim_both_direct(s));
}

static bool none_is_direct(const struct sim *s)
{
	return !sim_is_direct(s, 0) && !sim_is_direct(s, 1);
}

/* Changes of the path in use at either end, at most one in ten seconds each. */
static unsigned changes(struct sim *s, uint64_t ms)
{
	uint64_t end_ms = s->now_ms + ms, changed_ms[2] = { 0 };
	bool was[2] = { sim_is_direct(s, 0), sim_is_direct(s, 1) };
	unsigned n = 0;

	while (s->now_ms < end_ms) {
		sim_run(s, s->now_ms + 10, NULL);
		for (unsigned i = 0; i < 2; i++) {
			if (sim_is_direct(s, i) == was[i])
				continue;
			was[i] = !was[i];
			if (changed_ms[i])
				assert_true(s->now_ms - changed_ms[i] >= 9900);
			changed_ms[i] = s->now_ms;
			n++;
		}
	}
	return n;
}

static void a_lossy_path_is_left_and_taken_up_when_it_is_clean(void **state)
{
	unsigned n_late = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct sim s;
		uint64_t begun_ms;

		start(&s, seed, 5);
		begun_ms = s.now_ms;
		s.direct_loss_permille = 300;
		assert_true(sim_run(&s, begun_ms + 5000, none_is_direct));
		n_late += s.now_ms - begun_ms > 2000;
		assert_int_equal(changes(&s, 15000), 0); /* the loss goes on */
		s.direct_loss_permille = 0;
		begun_ms = s.now_ms;
		assert_true(sim_run(&s, begun_ms + 12000, sim_both_direct));
		assert_int_equal(changes(&s, 15000), 0);
		assert_in_range(path_set_best(s.node[0].set)->loss_permille, 0, 5);
		sim_fini(&s);
	}
	assert_in_range(n_late, 0, 1); /* within two seconds: chance decides when an answer comes through */
}

/* A NAT that forgets, or a link that is gone for a moment: all is lost for a while, and none before and after. */
static void an_outage_is_no_loss(void **state)
{
	unsigned n_left = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct sim s;

		start(&s, seed, seed % 2 ? 1 : 20);
		for (unsigned i = 0; i < 4; i++) {
			if (i % 2) {
				sim_nat_flush(&s, 0);
			} else {
				s.is_direct_down = true;
				sim_run(&s, s.now_ms + 100 + seed * 37 % 900, NULL);
				s.is_direct_down = false;
			}
			sim_run(&s, s.now_ms + 5000, NULL);
			n_left += !sim_both_direct(&s);
		}
		sim_fini(&s);
	}
	assert_int_equal(n_left, 0);
}

/* All that waited comes at once when an outage is over, and keeps the other end busy. */
static void a_burst_after_an_outage_is_no_loss_either(void **state)
{
	unsigned n_left = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct sim s;

		start(&s, seed, seed % 2 ? 1 : 10);
		sim_nat_flush(&s, 0);
		sim_run(&s, s.now_ms + 700 + seed * 53 % 700, NULL);
		for (unsigned i = 0; i < 3; i++) {
			sim_stand_still(&s, 1, 220 + seed * 7 % 150);
			sim_run(&s, s.now_ms + 500, NULL);
		}
		n_left += sim_run(&s, s.now_ms + 4000, none_is_direct) || !sim_both_direct(&s);
		sim_fini(&s);
	}
	assert_int_equal(n_left, 0);
}

static void what_is_measured_is_what_is_lost(void **state)
{
	struct sim s;
	int32_t lowest = 1000, highest = 0;

	(void)state;
	start(&s, 5, 2);
	s.direct_loss_permille = 30; /* not worth a change */
	sim_run(&s, s.now_ms + 5000, NULL);
	for (unsigned i = 0; i < 30; i++) {
		int32_t loss;

		sim_run(&s, s.now_ms + 1000, NULL);
		loss = path_set_best(s.node[0].set)->loss_permille;
		lowest = loss < lowest ? loss : lowest;
		highest = loss > highest ? loss : highest;
	}
	assert_true(sim_both_direct(&s));
	assert_in_range(lowest, 5, 30);
	assert_in_range(highest, 30, 60);
	sim_fini(&s);
}

static void a_loss_that_everything_has_changes_nothing(void **state)
{
	struct sim s;

	(void)state;
	start(&s, 3, 5);
	s.loss_permille = 200; /* our own uplink */
	assert_in_range(changes(&s, 120000), 0, 4);
	sim_fini(&s);
}

static void a_relay_is_not_swamped(void **state)
{
	struct sim s;

	(void)state;
	start(&s, 4, 5);
	s.data_bytes = 10000; /* 16 Mbit/s */
	s.node[0].activity.relay_bit_s = s.node[1].activity.relay_bit_s = 20000000;
	sim_run(&s, s.now_ms + 2000, NULL);
	s.direct_loss_permille = 300;
	sim_run(&s, s.now_ms + 30000, NULL);
	assert_true(sim_both_direct(&s));
	s.data_bytes = 1000;
	assert_true(sim_run(&s, s.now_ms + 5000, none_is_direct));
	sim_fini(&s);
}

static void a_relay_that_loses_is_not_left_for_its_tcp(void **state)
{
	struct sim s;
	unsigned n_changes;

	(void)state;
	start(&s, 9, 5);
	s.is_direct_down = true;
	for (unsigned i = 0; i < 2; i++)
		path_set_relay(s.node[i].set, PATH_RELAY_TCP, 0, true, s.now_ms);
	sim_run(&s, s.now_ms + 8000, NULL);
	n_changes = s.node[0].n_changes + s.node[1].n_changes;
	s.loss_permille = 300;
	sim_run(&s, s.now_ms + 30000, NULL);
	assert_int_equal(s.node[0].n_changes + s.node[1].n_changes, n_changes);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(path_set_best(s.node[i].set)->addr.kind, PATH_RELAY_UDP);
	sim_fini(&s);
}

static void a_trickle_is_measured_at_its_own_pace(void **state)
{
	struct sim s;
	unsigned n_probes;

	(void)state;
	start(&s, 6, 1000);
	n_probes = s.node[0].n_probes;
	sim_run(&s, s.now_ms + 600000, NULL);
	assert_in_range(s.node[0].n_probes - n_probes, 20, 1400); /* mostly: is it still there? */
	assert_true(sim_both_direct(&s));
	sim_fini(&s);
}

static void the_relay_is_left_when_it_fails_though_direct_is_lossy(void **state)
{
	struct sim s;

	(void)state;
	start(&s, 8, 5);
	s.direct_loss_permille = 300;
	assert_true(sim_run(&s, s.now_ms + 3000, none_is_direct));
	s.is_relay_udp_down = true;
	assert_true(sim_run(&s, s.now_ms + 3000, sim_both_direct));
	sim_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lossy_path_is_left_and_taken_up_when_it_is_clean),
		cmocka_unit_test(an_outage_is_no_loss),
		cmocka_unit_test(a_burst_after_an_outage_is_no_loss_either),
		cmocka_unit_test(what_is_measured_is_what_is_lost),
		cmocka_unit_test(a_loss_that_everything_has_changes_nothing),
		cmocka_unit_test(a_relay_is_not_swamped),
		cmocka_unit_test(a_relay_that_loses_is_not_left_for_its_tcp),
		cmocka_unit_test(a_trickle_is_measured_at_its_own_pace),
		cmocka_unit_test(the_relay_is_left_when_it_fails_though_direct_is_lossy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
