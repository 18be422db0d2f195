#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/data/train.h"
#include "tests/unit/train_cases.h"
#include "tests/unit/vectors.h"

#define ANY_SIZE 65535

static uint8_t *heap_copy(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	assert_non_null(copy);
	memcpy(copy, data, len);
	return copy;
}

/* Cuts a copy; it must come out as the reference has it, and beginning alone must change nothing. */
static int cut_and_compare(const uint8_t *data, size_t len, const struct tun_vnet *v, size_t max)
{
	uint8_t *packet = heap_copy(data, len), *next;
	struct ref_packets expected;
	struct train t;
	size_t n;
	int ret = train_begin(&t, packet, len, v, max);

	assert_int_equal(ret, ref_cut(&expected, data, len, v, max));
	assert_memory_equal(packet, data, len);
	if (ret == 0) {
		assert_int_equal(t.n, expected.n);
		assert_int_equal(t.is_partial, expected.is_partial);
		for (unsigned i = 0; i < expected.n; i++) {
			next = train_next(&t, &n);
			assert_non_null(next);
			assert_int_equal(n, expected.packet[i].len);
			assert_true(n <= max);
			assert_memory_equal(next, expected.packet[i].data, n);
		}
		assert_null(train_next(&t, &n));
		assert_null(train_next(&t, &n));
	}
	ref_packets_free(&expected);
	free(packet);
	return ret;
}

static void train_is_cut_as_the_reference_cuts_it(void **state)
{
	unsigned n_cut = 0, n_too_big = 0;

	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		struct train_shape s = train_shape_draw();
		struct tun_vnet v;
		size_t len, max = draw_one_of(2) ? ANY_SIZE : 100 + draw(1500);
		uint8_t *packet = train_make(&s, &v, &len);
		int ret = cut_and_compare(packet, len, &v, max);

		n_cut += ret == 0;
		n_too_big += ret == -EMSGSIZE;
		free(packet);
	}
	assert_true(n_cut > 2000);
	assert_true(n_too_big > 100);
}

static void damaged_train_gets_the_references_verdict(void **state)
{
	unsigned n_refused = 0, n_cut = 0;

	(void)state;
	for (unsigned i = 0; i < 4000; i++) {
		struct train_shape s = train_shape_draw();
		struct tun_vnet v;
		size_t len;
		uint8_t *packet;
		int ret;

		s.payload = draw(3000);
		s.segment = 50 + draw(1400);
		packet = train_make(&s, &v, &len);
		for (unsigned n = draw(3); n > 0; n--)
			packet[draw(len < 64 ? (uint32_t)len : 64)] ^= (uint8_t)(1u << draw(8));
		switch (draw(8)) {
		case 0:
			v.gso_type = (uint8_t)draw(256);
			break;
		case 1:
			v.gso_size = (uint16_t)draw(3);
			break;
		case 2:
			v.csum_start = (uint16_t)draw(100);
			break;
		case 3:
			v.csum_offset = (uint16_t)draw(65536);
			break;
		case 4:
			v.gso_type = 0;
			break;
		case 5:
			len = draw((uint32_t)len + 1);
			break;
		default:
			v.flags ^= draw_one_of(2) ? 1 : 6;
		}
		ret = cut_and_compare(packet, len, &v, ANY_SIZE);
		n_refused += ret == -EBADMSG;
		n_cut += ret == 0;
		free(packet);
	}
	assert_true(n_refused > 500);
	assert_true(n_cut > 1000);
}

static void plain_packet_passes_whole_whatever_it_carries(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		const struct tun_vnet none = { 0 };
		struct tun_vnet v;
		struct train_shape s = train_shape_draw();
		size_t len, n;
		uint8_t *packet, *copy;
		struct train t;

		s.payload = 60 + draw(2000);
		packet = train_make(&s, &v, &len);
		/* What is behind the addresses may be anything. */
		if (s.is_ipv6)
			packet[6] = (uint8_t)(1 + draw(255));
		else
			packet[9] = (uint8_t)draw(256);
		draw_bytes(packet + 40, 40);
		copy = heap_copy(packet, len);
		assert_int_equal(train_begin(&t, packet, len, &none, len), 0);
		assert_int_equal(t.n, 1);
		assert_false(t.is_partial);
		assert_ptr_equal(train_next(&t, &n), packet);
		assert_int_equal(n, len);
		assert_memory_equal(packet, copy, len);
		assert_null(train_next(&t, &n));
		assert_int_equal(train_begin(&t, packet, len, &none, len - 1), -EMSGSIZE);
		assert_int_equal(train_begin(&t, packet, len - 1, &none, len), -EBADMSG);
		free(copy);
		free(packet);
	}
}

