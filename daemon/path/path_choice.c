/* Which path is used, and when the one in use is no longer believed.
 *
 * The path in use is
 *   believed   answers or data come over it; nothing is done
 *   watched    silent for too long, or an idle one whose turn to be kept open it is: a probe, and others while it is not
 *              answered; with PATH_UNSURE_PROBES of them out copies go over a second path
 *   given up   PATH_DEAD_PROBES unanswered: another is used. Where there is no other it stays in use, as better than
 *              none, until one proves itself. */
#include "daemon/path/path_set_private.h"

#define WATCH_LEAST_MS 200
#define WATCH_MOST_MS 1000
#define WATCH_UNKNOWN_MS 400 /* no RTT yet */

/* 0 is best; that of NULL is worse than all. */
unsigned path_class(const struct path_entry *e)
{
	if (!e)
		return 5;
	switch (e->path.addr.kind) {
	case PATH_UDP:
		return e->path.is_lan ? 0 : 1;
	case PATH_TCP:
		return 2;
	case PATH_RELAY_UDP:
		return 3;
	case PATH_RELAY_TCP:
	case PATH_NONE:
		break;
	}
	return 4;
}

bool path_is_trusted(const struct path_set *set, const struct path_entry *e, uint64_t now_ms)
{
	if (!e->is_known || !path_may_use(set, e) || e->is_given_up || !path_is_proven(e))
		return false;
	return !path_is_udp(e) || e == set->current || now_ms - e->path.last_answer_ms <= PATH_FRESH_MS;
}

/* A lossy path is better than none. */
static unsigned rank_of(const struct path_entry *e)
{
	return path_class(e) + (e->path.is_lossy ? path_class(NULL) : 0);
}

/* Lower RTT first; with equal ones IPv6, which no NAT can forget. */
static bool is_better(const struct path_entry *a, const struct path_entry *b)
{
	if (rank_of(a) != rank_of(b))
		return rank_of(a) < rank_of(b);
	if (a->path.rtt_us != b->path.rtt_us)
		return a->path.rtt_us && (!b->path.rtt_us || a->path.rtt_us < b->path.rtt_us);
	return a->path.addr.endpoint.ip.len > b->path.addr.endpoint.ip.len;
}

static struct path_entry *best_trusted(const struct path_set *set, const struct path_entry *except, uint64_t now_ms)
{
	const struct path_entry *best = NULL;

	for (unsigned i = 0; i < PATH_SET_MAX; i++) {
		const struct path_entry *e = &set->entries[i];

		if (e != except && path_is_trusted(set, e, now_ms) && (!best || is_better(e, best)))
			best = e;
	}
	return (struct path_entry *)best;
}

/* A relay that was not tried yet, or not since the network changed: the owner is connected to it, which is a good sign. */
static struct path_entry *hopeful_relay(const struct path_set *set, const struct path_entry *except)
{
	const struct path_entry *best = NULL;

	for (unsigned i = PATH_CANDIDATES_MAX; i < PATH_SET_MAX; i++) {
		const struct path_entry *e = &set->entries[i];

		if (e != except && e->is_known && path_may_use(set, e) && !e->is_given_up &&
		    (!best || is_better(e, best)))
			best = e;
	}
	return (struct path_entry *)best;
}

struct path_entry *path_second_best(const struct path_set *set, uint64_t now_ms)
{
	struct path_entry *e = best_trusted(set, set->current, now_ms);

	return e ? e : hopeful_relay(set, set->current);
}

static bool is_worth_a_change(const struct path_entry *to, const struct path_entry *from)
{
	/* What varies costs as much as it varies. */
	uint64_t was = from->path.rtt_us + (uint64_t)from->path.jitter_us,
		 is = to->path.rtt_us + (uint64_t)to->path.jitter_us, gain = was / 10 > 3000 ? was / 10 : 3000;

	return to->path.rtt_us && was > gain && is < was - gain;
}

