/* How much of the data arrives.
 *
 * A metered probe of the path in use says how many inner packets were sent before it, its answer how many had arrived: what
 * lies between two such answers is the path's loss, measured on the traffic itself. With little traffic, and for paths not in
 * use, the probes' own fates have to do; each is lost twice as easily as a datagram, on its way there and back.
 * A path that loses much is compared with the next best by a quick burst of probes. A relay takes over only where the traffic
 * is well within its rate: what overloads a direct path would swamp it, and a loss from overload is none of the path's. */
#include "daemon/path/path_set_private.h"

#define ASK_MS 250          /* between two metered probes of the path in use, */
#define ASK_SOON_MS 80      /* when one of the last was lost: the answer is what tells */
#define ASK_PACKETS 10      /* at least so much data between them */
#define FEW_OUTCOMES 8      /* where there is little data: so many probes, and */
#define FEW_LOST 3          /* so many of them lost, are worth a comparison */
#define WINDOW_MS 2500      /* of data counted */
#define WINDOW_PACKETS 40   /* fewer say nothing */
#define LOSSY_PERMILLE 50   /* worth a comparison */
#define LOSSY_INTERVALS 2   /* between samples, in so many of them */
#define LOSSY_PACKETS 8     /* so many at least: counts may be off by what is under way */
#define RIVAL_MS 60         /* between two probes of the rival */
#define RIVAL_CLEAN 8       /* answers in a row, or */
#define RIVAL_OUTCOMES 16   /* outcomes with one lost, make it the better one */
#define COMPARE_MIN_MS 5000 /* after a comparison that changed nothing, doubled each time */
#define COMPARE_MAX_MS 60000
#define HEAL_MS 250      /* between two probes of a path that was left for its loss */
#define HEAL_OUTCOMES 20 /* of which one may be lost */
#define RATE_MS 500
#define APART_MS 3000

void path_loss_reset(struct path_set *set)
{
	struct path_loss *l = &set->loss;

	l->n = 0;
	l->rival = NULL;
	l->asked_n = set->activity.n_sent;
	for (unsigned i = 0; i < PATH_OUTSTANDING_MAX; i++)
		set->outstanding[i].n_data = 0; /* what they would tell begins before */
}

void path_loss_forget(struct path_set *set, const struct path_entry *e)
{
	if (set->loss.rival == e)
		set->loss.rival = NULL;
}

/* Lost of the last n metered probes, both ways, in permille. */
static unsigned outcomes_lost(const struct path_entry *e, unsigned n)
{
	uint32_t last = n < 32 ? e->outcomes & ((1u << n) - 1) : e->outcomes;

	return (unsigned)__builtin_popcount(last) * 1000 / n;
}

/* What was sent between two samples that follow each other, the newer at `at`, and what of it did not arrive: less than nothing
 * where the earlier probe overtook a train. */
static void interval(const struct path_loss *l, unsigned at, int64_t *n_sent, int64_t *n_lost)
{
	unsigned before = (at + PATH_LOSS_SAMPLES - 1) % PATH_LOSS_SAMPLES;

	*n_sent = (int64_t)(l->v[at].n_sent - l->v[before].n_sent);
	*n_lost = *n_sent - (uint32_t)(l->v[at].n_received - l->v[before].n_received);
}

struct data_loss {
	int64_t n_sent, n_lost;
	unsigned n_lossy; /* intervals */
};

static bool is_much(int64_t n_lost, int64_t n_sent)
{
	return n_lost > 0 && n_lost * 1000 >= n_sent * LOSSY_PERMILLE;
}

/* Data of the last WINDOW_MS that was sent, and how much of it did not arrive. */
static bool data_lost(const struct path_set *set, uint64_t now_ms, struct data_loss *d)
{
	const struct path_loss *l = &set->loss;
	int64_t sent, lost;

	*d = (struct data_loss){ 0 };
	for (unsigned i = 0; i + 1 < l->n && i + 1 < PATH_LOSS_SAMPLES; i++) {
		unsigned at = (l->n - 1 - i) % PATH_LOSS_SAMPLES;

		if (now_ms - l->v[(at + PATH_LOSS_SAMPLES - 1) % PATH_LOSS_SAMPLES].ms > WINDOW_MS)
			break;
		interval(l, at, &sent, &lost);
		d->n_sent += sent;
		d->n_lost += lost;
		d->n_lossy += is_much(lost, sent);
	}
	if (d->n_lost < 0)
		d->n_lost = 0;
	return d->n_sent >= WINDOW_PACKETS;
}

