#include "daemon/data/outside.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/log.h"
#include "daemon/net/loop.h"

struct configured { /* one endpoint of the configuration */
	struct outside *outside;
	struct config_endpoint of;
	bool is_numeric, has_failed;  /* failed: the last time, which the log has */
	struct loop_resolve *resolve; /* under way */
	unsigned n;
	struct endpoint v[LOOP_RESOLVE_MAX];
};

struct outside {
	uv_loop_t *loop;
	struct ip address; /* that the sockets are bound to */
	char bind_interface[16];
	uint16_t udp_port, tcp_port; /* tcp 0: none */
	uint8_t seed[PORTMAP_SEED_BYTES];
	outside_changed_fn *fn;
	void *arg;
	struct mapper *mapper;
	bool was_mapped; /* for the log */
	unsigned n_configured;
	struct configured configured[CONFIG_ENDPOINTS_MAX];
	uint64_t resolve_ms; /* the next time; UINT64_MAX: nothing to resolve */
};

/* ---------------------------------------------------------------- configured endpoints */

static void on_resolved(void *arg, const struct endpoint *v, unsigned n, int error)
{
	struct configured *c = arg;
	bool is_same = n == c->n;

	c->resolve = NULL;
	if (n == 0) { /* what was known stands: a resolver is away more often than an address is gone */
		if (!c->has_failed)
			log_warn("public_endpoint %s: not resolved: %s", c->of.host, uv_strerror(error));
		c->has_failed = true;
		return;
	}
	c->has_failed = false;
	for (unsigned i = 0; i < n && is_same; i++)
		is_same = endpoint_equal(&v[i], &c->v[i]);
	memcpy(c->v, v, n * sizeof(*v));
	c->n = n;
	if (!is_same)
		c->outside->fn(c->outside->arg);
}

static void resolve_all(struct outside *o, uint64_t now_ms)
{
	o->resolve_ms = UINT64_MAX;
	for (unsigned i = 0; i < o->n_configured; i++) {
		struct configured *c = &o->configured[i];

		if (c->is_numeric)
			continue;
		o->resolve_ms = now_ms + OUTSIDE_RESOLVE_MS;
		if (!c->resolve && loop_resolve_start(&c->resolve, o->loop, c->of.host, c->of.port, on_resolved, c) < 0)
			log_warn("public_endpoint %s: cannot be resolved now", c->of.host);
	}
}

static void forget_configured(struct outside *o)
{
	for (unsigned i = 0; i < o->n_configured; i++)
		loop_resolve_cancel(o->configured[i].resolve);
	memset(o->configured, 0, sizeof(o->configured));
	o->n_configured = 0;
}

static void set_configured(struct outside *o, const struct config_endpoints *list, uint64_t now_ms)
{
	forget_configured(o);
	for (unsigned i = 0; i < list->n; i++) {
		struct configured *c = &o->configured[o->n_configured++];

		c->outside = o;
		c->of = list->v[i];
		c->is_numeric = ip_from_text(&c->v[0].ip, c->of.host) == 0;
		c->v[0].port = c->of.port;
		c->n = c->is_numeric;
	}
	resolve_all(o, now_ms);
}

/* ---------------------------------------------------------------- mappings */

static void log_mapping(struct outside *o)
{
	const struct portmap *pm = mapper_portmap(o->mapper, 4);
	const struct portmap_mapping *m = portmap_find(pm, IPPROTO_UDP, o->udp_port);
	bool is_mapped = m && m->is_granted;
	char text[ADDR_TEXT_BYTES];

	if (is_mapped && !o->was_mapped)
		log_info("port mapping: UDP port %u is %s by %s%s", o->udp_port, endpoint_to_text(&m->external, text),
			 portmap_protocol_name(m->by), ip_is_private(&m->external.ip) ? ", behind another NAT" : "");
	else if (!is_mapped && o->was_mapped)
		log_info("port mapping: UDP port %u is mapped no more", o->udp_port);
	o->was_mapped = is_mapped;
}

static void on_mapper_changed(void *arg)
{
	struct outside *o = arg;

	if (o->mapper)
		log_mapping(o);
	o->fn(o->arg);
}

static void set_mapper(struct outside *o, bool is_wanted)
{
	int ret;

	if (is_wanted == (o->mapper != NULL))
		return;
	if (!is_wanted) {
		mapper_close(o->mapper);
		o->mapper = NULL;
		o->was_mapped = false;
		return;
	}
	ret = mapper_open(&o->mapper, o->loop, &o->address, o->bind_interface, o->seed, on_mapper_changed, o);
	if (ret < 0) {
		log_warn("port mapping: cannot be started: %s", strerror(-ret));
		return;
	}
	mapper_add(o->mapper, IPPROTO_UDP, o->udp_port);
	if (o->tcp_port)
		mapper_add(o->mapper, IPPROTO_TCP, o->tcp_port);
	mapper_network_changed(o->mapper);
}

/* ---------------------------------------------------------------- life */

