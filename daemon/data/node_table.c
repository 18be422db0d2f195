/* What the loop knows, as the table that workers read (table.h). */
#include <string.h>

#include "daemon/data/node_private.h"

static void route_to(struct node *n, struct table_route *r, const struct peer *p, const struct path_addr *to)
{
	struct table_path *path = &r->paths[r->n_paths];

	if (to->kind == PATH_NONE)
		return;
	*path = (struct table_path){ .addr = *to };
	if (to->kind == PATH_UDP && to->socket) {
		path->spare = spares_find(n->spares, to->socket);
		if (!path->spare)
			return;
	}
	if (path_addr_is_relay(to)) {
		const struct link *l = n->links[to->coordinator];

		path->member = p->member[to->coordinator];
		if (path->member == 0)
			return;
		if (to->kind == PATH_RELAY_UDP) {
			path->link = link_udp(l);
			path->addr.endpoint = *link_udp_endpoint(l);
			if (!path->link)
				return;
		}
	}
	path->through = node_through(n, &path->addr.endpoint);
	r->n_paths++;
}

/* Before a path's MTU is known, what every path carries is assumed. */
static void set_mtu(struct node *n, struct table_route *r, const struct peer *p)
{
	const struct path *best = path_set_best(p->paths), *extra = path_set_extra(p->paths);
	uint32_t datagram = best ? path_datagram_max(best) : PATH_MTU_BASE_BYTES;

	if (extra && path_datagram_max(extra) < datagram)
		datagram = path_datagram_max(extra);
	r->mtu_bytes = datagram - WIRE_SEALED_OVERHEAD_BYTES;
	if (r->mtu_bytes > n->mtu)
		r->mtu_bytes = n->mtu;
	r->is_mtu_known = best && best->mtu_state == PATH_MTU_FOUND && !extra;
}

void node_publish(struct node *n, uint64_t now_ms)
{
	struct table *t = table_new(n->peers.n, n->peers.n * 3 + n->n_links);
	const struct path *extra;

	n->is_table_stale = false;
	if (!t || node_routes_publish(n, t) < 0) {
		log_error("memory is short: the data path keeps what it knew");
		table_free(t);
		return;
	}
	for (unsigned i = 0; i < n->state.n_addrs; i++)
		t->own[t->n_own++] = n->state.addrs[i].ip;
	for (struct peer *p = n->peers.by_number; p; p = p->by_number.next) {
		struct session *sessions[3] = { p->sessions.current, p->sessions.previous, p->sessions.next };
		/* Under a network key an address is whose certificate has it. */
		struct table_route r = { .peer = node_shared(p),
					 .n_addrs = n->trust && !p->credential.is_good ? 0 : p->n_addrs };
		const struct table_route *route;
		struct path_addr to;

		if (!p->shared) { /* never in contact */
			node_routes_publish_peer(n, t, p, NULL);
			continue;
		}
		memcpy(r.addrs, p->addrs, sizeof(r.addrs));
		r.session = sessions_sendable(&p->sessions, now_ms);
		r.compression = node_compression(n, r.session);
		set_mtu(n, &r, p);
		to = node_path_of(n, p);
		route_to(n, &r, p, &to);
		extra = path_set_extra(p->paths);
		if (extra && r.n_paths)
			route_to(n, &r, p, &extra->addr);
		route = table_add_route(t, &r);
		node_routes_publish_peer(n, t, p, route);
		for (unsigned i = 0; i < 3; i++)
			if (sessions[i])
				table_add_session(t, sessions[i], route);
	}
	for (unsigned i = 0; i < n->n_links; i++)
		if (link_udp(n->links[i]))
			table_add_link(t, link_udp(n->links[i]), (uint8_t)i);
	t->capture = capture_ref(node_capture_of(n));
	tables_publish_take(&n->tables, t);
}
