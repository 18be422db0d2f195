#include "daemon/wire/candidates.h"

#define KNOWN_FLAGS                                                                                \
	(NAT_UDP4_OK | NAT_UDP6_OK | NAT_UDP_BLOCKED | NAT_TESTED | NAT_KEEPS_PORT | NAT_HAIRPIN | \
	 NAT_HAIRPIN_TESTED | NAT_PORT_MAPPED | NAT_CAPTIVE | NAT_RELAY_ONLY)

bool nat_facts_equal(const struct nat_facts *a, const struct nat_facts *b)
{
	return a->mapping == b->mapping && a->filtering == b->filtering && a->flags == b->flags && a->port == b->port &&
	       a->port_spread == b->port_spread && a->port_step == b->port_step && a->lifetime_s == b->lifetime_s;
}

static enum candidate_kind kind_of(uint8_t byte)
{
	switch (byte) {
	case CANDIDATE_HOST:
	case CANDIDATE_REFLEXIVE:
	case CANDIDATE_MAPPED:
	case CANDIDATE_CONFIGURED:
	case CANDIDATE_GATEWAY:
	case CANDIDATE_TCP_HOST:
	case CANDIDATE_TCP_REFLEXIVE:
	case CANDIDATE_TCP_MAPPED:
	case CANDIDATE_TCP_CONFIGURED:
		return (enum candidate_kind)byte;
	default: /* peer-reflexive too: nobody may claim that we saw its probe; predictions are our own */
		return CANDIDATE_OTHER;
	}
}

void wire_candidates_write(struct writer *w, const struct candidates *c)
{
	if (c->n > WIRE_CANDIDATES_MAX) {
		w->failed = true;
		return;
	}
	writer_u8(w, c->nat.mapping);
	writer_u8(w, c->nat.filtering);
	writer_be16(w, c->nat.flags);
	writer_be16(w, c->nat.port);
	writer_be16(w, c->nat.port_spread);
	writer_u8(w, (uint8_t)c->nat.port_step);
	writer_u8(w, 0);
	writer_be16(w, c->nat.lifetime_s);
	writer_u8(w, (uint8_t)c->n);
	for (unsigned i = 0; i < c->n; i++) {
		const struct endpoint *ep = &c->v[i].endpoint;

		if (ep->ip.len != 4 && ep->ip.len != 16)
			w->failed = true;
		writer_u8(w, (uint8_t)c->v[i].kind);
		writer_u8(w, ep->ip.len);
		writer_be16(w, ep->port);
		writer_put(w, ep->ip.b, ep->ip.len);
	}
}

void wire_candidates_read(struct reader *r, struct candidates *out)
{
	struct candidates c = { 0 };
	uint8_t n;

	c.nat.mapping = reader_u8(r);
	if (c.nat.mapping > NAT_MAPPING_ADDRESS_AND_PORT_DEPENDENT)
		c.nat.mapping = NAT_MAPPING_UNKNOWN;
	c.nat.filtering = reader_u8(r);
	if (c.nat.filtering > NAT_FILTERING_ADDRESS_AND_PORT_DEPENDENT)
		c.nat.filtering = NAT_FILTERING_UNKNOWN;
	c.nat.flags = reader_be16(r) & KNOWN_FLAGS;
	c.nat.port = reader_be16(r);
	c.nat.port_spread = reader_be16(r);
	c.nat.port_step = (int8_t)reader_u8(r);
	reader_u8(r);
	c.nat.lifetime_s = reader_be16(r);
	n = reader_u8(r);
	if (n > WIRE_CANDIDATES_MAX)
		r->failed = true;
	for (unsigned i = 0; i < n && reader_ok(r); i++) {
		struct candidate cand = { .kind = kind_of(reader_u8(r)) };
		uint8_t len = reader_u8(r);
		const uint8_t *bytes;

		cand.endpoint.port = reader_be16(r);
		if (len != 4 && len != 16)
			r->failed = true;
		bytes = reader_take(r, len);
		if (!bytes)
			break;
		ip_from_bytes(&cand.endpoint.ip, bytes, len);
		if (cand.endpoint.port != 0 && ip_is_sendable(&cand.endpoint.ip))
			c.v[c.n++] = cand;
	}
	*out = c;
}
