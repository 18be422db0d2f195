#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/ctl.h"

static const struct ctl_column columns[] = {
	{ "PEER", false },
	{ "PATH", false },
	{ "SEEN", false },
	{ "KEY", true },
};

/* Prints two rows as `ctl` asks for and returns the text, to be freed. */
static char *printed(struct ctl *ctl)
{
	struct ctl_table *t = ctl_table_new(columns, 4);
	char *text = NULL;
	size_t len;

	assert_non_null(t);
	ctl->out = open_memstream(&text, &len);
	assert_non_null(ctl->out);
	ctl_table_row(t);
	ctl_table_cell(t, 32, "alice");
	ctl_table_cell(t, 0, "direct 192.0.2.1:1");
	ctl_table_cell(t, 0, "%d%s", 2, "s");
	ctl_table_cell(t, 0, "K1");
	ctl_table_row(t);
	ctl_table_cell(t, 0, "bo\033b");
	ctl_table_print_take(t, ctl);
	fclose(ctl->out);
	return text;
}

static void expect(struct ctl *ctl, const char *wanted)
{
	char *text = printed(ctl);

	assert_string_equal(text, wanted);
	free(text);
}

static void columns_are_aligned_with_two_blanks(void **state)
{
	struct ctl ctl = { 0 };

	(void)state;
	expect(&ctl, "PEER     PATH                SEEN\n"
		     "alice    direct 192.0.2.1:1  2s\n"
		     "bo\\x1bb  -                   -\n");
}

static void the_header_can_be_left_out(void **state)
{
	struct ctl ctl = { .has_no_header = true };

	(void)state;
	expect(&ctl, "alice    direct 192.0.2.1:1  2s\n"
		     "bo\\x1bb  -                   -\n");
}

static void a_narrow_terminal_loses_the_last_columns(void **state)
{
	struct ctl ctl = { .columns = 32 };

	(void)state;
	expect(&ctl, "PEER     PATH\n"
		     "alice    direct 192.0.2.1:1\n"
		     "bo\\x1bb  -\n");
	ctl.columns = 33;
	expect(&ctl, "PEER     PATH                SEEN\n"
		     "alice    direct 192.0.2.1:1  2s\n"
		     "bo\\x1bb  -                   -\n");
	ctl.columns = 3;
	expect(&ctl, "PEER\nalice\nbo\\x1bb\n");
}

static void wide_shows_every_column(void **state)
{
	struct ctl ctl = { .columns = 10, .is_wide = true };

	(void)state;
	expect(&ctl, "PEER     PATH                SEEN  KEY\n"
		     "alice    direct 192.0.2.1:1  2s    K1\n"
		     "bo\\x1bb  -                   -     -\n");
}

static void plain_is_rows_of_tabs(void **state)
{
	struct ctl ctl = { .columns = 10, .is_plain = true, .is_colored = true };

	(void)state;
	expect(&ctl, "PEER\tPATH\tSEEN\tKEY\nalice\tdirect 192.0.2.1:1\t2s\tK1\nbo\\x1bb\t-\t-\t-\n");
}

static void colour_does_not_disturb_the_columns(void **state)
{
	struct ctl ctl = { .is_colored = true, .has_no_header = true };

	(void)state;
	expect(&ctl, "\033[32malice\033[0m    direct 192.0.2.1:1  2s\n"
		     "bo\\x1bb  -                   -\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns_are_aligned_with_two_blanks),
		cmocka_unit_test(the_header_can_be_left_out),
		cmocka_unit_test(a_narrow_terminal_loses_the_last_columns),
		cmocka_unit_test(wide_shows_every_column),
		cmocka_unit_test(plain_is_rows_of_tabs),
		cmocka_unit_test(colour_does_not_disturb_the_columns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
