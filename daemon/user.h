/* daemon/user.h - a daemon that root started by hand becomes an ordinary user before it opens anything
 *
 * Keys were read before. Directories that are missing are made for the user; those that are there must be the user's.
 * CAP_NET_ADMIN stays with a peer, for its addresses and routes, CAP_NET_BIND_SERVICE where a port below 1024 is listened on.
 * Thread: the only one. */
#ifndef DAEMON_USER_H
#define DAEMON_USER_H

#include "daemon/config/config.h"

/* `wanted` NULL: the user warren, if there is one. Nothing is done unless root runs us. EXIT_YES, or the code to end with
 * after having logged why. */
int user_become(const struct config *config, const char *wanted);

#endif
