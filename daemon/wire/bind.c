#include "daemon/wire/bind.h"
#include "daemon/wire/endpoint.h"

#include <errno.h>

#define REQUEST_FLAGS (BIND_NO_MOVE | BIND_OTHER_PORT | BIND_OTHER_ADDRESS)
#define REPLY_FLAGS (BIND_BOUND | BIND_LATER)

void wire_bind_encode(uint8_t out[static WIRE_BIND_BYTES], const struct wire_bind *b)
{
	struct writer w = writer_of(out, WIRE_BIND_BYTES);

	writer_u8(&w, (uint8_t)b->type);
	writer_u8(&w, b->flags);
	writer_be16(&w, b->time_ds);
	writer_be64(&w, b->token);
	writer_be64(&w, b->challenge);
	if (b->type == BIND_REPLY)
		wire_endpoint_write(&w, &b->observed);
	else
		writer_zero(&w, WIRE_ENDPOINT_BYTES);
}

int wire_bind_decode(struct wire_bind *out, const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);
	struct wire_bind b = { 0 };
	uint8_t type = reader_u8(&r);

	if (type != BIND_REQUEST && type != BIND_REPLY)
		return -EBADMSG;
	b.type = (enum wire_bind_type)type;
	b.flags = reader_u8(&r) & (type == BIND_REQUEST ? REQUEST_FLAGS : REPLY_FLAGS);
	b.time_ds = reader_be16(&r);
	b.token = reader_be64(&r);
	b.challenge = reader_be64(&r);
	if (type == BIND_REPLY)
		wire_endpoint_read(&r, &b.observed);
	else
		reader_skip(&r, WIRE_ENDPOINT_BYTES);
	if (!reader_at_end(&r))
		return -EBADMSG;
	if (type == BIND_REPLY && (ip_is_none(&b.observed.ip) || b.observed.port == 0))
		return -EBADMSG;
	*out = b;
	return 0;
}
