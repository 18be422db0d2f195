#include "tests/fuzz/fuzz.h"
#include "daemon/wire/loop.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t again[WIRE_LOOP_BYTES];
	uint64_t token;

	if (wire_loop_decode(&token, data, len) < 0)
		return 0;
	must(len == WIRE_LOOP_BYTES);
	wire_loop_encode(again, token);
	must(again[0] == data[0] && memcmp(again + 8, data + 8, 8) == 0);
	return 0;
}
