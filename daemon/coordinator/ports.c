#include "daemon/coordinator/ports.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/coordinator/stun_limit.h"
#include "daemon/net/loop.h"
#include "daemon/net/offload.h"
#include "daemon/wire/stun.h"

#define BATCH 32
#define ROUNDS 4 /* batches of one port before timers and connections get their turn */
/* A train as long as IP allows; the kernel gives the pages as they are touched. */
#define TRAIN_BYTES 65536
/* Two batches of relayed trains at once come before the loop comes back. */
#define BUFFER_BYTES (4 * 1024 * 1024)

struct port {
	struct ports *ports;
	unsigned nth;
	struct udp udp; /* fd -1: not open */
	struct loop_watch *watch;
	struct udp_run out[BATCH]; /* to be sent by this port */
	unsigned n_out;
};

struct ports {
	struct ports_use use;
	struct stun_limit *stun_limit;
	bool has_stun;
	struct port v[PORTS_MAX];
	struct udp_run in[BATCH];
	uint8_t stun_replies[BATCH][STUN_REPLY_MAX_BYTES]; /* longer than their requests: not answered in place */
	unsigned n_stun_replies;
	uint8_t buffers[BATCH][TRAIN_BYTES];
};

static void flush(struct port *port)
{
	struct counters *counters = port->ports->use.counters;
	unsigned n_errors = 0;
	int n;

	if (!port->n_out)
		return;
	n = udp_send(&port->udp, port->out, port->n_out, &n_errors, NULL);
	counters_add(counters, COUNTER_drop_send_error, n_errors);
	for (unsigned i = 0; i < port->n_out; i++) {
		size_t count = udp_run_count(&port->out[i]);

		if ((int)i >= n) {
			counters_add(counters, COUNTER_drop_queue_full, count);
			continue;
		}
		counters_add(counters, COUNTER_tx_datagrams, count);
		counters_add(counters, COUNTER_tx_bytes, port->out[i].len);
	}
	port->n_out = 0;
}

static void flush_all(struct ports *p)
{
	for (unsigned i = 0; i < PORTS_MAX; i++)
		flush(&p->v[i]);
	p->n_stun_replies = 0;
}

/* Queues one datagram, which stays where it is until the batch is sent. */
static void queue(struct ports *p, const struct way *way, uint8_t *data, size_t len)
{
	struct port *port = &p->v[way->port];

	if (port->n_out == BATCH)
		flush_all(p);
	/* A relayed train for one member leaves as it came: its datagrams were rewritten where they lay. */
	port->n_out = udp_runs_add(port->out, port->n_out, &way->peer, &way->local, data, len);
}

static void on_stun(struct ports *p, const struct way *from, const uint8_t *data, size_t len, uint64_t now_ms)
{
	struct stun_message request;
	uint8_t *reply;
	int ret;

	if (!p->has_stun || stun_decode(&request, data, len) < 0 || request.class != STUN_REQUEST) {
		counters_inc(p->use.counters, COUNTER_drop_type);
		return;
	}
	if (!stun_limit_take(p->stun_limit, &from->peer.ip, now_ms)) {
		counters_inc(p->use.counters, COUNTER_stun_rate_limited);
		return;
	}
	/* Before a place is taken: a flush gives all of them back, this one too, while it waits in the next batch. */
	if (p->n_stun_replies == BATCH || p->v[from->port].n_out == BATCH)
		flush_all(p);
	reply = p->stun_replies[p->n_stun_replies];
	ret = stun_reply_encode(reply, &request, &from->peer);
	if (ret <= 0)
		return;
	p->n_stun_replies++;
	counters_inc(p->use.counters, COUNTER_stun_answered);
	queue(p, from, reply, (size_t)ret);
}

static struct registration *registration_of(struct ports *p, uint32_t index)
{
	enum index_kind kind;
	struct registration *r = indices_find(p->use.indices, index, &kind);

	if (r && kind == INDEX_LINK && r->link)
		return r;
	counters_inc(p->use.counters, COUNTER_drop_unknown_index);
	return NULL;
}

static uint64_t fresh_challenge(void)
{
	uint64_t challenge;

	do {
		randombytes_buf(&challenge, sizeof(challenge));
	} while (challenge == 0); /* zeros mean none */
	return challenge;
}

static void on_bind(struct ports *p, const struct way *from, uint8_t *data, size_t len, uint64_t now_ms)
{
	struct wire_bind request, reply;
	struct registration *r;
	struct wire_sealed h;
	int ret;

	if (wire_sealed_decode(&h, data, len) < 0 || len != RELAY_BIND_DATAGRAM_BYTES) {
		counters_inc(p->use.counters, COUNTER_drop_short);
		return;
	}
	r = registration_of(p, h.index);
	if (!r)
		return;
	ret = relay_link_bind_open(r->link, &h, data, len, &request);
	if (ret || request.type != BIND_REQUEST) {
		counters_inc(p->use.counters, ret == -EALREADY ? COUNTER_drop_replay : COUNTER_bind_bad);
		return;
	}
	bound_request(&r->bound, &request, from, fresh_challenge(), now_ms, &reply);
	ret = relay_link_bind_seal(r->link, data, &reply);
	if (ret <= 0)
		return;
	counters_inc(p->use.counters, COUNTER_binds_answered);
	queue(p, from, data, (size_t)ret);
}

