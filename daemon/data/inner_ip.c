#include "daemon/data/inner_ip.h"

#include <errno.h>
#include <string.h>

#define IPV4_HEADER_BYTES 20
#define IPV6_HEADER_BYTES 40
#define ICMP_HEADER_BYTES 8
#define PROTO_HOP_BY_HOP 0
#define PROTO_ICMP 1
#define PROTO_ICMPV6 58

/* An IPv4 error quotes the header and 8 bytes (RFC 792); an IPv6 one as much as fits 1280 (RFC 4443 section 3.1). */
#define ICMP_QUOTE_BYTES 8

static size_t be16(const uint8_t *p)
{
	return (size_t)p[0] << 8 | p[1];
}

static void put_be16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static size_t ipv4_header_bytes(const uint8_t *packet)
{
	return (size_t)(packet[0] & 0x0f) * 4;
}

int inner_ip_parse(struct inner_ip *out, const uint8_t *packet, size_t len)
{
	if (len < IPV4_HEADER_BYTES)
		return -EBADMSG;
	if (packet[0] >> 4 == 4) {
		size_t header = ipv4_header_bytes(packet), total = be16(packet + 2);

		if (header < IPV4_HEADER_BYTES || total < header || total > len)
			return -EBADMSG;
		ip_from_bytes(&out->src, packet + 12, 4);
		ip_from_bytes(&out->dst, packet + 16, 4);
		out->len = total;
		return 0;
	}
	if (packet[0] >> 4 == 6) {
		if (len < IPV6_HEADER_BYTES || IPV6_HEADER_BYTES + be16(packet + 4) > len)
			return -EBADMSG;
		if (be16(packet + 4) == 0 && packet[6] == PROTO_HOP_BY_HOP)
			return -EBADMSG; /* a jumbogram (RFC 2675): its length is not where we would cut it */
		/* Not ip_from_bytes: a mapped address inside the overlay must not pass as the IPv4 address it names. */
		out->src.len = out->dst.len = 16;
		memcpy(out->src.b, packet + 8, 16);
		memcpy(out->dst.b, packet + 24, 16);
		out->len = IPV6_HEADER_BYTES + be16(packet + 4);
		return 0;
	}
	return -EBADMSG;
}

