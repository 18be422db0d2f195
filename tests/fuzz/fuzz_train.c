/* Trains cut and packets joined, compared with the reference. The first byte says which:
 * 0: flags u8, gso_type u8, gso_size, csum_start, csum_offset, max_packet u16 each, then the packet.
 * 1: features u8, then packets, each a byte of flags, length u16 and that many bytes: a whole packet, or with REPEATED
 * what is XORed upon the header of the packet that would follow the last one.
 * 2: a packet whose unfinished checksum is to be finished. */
#include "tests/fuzz/fuzz.h"
#include "tests/unit/train_reference.h"

#include "daemon/data/train.h"

enum {
	CUT,
	JOIN,
	FINISH,
	MODES
};

enum {
	PARTIAL = 1,
	CHECKSUMS = 2, /* are made right */
	REPEATED = 4
};

#define PACKETS_MAX 100

static uint8_t *exact_copy(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	must(copy != NULL);
	if (len > 0)
		memcpy(copy, data, len);
	return copy;
}

static void cut(const uint8_t *data, size_t len)
{
	struct ref_packets expected;
	struct tun_vnet v;
	struct train t;
	uint8_t *packet, *next;
	size_t n, max;
	int ret;

	if (len < 10)
		return;
	v = (struct tun_vnet){ .flags = data[0],
			       .gso_type = data[1],
			       .gso_size = (uint16_t)ref_get(data + 2, 2),
			       .csum_start = (uint16_t)ref_get(data + 4, 2),
			       .csum_offset = (uint16_t)ref_get(data + 6, 2) };
	max = ref_get(data + 8, 2);
	data += 10;
	len -= 10;
	packet = exact_copy(data, len);
	ret = train_begin(&t, packet, len, &v, max);
	must(ret == ref_cut(&expected, data, len, &v, max));
	must(len == 0 || memcmp(packet, data, len) == 0);
	if (ret == 0) {
		must(t.n == expected.n && t.is_partial == expected.is_partial);
		for (unsigned i = 0; i < expected.n; i++) {
			next = train_next(&t, &n);
			must(next && n == expected.packet[i].len && n <= max);
			must(memcmp(next, expected.packet[i].data, n) == 0);
		}
		must(train_next(&t, &n) == NULL);
	}
	ref_packets_free(&expected);
	free(packet);
}

/* What is written is the reference's super-packet, or the one packet as it came. */
static void check_joined(struct joined *j, const struct ref_packets *group)
{
	uint8_t *super = group->packet[0].data, *written;
	size_t len = 0, super_len = j->len;
	struct tun_vnet v;

	train_join_end(j);
	must(j->n_packets == group->n && j->n_iov == group->n);
	if (group->n > 1) {
		super = ref_super(group, &v, &super_len);
		must(super && memcmp(&v, &j->vnet, sizeof(v)) == 0);
	} else {
		must(j->vnet.gso_type == 0 && super_len <= group->packet[0].len);
	}
	must(j->len == super_len);
	written = exact_copy(super, super_len);
	for (unsigned i = 0; i < j->n_iov; i++) {
		must(j->iov[i].iov_len <= super_len - len);
		must(memcmp(written + len, j->iov[i].iov_base, j->iov[i].iov_len) == 0);
		len += j->iov[i].iov_len;
	}
	must(len == super_len);
	for (unsigned i = 0; i < group->n; i++) {
		const uint8_t *packet = train_join_packet(j, i, &len);

		must(len <= group->packet[i].len && memcmp(packet, group->packet[i].data, len) == 0);
	}
	free(written);
	if (group->n > 1)
		free(super);
}

static void follow(uint8_t *p, size_t len)
{
	struct ref_layout l;

	if (!ref_parse(&l, p, len))
		return;
	if (l.version == 4)
		ref_put(p + 4, 2, ref_get(p + 4, 2) + 1);
	if (l.proto == 6)
		ref_put(p + l.l4 + 4, 4,
			ref_get(p + l.l4 + 4, 4) + (unsigned)(l.total - l.l4 - (p[l.l4 + 12] >> 4) * 4u));
}

static void checksums_set(uint8_t *p, size_t len, bool is_partial)
{
	struct ref_layout l;

	if (!ref_parse(&l, p, len))
		return;
	ref_ip_checksum_set(p);
	ref_checksum_set(p, len, is_partial);
}

static void join(const uint8_t *data, size_t len)
{
	struct ref_packets group = { 0 }, borrowed = { 0 };
	const uint8_t *end = data + len;
	uint8_t *packet, *last = NULL;
	size_t size, last_size = 0;
	struct joined j;
	unsigned features;

	if (len < 1)
		return;
	features = *data++;
	for (unsigned n = 0; n < PACKETS_MAX && end - data >= 3; n++) {
		uint8_t flags = data[0];
		bool is_partial = flags & PARTIAL, was_added = false;

		size = ref_get(data + 1, 2);
		data += 3;
		if (size > (size_t)(end - data))
			size = (size_t)(end - data);
		if ((flags & REPEATED) && last) {
			packet = exact_copy(last, last_size);
			follow(packet, last_size);
			for (size_t i = 0; i < size && i < last_size; i++)
				packet[i] ^= data[i];
			data += size;
			size = last_size;
		} else {
			packet = exact_copy(data, size);
			data += size;
		}
		if (flags & CHECKSUMS)
			checksums_set(packet, size, is_partial);
		free(last);
		last = exact_copy(packet, size);
		last_size = size;
		if (group.n > 0) {
			bool may = is_partial && group.is_partial && ref_may_join(&group, packet, size, features);

			was_added = train_join_add(&j, packet, size, is_partial);
			must(was_added == may);
			if (!was_added) {
				check_joined(&j, &group);
				ref_packets_free(&group);
				ref_packets_free(&borrowed);
			}
		}
		if (!was_added) {
			group.is_partial = is_partial;
			train_join_begin(&j, packet, size, is_partial, features);
		}
		ref_packets_add(&group, last, last_size);
		free(ref_packets_add(&borrowed, last, 0));
		borrowed.packet[borrowed.n - 1].data = packet;
	}
	if (group.n > 0)
		check_joined(&j, &group);
	ref_packets_free(&group);
	ref_packets_free(&borrowed);
	free(last);
}

static void finish(const uint8_t *data, size_t len)
{
	uint8_t *packet = exact_copy(data, len);
	struct ref_layout l;
	uint16_t start, offset;
	int ret = train_locate_checksum(packet, len, &start, &offset);

	must(train_finish_checksum(packet, len) == ret);
	if (ref_parse(&l, data, len) && l.proto) {
		size_t at = ref_checksum_at(&l);
		unsigned sum = ~ref_sum(0, data + l.l4, l.total - l.l4) & 0xffff;

		must(ret == 0 && start == l.l4 && start + offset == (int)at);
		must(ref_get(packet + at, 2) == (sum ? sum : 0xffff));
		memcpy(packet + at, data + at, 2);
	} else {
		must(ret == -EBADMSG);
	}
	must(len == 0 || memcmp(packet, data, len) == 0);
	free(packet);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len == 0)
		return 0;
	switch (data[0] % MODES) {
	case CUT:
		cut(data + 1, len - 1);
		break;
	case JOIN:
		join(data + 1, len - 1);
		break;
	default:
		finish(data + 1, len - 1);
	}
	return 0;
}
