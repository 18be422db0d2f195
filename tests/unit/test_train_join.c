#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/data/train.h"
#include "tests/unit/train_cases.h"
#include "tests/unit/vectors.h"

#define BOTH (TUN_TSO | TUN_USO)

/* A flow's packets: a valid train, cut. */
static struct ref_packets flow_make(const struct train_shape *s)
{
	struct ref_packets list;
	struct tun_vnet v;
	size_t len;
	uint8_t *packet = train_make(s, &v, &len);

	assert_int_equal(ref_cut(&list, packet, len, &v, 65535), 0);
	free(packet);
	return list;
}

static struct train_shape flow_draw(void)
{
	struct train_shape s = train_shape_draw();

	s.has_options = draw_one_of(16);
	s.is_partial = true;
	s.tcp_flags = draw_one_of(8) ? (uint8_t)draw(256) : 0x18;
	s.payload = 1 + draw(9000);
	s.segment = 1 + draw(1400);
	if (s.payload / s.segment > 80)
		s.segment = 1 + s.payload / 80;
	return s;
}

/* What is written for the packets of `list`, joined: as the reference's super-packet, cut again to what came in. */
static void check_joined(struct joined *j, const struct ref_packets *list)
{
	uint8_t *written = malloc(65536), *super;
	struct ref_packets cut;
	struct tun_vnet v;
	size_t len = 0, super_len;

	train_join_end(j);
	assert_int_equal(j->n_packets, list->n);
	assert_non_null(written);
	for (unsigned i = 0; i < j->n_iov; i++) {
		memcpy(written + len, j->iov[i].iov_base, j->iov[i].iov_len);
		len += j->iov[i].iov_len;
	}
	assert_int_equal(len, j->len);
	if (list->n == 1) {
		struct ref_layout l;

		assert_true(len <= list->packet[0].len);
		assert_memory_equal(written, list->packet[0].data, len);
		assert_int_equal(j->vnet.gso_type, 0);
		if (j->vnet.flags) {
			assert_true(ref_parse(&l, written, len) && l.proto);
			assert_int_equal(j->vnet.csum_start, l.l4);
			assert_int_equal(j->vnet.csum_start + j->vnet.csum_offset, ref_checksum_at(&l));
		}
		free(written);
		return;
	}
	super = ref_super(list, &v, &super_len);
	assert_non_null(super);
	assert_int_equal(len, super_len);
	assert_memory_equal(written, super, len);
	assert_memory_equal(&j->vnet, &v, sizeof(v));
	assert_int_equal(ref_cut(&cut, written, len, &j->vnet, 65535), 0);
	assert_int_equal(cut.n, list->n);
	for (unsigned i = 0; i < cut.n; i++)
		assert_true(
			ref_is_same(cut.packet[i].data, cut.packet[i].len, list->packet[i].data, list->packet[i].len));
	ref_packets_free(&cut);
	free(super);
	free(written);
	for (unsigned i = 0; i < list->n; i++) {
		const uint8_t *packet = train_join_packet(j, i, &len);

		assert_true(len <= list->packet[i].len);
		assert_memory_equal(packet, list->packet[i].data, len);
	}
}

/* Joins a stream as a worker would and asks the reference about every packet. Returns how many were added. */
static unsigned join_and_compare(const struct ref_packets *stream, const bool *is_finished, unsigned features)
{
	struct ref_packets own = { 0 }, group = { 0 };
	unsigned n_added = 0;
	struct joined j;

	for (unsigned i = 0; i < stream->n; i++) {
		const struct ref_packet *p = &stream->packet[i];
		uint8_t *bytes = malloc(p->len ? p->len : 1); /* exactly: the sanitizer sees the end */
		bool is_partial = !(is_finished && is_finished[i]), was_added = false;

		assert_non_null(bytes);
		memcpy(bytes, p->data, p->len);
		if (group.n > 0) {
			bool may = is_partial && group.is_partial && ref_may_join(&group, p->data, p->len, features);

			was_added = train_join_add(&j, bytes, p->len, is_partial);
			assert_int_equal(was_added, may);
			n_added += was_added;
		}
		if (!was_added) {
			if (group.n > 0)
				check_joined(&j, &group);
			ref_packets_free(&group);
			ref_packets_free(&own);
			train_join_begin(&j, bytes, p->len, is_partial, features);
			group.is_partial = is_partial;
		}
		ref_packets_add(&group, p->data, p->len);
		ref_packets_add(&own, p->data, 0); /* keeps what `j` borrows */
		free(own.packet[own.n - 1].data);
		own.packet[own.n - 1].data = bytes;
	}
	if (group.n > 0)
		check_joined(&j, &group);
	ref_packets_free(&group);
	ref_packets_free(&own);
	return n_added;
}

