#include "daemon/path/path_set_private.h"

#include <errno.h>
#include <stdlib.h>

struct path_set *path_set_new(const struct path_set_env *env, void *arg)
{
	struct path_set *set = calloc(1, sizeof(*set));

	if (!set)
		return NULL;
	set->env = env;
	set->arg = arg;
	set->keepalive_ms = PATH_KEEPALIVE_MS;
	set->next_round_ms = PATH_NEVER;
	set->look_ms = PATH_NEVER;
	set->tcp_start_ms = PATH_NEVER;
	return set;
}

void path_set_free(struct path_set *set)
{
	free(set);
}

/* ---------------------------------------------------------------- which paths there are */

void path_state_set(struct path_entry *e, enum path_state state, uint64_t now_ms)
{
	if (e->path.state == state)
		return;
	e->path.state = state;
	e->path.since_ms = now_ms;
}

struct path_entry *path_find(struct path_set *set, const struct path_addr *addr)
{
	for (unsigned i = 0; i < PATH_SET_MAX; i++)
		if (set->entries[i].is_known && path_addr_equal(&set->entries[i].path.addr, addr))
			return &set->entries[i];
	return NULL;
}

static struct path_entry *entry_fill(struct path_set *set, struct path_entry *e, const struct path_addr *addr,
				     uint64_t now_ms)
{
	struct path_budget planned = e->planned, urgent = e->urgent;
	uint64_t opened_ms = e->opened_ms;

	*e = (struct path_entry){ .path = { .addr = *addr, .since_ms = now_ms, .loss_permille = -1 },
				  .is_known = true,
				  .is_usable = true };
	e->planned = planned;
	e->urgent = urgent;
	e->opened_ms = opened_ms;
	path_mtu_forget(set, e);
	path_schedule_end(e);
	if (set->is_running)
		path_schedule(set, e, now_ms);
	return e;
}

static void entry_forget(struct path_set *set, struct path_entry *e)
{
	path_outstanding_forget(set, e);
	path_loss_forget(set, e);
	e->is_known = false;
}

/* The slot that was probed longest ago: its budget is the fullest. */
static struct path_entry *free_candidate_slot(struct path_set *set)
{
	struct path_entry *found = NULL;

	for (unsigned i = 0; i < PATH_CANDIDATES_MAX; i++) {
		struct path_entry *e = &set->entries[i];

		if (!e->is_known && (!found || e->path.last_sent_ms < found->path.last_sent_ms))
			found = e;
	}
	return found;
}

static struct path_entry *oldest_failed_peer_reflexive(struct path_set *set)
{
	struct path_entry *found = NULL;

	for (unsigned i = 0; i < PATH_CANDIDATES_MAX; i++) {
		struct path_entry *e = &set->entries[i];

		if (e->is_known && e->path.candidate == CANDIDATE_PEER_REFLEXIVE && e->path.state == PATH_FAILED &&
		    (!found || e->path.since_ms < found->path.since_ms))
			found = e;
	}
	return found;
}

static unsigned count_peer_reflexive(const struct path_set *set)
{
	unsigned n = 0;

	for (unsigned i = 0; i < PATH_CANDIDATES_MAX; i++)
		n += set->entries[i].is_known && set->entries[i].path.candidate == CANDIDATE_PEER_REFLEXIVE;
	return n;
}

static struct path_addr addr_of(const struct candidate *c)
{
	return (struct path_addr){ .kind = candidate_is_tcp(c->kind) ? PATH_TCP : PATH_UDP, .endpoint = c->endpoint };
}

static int candidate_add(struct path_set *set, const struct path_addr *addr, enum candidate_kind kind, bool is_lan,
			 uint64_t now_ms)
{
	struct path_entry *e = path_find(set, addr), *victim;

	is_lan &= addr->kind == PATH_UDP;
	if (e) {
		e->path.candidate = kind;
		e->path.is_lan = is_lan || (e->path.is_lan && path_is_proven(e));
		return -EEXIST;
	}
	e = free_candidate_slot(set);
	if (!e || (kind == CANDIDATE_PEER_REFLEXIVE && count_peer_reflexive(set) >= PATH_PEER_REFLEXIVE_MAX)) {
		victim = oldest_failed_peer_reflexive(set);
		if (!victim)
			return -ENOSPC;
		entry_forget(set, victim);
		e = free_candidate_slot(set);
	}
	entry_fill(set, e, addr, now_ms);
	e->path.candidate = kind;
	e->path.is_lan = is_lan;
	return 0;
}

int path_set_add(struct path_set *set, const struct candidate *c, bool is_lan, uint64_t now_ms)
{
	const struct path_addr addr = addr_of(c);

	set->now_ms = now_ms;
	return candidate_add(set, &addr, c->kind, is_lan, now_ms);
}

