/* `warrenctl node`: what the holder of the network key's secret half does about a member. The secret stays here; the coordinator
 * gets a signed list. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crypto/keyfile.h"
#include "ctl/ctl.h"
#include "daemon/base/files.h"
#include "daemon/wire/revocation.h"

#define LIST_TEXT_BYTES ((REVOCATION_MAX_BYTES + 2) / 3 * 4 + 1)

static int fail(const struct ctl *ctl, const char *words, const char *what)
{
	fprintf(ctl->err, "warrenctl: %s%s\n", words, what);
	return EXIT_NO;
}

static int entry_of_certificate(const struct ctl *ctl, const char *file, struct revocation_entry *out)
{
	char text[CERT_TEXT_BYTES + 1];
	int len = files_read(file, text, sizeof(text));
	struct cert c;

	if (len > 0 && text[len - 1] == '\n')
		len--;
	if (len < 0 || cert_from_text(&c, text, (size_t)len) < 0)
		return fail(ctl, "no certificate can be read from ", file);
	out->serial = c.serial;
	out->key = c.member;
	return EXIT_YES;
}

/* As the coordinator lists it. */
static int entry_of_member(struct ctl *ctl, const char *name, struct revocation_entry *out)
{
	json_t *answer;
	const json_t *peer;
	int code = ctl_ask_take(ctl, json_pack("{s:s}", "cmd", "peers"), "warren.peers", CTL_TIMEOUT_MS, &answer);
	bool is_found = false;
	size_t i;

	if (code != EXIT_YES)
		return code;
	json_array_foreach(json_object_get(answer, "peers"), i, peer) {
		const char *its = json_string_value(json_object_get(peer, "name"));
		const char *key = json_string_value(json_object_get(peer, "key"));
		const char *serial = json_string_value(json_object_get(peer, "serial"));
		size_t n;

		if (!its || strcmp(its, name) != 0 || !key || !serial)
			continue;
		is_found = pubkey_from_text(&out->key, key, strlen(key)) == 0 &&
			   sodium_hex2bin(out->serial.b, sizeof(out->serial.b), serial, strlen(serial), NULL, &n,
					  NULL) == 0 &&
			   n == sizeof(out->serial.b);
	}
	json_decref(answer);
	if (is_found)
		return EXIT_YES;
	fprintf(ctl->err,
		"warrenctl: the coordinator lists no member \"%s\" with a certificate: give its public key, or its "
		"certificate with --certificate\n",
		name);
	return EXIT_NO;
}

static int find_entry(struct ctl *ctl, struct revocation_entry *out)
{
	const char *who = ctl->operands[1], *file = ctl_value(ctl, "certificate");

	memset(out, 0, sizeof(*out));
	if (file)
		return entry_of_certificate(ctl, file, out);
	if (pubkey_from_text(&out->key, who, strlen(who)) == 0)
		return EXIT_YES;
	return entry_of_member(ctl, who, out);
}

/* The list in force, with the new entry, as the next epoch. Its length or -1, with words. */
static int next_list(const struct ctl *ctl, const json_t *current, const struct revocation_entry *entry,
		     const struct signkey *key, uint8_t *out)
{
	const char *text = json_string_value(json_object_get(current, "list"));
	static struct revocation_entry entries[REVOCATION_ENTRIES_MAX + 1];
	static uint8_t old[REVOCATION_MAX_BYTES];
	struct revocation_head h = { 0 };
	struct verifykey public;
	size_t len;
	int ret;

	verifykey_of(&public, key);
	/* A coordinator that shows another list than ours would have us sign it. */
	if (text && (sodium_base642bin(old, sizeof(old), text, strlen(text), NULL, &len, NULL,
				       sodium_base64_VARIANT_ORIGINAL) != 0 ||
		     revocation_decode(&h, old, len) < 0 || !revocation_head_is_signed(&h, &public))) {
		fail(ctl, "the coordinator's list of revoked members is not signed by this key", "");
		return -1;
	}
	for (uint32_t i = 0; i < h.n_entries; i++)
		entries[i] = revocation_entry_at(old, i);
	entries[h.n_entries] = *entry;
	ret = revocation_make(out, REVOCATION_MAX_BYTES, h.epoch + 1, (uint64_t)time(NULL), entries, h.n_entries + 1,
			      key);
	if (ret < 0)
		fail(ctl, "the list of revoked members is full", "");
	return ret;
}

static int hand_in(struct ctl *ctl, const uint8_t *list, size_t len)
{
	char *text = malloc(LIST_TEXT_BYTES);
	json_t *answer;
	int code;

	if (!text)
		return fail(ctl, "no memory", "");
	sodium_bin2base64(text, LIST_TEXT_BYTES, list, len, sodium_base64_VARIANT_ORIGINAL);
	code = ctl_ask_take(ctl, json_pack("{s:s, s:s}", "cmd", "revoke", "list", text), "warren.revocations",
			    CTL_TIMEOUT_MS, &answer);
	free(text);
	if (code != EXIT_YES)
		return code;
	if (ctl->is_json)
		ctl_print_json(ctl, answer);
	else
		fprintf(ctl->out, "%s is revoked; list %lld with %lld entries is in force\n", ctl->operands[1],
			(long long)json_integer_value(json_object_get(answer, "epoch")),
			(long long)json_integer_value(json_object_get(answer, "entries")));
	json_decref(answer);
	return EXIT_YES;
}

int ctl_node(struct ctl *ctl)
{
	static uint8_t list[REVOCATION_MAX_BYTES];
	const char *file = ctl_value(ctl, "signing-key");
	struct revocation_entry entry;
	struct signkey key;
	json_t *current;
	int code, ret;

	if (crypto_start() < 0)
		return fail(ctl, "libsodium does not start", "");
	if (!file) {
		fputs("warrenctl: signed with which key? Say --signing-key FILE\n", ctl->err);
		return EXIT_BAD_USAGE;
	}
	ret = keyfile_read_signkey(&key, file);
	if (ret < 0) {
		fprintf(ctl->err, "warrenctl: %s: %s\n", file, keyfile_error(ret));
		return EXIT_NO;
	}
	code = find_entry(ctl, &entry);
	if (code == EXIT_YES)
		code = ctl_ask_take(ctl, json_pack("{s:s}", "cmd", "revocations"), "warren.revocations", CTL_TIMEOUT_MS,
				    &current);
	if (code == EXIT_YES) {
		ret = next_list(ctl, current, &entry, &key, list);
		json_decref(current);
		code = ret < 0 ? EXIT_NO : hand_in(ctl, list, (size_t)ret);
	}
	key_wipe(&key, sizeof(key));
	return code;
}
