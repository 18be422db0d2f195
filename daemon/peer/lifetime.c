/* A test's course:
 *   waiting --due--> opening: asked --answered--> settling --LIFETIME_SETTLE_MS--> asked with T --answered--> silent
 *   silent --answered again--> a success; --T and a little without--> a failure, or first the same T once more
 *   asked --unanswered--> waiting, the same T again: nobody to ask tells nothing of the NAT */
#include "daemon/peer/lifetime.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#define NEVER UINT64_MAX
#define REQUESTS_MAX 4
#define RETRY_FIRST_S 60 /* after a test that could not be carried out, doubled up to: */
#define RETRY_MOST_S 3600
#define LATE_MS 2000 /* what an answer may come late */
#define LEAST_S 5

static const uint16_t up_s[] = { 25, 45, 60, 90, 120, LIFETIME_ENOUGH_S }, down_s[] = { 20, 12, 8, LEAST_S };
static const uint64_t repeat_ms[REQUESTS_MAX] = { 300, 600, 1200, 2000 };

enum step {
	STEP_IDLE,
	STEP_WAITING,
	STEP_OPENING,
	STEP_SETTLING,
	STEP_ASKING,
	STEP_SILENT,
};

struct lifetime {
	const struct lifetime_env *env;
	void *arg;
	unsigned unit_ms;
	enum step step;
	uint64_t due_ms;
	uint64_t token;
	unsigned n_sent;
	bool is_open;
	uint16_t test_s;
	unsigned n_failed;          /* times test_s failed */
	uint16_t longest, shortest; /* success, 0: none; failure, 0: none */
	unsigned retry_s;
	bool is_done;
};

struct lifetime *lifetime_new(const struct lifetime_env *env, void *arg, unsigned unit_ms)
{
	struct lifetime *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->env = env;
	l->arg = arg;
	l->unit_ms = unit_ms;
	l->due_ms = NEVER;
	return l;
}

static void close_port(struct lifetime *l)
{
	if (l->is_open)
		l->env->close(l->arg);
	l->is_open = false;
}

void lifetime_free(struct lifetime *l)
{
	if (!l)
		return;
	close_port(l);
	free(l);
}

static void enter(struct lifetime *l, enum step step, uint64_t due_ms)
{
	l->step = step;
	l->due_ms = due_ms;
}

void lifetime_stop(struct lifetime *l)
{
	close_port(l);
	enter(l, STEP_IDLE, NEVER);
	l->longest = l->shortest = 0;
	l->is_done = false;
}

void lifetime_start(struct lifetime *l, uint64_t now_ms)
{
	lifetime_stop(l);
	l->test_s = up_s[0];
	l->n_failed = 0;
	l->retry_s = RETRY_FIRST_S;
	enter(l, STEP_WAITING, now_ms);
}

void lifetime_take(struct lifetime *l, uint16_t known_s)
{
	lifetime_stop(l);
	l->longest = known_s;
	l->is_done = true;
}

/* ---------------------------------------------------------------- the search */

/* The next T, or 0: what is known is known well enough. */
static uint16_t next_s(const struct lifetime *l)
{
	if (!l->shortest) {
		for (unsigned i = 0; i < sizeof(up_s) / sizeof(up_s[0]); i++)
			if (up_s[i] > l->longest)
				return up_s[i];
		return 0;
	}
	if (!l->longest) {
		for (unsigned i = 0; i < sizeof(down_s) / sizeof(down_s[0]); i++)
			if (down_s[i] < l->shortest)
				return down_s[i];
		return 0; /* shorter than anything worth keeping open */
	}
	if ((l->shortest - l->longest) * 5 <= l->shortest || l->shortest - l->longest < 2)
		return 0;
	return (uint16_t)((l->longest + l->shortest) / 2);
}

