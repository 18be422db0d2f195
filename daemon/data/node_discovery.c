/* What NAT we are behind (peer/discovery.h): its servers, its sockets, and what it learns. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "daemon/data/node_private.h"
#include "daemon/wire/loop.h"
#include "daemon/wire/stun.h"

#define RESOLVE_AGAIN_MS 60000 /* a name that did not resolve */

/* A transaction id: 8 bytes token, 3 random ones of this run, 1 the server's number. */
#define SALT_BYTES 3

struct stun_server {
	struct node *node;
	struct config_endpoint config;
	struct loop_resolve *resolve;         /* NULL: none under way */
	struct endpoint endpoint4, endpoint6; /* ip none: it has none */
	uint64_t again_ms;                    /* UINT64_MAX: resolved */
};

struct node_discovery {
	struct discovery *discovery;
	uint16_t spares[DISCOVERY_SPARES + 1]; /* their numbers by socket; 0: not open. [DISCOVERY_DATA] stays 0 */
	uint8_t salt[SALT_BYTES];
	bool was_bound[CONFIG_COORDINATORS_MAX];
	uint64_t surveyed_ms; /* the last survey that the node knows of */
	unsigned n_stun;
	struct stun_server stun[CONFIG_ENDPOINTS_MAX];
};

/* ---------------------------------------------------------------- what it asks for */

static int send_from(struct node *n, unsigned socket, const struct endpoint *to, const uint8_t *data, size_t len)
{
	const struct spare *spare =
		socket == DISCOVERY_DATA ? NULL : spares_find(n->spares, n->discovery->spares[socket]);
	int ret = -ENOTCONN;

	if (socket == DISCOVERY_DATA)
		ret = node_udp_send(n, &n->udp[0], to, data, len);
	else if (spare)
		ret = node_udp_send(n, &spare->udp, to, data, len);
	counters_inc(node_counters(n), ret == 0 ? COUNTER_tx_datagrams : COUNTER_drop_send_error);
	if (ret == 0)
		counters_add(node_counters(n), COUNTER_tx_bytes, len);
	return ret;
}

static void ask_coordinator(struct node *n, unsigned socket, const struct discovery_server *to,
			    enum discovery_from from, uint64_t token)
{
	struct wire_bind request = { .type = BIND_REQUEST, .flags = BIND_NO_MOVE, .token = token };
	uint8_t datagram[RELAY_BIND_DATAGRAM_BYTES];

	if (from == DISCOVERY_FROM_OTHER_PORT)
		request.flags |= BIND_OTHER_PORT;
	if (from == DISCOVERY_FROM_OTHER_ADDRESS)
		request.flags |= BIND_OTHER_ADDRESS;
	if (to->number < n->n_links && link_seal_bind(n->links[to->number], datagram, &request) == 0)
		send_from(n, socket, &to->endpoint, datagram, sizeof(datagram));
}

static void ask_stun(struct node *n, unsigned socket, const struct discovery_server *to, enum discovery_from from,
		     uint64_t token)
{
	uint8_t id[STUN_ID_BYTES], datagram[STUN_REQUEST_MAX_BYTES];
	struct writer w = writer_of(id, sizeof(id));
	unsigned change = 0;
	int len;

	writer_be64(&w, token);
	writer_put(&w, n->discovery->salt, SALT_BYTES);
	writer_u8(&w, to->number);
	if (from == DISCOVERY_FROM_OTHER_PORT)
		change = STUN_CHANGE_PORT;
	if (from == DISCOVERY_FROM_OTHER_ADDRESS)
		change = STUN_CHANGE_PORT | STUN_CHANGE_IP;
	len = stun_request_encode(datagram, id, change);
	if (len > 0)
		send_from(n, socket, &to->endpoint, datagram, (size_t)len);
}

static void ask(void *arg, unsigned socket, const struct discovery_server *to, enum discovery_from from, uint64_t token)
{
	if (to->kind == DISCOVERY_STUN)
		ask_stun(arg, socket, to, from, token);
	else
		ask_coordinator(arg, socket, to, from, token);
}

static void send_loop(void *arg, unsigned socket, const struct endpoint *to, uint64_t token)
{
	uint8_t datagram[WIRE_LOOP_BYTES];

	wire_loop_encode(datagram, token);
	send_from(arg, socket, to, datagram, sizeof(datagram));
}

static int spare_open(void *arg, unsigned socket)
{
	struct node *n = arg;
	int number = spares_open(n->spares);
	const struct spare *spare;

	if (number < 0)
		return number;
	spare = spares_find(n->spares, (uint16_t)number);
	n->discovery->spares[socket] = (uint16_t)number;
	return udp_port(&spare->udp);
}

static void spare_close(void *arg, unsigned socket)
{
	struct node *n = arg;

	spares_close(n->spares, n->discovery->spares[socket]);
	n->discovery->spares[socket] = 0;
}

static bool is_own(void *arg, const struct ip *ip)
{
	const struct node *n = arg;

	return ifaces_has(&n->ifaces, ip);
}

static void changed(void *arg)
{
	struct node *n = arg;

	n->are_candidates_stale = true;
}

