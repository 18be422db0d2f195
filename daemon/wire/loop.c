#include "daemon/wire/loop.h"
#include "daemon/base/bytes.h"

#include <errno.h>

void wire_loop_encode(uint8_t out[static WIRE_LOOP_BYTES], uint64_t token)
{
	struct writer w = writer_of(out, WIRE_LOOP_BYTES);

	writer_u8(&w, WIRE_LOOP);
	writer_zero(&w, 7);
	writer_be64(&w, token);
}

int wire_loop_decode(uint64_t *token, const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);
	uint8_t type = reader_u8(&r);
	uint64_t value;

	reader_skip(&r, 7);
	value = reader_be64(&r);
	if (!reader_at_end(&r) || type != WIRE_LOOP)
		return -EBADMSG;
	*token = value;
	return 0;
}
