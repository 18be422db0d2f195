/* `warrenctl join`: from a URL to a running peer. The key is made here and leaves the host never; the certificate is made here too, of
 * the invitation and this key. The coordinator hears of it when the daemon registers, and notes whose the invitation is. So nothing
 * of ctl/ speaks to the network. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "crypto/keyfile.h"
#include "ctl/network.h"
#include "ctl/program.h"
#include "ctl/stage.h"
#include "ctl/tun_name.h"
#include "daemon/base/clock.h"
#include "daemon/base/files.h"
#include "daemon/wire/text.h"

#define SYSTEMD_IS_UP "/run/systemd/system" /* sd_booted(3) */
#define WAIT_S 30.0
#define WAIT_MAX_S 3600.0
#define POLL_MS 200
#define CONF_BYTES 16384

/* The daemon's file is the last: while it is not there, nothing is. */
static const char *const endings[] = { "key", "cert", "conf", NULL };

/* What is on its way to be a member. */
struct joining {
	struct join url;
	struct network at; /* the directory; no network's file is in it */
	const char *name;  /* of the files, the service and the socket */
	struct cert cert;
	struct stage stage;
	char tun[IF_NAMESIZE];
	bool is_made, is_key_new; /* by this call, or one that it finished */
};

static int refuse(const struct ctl *ctl, const char *why)
{
	return ctl_fail(ctl, "this URL cannot be used: ", why);
}

/* ---------------------------------------------------------------- the URL */

/* `-`: standard input, unbuffered, as stdio's own copy could not be wiped. */
static size_t read_text(const struct ctl *ctl, char *out, size_t capacity)
{
	const char *operand = ctl->operands[0];
	size_t len;

	if (strcmp(operand, "-") == 0) {
		setvbuf(ctl->in, NULL, _IONBF, 0);
		len = fread(out, 1, capacity, ctl->in);
	} else {
		len = strnlen(operand, capacity);
		memcpy(out, operand, len);
	}
	while (len > 0 && strchr(" \t\r\n", out[len - 1]))
		len--;
	return len;
}

static int read_url(const struct ctl *ctl, struct join *out)
{
	char text[JOIN_URL_BYTES + 16];
	size_t len = read_text(ctl, text, sizeof(text));
	int ret = join_from_url(out, text, len);

	key_wipe(text, sizeof(text));
	if (ret == -EPROTONOSUPPORT)
		return refuse(ctl, "a later version of warrenctl made it");
	if (ret < 0)
		return refuse(ctl, "it is not whole, was changed, or is none of warrenctl invite");
	switch (cert_verify_invitation(&out->invitation, &out->network_key, (uint64_t)time(NULL))) {
	case CERT_GOOD:
		return EXIT_YES;
	case CERT_EXPIRED:
		return refuse(ctl, "the invitation has expired; ask for another");
	default:
		return refuse(ctl, "the invitation is not signed by its network's key");
	}
}

/* ---------------------------------------------------------------- files */

static int write_key(const struct ctl *ctl, const struct joining *j, const struct seckey *key)
{
	char text[KEY_TEXT_BYTES + 1];
	int code;

	seckey_to_text(key, text);
	strncat(text, "\n", 1 + 1);
	code = stage_write(&j->stage, ctl, "key", text, false);
	key_wipe(text, sizeof(text));
	return code;
}

static int make_key(const struct ctl *ctl, struct joining *j, struct pubkey *public)
{
	struct seckey key;
	char path[4096];
	int ret, code = EXIT_YES;

	network_path(&j->at, j->name, "key", path);
	/* One that is there is of a try before: to the coordinator it is the same node then. */
	ret = keyfile_read(&key, path);
	if (ret == -ENOENT) {
		seckey_generate(&key);
		code = write_key(ctl, j, &key);
		j->is_key_new = code == EXIT_YES;
		ret = 0;
	}
	if (ret == 0)
		ret = pubkey_of(public, &key);
	key_wipe(&key, sizeof(key));
	if (ret < 0)
		fprintf(ctl->err, "warrenctl: %s: %s\n", path, keyfile_error(ret));
	return ret < 0 ? EXIT_NO : code;
}

static int make_certificate(const struct ctl *ctl, struct joining *j)
{
	uint64_t now_s = (uint64_t)time(NULL);
	struct cert *c = &j->cert;

	*c = j->url.invitation;
	if (make_key(ctl, j, &c->member) != EXIT_YES)
		return EXIT_NO;
	/* Clocks differ by a little: what begins after the invitation's end would be none. */
	c->not_before_s = now_s < c->expires_s ? now_s : c->expires_s;
	c->not_after_s = c->lifetime_s ? c->not_before_s + c->lifetime_s : 0;
	return cert_sign_invited(c, &j->url.seed) == 0 ? EXIT_YES : refuse(ctl, "no certificate comes of it");
}

