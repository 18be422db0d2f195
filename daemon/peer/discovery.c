/* Servers and rounds: what is asked, what arrives, when. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/peer/discovery_private.h"

#define REPEATS 5
#define REFRESH_SPACING_MS 500
#define SURVEY_FRESH_MS 3000
#define RETRY_MS 30000

static const uint64_t repeat_after_ms[REPEATS] = { 150, 300, 600, 1200, 1200 }; /* the last: until it is given up */

uint64_t discovery_token(void)
{
	uint64_t token;

	randombytes_buf(&token, sizeof(token));
	return token;
}

struct discovery *discovery_new(const struct discovery_env *env, void *arg, uint16_t data_port)
{
	struct discovery *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->env = env;
	d->arg = arg;
	d->data_port = data_port;
	d->refresh_due_ms = d->retry_ms = d->survey.due_ms = DISCOVERY_NEVER;
	return d;
}

void discovery_free(struct discovery *d)
{
	if (!d)
		return;
	survey_stop(d, 0);
	free(d);
}

/* ---------------------------------------------------------------- rounds */

bool discovery_is_fresh(const struct discovery *d, const struct server *s)
{
	return s->is_answered && s->round == d->round;
}

bool discovery_any_fresh(const struct discovery *d, uint8_t ip_len)
{
	for (unsigned i = 0; i < d->n_servers; i++)
		if (discovery_is_fresh(d, &d->servers[i]) && (!ip_len || d->servers[i].observed.ip.len == ip_len))
			return true;
	return false;
}

bool discovery_is_round_over(const struct discovery *d)
{
	for (unsigned i = 0; i < d->n_servers; i++)
		if (!d->servers[i].is_settled)
			return false;
	return d->n_servers > 0;
}

static void ask_server(struct discovery *d, struct server *s, uint64_t now_ms)
{
	if (s->n_unanswered == 0) { /* a repetition keeps the token: on a slow path the answer is to an earlier one */
		s->token = discovery_token();
		s->sent_ms = now_ms;
	}
	s->due_ms = now_ms + repeat_after_ms[s->n_unanswered++];
	d->env->ask(d->arg, DISCOVERY_DATA, &s->to, DISCOVERY_FROM_THERE, s->token);
}

/* Asks every server anew. */
void discovery_begin_round(struct discovery *d, uint64_t now_ms)
{
	d->round++;
	d->round_ms = now_ms;
	d->is_judged = false;
	d->refresh_due_ms = d->retry_ms = DISCOVERY_NEVER;
	for (unsigned i = 0; i < d->n_servers; i++) {
		d->servers[i].is_settled = false;
		d->servers[i].n_unanswered = 0;
		ask_server(d, &d->servers[i], now_ms);
	}
}

void discovery_refresh(struct discovery *d, uint64_t now_ms)
{
	if (!d->n_servers)
		return;
	if (!d->round_ms || now_ms - d->round_ms >= REFRESH_SPACING_MS)
		discovery_begin_round(d, now_ms);
	else
		d->refresh_due_ms = d->round_ms + REFRESH_SPACING_MS; /* what changed since is not lost */
}

/* ---------------------------------------------------------------- servers */

static struct server *find_server(struct discovery *d, const struct discovery_server *to)
{
	for (unsigned i = 0; i < d->n_servers; i++) {
		struct server *s = &d->servers[i];

		if (s->to.kind == to->kind && s->to.number == to->number &&
		    endpoint_equal(&s->to.endpoint, &to->endpoint))
			return s;
	}
	return NULL;
}

static struct server *add_server(struct discovery *d, const struct discovery_server *to)
{
	struct server *s;

	if (d->n_servers == DISCOVERY_SERVERS_MAX)
		return NULL;
	s = &d->servers[d->n_servers++];
	*s = (struct server){ .to = *to, .due_ms = DISCOVERY_NEVER };
	return s;
}

/* Its alternate address makes two destinations more (RFC 5780 section 4.3). The alternate port of its first address stays
 * untouched: from there it answers when asked for another port. */
