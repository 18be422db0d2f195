#include <string.h>

#include "crypto/key.h"
#include "ctl/ctl.h"

static int generate(struct ctl *ctl)
{
	char text[KEY_TEXT_BYTES];
	struct seckey key;

	seckey_generate(&key);
	fprintf(ctl->out, "%s\n", seckey_to_text(&key, text));
	fflush(ctl->out);
	key_wipe(&key, sizeof(key));
	key_wipe(text, sizeof(text));
	return EXIT_YES;
}

/* One line of 44 characters, unbuffered: stdio's own copy could not be wiped. The words never quote it. */
static int derive(struct ctl *ctl)
{
	char text[KEY_TEXT_BYTES + 2], shown[KEY_TEXT_BYTES];
	struct seckey secret = { 0 };
	struct pubkey public;
	int code = EXIT_NO;
	size_t len;

	setvbuf(ctl->in, NULL, _IONBF, 0);
	len = fread(text, 1, sizeof(text), ctl->in);
	if (len > 0 && len <= sizeof(text) && text[len - 1] == '\n')
		len--;
	if (len == 0) {
		fputs("warrenctl: there is no key on stdin\n", ctl->err);
	} else if (seckey_from_text(&secret, text, len) < 0 || pubkey_of(&public, &secret) < 0) {
		fputs("warrenctl: what is on stdin is no private key: one line of 44 characters of base64\n", ctl->err);
	} else {
		fprintf(ctl->out, "%s\n", pubkey_to_text(&public, shown));
		code = EXIT_YES;
	}
	key_wipe(&secret, sizeof(secret));
	key_wipe(text, sizeof(text));
	return code;
}

int ctl_key(struct ctl *ctl)
{
	if (crypto_start() < 0) {
		fputs("warrenctl: libsodium does not start\n", ctl->err);
		return EXIT_NO;
	}
	return strcmp(ctl->operands[0], "gen") == 0 ? generate(ctl) : derive(ctl);
}
