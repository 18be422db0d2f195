/* daemon/coordinator/ports.h - the coordinator's UDP ports: their sockets, their workers, and what these leave to the loop
 *
 * Each worker has a thread and a socket for each port, which share it (SO_REUSEPORT), and does the rest by itself
 * (relayer.h); where sockets cannot share a port there is one worker. The loop takes from their mailboxes the bind requests,
 * which it answers (binds.h), and the datagrams that go on over TCP. Before it answers, and before it sleeps, it publishes what has
 * changed for the workers (forward.h): a member that was told it is bound is bound for all of them.
 * No answer is longer than its request.
 * Thread: loop. */
#ifndef DAEMON_COORDINATOR_PORTS_H
#define DAEMON_COORDINATOR_PORTS_H

#include <uv.h>

#include "daemon/coordinator/relayer.h"
#include "daemon/peer/indices.h"

struct ports;

/* What the ports need of the role; borrowed until ports_close returns. */
struct ports_use {
	struct forward *forward;
	const struct indices *indices;
	struct counters *counters; /* the loop's */
};

/* Opens listen.port and listen.alternate_port, of both addresses if there are two, and starts the workers. On failure `error` says which port and why. Logs that
 * there is one worker only where there should be more. */
int ports_open(struct ports **out, uv_loop_t *loop, const struct config *config, const struct ports_use *use,
	       char *error, size_t capacity);
void ports_close(struct ports *p); /* returns when the workers have ended; NULL is fine */
void ports_set_stun(struct ports *p, bool is_on);
/* The bound number of the nth port (0: the relay's, 1: the alternate one); 0 if there is none. */
uint16_t ports_number(const struct ports *p, unsigned nth);
unsigned ports_workers(const struct ports *p);
/* Did every worker give a sign of life since it was asked the last time? Asks anew. */
bool ports_are_alive(struct ports *p);
/* What the nth worker has counted. */
const struct counters *ports_counters(const struct ports *p, unsigned nth);

/* What of the kernel's help is in use. */
struct ports_offload {
	unsigned disabled;       /* bits of enum offload_disable */
	unsigned workers_wanted; /* more than there are: sockets cannot share a port */
	bool has_gso, has_gro;
	int gso_error; /* it was refused with, on a socket that had it; 0: not */
};
struct ports_offload ports_offload(const struct ports *p);

#endif