static void checksum_of_a_tunnel_inside_is_finished_where_it_is(void **state)
{
	/* UDP in IPv4 in IPv4: the far end would look for a checksum behind the outer header and find none. */
	uint8_t packet[20 + 20 + 8 + 5] = { 0x45, 0, 0, sizeof(packet), 0, 0, 0, 0, 64, 4 }, *inner = packet + 20;
	struct tun_vnet v = { .flags = REF_NEEDS_CSUM, .csum_start = 40, .csum_offset = 6 };
	struct train t;
	uint16_t start, offset;
	uint8_t *out, expected[sizeof(packet)];
	size_t len;

	(void)state;
	memcpy(inner, (uint8_t[]){ 0x45, 0, 0, 33, 0, 0, 0, 0, 64, 17 }, 10);
	ref_ip_checksum_set(packet);
	ref_ip_checksum_set(inner);
	ref_put(inner + 24, 2, 13);
	memcpy(inner + 28, "hello", 5);
	memcpy(expected, packet, sizeof(packet));
	ref_checksum_set(expected + 20, 33, false);
	ref_checksum_set(inner, 33, true);
	assert_int_equal(train_begin(&t, packet, sizeof(packet), &v, ANY_SIZE), 0);
	assert_false(t.is_partial);
	out = train_next(&t, &len);
	assert_int_equal(len, sizeof(packet));
	assert_memory_equal(out, expected, len);
	assert_int_equal(train_locate_checksum(packet, len, &start, &offset), -EBADMSG);
	v.csum_offset = 12;
	assert_int_equal(train_begin(&t, packet, sizeof(packet), &v, ANY_SIZE), -EBADMSG);
	v.csum_start = v.csum_offset = UINT16_MAX;
	assert_int_equal(train_begin(&t, packet, sizeof(packet), &v, ANY_SIZE), -EBADMSG);
	v.csum_start = v.csum_offset = 0;
	assert_int_equal(train_begin(&t, packet, sizeof(packet), &v, ANY_SIZE), -EBADMSG);
}

static void tcp_train_is_cut_smaller_and_a_udp_train_is_not(void **state)
{
	struct train_shape s = {
		.is_tcp = true, .is_partial = true, .payload = 5000, .segment = 1448, .tcp_flags = 16
	};
	struct tun_vnet v;
	struct train t;
	size_t len;
	uint8_t *packet = train_make(&s, &v, &len);

	(void)state;
	assert_int_equal(train_begin(&t, packet, len, &v, 1488), 0);
	assert_int_equal(t.n, 4);
	assert_int_equal(train_begin(&t, packet, len, &v, 1487), 0);
	assert_int_equal(t.segment_payload, 1447);
	assert_int_equal(train_begin(&t, packet, len, &v, 540), 0);
	assert_int_equal(t.n, 10);
	assert_int_equal(cut_and_compare(packet, len, &v, 540), 0);
	assert_int_equal(cut_and_compare(packet, len, &v, 41), 0);
	assert_int_equal(train_begin(&t, packet, len, &v, 40), -EMSGSIZE);
	free(packet);
	s.is_tcp = false;
	packet = train_make(&s, &v, &len);
	assert_int_equal(cut_and_compare(packet, len, &v, 28 + 1448), 0);
	assert_int_equal(cut_and_compare(packet, len, &v, 28 + 1447), -EMSGSIZE);
	free(packet);
}

static void flags_stand_on_the_segment_they_belong_to(void **state)
{
	/* FIN, PSH, ACK, URG, CWR; the pointer is one byte into the second segment. */
	static const uint8_t flags[] = { 0x10 | 0x20 | 0x80, 0x10 | 0x20, 0x10 | 0x08 | 0x01 };
	static const uint16_t urgent[] = { 1001, 1, 0 };
	struct train_shape s = { .is_tcp = true, .payload = 3000, .segment = 1000, .tcp_flags = 0xb9 };
	struct tun_vnet v;
	struct train t;
	size_t len, n;
	uint8_t *packet = train_make(&s, &v, &len);

	(void)state;
	ref_put(packet + 38, 2, 1001);
	assert_int_equal(train_begin(&t, packet, len, &v, ANY_SIZE), 0);
	for (unsigned i = 0; i < 3; i++) {
		uint8_t *p = train_next(&t, &n);

		assert_int_equal(p[33], flags[i]);
		assert_int_equal(ref_get(p + 38, 2), urgent[i]);
	}
	free(packet);
}

static void udp_train_without_a_checksum_stays_without(void **state)
{
	struct train_shape s = { .payload = 3000, .segment = 1000 };
	struct tun_vnet v;
	struct train t;
	size_t len, n;
	uint8_t *packet = train_make(&s, &v, &len), *p;

	(void)state;
	ref_put(packet + 26, 2, 0);
	assert_int_equal(cut_and_compare(packet, len, &v, ANY_SIZE), 0);
	assert_int_equal(train_begin(&t, packet, len, &v, ANY_SIZE), 0);
	while ((p = train_next(&t, &n)))
		assert_int_equal(ref_get(p + 26, 2), 0);
	free(packet);
}

