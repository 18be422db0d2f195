#include "daemon/coordinator/directory_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void directory_member_free(struct member *m)
{
	if (!m)
		return;
	introduced_fini(&m->introduced);
	relay_account_unref(m->account);
	free(m->cert);
	free(m);
}

struct member *directory_member_new(const struct pubkey *key)
{
	struct member *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->key = *key;
	m->account = relay_account_new();
	if (!m->account) {
		free(m);
		return NULL;
	}
	return m;
}

void directory_changes_fini(struct directory_changes *c)
{
	for (unsigned i = 0; i < c->n_removed; i++)
		directory_member_free(c->removed[i]);
	free(c->removed);
	free(c->changed);
	free(c->old_ids);
	memset(c, 0, sizeof(*c));
}

/* ---------------------------------------------------------------- orders */

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int compare_ids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static int compare_addresses(const void *a, const void *b)
{
	const struct ip *x = a, *y = b;

	return x->len != y->len ? x->len - y->len : memcmp(x->b, y->b, x->len);
}

/* Everybody again, as members are now. */
static void fill_orders(struct directory *d)
{
	struct order *const orders[] = { &d->names, &d->ids, &d->addresses, &d->addresses6 };
	struct member *m, *tmp;

	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
		orders[i]->n = 0;
	d->n_online = 0;
	HASH_ITER(by_key, d->keys, m, tmp) {
		d->n_online += m->registration != NULL;
		order_add(&d->names, m);
		if (m->id)
			order_add(&d->ids, m);
		if (m->address.len) /* without a number too: a fixed address stays kept for it */
			order_add(&d->addresses, m);
		if (m->address6.len)
			order_add(&d->addresses6, m);
	}
	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
		order_sort(orders[i]);
}

/* ---------------------------------------------------------------- new and free */

struct directory *directory_new(struct store *store, uint64_t first_version)
{
	struct directory *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->store = store;
	d->version = first_version;
	d->names = (struct order){ .key = offsetof(struct member, name), .compare = compare_names };
	d->ids = (struct order){ .key = offsetof(struct member, id), .compare = compare_ids };
	d->addresses = (struct order){ .key = offsetof(struct member, address), .compare = compare_addresses };
	d->addresses6 = (struct order){ .key = offsetof(struct member, address6), .compare = compare_addresses };
	return d;
}

void directory_free(struct directory *d)
{
	struct member *m, *tmp;

	if (!d)
		return;
	HASH_ITER(by_key, d->keys, m, tmp) {
		HASH_DELETE(by_key, d->keys, m);
		directory_member_free(m);
	}
	free(d->names.v);
	free(d->ids.v);
	free(d->addresses.v);
	free(d->addresses6.v);
	free(d);
}

/* ---------------------------------------------------------------- numbers and addresses */

uint32_t directory_host_number(const struct prefix *prefix, const struct ip *address)
{
	uint32_t number = 0;

	if (prefix->ip.len != 4 || address->len != 4 || !prefix_contains(prefix, address) || prefix->bits >= 32)
		return 0;
	for (unsigned i = 0; i < 4; i++)
		number = number << 8 | address->b[i];
	number &= UINT32_MAX >> prefix->bits;
	return number == UINT32_MAX ? 0 : number;
}

static struct ip address_of(const struct prefix *prefix, uint32_t number)
{
	struct ip ip = prefix_network(prefix);

	for (unsigned i = 0; i < 4 && ip.len; i++)
		ip.b[ip.len - 1 - i] |= (uint8_t)(number >> (8 * i));
	return ip;
}

/* The numbers for hosts: not the network's own and not its broadcast address. */
static uint32_t last_number(const struct directory *d)
{
	const struct prefix *p = d->prefix.ip.len ? &d->prefix : &d->prefix6;
	unsigned host_bits = (p->ip.len == 4 ? 32u : 128u) - p->bits;

	if (!p->ip.len || host_bits == 0)
		return 0;
	if (host_bits == 1)
		return 1; /* RFC 3021: two hosts, no broadcast; and 0 is no id */
	return host_bits >= 32 ? UINT32_MAX - 1 : (1u << host_bits) - 2;
}

