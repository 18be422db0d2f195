#include "tests/unit/wire_checks.h"
#include "daemon/wire/loop.h"

static void the_token_comes_back(void **state)
{
	uint8_t data[WIRE_LOOP_BYTES];
	uint64_t token = 0;

	(void)state;
	wire_loop_encode(data, UINT64_MAX - 1);
	assert_int_equal(wire_loop_decode(&token, data, sizeof(data)), 0);
	assert_true(token == UINT64_MAX - 1);
	CHECK_STRICT(wire_loop_decode, uint64_t, data, sizeof(data));
	data[1] = 0xff; /* reserved */
	assert_int_equal(wire_loop_decode(&token, data, sizeof(data)), 0);
	data[0] = WIRE_BIND;
	CHECK_REFUSED(wire_loop_decode, uint64_t, data, sizeof(data));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_token_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
