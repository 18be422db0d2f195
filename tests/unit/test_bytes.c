#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/base/bytes.h"

static void integers_are_big_endian_and_come_back(void **state)
{
	static const uint8_t expected[] = { 0xfe, 0x01, 0x02, 0xff, 0x00, 0x00, 0x01, 0x80,
					    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x07 };
	uint8_t data[15];
	struct writer w = writer_of(data, sizeof(data));
	struct reader r = reader_of(data, sizeof(data));

	(void)state;
	writer_u8(&w, 0xfe);
	writer_be16(&w, 0x0102);
	writer_be32(&w, 0xff000001);
	writer_be64(&w, 0x8000000000000007);
	assert_int_equal(writer_finish(&w), 15);
	assert_memory_equal(data, expected, sizeof(expected));
	assert_int_equal(reader_u8(&r), 0xfe);
	assert_int_equal(reader_be16(&r), 0x0102);
	assert_int_equal(reader_be32(&r), 0xff000001);
	assert_true(reader_be64(&r) == 0x8000000000000007);
	assert_true(reader_at_end(&r));
}

static void a_short_read_yields_zeros_and_stays_failed(void **state)
{
	static const uint8_t data[] = { 1, 2, 3 };
	struct reader r = reader_of(data, sizeof(data));
	uint8_t copy[2] = { 9, 9 };

	(void)state;
	assert_int_equal(reader_be32(&r), 0);
	assert_false(reader_ok(&r));
	assert_int_equal(reader_left(&r), 0);
	assert_int_equal(reader_u8(&r), 0); /* one byte would be there */
	assert_null(reader_take(&r, 0));
	reader_copy(&r, copy, sizeof(copy));
	assert_int_equal(copy[0] | copy[1], 0);
	assert_false(reader_at_end(&r));
}

static void a_length_near_the_largest_does_not_wrap(void **state)
{
	uint8_t data[4] = { 0 };
	struct reader r = reader_of(data, sizeof(data));
	struct writer w = writer_of(data, sizeof(data));

	(void)state;
	reader_skip(&r, 1);
	assert_null(reader_take(&r, SIZE_MAX));
	assert_false(reader_ok(&r));
	writer_u8(&w, 1);
	assert_null(writer_reserve(&w, SIZE_MAX));
	assert_int_equal(writer_finish(&w), -ENOSPC);
}

static void bytes_left_before_the_end_are_not_the_end(void **state)
{
	static const uint8_t data[] = { 1, 2, 3 };
	struct reader r = reader_of(data, sizeof(data));
	const uint8_t *taken;

	(void)state;
	taken = reader_take(&r, 2);
	assert_ptr_equal(taken, data);
	assert_int_equal(reader_left(&r), 1);
	assert_false(reader_at_end(&r));
	reader_skip(&r, 1);
	assert_true(reader_at_end(&r));
}

static void no_input_and_no_room_are_fine(void **state)
{
	struct reader r = reader_of(NULL, 0);
	struct writer w = writer_of(NULL, 0);

	(void)state;
	assert_true(reader_at_end(&r));
	reader_copy(&r, NULL, 0);
	assert_true(reader_at_end(&r));
	writer_put(&w, NULL, 0);
	assert_int_equal(writer_finish(&w), 0);
	writer_u8(&w, 1);
	assert_int_equal(writer_finish(&w), -ENOSPC);
}

static void a_full_writer_writes_nothing_more(void **state)
{
	uint8_t data[6] = { 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa };
	struct writer w = writer_of(data, 5);

	(void)state;
	writer_zero(&w, 2);
	writer_put(&w, "xy", 2);
	writer_be16(&w, 0x1111);
	writer_u8(&w, 0x22); /* would fit, but the message is broken already */
	assert_int_equal(writer_len(&w), 4);
	assert_int_equal(writer_finish(&w), -ENOSPC);
	assert_memory_equal(data, "\0\0xy\xaa\xaa", 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers_are_big_endian_and_come_back),
		cmocka_unit_test(a_short_read_yields_zeros_and_stays_failed),
		cmocka_unit_test(a_length_near_the_largest_does_not_wrap),
		cmocka_unit_test(bytes_left_before_the_end_are_not_the_end),
		cmocka_unit_test(no_input_and_no_room_are_fine),
		cmocka_unit_test(a_full_writer_writes_nothing_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
