/* daemon/data/inner_ip.h - what the data path must know of an inner packet
 *
 * Reads version, lengths and addresses; nothing is trusted beyond the bytes at hand.
 * Thread: any. */
#ifndef DAEMON_DATA_INNER_IP_H
#define DAEMON_DATA_INNER_IP_H

#include "daemon/base/addr.h"

struct inner_ip {
	struct ip src, dst;
	size_t len; /* of the packet; bytes behind it are padding */
};

/* -EBADMSG: no whole IPv4 or IPv6 packet (version, header length, total length). IPv4's header checksum is not checked:
 * the AEAD proved that the bytes are the sender's, and the receiving stack checks it. */
int inner_ip_parse(struct inner_ip *out, const uint8_t *packet, size_t len);

/* The longest error built: an IPv6 one fits the smallest link (RFC 4443 section 3.1). */
#define INNER_IP_ERROR_MAX_BYTES 1280

/* Builds into `out` the ICMP or ICMPv6 "destination unreachable" (host, address) for `packet`. It comes from the address that was asked
 * for: the kernel takes no packet from a link that claims one of the host's own addresses. Returns its length, 0 when none must be sent (RFC 1122
 * section 3.2.2, RFC 4443 section 2.4: an ICMP error, a later fragment, multicast) or it does not fit. */
size_t inner_ip_unreachable(uint8_t *out, size_t capacity, const uint8_t *packet, size_t len);

/* The same for "too big" with the MTU that fits (RFC 1191, RFC 8201): none for an IPv4 packet that may be fragmented. */
size_t inner_ip_too_big(uint8_t *out, size_t capacity, const uint8_t *packet, size_t len, size_t mtu_bytes);

#endif
