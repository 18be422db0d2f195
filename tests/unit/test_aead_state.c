#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/aead_state.h"
#include "crypto/key.h"

#define N_STATES 800 /* 200 peers with two sessions of two keys */

static void states_are_aligned_zero_and_apart(void **state)
{
	static const size_t sizes[] = { 32, 512, 1008, 5000 };
	uint8_t *states[4][40];

	(void)state;
	for (unsigned int n = 0; n < 40; n++)
		for (unsigned int i = 0; i < 4; i++) {
			states[i][n] = aead_state_new(sizes[i]);
			assert_non_null(states[i][n]);
			assert_int_equal((uintptr_t)states[i][n] % 64, 0);
			for (size_t k = 0; k < sizes[i]; k++)
				assert_int_equal(states[i][n][k], 0);
			memset(states[i][n], (int)(40 * i + n), sizes[i]);
		}
	for (unsigned int n = 0; n < 40; n++)
		for (unsigned int i = 0; i < 4; i++) {
			for (size_t k = 0; k < sizes[i]; k++)
				assert_int_equal(states[i][n][k], (uint8_t)(40 * i + n));
			aead_state_free(states[i][n], sizes[i]);
		}
}

static void a_freed_state_is_wiped_and_used_again(void **state)
{
	uint8_t *neighbour = aead_state_new(1008), *freed = aead_state_new(1008), *again;

	(void)state;
	assert_non_null(freed);
	assert_non_null(neighbour);
	memset(freed, 0xff, 1008);
	memset(neighbour, 0xee, 1008);
	aead_state_free(freed, 1008);
	again = aead_state_new(1008);
	assert_ptr_equal(again, freed);
	for (size_t k = 0; k < 1008; k++) {
		assert_int_equal(again[k], 0);
		assert_int_equal(neighbour[k], 0xee);
	}
	aead_state_free(again, 1008);
	aead_state_free(neighbour, 1008);
	aead_state_free(NULL, 1008);
}

static unsigned long locked_kib(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	unsigned long kib = 0;
	char line[128];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "VmLck: %lu", &kib) == 1)
			break;
	fclose(f);
	return kib;
}

static void states_are_locked_while_in_use_and_dense(void **state)
{
	static void *states[N_STATES];
	unsigned long before = locked_kib(), during;

	(void)state;
	for (unsigned int i = 0; i < N_STATES; i++) {
		states[i] = aead_state_new(1008);
		assert_non_null(states[i]);
	}
	during = locked_kib() - before;
	for (unsigned int i = 0; i < N_STATES; i++)
		aead_state_free(states[i], 1008);
	assert_int_equal(locked_kib(), before);
	if (during == 0)
		skip(); /* RLIMIT_MEMLOCK does not let us */
	assert_true(during <= N_STATES);
}

static int start(void **state)
{
	(void)state;
	return crypto_start();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(states_are_aligned_zero_and_apart),
		cmocka_unit_test(a_freed_state_is_wiped_and_used_again),
		cmocka_unit_test(states_are_locked_while_in_use_and_dense),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
