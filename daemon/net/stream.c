#include "daemon/net/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A silent peer is found 25 s after its last byte: one probe at 20 s, given up at the next by TCP_USER_TIMEOUT. 20 s is
 * well under what any NAT keeps an established TCP flow for (RFC 5382: 2 h 4 min; cheap routers: 60 s and up). */
#define STREAM_KEEPALIVE_IDLE_S 20
#define STREAM_KEEPALIVE_INTERVAL_S 5
#define STREAM_KEEPALIVE_COUNT 3
#define STREAM_USER_TIMEOUT_MS 15000

/* What one segment holds, both ways: a path that drops both longer packets and the errors about them is one that a connection
 * hangs on, since Linux does not look for what passes (tcp_mtu_probing is 0). IPv4: what every host takes (RFC 9293 section
 * 3.7.1), at 600 bytes too; IPv6: what every link carries, less 40 for IPv6 and 20 for TCP (RFC 8200 section 5). */
#define STREAM_SEGMENT4_BYTES 536
#define STREAM_SEGMENT6_BYTES (1280 - 40 - 20)

/* In the kernel, not yet sent: more would only wait there. */
#define STREAM_UNSENT_BYTES (128 * 1024)

#define STREAM_BACKLOG 128
#define STREAM_FRAME_BYTES (WIRE_FRAME_HEADER_BYTES + WIRE_FRAME_MAX_BYTES)
/* Many frames a read; after each read less than one frame is left, so there is always room. Only touched pages count. */
#define STREAM_IN_BYTES (16 * STREAM_FRAME_BYTES)

struct stream {
	uv_tcp_t tcp;
	uv_timer_t timer; /* bounds the connecting, and the preface */
	uv_connect_t connect;
	unsigned n_open_handles;
	struct stream_events events;
	void *arg;
	struct endpoint peer;
	bool has_preface; /* still: no frame yet */
	bool is_closing;
	bool is_to_be_told; /* on_closed is due, with `reason` */
	int reason;
	size_t in_len;
	uint8_t in[STREAM_IN_BYTES];
};

struct stream_listener {
	uv_tcp_t tcp;
	struct stream_events events;
	stream_accept_fn *on_accept;
	void *arg;
};

struct stream_write {
	uv_write_t req;
	uint8_t bytes[];
};

/* ------------------------------------------------------------------ life */

static int fd_of(const uv_tcp_t *tcp)
{
	uv_os_fd_t fd;
	int ret = uv_fileno((const uv_handle_t *)tcp, &fd);

	return ret < 0 ? ret : fd;
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct stream *s = handle->data;

	if (--s->n_open_handles > 0)
		return;
	if (s->is_to_be_told)
		s->events.on_closed(s->arg, s, s->reason);
	free(s);
}

static void handles_close(struct stream *s)
{
	s->is_closing = true;
	uv_close((uv_handle_t *)&s->tcp, on_handle_closed);
	uv_close((uv_handle_t *)&s->timer, on_handle_closed);
}

/* The stream ends by itself. Its owner hears of it from the loop, never from within a call of his own. */
static void stream_end(struct stream *s, int reason)
{
	if (s->is_closing)
		return;
	s->is_to_be_told = true;
	s->reason = reason;
	handles_close(s);
}

void stream_close(struct stream *s)
{
	if (!s)
		return;
	s->is_to_be_told = false;
	if (!s->is_closing)
		handles_close(s);
}

void stream_abort(struct stream *s)
{
	const struct linger at_once = { .l_onoff = 1 };
	int fd = s && !s->is_closing ? fd_of(&s->tcp) : -1;

	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	stream_close(s);
}

/* `family` AF_UNSPEC: the socket comes later, by accept. */
static int stream_new(struct stream **out, uv_loop_t *loop, unsigned family, const struct stream_events *events,
		      void *arg)
{
	struct stream *s = malloc(sizeof(*s));
	int ret;

	if (!s)
		return -ENOMEM;
	memset(s, 0, offsetof(struct stream, in));
	ret = uv_tcp_init_ex(loop, &s->tcp, family);
	if (ret < 0) {
		free(s);
		return ret;
	}
	uv_timer_init(loop, &s->timer); /* cannot fail */
	s->tcp.data = s;
	s->timer.data = s;
	s->n_open_handles = 2;
	s->events = *events;
	s->arg = arg;
	*out = s;
	return 0;
}

static int set_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int bind_to_interface(int fd, const char *name)
{
	if (!name || !name[0])
		return 0;
	return setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)strlen(name)) < 0 ? -errno : 0;
}

/* SO_REUSEADDR alone would not do beside a listener. */
static int share_port(int fd)
{
	int ret = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);

	return ret < 0 ? ret : set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
}

