#include "daemon/base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static const uint8_t mapped_v4[12] = { [10] = 0xff, [11] = 0xff }; /* ::ffff:0:0/96 */

int ip_compare(const struct ip *a, const struct ip *b)
{
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	return memcmp(a->b, b->b, a->len);
}

bool ip_is_same_network(const struct ip *a, const struct ip *b)
{
	return a->len == b->len && memcmp(a->b, b->b, a->len == 16 ? 8 : 4) == 0;
}

bool ip_is_none(const struct ip *ip)
{
	return ip->len == 0;
}

static bool is_all(const uint8_t *b, size_t len, uint8_t value)
{
	for (size_t i = 0; i < len; i++)
		if (b[i] != value)
			return false;
	return true;
}

bool ip_is_unspecified(const struct ip *ip)
{
	return ip->len > 0 && is_all(ip->b, ip->len, 0);
}

bool ip_is_loopback(const struct ip *ip)
{
	if (ip->len == 4)
		return ip->b[0] == 127;
	return ip->len == 16 && is_all(ip->b, 15, 0) && ip->b[15] == 1;
}

bool ip_is_multicast(const struct ip *ip)
{
	if (ip->len == 4)
		return (ip->b[0] & 0xf0) == 0xe0;
	return ip->len == 16 && ip->b[0] == 0xff;
}

bool ip_is_broadcast(const struct ip *ip)
{
	return ip->len == 4 && is_all(ip->b, 4, 0xff);
}

bool ip_is_link_local(const struct ip *ip)
{
	if (ip->len == 4)
		return ip->b[0] == 169 && ip->b[1] == 254;
	return ip->len == 16 && ip->b[0] == 0xfe && (ip->b[1] & 0xc0) == 0x80;
}

bool ip_is_private(const struct ip *ip)
{
	const uint8_t *b = ip->b;

	if (ip->len == 4)
		return b[0] == 10 || (b[0] == 172 && (b[1] & 0xf0) == 16) || (b[0] == 192 && b[1] == 168) ||
		       (b[0] == 100 && (b[1] & 0xc0) == 64);
	return ip->len == 16 && (b[0] & 0xfe) == 0xfc;
}

bool ip_is_sendable(const struct ip *ip)
{
	if (ip->len == 4 && (ip->b[0] == 0 || ip->b[0] >= 240)) /* "this network", reserved and broadcast */
		return false;
	return !ip_is_none(ip) && !ip_is_unspecified(ip) && !ip_is_loopback(ip) && !ip_is_multicast(ip);
}

void ip_from_bytes(struct ip *out, const uint8_t *bytes, size_t len)
{
	*out = (struct ip){ 0 };
	if (len == 16 && memcmp(bytes, mapped_v4, sizeof(mapped_v4)) == 0) {
		bytes += sizeof(mapped_v4);
		len = 4;
	}
	if (len != 4 && len != 16)
		return;
	out->len = (uint8_t)len;
	memcpy(out->b, bytes, len);
}

int ip_from_text(struct ip *out, const char *text)
{
	uint8_t bytes[16];

	if (inet_pton(AF_INET, text, bytes) == 1)
		ip_from_bytes(out, bytes, 4);
	else if (inet_pton(AF_INET6, text, bytes) == 1)
		ip_from_bytes(out, bytes, 16);
	else
		return -EINVAL;
	return 0;
}

const char *ip_to_text(const struct ip *ip, char out[static ADDR_TEXT_BYTES])
{
	if (ip_is_none(ip) || !inet_ntop(ip->len == 4 ? AF_INET : AF_INET6, ip->b, out, ADDR_TEXT_BYTES))
		memcpy(out, "none", sizeof("none"));
	return out;
}

static uint32_t fnv1a(uint32_t hash, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ p[i]) * 16777619u;
	return hash;
}

