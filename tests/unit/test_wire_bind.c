#include "tests/unit/wire_checks.h"
#include "daemon/wire/bind.h"

static void a_request_comes_back(void **state)
{
	struct wire_bind b = { .type = BIND_REQUEST,
			       .flags = BIND_NO_MOVE | BIND_OTHER_PORT | BIND_OTHER_ADDRESS,
			       .time_ds = 1800,
			       .token = UINT64_MAX,
			       .challenge = UINT64_MAX - 1 },
			 back;
	uint8_t data[WIRE_BIND_BYTES];

	(void)state;
	wire_bind_encode(data, &b);
	assert_int_equal(wire_bind_decode(&back, data, sizeof(data)), 0);
	assert_int_equal(back.type, BIND_REQUEST);
	assert_int_equal(back.flags, BIND_NO_MOVE | BIND_OTHER_PORT | BIND_OTHER_ADDRESS);
	assert_int_equal(back.time_ds, 1800);
	assert_true(back.token == UINT64_MAX);
	assert_true(back.challenge == UINT64_MAX - 1);
	assert_true(ip_is_none(&back.observed.ip));
	CHECK_STRICT(wire_bind_decode, struct wire_bind, data, sizeof(data));
}

static void replies_come_back_with_the_observed_endpoint(void **state)
{
	static const char *const seen[] = { "192.0.2.1:65535", "[2001:db8::1]:1" };

	(void)state;
	for (size_t i = 0; i < sizeof(seen) / sizeof(seen[0]); i++) {
		struct wire_bind b = { .type = BIND_REPLY, .flags = BIND_BOUND | BIND_LATER, .token = 1 }, back;
		uint8_t data[WIRE_BIND_BYTES];

		assert_int_equal(endpoint_from_text(&b.observed, seen[i]), 0);
		wire_bind_encode(data, &b);
		assert_int_equal(wire_bind_decode(&back, data, sizeof(data)), 0);
		assert_int_equal(back.type, BIND_REPLY);
		assert_int_equal(back.flags, BIND_BOUND | BIND_LATER);
		assert_true(back.token == 1 && back.challenge == 0);
		assert_true(endpoint_equal(&back.observed, &b.observed));
		CHECK_STRICT(wire_bind_decode, struct wire_bind, data, sizeof(data));
	}
}

static void a_reply_without_an_endpoint_is_refused(void **state)
{
	struct wire_bind b = { .type = BIND_REPLY };
	uint8_t data[WIRE_BIND_BYTES];

	(void)state;
	wire_bind_encode(data, &b);
	CHECK_REFUSED(wire_bind_decode, struct wire_bind, data, sizeof(data));
	assert_int_equal(endpoint_from_text(&b.observed, "192.0.2.1:0"), 0);
	wire_bind_encode(data, &b);
	CHECK_REFUSED(wire_bind_decode, struct wire_bind, data, sizeof(data));
	data[23] = 1; /* a port now, and an address of five bytes */
	data[20] = 5;
	CHECK_REFUSED(wire_bind_decode, struct wire_bind, data, sizeof(data));
}

static void other_types_are_refused_and_other_flags_ignored(void **state)
{
	uint8_t data[WIRE_BIND_BYTES] = { 0, 0xf8, 0xff, 0xff };
	struct wire_bind back;

	(void)state;
	CHECK_REFUSED(wire_bind_decode, struct wire_bind, data, sizeof(data));
	data[0] = BIND_REPLY + 1;
	CHECK_REFUSED(wire_bind_decode, struct wire_bind, data, sizeof(data));
	data[0] = BIND_REQUEST;
	assert_int_equal(wire_bind_decode(&back, data, sizeof(data)), 0);
	assert_int_equal(back.flags, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_comes_back),
		cmocka_unit_test(replies_come_back_with_the_observed_endpoint),
		cmocka_unit_test(a_reply_without_an_endpoint_is_refused),
		cmocka_unit_test(other_types_are_refused_and_other_flags_ignored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
