#include "daemon/path/punch.h"

#include <sodium.h>
#include <string.h>

#define ASK_AGAIN_MS 400
#define ASKS_MAX 4 /* to the peer, or to a coordinator */
#define TRIES_MAX 4
#define TRY_MS 1500       /* a prediction that did not meet in this time did not at all */
#define STEPS_MAX 100     /* of a count */
#define PREDICTED_MAX 50  /* ports tried behind one base */
#define REPEAT_MS 100     /* asker of a prediction: opens its NAT again */
#define FRESH_MS 300      /* between two datagrams from one fresh port to another */
#define COUNTING_MS 12000 /* all tries of a count or prediction */
#define BIRTHDAY_MS 14000 /* from the first socket to the end */
#define BUSY_MS 5000      /* the other side has another search */
#define CATCH_UP 4        /* datagrams in one tick that came late */
#define PORT_FIRST 1024   /* ports that NATs draw from: RFC 4787 section 4.2.2 */
#define PORTS (65536 - PORT_FIRST)

static const uint64_t wait_after_ms[] = { 60000, 600000, 3600000 };

/* Only what translates takes another port; and whoever lets everybody in is reached whatever port is taken. */
static bool may_need_fresh(const struct nat_facts *here, const struct nat_facts *there)
{
	bool is_open = here->filtering == NAT_FILTERING_ENDPOINT_INDEPENDENT ||
		       there->filtering == NAT_FILTERING_ENDPOINT_INDEPENDENT;

	return !is_open && (here->mapping != NAT_MAPPING_NONE || there->mapping != NAT_MAPPING_NONE);
}

enum punch_method punch_method(const struct nat_facts *here, const struct nat_facts *there, bool here_is_lower,
			       bool *is_asker)
{
	bool is_hard_here = nat_is_hard(here), is_hard_there = nat_is_hard(there);
	const struct nat_facts *hard = is_hard_here ? here : there, *easy = is_hard_here ? there : here;

	*is_asker = is_hard_here;
	if ((here->flags | there->flags) & NAT_UDP_BLOCKED)
		return PUNCH_NONE;
	if (is_hard_here && is_hard_there) {
		*is_asker = here_is_lower;
		return here->port_step && there->port_step ? PUNCH_COUNT : PUNCH_HOPELESS;
	}
	if (nat_is_easy(here) && nat_is_easy(there)) {
		*is_asker = here_is_lower;
		return may_need_fresh(here, there) ? PUNCH_FRESH : PUNCH_NONE;
	}
	if (!nat_is_hard(hard) || !nat_is_easy(easy))
		return PUNCH_NONE;
	/* It lets in any port of an address that it sent to. */
	if (easy->filtering == NAT_FILTERING_ENDPOINT_INDEPENDENT || easy->filtering == NAT_FILTERING_ADDRESS_DEPENDENT)
		return PUNCH_NONE;
	return hard->port_step ? PUNCH_PREDICT : PUNCH_BIRTHDAY;
}

const char *punch_method_name(enum punch_method m)
{
	switch (m) {
	case PUNCH_PREDICT:
		return "predict";
	case PUNCH_COUNT:
		return "count";
	case PUNCH_BIRTHDAY:
		return "birthday";
	case PUNCH_HOPELESS:
		return "hopeless";
	case PUNCH_FRESH:
		return "fresh";
	case PUNCH_NONE:
		break;
	}
	return "none";
}

void punch_init(struct punch *p, const struct punch_env *env, void *arg)
{
	*p = (struct punch){ .env = env, .arg = arg };
}

bool punch_is_due(const struct punch_history *h, uint64_t now_ms)
{
	return now_ms >= h->next_ms;
}

void punch_history_reset(struct punch_history *h)
{
	h->next_ms = 0;
	h->n_failed = 0;
}

/* Each side shows the other where a fresh socket of its is seen. */
static bool is_mutual(enum punch_method method)
{
	return method == PUNCH_COUNT || method == PUNCH_FRESH;
}

