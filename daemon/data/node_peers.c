/* A peer's life: set up when first wanted or heard of; wanted -> session (handshake through the relay and whatever else may carry
 * it) -> probing -> best path; left alone when it is silent; forgotten only when its coordinators say it is no member. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/usdt.h"
#include "daemon/data/inner_ip.h"
#include "daemon/data/node_private.h"

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t load_u64(const _Atomic uint64_t *at)
{
	return atomic_load_explicit(at, memory_order_relaxed);
}

bool node_is_in_contact(const struct peer *p, uint64_t now_ms)
{
	const struct traffic *t = &node_shared(p)->traffic;
	uint64_t last =
		later(p->wanted_ms, later(load_u64(&t->last_data_sent_ms), load_u64(&t->last_data_received_ms)));

	/* As long as a session lives without renewal. */
	return last && now_ms - last < p->sessions.reject_after_ms;
}

void node_mark_peer(struct node *n, struct peer *p)
{
	p->is_changed = true;
	n->any_peer_changed = true;
}

/* ---------------------------------------------------------------- ways */

struct path_addr node_path_of(const struct node *n, const struct peer *p)
{
	const struct path *best = p->paths ? path_set_best(p->paths) : NULL;

	if (!best && p->policy == PATH_POLICY_DIRECT)
		return (struct path_addr){ .kind = PATH_NONE };
	return best ? best->addr : node_relay_of(n, p);
}

/* The peer's id at the relay; 0: it is none. */
static uint32_t member_at(const struct peer *p, const struct path_addr *to)
{
	return path_addr_is_relay(to) ? p->member[to->coordinator] : 0;
}

/* ---------------------------------------------------------------- what sessions and paths ask for */

static void send_handshake(struct node *n, const struct peer *p, const struct path_addr *to, const uint8_t *data,
			   size_t len)
{
	uint8_t buffer[WIRE_RELAY_HEADER_BYTES + WIRE_HANDSHAKE_MAX_BYTES];

	if (len > WIRE_HANDSHAKE_MAX_BYTES)
		return;
	memcpy(buffer + WIRE_RELAY_HEADER_BYTES, data, len);
	node_send(n, to, member_at(p, to), buffer + WIRE_RELAY_HEADER_BYTES, len);
}

/* The first goes the way data would; repeats, and the first when that way was not proven lately, go every way there is: the
 * handshake is what must get through. */
static void send_initiation(void *owner, const uint8_t *data, size_t len, unsigned attempt)
{
	struct peer *p = owner;
	struct node *n = p->owner;
	const struct path *best = path_set_best(p->paths);
	struct path_addr first = node_path_of(n, p);
	bool is_fresh = best && clock_now_ms() - best->last_answer_ms < NODE_FRESH_MS, has_relay = false;

	counters_inc(node_counters(n), COUNTER_handshakes_initiated);
	if (first.kind != PATH_NONE)
		send_handshake(n, p, &first, data, len);
	if (attempt == 0 && (is_fresh || path_addr_is_relay(&first)))
		return;
	for (unsigned i = 0; i < n->n_links; i++) {
		static const enum path_kind kinds[] = { PATH_RELAY_UDP, PATH_RELAY_TCP };

		for (size_t k = 0; k < 2; k++) {
			struct path_addr relay = { .kind = kinds[k], .coordinator = (uint8_t)i };

			has_relay |= node_can_relay(n, p, i, kinds[k]);
			if (node_can_relay(n, p, i, kinds[k]) && !path_addr_equal(&relay, &first))
				send_handshake(n, p, &relay, data, len);
		}
	}
	/* With no relay this is the punching. With one, candidates are tried only when it did not answer twice. */
	if (has_relay && attempt < 2)
		return;
	for (unsigned i = 0; i < path_set_count(p->paths); i++) {
		const struct path *path = path_set_at(p->paths, i);

		if (path_addr_is_direct(&path->addr) && !path_addr_equal(&path->addr, &first))
			send_handshake(n, p, &path->addr, data, len);
	}
}

