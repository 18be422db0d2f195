/* `warrenctl expose`: a public endpoint for a port of another program on this host.
 *
 *   start --the gateway may map it--> asking --granted--> open            (a public endpoint outside)
 *                                        `----refused--> as below
 *         --UDP, and the NAT lets anybody in to what it has mapped (RFC 4787: endpoint-independent mapping and filtering)
 *                                  --> asking --STUN answers--> open
 *         --neither--> refused, with all the reasons
 * What was open once stays wanted until it is stopped, its time is over, or the daemon ends: the gateway is asked again, and STUN too, when
 * they fail. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/data/node_control.h"
#include "daemon/net/stun_keeper.h"

#define EXPOSED_MAX 16
#define ASK_MS 9000 /* the longest that asking takes: PCP and NAT-PMP, then UPnP */
#define LOOK_MS 50  /* between looks at what became of a question */
#define SECONDS_MAX (366.0 * 86400)
/* Between two STUN requests: under the 20 s that some NATs keep a mapping, or three quarters of what this one was seen to. */
#define KEEP_MS 15000
#define KEEP_MAX_MS 60000

enum exposed_by {
	EXPOSED_BY_GATEWAY,
	EXPOSED_BY_CONE
};

struct exposed {
	struct node *node;
	uint8_t protocol;
	uint16_t port;
	enum exposed_by way;
	uint64_t until_ms;           /* UINT64_MAX: until it is stopped */
	struct control_request *req; /* asking; NULL: was open once */
	uint64_t asked_ms;
	char why_not[192]; /* the gateway refused */
	struct stun_keeper *keeper;
	struct endpoint was; /* as the log and the hook know it */
	struct exposed *prev, *next;
};

static const char *protocol_name(uint8_t protocol)
{
	return protocol == IPPROTO_TCP ? "tcp" : "udp";
}

static struct exposed *find(struct node *n, uint8_t protocol, uint16_t port)
{
	struct exposed *e;

	DL_FOREACH(n->exposed, e)
		if (e->protocol == protocol && e->port == port)
			return e;
	return NULL;
}

static const struct portmap_mapping *mapping_of(const struct exposed *e)
{
	const struct mapper *mapper = outside_mapper(e->node->outside);

	return mapper && e->way == EXPOSED_BY_GATEWAY ? portmap_find(mapper_portmap(mapper, 4), e->protocol, e->port) :
							NULL;
}

/* NULL: strangers get in to what this NAT has mapped, and where that is does not depend on whom we sent to. */
static const char *why_no_cone(const struct node *n, uint8_t protocol)
{
	const struct nat_facts *nat = &n->here.nat;

	if (protocol == IPPROTO_TCP)
		return "TCP needs a mapping by the gateway: that a NAT lets strangers' datagrams in says nothing of connections";
	if (nat->flags & NAT_UDP_BLOCKED)
		return "UDP does not get out of here at all";
	if (!(nat->flags & NAT_TESTED) || nat->mapping == NAT_MAPPING_UNKNOWN)
		return "what the NAT does is not known yet: see warrenctl netcheck";
	if (nat->mapping != NAT_MAPPING_ENDPOINT_INDEPENDENT)
		return "the NAT gives another port to each destination";
	if (nat->filtering == NAT_FILTERING_UNKNOWN)
		return "whom the NAT lets in is not known: see warrenctl netcheck";
	if (nat->filtering != NAT_FILTERING_ENDPOINT_INDEPENDENT)
		return "the NAT lets in only those that were sent to";
	return NULL;
}

/* The public endpoint, NULL while there is none. */
static const struct endpoint *endpoint_of(const struct exposed *e)
{
	const struct portmap_mapping *m = mapping_of(e);

	if (e->way == EXPOSED_BY_CONE)
		return e->keeper && !why_no_cone(e->node, e->protocol) ? stun_keeper_endpoint(e->keeper) : NULL;
	return m && m->is_granted && !ip_is_private(&m->external.ip) ? &m->external : NULL;
}

static const char *by_of(const struct exposed *e)
{
	const struct portmap_mapping *m = mapping_of(e);

	return e->way == EXPOSED_BY_CONE ? "stun" : m && m->is_granted ? portmap_protocol_name(m->by) : "none";
}

