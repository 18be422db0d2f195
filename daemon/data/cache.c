#include "daemon/data/cache.h"

#include <errno.h>
#include <string.h>

#include "crypto/mac.h"
#include "daemon/wire/text.h"

#define MAGIC "warren-members-2"
#define MAGIC_BYTES 16
#define KNOWN_FLAGS (CACHE_HAS_ENDPOINTS | CACHE_IN_CONTACT)

static_assert(sizeof(MAGIC) - 1 == MAGIC_BYTES, "as the format says");
static_assert(CACHE_PEERS_MAX <= UINT16_MAX, "the count's field holds it");

/* ---------------------------------------------------------------- writing */

void cache_begin(struct cache_writer *c, uint8_t *out, const struct cache_head *head)
{
	*c = (struct cache_writer){ .w = writer_of(out, CACHE_MAX_BYTES) };
	writer_put(&c->w, MAGIC, MAGIC_BYTES);
	writer_zero(&c->w, CACHE_HASH_BYTES);
	writer_put(&c->w, head->own.b, KEY_BYTES);
	writer_put(&c->w, head->network.b, CERT_NETWORK_BYTES);
	writer_u8(&c->w, (uint8_t)head->n_coordinators);
	for (unsigned i = 0; i < head->n_coordinators; i++)
		writer_put(&c->w, head->coordinators[i].b, KEY_BYTES);
	c->count = writer_reserve(&c->w, 2);
}

bool cache_has_room(const struct cache_writer *c)
{
	return c->n_peers < CACHE_PEERS_MAX;
}

void cache_add(struct cache_writer *c, const struct cache_peer *p)
{
	if (!cache_has_room(c))
		return;
	c->n_peers++;
	writer_put(&c->w, p->key.b, KEY_BYTES);
	wire_text_write(&c->w, p->name);
	writer_u8(&c->w, (uint8_t)p->n_addrs);
	for (unsigned i = 0; i < p->n_addrs; i++)
		wire_ip_write(&c->w, &p->addrs[i]);
	writer_u8(&c->w, p->flags);
	writer_u8(&c->w, p->known_at);
	if (p->flags & CACHE_HAS_ENDPOINTS)
		wire_candidates_write(&c->w, &p->endpoints);
}

size_t cache_end(struct cache_writer *c)
{
	struct writer count = writer_of(c->count, c->count ? 2 : 0);
	int len = writer_finish(&c->w);

	if (len < 0)
		return 0;
	writer_be16(&count, (uint16_t)c->n_peers);
	hash_bytes(c->w.begin + MAGIC_BYTES, c->w.begin + CACHE_HEAD_BYTES, (size_t)len - CACHE_HEAD_BYTES);
	return (size_t)len;
}

/* ---------------------------------------------------------------- reading */

static void read_peer(struct reader *r, const struct cache_head *head, struct cache_peer *p)
{
	*p = (struct cache_peer){ 0 };
	reader_copy(r, p->key.b, KEY_BYTES);
	wire_name_read(r, p->name);
	p->n_addrs = reader_u8(r);
	if (p->n_addrs == 0 || p->n_addrs > WIRE_ADDRS_MAX) {
		r->failed = true;
		p->n_addrs = 0;
	}
	for (unsigned i = 0; i < p->n_addrs; i++) {
		wire_ip_read(r, &p->addrs[i]);
		if (ip_is_none(&p->addrs[i]))
			r->failed = true;
	}
	p->flags = reader_u8(r);
	p->known_at = reader_u8(r);
	if (p->flags & ~KNOWN_FLAGS || p->known_at >> head->n_coordinators)
		r->failed = true;
	if (p->flags & CACHE_HAS_ENDPOINTS)
		wire_candidates_read(r, &p->endpoints);
}

static void read_head(struct reader *r, struct cache_head *head)
{
	*head = (struct cache_head){ 0 };
	reader_copy(r, head->own.b, KEY_BYTES);
	reader_copy(r, head->network.b, CERT_NETWORK_BYTES);
	head->n_coordinators = reader_u8(r);
	if (head->n_coordinators > CONFIG_COORDINATORS_MAX) {
		r->failed = true;
		head->n_coordinators = 0;
	}
	for (unsigned i = 0; i < head->n_coordinators; i++)
		reader_copy(r, head->coordinators[i].b, KEY_BYTES);
}

/* True if it reads to its end. */
static bool read_body(struct reader r, cache_peer_fn *fn, void *arg)
{
	struct cache_head head;
	struct cache_peer p;
	unsigned n_peers;

	read_head(&r, &head);
	n_peers = reader_be16(&r);
	if (n_peers > CACHE_PEERS_MAX)
		return false;
	for (unsigned i = 0; i < n_peers && reader_ok(&r); i++) {
		read_peer(&r, &head, &p);
		if (fn)
			fn(arg, &head, &p);
	}
	return reader_at_end(&r);
}

int cache_decode(const uint8_t *data, size_t len, cache_peer_fn *fn, void *arg)
{
	struct reader r = reader_of(data, len);
	const uint8_t *magic = reader_take(&r, MAGIC_BYTES), *hash = reader_take(&r, CACHE_HASH_BYTES);
	uint8_t actual[CACHE_HASH_BYTES];

	if (!magic || memcmp(magic, MAGIC, MAGIC_BYTES) != 0)
		return -EPROTONOSUPPORT;
	if (!hash)
		return -EBADMSG;
	hash_bytes(actual, data + CACHE_HEAD_BYTES, len - CACHE_HEAD_BYTES);
	if (memcmp(hash, actual, CACHE_HASH_BYTES) != 0 || !read_body(r, NULL, NULL))
		return -EBADMSG;
	read_body(r, fn, arg);
	return 0;
}
