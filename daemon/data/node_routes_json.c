/* `warrenctl routes`: the networks behind peers, used or not and why, and those behind this node. */
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/data/node_control.h"
#include "tun/netlink.h"

struct row {
	struct prefix net;
	const char *peer;
	json_t *json;
};

struct rows {
	unsigned n, max;
	struct row *v;
};

static json_t *words_or_null(const char *words)
{
	return words && *words ? json_string(words) : json_null();
}

/* One that memory is too short for is left out. */
static void add(struct rows *rows, const struct prefix *net, const char *peer, const char *state, uint64_t since_ms,
		const char *with, const char *error)
{
	char text[ADDR_TEXT_BYTES];
	struct row *row;

	if (rows->n == rows->max)
		return;
	row = &rows->v[rows->n++];
	*row = (struct row){ .net = *net, .peer = peer };
	row->json = json_pack("{s:s, s:s, s:s, s:o, s:o, s:o}", "prefix", prefix_to_text(net, text), "peer", peer,
			      "state", state, "since", node_json_time(since_ms), "with", words_or_null(with), "error",
			      words_or_null(error));
}

/* Which of our addresses' networks it overlaps. */
static const char *mesh_of(const struct node *n, const struct prefix *net, char text[static ADDR_TEXT_BYTES])
{
	for (unsigned i = 0; i < n->state.n_addrs; i++) {
		struct prefix mesh = n->state.addrs[i];

		mesh.ip = prefix_network(&mesh);
		if (prefix_overlaps(&mesh, net))
			return prefix_to_text(&mesh, text);
	}
	return NULL;
}

static const char *coordinator_in(const struct node *n, const struct prefix *net)
{
	struct ip at;

	for (unsigned i = 0; i < n->n_links; i++)
		if (link_address(n->links[i], &at) && prefix_contains(net, &at))
			return link_config(n->links[i])->name;
	return "the proxy";
}

/* The link that the kernel sends to the network's first host by, if that is not ours: a route of the host's goes before. */
static const char *other_link(const struct node *n, const struct prefix *net, char name[static IF_NAMESIZE])
{
	struct ip first = net->ip;
	struct netlink_way way;

	if (net->bits < first.len * 8)
		first.b[first.len - 1] |= 1;
	if (netlink_way_to(&way, 0, first.b, first.len) < 0 || way.ifindex == n->tun.ifindex)
		return NULL;
	return if_indextoname((unsigned)way.ifindex, name);
}

static void add_named(struct rows *rows, const struct node *n, const struct route *r)
{
	static const char *const states[] = {
		[ROUTE_NO_MEMBER] = "no member",
		[ROUTE_IN_USE] = "in use",
		[ROUTE_PEER_DOWN] = "peer down",
		[ROUTE_STANDBY] = "overlaps",
		[ROUTE_IN_MESH] = "overlaps",
		[ROUTE_AROUND_COORDINATOR] = "overlaps",
		[ROUTE_NOT_CERTIFIED] = "not certified",
	};
	const char *state = states[r->state], *with = NULL, *error = r->error ? strerror(-r->error) : NULL;
	char text[ADDR_TEXT_BYTES], link[IF_NAMESIZE];

	if (r->state == ROUTE_STANDBY)
		with = r->before->name;
	else if (r->state == ROUTE_IN_MESH)
		with = mesh_of(n, &r->net, text);
	else if (r->state == ROUTE_AROUND_COORDINATOR)
		with = coordinator_in(n, &r->net);
	else if (route_is_active(r) && !error && !n->is_tun_down)
		with = other_link(n, &r->net, link);
	if (route_is_active(r) && with)
		state = "overlaps";
	add(rows, &r->net, r->name, state, r->since_ms, with, error);
}

/* Of the network, or a part of it, the file speaks at this peer's name. */
static bool is_named(const struct node *n, const struct peer *p, const struct prefix *net)
{
	for (unsigned i = p->first_route; i < p->first_route + p->n_routes; i++)
		if (prefix_covers(net, &n->routes.v[i].net))
			return true;
	return false;
}

