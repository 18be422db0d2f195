#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/data/inner_ip.h"
#include "daemon/data/table.h"
#include "tests/unit/dataplane.h"
#include "tests/unit/vectors.h"

/* A vector's list of prefixes as a member's addresses: only whole addresses can be one. */
static unsigned addresses_of(const char *list, struct ip out[WIRE_ADDRS_MAX])
{
	char text[128], *rest = text, *word;
	unsigned n = 0;

	snprintf(text, sizeof(text), "%s", list);
	while ((word = strsep(&rest, ","))) {
		struct prefix p;

		assert_int_equal(prefix_from_text(&p, word), 0);
		if (p.bits == p.ip.len * 8)
			out[n++] = p.ip;
	}
	return n;
}

static void every_vector_gets_its_verdict(void **state)
{
	struct vectors *v = vectors_open("inner_ip.txt");
	unsigned n_accepted = 0, n_dropped = 0;

	(void)state;
	while (vectors_next(v)) {
		struct vector_bytes packet = vectors_hex(v, "packet");
		struct table_route peer = { 0 };
		struct table node = { 0 };
		struct inner_ip ip;
		bool is_accepted;

		if (vectors_is(v, "verdict", "keepalive")) {
			assert_int_equal(packet.len, 0);
			continue;
		}
		peer.n_addrs = addresses_of(vectors_text(v, "allowed"), peer.addrs);
		node.n_own = addresses_of(vectors_text(v, "local"), node.own);
		is_accepted = inner_ip_parse(&ip, packet.data, packet.len) == 0 &&
			      table_may_come_from(&node, &peer, &ip.src) && table_is_own(&node, &ip.dst);
		if (is_accepted != vectors_is(v, "verdict", "accept"))
			fail_msg("%s", vectors_text(v, "name"));
		if (is_accepted) {
			assert_int_equal(ip.len, vectors_number(v, "length"));
			n_accepted++;
		} else {
			n_dropped++;
		}
	}
	vectors_close(v);
	assert_true(n_accepted >= 20 && n_dropped >= 20);
}

static void addresses_are_the_packets(void **state)
{
	uint8_t packet[PACKET_MAX_BYTES];
	struct inner_ip ip;
	struct ip want;

	(void)state;
	assert_int_equal(inner_ip_parse(&ip, packet, packet_make(packet, "10.77.0.1", "10.77.0.2", 1, 10)), 0);
	want = ip_of("10.77.0.1");
	assert_true(ip_equal(&ip.src, &want));
	want = ip_of("10.77.0.2");
	assert_true(ip_equal(&ip.dst, &want));
	assert_int_equal(ip.len, PACKET_HEADERS_BYTES + 10);
}

static void mapped_address_is_not_the_ipv4_address_in_it(void **state)
{
	uint8_t packet[40] = { 0x60 };
	struct ip v4 = ip_of("10.66.0.2");
	struct inner_ip ip;

	(void)state;
	packet[6] = 59; /* no next header */
	packet[18] = packet[19] = 0xff;
	memcpy(packet + 20, v4.b, 4);
	assert_int_equal(inner_ip_parse(&ip, packet, sizeof(packet)), 0);
	assert_int_equal(ip.src.len, 16);
	assert_false(ip_equal(&ip.src, &v4));
}

static void packet_cut_anywhere_is_malformed(void **state)
{
	uint8_t packet[PACKET_MAX_BYTES];
	size_t len = packet_make(packet, "10.77.0.1", "10.77.0.2", 1, 10);

	(void)state;
	for (size_t cut = 0; cut < len; cut++) {
		uint8_t *exact = malloc(cut ? cut : 1); /* the sanitizer sees a read past it */
		struct inner_ip ip;

		assert_non_null(exact);
		memcpy(exact, packet, cut);
		assert_int_equal(inner_ip_parse(&ip, exact, cut), -EBADMSG);
		free(exact);
	}
}

static uint32_t sum_of(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += (uint32_t)p[i] << (i % 2 ? 0 : 8);
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void ipv4_packet_is_answered_with_host_unreachable(void **state)
{
	static const size_t data_bytes[] = { 0, 1, 8, 1000 };
	const struct ip unreachable = ip_of("10.77.0.9"), own = ip_of("10.77.0.1");

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		uint8_t packet[PACKET_MAX_BYTES] = { 0 }, out[PACKET_MAX_BYTES];
		size_t len = packet_make(packet, "10.77.0.1", "10.77.0.9", 1, data_bytes[i]);
		size_t n = inner_ip_unreachable(out, sizeof(out), packet, len);
		struct inner_ip ip;

		assert_int_equal(n, 20 + 8 + 28); /* the quote: header and 8 bytes */
		assert_int_equal(inner_ip_parse(&ip, out, n), 0);
		assert_int_equal(ip.len, n);
		assert_true(ip_equal(&ip.src, &unreachable));
		assert_true(ip_equal(&ip.dst, &own));
		assert_int_equal(out[9], 1);
		assert_int_equal(fold(sum_of(out, 20)), 0xffff);
		assert_int_equal(out[20], 3);
		assert_int_equal(out[21], 1);
		assert_int_equal(fold(sum_of(out + 20, n - 20)), 0xffff);
		assert_memory_equal(out + 28, packet, 28);
		assert_int_equal(inner_ip_unreachable(out, n, packet, len), n);
		assert_int_equal(inner_ip_unreachable(out, n - 1, packet, len), 0);
	}
}

static size_t ipv6_make(uint8_t *out, const char *src, const char *dst, uint8_t proto, size_t len)
{
	struct ip from = ip_of(src), to = ip_of(dst);

	memset(out, 0, 40 + len);
	out[0] = 0x60;
	out[4] = (uint8_t)(len >> 8);
	out[5] = (uint8_t)len;
	out[6] = proto;
	out[7] = 64;
	memcpy(out + 8, from.b, 16);
	memcpy(out + 24, to.b, 16);
	return 40 + len;
}

