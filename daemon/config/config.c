#include "daemon/config/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "crypto/aead.h"
#include "crypto/keyfile.h"
#include "crypto/mac.h"
#include "daemon/base/files.h"
#include "daemon/config/config_check.h"
#include "daemon/config/config_keys.h"
#include "daemon/config/config_settings.h"
#include "daemon/config/config_source.h"

static const char *role_name(enum config_role role)
{
	return role == CONFIG_PEER ? "peer" : "coordinator";
}

static const struct config_text *text_of(cfg_t *section, const char *key, unsigned i)
{
	cfg_opt_t *opt = cfg_getopt(section, key);

	return i < cfg_opt_size(opt) ? opt->values[i]->ptr : NULL;
}

const struct config_text *config_check_text(cfg_t *section, const char *key)
{
	return text_of(section, key, 0);
}

/* "listen.port", "port in member "alice"" */
static const char *full_name(const struct config_key *k, const cfg_t *section, char out[static 160])
{
	char quoted[CONFIG_QUOTE_BYTES];

	if (section->title)
		snprintf(out, 160, "%s of %s %s", k->name, k->section, config_quote(section->title, quoted));
	else
		snprintf(out, 160, "%s%s%s", k->section, k->section[0] ? "." : "", k->name);
	return out;
}

static int apply_value(const struct config_load *l, const struct config_key *k, cfg_t *section, void *base, unsigned i)
{
	const struct config_text *t = text_of(section, k->name, i);
	char name[160], quoted[CONFIG_QUOTE_BYTES];
	const char *words;

	full_name(k, section, name);
	if (!(k->roles & 1u << l->c->role))
		return config_fail(l->error, t->file, t->line, "%s is for a %s, and this file's role is %s", name,
				   role_name(l->c->role == CONFIG_PEER ? CONFIG_COORDINATOR : CONFIG_PEER),
				   role_name(l->c->role));
	words = k->set(k, (char *)base + k->offset, t->text, i);
	if (!words)
		return 0;
	if (k->is_secret || t->text[0] == '\0')
		return config_fail(l->error, t->file, t->line, "%s %s", name, t->text[0] ? words : "is empty");
	return config_fail(l->error, t->file, t->line, "%s: %s %s", name, config_quote(t->text, quoted), words);
}

/* `which`: of the blocks of a titled section. */
static int apply_section(const struct config_load *l, const char *name, cfg_t *section, void *base, unsigned which)
{
	for (size_t i = 0; config_key_at(i); i++) {
		const struct config_key *k = config_key_at(i);
		const struct config_text *t;

		if (strcmp(k->section, name) != 0)
			continue;
		for (unsigned j = 0; text_of(section, k->name, j); j++)
			if (apply_value(l, k, section, base, j) < 0)
				return -1;
		t = text_of(section, k->name, 0);
		if (t && config_origins_add(&l->c->origins, i, which, t) < 0)
			return config_fail(l->error, l->c->path, 0, "out of memory");
	}
	return 0;
}

/* The role comes first: what else may be there depends on it, wherever it stands in the file. */
static int apply_role(const struct config_load *l)
{
	const struct config_key *k = config_key_find("", "role");

	if (!text_of(l->root, "role", 0))
		return config_fail(l->error, l->c->path, 1,
				   "role is missing: \"role = peer\" or \"role = coordinator\"");
	/* Both words are allowed in both roles, so that the value is judged before anybody's role is. */
	return apply_value(l, k, l->root, l->c, 0);
}

static int apply_coordinator(const struct config_load *l, cfg_t *section)
{
	struct config_coordinator *c = &l->c->coordinators[l->c->n_coordinators];
	char quoted[CONFIG_QUOTE_BYTES];
	const char *words = config_name_error(section->title);

	if (words)
		return config_fail(l->error, config_source_file(section), section->line, "coordinator: %s %s",
				   config_quote(section->title, quoted), words);
	if (l->c->n_coordinators == CONFIG_COORDINATORS_MAX)
		return config_fail(l->error, config_source_file(section), section->line,
				   "one coordinator too many: %d may be given", CONFIG_COORDINATORS_MAX);
	memcpy(c->name, section->title, strlen(section->title));
	l->c->n_coordinators++;
	return apply_section(l, "coordinator", section, c, l->c->n_coordinators - 1);
}

static int apply_member(const struct config_load *l, cfg_t *section)
{
	struct config_member *m = &l->c->members[l->c->n_members++];
	char quoted[CONFIG_QUOTE_BYTES];
	const char *words = config_name_error(section->title);
	const struct config_text *key = text_of(section, "public_key", 0);

	if (words)
		return config_fail(l->error, config_source_file(section), section->line, "member: %s %s",
				   config_quote(section->title, quoted), words);
	memcpy(m->name, section->title, strlen(section->title));
	m->line = key ? key->line : section->line;
	return apply_section(l, "member", section, m, l->c->n_members - 1);
}

