/* tests/unit/train_cases.h - trains as a kernel makes them, drawn at random from a fixed seed */
#ifndef TESTS_UNIT_TRAIN_CASES_H
#define TESTS_UNIT_TRAIN_CASES_H

#include "tests/unit/train_reference.h"

static uint64_t case_state = 0x9e3779b97f4a7c15;

static inline uint32_t draw(uint32_t below) /* xorshift64* */
{
	case_state ^= case_state >> 12;
	case_state ^= case_state << 25;
	case_state ^= case_state >> 27;
	return (uint32_t)((case_state * 0x2545f4914f6cdd1d) >> 32) % below;
}

static inline bool draw_one_of(uint32_t n)
{
	return draw(n) == 0;
}

static inline void draw_bytes(uint8_t *p, size_t len)
{
	while (len-- > 0)
		*p++ = (uint8_t)draw(256);
}

struct train_shape {
	bool is_ipv6, is_tcp, has_options, is_partial; /* has_options: the IP header's, or extension headers */
	unsigned tcp_options;                          /* 0..40, a multiple of 4 */
	uint8_t tcp_flags;
	uint16_t ip_flags;
	size_t payload, segment;
};

/* Heap of exactly `*len` bytes. */
static inline uint8_t *train_make(const struct train_shape *s, struct tun_vnet *v, size_t *len)
{
	size_t ip = s->is_ipv6 ? 40 : 20, l4 = s->is_tcp ? 20 + s->tcp_options : 8, options = 0;
	uint8_t *p, *at, extensions[16] = { 0 };

	if (s->has_options)
		options = s->is_ipv6 ? 8 : 4 * (1 + draw(10));
	if (s->has_options && s->is_ipv6 && l4 <= 64 && draw_one_of(2))
		options = 16;
	*len = ip + options + l4 + s->payload;
	p = malloc(*len);
	if (!p)
		abort();
	draw_bytes(p, *len > 200 ? 200 : *len);
	for (size_t i = 200; i < *len; i++)
		p[i] = (uint8_t)(i * 7 + p[i % 200]);
	if (s->is_ipv6) {
		static const uint8_t kinds[] = { 0, 43, 60 };
		uint8_t proto = s->is_tcp ? 6 : 17, kind = kinds[draw(3)];

		p[0] = (uint8_t)(0x60 | draw(16));
		ref_put(p + 4, 2, (unsigned)*len - 40);
		p[6] = options ? kind : proto;
		p[7] = (uint8_t)(1 + draw(255));
		draw_bytes(extensions, 16);
		extensions[0] = options == 16 ? 60 : proto;
		extensions[1] = 0;
		extensions[3] = (uint8_t)draw(2); /* of a routing header: segments left */
		extensions[8] = proto;
		extensions[9] = 0;
		memcpy(p + 40, extensions, options);
	} else {
		p[0] = (uint8_t)(0x45 + options / 4);
		ref_put(p + 2, 2, (unsigned)*len);
		ref_put(p + 6, 2, s->ip_flags);
		p[8] = (uint8_t)(1 + draw(255));
		p[9] = s->is_tcp ? 6 : 17;
		ref_ip_checksum_set(p);
	}
	at = p + ip + options;
	*v = (struct tun_vnet){ .gso_type = REF_GSO_UDP_L4, .gso_size = (uint16_t)s->segment };
	if (s->is_tcp) {
		at[12] = (uint8_t)(l4 << 2);
		at[13] = s->tcp_flags;
		ref_put(at + 18, 2, draw_one_of(2) ? draw(4000) : 0);
		v->gso_type = s->is_ipv6 ? REF_GSO_TCPV6 : REF_GSO_TCPV4;
		if (s->tcp_flags & 0x80)
			v->gso_type |= draw_one_of(2) ? REF_GSO_ECN : 0;
	} else {
		ref_put(at + 4, 2, (unsigned)(8 + s->payload));
		ref_put(at + 6, 2, 1);
	}
	ref_checksum_set(p, *len, s->is_partial);
	if (s->is_partial) {
		v->flags = REF_NEEDS_CSUM;
		v->csum_start = (uint16_t)(at - p);
		v->csum_offset = s->is_tcp ? 16 : 6;
	}
	v->hdr_len = (uint16_t)(ip + options + l4);
	return p;
}

static inline struct train_shape train_shape_draw(void)
{
	struct train_shape s = {
		.is_ipv6 = draw(2),
		.is_tcp = draw(2),
		.has_options = draw_one_of(4),
		.is_partial = !draw_one_of(4),
		.tcp_options = draw_one_of(2) ? 12 : 4 * draw(11),
		.tcp_flags = (uint8_t)(draw_one_of(2) ? 0x18 : draw(256)),
		.ip_flags = draw(2) ? 0x4000 : 0,
		.segment = 1 + draw(draw_one_of(8) ? 65000 : 1448),
	};

	s.payload = draw(draw_one_of(8) ? 65535 - 60 - 60 : 12000);
	if (s.payload / s.segment > 500)
		s.segment = 1 + s.payload / 500;
	return s;
}

#endif
