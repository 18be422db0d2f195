#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/key.h"
#include "daemon/peer/discovery.h"
#include "tests/unit/nat_double.h"

/* A host behind nat_double, and servers at two addresses: a coordinator, whose answers from elsewhere come from ports that
 * nobody sends to, and a STUN server, whose own alternate port they come from. */

#define EVENTS_MAX 1024
#define ONE_WAY_MS 10
#define DATA_PORT 4000
#define OUTSIDE "203.0.113.7"
#define FIRST "198.51.100.10"
#define SECOND "198.51.100.11"
#define PORT 27700
#define ALTERNATE_PORT 27701
#define STUN_PORT 3478

struct event {
	uint64_t at_ms; /* 0: free */
	bool is_loop;
	struct endpoint to, from; /* of what comes to the host */
	struct discovery_answer answer;
	uint64_t token;
};

struct fixture {
	struct discovery *d;
	struct nat_double nat;
	uint64_t now_ms;
	/* what the servers are like */
	bool is_down, is_second_down, ignores_change, refuses_change, tells_no_other;
	unsigned lose_every; /* so many asks: one is lost; 0: none */
	bool no_spares;
	/* what happened */
	unsigned n_asked, n_loops, n_changed, n_ticks, n_open, n_opened;
	uint64_t last_token;
	unsigned last_socket;
	struct discovery_server last_asked;
	uint16_t local[DISCOVERY_SPARES + 1];
	struct event events[EVENTS_MAX];
};

static struct endpoint at(const char *ip, uint16_t port)
{
	struct endpoint e = { .port = port };

	assert_int_equal(ip_from_text(&e.ip, ip), 0);
	return e;
}

static struct event *new_event(struct fixture *f, uint64_t at_ms)
{
	for (unsigned i = 0; i < EVENTS_MAX; i++)
		if (!f->events[i].at_ms) {
			f->events[i] = (struct event){ .at_ms = at_ms };
			return &f->events[i];
		}
	fail_msg("too many events");
	return NULL;
}

/* ---------------------------------------------------------------- servers */

static bool answers_from(const struct fixture *f, const struct discovery_server *to, enum discovery_from from,
			 struct endpoint *out)
{
	const struct endpoint second = at(SECOND, 1);
	bool is_second = ip_equal(&to->endpoint.ip, &second.ip);
	bool is_stun = to->kind == DISCOVERY_STUN;

	*out = to->endpoint;
	if (f->is_down || (f->is_second_down && is_second))
		return false;
	if (from == DISCOVERY_FROM_THERE || f->ignores_change)
		return true;
	if (from == DISCOVERY_FROM_OTHER_ADDRESS)
		out->ip = at(is_second ? FIRST : SECOND, 1).ip;
	out->port = is_stun ? STUN_PORT + 1 : 50001;
	return true;
}

static void ask(void *arg, unsigned socket, const struct discovery_server *to, enum discovery_from from, uint64_t token)
{
	struct fixture *f = arg;
	struct endpoint observed = nat_double_out(&f->nat, f->local[socket], &to->endpoint, f->now_ms), source;
	struct event *e;

	assert_true(socket <= DISCOVERY_SPARES && f->local[socket]);
	f->n_asked++;
	f->last_token = token;
	f->last_socket = socket;
	f->last_asked = *to;
	if ((f->lose_every && f->n_asked % f->lose_every == 0) || !answers_from(f, to, from, &source))
		return;
	e = new_event(f, f->now_ms + 2 * ONE_WAY_MS);
	e->to = observed;
	e->from = source;
	e->answer = (struct discovery_answer){
		.kind = to->kind, .number = to->number, .from = source, .token = token, .observed = observed
	};
	if (to->kind == DISCOVERY_STUN && !f->tells_no_other)
		e->answer.other = at(SECOND, STUN_PORT + 1);
	if (from != DISCOVERY_FROM_THERE && f->refuses_change) {
		e->from = e->answer.from = to->endpoint;
		e->answer.is_refused = true;
	}
}

static void send_loop(void *arg, unsigned socket, const struct endpoint *to, uint64_t token)
{
	struct fixture *f = arg;
	struct event *e = new_event(f, f->now_ms + 1);

	f->n_loops++;
	e->is_loop = true;
	e->from = nat_double_out(&f->nat, f->local[socket], to, f->now_ms);
	e->to = *to;
	e->token = token;
}

