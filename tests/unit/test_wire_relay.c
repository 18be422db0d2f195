#include "tests/unit/wire_checks.h"
#include "daemon/wire/relay.h"

static void header_comes_back_with_the_payload_behind_it(void **state)
{
	struct wire_relay m = { .index = UINT32_MAX, .counter = UINT64_MAX, .member = 0x80000000 }, back;
	uint8_t data[WIRE_RELAY_HEADER_BYTES + 3] = { 0 };

	(void)state;
	memset(m.tag, 0xee, sizeof(m.tag));
	wire_relay_encode(data, &m);
	assert_int_equal(data[0], WIRE_RELAY);
	assert_int_equal(data[WIRE_RELAY_TAGGED_BYTES], 0xee);
	assert_int_equal(wire_relay_decode(&back, data, sizeof(data)), 0);
	assert_int_equal(back.index, UINT32_MAX);
	assert_true(back.counter == UINT64_MAX);
	assert_int_equal(back.member, 0x80000000);
	assert_memory_equal(back.tag, m.tag, sizeof(m.tag));
	assert_ptr_equal(back.payload, data + WIRE_RELAY_HEADER_BYTES);
	assert_int_equal(back.payload_len, 3);
	CHECK_OTHER_TYPE_REFUSED(wire_relay_decode, struct wire_relay, data, sizeof(data));
}

static void a_header_with_nothing_to_relay_is_refused(void **state)
{
	uint8_t data[WIRE_RELAY_HEADER_BYTES + 1] = { WIRE_RELAY };
	struct wire_relay back;

	(void)state;
	assert_int_equal(wire_relay_decode(&back, data, sizeof(data)), 0);
	CHECK_CUTS_REFUSED(wire_relay_decode, struct wire_relay, data, sizeof(data));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_comes_back_with_the_payload_behind_it),
		cmocka_unit_test(a_header_with_nothing_to_relay_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
