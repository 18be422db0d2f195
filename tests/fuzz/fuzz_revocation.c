#include "tests/fuzz/fuzz.h"
#include "daemon/wire/revocation.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct cert_serial serial;
	static const struct pubkey key;
	uint8_t again[WIRE_REVOCATIONS_MAX_BYTES];
	struct revocation_head h;
	struct wire_revocations m;

	if (revocation_decode(&h, data, len) == 0) {
		must(revocation_length(&h) == len);
		must(!revocation_names(data, &key, &serial)); /* zeros name nobody */
		for (uint32_t i = 0; i < h.n_entries; i++) {
			struct revocation_entry e = revocation_entry_at(data, i);

			must(revocation_names(data, &e.key, &e.serial));
		}
	}
	if (len && wire_revocations_decode(&m, data[0], data, len) == 0)
		must(wire_revocations_encode(again, sizeof(again), data[0], &m) == (int)len &&
		     memcmp(again, data, len) == 0);
	return 0;
}
