/* The cause that is named follows from what was recorded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/path/why.h"
#include "tests/unit/path_sim.h"

static const struct nat_facts hard = { .mapping = NAT_MAPPING_ENDPOINT_DEPENDENT, .flags = NAT_TESTED | NAT_UDP4_OK };
static const struct nat_facts easy = { .mapping = NAT_MAPPING_ENDPOINT_INDEPENDENT, .flags = NAT_TESTED | NAT_UDP4_OK };
static const struct nat_facts blocked = { .flags = NAT_TESTED | NAT_UDP_BLOCKED };
static const struct nat_facts untested = { 0 };

static struct why_facts facts(const struct path_set *paths, const struct nat_facts *here, const struct nat_facts *there)
{
	return (struct why_facts){
		.here = *here,
		.has_there = there != NULL,
		.there = there ? *there : untested,
		.here_has_v4 = true,
		.there_has_v4 = there != NULL,
		.paths = paths,
	};
}

/* A pair that was kept from reaching each other for `ms`. */
static void relayed(struct sim *s, uint64_t ms)
{
	sim_init(s, SIM_SYMMETRIC, SIM_SYMMETRIC, 1);
	s->is_direct_down = true;
	sim_start(s);
	sim_run(s, s->now_ms + ms, NULL);
	assert_int_equal(path_set_best(s->node[0].set)->addr.kind, PATH_RELAY_UDP);
}

static void a_direct_path_needs_no_explanation(void **state)
{
	struct sim s;
	struct why_facts f;

	(void)state;
	sim_init(&s, SIM_PORT_RESTRICTED, SIM_PORT_RESTRICTED, 1);
	sim_start(&s);
	assert_true(sim_run(&s, s.now_ms + 2000, sim_both_direct));
	f = facts(s.node[0].set, &hard, &blocked);
	f.is_offline = f.no_coordinator = f.handshake_unanswered = true;
	assert_int_equal(why_judge(&f), WHY_NONE);
	sim_fini(&s);
}

static void a_round_that_goes_on_is_probing(void **state)
{
	struct sim s;
	struct why_facts f;

	(void)state;
	relayed(&s, 2900);
	f = facts(s.node[0].set, &hard, &blocked);
	assert_int_equal(why_judge(&f), WHY_UDP_BLOCKED); /* its end is no news */
	f.is_relay_only = true;
	assert_int_equal(why_judge(&f), WHY_POLICY_RELAY_ONLY);
	f = facts(s.node[0].set, &hard, &hard);
	assert_int_equal(why_judge(&f), WHY_PROBING);
	sim_run(&s, s.now_ms + 500, NULL);
	assert_int_equal(why_judge(&f), WHY_HARD_HARD_NAT);
	f = facts(NULL, &hard, &hard);
	assert_int_equal(why_judge(&f), WHY_PROBING); /* nothing was recorded yet */
	sim_fini(&s);
}

static void a_relayed_pair_is_judged_by_both_nats(void **state)
{
	static const struct {
		const struct nat_facts *here, *there;
		enum why_cause cause;
	} cases[] = {
		{ &hard, &hard, WHY_HARD_HARD_NAT },     { &hard, &easy, WHY_HARD_EASY_PENDING },
		{ &easy, &hard, WHY_HARD_EASY_PENDING }, { &easy, &easy, WHY_FIREWALL_DROP },
		{ &easy, &untested, WHY_FIREWALL_DROP }, { &blocked, &easy, WHY_UDP_BLOCKED },
		{ &hard, &blocked, WHY_UDP_BLOCKED },    { &blocked, NULL, WHY_UDP_BLOCKED },
		{ &hard, NULL, WHY_FIREWALL_DROP }, /* what the other side has is not known */
	};
	struct sim s;

	(void)state;
	relayed(&s, 10000);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct why_facts f = facts(s.node[0].set, cases[i].here, cases[i].there);

		assert_int_equal(why_judge(&f), cases[i].cause);
		f.is_idle = true; /* the reason does not change when traffic pauses */
		assert_int_equal(why_judge(&f), cases[i].cause);
	}
	sim_fini(&s);
}

static void facts_that_were_not_measured_are_not_used(void **state)
{
	struct nat_facts guess_hard = hard, guess_blocked = blocked;
	struct sim s;
	struct why_facts f;

	(void)state;
	guess_hard.flags = 0;
	guess_blocked.flags = NAT_UDP_BLOCKED;
	relayed(&s, 10000);
	f = facts(s.node[0].set, &guess_hard, &guess_hard);
	assert_int_equal(why_judge(&f), WHY_FIREWALL_DROP);
	f = facts(s.node[0].set, &guess_blocked, &easy);
	assert_int_equal(why_judge(&f), WHY_FIREWALL_DROP);
	sim_fini(&s);
}

