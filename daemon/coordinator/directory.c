#include "daemon/coordinator/directory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct directory {
	struct store *store;
	uint64_t version;
	struct prefix prefix, prefix6;
	bool has_prefixes;
	unsigned n, n_online, n_leased;
	struct member *keys, *names, *ids, *addresses, *addresses6; /* heads of the tables */
	struct member **sorted_by_id;                               /* n_leased of them */
	struct member **sorted_by_name;                             /* n of them */
};

static void member_free(struct member *m)
{
	if (!m)
		return;
	introduced_fini(&m->introduced);
	relay_account_unref(m->account);
	free(m);
}

static struct member *member_new(const struct pubkey *key)
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
		member_free(c->removed[i]);
	free(c->removed);
	free(c->changed);
	free(c->old_ids);
	memset(c, 0, sizeof(*c));
}

struct directory *directory_new(struct store *store, uint64_t first_version)
{
	struct directory *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->store = store;
	d->version = first_version;
	return d;
}

static void clear_tables(struct directory *d)
{
	HASH_CLEAR(by_name, d->names);
	HASH_CLEAR(by_id, d->ids);
	HASH_CLEAR(by_address, d->addresses);
	HASH_CLEAR(by_address6, d->addresses6);
}

void directory_free(struct directory *d)
{
	struct member *m, *tmp;

	if (!d)
		return;
	clear_tables(d);
	HASH_ITER(by_key, d->keys, m, tmp) {
		HASH_DELETE(by_key, d->keys, m);
		member_free(m);
	}
	free(d->sorted_by_id);
	free(d->sorted_by_name);
	free(d);
}

/* ---------------------------------------------------------------- numbers and addresses */

/* The host part of an IPv4 address in the network's prefix, 0 if there is none that can be an id. */
static uint32_t host_number(const struct prefix *prefix, const struct ip *address)
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
	struct member *m;

	/* While a load is in progress these two tables hold the fixed addresses; later, all that are in use. */
	HASH_FIND(by_address, d->addresses, &v4, sizeof(v4), m);
	if (!m)
		HASH_FIND(by_address6, d->addresses6, &v6, sizeof(v6), m);
	return m != NULL;
}

static bool is_unused(void *arg, const struct pubkey *key)
{
	return !directory_by_key(arg, key);
}

static int lease(struct directory *d, struct member *m)
{
	struct store_range range = {
		.first = 1, .last = last_number(d), .is_reserved = is_reserved, .is_unused = is_unused, .arg = d
	};

	if (!m->fixed_id)
		return store_lease(d->store, &m->key, &range, &m->id);
	m->id = m->fixed_id;
	return store_lease_fixed(d->store, &m->key, m->fixed_id);
}