static void forget(struct exposed *e)
{
	struct node *n = e->node;

	if (e->way == EXPOSED_BY_GATEWAY && outside_mapper(n->outside))
		mapper_remove(outside_mapper(n->outside), e->protocol, e->port);
	stun_keeper_close(e->keeper);
	DL_DELETE(n->exposed, e);
	n->n_exposed--;
	free(e);
}

/* ---------------------------------------------------------------- answers */

static json_t *exposed_json(const struct exposed *e)
{
	const struct endpoint *endpoint = endpoint_of(e);
	char text[ADDR_TEXT_BYTES];

	return json_pack("{s:s, s:i, s:o, s:s, s:o}", "protocol", protocol_name(e->protocol), "port", e->port,
			 "endpoint", endpoint ? json_string(endpoint_to_text(endpoint, text)) : json_null(), "by",
			 by_of(e), "until", e->until_ms == UINT64_MAX ? json_null() : node_json_time(e->until_ms));
}

static json_t *answer_with(json_t *list)
{
	return json_pack("{s:s, s:o, s:o}", "schema", "warren.expose/1", "time", node_json_time(clock_now_ms()),
			 "exposed", list);
}

json_t *node_json_exposed(const struct node *n)
{
	json_t *list = json_array();
	const struct exposed *e;

	DL_FOREACH(n->exposed, e)
		if (!e->req)
			json_array_append_new(list, exposed_json(e));
	return list;
}

static void note_change(struct exposed *e)
{
	const struct endpoint none = { 0 }, *now = endpoint_of(e);
	char text[ADDR_TEXT_BYTES];

	now = now ? now : &none;
	if (endpoint_equal(now, &e->was))
		return;
	e->was = *now;
	if (now->port)
		log_info("expose: %s port %u is %s by %s", protocol_name(e->protocol), e->port,
			 endpoint_to_text(now, text), by_of(e));
	else
		log_warn("expose: %s port %u is open no more", protocol_name(e->protocol), e->port);
	node_tell_hook(e->node);
}

static void answer_open(struct exposed *e)
{
	struct control_request *req = e->req;

	e->req = NULL;
	note_change(e);
	control_reply_take(req, answer_with(json_pack("[o]", exposed_json(e))));
}

/* ---------------------------------------------------------------- why it cannot be */

/* Somebody there answers, whatever it answers: else its words are "no answer". */
static bool speaks_any(const struct portmap *pm)
{
	const char *error;

	for (int p = 0; p < PORTMAP_PROTOCOLS; p++)
		if (portmap_verdict(pm, (enum portmap_protocol)p, &error) == PORTMAP_YES ||
		    (error && strcmp(error, "no answer") != 0))
			return true;
	return false;
}

static void gateway_words(const struct node *n, const struct portmap_mapping *m, char *out, size_t capacity)
{
	const struct mapper *mapper = outside_mapper(n->outside);
	const char *why_not = mapper ? mapper_why_not(mapper, 4) : NULL;

	if (!mapper) {
		snprintf(out, capacity, "port mapping is switched off (listen.portmap)");
	} else if (why_not) {
		snprintf(out, capacity, "no gateway is asked: %s", why_not);
	} else if (m && m->is_granted) {
		snprintf(out, capacity, "the gateway's own address is private: there is another NAT behind it");
	} else if (m && m->error && speaks_any(mapper_portmap(mapper, 4))) {
		snprintf(out, capacity, "the gateway does not map it: %s", m->error);
	} else {
		snprintf(out, capacity, "the gateway maps nothing: neither PCP nor NAT-PMP nor UPnP");
	}
}

static void refuse(struct exposed *e, const char *words)
{
	struct control_request *req = e->req;

	e->req = NULL;
	control_fail(req, EXIT_NO, "%s port %u cannot be exposed: %s%s%s", protocol_name(e->protocol), e->port,
		     e->why_not, e->why_not[0] ? "; " : "", words);
	forget(e);
}

/* ---------------------------------------------------------------- by STUN */

static void on_kept(void *arg, struct stun_keeper *k)
{
	struct exposed *e = arg;

	if (!e->req)
		note_change(e);
	else if (stun_keeper_endpoint(k))
		answer_open(e);
	else
		refuse(e, "the coordinator does not answer STUN");
}

static const struct endpoint *stun_server(const struct node *n)
{
	for (unsigned i = 0; i < n->n_links; i++) {
		const struct endpoint *server = link_udp(n->links[i]) ? link_udp_endpoint(n->links[i]) : NULL;

		if (server && server->ip.len == 4)
			return server;
	}
	return NULL;
}

