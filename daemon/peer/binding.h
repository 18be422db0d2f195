/* daemon/peer/binding.h - our reflexive endpoints and the relay's way to us
 *
 * Sends bind requests (wire/bind.h) to the coordinator's UDP ports, learns from the answers the endpoint each saw and
 * whether the mapping depends on the destination (RFC 4787), proves our endpoint to the relay by repeating its
 * challenge, and keeps the mapping open every 15..18 s. Unanswered requests are repeated after 150, 300, 600, 1200
 * ms; 5 unanswered: UDP to this coordinator is blocked, and it is tried again every 30 s and at once on
 * binding_refresh. Decisions only. Thread: loop. */
#ifndef DAEMON_PEER_BINDING_H
#define DAEMON_PEER_BINDING_H

#include "daemon/wire/bind.h"
#include "daemon/wire/candidates.h"

#define BINDING_SERVERS_MAX 6

struct binding;

struct binding_env {
	void (*send)(void *arg, const struct endpoint *to, const struct wire_bind *request);
	/* A reflexive endpoint, the mapping behaviour, bound or blocked changed. Must not call back into the binding
	 * but to read it. */
	void (*changed)(void *arg);
};

struct binding *binding_new(const struct binding_env *env, void *arg);
void binding_free(struct binding *b);

/* Registered: servers[0] is the port that relays for us; the rest (its alternate port, other addresses and families)
 * are asked with BIND_NO_MOVE. Starts at once. */
void binding_start(struct binding *b, const struct endpoint *servers, unsigned n, uint64_t now_ms);
void binding_stop(struct binding *b); /* registration lost; forgets everything but the last facts */
/* Something changed, or a path fell silent: ask again now. At most one refresh a 500 ms. */
void binding_refresh(struct binding *b, uint64_t now_ms);
void binding_on_reply(struct binding *b, const struct endpoint *from, const struct wire_bind *reply, uint64_t now_ms);
void binding_tick(struct binding *b, uint64_t now_ms);
uint64_t binding_next_ms(const struct binding *b);

bool binding_is_bound(const struct binding *b);   /* the relay can send to us over UDP, proven within 45 s */
bool binding_is_blocked(const struct binding *b); /* started, and no server answered */
bool binding_is_tested(const struct binding *b);  /* every server answered or was given up */
/* Distinct reflexive endpoints seen (newest first), at most max. */
unsigned binding_reflexive(const struct binding *b, struct endpoint *out, unsigned max);
enum nat_mapping binding_mapping(const struct binding *b);       /* IPv4; UNKNOWN with fewer than two answers */
bool binding_family_ok(const struct binding *b, uint8_t ip_len); /* a server of this family (4, 16) answered */
uint32_t binding_rtt_us(const struct binding *b);                /* of servers[0]; 0: unknown */

#endif
