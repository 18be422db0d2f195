/* When a gateway is asked for what, and what becomes of it. */
#include <string.h>

#include "daemon/path/portmap_private.h"

#define UPNP_AFTER_MS 250 /* and NAT-PMP, where PCP has not said no */
#define BACKOFF_MAX_MS 3600000
#define CHECK_MS 120000
#define CHECK_AGAIN_MS 10000 /* after one that was not answered */
#define MISSED_MAX 3
#define UPNP_RENEW_MS 600000
/* RFC 6887 section 11.2.1: requests for one mapping are never less than this apart. */
#define SPACING_MS 4000
#define UPNP_SPACING_MS 10000 /* a request takes two TCP connections */
#define LIFETIME_MAX_S 86400  /* RFC 6887 section 15: a client may count on no more */

/* ---------------------------------------------------------------- what became of a request */

static bool any_granted(const struct portmap *pm, enum portmap_protocol p)
{
	for (unsigned i = 0; i < PORTMAP_MAX; i++)
		if (portmap_is_wanted(&pm->entries[i]) && pm->entries[i].m.is_granted && pm->entries[i].m.by == p)
			return true;
	return false;
}

void portmap_from_the_start(struct portmap_entry *e)
{
	e->m.is_asking = false;
	e->n_sent = 0;
	e->tried = 0;
	e->n_drawn = 0;
	e->retry_ms = 0;
}

void portmap_lose(struct portmap_entry *e, const char *error)
{
	portmap_from_the_start(e);
	e->m.is_granted = false;
	e->m.error = error;
}

/* Whether it moved. */
static bool move_outer(struct portmap *pm, const struct ip *outer, uint64_t now_ms)
{
	bool was_known = !ip_is_none(&pm->outer);

	if (ip_equal(&pm->outer, outer))
		return false;
	pm->outer = *outer;
	for (unsigned i = 0; i < PORTMAP_MAX && !ip_is_none(outer); i++) {
		struct portmap_entry *e = &pm->entries[i];

		if (portmap_is_wanted(e) && e->m.is_granted && e->m.by == PORTMAP_NATPMP)
			e->m.external.ip = e->last = *outer;
	}
	for (int p = 0; p < PORTMAP_PROTOCOLS && was_known; p++)
		portmap_remake(pm, (enum portmap_protocol)p, now_ms);
	return true;
}

void portmap_set_outer(struct portmap *pm, const struct ip *outer, uint64_t now_ms)
{
	if (move_outer(pm, outer, now_ms))
		pm->env->changed(pm->arg);
}

void portmap_granted(struct portmap *pm, struct portmap_entry *e, const struct endpoint *external, uint32_t lifetime_s,
		     uint64_t now_ms)
{
	struct portmap_mapping *m = &e->m;
	bool is_changed = !m->is_granted || !endpoint_equal(&m->external, external);
	uint64_t life_ms = (uint64_t)(lifetime_s < LIFETIME_MAX_S ? lifetime_s : LIFETIME_MAX_S) * 1000;

	if (life_ms < 2ull * SPACING_MS) /* it cannot be asked more often */
		life_ms = 2ull * SPACING_MS;
	portmap_from_the_start(e);
	e->granted_ms = now_ms;
	m->is_granted = true;
	m->by = e->asked;
	m->external = *external;
	e->last = external->ip;
	e->suggested = external->port;
	m->lifetime_s = lifetime_s;
	m->error = NULL;
	m->renew_ms = now_ms + life_ms / 2;
	if (m->by == PORTMAP_UPNP && m->renew_ms > now_ms + UPNP_RENEW_MS)
		m->renew_ms = now_ms + UPNP_RENEW_MS;
	m->expires_ms = lifetime_s == UINT32_MAX ? PORTMAP_NEVER : now_ms + life_ms;
	pm->speakers[m->by].error = NULL;
	pm->backoff_ms = PORTMAP_BACKOFF_MS;
	if (m->by != PORTMAP_UPNP && pm->check_ms == PORTMAP_NEVER)
		pm->check_ms = now_ms + CHECK_MS;
	if (move_outer(pm, &external->ip, now_ms) || is_changed)
		pm->env->changed(pm->arg);
}

