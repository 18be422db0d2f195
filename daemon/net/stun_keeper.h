/* daemon/net/stun_keeper.h - keeps a NAT's mapping of a local UDP port alive, beside the program that has the port
 *
 * Asks a STUN server (RFC 8489) from a socket on that port, which says what the port is outside and keeps it so. The socket is connected to the
 * server, so that it takes nothing but the server's answers from the program; and both must have set SO_REUSEADDR, or SO_REUSEPORT as
 * the same user, without which Linux gives a port to one of them only.
 * Asked at 0, 0.5 and 1.5 s; without an answer after 3.5 s it is not open, and is asked again every 10 s.
 * Thread: loop. */
#ifndef DAEMON_NET_STUN_KEEPER_H
#define DAEMON_NET_STUN_KEEPER_H

#include <uv.h>

#include "daemon/base/addr.h"

struct stun_keeper;
/* Opened, lost, or at another endpoint; also when the first attempt failed. May close the keeper. */
typedef void stun_keeper_fn(void *arg, struct stun_keeper *k);

/* `server` is an IPv4 or IPv6 endpoint; `every_ms` between two answers. -EADDRINUSE: the port's program does not share it. */
int stun_keeper_open(struct stun_keeper **out, uv_loop_t *loop, uint16_t port, const struct endpoint *server,
		     const char *bind_interface, unsigned every_ms, stun_keeper_fn *fn, void *arg);
void stun_keeper_close(struct stun_keeper *k); /* NULL is fine */
/* The outside endpoint; NULL while it is not known. */
const struct endpoint *stun_keeper_endpoint(const struct stun_keeper *k);
bool stun_keeper_has_tried(const struct stun_keeper *k); /* answered, or given up once */

#endif
