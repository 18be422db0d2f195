/* Against the kernel, in a namespace of its own, on links made here: Ethernet with a cable, and TUN devices. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/net/ifaces.h"
#include "tests/unit/netns.h"
#include "tun/netlink.h"
#include "tun/tun.h"

static struct tun own;
static int lan, wan;

static struct prefix prefix(const char *text)
{
	struct prefix p;

	assert_int_equal(prefix_from_text(&p, text), 0);
	return p;
}

static struct ip ip(const char *text)
{
	struct ip out;

	assert_int_equal(ip_from_text(&out, text), 0);
	return out;
}

static void add(int ifindex, const char *text)
{
	struct prefix p = prefix(text);

	assert_int_equal(netlink_addr_add(ifindex, p.ip.b, p.ip.len, p.bits), 0);
}

/* One end of a cable. Returns its ifindex. */
static int cable(const char *name)
{
	char command[128];

	snprintf(command, sizeof(command), "ip link add %s type veth peer name %s-end && ip link set %s-end up", name,
		 name, name);
	if (system(command) != 0)
		exit(77); /* no iproute2 */
	return (int)if_nametoindex(name);
}

static void cut_cable(const char *name)
{
	char command[64];

	snprintf(command, sizeof(command), "ip link del %s", name);
	assert_int_equal(system(command), 0);
}

static int links(void **state)
{
	(void)state;
	lan = cable("lan");
	wan = cable("wan");
	if (tun_open(&own, "own", 1, 0) < 0)
		return -1;
	if (netlink_link_up(lan, 0) < 0 || netlink_link_up(wan, 0) < 0 || netlink_link_up(own.ifindex, 0) < 0)
		return -1;
	add(lan, "192.168.7.9/24");
	add(lan, "fd12::9/64");
	netns_wait_running("lan");
	netns_wait_running("wan");
	add(wan, "203.0.113.5/32");
	add(own.ifindex, "10.77.0.2/16");
	return 0;
}

static int links_gone(void **state)
{
	(void)state;
	cut_cable("lan");
	cut_cable("wan");
	tun_close(&own);
	return 0;
}

static bool has(const struct ifaces *i, const char *text)
{
	struct ip address = ip(text);

	return ifaces_has(i, &address);
}

static bool is_on_link(const struct ifaces *i, const char *text)
{
	struct ip address = ip(text);

	return ifaces_is_on_link(i, &address);
}

static void addresses_of_other_links_are_listed(void **state)
{
	struct ifaces i;

	(void)state;
	assert_int_equal(ifaces_read(&i, own.ifindex, NULL, NULL, 0), 0);
	assert_true(has(&i, "192.168.7.9"));
	assert_true(has(&i, "fd12::9"));
	assert_true(has(&i, "203.0.113.5"));
	assert_false(has(&i, "10.77.0.2"));
	assert_false(has(&i, "127.0.0.1"));
	assert_false(has(&i, "::1"));
}

static void on_link_is_what_a_links_prefix_covers(void **state)
{
	struct ifaces i;

	(void)state;
	assert_int_equal(ifaces_read(&i, own.ifindex, NULL, NULL, 0), 0);
	assert_true(is_on_link(&i, "192.168.7.200"));
	assert_true(is_on_link(&i, "fd12::1"));
	assert_false(is_on_link(&i, "192.168.8.1"));
	assert_false(is_on_link(&i, "203.0.113.5")); /* a /32 has no link around it */
	assert_false(is_on_link(&i, "10.77.0.3"));
}

static void excluded_prefixes_are_left_out(void **state)
{
	const struct prefix exclude[] = { prefix("fd12::/48"), prefix("192.168.0.0/16") };
	struct ifaces i;

	(void)state;
	assert_int_equal(ifaces_read(&i, own.ifindex, NULL, exclude, 2), 0);
	assert_false(has(&i, "192.168.7.9"));
	assert_false(has(&i, "fd12::9"));
	assert_true(has(&i, "203.0.113.5"));
}

static void bound_interface_is_the_only_one(void **state)
{
	struct ifaces i;

	(void)state;
	assert_int_equal(ifaces_read(&i, own.ifindex, "wan", NULL, 0), 0);
	assert_true(has(&i, "203.0.113.5"));
	assert_false(has(&i, "192.168.7.9"));
	assert_int_equal(ifaces_read(&i, own.ifindex, "none-such", NULL, 0), 0);
	assert_int_equal(i.n, 0);
}

