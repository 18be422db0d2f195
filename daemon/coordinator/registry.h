/* daemon/coordinator/registry.h - the control connections: TCP listeners, streams and their timers
 *
 * Ties each accepted stream to a struct registration and hands the registration's events to the service. At most
 * REGISTRY_UNCONFIRMED_MAX connections are in their handshake; one more ends the oldest of the network (/32, /64) that has most of
 * them, so that strangers who say nothing, or come again and again, keep nobody out.  Thread: loop. */
#ifndef DAEMON_COORDINATOR_REGISTRY_H
#define DAEMON_COORDINATOR_REGISTRY_H

#include <uv.h>

#include "daemon/base/listen_fds.h"
#include "daemon/coordinator/service.h"

#define REGISTRY_UNCONFIRMED_MAX 64

struct registry;

/* Listens on config's tcp_ports, and with what of `handed`, which may be NULL, are listening TCP sockets: those it takes, and where
 * they listen it opens none. Borrows the service, identity and counters. On failure `error` says which port and why. */
int registry_open(struct registry **out, uv_loop_t *loop, const struct config *config, struct listen_fds *handed,
		  struct service *service, const struct identity *identity, struct counters *counters, char *error,
		  size_t capacity);
/* The nth port that it listens on; 0: there are no more. */
uint16_t registry_port(const struct registry *r, unsigned nth);
/* Around whatever ends registrations outside one of their own events: what ended is freed at the end. */
void registry_begin(struct registry *r);
void registry_end(struct registry *r);
/* Ends all connections; nobody is told. NULL is fine. */
void registry_close(struct registry *r);

#endif
