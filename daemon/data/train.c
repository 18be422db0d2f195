#include "daemon/data/train.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/virtio_net.h>
#include <string.h>

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

static uint16_t get_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void put_be16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t get_be32(const uint8_t *p)
{
	return (uint32_t)get_be16(p) << 16 | get_be16(p + 2);
}

static void put_be32(uint8_t *p, uint32_t v)
{
	put_be16(p, v >> 16);
	put_be16(p + 2, v);
}

/* ---------------------------------------------------------------- checksums (RFC 1071) */

/* Sums are of words as loaded from memory, whatever the host's byte order: the checksum does not mind (section 2 (B)),
 * and nothing is swapped on the way. Sums of headers stay far below 2^64, so they are added up plainly. */
static uint64_t load16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint64_t load32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint64_t as_loaded(size_t v) /* a 16-bit value as it lies in a packet */
{
	return htons((uint16_t)v);
}

static uint16_t sum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

static void store_sum(uint8_t *p, uint16_t sum)
{
	memcpy(p, &sum, sizeof(sum));
}

/* The folded sum of bytes. */
static uint64_t sum_bytes(const uint8_t *p, size_t len)
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
static void store_checksum(uint8_t *p, uint64_t sum)
{
	uint16_t checksum = (uint16_t)~sum_fold(sum);

	store_sum(p, checksum ? checksum : 0xffff);
}

/* Without the length. */
static uint64_t pseudo_sum(const uint8_t *packet, bool is_ipv6, bool is_tcp)
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
static size_t ip_total(const uint8_t *packet, size_t len)
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

struct layout {
	size_t total, l4; /* l4: TCP's or UDP's begin, its fixed header whole within the packet */
	bool is_ipv6, is_tcp;
	bool is_rerouted; /* a routing header: the pseudo-header's destination is not the one in the IPv6 header */
};

static int layout_read(struct layout *out, const uint8_t *packet, size_t len)
{
	struct layout l = { .total = ip_total(packet, len) };
	uint8_t proto;

	if (l.total == 0)
		return -EBADMSG;
	l.is_ipv6 = packet[0] >> 4 == 6;
	if (l.is_ipv6) {
		proto = packet[6];
		l.l4 = IPV6_HEADER_BYTES;
		while (proto == PROTO_HOP_BY_HOP || proto == PROTO_ROUTING || proto == PROTO_DESTINATION_OPTIONS) {
			const uint8_t *extension = packet + l.l4;
			size_t size;

			if (l.total - l.l4 < 8)
				return -EBADMSG;
			size = ((size_t)extension[1] + 1) * 8;
			if (size > l.total - l.l4)
				return -EBADMSG;
			if (proto == PROTO_ROUTING && extension[3] > 0)
				l.is_rerouted = true;
			proto = extension[0];
			l.l4 += size;
		}
	} else {
		if (get_be16(packet + 6) & IPV4_FRAGMENT)
			return -EBADMSG;
		proto = packet[9];
		l.l4 = (size_t)(packet[0] & 0x0f) * 4;
	}
	if (proto != PROTO_TCP && proto != PROTO_UDP) /* a fragment too */
		return -EBADMSG;
	l.is_tcp = proto == PROTO_TCP;
	if (l.total - l.l4 < (l.is_tcp ? TCP_HEADER_BYTES : UDP_HEADER_BYTES))
		return -EBADMSG;
	*out = l;
	return 0;
}

static size_t checksum_offset(bool is_tcp)
{
	return is_tcp ? TCP_CHECKSUM : UDP_CHECKSUM;
}

int train_locate_checksum(const uint8_t *packet, size_t len, uint16_t *start, uint16_t *offset)
{
	struct layout l;

	if (layout_read(&l, packet, len) < 0 || l.l4 > UINT16_MAX)
		return -EBADMSG;
	*start = (uint16_t)l.l4;
	*offset = (uint16_t)checksum_offset(l.is_tcp);
	return 0;
}

int train_finish_checksum(uint8_t *packet, size_t len)
{
	struct layout l;

	if (layout_read(&l, packet, len) < 0)
		return -EBADMSG;
	/* The field holds the pseudo-header's sum, so it counts itself. */
	store_checksum(packet + l.l4 + checksum_offset(l.is_tcp), sum_bytes(packet + l.l4, l.total - l.l4));
	return 0;
}