static void links_that_are_down_are_left_out(void **state)
{
	int down = cable("dark");
	struct ifaces i;

	(void)state;
	add(down, "198.51.100.1/24");
	assert_int_equal(ifaces_read(&i, own.ifindex, NULL, NULL, 0), 0);
	assert_false(has(&i, "198.51.100.1"));
	assert_int_equal(netlink_link_up(down, 0), 0);
	netns_wait_running("dark");
	assert_int_equal(ifaces_read(&i, own.ifindex, NULL, NULL, 0), 0);
	assert_true(has(&i, "198.51.100.1"));
	cut_cable("dark");
	assert_int_equal(ifaces_read(&i, own.ifindex, NULL, NULL, 0), 0);
	assert_false(has(&i, "198.51.100.1"));
}

static void other_overlays_are_left_out_unless_bound_to(void **state)
{
	struct tun vpn;
	struct ifaces i;

	(void)state;
	assert_int_equal(tun_open(&vpn, "vpn", 1, 0), 0);
	assert_int_equal(netlink_link_up(vpn.ifindex, 0), 0);
	add(vpn.ifindex, "100.101.102.103/32");
	assert_int_equal(ifaces_read(&i, own.ifindex, NULL, NULL, 0), 0);
	assert_false(has(&i, "100.101.102.103"));
	assert_int_equal(ifaces_read(&i, own.ifindex, "vpn", NULL, 0), 0);
	assert_true(has(&i, "100.101.102.103"));
	tun_close(&vpn);
}

static void ipv4_link_local_is_left_out(void **state)
{
	struct ifaces i;

	(void)state;
	add(lan, "169.254.3.4/16");
	assert_int_equal(ifaces_read(&i, own.ifindex, NULL, NULL, 0), 0);
	assert_false(has(&i, "169.254.3.4"));
}

static void more_addresses_than_there_is_room_for_are_cut_off(void **state)
{
	struct prefix p = prefix("10.9.0.0/24");
	struct ifaces i;

	(void)state;
	for (uint8_t k = 1; k <= 200; k++) {
		p.ip.b[3] = k;
		assert_int_equal(netlink_addr_add(wan, p.ip.b, 4, 24), 0);
	}
	assert_int_equal(ifaces_read(&i, own.ifindex, NULL, NULL, 0), 0);
	assert_int_equal(i.n, IFACES_MAX);
}

static void address_of_two_links_is_listed_once(void **state)
{
	struct ifaces i;
	unsigned n = 0;

	(void)state;
	add(lan, "203.0.113.5/32");
	assert_int_equal(ifaces_read(&i, own.ifindex, NULL, NULL, 0), 0);
	for (unsigned k = 0; k < i.n; k++)
		n += i.v[k].ip.len == 4 && i.v[k].ip.b[0] == 203;
	assert_int_equal(n, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(addresses_of_other_links_are_listed, links, links_gone),
		cmocka_unit_test_setup_teardown(on_link_is_what_a_links_prefix_covers, links, links_gone),
		cmocka_unit_test_setup_teardown(excluded_prefixes_are_left_out, links, links_gone),
		cmocka_unit_test_setup_teardown(bound_interface_is_the_only_one, links, links_gone),
		cmocka_unit_test_setup_teardown(links_that_are_down_are_left_out, links, links_gone),
		cmocka_unit_test_setup_teardown(other_overlays_are_left_out_unless_bound_to, links, links_gone),
		cmocka_unit_test_setup_teardown(ipv4_link_local_is_left_out, links, links_gone),
		cmocka_unit_test_setup_teardown(more_addresses_than_there_is_room_for_are_cut_off, links, links_gone),
		cmocka_unit_test_setup_teardown(address_of_two_links_is_listed_once, links, links_gone),
	};
	struct tun tun;
	int ret;

	netns_enter();
	ret = tun_open(&tun, "test%d", 1, 0);
	if (ret == -ENOENT || ret == -ENODEV) /* a container without the device */
		return 77;
	tun_close(&tun);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
