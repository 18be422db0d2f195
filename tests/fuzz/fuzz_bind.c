#include "tests/fuzz/fuzz.h"
#include "daemon/wire/bind.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t once[WIRE_BIND_BYTES], twice[WIRE_BIND_BYTES];
	struct wire_bind b;

	if (wire_bind_decode(&b, data, len) < 0)
		return 0;
	must(len == WIRE_BIND_BYTES);
	wire_bind_encode(once, &b);
	must(wire_bind_decode(&b, once, sizeof(once)) == 0);
	wire_bind_encode(twice, &b);
	must(memcmp(once, twice, sizeof(once)) == 0);
	return 0;
}
