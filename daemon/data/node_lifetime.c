/* How long our NAT keeps an idle mapping (peer/lifetime.h), remembered for each network, and what follows: keepalives. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/data/node_private.h"
#include "tun/netlink.h"

/* Of what was learned of a network, that much is believed later: routers are replaced. */
#define BELIEVED_MS (UINT64_C(7) * 24 * 3600 * 1000)
/* A keepalive comes that much earlier than the lifetime ends, but neither so often nor so seldom: */
#define MARGIN_PERCENT 80
#define LEAST_S 12
#define MOST_S 110

struct node_lifetime {
	struct lifetime *lifetime;
	unsigned unit_ms;      /* a second; less in tests */
	uint16_t spare;        /* number of the port under test; 0: none */
	struct endpoint asked; /* of the coordinator, */
	unsigned asked_link;   /* and which that is */
	bool is_known;         /* the network below is the one we are in */
	struct state_network network;
};

/* ---------------------------------------------------------------- what it asks for */

static int spare_open(void *arg)
{
	struct node *n = arg;
	int number = spares_open(n->spares);

	if (number < 0)
		return number;
	n->lifetime->spare = (uint16_t)number;
	return 0;
}

static void spare_close(void *arg)
{
	struct node *n = arg;

	spares_close(n->spares, n->lifetime->spare);
	n->lifetime->spare = 0;
}

static bool ask(void *arg, uint64_t token, uint16_t delay_ds)
{
	struct node *n = arg;
	struct node_lifetime *nl = n->lifetime;
	const struct discovery_server *to = node_discovery_coordinator(n);
	const struct spare *spare = spares_find(n->spares, nl->spare);
	const struct wire_bind request = {
		.type = BIND_REQUEST, .flags = BIND_NO_MOVE, .time_ds = delay_ds, .token = token
	};
	uint8_t datagram[RELAY_BIND_DATAGRAM_BYTES];

	if (!to || !spare || link_seal_bind(n->links[to->number], datagram, &request) < 0)
		return false;
	nl->asked = to->endpoint;
	nl->asked_link = to->number;
	node_udp_send(n, &spare->udp, &nl->asked, datagram, sizeof(datagram));
	return true;
}

static void learned(void *arg)
{
	struct node *n = arg;
	struct node_lifetime *nl = n->lifetime;

	n->are_candidates_stale = true;
	if (!lifetime_is_done(nl->lifetime))
		return;
	nl->network.lifetime_s = lifetime_s(nl->lifetime);
	nl->network.learned_wall_ms = clock_wall_ms();
	log_info("network: the NAT or firewall keeps idle UDP mappings for %u s%s", nl->network.lifetime_s,
		 nl->network.lifetime_s == LIFETIME_ENOUGH_S ? " and more" : "");
	state_put_network(&n->state, &nl->network);
	node_save_state(n);
}

static const struct lifetime_env lifetime_env = {
	.open = spare_open,
	.close = spare_close,
	.ask = ask,
	.learned = learned,
};

/* ---------------------------------------------------------------- networks */

/* Nobody closes our port: it is public, and everybody gets through to it. */
static bool is_open(const struct nat_facts *nat)
{
	return (nat->flags & NAT_TESTED) && nat->mapping == NAT_MAPPING_NONE &&
	       nat->filtering == NAT_FILTERING_ENDPOINT_INDEPENDENT;
}

/* The network we are in, as far as IPv4 goes. False: not known (yet). */
static bool network_now(struct node *n, struct state_network *out)
{
	const struct discovery_facts *f = node_discovery_facts(n);
	const struct discovery_server *server = node_discovery_coordinator(n);
	int ifindex = n->bind_interface[0] ? (int)if_nametoindex(n->bind_interface) : n->uplinks.via.ifindex;
	struct netlink_way way;

	*out = (struct state_network){ 0 };
	for (unsigned i = 0; i < f->n_reflexive && ip_is_none(&out->outside); i++)
		if (f->reflexive[i].ip.len == 4)
			out->outside = f->reflexive[i].ip;
	if (!server || ip_is_none(&out->outside))
		return false;
	if (netlink_way_to(&way, ifindex, server->endpoint.ip.b, 4) == 0 && way.has_gateway)
		ip_from_bytes(&out->gateway, way.gateway, way.len);
	return true;
}

static void enter_network(struct node *n, const struct state_network *now_in, uint64_t now_ms)
{
	struct node_lifetime *nl = n->lifetime;
	const struct state_network *known = state_network(&n->state, &now_in->gateway, &now_in->outside);
	uint64_t wall_ms = clock_wall_ms();

	nl->network = *now_in;
	nl->is_known = true;
	if (known && wall_ms >= known->learned_wall_ms && wall_ms - known->learned_wall_ms < BELIEVED_MS)
		lifetime_take(nl->lifetime, known->lifetime_s);
	else
		lifetime_start(nl->lifetime, now_ms);
}

