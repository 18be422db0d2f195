/* Searches through NATs that change ports (path/punch.h): when one is due, its sockets, and what it asks of coordinator and peer. */
#include <errno.h>
#include <string.h>

#include <sodium.h>

#include "daemon/base/usdt.h"
#include "daemon/data/node_private.h"
#include "daemon/wire/stun.h"

/* A search waits until plain checks had their chance, */
#define PLAIN_MS 600
/* and where they should have been enough, until they failed, */
#define PLAIN_FAILED_MS 3000
/* is worth it while data is relayed, */
#define RELAYING_MS 5000
/* and is joined a little before our own wait is over: the two sides' clocks began at different moments. */
#define JOIN_EARLY_MS 10000

static struct peer *peer_of_search(const struct node *n)
{
	return punch_is_idle(&n->punch) ? NULL : peers_by_number(&n->peers, n->punch_peer);
}

/* ---------------------------------------------------------------- what a search asks for */

static int punch_open(void *arg)
{
	struct node *n = arg;
	int number = spares_open(n->spares);

	if (number < 0)
		log_warn("search: no further socket: %s", strerror(-number));
	return number;
}

static void punch_ask(void *arg, uint16_t socket)
{
	struct node *n = arg;
	struct spare *spare = spares_find(n->spares, socket);
	struct wire_bind question = { .type = BIND_REQUEST, .flags = BIND_NO_MOVE };
	uint8_t datagram[RELAY_BIND_DATAGRAM_BYTES];

	/* A question that is put again keeps its token: on a slow path the answer is to the first. */
	if (n->punch_socket != socket)
		randombytes_buf(&n->punch_token, sizeof(n->punch_token));
	n->punch_socket = socket;
	question.token = n->punch_token;
	for (unsigned i = 0; spare && i < n->n_links; i++) {
		const struct endpoint *to = link_udp_endpoint(n->links[i]);

		if (!link_can_relay(n->links[i], PATH_RELAY_UDP) || to->ip.len != 4)
			continue;
		if (link_seal_bind(n->links[i], datagram, &question) == 0)
			node_udp_send(n, &spare->udp, to, datagram, sizeof(datagram));
		return; /* another coordinator would be another destination, and take another port */
	}
}

static void punch_probe(void *arg, uint16_t socket, const struct endpoint *to)
{
	struct node *n = arg;
	struct peer *p = peer_of_search(n);
	const struct path_addr addr = { .kind = PATH_UDP, .socket = socket, .endpoint = *to };
	struct wire_probe probe = { .size = WIRE_PROBE_BYTES };
	uint8_t body[WIRE_PROBE_BYTES];

	if (!p)
		return;
	/* An answer to it counts for nothing: the probe that the peer sends back along the hole is what finds the path. */
	randombytes_buf(probe.id, sizeof(probe.id));
	wire_probe_encode(body, sizeof(body), &probe);
	node_send_session(n, p, &addr, body, sizeof(body));
}

/* As many as there are NATs of ours, and one hop behind them: the least there is between two homes. Without a NAT what is to be passed
 * is a firewall in this host. */
static int opener_hops(const struct node *n)
{
	if (n->here.nat.mapping == NAT_MAPPING_NONE)
		return 1;
	return node_is_behind_two_nats(n) ? 3 : 2;
}

void node_send_opener(struct node *n, uint16_t socket, const struct endpoint *to, unsigned further)
{
	const struct spare *spare = socket ? spares_find(n->spares, socket) : NULL;
	int hops = opener_hops(n) + (int)further;
	uint8_t id[STUN_ID_BYTES], data[STUN_INDICATION_BYTES];

	if (socket && !spare)
		return;
	randombytes_buf(id, sizeof(id));
	stun_indication_encode(data, id);
	/* What does not leave is only not ahead of what follows. */
	if (udp_send_hops(spare ? &spare->udp : &n->udp[0], to, data, sizeof(data), hops) == 0)
		counters_inc(node_counters(n), COUNTER_openers_sent);
}

static void punch_opener(void *arg, uint16_t socket, const struct endpoint *to, unsigned further)
{
	node_send_opener(arg, socket, to, further);
}

static void say_to(struct node *n, struct peer *p, const struct wire_punch *m)
{
	const struct path_addr relay = node_relay_of(n, p);
	uint8_t body[WIRE_PUNCH_BYTES];

	if (wire_punch_encode(body, sizeof(body), m) > 0)
		node_send_session(n, p, &relay, body, sizeof(body));
}

