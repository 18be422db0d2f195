/* What coordinators tell: who we are, who others are, whom we shall meet; and what we tell them: where we can be reached. */
#include <errno.h>
#include <string.h>

#include "daemon/data/node_private.h"

/* ---------------------------------------------------------------- our candidates */

void node_add_candidate(struct candidates *c, enum candidate_kind kind, const struct endpoint *endpoint)
{
	for (unsigned i = 0; i < c->n; i++)
		if (endpoint_equal(&c->v[i].endpoint, endpoint) &&
		    candidate_is_tcp(c->v[i].kind) == candidate_is_tcp(kind))
			return;
	if (c->n < WIRE_CANDIDATES_MAX)
		c->v[c->n++] = (struct candidate){ .kind = kind, .endpoint = *endpoint };
}

static void add_reflexive(struct node *n, struct candidates *c)
{
	const struct discovery_facts *f = node_discovery_facts(n);

	for (unsigned i = 0; i < f->n_reflexive; i++)
		if (!node_is_overlay(n, &f->reflexive[i].ip))
			node_add_candidate(c, CANDIDATE_REFLEXIVE, &f->reflexive[i]);
}

/* An address of the public network can be connected to, or a firewall be opened by connecting from both ends. Others serve within
 * a site only, where UDP does as well, unless it is this host that lets none through. */
static void add_tcp(const struct node *n, struct candidates *c)
{
	bool is_blocked = c->nat.flags & NAT_UDP_BLOCKED;
	struct endpoint seen;

	for (unsigned i = 0; i < n->ifaces.n && tcp_paths_port(n->tcp); i++) {
		struct endpoint endpoint = { .ip = n->ifaces.v[i].ip, .port = tcp_paths_port(n->tcp) };

		if (ip_is_link_local(&endpoint.ip) || node_is_overlay(n, &endpoint.ip))
			continue;
		if (is_blocked || !ip_is_private(&endpoint.ip))
			node_add_candidate(c, CANDIDATE_TCP_HOST, &endpoint);
	}
	/* A NAT that gives each UDP destination another port does so for TCP. */
	for (unsigned i = 0; i < n->n_links && !nat_is_hard(&c->nat); i++)
		if (link_tcp_reflexive(n->links[i], &seen) && !node_is_overlay(n, &seen.ip))
			node_add_candidate(c, CANDIDATE_TCP_REFLEXIVE, &seen);
}

/* Only a proxy lets us out, and no name of the outside resolves here, so that there is no server to be asked over UDP. */
static bool is_without_servers(const struct node *n)
{
	bool any_proxied = false;

	for (unsigned i = 0; i < n->n_links; i++) {
		if (!link_is_registered(n->links[i]))
			continue;
		if (!link_is_proxied(n->links[i]) || !ip_is_none(&link_udp_endpoint(n->links[i])->ip))
			return false;
		any_proxied = true;
	}
	return any_proxied;
}

static void judge_nat(struct node *n, struct candidates *c)
{
	const uint16_t mapped = c->nat.flags; /* the gateway's word */
	bool any_registered = false, is_tested, any_ok;

	for (unsigned i = 0; i < n->n_links; i++)
		any_registered |= link_is_registered(n->links[i]);
	c->nat = node_discovery_facts(n)->nat;
	c->nat.flags |= mapped;
	c->nat.lifetime_s = node_lifetime_s(n);
	is_tested = c->nat.flags & NAT_TESTED;
	any_ok = c->nat.flags & (NAT_UDP4_OK | NAT_UDP6_OK);
	if (is_without_servers(n)) {
		is_tested = true;
		c->nat.flags |= NAT_TESTED;
	}
	if (any_registered && is_tested && !any_ok)
		c->nat.flags |= NAT_UDP_BLOCKED;
}

static bool is_same(const struct candidates *a, const struct candidates *b)
{
	if (a->n != b->n || !nat_facts_equal(&a->nat, &b->nat))
		return false;
	for (unsigned i = 0; i < a->n; i++)
		if (a->v[i].kind != b->v[i].kind || !endpoint_equal(&a->v[i].endpoint, &b->v[i].endpoint))
			return false;
	return true;
}

/* Whoever keeps a mapping open by it keeps on doing so a little too often until the next keys are made: it is told then. */
static bool is_only_longer_lived(const struct candidates *old, const struct candidates *new)
{
	struct candidates same = *new;

	same.nat.lifetime_s = old->nat.lifetime_s;
	return is_same(old, &same) && new->nat.lifetime_s >= NODE_LIFETIME_SAFE_S;
}

