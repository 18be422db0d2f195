#include "daemon/control/server.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/control/local_socket.h"
#include "daemon/control/request.h"

#define CONTROL_CLIENTS_MAX 16
/* For a whole request to arrive after the last answer, and for an answer to be taken off our hands. */
#define CONTROL_IDLE_MS 5000

/* A client is in one of these states; its timer runs in all but CLIENT_ANSWERING.
 *   CLIENT_READING    collects a line; a whole one starts its handler
 *   CLIENT_ANSWERING  the handler has the request, nothing is read
 *   CLIENT_WRITING    the answer is on its way; then the rest of what was read is looked at
 *   CLIENT_CLOSING    until libuv lets go of both handles */
enum client_state {
	CLIENT_READING,
	CLIENT_ANSWERING,
	CLIENT_WRITING,
	CLIENT_CLOSING
};

struct client {
	struct control_server *server;
	struct client *next, **link; /* in server->clients */
	enum client_state state;
	bool may_write, is_at_end; /* at end: it sends no more, and is closed after the answer */
	unsigned n_open_handles;
	struct control_request *request; /* of CLIENT_ANSWERING */
	uv_pipe_t pipe;
	uv_timer_t timer;
	uv_write_t write;
	char *answer; /* of CLIENT_WRITING */
	size_t len;
	char line[CONTROL_REQUEST_MAX_BYTES];
};

struct control_server {
	uv_loop_t *loop;
	const struct control_command *commands;
	void *arg;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	unsigned n_refs; /* the listening handle and every client */
	unsigned n_clients;
	bool is_closed;
	struct client *clients;
	uv_pipe_t listener;
};

struct control_request {
	struct client *client; /* NULL once it is gone */
};

static void server_unref(struct control_server *s)
{
	if (--s->n_refs == 0)
		free(s);
}

/* ---------------------------------------------------------------- one client */

static void on_client_closed(uv_handle_t *handle)
{
	struct client *c = handle->data;

	if (--c->n_open_handles > 0)
		return;
	server_unref(c->server);
	free(c->answer);
	free(c);
}

static void client_close(struct client *c)
{
	if (c->state == CLIENT_CLOSING)
		return;
	c->state = CLIENT_CLOSING;
	if (c->request)
		c->request->client = NULL;
	c->request = NULL;
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	c->server->n_clients--;
	uv_close((uv_handle_t *)&c->pipe, on_client_closed);
	uv_close((uv_handle_t *)&c->timer, on_client_closed);
}

static void on_idle(uv_timer_t *timer)
{
	client_close(timer->data);
}

static void client_look(struct client *c);

static void on_written(uv_write_t *write, int status)
{
	struct client *c = write->data;

	if (c->state == CLIENT_CLOSING)
		return;
	free(c->answer);
	c->answer = NULL;
	if (status < 0) {
		client_close(c);
		return;
	}
	c->state = CLIENT_READING;
	uv_timer_start(&c->timer, on_idle, CONTROL_IDLE_MS, 0);
	client_look(c);
}

/* Takes the document's reference. */
static void client_answer_take(struct client *c, json_t *document)
{
	char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
	size_t len = text ? strlen(text) : 0;
	uv_buf_t buf;

	json_decref(document);
	if (!text) { /* out of memory, or a document that is none: there is nothing to say it with */
		client_close(c);
		return;
	}
	text[len] = '\n'; /* in the NUL's place: libuv is told the length */
	c->state = CLIENT_WRITING;
	c->answer = text;
	buf = uv_buf_init(text, (unsigned)len + 1);
	c->write.data = c;
	uv_timer_start(&c->timer, on_idle, CONTROL_IDLE_MS, 0);
	if (uv_write(&c->write, (uv_stream_t *)&c->pipe, &buf, 1, on_written) < 0)
		client_close(c);
}

static void client_run(struct client *c, const char *line, size_t len)
{
	struct control_request *req = calloc(1, sizeof(*req));
	const struct control_command *command;
	char error[CONTROL_ERROR_BYTES];
	enum exit_code code;
	json_t *args = NULL;

	if (!req) {
		client_close(c);
		return;
	}
	code = control_request_parse(line, len, c->server->commands, c->may_write, &command, &args, error);
	if (code != EXIT_YES) {
		free(req);
		client_answer_take(c, control_error_document(code, error));
		return;
	}
	req->client = c;
	c->request = req;
	c->state = CLIENT_ANSWERING;
	uv_timer_stop(&c->timer);
	command->handler(c->server->arg, req, args);
	json_decref(args);
}

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *buf)
{
	struct client *c = handle->data;

	(void)hint;
	*buf = uv_buf_init(c->line + c->len, (unsigned)(sizeof(c->line) - c->len));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct client *c = stream->data;

	(void)buf;
	if (n == UV_EOF)
		c->is_at_end = true;
	else if (n < 0) {
		client_close(c);
		return;
	} else {
		c->len += (size_t)n;
	}
	if (c->state == CLIENT_READING)
		client_look(c);
}

