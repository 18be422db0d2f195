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
		if (!endpoint)
			continue;
		snprintf(host, sizeof(host), "%.*s", (int)strcspn(endpoint, ":"), endpoint);
		anonymizer_add_name(a, host);
	}
}

static void learn(struct report *r, const json_t *document)
{
	if (!r->anonymizer || !document)
		return;
	anonymizer_add_name(r->anonymizer, json_string_value(json_object_get(document, "name")));
	anonymizer_add_name(r->anonymizer, json_string_value(json_object_get(document, "self")));
	anonymizer_add_name(r->anonymizer, json_string_value(json_object_get(document, "net")));
	anonymizer_add_name(r->anonymizer,
			    json_string_value(json_object_get(json_object_get(document, "network"), "name")));
	add_names_of(r->anonymizer, json_object_get(document, "peers"));
	add_names_of(r->anonymizer, json_object_get(document, "coordinators"));
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
	{ "status", "warren.status", "status.json" }, { "peers", "warren.peers", "peers.json" },
	{ "paths", "warren.paths", "paths.json" },    { "netcheck", "warren.netcheck", "netcheck.json" },
	{ "metrics", "warren.metrics", NULL },        { "log", "warren.log", NULL },
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
			break; /* no daemon: the same words five times more would help nobody */
	}
	for (size_t i = 0; i < N_DOCUMENTS && has_any; i++) {
		if (answers[i] && documents[i].file)
			add_document(r, documents[i].file, answers[i]);
		else if (answers[i] && strcmp(documents[i].command, "log") == 0)
			add_log(r, answers[i]);
		else if (answers[i])
			add_metrics(r, answers[i]);
	}
	/* The configuration names keys by their files, so it holds no secret. */
	if (answers[0]) {
		const char *path = json_string_value(json_object_get(json_object_get(answers[0], "config"), "path"));
		char pattern[512], name[80];
		size_t len, n = 0;
		glob_t found;

		snprintf(pattern, sizeof(pattern), "%s.d/*.conf", path ? path : "");
		if (glob(pattern, 0, NULL, &found) != 0)
			found.gl_pathc = 0;
		for (size_t i = 0; path && i <= found.gl_pathc; i++) {
			char *text = program_file(i == 0 ? path : found.gl_pathv[i - 1], &len);

			snprintf(name, sizeof(name), "config-%zu.conf", n++);
			if (text)
				add(r, name, text);
			free(text);
		}
		if (found.gl_pathc)
			globfree(&found);
	}
	for (size_t i = 0; i < N_DOCUMENTS && has_any; i++)
		json_decref(answers[i]);
	return has_any;
}

static void add_host(struct report *r)
{
	static const struct {
		const char *file, *argv[6];
	} programs[] = {
		{ "ip-address.json", { "ip", "-j", "address", NULL } },
		{ "ip-route.json", { "ip", "-j", "route", "show", "table", "all" } },
		{ "ip-route6.json", { "ip", "-6", "-j", "route", NULL } },
		{ "ip-rule.json", { "ip", "-j", "rule", NULL } },
	};
	struct utsname u;
	char text[1024], *release;
	size_t len;

	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		const char *argv[7] = { NULL };
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