static void tell_coordinator(struct node *n, struct link *l)
{
	uint8_t message[WIRE_CANDIDATES_MAX_BYTES + 8];
	int len = wire_control_candidates_encode(message, sizeof(message), &n->here);

	if (len > 0)
		link_send(l, message, (size_t)len);
}

void node_candidates_changed(struct node *n, uint64_t now_ms)
{
	struct candidates c = { 0 };
	bool is_moved, can_wait;

	n->are_candidates_stale = false;
	node_lifetime_facts_changed(n, now_ms);
	node_add_outside(n, &c);
	for (unsigned i = 0; i < n->ifaces.n; i++) {
		struct endpoint endpoint = { .ip = n->ifaces.v[i].ip, .port = n->port };

		if (!ip_is_link_local(&endpoint.ip) && !node_is_overlay(n, &endpoint.ip))
			node_add_candidate(&c, CANDIDATE_HOST, &endpoint);
	}
	add_reflexive(n, &c);
	judge_nat(n, &c);
	add_tcp(n, &c);
	node_add_outside_tcp(n, &c);
	if (is_same(&c, &n->here))
		return;
	is_moved = node_was_moved(&n->here, &c);
	can_wait = is_only_longer_lived(&n->here, &c);
	n->here = c;
	node_set_keepalives(n, now_ms);
	if (is_moved)
		outside_hint(n->outside);
	node_tell_hook(n);
	for (unsigned i = 0; i < n->n_links; i++)
		if (link_is_registered(n->links[i]))
			tell_coordinator(n, n->links[i]);
	for (struct peer *p = n->peers.by_number; p; p = p->by_number.next) {
		if (!p->paths)
			continue;
		node_udp_blocked(n, p, now_ms);
		if (!can_wait && p->settled_index && node_is_in_contact(p, now_ms))
			node_tell_peer(n, p, now_ms);
	}
}

/* ---------------------------------------------------------------- registration */

static void refresh_relays(struct node *n)
{
	uint64_t now = clock_now_ms();

	for (struct peer *p = n->peers.by_number; p; p = p->by_number.next)
		node_relays_changed(n, p, now);
	n->is_table_stale = true;
	n->are_candidates_stale = true;
}

/* It has said what it knows of the peer, or will not. */
static void stop_asking(struct peer *p, const struct link *l)
{
	p->asking &= (uint8_t) ~(1u << link_number(l));
}

static void on_registered(void *arg, struct link *l, const struct wire_registered *r)
{
	struct node *n = arg;
	uint64_t now = clock_now_ms();
	struct prefix addrs[WIRE_ADDRS_MAX];
	unsigned n_addrs = node_own_addresses(n, l, r, addrs);

	log_info("coordinator %s: registered as %s in network %s", link_config(l)->name, r->name, r->network);
	if (strcmp(r->name, n->name) != 0)
		log_warn("coordinator %s: calls us %s, our file %s", link_config(l)->name, r->name, n->name);
	node_apply_addresses(n, addrs, n_addrs);
	node_revocations_registered(n, l);
	refresh_relays(n);
	node_keep_registered(n, now);
	node_set_keepalives(n, now);
	node_discovery_servers_changed(n, now);
	tell_coordinator(n, l);
	node_report_all(n, l, now);
	/* Whom we are talking to, or want to: the coordinator, perhaps restarted, shall know, so that it tells each of the other. */
	for (struct peer *p = n->peers.by_number; p; p = p->by_number.next)
		if (p->paths && node_is_in_contact(p, now)) {
			if (!node_introduce_at(l, p))
				node_ask_key_at(n, l, &p->key);
			if (!held_is_empty(p->held))
				node_want_peer(n, p);
		}
	node_routes_ask(n);
	node_routes_changed(n); /* its address is known */
	node_due(n, now);       /* look-ups that waited for a coordinator */
}

static void on_lost(void *arg, struct link *l)
{
	struct node *n = arg;

	log_warn("coordinator %s: lost: %s", link_config(l)->name, registrar_error(link_registrar(l)));
	for (struct peer *p = n->peers.by_number; p; p = p->by_number.next) {
		p->is_online[link_number(l)] = false;
		stop_asking(p, l);
	}
	n->copies[link_number(l)].is_fetching = false;
	refresh_relays(n);
	node_discovery_servers_changed(n, clock_now_ms());
	node_lifetime_disturbed(n, clock_now_ms());
}

static void on_changed(void *arg, struct link *l)
{
	refresh_relays(arg);
	node_discovery_binding_changed(arg, l, clock_now_ms());
}

/* ---------------------------------------------------------------- others */

