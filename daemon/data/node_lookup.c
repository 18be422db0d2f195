/* Inner packets the workers had no route for: whose address is it, is there a session, and if not, what is the sender told. */
#include <stdlib.h>
#include <string.h>

#include "daemon/data/inner_ip.h"
#include "daemon/data/node_private.h"

void node_tell_unreachable(void *arg, const uint8_t *packet, size_t len)
{
	struct node *n = arg;
	uint8_t buffer[TUN_VNET_BYTES + INNER_IP_ERROR_MAX_BYTES];
	size_t icmp;

	counters_inc(node_counters(n), COUNTER_drop_no_peer);
	icmp = inner_ip_unreachable(buffer + TUN_VNET_BYTES, INNER_IP_ERROR_MAX_BYTES, packet, len);
	if (icmp)
		lane_write_tun(&n->lane, buffer + TUN_VNET_BYTES, icmp);
}

void node_unreachable(struct node *n, struct held *held)
{
	if (!held)
		return;
	held_drain(held, node_tell_unreachable, n);
}

static bool any_registered(const struct node *n)
{
	for (unsigned i = 0; i < n->n_links; i++)
		if (link_is_registered(n->links[i]))
			return true;
	return false;
}

/* ---------------------------------------------------------------- look-ups */

static struct lookup *find_lookup(struct node *n, const struct ip *ip)
{
	struct lookup *l;

	DL_FOREACH(n->lookups, l)
		if (ip_equal(&l->ip, ip))
			return l;
	return NULL;
}

static void remove_lookup(struct node *n, struct lookup *l)
{
	DL_DELETE(n->lookups, l);
	n->n_lookups--;
	held_free(l->held);
	free(l);
}

static unsigned ask(struct node *n, struct wire_lookup *question)
{
	uint8_t message[128];
	unsigned asked = 0;
	int len;

	question->token = ++n->last_token;
	len = wire_lookup_encode(message, sizeof(message), question);
	for (unsigned i = 0; i < n->n_links && len > 0; i++)
		if (link_is_registered(n->links[i]) && link_send(n->links[i], message, (size_t)len) == 0)
			asked |= 1u << i;
	return asked;
}

static void ask_lookup(struct node *n, struct lookup *l)
{
	struct wire_lookup question = { .by = LOOKUP_ADDRESS, .address = l->ip };

	l->waiting = ask(n, &question);
	l->token = question.token;
}

void node_ask_key(struct node *n, const struct pubkey *key)
{
	struct wire_lookup question = { .by = LOOKUP_KEY };
	uint64_t now = clock_now_ms();

	if (now - n->key_lookups_ms >= 1000) {
		n->key_lookups_ms = now;
		n->n_key_lookups = 0;
	}
	if (n->n_key_lookups++ >= NODE_KEY_LOOKUPS_PER_S)
		return;
	memcpy(question.key, key->b, sizeof(question.key));
	ask(n, &question);
}

void node_ask_name(struct node *n, const char name[static WIRE_NAME_MAX_BYTES + 1])
{
	struct wire_lookup question = { .by = LOOKUP_NAME };

	memcpy(question.name, name, sizeof(question.name));
	ask(n, &question);
}

void node_ask_key_at(struct node *n, struct link *l, const struct pubkey *key)
{
	struct wire_lookup question = { .by = LOOKUP_KEY, .token = ++n->last_token };
	uint8_t message[128];
	int len;

	memcpy(question.key, key->b, sizeof(question.key));
	len = wire_lookup_encode(message, sizeof(message), &question);
	if (len > 0)
		link_send(l, message, (size_t)len);
}

static void start_lookup(struct node *n, const struct ip *ip, const uint8_t *packet, size_t len)
{
	struct lookup *l;

	if (n->n_lookups >= NODE_LOOKUPS_MAX) {
		counters_inc(node_counters(n), COUNTER_drop_queue_full);
		return;
	}
	l = calloc(1, sizeof(*l));
	if (!l)
		return;
	l->ip = *ip;
	l->held = held_new();
	l->until_ms = clock_now_ms() + NODE_LOOKUP_MS;
	DL_APPEND(n->lookups, l);
	n->n_lookups++;
	if (!l->held || held_add(l->held, packet, len) < 0) {
		remove_lookup(n, l);
		return;
	}
	ask_lookup(n, l);
	node_due(n, l->until_ms);
}

static void give_up(struct node *n, struct lookup *l, uint64_t now_ms)
{
	node_unreachable(n, l->held);
	l->is_absent = true;
	l->until_ms = now_ms + NODE_ABSENT_MS;
	node_due(n, l->until_ms);
}