static void sessions_changed(void *owner)
{
	struct peer *p = owner;

	node_mark_peer(p->owner, p);
}

static void sessions_failed(void *owner)
{
	struct peer *p = owner;
	struct node *n = p->owner;

	log_info("peer %s: no answer to the handshake in %d s", p->name, SESSION_ATTEMPT_MS / 1000);
	node_unreachable(n, p->held);
	node_mark_peer(n, p);
}

static void sessions_keepalive(void *owner)
{
	struct peer *p = owner;
	struct node *n = p->owner;
	uint8_t buffer[WIRE_RELAY_HEADER_BYTES + WIRE_SEALED_OVERHEAD_BYTES];
	uint64_t now = clock_now_ms();
	struct session *s = sessions_sendable(&p->sessions, now);
	struct path_addr to = node_path_of(n, p);
	int len;

	if (!s || to.kind == PATH_NONE)
		return;
	len = session_seal(s, WIRE_DATA, 0, buffer + WIRE_RELAY_HEADER_BYTES, NULL, 0);
	if (len > 0)
		node_send(n, &to, member_at(p, &to), buffer + WIRE_RELAY_HEADER_BYTES, (size_t)len);
	atomic_store_explicit(&node_shared(p)->traffic.last_sent_ms, now, memory_order_relaxed);
}

static uint64_t sessions_wall_ms(void *owner)
{
	struct peer *p = owner;

	return node_wall_ms(p->owner);
}

static void sessions_no_suite(void *owner, bool is_news)
{
	struct peer *p = owner;
	struct node *n = p->owner;
	char here[AEAD_OFFER_TEXT_BYTES], there[AEAD_OFFER_TEXT_BYTES];

	if (is_news)
		log_warn("peer %s: no cipher in common: `ciphers` and the CPU allow %s here, %s there", p->name,
			 aead_offer_text(n->identity.suites, here), aead_offer_text(p->sessions.suites_there, there));
	if (sessions_is_refused(&p->sessions, clock_now_ms()))
		node_unreachable(n, p->held);
	node_mark_peer(n, p);
}

static enum cert_verdict sessions_judge_peer(void *owner, const struct wire_trust *shown)
{
	struct peer *p = owner;

	return node_judge_certificate(p->owner, p, shown);
}

static void sessions_untrusted(void *owner, bool is_news)
{
	struct peer *p = owner;

	node_untrusted(p->owner, p, is_news);
}

static const struct sessions_env sessions_env = {
	.send_initiation = send_initiation,
	.changed = sessions_changed,
	.failed = sessions_failed,
	.keepalive = sessions_keepalive,
	.wall_ms = sessions_wall_ms,
	.no_suite = sessions_no_suite,
	.judge = sessions_judge_peer,
	.untrusted = sessions_untrusted,
};

int node_send_session(struct node *n, struct peer *p, const struct path_addr *to, const uint8_t *body, size_t len)
{
	uint8_t buffer[WIRE_RELAY_HEADER_BYTES + WIRE_SEALED_OVERHEAD_BYTES + NODE_SESSION_MAX_BYTES];
	struct session *s = sessions_sendable(&p->sessions, clock_now_ms());
	int sealed;

	if (!s || to->kind == PATH_NONE)
		return -ENOTCONN;
	if (len > NODE_SESSION_MAX_BYTES)
		return -EMSGSIZE;
	sealed = session_seal(s, WIRE_SESSION, 0, buffer + WIRE_RELAY_HEADER_BYTES, body, len);
	if (sealed < 0)
		return sealed;
	return node_send(n, to, member_at(p, to), buffer + WIRE_RELAY_HEADER_BYTES, (size_t)sealed);
}

