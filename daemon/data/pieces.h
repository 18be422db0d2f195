/* daemon/data/pieces.h - inner packets that came in pieces
 *
 * A path below 1280 bytes carries longer packets in pieces with consecutive counters (wire.h). Pieces are authenticated and new when they
 * come here, so only their own sender can be wrong about them. A few packets at a time, oldest out.
 * Thread: one lane's. */
#ifndef DAEMON_DATA_PIECES_H
#define DAEMON_DATA_PIECES_H

#include "daemon/wire/wire.h"

#define PIECES_PACKETS 8

struct pieces;
struct pieces *pieces_new(size_t mtu_bytes, size_t headroom_bytes);
void pieces_free(struct pieces *p); /* NULL is fine */
/* Keeps a copy. When it was the last that was missing: the whole packet, with headroom before it, valid until the next call, and
 * its length; else NULL. */
uint8_t *pieces_add(struct pieces *p, const struct wire_sealed *h, const uint8_t *data, size_t len, size_t *packet_len);

#endif
