/* What `bugreport` is made of: the archive, and stand-ins for what nobody else need know. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ctl/anonymize.h"
#include "ctl/tar.h"

#define KEY "3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08="

static int set_up(void **state)
{
	*state = anonymizer_new();
	anonymizer_add_name(*state, "alice");
	anonymizer_add_name(*state, "c1.example.net");
	anonymizer_add_name(*state, "a");
	return *state ? 0 : -1;
}

static int tear_down(void **state)
{
	anonymizer_free(*state);
	return 0;
}

static void becomes(struct anonymizer *a, const char *text, const char *wanted)
{
	char *made = anonymize(a, text);

	assert_non_null(made);
	assert_string_equal(made, wanted);
	free(made);
}

static void one_thing_has_one_stand_in(void **state)
{
	becomes(*state, "peer alice: direct path 203.0.113.9:27700, rtt 12 us",
		"peer name1: direct path 198.18.0.1:27700, rtt 12 us");
	becomes(*state, "{\"ips\":[\"10.77.0.2/16\",\"203.0.113.9\"]}", "{\"ips\":[\"198.18.0.2/16\",\"198.18.0.1\"]}");
	becomes(*state, "[2001:DB8::7]:1, fe80::1%eth0 and 2001:db8::7",
		"[2001:db8::1]:1, 2001:db8::2%eth0 and 2001:db8::1");
	becomes(*state, "c1.example.net:27700 is c1.example.net.", "name2:27700 is name2.");
	becomes(*state, "link/ether 52:54:00:12:34:56 and 52:54:00:12:34:56",
		"link/ether 02:00:00:00:00:01 and 02:00:00:00:00:01");
	becomes(*state, "dev enx525400123456 of 52:54:00:12:34:56, wlx0123456789ab",
		"dev enx020000000001 of 02:00:00:00:00:01, wlx020000000002");
}

static void keys_go_whole_and_by_their_beginnings(void **state)
{
	becomes(*state, "key " KEY ".", "key key0000100000000000000000000000000000000000=.");
	becomes(*state, "key 3p7bfXt9  state", "key key00001  state");
	becomes(*state, "key 3P7BFXT9  state", "key 3P7BFXT9  state"); /* not it */
}

static void what_is_nothing_of_that_stays(void **state)
{
	static const char *const texts[] = {
		"2026-11-28T20:48:41Z info: 12:44:03 up",
		"warrend 0.1.0 (pid 4121), 1.2.3.4-rc1 x1.2.3.4",
		"127.0.0.1:53 and ::1 and 0.0.0.0/0 and ::/0",
		"malice alices alice-2 xalice",
		"a fab a: cd",
		"",
		":::",
		"1.2.3",
		"\"rtt_ms\":74.1,\"loss_ratio\":0.0",
		"face:b00c",
		"enx5254001234567 enx52540012345g eno525400123456",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		becomes(*state, texts[i], texts[i]);
}

static void names_are_told_in_any_case_and_at_the_end_of_a_sentence(void **state)
{
	becomes(*state, "ALICE said alice. \"alice\",alice/alice", "name1 said name1. \"name1\",name1/name1");
}

static void an_archive_is_whole_records_with_good_sums(void **state)
{
	char *data = NULL;
	size_t len;
	FILE *out = open_memstream(&data, &len);
	unsigned sum = 0;

	(void)state;
	tar_add(out, "report/a.txt", "hello", 5, 1700000000);
	tar_add(out, "report/empty", "", 0, 1700000000);
	tar_end(out);
	fclose(out);
	assert_int_equal(len, 512 * (2 + 1 + 2));
	assert_string_equal(data, "report/a.txt");
	assert_string_equal(data + 124, "00000000005");
	assert_memory_equal(data + 257,
			    "ustar\0"
			    "00",
			    8);
	for (size_t i = 0; i < 512; i++)
		sum += i >= 148 && i < 156 ? ' ' : (unsigned char)data[i];
	assert_int_equal(strtoul(data + 148, NULL, 8), sum);
	assert_memory_equal(data + 512, "hello\0", 6);
	assert_string_equal(data + 1024, "report/empty");
	free(data);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(one_thing_has_one_stand_in),
		TEST(keys_go_whole_and_by_their_beginnings),
		TEST(what_is_nothing_of_that_stays),
		TEST(names_are_told_in_any_case_and_at_the_end_of_a_sentence),
		cmocka_unit_test(an_archive_is_whole_records_with_good_sums),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
