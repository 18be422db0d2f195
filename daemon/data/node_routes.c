/* Networks behind peers: whom the file's routes lead to now, which of them are in the kernel, and what the workers get of them.
 *
 * What is known of a route's peer is looked at before each publication, its certificate when there is news of it, and the routes are
 * judged anew (peer/routes.h) when any of it is other than it was. Without routes in the file none of this costs anything. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/data/node_private.h"
#include "tun/netlink.h"

/* Of our routes in the kernel: worse than what a host's own networks have by its DHCP client, NetworkManager or networkd (0 to 1024), so
 * that a network it is really in goes before the same one behind a peer. */
#define ROUTE_METRIC 5000
/* Between two questions for a peer that nobody knows, or that is away, and for a certificate that was no good. */
#define ROUTES_RETRY_MIN_MS 500 /* doubled before each, until something changes */
#define ROUTES_RETRY_MAX_MS 32000
/* A peer that was called, or sent to, so long without an answer is taken to be away; one that the coordinators say is offline sooner: a
 * direct path outlives that. */
#define ROUTES_UNANSWERED_MS 5000
#define ROUTES_OFFLINE_MS 1000

void node_routes_changed(struct node *n)
{
	if (!n->routes.n)
		return;
	n->are_routes_stale = true;
	n->is_table_stale = true;
}

/* ---------------------------------------------------------------- whom they lead to */

/* The routes of one name stand together: [first, the end returned). */
static unsigned end_of_name(const struct routes *r, unsigned first)
{
	unsigned end = first + 1;

	while (end < r->n && strcmp(r->v[end].name, r->v[first].name) == 0)
		end++;
	return end;
}

static void find_peers(struct node *n)
{
	struct routes *r = &n->routes;
	unsigned end;

	for (struct peer *p = n->peers.by_number; p; p = p->by_number.next)
		p->first_route = p->n_routes = 0;
	for (unsigned first = 0; first < r->n; first = end) {
		struct peer *p = peers_by_name(&n->peers, r->v[first].name);

		end = end_of_name(r, first);
		for (unsigned i = first; i < end; i++) {
			r->v[i].peer = p ? p->number : 0;
			r->v[i].key = p ? p->key : (struct pubkey){ 0 };
		}
		if (p) {
			p->first_route = first;
			p->n_routes = end - first;
		}
	}
	n->routes_version = n->peers.version;
}

/* As far as is known: one that was not met in this life is found out by the first packet, before which it gets nothing. */
static bool is_certificate_good(struct node *n, const struct peer *p)
{
	return p->sessions.refused_here == CERT_GOOD &&
	       trust_judge_again(n->trust, &p->key, &p->credential.serial, p->credential.not_after_s,
				 clock_wall_ms() / 1000) == CERT_GOOD;
}

static void check_certificates(struct node *n)
{
	for (struct peer *p = n->peers.by_number; p; p = p->by_number.next) {
		bool is_good = p->n_routes && (!n->trust || is_certificate_good(n, p));

		for (unsigned i = p->first_route; i < p->first_route + p->n_routes; i++)
			n->routes.v[i].is_certified = is_good && (!n->trust || !p->credential.was_good ||
								  peers_is_granted(p, &n->routes.v[i].net));
	}
}

static uint64_t load_ms(const _Atomic uint64_t *at)
{
	return atomic_load_explicit(at, memory_order_relaxed);
}

/* Data was sent, and nothing came back after it: no data, no answer to the probes that follow such a silence. */
static bool is_silent(const struct node *n, const struct peer *p, const struct path *best)
{
	const struct traffic *t = &node_shared(p)->traffic;
	uint64_t heard_ms = load_ms(&t->last_received_ms),
		 patience_ms = node_is_known_offline(n, p) ? ROUTES_OFFLINE_MS : ROUTES_UNANSWERED_MS;

	if (best->last_answer_ms > heard_ms)
		heard_ms = best->last_answer_ms;
	return load_ms(&t->last_data_sent_ms) > heard_ms + patience_ms;
}

