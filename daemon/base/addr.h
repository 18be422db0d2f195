/* daemon/base/addr.h - IP addresses, prefixes and UDP/TCP endpoints
 *
 * Plain values: compared, hashed, printed and parsed here, never cast to or from packets. IPv4-mapped IPv6
 * addresses are turned into IPv4 at the edge (endpoint_from_sockaddr, ip_from_bytes), so that no later check
 * has to know two forms of one address.
 * Thread: any.  Errors: negative errno. */
#ifndef DAEMON_BASE_ADDR_H
#define DAEMON_BASE_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

/* Bytes for the longest text with its NUL: "[" IPv6 "%" scope "]:" port; prefixes and plain IPs fit too. */
#define ADDR_TEXT_BYTES 72

struct ip {
	uint8_t len;   /* 4, 16, or 0: none */
	uint8_t b[16]; /* network order; the unused tail is zero */
};

struct endpoint {
	struct ip ip;
	uint16_t port; /* host order */
	uint32_t
		scope; /* interface index: of a link-local IPv6 address; else of the link to send through, 0: the kernel's choice */
};

/* The link that the kernel is told to send through, whatever its routes prefer; 0: none. */
uint32_t endpoint_through(const struct endpoint *ep);

struct prefix {
	struct ip ip; /* host bits may be set: "10.77.0.2/16" is an interface address and its net */
	uint8_t bits;
};

/* Here, like endpoint_equal, because the data path asks it several times a packet: lengths that are constants make it a few loads. */
static inline bool ip_equal(const struct ip *a, const struct ip *b)
{
	if (a->len != b->len)
		return false;
	if (a->len == 4)
		return memcmp(a->b, b->b, 4) == 0;
	return a->len == 0 || memcmp(a->b, b->b, 16) == 0;
}

int ip_compare(const struct ip *a, const struct ip *b); /* IPv4 before IPv6, then by value */
/* One host's: the same IPv4 address, or one /64, of which whoever has one address has them all. */
bool ip_is_same_network(const struct ip *a, const struct ip *b);
bool ip_is_none(const struct ip *ip);
bool ip_is_unspecified(const struct ip *ip); /* 0.0.0.0, :: */
bool ip_is_loopback(const struct ip *ip);
bool ip_is_multicast(const struct ip *ip);
bool ip_is_broadcast(const struct ip *ip);  /* 255.255.255.255 */
bool ip_is_link_local(const struct ip *ip); /* 169.254/16, fe80::/10 */
bool ip_is_private(const struct ip *ip);    /* RFC 1918, RFC 6598 100.64/10, RFC 4193 fc00::/7 */
/* An address a datagram may be sent to: not none, unspecified, loopback, multicast, broadcast, 0/8, 240/4. */
bool ip_is_sendable(const struct ip *ip);

/* `len` is 4 or 16 (else *out is none). A mapped IPv6 address becomes IPv4. */
void ip_from_bytes(struct ip *out, const uint8_t *bytes, size_t len);
int ip_from_text(struct ip *out, const char *text);                            /* -EINVAL */
const char *ip_to_text(const struct ip *ip, char out[static ADDR_TEXT_BYTES]); /* returns out */

static inline bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return a->port == b->port && a->scope == b->scope && ip_equal(&a->ip, &b->ip);
}

uint32_t endpoint_hash(const struct endpoint *ep); /* not keyed: never for tables a stranger can fill */
/* "192.0.2.1:27700", "[2001:db8::1]:27700"; numeric only. */
int endpoint_from_text(struct endpoint *out, const char *text);
const char *endpoint_to_text(const struct endpoint *ep, char out[static ADDR_TEXT_BYTES]);
/* Mapped addresses become IPv4. -EAFNOSUPPORT for other families. */
int endpoint_from_sockaddr(struct endpoint *out, const struct sockaddr *sa);
/* With `v6_socket`, IPv4 is written as a mapped address, for a dual-stack socket. Returns the length. */
socklen_t endpoint_to_sockaddr(const struct endpoint *ep, bool v6_socket, struct sockaddr_storage *out);

int prefix_from_text(struct prefix *out, const char *text); /* "10.77.0.0/16"; no slash: a host */
const char *prefix_to_text(const struct prefix *p, char out[static ADDR_TEXT_BYTES]);
bool prefix_equal(const struct prefix *a, const struct prefix *b); /* host bits count */
bool prefix_contains(const struct prefix *p, const struct ip *ip);
bool prefix_covers(const struct prefix *outer, const struct prefix *inner); /* the same counts */
bool prefix_overlaps(const struct prefix *a, const struct prefix *b);
struct ip prefix_network(const struct prefix *p); /* the address with its host bits cleared */
/* Its highest address; of IPv4 that is its broadcast address, unless there are but two (RFC 3021) or one. */
bool prefix_is_last(const struct prefix *p, const struct ip *ip);

#endif
