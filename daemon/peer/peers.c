#include "daemon/peer/peers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PEERS_KEY_PREFIX_MIN 8

static bool has_addr(const struct peer *p, const struct ip *ip)
{
	for (unsigned i = 0; i < p->n_addrs; i++)
		if (ip_equal(&p->addrs[i], ip))
			return true;
	return false;
}

/* What is said of a peer: by its certificate, or by a coordinator alone. */
struct face {
	const char *name;
	const struct ip *addrs;
	unsigned n_addrs;
	struct attested attested;
};

static struct face face_of(const struct wire_member *record, const struct cert *cert)
{
	if (!cert)
		return (struct face){ .name = record->name, .addrs = record->addrs, .n_addrs = record->n_addrs };
	return (struct face){ .name = cert->name,
			      .addrs = cert->addrs,
			      .n_addrs = cert->n_addrs,
			      .attested = { .is_so = true, .since_s = cert->not_before_s } };
}

static bool is_in_conflict(const struct peer *p, const struct face *f)
{
	if (strcmp(p->name, f->name) == 0)
		return true;
	for (unsigned i = 0; i < f->n_addrs; i++)
		if (has_addr(p, &f->addrs[i]))
			return true;
	return false;
}

/* Has the peer a better claim to what they both have? A session goes on until the other is met: then the two certificates say. */
static bool stands_against(const struct peer *p, const struct face *f)
{
	if (p->credential.is_good)
		return true;
	return p->attested.is_so && (!f->attested.is_so || p->attested.since_s > f->attested.since_s);
}

/* Is what is said of the peer itself news to it? */
static bool may_take(const struct peer *p, const struct face *f)
{
	if (p->credential.is_good)
		return false;
	return !p->attested.is_so || (f->attested.is_so && f->attested.since_s >= p->attested.since_s);
}

/* Addresses of another with a better claim (is_contested: there is such a one) are not for a coordinator to give. */
static void take_face(struct peers *t, struct peer *p, const struct face *f, bool is_contested)
{
	if (strcmp(p->name, f->name) != 0 || p->attested.is_so != f->attested.is_so)
		t->version++;
	snprintf(p->name, sizeof(p->name), "%s", f->name);
	p->n_addrs = 0;
	for (unsigned i = 0; i < f->n_addrs; i++) {
		const struct peer *other = is_contested ? peers_by_addr(t, &f->addrs[i]) : NULL;

		if (!other || other == p || !stands_against(other, f))
			p->addrs[p->n_addrs++] = f->addrs[i];
	}
	p->attested = f->attested;
}

static struct peer *add(struct peers *t, const struct pubkey *key)
{
	struct peer *p = t->n < PEERS_MAX ? calloc(1, sizeof(*p)) : NULL;

	if (!p)
		return NULL;
	p->key = *key;
	p->number = ++t->last_number;
	p->due_ms = UINT64_MAX;
	HASH_ADD(by_number, t->by_number, number, sizeof(p->number), p);
	if (!hash_has(by_number, p)) {
		free(p);
		return NULL;
	}
	HASH_ADD(by_key, t->by_key, key, sizeof(p->key), p);
	if (!hash_has(by_key, p)) {
		HASH_DELETE(by_number, t->by_number, p);
		free(p);
		return NULL;
	}
	t->n++;
	t->version++;
	return p;
}

/* One that has a better claim stands, one that has not is the caller's to remove. False: nobody stands. */
static bool is_contested(const struct peers *t, const struct peer *p, const struct face *f, struct peer **displaced)
{
	struct peer *other, *tmp;
	bool is_so = false;

	if (displaced)
		*displaced = NULL;
	HASH_ITER(by_number, t->by_number, other, tmp) {
		if (other == p || !is_in_conflict(other, f))
			continue;
		if (stands_against(other, f))
			is_so = true;
		else if (displaced)
			*displaced = other;
	}
	return is_so;
}

/* A certificate that another's goes before makes nobody listed; what the coordinator says besides may be of use. */
static void put_on(struct peers *t, struct peer *p, struct face f, const struct wire_member *record,
		   struct peer **displaced)
{
	bool is_so = is_contested(t, p, &f, displaced);

	if (is_so && f.attested.is_so) {
		f = face_of(record, NULL);
		if (!may_take(p, &f))
			return;
		is_so = is_contested(t, p, &f, displaced);
	}
	take_face(t, p, &f, is_so);
}

struct peer *peers_put(struct peers *t, const struct wire_member *record, const struct cert *cert, unsigned coordinator,
		       bool *is_new, struct peer **displaced)
{
	struct face f = face_of(record, cert);
	struct pubkey key;
	struct peer *p;

	memcpy(key.b, record->key, sizeof(key.b));
	p = peers_by_key(t, &key);
	*is_new = !p;
	if (displaced)
		*displaced = NULL;
	if (!p)
		p = add(t, &key);
	if (!p) { /* the one displaced may make room */
		is_contested(t, NULL, &f, displaced);
		return NULL;
	}
	if (may_take(p, &f))
		put_on(t, p, f, record, displaced);
	p->member[coordinator] = record->id;
	p->cached &= (uint8_t) ~(1u << coordinator);
	p->is_online[coordinator] = record->flags & MEMBER_ONLINE;
	return p;
}

