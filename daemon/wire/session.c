#include "daemon/wire/session.h"
#include "daemon/wire/endpoint.h"

#include <errno.h>

#define SESSION_BARE_BYTES 4 /* a type and nothing else */

static_assert(WIRE_PUNCH_BYTES == 8 + WIRE_ENDPOINT_BYTES, "a punch is its table");
static_assert(WIRE_PROBE_BYTES == 4 + WIRE_PROBE_ID_BYTES + WIRE_ENDPOINT_BYTES + 4, "a probe is its table");

int wire_session_type_of(const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);
	uint8_t type = reader_u8(&r);

	switch (type) {
	case SESSION_PROBE:
	case SESSION_CANDIDATES:
	case SESSION_PUNCH:
	case SESSION_REVOCATIONS:
		return type;
	case SESSION_TCP:
	case SESSION_CLOSE:
		return len == SESSION_BARE_BYTES ? type : -EBADMSG;
	default:
		return -EBADMSG;
	}
}

int wire_probe_encode(uint8_t *out, size_t capacity, const struct wire_probe *p)
{
	struct writer w = writer_of(out, capacity);

	writer_u8(&w, SESSION_PROBE);
	writer_u8(&w, p->is_reply ? SESSION_PROBE_REPLY : 0);
	writer_be16(&w, p->is_reply ? p->size : 0);
	writer_put(&w, p->id, sizeof(p->id));
	if (p->is_reply) {
		wire_endpoint_write(&w, &p->observed);
		writer_be32(&w, p->n_received);
	} else {
		writer_zero(&w, WIRE_ENDPOINT_BYTES + 4);
		if (p->size > WIRE_PROBE_BYTES)
			writer_zero(&w, p->size - WIRE_PROBE_BYTES);
	}
	return writer_finish(&w);
}

int wire_probe_decode(struct wire_probe *out, const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);
	struct wire_probe p = { 0 };

	if (reader_u8(&r) != SESSION_PROBE)
		return -EBADMSG;
	p.is_reply = reader_u8(&r) & SESSION_PROBE_REPLY;
	p.size = reader_be16(&r);
	reader_copy(&r, p.id, sizeof(p.id));
	wire_endpoint_read(&r, &p.observed);
	p.n_received = reader_be32(&r);
	if (p.is_reply) {
		if (!reader_at_end(&r))
			return -EBADMSG;
	} else {
		if (!reader_ok(&r) || len > UINT16_MAX || p.size != 0 || p.n_received != 0 ||
		    !ip_is_none(&p.observed.ip))
			return -EBADMSG;
		p.size = (uint16_t)len;
	}
	*out = p;
	return 0;
}

int wire_session_candidates_encode(uint8_t *out, size_t capacity, const struct wire_session_candidates *c)
{
	struct writer w = writer_of(out, capacity);

	writer_u8(&w, SESSION_CANDIDATES);
	writer_u8(&w, c->want_reply ? SESSION_WANT_REPLY : 0);
	writer_zero(&w, 2);
	wire_candidates_write(&w, &c->candidates);
	return writer_finish(&w);
}

int wire_session_candidates_decode(struct wire_session_candidates *out, const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);
	struct wire_session_candidates c = { 0 };

	if (reader_u8(&r) != SESSION_CANDIDATES)
		return -EBADMSG;
	c.want_reply = reader_u8(&r) & SESSION_WANT_REPLY;
	reader_skip(&r, 2);
	wire_candidates_read(&r, &c.candidates);
	if (!reader_at_end(&r))
		return -EBADMSG;
	*out = c;
	return 0;
}

int wire_punch_encode(uint8_t *out, size_t capacity, const struct wire_punch *p)
{
	struct writer w = writer_of(out, capacity);

	writer_u8(&w, SESSION_PUNCH);
	writer_u8(&w, (uint8_t)p->step);
	writer_u8(&w, (uint8_t)p->method);
	writer_u8(&w, (uint8_t)p->stride);
	writer_be32(&w, p->round);
	wire_endpoint_write(&w, &p->base);
	return writer_finish(&w);
}

static bool is_searching(int method)
{
	return (method >= PUNCH_PREDICT && method <= PUNCH_BIRTHDAY) || method == PUNCH_FRESH;
}

int wire_punch_decode(struct wire_punch *out, const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);
	struct wire_punch p;
	uint8_t type = reader_u8(&r), step = reader_u8(&r), method = reader_u8(&r);

	p.step = (enum punch_step)step;
	p.method = (enum punch_method)method;
	p.stride = (int8_t)reader_u8(&r);
	p.round = reader_be32(&r);
	wire_endpoint_read(&r, &p.base);
	if (!reader_at_end(&r) || type != SESSION_PUNCH || step < PUNCH_ASK || step > PUNCH_BASE ||
	    !is_searching(method))
		return -EBADMSG;
	if (!ip_is_none(&p.base.ip) && (p.base.port == 0 || !ip_is_sendable(&p.base.ip)))
		return -EBADMSG;
	*out = p;
	return 0;
}

static int bare_encode(uint8_t *out, size_t capacity, enum wire_session_type type)
{
	struct writer w = writer_of(out, capacity);

	writer_u8(&w, (uint8_t)type);
	writer_zero(&w, SESSION_BARE_BYTES - 1);
	return writer_finish(&w);
}

int wire_session_tcp_encode(uint8_t *out, size_t capacity)
{
	return bare_encode(out, capacity, SESSION_TCP);
}

int wire_session_close_encode(uint8_t *out, size_t capacity)
{
	return bare_encode(out, capacity, SESSION_CLOSE);
}
