#include "tests/fuzz/fuzz.h"
#include "daemon/wire/handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t again[WIRE_RESPONSE_PAYLOAD_BYTES + WIRE_EXTENSIONS_BYTES];
	struct wire_response_payload p;
	size_t n;

	if (wire_response_payload_decode(&p, data, len) < 0)
		return 0;
	must(len >= WIRE_RESPONSE_PAYLOAD_BYTES);
	n = wire_response_payload_encode(again, &p);
	must(n == (p.trust.is_shown ? sizeof(again) : WIRE_RESPONSE_PAYLOAD_BYTES) && p.trust.len <= CERT_MAX_BYTES);
	must(again[0] == data[0] && memcmp(again + 2, data + 2, 2) == 0);
	return 0;
}