static void packets_of_a_train_are_joined_and_cut_again_the_same(void **state)
{
	unsigned n_added = 0, n_packets = 0;

	(void)state;
	for (unsigned i = 0; i < 400; i++) {
		struct train_shape s = flow_draw();
		struct ref_packets list;

		s.has_options = false;
		s.tcp_flags = draw(2) ? 0x10 : 0x18;
		list = flow_make(&s);
		n_added += join_and_compare(&list, NULL, BOTH);
		n_packets += list.n - 1;
		ref_packets_free(&list);
	}
	assert_true(n_added >= n_packets - n_packets / 50); /* all but where 64 are full */
}

/* One change to one packet, with checksums made right again or not. */
static void packet_mutate(struct ref_packet *p)
{
	size_t reach = p->len < 84 ? p->len : 84;

	switch (draw(8)) {
	case 0: /* another length */
		if (p->len > 41)
			p->len -= 1 + draw(8);
		if (p->data[0] >> 4 == 4)
			ref_put(p->data + 2, 2, (unsigned)p->len);
		else
			ref_put(p->data + 4, 2, (unsigned)p->len - 40);
		break;
	case 1: /* flags of TCP, IPv4's fragment field, TTL */
		p->data[draw(2) ? 33 : 6 + draw(3)] ^= (uint8_t)(1u << draw(8));
		break;
	case 2:
		p->data[draw(2) ? 53 : 12] ^= (uint8_t)(1u << draw(8));
		break;
	default:
		p->data[draw((uint32_t)reach)] ^= (uint8_t)(1u << draw(8));
	}
	if (draw(4) > 0 && p->len >= 60) {
		if ((p->data[0] & 15) * 4u <= p->len)
			ref_ip_checksum_set(p->data);
		ref_checksum_set(p->data, p->len, true);
	}
}

static void changed_packets_are_joined_only_as_the_reference_allows(void **state)
{
	unsigned n_added = 0;

	(void)state;
	for (unsigned i = 0; i < 1500; i++) {
		struct train_shape s = flow_draw();
		struct ref_packets list;
		bool finished[200] = { false };

		s.payload = 1 + draw(2500);
		s.segment += s.payload / 100;
		list = flow_make(&s);
		assert_true(list.n <= 200);
		if (draw_one_of(4)) /* one id for all, as datagrams with DF have */
			for (unsigned k = 0; k < list.n && !s.is_ipv6 && !s.has_options; k++) {
				ref_put(list.packet[k].data + 4, 2, 0);
				ref_ip_checksum_set(list.packet[k].data);
			}
		for (unsigned n = draw(4); n > 0; n--) {
			unsigned a = draw(list.n), b = draw(list.n);
			struct ref_packet swap = list.packet[a];

			switch (draw(6)) {
			case 0:
				list.packet[a] = list.packet[b];
				list.packet[b] = swap;
				break;
			case 1:
				finished[a] = true;
				break;
			default:
				packet_mutate(&list.packet[a]);
			}
		}
		n_added += join_and_compare(&list, finished, draw_one_of(8) ? draw(16) : BOTH);
		ref_packets_free(&list);
	}
	assert_true(n_added > 1000);
}

static void bit_flip(struct ref_packet *p, unsigned bit)
{
	p->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	if ((p->data[0] & 15) * 4u <= p->len)
		ref_ip_checksum_set(p->data);
	ref_checksum_set(p->data, p->len, true);
}

/* Every bit of both headers, one at a time, in one packet and in all, with the checksums right for what it became. */
static void every_bit_of_a_header_counts(void **state)
{
	unsigned n_bits = 0;

	(void)state;
	for (unsigned kind = 0; kind < 4; kind++) {
		struct train_shape s = { .is_ipv6 = kind & 1,
					 .is_tcp = kind & 2,
					 .is_partial = true,
					 .tcp_options = 12,
					 .tcp_flags = 0x10,
					 .payload = 300,
					 .segment = 100 };
		unsigned header = (s.is_ipv6 ? 40 : 20) + (s.is_tcp ? 32 : 8);

		for (unsigned bit = 0; bit < header * 8; bit++)
			for (unsigned which = 0; which < 4; which++) {
				struct ref_packets list = flow_make(&s);

				for (unsigned i = 0; i < list.n; i++)
					if (which == i || which == 3)
						bit_flip(&list.packet[i], bit);
				join_and_compare(&list, NULL, BOTH);
				ref_packets_free(&list);
				n_bits++;
			}
	}
	assert_int_equal(n_bits, 4 * 8 * (28 + 48 + 52 + 72));
}

