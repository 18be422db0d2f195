/* The configuration: what is in force, and whether a file would do. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/network.h"
#include "ctl/program.h"
#include "daemon/base/log.h"

/* ---------------------------------------------------------------- show: as a file that may be used */

/* Quoted, unless it is one plain word; what libconfuse would read as something else is written so that it does not. */
static void print_word(FILE *out, const char *text)
{
	char escaped[2];
	size_t plain = 0;

	while (isalnum((unsigned char)text[plain]))
		plain++;
	if (plain > 0 && text[plain] == '\0') {
		fputs(text, out);
		return;
	}
	fputc('"', out);
	for (; *text; text++) {
		char shown[8];

		if (strchr("\"\\$", *text))
			fputc('\\', out);
		escaped[0] = *text;
		log_escape(shown, sizeof(shown), escaped, 1); /* \xNN is the grammar's too */
		fputs(shown, out);
	}
	fputc('"', out);
}

static void print_value(FILE *out, const json_t *value)
{
	const json_t *item;
	size_t i;

	if (json_is_string(value)) {
		print_word(out, json_string_value(value));
		return;
	}
	json_array_foreach(value, i, item) {
		fputs(i == 0 ? "{ " : ", ", out);
		print_word(out, json_string_value(item) ? json_string_value(item) : "");
	}
	fputs(" }", out);
}

/* FILE:LINE, as the table of a dry run and comments have it. */
const char *ctl_origin(const json_t *setting, char out[static CTL_CELL_BYTES])
{
	char file[CTL_CELL_BYTES];

	if (json_is_string(json_object_get(setting, "file")))
		snprintf(out, CTL_CELL_BYTES, "%.140s:%d", ctl_text(json_object_get(setting, "file"), file),
			 (int)json_integer_value(json_object_get(setting, "line")));
	else
		snprintf(out, CTL_CELL_BYTES, "default");
	return out;
}

static bool is_same_block(const json_t *a, const json_t *b)
{
	return json_equal(json_object_get(a, "section"), json_object_get(b, "section")) &&
	       json_equal(json_object_get(a, "title"), json_object_get(b, "title"));
}

static void print_setting(const struct ctl *ctl, const json_t *setting, bool has_origin)
{
	const json_t *value = json_object_get(setting, "value");
	const char *key = json_string_value(json_object_get(setting, "key")), *indent = "";
	const char *section = json_string_value(json_object_get(setting, "section"));
	char origin[CTL_CELL_BYTES];

	if (section && section[0])
		indent = "\t";
	if (json_is_null(value)) {
		fprintf(ctl->out, "%s# %s is not set\n", indent, key ? key : "-");
		return;
	}
	fprintf(ctl->out, "%s%s = ", indent, key ? key : "-");
	print_value(ctl->out, value);
	if (has_origin)
		fprintf(ctl->out, "  # %s", ctl_origin(setting, origin));
	fputc('\n', ctl->out);
}

/* What is not set is left out, but with -w. */
static void print_settings(const struct ctl *ctl, const json_t *settings, bool has_origin)
{
	const json_t *setting, *block = NULL;
	bool is_open = false;
	size_t i;

	json_array_foreach(settings, i, setting) {
		const char *section = json_string_value(json_object_get(setting, "section"));
		const json_t *title = json_object_get(setting, "title");

		if (!section || (json_is_null(json_object_get(setting, "value")) && !ctl->is_wide))
			continue;
		if (!block || !is_same_block(block, setting)) {
			if (is_open)
				fputs("}\n", ctl->out);
			is_open = section[0] != '\0';
			if (is_open)
				fputs(section, ctl->out);
			if (json_is_string(title)) {
				fputc(' ', ctl->out);
				print_word(ctl->out, json_string_value(title));
			}
			if (is_open)
				fputs(" {\n", ctl->out);
			block = setting;
		}
		print_setting(ctl, setting, has_origin);
	}
	if (is_open)
		fputs("}\n", ctl->out);
}

