/* daemon/path/punch.h - a search through NATs that give each destination another outside port
 *
 * Plain checks (path_set.h) open every pair of NATs of which one shows everybody the same port and lets in whom it was sent
 * to. Four kinds of pair need more, and a fifth is beyond help:
 *   PUNCH_PREDICT   one NAT counts its ports up or down. The side behind it, the asker, lets a coordinator tell the port of a
 *                   fresh socket, sends from that socket to the other side at once, and the other side tries the ports
 *                   that come next.
 *   PUNCH_COUNT     both count. Each learns a fresh socket's port; then the n-th datagram of the one goes to the other's
 *                   n-th next port, and the n-th of the other to the (2n)-th next of the one: whatever small number of ports
 *                   strangers took meanwhile, one pair of datagrams meets (baby steps and giant steps).
 *   PUNCH_BIRTHDAY  one NAT draws its ports. The asker sends from up to PUNCH_SOCKETS_MAX sockets, the other side tries ports
 *                   of the asker's address in a random order, none twice.
 *   PUNCH_FRESH     neither changes ports, and yet plain checks found nothing: a router on the way that takes a stranger's
 *                   datagram for a flow of its own heard one side too early, and gives the other its mapping no more. Each learns
 *                   a fresh socket's port; the one who is asked sends openers (path_set.h) from it to the other's and then tells
 *                   its own, to which the asker sends.
 *   PUNCH_HOPELESS  one draws and neither side shows one port: the relay is what there is, until something changes.
 * Only probes are sent (wire/session.h): what comes of them is the path set's to see, which answers to where a probe came from.
 *
 * The budget: one search at a time in a node, PUNCH_SOCKETS_MAX mappings made at the asker's NAT, one datagram each
 * PUNCH_PACE_MS on either side, PUNCH_PROBES_MAX of them, only while data is relayed; after a failure a wait of 1 minute, 10
 * minutes, 1 hour. What it spent is kept for those who ask.
 * The one who is asked sends to the asker's address only, as a coordinator saw it.
 * Opens no socket, reads no clock. Thread: loop.  After: NAT.md's figures; RFC 5128 section 3.4 for the idea. */
#ifndef DAEMON_PATH_PUNCH_H
#define DAEMON_PATH_PUNCH_H

#include "daemon/wire/session.h"

#define PUNCH_PACE_MS 13 /* with plain checks of some endpoints beside it, under 100 a second */
#define PUNCH_SOCKETS_MAX 256
#define PUNCH_PROBES_MAX 1200

/* What searches with one peer came to; zeroed: none yet. */
struct punch_history {
	uint64_t next_ms;  /* none before; 0: any time */
	uint64_t begun_ms; /* of the last one; 0: never */
	unsigned n_failed; /* in a row */
	enum punch_method method;
	bool was_asker, was_found;
	uint32_t n_searches, n_sockets, n_probes; /* in all */
};

struct punch_env {
	/* A fresh socket's number, or negative errno. The owner closes those that no path uses when the search is over. */
	int (*open)(void *arg);
	/* Ask a coordinator where that socket is seen; punch_on_base gets the answer. Repeated while none comes. */
	void (*ask)(void *arg, uint16_t socket);
	/* One probe of the session, from that socket (0: the node's port). */
	void (*probe)(void *arg, uint16_t socket, const struct endpoint *to);
	/* Something that passes our own NATs, if there are no more of them than is thought and `further`, and dies soon after. */
	void (*opener)(void *arg, uint16_t socket, const struct endpoint *to, unsigned further);
	void (*say)(void *arg, const struct wire_punch *m); /* to the peer, through the relay */
	void (*over)(void *arg, bool was_found); /* the search is over; it may not be begun anew from within */
};

enum punch_state {
	PUNCH_IDLE,
	PUNCH_ASKING,  /* the peer has not answered */
	PUNCH_SEEKING, /* a socket's place in the world is awaited */
	PUNCH_RUNNING,
};

struct punch { /* set up by punch_init; read by others, changed by the functions below */
	const struct punch_env *env;
	void *arg;
	enum punch_state state;
	enum punch_method method;
	bool is_asker;
	uint32_t round;
	struct punch_history *history;
	/* the sides */
	struct endpoint target; /* asker: where the other side is seen; else ip: the asker's address */
	int8_t stride, their_stride;
	struct endpoint base, their_base; /* of this try */
	/* this try */
	unsigned n_tries;
	uint16_t socket;
	unsigned n_asked;  /* times the question at hand was put */
	unsigned n_sent;   /* datagrams of this try */
	unsigned n_opened; /* sockets of this search */
	unsigned n_spent;  /* datagrams of this search */
	uint16_t first_port, port_step;
	uint64_t due_ms, until_ms, end_ms; /* next act; end of the try; end of the search */
};

/* What two NATs call for beyond plain checks, and whether this side asks. `here_is_lower`: our key is the lower one. */
enum punch_method punch_method(const struct nat_facts *here, const struct nat_facts *there, bool here_is_lower,
			       bool *is_asker);
const char *punch_method_name(enum punch_method m); /* "predict", "count", "birthday", "fresh", "hopeless"; "none" */

void punch_init(struct punch *p, const struct punch_env *env, void *arg);
static inline bool punch_is_idle(const struct punch *p)
{
	return p->state == PUNCH_IDLE;
}
/* May a search with this peer begin? A count that failed is followed by a birthday, where that can work. */
bool punch_is_due(const struct punch_history *h, uint64_t now_ms);
/* Something changed: what failed before says nothing any more. */
void punch_history_reset(struct punch_history *h);

/* Begins a search as the asker: `target` is where the other side is seen. Only when idle. */
void punch_start(struct punch *p, enum punch_method method, const struct endpoint *target, int8_t stride,
		 struct punch_history *h, uint64_t now_ms);
/* The peer asks: joins. `their_ip` is its address as a coordinator saw it. Only when idle, or of the search at hand. */
void punch_join(struct punch *p, const struct wire_punch *ask, const struct ip *their_ip, int8_t stride,
		struct punch_history *h, uint64_t now_ms);
/* Anything but PUNCH_ASK from the peer of the search at hand. */
void punch_on_message(struct punch *p, const struct wire_punch *m, uint64_t now_ms);
void punch_on_base(struct punch *p, uint16_t socket, const struct endpoint *seen, uint64_t now_ms);
/* A direct path is there, or the peer went away. */
void punch_end(struct punch *p, bool was_found, uint64_t now_ms);
void punch_tick(struct punch *p, uint64_t now_ms);
uint64_t punch_next_ms(const struct punch *p);

#endif
