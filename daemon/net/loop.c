#include "daemon/net/loop.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* ------------------------------------------------------------------ timer */

/* A timerfd, not a uv_timer_t: that one counts CLOCK_MONOTONIC, which stands still in suspend, so an instant that
 * passed meanwhile would be late by the whole night; and it takes delays from a cached time, so it fires early or has
 * to be rounded. Armed with an absolute instant this one fires once, not before it, and asks for no other wake-up. */
struct loop_timer {
	uv_poll_t poll;
	int fd;
	loop_timer_fn *fn;
	void *arg;
	uint64_t at_ms; /* UINT64_MAX: not armed */
};

static void on_timer_closed(uv_handle_t *handle)
{
	struct loop_timer *t = handle->data;

	close(t->fd);
	free(t);
}

static void on_timer(uv_poll_t *poll, int status, int events)
{
	struct loop_timer *t = poll->data;
	uint64_t n_expired;

	(void)status;
	(void)events;
	/* Nothing to read: set anew since the loop saw it. */
	if (read(t->fd, &n_expired, sizeof(n_expired)) != (ssize_t)sizeof(n_expired))
		return;
	t->at_ms = UINT64_MAX;
	t->fn(t->arg);
}

int loop_timer_open(struct loop_timer **out, uv_loop_t *loop, loop_timer_fn *fn, void *arg)
{
	struct loop_timer *t = calloc(1, sizeof(*t));
	int ret;

	*out = NULL;
	if (!t)
		return -ENOMEM;
	t->fn = fn;
	t->arg = arg;
	t->at_ms = UINT64_MAX;
	t->fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (t->fd < 0) {
		ret = -errno;
		goto no_fd;
	}
	ret = uv_poll_init(loop, &t->poll, t->fd);
	if (ret < 0)
		goto no_poll;
	t->poll.data = t;
	ret = uv_poll_start(&t->poll, UV_READABLE, on_timer);
	if (ret < 0) {
		uv_close((uv_handle_t *)&t->poll, on_timer_closed);
		return ret;
	}
	*out = t;
	return 0;
no_poll:
	close(t->fd);
no_fd:
	free(t);
	return ret;
}

void loop_timer_set(struct loop_timer *t, uint64_t at_ms)
{
	struct itimerspec spec = { 0 };

	if (at_ms == t->at_ms)
		return;
	t->at_ms = at_ms;
	if (at_ms != UINT64_MAX) {
		spec.it_value.tv_sec =
			(time_t)(at_ms / 1000 < INT64_MAX / 1000000000 ? at_ms / 1000 : INT64_MAX / 1000000000);
		spec.it_value.tv_nsec = (long)(at_ms % 1000 * 1000000);
		if (at_ms == 0) /* all zero would disarm it */
			spec.it_value.tv_nsec = 1;
	}
	timerfd_settime(t->fd, TFD_TIMER_ABSTIME, &spec, NULL); /* cannot fail: the values are in range */
}

void loop_timer_close(struct loop_timer *t)
{
	if (t && !uv_is_closing((uv_handle_t *)&t->poll))
		uv_close((uv_handle_t *)&t->poll, on_timer_closed);
}

/* ------------------------------------------------------------------ readable descriptor */

struct loop_watch {
	uv_poll_t poll;
	int fd;
	loop_watch_fn *fn;
	void *arg;
};

static void on_watch_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct loop_watch *w = poll->data;

	(void)events;
	/* libuv stops at POLLERR, which for a socket is only an error to be read (ENETDOWN, ENOBUFS), after which it goes on.
	 * The owner of a descriptor that is broken for good sees that from its read, and closes the watch. */
	if (status < 0)
		uv_poll_start(&w->poll, UV_READABLE, on_readable);
	w->fn(w->arg, w->fd);
}