/* The Internet checksum (RFC 1071) of bytes, continued from `sum`. */
static uint32_t checksum_add(uint32_t sum, const uint8_t *p, size_t len)
{
	for (; len > 1; p += 2, len -= 2)
		sum += (uint32_t)be16(p);
	if (len)
		sum += (uint32_t)*p << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static size_t checksum_end(uint32_t sum)
{
	return ~sum & 0xffff;
}

/* What makes an error what it is. */
struct icmp_error {
	uint8_t type, code;
	uint32_t rest; /* the second word of its header */
};

static size_t error4(uint8_t *out, size_t capacity, const uint8_t *packet, size_t len, const struct icmp_error *e)
{
	size_t header = ipv4_header_bytes(packet), quote, total;

	if (be16(packet + 6) & 0x1fff) /* not the first fragment */
		return 0;
	if (packet[9] == PROTO_ICMP) {
		/* Errors are answered to no error: only echo and timestamp requests and replies count as queries. */
		uint8_t type = len > header ? packet[header] : 3;

		if (type != 0 && type != 8 && type != 13 && type != 14)
			return 0;
	}
	quote = header + ICMP_QUOTE_BYTES < len ? header + ICMP_QUOTE_BYTES : len;
	total = IPV4_HEADER_BYTES + ICMP_HEADER_BYTES + quote;
	if (total > capacity)
		return 0;
	memset(out, 0, IPV4_HEADER_BYTES + ICMP_HEADER_BYTES);
	out[0] = 0x45;
	out[1] = 0xc0; /* internetwork control, as routers mark their errors (RFC 1812 section 4.3.2.5) */
	put_be16(out + 2, total);
	out[8] = 64;
	out[9] = PROTO_ICMP;
	memcpy(out + 12, packet + 16, 4);
	memcpy(out + 16, packet + 12, 4);
	put_be16(out + 10, checksum_end(checksum_add(0, out, IPV4_HEADER_BYTES)));
	out[IPV4_HEADER_BYTES] = e->type;
	out[IPV4_HEADER_BYTES + 1] = e->code;
	put_be16(out + IPV4_HEADER_BYTES + 4, e->rest >> 16);
	put_be16(out + IPV4_HEADER_BYTES + 6, e->rest & 0xffff);
	memcpy(out + IPV4_HEADER_BYTES + ICMP_HEADER_BYTES, packet, quote);
	put_be16(out + IPV4_HEADER_BYTES + 2,
		 checksum_end(checksum_add(0, out + IPV4_HEADER_BYTES, ICMP_HEADER_BYTES + quote)));
	return total;
}

static size_t error6(uint8_t *out, size_t capacity, const uint8_t *packet, size_t len, const struct icmp_error *e)
{
	uint8_t pseudo[8] = { 0 }, *icmp = out + IPV6_HEADER_BYTES;
	size_t quote = len, body;
	uint32_t sum;

	if (packet[6] == PROTO_ICMPV6 && len > IPV6_HEADER_BYTES && packet[IPV6_HEADER_BYTES] < 128)
		return 0; /* an error message */
	if (quote > INNER_IP_ERROR_MAX_BYTES - IPV6_HEADER_BYTES - ICMP_HEADER_BYTES)
		quote = INNER_IP_ERROR_MAX_BYTES - IPV6_HEADER_BYTES - ICMP_HEADER_BYTES;
	body = ICMP_HEADER_BYTES + quote;
	if (IPV6_HEADER_BYTES + body > capacity)
		return 0;
	memset(out, 0, IPV6_HEADER_BYTES + ICMP_HEADER_BYTES);
	out[0] = 0x60;
	put_be16(out + 4, body);
	out[6] = PROTO_ICMPV6;
	out[7] = 64;
	memcpy(out + 8, packet + 24, 16);
	memcpy(out + 24, packet + 8, 16);
	icmp[0] = e->type;
	icmp[1] = e->code;
	put_be16(icmp + 4, e->rest >> 16);
	put_be16(icmp + 6, e->rest & 0xffff);
	memcpy(icmp + ICMP_HEADER_BYTES, packet, quote);
	put_be16(pseudo + 2, body);
	pseudo[7] = PROTO_ICMPV6;
	sum = checksum_add(0, out + 8, 32);
	sum = checksum_add(sum, pseudo, sizeof(pseudo));
	put_be16(icmp + 2, checksum_end(checksum_add(sum, icmp, body)));
	return IPV6_HEADER_BYTES + body;
}

static size_t error_of(uint8_t *out, size_t capacity, const uint8_t *packet, size_t len, const struct icmp_error *e4,
		       const struct icmp_error *e6)
{
	struct inner_ip ip;

	if (inner_ip_parse(&ip, packet, len) < 0)
		return 0;
	if (ip_is_multicast(&ip.dst) || ip_is_broadcast(&ip.dst) || !ip_is_sendable(&ip.src))
		return 0;
	return ip.dst.len == 4 ? error4(out, capacity, packet, ip.len, e4) : error6(out, capacity, packet, ip.len, e6);
}

size_t inner_ip_unreachable(uint8_t *out, size_t capacity, const uint8_t *packet, size_t len)
{
	static const struct icmp_error host = { .type = 3, .code = 1 }, address = { .type = 1, .code = 3 };

	return error_of(out, capacity, packet, len, &host, &address);
}

size_t inner_ip_too_big(uint8_t *out, size_t capacity, const uint8_t *packet, size_t len, size_t mtu_bytes)
{
	struct icmp_error needed = { .type = 3, .code = 4, .rest = (uint32_t)mtu_bytes & 0xffff };
	struct icmp_error too_big = { .type = 2, .rest = (uint32_t)mtu_bytes };

	if (len > 6 && packet[0] >> 4 == 4 && !(packet[6] & 0x40))
		return 0; /* may be fragmented */
	return error_of(out, capacity, packet, len, &needed, &too_big);
}
