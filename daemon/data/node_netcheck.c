/* `warrenctl netcheck`: what the network around this node lets through.
 *
 * Asked, it measures anew, waits for what is under way, and answers when all is done or NETCHECK_WAIT_MS have passed; then it says
 * what is missing. Who asks meanwhile shares the answer. What takes minutes (the lifetime of mappings) and what only data tells (MTUs)
 * is not waited for. Nothing is guessed: what was not seen is null. */
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "daemon/data/knock.h"
#include "daemon/data/node_control.h"

/* A round that nobody answers takes 3.5 s. */
#define NETCHECK_WAIT_MS 6000
/* A survey, or a knock, that ended so shortly before is fresh. */
#define NETCHECK_FRESH_MS 3000
#define NETCHECK_REQUESTS_MAX 8
#define UDP4_HEADERS_BYTES 28
#define UDP6_HEADERS_BYTES 48
#define KNOCK_PORT 443

struct netcheck_request {
	struct control_request *req;
	struct netcheck_request *prev, *next;
};

struct netcheck_knock {
	struct knock *knock; /* NULL: never needed */
	struct pubkey coordinator;
	uint64_t began_ms; /* 0: never */
};

struct netcheck {
	struct netcheck_request *requests; /* NULL: none is under way */
	unsigned n_requests;
	uint64_t began_ms, until_ms;
	struct netcheck_knock knocks[CONFIG_COORDINATORS_MAX];
};

/* ---------------------------------------------------------------- the measurements */

static const struct knock_result *knock_of(const struct node *n, unsigned i)
{
	static const struct knock_result none = { 0 };
	const struct netcheck_knock *k = n->netcheck ? &n->netcheck->knocks[i] : NULL;

	if (!k || !k->knock || !pubkey_equal(&k->coordinator, &link_config(n->links[i])->key))
		return &none;
	return knock_result(k->knock);
}

/* Begins those that can begin now: an address must be known. */
static void begin_knocks(struct node *n, uint64_t now_ms)
{
	for (unsigned i = 0; i < n->n_links; i++) {
		struct netcheck_knock *k = &n->netcheck->knocks[i];
		const struct config_coordinator *c = link_config(n->links[i]);
		struct endpoint to = { .port = KNOCK_PORT };
		bool is_same = pubkey_equal(&k->coordinator, &c->key);

		if (is_same && k->began_ms && k->began_ms + NETCHECK_FRESH_MS >= n->netcheck->began_ms)
			continue;
		if (!link_address(n->links[i], &to.ip))
			continue;
		if (!k->knock)
			k->knock = knock_new(n->loop, &n->identity);
		if (!k->knock)
			continue;
		k->coordinator = c->key;
		k->began_ms = now_ms;
		knock_start(k->knock, &to, &c->key, n->bind_interface, now_ms);
	}
}

static bool is_connecting(const struct link *l)
{
	const struct registrar *r = link_registrar(l);

	switch (registrar_state(r)) {
	case REGISTRAR_REGISTERED:
		return !registrar_rtt_us(r); /* its first pong tells the clock too */
	case REGISTRAR_WAITING:              /* for the first try, or for the next */
		return registrar_fault(r) == REGISTRAR_FAULT_NONE;
	default:
		return true;
	}
}

static bool is_surveyed(const struct node *n)
{
	uint64_t ended_ms = node_discovery_surveyed_ms(n);

	if (!node_discovery_asks(n, 4) && !node_discovery_asks(n, 16))
		return true; /* there is nobody to ask */
	return !node_discovery_is_surveying(n) && ended_ms && ended_ms + NETCHECK_FRESH_MS >= n->netcheck->began_ms;
}

/* The names of what is still being measured. */
static json_t *pending_json(const struct node *n)
{
	const struct mapper *mapper = outside_mapper(n->outside);
	bool any_connecting = false, any_knocking = false;
	json_t *list = json_array();

	for (unsigned i = 0; i < n->n_links; i++) {
		any_connecting |= is_connecting(n->links[i]);
		any_knocking |= knock_of(n, i)->state == KNOCK_ASKING;
	}
	if (any_connecting)
		json_array_append_new(list, json_string("coordinators"));
	if (!is_surveyed(n))
		json_array_append_new(list, json_string("nat"));
	if (any_knocking)
		json_array_append_new(list, json_string("tcp443"));
	if (mapper && !portmap_is_settled(mapper_portmap(mapper, 4)))
		json_array_append_new(list, json_string("portmap"));
	return list;
}

/* ---------------------------------------------------------------- UDP */

