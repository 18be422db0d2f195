/* `warrenctl init`: a network begins on its coordinator's host, with two keys and two files. */
#include <errno.h>
#include <limits.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/keyfile.h"
#include "ctl/stage.h"
#include "daemon/wire/text.h"

#define PORT 27700
#define CONF_BYTES 8192

/* The daemon's file is the last, and stands for a network that is there. */
static const char *const endings[] = { "network-key", "key", "network", "conf", NULL };

/* HOST, HOST:PORT, [ADDRESS], [ADDRESS]:PORT or an IPv6 address by itself. */
static int take_coordinator(const struct ctl *ctl, struct join_coordinator *c)
{
	const char *text = ctl_value(ctl, "coordinator"), *port = NULL;
	size_t len;
	char *end;
	long n = PORT;

	if (!text)
		return ctl_usage(
			ctl, "where will the coordinator be reached? Say --coordinator HOST, a name or an address", "");
	len = strlen(text);
	if (text[0] == '[' && strchr(text, ']')) {
		len = strcspn(++text, "]");
		port = text[len + 1] ? text + len + 1 : NULL;
	} else if (strchr(text, ':') == strrchr(text, ':') && strchr(text, ':')) {
		len = strcspn(text, ":");
		port = text + len;
	}
	if (port) {
		n = port[0] == ':' ? strtol(port + 1, &end, 10) : 0;
		if (n < 1 || n >= UINT16_MAX || *end != '\0')
			return ctl_usage(ctl, "no port from 1 to 65534 is in ", ctl_value(ctl, "coordinator"));
	}
	snprintf(c->host, sizeof(c->host), "%.*s", (int)(len < sizeof(c->host) ? len : sizeof(c->host)), text);
	c->port = (uint16_t)n;
	return len < sizeof(c->host) && join_host_is_valid(c->host) ?
		       EXIT_YES :
		       ctl_usage(ctl, "no name or address of a host: ", ctl_value(ctl, "coordinator"));
}

/* Drawn at random, so that two networks, or a network and the one at home, seldom have the same (RFC 4193 wants it so). */
static void draw_prefixes(struct network *n)
{
	n->prefix =
		(struct prefix){ .ip = { .len = 4, .b = { 10, (uint8_t)(1 + randombytes_uniform(254)) } }, .bits = 16 };
	n->prefix6 = (struct prefix){ .ip = { .len = 16 }, .bits = 64 };
	randombytes_buf(n->prefix6.ip.b + 1, 7);
	n->prefix6.ip.b[0] = 0xfd;
}

static int take_prefix(const struct ctl *ctl, const char *option, uint8_t len, struct prefix *out)
{
	const char *text = ctl_value(ctl, option);
	struct prefix p;

	if (!text)
		return EXIT_YES;
	memset(out, 0, sizeof(*out));
	if (strcmp(text, "none") == 0)
		return EXIT_YES;
	if (!strchr(text, '/') || prefix_from_text(&p, text) < 0 || p.ip.len != len || p.bits < (len == 4 ? 8 : 32) ||
	    p.bits > len * 8 - 2)
		return ctl_usage(
			ctl, len == 4 ? "no IPv4 prefix such as 10.77.0.0/16: " : "no IPv6 prefix such as fd12::/64: ",
			text);
	out->ip = prefix_network(&p);
	out->bits = p.bits;
	return EXIT_YES;
}

static int take_all(const struct ctl *ctl, struct network *n)
{
	const char *name = ctl->operands[0];
	int code;

	if (!wire_name_is_valid(name))
		return ctl_usage(ctl, "no network's name (up to 63 of a-z 0-9 - .): ", name);
	memcpy(n->name, name, strlen(name) + 1); /* checked: it fits */
	draw_prefixes(n);
	n->n_coordinators = 1;
	code = take_coordinator(ctl, &n->coordinators[0]);
	if (code == EXIT_YES)
		code = take_prefix(ctl, "prefix", 4, &n->prefix);
	if (code == EXIT_YES)
		code = take_prefix(ctl, "prefix6", 16, &n->prefix6);
	if (code == EXIT_YES && !n->prefix.ip.len && !n->prefix6.ip.len)
		code = ctl_usage(ctl, "there would be no addresses", "");
	return code;
}

