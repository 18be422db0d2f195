/* Against the kernel, in a namespace of its own, on links made here. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/net/ways.h"
#include "tests/unit/netns.h"
#include "tun/tun.h"

/* eth: 192.168.7.9/24, the way out by .1; vpn: another overlay, with 10.8.0.0/16 behind; own: ours, 10.77.0.0/16. */
static struct tun own, vpn;
static struct ways ways;

static void sh(const char *command)
{
	assert_int_equal(system(command), 0);
}

static int links(void **state)
{
	(void)state;
	if (system("ip link add eth type veth peer name eth-end && ip link set eth up && ip link set eth-end up") != 0)
		exit(77); /* no iproute2 */
	if (tun_open(&own, "own", 1, 0) < 0 || tun_open(&vpn, "vpn", 1, 0) < 0)
		return -1;
	sh("ip link set own up && ip address add 10.77.0.2/16 dev own");
	sh("ip link set vpn up && ip address add 10.8.0.2/16 dev vpn");
	sh("ip address add 192.168.7.9/24 dev eth && ip route add default via 192.168.7.1");
	return ways_open(&ways, own.ifindex, "");
}

static int links_gone(void **state)
{
	(void)state;
	ways_close(&ways);
	tun_close(&own);
	tun_close(&vpn);
	sh("ip link del eth");
	return 0;
}

/* The mark of the way to one address, in a look of its own. */
static uint64_t look(const char *text, enum way_kind *kind)
{
	uint64_t out = 1, mark = 1;
	enum way_kind k;
	struct ip ip;

	ways_drain(&ways);
	assert_int_equal(ip_from_text(&ip, text), 0);
	assert_int_equal(ways_begin(&ways, &out), 0);
	k = ways_find(&ways, &mark, &ip, NULL);
	if (kind)
		*kind = k;
	ways_end(&ways);
	return mark;
}

static uint64_t look_out(void)
{
	uint64_t mark = 1;

	ways_drain(&ways);
	assert_int_equal(ways_begin(&ways, &mark), 0);
	ways_end(&ways);
	return mark;
}

static void same_ways_make_the_same_mark(void **state)
{
	uint64_t mark = look("203.0.113.9", NULL), out = look_out();

	(void)state;
	/* What happens elsewhere, or only renews. */
	sh("ip link add other type bridge && ip address add 172.17.0.1/16 dev other && ip link set other up && ip link del other");
	sh("ip address replace 192.168.7.9/24 dev eth valid_lft 3000 preferred_lft 3000");
	sh("ip route add 198.51.100.0/24 via 192.168.7.7");
	assert_true(ways_drain(&ways));
	assert_true(look("203.0.113.9", NULL) == mark);
	assert_true(look_out() == out);
}

static void another_router_link_or_source_makes_another_mark(void **state)
{
	static const char *const changes[] = {
		"ip route replace default via 192.168.7.2",
		"ip route add 203.0.113.0/24 via 192.168.7.3",
		"ip route replace 203.0.113.0/24 dev vpn",
		"ip route del 203.0.113.0/24",
		"ip address add 192.168.7.10/24 dev eth && ip route replace default via 192.168.7.2 src 192.168.7.10",
		"ip route add default via 192.168.7.4 metric 5 && ip route del default via 192.168.7.2",
		"ip link set eth mtu 1400",
		"ip link set eth down",
		"ip link set eth up && ip route add default via 192.168.7.1",
		"ip link set eth down && ip link set eth up && ip route add default via 192.168.7.1", /* seen from its end */
	};
	uint64_t before = look("203.0.113.9", NULL);

	(void)state;
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		uint64_t mark;

		sh(changes[i]);
		mark = look("203.0.113.9", NULL);
		if (mark == before)
			fail_msg("not seen: %s", changes[i]);
		assert_true(look("203.0.113.9", NULL) == mark);
		before = mark;
	}
}

