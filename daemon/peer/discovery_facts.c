/* What follows from the answers. */
#include <string.h>

#include "daemon/peer/discovery_private.h"

/* Moves an endpoint to the front of the list. */
void facts_put_reflexive(struct discovery_facts *f, const struct endpoint *e)
{
	unsigned at = 0;

	while (at < f->n_reflexive && !endpoint_equal(&f->reflexive[at], e))
		at++;
	if (at == f->n_reflexive) {
		if (f->n_reflexive < DISCOVERY_REFLEXIVE_MAX)
			f->n_reflexive++;
		else
			at--; /* the oldest gives way */
	}
	memmove(&f->reflexive[1], &f->reflexive[0], at * sizeof(f->reflexive[0]));
	f->reflexive[0] = *e;
}

/* Leaves those that a server still sees. */
static void prune_reflexive(struct discovery *d)
{
	struct discovery_facts *f = &d->facts;
	unsigned n = 0;

	for (unsigned i = 0; i < f->n_reflexive; i++) {
		bool is_seen = false;

		for (unsigned k = 0; k < d->n_servers; k++)
			is_seen |=
				d->servers[k].is_answered && endpoint_equal(&d->servers[k].observed, &f->reflexive[i]);
		if (is_seen)
			f->reflexive[n++] = f->reflexive[i];
	}
	f->n_reflexive = n;
}

/* Of the data port, over IPv4, in this round: the network may have changed between two. */
static unsigned observations(const struct discovery *d, struct nat_observation out[static DISCOVERY_SERVERS_MAX])
{
	unsigned n = 0;

	for (unsigned i = 0; i < d->n_servers; i++) {
		const struct server *s = &d->servers[i];

		if (discovery_is_fresh(d, s) && s->to.endpoint.ip.len == 4 && s->observed.ip.len == 4)
			out[n++] = (struct nat_observation){ s->to.endpoint, s->observed };
	}
	return n;
}

static unsigned count_addresses(const struct nat_observation *v, unsigned n)
{
	unsigned count = 0;

	for (unsigned i = 0; i < n; i++) {
		unsigned k = 0;

		while (k < i && !ip_equal(&v[k].server.ip, &v[i].server.ip))
			k++;
		count += k == i;
	}
	return count;
}

static unsigned count_endpoints(const struct nat_observation *v, unsigned n)
{
	unsigned count = 0;

	for (unsigned i = 0; i < n; i++) {
		unsigned k = 0;

		while (k < i && !endpoint_equal(&v[k].observed, &v[i].observed))
			k++;
		count += k == i;
	}
	return count;
}

/* Of the ports that one local port was seen at; of a NAT that draws one for each mapping, of all that were seen. */
static uint16_t judge_spread(const struct discovery *d, const struct nat_observation *v, unsigned n)
{
	const struct survey *s = &d->survey;
	uint16_t low = UINT16_MAX, high = 0;

	for (unsigned i = 0; i < n; i++) {
		low = v[i].observed.port < low ? v[i].observed.port : low;
		high = v[i].observed.port > high ? v[i].observed.port : high;
	}
	for (unsigned i = 0; i < s->n_samples && nat_is_hard(&d->facts.nat); i++) {
		low = s->samples[i].outside < low ? s->samples[i].outside : low;
		high = s->samples[i].outside > high ? s->samples[i].outside : high;
	}
	return high > low ? (uint16_t)(high - low) : 0;
}

void facts_judge_ports(struct discovery *d)
{
	const struct survey *s = &d->survey;
	struct nat_observation v[DISCOVERY_SERVERS_MAX];
	unsigned n = observations(d, v), n_kept = 0;
	struct nat_facts *nat = &d->facts.nat;

	for (unsigned i = 0; i < s->n_samples; i++)
		n_kept += s->samples[i].outside == s->samples[i].local;
	nat->flags &= ~NAT_KEEPS_PORT;
	/* Not all of them must: another host behind the NAT may have a port that one of ours has too. */
	if (n > 0 && v[0].observed.port == d->data_port && 2 * n_kept >= s->n_samples)
		nat->flags |= NAT_KEEPS_PORT;
	nat->port_spread = judge_spread(d, v, n);
	nat->port_step = nat_judge_step(s->samples, s->n_samples);
	nat->port = n > 0 ? v[0].observed.port : 0;
	/* Where each mapping has a port of its own, the newest tells the next. */
	if (nat_is_hard(nat) && s->n_samples)
		nat->port = s->samples[s->n_samples - 1].outside;
}

