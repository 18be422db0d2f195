#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>
#include <cmocka.h>

#include "daemon/base/addr.h"

static struct ip ip_of(const char *text)
{
	struct ip ip;

	assert_int_equal(ip_from_text(&ip, text), 0);
	return ip;
}

static struct endpoint endpoint_of(const char *text)
{
	struct endpoint ep;

	assert_int_equal(endpoint_from_text(&ep, text), 0);
	return ep;
}

static struct prefix prefix_of(const char *text)
{
	struct prefix p;

	assert_int_equal(prefix_from_text(&p, text), 0);
	return p;
}

static void ip_text_comes_back(void **state)
{
	static const char *const texts[] = { "0.0.0.0",
					     "10.77.0.1",
					     "255.255.255.255",
					     "::",
					     "::1",
					     "2001:db8::ffff:ffff:ffff:ffff",
					     "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" };
	char out[ADDR_TEXT_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct ip ip = ip_of(texts[i]);

		assert_string_equal(ip_to_text(&ip, out), texts[i]);
	}
	assert_string_equal(ip_to_text(&(struct ip){ 0 }, out), "none");
}

static void bad_ip_text_is_refused_and_changes_nothing(void **state)
{
	static const char *const texts[] = { "",  "1",   "1.2.3",     "1.2.3.4.5", "256.1.1.1", "1.2.3.4 ",    "host",
					     ":", ":::", "fe80::1%2", "12345::",   "1.2.3.04x", "::ffff:1.2.3" };
	struct ip ip = ip_of("192.0.2.7"), before = ip;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(ip_from_text(&ip, texts[i]), -EINVAL);
	assert_memory_equal(&ip, &before, sizeof(ip));
}

static void mapped_addresses_become_ipv4(void **state)
{
	struct ip mapped = ip_of("::ffff:192.0.2.1"), plain = ip_of("192.0.2.1"), none;

	(void)state;
	assert_true(ip_equal(&mapped, &plain));
	assert_int_equal(ip_compare(&mapped, &plain), 0);
	ip_from_bytes(&none, (const uint8_t *)"12345", 5);
	assert_true(ip_is_none(&none));
}

static void ipv4_sorts_before_ipv6(void **state)
{
	struct ip low = ip_of("10.0.0.1"), high = ip_of("10.0.0.2"), v6 = ip_of("::1");

	(void)state;
	assert_true(ip_compare(&low, &high) < 0);
	assert_true(ip_compare(&high, &low) > 0);
	assert_true(ip_compare(&high, &v6) < 0);
	assert_true(ip_compare(&v6, &high) > 0);
}