static int spare_open(void *arg, unsigned socket)
{
	static const uint16_t ports[] = { 0, 51234, 40022, 33345, 60001, 45678 };
	struct fixture *f = arg;

	if (f->no_spares)
		return -24;
	assert_int_equal(f->local[socket], 0);
	f->n_open++;
	f->local[socket] = (uint16_t)(ports[socket] + f->n_opened++ % 97);
	return f->local[socket];
}

static void spare_close(void *arg, unsigned socket)
{
	struct fixture *f = arg;

	assert_true(f->local[socket] != 0);
	f->local[socket] = 0;
	f->n_open--;
}

static bool is_own(void *arg, const struct ip *ip)
{
	const struct fixture *f = arg;

	return f->nat.mapping == NAT_MAPPING_NONE && ip_equal(ip, &f->nat.outside);
}

static void changed(void *arg)
{
	((struct fixture *)arg)->n_changed++;
}

static const struct discovery_env env = { ask, send_loop, spare_open, spare_close, is_own, changed };

/* ---------------------------------------------------------------- course */

static void arrive(struct fixture *f, struct event *e)
{
	uint16_t local = nat_double_in(&f->nat, &e->to, &e->from, f->now_ms);
	struct event copy = *e;

	e->at_ms = 0;
	for (unsigned socket = 0; local && socket <= DISCOVERY_SPARES; socket++) {
		if (f->local[socket] != local)
			continue;
		copy.answer.socket = socket;
		if (copy.is_loop)
			discovery_on_loop(f->d, socket, copy.token, f->now_ms);
		else
			discovery_on_answer(f->d, &copy.answer, f->now_ms);
	}
}

static struct event *next_event(struct fixture *f)
{
	struct event *next = NULL;

	for (unsigned i = 0; i < EVENTS_MAX; i++)
		if (f->events[i].at_ms && (!next || f->events[i].at_ms < next->at_ms))
			next = &f->events[i];
	return next;
}

static void run(struct fixture *f, uint64_t ms)
{
	uint64_t end_ms = f->now_ms + ms;
	unsigned n_at_once = 0;

	for (;;) {
		struct event *e = next_event(f);
		uint64_t due_ms = discovery_next_ms(f->d), before_ms = f->now_ms;

		if ((e ? e->at_ms : UINT64_MAX) > end_ms && due_ms > end_ms)
			break;
		if (e && e->at_ms <= due_ms) {
			f->now_ms = e->at_ms > f->now_ms ? e->at_ms : f->now_ms;
			arrive(f, e);
		} else {
			f->now_ms = due_ms > f->now_ms ? due_ms : f->now_ms;
			f->n_ticks++;
			discovery_tick(f->d, f->now_ms);
		}
		n_at_once = f->now_ms > before_ms ? 0 : n_at_once + 1;
		assert_true(n_at_once < 50); /* or the loop would spin */
	}
	f->now_ms = end_ms;
}

static int set_up(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	f.now_ms = 1000000;
	f.local[DISCOVERY_DATA] = DATA_PORT;
	f.nat = (struct nat_double){ .outside = at(OUTSIDE, 1).ip,
				     .mapping = NAT_MAPPING_ENDPOINT_INDEPENDENT,
				     .filtering = NAT_FILTERING_ADDRESS_AND_PORT_DEPENDENT };
	f.d = discovery_new(&env, &f, DATA_PORT);
	assert_non_null(f.d);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	discovery_free(f->d);
	assert_int_equal(f->n_open, 0);
	return 0;
}

/* The coordinator's four destinations, or the two of its first address. */
static void use_coordinator(struct fixture *f, bool has_second)
{
	struct discovery_server v[4] = {
		{ .endpoint = at(FIRST, PORT), .has_other_port = true },
		{ .endpoint = at(FIRST, ALTERNATE_PORT) },
		{ .endpoint = at(SECOND, PORT) },
		{ .endpoint = at(SECOND, ALTERNATE_PORT) },
	};

	if (has_second)
		v[0].other_address = at(SECOND, 1).ip;
	discovery_set_servers(f->d, v, has_second ? 4 : 2, f->now_ms);
}

static void use_stun(struct fixture *f)
{
	const struct discovery_server v = { .kind = DISCOVERY_STUN, .endpoint = at(FIRST, STUN_PORT) };

	discovery_set_servers(f->d, &v, 1, f->now_ms);
}