static void learn_other(struct discovery *d, struct server *s, const struct endpoint *other, uint64_t now_ms)
{
	const struct discovery_server parent = s->to;
	const uint16_t ports[] = { parent.endpoint.port, other->port };

	if (parent.kind != DISCOVERY_STUN || s->is_derived || !ip_is_none(&parent.other_address) || !other->port ||
	    !ip_is_sendable(&other->ip) || other->ip.len != parent.endpoint.ip.len ||
	    ip_equal(&other->ip, &parent.endpoint.ip))
		return;
	s->to.has_other_port = true;
	s->to.other_address = other->ip;
	for (unsigned i = 0; i < 2; i++) {
		const struct discovery_server to = { .kind = DISCOVERY_STUN,
						     .number = parent.number,
						     .endpoint = { .ip = other->ip, .port = ports[i] } };
		struct server *derived = find_server(d, &to) ? NULL : add_server(d, &to);

		if (derived) {
			derived->is_derived = true;
			ask_server(d, derived, now_ms);
		}
	}
}

static bool is_among(const struct discovery_server *v, unsigned n, const struct server *s)
{
	for (unsigned i = 0; i < n; i++) {
		if (v[i].kind != s->to.kind || v[i].number != s->to.number)
			continue;
		if (s->is_derived || endpoint_equal(&v[i].endpoint, &s->to.endpoint))
			return true;
	}
	return false;
}

void discovery_set_servers(struct discovery *d, const struct discovery_server *v, unsigned n, uint64_t now_ms)
{
	struct discovery_facts before = d->facts;
	unsigned n_kept = 0;
	bool is_new = false;

	for (unsigned i = 0; i < d->n_servers; i++)
		if (is_among(v, n, &d->servers[i]))
			d->servers[n_kept++] = d->servers[i];
	d->n_servers = n_kept;
	for (unsigned i = 0; i < n; i++) {
		struct server *s = find_server(d, &v[i]);

		if (!s)
			is_new |= add_server(d, &v[i]) != NULL;
		else if (v[i].kind == DISCOVERY_COORDINATOR)
			s->to = v[i];
	}
	if (d->n_servers == 0) {
		survey_stop(d, now_ms);
		d->refresh_due_ms = d->retry_ms = d->survey.due_ms = DISCOVERY_NEVER;
		return;
	}
	if (is_new) {
		discovery_begin_round(d, now_ms);
		if (!d->survey.began_ms)
			survey_begin(d, now_ms);
		else if (d->survey.stage == STAGE_IDLE && d->facts.nat.filtering == NAT_FILTERING_UNKNOWN)
			survey_want(d, now_ms);
	}
	facts_conclude(d, &before, now_ms);
}

/* ---------------------------------------------------------------- when somebody asks */

void discovery_survey(struct discovery *d, uint64_t now_ms)
{
	const struct survey *s = &d->survey;

	if (d->n_servers && s->stage == STAGE_IDLE && !(s->began_ms && now_ms - s->began_ms < SURVEY_FRESH_MS))
		survey_begin(d, now_ms);
}

void discovery_network_changed(struct discovery *d, uint64_t now_ms)
{
	if (!d->n_servers)
		return;
	survey_stop(d, now_ms); /* of where we no longer are */
	discovery_refresh(d, now_ms);
	survey_want(d, now_ms);
}

bool discovery_is_surveying(const struct discovery *d)
{
	return d->survey.stage != STAGE_IDLE;
}

bool discovery_asks(const struct discovery *d, uint8_t ip_len)
{
	for (unsigned i = 0; i < d->n_servers; i++)
		if (d->servers[i].to.endpoint.ip.len == ip_len)
			return true;
	return false;
}

uint64_t discovery_surveyed_ms(const struct discovery *d)
{
	return d->survey.ended_ms;
}

/* ---------------------------------------------------------------- what arrives */

static struct server *server_of(struct discovery *d, const struct discovery_answer *a)
{
	for (unsigned i = 0; i < d->n_servers; i++) {
		struct server *s = &d->servers[i];

		if (s->n_unanswered > 0 && s->token == a->token && s->to.kind == a->kind && s->to.number == a->number &&
		    endpoint_equal(&s->to.endpoint, &a->from))
			return a->socket == DISCOVERY_DATA ? s : NULL;
	}
	return NULL;
}

