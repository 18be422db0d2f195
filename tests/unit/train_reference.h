/* tests/unit/train_reference.h - trains cut and joined the plain, slow way
 *
 * Written from the RFCs with nothing of daemon/data/train.c: every packet is built anew, every checksum summed byte by
 * byte. What may be joined is not told by a list of fields: the super-packet is built, cut again, and must give back
 * the packets that went in. The caller frees what is returned with ref_packets_free. */
#ifndef TESTS_UNIT_TRAIN_REFERENCE_H
#define TESTS_UNIT_TRAIN_REFERENCE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tun/tun.h"

#define REF_NEEDS_CSUM 1
#define REF_GSO_TCPV4 1
#define REF_GSO_TCPV6 4
#define REF_GSO_UDP_L4 5
#define REF_GSO_ECN 0x80

struct ref_packets {
	unsigned n;
	struct ref_packet {
		uint8_t *data;
		size_t len;
	} * packet;
	bool is_partial;
};

static inline void ref_packets_free(struct ref_packets *list)
{
	for (unsigned i = 0; i < list->n; i++)
		free(list->packet[i].data);
	free(list->packet);
	*list = (struct ref_packets){ 0 };
}

static inline uint8_t *ref_packets_add(struct ref_packets *list, const uint8_t *data, size_t len)
{
	struct ref_packet *grown = realloc(list->packet, (list->n + 1) * sizeof(*grown));
	uint8_t *copy = malloc(len + 1);

	if (!grown || !copy)
		abort();
	memcpy(copy, data, len);
	list->packet = grown;
	list->packet[list->n++] = (struct ref_packet){ .data = copy, .len = len };
	return copy;
}

static inline unsigned ref_get(const uint8_t *p, unsigned bytes)
{
	unsigned v = 0;

	while (bytes-- > 0)
		v = v << 8 | *p++;
	return v;
}

static inline void ref_put(uint8_t *p, unsigned bytes, unsigned v)
{
	while (bytes-- > 0) {
		p[bytes] = (uint8_t)v;
		v >>= 8;
	}
}

