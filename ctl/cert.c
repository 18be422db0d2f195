/* `warrenctl cert`: certificates made and shown without a daemon, for whoever holds the network key's secret half. */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crypto/keyfile.h"
#include "ctl/ctl.h"
#include "ctl/grant.h"
#include "daemon/base/files.h"

#define DAY_S 86400
#define DAYS_DEFAULT 365
#define DAYS_MAX 36500

static int take_all(const struct ctl *ctl, struct cert *c)
{
	const char *name = ctl->operands[1], *key = ctl_value(ctl, "public-key");
	uint64_t now_s = (uint64_t)time(NULL);
	double days;
	int code;

	if (!key || pubkey_from_text(&c->member, key, strlen(key)) < 0)
		return ctl_usage(
			ctl, "whose public key? Say --public-key with the 44 characters of `warrenctl key pub`", "");
	if (!ctl_number(ctl, "days", 0, DAYS_MAX, DAYS_DEFAULT, &days))
		return EXIT_BAD_USAGE;
	c->not_before_s = now_s;
	c->not_after_s = days > 0 ? now_s + (uint64_t)(days * DAY_S) : 0;
	code = ctl_grant(ctl, name, c);
	if (code == EXIT_YES && c->n_addrs == 0)
		code = ctl_usage(ctl, "which addresses? Say --ip", "");
	return code;
}

static int sign(struct ctl *ctl)
{
	const char *file = ctl_value(ctl, "signing-key");
	char text[CERT_TEXT_BYTES];
	struct cert c = { 0 };
	struct signkey key;
	int code, ret;

	if (!file)
		return ctl_usage(ctl, "signed with which key? Say --signing-key FILE", "");
	code = take_all(ctl, &c);
	if (code != EXIT_YES)
		return code;
	ret = keyfile_read_signkey(&key, file);
	if (ret < 0) {
		fprintf(ctl->err, "warrenctl: %s: %s\n", file, keyfile_error(ret));
		return EXIT_NO;
	}
	ret = cert_sign_direct(&c, &key);
	key_wipe(&key, sizeof(key));
	if (ret < 0 || !cert_to_text(&c, text)) {
		fprintf(ctl->err, "warrenctl: %s\n",
			ret == -EMSGSIZE ? "the name, groups and routes together are too long for a certificate" :
					   "no certificate can say that");
		return EXIT_NO;
	}
	fprintf(ctl->out, "%s\n", text);
	return EXIT_YES;
}

/* ---------------------------------------------------------------- show */

int ctl_read_cert(const struct ctl *ctl, const char *file, struct cert *out)
{
	char text[CERT_TEXT_BYTES + 1];
	int len;

	if (strcmp(file, "-") == 0)
		len = (int)fread(text, 1, sizeof(text), ctl->in);
	else
		len = files_read(file, text, sizeof(text));
	if (len < 0) {
		fprintf(ctl->err, "warrenctl: %s: %s\n", file, strerror(-len));
		return EXIT_NO;
	}
	if (len > 0 && text[len - 1] == '\n')
		len--;
	if (cert_from_text(out, text, (size_t)len) < 0) {
		fprintf(ctl->err, "warrenctl: %s holds no certificate: one line of base64\n", file);
		return EXIT_NO;
	}
	return EXIT_YES;
}

static json_t *list_json(const struct cert *c, char what)
{
	unsigned n = what == 'a' ? c->n_addrs : what == 'g' ? c->n_groups : c->n_routes;
	json_t *list = json_array();
	char text[ADDR_TEXT_BYTES];

	for (unsigned i = 0; i < n; i++)
		json_array_append_new(list, json_string(what == 'a' ? ip_to_text(&c->addrs[i], text) :
							what == 'g' ? c->groups[i] :
								      prefix_to_text(&c->routes[i], text)));
	return list;
}

