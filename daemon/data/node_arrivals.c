/* What arrives: handshakes, what peers say inside sessions, bind answers, and the workers' mail. */
#include <errno.h>
#include <string.h>

#include "daemon/data/node_private.h"

static uint64_t load_ms(const _Atomic uint64_t *at)
{
	return atomic_load_explicit(at, memory_order_relaxed);
}

static struct sessions *responder_find(void *arg, const struct pubkey *key)
{
	struct node *n = arg;
	struct peer *p = peers_by_key(&n->peers, key);

	if (!p) {
		/* The coordinator may say who this is; the initiation is kept for as long as that takes. */
		if (n->receiving) {
			struct unknown_init *u = &n->unknown[n->next_unknown++ % NODE_UNKNOWN_INITS];

			*u = *n->receiving;
			u->key = *key;
		}
		node_ask_key(n, key);
		return NULL;
	}
	return node_set_up_peer(n, p) == 0 ? &p->sessions : NULL;
}

static void responder_send(void *arg, const struct path_addr *to, uint32_t relay_member, const uint8_t *data,
			   size_t len)
{
	uint8_t buffer[WIRE_RELAY_HEADER_BYTES + WIRE_HANDSHAKE_MAX_BYTES];

	if (len > WIRE_HANDSHAKE_MAX_BYTES)
		return;
	/* The workers must know the new keys before the peer does: its first datagram follows at once. */
	node_publish(arg, clock_now_ms());
	memcpy(buffer + WIRE_RELAY_HEADER_BYTES, data, len);
	node_send(arg, to, relay_member, buffer + WIRE_RELAY_HEADER_BYTES, len);
}

/* The first time we say something in our version, by which the peer learns of it as we did. */
static void responder_other_version(void *arg, const struct path_addr *from, uint32_t relay_member, uint8_t version)
{
	struct node *n = arg;
	struct peer *p = peers_by_member(&n->peers, from->coordinator, relay_member);

	if (!p || p->is_other_version)
		return;
	p->is_other_version = true;
	log_warn("peer %s: speaks version %u of the protocol, and this node version %d", p->name, version,
		 WIRE_VERSION);
	node_want_peer(n, p);
}

const struct responder_env node_responder_env = {
	.find = responder_find,
	.send = responder_send,
	.other_version = responder_other_version,
};

static void on_initiation(struct node *n, const struct path_addr *from, uint32_t member, const uint8_t *data,
			  size_t len)
{
	uint64_t now = clock_now_ms();
	struct unknown_init received = { .from = *from, .member = member, .len = len, .at_ms = now };
	struct sessions *s;
	struct peer *p;

	if (len <= sizeof(received.data)) {
		memcpy(received.data, data, len);
		n->receiving = &received;
	}
	s = responder_receive(n->responder, from, member, data, len, now);
	n->receiving = NULL;
	if (!s)
		return;
	p = s->owner;
	p->answered = *from;
	node_heard(n, p, from);
	path_set_open(p->paths, now); /* with our answer it can probe us, and we not yet it */
	if (path_addr_is_relay(from) && peers_learn_member(p, from->coordinator, member))
		node_relays_changed(n, p, now);
	node_mark_peer(n, p);
}

/* The relay over UDP may be faster than the introduction over TCP: its initiation waited for it. */
void node_take_unknown_init(struct node *n, struct peer *p)
{
	for (unsigned i = 0; i < NODE_UNKNOWN_INITS; i++) {
		struct unknown_init u = n->unknown[i];

		if (!u.len || !pubkey_equal(&u.key, &p->key))
			continue;
		n->unknown[i].len = 0;
		if (clock_now_ms() - u.at_ms < NODE_UNKNOWN_MS)
			on_initiation(n, &u.from, u.member, u.data, u.len);
	}
}

/* Is it one we sent to of our own accord, not because something came from there? */
static bool is_own_choice(const struct peer *p, const struct path_addr *addr)
{
	for (unsigned i = 0; i < path_set_count(p->paths); i++) {
		const struct path *path = path_set_at(p->paths, i);

		if (path_addr_equal(&path->addr, addr))
			return path->candidate != CANDIDATE_PEER_REFLEXIVE || path->n_answered > 0;
	}
	return false;
}

/* A handshake's message came. The peer made it, but whoever is on its way can send it on from anywhere: an endpoint we
 * have not sent to has shown nothing by that, and is asked by a probe. Relays vouch for what they forward. */
static void handshake_came(struct node *n, struct peer *p, const struct path_addr *from, bool is_where_we_sent,
			   uint32_t rtt_us)
{
	uint64_t now = clock_now_ms();

	node_heard(n, p, from);
	if (!node_may_send_to(n, p, from))
		return;
	if (path_addr_is_relay(from) || is_where_we_sent)
		path_set_on_handshake(p->paths, from, rtt_us, now);
	else
		path_set_on_data(p->paths, from, now);
	node_mark_peer(n, p);
}