static void add_offered(struct rows *rows, const struct node *n, const struct peer *p)
{
	const struct grant *g = p->credential.grant;

	for (unsigned i = 0; g && i < g->n_routes; i++)
		if (!is_named(n, p, &g->routes[i]))
			add(rows, &g->routes[i], p->name, "not accepted", 0, NULL, NULL);
}

static void add_own(struct rows *rows, const struct node *n)
{
	const struct prefix *behind;
	unsigned n_behind = node_routes_behind(n, &behind);
	char text[ADDR_TEXT_BYTES];

	for (unsigned i = 0; i < n_behind; i++)
		add(rows, &behind[i], n->name, node_routes_is_behind(n, &behind[i]) ? "own" : "not forwarded", 0,
		    mesh_of(n, &behind[i], text), config_route_error(&behind[i]));
}

static unsigned count(const struct node *n)
{
	const struct prefix *behind;
	unsigned sum = node_routes_behind(n, &behind) + n->routes.n;

	for (const struct peer *p = n->peers.by_number; p; p = p->by_number.next)
		sum += p->credential.grant ? p->credential.grant->n_routes : 0;
	return sum;
}

static int compare(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int ret = ip_compare(&x->net.ip, &y->net.ip);

	if (ret == 0)
		ret = x->net.bits - y->net.bits;
	return ret ? ret : strcmp(x->peer, y->peer);
}

void node_cmd_routes(void *arg, struct control_request *req, const json_t *args)
{
	struct node *n = arg;
	struct rows rows = { .max = count(n) };
	json_t *doc = json_object(), *list = json_array();

	(void)args;
	rows.v = calloc(rows.max ? rows.max : 1, sizeof(*rows.v));
	if (!rows.v)
		rows.max = 0;
	add_own(&rows, n);
	for (unsigned i = 0; i < n->routes.n; i++)
		add_named(&rows, n, &n->routes.v[i]);
	for (const struct peer *p = n->peers.by_number; p; p = p->by_number.next)
		add_offered(&rows, n, p);
	if (rows.v)
		qsort(rows.v, rows.n, sizeof(*rows.v), compare);
	for (unsigned i = 0; i < rows.n; i++)
		json_array_append_new(list, rows.v[i].json);
	free(rows.v);
	json_object_set_new(doc, "schema", json_string("warren.routes/1"));
	json_object_set_new(doc, "time", node_json_time(clock_now_ms()));
	json_object_set_new(doc, "self", json_string(n->name));
	json_object_set_new(doc, "routes", list);
	control_reply_take(req, doc);
}

/* ---------------------------------------------------------------- of others' documents */

void node_routes_notices(const struct node *n, json_t *notices)
{
	char text[ADDR_TEXT_BYTES];

	for (unsigned i = 0; i < n->routes.n; i++) {
		const struct route *r = &n->routes.v[i];

		if (!route_is_active(r) && r->state != ROUTE_STANDBY)
			json_array_append_new(notices,
					      json_sprintf("route %s through %s: %s", prefix_to_text(&r->net, text),
							   r->name, route_state_words(r->state)));
	}
}

json_t *node_json_routes(const struct node *n, const struct peer *p)
{
	json_t *list = json_array();
	char text[ADDR_TEXT_BYTES];

	for (unsigned i = p->first_route; i < p->first_route + p->n_routes; i++)
		if (route_is_active(&n->routes.v[i]))
			json_array_append_new(list, json_string(prefix_to_text(&n->routes.v[i].net, text)));
	return list;
}

json_t *node_json_groups(const struct peer *p)
{
	json_t *list;

	if (!p->credential.was_good)
		return json_null();
	list = json_array();
	for (unsigned i = 0; p->credential.grant && i < p->credential.grant->n_groups; i++)
		json_array_append_new(list, json_string(p->credential.grant->groups[i]));
	return list;
}