static inline unsigned ref_sum(unsigned sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		sum += i % 2 ? p[i] : (unsigned)p[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

struct ref_layout {
	size_t total, l4;
	unsigned version, proto; /* proto 0: no TCP or UDP header found */
	bool is_rerouted;
};

static inline bool ref_parse(struct ref_layout *out, const uint8_t *p, size_t len)
{
	struct ref_layout l = { .version = len ? p[0] >> 4 : 0 };

	if (l.version == 4) {
		if (len < 20 || (p[0] & 15) < 5)
			return false;
		l.total = ref_get(p + 2, 2);
		l.l4 = (size_t)(p[0] & 15) * 4;
		if (l.total > len || l.total < l.l4)
			return false;
		if ((ref_get(p + 6, 2) & 0x3fff) == 0)
			l.proto = p[9];
	} else if (l.version == 6) {
		if (len < 40)
			return false;
		l.total = 40 + ref_get(p + 4, 2);
		if (l.total > len || (l.total == 40 && p[6] == 0))
			return false;
		l.proto = p[6];
		l.l4 = 40;
		while (l.proto == 0 || l.proto == 43 || l.proto == 60) {
			if (l.l4 + 8 > l.total || l.l4 + 8 + p[l.l4 + 1] * 8u > l.total) {
				l.proto = 0;
				break;
			}
			if (l.proto == 43 && p[l.l4 + 3])
				l.is_rerouted = true;
			l.proto = p[l.l4];
			l.l4 += 8 + p[l.l4 + 1] * 8u;
		}
	} else {
		return false;
	}
	if (l.proto != 6 && l.proto != 17)
		l.proto = 0;
	if ((l.proto == 6 && l.l4 + 20 > l.total) || (l.proto == 17 && l.l4 + 8 > l.total))
		l.proto = 0;
	*out = l;
	return true;
}

static inline size_t ref_checksum_at(const struct ref_layout *l)
{
	return l->l4 + (l->proto == 6 ? 16 : 6);
}

static inline unsigned ref_pseudo_sum(const uint8_t *p, const struct ref_layout *l)
{
	uint8_t more[8] = { 0 };
	unsigned sum = l->version == 4 ? ref_sum(0, p + 12, 8) : ref_sum(0, p + 8, 32);

	ref_put(more, 4, (unsigned)(l->total - l->l4));
	more[7] = (uint8_t)l->proto;
	return ref_sum(sum, more, 8);
}

/* Sets the checksum of a whole packet, unfinished or finished. */
static inline void ref_checksum_set(uint8_t *p, size_t len, bool is_partial)
{
	struct ref_layout l;
	unsigned sum;

	if (!ref_parse(&l, p, len) || l.proto == 0)
		return;
	ref_put(p + ref_checksum_at(&l), 2, 0);
	sum = ref_pseudo_sum(p, &l);
	if (!is_partial) {
		sum = ~ref_sum(sum, p + l.l4, l.total - l.l4) & 0xffff;
		if (sum == 0)
			sum = 0xffff;
	}
	ref_put(p + ref_checksum_at(&l), 2, sum);
}

static inline void ref_ip_checksum_set(uint8_t *p)
{
	if (p[0] >> 4 != 4)
		return;
	ref_put(p + 10, 2, 0);
	ref_put(p + 10, 2, ~ref_sum(0, p, (size_t)(p[0] & 15) * 4));
}

/* What train_begin and train_next must give. */
static inline int ref_cut(struct ref_packets *out, const uint8_t *p, size_t len, const struct tun_vnet *v, size_t max)
{
	struct ref_layout l;
	size_t header, payload, step, at = 0;
	bool needs_csum = v->flags & REF_NEEDS_CSUM;
	unsigned gso = v->gso_type & ~REF_GSO_ECN;

	*out = (struct ref_packets){ 0 };
	if (!ref_parse(&l, p, len))
		return -EBADMSG;
	if (v->gso_type == 0) {
		uint8_t *copy;

		if (l.total > max)
			return -EMSGSIZE;
		if (needs_csum && (v->csum_start < 20 || (size_t)v->csum_start + v->csum_offset + 2 > l.total))
			return -EBADMSG;
		copy = ref_packets_add(out, p, l.total);
		if (needs_csum && l.proto && v->csum_start == l.l4 &&
		    v->csum_start + v->csum_offset == (int)ref_checksum_at(&l)) {
			out->is_partial = true;
		} else if (needs_csum) {
			unsigned sum = ~ref_sum(0, p + v->csum_start, l.total - v->csum_start) & 0xffff;

			ref_put(copy + v->csum_start + v->csum_offset, 2, sum ? sum : 0xffff);
		}
		return 0;
	}
	if (v->gso_size == 0 || l.proto == 0 || (gso == REF_GSO_UDP_L4 && (v->gso_type & REF_GSO_ECN)))
		return -EBADMSG;
	if (!(gso == REF_GSO_TCPV4 && l.version == 4 && l.proto == 6) &&
	    !(gso == REF_GSO_TCPV6 && l.version == 6 && l.proto == 6) && !(gso == REF_GSO_UDP_L4 && l.proto == 17))
		return -EBADMSG;
	if (needs_csum && (v->csum_start != l.l4 || v->csum_start + v->csum_offset != (int)ref_checksum_at(&l)))
		return -EBADMSG;
	if (l.is_rerouted && !needs_csum)
		return -EBADMSG;
	header = l.l4 + (l.proto == 6 ? (p[l.l4 + 12] >> 4) * 4u : 8u);
	if (header < l.l4 + (l.proto == 6 ? 20 : 8) || header > l.total || header > 120)
		return -EBADMSG;
	payload = l.total - header;
	step = payload < v->gso_size ? payload : v->gso_size;
	if (header + step > max) {
		if (l.proto == 17 || max <= header)
			return -EMSGSIZE;
		step = max - header;
	}
	out->is_partial = needs_csum;
	do {
		size_t n = payload - at < step ? payload - at : step;
		uint8_t *q = ref_packets_add(out, p, header + n), *l4 = q + l.l4;
		unsigned field = ref_get(p + ref_checksum_at(&l), 2);

		memcpy(q + header, p + header + at, n);
		if (l.version == 4) {
			ref_put(q + 2, 2, (unsigned)(header + n));
			ref_put(q + 4, 2, ref_get(p + 4, 2) + out->n - 1);
			ref_ip_checksum_set(q);
		} else {
			ref_put(q + 4, 2, (unsigned)(header + n - 40));
		}
		if (l.proto == 17) {
			ref_put(l4 + 4, 2, (unsigned)(8 + n));
		} else {
			unsigned urgent = ref_get(p + l.l4 + 18, 2);

			ref_put(l4 + 4, 4, ref_get(p + l.l4 + 4, 4) + (unsigned)at);
			if (at + n < payload)
				l4[13] &= 0xf6; /* FIN, PSH */
			if (at > 0)
				l4[13] &= 0x7f; /* CWR */
			if (l4[13] & 0x20) {
				if (urgent <= at)
					l4[13] &= 0xdf;
				ref_put(l4 + 18, 2, urgent <= at ? 0 : urgent - (unsigned)at);
			}
		}
		if (l.is_rerouted) {
			uint8_t change[4];

			ref_put(change, 2, ~(unsigned)(l.total - l.l4));
			ref_put(change + 2, 2, (unsigned)(header + n - l.l4));
			ref_put(q + ref_checksum_at(&l), 2, ref_sum(field, change, 4));
		} else if (l.proto == 6 || needs_csum || field) {
			ref_checksum_set(q, header + n, needs_csum);
		}
		at += n;
	} while (at < payload);
	return 0;
}

/* May the packet be part of a train at all? */
static inline bool ref_is_joinable(const uint8_t *p, size_t len, unsigned features)
{
	struct ref_layout l;
	unsigned sum;

	if (!ref_parse(&l, p, len) || l.l4 != (l.version == 4 ? 20 : 40) || l.proto == 0)
		return false;
	if (!(features & (l.proto == 6 ? TUN_TSO : TUN_USO)))
		return false;
	if (l.version == 4 && (ref_get(p + 6, 2) & 0xbfff)) /* anything but DF */
		return false;
	if (l.version == 4) {
		uint8_t header[20];

		memcpy(header, p, 20);
		ref_ip_checksum_set(header);
		if (memcmp(header, p, 20) != 0)
			return false;
	}
	if (p[l.version == 4 ? 8 : 7] == 0)
		return false;
	sum = ref_pseudo_sum(p, &l);
	if (ref_get(p + ref_checksum_at(&l), 2) != sum)
		return false;
	if (l.proto == 17)
		return l.total > l.l4 + 8 && ref_get(p + l.l4 + 4, 2) == l.total - l.l4;
	if (p[l.l4 + 12] & 15 || p[l.l4 + 12] >> 4 < 5 || (p[l.l4 + 13] != 0x10 && p[l.l4 + 13] != 0x18))
		return false;
	return l.total > l.l4 + (p[l.l4 + 12] >> 4) * 4u;
}

/* The super-packet of packets that are joinable each, as bytes and vnet header; NULL if it would be too long. */
static inline uint8_t *ref_super(const struct ref_packets *list, struct tun_vnet *v, size_t *len)
{
	const uint8_t *first = list->packet[0].data, *last = list->packet[list->n - 1].data;
	struct ref_layout l;
	size_t header;
	uint8_t *p;

	ref_parse(&l, first, list->packet[0].len);
	header = l.l4 + (l.proto == 6 ? (first[l.l4 + 12] >> 4) * 4u : 8u);
	p = malloc(list->n * (size_t)65536);
	if (!p)
		abort();
	memcpy(p, first, l.total);
	*v = (struct tun_vnet){ .flags = REF_NEEDS_CSUM,
				.gso_type = REF_GSO_UDP_L4,
				.gso_size = (uint16_t)(l.total - header),
				.hdr_len = (uint16_t)header,
				.csum_start = (uint16_t)l.l4,
				.csum_offset = (uint16_t)(ref_checksum_at(&l) - l.l4) };
	if (l.proto == 6)
		v->gso_type = l.version == 4 ? REF_GSO_TCPV4 : REF_GSO_TCPV6;
	*len = l.total;
	for (unsigned i = 1; i < list->n; i++) {
		struct ref_layout m;

		ref_parse(&m, list->packet[i].data, list->packet[i].len);
		if (m.total < header)
			goto no;
		memcpy(p + *len, list->packet[i].data + header, m.total - header);
		*len += m.total - header;
	}
	if (*len > 65535)
		goto no;
	if (l.version == 4)
		ref_put(p + 2, 2, (unsigned)*len);
	else
		ref_put(p + 4, 2, (unsigned)*len - 40);
	ref_ip_checksum_set(p);
	if (l.proto == 17)
		ref_put(p + l.l4 + 4, 2, (unsigned)(*len - l.l4));
	else if (last[0] >> 4 == l.version && list->packet[list->n - 1].len > l.l4 + 13)
		p[l.l4 + 13] |= last[l.l4 + 13] & 8;
	ref_checksum_set(p, *len, true);
	return p;
no:
	free(p);
	return NULL;
}

/* Is the packet the one that was cut, but for padding and, with DF, the id? */
static inline bool ref_is_same(const uint8_t *cut, size_t cut_len, const uint8_t *p, size_t len)
{
	struct ref_layout l;
	bool is_same;
	uint8_t *copy;

	if (!ref_parse(&l, p, len) || l.total != cut_len)
		return false;
	copy = malloc(cut_len);
	if (!copy)
		abort();
	memcpy(copy, cut, cut_len);
	if (l.version == 4 && copy[0] >> 4 == 4 && (p[6] & 0x40)) {
		memcpy(copy + 4, p + 4, 2);
		ref_ip_checksum_set(copy);
	}
	is_same = memcmp(copy, p, cut_len) == 0;
	free(copy);
	return is_same;
}

/* May `list`, whose packets were joined, be continued by this one? All are unfinished. */
static inline bool ref_may_join(struct ref_packets *list, const uint8_t *p, size_t len, unsigned features)
{
	struct ref_packets cut = { 0 };
	struct tun_vnet v;
	size_t super_len;
	uint8_t *super;
	bool may = false;

	if (list->n >= 64 || !ref_is_joinable(list->packet[0].data, list->packet[0].len, features) ||
	    !ref_is_joinable(p, len, features))
		return false;
	ref_packets_add(list, p, len);
	super = ref_super(list, &v, &super_len);
	if (super && ref_cut(&cut, super, super_len, &v, 65535) == 0 && cut.n == list->n) {
		may = true;
		for (unsigned i = 0; may && i < cut.n; i++)
			may = ref_is_same(cut.packet[i].data, cut.packet[i].len, list->packet[i].data,
					  list->packet[i].len);
	}
	ref_packets_free(&cut);
	free(super);
	free(list->packet[--list->n].data);
	return may;
}

#endif
