#include "daemon/data/dial.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/net/loop.h"

#define AGAIN_MAX 2 /* addresses that are tried from any port too */
#define WAYS_MAX (2 * LOOP_RESOLVE_MAX + AGAIN_MAX)

struct way {
	struct endpoint to;
	uint16_t local_port;
	uint64_t after_ms;     /* the one before it */
	struct stream *stream; /* NULL: not begun, or failed */
	bool is_connected;
};

struct dial {
	/* fixed at creation */
	const struct dial_env *env;
	void *arg;
	uv_loop_t *loop;
	/* of this call */
	struct dial_options options;
	struct loop_resolve *resolve;
	unsigned n_ways, n_begun;
	struct way ways[WAYS_MAX];
	uint64_t next_ms; /* UINT64_MAX: nothing to begin */
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
	d->next_ms = UINT64_MAX;
	return d;
}

void dial_cancel(struct dial *d)
{
	loop_resolve_cancel(d->resolve);
	d->resolve = NULL;
	for (unsigned i = 0; i < d->n_ways; i++)
		stream_abort(d->ways[i].stream);
	d->n_ways = d->n_begun = 0;
	d->next_ms = UINT64_MAX;
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

static void fail(struct dial *d)
{
	int reason = d->reason;

	dial_cancel(d);
	d->env->failed(d->arg, reason);
}

/* ---------------------------------------------------------------- ways */

static struct way *way_of(struct dial *d, const struct stream *s)
{
	for (unsigned i = 0; i < d->n_begun; i++)
		if (d->ways[i].stream == s)
			return &d->ways[i];
	return NULL;
}

static bool any_left(const struct dial *d)
{
	for (unsigned i = 0; i < d->n_begun; i++)
		if (d->ways[i].stream)
			return true;
	return d->resolve || d->n_begun < d->n_ways;
}

static void on_connected(void *arg, struct stream *s)
{
	struct dial *d = arg;
	struct way *way = way_of(d, s);
	bool is_first = !d->any_connected;

	way->is_connected = d->any_connected = true;
	if (d->word_len)
		stream_send(s, d->word, d->word_len, false);
	else if (is_first)
		d->env->connected(d->arg);
}

static void on_frame(void *arg, struct stream *s, uint8_t *body, size_t len)
{
	struct dial *d = arg;

	way_of(d, s)->stream = NULL; /* no more ours */
	dial_cancel(d);
	stream_set_events(s, &d->env->events, d->arg);
	d->env->answered(d->arg, s, body, len);
}

static void begin_next(struct dial *d);

static void on_closed(void *arg, struct stream *s, int reason)
{
	struct dial *d = arg;
	struct way *way = way_of(d, s);

	way->stream = NULL;
	if (way->is_connected || !d->any_connected)
		d->reason = reason;
	begin_next(d);
	if (!any_left(d))
		fail(d);
}

static const struct stream_events events = {
	.on_connected = on_connected,
	.on_frame = on_frame,
	.on_closed = on_closed,
};

static void begin_next(struct dial *d)
{
	d->next_ms = UINT64_MAX;
	while (d->n_begun < d->n_ways) {
		struct way *way = &d->ways[d->n_begun++];
		const struct stream_options options = { .timeout_ms = DIAL_CONNECT_MS,
							.bind_interface = d->options.bind_interface,
							.local_port = way->local_port };
		int ret = stream_connect(&way->stream, d->loop, &way->to, &options, &events, d);

		if (ret == 0) {
			if (d->n_begun < d->n_ways)
				d->next_ms = clock_now_ms() + d->ways[d->n_begun].after_ms;
			return;
		}
		way->stream = NULL;
		if (!d->any_connected)
			d->reason =
				ret; /* no route for this family, or the port is not free again: the next one at once */
	}
}

static void add_ways(struct dial *d, const struct endpoint *v, unsigned n, uint16_t port, uint16_t local_port)
{
	for (unsigned i = 0; i < n && d->n_ways < WAYS_MAX; i++) {
		struct way *way = &d->ways[d->n_ways++];

		*way = (struct way){ .to = v[i], .local_port = local_port, .after_ms = DIAL_STAGGER_MS };
		way->to.port = port;
	}
}

static void on_resolved(void *arg, const struct endpoint *v, unsigned n, int error)
{
	struct dial *d = arg;
	const struct dial_options *o = &d->options;

	d->resolve = NULL;
	if (n == 0)
		d->reason = error ? error : -ENOENT;
	else if (d->env->resolved)
		d->env->resolved(d->arg, v, n);
	add_ways(d, v, n, o->port, o->local_port);
	if (o->port != DIAL_OTHER_PORT)
		add_ways(d, v, n, DIAL_OTHER_PORT, o->local_port);
	if (o->local_port) {
		unsigned again = d->n_ways;

		add_ways(d, v, n < AGAIN_MAX ? n : AGAIN_MAX, o->port, 0);
		if (d->n_ways > again)
			d->ways[again].after_ms = DIAL_PATIENCE_MS;
	}
	begin_next(d);
	if (!any_left(d))
		fail(d);
}

/* ---------------------------------------------------------------- what the caller does */

int dial_start(struct dial *d, const struct dial_options *options)
{
	int ret;

	dial_cancel(d);
	d->options = *options;
	d->reason = -ENETUNREACH;
	ret = loop_resolve_start(&d->resolve, d->loop, options->host, options->port, on_resolved, d);
	if (ret < 0)
		d->resolve = NULL;
	return ret;
}

int dial_say(struct dial *d, const uint8_t *body, size_t len)
{
	int ret = -ENOTCONN;

	if (len > sizeof(d->word))
		return -EMSGSIZE;
	memcpy(d->word, body, len);
	d->word_len = len;
	for (unsigned i = 0; i < d->n_begun; i++)
		if (d->ways[i].stream && d->ways[i].is_connected &&
		    stream_send(d->ways[i].stream, body, len, false) == 0)
			ret = 0;
	return ret;
}

void dial_tick(struct dial *d, uint64_t now_ms)
{
	if (now_ms < d->next_ms)
		return;
	begin_next(d);
	if (!any_left(d))
		fail(d);
}

uint64_t dial_next_ms(const struct dial *d)
{
	return d->next_ms;
}