static void on_introduce(struct node *n, struct link *l, const struct wire_introduce *m)
{
	uint64_t now = clock_now_ms();
	struct peer *p = node_put_peer(n, link_number(l), &m->member);

	if (!p || node_set_up_peer(n, p) < 0)
		return;
	log_debug("peer %s: introduced by %s, %u candidates", p->name, link_config(l)->name, m->candidates.n);
	node_take_candidates(n, p, &m->candidates);
	stop_asking(p, l);
	path_set_open(p->paths, now); /* it was told of us in the same moment */
	p->offline_ms = 0;
	/* The asker's initiation comes through the relay. Without a relay both must send to open their NATs. */
	if (sessions_sendable(&p->sessions, now) && !p->is_restarted)
		return;
	p->is_restarted = false;
	if (m->flags & INTRODUCE_ASKED)
		sessions_renew(&p->sessions, now); /* if an earlier one went to nobody */
	else if (!link_can_relay(l, PATH_RELAY_TCP))
		sessions_want(&p->sessions, now);
	node_mark_peer(n, p);
}

/* One coordinator knows it no more; when none does, it is no peer of ours. */
static void forget_at(struct node *n, struct peer *p, unsigned coordinator)
{
	bool is_anywhere = false;

	p->member[coordinator] = 0;
	p->cached &= (uint8_t) ~(1u << coordinator);
	p->is_online[coordinator] = false;
	for (unsigned i = 0; i < CONFIG_COORDINATORS_MAX; i++)
		is_anywhere |= peers_is_known_at(p, i);
	node_keep_changed(n);
	/* A good certificate makes a member, whatever a coordinator says; its sessions go with it or at their time. */
	if (!is_anywhere && !p->credential.is_good)
		node_remove_peer(n, p);
	else
		node_relays_changed(n, p, clock_now_ms());
}

/* Whoever talked to it, or tried to, need not wait for the next repeat. */
static void came_back(struct node *n, struct link *l, struct peer *p, uint64_t now_ms)
{
	p->is_online[link_number(l)] = true;
	p->offline_ms = 0;
	p->asked_ms = 0;
	/* The introduction that is asked for here starts a handshake: before it the peer would not know us. */
	if (p->paths && node_is_in_contact(p, now_ms))
		node_ask_introduction(n, p, now_ms);
}

static void on_peer_event(struct node *n, struct link *l, const struct wire_peer_event *e)
{
	struct peer *p = peers_by_member(&n->peers, link_number(l), e->member);
	uint64_t now = clock_now_ms();

	if (!p)
		return;
	if (e->event == PEER_RESTARTED || e->event == PEER_ONLINE) {
		sessions_forget_refusal(&p->sessions);
		p->is_other_version = false;
	}
	switch (e->event) {
	case PEER_RESTARTED: /* its sessions are gone */
		if (p->paths && p->sessions.current) {
			log_info("peer %s: restarted", p->name);
			path_set_start(p->paths, now);
			p->is_restarted = true;
		}
		came_back(n, l, p, now);
		break;
	case PEER_ONLINE:
		if (!p->paths || !sessions_sendable(&p->sessions, now))
			came_back(n, l, p, now);
		p->is_online[link_number(l)] = true;
		break;
	case PEER_OFFLINE:
		p->is_online[link_number(l)] = false;
		stop_asking(p, l);
		if (!node_is_known_offline(n, p))
			break;
		p->offline_ms = now;
		if (p->paths && !sessions_sendable(&p->sessions, now))
			node_unreachable(n, p->held);
		break;
	case PEER_REMOVED:
		log_info("peer %s: no member at %s any more", p->name, link_config(l)->name);
		forget_at(n, p, link_number(l));
		return;
	}
	node_routes_changed(n);
	node_relays_changed(n, p, now);
}

/* ---------------------------------------------------------------- the directory */

static int fetch_page(struct link *l, struct directory_copy *copy, uint32_t from)
{
	struct wire_list list = { .version = from ? 0 : copy->version, .from = from };
	uint8_t message[32];
	int len = wire_list_encode(message, sizeof(message), &list);

	copy->from = from;
	copy->asked_ms = clock_now_ms();
	return len < 0 ? len : link_send(l, message, (size_t)len);
}

int node_fetch_directory(struct node *n)
{
	uint64_t now = clock_now_ms();
	int asked = 0;

	for (unsigned i = 0; i < n->n_links; i++) {
		struct directory_copy *copy = &n->copies[i];

		if (!link_is_registered(n->links[i]))
			continue;
		if (!copy->is_fetching || now - copy->asked_ms >= NODE_PAGE_MS) {
			/* Asked again, it goes on with its mark: the pages that did come, or still come, are of it too. */
			copy->mark += !copy->is_fetching;
			if (fetch_page(n->links[i], copy, copy->is_fetching ? copy->from : 0) < 0)
				continue;
			copy->is_fetching = true;
		}
		asked++;
	}
	return asked;
}

