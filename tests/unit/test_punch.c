/* Two searches against each other, through simulated NATs that map and filter by address and port; time turned by hand. */
#include "daemon/path/punch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define FLOWS_MAX 4096
#define EVENTS_MAX 64
#define PATH_MS 10
#define RELAY_MS 25

enum nat {
	NAT_CONE,
	NAT_COUNTS,
	NAT_DRAWS
};

struct flow {
	unsigned socket;
	struct endpoint remote;
	uint16_t port;
};

struct side {
	struct world *w;
	unsigned number;
	enum nat nat;
	int stride;
	bool is_careless; /* what it lets nobody in with it takes for a flow of its own */
	unsigned depth;   /* NATs between it and the world */
	struct flow taken[FLOWS_MAX];
	unsigned n_taken, n_openers;
	double noise_per_ms; /* ports that others take */
	double noise;
	struct ip ip;
	uint16_t next_port, cone_port;
	struct flow flows[FLOWS_MAX];
	unsigned n_flows, n_sockets, n_datagrams, n_over;
	bool was_found;
	struct punch punch;
	struct punch_history history;
};

struct event {
	uint64_t due_ms; /* 0: free */
	unsigned to;
	bool is_base; /* else a message */
	uint16_t socket;
	struct endpoint seen;
	struct wire_punch m;
};

struct world {
	uint64_t now_ms, seed;
	struct side side[2];
	struct event events[EVENTS_MAX];
	unsigned n_messages, lose_message; /* the n-th is lost; 0: none */
	bool is_met, is_busy, is_deaf;
	uint64_t met_ms;
	uint64_t sent_ms[2][PUNCH_PROBES_MAX * 2]; /* when each datagram left */
};

static uint64_t draw(struct world *w)
{
	w->seed ^= w->seed << 13;
	w->seed ^= w->seed >> 7;
	w->seed ^= w->seed << 17;
	return w->seed;
}

static struct event *event_new(struct world *w, uint64_t after_ms, unsigned to)
{
	for (unsigned i = 0; i < EVENTS_MAX; i++)
		if (!w->events[i].due_ms) {
			w->events[i] = (struct event){ .due_ms = w->now_ms + after_ms, .to = to };
			return &w->events[i];
		}
	fail_msg("too many events");
	return NULL;
}

/* The outside port of a datagram, and a hole for what comes back. */
static uint16_t through(struct side *s, unsigned socket, const struct endpoint *to)
{
	struct flow *f;
	uint16_t port = s->cone_port;

	for (unsigned i = 0; i < s->n_flows; i++)
		if (s->flows[i].socket == socket && endpoint_equal(&s->flows[i].remote, to))
			return s->flows[i].port;
	if (s->nat == NAT_COUNTS) {
		port = s->next_port;
		s->next_port = (uint16_t)(s->next_port + s->stride);
	} else if (s->nat == NAT_DRAWS) {
		port = (uint16_t)(1024 + draw(s->w) % 64512);
	} else if (socket) {
		port = (uint16_t)(20000 + socket);
	}
	for (unsigned i = 0; i < s->n_taken; i++)
		if (s->taken[i].port == port && endpoint_equal(&s->taken[i].remote, to))
			port = s->next_port++;
	if (s->nat == NAT_CONE && !socket)
		s->cone_port = port; /* for whomever it sends to from now on */
	assert_in_range(s->n_flows, 0, FLOWS_MAX - 1);
	f = &s->flows[s->n_flows++];
	*f = (struct flow){ .socket = socket, .remote = *to, .port = port };
	return port;
}

static bool lets_in(const struct side *s, uint16_t port, const struct endpoint *from)
{
	for (unsigned i = 0; i < s->n_flows; i++)
		if (s->flows[i].port == port && endpoint_equal(&s->flows[i].remote, from))
			return true;
	return false;
}

static int side_open(void *arg)
{
	struct side *s = arg;

	return (int)++s->n_sockets;
}

static void count_datagram(struct side *s)
{
	s->w->sent_ms[s->number][s->n_datagrams++] = s->w->now_ms;
}

static void side_ask(void *arg, uint16_t socket)
{
	struct side *s = arg;
	struct endpoint coordinator = { .port = 27700 };
	struct event *e;

	count_datagram(s);
	ip_from_text(&coordinator.ip, "198.51.100.10");
	if (s->w->is_deaf)
		return;
	e = event_new(s->w, 2 * PATH_MS, s->number);
	e->is_base = true;
	e->socket = socket;
	e->seen = (struct endpoint){ .ip = s->ip, .port = through(s, socket, &coordinator) };
}

