/* Each allocation in turn is refused: what was asked for is refused then, nothing else happens, nothing leaks (the sanitizer
 * looks). Linked with --wrap, so that the calls of the objects under test come here. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/mailbox.h"
#include "daemon/coordinator/directory.h"
#include "daemon/data/held.h"
#include "daemon/data/lane.h"
#include "daemon/peer/indices.h"
#include "daemon/peer/peers.h"
#include "tests/unit/dataplane.h"

static int before_refusal = -1; /* allocations that are granted still; < 0: all are */

static bool is_refused(void)
{
	return before_refusal >= 0 && before_refusal-- == 0;
}

/* The linker's names. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *__wrap_malloc(size_t size)
{
	return is_refused() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return is_refused() ? NULL : __real_calloc(n, size);
}

/* Calls `step` with the first allocation refused, the second, and so on, until it needs no more than are granted. Returns how
 * many refusals that were. */
static unsigned refuse_in_turn(bool (*step)(void *arg), void *arg)
{
	for (unsigned n = 0; n < 100; n++) {
		bool is_done;

		before_refusal = (int)n;
		is_done = step(arg);
		if (before_refusal >= 0) { /* it was not reached */
			before_refusal = -1;
			assert_true(is_done);
			return n;
		}
		assert_false(is_done);
	}
	fail_msg("no end of allocations");
	return 0;
}

#define PEERS 400 /* the tables grow more than once */

static struct wire_member record_of(unsigned nth)
{
	struct wire_member m = { .id = nth + 1, .n_addrs = 1, .addrs = { { .len = 4, .b = { 10, 77 } } } };

	m.addrs[0].b[2] = m.key[0] = m.name[0] = (uint8_t)(nth >> 8 | 0x40);
	m.addrs[0].b[3] = m.key[1] = (uint8_t)nth;
	m.name[1] = (char)('a' + nth % 16);
	m.name[2] = (char)('a' + nth / 16 % 16);
	return m;
}

struct putting {
	struct peers peers;
	unsigned nth;
};

static bool put_a_peer(void *arg)
{
	struct putting *t = arg;
	struct wire_member record = record_of(t->nth);
	unsigned n = t->peers.n;
	struct peer *displaced;
	bool is_new;
	struct peer *p = peers_put(&t->peers, &record, NULL, 0, &is_new, &displaced);

	assert_true(is_new);
	assert_null(displaced);
	assert_int_equal(t->peers.n, p ? n + 1 : n);
	/* Whoever was there is, and whoever was refused is nowhere. */
	for (unsigned i = 0; i <= t->nth; i++) {
		struct wire_member r = record_of(i);
		struct pubkey key;
		struct peer *found;

		memcpy(key.b, r.key, sizeof(key.b));
		found = peers_by_key(&t->peers, &key);
		assert_int_equal(found != NULL, i < t->nth || p);
		assert_ptr_equal(peers_by_member(&t->peers, 0, r.id), found);
		assert_ptr_equal(found ? peers_by_number(&t->peers, found->number) : NULL, found);
	}
	return p;
}

static void peer_there_is_no_memory_for_is_refused(void **state)
{
	static struct putting t;
	unsigned n_refused = 0;

	(void)state;
	memset(&t, 0, sizeof(t));
	for (; t.nth < PEERS; t.nth++)
		n_refused += refuse_in_turn(put_a_peer, &t);
	assert_true(n_refused > PEERS + 4); /* the tables', too */
	while (t.peers.by_number)
		peers_remove_take(&t.peers, t.peers.by_number);
	assert_int_equal(t.peers.n, 0);
}

/* ---------------------------------------------------------------- a coordinator's members */

#define LOADED_AT_ONCE 8

struct loading {
	struct directory *directory;
	struct config config;
	struct config_member members[PEERS];
	unsigned n_before;
	uint64_t version;
};

/* Whoever was there is, with name, id and addresses; nobody else is. */
static void check_members(const struct loading *l, unsigned n)
{
	assert_int_equal(directory_count(l->directory), n);
	for (unsigned i = 0; i < PEERS; i++) {
		const struct config_member *c = &l->members[i];
		struct member *m = directory_by_key(l->directory, &c->key);

		assert_int_equal(m != NULL, i < n);
		assert_ptr_equal(directory_by_name(l->directory, c->name), m);
		if (!m)
			continue;
		assert_true(m->id > 0);
		assert_ptr_equal(directory_by_id(l->directory, m->id), m);
		assert_ptr_equal(directory_by_address(l->directory, &m->address), m);
	}
}

