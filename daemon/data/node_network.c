/* Our own network: what changes in it and is worth checking everything anew, and which endpoints of peers must not be sent to.
 *
 * A change that the kernel tells of makes us look (net/ways.h, base/looks.h). What differs is checked at once and as if it were new: coordinators, peers,
 * port mappings. So is everything when the machine slept or the process stood still: nobody told what changed meanwhile, and
 * mappings of NATs and the patience of peers ran out. */
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "daemon/data/node_private.h"

#define MARK_FIRST 0xcbf29ce484222325

/* The links make themselves IPv6 link-local addresses, which are told to nobody. */
static unsigned told_addresses(const struct ifaces *all, struct prefix *out)
{
	unsigned n = 0;

	for (unsigned i = 0; i < all->n; i++)
		if (!ip_is_link_local(&all->v[i].ip))
			out[n++] = all->v[i];
	return n;
}

/* True: others are to be told of other addresses. */
static bool read_interfaces(struct node *n)
{
	struct prefix before[IFACES_MAX], after[IFACES_MAX];
	struct ifaces now;
	int ret = ifaces_read(&now, n->tun.ifindex, n->bind_interface, n->state.addrs, n->state.n_addrs);
	unsigned n_before, n_after;

	if (ret < 0) {
		log_warn("interfaces cannot be read: %s", strerror(-ret));
		return false;
	}
	n_before = told_addresses(&n->ifaces, before);
	n_after = told_addresses(&now, after);
	n->ifaces = now;
	return n_before != n_after || memcmp(before, after, n_after * sizeof(after[0])) != 0;
}

/* Somebody may delete it under us, or set it down; nothing would tell: its queues just stay empty. Going down it loses routes and
 * IPv6 addresses, which nobody else puts back. */
void node_check_tun(struct node *n)
{
	int is_up;

	if (n->is_tun_gone)
		return;
	is_up = netlink_link_is_up(n->tun.ifindex);
	if (is_up == -ENODEV) {
		n->is_tun_gone = true;
		log_error("interface %s: it was deleted; only a restart brings it back", n->tun.name);
	} else if (is_up == 0 && !n->is_tun_down) {
		n->is_tun_down = true;
		log_warn("interface %s: it is down, and no packet passes", n->tun.name);
	} else if (is_up > 0 && n->is_tun_down) {
		n->is_tun_down = false;
		log_info("interface %s: it is up again", n->tun.name);
		node_put_addresses(n);
		node_routes_look(n);
		node_routes_changed(n);
	}
}

/* ---------------------------------------------------------------- peers' endpoints */

/* Never into the overlay, never to ourselves: what a peer says of itself is attacker-chosen. */
static bool is_usable(const struct node *n, const struct candidate *c)
{
	if (node_is_overlay(n, &c->endpoint.ip))
		return false;
	return !(c->endpoint.port == n->port && ifaces_has(&n->ifaces, &c->endpoint.ip));
}

static bool is_lan(void *arg, const struct ip *ip)
{
	const struct peer *p = arg; /* the set's */
	const struct node *n = p->owner;

	return ifaces_is_on_link(&n->ifaces, ip);
}

/* Within a look: where the peer's candidates lead. True: not where they led. What it is reached at besides is behind the same
 * NATs, and so at the same addresses. */
static bool look_at_peer(struct node *n, struct peer *p)
{
	uint64_t mark = MARK_FIRST;
	bool is_changed;

	p->inside = 0;
	for (unsigned i = 0; i < p->there.n; i++)
		if (is_usable(n, &p->there.v[i]) &&
		    ways_find(&n->ways, &mark, &p->there.v[i].endpoint.ip, NULL) == WAY_INSIDE)
			p->inside |= 1u << i;
	is_changed = mark != p->ways;
	p->ways = mark;
	return is_changed;
}

static void give_candidates(struct node *n, struct peer *p, uint64_t now_ms)
{
	struct candidates usable = { .nat = p->there.nat };

	for (unsigned i = 0; i < p->there.n; i++)
		if (p->inside >> i & 1)
			path_set_forget(p->paths, &p->there.v[i].endpoint.ip, now_ms);
		else if (is_usable(n, &p->there.v[i]))
			usable.v[usable.n++] = p->there.v[i];
	path_set_replace(p->paths, &usable, is_lan, now_ms);
	node_mark_peer(n, p);
}

void node_place_candidates(struct node *n, struct peer *p, uint64_t now_ms)
{
	uint64_t mark = MARK_FIRST;

	static_assert(WIRE_CANDIDATES_MAX <= 32, "a bit for each");
	if (ways_begin(&n->ways, &mark) == 0) {
		look_at_peer(n, p);
		ways_end(&n->ways);
	}
	give_candidates(n, p, now_ms);
}

bool node_may_send_to(struct node *n, struct peer *p, const struct path_addr *to)
{
	char name[IF_NAMESIZE];

	if (!path_addr_is_direct(to))
		return true;
	if (node_is_overlay(n, &to->endpoint.ip))
		return false;
	for (unsigned i = 0; i < path_set_count(p->paths); i++)
		if (path_addr_equal(&path_set_at(p->paths, i)->addr, to))
			return true;
	return !node_inside_link(n, &to->endpoint.ip, name);
}

