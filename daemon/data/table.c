#include "daemon/data/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct shared_peer *shared_peer_new(uint64_t id)
{
	struct shared_peer *p = calloc(1, sizeof(*p));

	if (p) {
		p->id = id;
		atomic_init(&p->refs, 1);
		atomic_init(&p->is_asleep, true);
	}
	return p;
}

struct shared_peer *shared_peer_ref(struct shared_peer *p)
{
	atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	return p;
}

void shared_peer_unref(struct shared_peer *p)
{
	if (p && atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1)
		free(p);
}

/* FNV-1a: the keys are members' addresses, nothing a stranger chooses. */
static uint32_t hash_of(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint32_t h = 2166136261u;

	while (len--)
		h = (h ^ *p++) * 16777619u;
	return h ^ h >> 15;
}

static unsigned slots_for(unsigned n)
{
	unsigned slots = 8;

	while (slots < n * 2)
		slots *= 2;
	return slots;
}

struct table *table_new(unsigned n_routes, unsigned n_indices)
{
	struct table *t = calloc(1, sizeof(*t));
	unsigned addr_slots = slots_for(n_routes * WIRE_ADDRS_MAX), index_slots = slots_for(n_indices);

	if (!t)
		return NULL;
	t->routes_max = n_routes;
	t->indices_max = n_indices;
	t->addr_mask = addr_slots - 1;
	t->index_mask = index_slots - 1;
	t->routes = calloc(n_routes ? n_routes : 1, sizeof(*t->routes));
	t->by_addr = calloc(addr_slots, sizeof(struct table_route *));
	t->by_index = calloc(index_slots, sizeof(*t->by_index));
	if (!t->routes || !t->by_addr || !t->by_index) {
		table_free(t);
		return NULL;
	}
	return t;
}

static bool has_addr(const struct table_route *r, const struct ip *ip)
{
	for (unsigned i = 0; i < r->n_addrs; i++)
		if (ip_equal(&r->addrs[i], ip))
			return true;
	return false;
}

/* The slot that holds `ip`, or the free one where it belongs. */
static const struct table_route **addr_slot(const struct table *t, const struct ip *ip)
{
	unsigned at = hash_of(ip->b, ip->len) & t->addr_mask;

	while (t->by_addr[at] && !has_addr(t->by_addr[at], ip))
		at = (at + 1) & t->addr_mask;
	return &t->by_addr[at];
}

const struct table_route *table_add_route(struct table *t, const struct table_route *route)
{
	struct table_route *r;

	if (t->n_routes == t->routes_max)
		return NULL;
	r = &t->routes[t->n_routes++];
	*r = *route;
	shared_peer_ref(r->peer);
	if (r->session)
		session_ref(r->session);
	for (unsigned i = 0; i < r->n_paths; i++) {
		if (r->paths[i].link)
			relay_link_ref(r->paths[i].link);
		if (r->paths[i].spare)
			spare_ref(r->paths[i].spare);
	}
	for (unsigned i = 0; i < r->n_addrs; i++) {
		const struct table_route **slot = addr_slot(t, &r->addrs[i]);

		if (!*slot) /* two members' addresses never overlap; the first keeps it if they did */
			*slot = r;
	}
	return r;
}

static struct table_index *index_slot(const struct table *t, uint32_t index)
{
	unsigned at = index & t->index_mask; /* drawn at random, by us */

	while (t->by_index[at].index && t->by_index[at].index != index)
		at = (at + 1) & t->index_mask;
	return &t->by_index[at];
}

/* A free slot for a new index; NULL: taken already, or the table is full (it must keep free slots, where searches end). */
static struct table_index *new_index_slot(struct table *t, uint32_t index)
{
	struct table_index *slot = index_slot(t, index);

	if (slot->index || t->n_indices == t->indices_max)
		return NULL;
	t->n_indices++;
	return slot;
}

