#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/data/prefixes.h"
#include "daemon/data/table.h"
#include "tests/unit/dataplane.h"

static struct prefix net_of(const char *text)
{
	struct prefix p;

	assert_int_equal(prefix_from_text(&p, text), 0);
	p.ip = prefix_network(&p);
	return p;
}

static void add(struct prefixes *p, const char *net, const struct table_route *route, bool is_first)
{
	struct prefix n = net_of(net);

	prefixes_add(p, &n, route, is_first);
}

static const struct prefix_holder *find(const struct prefixes *p, const char *ip)
{
	struct ip at = ip_of(ip);

	return prefixes_find(p, &at);
}

static void the_longest_prefix_is_found(void **state)
{
	struct table_route a, b, c;
	struct prefixes *p = prefixes_new(4);

	(void)state;
	add(p, "192.168.0.0/16", &a, true);
	add(p, "192.168.7.128/25", &b, true);
	add(p, "fd12::/16", &c, true);
	assert_ptr_equal(find(p, "192.168.7.1")->route, &a);
	assert_ptr_equal(find(p, "192.168.7.128")->route, &b);
	assert_ptr_equal(find(p, "192.168.7.255")->route, &b);
	assert_ptr_equal(find(p, "192.168.8.0")->route, &a);
	assert_null(find(p, "192.169.0.0"));
	assert_null(find(p, "192.167.255.255"));
	assert_ptr_equal(find(p, "fd12:ffff::1")->route, &c);
	assert_null(find(p, "fd13::1"));
	/* A host's whole address is a prefix too, and nothing of the other family is found by the same bytes. */
	add(p, "192.168.7.200/32", &c, true);
	assert_ptr_equal(find(p, "192.168.7.200")->route, &c);
	assert_ptr_equal(find(p, "192.168.7.201")->route, &b);
	assert_null(find(p, "c0a8:700::"));
	prefixes_free(p);
	prefixes_free(NULL);
}

static void one_prefix_has_its_holders_in_order(void **state)
{
	struct table_route a, b, c;
	struct prefixes *p = prefixes_new(3);
	const struct prefix_holder *h;

	(void)state;
	add(p, "10.1.0.0/16", &a, false);
	add(p, "10.1.0.0/16", &b, true);
	add(p, "10.1.0.0/16", &c, false);
	h = find(p, "10.1.2.3");
	assert_ptr_equal(h->route, &b);
	assert_non_null(h->next);
	assert_ptr_equal(h->next->route, &c);
	assert_ptr_equal(h->next->next->route, &a);
	assert_null(h->next->next->next);
	prefixes_free(p);
}

static void one_too_many_is_left_out(void **state)
{
	struct table_route a;
	struct prefixes *p = prefixes_new(0), *q = prefixes_new(1);

	(void)state;
	add(p, "10.1.0.0/16", &a, true);
	assert_null(find(p, "10.1.0.1"));
	add(q, "10.1.0.0/16", NULL, true);
	add(q, "10.2.0.0/16", &a, true);
	assert_non_null(find(q, "10.1.0.1"));
	assert_null(find(q, "10.1.0.1")->route);
	assert_null(find(q, "10.2.0.1"));
	prefixes_free(p);
	prefixes_free(q);
}

/* Against a search through all of them, with prefixes and addresses close enough to each other to meet. */
static void many_are_found_as_a_search_through_all_finds_them(void **state)
{
	enum {
		MANY = 500
	};
	static struct table_route routes[MANY];
	static struct prefix nets[MANY];
	struct prefixes *p = prefixes_new(MANY);
	unsigned seed = 1, n_found = 0;

	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		const uint8_t four[4] = { 10, (uint8_t)(rand_r(&seed) % 8), (uint8_t)(rand_r(&seed) % 16),
					  (uint8_t)rand_r(&seed) };
		uint8_t six[16] = { 0xfd, four[1], four[2] };

		ip_from_bytes(&nets[i].ip, i % 2 ? four : six, i % 2 ? 4 : 16);
		nets[i].bits = (uint8_t)(i % 2 ? 8 + rand_r(&seed) % 25 : 8 + rand_r(&seed) % 20);
		nets[i].ip = prefix_network(&nets[i]);
		prefixes_add(p, &nets[i], &routes[i], false);
	}
	for (unsigned i = 0; i < 20000; i++) {
		const uint8_t four[4] = { 10, (uint8_t)(rand_r(&seed) % 9), (uint8_t)(rand_r(&seed) % 17),
					  (uint8_t)rand_r(&seed) };
		uint8_t six[16] = { 0xfd, four[1], four[2], four[3] };
		const struct prefix_holder *h;
		int longest = -1;
		struct ip ip;

		ip_from_bytes(&ip, i % 2 ? four : six, i % 2 ? 4 : 16);
		for (unsigned k = 0; k < MANY; k++)
			if (prefix_contains(&nets[k], &ip) && nets[k].bits > longest)
				longest = nets[k].bits;
		h = prefixes_find(p, &ip);
		assert_int_equal(h ? h->net.bits : -1, longest);
		if (!h)
			continue;
		n_found++;
		assert_true(prefix_contains(&h->net, &ip));
		assert_true(prefix_equal(&h->net, &nets[h->route - routes]));
	}
	assert_true(n_found > 1000);
	prefixes_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_longest_prefix_is_found),
		cmocka_unit_test(one_prefix_has_its_holders_in_order),
		cmocka_unit_test(one_too_many_is_left_out),
		cmocka_unit_test(many_are_found_as_a_search_through_all_finds_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
