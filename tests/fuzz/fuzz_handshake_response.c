#include "tests/fuzz/fuzz.h"
#include "daemon/wire/handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t again[WIRE_RESPONSE_HEADER_BYTES];
	struct wire_response m;

	if (wire_response_decode(&m, data, len) < 0)
		return 0;
	must(len >= WIRE_RESPONSE_BYTES && len <= WIRE_HANDSHAKE_MAX_BYTES);
	must(m.noise == data + WIRE_RESPONSE_HEADER_BYTES && m.noise + m.noise_len == data + m.mac1_at);
	must(m.mac1_at + WIRE_MACS_BYTES == len);
	wire_response_header_encode(again, m.sender, m.receiver);
	must(again[0] == data[0] && memcmp(again + 4, data + 4, 8) == 0);
	return 0;
}
