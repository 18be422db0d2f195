/* `warrenctl status`: this node as it sees itself. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/data/node_control.h"

json_t *node_json_reflexive(const struct node *n, uint8_t ip_len)
{
	const struct discovery_facts *f = node_discovery_facts(n);
	char text[ADDR_TEXT_BYTES];

	for (unsigned i = 0; i < f->n_reflexive; i++)
		if (f->reflexive[i].ip.len == ip_len)
			return json_string(endpoint_to_text(&f->reflexive[i], text));
	return json_null();
}

static const char *link_state(const struct link *l)
{
	const struct registrar *r = link_registrar(l);

	switch (registrar_state(r)) {
	case REGISTRAR_REGISTERED:
		return "connected";
	case REGISTRAR_WAITING:
		return registrar_fault(r) == REGISTRAR_FAULT_KEY ? "refused" : "waiting";
	default:
		return "connecting";
	}
}

static json_t *proxy_text(const struct node *n)
{
	const struct config_endpoint *at = &n->proxy.at;

	return json_sprintf(strchr(at->host, ':') ? "http://[%s]:%u" : "http://%s:%u", at->host, at->port);
}

/* null: none is configured. */
static json_t *proxy_json(const struct node *n, const struct link *l)
{
	const char *error = link_proxy_error(l);

	if (!n->proxy.at.port)
		return json_null();
	return json_pack("{s:o, s:b, s:o}", "endpoint", proxy_text(n), "in_use", link_is_proxied(l), "error",
			 *error ? json_string(error) : json_null());
}

json_t *node_json_link(const struct node *n, const struct link *l)
{
	const struct config_coordinator *c = link_config(l);
	const struct registrar *r = link_registrar(l);
	char endpoint[sizeof(c->host) + 16];
	bool is_v6 = strchr(c->host, ':') != NULL;
	json_t *o = json_object();

	snprintf(endpoint, sizeof(endpoint), is_v6 ? "[%s]:%u" : "%s:%u", c->host, c->port);
	json_object_set_new(o, "name", json_string(c->name));
	json_object_set_new(o, "endpoint", json_string(endpoint));
	json_object_set_new(o, "state", json_string(link_state(l)));
	json_object_set_new(o, "rtt_ms", node_json_ms(registrar_rtt_us(r)));
	json_object_set_new(o, "udp_rtt_ms", node_json_ms(binding_rtt_us(link_binding(l))));
	json_object_set_new(o, "relay",
			    link_is_registered(l) ? json_boolean(link_can_relay(l, PATH_RELAY_TCP)) : json_null());
	json_object_set_new(o, "proxy", proxy_json(n, l));
	json_object_set_new(o, "since", node_json_time(registrar_since_ms(r)));
	json_object_set_new(o, "error",
			    *registrar_error(r) && !link_is_registered(l) ? json_string(registrar_error(r)) :
									    json_null());
	return o;
}

static json_t *links_json(const struct node *n)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < n->n_links; i++)
		json_array_append_new(list, node_json_link(n, n->links[i]));
	return list;
}

static json_t *counters_json(const struct node *n)
{
	uint64_t sums[COUNTER_COUNT] = { 0 };
	json_t *o = json_object();

	for (unsigned i = 0; i <= CONFIG_WORKERS_MAX; i++)
		counters_sum(sums, &n->counters[i]);
	for (int i = 0; i < COUNTER_COUNT; i++)
		json_object_set_new(o, counter_name((enum counter)i), json_integer((json_int_t)sums[i]));
	return o;
}

enum path_class node_path_class(const struct peer *p, uint64_t now_ms)
{
	const struct path *best;

	if (!p->paths || !sessions_sendable(&p->sessions, now_ms))
		return PATH_CLASS_NONE;
	best = path_set_best(p->paths);
	if (best && best->addr.kind == PATH_TCP)
		return PATH_CLASS_TCP;
	if (!best || best->addr.kind != PATH_UDP)
		return PATH_CLASS_RELAY;
	if (best->is_lan)
		return PATH_CLASS_LAN;
	return best->addr.endpoint.ip.len == 4 ? PATH_CLASS_DIRECT4 : PATH_CLASS_DIRECT6;
}

void node_count_peers(const struct node *n, unsigned by_class[static PATH_CLASS_COUNT])
{
	uint64_t now = clock_now_ms();

	memset(by_class, 0, PATH_CLASS_COUNT * sizeof(*by_class));
	for (const struct peer *p = n->peers.by_number; p; p = p->by_number.next)
		by_class[node_path_class(p, now)] += peers_is_listed(&n->peers, p);
}

