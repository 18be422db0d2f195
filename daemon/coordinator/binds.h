/* daemon/coordinator/binds.h - the coordinator's answers to bind requests (wire/bind.h)
 *
 * An answer leaves by the port and from the address that was asked; or, as the request says, by a port that is used for
 * nothing else, of the same or of the alternate address: what arrives of that tells the peer how its NAT filters. A request
 * may ask to be answered once more, REGISTRATION_LATER_MAX at a time for each registration, the oldest giving way. All
 * answers have the size of a request; what does not authenticate is counted and not answered.
 * Thread: loop. */
#ifndef DAEMON_COORDINATOR_BINDS_H
#define DAEMON_COORDINATOR_BINDS_H

#include <uv.h>

#include "daemon/coordinator/forward.h"
#include "daemon/net/udp.h"
#include "daemon/peer/indices.h"

struct binds;

/* Borrowed until binds_close. */
struct binds_use {
	struct forward *forward;
	const struct indices *indices;
	struct counters *counters;
	struct udp *(*port)(void *arg, unsigned nth); /* a socket of the nth port */
	void *arg;
};

/* Opens the ports for answers from elsewhere. On failure `error` says which and why. */
int binds_open(struct binds **out, uv_loop_t *loop, const struct config *config, const struct binds_use *use,
	       char *error, size_t capacity);
void binds_close(struct binds *b); /* NULL is fine */

/* One datagram that came that way, altered in place; its answer leaves at the next flush. */
void binds_request(struct binds *b, const struct way *from, uint8_t *data, size_t len, uint64_t now_ms);
/* Publishes what answers rely on (forward_publish), and sends them. */
void binds_flush(struct binds *b);

#endif
