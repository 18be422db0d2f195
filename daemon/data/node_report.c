/* Tells coordinators which kind of path is used to each peer, for `warrenctl map`: what changed within a second goes together. */
#include "daemon/data/node_private.h"

#define REPORT_AFTER_MS 1000

static_assert(CONFIG_COORDINATORS_MAX <= 8, "a bit for each");

static enum control_path kind_of(const struct peer *p)
{
	const struct path *best = p->paths ? path_set_best(p->paths) : NULL;

	switch (best ? best->addr.kind : PATH_NONE) {
	case PATH_UDP:
		return best->is_lan ? CONTROL_PATH_LAN : CONTROL_PATH_DIRECT;
	case PATH_TCP:
		return CONTROL_PATH_TCP;
	case PATH_RELAY_UDP:
		return CONTROL_PATH_RELAY_UDP;
	case PATH_RELAY_TCP:
		return CONTROL_PATH_RELAY_TCP;
	case PATH_NONE:
		break;
	}
	return CONTROL_PATH_NONE;
}

static void want_report(struct node *n, uint64_t now_ms)
{
	if (n->report_ms == UINT64_MAX)
		n->report_ms = now_ms + REPORT_AFTER_MS;
	node_due(n, n->report_ms);
}

void node_report_path(struct node *n, struct peer *p, uint64_t now_ms)
{
	p->untold = UINT8_MAX;
	want_report(n, now_ms);
}

void node_report_all(struct node *n, const struct link *l, uint64_t now_ms)
{
	for (struct peer *p = n->peers.by_number; p; p = p->by_number.next)
		if (p->paths && path_set_best(p->paths))
			p->untold |= (uint8_t)(1u << link_number(l));
	want_report(n, now_ms);
}

static void send_paths(struct link *l, const struct wire_paths *paths)
{
	uint8_t message[2 + 5 * WIRE_PATHS_MAX];
	int len = paths->n ? wire_paths_encode(message, sizeof(message), paths) : 0;

	if (len > 0)
		link_send(l, message, (size_t)len);
}

/* Who is not registered with it hears of all when it is again. */
static void report(struct node *n, struct link *l)
{
	unsigned number = link_number(l);
	struct wire_paths paths = { 0 };

	for (struct peer *p = n->peers.by_number; p; p = p->by_number.next) {
		if (!(p->untold >> number & 1) || !p->member[number])
			continue;
		p->untold &= (uint8_t) ~(1u << number);
		paths.v[paths.n].member = p->member[number];
		paths.v[paths.n++].kind = kind_of(p);
		if (paths.n == WIRE_PATHS_MAX) {
			send_paths(l, &paths);
			paths.n = 0;
		}
	}
	send_paths(l, &paths);
}

void node_report_tick(struct node *n, uint64_t now_ms)
{
	if (now_ms < n->report_ms)
		return;
	n->report_ms = UINT64_MAX;
	for (unsigned i = 0; i < n->n_links; i++)
		if (link_is_registered(n->links[i]))
			report(n, n->links[i]);
}