void node_send_candidates(struct node *n, struct peer *p, bool want_reply)
{
	struct wire_session_candidates c = { .want_reply = want_reply, .candidates = n->here };
	struct path_addr to = node_path_of(n, p), relay = node_relay_of(n, p);
	uint8_t body[WIRE_SESSION_MAX_BYTES];
	int len;

	if (config_path_of(n->config, p->name) == CONFIG_PATH_RELAY) {
		c.candidates.n = 0;
		c.candidates.nat.flags |= NAT_RELAY_ONLY;
	}
	len = wire_session_candidates_encode(body, sizeof(body), &c);
	if (len < 0)
		return;
	node_send_session(n, p, &to, body, (size_t)len);
	/* What makes a path fail is what makes candidates change: the relay gets there, for data or not. */
	if (!path_addr_is_relay(&to))
		node_send_session(n, p, &relay, body, (size_t)len);
}

void node_tell_peer(struct node *n, struct peer *p, uint64_t now_ms)
{
	p->n_tellings = 1;
	p->tell_ms = now_ms + NODE_TELL_AGAIN_MS;
	node_send_candidates(n, p, true);
	node_mark_peer(n, p);
}

static void tell_again(struct node *n, struct peer *p, uint64_t now_ms)
{
	if (!p->n_tellings || now_ms < p->tell_ms)
		return;
	if (p->n_tellings >= NODE_TELLINGS_MAX || !p->settled_index) {
		p->n_tellings = 0;
		return;
	}
	p->tell_ms = now_ms + (NODE_TELL_AGAIN_MS << p->n_tellings++);
	node_send_candidates(n, p, true);
}

static void paths_send(void *arg, const struct path_addr *to, const struct wire_probe *probe)
{
	struct peer *p = arg;
	struct wire_probe said = *probe;
	uint8_t body[NODE_SESSION_MAX_BYTES];
	int len;

	if (said.is_reply)
		said.n_received = (uint32_t)load_u64(&node_shared(p)->traffic.rx_packets);
	len = wire_probe_encode(body, sizeof(body), &said);

	/* A probe that the socket refuses for its size is one that is not answered. */
	if (len > 0)
		node_send_session(p->owner, p, to, body, (size_t)len);
}

static void paths_open(void *arg, const struct path_addr *to)
{
	struct peer *p = arg;
	struct node *n = p->owner;

	if (n->here.nat.mapping != NAT_MAPPING_NONE)
		node_send_opener(n, 0, &to->endpoint, 0);
}

/* Perhaps it is our own NAT that forgot: what does it look like from outside now? */
static void paths_unsure(void *arg)
{
	struct peer *p = arg;
	struct node *n = p->owner;

	for (unsigned i = 0; i < n->n_links; i++)
		link_refresh(n->links[i], clock_now_ms());
	node_uplinks_doubt(n, clock_now_ms());
	node_discovery_refresh(n, clock_now_ms());
}

static void paths_silent(void *arg)
{
	struct peer *p = arg;
	struct node *n = p->owner;

	log_info("peer %s: path fell silent", p->name);
	paths_unsure(p);
	/* And perhaps the peer missed what we told it last. */
	p->n_tellings = 1;
	p->tell_ms = clock_now_ms();
	node_mark_peer(n, p);
}

static uint64_t paths_now_us(void *arg)
{
	(void)arg;
	return uv_hrtime() / 1000;
}

static const struct path_set_env paths_env = {
	.now_us = paths_now_us,
	.send = paths_send,
	.open = paths_open,
	.unsure = paths_unsure,
	.silent = paths_silent,
	.tcp_call = node_tcp_call,
	.tcp_drop = node_tcp_drop,
};

/* ---------------------------------------------------------------- life */

