#include "daemon/control/metrics_server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/control/http_request.h"
#include "daemon/control/local_socket.h"

#define CONNECTIONS_MAX 32
#define CONNECTION_MS 5000 /* from its begin to its end */
#define ANSWER_HEAD_BYTES 256

union stream {
	uv_stream_t stream;
	uv_pipe_t pipe;
	uv_tcp_t tcp;
};

struct connection {
	struct metrics_server *server;
	struct connection *next, **link; /* in server->connections */
	unsigned n_open_handles;
	bool is_closing;
	union stream stream;
	uv_timer_t timer;
	uv_write_t write;
	char head[ANSWER_HEAD_BYTES], *body;
	size_t len;
	char data[HTTP_HEAD_MAX_BYTES];
};

struct metrics_server {
	uv_loop_t *loop;
	metrics_write_fn *fn;
	void *arg;
	char path[sizeof(((struct config_metrics_listen *)0)->path)]; /* "": TCP */
	unsigned n_refs, n_connections;                               /* the listener and every connection */
	bool is_closed;
	struct connection *connections;
	union stream listener;
};

static void server_unref(struct metrics_server *s)
{
	if (--s->n_refs == 0)
		free(s);
}

/* ---------------------------------------------------------------- one connection */

static void on_connection_closed(uv_handle_t *handle)
{
	struct connection *c = handle->data;

	if (--c->n_open_handles > 0)
		return;
	server_unref(c->server);
	free(c->body);
	free(c);
}

static void connection_close(struct connection *c)
{
	if (c->is_closing)
		return;
	c->is_closing = true;
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	c->server->n_connections--;
	uv_close((uv_handle_t *)&c->stream, on_connection_closed);
	uv_close((uv_handle_t *)&c->timer, on_connection_closed);
}

static void on_timeout(uv_timer_t *timer)
{
	connection_close(timer->data);
}

static void on_written(uv_write_t *write, int status)
{
	(void)status;
	connection_close(write->data);
}

/* `body` is freed with the connection. */
static void answer_take(struct connection *c, int status, const char *type, char *body, bool is_head)
{
	size_t len = body ? strlen(body) : 0;
	uv_buf_t bufs[2];
	int n = snprintf(c->head, sizeof(c->head),
			 "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s"
			 "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
			 status, http_reason(status), type, len, status == 405 ? "Allow: GET, HEAD\r\n" : "");

	c->body = body;
	c->write.data = c;
	bufs[0] = uv_buf_init(c->head, (unsigned)n);
	bufs[1] = uv_buf_init(body, (unsigned)len);
	uv_read_stop(&c->stream.stream);
	if (uv_write(&c->write, &c->stream.stream, bufs, is_head || !len ? 1 : 2, on_written) < 0)
		connection_close(c);
}

static void answer(struct connection *c, const struct http_request *request)
{
	enum metrics_format format = request->wants_open_metrics ? METRICS_OPEN : METRICS_TEXT;
	char *text;

	if (strcmp(request->path, "/metrics") != 0) {
		answer_take(c, 404, "text/plain", strdup("there is /metrics\n"), request->is_head);
		return;
	}
	text = c->server->fn(c->server->arg, format);
	if (text)
		answer_take(c, 200, format == METRICS_OPEN ? METRICS_TYPE_OPEN : METRICS_TYPE_TEXT, text,
			    request->is_head);
	else
		answer_take(c, 500, "text/plain", NULL, false);
}

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *buf)
{
	struct connection *c = handle->data;

	(void)hint;
	*buf = uv_buf_init(c->data + c->len, (unsigned)(sizeof(c->data) - c->len));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct connection *c = stream->data;
	struct http_request request;
	int status;

	(void)buf;
	if (n < 0) {
		connection_close(c);
		return;
	}
	c->len += (size_t)n;
	status = http_request_parse(&request, c->data, c->len, c->server->path[0] == '\0');
	if (status == 200)
		answer(c, &request);
	else if (status)
		answer_take(c, status, "text/plain", NULL, false);
}

/* ---------------------------------------------------------------- the listener */

static void stream_init(uv_loop_t *loop, union stream *stream, bool is_tcp)
{
	if (is_tcp)
		uv_tcp_init(loop, &stream->tcp);
	else
		uv_pipe_init(loop, &stream->pipe, 0);
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct metrics_server *s = listener->data;
	struct connection *c = status < 0 ? NULL : calloc(1, sizeof(*c));

	if (!c)
		return; /* it stays in the backlog until libuv tries again */
	c->server = s;
	s->n_refs++;
	stream_init(s->loop, &c->stream, s->path[0] == '\0');
	uv_timer_init(s->loop, &c->timer);
	c->stream.stream.data = c->timer.data = c;
	c->n_open_handles = 2;
	c->link = &s->connections;
	c->next = s->connections;
	if (c->next)
		c->next->link = &c->next;
	s->connections = c;
	s->n_connections++;
	if (uv_accept(listener, &c->stream.stream) < 0 || s->n_connections > CONNECTIONS_MAX ||
	    uv_timer_start(&c->timer, on_timeout, CONNECTION_MS, 0) < 0 ||
	    uv_read_start(&c->stream.stream, on_alloc, on_read) < 0)
		connection_close(c);
}

static int bind_listener(struct metrics_server *s, const struct config_metrics_listen *at)
{
	struct sockaddr_storage to;
	int fd, ret;

	stream_init(s->loop, &s->listener, s->path[0] == '\0');
	if (s->path[0] == '\0') {
		endpoint_to_sockaddr(&at->address, false, &to);
		return uv_tcp_bind(&s->listener.tcp, (const struct sockaddr *)&to, 0);
	}
	fd = local_socket_bind(s->path);
	if (fd < 0) {
		s->path[0] = '\0'; /* not ours to remove */
		return fd;
	}
	ret = uv_pipe_open(&s->listener.pipe, fd);
	if (ret < 0)
		close(fd);
	return ret;
}

static void on_listener_closed(uv_handle_t *handle)
{
	server_unref(handle->data);
}

int metrics_server_open(struct metrics_server **out, uv_loop_t *loop, const struct config_metrics_listen *at,
			metrics_write_fn *fn, void *arg)
{
	struct metrics_server *s = calloc(1, sizeof(*s));
	int ret;

	if (!s)
		return -ENOMEM;
	s->loop = loop;
	s->fn = fn;
	s->arg = arg;
	s->n_refs = 1;
	memcpy(s->path, at->path, sizeof(s->path));
	ret = bind_listener(s, at);
	s->listener.stream.data = s;
	if (ret == 0)
		ret = uv_listen(&s->listener.stream, CONNECTIONS_MAX, on_connection);
	if (ret < 0) {
		metrics_server_close(s);
		return ret;
	}
	*out = s;
	return 0;
}

void metrics_server_close(struct metrics_server *s)
{
	if (!s || s->is_closed)
		return;
	s->is_closed = true;
	if (s->path[0])
		unlink(s->path);
	while (s->connections)
		connection_close(s->connections);
	uv_close((uv_handle_t *)&s->listener, on_listener_closed);
}
