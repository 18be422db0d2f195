#include "daemon/control/recent.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/base/log.h"

void control_recent(void *arg, struct control_request *req, const json_t *args)
{
	char *text = malloc(LOG_RECENT_BYTES + 1);
	json_t *lines = json_array();

	(void)arg;
	(void)args;
	if (!text) {
		json_decref(lines);
		control_fail(req, EXIT_NO, "memory is short");
		return;
	}
	log_recent(text);
	for (const char *p = text; *p;) {
		size_t len = strcspn(p, "\n");

		json_array_append_new(lines, json_stringn(p, len));
		p += len + (p[len] == '\n');
	}
	free(text);
	control_reply_take(req, json_pack("{s:s, s:o}", "schema", "warren.log/1", "lines", lines));
}