static const char *prefix_text(const struct prefix *p, char out[static ADDR_TEXT_BYTES])
{
	return p->ip.len ? prefix_to_text(p, out) : "none";
}

static void describe(struct network *n)
{
	char key[KEY_TEXT_BYTES], public[KEY_TEXT_BYTES], p4[ADDR_TEXT_BYTES], p6[ADDR_TEXT_BYTES];

	n->doc = json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:[{s:s, s:i, s:s}], s:[]}", "schema", "warren.network/1",
			   "name", n->name, "network_key", verifykey_to_text(&n->key, key), "prefix",
			   n->prefix.ip.len ? prefix_to_text(&n->prefix, p4) : NULL, "prefix6",
			   n->prefix6.ip.len ? prefix_to_text(&n->prefix6, p6) : NULL, "coordinators", "host",
			   n->coordinators[0].host, "port", (int)n->coordinators[0].port, "public_key",
			   pubkey_to_text(&n->coordinators[0].key, public), "invitations");
}

static void write_conf(const struct network *n, char out[static CONF_BYTES])
{
	char key[KEY_TEXT_BYTES], p4[ADDR_TEXT_BYTES], p6[ADDR_TEXT_BYTES], listen[256] = "";
	unsigned port = n->coordinators[0].port;

	if (port != PORT)
		snprintf(listen, sizeof(listen), "listen { port = %u  alternate_port = %u  tcp_ports = {%u} }\n", port,
			 port + 1, port);
	snprintf(out, CONF_BYTES,
		 "# The coordinator of \"%s\", made by warrenctl init. Every key is in warren.conf(5).\n"
		 "role = coordinator\n"
		 "name = \"c1\"\n"
		 "private_key_file = \"%s/%s.key\"\n"
		 "# Certificates under it say who is a member; its secret half is not needed here.\n"
		 "network_key = \"%s\"\n"
		 "%s"
		 "network { name = \"%s\"  prefix = \"%s\"  prefix6 = \"%s\" }\n",
		 n->name, n->dir, n->name, verifykey_to_text(&n->key, key), listen, n->name,
		 prefix_text(&n->prefix, p4), prefix_text(&n->prefix6, p6));
}

static int write_keys(const struct ctl *ctl, struct network *n, const struct stage *s)
{
	char text[KEY_TEXT_BYTES + 1];
	struct signkey network;
	struct seckey own;
	int code;

	signkey_generate(&network);
	verifykey_of(&n->key, &network);
	signkey_to_text(&network, text);
	key_wipe(&network, sizeof(network));
	strncat(text, "\n", 1 + 1);
	code = stage_write(s, ctl, "network-key", text, false);
	seckey_generate(&own);
	if (pubkey_of(&n->coordinators[0].key, &own) < 0)
		code = ctl_fail(ctl, "no key can be made", "");
	seckey_to_text(&own, text);
	key_wipe(&own, sizeof(own));
	strncat(text, "\n", 1 + 1);
	if (code == EXIT_YES)
		code = stage_write(s, ctl, "key", text, false);
	key_wipe(text, sizeof(text));
	return code;
}

static int write_doc(const struct ctl *ctl, struct network *n, const struct stage *s)
{
	char *text;
	int code;

	describe(n);
	text = json_dumps(n->doc, JSON_INDENT(1));
	code = text ? stage_write(s, ctl, "network", text, false) : ctl_fail(ctl, "no memory", "");
	free(text);
	return code;
}

static int write_all(const struct ctl *ctl, struct network *n, const struct stage *s)
{
	char conf[CONF_BYTES];
	int code = stage_begin(s, ctl);

	if (code == EXIT_YES)
		code = write_keys(ctl, n, s);
	if (code == EXIT_YES)
		code = write_doc(ctl, n, s);
	if (code == EXIT_YES) {
		write_conf(n, conf);
		code = stage_write(s, ctl, "conf", conf, true);
	}
	if (code == EXIT_YES)
		return stage_commit(s, ctl);
	stage_discard(s);
	return code;
}

