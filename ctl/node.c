/* `warrenctl node`: what the holder of the network key's secret half does about a member. The secret stays here; the coordinator
 * gets a signed list. */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crypto/keyfile.h"
#include "ctl/ctl.h"
#include "ctl/grant.h"
#include "daemon/base/files.h"
#include "daemon/wire/revocation.h"
#include "daemon/wire/text.h"

#define LIST_TEXT_BYTES ((REVOCATION_MAX_BYTES + 2) / 3 * 4 + 1)
#define LIFE_MIN_S 3600.0
#define LIFE_MAX_S (10 * 366 * 86400.0)
#define LIFE_AS_BEFORE UINT64_MAX /* as the list before */

static int entry_of_certificate(const struct ctl *ctl, const char *file, struct revocation_entry *out)
{
	struct cert c;
	int code = ctl_read_cert(ctl, file, &c);

	if (code != EXIT_YES)
		return code;
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

/* How long the next list lives, as --expires says; LIFE_AS_BEFORE, 0: for ever. */
static bool take_life(const struct ctl *ctl, uint64_t *life_s)
{
	const char *text = ctl_value(ctl, "expires");
	double seconds = 0;

	*life_s = LIFE_AS_BEFORE;
	if (!text)
		return true;
	if (strcmp(text, "none") != 0 && !ctl_seconds(ctl, "expires", LIFE_MIN_S, LIFE_MAX_S, 0, &seconds))
		return false;
	*life_s = (uint64_t)seconds;
	return true;
}

/* The list in force, with the new entry (NULL: none) as the next epoch. Its length or -1, with words. */
static int next_list(const struct ctl *ctl, const json_t *current, const struct revocation_entry *entry,
		     const struct signkey *key, uint64_t life_s, uint8_t *out)
{
	const char *text = json_string_value(json_object_get(current, "list"));
	static struct revocation_entry entries[REVOCATION_ENTRIES_MAX + 1];
	static uint8_t old[REVOCATION_MAX_BYTES];
	struct revocation_head h = { 0 };
	uint64_t now_s = (uint64_t)time(NULL);
	struct verifykey public;
	size_t len;
	int ret;

	verifykey_of(&public, key);
	/* A coordinator that shows another list than ours would have us sign it. */
	if (text && (sodium_base642bin(old, sizeof(old), text, strlen(text), NULL, &len, NULL,
				       sodium_base64_VARIANT_ORIGINAL) != 0 ||
		     revocation_decode(&h, old, len) < 0 || !revocation_head_is_signed(&h, &public))) {
		ctl_fail(ctl, "the coordinator's list of revoked members is not signed by this key", "");
		return -1;
	}
	if (life_s == LIFE_AS_BEFORE)
		life_s = h.expires_s ? h.expires_s - h.issued_s : 0;
	for (uint32_t i = 0; i < h.n_entries; i++)
		entries[i] = revocation_entry_at(old, i);
	if (entry)
		entries[h.n_entries] = *entry;
	ret = revocation_make(out, REVOCATION_MAX_BYTES, h.epoch + 1, now_s, life_s ? now_s + life_s : 0, entries,
			      h.n_entries + (entry != NULL), key);
	if (ret < 0)
		ctl_fail(ctl, "the list of revoked members is full", "");
	return ret;
}

static int hand_in(struct ctl *ctl, const uint8_t *list, size_t len, const char *who)
{
	char *text = malloc(LIST_TEXT_BYTES), until[CTL_CELL_BYTES];
	const json_t *expires;
	json_t *answer;
	int code;

	if (!text)
		return ctl_fail(ctl, "no memory", "");
	sodium_bin2base64(text, LIST_TEXT_BYTES, list, len, sodium_base64_VARIANT_ORIGINAL);
	code = ctl_ask_take(ctl, json_pack("{s:s, s:s}", "cmd", "revoke", "list", text), "warren.revocations",
			    CTL_TIMEOUT_MS, &answer);
	free(text);
	if (code != EXIT_YES)
		return code;
	if (ctl->is_json)
		ctl_print_json(ctl, answer);
	expires = json_object_get(answer, "expires");
	if (!ctl->is_json)
		fprintf(ctl->out, "%s%slist %lld with %lld entries is in force%s%s\n", who, *who ? " is revoked; " : "",
			(long long)json_integer_value(json_object_get(answer, "epoch")),
			(long long)json_integer_value(json_object_get(answer, "entries")),
			json_is_string(expires) ? " until " : "",
			json_is_string(expires) ? ctl_text(expires, until) : "");
	json_decref(answer);
	return EXIT_YES;
}

/* The next list is made of the one in force, which the coordinator has. `entry` NULL, `who` "": the same again. */
static int renew(struct ctl *ctl, const struct revocation_entry *entry, const struct signkey *key, const char *who)
{
	static uint8_t list[REVOCATION_MAX_BYTES];
	uint64_t life_s;
	json_t *current;
	int code, len;

	if (!take_life(ctl, &life_s))
		return EXIT_BAD_USAGE;
	code = ctl_ask_take(ctl, json_pack("{s:s}", "cmd", "revocations"), "warren.revocations", CTL_TIMEOUT_MS,
			    &current);
	if (code != EXIT_YES)
		return code;
	len = next_list(ctl, current, entry, key, life_s, list);
	json_decref(current);
	return len < 0 ? EXIT_NO : hand_in(ctl, list, (size_t)len, who);
}

int ctl_revoke(struct ctl *ctl, const struct revocation_entry *entry, const struct signkey *key, const char *who)
{
	return renew(ctl, entry, key, who);
}

static int read_key(struct ctl *ctl, struct signkey *out)
{
	const char *file = ctl_value(ctl, "signing-key");
	int ret;

	if (!file)
		return ctl_usage(ctl, "signed with which key? Say --signing-key FILE", "");
	ret = keyfile_read_signkey(out, file);
	if (ret == 0)
		return EXIT_YES;
	fprintf(ctl->err, "warrenctl: %s: %s\n", file, keyfile_error(ret));
	return EXIT_NO;
}

static int revoke(struct ctl *ctl)
{
	struct revocation_entry entry;
	struct signkey key;
	int code = read_key(ctl, &key);

	if (code != EXIT_YES)
		return code;
	code = find_entry(ctl, &entry);
	if (code == EXIT_YES)
		code = ctl_revoke(ctl, &entry, &key, ctl->operands[1]);
	key_wipe(&key, sizeof(key));
	return code;
}

/* The same list with a new end, so that nodes go on believing it. */
static int refresh(struct ctl *ctl)
{
	struct signkey key;
	int code = read_key(ctl, &key);

	if (code != EXIT_YES)
		return code;
	code = renew(ctl, NULL, &key, "");
	key_wipe(&key, sizeof(key));
	return code;
}

/* ---------------------------------------------------------------- list */

static void list_row(struct ctl_table *t, const json_t *peer, const json_t *now)
{
	const json_t *ips = json_object_get(peer, "ips");
	char name[CTL_CELL_BYTES], ip[CTL_CELL_BYTES], ip6[CTL_CELL_BYTES], text[CTL_CELL_BYTES];
	const char *key = json_string_value(json_object_get(peer, "key"));
	double age_s;

	ctl_table_row(t);
	ctl_table_cell(t, 0, "%s", ctl_text(json_object_get(peer, "name"), name));
	ctl_table_cell(t, 0, "%s", ctl_text(json_array_get(ips, 0), ip));
	ctl_table_cell(t, 0, "%s", ctl_text(json_array_get(ips, 1), ip6));
	ctl_table_cell(t, 0, "%s", json_is_true(json_object_get(peer, "online")) ? "online" : "away");
	ctl_table_cell(t, 0, "%s",
		       ctl_age(json_object_get(peer, "last_seen"), now, &age_s) ? ctl_duration(age_s, text) : "-");
	ctl_table_cell(t, 0, "%s", key ? key : "-");
	ctl_table_cell(t, 0, "%s", ctl_text(json_object_get(peer, "serial"), text));
}

static int list(struct ctl *ctl)
{
	static const struct ctl_column columns[] = { { "NAME", false },  { "ADDRESS", false }, { "ADDRESS6", false },
						     { "STATE", false }, { "SEEN", false },    { "KEY", true },
						     { "SERIAL", true } };
	struct ctl_table *t;
	json_t *answer;
	const json_t *peer;
	size_t i;
	int code = ctl_ask_take(ctl, json_pack("{s:s}", "cmd", "peers"), "warren.peers", CTL_TIMEOUT_MS, &answer);

	if (code != EXIT_YES)
		return code;
	if (ctl->is_json) {
		ctl_print_json(ctl, answer);
	} else {
		t = ctl_table_new(columns, sizeof(columns) / sizeof(columns[0]));
		json_array_foreach(json_object_get(answer, "peers"), i, peer)
			list_row(t, peer, json_object_get(answer, "time"));
		ctl_table_print_take(t, ctl);
	}
	json_decref(answer);
	return EXIT_YES;
}

/* ---------------------------------------------------------------- rename */

/* The name is in the certificate: the member gets another one, of the same key and addresses, which counts as it begins later. */
static int rename_member(struct ctl *ctl)
{
	const char *file = ctl_value(ctl, "certificate"), *name = ctl->operands[2];
	char text[CERT_TEXT_BYTES + 1];
	struct signkey key;
	struct cert old, c;
	int code, len;

	if (!file || !name)
		return ctl_usage(ctl, !name ? "to which name?" : "which certificate has it now? Say --certificate FILE",
				 "");
	if (!wire_name_is_valid(name))
		return ctl_usage(ctl, "no member's name (up to 63 of a-z 0-9 - .): ", name);
	code = ctl_read_cert(ctl, file, &old);
	if (code != EXIT_YES)
		return code;
	if (strcmp(old.name, ctl->operands[1]) != 0)
		return ctl_fail(ctl, "that is the certificate of ", old.name);
	code = read_key(ctl, &key);
	if (code != EXIT_YES)
		return code;
	c = old;
	memset(c.name, 0, sizeof(c.name));
	memcpy(c.name, name, strlen(name)); /* checked: it fits */
	c.not_before_s = (uint64_t)time(NULL);
	len = cert_sign_direct(&c, &key);
	key_wipe(&key, sizeof(key));
	if (memcmp(c.network.b, old.network.b, sizeof(c.network.b)) != 0)
		return ctl_fail(ctl, "the certificate is not under this key: ", file);
	if (len < 0 || !cert_to_text(&c, text))
		return ctl_fail(ctl, "no certificate can say that", len == -EINVAL ? ": it has expired" : "");
	fprintf(ctl->out, "%s\n", text);
	return EXIT_YES;
}

int ctl_node(struct ctl *ctl)
{
	const char *what = ctl->operands[0];

	if (crypto_start() < 0)
		return ctl_fail(ctl, "libsodium does not start", "");
	if (strcmp(what, "list") == 0)
		return list(ctl);
	if (strcmp(what, "refresh") == 0)
		return refresh(ctl);
	if (ctl->n_operands < 2)
		return ctl_usage(ctl, "which member?", "");
	return strcmp(what, "revoke") == 0 ? revoke(ctl) : rename_member(ctl);
}