static void compare_with(struct path_set *set, struct path_entry *rival, uint64_t now_ms)
{
	rival->n_outcomes = 0;
	rival->outcomes = 0;
	set->loss.rival = rival;
	set->loss.compared_ms = now_ms;
	set->loss.rival_ms = now_ms;
	set->loss.sure = 0;
}

/* Whatever else it is, a relay has its limits. */
static bool has_room(const struct path_set *set, const struct path_entry *e)
{
	uint64_t most = set->activity.relay_bit_s;

	return !path_is_relay(e) || most == 0 || set->loss.bit_s < most / 2;
}

/* What a relay loses over UDP is lost for want of room, or on the way to the coordinator: TCP inside TCP mends neither, and what is
 * too much for the one is too much for the other. That is for when UDP does not get there at all. */
static bool is_worth_comparing(const struct path_set *set, const struct path_entry *e)
{
	return has_room(set, e) && !(path_is_relay(set->current) && e->path.addr.kind == PATH_RELAY_TCP);
}

/* It gained nothing. */
static void compare_later(struct path_loss *l, uint64_t now_ms)
{
	l->compare_wait_ms = l->compare_wait_ms ? l->compare_wait_ms * 2 : COMPARE_MIN_MS;
	if (l->compare_wait_ms > COMPARE_MAX_MS)
		l->compare_wait_ms = COMPARE_MAX_MS;
	l->compare_ms = now_ms + PATH_LOSSY_MS + l->compare_wait_ms;
}

/* The one in use is no better: what was left for its loss is as good as any. */
static void forgive(struct path_set *set, uint64_t now_ms)
{
	for (unsigned i = 0; i < PATH_SET_MAX; i++) {
		struct path_entry *e = &set->entries[i];

		if (e->is_known && e->path.is_lossy && now_ms - e->lossy_ms >= PATH_LOSSY_MS)
			e->path.is_lossy = false;
	}
	compare_later(&set->loss, now_ms);
	path_choose(set, now_ms);
}

/* The path in use is lossy: is another better? */
static void seek_rival(struct path_set *set, uint64_t now_ms)
{
	struct path_entry *rival;

	if (set->loss.rival || now_ms < set->loss.compare_ms)
		return;
	rival = path_second_best(set, now_ms);
	if (!rival || !is_worth_comparing(set, rival))
		return;
	if (rival->path.is_lossy)
		forgive(set, now_ms);
	else
		compare_with(set, rival, now_ms);
}

void path_loss_sample(struct path_set *set, uint64_t n_sent, uint32_t n_received, uint64_t now_ms)
{
	struct path_loss *l = &set->loss;
	unsigned at = l->n % PATH_LOSS_SAMPLES;
	struct data_loss d;

	if (l->n && n_sent <= l->v[(l->n - 1) % PATH_LOSS_SAMPLES].n_sent)
		return; /* an older probe's answer */
	l->v[at].ms = now_ms;
	l->v[at].n_sent = n_sent;
	l->v[at].n_received = n_received;
	l->n++;
	if (!data_lost(set, now_ms, &d) || d.n_lost > d.n_sent)
		return;
	set->current->path.loss_permille = (int32_t)(d.n_lost * 1000 / d.n_sent);
	if (d.n_lost < LOSSY_PACKETS || !is_much(d.n_lost, d.n_sent))
		return;
	/* What is too long for a path is lost too, while its short probes are not. */
	if (path_mtu_on_loss(set, l->v[(l->n - 2) % PATH_LOSS_SAMPLES].ms, now_ms))
		return;
	/* All that an outage swallowed lies between two samples. A comparison may begin before it is known to be more than that. */
	seek_rival(set, now_ms);
	if (d.n_lossy >= LOSSY_INTERVALS)
		l->sure |= PATH_LOSS_OF_DATA;
}

static void mark_lossy(struct path_entry *e, uint64_t now_ms)
{
	e->path.is_lossy = true;
	e->lossy_ms = now_ms;
	e->n_outcomes = 0;
	e->outcomes = 0;
}

/* Of so many outcomes, some lost here and there: an outage loses in a row. */
static bool is_patchy(uint32_t outcomes)
{
	uint32_t few = outcomes & ((1u << FEW_OUTCOMES) - 1);

	return __builtin_popcount(few) >= FEW_LOST && __builtin_popcount(few & ~(few << 1)) >= 2;
}