static void say(const struct ctl *ctl, const struct network *n)
{
	const struct join_coordinator *c = &n->coordinators[0];
	bool is_default = strcmp(n->dir, NETWORK_DIR) == 0;
	char dir[2200] = "";

	if (ctl->is_json) {
		ctl_print_json(ctl, n->doc);
		return;
	}
	if (!is_default)
		snprintf(dir, sizeof(dir), " --dir %s", n->dir);
	fprintf(ctl->out, "Network \"%s\" is made: %s/%s.conf, .key, .network and .network-key.\n", n->name, n->dir,
		n->name);
	fprintf(ctl->out, "  1. Let UDP %u and %u and TCP %u through to this host, which others find as %s.\n", c->port,
		c->port + 1u, c->port, c->host);
	if (is_default)
		fprintf(ctl->out, "  2. Start the coordinator: systemctl enable --now warren@%s\n", n->name);
	else
		fprintf(ctl->out, "  2. Start the coordinator: warrend -c %s/%s.conf\n", n->dir, n->name);
	fprintf(ctl->out, "  3. Invite a member: warrenctl -n %s invite NAME%s\n", n->name, dir);
	fprintf(ctl->out,
		"     and there: warrenctl join -, and give it the URL.\n"
		"The coordinator does not need %s.network-key, which makes members: it and %s.network may be moved\n"
		"to another host, and invite be called there with --dir.\n",
		n->name, n->name);
}

static bool is_same_prefix(const struct ctl *ctl, const char *option, const struct prefix *a, const struct prefix *b)
{
	return !ctl_value(ctl, option) || (ip_equal(&a->ip, &b->ip) && a->bits == b->bits);
}

/* A call that was killed had all but moved its files: they are in their places now, and with them a network as it was wanted then. If
 * that is what is wanted now, good. */
static int take_finished(const struct ctl *ctl, struct network *n)
{
	struct network wanted = *n;
	const struct join_coordinator *c = &wanted.coordinators[0];

	if (network_load(ctl, n) != EXIT_YES)
		return EXIT_NO;
	if (strcmp(c->host, n->coordinators[0].host) == 0 && c->port == n->coordinators[0].port &&
	    is_same_prefix(ctl, "prefix", &wanted.prefix, &n->prefix) &&
	    is_same_prefix(ctl, "prefix6", &wanted.prefix6, &n->prefix6)) {
		say(ctl, n);
		return EXIT_YES;
	}
	fprintf(ctl->err,
		"warrenctl: an init that was cut short is finished now, with other settings than these; see %s/%s.conf\n",
		n->dir, n->name);
	return EXIT_NO;
}

static int check_nothing_is_there(const struct ctl *ctl, const struct network *n)
{
	for (size_t i = 0; endings[i]; i++) {
		if (!network_has(n, n->name, endings[i]))
			continue;
		fprintf(ctl->err, "warrenctl: %s/%s.%s is there already; nothing was changed\n", n->dir, n->name,
			endings[i]);
		return EXIT_NO;
	}
	return EXIT_YES;
}

int ctl_init(struct ctl *ctl)
{
	bool is_finished = false;
	struct network n;
	struct stage s;
	int code;

	if (crypto_start() < 0)
		return ctl_fail(ctl, "libsodium does not start", "");
	code = network_dir(ctl, &n, true);
	if (code == EXIT_YES)
		code = take_all(ctl, &n);
	if (code == EXIT_YES)
		code = stage_open(&s, ctl, &n, "init", n.name, endings, &is_finished);
	if (code == EXIT_YES && is_finished) {
		code = take_finished(ctl, &n);
	} else if (code == EXIT_YES) {
		code = check_nothing_is_there(ctl, &n);
		if (code == EXIT_YES)
			code = write_all(ctl, &n, &s);
		if (code == EXIT_YES)
			say(ctl, &n);
	}
	network_close(&n);
	return code;
}