static void an_endpoint_that_leads_into_the_mesh_is_named(void **state)
{
	struct sim s;
	struct why_facts f;

	(void)state;
	relayed(&s, 10000);
	f = facts(s.node[0].set, &easy, &easy);
	f.n_inside = 1;
	assert_int_equal(why_judge(&f), WHY_ENDPOINT_INSIDE_MESH_ROUTE);
	f = facts(s.node[0].set, &hard, &hard); /* that alone would be enough */
	f.n_inside = 1;
	assert_int_equal(why_judge(&f), WHY_HARD_HARD_NAT);
	path_set_forget(s.node[0].set, &s.node[1].host.ip, s.now_ms);
	path_set_forget(s.node[0].set, &s.node[1].outer.ip, s.now_ms);
	assert_int_equal(why_judge(&f), WHY_ENDPOINT_INSIDE_MESH_ROUTE); /* nothing else is left to try */
	sim_fini(&s);
}

static void behind_one_nat_it_must_lead_back(void **state)
{
	struct nat_facts loops = easy, does_not = easy;
	struct sim s;
	struct why_facts f;

	(void)state;
	loops.flags |= NAT_HAIRPIN_TESTED | NAT_HAIRPIN;
	does_not.flags |= NAT_HAIRPIN_TESTED;
	relayed(&s, 10000);
	f = facts(s.node[0].set, &does_not, &does_not);
	assert_int_equal(why_judge(&f), WHY_FIREWALL_DROP); /* of two NATs it is of no matter */
	f.is_same_nat = true;
	assert_int_equal(why_judge(&f), WHY_NO_HAIRPIN);
	f.here = easy; /* not tested */
	assert_int_equal(why_judge(&f), WHY_FIREWALL_DROP);
	f.here = loops;
	assert_int_equal(why_judge(&f), WHY_FIREWALL_DROP);
	f.here = hard;
	f.here.flags |= NAT_HAIRPIN_TESTED;
	f.there = hard;
	assert_int_equal(why_judge(&f), WHY_NO_HAIRPIN); /* that ports change is of no matter there */
	sim_fini(&s);
}

static void families_must_meet(void **state)
{
	struct sim s;
	struct why_facts f;

	(void)state;
	relayed(&s, 10000);
	f = facts(s.node[0].set, &hard, &hard);
	f.there_has_v4 = false;
	f.there_has_v6 = true;
	assert_int_equal(why_judge(&f), WHY_NO_COMMON_FAMILY);
	f.here_has_v6 = true;
	assert_int_equal(why_judge(&f), WHY_HARD_HARD_NAT);
	sim_fini(&s);
}

static void without_any_path_the_peer_is_offline_idle_or_refuses(void **state)
{
	struct why_facts f = facts(NULL, &easy, NULL);

	(void)state;
	f.is_idle = true;
	assert_int_equal(why_judge(&f), WHY_NONE);
	f.no_common_cipher = true; /* known from the last try, though nothing is tried now */
	assert_int_equal(why_judge(&f), WHY_NO_COMMON_CIPHER);
	f.is_offline = true;
	assert_int_equal(why_judge(&f), WHY_PEER_OFFLINE);
	f.no_common_cipher = false;
	f.is_idle = false;
	f.handshake_unanswered = true;
	assert_int_equal(why_judge(&f), WHY_PEER_OFFLINE);
	f.is_offline = false;
	assert_int_equal(why_judge(&f), WHY_KEY_REFUSED);
	f.no_coordinator = true; /* nobody can say that it is online */
	assert_int_equal(why_judge(&f), WHY_PEER_OFFLINE);
}

static void a_cached_peer_that_does_not_answer_is_off_or_elsewhere(void **state)
{
	struct why_facts f = facts(NULL, &easy, NULL);

	(void)state;
	f.is_cached = f.no_coordinator = f.is_idle = true;
	assert_int_equal(why_judge(&f), WHY_NONE);
	f.is_idle = false;
	assert_int_equal(why_judge(&f), WHY_PEER_OFFLINE_OR_ELSEWHERE);
	assert_string_equal(why_name(WHY_PEER_OFFLINE_OR_ELSEWHERE), why_name(WHY_PEER_OFFLINE));
	f.is_key_refused = true; /* of that we know more */
	assert_int_equal(why_judge(&f), WHY_KEY_REFUSED_BY_COORDINATOR);
}

static void a_coordinator_that_turns_us_away_is_the_cause(void **state)
{
	struct why_facts f = facts(NULL, &easy, NULL);

	(void)state;
	f.handshake_unanswered = f.no_coordinator = f.is_key_refused = true;
	assert_int_equal(why_judge(&f), WHY_KEY_REFUSED_BY_COORDINATOR);
	f.is_version_refused = true;
	assert_int_equal(why_judge(&f), WHY_VERSION_MISMATCH_OF_COORDINATOR);
	f.no_coordinator = false; /* another one took us */
	assert_int_equal(why_judge(&f), WHY_KEY_REFUSED);
	assert_string_equal(why_name(WHY_KEY_REFUSED_BY_COORDINATOR), why_name(WHY_KEY_REFUSED));
	assert_string_equal(why_name(WHY_VERSION_MISMATCH_OF_COORDINATOR), why_name(WHY_VERSION_MISMATCH));
}