static enum route_reach reach_of(const struct node *n, const struct peer *p, uint64_t now_ms)
{
	const struct session *s = p->paths ? sessions_sendable(&p->sessions, now_ms) : NULL;
	const struct path *best = s ? path_set_best(p->paths) : NULL;

	if (best)
		return is_silent(n, p, best) ? ROUTE_REACH_DOWN : ROUTE_REACH_UP;
	if (node_is_known_offline(n, p))
		return ROUTE_REACH_DOWN;
	/* No path any more, where there must have been one. */
	if (s && now_ms - s->created_ms >= ROUTES_UNANSWERED_MS)
		return ROUTE_REACH_DOWN;
	if (p->paths && p->sessions.attempt.is_active && now_ms - p->sessions.asked_since_ms >= ROUTES_UNANSWERED_MS)
		return ROUTE_REACH_DOWN;
	return ROUTE_REACH_IDLE;
}

/* True: some peer is other than it was. */
static bool look_at_peers(struct node *n, uint64_t now_ms)
{
	bool is_changed = false;
	unsigned end;

	for (unsigned first = 0; first < n->routes.n; first = end) {
		struct route *v = n->routes.v;
		const struct peer *p = peers_by_number(&n->peers, v[first].peer);
		enum route_reach reach = p ? reach_of(n, p, now_ms) : ROUTE_REACH_DOWN;

		end = end_of_name(&n->routes, first);
		for (unsigned i = first; i < end; i++) {
			is_changed |= v[i].reach != reach;
			v[i].reach = reach;
		}
	}
	return is_changed;
}

static void around_of(const struct node *n, struct routes_around *out)
{
	*out = (struct routes_around){ .n_mesh = n->state.n_addrs, .mesh = n->state.addrs };
	static_assert(sizeof(out->coordinators) / sizeof(out->coordinators[0]) >= CONFIG_COORDINATORS_MAX * 2,
		      "each has an address of its own, and one of the proxy before it");
	for (unsigned i = 0; i < n->n_links; i++) {
		struct ip *at = &out->coordinators[out->n_coordinators];

		out->n_coordinators += link_address(n->links[i], at);
		if (link_is_proxied(n->links[i]) && link_connection(n->links[i]))
			out->coordinators[out->n_coordinators++] = link_connection(n->links[i])->ip;
	}
}

/* ---------------------------------------------------------------- the kernel's */

static int kernel_add(const struct node *n, const struct prefix *net)
{
	return netlink_route_add(n->tun.ifindex, net->ip.b, net->ip.len, net->bits, ROUTE_METRIC);
}

static void kernel_del(const struct node *n, const struct prefix *net)
{
	int ret = netlink_route_del(n->tun.ifindex, net->ip.b, net->ip.len, net->bits, ROUTE_METRIC);
	char text[ADDR_TEXT_BYTES];

	if (ret < 0 && !n->is_tun_gone)
		log_error("interface %s: cannot remove the route %s: %s", n->tun.name, prefix_to_text(net, text),
			  strerror(-ret));
}

static struct route *installed(struct routes *r, const struct prefix *net)
{
	for (unsigned i = 0; i < r->n; i++)
		if (r->v[i].is_installed && prefix_equal(&r->v[i].net, net))
			return &r->v[i];
	return NULL;
}

static void install(struct node *n, struct route *r)
{
	char text[ADDR_TEXT_BYTES];

	int ret = kernel_add(n, &r->net);

	if (ret < 0 && ret != r->error)
		log_error("interface %s: cannot set the route %s: %s", n->tun.name, prefix_to_text(&r->net, text),
			  strerror(-ret));
	r->error = ret;
	r->is_installed = ret == 0;
}