static const struct nat_facts *facts(const struct fixture *f)
{
	return &discovery_facts(f->d)->nat;
}

/* ---------------------------------------------------------------- each kind */

static const struct kind {
	const char *name;
	struct nat_double nat;
	int step;
	bool keeps, is_random;
} kinds[] = {
	{ "open", { .mapping = NAT_MAPPING_NONE, .filtering = NAT_FILTERING_ENDPOINT_INDEPENDENT }, 0, true, false },
	{ "openfw",
	  { .mapping = NAT_MAPPING_NONE, .filtering = NAT_FILTERING_ADDRESS_AND_PORT_DEPENDENT },
	  0,
	  true,
	  false },
	{ "full cone",
	  { .mapping = NAT_MAPPING_ENDPOINT_INDEPENDENT, .filtering = NAT_FILTERING_ENDPOINT_INDEPENDENT },
	  0,
	  true,
	  false },
	{ "restricted cone",
	  { .mapping = NAT_MAPPING_ENDPOINT_INDEPENDENT, .filtering = NAT_FILTERING_ADDRESS_DEPENDENT },
	  0,
	  true,
	  false },
	{ "port-restricted cone",
	  { .mapping = NAT_MAPPING_ENDPOINT_INDEPENDENT, .filtering = NAT_FILTERING_ADDRESS_AND_PORT_DEPENDENT },
	  0,
	  true,
	  false },
	{ "port-restricted cone that draws ports",
	  { .mapping = NAT_MAPPING_ENDPOINT_INDEPENDENT,
	    .filtering = NAT_FILTERING_ADDRESS_AND_PORT_DEPENDENT,
	    .ports = NAT_DOUBLE_RANDOM },
	  0,
	  false,
	  true },
	{ "full cone that counts ports",
	  { .mapping = NAT_MAPPING_ENDPOINT_INDEPENDENT,
	    .filtering = NAT_FILTERING_ENDPOINT_INDEPENDENT,
	    .ports = NAT_DOUBLE_STEPS,
	    .step = 1 },
	  1,
	  false,
	  false },
	{ "symmetric by address",
	  { .mapping = NAT_MAPPING_ADDRESS_DEPENDENT,
	    .filtering = NAT_FILTERING_ADDRESS_AND_PORT_DEPENDENT,
	    .ports = NAT_DOUBLE_RANDOM },
	  0,
	  false,
	  true },
	{ "symmetric, upwards",
	  { .mapping = NAT_MAPPING_ADDRESS_AND_PORT_DEPENDENT,
	    .filtering = NAT_FILTERING_ADDRESS_AND_PORT_DEPENDENT,
	    .ports = NAT_DOUBLE_STEPS,
	    .step = 1 },
	  1,
	  false,
	  false },
	{ "symmetric, by two",
	  { .mapping = NAT_MAPPING_ADDRESS_AND_PORT_DEPENDENT,
	    .filtering = NAT_FILTERING_ADDRESS_AND_PORT_DEPENDENT,
	    .ports = NAT_DOUBLE_STEPS,
	    .step = 2 },
	  2,
	  false,
	  false },
	{ "symmetric, downwards",
	  { .mapping = NAT_MAPPING_ADDRESS_AND_PORT_DEPENDENT,
	    .filtering = NAT_FILTERING_ADDRESS_AND_PORT_DEPENDENT,
	    .ports = NAT_DOUBLE_STEPS,
	    .step = -1 },
	  -1,
	  false,
	  false },
	{ "symmetric, at random",
	  { .mapping = NAT_MAPPING_ADDRESS_AND_PORT_DEPENDENT,
	    .filtering = NAT_FILTERING_ADDRESS_DEPENDENT,
	    .ports = NAT_DOUBLE_RANDOM },
	  0,
	  false,
	  true },
};

