#include "tests/unit/vectors.h"
#include "tests/unit/wire_checks.h"
#include "daemon/wire/stun.h"

static const uint8_t own_id[STUN_ID_BYTES] = { 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae };

static void the_messages_of_rfc_5769_are_read(void **state)
{
	struct vectors *v = vectors_open("stun_rfc5769.txt");
	unsigned n = 0;

	(void)state;
	for (; vectors_next(v); n++) {
		struct vector_bytes packet = vectors_hex(v, "packet");
		struct stun_message m;
		uint8_t id[STUN_ID_BYTES];

		vectors_hex_exact(v, "tid", id, sizeof(id));
		assert_int_equal(stun_decode(&m, packet.data, packet.len), 0);
		assert_memory_equal(m.id, id, sizeof(id));
		assert_true(stun_is(packet.data, packet.len));
		if (vectors_has(v, "mapped")) {
			struct endpoint mapped;

			assert_int_equal(endpoint_from_text(&mapped, vectors_text(v, "mapped")), 0);
			assert_int_equal(m.class, STUN_RESPONSE);
			assert_true(endpoint_equal(&m.mapped, &mapped));
		} else {
			assert_int_equal(m.class, STUN_REQUEST);
		}
		/* ICE's PRIORITY is none of a plain server's attributes. */
		assert_int_equal(m.n_unknown, vectors_has(v, "priority"));
		if (m.n_unknown)
			assert_int_equal(m.unknown[0], 0x0024);
	}
	assert_int_equal(n, 4);
	vectors_close(v);
}

