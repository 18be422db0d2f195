/* daemon/peer/registrar.h - registration with one coordinator, never giving up
 *
 *   waiting --due, or network changed--> connecting --connected--> handshaking --response--> registering
 *   registering --CONTROL_REGISTERED--> registered; from any of them --closed, timeout, bad frame--> waiting
 * Waits 1 s, doubled to 60 s but to 1.5 s only during the first 2 minutes of an outage (a coordinator that was
 * restarted has everyone back, and relays again, within 3 s), with 0..25 % jitter; at once after a network change and at the first try
 * after a registration that lasted over 2 s was lost, but never twice within 500 ms. A node that another one
 * with its key replaced waits 60 s: the two would replace each other for ever. A step without progress for 5 s ends
 * the try. When registered: CONTROL_PING every 25 s, no frame for 60 s ends it; after a network change a ping must be
 * answered within 3 s, and in 1.5 s where there is doubt and another uplink. Frames are opened and sealed here (crypto/channel.h). Decisions only: the owner has the
 * stream, the resolver and the clock. Thread: loop. */
#ifndef DAEMON_PEER_REGISTRAR_H
#define DAEMON_PEER_REGISTRAR_H

#include "crypto/channel.h"
#include "daemon/peer/handshake.h"
#include "daemon/wire/control.h"

enum registrar_state {
	REGISTRAR_WAITING,
	REGISTRAR_CONNECTING,
	REGISTRAR_HANDSHAKING,
	REGISTRAR_REGISTERING,
	REGISTRAR_REGISTERED,
};

/* Why the last try, or the registration, ended. */
enum registrar_fault {
	REGISTRAR_FAULT_NONE,
	REGISTRAR_FAULT_UNREACHABLE, /* no connection was made */
	REGISTRAR_FAULT_SILENT,      /* one was, and nothing came over it */
	REGISTRAR_FAULT_FOREIGN,     /* what came was not of the coordinator */
	REGISTRAR_FAULT_KEY, /* it was closed during the handshake, as a coordinator does that takes a key for wrong; or it said so of our certificate */
	REGISTRAR_FAULT_VERSION, /* the coordinator speaks another version of the protocol */
	REGISTRAR_FAULT_REFUSED, /* the coordinator said no, for another reason */
	REGISTRAR_FAULT_LOST,    /* it began well */
};

struct registrar;

struct registrar_env {
	void (*connect)(void *arg);    /* resolve and connect; tell registrar_on_connected or _on_closed */
	void (*disconnect)(void *arg); /* close the stream, if any; no _on_closed for it */
	int (*send)(void *arg, const uint8_t *body, size_t len,
		    bool is_droppable); /* one frame; stream_send's errors */
	/* Registered: `keys` (udp and tag keys) are valid during the call. */
	void (*registered)(void *arg, const struct wire_registered *r, const struct handshake_keys *keys);
	void (*lost)(void *arg); /* was registered, is no more */
	/* A control message that is not the registrar's own (FOUND, INTRODUCE, MEMBERS, RELAY, PEER_EVENT, REVOCATIONS). Whole
	 * message. */
	void (*message)(void *arg, int type, const uint8_t *data, size_t len);
	uint64_t (*wall_ms)(void *arg);
};

struct registrar *registrar_new(const struct registrar_env *env, void *arg, const struct identity *identity,
				const struct pubkey *coordinator, const char *own_name, uint64_t boot_id,
				uint32_t index, uint64_t now_ms);
void registrar_free(struct registrar *r); /* disconnects */

void registrar_on_connected(struct registrar *r, uint64_t now_ms);
void registrar_on_frame(struct registrar *r, uint8_t *body, size_t len, uint64_t now_ms);
void registrar_on_closed(struct registrar *r, int reason, uint64_t now_ms);
void registrar_network_changed(struct registrar *r, uint64_t now_ms);
/* The way there may be gone, and there is another. */
void registrar_doubt(struct registrar *r, uint64_t now_ms);
/* What we show in the handshake is another now: ends the registration, and makes it again at once. */
void registrar_again(struct registrar *r, uint64_t now_ms);
void registrar_tick(struct registrar *r, uint64_t now_ms);
uint64_t registrar_next_ms(const struct registrar *r);

/* Seals and sends one control message. -ENOTCONN unless registered; -ENOBUFS as env.send. */
int registrar_send(struct registrar *r, const uint8_t *message, size_t len, bool is_droppable);

enum registrar_state registrar_state(const struct registrar *r);
uint64_t registrar_since_ms(const struct registrar *r); /* of the state */
uint32_t registrar_rtt_us(const struct registrar *r);   /* of the last ping; 0: unknown */
/* How far our wall clock is ahead of the coordinator's, by the last ping. False: never told. */
bool registrar_clock_skew(const struct registrar *r, int64_t *skew_ms);
/* Why the last try failed, one clause; "" if it did not. E.g. "the coordinator closed the connection during the
 * handshake: is our public key a member there, and its public_key right here?" */
const char *registrar_error(const struct registrar *r);
/* The same in a word; NONE also from a handshake that succeeded on. */
enum registrar_fault registrar_fault(const struct registrar *r);

#endif