static void check_kind(const struct fixture *f, const struct kind *k, bool has_hairpin)
{
	bool is_hairpin_tested = k->nat.mapping != NAT_MAPPING_NONE;
	const struct nat_facts *nat = facts(f);

	assert_int_equal(nat->mapping, k->nat.mapping);
	assert_int_equal(nat->filtering, k->nat.filtering);
	assert_int_equal(nat->port_step, k->step);
	assert_int_equal((nat->flags & NAT_KEEPS_PORT) != 0, k->keeps);
	assert_int_equal((nat->flags & NAT_HAIRPIN_TESTED) != 0, is_hairpin_tested);
	assert_int_equal((nat->flags & NAT_HAIRPIN) != 0, has_hairpin && is_hairpin_tested);
	assert_true(nat->flags & NAT_TESTED && nat->flags & NAT_UDP4_OK && !(nat->flags & NAT_UDP6_OK));
	assert_true(nat->port != 0);
	if (k->nat.mapping == NAT_MAPPING_NONE || k->nat.mapping == NAT_MAPPING_ENDPOINT_INDEPENDENT)
		assert_int_equal(nat->port_spread, 0);
	else if (k->is_random)
		assert_true(nat->port_spread > 1000);
	else
		assert_in_range(nat->port_spread, 5, 40);
}

static void each_kind(void **state, bool is_stun, bool has_hairpin)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct fixture *f;

		tear_down(state);
		set_up(state);
		f = *state;
		print_message("    %s\n", kinds[i].name);
		f->nat = kinds[i].nat;
		f->nat.outside = at(OUTSIDE, 1).ip;
		/* The double's hairpin asks its filter, which lets the other port in: both send to each other. */
		f->nat.has_hairpin = has_hairpin;
		if (is_stun)
			use_stun(f);
		else
			use_coordinator(f, true);
		run(f, 3000);
		assert_false(discovery_is_surveying(f->d));
		assert_int_equal(f->n_open, 0);
		check_kind(f, &kinds[i], has_hairpin && kinds[i].nat.mapping == NAT_MAPPING_ENDPOINT_INDEPENDENT);
	}
}

static void coordinator_tells_each_kind(void **state)
{
	each_kind(state, false, false);
}

static void stun_server_tells_each_kind(void **state)
{
	each_kind(state, true, false);
}

static void hairpin_is_found_where_it_is(void **state)
{
	each_kind(state, false, true);
}

static void each_kind_is_told_through_losses(void **state)
{
	struct fixture *f = *state;

	for (unsigned every = 3; every < 8; every++) {
		tear_down(state);
		set_up(state);
		f->lose_every = every;
		f->nat.filtering = NAT_FILTERING_ADDRESS_DEPENDENT;
		use_coordinator(f, true);
		run(f, 8000);
		assert_int_equal(facts(f)->mapping, NAT_MAPPING_ENDPOINT_INDEPENDENT);
		assert_int_equal(facts(f)->filtering, NAT_FILTERING_ADDRESS_DEPENDENT);
	}
}

static void step_is_found_though_others_use_the_nat(void **state)
{
	struct fixture *f = *state;

	f->nat.mapping = NAT_MAPPING_ADDRESS_AND_PORT_DEPENDENT;
	f->nat.ports = NAT_DOUBLE_STEPS;
	f->nat.step = 1;
	use_coordinator(f, true);
	for (unsigned i = 0; i < 300; i++) { /* 33 new mappings a second */
		run(f, 10);
		nat_double_noise(&f->nat, i % 3 == 0);
	}
	assert_int_equal(facts(f)->port_step, 1);
}

/* ---------------------------------------------------------------- what is not known is not said */

static void one_address_cannot_tell_how_far_an_open_filter_is_open(void **state)
{
	struct fixture *f = *state;

	f->nat.filtering = NAT_FILTERING_ENDPOINT_INDEPENDENT;
	use_coordinator(f, false);
	run(f, 3000);
	assert_int_equal(facts(f)->mapping, NAT_MAPPING_ENDPOINT_INDEPENDENT);
	assert_int_equal(facts(f)->filtering, NAT_FILTERING_UNKNOWN);
	assert_int_equal(discovery_facts(f->d)->n_addresses, 1);
	assert_int_equal(discovery_facts(f->d)->n_servers, 2);
}

static void one_address_tells_a_closed_filter(void **state)
{
	struct fixture *f = *state;

	use_coordinator(f, false);
	run(f, 3000);
	assert_int_equal(facts(f)->filtering, NAT_FILTERING_ADDRESS_AND_PORT_DEPENDENT);
}

static void stun_server_that_answers_only_from_there_leaves_filtering_unknown(void **state)
{
	struct fixture *f = *state;

	f->nat.filtering = NAT_FILTERING_ENDPOINT_INDEPENDENT;
	f->tells_no_other = true;
	use_stun(f);
	run(f, 3000);
	assert_int_equal(facts(f)->mapping, NAT_MAPPING_UNKNOWN); /* one destination */
	assert_int_equal(facts(f)->filtering, NAT_FILTERING_UNKNOWN);
	assert_true(facts(f)->flags & NAT_UDP4_OK);
}