int outside_open(struct outside **out, uv_loop_t *loop, const struct config *config, const char *bind_interface,
		 uint16_t udp_port, uint16_t tcp_port, const uint8_t seed[static PORTMAP_SEED_BYTES],
		 outside_changed_fn *fn, void *arg, uint64_t now_ms)
{
	struct outside *o = calloc(1, sizeof(*o));

	*out = NULL;
	if (!o)
		return -ENOMEM;
	*o = (struct outside){ .loop = loop,
			       .address = config->listen.address,
			       .udp_port = udp_port,
			       .tcp_port = tcp_port,
			       .fn = fn,
			       .arg = arg };
	memcpy(o->bind_interface, bind_interface, strnlen(bind_interface, sizeof(o->bind_interface) - 1));
	memcpy(o->seed, seed, sizeof(o->seed));
	outside_reload(o, config, now_ms);
	*out = o;
	return 0;
}

void outside_close(struct outside *o)
{
	if (!o)
		return;
	set_mapper(o, false);
	forget_configured(o);
	key_wipe(o->seed, sizeof(o->seed));
	free(o);
}

void outside_reload(struct outside *o, const struct config *config, uint64_t now_ms)
{
	set_configured(o, &config->listen.public_endpoints, now_ms);
	set_mapper(o, config->listen.portmap);
	o->fn(o->arg);
}

void outside_network_changed(struct outside *o, uint64_t now_ms)
{
	if (o->mapper)
		mapper_network_changed(o->mapper);
	resolve_all(o, now_ms);
}

void outside_hint(struct outside *o)
{
	if (o->mapper)
		mapper_hint(o->mapper);
}

void outside_tick(struct outside *o, uint64_t now_ms)
{
	if (now_ms >= o->resolve_ms)
		resolve_all(o, now_ms);
}

uint64_t outside_next_ms(const struct outside *o)
{
	return o->resolve_ms;
}

/* ---------------------------------------------------------------- what is known */

static unsigned add(struct candidate *out, unsigned n, unsigned max, enum candidate_kind kind,
		    const struct endpoint *endpoint)
{
	if (n < max && endpoint->port != 0 && ip_is_sendable(&endpoint->ip))
		out[n++] = (struct candidate){ .kind = kind, .endpoint = *endpoint };
	return n;
}

static const struct portmap_mapping *granted(const struct outside *o, uint8_t ip_len, uint8_t protocol)
{
	const struct portmap_mapping *m = NULL;

	if (o->mapper)
		m = portmap_find(mapper_portmap(o->mapper, ip_len), protocol,
				 protocol == IPPROTO_TCP ? o->tcp_port : o->udp_port);

	return m && m->is_granted ? m : NULL;
}

unsigned outside_candidates(const struct outside *o, struct candidate *out, unsigned max)
{
	const struct portmap_mapping *m4 = granted(o, 4, IPPROTO_UDP), *m6 = granted(o, 16, IPPROTO_UDP);
	unsigned n = 0;

	for (unsigned i = 0; i < o->n_configured; i++)
		for (unsigned k = 0; k < o->configured[i].n; k++)
			n = add(out, n, max, CANDIDATE_CONFIGURED, &o->configured[i].v[k]);
	/* Behind a second NAT the outer endpoint is none that everybody reaches, but it is one for our neighbours there; a NAT
	 * that keeps ports may have our own outside even where it maps nothing. */
	if (m4)
		n = add(out, n, max, ip_is_private(&m4->external.ip) ? CANDIDATE_GATEWAY : CANDIDATE_MAPPED,
			&m4->external);
	else if (o->mapper && !ip_is_none(portmap_outer(mapper_portmap(o->mapper, 4))))
		n = add(out, n, max, CANDIDATE_GATEWAY,
			&(struct endpoint){ .ip = *portmap_outer(mapper_portmap(o->mapper, 4)), .port = o->udp_port });
	if (m6)
		n = add(out, n, max, CANDIDATE_MAPPED, &m6->external);
	return n;
}

unsigned outside_tcp_candidates(const struct outside *o, struct candidate *out, unsigned max)
{
	unsigned n = 0;

	/* What forwards a port forwards it for both protocols, as a rule; where it does not, a connection fails. */
	for (unsigned i = 0; i < o->n_configured && o->tcp_port == o->udp_port; i++)
		for (unsigned k = 0; k < o->configured[i].n; k++)
			n = add(out, n, max, CANDIDATE_TCP_CONFIGURED, &o->configured[i].v[k]);
	for (uint8_t ip_len = 4; ip_len <= 16; ip_len += 12) {
		const struct portmap_mapping *m = granted(o, ip_len, IPPROTO_TCP);

		if (m && !ip_is_private(&m->external.ip))
			n = add(out, n, max, CANDIDATE_TCP_MAPPED, &m->external);
	}
	return n;
}

bool outside_is_mapped(const struct outside *o)
{
	const struct portmap_mapping *m = granted(o, 4, IPPROTO_UDP);

	return m && !ip_is_private(&m->external.ip);
}

struct mapper *outside_mapper(const struct outside *o)
{
	return o->mapper;
}
