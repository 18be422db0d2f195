#include "daemon/wire/endpoint.h"

void wire_endpoint_write(struct writer *w, const struct endpoint *ep)
{
	writer_u8(w, ep->ip.len);
	writer_u8(w, 0);
	writer_be16(w, ip_is_none(&ep->ip) ? 0 : ep->port);
	writer_put(w, ep->ip.b, sizeof(ep->ip.b));
}

void wire_endpoint_read(struct reader *r, struct endpoint *out)
{
	uint8_t len = reader_u8(r), bytes[16];
	uint16_t port;

	reader_skip(r, 1);
	port = reader_be16(r);
	reader_copy(r, bytes, sizeof(bytes));
	*out = (struct endpoint){ 0 };
	if (len == 0)
		return;
	if (len != 4 && len != 16) {
		r->failed = true;
		return;
	}
	ip_from_bytes(&out->ip, bytes, len);
	out->port = port;
}

void wire_ip_write(struct writer *w, const struct ip *ip)
{
	if (ip->len != 4 && ip->len != 16)
		w->failed = true;
	writer_u8(w, ip->len);
	writer_put(w, ip->b, ip->len);
}

void wire_ip_read(struct reader *r, struct ip *out)
{
	uint8_t len = reader_u8(r);
	const uint8_t *bytes;

	*out = (struct ip){ 0 };
	if (len != 4 && len != 16)
		r->failed = true;
	bytes = reader_take(r, len);
	if (bytes)
		ip_from_bytes(out, bytes, len);
}
