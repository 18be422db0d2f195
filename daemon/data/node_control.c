/* The control socket's commands, and `peers` and `reload`. */
#include <stdlib.h>
#include <string.h>

#include "daemon/control/recent.h"
#include "daemon/control/reload.h"
#include "daemon/control/settings.h"
#include "daemon/data/node_control.h"

json_t *node_json_time(uint64_t at_ms)
{
	char text[CLOCK_TEXT_BYTES];

	return at_ms ? json_string(clock_text(at_ms, text)) : json_null();
}

json_t *node_json_ms(uint32_t us)
{
	return us ? json_real((double)us / 1000.0) : json_null();
}

json_t *node_json_loss(const struct path *path)
{
	return path->loss_permille >= 0 ? json_real((double)path->loss_permille / 1000.0) : json_null();
}

struct peer *node_peer_of(struct node *n, struct control_request *req, const json_t *args)
{
	const char *words = json_string_value(json_object_get(args, "peer"));
	struct peer *p = words ? peers_by_words(&n->peers, words) : NULL;

	if (!words)
		control_fail(req, EXIT_BAD_USAGE, "which peer?");
	else if (!p && strcmp(words, n->name) == 0)
		control_fail(req, EXIT_NO, "\"%s\" is this node", words);
	else if (!p)
		control_fail(req, EXIT_NO, "no peer \"%s\" is known here; `warrenctl peers` lists them", words);
	return p;
}

json_t *node_json_path(struct node *n, const struct peer *p, const struct path_addr *addr)
{
	const struct path *best = p->paths ? path_set_best(p->paths) : NULL;
	struct path path = { .addr = *addr };
	char text[ADDR_TEXT_BYTES];
	json_t *o, *local = json_null(), *remote = json_null(), *via = json_null();
	struct endpoint here = { .port = n->port }, to = addr->endpoint;

	if (addr->kind == PATH_NONE)
		return json_null();
	for (unsigned i = 0; p->paths && i < path_set_count(p->paths); i++)
		if (path_addr_equal(&path_set_at(p->paths, i)->addr, addr))
			path = *path_set_at(p->paths, i);
	if (node_through(n, &to))
		to.scope = node_through(n, &to);
	if (path_addr_is_direct(addr)) {
		remote = json_string(endpoint_to_text(&addr->endpoint, text));
		if (addr->kind == PATH_TCP ? tcp_paths_local(n->tcp, &addr->endpoint, &here) == 0 :
					     udp_local_address(&to, &here.ip) == 0)
			local = json_string(endpoint_to_text(&here, text));
	} else {
		via = json_string(link_config(n->links[addr->coordinator])->name);
	}
	o = json_object();
	json_object_set_new(o, "kind", json_string(path_kind_name(&path)));
	json_object_set_new(o, "via", via);
	json_object_set_new(o, "transport", json_string(path_transport_name(addr)));
	json_object_set_new(o, "local", local);
	json_object_set_new(o, "remote", remote);
	json_object_set_new(o, "since",
			    best && path_addr_equal(&best->addr, addr) ? node_json_time(p->path_since_ms) :
									 json_null());
	return o;
}

/* ---------------------------------------------------------------- peers */

static json_t *online_of(const struct node *n, const struct peer *p)
{
	for (unsigned i = 0; i < n->n_links; i++)
		if (link_is_registered(n->links[i]) && p->member[i] && p->is_online[i])
			return json_true();
	return node_is_known_offline(n, p) ? json_false() : json_null();
}

