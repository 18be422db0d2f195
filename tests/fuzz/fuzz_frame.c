#include "tests/fuzz/fuzz.h"
#include "daemon/wire/frame.h"

/* A stream, frame after frame as a connection reads it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const uint8_t *body;
	int n;

	while ((n = wire_frame_peek(data, len, &body)) > 0) {
		uint8_t header[WIRE_FRAME_HEADER_BYTES];
		size_t frame_len = WIRE_FRAME_HEADER_BYTES + (size_t)n;

		must(n <= WIRE_FRAME_MAX_BYTES && frame_len <= len && body == data + WIRE_FRAME_HEADER_BYTES);
		wire_frame_header(header, (size_t)n);
		must(memcmp(header, data, sizeof(header)) == 0);
		data += frame_len;
		len -= frame_len;
	}
	must(n < 0 || len < WIRE_FRAME_HEADER_BYTES + WIRE_FRAME_MAX_BYTES);
	return 0;
}
