/* daemon/peer/routes.h - the networks behind peers, and which peer has each
 *
 * A route is used because this node's own file names it, beside a peer's name; nothing that anybody sends adds one. Under a
 * network key the peer's certificate must have it besides, or one around it. Of several peers with one prefix the one that is up has
 * it, else one that is not known to be away, else the one with the lowest key; of prefixes that overlap the longest counts.
 * Whoever owns them fills in what is known of each route's peer and has them judged whenever that may be other than it was.
 * Decisions only: no socket, no clock. Thread: loop. */
#ifndef DAEMON_PEER_ROUTES_H
#define DAEMON_PEER_ROUTES_H

#include "daemon/config/config.h"

enum route_reach { /* of the peer; a higher one goes first */
	ROUTE_REACH_DOWN,
	ROUTE_REACH_IDLE, /* no contact: it may well answer */
	ROUTE_REACH_UP,
};

enum route_state {
	ROUTE_NO_MEMBER,          /* nobody of that name is known */
	ROUTE_IN_USE,             /* packets go to the peer, which is called by the first if it is idle */
	ROUTE_PEER_DOWN,          /* the same, and it does not answer */
	ROUTE_STANDBY,            /* another peer with the same prefix goes before */
	ROUTE_IN_MESH,            /* it overlaps the addresses of the mesh itself */
	ROUTE_AROUND_COORDINATOR, /* a coordinator's address is in it */
	ROUTE_NOT_CERTIFIED,      /* the peer's certificate does not have it, or is not good */
};
const char *route_state_words(enum route_state s); /* for the log; static */

struct route {
	/* fixed at creation */
	struct prefix net; /* no host bits */
	char name[WIRE_NAME_MAX_BYTES + 1];
	/* as its owner knows the peer of that name */
	uint64_t peer; /* its number; 0: there is none */
	struct pubkey key;
	enum route_reach reach;
	bool is_certified; /* or there is no network key */
	/* as judged */
	enum route_state state;
	uint64_t since_ms;
	const struct route *before; /* ROUTE_STANDBY: the one that goes before */
	/* its owner's */
	enum route_state told; /* in the log, last */
	bool is_installed;     /* in the kernel */
	int error;             /* why it is not, negative errno; 0: it need not be */
};

struct routes {
	unsigned n;
	struct route *v; /* those of one name stand together */
};

/* The routes that the file names, in the file's order; one that is in `old` is as it was there. -ENOMEM: *out is left alone. */
int routes_new(struct routes *out, const struct config *c, const struct routes *old, uint64_t now_ms);
void routes_free(struct routes *r); /* zeros are fine */

struct routes_around { /* what no route may take packets from */
	unsigned n_mesh;
	const struct prefix *mesh; /* our addresses, with their networks */
	unsigned n_coordinators;
	struct ip coordinators[CONFIG_COORDINATORS_MAX * 2];
};
/* Sets state, since_ms and before of all. True: some state is another. */
bool routes_judge(struct routes *r, const struct routes_around *around, uint64_t now_ms);

/* Does its peer have the prefix now, be it there or not? */
bool route_is_active(const struct route *r);
/* The active one with that prefix; NULL: none has it. */
const struct route *routes_active(const struct routes *r, const struct prefix *net);
/* The active one that packets to that address take; NULL: none. */
const struct route *routes_find(const struct routes *r, const struct ip *dst);

/* A network that this node forwards for, or a part of it, is part of the mesh: then it does not. */
bool routes_is_in_mesh(const struct routes_around *around, const struct prefix *net);

#endif
