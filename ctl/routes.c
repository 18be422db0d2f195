#include <string.h>

#include "ctl/ctl.h"

static int state_color(const char *state)
{
	if (strcmp(state, "in use") == 0 || strcmp(state, "own") == 0)
		return 32; /* green */
	return strcmp(state, "not accepted") == 0 ? 2 /* dim */ : 33;
}

/* "overlaps with bob" */
static void add_state(struct ctl_table *t, const json_t *route)
{
	const json_t *with = json_object_get(route, "with");
	char state[CTL_CELL_BYTES], other[CTL_CELL_BYTES];

	ctl_text(json_object_get(route, "state"), state);
	if (json_is_string(with))
		ctl_table_cell(t, state_color(state), "%s with %s", state, ctl_text(with, other));
	else
		ctl_table_cell(t, state_color(state), "%s", state);
}

static void add_row(struct ctl_table *t, const json_t *route, const json_t *now)
{
	char a[CTL_CELL_BYTES];
	double age;

	ctl_table_row(t);
	ctl_table_cell(t, 0, "%s", ctl_text(json_object_get(route, "prefix"), a));
	ctl_table_cell(t, 0, "%s", ctl_text(json_object_get(route, "peer"), a));
	add_state(t, route);
	ctl_table_cell(t, 0, "%s", ctl_age(json_object_get(route, "since"), now, &age) ? ctl_duration(age, a) : "-");
	ctl_table_cell(t, 31, "%s", ctl_text(json_object_get(route, "error"), a));
}

int ctl_routes(struct ctl *ctl)
{
	static const struct ctl_column columns[] = {
		{ "PREFIX", false }, { "PEER", false }, { "STATE", false }, { "SINCE", false }, { "ERROR", false },
	};
	struct ctl_table *t;
	const json_t *route;
	json_t *answer;
	size_t i;
	int code = ctl_ask_take(ctl, json_pack("{s:s}", "cmd", "routes"), "warren.routes", CTL_TIMEOUT_MS, &answer);

	if (code != EXIT_YES)
		return code;
	if (ctl->is_json) {
		ctl_print_json(ctl, answer);
	} else {
		t = ctl_table_new(columns, sizeof(columns) / sizeof(columns[0]));
		json_array_foreach(json_object_get(answer, "routes"), i, route)
			add_row(t, route, json_object_get(answer, "time"));
		ctl_table_print_take(t, ctl);
	}
	json_decref(answer);
	return EXIT_YES;
}