static void unfinished_checksum_is_found_and_finished(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		struct train_shape s = train_shape_draw();
		struct tun_vnet v;
		size_t len;
		uint8_t *packet, *finished;
		uint16_t start, offset;

		s.is_partial = true;
		s.payload = draw(2000);
		packet = train_make(&s, &v, &len);
		finished = heap_copy(packet, len);
		ref_checksum_set(finished, len, false);
		assert_int_equal(train_locate_checksum(packet, len, &start, &offset), 0);
		assert_int_equal(start, v.csum_start);
		assert_int_equal(offset, v.csum_offset);
		assert_int_equal(train_finish_checksum(packet, len), 0);
		assert_memory_equal(packet, finished, len);
		free(finished);
		free(packet);
	}
}

static void checksum_that_sums_to_zero_is_written_as_ffff(void **state)
{
	struct train_shape s = { .is_partial = true, .payload = 2 };
	struct tun_vnet v;
	size_t len;
	uint8_t *packet = train_make(&s, &v, &len);

	(void)state;
	ref_put(packet + 28, 2, 0);
	ref_checksum_set(packet, len, false);
	ref_put(packet + 28, 2, ref_get(packet + 26, 2)); /* what was missing to the sum of all ones */
	ref_checksum_set(packet, len, true);
	assert_int_equal(train_finish_checksum(packet, len), 0);
	assert_int_equal(ref_get(packet + 26, 2), 0xffff);
	free(packet);
}

/* The checksums in the vectors were not made by this project's code. */
static void checksums_of_the_vectors_are_met(void **state)
{
	struct vectors *v = vectors_open("inner_ip.txt");
	unsigned n_met = 0;

	(void)state;
	while (vectors_next(v)) {
		struct vector_bytes packet = vectors_hex(v, "packet");
		struct ref_layout l;
		uint8_t *copy;

		if (!vectors_is(v, "merge", "yes"))
			continue;
		assert_true(ref_parse(&l, packet.data, packet.len));
		copy = heap_copy(packet.data, packet.len);
		ref_checksum_set(copy, packet.len, true);
		assert_int_equal(train_finish_checksum(copy, packet.len), 0);
		assert_memory_equal(copy, packet.data, packet.len);
		free(copy);
		n_met++;
	}
	vectors_close(v);
	assert_true(n_met >= 4);
}

static void fragments_and_other_protocols_have_no_checksum_to_finish(void **state)
{
	struct train_shape s = { .payload = 100, .is_partial = true };
	struct tun_vnet v;
	size_t len;
	uint16_t start, offset;
	uint8_t *packet = train_make(&s, &v, &len);

	(void)state;
	for (unsigned bit = 0; bit < 14; bit++) { /* offset, more fragments */
		ref_put(packet + 6, 2, 1u << bit);
		assert_int_equal(train_finish_checksum(packet, len), -EBADMSG);
		assert_int_equal(train_locate_checksum(packet, len, &start, &offset), -EBADMSG);
	}
	ref_put(packet + 6, 2, 0x4000);
	for (unsigned proto = 0; proto < 256; proto++) {
		packet[9] = (uint8_t)proto;
		assert_int_equal(train_locate_checksum(packet, len, &start, &offset),
				 proto == 6 || proto == 17 ? 0 : -EBADMSG);
	}
	free(packet);
	s.is_ipv6 = true;
	packet = train_make(&s, &v, &len);
	packet[6] = 44;
	assert_int_equal(train_finish_checksum(packet, len), -EBADMSG);
	packet[6] = 60; /* an extension header that ends behind the packet */
	packet[41] = 255;
	assert_int_equal(train_finish_checksum(packet, len), -EBADMSG);
	free(packet);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(train_is_cut_as_the_reference_cuts_it),
		cmocka_unit_test(damaged_train_gets_the_references_verdict),
		cmocka_unit_test(plain_packet_passes_whole_whatever_it_carries),
		cmocka_unit_test(checksum_of_a_tunnel_inside_is_finished_where_it_is),
		cmocka_unit_test(tcp_train_is_cut_smaller_and_a_udp_train_is_not),
		cmocka_unit_test(flags_stand_on_the_segment_they_belong_to),
		cmocka_unit_test(udp_train_without_a_checksum_stays_without),
		cmocka_unit_test(unfinished_checksum_is_found_and_finished),
		cmocka_unit_test(checksum_that_sums_to_zero_is_written_as_ffff),
		cmocka_unit_test(checksums_of_the_vectors_are_met),
		cmocka_unit_test(fragments_and_other_protocols_have_no_checksum_to_finish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
