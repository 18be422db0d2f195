#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "ctl/ctl.h"

typedef const char *format_fn(const json_t *v, char out[static CTL_CELL_BYTES]);

static void expect_of(format_fn *fn, json_t *v, const char *wanted)
{
	char out[CTL_CELL_BYTES];

	assert_string_equal(fn(v, out), wanted);
	json_decref(v);
}

static void unknown_values_are_a_dash(void **state)
{
	(void)state;
	expect_of(ctl_text, NULL, "-");
	expect_of(ctl_text, json_null(), "-");
	expect_of(ctl_text, json_string(""), "-");
	expect_of(ctl_rtt, json_null(), "-");
	expect_of(ctl_rtt, json_string("1"), "-");
	expect_of(ctl_bytes, NULL, "-");
	expect_of(ctl_clock, json_string("yesterday"), "-");
	expect_of(ctl_path, json_null(), "-");
}

static void values_have_units(void **state)
{
	(void)state;
	expect_of(ctl_rtt, json_real(0.42), "0.4 ms");
	expect_of(ctl_rtt, json_real(9.949), "9.9 ms");
	expect_of(ctl_rtt, json_real(9.96), "10 ms");
	expect_of(ctl_rtt, json_integer(74), "74 ms");
	expect_of(ctl_bytes, json_integer(0), "0");
	expect_of(ctl_bytes, json_integer(1023), "1023 B");
	expect_of(ctl_bytes, json_integer(1024), "1.0 KiB");
	expect_of(ctl_bytes, json_integer(310 << 20), "310 MiB");
	expect_of(ctl_bytes, json_integer(1288490189), "1.2 GiB");
	expect_of(ctl_text, json_integer(7), "7");
	expect_of(ctl_text, json_true(), "yes");
	expect_of(ctl_text, json_string("a\nb"), "a\\x0ab");
}

static void durations_are_short(void **state)
{
	char out[CTL_CELL_BYTES];

	(void)state;
	assert_string_equal(ctl_duration(0, out), "0s");
	assert_string_equal(ctl_duration(59.9, out), "59s");
	assert_string_equal(ctl_duration(60, out), "1m");
	assert_string_equal(ctl_duration(3 * 3600 + 12 * 60, out), "3h12m");
	assert_string_equal(ctl_duration(3 * 86400 + 5, out), "3d");
	assert_string_equal(ctl_duration(-5, out), "0s");
}

static void ages_need_two_times(void **state)
{
	json_t *a = json_string("2026-01-02T12:44:01Z"), *b = json_string("2026-01-02T12:44:03Z");
	double age = -1;

	(void)state;
	assert_true(ctl_age(a, b, &age));
	assert_true(age > 1.5 && age < 2.5);
	assert_true(ctl_age(b, a, &age)); /* clocks step back */
	assert_true(age < 0.5);
	assert_false(ctl_age(NULL, b, &age));
	assert_int_equal(setenv("TZ", "UTC", 1), 0);
	tzset();
	expect_of(ctl_clock, a, "12:44:01");
	json_decref(b);
}

static void paths_are_named_by_kind(void **state)
{
	(void)state;
	expect_of(ctl_path, json_pack("{s:s,s:s,s:s}", "kind", "direct", "transport", "udp", "remote", "192.0.2.1:5"),
		  "direct 192.0.2.1:5");
	expect_of(ctl_path, json_pack("{s:s,s:s,s:s,s:n}", "kind", "relay", "via", "c1", "transport", "udp", "remote"),
		  "relay c1/udp");
	json_t *tcp = json_pack("{s:s}", "kind", "tcp"), *relay = json_pack("{s:s}", "kind", "relay");

	assert_true(ctl_is_direct(tcp));
	assert_false(ctl_is_direct(relay));
	assert_false(ctl_is_direct(NULL));
	json_decref(tcp);
	json_decref(relay);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unknown_values_are_a_dash), cmocka_unit_test(values_have_units),
		cmocka_unit_test(durations_are_short),       cmocka_unit_test(ages_need_two_times),
		cmocka_unit_test(paths_are_named_by_kind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
