#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "ctl/anonymize.h"
#include "ctl/ctl.h"
#include "ctl/program.h"
#include "ctl/tar.h"
#include "daemon/base/addr.h"

struct report {
	struct ctl *ctl;
	struct anonymizer *anonymizer; /* NULL: everything stays as it is */
	FILE *tar;
	char directory[64];
	uint64_t now_s;
};

static void add(struct report *r, const char *name, const char *text)
{
	char *hidden = r->anonymizer ? anonymize(r->anonymizer, text) : NULL;
	const char *shown = r->anonymizer ? hidden : text;
	char path[100];

	snprintf(path, sizeof(path), "%s/%s", r->directory, name);
	if (shown)
		tar_add(r->tar, path, shown, strlen(shown), r->now_s);
	free(hidden);
}

static void add_document(struct report *r, const char *name, const json_t *document)
{
	char *text = json_dumps(document, JSON_INDENT(1) | JSON_REAL_PRECISION(9));

	if (text)
		add(r, name, text);
	free(text);
}

/* ---------------------------------------------------------------- names that an anonymous report must not show */

static void add_names_of(struct anonymizer *a, const json_t *list)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(list, i, entry) {
		const char *endpoint = json_string_value(json_object_get(entry, "endpoint"));
		char host[256];

		anonymizer_add_name(a, json_string_value(json_object_get(entry, "name")));
		anonymizer_add_name(a, json_string_value(json_object_get(entry, "peer")));
		if (!endpoint)
			continue;
		snprintf(host, sizeof(host), "%.*s", (int)strcspn(endpoint, ":"), endpoint);
		anonymizer_add_name(a, host);
	}
}

/* A path may be called after its owner: all of it is hidden but for what every such path has. */
static void add_names_of_path(struct anonymizer *a, const char *path)
{
	static const char *const common[] = { "etc",   "warren",      "var", "lib",  "run",   "usr", "local",
					      "share", "opt",         "srv", "home", "root",  "tmp", "dev",
					      "null",  "private.key", "bin", "sbin", "state", "conf" };
	char part[256];
	size_t len;

	for (; *path; path += len + (path[len] == '/')) {
		bool is_common = false;

		len = strcspn(path, "/");
		snprintf(part, sizeof(part), "%.*s", (int)len, path);
		for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++)
			is_common |= strcmp(part, common[i]) == 0;
		if (!is_common)
			anonymizer_add_name(a, part);
	}
}

/* "http://host:port", "host:port" */
static void add_host_of(struct anonymizer *a, const char *text)
{
	static const char scheme[] = "http://";
	char host[256];
	struct ip ip;

	if (strncmp(text, scheme, sizeof(scheme) - 1) == 0)
		text += sizeof(scheme) - 1;
	snprintf(host, sizeof(host), "%.*s", (int)strcspn(text, ":/"), text);
	if (text[0] != '[' && ip_from_text(&ip, host) < 0)
		anonymizer_add_name(a, host);
}

static void add_names_of_value(struct anonymizer *a, const char *key, const char *value)
{
	static const char *const hosts[] = { "endpoint", "public_endpoint", "stun", "proxy" };

	if (!value)
		return;
	if (value[0] == '/')
		add_names_of_path(a, value);
	if (strcmp(key, "name") == 0)
		anonymizer_add_name(a, value);
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
		if (strcmp(key, hosts[i]) == 0)
			add_host_of(a, value);
}

static void add_names_of_settings(struct anonymizer *a, const json_t *settings)
{
	const json_t *setting, *item;
	size_t i, j;

	json_array_foreach(settings, i, setting) {
		const json_t *value = json_object_get(setting, "value");
		const char *key = json_string_value(json_object_get(setting, "key"));
		const char *section = json_string_value(json_object_get(setting, "section"));
		const char *file = json_string_value(json_object_get(setting, "file"));

		if (!key || !section || strcmp(section, "tun") == 0) /* an interface's name tells of nobody */
			continue;
		anonymizer_add_name(a, json_string_value(json_object_get(setting, "title")));
		if (file)
			add_names_of_path(a, file);
		add_names_of_value(a, key, json_string_value(value));
		json_array_foreach(value, j, item)
			add_names_of_value(a, key, json_string_value(item));
	}
}

/* "TIME info: peer NAME: ...": who is a member no more is named in the log still. */
static void add_names_of_log(struct anonymizer *a, const json_t *lines)
{
	static const char *const subjects[] = { ": peer ", ": member ", ": coordinator " };
	const json_t *line;
	size_t i;

	json_array_foreach(lines, i, line)
		for (size_t j = 0; j < sizeof(subjects) / sizeof(subjects[0]); j++) {
			const char *at = json_is_string(line) ? strstr(json_string_value(line), subjects[j]) : NULL;
			char name[80];

			if (!at)
				continue;
			at += strlen(subjects[j]);
			snprintf(name, sizeof(name), "%.*s", (int)strcspn(at, ": "), at);
			anonymizer_add_name(a, name);
		}
}

