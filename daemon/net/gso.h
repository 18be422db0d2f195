/* daemon/net/gso.h - UDP_SEGMENT over all the sockets of a node: is it in use, and when the kernel has refused it
 *
 * A refusal in mid-flight (udp_has_gso) holds for the way out at that moment, so it is tried again when the network changes.
 * Thread: loop. */
#ifndef DAEMON_NET_GSO_H
#define DAEMON_NET_GSO_H

#include "daemon/net/udp.h"

typedef void gso_visit_fn(void *arg, struct udp *udp);
/* Calls `visit` with each socket that is open. */
typedef void gso_sockets_fn(void *owner, gso_visit_fn *visit, void *arg);

struct gso {
	gso_sockets_fn *sockets;
	void *owner;
	bool is_told; /* private: of a refusal */
};

/* True if all sockets use it. *error: the errno that one was refused it with, else 0. */
bool gso_is_on(const struct gso *g, int *error);
/* A worker says that it was refused: one line for the log, of the node's port. */
void gso_refused(struct gso *g, uint16_t port);
/* The ways out may be others now. A refusal is told again only if it is worth a line. */
void gso_retry(struct gso *g, bool is_worth_a_line);

#endif
