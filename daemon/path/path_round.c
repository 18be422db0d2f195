/* When the next probe is due.
 *
 * Each path goes through the steps of a round on its own: those known when the round begins all at once, others from the
 * moment they are learned. One probe leaves a tick, PATH_PACE_MS apart, the most urgent first. */
#include "daemon/path/path_set_private.h"

static const struct {
	uint16_t after_ms;
	bool is_verdict; /* sends nothing: says whether the path failed */
} steps[] = {
	{ 0, false },
	{ 100, false },
	{ 250, false },
	{ 500, false },
	{ 1000, false },
	{ PATH_PROBING_MS, true },
	{ PATH_BUDGET_MS, false },
	{ 8000, false },
};
#define PATH_STEPS (sizeof(steps) / sizeof(steps[0]))

void path_schedule(struct path_set *set, struct path_entry *e, uint64_t now_ms)
{
	if (!e->is_usable)
		return;
	e->step = 0;
	e->base_ms = now_ms;
	if (e != set->current && !path_is_proven(e))
		path_state_set(e, PATH_PROBING, now_ms);
}

void path_schedule_end(struct path_entry *e)
{
	e->step = PATH_STEPS;
	e->urgent_ms = PATH_NEVER;
}

void path_round_begin(struct path_set *set, uint64_t now_ms)
{
	set->round_ms = now_ms;
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
	if (cur && !path_is_relay(cur) && path_is_proven(cur))
		return PATH_NEVER;
	return set->next_round_ms;
}

/* ---------------------------------------------------------------- what is due for one path */

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static bool is_verdict_next(const struct path_entry *e)
{
	return e->step < PATH_STEPS && steps[e->step].is_verdict;
}

/* Where the budget held probes back, the last of them has its time to be answered. */
static uint64_t verdict_due_ms(const struct path_entry *e)
{
	if (!is_verdict_next(e))
		return PATH_NEVER;
	return later(e->base_ms + steps[e->step].after_ms, e->path.last_sent_ms + PATH_ANSWER_MS);
}

/* Nothing carries data, yet there is data: try everything once a second. */
static uint64_t lost_due_ms(const struct path_set *set, const struct path_entry *e)
{
	uint64_t due;

	if (set->current && !set->current->is_given_up)
		return PATH_NEVER;
	due = later(e->path.last_sent_ms + PATH_LOST_MS, path_budget_free_ms(&e->planned));
	return path_is_sending(set, due) ? due : PATH_NEVER;
}

static uint64_t planned_due_ms(const struct path_set *set, const struct path_entry *e)
{
	uint64_t due = PATH_NEVER;

	if (e->step < PATH_STEPS && !is_verdict_next(e))
		due = later(e->base_ms + steps[e->step].after_ms, path_budget_free_ms(&e->planned));
	return sooner(due, lost_due_ms(set, e));
}

static uint64_t urgent_due_ms(const struct path_entry *e)
{
	return e->urgent_ms == PATH_NEVER ? PATH_NEVER : later(e->urgent_ms, path_budget_free_ms(&e->urgent));
}

static uint64_t probe_due_ms(const struct path_set *set, const struct path_entry *e)
{
	if (!e->is_known || !e->is_usable)
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
		if (e->step < PATH_STEPS && !is_verdict_next(e) && e->base_ms + steps[e->step].after_ms <= now_ms)
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
	path_watch_tick(set, now_ms);
	probes(set, now_ms);
	path_mtu_tick(set, now_ms);
}

uint64_t path_set_next_ms(const struct path_set *set)
{
	uint64_t next;

	if (!set->is_running)
		return PATH_NEVER;
	next = sooner(sooner(path_set_next_round_ms(set), path_watch_next_ms(set)), path_mtu_next_ms(set));
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
