#include "tests/fuzz/fuzz.h"
#include "daemon/wire/handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t again[WIRE_RESPONSE_PAYLOAD_BYTES];
	struct wire_response_payload p;

	if (wire_response_payload_decode(&p, data, len) < 0)
		return 0;
	must(len >= WIRE_RESPONSE_PAYLOAD_BYTES);
	wire_response_payload_encode(again, &p);
	must(again[0] == data[0] && memcmp(again + 2, data + 2, 2) == 0);
	return 0;
}
