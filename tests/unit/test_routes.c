#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "daemon/peer/routes.h"
#include "tests/unit/dataplane.h"

#define T0 1000

static struct prefix net_of(const char *text)
{
	struct prefix p;

	assert_int_equal(prefix_from_text(&p, text), 0);
	return p;
}

/* A file with two peers: "gw1" { a, b } and "gw2" { c }. */
struct file {
	struct config config;
	struct config_peer peers[2];
};

static void name(struct file *f, unsigned peer, const char *who, const char *const *nets)
{
	struct config_peer *p = &f->peers[peer];

	snprintf(p->name, sizeof(p->name), "%s", who);
	for (; *nets; nets++)
		p->routes.v[p->routes.n++] = net_of(*nets);
	f->config.peers = f->peers;
	f->config.n_peers = peer + 1;
}

static struct routes routes_of(struct file *f)
{
	static const struct routes none;
	struct routes r = { 0 };

	assert_int_equal(routes_new(&r, &f->config, &none, T0), 0);
	return r;
}

/* What is known of the peer of a route: its key begins with that byte. */
static void know(struct routes *r, unsigned i, uint8_t key, enum route_reach reach)
{
	r->v[i].peer = key;
	r->v[i].key.b[0] = key;
	r->v[i].reach = reach;
	r->v[i].is_certified = true;
}

static bool judge(struct routes *r, uint64_t now_ms)
{
	const struct prefix mesh = net_of("10.77.0.2/16");
	const struct routes_around around = {
		.n_mesh = 1, .mesh = &mesh, .n_coordinators = 1, .coordinators = { ip_of("198.51.100.2") }
	};

	return routes_judge(r, &around, now_ms);
}

static const char *found(const struct routes *r, const char *ip)
{
	struct ip at = ip_of(ip);
	const struct route *route = routes_find(r, &at);

	return route ? route->name : "nobody";
}

static void route_is_used_when_its_peer_is_known(void **state)
{
	struct file f = { 0 };
	struct routes r;

	(void)state;
	name(&f, 0, "gw1", (const char *const[]){ "192.168.7.0/24", NULL });
	r = routes_of(&f);
	assert_int_equal(r.n, 1);
	assert_false(judge(&r, T0));
	assert_int_equal(r.v[0].state, ROUTE_NO_MEMBER);
	assert_string_equal(found(&r, "192.168.7.9"), "nobody");
	know(&r, 0, 1, ROUTE_REACH_IDLE);
	assert_true(judge(&r, T0 + 1));
	assert_int_equal(r.v[0].state, ROUTE_IN_USE);
	assert_int_equal(r.v[0].since_ms, T0 + 1);
	assert_string_equal(found(&r, "192.168.7.9"), "gw1");
	assert_string_equal(found(&r, "192.168.8.9"), "nobody");
	/* One that is away keeps it: its packets are answered, and go nowhere else. */
	know(&r, 0, 1, ROUTE_REACH_DOWN);
	assert_true(judge(&r, T0 + 2));
	assert_int_equal(r.v[0].state, ROUTE_PEER_DOWN);
	assert_string_equal(found(&r, "192.168.7.9"), "gw1");
	assert_false(judge(&r, T0 + 3));
	assert_int_equal(r.v[0].since_ms, T0 + 2);
	routes_free(&r);
}

static void certificate_must_have_it(void **state)
{
	struct file f = { 0 };
	struct routes r;

	(void)state;
	name(&f, 0, "gw1", (const char *const[]){ "192.168.7.0/24", "192.168.0.0/16", NULL });
	r = routes_of(&f);
	know(&r, 0, 1, ROUTE_REACH_UP);
	know(&r, 1, 1, ROUTE_REACH_UP);
	r.v[1].is_certified = false;
	judge(&r, T0);
	assert_int_equal(r.v[1].state, ROUTE_NOT_CERTIFIED);
	assert_string_equal(found(&r, "192.168.7.9"), "gw1");
	assert_string_equal(found(&r, "192.168.8.9"), "nobody");
	routes_free(&r);
}

