#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/wire/pcapng.h"

static uint32_t u32_at(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* Every block has its length at both ends and is a whole number of words. Returns how many there are. */
static unsigned blocks_in(const uint8_t *data, size_t len)
{
	unsigned n = 0;

	while (len > 0) {
		uint32_t block = u32_at(data + 4);

		assert_true(block >= 12 && block <= len && block % 4 == 0);
		assert_int_equal(u32_at(data + block - 4), block);
		data += block;
		len -= block;
		n++;
	}
	return n;
}

static void a_file_begins_with_its_section_and_interface(void **state)
{
	uint8_t out[PCAPNG_BLOCK_MAX_BYTES];
	size_t len = pcapng_begin(out, "warrend 1", "warren0", 65535);

	(void)state;
	assert_int_equal(blocks_in(out, len), 2);
	assert_int_equal(u32_at(out), 0x0a0d0d0a);
	assert_int_equal(u32_at(out + 8), 0x1a2b3c4d);
	assert_memory_equal(out + 16, "\xff\xff\xff\xff\xff\xff\xff\xff", 8); /* nobody knows how long it will be */
	out[0] = 0;
	assert_non_null(memmem(out, len, "warrend 1", 9));
	assert_non_null(memmem(out, len, "warren0", 7));
	assert_non_null(
		memmem(out, len, "\x09\x00\x01\x00\x09\x00\x00\x00", 8)); /* nanoseconds (of a little-endian host) */
}

static void a_packet_has_its_time_direction_and_comment(void **state)
{
	static const uint8_t data[5] = { 0x45, 1, 2, 3, 4 };
	struct pcapng_packet p = { .time_ns = 0x0123456789abcdef,
				   .data = data,
				   .captured = sizeof(data),
				   .len = 1400,
				   .is_inbound = true,
				   .comment = "bob" };
	/* type, length, interface, time (high word first), captured, length, data and its padding, comment, flags, end, length */
	static const uint32_t words[] = { 6, 60, 0, 0x01234567, 0x89abcdef, 5, 1400 };
	uint8_t out[PCAPNG_BLOCK_MAX_BYTES];
	size_t len = pcapng_packet(out, &p);

	(void)state;
	assert_int_equal(len, 60);
	assert_int_equal(blocks_in(out, len), 1);
	assert_memory_equal(out, words, sizeof(words));
	assert_memory_equal(out + 28, "\x45\x01\x02\x03\x04\x00\x00\x00", 8);
	assert_memory_equal(out + 36,
			    "\x01\x00\x03\x00"
			    "bob\x00",
			    8);
	assert_memory_equal(out + 44, "\x02\x00\x04\x00\x01\x00\x00\x00", 8);
	assert_memory_equal(out + 52, "\x00\x00\x00\x00", 4);
	p.is_inbound = false;
	p.comment = NULL;
	p.captured = 0;
	assert_int_equal(pcapng_packet(out, &p), 44);
	assert_memory_equal(out + 28, "\x02\x00\x04\x00\x02\x00\x00\x00", 8);
}

static void no_text_is_longer_than_there_is_room_for(void **state)
{
	struct pcapng_packet p = { .data = (const uint8_t *)"", .is_inbound = true };
	uint8_t out[PCAPNG_BLOCK_MAX_BYTES];
	char longest[2000];

	(void)state;
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	p.comment = longest;
	assert_int_equal(blocks_in(out, pcapng_packet(out, &p)), 1);
	assert_int_equal(blocks_in(out, pcapng_begin(out, longest, longest, 1)), 2);
}

static void statistics_say_what_was_left_out(void **state)
{
	static const uint64_t received = 1000, dropped = 7;
	uint8_t out[PCAPNG_BLOCK_MAX_BYTES];
	size_t len = pcapng_statistics(out, 1, received, dropped);

	(void)state;
	assert_int_equal(blocks_in(out, len), 1);
	assert_int_equal(u32_at(out), 5);
	assert_memory_equal(out + 24, &received, sizeof(received));
	assert_memory_equal(out + 36, &dropped, sizeof(dropped));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_begins_with_its_section_and_interface),
		cmocka_unit_test(a_packet_has_its_time_direction_and_comment),
		cmocka_unit_test(no_text_is_longer_than_there_is_room_for),
		cmocka_unit_test(statistics_say_what_was_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