static bool load_members(void *arg)
{
	struct directory_changes changes;
	struct loading *l = arg;
	int ret = directory_load(l->directory, &l->config, &changes);

	if (ret) {
		assert_int_equal(ret, -ENOMEM);
		assert_int_equal(directory_version(l->directory), l->version);
		check_members(l, l->n_before);
		return false;
	}
	assert_int_equal(changes.n_added, l->config.n_members - l->n_before);
	assert_int_equal(changes.n_changed + changes.n_removed, 0);
	directory_changes_fini(&changes);
	return true;
}

static void load_there_is_no_memory_for_changes_nothing(void **state)
{
	static struct loading l;
	char dir[] = "/tmp/warren_no_memory_XXXXXX", path[64], error[256];
	struct store *store;
	unsigned n_refused = 0;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/coordinator.db", dir);
	assert_int_equal(store_open(&store, path, error, sizeof(error)), 0);
	l = (struct loading){ .directory = directory_new(store, 1), .config.members = l.members };
	assert_int_equal(prefix_from_text(&l.config.network.prefix, "10.77.0.0/16"), 0);
	for (unsigned i = 0; i < PEERS; i++) {
		memcpy(l.members[i].key.b, (uint8_t[]){ 0x40, (uint8_t)(i >> 8), (uint8_t)i }, 3);
		snprintf(l.members[i].name, sizeof(l.members[i].name), "m%u", i);
	}
	while (l.config.n_members < PEERS) {
		l.n_before = l.config.n_members;
		l.version = directory_version(l.directory);
		l.config.n_members += LOADED_AT_ONCE;
		n_refused += refuse_in_turn(load_members, &l);
		check_members(&l, l.config.n_members);
	}
	/* The lists, two of each member, and the table, which grew. */
	assert_true(n_refused > PEERS / LOADED_AT_ONCE * 9 + 2 * PEERS + 2);
	directory_free(l.directory);
	store_close(store);
	unlink(path);
	rmdir(dir);
}

/* ---------------------------------------------------------------- what else is made */

static bool add_an_index(void *arg)
{
	enum index_kind kind;
	uint32_t index = indices_add(arg, INDEX_SESSION, arg);

	if (!index)
		return false;
	assert_ptr_equal(indices_find(arg, index, &kind), arg);
	return true;
}

static void index_there_is_no_memory_for_is_refused(void **state)
{
	struct indices *t = indices_new();
	unsigned n_refused = 0;

	(void)state;
	for (unsigned i = 0; i < PEERS; i++)
		n_refused += refuse_in_turn(add_an_index, t);
	assert_true(n_refused > PEERS + 2);
	indices_free(t);
}

static bool make_indices(void *arg)
{
	struct indices *t = indices_new();

	(void)arg;
	indices_free(t);
	return t;
}

static bool make_a_table(void *arg)
{
	struct table *t = table_new(200, 600);

	(void)arg;
	table_free(t);
	return t;
}

static bool make_a_shared_peer(void *arg)
{
	struct shared_peer *p = shared_peer_new(1);

	(void)arg;
	if (p)
		shared_peer_unref(p);
	return p;
}

static bool make_a_mailbox(void *arg)
{
	struct mailbox *b = mailbox_new(65536, 64);

	(void)arg;
	mailbox_free(b);
	return b;
}

static bool make_paths(void *arg)
{
	static const struct path_set_env env = { 0 };
	struct path_set *set = path_set_new(&env, NULL);

	(void)arg;
	path_set_free(set);
	return set;
}

static bool hold_a_packet(void *arg)
{
	struct held *h = held_new();
	int ret = h ? held_add(h, (const uint8_t *)"packet", 6) : -ENOMEM;

	(void)arg;
	held_free(h);
	return ret == 0;
}

static bool make_a_lane(void *arg)
{
	struct udp udp = { .fd = -1, .has_gro = true };
	struct lane lane = { .udp = &udp };
	int ret = lane_init(&lane, 1420);

	(void)arg;
	if (ret == 0)
		lane_fini(&lane);
	else
		assert_int_equal(ret, -ENOMEM);
	return ret == 0;
}

static void what_there_is_no_memory_for_is_not_made(void **state)
{
	static bool (*const makers[])(void *) = { make_indices, make_a_table, make_a_shared_peer, make_a_mailbox,
						  make_paths,   make_a_lane,  hold_a_packet };

	(void)state;
	for (size_t i = 0; i < sizeof(makers) / sizeof(makers[0]); i++)
		assert_true(refuse_in_turn(makers[i], NULL) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(peer_there_is_no_memory_for_is_refused),
		cmocka_unit_test(load_there_is_no_memory_for_changes_nothing),
		cmocka_unit_test(index_there_is_no_memory_for_is_refused),
		cmocka_unit_test(what_there_is_no_memory_for_is_not_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
