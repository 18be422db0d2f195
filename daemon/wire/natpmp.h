/* daemon/wire/natpmp.h - NAT Port Mapping Protocol, RFC 6886: what a client asks and is answered
 *
 * Requests of 2 bytes, with a mapping 12:
 *   offset size field
 *        0    1 version   0
 *        1    1 opcode    enum natpmp_opcode; responses add 128
 *        2    2 reserved
 *        4    2 internal port
 *        6    2 suggested external port
 *        8    4 lifetime  s; 0 deletes
 * Responses put result (2 bytes) at 2 and epoch (s) at 4; then, at 8, the external address (4) or internal port,
 * external port and lifetime. An error may end behind the epoch. Ports, UDP as 5351, are PCP's (pcp.h). */
#ifndef DAEMON_WIRE_NATPMP_H
#define DAEMON_WIRE_NATPMP_H

#include "daemon/base/addr.h"

#define NATPMP_ADDRESS_BYTES 2
#define NATPMP_MAP_BYTES 12
#define NATPMP_RESPONSE_MAX_BYTES 16

enum natpmp_opcode {
	NATPMP_ADDRESS = 0, /* the gateway's external address */
	NATPMP_MAP_UDP = 1,
	NATPMP_MAP_TCP = 2,
};
enum natpmp_result {
	NATPMP_SUCCESS = 0,
	NATPMP_UNSUPPORTED_VERSION = 1,
};

struct natpmp_request {
	enum natpmp_opcode opcode;
	uint16_t internal_port, external_port;
	uint32_t lifetime_s;
};

struct natpmp_response {
	enum natpmp_opcode opcode;
	uint16_t result;
	uint32_t epoch_s;                      /* since the gateway's state was last lost */
	struct ip external;                    /* of NATPMP_ADDRESS; none with an error, or while it has none */
	uint16_t internal_port, external_port; /* of a mapping; 0 with an error that did not tell */
	uint32_t lifetime_s;
};

/* Bytes written, or -ENOSPC; NATPMP_MAP_BYTES are always enough. */
int natpmp_request_encode(uint8_t *out, size_t capacity, const struct natpmp_request *request);
/* -EBADMSG: no response of version 0 to one of our opcodes. A mapping that was granted (lifetime not 0) has ports. */
int natpmp_response_decode(struct natpmp_response *out, const uint8_t *data, size_t len);

const char *natpmp_result_text(uint16_t result); /* "not authorized"; never NULL */

#endif
