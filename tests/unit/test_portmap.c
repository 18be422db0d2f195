#include "tests/unit/fake_gateway.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define PORT 27700
#define HOUR_MS 3600000u
#define DAY_MS (24u * HOUR_MS)

static int set_up(void **state)
{
	struct fake *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	fake_start(f);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	fake_stop(*state);
	free(*state);
	return 0;
}

static void want(struct fake *f)
{
	assert_int_equal(portmap_add(f->pm, IPPROTO_UDP, PORT, f->now_ms), 0);
}

static enum portmap_verdict verdict(const struct fake *f, enum portmap_protocol p)
{
	const char *error;
	enum portmap_verdict v = portmap_verdict(f->pm, p, &error);

	assert_int_equal(v == PORTMAP_NO, error != NULL);
	return v;
}

/* A gateway that maps by one protocol, connected, and a mapping by it. */
static void granted_by(struct fake *f, enum portmap_protocol p)
{
	f->has_pcp = p == PORTMAP_PCP;
	f->has_natpmp = p == PORTMAP_NATPMP;
	f->has_upnp = p == PORTMAP_UPNP;
	fake_connect(f);
	want(f);
	fake_run(f, 300);
	assert_string_equal(fake_external(f, IPPROTO_UDP, PORT), "9.0.0.1:27700");
	assert_int_equal(portmap_find(f->pm, IPPROTO_UDP, PORT)->by, p);
	f->n_changed = 0;
}

/* ---------------------------------------------------------------- the first round */

static void nobody_is_asked_before_a_mapping_is_wanted(void **state)
{
	struct fake *f = *state;

	fake_connect(f);
	fake_run(f, DAY_MS);
	assert_int_equal(f->n_announce + f->n_address + f->n_upnp, 0);
	assert_int_equal(verdict(f, PORTMAP_PCP), PORTMAP_NOT_TRIED);
	assert_true(portmap_next_ms(f->pm) == UINT64_MAX);
}

static void nobody_is_asked_without_a_gateway(void **state)
{
	struct fake *f = *state;

	want(f);
	fake_run(f, DAY_MS);
	assert_int_equal(f->n_announce + f->n_address + f->n_upnp, 0);
	assert_null(fake_external(f, IPPROTO_UDP, PORT));
}

static void a_gateway_with_pcp_holds_one_mapping_by_pcp(void **state)
{
	struct fake *f = *state;

	f->has_natpmp = f->has_upnp = true;
	fake_connect(f);
	want(f);
	fake_settle(f); /* at once: no time has passed */
	assert_string_equal(fake_external(f, IPPROTO_UDP, PORT), "9.0.0.1:27700");
	assert_int_equal(f->last_pcp.external_port, PORT); /* the same outside was asked for */
	assert_int_equal(f->last_pcp.lifetime_s, 7200);
	assert_int_equal(f->last_pcp.protocol, IPPROTO_UDP);
	fake_run(f, 60000);
	assert_int_equal(f->n_pcp_map, 1);
	assert_int_equal(f->n_natpmp_map, 0);
	assert_int_equal(f->n_upnp, 0);
	assert_int_equal(verdict(f, PORTMAP_PCP), PORTMAP_YES);
	assert_int_equal(verdict(f, PORTMAP_NATPMP), PORTMAP_YES); /* it answered */
	assert_int_equal(verdict(f, PORTMAP_UPNP), PORTMAP_NOT_TRIED);
	assert_true(ip_equal(portmap_outer(f->pm), &f->outer));
	assert_true(portmap_is_settled(f->pm));
	assert_true(f->n_changed >= 1);
}

static void a_gateway_that_speaks_nat_pmp_only_is_asked_by_it_at_once(void **state)
{
	struct fake *f = *state;
	const char *error;

	f->has_pcp = false;
	f->has_natpmp = f->has_upnp = true;
	fake_connect(f);
	want(f);
	fake_settle(f);
	assert_string_equal(fake_external(f, IPPROTO_UDP, PORT), "9.0.0.1:27700");
	assert_int_equal(portmap_find(f->pm, IPPROTO_UDP, PORT)->by, PORTMAP_NATPMP);
	assert_int_equal(f->last_natpmp.external_port, PORT);
	assert_int_equal(f->last_natpmp.lifetime_s, 7200);
	assert_int_equal(portmap_verdict(f->pm, PORTMAP_PCP, &error), PORTMAP_NO);
	assert_string_equal(error, "the gateway speaks NAT-PMP only");
	fake_run(f, 60000);
	assert_int_equal(f->n_upnp, 0);
}

