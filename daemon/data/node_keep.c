/* What is kept in state_dir: node.json and the list of revocations at once, the file of peers (cache.h) a while after it is other
 * than before. What could not be written is written as soon as that is possible again.
 *
 * The cached peers are those of the life before, until a coordinator that knew them lists its members: who is not among them is
 * gone. While no coordinator is there, those we talked to are called: they, or the NAT between, may wait for our datagrams. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "daemon/base/dirs.h"
#include "daemon/base/files.h"
#include "daemon/data/cache.h"
#include "daemon/data/node_private.h"

#define WRITE_AFTER_MS 1000 /* a change seldom comes alone */
#define WRITE_EVERY_MS 5000 /* at most */
#define WRITE_AGAIN_MS 3000 /* after a failure */
#define ALONE_AFTER_MS 1000 /* coordinators that are there answer sooner */
#define ALONE_SPREAD_MS 500
#define ALONE_CALLS_MAX 64

/* ---------------------------------------------------------------- writing */

static void write_at(struct node *n, uint64_t at_ms)
{
	if (at_ms < n->kept.write_ms)
		n->kept.write_ms = at_ms;
	node_due(n, n->kept.write_ms);
}

/* The file of peers is to be written although it may be the same as before. */
static void forget_written(struct node *n)
{
	memset(n->kept.hash, 0, sizeof(n->kept.hash));
	n->kept.is_stale = true;
}

/* Said once, not at each try. */
static bool is_written(struct node *n, const char *file, int ret)
{
	if (ret < 0 && n->kept.error != ret)
		log_error("%s/%s: cannot be written: %s; the file before it stays, and it is tried again", n->state_dir,
			  file, strerror(-ret));
	if (ret < 0) {
		n->kept.error = ret;
		forget_written(n); /* the directory may be another one by then */
		write_at(n, clock_now_ms() + WRITE_AGAIN_MS);
	}
	return ret >= 0;
}

/* Somebody may have removed the directory. */
static bool replace(struct node *n, const char *file, const void *data, size_t len)
{
	int ret = dirs_make(n->state_dir, 0700);

	if (ret == 0)
		ret = files_replace(n->state_dir, file, data, len);
	return is_written(n, file, ret);
}

void node_save_state(struct node *n)
{
	n->kept.is_state_unsaved = !is_written(n, STATE_FILE, state_write(&n->state, n->state_dir));
}

void node_save_revocations(struct node *n)
{
	size_t len;
	const uint8_t *list = revocations_list(trust_revocations(n->trust), &len);

	n->kept.is_list_unsaved = !replace(n, NODE_REVOCATIONS_FILE, list, len);
}

void node_keep_changed(struct node *n)
{
	uint64_t now = clock_now_ms(), next = now + WRITE_AFTER_MS;

	n->kept.is_stale = true;
	if (n->kept.written_ms && n->kept.written_ms + WRITE_EVERY_MS > next)
		next = n->kept.written_ms + WRITE_EVERY_MS;
	write_at(n, next);
}

/* The way that carries data now is the first to be tried then. */
static void add_path_in_use(struct candidates *c, const struct path *best)
{
	struct candidate used = { .kind = CANDIDATE_OTHER };

	if (!best || best->addr.kind != PATH_UDP || best->addr.socket || best->addr.endpoint.scope)
		return;
	used.endpoint = best->addr.endpoint;
	for (unsigned i = 0; i < c->n; i++)
		if (endpoint_equal(&c->v[i].endpoint, &used.endpoint) && !candidate_is_tcp(c->v[i].kind))
			return;
	if (c->n < WIRE_CANDIDATES_MAX)
		c->n++;
	memmove(&c->v[1], &c->v[0], (c->n - 1) * sizeof(c->v[0]));
	c->v[0] = used;
}

static void add_peer(const struct node *n, struct cache_writer *w, const struct peer *p, bool is_in_contact)
{
	struct cache_peer c = { .key = p->key, .n_addrs = p->n_addrs, .endpoints = p->there };

	for (unsigned i = 0; i < n->n_links; i++)
		if (peers_is_known_at(p, i))
			c.known_at |= (uint8_t)(1u << i);
	if (!c.known_at || !c.n_addrs || !peers_is_listed(&n->peers, p))
		return;
	memcpy(c.name, p->name, sizeof(c.name));
	memcpy(c.addrs, p->addrs, sizeof(c.addrs));
	if (p->paths)
		add_path_in_use(&c.endpoints, path_set_best(p->paths));
	c.flags |= c.endpoints.n ? CACHE_HAS_ENDPOINTS : 0;
	c.flags |= is_in_contact ? CACHE_IN_CONTACT : 0;
	cache_add(w, &c);
}