static void a_fingerprint_notices_every_flipped_bit(void **state)
{
	struct vectors *v = vectors_open("stun_rfc5769.txt");
	unsigned n = 0;

	(void)state;
	while (vectors_next(v)) {
		struct vector_bytes packet;
		struct stun_message m;

		if (!vectors_has(v, "fingerprint"))
			continue;
		packet = vectors_hex(v, "packet");
		/* Of the id, the integrity's value and the checksum itself. A flipped length may swallow the fingerprint, and
		 * a message without one is fine. */
		for (size_t bit = 8 * 8; bit < packet.len * 8; bit++) {
			if (bit / 8 == 20)
				bit = (packet.len - 28) * 8;
			if (bit / 8 == packet.len - 8)
				bit = (packet.len - 4) * 8;
			packet.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_int_equal(stun_decode(&m, packet.data, packet.len), -EBADMSG);
			packet.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		n++;
	}
	assert_int_equal(n, 3);
	vectors_close(v);
}

static void a_binding_client_reaches_the_given_verdicts(void **state)
{
	struct vectors *v = vectors_open("stun_malformed.txt");
	unsigned n = 0;

	(void)state;
	for (; vectors_next(v); n++) {
		struct vector_bytes packet = vectors_hex(v, "packet");
		const char *verdict = "drop";
		struct stun_message m;

		if (stun_decode(&m, packet.data, packet.len) == 0) {
			if (m.class == STUN_REQUEST)
				verdict = "request";
			else if (m.class == STUN_RESPONSE && memcmp(m.id, own_id, sizeof(own_id)) == 0)
				verdict = "response";
		}
		if (!vectors_is(v, "verdict", verdict))
			fail_msg("%s: %s", vectors_text(v, "name"), verdict);
		if (vectors_has(v, "mapped")) {
			struct endpoint mapped;

			assert_int_equal(endpoint_from_text(&mapped, vectors_text(v, "mapped")), 0);
			assert_true(endpoint_equal(&m.mapped, &mapped));
		}
	}
	assert_int_equal(n, 42);
	vectors_close(v);
}

static void requests_and_answers_come_back(void **state)
{
	static const char *const froms[] = { "192.0.2.1:1", "223.255.255.255:65535", "[2001:db8::1]:32853" };
	uint8_t data[STUN_REPLY_MAX_BYTES];
	struct stun_message request, reply;

	(void)state;
	assert_int_equal(stun_request_encode(data, own_id, 0), 20);
	assert_int_equal(stun_decode(&request, data, 20), 0);
	assert_int_equal(request.class, STUN_REQUEST);
	assert_memory_equal(request.id, own_id, sizeof(own_id));
	assert_int_equal(request.n_unknown, 0);
	CHECK_CUTS_REFUSED(stun_decode, struct stun_message, data, 20);
	CHECK_TRAILING_REFUSED(stun_decode, struct stun_message, data, 20);
	for (size_t i = 0; i < sizeof(froms) / sizeof(froms[0]); i++) {
		struct endpoint from;
		int len;

		assert_int_equal(endpoint_from_text(&from, froms[i]), 0);
		len = stun_reply_encode(data, &request, &from);
		assert_int_equal(len, from.ip.len == 4 ? 32 : 44);
		assert_int_equal(stun_decode(&reply, data, (size_t)len), 0);
		assert_int_equal(reply.class, STUN_RESPONSE);
		assert_memory_equal(reply.id, own_id, sizeof(own_id));
		assert_true(endpoint_equal(&reply.mapped, &from));
		CHECK_CUTS_REFUSED(stun_decode, struct stun_message, data, (size_t)len);
		CHECK_TRAILING_REFUSED(stun_decode, struct stun_message, data, (size_t)len);
	}
}

static void an_indication_is_neither_a_question_nor_an_answer(void **state)
{
	static const uint8_t begin[] = { 0x00, 0x11, 0, 0, 0x21, 0x12, 0xa4, 0x42 };
	uint8_t data[STUN_INDICATION_BYTES];
	struct stun_message m;

	(void)state;
	assert_int_equal(stun_indication_encode(data, own_id), STUN_INDICATION_BYTES);
	assert_memory_equal(data, begin, sizeof(begin));
	assert_memory_equal(data + sizeof(begin), own_id, sizeof(own_id));
	assert_true(stun_is(data, sizeof(data)));
	assert_false(stun_is_answer(data, sizeof(data)));
	assert_int_equal(stun_decode(&m, data, sizeof(data)), -EBADMSG);
}

static void the_answer_is_that_of_rfc_5769_for_its_endpoint(void **state)
{
	static const uint8_t expected[] = { 0x01, 0x01, 0x00, 0x0c, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7,
					    0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae, 0x00, 0x20,
					    0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43 };
	struct stun_message request = { .class = STUN_REQUEST };
	uint8_t data[STUN_REPLY_MAX_BYTES];
	struct endpoint from;

	(void)state;
	memcpy(request.id, own_id, sizeof(own_id));
	assert_int_equal(endpoint_from_text(&from, "192.0.2.1:32853"), 0);
	assert_int_equal(stun_reply_encode(data, &request, &from), sizeof(expected));
	assert_memory_equal(data, expected, sizeof(expected));
}

/* A request with `n` empty attributes of types first, first + 1, ... Returns its length. */
static size_t request_with(uint8_t *data, uint16_t first, unsigned n)
{
	stun_request_encode(data, own_id, 0);
	for (unsigned i = 0; i < n; i++) {
		data[20 + 4 * i] = (uint8_t)((first + i) >> 8);
		data[21 + 4 * i] = (uint8_t)(first + i);
		data[22 + 4 * i] = data[23 + 4 * i] = 0;
	}
	data[2] = 0;
	data[3] = (uint8_t)(4 * n);
	return 20 + 4 * (size_t)n;
}

static void unknown_required_attributes_are_listed_in_a_420(void **state)
{
	uint8_t data[128], reply[STUN_REPLY_MAX_BYTES];
	struct endpoint from = { .port = 1 };
	struct stun_message m;
	int len;

	(void)state;
	assert_int_equal(stun_decode(&m, data, request_with(data, 0x7001, 3)), 0);
	assert_int_equal(m.n_unknown, 3);
	len = stun_reply_encode(reply, &m, &from);
	assert_int_equal(len, 20 + 8 + 4 + 8);
	assert_memory_equal(reply, "\x01\x11\0\x14", 4);
	assert_memory_equal(reply + 8, own_id, sizeof(own_id));
	assert_memory_equal(reply + 20, "\0\x09\0\x04\0\0\x04\x14\0\x0a\0\x06\x70\x01\x70\x02\x70\x03\0\0", 20);
	assert_int_equal(stun_decode(&m, reply, (size_t)len), 0);
	assert_int_equal(m.class, STUN_ERROR);
}

static void a_flood_of_unknown_attributes_is_cut_and_repeats_count_once(void **state)
{
	uint8_t data[128], reply[STUN_REPLY_MAX_BYTES];
	struct endpoint from = { .port = 1 };
	struct stun_message m;
	int len;

	(void)state;
	assert_int_equal(stun_decode(&m, data, request_with(data, 0x7001, 20)), 0);
	assert_int_equal(m.n_unknown, STUN_UNKNOWN_MAX);
	len = stun_reply_encode(reply, &m, &from);
	assert_in_range(len, 1, STUN_REPLY_MAX_BYTES);
	assert_int_equal(stun_decode(&m, reply, (size_t)len), 0);
	request_with(data, 0x7001, 2);
	memcpy(data + 24, data + 20, 4);
	assert_int_equal(stun_decode(&m, data, 28), 0);
	assert_int_equal(m.n_unknown, 1);
}

static void optional_attributes_and_what_follows_integrity_are_passed_over(void **state)
{
	uint8_t data[128];
	struct stun_message m;

	(void)state;
	assert_int_equal(stun_decode(&m, data, request_with(data, 0x8001, 3)), 0);
	assert_int_equal(m.n_unknown, 0);
	request_with(data, 0x7001, 2);
	data[20] = 0;
	data[21] = 0x08; /* MESSAGE-INTEGRITY before the unknown one */
	assert_int_equal(stun_decode(&m, data, 28), 0);
	assert_int_equal(m.n_unknown, 0);
}

/* As Debian's stun-client sends it: CHANGE-REQUEST always, here with the flags given. */
static size_t classic_request(uint8_t *data, uint8_t flags)
{
	static const uint8_t request[] = { 0x00, 0x01, 0x00, 0x08, 1,  2,  3, 4, 5, 6,    7, 8, 9, 10,
					   11,   12,   13,   14,   15, 16, 0, 3, 0, 0x04, 0, 0, 0, 0 };

	memcpy(data, request, sizeof(request));
	data[27] = flags;
	return sizeof(request);
}

static void a_client_of_rfc_3489_is_answered_in_its_way(void **state)
{
	static const uint8_t expected[] = { 0x01, 0x01, 0x00, 0x0c, 1,    2,    3,   4,  5,  6,    7,
					    8,    9,    10,   11,   12,   13,   14,  15, 16, 0x00, 0x01,
					    0x00, 0x08, 0x00, 0x01, 0x80, 0x55, 192, 0,  2,  1 };
	uint8_t data[64], reply[STUN_REPLY_MAX_BYTES];
	struct stun_message m;
	struct endpoint from;

	(void)state;
	assert_int_equal(endpoint_from_text(&from, "192.0.2.1:32853"), 0);
	assert_int_equal(stun_decode(&m, data, classic_request(data, 0)), 0);
	assert_int_equal(m.n_unknown, 0);
	assert_int_equal(stun_reply_encode(reply, &m, &from), sizeof(expected));
	assert_memory_equal(reply, expected, sizeof(expected));
	/* An answer from another port or address is not ours to give, and one from here would mislead. */
	assert_int_equal(stun_decode(&m, data, classic_request(data, 2)), -EBADMSG);
	assert_int_equal(stun_decode(&m, data, classic_request(data, 4)), -EBADMSG);
	/* Only requests: an answer without the cookie is none of ours. */
	assert_int_equal(stun_decode(&m, expected, sizeof(expected)), -EBADMSG);
}

static void warren_and_stun_tell_each_other_apart(void **state)
{
	static const uint8_t warren[] = { 0x50 };

	(void)state;
	assert_false(stun_is(warren, 1));
	assert_false(stun_is(warren, 0));
}

static void an_answer_is_told_by_its_first_bytes(void **state)
{
	uint8_t data[STUN_REPLY_MAX_BYTES] = { 0x01, 0x01, 0, 0, 0x21, 0x12, 0xa4, 0x42 };

	(void)state;
	assert_true(stun_is_answer(data, 20));
	assert_true(stun_is_answer(data, 8));
	assert_false(stun_is_answer(data, 7));
	data[1] = 0x11;
	assert_true(stun_is_answer(data, 20));
	data[0] = 0;
	assert_false(stun_is_answer(data, 20)); /* an indication: nobody asked for it */
	data[1] = 0x01;
	assert_false(stun_is_answer(data, 20)); /* a request */
	data[0] = 0x01;
	data[7] ^= 1;
	assert_false(stun_is_answer(data, 20));
}

static void a_change_request_stands_behind_the_header(void **state)
{
	static const uint8_t attribute[] = { 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x00, 0x06 };
	uint8_t data[STUN_REQUEST_MAX_BYTES];
	struct stun_message m;

	(void)state;
	assert_int_equal(stun_request_encode(data, own_id, STUN_CHANGE_IP | STUN_CHANGE_PORT), 28);
	assert_memory_equal(data + 20, attribute, sizeof(attribute));
	/* We do not do it ourselves, and say so. */
	assert_int_equal(stun_decode(&m, data, 28), 0);
	assert_int_equal(m.n_unknown, 1);
	assert_int_equal(m.unknown[0], 0x0003);
}

/* A success response to own_id with MAPPED-ADDRESS 192.0.2.1:32853, then `attribute`. */
static int decode_with(struct stun_message *m, const uint8_t *attribute, size_t len)
{
	static const uint8_t mapped[] = { 0, 1, 0, 8, 0, 1, 0x80, 0x55, 192, 0, 2, 1 };
	uint8_t data[128] = { 0x01, 0x01, 0, (uint8_t)(sizeof(mapped) + len), 0x21, 0x12, 0xa4, 0x42 };

	memcpy(data + 8, own_id, sizeof(own_id));
	memcpy(data + 20, mapped, sizeof(mapped));
	memcpy(data + 20 + sizeof(mapped), attribute, len);
	return stun_decode(m, data, 20 + sizeof(mapped) + len);
}

static void the_servers_other_address_is_read_if_it_can_be_used(void **state)
{
	static const uint8_t other[] = { 0x80, 0x2c, 0, 8, 0, 1, 0x0d, 0x97, 198, 51, 100, 11 },
			     changed[] = { 0x00, 0x05, 0, 8, 0, 1, 0x0d, 0x97, 198, 51, 100, 11 },
			     nowhere[] = { 0x80, 0x2c, 0, 8, 0, 1, 0x0d, 0x97, 0, 0, 0, 0 },
			     broken[] = { 0x80, 0x2c, 0, 4, 0, 1, 0x0d, 0x97 },
			     /* SOURCE-ADDRESS and CHANGED-ADDRESS, as servers of RFC 3489 send them */
		classic[] = { 0x00, 0x04, 0, 8, 0, 1, 0x0d, 0x96, 198, 51, 100, 10,
			      0x00, 0x05, 0, 8, 0, 1, 0x0d, 0x97, 198, 51, 100, 11 };
	struct endpoint expected;
	struct stun_message m;

	(void)state;
	assert_int_equal(endpoint_from_text(&expected, "198.51.100.11:3479"), 0);
	assert_int_equal(decode_with(&m, other, sizeof(other)), 0);
	assert_true(endpoint_equal(&m.other, &expected));
	assert_int_equal(m.mapped.port, 32853);
	assert_int_equal(decode_with(&m, changed, sizeof(changed)), 0);
	assert_true(endpoint_equal(&m.other, &expected));
	assert_int_equal(decode_with(&m, classic, sizeof(classic)), 0);
	assert_true(endpoint_equal(&m.other, &expected));
	assert_int_equal(decode_with(&m, nowhere, sizeof(nowhere)), 0);
	assert_true(ip_is_none(&m.other.ip));
	assert_int_equal(decode_with(&m, broken, sizeof(broken)), -EBADMSG);
	assert_int_equal(decode_with(&m, other, 0), 0);
	assert_true(ip_is_none(&m.other.ip));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_messages_of_rfc_5769_are_read),
		cmocka_unit_test(a_fingerprint_notices_every_flipped_bit),
		cmocka_unit_test(a_binding_client_reaches_the_given_verdicts),
		cmocka_unit_test(requests_and_answers_come_back),
		cmocka_unit_test(an_indication_is_neither_a_question_nor_an_answer),
		cmocka_unit_test(the_answer_is_that_of_rfc_5769_for_its_endpoint),
		cmocka_unit_test(unknown_required_attributes_are_listed_in_a_420),
		cmocka_unit_test(a_flood_of_unknown_attributes_is_cut_and_repeats_count_once),
		cmocka_unit_test(optional_attributes_and_what_follows_integrity_are_passed_over),
		cmocka_unit_test(a_client_of_rfc_3489_is_answered_in_its_way),
		cmocka_unit_test(warren_and_stun_tell_each_other_apart),
		cmocka_unit_test(an_answer_is_told_by_its_first_bytes),
		cmocka_unit_test(a_change_request_stands_behind_the_header),
		cmocka_unit_test(the_servers_other_address_is_read_if_it_can_be_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
