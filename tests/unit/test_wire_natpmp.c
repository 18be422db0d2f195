#include "tests/unit/wire_checks.h"

#include "daemon/wire/natpmp.h"

/* RFC 6886 sections 3.2 and 3.3. */
static void requests_are_as_the_rfc_draws_them(void **state)
{
	static const uint8_t drawn[NATPMP_MAP_BYTES] = { 0, 2, 0, 0, 0x6c, 0x34, 0x6c, 0x35, 0, 0, 0x1c, 0x20 };
	struct natpmp_request map = { NATPMP_MAP_TCP, 27700, 27701, 7200 }, address = { .opcode = NATPMP_ADDRESS };
	uint8_t data[NATPMP_MAP_BYTES];

	(void)state;
	assert_int_equal(natpmp_request_encode(data, sizeof(data), &map), NATPMP_MAP_BYTES);
	assert_memory_equal(data, drawn, sizeof(drawn));
	CHECK_NO_ROOM(natpmp_request_encode, &map, NATPMP_MAP_BYTES);
	assert_int_equal(natpmp_request_encode(data, sizeof(data), &address), NATPMP_ADDRESS_BYTES);
	assert_memory_equal(data, "\0", 2);
	CHECK_NO_ROOM(natpmp_request_encode, &address, NATPMP_ADDRESS_BYTES);
}

static void an_address_is_read(void **state)
{
	static const uint8_t data[12] = { 0, 128, 0, 0, 0, 0, 1, 0, 9, 0, 0, 1 };
	static const uint8_t none[12] = { 0, 128, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0 };
	struct natpmp_response p;
	struct ip external;

	(void)state;
	assert_int_equal(ip_from_text(&external, "9.0.0.1"), 0);
	assert_int_equal(natpmp_response_decode(&p, data, sizeof(data)), 0);
	assert_int_equal(p.opcode, NATPMP_ADDRESS);
	assert_int_equal(p.result, NATPMP_SUCCESS);
	assert_int_equal(p.epoch_s, 256);
	assert_true(ip_equal(&p.external, &external));
	CHECK_STRICT(natpmp_response_decode, struct natpmp_response, data, sizeof(data));
	assert_int_equal(natpmp_response_decode(&p, none, sizeof(none)), 0); /* its line is down */
	assert_true(ip_is_none(&p.external));
}

static void a_granted_mapping_is_read(void **state)
{
	uint8_t data[16] = { 0, 129, 0, 0, 0, 0, 0, 7, 0x6c, 0x34, 0x6c, 0x35, 0, 0, 0x0e, 0x10 };
	struct natpmp_response p;

	(void)state;
	assert_int_equal(natpmp_response_decode(&p, data, sizeof(data)), 0);
	assert_int_equal(p.opcode, NATPMP_MAP_UDP);
	assert_int_equal(p.epoch_s, 7);
	assert_int_equal(p.internal_port, 27700);
	assert_int_equal(p.external_port, 27701);
	assert_int_equal(p.lifetime_s, 3600);
	CHECK_STRICT(natpmp_response_decode, struct natpmp_response, data, sizeof(data));
	data[10] = data[11] = 0;
	CHECK_REFUSED(natpmp_response_decode, struct natpmp_response, data, sizeof(data));
	data[14] = data[15] = 0; /* a removal */
	assert_int_equal(natpmp_response_decode(&p, data, sizeof(data)), 0);
	data[1] = 131;
	CHECK_REFUSED(natpmp_response_decode, struct natpmp_response, data, sizeof(data));
	data[1] = 1; /* a request */
	CHECK_REFUSED(natpmp_response_decode, struct natpmp_response, data, sizeof(data));
}

static void an_error_may_be_short(void **state)
{
	static const uint8_t unsupported[8] = { 0, 128, 0, 1, 0, 0, 0, 7 };
	static const uint8_t refused[16] = { 0, 130, 0, 2, 0, 0, 0, 7, 0x6c, 0x34 };
	struct natpmp_response p;

	(void)state;
	assert_int_equal(natpmp_response_decode(&p, unsupported, sizeof(unsupported)), 0);
	assert_int_equal(p.result, NATPMP_UNSUPPORTED_VERSION);
	CHECK_STRICT(natpmp_response_decode, struct natpmp_response, unsupported, sizeof(unsupported));
	assert_int_equal(natpmp_response_decode(&p, refused, sizeof(refused)), 0);
	assert_int_equal(p.internal_port, 27700);
	assert_string_equal(natpmp_result_text(p.result), "not authorized");
	assert_non_null(natpmp_result_text(6));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_as_the_rfc_draws_them),
		cmocka_unit_test(an_address_is_read),
		cmocka_unit_test(a_granted_mapping_is_read),
		cmocka_unit_test(an_error_may_be_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
