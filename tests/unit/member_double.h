/* tests/unit/member_double.h - a member's end of a control connection, without sockets
 *
 * Does the handshake, opens and seals frames, and keeps what it was told, for tests of the coordinator. */
#ifndef TESTS_UNIT_MEMBER_DOUBLE_H
#define TESTS_UNIT_MEMBER_DOUBLE_H

#include "crypto/channel.h"
#include "daemon/peer/handshake.h"
#include "daemon/relay/link.h"
#include "daemon/wire/control.h"

#define MEMBER_DOUBLE_KEPT 64

struct member_double {
	struct identity identity;
	struct handshake handshake;
	struct handshake_keys keys;
	struct channel channel;
	bool has_channel; /* the response came */
	uint32_t index;   /* of its link */
	uint64_t boot_id;
	struct relay_link *link; /* from CONTROL_REGISTERED on */
	struct wire_registered registered;
	struct {
		size_t len;
		uint8_t data[WIRE_FRAME_MAX_BYTES];
	} kept[MEMBER_DOUBLE_KEPT]; /* messages in order of arrival, pings left out */
	unsigned n_kept;
};

void member_double_init(struct member_double *d, const struct seckey *secret, uint64_t boot_id);
void member_double_fini(struct member_double *d);
/* Begins anew, as after a lost connection. Writes the first frame's body; returns its length. */
size_t member_double_begin(struct member_double *d, const struct pubkey *coordinator, uint8_t *out, size_t capacity);
/* Seals one message into a frame's body; returns its length. */
size_t member_double_seal(struct member_double *d, const uint8_t *message, size_t len,
			  uint8_t out[static WIRE_FRAME_MAX_BYTES]);
/* The sealed CONTROL_REGISTER. */
size_t member_double_register(struct member_double *d, uint8_t out[static WIRE_FRAME_MAX_BYTES]);
/* Takes a frame's body from the coordinator. 0, or -EBADMSG if it does not authenticate. */
int member_double_take(struct member_double *d, uint8_t *body, size_t len);
/* The index of the first kept message of a type from `from` on, or -1. */
int member_double_find(const struct member_double *d, int type, unsigned from);
unsigned member_double_count(const struct member_double *d, int type);
void member_double_forget(struct member_double *d); /* what was kept */

#endif
