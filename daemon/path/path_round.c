/* When the next probe is due.
 *
 * Each path goes through the steps of a round on its own: those known when the round begins all at once, others from the
 * moment they are learned. One probe leaves a tick, PATH_PACE_MS apart, the most urgent first. */
#include "daemon/path/path_set_private.h"

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

struct step {
	uint16_t after_ms;
	bool is_verdict; /* sends nothing: says whether the path failed */
};
static const struct step steps[] = {
	{ 0, false },
	{ 100, false },
	{ 250, false },
	{ 500, false },
	{ 1000, false },
	{ PATH_PROBING_MS, true },
	{ PATH_BUDGET_MS, false },
	{ 8000, false },
};
/* Each makes a connection anew that was refused: the peer's SYN may have come too early for our NAT, or ours for the peer's. */
static const struct step tcp_steps[] = {
	{ 0, false }, { 1000, false }, { 2000, false }, { 3000, false }, { 4000, false }, { 5500, true },
};
#define N_STEPS (sizeof(steps) / sizeof(steps[0]))
#define N_TCP_STEPS (sizeof(tcp_steps) / sizeof(tcp_steps[0]))
#define STEP_NONE UINT8_MAX

/* NULL: no more of them. */
static const struct step *next_step(const struct path_entry *e)
{
	if (path_is_tcp(e))
		return e->step < N_TCP_STEPS ? &tcp_steps[e->step] : NULL;
	return e->step < N_STEPS ? &steps[e->step] : NULL;
}

static void schedule_at(struct path_set *set, struct path_entry *e, uint64_t at_ms)
{
	e->step = 0;
	e->base_ms = at_ms;
	if (e != set->current && !path_is_proven(e))
		path_state_set(e, PATH_PROBING, set->now_ms);
}

void path_schedule_end(struct path_entry *e)
{
	e->step = STEP_NONE;
	e->urgent_ms = PATH_NEVER;
}

/* ---------------------------------------------------------------- TCP: when nothing better is there */

static bool is_tcp_needed(const struct path_set *set)
{
	for (unsigned i = 0; i < PATH_CANDIDATES_MAX; i++)
		if (path_is_trusted(set, &set->entries[i], set->now_ms))
			return false;
	return true;
}

static void tcp_plan(struct path_set *set, uint64_t now_ms)
{
	uint64_t at_ms = set->round_ms + (set->is_udp_blocked ? 0 : PATH_TCP_LATER_MS);

	if (!is_tcp_needed(set))
		return;
	if (at_ms < now_ms)
		at_ms = now_ms;
	if (at_ms < set->tcp_start_ms)
		set->tcp_start_ms = at_ms;
}

static bool is_tcp_candidate(const struct path_entry *e)
{
	return e->is_known && path_is_tcp(e) && e->path.candidate != CANDIDATE_PEER_REFLEXIVE;
}

void path_tcp_connect(struct path_set *set, uint64_t at_ms)
{
	if (!is_tcp_needed(set))
		return;
	for (unsigned i = 0; i < PATH_CANDIDATES_MAX; i++)
		if (is_tcp_candidate(&set->entries[i]) && path_may_use(set, &set->entries[i]))
			schedule_at(set, &set->entries[i], at_ms);
}

static void tcp_start(struct path_set *set, uint64_t now_ms)
{
	uint32_t rtt_us = set->current ? set->current->path.rtt_us : 0;

	set->tcp_start_ms = PATH_NEVER;
	if (!is_tcp_needed(set))
		return;
	if (set->env->tcp_call)
		set->env->tcp_call(set->arg);
	path_tcp_connect(set, now_ms + rtt_us / 2000);
}

void path_tcp_stand_down(struct path_set *set, uint64_t now_ms)
{
	set->tcp_start_ms = PATH_NEVER;
	for (unsigned i = 0; i < PATH_CANDIDATES_MAX; i++) {
		struct path_entry *e = &set->entries[i];

		if (!is_tcp_candidate(e))
			continue;
		path_schedule_end(e);
		if (e->path.state == PATH_PROBING)
			path_state_set(e, PATH_NOT_TRIED, now_ms);
	}
}

