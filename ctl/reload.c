#include <string.h>

#include "ctl/ctl.h"
#include "daemon/base/log.h"

static void print_keys(const struct ctl *ctl, const char *label, const json_t *keys)
{
	char a[CTL_CELL_BYTES];
	const json_t *key;
	size_t i;

	json_array_foreach(keys, i, key)
		fprintf(ctl->out, "%s%s", i == 0 ? label : ", ", ctl_text(key, a));
	if (json_array_size(keys) > 0)
		fputc('\n', ctl->out);
}

/* "listen.port", "endpoint of coordinator "c1"" */
static void name_of(const json_t *change, char out[static CTL_CELL_BYTES])
{
	const char *section = json_string_value(json_object_get(change, "section"));
	char key[CTL_CELL_BYTES], title[CTL_CELL_BYTES];

	ctl_text(json_object_get(change, "key"), key);
	if (json_is_string(json_object_get(change, "title")))
		snprintf(out, CTL_CELL_BYTES, "%.40s of %.20s \"%.70s\"", key, section ? section : "-",
			 ctl_text(json_object_get(change, "title"), title));
	else
		snprintf(out, CTL_CELL_BYTES, "%.40s%s%.40s", section ? section : "", section && section[0] ? "." : "",
			 key);
}

/* A list with commas; of a key its beginning, as everywhere, but with -w. */
static void value_of(const struct ctl *ctl, const json_t *change, const char *field, char out[static CTL_CELL_BYTES])
{
	const json_t *value = json_object_get(change, field), *item;
	const char *key = json_string_value(json_object_get(change, "key"));
	bool is_cut = key && strstr(key, "_key") && key[strlen(key) - 1] == 'y' && !ctl->is_wide && !ctl->is_plain;
	char cell[CTL_CELL_BYTES];
	size_t i, n = 0;

	if (!json_is_array(value)) {
		snprintf(out, CTL_CELL_BYTES, is_cut ? "%.8s" : "%s", ctl_text(value, cell));
		return;
	}
	out[0] = '\0';
	json_array_foreach(value, i, item)
		if (n < CTL_CELL_BYTES)
			n += (size_t)snprintf(out + n, CTL_CELL_BYTES - n, "%s%s", i > 0 ? ", " : "",
					      ctl_text(item, cell));
}

static void print_changes(const struct ctl *ctl, const json_t *answer)
{
	static const struct ctl_column columns[] = {
		{ "KEY", false }, { "FROM", false }, { "TO", false }, { "APPLIES", false }, { "WHERE", false },
	};
	const json_t *changes = json_object_get(answer, "changes"), *change;
	struct ctl_table *t;
	char a[CTL_CELL_BYTES];
	size_t i;

	if (json_array_size(changes) == 0)
		return;
	t = ctl_table_new(columns, sizeof(columns) / sizeof(columns[0]));
	json_array_foreach(changes, i, change) {
		ctl_table_row(t);
		name_of(change, a);
		ctl_table_cell(t, 0, "%s", a);
		value_of(ctl, change, "from", a);
		ctl_table_cell(t, 0, "%s", a);
		value_of(ctl, change, "to", a);
		ctl_table_cell(t, 0, "%s", a);
		ctl_table_cell(t, 0, "%s", ctl_text(json_object_get(change, "apply"), a));
		ctl_table_cell(t, 0, "%s", ctl_origin(change, a));
	}
	ctl_table_print_take(t, ctl);
	if (json_integer_value(json_object_get(answer, "changes_left_out")) > 0)
		fprintf(ctl->err, "warrenctl: %s more are not shown\n",
			ctl_text(json_object_get(answer, "changes_left_out"), a));
}

int ctl_reload(struct ctl *ctl)
{
	const char *error;
	char words[1024];
	json_t *answer;
	bool is_ok, is_dry = ctl_value(ctl, "dry-run") != NULL;
	int code = ctl_ask_take(ctl, json_pack("{s:s, s:b}", "cmd", "reload", "dry_run", is_dry), "warren.reload",
				CTL_TIMEOUT_MS, &answer);

	if (code != EXIT_YES)
		return code;
	is_ok = json_is_true(json_object_get(answer, "ok"));
	error = json_string_value(json_object_get(answer, "error"));
	if (ctl->is_json)
		ctl_print_json(ctl, answer);
	if (!is_ok) {
		log_escape(words, sizeof(words), error ? error : "no reason given", error ? strlen(error) : 15);
		fprintf(ctl->err, is_dry ? "warrenctl: %s\n" : "warrenctl: %s\nthe old settings stay in force\n",
			words);
	} else if (!ctl->is_json) {
		if (json_array_size(json_object_get(answer, "applied")) +
			    json_array_size(json_object_get(answer, "restart")) ==
		    0)
			fputs(is_dry ? "nothing would change\n" : "nothing changed\n", ctl->out);
		print_keys(ctl, is_dry ? "a reload would apply: " : "applied: ", json_object_get(answer, "applied"));
		print_keys(ctl, "changed, but needs a restart: ", json_object_get(answer, "restart"));
		if (is_dry)
			print_changes(ctl, answer);
	}
	json_decref(answer);
	return is_ok ? EXIT_YES : EXIT_BAD_CONFIG;
}
