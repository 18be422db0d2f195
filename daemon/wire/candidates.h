/* daemon/wire/candidates.h - where a node may be reached, and what it knows of its NAT
 *
 * The same block stands in control messages (control.h) and in session messages (session.h):
 *   offset size field
 *        0    1 mapping   enum nat_mapping
 *        1    1 filtering enum nat_filtering
 *        2    1 flags     bit 0 NAT_UDP4_OK, 1 NAT_UDP6_OK, 2 NAT_UDP_BLOCKED, 3 NAT_TESTED
 *        3    1 count     0..16
 *        4      count times: 1 kind (enum candidate_kind), 1 address length (4 or 16), 2 port, address
 * Decoding refuses a bad length, and silently leaves out addresses that must never be sent to (ip_is_sendable,
 * port 0): they are attacker-chosen. Unknown kinds become CANDIDATE_OTHER. */
#ifndef DAEMON_WIRE_CANDIDATES_H
#define DAEMON_WIRE_CANDIDATES_H

#include "daemon/base/addr.h"
#include "daemon/base/bytes.h"
#include "daemon/wire/wire.h"

enum candidate_kind { /* numbers are on the wire */
	CANDIDATE_OTHER = 0,
	CANDIDATE_HOST = 1,           /* an address of an interface */
	CANDIDATE_REFLEXIVE = 2,      /* as the coordinator saw it */
	CANDIDATE_PEER_REFLEXIVE = 3, /* as a peer saw it; never sent, learned from a probe's source */
	CANDIDATE_MAPPED = 4,         /* a port mapping (PCP, NAT-PMP, UPnP IGD) */
	CANDIDATE_CONFIGURED = 5,
};

enum nat_mapping { /* RFC 4787 section 4.1 */
	NAT_MAPPING_UNKNOWN = 0,
	NAT_MAPPING_NONE = 1,                 /* reflexive is an interface address: no NAT */
	NAT_MAPPING_ENDPOINT_INDEPENDENT = 2, /* the same reflexive endpoint from two of the coordinator's ports */
	NAT_MAPPING_ENDPOINT_DEPENDENT = 3,   /* "hard" */
};
enum nat_filtering { /* RFC 4787 section 5 */
	NAT_FILTERING_UNKNOWN = 0,
	NAT_FILTERING_ENDPOINT_INDEPENDENT = 1,
	NAT_FILTERING_ADDRESS_DEPENDENT = 2,
	NAT_FILTERING_ADDRESS_AND_PORT_DEPENDENT = 3,
};
#define NAT_UDP4_OK 0x01 /* a UDP exchange with a coordinator over IPv4 worked */
#define NAT_UDP6_OK 0x02
#define NAT_UDP_BLOCKED 0x04 /* TCP to the coordinator works and no UDP does */
#define NAT_TESTED 0x08      /* the above has been measured */

struct nat_facts {
	uint8_t mapping, filtering, flags;
};

struct candidate {
	enum candidate_kind kind;
	struct endpoint endpoint;
};

struct candidates {
	struct nat_facts nat;
	unsigned n;
	struct candidate v[WIRE_CANDIDATES_MAX];
};
#define WIRE_CANDIDATES_MAX_BYTES (4 + WIRE_CANDIDATES_MAX * 20)

void wire_candidates_write(struct writer *w, const struct candidates *c);
/* Fails the reader when malformed. */
void wire_candidates_read(struct reader *r, struct candidates *out);

#endif
