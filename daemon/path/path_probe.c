/* Probes and their answers.
 *
 * An answer proves one path and nothing else: it counts once, for the path and the id the probe was sent with, and not
 * for long. What strangers can cause by naming endpoints, or by sending to us from many, is bounded by budgets. */
#include "daemon/path/path_set_private.h"
#include "daemon/wire/wire.h"

#include <sodium.h>
#include <string.h>

#define RTT_LEAST_US 1 /* 0 says "unknown" */

/* ---------------------------------------------------------------- budgets */

uint64_t path_budget_free_ms(const struct path_budget *b)
{
	return b->sent_ms[b->next] ? b->sent_ms[b->next] + PATH_BUDGET_MS : 0;
}

void path_budget_spend(struct path_budget *b, uint64_t now_ms)
{
	b->sent_ms[b->next] = now_ms;
	b->next = (b->next + 1) % PATH_BUDGET_PROBES;
}

void path_budget_reset(struct path_budget *b)
{
	*b = (struct path_budget){ 0 };
}

/* ---------------------------------------------------------------- outstanding probes */

void path_outstanding_forget(struct path_set *set, const struct path_entry *e)
{
	for (unsigned i = 0; i < PATH_OUTSTANDING_MAX; i++)
		if (!e || set->outstanding[i].entry == e)
			set->outstanding[i].entry = NULL;
}

/* A free place, else that of the oldest probe, whose answer is the least likely to come. */
static struct path_outstanding *outstanding_place(struct path_set *set)
{
	struct path_outstanding *oldest = &set->outstanding[0];

	for (unsigned i = 0; i < PATH_OUTSTANDING_MAX; i++) {
		struct path_outstanding *o = &set->outstanding[i];

		if (!o->entry)
			return o;
		if (o->sent_ms < oldest->sent_ms)
			oldest = o;
	}
	return oldest;
}

static struct path_outstanding *outstanding_find(struct path_set *set, const uint8_t *id, uint64_t now_ms)
{
	for (unsigned i = 0; i < PATH_OUTSTANDING_MAX; i++) {
		struct path_outstanding *o = &set->outstanding[i];

		if (o->entry && now_ms - o->sent_ms <= PATH_PROBE_LIFE_MS && memcmp(o->id, id, sizeof(o->id)) == 0)
			return o;
	}
	return NULL;
}

static uint64_t now_us(const struct path_set *set, uint64_t now_ms)
{
	return set->env->now_us ? set->env->now_us(set->arg) : now_ms * 1000;
}

void path_outstanding_restart(struct path_set *set, struct path_outstanding *o, uint64_t now_ms)
{
	o->sent_ms = now_ms;
	o->sent_us = now_us(set, now_ms);
}

static struct path_outstanding *send_probe(struct path_set *set, struct path_entry *e, uint16_t datagram_bytes,
					   uint64_t now_ms)
{
	struct path_outstanding *o = outstanding_place(set);
	struct wire_probe probe = { .size = WIRE_PROBE_BYTES };

	if (datagram_bytes)
		probe.size = (uint16_t)(datagram_bytes - WIRE_SEALED_OVERHEAD_BYTES);
	randombytes_buf(probe.id, sizeof(probe.id));
	memcpy(o->id, probe.id, sizeof(o->id));
	o->entry = e;
	path_outstanding_restart(set, o, now_ms);
	o->datagram_bytes = datagram_bytes;
	o->is_metered = false;
	o->noted = 0;
	o->n_data = 0;
	set->env->send(set->arg, &e->path.addr, &probe);
	return o;
}

void path_probe_send(struct path_set *set, struct path_entry *e, uint64_t now_ms)
{
	e->path.n_sent++;
	e->path.last_sent_ms = now_ms;
	send_probe(set, e, 0, now_ms);
}