/* ---------------------------------------------------------------- begin and end */

static void begin(struct punch *p, enum punch_method method, bool is_asker, int8_t stride, struct punch_history *h,
		  uint64_t now_ms)
{
	punch_init(p, p->env, p->arg);
	p->method = method;
	p->is_asker = is_asker;
	p->stride = stride;
	p->history = h;
	p->end_ms = now_ms + (method == PUNCH_BIRTHDAY ? BIRTHDAY_MS : COUNTING_MS);
	p->until_ms = UINT64_MAX;
	h->method = method;
	h->was_asker = is_asker;
	h->was_found = false;
	h->begun_ms = now_ms;
	h->n_searches++;
}

static void end(struct punch *p, bool was_found, uint64_t wait_ms, uint64_t now_ms)
{
	p->state = PUNCH_IDLE;
	p->history->was_found = was_found;
	p->history->next_ms = now_ms + wait_ms;
	p->env->over(p->arg, was_found);
}

void punch_end(struct punch *p, bool was_found, uint64_t now_ms)
{
	unsigned most = sizeof(wait_after_ms) / sizeof(wait_after_ms[0]) - 1, n;

	if (punch_is_idle(p))
		return;
	n = p->history->n_failed < most ? p->history->n_failed : most;
	p->history->n_failed = was_found ? 0 : p->history->n_failed + 1;
	end(p, was_found, was_found ? 0 : wait_after_ms[n], now_ms);
}

/* ---------------------------------------------------------------- what is sent */

static void say(struct punch *p, enum punch_step step)
{
	struct wire_punch m = { .step = step, .method = p->method, .stride = p->stride, .round = p->round };

	if (p->base.port)
		m.base = p->base;
	p->env->say(p->arg, &m);
}

static void count_datagram(struct punch *p)
{
	p->n_sent++;
	p->n_spent++;
	p->history->n_probes++;
}

static void probe(struct punch *p, uint16_t socket, const struct endpoint *to)
{
	count_datagram(p);
	p->env->probe(p->arg, socket, to);
}

/* A fresh socket, and so a mapping of its own. False: there is none to be had. */
static bool open_socket(struct punch *p, uint64_t now_ms)
{
	int number = p->n_opened < PUNCH_SOCKETS_MAX ? p->env->open(p->arg) : -1;

	if (number < 0) {
		punch_end(p, false, now_ms);
		return false;
	}
	p->socket = (uint16_t)number;
	p->n_opened++;
	p->history->n_sockets++;
	return true;
}

/* A try of a count or prediction begins with a socket whose place is known. */
static void seek(struct punch *p, uint64_t now_ms)
{
	if (p->n_tries++ >= TRIES_MAX) {
		punch_end(p, false, now_ms);
		return;
	}
	if (!open_socket(p, now_ms))
		return;
	p->state = PUNCH_SEEKING;
	p->base = (struct endpoint){ 0 };
	p->n_asked = 1;
	p->n_sent = 0;
	p->until_ms = UINT64_MAX;
	p->due_ms = now_ms + ASK_AGAIN_MS;
	p->n_spent++;
	p->env->ask(p->arg, p->socket);
}

static void run(struct punch *p, uint64_t now_ms)
{
	p->state = PUNCH_RUNNING;
	p->n_sent = 0;
	p->due_ms = now_ms;
	p->until_ms = p->method == PUNCH_BIRTHDAY ? UINT64_MAX : now_ms + TRY_MS;
	punch_tick(p, now_ms);
}

/* The port `n` places behind `base`; 0: there is none. */
static uint16_t port_behind(const struct endpoint *base, int stride, unsigned n)
{
	int port = base->port + stride * (int)n;

	return port >= 1 && port <= UINT16_MAX ? (uint16_t)port : 0;
}

/* ---------------------------------------------------------------- the sides */

