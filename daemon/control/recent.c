#include "daemon/control/recent.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/base/log.h"

void control_recent(void *arg, struct control_request *req, const json_t *args)
{
	char *text = malloc(LOG_RECENT_BYTES + 1);
	json_int_t from = json_integer_value(json_object_get(args, "since"));
	uint64_t since = from > 0 ? (uint64_t)from : 0;
	json_t *lines = json_array();
	bool has_missed;

	(void)arg;
	if (!text) {
		json_decref(lines);
		control_fail(req, EXIT_NO, "memory is short");
		return;
	}
	log_recent(text, &since, &has_missed);
	for (const char *p = text; *p;) {
		size_t len = strcspn(p, "\n");

		json_array_append_new(lines, json_stringn(p, len));
		p += len + (p[len] == '\n');
	}
	free(text);
	control_reply_take(req, json_pack("{s:s, s:o, s:I, s:b}", "schema", "warren.log/1", "lines", lines, "next",
					  (json_int_t)since, "missed", has_missed));
}

void control_log_level(void *arg, struct control_request *req, const json_t *args)
{
	(void)arg;
	(void)args;
	control_reply_take(
		req, json_pack("{s:s, s:s}", "schema", "warren.log_level/1", "level", log_level_name(log_get_level())));
}

void control_set_log_level(void *arg, struct control_request *req, const json_t *args)
{
	const char *text = json_string_value(json_object_get(args, "level"));
	enum log_level level;

	if (!text || log_level_from_text(text, &level) < 0) {
		control_fail(req, EXIT_BAD_USAGE, "which level? error, warn, info or debug");
		return;
	}
	log_set_level(level);
	log_info("log: level %s, as was asked for, until the next reload", text);
	control_log_level(arg, req, args);
}
