/* References are checked by counting and, under the address sanitizer, by what is freed too early or never. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "daemon/data/table.h"
#include "tests/unit/dataplane.h"

#define NEAR_INDEX 1000

struct fixture {
	struct session_pair sessions;
	struct link_pair links;
	struct shared_peer *peer;
};

static int set_up(void **state)
{
	static struct fixture f;

	f.sessions = session_pair_new(NEAR_INDEX, true, 0);
	f.links = link_pair_new(2 * NEAR_INDEX);
	f.peer = shared_peer_new(7);
	assert_non_null(f.peer);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	session_pair_free(&f->sessions);
	link_pair_free(&f->links);
	shared_peer_unref(f->peer);
	return 0;
}

static struct table_route route_of(struct fixture *f)
{
	struct table_route r = { .peer = f->peer, .session = f->sessions.near, .n_paths = 2, .n_addrs = 2 };

	r.paths[0].addr = (struct path_addr){ .kind = PATH_UDP, .endpoint = endpoint_of("192.0.2.1:27700") };
	r.paths[1].addr.kind = PATH_RELAY_UDP;
	r.paths[1].link = f->links.near;
	r.addrs[0] = ip_of("10.77.0.2");
	r.addrs[1] = ip_of("fd77::2");
	return r;
}

static struct table *table_of(struct fixture *f)
{
	struct table_route r = route_of(f);
	struct table *t = table_new(1, 2);
	const struct table_route *added;

	assert_non_null(t);
	t->own[t->n_own++] = ip_of("10.77.0.1");
	added = table_add_route(t, &r);
	assert_non_null(added);
	table_add_session(t, f->sessions.near, added);
	table_add_link(t, f->links.near, 3);
	return t;
}

static void route_is_found_by_its_addresses(void **state)
{
	struct fixture *f = *state;
	struct table *t = table_of(f);
	struct ip mine = ip_of("10.77.0.2"), six = ip_of("fd77::2"), nobodys = ip_of("10.77.0.3"),
		  own = ip_of("10.77.0.1");
	const struct table_route *r = table_find_addr(t, &mine);

	assert_non_null(r);
	assert_ptr_equal(r->peer, f->peer);
	assert_ptr_equal(r->session, f->sessions.near);
	assert_ptr_equal(table_find_addr(t, &six), r);
	assert_null(table_find_addr(t, &nobodys));
	assert_null(table_find_addr(t, &own));
	assert_true(table_may_come_from(t, r, &six));
	assert_false(table_may_come_from(t, r, &own));
	assert_true(table_is_own(t, &own));
	assert_false(table_is_own(t, &mine));
	table_free(t);
}

static void session_and_link_are_found_by_our_index(void **state)
{
	struct fixture *f = *state;
	struct table *t = table_of(f);
	struct ip mine = ip_of("10.77.0.2");
	const struct table_index *slot = table_find_index(t, NEAR_INDEX);

	assert_non_null(slot);
	assert_ptr_equal(slot->session, f->sessions.near);
	assert_ptr_equal(slot->route, table_find_addr(t, &mine));
	assert_null(slot->link);
	slot = table_find_index(t, 2 * NEAR_INDEX);
	assert_non_null(slot);
	assert_ptr_equal(slot->link, f->links.near);
	assert_int_equal(slot->coordinator, 3);
	assert_null(slot->session);
	assert_null(table_find_index(t, NEAR_INDEX + 1)); /* the far end's */
	assert_null(table_find_index(t, 0));
	table_free(t);
}

static void empty_table_finds_nothing(void **state)
{
	struct table *t = table_new(0, 0);
	struct ip ip = ip_of("10.77.0.2"), none = { 0 };

	(void)state;
	assert_non_null(t);
	assert_null(table_find_addr(t, &ip));
	assert_null(table_find_addr(t, &none));
	assert_null(table_find_index(t, 1));
	assert_false(table_is_own(t, &ip));
	table_free(t);
	table_free(NULL);
}

static void network(struct table *t, const char *text, const struct table_route *route, bool is_first)
{
	struct prefix p;

	assert_int_equal(prefix_from_text(&p, text), 0);
	table_add_network(t, &p, route, is_first);
}

static bool may_come(const struct table *t, const struct table_route *r, const char *src)
{
	struct ip ip = ip_of(src);

	return table_may_come_from(t, r, &ip);
}

