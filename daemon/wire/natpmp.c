#include "daemon/wire/natpmp.h"

#include <errno.h>

#include "daemon/base/bytes.h"

#define VERSION 0
#define RESPONSE 128

int natpmp_request_encode(uint8_t *out, size_t capacity, const struct natpmp_request *q)
{
	struct writer w = writer_of(out, capacity);

	writer_u8(&w, VERSION);
	writer_u8(&w, (uint8_t)q->opcode);
	if (q->opcode != NATPMP_ADDRESS) {
		writer_zero(&w, 2);
		writer_be16(&w, q->internal_port);
		writer_be16(&w, q->external_port);
		writer_be32(&w, q->lifetime_s);
	}
	return writer_finish(&w);
}

static void read_address(struct reader *r, struct natpmp_response *p)
{
	const uint8_t *address = reader_take(r, 4);

	if (address && p->result == NATPMP_SUCCESS)
		ip_from_bytes(&p->external, address, 4);
	if (!ip_is_sendable(&p->external))
		p->external = (struct ip){ 0 };
}

static void read_mapping(struct reader *r, struct natpmp_response *p)
{
	p->internal_port = reader_be16(r);
	p->external_port = reader_be16(r);
	p->lifetime_s = reader_be32(r);
	if (p->result == NATPMP_SUCCESS && p->lifetime_s > 0 && (p->internal_port == 0 || p->external_port == 0))
		r->failed = true;
}

int natpmp_response_decode(struct natpmp_response *out, const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);
	struct natpmp_response p = { 0 };
	uint8_t opcode;

	if (reader_u8(&r) != VERSION)
		return -EBADMSG;
	opcode = reader_u8(&r);
	if (opcode < RESPONSE || opcode > RESPONSE + NATPMP_MAP_TCP)
		return -EBADMSG;
	p.opcode = (enum natpmp_opcode)(opcode - RESPONSE);
	p.result = reader_be16(&r);
	p.epoch_s = reader_be32(&r);
	if (p.result != NATPMP_SUCCESS && reader_left(&r) == 0)
		; /* cut short, as an error may be */
	else if (p.opcode == NATPMP_ADDRESS)
		read_address(&r, &p);
	else
		read_mapping(&r, &p);
	if (!reader_at_end(&r))
		return -EBADMSG;
	*out = p;
	return 0;
}

const char *natpmp_result_text(uint16_t result)
{
	static const char *const texts[] = {
		"granted",
		"version not supported",
		"not authorized",
		"the gateway has no address of its own outside",
		"no room for more mappings",
		"opcode not supported",
	};

	return result < sizeof(texts) / sizeof(texts[0]) ? texts[result] : "refused for a reason unknown here";
}
