#include "daemon/data/dial.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/net/loop.h"
#include "daemon/wire/http_connect.h"

#define AGAIN_MAX 2     /* addresses that are tried from any port too; and addresses of a proxy */
#define ELSEWHERE_MAX 2 /* addresses that are tried through each other uplink */
#define WAYS_MAX (2 * LOOP_RESOLVE_MAX + ELSEWHERE_MAX * UPLINKS_MAX + AGAIN_MAX)
/* Even if the proxy's name took long to resolve. */
#define PROXY_TIMEOUT_MIN_MS 1000

struct way {
	struct endpoint to; /* who is connected to: the coordinator, or the proxy */
	uint16_t port;      /* the coordinator's */
	uint16_t local_port;
	uint64_t after_ms;     /* the one before it */
	struct stream *stream; /* NULL: not begun, or failed */
	bool is_connected;     /* to the coordinator */
	/* of those through a proxy */
	bool is_reached;
	struct http_connect_answer answer; /* status 0: none yet */
};

/* Ways that are begun one after the other. */
struct track {
	struct dial *dial;
	bool is_proxied;
	struct loop_resolve *resolve;
	unsigned n_ways, n_begun;
	struct way ways[WAYS_MAX];
	uint64_t next_ms; /* UINT64_MAX: nothing to begin */
};

struct dial {
	/* fixed at creation */
	const struct dial_env *env;
	void *arg;
	uv_loop_t *loop;
	/* of this call */
	struct dial_options options;
	uint64_t started_ms;
	struct track direct, proxied;
	int reason;
	bool any_connected; /* reason is of one that was connected */
	size_t word_len;    /* 0: not said yet */
	uint8_t word[DIAL_WORD_MAX];
};

struct dial *dial_new(const struct dial_env *env, void *arg, uv_loop_t *loop)
{
	struct dial *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->env = env;
	d->arg = arg;
	d->loop = loop;
	d->direct.dial = d->proxied.dial = d;
	d->proxied.is_proxied = true;
	d->direct.next_ms = d->proxied.next_ms = UINT64_MAX;
	return d;
}

static void track_cancel(struct track *t)
{
	loop_resolve_cancel(t->resolve);
	t->resolve = NULL;
	for (unsigned i = 0; i < t->n_ways; i++)
		stream_abort(t->ways[i].stream);
	t->n_ways = t->n_begun = 0;
	t->next_ms = UINT64_MAX;
}

void dial_cancel(struct dial *d)
{
	track_cancel(&d->direct);
	track_cancel(&d->proxied);
	d->any_connected = false;
	d->word_len = 0;
}

void dial_free(struct dial *d)
{
	if (!d)
		return;
	dial_cancel(d);
	free(d);
}

/* ---------------------------------------------------------------- ways */

static struct way *way_in(struct track *t, const struct stream *s)
{
	for (unsigned i = 0; i < t->n_begun; i++)
		if (t->ways[i].stream == s)
			return &t->ways[i];
	return NULL;
}

static struct track *track_of(struct dial *d, const struct stream *s)
{
	return way_in(&d->direct, s) ? &d->direct : &d->proxied;
}

static bool any_left(const struct track *t)
{
	for (unsigned i = 0; i < t->n_begun; i++)
		if (t->ways[i].stream)
			return true;
	return t->resolve || t->n_begun < t->n_ways;
}

static void begin_next(struct track *t);

/* After ways were begun, failed, or turned out to be none. */
static void go_on(struct dial *d)
{
	bool has_direct = any_left(&d->direct);
	int reason = d->reason;

	if (!has_direct && d->proxied.n_begun == 0)
		begin_next(&d->proxied);
	if (has_direct || any_left(&d->proxied)) {
		d->env->due(d->arg);
		return;
	}
	dial_cancel(d);
	d->env->failed(d->arg, reason);
}

/* The way leads to the coordinator. */
static void way_connected(struct dial *d, struct way *way)
{
	bool is_first = !d->any_connected;

	way->is_connected = d->any_connected = true;
	if (d->word_len)
		stream_send(way->stream, d->word, d->word_len, false);
	else if (is_first)
		d->env->connected(d->arg);
}

