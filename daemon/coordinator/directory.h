/* daemon/coordinator/directory.h - the members of the network, by key, name, overlay address and id
 *
 * Built from the configuration's member blocks and the leases of the store. A reload changes what the file says and
 * keeps what is known of a member's registration; members live at one place until they are removed. The version rises
 * with every change that a member record shows, its online flag too, and begins where the owner says (a clock), so
 * that it rises across restarts as well. All memory that a load needs is there before it changes anything, and nothing else
 * allocates. No sockets. Thread: loop. */
#ifndef DAEMON_COORDINATOR_DIRECTORY_H
#define DAEMON_COORDINATOR_DIRECTORY_H

#include "daemon/base/hash.h"
#include "daemon/config/config.h"
#include "daemon/coordinator/bucket.h"
#include "daemon/coordinator/introduced.h"
#include "daemon/coordinator/store.h"
#include "daemon/relay/account.h"
#include "daemon/wire/cert.h"
#include "daemon/wire/control.h"

struct registration;

struct member {
	/* from the configuration and the store; the directory's to write */
	struct pubkey key;
	char name[WIRE_NAME_MAX_BYTES + 1];
	uint32_t id;                 /* its host number; 0: no lease could be given yet */
	struct ip address, address6; /* none: the network or the member has none of this family */
	struct ip fixed, fixed6;     /* as in the file; none: from the number */
	uint32_t fixed_id;           /* the host number that `fixed` stands for, or 0 */
	bool is_kept;                /* mark of a load in progress */
	bool is_certified;           /* it is a member by its certificate, not by the file: */
	struct cert_serial serial;
	uint64_t not_before_s, not_after_s;
	uint8_t *cert;     /* as it stands, for others to see; NULL: there was no memory */
	uint16_t cert_len; /* 0 then */
	/* what is known of its registrations; kept by reloads; service.c's to write */
	struct registration *registration; /* NULL: offline. Set by directory_set_registration */
	bool has_boot_id;
	uint64_t boot_id;
	uint64_t seen_ms;             /* last frame, 0: never */
	uint32_t rtt_us;              /* 0: unknown */
	struct candidates candidates; /* of the registration that is */
	struct introduced introduced;
	struct bucket requests, pages; /* limits of control messages */
	struct relay_account *account; /* with the workers */
	bool has_limits;               /* the two above and the account's quota are set up */

	UT_hash_handle by_key;
};

struct directory;

/* What a load changed. The arrays are freed by directory_changes_fini, and the removed members with them. */
struct directory_changes {
	unsigned n_added, n_changed, n_removed;
	struct member **changed; /* name or addresses are others; still in the directory */
	struct member **removed; /* no longer in the directory */
	uint32_t *old_ids;       /* of the changed ones, before */
	unsigned n_unleased;     /* members that got no number, for the log */
	int lease_error;         /* why: -EADDRNOTAVAIL, -ENOSPC ... */
};
void directory_changes_fini(struct directory_changes *c);

/* An empty directory; `store` is borrowed. NULL if memory is short. */
struct directory *directory_new(struct store *store, uint64_t first_version);
void directory_free(struct directory *d);

/* Makes the directory what `config` says. 0, or -ENOMEM with nothing changed. Members that get no lease stay with id
 * 0. */
int directory_load(struct directory *d, const struct config *config, struct directory_changes *changes);
/* Tries again to lease a number to a member without one. 0, -ENOSPC, -EADDRNOTAVAIL, ... */
int directory_lease(struct directory *d, struct member *m);
/* Makes the certificate's member one, or what it says of itself what is said here. `displaced` gets those members that held its
 * name or an address by an older certificate: each is out of the directory, and the caller's to end and to free with
 * directory_changes_fini. The store keeps certificates for directory_restore; that it cannot (displaced->lease_error says why) keeps
 * nobody out. 0; -EEXIST: a newer one holds them; -EADDRNOTAVAIL: none of its addresses is in the network's prefixes;
 * -ENOMEM; or what the lease ended with. */
int directory_admit(struct directory *d, const struct cert *cert, struct member **out,
		    struct directory_changes *displaced);
/* An invitation makes one member. Notes in the store, before anything else is done about it, whose the certificate's is; one that the
 * network key signed itself has none. 0, also for the same key again; -EKEYREJECTED: another key used it; -EKEYEXPIRED: nobody
 * did in time, however far back the certificate begins; or the store's error. */
int directory_spend(struct directory *d, const struct cert *cert, uint64_t now_s);
/* Would it, without noting anything? 1: nobody has used it yet; else as above. */
int directory_may_spend(struct directory *d, const struct cert *cert, uint64_t now_s);
/* Forgets who used which invitation where nobody can be a member by it any more, for that is over or on the list of the revoked (NULL:
 * there is none), and has been for DIRECTORY_SPENT_KEPT_S. */
#define DIRECTORY_SPENT_KEPT_S (30 * 86400) /* whatever the clock did meanwhile */
void directory_prune_spent(struct directory *d, const uint8_t *list, uint64_t now_s);
/* Admits those that the store has and `is_good` says so of, after the first load; the others leave it. Returns how many, or the
 * error that ended the reading. */
int directory_restore(struct directory *d, bool (*is_good)(void *arg, const struct cert *cert), void *arg);
/* Takes every certified member out that `is_over` says so of, likewise. 0, -ENOMEM. */
int directory_expel(struct directory *d, bool (*is_over)(void *arg, const struct member *m), void *arg,
		    struct directory_changes *expelled);
/* Online with a registration, offline with NULL. */
void directory_set_registration(struct directory *d, struct member *m, struct registration *registration);

struct member *directory_by_key(const struct directory *d, const struct pubkey *key);
struct member *directory_by_name(const struct directory *d, const char *name);
struct member *directory_by_id(const struct directory *d, uint32_t id);
struct member *directory_by_address(const struct directory *d, const struct ip *address);

uint64_t directory_version(const struct directory *d);
unsigned directory_count(const struct directory *d);
unsigned directory_online(const struct directory *d);
/* Members with a number, by rising id: the first with id >= from, NULL past the last. */
struct member *directory_next(const struct directory *d, uint32_t from);
/* The nth member by name, for lists made for people. */
struct member *directory_at(const struct directory *d, unsigned nth);

/* The record that others may see; its certificate is borrowed from the member. */
void directory_record(const struct member *m, struct wire_member *out);
/* Own addresses with the network's prefix length, for CONTROL_REGISTERED. Returns how many. */
unsigned directory_addresses(const struct directory *d, const struct member *m,
			     struct prefix out[static WIRE_ADDRS_MAX]);

#endif