static void side_probe(void *arg, uint16_t socket, const struct endpoint *to)
{
	struct side *s = arg, *other = &s->w->side[!s->number];
	struct endpoint from = { .ip = s->ip, .port = through(s, socket, to) };

	count_datagram(s);
	assert_true(ip_equal(&to->ip, &other->ip)); /* nobody else is ever sent to */
	assert_int_not_equal(to->port, 0);
	if (!lets_in(other, to->port, &from) && other->is_careless)
		other->taken[other->n_taken++] = (struct flow){ .remote = from, .port = to->port };
	if (lets_in(other, to->port, &from) && !s->w->is_met) {
		s->w->is_met = true;
		s->w->met_ms = s->w->now_ms + PATH_MS;
	}
}

static void side_opener(void *arg, uint16_t socket, const struct endpoint *to, unsigned further)
{
	struct side *s = arg;

	count_datagram(s);
	s->n_openers++;
	if (1 + further >= s->depth)
		through(s, socket, to);
}

static void side_say(void *arg, const struct wire_punch *m)
{
	struct side *s = arg;

	if (++s->w->n_messages == s->w->lose_message)
		return;
	event_new(s->w, RELAY_MS, !s->number)->m = *m;
}

static void side_over(void *arg, bool was_found)
{
	struct side *s = arg;

	s->n_over++;
	s->was_found = was_found;
}

static const struct punch_env env = {
	.open = side_open,
	.ask = side_ask,
	.probe = side_probe,
	.opener = side_opener,
	.say = side_say,
	.over = side_over,
};

static struct world *world_new(enum nat a, enum nat b, uint64_t seed)
{
	static const char *const ips[] = { "203.0.113.1", "203.0.113.2" };
	struct world *w = calloc(1, sizeof(*w));
	const enum nat nats[] = { a, b };

	assert_non_null(w);
	w->now_ms = 1000;
	w->seed = seed * 0x9e3779b97f4a7c15u + 1;
	for (unsigned i = 0; i < 2; i++) {
		struct side *s = &w->side[i];

		s->w = w;
		s->number = i;
		s->nat = nats[i];
		s->stride = 1;
		s->depth = 1;
		s->next_port = (uint16_t)(20000 + draw(w) % 10000);
		s->cone_port = 40000;
		ip_from_text(&s->ip, ips[i]);
		punch_init(&s->punch, &env, s);
	}
	return w;
}

static int8_t stride_of(const struct side *s)
{
	return s->nat == NAT_COUNTS ? (int8_t)s->stride : 0;
}

static void deliver(struct world *w, struct event e)
{
	struct side *s = &w->side[e.to];

	if (e.is_base)
		punch_on_base(&s->punch, e.socket, &e.seen, w->now_ms);
	else if (e.m.step == PUNCH_ASK && w->is_busy)
		side_say(s, &(struct wire_punch){ .step = PUNCH_BUSY, .method = e.m.method, .round = e.m.round });
	else if (e.m.step == PUNCH_ASK)
		punch_join(&s->punch, &e.m, &w->side[!e.to].ip, stride_of(s), &s->history, w->now_ms);
	else
		punch_on_message(&s->punch, &e.m, w->now_ms);
}

static void run(struct world *w, uint64_t ms)
{
	uint64_t until = w->now_ms + ms;

	for (; w->now_ms < until && !(w->is_met && w->now_ms > w->met_ms); w->now_ms++) {
		for (unsigned i = 0; i < 2; i++)
			for (w->side[i].noise += w->side[i].noise_per_ms; w->side[i].noise >= 1; w->side[i].noise--)
				w->side[i].next_port = (uint16_t)(w->side[i].next_port + w->side[i].stride);
		for (unsigned i = 0; i < EVENTS_MAX; i++)
			if (w->events[i].due_ms && w->events[i].due_ms <= w->now_ms) {
				struct event e = w->events[i];

				w->events[i].due_ms = 0;
				deliver(w, e);
			}
		for (unsigned i = 0; i < 2; i++)
			if (punch_next_ms(&w->side[i].punch) <= w->now_ms)
				punch_tick(&w->side[i].punch, w->now_ms);
		if (w->is_met && w->now_ms >= w->met_ms) {
			punch_end(&w->side[0].punch, true, w->now_ms);
			punch_end(&w->side[1].punch, true, w->now_ms);
		}
	}
}

