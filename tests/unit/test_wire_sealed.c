#include <stdbool.h>

#include "tests/unit/wire_checks.h"
#include "daemon/wire/wire.h"

static void header_is_laid_out_as_its_table(void **state)
{
	static const struct wire_sealed h = { WIRE_DATA, WIRE_FLAG_LZ4, 0x01020304, 0x1112131415161718, 2, 3 };
	static const uint8_t expected[] = { 0x53, 0x01, 2,    3,    0x01, 0x02, 0x03, 0x04,
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
		struct wire_sealed h = { (uint8_t)type, 0xff, UINT32_MAX, UINT64_MAX, 0, 0 }, back;
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

static void pieces_are_of_data_and_number_what_they_say(void **state)
{
	static const struct {
		uint8_t type, piece, n_pieces, counter;
		bool is_good;
	} cases[] = {
		{ WIRE_DATA, 0, 2, 0, true },
		{ WIRE_DATA, 1, 2, 1, true },
		{ WIRE_DATA, WIRE_PIECES_MAX - 1, WIRE_PIECES_MAX, WIRE_PIECES_MAX, true },
		{ WIRE_DATA, 2, 2, 9, false }, /* there is none after the last */
		{ WIRE_DATA, 1, 0, 9, false }, /* of a whole packet */
		{ WIRE_DATA, 0, WIRE_PIECES_MAX + 1, 9, false },
		{ WIRE_DATA, 1, 2, 0, false }, /* the first would have a counter below 0 */
		{ WIRE_SESSION, 0, 2, 9, false },
		{ WIRE_BIND, 0, 2, 9, false },
		{ WIRE_BIND, 3, 0, 9, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t data[WIRE_SEALED_OVERHEAD_BYTES] = { cases[i].type, 0, cases[i].piece, cases[i].n_pieces };
		struct wire_sealed h;

		data[15] = cases[i].counter;
		assert_int_equal(wire_sealed_decode(&h, data, sizeof(data)), cases[i].is_good ? 0 : -EBADMSG);
		if (cases[i].is_good)
			assert_true(h.piece == cases[i].piece && h.n_pieces == cases[i].n_pieces);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_is_laid_out_as_its_table),
		cmocka_unit_test(header_comes_back_for_its_three_types_only),
		cmocka_unit_test(a_datagram_without_room_for_a_tag_is_refused),
		cmocka_unit_test(pieces_are_of_data_and_number_what_they_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
