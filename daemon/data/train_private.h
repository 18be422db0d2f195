/* daemon/data/train_private.h - what train.c, which cuts, and train_join.c share: headers, bytes, sums */
#ifndef DAEMON_DATA_TRAIN_PRIVATE_H
#define DAEMON_DATA_TRAIN_PRIVATE_H

#include <arpa/inet.h>
#include <linux/virtio_net.h>
#include <string.h>

#include "daemon/data/train.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4 /* Linux 6.2; Debian 12's headers are older than the kernels this runs on */
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

#define IPV4_HEADER_BYTES 20
#define IPV4_DF 0x4000
#define IPV4_FRAGMENT 0x3fff /* more fragments, offset */
#define IPV6_HEADER_BYTES 40
#define PROTO_HOP_BY_HOP 0
#define PROTO_TCP 6
#define PROTO_UDP 17
#define PROTO_ROUTING 43
#define PROTO_FRAGMENT 44
#define PROTO_DESTINATION_OPTIONS 60

#define TCP_HEADER_BYTES 20
#define TCP_CHECKSUM 16
#define TCP_FIN 0x01
#define TCP_PSH 0x08
#define TCP_ACK 0x10
#define TCP_URG 0x20
#define TCP_CWR 0x80
#define UDP_HEADER_BYTES 8
#define UDP_CHECKSUM 6

static inline uint16_t get_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline void put_be16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline uint32_t get_be32(const uint8_t *p)
{
	return (uint32_t)get_be16(p) << 16 | get_be16(p + 2);
}

static inline void put_be32(uint8_t *p, uint32_t v)
{
	put_be16(p, v >> 16);
	put_be16(p + 2, v);
}

/* ---------------------------------------------------------------- checksums (RFC 1071) */

/* Sums are of words as loaded from memory, whatever the host's byte order: the checksum does not mind (section 2 (B)),
 * and nothing is swapped on the way. Sums of headers stay far below 2^64, so they are added up plainly. */
static inline uint64_t load16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t load32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t as_loaded(size_t v) /* a 16-bit value as it lies in a packet */
{
	return htons((uint16_t)v);
}

static inline uint16_t sum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

static inline void store_sum(uint8_t *p, uint16_t sum)
{
	memcpy(p, &sum, sizeof(sum));
}

/* The folded sum of bytes. */
static inline uint64_t sum_bytes(const uint8_t *p, size_t len)
{
	uint64_t sum = 0;

	for (; len >= 8; p += 8, len -= 8) {
		uint64_t word = load64(p);

		sum += word;
		sum += sum < word;
	}
	sum = sum_fold(sum);
	for (; len >= 2; p += 2, len -= 2)
		sum += load16(p);
	if (len) {
		uint8_t last[2] = { *p, 0 };

		sum += load16(last);
	}
	return sum_fold(sum);
}

/* As the kernel does: zero means "none" in UDP, and its other form does no harm in TCP. */
static inline void store_checksum(uint8_t *p, uint64_t sum)
{
	uint16_t checksum = (uint16_t)~sum_fold(sum);

	store_sum(p, checksum ? checksum : 0xffff);
}

/* Without the length. */
static inline uint64_t pseudo_sum(const uint8_t *packet, bool is_ipv6, bool is_tcp)
{
	uint64_t sum = as_loaded(is_tcp ? PROTO_TCP : PROTO_UDP);

	if (!is_ipv6)
		return sum + load32(packet + 12) + load32(packet + 16);
	for (unsigned at = 8; at < IPV6_HEADER_BYTES; at += 4)
		sum += load32(packet + at);
	return sum;
}

/* ---------------------------------------------------------------- where things are */

/* The packet's own length, 0 if it is none; the same rules as inner_ip_parse. */
static inline size_t ip_total(const uint8_t *packet, size_t len)
{
	size_t total;

	if (len < IPV4_HEADER_BYTES)
		return 0;
	if (packet[0] >> 4 == 4) {
		size_t header = (size_t)(packet[0] & 0x0f) * 4;

		total = get_be16(packet + 2);
		return header < IPV4_HEADER_BYTES || total < header || total > len ? 0 : total;
	}
	if (packet[0] >> 4 != 6 || len < IPV6_HEADER_BYTES)
		return 0;
	total = get_be16(packet + 4);
	if (total == 0 && packet[6] == PROTO_HOP_BY_HOP)
		return 0; /* a jumbogram */
	return total + IPV6_HEADER_BYTES > len ? 0 : total + IPV6_HEADER_BYTES;
}

static inline size_t checksum_offset(bool is_tcp)
{
	return is_tcp ? TCP_CHECKSUM : UDP_CHECKSUM;
}

#endif