/* Keys are known by their beginnings once they were seen whole, and a beginning may come first. */
static void learn_keys(struct report *r, const json_t *document)
{
	char *text = json_dumps(document, JSON_COMPACT);

	if (text)
		free(anonymize(r->anonymizer, text));
	free(text);
}

static void learn(struct report *r, const json_t *document)
{
	const char *path = json_string_value(json_object_get(json_object_get(document, "config"), "path"));

	if (!r->anonymizer || !document)
		return;
	anonymizer_add_name(r->anonymizer, json_string_value(json_object_get(document, "name")));
	anonymizer_add_name(r->anonymizer, json_string_value(json_object_get(document, "self")));
	anonymizer_add_name(r->anonymizer, json_string_value(json_object_get(document, "net")));
	anonymizer_add_name(r->anonymizer,
			    json_string_value(json_object_get(json_object_get(document, "network"), "name")));
	add_names_of(r->anonymizer, json_object_get(document, "peers"));
	add_names_of(r->anonymizer, json_object_get(document, "coordinators"));
	add_names_of(r->anonymizer, json_object_get(document, "routes"));
	add_names_of_settings(r->anonymizer, json_object_get(document, "settings"));
	add_names_of_log(r->anonymizer, json_object_get(document, "lines"));
	if (path)
		add_names_of_path(r->anonymizer, path);
}

static void learn_host(struct report *r)
{
	struct utsname u;

	if (r->anonymizer && uname(&u) == 0)
		anonymizer_add_name(r->anonymizer, u.nodename);
	if (r->anonymizer && r->ctl->net)
		anonymizer_add_name(r->anonymizer, r->ctl->net);
}

/* ---------------------------------------------------------------- what goes in */

static const struct {
	const char *command, *schema, *file;
} documents[] = {
	{ "status", "warren.status", "status.json" },
	{ "peers", "warren.peers", "peers.json" },
	{ "paths", "warren.paths", "paths.json" },
	{ "netcheck", "warren.netcheck", "netcheck.json" },
	{ "routes", "warren.routes", "routes.json" },
	{ "metrics", "warren.metrics", NULL },
	{ "log", "warren.log", NULL },
	{ "config", "warren.config", "config.json" },
};
#define N_DOCUMENTS (sizeof(documents) / sizeof(documents[0]))

static void add_metrics(struct report *r, const json_t *document)
{
	const char *text = json_string_value(json_object_get(document, "text"));

	if (text)
		add(r, "metrics.txt", text);
}

static void add_log(struct report *r, const json_t *document)
{
	const json_t *line;
	char *text = NULL;
	size_t len, i;
	FILE *lines = open_memstream(&text, &len);

	if (!lines)
		return;
	json_array_foreach(json_object_get(document, "lines"), i, line)
		fprintf(lines, "%s\n", json_string_value(line) ? json_string_value(line) : "");
	if (fclose(lines) == 0)
		add(r, "log.txt", text);
	free(text);
}

/* The files as they are on disk, by now. They name keys by their files, and so hold no secret; but comments may name anybody, which
 * no stand-in can be found for. */
static void add_files(struct report *r, const char *path)
{
	char pattern[512], name[80];
	size_t len, n = 0;
	glob_t found;

	if (!path || r->anonymizer)
		return;
	snprintf(pattern, sizeof(pattern), "%s.d/*.conf", path);
	if (glob(pattern, 0, NULL, &found) != 0)
		found.gl_pathc = 0;
	for (size_t i = 0; i <= found.gl_pathc; i++) {
		char *text = program_file(i == 0 ? path : found.gl_pathv[i - 1], &len);

		snprintf(name, sizeof(name), "config-%zu.conf", n++);
		if (text)
			add(r, name, text);
		free(text);
	}
	if (found.gl_pathc)
		globfree(&found);
}

