/* daemon/wire/candidates.h - where a node may be reached, and what it knows of its NAT
 *
 * The same block stands in control messages (control.h) and in session messages (session.h):
 *   offset size field
 *        0    1 mapping   enum nat_mapping
 *        1    1 filtering enum nat_filtering
 *        2    2 flags     NAT_*
 *        4    2 port      the outside port seen last; 0: unknown
 *        6    2 spread    between the lowest and the highest outside port seen, for one local port
 *        8    1 step      from one mapping's outside port to the next one's, signed; 0: no rule was found
 *        9    1 reserved
 *       10    2 lifetime  of an idle UDP mapping, s; 0: unknown
 *       12    1 count     0..16
 *       13      count times: 1 kind (enum candidate_kind), 1 address length (4 or 16), 2 port, address
 * Decoding refuses a bad length, and silently leaves out addresses that must never be sent to (ip_is_sendable,
 * port 0): they are attacker-chosen. Unknown kinds become CANDIDATE_OTHER, unknown behaviours UNKNOWN. */
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
	CANDIDATE_GATEWAY = 6,       /* the gateway's outer address with the local port */
	CANDIDATE_PREDICTED = 7,     /* never sent: a port that the peer's NAT may use next */
	CANDIDATE_TCP_HOST = 8,      /* as 1, 2, 4 and 5, for TCP */
	CANDIDATE_TCP_REFLEXIVE = 9, /* of the local port that the control connection leaves from */
	CANDIDATE_TCP_MAPPED = 10,
	CANDIDATE_TCP_CONFIGURED = 11,
};

enum nat_mapping { /* RFC 4787 section 4.1 */
	NAT_MAPPING_UNKNOWN = 0,
	NAT_MAPPING_NONE = 1,                 /* reflexive is an interface address: no NAT */
	NAT_MAPPING_ENDPOINT_INDEPENDENT = 2, /* one reflexive endpoint for every destination */
	NAT_MAPPING_ENDPOINT_DEPENDENT = 3,   /* "hard"; not known which of the next two */
	NAT_MAPPING_ADDRESS_DEPENDENT = 4,
	NAT_MAPPING_ADDRESS_AND_PORT_DEPENDENT = 5,
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
#define NAT_KEEPS_PORT 0x10  /* the outside port is the local one */
#define NAT_HAIRPIN 0x20     /* our own reflexive endpoint can be reached from inside */
#define NAT_HAIRPIN_TESTED 0x40
#define NAT_PORT_MAPPED 0x80 /* the gateway maps a port for us */
#define NAT_CAPTIVE 0x100    /* a captive portal answers in the coordinator's place */

#define NAT_RELAY_ONLY 0x200 /* to this peer: our file wants the relay for it */

struct nat_facts {
	uint8_t mapping, filtering;
	uint16_t flags;
	uint16_t port, port_spread;
	int8_t port_step;
	uint16_t lifetime_s;
};

bool nat_facts_equal(const struct nat_facts *a, const struct nat_facts *b);
/* "Hard": where we are seen depends on whom we send to. */
static inline bool nat_is_hard(const struct nat_facts *nat)
{
	return (nat->flags & NAT_TESTED) && nat->mapping >= NAT_MAPPING_ENDPOINT_DEPENDENT;
}
/* One endpoint serves for everybody. */
static inline bool nat_is_easy(const struct nat_facts *nat)
{
	return (nat->flags & NAT_TESTED) &&
	       (nat->mapping == NAT_MAPPING_NONE || nat->mapping == NAT_MAPPING_ENDPOINT_INDEPENDENT);
}
static inline bool candidate_is_tcp(enum candidate_kind kind)
{
	return kind >= CANDIDATE_TCP_HOST && kind <= CANDIDATE_TCP_CONFIGURED;
}

struct candidate {
	enum candidate_kind kind;
	struct endpoint endpoint;
};

struct candidates {
	struct nat_facts nat;
	unsigned n;
	struct candidate v[WIRE_CANDIDATES_MAX];
};
#define WIRE_CANDIDATES_HEADER_BYTES 13
#define WIRE_CANDIDATES_MAX_BYTES (WIRE_CANDIDATES_HEADER_BYTES + WIRE_CANDIDATES_MAX * 20)

void wire_candidates_write(struct writer *w, const struct candidates *c);
/* Fails the reader when malformed. */
void wire_candidates_read(struct reader *r, struct candidates *out);

#endif
