#include "tests/fuzz/fuzz.h"
#include "daemon/wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t again[WIRE_SEALED_HEADER_BYTES];
	struct wire_sealed h;

	if (wire_sealed_decode(&h, data, len) < 0)
		return 0;
	must(len >= WIRE_SEALED_OVERHEAD_BYTES);
	wire_sealed_encode(again, &h);
	must(memcmp(again, data, 2) == 0 && memcmp(again + 4, data + 4, 12) == 0);
	return 0;
}