/* ---------------------------------------------------------------- cutting */

/* The packet passes whole. Only what the far end finds again may stay unfinished: a tunnel inside ours leaves its own
 * inner checksum to us, anywhere in the packet. */
static int plain_begin(struct train *t, size_t len, const struct tun_vnet *vnet, size_t max_packet)
{
	uint16_t start, offset;
	size_t total = ip_total(t->packet, len);

	if (total == 0)
		return -EBADMSG;
	if (total > max_packet)
		return -EMSGSIZE;
	t->payload_len = total;
	t->n = 1;
	if (!(vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return 0;
	if (vnet->csum_start < IPV4_HEADER_BYTES || (size_t)vnet->csum_start + vnet->csum_offset + 2 > total)
		return -EBADMSG;
	t->is_partial = train_locate_checksum(t->packet, total, &start, &offset) == 0 && start == vnet->csum_start &&
			offset == vnet->csum_offset;
	if (!t->is_partial) {
		t->csum_start = vnet->csum_start;
		t->csum_at = (size_t)vnet->csum_start + vnet->csum_offset;
	}
	return 0;
}

static uint8_t *plain_next(struct train *t, size_t *len)
{
	t->i = 1;
	*len = t->payload_len;
	if (t->csum_at)
		store_checksum(t->packet + t->csum_at,
			       sum_bytes(t->packet + t->csum_start, t->payload_len - t->csum_start));
	return t->packet;
}

/* Does the vnet header speak of this packet? */
static bool is_train_of(const struct layout *l, const struct tun_vnet *vnet)
{
	switch (vnet->gso_type) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
	case VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN:
		if (!l->is_tcp || l->is_ipv6)
			return false;
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
	case VIRTIO_NET_HDR_GSO_TCPV6 | VIRTIO_NET_HDR_GSO_ECN:
		if (!l->is_tcp || !l->is_ipv6)
			return false;
		break;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		if (l->is_tcp)
			return false;
		break;
	default:
		return false;
	}
	if (vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		return vnet->csum_start == l->l4 && vnet->csum_offset == checksum_offset(l->is_tcp);
	return true;
}

/* The header every segment begins with, the fields that differ zeroed, and the sums of what stays. */
static void template_make(struct train *t, const struct layout *l)
{
	uint8_t *header = t->header, *l4 = header + l->l4;
	size_t l4_len = l->total - l->l4;

	memcpy(header, t->packet, t->header_len);
	if (t->is_ipv6) {
		put_be16(header + 4, 0);
	} else {
		t->ip_id = get_be16(header + 4);
		put_be32(header + 2, 0); /* length, id */
		put_be16(header + 10, 0);
		t->ip_sum = sum_bytes(header, l->l4);
	}
	/* With a routing header the final destination is the sender's knowledge: what he summed, less his length. */
	if (l->is_rerouted && t->is_partial)
		t->pseudo_sum = load16(l4 + checksum_offset(t->is_tcp)) + (uint16_t)~as_loaded(l4_len);
	else
		t->pseudo_sum = pseudo_sum(header, t->is_ipv6, t->is_tcp);
	t->has_checksum = t->is_tcp || t->is_partial || get_be16(l4 + UDP_CHECKSUM) != 0;
	put_be16(l4 + checksum_offset(t->is_tcp), 0);
	if (t->is_tcp) {
		t->seq = get_be32(l4 + 4);
		t->tcp_flags = l4[13];
		t->urgent = get_be16(l4 + 18);
	}
}

int train_begin(struct train *t, uint8_t *packet, size_t len, const struct tun_vnet *vnet, size_t max_packet)
{
	struct layout l;
	size_t l4_header = UDP_HEADER_BYTES;

	t->packet = packet;
	t->header_len = t->at = 0;
	t->n = t->i = 0;
	t->is_partial = false;
	t->csum_start = t->csum_at = 0;
	if (vnet->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return plain_begin(t, len, vnet, max_packet);
	if (vnet->gso_size == 0 || layout_read(&l, packet, len) < 0 || !is_train_of(&l, vnet))
		return -EBADMSG;
	t->is_partial = vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
	if (l.is_rerouted && !t->is_partial)
		return -EBADMSG; /* nobody told the sum, and whose address counts is up to the routing header's type */
	if (l.is_tcp)
		l4_header = (size_t)(packet[l.l4 + 12] >> 4) * 4;
	if (l4_header < (l.is_tcp ? TCP_HEADER_BYTES : UDP_HEADER_BYTES) || l4_header > l.total - l.l4 ||
	    l.l4 + l4_header > sizeof(t->header))
		return -EBADMSG;
	t->is_ipv6 = l.is_ipv6;
	t->is_tcp = l.is_tcp;
	t->l4 = l.l4;
	t->header_len = l.l4 + l4_header;
	t->payload_len = l.total - t->header_len;
	t->segment_payload = vnet->gso_size < t->payload_len ? vnet->gso_size : t->payload_len;
	if (t->header_len + t->segment_payload > max_packet) {
		if (!t->is_tcp || max_packet <= t->header_len)
			return -EMSGSIZE;
		t->segment_payload = max_packet - t->header_len;
	}
	t->n = 1;
	if (t->payload_len > t->segment_payload)
		t->n = (unsigned)((t->payload_len + t->segment_payload - 1) / t->segment_payload);
	template_make(t, &l);
	return 0;
}

static void tcp_patch(const struct train *t, uint8_t *tcp, bool is_last)
{
	uint8_t flags = t->tcp_flags;

	put_be32(tcp + 4, t->seq + (uint32_t)t->at);
	if (!is_last)
		flags &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	if (t->at > 0)
		flags &= (uint8_t)~TCP_CWR; /* said once (RFC 3168 section 6.1.2) */
	if (flags & TCP_URG) {
		/* The pointer counts from each segment's own number; behind it nothing is urgent. */
		bool is_before = t->at < t->urgent;

		if (!is_before)
			flags &= (uint8_t)~TCP_URG;
		put_be16(tcp + 18, is_before ? t->urgent - t->at : 0);
	}
	tcp[13] = flags;
}

uint8_t *train_next(struct train *t, size_t *len)
{
	uint8_t *packet = t->packet + t->at, *l4, *checksum;
	size_t payload, l4_len;
	uint64_t sum;

	if (t->i >= t->n)
		return NULL;
	if (t->header_len == 0)
		return plain_next(t, len);
	l4 = packet + t->l4;
	payload = t->payload_len - t->at < t->segment_payload ? t->payload_len - t->at : t->segment_payload;
	l4_len = t->header_len - t->l4 + payload;
	*len = t->header_len + payload;
	memcpy(packet, t->header, t->header_len);
	if (t->is_ipv6) {
		put_be16(packet + 4, *len - IPV6_HEADER_BYTES);
	} else {
		uint16_t id = (uint16_t)(t->ip_id + t->i);

		put_be16(packet + 2, *len);
		put_be16(packet + 4, id);
		store_sum(packet + 10, (uint16_t)~sum_fold(t->ip_sum + as_loaded(*len) + as_loaded(id)));
	}
	if (t->is_tcp)
		tcp_patch(t, l4, t->i + 1 == t->n);
	else
		put_be16(l4 + 4, l4_len);
	checksum = l4 + checksum_offset(t->is_tcp);
	sum = t->pseudo_sum + as_loaded(l4_len);
	if (t->is_partial)
		store_sum(checksum, sum_fold(sum));
	else if (t->has_checksum)
		store_checksum(checksum, sum + sum_bytes(l4, l4_len));
	t->at += payload;
	t->i++;
	return packet;
}

/* ---------------------------------------------------------------- joining */

struct segment { /* a packet of the kind that may be joined */
	size_t total, l4, header_len, payload;
	bool is_ipv6, is_tcp;
};

/* What a packet of a train may be: right in itself, and nothing in it that a train could not carry. */
static bool segment_read(struct segment *s, const uint8_t *packet, size_t len)
{
	const uint8_t *l4;
	uint8_t proto;

	s->total = ip_total(packet, len);
	if (s->total == 0)
		return false;
	s->is_ipv6 = packet[0] >> 4 == 6;
	if (s->is_ipv6) {
		s->l4 = IPV6_HEADER_BYTES;
		proto = packet[6];
		if (packet[7] == 0) /* hop limit */
			return false;
	} else {
		s->l4 = IPV4_HEADER_BYTES;
		proto = packet[9];
		if (packet[0] != 0x45 || (get_be16(packet + 6) & ~IPV4_DF) != 0 || packet[8] == 0)
			return false;
		/* A wrong checksum would be made right; 0xffff is one of two forms, and not the one we write. */
		if (get_be16(packet + 10) == 0xffff || sum_bytes(packet, IPV4_HEADER_BYTES) != 0xffff)
			return false;
	}
	l4 = packet + s->l4;
	s->is_tcp = proto == PROTO_TCP;
	if (s->is_tcp) {
		if (s->total - s->l4 < TCP_HEADER_BYTES)
			return false;
		s->header_len = s->l4 + (size_t)(l4[12] >> 4) * 4;
		if (s->header_len < s->l4 + TCP_HEADER_BYTES || (l4[12] & 0x0f) || (l4[13] & ~TCP_PSH) != TCP_ACK)
			return false;
	} else {
		s->header_len = s->l4 + UDP_HEADER_BYTES;
		if (proto != PROTO_UDP || s->total < s->header_len || get_be16(l4 + 4) != s->total - s->l4)
			return false;
	}
	if (s->total <= s->header_len) /* nothing in it: a pure ACK says something each time */
		return false;
	s->payload = s->total - s->header_len;
	return load16(l4 + checksum_offset(s->is_tcp)) ==
	       sum_fold(pseudo_sum(packet, s->is_ipv6, s->is_tcp) + as_loaded(s->total - s->l4));
}

void train_join_begin(struct joined *j, uint8_t *packet, size_t len, bool is_partial, unsigned features)
{
	struct segment s;
	size_t total = ip_total(packet, len);

	j->len = total > 0 ? total : len;
	j->iov[0] = (struct iovec){ .iov_base = packet, .iov_len = j->len };
	j->n_packets = j->n_iov = 1;
	j->is_partial = is_partial;
	j->is_joinable = is_partial && (features & (TUN_TSO | TUN_USO)) && segment_read(&s, packet, len) &&
			 (features & (s.is_tcp ? TUN_TSO : TUN_USO));
	if (!j->is_joinable)
		return;
	j->header_len = s.header_len;
	j->segment_payload = s.payload;
	j->is_ipv6 = s.is_ipv6;
	j->is_tcp = s.is_tcp;
	j->is_pushed = false;
	if (s.is_tcp) {
		j->next_seq = get_be32(packet + s.l4 + 4) + (uint32_t)s.payload;
		j->is_pushed = packet[s.l4 + 13] & TCP_PSH;
	}
	j->is_closed = j->is_pushed;
	j->next_ip_id = s.is_ipv6 ? 0 : (uint16_t)(get_be16(packet + 4) + 1);
}

static bool ip_continues(const struct joined *j, const uint8_t *first, const uint8_t *packet)
{
	if (j->is_ipv6) /* class, flow label; next header, hop limit, addresses */
		return load32(first) == load32(packet) && memcmp(first + 6, packet + 6, IPV6_HEADER_BYTES - 6) == 0;
	/* TOS; flags; TTL, protocol; addresses */
	if (load16(first) != load16(packet) || load16(first + 6) != load16(packet + 6) ||
	    load16(first + 8) != load16(packet + 8) || load64(first + 12) != load64(packet + 12))
		return false;
	/* With DF the id means nothing (RFC 6864). */
	return (get_be16(packet + 6) & IPV4_DF) || get_be16(packet + 4) == j->next_ip_id;
}

/* Flags are known to be ACK, and PSH which may come with the last. */
static bool tcp_continues(const struct joined *j, const uint8_t *first, const uint8_t *tcp, size_t tcp_header)
{
	return load32(first) == load32(tcp) && get_be32(tcp + 4) == j->next_seq &&
	       load32(first + 8) == load32(tcp + 8) && first[12] == tcp[12] && load16(first + 14) == load16(tcp + 14) &&
	       load16(first + 18) == load16(tcp + 18) &&
	       memcmp(first + TCP_HEADER_BYTES, tcp + TCP_HEADER_BYTES, tcp_header - TCP_HEADER_BYTES) == 0;
}

bool train_join_add(struct joined *j, uint8_t *packet, size_t len, bool is_partial)
{
	const uint8_t *first = j->iov[0].iov_base;
	struct segment s;

	if (!j->is_joinable || j->is_closed || !is_partial || j->n_packets == TRAIN_JOIN_MAX)
		return false;
	if (!segment_read(&s, packet, len))
		return false;
	if (s.is_ipv6 != j->is_ipv6 || s.is_tcp != j->is_tcp || s.header_len != j->header_len ||
	    s.payload > j->segment_payload || s.payload > TUN_PACKET_MAX_BYTES - j->len)
		return false;
	if (!ip_continues(j, first, packet))
		return false;
	if (s.is_tcp ? !tcp_continues(j, first + s.l4, packet + s.l4, s.header_len - s.l4) :
		       load32(first + s.l4) != load32(packet + s.l4))
		return false;
	if (s.is_tcp) {
		j->next_seq += (uint32_t)s.payload;
		j->is_pushed = packet[s.l4 + 13] & TCP_PSH;
	}
	j->next_ip_id++;
	j->is_closed = j->is_pushed || s.payload < j->segment_payload;
	j->iov[j->n_iov++] = (struct iovec){ .iov_base = packet + s.header_len, .iov_len = s.payload };
	j->n_packets++;
	j->len += s.payload;
	return true;
}

static uint8_t gso_type(const struct joined *j)
{
	if (!j->is_tcp)
		return VIRTIO_NET_HDR_GSO_UDP_L4;
	return j->is_ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
}

/* The first packet's header, for a packet or train of `len` bytes with an unfinished checksum. */
static void set_lengths(const struct joined *j, uint8_t *packet, size_t len)
{
	size_t start = j->is_ipv6 ? IPV6_HEADER_BYTES : IPV4_HEADER_BYTES;
	uint8_t *l4 = packet + start;

	if (j->is_ipv6) {
		put_be16(packet + 4, len - IPV6_HEADER_BYTES);
	} else {
		put_be16(packet + 2, len);
		put_be16(packet + 10, 0);
		store_sum(packet + 10, (uint16_t)~sum_bytes(packet, IPV4_HEADER_BYTES));
	}
	if (!j->is_tcp)
		put_be16(l4 + 4, len - start);
	store_sum(l4 + checksum_offset(j->is_tcp),
		  sum_fold(pseudo_sum(packet, j->is_ipv6, j->is_tcp) + as_loaded(len - start)));
}

void train_join_end(struct joined *j)
{
	size_t start = j->is_ipv6 ? IPV6_HEADER_BYTES : IPV4_HEADER_BYTES;
	uint8_t *packet = j->iov[0].iov_base;

	j->vnet = (struct tun_vnet){ 0 };
	if (j->n_packets == 1) {
		if (j->is_partial &&
		    train_locate_checksum(packet, j->len, &j->vnet.csum_start, &j->vnet.csum_offset) == 0)
			j->vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		return;
	}
	set_lengths(j, packet, j->len);
	if (j->is_tcp && j->is_pushed)
		packet[start + 13] |= TCP_PSH;
	j->vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	j->vnet.gso_type = gso_type(j);
	j->vnet.gso_size = (uint16_t)j->segment_payload;
	j->vnet.hdr_len = (uint16_t)j->header_len;
	j->vnet.csum_start = (uint16_t)start;
	j->vnet.csum_offset = (uint16_t)checksum_offset(j->is_tcp);
}

uint8_t *train_join_packet(struct joined *j, unsigned i, size_t *len)
{
	uint8_t *packet = j->iov[i].iov_base;
	size_t start = j->is_ipv6 ? IPV6_HEADER_BYTES : IPV4_HEADER_BYTES;

	*len = j->iov[i].iov_len;
	if (j->n_packets == 1)
		return packet;
	if (i > 0) { /* its headers are still in front of its payload */
		*len += j->header_len;
		return packet - j->header_len;
	}
	set_lengths(j, packet, *len);
	if (j->is_tcp)
		packet[start + 13] &= (uint8_t)~TCP_PSH; /* one that had it would have been the last */
	return packet;
}
