#include "daemon/control/reload.h"

#include <string.h>

#include "daemon/control/settings.h"

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

void control_reload(struct control_request *req, const json_t *args, const struct config_owner *owner)
{
	struct settings_list changes;
	struct config_reload r = { .is_dry = json_is_true(json_object_get(args, "dry_run")),
				   .on_change = settings_list_change,
				   .change_arg = &changes };

	if (!owner) {
		control_fail(req, EXIT_NO, "this daemon cannot reload");
		return;
	}
	settings_list_init(&changes);
	owner->reload(owner->arg, &r);
	control_reply_take(req, json_pack("{s:s, s:b, s:b, s:s?, s:o, s:o, s:o, s:I}", "schema", "warren.reload/1",
					  "ok", r.ok, "dry_run", r.is_dry, "error", r.ok ? NULL : r.error, "applied",
					  names_of(r.applied), "restart", names_of(r.restart), "changes", changes.items,
					  "changes_left_out", (json_int_t)changes.n_left_out));
}