/* No answer of any kind to PCP. */
static void where_pcp_is_silent_nat_pmp_is_asked_after_250_ms(void **state)
{
	struct fake *f = *state;
	struct natpmp_request q = { .opcode = NATPMP_ADDRESS };
	uint8_t data[NATPMP_RESPONSE_MAX_BYTES];

	f->is_deaf = true;
	fake_connect(f);
	want(f);
	fake_settle(f);
	fake_deliver(f, "192.168.1.1:5351", data, fake_natpmp_answer(data, &q, 0, 0, 1, &f->outer, 0));
	f->is_deaf = f->has_pcp = false;
	f->has_natpmp = true;
	fake_run(f, 249);
	assert_int_equal(f->n_natpmp_map, 0);
	fake_run(f, 1);
	assert_int_equal(f->n_natpmp_map, 1);
	assert_string_equal(fake_external(f, IPPROTO_UDP, PORT), "9.0.0.1:27700");
}

static void questions_are_repeated_and_upnp_is_tried_after_250_ms(void **state)
{
	struct fake *f = *state;
	static const unsigned at_ms[] = { 0, 250, 750, 1750 };

	f->has_pcp = false;
	fake_connect(f);
	want(f);
	f->holds_upnp = true;
	for (unsigned i = 0; i < 4; i++) {
		fake_run(f, at_ms[i] - (i ? at_ms[i - 1] : 0));
		assert_int_equal(f->n_announce, i + 1);
		assert_int_equal(f->n_address, i + 1);
		assert_int_equal(f->n_upnp, i > 0);
	}
	assert_int_equal(verdict(f, PORTMAP_PCP), PORTMAP_ASKING);
	assert_int_equal(verdict(f, PORTMAP_UPNP), PORTMAP_ASKING);
	assert_false(portmap_is_settled(f->pm));
	fake_finish_upnp(f);
	assert_int_equal(verdict(f, PORTMAP_UPNP), PORTMAP_NO);
	fake_run(f, 1999);
	assert_false(portmap_is_settled(f->pm));
	fake_run(f, 1);
	assert_int_equal(f->n_announce, 4);
	assert_int_equal(verdict(f, PORTMAP_PCP), PORTMAP_NO);
	assert_int_equal(verdict(f, PORTMAP_NATPMP), PORTMAP_NO);
	assert_true(portmap_is_settled(f->pm));
	assert_non_null(portmap_find(f->pm, IPPROTO_UDP, PORT)->error);
}

static void upnp_maps_where_nothing_else_does(void **state)
{
	struct fake *f = *state;

	granted_by(f, PORTMAP_UPNP);
	assert_int_equal(f->n_upnp, 1);
	assert_int_equal(verdict(f, PORTMAP_UPNP), PORTMAP_YES);
	assert_true(ip_equal(portmap_outer(f->pm), &f->outer));
}

static void what_one_protocol_refuses_the_next_is_asked_for(void **state)
{
	struct fake *f = *state;
	const char *error;

	f->has_natpmp = f->has_upnp = true;
	f->pcp_result = 2;
	fake_connect(f);
	want(f);
	fake_run(f, 300);
	assert_int_equal(f->n_pcp_map, 1);
	assert_int_equal(f->n_natpmp_map, 0); /* it is the same server */
	assert_int_equal(f->n_upnp, 1);
	assert_string_equal(fake_external(f, IPPROTO_UDP, PORT), "9.0.0.1:27700");
	assert_int_equal(portmap_verdict(f->pm, PORTMAP_PCP, &error), PORTMAP_NO);
	assert_string_equal(error, "not authorized");
	assert_int_equal(verdict(f, PORTMAP_NATPMP), PORTMAP_YES);
}

static void what_nat_pmp_refuses_upnp_is_asked_for(void **state)
{
	struct fake *f = *state;

	f->has_pcp = false;
	f->has_natpmp = f->has_upnp = true;
	f->natpmp_result = 2;
	fake_connect(f);
	want(f);
	fake_run(f, 300);
	assert_int_equal(f->n_natpmp_map, 1);
	assert_int_equal(portmap_find(f->pm, IPPROTO_UDP, PORT)->by, PORTMAP_UPNP);
	assert_int_equal(verdict(f, PORTMAP_NATPMP), PORTMAP_NO);
}

static void where_the_port_is_taken_another_is_asked_for(void **state)
{
	struct fake *f = *state;
	uint16_t drawn;

	f->taken = PORT;
	fake_connect(f);
	want(f);
	fake_settle(f);
	assert_int_equal(f->n_pcp_map, 2);
	assert_true(f->last_pcp.prefer_failure);
	drawn = f->last_pcp.external_port;
	assert_in_range(drawn, 20000, 31999);
	assert_int_equal(portmap_find(f->pm, IPPROTO_UDP, PORT)->external.port, drawn);
	fake_run(f, HOUR_MS + 1000);
	assert_int_equal(f->last_pcp.external_port, drawn); /* a renewal names what we have */
}

