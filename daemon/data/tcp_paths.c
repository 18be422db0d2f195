#include "daemon/data/tcp_paths.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/base/hash.h"
#include "daemon/net/stream.h"
#include "daemon/net/udp.h"
#include "daemon/wire/handshake.h"

/* Frames of one turn that go to one far end leave in one call. */
#define BATCH_BYTES ((size_t)64 * 1024)
#define ENDPOINT_KEY_BYTES 23

enum connection_state {
	CONNECTING,
	STRANGER,
	PEERS,
};

struct connection {
	struct tcp_paths *owner;
	struct stream *stream;
	struct endpoint far;
	uint8_t key[ENDPOINT_KEY_BYTES]; /* the far end without padding */
	enum connection_state state;
	bool is_ours;      /* we began it */
	uint64_t since_ms; /* CONNECTING, STRANGER: of that; PEERS: when the peer was last heard */
	uint64_t peer;     /* its number; 0: a stranger */
	unsigned n_frames; /* of a stranger */
	size_t pending_len;
	uint8_t pending[WIRE_HANDSHAKE_MAX_BYTES]; /* sent once it is there */
	struct connection *dead_next;
	UT_hash_handle hh;
};

struct tcp_paths {
	/* fixed at creation */
	uv_loop_t *loop;
	const struct tcp_paths_env *env;
	void *arg;
	struct counters *counters;
	struct ip address;
	char bind_interface[16];
	uint32_t through; /* an uplink's index; 0: as the kernel chooses */
	/* owned */
	struct stream_listener *listener;
	uint16_t port;
	struct connection *all;  /* oldest first */
	struct connection *dead; /* freed when no callback can be in them */
	uint64_t next_ms;        /* no deadline is before this */
	/* not yet handed to its stream */
	struct connection *batch_for; /* NULL: nothing */
	size_t batch_len;
	uint8_t batch[BATCH_BYTES];
};

/* ---------------------------------------------------------------- by far end */

static void key_of(uint8_t out[static ENDPOINT_KEY_BYTES], const struct endpoint *ep)
{
	memset(out, 0, ENDPOINT_KEY_BYTES);
	out[0] = ep->ip.len;
	memcpy(out + 1, ep->ip.b, sizeof(ep->ip.b));
	memcpy(out + 17, &ep->port, sizeof(ep->port));
	memcpy(out + 19, &ep->scope, sizeof(ep->scope));
}

static struct connection *find(const struct tcp_paths *t, const struct endpoint *far)
{
	uint8_t key[ENDPOINT_KEY_BYTES];
	struct connection *c;

	key_of(key, far);
	HASH_FIND(hh, t->all, key, sizeof(key), c);
	return c;
}

static struct path_addr addr_of(const struct connection *c)
{
	return (struct path_addr){ .kind = PATH_TCP, .endpoint = c->far };
}

static struct connection *add(struct tcp_paths *t, const struct endpoint *far)
{
	struct connection *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->owner = t;
	c->far = *far;
	key_of(c->key, far);
	HASH_ADD(hh, t->all, key, sizeof(c->key), c);
	if (!hash_has(hh, c)) {
		free(c);
		return NULL;
	}
	return c;
}

/* Its stream may be in the middle of a callback with it. */
static void end_silently(struct connection *c)
{
	struct tcp_paths *t = c->owner;

	if (t->batch_for == c) {
		t->batch_for = NULL;
		t->batch_len = 0;
	}
	HASH_DELETE(hh, t->all, c);
	stream_abort(c->stream);
	c->stream = NULL;
	c->dead_next = t->dead;
	t->dead = c;
}

static void end(struct connection *c, int reason)
{
	const struct path_addr addr = addr_of(c);
	struct tcp_paths *t = c->owner;
	bool is_told = c->is_ours || c->state == PEERS;

	end_silently(c);
	if (is_told)
		t->env->closed(t->arg, &addr, reason);
}

static void refuse(struct connection *c)
{
	counters_inc(c->owner->counters, COUNTER_tcp_refused);
	end(c, -EPERM);
}

static void bury(struct tcp_paths *t)
{
	while (t->dead) {
		struct connection *c = t->dead;

		t->dead = c->dead_next;
		free(c);
	}
}

static unsigned count(const struct tcp_paths *t, enum connection_state state)
{
	unsigned n = 0;

	for (const struct connection *c = t->all; c; c = c->hh.next)
		n += c->state == state;
	return n;
}

