#include "daemon/control/reload.h"

#include <string.h>

/* "a, b" -> ["a", "b"] */
static json_t *names_of(const char *list)
{
	json_t *array = json_array();

	while (*list) {
		size_t len = strcspn(list, ",");

		json_array_append_new(array, json_stringn(list, len));
		list += len;
		list += strspn(list, ", ");
	}
	return array;
}

void control_reload(struct control_request *req, const json_t *args, config_reload_fn *fn, void *arg)
{
	struct config_reload r = { .is_dry = json_is_true(json_object_get(args, "dry_run")) };

	if (!fn) {
		control_fail(req, EXIT_NO, "this daemon cannot reload");
		return;
	}
	fn(arg, &r);
	control_reply_take(req, json_pack("{s:s, s:b, s:b, s:s?, s:o, s:o}", "schema", "warren.reload/1", "ok", r.ok,
					  "dry_run", r.is_dry, "error", r.ok ? NULL : r.error, "applied",
					  names_of(r.applied), "restart", names_of(r.restart)));
}