void punch_start(struct punch *p, enum punch_method method, const struct endpoint *target, int8_t stride,
		 struct punch_history *h, uint64_t now_ms)
{
	begin(p, method, true, stride, h, now_ms);
	p->target = *target;
	p->round = randombytes_random();
	if (is_mutual(method)) {
		seek(p, now_ms);
		return;
	}
	p->state = PUNCH_ASKING;
	p->n_asked = 1;
	p->due_ms = now_ms + ASK_AGAIN_MS;
	say(p, PUNCH_ASK);
}

/* No port twice: a step that has no factor in common with their number walks through all of them. */
static void draw_walk(struct punch *p)
{
	p->first_port = (uint16_t)randombytes_uniform(PORTS);
	do
		p->port_step = (uint16_t)randombytes_uniform(PORTS);
	while (p->port_step % 2 == 0 || p->port_step % 3 == 0 || p->port_step % 7 == 0);
}
static_assert(PORTS == 1024 * 63, "the factors that draw_walk avoids");

void punch_join(struct punch *p, const struct wire_punch *ask, const struct ip *their_ip, int8_t stride,
		struct punch_history *h, uint64_t now_ms)
{
	bool is_again = !punch_is_idle(p) && p->round == ask->round;

	if (is_again && !is_mutual(ask->method)) {
		say(p, PUNCH_ACCEPT); /* the first was lost */
		return;
	}
	if (is_again && endpoint_equal(&p->their_base, &ask->base)) {
		if (p->state == PUNCH_RUNNING)
			say(p, PUNCH_ACCEPT);
		return;
	}
	if (!is_again) {
		begin(p, ask->method, false, stride, h, now_ms);
		p->round = ask->round;
		p->target.ip = *their_ip;
	}
	p->their_stride = ask->stride;
	p->their_base = (struct endpoint){ .ip = *their_ip, .port = ask->base.port };
	switch (ask->method) {
	case PUNCH_COUNT: /* the base that comes says that we accept */
	case PUNCH_FRESH:
		seek(p, now_ms);
		break;
	case PUNCH_BIRTHDAY:
		draw_walk(p);
		say(p, PUNCH_ACCEPT);
		run(p, now_ms);
		break;
	default:
		say(p, PUNCH_ACCEPT);
		p->state = PUNCH_SEEKING; /* for the asker's base */
		p->due_ms = UINT64_MAX;
	}
}

void punch_on_message(struct punch *p, const struct wire_punch *m, uint64_t now_ms)
{
	if (punch_is_idle(p) || m->round != p->round || m->method != p->method)
		return;
	if (m->step == PUNCH_BUSY && p->is_asker && p->state == PUNCH_ASKING) {
		p->history->n_searches--;
		end(p, false, BUSY_MS, now_ms);
	} else if (m->step == PUNCH_ACCEPT && p->is_asker && p->state == PUNCH_ASKING) {
		p->their_stride = m->stride;
		p->their_base = (struct endpoint){ .ip = p->target.ip, .port = m->base.port };
		if (p->method == PUNCH_PREDICT)
			seek(p, now_ms);
		else
			run(p, now_ms);
	} else if (m->step == PUNCH_BASE && !p->is_asker && p->method == PUNCH_PREDICT && m->base.port) {
		p->their_stride = m->stride;
		p->their_base = (struct endpoint){ .ip = p->target.ip, .port = m->base.port };
		run(p, now_ms);
	}
}

void punch_on_base(struct punch *p, uint16_t socket, const struct endpoint *seen, uint64_t now_ms)
{
	if (p->state != PUNCH_SEEKING || socket != p->socket || seen->ip.len != 4)
		return;
	p->base = *seen;
	if (p->method == PUNCH_PREDICT) {
		run(p, now_ms); /* the mapping must be the next one */
		say(p, PUNCH_BASE);
	} else if (p->is_asker) {
		p->state = PUNCH_ASKING;
		p->n_asked = 1;
		p->due_ms = now_ms + ASK_AGAIN_MS;
		say(p, PUNCH_ASK);
	} else {
		run(p, now_ms);
		say(p, PUNCH_ACCEPT);
	}
}

/* ---------------------------------------------------------------- time */

