/* daemon/coordinator/ports.h - the coordinator's UDP ports: STUN, bind requests, relayed datagrams
 *
 * Datagrams are taken and sent in batches; a relayed one is sent from the buffer it came in. Answers leave by the
 * socket and from the address that was asked. What does not authenticate is counted and not answered; no answer but
 * STUN's is longer than its request, and STUN's is limited by source (stun_limit.h).
 * Thread: loop.  Nothing here but the sockets belongs to the loop for good: the sockets may become one a worker. */
#ifndef DAEMON_COORDINATOR_PORTS_H
#define DAEMON_COORDINATOR_PORTS_H

#include <uv.h>

#include "daemon/coordinator/forward.h"
#include "daemon/net/udp.h"
#include "daemon/peer/indices.h"

#define PORTS_MAX 2

struct ports;

/* What the ports need of the role; borrowed. */
struct ports_use {
	struct forward *forward;
	const struct indices *indices;
	struct counters *counters;
};

/* Opens listen.port and listen.alternate_port. On failure `error` says which port and why. */
int ports_open(struct ports **out, uv_loop_t *loop, const struct config *config, const struct ports_use *use,
	       char *error, size_t capacity);
void ports_close(struct ports *p); /* NULL is fine */
void ports_set_stun(struct ports *p, bool is_on);
/* The bound number of the nth port; 0 if there is none. */
uint16_t ports_number(const struct ports *p, unsigned nth);
const struct udp *ports_udp(const struct ports *p); /* the first, for what it can do */

#endif