void path_use(struct path_set *set, struct path_entry *e, uint64_t now_ms)
{
	struct path_entry *old = set->current;

	if (old == e)
		return;
	path_mtu_use(set, e, now_ms);
	path_loss_reset(set);
	set->current = e;
	path_watch_end(set);
	if (old)
		path_state_set(old, path_is_proven(old) ? PATH_STANDBY : PATH_FAILED, now_ms);
	if (e)
		path_state_set(e, PATH_IN_USE, now_ms);
	if (e && path_is_udp(e))
		path_tcp_stand_down(set, now_ms);
}

/* Says so once: the change for the sake of RTT that it allows is taken. */
static bool is_better_than_current(struct path_set *set, const struct path_entry *e, uint64_t now_ms)
{
	const struct path_entry *cur = set->current;

	if (!path_is_proven(cur)) /* being checked anew: it has the time, and a worse one helps out as the extra path */
		return rank_of(e) <= rank_of(cur);
	if (rank_of(e) != rank_of(cur))
		return rank_of(e) < rank_of(cur);
	if (!is_worth_a_change(e, cur) || (set->swapped_ms && now_ms - set->swapped_ms < PATH_SETTLE_MS))
		return false;
	set->swapped_ms = now_ms;
	return true;
}

void path_choose(struct path_set *set, uint64_t now_ms)
{
	struct path_entry *cur = set->current, *best = best_trusted(set, NULL, now_ms);

	if (cur && cur->is_given_up) {
		if (!best)
			best = hopeful_relay(set, NULL);
		if (best || !cur->is_usable)
			path_use(set, best, now_ms);
	} else if (best && (!cur || (best != cur && is_better_than_current(set, best, now_ms)))) {
		path_use(set, best, now_ms);
	}
}

void path_give_up(struct path_set *set, uint64_t now_ms)
{
	struct path_entry *e = set->current;

	e->is_given_up = true;
	e->n_proofs = 0;
	path_loss_given_up(e, now_ms);
	path_mtu_forget(set, e);
	path_watch_end(set);
	path_choose(set, now_ms);
	if (!set->is_probing) {
		set->backoff_ms = PATH_BACKOFF_MIN_MS;
		path_round_begin(set, now_ms);
	}
	if (set->env->silent)
		set->env->silent(set->arg);
}

const struct path *path_set_extra(const struct path_set *set)
{
	const struct path_watch *w = &set->watch;
	const struct path_entry *e;

	if (!w->n_sent || (w->n_sent < PATH_UNSURE_PROBES && !w->was_long))
		return NULL;
	e = path_second_best(set, set->now_ms);
	return e ? &e->path : NULL;
}

/* ---------------------------------------------------------------- watching the path in use */

bool path_is_sending(const struct path_set *set, uint64_t now_ms)
{
	uint64_t sent_ms = set->activity.last_sent_ms;

	return sent_ms && now_ms < sent_ms + PATH_SENDING_MS;
}

static uint64_t heard_ms(const struct path_set *set)
{
	const struct path *p = &set->current->path;
	uint64_t data_ms = set->activity.path_received_ms;

	return data_ms > p->last_answer_ms ? data_ms : p->last_answer_ms;
}

/* Data went out and nothing came back. */
static bool is_silent(const struct path_set *set, uint64_t now_ms)
{
	uint64_t heard = heard_ms(set);

	return path_is_sending(set, now_ms) && set->activity.last_sent_ms > heard && now_ms >= heard + PATH_SILENCE_MS;
}

void path_set_set_keepalive(struct path_set *set, uint64_t keepalive_ms)
{
	set->keepalive_ms = keepalive_ms;
}

/* 0: none. */
static uint64_t keepalive_ms(const struct path_set *set, const struct path_entry *e)
{
	return path_is_tcp(e) ? PATH_TCP_KEEPALIVE_MS : set->keepalive_ms;
}

