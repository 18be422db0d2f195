/* daemon/coordinator/role.h - the coordinator role: registers members, introduces them, relays for them
 *
 * Joins store, directory, control connections, UDP ports and the control socket. The config stays the caller's and must
 * outlive the coordinator, until coordinator_reload took a newer one.  Thread: loop. */
#ifndef DAEMON_COORDINATOR_ROLE_H
#define DAEMON_COORDINATOR_ROLE_H

#include <uv.h>

#include "daemon/base/listen_fds.h"
#include "daemon/base/metrics.h"
#include "daemon/config/config.h"

struct coordinator;

/* Opens everything and starts. Takes what of `handed`, which may be NULL, it can listen with. Negative errno, after having logged
 * what failed and why. */
int coordinator_start(struct coordinator **out, uv_loop_t *loop, const struct config *config,
		      const struct seckey *secret, struct listen_fds *handed);

/* Whom the control socket asks about the file; it reads the file again and calls coordinator_reload. It must outlive the
 * coordinator. */
void coordinator_set_owner(struct coordinator *c, const struct config_owner *owner);
/* Applies what can be applied while running. After 0 the coordinator uses new_config and the old one may be freed. */
int coordinator_reload(struct coordinator *c, const struct config *new_config, char *error, size_t capacity);
/* A reload that failed before coordinator_reload, for `status`; "" once one succeeded. */
void coordinator_set_reload_error(struct coordinator *c, const char *error);

/* As node_summary(), node_is_alive() and node_metrics(). */
void coordinator_summary(const struct coordinator *c, char *out, size_t capacity);
bool coordinator_is_alive(struct coordinator *c);
char *coordinator_metrics(const struct coordinator *c, enum metrics_format format);

/* Ends all connections; handles close on the loop's next turns. NULL is fine. */
void coordinator_stop(struct coordinator *c);

#endif