void node_lifetime_facts_changed(struct node *n, uint64_t now_ms)
{
	struct node_lifetime *nl = n->lifetime;
	struct state_network now_in;

	if (node_discovery_is_surveying(n) || !network_now(n, &now_in))
		return; /* what is known stands until it is known better */
	if (is_open(&node_discovery_facts(n)->nat)) {
		if (nl->is_known)
			lifetime_stop(nl->lifetime);
		nl->is_known = false;
	} else if (!nl->is_known || !ip_equal(&now_in.gateway, &nl->network.gateway) ||
		   !ip_equal(&now_in.outside, &nl->network.outside)) {
		enter_network(n, &now_in, now_ms);
	}
	node_due(n, lifetime_next_ms(nl->lifetime));
}

void node_lifetime_disturbed(struct node *n, uint64_t now_ms)
{
	lifetime_disturbed(n->lifetime->lifetime, now_ms);
	node_due(n, lifetime_next_ms(n->lifetime->lifetime));
}

void node_lifetime_doubted(struct node *n, uint64_t now_ms)
{
	struct node_lifetime *nl = n->lifetime;

	if (!nl->is_known || !lifetime_s(nl->lifetime))
		return;
	log_info("network: the NAT forgot us: how long it keeps idle mappings is measured anew");
	lifetime_start(nl->lifetime, now_ms);
	n->are_candidates_stale = true;
	node_due(n, lifetime_next_ms(nl->lifetime));
}

/* ---------------------------------------------------------------- life */

int node_lifetime_start(struct node *n, unsigned unit_ms)
{
	struct node_lifetime *nl = calloc(1, sizeof(*nl));

	if (!nl)
		return -ENOMEM;
	n->lifetime = nl;
	nl->unit_ms = unit_ms;
	nl->lifetime = lifetime_new(&lifetime_env, n, unit_ms);
	return nl->lifetime ? 0 : -ENOMEM;
}

void node_lifetime_stop(struct node *n)
{
	if (n->lifetime)
		lifetime_free(n->lifetime->lifetime);
	free(n->lifetime);
	n->lifetime = NULL;
}

void node_lifetime_tick(struct node *n, uint64_t now_ms)
{
	lifetime_tick(n->lifetime->lifetime, now_ms);
}

uint64_t node_lifetime_next_ms(const struct node *n)
{
	return lifetime_next_ms(n->lifetime->lifetime);
}

uint16_t node_lifetime_s(const struct node *n)
{
	return lifetime_s(n->lifetime->lifetime);
}

bool node_lifetime_is_measuring(const struct node *n)
{
	return lifetime_is_measuring(n->lifetime->lifetime);
}

bool node_lifetime_is_done(const struct node *n)
{
	return lifetime_is_done(n->lifetime->lifetime);
}

bool node_lifetime_uses_socket(const struct node *n, uint16_t number)
{
	return n->lifetime->spare && n->lifetime->spare == number;
}

void node_lifetime_on_bind(struct node *n, const struct link *l, const struct path_addr *from,
			   const struct wire_bind *reply)
{
	struct node_lifetime *nl = n->lifetime;

	if (reply->type != BIND_REPLY || !node_lifetime_uses_socket(n, from->socket) ||
	    link_number(l) != nl->asked_link || !endpoint_equal(&from->endpoint, &nl->asked))
		return;
	lifetime_on_answer(nl->lifetime, reply->token, reply->flags & BIND_LATER, clock_now_ms());
	node_due(n, lifetime_next_ms(nl->lifetime));
}

/* ---------------------------------------------------------------- keepalives */

/* What one end needs; 0: none. */
static uint64_t keepalive_ms(const struct node *n, const struct nat_facts *nat)
{
	uint64_t s = (uint64_t)nat->lifetime_s * MARGIN_PERCENT / 100;

	if (is_open(nat))
		return 0;
	if (!nat->lifetime_s)
		return PATH_KEEPALIVE_MS;
	return (s < LEAST_S ? LEAST_S : s > MOST_S ? MOST_S : s) * n->lifetime->unit_ms;
}

void node_set_keepalive(struct node *n, struct peer *p)
{
	uint64_t here = keepalive_ms(n, &n->here.nat);
	uint64_t there = p->has_there ? keepalive_ms(n, &p->there.nat) : PATH_KEEPALIVE_MS;

	if (here && (!there || here < there))
		there = here;
	path_set_set_keepalive(p->paths, there);
	node_mark_peer(n, p);
}

void node_set_keepalives(struct node *n, uint64_t now_ms)
{
	uint64_t here = keepalive_ms(n, &n->here.nat);

	for (unsigned i = 0; i < n->n_links; i++) {
		bool is_v4 = link_udp_endpoint(n->links[i])->ip.len == 4; /* nothing was measured of IPv6 */

		link_set_keepalive(n->links[i], is_v4 ? here : BINDING_KEEPALIVE_MS, now_ms);
	}
	for (struct peer *p = n->peers.by_number; p; p = p->by_number.next)
		if (p->paths)
			node_set_keepalive(n, p);
}
