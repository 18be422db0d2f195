/* Joining. */
#include "daemon/data/train_private.h"

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