static const char *family_state(const struct node *n, uint8_t ip_len, uint8_t ok_flag, bool has_address)
{
	if (n->here.nat.flags & ok_flag)
		return "ok";
	if (!has_address)
		return "no-address";
	if (!node_discovery_asks(n, ip_len))
		return NULL;
	return n->here.nat.flags & NAT_TESTED ? "no-answer" : NULL;
}

static json_t *family_json(const struct node *n, uint8_t ip_len, uint8_t ok_flag)
{
	bool has_address = false, is_ok = n->here.nat.flags & ok_flag;
	const char *state;

	for (unsigned i = 0; i < n->ifaces.n; i++)
		has_address |= n->ifaces.v[i].ip.len == ip_len && !ip_is_link_local(&n->ifaces.v[i].ip);
	state = family_state(n, ip_len, ok_flag, has_address);
	return json_pack("{s:s?, s:o, s:b, s:o}", "state", state, "ok", state ? json_boolean(is_ok) : json_null(),
			 "has_address", has_address, "endpoint", node_json_reflexive(n, ip_len));
}

json_t *node_json_mapping(const struct nat_facts *nat)
{
	return nat->mapping == NAT_MAPPING_UNKNOWN ? json_null() : json_string(nat_mapping_name(nat->mapping));
}

json_t *node_json_filtering(const struct nat_facts *nat)
{
	return nat->filtering == NAT_FILTERING_UNKNOWN ? json_null() : json_string(nat_filtering_name(nat->filtering));
}

/* Of how many servers the mapping was judged, and at how many endpoints they saw us. */
static json_t *seen_json(const struct node *n)
{
	const struct discovery_facts *f = node_discovery_facts(n);

	if (!f->n_servers)
		return json_null();
	return json_pack("{s:i, s:i, s:i}", "servers", (int)f->n_servers, "addresses", (int)f->n_addresses, "endpoints",
			 (int)f->n_endpoints);
}

static json_t *blocked_json(const struct nat_facts *nat)
{
	if (nat->flags & (NAT_UDP4_OK | NAT_UDP6_OK))
		return json_false();
	return nat->flags & NAT_UDP_BLOCKED ? json_true() : json_null();
}

static json_t *lifetime_json(const struct node *n)
{
	uint16_t s = n->here.nat.lifetime_s;

	return json_pack("{s:o, s:b, s:b}", "held_s", s ? json_integer(s) : json_null(), "done",
			 node_lifetime_is_done(n), "measuring", node_lifetime_is_measuring(n));
}

static void add_nat(const struct node *n, json_t *doc)
{
	const struct nat_facts *nat = &n->here.nat;
	const char *classic = nat_classic_name(nat);

	json_object_set_new(doc, "mapping", node_json_mapping(nat));
	json_object_set_new(doc, "mapping_seen", seen_json(n));
	json_object_set_new(doc, "filtering", node_json_filtering(nat));
	json_object_set_new(doc, "classic", classic ? json_string(classic) : json_null());
	/* Nobody who answered, nothing seen. */
	json_object_set_new(doc, "keeps_port",
			    node_discovery_facts(n)->n_servers ? json_boolean(nat->flags & NAT_KEEPS_PORT) :
								 json_null());
	json_object_set_new(doc, "port_step", nat->port_step ? json_integer(nat->port_step) : json_null());
	json_object_set_new(doc, "hairpin",
			    nat->flags & NAT_HAIRPIN_TESTED ? json_boolean(nat->flags & NAT_HAIRPIN) : json_null());
	json_object_set_new(doc, "mapping_lifetime_s", nat->lifetime_s ? json_integer(nat->lifetime_s) : json_null());
	json_object_set_new(doc, "lifetime", lifetime_json(n));
	json_object_set_new(doc, "udp_blocked", blocked_json(nat));
}

/* ---------------------------------------------------------------- MTU */

/* The IP packet that a path's datagrams make; 0: not found out, or it does not leave the site. */
static uint32_t path_ip_bytes(const struct node *n, const struct path *path)
{
	const struct endpoint *to = &path->addr.endpoint;
	uint32_t bytes = path->mtu_bytes;

	if (path->mtu_state != PATH_MTU_FOUND || !bytes || path->is_lan)
		return 0;
	if (path->addr.kind == PATH_RELAY_UDP) {
		to = link_udp_endpoint(n->links[path->addr.coordinator]);
		bytes += WIRE_RELAY_HEADER_BYTES;
	} else if (path->addr.kind != PATH_UDP) {
		return 0;
	}
	return bytes + (to->ip.len == 4 ? UDP4_HEADERS_BYTES : UDP6_HEADERS_BYTES);
}

