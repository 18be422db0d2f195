#include "tests/fuzz/fuzz.h"
#include "daemon/wire/handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t again[WIRE_INIT_PAYLOAD_BYTES];
	struct wire_init_payload p;

	if (wire_init_payload_decode(&p, data, len) < 0)
		return 0;
	must(len >= WIRE_INIT_PAYLOAD_BYTES);
	wire_init_payload_encode(again, &p);
	must(memcmp(again, data, 16) == 0); /* the rest is reserved */
	return 0;
}
