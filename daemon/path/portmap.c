#include "daemon/path/portmap.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/mac.h"
#include "daemon/path/portmap_private.h"

#define ROUND_SPACING_MS 10000 /* on hints */

struct portmap *portmap_new(const struct portmap_env *env, void *arg, const uint8_t seed[static PORTMAP_SEED_BYTES])
{
	struct portmap *pm = calloc(1, sizeof(*pm));

	if (!pm)
		return NULL;
	pm->env = env;
	pm->arg = arg;
	memcpy(pm->seed, seed, sizeof(pm->seed));
	pm->backoff_ms = PORTMAP_BACKOFF_MS;
	pm->hint_ms = pm->check_ms = PORTMAP_NEVER;
	for (int p = 0; p < PORTMAP_PROTOCOLS; p++)
		pm->speakers[p].due_ms = PORTMAP_NEVER;
	return pm;
}

void portmap_free(struct portmap *pm)
{
	if (pm)
		key_wipe(pm->seed, sizeof(pm->seed));
	free(pm);
}

/* Of one gateway and address, so that nobody can tell from them that two networks see the same host. */
static void make_nonce(const struct portmap *pm, struct portmap_entry *e)
{
	struct {
		uint8_t gateway[16], local[16], protocol, reserved;
		uint16_t port;
	} of = { .protocol = e->m.protocol, .port = e->m.internal_port };
	uint8_t mac[MAC_BYTES];

	static_assert(sizeof(e->nonce) <= sizeof(mac), "a nonce is a cut mac");
	memcpy(of.gateway, pm->gateway.ip.b, sizeof(of.gateway));
	memcpy(of.local, pm->local.b, sizeof(of.local));
	mac_compute(mac, pm->seed, sizeof(pm->seed), &of, sizeof(of));
	memcpy(e->nonce, mac, sizeof(e->nonce));
}

/* ---------------------------------------------------------------- where */

static bool all_granted(const struct portmap *pm)
{
	for (unsigned i = 0; i < PORTMAP_MAX; i++)
		if (portmap_is_wanted(&pm->entries[i]) && !pm->entries[i].m.is_granted)
			return false;
	return true;
}

void portmap_set_gateway(struct portmap *pm, const struct ip *gateway, uint32_t scope, const struct ip *local,
			 uint64_t now_ms)
{
	const struct endpoint to = { .ip = *gateway, .port = PCP_PORT, .scope = scope };
	bool was_any = !ip_is_none(&pm->outer);

	if (endpoint_equal(&to, &pm->gateway) && ip_equal(local, &pm->local)) {
		portmap_hint(pm, now_ms);
		return;
	}
	pm->gateway = to;
	pm->local = *local;
	pm->outer = (struct ip){ 0 };
	pm->is_round = false;
	pm->backoff_ms = PORTMAP_BACKOFF_MS;
	pm->hint_ms = pm->check_ms = PORTMAP_NEVER;
	for (int p = 0; p < PORTMAP_PROTOCOLS; p++)
		pm->speakers[p] = (struct portmap_speaker){ .due_ms = PORTMAP_NEVER };
	for (unsigned i = 0; i < PORTMAP_MAX; i++) {
		struct portmap_entry *e = &pm->entries[i];

		if (e->is_leaving) /* nobody to tell */
			e->is_known = e->is_leaving = false;
		if (!e->is_known)
			continue;
		was_any |= e->m.is_granted;
		portmap_lose(e, NULL);
		e->last = (struct ip){ 0 };
		e->suggested = 0;
		e->is_plain = false;
		make_nonce(pm, e);
	}
	if (was_any)
		pm->env->changed(pm->arg);
	portmap_tick(pm, now_ms);
}

void portmap_hint(struct portmap *pm, uint64_t now_ms)
{
	if (!portmap_has_gateway(pm) || !pm->is_round)
		return;
	for (unsigned i = 0; i < PORTMAP_MAX; i++)
		if (portmap_is_wanted(&pm->entries[i]) && pm->entries[i].m.is_granted)
			portmap_renew_soon(&pm->entries[i], now_ms);
	if (!all_granted(pm) && pm->hint_ms == PORTMAP_NEVER) {
		pm->backoff_ms = PORTMAP_BACKOFF_MS;
		pm->hint_ms = pm->round_ms + ROUND_SPACING_MS > now_ms ? pm->round_ms + ROUND_SPACING_MS : now_ms;
	}
	portmap_tick(pm, now_ms);
}

/* ---------------------------------------------------------------- what is wanted */

struct portmap_entry *portmap_entry_of(struct portmap *pm, uint8_t protocol, uint16_t internal_port)
{
	for (unsigned i = 0; i < PORTMAP_MAX; i++)
		if (pm->entries[i].is_known && pm->entries[i].m.protocol == protocol &&
		    pm->entries[i].m.internal_port == internal_port)
			return &pm->entries[i];
	return NULL;
}

static bool is_anybody_there(const struct portmap *pm)
{
	for (int p = 0; p < PORTMAP_PROTOCOLS; p++)
		if (pm->speakers[p].is_alive)
			return true;
	return false;
}

