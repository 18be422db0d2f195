#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/base/metrics.h"

static void write_some(struct metrics *m, enum metrics_format format)
{
	struct metrics_histogram lag = { .sum_seconds = 0 };

	metrics_init(m, format);
	metrics_family(m, "warren_things", METRICS_COUNTER, "Things.");
	metrics_count(m, UINT64_MAX, "path", "lan", "to", "a\"b\\c\nd", NULL);
	metrics_count(m, 0, NULL);
	metrics_family(m, "warren_build", METRICS_INFO, "The build.");
	metrics_count(m, 1, "version", "1", NULL);
	metrics_family(m, "warren_level", METRICS_GAUGE, "A level.");
	metrics_gauge(m, 0.0741, NULL);
	metrics_observe(&lag, 0);
	metrics_observe(&lag, 0.001);
	metrics_observe(&lag, 0.5);
	metrics_observe(&lag, 7);
	metrics_family(m, "warren_lag_seconds", METRICS_HISTOGRAM, "Lag.");
	metrics_histogram(m, &lag);
}

#define HISTOGRAM                                                                                \
	"# HELP warren_lag_seconds Lag.\n# TYPE warren_lag_seconds histogram\n"                  \
	"warren_lag_seconds_bucket{le=\"0.001\"} 2\nwarren_lag_seconds_bucket{le=\"0.003\"} 2\n" \
	"warren_lag_seconds_bucket{le=\"0.01\"} 2\nwarren_lag_seconds_bucket{le=\"0.03\"} 2\n"   \
	"warren_lag_seconds_bucket{le=\"0.1\"} 2\nwarren_lag_seconds_bucket{le=\"0.3\"} 2\n"     \
	"warren_lag_seconds_bucket{le=\"1.0\"} 3\nwarren_lag_seconds_bucket{le=\"+Inf\"} 4\n"    \
	"warren_lag_seconds_sum 7.501\nwarren_lag_seconds_count 4\n"

static void the_text_format_names_counters_whole(void **state)
{
	struct metrics m;
	char *text;

	(void)state;
	write_some(&m, METRICS_TEXT);
	text = metrics_end(&m);
	assert_string_equal(text,
			    "# HELP warren_things_total Things.\n# TYPE warren_things_total counter\n"
			    "warren_things_total{path=\"lan\",to=\"a\\\"b\\\\c\\\\x0ad\"} 18446744073709551615\n"
			    "warren_things_total 0\n"
			    "# HELP warren_build_info The build.\n# TYPE warren_build_info gauge\n"
			    "warren_build_info{version=\"1\"} 1\n"
			    "# HELP warren_level A level.\n# TYPE warren_level gauge\nwarren_level 0.0741\n" HISTOGRAM);
	free(text);
}

static void open_metrics_names_families_and_ends(void **state)
{
	struct metrics m;
	char *text;

	(void)state;
	write_some(&m, METRICS_OPEN);
	text = metrics_end(&m);
	assert_string_equal(text,
			    "# HELP warren_things Things.\n# TYPE warren_things counter\n"
			    "warren_things_total{path=\"lan\",to=\"a\\\"b\\\\c\\\\x0ad\"} 18446744073709551615\n"
			    "warren_things_total 0\n"
			    "# HELP warren_build The build.\n# TYPE warren_build info\n"
			    "warren_build_info{version=\"1\"} 1\n"
			    "# HELP warren_level A level.\n# TYPE warren_level gauge\nwarren_level 0.0741\n" HISTOGRAM
			    "# EOF\n");
	free(text);
}

/* Each drop has a counter of its own, so none may be left out: what is new in the table of counters is missed here. */
static void every_reason_for_a_drop_is_told(void **state)
{
	uint64_t sums[COUNTER_COUNT];
	struct metrics m;
	char *text;

	(void)state;
	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		sums[i] = 1000000 + i;
	metrics_init(&m, METRICS_TEXT);
	metrics_add_counters(&m, sums);
	text = metrics_end(&m);
	for (unsigned i = 0; i < COUNTER_COUNT; i++) {
		const char *name = counter_name((enum counter)i);
		char value[32];

		snprintf(value, sizeof(value), " %u\n", 1000000 + i);
		if (strncmp(name, "drop_", 5) == 0 || strncmp(name, "handshake", 9) == 0)
			assert_non_null(strstr(text, value));
	}
	free(text);
}

static void the_process_tells_of_itself(void **state)
{
	struct metrics m;
	const char *at;
	char *text;

	(void)state;
	metrics_init(&m, METRICS_TEXT);
	metrics_add_common(&m, "peer", true, 1700000000123);
	text = metrics_end(&m);
	assert_non_null(strstr(text, "\nprocess_start_time_seconds 1700000000.123\n"));
	assert_non_null(strstr(text, "\nwarren_config_last_reload_success 1\n"));
	at = strstr(text, "\nprocess_resident_memory_bytes ");
	assert_non_null(at);
	assert_true(strtod(at + strlen("\nprocess_resident_memory_bytes "), NULL) > 100000);
	at = strstr(text, "\nprocess_threads ");
	assert_non_null(at);
	assert_in_range(strtoull(at + strlen("\nprocess_threads "), NULL, 10), 1, 8);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_text_format_names_counters_whole),
		cmocka_unit_test(open_metrics_names_families_and_ends),
		cmocka_unit_test(every_reason_for_a_drop_is_told),
		cmocka_unit_test(the_process_tells_of_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
