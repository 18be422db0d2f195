#include "tests/unit/wire_checks.h"

#include <netinet/in.h>

#include "daemon/wire/pcp.h"

static struct ip ip_of(const char *text)
{
	struct ip ip;

	assert_int_equal(ip_from_text(&ip, text), 0);
	return ip;
}

/* Byte by byte, from the drawings of RFC 6887: figures 2, 9 and 10. */
static void a_map_request_is_as_the_rfc_draws_it(void **state)
{
	static const uint8_t drawn[PCP_MAP_BYTES] = {
		2,  1, 0, 0, 0,    0,    0x1c, 0x20,                                    /* version, MAP, 7200 s */
		0,  0, 0, 0, 0,    0,    0,    0,    0, 0,  0xff, 0xff, 192, 168, 1, 2, /* client */
		1,  2, 3, 4, 5,    6,    7,    8,    9, 10, 11,   12,                   /* nonce */
		17, 0, 0, 0, 0x6c, 0x34, 0x6c, 0x35,                                    /* UDP, 27700, 27701 */
		0,  0, 0, 0, 0,    0,    0,    0,    0, 0,  0xff, 0xff, 0,   0,   0, 0, /* any IPv4 address */
	};
	struct pcp_request q = { .opcode = PCP_MAP,
				 .lifetime_s = 7200,
				 .client = ip_of("192.168.1.2"),
				 .nonce = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 },
				 .protocol = IPPROTO_UDP,
				 .internal_port = 27700,
				 .external_port = 27701 };
	uint8_t data[PCP_REQUEST_MAX_BYTES];

	(void)state;
	assert_int_equal(pcp_request_encode(data, sizeof(data), &q), PCP_MAP_BYTES);
	assert_memory_equal(data, drawn, sizeof(drawn));
	q.external = ip_of("9.0.0.1");
	assert_int_equal(pcp_request_encode(data, sizeof(data), &q), PCP_MAP_BYTES);
	assert_memory_equal(data, drawn, 56);
	assert_memory_equal(data + 56, "\x09\x00\x00\x01", 4);
	CHECK_NO_ROOM(pcp_request_encode, &q, PCP_MAP_BYTES);

	q.prefer_failure = true;
	assert_int_equal(pcp_request_encode(data, sizeof(data), &q), PCP_REQUEST_MAX_BYTES);
	assert_memory_equal(data + 60, "\2\0\0", 4);
	CHECK_NO_ROOM(pcp_request_encode, &q, PCP_REQUEST_MAX_BYTES);
	q.prefer_failure = false;
	q.client = ip_of("2001:db8::1"); /* any IPv6 address is sixteen zeros */
	q.external = (struct ip){ 0 };
	assert_int_equal(pcp_request_encode(data, sizeof(data), &q), PCP_MAP_BYTES);
	assert_memory_equal(data + 44, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
}

static void an_announce_request_is_the_header_alone(void **state)
{
	struct pcp_request q = { .opcode = PCP_ANNOUNCE, .client = ip_of("192.168.1.2") };
	uint8_t data[PCP_MAP_BYTES];

	(void)state;
	assert_int_equal(pcp_request_encode(data, sizeof(data), &q), PCP_HEADER_BYTES);
	assert_memory_equal(data, "\2\0\0\0\0\0\0", 8);
	assert_memory_equal(data + 18, "\xff\xff\xc0\xa8\1\2", 6);
	CHECK_NO_ROOM(pcp_request_encode, &q, PCP_HEADER_BYTES);
}

static const uint8_t granted[PCP_MAP_BYTES] = {
	2,    0x81, 0,    0,    0, 0, 0x0e, 0x10, 0, 1, 0, 2, 0, 0,  0,    0,    0,  0, 0, 0,
	0,    0,    0,    0,    1, 2, 3,    4,    5, 6, 7, 8, 9, 10, 11,   12,   17, 0, 0, 0,
	0x6c, 0x34, 0x6c, 0x35, 0, 0, 0,    0,    0, 0, 0, 0, 0, 0,  0xff, 0xff, 9,  0, 0, 1,
};

