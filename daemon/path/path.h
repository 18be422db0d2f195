/* daemon/path/path.h - a way to reach one peer
 *
 * Values only. The loop owns every struct path; workers get copies of its address in their snapshot. */
#ifndef DAEMON_PATH_PATH_H
#define DAEMON_PATH_PATH_H

#include "daemon/base/addr.h"
#include "daemon/wire/candidates.h"

enum path_kind {
	PATH_NONE = 0,
	PATH_UDP,       /* straight to an endpoint: "lan" or "direct" */
	PATH_TCP,       /* straight to an endpoint, over a TCP connection: "tcp" */
	PATH_RELAY_UDP, /* through a coordinator, our half over UDP */
	PATH_RELAY_TCP, /* through a coordinator, over its control connection */
};

/* Which way a datagram goes or came; equal addresses are one path. */
struct path_addr {
	enum path_kind kind;
	uint8_t coordinator;      /* relays: index into the node's coordinators; else 0 */
	uint16_t socket;          /* PATH_UDP: of ours; 0: the node's port, others: a spare one's number */
	struct endpoint endpoint; /* PATH_UDP, PATH_TCP: the peer's; else none */
};

static inline bool path_addr_is_relay(const struct path_addr *a)
{
	return a->kind == PATH_RELAY_UDP || a->kind == PATH_RELAY_TCP;
}

static inline bool path_addr_is_direct(const struct path_addr *a)
{
	return a->kind == PATH_UDP || a->kind == PATH_TCP;
}

enum path_state {
	PATH_NOT_TRIED,
	PATH_PROBING,
	PATH_FAILED,  /* a round of probes went unanswered */
	PATH_STANDBY, /* answered, but another is better */
	PATH_IN_USE,
};

enum path_mtu_state {
	PATH_MTU_UNKNOWN,
	PATH_MTU_SEARCHING,
	PATH_MTU_FOUND,
};

/* Crosses any IPv6 link whole, relay header included; RFC 8899's BASE_PLPMTU. */
#define PATH_MTU_BASE_BYTES 1200
/* The largest UDP payload IPv4 has room for. */
#define PATH_MTU_MOST_BYTES 65507

struct path {
	struct path_addr addr;
	enum candidate_kind candidate; /* direct ones: where the endpoint came from */
	bool is_lan;                   /* PATH_UDP: on one of our links, or a private address that answered */
	enum path_state state;
	uint32_t n_sent, n_answered; /* probes, all rounds */
	uint32_t rtt_us;             /* smoothed (RFC 6298); 0: unknown */
	uint32_t last_rtt_us;        /* the last sample */
	uint32_t jitter_us;          /* smoothed difference of RTTs that follow each other (RFC 3550 section 6.4.1) */
	int32_t loss_permille;       /* of what is sent over it; -1: not measured lately */
	bool is_lossy;               /* left for its loss, until it is measured to be clean */
	uint64_t last_sent_ms;       /* 0: never */
	uint64_t last_answer_ms;     /* last proof that datagrams get there and back; 0: never */
	uint64_t since_ms;           /* when it entered its state */
	uint32_t mtu_bytes;          /* largest datagram, before the relay header, that gets through; 0: unknown yet */
	enum path_mtu_state mtu_state;
	uint32_t n_mtu_drops; /* times it turned out smaller without anybody saying so */
};

/* What a datagram, before the relay header, may have now. */
uint32_t path_datagram_max(const struct path *p);
bool path_addr_equal(const struct path_addr *a, const struct path_addr *b);
/* "lan", "direct", "tcp", "relay" */
const char *path_kind_name(const struct path *p);
/* "udp", "tcp" */
const char *path_transport_name(const struct path_addr *a);
const char *path_state_name(enum path_state s);         /* "in use", "standby", ... */
const char *path_mtu_state_name(enum path_mtu_state s); /* "unknown", "searching", "found" */
const char *candidate_kind_name(enum candidate_kind k); /* "host", "reflexive", ... */
const char *nat_mapping_name(uint8_t mapping);          /* "endpoint-independent", "address-dependent", ... */
const char *nat_filtering_name(uint8_t filtering);

#endif