static uint64_t deadline_ms(const struct connection *c)
{
	switch (c->state) {
	case CONNECTING:
		break; /* the stream has a time limit itself */
	case STRANGER:
		return c->since_ms + TCP_PATHS_STRANGER_MS;
	case PEERS:
		return c->since_ms + TCP_PATHS_IDLE_MS;
	}
	return UINT64_MAX;
}

static void set_state(struct connection *c, enum connection_state state, uint64_t now_ms)
{
	c->state = state;
	c->since_ms = now_ms;
	if (deadline_ms(c) < c->owner->next_ms)
		c->owner->next_ms = deadline_ms(c);
}

/* ---------------------------------------------------------------- what streams tell */

static void on_connected(void *arg, struct stream *s)
{
	struct connection *c = arg;
	struct tcp_paths *t = c->owner;
	const struct path_addr addr = addr_of(c);

	set_state(c, STRANGER, clock_now_ms());
	counters_inc(t->counters, COUNTER_tcp_connected);
	t->env->opened(t->arg, &addr);
	if (c->stream && c->pending_len)
		stream_send(s, c->pending, c->pending_len, false);
	c->pending_len = 0;
}

/* What can show who it is. Data comes only where probes were answered. */
static bool may_be_a_strangers(const uint8_t *datagram)
{
	switch (datagram[0]) {
	case WIRE_INIT:
	case WIRE_RESPONSE:
	case WIRE_COOKIE:
	case WIRE_SESSION:
		return true;
	default:
		return false;
	}
}

static void on_frame(void *arg, struct stream *s, uint8_t *body, size_t len)
{
	struct connection *c = arg;
	struct tcp_paths *t = c->owner;
	const struct path_addr from = addr_of(c);

	(void)s;
	if (c->state == STRANGER && (++c->n_frames > TCP_PATHS_STRANGER_FRAMES || !may_be_a_strangers(body))) {
		refuse(c);
		return;
	}
	counters_inc(t->counters, COUNTER_rx_datagrams);
	counters_add(t->counters, COUNTER_rx_bytes, len);
	t->env->datagram(t->arg, &from, body, len);
}

static void on_read(void *arg, struct stream *s)
{
	struct tcp_paths *t = ((struct connection *)arg)->owner;

	(void)s;
	t->env->read(t->arg);
}

static void on_closed(void *arg, struct stream *s, int reason)
{
	struct connection *c = arg;

	(void)s;
	c->stream = NULL; /* gone when this returns */
	if (reason == -EBADMSG)
		counters_inc(c->owner->counters, COUNTER_tcp_refused);
	end(c, reason);
}

static const struct stream_events events = {
	.on_connected = on_connected,
	.on_frame = on_frame,
	.on_read = on_read,
	.on_closed = on_closed,
};

/* ---------------------------------------------------------------- strangers */

static unsigned count_of_network(const struct tcp_paths *t, const struct ip *ip)
{
	unsigned n = 0;

	for (const struct connection *c = t->all; c; c = c->hh.next)
		n += c->state == STRANGER && ip_is_same_network(&c->far.ip, ip);
	return n;
}

static void end_oldest_stranger(struct tcp_paths *t)
{
	for (struct connection *c = t->all; c; c = c->hh.next)
		if (c->state == STRANGER && !c->is_ours) {
			refuse(c);
			return;
		}
}

static void on_accept(void *arg, struct stream *s)
{
	const struct endpoint *far = stream_peer(s);
	struct tcp_paths *t = arg;
	struct connection *old = find(t, far), *c;

	/* The peer was quicker than we: what was to go over ours goes over its connection. */
	if (old && old->state == CONNECTING) {
		stream_close(old->stream);
		old->stream = s;
		stream_set_arg(s, old);
		on_connected(old, s);
		return;
	}
	if (old || count_of_network(t, &far->ip) >= TCP_PATHS_SOURCE_MAX) {
		counters_inc(t->counters, COUNTER_tcp_refused);
		stream_close(s);
		return;
	}
	if (count(t, STRANGER) >= TCP_PATHS_STRANGERS_MAX)
		end_oldest_stranger(t);
	c = add(t, far);
	if (!c) {
		stream_close(s);
		return;
	}
	c->stream = s;
	stream_set_arg(s, c);
	set_state(c, STRANGER, clock_now_ms());
	counters_inc(t->counters, COUNTER_tcp_accepted);
}

