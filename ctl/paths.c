#include <string.h>

#include "ctl/ctl.h"

static const struct ctl_column columns[] = {
	{ "PEER", false },     { "", false },    { "KIND", false },    { "LOCAL", false }, { "REMOTE", false },
	{ "STATE", false },    { "RTT", false }, { "MTU", false },     { "NOTE", false },  { "CANDIDATE", true },
	{ "TRANSPORT", true }, { "SENT", true }, { "ANSWERED", true },
};

struct ctl_table *ctl_paths_table(bool has_peer)
{
	return ctl_table_new(columns + !has_peer, sizeof(columns) / sizeof(columns[0]) - !has_peer);
}

static bool is_state(const json_t *path, const char *state)
{
	const char *text = json_string_value(json_object_get(path, "state"));

	return text && strcmp(text, state) == 0;
}

/* "in use 41m" */
static void add_state(struct ctl_table *t, const json_t *path, const json_t *now)
{
	char state[CTL_CELL_BYTES], since[CTL_CELL_BYTES];
	double age;

	ctl_text(json_object_get(path, "state"), state);
	if (is_state(path, "in use") && ctl_age(json_object_get(path, "since"), now, &age))
		ctl_table_cell(t, 32, "%s %s", state, ctl_duration(age, since));
	else
		ctl_table_cell(t, is_state(path, "failed") ? 31 : 0, "%s", state);
}

static void add_note(struct ctl_table *t, const json_t *path)
{
	const json_t *sent = json_object_get(path, "sent"), *answered = json_object_get(path, "answered");
	char a[CTL_CELL_BYTES];

	if (json_is_string(json_object_get(path, "note")))
		ctl_table_cell(t, 0, "%s", ctl_text(json_object_get(path, "note"), a));
	else if (is_state(path, "failed") && json_is_integer(sent) && json_is_integer(answered))
		ctl_table_cell(t, 0, "%lld probes, %lld answers", (long long)json_integer_value(sent),
			       (long long)json_integer_value(answered));
	else
		ctl_table_cell(t, 0, "-");
}

/* A relay has no endpoints of its own: it is named by its coordinator. */
static void add_end(struct ctl_table *t, const json_t *path, const char *end)
{
	const json_t *via = json_object_get(path, "via");
	char a[CTL_CELL_BYTES], b[CTL_CELL_BYTES];

	if (json_is_string(via) && !json_is_string(json_object_get(path, end)))
		ctl_table_cell(t, 0, "%s/%s", ctl_text(via, a), ctl_text(json_object_get(path, "transport"), b));
	else
		ctl_table_cell(t, 0, "%s", ctl_text(json_object_get(path, end), a));
}

void ctl_paths_rows(struct ctl_table *t, const char *peer, const json_t *paths, const json_t *now)
{
	char a[CTL_CELL_BYTES];
	const json_t *path;
	size_t i;

	json_array_foreach(paths, i, path) {
		ctl_table_row(t);
		if (peer)
			ctl_table_cell(t, 0, "%s", peer);
		ctl_table_cell(t, 32, "%s", is_state(path, "in use") ? "*" : "");
		ctl_table_cell(t, 0, "%s", ctl_text(json_object_get(path, "kind"), a));
		add_end(t, path, "local");
		add_end(t, path, "remote");
		add_state(t, path, now);
		ctl_table_cell(t, 0, "%s", ctl_rtt(json_object_get(path, "rtt_ms"), a));
		ctl_table_cell(t, 0, "%s", ctl_text(json_object_get(path, "mtu"), a));
		add_note(t, path);
		ctl_table_cell(t, 0, "%s", ctl_text(json_object_get(path, "candidate"), a));
		ctl_table_cell(t, 0, "%s", ctl_text(json_object_get(path, "transport"), a));
		ctl_table_cell(t, 0, "%s", ctl_text(json_object_get(path, "sent"), a));
		ctl_table_cell(t, 0, "%s", ctl_text(json_object_get(path, "answered"), a));
	}
}

int ctl_paths(struct ctl *ctl)
{
	const char *name = ctl->n_operands > 0 ? ctl->operands[0] : NULL;
	json_t *request =
		name ? json_pack("{s:s,s:s}", "cmd", "paths", "peer", name) : json_pack("{s:s}", "cmd", "paths");
	char peer[CTL_CELL_BYTES];
	struct ctl_table *t;
	const json_t *entry;
	json_t *answer;
	size_t i;
	int code = ctl_ask_take(ctl, request, "warren.paths", CTL_TIMEOUT_MS, &answer);

	if (code != EXIT_YES)
		return code;
	if (ctl->is_json) {
		ctl_print_json(ctl, answer);
	} else {
		t = ctl_paths_table(!name || ctl->is_plain);
		json_array_foreach(json_object_get(answer, "peers"), i, entry) {
			ctl_text(json_object_get(entry, "peer"), peer);
			ctl_paths_rows(t, !name || ctl->is_plain ? peer : NULL, json_object_get(entry, "paths"),
				       json_object_get(answer, "time"));
		}
		ctl_table_print_take(t, ctl);
	}
	json_decref(answer);
	return EXIT_YES;
}