struct path_entry *path_add_peer_reflexive(struct path_set *set, const struct path_addr *from, uint64_t now_ms)
{
	if (candidate_add(set, from, CANDIDATE_PEER_REFLEXIVE, false, now_ms) < 0)
		return NULL;
	return path_find(set, from);
}

static bool is_among(const struct candidates *c, const struct path_addr *addr)
{
	for (unsigned i = 0; i < c->n; i++) {
		const struct path_addr told = addr_of(&c->v[i]);

		if (path_addr_equal(&told, addr))
			return true;
	}
	return false;
}

void path_set_replace(struct path_set *set, const struct candidates *c, bool (*is_lan)(void *arg, const struct ip *ip),
		      uint64_t now_ms)
{
	set->now_ms = now_ms;
	for (unsigned i = 0; i < PATH_CANDIDATES_MAX; i++) {
		struct path_entry *e = &set->entries[i];

		if (e->is_known && e->path.candidate != CANDIDATE_PEER_REFLEXIVE && !path_is_proven(e) &&
		    e != set->current && !is_among(c, &e->path.addr))
			entry_forget(set, e);
	}
	for (unsigned i = 0; i < c->n && i < WIRE_CANDIDATES_MAX; i++)
		path_set_add(set, &c->v[i], is_lan && is_lan(set->arg, &c->v[i].endpoint.ip), now_ms);
}

void path_set_forget(struct path_set *set, const struct ip *ip, uint64_t now_ms)
{
	set->now_ms = now_ms;
	for (unsigned i = 0; i < PATH_CANDIDATES_MAX; i++) {
		struct path_entry *e = &set->entries[i];

		if (!e->is_known || !ip_equal(&e->path.addr.endpoint.ip, ip))
			continue;
		e->n_proofs = 0;
		if (e == set->current) {
			e->is_given_up = true;
			path_choose(set, now_ms);
		}
		if (e == set->current)
			path_use(set, NULL, now_ms);
		entry_forget(set, e);
	}
}

/* ---------------------------------------------------------------- TCP */

void path_set_udp_blocked(struct path_set *set, bool is_blocked, uint64_t now_ms)
{
	set->now_ms = now_ms;
	if (is_blocked == set->is_udp_blocked)
		return;
	set->is_udp_blocked = is_blocked;
	if (!set->is_running)
		return;
	if (is_blocked) {
		if (set->tcp_start_ms != PATH_NEVER)
			set->tcp_start_ms = now_ms;
	} else if (!set->is_probing) { /* it will be answered now */
		set->backoff_ms = PATH_BACKOFF_MIN_MS;
		path_round_begin(set, now_ms);
	}
}

void path_set_tcp_opened(struct path_set *set, const struct path_addr *addr, uint64_t now_ms)
{
	struct path_entry *e = path_find(set, addr);

	set->now_ms = now_ms;
	for (unsigned i = 0; e && i < PATH_OUTSTANDING_MAX; i++)
		if (set->outstanding[i].entry == e)
			path_outstanding_restart(set, &set->outstanding[i], now_ms);
}

void path_set_tcp_closed(struct path_set *set, const struct path_addr *addr, uint64_t now_ms)
{
	struct path_entry *e = path_find(set, addr);

	set->now_ms = now_ms;
	if (!e)
		return;
	path_outstanding_forget(set, e);
	if (e == set->current) {
		if (!e->is_given_up)
			path_give_up(set, now_ms);
	} else if (path_is_proven(e)) {
		path_state_set(e, PATH_FAILED, now_ms);
	}
	e->n_proofs = 0;
	/* Where it came from was of that connection only. */
	if (e != set->current && e->path.candidate == CANDIDATE_PEER_REFLEXIVE)
		entry_forget(set, e);
}

void path_set_tcp_called(struct path_set *set, uint64_t now_ms)
{
	set->now_ms = now_ms;
	if (set->is_running)
		path_tcp_connect(set, now_ms);
}

/* ---------------------------------------------------------------- relays */

struct path_entry *path_add_relay(struct path_set *set, enum path_kind kind, uint8_t coordinator, uint64_t now_ms)
{
	const struct path_addr addr = { .kind = kind, .coordinator = coordinator };

	for (unsigned i = PATH_CANDIDATES_MAX; i < PATH_SET_MAX; i++)
		if (!set->entries[i].is_known)
			return entry_fill(set, &set->entries[i], &addr, now_ms);
	return NULL;
}

static void relay_lost(struct path_set *set, struct path_entry *e, uint64_t now_ms)
{
	e->is_usable = false;
	e->n_proofs = 0;
	path_mtu_forget(set, e);
	path_schedule_end(e);
	path_outstanding_forget(set, e);
	if (set->current == e) {
		e->is_given_up = true;
		path_choose(set, now_ms);
	}
	path_state_set(e, e->path.n_sent ? PATH_FAILED : PATH_NOT_TRIED, now_ms);
}