static void on_round_answer(struct discovery *d, struct server *s, const struct discovery_answer *a, uint64_t now_ms)
{
	s->rtt_ms = (uint32_t)discovery_min(now_ms - s->sent_ms, UINT32_MAX);
	s->n_unanswered = 0;
	s->is_settled = true;
	s->due_ms = DISCOVERY_NEVER;
	s->is_answered = !a->is_refused;
	if (a->is_refused)
		return;
	s->round = d->round;
	s->observed = a->observed;
	facts_put_reflexive(&d->facts, &a->observed);
	if (!ip_is_none(&a->other.ip))
		learn_other(d, s, &a->other, now_ms);
}

void discovery_on_answer(struct discovery *d, const struct discovery_answer *a, uint64_t now_ms)
{
	struct discovery_facts before = d->facts;
	struct server *s;

	if (!a->is_refused && (ip_is_none(&a->observed.ip) || !a->observed.port))
		return;
	if (!survey_on_answer(d, a, now_ms)) {
		s = server_of(d, a);
		if (!s)
			return;
		on_round_answer(d, s, a, now_ms);
		facts_conclude(d, &before, now_ms);
		before = d->facts;
	}
	survey_step(d, now_ms);
	facts_conclude(d, &before, now_ms);
}

bool discovery_observed(struct discovery *d, const struct endpoint *server, const struct endpoint *observed,
			uint64_t now_ms)
{
	struct discovery_facts before = d->facts;
	bool has_moved = false;

	for (unsigned i = 0; i < d->n_servers; i++) {
		struct server *s = &d->servers[i];

		if (!endpoint_equal(&s->to.endpoint, server) || !discovery_is_fresh(d, s) ||
		    endpoint_equal(&s->observed, observed))
			continue;
		s->observed = *observed;
		has_moved = true;
	}
	if (!has_moved)
		return false;
	facts_put_reflexive(&d->facts, observed);
	/* The NAT forgot us, or we moved: what the others saw is old. */
	discovery_refresh(d, now_ms);
	facts_conclude(d, &before, now_ms);
	return true;
}

/* ---------------------------------------------------------------- time */

static void repeat_or_give_up(struct discovery *d, struct server *s, uint64_t now_ms)
{
	if (s->n_unanswered < REPEATS) {
		ask_server(d, s, now_ms);
		return;
	}
	s->n_unanswered = 0;
	s->is_settled = true;
	s->is_answered = false;
	s->due_ms = DISCOVERY_NEVER;
	if (discovery_is_round_over(d) && !discovery_any_fresh(d, 0))
		d->retry_ms = now_ms + RETRY_MS;
}

void discovery_tick(struct discovery *d, uint64_t now_ms)
{
	struct discovery_facts before = d->facts;

	if (now_ms < discovery_next_ms(d))
		return;
	if (now_ms >= d->survey.due_ms)
		survey_begin(d, now_ms);
	if (now_ms >= d->refresh_due_ms || now_ms >= d->retry_ms)
		discovery_begin_round(d, now_ms);
	for (unsigned i = 0; i < d->n_servers; i++)
		if (now_ms >= d->servers[i].due_ms)
			repeat_or_give_up(d, &d->servers[i], now_ms);
	survey_tick(d, now_ms);
	facts_conclude(d, &before, now_ms);
	before = d->facts;
	survey_step(d, now_ms);
	facts_conclude(d, &before, now_ms);
}

uint64_t discovery_next_ms(const struct discovery *d)
{
	uint64_t next = discovery_min(survey_next_ms(d), discovery_min(d->refresh_due_ms, d->retry_ms));

	if (!d->n_servers)
		return DISCOVERY_NEVER;
	for (unsigned i = 0; i < d->n_servers; i++)
		next = discovery_min(next, d->servers[i].due_ms);
	if (!d->is_judged && d->round_ms && discovery_any_fresh(d, 4))
		next = discovery_min(next, d->round_ms + DISCOVERY_READY_MS);
	return next;
}

const struct discovery_facts *discovery_facts(const struct discovery *d)
{
	return &d->facts;
}

const struct discovery_server *discovery_coordinator(const struct discovery *d)
{
	const struct survey *s = &d->survey;

	for (unsigned i = 0; i < d->n_servers && !ip_is_none(&s->address); i++)
		if (s->asked.kind == DISCOVERY_COORDINATOR && d->servers[i].to.kind == DISCOVERY_COORDINATOR &&
		    d->servers[i].to.number == s->asked.number &&
		    endpoint_equal(&d->servers[i].to.endpoint, &s->asked.endpoint))
			return &s->asked;
	return NULL;
}