static void stun_server_that_ignores_or_refuses_a_change_leaves_filtering_unknown(void **state)
{
	struct fixture *f = *state;

	f->ignores_change = true;
	use_stun(f);
	run(f, 3000);
	assert_int_equal(facts(f)->mapping, NAT_MAPPING_ENDPOINT_INDEPENDENT);
	assert_int_equal(facts(f)->filtering, NAT_FILTERING_UNKNOWN);
	f->ignores_change = false;
	f->refuses_change = true;
	discovery_survey(f->d, f->now_ms + 3000);
	f->now_ms += 3000;
	run(f, 3000);
	assert_int_equal(facts(f)->filtering, NAT_FILTERING_UNKNOWN);
}

static void spare_ports_that_cannot_be_had_leave_what_they_would_tell_unknown(void **state)
{
	struct fixture *f = *state;

	f->no_spares = true;
	f->nat.filtering = NAT_FILTERING_ENDPOINT_INDEPENDENT;
	f->nat.has_hairpin = true;
	use_coordinator(f, true);
	run(f, 3000);
	assert_false(discovery_is_surveying(f->d));
	assert_int_equal(facts(f)->mapping, NAT_MAPPING_ENDPOINT_INDEPENDENT);
	assert_int_equal(facts(f)->filtering, NAT_FILTERING_UNKNOWN); /* the data port has sent to both addresses */
	assert_false(facts(f)->flags & (NAT_HAIRPIN | NAT_HAIRPIN_TESTED));
}

static void silent_second_address_does_not_keep_the_rest_waiting(void **state)
{
	struct fixture *f = *state;

	f->is_second_down = true;
	use_coordinator(f, true);
	run(f, 1100);
	assert_int_equal(facts(f)->mapping, NAT_MAPPING_ENDPOINT_INDEPENDENT);
	run(f, 4000);
	assert_int_equal(facts(f)->filtering, NAT_FILTERING_ADDRESS_AND_PORT_DEPENDENT);
	assert_int_equal(discovery_facts(f->d)->n_addresses, 1);
}

static void another_server_does_not_spoil_the_survey_under_way(void **state)
{
	struct fixture *f = *state;
	struct discovery_server v[] = { { .endpoint = at(FIRST, PORT), .has_other_port = true },
					{ .endpoint = at(FIRST, ALTERNATE_PORT) },
					{ .number = 1, .endpoint = at(SECOND, PORT) } };

	f->nat.mapping = NAT_MAPPING_ADDRESS_AND_PORT_DEPENDENT;
	f->nat.ports = NAT_DOUBLE_STEPS;
	f->nat.step = 1;
	f->is_second_down = true;
	discovery_set_servers(f->d, v, 2, f->now_ms);
	/* The next round is judged 1 s later: the ports have been sampled, and the filtering is still being tested. */
	run(f, 100);
	discovery_set_servers(f->d, v, 3, f->now_ms);
	run(f, 5000);
	assert_int_equal(facts(f)->mapping, NAT_MAPPING_ADDRESS_AND_PORT_DEPENDENT);
	assert_int_equal(facts(f)->port_step, 1);
	assert_false(facts(f)->flags & NAT_KEEPS_PORT);
	assert_int_equal(discovery_facts(f->d)->n_endpoints, 2);
}

static void nobody_answers_and_it_is_tried_every_30_s(void **state)
{
	struct fixture *f = *state;
	unsigned n;

	f->is_down = true;
	use_coordinator(f, true);
	run(f, 3449);
	assert_false(facts(f)->flags & NAT_TESTED);
	run(f, 1);
	assert_true(facts(f)->flags & NAT_TESTED);
	assert_false(facts(f)->flags & (NAT_UDP4_OK | NAT_UDP6_OK));
	assert_int_equal(facts(f)->mapping, NAT_MAPPING_UNKNOWN);
	assert_int_equal(f->n_asked, 20);
	run(f, 29999);
	assert_int_equal(f->n_asked, 20);
	n = f->n_asked;
	f->is_down = false;
	run(f, 4000);
	assert_true(f->n_asked > n);
	assert_int_equal(facts(f)->mapping, NAT_MAPPING_ENDPOINT_INDEPENDENT);
	assert_int_equal(facts(f)->filtering, NAT_FILTERING_ADDRESS_AND_PORT_DEPENDENT);
}

