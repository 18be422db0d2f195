#include "daemon/data/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/net/loop.h"
#include "daemon/net/stream.h"
#include "daemon/net/udp.h"

/* Between the starts of two connections of one race: a round trip across a continent, so that the second is rarely in vain. */
#define CONNECT_STAGGER_MS 300
#define CONNECT_TIMEOUT_MS 4500 /* under the registrar's 5 s for a step */
#define CONNECT_FALLBACK_PORT 443
#define RACERS_MAX (LOOP_RESOLVE_MAX * 2)

struct link {
	/* fixed at creation */
	const struct link_env *env;
	void *arg;
	uv_loop_t *loop;
	unsigned number;
	struct config_coordinator config;
	const char *bind_interface;
	struct indices *indices;
	uint32_t index; /* ours, for its bind and relay datagrams */
	/* owned */
	struct registrar *registrar;
	struct binding *binding;
	struct relay_link *udp; /* NULL unless registered */
	/* connecting: a race */
	struct loop_resolve *resolve;
	unsigned n_endpoints, n_started;
	struct endpoint endpoints[RACERS_MAX];
	struct stream *racers[RACERS_MAX]; /* NULL: not started, or lost */
	uint64_t next_start_ms;
	int race_error;
	/* connected */
	struct stream *stream;
	struct ip local;    /* our address of the connection, to see when it is the wrong one */
	struct ip ip4, ip6; /* the first of each that its name resolved to; none: none */
	struct endpoint udp_endpoint;
	bool was_registered;
	struct wire_registered registration;
};

static void due(struct link *l)
{
	l->env->due(l->arg, link_next_ms(l));
}

/* ---------------------------------------------------------------- connecting */

static void race_end(struct link *l)
{
	loop_resolve_cancel(l->resolve);
	l->resolve = NULL;
	for (unsigned i = 0; i < RACERS_MAX; i++) {
		stream_close(l->racers[i]);
		l->racers[i] = NULL;
	}
	l->n_endpoints = l->n_started = 0;
	l->next_start_ms = UINT64_MAX;
}

static void on_connected(void *arg, struct stream *s)
{
	struct link *l = arg;

	for (unsigned i = 0; i < RACERS_MAX; i++)
		if (l->racers[i] == s)
			l->racers[i] = NULL;
	l->stream = s;
	race_end(l);
	if (udp_local_address(stream_peer(s), &l->local) < 0)
		l->local = (struct ip){ 0 };
	registrar_on_connected(l->registrar, clock_now_ms());
	due(l);
}

static void on_frame(void *arg, struct stream *s, uint8_t *body, size_t len)
{
	struct link *l = arg;

	if (s == l->stream)
		registrar_on_frame(l->registrar, body, len, clock_now_ms());
	due(l);
}

static void start_next(struct link *l);

static void on_closed(void *arg, struct stream *s, int reason)
{
	struct link *l = arg;
	bool any = false;

	if (s == l->stream) {
		l->stream = NULL;
		registrar_on_closed(l->registrar, reason, clock_now_ms());
		due(l);
		return;
	}
	l->race_error = reason;
	for (unsigned i = 0; i < RACERS_MAX; i++) {
		if (l->racers[i] == s)
			l->racers[i] = NULL;
		any |= l->racers[i] != NULL;
	}
	if (l->n_started < l->n_endpoints) {
		start_next(l);
	} else if (!any) {
		race_end(l);
		registrar_on_closed(l->registrar, l->race_error, clock_now_ms());
	}
	due(l);
}

static const struct stream_events stream_events = {
	.on_connected = on_connected,
	.on_frame = on_frame,
	.on_closed = on_closed,
};

static void start_next(struct link *l)
{
	while (l->n_started < l->n_endpoints) {
		unsigned i = l->n_started++;
		const struct stream_options options = { .timeout_ms = CONNECT_TIMEOUT_MS,
							.bind_interface = l->bind_interface };
		int ret = stream_connect(&l->racers[i], l->loop, &l->endpoints[i], &options, &stream_events, l);

		if (ret == 0) {
			l->next_start_ms = clock_now_ms() + CONNECT_STAGGER_MS;
			return;
		}
		l->racers[i] = NULL;
		l->race_error = ret; /* no route for this family: the next one at once */
	}
	l->next_start_ms = UINT64_MAX;
}

/* All were refused before any could be waited for. */
static bool race_is_lost(const struct link *l)
{
	if (l->n_started < l->n_endpoints)
		return false;
	for (unsigned i = 0; i < RACERS_MAX; i++)
		if (l->racers[i])
			return false;
	return true;
}

