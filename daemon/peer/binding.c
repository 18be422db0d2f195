#include "daemon/peer/binding.h"

#include <sodium.h>
#include <stdlib.h>

#define NEVER UINT64_MAX
#define RETRY_MS 30000
/* The way to the relay is interrupted, rather than closed for UDP, while it answered in this time: then each second. */
#define OUTAGE_MS 120000
#define RETRY_SOON_MS 1000
#define REFRESH_SPACING_MS 500
#define REPEATS 5
/* Requests that follow an answer at once, a round: a server that never binds must not make us send at its pace. */
#define ECHOES_MAX 3

static const uint64_t repeat_after_ms[REPEATS] = { 150, 300, 600, 1200, 1200 }; /* the last: until it is given up */

struct facts { /* what the owner is told of when it changes */
	struct endpoint reflexive;
	bool is_bound;
};

struct binding {
	const struct binding_env *env;
	void *arg;
	bool is_started;
	struct endpoint relay;
	uint64_t keepalive_ms; /* 0: none */
	uint64_t token, challenge;
	uint64_t sent_ms, due_ms; /* sent: the first with this token */
	unsigned n_unanswered;    /* sent since the last answer; 0: none outstanding */
	bool was_answered;        /* since the last refresh */
	unsigned n_echoes;
	uint64_t refreshed_ms, refresh_due_ms; /* due: NEVER: none waits */
	uint64_t answered_ms;                  /* last; 0: never */
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
	b->keepalive_ms = BINDING_KEEPALIVE_MS;
	b->refresh_due_ms = b->due_ms = NEVER;
	return b;
}

void binding_free(struct binding *b)
{
	free(b);
}

/* The relay reckons from it how long to believe that it can send to us. */
static uint16_t request_time(const struct binding *b)
{
	uint64_t time_ds = (b->keepalive_ms + 99) / 100;

	if (!b->keepalive_ms)
		return BIND_TIME_NEVER;
	return time_ds < BIND_TIME_NEVER ? (uint16_t)time_ds : BIND_TIME_NEVER - 1;
}

static void send_request(struct binding *b, uint64_t now_ms)
{
	struct wire_bind request = { .type = BIND_REQUEST, .time_ds = request_time(b), .challenge = b->challenge };

	if (b->n_unanswered == 0) { /* a repetition keeps the token: on a slow path the answer is to an earlier one */
		randombytes_buf(&b->token, sizeof(b->token));
		b->sent_ms = now_ms;
	}
	request.token = b->token;
	b->due_ms = now_ms + repeat_after_ms[b->n_unanswered++];
	b->env->send(b->arg, &b->relay, &request);
}

static void ask_anew(struct binding *b, uint64_t now_ms)
{
	b->n_echoes = 0;
	b->was_answered = false;
	b->refreshed_ms = now_ms;
	b->refresh_due_ms = NEVER;
	b->n_unanswered = 0;
	send_request(b, now_ms);
}

/* Tells the owner what is new. `before` was copied on the way in. */
static void conclude(const struct binding *b, const struct facts *before)
{
	if (before->is_bound != b->facts.is_bound || !endpoint_equal(&before->reflexive, &b->facts.reflexive))
		b->env->changed(b->arg);
}

void binding_start(struct binding *b, const struct endpoint *relay, uint64_t now_ms)
{
	struct facts before = b->facts;

	b->relay = *relay;
	b->is_started = true;
	b->challenge = 0;
	b->rtt_us = 0;
	b->facts.is_bound = false;
	ask_anew(b, now_ms);
	conclude(b, &before);
}

void binding_stop(struct binding *b)
{
	struct facts before = b->facts;

	b->is_started = false;
	b->n_unanswered = 0;
	b->challenge = 0;
	b->rtt_us = 0;
	b->refresh_due_ms = b->due_ms = NEVER;
	b->facts.is_bound = false;
	conclude(b, &before);
}

void binding_refresh(struct binding *b, uint64_t now_ms)
{
	if (!b->is_started)
		return;
	if (now_ms - b->refreshed_ms >= REFRESH_SPACING_MS)
		ask_anew(b, now_ms);
	else
		b->refresh_due_ms = b->refreshed_ms + REFRESH_SPACING_MS; /* what changed since is not lost */
}

static uint64_t retry_due_ms(const struct binding *b, uint64_t now_ms)
{
	bool is_outage = b->answered_ms && now_ms - b->answered_ms < OUTAGE_MS;

	return now_ms + (is_outage ? RETRY_SOON_MS : RETRY_MS);
}

