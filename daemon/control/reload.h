/* daemon/control/reload.h - the `reload` command, the same for both roles
 *
 * {"cmd":"reload","dry_run":true} only compares. Thread: loop. */
#ifndef DAEMON_CONTROL_RELOAD_H
#define DAEMON_CONTROL_RELOAD_H

#include "daemon/config/config.h"
#include "daemon/control/server.h"

/* `owner` NULL: this daemon cannot reload. */
void control_reload(struct control_request *req, const json_t *args, const struct config_owner *owner);

#endif
