/* daemon/peer/revocations.h - the newest revocation list, and getting it from others
 *
 * A list is taken from anybody: the network key's signature is what counts, and its epoch, which never goes back. Of a list that
 * somebody says to have, the signed head comes first, so that nobody makes us fetch what is none. One is fetched at a time, from
 * one source; a source that does not deliver is left alone for REVOCATIONS_BARRED_MS, so that it cannot stand in the way of one
 * that does.
 * Sources are numbers of the caller's choice. Decisions only: no socket, no clock. Thread: loop. */
#ifndef DAEMON_PEER_REVOCATIONS_H
#define DAEMON_PEER_REVOCATIONS_H

#include "daemon/wire/revocation.h"

#define REVOCATIONS_ASK_AGAIN_MS 700
#define REVOCATIONS_ASKS_MAX 4 /* of one part */
#define REVOCATIONS_BARRED_MS 600000

struct revocations;

struct revocations *revocations_new(const struct verifykey *network); /* empty; NULL if memory is short */
void revocations_free(struct revocations *r);                         /* NULL is fine */

uint64_t revocations_epoch(const struct revocations *r);     /* 0: there is none */
uint64_t revocations_expires_s(const struct revocations *r); /* 0: never, or there is none */
/* From its end on, what it does not say proves nothing. */
bool revocations_is_over(const struct revocations *r, uint64_t now_s);
/* It is time that somebody makes the next: the last third of its life, 30 days at most. */
bool revocations_is_ending(const struct revocations *r, uint64_t now_s);
const uint8_t *revocations_list(const struct revocations *r, size_t *len); /* NULL: none; until the next is taken */
bool revocations_name(const struct revocations *r, const struct pubkey *key, const struct cert_serial *serial);

/* Takes a whole list. 0, -EALREADY if it is not newer than ours, -EBADMSG if it is none or not signed, -ENOMEM. */
int revocations_adopt(struct revocations *r, const uint8_t *data, size_t len);

enum revocations_result {
	REVOCATIONS_QUIET, /* nothing to be said */
	REVOCATIONS_REPLY, /* *reply goes back to the source */
	REVOCATIONS_NEWS,  /* a newer list is ours now: keep it, act on it, tell others */
};
/* The source said so; reply->data borrows from the list. */
enum revocations_result revocations_on_message(struct revocations *r, uint64_t source, const struct wire_revocations *m,
					       uint64_t now_ms, struct wire_revocations *reply);
/* The same as a HAVE of that epoch. */
enum revocations_result revocations_heard(struct revocations *r, uint64_t source, uint64_t epoch, uint64_t now_ms,
					  struct wire_revocations *reply);
struct wire_revocations revocations_have(const struct revocations *r);

/* Asks again what was not answered: true with the question and its source. */
bool revocations_tick(struct revocations *r, uint64_t now_ms, uint64_t *source, struct wire_revocations *ask);
uint64_t revocations_next_ms(const struct revocations *r);

#endif