/* Until this life is as old as contact lasts, those of the life before that were not reached yet count too. */
static bool is_in_contact(const struct node *n, const struct peer *p, uint64_t now_ms)
{
	if (p->was_in_contact && !p->settled_index && now_ms - n->started_ms < n->reject_after_ms)
		return true;
	return p->paths && node_is_in_contact(p, now_ms);
}

/* Zeros without a network key. */
static struct cert_network network_of(const struct node *n)
{
	struct cert_network network = { 0 };

	if (n->trust)
		cert_network_of(&network, trust_network(n->trust));
	return network;
}

static size_t encode(struct node *n, uint8_t *out, uint64_t now_ms)
{
	struct cache_head head = { .own = n->identity.public, .network = network_of(n), .n_coordinators = n->n_links };
	struct cache_writer w;

	for (unsigned i = 0; i < n->n_links; i++)
		head.coordinators[i] = link_config(n->links[i])->key;
	cache_begin(&w, out, &head);
	for (int turn = 1; turn >= 0; turn--)
		for (struct peer *p = n->peers.by_number; p && cache_has_room(&w); p = p->by_number.next)
			if (is_in_contact(n, p, now_ms) == turn)
				add_peer(n, &w, p, turn);
	return cache_end(&w);
}

static void write_peers(struct node *n, uint64_t now_ms)
{
	uint8_t *file = malloc(CACHE_MAX_BYTES);
	size_t len = file ? encode(n, file, now_ms) : 0;
	const uint8_t *hash = file + CACHE_HEAD_BYTES - CACHE_HASH_BYTES;

	static_assert(sizeof(n->kept.hash) == CACHE_HASH_BYTES, "they are compared");
	n->kept.written_ms = now_ms;
	n->kept.is_stale = false;
	if (len && memcmp(n->kept.hash, hash, CACHE_HASH_BYTES) != 0) {
		n->kept.is_stale = !replace(n, CACHE_FILE, file, len);
		if (!n->kept.is_stale)
			memcpy(n->kept.hash, hash, CACHE_HASH_BYTES);
	}
	free(file);
}

static void write_all(struct node *n, uint64_t now_ms)
{
	struct kept *k = &n->kept;
	bool was_failing = k->error != 0;

	k->write_ms = UINT64_MAX;
	if (k->is_state_unsaved)
		node_save_state(n);
	if (k->is_list_unsaved)
		node_save_revocations(n);
	if (k->is_started && k->is_stale)
		write_peers(n, now_ms);
	if (!was_failing || k->is_state_unsaved || k->is_list_unsaved || k->is_stale)
		return;
	k->error = 0;
	log_info("%s: can be written again, and holds all that it should", n->state_dir);
}

/* ---------------------------------------------------------------- reading */

static void set_aside(struct node *n, const char *file, const char *why)
{
	int ret = files_set_aside(n->state_dir, file);

	if (ret < 0)
		log_warn("%s/%s: %s, and not used; it stays where it is: %s", n->state_dir, file, why, strerror(-ret));
	else
		log_warn("%s/%s: %s, and not used; it is %s.bad now", n->state_dir, file, why, file);
}

void node_keep_start(struct node *n)
{
	int ret = state_read(&n->state, n->state_dir);

	n->kept = (struct kept){ .write_ms = UINT64_MAX, .confirm_ms = UINT64_MAX, .alone_ms = UINT64_MAX };
	if (ret == -EUCLEAN)
		set_aside(n, STATE_FILE, "damaged");
	else if (ret < 0 && ret != -ENOENT)
		log_warn("%s/" STATE_FILE ": cannot be read, starting without: %s", n->state_dir, strerror(-ret));
	n->wall_floor_ms = n->state.wall_floor_ms;
}

/* Coordinators may stand elsewhere in the configuration than they did. */
static uint8_t bits_now(const struct node *n, const struct cache_head *head, uint8_t known_at)
{
	uint8_t bits = 0;

	for (unsigned i = 0; i < n->n_links; i++)
		for (unsigned k = 0; k < head->n_coordinators; k++)
			if (known_at >> k & 1 && pubkey_equal(&head->coordinators[k], &link_config(n->links[i])->key))
				bits |= (uint8_t)(1u << i);
	return bits;
}