void path_set_relay(struct path_set *set, enum path_kind kind, uint8_t coordinator, bool is_usable, uint64_t now_ms)
{
	const struct path_addr addr = { .kind = kind, .coordinator = coordinator };
	struct path_entry *e = path_find(set, &addr);

	set->now_ms = now_ms;
	if (!is_usable) {
		if (e && e->is_usable)
			relay_lost(set, e, now_ms);
		return;
	}
	if (!e) {
		e = path_add_relay(set, kind, coordinator, now_ms);
		if (!e)
			return;
	} else if (!e->is_usable) {
		e->is_usable = true;
		e->is_given_up = false;
		if (set->is_running)
			path_schedule(set, e, now_ms);
	}
	if (set->current && set->current->is_given_up) /* anything is better than that */
		path_choose(set, now_ms);
}

void path_set_set_policy(struct path_set *set, enum path_policy policy, uint64_t now_ms)
{
	struct path_entry *cur = set->current;

	set->now_ms = now_ms;
	if (set->policy == policy)
		return;
	set->policy = policy;
	if (cur && !path_may_use(set, cur)) {
		path_use(set, NULL, now_ms);
		path_choose(set, now_ms);
	}
	if (set->is_running)
		path_set_start(set, now_ms);
}

/* ---------------------------------------------------------------- rounds, as the owner starts and stops them */

void path_set_start(struct path_set *set, uint64_t now_ms)
{
	set->now_ms = now_ms;
	set->is_running = true;
	set->backoff_ms = PATH_BACKOFF_MIN_MS;
	path_round_begin(set, now_ms);
}

void path_set_stop(struct path_set *set, uint64_t now_ms)
{
	set->now_ms = now_ms;
	set->is_running = false;
	set->is_probing = false;
	set->next_round_ms = PATH_NEVER;
	set->look_ms = PATH_NEVER;
	set->tcp_start_ms = PATH_NEVER;
	path_use(set, NULL, now_ms);
	path_outstanding_forget(set, NULL);
	for (unsigned i = 0; i < PATH_SET_MAX; i++) {
		struct path_entry *e = &set->entries[i];

		e->n_proofs = 0;
		e->is_given_up = false;
		path_mtu_forget(set, e);
		path_schedule_end(e);
		if (e->is_known)
			path_state_set(e, PATH_NOT_TRIED, now_ms);
	}
}

void path_set_network_changed(struct path_set *set, uint64_t now_ms)
{
	set->now_ms = now_ms;
	/* What is on its way was sent from where we no longer are, and tells nothing of where we are now. */
	path_outstanding_forget(set, NULL);
	path_watch_end(set);
	set->observed = (struct endpoint){ 0 };
	for (unsigned i = 0; i < PATH_SET_MAX; i++) {
		struct path_entry *e = &set->entries[i];

		e->n_proofs = 0;
		path_mtu_forget(set, e);
		e->path.rtt_us = e->path.last_rtt_us = e->path.jitter_us = 0;
		e->path.is_lossy = false;
		e->n_outcomes = 0;
		e->outcomes = 0;
		e->is_given_up = false;
		/* The occasion is our own, no stranger can make it: the round need not wait for the budget. */
		path_budget_reset(&e->planned);
		path_budget_reset(&e->urgent);
	}
	if (!set->is_running)
		return;
	set->backoff_ms = PATH_BACKOFF_MIN_MS;
	path_round_begin(set, now_ms);
	path_watch_start(set, now_ms);
}

/* ---------------------------------------------------------------- what others see */

const struct path *path_set_best(const struct path_set *set)
{
	return set->current ? &set->current->path : NULL;
}

const struct endpoint *path_set_observed(const struct path_set *set)
{
	return &set->observed;
}

bool path_set_uses_socket(const struct path_set *set, uint16_t socket)
{
	for (unsigned i = 0; i < PATH_CANDIDATES_MAX; i++) {
		const struct path_entry *e = &set->entries[i];

		if (e->is_known && e->path.addr.socket == socket && (e == set->current || e->path.state != PATH_FAILED))
			return true;
	}
	return false;
}

unsigned path_set_count(const struct path_set *set)
{
	unsigned n = 0;

	for (unsigned i = 0; i < PATH_SET_MAX; i++)
		n += set->entries[i].is_known;
	return n;
}

const struct path *path_set_at(const struct path_set *set, unsigned i)
{
	for (unsigned class = 0; class <= path_class(NULL); class ++) {
		for (unsigned k = 0; k < PATH_SET_MAX; k++) {
			const struct path_entry *e = &set->entries[k];

			if (e->is_known && path_class(e) == class && i-- == 0)
				return &e->path;
		}
	}
	return NULL;
}

uint64_t path_set_last_round_ms(const struct path_set *set)
{
	return set->round_ms;
}

bool path_set_is_probing(const struct path_set *set)
{
	return set->is_probing;
}
