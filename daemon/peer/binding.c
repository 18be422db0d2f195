#include "daemon/peer/binding.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* Under the 20 s some NATs keep a UDP binding, over the 15 s RFC 8085 section 3.5 names as the floor. */
#define KEEPALIVE_MS 15000
#define KEEPALIVE_JITTER_MS 3000
#define RETRY_MS 30000
#define REFRESH_SPACING_MS 500
#define PROOF_MS 45000
#define REPEATS 5
/* Requests that follow an answer at once, a round: a server that never binds must not make us send at its pace. */
#define ECHOES_MAX 3

static const uint64_t repeat_after_ms[REPEATS] = { 150, 300, 600, 1200, 1200 }; /* the last: until it is given up */

struct server {
	struct endpoint endpoint;
	uint64_t token;
	uint64_t sent_ms, due_ms; /* sent: the first with this token; due: UINT64_MAX: nothing */
	unsigned n_unanswered;    /* sent since the last answer; 0: none outstanding */
	bool is_settled;          /* answered or given up in this round */
	bool is_answered;         /* the last time it was settled */
	uint32_t round;           /* of the last answer */
	struct endpoint reflexive;
	uint64_t challenge;
};

/* What the owner can ask for, and is told about when it changes. */
struct facts {
	unsigned n_reflexive;
	struct endpoint reflexive[BINDING_SERVERS_MAX]; /* newest first */
	enum nat_mapping mapping;
	bool is_bound, is_blocked, is_tested;
	bool v4_ok, v6_ok;
};

struct binding {
	const struct binding_env *env;
	void *arg;
	bool is_started;
	unsigned n_servers;
	struct server servers[BINDING_SERVERS_MAX];
	uint32_t round; /* of asking every server */
	unsigned n_echoes;
	uint64_t refreshed_ms, refresh_due_ms; /* due: UINT64_MAX: none waits */
	uint64_t retry_ms;                     /* UINT64_MAX: none */
	uint64_t bound_ms;
	uint32_t rtt_us;
	struct facts facts;
};