static const struct table_route *leads(const struct table *t, const char *dst)
{
	struct ip ip = ip_of(dst);

	return table_find_addr(t, &ip);
}

/* Two peers: the first has 10.77.0.2 and all of 192.168/16, the second 10.77.0.3, a part of that, and shares 172.16.1/24. */
static void network_behind_a_peer_is_found_and_its_sources_are_that_peers(void **state)
{
	struct fixture *f = *state;
	struct table_route one = route_of(f), two = route_of(f);
	struct table *t = table_new(2, 0);
	const struct table_route *a, *b;

	two.n_addrs = 1;
	two.addrs[0] = ip_of("10.77.0.3");
	a = table_add_route(t, &one);
	b = table_add_route(t, &two);
	assert_null(leads(t, "192.168.1.1"));
	assert_false(may_come(t, a, "192.168.1.1"));
	assert_int_equal(table_make_networks(t, 5), 0);
	network(t, "192.168.0.0/16", a, true);
	network(t, "192.168.7.0/24", b, true);
	network(t, "172.16.1.0/24", b, true);
	network(t, "172.16.1.0/24", a, false); /* stands by */
	network(t, "172.16.2.0/24", NULL, true);
	assert_ptr_equal(leads(t, "192.168.1.1"), a);
	assert_ptr_equal(leads(t, "192.168.7.1"), b);
	assert_ptr_equal(leads(t, "172.16.1.1"), b);
	assert_ptr_equal(leads(t, "10.77.0.2"), a);
	assert_null(leads(t, "172.16.2.1"));
	assert_null(leads(t, "10.77.0.4"));
	assert_true(may_come(t, a, "192.168.1.1"));
	assert_false(may_come(t, b, "192.168.1.1"));
	/* What is in the second's part is the second's alone; what both have may come from both. */
	assert_false(may_come(t, a, "192.168.7.1"));
	assert_true(may_come(t, b, "192.168.7.1"));
	assert_true(may_come(t, a, "172.16.1.1"));
	assert_true(may_come(t, b, "172.16.1.1"));
	assert_false(may_come(t, a, "172.16.2.1"));
	assert_false(may_come(t, a, "10.77.0.3"));
	assert_true(may_come(t, a, "10.77.0.2"));
	table_free(t);
}

static void network_behind_us_is_ours(void **state)
{
	struct fixture *f = *state;
	struct table *t = table_of(f);
	struct ip inside = ip_of("192.168.9.77"), outside = ip_of("192.168.10.77"), own = ip_of("10.77.0.1");

	assert_false(table_is_own(t, &inside));
	assert_int_equal(prefix_from_text(&t->behind[t->n_behind++], "192.168.9.0/24"), 0);
	assert_true(table_is_own(t, &inside));
	assert_false(table_is_own(t, &outside));
	assert_true(table_is_own(t, &own));
	table_free(t);
}

static void table_holds_what_it_names(void **state)
{
	struct fixture *f = *state;
	struct table *t = table_of(f), *second = table_of(f);

	assert_int_equal(f->peer->refs, 3);
	assert_int_equal(f->sessions.near->refs, 5);
	assert_int_equal(f->links.near->refs, 5);
	table_free(second);
	assert_int_equal(f->peer->refs, 2);
	assert_int_equal(f->sessions.near->refs, 3);
	assert_int_equal(f->links.near->refs, 3);

	/* The loop's own references go first; the table's still hold. */
	shared_peer_unref(f->peer);
	session_unref(f->sessions.near);
	relay_link_unref(f->links.near);
	assert_int_equal(table_find_index(t, NEAR_INDEX)->session->local_index, NEAR_INDEX);
	assert_int_equal(table_find_index(t, NEAR_INDEX)->route->peer->id, 7);
	assert_int_equal(table_find_index(t, 2 * NEAR_INDEX)->link->local_index, 2 * NEAR_INDEX);
	table_free(t);
	f->peer = NULL;
	f->sessions.near = NULL;
	f->links.near = NULL;
}

