/* daemon/peer/nat_judge.h - what was observed -> how the NAT in front of us behaves
 *
 * Pure functions. What the observations do not decide is UNKNOWN, never guessed.
 * Thread: any.  After: RFC 4787 sections 4 and 5, RFC 5780 section 4. */
#ifndef DAEMON_PEER_NAT_JUDGE_H
#define DAEMON_PEER_NAT_JUDGE_H

#include "daemon/wire/candidates.h"

/* One local port was seen by `server` as `observed`. */
struct nat_observation {
	struct endpoint server, observed;
};

/* All of one local port, one network and about one moment. Servers that differ in the port alone cannot tell independence of
 * the endpoint from independence of the port: with one address only, the former is said. */
enum nat_mapping nat_judge_mapping(const struct nat_observation *v, unsigned n);

enum nat_answer {
	NAT_ANSWER_UNKNOWN, /* not asked, or the asking failed */
	NAT_ANSWER_NO,      /* asked, and the server answers otherwise: it did not get through */
	NAT_ANSWER_YES,
};

/* Did an answer get through that came from a port nobody has sent to: of an address that was sent to, of another? The data
 * port may have sent to that other address, the spare port never has. */
struct nat_filter_tests {
	enum nat_answer data_other_port, data_other_address;
	enum nat_answer spare_other_port, spare_other_address;
};
enum nat_filtering nat_judge_filtering(const struct nat_filter_tests *t);

/* New mappings in the order they were made. */
struct nat_port_sample {
	uint16_t local, outside;
};
/* From one mapping's outside port to the next one's, others' mappings in between allowed for; 0: no rule, or the local ports
 * are the rule. */
int8_t nat_judge_step(const struct nat_port_sample *v, unsigned n);

/* The names of RFC 3489, as a reading aid: "full cone", "symmetric", ... NULL if the facts do not decide. */
const char *nat_classic_name(const struct nat_facts *nat);

#endif
