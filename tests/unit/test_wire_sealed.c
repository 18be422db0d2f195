#include "tests/unit/wire_checks.h"
#include "daemon/wire/wire.h"

static void header_is_laid_out_as_its_table(void **state)
{
	static const struct wire_sealed h = { WIRE_DATA, WIRE_FLAG_LZ4, 0x01020304, 0x1112131415161718 };
	static const uint8_t expected[] = { 0x53, 0x01, 0,    0,    0x01, 0x02, 0x03, 0x04,
					    0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18 };
	uint8_t out[WIRE_SEALED_HEADER_BYTES];

	(void)state;
	wire_sealed_encode(out, &h);
	assert_memory_equal(out, expected, sizeof(expected));
}

static void header_comes_back_for_its_three_types_only(void **state)
{
	(void)state;
	for (unsigned type = 0; type < 256; type++) {
		struct wire_sealed h = { (uint8_t)type, 0xff, UINT32_MAX, UINT64_MAX }, back;
		uint8_t data[WIRE_SEALED_OVERHEAD_BYTES] = { 0 };

		wire_sealed_encode(data, &h);
		if (type != WIRE_DATA && type != WIRE_SESSION && type != WIRE_BIND) {
			CHECK_REFUSED(wire_sealed_decode, struct wire_sealed, data, sizeof(data));
			continue;
		}
		assert_int_equal(wire_sealed_decode(&back, data, sizeof(data)), 0);
		assert_int_equal(back.type, type);
		assert_int_equal(back.flags, 0xff);
		assert_int_equal(back.index, UINT32_MAX);
		assert_true(back.counter == UINT64_MAX);
	}
}

static void a_datagram_without_room_for_a_tag_is_refused(void **state)
{
	uint8_t data[WIRE_SEALED_OVERHEAD_BYTES] = { WIRE_SESSION };
	struct wire_sealed h;

	(void)state;
	assert_int_equal(wire_sealed_decode(&h, data, sizeof(data)), 0);
	CHECK_CUTS_REFUSED(wire_sealed_decode, struct wire_sealed, data, sizeof(data));
}

static void reserved_bytes_are_ignored(void **state)
{
	uint8_t data[WIRE_SEALED_OVERHEAD_BYTES] = { WIRE_BIND, 0, 0xff, 0xff };
	struct wire_sealed h;

	(void)state;
	assert_int_equal(wire_sealed_decode(&h, data, sizeof(data)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_is_laid_out_as_its_table),
		cmocka_unit_test(header_comes_back_for_its_three_types_only),
		cmocka_unit_test(a_datagram_without_room_for_a_tag_is_refused),
		cmocka_unit_test(reserved_bytes_are_ignored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
