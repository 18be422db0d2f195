/* daemon/control/recent.h - the daemon's lines, the same for both roles: the latest, and which are made
 *
 * {"cmd":"log","since":N} answers with what came since an answer whose "next" was N. Thread: loop. */
#ifndef DAEMON_CONTROL_RECENT_H
#define DAEMON_CONTROL_RECENT_H

#include "daemon/control/server.h"

control_handler_fn control_recent, control_log_level;
/* Until the next reload or restart. */
control_handler_fn control_set_log_level;

#endif