/* ---------------------------------------------------------------- what would mislead */

static void filtering_is_not_misjudged_by_what_the_data_port_has_sent_to(void **state)
{
	struct fixture *f = *state;

	f->nat.filtering = NAT_FILTERING_ADDRESS_DEPENDENT; /* the rounds sent to both addresses */
	use_coordinator(f, true);
	run(f, 3000);
	assert_int_equal(facts(f)->filtering, NAT_FILTERING_ADDRESS_DEPENDENT);
	run(f, 3000);
	discovery_survey(f->d, f->now_ms);
	run(f, 3000);
	assert_int_equal(facts(f)->filtering, NAT_FILTERING_ADDRESS_DEPENDENT);
}

static void forwarded_data_port_is_open_to_all(void **state)
{
	struct fixture *f = *state;

	f->nat.forwarded = DATA_PORT;
	use_coordinator(f, true);
	run(f, 3000);
	assert_int_equal(facts(f)->filtering, NAT_FILTERING_ENDPOINT_INDEPENDENT);
}

static void answer_that_does_not_match_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct discovery_answer good, a;
	struct discovery_facts before;

	f->is_down = true;
	use_coordinator(f, false);
	good = (struct discovery_answer){ .socket = f->last_socket,
					  .kind = f->last_asked.kind,
					  .number = f->last_asked.number,
					  .from = f->last_asked.endpoint,
					  .token = f->last_token,
					  .observed = at("192.0.2.66", 666) };
	before = *discovery_facts(f->d);
	for (unsigned i = 0; i < 8; i++) {
		a = good;
		switch (i) {
		case 0:
			a.token ^= 1;
			break;
		case 1:
			a.token = 0;
			break;
		case 2:
			a.from.port++;
			break;
		case 3:
			a.from = at(SECOND, good.from.port);
			break;
		case 4:
			a.socket = 1; /* not where it was asked */
			break;
		case 5:
			a.kind = DISCOVERY_STUN;
			break;
		case 6:
			a.number = 1;
			break;
		case 7:
			a.observed.port = 0;
			break;
		}
		discovery_on_answer(f->d, &a, f->now_ms);
	}
	discovery_on_loop(f->d, DISCOVERY_DATA, 0, f->now_ms);
	discovery_on_loop(f->d, DISCOVERY_DATA, good.token, f->now_ms);
	assert_memory_equal(&before, discovery_facts(f->d), sizeof(before));
	assert_int_equal(f->n_changed, 0);
	discovery_on_answer(f->d, &good, f->now_ms);
	assert_int_equal(f->n_changed, 1);
	assert_true(endpoint_equal(&discovery_facts(f->d)->reflexive[0], &good.observed));
	good.observed.port++;
	discovery_on_answer(f->d, &good, f->now_ms); /* again: it was answered */
	assert_int_equal(f->n_changed, 1);
	assert_int_equal(discovery_facts(f->d)->n_reflexive, 1);
}

static void late_answer_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct discovery_answer a;
	unsigned n;

	f->is_down = true;
	use_coordinator(f, false);
	a = (struct discovery_answer){ .kind = f->last_asked.kind,
				       .from = f->last_asked.endpoint,
				       .token = f->last_token,
				       .observed = at(OUTSIDE, 5) };
	run(f, 3450);
	n = f->n_changed;
	discovery_on_answer(f->d, &a, f->now_ms);
	assert_int_equal(f->n_changed, n);
	assert_false(facts(f)->flags & NAT_UDP4_OK);
}

/* What was asked to come from elsewhere and comes from a third address was not sent by the server that was asked. */
static void filter_answer_from_a_stranger_opens_no_filter(void **state)
{
	struct fixture *f = *state;
	uint64_t end_ms;

	use_coordinator(f, true);
	end_ms = f->now_ms + 3000;
	while (f->now_ms < end_ms) {
		struct discovery_answer a = { .socket = f->last_socket,
					      .from = at("192.0.2.66", PORT),
					      .token = f->last_token,
					      .observed = at(OUTSIDE, 5) };

		discovery_on_answer(f->d, &a, f->now_ms);
		run(f, 5);
	}
	assert_int_equal(facts(f)->filtering, NAT_FILTERING_ADDRESS_AND_PORT_DEPENDENT);
}

