/* The tests of a survey. */
#include <sodium.h>
#include <string.h>

#include "daemon/peer/discovery_private.h"

#define SPACING_MS 3000
#define AGAIN_MS (UINT64_C(6) * 3600 * 1000)
#define AGAIN_JITTER_MS (3600 * 1000)
/* A test is judged so long after its last request, or so many round trips and a little. */
#define VERDICT_MS 700
#define VERDICT_RTTS 2
#define VERDICT_MARGIN_MS 300

/* The spare socket that never sends but to the asked endpoint, and the one of the hairpin test. */
#define SOCKET_FILTER 1
#define SOCKET_HAIRPIN 2

static const uint64_t repeat_ms[] = { 200, 300 };
#define REQUESTS (1 + sizeof(repeat_ms) / sizeof(repeat_ms[0]))

/* ---------------------------------------------------------------- one test */

static uint64_t verdict_ms(const struct survey *s)
{
	uint64_t wait_ms = (uint64_t)s->rtt_ms * VERDICT_RTTS + VERDICT_MARGIN_MS;

	return wait_ms > VERDICT_MS ? wait_ms : VERDICT_MS;
}

static void test_send(struct discovery *d, struct test *t, uint64_t now_ms)
{
	struct survey *s = &d->survey;

	if (t == &s->tests[TEST_HAIRPIN]) {
		/* Where there is a filter, the first opens it for the second. */
		d->env->send_loop(d->arg, DISCOVERY_DATA, &s->hairpin_reflexive, t->token);
		d->env->send_loop(d->arg, SOCKET_HAIRPIN, &s->reflexive, t->token);
	} else {
		d->env->ask(d->arg, t->socket, &s->asked, t->from, t->token);
	}
	t->due_ms = now_ms + (t->n_sent + 1 < REQUESTS ? repeat_ms[t->n_sent] : verdict_ms(s));
	t->n_sent++;
}

static void test_begin(struct discovery *d, enum discovery_test which, unsigned socket, enum discovery_from from,
		       uint64_t now_ms)
{
	struct test *t = &d->survey.tests[which];

	*t = (struct test){ .is_running = true, .socket = socket, .from = from, .token = discovery_token() };
	test_send(d, t, now_ms);
}

/* The filtering as one socket meets it. */
static void filter_begin(struct discovery *d, enum discovery_test port, enum discovery_test address, unsigned socket,
			 uint64_t now_ms)
{
	const struct discovery_server *asked = &d->survey.asked;

	if (asked->has_other_port)
		test_begin(d, port, socket, DISCOVERY_FROM_OTHER_PORT, now_ms);
	if (!ip_is_none(&asked->other_address))
		test_begin(d, address, socket, DISCOVERY_FROM_OTHER_ADDRESS, now_ms);
}

static void next_sample(struct discovery *d, uint64_t now_ms)
{
	struct survey *s = &d->survey;

	while (s->n_opened < DISCOVERY_SPARES) {
		unsigned socket = ++s->n_opened;
		int port = d->env->spare_open(d->arg, socket);

		s->local_ports[socket] = port > 0 ? (uint16_t)port : 0;
		if (port > 0) {
			test_begin(d, TEST_SAMPLE, socket, DISCOVERY_FROM_THERE, now_ms);
			return;
		}
	}
	facts_judge_ports(d); /* whoever wants to predict them need not wait for the filtering */
}

static void on_sample(struct discovery *d, unsigned socket, const struct endpoint *observed, uint64_t now_ms)
{
	struct survey *s = &d->survey;

	s->samples[s->n_samples++] = (struct nat_port_sample){ s->local_ports[socket], observed->port };
	if (socket == SOCKET_FILTER)
		filter_begin(d, TEST_SPARE_PORT, TEST_SPARE_ADDRESS, socket, now_ms);
	/* Without a NAT what is sent to our own address does not even leave the host. */
	if (socket == SOCKET_HAIRPIN && d->facts.nat.mapping != NAT_MAPPING_NONE) {
		s->hairpin_reflexive = *observed;
		test_begin(d, TEST_HAIRPIN, socket, DISCOVERY_FROM_THERE, now_ms);
	}
}

static void test_end(struct discovery *d, struct test *t, enum nat_answer answer, uint64_t now_ms)
{
	t->is_running = false;
	t->answer = answer;
	if (t == &d->survey.tests[TEST_SAMPLE])
		next_sample(d, now_ms);
}

/* ---------------------------------------------------------------- course */

void survey_want(struct discovery *d, uint64_t now_ms)
{
	struct survey *s = &d->survey;
	uint64_t at_ms = now_ms;

	if (s->began_ms && at_ms < s->began_ms + SPACING_MS)
		at_ms = s->began_ms + SPACING_MS;
	s->due_ms = discovery_min(s->due_ms, at_ms);
}

void survey_begin(struct discovery *d, uint64_t now_ms)
{
	struct survey *s = &d->survey;

	if (s->stage == STAGE_TESTS)
		survey_stop(d, now_ms);
	s->stage = STAGE_ROUND;
	s->began_ms = now_ms;
	s->due_ms = DISCOVERY_NEVER;
	if (d->is_judged || !d->round_ms) /* else the one under way will do */
		discovery_begin_round(d, now_ms);
}

static void spares_close(struct discovery *d)
{
	struct survey *s = &d->survey;

	for (unsigned i = 1; i <= s->n_opened; i++)
		if (s->local_ports[i])
			d->env->spare_close(d->arg, i);
	s->n_opened = 0;
}