static void what_does_not_fit_is_left_out_and_not_held(void **state)
{
	struct fixture *f = *state;
	struct table_route r = route_of(f);
	struct table *t = table_of(f);
	struct session_pair more = session_pair_new(5 * NEAR_INDEX, true, 0);
	struct link_pair more_links = link_pair_new(6 * NEAR_INDEX);

	assert_null(table_add_route(t, &r));
	table_add_session(t, more.near, &t->routes[0]);
	table_add_link(t, more_links.near, 0);
	assert_int_equal(f->peer->refs, 2);
	assert_int_equal(more.near->refs, 1);
	assert_int_equal(more_links.near->refs, 1);
	assert_null(table_find_index(t, 5 * NEAR_INDEX));
	assert_null(table_find_index(t, 6 * NEAR_INDEX));
	table_free(t);
	session_pair_free(&more);
	link_pair_free(&more_links);
}

static void index_and_address_keep_their_first_holder(void **state)
{
	struct fixture *f = *state;
	struct table_route r = route_of(f);
	struct shared_peer *other = shared_peer_new(8);
	struct table *t = table_new(2, 4);
	const struct table_route *first = table_add_route(t, &r), *second;
	struct link_pair clash = link_pair_new(NEAR_INDEX);

	r.peer = other;
	second = table_add_route(t, &r);
	assert_ptr_equal(table_find_addr(t, &r.addrs[0]), first);
	table_add_session(t, f->sessions.near, first);
	table_add_session(t, f->sessions.near, second);
	table_add_link(t, clash.near, 0);
	assert_ptr_equal(table_find_index(t, NEAR_INDEX)->route, first);
	assert_null(table_find_index(t, NEAR_INDEX)->link);
	assert_int_equal(clash.near->refs, 1);
	table_free(t);
	assert_int_equal(f->sessions.near->refs, 1);
	link_pair_free(&clash);
	shared_peer_unref(other);
}

#define MANY 3000

static void every_one_of_many_is_found(void **state)
{
	struct fixture *f = *state;
	struct table *t = table_new(MANY, MANY);
	struct table_route r = { .session = NULL, .n_addrs = 2 };
	static struct session_pair pairs[MANY];

	(void)f;
	assert_non_null(t);
	for (unsigned i = 0; i < MANY; i++) {
		const struct table_route *added;

		r.peer = shared_peer_new(i);
		r.addrs[0] = ip_of("10.77.0.0");
		r.addrs[0].b[2] = (uint8_t)(i >> 8);
		r.addrs[0].b[3] = (uint8_t)i;
		r.addrs[1] = ip_of("fd77::");
		r.addrs[1].b[14] = (uint8_t)(i >> 8);
		r.addrs[1].b[15] = (uint8_t)i;
		added = table_add_route(t, &r);
		assert_non_null(added);
		shared_peer_unref(r.peer);
		pairs[i] = session_pair_new(2 * i + 1, true, 0);
		table_add_session(t, pairs[i].near, added);
	}
	for (unsigned i = 0; i < MANY; i++) {
		const struct table_index *slot = table_find_index(t, 2 * i + 1);
		const struct table_route *route = slot->route;

		assert_ptr_equal(slot->session, pairs[i].near);
		assert_int_equal(route->peer->id, i);
		assert_ptr_equal(table_find_addr(t, &route->addrs[0]), route);
		assert_ptr_equal(table_find_addr(t, &route->addrs[1]), route);
		assert_null(table_find_index(t, 2 * i + 2));
	}
	table_free(t);
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(pairs[i].near->refs, 1);
		session_pair_free(&pairs[i]);
	}
}

static void old_table_waits_for_its_readers_alone(void **state)
{
	struct fixture *f = *state;
	struct tables tables;
	const struct table *held;

	tables_init(&tables);
	assert_null(tables_enter(&tables, 0));
	tables_leave(&tables, 0);
	tables_publish_take(&tables, table_of(f));
	assert_false(tables_reclaim(&tables));
	assert_int_equal(f->peer->refs, 2);

	held = tables_enter(&tables, 2);
	assert_non_null(held);
	tables_publish_take(&tables, table_of(f));
	assert_int_equal(f->peer->refs, 3);
	assert_true(tables_reclaim(&tables));
	assert_non_null(table_find_index(held, NEAR_INDEX));

	/* Who enters now holds the new one, and keeps no old one waiting. */
	assert_ptr_not_equal(tables_enter(&tables, 5), held);
	tables_leave(&tables, 2);
	assert_false(tables_reclaim(&tables));
	assert_int_equal(f->peer->refs, 2);

	tables_publish_take(&tables, table_of(f));
	tables_publish_take(&tables, table_of(f));
	assert_true(tables_reclaim(&tables));
	tables_leave(&tables, 5);
	assert_false(tables_reclaim(&tables));
	assert_int_equal(f->peer->refs, 2);
	tables_fini(&tables);
	assert_int_equal(f->peer->refs, 1);
}

