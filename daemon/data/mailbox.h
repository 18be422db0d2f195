/* daemon/data/mailbox.h - what a worker tells the loop
 *
 * A bounded queue of messages with bytes behind them. The worker's side takes a lock for the length of a copy, the loop's for
 * the length of two pointer swaps, so neither waits for the other's work. A full box refuses: the caller counts
 * the drop. Messages that strangers can cause may fill only half of it, so that they cannot crowd out packets.
 * Thread: push by any, drain by the loop. */
#ifndef DAEMON_DATA_MAILBOX_H
#define DAEMON_DATA_MAILBOX_H

#include "daemon/path/path.h"

enum mail_kind {
	MAIL_DATAGRAM = 1, /* not data: handshake, session, bind; bytes: the datagram; from, member */
	MAIL_PACKET,       /* an inner packet without a route or session; bytes: the packet */
	MAIL_TCP_RELAY,    /* a sealed datagram for coordinator `from.coordinator`'s control connection, to `member` */
	MAIL_AWAKE,        /* traffic with a peer that was asleep; peer */
	MAIL_OPENED,       /* a first datagram opened under an unconfirmed session; peer, index, from */
	MAIL_TOO_BIG, /* the socket refused a datagram of index bytes, relay header included, for its size; from.endpoint */
	MAIL_SOURCE, /* data of a peer came from another way than the path in use; peer, from */
};

struct mail {
	enum mail_kind kind;
	uint32_t member; /* relayed: the sender's (or receiver's) member id */
	uint32_t index;
	uint64_t peer; /* id: the peer may be gone when the loop reads it */
	struct path_addr from;
	size_t len;
	uint8_t *data; /* drain: writable, valid during the call */
};

struct mailbox;
typedef void mailbox_fn(void *arg, struct mail *m);

struct mailbox *mailbox_new(size_t capacity_bytes);
void mailbox_free(struct mailbox *b);
/* -ENOBUFS when full. *was_empty: the loop is to be woken. */
int mailbox_push(struct mailbox *b, const struct mail *m, bool *was_empty);
/* Hands over what was in the box when it was called. */
void mailbox_drain(struct mailbox *b, mailbox_fn *fn, void *arg);

#endif
