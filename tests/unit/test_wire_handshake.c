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
	uint8_t init_data[WIRE_INIT_PAYLOAD_BYTES + WIRE_EXTENSIONS_BYTES],
		response_data[WIRE_RESPONSE_PAYLOAD_BYTES + WIRE_EXTENSIONS_BYTES];

	(void)state;
	memset(init.timestamp, 0xff, sizeof(init.timestamp));
	assert_int_equal(wire_init_payload_encode(init_data, &init), WIRE_INIT_PAYLOAD_BYTES);
	assert_int_equal(wire_init_payload_decode(&init_back, init_data, WIRE_INIT_PAYLOAD_BYTES), 0);
	assert_memory_equal(init_back.timestamp, init.timestamp, sizeof(init.timestamp));
	assert_int_equal(init_back.suites, 0x8001);
	assert_int_equal(init_back.features, UINT16_MAX);
	CHECK_CUTS_REFUSED(wire_init_payload_decode, struct wire_init_payload, init_data, WIRE_INIT_PAYLOAD_BYTES);
	CHECK_TRAILING_REFUSED(wire_init_payload_decode, struct wire_init_payload, init_data, WIRE_INIT_PAYLOAD_BYTES);

	assert_int_equal(wire_response_payload_encode(response_data, &response), WIRE_RESPONSE_PAYLOAD_BYTES);
	assert_int_equal(wire_response_payload_decode(&response_back, response_data, WIRE_RESPONSE_PAYLOAD_BYTES), 0);
	assert_false(response_back.trust.is_shown);
	assert_int_equal(response_back.suite, 0xff);
	assert_int_equal(response_back.features, WIRE_FEATURE_LZ4);
	assert_int_equal(response_back.suites, 0x4002);
	CHECK_CUTS_REFUSED(wire_response_payload_decode, struct wire_response_payload, response_data,
			   WIRE_RESPONSE_PAYLOAD_BYTES);
	CHECK_TRAILING_REFUSED(wire_response_payload_decode, struct wire_response_payload, response_data,
			       WIRE_RESPONSE_PAYLOAD_BYTES);
}

static void certificate_comes_back_in_either_payload(void **state)
{
	struct wire_trust trust = { .is_shown = true, .epoch = UINT64_MAX, .len = CERT_MAX_BYTES };
	struct wire_init_payload init = { .trust = trust }, init_back;
	struct wire_response_payload response = { .suite = 1, .refusal = CERT_EXPIRED, .trust = trust }, response_back;
	uint8_t data[WIRE_INIT_PAYLOAD_BYTES + WIRE_EXTENSIONS_BYTES];
	size_t len;

	(void)state;
	init.trust.cert[CERT_MAX_BYTES - 1] = response.trust.cert[CERT_MAX_BYTES - 1] = 0x77;
	len = wire_init_payload_encode(data, &init);
	assert_int_equal(len, sizeof(data));
	assert_int_equal(wire_init_payload_decode(&init_back, data, len), 0);
	assert_true(init_back.trust.is_shown && init_back.trust.epoch == UINT64_MAX);
	assert_int_equal(init_back.trust.len, CERT_MAX_BYTES);
	assert_memory_equal(init_back.trust.cert, init.trust.cert, CERT_MAX_BYTES);
	for (size_t cut = WIRE_INIT_PAYLOAD_BYTES + 1; cut < len; cut++)
		CHECK_REFUSED(wire_init_payload_decode, struct wire_init_payload, data, cut);
	len = wire_response_payload_encode(data, &response);
	assert_int_equal(len, WIRE_RESPONSE_PAYLOAD_BYTES + WIRE_EXTENSIONS_BYTES);
	assert_int_equal(wire_response_payload_decode(&response_back, data, len), 0);
	assert_int_equal(response_back.refusal, CERT_EXPIRED);
	assert_int_equal(response_back.trust.cert[CERT_MAX_BYTES - 1], 0x77);
	/* An empty one: an epoch alone. */
	response.trust.len = 0;
	len = wire_response_payload_encode(data, &response);
	assert_int_equal(wire_response_payload_decode(&response_back, data, len), 0);
	assert_int_equal(response_back.trust.len, 0);
}

static void certificate_of_a_wrong_length_or_twice_is_refused(void **state)
{
	struct wire_init_payload init = { .trust = { .is_shown = true, .len = 9 } };
	uint8_t data[WIRE_INIT_PAYLOAD_BYTES + 2 * WIRE_EXTENSIONS_BYTES];
	size_t len = wire_init_payload_encode(data, &init), at = WIRE_INIT_PAYLOAD_BYTES;

	(void)state;
	memcpy(data + len, data + at, WIRE_EXTENSIONS_BYTES);
	CHECK_REFUSED(wire_init_payload_decode, struct wire_init_payload, data, len + WIRE_EXTENSIONS_BYTES);
	data[at + 3]--; /* the extension's length */
	CHECK_REFUSED(wire_init_payload_decode, struct wire_init_payload, data, len - 1);
	data[at + 3]++;
	data[at + 4 + 8] = 0xff; /* the certificate's */
	CHECK_REFUSED(wire_init_payload_decode, struct wire_init_payload, data, len);
}

static void extensions_are_skipped_and_must_be_whole(void **state)
{
	static const uint8_t two[] = { 0, 2, 0, 0, 0xff, 0xff, 0, 3, 1, 2, 3 };
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
		cmocka_unit_test(certificate_comes_back_in_either_payload),
		cmocka_unit_test(certificate_of_a_wrong_length_or_twice_is_refused),
		cmocka_unit_test(extensions_are_skipped_and_must_be_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