static void hold_for_peer(void *arg, const uint8_t *packet, size_t len)
{
	struct peer *p = arg;
	struct node *n = p->owner;
	int gone = held_add(p->held, packet, len);

	if (gone < 0)
		gone = 1; /* this one */
	counters_add(node_counters(n), COUNTER_drop_queue_full, (uint64_t)gone);
}

/* What is known by now will have to do. */
static void conclude(struct node *n, struct lookup *l, uint64_t now_ms)
{
	struct peer *p = peers_by_addr(&n->peers, &l->ip);

	if (!p) {
		give_up(n, l, now_ms);
		return;
	}
	node_want_peer(n, p);
	if (p->paths)
		held_drain(l->held, hold_for_peer, p);
	remove_lookup(n, l);
}

void node_lookup_answered(struct node *n, struct link *link, const struct wire_found *found)
{
	struct peer *p = found->found ? node_put_peer(n, link_number(link), &found->member) : NULL;
	bool is_there = p && p->is_online[link_number(link)];
	uint64_t now = clock_now_ms();
	struct lookup *l, *tmp;

	/* This coordinator came later than our contact, or answered later than another: it shall know, and tell each of the other. */
	if (p && p->paths && node_is_in_contact(p, now))
		node_introduce_at(link, p);
	DL_FOREACH_SAFE(n->lookups, l, tmp) {
		if (l->token != found->token || l->is_absent)
			continue;
		l->waiting &= ~(1u << link_number(link));
		/* Where one knows it to be away, or not at all, another may know it to be there. */
		if (is_there || !l->waiting)
			conclude(n, l, now);
	}
}

void node_lookup_tick(struct node *n, uint64_t now_ms)
{
	struct lookup *l, *tmp;

	DL_FOREACH_SAFE(n->lookups, l, tmp) {
		if (!l->is_absent && !l->waiting && any_registered(n))
			ask_lookup(n, l); /* it came before we were registered */
		if (now_ms < l->until_ms)
			continue;
		if (l->is_absent)
			remove_lookup(n, l);
		else
			conclude(n, l, now_ms);
	}
}

uint64_t node_lookup_next_ms(const struct node *n)
{
	const struct lookup *l;
	uint64_t next = UINT64_MAX;

	DL_FOREACH(n->lookups, l)
		if (l->until_ms < next)
			next = l->until_ms;
	return next;
}

void node_lookup_free(struct node *n)
{
	while (n->lookups)
		remove_lookup(n, n->lookups);
}

/* ---------------------------------------------------------------- packets */

/* To all hosts of the network: as with multicast, no error answers it (RFC 1122 section 3.2.2). */
static bool is_to_all(const struct node *n, const struct ip *ip)
{
	for (unsigned i = 0; i < n->state.n_addrs && ip->len == 4; i++)
		if (n->state.addrs[i].bits < 31 && prefix_is_last(&n->state.addrs[i], ip))
			return true;
	return false;
}

void node_packet(struct node *n, const uint8_t *packet, size_t len)
{
	uint64_t now = clock_now_ms();
	struct inner_ip ip;
	struct lookup *l;
	struct peer *p;
	bool is_overlay;

	if (inner_ip_parse(&ip, packet, len) < 0)
		return;
	if (is_to_all(n, &ip.dst)) {
		counters_inc(node_counters(n), COUNTER_drop_multicast);
		return;
	}
	is_overlay = node_is_overlay(n, &ip.dst);
	p = is_overlay ? peers_by_addr(&n->peers, &ip.dst) : node_routes_peer(n, &ip.dst);
	if (!p && !is_overlay) {
		node_tell_unreachable(n, packet, len);
		return;
	}
	if (!p) {
		l = find_lookup(n, &ip.dst);
		if (!l)
			start_lookup(n, &ip.dst, packet, len);
		else if (l->is_absent)
			node_tell_unreachable(n, packet, len);
		else
			held_add(l->held, packet, len);
		return;
	}
	node_want_peer(n, p);
	if (!p->paths)
		return;
	hold_for_peer(p, packet, len);
	/* Asked again every NODE_ASK_AGAIN_MS, or SESSIONS_REFUSED_MS; in between the last answer holds. */
	if (!sessions_sendable(&p->sessions, now) &&
	    (sessions_is_refused(&p->sessions, now) || (p->offline_ms && now - p->offline_ms < NODE_ASK_AGAIN_MS)))
		node_unreachable(n, p->held);
}