static void metric_counts_when_it_decides(void **state)
{
	uint64_t out, first;

	(void)state;
	sh("ip route replace default via 192.168.7.1 metric 0 && ip route add default via 192.168.7.2 metric 200");
	first = out = look_out();
	sh("ip route del default via 192.168.7.1 && ip route add default via 192.168.7.1 metric 300");
	assert_true(look_out() != out);
	out = look_out();
	sh("ip route del default via 192.168.7.1 && ip route add default via 192.168.7.1 metric 400");
	assert_true(look_out() == out);
	sh("ip route add default via 192.168.7.1 metric 100");
	assert_true(look_out() == first);
}

static void ways_into_overlays_are_inside(void **state)
{
	enum way_kind kind;

	(void)state;
	look("203.0.113.9", &kind);
	assert_int_equal(kind, WAY_OUTSIDE);
	look("192.168.7.77", &kind);
	assert_int_equal(kind, WAY_OUTSIDE);
	look("10.77.0.5", &kind);
	assert_int_equal(kind, WAY_INSIDE);
	look("10.8.0.5", &kind);
	assert_int_equal(kind, WAY_INSIDE);
	look("2001:db8::1", &kind);
	assert_int_equal(kind, WAY_NONE);
	sh("ip route add 203.0.113.0/24 dev own");
	look("203.0.113.9", &kind);
	assert_int_equal(kind, WAY_INSIDE);
}

static void other_vpn_that_is_the_only_way_out_is_outside(void **state)
{
	enum way_kind kind;

	(void)state;
	sh("ip route replace default dev vpn");
	look("203.0.113.9", &kind);
	assert_int_equal(kind, WAY_OUTSIDE);
	sh("ip route replace default dev own"); /* ours never is */
	look("203.0.113.9", &kind);
	assert_int_equal(kind, WAY_INSIDE);
}

static void link_of_an_inside_way_has_a_name(void **state)
{
	uint64_t mark = 1;
	char name[IFNAMSIZ];
	struct ip ip;

	(void)state;
	assert_int_equal(ip_from_text(&ip, "10.8.0.5"), 0);
	assert_int_equal(ways_begin(&ways, &mark), 0);
	assert_int_equal(ways_find(&ways, &mark, &ip, name), WAY_INSIDE);
	assert_string_equal(name, "vpn");
	ways_end(&ways);
}

static void bound_sockets_go_by_their_link_whatever_the_routes_say(void **state)
{
	struct ways bound;
	enum way_kind kind;
	uint64_t mark = 1;
	struct ip ip;

	(void)state;
	assert_int_equal(ip_from_text(&ip, "10.8.0.5"), 0);
	assert_int_equal(ways_open(&bound, own.ifindex, "eth"), 0);
	assert_int_equal(ways_begin(&bound, &mark), 0);
	kind = ways_find(&bound, &mark, &ip, NULL);
	assert_int_equal(kind, WAY_OUTSIDE);
	ways_end(&bound);
	ways_close(&bound);
	/* Not there yet: no way, and no other link's either. */
	assert_int_equal(ways_open(&bound, own.ifindex, "wlan9"), 0);
	assert_int_equal(ways_begin(&bound, &mark), 0);
	assert_int_equal(ways_find(&bound, &mark, &ip, NULL), WAY_NONE);
	ways_end(&bound);
	ways_close(&bound);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(same_ways_make_the_same_mark, links, links_gone),
		cmocka_unit_test_setup_teardown(another_router_link_or_source_makes_another_mark, links, links_gone),
		cmocka_unit_test_setup_teardown(metric_counts_when_it_decides, links, links_gone),
		cmocka_unit_test_setup_teardown(ways_into_overlays_are_inside, links, links_gone),
		cmocka_unit_test_setup_teardown(other_vpn_that_is_the_only_way_out_is_outside, links, links_gone),
		cmocka_unit_test_setup_teardown(link_of_an_inside_way_has_a_name, links, links_gone),
		cmocka_unit_test_setup_teardown(bound_sockets_go_by_their_link_whatever_the_routes_say, links,
						links_gone),
	};

	netns_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
