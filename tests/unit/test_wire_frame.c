#include "tests/unit/wire_checks.h"
#include "daemon/wire/frame.h"

static void a_frame_is_seen_only_when_whole(void **state)
{
	uint8_t data[WIRE_FRAME_HEADER_BYTES + WIRE_FRAME_MAX_BYTES + 1] = { 0 };
	const uint8_t *body = NULL;

	(void)state;
	wire_frame_header(data, WIRE_FRAME_MAX_BYTES);
	for (size_t len = 0; len < WIRE_FRAME_HEADER_BYTES + WIRE_FRAME_MAX_BYTES; len += 7) {
		uint8_t *copy = exact_copy(data, len);

		assert_int_equal(wire_frame_peek(copy, len, &body), 0);
		assert_null(body);
		free(copy);
	}
	assert_int_equal(wire_frame_peek(data, WIRE_FRAME_HEADER_BYTES + WIRE_FRAME_MAX_BYTES - 1, &body), 0);
	assert_null(body);
	assert_int_equal(wire_frame_peek(data, sizeof(data), &body), WIRE_FRAME_MAX_BYTES);
	assert_ptr_equal(body, data + WIRE_FRAME_HEADER_BYTES);
}

static void the_next_frame_may_stand_behind(void **state)
{
	static const uint8_t data[] = { 0, 1, 0xaa, 0, 2, 0xbb, 0xcc };
	const uint8_t *body = NULL;

	(void)state;
	assert_int_equal(wire_frame_peek(data, sizeof(data), &body), 1);
	assert_ptr_equal(body, data + 2);
	assert_int_equal(wire_frame_peek(data + 3, sizeof(data) - 3, &body), 2);
	assert_ptr_equal(body, data + 5);
}

static void lengths_that_cannot_be_are_refused_at_once(void **state)
{
	const uint8_t *body = NULL;
	uint8_t data[2] = { 0, 0 };

	(void)state;
	assert_int_equal(wire_frame_peek(data, sizeof(data), &body), -EBADMSG);
	wire_frame_header(data, WIRE_FRAME_MAX_BYTES + 1);
	assert_int_equal(wire_frame_peek(data, sizeof(data), &body), -EBADMSG);
	wire_frame_header(data, UINT16_MAX);
	assert_int_equal(wire_frame_peek(data, sizeof(data), &body), -EBADMSG);
	assert_null(body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_is_seen_only_when_whole),
		cmocka_unit_test(the_next_frame_may_stand_behind),
		cmocka_unit_test(lengths_that_cannot_be_are_refused_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
