/* daemon/coordinator/directory_private.h - what directory*.c share; for these files only */
#ifndef DAEMON_COORDINATOR_DIRECTORY_PRIVATE_H
#define DAEMON_COORDINATOR_DIRECTORY_PRIVATE_H

#include "daemon/base/order.h"
#include "daemon/coordinator/directory.h"

struct directory {
	struct store *store;
	uint64_t version;
	struct prefix prefix, prefix6;
	bool has_prefixes;
	unsigned n_online;
	struct member *keys; /* head of the table */
	/* Everybody again, and those who have one of these. While a load is in progress the addresses are the fixed ones;
	 * later, all that are in use. */
	struct order names, ids, addresses, addresses6;
};

struct member *directory_member_new(const struct pubkey *key);
void directory_member_free(struct member *m); /* NULL is fine */
/* The host part of an IPv4 address in the network's prefix, 0 if there is none that can be an id. */
uint32_t directory_host_number(const struct prefix *prefix, const struct ip *address);
int directory_lease_number(struct directory *d, struct member *m); /* into m->id; as store_lease */
void directory_set_addresses(const struct directory *d, struct member *m);

#endif
