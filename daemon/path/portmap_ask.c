/* What is said to a gateway by PCP and NAT-PMP, and what its answers mean. */
#include <netinet/in.h>
#include <sodium.h>
#include <string.h>

#include "daemon/path/portmap_private.h"
#include "daemon/wire/natpmp.h"

/* Where outside ports are drawn: above what servers have, below what most systems give to clients. */
#define PORT_FIRST 20000
#define PORTS 12000

const uint16_t portmap_repeat_ms[PORTMAP_TRIES] = { 250, 500, 1000, 2000 };

static void send_pcp(struct portmap *pm, const struct pcp_request *q)
{
	uint8_t data[PCP_REQUEST_MAX_BYTES];
	int len = pcp_request_encode(data, sizeof(data), q);

	if (len > 0)
		pm->env->send(pm->arg, &pm->gateway, data, (size_t)len);
}

static void send_natpmp(struct portmap *pm, const struct natpmp_request *q)
{
	uint8_t data[NATPMP_MAP_BYTES];
	int len = natpmp_request_encode(data, sizeof(data), q);

	if (len > 0)
		pm->env->send(pm->arg, &pm->gateway, data, (size_t)len);
}

void portmap_ask_alive(struct portmap *pm, enum portmap_protocol p, uint64_t now_ms)
{
	struct portmap_speaker *s = &pm->speakers[p];

	s->due_ms = now_ms + portmap_repeat_ms[s->n_sent++];
	if (p == PORTMAP_PCP)
		send_pcp(pm, &(struct pcp_request){ .opcode = PCP_ANNOUNCE, .client = pm->local });
	else
		send_natpmp(pm, &(struct natpmp_request){ .opcode = NATPMP_ADDRESS });
}

static enum natpmp_opcode natpmp_opcode_of(const struct portmap_entry *e)
{
	return e->m.protocol == IPPROTO_TCP ? NATPMP_MAP_TCP : NATPMP_MAP_UDP;
}

static void send_mapping(struct portmap *pm, const struct portmap_entry *e, enum portmap_protocol by,
			 uint16_t external_port, uint32_t lifetime_s)
{
	if (by == PORTMAP_PCP) {
		struct pcp_request q = { .opcode = PCP_MAP,
					 .lifetime_s = lifetime_s,
					 .client = pm->local,
					 .protocol = e->m.protocol,
					 .internal_port = e->m.internal_port,
					 .external_port = external_port };

		memcpy(q.nonce, e->nonce, sizeof(q.nonce));
		if (lifetime_s > 0) {
			q.external = e->last;
			q.prefer_failure = !e->is_plain;
		}
		send_pcp(pm, &q);
	} else {
		send_natpmp(pm, &(struct natpmp_request){ .opcode = natpmp_opcode_of(e),
							  .internal_port = e->m.internal_port,
							  .external_port = external_port,
							  .lifetime_s = lifetime_s });
	}
}

void portmap_ask_mapping(struct portmap *pm, struct portmap_entry *e, uint64_t now_ms)
{
	e->asked_ms = now_ms;
	e->due_ms = now_ms + portmap_repeat_ms[e->n_sent++];
	send_mapping(pm, e, e->asked, e->suggested ? e->suggested : e->m.internal_port, PORTMAP_LIFETIME_S);
}

void portmap_ask_removal(struct portmap *pm, const struct portmap_entry *e)
{
	for (int i = 0; i < 2; i++)
		send_mapping(pm, e, e->m.by, 0, 0);
}

/* ---------------------------------------------------------------- answers */

/* RFC 6887 section 8.5: the gateway's clock goes as ours does, by a sixteenth and two seconds. */
static bool is_epoch_broken(const struct portmap_speaker *s, uint32_t epoch_s, uint64_t now_ms)
{
	uint64_t ours = (now_ms - s->epoch_ms) / 1000, theirs;

	if (epoch_s < s->epoch_s)
		return s->epoch_s - epoch_s > 1; /* two answers may have overtaken each other */
	theirs = epoch_s - s->epoch_s;
	return ours + 2 < theirs - theirs / 16 || theirs + 2 < ours - ours / 16;
}

static void alive(struct portmap *pm, enum portmap_protocol p)
{
	struct portmap_speaker *s = &pm->speakers[p];

	s->is_alive = s->is_settled = true;
	s->n_sent = s->n_missed = 0;
	s->due_ms = PORTMAP_NEVER;
}

static void absent(struct portmap *pm, enum portmap_protocol p, const char *error)
{
	struct portmap_speaker *s = &pm->speakers[p];

	s->is_alive = false;
	s->is_settled = true;
	s->n_sent = 0;
	s->due_ms = PORTMAP_NEVER;
	s->error = error;
}

/* After the answer that brought it has been taken: what that renewed need not be asked for again. */
static void take_epoch(struct portmap *pm, enum portmap_protocol p, uint32_t epoch_s, uint64_t now_ms)
{
	struct portmap_speaker *s = &pm->speakers[p];
	bool is_broken = s->has_epoch && is_epoch_broken(s, epoch_s, now_ms);

	s->has_epoch = true;
	s->epoch_s = epoch_s;
	s->epoch_ms = now_ms;
	if (is_broken)
		portmap_remake(pm, p, now_ms);
}

static bool is_asked(const struct portmap *pm, enum portmap_protocol p)
{
	return pm->speakers[p].n_sent > 0;
}