int node_set_up_peer(struct node *n, struct peer *p)
{
	if (p->paths)
		return 0;
	p->owner = n;
	p->shared = shared_peer_new(p->number);
	p->held = held_new();
	p->paths = path_set_new(&paths_env, p);
	if (!p->shared || !p->held || !p->paths) {
		path_set_free(p->paths);
		held_free(p->held);
		shared_peer_unref(p->shared);
		p->paths = NULL;
		p->held = p->shared = NULL;
		return -ENOMEM;
	}
	node_metrics_begin(p);
	sessions_init(&p->sessions, &sessions_env, p, &n->identity, n->indices, &p->key);
	p->sessions.rekey_after_ms = n->rekey_after_ms;
	p->sessions.reject_after_ms = n->reject_after_ms;
	path_set_set_max_datagram(p->paths, n->mtu + WIRE_SEALED_OVERHEAD_BYTES, clock_now_ms());
	node_relays_changed(n, p, clock_now_ms());
	node_apply_policy(n, p);
	node_set_keepalive(n, p);
	if (p->has_there) /* from a life before this */
		node_place_candidates(n, p, clock_now_ms());
	return 0;
}

struct peer *node_put_peer(struct node *n, unsigned coordinator, const struct wire_member *record)
{
	struct peer *displaced = NULL, *p;
	const struct cert *attested;
	bool is_new, was_new = false;
	struct cert cert;

	if (memcmp(record->key, n->identity.public.b, KEY_BYTES) == 0)
		return NULL; /* ourselves */
	attested = node_judge_record(n, coordinator, record, &cert) ? &cert : NULL;
	node_check_record(n, coordinator, record, attested);
	do { /* one may have had its name, another its address */
		p = peers_put(&n->peers, record, attested, coordinator, &is_new, &displaced);
		was_new |= is_new;
		if (displaced)
			node_remove_peer(n, displaced);
	} while (displaced);
	if (p) {
		node_keep_changed(n);
		node_routes_changed(n);
	}
	if (p && p->paths)
		node_relays_changed(n, p, clock_now_ms());
	if (p && was_new)
		node_take_unknown_init(n, p);
	return p;
}

void node_remove_peer(struct node *n, struct peer *p)
{
	node_punch_gone(n, p);
	node_metrics_gone(n, p);
	if (p->paths) {
		sessions_fini(&p->sessions);
		path_set_free(p->paths);
		held_free(p->held);
		shared_peer_unref(p->shared);
		n->is_table_stale = true;
	}
	peers_remove_take(&n->peers, p);
	node_routes_changed(n);
}

void node_want_peer(struct node *n, struct peer *p)
{
	uint64_t now = clock_now_ms();

	if (node_set_up_peer(n, p) < 0)
		return;
	p->wanted_ms = now;
	if (!sessions_sendable(&p->sessions, now) && !sessions_is_refused(&p->sessions, now)) {
		node_ask_introduction(n, p, now);
		sessions_want(&p->sessions, now);
	}
	node_mark_peer(n, p);
}

/* What the relays take of us: the least, for which one it will be is not known. */
static uint64_t relay_rate(const struct node *n)
{
	uint64_t least = 0;

	for (unsigned i = 0; i < n->n_links; i++) {
		const struct wire_registered *r = link_registration(n->links[i]);

		if (r && r->relay_rate && (!least || r->relay_rate < least))
			least = r->relay_rate;
	}
	return least;
}

void node_tick_peer(struct node *n, struct peer *p, uint64_t now_ms)
{
	struct shared_peer *shared = p->shared;
	struct path_activity activity;
	uint64_t last;

	p->due_ms = UINT64_MAX;
	if (!p->paths)
		return;
	activity = (struct path_activity){
		.last_sent_ms = load_u64(&shared->traffic.last_data_sent_ms),
		.path_received_ms = load_u64(&shared->traffic.path_received_ms),
		.in_contact = node_is_in_contact(p, now_ms),
		.n_sent = load_u64(&shared->traffic.tx_packets),
		.sent_bytes = load_u64(&shared->traffic.tx_bytes),
		.relay_bit_s = relay_rate(n),
	};
	p->last_seen_ms = later(p->last_seen_ms, load_u64(&shared->traffic.last_received_ms));
	node_trust_tick_peer(n, p, now_ms);
	sessions_tick(&p->sessions, &shared->traffic, now_ms);
	path_set_tick(p->paths, &activity, now_ms);
	node_tcp_tick_peer(n, p, activity.path_received_ms, now_ms);
	tell_again(n, p, now_ms);
	node_punch_consider(n, p, now_ms);
	last = later(activity.last_sent_ms, load_u64(&shared->traffic.last_data_received_ms));
	if (now_ms - last >= NODE_ASLEEP_AFTER_MS)
		atomic_store_explicit(&shared->is_asleep, true, memory_order_relaxed);
	/* The best path, the extra one or the sendable session may be others now. */
	node_mark_peer(n, p);
}

