#include "daemon/data/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/net/udp.h"

struct link {
	/* fixed at creation */
	const struct link_env *env;
	void *arg;
	unsigned number;
	struct config_coordinator config;
	const struct dial_proxy *proxy;
	const char *bind_interface;
	const struct uplinks *uplinks;
	uint16_t tcp_port; /* that connections leave from; 0: any */
	struct indices *indices;
	uint32_t index; /* ours, for its bind and relay datagrams */
	/* owned */
	struct registrar *registrar;
	struct binding *binding;
	struct relay_link *udp; /* NULL unless registered */
	struct dial *dial;
	/* connected */
	struct stream *stream; /* NULL until the coordinator has answered over it */
	bool is_proxied;
	struct ip local;    /* our address of the connection, to see when it is the wrong one */
	struct ip ip4, ip6; /* the first of each that its name resolved to; none: none */
	struct endpoint udp_endpoint;
	bool was_registered;
	struct wire_registered registration;
	/* the proxy */
	unsigned refusal_weight; /* of this call's most telling refusal; 0: none */
	char proxy_error[DIAL_REFUSAL_TEXT_BYTES], proxy_logged[DIAL_REFUSAL_TEXT_BYTES];
};

static void due(struct link *l)
{
	l->env->due(l->arg, link_next_ms(l));
}

/* ---------------------------------------------------------------- connecting */

static void on_frame(void *arg, struct stream *s, uint8_t *body, size_t len)
{
	struct link *l = arg;

	(void)s;
	registrar_on_frame(l->registrar, body, len, clock_now_ms());
	due(l);
}

static void on_closed(void *arg, struct stream *s, int reason)
{
	struct link *l = arg;

	(void)s;
	l->stream = NULL;
	registrar_on_closed(l->registrar, reason, clock_now_ms());
	due(l);
}

static void on_dial_resolved(void *arg, const struct endpoint *v, unsigned n)
{
	struct link *l = arg;

	l->ip4 = l->ip6 = (struct ip){ 0 };
	for (unsigned i = 0; i < n; i++) {
		struct ip *first = v[i].ip.len == 4 ? &l->ip4 : &l->ip6;

		if (ip_is_none(first))
			*first = v[i].ip;
	}
}

static void on_dial_connected(void *arg)
{
	struct link *l = arg;

	registrar_on_connected(l->registrar, clock_now_ms());
	due(l);
}

static void on_dial_answered(void *arg, struct stream *s, bool is_proxied, uint8_t *body, size_t len)
{
	struct link *l = arg;

	l->stream = s;
	l->is_proxied = is_proxied;
	l->proxy_error[0] = '\0';
	if (!l->refusal_weight)
		l->proxy_logged[0] = '\0';
	if (udp_local_address(stream_peer(s), &l->local) < 0)
		l->local = (struct ip){ 0 };
	if (!is_proxied) /* what a proxy reaches says nothing of uplinks */
		l->env->came_by(l->arg, l, (int)endpoint_through(stream_peer(s)));
	on_frame(l, s, body, len);
}

static void on_dial_failed(void *arg, int reason)
{
	struct link *l = arg;

	if (reason <= UV_EAI_ADDRFAMILY && reason >= UV_EAI_SOCKTYPE)
		log_warn("coordinator %s: cannot resolve %s: %s", l->config.name, l->config.host, uv_strerror(reason));
	registrar_on_closed(l->registrar, reason, clock_now_ms());
	due(l);
}

static void on_dial_due(void *arg)
{
	due(arg);
}

static void on_dial_refused(void *arg, const struct dial_refusal *r)
{
	unsigned weight = dial_refusal_weight(r);
	struct link *l = arg;

	if (weight <= l->refusal_weight)
		return;
	l->refusal_weight = weight;
	dial_refusal_text(r, l->proxy->login.base64[0] != '\0', l->proxy_error);
	if (strcmp(l->proxy_error, l->proxy_logged) == 0) /* every try ends so */
		return;
	memcpy(l->proxy_logged, l->proxy_error, sizeof(l->proxy_logged));
	log_warn("coordinator %s: the proxy %s %s", l->config.name, l->proxy->at.host, l->proxy_error);
}

static const struct dial_env dial_env = {
	.resolved = on_dial_resolved,
	.connected = on_dial_connected,
	.answered = on_dial_answered,
	.failed = on_dial_failed,
	.due = on_dial_due,
	.refused = on_dial_refused,
	.events = { .on_frame = on_frame, .on_closed = on_closed },
};

static void do_connect(void *arg)
{
	struct link *l = arg;
	const struct dial_options options = { .host = l->config.host,
					      .port = l->config.port,
					      .bind_interface = l->bind_interface,
					      .uplinks = l->uplinks,
					      .local_port = l->tcp_port,
					      .proxy = l->proxy };
	int ret;

	l->refusal_weight = 0;
	ret = dial_start(l->dial, &options);
	if (ret < 0)
		registrar_on_closed(l->registrar, ret, clock_now_ms());
}

static void do_disconnect(void *arg)
{
	struct link *l = arg;

	dial_cancel(l->dial);
	stream_abort(l->stream);
	l->stream = NULL;
}

static int do_send(void *arg, const uint8_t *body, size_t len, bool is_droppable)
{
	struct link *l = arg;

	return l->stream ? stream_send(l->stream, body, len, is_droppable) : dial_say(l->dial, body, len);
}

/* ---------------------------------------------------------------- registered */

/* Where its UDP ports are. A proxy hides that: then where its name leads from here, if anywhere. */
static struct ip udp_address(const struct link *l)
{
	const struct endpoint four = { .ip = l->ip4, .port = l->registration.udp_port };
	struct ip source;