static void classes_have_exact_borders(void **state)
{
	static const struct {
		const char *text;
		bool link_local, private, sendable;
	} cases[] = {
		{ "0.0.0.0", false, false, false },
		{ "0.1.2.3", false, false, false },
		{ "1.0.0.0", false, false, true },
		{ "10.0.0.0", false, true, true },
		{ "11.0.0.0", false, false, true },
		{ "100.63.255.255", false, false, true },
		{ "100.64.0.0", false, true, true },
		{ "100.127.255.255", false, true, true },
		{ "100.128.0.0", false, false, true },
		{ "127.0.0.1", false, false, false },
		{ "127.255.255.255", false, false, false },
		{ "128.0.0.0", false, false, true },
		{ "169.253.255.255", false, false, true },
		{ "169.254.0.1", true, false, true },
		{ "172.15.255.255", false, false, true },
		{ "172.16.0.0", false, true, true },
		{ "172.31.255.255", false, true, true },
		{ "172.32.0.0", false, false, true },
		{ "192.168.1.1", false, true, true },
		{ "192.169.0.0", false, false, true },
		{ "223.255.255.255", false, false, true },
		{ "224.0.0.1", false, false, false },
		{ "239.255.255.255", false, false, false },
		{ "240.0.0.0", false, false, false },
		{ "255.255.255.255", false, false, false },
		{ "::", false, false, false },
		{ "::1", false, false, false },
		{ "::2", false, false, true },
		{ "fbff::1", false, false, true },
		{ "fc00::1", false, true, true },
		{ "fdff::1", false, true, true },
		{ "fe7f::1", false, false, true },
		{ "fe80::1", true, false, true },
		{ "febf::1", true, false, true },
		{ "fec0::1", false, false, true },
		{ "ff02::1", false, false, false },
		{ "::ffff:127.0.0.1", false, false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ip ip = ip_of(cases[i].text);

		if (ip_is_link_local(&ip) != cases[i].link_local || ip_is_private(&ip) != cases[i].private ||
		    ip_is_sendable(&ip) != cases[i].sendable)
			fail_msg("%s", cases[i].text);
	}
	assert_false(ip_is_sendable(&(struct ip){ 0 }));
	assert_false(ip_is_unspecified(&(struct ip){ 0 }));
}

static void single_classes_answer_for_their_family(void **state)
{
	struct ip broadcast = ip_of("255.255.255.255"), loopback = ip_of("127.8.8.8"), loopback6 = ip_of("::1");
	struct ip multicast6 = ip_of("ff02::2"), any6 = ip_of("::");

	(void)state;
	assert_true(ip_is_broadcast(&broadcast));
	assert_false(ip_is_broadcast(&loopback));
	assert_true(ip_is_loopback(&loopback));
	assert_true(ip_is_loopback(&loopback6));
	assert_false(ip_is_loopback(&any6));
	assert_true(ip_is_unspecified(&any6));
	assert_true(ip_is_multicast(&multicast6));
}

static void endpoint_text_comes_back(void **state)
{
	static const char *const texts[] = { "192.0.2.1:27700",
					     "255.255.255.255:65535",
					     "0.0.0.0:0",
					     "[2001:db8::1]:27700",
					     "[fe80::1%4294967295]:1",
					     "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
					     "[fe80:1111:1111:1111:1111:1111:1111:1111%4294967295]:65535" };
	char out[ADDR_TEXT_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct endpoint ep = endpoint_of(texts[i]);

		assert_string_equal(endpoint_to_text(&ep, out), texts[i]);
	}
	assert_string_equal(endpoint_to_text(&(struct endpoint){ 0 }, out), "none");
}

static void bad_endpoint_text_is_refused_and_changes_nothing(void **state)
{
	static const char *const texts[] = {
		"",
		":",
		"1.2.3.4",
		"1.2.3.4:",
		"1.2.3.4:65536",
		"1.2.3.4:4294967297",
		"1.2.3.4:18446744073709551617",
		"1.2.3.4:+1",
		"1.2.3.4: 1",
		"1.2.3.4:01",
		"1.2.3.4:1 ",
		"1.2.3.4:1:1",
		"[1.2.3.4]:1",
		"2001:db8::1:27700",
		"[2001:db8::1]27700",
		"[2001:db8::1",
		"[2001:db8::1]",
		"[2001:db8::1%2]:1",
		"[fe80::1%]:1",
		"[fe80::1%0]:1",
		"[fe80::1%eth0]:1",
		"[fe80::1%4294967296]:1",
		"[::ffff:169.254.0.1%1]:1",
		"host.example:1",
		"[::1]]:1",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:1",
	};
	struct endpoint ep = endpoint_of("192.0.2.7:1"), before = ep;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (endpoint_from_text(&ep, texts[i]) != -EINVAL)
			fail_msg("%s", texts[i]);
	assert_memory_equal(&ep, &before, sizeof(ep));
}

static void endpoints_differ_by_each_of_their_parts(void **state)
{
	struct endpoint a = endpoint_of("[fe80::1%1]:1"), port = endpoint_of("[fe80::1%1]:257"),
			scope = endpoint_of("[fe80::1%2]:1"), ip = endpoint_of("[fe80::2%1]:1"), same = a;

	(void)state;
	assert_true(endpoint_equal(&a, &same));
	assert_int_equal(endpoint_hash(&a), endpoint_hash(&same));
	assert_false(endpoint_equal(&a, &port));
	assert_false(endpoint_equal(&a, &scope));
	assert_false(endpoint_equal(&a, &ip));
	assert_int_not_equal(endpoint_hash(&a), endpoint_hash(&port));
	assert_int_not_equal(endpoint_hash(&a), endpoint_hash(&scope));
	assert_int_not_equal(endpoint_hash(&a), endpoint_hash(&ip));
}

static void sockaddrs_come_back_on_both_kinds_of_socket(void **state)
{
	static const char *const texts[] = { "192.0.2.1:27700", "[2001:db8::1]:65535", "[fe80::1%3]:1" };

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		for (int v6_socket = 0; v6_socket < 2; v6_socket++) {
			struct endpoint ep = endpoint_of(texts[i]), back;
			struct sockaddr_storage ss;
			socklen_t len = endpoint_to_sockaddr(&ep, v6_socket, &ss);
			bool is_v6 = v6_socket || ep.ip.len == 16;

			assert_int_equal(ss.ss_family, is_v6 ? AF_INET6 : AF_INET);
			assert_int_equal(len, is_v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
			assert_int_equal(endpoint_from_sockaddr(&back, (const struct sockaddr *)&ss), 0);
			assert_true(endpoint_equal(&ep, &back));
		}
	}
}

static void a_scope_is_kept_of_link_local_addresses_only(void **state)
{
	struct endpoint global = endpoint_of("[2001:db8::1]:1"), back;
	struct sockaddr_storage ss;

	(void)state;
	endpoint_to_sockaddr(&global, true, &ss);
	((struct sockaddr_in6 *)&ss)->sin6_scope_id = 7;
	assert_int_equal(endpoint_from_sockaddr(&back, (const struct sockaddr *)&ss), 0);
	assert_true(endpoint_equal(&global, &back));
}

static void other_families_are_refused(void **state)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct endpoint ep;

	(void)state;
	assert_int_equal(endpoint_from_sockaddr(&ep, (const struct sockaddr *)&sun), -EAFNOSUPPORT);
}