static void punch_say(void *arg, const struct wire_punch *m)
{
	struct node *n = arg;
	struct peer *p = peer_of_search(n);

	if (p)
		say_to(n, p, m);
}

static void punch_over(void *arg, bool was_found)
{
	struct node *n = arg;
	struct peer *p = peers_by_number(&n->peers, n->punch_peer);

	if (p)
		log_info("peer %s: search (%s) %s: %u sockets, %u probes", p->name, punch_method_name(n->punch.method),
			 was_found ? "found a way" : "found nothing", n->punch.n_opened, n->punch.n_spent);
	USDT3(punch, p ? (const char *)p->name : "", punch_method_name(n->punch.method), (int)was_found);
	node_metrics_punch(n, n->punch.method, was_found);
	n->sweep_ms = clock_now_ms();
	node_due(n, n->sweep_ms);
}

const struct punch_env node_punch_env = {
	.open = punch_open,
	.ask = punch_ask,
	.probe = punch_probe,
	.opener = punch_opener,
	.say = punch_say,
	.over = punch_over,
};

/* ---------------------------------------------------------------- when */

static bool is_direct(const struct peer *p)
{
	const struct path *best = path_set_best(p->paths);

	return best && best->addr.kind == PATH_UDP;
}

/* A lossy direct path may be left for the relay: it is there. */
static bool has_direct(const struct peer *p)
{
	for (unsigned i = 0; i < path_set_count(p->paths); i++) {
		const struct path *path = path_set_at(p->paths, i);

		if (path->addr.kind == PATH_UDP && (path->state == PATH_STANDBY || path->state == PATH_IN_USE))
			return true;
	}
	return false;
}

/* Where the peer is seen over IPv4: without a NAT its interface's address is what a coordinator saw; where the gateway maps the port to
 * what it gave it before, one stands for both. NULL: not known. */
static const struct endpoint *seen_at(const struct peer *p)
{
	const struct endpoint *host = NULL;

	for (unsigned i = 0; i < p->there.n; i++) {
		const struct candidate *c = &p->there.v[i];

		if (c->endpoint.ip.len == 4 && (c->kind == CANDIDATE_REFLEXIVE || c->kind == CANDIDATE_MAPPED))
			return &c->endpoint;
		if (c->endpoint.ip.len == 4 && c->kind == CANDIDATE_HOST && !ip_is_private(&c->endpoint.ip))
			host = &c->endpoint;
	}
	return host;
}

static enum punch_method method_for(const struct node *n, const struct peer *p, bool *is_asker)
{
	bool is_lower = memcmp(n->identity.public.b, p->key.b, KEY_BYTES) < 0;

	if (!p->has_there)
		return PUNCH_NONE;
	return punch_method(&n->here.nat, &p->there.nat, is_lower, is_asker);
}

enum punch_method node_punch_method(const struct node *n, const struct peer *p)
{
	bool is_asker;

	return method_for(n, p, &is_asker);
}

/* When a search of ours with this peer may begin, as things are; UINT64_MAX: not. */
static uint64_t begin_ms(const struct node *n, const struct peer *p, enum punch_method *method, uint64_t now_ms)
{
	const struct traffic *t = &node_shared(p)->traffic;
	uint64_t round_ms = path_set_last_round_ms(p->paths),
		 sent_ms = atomic_load_explicit(&t->last_data_sent_ms, memory_order_relaxed), begin;
	bool is_asker;

	if (p->policy != PATH_POLICY_AUTO || !punch_is_idle(&n->punch) || !p->settled_index || has_direct(p) ||
	    !seen_at(p))
		return UINT64_MAX;
	*method = method_for(n, p, &is_asker);
	if (*method == PUNCH_NONE || *method == PUNCH_HOPELESS || !is_asker)
		return UINT64_MAX;
	if (!sent_ms || now_ms - sent_ms > RELAYING_MS || !round_ms)
		return UINT64_MAX;
	begin = round_ms + (*method == PUNCH_FRESH ? PLAIN_FAILED_MS : PLAIN_MS);
	return begin > p->punches.next_ms ? begin : p->punches.next_ms;
}

uint64_t node_punch_begin_ms(const struct node *n, const struct peer *p, uint64_t now_ms)
{
	enum punch_method method;

	return begin_ms(n, p, &method, now_ms);
}

