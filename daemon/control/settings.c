#include "daemon/control/settings.h"

#include <string.h>

#include "daemon/base/log.h"

/* Some 200 bytes each, of the 16 MiB that an answer may have. */
#define SETTINGS_MAX 40000

/* Names of files need not be UTF-8. */
static json_t *text_json(const char *text)
{
	json_t *json = text ? json_string(text) : json_null();
	char shown[8192];

	if (json)
		return json;
	log_escape(shown, sizeof(shown), text, strlen(text));
	return json_string(shown);
}

/* As it may be written into a file, without quotes: a string, an array of them, or null. */
static json_t *value_json(const struct config_setting *s)
{
	json_t *list;

	if (!s->is_list || s->n == 0)
		return s->n == 0 ? json_null() : text_json(s->values[0]);
	list = json_array();
	for (unsigned i = 0; i < s->n; i++)
		json_array_append_new(list, text_json(s->values[i]));
	return list;
}

static json_t *setting_json(const struct config_setting *s)
{
	json_t *o = json_object();

	json_object_set_new(o, "section", json_string(s->section));
	json_object_set_new(o, "title", text_json(s->title));
	json_object_set_new(o, "key", json_string(s->key));
	json_object_set_new(o, "file", text_json(s->file));
	json_object_set_new(o, "line", s->file ? json_integer(s->line) : json_null());
	json_object_set_new(o, "apply", json_string(s->is_reloadable ? "reload" : "restart"));
	return o;
}

static void append_take(struct settings_list *l, json_t *item)
{
	if (json_array_size(l->items) < SETTINGS_MAX) {
		json_array_append_new(l->items, item);
		return;
	}
	json_decref(item);
	l->n_left_out++;
}

void settings_list_init(struct settings_list *l)
{
	*l = (struct settings_list){ .items = json_array() };
}

void settings_list_change(void *list, const struct config_setting *from, const struct config_setting *to)
{
	json_t *o = setting_json(to);

	json_object_set_new(o, "from", value_json(from));
	json_object_set_new(o, "to", value_json(to));
	append_take(list, o);
}

static void add_setting(void *list, const struct config_setting *s)
{
	json_t *o = setting_json(s);

	json_object_set_new(o, "value", value_json(s));
	append_take(list, o);
}

void control_config(struct control_request *req, const char *path, const struct config_owner *owner)
{
	struct settings_list list;

	if (!owner) {
		control_fail(req, EXIT_NO, "this daemon has no file");
		return;
	}
	settings_list_init(&list);
	owner->each(owner->arg, add_setting, &list);
	control_reply_take(req, json_pack("{s:s, s:o, s:o, s:I}", "schema", "warren.config/1", "path", text_json(path),
					  "settings", list.items, "left_out", (json_int_t)list.n_left_out));
}
