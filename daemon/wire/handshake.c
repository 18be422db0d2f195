#include "daemon/wire/handshake.h"
#include "daemon/base/bytes.h"

#include <errno.h>
#include <stdbool.h>

static bool has_length_of(size_t len, size_t shortest)
{
	return len >= shortest && len <= WIRE_HANDSHAKE_MAX_BYTES;
}

int wire_init_decode(struct wire_init *out, const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);
	struct wire_init m = { 0 };

	if (!has_length_of(len, WIRE_INIT_BYTES) || reader_u8(&r) != WIRE_INIT)
		return -EBADMSG;
	m.version = reader_u8(&r);
	reader_skip(&r, 2);
	m.sender = reader_be32(&r);
	m.mac1_at = len - WIRE_MACS_BYTES;
	m.noise_len = m.mac1_at - WIRE_INIT_HEADER_BYTES;
	m.noise = reader_take(&r, m.noise_len);
	*out = m;
	return 0;
}

int wire_response_decode(struct wire_response *out, const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);
	struct wire_response m = { 0 };

	if (!has_length_of(len, WIRE_RESPONSE_BYTES) || reader_u8(&r) != WIRE_RESPONSE)
		return -EBADMSG;
	m.version = reader_u8(&r);
	reader_skip(&r, 2);
	m.sender = reader_be32(&r);
	m.receiver = reader_be32(&r);
	m.mac1_at = len - WIRE_MACS_BYTES;
	m.noise_len = m.mac1_at - WIRE_RESPONSE_HEADER_BYTES;
	m.noise = reader_take(&r, m.noise_len);
	*out = m;
	return 0;
}

int wire_cookie_decode(struct wire_cookie *out, const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);
	struct wire_cookie m = { 0 };

	if (reader_u8(&r) != WIRE_COOKIE)
		return -EBADMSG;
	reader_skip(&r, 3);
	m.receiver = reader_be32(&r);
	reader_copy(&r, m.nonce, sizeof(m.nonce));
	reader_copy(&r, m.sealed, sizeof(m.sealed));
	if (!reader_at_end(&r))
		return -EBADMSG;
	*out = m;
	return 0;
}

static void trust_read(struct reader *r, size_t len, struct wire_trust *out)
{
	if (out->is_shown || len != WIRE_TRUST_BYTES)
		r->failed = true;
	out->is_shown = true;
	out->epoch = reader_be64(r);
	out->len = reader_be16(r);
	reader_copy(r, out->cert, sizeof(out->cert));
	if (out->len > sizeof(out->cert))
		r->failed = true;
}

/* A later version's are passed over. */
static void extensions_read(struct reader *r, struct wire_trust *trust)
{
	while (reader_left(r) > 0) {
		uint16_t type = reader_be16(r), len = reader_be16(r);

		if (type == WIRE_EXTENSION_TRUST)
			trust_read(r, len, trust);
		else
			reader_skip(r, len);
	}
	if (!reader_ok(r))
		*trust = (struct wire_trust){ 0 };
}

static void extensions_write(struct writer *w, const struct wire_trust *trust)
{
	if (!trust->is_shown)
		return;
	writer_be16(w, WIRE_EXTENSION_TRUST);
	writer_be16(w, WIRE_TRUST_BYTES);
	writer_be64(w, trust->epoch);
	writer_be16(w, trust->len);
	writer_put(w, trust->cert, trust->len);
	writer_zero(w, sizeof(trust->cert) - trust->len);
}

int wire_init_payload_decode(struct wire_init_payload *out, const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);
	struct wire_init_payload p = { 0 };

	reader_copy(&r, p.timestamp, sizeof(p.timestamp));
	p.suites = reader_be16(&r);
	p.features = reader_be16(&r);
	reader_skip(&r, 16);
	extensions_read(&r, &p.trust);
	if (!reader_at_end(&r))
		return -EBADMSG;
	*out = p;
	return 0;
}

int wire_response_payload_decode(struct wire_response_payload *out, const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);
	struct wire_response_payload p = { 0 };

	p.suite = reader_u8(&r);
	p.refusal = reader_u8(&r);
	p.features = reader_be16(&r);
	p.suites = reader_be16(&r);
	reader_skip(&r, 10);
	extensions_read(&r, &p.trust);
	if (!reader_at_end(&r))
		return -EBADMSG;
	*out = p;
	return 0;
}

void wire_init_header_encode(uint8_t out[static WIRE_INIT_HEADER_BYTES], uint32_t sender)
{
	struct writer w = writer_of(out, WIRE_INIT_HEADER_BYTES);

	writer_u8(&w, WIRE_INIT);
	writer_u8(&w, WIRE_VERSION);
	writer_zero(&w, 2);
	writer_be32(&w, sender);
}

void wire_response_header_encode(uint8_t out[static WIRE_RESPONSE_HEADER_BYTES], uint32_t sender, uint32_t receiver)
{
	struct writer w = writer_of(out, WIRE_RESPONSE_HEADER_BYTES);

	writer_u8(&w, WIRE_RESPONSE);
	writer_u8(&w, WIRE_VERSION);
	writer_zero(&w, 2);
	writer_be32(&w, sender);
	writer_be32(&w, receiver);
}

void wire_cookie_encode(uint8_t out[static WIRE_COOKIE_BYTES], const struct wire_cookie *c)
{
	struct writer w = writer_of(out, WIRE_COOKIE_BYTES);

	writer_u8(&w, WIRE_COOKIE);
	writer_zero(&w, 3);
	writer_be32(&w, c->receiver);
	writer_put(&w, c->nonce, sizeof(c->nonce));
	writer_put(&w, c->sealed, sizeof(c->sealed));
}

size_t wire_init_payload_encode(uint8_t out[static WIRE_INIT_PAYLOAD_BYTES + WIRE_EXTENSIONS_BYTES],
				const struct wire_init_payload *p)
{
	struct writer w = writer_of(out, WIRE_INIT_PAYLOAD_BYTES + WIRE_EXTENSIONS_BYTES);

	writer_put(&w, p->timestamp, sizeof(p->timestamp));
	writer_be16(&w, p->suites);
	writer_be16(&w, p->features);
	writer_zero(&w, 16);
	extensions_write(&w, &p->trust);
	return writer_len(&w);
}

size_t wire_response_payload_encode(uint8_t out[static WIRE_RESPONSE_PAYLOAD_BYTES + WIRE_EXTENSIONS_BYTES],
				    const struct wire_response_payload *p)
{
	struct writer w = writer_of(out, WIRE_RESPONSE_PAYLOAD_BYTES + WIRE_EXTENSIONS_BYTES);

	writer_u8(&w, p->suite);
	writer_u8(&w, p->refusal);
	writer_be16(&w, p->features);
	writer_be16(&w, p->suites);
	writer_zero(&w, 10);
	extensions_write(&w, &p->trust);
	return writer_len(&w);
}
