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

static bool is_displaced_by(const struct peer *p, const struct wire_member *record)
{
	if (strcmp(p->name, record->name) == 0)
		return true;
	for (unsigned i = 0; i < record->n_addrs; i++)
		if (has_addr(p, &record->addrs[i]))
			return true;
	return false;
}

/* Addresses that a certificate gives to another (is_contested: there may be such) are not the record's to give. */
static void take_face(const struct peers *t, struct peer *p, const struct wire_member *record, bool is_contested)
{
	memcpy(p->name, record->name, sizeof(p->name));
	p->n_addrs = 0;
	for (unsigned i = 0; i < record->n_addrs; i++) {
		const struct peer *other = is_contested ? peers_by_addr(t, &record->addrs[i]) : NULL;

		if (!other || other == p || !other->credential.is_good)
			p->addrs[p->n_addrs++] = record->addrs[i];
	}
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
	return p;
}

struct peer *peers_put(struct peers *t, const struct wire_member *record, unsigned coordinator, bool *is_new,
		       struct peer **displaced)
{
	struct pubkey key;
	struct peer *p, *other, *tmp;
	bool is_contested = false;

	memcpy(key.b, record->key, sizeof(key.b));
	p = peers_by_key(t, &key);
	*is_new = !p;
	if (displaced)
		*displaced = NULL;
	HASH_ITER(by_number, t->by_number, other, tmp) {
		if (other == p || !is_displaced_by(other, record))
			continue;
		is_contested |= other->credential.is_good;
		if (displaced && !other->credential.is_good)
			*displaced = other;
	}
	if (!p)
		p = add(t, &key);
	if (!p)
		return NULL;
	if (!p->credential.is_good)
		take_face(t, p, record, is_contested);
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
	for (p = t->by_number; p; p = p->by_number.next)
		if (strcmp(p->name, name) == 0)
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
	return p;
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

struct peer *peers_by_words(const struct peers *t, const char *words)
{
	struct peer *found = NULL;
	struct ip ip;

	for (struct peer *p = t->by_number; p; p = p->by_number.next)
		if (strcmp(p->name, words) == 0)
			return p;
	if (ip_from_text(&ip, words) == 0)
		return peers_by_addr(t, &ip);
	if (strlen(words) < PEERS_KEY_PREFIX_MIN)
		return NULL;
	for (struct peer *p = t->by_number; p; p = p->by_number.next) {
		char text[KEY_TEXT_BYTES];

		if (strncmp(pubkey_to_text(&p->key, text), words, strlen(words)) == 0) {
			if (found)
				return NULL; /* two fit */
			found = p;
		}
	}
	return found;
}
