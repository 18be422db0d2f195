#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/data/pieces.h"

#define MTU_BYTES 1500

static struct wire_sealed piece(uint64_t first, uint8_t i, uint8_t n)
{
	struct wire_sealed h = { .type = WIRE_DATA, .index = 7, .counter = first + i };

	h.piece = i;
	h.n_pieces = n;
	return h;
}

static uint8_t *add(struct pieces *p, uint64_t first, uint8_t i, uint8_t n, const char *text, size_t *len)
{
	struct wire_sealed h = piece(first, i, n);

	return pieces_add(p, &h, (const uint8_t *)text, strlen(text), len);
}

static void pieces_in_any_order_make_the_packet(void **state)
{
	static const uint8_t orders[][3] = { { 0, 1, 2 }, { 2, 1, 0 }, { 1, 2, 0 }, { 2, 0, 1 } };
	static const char *const parts[] = { "abcd", "efgh", "ij" };
	struct pieces *p = pieces_new(MTU_BYTES, 10);

	(void)state;
	for (uint64_t k = 0; k < 4; k++) {
		const uint8_t *order = orders[k];
		size_t len = 0;
		uint8_t *whole;

		assert_null(add(p, 100 * k, order[0], 3, parts[order[0]], &len));
		assert_null(add(p, 100 * k, order[1], 3, parts[order[1]], &len));
		whole = add(p, 100 * k, order[2], 3, parts[order[2]], &len);
		assert_non_null(whole);
		assert_int_equal(len, 10);
		assert_memory_equal(whole, "abcdefghij", 10);
		memset(whole - 10, 0, 10); /* the headroom is ours */
	}
	pieces_free(p);
}

static void packets_do_not_mix_and_the_oldest_gives_way(void **state)
{
	struct pieces *p = pieces_new(MTU_BYTES, 0);
	size_t len;

	(void)state;
	for (uint64_t k = 0; k <= PIECES_PACKETS; k++)
		assert_null(add(p, 10 * k, 0, 2, "x", &len));
	for (uint64_t k = 1; k <= PIECES_PACKETS; k++) { /* the first of them is gone */
		assert_non_null(add(p, 10 * k, 1, 2, "y", &len));
		assert_int_equal(len, 2);
	}
	assert_null(add(p, 0, 1, 2, "y", &len));
	pieces_free(p);
}

static void what_contradicts_itself_is_left_out(void **state)
{
	struct pieces *p = pieces_new(MTU_BYTES, 0);
	struct wire_sealed h = piece(50, 1, 2);
	char big[MTU_BYTES + 1];
	size_t len;

	(void)state;
	memset(big, 'b', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	assert_null(add(p, 50, 0, 2, "x", &len));
	assert_null(add(p, 50, 0, 2, "x", &len)); /* twice the same */
	assert_null(add(p, 50, 1, 3, "y", &len)); /* another count */
	h.flags = WIRE_FLAG_PARTIAL;
	assert_null(pieces_add(p, &h, (const uint8_t *)"y", 1, &len)); /* other flags */
	assert_null(add(p, 50, 1, 2, big, &len));                      /* longer than any packet */
	assert_null(add(p, 50, 1, 2, "", &len));
	assert_non_null(add(p, 50, 1, 2, "y", &len));
	assert_int_equal(len, 2);
	pieces_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_in_any_order_make_the_packet),
		cmocka_unit_test(packets_do_not_mix_and_the_oldest_gives_way),
		cmocka_unit_test(what_contradicts_itself_is_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