/* What the kernel of the far end would hardly notice, and byte for byte is not the same. */
static void packets_that_are_wrong_in_themselves_are_not_joined(void **state)
{
	enum {
		HOP_LIMIT,
		RESERVED,
		OTHER_ZERO,
		WRONGS
	};

	(void)state;
	for (unsigned wrong = 0; wrong < WRONGS; wrong++) {
		struct train_shape s = { .is_ipv6 = wrong == HOP_LIMIT,
					 .is_tcp = true,
					 .is_partial = true,
					 .tcp_flags = 0x10,
					 .ip_flags = 0x4000,
					 .payload = 300,
					 .segment = 100 };
		struct ref_packets list = flow_make(&s);

		for (unsigned i = 0; i < list.n; i++) {
			uint8_t *p = list.packet[i].data;

			switch (wrong) {
			case HOP_LIMIT:
				p[7] = 0;
				break;
			case RESERVED:
				p[32] |= 1;
				break;
			default: /* a header that sums to all ones: its checksum is 0, and ffff says the same */
				ref_put(p + 4, 2, 0);
				ref_ip_checksum_set(p);
				ref_put(p + 4, 2, ref_get(p + 10, 2));
				ref_ip_checksum_set(p);
				assert_int_equal(ref_get(p + 10, 2), 0);
				ref_put(p + 10, 2, 0xffff);
			}
		}
		assert_int_equal(join_and_compare(&list, NULL, BOTH), 0);
		ref_packets_free(&list);
	}
}

static void joining_stops_at_64_packets_and_at_65535_bytes(void **state)
{
	struct train_shape s = { .is_tcp = true, .is_partial = true, .payload = 6500, .segment = 100, .tcp_flags = 16 };
	struct ref_packets list = flow_make(&s);
	struct joined j;

	(void)state;
	assert_int_equal(list.n, 65);
	train_join_begin(&j, list.packet[0].data, list.packet[0].len, true, BOTH);
	for (unsigned i = 1; i < 65; i++)
		assert_int_equal(train_join_add(&j, list.packet[i].data, list.packet[i].len, true), i < 64);
	assert_int_equal(j.n_packets, TRAIN_JOIN_MAX);
	ref_packets_free(&list);

	s.payload = 65535 - 40;
	s.segment = 8737; /* 40 + 8737 * 7 + 4336 */
	list = flow_make(&s);
	train_join_begin(&j, list.packet[0].data, list.packet[0].len, true, BOTH);
	for (unsigned i = 1; i < list.n; i++)
		assert_true(train_join_add(&j, list.packet[i].data, list.packet[i].len, true));
	assert_int_equal(j.len, 65535);
	ref_packets_free(&list);

	/* One byte more in the last: made by hand, for no train is that long. */
	s.payload = 65535 - 40 - 4336;
	list = flow_make(&s);
	train_join_begin(&j, list.packet[0].data, list.packet[0].len, true, BOTH);
	for (unsigned i = 1; i < list.n; i++)
		assert_true(train_join_add(&j, list.packet[i].data, list.packet[i].len, true));
	for (unsigned more = 0; more < 2; more++) {
		uint8_t *last = malloc(40 + 4336 + 1);

		assert_non_null(last);
		memcpy(last, list.packet[list.n - 1].data, 40 + 4336 + 1);
		ref_put(last + 2, 2, 40 + 4336 + 1 - more);
		ref_put(last + 4, 2, ref_get(last + 4, 2) + 1);
		ref_put(last + 24, 4, ref_get(last + 24, 4) + 8737);
		ref_ip_checksum_set(last);
		ref_checksum_set(last, 40 + 4336 + 1 - more, true);
		assert_int_equal(train_join_add(&j, last, 40 + 4336 + 1 - more, true), more);
		free(last);
	}
	ref_packets_free(&list);
}

static void device_without_an_offload_gets_single_packets(void **state)
{
	struct train_shape s = { .is_partial = true, .payload = 200, .segment = 100, .tcp_flags = 16 };

	(void)state;
	for (unsigned features = 0; features < 16; features++)
		for (unsigned tcp = 0; tcp < 2; tcp++) {
			struct ref_packets list;

			s.is_tcp = tcp;
			list = flow_make(&s);
			assert_int_equal(join_and_compare(&list, NULL, features),
					 (features & (tcp ? TUN_TSO : TUN_USO)) != 0);
			ref_packets_free(&list);
		}
}