static void every_publication_reclaims(void **state)
{
	struct fixture *f = *state;
	struct tables tables;

	tables_init(&tables);
	for (unsigned i = 0; i < 100; i++) {
		tables_publish_take(&tables, table_of(f));
		assert_int_equal(f->peer->refs, 2);
	}
	tables_fini(&tables);
}

#define READERS 4
#define PUBLICATIONS 10000

struct reader_thread {
	pthread_t thread;
	struct tables *tables;
	unsigned number;
	_Atomic bool *is_over;
	_Atomic uint64_t n_rounds;
	uint64_t n_wrong, last_id;
};

static void *read_all(void *arg)
{
	struct reader_thread *r = arg;
	struct ip ip;

	ip_from_bytes(&ip, (const uint8_t[]){ 10, 77, 0, 2 }, 4);
	while (!atomic_load_explicit(r->is_over, memory_order_relaxed)) {
		const struct table *t = tables_enter(r->tables, r->number);
		const struct table_route *route = table_find_addr(t, &ip);
		const struct table_index *slot = table_find_index(t, NEAR_INDEX);

		/* The peer's number grows from table to table, and a table agrees with itself. */
		if (!route || !slot || slot->route != route || slot->session->local_index != NEAR_INDEX ||
		    route->peer->id < r->last_id || route->paths[1].link->local_index != 2 * NEAR_INDEX)
			r->n_wrong++;
		else
			r->last_id = route->peer->id;
		tables_leave(r->tables, r->number);
		atomic_fetch_add_explicit(&r->n_rounds, 1, memory_order_relaxed);
	}
	return NULL;
}

/* A peer, session and link of its own for each table: what is freed too early is memory that a reader looks at. */
static struct table *fresh_table(uint64_t id)
{
	struct fixture f;
	void *state;
	struct table *t;

	set_up(&state);
	f = *(struct fixture *)state;
	f.peer->id = id;
	t = table_of(&f);
	state = &f;
	tear_down(&state);
	return t;
}

static void readers_see_whole_tables_while_the_loop_publishes(void **state)
{
	struct tables tables;
	struct reader_thread readers[READERS];
	_Atomic bool is_over = false;

	(void)state;
	tables_init(&tables);
	tables_publish_take(&tables, fresh_table(1));
	for (unsigned i = 0; i < READERS; i++) {
		readers[i] = (struct reader_thread){ .tables = &tables, .number = i, .is_over = &is_over };
		assert_int_equal(pthread_create(&readers[i].thread, NULL, read_all, &readers[i]), 0);
	}
	for (uint64_t id = 2; id <= PUBLICATIONS; id++)
		tables_publish_take(&tables, fresh_table(id));
	/* All that was replaced goes, though readers never stop. */
	while (tables_reclaim(&tables))
		sched_yield();
	for (unsigned i = 0; i < READERS; i++)
		while (readers[i].n_rounds == 0)
			sched_yield();
	is_over = true;
	for (unsigned i = 0; i < READERS; i++) {
		pthread_join(readers[i].thread, NULL);
		assert_int_equal(readers[i].n_wrong, 0);
		assert_in_range(readers[i].last_id, 1, PUBLICATIONS);
	}
	tables_fini(&tables);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(route_is_found_by_its_addresses),
		TEST(session_and_link_are_found_by_our_index),
		TEST(empty_table_finds_nothing),
		TEST(network_behind_a_peer_is_found_and_its_sources_are_that_peers),
		TEST(network_behind_us_is_ours),
		TEST(table_holds_what_it_names),
		TEST(what_does_not_fit_is_left_out_and_not_held),
		TEST(index_and_address_keep_their_first_holder),
		TEST(every_one_of_many_is_found),
		TEST(old_table_waits_for_its_readers_alone),
		TEST(every_publication_reclaims),
		cmocka_unit_test(readers_see_whole_tables_while_the_loop_publishes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
