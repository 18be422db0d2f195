/* daemon/wire/session.h - what two peers tell each other inside a session (WIRE_SEALED header, type WIRE_SESSION)
 *
 * Bodies, by their first byte:
 * Probe: does this path carry datagrams? The answer is the same message with SESSION_PROBE_REPLY set, sent to the
 * address the probe came from. Both are 36 bytes; a probe may be padded with zeros (path MTU search), an answer is not.
 *        0    1 type      SESSION_PROBE
 *        1    1 flags     bit 0 SESSION_PROBE_REPLY; others sent 0 and ignored
 *        2    2 size      of the probe this answers (body bytes), 0 in a probe
 *        4   12 id        random, repeated by the answer
 *       16    1 address length of the observed source: 4, 16, or 0 (came through a relay; always 0 in a probe)
 *       17    1 reserved
 *       18    2 port
 *       20   16 address, zero-padded
 * Candidates: where I may be reached now; replaces what was sent before.
 *        0    1 type      SESSION_CANDIDATES
 *        1    1 flags     bit 0 SESSION_WANT_REPLY: send me yours
 *        2    2 reserved
 *        4      candidates.h
 * Close: the sender ends the session (it is shutting down); 4 bytes.
 *        0    1 type      SESSION_CLOSE
 *        1    3 reserved */
#ifndef DAEMON_WIRE_SESSION_H
#define DAEMON_WIRE_SESSION_H

#include "daemon/wire/candidates.h"

enum wire_session_type {
	SESSION_PROBE = 1,
	SESSION_CANDIDATES = 2,
	SESSION_CLOSE = 3
};

#define SESSION_PROBE_REPLY 0x01
#define SESSION_WANT_REPLY 0x01
#define WIRE_PROBE_ID_BYTES 12
#define WIRE_PROBE_BYTES 36
#define WIRE_SESSION_MAX_BYTES (4 + WIRE_CANDIDATES_MAX_BYTES)

struct wire_probe {
	bool is_reply;
	uint8_t id[WIRE_PROBE_ID_BYTES];
	uint16_t size;            /* of a decoded probe: its body's bytes, padding included; of a reply: the probe's */
	struct endpoint observed; /* replies: where the probe came from as the replier saw it; ip.len 0: relayed */
};

struct wire_session_candidates {
	bool want_reply;
	struct candidates candidates;
};

/* The type of a body, or -EBADMSG if it has none of these. A close needs no further decoding. */
int wire_session_type_of(const uint8_t *data, size_t len);
/* Encoders return the length or -ENOSPC. `size` above WIRE_PROBE_BYTES pads a probe. */
int wire_probe_encode(uint8_t *out, size_t capacity, const struct wire_probe *p);
int wire_probe_decode(struct wire_probe *out, const uint8_t *data, size_t len);
int wire_session_candidates_encode(uint8_t *out, size_t capacity, const struct wire_session_candidates *c);
int wire_session_candidates_decode(struct wire_session_candidates *out, const uint8_t *data, size_t len);
int wire_session_close_encode(uint8_t *out, size_t capacity);

#endif
