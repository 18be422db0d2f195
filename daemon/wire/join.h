/* daemon/wire/join.h - the URL with which one node joins a network
 *
 * "warren://join/" and, in base64 for URLs (RFC 4648 section 5) without padding:
 *   offset size field          (integers big-endian)
 *        0    1 version        JOIN_VERSION
 *        1   32 network key
 *       33      name           the network's; 1 length, text
 *        .      coordinators   1 count (1..JOIN_COORDINATORS_MAX), each: 32 key, host (1 length, text), 2 port
 *        .   32 seed           the secret half of the invitation's key
 *        .      invitation     2 length, as cert.h has it
 *        .   16 check          the first bytes of a hash of all before: a URL that was cut or mistyped is none
 *
 * Whoever has the URL can become the one member that it makes. The check keeps no one from changing it: of the invitation the
 * signature does, and whoever changes the rest leads the joining node to another coordinator, with an invitation that is of no use
 * there. Host names hold nothing that would need quotes in a file. Pure functions.  Thread: any. */
#ifndef DAEMON_WIRE_JOIN_H
#define DAEMON_WIRE_JOIN_H

#include "daemon/wire/cert.h"

#define JOIN_VERSION 1
#define JOIN_COORDINATORS_MAX 4
#define JOIN_HOST_MAX_BYTES 253 /* RFC 1035's limit of a name */
#define JOIN_CHECK_BYTES 16
#define JOIN_MAX_BYTES                                                                                        \
	(1 + KEY_BYTES + 1 + WIRE_NAME_MAX_BYTES + 1 +                                                        \
	 JOIN_COORDINATORS_MAX * (KEY_BYTES + 1 + JOIN_HOST_MAX_BYTES + 2) + KEY_BYTES + 2 + CERT_MAX_BYTES + \
	 JOIN_CHECK_BYTES)
#define JOIN_URL_PREFIX "warren://join/"
#define JOIN_URL_BYTES (sizeof(JOIN_URL_PREFIX) + (JOIN_MAX_BYTES + 2) / 3 * 4) /* with the NUL */

struct join_coordinator {
	struct pubkey key;
	char host[JOIN_HOST_MAX_BYTES + 1]; /* a name, or an address without brackets */
	uint16_t port;
};

struct join {
	struct verifykey network_key;
	char network[WIRE_NAME_MAX_BYTES + 1];
	unsigned n_coordinators;
	struct join_coordinator coordinators[JOIN_COORDINATORS_MAX];
	struct signkey seed;    /* wiped by the owner */
	struct cert invitation; /* as of cert_invitation_decode */
};

/* Letters, digits, '.', '-', ':' and, for an address of a link, '%'. */
bool join_host_is_valid(const char *host);

/* Lengths. -EINVAL for what no decoder would take: also a seed that is not the invitation's, or an invitation of another network. */
int join_encode(uint8_t out[static JOIN_MAX_BYTES], const struct join *j);
/* -EBADMSG, -EPROTONOSUPPORT (another version), and *out stays as it was. The invitation's signature and time are the caller's to
 * ask cert_verify_invitation for. */
int join_decode(struct join *out, const uint8_t *data, size_t len);

/* The same as text. -EINVAL; NULL. A newline at the end is no part of it. */
const char *join_to_url(const struct join *j, char out[static JOIN_URL_BYTES]);
int join_from_url(struct join *out, const char *text, size_t len);

#endif
