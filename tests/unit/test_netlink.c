/* Against the kernel, in a namespace of its own, on TUN devices made here. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/netns.h"
#include "tun/netlink.h"
#include "tun/tun.h"

#define ADDRESSES 64

static const uint8_t v4[4] = { 10, 77, 0, 2 };
static const uint8_t v6[16] = { 0xfd, 0x77, [15] = 2 };

static int device(void **state)
{
	struct tun *tun = calloc(1, sizeof(*tun));
	int ret;

	if (!tun)
		return -1;
	ret = tun_open(tun, "test%d", 1, 0);
	if (ret == -ENOENT || ret == -ENODEV)
		exit(77);
	*state = tun;
	return ret;
}

static int device_gone(void **state)
{
	tun_close(*state);
	free(*state);
	return 0;
}

static int ifindex_of(void **state)
{
	return ((const struct tun *)*state)->ifindex;
}

/* The entry of the link with this address, or NULL. */
static const struct netlink_address *find(struct netlink_address *list, int ifindex, const uint8_t *addr, size_t len)
{
	int n = netlink_addresses(list, ADDRESSES);

	assert_true(n >= 0 && n <= ADDRESSES);
	for (int i = 0; i < n; i++)
		if (list[i].ifindex == ifindex && list[i].len == len && memcmp(list[i].addr, addr, len) == 0)
			return &list[i];
	return NULL;
}

static void link_comes_up_with_its_mtu(void **state)
{
	assert_int_equal(netlink_link_mtu(ifindex_of(state)), 1500);
	assert_int_equal(netlink_link_up(ifindex_of(state), 1380), 0);
	assert_int_equal(netlink_link_mtu(ifindex_of(state)), 1380);
	assert_int_equal(netlink_link_up(ifindex_of(state), 0), 0);
	assert_int_equal(netlink_link_mtu(ifindex_of(state)), 1380);
	assert_int_equal(netlink_link_is_up(ifindex_of(state)), 1);
	assert_int_equal(netlink_link_down(ifindex_of(state)), 0);
	assert_int_equal(netlink_link_is_up(ifindex_of(state)), 0);
	assert_int_equal(netlink_link_mtu(ifindex_of(state)), 1380);
}

static void errors_are_the_kernels(void **state)
{
	(void)state;
	assert_int_equal(netlink_link_down(99999), -ENODEV);
	assert_int_equal(netlink_link_is_up(99999), -ENODEV);
	assert_int_equal(netlink_link_mtu(99999), -ENODEV);
	assert_int_equal(netlink_link_up(99999, 0), -ENODEV);
	assert_int_equal(netlink_addr_add(99999, v4, 4, 16), -ENODEV);
	assert_int_equal(netlink_route_add(99999, v4, 4, 16, 0), -ENODEV);
	assert_int_equal(netlink_addr_add(1, v4, 5, 16), -EINVAL);
	assert_int_equal(netlink_addr_add(1, v4, 4, 33), -EINVAL);
	assert_int_equal(netlink_route_add(1, v6, 16, 129, 0), -EINVAL);
}

static void address_is_added_once_and_removed_once(void **state)
{
	struct netlink_address list[ADDRESSES];
	const struct netlink_address *found;
	int ifindex = ifindex_of(state);

	assert_int_equal(netlink_link_up(ifindex, 0), 0);
	assert_null(find(list, ifindex, v4, 4));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(netlink_addr_add(ifindex, v4, 4, 16), 0);
		assert_int_equal(netlink_addr_add(ifindex, v6, 16, 64), 0);
	}
	found = find(list, ifindex, v4, 4);
	assert_non_null(found);
	assert_int_equal(found->prefix_bits, 16);
	assert_true(found->is_up);
	assert_true(found->is_point_to_point);
	assert_false(found->is_deprecated);
	assert_string_equal(found->name, ((const struct tun *)*state)->name);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(netlink_addr_del(ifindex, v4, 4, 16), 0);
		assert_int_equal(netlink_addr_del(ifindex, v6, 16, 64), 0);
	}
	assert_null(find(list, ifindex, v4, 4));
	assert_null(find(list, ifindex, v6, 16));
}