/* One kernel's route a prefix, whichever peer has it. */
static void apply(struct node *n)
{
	struct routes *r = &n->routes;

	for (unsigned i = 0; i < r->n; i++) {
		if (routes_active(r, &r->v[i].net))
			continue;
		if (r->v[i].is_installed)
			kernel_del(n, &r->v[i].net);
		r->v[i].is_installed = false;
		r->v[i].error = 0;
	}
	/* Before we have an address the kernel would have packets leave under another; and a link that is down has no routes. */
	for (unsigned i = 0; i < r->n && n->state.n_addrs && !n->is_tun_down; i++)
		if (route_is_active(&r->v[i]) && !r->v[i].error && !installed(r, &r->v[i].net))
			install(n, &r->v[i]);
}

void node_routes_look(struct node *n)
{
	if (n->is_tun_gone || n->is_tun_down)
		return;
	for (unsigned i = 0; i < n->routes.n; i++)
		if (n->routes.v[i].is_installed || n->routes.v[i].error)
			install(n, &n->routes.v[i]);
}

/* ---------------------------------------------------------------- judging */

static void tell(struct route *r)
{
	char text[ADDR_TEXT_BYTES];

	if (r->state == r->told)
		return;
	r->told = r->state;
	prefix_to_text(&r->net, text);
	if (route_is_active(r) || r->state == ROUTE_STANDBY)
		log_info("route %s through %s: %s", text, r->name, route_state_words(r->state));
	else
		log_warn("route %s through %s: %s", text, r->name, route_state_words(r->state));
}

static uint64_t next_due(const struct node *n, uint64_t now_ms)
{
	uint64_t due = UINT64_MAX, now_s = clock_wall_ms() / 1000;

	for (unsigned i = 0; i < n->routes.n; i++) {
		const struct route *r = &n->routes.v[i];
		const struct peer *p = peers_by_number(&n->peers, r->peer);
		uint64_t end_s = p && n->trust ? p->credential.not_after_s : 0, at = UINT64_MAX;

		if (r->reach == ROUTE_REACH_DOWN || r->state == ROUTE_NOT_CERTIFIED)
			at = now_ms + n->routes_retry_ms;
		else if (end_s)
			at = now_ms + (end_s + CERT_SKEW_S > now_s ? (end_s + CERT_SKEW_S - now_s) * 1000 : 0);
		if (at < due)
			due = at;
	}
	return due;
}

void node_routes_settle(struct node *n, uint64_t now_ms)
{
	struct routes_around around;
	bool is_changed;
	uint64_t due;

	if (!n->routes.n)
		return;
	if (n->routes_version != n->peers.version) {
		find_peers(n);
		n->are_routes_stale = true;
	}
	is_changed = look_at_peers(n, now_ms);
	if (!is_changed && !n->are_routes_stale)
		return;
	if (n->are_routes_stale)
		check_certificates(n);
	n->are_routes_stale = false;
	around_of(n, &around);
	if (routes_judge(&n->routes, &around, now_ms))
		n->routes_retry_ms = ROUTES_RETRY_MIN_MS;
	for (unsigned i = 0; i < n->routes.n; i++)
		tell(&n->routes.v[i]);
	apply(n);
	due = next_due(n, now_ms);
	if (due < n->routes_due_ms)
		n->routes_due_ms = due;
	node_due(n, n->routes_due_ms);
}

void node_routes_ask(struct node *n)
{
	if (!n->routes.n)
		return;
	n->routes_retry_ms = ROUTES_RETRY_MIN_MS;
	n->routes_due_ms = clock_now_ms();
	node_due(n, n->routes_due_ms);
}

void node_routes_tick(struct node *n, uint64_t now_ms)
{
	unsigned end;

	if (now_ms < n->routes_due_ms)
		return;
	n->routes_due_ms = UINT64_MAX;
	n->routes_retry_ms *= n->routes_retry_ms < ROUTES_RETRY_MAX_MS ? 2 : 1;
	for (unsigned first = 0; first < n->routes.n; first = end) {
		const struct route *r = &n->routes.v[first];
		struct peer *p = peers_by_number(&n->peers, r->peer);
		bool is_refused = false;

		end = end_of_name(&n->routes, first);
		for (unsigned i = first; i < end; i++)
			is_refused |= n->routes.v[i].state == ROUTE_NOT_CERTIFIED;
		if (is_refused && p && !p->settled_index)
			node_want_peer(n, p); /* it may have a better one by now */
		else if (r->reach == ROUTE_REACH_DOWN)
			node_ask_name(n, r->name); /* of one that never was in contact nobody tells that it came back */
	}
	node_routes_changed(n);
}

