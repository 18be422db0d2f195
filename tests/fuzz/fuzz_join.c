#include "tests/fuzz/fuzz.h"
#include "crypto/mac.h"
#include "daemon/wire/join.h"

/* As it comes; and with a check that fits, so that what lies behind it is reached: what is taken is the one encoding of what it
 * says. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t fitting[JOIN_MAX_BYTES], again[JOIN_MAX_BYTES], hash[32];
	struct join j;

	join_from_url(&j, (const char *)data, len);
	join_decode(&j, data, len);
	if (len + JOIN_CHECK_BYTES > sizeof(fitting))
		return 0;
	memcpy(fitting, data, len);
	hash_bytes(hash, data, len);
	memcpy(fitting + len, hash, JOIN_CHECK_BYTES);
	len += JOIN_CHECK_BYTES;
	if (join_decode(&j, fitting, len) == 0) {
		must(join_encode(again, &j) == (int)len && memcmp(again, fitting, len) == 0);
		must(join_host_is_valid(j.coordinators[0].host));
	}
	return 0;
}