const char *node_inside_link(struct node *n, const struct ip *ip, char name[static IF_NAMESIZE])
{
	uint64_t mark = MARK_FIRST;
	enum way_kind kind = WAY_NONE;

	if (ways_begin(&n->ways, &mark) == 0) {
		kind = ways_find(&n->ways, &mark, ip, name);
		ways_end(&n->ways);
	}
	return kind == WAY_INSIDE ? name : NULL;
}

/* ---------------------------------------------------------------- what follows from a change */

static void check_peer(struct node *n, struct peer *p, uint64_t now_ms)
{
	give_candidates(n, p, now_ms);
	path_set_network_changed(p->paths, now_ms);
	node_punch_changed(n, p);
	p->asked_ms = 0;
	if (sessions_is_initiating(&p->sessions))
		sessions_renew(&p->sessions, now_ms); /* its repeats may be seconds apart by now */
}

static void check_links(struct node *n, uint64_t now_ms)
{
	outside_network_changed(n->outside, now_ms);
	node_expose_network_changed(n);
	node_due(n, outside_next_ms(n->outside));
	for (unsigned i = 0; i < n->n_links; i++)
		link_network_changed(n->links[i], now_ms);
	tcp_paths_network_changed(n->tcp);
	node_discovery_network_changed(n, now_ms);
	node_lifetime_disturbed(n, now_ms);
}

/* The ways out, to the coordinators, and to the proxy. */
static uint64_t look_out(struct node *n, uint64_t mark)
{
	for (unsigned i = 0; i < n->n_links; i++) {
		const struct ip *udp = &link_udp_endpoint(n->links[i])->ip;

		if (link_udp(n->links[i]) && !ip_is_none(udp))
			ways_find(&n->ways, &mark, udp, NULL);
		if (link_is_proxied(n->links[i]))
			ways_find(&n->ways, &mark, &link_connection(n->links[i])->ip, NULL);
	}
	return mark;
}

static void look(struct node *n, bool is_all_new, uint64_t now_ms)
{
	bool is_moved = read_interfaces(n), is_out_new = is_all_new, is_found = is_moved;
	uint64_t mark = MARK_FIRST;

	looks_begin(&n->looks, now_ms);
	counters_inc(node_counters(n), COUNTER_network_looks);
	node_routes_look(n);
	if (is_moved) {
		log_info("network changed: other addresses");
		n->are_candidates_stale = true;
	}
	if (ways_begin(&n->ways, &mark) < 0) { /* for want of a descriptor: all may be new */
		is_out_new = true;
	} else {
		node_uplinks_look(n);
		mark = look_out(n, mark);
		is_out_new |= mark != n->out_mark;
		n->out_mark = mark;
	}
	/* A link's features, or what lies on the way, may be others without a mark that differs. */
	gso_retry(&n->gso, is_out_new || is_moved);
	if (is_out_new)
		check_links(n, now_ms);
	for (struct peer *p = n->peers.by_number; p; p = p->by_number.next) {
		if (!p->paths)
			continue;
		if (n->ways.netlink.nl && look_at_peer(n, p))
			is_found = true;
		else if (!is_out_new)
			continue;
		check_peer(n, p, now_ms);
	}
	ways_end(&n->ways);
	looks_end(&n->looks, is_found || is_out_new);
	if (is_found || is_out_new)
		counters_inc(node_counters(n), COUNTER_network_changes);
}

/* ---------------------------------------------------------------- when */

static void on_netlink(void *arg, int fd)
{
	struct node *n = arg;

	(void)fd;
	node_check_tun(n);
	if (!ways_drain(&n->ways))
		return;
	looks_want(&n->looks, clock_now_ms());
	node_due(n, n->looks.due_ms);
}

int node_open_network(struct node *n)
{
	uint64_t mark = MARK_FIRST;
	int ret = ways_open(&n->ways, n->tun.ifindex, n->bind_interface);

	if (ret < 0)
		return ret;
	ret = loop_watch_open(&n->ways_watch, n->loop, n->ways.watch.fd, on_netlink, n);
	if (ret < 0)
		return ret;
	looks_init(&n->looks);
	gaps_init(&n->gaps, clock_slept_ms());
	read_interfaces(n);
	if (ways_begin(&n->ways, &mark) == 0) {
		uplinks_read(&n->uplinks, &n->ways);
		ways_end(&n->ways);
	}
	n->uplink_return.due_ms = UINT64_MAX;
	n->out_mark = mark;
	return 0;
}

void node_close_network(struct node *n)
{
	if (n->ways_watch)
		loop_watch_close(n->ways_watch);
	ways_close(&n->ways);
}

void node_network_tick(struct node *n, uint64_t now_ms)
{
	if (now_ms >= n->looks.due_ms)
		look(n, false, now_ms);
}

void node_look_anew(struct node *n, uint64_t now_ms)
{
	look(n, true, now_ms);
}

void node_woke_up(struct node *n, uint64_t now_ms)
{
	uint64_t gap_ms;
	enum gap_kind kind = gaps_wake(&n->gaps, clock_slept_ms(), now_ms, &gap_ms);

	if (kind == GAP_NONE)
		return;
	log_info("network: the %s for %u s, everything is checked anew",
		 kind == GAP_SLEPT ? "machine slept" : "process stood still", (unsigned)(gap_ms / 1000));
	look(n, true, now_ms);
}