/* Whoever was not in a whole listing is no member there any more. */
static void sweep(struct node *n, unsigned coordinator, uint64_t mark)
{
	struct peer *p, *tmp;

	HASH_ITER(by_number, n->peers.by_number, p, tmp) {
		if (p->listed[coordinator] != mark)
			forget_at(n, p, coordinator);
	}
}

static void on_members(struct node *n, struct link *l, const struct wire_members *m)
{
	struct directory_copy *copy = &n->copies[link_number(l)];
	bool is_fresh = true;

	if (!copy->is_fetching)
		return;
	if (m->next == CONTROL_LIST_UNCHANGED) {
		copy->is_fetching = false;
	} else {
		for (unsigned i = 0; i < m->n; i++) {
			struct peer *p = node_put_peer(n, link_number(l), &m->v[i]);

			if (p)
				p->listed[link_number(l)] = copy->mark;
		}
		if (m->next) {
			fetch_page(l, copy, m->next);
		} else {
			copy->is_fetching = false;
			copy->version = m->version;
			sweep(n, link_number(l), copy->mark);
		}
	}
	for (unsigned i = 0; i < n->n_links; i++)
		is_fresh &= !n->copies[i].is_fetching;
	if (is_fresh)
		node_waiters_tick(n, clock_now_ms(), true);
}

/* ---------------------------------------------------------------- dispatch */

static void on_relayed(struct node *n, struct link *l, const uint8_t *data, size_t len)
{
	struct path_addr from = { .kind = PATH_RELAY_TCP, .coordinator = (uint8_t)link_number(l) };
	uint8_t buffer[TUN_VNET_BYTES + WIRE_CONTROL_RELAY_MAX_BYTES];
	const uint8_t *payload;
	size_t payload_len;
	uint32_t member;

	if (wire_control_relay_decode(&member, &payload, &payload_len, data, len) < 0) {
		counters_inc(node_counters(n), COUNTER_control_bad_frame);
		return;
	}
	memcpy(buffer + TUN_VNET_BYTES, payload, payload_len);
	if (!node_lane_enter(n))
		return;
	lane_receive(&n->lane, &from, member, buffer + TUN_VNET_BYTES, payload_len);
	lane_leave(&n->lane);
}

static void on_message(void *arg, struct link *l, int type, const uint8_t *data, size_t len)
{
	struct node *n = arg;
	union {
		struct wire_found found;
		struct wire_introduce introduce;
		struct wire_members members;
		struct wire_peer_event event;
	} m;
	int ret = 0;

	switch (type) {
	case CONTROL_RELAY:
		on_relayed(n, l, data, len);
		break;
	case CONTROL_FOUND:
		ret = wire_found_decode(&m.found, data, len);
		if (ret == 0)
			node_lookup_answered(n, l, &m.found);
		break;
	case CONTROL_INTRODUCE:
		ret = wire_introduce_decode(&m.introduce, data, len);
		if (ret == 0)
			on_introduce(n, l, &m.introduce);
		break;
	case CONTROL_MEMBERS:
		ret = wire_members_decode(&m.members, data, len);
		if (ret == 0)
			on_members(n, l, &m.members);
		break;
	case CONTROL_PEER_EVENT:
		ret = wire_peer_event_decode(&m.event, data, len);
		if (ret == 0)
			on_peer_event(n, l, &m.event);
		break;
	case CONTROL_REVOCATIONS:
		ret = node_revocations_from_link(n, l, data, len);
		break;
	default:
		break; /* of a later version */
	}
	if (ret < 0)
		counters_inc(node_counters(n), COUNTER_control_bad_frame);
}

static void on_due(void *arg, uint64_t at_ms)
{
	node_due(arg, at_ms);
}

static int send_udp(void *arg, const struct endpoint *to, const uint8_t *data, size_t len)
{
	struct node *n = arg;
	int ret = node_udp_send(n, &n->udp[0], to, data, len);

	counters_inc(node_counters(n), ret == 0 ? COUNTER_tx_datagrams : COUNTER_drop_send_error);
	if (ret == 0)
		counters_add(node_counters(n), COUNTER_tx_bytes, len);
	return ret;
}

const struct link_env node_link_env = {
	.registered = on_registered,
	.lost = on_lost,
	.message = on_message,
	.changed = on_changed,
	.due = on_due,
	.send_udp = send_udp,
	.came_by = node_uplinks_came_by,
};
