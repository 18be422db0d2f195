/* daemon/data/prefixes.h - longest-prefix match: which network an address is in, and whose that is
 *
 * Filled once and then only read. A search costs one hash for each prefix length that occurs in the address's family, however many
 * prefixes there are. One prefix may have several holders; the search gives the first, `next` the others.
 * Thread: built by one; searches by any, as long as it lives. */
#ifndef DAEMON_DATA_PREFIXES_H
#define DAEMON_DATA_PREFIXES_H

#include "daemon/base/addr.h"

struct table_route;

struct prefix_holder {
	struct prefix net;               /* no host bits */
	const struct table_route *route; /* of the holder; NULL: none of it is in the table */
	struct prefix_holder *next;      /* of the same prefix */
};

struct prefixes;

/* Room for so many holders. NULL if memory is short. */
struct prefixes *prefixes_new(unsigned max);
void prefixes_free(struct prefixes *p); /* NULL is fine */
/* `net` has no host bits. One that is_first goes before those of the same prefix that are there. One too many is left out. */
void prefixes_add(struct prefixes *p, const struct prefix *net, const struct table_route *route, bool is_first);

/* The first holder of the longest prefix that the address is in; NULL: it is in none. */
const struct prefix_holder *prefixes_find(const struct prefixes *p, const struct ip *ip);

#endif