void node_summary(const struct node *n, char *out, size_t capacity)
{
	unsigned by_class[PATH_CLASS_COUNT], known = peers_listed(&n->peers), up;
	bool is_registered = false;
	int len;

	node_count_peers(n, by_class);
	up = known - by_class[PATH_CLASS_NONE];
	for (unsigned i = 0; i < n->n_links; i++)
		is_registered |= link_is_registered(n->links[i]);
	len = snprintf(out, capacity, "%u of %u peers", up, known);
	if (by_class[PATH_CLASS_RELAY])
		len += snprintf(out + len, capacity - (size_t)len, ", %u relayed", by_class[PATH_CLASS_RELAY]);
	snprintf(out + len, capacity - (size_t)len, "%s%s", is_registered ? "" : "; no coordinator",
		 n->reload_error[0] ? "; the last reload failed" : "");
}

bool node_is_alive(struct node *n)
{
	bool is_alive = true;

	for (unsigned i = 0; i < n->n_workers; i++)
		is_alive &= worker_ask(n->workers[i]);
	return is_alive;
}

static json_t *peers_json(struct node *n, json_t *notices)
{
	char text[256], here[AEAD_OFFER_TEXT_BYTES], there[AEAD_OFFER_TEXT_BYTES];
	unsigned by_class[PATH_CLASS_COUNT], known = peers_listed(&n->peers);
	uint64_t now = clock_now_ms();

	for (struct peer *p = n->peers.by_number; p; p = p->by_number.next) {
		if (!peers_is_listed(&n->peers, p))
			continue;
		if (node_judge(n, p) == WHY_NO_COMMON_CIPHER) {
			snprintf(text, sizeof(text), "%s and this node have no cipher in common: here %s, there %s",
				 p->name, aead_offer_text(n->identity.suites, here),
				 aead_offer_text(p->sessions.suites_there, there));
			json_array_append_new(notices, json_string(text));
		}
		if (node_path_class(p, now) == PATH_CLASS_RELAY && p->path_since_ms && now - p->path_since_ms > 60000) {
			snprintf(text, sizeof(text), "%s has been relayed for %u min; see: warrenctl why %s", p->name,
				 (unsigned)((now - p->path_since_ms) / 60000), p->name);
			json_array_append_new(notices, json_string(text));
		}
	}
	node_count_peers(n, by_class);
	return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i}", "known", (int)known, "up",
			 (int)(known - by_class[PATH_CLASS_NONE]), "lan", (int)by_class[PATH_CLASS_LAN], "direct",
			 (int)(by_class[PATH_CLASS_DIRECT4] + by_class[PATH_CLASS_DIRECT6]), "relay",
			 (int)by_class[PATH_CLASS_RELAY], "tcp", (int)by_class[PATH_CLASS_TCP]);
}

/* Whatever else did get through. */
static void add_proxy_notices(const struct node *n, json_t *notices)
{
	for (unsigned i = 0; i < n->n_links && n->proxy.at.port; i++)
		if (*link_proxy_error(n->links[i]))
			json_array_append_new(notices, json_sprintf("the proxy %s, on the way to %s: it %s",
								    n->proxy.at.host, link_config(n->links[i])->name,
								    link_proxy_error(n->links[i])));
}

static json_t *config_json(const struct node *n)
{
	struct stat st;
	bool is_changed = stat(n->config->path, &st) == 0 && (uint64_t)st.st_mtime > n->loaded_ms / 1000;

	return json_pack("{s:s, s:o, s:b, s:s?}", "path", n->config->path, "loaded",
			 node_json_time(clock_now_ms() - (clock_wall_ms() - n->loaded_ms)), "changed_on_disk",
			 is_changed, "last_error", *n->reload_error ? n->reload_error : NULL);
}

static json_t *tun_json(const struct node *n)
{
	static const struct {
		unsigned bit;
		const char *name;
	} names[] = {
		{ TUN_MULTI_QUEUE, "multi-queue" }, { TUN_VNET, "vnet" }, { TUN_TSO, "tso" }, { TUN_USO, "uso" }
	};
	unsigned in_force = (n->tun.features & ~(unsigned)(TUN_TSO | TUN_USO)) | tun_trains(&n->tun);
	json_t *features = json_array();

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (in_force & names[i].bit)
			json_array_append_new(features, json_string(names[i].name));
	return json_pack("{s:s, s:b, s:b, s:i, s:i, s:o}", "name", n->tun.name, "present", !n->is_tun_gone, "up",
			 !n->is_tun_gone && !n->is_tun_down, "mtu", (int)n->mtu, "queues", (int)n->tun.n_queues,
			 "features", features);
}