void portmap_refused(struct portmap *pm, struct portmap_entry *e, const char *error, uint32_t for_s)
{
	unsigned tried = e->tried | 1u << e->asked;
	bool was_granted = e->m.is_granted;
	uint64_t for_ms = (uint64_t)for_s * 1000;

	portmap_lose(e, error);
	e->tried = tried;
	e->retry_ms = 0;
	if (for_ms > pm->backoff_ms)
		pm->backoff_ms = for_ms < BACKOFF_MAX_MS ? for_ms : BACKOFF_MAX_MS;
	if (!any_granted(pm, e->asked))
		pm->speakers[e->asked].error = error;
	if (was_granted)
		pm->env->changed(pm->arg);
}

void portmap_renew_soon(struct portmap_entry *e, uint64_t now_ms)
{
	uint64_t at_ms = e->asked_ms + (e->m.by == PORTMAP_UPNP ? UPNP_SPACING_MS : SPACING_MS);

	if (at_ms < now_ms)
		at_ms = now_ms;
	if (at_ms < e->m.renew_ms)
		e->m.renew_ms = at_ms;
}

void portmap_remake(struct portmap *pm, enum portmap_protocol p, uint64_t now_ms)
{
	for (unsigned i = 0; i < PORTMAP_MAX; i++) {
		struct portmap_entry *e = &pm->entries[i];

		if (portmap_is_wanted(e) && e->m.is_granted && e->m.by == p && e->granted_ms != now_ms)
			portmap_renew_soon(e, now_ms);
	}
}

/* ---------------------------------------------------------------- rounds */

static void begin_round(struct portmap *pm, uint64_t now_ms)
{
	bool is_v6 = pm->gateway.ip.len == 16;

	pm->is_round = true;
	pm->round_ms = now_ms;
	pm->hint_ms = PORTMAP_NEVER;
	for (int p = 0; p < PORTMAP_PROTOCOLS; p++) {
		struct portmap_speaker *s = &pm->speakers[p];

		if (is_v6 && p != PORTMAP_PCP)
			continue;
		s->is_settled = false;
		s->n_sent = 0;
		s->error = NULL;
		if (p != PORTMAP_UPNP)
			portmap_ask_alive(pm, (enum portmap_protocol)p, now_ms);
	}
	for (unsigned i = 0; i < PORTMAP_MAX; i++)
		if (portmap_is_wanted(&pm->entries[i]) && !pm->entries[i].m.is_granted && !pm->entries[i].m.is_asking)
			portmap_from_the_start(&pm->entries[i]);
}

static bool any_wanted(const struct portmap *pm)
{
	for (unsigned i = 0; i < PORTMAP_MAX; i++)
		if (portmap_is_wanted(&pm->entries[i]))
			return true;
	return false;
}

/* ---------------------------------------------------------------- UPnP */

static void start_upnp(struct portmap *pm)
{
	struct portmap_upnp_job job = { .gateway = pm->gateway.ip, .local = pm->local };

	if (pm->is_upnp_busy || !pm->env->upnp)
		return;
	for (unsigned i = 0; i < PORTMAP_MAX; i++) {
		struct portmap_entry *e = &pm->entries[i];
		bool is_asked = portmap_is_wanted(e) && e->m.is_asking && e->asked == PORTMAP_UPNP;

		if (!is_asked && !e->is_leaving)
			continue;
		e->n_sent = 1;
		job.items[job.n++] = (struct portmap_upnp_item){
			.protocol = e->m.protocol,
			.internal_port = e->m.internal_port,
			.external_port = e->suggested ? e->suggested : e->m.internal_port,
			.lifetime_s = e->is_leaving ? 0 : PORTMAP_LIFETIME_S,
		};
	}
	if (job.n == 0)
		return;
	pm->is_upnp_busy = true;
	pm->env->upnp(pm->arg, &job);
}

static void take_item(struct portmap *pm, const struct portmap_upnp_job *job, const struct portmap_upnp_item *item,
		      uint64_t now_ms)
{
	struct portmap_entry *e = portmap_entry_of(pm, item->protocol, item->internal_port);
	struct endpoint external = { .ip = job->external, .port = item->external_port };
	const char *error = job->error ? job->error : item->error;

	if (!e)
		return;
	if (e->is_leaving) {
		/* What the job added before it was to go is taken away by the next. */
		if (item->lifetime_s == 0 || error)
			e->is_known = e->is_leaving = false;
		else
			e->suggested = item->external_port;
		return;
	}
	if (!e->m.is_asking || e->asked != PORTMAP_UPNP || e->n_sent == 0)
		return;
	if (!error && ip_is_none(&external.ip))
		error = "the gateway has no address of its own outside";
	if (!error && (external.port == 0 || item->lifetime_s == 0))
		error = "granted nothing";
	/* That there is no IGD says less than what another protocol answered before. */
	if (error)
		portmap_refused(pm, e, job->error && e->tried && e->m.error ? e->m.error : error, 0);
	else
		portmap_granted(pm, e, &external, item->lifetime_s, now_ms);
}

