#include "daemon/wire/pcp.h"

#include <errno.h>

#include "daemon/base/bytes.h"

#define VERSION 2
#define RESPONSE 0x80
#define OPTION_PREFER_FAILURE 2

static void put_address(struct writer *w, const struct ip *ip)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (ip->len == 4)
		writer_put(w, mapped, sizeof(mapped));
	if (ip->len)
		writer_put(w, ip->b, ip->len);
	else
		writer_zero(w, 16);
}

int pcp_request_encode(uint8_t *out, size_t capacity, const struct pcp_request *q)
{
	static const struct ip any4 = { .len = 4 };
	struct writer w = writer_of(out, capacity);

	writer_u8(&w, VERSION);
	writer_u8(&w, (uint8_t)q->opcode);
	writer_zero(&w, 2);
	writer_be32(&w, q->lifetime_s);
	put_address(&w, &q->client);
	if (q->opcode == PCP_MAP) {
		writer_put(&w, q->nonce, sizeof(q->nonce));
		writer_u8(&w, q->protocol);
		writer_zero(&w, 3);
		writer_be16(&w, q->internal_port);
		writer_be16(&w, q->external_port);
		/* "Any" is of the family that is wanted: section 11.1. */
		put_address(&w, q->external.len ? &q->external : q->client.len == 4 ? &any4 : &q->external);
	}
	if (q->opcode == PCP_MAP && q->prefer_failure) {
		writer_u8(&w, OPTION_PREFER_FAILURE);
		writer_zero(&w, 3);
	}
	return writer_finish(&w);
}

static bool is_assigned(const struct pcp_response *p)
{
	return p->external_port != 0 && ip_is_sendable(&p->external);
}

int pcp_response_decode(struct pcp_response *out, const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);
	struct pcp_response p = { 0 };
	const uint8_t *external;
	uint8_t opcode;

	if (len > PCP_MAX_BYTES || len % 4 != 0 || reader_u8(&r) != VERSION)
		return -EBADMSG;
	opcode = reader_u8(&r);
	if (opcode != (RESPONSE | PCP_ANNOUNCE) && opcode != (RESPONSE | PCP_MAP))
		return -EBADMSG;
	p.opcode = (enum pcp_opcode)(opcode & ~RESPONSE);
	reader_skip(&r, 1);
	p.result = reader_u8(&r);
	p.lifetime_s = reader_be32(&r);
	p.epoch_s = reader_be32(&r);
	reader_skip(&r, 12);
	if (p.opcode == PCP_MAP) {
		reader_copy(&r, p.nonce, sizeof(p.nonce));
		p.protocol = reader_u8(&r);
		reader_skip(&r, 3);
		p.internal_port = reader_be16(&r);
		p.external_port = reader_be16(&r);
		external = reader_take(&r, 16);
		if (external)
			ip_from_bytes(&p.external, external, 16);
		if (p.result == PCP_SUCCESS && p.lifetime_s > 0 && !is_assigned(&p))
			return -EBADMSG;
	}
	if (!reader_ok(&r))
		return -EBADMSG;
	*out = p;
	return 0;
}

const char *pcp_result_text(uint8_t result)
{
	static const char *const texts[] = {
		"granted",
		"version not supported",
		"not authorized",
		"malformed request",
		"opcode not supported",
		"option not supported",
		"malformed option",
		"the gateway has no address of its own outside",
		"no room for more mappings",
		"protocol not supported",
		"quota used up",
		"the suggested external port cannot be had",
		"address mismatch: there is another NAT between us and the gateway",
		"too many remote peers",
	};

	return result < sizeof(texts) / sizeof(texts[0]) ? texts[result] : "refused for a reason unknown here";
}
