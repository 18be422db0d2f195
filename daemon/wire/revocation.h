/* daemon/wire/revocation.h - the list of revoked members, and how two nodes hand it on
 *
 * A list replaces every list of a lower epoch. One with an end bounds what a coordinator can hide by keeping quiet about the next:
 * who has none newer by then lets nobody in (peer/trust.h). Its head, REVOCATION_HEAD_BYTES long, is signed by the network key and holds a
 * hash of the entries: who has the head knows whether the rest is worth fetching. A certificate is revoked when its key or its
 * serial stands in an entry.
 *   offset size field          (integers big-endian; times in seconds since 1970)
 *        0    1 version        REVOCATION_VERSION
 *        1   16 network        the first bytes of the network key
 *       17    8 epoch          from 1
 *       25    8 issued
 *       33    8 expires        after issued; 0: never
 *       41    4 entries        how many, up to REVOCATION_ENTRIES_MAX
 *       45   32 hash           BLAKE2b of the entries
 *       77   64 signature      the network key's, "warren-revoke-1", of all before
 *      141      entries        rising, each: 16 serial, 32 key; zeros: none (but not of both)
 *
 * Between nodes (control.h CONTROL_REVOCATIONS, session.h SESSION_REVOCATIONS), behind the type byte:
 *        0    1 step           enum revocation_step
 *        1    8 epoch          the sender's (HAVE), the one asked for (ASK), this part's (PART)
 *        9    4 offset         of the bytes asked for, or following; HAVE: 0
 *       13      bytes          PART only: the list from there on, up to REVOCATION_PART_MAX_BYTES
 * Whoever hears of a higher epoch asks for it, part by part. A list's length follows from its head, the first part's. */
#ifndef DAEMON_WIRE_REVOCATION_H
#define DAEMON_WIRE_REVOCATION_H

#include "daemon/wire/cert.h"

#define REVOCATION_VERSION 1
#define REVOCATION_HEAD_BYTES 141
#define REVOCATION_ENTRY_BYTES 48
#define REVOCATION_ENTRIES_MAX 900 /* a list in base64 fits a request on the control socket */
#define REVOCATION_MAX_BYTES (REVOCATION_HEAD_BYTES + REVOCATION_ENTRIES_MAX * REVOCATION_ENTRY_BYTES)
#define REVOCATION_PART_MAX_BYTES 1000 /* with all headers still a datagram that is never cut */

struct revocation_entry {
	struct cert_serial serial;
	struct pubkey key;
};

struct revocation_head {
	struct cert_network network;
	uint64_t epoch, issued_s, expires_s;
	uint32_t n_entries;
	uint8_t hash[32];
	uint8_t signature[SIGNATURE_BYTES];
};

size_t revocation_length(const struct revocation_head *h); /* of the whole list */
/* -EBADMSG when malformed. */
int revocation_head_decode(struct revocation_head *out, const uint8_t *data, size_t len); /* len: at least the head's */
bool revocation_head_is_signed(const struct revocation_head *h, const struct verifykey *network);
/* The whole list, its hash too; entries are in data + REVOCATION_HEAD_BYTES then. */
int revocation_decode(struct revocation_head *out, const uint8_t *data, size_t len);
struct revocation_entry revocation_entry_at(const uint8_t *list, uint32_t i); /* of a list that was decoded */
bool revocation_names(const uint8_t *list, const struct pubkey *key, const struct cert_serial *serial);

/* Sorts `entries`, drops those that are there twice, and writes the signed list. `expires_s` 0: never. Its length, -EINVAL (an
 * empty entry, times that no list has), -ENOSPC. */
int revocation_make(uint8_t *out, size_t capacity, uint64_t epoch, uint64_t issued_s, uint64_t expires_s,
		    struct revocation_entry *entries, uint32_t n, const struct signkey *network);

enum revocation_step { /* numbers are on the wire */
	REVOCATION_HAVE = 1,
	REVOCATION_ASK = 2,
	REVOCATION_PART = 3,
};

struct wire_revocations {
	enum revocation_step step;
	uint64_t epoch;
	uint32_t offset;
	const uint8_t *data; /* PART; borrowed */
	size_t len;
};
#define WIRE_REVOCATIONS_MAX_BYTES (14 + REVOCATION_PART_MAX_BYTES)

/* `type` is the byte before. Length, or -ENOSPC; -EBADMSG. */
int wire_revocations_encode(uint8_t *out, size_t capacity, uint8_t type, const struct wire_revocations *m);
int wire_revocations_decode(struct wire_revocations *out, uint8_t type, const uint8_t *data, size_t len);

#endif
