/* daemon/data/dial.h - a connection to a coordinator, by whichever way answers first
 *
 * The ways: each address of its name with its port, each with 443, both from our own TCP port; the first two through each other
 * uplink, for the kernel's choice may lead nowhere; then, DIAL_PATIENCE_MS later, once more from any port, for whatever stands between
 * may remember another connection of ours. They are begun DIAL_STAGGER_MS apart, and
 * at once when the one before has failed.
 * Beside them those through an HTTP proxy, if there is one: to the coordinator's port and to 443, in the same manner, from
 * DIAL_PROXY_AFTER_MS on, or at once when there is no other way. The coordinator's name is then the proxy's to resolve.
 * That a connection is accepted says little: portals and firewalls accept them all. So what we say first goes over every one that
 * is made, and the one it is answered over is it. (The first word is a handshake's initiation, which may be heard twice.)
 * Thread: loop. */
#ifndef DAEMON_DATA_DIAL_H
#define DAEMON_DATA_DIAL_H

#include "crypto/keyfile.h"
#include "daemon/config/config.h"
#include "daemon/net/stream.h"
#include "daemon/net/uplinks.h"

/* A round trip across a continent, so that the next way is rarely begun in vain. */
#define DIAL_STAGGER_MS 300
/* A SYN that was lost is repeated after 1 s (RFC 6298). */
#define DIAL_PATIENCE_MS 1200
#define DIAL_CONNECT_MS 4500 /* under the registrar's 5 s for a step; those through a proxy are all over by then */
#define DIAL_OTHER_PORT 443
/* Two direct ways had their turn, so that the proxy is left alone where it is not needed. */
#define DIAL_PROXY_AFTER_MS (2 * DIAL_STAGGER_MS)

struct dial;

struct dial_proxy {
	struct config_endpoint at; /* port 0: there is none */
	struct login login;
};

/* Why a way through the proxy came to nothing before it led to the coordinator. */
struct dial_refusal {
	uint16_t port;     /* of the coordinator; 0: the proxy's name did not resolve */
	bool is_reached;   /* the proxy took the connection */
	unsigned status;   /* what it answered (wire/http_connect.h); 0: nothing */
	bool offers_basic; /* of a 407 */
	int reason;        /* why it ended, where it did not answer */
};

struct dial_env {
	/* What the name resolved to. May be NULL. */
	void (*resolved)(void *arg, const struct endpoint *v, unsigned n);
	/* The first connection is made: the caller says its first word with dial_say. */
	void (*connected)(void *arg);
	/* One frame came over `s`, which is the caller's now, and tells its events to `events` with `arg` of dial_new. */
	void (*answered)(void *arg, struct stream *s, bool is_proxied, uint8_t *body, size_t len);
	void (*failed)(void *arg, int reason); /* all ways did; reason is of one that got furthest */
	void (*due)(void *arg);                /* dial_next_ms may be earlier than it was */
	/* Others may still do. Must not call back into the dial. May be NULL where there is no proxy. */
	void (*refused)(void *arg, const struct dial_refusal *r);
	struct stream_events events;
};

struct dial_options {
	const char *host; /* name or address; borrowed */
	uint16_t port;
	const char *bind_interface;     /* borrowed; may be "" */
	uint16_t local_port;            /* 0: any */
	const struct dial_proxy *proxy; /* borrowed; NULL: none */
	const struct uplinks *uplinks;  /* borrowed; NULL: only as the kernel chooses */
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

/* How much a refusal tells of the proxy; of several, the first of the most telling is to be shown. */
unsigned dial_refusal_weight(const struct dial_refusal *r);
/* In words, with what would better it. Writes to `out` and returns it. */
#define DIAL_REFUSAL_TEXT_BYTES 192
const char *dial_refusal_text(const struct dial_refusal *r, bool has_login, char out[static DIAL_REFUSAL_TEXT_BYTES]);

#endif