static void on_relay(struct ports *p, const struct way *from, uint8_t *data, size_t len, uint64_t now_ms)
{
	struct registration *r;
	struct wire_relay relay;
	const struct way *way;

	if (wire_relay_decode(&relay, data, len) < 0) {
		counters_inc(p->use.counters, COUNTER_drop_short);
		return;
	}
	r = registration_of(p, relay.index);
	if (!r)
		return;
	way = forward_datagram(p->use.forward, r, from, &relay, data, now_ms);
	if (way)
		queue(p, way, data, len);
}

static void on_datagram(struct ports *p, const struct way *from, uint8_t *data, size_t len, uint64_t now_ms)
{
	counters_inc(p->use.counters, COUNTER_rx_datagrams);
	counters_add(p->use.counters, COUNTER_rx_bytes, len);
	if (len == 0)
		counters_inc(p->use.counters, COUNTER_drop_short);
	else if (stun_is(data, len))
		on_stun(p, from, data, len, now_ms);
	else if (data[0] == WIRE_BIND)
		on_bind(p, from, data, len, now_ms);
	else if (data[0] == WIRE_RELAY)
		on_relay(p, from, data, len, now_ms);
	else
		counters_inc(p->use.counters, COUNTER_drop_type);
}

static void on_run(struct port *port, struct udp_run *run, uint64_t now_ms)
{
	struct way from = { .peer = run->peer, .local = run->local, .port = port->nth };
	size_t segment = run->segment_bytes ? run->segment_bytes : run->len, at = 0;

	do {
		size_t len = run->len - at < segment ? run->len - at : segment;

		on_datagram(port->ports, &from, run->data + at, len, now_ms);
		at += len;
	} while (at < run->len);
}

static void on_readable(void *arg, int fd)
{
	struct port *port = arg;
	struct ports *p = port->ports;

	(void)fd;
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t now_ms;
		int n;

		for (unsigned i = 0; i < BATCH; i++)
			p->in[i] = (struct udp_run){ .data = p->buffers[i], .capacity = TRAIN_BYTES };
		n = udp_recv(&port->udp, p->in, BATCH);
		if (n <= 0)
			break;
		now_ms = clock_now_ms();
		for (int i = 0; i < n; i++)
			on_run(port, &p->in[i], now_ms);
		flush_all(p);
		if (n < BATCH)
			break;
	}
}

static int open_port(struct ports *p, unsigned nth, uv_loop_t *loop, const struct config *config, uint16_t number)
{
	unsigned disabled = offload_disabled(config->offload);
	struct udp_options options = { .address = config->listen.address,
				       .port = number,
				       .want_local = true,
				       .want_gso = !(disabled & OFFLOAD_NO_GSO),
				       .want_gro = !(disabled & OFFLOAD_NO_GRO),
				       .dont_fragment = true, /* what is relayed finds its MTU end to end */
				       .bind_interface = config->listen.bind_interface,
				       .buffer_bytes = BUFFER_BYTES };
	struct port *port = &p->v[nth];
	int ret = udp_open(&port->udp, &options);

	if (ret) {
		port->udp.fd = -1;
		return ret;
	}
	return loop_watch_open(&port->watch, loop, port->udp.fd, on_readable, port);
}

int ports_open(struct ports **out, uv_loop_t *loop, const struct config *config, const struct ports_use *use,
	       char *error, size_t capacity)
{
	const uint16_t numbers[PORTS_MAX] = { config->listen.port, config->listen.alternate_port };
	struct ports *p = calloc(1, sizeof(*p));

	if (!p) {
		snprintf(error, capacity, "no memory");
		return -ENOMEM;
	}
	p->use = *use;
	p->has_stun = config->listen.stun;
	for (unsigned i = 0; i < PORTS_MAX; i++) {
		p->v[i].ports = p;
		p->v[i].nth = i;
		p->v[i].udp.fd = -1;
	}
	p->stun_limit = stun_limit_new(clock_now_ms());
	if (!p->stun_limit) {
		snprintf(error, capacity, "no memory");
		ports_close(p);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < PORTS_MAX; i++) {
		int ret;

		if (i > 0 && !numbers[i])
			continue;
		ret = open_port(p, i, loop, config, numbers[i]);
		if (ret) {
			snprintf(error, capacity, "UDP port %u: %s", numbers[i], strerror(-ret));
			ports_close(p);
			return ret;
		}
	}
	*out = p;
	return 0;
}

void ports_close(struct ports *p)
{
	if (!p)
		return;
	for (unsigned i = 0; i < PORTS_MAX; i++) {
		if (p->v[i].watch)
			loop_watch_close(p->v[i].watch);
		if (p->v[i].udp.fd >= 0)
			udp_close(&p->v[i].udp);
	}
	stun_limit_free(p->stun_limit);
	free(p);
}

void ports_set_stun(struct ports *p, bool is_on)
{
	p->has_stun = is_on;
}

uint16_t ports_number(const struct ports *p, unsigned nth)
{
	int number = nth < PORTS_MAX && p->v[nth].udp.fd >= 0 ? udp_port(&p->v[nth].udp) : 0;

	return number > 0 ? (uint16_t)number : 0;
}

const struct udp *ports_udp(const struct ports *p)
{
	return &p->v[0].udp;
}
