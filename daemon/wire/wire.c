#include "daemon/wire/wire.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

/* Not by reader and writer: every datagram comes through here, its length is asked once, and each field is one load. */
void wire_sealed_encode(uint8_t out[static WIRE_SEALED_HEADER_BYTES], const struct wire_sealed *h)
{
	uint32_t index = htobe32(h->index);
	uint64_t counter = htobe64(h->counter);

	out[0] = h->type;
	out[1] = h->flags;
	out[2] = h->piece;
	out[3] = h->n_pieces;
	memcpy(out + 4, &index, sizeof(index));
	memcpy(out + 8, &counter, sizeof(counter));
}

int wire_sealed_decode(struct wire_sealed *out, const uint8_t *data, size_t len)
{
	struct wire_sealed h;

	if (len < WIRE_SEALED_OVERHEAD_BYTES)
		return -EBADMSG;
	h.type = data[0];
	h.flags = data[1];
	h.piece = data[2];
	h.n_pieces = data[3];
	memcpy(&h.index, data + 4, sizeof(h.index));
	memcpy(&h.counter, data + 8, sizeof(h.counter));
	h.index = be32toh(h.index);
	h.counter = be64toh(h.counter);
	if (h.type != WIRE_DATA && h.type != WIRE_SESSION && h.type != WIRE_BIND)
		return -EBADMSG;
	if (h.n_pieces ? h.type != WIRE_DATA || h.n_pieces > WIRE_PIECES_MAX || h.piece >= h.n_pieces ||
				 h.piece > h.counter :
			 h.piece)
		return -EBADMSG;
	*out = h;
	return 0;
}
