/* The node's endpoints by mapping and configuration: to others as candidates, to its user in words. */
#include <netinet/in.h>

#include "crypto/mac.h"
#include "daemon/data/node_control.h"

static void on_outside_changed(void *arg)
{
	struct node *n = arg;

	n->are_candidates_stale = true;
	node_due(n, clock_now_ms()); /* exposed ports are looked at */
}

int node_open_outside(struct node *n, const struct seckey *secret, uint64_t now_ms)
{
	struct {
		struct seckey secret;
		char label[16];
	} from = { .secret = *secret, .label = "port mappings" };
	uint8_t seed[PORTMAP_SEED_BYTES];
	int ret;

	hash_bytes(seed, &from, sizeof(from));
	ret = outside_open(&n->outside, n->loop, n->config, n->bind_interface, n->port, tcp_paths_port(n->tcp), seed,
			   on_outside_changed, n, now_ms);
	key_wipe(&from, sizeof(from));
	key_wipe(seed, sizeof(seed));
	if (ret == 0)
		node_due(n, outside_next_ms(n->outside));
	return ret;
}

void node_add_outside(struct node *n, struct candidates *c)
{
	struct candidate v[WIRE_CANDIDATES_MAX];
	unsigned n_outside = outside_candidates(n->outside, v, WIRE_CANDIDATES_MAX);

	for (unsigned i = 0; i < n_outside; i++)
		if (!node_is_overlay(n, &v[i].endpoint.ip))
			node_add_candidate(c, v[i].kind, &v[i].endpoint);
	if (outside_is_mapped(n->outside))
		c->nat.flags |= NAT_PORT_MAPPED;
}

void node_add_outside_tcp(struct node *n, struct candidates *c)
{
	struct candidate v[WIRE_CANDIDATES_MAX];
	unsigned n_outside = outside_tcp_candidates(n->outside, v, WIRE_CANDIDATES_MAX);

	for (unsigned i = 0; i < n_outside; i++)
		if (!node_is_overlay(n, &v[i].endpoint.ip))
			node_add_candidate(c, v[i].kind, &v[i].endpoint);
}

bool node_is_behind_two_nats(const struct node *n)
{
	const struct mapper *mapper = outside_mapper(n->outside);

	return mapper && ip_is_private(portmap_outer(mapper_portmap(mapper, 4)));
}

bool node_was_moved(const struct candidates *before, const struct candidates *after)
{
	bool was_seen = false, is_seen_there = false;

	for (unsigned i = 0; i < before->n; i++) {
		if (before->v[i].kind != CANDIDATE_REFLEXIVE || before->v[i].endpoint.ip.len != 4)
			continue;
		was_seen = true;
		for (unsigned k = 0; k < after->n; k++)
			is_seen_there |= endpoint_equal(&before->v[i].endpoint, &after->v[k].endpoint);
	}
	return was_seen && !is_seen_there;
}

/* ---------------------------------------------------------------- for people */

static json_t *endpoint_json(const struct endpoint *endpoint)
{
	char text[ADDR_TEXT_BYTES];

	return json_string(endpoint_to_text(endpoint, text));
}

static json_t *ip_json(const struct ip *ip)
{
	char text[ADDR_TEXT_BYTES];

	return ip_is_none(ip) ? json_null() : json_string(ip_to_text(ip, text));
}

static json_t *mapping_json(const struct portmap_mapping *m)
{
	bool is_granted = m->is_granted, is_for_ever = m->expires_ms == UINT64_MAX;

	return json_pack("{s:s, s:i, s:b, s:s?, s:o, s:o, s:o, s:s?}", "protocol",
			 m->protocol == IPPROTO_TCP ? "tcp" : "udp", "port", m->internal_port, "granted", is_granted,
			 "by", is_granted ? portmap_protocol_name(m->by) : NULL, "external",
			 is_granted ? endpoint_json(&m->external) : json_null(), "lifetime_s",
			 is_granted && !is_for_ever ? json_integer(m->lifetime_s) : json_null(), "expires",
			 is_granted && !is_for_ever ? node_json_time(m->expires_ms) : json_null(), "error", m->error);
}

static json_t *protocol_json(const struct portmap *pm, enum portmap_protocol p)
{
	const char *error;
	enum portmap_verdict v = portmap_verdict(pm, p, &error);

	return json_pack("{s:s, s:s?}", "state", portmap_verdict_name(v), "error", error);
}

/* Behind a second NAT: its address, the gateway's outer one, is none that everybody reaches. */
static json_t *double_nat_json(const struct portmap *pm)
{
	const struct ip *outer = portmap_outer(pm);

	return ip_is_none(outer) ? json_null() : json_boolean(ip_is_private(outer));
}

static json_t *family_json(const struct mapper *mapper, uint8_t ip_len)
{
	static const char *const names[] = { "pcp", "nat_pmp", "upnp" };
	const struct portmap *pm = mapper_portmap(mapper, ip_len);
	const char *why_not = mapper_why_not(mapper, ip_len);
	json_t *o = json_object(), *list = json_array();

	json_object_set_new(o, "gateway", ip_json(portmap_gateway(pm)));
	json_object_set_new(o, "local", ip_json(portmap_local(pm)));
	json_object_set_new(o, "external", ip_json(portmap_outer(pm)));
	json_object_set_new(o, "double_nat", ip_len == 4 ? double_nat_json(pm) : json_false());
	json_object_set_new(o, "why_not", why_not ? json_string(why_not) : json_null());
	for (int p = 0; p < (ip_len == 4 ? PORTMAP_PROTOCOLS : PORTMAP_PCP + 1); p++)
		json_object_set_new(o, names[p], protocol_json(pm, (enum portmap_protocol)p));
	for (unsigned i = 0; i < portmap_count(pm); i++)
		json_array_append_new(list, mapping_json(portmap_at(pm, i)));
	json_object_set_new(o, "mappings", list);
	return o;
}

json_t *node_json_portmap(const struct node *n)
{
	const struct mapper *mapper = outside_mapper(n->outside);

	if (!mapper)
		return json_pack("{s:b, s:n, s:n}", "enabled", false, "ipv4", "ipv6");
	return json_pack("{s:b, s:o, s:o}", "enabled", true, "ipv4", family_json(mapper, 4), "ipv6",
			 family_json(mapper, 16));
}

json_t *node_json_mapped(const struct node *n)
{
	const struct mapper *mapper = outside_mapper(n->outside);
	const struct portmap_mapping *m = mapper ? portmap_find(mapper_portmap(mapper, 4), IPPROTO_UDP, n->port) : NULL;

	if (!m || !m->is_granted)
		return json_null();
	return json_pack("{s:o, s:s}", "endpoint", endpoint_json(&m->external), "by", portmap_protocol_name(m->by));
}