static void on_response(struct node *n, const struct path_addr *from, const uint8_t *data, size_t len)
{
	struct wire_response r;
	enum index_kind kind;
	uint32_t rtt_us = 0;
	struct peer *p;
	int ret;

	if (wire_response_decode(&r, data, len) < 0) {
		counters_inc(node_counters(n), COUNTER_handshake_malformed);
		return;
	}
	p = indices_find(n->indices, r.receiver, &kind);
	if (!p || kind != INDEX_HANDSHAKE) {
		counters_inc(node_counters(n), COUNTER_drop_unknown_index);
		return;
	}
	ret = sessions_on_response(&p->sessions, data, len, clock_now_ms(), &rtt_us);
	if (ret < 0) {
		counters_inc(node_counters(n), ret == -ENOTSUP ? COUNTER_handshake_no_cipher :
					       ret == -EACCES  ? COUNTER_handshake_untrusted :
								 COUNTER_handshake_bad_auth);
		return;
	}
	handshake_came(n, p, from, is_own_choice(p, from), rtt_us);
}

static void on_cookie(struct node *n, const uint8_t *data, size_t len)
{
	struct wire_cookie c;
	enum index_kind kind;
	struct peer *p;

	if (wire_cookie_decode(&c, data, len) < 0) {
		counters_inc(node_counters(n), COUNTER_handshake_malformed);
		return;
	}
	p = indices_find(n->indices, c.receiver, &kind);
	if (p && kind == INDEX_HANDSHAKE)
		sessions_on_cookie(&p->sessions, data, len, clock_now_ms());
}

/* A first datagram under a session the peer initiated: it is there, and if it came from where our answer went, that way
 * goes both ways. */
static void on_opened(struct node *n, struct peer *p, uint32_t index, const struct path_addr *from)
{
	struct session *s = p->sessions.next;

	if (!s || s->local_index != index)
		return;
	sessions_on_opened(&p->sessions, s, clock_now_ms());
	handshake_came(n, p, from, path_addr_equal(&p->answered, from), 0);
}

static struct session *session_of(struct sessions *s, uint32_t index)
{
	struct session *all[] = { s->current, s->next, s->previous };

	for (size_t i = 0; i < 3; i++)
		if (all[i] && all[i]->local_index == index)
			return all[i];
	return NULL;
}

static void on_closed_by_peer(struct node *n, struct peer *p, uint64_t now_ms)
{
	uint64_t sent = load_ms(&node_shared(p)->traffic.last_data_sent_ms);

	log_info("peer %s: ended the session", p->name);
	sessions_drop(&p->sessions);
	node_mark_peer(n, p);
	/* Someone is talking to it: it may be back in a moment. */
	if (sent && now_ms - sent < NODE_FRESH_MS)
		node_want_peer(n, p);
}

static void on_session(struct node *n, const struct path_addr *from, uint8_t *data, size_t len)
{
	struct counters *counters = node_counters(n);
	uint8_t *body = data + WIRE_SEALED_HEADER_BYTES;
	struct wire_session_candidates c;
	struct wire_punch punch;
	uint64_t now = clock_now_ms();
	struct wire_probe probe;
	enum index_kind kind;
	struct wire_sealed h;
	struct session *s;
	struct peer *p;
	int n_body;

	if (wire_sealed_decode(&h, data, len) < 0) {
		counters_inc(counters, COUNTER_drop_short);
		return;
	}
	p = indices_find(n->indices, h.index, &kind);
	s = p && kind == INDEX_SESSION ? session_of(&p->sessions, h.index) : NULL;
	if (!s) {
		counters_inc(counters, COUNTER_drop_unknown_index);
		return;
	}
	n_body = session_open(s, &h, data, len, now);
	if (n_body < 0) {
		counters_inc(counters, n_body == -EALREADY    ? COUNTER_drop_replay :
				       n_body == -EKEYEXPIRED ? COUNTER_drop_expired :
								COUNTER_drop_auth);
		return;
	}
	p->last_seen_ms = now;
	node_heard(n, p, from);
	atomic_store_explicit(&node_shared(p)->traffic.last_received_ms, now, memory_order_relaxed);
	atomic_store_explicit(&s->is_confirmed, true, memory_order_relaxed);
	on_opened(n, p, h.index, from);
	switch (wire_session_type_of(body, (size_t)n_body)) {
	case SESSION_PROBE:
		if (wire_probe_decode(&probe, body, (size_t)n_body) < 0)
			break;
		if (!node_may_send_to(n, p, from))
			return;
		if (!probe.is_reply)
			path_set_on_probe(p->paths, from, &probe, now);
		else if (!node_ping_answered(n, p, &probe) && !path_set_on_reply(p->paths, from, &probe, now))
			counters_inc(counters, COUNTER_drop_answer);
		node_mark_peer(n, p);
		return;
	case SESSION_CANDIDATES:
		if (wire_session_candidates_decode(&c, body, (size_t)n_body) < 0)
			break;
		p->wants_relay = c.candidates.nat.flags & NAT_RELAY_ONLY;
		c.candidates.nat.flags &= (uint16_t)~NAT_RELAY_ONLY;
		node_take_candidates(n, p, &c.candidates);
		if (c.want_reply)
			node_send_candidates(n, p, false);
		else
			p->n_tellings = 0; /* the answer to ours */
		return;
	case SESSION_PUNCH:
		if (wire_punch_decode(&punch, body, (size_t)n_body) < 0)
			break;
		node_punch_on_message(n, p, &punch);
		return;
	case SESSION_TCP:
		path_set_tcp_called(p->paths, now);
		node_mark_peer(n, p);
		return;
	case SESSION_REVOCATIONS:
		if (node_revocations_from_peer(n, p, body, (size_t)n_body) < 0)
			break;
		return;
	case SESSION_CLOSE:
		on_closed_by_peer(n, p, now);
		return;
	default:
		break; /* of a later version */
	}
	counters_inc(counters, COUNTER_drop_type);
}

