#include "daemon/coordinator/registry.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/net/loop.h"
#include "daemon/net/stream.h"

struct registry {
	struct service *service;
	const struct identity *identity;
	struct counters *counters;
	struct stream_listener *listeners[LISTEN_FDS_MAX + CONFIG_TCP_PORTS_MAX];
	unsigned n_listeners;
	struct loop_timer *timer;
	uint64_t timer_ms;             /* what it is set to */
	struct registration *all;      /* oldest first */
	struct registration *finished; /* to be freed when no event is being handled */
	unsigned depth;                /* of events being handled */
	bool is_closing;               /* registry_close: nobody is told */
};

/* ---------------------------------------------------------------- lifetimes */

/* Sending to one registration can end another, deep below an event of the first: what ended is only put aside, and
 * freed when the outermost event is over. */
static void enter(struct registry *g)
{
	g->depth++;
}

static void leave(struct registry *g)
{
	struct registration *r, *tmp;

	if (--g->depth > 0)
		return;
	DL_FOREACH_SAFE(g->finished, r, tmp) {
		DL_DELETE(g->finished, r);
		registration_fini(r);
		free(r);
	}
}

static void on_registration_close(void *arg, struct registration *r)
{
	struct registry *g = arg;

	enter(g);
	stream_close(r->stream);
	r->stream = NULL;
	DL_DELETE(g->all, r);
	DL_APPEND(g->finished, r);
	if (!g->is_closing)
		service_closed(g->service, r, clock_now_ms());
	leave(g);
}

/* ---------------------------------------------------------------- what a registration asks for */

static void on_send(void *arg, struct registration *r, const uint8_t *body, size_t len)
{
	(void)arg;
	/* A frame that got lost leaves a gap in the sealed stream. What ended by itself is told by on_stream_closed. */
	if (r->stream && stream_send(r->stream, body, len, false) == -ENOMEM)
		registration_close(r);
}

static unsigned queued_percent(void *arg, const struct registration *r)
{
	(void)arg;
	return r->stream ? (unsigned)(stream_queued(r->stream) * 100 / STREAM_QUEUE_SOFT_BYTES) : UINT_MAX;
}

static struct member *on_find(void *arg, const struct registration *r, const struct pubkey *key)
{
	return service_find(((struct registry *)arg)->service, r, key);
}

static enum cert_verdict on_judge(void *arg, const struct registration *r, const struct wire_trust *shown,
				  struct cert *cert)
{
	return service_judge(((struct registry *)arg)->service, r, shown, cert);
}

static void on_registering(void *arg, struct registration *r, const struct wire_register *m, uint64_t now_ms)
{
	service_registering(((struct registry *)arg)->service, r, m, now_ms);
}

static void on_message(void *arg, struct registration *r, int type, uint8_t *data, size_t len, uint64_t now_ms)
{
	service_message(((struct registry *)arg)->service, r, type, data, len, now_ms);
}

static const struct registration_env registration_env = {
	.send = on_send,
	.queued_percent = queued_percent,
	.close = on_registration_close,
	.find = on_find,
	.judge = on_judge,
	.registering = on_registering,
	.message = on_message,
};

/* ---------------------------------------------------------------- time */

/* Deadlines move later with every frame; the timer looks again when it fires instead of being set each time. */
static void on_timer(void *arg)
{
	struct registry *g = arg;
	struct registration *r, *tmp;
	uint64_t now_ms = clock_now_ms(), next_ms = UINT64_MAX;

	enter(g);
	/* Those that end in the loop stay allocated, but the next one may have been moved to the other list: start
	 * over. */
again:
	DL_FOREACH_SAFE(g->all, r, tmp) {
		if (registration_deadline_ms(r) <= now_ms) {
			registration_due(r);
			goto again;
		}
	}
	DL_FOREACH(g->all, r) {
		uint64_t deadline_ms = registration_deadline_ms(r);

		next_ms = deadline_ms < next_ms ? deadline_ms : next_ms;
	}
	service_tick(g->service, now_ms);
	if (service_next_ms(g->service) < next_ms)
		next_ms = service_next_ms(g->service);
	leave(g);
	g->timer_ms = next_ms;
	loop_timer_set(g->timer, next_ms);
}

static void timer_not_after(struct registry *g, uint64_t at_ms)
{
	if (at_ms >= g->timer_ms)
		return;
	g->timer_ms = at_ms;
	loop_timer_set(g->timer, at_ms);
}

/* ---------------------------------------------------------------- streams */

static void on_frame(void *arg, struct stream *s, uint8_t *body, size_t len)
{
	struct registration *r = arg;
	struct registry *g = r->arg;

	(void)s;
	enter(g);
	registration_on_frame(r, body, len, clock_now_ms());
	if (r->state == REGISTRATION_REFUSING)
		timer_not_after(g, registration_deadline_ms(r));
	leave(g);
}

static void on_stream_closed(void *arg, struct stream *s, int reason)
{
	struct registration *r = arg;
	struct registry *g = r->arg;

	(void)s;
	enter(g);
	if (reason == -EBADMSG)
		counters_inc(g->counters, COUNTER_control_bad_frame);
	r->stream = NULL; /* it closes by itself */
	registration_close(r);
	leave(g);
}

static const struct stream_events stream_events = {
	.on_frame = on_frame,
	.on_closed = on_stream_closed,
};

