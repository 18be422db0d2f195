#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"

/* The time of these tests, in the place of daemon/base/clock.c. */
static uint64_t now_ms = 5000;

uint64_t clock_now_ms(void)
{
	return now_ms;
}

uint64_t clock_now_us(void)
{
	return now_ms * 1000;
}

uint64_t clock_wall_ms(void)
{
	return now_ms;
}

const char *clock_text(uint64_t at_ms, char out[static CLOCK_TEXT_BYTES])
{
	snprintf(out, CLOCK_TEXT_BYTES, "at-%ju", (uintmax_t)at_ms);
	return out;
}

/* Runs `fn` in a process of its own, as the module looks at stderr once, and returns what it wrote there. */
static const char *logged(void (*fn)(void), bool under_systemd)
{
	static char text[32768];
	int status, fd = memfd_create("stderr", 0);
	ssize_t len;
	pid_t pid;

	assert_true(fd >= 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct stat st;

		unsetenv("JOURNAL_STREAM");
		if (fstat(fd, &st) == 0 && under_systemd) {
			snprintf(text, sizeof(text), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
			setenv("JOURNAL_STREAM", text, 1);
		}
		dup2(fd, STDERR_FILENO);
		fn();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	len = pread(fd, text, sizeof(text) - 1, 0);
	assert_true(len >= 0);
	text[len] = '\0';
	close(fd);
	return text;
}

static unsigned count(const char *text, const char *part)
{
	unsigned n = 0;

	for (; (text = strstr(text, part)); text++)
		n++;
	return n;
}

static void log_one_of_each(void)
{
	log_error("e %d", 1);
	log_warn("w");
	log_info("i");
	log_debug("d");
}

static void lines_carry_time_and_level_and_debug_is_off(void **state)
{
	(void)state;
	assert_string_equal(logged(log_one_of_each, false), "at-5000 error: e 1\nat-5000 warn: w\nat-5000 info: i\n");
}

static void the_journal_gets_priorities_instead(void **state)
{
	(void)state;
	assert_string_equal(logged(log_one_of_each, true), "<3>e 1\n<4>w\n<6>i\n");
}

static void log_at_debug_level(void)
{
	log_set_level(LOG_LEVEL_DEBUG);
	log_one_of_each();
	log_set_level(LOG_LEVEL_ERROR);
	log_one_of_each();
}

static void the_level_is_what_was_set(void **state)
{
	(void)state;
	assert_string_equal(logged(log_at_debug_level, true), "<3>e 1\n<4>w\n<6>i\n<7>d\n<3>e 1\n");
}

static void log_hostile_name(void)
{
	log_info("peer %s: gone", "a\nwarn: b\x1b[2J\xc3\xa9\x7f");
}

static void a_hostile_name_stays_on_its_line(void **state)
{
	(void)state;
	assert_string_equal(logged(log_hostile_name, true), "<6>peer a\\x0awarn: b\\x1b[2J\\xc3\\xa9\\x7f: gone\n");
}

/* Of a format's letters, and longer than any line. */
static char long_name[4096];

static void log_long_name(void)
{
	log_info("peer %s: gone", "%n%s%1000000d");
	log_info("peer %s: gone", long_name);
}

static void a_name_is_no_format_and_has_an_end(void **state)
{
	const char *text;

	(void)state;
	memset(long_name, '\n', sizeof(long_name) - 1);
	text = logged(log_long_name, true);
	assert_memory_equal(text, "<6>peer %n%s%1000000d: gone\n<6>peer \\x0a\\x0a", 40);
	text = strchr(text, '\n');
	assert_in_range(strlen(text + 1), 100, 1023 * 4 + 16); /* less than 4 KiB of them */
	assert_ptr_equal(strchr(text + 1, '\n'), text + strlen(text) - 1);
}

static void log_long_text(void)
{
	char text[5000];

	memset(text, '\t', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	log_info("%s", text);
}

static void long_text_is_cut_and_the_line_ends(void **state)
{
	const char *text;

	(void)state;
	text = logged(log_long_text, true);
	assert_int_equal(count(text, "\n"), 1);
	assert_int_equal(count(text, "\\x09"), 1023);
}

static void log_a_flood(void)
{
	for (int i = 0; i < 100; i++)
		log_warn("flood %d", i);
	for (int i = 0; i < 100; i++)
		log_error("must act %d", i);
	log_info("another level");
	now_ms += 1000;
	log_info("next second");
}

static void a_flood_is_cut_per_level_and_counted_but_errors_never(void **state)
{
	const char *text;

	(void)state;
	text = logged(log_a_flood, true);
	assert_int_equal(count(text, "flood"), 10);
	assert_int_equal(count(text, "must act"), 100);
	assert_int_equal(count(text, "<6>another level\n"), 1);
	assert_non_null(strstr(text, "<4>log: 90 lines of level warn left out\n<6>next second\n"));
}

static void lines_are_kept_and_told_once(void **state)
{
	char *out = malloc(LOG_RECENT_BYTES + 1), text[900];
	uint64_t since = 0, before;
	int err = dup(STDERR_FILENO);
	bool has_missed;

	(void)state;
	assert_non_null(out);
	assert_non_null(freopen("/dev/null", "w", stderr)); /* thousands of lines are for nobody's eyes */
	log_error("one");
	log_error("two");
	log_recent(out, &since, &has_missed);
	assert_non_null(strstr(out, "error: one\n"));
	assert_non_null(strstr(out, "error: two\n"));
	assert_false(has_missed);
	assert_int_equal(log_recent(out, &since, &has_missed), 0);
	log_error("three");
	before = since;
	log_recent(out, &since, &has_missed);
	assert_non_null(strstr(out, " error: three\n"));
	assert_int_equal(count(out, "\n"), 1);
	assert_true(since > before);
	/* Of another process, later or before: all that there is, from its beginning on. */
	for (int i = 0; i < 2; i++) {
		before = since;
		since = i == 0 ? UINT64_MAX : 30;
		log_recent(out, &since, &has_missed);
		assert_int_equal(since, before);
		assert_int_equal(
			strncmp(strchr(out, '\n') - strlen(" error: one"), " error: one", strlen(" error: one")), 0);
		assert_false(has_missed);
	}
	/* More than is kept came meanwhile. */
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < 400; i++)
		log_error("%s", text);
	assert_true(log_recent(out, &since, &has_missed) > LOG_RECENT_BYTES - 1000);
	assert_true(has_missed);
	assert_null(strstr(out, "error: three"));
	assert_int_equal(strncmp(out, "at-", 3), 0);
	for (int i = 0; i < 2500; i++)
		log_error("short");
	log_recent(out, &since, &has_missed);
	assert_true(has_missed);
	assert_int_equal(count(out, "\n"), 2000);
	assert_true(dup2(err, STDERR_FILENO) >= 0);
	close(err);
	free(out);
}

static void level_names_are_exact(void **state)
{
	enum log_level level = LOG_LEVEL_ERROR;

	(void)state;
	assert_int_equal(log_level_from_text("debug", &level), 0);
	assert_int_equal(level, LOG_LEVEL_DEBUG);
	assert_int_equal(log_level_from_text("warn", &level), 0);
	assert_int_equal(level, LOG_LEVEL_WARN);
	assert_int_equal(log_level_from_text("Warn", &level), -EINVAL);
	assert_int_equal(log_level_from_text("", &level), -EINVAL);
	assert_int_equal(level, LOG_LEVEL_WARN);
	assert_string_equal(log_level_name(LOG_LEVEL_WARN), "warn");
	log_set_level(LOG_LEVEL_DEBUG);
	assert_int_equal(log_get_level(), LOG_LEVEL_DEBUG);
	log_set_level(LOG_LEVEL_INFO);
}

static void an_escape_is_written_whole_or_not_at_all(void **state)
{
	char out[8];

	(void)state;
	memset(out, '?', sizeof(out));
	assert_int_equal(log_escape(out, 6, "ab\n", 3), 2);
	assert_string_equal(out, "ab");
	assert_int_equal(out[3], '?');
	assert_int_equal(log_escape(out, 7, "ab\n", 3), 6);
	assert_string_equal(out, "ab\\x0a");
	assert_int_equal(log_escape(out, 1, "ab", 2), 0);
	assert_string_equal(out, "");
	assert_int_equal(log_escape(out, 8, "\0", 1), 4);
	assert_string_equal(out, "\\x00");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_carry_time_and_level_and_debug_is_off),
		cmocka_unit_test(the_journal_gets_priorities_instead),
		cmocka_unit_test(the_level_is_what_was_set),
		cmocka_unit_test(a_hostile_name_stays_on_its_line),
		cmocka_unit_test(a_name_is_no_format_and_has_an_end),
		cmocka_unit_test(long_text_is_cut_and_the_line_ends),
		cmocka_unit_test(a_flood_is_cut_per_level_and_counted_but_errors_never),
		cmocka_unit_test(lines_are_kept_and_told_once),
		cmocka_unit_test(level_names_are_exact),
		cmocka_unit_test(an_escape_is_written_whole_or_not_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
