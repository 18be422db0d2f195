#include "ctl/network.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/keyfile.h"
#include "daemon/base/files.h"
#include "daemon/wire/text.h"

#define FILE_MAX_BYTES (4 << 20)
#define HOSTS_MAX 65534u /* of a wider prefix the first */
#define GROUP "warren"

const char *network_path(const struct network *n, const char *name, const char *ending, char out[static 4096])
{
	snprintf(out, 4096, "%s/%s.%s", n->dir, name, ending);
	return out;
}

bool network_has(const struct network *n, const char *name, const char *ending)
{
	char path[4096];
	struct stat st;

	return lstat(network_path(n, name, ending, path), &st) == 0;
}

void network_remove(const struct network *n, const char *name, const char *ending)
{
	char path[4096];

	unlink(network_path(n, name, ending, path));
}

static int fail_at(const struct ctl *ctl, const char *path, const char *words)
{
	fprintf(ctl->err, "warrenctl: %s: %s\n", path, words);
	return EXIT_NO;
}

/* The service's group, where there is one and we may give files to it; else the directory's. */
static int share(const struct network *n, const char *path)
{
	const struct group *group = geteuid() == 0 ? getgrnam(GROUP) : NULL;
	struct stat st;

	if (stat(n->dir, &st) < 0 || chown(path, (uid_t)-1, group ? group->gr_gid : st.st_gid) < 0 ||
	    chmod(path, 0640) < 0)
		return -errno;
	return 0;
}

int network_write(const struct ctl *ctl, const struct network *n, const char *name, const char *ending,
		  const char *text, bool is_shared)
{
	char file[WIRE_NAME_MAX_BYTES + 32], path[4096];
	int ret;

	snprintf(file, sizeof(file), "%s.%s", name, ending);
	network_path(n, name, ending, path);
	ret = files_replace(n->dir, file, text, strlen(text));
	if (ret == 0 && is_shared)
		ret = share(n, path);
	if (ret < 0)
		return fail_at(ctl, path, strerror(-ret));
	return EXIT_YES;
}

/* ---------------------------------------------------------------- the directory */

/* Under another name until it is as it shall be: a kill in between leaves none that the service cannot read. */
static int make_default_dir(const struct ctl *ctl)
{
	static const char aside[] = NETWORK_DIR ".tmp";
	const struct group *group = getgrnam(GROUP);

	if (access(NETWORK_DIR, F_OK) == 0)
		return EXIT_YES;
	if (mkdir(aside, 0750) < 0 && errno != EEXIST)
		return fail_at(ctl, NETWORK_DIR, strerror(errno));
	/* Without the package there is no such group, and whoever starts the daemon owns the directory. */
	if ((group && chown(aside, (uid_t)-1, group->gr_gid) < 0) || rename(aside, NETWORK_DIR) < 0)
		return fail_at(ctl, NETWORK_DIR, strerror(errno));
	return EXIT_YES;
}

/* It is written into configuration files, between quotes. */
static bool is_quotable(const char *path)
{
	for (; *path; path++)
		if ((unsigned char)*path < ' ' || strchr("\"\\$", *path))
			return false;
	return true;
}