static unsigned keep_ms(const struct node *n)
{
	unsigned learned_ms = n->here.nat.lifetime_s * 750u;

	return learned_ms == 0 ? KEEP_MS : learned_ms < KEEP_MAX_MS ? learned_ms : KEEP_MAX_MS;
}

/* NULL, or why not. */
static const char *open_keeper(struct exposed *e)
{
	struct node *n = e->node;
	const struct endpoint *server = stun_server(n);
	const char *words = why_no_cone(n, e->protocol);
	int ret;

	if (words)
		return words;
	if (!server)
		return "no coordinator is in reach, to see the port from outside";
	ret = stun_keeper_open(&e->keeper, n->loop, e->port, server, n->bind_interface, keep_ms(n), on_kept, e);
	if (ret == -EADDRINUSE)
		return "its program does not share it: only one that has set SO_REUSEADDR lets the mapping be kept open";
	return ret < 0 ? strerror(-ret) : NULL;
}

static void start_cone(struct exposed *e)
{
	const char *words;

	e->way = EXPOSED_BY_CONE;
	words = open_keeper(e);
	if (words)
		refuse(e, words);
}

void node_expose_network_changed(struct node *n)
{
	struct exposed *e;

	/* A connected socket keeps the address it was connected from. */
	DL_FOREACH(n->exposed, e)
		if (e->way == EXPOSED_BY_CONE && !e->req) {
			stun_keeper_close(e->keeper);
			e->keeper = NULL;
			open_keeper(e);
			note_change(e);
		}
}

/* ---------------------------------------------------------------- by the gateway */

static void look(struct exposed *e, uint64_t now_ms)
{
	struct node *n = e->node;
	const struct portmap_mapping *m = mapping_of(e);
	bool is_over = now_ms - e->asked_ms >= ASK_MS;

	if (endpoint_of(e)) {
		answer_open(e);
		return;
	}
	/* What is not granted and not asked for any more, for now, has words. */
	if (m && !m->is_granted &&
	    (m->is_asking || !portmap_is_settled(mapper_portmap(outside_mapper(n->outside), 4))) && !is_over)
		return;
	gateway_words(n, m, e->why_not, sizeof(e->why_not));
	if (outside_mapper(n->outside))
		mapper_remove(outside_mapper(n->outside), e->protocol, e->port);
	start_cone(e);
}

static void start(struct exposed *e)
{
	struct node *n = e->node;
	struct mapper *mapper = outside_mapper(n->outside);

	e->asked_ms = clock_now_ms();
	if (mapper && !mapper_why_not(mapper, 4) && mapper_add(mapper, e->protocol, e->port) == 0) {
		node_due(n, e->asked_ms); /* perhaps it is settled already */
		return;
	}
	gateway_words(n, NULL, e->why_not, sizeof(e->why_not));
	start_cone(e);
}

/* What a reload switched off and on again, or a change of the network closed. */
static void keep(struct exposed *e)
{
	struct mapper *mapper = outside_mapper(e->node->outside);

	if (e->way == EXPOSED_BY_GATEWAY && mapper && !mapping_of(e))
		mapper_add(mapper, e->protocol, e->port);
	else if (e->way == EXPOSED_BY_CONE && !e->keeper)
		open_keeper(e);
}

void node_expose_tick(struct node *n, uint64_t now_ms)
{
	struct exposed *e, *tmp;

	DL_FOREACH_SAFE(n->exposed, e, tmp) {
		if (now_ms >= e->until_ms) {
			log_info("expose: %s port %u: its time is over", protocol_name(e->protocol), e->port);
			forget(e);
			node_tell_hook(n);
		} else if (e->req && e->way == EXPOSED_BY_GATEWAY) {
			look(e, now_ms);
		} else if (!e->req) {
			keep(e);
			note_change(e);
		}
	}
}

uint64_t node_expose_next_ms(const struct node *n)
{
	const struct exposed *e;
	uint64_t next = UINT64_MAX;

	DL_FOREACH(n->exposed, e) {
		uint64_t at_ms = e->req && e->way == EXPOSED_BY_GATEWAY ? clock_now_ms() + LOOK_MS : e->until_ms;

		if (at_ms < next)
			next = at_ms;
	}
	return next;
}