int loop_watch_open(struct loop_watch **out, uv_loop_t *loop, int fd, loop_watch_fn *fn, void *arg)
{
	struct loop_watch *w = calloc(1, sizeof(*w));
	int ret;

	*out = NULL;
	if (!w)
		return -ENOMEM;
	w->fd = fd;
	w->fn = fn;
	w->arg = arg;
	ret = uv_poll_init(loop, &w->poll, fd);
	if (ret < 0) {
		free(w);
		return ret;
	}
	w->poll.data = w;
	ret = uv_poll_start(&w->poll, UV_READABLE, on_readable);
	if (ret < 0) {
		uv_close((uv_handle_t *)&w->poll, on_watch_closed);
		return ret;
	}
	*out = w;
	return 0;
}

void loop_watch_close(struct loop_watch *w)
{
	if (w && !uv_is_closing((uv_handle_t *)&w->poll))
		uv_close((uv_handle_t *)&w->poll, on_watch_closed);
}

/* ------------------------------------------------------------------ resolver */

struct loop_resolve {
	union {
		uv_getaddrinfo_t info;
		uv_work_t work; /* of a numeric host */
	} req;
	loop_resolve_fn *fn; /* NULL: cancelled */
	void *arg;
	struct endpoint numeric;
};

static unsigned endpoints_from(struct endpoint *v, const struct addrinfo *list)
{
	unsigned n = 0;

	for (; list && n < LOOP_RESOLVE_MAX; list = list->ai_next) {
		bool is_known = false;

		if (endpoint_from_sockaddr(&v[n], list->ai_addr) < 0)
			continue;
		for (unsigned i = 0; i < n; i++)
			is_known |= endpoint_equal(&v[i], &v[n]);
		n += !is_known;
	}
	return n;
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
	struct loop_resolve *r = req->data;
	struct endpoint v[LOOP_RESOLVE_MAX];
	unsigned n = status == 0 ? endpoints_from(v, list) : 0;

	uv_freeaddrinfo(list);
	if (r->fn)
		r->fn(r->arg, v, n, n > 0 ? 0 : status < 0 ? status : UV_EAI_NODATA);
	free(r);
}

/* There is nothing to look up. libuv lets look-ups have half of its threads, so that one more, of a numeric host too, waits until an
 * earlier one is answered or, where no name server answers, for many seconds. Work of another kind does not wait for them. */
static void do_nothing(uv_work_t *work)
{
	(void)work;
}

static void on_numeric(uv_work_t *work, int status)
{
	struct loop_resolve *r = work->data;

	if (r->fn)
		r->fn(r->arg, &r->numeric, status == 0, status);
	free(r);
}

/* The resolver wants an IPv6 address without its brackets. */
static int host_bare(char *out, size_t capacity, const char *host)
{
	size_t len = strlen(host);

	if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
		host++;
		len -= 2;
	}
	if (len == 0 || len >= capacity)
		return -EINVAL;
	memcpy(out, host, len);
	out[len] = '\0';
	return 0;
}

int loop_resolve_start(struct loop_resolve **out, uv_loop_t *loop, const char *host, uint16_t port, loop_resolve_fn *fn,
		       void *arg)
{
	/* One socket type, else every address comes three times. */
	const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV };
	char bare[256], service[8];
	struct loop_resolve *r;
	int ret;

	*out = NULL;
	ret = host_bare(bare, sizeof(bare), host);
	if (ret < 0)
		return ret;
	snprintf(service, sizeof(service), "%" PRIu16, port);
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->fn = fn;
	r->arg = arg;
	r->numeric.port = port;
	if (ip_from_text(&r->numeric.ip, bare) == 0) {
		r->req.work.data = r;
		ret = uv_queue_work(loop, &r->req.work, do_nothing, on_numeric);
	} else {
		r->req.info.data = r;
		ret = uv_getaddrinfo(loop, &r->req.info, on_resolved, bare, service, &hints);
	}
	if (ret < 0) {
		free(r);
		return ret;
	}
	*out = r;
	return 0;
}

void loop_resolve_cancel(struct loop_resolve *r)
{
	if (!r)
		return;
	r->fn = NULL;
	uv_cancel((uv_req_t *)&r->req); /* refused while a thread is at it; then its answer goes nowhere */
}