static void clocks_and_versions_are_named_by_what_was_seen(void **state)
{
	struct why_facts f = facts(NULL, &easy, NULL);

	(void)state;
	f.is_clock_off = true; /* alone no reason: timestamps need only rise */
	assert_int_equal(why_judge(&f), WHY_PROBING);
	f.handshake_unanswered = true;
	assert_int_equal(why_judge(&f), WHY_CLOCK_SKEW);
	f.is_clock_off = f.handshake_unanswered = false;
	f.is_idle = true;
	assert_int_equal(why_judge(&f), WHY_NONE);
	f.is_stale = true; /* the peer tries, we do not */
	assert_int_equal(why_judge(&f), WHY_CLOCK_SKEW);
	f.is_other_version = true;
	assert_int_equal(why_judge(&f), WHY_VERSION_MISMATCH);
	f.is_offline = true;
	assert_int_equal(why_judge(&f), WHY_PEER_OFFLINE);
}

static void none_of_them_matters_where_a_session_is(void **state)
{
	struct sim s;
	struct why_facts f;

	(void)state;
	relayed(&s, 10000);
	f = facts(s.node[0].set, &hard, &hard);
	f.is_other_version = f.is_stale = f.is_clock_off = f.is_key_refused = f.is_version_refused = true;
	assert_int_equal(why_judge(&f), WHY_HARD_HARD_NAT);
	sim_fini(&s);
}

static void a_direct_path_that_swallows_what_is_large_is_said_to(void **state)
{
	struct path *best;
	struct sim s;
	struct why_facts f;

	(void)state;
	sim_init(&s, SIM_PORT_RESTRICTED, SIM_PORT_RESTRICTED, 1);
	sim_start(&s);
	assert_true(sim_run(&s, s.now_ms + 2000, sim_both_direct));
	f = facts(s.node[0].set, &easy, &easy);
	f.wanted_bytes = 1452;
	best = (struct path *)path_set_best(s.node[0].set); /* as test_path_mtu has it recorded */
	best->mtu_bytes = 1252;                             /* smaller, and that was known */
	assert_int_equal(why_judge(&f), WHY_NONE);
	best->n_mtu_drops = 1;
	assert_int_equal(why_judge(&f), WHY_MTU_BLACKHOLE);
	best->mtu_bytes = 1452; /* and it is whole again */
	assert_int_equal(why_judge(&f), WHY_NONE);
	best->mtu_bytes = 0; /* unknown */
	assert_int_equal(why_judge(&f), WHY_NONE);
	sim_fini(&s);
}

static void each_cause_has_a_name_a_text_and_all_but_one_a_fix(void **state)
{
	(void)state;
	assert_null(why_name(WHY_NONE));
	assert_null(why_text(WHY_NONE));
	assert_null(why_fix(WHY_NONE));
	for (enum why_cause c = WHY_UDP_BLOCKED; c < WHY_COUNT; c++) {
		assert_true(strlen(why_name(c)) > 5);
		assert_true(strlen(why_text(c)) > 20);
		assert_int_equal(why_fix(c) == NULL, c == WHY_PROBING);
		for (enum why_cause other = WHY_UDP_BLOCKED; other < c; other++) {
			assert_string_not_equal(why_text(c), why_text(other));
			if (c <= WHY_PROBING)
				assert_string_not_equal(why_name(c), why_name(other));
		}
	}
	assert_string_equal(why_name(WHY_HARD_HARD_NAT), "hard-hard-nat");
	assert_string_equal(why_text(WHY_HARD_HARD_NAT), "both sides change ports, so neither can guess the other's");
	assert_string_equal(why_name(WHY_UDP_BLOCKED), "udp-blocked");
	assert_string_equal(why_name(WHY_PROBING), "probing");
	assert_null(why_name((enum why_cause)99));
	assert_null(why_text((enum why_cause)99));
	assert_null(why_fix((enum why_cause)99));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_direct_path_needs_no_explanation),
		cmocka_unit_test(a_round_that_goes_on_is_probing),
		cmocka_unit_test(a_relayed_pair_is_judged_by_both_nats),
		cmocka_unit_test(facts_that_were_not_measured_are_not_used),
		cmocka_unit_test(an_endpoint_that_leads_into_the_mesh_is_named),
		cmocka_unit_test(behind_one_nat_it_must_lead_back),
		cmocka_unit_test(families_must_meet),
		cmocka_unit_test(without_any_path_the_peer_is_offline_idle_or_refuses),
		cmocka_unit_test(a_cached_peer_that_does_not_answer_is_off_or_elsewhere),
		cmocka_unit_test(a_coordinator_that_turns_us_away_is_the_cause),
		cmocka_unit_test(clocks_and_versions_are_named_by_what_was_seen),
		cmocka_unit_test(none_of_them_matters_where_a_session_is),
		cmocka_unit_test(a_direct_path_that_swallows_what_is_large_is_said_to),
		cmocka_unit_test(each_cause_has_a_name_a_text_and_all_but_one_a_fix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
