#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "daemon/base/order.h"

#define THINGS 100

struct thing {
	char name[8];
	int number;
};

static int compare_numbers(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return x < y ? -1 : x > y;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void things_are_found_by_either_key(void **state)
{
	static struct thing things[THINGS];
	void *a[THINGS], *b[THINGS];
	struct order numbers = { .key = offsetof(struct thing, number), .compare = compare_numbers, .v = a };
	struct order names = { .key = offsetof(struct thing, name), .compare = compare_names, .v = b };

	(void)state;
	for (int i = 0; i < THINGS; i++) { /* 37 and 100 have no common divisor: each once, in disorder */
		things[i].number = 2 * (i * 37 % THINGS);
		memcpy(things[i].name, (char[]){ (char)('a' + i % 10), (char)('a' + i / 10), '\0' }, 3);
		order_add(&numbers, &things[i]);
		order_add(&names, &things[i]);
	}
	order_sort(&numbers);
	order_sort(&names);
	for (int i = 0; i < THINGS; i++) {
		int odd = things[i].number + 1;

		assert_ptr_equal(order_find(&numbers, &things[i].number), &things[i]);
		assert_ptr_equal(order_find(&names, things[i].name), &things[i]);
		assert_null(order_find(&numbers, &odd));
		assert_int_equal(order_before(&numbers, &things[i].number), things[i].number / 2);
		assert_int_equal(order_before(&numbers, &odd), things[i].number / 2 + 1);
	}
	assert_int_equal(order_before(&numbers, &(int){ -1 }), 0);
	assert_int_equal(order_before(&numbers, &(int){ 1000 }), THINGS);
	assert_null(order_find(&names, "zz"));
}

static void order_is_kept_when_things_come_and_go(void **state)
{
	static struct thing things[THINGS], absent = { .number = 12 };
	void *room[THINGS];
	struct order o = { .key = offsetof(struct thing, number), .compare = compare_numbers, .v = room };

	(void)state;
	for (int i = 0; i < THINGS; i++) {
		things[i].number = i * 37 % THINGS / 2; /* each twice */
		order_insert(&o, &things[i]);
		for (unsigned j = 1; j < o.n; j++)
			assert_true(((struct thing *)room[j - 1])->number <= ((struct thing *)room[j])->number);
	}
	order_remove(&o, &absent); /* one like it is there, and stays */
	assert_int_equal(o.n, THINGS);
	for (int i = 0; i < THINGS; i++) {
		order_remove(&o, &things[i]);
		assert_int_equal(o.n, THINGS - 1 - i);
		for (unsigned j = 0; j < o.n; j++)
			assert_ptr_not_equal(room[j], &things[i]);
	}
	order_remove(&o, &things[0]);
	assert_int_equal(o.n, 0);
}

static void nothing_is_found_in_an_empty_order(void **state)
{
	struct order o = { .key = offsetof(struct thing, number), .compare = compare_numbers };

	(void)state;
	order_sort(&o);
	assert_int_equal(order_before(&o, &(int){ 1 }), 0);
	assert_null(order_find(&o, &(int){ 1 }));
}

static void first_of_equals_is_found(void **state)
{
	struct thing things[] = { { .number = 7 }, { .number = 7 }, { .number = 3 } };
	void *room[3];
	struct order o = { .key = offsetof(struct thing, number), .compare = compare_numbers, .v = room };
	struct thing *found;

	(void)state;
	for (size_t i = 0; i < 3; i++)
		order_add(&o, &things[i]);
	order_sort(&o);
	assert_int_equal(order_before(&o, &(int){ 7 }), 1);
	found = order_find(&o, &(int){ 7 });
	assert_true(found == &things[0] || found == &things[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(things_are_found_by_either_key),
		cmocka_unit_test(order_is_kept_when_things_come_and_go),
		cmocka_unit_test(nothing_is_found_in_an_empty_order),
		cmocka_unit_test(first_of_equals_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