/* The ports that were shown, and no others. What our own NATs have not heard of before the other side's probe comes could be spoilt in
 * its turn, so the asker's probes wait for the word that it has; what is behind one NAT more than is thought is opened by every
 * other try. Returns whether there is more to do. */
static bool act_fresh(struct punch *p, uint64_t now_ms)
{
	p->due_ms = now_ms + FRESH_MS;
	if (!p->their_base.port)
		return false;
	if (p->is_asker) {
		probe(p, p->socket, &p->their_base);
	} else {
		count_datagram(p);
		p->env->opener(p->arg, p->socket, &p->their_base, (p->n_tries - 1) % 2);
	}
	return true;
}

/* One act of a search that runs; sets when the next is due, UINT64_MAX: nothing more in this try. */
static void act(struct punch *p, uint64_t now_ms)
{
	struct endpoint to = { .ip = p->target.ip };
	bool is_more = true;

	p->due_ms += PUNCH_PACE_MS;
	if (p->method == PUNCH_FRESH) {
		is_more = act_fresh(p, now_ms);
	} else if (p->method == PUNCH_BIRTHDAY && p->is_asker) {
		is_more = p->n_opened < PUNCH_SOCKETS_MAX;
		if (is_more && open_socket(p, now_ms))
			probe(p, p->socket, &p->target);
	} else if (p->method == PUNCH_BIRTHDAY) {
		to.port = (uint16_t)(PORT_FIRST + (p->first_port + (uint32_t)p->n_sent * p->port_step) % PORTS);
		probe(p, 0, &to);
	} else if (p->method == PUNCH_PREDICT && p->is_asker) {
		probe(p, p->socket, &p->target);
		p->due_ms = now_ms + REPEAT_MS;
	} else {
		bool is_count = p->method == PUNCH_COUNT;
		unsigned n = is_count && !p->is_asker ? 1 + 2 * p->n_sent : 1 + p->n_sent;

		to.port = port_behind(&p->their_base, p->their_stride, n);
		is_more = to.port && p->n_sent < (is_count ? STEPS_MAX : PREDICTED_MAX);
		if (is_more)
			probe(p, is_count ? p->socket : 0, &to);
	}
	if (!is_more || p->n_spent >= PUNCH_PROBES_MAX)
		p->due_ms = UINT64_MAX;
}

/* A question was not answered. */
static void ask_again(struct punch *p, uint64_t now_ms)
{
	if (p->n_asked >= ASKS_MAX) {
		punch_end(p, false, now_ms);
		return;
	}
	p->due_ms = now_ms + (ASK_AGAIN_MS << p->n_asked++);
	if (p->state == PUNCH_ASKING) {
		say(p, PUNCH_ASK);
	} else {
		p->n_spent++;
		p->env->ask(p->arg, p->socket);
	}
}

void punch_tick(struct punch *p, uint64_t now_ms)
{
	if (punch_is_idle(p))
		return;
	if (now_ms >= p->end_ms) {
		punch_end(p, false, now_ms);
		return;
	}
	if (p->state != PUNCH_RUNNING) {
		if (now_ms >= p->due_ms)
			ask_again(p, now_ms);
		return;
	}
	for (unsigned i = 0; i < CATCH_UP && p->state == PUNCH_RUNNING && now_ms >= p->due_ms; i++)
		act(p, now_ms);
	if (p->state == PUNCH_RUNNING && p->due_ms < now_ms)
		p->due_ms = now_ms; /* the pace is not made up for */
	if (p->state == PUNCH_RUNNING && now_ms >= p->until_ms) {
		p->until_ms = p->due_ms = UINT64_MAX;
		if (p->is_asker)
			seek(p, now_ms);
	}
}

uint64_t punch_next_ms(const struct punch *p)
{
	uint64_t next = p->due_ms < p->until_ms ? p->due_ms : p->until_ms;

	if (punch_is_idle(p))
		return UINT64_MAX;
	return next < p->end_ms ? next : p->end_ms;
}
