/* daemon/coordinator/forward.h - the relay: opaque datagrams from one member to another
 *
 * The sender is the member whose registration's keys tagged the datagram (over UDP, from its bound endpoint only) or
 * sealed it (over TCP); the receiver is named by id. What came over UDP goes on over UDP where the receiver's
 * endpoint was proven lately, else over its TCP connection; what came over TCP goes on over TCP, so that two members
 * have one way left when a UDP mapping died silently. Nothing is stored here; over TCP the bound of the stream's
 * queue decides, over UDP the socket. Limits: bytes and datagrams of each sender, bytes of all. No sockets: over UDP
 * the caller sends. Thread: loop. */
#ifndef DAEMON_COORDINATOR_FORWARD_H
#define DAEMON_COORDINATOR_FORWARD_H

#include "daemon/coordinator/registration.h"

struct forward {
	const struct directory *directory;
	struct counters *counters;
	bool is_enabled;
	uint64_t rate_per_peer;
	uint32_t packets_per_peer;
	struct quota total;
};

void forward_init(struct forward *f, const struct directory *directory, struct counters *counters,
		  const struct config *config, uint64_t now_ms);
/* Other limits, of members too; what is left of the old ones stays. */
void forward_reload(struct forward *f, const struct config *config);
/* The limits of a member at its first registration. */
void forward_admit(const struct forward *f, struct member *m, uint64_t now_ms);

/* A decoded datagram of the registration's link that came by `from`. Returns the way it is to be sent on, with its
 * header rewritten in place (`data` begins with it), or NULL: it went over TCP, or was dropped and counted. */
const struct way *forward_datagram(struct forward *f, struct registration *r, const struct way *from,
				   const struct wire_relay *relay, uint8_t *data, uint64_t now_ms);
/* A whole CONTROL_RELAY message of the registration. */
void forward_message(struct forward *f, struct registration *r, const uint8_t *data, size_t len, uint64_t now_ms);

#endif