static void single_packet_is_written_as_it_came(void **state)
{
	struct train_shape s = { .is_tcp = true, .is_partial = true, .payload = 100, .segment = 100, .tcp_flags = 2 };
	struct ref_packets list = flow_make(&s);
	struct tun_vnet zero = { 0 };
	struct joined j;

	(void)state;
	train_join_begin(&j, list.packet[0].data, list.packet[0].len, false, BOTH);
	train_join_end(&j);
	assert_memory_equal(&j.vnet, &zero, sizeof(zero));
	train_join_begin(&j, list.packet[0].data, list.packet[0].len, true, BOTH);
	train_join_end(&j);
	assert_int_equal(j.vnet.flags, REF_NEEDS_CSUM);
	assert_int_equal(j.vnet.csum_start, 20);
	assert_int_equal(j.vnet.csum_offset, 16);
	assert_int_equal(j.n_iov, 1);
	/* Said to be unfinished, and nothing there that could be: as it came. */
	list.packet[0].data[9] = 1;
	train_join_begin(&j, list.packet[0].data, list.packet[0].len, true, BOTH);
	train_join_end(&j);
	assert_memory_equal(&j.vnet, &zero, sizeof(zero));
	ref_packets_free(&list);
}

/* The packet that would follow this one in its flow. */
static uint8_t *neighbour_of(const uint8_t *packet, size_t len)
{
	uint8_t *next = malloc(len);
	struct ref_layout l;

	assert_non_null(next);
	memcpy(next, packet, len);
	if (ref_parse(&l, next, len) && l.proto == 6)
		ref_put(next + l.l4 + 4, 4, ref_get(next + l.l4 + 4, 4) + (unsigned)(l.total - l.l4) - 20);
	if (len >= 20 && next[0] >> 4 == 4) {
		unsigned before = ref_get(next + 10, 2);
		uint8_t *fresh = malloc(len);

		assert_non_null(fresh);
		memcpy(fresh, packet, len);
		ref_ip_checksum_set(fresh);
		ref_put(next + 4, 2, ref_get(next + 4, 2) + 1);
		if (ref_get(fresh + 10, 2) == before)
			ref_ip_checksum_set(next);
		free(fresh);
	}
	return next;
}

/* The vectors' checksums are finished, and such packets are never joined; unfinished, where they were right, they are
 * what the kernel of a sender with offloads hands over. */
static void vectors_are_joined_where_they_may_be(void **state)
{
	struct vectors *v = vectors_open("inner_ip.txt");
	unsigned n_yes = 0, n_no = 0;

	(void)state;
	while (vectors_next(v)) {
		struct vector_bytes packet;
		bool may;

		if (!vectors_has(v, "merge"))
			continue;
		may = vectors_is(v, "merge", "yes");
		packet = vectors_hex(v, "packet");
		for (unsigned unfinished = 0; unfinished < 3; unfinished++) {
			uint8_t *first = malloc(packet.len), *second = neighbour_of(packet.data, packet.len);
			struct ref_layout l;
			struct joined j;

			assert_non_null(first);
			memcpy(first, packet.data, packet.len);
			/* A checksum that was wrong stays wrong, by as much. */
			if (unfinished == 2 && ref_parse(&l, first, packet.len) && l.proto) {
				uint8_t *finished = malloc(packet.len);
				unsigned difference;

				assert_non_null(finished);
				memcpy(finished, first, packet.len);
				ref_checksum_set(finished, packet.len, false);
				difference = ref_get(first + ref_checksum_at(&l), 2) -
					     ref_get(finished + ref_checksum_at(&l), 2);
				free(finished);
				ref_checksum_set(first, packet.len, true);
				ref_checksum_set(second, packet.len, true);
				ref_put(first + ref_checksum_at(&l), 2,
					ref_get(first + ref_checksum_at(&l), 2) + difference);
				ref_put(second + ref_checksum_at(&l), 2,
					ref_get(second + ref_checksum_at(&l), 2) + difference);
			}
			train_join_begin(&j, first, packet.len, unfinished > 0, BOTH);
			assert_int_equal(j.len, vectors_number(v, "length"));
			assert_int_equal(train_join_add(&j, second, packet.len, unfinished > 0),
					 may && unfinished == 2);
			free(first);
			free(second);
		}
		n_yes += may;
		n_no += !may;
	}
	vectors_close(v);
	assert_true(n_yes >= 6 && n_no >= 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_of_a_train_are_joined_and_cut_again_the_same),
		cmocka_unit_test(changed_packets_are_joined_only_as_the_reference_allows),
		cmocka_unit_test(every_bit_of_a_header_counts),
		cmocka_unit_test(packets_that_are_wrong_in_themselves_are_not_joined),
		cmocka_unit_test(joining_stops_at_64_packets_and_at_65535_bytes),
		cmocka_unit_test(device_without_an_offload_gets_single_packets),
		cmocka_unit_test(single_packet_is_written_as_it_came),
		cmocka_unit_test(vectors_are_joined_where_they_may_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
