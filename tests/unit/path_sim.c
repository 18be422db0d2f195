#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "tests/unit/path_sim.h"

#define NEVER UINT64_MAX

struct endpoint sim_endpoint(const char *text)
{
	struct endpoint ep;

	assert_int_equal(endpoint_from_text(&ep, text), 0);
	return ep;
}

static uint64_t draw(struct sim *s) /* xorshift64: the same run for the same seed */
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	s->random ^= s->random << 17;
	return s->random >> 11;
}

/* ---------------------------------------------------------------- NAT */

static bool flow_is_live(const struct sim *s, const struct sim_flow *f)
{
	return !s->nat_timeout_ms || s->now_ms - f->used_ms <= s->nat_timeout_ms;
}

static struct sim_flow *flow_new(struct sim_node *n, const struct endpoint *remote, uint16_t outer_port)
{
	struct sim_flow *f = &n->flows[n->n_flows++];

	assert_true(n->n_flows <= SIM_FLOWS_MAX);
	*f = (struct sim_flow){ .remote = *remote, .outer_port = outer_port, .used_ms = n->sim->now_ms };
	return f;
}

/* The datagram leaves through n's NAT: its source as the world sees it. */
static struct endpoint nat_out(struct sim_node *n, const struct endpoint *remote)
{
	struct endpoint source = n->outer;
	struct sim_flow *f = NULL;
	bool is_taken = false;

	if (n->nat == SIM_PUBLIC)
		return n->host;
	for (unsigned i = 0; i < n->n_flows; i++) {
		if (!endpoint_equal(&n->flows[i].remote, remote))
			continue;
		if (!n->flows[i].is_routers)
			f = &n->flows[i];
		else if (flow_is_live(n->sim, &n->flows[i]))
			is_taken = true;
	}
	if (!f) {
		f = flow_new(n, remote, is_taken ? n->next_port++ : n->outer.port);
		f->used_ms = n->nat == SIM_SYMMETRIC ? 0 : n->sim->now_ms;
	}
	if (n->nat == SIM_SYMMETRIC && (f->used_ms == 0 || !flow_is_live(n->sim, f)))
		f->outer_port = n->next_port++;
	f->used_ms = n->sim->now_ms;
	source.port = f->outer_port;
	return source;
}

static void router_takes(struct sim_node *n, const struct endpoint *source, const struct endpoint *to)
{
	for (unsigned i = 0; i < n->n_flows; i++) {
		struct sim_flow *f = &n->flows[i];

		if (!f->is_routers || f->outer_port != to->port || !endpoint_equal(&f->remote, source))
			continue;
		f->used_ms = n->sim->now_ms;
		return;
	}
	flow_new(n, source, to->port)->is_routers = true;
}

/* A datagram from `source` arrives at `to`: does it reach n? */
static bool nat_in(struct sim_node *n, const struct endpoint *source, const struct endpoint *to)
{
	if (n->nat == SIM_PUBLIC)
		return endpoint_equal(to, &n->host);
	if (!ip_equal(&to->ip, &n->outer.ip))
		return false;
	if (n->nat == SIM_FULL_CONE)
		return to->port == n->outer.port;
	for (unsigned i = 0; i < n->n_flows; i++) {
		struct sim_flow *f = &n->flows[i];

		if (f->is_routers || f->outer_port != to->port || !flow_is_live(n->sim, f) ||
		    !ip_equal(&f->remote.ip, &source->ip))
			continue;
		if (n->nat != SIM_ADDRESS_RESTRICTED && f->remote.port != source->port)
			continue;
		f->used_ms = n->sim->now_ms;
		return true;
	}
	if (n->is_careless)
		router_takes(n, source, to);
	return false;
}

void sim_nat_flush(struct sim *s, unsigned side)
{
	struct sim_node *n = &s->node[side];

	n->n_flows = 0;
	n->outer.port = (uint16_t)(n->outer.port + 1000);
}

void sim_stand_still(struct sim *s, unsigned side, uint64_t ms)
{
	s->node[side].stands_until_ms = s->now_ms + ms;
}

/* ---------------------------------------------------------------- network */

static bool is_lost(struct sim *s, struct sim_node *n, enum path_kind kind)
{
	if ((kind == PATH_UDP && s->is_direct_down) || (kind == PATH_RELAY_UDP && s->is_relay_udp_down) ||
	    (kind == PATH_RELAY_TCP && s->is_relay_tcp_down))
		return true;
	if (kind == PATH_UDP && n->drop_first > 0) {
		n->drop_first--;
		return true;
	}
	if (kind == PATH_UDP && draw(s) % 1000 < s->direct_loss_permille)
		return true;
	return kind != PATH_RELAY_TCP && draw(s) % 1000 < s->loss_permille;
}