uint32_t endpoint_hash(const struct endpoint *ep)
{
	const uint8_t rest[] = { ep->ip.len,
				 (uint8_t)(ep->port >> 8),
				 (uint8_t)ep->port,
				 (uint8_t)(ep->scope >> 24),
				 (uint8_t)(ep->scope >> 16),
				 (uint8_t)(ep->scope >> 8),
				 (uint8_t)ep->scope };

	return fnv1a(fnv1a(2166136261u, ep->ip.b, ep->ip.len), rest, sizeof(rest));
}

/* The only form accepted is the one printed: digits, no sign, no space, no leading zero. */
static int decimal_from_text(uint32_t *out, const char *text, uint32_t max)
{
	uint64_t v = 0;

	if (text[0] == '\0' || (text[0] == '0' && text[1] != '\0'))
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		v = v * 10 + (uint64_t)(*text - '0');
		if (v > max)
			return -EINVAL;
	}
	*out = (uint32_t)v;
	return 0;
}

/* "192.0.2.1:1" gives "192.0.2.1" and "1"; "[::1]:1" gives "::1" and "1". */
static int split_port(char host[static ADDR_TEXT_BYTES], const char **port, const char *text)
{
	bool bracketed = text[0] == '[';
	const char *begin = bracketed ? text + 1 : text;
	const char *end = bracketed ? strchr(text, ']') : strchr(text, ':');
	size_t len;

	if (!end || (bracketed && end[1] != ':'))
		return -EINVAL;
	len = (size_t)(end - begin);
	if (len >= ADDR_TEXT_BYTES)
		return -EINVAL;
	memcpy(host, begin, len);
	host[len] = '\0';
	*port = bracketed ? end + 2 : end + 1;
	if (bracketed != (strchr(host, ':') != NULL)) /* brackets are IPv6's */
		return -EINVAL;
	return 0;
}

int endpoint_from_text(struct endpoint *out, const char *text)
{
	struct endpoint ep = { 0 };
	char host[ADDR_TEXT_BYTES];
	const char *port_text;
	char *scope_text;
	uint32_t port;

	if (split_port(host, &port_text, text) < 0 || decimal_from_text(&port, port_text, UINT16_MAX) < 0)
		return -EINVAL;
	scope_text = strchr(host, '%');
	if (scope_text)
		*scope_text++ = '\0';
	if (ip_from_text(&ep.ip, host) < 0)
		return -EINVAL;
	if (scope_text) {
		if (ep.ip.len != 16 || !ip_is_link_local(&ep.ip) ||
		    decimal_from_text(&ep.scope, scope_text, UINT32_MAX) < 0 || ep.scope == 0)
			return -EINVAL;
	}
	ep.port = (uint16_t)port;
	*out = ep;
	return 0;
}

uint32_t endpoint_through(const struct endpoint *ep)
{
	return ip_is_link_local(&ep->ip) ? 0 : ep->scope;
}

const char *endpoint_to_text(const struct endpoint *ep, char out[static ADDR_TEXT_BYTES])
{
	char ip[ADDR_TEXT_BYTES];

	ip_to_text(&ep->ip, ip);
	if (ip_is_none(&ep->ip))
		memcpy(out, ip, sizeof(ip));
	else if (ep->ip.len == 4)
		snprintf(out, ADDR_TEXT_BYTES, "%.15s:%u", ip, ep->port);
	else if (ep->scope)
		snprintf(out, ADDR_TEXT_BYTES, "[%.45s%%%" PRIu32 "]:%u", ip, ep->scope, ep->port);
	else
		snprintf(out, ADDR_TEXT_BYTES, "[%.45s]:%u", ip, ep->port);
	return out;
}

int endpoint_from_sockaddr(struct endpoint *out, const struct sockaddr *sa)
{
	struct endpoint ep = { 0 };

	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)sa;

		ip_from_bytes(&ep.ip, (const uint8_t *)&in->sin_addr, 4);
		ep.port = ntohs(in->sin_port);
	} else if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)sa;

		ip_from_bytes(&ep.ip, (const uint8_t *)&in6->sin6_addr, 16);
		ep.port = ntohs(in6->sin6_port);
		if (ep.ip.len == 16 && ip_is_link_local(&ep.ip))
			ep.scope = in6->sin6_scope_id;
	} else {
		return -EAFNOSUPPORT;
	}
	*out = ep;
	return 0;
}

