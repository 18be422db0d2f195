/* daemon/peer/indices.h - receiver indices: random 32-bit numbers that name a session or handshake to its other end
 *
 * One table per node. A freed index is not drawn again for 10 s. Thread: loop (workers have their own snapshot). */
#ifndef DAEMON_PEER_INDICES_H
#define DAEMON_PEER_INDICES_H

#include <stdbool.h>
#include <stdint.h>

enum index_kind {
	INDEX_HANDSHAKE = 1,
	INDEX_SESSION = 2,
	INDEX_LINK = 3
};

struct indices;
struct indices *indices_new(void);
void indices_free(struct indices *t);
/* Draws an index for `owner`. 0 is never drawn; 0 returned: memory. */
uint32_t indices_add(struct indices *t, enum index_kind kind, void *owner);
/* Changes what an index stands for (a handshake becomes a session). */
void indices_change(struct indices *t, uint32_t index, enum index_kind kind);
void indices_remove(struct indices *t, uint32_t index, uint64_t now_ms);
/* The owner, NULL if unknown; *kind is set when found. */
void *indices_find(const struct indices *t, uint32_t index, enum index_kind *kind);

#endif