void portmap_on_upnp(struct portmap *pm, const struct portmap_upnp_job *job, uint64_t now_ms)
{
	struct portmap_speaker *s = &pm->speakers[PORTMAP_UPNP];

	pm->is_upnp_busy = false;
	if (ip_equal(&job->gateway, &pm->gateway.ip) && ip_equal(&job->local, &pm->local)) {
		s->is_settled = true;
		s->is_alive = !job->error;
		s->error = NULL;
		if (!job->error && !ip_is_none(&job->external))
			portmap_set_outer(pm, &job->external, now_ms);
		for (unsigned i = 0; i < job->n && i < PORTMAP_MAX; i++)
			take_item(pm, job, &job->items[i], now_ms);
		if (job->error)
			s->error = job->error;
	}
	portmap_tick(pm, now_ms);
}

/* ---------------------------------------------------------------- tick */

static void missed(struct portmap *pm, enum portmap_protocol p, uint64_t now_ms)
{
	struct portmap_speaker *s = &pm->speakers[p];
	bool is_serving = any_granted(pm, p);

	s->n_sent = 0;
	s->due_ms = PORTMAP_NEVER;
	s->is_settled = true;
	if (is_serving && ++s->n_missed < MISSED_MAX) {
		pm->check_ms = now_ms + CHECK_AGAIN_MS;
		return;
	}
	s->is_alive = false;
	s->n_missed = 0;
	s->error = "no answer";
	for (unsigned i = 0; i < PORTMAP_MAX && is_serving; i++)
		if (portmap_is_wanted(&pm->entries[i]) && pm->entries[i].m.is_granted && pm->entries[i].m.by == p)
			portmap_lose(&pm->entries[i], "the gateway does not answer any more");
	if (is_serving) {
		pm->hint_ms = now_ms;
		pm->env->changed(pm->arg);
	}
}

static void check(struct portmap *pm, uint64_t now_ms)
{
	pm->check_ms = PORTMAP_NEVER;
	for (int p = PORTMAP_PCP; p <= PORTMAP_NATPMP; p++) {
		if (!any_granted(pm, (enum portmap_protocol)p))
			continue;
		pm->check_ms = now_ms + CHECK_MS;
		if (pm->speakers[p].n_sent == 0)
			portmap_ask_alive(pm, (enum portmap_protocol)p, now_ms);
	}
}

enum choice {
	CHOICE_NONE = PORTMAP_PROTOCOLS, /* all have refused, or are not there */
	CHOICE_WAIT
};

/* By which protocol the mapping is to be asked for. */
static unsigned choose(const struct portmap *pm, const struct portmap_entry *e, uint64_t now_ms)
{
	const struct portmap_speaker *upnp = &pm->speakers[PORTMAP_UPNP];
	bool is_early = now_ms < pm->round_ms + UPNP_AFTER_MS, is_pending = false;
	bool may_upnp = pm->env->upnp && pm->gateway.ip.len == 4;

	for (unsigned p = PORTMAP_PCP; p <= PORTMAP_NATPMP; p++) {
		const struct portmap_speaker *s = &pm->speakers[p];
		bool is_untried = !(e->tried & 1u << p);

		if (p == PORTMAP_NATPMP && pm->speakers[PORTMAP_PCP].is_alive) /* the same server: it has said no */
			break;
		if (s->is_alive && is_untried)
			return p == PORTMAP_NATPMP && is_pending && is_early ? CHOICE_WAIT : p;
		is_pending |= !s->is_settled && s->n_sent > 0 && is_untried;
	}
	if (may_upnp && !(e->tried & 1u << PORTMAP_UPNP) && (!upnp->is_settled || upnp->is_alive))
		return is_pending && is_early ? CHOICE_WAIT : PORTMAP_UPNP;
	return is_pending ? CHOICE_WAIT : CHOICE_NONE;
}

