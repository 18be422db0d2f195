/* daemon/coordinator/relayer.h - one worker's share of the UDP ports
 *
 * Takes datagrams in batches, forwards what is to be relayed from the buffer it came in, and answers STUN; bind requests, and
 * what has to go on over TCP, it hands to the loop. Answers leave by the port and from the address that was asked. What does
 * not authenticate is counted and not answered; STUN's answers are limited by source (stun_limit.h). Nothing here allocates,
 * logs or waits. Any member's datagrams may come to any relayer: what is to be remembered of a member is in its link and
 * account, which all share.
 *
 * Fair between senders: a batch is taken as it comes as long as the socket's buffers have room. Once they are nearly full,
 * which means that this worker does not keep up or that the network does not take what it sends, the heaviest senders are
 * refused as their datagrams are taken out (fair.h). Taking them out costs a fraction of relaying them, so the buffer empties,
 * and the others find room in it. A train counts as one sender's. Strangers count as one.
 * Thread: one, but for the counters. */
#ifndef DAEMON_COORDINATOR_RELAYER_H
#define DAEMON_COORDINATOR_RELAYER_H

#include "daemon/coordinator/fair.h"
#include "daemon/coordinator/forward.h"
#include "daemon/coordinator/stun_limit.h"
#include "daemon/net/udp.h"
#include "daemon/wire/stun.h"

#define PORTS_MAX 4 /* two, of an address or of any; and the same of an alternate address */
#define RELAYER_BATCH 32
/* A train as long as IP allows; the kernel gives the pages as they are touched. */
#define RELAYER_TRAIN_BYTES 65536

enum relayer_mail_kind {
	RELAYER_BIND = 1, /* bytes: the datagram; from */
	RELAYER_FORWARD,  /* bytes: the payload; sender, receiver */
	RELAYER_REFUSED,  /* the kernel refused trains that it had offered to take: udp_has_gso() says which */
};

struct relayer_mail { /* heads of a mailbox */
	enum relayer_mail_kind kind;
	uint32_t sender, receiver; /* members' ids */
	struct way from;
};

/* Tells the loop; false: could not. `is_minor`: is to leave room for others. */
typedef bool relayer_tell_fn(void *arg, const struct relayer_mail *m, const uint8_t *data, size_t len, bool is_minor);

struct relayer {
	/* fixed at creation; the caller fills these in before relayer_init */
	unsigned number; /* reader's place in the rosters */
	struct forward *forward;
	struct stun_limit *stun_limit;
	const _Atomic bool *has_stun;
	relayer_tell_fn *tell;
	void *arg;
	struct udp udp[PORTS_MAX]; /* fd -1: not open; owned */
	/* its own */
	struct counters counters;
	struct fair fair;
	bool is_busy[PORTS_MAX]; /* so that its buffers are worth a question */
	/* during a batch */
	const struct roster *roster;
	uint64_t now_ms;
	unsigned n_out[PORTS_MAX];
	struct udp_run out[PORTS_MAX][RELAYER_BATCH]; /* to be sent by each port */
	unsigned n_stun_replies;
	uint8_t stun_replies[RELAYER_BATCH]
			    [STUN_REPLY_MAX_BYTES]; /* longer than their requests: not answered in place */
	struct udp_run in[RELAYER_BATCH];
	uint8_t *buffers;
};

int relayer_init(struct relayer *r, uint64_t now_ms); /* -ENOMEM */
void relayer_fini(struct relayer *r);                 /* closes the sockets; zeros with fd -1 are fine */

/* Deals with what waits at the nth port, a few batches at most. */
void relayer_pump(struct relayer *r, unsigned nth);
/* Deals with one batch that was taken from it, RELAYER_BATCH at most; the runs' data is altered. Congestion is the caller's
 * to say. */
void relayer_batch(struct relayer *r, unsigned nth, const struct udp_run *runs, unsigned n, bool is_congested,
		   uint64_t now_ms);

#endif