socklen_t endpoint_to_sockaddr(const struct endpoint *ep, bool v6_socket, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof(*out));
	if (ep->ip.len == 4 && !v6_socket) {
		struct sockaddr_in *in = (void *)out;

		in->sin_family = AF_INET;
		in->sin_port = htons(ep->port);
		memcpy(&in->sin_addr, ep->ip.b, 4);
		return sizeof(*in);
	}

	struct sockaddr_in6 *in6 = (void *)out;
	uint8_t *bytes = (uint8_t *)&in6->sin6_addr;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(ep->port);
	in6->sin6_scope_id = ep->scope;
	if (ep->ip.len == 4) {
		memcpy(bytes, mapped_v4, sizeof(mapped_v4));
		memcpy(bytes + sizeof(mapped_v4), ep->ip.b, 4);
	} else {
		memcpy(bytes, ep->ip.b, 16);
	}
	return sizeof(*in6);
}

int prefix_from_text(struct prefix *out, const char *text)
{
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);
	char host[ADDR_TEXT_BYTES];
	struct prefix p = { 0 };
	uint32_t bits;

	if (len >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, len);
	host[len] = '\0';
	if (ip_from_text(&p.ip, host) < 0)
		return -EINVAL;
	bits = p.ip.len * 8u;
	if (slash) {
		/* The length of a mapped prefix counts 96 bits that are gone by now. */
		if (p.ip.len == 4 && strchr(host, ':'))
			return -EINVAL;
		if (decimal_from_text(&bits, slash + 1, bits) < 0)
			return -EINVAL;
	}
	p.bits = (uint8_t)bits;
	*out = p;
	return 0;
}

const char *prefix_to_text(const struct prefix *p, char out[static ADDR_TEXT_BYTES])
{
	char ip[ADDR_TEXT_BYTES];

	snprintf(out, ADDR_TEXT_BYTES, "%.45s/%u", ip_to_text(&p->ip, ip), p->bits);
	return out;
}

static bool same_bits(const struct ip *a, const struct ip *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(a->b, b->b, whole) != 0)
		return false;
	return rest == 0 || (a->b[whole] ^ b->b[whole]) >> (8 - rest) == 0;
}

bool prefix_contains(const struct prefix *p, const struct ip *ip)
{
	return p->ip.len > 0 && p->ip.len == ip->len && same_bits(&p->ip, ip, p->bits);
}

bool prefix_equal(const struct prefix *a, const struct prefix *b)
{
	return a->bits == b->bits && ip_equal(&a->ip, &b->ip);
}

bool prefix_covers(const struct prefix *outer, const struct prefix *inner)
{
	return outer->bits <= inner->bits && prefix_contains(outer, &inner->ip);
}

bool prefix_overlaps(const struct prefix *a, const struct prefix *b)
{
	return a->bits <= b->bits ? prefix_contains(a, &b->ip) : prefix_contains(b, &a->ip);
}

struct ip prefix_network(const struct prefix *p)
{
	struct ip net = p->ip;

	for (unsigned i = 0; i < sizeof(net.b); i++) {
		unsigned first = i * 8; /* bit number of this byte's highest bit */

		if (first >= p->bits)
			net.b[i] = 0;
		else if (p->bits - first < 8)
			net.b[i] = (uint8_t)(net.b[i] & 0xff << (8 - (p->bits - first)));
	}
	return net;
}

bool prefix_is_last(const struct prefix *p, const struct ip *ip)
{
	if (!prefix_contains(p, ip))
		return false;
	for (unsigned bit = p->bits; bit < ip->len * 8u; bit++)
		if (!(ip->b[bit / 8] & 0x80 >> bit % 8))
			return false;
	return true;
}