static int apply_peer(const struct config_load *l, cfg_t *section)
{
	struct config_peer *p = &l->c->peers[l->c->n_peers++];
	char quoted[CONFIG_QUOTE_BYTES];
	const char *words = config_name_error(section->title);

	if (words)
		return config_fail(l->error, config_source_file(section), section->line, "peer: %s %s",
				   config_quote(section->title, quoted), words);
	memcpy(p->name, section->title, strlen(section->title));
	return apply_section(l, "peer", section, p, l->c->n_peers - 1);
}

/* Where a section begins for a reader: its first entry, or its end. */
static void section_place(cfg_t *section, const struct config_section *s, const char **file, int *line)
{
	*file = config_source_file(section);
	*line = section->line;
	for (size_t i = 0; config_key_at(i); i++) {
		const struct config_text *t;

		if (strcmp(config_key_at(i)->section, s->name) != 0)
			continue;
		t = text_of(section, config_key_at(i)->name, 0);
		if (t && t->line < *line) {
			*file = t->file;
			*line = t->line;
		}
	}
}

static int apply_sections(const struct config_load *l, const struct config_section *s)
{
	unsigned n = cfg_size(l->root, s->name);

	if (strcmp(s->name, "member") == 0 && n > 0) {
		l->c->members = calloc(n, sizeof(*l->c->members));
		if (!l->c->members)
			return config_fail(l->error, l->c->path, 0, "out of memory");
	}
	if (strcmp(s->name, "peer") == 0 && n > 0) {
		l->c->peers = calloc(n, sizeof(*l->c->peers));
		if (!l->c->peers)
			return config_fail(l->error, l->c->path, 0, "out of memory");
	}
	for (unsigned i = 0; i < n; i++) {
		cfg_t *section = cfg_getnsec(l->root, s->name, i);
		const char *file;
		int ret, line;

		if (!(s->roles & 1u << l->c->role)) {
			section_place(section, s, &file, &line);
			return config_fail(l->error, file, line, "%s is for a %s, and this file's role is %s", s->name,
					   role_name(l->c->role == CONFIG_PEER ? CONFIG_COORDINATOR : CONFIG_PEER),
					   role_name(l->c->role));
		}
		if (strcmp(s->name, "coordinator") == 0)
			ret = apply_coordinator(l, section);
		else if (strcmp(s->name, "member") == 0)
			ret = apply_member(l, section);
		else if (strcmp(s->name, "peer") == 0)
			ret = apply_peer(l, section);
		else
			ret = apply_section(l, s->name, section, l->c, 0);
		if (ret < 0)
			return -1;
	}
	return 0;
}

static void set_defaults(struct config *c)
{
	c->offload = true;
	c->ciphers = 1u << AEAD_CHACHA20_POLY1305 | 1u << AEAD_AES_256_GCM;
	memcpy(c->tun.name, "warren0", sizeof("warren0"));
	c->listen.portmap = true;
	if (c->role == CONFIG_PEER)
		return;
	c->listen.port = 27700;
	c->listen.alternate_port = 27701;
	c->listen.stun = true;
	c->relay.enabled = true;
	c->relay.rate_per_peer = 20000000;
	c->relay.rate_total = 100000000;
	c->relay.packets_per_peer = 5000;
}

/* fd00::/8 with 40 bits that two networks are unlikely to share (RFC 4193), then subnet 0. */
static void set_prefix6(struct config *c)
{
	uint8_t hash[32], bytes[16] = { 0xfd };

	hash_bytes(hash, c->network.name, strlen(c->network.name));
	memcpy(bytes + 1, hash, 5);
	ip_from_bytes(&c->network.prefix6.ip, bytes, sizeof(bytes));
	c->network.prefix6.bits = 64;
}

/* A copy of `text` in *out unless something is there already. */
static int default_text(char **out, const char *text)
{
	if (*out)
		return 0;
	*out = strdup(text);
	return *out ? 0 : -1;
}

