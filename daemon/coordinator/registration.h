/* daemon/coordinator/registration.h - one member's control connection, from its first byte to its end
 *
 *   handshaking --initiation of a member's key, answered--> confirming --first sealed message, a REGISTER--> registered
 *        `------initiation whose certificate is no good--> refusing --REGISTRATION_REFUSAL_MS after it, refused--> closed
 * In the first two states it ends after REGISTRATION_HANDSHAKE_MS, in the last after REGISTRATION_SILENCE_MS without
 * a frame. An initiation can be a replay: nothing but this struct changes before the first sealed frame has opened,
 * which shows that whoever sent it knows the key now. So timestamps, which protect answers over UDP, are not needed
 * here. A key that is nobody's, like all that does not authenticate, is closed without a word; so that an honest node learns what
 * is wrong with its certificate, that is said: at one time after its initiation whatever is wrong, so that the time tells nobody who
 * tries how far he came. Frames are opened and sealed here. No sockets and no clock: the owner has the streams.
 * Thread: loop. */
#ifndef DAEMON_COORDINATOR_REGISTRATION_H
#define DAEMON_COORDINATOR_REGISTRATION_H

#include "crypto/channel.h"
#include "daemon/base/counters.h"
#include "daemon/coordinator/bound.h"
#include "daemon/coordinator/directory.h"
#include "daemon/coordinator/later.h"
#include "daemon/peer/handshake.h"
#include "daemon/relay/link.h"

#define REGISTRATION_HANDSHAKE_MS 5000
#define REGISTRATION_REFUSAL_MS 100   /* longer than the dearest check takes on the slowest host */
#define REGISTRATION_SILENCE_MS 75000 /* three of the peer's pings, which come every 25 s */

enum registration_state {
	REGISTRATION_HANDSHAKING,
	REGISTRATION_REFUSING,
	REGISTRATION_CONFIRMING,
	REGISTRATION_REGISTERED,
	REGISTRATION_CLOSED,
};

struct registration;

#define REGISTRATION_LATER_MAX 2

struct registration_env {
	/* Sends one frame, which must go out in order or the connection end. */
	void (*send)(void *arg, struct registration *r, const uint8_t *body, size_t len);
	/* How much is queued to be sent, in hundredths of what is worth waiting for. */
	unsigned (*queued_percent)(void *arg, const struct registration *r);
	/* Ends the connection after what was sent; `r` is freed by its owner, not before the call that led here
	 * returns. */
	void (*close)(void *arg, struct registration *r);
	struct member *(*find)(void *arg, const struct registration *r, const struct pubkey *key);
	/* In its place under a network key, once the initiation authenticates: what it shows, for r->key. CERT_GOOD fills *cert. */
	enum cert_verdict (*judge)(void *arg, const struct registration *r, const struct wire_trust *shown,
				   struct cert *cert);
	/* A confirmed key asks to be registered: the answer is registration_accept or _refuse. */
	void (*registering)(void *arg, struct registration *r, const struct wire_register *m, uint64_t now_ms);
	/* A message of a registered member; writable in place. */
	void (*message)(void *arg, struct registration *r, int type, uint8_t *data, size_t len, uint64_t now_ms);
};

struct registration {
	const struct registration_env *env;
	void *arg;
	const struct identity *identity;
	struct counters *counters;
	void *stream;           /* the owner's */
	struct endpoint source; /* of the connection */

	enum registration_state state;
	uint64_t opened_ms, heard_ms;
	uint64_t refuse_ms; /* refusing: when this is said */
	uint16_t refusal_len;
	uint8_t refusal[WIRE_RESPONSE_BYTES];
	struct handshake_keys keys; /* until accepted */
	struct channel channel;
	struct pubkey key;       /* who it is, from the initiation on */
	struct cert *cert;       /* likewise, until registered; NULL: no network key */
	struct member *member;   /* from registration_accept on; cleared when it is closed */
	struct relay_link *link; /* likewise */
	struct bound bound;
	struct later_entry later[REGISTRATION_LATER_MAX]; /* bind requests that are to be answered once more */
	uint64_t ping_token, ping_us;                     /* our last ping; token 0: none is out */

	struct registration *prev, *next; /* the owner's list */
};

void registration_init(struct registration *r, const struct registration_env *env, void *arg,
		       const struct identity *identity, struct counters *counters, const struct endpoint *source,
		       uint64_t now_ms);
void registration_fini(struct registration *r); /* wipes; drops the link */

/* One frame's body, changed in place. */
void registration_on_frame(struct registration *r, uint8_t *body, size_t len, uint64_t now_ms);
/* When registration_due() is to be called if nothing more is heard. */
uint64_t registration_deadline_ms(const struct registration *r);
/* It is: says a refusal that waited, and closes. */
void registration_due(struct registration *r);
void registration_close(struct registration *r);

/* Answers to `registering`. `local_index` is ours; the link is made and owned here. 0, -ENOMEM (and closed). */
int registration_accept(struct registration *r, struct member *m, uint32_t local_index, uint32_t remote_index);
/* Says why, and closes; of a registered one too. */
void registration_refuse(struct registration *r, enum refused_reason reason, const char *text);

/* Seals and sends one message. `is_droppable`: -ENOBUFS, and not sent, when over 100 percent are queued. */
int registration_send(struct registration *r, const uint8_t *message, size_t len, bool is_droppable);
unsigned registration_queued_percent(const struct registration *r);

#endif
