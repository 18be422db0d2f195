/* What goes over a terminal again and again, and what a shell is told of words that may stand there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ctl/ctl.h"

static void drawn_is(const char *text, unsigned columns, unsigned rows, const char *wanted)
{
	char *made = NULL;
	size_t len;
	FILE *out = open_memstream(&made, &len);

	ctl_draw(out, text, columns, rows);
	fclose(out);
	assert_string_equal(made, wanted);
	free(made);
}

#define END "\033[0m\033[K\n"

static void a_page_is_cut_to_the_terminal(void **state)
{
	(void)state;
	drawn_is("abc\nde\n", 10, 10, "\033[Habc" END "de" END "\033[J");
	drawn_is("abcdef\nde", 3, 10, "\033[Habc" END "de" END "\033[J");
	drawn_is("a\nb\nc\nd\n", 10, 3, "\033[Ha" END "b" END "\033[J");
	drawn_is("", 10, 3, "\033[H\033[J");
}

static void colours_and_letters_of_several_bytes_take_their_own_room(void **state)
{
	(void)state;
	drawn_is("\033[32mabc\033[0mdef\n", 3, 10, "\033[H\033[32mabc\033[0m" END "\033[J");
	drawn_is("\xc3\xa9\xc3\xa9\xc3\xa9\n", 2, 10, "\033[H\xc3\xa9\xc3\xa9" END "\033[J");
	drawn_is("\033[", 2, 10, "\033[H\033[" END "\033[J"); /* cut short */
}

/* The candidates, without what they are for. */
static void offered_are(const char *const words[], const char *wanted)
{
	struct ctl ctl = { .socket_dir = "/nonexistent" };
	char *argv[8], *text = NULL, *made, *to;
	size_t len;
	int n = 0;

	for (; words[n]; n++)
		argv[n] = (char *)(uintptr_t)words[n];
	ctl.out = ctl.err = open_memstream(&text, &len);
	ctl_complete(&ctl, n, argv);
	fclose(ctl.out);
	made = to = calloc(1, len + 1);
	for (const char *p = text; *p; p += strcspn(p, "\n") + 1) {
		size_t word = strcspn(p, "\t");

		memcpy(to, p, word);
		to += word;
		*to++ = ' ';
	}
	assert_string_equal(made, wanted);
	free(made);
	free(text);
}

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void what_may_stand_there_is_offered(void **state)
{
	(void)state;
	offered_are(WORDS("pe"), "peers ");
	offered_are(WORDS("key", ""), "gen pub ");
	offered_are(WORDS("key", "p"), "pub ");
	offered_are(WORDS("key", "pub", ""), "");
	offered_are(WORDS("peers", "--sta"), "--state ");
	offered_are(WORDS("peers", "--state="), "--state=up --state=idle --state=cached --state=down ");
	offered_are(WORDS("peers", "--state=d"), "--state=down ");
	offered_are(WORDS("peers", "--state", "i"), "idle ");
	offered_are(WORDS("--color", "a"), "auto always ");
	offered_are(WORDS("-n", "home", "-w", "vers"), "version ");
	offered_are(WORDS("help", "ver"), "version ");
	offered_are(WORDS("nonsense", ""), "");
	offered_are(WORDS("why", ""), ""); /* no daemon, and no word of complaint */
	offered_are(WORDS("peers", "--watch=3", "--pa"), "--path ");
	offered_are(WORDS("ping", "-c3", "--co"), "--count --color ");
}

static void every_command_is_offered(void **state)
{
	char wanted[1024] = "";

	(void)state;
	for (const struct ctl_command *c = ctl_commands; c->name; c++) {
		strncat(wanted, c->name, sizeof(wanted) - strlen(wanted) - 1);
		strncat(wanted, " ", sizeof(wanted) - strlen(wanted) - 1);
	}
	offered_are(WORDS(""), wanted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_page_is_cut_to_the_terminal),
		cmocka_unit_test(colours_and_letters_of_several_bytes_take_their_own_room),
		cmocka_unit_test(what_may_stand_there_is_offered),
		cmocka_unit_test(every_command_is_offered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