static void set_addresses(const struct directory *d, struct member *m)
{
	struct ip none = { 0 };

	m->address = m->fixed.len ? m->fixed : m->id ? address_of(&d->prefix, m->id) : none;
	m->address6 = m->fixed6.len ? m->fixed6 : m->id ? address_of(&d->prefix6, m->id) : none;
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
			ret = lease(d, m);
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

/* ---------------------------------------------------------------- tables */

static int compare_ids(const void *a, const void *b)
{
	uint32_t x = (*(struct member *const *)a)->id, y = (*(struct member *const *)b)->id;

	return x < y ? -1 : x > y;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp((*(struct member *const *)a)->name, (*(struct member *const *)b)->name);
}

static void add_fixed_addresses(struct directory *d)
{
	struct member *m, *tmp;

	HASH_ITER(by_key, d->keys, m, tmp) {
		if (m->fixed.len)
			HASH_ADD(by_address, d->addresses, fixed, sizeof(m->fixed), m);
		if (m->fixed6.len)
			HASH_ADD(by_address6, d->addresses6, fixed6, sizeof(m->fixed6), m);
	}
}

/* Fills every table but the one by key from it. */
static void fill_tables(struct directory *d)
{
	struct member *m, *tmp;

	clear_tables(d);
	d->n = d->n_leased = d->n_online = 0;
	HASH_ITER(by_key, d->keys, m, tmp) {
		HASH_ADD(by_name, d->names, name, (unsigned)strlen(m->name), m);
		d->sorted_by_name[d->n++] = m;
		d->n_online += m->registration != NULL;
		if (m->id) {
			HASH_ADD(by_id, d->ids, id, sizeof(m->id), m);
			d->sorted_by_id[d->n_leased++] = m;
		}
		if (m->address.len) /* without a number too: a fixed address stays kept for it */
			HASH_ADD(by_address, d->addresses, address, sizeof(m->address), m);
		if (m->address6.len)
			HASH_ADD(by_address6, d->addresses6, address6, sizeof(m->address6), m);
	}
	qsort(d->sorted_by_id, d->n_leased, sizeof(*d->sorted_by_id), compare_ids);
	qsort(d->sorted_by_name, d->n, sizeof(*d->sorted_by_name), compare_names);
}

/* ---------------------------------------------------------------- load */

/* What a load needs, allocated before anything is changed. */
struct load {
	struct member **fresh; /* new members, config->n_members places */
	unsigned n_fresh;
	struct member **by_id, **by_name;
	struct directory_changes changes;
};

static int load_prepare(struct load *l, const struct directory *d, const struct config *config)
{
	size_t n = config->n_members + 1u;

	memset(l, 0, sizeof(*l));
	l->fresh = calloc(n, sizeof(*l->fresh));
	l->by_id = calloc(n, sizeof(*l->by_id));
	l->by_name = calloc(n, sizeof(*l->by_name));
	l->changes.changed = calloc(d->n + 1u, sizeof(struct member *));
	l->changes.removed = calloc(d->n + 1u, sizeof(struct member *));
	l->changes.old_ids = calloc(d->n + 1u, sizeof(uint32_t));
	if (!l->fresh || !l->by_id || !l->by_name || !l->changes.changed || !l->changes.removed || !l->changes.old_ids)
		return -ENOMEM;
	for (unsigned i = 0; i < config->n_members; i++) {
		if (directory_by_key(d, &config->members[i].key))
			continue;
		l->fresh[l->n_fresh] = member_new(&config->members[i].key);
		if (!l->fresh[l->n_fresh])
			return -ENOMEM;
		l->n_fresh++;
	}
	return 0;
}

static void load_abandon(struct load *l)
{
	for (unsigned i = 0; i < l->n_fresh; i++)
		member_free(l->fresh[i]);
	free(l->fresh);
	free(l->by_id);
	free(l->by_name);
	directory_changes_fini(&l->changes);
}

/* Takes over the file's words on every member, adds the new and sorts out the removed. */
static void merge(struct directory *d, const struct config *config, struct load *l)
{
	struct member *m, *tmp;

	for (unsigned i = 0; i < l->n_fresh; i++)
		HASH_ADD(by_key, d->keys, key, sizeof(m->key), l->fresh[i]);
	HASH_ITER(by_key, d->keys, m, tmp)
		m->is_kept = false;
	for (unsigned i = 0; i < config->n_members; i++) {
		const struct config_member *c = &config->members[i];

		m = directory_by_key(d, &c->key);
		m->is_kept = true;
		memcpy(m->name, c->name, sizeof(m->name));
		m->fixed = c->address;
		m->fixed6 = c->address6;
		m->fixed_id = host_number(&d->prefix, &m->fixed);
	}
	HASH_ITER(by_key, d->keys, m, tmp) {
		if (m->is_kept)
			continue;
		HASH_DELETE(by_key, d->keys, m);
		l->changes.removed[l->changes.n_removed++] = m;
	}
}

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

int directory_load(struct directory *d, const struct config *config, struct directory_changes *changes)
{
	struct member *m, *tmp;
	struct face *before;
	struct load l;
	unsigned n_before = 0;
	int ret = load_prepare(&l, d, config);

	before = calloc(d->n + 1u, sizeof(*before));
	if (ret || !before) {
		load_abandon(&l);
		free(before);
		return -ENOMEM;
	}
	HASH_ITER(by_key, d->keys, m, tmp)
		before[n_before++] = face_of(m);
	clear_tables(d);
	if (!d->has_prefixes) { /* changing them takes a restart: every member's addresses lie in them */
		d->prefix = config->network.prefix;
		d->prefix6 = config->network.prefix6;
		d->has_prefixes = true;
	}
	merge(d, config, &l);
	add_fixed_addresses(d);
	ret = lease_all(d);
	if (ret && ret != -EADDRNOTAVAIL)
		use_known_leases(d);
	l.changes.lease_error = ret;
	clear_tables(d); /* keys in them are the fixed addresses, until set_addresses */
	HASH_ITER(by_key, d->keys, m, tmp) {
		set_addresses(d, m);
		l.changes.n_unleased += m->id == 0;
	}
	free(d->sorted_by_id);
	free(d->sorted_by_name);
	d->sorted_by_id = l.by_id;
	d->sorted_by_name = l.by_name;
	fill_tables(d);
	for (unsigned i = 0; i < n_before; i++) {
		if (!before[i].member->is_kept || !is_other_face(&before[i]))
			continue;
		l.changes.old_ids[l.changes.n_changed] = before[i].id;
		l.changes.changed[l.changes.n_changed++] = before[i].member;
	}
	l.changes.n_added = l.n_fresh;
	if (l.changes.n_added || l.changes.n_changed || l.changes.n_removed)
		d->version++;
	*changes = l.changes;
	free(l.fresh);
	free(before);
	return 0;
}

int directory_lease(struct directory *d, struct member *m)
{
	int ret;

	if (m->id)
		return 0;
	ret = lease(d, m);
	if (ret) {
		m->id = 0;
		return ret;
	}
	clear_tables(d); /* before the addresses, which are keys in them, change */
	set_addresses(d, m);
	fill_tables(d);
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
	struct member *m;

	HASH_FIND(by_name, d->names, name, (unsigned)strlen(name), m);
	return m;
}

struct member *directory_by_id(const struct directory *d, uint32_t id)
{
	struct member *m;

	HASH_FIND(by_id, d->ids, &id, sizeof(id), m);
	return m;
}

struct member *directory_by_address(const struct directory *d, const struct ip *address)
{
	struct member *m = NULL;

	if (address->len == 4)
		HASH_FIND(by_address, d->addresses, address, sizeof(*address), m);
	else if (address->len == 16)
		HASH_FIND(by_address6, d->addresses6, address, sizeof(*address), m);
	return m && m->id ? m : NULL;
}

uint64_t directory_version(const struct directory *d)
{
	return d->version;
}

unsigned directory_count(const struct directory *d)
{
	return d->n;
}

unsigned directory_online(const struct directory *d)
{
	return d->n_online;
}

struct member *directory_next(const struct directory *d, uint32_t from)
{
	unsigned low = 0, high = d->n_leased;

	while (low < high) {
		unsigned middle = low + (high - low) / 2;

		if (d->sorted_by_id[middle]->id < from)
			low = middle + 1;
		else
			high = middle;
	}
	return low < d->n_leased ? d->sorted_by_id[low] : NULL;
}

struct member *directory_at(const struct directory *d, unsigned nth)
{
	return nth < d->n ? d->sorted_by_name[nth] : NULL;
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