/* One peer needs one connection; it may have begun several, and may not have any number. */
static void bound_peers(struct tcp_paths *t, uint64_t peer)
{
	struct connection *quietest = NULL;
	unsigned n = 0;

	for (struct connection *c = t->all; c; c = c->hh.next) {
		if (c->state != PEERS || c->peer != peer)
			continue;
		n++;
		if (!quietest || c->since_ms < quietest->since_ms)
			quietest = c;
	}
	if (n > TCP_PATHS_PER_PEER)
		end(quietest, -ECONNABORTED);
}

void tcp_paths_heard(struct tcp_paths *t, const struct endpoint *from, uint64_t peer, uint64_t now_ms)
{
	struct connection *c = find(t, from);

	if (!c || c->state == CONNECTING)
		return;
	if (c->state == PEERS && c->peer == peer) {
		c->since_ms = now_ms;
		return;
	}
	c->peer = peer;
	set_state(c, PEERS, now_ms);
	bound_peers(t, peer);
}

/* ---------------------------------------------------------------- sending */

static struct endpoint through(const struct tcp_paths *t, const struct endpoint *to)
{
	struct endpoint far = *to;

	if (!ip_is_link_local(&far.ip))
		far.scope = t->through;
	return far;
}

static int begin(struct tcp_paths *t, const struct endpoint *to, struct connection **out)
{
	struct stream_options options = { .timeout_ms = TCP_PATHS_CONNECT_MS,
					  .bind_interface = t->bind_interface,
					  .local_port = t->port };
	struct endpoint far;
	struct connection *c;
	int ret;

	if (count(t, CONNECTING) >= TCP_PATHS_CONNECTING_MAX)
		return -ENOBUFS;
	c = add(t, to);
	if (!c)
		return -ENOMEM;
	c->is_ours = true;
	far = through(t, to);
	ret = stream_connect(&c->stream, t->loop, &far, &options, &events, c);
	if (ret == -EADDRNOTAVAIL && options.local_port) {
		options.local_port = 0; /* one that ended a moment ago is in its way */
		ret = stream_connect(&c->stream, t->loop, &far, &options, &events, c);
	}
	if (ret < 0) {
		end_silently(c);
		return ret;
	}
	*out = c;
	return 0;
}

static int keep_pending(struct connection *c, const uint8_t *datagram, size_t len)
{
	if (len > sizeof(c->pending))
		return -ENOTCONN;
	memcpy(c->pending, datagram, len);
	c->pending_len = len;
	return 0;
}

static void send_batch(struct tcp_paths *t)
{
	struct connection *c = t->batch_for;

	t->batch_for = NULL;
	if (c && stream_send_frames(c->stream, t->batch, t->batch_len) < 0)
		counters_inc(t->counters, COUNTER_drop_send_error);
	t->batch_len = 0;
}

void tcp_paths_flush(struct tcp_paths *t)
{
	send_batch(t);
	bury(t);
}

static int batch(struct connection *c, const uint8_t *datagram, size_t len)
{
	struct tcp_paths *t = c->owner;
	size_t need = WIRE_FRAME_HEADER_BYTES + len;

	if (t->batch_for != c || t->batch_len + need > BATCH_BYTES)
		send_batch(t);
	t->batch_for = c;
	wire_frame_header(t->batch + t->batch_len, len);
	memcpy(t->batch + t->batch_len + WIRE_FRAME_HEADER_BYTES, datagram, len);
	t->batch_len += need;
	counters_inc(t->counters, COUNTER_tx_datagrams);
	counters_add(t->counters, COUNTER_tx_bytes, len);
	return 0;
}

int tcp_paths_send(struct tcp_paths *t, const struct endpoint *to, const uint8_t *datagram, size_t len,
		   enum tcp_paths_urgency urgency)
{
	struct connection *c = find(t, to);
	size_t most = urgency == TCP_PATHS_DATA ? TCP_PATHS_QUEUE_BYTES : 2 * TCP_PATHS_QUEUE_BYTES;

