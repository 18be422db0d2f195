/* daemon/peer/binding.h - the relay's way to us over UDP
 *
 * Sends bind requests (wire/bind.h) to a coordinator's relay port, proves our endpoint to the relay by repeating its challenge,
 * and keeps the mapping open: a request at most every keepalive (18 s at first), drawn from its last sixth. Unanswered requests
 * are repeated after 150, 300, 600, 1200 ms; 5 unanswered: it is tried again after 1 s in the first 2 minutes since the last answer, later
 * every 30 s, and at once on binding_refresh.
 * Decisions only. Thread: loop. */
#ifndef DAEMON_PEER_BINDING_H
#define DAEMON_PEER_BINDING_H

#include "daemon/wire/bind.h"

/* Under the 20 s some NATs keep a UDP binding; less the draw, over the 15 s RFC 8085 section 3.5 names as the floor. */
#define BINDING_KEEPALIVE_MS 18000

struct binding;

struct binding_env {
	void (*send)(void *arg, const struct endpoint *to, const struct wire_bind *request);
	/* Our endpoint as the relay sees it, or whether it is bound, is another now. Must not call back into the binding
	 * but to read it. */
	void (*changed)(void *arg);
};

struct binding *binding_new(const struct binding_env *env, void *arg);
void binding_free(struct binding *b);

/* Registered; `relay` is the port that relays for us. Starts at once. */
void binding_start(struct binding *b, const struct endpoint *relay, uint64_t now_ms);
void binding_stop(struct binding *b); /* registration lost; forgets all but our endpoint */
/* Something changed, or a path fell silent: ask again now. At most one refresh a 500 ms. */
void binding_refresh(struct binding *b, uint64_t now_ms);
/* How long the mapping stays open by itself, less a margin; 0: there is none, nothing has to be kept open. */
void binding_set_keepalive(struct binding *b, uint64_t keepalive_ms, uint64_t now_ms);
/* False: it answers no request of the binding's. */
bool binding_on_reply(struct binding *b, const struct endpoint *from, const struct wire_bind *reply, uint64_t now_ms);
void binding_tick(struct binding *b, uint64_t now_ms);
uint64_t binding_next_ms(const struct binding *b);

bool binding_is_bound(const struct binding *b); /* the relay can send to us over UDP, proven within 2.5 keepalives */
const struct endpoint *binding_relay(const struct binding *b);
const struct endpoint *binding_reflexive(const struct binding *b); /* as the relay saw us last; ip none: never */
uint32_t binding_rtt_us(const struct binding *b);                  /* 0: unknown */

#endif