static int show(struct ctl *ctl)
{
	json_int_t left_out;
	json_t *answer;
	int code;

	if (ctl->n_operands > 1)
		return ctl_usage(ctl, "show is of the daemon's configuration, and takes no file", "");
	code = ctl_ask_take(ctl, json_pack("{s:s}", "cmd", "config"), "warren.config", CTL_TIMEOUT_MS, &answer);
	if (code != EXIT_YES)
		return code;
	if (ctl->is_json)
		ctl_print_json(ctl, answer);
	else
		print_settings(ctl, json_object_get(answer, "settings"), ctl_value(ctl, "origin") != NULL);
	left_out = json_integer_value(json_object_get(answer, "left_out"));
	if (left_out > 0)
		fprintf(ctl->err, "warrenctl: %lld more are not shown\n", (long long)left_out);
	json_decref(answer);
	return EXIT_YES;
}

/* ---------------------------------------------------------------- check: what warrend says of a file */

/* The one named; else the network's; else the one that the daemon was started with. */
static int find_file(struct ctl *ctl, char *path, size_t size)
{
	json_t *answer;
	const char *found;
	int code;

	if (ctl->n_operands > 1) {
		snprintf(path, size, "%s", ctl->operands[1]);
		return EXIT_YES;
	}
	if (ctl->net) {
		snprintf(path, size, "%s/%s.conf", NETWORK_DIR, ctl->net);
		return EXIT_YES;
	}
	code = ctl_ask_take(ctl, json_pack("{s:s}", "cmd", "status"), "warren.status", CTL_TIMEOUT_MS, &answer);
	if (code != EXIT_YES)
		return code;
	found = json_string_value(json_object_get(json_object_get(answer, "config"), "path"));
	if (!found || found[0] != '/')
		code = ctl_usage(ctl, "the daemon does not say where its file is: which one shall be checked?", "");
	else
		snprintf(path, size, "%s", found);
	json_decref(answer);
	return code;
}

/* The daemon that was installed, or built, with this program. */
static bool find_warrend(char *path, size_t size)
{
	static const char *const places[] = { "warrend", "../sbin/warrend" };
	char own[4096];
	ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);

	if (n <= 0)
		return false;
	own[n] = '\0';
	*(strrchr(own, '/') + 1) = '\0';
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(path, size, "%s%s", own, places[i]);
		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

/* It may say several lines, as when a sanitizer or the loader complains; the first is the reason. */
static void print_verdict(const struct ctl *ctl, const char *path, int code, char *words)
{
	json_t *document;

	words[strcspn(words, "\n")] = '\0';
	if (ctl->is_json) {
		document = json_pack("{s:s, s:s, s:b, s:s?}", "schema", "warren.config_check/1", "path", path, "ok",
				     code == EXIT_YES, "error", code == EXIT_YES ? NULL : words);
		ctl_print_json(ctl, document);
		json_decref(document);
	}
	if (code != EXIT_YES)
		fprintf(ctl->err, "warrenctl: %s\n", words[0] ? words : "warrend did not say what is wrong");
	else if (!ctl->is_json)
		fprintf(ctl->out, "%s\n", words);
}

static int check(struct ctl *ctl)
{
	char path[4096], warrend[4096 + 16], *words;
	int code = find_file(ctl, path, sizeof(path));

	if (code != EXIT_YES)
		return code;
	if (!find_warrend(warrend, sizeof(warrend)))
		return ctl_fail(ctl, "warrend is not where it is installed beside warrenctl", "");
	code = program_ask((const char *const[]){ warrend, "--check", "-c", path, NULL }, &words);
	if (code < 0)
		return ctl_fail(ctl, "cannot be run: ", warrend);
	print_verdict(ctl, path, code, words);
	free(words);
	return code == EXIT_YES || code == EXIT_BAD_CONFIG ? code : EXIT_NO;
}

int ctl_config(struct ctl *ctl)
{
	return strcmp(ctl->operands[0], "show") == 0 ? show(ctl) : check(ctl);
}