	if (len == 0 || len > WIRE_FRAME_MAX_BYTES)
		return -EMSGSIZE;
	if (!c) {
		int ret = urgency == TCP_PATHS_URGENT ? begin(t, to, &c) : -ENOTCONN;

		if (ret < 0)
			return ret;
	}
	if (c->state == CONNECTING)
		return urgency == TCP_PATHS_URGENT ? keep_pending(c, datagram, len) : -ENOTCONN;
	if (stream_queued(c->stream) > most)
		return -ENOBUFS;
	return batch(c, datagram, len);
}

void tcp_paths_drop(struct tcp_paths *t, const struct endpoint *to)
{
	struct connection *c = find(t, to);

	if (c)
		end_silently(c);
}

void tcp_paths_keep_one(struct tcp_paths *t, uint64_t peer, const struct endpoint *kept)
{
	struct connection *c, *tmp;

	HASH_ITER(hh, t->all, c, tmp) {
		if (c->state == PEERS && c->peer == peer && !endpoint_equal(&c->far, kept))
			end(c, -ECONNABORTED);
	}
}

/* ---------------------------------------------------------------- time and change */

void tcp_paths_tick(struct tcp_paths *t, uint64_t now_ms)
{
	struct connection *c, *tmp;

	if (now_ms < t->next_ms)
		return;
	t->next_ms = UINT64_MAX;
	HASH_ITER(hh, t->all, c, tmp) {
		if (now_ms < deadline_ms(c))
			t->next_ms = deadline_ms(c) < t->next_ms ? deadline_ms(c) : t->next_ms;
		else if (c->state == STRANGER)
			refuse(c);
		else
			end(c, -ETIMEDOUT);
	}
}

uint64_t tcp_paths_next_ms(const struct tcp_paths *t)
{
	return t->next_ms;
}

void tcp_paths_set_through(struct tcp_paths *t, int ifindex)
{
	t->through = (uint32_t)ifindex;
}

void tcp_paths_network_changed(struct tcp_paths *t)
{
	struct connection *c, *tmp;

	HASH_ITER(hh, t->all, c, tmp) {
		struct endpoint local, far = through(t, &c->far);
		struct ip now;

		if (c->state == CONNECTING)
			continue;
		if (stream_local(c->stream, &local) < 0 || udp_local_address(&far, &now) < 0 ||
		    !ip_equal(&local.ip, &now))
			end(c, -ENETDOWN);
	}
}

int tcp_paths_local(const struct tcp_paths *t, const struct endpoint *to, struct endpoint *out)
{
	const struct connection *c = find(t, to);

	return c && c->state != CONNECTING ? stream_local(c->stream, out) : -ENOTCONN;
}

/* ---------------------------------------------------------------- open and close */

int tcp_paths_new(struct tcp_paths **out, uv_loop_t *loop, const struct tcp_paths_env *env, void *arg,
		  struct counters *counters, const struct ip *address, const char *bind_interface)
{
	struct tcp_paths *t = malloc(sizeof(*t));

	if (!t)
		return -ENOMEM;
	memset(t, 0, offsetof(struct tcp_paths, batch));
	t->loop = loop;
	t->env = env;
	t->arg = arg;
	t->counters = counters;
	t->address = *address;
	t->next_ms = UINT64_MAX;
	snprintf(t->bind_interface, sizeof(t->bind_interface), "%s", bind_interface);
	*out = t;
	return 0;
}

int tcp_paths_listen(struct tcp_paths *t, uint16_t port)
{
	struct stream_listen_options options = { .address = t->address,
						 .port = port,
						 .bind_interface = t->bind_interface };
	struct stream_listener *alone;
	int ret = stream_listen(&alone, t->loop, &options, &events, on_accept, t);

	/* Not shared first, so that a port another program has is noticed. */
	stream_listener_close(ret == 0 ? alone : NULL);
	options.is_shared = true;
	if (ret == 0)
		ret = stream_listen(&t->listener, t->loop, &options, &events, on_accept, t);
	if (ret == 0)
		t->port = port;
	return ret;
}

uint16_t tcp_paths_port(const struct tcp_paths *t)
{
	return t->port;
}

void tcp_paths_free(struct tcp_paths *t)
{
	struct connection *c, *tmp;

	if (!t)
		return;
	tcp_paths_flush(t);
	HASH_ITER(hh, t->all, c, tmp) {
		stream_close(c->stream); /* with what was said last */
		c->stream = NULL;
		end_silently(c);
	}
	stream_listener_close(t->listener);
	bury(t);
	free(t);
}
