/* Against the kernel, in a namespace of its own, on links made here. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/net/uplinks.h"
#include "tests/unit/netns.h"
#include "tun/tun.h"

/* eth: the way out; wifi: one of a higher metric; lan: no way out; vpn: another overlay with one; own: ours. */
static struct tun own, vpn;
static struct ways ways;
static struct uplinks uplinks;

static void sh(const char *command)
{
	assert_int_equal(system(command), 0);
}

static int links(void **state)
{
	static const char *const made[] = { "eth", "wifi", "lan" };
	char command[128];

	(void)state;
	for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
		snprintf(command, sizeof(command),
			 "ip link add %s type veth peer name %s-end && ip link set %s up && ip link set %s-end up",
			 made[i], made[i], made[i], made[i]);
		if (system(command) != 0)
			exit(77); /* no iproute2 */
		netns_wait_running(made[i]);
	}
	if (tun_open(&own, "own", 1, 0) < 0 || tun_open(&vpn, "vpn", 1, 0) < 0)
		return -1;
	sh("ip link set own up && ip address add 10.77.0.2/16 dev own");
	sh("ip link set vpn up && ip address add 10.8.0.2/16 dev vpn");
	sh("ip address add 192.168.7.9/24 dev eth && ip address add 192.168.8.9/24 dev wifi && ip address add 192.168.9.9/24 dev lan");
	sh("ip route add default via 192.168.7.1 && ip route add default via 192.168.8.1 metric 200");
	sh("ip route add default dev vpn metric 300 && ip route add default dev own metric 400");
	uplinks = (struct uplinks){ 0 };
	return ways_open(&ways, own.ifindex, "");
}

static int links_gone(void **state)
{
	(void)state;
	ways_close(&ways);
	tun_close(&own);
	tun_close(&vpn);
	sh("ip link del eth && ip link del wifi && ip link del lan");
	return 0;
}

static bool look(void)
{
	uint64_t mark = 1;
	bool is_dropped;

	ways_drain(&ways);
	assert_int_equal(ways_begin(&ways, &mark), 0);
	is_dropped = uplinks_read(&uplinks, &ways);
	ways_end(&ways);
	return is_dropped;
}

static int index_of(const char *name)
{
	return (int)if_nametoindex(name);
}

static void others_are_those_with_a_way_out(void **state)
{
	(void)state;
	assert_false(look());
	assert_int_equal(uplinks.n, 1);
	assert_string_equal(uplinks.v[0].name, "wifi");
	assert_int_equal(uplinks.v[0].ifindex, index_of("wifi"));
	assert_int_equal(uplinks.via.ifindex, 0);
	sh("ip route del default via 192.168.8.1");
	look();
	assert_int_equal(uplinks.n, 0);
}

static void the_kernels_choice_is_another_while_one_is_used_instead(void **state)
{
	(void)state;
	look();
	assert_false(uplinks_use(&uplinks, index_of("lan")));
	assert_true(uplinks_use(&uplinks, index_of("wifi")));
	assert_false(look());
	assert_int_equal(uplinks.via.ifindex, index_of("wifi"));
	assert_int_equal(uplinks.n, 1);
	assert_string_equal(uplinks.v[0].name, "eth");
	assert_true(uplinks_use(&uplinks, 0));
	assert_false(look());
	assert_int_equal(uplinks.via.ifindex, 0);
	assert_string_equal(uplinks.v[0].name, "wifi");
}

static void it_is_dropped_when_it_is_no_uplink_any_more(void **state)
{
	(void)state;
	look();
	uplinks_use(&uplinks, index_of("wifi"));
	sh("ip link set wifi down");
	assert_true(look());
	assert_int_equal(uplinks.via.ifindex, 0);
	assert_int_equal(uplinks.n, 0);
}

static void it_is_dropped_when_the_kernel_chooses_it(void **state)
{
	(void)state;
	look();
	uplinks_use(&uplinks, index_of("wifi"));
	sh("ip route add default via 192.168.7.1 metric 500 && ip route del default via 192.168.7.1 metric 0");
	assert_true(look());
	assert_int_equal(uplinks.via.ifindex, 0);
	assert_int_equal(uplinks.n, 1);
	assert_string_equal(uplinks.v[0].name, "eth");
}

static void who_is_bound_to_one_has_no_others(void **state)
{
	struct ways bound;
	uint64_t mark = 1;

	(void)state;
	assert_int_equal(ways_open(&bound, own.ifindex, "wifi"), 0);
	assert_int_equal(ways_begin(&bound, &mark), 0);
	assert_false(uplinks_read(&uplinks, &bound));
	assert_int_equal(uplinks.n, 0);
	ways_end(&bound);
	ways_close(&bound);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(others_are_those_with_a_way_out, links, links_gone),
		cmocka_unit_test_setup_teardown(the_kernels_choice_is_another_while_one_is_used_instead, links,
						links_gone),
		cmocka_unit_test_setup_teardown(it_is_dropped_when_it_is_no_uplink_any_more, links, links_gone),
		cmocka_unit_test_setup_teardown(it_is_dropped_when_the_kernel_chooses_it, links, links_gone),
		cmocka_unit_test_setup_teardown(who_is_bound_to_one_has_no_others, links, links_gone),
	};

	netns_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