void node_expose_free(struct node *n)
{
	struct exposed *e, *tmp;

	DL_FOREACH_SAFE(n->exposed, e, tmp) {
		if (e->req)
			control_fail(e->req, EXIT_NO_DAEMON, "the daemon is stopping");
		forget(e);
	}
}

/* ---------------------------------------------------------------- the command */

/* A host with a public address needs nothing opened; what a firewall does to the port is the administrator's. */
static const struct ip *public_address(const struct node *n)
{
	for (unsigned i = 0; i < n->ifaces.n && n->here.nat.mapping == NAT_MAPPING_NONE; i++)
		if (n->ifaces.v[i].ip.len == 4 && !ip_is_private(&n->ifaces.v[i].ip))
			return &n->ifaces.v[i].ip;
	return NULL;
}

static void answer_public(struct control_request *req, const struct ip *ip, uint8_t protocol, uint16_t port)
{
	struct endpoint endpoint = { .ip = *ip, .port = port };
	char text[ADDR_TEXT_BYTES];

	control_reply_take(req, answer_with(json_pack("[{s:s, s:i, s:s, s:s, s:n}]", "protocol",
						      protocol_name(protocol), "port", port, "endpoint",
						      endpoint_to_text(&endpoint, text), "by", "address", "until")));
}

static void begin(struct node *n, struct control_request *req, uint8_t protocol, uint16_t port, double seconds)
{
	struct exposed *e = find(n, protocol, port);
	const struct ip *public = public_address(n);
	uint64_t until_ms = seconds > 0 ? clock_now_ms() + (uint64_t)(seconds * 1000) : UINT64_MAX;

	if (e && e->req) {
		control_fail(req, EXIT_NO, "%s port %u is being asked for already", protocol_name(protocol), port);
	} else if (e) {
		e->until_ms = until_ms;
		control_reply_take(req, answer_with(json_pack("[o]", exposed_json(e))));
	} else if (port == (protocol == IPPROTO_TCP ? tcp_paths_port(n->tcp) : n->port)) {
		control_fail(req, EXIT_NO, "%s port %u is this node's own: see warrenctl netcheck",
			     protocol_name(protocol), port);
	} else if (public) {
		answer_public(req, public, protocol, port);
	} else if (n->n_exposed == EXPOSED_MAX || !(e = calloc(1, sizeof(*e)))) {
		control_fail(req, EXIT_NO, "there are %u exposed ports already", n->n_exposed);
	} else {
		*e = (struct exposed){
			.node = n, .protocol = protocol, .port = port, .until_ms = until_ms, .req = req
		};
		DL_APPEND(n->exposed, e);
		n->n_exposed++;
		start(e);
	}
	node_due(n, node_expose_next_ms(n));
}

static void stop(struct node *n, struct control_request *req, uint8_t protocol, uint16_t port)
{
	struct exposed *e = find(n, protocol, port);

	if (!e || e->req) {
		control_fail(req, EXIT_NO, "%s port %u is not exposed", protocol_name(protocol), port);
		return;
	}
	log_info("expose: %s port %u: stopped", protocol_name(protocol), port);
	forget(e);
	node_tell_hook(n);
	control_reply_take(req, answer_with(json_array()));
}

void node_cmd_expose(void *arg, struct control_request *req, const json_t *args)
{
	struct node *n = arg;
	const char *name = json_string_value(json_object_get(args, "protocol"));
	json_int_t port = json_integer_value(json_object_get(args, "port"));
	double seconds = json_number_value(json_object_get(args, "seconds"));
	uint8_t protocol = name && strcmp(name, "tcp") == 0 ? IPPROTO_TCP : IPPROTO_UDP;

	if (!name) {
		control_reply_take(req, answer_with(node_json_exposed(n)));
	} else if ((strcmp(name, "tcp") != 0 && strcmp(name, "udp") != 0) || port < 1 || port > UINT16_MAX) {
		control_fail(req, EXIT_BAD_USAGE, "which port? tcp or udp, and a number from 1 to 65535");
	} else if (!(seconds >= 0 && seconds <= SECONDS_MAX)) {
		control_fail(req, EXIT_BAD_USAGE, "for how long? A number of seconds, of a year at most");
	} else if (json_is_true(json_object_get(args, "stop"))) {
		stop(n, req, protocol, (uint16_t)port);
	} else {
		begin(n, req, protocol, (uint16_t)port, seconds);
	}
}