static int bind_port(int fd, uint8_t ip_len, uint16_t port)
{
	const struct endpoint any = { .ip = { .len = ip_len }, .port = port };
	struct sockaddr_storage ss;
	socklen_t len;
	int ret;

	if (!port)
		return 0;
	ret = share_port(fd);
	if (ret < 0)
		return ret;
	len = endpoint_to_sockaddr(&any, false, &ss);
	return bind(fd, (struct sockaddr *)&ss, len) < 0 ? -errno : 0;
}

static int set_options(struct stream *s)
{
	int fd = fd_of(&s->tcp);

	if (fd < 0)
		return fd;
	/* None of these can fail on a TCP socket; without them it would work too, more slowly. */
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, STREAM_KEEPALIVE_IDLE_S);
	set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, STREAM_KEEPALIVE_INTERVAL_S);
	set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, STREAM_KEEPALIVE_COUNT);
	set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, STREAM_USER_TIMEOUT_MS);
	set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, STREAM_UNSENT_BYTES);
	return 0;
}

void stream_set_arg(struct stream *s, void *arg)
{
	s->arg = arg;
}

void stream_set_events(struct stream *s, const struct stream_events *new, void *arg)
{
	s->events = *new;
	s->arg = arg;
}

const struct endpoint *stream_peer(const struct stream *s)
{
	return &s->peer;
}

int stream_local(const struct stream *s, struct endpoint *out)
{
	struct sockaddr_storage ss;
	int len = sizeof(ss), ret = uv_tcp_getsockname(&s->tcp, (struct sockaddr *)&ss, &len);

	return ret < 0 ? ret : endpoint_from_sockaddr(out, (struct sockaddr *)&ss);
}

/* ------------------------------------------------------------------ receive */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct stream *s = handle->data;

	(void)suggested;
	*buf = uv_buf_init((char *)s->in + s->in_len, (unsigned)(sizeof(s->in) - s->in_len));
}

static void frames_take(struct stream *s)
{
	size_t at = 0;

	while (!s->is_closing) {
		const uint8_t *body;
		int len = wire_frame_peek(s->in + at, s->in_len - at, &body);

		if (len == 0)
			break;
		if (len < 0) {
			stream_end(s, -EBADMSG);
			break;
		}
		at += WIRE_FRAME_HEADER_BYTES + (size_t)len;
		s->events.on_frame(s->arg, s, s->in + (body - s->in), (size_t)len);
	}
	if (at > 0 && s->events.on_read)
		s->events.on_read(s->arg, s);
	s->in_len -= at;
	memmove(s->in, s->in + at, s->in_len);
}

/* True: frames begin at the start of `in`. */
static bool preface_take(struct stream *s)
{
	int n = s->events.on_preface(s->arg, s, s->in, s->in_len);

	if (n == 0 && s->in_len == sizeof(s->in))
		n = -EMSGSIZE;
	if (n < 0)
		stream_end(s, n);
	if (n <= 0 || s->is_closing)
		return false;
	uv_timer_stop(&s->timer);
	s->has_preface = false;
	s->in_len -= (size_t)n;
	memmove(s->in, s->in + n, s->in_len);
	return true;
}

static void on_read(uv_stream_t *tcp, ssize_t n, const uv_buf_t *buf)
{
	struct stream *s = tcp->data;

	(void)buf;
	if (s->is_closing || n == 0)
		return;
	if (n < 0) {
		stream_end(s, (int)n);
		return;
	}
	s->in_len += (size_t)n;
	if (!s->has_preface || preface_take(s))
		frames_take(s);
}

static void read_start(struct stream *s)
{
	int ret = uv_read_start((uv_stream_t *)&s->tcp, on_alloc, on_read);

	if (ret < 0)
		stream_end(s, ret);
}

/* ------------------------------------------------------------------ send */

static void on_written(uv_write_t *req, int status)
{
	struct stream *s = req->handle->data;

	free(req->data);
	if (status < 0)
		stream_end(s, status); /* at a close: closing already */
}

/* Queues what is left of header and body after the first `skip` bytes. */
static int write_queue(struct stream *s, const uv_buf_t part[static 2], size_t skip)
{
	size_t len = part[0].len + part[1].len;
	struct stream_write *w = malloc(sizeof(*w) + len);
	uv_buf_t buf;
	int ret;

	if (!w)
		return -ENOMEM;
	memcpy(w->bytes, part[0].base, part[0].len);
	memcpy(w->bytes + part[0].len, part[1].base, part[1].len);
	w->req.data = w;
	buf = uv_buf_init((char *)w->bytes + skip, (unsigned)(len - skip));
	ret = uv_write(&w->req, (uv_stream_t *)&s->tcp, &buf, 1, on_written);
	if (ret < 0)
		free(w);
	return ret;
}