/* All are asked before the first is written: names stand in one that are hidden in another. */
static bool add_documents(struct report *r)
{
	json_t *answers[N_DOCUMENTS];
	bool has_any = false;

	for (size_t i = 0; i < N_DOCUMENTS; i++) {
		answers[i] = NULL;
		ctl_ask_take(r->ctl, json_pack("{s:s}", "cmd", documents[i].command), documents[i].schema,
			     CTL_NETCHECK_TIMEOUT_MS, &answers[i]);
		learn(r, answers[i]);
		has_any |= answers[i] != NULL;
		if (i == 0 && !has_any)
			break; /* no daemon: the same words six times more would help nobody */
	}
	for (size_t i = 0; i < N_DOCUMENTS && r->anonymizer; i++)
		learn_keys(r, answers[i]);
	for (size_t i = 0; i < N_DOCUMENTS && has_any; i++) {
		if (answers[i] && documents[i].file)
			add_document(r, documents[i].file, answers[i]);
		else if (answers[i] && strcmp(documents[i].command, "log") == 0)
			add_log(r, answers[i]);
		else if (answers[i])
			add_metrics(r, answers[i]);
	}
	add_files(r, json_string_value(json_object_get(json_object_get(answers[0], "config"), "path")));
	for (size_t i = 0; i < N_DOCUMENTS && has_any; i++)
		json_decref(answers[i]);
	return has_any;
}

static void add_host(struct report *r)
{
	static const struct {
		const char *file, *argv[7];
	} programs[] = {
		{ "ip-address.json", { "ip", "-j", "address", NULL } },
		{ "ip-route.json", { "ip", "-j", "route", "show", "table", "all" } },
		{ "ip-route6.json", { "ip", "-6", "-j", "route", "show", "table", "all" } },
		{ "ip-rule.json", { "ip", "-j", "rule", NULL } },
		{ "ip-rule6.json", { "ip", "-6", "-j", "rule", NULL } },
	};
	struct utsname u;
	char text[1024], *release;
	size_t len;

	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		const char *argv[8] = { NULL };
		char *said;

		memcpy(argv, programs[i].argv, sizeof(programs[i].argv));
		said = program_read(argv, &len);
		if (said)
			add(r, programs[i].file, said);
		free(said);
	}
	release = program_file("/etc/os-release", &len);
	if (uname(&u) == 0) {
		snprintf(text, sizeof(text), "warrenctl %s\n%s %s %s\n%.700s", WARREN_VERSION, u.sysname, u.release,
			 u.machine, release ? release : "");
		add(r, "system.txt", text);
	}
	free(release);
}

/* ---------------------------------------------------------------- the file */

/* gzip, which every Debian has, reads the archive and writes the file. */
static int compress_to(struct ctl *ctl, FILE *tar, const char *path)
{
	static const char *const gzip[] = { "gzip", "-9nc", NULL };
	int fd = strcmp(path, "-") == 0 ? STDOUT_FILENO :
					  open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int ret;

	if (fd < 0) {
		fprintf(ctl->err, "warrenctl: %s cannot be written: %s\n", path, strerror(errno));
		return EXIT_NO;
	}
	ret = fseek(tar, 0, SEEK_SET) == 0 && lseek(fileno(tar), 0, SEEK_SET) == 0 ?
		      program_filter(gzip, fileno(tar), fd) :
		      -1;
	if (fd != STDOUT_FILENO && close(fd) < 0)
		ret = -1;
	if (ret < 0) {
		fprintf(ctl->err, "warrenctl: %s cannot be written: gzip failed\n", path);
		return EXIT_NO;
	}
	return EXIT_YES;
}

int ctl_bugreport(struct ctl *ctl)
{
	struct report r = { .ctl = ctl, .now_s = (uint64_t)time(NULL) };
	const char *output = ctl_value(ctl, "output");
	time_t now = (time_t)r.now_s;
	char path[96];
	struct tm tm;
	json_t *doctor;
	int code;

	gmtime_r(&now, &tm);
	strftime(r.directory, sizeof(r.directory), "warren-report-%Y%m%d-%H%M%S", &tm);
	snprintf(path, sizeof(path), "%s.tar.gz", r.directory);
	if (output && strcmp(output, "-") == 0 && ctl->columns > 0) {
		fputs("warrenctl: a report is no text for a terminal\n", ctl->err);
		return EXIT_BAD_USAGE;
	}
	r.tar = tmpfile();
	r.anonymizer = ctl_value(ctl, "anonymize") ? anonymizer_new() : NULL;
	if (!r.tar || (ctl_value(ctl, "anonymize") && !r.anonymizer)) {
		fprintf(ctl->err, "warrenctl: no report: %s\n", strerror(errno));
		if (r.tar)
			fclose(r.tar);
		return EXIT_NO;
	}
	learn_host(&r);
	add_documents(&r);
	doctor = ctl_doctor_document(ctl);
	add_document(&r, "doctor.json", doctor);
	json_decref(doctor);
	add_host(&r);
	tar_end(r.tar);
	code = fflush(r.tar) == 0 ? compress_to(ctl, r.tar, output ? output : path) : EXIT_NO;
	if (code == EXIT_YES && !(output && strcmp(output, "-") == 0))
		fprintf(ctl->out, "%s\n", output ? output : path);
	fclose(r.tar);
	anonymizer_free(r.anonymizer);
	return code;
}