void node_punch_consider(struct node *n, struct peer *p, uint64_t now_ms)
{
	enum punch_method method;

	if (now_ms < begin_ms(n, p, &method, now_ms))
		return;
	/* What counts, but faster than we can follow, is as good as drawn. */
	if (method == PUNCH_PREDICT && p->punches.n_failed % 2 == 1)
		method = PUNCH_BIRTHDAY;
	log_info("peer %s: searching (%s)", p->name, punch_method_name(method));
	n->punch_peer = p->number;
	n->punch_socket = 0;
	punch_start(&n->punch, method, seen_at(p), n->here.nat.port_step, &p->punches, now_ms);
	node_due(n, punch_next_ms(&n->punch));
}

static bool is_welcome(const struct node *n, const struct peer *p, const struct wire_punch *ask, uint64_t now_ms)
{
	enum punch_method method;
	bool is_asker;

	if (p->policy != PATH_POLICY_AUTO || is_direct(p) || !seen_at(p))
		return false;
	if (!punch_is_idle(&n->punch))
		return n->punch_peer == p->number && n->punch.round == ask->round && !n->punch.is_asker;
	method = method_for(n, p, &is_asker);
	if (method == PUNCH_PREDICT && ask->method == PUNCH_BIRTHDAY)
		method = PUNCH_BIRTHDAY;
	return method == ask->method && !is_asker && punch_is_due(&p->punches, now_ms + JOIN_EARLY_MS);
}

void node_punch_on_message(struct node *n, struct peer *p, const struct wire_punch *m)
{
	uint64_t now = clock_now_ms();

	if (m->step != PUNCH_ASK) {
		if (n->punch_peer == p->number)
			punch_on_message(&n->punch, m, now);
	} else if (is_welcome(n, p, m, now)) {
		if (punch_is_idle(&n->punch)) {
			log_info("peer %s: joining its search (%s)", p->name, punch_method_name(m->method));
			n->punch_peer = p->number;
			n->punch_socket = 0;
		}
		punch_join(&n->punch, m, &seen_at(p)->ip, n->here.nat.port_step, &p->punches, now);
	} else {
		say_to(n, p, &(struct wire_punch){ .step = PUNCH_BUSY, .method = m->method, .round = m->round });
	}
	node_due(n, punch_next_ms(&n->punch));
}

void node_punch_on_bind(struct node *n, uint16_t socket, const struct wire_bind *reply)
{
	if (!socket || reply->type != BIND_REPLY || socket != n->punch_socket || reply->token != n->punch_token)
		return;
	punch_on_base(&n->punch, socket, &reply->observed, clock_now_ms());
	node_due(n, punch_next_ms(&n->punch));
}

void node_punch_settled(struct node *n, const struct peer *p, uint64_t now_ms)
{
	if (punch_is_idle(&n->punch) || n->punch_peer != p->number)
		return;
	if (is_direct(p) || !p->settled_index)
		punch_end(&n->punch, is_direct(p), now_ms);
}

void node_punch_gone(struct node *n, const struct peer *p)
{
	if (n->punch_peer == p->number)
		punch_end(&n->punch, false, clock_now_ms());
}

void node_punch_changed(struct node *n, struct peer *p)
{
	node_punch_gone(n, p);
	punch_history_reset(&p->punches);
}

/* ---------------------------------------------------------------- sockets that no path uses */

static bool is_used(void *arg, uint16_t number)
{
	const struct node *n = arg;

	for (const struct peer *p = n->peers.by_number; p; p = p->by_number.next)
		if (p->paths && path_set_uses_socket(p->paths, number))
			return true;
	return node_discovery_uses_socket(n, number) || node_lifetime_uses_socket(n, number) ||
	       node_uplinks_uses_socket(n, number);
}

static void sweep(struct node *n, uint64_t now_ms)
{
	spares_sweep(n->spares, is_used, n);
	n->sweep_ms = spares_count(n->spares) ? now_ms + NODE_SWEEP_MS : UINT64_MAX;
	n->is_table_stale = true;
}

void node_punch_tick(struct node *n, uint64_t now_ms)
{
	punch_tick(&n->punch, now_ms);
	if (now_ms >= n->sweep_ms && punch_is_idle(&n->punch))
		sweep(n, now_ms);
}

uint64_t node_punch_next_ms(const struct node *n)
{
	if (!punch_is_idle(&n->punch))
		return punch_next_ms(&n->punch);
	return n->sweep_ms;
}

void node_on_spare(void *arg, struct spare *s)
{
	struct node *n = arg;

	if (!node_lane_enter(n))
		return;
	spare_ref(s); /* what comes may end the search that opened it */
	for (int i = 0; i < NODE_SPARE_ROUNDS && lane_pump_spare(&n->lane, s); i++)
		;
	lane_leave(&n->lane);
	spare_unref(s);
}