static json_t *ciphers_json(const struct node *n)
{
	json_t *list = json_array();

	for (int suite = AEAD_SUITE_COUNT - 1; suite > 0; suite--) {
		const struct aead_impl *impl = aead_impl_of((enum aead_suite)suite);

		if (impl && n->identity.suites & 1u << suite)
			json_array_append_new(list,
					      json_pack("{s:s, s:s}", "suite", aead_suite_name((enum aead_suite)suite),
							"implementation", impl->name));
	}
	return list;
}

static json_t *addresses_json(const struct node *n)
{
	char text[ADDR_TEXT_BYTES];
	json_t *list = json_array();

	for (unsigned i = 0; i < n->state.n_addrs; i++)
		json_array_append_new(list, json_string(prefix_to_text(&n->state.addrs[i], text)));
	return list;
}

static json_t *underlay_json(const struct node *n)
{
	const char *through = n->uplinks.via.ifindex ? n->uplinks.via.name : NULL;

	return json_pack("{s:o, s:o, s:i, s:o, s:b, s:o, s:s?}", "udp4", node_json_reflexive(n, 4), "udp6",
			 node_json_reflexive(n, 16), "port", (int)n->port, "mapping", node_json_mapping(&n->here.nat),
			 "udp_blocked", (n->here.nat.flags & NAT_UDP_BLOCKED) != 0, "portmap", node_json_mapped(n),
			 "through", through);
}

void node_cmd_status(void *arg, struct control_request *req, const json_t *args)
{
	struct node *n = arg;
	json_t *doc = json_object(), *notices = json_array();
	char key[KEY_TEXT_BYTES];

	(void)args;
	if (n->is_tun_gone)
		json_array_append_new(notices,
				      json_string("the TUN interface was deleted; only a restart brings it back"));
	if (n->is_tun_down && !n->is_tun_gone)
		json_array_append_new(notices, json_string("the TUN interface is down, and no packet passes; "
							   "`warrenctl up` sets it up again"));
	if (n->uplinks.via.ifindex)
		json_array_append_new(notices, json_sprintf("the preferred way out leads nowhere: sending through %s",
							    n->uplinks.via.name));
	if (n->hook && hook_last(n->hook)->error[0])
		json_array_append_new(notices, json_sprintf("on_mapping_change: %s", hook_last(n->hook)->error));
	if (n->kept.error)
		json_array_append_new(notices,
				      json_sprintf("%s cannot be written: %s", n->state_dir, strerror(-n->kept.error)));
	add_proxy_notices(n, notices);
	node_routes_notices(n, notices);
	json_object_set_new(doc, "schema", json_string("warren.status/1"));
	json_object_set_new(doc, "time", node_json_time(clock_now_ms()));
	json_object_set_new(doc, "role", json_string("peer"));
	json_object_set_new(doc, "name", json_string(n->name));
	json_object_set_new(doc, "version", json_string(WARREN_VERSION));
	json_object_set_new(doc, "pid", json_integer(getpid()));
	json_object_set_new(doc, "uptime_s", json_integer((json_int_t)((clock_now_ms() - n->started_ms) / 1000)));
	json_object_set_new(doc, "config", config_json(n));
	json_object_set_new(doc, "key", json_string(pubkey_to_text(&n->identity.public, key)));
	json_object_set_new(doc, "addresses", addresses_json(n));
	json_object_set_new(doc, "certificate", node_json_trust(n, notices));
	json_object_set_new(doc, "tun", tun_json(n));
	json_object_set_new(doc, "workers", json_integer(n->n_workers));
	node_offload_json(n, doc);
	json_object_set_new(doc, "ciphers", ciphers_json(n));
	json_object_set_new(doc, "compression", json_string(node_compression_name(n)));
	json_object_set_new(doc, "coordinators", links_json(n));
	json_object_set_new(doc, "underlay", underlay_json(n));
	json_object_set_new(doc, "peers", peers_json(n, notices));
	json_object_set_new(doc, "counters", counters_json(n));
	json_object_set_new(doc, "on_mapping_change", node_json_hook(n));
	json_object_set_new(doc, "notices", notices);
	control_reply_take(req, doc);
}