static void ask_proxy(struct dial *d, struct way *way)
{
	uint8_t request[HTTP_CONNECT_REQUEST_MAX_BYTES];
	int len = http_connect_request_encode(request, sizeof(request), d->options.host, way->port,
					      d->options.proxy->login.base64);

	way->is_reached = true;
	if (len > 0)
		stream_send_frames(way->stream, request, (size_t)len);
	sodium_memzero(request, sizeof(request));
}

static void on_connected(void *arg, struct stream *s)
{
	struct dial *d = arg;
	struct track *t = track_of(d, s);

	if (t->is_proxied)
		ask_proxy(d, way_in(t, s));
	else
		way_connected(d, way_in(t, s));
}

static int on_preface(void *arg, struct stream *s, const uint8_t *data, size_t len)
{
	struct dial *d = arg;
	struct way *way = way_in(&d->proxied, s);
	int n = http_connect_answer_decode(&way->answer, data, len);

	if (n <= 0)
		return n;
	if (!http_connect_is_granted(&way->answer))
		return -ECONNREFUSED;
	way_connected(d, way);
	return n;
}

static void on_frame(void *arg, struct stream *s, uint8_t *body, size_t len)
{
	struct dial *d = arg;
	struct track *t = track_of(d, s);
	bool is_proxied = t->is_proxied;

	way_in(t, s)->stream = NULL; /* no more ours */
	dial_cancel(d);
	stream_set_events(s, &d->env->events, d->arg);
	d->env->answered(d->arg, s, is_proxied, body, len);
}

static void refused(struct dial *d, const struct way *way, int reason)
{
	const struct dial_refusal r = { .port = way->port,
					.is_reached = way->is_reached,
					.status = way->answer.status,
					.offers_basic = way->answer.offers_basic,
					.reason = reason };

	if (d->env->refused)
		d->env->refused(d->arg, &r);
}

static void way_failed(struct track *t, struct way *way, int reason)
{
	struct dial *d = t->dial;

	way->stream = NULL;
	if (t->is_proxied && !way->is_connected)
		refused(d, way, reason);
	else if (way->is_connected || !d->any_connected)
		d->reason = reason;
}

static void on_closed(void *arg, struct stream *s, int reason)
{
	struct dial *d = arg;
	struct track *t = track_of(d, s);

	way_failed(t, way_in(t, s), reason);
	begin_next(t);
	go_on(d);
}

static const struct stream_events events = {
	.on_connected = on_connected,
	.on_preface = on_preface,
	.on_frame = on_frame,
	.on_closed = on_closed,
};

static uint64_t timeout_ms(const struct track *t, uint64_t now_ms)
{
	uint64_t left_ms = t->dial->started_ms + DIAL_CONNECT_MS;

	if (!t->is_proxied)
		return DIAL_CONNECT_MS;
	return left_ms > now_ms + PROXY_TIMEOUT_MIN_MS ? left_ms - now_ms : PROXY_TIMEOUT_MIN_MS;
}

static void begin_next(struct track *t)
{
	struct dial *d = t->dial;
	uint64_t now_ms = clock_now_ms();

	t->next_ms = UINT64_MAX;
	while (t->n_begun < t->n_ways) {
		struct way *way = &t->ways[t->n_begun++];
		const struct stream_options options = { .timeout_ms = timeout_ms(t, now_ms),
							.has_preface = t->is_proxied,
							.bind_interface = d->options.bind_interface,
							.local_port = way->local_port };
		int ret = stream_connect(&way->stream, d->loop, &way->to, &options, &events, d);

		if (ret == 0) {
			if (t->n_begun < t->n_ways)
				t->next_ms = now_ms + t->ways[t->n_begun].after_ms;
			return;
		}
		way_failed(t, way,
			   ret); /* no route for this family, or the port is not free again: the next one at once */
	}
}

static void add_ways(struct track *t, const struct endpoint *v, unsigned n, uint16_t port, uint16_t local_port,
		     const struct uplink *through)
{
	for (unsigned i = 0; i < n && t->n_ways < WAYS_MAX; i++) {
		struct way *way = &t->ways[t->n_ways++];

		*way = (struct way){ .to = v[i], .port = port, .local_port = local_port, .after_ms = DIAL_STAGGER_MS };
		if (!t->is_proxied)
			way->to.port = port;
		if (through && through->ifindex && !ip_is_link_local(&way->to.ip))
			way->to.scope = (uint32_t)through->ifindex;
	}
}

