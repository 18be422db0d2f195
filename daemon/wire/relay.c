#include "daemon/wire/relay.h"
#include "daemon/base/bytes.h"

#include <errno.h>

void wire_relay_encode(uint8_t out[static WIRE_RELAY_HEADER_BYTES], const struct wire_relay *m)
{
	struct writer w = writer_of(out, WIRE_RELAY_HEADER_BYTES);

	writer_u8(&w, WIRE_RELAY);
	writer_zero(&w, 3);
	writer_be32(&w, m->index);
	writer_be64(&w, m->counter);
	writer_be32(&w, m->member);
	writer_put(&w, m->tag, sizeof(m->tag));
}

int wire_relay_decode(struct wire_relay *out, const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);
	struct wire_relay m = { 0 };

	if (reader_u8(&r) != WIRE_RELAY)
		return -EBADMSG;
	reader_skip(&r, 3);
	m.index = reader_be32(&r);
	m.counter = reader_be64(&r);
	m.member = reader_be32(&r);
	reader_copy(&r, m.tag, sizeof(m.tag));
	m.payload_len = reader_left(&r);
	m.payload = reader_take(&r, m.payload_len);
	if (!reader_ok(&r) || m.payload_len == 0)
		return -EBADMSG;
	*out = m;
	return 0;
}