static void ask(struct portmap *pm, struct portmap_entry *e, enum portmap_protocol by, uint64_t now_ms)
{
	e->m.is_asking = true;
	e->asked = by;
	e->n_sent = 0;
	e->due_ms = PORTMAP_NEVER;
	if (by == PORTMAP_UPNP)
		e->asked_ms = now_ms; /* start_upnp() takes it along */
	else
		portmap_ask_mapping(pm, e, now_ms);
}

static void entry_unanswered(struct portmap *pm, struct portmap_entry *e, uint64_t now_ms)
{
	if (!e->m.is_granted) {
		portmap_refused(pm, e, "no answer", 0);
		return;
	}
	portmap_from_the_start(e);
	e->m.renew_ms = now_ms + (e->m.expires_ms - now_ms) / 2;
	if (e->m.renew_ms < now_ms + SPACING_MS)
		e->m.renew_ms = now_ms + SPACING_MS;
}

static void entry_tick(struct portmap *pm, struct portmap_entry *e, uint64_t now_ms)
{
	unsigned by;

	if (e->m.is_granted && now_ms >= e->m.expires_ms) {
		portmap_lose(e, "it expired");
		pm->env->changed(pm->arg);
	}
	if (e->m.is_asking && now_ms >= e->due_ms) {
		if (e->n_sent < PORTMAP_TRIES)
			portmap_ask_mapping(pm, e, now_ms);
		else
			entry_unanswered(pm, e, now_ms);
	}
	if (e->m.is_asking)
		return;
	if (e->m.is_granted) {
		if (now_ms >= e->m.renew_ms)
			ask(pm, e, e->m.by, now_ms);
		return;
	}
	if (e->retry_ms != 0) {
		if (now_ms >= e->retry_ms && pm->hint_ms == PORTMAP_NEVER) {
			pm->hint_ms = now_ms;
			pm->backoff_ms = pm->backoff_ms * 2 < BACKOFF_MAX_MS ? pm->backoff_ms * 2 : BACKOFF_MAX_MS;
		}
		return;
	}
	by = choose(pm, e, now_ms);
	if (by < PORTMAP_PROTOCOLS) {
		ask(pm, e, (enum portmap_protocol)by, now_ms);
	} else if (by == CHOICE_NONE) {
		e->retry_ms = now_ms + pm->backoff_ms;
		if (!e->m.error)
			e->m.error = "nothing on the gateway maps ports";
	}
}

void portmap_tick(struct portmap *pm, uint64_t now_ms)
{
	pm->tick_ms = now_ms;
	if (!portmap_has_gateway(pm))
		return;
	if (!pm->is_round ? any_wanted(pm) : now_ms >= pm->hint_ms)
		begin_round(pm, now_ms);
	for (int p = PORTMAP_PCP; p <= PORTMAP_NATPMP; p++) {
		struct portmap_speaker *s = &pm->speakers[p];

		if (s->n_sent == 0 || now_ms < s->due_ms)
			continue;
		if (s->n_sent < PORTMAP_TRIES)
			portmap_ask_alive(pm, (enum portmap_protocol)p, now_ms);
		else
			missed(pm, (enum portmap_protocol)p, now_ms);
	}
	if (now_ms >= pm->check_ms)
		check(pm, now_ms);
	for (unsigned i = 0; i < PORTMAP_MAX; i++)
		if (portmap_is_wanted(&pm->entries[i]))
			entry_tick(pm, &pm->entries[i], now_ms);
	start_upnp(pm);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t portmap_next_ms(const struct portmap *pm)
{
	uint64_t next = sooner(pm->hint_ms, pm->check_ms);

	if (!portmap_has_gateway(pm))
		return PORTMAP_NEVER;
	for (int p = 0; p < PORTMAP_PROTOCOLS; p++)
		if (pm->speakers[p].n_sent > 0)
			next = sooner(next, pm->speakers[p].due_ms);
	for (unsigned i = 0; i < PORTMAP_MAX; i++) {
		const struct portmap_entry *e = &pm->entries[i];

		if (!portmap_is_wanted(e))
			continue;
		if (e->m.is_granted)
			next = sooner(next, e->m.expires_ms);
		if (e->m.is_asking)
			next = sooner(next, e->due_ms);
		else if (e->m.is_granted)
			next = sooner(next, e->m.renew_ms);
		else if (e->retry_ms)
			next = sooner(next, e->retry_ms);
		else if (pm->is_round && pm->tick_ms < pm->round_ms + UPNP_AFTER_MS) /* others wait for answers only */
			next = sooner(next, pm->round_ms + UPNP_AFTER_MS);
	}
	return next;
}
