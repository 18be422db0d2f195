#include "daemon/wire/stun.h"
#include "daemon/base/bytes.h"

#include <errno.h>
#include <string.h>

#define HEADER_BYTES 20
#define MAGIC_COOKIE 0x2112a442
#define FINGERPRINT_XOR 0x5354554e

enum { /* RFC 8489 section 5: class and method share these 14 bits */
	BINDING_REQUEST = 0x0001,
	BINDING_INDICATION = 0x0011,
	BINDING_RESPONSE = 0x0101,
	BINDING_ERROR = 0x0111,
};

enum { /* RFC 8489 section 18.3 */
	ATTR_MAPPED_ADDRESS = 0x0001,
	ATTR_CHANGE_REQUEST = 0x0003,  /* RFC 3489 section 11.2.4 */
	ATTR_SOURCE_ADDRESS = 0x0004,  /* RFC 3489 section 11.2.5 */
	ATTR_CHANGED_ADDRESS = 0x0005, /* RFC 3489 section 11.2.3 */
	ATTR_USERNAME = 0x0006,
	ATTR_MESSAGE_INTEGRITY = 0x0008,
	ATTR_ERROR_CODE = 0x0009,
	ATTR_UNKNOWN_ATTRIBUTES = 0x000a,
	ATTR_REALM = 0x0014,
	ATTR_NONCE = 0x0015,
	ATTR_MESSAGE_INTEGRITY_SHA256 = 0x001c,
	ATTR_PASSWORD_ALGORITHM = 0x001d,
	ATTR_USERHASH = 0x001e,
	ATTR_XOR_MAPPED_ADDRESS = 0x0020,
	ATTR_FINGERPRINT = 0x8028,
	ATTR_OTHER_ADDRESS = 0x802c, /* RFC 5780 section 7.4 */
};

static bool is_required(uint16_t type)
{
	return type < 0x8000;
}

/* Those of credentials are understood so far that they may stand in a request without an answer of 420. */
static bool is_known(uint16_t type, enum stun_class class)
{
	switch (type) {
	case ATTR_SOURCE_ADDRESS: /* servers of RFC 3489 send them whatever they are asked */
	case ATTR_CHANGED_ADDRESS:
		return class == STUN_RESPONSE;
	case ATTR_MAPPED_ADDRESS:
	case ATTR_USERNAME:
	case ATTR_MESSAGE_INTEGRITY:
	case ATTR_ERROR_CODE:
	case ATTR_UNKNOWN_ATTRIBUTES:
	case ATTR_REALM:
	case ATTR_NONCE:
	case ATTR_MESSAGE_INTEGRITY_SHA256:
	case ATTR_PASSWORD_ALGORITHM:
	case ATTR_USERHASH:
	case ATTR_XOR_MAPPED_ADDRESS:
		return true;
	default:
		return false;
	}
}

/* The CRC-32 of ITU V.42, which is Ethernet's and zip's. */
static uint32_t crc32_of(const uint8_t *data, size_t len)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < len; i++) {
		crc ^= data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return ~crc;
}

static void note_unknown(struct stun_message *m, uint16_t type)
{
	for (unsigned i = 0; i < m->n_unknown; i++)
		if (m->unknown[i] == type)
			return;
	if (m->n_unknown < STUN_UNKNOWN_MAX)
		m->unknown[m->n_unknown++] = type;
}

/* The XOR pad of an address: the magic cookie, then the transaction id. */
static void xor_address(uint8_t *bytes, size_t len, const uint8_t id[static STUN_ID_BYTES])
{
	uint8_t pad[16];
	struct writer w = writer_of(pad, sizeof(pad));

	writer_be32(&w, MAGIC_COOKIE);
	writer_put(&w, id, STUN_ID_BYTES);
	for (size_t i = 0; i < len && i < sizeof(pad); i++)
		bytes[i] ^= pad[i];
}

static int address_decode(struct endpoint *out, const uint8_t *value, size_t len, const uint8_t *xor_id)
{
	struct reader r = reader_of(value, len);
	struct endpoint ep = { 0 };
	uint8_t family, bytes[16];
	size_t ip_len;

	reader_skip(&r, 1);
	family = reader_u8(&r);
	if (family != 1 && family != 2)
		return -EBADMSG;
	ip_len = family == 1 ? 4 : 16;
	ep.port = reader_be16(&r);
	reader_copy(&r, bytes, ip_len);
	if (!reader_at_end(&r))
		return -EBADMSG;
	if (xor_id) {
		ep.port ^= MAGIC_COOKIE >> 16;
		xor_address(bytes, ip_len, xor_id);
	}
	ip_from_bytes(&ep.ip, bytes, ip_len);
	*out = ep;
	return 0;
}

