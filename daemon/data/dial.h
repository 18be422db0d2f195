/* daemon/data/dial.h - a connection to a coordinator, by whichever way answers first
 *
 * The ways: each address of its name with its port, each with 443, both from our own TCP port; then, DIAL_PATIENCE_MS later, once more
 * from any port, for whatever stands between may remember another connection of ours. They are begun DIAL_STAGGER_MS apart, and
 * at once when the one before has failed.
 * That a connection is accepted says little: portals and firewalls accept them all. So what we say first goes over every one that
 * is made, and the one it is answered over is it. (The first word is a handshake's initiation, which may be heard twice.)
 * Thread: loop. */
#ifndef DAEMON_DATA_DIAL_H
#define DAEMON_DATA_DIAL_H

#include "daemon/net/stream.h"

/* A round trip across a continent, so that the next way is rarely begun in vain. */
#define DIAL_STAGGER_MS 300
/* A SYN that was lost is repeated after 1 s (RFC 6298). */
#define DIAL_PATIENCE_MS 1200
#define DIAL_CONNECT_MS 4500 /* under the registrar's 5 s for a step */
#define DIAL_OTHER_PORT 443

struct dial;

struct dial_env {
	/* What the name resolved to. May be NULL. */
	void (*resolved)(void *arg, const struct endpoint *v, unsigned n);
	/* The first connection is made: the caller says its first word with dial_say. */
	void (*connected)(void *arg);
	/* One frame came over `s`, which is the caller's now, and tells its events to `events` with `arg` of dial_new. */
	void (*answered)(void *arg, struct stream *s, uint8_t *body, size_t len);
	void (*failed)(void *arg, int reason); /* all ways did; reason is of one that got furthest */
	struct stream_events events;
};

struct dial_options {
	const char *host; /* name or address; borrowed */
	uint16_t port;
	const char *bind_interface; /* borrowed; may be "" */
	uint16_t local_port;        /* 0: any */
};

struct dial *dial_new(const struct dial_env *env, void *arg, uv_loop_t *loop); /* NULL: memory */
void dial_free(struct dial *d);                                                /* NULL is fine */

/* Begins anew. env.failed, if it has to be, is called later. -errno: nothing was begun. */
int dial_start(struct dial *d, const struct dial_options *options);
void dial_cancel(struct dial *d); /* nobody is told */
/* -ENOTCONN: no connection is made. At most DIAL_WORD_MAX bytes. */
#define DIAL_WORD_MAX WIRE_FRAME_MAX_BYTES
int dial_say(struct dial *d, const uint8_t *body, size_t len);

void dial_tick(struct dial *d, uint64_t now_ms);
uint64_t dial_next_ms(const struct dial *d);

#endif