static void on_announce(struct portmap *pm, const struct pcp_response *p, uint64_t now_ms)
{
	/* In the form of PCP, as a gateway says it that does not know NAT-PMP: RFC 6887 appendix A. */
	if (p->result == PCP_UNSUPPORTED_VERSION) {
		if (is_asked(pm, PORTMAP_NATPMP) && !pm->speakers[PORTMAP_NATPMP].is_alive)
			absent(pm, PORTMAP_NATPMP, "the gateway speaks PCP only");
		return;
	}
	if (!is_asked(pm, PORTMAP_PCP))
		return;
	/* Whatever it thinks of the question, it is there; of the answer to an error only the epoch counts. */
	alive(pm, PORTMAP_PCP);
	take_epoch(pm, PORTMAP_PCP, p->epoch_s, now_ms);
}

static struct portmap_entry *asked_entry(struct portmap *pm, enum portmap_protocol by, uint8_t protocol,
					 uint16_t internal_port)
{
	for (unsigned i = 0; i < PORTMAP_MAX; i++) {
		struct portmap_entry *e = &pm->entries[i];

		if (e->is_known && e->m.is_asking && e->asked == by && e->m.protocol == protocol &&
		    e->m.internal_port == internal_port)
			return e;
	}
	return NULL;
}

/* Another port, or no option: asked for at once. */
static void ask_otherwise(struct portmap *pm, struct portmap_entry *e, uint8_t result, uint64_t now_ms)
{
	if (result == PCP_UNSUPPORTED_OPTION) {
		e->is_plain = true;
	} else {
		e->n_drawn++;
		e->suggested = (uint16_t)(PORT_FIRST + randombytes_uniform(PORTS));
	}
	e->n_sent = 0;
	portmap_ask_mapping(pm, e, now_ms);
}

static void on_pcp_map(struct portmap *pm, const struct pcp_response *p, uint64_t now_ms)
{
	struct portmap_entry *e = asked_entry(pm, PORTMAP_PCP, p->protocol, p->internal_port);
	struct endpoint external = { .ip = p->external, .port = p->external_port };

	if (!e || memcmp(e->nonce, p->nonce, sizeof(e->nonce)) != 0)
		return;
	if ((p->result == PCP_UNSUPPORTED_OPTION && !e->is_plain) ||
	    (p->result == PCP_CANNOT_PROVIDE_EXTERNAL && e->n_drawn < PORTMAP_PORT_TRIES))
		ask_otherwise(pm, e, p->result, now_ms);
	else if (p->result != PCP_SUCCESS)
		portmap_refused(pm, e, pcp_result_text(p->result), p->lifetime_s);
	else if (p->lifetime_s > 0) /* else the late answer to a removal */
		portmap_granted(pm, e, &external, p->lifetime_s, now_ms);
	take_epoch(pm, PORTMAP_PCP, p->epoch_s, now_ms);
}

static void on_address(struct portmap *pm, const struct natpmp_response *p, uint64_t now_ms)
{
	/* So a gateway answers PCP that knows only NAT-PMP: RFC 6887 appendix A. */
	if (p->result == NATPMP_UNSUPPORTED_VERSION) {
		if (is_asked(pm, PORTMAP_PCP) && !pm->speakers[PORTMAP_PCP].is_alive)
			absent(pm, PORTMAP_PCP, "the gateway speaks NAT-PMP only");
		return;
	}
	if (!is_asked(pm, PORTMAP_NATPMP))
		return;
	alive(pm, PORTMAP_NATPMP);
	if (p->result != NATPMP_SUCCESS)
		pm->speakers[PORTMAP_NATPMP].error = natpmp_result_text(p->result);
	else
		portmap_set_outer(pm, &p->external, now_ms);
	take_epoch(pm, PORTMAP_NATPMP, p->epoch_s, now_ms);
}

static void on_natpmp_map(struct portmap *pm, const struct natpmp_response *p, uint64_t now_ms)
{
	uint8_t protocol = p->opcode == NATPMP_MAP_TCP ? IPPROTO_TCP : IPPROTO_UDP;
	struct portmap_entry *e = asked_entry(pm, PORTMAP_NATPMP, protocol, p->internal_port);
	struct endpoint external = { .ip = pm->outer, .port = p->external_port };

	if (!e)
		return;
	if (p->result != NATPMP_SUCCESS)
		portmap_refused(pm, e, natpmp_result_text(p->result), 0);
	else if (ip_is_none(&external.ip))
		portmap_refused(pm, e, "the gateway has no address of its own outside", 0);
	else if (p->lifetime_s > 0)
		portmap_granted(pm, e, &external, p->lifetime_s, now_ms);
	take_epoch(pm, PORTMAP_NATPMP, p->epoch_s, now_ms);
}

void portmap_on_datagram(struct portmap *pm, const struct endpoint *from, const uint8_t *data, size_t len,
			 uint64_t now_ms)
{
	struct pcp_response pcp;
	struct natpmp_response natpmp;

	if (ip_is_none(&pm->gateway.ip) || !endpoint_equal(from, &pm->gateway))
		return;
	if (pcp_response_decode(&pcp, data, len) == 0) {
		if (pcp.opcode == PCP_ANNOUNCE)
			on_announce(pm, &pcp, now_ms);
		else
			on_pcp_map(pm, &pcp, now_ms);
	} else if (natpmp_response_decode(&natpmp, data, len) == 0) {
		if (natpmp.opcode == NATPMP_ADDRESS)
			on_address(pm, &natpmp, now_ms);
		else
			on_natpmp_map(pm, &natpmp, now_ms);
	}
	portmap_tick(pm, now_ms);
}
