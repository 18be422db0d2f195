/* What coordinators do for one peer: which of them relay to it, and which are asked to introduce us.
 *
 * Each knows of its own members only, and any of them may be away, for us or for the peer: so all are asked, and the word of the one that
 * knows the peer to be there counts. */
#include "daemon/data/node_private.h"

bool node_is_known_offline(const struct node *n, const struct peer *p)
{
	bool is_known = false;

	for (unsigned i = 0; i < n->n_links; i++) {
		if (!link_is_registered(n->links[i]) || !p->member[i])
			continue;
		if (p->is_online[i] || p->asking >> i & 1)
			return false;
		is_known = true;
	}
	return is_known;
}

/* The relay of one that the peer is not registered with is of no use where there is a better one. Otherwise it is as good as any: what
 * we were told may be old. */
static bool is_elsewhere(const struct node *n, const struct peer *p, unsigned i)
{
	for (unsigned k = 0; k < n->n_links && !p->is_online[i]; k++)
		if (p->is_online[k] && link_can_relay(n->links[k], PATH_RELAY_TCP))
			return true;
	return false;
}

bool node_can_relay(const struct node *n, const struct peer *p, unsigned i, enum path_kind kind)
{
	return p->member[i] && link_can_relay(n->links[i], kind) && !is_elsewhere(n, p, i);
}

/* Over UDP where that works, else over TCP. */
struct path_addr node_relay_of(const struct node *n, const struct peer *p)
{
	static const enum path_kind kinds[] = { PATH_RELAY_UDP, PATH_RELAY_TCP };

	for (size_t k = 0; k < 2; k++)
		for (unsigned i = 0; i < n->n_links; i++)
			if (node_can_relay(n, p, i, kinds[k]))
				return (struct path_addr){ .kind = kinds[k], .coordinator = (uint8_t)i };
	return (struct path_addr){ .kind = PATH_NONE };
}

void node_relays_changed(struct node *n, struct peer *p, uint64_t now_ms)
{
	if (!p->paths)
		return;
	for (unsigned i = 0; i < CONFIG_COORDINATORS_MAX; i++) {
		bool is_there = i < n->n_links && n->links[i];

		path_set_relay(p->paths, PATH_RELAY_UDP, (uint8_t)i,
			       is_there && node_can_relay(n, p, i, PATH_RELAY_UDP), now_ms);
		path_set_relay(p->paths, PATH_RELAY_TCP, (uint8_t)i,
			       is_there && node_can_relay(n, p, i, PATH_RELAY_TCP), now_ms);
	}
	node_mark_peer(n, p);
}

bool node_introduce_at(struct link *l, const struct peer *p)
{
	uint8_t message[16];
	uint32_t member = p->member[link_number(l)];
	int len = wire_connect_encode(message, sizeof(message), member);

	return member && len > 0 && link_send(l, message, (size_t)len) == 0;
}

void node_ask_introduction(struct node *n, struct peer *p, uint64_t now_ms)
{
	uint8_t asked = 0;

	if (p->asked_ms && now_ms - p->asked_ms < NODE_ASK_AGAIN_MS)
		return;
	p->asked_ms = now_ms;
	for (unsigned i = 0; i < n->n_links; i++)
		if (node_introduce_at(n->links[i], p))
			asked |= (uint8_t)(1u << i);
		else if (p->cached >> i & 1) /* the answer brings the introduction */
			node_ask_key_at(n, n->links[i], &p->key);
	/* One that has not answered since the last time is not waited for again. */
	p->asking = (uint8_t)(asked & ~p->asking);
}
