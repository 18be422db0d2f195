/* daemon/data/table.h - the snapshot that workers read: who is where, under which keys
 *
 * The loop builds a whole new table when anything in it changes and publishes it; how, and when old ones are freed, is in
 * base/epochs.h. A table holds references to everything it names.
 * Thread: build, publish and reclaim by the loop; enter, look-ups and leave by any reader. */
#ifndef DAEMON_DATA_TABLE_H
#define DAEMON_DATA_TABLE_H

#include <stdatomic.h>

#include "daemon/base/epochs.h"
#include "daemon/data/capture.h"
#include "daemon/data/compress.h"
#include "daemon/data/prefixes.h"
#include "daemon/data/spares.h"
#include "daemon/path/path.h"
#include "daemon/peer/session.h"
#include "daemon/relay/link.h"

/* Other sources of one peer that the loop is told of in one second: a peer has few ways to us at a time. */
#define SHARED_PEER_TOLD 4

/* The part of a peer that workers share with the loop. */
struct shared_peer {
	uint64_t id; /* the loop's peer by this id, if it still exists */
	_Atomic uint32_t refs;
	_Atomic bool is_asleep;                  /* the loop wants to hear of the next traffic */
	_Atomic uint64_t told[SHARED_PEER_TOLD]; /* other sources the loop was told of: second, hash of the source */
	struct traffic traffic;
	struct compress_trial compression;
};
struct shared_peer *shared_peer_new(uint64_t id);
struct shared_peer *shared_peer_ref(struct shared_peer *p);
void shared_peer_unref(struct shared_peer *p);

struct table_path {
	struct path_addr addr;   /* relays: the coordinator's own endpoint stands in endpoint */
	struct relay_link *link; /* PATH_RELAY_UDP; referenced by the table */
	struct spare *spare;     /* PATH_UDP from a spare socket, NULL: from the node's port; referenced */
	uint32_t member;         /* relays: the peer's id there */
	uint32_t through;        /* index of the link to send through; 0: the kernel's choice */
};

#define TABLE_PATHS_MAX 2

struct table_route {
	struct shared_peer *peer;
	struct session *session;             /* to send under; NULL: packets go to the loop */
	size_t mtu_bytes;                    /* longest inner packet that goes whole over all of paths */
	bool is_mtu_known;                   /* it was searched: longer packets are told so (else they go in pieces) */
	enum config_compression compression; /* of what is sent; off unless session agreed to it */
	unsigned n_paths;                    /* 2: while the first is unsure, both get a copy */
	struct table_path paths[TABLE_PATHS_MAX];
	unsigned n_addrs;
	struct ip addrs[WIRE_ADDRS_MAX]; /* the only inner sources accepted from it, but for networks behind it */
};

struct table_index {
	uint32_t index;          /* 0: a free slot */
	struct session *session; /* or */
	struct relay_link *link;
	uint8_t coordinator;             /* of link */
	const struct table_route *route; /* of session */
};

struct table {
	struct epochs_item item; /* first */
	struct capture *capture; /* what passes is put there; NULL: nothing is. Referenced */
	unsigned n_own;
	struct ip own[WIRE_ADDRS_MAX];
	unsigned n_behind;
	struct prefix behind[CERT_ROUTES_MAX]; /* networks that this node forwards for */
	unsigned n_routes, routes_max;
	struct table_route *routes;
	unsigned n_indices, indices_max;
	unsigned addr_mask, index_mask; /* slots - 1 */
	const struct table_route **by_addr;
	struct prefixes *networks; /* behind peers; NULL: there are none, and nothing of a packet costs more for it */
	struct table_index *by_index;
};

/* Builder: sizes are upper bounds. NULL: memory. References are taken by the add functions. */
struct table *table_new(unsigned n_routes, unsigned n_indices);
/* The route has n_paths, session etc. filled in by the caller; the table takes references to what it names. NULL if
 * full; a session or link too many is left out. */
const struct table_route *table_add_route(struct table *t, const struct table_route *route);
void table_add_session(struct table *t, struct session *s, const struct table_route *route);
/* Before table_add_network: for so many. -ENOMEM. */
int table_make_networks(struct table *t, unsigned n);
/* A network behind that route's peer. Of several with one prefix the one that is_first gets what is sent; route NULL: the loop knows
 * what to do with it. */
void table_add_network(struct table *t, const struct prefix *net, const struct table_route *route, bool is_first);
void table_add_link(struct table *t, struct relay_link *l, uint8_t coordinator);
void table_free(struct table *t);

/* Whose address it is, else whose network it is in. */
const struct table_route *table_find_addr(const struct table *t, const struct ip *dst);
const struct table_index *table_find_index(const struct table *t, uint32_t index);
/* May a packet from there come from that route's peer? `r` is of the table. */
bool table_may_come_from(const struct table *t, const struct table_route *r, const struct ip *src);
/* Is it ours, or in a network behind us? */
bool table_is_own(const struct table *t, const struct ip *ip);

struct tables {
	struct epochs epochs;
};
void tables_init(struct tables *t);
void tables_fini(struct tables *t); /* no reader may be left */
void tables_publish_take(struct tables *t, struct table *next);
/* Frees what nobody can hold. True if something is still waiting. */
bool tables_reclaim(struct tables *t);
const struct table *tables_enter(struct tables *t, unsigned reader); /* NULL before the first */
void tables_leave(struct tables *t, unsigned reader);
bool tables_is_current(const struct tables *t, const struct table *table); /* or has one been published since? */

#endif