static int send_parts(struct stream *s, const uv_buf_t part[static 2])
{
	size_t queued = stream_queued(s), len = part[0].len + part[1].len, n_written = 0;
	int ret;

	if (queued + len > STREAM_QUEUE_HARD_BYTES) {
		stream_end(s, -ENOBUFS);
		return -ENOBUFS;
	}
	ret = queued > 0 ? UV_EAGAIN : uv_try_write((uv_stream_t *)&s->tcp, part, 2);
	if (ret >= 0)
		n_written = (size_t)ret;
	else if (ret != UV_EAGAIN)
		goto broken;
	if (n_written == len)
		return 0;
	ret = write_queue(s, part, n_written);
	if (ret == -ENOMEM && n_written == 0)
		return ret; /* these frames are lost, the stream is whole */
	if (ret < 0)
		goto broken;
	return 0;
broken:
	stream_end(s, ret);
	return -EPIPE;
}

int stream_send(struct stream *s, const void *body, size_t len, bool is_droppable)
{
	uint8_t header[WIRE_FRAME_HEADER_BYTES];
	uv_buf_t part[2];

	if (len == 0 || len > WIRE_FRAME_MAX_BYTES)
		return -EINVAL;
	if (s->is_closing)
		return -EPIPE;
	if (is_droppable && stream_queued(s) > STREAM_QUEUE_SOFT_BYTES)
		return -ENOBUFS;
	wire_frame_header(header, len);
	part[0] = uv_buf_init((char *)header, sizeof(header));
	part[1] = uv_buf_init((char *)(uintptr_t)body, (unsigned)len); /* only read */
	return send_parts(s, part);
}

int stream_send_frames(struct stream *s, const void *frames, size_t len)
{
	char *bytes = (char *)(uintptr_t)frames; /* only read */
	const uv_buf_t part[2] = { uv_buf_init(bytes, (unsigned)len), uv_buf_init(bytes, 0) };

	return s->is_closing ? -EPIPE : send_parts(s, part);
}

size_t stream_queued(const struct stream *s)
{
	return s->is_closing ? 0 : uv_stream_get_write_queue_size((const uv_stream_t *)&s->tcp);
}

/* ------------------------------------------------------------------ connect */

static void on_timeout(uv_timer_t *timer)
{
	stream_end(timer->data, -ETIMEDOUT);
}

static void on_connect(uv_connect_t *req, int status)
{
	struct stream *s = req->handle->data;

	if (s->is_closing)
		return;
	if (!s->has_preface || status < 0)
		uv_timer_stop(&s->timer);
	if (status < 0) {
		stream_end(s, status);
		return;
	}
	s->events.on_connected(s->arg, s);
	if (!s->is_closing)
		read_start(s);
}

int stream_connect(struct stream **out, uv_loop_t *loop, const struct endpoint *to,
		   const struct stream_options *options, const struct stream_events *events, void *arg)
{
	struct sockaddr_storage ss;
	struct stream *s;
	int fd, ret;

	*out = NULL;
	if (ip_is_none(&to->ip))
		return -EINVAL;
	endpoint_to_sockaddr(to, false, &ss);
	ret = stream_new(&s, loop, ss.ss_family, events, arg);
	if (ret < 0)
		return ret;
	s->peer = *to;
	s->has_preface = options->has_preface;
	fd = fd_of(&s->tcp);
	ret = set_options(s);
	if (ret == 0)
		ret = set_option(fd, IPPROTO_TCP, TCP_MAXSEG,
				 to->ip.len == 4 ? STREAM_SEGMENT4_BYTES : STREAM_SEGMENT6_BYTES);
	if (ret == 0)
		ret = bind_to_interface(fd, options->bind_interface);
	if (ret == 0 && endpoint_through(to))
		ret = set_option(fd, SOL_SOCKET, SO_BINDTOIFINDEX, (int)to->scope);
	if (ret == 0)
		ret = bind_port(fd, to->ip.len, options->local_port);
	if (ret == 0)
		ret = uv_tcp_connect(&s->connect, &s->tcp, (struct sockaddr *)&ss, on_connect);
	if (ret < 0) {
		stream_close(s);
		return ret;
	}
	uv_update_time(loop); /* else the timeout would count from the start of this turn */
	uv_timer_start(&s->timer, on_timeout, options->timeout_ms, 0);
	*out = s;
	return 0;
}

/* ------------------------------------------------------------------ listen */

static void on_listener_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static int peer_read(struct stream *s)
{
	struct sockaddr_storage ss;
	int len = sizeof(ss), ret = uv_tcp_getpeername(&s->tcp, (struct sockaddr *)&ss, &len);

	return ret < 0 ? ret : endpoint_from_sockaddr(&s->peer, (struct sockaddr *)&ss);
}

