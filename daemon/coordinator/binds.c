#include "daemon/coordinator/binds.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/coordinator/relayer.h"
#include "daemon/net/loop.h"

#define REPLIES 32
/* Sockets: those of the ports, then the two that only answer. */
#define FROM_OTHER_PORT PORTS_MAX
#define FROM_OTHER_ADDRESS (PORTS_MAX + 1)
#define SOCKETS_MAX (PORTS_MAX + 2)

struct binds {
	struct binds_use use;
	struct ip alternate;                        /* none: there is none */
	struct udp others[SOCKETS_MAX - PORTS_MAX]; /* fd -1: not open */
	struct loop_timer *timer;
	struct later later;
	unsigned n_replies[SOCKETS_MAX];
	struct udp_run replies[SOCKETS_MAX][REPLIES];
	uint8_t bytes[SOCKETS_MAX][REPLIES][RELAY_BIND_DATAGRAM_BYTES];
};

/* ---------------------------------------------------------------- answers */

static struct udp *socket_of(struct binds *b, unsigned nth)
{
	return nth < PORTS_MAX ? b->use.port(b->use.arg, nth) : &b->others[nth - PORTS_MAX];
}

void binds_flush(struct binds *b)
{
	forward_publish(b->use.forward);
	for (unsigned i = 0; i < SOCKETS_MAX; i++) {
		unsigned n_errors = 0, n = 0;

		if (!b->n_replies[i])
			continue;
		/* Where its buffer is full the asker asks again. */
		n = (unsigned)udp_send(socket_of(b, i), b->replies[i], b->n_replies[i], &n_errors, NULL);
		counters_add(b->use.counters, COUNTER_drop_send_error, n_errors);
		counters_add(b->use.counters, COUNTER_drop_queue_full, b->n_replies[i] - n);
		counters_add(b->use.counters, COUNTER_tx_datagrams, n);
		counters_add(b->use.counters, COUNTER_tx_bytes, (uint64_t)n * RELAY_BIND_DATAGRAM_BYTES);
		b->n_replies[i] = 0;
	}
}

static void answer(struct binds *b, struct relay_link *link, const struct wire_bind *reply, unsigned nth,
		   const struct way *to)
{
	unsigned *n = &b->n_replies[nth];
	uint8_t *out;

	if (*n == REPLIES)
		binds_flush(b);
	out = b->bytes[nth][*n];
	if (relay_link_bind_seal(link, out, reply) < 0)
		return;
	counters_inc(b->use.counters, COUNTER_binds_answered);
	b->replies[nth][(*n)++] = (struct udp_run){ .peer = to->peer,
						    .local = nth == FROM_OTHER_ADDRESS ? b->alternate : to->local,
						    .data = out,
						    .len = RELAY_BIND_DATAGRAM_BYTES,
						    .segment_bytes = RELAY_BIND_DATAGRAM_BYTES };
}

/* ---------------------------------------------------------------- answers once more */

static void set_timer(struct binds *b)
{
	loop_timer_set(b->timer, later_next_ms(&b->later));
}

/* The place for that request: that of the same one if it is repeated, a free one, the one that waits the longest. */
static struct later_entry *place_for(struct registration *r, uint64_t token)
{
	struct later_entry *place = &r->later[0];

	for (unsigned i = 0; i < REGISTRATION_LATER_MAX; i++) {
		struct later_entry *e = &r->later[i];

		if (e->wheel && e->token == token)
			return e;
		if (place->wheel && (!e->wheel || e->due_ms < place->due_ms))
			place = e;
	}
	return place;
}

static void answer_later(struct binds *b, struct registration *r, const struct wire_bind *request,
			 const struct way *from, uint64_t now_ms)
{
	struct later_entry *e = place_for(r, request->token);

	e->owner = r;
	e->token = request->token;
	e->to = *from;
	later_set(&b->later, e, request->time_ds * UINT64_C(100), now_ms);
	set_timer(b);
}

static void on_timer(void *arg)
{
	struct binds *b = arg;
	uint64_t now_ms = clock_now_ms();
	struct later_entry *e;

	while ((e = later_take(&b->later, now_ms))) {
		const struct registration *r = e->owner;
		const struct wire_bind reply = {
			.type = BIND_REPLY, .flags = BIND_LATER, .token = e->token, .observed = e->to.peer
		};

		answer(b, r->link, &reply, e->to.port, &e->to);
	}
	binds_flush(b);
	set_timer(b);
}