/* ---------------------------------------------------------------- change */

static void keepalive_seen_from_elsewhere_has_everybody_asked(void **state)
{
	struct fixture *f = *state;
	struct endpoint server = at(FIRST, PORT), moved = at(OUTSIDE, 4242);
	unsigned n;

	use_coordinator(f, true);
	run(f, 5000);
	n = f->n_asked;
	discovery_observed(f->d, &server, &discovery_facts(f->d)->reflexive[0], f->now_ms);
	assert_int_equal(f->n_asked, n); /* nothing new */
	discovery_observed(f->d, &(struct endpoint){ .port = 1 }, &moved, f->now_ms);
	assert_int_equal(f->n_asked, n); /* of no server of ours */
	f->nat.ports = NAT_DOUBLE_STEPS;
	f->nat.last_port = 4241;
	f->nat.step = 1;
	nat_double_reboot(&f->nat);
	discovery_observed(f->d, &server, &moved, f->now_ms);
	assert_int_equal(f->n_asked, n + 4);
	run(f, 100);
	assert_int_equal(discovery_facts(f->d)->n_reflexive, 1);
	assert_true(endpoint_equal(&discovery_facts(f->d)->reflexive[0], &moved));
	assert_false(discovery_is_surveying(f->d)); /* the same address: the same NAT */
}

static void another_outside_address_is_another_nat(void **state)
{
	struct fixture *f = *state;
	unsigned n;

	use_coordinator(f, true);
	run(f, 10000);
	assert_int_equal(facts(f)->filtering, NAT_FILTERING_ADDRESS_AND_PORT_DEPENDENT);
	f->nat.outside = at("203.0.113.99", 1).ip;
	f->nat.filtering = NAT_FILTERING_ENDPOINT_INDEPENDENT;
	n = f->n_opened;
	discovery_refresh(f->d, f->now_ms);
	run(f, 25);
	assert_int_equal(facts(f)->filtering, NAT_FILTERING_UNKNOWN);
	run(f, 3000);
	assert_int_equal(f->n_opened, n + 5);
	assert_int_equal(facts(f)->filtering, NAT_FILTERING_ENDPOINT_INDEPENDENT);
}

static void network_change_starts_over_whatever_was_going_on(void **state)
{
	struct fixture *f = *state;

	use_coordinator(f, true);
	run(f, 300); /* in the middle of the tests */
	assert_true(discovery_is_surveying(f->d));
	assert_true(f->n_open > 0);
	f->nat.outside = at("203.0.113.99", 1).ip;
	f->nat.filtering = NAT_FILTERING_ENDPOINT_INDEPENDENT;
	discovery_network_changed(f->d, f->now_ms);
	assert_int_equal(f->n_open, 0);
	run(f, 700);
	assert_int_equal(discovery_facts(f->d)->n_reflexive, 1);
	assert_true(ip_equal(&discovery_facts(f->d)->reflexive[0].ip, &f->nat.outside));
	run(f, 5000);
	assert_int_equal(facts(f)->filtering, NAT_FILTERING_ENDPOINT_INDEPENDENT);
}

static void changes_without_end_cost_little(void **state)
{
	struct fixture *f = *state;

	use_coordinator(f, true);
	run(f, 5000);
	f->n_asked = 0;
	for (unsigned i = 0; i < 1000; i++) { /* 10 s */
		discovery_network_changed(f->d, f->now_ms);
		discovery_refresh(f->d, f->now_ms);
		discovery_survey(f->d, f->now_ms);
		run(f, 10);
	}
	assert_in_range(f->n_asked, 4 * 19, 4 * 30 + 5 * 20);
}

static void second_coordinator_adds_destinations(void **state)
{
	struct fixture *f = *state;
	struct discovery_server v[] = { { .endpoint = at(FIRST, PORT), .has_other_port = true },
					{ .number = 1, .endpoint = at("192.0.2.1", PORT), .has_other_port = true } };

	discovery_set_servers(f->d, v, 1, f->now_ms);
	run(f, 5000);
	assert_int_equal(facts(f)->mapping, NAT_MAPPING_UNKNOWN);
	discovery_set_servers(f->d, v, 2, f->now_ms);
	run(f, 5000);
	assert_int_equal(facts(f)->mapping, NAT_MAPPING_ENDPOINT_INDEPENDENT);
	assert_int_equal(discovery_facts(f->d)->n_addresses, 2);
	assert_int_equal(discovery_facts(f->d)->n_endpoints, 1);
	assert_true(discovery_asks(f->d, 4));
	assert_false(discovery_asks(f->d, 16));
	discovery_set_servers(f->d, v, 0, f->now_ms);
	assert_false(discovery_asks(f->d, 4));
	assert_int_equal(discovery_next_ms(f->d), UINT64_MAX);
	assert_int_equal(facts(f)->mapping, NAT_MAPPING_ENDPOINT_INDEPENDENT); /* stands */
}