/* `probe` NULL: data. */
static void transmit(struct sim_node *n, const struct path_addr *to, const struct wire_probe *probe)
{
	struct sim *s = n->sim;
	unsigned peer = n == &s->node[0] ? 1 : 0;
	struct sim_datagram *d = NULL;
	struct path_addr from = { .kind = to->kind, .coordinator = to->coordinator };

	if (to->kind == PATH_UDP && s->is_one_lan && endpoint_equal(&to->endpoint, &s->node[peer].host))
		from.endpoint = n->host;
	else if (to->kind == PATH_UDP)
		from.endpoint = nat_out(n, &to->endpoint);
	if (is_lost(s, n, to->kind))
		return;
	for (unsigned i = 0; i < SIM_DATAGRAMS_MAX && !d; i++)
		if (!s->datagrams[i].is_live)
			d = &s->datagrams[i];
	assert_non_null(d);
	*d = (struct sim_datagram){ .is_live = true, .is_data = !probe, .to = peer, .from = from };
	d->to_endpoint = to->endpoint;
	d->due_ms = s->now_ms + (to->kind == PATH_UDP ? s->delay_ms : s->relay_delay_ms);
	if (s->jitter_ms)
		d->due_ms += draw(s) % s->jitter_ms;
	if (probe)
		d->probe = *probe;
}

static void receive(struct sim *s, const struct sim_datagram *d)
{
	struct sim_node *n = &s->node[d->to];
	const struct path *best = path_set_best(n->set);
	bool is_on_lan = s->is_one_lan && endpoint_equal(&d->to_endpoint, &n->host);

	if (d->from.kind == PATH_UDP && !is_on_lan && !nat_in(n, &d->from.endpoint, &d->to_endpoint))
		return;
	if (d->is_data) {
		n->last_data_ms = s->now_ms;
		n->n_received++;
		if (best && path_addr_equal(&best->addr, &d->from))
			n->activity.path_received_ms = s->now_ms;
		else
			path_set_on_data(n->set, &d->from, s->now_ms);
	} else if (d->probe.is_reply) {
		path_set_on_reply(n->set, &d->from, &d->probe, s->now_ms);
	} else {
		path_set_on_probe(n->set, &d->from, &d->probe, s->now_ms);
	}
}

static void on_send(void *arg, const struct path_addr *to, const struct wire_probe *probe)
{
	struct sim_node *n = arg;
	struct wire_probe said = *probe;

	n->n_probes += !probe->is_reply;
	if (said.is_reply)
		said.n_received = n->n_received;
	transmit(n, to, &said);
}

static void on_silent(void *arg)
{
	struct sim_node *n = arg;

	n->n_silent++;
	n->tell_ms = n->sim->now_ms + 3ul * n->sim->relay_delay_ms; /* asks the coordinator, then tells the peer */
}

static void on_open(void *arg, const struct path_addr *to)
{
	struct sim_node *n = arg;

	if (n->sim->has_no_opener)
		return;
	n->n_openers++;
	nat_out(n, &to->endpoint); /* and no further */
}

static const struct path_set_env env = { .open = on_open, .send = on_send, .silent = on_silent };

/* ---------------------------------------------------------------- nodes */

static void tell(const struct sim_node *n, struct sim_node *peer)
{
	const struct candidates c = {
		.n = 2,
		.v = { { CANDIDATE_HOST, n->host }, { CANDIDATE_REFLEXIVE, n->outer } },
	};

	path_set_replace(peer->set, &c, NULL, n->sim->now_ms);
}

static void told(struct sim_node *n, const struct sim_node *peer)
{
	const struct candidate host = { CANDIDATE_HOST, peer->host }, outer = { CANDIDATE_REFLEXIVE, peer->outer };

	assert_int_equal(path_set_add(n->set, &host, n->sim->is_one_lan, n->sim->now_ms), 0);
	if (peer->nat != SIM_PUBLIC)
		assert_int_equal(path_set_add(n->set, &outer, false, n->sim->now_ms), 0);
}

void sim_init(struct sim *s, enum sim_nat a, enum sim_nat b, uint64_t seed)
{
	static const char *const host[] = { "10.0.1.2:27700", "10.0.2.2:27700" };
	static const char *const outer[] = { "198.51.100.1:40001", "203.0.113.2:40002" };
	const enum sim_nat nat[] = { a, b };

	assert_true(sodium_init() >= 0);
	memset(s, 0, sizeof(*s));
	s->now_ms = 100000;
	s->delay_ms = 20;
	s->data_bytes = 1000;
	s->relay_delay_ms = 35;
	s->random = 0x9e3779b97f4a7c15u ^ (seed * 0xbf58476d1ce4e5b9u);
	for (unsigned i = 0; i < 2; i++) {
		struct sim_node *n = &s->node[i];

		n->sim = s;
		n->nat = nat[i];
		n->outer = sim_endpoint(outer[i]);
		n->host = nat[i] == SIM_PUBLIC ? n->outer : sim_endpoint(host[i]);
		n->next_port = (uint16_t)(50000 + 1000 * i);
		n->activity.in_contact = true;
		n->tell_ms = n->start_ms = NEVER;
		n->set = path_set_new(&env, n);
		assert_non_null(n->set);
	}
}

void sim_fini(struct sim *s)
{
	for (unsigned i = 0; i < 2; i++)
		path_set_free(s->node[i].set);
}

static void start_if_due(struct sim_node *n)
{
	if (n->start_ms > n->sim->now_ms)
		return;
	n->start_ms = NEVER;
	path_set_start(n->set, n->sim->now_ms);
}