static const struct discovery_env discovery_env = {
	.ask = ask,
	.send_loop = send_loop,
	.spare_open = spare_open,
	.spare_close = spare_close,
	.is_own = is_own,
	.changed = changed,
};

/* ---------------------------------------------------------------- servers */

/* After anything that may have made it go on. */
static void due(struct node *n)
{
	struct node_discovery *nd = n->discovery;

	if (discovery_surveyed_ms(nd->discovery) != nd->surveyed_ms) {
		nd->surveyed_ms = discovery_surveyed_ms(nd->discovery);
		n->are_candidates_stale = true; /* what it left as it was counts now too */
	}
	node_due(n, node_discovery_next_ms(n));
}

void node_discovery_servers_changed(struct node *n, uint64_t now_ms)
{
	struct node_discovery *nd = n->discovery;
	struct discovery_server v[DISCOVERY_SERVERS_MAX];
	unsigned count = 0;

	/* Coordinators first: what they say is authenticated. */
	for (unsigned i = 0; i < n->n_links; i++)
		if (n->links[i])
			count = link_servers(n->links[i], v, count, DISCOVERY_SERVERS_MAX);
	for (unsigned i = 0; i < nd->n_stun; i++) {
		const struct endpoint *found[] = { &nd->stun[i].endpoint4, &nd->stun[i].endpoint6 };

		for (unsigned k = 0; k < 2; k++)
			if (!ip_is_none(&found[k]->ip) && count < DISCOVERY_SERVERS_MAX)
				v[count++] = (struct discovery_server){ .kind = DISCOVERY_STUN,
									.number = (uint8_t)i,
									.endpoint = *found[k] };
	}
	discovery_set_servers(nd->discovery, v, count, now_ms);
	due(n);
}

static void on_resolved(void *arg, const struct endpoint *v, unsigned n_found, int error)
{
	struct stun_server *s = arg;
	struct node *n = s->node;
	uint64_t now = clock_now_ms();

	s->resolve = NULL;
	s->again_ms = n_found ? UINT64_MAX : now + RESOLVE_AGAIN_MS;
	if (!n_found)
		log_warn("stun server %s: cannot be resolved: %s", s->config.host, uv_strerror(error));
	for (unsigned i = n_found; i-- > 0;) { /* the first of each family stays */
		if (v[i].ip.len == 4)
			s->endpoint4 = v[i];
		else
			s->endpoint6 = v[i];
	}
	node_discovery_servers_changed(n, now);
}

static void resolve(struct stun_server *s, uint64_t now_ms)
{
	s->again_ms = now_ms + RESOLVE_AGAIN_MS;
	if (s->resolve ||
	    loop_resolve_start(&s->resolve, s->node->loop, s->config.host, s->config.port, on_resolved, s) < 0)
		return;
}

static void forget_stun(struct node_discovery *nd)
{
	for (unsigned i = 0; i < nd->n_stun; i++)
		loop_resolve_cancel(nd->stun[i].resolve);
	nd->n_stun = 0;
}

void node_discovery_reload(struct node *n)
{
	struct node_discovery *nd = n->discovery;
	uint64_t now = clock_now_ms();
	bool is_same = nd->n_stun == n->config->stun.n;

	for (unsigned i = 0; is_same && i < nd->n_stun; i++)
		is_same = memcmp(&nd->stun[i].config, &n->config->stun.v[i], sizeof(nd->stun[i].config)) == 0;
	if (is_same)
		return;
	forget_stun(nd);
	for (unsigned i = 0; i < n->config->stun.n; i++) {
		struct stun_server *s = &nd->stun[nd->n_stun++];

		*s = (struct stun_server){ .node = n, .config = n->config->stun.v[i] };
		resolve(s, now);
	}
	node_discovery_servers_changed(n, now);
}

/* ---------------------------------------------------------------- life */

int node_discovery_start(struct node *n)
{
	struct node_discovery *nd = calloc(1, sizeof(*nd));

	if (!nd)
		return -ENOMEM;
	n->discovery = nd;
	randombytes_buf(nd->salt, sizeof(nd->salt));
	nd->discovery = discovery_new(&discovery_env, n, n->port);
	if (!nd->discovery)
		return -ENOMEM;
	node_discovery_reload(n);
	return 0;
}

void node_discovery_stop(struct node *n)
{
	if (!n->discovery)
		return;
	forget_stun(n->discovery);
	discovery_free(n->discovery->discovery);
	free(n->discovery);
	n->discovery = NULL;
}

/* ---------------------------------------------------------------- what happens */

void node_discovery_binding_changed(struct node *n, struct link *l, uint64_t now_ms)
{
	bool *was_bound = &n->discovery->was_bound[link_number(l)];
	const struct binding *b = link_binding(l);

	if (!ip_is_none(&binding_reflexive(b)->ip) &&
	    discovery_observed(n->discovery->discovery, binding_relay(b), binding_reflexive(b), now_ms))
		node_lifetime_doubted(n, now_ms);
	if (*was_bound && !binding_is_bound(b)) /* is it this server, or the network? */
		discovery_refresh(n->discovery->discovery, now_ms);
	*was_bound = binding_is_bound(b);
	due(n);
}

