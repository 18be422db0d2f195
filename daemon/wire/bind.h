/* daemon/wire/bind.h - reflexive address and relay binding (WIRE_SEALED header, type WIRE_BIND)
 *
 * A peer sends a request from its data socket to a UDP port of the coordinator; the answer tells it the endpoint the
 * coordinator saw. Request and answer have one size, so nothing is amplified. The relay sends to the endpoint that
 * last repeated its challenge: an answer to a request from a new endpoint carries a challenge, and the peer at once
 * sends a request that repeats it. Body, 40 bytes:
 *   offset size field
 *        0    1 type      BIND_REQUEST or BIND_REPLY
 *        1    1 flags     request: bit 0 BIND_NO_MOVE (tell me the endpoint, bind nothing), and with it
 *                                  bit 1 BIND_OTHER_PORT (answer from a port of yours that nobody sends to),
 *                                  bit 2 BIND_OTHER_ADDRESS (the same, of your alternate address)
 *                         reply: bit 0 BIND_BOUND (the relay's endpoint for you is this one)
 *                                bit 1 BIND_LATER (the second answer to this request)
 *        2    2 time      in tenths of a second; request with BIND_NO_MOVE: answer at once, and again after so long (0:
 *                         once); without: the next request comes within so long (0: not told; BIND_TIME_NEVER: none will,
 *                         unless something changes); reply: zero
 *        4    8 token     random, repeated by the answer
 *       12    8 challenge request: the last answer's, or zeros; reply: to be repeated, zeros when BIND_BOUND
 *       20   20 observed  reply: 1 address length, 1 reserved, 2 port, 16 address; request: zeros */
#ifndef DAEMON_WIRE_BIND_H
#define DAEMON_WIRE_BIND_H

#include "daemon/base/addr.h"
#include "daemon/wire/wire.h"

#define WIRE_BIND_BYTES 40
#define BIND_NO_MOVE 0x01
#define BIND_OTHER_PORT 0x02
#define BIND_OTHER_ADDRESS 0x04
#define BIND_BOUND 0x01
#define BIND_LATER 0x02
#define BIND_TIME_NEVER UINT16_MAX

enum wire_bind_type {
	BIND_REQUEST = 1,
	BIND_REPLY = 2
};

struct wire_bind {
	enum wire_bind_type type;
	uint8_t flags;
	uint16_t time_ds; /* tenths of a second */
	uint64_t token, challenge;
	struct endpoint observed;
};

void wire_bind_encode(uint8_t out[static WIRE_BIND_BYTES], const struct wire_bind *b);
int wire_bind_decode(struct wire_bind *out, const uint8_t *data, size_t len);

#endif
