/* daemon/data/outside.h - where this node is reached by the doing of its gateway and its administrator
 *
 * Port mappings (net/mapper.h), the gateway's outer address, and the endpoints that the configuration names, whose names are resolved at
 * the start, on each change of the network, and every OUTSIDE_RESOLVE_MS: a home's name follows its address.
 * Thread: loop. */
#ifndef DAEMON_DATA_OUTSIDE_H
#define DAEMON_DATA_OUTSIDE_H

#include <uv.h>

#include "daemon/config/config.h"
#include "daemon/net/mapper.h"
#include "daemon/wire/candidates.h"

#define OUTSIDE_RESOLVE_MS 300000

struct outside;
/* What outside_candidates() says has changed. May be called from within the functions here; must not call any but to read. */
typedef void outside_changed_fn(void *arg);

/* `udp_port` and `tcp_port` are the node's, tcp_port 0: it has none; `config` is read, not kept; `seed` as in portmap_new(). */
int outside_open(struct outside **out, uv_loop_t *loop, const struct config *config, const char *bind_interface,
		 uint16_t udp_port, uint16_t tcp_port, const uint8_t seed[static PORTMAP_SEED_BYTES],
		 outside_changed_fn *fn, void *arg, uint64_t now_ms);
void outside_close(struct outside *o); /* takes mappings away, for which the loop runs on a moment; NULL is fine */
void outside_reload(struct outside *o, const struct config *config, uint64_t now_ms);

void outside_network_changed(struct outside *o, uint64_t now_ms);
/* Others see us at another endpoint than before: perhaps the gateway is not what it was. */
void outside_hint(struct outside *o);
void outside_tick(struct outside *o, uint64_t now_ms);
uint64_t outside_next_ms(const struct outside *o);

/* CONFIGURED, MAPPED and GATEWAY, best first; at most max. */
unsigned outside_candidates(const struct outside *o, struct candidate *out, unsigned max);
/* TCP_CONFIGURED and TCP_MAPPED, likewise. */
unsigned outside_tcp_candidates(const struct outside *o, struct candidate *out, unsigned max);
/* The gateway maps the node's UDP port to an endpoint that is not in turn behind another NAT. */
bool outside_is_mapped(const struct outside *o);
struct mapper *outside_mapper(const struct outside *o); /* NULL: switched off */

#endif