/* Another network, or another NAT: what the last survey found is not true of it. */
void facts_forget_survey(struct discovery *d)
{
	struct nat_facts *nat = &d->facts.nat;

	nat->filtering = NAT_FILTERING_UNKNOWN;
	nat->flags &= ~(NAT_HAIRPIN | NAT_HAIRPIN_TESTED);
	d->survey.n_samples = 0;
	d->survey.address = (struct ip){ 0 };
	facts_judge_ports(d);
}

void facts_judge_survey(struct discovery *d, const struct nat_filter_tests *filter, enum nat_answer hairpin)
{
	struct nat_facts *nat = &d->facts.nat;

	nat->filtering = (uint8_t)nat_judge_filtering(filter);
	nat->flags &= ~(NAT_HAIRPIN | NAT_HAIRPIN_TESTED);
	if (hairpin != NAT_ANSWER_UNKNOWN)
		nat->flags |= NAT_HAIRPIN_TESTED;
	if (hairpin == NAT_ANSWER_YES)
		nat->flags |= NAT_HAIRPIN;
	facts_judge_ports(d);
}

static void judge_round(struct discovery *d, uint64_t now_ms)
{
	struct nat_observation v[DISCOVERY_SERVERS_MAX];
	unsigned n = observations(d, v);
	struct discovery_facts *f = &d->facts;
	struct survey *s = &d->survey;

	d->is_judged = true;
	f->nat.mapping = (uint8_t)nat_judge_mapping(v, n);
	f->n_servers = n;
	f->n_addresses = count_addresses(v, n);
	f->n_endpoints = count_endpoints(v, n);
	for (unsigned i = 0; i < n; i++)
		if (d->env->is_own(d->arg, &v[i].observed.ip))
			f->nat.mapping = NAT_MAPPING_NONE;
	if (n > 0 && s->stage == STAGE_TESTS && !ip_equal(&v[0].observed.ip, &s->reflexive.ip)) {
		survey_stop(d, now_ms);
		survey_want(d, now_ms);
	}
	/* The tests of a first survey are of the address that it will have. */
	if (n > 0 && s->stage != STAGE_TESTS && !ip_equal(&v[0].observed.ip, &s->address)) {
		facts_forget_survey(d);
		if (s->stage == STAGE_IDLE)
			survey_want(d, now_ms);
	}
	facts_judge_ports(d);
}

static bool facts_equal(const struct discovery_facts *a, const struct discovery_facts *b)
{
	if (!nat_facts_equal(&a->nat, &b->nat) || a->n_servers != b->n_servers || a->n_addresses != b->n_addresses ||
	    a->n_endpoints != b->n_endpoints || a->n_reflexive != b->n_reflexive)
		return false;
	for (unsigned i = 0; i < a->n_reflexive; i++)
		if (!endpoint_equal(&a->reflexive[i], &b->reflexive[i]))
			return false;
	return true;
}

void facts_conclude(struct discovery *d, const struct discovery_facts *before, uint64_t now_ms)
{
	struct nat_facts *nat = &d->facts.nat;

	if (discovery_is_round_over(d)) {
		nat->flags &= ~(NAT_UDP4_OK | NAT_UDP6_OK);
		nat->flags |= NAT_TESTED;
		if (!d->is_judged)
			judge_round(d, now_ms);
		prune_reflexive(d);
	} else if (!d->is_judged && d->round_ms && now_ms >= d->round_ms + DISCOVERY_READY_MS &&
		   discovery_any_fresh(d, 4)) {
		nat->flags |= NAT_TESTED;
		judge_round(d, now_ms);
	}
	if (discovery_any_fresh(d, 4))
		nat->flags |= NAT_UDP4_OK;
	if (discovery_any_fresh(d, 16))
		nat->flags |= NAT_UDP6_OK;
	if (!facts_equal(&d->facts, before))
		d->env->changed(d->arg);
}
