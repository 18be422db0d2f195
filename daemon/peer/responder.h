/* daemon/peer/responder.h - answers initiations
 *
 * Checks come in the order of their cost: size, type, version, mac1, then under load mac2 and the source's bucket, then
 * the initiator's static key (one DH), known?, payload, timestamp rising, 20 ms since the last, certificate; only then keys
 * and an answer. A stranger changes no state and costs one hash before its mac is checked. Under load (more than
 * RESPONDER_LOAD_PER_S initiations a second) an initiation without a good mac2 gets a cookie reply. Buckets are per
 * source address (/32, /64; a relayed source: the coordinator and member), in a table of fixed size; the one for all
 * together comes last, so that who floods is out of his own tokens before he is into another's.
 * A peer with which no suite is common, or whose certificate is not good, is told so, by a response that makes no session.
 * What is refused is counted: handshake_malformed (size, type, version), _bad_mac, _bad_auth, _unknown_key, _replayed,
 * _rate_limited, _untrusted, _no_cipher; so are cookies_sent and handshakes_answered.
 * Thread: loop. */
#ifndef DAEMON_PEER_RESPONDER_H
#define DAEMON_PEER_RESPONDER_H

#include "daemon/base/counters.h"
#include "daemon/peer/sessions.h"

#define RESPONDER_LOAD_PER_S 64
/* Under load: initiations of one source, WireGuard's rate; */
#define RESPONDER_SOURCE_PER_S 20
#define RESPONDER_SOURCE_BURST 5
/* cookie replies to one source: they show nobody's address to be true, so a forged one must not use up the true
 * one's; */
#define RESPONDER_COOKIE_PER_S 200
#define RESPONDER_COOKIE_BURST 200
/* and initiations of all sources, at 0.23 ms each: under half a core. */
#define RESPONDER_ALL_PER_S 2000
#define RESPONDER_ALL_BURST 500
#define RESPONDER_SPACING_MS 20 /* between two initiations accepted from one peer */

struct responder;

struct responder_env {
	/* The sessions of a known peer, NULL if the key is unknown (the owner may ask its coordinator meanwhile). */
	struct sessions *(*find)(void *arg, const struct pubkey *key);
	/* Sends an answer back the way the initiation came. `relay_member` is the sender's member id on relay paths. */
	void (*send)(void *arg, const struct path_addr *to, uint32_t relay_member, const uint8_t *data, size_t len);
	/* That member sent us an initiation of another version of the protocol, which is not answered. May be NULL. */
	void (*other_version)(void *arg, const struct path_addr *from, uint32_t relay_member, uint8_t version);
};

struct responder *responder_new(const struct responder_env *env, void *arg, const struct identity *identity,
				struct indices *indices, struct counters *counters);
void responder_free(struct responder *r);
/* One initiation and the way it came. Returns the sessions it was accepted for, or NULL. */
struct sessions *responder_receive(struct responder *r, const struct path_addr *from, uint32_t relay_member,
				   const uint8_t *data, size_t len, uint64_t now_ms);

#endif
