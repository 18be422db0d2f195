#include "daemon/data/prefixes.h"

#include <endian.h>
#include <stdlib.h>

#define LENGTHS_MAX (128 + 1)

/* A prefix as two numbers: comparing, masking and mixing them takes a few instructions, which is what a search consists of. */
struct key {
	uint64_t high, low; /* of the address, the first byte on top; IPv4's 4 bytes have zeros behind them */
	uint32_t length;    /* prefix bits, and above them the address's length */
};

struct entry {
	struct prefix_holder holder; /* the first of its prefix */
	struct key key;
};

struct prefixes {
	unsigned n, max, n_entries, mask; /* mask: slots - 1 */
	struct prefix_holder *more;       /* those that are not the first */
	struct entry *entries, **slots;
	struct lengths {
		unsigned n;
		uint8_t bits[LENGTHS_MAX]; /* those that occur, the longest first */
	} lengths[2];                      /* of IPv4, IPv6 */
};

struct prefixes *prefixes_new(unsigned max)
{
	struct prefixes *p = calloc(1, sizeof(*p));
	unsigned slots = 8;

	if (!p)
		return NULL;
	while (slots < max * 2)
		slots *= 2;
	p->max = max;
	p->mask = slots - 1;
	p->more = calloc(max ? max : 1, sizeof(*p->more));
	p->entries = calloc(max ? max : 1, sizeof(*p->entries));
	p->slots = calloc(slots, sizeof(struct entry *));
	if (!p->more || !p->entries || !p->slots) {
		prefixes_free(p);
		return NULL;
	}
	return p;
}

void prefixes_free(struct prefixes *p)
{
	if (!p)
		return;
	free(p->more);
	free(p->entries);
	free(p->slots);
	free(p);
}

static struct key key_of(const struct ip *ip)
{
	struct key k = { .length = (uint32_t)ip->len << 8 };

	memcpy(&k.high, ip->b, 8);
	memcpy(&k.low, ip->b + 8, 8);
	k.high = be64toh(k.high);
	k.low = be64toh(k.low);
	return k;
}

/* The first `bits` of 64. */
static uint64_t leading(uint64_t v, unsigned bits)
{
	return bits >= 64 ? v : v & ~(UINT64_MAX >> bits);
}

static struct key key_cut(const struct key *k, unsigned bits)
{
	return (struct key){ .high = leading(k->high, bits),
			     .low = bits > 64 ? leading(k->low, bits - 64) : 0,
			     .length = k->length | bits };
}

/* A product is mixed well at its top, and an IPv4 address has zeros for its lower half: so the top is folded down and multiplied once
 * more. The keys are prefixes of our own file, nothing a stranger chooses. */
static uint32_t hash_of(const struct key *k)
{
	uint64_t h = k->high * 0x9e3779b97f4a7c15 ^ (k->low + k->length) * 0xc2b2ae3d27d4eb4f;

	return (uint32_t)((h ^ h >> 32) * 0x9e3779b97f4a7c15 >> 32);
}

/* The slot of that prefix, or the free one where it belongs. */
static struct entry **slot_of(const struct prefixes *p, const struct key *k)
{
	unsigned at = hash_of(k) & p->mask;

	for (; p->slots[at]; at = (at + 1) & p->mask) {
		const struct key *other = &p->slots[at]->key;

		if (other->high == k->high && other->low == k->low && other->length == k->length)
			break;
	}
	return &p->slots[at];
}

static void note_length(struct lengths *l, uint8_t bits)
{
	unsigned at = 0;

	while (at < l->n && l->bits[at] > bits)
		at++;
	if (at < l->n && l->bits[at] == bits)
		return;
	memmove(&l->bits[at + 1], &l->bits[at], l->n - at);
	l->bits[at] = bits;
	l->n++;
}

void prefixes_add(struct prefixes *p, const struct prefix *net, const struct table_route *route, bool is_first)
{
	struct prefix_holder holder = { .net = *net, .route = route }, *more;
	struct key address = key_of(&net->ip), key = key_cut(&address, net->bits);
	struct entry **slot = slot_of(p, &key), *e = *slot;

	if (p->n == p->max)
		return;
	p->n++;
	if (!e) {
		*slot = e = &p->entries[p->n_entries++];
		*e = (struct entry){ .holder = holder, .key = key };
		note_length(&p->lengths[net->ip.len == 16], net->bits);
		return;
	}
	more = &p->more[p->n - 1 - p->n_entries];
	*more = is_first ? e->holder : holder;
	if (is_first)
		e->holder = holder;
	else
		more->next = e->holder.next;
	e->holder.next = more;
}

const struct prefix_holder *prefixes_find(const struct prefixes *p, const struct ip *ip)
{
	const struct lengths *l = &p->lengths[ip->len == 16];
	struct key address = key_of(ip);

	for (unsigned i = 0; i < l->n; i++) {
		struct key key = key_cut(&address, l->bits[i]);
		const struct entry *e = *slot_of(p, &key);

		if (e)
			return &e->holder;
	}
	return NULL;
}