void path_probe_send_metered(struct path_set *set, struct path_entry *e, uint64_t n_data, uint64_t now_ms)
{
	struct path_outstanding *o;

	e->path.n_sent++;
	e->path.last_sent_ms = now_ms;
	o = send_probe(set, e, 0, now_ms);
	o->is_metered = true;
	o->n_data = n_data;
}

void path_probe_send_size(struct path_set *set, struct path_entry *e, uint16_t datagram_bytes, uint64_t now_ms)
{
	send_probe(set, e, datagram_bytes, now_ms);
}

/* ---------------------------------------------------------------- openers */

/* Where a NAT of ours is on the way: never on a link of ours, nor with IPv6, whose firewalls translate nothing. */
static bool is_worth_opening(const struct path_set *set, const struct path_entry *e, uint64_t now_ms)
{
	const struct path *p = &e->path;

	if (!e->is_known || !path_is_udp(e) || p->is_lan || p->addr.endpoint.ip.len != 4 || !path_may_use(set, e))
		return false;
	if (p->candidate == CANDIDATE_PEER_REFLEXIVE || path_is_trusted(set, e, now_ms))
		return false; /* something came from there already */
	return !e->opened_ms || now_ms - e->opened_ms >= PATH_OPEN_MS;
}

void path_set_open(struct path_set *set, uint64_t now_ms)
{
	set->now_ms = now_ms;
	for (unsigned i = 0; i < PATH_CANDIDATES_MAX && set->env->open; i++) {
		struct path_entry *e = &set->entries[i];

		if (!is_worth_opening(set, e, now_ms))
			continue;
		e->opened_ms = now_ms;
		set->env->open(set->arg, &e->path.addr);
	}
}

/* ---------------------------------------------------------------- what arrives */

static void check_soon(struct path_entry *e, uint64_t now_ms)
{
	if (now_ms < e->urgent_ms)
		e->urgent_ms = now_ms;
}

void path_set_on_probe(struct path_set *set, const struct path_addr *from, const struct wire_probe *probe,
		       uint64_t now_ms)
{
	struct wire_probe reply = { .is_reply = true, .size = probe->size };
	struct path_entry *e = path_find(set, from);

	set->now_ms = now_ms;
	if (set->policy == PATH_POLICY_RELAY && !path_addr_is_relay(from))
		return;
	memcpy(reply.id, probe->id, sizeof(reply.id));
	if (from->kind == PATH_UDP)
		reply.observed = from->endpoint;
	set->env->send(set->arg, from, &reply);

	if (!e && path_addr_is_direct(from))
		e = path_add_peer_reflexive(set, from, now_ms);
	if (e)
		e->replied_ms = now_ms;
	if (e && set->is_running && path_may_use(set, e) && !path_is_trusted(set, e, now_ms))
		check_soon(e, now_ms);
}

void path_set_on_data(struct path_set *set, const struct path_addr *from, uint64_t now_ms)
{
	struct path_entry *e;

	set->now_ms = now_ms;
	/* Whoever can replay our peer's datagrams from any address must not make us probe them all. */
	if (!set->is_running || now_ms < set->stranger_ms ||
	    (set->policy == PATH_POLICY_RELAY && !path_addr_is_relay(from)))
		return;
	e = path_find(set, from);
	if (!e && path_addr_is_direct(from))
		e = path_add_peer_reflexive(set, from, now_ms);
	if (!e || !path_may_use(set, e) || path_is_trusted(set, e, now_ms))
		return;
	set->stranger_ms = now_ms + PATH_STRANGER_MS;
	check_soon(e, now_ms);
}

/* An answer sent to a relay may come back through the other transport of the same relay. */
static bool is_answer_from(const struct path_addr *sent_to, const struct path_addr *from)
{
	if (path_addr_is_relay(sent_to) && path_addr_is_relay(from))
		return sent_to->coordinator == from->coordinator;
	return path_addr_equal(sent_to, from);
}