static void what_the_mesh_itself_needs_is_no_peers(void **state)
{
	static const char *const nets[] = { "10.77.3.0/24", "10.0.0.0/8", "198.51.100.0/24", "10.78.0.0/16", NULL };
	static const enum route_state states[] = { ROUTE_IN_MESH, ROUTE_IN_MESH, ROUTE_AROUND_COORDINATOR,
						   ROUTE_IN_USE };
	struct file f = { 0 };
	struct routes r;

	(void)state;
	name(&f, 0, "gw1", nets);
	r = routes_of(&f);
	for (unsigned i = 0; i < 4; i++)
		know(&r, i, 1, ROUTE_REACH_UP);
	judge(&r, T0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(r.v[i].state, states[i]);
	assert_string_equal(found(&r, "10.77.3.1"), "nobody");
	routes_free(&r);
}

static void longest_prefix_counts(void **state)
{
	struct file f = { 0 };
	struct routes r;

	(void)state;
	name(&f, 0, "gw1", (const char *const[]){ "192.168.0.0/16", NULL });
	name(&f, 1, "gw2", (const char *const[]){ "192.168.7.0/24", NULL });
	r = routes_of(&f);
	know(&r, 0, 1, ROUTE_REACH_UP);
	know(&r, 1, 2, ROUTE_REACH_DOWN);
	judge(&r, T0);
	assert_string_equal(found(&r, "192.168.7.9"), "gw2");
	assert_string_equal(found(&r, "192.168.8.9"), "gw1");
	routes_free(&r);
}

static void of_two_with_one_prefix_the_reachable_one_has_it_else_the_lowest_key(void **state)
{
	static const struct {
		enum route_reach first, second;
		const char *has;
	} cases[] = {
		{ ROUTE_REACH_UP, ROUTE_REACH_UP, "gw2" },     { ROUTE_REACH_UP, ROUTE_REACH_IDLE, "gw1" },
		{ ROUTE_REACH_IDLE, ROUTE_REACH_UP, "gw2" },   { ROUTE_REACH_IDLE, ROUTE_REACH_IDLE, "gw2" },
		{ ROUTE_REACH_IDLE, ROUTE_REACH_DOWN, "gw1" }, { ROUTE_REACH_DOWN, ROUTE_REACH_DOWN, "gw2" },
	};
	const struct prefix net = net_of("192.168.7.0/24");
	struct file f = { 0 };
	struct routes r;

	(void)state;
	name(&f, 0, "gw1", (const char *const[]){ "192.168.7.0/24", NULL });
	name(&f, 1, "gw2", (const char *const[]){ "192.168.7.0/24", NULL });
	r = routes_of(&f);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned has = strcmp(cases[i].has, "gw2") == 0;

		know(&r, 0, 9, cases[i].first);
		know(&r, 1, 3, cases[i].second);
		judge(&r, T0);
		assert_string_equal(found(&r, "192.168.7.9"), cases[i].has);
		assert_ptr_equal(routes_active(&r, &net), &r.v[has]);
		assert_int_equal(r.v[!has].state, ROUTE_STANDBY);
		assert_ptr_equal(r.v[!has].before, &r.v[has]);
	}
	/* One whose certificate does not have it is in nobody's way. */
	know(&r, 0, 9, ROUTE_REACH_DOWN);
	know(&r, 1, 3, ROUTE_REACH_UP);
	r.v[1].is_certified = false;
	judge(&r, T0);
	assert_string_equal(found(&r, "192.168.7.9"), "gw1");
	assert_int_equal(r.v[1].state, ROUTE_NOT_CERTIFIED);
	routes_free(&r);
}

static void another_file_keeps_what_it_names_still(void **state)
{
	struct file f = { 0 }, g = { 0 };
	struct routes r, next;

	(void)state;
	name(&f, 0, "gw1", (const char *const[]){ "192.168.7.0/24", "192.168.8.0/24", NULL });
	r = routes_of(&f);
	know(&r, 0, 1, ROUTE_REACH_UP);
	know(&r, 1, 1, ROUTE_REACH_UP);
	judge(&r, T0 + 5);
	r.v[0].is_installed = r.v[1].is_installed = true;
	name(&g, 0, "gw0", (const char *const[]){ "192.168.8.0/24", NULL });
	name(&g, 1, "gw1", (const char *const[]){ "192.168.7.0/24", "192.168.9.0/24", NULL });
	assert_int_equal(routes_new(&next, &g.config, &r, T0 + 9), 0);
	assert_int_equal(next.n, 3);
	assert_string_equal(next.v[0].name, "gw0"); /* the same prefix, and another's */
	assert_false(next.v[0].is_installed);
	assert_int_equal(next.v[0].state, ROUTE_NO_MEMBER);
	assert_int_equal(next.v[0].since_ms, T0 + 9);
	assert_true(next.v[1].is_installed);
	assert_int_equal(next.v[1].state, ROUTE_IN_USE);
	assert_int_equal(next.v[1].since_ms, T0 + 5);
	assert_false(next.v[2].is_installed);
	routes_free(&r);
	routes_free(&next);
	routes_free(&next);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(route_is_used_when_its_peer_is_known),
		cmocka_unit_test(certificate_must_have_it),
		cmocka_unit_test(what_the_mesh_itself_needs_is_no_peers),
		cmocka_unit_test(longest_prefix_counts),
		cmocka_unit_test(of_two_with_one_prefix_the_reachable_one_has_it_else_the_lowest_key),
		cmocka_unit_test(another_file_keeps_what_it_names_still),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