static void ipv6_address_is_usable_at_once(void **state)
{
	struct netlink_address list[ADDRESSES];
	const struct netlink_address *found;

	assert_int_equal(netlink_link_up(ifindex_of(state), 0), 0);
	assert_int_equal(netlink_addr_add(ifindex_of(state), v6, 16, 64), 0);
	found = find(list, ifindex_of(state), v6, 16);
	assert_non_null(found);
	assert_false(found->is_tentative);
	assert_int_equal(found->prefix_bits, 64);
}

static void link_that_is_down_is_told(void **state)
{
	struct netlink_address list[ADDRESSES];
	const struct netlink_address *found;

	assert_int_equal(netlink_addr_add(ifindex_of(state), v4, 4, 16), 0);
	found = find(list, ifindex_of(state), v4, 4);
	assert_non_null(found);
	assert_false(found->is_up);
}

static void addresses_beyond_the_array_are_counted(void **state)
{
	struct netlink_address one[1];
	uint8_t addr[4] = { 10, 78, 0, 0 };
	int before;

	assert_int_equal(netlink_link_up(ifindex_of(state), 0), 0);
	before = netlink_addresses(NULL, 0);
	assert_true(before >= 1); /* lo's */
	for (uint8_t i = 1; i <= 100; i++) {
		addr[3] = i;
		assert_int_equal(netlink_addr_add(ifindex_of(state), addr, 4, 24), 0);
	}
	assert_int_equal(netlink_addresses(one, 1), before + 100);
}

/* Where the kernel would send to. */
static bool goes_out_by(const uint8_t *dst, const uint8_t *src)
{
	struct sockaddr_storage ss = { 0 };
	uint8_t *p = (uint8_t *)&ss;
	socklen_t len = sizeof(ss);
	int ret, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	ss.ss_family = AF_INET;
	p[3] = 9; /* sin_port */
	memcpy(p + 4, dst, 4);
	ret = connect(fd, (struct sockaddr *)&ss, 16);
	if (ret == 0)
		ret = getsockname(fd, (struct sockaddr *)&ss, &len);
	close(fd);
	return ret == 0 && memcmp(p + 4, src, 4) == 0;
}

static void route_leads_into_the_link_until_removed(void **state)
{
	static const uint8_t net[4] = { 192, 0, 2, 77 }, inside[4] = { 192, 0, 2, 200 };
	static const uint8_t net6[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 7 };
	int ifindex = ifindex_of(state);

	assert_int_equal(netlink_link_up(ifindex, 0), 0);
	assert_int_equal(netlink_addr_add(ifindex, v4, 4, 32), 0);
	assert_false(goes_out_by(inside, v4));
	for (int i = 0; i < 2; i++) { /* host bits are not minded, nor is a second time */
		assert_int_equal(netlink_route_add(ifindex, net, 4, 24, 0), 0);
		assert_int_equal(netlink_route_add(ifindex, net6, 16, 32, 0), 0);
	}
	assert_true(goes_out_by(inside, v4));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(netlink_route_del(ifindex, net, 4, 24, 0), 0);
		assert_int_equal(netlink_route_del(ifindex, net6, 16, 32, 0), 0);
	}
	assert_false(goes_out_by(inside, v4));
}

static void default_route_can_be_added(void **state)
{
	static const uint8_t any[16], inside[4] = { 198, 51, 100, 1 };

	assert_int_equal(netlink_link_up(ifindex_of(state), 0), 0);
	assert_int_equal(netlink_addr_add(ifindex_of(state), v4, 4, 32), 0);
	assert_int_equal(netlink_route_add(ifindex_of(state), any, 4, 0, 0), 0);
	assert_int_equal(netlink_route_add(ifindex_of(state), any, 4, 0, 0), 0);
	assert_int_equal(netlink_route_add(ifindex_of(state), any, 16, 0, 0), 0);
	assert_true(goes_out_by(inside, v4));
}

static void connected_route_counts_as_there_and_survives_removal(void **state)
{
	static const uint8_t inside[4] = { 10, 77, 9, 9 };

	assert_int_equal(netlink_link_up(ifindex_of(state), 0), 0);
	assert_int_equal(netlink_addr_add(ifindex_of(state), v4, 4, 16), 0);
	netlink_route_add(ifindex_of(state), v4, 4, 16, 0);
	assert_int_equal(netlink_route_del(ifindex_of(state), v4, 4, 16, 0), 0);
	assert_true(goes_out_by(inside, v4));
}

