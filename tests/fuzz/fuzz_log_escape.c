#include "tests/fuzz/fuzz.h"
#include "daemon/base/log.h"

/* The first byte is the room for the result. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	size_t capacity = len > 0 ? (size_t)data[0] + 1 : 1, n;
	char *out = malloc(capacity); /* exactly, so that a byte too many is seen */

	must(out != NULL);
	n = log_escape(out, capacity, len > 0 ? (const char *)data + 1 : "", len > 0 ? len - 1 : 0);
	must(n < capacity && out[n] == '\0');
	for (size_t i = 0; i < n; i++)
		must(out[i] >= 0x20 && out[i] < 0x7f);
	free(out);
	return 0;
}