/* Silent for longer, a path may be closed; where nothing closes, the other end may be gone. */
static uint64_t long_silence_ms(const struct path_set *set, const struct path_entry *e)
{
	uint64_t ms = keepalive_ms(set, e);

	return (ms ? ms : PATH_KEEPALIVE_MS) + PATH_LATE_MS;
}

static uint64_t keepalive_due_ms(const struct path_set *set)
{
	const struct path_entry *e = set->current;
	uint64_t last_ms = set->activity.last_sent_ms;

	if (!set->activity.in_contact || path_is_relay(e) || !keepalive_ms(set, e))
		return PATH_NEVER;
	if (e->path.last_sent_ms > last_ms)
		last_ms = e->path.last_sent_ms;
	if (e->replied_ms > last_ms)
		last_ms = e->replied_ms;
	return (last_ms + keepalive_ms(set, e)) / PATH_KEEPALIVE_GRID_MS * PATH_KEEPALIVE_GRID_MS;
}

uint64_t path_wait_ms(const struct path *p)
{
	uint64_t wait = p->rtt_us ? p->rtt_us / 1000 * 3 / 2 + 50 : WATCH_UNKNOWN_MS;

	if (wait < WATCH_LEAST_MS)
		return WATCH_LEAST_MS;
	return wait > WATCH_MOST_MS ? WATCH_MOST_MS : wait;
}

static void watch_probe(struct path_set *set, uint64_t now_ms)
{
	set->watch.n_sent++;
	if (set->watch.n_sent == PATH_UNSURE_PROBES && set->env->unsure)
		set->env->unsure(set->arg);
	set->watch.due_ms = now_ms + path_wait_ms(&set->current->path);
	path_probe_send_metered(set, set->current, 0, now_ms);
}

void path_watch_start(struct path_set *set, uint64_t now_ms)
{
	struct path_entry *e = set->current;

	if (!e || e->is_given_up || set->watch.n_sent)
		return;
	set->watch.since_ms = now_ms;
	set->watch.was_long = !path_is_proven(e) || now_ms >= heard_ms(set) + long_silence_ms(set, e);
	watch_probe(set, now_ms);
}

void path_watch_end(struct path_set *set)
{
	set->watch = (struct path_watch){ 0 };
}

/* While there is traffic it is looked at once a second; later the caller comes when it starts again. */
static void look_again(struct path_set *set, uint64_t now_ms)
{
	uint64_t due;

	if (!path_is_sending(set, now_ms))
		return;
	due = heard_ms(set) + PATH_SILENCE_MS;
	set->look_ms = due > now_ms ? due : now_ms + PATH_SILENCE_MS;
}

/* Goes on with a watch. */
static void watch_on(struct path_set *set, uint64_t now_ms)
{
	const struct path_watch *w = &set->watch;

	if (path_is_proven(set->current) && set->activity.path_received_ms > w->since_ms)
		path_watch_end(set);
	else if (now_ms >= w->due_ms && w->n_sent >= PATH_DEAD_PROBES)
		path_give_up(set, now_ms);
	else if (now_ms >= w->due_ms)
		watch_probe(set, now_ms);
}

void path_watch_tick(struct path_set *set, uint64_t now_ms)
{
	if (set->watch.n_sent)
		watch_on(set, now_ms);
	set->look_ms = PATH_NEVER;
	if (!set->current || set->current->is_given_up)
		return;
	if (is_silent(set, now_ms) || now_ms >= keepalive_due_ms(set))
		path_watch_start(set, now_ms);
	look_again(set, now_ms);
}

uint64_t path_watch_next_ms(const struct path_set *set)
{
	uint64_t keepalive_ms;

	if (!set->current || set->current->is_given_up)
		return PATH_NEVER;
	if (set->watch.n_sent)
		return set->watch.due_ms;
	keepalive_ms = keepalive_due_ms(set);
	return keepalive_ms < set->look_ms ? keepalive_ms : set->look_ms;
}