static void add_both_ports(struct track *t, const struct endpoint *v, unsigned n, uint16_t local_port)
{
	const struct dial_options *o = &t->dial->options;
	/* A proxy is of the network that the host's routes are made for. */
	const struct uplink *via = o->uplinks && !t->is_proxied ? &o->uplinks->via : NULL;

	add_ways(t, v, n, o->port, local_port, via);
	if (o->port != DIAL_OTHER_PORT)
		add_ways(t, v, n, DIAL_OTHER_PORT, local_port, via);
}

static void on_resolved(void *arg, const struct endpoint *v, unsigned n, int error)
{
	struct dial *d = arg;
	struct track *t = &d->direct;
	const struct dial_options *o = &d->options;
	const struct uplinks *u = o->uplinks;

	t->resolve = NULL;
	if (n == 0)
		d->reason = error ? error : -ENOENT;
	else if (d->env->resolved)
		d->env->resolved(d->arg, v, n);
	add_both_ports(t, v, n, o->local_port);
	for (unsigned i = 0; u && i < u->n; i++)
		add_ways(t, v, n < ELSEWHERE_MAX ? n : ELSEWHERE_MAX, o->port, o->local_port, &u->v[i]);
	if (o->local_port) {
		unsigned again = t->n_ways;

		add_ways(t, v, n < AGAIN_MAX ? n : AGAIN_MAX, o->port, 0, u ? &u->via : NULL);
		if (t->n_ways > again)
			t->ways[again].after_ms = DIAL_PATIENCE_MS;
	}
	begin_next(t);
	go_on(d);
}

static void on_proxy_resolved(void *arg, const struct endpoint *v, unsigned n, int error)
{
	const struct way none = { 0 };
	struct dial *d = arg;
	struct track *t = &d->proxied;

	t->resolve = NULL;
	if (n == 0)
		refused(d, &none, error ? error : -ENOENT);
	add_both_ports(t, v, n < AGAIN_MAX ? n : AGAIN_MAX, 0);
	if (n > 0)
		t->next_ms = d->started_ms + DIAL_PROXY_AFTER_MS;
	go_on(d);
}

/* ---------------------------------------------------------------- what the caller does */

static void resolve_proxy(struct dial *d)
{
	const struct config_endpoint *at = d->options.proxy ? &d->options.proxy->at : NULL;
	struct track *t = &d->proxied;

	if (!at || !at->port)
		return;
	if (loop_resolve_start(&t->resolve, d->loop, at->host, at->port, on_proxy_resolved, d) < 0)
		t->resolve = NULL;
}

int dial_start(struct dial *d, const struct dial_options *options)
{
	int ret;

	dial_cancel(d);
	d->options = *options;
	d->started_ms = clock_now_ms();
	d->reason = -ENETUNREACH;
	resolve_proxy(d); /* first: where no name of the outside resolves, the other one may take long */
	ret = loop_resolve_start(&d->direct.resolve, d->loop, options->host, options->port, on_resolved, d);
	if (ret < 0) {
		d->direct.resolve = NULL;
		dial_cancel(d);
	}
	return ret;
}

int dial_say(struct dial *d, const uint8_t *body, size_t len)
{
	struct track *tracks[] = { &d->direct, &d->proxied };
	int ret = -ENOTCONN;

	if (len > sizeof(d->word))
		return -EMSGSIZE;
	memcpy(d->word, body, len);
	d->word_len = len;
	for (unsigned k = 0; k < 2; k++)
		for (unsigned i = 0; i < tracks[k]->n_begun; i++) {
			struct way *way = &tracks[k]->ways[i];

			if (way->stream && way->is_connected && stream_send(way->stream, body, len, false) == 0)
				ret = 0;
		}
	return ret;
}

void dial_tick(struct dial *d, uint64_t now_ms)
{
	bool is_due = now_ms >= dial_next_ms(d);

	if (now_ms >= d->direct.next_ms)
		begin_next(&d->direct);
	if (now_ms >= d->proxied.next_ms)
		begin_next(&d->proxied);
	if (is_due)
		go_on(d);
}

uint64_t dial_next_ms(const struct dial *d)
{
	return d->direct.next_ms < d->proxied.next_ms ? d->direct.next_ms : d->proxied.next_ms;
}
