/* The text of a key, as it comes from key files, the configuration and the command line. */
#include <stdlib.h>
#include <string.h>

#include "crypto/key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	char back[KEY_TEXT_BYTES];
	struct pubkey pub;
	struct seckey sec;
	struct psk psk;
	int ret = pubkey_from_text(&pub, text, size);

	if (seckey_from_text(&sec, text, size) != ret)
		abort();
	if (ret < 0) {
		if (psk_from_text(&psk, text, size) != ret)
			abort();
		return 0;
	}
	/* A key has one text only. */
	if (size != KEY_TEXT_BYTES - 1 || memcmp(pubkey_to_text(&pub, back), text, size) != 0)
		abort();
	if (memcmp(seckey_to_text(&sec, back), text, size) != 0 || memcmp(sec.b, pub.b, KEY_BYTES) != 0)
		abort();
	if (psk_from_text(&psk, text, size) == 0 && memcmp(psk.b, pub.b, KEY_BYTES) != 0)
		abort();
	return 0;
}
