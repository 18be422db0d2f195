/* daemon/wire/pcp.h - Port Control Protocol, RFC 6887: what a client asks and is answered
 *
 * Requests of 24 bytes, with MAP 60, with an option behind it 64:
 *   offset size field
 *        0    1 version   2
 *        1    1 opcode    enum pcp_opcode; bit 7 is set in responses
 *        2    2 reserved
 *        4    4 lifetime  s; 0 deletes
 *        8   16 client    the address the request is sent from
 *       24   12 nonce     of the mapping; only who knows it changes or deletes that
 *       36    1 protocol  IPPROTO_*
 *       37    3 reserved
 *       40    2 internal port
 *       42    2 suggested external port
 *       44   16 suggested external address; unspecified: any
 *       60    4 PREFER_FAILURE: code 2, reserved, length 0 (2 bytes)
 * Responses put result at 3, epoch (s) at 8, 12 reserved bytes at 12, and what was assigned where it was suggested.
 * IPv4 addresses are mapped ones. Options may follow, up to 1100 bytes in all, and are not read. */
#ifndef DAEMON_WIRE_PCP_H
#define DAEMON_WIRE_PCP_H

#include "daemon/base/addr.h"

#define PCP_PORT 5351          /* of the gateway; NAT-PMP's too */
#define PCP_ANNOUNCE_PORT 5350 /* where clients hear announcements, sent to 224.0.0.1 and ff02::1 */
#define PCP_NONCE_BYTES 12
#define PCP_HEADER_BYTES 24
#define PCP_MAP_BYTES 60
#define PCP_REQUEST_MAX_BYTES 64
#define PCP_MAX_BYTES 1100

enum pcp_opcode {
	PCP_ANNOUNCE = 0, /* "are you there, and since when": the header alone */
	PCP_MAP = 1,
};
enum pcp_result {
	PCP_SUCCESS = 0,
	PCP_UNSUPPORTED_VERSION = 1,
	PCP_UNSUPPORTED_OPTION = 5,
	PCP_CANNOT_PROVIDE_EXTERNAL = 11, /* with PREFER_FAILURE */
};

struct pcp_request {
	enum pcp_opcode opcode;
	uint32_t lifetime_s;
	struct ip client;
	/* of PCP_MAP */
	uint8_t nonce[PCP_NONCE_BYTES];
	uint8_t protocol;
	uint16_t internal_port, external_port;
	struct ip external;  /* none: any */
	bool prefer_failure; /* the suggested port or none */
};

struct pcp_response {
	enum pcp_opcode opcode;
	uint8_t result;
	uint32_t lifetime_s; /* of an error: how long it is going to last */
	uint32_t epoch_s;    /* since the gateway's state was last lost */
	/* of PCP_MAP */
	uint8_t nonce[PCP_NONCE_BYTES];
	uint8_t protocol;
	uint16_t internal_port, external_port;
	struct ip external;
};

/* Bytes written, or -ENOSPC; PCP_REQUEST_MAX_BYTES are always enough. */
int pcp_request_encode(uint8_t *out, size_t capacity, const struct pcp_request *request);
/* -EBADMSG: no response of version 2 to one of our opcodes. A MAP that was granted has ports and an address; so has one
 * that was deleted (lifetime 0), but for the address and external port. */
int pcp_response_decode(struct pcp_response *out, const uint8_t *data, size_t len);

const char *pcp_result_text(uint8_t result); /* "not authorized"; never NULL */

#endif
