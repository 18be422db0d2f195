/* daemon/coordinator/bound.h - the endpoint at which the relay reaches one registration over UDP
 *
 *   unbound --request from E--> challenged(E) --request from E repeating the challenge--> bound(E)
 * A request from elsewhere challenges that endpoint and leaves the bound one alone until it is repeated there: a
 * captured request that is sent on from another address moves nothing. A binding is used for two and a half times the
 * interval that the last request from its endpoint named, else BOUND_PROVEN_MS; after that datagrams take the TCP
 * connection.  After: daemon/wire/bind.h.
 * Decides only; requests arrive authenticated and fresh (relay/link.h). Thread: one. */
#ifndef DAEMON_COORDINATOR_BOUND_H
#define DAEMON_COORDINATOR_BOUND_H

#include "daemon/wire/bind.h"

/* Two lost requests of the 15..18 s interval at which peers send them at first, and a little. */
#define BOUND_PROVEN_MS 45000

/* Where a datagram came in, so that later ones leave the same way. */
struct way {
	struct endpoint peer;
	struct ip local; /* none: any */
	unsigned port;   /* which of the UDP ports */
};

struct bound { /* zeroed: unbound */
	struct way way, challenged;
	bool is_bound;
	uint64_t proven_until_ms; /* UINT64_MAX: the peer has no mapping that could close */
	uint64_t challenge;       /* sent to challenged; 0: none */
};

/* Takes a request and fills the reply. `fresh` is a random challenge, not 0, used if a new one is due. True if the
 * endpoint was bound or moved. */
bool bound_request(struct bound *b, const struct wire_bind *request, const struct way *from, uint64_t fresh,
		   uint64_t now_ms, struct wire_bind *reply);
/* The way to send, NULL if there is none or it is not proven lately. */
const struct way *bound_way(const struct bound *b, uint64_t now_ms);
/* Did a datagram come from the bound endpoint? */
bool bound_is_source(const struct bound *b, const struct endpoint *from);

#endif
