#include "tests/unit/wire_checks.h"
#include "daemon/wire/candidates.h"

static int encode(uint8_t *out, size_t capacity, const struct candidates *c)
{
	struct writer w = writer_of(out, capacity);

	wire_candidates_write(&w, c);
	return writer_finish(&w);
}

static int decode(struct candidates *out, const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);
	struct candidates c;

	wire_candidates_read(&r, &c);
	if (!reader_at_end(&r))
		return -EBADMSG;
	*out = c;
	return 0;
}

static struct candidate candidate_of(enum candidate_kind kind, const char *endpoint)
{
	struct candidate c = { .kind = kind };

	assert_int_equal(endpoint_from_text(&c.endpoint, endpoint), 0);
	return c;
}

static void the_fullest_block_comes_back(void **state)
{
	struct candidates c = { .nat = { .mapping = NAT_MAPPING_ADDRESS_AND_PORT_DEPENDENT,
					 .filtering = NAT_FILTERING_ADDRESS_AND_PORT_DEPENDENT,
					 .flags = 0x3ff,
					 .port = 65535,
					 .port_spread = 65000,
					 .port_step = -128,
					 .lifetime_s = 40000 },
				.n = WIRE_CANDIDATES_MAX },
			  back;
	uint8_t data[WIRE_CANDIDATES_MAX_BYTES];
	int len;

	(void)state;
	for (unsigned i = 0; i < c.n; i++)
		c.v[i] = candidate_of(CANDIDATE_CONFIGURED, "[2001:db8::ffff]:65535");
	len = encode(data, sizeof(data), &c);
	assert_int_equal(len, WIRE_CANDIDATES_MAX_BYTES);
	assert_int_equal(decode(&back, data, (size_t)len), 0);
	assert_true(nat_facts_equal(&back.nat, &c.nat));
	assert_int_equal(back.n, c.n);
	for (unsigned i = 0; i < c.n; i++) {
		assert_int_equal(back.v[i].kind, CANDIDATE_CONFIGURED);
		assert_true(endpoint_equal(&back.v[i].endpoint, &c.v[i].endpoint));
	}
	CHECK_CUTS_REFUSED(decode, struct candidates, data, (size_t)len);
	CHECK_TRAILING_REFUSED(decode, struct candidates, data, (size_t)len);
	CHECK_NO_ROOM(encode, &c, len);
}

static void an_empty_block_is_its_header(void **state)
{
	struct candidates c = { .n = 0 }, back;
	uint8_t data[WIRE_CANDIDATES_HEADER_BYTES];

	(void)state;
	assert_int_equal(encode(data, sizeof(data), &c), sizeof(data));
	assert_int_equal(decode(&back, data, sizeof(data)), 0);
	assert_int_equal(back.n, 0);
}

static void addresses_that_must_not_be_sent_to_are_left_out(void **state)
{
	static const char *const bad[] = { "127.0.0.1:1", "0.0.0.0:1",      "224.0.0.1:1", "255.255.255.255:1",
					   "240.0.0.1:1", "[::]:1",         "[::1]:1",     "[ff02::1]:1",
					   "192.0.2.1:0", "[2001:db8::1]:0" };
	struct candidates c = { .n = 0 }, back;
	uint8_t data[WIRE_CANDIDATES_MAX_BYTES];
	int len;

	(void)state;
	c.v[c.n++] = candidate_of(CANDIDATE_HOST, "10.0.0.1:1");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		c.v[c.n++] = candidate_of(CANDIDATE_HOST, bad[i]);
	c.v[c.n++] = candidate_of(CANDIDATE_REFLEXIVE, "[fe80::1]:2");
	len = encode(data, sizeof(data), &c);
	assert_int_equal(decode(&back, data, (size_t)len), 0);
	assert_int_equal(back.n, 2);
	assert_true(endpoint_equal(&back.v[0].endpoint, &c.v[0].endpoint));
	assert_true(endpoint_equal(&back.v[1].endpoint, &c.v[c.n - 1].endpoint));
}

static void a_mapped_loopback_address_is_left_out_too(void **state)
{
	static const uint8_t data[] = { [WIRE_CANDIDATES_HEADER_BYTES - 1] = 1,
					1,
					16,
					0,
					9,
					0,
					0,
					0,
					0,
					0,
					0,
					0,
					0,
					0,
					0,
					0xff,
					0xff,
					127,
					0,
					0,
					1 };
	struct candidates back;

	(void)state;
	assert_int_equal(decode(&back, data, sizeof(data)), 0);
	assert_int_equal(back.n, 0);
}

static void bad_lengths_and_counts_are_refused(void **state)
{
	enum {
		HEADER = WIRE_CANDIDATES_HEADER_BYTES
	};
	uint8_t data[HEADER + 17 * 8] = { [HEADER - 1] = 1, 1, 4, 0, 9, 192, 0, 2, 1 };
	struct candidates back;

	(void)state;
	assert_int_equal(decode(&back, data, HEADER + 8), 0);
	for (unsigned len = 0; len < 256; len++) {
		data[HEADER + 1] = (uint8_t)len;
		if (len != 4)
			CHECK_REFUSED(decode, struct candidates, data, HEADER + 8);
	}
	for (unsigned i = 0; i < 17; i++)
		memcpy(data + HEADER + 8 * i, "\x01\x04\0\x09\xc0\0\x02\x01", 8);
	data[HEADER - 1] = 16;
	assert_int_equal(decode(&back, data, HEADER + 16 * 8), 0);
	data[HEADER - 1] = 17;
	CHECK_REFUSED(decode, struct candidates, data, sizeof(data));
}

static void unknown_values_become_the_unknown_ones(void **state)
{
	static const uint8_t data[] = { 6,    0xff, 0xff, 0xff, 0,   0,   0, 0, 0,   0, 0, 0,
					4,    7,    4,    0,    9,   192, 0, 2, 1, /* a prediction */
					0xff, 4,    0,    9,    192, 0,   2, 1, 12,  4, 0, 9,
					192,  0,    2,    1,    3,   4,   0, 9, 192, 0, 2, 1 };
	struct candidates back;

	(void)state;
	assert_int_equal(decode(&back, data, sizeof(data)), 0);
	assert_int_equal(back.nat.mapping, NAT_MAPPING_UNKNOWN);
	assert_int_equal(back.nat.filtering, NAT_FILTERING_UNKNOWN);
	assert_int_equal(back.nat.flags, 0x3ff);
	assert_int_equal(back.n, 4);
	for (unsigned i = 0; i < 4; i++) /* the last claims to be peer-reflexive, which nobody may say of himself */
		assert_int_equal(back.v[i].kind, CANDIDATE_OTHER);
}

static void what_cannot_be_said_is_not_encoded(void **state)
{
	struct candidates too_many = { .n = WIRE_CANDIDATES_MAX + 1 }, no_address = { .n = 1 };
	uint8_t data[1024];

	(void)state;
	assert_int_equal(encode(data, sizeof(data), &too_many), -ENOSPC);
	assert_int_equal(encode(data, sizeof(data), &no_address), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_fullest_block_comes_back),
		cmocka_unit_test(an_empty_block_is_its_header),
		cmocka_unit_test(addresses_that_must_not_be_sent_to_are_left_out),
		cmocka_unit_test(a_mapped_loopback_address_is_left_out_too),
		cmocka_unit_test(bad_lengths_and_counts_are_refused),
		cmocka_unit_test(unknown_values_become_the_unknown_ones),
		cmocka_unit_test(what_cannot_be_said_is_not_encoded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
