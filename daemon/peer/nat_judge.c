#include "daemon/peer/nat_judge.h"

#include <stdlib.h>

#define STEP_SAMPLES_MIN 4
/* Between two mappings made within a round trip: more than so many in between is no rule to count on. Four random ports lie
 * so near to each other once in 10^8 tries. */
#define STEP_NEAR 256

enum nat_mapping nat_judge_mapping(const struct nat_observation *v, unsigned n)
{
	bool is_port_told = false; /* two ports of one address saw the same */
	bool has_pair = false, has_changed = false;

	for (unsigned i = 0; i < n; i++) {
		for (unsigned k = i + 1; k < n; k++) {
			bool is_same = endpoint_equal(&v[i].observed, &v[k].observed);

			if (v[i].server.ip.len != 4 || v[k].server.ip.len != 4 ||
			    endpoint_equal(&v[i].server, &v[k].server))
				continue;
			has_pair = true;
			has_changed |= !is_same;
			if (!ip_equal(&v[i].server.ip, &v[k].server.ip))
				continue;
			if (!is_same)
				return NAT_MAPPING_ADDRESS_AND_PORT_DEPENDENT;
			is_port_told = true;
		}
	}
	if (!has_pair)
		return NAT_MAPPING_UNKNOWN;
	if (!has_changed)
		return NAT_MAPPING_ENDPOINT_INDEPENDENT;
	return is_port_told ? NAT_MAPPING_ADDRESS_DEPENDENT : NAT_MAPPING_ENDPOINT_DEPENDENT;
}

enum nat_filtering nat_judge_filtering(const struct nat_filter_tests *t)
{
	if (t->data_other_port == NAT_ANSWER_NO)
		return NAT_FILTERING_ADDRESS_AND_PORT_DEPENDENT;
	if (t->data_other_port != NAT_ANSWER_YES)
		return NAT_FILTERING_UNKNOWN;
	if (t->data_other_address == NAT_ANSWER_NO)
		return NAT_FILTERING_ADDRESS_DEPENDENT;
	if (t->data_other_address != NAT_ANSWER_YES)
		return NAT_FILTERING_UNKNOWN;
	/* It may have come through because the data port has sent there. */
	if (t->spare_other_address == NAT_ANSWER_YES)
		return NAT_FILTERING_ENDPOINT_INDEPENDENT;
	if (t->spare_other_address != NAT_ANSWER_NO)
		return NAT_FILTERING_UNKNOWN;
	if (t->spare_other_port == NAT_ANSWER_YES)
		return NAT_FILTERING_ADDRESS_DEPENDENT;
	/* Another port lets in only what it has sent to, ours everything: it is mapped, or a firewall's exception. */
	return t->spare_other_port == NAT_ANSWER_NO ? NAT_FILTERING_ENDPOINT_INDEPENDENT : NAT_FILTERING_UNKNOWN;
}

static unsigned gcd(unsigned a, unsigned b)
{
	while (b) {
		unsigned rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

int8_t nat_judge_step(const struct nat_port_sample *v, unsigned n)
{
	bool follows_local = true;
	unsigned step = 0;
	int sign = 0;

	if (n < STEP_SAMPLES_MIN)
		return 0;
	for (unsigned i = 1; i < n; i++) {
		int16_t apart = (int16_t)(v[i].outside - v[i - 1].outside); /* the last port comes before the first */
		int16_t local = (int16_t)(v[i].local - v[i - 1].local);

		follows_local &= apart == local;
		if (apart == 0 || abs(apart) > STEP_NEAR || (sign && (apart > 0) != (sign > 0)))
			return 0;
		sign = apart > 0 ? 1 : -1;
		step = gcd((unsigned)abs(apart), step);
	}
	if (follows_local || step > INT8_MAX)
		return 0;
	return (int8_t)(sign * (int)step);
}

const char *nat_classic_name(const struct nat_facts *nat)
{
	bool is_open = nat->filtering == NAT_FILTERING_ENDPOINT_INDEPENDENT;

	if (nat->flags & NAT_UDP_BLOCKED)
		return "UDP blocked";
	switch (nat->mapping) {
	case NAT_MAPPING_NONE:
		if (nat->filtering == NAT_FILTERING_UNKNOWN)
			return NULL;
		return is_open ? "open" : "symmetric firewall";
	case NAT_MAPPING_ENDPOINT_INDEPENDENT:
		break;
	case NAT_MAPPING_UNKNOWN:
		return NULL;
	default:
		return "symmetric";
	}
	switch (nat->filtering) {
	case NAT_FILTERING_ENDPOINT_INDEPENDENT:
		return "full cone";
	case NAT_FILTERING_ADDRESS_DEPENDENT:
		return "restricted cone";
	case NAT_FILTERING_ADDRESS_AND_PORT_DEPENDENT:
		return "port-restricted cone";
	default:
		return NULL;
	}
}
