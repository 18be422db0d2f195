#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "crypto/key.h"
#include "daemon/peer/indices.h"

static int owners[2];

static void index_names_its_owner_until_it_is_removed(void **state)
{
	struct indices *t = indices_new();
	uint32_t a = indices_add(t, INDEX_HANDSHAKE, &owners[0]), b = indices_add(t, INDEX_LINK, &owners[1]);
	enum index_kind kind;

	(void)state;
	assert_int_not_equal(a, 0);
	assert_int_not_equal(b, 0);
	assert_int_not_equal(a, b);
	assert_ptr_equal(indices_find(t, a, &kind), &owners[0]);
	assert_int_equal(kind, INDEX_HANDSHAKE);
	assert_ptr_equal(indices_find(t, b, &kind), &owners[1]);
	assert_int_equal(kind, INDEX_LINK);
	indices_change(t, a, INDEX_SESSION);
	assert_ptr_equal(indices_find(t, a, &kind), &owners[0]);
	assert_int_equal(kind, INDEX_SESSION);
	indices_remove(t, a, 0);
	assert_null(indices_find(t, a, &kind));
	assert_ptr_equal(indices_find(t, b, &kind), &owners[1]);
	indices_free(t);
}

static void unknown_index_is_nobodys(void **state)
{
	struct indices *t = indices_new();
	uint32_t a = indices_add(t, INDEX_SESSION, &owners[0]);
	enum index_kind kind = INDEX_LINK;

	(void)state;
	assert_null(indices_find(t, a ^ 1, &kind));
	assert_null(indices_find(t, 0, &kind));
	assert_int_equal(kind, INDEX_LINK);
	indices_change(t, a ^ 1, INDEX_SESSION);
	indices_remove(t, a ^ 1, 0);
	assert_ptr_equal(indices_find(t, a, &kind), &owners[0]);
	indices_free(t);
	indices_free(NULL);
}

static void freed_index_neither_wakes_nor_is_freed_twice(void **state)
{
	struct indices *t = indices_new();
	uint32_t a = indices_add(t, INDEX_SESSION, &owners[0]);
	enum index_kind kind;

	(void)state;
	indices_remove(t, a, 1000);
	indices_remove(t, a, 1000);
	indices_change(t, a, INDEX_LINK);
	assert_null(indices_find(t, a, &kind));
	indices_remove(t, a, 20000); /* by now it has left the table */
	indices_remove(t, a, 20001);
	assert_null(indices_find(t, a, &kind));
	indices_free(t);
}

static void many_indices_come_and_go(void **state)
{
	static uint32_t index[5000];
	struct indices *t = indices_new();
	const size_t n = sizeof(index) / sizeof(index[0]);
	enum index_kind kind;

	(void)state;
	for (size_t i = 0; i < n; i++)
		index[i] = indices_add(t, INDEX_SESSION, &index[i]);
	for (uint64_t now_ms = 0; now_ms < 50000; now_ms++) {
		size_t i = now_ms % n;

		indices_remove(t, index[i], now_ms);
		index[i] = indices_add(t, INDEX_SESSION, &index[i]);
	}
	for (size_t i = 0; i < n; i++)
		assert_ptr_equal(indices_find(t, index[i], &kind), &index[i]);
	indices_free(t);
}

static int start(void **state)
{
	(void)state;
	return crypto_start();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(index_names_its_owner_until_it_is_removed),
		cmocka_unit_test(unknown_index_is_nobodys),
		cmocka_unit_test(freed_index_neither_wakes_nor_is_freed_twice),
		cmocka_unit_test(many_indices_come_and_go),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
