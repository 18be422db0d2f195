/* `warrenctl invite`: one URL that makes one member; and what became of those that were made. */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl/grant.h"
#include "ctl/network.h"
#include "daemon/wire/revocation.h"

#define TTL_S 86400.0
#define TTL_MAX_S (366 * 86400.0)
#define LIFETIME_MIN_S 3600.0
#define LIFETIME_MAX_S (100 * 365 * 86400.0) /* fits the certificate's field */

/* ---------------------------------------------------------------- addresses */

static bool is_of_network(const struct network *n, const struct ip *ip)
{
	return (n->prefix.ip.len && prefix_contains(&n->prefix, ip)) ||
	       (n->prefix6.ip.len && prefix_contains(&n->prefix6, ip));
}

/* Whose invitation has it; NULL: nobody's. */
static const char *holder_of(const struct network *n, const char *address)
{
	const json_t *at, *text;
	size_t i, j;

	json_array_foreach(network_invitations(n), i, at)
		json_array_foreach(json_object_get(at, "ips"), j, text)
			if (json_is_string(text) && strcmp(json_string_value(text), address) == 0)
				return json_string_value(json_object_get(at, "name"));
	return NULL;
}

/* Those of --ip: of the network, and nobody else's. */
static int check_addrs(const struct ctl *ctl, const struct network *n, const struct cert *c)
{
	char text[ADDR_TEXT_BYTES];

	for (unsigned i = 0; i < c->n_addrs; i++) {
		const char *holder = holder_of(n, ip_to_text(&c->addrs[i], text));

		if (!is_of_network(n, &c->addrs[i]))
			return ctl_usage(ctl, "in none of the network's prefixes: ", text);
		if (holder && strcmp(holder, c->name) != 0) {
			fprintf(ctl->err, "warrenctl: %s is %s's\n", text, holder);
			return EXIT_NO;
		}
	}
	return EXIT_YES;
}

/* Again those that the name has, or the lowest that are free. */
static int choose_addrs(const struct ctl *ctl, const struct network *n, struct cert *c)
{
	const json_t *before = network_invitation(n, c->name), *text;
	uint32_t host;
	size_t i;

	json_array_foreach(json_object_get(before, "ips"), i, text)
		if (json_is_string(text) && c->n_addrs < CERT_ADDRS_MAX &&
		    ip_from_text(&c->addrs[c->n_addrs], json_string_value(text)) == 0)
			c->n_addrs++;
	if (c->n_addrs)
		return EXIT_YES;
	host = network_free_host(n);
	if (!host)
		return ctl_fail(ctl, "no address is left: revoke an invitation, or say --ip", "");
	if (n->prefix.ip.len)
		c->addrs[c->n_addrs++] = network_host(&n->prefix, host);
	if (n->prefix6.ip.len)
		c->addrs[c->n_addrs++] = network_host(&n->prefix6, host);
	return EXIT_YES;
}

/* ---------------------------------------------------------------- one more */

static int take_all(const struct ctl *ctl, const struct network *n, struct cert *c)
{
	double ttl_s, lifetime_s;
	int code;

	if (!ctl_seconds(ctl, "ttl", 1, TTL_MAX_S, TTL_S, &ttl_s) ||
	    !ctl_seconds(ctl, "lifetime", LIFETIME_MIN_S, LIFETIME_MAX_S, 0, &lifetime_s))
		return EXIT_BAD_USAGE;
	c->expires_s = (uint64_t)time(NULL) + (uint64_t)ttl_s;
	c->lifetime_s = (uint32_t)lifetime_s;
	code = ctl_grant(ctl, ctl->operands[0], c);
	if (code == EXIT_YES && network_invitation(n, c->name) && !ctl_value(ctl, "again")) {
		fprintf(ctl->err,
			"warrenctl: %s was invited already: revoke that (invite --revoke %s), or say --again to let another key "
			"take its place and its addresses\n",
			c->name, c->name);
		return EXIT_NO;
	}
	if (code == EXIT_YES && json_array_size(network_invitations(n)) >= NETWORK_INVITATIONS_MAX)
		code = ctl_fail(ctl, "4096 invitations are listed: revoke those that are not needed", "");
	if (code == EXIT_YES)
		code = c->n_addrs ? check_addrs(ctl, n, c) : choose_addrs(ctl, n, c);
	cert_normalise(c);
	return code;
}

/* The URL, once it is noted that there is one: an address is never given twice. */
static int make(const struct ctl *ctl, const struct network *n, const struct signkey *key, struct join *j)
{
	int ret;

	j->network_key = n->key;
	memcpy(j->network, n->name, sizeof(j->network));
	j->n_coordinators = n->n_coordinators;
	memcpy(j->coordinators, n->coordinators, sizeof(j->coordinators));
	signkey_generate(&j->seed);
	verifykey_of(&j->invitation.invitation_key, &j->seed);
	ret = cert_sign_invitation(&j->invitation, key);
	if (ret == 0)
		return EXIT_YES;
	return ctl_fail(ctl,
			ret == -EMSGSIZE ? "the name, groups and routes together are too long for a certificate" :
					   "no certificate can say that",
			"");
}