uint64_t node_routes_next_ms(const struct node *n)
{
	return n->routes_due_ms;
}

/* ---------------------------------------------------------------- start, reload, end */

int node_routes_start(struct node *n)
{
	static const struct routes none;

	n->routes_due_ms = UINT64_MAX;
	n->routes_retry_ms = ROUTES_RETRY_MIN_MS;
	n->are_routes_stale = true;
	n->routes_version = n->peers.version - 1;
	return routes_new(&n->routes, n->config, &none, clock_now_ms());
}

void node_routes_take(struct node *n, struct routes *next)
{
	for (unsigned i = 0; i < n->routes.n; i++) {
		const struct route *old = &n->routes.v[i];
		bool is_kept = !old->is_installed || installed(next, &old->net);

		/* What is in the kernel may serve another peer from now on. */
		for (unsigned k = 0; k < next->n && !is_kept; k++)
			if (prefix_equal(&next->v[k].net, &old->net))
				is_kept = next->v[k].is_installed = true;
		if (!is_kept)
			kernel_del(n, &old->net);
	}
	for (struct peer *p = n->peers.by_number; p; p = p->by_number.next)
		p->n_routes = 0; /* until they are found anew */
	routes_free(&n->routes);
	n->routes = *next;
	*next = (struct routes){ 0 };
	n->routes_version = n->peers.version - 1;
	n->are_routes_stale = true;
	n->is_table_stale = true;
	node_routes_ask(n);
}

void node_routes_free(struct node *n)
{
	routes_free(&n->routes);
}

/* ---------------------------------------------------------------- packets */

struct peer *node_routes_peer(const struct node *n, const struct ip *dst)
{
	const struct route *r = routes_find(&n->routes, dst);

	return r ? peers_by_number(&n->peers, r->peer) : NULL;
}

/* Networks that this node forwards for: those of its file, else of its certificate. */
unsigned node_routes_behind(const struct node *n, const struct prefix **out)
{
	const struct cert *own = trust_own(n->trust);

	if (!own || n->config->routes.n) {
		*out = n->config->routes.v;
		return n->config->routes.n;
	}
	*out = own->routes;
	return own->n_routes;
}

bool node_routes_is_behind(const struct node *n, const struct prefix *net)
{
	const struct cert *own = trust_own(n->trust);
	struct routes_around around;

	around_of(n, &around);
	return (!own || cert_has_route(own, net)) && !config_route_error(net) && !routes_is_in_mesh(&around, net);
}

int node_routes_publish(const struct node *n, struct table *t)
{
	const struct prefix *behind;
	unsigned n_behind = node_routes_behind(n, &behind);

	for (unsigned i = 0; i < n_behind; i++)
		if (node_routes_is_behind(n, &behind[i]))
			t->behind[t->n_behind++] = behind[i];
	return n->routes.n ? table_make_networks(t, n->routes.n) : 0;
}

void node_routes_publish_peer(const struct node *n, struct table *t, const struct peer *p,
			      const struct table_route *route)
{
	/* Under a network key a network is whose certificate has it, as it is with addresses. */
	bool is_good = route && (!n->trust || p->credential.is_good);

	for (unsigned i = p->first_route; i < p->first_route + p->n_routes; i++) {
		const struct route *r = &n->routes.v[i];

		if (route_is_active(r))
			table_add_network(t, &r->net, is_good ? route : NULL, true);
		else if (r->state == ROUTE_STANDBY && is_good)
			table_add_network(t, &r->net, route, false);
	}
}
