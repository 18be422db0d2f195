#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"

/* The gateway is asked by up to three protocols before the daemon answers. */
#define EXPOSE_TIMEOUT_MS 15000
#define EXPOSE_SECONDS_MAX (366.0 * 86400)

static void print_table(const struct ctl *ctl, const json_t *answer)
{
	static const struct ctl_column columns[] = {
		{ "PROTOCOL", false }, { "PORT", false }, { "OUTSIDE", false }, { "BY", false }, { "UNTIL", false }
	};
	struct ctl_table *t = ctl_table_new(columns, sizeof(columns) / sizeof(columns[0]));
	char a[CTL_CELL_BYTES];
	const json_t *e;
	size_t i;

	json_array_foreach(json_object_get(answer, "exposed"), i, e) {
		ctl_table_row(t);
		ctl_table_cell(t, 0, "%s", ctl_text(json_object_get(e, "protocol"), a));
		ctl_table_cell(t, 0, "%s", ctl_text(json_object_get(e, "port"), a));
		ctl_table_cell(t, 0, "%s", ctl_text(json_object_get(e, "endpoint"), a));
		ctl_table_cell(t, 0, "%s", ctl_text(json_object_get(e, "by"), a));
		ctl_table_cell(t, 0, "%s", ctl_text(json_object_get(e, "until"), a));
	}
	ctl_table_print_take(t, ctl);
}

/* The request that the command line asks for; NULL with words on ctl->err. */
static json_t *request_of(struct ctl *ctl)
{
	const char *what = ctl->operands[0];
	bool is_list = strcmp(what, "list") == 0;
	double seconds;
	char *end;
	long port;

	if (!ctl_number(ctl, "seconds", 1, EXPOSE_SECONDS_MAX, 0, &seconds))
		return NULL;
	if (is_list && ctl->n_operands == 1 && !ctl_value(ctl, "seconds") && !ctl_value(ctl, "stop"))
		return json_pack("{s:s}", "cmd", "expose");
	if (is_list || (strcmp(what, "tcp") != 0 && strcmp(what, "udp") != 0) || ctl->n_operands != 2) {
		fputs("warrenctl: expose what? tcp PORT, udp PORT, or list\n", ctl->err);
		return NULL;
	}
	port = strtol(ctl->operands[1], &end, 10);
	if (*end || end == ctl->operands[1] || port < 1 || port > UINT16_MAX) {
		fprintf(ctl->err, "warrenctl: \"%s\" is no port from 1 to 65535\n", ctl->operands[1]);
		return NULL;
	}
	return json_pack("{s:s, s:s, s:i, s:f, s:b}", "cmd", "expose", "protocol", what, "port", (int)port, "seconds",
			 seconds, "stop", ctl_value(ctl, "stop") != NULL);
}

int ctl_expose(struct ctl *ctl)
{
	json_t *request = request_of(ctl), *answer;
	int code;

	if (!request)
		return EXIT_BAD_USAGE;
	code = ctl_ask_take(ctl, request, "warren.expose", EXPOSE_TIMEOUT_MS, &answer);
	if (code != EXIT_YES)
		return code;
	if (ctl->is_json)
		ctl_print_json(ctl, answer);
	else if (!ctl_value(ctl, "stop"))
		print_table(ctl, answer);
	json_decref(answer);
	return EXIT_YES;
}