static void after_a_few_ports_it_is_enough(void **state)
{
	struct fake *f = *state;

	f->all_taken = true;
	fake_connect(f);
	want(f);
	fake_run(f, 60000);
	assert_int_equal(f->n_pcp_map, 1 + PORTMAP_PORT_TRIES);
	assert_null(fake_external(f, IPPROTO_UDP, PORT));
	assert_int_equal(verdict(f, PORTMAP_PCP), PORTMAP_NO);
	f->all_taken = false;
	fake_run(f, 120000);
	assert_non_null(fake_external(f, IPPROTO_UDP, PORT));
}

static void a_gateway_without_options_chooses_the_port(void **state)
{
	struct fake *f = *state;

	f->has_no_options = true;
	f->shift = 5;
	fake_connect(f);
	want(f);
	fake_settle(f);
	assert_int_equal(f->n_pcp_map, 2);
	assert_false(f->last_pcp.prefer_failure);
	assert_string_equal(fake_external(f, IPPROTO_UDP, PORT), "9.0.0.1:27705");
	fake_run(f, HOUR_MS + 1000);
	assert_int_equal(f->n_pcp_map, 3);
	assert_int_equal(f->last_pcp.external_port, PORT + 5);
	assert_true(ip_equal(&f->last_pcp.external, &f->outer));
}

static void the_outer_address_is_known_without_a_mapping(void **state)
{
	struct fake *f = *state;

	f->has_pcp = false;
	f->has_natpmp = true;
	f->natpmp_result = 2;
	fake_connect(f);
	want(f);
	fake_run(f, 10000);
	assert_null(fake_external(f, IPPROTO_UDP, PORT));
	assert_string_equal(portmap_find(f->pm, IPPROTO_UDP, PORT)->error, "not authorized");
	assert_true(ip_equal(portmap_outer(f->pm), &f->outer));
	assert_true(f->n_changed >= 1);
}

/* ---------------------------------------------------------------- nothing there */

static void a_network_without_port_mapping_is_asked_ever_more_rarely(void **state)
{
	struct fake *f = *state;

	f->has_pcp = false;
	fake_connect(f);
	want(f);
	fake_run(f, 119000);
	assert_int_equal(f->n_announce, 4);
	fake_run(f, 5000); /* two minutes after the round was over */
	assert_int_equal(f->n_announce, 4 + 2);
	fake_run(f, DAY_MS);
	assert_in_range(f->n_upnp, 24, 36);
	assert_in_range(f->n_announce, 4 * 24, 4 * 36);
	f->has_pcp = true; /* it was switched on */
	fake_run(f, 2 * HOUR_MS);
	assert_string_equal(fake_external(f, IPPROTO_UDP, PORT), "9.0.0.1:27700");
}

static void a_refusal_says_when_to_ask_again(void **state)
{
	struct fake *f = *state;

	f->pcp_result = 8;
	f->error_life_s = 1800;
	fake_connect(f);
	want(f);
	fake_run(f, 1790000);
	assert_int_equal(f->n_pcp_map, 1);
	f->pcp_result = 0;
	fake_run(f, 20000);
	assert_int_equal(f->n_pcp_map, 2);
	assert_string_equal(fake_external(f, IPPROTO_UDP, PORT), "9.0.0.1:27700");
}

/* ---------------------------------------------------------------- days */

