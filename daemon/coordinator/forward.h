/* daemon/coordinator/forward.h - the relay: opaque datagrams from one member to another
 *
 * The sender is the member whose registration's keys tagged the datagram (over UDP, from its bound endpoint only) or
 * sealed it (over TCP); the receiver is named by id. What came over UDP goes on over UDP where the receiver's
 * endpoint was proven lately, else over its TCP connection; what came over TCP goes on over TCP, so that two members
 * have one way left when a UDP mapping died silently. Nothing is stored here; over TCP the bound of the stream's
 * queue decides, over UDP the socket. Limits: bytes and datagrams of each sender, bytes of all (quota.h), and while
 * there is not room for all, fairness (fair.h). No sockets: over UDP the caller sends.
 *
 * Workers decide from the roster they entered, without a lock but a link's own; what they find nowhere, or what must go over
 * TCP, they hand to the loop. The loop decides from the directory.
 * Thread: loop, but for forward_datagram. */
#ifndef DAEMON_COORDINATOR_FORWARD_H
#define DAEMON_COORDINATOR_FORWARD_H

#include "daemon/coordinator/fair.h"
#include "daemon/coordinator/registration.h"
#include "daemon/coordinator/roster.h"

struct forward {
	/* the loop's */
	const struct directory *directory;
	struct counters *counters;
	uint64_t rate_per_peer;
	uint32_t packets_per_peer;
	struct fair fair; /* over TCP */
	bool is_stale;    /* the roster does not say what there is now */
	bool is_short;    /* of memory: logged */
	/* any thread's */
	struct epochs rosters; /* never without one */
	_Atomic bool is_enabled;
	struct quota total;
};

/* 0 or -ENOMEM. The directory is borrowed. */
int forward_init(struct forward *f, const struct directory *directory, struct counters *counters,
		 const struct config *config, uint64_t now_ms);
void forward_fini(struct forward *f); /* no worker may be left; zeros are fine */
/* Other limits, of members too; what is left of the old ones stays. */
void forward_reload(struct forward *f, const struct config *config);
/* The limits of a member at its first registration. */
void forward_admit(const struct forward *f, struct member *m, uint64_t now_ms);

/* A registration began or ended, an endpoint was bound: is to be published. */
void forward_changed(struct forward *f);
/* Makes the workers see all changes, at their next batch; before anything is sent that relies on it. */
void forward_publish(struct forward *f);

/* What became of a datagram. */
struct forwarded {
	const struct way *way;     /* it is to be sent on there, its header rewritten in place; or */
	bool is_mail;              /* it is to be handed to forward_mail; or neither: dropped and counted */
	uint32_t sender, receiver; /* with is_mail */
};
/* A decoded datagram that came by `from`; `data` begins with its header. By a worker that has entered `roster`, with its
 * counters. */
struct forwarded forward_datagram(struct forward *f, const struct roster *roster, const struct way *from,
				  const struct wire_relay *relay, uint8_t *data, uint64_t now_ms,
				  struct counters *counters);
/* What a worker handed over, admitted already. */
void forward_mail(struct forward *f, uint32_t sender, uint32_t receiver, const uint8_t *payload, size_t len,
		  uint64_t now_ms);
/* A whole CONTROL_RELAY message of the registration. */
void forward_message(struct forward *f, struct registration *r, const uint8_t *data, size_t len, uint64_t now_ms);

#endif
