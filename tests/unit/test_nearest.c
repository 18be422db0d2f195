#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/base/nearest.h"

static void counts_changes_of_letters(void **state)
{
	(void)state;
	assert_int_equal(nearest_distance("", ""), 0);
	assert_int_equal(nearest_distance("", "peers"), 5);
	assert_int_equal(nearest_distance("peers", ""), 5);
	assert_int_equal(nearest_distance("peers", "peers"), 0);
	assert_int_equal(nearest_distance("peer", "peers"), 1);
	assert_int_equal(nearest_distance("kitten", "sitting"), 3);
	assert_int_equal(nearest_distance("Status", "status"), 0);
}

static void a_swap_is_one_change(void **state)
{
	(void)state;
	assert_int_equal(nearest_distance("endpiont", "endpoint"), 1);
	assert_int_equal(nearest_distance("ab", "ba"), 1);
}

static void a_word_that_is_too_long_is_near_to_nothing(void **state)
{
	const char *word = "abcdefghijklmnopqrstuvwxyz0123456789";

	(void)state;
	assert_int_equal(nearest_distance(word, word), NEAREST_WORD_MAX_BYTES + 1);
	assert_false(nearest_is_close(word, "peers"));
}

static void only_close_words_are_named(void **state)
{
	(void)state;
	assert_true(nearest_is_close("endpiont", "endpoint"));
	assert_true(nearest_is_close("stauts", "status"));
	assert_true(nearest_is_close("pirvate_kye_fiel", "private_key_file"));
	assert_false(nearest_is_close("frobnicate", "endpoint"));
	assert_false(nearest_is_close("xyz", "why"));
	assert_false(nearest_is_close("xy", "up"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_changes_of_letters),
		cmocka_unit_test(a_swap_is_one_change),
		cmocka_unit_test(a_word_that_is_too_long_is_near_to_nothing),
		cmocka_unit_test(only_close_words_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
