/* daemon/peer/trust.h - whose certificates this node takes, and which one it shows
 *
 * The network key, the node's own certificate (a coordinator has none), the newest revocation list, and which chains' signatures
 * were found good before: those are not checked again, so that a rekey costs a hash. Everything but the signatures is asked
 * anew each time. Where the list must be fresh, one that has expired lets nobody in: a node's does, for it cannot know what a
 * coordinator keeps from it; a coordinator's does not, as there the next list is handed in. Nothing that anybody sends makes it keep more: the memory of good chains is a table of fixed size, and only
 * the network key's holder makes entries for it.
 * Thread: loop.  Time: wall clock, handed in. */
#ifndef DAEMON_PEER_TRUST_H
#define DAEMON_PEER_TRUST_H

#include "daemon/base/counters.h"
#include "daemon/peer/revocations.h"
#include "daemon/wire/handshake.h"

struct trust;

/* `counters` (borrowed) gets certificates_checked: signatures that were looked at. NULL if memory is short. */
struct trust *trust_new(const struct verifykey *network, struct counters *counters);
void trust_free(struct trust *t); /* NULL is fine */
const struct verifykey *trust_network(const struct trust *t);
void trust_set_own(struct trust *t, const struct cert *own);
const struct cert *trust_own(const struct trust *t); /* NULL: none */
struct revocations *trust_revocations(struct trust *t);

void trust_require_fresh_list(struct trust *t);

/* What goes with a handshake; *out stays empty without trust (NULL) or a certificate. */
void trust_show(const struct trust *t, struct wire_trust *out);

/* May the node with this key, which showed that, be a member now? CERT_GOOD fills *out. */
enum cert_verdict trust_judge(struct trust *t, const struct wire_trust *shown, const struct pubkey *key, uint64_t now_s,
			      struct cert *out);
/* Has the network key signed it for this key, whether or not it is to be taken now? True fills *out. */
bool trust_is_signed(struct trust *t, const struct wire_trust *shown, const struct pubkey *key, struct cert *out);
/* The same of a certificate that was judged good before: time and revocation. */
enum cert_verdict trust_judge_again(const struct trust *t, const struct pubkey *key, const struct cert_serial *serial,
				    uint64_t not_after_s, uint64_t now_s);

#endif
