/* daemon/control/request.h - one line from a client -> a command and its arguments
 *
 * Pure: no socket, no loop.  Thread: any. */
#ifndef DAEMON_CONTROL_REQUEST_H
#define DAEMON_CONTROL_REQUEST_H

#include <stdbool.h>

#include "daemon/control/server.h"

#define CONTROL_ERROR_BYTES 256

/* Returns EXIT_YES with *command and *args (a reference of the caller's, an object), or the code to answer with and one
 * sentence in `error`. `may_write`: whether the client may use commands marked CONTROL_WRITE. */
enum exit_code control_request_parse(const char *line, size_t len, const struct control_command *commands,
				     bool may_write, const struct control_command **command, json_t **args,
				     char error[static CONTROL_ERROR_BYTES]);

/* {"error":{"code":N,"message":"..."}}; NULL if memory is short. */
json_t *control_error_document(enum exit_code code, const char *message);

#endif
