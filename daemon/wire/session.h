/* daemon/wire/session.h - what two peers tell each other inside a session (WIRE_SEALED header, type WIRE_SESSION)
 *
 * Bodies, by their first byte:
 * Probe: does this path carry datagrams? The answer is the same message with SESSION_PROBE_REPLY set, sent to the
 * address the probe came from. Both are 40 bytes; a probe may be padded with zeros (path MTU search), an answer is not.
 *        0    1 type      SESSION_PROBE
 *        1    1 flags     bit 0 SESSION_PROBE_REPLY; others sent 0 and ignored
 *        2    2 size      of the probe this answers (body bytes), 0 in a probe
 *        4   12 id        random, repeated by the answer
 *       16    1 address length of the observed source: 4, 16, or 0 (came through a relay; always 0 in a probe)
 *       17    1 reserved
 *       18    2 port
 *       20   16 address, zero-padded
 *       36    4 count     answers: inner packets of yours that arrived here, by any path, modulo 2^32; 0 in a probe
 * Candidates: where I may be reached now; replaces what was sent before.
 *        0    1 type      SESSION_CANDIDATES
 *        1    1 flags     bit 0 SESSION_WANT_REPLY: send me yours
 *        2    2 reserved
 *        4      candidates.h
 * Punch: one side of a search through a NAT that changes ports (path/punch.h); 28 bytes.
 *        0    1 type      SESSION_PUNCH
 *        1    1 step      enum punch_step
 *        2    1 method    enum punch_method
 *        3    1 stride    signed: from one mapping's outside port to the next one's; 0: none known
 *        4    4 round     of the side that asked; repeated by answers
 *        8   20 base      where a fresh socket of the sender was seen just now; length 0: not asked for
 * TCP: the sender connects to the receiver's TCP candidates now, and asks it to do the same; 4 bytes.
 *        0    1 type      SESSION_TCP
 *        1    3 reserved
 * Revocations: revocation.h, behind the type.
 *        0    1 type      SESSION_REVOCATIONS
 * Close: the sender ends the session (it is shutting down); 4 bytes.
 *        0    1 type      SESSION_CLOSE
 *        1    3 reserved */
#ifndef DAEMON_WIRE_SESSION_H
#define DAEMON_WIRE_SESSION_H

#include "daemon/wire/candidates.h"
#include "daemon/wire/revocation.h"

enum wire_session_type {
	SESSION_PROBE = 1,
	SESSION_CANDIDATES = 2,
	SESSION_CLOSE = 3,
	SESSION_PUNCH = 4,
	SESSION_TCP = 5,
	SESSION_REVOCATIONS = 6,
};
enum punch_step {         /* numbers are on the wire */
	PUNCH_ASK = 1,    /* shall we? */
	PUNCH_ACCEPT = 2, /* now */
	PUNCH_BUSY = 3,   /* not now */
	PUNCH_BASE = 4,   /* another try of the same round, from this base */
};
enum punch_method {         /* numbers are on the wire */
	PUNCH_NONE = 0,     /* plain checks are all there is to do */
	PUNCH_PREDICT = 1,  /* the asker's NAT counts: the other side tries the ports that come next */
	PUNCH_COUNT = 2,    /* both NATs count: both do */
	PUNCH_BIRTHDAY = 3, /* the asker's NAT draws ports: many sockets there meet many ports tried here */
	PUNCH_HOPELESS = 4, /* never on the wire */
	PUNCH_FRESH = 5,    /* from fresh ports, of which no router has a wrong idea */
};
#define PUNCH_METHODS (PUNCH_FRESH + 1) /* of all numbers */

#define SESSION_PROBE_REPLY 0x01
#define SESSION_WANT_REPLY 0x01
#define WIRE_PROBE_ID_BYTES 12
#define WIRE_PROBE_BYTES 40
#define WIRE_PUNCH_BYTES 28
#define WIRE_SESSION_MAX_BYTES (4 + WIRE_CANDIDATES_MAX_BYTES)

struct wire_probe {
	bool is_reply;
	uint8_t id[WIRE_PROBE_ID_BYTES];
	uint16_t size;            /* of a decoded probe: its body's bytes, padding included; of a reply: the probe's */
	struct endpoint observed; /* replies: where the probe came from as the replier saw it; ip.len 0: relayed */
	uint32_t n_received;      /* replies */
};

struct wire_session_candidates {
	bool want_reply;
	struct candidates candidates;
};

struct wire_punch {
	enum punch_step step;
	enum punch_method method;
	int8_t stride;
	uint32_t round;
	struct endpoint base; /* ip.len 0: none */
};

/* The type of a body, or -EBADMSG if it has none of these. A close and TCP need no further decoding. */
int wire_session_type_of(const uint8_t *data, size_t len);
/* Encoders return the length or -ENOSPC. `size` above WIRE_PROBE_BYTES pads a probe. */
int wire_probe_encode(uint8_t *out, size_t capacity, const struct wire_probe *p);
int wire_probe_decode(struct wire_probe *out, const uint8_t *data, size_t len);
int wire_session_candidates_encode(uint8_t *out, size_t capacity, const struct wire_session_candidates *c);
int wire_session_candidates_decode(struct wire_session_candidates *out, const uint8_t *data, size_t len);
int wire_punch_encode(uint8_t *out, size_t capacity, const struct wire_punch *p);
/* -EBADMSG also for an unknown step or method, and a base that must not be sent to. */
int wire_punch_decode(struct wire_punch *out, const uint8_t *data, size_t len);
int wire_session_tcp_encode(uint8_t *out, size_t capacity);
int wire_session_close_encode(uint8_t *out, size_t capacity);

#endif