static unsigned count_of_network(struct registration *const *v, unsigned n, const struct registration *like)
{
	unsigned count = 0;

	for (unsigned i = 0; i < n; i++)
		count += ip_is_same_network(&v[i]->source.ip, &like->source.ip);
	return count;
}

/* If too many connections are not confirmed, ends the oldest of the network that has most of them: whoever connects as fast as he
 * can drives out his own. */
static void bound_unconfirmed(struct registry *g)
{
	struct registration *v[REGISTRY_UNCONFIRMED_MAX + 1], *r, *victim = NULL;
	unsigned n = 0, most = 0;

	DL_FOREACH(g->all, r)
		if (r->state != REGISTRATION_REGISTERED && n < REGISTRY_UNCONFIRMED_MAX + 1)
			v[n++] = r;
	if (n <= REGISTRY_UNCONFIRMED_MAX)
		return;
	for (unsigned i = 0; i < n; i++) {
		unsigned count = count_of_network(v, n, v[i]);

		if (count > most) {
			most = count;
			victim = v[i];
		}
	}
	counters_inc(g->counters, COUNTER_handshake_rate_limited);
	registration_close(victim);
}

static void on_accept(void *arg, struct stream *s)
{
	struct registry *g = arg;
	struct registration *r = calloc(1, sizeof(*r));
	uint64_t now_ms = clock_now_ms();

	if (!r) {
		stream_close(s);
		return;
	}
	registration_init(r, &registration_env, g, g->identity, g->counters, stream_peer(s), now_ms);
	r->stream = s;
	stream_set_arg(s, r);
	enter(g);
	DL_APPEND(g->all, r);
	bound_unconfirmed(g);
	leave(g);
	timer_not_after(g, now_ms + REGISTRATION_HANDSHAKE_MS);
}

/* ---------------------------------------------------------------- open and close */

/* What cannot be used is the service manager's mistake, and no reason not to serve. */
static void listen_handed(struct registry *g, uv_loop_t *loop, struct listen_fds *handed)
{
	for (unsigned i = 0; handed && i < handed->n; i++) {
		int ret = stream_listen_take(&g->listeners[g->n_listeners], loop, handed->fds[i], &stream_events,
					     on_accept, g);

		handed->fds[i] = -1;
		if (ret < 0) {
			log_warn("socket %u of the service manager is not used: %s", i + 1,
				 ret == -EPROTOTYPE ? "it does not listen for TCP connections" : strerror(-ret));
			continue;
		}
		log_info("TCP port %d: the service manager's socket",
			 stream_listener_port(g->listeners[g->n_listeners]));
		g->n_listeners++;
	}
}

static bool is_listening(const struct registry *g, uint16_t port)
{
	for (unsigned i = 0; i < g->n_listeners; i++)
		if (stream_listener_port(g->listeners[i]) == port)
			return true;
	return false;
}

static int listen_own(struct registry *g, uv_loop_t *loop, const struct config *config, char *error, size_t capacity)
{
	int ret = 0;

	for (unsigned i = 0; ret == 0 && i < config->listen.n_tcp_ports; i++) {
		const struct stream_listen_options options = { .address = config->listen.address,
							       .port = config->listen.tcp_ports[i] };

		if (is_listening(g, options.port))
			continue;
		ret = stream_listen(&g->listeners[g->n_listeners], loop, &options, &stream_events, on_accept, g);
		if (ret == 0)
			g->n_listeners++;
		else
			snprintf(error, capacity, "TCP port %u: %s%s", options.port, strerror(-ret),
				 ret == -EACCES ? " (with warren@.socket systemd opens it)" : "");
	}
	return ret;
}

int registry_open(struct registry **out, uv_loop_t *loop, const struct config *config, struct listen_fds *handed,
		  struct service *service, const struct identity *identity, struct counters *counters, char *error,
		  size_t capacity)
{
	struct registry *g = calloc(1, sizeof(*g));
	int ret;

	if (!g) {
		snprintf(error, capacity, "no memory");
		return -ENOMEM;
	}
	g->service = service;
	g->identity = identity;
	g->counters = counters;
	g->timer_ms = UINT64_MAX;
	ret = loop_timer_open(&g->timer, loop, on_timer, g);
	if (ret)
		snprintf(error, capacity, "timer: %s", strerror(-ret));
	if (ret == 0) {
		listen_handed(g, loop, handed);
		ret = listen_own(g, loop, config, error, capacity);
	}
	if (ret)
		registry_close(g);
	else
		*out = g;
	if (ret == 0)
		timer_not_after(g, service_next_ms(service));
	return ret;
}

uint16_t registry_port(const struct registry *g, unsigned nth)
{
	int port = nth < g->n_listeners ? stream_listener_port(g->listeners[nth]) : 0;

	return port > 0 ? (uint16_t)port : 0;
}

void registry_close(struct registry *g)
{
	if (!g)
		return;
	g->is_closing = true;
	enter(g);
	for (unsigned i = 0; i < g->n_listeners; i++)
		stream_listener_close(g->listeners[i]);
	while (g->all)
		registration_close(g->all);
	if (g->timer)
		loop_timer_close(g->timer);
	leave(g);
	free(g);
}

void registry_begin(struct registry *g)
{
	enter(g);
}

void registry_end(struct registry *g)
{
	leave(g);
}
