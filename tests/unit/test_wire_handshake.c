#include "tests/unit/wire_checks.h"
#include "daemon/wire/handshake.h"

static void initiation_is_split_as_its_table(void **state)
{
	uint8_t data[WIRE_INIT_BYTES] = { 0 };
	struct wire_init m;

	(void)state;
	wire_init_header_encode(data, 0xfffefdfc);
	assert_memory_equal(data, "\x50\x01\0\0\xff\xfe\xfd\xfc", 8);
	assert_int_equal(wire_init_decode(&m, data, sizeof(data)), 0);
	assert_int_equal(m.version, WIRE_VERSION);
	assert_int_equal(m.sender, 0xfffefdfc);
	assert_ptr_equal(m.noise, data + 8);
	assert_int_equal(m.noise_len, 96 + 32);
	assert_int_equal(m.mac1_at, 136);
	CHECK_CUTS_REFUSED(wire_init_decode, struct wire_init, data, sizeof(data));
	CHECK_OTHER_TYPE_REFUSED(wire_init_decode, struct wire_init, data, sizeof(data));
}

static void response_is_split_as_its_table(void **state)
{
	uint8_t data[WIRE_RESPONSE_BYTES] = { 0 };
	struct wire_response m;

	(void)state;
	wire_response_header_encode(data, 0x80000001, UINT32_MAX);
	assert_memory_equal(data, "\x51\x01\0\0\x80\0\0\x01\xff\xff\xff\xff", 12);
	assert_int_equal(wire_response_decode(&m, data, sizeof(data)), 0);
	assert_int_equal(m.version, WIRE_VERSION);
	assert_int_equal(m.sender, 0x80000001);
	assert_int_equal(m.receiver, UINT32_MAX);
	assert_ptr_equal(m.noise, data + 12);
	assert_int_equal(m.noise_len, 48 + 16);
	assert_int_equal(m.mac1_at, 76);
	CHECK_CUTS_REFUSED(wire_response_decode, struct wire_response, data, sizeof(data));
	CHECK_OTHER_TYPE_REFUSED(wire_response_decode, struct wire_response, data, sizeof(data));
}

static void a_longer_payload_moves_the_macs_up_to_a_whole_datagram(void **state)
{
	uint8_t data[WIRE_HANDSHAKE_MAX_BYTES + 1] = { 0 };
	struct wire_init init;
	struct wire_response response;

	(void)state;
	data[0] = WIRE_INIT;
	assert_int_equal(wire_init_decode(&init, data, WIRE_HANDSHAKE_MAX_BYTES), 0);
	assert_int_equal(init.mac1_at, WIRE_HANDSHAKE_MAX_BYTES - 32);
	assert_int_equal(init.noise_len, WIRE_HANDSHAKE_MAX_BYTES - 32 - 8);
	CHECK_REFUSED(wire_init_decode, struct wire_init, data, sizeof(data));
	data[0] = WIRE_RESPONSE;
	assert_int_equal(wire_response_decode(&response, data, WIRE_HANDSHAKE_MAX_BYTES), 0);
	assert_int_equal(response.noise_len, WIRE_HANDSHAKE_MAX_BYTES - 32 - 12);
	CHECK_REFUSED(wire_response_decode, struct wire_response, data, sizeof(data));
}

static void a_foreign_version_decodes(void **state)
{
	uint8_t data[WIRE_INIT_BYTES] = { WIRE_INIT, 0xff };
	struct wire_init m;

	(void)state;
	assert_int_equal(wire_init_decode(&m, data, sizeof(data)), 0);
	assert_int_equal(m.version, 0xff);
}

static void cookie_comes_back(void **state)
{
	uint8_t data[WIRE_COOKIE_BYTES];
	struct wire_cookie c = { .receiver = UINT32_MAX }, back;

	(void)state;
	memset(c.nonce, 0xaa, sizeof(c.nonce));
	memset(c.sealed, 0x55, sizeof(c.sealed));
	wire_cookie_encode(data, &c);
	assert_int_equal(wire_cookie_decode(&back, data, sizeof(data)), 0);
	assert_memory_equal(&back, &c, sizeof(c));
	CHECK_STRICT(wire_cookie_decode, struct wire_cookie, data, sizeof(data));
}

static void payloads_come_back(void **state)
{
	struct wire_init_payload init = { .suites = 0x8001, .features = UINT16_MAX }, init_back;
	struct wire_response_payload response = { .suite = 0xff, .features = WIRE_FEATURE_LZ4, .suites = 0x4002 },
				     response_back;
	uint8_t init_data[WIRE_INIT_PAYLOAD_BYTES], response_data[WIRE_RESPONSE_PAYLOAD_BYTES];

	(void)state;
	memset(init.timestamp, 0xff, sizeof(init.timestamp));
	wire_init_payload_encode(init_data, &init);
	assert_int_equal(wire_init_payload_decode(&init_back, init_data, sizeof(init_data)), 0);
	assert_memory_equal(init_back.timestamp, init.timestamp, sizeof(init.timestamp));
	assert_int_equal(init_back.suites, 0x8001);
	assert_int_equal(init_back.features, UINT16_MAX);
	CHECK_CUTS_REFUSED(wire_init_payload_decode, struct wire_init_payload, init_data, sizeof(init_data));
	CHECK_TRAILING_REFUSED(wire_init_payload_decode, struct wire_init_payload, init_data, sizeof(init_data));

	wire_response_payload_encode(response_data, &response);
	assert_int_equal(wire_response_payload_decode(&response_back, response_data, sizeof(response_data)), 0);
	assert_int_equal(response_back.suite, 0xff);
	assert_int_equal(response_back.features, WIRE_FEATURE_LZ4);
	assert_int_equal(response_back.suites, 0x4002);
	CHECK_CUTS_REFUSED(wire_response_payload_decode, struct wire_response_payload, response_data,
			   sizeof(response_data));
	CHECK_TRAILING_REFUSED(wire_response_payload_decode, struct wire_response_payload, response_data,
			       sizeof(response_data));
}

static void extensions_are_skipped_and_must_be_whole(void **state)
{
	static const uint8_t two[] = { 0, 1, 0, 0, 0xff, 0xff, 0, 3, 1, 2, 3 };
	uint8_t init[WIRE_INIT_PAYLOAD_BYTES + sizeof(two)] = { 0 };
	uint8_t response[WIRE_RESPONSE_PAYLOAD_BYTES + sizeof(two)] = { 0 };
	struct wire_init_payload i;
	struct wire_response_payload r;

	(void)state;
	memcpy(init + WIRE_INIT_PAYLOAD_BYTES, two, sizeof(two));
	memcpy(response + WIRE_RESPONSE_PAYLOAD_BYTES, two, sizeof(two));
	for (size_t n = 0; n <= sizeof(two); n++) {
		int expected = n == 0 || n == 4 || n == sizeof(two) ? 0 : -EBADMSG;

		assert_int_equal(wire_init_payload_decode(&i, init, WIRE_INIT_PAYLOAD_BYTES + n), expected);
		assert_int_equal(wire_response_payload_decode(&r, response, WIRE_RESPONSE_PAYLOAD_BYTES + n), expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(initiation_is_split_as_its_table),
		cmocka_unit_test(response_is_split_as_its_table),
		cmocka_unit_test(a_longer_payload_moves_the_macs_up_to_a_whole_datagram),
		cmocka_unit_test(a_foreign_version_decodes),
		cmocka_unit_test(cookie_comes_back),
		cmocka_unit_test(payloads_come_back),
		cmocka_unit_test(extensions_are_skipped_and_must_be_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
