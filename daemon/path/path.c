#include "daemon/path/path.h"

bool path_addr_equal(const struct path_addr *a, const struct path_addr *b)
{
	if (a->kind != b->kind || a->coordinator != b->coordinator || a->socket != b->socket)
		return false;
	return !path_addr_is_direct(a) || endpoint_equal(&a->endpoint, &b->endpoint);
}

const char *path_kind_name(const struct path *p)
{
	switch (p->addr.kind) {
	case PATH_UDP:
		return p->is_lan ? "lan" : "direct";
	case PATH_TCP:
		return "tcp";
	case PATH_RELAY_UDP:
	case PATH_RELAY_TCP:
		return "relay";
	case PATH_NONE:
		break;
	}
	return "none";
}

const char *path_transport_name(const struct path_addr *a)
{
	switch (a->kind) {
	case PATH_UDP:
	case PATH_RELAY_UDP:
		return "udp";
	case PATH_TCP:
	case PATH_RELAY_TCP:
		return "tcp";
	case PATH_NONE:
		break;
	}
	return "none";
}

const char *path_state_name(enum path_state s)
{
	switch (s) {
	case PATH_NOT_TRIED:
		return "not tried";
	case PATH_PROBING:
		return "probing";
	case PATH_FAILED:
		return "failed";
	case PATH_STANDBY:
		return "standby";
	case PATH_IN_USE:
		return "in use";
	}
	return "unknown";
}

const char *candidate_kind_name(enum candidate_kind k)
{
	switch (k) {
	case CANDIDATE_HOST:
		return "host";
	case CANDIDATE_REFLEXIVE:
		return "reflexive";
	case CANDIDATE_PEER_REFLEXIVE:
		return "peer-reflexive";
	case CANDIDATE_MAPPED:
		return "mapped";
	case CANDIDATE_CONFIGURED:
		return "configured";
	case CANDIDATE_GATEWAY:
		return "gateway";
	case CANDIDATE_PREDICTED:
		return "predicted";
	case CANDIDATE_TCP_HOST:
		return "tcp-host";
	case CANDIDATE_TCP_REFLEXIVE:
		return "tcp-reflexive";
	case CANDIDATE_TCP_MAPPED:
		return "tcp-mapped";
	case CANDIDATE_TCP_CONFIGURED:
		return "tcp-configured";
	case CANDIDATE_OTHER:
		break;
	}
	return "other";
}

const char *nat_mapping_name(uint8_t mapping)
{
	static const char *const names[] = {
		[NAT_MAPPING_UNKNOWN] = "unknown",
		[NAT_MAPPING_NONE] = "none",
		[NAT_MAPPING_ENDPOINT_INDEPENDENT] = "endpoint-independent",
		[NAT_MAPPING_ENDPOINT_DEPENDENT] = "endpoint-dependent",
		[NAT_MAPPING_ADDRESS_DEPENDENT] = "address-dependent",
		[NAT_MAPPING_ADDRESS_AND_PORT_DEPENDENT] = "address-and-port-dependent",
	};

	return mapping < sizeof(names) / sizeof(names[0]) ? names[mapping] : "unknown";
}

const char *nat_filtering_name(uint8_t filtering)
{
	static const char *const names[] = {
		[NAT_FILTERING_UNKNOWN] = "unknown",
		[NAT_FILTERING_ENDPOINT_INDEPENDENT] = "endpoint-independent",
		[NAT_FILTERING_ADDRESS_DEPENDENT] = "address-dependent",
		[NAT_FILTERING_ADDRESS_AND_PORT_DEPENDENT] = "address-and-port-dependent",
	};

	return filtering < sizeof(names) / sizeof(names[0]) ? names[filtering] : "unknown";
}

uint32_t path_datagram_max(const struct path *p)
{
	return p->mtu_bytes ? p->mtu_bytes : PATH_MTU_BASE_BYTES;
}

const char *path_mtu_state_name(enum path_mtu_state s)
{
	switch (s) {
	case PATH_MTU_UNKNOWN:
		break;
	case PATH_MTU_SEARCHING:
		return "searching";
	case PATH_MTU_FOUND:
		return "found";
	}
	return "unknown";
}
