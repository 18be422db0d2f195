#include "daemon/wire/wire.h"
#include "daemon/base/bytes.h"

#include <errno.h>

void wire_sealed_encode(uint8_t out[static WIRE_SEALED_HEADER_BYTES], const struct wire_sealed *h)
{
	struct writer w = writer_of(out, WIRE_SEALED_HEADER_BYTES);

	writer_u8(&w, h->type);
	writer_u8(&w, h->flags);
	writer_u8(&w, h->piece);
	writer_u8(&w, h->n_pieces);
	writer_be32(&w, h->index);
	writer_be64(&w, h->counter);
}

int wire_sealed_decode(struct wire_sealed *out, const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);
	struct wire_sealed h = { 0 };

	h.type = reader_u8(&r);
	h.flags = reader_u8(&r);
	h.piece = reader_u8(&r);
	h.n_pieces = reader_u8(&r);
	h.index = reader_be32(&r);
	h.counter = reader_be64(&r);
	if (!reader_ok(&r) || reader_left(&r) < WIRE_TAG_BYTES)
		return -EBADMSG;
	if (h.type != WIRE_DATA && h.type != WIRE_SESSION && h.type != WIRE_BIND)
		return -EBADMSG;
	if (h.n_pieces ? h.type != WIRE_DATA || h.n_pieces > WIRE_PIECES_MAX || h.piece >= h.n_pieces ||
				 h.piece > h.counter :
			 h.piece)
		return -EBADMSG;
	*out = h;
	return 0;
}
