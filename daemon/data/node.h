/* daemon/data/node.h - the peer role: joins registration, sessions, paths, workers and the control socket
 *
 * Thread: loop. The config stays the caller's and must outlive the node, until node_reload took a newer one. */
#ifndef DAEMON_DATA_NODE_H
#define DAEMON_DATA_NODE_H

#include <uv.h>

#include "daemon/base/metrics.h"
#include "daemon/config/config.h"

struct node;

/* Opens everything and starts. Negative errno, after having logged what failed and why. */
int node_start(struct node **out, uv_loop_t *loop, const struct config *config, const struct seckey *secret,
	       const struct psk *psk);
/* Whom the control socket asks about the file; it reads the file again and calls node_reload. It must outlive the node. */
void node_set_owner(struct node *n, const struct config_owner *owner);
/* Whether node_reload would take it: reads the files that it would read. 0, or as node_reload. */
int node_try_reload(struct node *n, const struct config *new_config, char *error, size_t n_error);
/* Applies what can be applied while running. After 0 the node uses new_config and the old one may be freed. */
int node_reload(struct node *n, const struct config *new_config, char *error, size_t n_error);
/* A reload that failed before node_reload, for `status`; "" once one succeeded. */
void node_set_reload_error(struct node *n, const char *error);
/* For the service manager: one line of how it is ("3 of 4 peers, 1 relayed"); and whether all threads that move packets
 * gave a sign of life since they were asked the last time. Asks anew. */
void node_summary(const struct node *n, char *out, size_t capacity);
bool node_is_alive(struct node *n);
/* Everything that can be counted, as Prometheus reads it; the caller frees it. NULL if memory is short. */
char *node_metrics(struct node *n, enum metrics_format format);
/* Says good-bye to its peers, stops the workers, removes the TUN device. Handles close on the loop's next turns. */
void node_stop(struct node *n);

#endif