static void on_connection(uv_stream_t *server, int status)
{
	struct stream_listener *l = server->data;
	struct stream *s;

	if (status < 0 || stream_new(&s, server->loop, AF_UNSPEC, &l->events, l->arg) < 0)
		return;
	/* The far end may have gone again; then nobody needs to know that it was here. */
	if (uv_accept(server, (uv_stream_t *)&s->tcp) < 0 || set_options(s) < 0 || peer_read(s) < 0) {
		stream_close(s);
		return;
	}
	l->on_accept(l->arg, s);
	if (!s->is_closing)
		read_start(s);
}

static int listener_new(struct stream_listener **out, uv_loop_t *loop, int family, const struct stream_listener *like)
{
	struct stream_listener *l = malloc(sizeof(*l));
	int ret;

	if (!l)
		return -ENOMEM;
	*l = *like;
	ret = uv_tcp_init_ex(loop, &l->tcp, (unsigned)family);
	if (ret < 0) {
		free(l);
		return ret;
	}
	l->tcp.data = l;
	*out = l;
	return 0;
}

/* Once it is bound, which ended with `ret`. */
static int listener_start(struct stream_listener **out, struct stream_listener *l, int ret)
{
	if (ret == 0)
		ret = uv_listen((uv_stream_t *)&l->tcp, STREAM_BACKLOG, on_connection);
	if (ret < 0)
		stream_listener_close(l);
	else
		*out = l;
	return ret;
}

static int listen_at(struct stream_listener **out, uv_loop_t *loop, const struct ip *address,
		     const struct stream_listen_options *options, const struct stream_listener *like)
{
	const struct endpoint ep = { .ip = *address, .port = options->port };
	struct stream_listener *l;
	struct sockaddr_storage ss;
	int fd, ret;

	endpoint_to_sockaddr(&ep, false, &ss);
	ret = listener_new(&l, loop, ss.ss_family, like);
	if (ret < 0)
		return ret;
	fd = fd_of(&l->tcp);
	ret = bind_to_interface(fd, options->bind_interface);
	if (ret == 0 && options->is_shared)
		ret = share_port(fd);
	if (ret == 0)
		ret = uv_tcp_bind(&l->tcp, (struct sockaddr *)&ss, 0); /* "::" takes IPv4 as well */
	return listener_start(out, l, ret);
}

int stream_listen(struct stream_listener **out, uv_loop_t *loop, const struct stream_listen_options *options,
		  const struct stream_events *events, stream_accept_fn *on_accept, void *arg)
{
	static const struct ip any4 = { .len = 4 }, any6 = { .len = 16 };
	const struct stream_listener like = { .events = *events, .on_accept = on_accept, .arg = arg };
	const struct ip *address = &options->address;
	bool is_both = ip_is_none(address) || (address->len == 16 && ip_is_unspecified(address));
	int ret;

	*out = NULL;
	ret = listen_at(out, loop, is_both ? &any6 : address, options, &like);
	if (is_both && (ret == -EAFNOSUPPORT || ret == -EADDRNOTAVAIL || ret == -EPROTONOSUPPORT)) /* no IPv6 here */
		ret = listen_at(out, loop, &any4, options, &like);
	return ret;
}

static bool has_option(int fd, int name, int wanted)
{
	int value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0 && value == wanted;
}

int stream_listen_take(struct stream_listener **out, uv_loop_t *loop, int fd, const struct stream_events *events,
		       stream_accept_fn *on_accept, void *arg)
{
	const struct stream_listener like = { .events = *events, .on_accept = on_accept, .arg = arg };
	bool is_good = has_option(fd, SO_PROTOCOL, IPPROTO_TCP) && has_option(fd, SO_ACCEPTCONN, 1);
	struct stream_listener *l;
	int ret = is_good ? listener_new(&l, loop, AF_UNSPEC, &like) : -EPROTOTYPE;

	*out = NULL;
	if (ret < 0) {
		close(fd);
		return ret;
	}
	ret = uv_tcp_open(&l->tcp, fd);
	if (ret < 0)
		close(fd);
	return listener_start(out, l, ret);
}

int stream_listener_port(const struct stream_listener *l)
{
	struct sockaddr_storage ss;
	struct endpoint ep = { 0 };
	int len = sizeof(ss), ret = uv_tcp_getsockname(&l->tcp, (struct sockaddr *)&ss, &len);

	if (ret == 0)
		ret = endpoint_from_sockaddr(&ep, (struct sockaddr *)&ss);
	return ret < 0 ? ret : ep.port;
}

void stream_listener_close(struct stream_listener *l)
{
	if (l && !uv_is_closing((uv_handle_t *)&l->tcp))
		uv_close((uv_handle_t *)&l->tcp, on_listener_closed);
}
