/* Members by certificate: they come one by one, when they register, and go when their time is over. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/coordinator/directory_private.h"

static bool grow(struct order *o, unsigned n)
{
	void **v = realloc(o->v, (n + 1u) * sizeof(*v));

	if (v)
		o->v = v;
	return v != NULL;
}

/* Room in the orders for one more. */
static int reserve(struct directory *d)
{
	unsigned n = d->names.n;

	return grow(&d->names, n) && grow(&d->ids, n) && grow(&d->addresses, n) && grow(&d->addresses6, n) ? 0 :
													     -ENOMEM;
}

/* One member's place in all orders: a sort of all for each that comes would be dear when all come at once. */
static void insert(struct directory *d, struct member *m)
{
	d->n_online += m->registration != NULL;
	order_insert(&d->names, m);
	if (m->id)
		order_insert(&d->ids, m);
	if (m->address.len)
		order_insert(&d->addresses, m);
	if (m->address6.len)
		order_insert(&d->addresses6, m);
}

static void take_out(struct directory *d, struct member *m)
{
	d->n_online -= m->registration != NULL;
	order_remove(&d->names, m);
	order_remove(&d->ids, m);
	order_remove(&d->addresses, m);
	order_remove(&d->addresses6, m);
}

static void expel(struct directory *d, struct member *m, struct directory_changes *changes)
{
	take_out(d, m);
	HASH_DELETE(by_key, d->keys, m);
	m->is_kept = false;
	store_drop_certificate(d->store, &m->key); /* if it cannot: it is judged again when it is read back */
	changes->removed[changes->n_removed++] = m;
	d->version++;
}

/* The first address of a family that lies in the network's prefix. */
static struct ip address_in(const struct cert *cert, const struct prefix *prefix)
{
	struct ip none = { 0 };

	for (unsigned i = 0; prefix->ip.len && i < cert->n_addrs; i++)
		if (prefix_contains(prefix, &cert->addrs[i]))
			return cert->addrs[i];
	return none;
}

/* Who else has the name, a number or an address that this member is to have; up to four, or one of them newer: -EEXIST. */
static int rivals_of(const struct directory *d, const struct member *face, struct member *out[static 4])
{
	struct member *const found[4] = { directory_by_name(d, face->name), order_find(&d->addresses, &face->fixed),
					  order_find(&d->addresses6, &face->fixed6),
					  face->fixed_id ? directory_by_id(d, face->fixed_id) : NULL };
	int n = 0;

	for (unsigned i = 0; i < 4; i++) {
		bool is_lent, is_known = !found[i] || pubkey_equal(&found[i]->key, &face->key);

		for (int j = 0; j < n; j++)
			is_known |= out[j] == found[i];
		if (is_known)
			continue;
		/* A number that was lent to one with IPv6 alone goes back to whom the address belongs; there are others. */
		is_lent = i == 3 && !found[i]->fixed_id;
		if (!found[i]->is_certified || (!is_lent && found[i]->not_before_s > face->not_before_s))
			return -EEXIST;
		out[n++] = found[i];
	}
	return n;
}

/* What the certificate says, as a member. */
static struct member face_of_cert(const struct directory *d, const struct cert *cert)
{
	struct member face = { .key = cert->member,
			       .is_kept = true,
			       .is_certified = true,
			       .serial = cert->serial,
			       .not_before_s = cert->not_before_s,
			       .not_after_s = cert->not_after_s,
			       .fixed = address_in(cert, &d->prefix),
			       .fixed6 = address_in(cert, &d->prefix6) };

	memcpy(face.name, cert->name, sizeof(face.name));
	face.fixed_id = directory_host_number(&d->prefix, &face.fixed);
	return face;
}

static void put_on(struct member *m, const struct member *face)
{
	m->is_kept = m->is_certified = true;
	m->serial = face->serial;
	m->not_before_s = face->not_before_s;
	m->not_after_s = face->not_after_s;
	m->fixed = face->fixed;
	m->fixed6 = face->fixed6;
	m->fixed_id = face->fixed_id;
	memcpy(m->name, face->name, sizeof(m->name));
}

static bool is_same_face(const struct member *m, const struct member *face)
{
	return strcmp(m->name, face->name) == 0 && m->id && (!face->fixed_id || m->id == face->fixed_id) &&
	       ip_equal(&m->address, &face->fixed) && ip_equal(&m->address6, &face->fixed6);
}

static int keep(struct directory *d, const struct member *m)
{
	return m->cert_len ? store_put_certificate(d->store, &m->key, m->cert, m->cert_len) : -ENOMEM;
}

/* With the member's record it goes to others, who see by it that there is such a member. */
static void hold(struct directory *d, struct member *m, const struct cert *cert)
{
	uint8_t data[CERT_MAX_BYTES], *held;
	int len = cert_encode(data, sizeof(data), cert);

	held = len > 0 ? realloc(m->cert, (size_t)len) : NULL;
	if (!held) { /* that of before is not this member's any more */
		m->cert_len = 0;
		return;
	}
	memcpy(held, data, (size_t)len);
	m->cert = held;
	m->cert_len = (uint16_t)len;
	d->version++;
}

static bool is_same_certificate(const struct member *m, const struct cert *cert)
{
	return m->is_certified && memcmp(m->serial.b, cert->serial.b, sizeof(m->serial.b)) == 0 &&
	       m->not_before_s == cert->not_before_s && m->not_after_s == cert->not_after_s;
}

