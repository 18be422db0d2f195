/* daemon/data/node_control.h - what the files that answer the control socket share
 *
 * Thread: loop. */
#ifndef DAEMON_DATA_NODE_CONTROL_H
#define DAEMON_DATA_NODE_CONTROL_H

#include <jansson.h>

#include "daemon/data/node_private.h"
#include "daemon/path/why.h"

/* The peer that args' "peer" names; else the request is failed with words, and NULL. */
struct peer *node_peer_of(struct node *n, struct control_request *req, const json_t *args);
/* {"kind","via","transport","local","remote","since"} of a way to a peer, or null. */
json_t *node_json_path(struct node *n, const struct peer *p, const struct path_addr *addr);
/* RFC 3339 of a clock_now_ms() instant, null for 0. */
json_t *node_json_time(uint64_t at_ms);
/* Microseconds as milliseconds, null for 0. */
json_t *node_json_ms(uint32_t us);
json_t *node_json_loss(const struct path *path); /* null: not measured */

/* node_status.c: where we are seen, newest first, of an address length; or null. And a coordinator as we see it. */
json_t *node_json_reflexive(const struct node *n, uint8_t ip_len);
json_t *node_json_link(const struct node *n, const struct link *l);

/* How a peer is reached now, in the words of the metric warren_peers. */
enum path_class {
	PATH_CLASS_LAN,
	PATH_CLASS_DIRECT4,
	PATH_CLASS_DIRECT6,
	PATH_CLASS_RELAY,
	PATH_CLASS_TCP,
	PATH_CLASS_NONE, /* no session */
	PATH_CLASS_COUNT
};
enum path_class node_path_class(const struct peer *p, uint64_t now_ms);
void node_count_peers(const struct node *n, unsigned by_class[static PATH_CLASS_COUNT]);

/* node_compression.c */
const char *node_compression_name(const struct node *n); /* the mode: "off", "auto", "on" */
json_t *node_json_compression(const struct node *n, const struct peer *p, uint64_t now_ms);

/* node_outside.c: {"enabled","ipv4","ipv6"} of port mapping; {"endpoint","by"} of the node's own port, or null */
json_t *node_json_portmap(const struct node *n);
json_t *node_json_mapped(const struct node *n);
/* node_expose.c: [{"protocol","port","endpoint","by","until"}] */
json_t *node_json_exposed(const struct node *n);
/* node_hook.c: {"program","runs","last_run","error"} of on_mapping_change, or null */
json_t *node_json_hook(const struct node *n);

/* node_routes_json.c: what is said of networks that are not used though the file names them; of a peer: the networks that packets to it
 * may be for, and the groups of its certificate (null: it has shown none in this life) */
void node_routes_notices(const struct node *n, json_t *notices);
json_t *node_json_routes(const struct node *n, const struct peer *p);
json_t *node_json_groups(const struct peer *p);

/* node_trust.c: {"network_key","name","not_before","not_after","revocations"}, or null; adds to what is complained of */
json_t *node_json_trust(struct node *n, json_t *notices);

control_handler_fn node_cmd_metrics; /* node_metrics.c */
control_handler_fn node_cmd_capture; /* node_capture.c */
/* node_status.c, node_netcheck.c, node_why.c */
control_handler_fn node_cmd_routes; /* node_routes_json.c */
control_handler_fn node_cmd_status, node_cmd_netcheck, node_cmd_paths, node_cmd_why;
/* The names of behaviours; null where they are not known. */
json_t *node_json_mapping(const struct nat_facts *nat);
json_t *node_json_filtering(const struct nat_facts *nat);
/* node_offload.c: adds "offload", what is on, and "offload_off", why the rest is not. */
void node_offload_json(const struct node *n, json_t *doc);
enum why_cause node_judge(struct node *n, const struct peer *p);
bool node_is_refused(const struct peer *p,
		     enum why_cause cause); /* by one side, for good reasons: there can be no session */

#endif