/* Side 0 asks. Returns how long it took until the two met; 0: they did not. */
static uint64_t search(struct world *w, enum punch_method method, uint64_t ms)
{
	struct endpoint target = { .ip = w->side[1].ip, .port = w->side[1].cone_port };
	uint64_t begun = w->now_ms;

	/* The cone's port is there, its filter open to nobody. */
	punch_start(&w->side[0].punch, method, &target, stride_of(&w->side[0]), &w->side[0].history, w->now_ms);
	run(w, ms);
	return w->is_met ? w->met_ms - begun : 0;
}

static void check_pace(const struct world *w)
{
	for (unsigned i = 0; i < 2; i++) {
		const struct side *s = &w->side[i];

		for (unsigned n = 100; n < s->n_datagrams; n++)
			assert_true(w->sent_ms[i][n] - w->sent_ms[i][n - 100] >= 1000);
		assert_in_range(s->n_datagrams, 0, PUNCH_PROBES_MAX + 8);
		assert_in_range(s->n_sockets, 0, PUNCH_SOCKETS_MAX);
	}
}

static struct nat_facts facts(uint8_t mapping, uint8_t filtering, int8_t step)
{
	return (struct nat_facts){
		.mapping = mapping, .filtering = filtering, .flags = NAT_TESTED | NAT_UDP4_OK, .port_step = step
	};
}

static void each_pair_of_behaviours_has_its_method(void **state)
{
	const struct nat_facts open = facts(NAT_MAPPING_NONE, NAT_FILTERING_UNKNOWN, 0),
			       full = facts(NAT_MAPPING_ENDPOINT_INDEPENDENT, NAT_FILTERING_ENDPOINT_INDEPENDENT, 0),
			       address = facts(NAT_MAPPING_ENDPOINT_INDEPENDENT, NAT_FILTERING_ADDRESS_DEPENDENT, 0),
			       port = facts(NAT_MAPPING_ENDPOINT_INDEPENDENT, NAT_FILTERING_ADDRESS_AND_PORT_DEPENDENT,
					    0),
			       counts = facts(NAT_MAPPING_ADDRESS_AND_PORT_DEPENDENT, NAT_FILTERING_UNKNOWN, -1),
			       draws = facts(NAT_MAPPING_ENDPOINT_DEPENDENT, NAT_FILTERING_UNKNOWN, 0),
			       blocked = { .flags = NAT_TESTED | NAT_UDP_BLOCKED }, untested = { 0 };
	const struct {
		const struct nat_facts *a, *b;
		enum punch_method method;
	} rows[] = {
		{ &open, &open, PUNCH_NONE },        { &port, &port, PUNCH_FRESH },
		{ &open, &port, PUNCH_FRESH },       { &address, &port, PUNCH_FRESH },
		{ &full, &port, PUNCH_NONE },        { &untested, &port, PUNCH_NONE },
		{ &full, &draws, PUNCH_NONE },       { &address, &counts, PUNCH_NONE },
		{ &port, &draws, PUNCH_BIRTHDAY },   { &open, &draws, PUNCH_BIRTHDAY },
		{ &port, &counts, PUNCH_PREDICT },   { &counts, &counts, PUNCH_COUNT },
		{ &draws, &counts, PUNCH_HOPELESS }, { &draws, &draws, PUNCH_HOPELESS },
		{ &blocked, &draws, PUNCH_NONE },    { &untested, &draws, PUNCH_NONE },
	};
	bool asks, asks_there;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(punch_method(rows[i].a, rows[i].b, true, &asks), rows[i].method);
		assert_int_equal(punch_method(rows[i].b, rows[i].a, false, &asks_there), rows[i].method);
		if (rows[i].method == PUNCH_BIRTHDAY || rows[i].method == PUNCH_PREDICT ||
		    rows[i].method == PUNCH_COUNT || rows[i].method == PUNCH_FRESH)
			assert_int_equal(asks + asks_there, 1); /* both know who */
	}
}

static void a_port_that_is_counted_is_found_at_once(void **state)
{
	static const int strides[] = { 1, 2, -1, -3 };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct world *w = world_new(NAT_COUNTS, NAT_CONE, i + 1);

		w->side[0].stride = strides[i];
		assert_in_range(search(w, PUNCH_PREDICT, 20000), 1, 500);
		assert_true(w->side[0].was_found && w->side[1].was_found);
		assert_in_range(w->side[0].n_sockets, 1, 1);
		check_pace(w);
		free(w);
	}
}

