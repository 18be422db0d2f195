/* daemon/data/state.h - what a peer keeps in its state_dir: node.json
 *
 * Written whole to a temporary file, synced and renamed, so that a full disk or a crash leaves the old file. A missing or
 * unreadable file is an empty state: nothing in it is needed to work, only to come back as before.
 * Thread: loop. */
#ifndef DAEMON_DATA_STATE_H
#define DAEMON_DATA_STATE_H

#include <stdbool.h>

#include "daemon/base/addr.h"
#include "daemon/wire/wire.h"

#define STATE_FILE "node.json"

/* What was learned of one network: where its gateway is, and where we are seen from behind it. */
struct state_network {
	struct ip gateway; /* none: there is none */
	struct ip outside;
	uint16_t lifetime_s;      /* of an idle UDP mapping */
	uint64_t learned_wall_ms; /* when */
};
#define STATE_NETWORKS_MAX 16

struct state {
	uint16_t port;          /* UDP, drawn once; 0: none yet */
	uint64_t wall_floor_ms; /* no handshake timestamp may be under this, whatever the clock says */
	unsigned n_addrs;
	struct prefix addrs[WIRE_ADDRS_MAX]; /* the last overlay addresses */
	unsigned n_networks;
	struct state_network networks[STATE_NETWORKS_MAX]; /* newest first */
};

const struct state_network *state_network(const struct state *s, const struct ip *gateway, const struct ip *outside);
void state_put_network(struct state *s, const struct state_network *network); /* the oldest gives way */

/* The wall clock for a handshake's timestamp: never under what the life before could have used (`floor_ms`, as read at
 * start), whatever the clock says. Raises the state's floor over what it returns, STATE_FLOOR_STEP_MS at a time; *must_save: it
 * did, and the state is to be written before the timestamp is used. */
#define STATE_FLOOR_STEP_MS (600 * 1000)
uint64_t state_wall_ms(struct state *s, uint64_t floor_ms, uint64_t clock_ms, bool *must_save);

/* 0, or negative errno with *out zeroed (-ENOENT: there is none, -EUCLEAN: not what we wrote). */
int state_read(struct state *out, const char *state_dir);
/* Creates state_dir (0700) if it is missing. */
int state_write(const struct state *s, const char *state_dir);

#endif