static void on_resolved(void *arg, const struct endpoint *v, unsigned n, int error)
{
	struct link *l = arg;

	l->resolve = NULL;
	if (n == 0) {
		log_warn("coordinator %s: cannot resolve %s: %s", l->config.name, l->config.host, uv_strerror(error));
		registrar_on_closed(l->registrar, error ? error : -ENOENT, clock_now_ms());
		due(l);
		return;
	}
	l->n_endpoints = l->n_started = 0;
	l->ip4 = l->ip6 = (struct ip){ 0 };
	for (unsigned i = 0; i < n && l->n_endpoints < RACERS_MAX; i++) {
		struct ip *first = v[i].ip.len == 4 ? &l->ip4 : &l->ip6;

		if (ip_is_none(first))
			*first = v[i].ip;
		l->endpoints[l->n_endpoints++] = v[i];
	}
	for (unsigned i = 0; i < n && l->n_endpoints < RACERS_MAX && l->config.port != CONNECT_FALLBACK_PORT; i++) {
		l->endpoints[l->n_endpoints] = v[i];
		l->endpoints[l->n_endpoints++].port = CONNECT_FALLBACK_PORT;
	}
	start_next(l);
	if (race_is_lost(l)) {
		int reason = l->race_error;

		race_end(l);
		registrar_on_closed(l->registrar, reason, clock_now_ms());
	}
	due(l);
}

static void do_connect(void *arg)
{
	struct link *l = arg;
	int ret;

	race_end(l);
	l->race_error = -ENETUNREACH;
	ret = loop_resolve_start(&l->resolve, l->loop, l->config.host, l->config.port, on_resolved, l);
	if (ret < 0) {
		l->resolve = NULL;
		registrar_on_closed(l->registrar, ret, clock_now_ms());
	}
}

static void do_disconnect(void *arg)
{
	struct link *l = arg;

	race_end(l);
	stream_close(l->stream);
	l->stream = NULL;
}

static int do_send(void *arg, const uint8_t *body, size_t len, bool is_droppable)
{
	struct link *l = arg;

	return l->stream ? stream_send(l->stream, body, len, is_droppable) : -ENOTCONN;
}

/* ---------------------------------------------------------------- registered */

static void on_registered(void *arg, const struct wire_registered *r, const struct handshake_keys *keys)
{
	struct link *l = arg;

	l->registration = *r;
	l->was_registered = true;
	relay_link_unref(l->udp);
	l->udp = relay_link_new(keys->udp_send, keys->udp_recv, keys->tag_send, keys->tag_recv, l->index, r->index, l);
	if (!l->udp || !l->stream)
		return; /* memory is short: the control connection still relays */
	l->udp_endpoint = *stream_peer(l->stream);
	l->udp_endpoint.port = r->udp_port;
	binding_start(l->binding, &l->udp_endpoint, clock_now_ms());
	l->env->registered(l->arg, l, r);
	due(l);
}

static void on_lost(void *arg)
{
	struct link *l = arg;

	l->env->lost(l->arg, l);
}

static void on_message(void *arg, int type, const uint8_t *data, size_t len)
{
	struct link *l = arg;

	l->env->message(l->arg, l, type, data, len);
}

static uint64_t wall_ms(void *arg)
{
	(void)arg;
	return clock_wall_ms();
}

static const struct registrar_env registrar_env = {
	.connect = do_connect,
	.disconnect = do_disconnect,
	.send = do_send,
	.registered = on_registered,
	.lost = on_lost,
	.message = on_message,
	.wall_ms = wall_ms,
};

static void bind_send(void *arg, const struct endpoint *to, const struct wire_bind *request)
{
	struct link *l = arg;
	uint8_t datagram[RELAY_BIND_DATAGRAM_BYTES];
	int len;

	if (!l->udp)
		return;
	len = relay_link_bind_seal(l->udp, datagram, request);
	if (len > 0)
		l->env->send_udp(l->arg, to, datagram, (size_t)len);
}

static void bind_changed(void *arg)
{
	struct link *l = arg;

	l->env->changed(l->arg, l);
}

static const struct binding_env binding_env = { .send = bind_send, .changed = bind_changed };

/* ---------------------------------------------------------------- life */

struct link *link_new(const struct link_env *env, void *arg, uv_loop_t *loop, unsigned number,
		      const struct config_coordinator *config, const struct identity *identity, const char *own_name,
		      const char *bind_interface, uint64_t boot_id, struct indices *indices, uint64_t now_ms)
{
	struct link *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->env = env;
	l->arg = arg;
	l->loop = loop;
	l->number = number;
	l->config = *config;
	l->bind_interface = bind_interface;
	l->indices = indices;
	l->next_start_ms = UINT64_MAX;
	l->index = indices_add(indices, INDEX_LINK, l);
	l->binding = binding_new(&binding_env, l);
	if (l->index && l->binding)
		l->registrar =
			registrar_new(&registrar_env, l, identity, &config->key, own_name, boot_id, l->index, now_ms);
	if (!l->registrar) {
		link_free(l);
		return NULL;
	}
	return l;
}

void link_free(struct link *l)
{
	if (!l)
		return;
	registrar_free(l->registrar);
	do_disconnect(l);
	binding_free(l->binding);
	relay_link_unref(l->udp);
	if (l->index)
		indices_remove(l->indices, l->index, clock_now_ms());
	free(l);
}

void link_tick(struct link *l, uint64_t now_ms)
{
	if (now_ms >= l->next_start_ms)
		start_next(l);
	if (now_ms >= registrar_next_ms(l->registrar))
		registrar_tick(l->registrar, now_ms);
	if (now_ms >= binding_next_ms(l->binding))
		binding_tick(l->binding, now_ms);
}

