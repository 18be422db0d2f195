/* Two sets behind simulated NATs find each other, or stay on the relay and say so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/path_sim.h"

static void direct_within(enum sim_nat a, enum sim_nat b, uint64_t limit_ms)
{
	struct sim s;
	uint64_t begin_ms;

	sim_init(&s, a, b, 1);
	sim_start(&s);
	begin_ms = s.now_ms;
	assert_false(sim_both_direct(&s));
	assert_true(sim_run(&s, begin_ms + limit_ms, sim_both_direct));
	sim_fini(&s);
}

static void port_restricted_pair_is_direct_in_two_round_trips(void **state)
{
	(void)state;
	direct_within(SIM_PORT_RESTRICTED, SIM_PORT_RESTRICTED, 2 * 40 + 50);
}

static void every_pair_that_punching_can_join_is_direct(void **state)
{
	static const struct {
		enum sim_nat a, b;
	} pairs[] = {
		{ SIM_PUBLIC, SIM_PUBLIC },
		{ SIM_PUBLIC, SIM_FULL_CONE },
		{ SIM_PUBLIC, SIM_PORT_RESTRICTED },
		{ SIM_PUBLIC, SIM_SYMMETRIC },
		{ SIM_FULL_CONE, SIM_FULL_CONE },
		{ SIM_FULL_CONE, SIM_PORT_RESTRICTED },
		{ SIM_FULL_CONE, SIM_SYMMETRIC },
		{ SIM_ADDRESS_RESTRICTED, SIM_PORT_RESTRICTED },
		{ SIM_ADDRESS_RESTRICTED, SIM_SYMMETRIC },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		direct_within(pairs[i].a, pairs[i].b, 500);
		direct_within(pairs[i].b, pairs[i].a, 500);
	}
}

static void the_first_three_each_way_may_be_dropped(void **state)
{
	struct sim s;
	uint64_t begin_ms;

	(void)state;
	sim_init(&s, SIM_PORT_RESTRICTED, SIM_PORT_RESTRICTED, 1);
	s.node[0].drop_first = s.node[1].drop_first = 3;
	sim_start(&s);
	begin_ms = s.now_ms;
	assert_true(sim_run(&s, begin_ms + 2000, sim_both_direct));
	sim_fini(&s);
}

/* Counts the dropped per path: each of the two candidates loses its first three. */
static void the_first_three_of_each_candidate_may_be_dropped(void **state)
{
	struct sim s;

	(void)state;
	sim_init(&s, SIM_PORT_RESTRICTED, SIM_PORT_RESTRICTED, 1);
	s.node[0].drop_first = s.node[1].drop_first = 6;
	sim_start(&s);
	assert_true(sim_run(&s, s.now_ms + 2000, sim_both_direct));
	sim_fini(&s);
}

static unsigned count_direct(unsigned loss_permille, unsigned n_seeds, uint64_t limit_ms)
{
	unsigned n = 0;

	for (unsigned seed = 1; seed <= n_seeds; seed++) {
		struct sim s;

		sim_init(&s, SIM_PORT_RESTRICTED, SIM_PORT_RESTRICTED, seed);
		s.loss_permille = loss_permille;
		s.jitter_ms = 10;
		sim_start(&s);
		n += sim_run(&s, s.now_ms + limit_ms, sim_both_direct);
		sim_fini(&s);
	}
	return n;
}

static void random_loss_delays_but_does_not_prevent(void **state)
{
	(void)state;
	assert_int_equal(count_direct(50, 200, 4000), 200);
	assert_true(count_direct(50, 200, 1000) >= 195);
	assert_true(count_direct(200, 200, 4000) >= 190);
	assert_int_equal(count_direct(200, 200, 9000), 200);
}

static void symmetric_pair_stays_on_the_relay_and_is_recorded(void **state)
{
	struct sim s;
	unsigned n_failed = 0;

	(void)state;
	sim_init(&s, SIM_SYMMETRIC, SIM_SYMMETRIC, 1);
	sim_start(&s);
	sim_data(&s, 0, 100);
	sim_data(&s, 1, 100);
	assert_true(path_set_is_probing(s.node[0].set));
	assert_false(sim_run(&s, s.now_ms + 10000, sim_both_direct));
	assert_false(path_set_is_probing(s.node[0].set));
	for (unsigned side = 0; side < 2; side++) {
		const struct path_set *set = s.node[side].set;

		assert_int_equal(path_set_best(set)->addr.kind, PATH_RELAY_UDP);
		assert_int_equal(path_set_count(set), 3);
		assert_int_equal(s.node[side].n_silent, 0);
		for (unsigned i = 0; i < path_set_count(set); i++) {
			const struct path *p = path_set_at(set, i);

			if (p->addr.kind != PATH_UDP)
				continue;
			assert_int_equal(p->state, PATH_FAILED);
			assert_int_equal(p->n_sent, 7);
			assert_int_equal(p->n_answered, 0);
			assert_int_equal(p->last_answer_ms, 0);
			n_failed++;
		}
		assert_int_equal(path_set_next_round_ms(set), path_set_last_round_ms(set) + 30000);
	}
	assert_int_equal(n_failed, 4);
	sim_fini(&s);
}

