#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "daemon/net/offload.h"

static void words_of_the_environment_turn_off_what_they_name(void **state)
{
	static const struct {
		const char *words;
		unsigned bits;
	} cases[] = {
		{ "", 0 },
		{ "gso", OFFLOAD_NO_GSO },
		{ "gro,vnet", OFFLOAD_NO_GRO | OFFLOAD_NO_VNET },
		{ "reuseport,multiqueue,gso,gro,vnet", 31 },
		{ ",,gso,", OFFLOAD_NO_GSO },
		{ "gs,gsoo,ipsec-mb,GSO", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		setenv("WARREN_DISABLE", cases[i].words, 1);
		assert_int_equal(offload_disabled(true), cases[i].bits);
	}
	unsetenv("WARREN_DISABLE");
	assert_int_equal(offload_disabled(true), 0);
	assert_int_equal(offload_disabled(false), OFFLOAD_NO_GSO | OFFLOAD_NO_GRO | OFFLOAD_NO_VNET);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_of_the_environment_turn_off_what_they_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
