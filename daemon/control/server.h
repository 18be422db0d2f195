/* daemon/control/server.h - the control socket
 *
 * Answers requests of proto.h by a table of commands that the role hands over. A handler answers now or later, once,
 * with control_reply_take() or control_fail(). SO_PEERCRED decides: commands marked CONTROL_WRITE are for uid 0 and the
 * daemon's own uid; others for whoever the socket's mode (0660) lets in. At most 16 clients, 5 s idle, partial writes
 * never block the loop. SIGPIPE is set to be ignored, as libuv writes to clients that may be gone. A stale socket is
 * removed only after a connect to it was refused; the directory is made 0750 if it is missing.
 * Thread: loop. */
#ifndef DAEMON_CONTROL_SERVER_H
#define DAEMON_CONTROL_SERVER_H

#include <jansson.h>
#include <stdbool.h>
#include <uv.h>

#include "daemon/control/proto.h"

struct control_server;
struct control_request; /* freed by the answer; a client that hung up makes the answer a no-op */

typedef void control_handler_fn(void *arg, struct control_request *req, const json_t *args);

#define CONTROL_WRITE 1
struct control_command {
	const char *name; /* NULL ends the table */
	unsigned flags;
	control_handler_fn *handler;
};

/* -EADDRINUSE: another daemon answers there; -ENOTSOCK: something else is in the way; -ENAMETOOLONG, -EACCES ... */
int control_server_open(struct control_server **out, uv_loop_t *loop, const char *path,
			const struct control_command *commands, void *arg);
void control_server_close(struct control_server *s); /* removes the socket; open requests become no-ops */

void control_reply_take(struct control_request *req, json_t *document); /* consumes the reference */
void control_fail(struct control_request *req, enum exit_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