/* When does this peer want its next tick? */
static uint64_t next_of(const struct node *n, const struct peer *p, uint64_t now_ms)
{
	const struct shared_peer *shared = p->shared;
	bool is_asleep = atomic_load_explicit(&shared->is_asleep, memory_order_relaxed);
	uint64_t next = is_asleep ? sessions_quiet_ms(&p->sessions) : sessions_next_ms(&p->sessions);
	uint64_t paths = path_set_next_ms(p->paths),
		 search = is_asleep ? UINT64_MAX : node_punch_begin_ms(n, p, now_ms);

	if (search < next)
		next = search;
	if (node_trust_next_ms(n, p, now_ms) < next)
		next = node_trust_next_ms(n, p, now_ms);
	if (paths < next)
		next = paths;
	if (p->n_tellings && p->tell_ms < next)
		next = p->tell_ms;
	/* Awake: look whether it fell silent. */
	if (!is_asleep && now_ms + NODE_ASLEEP_AFTER_MS < next)
		next = now_ms + NODE_ASLEEP_AFTER_MS;
	return next;
}

/* A network that was the peer's, as far as was known when the packet was held, may not be by its certificate: a packet that the
 * table does not carry would come straight back. */
static void send_held(void *arg, const uint8_t *packet, size_t len)
{
	struct node *n = arg;
	const struct table_route *route;
	struct inner_ip ip;

	if (inner_ip_parse(&ip, packet, len) < 0)
		return;
	route = table_find_addr(n->lane.table, &ip.dst);
	if (route && route->session && route->n_paths)
		lane_send_packet(&n->lane, packet, len);
	else
		node_tell_unreachable(n, packet, len);
}

/* The path in use up to now was left for what it loses. */
static void log_loss(const struct peer *p)
{
	for (unsigned i = 0; i < path_set_count(p->paths); i++) {
		const struct path *path = path_set_at(p->paths, i);

		if (path->is_lossy && path_addr_equal(&path->addr, &p->logged))
			log_info("peer %s: path loses %d.%d %%", p->name, path->loss_permille / 10,
				 path->loss_permille % 10);
	}
}

static void log_path(struct node *n, struct peer *p)
{
	const struct path *best = path_set_best(p->paths);
	char text[ADDR_TEXT_BYTES];

	if (!best ? p->logged.kind == PATH_NONE : path_addr_equal(&best->addr, &p->logged))
		return;
	log_loss(p);
	p->logged = best ? best->addr : (struct path_addr){ .kind = PATH_NONE };
	p->path_since_ms = clock_now_ms();
	node_keep_changed(n);
	node_report_path(n, p, p->path_since_ms);
	USDT3(path_switch, (const char *)p->name, best ? path_kind_name(best) : "none", best ? best->rtt_us : 0);
	if (!best)
		log_info("peer %s: no path", p->name);
	else if (path_addr_is_direct(&best->addr))
		log_info("peer %s: %s path %s, rtt %u us", p->name, path_kind_name(best),
			 endpoint_to_text(&best->addr.endpoint, text), best->rtt_us);
	else
		log_info("peer %s: relay path through %s over %s, rtt %u us", p->name,
			 link_config(n->links[best->addr.coordinator])->name, path_transport_name(&best->addr),
			 best->rtt_us);
}