void survey_stop(struct discovery *d, uint64_t now_ms)
{
	struct survey *s = &d->survey;

	memset(s->tests, 0, sizeof(s->tests));
	spares_close(d);
	s->stage = STAGE_IDLE;
	s->due_ms = discovery_min(s->due_ms, now_ms + AGAIN_MS + randombytes_uniform(AGAIN_JITTER_MS));
}

/* The one that can tell the most; the first of those. */
static const struct server *best_server(const struct discovery *d)
{
	const struct server *best = NULL;
	int best_worth = -1;

	for (unsigned i = 0; i < d->n_servers; i++) {
		const struct server *v = &d->servers[i];
		int worth = !v->is_derived + v->to.has_other_port + 2 * !ip_is_none(&v->to.other_address);

		if (!discovery_is_fresh(d, v) || v->to.endpoint.ip.len != 4 || v->observed.ip.len != 4 ||
		    worth <= best_worth)
			continue;
		best = v;
		best_worth = worth;
	}
	return best;
}

static void begin_tests(struct discovery *d, const struct server *v, uint64_t now_ms)
{
	struct survey *s = &d->survey;

	s->stage = STAGE_TESTS;
	s->asked = v->to;
	s->reflexive = v->observed;
	s->rtt_ms = v->rtt_ms;
	s->n_samples = s->n_opened = 0;
	memset(s->tests, 0, sizeof(s->tests));
	filter_begin(d, TEST_DATA_PORT, TEST_DATA_ADDRESS, DISCOVERY_DATA, now_ms);
	next_sample(d, now_ms);
}

static void finish(struct discovery *d, uint64_t now_ms)
{
	struct survey *s = &d->survey;
	const struct nat_filter_tests filter = {
		.data_other_port = s->tests[TEST_DATA_PORT].answer,
		.data_other_address = s->tests[TEST_DATA_ADDRESS].answer,
		.spare_other_port = s->tests[TEST_SPARE_PORT].answer,
		.spare_other_address = s->tests[TEST_SPARE_ADDRESS].answer,
	};

	facts_judge_survey(d, &filter, s->tests[TEST_HAIRPIN].answer);
	s->address = s->reflexive.ip;
	s->ended_ms = now_ms;
	survey_stop(d, now_ms);
}

void survey_step(struct discovery *d, uint64_t now_ms)
{
	struct survey *s = &d->survey;

	if (s->stage == STAGE_ROUND && d->is_judged) {
		const struct server *v = best_server(d);

		if (v) {
			begin_tests(d, v, now_ms);
		} else { /* nobody answers over IPv4: there is nothing to test */
			facts_forget_survey(d);
			s->ended_ms = now_ms;
			survey_stop(d, now_ms);
		}
	}
	if (s->stage != STAGE_TESTS)
		return;
	for (unsigned i = 0; i < TEST_COUNT; i++)
		if (s->tests[i].is_running)
			return;
	finish(d, now_ms);
}

void survey_tick(struct discovery *d, uint64_t now_ms)
{
	for (unsigned i = 0; i < TEST_COUNT; i++) {
		struct test *t = &d->survey.tests[i];

		if (!t->is_running || now_ms < t->due_ms)
			continue;
		if (t->n_sent < REQUESTS)
			test_send(d, t, now_ms);
		else
			test_end(d, t, NAT_ANSWER_NO, now_ms);
	}
}

uint64_t survey_next_ms(const struct discovery *d)
{
	uint64_t next = d->survey.due_ms;

	for (unsigned i = 0; i < TEST_COUNT; i++)
		if (d->survey.tests[i].is_running)
			next = discovery_min(next, d->survey.tests[i].due_ms);
	return next;
}

/* ---------------------------------------------------------------- what arrives */

static bool is_from(const struct discovery_server *asked, enum discovery_from from, const struct endpoint *endpoint)
{
	switch (from) {
	case DISCOVERY_FROM_THERE:
		return endpoint_equal(&asked->endpoint, endpoint);
	case DISCOVERY_FROM_OTHER_PORT:
		return ip_equal(&asked->endpoint.ip, &endpoint->ip) && asked->endpoint.port != endpoint->port;
	case DISCOVERY_FROM_OTHER_ADDRESS:
		return ip_equal(&asked->other_address, &endpoint->ip);
	}
	return false;
}

bool survey_on_answer(struct discovery *d, const struct discovery_answer *a, uint64_t now_ms)
{
	struct survey *s = &d->survey;

	if (s->asked.kind != a->kind || s->asked.number != a->number)
		return false;
	for (unsigned i = 0; i < TEST_COUNT; i++) {
		struct test *t = &s->tests[i];

		if (i == TEST_HAIRPIN || !t->is_running || t->socket != a->socket || t->token != a->token)
			continue;
		if (is_from(&s->asked, t->from, &a->from) && !a->is_refused) {
			if (i == TEST_SAMPLE && a->observed.ip.len == 4)
				on_sample(d, t->socket, &a->observed, now_ms);
			test_end(d, t, NAT_ANSWER_YES, now_ms);
		} else if (endpoint_equal(&s->asked.endpoint, &a->from)) {
			test_end(d, t, NAT_ANSWER_UNKNOWN, now_ms); /* it does not do what it was asked to */
		}
		return true;
	}
	return false;
}

void discovery_on_loop(struct discovery *d, unsigned socket, uint64_t token, uint64_t now_ms)
{
	struct discovery_facts before = d->facts;
	struct test *t = &d->survey.tests[TEST_HAIRPIN];

	if (!t->is_running || t->token != token || (socket != DISCOVERY_DATA && socket != SOCKET_HAIRPIN))
		return;
	test_end(d, t, NAT_ANSWER_YES, now_ms);
	survey_step(d, now_ms);
	facts_conclude(d, &before, now_ms);
}