int portmap_add(struct portmap *pm, uint8_t protocol, uint16_t internal_port, uint64_t now_ms)
{
	struct portmap_entry *e = portmap_entry_of(pm, protocol, internal_port);

	if (e && !e->is_leaving)
		return -EEXIST;
	for (unsigned i = 0; i < PORTMAP_MAX && !e; i++)
		if (!pm->entries[i].is_known)
			e = &pm->entries[i];
	if (!e)
		return -ENOSPC;
	*e = (struct portmap_entry){ .is_known = true, .m = { .protocol = protocol, .internal_port = internal_port } };
	make_nonce(pm, e);
	if (pm->is_round && !is_anybody_there(pm) && now_ms - pm->round_ms >= ROUND_SPACING_MS)
		pm->hint_ms = now_ms;
	portmap_tick(pm, now_ms);
	return 0;
}

static void leave(struct portmap *pm, struct portmap_entry *e)
{
	bool was_granted = e->m.is_granted;

	if (e->m.is_asking && !e->m.is_granted && e->n_sent > 0) { /* it may be granted yet */
		e->m.is_granted = true;
		e->m.by = e->asked;
	}
	e->is_leaving = true;
	if (!e->m.is_granted || !portmap_has_gateway(pm)) {
		e->is_known = e->is_leaving = false;
	} else if (e->m.by != PORTMAP_UPNP) {
		portmap_ask_removal(pm, e);
		e->is_known = e->is_leaving = false;
	}
	e->m.is_asking = false;
	e->n_sent = 0;
	if (was_granted)
		pm->env->changed(pm->arg);
}

void portmap_remove(struct portmap *pm, uint8_t protocol, uint16_t internal_port, uint64_t now_ms)
{
	struct portmap_entry *e = portmap_entry_of(pm, protocol, internal_port);

	if (e && !e->is_leaving)
		leave(pm, e);
	portmap_tick(pm, now_ms);
}

void portmap_remove_all(struct portmap *pm, uint64_t now_ms)
{
	for (unsigned i = 0; i < PORTMAP_MAX; i++)
		if (portmap_is_wanted(&pm->entries[i]))
			leave(pm, &pm->entries[i]);
	portmap_tick(pm, now_ms);
}

/* ---------------------------------------------------------------- what is known */

bool portmap_is_idle(const struct portmap *pm)
{
	for (unsigned i = 0; i < PORTMAP_MAX; i++)
		if (pm->entries[i].is_known && pm->entries[i].is_leaving)
			return false;
	return !pm->is_upnp_busy;
}

unsigned portmap_count(const struct portmap *pm)
{
	unsigned n = 0;

	for (unsigned i = 0; i < PORTMAP_MAX; i++)
		n += portmap_is_wanted(&pm->entries[i]);
	return n;
}

const struct portmap_mapping *portmap_at(const struct portmap *pm, unsigned i)
{
	for (unsigned k = 0; k < PORTMAP_MAX; k++)
		if (portmap_is_wanted(&pm->entries[k]) && i-- == 0)
			return &pm->entries[k].m;
	return NULL;
}

const struct portmap_mapping *portmap_find(const struct portmap *pm, uint8_t protocol, uint16_t internal_port)
{
	for (unsigned i = 0; i < PORTMAP_MAX; i++) {
		const struct portmap_entry *e = &pm->entries[i];

		if (portmap_is_wanted(e) && e->m.protocol == protocol && e->m.internal_port == internal_port)
			return &e->m;
	}
	return NULL;
}

enum portmap_verdict portmap_verdict(const struct portmap *pm, enum portmap_protocol p, const char **error)
{
	const struct portmap_speaker *s = &pm->speakers[p];
	bool is_asking = s->n_sent > 0 || (p == PORTMAP_UPNP && pm->is_upnp_busy && !s->is_settled);

	*error = NULL;
	for (unsigned i = 0; i < PORTMAP_MAX; i++) {
		const struct portmap_entry *e = &pm->entries[i];

		if (portmap_is_wanted(e) && e->m.is_granted && e->m.by == p)
			return PORTMAP_YES;
		is_asking |= portmap_is_wanted(e) && e->m.is_asking && e->asked == p;
	}
	if (p == PORTMAP_UPNP && !pm->env->upnp) {
		*error = "warrend was built without it";
		return PORTMAP_NO;
	}
	if (is_asking)
		return PORTMAP_ASKING;
	if (s->is_alive && !s->error)
		return PORTMAP_YES;
	*error = s->error;
	return s->error ? PORTMAP_NO : PORTMAP_NOT_TRIED;
}

const struct ip *portmap_gateway(const struct portmap *pm)
{
	return &pm->gateway.ip;
}

const struct ip *portmap_local(const struct portmap *pm)
{
	return &pm->local;
}

const struct ip *portmap_outer(const struct portmap *pm)
{
	return &pm->outer;
}

bool portmap_is_settled(const struct portmap *pm)
{
	for (unsigned i = 0; i < PORTMAP_MAX && portmap_has_gateway(pm); i++) {
		const struct portmap_entry *e = &pm->entries[i];

		if (portmap_is_wanted(e) && !e->m.is_granted && e->retry_ms == 0)
			return false;
	}
	return true;
}

const char *portmap_protocol_name(enum portmap_protocol p)
{
	static const char *const names[] = { "pcp", "nat-pmp", "upnp" };

	return (unsigned)p < PORTMAP_PROTOCOLS ? names[p] : "none";
}

const char *portmap_verdict_name(enum portmap_verdict v)
{
	static const char *const names[] = { "not tried", "asking", "no", "yes" };

	return (unsigned)v < sizeof(names) / sizeof(names[0]) ? names[v] : "not tried";
}
