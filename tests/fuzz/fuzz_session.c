#include "tests/fuzz/fuzz.h"
#include "daemon/wire/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	int type = wire_session_type_of(data, len);

	must(type < 0 || type == data[0]);
	FUZZ_ROUND_TRIP(struct wire_probe, wire_probe_decode, wire_probe_encode, data, len);
	FUZZ_ROUND_TRIP(struct wire_session_candidates, wire_session_candidates_decode, wire_session_candidates_encode,
			data, len);
	FUZZ_ROUND_TRIP(struct wire_punch, wire_punch_decode, wire_punch_encode, data, len);
	return 0;
}