/* ---------------------------------------------------------------- requests */

static struct registration *registration_of(struct binds *b, uint32_t index)
{
	enum index_kind kind;
	struct registration *r = indices_find(b->use.indices, index, &kind);

	if (r && kind == INDEX_LINK && r->link && r->member)
		return r;
	counters_inc(b->use.counters, COUNTER_drop_unknown_index);
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

/* The socket an answer leaves by, or -1: there is none such. */
static int socket_for(const struct binds *b, const struct wire_bind *request, const struct way *from)
{
	if (!(request->flags & BIND_NO_MOVE))
		return (int)from->port;
	if (request->flags & BIND_OTHER_ADDRESS) {
		bool is_asked_there = ip_equal(&from->local, &b->alternate);

		return b->alternate.len == from->peer.ip.len && !is_asked_there ? FROM_OTHER_ADDRESS : -1;
	}
	return request->flags & BIND_OTHER_PORT ? FROM_OTHER_PORT : (int)from->port;
}

void binds_request(struct binds *b, const struct way *from, uint8_t *data, size_t len, uint64_t now_ms)
{
	struct wire_bind request, reply;
	struct registration *r;
	struct wire_sealed h;
	int ret, nth;

	if (wire_sealed_decode(&h, data, len) < 0)
		return; /* the worker has looked */
	r = registration_of(b, h.index);
	if (!r)
		return;
	ret = relay_link_bind_open(r->link, &h, data, len, &request);
	if (ret || request.type != BIND_REQUEST) {
		counters_inc(b->use.counters, ret == -EALREADY ? COUNTER_drop_replay : COUNTER_bind_bad);
		return;
	}
	nth = socket_for(b, &request, from);
	if (nth < 0) {
		counters_inc(b->use.counters, COUNTER_bind_bad);
		return;
	}
	if (bound_request(&r->bound, &request, from, fresh_challenge(), now_ms, &reply))
		forward_changed(b->use.forward);
	atomic_store_explicit(&r->member->account->proven_until_ms, r->bound.proven_until_ms, memory_order_relaxed);
	answer(b, r->link, &reply, (unsigned)nth, from);
	if (request.flags & BIND_NO_MOVE && request.time_ds && nth == (int)from->port)
		answer_later(b, r, &request, from, now_ms);
}

/* ---------------------------------------------------------------- life */

static int open_other(struct udp *udp, const struct config *config, const struct ip *address, char *error,
		      size_t capacity)
{
	const struct udp_options options = { .address = *address,
					     .want_local = true,
					     .bind_interface = config->listen.bind_interface };
	int ret = udp_open(udp, &options);

	if (ret < 0) {
		char text[ADDR_TEXT_BYTES];

		udp->fd = -1;
		snprintf(error, capacity, "UDP at %s: %s",
			 ip_is_none(address) ? "any address" : ip_to_text(address, text), strerror(-ret));
	}
	return ret;
}

int binds_open(struct binds **out, uv_loop_t *loop, const struct config *config, const struct binds_use *use,
	       char *error, size_t capacity)
{
	struct binds *b = calloc(1, sizeof(*b));
	int ret;

	snprintf(error, capacity, "no memory");
	if (!b)
		return -ENOMEM;
	b->use = *use;
	b->alternate = config->listen.alternate_address;
	b->others[0].fd = b->others[1].fd = -1;
	ret = loop_timer_open(&b->timer, loop, on_timer, b);
	if (ret == 0)
		ret = open_other(&b->others[FROM_OTHER_PORT - PORTS_MAX], config, &config->listen.address, error,
				 capacity);
	if (ret == 0 && !ip_is_none(&b->alternate))
		ret = open_other(&b->others[FROM_OTHER_ADDRESS - PORTS_MAX], config, &b->alternate, error, capacity);
	if (ret < 0) {
		binds_close(b);
		return ret;
	}
	*out = b;
	return 0;
}

void binds_close(struct binds *b)
{
	struct later_entry *e;

	if (!b)
		return;
	while ((e = later_take(&b->later, UINT64_MAX)))
		;
	for (unsigned i = 0; i < SOCKETS_MAX - PORTS_MAX; i++)
		if (b->others[i].fd >= 0)
			udp_close(&b->others[i]);
	if (b->timer)
		loop_timer_close(b->timer);
	free(b);
}