static void prefix_text_comes_back(void **state)
{
	static const char *const texts[] = {
		"0.0.0.0/0", "10.77.0.2/16", "192.0.2.1/32",
		"::/0",      "fd00::1/64",   "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"
	};
	struct prefix host = prefix_of("10.0.0.1"), host6 = prefix_of("fd00::1");
	char out[ADDR_TEXT_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct prefix p = prefix_of(texts[i]);

		assert_string_equal(prefix_to_text(&p, out), texts[i]);
	}
	assert_string_equal(prefix_to_text(&host, out), "10.0.0.1/32");
	assert_string_equal(prefix_to_text(&host6, out), "fd00::1/128");
}

static void last_address_of_a_prefix(void **state)
{
	static const struct {
		const char *prefix, *ip;
		bool is_last;
	} cases[] = {
		{ "10.77.0.0/16", "10.77.255.255", true },    { "10.77.3.4/16", "10.77.255.255", true },
		{ "10.77.0.0/16", "10.77.255.254", false },   { "10.77.0.0/16", "10.77.0.0", false },
		{ "10.77.0.0/16", "10.78.255.255", false },   { "10.77.0.0/22", "10.77.3.255", true },
		{ "10.77.0.0/22", "10.77.2.255", false },     { "10.77.0.4/31", "10.77.0.5", true },
		{ "10.77.0.4/32", "10.77.0.4", true },        { "0.0.0.0/0", "255.255.255.255", true },
		{ "fd77::/120", "fd77::ff", true },           { "fd77::/120", "fd77::fe", false },
		{ "10.77.0.0/16", "fd77::ffff:ffff", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct prefix p = prefix_of(cases[i].prefix);
		struct ip ip = { 0 };

		assert_int_equal(ip_from_text(&ip, cases[i].ip), 0);
		assert_int_equal(prefix_is_last(&p, &ip), cases[i].is_last);
	}
}

static void bad_prefix_text_is_refused(void **state)
{
	static const char *const texts[] = { "",
					     "/",
					     "10.0.0.0/",
					     "10.0.0.0/33",
					     "10.0.0.0/-1",
					     "10.0.0.0/+8",
					     "10.0.0/8",
					     "10.0.0.0/8/8",
					     "::/129",
					     "10.0.0.0/ 8",
					     "10.0.0.0/08",
					     "/8",
					     "::ffff:10.0.0.0/104" };
	struct prefix p;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (prefix_from_text(&p, texts[i]) != -EINVAL)
			fail_msg("%s", texts[i]);
}

static void a_prefix_contains_its_net_and_nothing_else(void **state)
{
	static const struct {
		const char *prefix, *ip;
		bool contained;
	} cases[] = {
		{ "10.77.0.2/16", "10.77.255.255", true },
		{ "10.77.0.2/16", "10.78.0.0", false },
		{ "10.0.0.0/9", "10.127.255.255", true },
		{ "10.0.0.0/9", "10.128.0.0", false },
		{ "0.0.0.0/0", "255.255.255.255", true },
		{ "0.0.0.0/0", "::1", false },
		{ "::/0", "10.0.0.1", false },
		{ "10.0.0.1/32", "10.0.0.1", true },
		{ "10.0.0.1/32", "10.0.0.0", false },
		{ "fd00::1/127", "fd00::", true },
		{ "fd00::1/127", "fd00::2", false },
		{ "fd00::1/128", "fd00::1", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct prefix p = prefix_of(cases[i].prefix);
		struct ip ip = ip_of(cases[i].ip);

		assert_int_equal(prefix_contains(&p, &ip), cases[i].contained);
	}
	assert_false(prefix_contains(&(struct prefix){ 0 }, &(struct ip){ 0 }));
}

static void overlap_is_containment_either_way(void **state)
{
	struct prefix wide = prefix_of("10.77.0.0/16"), narrow = prefix_of("10.77.3.0/24"),
		      beside = prefix_of("10.78.0.0/16"), v6 = prefix_of("::/0");

	(void)state;
	assert_true(prefix_overlaps(&wide, &narrow));
	assert_true(prefix_overlaps(&narrow, &wide));
	assert_false(prefix_overlaps(&wide, &beside));
	assert_false(prefix_overlaps(&v6, &wide));
	assert_false(prefix_overlaps(&wide, &v6));
}

static void the_network_has_no_host_bits(void **state)
{
	static const char *const cases[][2] = {
		{ "10.77.3.4/16", "10.77.0.0" },         { "255.255.255.255/9", "255.128.0.0" },
		{ "255.255.255.255/0", "0.0.0.0" },      { "10.1.2.3/32", "10.1.2.3" },
		{ "fd12:3456::ffff/33", "fd12:3456::" }, { "fd00::ff/124", "fd00::f0" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct prefix p = prefix_of(cases[i][0]);
		struct ip net = prefix_network(&p), expected = ip_of(cases[i][1]);

		assert_true(ip_equal(&net, &expected));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ip_text_comes_back),
		cmocka_unit_test(bad_ip_text_is_refused_and_changes_nothing),
		cmocka_unit_test(mapped_addresses_become_ipv4),
		cmocka_unit_test(ipv4_sorts_before_ipv6),
		cmocka_unit_test(classes_have_exact_borders),
		cmocka_unit_test(single_classes_answer_for_their_family),
		cmocka_unit_test(endpoint_text_comes_back),
		cmocka_unit_test(bad_endpoint_text_is_refused_and_changes_nothing),
		cmocka_unit_test(endpoints_differ_by_each_of_their_parts),
		cmocka_unit_test(sockaddrs_come_back_on_both_kinds_of_socket),
		cmocka_unit_test(a_scope_is_kept_of_link_local_addresses_only),
		cmocka_unit_test(other_families_are_refused),
		cmocka_unit_test(prefix_text_comes_back),
		cmocka_unit_test(last_address_of_a_prefix),
		cmocka_unit_test(bad_prefix_text_is_refused),
		cmocka_unit_test(a_prefix_contains_its_net_and_nothing_else),
		cmocka_unit_test(overlap_is_containment_either_way),
		cmocka_unit_test(the_network_has_no_host_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