static void a_probe_from_a_stranger_endpoint_makes_it_a_candidate(void **state)
{
	struct sim s;
	const struct path *best;

	(void)state;
	sim_init(&s, SIM_PUBLIC, SIM_SYMMETRIC, 1);
	sim_start(&s);
	assert_true(sim_run(&s, s.now_ms + 1000, sim_both_direct));
	best = path_set_best(s.node[0].set);
	assert_int_equal(best->candidate, CANDIDATE_PEER_REFLEXIVE);
	assert_int_equal(best->addr.endpoint.port, 51000); /* the port drawn towards us, not the one told */
	assert_true(endpoint_equal(path_set_observed(s.node[1].set), &best->addr.endpoint));
	sim_fini(&s);
}

static void on_one_lan_the_lan_is_used(void **state)
{
	struct sim s;

	(void)state;
	sim_init(&s, SIM_FULL_CONE, SIM_FULL_CONE, 1); /* which hairpin: the reflexive endpoints answer as well */
	s.is_one_lan = true;
	sim_start(&s);
	assert_true(sim_run(&s, s.now_ms + 2000, sim_both_direct));
	sim_run(&s, s.now_ms + 1000, NULL);
	for (unsigned side = 0; side < 2; side++) {
		const struct path *best = path_set_best(s.node[side].set);

		assert_string_equal(path_kind_name(best), "lan");
		assert_true(endpoint_equal(&best->addr.endpoint, &s.node[!side].host));
		assert_ptr_equal(path_set_at(s.node[side].set, 0), best);
	}
	sim_fini(&s);
}

/* The first probes of one side reach the other's router long before its own leave. */
static void careless(struct sim *s, bool is_here, bool is_there, bool has_no_opener)
{
	sim_init(s, SIM_PORT_RESTRICTED, SIM_PORT_RESTRICTED, 1);
	s->late_ms = s->relay_delay_ms;
	s->nat_timeout_ms = 30000;
	s->node[0].is_careless = is_here;
	s->node[1].is_careless = is_there;
	s->has_no_opener = has_no_opener;
	sim_start(s);
}

static void a_careless_router_hears_of_the_peer_first(void **state)
{
	struct sim s;

	(void)state;
	careless(&s, true, true, true); /* without openers it is beyond help */
	sim_data(&s, 0, 1000);
	sim_data(&s, 1, 1000);
	assert_false(sim_run(&s, s.now_ms + 60000, sim_both_direct));
	sim_fini(&s);
	for (unsigned which = 0; which < 4; which++) {
		careless(&s, which & 1, which & 2, false);
		assert_true(sim_run(&s, s.now_ms + s.late_ms + 2 * 40 + 50, sim_both_direct));
		assert_int_equal(s.node[0].n_openers, 0); /* its probes are early enough */
		assert_int_equal(s.node[1].n_openers, 2);
		sim_fini(&s);
	}
}

static void a_relayed_pair_is_found_in_a_later_round(void **state)
{
	struct sim s;

	(void)state;
	sim_init(&s, SIM_PORT_RESTRICTED, SIM_PORT_RESTRICTED, 1);
	s.is_direct_down = true;
	sim_start(&s);
	assert_false(sim_run(&s, s.now_ms + 20000, sim_both_direct));
	s.is_direct_down = false;
	assert_true(sim_run(&s, s.now_ms + 11000, sim_both_direct));
	sim_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(port_restricted_pair_is_direct_in_two_round_trips),
		cmocka_unit_test(every_pair_that_punching_can_join_is_direct),
		cmocka_unit_test(the_first_three_each_way_may_be_dropped),
		cmocka_unit_test(the_first_three_of_each_candidate_may_be_dropped),
		cmocka_unit_test(random_loss_delays_but_does_not_prevent),
		cmocka_unit_test(symmetric_pair_stays_on_the_relay_and_is_recorded),
		cmocka_unit_test(a_probe_from_a_stranger_endpoint_makes_it_a_candidate),
		cmocka_unit_test(on_one_lan_the_lan_is_used),
		cmocka_unit_test(a_careless_router_hears_of_the_peer_first),
		cmocka_unit_test(a_relayed_pair_is_found_in_a_later_round),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
