/* tests/unit/nat_double.h - a NAT, or a firewall, made of a table
 *
 * Mapping, filtering, choice of ports, hairpin and lifetime as RFC 4787 names them. IPv4. */
#ifndef TESTS_UNIT_NAT_DOUBLE_H
#define TESTS_UNIT_NAT_DOUBLE_H

#include "daemon/wire/candidates.h"

#define NAT_DOUBLE_MAPPINGS 512
#define NAT_DOUBLE_SENT_TO 16

enum nat_double_ports {
	NAT_DOUBLE_KEEPS,
	NAT_DOUBLE_STEPS, /* next = last + step */
	NAT_DOUBLE_RANDOM,
};

struct nat_double {
	/* set by the test */
	struct ip outside; /* with mapping NONE: the host's own address */
	enum nat_mapping mapping;
	enum nat_filtering filtering;
	enum nat_double_ports ports;
	int step;
	bool has_hairpin;
	uint16_t forwarded;   /* a local port that is mapped for good: everybody may send there; 0: none */
	uint64_t lifetime_ms; /* of an idle mapping; 0: for ever */
	/* its own */
	unsigned n;
	uint16_t last_port;
	struct nat_double_mapping {
		uint16_t local, port;
		struct endpoint to; /* with a dependent mapping */
		unsigned n_sent_to;
		struct endpoint sent_to[NAT_DOUBLE_SENT_TO];
		uint64_t used_ms;
	} v[NAT_DOUBLE_MAPPINGS];
};

/* A datagram leaves: as whose it arrives. */
struct endpoint nat_double_out(struct nat_double *n, uint16_t local, const struct endpoint *to, uint64_t now_ms);
/* One comes: the local port it gets to, or 0. */
uint16_t nat_double_in(struct nat_double *n, const struct endpoint *to, const struct endpoint *from, uint64_t now_ms);
/* Others behind it make so many mappings. */
void nat_double_noise(struct nat_double *n, unsigned count);
void nat_double_reboot(struct nat_double *n); /* forgets all */

#endif
