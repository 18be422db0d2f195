/* daemon/wire/wire.h - what is common to all datagrams: types, sizes, the sealed header
 *
 * The first byte tells the kind. STUN keeps 0..3 (RFC 7983); warren's types lie in 0x50..0x5f, which RFC 7983
 * leaves free. Integers are big-endian.
 *
 * Sealed header: data, session, bind; 16 bytes, authenticated as associated data:
 *   offset size field
 *        0    1 type      WIRE_DATA, WIRE_SESSION or WIRE_BIND
 *        1    1 flags     data only: bit 0 WIRE_FLAG_LZ4, bit 1 WIRE_FLAG_PARTIAL (the inner TCP or UDP checksum is
 *                         unfinished: it holds the pseudo-header's sum); others sent 0 and, being authenticated, kept
 *        2    1 piece     data only: which piece of an inner packet too long for the path this is, from 0; else 0
 *        3    1 pieces    how many there are; 0: the whole packet. Pieces have consecutive counters
 *        4    4 index     the receiver's index of the session
 *        8    8 counter   of the sender, from 0, never repeated under one key
 *       16      sealed body and its 16-byte tag */
#ifndef DAEMON_WIRE_WIRE_H
#define DAEMON_WIRE_WIRE_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

enum wire_type {
	WIRE_INIT = 0x50,     /* handshake.h */
	WIRE_RESPONSE = 0x51, /* handshake.h */
	WIRE_COOKIE = 0x52,   /* handshake.h */
	WIRE_DATA = 0x53,     /* one inner packet, or nothing (a keepalive) */
	WIRE_SESSION = 0x54,  /* session.h: what two peers tell each other inside a session */
	WIRE_BIND = 0x55,     /* bind.h: peer and coordinator over UDP */
	WIRE_RELAY = 0x56,    /* relay.h: a datagram on its way through the coordinator */
	WIRE_LOOP = 0x57,     /* loop.h: to oneself, by way of the NAT */
};

#define WIRE_VERSION 1
#define WIRE_FLAG_LZ4 0x01
#define WIRE_FLAG_PARTIAL 0x02

#define WIRE_SEALED_HEADER_BYTES 16
#define WIRE_TAG_BYTES 16
#define WIRE_SEALED_OVERHEAD_BYTES (WIRE_SEALED_HEADER_BYTES + WIRE_TAG_BYTES)

/* Crosses any IPv6 link whole: 1280 (RFC 8200 section 5) less 40 for IPv6 and 8 for UDP. */
#define WIRE_SAFE_DATAGRAM_BYTES (1280 - 40 - 8)
/* The longest datagram read or sent in one piece. */
#define WIRE_DATAGRAM_MAX_BYTES 65535

#define WIRE_NAME_MAX_BYTES 63 /* a node's name: [a-z0-9-.] */
#define WIRE_CANDIDATES_MAX 16
#define WIRE_ADDRS_MAX 4 /* overlay addresses of one member */

struct wire_sealed {
	uint8_t type;
	uint8_t flags;
	uint32_t index;
	uint64_t counter;
	uint8_t piece, n_pieces;
};
/* An inner packet of 9000 bytes crosses the smallest path (576 bytes, IPv4's) in so many. */
#define WIRE_PIECES_MAX 18

/* Writes the 16 header bytes. */
void wire_sealed_encode(uint8_t out[static WIRE_SEALED_HEADER_BYTES], const struct wire_sealed *h);
/* Needs at least header and tag. -EBADMSG for another type or a short datagram. */
int wire_sealed_decode(struct wire_sealed *out, const uint8_t *data, size_t len);

#endif
