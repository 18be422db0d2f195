#include "tests/unit/wire_checks.h"
#include "daemon/wire/session.h"

static struct wire_probe reply_seen_at(const char *endpoint)
{
	struct wire_probe p = { .is_reply = true, .size = UINT16_MAX };

	memset(p.id, 0xfe, sizeof(p.id));
	if (endpoint)
		assert_int_equal(endpoint_from_text(&p.observed, endpoint), 0);
	return p;
}

static void a_probe_comes_back_and_tells_its_size(void **state)
{
	struct wire_probe p = { .size = 0 }, back;
	uint8_t data[1400];

	(void)state;
	memset(p.id, 0x77, sizeof(p.id));
	assert_int_equal(wire_probe_encode(data, sizeof(data), &p), WIRE_PROBE_BYTES);
	assert_int_equal(wire_session_type_of(data, WIRE_PROBE_BYTES), SESSION_PROBE);
	assert_int_equal(wire_probe_decode(&back, data, WIRE_PROBE_BYTES), 0);
	assert_false(back.is_reply);
	assert_int_equal(back.size, WIRE_PROBE_BYTES);
	assert_memory_equal(back.id, p.id, sizeof(p.id));
	assert_true(ip_is_none(&back.observed.ip));
	CHECK_CUTS_REFUSED(wire_probe_decode, struct wire_probe, data, WIRE_PROBE_BYTES);
	CHECK_OTHER_TYPE_REFUSED(wire_probe_decode, struct wire_probe, data, WIRE_PROBE_BYTES);
	CHECK_NO_ROOM(wire_probe_encode, &p, WIRE_PROBE_BYTES);

	p.size = sizeof(data);
	assert_int_equal(wire_probe_encode(data, sizeof(data), &p), sizeof(data));
	assert_int_equal(wire_probe_decode(&back, data, sizeof(data)), 0);
	assert_int_equal(back.size, sizeof(data));
	CHECK_NO_ROOM(wire_probe_encode, &p, sizeof(data));
}

static void replies_come_back_with_what_was_observed(void **state)
{
	static const char *const seen[] = { "255.255.255.255:65535", "[2001:db8::1]:1", NULL };

	(void)state;
	for (size_t i = 0; i < sizeof(seen) / sizeof(seen[0]); i++) {
		struct wire_probe p = reply_seen_at(seen[i]), back;
		uint8_t data[WIRE_PROBE_BYTES];

		assert_int_equal(wire_probe_encode(data, sizeof(data), &p), WIRE_PROBE_BYTES);
		assert_int_equal(wire_probe_decode(&back, data, sizeof(data)), 0);
		assert_true(back.is_reply);
		assert_int_equal(back.size, UINT16_MAX);
		assert_memory_equal(back.id, p.id, sizeof(p.id));
		assert_true(endpoint_equal(&back.observed, &p.observed));
		CHECK_STRICT(wire_probe_decode, struct wire_probe, data, sizeof(data));
	}
}

static void a_reply_with_another_address_length_is_refused(void **state)
{
	struct wire_probe p = reply_seen_at("192.0.2.1:9");
	uint8_t data[WIRE_PROBE_BYTES];

	(void)state;
	wire_probe_encode(data, sizeof(data), &p);
	for (unsigned len = 0; len < 256; len++) {
		data[16] = (uint8_t)len;
		if (len != 0 && len != 4 && len != 16)
			CHECK_REFUSED(wire_probe_decode, struct wire_probe, data, sizeof(data));
	}
}

static void a_probe_that_speaks_like_a_reply_is_refused(void **state)
{
	struct wire_probe p = reply_seen_at("192.0.2.1:9");
	uint8_t data[WIRE_PROBE_BYTES];

	(void)state;
	wire_probe_encode(data, sizeof(data), &p);
	data[1] = 0;
	CHECK_REFUSED(wire_probe_decode, struct wire_probe, data, sizeof(data));
	data[2] = data[3] = 0; /* no size any more, an address still */
	CHECK_REFUSED(wire_probe_decode, struct wire_probe, data, sizeof(data));
}

static void unknown_probe_flags_are_ignored(void **state)
{
	uint8_t data[WIRE_PROBE_BYTES] = { SESSION_PROBE, 0xfe };
	struct wire_probe back;

	(void)state;
	assert_int_equal(wire_probe_decode(&back, data, sizeof(data)), 0);
	assert_false(back.is_reply);
}