static uint64_t min_of(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

struct binding *binding_new(const struct binding_env *env, void *arg)
{
	struct binding *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->env = env;
	b->arg = arg;
	b->refresh_due_ms = b->retry_ms = UINT64_MAX;
	return b;
}

void binding_free(struct binding *b)
{
	free(b);
}

static bool is_relay(const struct binding *b, const struct server *s)
{
	return s == b->servers;
}

static void send_request(struct binding *b, struct server *s, uint64_t now_ms)
{
	struct wire_bind request = { .type = BIND_REQUEST };

	if (is_relay(b, s))
		request.challenge = s->challenge;
	else
		request.flags = BIND_NO_MOVE;
	if (s->n_unanswered == 0) { /* a repetition keeps the token: on a slow path the answer is to an earlier one */
		randombytes_buf(&s->token, sizeof(s->token));
		s->sent_ms = now_ms;
	}
	request.token = s->token;
	s->due_ms = now_ms + repeat_after_ms[s->n_unanswered++];
	b->env->send(b->arg, &s->endpoint, &request);
}

/* Asks every server anew. What was learned stands until it is replaced. */
static void begin_round(struct binding *b, uint64_t now_ms)
{
	b->round++;
	b->n_echoes = 0;
	b->refreshed_ms = now_ms;
	b->refresh_due_ms = b->retry_ms = UINT64_MAX;
	for (unsigned i = 0; i < b->n_servers; i++) {
		b->servers[i].is_settled = false;
		b->servers[i].n_unanswered = 0;
		send_request(b, &b->servers[i], now_ms);
	}
}

static bool is_round_over(const struct binding *b)
{
	for (unsigned i = 0; i < b->n_servers; i++)
		if (!b->servers[i].is_settled)
			return false;
	return b->n_servers > 0;
}

static bool any_answered(const struct binding *b)
{
	for (unsigned i = 0; i < b->n_servers; i++)
		if (b->servers[i].is_answered)
			return true;
	return false;
}

/* Two servers are two destinations: one reflexive endpoint for both means that the mapping does not depend on them.
 * Compared within one round only, for the network may have changed between two. */
static enum nat_mapping judge_mapping(const struct binding *b)
{
	const struct endpoint *first = NULL;
	enum nat_mapping mapping = NAT_MAPPING_UNKNOWN;

	for (unsigned i = 0; i < b->n_servers; i++) {
		const struct server *s = &b->servers[i];

		if (!s->is_answered || s->round != b->round || s->reflexive.ip.len != 4)
			continue;
		if (!first)
			first = &s->reflexive;
		else if (!endpoint_equal(first, &s->reflexive))
			return NAT_MAPPING_ENDPOINT_DEPENDENT;
		else
			mapping = NAT_MAPPING_ENDPOINT_INDEPENDENT;
	}
	return mapping;
}

static bool is_server_of(const struct binding *b, uint8_t ip_len)
{
	for (unsigned i = 0; i < b->n_servers; i++)
		if (b->servers[i].is_answered && b->servers[i].endpoint.ip.len == ip_len)
			return true;
	return false;
}

/* Moves an endpoint to the front of the list. */
static void put_reflexive(struct facts *f, const struct endpoint *e)
{
	unsigned at = 0;

	while (at < f->n_reflexive && !endpoint_equal(&f->reflexive[at], e))
		at++;
	if (at == f->n_reflexive) {
		if (f->n_reflexive < BINDING_SERVERS_MAX)
			f->n_reflexive++;
		else
			at--; /* the oldest gives way */
	}
	memmove(&f->reflexive[1], &f->reflexive[0], at * sizeof(f->reflexive[0]));
	f->reflexive[0] = *e;
}

/* Leaves those that a server still sees. */
static void prune_reflexive(struct binding *b)
{
	struct facts *f = &b->facts;
	unsigned n = 0;

	for (unsigned i = 0; i < f->n_reflexive; i++) {
		bool is_seen = false;

		for (unsigned k = 0; k < b->n_servers; k++)
			is_seen |=
				b->servers[k].is_answered && endpoint_equal(&b->servers[k].reflexive, &f->reflexive[i]);
		if (is_seen)
			f->reflexive[n++] = f->reflexive[i];
	}
	memset(&f->reflexive[n], 0, (BINDING_SERVERS_MAX - n) * sizeof(f->reflexive[0]));
	f->n_reflexive = n;
}

static bool facts_equal(const struct facts *a, const struct facts *b)
{
	if (a->n_reflexive != b->n_reflexive || a->mapping != b->mapping || a->is_bound != b->is_bound ||
	    a->is_blocked != b->is_blocked || a->is_tested != b->is_tested || a->v4_ok != b->v4_ok ||
	    a->v6_ok != b->v6_ok)
		return false;
	for (unsigned i = 0; i < a->n_reflexive; i++)
		if (!endpoint_equal(&a->reflexive[i], &b->reflexive[i]))
			return false;
	return true;
}

/* Draws what follows from the servers, and tells the owner if it is new. `before` was copied on the way in. */
static void conclude(struct binding *b, const struct facts *before)
{
	struct facts *f = &b->facts;
	enum nat_mapping mapping = judge_mapping(b);

	if (b->is_started) {
		if (is_round_over(b)) {
			f->is_tested = true;
			f->is_blocked = !any_answered(b);
			f->mapping = mapping;
			f->v4_ok = is_server_of(b, 4);
			f->v6_ok = is_server_of(b, 16);
			prune_reflexive(b);
		} else if (mapping != NAT_MAPPING_UNKNOWN) {
			f->mapping = mapping;
		}
	}
	if (!facts_equal(f, before))
		b->env->changed(b->arg);
}

void binding_start(struct binding *b, const struct endpoint *servers, unsigned n, uint64_t now_ms)
{
	struct facts before = b->facts;

	memset(b->servers, 0, sizeof(b->servers));
	b->n_servers = n < BINDING_SERVERS_MAX ? n : BINDING_SERVERS_MAX;
	for (unsigned i = 0; i < b->n_servers; i++)
		b->servers[i].endpoint = servers[i];
	b->is_started = b->n_servers > 0;
	b->rtt_us = 0;
	b->facts.is_bound = b->facts.is_blocked = b->facts.is_tested = false;
	begin_round(b, now_ms);
	conclude(b, &before);
}

void binding_stop(struct binding *b)
{
	struct facts before = b->facts;

	b->is_started = false;
	b->n_servers = 0;
	b->rtt_us = 0;
	sodium_memzero(b->servers, sizeof(b->servers));
	b->refresh_due_ms = b->retry_ms = UINT64_MAX;
	b->facts.is_bound = b->facts.is_blocked = false;
	conclude(b, &before);
}

void binding_refresh(struct binding *b, uint64_t now_ms)
{
	if (!b->is_started)
		return;
	if (now_ms - b->refreshed_ms >= REFRESH_SPACING_MS)
		begin_round(b, now_ms);
	else
		b->refresh_due_ms = b->refreshed_ms + REFRESH_SPACING_MS; /* what changed since is not lost */
}

/* The server that this answers, by all that it must repeat. */
static struct server *server_of(struct binding *b, const struct endpoint *from, const struct wire_bind *reply)
{
	if (!b->is_started || reply->type != BIND_REPLY)
		return NULL;
	for (unsigned i = 0; i < b->n_servers; i++) {
		struct server *s = &b->servers[i];

		if (endpoint_equal(&s->endpoint, from) && s->n_unanswered > 0 && s->token == reply->token)
			return s;
	}
	return NULL;
}

/* The relay's own port: is it bound to us, or has it asked us to prove that we receive here? */
static void on_relay_reply(struct binding *b, struct server *s, const struct wire_bind *reply, bool was_repeated,
			   uint64_t now_ms)
{
	uint64_t rtt_ms = now_ms - s->sent_ms;

	/* After a repetition this is an upper bound, good only where there is nothing better. */
	if (!was_repeated || b->rtt_us == 0)
		b->rtt_us = rtt_ms ? (uint32_t)min_of(rtt_ms * 1000, UINT32_MAX) : 500; /* less than a tick */
	s->challenge = reply->challenge;
	s->due_ms = now_ms + KEEPALIVE_MS + randombytes_uniform(KEEPALIVE_JITTER_MS + 1);
	if (reply->flags & BIND_BOUND) {
		b->bound_ms = now_ms;
		b->facts.is_bound = true;
		return;
	}
	b->facts.is_bound = false; /* it is bound to where we were before */
	if (reply->challenge != 0 && b->n_echoes < ECHOES_MAX) {
		b->n_echoes++;
		send_request(b, s, now_ms);
	}
}

void binding_on_reply(struct binding *b, const struct endpoint *from, const struct wire_bind *reply, uint64_t now_ms)
{
	struct server *s = server_of(b, from, reply);
	struct facts before = b->facts;
	bool is_moved, was_repeated;

	if (!s)
		return;
	was_repeated = s->n_unanswered > 1;
	is_moved = s->is_answered && s->round == b->round && reply->observed.ip.len &&
		   !endpoint_equal(&s->reflexive, &reply->observed);
	s->n_unanswered = 0;
	s->is_settled = s->is_answered = true;
	s->round = b->round;
	s->due_ms = UINT64_MAX;
	if (reply->observed.ip.len) {
		s->reflexive = reply->observed;
		put_reflexive(&b->facts, &s->reflexive);
	}
	if (s->endpoint.ip.len == 16)
		b->facts.v6_ok = true;
	else
		b->facts.v4_ok = true;
	b->facts.is_blocked = false;
	if (is_relay(b, s)) {
		b->retry_ms = UINT64_MAX;
		on_relay_reply(b, s, reply, was_repeated, now_ms);
	}
	if (is_moved) /* the NAT forgot us, or we moved: what the others saw is old */
		binding_refresh(b, now_ms);
	conclude(b, &before);
}

/* A request went unanswered for its time. */
static void repeat_or_give_up(struct binding *b, struct server *s, uint64_t now_ms)
{
	bool was_answered = s->is_answered;

	if (s->n_unanswered < REPEATS) {
		send_request(b, s, now_ms);
		return;
	}
	s->n_unanswered = 0;
	s->is_settled = true;
	s->is_answered = false;
	s->due_ms = UINT64_MAX;
	if (!is_relay(b, s))
		return;
	b->facts.is_bound = false;
	b->rtt_us = 0;
	if (was_answered && s->round == b->round)
		binding_refresh(b, now_ms); /* it answered a while ago: is it this server, or the network? */
	else
		b->retry_ms = now_ms + RETRY_MS;
}

void binding_tick(struct binding *b, uint64_t now_ms)
{
	struct facts before = b->facts;

	if (!b->is_started || now_ms < binding_next_ms(b))
		return;
	if (b->facts.is_bound && now_ms - b->bound_ms >= PROOF_MS)
		b->facts.is_bound = false;
	if (now_ms >= b->refresh_due_ms || now_ms >= b->retry_ms) {
		begin_round(b, now_ms);
	} else {
		for (unsigned i = 0; i < b->n_servers; i++)
			if (now_ms >= b->servers[i].due_ms)
				repeat_or_give_up(b, &b->servers[i], now_ms);
	}
	conclude(b, &before);
}

uint64_t binding_next_ms(const struct binding *b)
{
	uint64_t next;

	if (!b->is_started)
		return UINT64_MAX;
	next = min_of(b->refresh_due_ms, b->retry_ms);
	if (b->facts.is_bound)
		next = min_of(next, b->bound_ms + PROOF_MS);
	for (unsigned i = 0; i < b->n_servers; i++)
		next = min_of(next, b->servers[i].due_ms);
	return next;
}

bool binding_is_bound(const struct binding *b)
{
	return b->facts.is_bound;
}

bool binding_is_blocked(const struct binding *b)
{
	return b->facts.is_blocked;
}

bool binding_is_tested(const struct binding *b)
{
	return b->facts.is_tested;
}

unsigned binding_reflexive(const struct binding *b, struct endpoint *out, unsigned max)
{
	unsigned n = b->facts.n_reflexive < max ? b->facts.n_reflexive : max;

	memcpy(out, b->facts.reflexive, n * sizeof(out[0]));
	return n;
}

enum nat_mapping binding_mapping(const struct binding *b)
{
	return b->facts.mapping;
}

bool binding_family_ok(const struct binding *b, uint8_t ip_len)
{
	return ip_len == 16 ? b->facts.v6_ok : b->facts.v4_ok;
}

uint32_t binding_rtt_us(const struct binding *b)
{
	return b->rtt_us;
}