static void a_busy_nat_that_counts_is_met_too(void **state)
{
	unsigned n_met = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct world *w = world_new(NAT_COUNTS, NAT_CONE, seed);

		w->side[0].noise_per_ms = 0.2; /* 200 new flows a second */
		n_met += search(w, PUNCH_PREDICT, 20000) > 0;
		check_pace(w);
		free(w);
	}
	assert_in_range(n_met, 20, 20);
}

static void two_that_count_meet(void **state)
{
	static const double noise[] = { 0, 0.02, 0.04 };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		for (uint64_t seed = 1; seed <= 10; seed++) {
			struct world *w = world_new(NAT_COUNTS, NAT_COUNTS, seed);

			w->side[0].noise_per_ms = noise[i];
			w->side[1].noise_per_ms = noise[i] / 2;
			w->side[1].stride = seed % 2 ? 1 : -2;
			assert_in_range(search(w, PUNCH_COUNT, 20000), 1, 10000);
			check_pace(w);
			free(w);
		}
	}
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void a_port_that_is_drawn_is_found_within_the_budget(void **state)
{
	enum {
		RUNS = 200
	};
	uint64_t took[RUNS];

	(void)state;
	for (uint64_t seed = 1; seed <= RUNS; seed++) {
		struct world *w = world_new(NAT_DRAWS, NAT_CONE, seed);

		took[seed - 1] = search(w, PUNCH_BIRTHDAY, 16000);
		if (!took[seed - 1])
			took[seed - 1] = UINT64_MAX;
		check_pace(w);
		free(w);
	}
	qsort(took, RUNS, sizeof(took[0]), by_size);
	assert_in_range(took[RUNS / 2], 1000, 5000);
	assert_in_range(took[RUNS * 95 / 100], 1000, 15000);
}

static void a_lost_message_costs_a_moment(void **state)
{
	static const struct {
		enum punch_method method;
		enum nat a, b;
	} rows[] = {
		{ PUNCH_PREDICT, NAT_COUNTS, NAT_CONE },
		{ PUNCH_COUNT, NAT_COUNTS, NAT_COUNTS },
		{ PUNCH_BIRTHDAY, NAT_DRAWS, NAT_CONE },
		{ PUNCH_FRESH, NAT_CONE, NAT_CONE },
	};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		for (unsigned lost = 1; lost <= 3; lost++) {
			struct world *w = world_new(rows[i].a, rows[i].b, lost);

			w->lose_message = lost;
			assert_in_range(search(w, rows[i].method, 20000), 1, 16000);
			free(w);
		}
	}
}

static void a_search_that_finds_nothing_ends_and_waits_longer_each_time(void **state)
{
	static const uint64_t waits[] = { 60000, 600000, 3600000, 3600000 };
	struct world *w = world_new(NAT_DRAWS, NAT_DRAWS, 7);

	(void)state;
	w->side[1].n_flows = 0;
	for (size_t i = 0; i < 4; i++) {
		uint64_t begun = w->now_ms;

		assert_true(punch_is_due(&w->side[0].history, w->now_ms));
		w->side[0].n_datagrams = w->side[1].n_datagrams = w->side[0].n_sockets = 0;
		w->side[0].n_flows = w->side[1].n_flows = 0;
		search(w, PUNCH_BIRTHDAY, 20000);
		if (w->is_met)
			break; /* one in many draws does meet */
		check_pace(w);
		assert_true(punch_is_idle(&w->side[0].punch) && punch_is_idle(&w->side[1].punch));
		assert_false(w->side[0].was_found);
		assert_in_range(w->side[0].history.next_ms, begun + waits[i], begun + waits[i] + 16000);
		w->now_ms = w->side[0].history.next_ms;
	}
	assert_in_range(w->side[0].history.n_searches, 4, 4);
	assert_in_range(w->side[0].history.n_sockets, 4 * PUNCH_SOCKETS_MAX, 4 * PUNCH_SOCKETS_MAX);
	punch_history_reset(&w->side[0].history);
	assert_true(punch_is_due(&w->side[0].history, 0));
	free(w);
}

static void one_who_is_busy_is_asked_again_soon(void **state)
{
	struct world *w = world_new(NAT_DRAWS, NAT_CONE, 3);

	(void)state;
	w->is_busy = true;
	assert_int_equal(search(w, PUNCH_BIRTHDAY, 1000), 0);
	assert_true(punch_is_idle(&w->side[0].punch));
	assert_int_equal(w->side[0].n_sockets, 0);
	assert_int_equal(w->side[0].history.n_searches, 0);
	assert_in_range(w->side[0].history.next_ms, 1000, 8000);
	free(w);
}