static void recall_peer(void *arg, const struct cache_head *head, const struct cache_peer *c)
{
	struct cert_network network = network_of(arg);
	struct node *n = arg;
	struct peer *p;

	if (!pubkey_equal(&head->own, &n->identity.public) || pubkey_equal(&c->key, &n->identity.public) ||
	    memcmp(head->network.b, network.b, sizeof(network.b)) != 0)
		return;
	p = peers_recall(&n->peers, &c->key, c->name, c->addrs, c->n_addrs, bits_now(n, head, c->known_at));
	if (!p)
		return;
	p->has_there = c->flags & CACHE_HAS_ENDPOINTS;
	p->there = c->endpoints;
	p->was_in_contact = c->flags & CACHE_IN_CONTACT;
}

static bool is_to_be_called(const struct peer *p)
{
	return p->was_in_contact && p->has_there && !p->settled_index;
}

/* Before anything of ours reaches the NAT of the other, and of the other ours: a NAT that saw a datagram from there before it saw
 * one to there gives the flow another port, which nobody knows. Both were perhaps without power, and start at one time. */
static void open_ways(struct node *n, uint64_t now_ms)
{
	unsigned opened = 0;

	for (struct peer *p = n->peers.by_number; p && opened < ALONE_CALLS_MAX; p = p->by_number.next)
		if (is_to_be_called(p) && node_set_up_peer(n, p) == 0) {
			opened++;
			path_set_open(p->paths, now_ms);
			node_mark_peer(n, p);
		}
}

void node_keep_recall(struct node *n, uint64_t now_ms)
{
	uint8_t *file = malloc(CACHE_MAX_BYTES);
	char path[4096];
	int len = -ENOMEM;

	snprintf(path, sizeof(path), "%s/" CACHE_FILE, n->state_dir);
	if (file)
		len = files_read(path, file, CACHE_MAX_BYTES);
	if (len >= 0)
		len = cache_decode(file, (size_t)len, recall_peer, n);
	free(file);
	if (len == -EPROTONOSUPPORT || len == -EBADMSG || len == -EFBIG)
		set_aside(n, CACHE_FILE, len == -EBADMSG ? "damaged" : "not a file of this version of warren");
	else if (len < 0 && len != -ENOENT)
		log_warn("%s: cannot be read, starting without: %s", path, strerror(-len));
	n->kept.is_started = true;
	if (!n->peers.n)
		return;
	log_info("%u peers are known from before", n->peers.n);
	open_ways(n, now_ms);
	n->kept.alone_ms = now_ms + ALONE_AFTER_MS + randombytes_uniform(ALONE_SPREAD_MS);
	node_due(n, n->kept.alone_ms);
}

void node_keep_stop(struct node *n)
{
	if (n->kept.is_started)
		forget_written(n);
	write_all(n, clock_now_ms());
}

/* ---------------------------------------------------------------- in time */

/* A coordinator that is there and has not said yet who is still a member. */
static bool is_to_be_confirmed(const struct node *n)
{
	for (const struct peer *p = n->peers.by_number; p; p = p->by_number.next)
		for (unsigned i = 0; i < n->n_links; i++)
			if (p->cached >> i & 1 && link_is_registered(n->links[i]))
				return true;
	return false;
}

void node_keep_registered(struct node *n, uint64_t now_ms)
{
	n->kept.confirm_ms = now_ms;
	n->kept.alone_ms = UINT64_MAX;
	node_due(n, now_ms);
}

static void confirm(struct node *n, uint64_t now_ms)
{
	n->kept.confirm_ms = UINT64_MAX;
	if (!is_to_be_confirmed(n))
		return;
	node_fetch_directory(n);
	n->kept.confirm_ms = now_ms + NODE_PAGE_MS; /* it has limits, and may have refused */
}

static void call_all(struct node *n)
{
	unsigned called = 0;

	n->kept.alone_ms = UINT64_MAX;
	for (struct peer *p = n->peers.by_number; p && called < ALONE_CALLS_MAX; p = p->by_number.next)
		if (is_to_be_called(p)) {
			called++;
			node_want_peer(n, p);
		}
	if (called)
		log_info("no coordinator answers: calling %u peers that were talked to before", called);
}

void node_keep_tick(struct node *n, uint64_t now_ms)
{
	if (now_ms >= n->kept.write_ms)
		write_all(n, now_ms);
	if (now_ms >= n->kept.confirm_ms)
		confirm(n, now_ms);
	if (now_ms >= n->kept.alone_ms)
		call_all(n);
}

uint64_t node_keep_next_ms(const struct node *n)
{
	const struct kept *k = &n->kept;
	uint64_t next = k->write_ms < k->confirm_ms ? k->write_ms : k->confirm_ms;

	return k->alone_ms < next ? k->alone_ms : next;
}
