/* daemon/coordinator/roster.h - the snapshot that the UDP workers read: who is registered, under which keys, and where
 *
 * Built by the loop, whole, when a registration begins or ends or an endpoint is bound, and published (base/epochs.h). It
 * holds references to everything it names.
 * Thread: build by the loop; look-ups by any reader. */
#ifndef DAEMON_COORDINATOR_ROSTER_H
#define DAEMON_COORDINATOR_ROSTER_H

#include "daemon/base/epochs.h"
#include "daemon/coordinator/bound.h"
#include "daemon/relay/account.h"
#include "daemon/relay/link.h"

struct roster_end { /* a registered member */
	uint32_t member;
	struct relay_link *link; /* its local_index names it, too */
	struct relay_account *account;
	bool is_bound; /* else it sends and gets nothing over UDP */
	struct way way;
};

struct roster {
	struct epochs_item item; /* first */
	unsigned n, max, mask;   /* mask: slots - 1 */
	struct roster_end *ends;
	const struct roster_end **by_index, **by_member;
};

struct roster *roster_new(unsigned max); /* NULL if memory is short */
void roster_free(struct roster *r);      /* NULL is fine */
/* Takes references to what `end` names. Not more than max; index and member are nobody else's yet. */
void roster_add(struct roster *r, const struct roster_end *end);

/* NULL: not registered. */
const struct roster_end *roster_by_index(const struct roster *r, uint32_t index);
const struct roster_end *roster_by_member(const struct roster *r, uint32_t member);

#endif