/* Both routers heard the other side too early; the one who is asked is behind so many NATs. */
static struct world *spoilt_world(unsigned depth)
{
	struct world *w = world_new(NAT_CONE, NAT_CONE, depth);

	for (unsigned i = 0; i < 2; i++)
		w->side[i].is_careless = true;
	for (unsigned n = 0; n < 6; n++) { /* what plain checks do, again and again */
		struct side *s = &w->side[n % 2];
		struct endpoint to = { .ip = w->side[!(n % 2)].ip, .port = 40000 };

		side_probe(s, 0, &to);
	}
	assert_false(w->is_met);
	w->side[0].n_datagrams = w->side[1].n_datagrams = 0;
	w->side[1].depth = depth;
	return w;
}

static void fresh_ports_are_those_that_no_router_has_heard_of(void **state)
{
	(void)state;
	for (unsigned depth = 1; depth <= 2; depth++) {
		struct world *w = spoilt_world(depth);

		assert_in_range(search(w, PUNCH_FRESH, 20000), 1, depth == 1 ? 200 : 2000);
		assert_true(w->side[0].was_found && w->side[1].was_found);
		for (unsigned i = 0; i < 2; i++) {
			assert_int_equal(w->side[i].n_sockets, depth);
			assert_in_range(w->side[i].n_datagrams, 2, 8 * depth);
		}
		assert_int_equal(w->side[0].n_openers, 0);
		assert_int_equal(w->side[1].n_openers + depth, w->side[1].n_datagrams); /* and its questions */
		free(w);
	}
}

static void fresh_ports_that_do_not_meet_are_given_up(void **state)
{
	struct world *w = spoilt_world(3); /* deeper than is tried */

	(void)state;
	assert_int_equal(search(w, PUNCH_FRESH, 20000), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(punch_is_idle(&w->side[i].punch));
		assert_int_equal(w->side[i].n_sockets, 4);
		assert_in_range(w->side[i].n_datagrams, 8, 40);
	}
	assert_false(punch_is_due(&w->side[0].history, w->now_ms));
	free(w);
}

static void nobody_answers(void **state)
{
	struct world *w = world_new(NAT_COUNTS, NAT_COUNTS, 3);

	(void)state;
	w->is_deaf = true; /* the coordinator */
	assert_int_equal(search(w, PUNCH_COUNT, 20000), 0);
	assert_true(punch_is_idle(&w->side[0].punch));
	assert_int_equal(w->side[0].n_over, 1);
	assert_in_range(w->side[0].n_datagrams, 1, 8);
	free(w);
}

static void what_is_not_of_the_search_changes_nothing(void **state)
{
	struct world *w = world_new(NAT_DRAWS, NAT_CONE, 3);
	struct endpoint seen = { .ip = w->side[0].ip, .port = 9 };
	struct wire_punch m = { .step = PUNCH_ACCEPT, .method = PUNCH_BIRTHDAY };

	(void)state;
	punch_on_message(&w->side[0].punch, &m, w->now_ms); /* idle */
	punch_on_base(&w->side[0].punch, 1, &seen, w->now_ms);
	assert_true(punch_is_idle(&w->side[0].punch));
	w->lose_message = 1;
	search(w, PUNCH_BIRTHDAY, 100);
	m.round = w->side[0].punch.round + 1;
	punch_on_message(&w->side[0].punch, &m, w->now_ms);
	m.round--;
	m.method = PUNCH_COUNT;
	punch_on_message(&w->side[0].punch, &m, w->now_ms);
	punch_on_base(&w->side[0].punch, 1, &seen, w->now_ms);
	assert_int_equal(w->side[0].punch.state, PUNCH_ASKING);
	assert_int_equal(w->side[0].n_sockets, 0);
	free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_pair_of_behaviours_has_its_method),
		cmocka_unit_test(a_port_that_is_counted_is_found_at_once),
		cmocka_unit_test(a_busy_nat_that_counts_is_met_too),
		cmocka_unit_test(two_that_count_meet),
		cmocka_unit_test(a_port_that_is_drawn_is_found_within_the_budget),
		cmocka_unit_test(a_lost_message_costs_a_moment),
		cmocka_unit_test(a_search_that_finds_nothing_ends_and_waits_longer_each_time),
		cmocka_unit_test(one_who_is_busy_is_asked_again_soon),
		cmocka_unit_test(fresh_ports_are_those_that_no_router_has_heard_of),
		cmocka_unit_test(fresh_ports_that_do_not_meet_are_given_up),
		cmocka_unit_test(nobody_answers),
		cmocka_unit_test(what_is_not_of_the_search_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