/* ---------------------------------------------------------------- rounds */

void path_schedule(struct path_set *set, struct path_entry *e, uint64_t now_ms)
{
	if (!path_may_use(set, e))
		return;
	if (!path_is_tcp(e))
		schedule_at(set, e, now_ms);
	else if (e != set->current || e->is_given_up)
		tcp_plan(set, now_ms);
	else if (!path_is_proven(e))
		schedule_at(set, e, now_ms); /* its connection lasts, or so it seems: does it carry anything? */
}

void path_round_begin(struct path_set *set, uint64_t now_ms)
{
	set->now_ms = now_ms;
	set->round_ms = now_ms;
	set->tcp_start_ms = PATH_NEVER;
	set->is_probing = true;
	set->next_round_ms = now_ms + set->backoff_ms;
	set->backoff_ms = set->backoff_ms * 2 < PATH_BACKOFF_MAX_MS ? set->backoff_ms * 2 : PATH_BACKOFF_MAX_MS;
	for (unsigned i = 0; i < PATH_SET_MAX; i++)
		if (set->entries[i].is_known)
			path_schedule(set, &set->entries[i], now_ms);
}

uint64_t path_set_next_round_ms(const struct path_set *set)
{
	const struct path_entry *cur = set->current;

	if (!set->is_running || !set->activity.in_contact)
		return PATH_NEVER;
	if (cur && path_is_udp(cur) && path_is_proven(cur))
		return PATH_NEVER;
	if (cur && path_is_tcp(cur) && path_is_proven(cur))
		return set->round_ms + PATH_TCP_ROUND_MS;
	return set->next_round_ms;
}

/* ---------------------------------------------------------------- what is due for one path */

static bool is_verdict_next(const struct path_entry *e)
{
	const struct step *step = next_step(e);

	return step && step->is_verdict;
}

/* Where the budget held probes back, the last of them has its time to be answered. */
static uint64_t verdict_due_ms(const struct path_entry *e)
{
	if (!is_verdict_next(e))
		return PATH_NEVER;
	return later(e->base_ms + next_step(e)->after_ms, e->path.last_sent_ms + PATH_ANSWER_MS);
}

/* Nothing carries data, yet there is data: try everything once a second. */
static uint64_t lost_due_ms(const struct path_set *set, const struct path_entry *e)
{
	uint64_t due;

	if (set->current && !set->current->is_given_up)
		return PATH_NEVER;
	if (path_is_tcp(e) && set->tcp_start_ms != PATH_NEVER)
		return PATH_NEVER; /* its turn has not come */
	due = later(e->path.last_sent_ms + PATH_LOST_MS, path_budget_free_ms(&e->planned));
	return path_is_sending(set, due) ? due : PATH_NEVER;
}

static uint64_t planned_due_ms(const struct path_set *set, const struct path_entry *e)
{
	const struct step *step = next_step(e);
	uint64_t due = PATH_NEVER;

	if (step && !step->is_verdict)
		due = later(e->base_ms + step->after_ms, path_budget_free_ms(&e->planned));
	return sooner(due, lost_due_ms(set, e));
}

static uint64_t urgent_due_ms(const struct path_entry *e)
{
	return e->urgent_ms == PATH_NEVER ? PATH_NEVER : later(e->urgent_ms, path_budget_free_ms(&e->urgent));
}

static uint64_t probe_due_ms(const struct path_set *set, const struct path_entry *e)
{
	if (!e->is_known || !path_may_use(set, e))
		return PATH_NEVER;
	return sooner(planned_due_ms(set, e), urgent_due_ms(e));
}