static json_t *cert_json(const struct cert *c, bool is_checked, const char *check)
{
	char key[KEY_TEXT_BYTES], serial[2 * CERT_SERIAL_BYTES + 1];

	sodium_bin2hex(serial, sizeof(serial), c->serial.b, sizeof(c->serial.b));
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:s}", "schema", "warren.cert/1",
			 "name", c->name, "signed", c->kind == CERT_INVITED ? "invitation" : "network-key", "serial",
			 serial, "key", pubkey_to_text(&c->member, key), "ips", list_json(c, 'a'), "groups",
			 list_json(c, 'g'), "routes", list_json(c, 'r'), "not_before", ctl_time(c->not_before_s),
			 "not_after", ctl_time(c->not_after_s), "signature_checked", json_boolean(is_checked), "check",
			 check);
}

static void print_list(const struct ctl *ctl, const char *what, const json_t *list)
{
	const json_t *item;
	size_t i;

	fprintf(ctl->out, "  %-10s", what);
	if (json_array_size(list) == 0)
		fputs(" -", ctl->out);
	json_array_foreach(list, i, item)
		fprintf(ctl->out, "%s %s", i ? "," : "", json_string_value(item));
	fputc('\n', ctl->out);
}

static void print_cert(const struct ctl *ctl, const json_t *doc, const char *check, bool is_checked)
{
	char cell[CTL_CELL_BYTES], end[CTL_CELL_BYTES];
	const json_t *not_after = json_object_get(doc, "not_after");

	fprintf(ctl->out, "%s: signed by %s\n", json_string_value(json_object_get(doc, "name")),
		strcmp(json_string_value(json_object_get(doc, "signed")), "invitation") == 0 ? "an invitation's key" :
											       "the network key");
	fprintf(ctl->out, "  key        %s\n", json_string_value(json_object_get(doc, "key")));
	fprintf(ctl->out, "  serial     %s\n", json_string_value(json_object_get(doc, "serial")));
	print_list(ctl, "addresses", json_object_get(doc, "ips"));
	print_list(ctl, "groups", json_object_get(doc, "groups"));
	print_list(ctl, "routes", json_object_get(doc, "routes"));
	fprintf(ctl->out, "  valid      from %s %s%s\n", ctl_text(json_object_get(doc, "not_before"), cell),
		json_is_null(not_after) ? "for ever" : "to ", json_is_null(not_after) ? "" : ctl_text(not_after, end));
	fprintf(ctl->out, "  check      it %s%s\n", check,
		is_checked ? "" : ", as far as its dates go: say --network-key to have its signature checked");
}

/* At the time now; without a network key only its own words are looked at. */
static int show(struct ctl *ctl)
{
	const char *text = ctl_value(ctl, "network-key");
	uint64_t now_s = (uint64_t)time(NULL);
	struct verifykey network = { { 0 } };
	enum cert_verdict verdict;
	struct cert c;
	json_t *doc;
	int code;

	if (text && verifykey_from_text(&network, text, strlen(text)) < 0)
		return ctl_usage(ctl, "no network key: 44 characters of `warrenctl key pub --network`", "");
	code = ctl_read_cert(ctl, ctl->operands[1], &c);
	if (code != EXIT_YES)
		return code;
	if (!text)
		memcpy(network.b, c.network.b, sizeof(c.network.b)); /* its own word for it */
	verdict = text ? cert_verify(&c, &network, NULL, now_s) : cert_check_terms(&c, &network, NULL, now_s);
	doc = cert_json(&c, text != NULL, cert_verdict_text(verdict));
	if (ctl->is_json)
		ctl_print_json(ctl, doc);
	else
		print_cert(ctl, doc, cert_verdict_text(verdict), text != NULL);
	json_decref(doc);
	return verdict == CERT_GOOD ? EXIT_YES : EXIT_NO;
}

int ctl_cert(struct ctl *ctl)
{
	if (crypto_start() < 0) {
		fputs("warrenctl: libsodium does not start\n", ctl->err);
		return EXIT_NO;
	}
	return strcmp(ctl->operands[0], "sign") == 0 ? sign(ctl) : show(ctl);
}
