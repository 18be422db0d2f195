/* daemon/coordinator/store.h - what the coordinator must not lose: who has which host number, who is a member by certificate, and who
 * used which invitation
 *
 * A lease gives a key its member id, which is also the host number of its overlay addresses. Leases outlive restarts,
 * and a member's absence from the configuration until the prefix runs out of numbers. SQLite file, WAL,
 * synchronous=FULL: a lease that was given is on the disk. A new file is made aside and renamed into place, so that
 * an empty or short one is always damage.
 * Thread: loop.  Errors: negative errno; -ENOSPC is a full disk, -EADDRNOTAVAIL a full prefix. */
#ifndef DAEMON_COORDINATOR_STORE_H
#define DAEMON_COORDINATOR_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/key.h"

#define STORE_SCHEMA_VERSION \
	4 /* older ones become one: 1 (no certificates), 2 (no invitations), 3 (no ends of these) */
#define STORE_SERIAL_BYTES 16

struct store;

/* Opens the file at `path`, or makes it. On failure (-EUCLEAN: not ours, or damaged; it is left as it is) `error`
 * gets a sentence that names the file. */
int store_open(struct store **out, const char *path, char *error, size_t capacity);
void store_close(struct store *s); /* NULL is fine */

/* The number leased to a key, -ENOENT. */
int store_find(struct store *s, const struct pubkey *key, uint32_t *id);

/* Which numbers may be given. */
struct store_range {
	uint32_t first, last; /* both included */
	/* Is this number kept for a fixed address? */
	bool (*is_reserved)(void *arg, uint32_t id);
	/* May this key lose its lease when no number is left? */
	bool (*is_unused)(void *arg, const struct pubkey *key);
	void *arg;
};

/* Leases to `key` the number it has already if the range allows it, else the lowest free one. */
int store_lease(struct store *s, const struct pubkey *key, const struct store_range *range, uint32_t *id);
/* Leases this very number; whoever had it loses it. */
int store_lease_fixed(struct store *s, const struct pubkey *key, uint32_t id);

/* Many leases with one write to the disk. After an error from any of the three, none since store_begin is given. */
int store_begin(struct store *s);
int store_commit(struct store *s);
void store_rollback(struct store *s);

/* The certificate by which a key is a member, in place of the one before. Its owner judges it again when it is read back. */
int store_put_certificate(struct store *s, const struct pubkey *key, const void *data, size_t len);
int store_drop_certificate(struct store *s, const struct pubkey *key);
/* Calls `fn` with each; it must not change the store. */
int store_each_certificate(struct store *s, void (*fn)(void *arg, const uint8_t *data, size_t len), void *arg);

/* An invitation that is used. Times in seconds since 1970. */
struct store_invitation {
	uint8_t serial[STORE_SERIAL_BYTES];
	struct pubkey key;  /* whose it is */
	uint64_t expires_s; /* nobody else can use it from then on */
	uint64_t ends_s;    /* no certificate of it is good after; 0: there is no such time */
};
/* Notes it; it is on the disk when this returns 0. -EEXIST: the invitation was used, whoever it was. */
int store_spend(struct store *s, const struct store_invitation *used);
/* Forgets those by which nobody can be a member any more: those that ended before `before_s`; the one with this serial, if it
 * expired before. Of a file of version 3 neither is known: those stay. */
int store_forget_ended(struct store *s, uint64_t before_s);
int store_forget_revoked(struct store *s, const uint8_t serial[static STORE_SERIAL_BYTES], uint64_t before_s);
/* Who used it; -ENOENT: nobody did. */
int store_spender(struct store *s, const uint8_t serial[static STORE_SERIAL_BYTES], struct pubkey *key);

#endif