static void another_links_route_is_not_taken_over(void **state)
{
	static const uint8_t net[4] = { 192, 0, 2, 0 };
	struct tun other;

	assert_int_equal(tun_open(&other, "other%d", 1, 0), 0);
	assert_int_equal(netlink_link_up(other.ifindex, 0), 0);
	assert_int_equal(netlink_link_up(ifindex_of(state), 0), 0);
	assert_int_equal(netlink_route_add(other.ifindex, net, 4, 24, 0), 0);
	assert_int_equal(netlink_route_add(ifindex_of(state), net, 4, 24, 0), -EEXIST);
	tun_close(&other);
	assert_int_equal(netlink_route_add(ifindex_of(state), net, 4, 24, 0), 0);
}

static void a_hosts_own_route_to_the_same_network_goes_before_by_its_metric(void **state)
{
	static const uint8_t net[4] = { 192, 0, 2, 0 }, inside[4] = { 192, 0, 2, 9 };
	int ifindex = ifindex_of(state);
	struct netlink_way way;
	struct tun other;

	assert_int_equal(tun_open(&other, "other%d", 1, 0), 0);
	assert_int_equal(netlink_link_up(other.ifindex, 0), 0);
	assert_int_equal(netlink_link_up(ifindex, 0), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(netlink_route_add(ifindex, net, 4, 24, 5000), 0);
	assert_int_equal(netlink_way_to(&way, 0, inside, 4), 0);
	assert_int_equal(way.ifindex, ifindex);
	assert_int_equal(netlink_route_add(other.ifindex, net, 4, 24, 5000), -EEXIST);
	assert_int_equal(netlink_route_add(other.ifindex, net, 4, 24, 100), 0);
	assert_int_equal(netlink_way_to(&way, 0, inside, 4), 0);
	assert_int_equal(way.ifindex, other.ifindex);
	/* Of another metric it is another route, whoever's: neither taken for ours, nor removed. */
	assert_int_equal(netlink_route_del(other.ifindex, net, 4, 24, 5000), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(netlink_route_del(ifindex, net, 4, 24, 5000), 0);
	assert_int_equal(netlink_way_to(&way, 0, inside, 4), 0);
	assert_int_equal(way.ifindex, other.ifindex);
	tun_close(&other);
}

static void watch_tells_of_links_addresses_and_routes(void **state)
{
	struct netlink_watch watch;
	struct pollfd p = { .events = POLLIN };
	struct tun other;

	(void)state;
	assert_int_equal(netlink_watch_open(&watch), 0);
	p.fd = watch.fd;
	assert_false(netlink_watch_drain(&watch));
	assert_int_equal(tun_open(&other, "other%d", 1, 0), 0);
	assert_int_equal(poll(&p, 1, 1000), 1);
	assert_true(netlink_watch_drain(&watch));
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_false(netlink_watch_drain(&watch));
	assert_int_equal(netlink_link_up(other.ifindex, 0), 0);
	assert_true(netlink_watch_drain(&watch));
	assert_int_equal(netlink_addr_add(other.ifindex, v6, 16, 64), 0);
	assert_true(netlink_watch_drain(&watch));
	assert_int_equal(netlink_route_add(other.ifindex, v4, 4, 24, 0), 0);
	assert_true(netlink_watch_drain(&watch));
	assert_int_equal(netlink_route_del(other.ifindex, v4, 4, 24, 0), 0);
	assert_true(netlink_watch_drain(&watch));
	tun_close(&other);
	assert_true(netlink_watch_drain(&watch));
	netlink_watch_close(&watch);
	assert_int_equal(watch.fd, -1);
}

static void link_that_was_down_for_a_moment_is_told(void **state)
{
	struct netlink_watch watch;
	uint32_t before, other;
	int v0;

	(void)state;
	if (system("ip link add v0 type veth peer name v1 && ip link set v0 up && ip link set v1 up") != 0)
		skip();
	v0 = (int)if_nametoindex("v0");
	assert_int_equal(netlink_watch_open(&watch), 0);
	before = netlink_watch_losses(&watch, v0);
	other = netlink_watch_losses(&watch, 1);
	assert_int_equal(system("ip address add 10.9.0.2/24 dev v0"), 0);
	assert_true(netlink_watch_drain(&watch));
	assert_int_equal(netlink_watch_losses(&watch, v0), before);
	assert_int_equal(system("ip link set v0 down && ip link set v0 up"), 0);
	assert_true(netlink_watch_drain(&watch));
	assert_int_not_equal(netlink_watch_losses(&watch, v0), before);
	assert_int_equal(netlink_watch_losses(&watch, 1), other);
	/* More links than it keeps apart: better one loss too many than one too few. */
	before = netlink_watch_losses(&watch, v0);
	for (int i = 1; i <= 3 * NETLINK_USED_MAX; i++)
		netlink_watch_losses(&watch, 1000 + i);
	assert_int_not_equal(netlink_watch_losses(&watch, v0), before);
	assert_int_equal(system("ip link del v0"), 0);
	netlink_watch_close(&watch);
}

static void watch_that_overflowed_counts_as_changed_and_all_as_lost(void **state)
{
	struct netlink_watch watch;
	uint32_t before;
	int bytes = 1;

	assert_int_equal(netlink_watch_open(&watch), 0);
	before = netlink_watch_losses(&watch, 1);
	assert_int_equal(setsockopt(watch.fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)), 0);
	for (int i = 0; i < 50; i++) {
		assert_int_equal(netlink_addr_add(ifindex_of(state), v4, 4, 16), 0);
		assert_int_equal(netlink_addr_del(ifindex_of(state), v4, 4, 16), 0);
	}
	assert_true(netlink_watch_drain(&watch));
	assert_int_not_equal(netlink_watch_losses(&watch, 1), before);
	assert_false(netlink_watch_drain(&watch));
	netlink_watch_close(&watch);
}

static void way_to_an_address_follows_the_routes(void **state)
{
	static const uint8_t on_link[4] = { 10, 77, 9, 9 }, elsewhere[4] = { 192, 0, 0, 9 };
	int ifindex = ifindex_of(state);
	struct netlink_way way;

	assert_int_equal(netlink_way_to(&way, 0, elsewhere, 4), -ENETUNREACH);
	assert_int_equal(netlink_way_to(&way, 0, elsewhere, 5), -EINVAL);
	assert_int_equal(netlink_link_up(ifindex, 0), 0);
	assert_int_equal(netlink_addr_add(ifindex, v4, 4, 16), 0);
	assert_int_equal(netlink_way_to(&way, 0, on_link, 4), 0);
	assert_int_equal(way.ifindex, ifindex);
	assert_int_equal(way.len, 4);
	assert_memory_equal(way.source, v4, 4);
	assert_false(way.has_gateway);
	assert_true(way.is_tunnel);
	assert_int_equal(netlink_way_to(&way, 0, elsewhere, 4), -ENETUNREACH);
	if (system("ip route add default via 10.77.9.9") != 0) /* no iproute2 */
		skip();
	assert_int_equal(netlink_way_to(&way, 0, elsewhere, 4), 0);
	assert_true(way.has_gateway);
	assert_memory_equal(way.gateway, on_link, 4);
	assert_int_equal(netlink_way_to(&way, ifindex, elsewhere, 4), 0);
	/* Where a link has no route, the kernel takes the address for a neighbour of it. */
	assert_int_equal(netlink_way_to(&way, 1, elsewhere, 4), 0);
	assert_false(way.has_gateway);
}

/* What Wi-Fi and Ethernet look like, and what overlays made of them look like. */
static void way_through_ethernet_is_no_tunnel_but_through_a_tap_it_is(void **state)
{
	static const uint8_t elsewhere[4] = { 192, 0, 0, 9 };
	struct netlink_way way;

	(void)state;
	if (system("ip link add v0 type veth peer name v1 && ip link set v0 up && ip link set v1 up") != 0)
		skip();
	assert_int_equal(system("ip address add 10.9.0.2/24 dev v0 && ip route add default via 10.9.0.1"), 0);
	assert_int_equal(netlink_way_to(&way, 0, elsewhere, 4), 0);
	assert_true(way.has_gateway);
	assert_false(way.is_tunnel);
	assert_int_equal(system("ip link del v0 && ip tuntap add t0 mode tap && ip link set t0 up && "
				"ip address add 10.9.0.2/24 dev t0 && ip route add default via 10.9.0.1"),
			 0);
	assert_int_equal(netlink_way_to(&way, 0, elsewhere, 4), 0);
	assert_true(way.is_tunnel);
	assert_int_equal(system("ip link del t0"), 0);
}

/* A link made by `make` as x0: is it an overlay, both as the way to somewhere and as the bearer of an address? */
static bool is_overlay(const char *make)
{
	static const uint8_t elsewhere[4] = { 192, 0, 0, 9 }, here[4] = { 10, 9, 0, 2 };
	struct netlink_address list[ADDRESSES];
	const struct netlink_address *found;
	struct netlink_way way;
	bool ret;

	assert_int_equal(system(make), 0);
	assert_int_equal(system("ip link set x0 up && ip address add 10.9.0.2/24 dev x0 && "
				"ip route add 192.0.0.0/24 dev x0"),
			 0);
	assert_int_equal(netlink_way_to(&way, 0, elsewhere, 4), 0);
	found = find(list, (int)if_nametoindex("x0"), here, 4);
	assert_non_null(found);
	assert_int_equal(found->is_overlay, way.is_overlay);
	ret = way.is_overlay;
	assert_int_equal(system("ip link del x0"), 0);
	return ret;
}

static void links_of_other_networks_packets_are_overlays(void **state)
{
	(void)state;
	if (system("ip link add x0 type vxlan id 5 dev lo dstport 4789 && ip link del x0") != 0)
		skip(); /* no iproute2, or not in this kernel */
	assert_true(is_overlay("ip link add x0 type vxlan id 5 dev lo dstport 4789"));
	assert_true(is_overlay("ip tuntap add x0 mode tun"));
	assert_true(is_overlay("ip tuntap add x0 mode tap"));
	assert_false(is_overlay("ip link add x0 type veth peer name x1"));
	assert_false(is_overlay("ip link add x0 type bridge"));
}

static void ways_to_many_are_found_on_one_socket(void **state)
{
	static const uint8_t near[4] = { 10, 77, 9, 9 }, far[4] = { 192, 0, 0, 9 };
	struct netlink_ways ways;
	struct netlink_way way;

	assert_int_equal(netlink_link_up(ifindex_of(state), 0), 0);
	assert_int_equal(netlink_addr_add(ifindex_of(state), v4, 4, 16), 0);
	assert_int_equal(netlink_ways_open(&ways), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(netlink_ways_find(&ways, &way, 0, far, 4), -ENETUNREACH);
		assert_int_equal(netlink_ways_find(&ways, &way, 0, near, 4), 0);
		assert_int_equal(way.ifindex, ifindex_of(state));
		assert_memory_equal(way.source, v4, 4);
		assert_true(way.is_tunnel);
		assert_true(way.is_overlay);
	}
	netlink_ways_close(&ways);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(link_comes_up_with_its_mtu, device, device_gone),
		cmocka_unit_test(errors_are_the_kernels),
		cmocka_unit_test_setup_teardown(address_is_added_once_and_removed_once, device, device_gone),
		cmocka_unit_test_setup_teardown(ipv6_address_is_usable_at_once, device, device_gone),
		cmocka_unit_test_setup_teardown(link_that_is_down_is_told, device, device_gone),
		cmocka_unit_test_setup_teardown(addresses_beyond_the_array_are_counted, device, device_gone),
		cmocka_unit_test_setup_teardown(route_leads_into_the_link_until_removed, device, device_gone),
		cmocka_unit_test_setup_teardown(default_route_can_be_added, device, device_gone),
		cmocka_unit_test_setup_teardown(connected_route_counts_as_there_and_survives_removal, device,
						device_gone),
		cmocka_unit_test_setup_teardown(another_links_route_is_not_taken_over, device, device_gone),
		cmocka_unit_test_setup_teardown(a_hosts_own_route_to_the_same_network_goes_before_by_its_metric, device,
						device_gone),
		cmocka_unit_test(watch_tells_of_links_addresses_and_routes),
		cmocka_unit_test(link_that_was_down_for_a_moment_is_told),
		cmocka_unit_test_setup_teardown(watch_that_overflowed_counts_as_changed_and_all_as_lost, device,
						device_gone),
		cmocka_unit_test(links_of_other_networks_packets_are_overlays),
		cmocka_unit_test_setup_teardown(ways_to_many_are_found_on_one_socket, device, device_gone),
		cmocka_unit_test_setup_teardown(way_to_an_address_follows_the_routes, device, device_gone),
		cmocka_unit_test(way_through_ethernet_is_no_tunnel_but_through_a_tap_it_is),
	};

	netns_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