static json_t *entry_of(const struct cert *c)
{
	char id[2 * CERT_SERIAL_BYTES + 1], text[ADDR_TEXT_BYTES];
	json_t *ips = json_array();

	sodium_bin2hex(id, sizeof(id), c->serial.b, sizeof(c->serial.b));
	for (unsigned i = 0; i < c->n_addrs; i++)
		json_array_append_new(ips, json_string(ip_to_text(&c->addrs[i], text)));
	return json_pack("{s:s, s:s, s:o, s:I, s:I}", "id", id, "name", c->name, "ips", ips, "made",
			 (json_int_t)time(NULL), "expires", (json_int_t)c->expires_s);
}

static void print(const struct ctl *ctl, const struct cert *c, const char *url)
{
	char text[ADDR_TEXT_BYTES], until[CTL_CELL_BYTES];
	json_t *expires = ctl_time(c->expires_s), *entry = entry_of(c);

	if (ctl->is_json) {
		json_object_set_new(entry, "schema", json_string("warren.invitation/1"));
		json_object_set_new(entry, "made",
				    ctl_time((uint64_t)json_integer_value(json_object_get(entry, "made"))));
		json_object_set(entry, "expires", expires);
		json_object_set_new(entry, "url", json_string(url));
		ctl_print_json(ctl, entry);
	} else {
		fprintf(ctl->out, "%s\n", url);
		ctl_print_qr(ctl, url);
		fprintf(ctl->err, "%s:", c->name);
		for (unsigned i = 0; i < c->n_addrs; i++)
			fprintf(ctl->err, " %s", ip_to_text(&c->addrs[i], text));
		fprintf(ctl->err, "; whoever has this URL becomes %s, once, until %s\n", c->name,
			ctl_text(expires, until));
	}
	json_decref(entry);
	json_decref(expires);
}

static int invite(struct ctl *ctl, struct network *n)
{
	struct join j = { .n_coordinators = 0 };
	char url[JOIN_URL_BYTES];
	struct signkey key;
	int code = network_key(ctl, n, &key);

	if (code != EXIT_YES)
		return code;
	code = take_all(ctl, n, &j.invitation);
	if (code == EXIT_YES)
		code = make(ctl, n, &key, &j);
	if (code == EXIT_YES) {
		json_array_append_new(network_invitations(n), entry_of(&j.invitation));
		code = network_save(ctl, n);
	}
	if (code == EXIT_YES && !join_to_url(&j, url))
		code = ctl_fail(ctl, "no URL can say that", "");
	if (code == EXIT_YES)
		print(ctl, &j.invitation, url);
	key_wipe(&key, sizeof(key));
	key_wipe(&j.seed, sizeof(j.seed));
	key_wipe(url, sizeof(url));
	return code;
}

/* ---------------------------------------------------------------- list */

/* The members that the coordinator on this host lists; NULL: none runs here. */
static json_t *ask_members(const struct ctl *ctl, const struct network *n)
{
	struct ctl quiet = *ctl;
	json_t *answer = NULL;

	quiet.err = fopen("/dev/null", "w");
	if (!quiet.err)
		return NULL;
	if (!quiet.socket)
		quiet.net = n->name;
	if (ctl_ask_take(&quiet, json_pack("{s:s}", "cmd", "peers"), "warren.peers", CTL_TIMEOUT_MS, &answer) !=
	    EXIT_YES)
		answer = NULL;
	fclose(quiet.err);
	return answer;
}

static bool is_member(const json_t *members, const char *id)
{
	const json_t *peer;
	size_t i;

	json_array_foreach(json_object_get(members, "peers"), i, peer) {
		const char *serial = json_string_value(json_object_get(peer, "serial"));

		if (serial && strcmp(serial, id) == 0)
			return true;
	}
	return false;
}

/* Without the coordinator nobody knows here whether an invitation was used. */
static const char *state_of(const json_t *entry, const json_t *members)
{
	const char *id = json_string_value(json_object_get(entry, "id"));
	bool is_over = json_integer_value(json_object_get(entry, "expires")) <= (json_int_t)time(NULL);

	if (members && id && is_member(members, id))
		return "used";
	if (is_over)
		return members ? "expired" : "used or expired";
	return members ? "open" : "open or used";
}

