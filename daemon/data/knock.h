/* daemon/data/knock.h - does a TCP port let us through to the coordinator, and is it the coordinator that answers there?
 *
 * That a connection is accepted says little: portals and firewalls accept them all. So a handshake is begun over it, which
 * nobody can answer who lacks the coordinator's key; then it is closed. (An initiation alone changes nothing at a coordinator.)
 * Connecting is given up after KNOCK_CONNECT_MS, the answer is after KNOCK_ANSWER_MS more.
 * Thread: loop. */
#ifndef DAEMON_DATA_KNOCK_H
#define DAEMON_DATA_KNOCK_H

#include "daemon/net/stream.h"
#include "daemon/peer/handshake.h"

#define KNOCK_CONNECT_MS 2500
#define KNOCK_ANSWER_MS 1500

enum knock_state {
	KNOCK_NOT_TRIED,
	KNOCK_ASKING,
	KNOCK_OK,          /* the coordinator answered */
	KNOCK_FOREIGN,     /* something else did */
	KNOCK_CLOSED,      /* the connection was made, and closed without a word */
	KNOCK_SILENT,      /* it was made, and nothing came over it */
	KNOCK_UNREACHABLE, /* it was not made */
};

struct knock_result {
	enum knock_state state;
	uint32_t connect_us; /* that the connection took; 0: it was not made */
	int error;           /* UNREACHABLE: negative errno */
};

struct knock;

/* `identity` is borrowed. NULL: memory. */
struct knock *knock_new(uv_loop_t *loop, const struct identity *identity);
void knock_free(struct knock *k); /* NULL is fine */

/* Begins anew. The result is there, at the latest, when knock_tick was called at knock_next_ms. */
void knock_start(struct knock *k, const struct endpoint *to, const struct pubkey *coordinator,
		 const char *bind_interface, uint64_t now_ms);
void knock_tick(struct knock *k, uint64_t now_ms);
uint64_t knock_next_ms(const struct knock *k); /* UINT64_MAX: nothing due */
const struct knock_result *knock_result(const struct knock *k);

/* "ok", "foreign-answer", "closed", "silent", "unreachable"; NULL: nothing is known */
const char *knock_state_name(enum knock_state s);

#endif
