/* Cutting, and the unfinished checksums. */
#include <errno.h>

#include "daemon/data/train_private.h"

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