void path_loss_given_up(struct path_entry *e, uint64_t now_ms)
{
	/* The last ones are the silence itself. */
	if (e->n_outcomes >= FEW_OUTCOMES + PATH_DEAD_PROBES && is_patchy(e->outcomes >> PATH_DEAD_PROBES))
		mark_lossy(e, now_ms);
}

static void leave_for(struct path_set *set, struct path_entry *rival, uint64_t now_ms)
{
	mark_lossy(set->current, now_ms);
	set->loss.heal_ms = now_ms + HEAL_MS;
	path_use(set, rival, now_ms);
}

/* Clearly the better one? What everything on our way loses it would lose too. */
static void judge_rival(struct path_set *set, uint64_t now_ms)
{
	struct path_loss *l = &set->loss;
	struct path_entry *rival = l->rival, *cur = set->current;
	unsigned n = rival->n_outcomes, lost = outcomes_lost(rival, n);
	bool is_clean = (n >= RIVAL_CLEAN && lost == 0) || (n >= RIVAL_OUTCOMES && lost <= 1000 / RIVAL_OUTCOMES);

	if ((!is_clean || !l->sure) && n < RIVAL_OUTCOMES)
		return;
	if (!l->sure) { /* it was an outage */
		l->rival = NULL;
		return;
	}
	if (is_clean && path_mtu_on_loss(set, l->compared_ms, now_ms))
		return; /* soon it is known whether it is the length */
	l->rival = NULL;
	rival->path.loss_permille = (int32_t)lost / 2;
	if (is_clean && cur && path_is_proven(rival) && has_room(set, rival)) {
		leave_for(set, rival, now_ms);
		return;
	}
	compare_later(l, now_ms);
}

static void judge_healing(struct path_set *set, struct path_entry *e, uint64_t now_ms)
{
	if (e->n_outcomes < HEAL_OUTCOMES || now_ms - e->lossy_ms < PATH_LOSSY_MS)
		return;
	e->path.loss_permille = (int32_t)outcomes_lost(e, HEAL_OUTCOMES) / 2;
	if (outcomes_lost(e, HEAL_OUTCOMES) > 1000 / HEAL_OUTCOMES)
		return;
	e->path.is_lossy = false;
	set->loss.compare_wait_ms = 0;
	path_choose(set, now_ms);
}

static void judge_few(struct path_set *set, uint64_t now_ms)
{
	struct data_loss d;

	if (data_lost(set, now_ms, &d))
		return; /* the data itself says how it is */
	set->current->path.loss_permille = (int32_t)outcomes_lost(set->current, FEW_OUTCOMES) / 2;
	seek_rival(set, now_ms);
	set->loss.sure |= PATH_LOSS_OF_PROBES;
}

static void note_outcome(struct path_set *set, struct path_entry *e, bool is_lost, uint64_t now_ms)
{
	/* Losses that lie far apart are none of one kind: each was an outage of its own. */
	if (is_lost && now_ms - e->lost_ms > APART_MS)
		e->outcomes = e->n_outcomes = 0;
	if (is_lost)
		e->lost_ms = now_ms;
	e->outcomes = e->outcomes << 1 | is_lost;
	e->n_noted++;
	if (e->n_outcomes < 32)
		e->n_outcomes++;
	if (e == set->loss.rival)
		judge_rival(set, now_ms);
	else if (e == set->current && !is_lost && e->n_outcomes >= FEW_OUTCOMES && is_patchy(e->outcomes))
		judge_few(set, now_ms);
	else if (e->path.is_lossy && e != set->current)
		judge_healing(set, e, now_ms);
}

static void note_lost(struct path_set *set, struct path_outstanding *o, uint64_t now_ms)
{
	struct path_entry *e = o->entry;

	o->is_metered = false;
	o->noted = e->n_noted + 1;
	note_outcome(set, e, true, now_ms);
}

/* One of the two ends, or a queue between them, stood still for a while: that is a delay, and the RTT shows it. */
void path_loss_late(struct path_set *set, struct path_entry *e, uint32_t noted)
{
	uint32_t age = e->n_noted - noted;

	if (age < e->n_outcomes)
		e->outcomes &= ~(1u << age);
	if (e == set->current && !is_patchy(e->outcomes))
		set->loss.sure &= ~PATH_LOSS_OF_PROBES;
}