void table_add_session(struct table *t, struct session *s, const struct table_route *route)
{
	struct table_index *slot = new_index_slot(t, s->local_index);

	if (slot)
		*slot = (struct table_index){ .index = s->local_index, .session = session_ref(s), .route = route };
}

int table_make_networks(struct table *t, unsigned n)
{
	t->networks = prefixes_new(n);
	return t->networks ? 0 : -ENOMEM;
}

void table_add_network(struct table *t, const struct prefix *net, const struct table_route *route, bool is_first)
{
	prefixes_add(t->networks, net, route, is_first);
}

void table_add_link(struct table *t, struct relay_link *l, uint8_t coordinator)
{
	struct table_index *slot = new_index_slot(t, l->local_index);

	if (slot)
		*slot = (struct table_index){ .index = l->local_index,
					      .link = relay_link_ref(l),
					      .coordinator = coordinator };
}

void table_free(struct table *t)
{
	if (!t)
		return;
	for (unsigned i = 0; i < t->n_routes; i++) {
		struct table_route *r = &t->routes[i];

		shared_peer_unref(r->peer);
		session_unref(r->session);
		for (unsigned j = 0; j < r->n_paths; j++) {
			relay_link_unref(r->paths[j].link);
			spare_unref(r->paths[j].spare);
		}
	}
	for (unsigned i = 0; t->by_index && i <= t->index_mask; i++) {
		session_unref(t->by_index[i].session);
		relay_link_unref(t->by_index[i].link);
	}
	capture_unref(t->capture);
	prefixes_free(t->networks);
	free(t->routes);
	free(t->by_addr);
	free(t->by_index);
	free(t);
}

const struct table_route *table_find_addr(const struct table *t, const struct ip *dst)
{
	const struct table_route *r = *addr_slot(t, dst);
	const struct prefix_holder *h;

	if (r || !t->networks)
		return r;
	h = prefixes_find(t->networks, dst);
	return h ? h->route : NULL;
}

const struct table_index *table_find_index(const struct table *t, uint32_t index)
{
	const struct table_index *slot = index ? index_slot(t, index) : NULL;

	return slot && slot->index ? slot : NULL;
}

/* Only of the longest prefix that the source is in: a network within a wider one of another peer's is not that peer's. */
static bool is_in_network_of(const struct table *t, const struct table_route *r, const struct ip *src)
{
	const struct prefix_holder *h = prefixes_find(t->networks, src);

	while (h && h->route != r)
		h = h->next;
	return h != NULL;
}

bool table_may_come_from(const struct table *t, const struct table_route *r, const struct ip *src)
{
	return has_addr(r, src) || (t->networks && is_in_network_of(t, r, src));
}

bool table_is_own(const struct table *t, const struct ip *ip)
{
	for (unsigned i = 0; i < t->n_own; i++)
		if (ip_equal(&t->own[i], ip))
			return true;
	for (unsigned i = 0; i < t->n_behind; i++)
		if (prefix_contains(&t->behind[i], ip))
			return true;
	return false;
}

static void free_item(struct epochs_item *item)
{
	table_free((struct table *)item);
}

void tables_init(struct tables *t)
{
	epochs_init(&t->epochs, free_item);
}

void tables_fini(struct tables *t)
{
	epochs_fini(&t->epochs);
}

void tables_publish_take(struct tables *t, struct table *next)
{
	epochs_publish_take(&t->epochs, &next->item);
}

bool tables_reclaim(struct tables *t)
{
	return epochs_reclaim(&t->epochs);
}

const struct table *tables_enter(struct tables *t, unsigned reader)
{
	return (const struct table *)epochs_enter(&t->epochs, reader);
}

void tables_leave(struct tables *t, unsigned reader)
{
	epochs_leave(&t->epochs, reader);
}

bool tables_is_current(const struct tables *t, const struct table *table)
{
	return epochs_current(&t->epochs) == &table->item;
}
