#include "daemon/base/counters.h"

static const char *const names[] = {
#define COUNTER_NAME(name) [COUNTER_##name] = #name,
	COUNTERS(COUNTER_NAME)
#undef COUNTER_NAME
};

const char *counter_name(enum counter c)
{
	return names[c];
}

void counters_sum(uint64_t *sum, const struct counters *from)
{
	for (size_t i = 0; i < COUNTER_COUNT; i++)
		sum[i] += counters_get(from, (enum counter)i);
}