struct peer *peers_recall(struct peers *t, const struct pubkey *key, const char *name, const struct ip *addrs,
			  unsigned n_addrs, uint8_t known_at)
{
	struct peer *p;

	static_assert(CONFIG_COORDINATORS_MAX <= 8, "a bit for each");
	if (!known_at || n_addrs > WIRE_ADDRS_MAX || peers_by_key(t, key))
		return NULL;
	if (peers_by_name(t, name))
		return NULL;
	for (unsigned i = 0; i < n_addrs; i++)
		if (peers_by_addr(t, &addrs[i]))
			return NULL;
	p = add(t, key);
	if (!p)
		return NULL;
	snprintf(p->name, sizeof(p->name), "%s", name);
	p->n_addrs = n_addrs;
	memcpy(p->addrs, addrs, n_addrs * sizeof(*addrs));
	p->cached = known_at;
	p->attested.is_so = t->is_certified;
	return p;
}

unsigned peers_listed(const struct peers *t)
{
	unsigned n = 0;

	for (const struct peer *p = t->by_number; p; p = p->by_number.next)
		n += peers_is_listed(t, p);
	return n;
}

/* NULL: it grants nothing, or memory is short, which costs the peer its routes until it shows the certificate again. */
static struct grant *grant_of(const struct cert *c)
{
	struct grant *g = c->n_groups || c->n_routes ? calloc(1, sizeof(*g)) : NULL;

	if (!g)
		return NULL;
	g->n_groups = c->n_groups;
	memcpy(g->groups, c->groups, sizeof(g->groups));
	g->n_routes = c->n_routes;
	memcpy(g->routes, c->routes, sizeof(g->routes));
	return g;
}

void peers_attest(struct peers *t, struct peer *p, const struct cert *c)
{
	struct face f = face_of(NULL, c);

	take_face(t, p, &f, false);
}

void peers_take_certificate(struct peers *t, struct peer *p, const struct cert *c)
{
	peers_attest(t, p, c);
	free(p->credential.grant);
	p->credential = (struct credential){ .is_good = true,
					     .was_good = true,
					     .serial = c->serial,
					     .not_before_s = c->not_before_s,
					     .not_after_s = c->not_after_s,
					     .grant = grant_of(c) };
}

bool peers_is_granted(const struct peer *p, const struct prefix *net)
{
	const struct grant *g = p->credential.grant;

	for (unsigned i = 0; g && i < g->n_routes; i++)
		if (prefix_covers(&g->routes[i], net))
			return true;
	return false;
}

bool peers_is_cached(const struct peer *p)
{
	for (unsigned i = 0; i < CONFIG_COORDINATORS_MAX; i++)
		if (p->member[i])
			return false;
	return p->cached != 0;
}

bool peers_learn_member(struct peer *p, unsigned coordinator, uint32_t member)
{
	if (p->member[coordinator] || !member)
		return false;
	p->member[coordinator] = member;
	return true;
}

void peers_remove_take(struct peers *t, struct peer *p)
{
	HASH_DELETE(by_number, t->by_number, p);
	HASH_DELETE(by_key, t->by_key, p);
	t->n--;
	t->version++;
	free(p->credential.grant);
	free(p);
}

struct peer *peers_by_number(const struct peers *t, uint64_t number)
{
	struct peer *p;

	HASH_FIND(by_number, t->by_number, &number, sizeof(number), p);
	return p;
}

struct peer *peers_by_key(const struct peers *t, const struct pubkey *key)
{
	struct peer *p;

	HASH_FIND(by_key, t->by_key, key, sizeof(*key), p);
	return p;
}

struct peer *peers_by_member(const struct peers *t, unsigned coordinator, uint32_t member)
{
	if (member == 0 || coordinator >= CONFIG_COORDINATORS_MAX)
		return NULL;
	for (struct peer *p = t->by_number; p; p = p->by_number.next)
		if (p->member[coordinator] == member)
			return p;
	return NULL;
}

struct peer *peers_by_addr(const struct peers *t, const struct ip *ip)
{
	for (struct peer *p = t->by_number; p; p = p->by_number.next)
		if (has_addr(p, ip))
			return p;
	return NULL;
}

struct peer *peers_by_name(const struct peers *t, const char *name)
{
	struct peer *unlisted = NULL;

	for (struct peer *p = t->by_number; p; p = p->by_number.next) {
		if (strcmp(p->name, name) != 0)
			continue;
		if (peers_is_listed(t, p))
			return p;
		unlisted = p;
	}
	return unlisted;
}

struct peer *peers_by_words(const struct peers *t, const char *words)
{
	struct peer *found = peers_by_name(t, words);
	struct ip ip;

	if (found && peers_is_listed(t, found))
		return found;
	found = NULL;
	if (ip_from_text(&ip, words) == 0) {
		found = peers_by_addr(t, &ip);
		return found && peers_is_listed(t, found) ? found : NULL;
	}
	if (strlen(words) < PEERS_KEY_PREFIX_MIN)
		return NULL;
	for (struct peer *p = t->by_number; p; p = p->by_number.next) {
		char text[KEY_TEXT_BYTES];

		if (peers_is_listed(t, p) && strncmp(pubkey_to_text(&p->key, text), words, strlen(words)) == 0) {
			if (found)
				return NULL; /* two fit */
			found = p;
		}
	}
	return found;
}
