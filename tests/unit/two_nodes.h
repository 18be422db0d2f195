/* tests/unit/two_nodes.h - two nodes, a wire between them, and time that a test turns by hand
 *
 * Each has an identity, sessions with the other, and a responder; what they send arrives `delay_ms` later unless `lose`
 * says no. Nothing here sleeps or reads a clock. */
#ifndef TESTS_UNIT_TWO_NODES_H
#define TESTS_UNIT_TWO_NODES_H

#include "daemon/peer/responder.h"
#include "daemon/peer/sessions.h"

#define TWO_NODES_QUEUE 256
#define TWO_NODES_DATAGRAM_BYTES 1024

struct node {
	struct two_nodes *world;
	unsigned number; /* 0 or 1 */
	struct identity identity;
	struct indices *indices;
	struct sessions sessions;
	struct responder *responder;
	struct counters counters;
	struct traffic traffic;
	uint64_t wall_offset_ms;
	/* what happened */
	unsigned n_initiations, n_responses, n_changed, n_failed, n_keepalives;
	unsigned n_data_received, n_unopened;
	unsigned n_no_suite, n_no_suite_news, n_untrusted, n_untrusted_news;
	uint64_t epoch_there;       /* as the other last showed */
	uint64_t initiation_ms[64]; /* when they were sent */
	uint32_t rtt_us;
};

struct two_nodes {
	struct node n[2];
	uint64_t now_ms, delay_ms;
	bool (*lose)(struct two_nodes *w, unsigned from, const uint8_t *data, size_t len); /* NULL: nothing is lost */
	unsigned lose_count;                                                               /* the test's own */
	bool is_cut;                                                                       /* everything is lost */
	struct {
		uint64_t at_ms;
		unsigned to;
		size_t len;
		uint8_t data[TWO_NODES_DATAGRAM_BYTES];
	} queue[TWO_NODES_QUEUE];
	unsigned n_queued;
	uint8_t last_initiation[WIRE_INIT_MAX_BYTES], last_response[WIRE_RESPONSE_MAX_BYTES];
	size_t last_initiation_len, last_response_len;
};

extern const struct path_addr two_nodes_address[2];

/* Node 0 has the lower public key. now_ms starts at `now_ms`. */
struct two_nodes *two_nodes_new(uint64_t now_ms);
void two_nodes_free(struct two_nodes *w);
/* From now on this node wants certificates under the network key of certs.h, and shows this one (NULL: has none). */
void two_nodes_certify(struct two_nodes *w, unsigned number, const struct cert *cert);
/* Forgets what a node has in memory, as a restart does. */
void two_nodes_restart(struct two_nodes *w, unsigned number);

/* Lives until now_ms + ms. */
void two_nodes_run(struct two_nodes *w, uint64_t ms);
/* One inner packet from a node, as a worker would; -ENOTCONN when it has no session (it is then wanted). */
int two_nodes_send_data(struct two_nodes *w, unsigned from);
/* Puts a datagram on the wire to `to`. */
void two_nodes_inject(struct two_nodes *w, unsigned to, const uint8_t *data, size_t len);
/* Sends both ways and says whether both arrived. */
bool two_nodes_both_directions_carry_data(struct two_nodes *w);

#endif