static bool is_reserved(void *arg, uint32_t id)
{
	const struct directory *d = arg;
	struct ip v4 = address_of(&d->prefix, id), v6 = address_of(&d->prefix6, id);

	return order_find(&d->addresses, &v4) || order_find(&d->addresses6, &v6);
}

static bool is_unused(void *arg, const struct pubkey *key)
{
	return !directory_by_key(arg, key);
}

int directory_lease_number(struct directory *d, struct member *m)
{
	struct store_range range = {
		.first = 1, .last = last_number(d), .is_reserved = is_reserved, .is_unused = is_unused, .arg = d
	};

	if (!m->fixed_id)
		return store_lease(d->store, &m->key, &range, &m->id);
	m->id = m->fixed_id;
	return store_lease_fixed(d->store, &m->key, m->fixed_id);
}

void directory_set_addresses(const struct directory *d, struct member *m)
{
	struct ip none = { 0 };
	bool has_derived = m->id && !m->is_certified; /* a certificate names all it has */

	m->address = m->fixed.len ? m->fixed : has_derived ? address_of(&d->prefix, m->id) : none;
	m->address6 = m->fixed6.len ? m->fixed6 : has_derived ? address_of(&d->prefix6, m->id) : none;
}

/* Numbers for all members: first those that fixed addresses name, which nobody else may then get. */
static int lease_all(struct directory *d)
{
	struct member *m, *tmp;
	int ret = store_begin(d->store), no_address = 0;

	for (int pass = 0; ret == 0 && pass < 2; pass++) {
		HASH_ITER(by_key, d->keys, m, tmp) {
			if ((m->fixed_id != 0) != (pass == 0))
				continue;
			ret = directory_lease_number(d, m);
			if (ret == -EADDRNOTAVAIL) {
				m->id = 0;
				no_address = ret;
				ret = 0;
			}
			if (ret)
				break;
		}
	}
	if (ret)
		store_rollback(d->store);
	else
		ret = store_commit(d->store);
	return ret ? ret : no_address;
}

/* After lease_all failed to write: who has a lease keeps it, the others wait for directory_lease. */
static void use_known_leases(struct directory *d)
{
	struct member *m, *tmp;

	HASH_ITER(by_key, d->keys, m, tmp) {
		uint32_t id;
		bool has = store_find(d->store, &m->key, &id) == 0 && id <= last_number(d);

		if (has && m->fixed_id)
			has = id == m->fixed_id;
		else if (has)
			has = !is_reserved(d, id);
		m->id = has ? id : 0;
	}
}

/* ---------------------------------------------------------------- load */

/* A member as others know it. */
struct face {
	struct member *member;
	char name[WIRE_NAME_MAX_BYTES + 1];
	uint32_t id;
	struct ip address, address6;
};

static struct face face_of(struct member *m)
{
	struct face f = { .member = m, .id = m->id, .address = m->address, .address6 = m->address6 };

	memcpy(f.name, m->name, sizeof(f.name));
	return f;
}

static bool is_other_face(const struct face *f)
{
	const struct member *m = f->member;

	return strcmp(f->name, m->name) != 0 || f->id != m->id || !ip_equal(&f->address, &m->address) ||
	       !ip_equal(&f->address6, &m->address6);
}

/* What a load needs, allocated before anything is changed. */
struct load {
	struct face *before; /* everybody */
	unsigned n_before;
	struct member **fresh; /* new members */
	unsigned n_fresh;
	void **names, **ids, **addresses, **addresses6; /* room for everybody, of the orders */
	struct directory_changes changes;
};

static void load_fini(struct load *l)
{
	free(l->before);
	free(l->fresh);
	free(l->names);
	free(l->ids);
	free(l->addresses);
	free(l->addresses6);
}