/* A round went by: without an answer the path is not believed any more. */
static void verdict(struct path_set *set, struct path_entry *e, uint64_t now_ms)
{
	e->step++;
	if (e->path.last_answer_ms >= e->base_ms)
		return;
	if (e == set->current) {
		if (!e->is_given_up && set->activity.path_received_ms < e->base_ms)
			path_give_up(set, now_ms);
		return;
	}
	e->n_proofs = 0;
	path_mtu_forget(set, e);
	path_state_set(e, PATH_FAILED, now_ms);
	if (path_is_tcp(e) && set->env->tcp_drop)
		set->env->tcp_drop(set->arg, &e->path.addr);
}

static void verdicts(struct path_set *set, uint64_t now_ms)
{
	if (now_ms >= set->round_ms + PATH_PROBING_MS)
		set->is_probing = false;
	for (unsigned i = 0; i < PATH_SET_MAX; i++) {
		struct path_entry *e = &set->entries[i];

		if (e->is_known && verdict_due_ms(e) <= now_ms)
			verdict(set, e, now_ms);
	}
}

static void probe_one(struct path_set *set, struct path_entry *e, uint64_t now_ms)
{
	if (urgent_due_ms(e) <= now_ms) {
		e->urgent_ms = PATH_NEVER;
		path_budget_spend(&e->urgent, now_ms);
	} else {
		const struct step *step = next_step(e);

		if (step && !step->is_verdict && e->base_ms + step->after_ms <= now_ms)
			e->step++;
		path_budget_spend(&e->planned, now_ms);
	}
	path_probe_send(set, e, now_ms);
	set->pace_ms = now_ms + PATH_PACE_MS;
}

static void probes(struct path_set *set, uint64_t now_ms)
{
	struct path_entry *found = NULL;
	bool found_urgent = false;
	uint64_t found_due = PATH_NEVER;

	if (now_ms < set->pace_ms)
		return;
	for (unsigned i = 0; i < PATH_SET_MAX; i++) {
		struct path_entry *e = &set->entries[i];
		uint64_t due = probe_due_ms(set, e);
		bool is_urgent;

		if (due > now_ms)
			continue;
		is_urgent = urgent_due_ms(e) <= now_ms;
		if (found && (found_urgent > is_urgent || (found_urgent == is_urgent && found_due <= due)))
			continue;
		found = e;
		found_urgent = is_urgent;
		found_due = due;
	}
	if (found)
		probe_one(set, found, now_ms);
}

/* ---------------------------------------------------------------- tick */

void path_set_tick(struct path_set *set, const struct path_activity *activity, uint64_t now_ms)
{
	set->now_ms = now_ms;
	set->activity = *activity;
	if (!set->is_running)
		return;
	verdicts(set, now_ms);
	if (path_set_next_round_ms(set) <= now_ms)
		path_round_begin(set, now_ms);
	if (set->tcp_start_ms <= now_ms)
		tcp_start(set, now_ms);
	path_watch_tick(set, now_ms);
	path_loss_tick(set, now_ms);
	probes(set, now_ms);
	path_mtu_tick(set, now_ms);
}

uint64_t path_set_next_ms(const struct path_set *set)
{
	uint64_t next;

	if (!set->is_running)
		return PATH_NEVER;
	next = sooner(sooner(path_set_next_round_ms(set), path_watch_next_ms(set)), path_mtu_next_ms(set));
	next = sooner(next, set->tcp_start_ms);
	next = sooner(next, path_loss_next_ms(set));
	if (set->is_probing)
		next = sooner(next, set->round_ms + PATH_PROBING_MS);
	for (unsigned i = 0; i < PATH_SET_MAX; i++) {
		const struct path_entry *e = &set->entries[i];
		uint64_t due = probe_due_ms(set, e);

		if (due != PATH_NEVER)
			next = sooner(next, later(due, set->pace_ms));
		if (e->is_known)
			next = sooner(next, verdict_due_ms(e));
	}
	return next;
}
