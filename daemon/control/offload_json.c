#include "daemon/control/offload_json.h"

#include <string.h>

void offload_json_add(json_t *on, json_t *off, const char *name, bool is_on, bool is_disabled, int error,
		      const char *why)
{
	json_object_set_new(on, name, json_boolean(is_on));
	if (is_on)
		return;
	if (error)
		offload_json_refused(off, name, error);
	else
		json_object_set_new(off, name, json_string(is_disabled ? "turned off" : why));
}

void offload_json_refused(json_t *off, const char *name, int error)
{
	json_object_set_new(off, name, json_sprintf("refused by the kernel: %s", strerror(error)));
}