void sim_start(struct sim *s)
{
	const struct path_addr relay = { .kind = PATH_RELAY_UDP };

	for (unsigned i = 0; i < 2; i++) {
		told(&s->node[i], &s->node[!i]);
		path_set_relay(s->node[i].set, PATH_RELAY_UDP, 0, true, s->now_ms);
	}
	path_set_open(s->node[1].set, s->now_ms - s->relay_delay_ms); /* when it answered */
	path_set_on_handshake(s->node[0].set, &relay, s->relay_delay_ms * 2000, s->now_ms);
	path_set_start(s->node[0].set, s->now_ms);
	s->node[1].start_ms = s->now_ms + s->late_ms;
	if (!s->late_ms)
		start_if_due(&s->node[1]);
}

void sim_data(struct sim *s, unsigned side, uint64_t every_ms)
{
	s->node[side].data_every_ms = every_ms;
	s->node[side].data_due_ms = every_ms ? s->now_ms : NEVER;
}

bool sim_is_direct(const struct sim *s, unsigned side)
{
	const struct path *best = path_set_best(s->node[side].set);

	return best && best->addr.kind == PATH_UDP;
}

bool sim_both_direct(const struct sim *s)
{
	return sim_is_direct(s, 0) && sim_is_direct(s, 1);
}

/* ---------------------------------------------------------------- clock */

static void send_data(struct sim_node *n)
{
	const struct path *best = path_set_best(n->set), *extra = path_set_extra(n->set);

	n->data_due_ms = n->sim->now_ms + n->data_every_ms;
	if (!best)
		return;
	n->activity.last_sent_ms = n->sim->now_ms;
	n->activity.n_sent++;
	n->activity.sent_bytes += n->sim->data_bytes;
	transmit(n, &best->addr, NULL);
	if (extra)
		transmit(n, &extra->addr, NULL);
}

static void tick(struct sim_node *n)
{
	uint64_t now_ms = n->sim->now_ms;

	path_set_tick(n->set, &n->activity, now_ms);
	n->n_ticks++;
	/* Probes are paced, so nothing can be left that is due at once. */
	assert_true(path_set_next_ms(n->set) > now_ms);
}

static void node_turn(struct sim_node *n)
{
	const struct path *best;
	bool was_quiet = n->sim->now_ms >= n->activity.last_sent_ms + 2000;

	if (n->data_every_ms && n->data_due_ms <= n->sim->now_ms) {
		send_data(n);
		if (was_quiet)
			tick(n);
	}
	if (n->tell_ms <= n->sim->now_ms) {
		n->tell_ms = NEVER;
		tell(n, &n->sim->node[n == &n->sim->node[0]]);
	}
	start_if_due(n);
	if (path_set_next_ms(n->set) <= n->sim->now_ms)
		tick(n);
	best = path_set_best(n->set);
	if (best && !path_addr_equal(&best->addr, &n->best)) {
		n->n_changes++;
		n->best = best->addr;
		n->activity.path_received_ms = 0; /* nothing came over this one yet */
	}
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t next_ms(const struct sim *s)
{
	uint64_t next = NEVER;

	for (unsigned i = 0; i < 2; i++) {
		const struct sim_node *n = &s->node[i];
		uint64_t due = sooner(path_set_next_ms(n->set), sooner(n->tell_ms, n->start_ms));

		if (n->data_every_ms)
			due = sooner(due, n->data_due_ms);
		next = sooner(next, later(due, n->stands_until_ms));
	}
	for (unsigned i = 0; i < SIM_DATAGRAMS_MAX; i++) {
		const struct sim_datagram *d = &s->datagrams[i];

		if (d->is_live)
			next = sooner(next, later(d->due_ms, s->node[d->to].stands_until_ms));
	}
	return next;
}

static bool stands_still(const struct sim_node *n)
{
	return n->sim->now_ms < n->stands_until_ms;
}

static void go_on(struct sim_node *n)
{
	if (!n->stands_until_ms || stands_still(n))
		return;
	n->stands_until_ms = 0;
	node_turn(n);
}

bool sim_run(struct sim *s, uint64_t until_ms, bool (*is_done)(const struct sim *s))
{
	for (;;) {
		uint64_t next = next_ms(s);

		if (next > until_ms) {
			s->now_ms = until_ms;
			return is_done && is_done(s);
		}
		if (next > s->now_ms)
			s->now_ms = next;
		for (unsigned i = 0; i < 2; i++)
			go_on(&s->node[i]);
		for (unsigned i = 0; i < SIM_DATAGRAMS_MAX; i++) {
			struct sim_datagram *d = &s->datagrams[i], arrived;

			if (!d->is_live || d->due_ms > s->now_ms || stands_still(&s->node[d->to]))
				continue;
			d->is_live = false;
			arrived = *d;
			receive(s, &arrived);
		}
		for (unsigned i = 0; i < 2; i++)
			if (!stands_still(&s->node[i]))
				node_turn(&s->node[i]);
		if (is_done && is_done(s))
			return true;
	}
}
