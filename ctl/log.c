#include "ctl/ctl.h"

int ctl_log(struct ctl *ctl)
{
	const json_t *line;
	json_t *answer;
	size_t i;
	int code = ctl_ask_take(ctl, json_pack("{s:s}", "cmd", "log"), "warren.log", CTL_TIMEOUT_MS, &answer);

	if (code != EXIT_YES)
		return code;
	if (ctl->is_json)
		ctl_print_json(ctl, answer);
	else
		json_array_foreach(json_object_get(answer, "lines"), i, line)
			fprintf(ctl->out, "%s\n", json_string_value(line) ? json_string_value(line) : "");
	json_decref(answer);
	return EXIT_YES;
}