static void load_abandon(struct directory *d, struct load *l)
{
	for (unsigned i = 0; i < l->n_fresh; i++) {
		if (hash_has(by_key, l->fresh[i]))
			HASH_DELETE(by_key, d->keys, l->fresh[i]);
		directory_member_free(l->fresh[i]);
	}
	directory_changes_fini(&l->changes);
	load_fini(l);
}

static int load_allocate(struct load *l, unsigned n_old, unsigned n_new)
{
	size_t n = n_new + 1u;

	l->before = calloc(n_old + 1u, sizeof(*l->before));
	l->fresh = calloc(n, sizeof(*l->fresh));
	l->names = calloc(n, sizeof(*l->names));
	l->ids = calloc(n, sizeof(*l->ids));
	l->addresses = calloc(n, sizeof(*l->addresses));
	l->addresses6 = calloc(n, sizeof(*l->addresses6));
	l->changes.changed = calloc(n_old + 1u, sizeof(struct member *));
	l->changes.removed = calloc(n_old + 1u, sizeof(struct member *));
	l->changes.old_ids = calloc(n_old + 1u, sizeof(uint32_t));
	return l->before && l->fresh && l->names && l->ids && l->addresses && l->addresses6 && l->changes.changed &&
			       l->changes.removed && l->changes.old_ids ?
		       0 :
		       -ENOMEM;
}

/* New members are in the table already when this returns: it may have to grow. */
static int load_prepare(struct load *l, struct directory *d, const struct config *config)
{
	struct member *m, *tmp;

	memset(l, 0, sizeof(*l));
	if (load_allocate(l, d->names.n, d->names.n + config->n_members) < 0)
		return -ENOMEM;
	HASH_ITER(by_key, d->keys, m, tmp)
		l->before[l->n_before++] = face_of(m);
	for (unsigned i = 0; i < config->n_members; i++) {
		if (directory_by_key(d, &config->members[i].key))
			continue;
		m = directory_member_new(&config->members[i].key);
		if (!m)
			return -ENOMEM;
		l->fresh[l->n_fresh++] = m;
		HASH_ADD(by_key, d->keys, key, sizeof(m->key), m);
		if (!hash_has(by_key, m))
			return -ENOMEM;
	}
	return 0;
}

/* Takes over the file's words on every member, and sorts out the removed. */
static void merge(struct directory *d, const struct config *config, struct load *l)
{
	struct member *m, *tmp;

	HASH_ITER(by_key, d->keys, m, tmp)
		m->is_kept = m->is_certified; /* those stay, whatever the file says */
	for (unsigned i = 0; i < config->n_members; i++) {
		const struct config_member *c = &config->members[i];

		m = directory_by_key(d, &c->key);
		m->is_kept = true;
		memcpy(m->name, c->name, sizeof(m->name));
		m->fixed = m->address = c->address; /* its address, until it has its number */
		m->fixed6 = m->address6 = c->address6;
		m->fixed_id = directory_host_number(&d->prefix, &m->fixed);
	}
	HASH_ITER(by_key, d->keys, m, tmp) {
		if (m->is_kept)
			continue;
		HASH_DELETE(by_key, d->keys, m);
		l->changes.removed[l->changes.n_removed++] = m;
	}
}

static void find_changes(struct load *l)
{
	for (unsigned i = 0; i < l->n_before; i++) {
		struct face *was = &l->before[i];

		if (!was->member->is_kept || !is_other_face(was))
			continue;
		l->changes.old_ids[l->changes.n_changed] = was->id;
		l->changes.changed[l->changes.n_changed++] = was->member;
	}
	l->changes.n_added = l->n_fresh;
}

static void swap(void ***a, void ***b)
{
	void **was = *a;

	*a = *b;
	*b = was;
}