/* "/etc/warren/home.conf" is "home". */
static int default_paths(struct config *c)
{
	const char *slash = strrchr(c->path, '/'), *base = slash ? slash + 1 : c->path;
	size_t len = strlen(base);
	char text[4096 + 64];

	if (len > 5 && strcmp(base + len - 5, ".conf") == 0)
		len -= 5;
	if (len > 255)
		len = 255;
	snprintf(text, sizeof(text), "/var/lib/warren/%.*s", (int)len, base);
	if (default_text(&c->state_dir, text) < 0)
		return -1;
	snprintf(text, sizeof(text), "/run/warren/%.*s.sock", (int)len, base);
	if (default_text(&c->control_socket, text) < 0)
		return -1;
	snprintf(text, sizeof(text), "%.4095s/private.key", c->state_dir);
	if (default_text(&c->private_key_file, text) < 0)
		return -1;
	return default_text(&c->log_level, "info");
}

static char *place_of(cfg_t *root, const char *key)
{
	const struct config_text *t = text_of(root, key, 0);
	char *out = NULL;

	if (t && asprintf(&out, "%s:%d", t->file, t->line) < 0)
		return NULL;
	return out;
}

static int finish(const struct config_load *l)
{
	struct config *c = l->c;
	const struct config_text *prefix6 = NULL;

	for (unsigned i = 0; i < cfg_size(l->root, "network"); i++) {
		const struct config_text *t = text_of(cfg_getnsec(l->root, "network", i), "prefix6", 0);

		prefix6 = t ? t : prefix6;
	}
	if (c->role == CONFIG_COORDINATOR && (!prefix6 || strcmp(prefix6->text, "auto") == 0))
		set_prefix6(c);
	if (c->role == CONFIG_COORDINATOR && c->listen.n_tcp_ports == 0)
		c->listen.tcp_ports[c->listen.n_tcp_ports++] = c->listen.port;
	/* "::" is both families, as a dual-stack socket has it: no address in particular. */
	if (c->listen.address.len == 16 && ip_is_unspecified(&c->listen.address))
		c->listen.address = (struct ip){ 0 };
	if (default_paths(c) < 0)
		return config_fail(l->error, c->path, 0, "out of memory");
	c->private_key_at = place_of(l->root, "private_key_file");
	c->psk_at = place_of(l->root, "psk_file");
	c->proxy_auth_at = place_of(l->root, "proxy_auth_file");
	c->certificate_at = place_of(l->root, "certificate_file");
	return 0;
}

struct config *config_load(const char *path, char error[static CONFIG_ERROR_BYTES])
{
	struct config *c = calloc(1, sizeof(*c));
	struct config_load l = { .c = c, .error = error };
	struct config_source source;
	int ret;

	error[0] = '\0';
	if (!c || !(c->path = strdup(path))) {
		config_fail(error, path, 0, "out of memory");
		config_free(c);
		return NULL;
	}
	ret = config_source_open(&source, path, error);
	l.root = source.root;
	if (ret == 0)
		ret = apply_role(&l);
	if (ret == 0) {
		set_defaults(c);
		ret = apply_section(&l, "", l.root, c, 0);
	}
	for (size_t i = 0; ret == 0 && config_section_at(i); i++)
		ret = apply_sections(&l, config_section_at(i));
	config_origins_sort(&c->origins);
	if (ret == 0)
		ret = finish(&l);
	if (ret == 0)
		ret = config_check(&l);
	config_source_close(&source);
	if (ret == 0)
		return c;
	config_free(c);
	return NULL;
}

void config_free(struct config *c)
{
	if (!c)
		return;
	free(c->path);
	free(c->private_key_file);
	free(c->psk_file);
	free(c->private_key_at);
	free(c->psk_at);
	free(c->proxy_auth_file);
	free(c->proxy_auth_at);
	free(c->certificate_at);
	free(c->certificate_file);
	free(c->control_socket);
	free(c->state_dir);
	free(c->log_level);
	free(c->on_mapping_change);
	free(c->members);
	free(c->peers);
	config_origins_free(&c->origins);
	free(c);
}

/* ---------------------------------------------------------------- key files */

static int key_error(const struct config *c, const char *at, const char *what, const char *path, int err, char *error)
{
	char by_default[CONFIG_ERROR_BYTES / 2];

	snprintf(by_default, sizeof(by_default), "%s:1", c->path);
	snprintf(error, CONFIG_ERROR_BYTES, "%.200s: %s %.150s: %s", at ? at : by_default, what, path,
		 keyfile_error(err));
	return -1;
}

/* The path of a credential of systemd's (LoadCredential=), which goes before the file. An empty line is the unit's
 * default and stands for none. */
static bool credential(char *path, size_t capacity, const char *name)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY");
	struct stat st;
	int n;

	if (!dir || dir[0] == '\0')
		return false;
	n = snprintf(path, capacity, "%s/%s", dir, name);
	return n > 0 && (size_t)n < capacity && (lstat(path, &st) < 0 ? errno != ENOENT : st.st_size > 1);
}