static void ipv6_server_tells_an_ipv6_endpoint_and_judges_no_nat(void **state)
{
	struct fixture *f = *state;
	const struct discovery_server v = { .endpoint = at("2001:db8::1", PORT), .has_other_port = true };
	struct discovery_answer a = { .from = v.endpoint, .observed = at("2001:db8::9", 4000) };

	f->is_down = true;
	discovery_set_servers(f->d, &v, 1, f->now_ms);
	a.token = f->last_token;
	discovery_on_answer(f->d, &a, f->now_ms);
	run(f, 5000);
	assert_true(facts(f)->flags & NAT_UDP6_OK && !(facts(f)->flags & NAT_UDP4_OK));
	assert_int_equal(facts(f)->mapping, NAT_MAPPING_UNKNOWN);
	assert_int_equal(discovery_facts(f->d)->n_reflexive, 1);
	assert_int_equal(f->n_opened, 0);
}

/* ---------------------------------------------------------------- cost */

static void idle_node_asks_again_after_hours_only(void **state)
{
	struct fixture *f = *state;
	unsigned n;

	use_coordinator(f, true);
	run(f, 5000);
	n = f->n_asked;
	assert_in_range(n, 4, 40);
	f->n_ticks = 0;
	run(f, UINT64_C(6) * 3600 * 1000 - 10000);
	assert_int_equal(f->n_asked, n);
	assert_int_equal(f->n_ticks, 0);
	run(f, 3700 * 1000);
	assert_true(f->n_asked > n);
	assert_int_equal(facts(f)->mapping, NAT_MAPPING_ENDPOINT_INDEPENDENT);
}

static void owner_is_told_of_changes_only(void **state)
{
	struct fixture *f = *state;
	unsigned n;

	use_coordinator(f, true);
	run(f, 5000);
	n = f->n_changed;
	assert_in_range(n, 1, 6);
	for (unsigned i = 0; i < 5; i++) {
		discovery_survey(f->d, f->now_ms);
		run(f, 5000);
	}
	assert_int_equal(f->n_opened, 30);
	assert_int_equal(f->n_changed, n);
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
		TEST(coordinator_tells_each_kind),
		TEST(stun_server_tells_each_kind),
		TEST(hairpin_is_found_where_it_is),
		TEST(each_kind_is_told_through_losses),
		TEST(step_is_found_though_others_use_the_nat),
		TEST(one_address_cannot_tell_how_far_an_open_filter_is_open),
		TEST(one_address_tells_a_closed_filter),
		TEST(stun_server_that_answers_only_from_there_leaves_filtering_unknown),
		TEST(stun_server_that_ignores_or_refuses_a_change_leaves_filtering_unknown),
		TEST(spare_ports_that_cannot_be_had_leave_what_they_would_tell_unknown),
		TEST(silent_second_address_does_not_keep_the_rest_waiting),
		TEST(another_server_does_not_spoil_the_survey_under_way),
		TEST(nobody_answers_and_it_is_tried_every_30_s),
		TEST(filtering_is_not_misjudged_by_what_the_data_port_has_sent_to),
		TEST(forwarded_data_port_is_open_to_all),
		TEST(answer_that_does_not_match_changes_nothing),
		TEST(late_answer_changes_nothing),
		TEST(filter_answer_from_a_stranger_opens_no_filter),
		TEST(keepalive_seen_from_elsewhere_has_everybody_asked),
		TEST(another_outside_address_is_another_nat),
		TEST(network_change_starts_over_whatever_was_going_on),
		TEST(changes_without_end_cost_little),
		TEST(second_coordinator_adds_destinations),
		TEST(ipv6_server_tells_an_ipv6_endpoint_and_judges_no_nat),
		TEST(idle_node_asks_again_after_hours_only),
		TEST(owner_is_told_of_changes_only),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