uint64_t link_next_ms(const struct link *l)
{
	uint64_t next = l->next_start_ms, a = registrar_next_ms(l->registrar), b = binding_next_ms(l->binding);

	if (a < next)
		next = a;
	return b < next ? b : next;
}

void link_network_changed(struct link *l, uint64_t now_ms)
{
	struct ip local;

	/* The kernel would keep sending from an address we no longer have until TCP gave up. */
	if (l->stream && (udp_local_address(stream_peer(l->stream), &local) < 0 || !ip_equal(&local, &l->local))) {
		log_info("coordinator %s: our address changed, connecting anew", l->config.name);
		stream_close(l->stream);
		l->stream = NULL;
		registrar_on_closed(l->registrar, -ENETDOWN, now_ms);
	}
	registrar_network_changed(l->registrar, now_ms);
	binding_refresh(l->binding, now_ms);
	due(l);
}

void link_refresh(struct link *l, uint64_t now_ms)
{
	binding_refresh(l->binding, now_ms);
	due(l);
}

int link_open_bind(struct link *l, const struct wire_sealed *h, uint8_t *data, size_t len, struct wire_bind *out)
{
	return l->udp ? relay_link_bind_open(l->udp, h, data, len, out) : -ENOTCONN;
}

bool link_on_bind(struct link *l, const struct endpoint *from, const struct wire_bind *reply, uint64_t now_ms)
{
	bool is_its = binding_on_reply(l->binding, from, reply, now_ms);

	due(l);
	return is_its;
}

int link_seal_bind(struct link *l, uint8_t out[static RELAY_BIND_DATAGRAM_BYTES], const struct wire_bind *request)
{
	int len = l->udp ? relay_link_bind_seal(l->udp, out, request) : -ENOTCONN;

	return len < 0 ? len : 0;
}

void link_set_keepalive(struct link *l, uint64_t keepalive_ms, uint64_t now_ms)
{
	binding_set_keepalive(l->binding, keepalive_ms, now_ms);
	due(l);
}

unsigned link_servers(const struct link *l, struct discovery_server *v, unsigned n, unsigned max)
{
	const struct wire_registered *r = &l->registration;
	const struct ip *connected = &l->udp_endpoint.ip, *alternate = &r->alternate_address;
	/* Its other family's address besides: the connection chose one of them, the NAT of the other is to be judged too. */
	const struct ip *addresses[] = { connected, connected->len == 4 ? &l->ip6 : &l->ip4, alternate };
	const uint16_t ports[] = { r->udp_port, r->alternate_port };

	for (unsigned i = 0; l->udp && link_is_registered(l) && i < 3; i++) {
		for (unsigned k = 0; k < 2; k++) {
			struct discovery_server s = { .kind = DISCOVERY_COORDINATOR, .number = (uint8_t)l->number };

			if (ip_is_none(addresses[i]) || !ports[k] || n == max)
				continue;
			if (i > 0 && ip_equal(addresses[i], connected))
				continue;
			s.endpoint = (struct endpoint){ .ip = *addresses[i], .port = ports[k] };
			if (i < 2 && k == 0) {
				s.has_other_port = r->flags & REGISTERED_OTHER_PORT;
				if (s.has_other_port && alternate->len == addresses[i]->len &&
				    !ip_equal(alternate, addresses[i]))
					s.other_address = *alternate;
			}
			v[n++] = s;
		}
	}
	return n;
}

int link_send(struct link *l, const uint8_t *message, size_t len)
{
	return registrar_send(l->registrar, message, len, false);
}

int link_send_relayed(struct link *l, uint32_t member, const uint8_t *datagram, size_t len)
{
	uint8_t message[WIRE_CONTROL_MAX_BYTES];
	int head = wire_control_relay_encode(message, sizeof(message), member);

	if (head < 0 || len > WIRE_CONTROL_RELAY_MAX_BYTES)
		return -EMSGSIZE;
	memcpy(message + head, datagram, len);
	return registrar_send(l->registrar, message, (size_t)head + len, true);
}

unsigned link_number(const struct link *l)
{
	return l->number;
}

const struct config_coordinator *link_config(const struct link *l)
{
	return &l->config;
}

bool link_is_registered(const struct link *l)
{
	return registrar_state(l->registrar) == REGISTRAR_REGISTERED;
}

bool link_can_relay(const struct link *l, enum path_kind kind)
{
	if (!l->was_registered || !(l->registration.flags & REGISTERED_RELAY))
		return false;
	return kind == PATH_RELAY_UDP ? l->udp && binding_is_bound(l->binding) : link_is_registered(l);
}

struct relay_link *link_udp(const struct link *l)
{
	return l->udp;
}

const struct endpoint *link_udp_endpoint(const struct link *l)
{
	return &l->udp_endpoint;
}

const struct registrar *link_registrar(const struct link *l)
{
	return l->registrar;
}

const struct binding *link_binding(const struct link *l)
{
	return l->binding;
}

const struct wire_registered *link_registration(const struct link *l)
{
	return l->was_registered ? &l->registration : NULL;
}
