/* daemon/data/tcp_paths.h - TCP connections with peers, each of them a path that carries datagrams as frames
 *
 *   connecting --connected--> stranger --tcp_paths_heard--> peer's
 *   accepted ----------------> stranger
 * Listens on one TCP port and connects from it, so that what a NAT maps the port to is the same for both directions, and two
 * nodes behind NATs can connect to each other at the same moment (RFC 5128 section 3.4; RFC 9293 section 3.5). There is at most one
 * connection with a far end, whoever began it.
 * Whoever connects is a stranger until a datagram of his has authenticated, and has TCP_PATHS_STRANGER_MS, few frames and no
 * others than those that can do that. At most TCP_PATHS_SOURCE_MAX strangers are of one network (/32, /64): one more is closed; and
 * TCP_PATHS_STRANGERS_MAX in all: one more ends the oldest. Garbage gets no answer but the end of the connection.
 * A connection that is somebody's ends when nothing of his came for TCP_PATHS_IDLE_MS.
 * What is sent waits in a bounded queue: data is dropped when the far end is slow, so that no memory is used for it, and what
 * keeps the path alive is not behind it for long.
 * Thread: loop. */
#ifndef DAEMON_DATA_TCP_PATHS_H
#define DAEMON_DATA_TCP_PATHS_H

#include <uv.h>

#include "daemon/base/counters.h"
#include "daemon/path/path.h"

#define TCP_PATHS_STRANGER_MS 5000
#define TCP_PATHS_STRANGER_FRAMES 32
#define TCP_PATHS_STRANGERS_MAX 64
#define TCP_PATHS_SOURCE_MAX 8
#define TCP_PATHS_CONNECTING_MAX 64
#define TCP_PATHS_CONNECT_MS 8000
#define TCP_PATHS_IDLE_MS 130000 /* two keepalives of a path, and one that was late */
#define TCP_PATHS_PER_PEER 4     /* of one peer: another ends the one that was silent longest */
/* Above this, data is dropped; above twice as much, everything. */
#define TCP_PATHS_QUEUE_BYTES ((size_t)128 * 1024)

struct tcp_paths;

/* None of these may call tcp_paths_tick, _network_changed, _flush or _free. */
struct tcp_paths_env {
	/* A datagram, and where it came from; altered in place, and valid until `read` is called. */
	void (*datagram)(void *arg, const struct path_addr *from, uint8_t *data, size_t len);
	void (*read)(void *arg);
	void (*opened)(void *arg, const struct path_addr *to); /* one that tcp_paths_send began */
	/* It ended, or could not be made. Not told of what the owner ended, nor of strangers. */
	void (*closed)(void *arg, const struct path_addr *to, int reason);
};

/* `address` as config's listen.address, `bind_interface` may be "". Nothing is listened to yet. -ENOMEM. */
int tcp_paths_new(struct tcp_paths **out, uv_loop_t *loop, const struct tcp_paths_env *env, void *arg,
		  struct counters *counters, const struct ip *address, const char *bind_interface);
/* Ends all connections; nobody is told. NULL is fine. */
void tcp_paths_free(struct tcp_paths *t);
/* -EADDRINUSE: another program has the port. Then, and before, connections leave from any port. */
int tcp_paths_listen(struct tcp_paths *t, uint16_t port);
uint16_t tcp_paths_port(const struct tcp_paths *t); /* 0: none is listened to */

enum tcp_paths_urgency {
	TCP_PATHS_DATA, /* dropped where the far end is slow, or there is no connection */
	TCP_PATHS_URGENT, /* where there is no connection one is begun, and the last of these until it is there goes over it */
};

/* Sends one datagram, together with those that follow until tcp_paths_flush. -ENOBUFS: dropped; -ENOTCONN: there is no
 * connection; or why none can be begun. */
int tcp_paths_send(struct tcp_paths *t, const struct endpoint *to, const uint8_t *datagram, size_t len,
		   enum tcp_paths_urgency urgency);
void tcp_paths_flush(struct tcp_paths *t); /* at the end of each turn of the loop, outside of all callbacks */
/* Something from there authenticated as this peer's (its number, not 0). */
void tcp_paths_heard(struct tcp_paths *t, const struct endpoint *from, uint64_t peer, uint64_t now_ms);
/* Ends the connection, if there is one. */
void tcp_paths_drop(struct tcp_paths *t, const struct endpoint *to);
/* Ends this peer's connections but one. */
void tcp_paths_keep_one(struct tcp_paths *t, uint64_t peer, const struct endpoint *kept);
/* Our addresses or routes changed: what leaves from an address that is no longer the one to use ends, and is told. */
/* Connections are made through that link from now on; 0: as the kernel chooses. */
void tcp_paths_set_through(struct tcp_paths *t, int ifindex);
void tcp_paths_network_changed(struct tcp_paths *t);
/* Our end of a connection. */
int tcp_paths_local(const struct tcp_paths *t, const struct endpoint *to, struct endpoint *out);

void tcp_paths_tick(struct tcp_paths *t, uint64_t now_ms);
uint64_t tcp_paths_next_ms(const struct tcp_paths *t);

#endif
