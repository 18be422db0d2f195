#include <string.h>

#include "crypto/sign.h"
#include "ctl/ctl.h"

static int generate_network(struct ctl *ctl)
{
	char text[KEY_TEXT_BYTES];
	struct signkey key;

	signkey_generate(&key);
	fprintf(ctl->out, "%s\n", signkey_to_text(&key, text));
	fflush(ctl->out);
	key_wipe(&key, sizeof(key));
	key_wipe(text, sizeof(text));
	return EXIT_YES;
}

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

static const char *public_text(const char *secret, size_t len, bool is_network, char out[static KEY_TEXT_BYTES])
{
	struct verifykey verify;
	struct signkey sign = { { 0 } };
	struct seckey key = { { 0 } };
	struct pubkey public;
	const char *text = NULL;

	if (is_network && signkey_from_text(&sign, secret, len) == 0) {
		verifykey_of(&verify, &sign);
		text = verifykey_to_text(&verify, out);
	} else if (!is_network && seckey_from_text(&key, secret, len) == 0 && pubkey_of(&public, &key) == 0) {
		text = pubkey_to_text(&public, out);
	}
	key_wipe(&sign, sizeof(sign));
	key_wipe(&key, sizeof(key));
	return text;
}

/* One line of 44 characters, unbuffered: stdio's own copy could not be wiped. The words never quote it. */
static int derive(struct ctl *ctl)
{
	char text[KEY_TEXT_BYTES + 2], shown[KEY_TEXT_BYTES];
	int code = EXIT_NO;
	size_t len;

	setvbuf(ctl->in, NULL, _IONBF, 0);
	len = fread(text, 1, sizeof(text), ctl->in);
	if (len > 0 && len <= sizeof(text) && text[len - 1] == '\n')
		len--;
	if (len == 0) {
		fputs("warrenctl: there is no key on stdin\n", ctl->err);
	} else if (!public_text(text, len, ctl_value(ctl, "network") != NULL, shown)) {
		fputs("warrenctl: what is on stdin is no private key: one line of 44 characters of base64\n", ctl->err);
	} else {
		fprintf(ctl->out, "%s\n", shown);
		code = EXIT_YES;
	}
	key_wipe(text, sizeof(text));
	return code;
}

int ctl_key(struct ctl *ctl)
{
	if (crypto_start() < 0) {
		fputs("warrenctl: libsodium does not start\n", ctl->err);
		return EXIT_NO;
	}
	if (strcmp(ctl->operands[0], "pub") == 0)
		return derive(ctl);
	return ctl_value(ctl, "network") ? generate_network(ctl) : generate(ctl);
}
