/* `warrenctl ping`: one echo to a peer over the path its packets take, answered by its daemon. A probe with an id of its own: it brings the pair
 * up as a packet would, and proves nothing to the path set. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/data/node_control.h"

#define PING_TIMEOUT_DEFAULT_MS 1000
#define PING_TIMEOUT_MAX_MS 60000

static void answer(struct node *n, struct ping *ping, bool is_answered)
{
	struct peer *p = peers_by_number(&n->peers, ping->peer);
	char ip[ADDR_TEXT_BYTES];
	json_t *doc = json_object();

	json_object_set_new(doc, "schema", json_string("warren.ping/1"));
	json_object_set_new(doc, "peer", p ? json_string(p->name) : json_null());
	json_object_set_new(doc, "ip", p && p->n_addrs ? json_string(ip_to_text(&p->addrs[0], ip)) : json_null());
	json_object_set_new(doc, "answered", json_boolean(is_answered));
	json_object_set_new(doc, "rtt_ms",
			    is_answered ? json_real((double)(clock_now_us() - ping->sent_us) / 1000.0) : json_null());
	json_object_set_new(doc, "path", p && ping->sent_us ? node_json_path(n, p, &ping->via) : json_null());
	control_reply_take(ping->req, doc);
	DL_DELETE(n->pings, ping);
	n->n_pings--;
	free(ping);
}

static void try_send(struct node *n, struct ping *ping, uint64_t now_ms)
{
	struct peer *p = peers_by_number(&n->peers, ping->peer);
	struct wire_probe probe = { 0 };
	uint8_t body[WIRE_PROBE_BYTES];
	int len;

	if (!p || !p->paths || !sessions_sendable(&p->sessions, now_ms))
		return;
	ping->via = node_path_of(n, p);
	memcpy(probe.id, ping->id, sizeof(probe.id));
	len = wire_probe_encode(body, sizeof(body), &probe);
	if (len > 0 && node_send_session(n, p, &ping->via, body, (size_t)len) == 0)
		ping->sent_us = clock_now_us();
}

void node_cmd_ping(void *arg, struct control_request *req, const json_t *args)
{
	struct node *n = arg;
	json_int_t timeout = json_integer_value(json_object_get(args, "timeout_ms"));
	struct peer *p = node_peer_of(n, req, args);
	struct ping *ping;

	if (!p)
		return;
	if (n->n_pings >= NODE_PINGS_MAX) {
		control_fail(req, EXIT_NO, "too many pings at once");
		return;
	}
	ping = calloc(1, sizeof(*ping));
	if (!ping) {
		control_fail(req, EXIT_NO, "memory is short");
		return;
	}
	if (timeout <= 0)
		timeout = PING_TIMEOUT_DEFAULT_MS;
	if (timeout > PING_TIMEOUT_MAX_MS)
		timeout = PING_TIMEOUT_MAX_MS;
	ping->req = req;
	ping->peer = p->number;
	ping->until_ms = clock_now_ms() + (uint64_t)timeout;
	randombytes_buf(ping->id, sizeof(ping->id));
	DL_APPEND(n->pings, ping);
	n->n_pings++;
	node_want_peer(n, p);
	node_due(n, ping->until_ms);
	try_send(n, ping, clock_now_ms());
}

bool node_ping_answered(struct node *n, struct peer *p, const struct wire_probe *reply)
{
	struct ping *ping;

	DL_FOREACH(n->pings, ping)
		if (ping->sent_us && ping->peer == p->number && memcmp(ping->id, reply->id, sizeof(ping->id)) == 0) {
			answer(n, ping, true);
			return true;
		}
	return false;
}

void node_ping_peer_ready(struct node *n, struct peer *p, uint64_t now_ms)
{
	struct ping *ping;

	DL_FOREACH(n->pings, ping)
		if (!ping->sent_us && ping->peer == p->number)
			try_send(n, ping, now_ms);
}

void node_ping_tick(struct node *n, uint64_t now_ms)
{
	struct ping *ping, *tmp;

	DL_FOREACH_SAFE(n->pings, ping, tmp)
		if (now_ms >= ping->until_ms)
			answer(n, ping, false);
}

uint64_t node_ping_next_ms(const struct node *n)
{
	const struct ping *ping;
	uint64_t next = UINT64_MAX;

	DL_FOREACH(n->pings, ping)
		if (ping->until_ms < next)
			next = ping->until_ms;
	return next;
}

void node_ping_free(struct node *n)
{
	while (n->pings)
		answer(n, n->pings, false);
}