static void write_conf(const struct joining *j, char out[static CONF_BYTES])
{
	char key[KEY_TEXT_BYTES];
	int len = snprintf(out, CONF_BYTES,
			   "# A peer of \"%s\", made by warrenctl join. Every key is in warren.conf(5).\n"
			   "role = peer\n"
			   "name = \"%s\"\n"
			   "private_key_file = \"%s/%s.key\"\n"
			   "network_key = \"%s\"\n"
			   "certificate_file = \"%s/%s.cert\"\n",
			   j->url.network, j->cert.name, j->at.dir, j->name,
			   verifykey_to_text(&j->url.network_key, key), j->at.dir, j->name);

	if (strcmp(j->tun, TUN_NAME_DEFAULT) != 0)
		len += snprintf(out + len, (size_t)(CONF_BYTES - len),
				"# Another network of this host has " TUN_NAME_DEFAULT ".\ntun { name = \"%s\" }\n",
				j->tun);
	for (unsigned i = 0; i < j->url.n_coordinators && len < CONF_BYTES; i++) {
		const struct join_coordinator *c = &j->url.coordinators[i];
		bool is_v6 = strchr(c->host, ':') != NULL;

		len += snprintf(out + len, (size_t)(CONF_BYTES - len),
				"coordinator \"c%u\" {\n\tendpoint = \"%s%s%s:%u\"\n\tpublic_key = \"%s\"\n}\n", i + 1,
				is_v6 ? "[" : "", c->host, is_v6 ? "]" : "", c->port, pubkey_to_text(&c->key, key));
	}
}

static void remove_all(const struct joining *j)
{
	network_remove(&j->at, j->name, "conf");
	network_remove(&j->at, j->name, "cert");
	if (j->is_key_new)
		network_remove(&j->at, j->name, "key");
}

static int write_files(const struct ctl *ctl, struct joining *j)
{
	char text[CERT_TEXT_BYTES + 1], conf[CONF_BYTES];
	int code = make_certificate(ctl, j);

	if (code == EXIT_YES && !cert_to_text(&j->cert, text))
		code = refuse(ctl, "no certificate comes of it");
	if (code == EXIT_YES) {
		strncat(text, "\n", 1 + 1);
		code = stage_write(&j->stage, ctl, "cert", text, true);
	}
	if (code == EXIT_YES && !tun_name_find(j->at.dir, j->name, j->tun))
		code = ctl_fail(ctl, "no name is left for an interface: say one in the file of each network in ",
				j->at.dir);
	if (code == EXIT_YES) {
		write_conf(j, conf);
		code = stage_write(&j->stage, ctl, "conf", conf, true);
	}
	return code;
}

static int write_all(const struct ctl *ctl, struct joining *j)
{
	int code = stage_begin(&j->stage, ctl);

	if (code == EXIT_YES)
		code = write_files(ctl, j);
	if (code != EXIT_YES) {
		stage_discard(&j->stage);
		return code;
	}
	network_remove(&j->at, j->name, "cert"); /* of no use without a configuration */
	code = stage_commit(&j->stage, ctl);
	j->is_made = code == EXIT_YES;
	return code;
}

/* Has a call before made the member of this URL here? Then it was killed, or nobody was there to let the node in. */
static bool is_joined(const struct joining *j)
{
	char path[4096], text[CERT_TEXT_BYTES + 1];
	struct cert c;
	int len = files_read(network_path(&j->at, j->name, "cert", path), text, sizeof(text));

	while (len > 0 && text[len - 1] == '\n')
		len--;
	return len > 0 && cert_from_text(&c, text, (size_t)len) == 0 &&
	       memcmp(c.network.b, j->url.invitation.network.b, sizeof(c.network.b)) == 0 &&
	       memcmp(c.serial.b, j->url.invitation.serial.b, sizeof(c.serial.b)) == 0;
}

/* ---------------------------------------------------------------- the service */

static int systemctl(const char *verb, const char *name)
{
	char unit[WIRE_NAME_MAX_BYTES + 16];
	const char *const argv[] = { "systemctl", verb, "--now", unit, NULL };

	snprintf(unit, sizeof(unit), "warren@%s", name);
	return program_run(argv);
}

/* A coordinator's reason to refuse this node, escaped; false: none refused it. */
static bool find_refusal(const json_t *status, char out[static CTL_CELL_BYTES])
{
	const json_t *entry;
	size_t i;

	json_array_foreach(json_object_get(status, "coordinators"), i, entry) {
		const char *state = json_string_value(json_object_get(entry, "state"));

		if (state && strcmp(state, "refused") == 0) {
			ctl_text(json_object_get(entry, "error"), out);
			return true;
		}
	}
	return false;
}