static json_t *peer_json(struct node *n, struct peer *p)
{
	uint64_t now = clock_now_ms();
	struct session *s = p->paths ? sessions_sendable(&p->sessions, now) : NULL;
	const struct path *best = s ? path_set_best(p->paths) : NULL;
	const struct path_addr addr = s ? node_path_of(n, p) : (struct path_addr){ .kind = PATH_NONE };
	const struct shared_peer *shared = p->shared;
	char key[KEY_TEXT_BYTES], text[ADDR_TEXT_BYTES];
	enum why_cause cause = node_judge(n, p);
	const char *state = "idle", *why = why_name(cause);
	json_t *o = json_object(), *ips = json_array();
	uint64_t seen = p->last_seen_ms;

	if (addr.kind != PATH_NONE)
		state = "up";
	else if (node_is_known_offline(n, p) || (p->paths && p->sessions.attempt.is_active) ||
		 node_is_refused(p, cause))
		state = "down";
	else if (peers_is_cached(p))
		state = "cached";
	for (unsigned i = 0; i < p->n_addrs; i++)
		json_array_append_new(ips, json_string(ip_to_text(&p->addrs[i], text)));
	if (shared && atomic_load(&shared->traffic.last_received_ms) > seen)
		seen = atomic_load(&shared->traffic.last_received_ms);
	json_object_set_new(o, "name", json_string(p->name));
	json_object_set_new(o, "key", json_string(pubkey_to_text(&p->key, key)));
	json_object_set_new(o, "ips", ips);
	json_object_set_new(o, "certified", n->trust ? json_boolean(p->credential.is_good) : json_null());
	json_object_set_new(o, "state", json_string(state));
	json_object_set_new(o, "online", online_of(n, p));
	json_object_set_new(o, "path", addr.kind == PATH_NONE ? json_null() : node_json_path(n, p, &addr));
	json_object_set_new(o, "rtt_ms", best ? node_json_ms(best->rtt_us) : json_null());
	json_object_set_new(o, "jitter_ms", best ? node_json_ms(best->jitter_us) : json_null());
	json_object_set_new(o, "loss_ratio", best ? node_json_loss(best) : json_null());
	json_object_set_new(o, "rx_bytes",
			    json_integer(shared ? (json_int_t)atomic_load(&shared->traffic.rx_bytes) : 0));
	json_object_set_new(o, "tx_bytes",
			    json_integer(shared ? (json_int_t)atomic_load(&shared->traffic.tx_bytes) : 0));
	json_object_set_new(o, "last_seen", node_json_time(seen));
	json_object_set_new(o, "suite", s ? json_string(aead_suite_name(s->suite)) : json_null());
	json_object_set_new(o, "implementation", s ? json_string(s->send.impl->name) : json_null());
	json_object_set_new(o, "compression", node_json_compression(n, p, now));
	json_object_set_new(o, "groups", node_json_groups(p));
	json_object_set_new(o, "routes", node_json_routes(n, p));
	json_object_set_new(o, "why", why ? json_string(why) : json_null());
	return o;
}