static int read_secret(const struct config *c, struct seckey *secret, char *error)
{
	char path[4096];
	bool is_given = credential(path, sizeof(path), "warren.key");
	const char *from = is_given ? path : c->private_key_file;
	int ret = keyfile_read(secret, from);

	return ret < 0 ? key_error(c, is_given ? NULL : c->private_key_at, "private key", from, ret, error) : 0;
}

static int read_psk(const struct config *c, struct psk *psk, char *error)
{
	char path[4096];
	bool is_given = credential(path, sizeof(path), "warren.psk");
	const char *from = is_given ? path : c->psk_file;
	int ret = keyfile_read_psk(psk, from);

	return ret < 0 ? key_error(c, is_given ? NULL : c->psk_at, "pre-shared key", from, ret, error) : 0;
}

int config_read_login(const struct config *c, struct login *login, char error[static CONFIG_ERROR_BYTES])
{
	bool is_given;
	const char *from;
	char path[4096];
	int ret;

	error[0] = '\0';
	memset(login, 0, sizeof(*login));
	if (!c->proxy_auth_file)
		return 0;
	is_given = credential(path, sizeof(path), "warren.proxy");
	from = is_given ? path : c->proxy_auth_file;
	ret = keyfile_read_login(login, from);
	return ret < 0 ? key_error(c, is_given ? NULL : c->proxy_auth_at, "login of the proxy", from, ret, error) : 0;
}

int config_read_keys(const struct config *c, struct seckey *secret, struct psk *psk,
		     char error[static CONFIG_ERROR_BYTES])
{
	struct seckey own = { 0 };
	struct psk shared = { 0 };
	struct login login;
	int ret;

	error[0] = '\0';
	ret = read_secret(c, &own, error);
	if (ret == 0 && c->psk_file)
		ret = read_psk(c, &shared, error);
	if (ret == 0)
		ret = config_read_login(c, &login, error);
	if (ret == 0 && secret)
		*secret = own;
	if (ret == 0 && psk)
		*psk = shared;
	key_wipe(&own, sizeof(own));
	key_wipe(&shared, sizeof(shared));
	key_wipe(&login, sizeof(login));
	return ret;
}

/* ---------------------------------------------------------------- the certificate */

bool config_has_network_key(const struct config *c)
{
	static const struct verifykey none;

	return !verifykey_equal(&c->network_key, &none);
}

static int certificate_error(const struct config *c, const char *words, char *error)
{
	snprintf(error, CONFIG_ERROR_BYTES, "%.180s: certificate %.120s %s", c->certificate_at, c->certificate_file,
		 words);
	return -1;
}

int config_read_certificate(const struct config *c, const struct seckey *secret, struct cert *out,
			    char error[static CONFIG_ERROR_BYTES])
{
	char text[CERT_TEXT_BYTES + 1], words[180];
	enum cert_verdict v;
	struct pubkey own;
	int len = files_read(c->certificate_file, text, sizeof(text));

	if (len < 0) {
		snprintf(words, sizeof(words), "cannot be read: %s", strerror(-len));
		return certificate_error(c, words, error);
	}
	if (len > 0 && text[len - 1] == '\n')
		len--;
	if (cert_from_text(out, text, (size_t)len) < 0)
		return certificate_error(c, "is none: one line of base64, as warrenctl cert sign prints it", error);
	if (pubkey_of(&own, secret) < 0)
		return certificate_error(c, "cannot be checked: the private key is no good", error);
	if (strcmp(out->name, c->name) != 0) {
		snprintf(words, sizeof(words), "is for \"%s\", and this node's name is \"%s\"", out->name, c->name);
		return certificate_error(c, words, error);
	}
	for (unsigned i = 0; i < c->routes.n; i++) {
		char route[ADDR_TEXT_BYTES];

		if (cert_has_route(out, &c->routes.v[i]))
			continue;
		snprintf(words, sizeof(words), "does not have %s, which routes names",
			 prefix_to_text(&c->routes.v[i], route));
		return certificate_error(c, words, error);
	}
	/* At the time it begins, so that only its time is left to ask about. */
	v = cert_verify(out, &c->network_key, &own, out->not_before_s);
	return v == CERT_GOOD ? 0 : certificate_error(c, cert_verdict_text(v), error);
}

enum config_path config_path_of(const struct config *c, const char *peer_name)
{
	for (unsigned i = 0; i < c->n_peers; i++)
		if (strcmp(c->peers[i].name, peer_name) == 0)
			return c->peers[i].path;
	return CONFIG_PATH_AUTO;
}