static void mappings_are_renewed_at_half_of_their_life(void **state)
{
	static const struct {
		enum portmap_protocol by;
		uint32_t life_s;
		unsigned least, most; /* requests in ten days */
	} cases[] = {
		{ PORTMAP_PCP, 0, 240, 241 },       { PORTMAP_PCP, 120, 14400, 14401 }, { PORTMAP_NATPMP, 0, 240, 241 },
		{ PORTMAP_NATPMP, 3600, 480, 481 }, { PORTMAP_UPNP, 0, 1440, 1441 }, /* every ten minutes */
		{ PORTMAP_UPNP, 600, 2880, 2881 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake f;
		unsigned n;

		fake_start(&f);
		f.life_s = cases[i].life_s;
		granted_by(&f, cases[i].by);
		for (int day = 0; day < 10; day++) {
			fake_run(&f, DAY_MS);
			assert_non_null(fake_external(&f, IPPROTO_UDP, PORT));
		}
		n = f.n_pcp_map + f.n_natpmp_map + f.n_upnp;
		assert_in_range(n, cases[i].least, cases[i].most);
		assert_int_equal(f.n_changed, 0); /* nothing to tell anybody */
		fake_stop(&f);
	}
}

static void a_lifetime_of_a_second_is_no_reason_to_ask_twice_a_second(void **state)
{
	struct fake *f = *state;

	f->life_s = 1;
	fake_connect(f);
	want(f);
	fake_run(f, 60000);
	assert_in_range(f->n_pcp_map, 15, 16); /* four seconds apart */
}

/* Closed for three days: all the instants that passed come at once. */
static void after_a_long_sleep_the_mapping_is_made_anew(void **state)
{
	struct fake *f = *state;

	granted_by(f, PORTMAP_PCP);
	f->now_ms += 3ull * DAY_MS;
	fake_run(f, 10000);
	assert_string_equal(fake_external(f, IPPROTO_UDP, PORT), "9.0.0.1:27700");
	assert_in_range(f->n_pcp_map, 2, 3);
}

/* ---------------------------------------------------------------- it forgot, changed, went */

static void a_gateway_that_forgot_is_asked_anew_within_two_minutes(void **state)
{
	static const enum portmap_protocol by[] = { PORTMAP_PCP, PORTMAP_NATPMP };

	(void)state;
	for (size_t i = 0; i < sizeof(by) / sizeof(by[0]); i++) {
		struct fake f;
		unsigned before;

		fake_start(&f);
		granted_by(&f, by[i]);
		fake_run(&f, 20 * 60000);
		before = f.n_pcp_map + f.n_natpmp_map;
		assert_int_equal(before, 1); /* its clock goes as ours does */
		fake_forget(&f);
		fake_run(&f, 120000);
		assert_int_equal(f.n_pcp_map + f.n_natpmp_map, 2);
		assert_non_null(fake_external(&f, IPPROTO_UDP, PORT));
		fake_run(&f, 20 * 60000);
		assert_int_equal(f.n_pcp_map + f.n_natpmp_map, 2);
		fake_stop(&f);
	}
}

static void a_renewal_too_tells_that_the_gateway_forgot(void **state)
{
	struct fake *f = *state;
	unsigned before;

	granted_by(f, PORTMAP_PCP);
	assert_int_equal(portmap_add(f->pm, IPPROTO_TCP, PORT, f->now_ms), 0);
	fake_run(f, 5000);
	before = f->n_pcp_map;
	fake_forget(f);
	portmap_hint(f->pm, f->now_ms);
	fake_run(f, 10000);
	assert_in_range(f->n_pcp_map - before, 2, 3); /* both, and hardly more */
}

static void a_clock_that_drifts_is_no_forgetting(void **state)
{
	struct fake *f = *state;

	granted_by(f, PORTMAP_PCP);
	for (int i = 0; i < 12000; i++) {
		f->born_ms += 500; /* 5 % slow */
		fake_run(f, 10000);
	}
	assert_in_range(f->n_pcp_map, 33, 34); /* 33 hours: renewals only */
}

static void a_gateway_that_is_gone_takes_its_mappings_along_and_brings_them_back(void **state)
{
	struct fake *f = *state;

	granted_by(f, PORTMAP_PCP);
	f->is_deaf = true;
	fake_run(f, 120000);
	assert_non_null(fake_external(f, IPPROTO_UDP, PORT)); /* perhaps it reboots */
	fake_run(f, 60000);
	assert_null(fake_external(f, IPPROTO_UDP, PORT));
	assert_int_equal(f->n_changed, 1);
	fake_run(f, 600000);
	fake_forget(f);
	f->is_deaf = false;
	fake_run(f, 1800000);
	assert_string_equal(fake_external(f, IPPROTO_UDP, PORT), "9.0.0.1:27700");
	assert_int_equal(f->last_pcp.external_port, PORT);
}

static void a_hint_is_followed_at_most_every_four_seconds(void **state)
{
	struct fake *f = *state;

	granted_by(f, PORTMAP_PCP);
	fake_run(f, 60000);
	f->n_pcp_map = 0;
	portmap_hint(f->pm, f->now_ms);
	fake_settle(f);
	assert_int_equal(f->n_pcp_map, 1); /* at once */
	for (int i = 0; i < 1000; i++) {
		portmap_hint(f->pm, f->now_ms);
		fake_run(f, 20);
	}
	assert_in_range(f->n_pcp_map, 5, 6);
}

static void a_hint_where_nothing_maps_begins_a_round_at_most_every_ten_seconds(void **state)
{
	struct fake *f = *state;

	f->has_pcp = false;
	fake_connect(f);
	want(f);
	fake_run(f, DAY_MS);
	f->n_upnp = 0;
	for (int i = 0; i < 3000; i++) {
		portmap_hint(f->pm, f->now_ms);
		fake_run(f, 20);
	}
	assert_in_range(f->n_upnp, 5, 7);
	f->has_pcp = true;
	fake_run(f, 10000);
	portmap_hint(f->pm, f->now_ms);
	fake_run(f, 10000);
	assert_non_null(fake_external(f, IPPROTO_UDP, PORT));
}

static void mappings_by_nat_pmp_follow_the_outer_address(void **state)
{
	struct fake *f = *state;

	granted_by(f, PORTMAP_NATPMP);
	assert_int_equal(ip_from_text(&f->outer, "9.0.0.7"), 0);
	fake_run(f, 120000);
	assert_string_equal(fake_external(f, IPPROTO_UDP, PORT), "9.0.0.7:27700");
	assert_true(f->n_changed >= 1);
	assert_int_equal(f->n_natpmp_map, 2); /* it may not have survived the change */
}

static void another_gateway_is_asked_for_everything(void **state)
{
	struct fake *f = *state;
	uint8_t nonce[PCP_NONCE_BYTES];
	struct ip gateway, local;

	granted_by(f, PORTMAP_PCP);
	memcpy(nonce, f->last_pcp.nonce, sizeof(nonce));
	assert_int_equal(ip_from_text(&gateway, "10.0.0.1"), 0);
	assert_int_equal(ip_from_text(&local, "10.0.0.2"), 0);
	portmap_set_gateway(f->pm, &gateway, 0, &local, f->now_ms);
	assert_int_equal(f->n_changed, 1);
	assert_null(fake_external(f, IPPROTO_UDP, PORT));
	assert_true(ip_is_none(portmap_outer(f->pm)));
	fake_settle(f);
	assert_string_equal(fake_external(f, IPPROTO_UDP, PORT), "9.0.0.1:27700");
	assert_memory_not_equal(nonce, f->last_pcp.nonce, sizeof(nonce));

	/* Back, and no gateway at all. */
	fake_connect(f);
	fake_settle(f);
	assert_memory_equal(nonce, f->last_pcp.nonce, sizeof(nonce));
	portmap_set_gateway(f->pm, &(struct ip){ 0 }, 0, &(struct ip){ 0 }, f->now_ms);
	assert_null(fake_external(f, IPPROTO_UDP, PORT));
	fake_run(f, DAY_MS);
	assert_null(fake_external(f, IPPROTO_UDP, PORT));
}

static void nonces_are_the_same_in_the_next_life_and_differ_by_mapping(void **state)
{
	struct fake *f = *state, next;
	uint8_t nonce[PCP_NONCE_BYTES];

	granted_by(f, PORTMAP_PCP);
	memcpy(nonce, f->last_pcp.nonce, sizeof(nonce));
	assert_int_equal(portmap_add(f->pm, IPPROTO_TCP, PORT, f->now_ms), 0);
	fake_settle(f);
	assert_memory_not_equal(nonce, f->last_pcp.nonce, sizeof(nonce));
	fake_start(&next);
	granted_by(&next, PORTMAP_PCP);
	assert_memory_equal(nonce, next.last_pcp.nonce, sizeof(nonce));
	fake_stop(&next);
}

/* ---------------------------------------------------------------- wanted no more */

static void what_is_wanted_no_more_is_taken_away(void **state)
{
	static const enum portmap_protocol by[] = { PORTMAP_PCP, PORTMAP_NATPMP, PORTMAP_UPNP };

	(void)state;
	for (size_t i = 0; i < sizeof(by) / sizeof(by[0]); i++) {
		struct fake f;

		fake_start(&f);
		granted_by(&f, by[i]);
		portmap_remove(f.pm, IPPROTO_UDP, PORT, f.now_ms);
		assert_null(portmap_find(f.pm, IPPROTO_UDP, PORT));
		assert_int_equal(portmap_count(f.pm), 0);
		assert_int_equal(portmap_is_idle(f.pm), by[i] != PORTMAP_UPNP);
		fake_settle(&f);
		assert_true(f.n_removed >= 1);
		assert_true(portmap_is_idle(f.pm));
		assert_int_equal(f.n_changed, 1);
		fake_run(&f, 5000); /* what was under way */
		f.n_announce = f.n_address = f.n_upnp = 0;
		fake_run(&f, DAY_MS);
		assert_int_equal(f.n_announce + f.n_address + f.n_upnp, 0);
		fake_stop(&f);
	}
}

static void what_upnp_is_just_making_is_taken_away_when_it_is_made(void **state)
{
	struct fake *f = *state;

	f->has_pcp = false;
	f->has_upnp = f->holds_upnp = true;
	fake_connect(f);
	want(f);
	fake_run(f, 300);
	assert_true(f->has_job);
	portmap_remove_all(f->pm, f->now_ms);
	assert_false(portmap_is_idle(f->pm));
	fake_finish_upnp(f);
	assert_true(f->has_job);
	assert_int_equal(f->job.items[0].lifetime_s, 0);
	fake_finish_upnp(f);
	assert_true(portmap_is_idle(f->pm));
	assert_int_equal(f->n_removed, 1);
}

static void what_pcp_may_just_have_granted_is_taken_away(void **state)
{
	struct fake *f = *state;

	granted_by(f, PORTMAP_PCP);
	f->is_deaf = true;
	assert_int_equal(portmap_add(f->pm, IPPROTO_TCP, 22, f->now_ms), 0);
	fake_settle(f);
	f->is_deaf = false;
	portmap_remove(f->pm, IPPROTO_TCP, 22, f->now_ms);
	fake_settle(f);
	assert_int_equal(f->n_removed, 2);
	assert_int_equal(f->last_pcp.protocol, IPPROTO_TCP);
	assert_non_null(fake_external(f, IPPROTO_UDP, PORT));
}

static void there_is_room_for_several_mappings_and_an_end_to_it(void **state)
{
	struct fake *f = *state;

	granted_by(f, PORTMAP_PCP);
	assert_int_equal(portmap_add(f->pm, IPPROTO_UDP, PORT, f->now_ms), -EEXIST);
	for (unsigned i = 1; i < PORTMAP_MAX; i++)
		assert_int_equal(portmap_add(f->pm, IPPROTO_TCP, (uint16_t)i, f->now_ms), 0);
	assert_int_equal(portmap_add(f->pm, IPPROTO_TCP, 9999, f->now_ms), -ENOSPC);
	fake_settle(f);
	assert_int_equal(portmap_count(f->pm), PORTMAP_MAX);
	for (unsigned i = 0; i < PORTMAP_MAX; i++)
		assert_true(portmap_at(f->pm, i)->is_granted);
	assert_null(portmap_at(f->pm, PORTMAP_MAX));
	fake_run(f, DAY_MS);
	for (unsigned i = 0; i < PORTMAP_MAX; i++)
		assert_true(portmap_at(f->pm, i)->is_granted);
}

static void a_mapping_wanted_where_nothing_maps_is_refused_soon(void **state)
{
	struct fake *f = *state;

	f->has_pcp = false;
	fake_connect(f);
	want(f);
	fake_run(f, HOUR_MS);
	f->has_upnp = true;
	assert_int_equal(portmap_add(f->pm, IPPROTO_TCP, 22, f->now_ms), 0);
	fake_run(f, 5000);
	assert_true(portmap_is_settled(f->pm));
	assert_non_null(fake_external(f, IPPROTO_TCP, 22));
	assert_non_null(fake_external(f, IPPROTO_UDP, PORT));
}

/* ---------------------------------------------------------------- UPnP */

static void an_answer_of_upnp_from_the_last_network_is_nothing(void **state)
{
	struct fake *f = *state;
	struct ip gateway, local;

	f->has_pcp = false;
	f->has_upnp = f->holds_upnp = true;
	fake_connect(f);
	want(f);
	fake_run(f, 300);
	assert_true(f->has_job);
	assert_int_equal(ip_from_text(&gateway, "10.0.0.1"), 0);
	assert_int_equal(ip_from_text(&local, "10.0.0.2"), 0);
	portmap_set_gateway(f->pm, &gateway, 0, &local, f->now_ms);
	fake_finish_upnp(f);
	assert_null(fake_external(f, IPPROTO_UDP, PORT));
	fake_run(f, 300);
	assert_true(f->has_job);
	assert_true(ip_equal(&f->job.gateway, &gateway));
	fake_finish_upnp(f);
	assert_non_null(fake_external(f, IPPROTO_UDP, PORT));
}

static void an_igd_that_went_takes_its_mapping_along(void **state)
{
	struct fake *f = *state;

	granted_by(f, PORTMAP_UPNP);
	f->has_upnp = false;
	fake_run(f, 11 * 60000);
	assert_null(fake_external(f, IPPROTO_UDP, PORT));
	assert_int_equal(f->n_changed, 1);
	f->has_upnp = true;
	fake_run(f, 130000);
	assert_non_null(fake_external(f, IPPROTO_UDP, PORT));
}

static void a_mapping_for_ever_does_not_expire(void **state)
{
	struct fake *f = *state;

	f->has_pcp = false;
	f->has_upnp = f->holds_upnp = true;
	fake_connect(f);
	want(f);
	fake_run(f, 300);
	f->job.items[0].lifetime_s = UINT32_MAX;
	fake_finish_upnp(f);
	assert_true(portmap_find(f->pm, IPPROTO_UDP, PORT)->expires_ms == UINT64_MAX);
	fake_run(f, 700000);
	assert_true(f->has_job); /* the daily look whether it is still there */
}

/* ---------------------------------------------------------------- IPv6 */

static void an_ipv6_gateway_is_asked_by_pcp_only(void **state)
{
	struct fake *f = *state;
	struct ip gateway, local;

	f->has_natpmp = f->has_upnp = true;
	assert_int_equal(ip_from_text(&gateway, "2001:db8::1"), 0);
	assert_int_equal(ip_from_text(&local, "2001:db8::2"), 0);
	want(f);
	portmap_set_gateway(f->pm, &gateway, 0, &local, f->now_ms);
	fake_run(f, 1000);
	assert_string_equal(fake_external(f, IPPROTO_UDP, PORT), "[2001:db8::2]:27700");
	f->is_deaf = true;
	fake_run(f, HOUR_MS);
	assert_int_equal(f->n_address + f->n_upnp, 0);
}

/* ---------------------------------------------------------------- foreign answers */

struct seen {
	bool is_granted;
	struct endpoint external;
	uint64_t renew_ms, expires_ms;
	unsigned n_changed, n_asked;
	enum portmap_verdict verdicts[PORTMAP_PROTOCOLS];
};

static struct seen look(const struct fake *f)
{
	const struct portmap_mapping *m = portmap_find(f->pm, IPPROTO_UDP, PORT);
	struct seen s;

	memset(&s, 0, sizeof(s));
	s.is_granted = m->is_granted;
	s.external = m->external;
	s.renew_ms = m->renew_ms;
	s.expires_ms = m->expires_ms;
	s.n_changed = f->n_changed;
	s.n_asked = f->n_pcp_map + f->n_natpmp_map + f->n_upnp + f->n_announce + f->n_address + f->n_queue;
	for (int p = 0; p < PORTMAP_PROTOCOLS; p++)
		s.verdicts[p] = verdict(f, (enum portmap_protocol)p);
	return s;
}

/* Answers that would move the mapping or have it made anew, if anybody believed them. */
static void lie(struct fake *f, const char *from, const struct pcp_request *pcp, const struct natpmp_request *natpmp)
{
	uint8_t data[PCP_MAP_BYTES], small[NATPMP_RESPONSE_MAX_BYTES];
	struct pcp_request announce = { .opcode = PCP_ANNOUNCE };
	struct natpmp_request address = { .opcode = NATPMP_ADDRESS };
	struct ip other;

	assert_int_equal(ip_from_text(&other, "6.6.6.6"), 0);
	fake_deliver(f, from, data, fake_pcp_answer(data, pcp, 0, 7200, 1, &other, 666));
	fake_deliver(f, from, data, fake_pcp_answer(data, pcp, 2, 7200, 1, &other, 666));
	fake_deliver(f, from, data, fake_pcp_answer(data, &announce, 0, 0, 1, &other, 0));
	fake_deliver(f, from, data, fake_pcp_answer(data, &announce, 1, 0, 1, &other, 0));
	fake_deliver(f, from, small, fake_natpmp_answer(small, natpmp, 0, 7200, 1, &other, 666));
	fake_deliver(f, from, small, fake_natpmp_answer(small, natpmp, 3, 0, 1, &other, 0));
	fake_deliver(f, from, small, fake_natpmp_answer(small, &address, 0, 0, 1, &other, 0));
	fake_deliver(f, from, small, fake_natpmp_answer(small, &address, 1, 0, 1, &other, 0));
	fake_deliver(f, from, data, 3);
	fake_deliver(f, from, data, 0);
}

static void answers_nobody_asked_for_change_nothing(void **state)
{
	static const enum portmap_protocol by[] = { PORTMAP_PCP, PORTMAP_NATPMP, PORTMAP_UPNP };

	(void)state;
	for (size_t i = 0; i < sizeof(by) / sizeof(by[0]); i++) {
		struct natpmp_request natpmp = { .opcode = NATPMP_MAP_UDP, .internal_port = PORT };
		struct seen before, after;
		struct fake f;

		fake_start(&f);
		granted_by(&f, by[i]);
		fake_run(&f, 5000);
		before = look(&f);
		f.last_pcp.opcode = PCP_MAP; /* with the right nonce, where PCP was asked */
		lie(&f, "192.168.1.1:5351", &f.last_pcp, &natpmp);
		after = look(&f);
		assert_memory_equal(&before, &after, sizeof(before));
		assert_true(ip_equal(portmap_outer(f.pm), &f.outer));
		fake_stop(&f);
	}
}

/* While the portmap waits for answers, others than the one it asked send some. */
static void answers_of_others_change_nothing(void **state)
{
	static const char *const from[] = { "192.168.1.3:5351", "192.168.1.1:5350", "192.168.1.1:1900", "9.0.0.1:5351",
					    "[fe80::1]:5351" };
	struct fake *f = *state;
	struct natpmp_request natpmp = { .opcode = NATPMP_MAP_UDP, .internal_port = PORT };
	struct pcp_request pcp;

	granted_by(f, PORTMAP_PCP);
	pcp = f->last_pcp; /* the others are told the nonce, even */
	f->is_deaf = true;
	fake_run(f, 3600000 - 1000);
	for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
		struct seen before, after;

		portmap_hint(f->pm, f->now_ms);
		fake_run(f, 100);
		assert_true(portmap_find(f->pm, IPPROTO_UDP, PORT)->is_asking ||
			    !portmap_find(f->pm, IPPROTO_UDP, PORT)->is_granted);
		before = look(f);
		lie(f, from[i], &pcp, &natpmp);
		after = look(f);
		assert_memory_equal(&before, &after, sizeof(before));
	}
}