static void go_on(struct lifetime *l, uint64_t now_ms)
{
	l->n_failed = 0;
	l->retry_s = RETRY_FIRST_S;
	l->test_s = next_s(l);
	l->is_done = l->test_s == 0;
	if (l->is_done)
		enter(l, STEP_IDLE, NEVER);
	else
		enter(l, STEP_WAITING, now_ms);
	l->env->learned(l->arg);
}

static void succeed(struct lifetime *l, uint64_t now_ms)
{
	close_port(l);
	if (l->test_s > l->longest)
		l->longest = l->test_s;
	go_on(l, now_ms);
}

static void fail(struct lifetime *l, uint64_t now_ms)
{
	close_port(l);
	if (++l->n_failed < 2) {
		enter(l, STEP_WAITING, now_ms);
		return;
	}
	l->shortest = l->test_s;
	go_on(l, now_ms);
}

/* It could not be tested. */
static void put_off(struct lifetime *l, uint64_t now_ms)
{
	close_port(l);
	enter(l, STEP_WAITING, now_ms + (uint64_t)l->retry_s * l->unit_ms);
	l->retry_s = l->retry_s * 2 < RETRY_MOST_S ? l->retry_s * 2 : RETRY_MOST_S;
}

void lifetime_disturbed(struct lifetime *l, uint64_t now_ms)
{
	if (l->step >= STEP_OPENING)
		put_off(l, now_ms);
}

/* ---------------------------------------------------------------- one test */

static uint64_t test_ms(const struct lifetime *l)
{
	return (uint64_t)l->test_s * l->unit_ms;
}

static void ask(struct lifetime *l, uint64_t now_ms)
{
	uint16_t delay_ds = l->step == STEP_ASKING ? (uint16_t)(test_ms(l) / 100) : 0;

	if (l->n_sent == REQUESTS_MAX || !l->env->ask(l->arg, l->token, delay_ds)) {
		put_off(l, now_ms);
		return;
	}
	l->due_ms = now_ms + repeat_ms[l->n_sent++];
}

static void begin_asking(struct lifetime *l, enum step step, uint64_t now_ms)
{
	enter(l, step, now_ms);
	randombytes_buf(&l->token, sizeof(l->token));
	l->n_sent = 0;
	ask(l, now_ms);
}

static void begin_test(struct lifetime *l, uint64_t now_ms)
{
	if (l->env->open(l->arg) < 0) {
		put_off(l, now_ms);
		return;
	}
	l->is_open = true;
	begin_asking(l, STEP_OPENING, now_ms);
}

bool lifetime_on_answer(struct lifetime *l, uint64_t token, bool is_later, uint64_t now_ms)
{
	if (l->step < STEP_OPENING || token != l->token)
		return false;
	if (l->step == STEP_OPENING && !is_later)
		enter(l, STEP_SETTLING, now_ms + LIFETIME_SETTLE_MS);
	else if (l->step == STEP_ASKING && !is_later)
		enter(l, STEP_SILENT, now_ms + test_ms(l) + LATE_MS);
	else if (l->step == STEP_SILENT && is_later)
		succeed(l, now_ms);
	return true;
}

void lifetime_tick(struct lifetime *l, uint64_t now_ms)
{
	if (now_ms < l->due_ms)
		return;
	switch (l->step) {
	case STEP_IDLE:
		break;
	case STEP_WAITING:
		begin_test(l, now_ms);
		break;
	case STEP_OPENING:
	case STEP_ASKING:
		ask(l, now_ms);
		break;
	case STEP_SETTLING:
		begin_asking(l, STEP_ASKING, now_ms);
		break;
	case STEP_SILENT:
		fail(l, now_ms);
		break;
	}
}

uint64_t lifetime_next_ms(const struct lifetime *l)
{
	return l->due_ms;
}

uint16_t lifetime_s(const struct lifetime *l)
{
	return l->is_done && !l->longest ? 1 : l->longest;
}

bool lifetime_is_done(const struct lifetime *l)
{
	return l->is_done;
}

bool lifetime_is_measuring(const struct lifetime *l)
{
	return l->step != STEP_IDLE;
}