void path_loss_answered(struct path_set *set, struct path_entry *e, uint64_t sent_ms, uint64_t now_ms)
{
	/* Outcomes stand in the order of sending: an outage is one run of lost ones, not several with answers between. */
	for (unsigned i = 0; i < PATH_OUTSTANDING_MAX; i++) {
		struct path_outstanding *o = &set->outstanding[i];

		if (o->entry != e || !o->is_metered || o->sent_ms >= sent_ms)
			continue;
		note_lost(set, o, now_ms);
	}
	note_outcome(set, e, false, now_ms);
}

/* ---------------------------------------------------------------- time */

static void expire(struct path_set *set, uint64_t now_ms)
{
	for (unsigned i = 0; i < PATH_OUTSTANDING_MAX; i++) {
		struct path_outstanding *o = &set->outstanding[i];

		if (o->entry && o->is_metered && now_ms >= o->sent_ms + path_wait_ms(&o->entry->path))
			note_lost(set, o, now_ms);
	}
}

static void measure_rate(struct path_set *set, uint64_t now_ms)
{
	struct path_loss *l = &set->loss;

	if (l->rate_ms && now_ms - l->rate_ms < RATE_MS)
		return;
	if (l->rate_ms)
		l->bit_s = (set->activity.sent_bytes - l->rate_from) * 8 * 1000 / (now_ms - l->rate_ms);
	l->rate_ms = now_ms;
	l->rate_from = set->activity.sent_bytes;
}

/* Data is on its way, all of it over the path in use. */
static bool is_measuring(const struct path_set *set, uint64_t now_ms)
{
	return set->current && !set->current->is_given_up && path_is_sending(set, now_ms) && !path_set_extra(set);
}

static bool is_asking_soon(const struct path_set *set)
{
	const struct path_entry *cur = set->current;

	return cur->n_outcomes && outcomes_lost(cur, cur->n_outcomes < 4 ? cur->n_outcomes : 4) > 0;
}

static uint64_t ask_due_ms(const struct path_set *set)
{
	return set->loss.asked_ms + (is_asking_soon(set) ? ASK_SOON_MS : ASK_MS);
}

static void ask(struct path_set *set, uint64_t now_ms)
{
	struct path_loss *l = &set->loss;
	unsigned least = is_asking_soon(set) ? 1 : ASK_PACKETS;

	if (now_ms < ask_due_ms(set) || set->activity.n_sent < l->asked_n + least)
		return;
	l->asked_ms = now_ms;
	l->asked_n = set->activity.n_sent;
	path_probe_send_metered(set, set->current, set->activity.n_sent, now_ms);
}

/* One of those that were left, in turn. */
static void heal(struct path_set *set, uint64_t now_ms)
{
	struct path_entry *found = NULL;

	if (now_ms < set->loss.heal_ms)
		return;
	set->loss.heal_ms = now_ms + HEAL_MS;
	for (unsigned i = 0; i < PATH_SET_MAX; i++) {
		struct path_entry *e = &set->entries[i];

		if (e->is_known && path_may_use(set, e) && e->path.is_lossy && e != set->current &&
		    (!found || e->path.last_sent_ms < found->path.last_sent_ms))
			found = e;
	}
	if (found)
		path_probe_send_metered(set, found, 0, now_ms);
}

void path_loss_tick(struct path_set *set, uint64_t now_ms)
{
	struct path_loss *l = &set->loss;

	expire(set, now_ms);
	if (!is_measuring(set, now_ms)) {
		l->n = 0; /* what was sent meanwhile went by several paths, or by none */
		l->rival = NULL;
		return;
	}
	measure_rate(set, now_ms);
	ask(set, now_ms);
	if (l->rival && now_ms >= l->rival_ms) {
		l->rival_ms = now_ms + RIVAL_MS;
		path_probe_send_metered(set, l->rival, 0, now_ms);
	}
	heal(set, now_ms);
}

uint64_t path_loss_next_ms(const struct path_set *set)
{
	const struct path_loss *l = &set->loss;
	uint64_t next = PATH_NEVER, soon;

	for (unsigned i = 0; i < PATH_OUTSTANDING_MAX; i++) {
		const struct path_outstanding *o = &set->outstanding[i];

		if (o->entry && o->is_metered && o->sent_ms + path_wait_ms(&o->entry->path) < next)
			next = o->sent_ms + path_wait_ms(&o->entry->path);
	}
	if (!is_measuring(set, set->now_ms))
		return next;
	if (l->rival && l->rival_ms < next)
		next = l->rival_ms;
	/* What is sent is seen at the next tick only. */
	soon = set->now_ms + (is_asking_soon(set) ? ASK_SOON_MS : ASK_MS);
	return soon < next ? soon : next;
}