int directory_load(struct directory *d, const struct config *config, struct directory_changes *changes)
{
	struct member *m, *tmp;
	struct load l;
	int ret = load_prepare(&l, d, config);

	if (ret) {
		load_abandon(d, &l);
		return ret;
	}
	if (!d->has_prefixes) { /* changing them takes a restart: every member's addresses lie in them */
		d->prefix = config->network.prefix;
		d->prefix6 = config->network.prefix6;
		d->has_prefixes = true;
	}
	swap(&d->names.v, &l.names);
	swap(&d->ids.v, &l.ids);
	swap(&d->addresses.v, &l.addresses);
	swap(&d->addresses6.v, &l.addresses6);
	merge(d, config, &l);
	fill_orders(d);
	ret = lease_all(d);
	if (ret && ret != -EADDRNOTAVAIL)
		use_known_leases(d);
	l.changes.lease_error = ret;
	HASH_ITER(by_key, d->keys, m, tmp) {
		directory_set_addresses(d, m);
		l.changes.n_unleased += m->id == 0;
	}
	fill_orders(d);
	find_changes(&l);
	if (l.changes.n_added || l.changes.n_changed || l.changes.n_removed)
		d->version++;
	*changes = l.changes;
	load_fini(&l);
	return 0;
}

int directory_lease(struct directory *d, struct member *m)
{
	int ret;

	if (m->id)
		return 0;
	ret = directory_lease_number(d, m);
	if (ret) {
		m->id = 0;
		return ret;
	}
	directory_set_addresses(d, m);
	fill_orders(d);
	d->version++;
	return 0;
}

void directory_set_registration(struct directory *d, struct member *m, struct registration *registration)
{
	bool was_online = m->registration != NULL;

	m->registration = registration;
	if (was_online == (registration != NULL) || !m->is_kept) /* a removed member is not counted any more */
		return;
	d->n_online += registration ? 1u : -1u;
	d->version++;
}

/* ---------------------------------------------------------------- look-up */

struct member *directory_by_key(const struct directory *d, const struct pubkey *key)
{
	struct member *m;

	HASH_FIND(by_key, d->keys, key, sizeof(*key), m);
	return m;
}

struct member *directory_by_name(const struct directory *d, const char *name)
{
	return order_find(&d->names, name);
}

struct member *directory_by_id(const struct directory *d, uint32_t id)
{
	return order_find(&d->ids, &id);
}

struct member *directory_by_address(const struct directory *d, const struct ip *address)
{
	struct member *m = order_find(address->len == 4 ? &d->addresses : &d->addresses6, address);

	return m && m->id ? m : NULL;
}

uint64_t directory_version(const struct directory *d)
{
	return d->version;
}

unsigned directory_count(const struct directory *d)
{
	return d->names.n;
}

unsigned directory_online(const struct directory *d)
{
	return d->n_online;
}

struct member *directory_next(const struct directory *d, uint32_t from)
{
	unsigned at = order_before(&d->ids, &from);

	return at < d->ids.n ? d->ids.v[at] : NULL;
}

struct member *directory_at(const struct directory *d, unsigned nth)
{
	return nth < d->names.n ? d->names.v[nth] : NULL;
}

void directory_record(const struct member *m, struct wire_member *out)
{
	memset(out, 0, sizeof(*out));
	out->id = m->id;
	memcpy(out->key, m->key.b, sizeof(out->key));
	out->flags = m->registration ? MEMBER_ONLINE : 0;
	memcpy(out->name, m->name, sizeof(out->name));
	if (m->address.len)
		out->addrs[out->n_addrs++] = m->address;
	if (m->address6.len)
		out->addrs[out->n_addrs++] = m->address6;
	out->cert = m->cert;
	out->cert_len = m->cert_len;
}

unsigned directory_addresses(const struct directory *d, const struct member *m,
			     struct prefix out[static WIRE_ADDRS_MAX])
{
	unsigned n = 0;

	if (m->address.len)
		out[n++] = (struct prefix){ .ip = m->address, .bits = d->prefix.bits };
	if (m->address6.len)
		out[n++] = (struct prefix){ .ip = m->address6, .bits = d->prefix6.bits };
	return n;
}