/* Starts the first whole line of what was read, or waits for more. */
static void client_look(struct client *c)
{
	char *end = memchr(c->line, '\n', c->len), *line;
	size_t len;

	if (!end && c->len == sizeof(c->line)) {
		uv_read_stop((uv_stream_t *)&c->pipe);
		c->is_at_end = true;
		c->len = 0;
		client_answer_take(c, control_error_document(EXIT_BAD_USAGE, "the request is longer than 64 KiB"));
		return;
	}
	if (!end && c->is_at_end) {
		client_close(c);
		return;
	}
	if (!end) {
		int ret = uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read);

		if (ret < 0 && ret != UV_EALREADY)
			client_close(c);
		return;
	}
	/* One at a time: what else it sends waits in the kernel, and then the client does. */
	uv_read_stop((uv_stream_t *)&c->pipe);
	len = (size_t)(end - c->line);
	line = malloc(len + 1);
	if (!line) {
		client_close(c);
		return;
	}
	memcpy(line, c->line, len);
	c->len -= len + 1;
	memmove(c->line, end + 1, c->len);
	client_run(c, line, len); /* may close c */
	free(line);
}

/* ---------------------------------------------------------------- answers of handlers */

void control_reply_take(struct control_request *req, json_t *document)
{
	struct client *c = req->client;

	free(req);
	if (!c) {
		json_decref(document);
		return;
	}
	c->request = NULL;
	client_answer_take(c, document);
}

void control_fail(struct control_request *req, enum exit_code code, const char *fmt, ...)
{
	char message[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	control_reply_take(req, control_error_document(code, message));
}

/* ---------------------------------------------------------------- the listening socket */

static bool peer_may_write(uv_pipe_t *pipe)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	uv_os_fd_t fd;

	if (uv_fileno((uv_handle_t *)pipe, &fd) < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return false;
	return cred.uid == 0 || cred.uid == geteuid();
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct control_server *s = listener->data;
	struct client *c;

	if (status < 0)
		return;
	c = calloc(1, sizeof(*c));
	if (!c)
		return; /* it stays in the backlog until libuv tries again */
	c->server = s;
	s->n_refs++;
	c->pipe.data = c->timer.data = c;
	c->n_open_handles = 2;
	uv_pipe_init(s->loop, &c->pipe, 0);
	uv_timer_init(s->loop, &c->timer);
	c->link = &s->clients;
	c->next = s->clients;
	if (c->next)
		c->next->link = &c->next;
	s->clients = c;
	s->n_clients++;
	if (uv_accept(listener, (uv_stream_t *)&c->pipe) < 0) {
		client_close(c);
		return;
	}
	c->may_write = peer_may_write(&c->pipe);
	if (s->n_clients > CONTROL_CLIENTS_MAX) {
		c->is_at_end = true;
		client_answer_take(c, control_error_document(EXIT_NO_DAEMON, "too many clients, try again"));
		return;
	}
	uv_timer_start(&c->timer, on_idle, CONTROL_IDLE_MS, 0);
	client_look(c);
}

static void on_listener_closed(uv_handle_t *handle)
{
	server_unref(handle->data);
}

int control_server_open(struct control_server **out, uv_loop_t *loop, const char *path,
			const struct control_command *commands, void *arg)
{
	struct control_server *s = calloc(1, sizeof(*s));
	int fd, ret;

	if (!s)
		return -ENOMEM;
	fd = local_socket_bind(path);
	if (fd < 0) {
		free(s);
		return fd;
	}
	signal(SIGPIPE, SIG_IGN);
	s->loop = loop;
	s->commands = commands;
	s->arg = arg;
	s->n_refs = 1;
	memcpy(s->path, path, strlen(path) + 1); /* local_socket_bind() saw that it fits */
	s->listener.data = s;
	uv_pipe_init(loop, &s->listener, 0);
	ret = uv_pipe_open(&s->listener, fd);
	if (ret < 0)
		close(fd);
	else
		ret = uv_listen((uv_stream_t *)&s->listener, CONTROL_CLIENTS_MAX, on_connection);
	if (ret < 0) {
		control_server_close(s);
		return ret;
	}
	*out = s;
	return 0;
}

void control_server_close(struct control_server *s)
{
	if (!s || s->is_closed)
		return;
	s->is_closed = true;
	unlink(s->path);
	while (s->clients)
		client_close(s->clients);
	uv_close((uv_handle_t *)&s->listener, on_listener_closed);
}