static void candidates_come_back(void **state)
{
	struct wire_session_candidates c = { .want_reply = true, .candidates = { .n = 1 } }, back;
	uint8_t data[WIRE_SESSION_MAX_BYTES];
	int len;

	(void)state;
	c.candidates.v[0].kind = CANDIDATE_MAPPED;
	assert_int_equal(endpoint_from_text(&c.candidates.v[0].endpoint, "198.51.100.7:4500"), 0);
	len = wire_session_candidates_encode(data, sizeof(data), &c);
	assert_int_equal(len, 4 + WIRE_CANDIDATES_HEADER_BYTES + 8);
	assert_int_equal(wire_session_type_of(data, (size_t)len), SESSION_CANDIDATES);
	assert_int_equal(wire_session_candidates_decode(&back, data, (size_t)len), 0);
	assert_true(back.want_reply);
	assert_int_equal(back.candidates.n, 1);
	assert_int_equal(back.candidates.v[0].kind, CANDIDATE_MAPPED);
	assert_true(endpoint_equal(&back.candidates.v[0].endpoint, &c.candidates.v[0].endpoint));
	CHECK_STRICT(wire_session_candidates_decode, struct wire_session_candidates, data, (size_t)len);
	CHECK_NO_ROOM(wire_session_candidates_encode, &c, len);
}

static void a_close_and_a_call_have_exactly_four_bytes(void **state)
{
	uint8_t data[5] = { 0 };

	(void)state;
	assert_int_equal(wire_session_close_encode(data, 3), -ENOSPC);
	assert_int_equal(wire_session_close_encode(data, 4), 4);
	assert_int_equal(wire_session_type_of(data, 4), SESSION_CLOSE);
	assert_int_equal(wire_session_type_of(data, 3), -EBADMSG);
	assert_int_equal(wire_session_type_of(data, 5), -EBADMSG);
	assert_int_equal(wire_session_tcp_encode(data, 3), -ENOSPC);
	assert_int_equal(wire_session_tcp_encode(data, 4), 4);
	assert_int_equal(wire_session_type_of(data, 4), SESSION_TCP);
	assert_int_equal(wire_session_type_of(data, 3), -EBADMSG);
	assert_int_equal(wire_session_type_of(data, 5), -EBADMSG);
}

static void a_punch_comes_back_and_speaks_no_nonsense(void **state)
{
	struct wire_punch p = { .step = PUNCH_BASE, .method = PUNCH_COUNT, .stride = -2, .round = 0xfedcba98 }, back;
	uint8_t data[WIRE_PUNCH_BYTES];

	(void)state;
	for (int with_base = 0; with_base < 2; with_base++) {
		if (with_base)
			assert_int_equal(endpoint_from_text(&p.base, "203.0.113.9:65535"), 0);
		assert_int_equal(wire_punch_encode(data, sizeof(data), &p), WIRE_PUNCH_BYTES);
		assert_int_equal(wire_session_type_of(data, sizeof(data)), SESSION_PUNCH);
		assert_int_equal(wire_punch_decode(&back, data, sizeof(data)), 0);
		assert_int_equal(back.step, PUNCH_BASE);
		assert_int_equal(back.method, PUNCH_COUNT);
		assert_int_equal(back.stride, -2);
		assert_int_equal(back.round, 0xfedcba98);
		assert_true(endpoint_equal(&back.base, &p.base));
		CHECK_STRICT(wire_punch_decode, struct wire_punch, data, sizeof(data));
	}
	CHECK_NO_ROOM(wire_punch_encode, &p, WIRE_PUNCH_BYTES);
	for (unsigned v = 0; v < 256; v++) {
		data[1] = (uint8_t)v;
		if (v < PUNCH_ASK || v > PUNCH_BASE)
			CHECK_REFUSED(wire_punch_decode, struct wire_punch, data, sizeof(data));
		data[1] = PUNCH_ASK;
		data[2] = (uint8_t)v;
		if (v < PUNCH_PREDICT || v == PUNCH_HOPELESS || v > PUNCH_FRESH)
			CHECK_REFUSED(wire_punch_decode, struct wire_punch, data, sizeof(data));
		else
			assert_int_equal(wire_punch_decode(&back, data, sizeof(data)), 0);
		data[2] = PUNCH_COUNT;
	}
	assert_int_equal(endpoint_from_text(&p.base, "127.0.0.1:9"), 0);
	wire_punch_encode(data, sizeof(data), &p);
	CHECK_REFUSED(wire_punch_decode, struct wire_punch, data, sizeof(data));
}

static void no_other_type_is_known(void **state)
{
	(void)state;
	assert_int_equal(wire_session_type_of(NULL, 0), -EBADMSG);
	for (unsigned type = 0; type < 256; type++) {
		uint8_t data[4] = { (uint8_t)type };
		int expected = type >= SESSION_PROBE && type <= SESSION_REVOCATIONS ? (int)type : -EBADMSG;

		assert_int_equal(wire_session_type_of(data, sizeof(data)), expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_probe_comes_back_and_tells_its_size),
		cmocka_unit_test(replies_come_back_with_what_was_observed),
		cmocka_unit_test(a_reply_with_another_address_length_is_refused),
		cmocka_unit_test(a_probe_that_speaks_like_a_reply_is_refused),
		cmocka_unit_test(unknown_probe_flags_are_ignored),
		cmocka_unit_test(candidates_come_back),
		cmocka_unit_test(a_close_and_a_call_have_exactly_four_bytes),
		cmocka_unit_test(a_punch_comes_back_and_speaks_no_nonsense),
		cmocka_unit_test(no_other_type_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
