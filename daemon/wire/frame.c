#include "daemon/wire/frame.h"
#include "daemon/base/bytes.h"

#include <errno.h>

int wire_frame_peek(const uint8_t *data, size_t len, const uint8_t **body)
{
	struct reader r = reader_of(data, len);
	uint16_t body_len = reader_be16(&r);
	const uint8_t *p;

	if (!reader_ok(&r))
		return 0;
	if (body_len == 0 || body_len > WIRE_FRAME_MAX_BYTES)
		return -EBADMSG;
	p = reader_take(&r, body_len);
	if (!p)
		return 0;
	*body = p;
	return body_len;
}

void wire_frame_header(uint8_t out[static WIRE_FRAME_HEADER_BYTES], size_t body_len)
{
	struct writer w = writer_of(out, WIRE_FRAME_HEADER_BYTES);

	writer_be16(&w, (uint16_t)body_len);
}
