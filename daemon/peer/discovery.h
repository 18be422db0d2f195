/* daemon/peer/discovery.h - how the network in front of us treats UDP, measured with the help of servers
 *
 * Servers are the UDP ports of coordinators and of standard STUN servers. A round asks all of them, from the data port, at
 * which endpoint they see it: reflexive endpoints, mapping. A survey is a round and what follows from it:
 *   ports      five spare ports ask one server, one after the other: what the next outside port will be
 *   filtering  that server is asked to answer from elsewhere, on the data port and on a spare one that sent nowhere else
 *   hairpin    a spare port and the data port send to each other's outside endpoint
 * A survey runs at the start, after network_changed, when the outside address is another, when asked for, and every 6 h; a
 * round also after refresh. Unanswered requests of a round are repeated after 150, 300, 600, 1200 ms, and given up 1200 ms
 * after the fifth; the others after 200 and 300 ms, and judged 700 ms or two round trips later. Where nobody answers, a round
 * is tried every 30 s.
 *
 * An answer counts once, for the socket, server and token it was asked with, and from where it was asked for. What was learned
 * stands until something else is. IPv4 is judged; of IPv6 the reflexive endpoints and whether it works.
 * Decisions only: opens no socket, reads no clock. Thread: loop.  After: RFC 5780 section 4. */
#ifndef DAEMON_PEER_DISCOVERY_H
#define DAEMON_PEER_DISCOVERY_H

#include "daemon/peer/nat_judge.h"

#define DISCOVERY_DATA 0   /* sockets: the data port, */
#define DISCOVERY_SPARES 5 /* and 1 to this, spare ones with ports that the kernel draws */
#define DISCOVERY_SERVERS_MAX 32
#define DISCOVERY_REFLEXIVE_MAX 8

enum discovery_kind {
	DISCOVERY_COORDINATOR,
	DISCOVERY_STUN,
};

struct discovery_server {
	enum discovery_kind kind;
	uint8_t number; /* which of that kind; an answer comes by the same one */
	struct endpoint endpoint;
	bool has_other_port;     /* it answers from another port when asked to */
	struct ip other_address; /* and from a port of this one; none: it does not */
};

enum discovery_from { /* where an answer shall come from */
	DISCOVERY_FROM_THERE,
	DISCOVERY_FROM_OTHER_PORT,
	DISCOVERY_FROM_OTHER_ADDRESS,
};

struct discovery_answer {
	unsigned socket;
	enum discovery_kind kind;
	uint8_t number;
	struct endpoint from;
	uint64_t token;
	bool is_refused;          /* STUN: it does not do what was asked */
	struct endpoint observed; /* unless refused */
	struct endpoint other;    /* STUN: its OTHER-ADDRESS; ip none: it told none */
};

struct discovery_env {
	/* Sends a request. Must not call back into the discovery; nor may the others. */
	void (*ask)(void *arg, unsigned socket, const struct discovery_server *to, enum discovery_from from,
		    uint64_t token);
	/* Sends, to an endpoint of our own, what becomes discovery_on_loop when it arrives. */
	void (*send_loop)(void *arg, unsigned socket, const struct endpoint *to, uint64_t token);
	int (*spare_open)(void *arg, unsigned socket); /* its local port, or negative errno */
	void (*spare_close)(void *arg, unsigned socket);
	bool (*is_own)(void *arg, const struct ip *ip); /* an address of one of our interfaces */
	void (*changed)(void *arg);                     /* the facts did */
};

struct discovery_facts {
	/* All but lifetime_s, NAT_UDP_BLOCKED, NAT_PORT_MAPPED and NAT_CAPTIVE. NAT_TESTED: every server has answered or was
	 * given up since the start. */
	struct nat_facts nat;
	unsigned n_servers, n_addresses; /* that answered, over IPv4, when the mapping was judged, */
	unsigned n_endpoints;            /* and at how many endpoints they saw the data port */
	unsigned n_reflexive;            /* distinct, newest first */
	struct endpoint reflexive[DISCOVERY_REFLEXIVE_MAX];
};

struct discovery;

struct discovery *discovery_new(const struct discovery_env *env, void *arg, uint16_t data_port);
void discovery_free(struct discovery *d); /* closes spares */

/* The servers there are now; those known before keep what they said. New ones are asked at once. */
void discovery_set_servers(struct discovery *d, const struct discovery_server *v, unsigned n, uint64_t now_ms);
void discovery_network_changed(struct discovery *d, uint64_t now_ms);
/* A path fell silent: does everybody still see us where they did? At most every 500 ms; none is lost. */
void discovery_refresh(struct discovery *d, uint64_t now_ms);
/* Somebody wants the facts fresh: a survey, unless one is under way or began within the last 3 s. */
void discovery_survey(struct discovery *d, uint64_t now_ms);
bool discovery_is_surveying(const struct discovery *d);         /* or about to */
bool discovery_asks(const struct discovery *d, uint8_t ip_len); /* there is a server of that family */
uint64_t discovery_surveyed_ms(const struct discovery *d);      /* when the last one ended; 0: never */

void discovery_on_answer(struct discovery *d, const struct discovery_answer *a, uint64_t now_ms);
void discovery_on_loop(struct discovery *d, unsigned socket, uint64_t token, uint64_t now_ms);
/* Another exchange with that server (a keepalive) told where it sees the data port. True: elsewhere than before. */
bool discovery_observed(struct discovery *d, const struct endpoint *server, const struct endpoint *observed,
			uint64_t now_ms);

void discovery_tick(struct discovery *d, uint64_t now_ms);
uint64_t discovery_next_ms(const struct discovery *d); /* UINT64_MAX: nothing due */
const struct discovery_facts *discovery_facts(const struct discovery *d);
/* The server that surveys ask, if it is a coordinator: others' measurements fit best with it. NULL: none answered. */
const struct discovery_server *discovery_coordinator(const struct discovery *d);

#endif