/* What the attributes said, until the message as a whole is judged. */
struct attributes {
	bool integrity_seen;
	struct endpoint mapped, xor_mapped, other;
};

/* Clients of RFC 3489 send it always, in their first test with no flag set. */
static bool asks_no_change(const uint8_t *value, size_t len)
{
	struct reader r = reader_of(value, len);

	return reader_be32(&r) == 0 && reader_at_end(&r);
}

static int attribute_decode(struct attributes *a, struct stun_message *m, uint16_t type, const uint8_t *value,
			    size_t len)
{
	/* RFC 8489 section 14.5: what stands behind the integrity is not covered by it and is ignored. */
	if (a->integrity_seen)
		return 0;
	if (type == ATTR_MESSAGE_INTEGRITY || type == ATTR_MESSAGE_INTEGRITY_SHA256) {
		a->integrity_seen = true;
		return 0;
	}
	if (type == ATTR_CHANGE_REQUEST && m->is_classic && asks_no_change(value, len))
		return 0;
	if (is_required(type) && !is_known(type, m->class))
		note_unknown(m, type);
	if (m->class != STUN_RESPONSE)
		return 0;
	/* The first of each counts (section 14). */
	if (type == ATTR_XOR_MAPPED_ADDRESS && ip_is_none(&a->xor_mapped.ip))
		return address_decode(&a->xor_mapped, value, len, m->id);
	if (type == ATTR_MAPPED_ADDRESS && ip_is_none(&a->mapped.ip))
		return address_decode(&a->mapped, value, len, NULL);
	if ((type == ATTR_OTHER_ADDRESS || type == ATTR_CHANGED_ADDRESS) && ip_is_none(&a->other.ip))
		return address_decode(&a->other, value, len, NULL);
	return 0;
}

static int class_of(enum stun_class *out, uint16_t type)
{
	switch (type) {
	case BINDING_REQUEST:
		*out = STUN_REQUEST;
		return 0;
	case BINDING_RESPONSE:
		*out = STUN_RESPONSE;
		return 0;
	case BINDING_ERROR:
		*out = STUN_ERROR;
		return 0;
	default:
		return -EBADMSG;
	}
}

static int attributes_decode(struct attributes *a, struct stun_message *m, struct reader *r, const uint8_t *data)
{
	while (reader_left(r) > 0) {
		const uint8_t *begin = r->p;
		uint16_t type = reader_be16(r), len = reader_be16(r);
		const uint8_t *value = reader_take(r, len);

		reader_skip(r, (4 - len % 4u) % 4);
		if (!reader_ok(r))
			return -EBADMSG;
		if (type == ATTR_FINGERPRINT) {
			size_t covered = (size_t)(begin - data);
			struct reader v = reader_of(value, len);
			uint32_t crc = reader_be32(&v);

			if (!reader_at_end(&v) || reader_left(r) > 0)
				return -EBADMSG;
			if (crc != (crc32_of(data, covered) ^ FINGERPRINT_XOR))
				return -EBADMSG;
		} else if (attribute_decode(a, m, type, value, len) < 0) {
			return -EBADMSG;
		}
	}
	return 0;
}

bool stun_is_answer(const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);
	uint16_t type = reader_be16(&r);

	reader_skip(&r, 2);
	return (type == BINDING_RESPONSE || type == BINDING_ERROR) && reader_be32(&r) == MAGIC_COOKIE;
}

