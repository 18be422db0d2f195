/* daemon/control/settings.h - the configuration in documents: the `config` command, and the changes that `reload` tells of
 *
 * The same for both roles. Thread: loop. */
#ifndef DAEMON_CONTROL_SETTINGS_H
#define DAEMON_CONTROL_SETTINGS_H

#include "daemon/config/config_settings.h"
#include "daemon/control/server.h"

/* A list that is cut, so that an answer has room for it: a coordinator's file may have ten thousands of members. */
struct settings_list {
	json_t *items;
	unsigned n_left_out;
};
void settings_list_init(struct settings_list *l);
/* {"section","title","key","from","to","file","line","apply"}: adds what changed; a config_change_fn. */
void settings_list_change(void *list, const struct config_setting *from, const struct config_setting *to);

/* What is in force, whatever the file says by now. `owner` NULL: nobody holds it. */
void control_config(struct control_request *req, const char *path, const struct config_owner *owner);

#endif
