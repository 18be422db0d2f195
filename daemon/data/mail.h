/* daemon/data/mail.h - what a lane tells the loop: the heads of a worker's mailbox (base/mailbox.h) */
#ifndef DAEMON_DATA_MAIL_H
#define DAEMON_DATA_MAIL_H

#include "daemon/path/path.h"

enum mail_kind {
	MAIL_DATAGRAM =
		1,      /* not data: handshake, session, bind, loop, a STUN answer; bytes: the datagram; from, member */
	MAIL_PACKET,    /* an inner packet without a route or session; bytes: the packet */
	MAIL_TCP_RELAY, /* a sealed datagram for coordinator `from.coordinator`'s control connection, to `member` */
	MAIL_TCP,       /* a sealed datagram for the TCP connection with `from.endpoint` */
	MAIL_AWAKE,     /* traffic with a peer that was asleep; peer */
	MAIL_OPENED,    /* a first datagram opened under an unconfirmed session; peer, index, from */
	MAIL_TOO_BIG, /* the socket refused a datagram of index bytes, relay header included, for its size; from.endpoint */
	MAIL_REFUSED, /* the kernel refused trains that it had offered to take: udp_has_gso(), tun_trains() say which */
	MAIL_SOURCE,  /* data of a peer came from another way than the path in use; peer, from */
};

struct mail {
	enum mail_kind kind;
	uint32_t member; /* relayed: the sender's (or receiver's) member id */
	uint32_t index;
	uint64_t peer; /* id: the peer may be gone when the loop reads it */
	struct path_addr from;
	size_t len;
	uint8_t *data; /* told by a lane: borrowed; told to the loop: writable, valid during the call */
};

#endif