	if (!l->is_proxied)
		return stream_peer(l->stream)->ip;
	if (!ip_is_none(&l->ip4) && (ip_is_none(&l->ip6) || udp_local_address(&four, &source) == 0))
		return l->ip4;
	return l->ip6;
}

static void on_registered(void *arg, const struct wire_registered *r, const struct handshake_keys *keys)
{
	struct link *l = arg;

	l->registration = *r;
	l->was_registered = true;
	relay_link_unref(l->udp);
	l->udp = relay_link_new(keys->udp_send, keys->udp_recv, keys->tag_send, keys->tag_recv, l->index, r->index, l);
	if (!l->udp || !l->stream)
		return; /* memory is short: the control connection still relays */
	l->udp_endpoint = (struct endpoint){ .ip = udp_address(l), .port = r->udp_port };
	if (ip_is_none(&l->udp_endpoint.ip))
		binding_stop(l->binding);
	else
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
		      const struct config_coordinator *config, const struct dial_proxy *proxy,
		      const struct identity *identity, const char *own_name, const char *bind_interface,
		      const struct uplinks *uplinks, uint16_t tcp_port, uint64_t boot_id, struct indices *indices,
		      uint64_t now_ms)
{
	struct link *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->env = env;
	l->arg = arg;
	l->number = number;
	l->config = *config;
	l->proxy = proxy;
	l->bind_interface = bind_interface;
	l->uplinks = uplinks;
	l->tcp_port = tcp_port;
	l->indices = indices;
	l->index = indices_add(indices, INDEX_LINK, l);
	l->binding = binding_new(&binding_env, l);
	l->dial = dial_new(&dial_env, l, loop);
	if (l->index && l->binding && l->dial)
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
	stream_close(l->stream); /* with what was said last */
	l->stream = NULL;
	registrar_free(l->registrar);
	dial_free(l->dial);
	binding_free(l->binding);
	relay_link_unref(l->udp);
	if (l->index)
		indices_remove(l->indices, l->index, clock_now_ms());
	free(l);
}

void link_tick(struct link *l, uint64_t now_ms)
{
	dial_tick(l->dial, now_ms);
	if (now_ms >= registrar_next_ms(l->registrar))
		registrar_tick(l->registrar, now_ms);
	if (now_ms >= binding_next_ms(l->binding))
		binding_tick(l->binding, now_ms);
}

uint64_t link_next_ms(const struct link *l)
{
	uint64_t next = dial_next_ms(l->dial), a = registrar_next_ms(l->registrar), b = binding_next_ms(l->binding);

	if (a < next)
		next = a;
	return b < next ? b : next;
}

static void connect_anew(struct link *l, const char *why, uint64_t now_ms)
{
	log_info("coordinator %s: %s, connecting anew", l->config.name, why);
	dial_cancel(l->dial);
	stream_abort(l->stream);
	l->stream = NULL;
	registrar_on_closed(l->registrar, -ENETDOWN, now_ms);
}

void link_proxy_changed(struct link *l, uint64_t now_ms)
{
	l->proxy_error[0] = l->proxy_logged[0] = '\0';
	if (link_is_registered(l) ? l->is_proxied : registrar_state(l->registrar) != REGISTRAR_WAITING)
		connect_anew(l, "the proxy is another", now_ms);
	if (!link_is_registered(l))
		registrar_network_changed(l->registrar, now_ms);
	due(l);
}

void link_register_anew(struct link *l, uint64_t now_ms)
{
	registrar_again(l->registrar, now_ms);
	due(l);
}

/* Our address towards the other end, as a connection made now would have it. */
static int local_now(const struct link *l, struct ip *out)
{
	struct endpoint to = *stream_peer(l->stream);

	if (!ip_is_link_local(&to.ip))
		to.scope = l->is_proxied ? 0 : (uint32_t)l->uplinks->via.ifindex;
	return udp_local_address(&to, out);
}

void link_network_changed(struct link *l, uint64_t now_ms)
{
	struct ip local;

	/* The kernel would keep sending from an address we no longer have until TCP gave up. */
	if (l->stream && (local_now(l, &local) < 0 || !ip_equal(&local, &l->local)))
		connect_anew(l, "our address changed", now_ms);
	registrar_network_changed(l->registrar, now_ms);
	binding_refresh(l->binding, now_ms);
	due(l);
}

void link_doubt(struct link *l, uint64_t now_ms)
{
	registrar_doubt(l->registrar, now_ms);
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

bool link_tcp_reflexive(const struct link *l, struct endpoint *out)
{
	struct endpoint local;

	if (!l->tcp_port || !link_is_registered(l) || l->is_proxied || ip_is_none(&l->registration.source.ip))
		return false;
	if (!l->stream || stream_local(l->stream, &local) < 0)
		return false;
	*out = l->registration.source;
	if (local.port != l->tcp_port && local.port != out->port)
		return false;
	if (local.port != l->tcp_port)
		out->port = l->tcp_port;
	return true;
}

bool link_is_proxied(const struct link *l)
{
	return link_is_registered(l) && l->is_proxied;
}

const char *link_proxy_error(const struct link *l)
{
	return l->proxy_error;
}

struct relay_link *link_udp(const struct link *l)
{
	return l->udp;
}

const struct endpoint *link_connection(const struct link *l)
{
	return l->stream ? stream_peer(l->stream) : NULL;
}

const struct endpoint *link_udp_endpoint(const struct link *l)
{
	return &l->udp_endpoint;
}

bool link_address(const struct link *l, struct ip *out)
{
	if (l->stream && !ip_is_none(&l->udp_endpoint.ip))
		*out = l->udp_endpoint.ip;
	else
		*out = ip_is_none(&l->ip4) ? l->ip6 : l->ip4;
	return !ip_is_none(out);
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
