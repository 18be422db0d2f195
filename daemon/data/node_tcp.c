/* The node's side of TCP paths: what comes over connections goes the way of all datagrams, and peers' path sets hear of their
 * beginning and end. */
#include <errno.h>
#include <string.h>

#include "daemon/data/node_private.h"

/* A connection was in use for so long: no other will be better. */
#define KEEP_ONE_AFTER_MS 5000

static void on_datagram(void *arg, const struct path_addr *from, uint8_t *data, size_t len)
{
	struct node *n = arg;

	if (!n->is_tcp_entered)
		n->is_tcp_entered = node_lane_enter(n);
	if (n->is_tcp_entered)
		lane_receive(&n->lane, from, 0, data, len);
}

static void on_read(void *arg)
{
	struct node *n = arg;

	if (n->is_tcp_entered)
		lane_leave(&n->lane);
	n->is_tcp_entered = false;
}

static void on_opened(void *arg, const struct path_addr *to)
{
	struct node *n = arg;
	uint64_t now = clock_now_ms();

	for (struct peer *p = n->peers.by_number; p; p = p->by_number.next)
		if (p->paths)
			path_set_tcp_opened(p->paths, to, now);
}

static void on_closed(void *arg, const struct path_addr *to, int reason)
{
	struct node *n = arg;
	uint64_t now = clock_now_ms();
	char text[ADDR_TEXT_BYTES];

	log_debug("TCP %s: %s", endpoint_to_text(&to->endpoint, text), uv_strerror(reason));
	for (struct peer *p = n->peers.by_number; p; p = p->by_number.next)
		if (p->paths) {
			path_set_tcp_closed(p->paths, to, now);
			node_mark_peer(n, p);
		}
}

static const struct tcp_paths_env env = {
	.datagram = on_datagram,
	.read = on_read,
	.opened = on_opened,
	.closed = on_closed,
};

int node_open_tcp(struct node *n)
{
	return tcp_paths_new(&n->tcp, n->loop, &env, n, node_counters(n), &n->config->listen.address,
			     n->bind_interface);
}

void node_heard(struct node *n, const struct peer *p, const struct path_addr *from)
{
	if (from->kind == PATH_TCP)
		tcp_paths_heard(n->tcp, &from->endpoint, p->number, clock_now_ms());
}

/* Both ends may have begun a connection, or several. The one with the lower key says which of them is enough. */
void node_tcp_tick_peer(struct node *n, struct peer *p, uint64_t received_ms, uint64_t now_ms)
{
	const struct path *best = path_set_best(p->paths);

	if (!best || best->addr.kind != PATH_TCP)
		return;
	if (now_ms - received_ms < TCP_PATHS_IDLE_MS / 2) /* workers open data without telling */
		tcp_paths_heard(n->tcp, &best->addr.endpoint, p->number, received_ms);
	if (best->since_ms == p->tcp_kept_ms || now_ms - best->since_ms < KEEP_ONE_AFTER_MS ||
	    memcmp(n->identity.public.b, p->key.b, KEY_BYTES) > 0)
		return;
	p->tcp_kept_ms = best->since_ms;
	tcp_paths_keep_one(n->tcp, p->number, &best->addr.endpoint);
}

void node_udp_blocked(struct node *n, struct peer *p, uint64_t now_ms)
{
	bool is_blocked = (n->here.nat.flags | (p->has_there ? p->there.nat.flags : 0)) & NAT_UDP_BLOCKED;

	path_set_udp_blocked(p->paths, is_blocked, now_ms);
}

/* ---------------------------------------------------------------- what a path set asks for */

/* A relay gets there, also where it may not be used for data. */
void node_tcp_call(void *arg)
{
	struct peer *p = arg;
	struct node *n = p->owner;
	const struct path_addr to = node_relay_of(n, p);
	uint8_t body[8];
	int len = wire_session_tcp_encode(body, sizeof(body));

	if (len > 0)
		node_send_session(n, p, &to, body, (size_t)len);
}

void node_tcp_drop(void *arg, const struct path_addr *addr)
{
	struct peer *p = arg;
	struct node *n = p->owner;

	tcp_paths_drop(n->tcp, &addr->endpoint);
}
