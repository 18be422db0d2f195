/* daemon/wire/relay.h - a datagram on its way through the coordinator, over UDP
 *
 * The coordinator rewrites the header on its way: to it, `member` names the receiver; from it, the sender. The payload
 * is any datagram two peers exchange and stays as it is. The tag (mac.h short_tag) covers the header before it and the
 * payload's length, under a key of the sender's registration: it keeps strangers from using the relay, at a small cost;
 * the payload has its own protection end to end.
 *   offset size field
 *        0    1 type      WIRE_RELAY
 *        1    3 reserved
 *        4    4 index     the receiver's index of the registration (coordinator's, or the peer's on the way out)
 *        8    8 counter   of the sender under that registration, shared with bind messages
 *       16    4 member    id of the other member
 *       20    8 tag
 *       28      payload */
#ifndef DAEMON_WIRE_RELAY_H
#define DAEMON_WIRE_RELAY_H

#include "daemon/wire/wire.h"

#define WIRE_RELAY_HEADER_BYTES 28
#define WIRE_RELAY_TAGGED_BYTES 20 /* of the header, before the tag */

struct wire_relay {
	uint32_t index;
	uint64_t counter;
	uint32_t member;
	uint8_t tag[8];
	const uint8_t *payload; /* decode: borrowed from the datagram */
	size_t payload_len;
};

/* Writes the header alone. */
void wire_relay_encode(uint8_t out[static WIRE_RELAY_HEADER_BYTES], const struct wire_relay *r);
int wire_relay_decode(struct wire_relay *out, const uint8_t *data, size_t len);

#endif
