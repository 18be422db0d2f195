#include "daemon/peer/sessions.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "daemon/base/bytes.h"

/* Data sent and nothing came for so long: the other side has lost the session, or the way is gone. */
#define SILENCE_MS (SESSION_KEEPALIVE_MS + SESSION_REKEY_TIMEOUT_MS)
#define JITTER_MS 334

static const uint64_t first_repeats_ms[] = { 300, 600, 1200, 2400 };

static uint64_t min_of(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max_of(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t see(struct sessions *s, uint64_t now_ms)
{
	s->now_ms = max_of(s->now_ms, now_ms);
	return s->now_ms;
}

static bool is_expired(const struct sessions *s, const struct session *session, uint64_t now_ms)
{
	return now_ms >= session->created_ms + s->reject_after_ms;
}

static uint64_t poll_ms(const struct sessions *s)
{
	return max_of(1, min_of(SESSIONS_POLL_MS, s->rekey_after_ms / 8)); /* tests shorten the timers */
}

/* When there is something to do, as far as is known. */
static void plan(struct sessions *s)
{
	struct session *const held[] = { s->current, s->previous, s->next };
	uint64_t next = UINT64_MAX;

	if (s->attempt.is_active)
		next = s->attempt_due_ms;
	for (size_t i = 0; i < 3; i++)
		if (held[i])
			next = min_of(next, held[i]->created_ms + s->reject_after_ms);
	if (s->current) {
		if (s->current->created_ms + s->rekey_after_ms > s->now_ms)
			next = min_of(next, s->current->created_ms + s->rekey_after_ms);
		if (s->unanswered_ms && !s->attempt.is_active)
			next = min_of(next, s->unanswered_ms + SILENCE_MS);
		if (s->unreturned_ms)
			next = min_of(next, s->unreturned_ms + SESSION_KEEPALIVE_MS);
	}
	s->quiet_ms = next;
	s->next_ms = s->current ? min_of(next, (s->now_ms / poll_ms(s) + 1) * poll_ms(s)) : next;
}

void sessions_init(struct sessions *s, const struct sessions_env *env, void *owner, const struct identity *identity,
		   struct indices *indices, const struct pubkey *remote)
{
	*s = (struct sessions){
		.env = env,
		.owner = owner,
		.identity = identity,
		.indices = indices,
		.remote = *remote,
		.rekey_after_ms = SESSION_REKEY_AFTER_MS,
		.reject_after_ms = SESSION_REJECT_AFTER_MS,
		.next_ms = UINT64_MAX,
		.quiet_ms = UINT64_MAX,
	};
}

/* Ends what stands in a slot. */
static bool slot_clear(struct sessions *s, struct session **slot)
{
	if (!*slot)
		return false;
	indices_remove(s->indices, (*slot)->local_index, s->now_ms);
	session_unref(*slot);
	*slot = NULL;
	return true;
}

/* The attempt is over; its index goes with it unless a session has it now. */
static void attempt_end(struct sessions *s, bool keep_index)
{
	if (s->attempt_index && !keep_index)
		indices_remove(s->indices, s->attempt_index, s->now_ms);
	s->attempt_index = 0;
	s->n_attempts = 0;
	handshake_wipe(&s->attempt);
}

static bool clear_all(struct sessions *s)
{
	bool any = s->attempt.is_active;

	attempt_end(s, false);
	any |= slot_clear(s, &s->current);
	any |= slot_clear(s, &s->previous);
	any |= slot_clear(s, &s->next);
	s->unanswered_ms = s->unreturned_ms = 0;
	s->next_ms = s->quiet_ms = UINT64_MAX;
	return any;
}

void sessions_fini(struct sessions *s)
{
	clear_all(s);
	sodium_memzero(s->cookie, sizeof(s->cookie));
}

void sessions_drop(struct sessions *s)
{
	if (clear_all(s))
		s->env->changed(s->owner);
}

/* TAI64N plus one nanosecond. */
static void timestamp_increment(uint8_t t[static WIRE_TIMESTAMP_BYTES])
{
	struct reader r = reader_of(t, WIRE_TIMESTAMP_BYTES);
	uint64_t seconds = reader_be64(&r);
	uint32_t ns = reader_be32(&r) + 1;
	struct writer w = writer_of(t, WIRE_TIMESTAMP_BYTES);

	writer_be64(&w, ns < 1000000000 ? seconds : seconds + 1);
	writer_be32(&w, ns < 1000000000 ? ns : 0);
}

void timestamp_advance(uint8_t last[static WIRE_TIMESTAMP_BYTES], uint64_t wall_ms)
{
	uint8_t t[WIRE_TIMESTAMP_BYTES];

	timestamp_encode(t, wall_ms);
	if (timestamp_compare(t, last) > 0)
		memcpy(last, t, sizeof(t));
	else
		timestamp_increment(last);
}

static uint64_t repeat_after_ms(unsigned n_sent)
{
	if (n_sent <= sizeof(first_repeats_ms) / sizeof(first_repeats_ms[0]))
		return first_repeats_ms[n_sent - 1];
	return SESSION_REKEY_TIMEOUT_MS + randombytes_uniform(JITTER_MS);
}

static bool has_fresh_cookie(const struct sessions *s)
{
	return s->has_cookie && s->now_ms - s->cookie_ms < SESSIONS_COOKIE_AGE_MS;
}

/* Sends an initiation with a fresh ephemeral key and timestamp. False: it could not be made, the attempt is over. */
static bool attempt_send(struct sessions *s, unsigned attempt)
{
	uint8_t data[WIRE_INIT_MAX_BYTES];
	int len;

	timestamp_advance(s->last_timestamp_sent, s->env->wall_ms(s->owner));
	len = handshake_initiate(&s->attempt, s->identity, HANDSHAKE_PEER, &s->remote, s->attempt_index,
				 s->last_timestamp_sent, has_fresh_cookie(s) ? s->cookie : NULL, data, sizeof(data));
	if (len < 0) {
		attempt_end(s, false);
		s->attempt_ended_ms = s->now_ms;
		return false;
	}
	s->attempt_sent_ms = s->now_ms;
	s->attempt_due_ms =
		min_of(s->now_ms + repeat_after_ms(attempt + 1), s->attempt_started_ms + SESSION_ATTEMPT_MS);
	s->env->send_initiation(s->owner, data, (size_t)len, attempt);
	return true;
}

static void attempt_start(struct sessions *s)
{
	s->unanswered_ms = 0;
	s->attempt_index = indices_add(s->indices, INDEX_HANDSHAKE, s->owner);
	if (!s->attempt_index)
		return; /* memory: the next packet asks again */
	s->attempt_started_ms = s->asked_since_ms = s->now_ms;
	s->n_attempts = 1;
	s->n_cookie_repeats = 0;
	attempt_send(s, 0);
}

struct session *sessions_sendable(const struct sessions *s, uint64_t now_ms)
{
	if (!s->current || is_expired(s, s->current, now_ms))
		return NULL;
	return s->current;
}

uint64_t sessions_quiet_ms(const struct sessions *s)
{
	return s->quiet_ms;
}

bool sessions_is_initiating(const struct sessions *s)
{
	return s->attempt.is_active;
}

uint64_t sessions_next_ms(const struct sessions *s)
{
	return s->next_ms;
}

void sessions_want(struct sessions *s, uint64_t now_ms)
{
	see(s, now_ms);
	if (!s->attempt.is_active && !sessions_sendable(s, s->now_ms) && !sessions_is_refused(s, s->now_ms))
		attempt_start(s);
	plan(s);
}

void sessions_renew(struct sessions *s, uint64_t now_ms)
{
	uint64_t since_ms;

	see(s, now_ms);
	if (s->attempt.is_active && s->now_ms - s->attempt_sent_ms < SESSIONS_RENEW_MS)
		return; /* this one may still be answered */
	since_ms = s->attempt.is_active ? s->asked_since_ms : s->now_ms;
	attempt_end(s, false);
	attempt_start(s);
	s->asked_since_ms = since_ms;
	plan(s);
}

static void make_current(struct sessions *s, struct session *session)
{
	if (s->current) {
		slot_clear(s, &s->previous);
		s->previous = s->current;
	}
	s->current = session;
	s->unanswered_ms = 0;
	sessions_forget_refusal(s);
}

static void note_no_suite(struct sessions *s, uint16_t suites_there)
{
	bool is_news = !s->has_no_suite;

	s->has_no_suite = true;
	s->suites_there = suites_there;
	s->env->no_suite(s->owner, is_news);
}

void sessions_on_refused(struct sessions *s, uint16_t suites_there)
{
	note_no_suite(s, suites_there);
}

void sessions_on_replayed(struct sessions *s, const uint8_t timestamp[static WIRE_TIMESTAMP_BYTES], uint64_t now_ms)
{
	struct reader is = reader_of(timestamp, WIRE_TIMESTAMP_BYTES);
	struct reader highest = reader_of(s->last_timestamp, WIRE_TIMESTAMP_BYTES);

	if (reader_be64(&is) + SESSIONS_STALE_S < reader_be64(&highest))
		s->stale_ms = now_ms;
}

static void note_untrusted(struct sessions *s, enum cert_verdict here, enum cert_verdict there)
{
	bool is_news = s->refused_here != here || s->refused_there != there;

	s->refused_here = here;
	s->refused_there = there;
	s->env->untrusted(s->owner, is_news);
}

enum cert_verdict sessions_judge(struct sessions *s, const struct wire_trust *shown)
{
	enum cert_verdict v = s->env->judge ? s->env->judge(s->owner, shown) : CERT_GOOD;

	if (v != CERT_GOOD)
		note_untrusted(s, v, s->refused_there);
	return v;
}

void sessions_forget_refusal(struct sessions *s)
{
	s->stale_ms = 0;
	s->asked_since_ms = s->now_ms;
	s->has_no_suite = false;
	s->refused_here = s->refused_there = CERT_GOOD;
	s->refused_until_ms = 0;
}

bool sessions_is_refused(const struct sessions *s, uint64_t now_ms)
{
	return now_ms < s->refused_until_ms;
}

static void end_all(struct sessions *s)
{
	s->refused_until_ms = s->now_ms + SESSIONS_REFUSED_MS;
	s->attempt_ended_ms = s->now_ms;
	clear_all(s);
	s->env->changed(s->owner);
}

void sessions_revoke(struct sessions *s, enum cert_verdict why, uint64_t now_ms)
{
	see(s, now_ms);
	end_all(s);
	note_untrusted(s, why, s->refused_there);
}

/* `why` as of handshake_finish. */
static void end_refused(struct sessions *s, int why)
{
	uint16_t suites_there = s->attempt.suites_there;
	enum cert_verdict there = (enum cert_verdict)s->attempt.refusal;

	end_all(s);
	if (why == -ENOTSUP)
		note_no_suite(s, suites_there);
	else
		note_untrusted(s, s->refused_here, there);
}

int sessions_on_response(struct sessions *s, const uint8_t *data, size_t len, uint64_t now_ms, uint32_t *rtt_us)
{
	struct handshake_keys keys;
	struct wire_trust shown;
	struct session *session;
	int ret = -EBADMSG;

	see(s, now_ms);
	if (s->attempt.is_active)
		ret = handshake_finish(&s->attempt, s->identity, data, len, &keys, &shown);
	if (ret == -ENOTSUP || ret == -EACCES) {
		end_refused(s, ret);
		return ret;
	}
	if (ret < 0)
		return -EBADMSG;
	if (sessions_judge(s, &shown) != CERT_GOOD) {
		sodium_memzero(&keys, sizeof(keys));
		end_all(s);
		return -EACCES;
	}
	session = session_new(&keys, s->attempt_index, s->attempt.remote_index, true, s->now_ms, s->owner);
	sodium_memzero(&keys, sizeof(keys));
	if (!session) {
		attempt_end(s, false);
		s->attempt_ended_ms = s->now_ms;
		plan(s);
		return -ENOMEM;
	}
	*rtt_us = (uint32_t)min_of((s->now_ms - s->attempt_sent_ms) * 1000, UINT32_MAX);
	indices_change(s->indices, s->attempt_index, INDEX_SESSION);
	attempt_end(s, true);
	make_current(s, session);
	plan(s);
	s->env->changed(s->owner);
	s->env->keepalive(s->owner);
	return 0;
}

int sessions_on_cookie(struct sessions *s, const uint8_t *data, size_t len, uint64_t now_ms)
{
	uint8_t cookie[COOKIE_BYTES];

	see(s, now_ms);
	if (handshake_take_cookie(&s->attempt, &s->remote, data, len, cookie) < 0)
		return -EBADMSG;
	memcpy(s->cookie, cookie, sizeof(s->cookie));
	sodium_memzero(cookie, sizeof(cookie));
	s->has_cookie = true;
	s->cookie_ms = s->now_ms;
	if (s->n_cookie_repeats < SESSIONS_COOKIE_REPEATS_MAX) {
		s->n_cookie_repeats++;
		attempt_send(s, s->n_attempts - 1);
	}
	plan(s);
	return 0;
}

void sessions_on_answered(struct sessions *s, const struct handshake_keys *keys, uint32_t local_index,
			  uint32_t remote_index, uint64_t now_ms)
{
	struct session *session;

	see(s, now_ms);
	session = session_new(keys, local_index, remote_index, false, s->now_ms, s->owner);
	if (!session) {
		indices_remove(s->indices, local_index, s->now_ms);
		return;
	}
	slot_clear(s, &s->next);
	s->next = session;
	plan(s);
	s->env->changed(s->owner);
}

/* Both sides initiated at once: our response came while theirs waited in next. The same question is answered the other
 * way on the other side, so that both end with one session. */
static bool ours_is_kept(const struct sessions *s)
{
	return s->current && s->current->is_initiator && s->current->created_ms >= s->next->created_ms &&
	       memcmp(s->identity->public.b, s->remote.b, KEY_BYTES) < 0;
}

void sessions_on_opened(struct sessions *s, struct session *session, uint64_t now_ms)
{
	if (!session || session != s->next)
		return;
	see(s, now_ms);
	atomic_store_explicit(&session->is_confirmed, true, memory_order_relaxed);
	if (ours_is_kept(s))
		return; /* theirs receives until its time is up */
	s->next = NULL;
	make_current(s, session);
	/* It is younger than what we asked for, so there is nothing left to ask. */
	if (s->attempt.is_active && session->created_ms >= s->attempt_started_ms)
		attempt_end(s, false);
	plan(s);
	s->env->changed(s->owner);
}

/* Workers note the latest instant only; the first of a silence is what was latest when it was noticed. */
static void observe(struct sessions *s, const struct traffic *t)
{
	uint64_t data_sent = atomic_load_explicit(&t->last_data_sent_ms, memory_order_relaxed);
	uint64_t data_received = atomic_load_explicit(&t->last_data_received_ms, memory_order_relaxed);
	uint64_t sent = atomic_load_explicit(&t->last_sent_ms, memory_order_relaxed);
	uint64_t received = atomic_load_explicit(&t->last_received_ms, memory_order_relaxed);

	if (data_sent <= received || data_sent < s->current->created_ms || data_sent <= s->attempt_ended_ms)
		s->unanswered_ms = 0;
	else if (!s->unanswered_ms)
		s->unanswered_ms = data_sent;

	if (data_received <= max_of(sent, s->keepalive_sent_ms))
		s->unreturned_ms = 0;
	else if (!s->unreturned_ms)
		s->unreturned_ms = data_received;
}

static bool is_renewal_due(const struct sessions *s, const struct traffic *t)
{
	const struct session *c = s->current;
	uint64_t sent = atomic_load_explicit(&t->last_data_sent_ms, memory_order_relaxed);
	uint64_t received = atomic_load_explicit(&t->last_data_received_ms, memory_order_relaxed);
	/* 15 s of 180; tests shorten the times. */
	uint64_t late_ms = c->created_ms + s->reject_after_ms - s->reject_after_ms / 12;

	if (s->unanswered_ms && s->now_ms >= s->unanswered_ms + SILENCE_MS)
		return true;
	if (received > s->attempt_ended_ms && received >= late_ms)
		return true;
	if (sent <= s->attempt_ended_ms)
		return false;
	return session_is_worn(c) || (c->is_initiator && sent >= c->created_ms + s->rekey_after_ms);
}

static void attempt_tick(struct sessions *s)
{
	if (s->now_ms < s->attempt_due_ms)
		return;
	if (s->now_ms - s->attempt_started_ms < SESSION_ATTEMPT_MS) {
		attempt_send(s, s->n_attempts++);
		return;
	}
	attempt_end(s, false);
	s->attempt_ended_ms = s->now_ms;
	s->unanswered_ms = 0; /* what was sent before is answered by "failed" */
	s->env->failed(s->owner);
}

static void expire(struct sessions *s)
{
	struct session **const slots[] = { &s->current, &s->previous, &s->next };
	bool any = false;

	for (size_t i = 0; i < 3; i++)
		if (*slots[i] && is_expired(s, *slots[i], s->now_ms))
			any |= slot_clear(s, slots[i]);
	if (any)
		s->env->changed(s->owner);
}

void sessions_tick(struct sessions *s, const struct traffic *traffic, uint64_t now_ms)
{
	see(s, now_ms);
	if (s->has_cookie && !has_fresh_cookie(s)) {
		sodium_memzero(s->cookie, sizeof(s->cookie));
		s->has_cookie = false;
	}
	expire(s);
	if (!s->current)
		s->unanswered_ms = s->unreturned_ms = 0;
	else
		observe(s, traffic);
	if (s->attempt.is_active)
		attempt_tick(s);
	else if (s->current && is_renewal_due(s, traffic))
		attempt_start(s);
	if (s->current && s->unreturned_ms && s->now_ms >= s->unreturned_ms + SESSION_KEEPALIVE_MS) {
		s->keepalive_sent_ms = s->now_ms;
		s->unreturned_ms = 0;
		s->env->keepalive(s->owner);
	}
	plan(s);
}