int stun_decode(struct stun_message *out, const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);
	struct stun_message m = { 0 };
	struct attributes a = { 0 };
	uint16_t body_len;
	uint32_t cookie;

	if (class_of(&m.class, reader_be16(&r)) < 0)
		return -EBADMSG;
	body_len = reader_be16(&r);
	cookie = reader_be32(&r);
	if (cookie != MAGIC_COOKIE) {
		if (m.class != STUN_REQUEST)
			return -EBADMSG;
		m.is_classic = true;
		m.id_begin = cookie;
	}
	reader_copy(&r, m.id, sizeof(m.id));
	if (!reader_ok(&r) || body_len % 4 != 0 || body_len != reader_left(&r))
		return -EBADMSG;
	if (attributes_decode(&a, &m, &r, data) < 0)
		return -EBADMSG;
	/* Sections 6.3.3 and 6.3.4: an answer that says something not understood is no answer. */
	if (m.class != STUN_REQUEST && m.n_unknown > 0)
		return -EBADMSG;
	/* Stock clients of RFC 3489 take even a 420 for the answer from another address that they asked for, and would call
	 * every NAT a full cone. */
	if (m.is_classic && m.n_unknown > 0)
		return -EBADMSG;
	if (m.class == STUN_RESPONSE) {
		m.mapped = ip_is_none(&a.xor_mapped.ip) ? a.mapped : a.xor_mapped;
		/* Nobody can be reached there, so this is an error or an attempt to misdirect. */
		if (m.mapped.port == 0 || !ip_is_sendable(&m.mapped.ip))
			return -EBADMSG;
		/* Servers without a second address tell 0.0.0.0. */
		if (a.other.port != 0 && ip_is_sendable(&a.other.ip))
			m.other = a.other;
	}
	*out = m;
	return 0;
}

/* Of a request, or of the answer to it. */
static void header_write(struct writer *w, uint16_t type, size_t body_len, const struct stun_message *request)
{
	writer_be16(w, type);
	writer_be16(w, (uint16_t)body_len);
	writer_be32(w, request->is_classic ? request->id_begin : MAGIC_COOKIE);
	writer_put(w, request->id, STUN_ID_BYTES);
}

/* 420 Unknown Attribute, without a reason phrase: a stranger asked for it, so it stays short. */
static void unknown_write(struct writer *w, const struct stun_message *request)
{
	size_t list_len = 2 * (size_t)request->n_unknown, padding = list_len % 4;

	header_write(w, BINDING_ERROR, 8 + 4 + list_len + padding, request);
	writer_be16(w, ATTR_ERROR_CODE);
	writer_be16(w, 4);
	writer_be16(w, 0);
	writer_u8(w, 4);
	writer_u8(w, 20);
	writer_be16(w, ATTR_UNKNOWN_ATTRIBUTES);
	writer_be16(w, (uint16_t)list_len);
	for (unsigned i = 0; i < request->n_unknown; i++)
		writer_be16(w, request->unknown[i]);
	writer_zero(w, padding);
}

int stun_reply_encode(uint8_t out[static STUN_REPLY_MAX_BYTES], const struct stun_message *request,
		      const struct endpoint *from)
{
	struct writer w = writer_of(out, STUN_REPLY_MAX_BYTES);
	uint16_t port = from->port;
	uint8_t bytes[16];

	if (request->n_unknown > 0) {
		unknown_write(&w, request);
		return writer_finish(&w);
	}
	memcpy(bytes, from->ip.b, sizeof(bytes));
	if (!request->is_classic) {
		xor_address(bytes, from->ip.len, request->id);
		port ^= MAGIC_COOKIE >> 16;
	}
	header_write(&w, BINDING_RESPONSE, 8u + from->ip.len, request);
	writer_be16(&w, request->is_classic ? ATTR_MAPPED_ADDRESS : ATTR_XOR_MAPPED_ADDRESS);
	writer_be16(&w, (uint16_t)(4 + from->ip.len));
	writer_u8(&w, 0);
	writer_u8(&w, from->ip.len == 4 ? 1 : 2);
	writer_be16(&w, port);
	writer_put(&w, bytes, from->ip.len);
	return writer_finish(&w);
}

int stun_request_encode(uint8_t out[static STUN_REQUEST_MAX_BYTES], const uint8_t id[static STUN_ID_BYTES],
			unsigned change)
{
	struct writer w = writer_of(out, STUN_REQUEST_MAX_BYTES);
	struct stun_message request = { .class = STUN_REQUEST };

	memcpy(request.id, id, sizeof(request.id));
	header_write(&w, BINDING_REQUEST, change ? 8 : 0, &request);
	if (change) {
		writer_be16(&w, ATTR_CHANGE_REQUEST);
		writer_be16(&w, 4);
		writer_be32(&w, change);
	}
	return writer_finish(&w);
}

int stun_indication_encode(uint8_t out[static STUN_INDICATION_BYTES], const uint8_t id[static STUN_ID_BYTES])
{
	struct writer w = writer_of(out, STUN_INDICATION_BYTES);
	struct stun_message indication = { 0 };

	memcpy(indication.id, id, sizeof(indication.id));
	header_write(&w, BINDING_INDICATION, 0, &indication);
	return writer_finish(&w);
}
