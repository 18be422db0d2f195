/* daemon/relay/account.h - what one member may send through the relay, and has
 *
 * Outlives the member's registrations, and the member itself while a worker may be looking. Thread: any; limits are set by
 * the loop (quota.h). */
#ifndef DAEMON_RELAY_ACCOUNT_H
#define DAEMON_RELAY_ACCOUNT_H

#include "daemon/relay/quota.h"

struct relay_account {
	struct quota quota;                     /* set up by the owner before the first use */
	_Atomic uint64_t sent_bytes, got_bytes; /* of datagrams, without the relay's header */
	_Atomic uint64_t proven_until_ms;       /* its UDP endpoint has been proven to be its own, and is believed */
	_Atomic uint32_t refs;
};

struct relay_account *relay_account_new(void); /* zeros, one reference; NULL if memory is short */
struct relay_account *relay_account_ref(struct relay_account *a);
void relay_account_unref(struct relay_account *a); /* NULL is fine */

#endif
