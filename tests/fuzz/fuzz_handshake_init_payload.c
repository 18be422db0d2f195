#include "tests/fuzz/fuzz.h"
#include "daemon/wire/handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t again[WIRE_INIT_PAYLOAD_BYTES + WIRE_EXTENSIONS_BYTES];
	struct wire_init_payload p;
	size_t n;

	if (wire_init_payload_decode(&p, data, len) < 0)
		return 0;
	must(len >= WIRE_INIT_PAYLOAD_BYTES);
	n = wire_init_payload_encode(again, &p);
	must(n == (p.trust.is_shown ? sizeof(again) : WIRE_INIT_PAYLOAD_BYTES) && p.trust.len <= CERT_MAX_BYTES);
	must(memcmp(again, data, 16) == 0); /* the rest is reserved */
	return 0;
}
