#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "tests/unit/path_one.h"

const struct path_addr one_relay_udp = { .kind = PATH_RELAY_UDP }, one_relay_tcp = { .kind = PATH_RELAY_TCP };

static void on_send(void *arg, const struct path_addr *to, const struct wire_probe *probe)
{
	struct one *f = arg;

	assert_true(f->n_sent < ONE_SENT_MAX);
	f->sent[f->n_sent++] = (struct one_sent){ .to = *to, .probe = *probe, .ms = f->now_ms };
}

static void on_silent(void *arg)
{
	((struct one *)arg)->n_silent++;
}

static void on_tcp_call(void *arg)
{
	struct one *f = arg;

	f->n_calls++;
	f->called_ms = f->now_ms;
}

static void on_tcp_drop(void *arg, const struct path_addr *addr)
{
	struct one *f = arg;

	f->n_drops++;
	f->dropped = *addr;
}

static void on_open(void *arg, const struct path_addr *to)
{
	struct one *f = arg;

	f->n_openers++;
	f->opened = *to;
}

static const struct path_set_env env = {
	.send = on_send, .open = on_open, .silent = on_silent, .tcp_call = on_tcp_call, .tcp_drop = on_tcp_drop
};

void one_init(struct one *f)
{
	assert_true(sodium_init() >= 0);
	memset(f, 0, sizeof(*f));
	f->now_ms = 50000;
	f->activity.in_contact = true;
	f->set = path_set_new(&env, f);
	assert_non_null(f->set);
}

void one_fini(struct one *f)
{
	path_set_free(f->set);
}

void one_run(struct one *f, uint64_t ms)
{
	one_run_answered(f, ms, NULL, 0);
}

static uint64_t rtt_of(const struct one_sent *s, const struct one_peer *peers, unsigned n_peers)
{
	for (unsigned i = 0; i < n_peers; i++)
		if (!s->probe.is_reply && !s->is_answered && path_addr_equal(&peers[i].addr, &s->to))
			return peers[i].rtt_ms;
	return 0;
}

void one_run_answered(struct one *f, uint64_t ms, const struct one_peer *peers, unsigned n_peers)
{
	uint64_t end_ms = f->now_ms + ms;

	for (; f->now_ms < end_ms; f->now_ms++) {
		for (unsigned i = f->n_sent > 256 ? f->n_sent - 256 : 0; i < f->n_sent; i++) {
			uint64_t rtt_ms = rtt_of(&f->sent[i], peers, n_peers);

			if (rtt_ms && f->now_ms == f->sent[i].ms + rtt_ms)
				one_answer(f, &f->sent[i]);
		}
		if (path_set_next_ms(f->set) <= f->now_ms) {
			path_set_tick(f->set, &f->activity, f->now_ms);
			assert_true(path_set_next_ms(f->set) > f->now_ms);
		}
	}
}

void one_answer(struct one *f, const struct one_sent *s)
{
	struct wire_probe reply = s->probe;

	assert_false(s->probe.is_reply);
	f->sent[s - f->sent].is_answered = true;
	reply.is_reply = true;
	path_set_on_reply(f->set, &s->to, &reply, f->now_ms);
}

struct path_addr one_udp(const char *text)
{
	struct path_addr a = { .kind = PATH_UDP };

	assert_int_equal(endpoint_from_text(&a.endpoint, text), 0);
	return a;
}

struct path_addr one_tcp(const char *text)
{
	struct path_addr a = one_udp(text);

	a.kind = PATH_TCP;
	return a;
}

int one_add(struct one *f, enum candidate_kind kind, const char *text)
{
	const struct candidate c = { .kind = kind, .endpoint = one_udp(text).endpoint };

	return path_set_add(f->set, &c, false, f->now_ms);
}

const struct one_sent *one_last_to(const struct one *f, const struct path_addr *to)
{
	for (unsigned i = f->n_sent; i-- > 0;)
		if (!f->sent[i].probe.is_reply && path_addr_equal(&f->sent[i].to, to))
			return &f->sent[i];
	return NULL;
}

unsigned one_count_to(const struct one *f, const struct path_addr *to)
{
	unsigned n = 0;

	for (unsigned i = 0; i < f->n_sent; i++)
		n += !f->sent[i].probe.is_reply && path_addr_equal(&f->sent[i].to, to);
	return n;
}

const struct path *one_path(const struct one *f, const struct path_addr *a)
{
	for (unsigned i = 0; i < path_set_count(f->set); i++)
		if (path_addr_equal(&path_set_at(f->set, i)->addr, a))
			return path_set_at(f->set, i);
	return NULL;
}