static void a_pcp_answer_needs_the_nonce_the_port_and_the_protocol(void **state)
{
	struct fake *f = *state;
	uint8_t data[PCP_MAP_BYTES];
	struct pcp_request q;
	struct ip other;

	assert_int_equal(ip_from_text(&other, "6.6.6.6"), 0);
	granted_by(f, PORTMAP_PCP);
	fake_run(f, 5000);
	q = f->last_pcp;
	f->is_deaf = true;
	portmap_hint(f->pm, f->now_ms);
	fake_settle(f);
	assert_true(portmap_find(f->pm, IPPROTO_UDP, PORT)->is_asking);
	for (int i = 0; i < 3; i++) {
		struct pcp_request wrong = q;

		wrong.nonce[11] ^= (uint8_t)(i == 0);
		wrong.internal_port ^= (uint16_t)(i == 1);
		wrong.protocol ^= (uint8_t)(i == 2 ? IPPROTO_UDP ^ IPPROTO_TCP : 0);
		fake_deliver(f, "192.168.1.1:5351", data, fake_pcp_answer(data, &wrong, 0, 7200, 1, &other, 666));
		fake_deliver(f, "192.168.1.1:5351", data, fake_pcp_answer(data, &wrong, 2, 7200, 1, &other, 666));
		assert_string_equal(fake_external(f, IPPROTO_UDP, PORT), "9.0.0.1:27700");
		assert_true(portmap_find(f->pm, IPPROTO_UDP, PORT)->is_asking);
	}
	fake_deliver(f, "192.168.1.1:5351", data, fake_pcp_answer(data, &q, 0, 7200, 5000, &other, 666));
	assert_string_equal(fake_external(f, IPPROTO_UDP, PORT), "6.6.6.6:666");
}