static uint64_t keepalive_due_ms(const struct binding *b, uint64_t from_ms)
{
	if (!b->keepalive_ms)
		return NEVER;
	return from_ms + b->keepalive_ms - randombytes_uniform((uint32_t)(b->keepalive_ms / 6) + 1);
}

void binding_set_keepalive(struct binding *b, uint64_t keepalive_ms, uint64_t now_ms)
{
	if (keepalive_ms == b->keepalive_ms)
		return;
	if (!b->keepalive_ms)
		b->bound_ms = now_ms; /* until now it was believed without an end */
	b->keepalive_ms = keepalive_ms;
	if (!b->is_started || b->n_unanswered > 0 || !b->facts.is_bound)
		return; /* the request under way, or the next, will do */
	/* No later than it was due: the relay hears by it of a longer time. */
	b->due_ms = min_of(b->due_ms, keepalive_due_ms(b, b->bound_ms));
	if (b->due_ms < now_ms)
		b->due_ms = now_ms;
}

/* Is it bound to us, or has it asked us to prove that we receive here? */
static void take_proof(struct binding *b, const struct wire_bind *reply, bool was_repeated, uint64_t now_ms)
{
	uint64_t rtt_ms = now_ms - b->sent_ms;

	/* After a repetition this is an upper bound, good only where there is nothing better. */
	if (!was_repeated || b->rtt_us == 0)
		b->rtt_us = rtt_ms ? (uint32_t)min_of(rtt_ms * 1000, UINT32_MAX) : 500; /* less than a tick */
	b->challenge = reply->challenge;
	b->due_ms = keepalive_due_ms(b, now_ms);
	if (reply->flags & BIND_BOUND) {
		b->bound_ms = now_ms;
		b->facts.is_bound = true;
		return;
	}
	b->facts.is_bound = false; /* it is bound to where we were before */
	if (reply->challenge != 0 && b->n_echoes < ECHOES_MAX) {
		b->n_echoes++;
		send_request(b, now_ms);
	} else if (b->due_ms == NEVER) {
		b->due_ms = now_ms + RETRY_MS;
	}
}

bool binding_on_reply(struct binding *b, const struct endpoint *from, const struct wire_bind *reply, uint64_t now_ms)
{
	struct facts before = b->facts;
	bool was_repeated = b->n_unanswered > 1;

	if (!b->is_started || reply->type != BIND_REPLY || !endpoint_equal(&b->relay, from) || b->n_unanswered == 0 ||
	    b->token != reply->token)
		return false;
	b->n_unanswered = 0;
	b->was_answered = true;
	b->answered_ms = now_ms;
	b->facts.reflexive = reply->observed;
	take_proof(b, reply, was_repeated, now_ms);
	conclude(b, &before);
	return true;
}

/* The request went unanswered for its time. */
static void repeat_or_give_up(struct binding *b, uint64_t now_ms)
{
	if (b->n_unanswered < REPEATS) {
		send_request(b, now_ms);
		return;
	}
	b->n_unanswered = 0;
	b->facts.is_bound = false;
	b->rtt_us = 0;
	if (b->was_answered)
		ask_anew(b, now_ms); /* it answered a while ago: once more */
	else
		b->due_ms = retry_due_ms(b, now_ms);
}

static uint64_t proof_end_ms(const struct binding *b)
{
	return b->facts.is_bound && b->keepalive_ms ? b->bound_ms + b->keepalive_ms * 5 / 2 : NEVER;
}

void binding_tick(struct binding *b, uint64_t now_ms)
{
	struct facts before = b->facts;

	if (!b->is_started || now_ms < binding_next_ms(b))
		return;
	if (now_ms >= proof_end_ms(b))
		b->facts.is_bound = false;
	if (now_ms >= b->refresh_due_ms)
		ask_anew(b, now_ms);
	else if (now_ms >= b->due_ms && b->n_unanswered == 0 && !b->was_answered)
		ask_anew(b, now_ms);
	else if (now_ms >= b->due_ms && b->n_unanswered == 0)
		send_request(b, now_ms);
	else if (now_ms >= b->due_ms)
		repeat_or_give_up(b, now_ms);
	conclude(b, &before);
}

uint64_t binding_next_ms(const struct binding *b)
{
	return b->is_started ? min_of(min_of(b->refresh_due_ms, b->due_ms), proof_end_ms(b)) : NEVER;
}

bool binding_is_bound(const struct binding *b)
{
	return b->facts.is_bound;
}

const struct endpoint *binding_relay(const struct binding *b)
{
	return &b->relay;
}

const struct endpoint *binding_reflexive(const struct binding *b)
{
	return &b->facts.reflexive;
}

uint32_t binding_rtt_us(const struct binding *b)
{
	return b->rtt_us;
}
