/* daemon/wire/stun.h - STUN Binding (RFC 8489), enough to serve stock clients and to ask stock servers
 *
 * No credentials and no TURN. Unknown comprehension-required attributes in a request are answered with 420 as section
 * 6.3.1 says; FINGERPRINT is checked when present. A request without the magic cookie is RFC 3489's, whose clients are
 * still packaged, and is answered in its way (RFC 5389 section 12.2): with MAPPED-ADDRESS. An answer from or to another
 * address, which that version and RFC 5780 can ask for, is asked for but not given. */
#ifndef DAEMON_WIRE_STUN_H
#define DAEMON_WIRE_STUN_H

#include "daemon/base/addr.h"

#define STUN_ID_BYTES 12
#define STUN_REQUEST_MAX_BYTES 28
#define STUN_REPLY_MAX_BYTES 64
#define STUN_UNKNOWN_MAX 8

enum stun_class {
	STUN_REQUEST,
	STUN_RESPONSE,
	STUN_ERROR
};

struct stun_message {
	enum stun_class class;
	uint8_t id[STUN_ID_BYTES];
	bool is_classic;        /* a request of RFC 3489: */
	uint32_t id_begin;      /* its id has 16 bytes, these where the cookie is now */
	struct endpoint mapped; /* of a response: XOR-MAPPED-ADDRESS, else MAPPED-ADDRESS */
	struct endpoint
		other; /* of a response: OTHER-ADDRESS or RFC 3489's CHANGED-ADDRESS; none: not told, or unusable */
	unsigned n_unknown; /* comprehension-required attributes not understood */
	uint16_t unknown[STUN_UNKNOWN_MAX];
};

/* True if the first byte can only be STUN's. */
static inline bool stun_is(const uint8_t *data, size_t len)
{
	return len > 0 && data[0] < 4;
}

/* True if it may be an answer to a Binding request: type and magic cookie are its. */
bool stun_is_answer(const uint8_t *data, size_t len);
/* -EBADMSG: not a well-formed Binding message; nothing is to be answered. So is a response without a usable address
 * (ip_is_sendable, port not 0) or with a comprehension-required attribute not understood. */
int stun_decode(struct stun_message *out, const uint8_t *data, size_t len);
/* The answer to a decoded request that came from `from`: success with XOR-MAPPED-ADDRESS, or 420. Returns its length. */
int stun_reply_encode(uint8_t out[static STUN_REPLY_MAX_BYTES], const struct stun_message *request,
		      const struct endpoint *from);
/* To be answered from the server's other port, and address (RFC 5780 section 7.2). */
#define STUN_CHANGE_PORT 0x2
#define STUN_CHANGE_IP 0x4
/* A Binding request: 20 bytes, 28 with a change. Returns its length. */
int stun_request_encode(uint8_t out[static STUN_REQUEST_MAX_BYTES], const uint8_t id[static STUN_ID_BYTES],
			unsigned change);

/* A Binding indication: nobody answers it (RFC 8489 section 2). Returns its length. */
#define STUN_INDICATION_BYTES 20
int stun_indication_encode(uint8_t out[static STUN_INDICATION_BYTES], const uint8_t id[static STUN_ID_BYTES]);

#endif