static int by_name(const void *a, const void *b)
{
	const struct peer *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static void answer_peers(void *arg, struct control_request *req, const json_t *args)
{
	struct node *n = arg;
	struct peer **sorted = calloc(n->peers.n ? n->peers.n : 1, sizeof(struct peer *));
	json_t *doc = json_object(), *list = json_array();
	const char *net = "";
	unsigned count = 0;

	(void)args;
	for (struct peer *p = n->peers.by_number; sorted && p; p = p->by_number.next)
		if (peers_is_listed(&n->peers, p))
			sorted[count++] = p;
	if (sorted)
		qsort(sorted, count, sizeof(struct peer *), by_name);
	for (unsigned i = 0; i < count; i++)
		json_array_append_new(list, peer_json(n, sorted[i]));
	free(sorted);
	for (unsigned i = 0; i < n->n_links && !*net; i++)
		if (link_registration(n->links[i]))
			net = link_registration(n->links[i])->network;
	json_object_set_new(doc, "schema", json_string("warren.peers/1"));
	json_object_set_new(doc, "time", node_json_time(clock_now_ms()));
	json_object_set_new(doc, "net", *net ? json_string(net) : json_null());
	json_object_set_new(doc, "self", json_string(n->name));
	json_object_set_new(doc, "peers", list);
	control_reply_take(req, doc);
}

/* ---------------------------------------------------------------- with a fresh directory */

/* Who is a member, and online, is the coordinator's to say: asked when a person asks, never pushed. */
static void with_directory(struct node *n, struct control_request *req, const json_t *args, control_handler_fn *then)
{
	struct waiter *w = node_fetch_directory(n) ? calloc(1, sizeof(*w)) : NULL;

	if (!w) {
		then(n, req, args);
		return;
	}
	w->req = req;
	w->then = then;
	w->args = json_deep_copy(args);
	w->until_ms = clock_now_ms() + NODE_LIST_MS;
	DL_APPEND(n->waiters, w);
	node_due(n, w->until_ms);
}

void node_waiters_tick(struct node *n, uint64_t now_ms, bool is_fresh)
{
	struct waiter *w, *tmp;

	DL_FOREACH_SAFE(n->waiters, w, tmp) {
		if (!is_fresh && now_ms < w->until_ms)
			continue;
		DL_DELETE(n->waiters, w);
		w->then(n, w->req, w->args);
		json_decref(w->args);
		free(w);
	}
}

uint64_t node_waiters_next_ms(const struct node *n)
{
	const struct waiter *w;
	uint64_t next = UINT64_MAX;

	DL_FOREACH(n->waiters, w)
		if (w->until_ms < next)
			next = w->until_ms;
	return next;
}

void node_control_free(struct node *n)
{
	struct waiter *w, *tmp;

	DL_FOREACH_SAFE(n->waiters, w, tmp) {
		DL_DELETE(n->waiters, w);
		control_fail(w->req, EXIT_NO_DAEMON, "the daemon is stopping");
		json_decref(w->args);
		free(w);
	}
	node_ping_free(n);
}

/* ---------------------------------------------------------------- the table */

static void cmd_peers(void *arg, struct control_request *req, const json_t *args)
{
	with_directory(arg, req, args, answer_peers);
}

static void cmd_paths(void *arg, struct control_request *req, const json_t *args)
{
	with_directory(arg, req, args, node_cmd_paths);
}

static void cmd_ping(void *arg, struct control_request *req, const json_t *args)
{
	struct node *n = arg;
	const char *words = json_string_value(json_object_get(args, "peer"));

	if (words && peers_by_words(&n->peers, words))
		node_cmd_ping(arg, req, args);
	else
		with_directory(arg, req, args, node_cmd_ping);
}

static void cmd_routes(void *arg, struct control_request *req, const json_t *args)
{
	with_directory(arg, req, args, node_cmd_routes);
}

static void cmd_why(void *arg, struct control_request *req, const json_t *args)
{
	with_directory(arg, req, args, node_cmd_why);
}

static void cmd_status(void *arg, struct control_request *req, const json_t *args)
{
	with_directory(arg, req, args, node_cmd_status);
}

/* Who else talks to whom is a coordinator's to know. */
static void cmd_map(void *arg, struct control_request *req, const json_t *args)
{
	struct node *n = arg;

	(void)args;
	control_fail(req, EXIT_NO, "%s is a peer and knows its own paths only (see: peers): ask a coordinator's daemon",
		     n->name);
}

static void cmd_version(void *arg, struct control_request *req, const json_t *args)
{
	(void)arg;
	(void)args;
	control_reply_take(req, json_pack("{s:s, s:s}", "schema", "warren.version/1", "version", WARREN_VERSION));
}

static void cmd_reload(void *arg, struct control_request *req, const json_t *args)
{
	const struct node *n = arg;

	control_reload(req, args, n->owner);
}

static void cmd_config(void *arg, struct control_request *req, const json_t *args)
{
	const struct node *n = arg;

	(void)args;
	control_config(req, n->config->path, n->owner);
}

static void cmd_rebind(void *arg, struct control_request *req, const json_t *args)
{
	struct node *n = arg;

	(void)args;
	log_info("network: everything is checked anew, as was asked for");
	node_look_anew(n, clock_now_ms());
	control_reply_take(req, json_pack("{s:s, s:b}", "schema", "warren.rebind/1", "ok", true));
}

static void set_interface(struct node *n, struct control_request *req, bool is_up)
{
	int ret = is_up ? netlink_link_up(n->tun.ifindex, n->mtu) : netlink_link_down(n->tun.ifindex);

	node_check_tun(n);
	if (ret < 0)
		control_fail(req, ret == -EPERM ? EXIT_NOT_PERMITTED : EXIT_NO, "interface %s: %s", n->tun.name,
			     n->is_tun_gone ? "it was deleted; only a restart brings it back" : strerror(-ret));
	else
		control_reply_take(req, json_pack("{s:s, s:s, s:b}", "schema", "warren.interface/1", "name",
						  n->tun.name, "up", !n->is_tun_down));
}

static void cmd_up(void *arg, struct control_request *req, const json_t *args)
{
	(void)args;
	set_interface(arg, req, true);
}

static void cmd_down(void *arg, struct control_request *req, const json_t *args)
{
	(void)args;
	set_interface(arg, req, false);
}

const struct control_command node_commands[] = {
	{ "status", 0, cmd_status },
	{ "peers", 0, cmd_peers },
	{ "paths", 0, cmd_paths },
	{ "ping", 0, cmd_ping },
	{ "routes", 0, cmd_routes },
	{ "netcheck", 0, node_cmd_netcheck },
	{ "why", 0, cmd_why },
	{ "expose", CONTROL_WRITE, node_cmd_expose },
	{ "map", 0, cmd_map },
	{ "reload", CONTROL_WRITE, cmd_reload },
	{ "config", 0, cmd_config },
	{ "capture", CONTROL_WRITE, node_cmd_capture },
	{ "metrics", 0, node_cmd_metrics },
	{ "log", 0, control_recent },
	{ "log_level", 0, control_log_level },
	{ "set_log_level", CONTROL_WRITE, control_set_log_level },
	{ "rebind", CONTROL_WRITE, cmd_rebind },
	{ "up", CONTROL_WRITE, cmd_up },
	{ "down", CONTROL_WRITE, cmd_down },
	{ "version", 0, cmd_version },
	{ NULL, 0, NULL },
};