int network_dir(const struct ctl *ctl, struct network *n, bool is_made)
{
	const char *dir = ctl_value(ctl, "dir") ? ctl_value(ctl, "dir") : NETWORK_DIR;
	char *whole;

	memset(n, 0, sizeof(*n));
	n->lock_fd = -1;
	if (is_made && strcmp(dir, NETWORK_DIR) == 0 && make_default_dir(ctl) != EXIT_YES)
		return EXIT_NO;
	whole = realpath(dir, NULL);
	if (!whole)
		return fail_at(ctl, dir, strerror(errno));
	if (strlen(whole) >= sizeof(n->dir) || !is_quotable(whole)) {
		free(whole);
		return fail_at(ctl, dir, "a directory's name like that cannot be written into a configuration");
	}
	snprintf(n->dir, sizeof(n->dir), "%s", whole);
	free(whole);
	n->lock_fd = open(n->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (n->lock_fd < 0 || flock(n->lock_fd, LOCK_EX) < 0)
		return fail_at(ctl, n->dir, strerror(errno));
	return EXIT_YES;
}

void network_close(struct network *n)
{
	json_decref(n->doc);
	if (n->lock_fd >= 0)
		close(n->lock_fd);
	n->doc = NULL;
	n->lock_fd = -1;
}

/* ---------------------------------------------------------------- the file */

static bool read_text(const json_t *o, const char *key, const char **out)
{
	*out = json_string_value(json_object_get(o, key));
	return *out != NULL;
}

static bool read_prefix(const json_t *doc, const char *key, struct prefix *out)
{
	const char *text;

	return json_is_null(json_object_get(doc, key)) ||
	       (read_text(doc, key, &text) && prefix_from_text(out, text) == 0);
}

static bool read_coordinator(const json_t *o, struct join_coordinator *out)
{
	json_int_t port = json_integer_value(json_object_get(o, "port"));
	const char *host, *key;

	if (!read_text(o, "host", &host) || !read_text(o, "public_key", &key) || !join_host_is_valid(host) ||
	    port < 1 || port > UINT16_MAX || pubkey_from_text(&out->key, key, strlen(key)) < 0)
		return false;
	memcpy(out->host, host, strlen(host) + 1); /* checked: it fits */
	out->port = (uint16_t)port;
	return true;
}

static bool read_doc(struct network *n)
{
	const json_t *list = json_object_get(n->doc, "coordinators"), *o;
	const char *schema, *name, *key;
	size_t i;

	if (!read_text(n->doc, "schema", &schema) || strcmp(schema, "warren.network/1") != 0 ||
	    !read_text(n->doc, "name", &name) || strcmp(name, n->name) != 0 ||
	    !read_text(n->doc, "network_key", &key) || verifykey_from_text(&n->key, key, strlen(key)) < 0 ||
	    !read_prefix(n->doc, "prefix", &n->prefix) || !read_prefix(n->doc, "prefix6", &n->prefix6) ||
	    !json_is_array(network_invitations(n)) || json_array_size(list) == 0 ||
	    json_array_size(list) > JOIN_COORDINATORS_MAX)
		return false;
	json_array_foreach(list, i, o)
		if (!read_coordinator(o, &n->coordinators[n->n_coordinators++]))
			return false;
	return true;
}

/* -n, or the only one there. */
static int choose(const struct ctl *ctl, struct network *n)
{
	char pattern[4096];
	const char *name = ctl->net;
	glob_t found = { 0 };
	int code = EXIT_YES;

	if (!name) {
		snprintf(pattern, sizeof(pattern), "%s/*.network", n->dir);
		glob(pattern, 0, NULL, &found);
		if (found.gl_pathc == 1)
			name = strrchr(found.gl_pathv[0], '/') + 1;
		else
			code = found.gl_pathc ?
				       ctl_usage(ctl, "several networks are there, choose one with -n: ", n->dir) :
				       ctl_fail(ctl, "there is no network that warrenctl init made in ", n->dir);
	}
	if (code == EXIT_YES)
		snprintf(n->name, sizeof(n->name), "%.*s",
			 (int)(ctl->net ? strlen(name) : strlen(name) - strlen(".network")), name);
	globfree(&found);
	return code;
}

int network_load(const struct ctl *ctl, struct network *n)
{
	char path[4096], *text;
	int len;

	json_decref(n->doc);
	n->doc = NULL;
	n->n_coordinators = 0;
	n->prefix = n->prefix6 = (struct prefix){ 0 };
	network_path(n, n->name, "network", path);
	text = malloc(FILE_MAX_BYTES);
	if (!text)
		return fail_at(ctl, path, strerror(ENOMEM));
	len = files_read(path, text, FILE_MAX_BYTES);
	if (len >= 0)
		n->doc = json_loadb(text, (size_t)len, JSON_REJECT_DUPLICATES, NULL);
	free(text);
	if (len < 0)
		return fail_at(ctl, path, strerror(-len));
	return read_doc(n) ? EXIT_YES : fail_at(ctl, path, "damaged, or not what warrenctl init makes");
}

int network_open(const struct ctl *ctl, struct network *n)
{
	int code = network_dir(ctl, n, false);

	if (code == EXIT_YES)
		code = choose(ctl, n);
	return code == EXIT_YES ? network_load(ctl, n) : code;
}

int network_save(const struct ctl *ctl, const struct network *n)
{
	char *text = json_dumps(n->doc, JSON_INDENT(1));
	int code = text ? network_write(ctl, n, n->name, "network", text, false) : ctl_fail(ctl, "no memory", "");

	free(text);
	return code;
}

int network_key(const struct ctl *ctl, const struct network *n, struct signkey *out)
{
	const char *file = ctl_value(ctl, "signing-key");
	struct verifykey public;
	char path[4096];
	int ret;

	file = file ? file : network_path(n, n->name, "network-key", path);
	ret = keyfile_read_signkey(out, file);
	if (ret < 0)
		return fail_at(ctl, file, keyfile_error(ret));
	verifykey_of(&public, out);
	if (verifykey_equal(&public, &n->key))
		return EXIT_YES;
	key_wipe(out, sizeof(*out));
	return fail_at(ctl, file, "not this network's key");
}

/* ---------------------------------------------------------------- invitations and addresses */

json_t *network_invitations(const struct network *n)
{
	return json_object_get(n->doc, "invitations");
}

json_t *network_invitation(const struct network *n, const char *name)
{
	json_t *list = network_invitations(n);

	for (size_t i = json_array_size(list); i > 0; i--) {
		json_t *at = json_array_get(list, i - 1);
		const char *its = json_string_value(json_object_get(at, "name"));

		if (its && strcmp(its, name) == 0)
			return at;
	}
	return NULL;
}

/* Whole prefixes only: host numbers go into the last four bytes, or what of them the prefix leaves. */
struct ip network_host(const struct prefix *prefix, uint32_t host)
{
	struct ip ip = prefix_network(prefix);

	for (unsigned i = 0; i < 4 && ip.len; i++)
		ip.b[ip.len - 1 - i] |= (uint8_t)(host >> 8 * i);
	return ip;
}

/* 0: not of this prefix, or beyond what is given out. */
static uint32_t number_of(const struct prefix *prefix, const struct ip *ip)
{
	uint32_t host = 0;
	struct ip again;

	if (!prefix->ip.len || !prefix_contains(prefix, ip))
		return 0;
	for (unsigned i = 4; i > 0; i--)
		host = host << 8 | ip->b[ip->len - i];
	again = prefix_network(prefix);
	for (unsigned i = 4; i > 0; i--) /* without the prefix's own bits among the four */
		host ^= (uint32_t)again.b[ip->len - i] << 8 * (i - 1);
	again = network_host(prefix, host);
	return host <= HOSTS_MAX && ip_equal(&again, ip) ? host : 0;
}

static bool is_usable(const struct prefix *prefix, uint32_t host)
{
	unsigned bits = prefix->ip.len * 8u - prefix->bits;
	struct ip ip = network_host(prefix, host);

	if (!prefix->ip.len)
		return true;
	return (bits >= 32 || host < (uint32_t)1 << bits) && !(prefix->ip.len == 4 && prefix_is_last(prefix, &ip));
}

uint32_t network_free_host(const struct network *n)
{
	uint8_t *is_taken = calloc(HOSTS_MAX + 1, 1);
	const json_t *at, *text;
	uint32_t host = 0;
	struct ip ip;
	size_t i, j;

	if (!is_taken)
		return 0;
	is_taken[0] = 1;
	json_array_foreach(network_invitations(n), i, at)
		json_array_foreach(json_object_get(at, "ips"), j, text)
			if (json_is_string(text) && ip_from_text(&ip, json_string_value(text)) == 0) {
				is_taken[number_of(&n->prefix, &ip)] = 1;
				is_taken[number_of(&n->prefix6, &ip)] = 1;
			}
	for (uint32_t h = 1; h <= HOSTS_MAX && is_usable(&n->prefix, h) && is_usable(&n->prefix6, h); h++)
		if (!is_taken[h]) {
			host = h;
			break;
		}
	free(is_taken);
	return host;
}