static json_t *list_json(const struct network *n, const json_t *members)
{
	json_t *list = json_array(), *entry;
	size_t i;

	json_array_foreach(network_invitations(n), i, entry) {
		json_t *copy = json_copy(entry);

		json_object_set_new(copy, "made",
				    ctl_time((uint64_t)json_integer_value(json_object_get(entry, "made"))));
		json_object_set_new(copy, "expires",
				    ctl_time((uint64_t)json_integer_value(json_object_get(entry, "expires"))));
		json_object_set_new(copy, "state", json_string(state_of(entry, members)));
		json_array_append_new(list, copy);
	}
	return json_pack("{s:s, s:o, s:s, s:o}", "schema", "warren.invitations/1", "time",
			 ctl_time((uint64_t)time(NULL)), "net", n->name, "invitations", list);
}

static int list(struct ctl *ctl, const struct network *n)
{
	static const struct ctl_column columns[] = { { "NAME", false },  { "ADDRESS", false }, { "ADDRESS6", false },
						     { "STATE", false }, { "EXPIRES", false }, { "ID", true } };
	json_t *members = ask_members(ctl, n), *doc = list_json(n, members);
	struct ctl_table *t;
	char cell[CTL_CELL_BYTES];
	const json_t *entry;
	size_t i;

	if (ctl->is_json) {
		ctl_print_json(ctl, doc);
	} else {
		t = ctl_table_new(columns, sizeof(columns) / sizeof(columns[0]));
		json_array_foreach(json_object_get(doc, "invitations"), i, entry) {
			const json_t *ips = json_object_get(entry, "ips");

			ctl_table_row(t);
			ctl_table_cell(t, 0, "%s", ctl_text(json_object_get(entry, "name"), cell));
			ctl_table_cell(t, 0, "%s", ctl_text(json_array_get(ips, 0), cell));
			ctl_table_cell(t, 0, "%s", ctl_text(json_array_get(ips, 1), cell));
			ctl_table_cell(t, 0, "%s", ctl_text(json_object_get(entry, "state"), cell));
			ctl_table_cell(t, 0, "%s", ctl_text(json_object_get(entry, "expires"), cell));
			ctl_table_cell(t, 0, "%s", ctl_text(json_object_get(entry, "id"), cell));
		}
		ctl_table_print_take(t, ctl);
	}
	json_decref(doc);
	json_decref(members);
	return EXIT_YES;
}

/* ---------------------------------------------------------------- revoke */

static bool is_meant(const json_t *entry, const char *who)
{
	const char *name = json_string_value(json_object_get(entry, "name"));
	const char *id = json_string_value(json_object_get(entry, "id"));

	return (name && strcmp(name, who) == 0) || (id && strcmp(id, who) == 0);
}

static int revoke_entry(struct ctl *ctl, const json_t *invitation, const struct signkey *key)
{
	const char *id = json_string_value(json_object_get(invitation, "id"));
	const char *name = json_string_value(json_object_get(invitation, "name"));
	struct revocation_entry entry = { .key = { { 0 } } };
	size_t len;

	if (!id || !name ||
	    sodium_hex2bin(entry.serial.b, sizeof(entry.serial.b), id, strlen(id), NULL, &len, NULL) != 0 ||
	    len != sizeof(entry.serial.b))
		return ctl_fail(ctl, "the file has an invitation without an id", "");
	return ctl_revoke(ctl, &entry, key, name);
}

/* All of a name, used or not; each leaves the list of those made when the coordinator has it on the list of the revoked. */
static int revoke(struct ctl *ctl, struct network *n, const char *who)
{
	json_t *invitations = network_invitations(n);
	struct signkey key;
	unsigned n_found = 0;
	int code = network_key(ctl, n, &key);

	if (code != EXIT_YES)
		return code;
	if (!ctl->socket)
		ctl->net = n->name;
	for (size_t i = json_array_size(invitations); i > 0 && code == EXIT_YES; i--) {
		if (!is_meant(json_array_get(invitations, i - 1), who))
			continue;
		n_found++;
		code = revoke_entry(ctl, json_array_get(invitations, i - 1), &key);
		if (code == EXIT_YES) {
			json_array_remove(invitations, i - 1);
			code = network_save(ctl, n);
		}
	}
	key_wipe(&key, sizeof(key));
	return code == EXIT_YES && n_found == 0 ? ctl_fail(ctl, "there is no invitation of ", who) : code;
}

int ctl_invite(struct ctl *ctl)
{
	const char *revoked = ctl_value(ctl, "revoke");
	bool is_list = ctl_value(ctl, "list") != NULL;
	struct network n;
	int code;

	if (crypto_start() < 0)
		return ctl_fail(ctl, "libsodium does not start", "");
	if ((ctl->n_operands > 0) + is_list + (revoked != NULL) != 1)
		return ctl_usage(ctl, "a member's NAME, --list or --revoke NAME: one of them", "");
	code = network_open(ctl, &n);
	if (code == EXIT_YES)
		code = is_list ? list(ctl, &n) : revoked ? revoke(ctl, &n, revoked) : invite(ctl, &n);
	network_close(&n);
	return code;
}
