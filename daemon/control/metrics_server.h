/* daemon/control/metrics_server.h - /metrics over HTTP, on a Unix socket or the loopback
 *
 * GET and HEAD, one request a connection. At most 32 connections of 5 s each; the next one is closed at once. Over TCP the Host
 * of a request must be the loopback's own, so that no web page can have a browser read it.
 * Thread: loop. */
#ifndef DAEMON_CONTROL_METRICS_SERVER_H
#define DAEMON_CONTROL_METRICS_SERVER_H

#include <uv.h>

#include "daemon/base/metrics.h"
#include "daemon/config/config.h"

struct metrics_server;
/* The whole text, which the server frees; NULL if memory is short. */
typedef char *metrics_write_fn(void *arg, enum metrics_format format);

/* -EADDRINUSE: another daemon is there; -ENOTSOCK, -EACCES ... */
int metrics_server_open(struct metrics_server **out, uv_loop_t *loop, const struct config_metrics_listen *at,
			metrics_write_fn *fn, void *arg);
void metrics_server_close(struct metrics_server *s); /* NULL is fine; handles close on the loop's next turns */

#endif
