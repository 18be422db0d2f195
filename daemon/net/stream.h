/* daemon/net/stream.h - TCP connections that carry frames (wire/frame.h)
 *
 * Frames in, frames out; what is in them (handshake, sealed messages) is the caller's. Writes are queued up to a bound:
 * a slow receiver loses droppable frames, never memory. Everything happens on the loop; callbacks may close the stream.
 * A stream is freed by the loop after stream_close(), once the callback at hand has returned; on_closed is not called
 * for it then, and what is still queued is lost. A stream that ends by itself calls on_closed from the loop, never from
 * within a call of its owner's, and is gone when that returns.
 * Thread: the loop.  The program ignores SIGPIPE (libuv writes without MSG_NOSIGNAL). */
#ifndef DAEMON_NET_STREAM_H
#define DAEMON_NET_STREAM_H

#include <uv.h>

#include "daemon/base/addr.h"
#include "daemon/wire/frame.h"

/* Queued bytes above which a droppable frame is refused, and above which the connection is given up. */
#define STREAM_QUEUE_SOFT_BYTES ((size_t)256 * 1024)
#define STREAM_QUEUE_HARD_BYTES ((size_t)1024 * 1024)

struct stream;

struct stream_events {
	void (*on_connected)(void *arg, struct stream *s); /* outgoing only */
	/* With options.has_preface: what came before the first frame, whole each time. Returns how much of it is no frame; 0: more
	 * is needed, 16 KiB at least will be kept; negative errno: the stream ends with that. */
	int (*on_preface)(void *arg, struct stream *s, const uint8_t *data, size_t len);
	/* One frame's body; writable in place, valid until on_read, or during the call if that is NULL. */
	void (*on_frame)(void *arg, struct stream *s, uint8_t *body, size_t len);
	/* All whole frames of one read were told, if there were any; the stream may have been closed meanwhile. May be NULL. */
	void (*on_read)(void *arg, struct stream *s);
	/* The far end closed (UV_EOF), an error (negative errno), or a bad frame (-EBADMSG). The stream is closed by
	 * itself. */
	void (*on_closed)(void *arg, struct stream *s, int reason);
};

struct stream_options {
	uint64_t timeout_ms; /* bounds the connecting, and the preface */
	/* Who is connected to leads on to where frames are spoken, once he is told so (with stream_send_frames) and agrees. */
	bool has_preface;
	const char *bind_interface; /* NULL or "": none */
	/* 0: any. Other connections to other endpoints, and a listener that is_shared, may have it too; -EADDRINUSE: somebody else
	 * has it, -EADDRNOTAVAIL: there is, or was a second ago, such a connection to the endpoint. */
	uint16_t local_port;
};

/* Connects; -errno at once, or on_connected / on_closed later. TCP_NODELAY is on; keepalive finds a dead peer;
 * TCP_USER_TIMEOUT 15 s; little is left to the kernel to send, so that what is sent now is not behind seconds of it. */
int stream_connect(struct stream **out, uv_loop_t *loop, const struct endpoint *to,
		   const struct stream_options *options, const struct stream_events *events, void *arg);
void stream_close(struct stream *s); /* NULL and a closing stream are fine */
/* The same, without waiting for what is under way: another connection can be made from the same port at once. */
void stream_abort(struct stream *s);
/* Queues one frame (copied; 1..WIRE_FRAME_MAX_BYTES, else -EINVAL). -ENOBUFS: is_droppable and the queue is over the
 * soft bound; -EPIPE: closing. Over the hard bound the stream closes with on_closed(-ENOBUFS). */
int stream_send(struct stream *s, const void *body, size_t len, bool is_droppable);
/* The same, never droppable, of frames that the caller has put together, headers and all. */
int stream_send_frames(struct stream *s, const void *frames, size_t len);
/* Changes who gets the events (an accepted stream finds its owner after the handshake), and which functions do. */
void stream_set_arg(struct stream *s, void *arg);
void stream_set_events(struct stream *s, const struct stream_events *events, void *arg);
const struct endpoint *stream_peer(const struct stream *s);
int stream_local(const struct stream *s, struct endpoint *out); /* our end of it */
size_t stream_queued(const struct stream *s);

struct stream_listener;
typedef void stream_accept_fn(void *arg, struct stream *s);
struct stream_listen_options {
	struct ip address; /* none or "::": both families */
	uint16_t port;     /* 0: the kernel draws one */
	/* Connections may leave from the port as well. Whoever runs as the same user may listen there too: ask without first. */
	bool is_shared;
	const char *bind_interface; /* NULL or "": none */
};
/* Accepted streams start with `events` and `arg`, after `on_accept` was told. */
int stream_listen(struct stream_listener **out, uv_loop_t *loop, const struct stream_listen_options *options,
		  const struct stream_events *events, stream_accept_fn *on_accept, void *arg);
/* The same with a socket that somebody else bound; after an error it is closed. -EPROTOTYPE: not a listening TCP socket. */
int stream_listen_take(struct stream_listener **out, uv_loop_t *loop, int fd, const struct stream_events *events,
		       stream_accept_fn *on_accept, void *arg);
int stream_listener_port(const struct stream_listener *l); /* the bound port, or negative errno */
void stream_listener_close(struct stream_listener *l);     /* NULL is fine; accepted streams stay */

#endif