static int admit(struct directory *d, const struct cert *cert, struct member **out, struct directory_changes *displaced)
{
	struct member face = face_of_cert(d, cert), *m = directory_by_key(d, &cert->member), *rivals[4];
	int n, ret;

	if (!face.fixed.len && !face.fixed6.len)
		return -EADDRNOTAVAIL;
	if (m && m->not_before_s > face.not_before_s)
		return -EEXIST; /* an older certificate of the same key must not undo the newer */
	n = rivals_of(d, &face, rivals);
	if (n < 0)
		return n;
	displaced->removed = calloc((size_t)n + 1, sizeof(struct member *));
	if (!displaced->removed || reserve(d) < 0)
		return -ENOMEM;
	for (int i = 0; i < n; i++)
		expel(d, rivals[i], displaced);
	if (m && is_same_face(m, &face)) {
		put_on(m, &face);
		*out = m;
		return 0;
	}
	if (m) {
		take_out(d, m);
	} else {
		m = directory_member_new(&cert->member);
		if (!m)
			return -ENOMEM;
		HASH_ADD(by_key, d->keys, key, sizeof(m->key), m);
		if (!hash_has(by_key, m)) {
			directory_member_free(m);
			return -ENOMEM;
		}
	}
	put_on(m, &face);
	ret = directory_lease_number(d, m);
	m->id = ret ? 0 : m->id;
	directory_set_addresses(d, m);
	insert(d, m);
	d->version++;
	*out = m;
	return ret;
}

int directory_may_spend(struct directory *d, const struct cert *cert, uint64_t now_s)
{
	struct pubkey by;
	int ret;

	static_assert(STORE_SERIAL_BYTES == CERT_SERIAL_BYTES, "an invitation's id is the certificate's serial");
	if (cert->kind != CERT_INVITED)
		return 0;
	ret = store_spender(d->store, cert->serial.b, &by);
	if (ret == 0)
		return pubkey_equal(&by, &cert->member) ? 0 : -EKEYREJECTED;
	if (ret != -ENOENT)
		return ret;
	return now_s >= cert->expires_s + CERT_SKEW_S ? -EKEYEXPIRED : 1;
}

int directory_spend(struct directory *d, const struct cert *cert, uint64_t now_s)
{
	struct store_invitation used = { .key = cert->member, .expires_s = cert->expires_s };
	int ret = directory_may_spend(d, cert, now_s);

	if (ret != 1)
		return ret;
	memcpy(used.serial, cert->serial.b, sizeof(used.serial));
	/* A certificate begins before its invitation expires, and lasts no longer than that lets it. */
	used.ends_s = cert->lifetime_s ? cert->expires_s + cert->lifetime_s : 0;
	ret = store_spend(d->store, &used);
	return ret == -EEXIST ? -EKEYREJECTED : ret;
}

void directory_prune_spent(struct directory *d, const uint8_t *list, uint64_t now_s)
{
	struct revocation_head h = { 0 };
	uint64_t before_s = now_s > DIRECTORY_SPENT_KEPT_S ? now_s - DIRECTORY_SPENT_KEPT_S : 0;
	int ret = store_begin(d->store);

	if (ret == 0)
		ret = store_forget_ended(d->store, before_s);
	if (list)
		revocation_head_decode(&h, list, REVOCATION_HEAD_BYTES);
	for (uint32_t i = 0; ret == 0 && i < h.n_entries; i++)
		ret = store_forget_revoked(d->store, revocation_entry_at(list, i).serial.b, before_s);
	if (ret == 0)
		store_commit(d->store);
	else
		store_rollback(d->store); /* the next time, then */
}

int directory_admit(struct directory *d, const struct cert *cert, struct member **out,
		    struct directory_changes *displaced)
{
	const struct member *before = directory_by_key(d, &cert->member);
	bool is_kept = before && is_same_certificate(before, cert);
	int ret;

	memset(displaced, 0, sizeof(*displaced));
	ret = admit(d, cert, out, displaced);
	if (*out && !is_kept) {
		hold(d, *out, cert);
		displaced->lease_error = keep(d, *out);
	}
	return ret;
}

/* Certificates as they come out of the store, which cannot be changed meanwhile. */
struct restored {
	struct cert *v;
	size_t n, max;
	bool is_short; /* of memory */
};

static void collect(void *arg, const uint8_t *data, size_t len)
{
	struct restored *r = arg;

	if (r->n == r->max) {
		size_t max = r->max ? r->max * 2 : 64;
		struct cert *v = realloc(r->v, max * sizeof(*v));

		r->is_short |= !v;
		if (!v)
			return;
		r->v = v;
		r->max = max;
	}
	r->n += cert_decode(&r->v[r->n], data, len) == 0;
}

int directory_restore(struct directory *d, bool (*is_good)(void *arg, const struct cert *cert), void *arg)
{
	struct directory_changes displaced;
	struct restored r = { 0 };
	struct member *m;
	int ret = store_each_certificate(d->store, collect, &r), n = 0;

	if (ret == 0 && r.is_short)
		ret = -ENOMEM;
	for (size_t i = 0; ret == 0 && i < r.n; i++) {
		memset(&displaced, 0, sizeof(displaced));
		m = NULL;
		if (is_good(arg, &r.v[i]) && admit(d, &r.v[i], &m, &displaced) == 0) {
			hold(d, m, &r.v[i]);
			n++;
		} else {
			store_drop_certificate(d->store, &r.v[i].member);
		}
		directory_changes_fini(&displaced);
	}
	free(r.v);
	return ret ? ret : n;
}

int directory_expel(struct directory *d, bool (*is_over)(void *arg, const struct member *m), void *arg,
		    struct directory_changes *expelled)
{
	struct member *m, *tmp;

	memset(expelled, 0, sizeof(*expelled));
	expelled->removed = calloc(d->names.n + 1u, sizeof(struct member *));
	if (!expelled->removed)
		return -ENOMEM;
	HASH_ITER(by_key, d->keys, m, tmp) {
		if (m->is_certified && is_over(arg, m))
			expel(d, m, expelled);
	}
	return 0;
}
