#include "tests/fuzz/fuzz.h"
#include "daemon/wire/cert.h"

/* What is taken is the one encoding of what it says. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct verifykey nobody;
	uint8_t again[CERT_MAX_BYTES];
	struct cert c;

	if (cert_decode(&c, data, len) == 0) {
		must(cert_encode(again, sizeof(again), &c) == (int)len && memcmp(again, data, len) == 0);
		must(cert_verify(&c, &nobody, NULL, c.not_before_s) != CERT_GOOD);
	}
	if (cert_invitation_decode(&c, data, len) == 0) {
		must(cert_invitation_encode(again, sizeof(again), &c) == (int)len && memcmp(again, data, len) == 0);
		must(cert_verify_invitation(&c, &nobody, 0) != CERT_GOOD);
	}
	return 0;
}
