/* daemon/control/recent.h - the `log` command, the same for both roles: the daemon's latest lines
 *
 * Thread: loop. */
#ifndef DAEMON_CONTROL_RECENT_H
#define DAEMON_CONTROL_RECENT_H

#include "daemon/control/server.h"

control_handler_fn control_recent;

#endif
