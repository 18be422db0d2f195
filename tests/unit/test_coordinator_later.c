#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "daemon/coordinator/later.h"

#define N 5000

static void entries_come_out_when_they_are_due(void **state)
{
	struct later *l = calloc(1, sizeof(*l));
	struct later_entry *v = calloc(N, sizeof(*v));
	uint64_t now_ms = 123456789, seed = 1;
	unsigned n_left = N;

	(void)state;
	assert_int_equal(later_next_ms(l), UINT64_MAX);
	assert_null(later_take(l, now_ms));
	for (unsigned i = 0; i < N; i++) {
		seed = seed * 6364136223846793005 + 1442695040888963407;
		v[i].owner = &v[i];
		later_set(l, &v[i], (seed >> 33) % (LATER_MOST_MS + 1), now_ms);
	}
	while (n_left) {
		uint64_t next_ms = later_next_ms(l);
		struct later_entry *e;

		assert_in_range(next_ms, now_ms, 123456789 + LATER_MOST_MS);
		assert_null(later_take(l, next_ms - 1));
		now_ms = next_ms;
		while ((e = later_take(l, now_ms))) {
			assert_ptr_equal(e->owner, e);
			assert_int_equal(e->due_ms, now_ms);
			e->owner = NULL; /* once */
			n_left--;
		}
	}
	assert_int_equal(l->n, 0);
	assert_int_equal(later_next_ms(l), UINT64_MAX);
	free(v);
	free(l);
}

static void late_looks_find_all_that_is_due(void **state)
{
	struct later *l = calloc(1, sizeof(*l));
	struct later_entry v[100] = { 0 };
	unsigned n = 0;

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		later_set(l, &v[i], i * 2000, 1000);
	while (later_take(l, 1000 + 50 * 2000))
		n++;
	assert_int_equal(n, 51);
	while (later_take(l, 100000000))
		n++;
	assert_int_equal(n, 100);
	later_set(l, &v[0], 5000, 200000000); /* after days of nothing */
	assert_int_equal(later_next_ms(l), 200005000);
	assert_null(later_take(l, 200004999));
	assert_ptr_equal(later_take(l, 200005000), &v[0]);
	free(l);
}

/* What is set when the wheel was not looked at for most of a turn comes behind what is due in this one. */
static void turns_are_told_apart(void **state)
{
	struct later *l = calloc(1, sizeof(*l));
	struct later_entry a = { 0 }, b = { 0 };

	(void)state;
	later_set(l, &a, 160000, 0);
	later_set(l, &b, 200000, 150000);
	assert_int_equal(later_next_ms(l), 160000);
	assert_ptr_equal(later_take(l, 160000), &a);
	assert_null(later_take(l, 160000));
	assert_int_equal(later_next_ms(l), 350000);
	assert_null(later_take(l, 349999));
	later_set(l, &a, 1 << 30, 349999); /* as long as there is */
	assert_int_equal(later_next_ms(l), 350000);
	assert_ptr_equal(later_take(l, 1000000), &b);
	assert_ptr_equal(later_take(l, 1000000), &a);
	free(l);
}

static void cancelled_and_moved_entries_come_not_or_later(void **state)
{
	struct later *l = calloc(1, sizeof(*l));
	struct later_entry a = { 0 }, b = { 0 }, c = { 0 };

	(void)state;
	later_cancel(&a); /* is in none */
	later_set(l, &a, 1000, 0);
	later_set(l, &b, 1000, 0);
	later_set(l, &c, 1010, 0); /* of the same slot */
	later_cancel(&a);
	later_set(l, &b, 3000, 500);
	assert_int_equal(later_next_ms(l), 1010);
	assert_null(later_take(l, 1009));
	assert_ptr_equal(later_take(l, 1010), &c);
	assert_null(later_take(l, 3499));
	assert_ptr_equal(later_take(l, 3500), &b);
	assert_int_equal(l->n, 0);
	free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_come_out_when_they_are_due),
		cmocka_unit_test(late_looks_find_all_that_is_due),
		cmocka_unit_test(turns_are_told_apart),
		cmocka_unit_test(cancelled_and_moved_entries_come_not_or_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