enum progress {
	UP,
	REFUSED,
	LATE
};

/* Asks the daemon until it is connected, a coordinator said no, or the time is over. */
static enum progress follow(const struct ctl *ctl, double seconds, char why[static CTL_CELL_BYTES])
{
	uint64_t end_ms = clock_now_ms() + (uint64_t)(seconds * 1000);
	struct ctl quiet = *ctl;
	const char *wrong = "the daemon does not answer";
	enum progress p = LATE;

	quiet.err = fopen("/dev/null", "w");
	if (!quiet.err)
		return LATE;
	while (p == LATE) {
		json_t *status = NULL;

		if (ctl_ask_take(&quiet, json_pack("{s:s}", "cmd", "status"), "warren.status", CTL_TIMEOUT_MS,
				 &status) == EXIT_YES) {
			wrong = ctl_what_is_wrong(status);
			p = !wrong ? UP : find_refusal(status, why) ? REFUSED : LATE;
			json_decref(status);
		}
		if (p == LATE && clock_now_ms() + POLL_MS > end_ms)
			break;
		if (p == LATE)
			poll(NULL, 0, POLL_MS);
	}
	if (p == LATE)
		snprintf(why, CTL_CELL_BYTES, "%s", wrong);
	fclose(quiet.err);
	return p;
}

/* What a call before made is not this one's to remove: it may have been a member since. */
static void undo(const struct joining *j)
{
	if (!j->is_made)
		return;
	systemctl("disable", j->name);
	remove_all(j);
}

static int start(struct ctl *ctl, struct joining *j, double seconds)
{
	char why[CTL_CELL_BYTES] = "";

	if (systemctl("enable", j->name) < 0) {
		undo(j);
		return ctl_fail(
			ctl,
			j->is_made ?
				"the service does not start, and its files were removed again; see: journalctl -u warren@" :
				"the service does not start; see: journalctl -u warren@",
			j->name);
	}
	if (!ctl->socket)
		ctl->net = j->name;
	switch (follow(ctl, seconds, why)) {
	case UP:
		ctl->command = ctl_command_find("status");
		memset(ctl->values, 0, sizeof(ctl->values));
		return ctl_status(ctl);
	case REFUSED:
		undo(j);
		return refuse(ctl, why);
	case LATE:
		break;
	}
	fprintf(ctl->err, "warrenctl: not connected yet: %s; the service goes on trying (warrenctl -n %s status)\n",
		why, j->name);
	return EXIT_NO;
}

/* ---------------------------------------------------------------- */

static int join(struct ctl *ctl, struct joining *j, double seconds)
{
	bool is_default;
	int code = network_dir(ctl, &j->at, true);

	if (code == EXIT_YES)
		code = stage_open(&j->stage, ctl, &j->at, "join", j->name, endings, &j->is_made);
	if (code != EXIT_YES)
		return code;
	if (network_has(&j->at, j->name, "conf") && !is_joined(j)) {
		fprintf(ctl->err,
			"warrenctl: %s/%s.conf is there already; nothing was changed (--as NAME gives this network another name "
			"here)\n",
			j->at.dir, j->name);
		return EXIT_NO;
	}
	if (network_has(&j->at, j->name, "conf"))
		j->cert = j->url.invitation; /* of which the words below have the name */
	else
		code = write_all(ctl, j);
	network_close(&j->at); /* nobody else has to wait for the coordinator */
	if (code != EXIT_YES)
		return code;
	is_default = strcmp(j->at.dir, NETWORK_DIR) == 0;
	if (is_default && access(SYSTEMD_IS_UP, F_OK) == 0)
		return start(ctl, j, seconds);
	fprintf(ctl->err, "%s/%s.conf is written, for %s; start it with: warrend -c %s/%s.conf\n", j->at.dir, j->name,
		j->cert.name, j->at.dir, j->name);
	return EXIT_YES;
}

int ctl_join(struct ctl *ctl)
{
	struct joining j = { .at = { .lock_fd = -1 } };
	double seconds;
	int code;

	if (crypto_start() < 0)
		return ctl_fail(ctl, "libsodium does not start", "");
	if (!ctl_seconds(ctl, "timeout", 0, WAIT_MAX_S, WAIT_S, &seconds))
		return EXIT_BAD_USAGE;
	code = read_url(ctl, &j.url);
	if (code == EXIT_YES) {
		j.name = ctl_value(ctl, "as") ? ctl_value(ctl, "as") : j.url.network;
		code = wire_name_is_valid(j.name) ? join(ctl, &j, seconds) :
						    ctl_usage(ctl, "no name for files: ", j.name);
	}
	network_close(&j.at);
	key_wipe(&j.url.seed, sizeof(j.url.seed));
	return code;
}
