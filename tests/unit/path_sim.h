/* tests/unit/path_sim.h - two path sets, the network between them, and a clock that the test turns
 *
 * Datagrams take `delay_ms` one way, are lost at random or by plan, and pass a simulated NAT on each side. Both nodes may
 * send data, one datagram every data_every_ms over the best path, and over the extra one as the data path does. A node whose
 * path fell silent tells the other its candidates anew, which takes a while. A node may stand still: what arrives meanwhile
 * waits, and when it goes on its timers come before what waits, as in every event loop. */
#ifndef TESTS_UNIT_PATH_SIM_H
#define TESTS_UNIT_PATH_SIM_H

#include "daemon/path/path_set.h"

enum sim_nat {
	SIM_PUBLIC,
	SIM_FULL_CONE,
	SIM_ADDRESS_RESTRICTED,
	SIM_PORT_RESTRICTED,
	SIM_SYMMETRIC, /* another port for each destination */
};

#define SIM_FLOWS_MAX 64
#define SIM_DATAGRAMS_MAX 2048

struct sim_flow { /* an entry of the NAT's table */
	uint16_t outer_port;
	struct endpoint remote;
	uint64_t used_ms;
	bool is_routers; /* the router takes what came from there for its own */
};

struct sim_node {
	struct sim *sim;
	struct path_set *set;
	enum sim_nat nat;
	bool is_careless;            /* its router: see is_routers */
	struct endpoint host, outer; /* outer.port: of the mapping that does not depend on the destination */
	struct sim_flow flows[SIM_FLOWS_MAX];
	unsigned n_flows;
	uint16_t next_port;
	struct path_activity activity;
	uint64_t data_every_ms, data_due_ms; /* 0: sends none */
	unsigned n_probes, n_silent, n_ticks, n_changes;
	uint32_t n_received;   /* data */
	uint64_t last_data_ms; /* last datagram of data received, any path */
	unsigned drop_first;   /* of what it sends over direct paths, still to drop */
	struct path_addr best; /* when last looked */
	uint64_t start_ms;     /* when it learns that there is a session; UINT64_MAX: it knows */
	unsigned n_openers;
	uint64_t tell_ms;         /* when the peer learns our present candidates; UINT64_MAX: it knows them */
	uint64_t stands_until_ms; /* 0: it does not stand still */
};

struct sim_datagram {
	bool is_live, is_data;
	unsigned to;
	uint64_t due_ms;
	struct path_addr from; /* as the receiver sees it */
	struct endpoint to_endpoint;
	struct wire_probe probe;
};

struct sim {
	uint64_t now_ms;
	unsigned delay_ms, relay_delay_ms;
	unsigned jitter_ms;                           /* up to so much more */
	unsigned loss_permille, direct_loss_permille; /* of everything; of direct paths, besides */
	uint64_t nat_timeout_ms;                      /* of flows; 0: never */
	bool is_one_lan;
	unsigned late_ms;   /* so much later than node 0 does node 1 learn that there is a session */
	bool has_no_opener; /* nobody sends any */
	bool is_direct_down, is_relay_udp_down, is_relay_tcp_down; /* lose everything */
	unsigned data_bytes;                                       /* of one datagram of data */
	uint64_t random;
	struct sim_node node[2];
	struct sim_datagram datagrams[SIM_DATAGRAMS_MAX];
};

/* Two nodes that know each other's host and reflexive endpoints, and the relay c0 over UDP; not started. */
void sim_init(struct sim *s, enum sim_nat a, enum sim_nat b, uint64_t seed);
void sim_fini(struct sim *s);
/* The handshake went through the relay: node 0 asked, node 1 answered. */
void sim_start(struct sim *s);
/* Calls what is due until `until_ms` or, if given, until is_done. Returns whether is_done was seen. */
bool sim_run(struct sim *s, uint64_t until_ms, bool (*is_done)(const struct sim *s));
void sim_data(struct sim *s, unsigned side, uint64_t every_ms); /* 0: stop */
void sim_nat_flush(struct sim *s, unsigned side);               /* all flows are forgotten, the mapped port changes */
void sim_stand_still(struct sim *s, unsigned side, uint64_t ms);
bool sim_both_direct(const struct sim *s);
bool sim_is_direct(const struct sim *s, unsigned side);
struct endpoint sim_endpoint(const char *text);

#endif
