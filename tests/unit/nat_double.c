#include "tests/unit/nat_double.h"

#include <assert.h>
#include <string.h>

#define FIRST_PORT 20000

static bool is_alive(const struct nat_double *n, const struct nat_double_mapping *m, uint64_t now_ms)
{
	return !n->lifetime_ms || now_ms < m->used_ms + n->lifetime_ms;
}

static bool is_same_destination(const struct nat_double *n, const struct nat_double_mapping *m,
				const struct endpoint *to)
{
	switch (n->mapping) {
	case NAT_MAPPING_ADDRESS_DEPENDENT:
		return ip_equal(&m->to.ip, &to->ip);
	case NAT_MAPPING_ENDPOINT_DEPENDENT:
	case NAT_MAPPING_ADDRESS_AND_PORT_DEPENDENT:
		return endpoint_equal(&m->to, to);
	default:
		return true;
	}
}

static uint16_t draw_port(struct nat_double *n, uint16_t local)
{
	static uint32_t seed = 12345; /* the same in each run */

	switch (n->ports) {
	case NAT_DOUBLE_STEPS:
		n->last_port = n->last_port ? (uint16_t)(n->last_port + n->step) : FIRST_PORT;
		return n->last_port;
	case NAT_DOUBLE_RANDOM:
		seed = seed * 1664525 + 1013904223;
		return (uint16_t)(1024 + (seed >> 8) % 64000);
	case NAT_DOUBLE_KEEPS:
		break;
	}
	return local;
}

void nat_double_noise(struct nat_double *n, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		draw_port(n, FIRST_PORT);
}

void nat_double_reboot(struct nat_double *n)
{
	n->n = 0;
}

struct endpoint nat_double_out(struct nat_double *n, uint16_t local, const struct endpoint *to, uint64_t now_ms)
{
	struct nat_double_mapping *m = NULL;
	unsigned at;

	for (unsigned i = 0; i < n->n && !m; i++)
		if (n->v[i].local == local && is_alive(n, &n->v[i], now_ms) && is_same_destination(n, &n->v[i], to))
			m = &n->v[i];
	if (!m) {
		assert(n->n < NAT_DOUBLE_MAPPINGS);
		m = &n->v[n->n++];
		*m = (struct nat_double_mapping){ .local = local, .to = *to };
		m->port = n->mapping == NAT_MAPPING_NONE || local == n->forwarded ? local : draw_port(n, local);
	}
	m->used_ms = now_ms;
	for (at = 0; at < m->n_sent_to; at++)
		if (endpoint_equal(&m->sent_to[at], to))
			break;
	if (at == m->n_sent_to) {
		assert(m->n_sent_to < NAT_DOUBLE_SENT_TO);
		m->sent_to[m->n_sent_to++] = *to;
	}
	return (struct endpoint){ .ip = n->outside, .port = m->port };
}

static bool lets_in(const struct nat_double *n, const struct nat_double_mapping *m, const struct endpoint *from)
{
	if (n->filtering == NAT_FILTERING_ENDPOINT_INDEPENDENT || m->local == n->forwarded)
		return true;
	for (unsigned i = 0; i < m->n_sent_to; i++) {
		if (n->filtering == NAT_FILTERING_ADDRESS_DEPENDENT ? ip_equal(&m->sent_to[i].ip, &from->ip) :
								      endpoint_equal(&m->sent_to[i], from))
			return true;
	}
	return false;
}

uint16_t nat_double_in(struct nat_double *n, const struct endpoint *to, const struct endpoint *from, uint64_t now_ms)
{
	bool is_looped = ip_equal(&from->ip, &n->outside);

	if (!ip_equal(&to->ip, &n->outside) || (is_looped && !n->has_hairpin))
		return 0;
	if (n->mapping == NAT_MAPPING_NONE && n->filtering == NAT_FILTERING_ENDPOINT_INDEPENDENT)
		return to->port;
	for (unsigned i = 0; i < n->n; i++) {
		struct nat_double_mapping *m = &n->v[i];

		if (m->port != to->port || !is_alive(n, m, now_ms) || !lets_in(n, m, from))
			continue;
		return m->local;
	}
	return 0;
}