void node_discovery_network_changed(struct node *n, uint64_t now_ms)
{
	discovery_network_changed(n->discovery->discovery, now_ms);
	for (unsigned i = 0; i < n->discovery->n_stun; i++)
		if (n->discovery->stun[i].again_ms != UINT64_MAX)
			n->discovery->stun[i].again_ms = now_ms;
	due(n);
}

void node_discovery_refresh(struct node *n, uint64_t now_ms)
{
	discovery_refresh(n->discovery->discovery, now_ms);
	due(n);
}

void node_discovery_survey(struct node *n, uint64_t now_ms)
{
	discovery_survey(n->discovery->discovery, now_ms);
	due(n);
}

bool node_discovery_is_surveying(const struct node *n)
{
	return discovery_is_surveying(n->discovery->discovery);
}

bool node_discovery_asks(const struct node *n, uint8_t ip_len)
{
	return discovery_asks(n->discovery->discovery, ip_len);
}

uint64_t node_discovery_surveyed_ms(const struct node *n)
{
	return discovery_surveyed_ms(n->discovery->discovery);
}

const struct discovery_facts *node_discovery_facts(const struct node *n)
{
	return discovery_facts(n->discovery->discovery);
}

const struct discovery_server *node_discovery_coordinator(const struct node *n)
{
	return discovery_coordinator(n->discovery->discovery);
}

void node_discovery_tick(struct node *n, uint64_t now_ms)
{
	struct node_discovery *nd = n->discovery;

	if (now_ms >= discovery_next_ms(nd->discovery)) {
		discovery_tick(nd->discovery, now_ms);
		due(n);
	}
	for (unsigned i = 0; i < nd->n_stun; i++)
		if (now_ms >= nd->stun[i].again_ms)
			resolve(&nd->stun[i], now_ms);
}

uint64_t node_discovery_next_ms(const struct node *n)
{
	const struct node_discovery *nd = n->discovery;
	uint64_t next = discovery_next_ms(nd->discovery);

	for (unsigned i = 0; i < nd->n_stun; i++)
		if (nd->stun[i].again_ms < next)
			next = nd->stun[i].again_ms;
	return next;
}

/* ---------------------------------------------------------------- what arrives */

bool node_discovery_uses_socket(const struct node *n, uint16_t number)
{
	for (unsigned i = 1; i <= DISCOVERY_SPARES; i++)
		if (n->discovery->spares[i] == number)
			return true;
	return false;
}

/* Which of its sockets that was; false: none. */
static bool socket_of(const struct node *n, const struct path_addr *from, unsigned *socket)
{
	for (unsigned i = 0; i <= DISCOVERY_SPARES; i++) {
		if (from->kind != PATH_UDP || (i != DISCOVERY_DATA && !n->discovery->spares[i]) ||
		    n->discovery->spares[i] != from->socket)
			continue;
		*socket = i;
		return true;
	}
	return false;
}

void node_discovery_on_bind(struct node *n, const struct link *l, const struct path_addr *from,
			    const struct wire_bind *reply)
{
	struct discovery_answer a = { .kind = DISCOVERY_COORDINATOR,
				      .number = (uint8_t)link_number(l),
				      .from = from->endpoint,
				      .token = reply->token,
				      .observed = reply->observed };

	if (reply->type != BIND_REPLY || !socket_of(n, from, &a.socket))
		return;
	discovery_on_answer(n->discovery->discovery, &a, clock_now_ms());
	due(n);
}

void node_discovery_on_stun(struct node *n, const struct path_addr *from, const uint8_t *data, size_t len)
{
	struct discovery_answer a = { .kind = DISCOVERY_STUN, .from = from->endpoint };
	const struct node_discovery *nd = n->discovery;
	struct stun_message m;
	struct reader id;
	uint8_t salt[SALT_BYTES];

	if (!nd->n_stun || !socket_of(n, from, &a.socket) || stun_decode(&m, data, len) < 0 ||
	    m.class == STUN_REQUEST) {
		counters_inc(node_counters(n), COUNTER_drop_type);
		return;
	}
	id = reader_of(m.id, sizeof(m.id));
	a.token = reader_be64(&id);
	reader_copy(&id, salt, sizeof(salt));
	a.number = reader_u8(&id);
	if (sodium_memcmp(salt, nd->salt, sizeof(salt)) != 0) {
		counters_inc(node_counters(n), COUNTER_drop_type);
		return;
	}
	a.is_refused = m.class == STUN_ERROR;
	a.observed = m.mapped;
	a.other = m.other;
	discovery_on_answer(nd->discovery, &a, clock_now_ms());
	due(n);
}

void node_discovery_on_loop(struct node *n, const struct path_addr *from, const uint8_t *data, size_t len)
{
	unsigned socket;
	uint64_t token;

	if (!socket_of(n, from, &socket) || wire_loop_decode(&token, data, len) < 0) {
		counters_inc(node_counters(n), COUNTER_drop_type);
		return;
	}
	discovery_on_loop(n->discovery->discovery, socket, token, clock_now_ms());
	due(n);
}