/* Even believed, epochs that jump cannot make us send at their pace. */
static void epochs_that_jump_cause_few_requests(void **state)
{
	struct fake *f = *state;

	granted_by(f, PORTMAP_PCP);
	f->n_pcp_map = 0;
	for (int i = 0; i < 600; i++) {
		portmap_hint(f->pm, f->now_ms);
		fake_forget(f);
		fake_run(f, 100);
	}
	assert_in_range(f->n_pcp_map, 10, 16); /* 60 s */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(nobody_is_asked_before_a_mapping_is_wanted),
		TEST(nobody_is_asked_without_a_gateway),
		TEST(a_gateway_with_pcp_holds_one_mapping_by_pcp),
		TEST(a_gateway_that_speaks_nat_pmp_only_is_asked_by_it_at_once),
		TEST(where_pcp_is_silent_nat_pmp_is_asked_after_250_ms),
		TEST(questions_are_repeated_and_upnp_is_tried_after_250_ms),
		TEST(upnp_maps_where_nothing_else_does),
		TEST(what_one_protocol_refuses_the_next_is_asked_for),
		TEST(what_nat_pmp_refuses_upnp_is_asked_for),
		TEST(where_the_port_is_taken_another_is_asked_for),
		TEST(after_a_few_ports_it_is_enough),
		TEST(a_gateway_without_options_chooses_the_port),
		TEST(the_outer_address_is_known_without_a_mapping),
		TEST(a_network_without_port_mapping_is_asked_ever_more_rarely),
		TEST(a_refusal_says_when_to_ask_again),
		TEST(mappings_are_renewed_at_half_of_their_life),
		TEST(a_lifetime_of_a_second_is_no_reason_to_ask_twice_a_second),
		TEST(after_a_long_sleep_the_mapping_is_made_anew),
		TEST(a_gateway_that_forgot_is_asked_anew_within_two_minutes),
		TEST(a_renewal_too_tells_that_the_gateway_forgot),
		TEST(a_clock_that_drifts_is_no_forgetting),
		TEST(a_gateway_that_is_gone_takes_its_mappings_along_and_brings_them_back),
		TEST(a_hint_is_followed_at_most_every_four_seconds),
		TEST(a_hint_where_nothing_maps_begins_a_round_at_most_every_ten_seconds),
		TEST(mappings_by_nat_pmp_follow_the_outer_address),
		TEST(another_gateway_is_asked_for_everything),
		TEST(nonces_are_the_same_in_the_next_life_and_differ_by_mapping),
		TEST(what_is_wanted_no_more_is_taken_away),
		TEST(what_upnp_is_just_making_is_taken_away_when_it_is_made),
		TEST(what_pcp_may_just_have_granted_is_taken_away),
		TEST(there_is_room_for_several_mappings_and_an_end_to_it),
		TEST(a_mapping_wanted_where_nothing_maps_is_refused_soon),
		TEST(an_answer_of_upnp_from_the_last_network_is_nothing),
		TEST(an_igd_that_went_takes_its_mapping_along),
		TEST(a_mapping_for_ever_does_not_expire),
		TEST(an_ipv6_gateway_is_asked_by_pcp_only),
		TEST(answers_nobody_asked_for_change_nothing),
		TEST(answers_of_others_change_nothing),
		TEST(a_pcp_answer_needs_the_nonce_the_port_and_the_protocol),
		TEST(epochs_that_jump_cause_few_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