static void ipv6_packet_is_answered_with_address_unreachable(void **state)
{
	static const size_t data_bytes[] = { 0, 1, 8, 1231, 1232, 1300 };
	const struct ip unreachable = ip_of("fd77::9"), own = ip_of("fd77::1");

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		uint8_t packet[1400], out[1400];
		size_t len = ipv6_make(packet, "fd77::1", "fd77::9", 17, data_bytes[i]);
		size_t n = inner_ip_unreachable(out, sizeof(out), packet, len);
		size_t quote = len < 1232 ? len : 1232;
		struct inner_ip ip;

		assert_int_equal(n, 48 + quote);
		assert_true(n <= 1280);
		assert_int_equal(inner_ip_parse(&ip, out, n), 0);
		assert_true(ip_equal(&ip.src, &unreachable));
		assert_true(ip_equal(&ip.dst, &own));
		assert_int_equal(out[6], 58);
		assert_int_equal(out[40], 1);
		assert_int_equal(out[41], 3);
		/* pseudo header: addresses, length, protocol */
		assert_int_equal(fold(sum_of(out + 8, 32) + (uint32_t)(n - 40) + 58 + sum_of(out + 40, n - 40)),
				 0xffff);
		assert_memory_equal(out + 48, packet, quote);
		assert_int_equal(inner_ip_unreachable(out, n - 1, packet, len), 0);
	}
}

static void what_must_not_be_answered_is_not(void **state)
{
	static const struct {
		const char *src, *dst;
	} pairs[] = {
		{ "10.77.0.1", "224.0.0.251" }, { "10.77.0.1", "255.255.255.255" }, { "0.0.0.0", "10.77.0.9" },
		{ "127.0.0.1", "10.77.0.9" },   { "224.0.0.1", "10.77.0.9" },       { "255.255.255.255", "10.77.0.9" },
		{ "240.0.0.1", "10.77.0.9" },   { "0.0.0.1", "10.77.0.9" },
	};
	static const struct {
		const char *src, *dst;
	} pairs6[] = {
		{ "fd77::1", "ff02::1" },
		{ "::", "fd77::9" },
		{ "::1", "fd77::9" },
		{ "ff02::1", "fd77::9" },
	};
	uint8_t packet[PACKET_MAX_BYTES] = { 0 }, out[PACKET_MAX_BYTES];
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		len = packet_make(packet, pairs[i].src, pairs[i].dst, 1, 8);
		assert_int_equal(inner_ip_unreachable(out, sizeof(out), packet, len), 0);
	}
	for (size_t i = 0; i < sizeof(pairs6) / sizeof(pairs6[0]); i++) {
		len = ipv6_make(packet, pairs6[i].src, pairs6[i].dst, 17, 8);
		assert_int_equal(inner_ip_unreachable(out, sizeof(out), packet, len), 0);
	}
	len = packet_make(packet, "10.77.0.1", "10.77.0.9", 1, 8);
	assert_int_equal(inner_ip_unreachable(out, sizeof(out), packet, len - 1), 0);
	packet[7] = 1; /* a later fragment */
	assert_int_equal(inner_ip_unreachable(out, sizeof(out), packet, len), 0);
	packet[7] = 0;
	packet[6] = 0x20; /* the first of several */
	assert_true(inner_ip_unreachable(out, sizeof(out), packet, len) > 0);
}

static void icmp_errors_are_not_answered_and_queries_are(void **state)
{
	static const uint8_t queries[] = { 0, 8, 13, 14 }, errors[] = { 3, 4, 5, 11, 12 };
	static const uint8_t queries6[] = { 128, 129 }, errors6[] = { 1, 2, 3, 4, 127 };
	uint8_t packet[PACKET_MAX_BYTES] = { 0 }, out[PACKET_MAX_BYTES];
	size_t len = packet_make(packet, "10.77.0.1", "10.77.0.9", 1, 8);

	(void)state;
	packet[9] = 1;
	for (size_t i = 0; i < sizeof(queries); i++) {
		packet[20] = queries[i];
		assert_true(inner_ip_unreachable(out, sizeof(out), packet, len) > 0);
	}
	for (size_t i = 0; i < sizeof(errors); i++) {
		packet[20] = errors[i];
		assert_int_equal(inner_ip_unreachable(out, sizeof(out), packet, len), 0);
	}
	packet[3] = 20; /* nothing of the ICMP message is there to tell */
	assert_int_equal(inner_ip_unreachable(out, sizeof(out), packet, 20), 0);

	len = ipv6_make(packet, "fd77::1", "fd77::9", 58, 8);
	for (size_t i = 0; i < sizeof(queries6); i++) {
		packet[40] = queries6[i];
		assert_true(inner_ip_unreachable(out, sizeof(out), packet, len) > 0);
	}
	for (size_t i = 0; i < sizeof(errors6); i++) {
		packet[40] = errors6[i];
		assert_int_equal(inner_ip_unreachable(out, sizeof(out), packet, len), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_vector_gets_its_verdict),
		cmocka_unit_test(addresses_are_the_packets),
		cmocka_unit_test(mapped_address_is_not_the_ipv4_address_in_it),
		cmocka_unit_test(packet_cut_anywhere_is_malformed),
		cmocka_unit_test(ipv4_packet_is_answered_with_host_unreachable),
		cmocka_unit_test(ipv6_packet_is_answered_with_address_unreachable),
		cmocka_unit_test(what_must_not_be_answered_is_not),
		cmocka_unit_test(icmp_errors_are_not_answered_and_queries_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