static void rtt_sample(struct path *p, uint64_t rtt_us) /* RFC 6298 section 2 */
{
	uint64_t last_us = p->last_rtt_us, differ_us;

	if (rtt_us < RTT_LEAST_US)
		rtt_us = RTT_LEAST_US;
	differ_us = rtt_us > last_us ? rtt_us - last_us : last_us - rtt_us;
	if (last_us)
		p->jitter_us = (uint32_t)((15 * (uint64_t)p->jitter_us + differ_us) / 16);
	p->last_rtt_us = (uint32_t)rtt_us;
	p->rtt_us = p->rtt_us ? (uint32_t)((7 * (uint64_t)p->rtt_us + rtt_us) / 8) : (uint32_t)rtt_us;
}

static void answered(struct path_set *set, struct path_entry *e, uint64_t now_ms)
{
	struct path *p = &e->path;
	bool is_current = e == set->current;

	/* What it was half a minute ago proves nothing; the one in use is watched instead. */
	if (!is_current && path_is_udp(e) && now_ms - p->last_answer_ms > PATH_FRESH_MS)
		e->n_proofs = 0;
	p->last_answer_ms = now_ms;
	if (is_current && !e->is_given_up)
		e->n_proofs = PATH_PROOFS;
	else if (e->n_proofs < PATH_PROOFS)
		e->n_proofs++;
	if (p->addr.kind == PATH_UDP && (ip_is_private(&p->addr.endpoint.ip) || ip_is_link_local(&p->addr.endpoint.ip)))
		p->is_lan = true;
	if (path_is_proven(e)) {
		e->is_given_up = false;
		path_schedule_end(e);
		if (!is_current)
			path_state_set(e, PATH_STANDBY, now_ms);
	} else {
		check_soon(e, now_ms);
	}
	if (is_current)
		path_watch_end(set);
	path_choose(set, now_ms);
}

bool path_set_on_reply(struct path_set *set, const struct path_addr *from, const struct wire_probe *probe,
		       uint64_t now_ms)
{
	struct path_outstanding *o = outstanding_find(set, probe->id, now_ms);
	struct path_entry *e;
	bool was_doubted;

	set->now_ms = now_ms;
	if (!o || !is_answer_from(&o->entry->path.addr, from))
		return false;
	e = o->entry;
	was_doubted = e == set->current && set->watch.n_sent;
	o->entry = NULL;
	if (o->datagram_bytes) {
		answered(set, e, now_ms);
		if (probe->size + WIRE_SEALED_OVERHEAD_BYTES == o->datagram_bytes)
			path_mtu_answered(set, e, o->datagram_bytes, o->sent_ms, now_ms);
	} else {
		e->path.n_answered++;
		rtt_sample(&e->path, now_us(set, now_ms) - o->sent_us);
		if (o->is_metered)
			path_loss_answered(set, e, o->sent_ms, now_ms);
		else if (o->noted)
			path_loss_late(set, e, o->noted);
		if (o->n_data && e == set->current)
			path_loss_sample(set, o->n_data, probe->n_received, now_ms);
		answered(set, e, now_ms);
		if (was_doubted)
			path_mtu_on_silence(set, now_ms);
	}
	if (e->path.addr.kind == PATH_UDP && !e->path.is_lan && !ip_is_none(&probe->observed.ip))
		set->observed = probe->observed;
	return true;
}

void path_set_on_handshake(struct path_set *set, const struct path_addr *addr, uint32_t rtt_us, uint64_t now_ms)
{
	struct path_entry *e = path_find(set, addr);

	set->now_ms = now_ms;
	if (!e && path_addr_is_direct(addr))
		e = path_add_peer_reflexive(set, addr, now_ms);
	else if (!e && path_addr_is_relay(addr))
		e = path_add_relay(set, addr->kind, addr->coordinator, now_ms);
	if (!e)
		return;
	e->is_usable = true;
	if (rtt_us)
		rtt_sample(&e->path, rtt_us);
	e->path.last_answer_ms = now_ms;
	e->n_proofs = PATH_PROOFS; /* two messages of ours and one of the peer's went this way */
	answered(set, e, now_ms);
}