void node_settle_peer(struct node *n, struct peer *p, uint64_t now_ms)
{
	struct session *s;

	if (!p->paths)
		return;
	s = sessions_sendable(&p->sessions, now_ms);
	if (s && s->local_index != p->settled_index) {
		bool is_first = p->settled_index == 0;

		p->settled_index = s->local_index;
		p->is_other_version = false;
		counters_inc(node_counters(n), COUNTER_handshakes_completed);
		USDT2(handshake_done, (const char *)p->name, aead_suite_name(s->suite));
		node_check_compression(n, p, s, now_ms);
		/* New keys: the far side is told where we can be reached, which also confirms them to it. */
		node_tell_peer(n, p, now_ms);
		node_revocations_met(n, p, now_ms);
		if (is_first)
			path_set_start(p->paths, now_ms);
	} else if (!s && p->settled_index) {
		p->settled_index = 0;
		path_set_stop(p->paths, now_ms);
	}
	node_trust_settle_peer(p);
	log_path(n, p);
	node_metrics_settle(n, p, now_ms);
	node_punch_settled(n, p, now_ms);
	if (s && !held_is_empty(p->held) && node_lane_enter(n)) {
		const struct table_route *route = table_find_addr(n->lane.table, &p->addrs[0]);

		/* Only when the published table can carry them; else they would come straight back. */
		if (route && route->peer == p->shared && route->session && route->n_paths)
			held_drain(p->held, send_held, n);
		lane_leave(&n->lane);
	}
	if (s && n->pings)
		node_ping_peer_ready(n, p, now_ms);
	p->due_ms = next_of(n, p, now_ms);
	node_due(n, p->due_ms);
}

void node_say_close(struct node *n)
{
	uint8_t body[8];
	int len = wire_session_close_encode(body, sizeof(body));

	for (struct peer *p = n->peers.by_number; p; p = p->by_number.next) {
		struct path_addr to;

		if (!p->paths || len < 0)
			continue;
		to = node_path_of(n, p);
		node_send_session(n, p, &to, body, (size_t)len);
	}
}

/* ---------------------------------------------------------------- candidates */

void node_apply_policy(struct node *n, struct peer *p)
{
	static const enum path_policy policies[] = {
		[CONFIG_PATH_AUTO] = PATH_POLICY_AUTO,
		[CONFIG_PATH_DIRECT] = PATH_POLICY_DIRECT,
		[CONFIG_PATH_RELAY] = PATH_POLICY_RELAY,
	};

	p->policy = policies[config_path_of(n->config, p->name)];
	/* One who is not answered need not ask. Against its wish for the relay ours for a direct path can do nothing either. */
	if (p->wants_relay && p->policy == PATH_POLICY_AUTO)
		p->policy = PATH_POLICY_RELAY;
	if (!p->paths)
		return;
	path_set_set_policy(p->paths, p->policy, clock_now_ms());
	node_mark_peer(n, p);
}

/* As far as a search cares: ports and lifetimes come and go, and a filtering that was measured meanwhile is the one it had. */
static bool is_same_nat(const struct nat_facts *old, const struct nat_facts *new)
{
	const uint16_t flags = NAT_TESTED | NAT_UDP4_OK | NAT_UDP_BLOCKED;

	return old->mapping == new->mapping && (old->flags & flags) == (new->flags &flags) &&
	       old->port_step == new->port_step &&
	       (old->filtering == new->filtering || old->filtering == NAT_FILTERING_UNKNOWN);
}

void node_take_candidates(struct node *n, struct peer *p, const struct candidates *c)
{
	uint64_t now = clock_now_ms();

	if (!p->has_there || !is_same_nat(&p->there.nat, &c->nat))
		node_punch_changed(n, p);
	p->has_there = true;
	p->there = *c;
	node_keep_changed(n);
	node_apply_policy(n, p);
	node_set_keepalive(n, p);
	node_place_candidates(n, p, now);
	node_udp_blocked(n, p, now);
}
