#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/base/looks.h"

#define NOW 1000000

static struct looks at_rest(void)
{
	struct looks l;

	looks_init(&l);
	assert_int_equal(l.due_ms, UINT64_MAX);
	return l;
}

static void first_change_is_looked_at_at_once(void **state)
{
	struct looks l = at_rest();

	(void)state;
	looks_want(&l, NOW);
	assert_int_equal(l.due_ms, NOW);
	looks_want(&l, NOW + 5); /* one look for both */
	assert_int_equal(l.due_ms, NOW);
	looks_begin(&l, NOW + 7);
	looks_end(&l, true);
	assert_int_equal(l.due_ms, UINT64_MAX);
}

/* Milliseconds from one look to the next, while there is always something to look at. */
static uint64_t next(struct looks *l, bool has_found)
{
	uint64_t begin = l->last_ms;

	looks_want(l, begin + 1);
	looks_begin(l, l->due_ms);
	looks_end(l, has_found);
	return l->last_ms - begin;
}

static void looks_for_nothing_come_ever_more_seldom(void **state)
{
	struct looks l = at_rest();
	uint64_t waited, before = 0;

	(void)state;
	looks_begin(&l, NOW);
	looks_end(&l, true);
	for (unsigned i = 0; i < 10; i++, before = waited) {
		waited = next(&l, false);
		assert_true(waited >= before && waited >= LOOKS_WAIT_MIN_MS);
		assert_true(waited < 2 * LOOKS_WAIT_MAX_MS);
	}
	assert_true(before >= LOOKS_WAIT_MAX_MS);
	assert_int_equal(next(&l, true), before); /* this one found something */
	assert_int_equal(next(&l, false), LOOKS_WAIT_MIN_MS);
}

static void change_during_a_look_makes_another(void **state)
{
	struct looks l = at_rest();

	(void)state;
	looks_begin(&l, NOW);
	looks_want(&l, NOW);
	looks_end(&l, true);
	assert_int_equal(l.due_ms, NOW + LOOKS_WAIT_MIN_MS);
}

static void change_after_a_long_rest_is_looked_at_at_once(void **state)
{
	struct looks l = at_rest();

	(void)state;
	looks_begin(&l, NOW);
	looks_end(&l, false);
	looks_want(&l, NOW + 10 * LOOKS_WAIT_MAX_MS);
	assert_int_equal(l.due_ms, NOW + 10 * LOOKS_WAIT_MAX_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_change_is_looked_at_at_once),
		cmocka_unit_test(looks_for_nothing_come_ever_more_seldom),
		cmocka_unit_test(change_during_a_look_makes_another),
		cmocka_unit_test(change_after_a_long_rest_is_looked_at_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