static void a_granted_mapping_is_read(void **state)
{
	struct pcp_response p;
	uint8_t longer[PCP_MAX_BYTES + 4] = { 0 };
	struct ip external = ip_of("9.0.0.1");

	(void)state;
	assert_int_equal(pcp_response_decode(&p, granted, sizeof(granted)), 0);
	assert_int_equal(p.opcode, PCP_MAP);
	assert_int_equal(p.result, PCP_SUCCESS);
	assert_int_equal(p.lifetime_s, 3600);
	assert_int_equal(p.epoch_s, 0x10002);
	assert_memory_equal(p.nonce, granted + 24, PCP_NONCE_BYTES);
	assert_int_equal(p.protocol, IPPROTO_UDP);
	assert_int_equal(p.internal_port, 27700);
	assert_int_equal(p.external_port, 27701);
	assert_true(ip_equal(&p.external, &external));
	CHECK_CUTS_REFUSED(pcp_response_decode, struct pcp_response, granted, sizeof(granted));
	CHECK_TRAILING_REFUSED(pcp_response_decode, struct pcp_response, granted, sizeof(granted));

	/* Options behind it are not ours, and no fault. */
	memcpy(longer, granted, sizeof(granted));
	assert_int_equal(pcp_response_decode(&p, longer, PCP_MAX_BYTES), 0);
	assert_int_equal(p.external_port, 27701);
	CHECK_REFUSED(pcp_response_decode, struct pcp_response, longer, sizeof(longer));
}

static void an_announcement_and_an_error_are_read(void **state)
{
	uint8_t data[PCP_MAP_BYTES] = { 2, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9 };
	struct pcp_response p;

	(void)state;
	assert_int_equal(pcp_response_decode(&p, data, PCP_HEADER_BYTES), 0);
	assert_int_equal(p.opcode, PCP_ANNOUNCE);
	assert_int_equal(p.epoch_s, 9);
	data[1] = 0x81;
	data[3] = 8;
	CHECK_REFUSED(pcp_response_decode, struct pcp_response, data, PCP_HEADER_BYTES); /* whose? */
	assert_int_equal(pcp_response_decode(&p, data, sizeof(data)), 0);
	assert_string_equal(pcp_result_text(p.result), "no room for more mappings");
	assert_non_null(pcp_result_text(255));
}

static void what_is_no_response_of_version_two_is_refused(void **state)
{
	static const struct {
		unsigned at;
		uint8_t value;
	} faults[] = {
		{ 0, 1 },    { 0, 0 },              /* version */
		{ 1, 0x01 }, { 1, 0x82 }, { 1, 0 }, /* a request, PEER, a request */
		{ 43, 0 },                          /* with 42: no port */
		{ 59, 0 },                          /* with 56: no address */
		{ 56, 127 }, { 56, 224 }, { 56, 255 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		uint8_t data[PCP_MAP_BYTES];

		memcpy(data, granted, sizeof(data));
		data[faults[i].at] = faults[i].value;
		if (faults[i].at == 43)
			data[42] = 0;
		if (faults[i].at == 59)
			data[56] = 0;
		CHECK_REFUSED(pcp_response_decode, struct pcp_response, data, sizeof(data));
	}
}

static void a_removal_needs_no_address(void **state)
{
	uint8_t data[PCP_MAP_BYTES];
	struct pcp_response p;

	(void)state;
	memcpy(data, granted, sizeof(data));
	memset(data + 4, 0, 4);
	memset(data + 42, 0, 18);
	assert_int_equal(pcp_response_decode(&p, data, sizeof(data)), 0);
	assert_int_equal(p.lifetime_s, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_map_request_is_as_the_rfc_draws_it),
		cmocka_unit_test(an_announce_request_is_the_header_alone),
		cmocka_unit_test(a_granted_mapping_is_read),
		cmocka_unit_test(an_announcement_and_an_error_are_read),
		cmocka_unit_test(what_is_no_response_of_version_two_is_refused),
		cmocka_unit_test(a_removal_needs_no_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