/* The largest packet that came through to any peer: what is in the way of others may be at their end. */
static void add_mtu(const struct node *n, json_t *doc)
{
	uint32_t most = 0;
	bool is_least = false;

	for (const struct peer *p = n->peers.by_number; p; p = p->by_number.next) {
		for (unsigned i = 0; p->paths && i < path_set_count(p->paths); i++) {
			const struct path *path = path_set_at(p->paths, i);
			uint32_t bytes = path_ip_bytes(n, path);

			if (bytes <= most)
				continue;
			most = bytes;
			/* No more than the tunnel needs is ever looked for. */
			is_least = path->mtu_bytes >= n->mtu + WIRE_SEALED_OVERHEAD_BYTES;
		}
	}
	json_object_set_new(doc, "mtu", most ? json_integer(most) : json_null());
	json_object_set_new(doc, "mtu_is_least", most ? json_boolean(is_least) : json_null());
}

/* ---------------------------------------------------------------- coordinators */

/* The one that is asked to relay for peers it knows; -1: none is connected. */
static int preferred(const struct node *n)
{
	static const enum path_kind kinds[] = { PATH_RELAY_UDP, PATH_RELAY_TCP };

	for (size_t k = 0; k < 2; k++)
		for (unsigned i = 0; i < n->n_links; i++)
			if (link_is_registered(n->links[i]) && link_can_relay(n->links[i], kinds[k]))
				return (int)i;
	for (unsigned i = 0; i < n->n_links; i++)
		if (link_is_registered(n->links[i]))
			return (int)i;
	return -1;
}

static json_t *clock_json(const struct link *l)
{
	int64_t skew_ms;

	return registrar_clock_skew(link_registrar(l), &skew_ms) ? json_real((double)skew_ms / 1000.0) : json_null();
}

static json_t *knock_json(const struct node *n, unsigned i)
{
	const struct knock_result *r = knock_of(n, i);
	const char *state = knock_state_name(r->state);

	return json_pack("{s:s, s:s?, s:o, s:s?}", "coordinator", link_config(n->links[i])->name, "state", state,
			 "connect_ms", node_json_ms(r->connect_us), "error",
			 r->state == KNOCK_UNREACHABLE ? strerrordesc_np(-r->error) : NULL);
}

/* Of the preferred coordinator; without one the first that answered, or the first. */
static json_t *tcp443_json(const struct node *n, int best)
{
	for (unsigned i = 0; i < n->n_links && best < 0; i++)
		if (knock_of(n, i)->state == KNOCK_OK)
			best = (int)i;
	if (!n->n_links)
		return json_null();
	return knock_json(n, best < 0 ? 0 : (unsigned)best);
}

static void add_coordinators(const struct node *n, json_t *doc)
{
	int best = preferred(n);
	json_t *list = json_array();

	for (unsigned i = 0; i < n->n_links; i++) {
		json_t *o = node_json_link(n, n->links[i]);

		json_object_set_new(o, "preferred", json_boolean((int)i == best));
		json_object_set_new(o, "clock_offset_s", clock_json(n->links[i]));
		json_object_set_new(o, "tcp443", knock_json(n, i));
		json_array_append_new(list, o);
	}
	json_object_set_new(doc, "tcp443", tcp443_json(n, best));
	json_object_set_new(doc, "coordinators", list);
	json_object_set_new(doc, "clock_offset_s", best < 0 ? json_null() : clock_json(n->links[best]));
}

/* Something stands in a coordinator's place: true, and where. That a coordinator itself answers: false. Neither: not known. */
static void add_captive(const struct node *n, json_t *doc)
{
	const struct link *foreign = NULL;
	bool is_reached = false, is_at_443 = false;

	for (unsigned i = 0; i < n->n_links; i++) {
		const struct link *l = n->links[i];
		bool is_foreign =
			!link_is_registered(l) && registrar_fault(link_registrar(l)) == REGISTRAR_FAULT_FOREIGN;

		is_reached |= link_is_registered(l) || knock_of(n, i)->state == KNOCK_OK;
		if (foreign || (!is_foreign && knock_of(n, i)->state != KNOCK_FOREIGN))
			continue;
		foreign = l;
		is_at_443 = !is_foreign;
	}
	json_object_set_new(doc, "captive", is_reached ? json_false() : foreign ? json_true() : json_null());
	if (!foreign)
		json_object_set_new(doc, "captive_seen", json_null());
	else
		json_object_set_new(doc, "captive_seen",
				    json_sprintf("TCP port %u of %s is answered by something that is not it",
						 is_at_443 ? KNOCK_PORT : link_config(foreign)->port,
						 link_config(foreign)->name));
}