static void on_bind(struct node *n, const struct path_addr *from, uint8_t *data, size_t len)
{
	struct wire_bind reply;
	struct wire_sealed h;
	enum index_kind kind;
	struct link *l;

	if (from->kind != PATH_UDP || wire_sealed_decode(&h, data, len) < 0) {
		counters_inc(node_counters(n), COUNTER_bind_bad);
		return;
	}
	l = indices_find(n->indices, h.index, &kind);
	if (!l || kind != INDEX_LINK || link_open_bind(l, &h, data, len, &reply) < 0)
		counters_inc(node_counters(n), COUNTER_bind_bad);
	else if (from->socket || !link_on_bind(l, &from->endpoint, &reply, clock_now_ms())) {
		/* Each of them knows its own by its token. */
		node_punch_on_bind(n, from->socket, &reply);
		node_uplinks_on_bind(n, from->socket, &reply);
		node_discovery_on_bind(n, l, from, &reply);
		node_lifetime_on_bind(n, l, from, &reply);
	}
}

/* Whatever is not a data packet, whichever socket or connection it came by. */
void node_datagram(struct node *n, const struct path_addr *from, uint32_t member, uint8_t *data, size_t len)
{
	switch (len ? data[0] : 0) {
	case WIRE_INIT:
		on_initiation(n, from, member, data, len);
		break;
	case WIRE_RESPONSE:
		on_response(n, from, data, len);
		break;
	case WIRE_COOKIE:
		on_cookie(n, data, len);
		break;
	case WIRE_SESSION:
		on_session(n, from, data, len);
		break;
	case WIRE_BIND:
		on_bind(n, from, data, len);
		break;
	case WIRE_LOOP:
		node_discovery_on_loop(n, from, data, len);
		break;
	default: /* the lanes let through nothing else */
		node_discovery_on_stun(n, from, data, len);
	}
}

/* The socket says so of an endpoint: a peer's own, or a coordinator's for all that is relayed there. */
static void refused_for_size(struct node *n, const struct endpoint *to, uint32_t bytes)
{
	uint64_t now = clock_now_ms();

	for (struct peer *p = n->peers.by_number; p; p = p->by_number.next) {
		const struct path *best = p->paths ? path_set_best(p->paths) : NULL;
		uint32_t datagram = bytes;

		if (!best || best->addr.kind == PATH_RELAY_TCP || best->addr.kind == PATH_TCP)
			continue;
		if (best->addr.kind == PATH_RELAY_UDP) {
			if (!endpoint_equal(link_udp_endpoint(n->links[best->addr.coordinator]), to))
				continue;
			datagram -= WIRE_RELAY_HEADER_BYTES;
		} else if (!endpoint_equal(&best->addr.endpoint, to)) {
			continue;
		}
		path_set_on_too_big(p->paths, &best->addr, datagram, now);
		node_mark_peer(n, p);
	}
}

void node_mail(void *arg, struct mail *m)
{
	struct node *n = arg;
	struct peer *p = m->peer ? peers_by_number(&n->peers, m->peer) : NULL;

	switch (m->kind) {
	case MAIL_DATAGRAM:
		node_datagram(n, &m->from, m->member, m->data, m->len);
		break;
	case MAIL_PACKET:
		node_packet(n, m->data, m->len);
		break;
	case MAIL_TCP_RELAY:
		if (m->from.coordinator >= n->n_links ||
		    link_send_relayed(n->links[m->from.coordinator], m->member, m->data, m->len) < 0)
			counters_inc(node_counters(n), COUNTER_drop_send_error);
		break;
	case MAIL_TCP:
		if (tcp_paths_send(n->tcp, &m->from.endpoint, m->data, m->len, TCP_PATHS_DATA) < 0)
			counters_inc(node_counters(n), COUNTER_drop_send_error);
		break;
	case MAIL_AWAKE:
		if (p)
			node_tick_peer(n, p, clock_now_ms());
		break;
	case MAIL_OPENED:
		if (p)
			on_opened(n, p, m->index, &m->from);
		break;
	case MAIL_TOO_BIG:
		refused_for_size(n, &m->from.endpoint, m->index);
		break;
	case MAIL_REFUSED:
		node_offload_refused(n);
		break;
	case MAIL_SOURCE:
		if (p && node_may_send_to(n, p, &m->from)) {
			path_set_on_data(p->paths, &m->from, clock_now_ms());
			node_mark_peer(n, p);
		}
		break;
	}
}
