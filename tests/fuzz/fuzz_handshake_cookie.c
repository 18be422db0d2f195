#include "tests/fuzz/fuzz.h"
#include "daemon/wire/handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t again[WIRE_COOKIE_BYTES];
	struct wire_cookie c;

	if (wire_cookie_decode(&c, data, len) < 0)
		return 0;
	must(len == WIRE_COOKIE_BYTES);
	wire_cookie_encode(again, &c);
	must(again[0] == data[0] && memcmp(again + 4, data + 4, WIRE_COOKIE_BYTES - 4) == 0);
	return 0;
}