/* ---------------------------------------------------------------- the answer */

static json_t *interfaces_json(const struct node *n)
{
	char text[ADDR_TEXT_BYTES];
	json_t *list = json_array();

	for (unsigned i = 0; i < n->ifaces.n; i++)
		json_array_append_new(list, json_string(prefix_to_text(&n->ifaces.v[i], text)));
	return list;
}

static json_t *document(const struct node *n, json_t *pending)
{
	json_t *doc = json_object();

	json_object_set_new(doc, "schema", json_string("warren.netcheck/1"));
	json_object_set_new(doc, "time", node_json_time(clock_now_ms()));
	json_object_set_new(doc, "udp4", family_json(n, 4, NAT_UDP4_OK));
	json_object_set_new(doc, "udp6", family_json(n, 16, NAT_UDP6_OK));
	add_nat(n, doc);
	add_mtu(n, doc);
	add_captive(n, doc);
	json_object_set_new(doc, "portmap", node_json_portmap(n));
	add_coordinators(n, doc);
	json_object_set_new(doc, "interfaces", interfaces_json(n));
	json_object_set_new(doc, "pending", pending);
	return doc;
}

static void answer_all(struct node *n, json_t *pending)
{
	struct netcheck_request *r, *tmp;
	json_t *doc = document(n, pending);

	DL_FOREACH_SAFE(n->netcheck->requests, r, tmp) {
		DL_DELETE(n->netcheck->requests, r);
		control_reply_take(r->req, json_incref(doc));
		free(r);
	}
	n->netcheck->n_requests = 0;
	json_decref(doc);
}

/* ---------------------------------------------------------------- course */

static void begin(struct node *n, uint64_t now_ms)
{
	n->netcheck->began_ms = now_ms;
	n->netcheck->until_ms = now_ms + NETCHECK_WAIT_MS;
	for (unsigned i = 0; i < n->n_links; i++)
		link_refresh(n->links[i], now_ms);
	node_discovery_survey(n, now_ms);
	begin_knocks(n, now_ms);
}

void node_cmd_netcheck(void *arg, struct control_request *req, const json_t *args)
{
	struct node *n = arg;
	struct netcheck_request *r;

	if (!n->netcheck)
		n->netcheck = calloc(1, sizeof(*n->netcheck));
	if (n->netcheck && json_is_false(json_object_get(args, "wait"))) {
		control_reply_take(req, document(n, pending_json(n)));
		return;
	}
	r = n->netcheck && n->netcheck->n_requests < NETCHECK_REQUESTS_MAX ? calloc(1, sizeof(*r)) : NULL;
	if (!r) {
		control_fail(req, EXIT_NO, "too many ask at once, or memory is short");
		return;
	}
	r->req = req;
	if (!n->netcheck->requests)
		begin(n, clock_now_ms());
	DL_APPEND(n->netcheck->requests, r);
	n->netcheck->n_requests++;
}

void node_netcheck_tick(struct node *n, uint64_t now_ms)
{
	struct netcheck *c = n->netcheck;
	json_t *pending;

	if (!c || !c->requests)
		return;
	begin_knocks(n, now_ms);
	for (unsigned i = 0; i < CONFIG_COORDINATORS_MAX; i++)
		if (c->knocks[i].knock)
			knock_tick(c->knocks[i].knock, now_ms);
	pending = pending_json(n);
	if (json_array_size(pending) == 0 || now_ms >= c->until_ms)
		answer_all(n, pending);
	else
		json_decref(pending);
}

uint64_t node_netcheck_next_ms(const struct node *n)
{
	const struct netcheck *c = n->netcheck;
	uint64_t next;

	if (!c || !c->requests)
		return UINT64_MAX;
	next = c->until_ms;
	for (unsigned i = 0; i < CONFIG_COORDINATORS_MAX; i++)
		if (c->knocks[i].knock && knock_next_ms(c->knocks[i].knock) < next)
			next = knock_next_ms(c->knocks[i].knock);
	return next;
}

void node_netcheck_free(struct node *n)
{
	struct netcheck *c = n->netcheck;
	struct netcheck_request *r, *tmp;

	if (!c)
		return;
	DL_FOREACH_SAFE(c->requests, r, tmp) {
		DL_DELETE(c->requests, r);
		control_fail(r->req, EXIT_NO_DAEMON, "the daemon is stopping");
		free(r);
	}
	for (unsigned i = 0; i < CONFIG_COORDINATORS_MAX; i++)
		knock_free(c->knocks[i].knock);
	free(c);
	n->netcheck = NULL;
}
