#include "tests/fuzz/fuzz.h"
#include "daemon/wire/relay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t again[WIRE_RELAY_HEADER_BYTES];
	struct wire_relay m;

	if (wire_relay_decode(&m, data, len) < 0)
		return 0;
	must(m.payload == data + WIRE_RELAY_HEADER_BYTES && m.payload_len == len - WIRE_RELAY_HEADER_BYTES);
	wire_relay_encode(again, &m);
	must(again[0] == data[0] && memcmp(again + 4, data + 4, WIRE_RELAY_HEADER_BYTES - 4) == 0);
	return 0;
}
