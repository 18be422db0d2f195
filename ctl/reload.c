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
	}
	json_decref(answer);
	return is_ok ? EXIT_YES : EXIT_BAD_CONFIG;
}
