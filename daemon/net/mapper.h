/* daemon/net/mapper.h - asks this network's gateways for ports
 *
 * Joins the decisions of path/portmap.h, one instance an address family, to the network: finds the gateway (the next router on the way out,
 * if it is one of a local network: nobody is asked through a tunnel, ours or another's), holds the socket that it is asked from, hears
 * its announcements, runs UPnP. Has a timer of its own, for it outlives its owner by the moment that taking the mappings away needs.
 * Thread: loop. */
#ifndef DAEMON_NET_MAPPER_H
#define DAEMON_NET_MAPPER_H

#include <uv.h>

#include "daemon/path/portmap.h"

/* How long mapper_close() waits for UPnP; PCP and NAT-PMP need no answer. */
#define MAPPER_CLOSE_MS 2000

struct mapper;
/* An outside endpoint or a gateway's outer address changed. Must not close the mapper. */
typedef void mapper_changed_fn(void *arg);

/* `address` and `bind_interface`: what the ports are bound to, as in udp.h, copied; `seed` as in portmap_new(). Asks nobody before mapper_network_changed(). */
int mapper_open(struct mapper **out, uv_loop_t *loop, const struct ip *address, const char *bind_interface,
		const uint8_t seed[static PORTMAP_SEED_BYTES], mapper_changed_fn *fn, void *arg);
/* Takes all mappings away, and frees itself on a later turn of the loop. NULL is fine. */
void mapper_close(struct mapper *m);

/* Looks for the gateways anew. */
void mapper_network_changed(struct mapper *m);
/* portmap.h's, of both families; -EEXIST, -ENOSPC. */
int mapper_add(struct mapper *m, uint8_t protocol, uint16_t port);
void mapper_remove(struct mapper *m, uint8_t protocol, uint16_t port);
void mapper_hint(struct mapper *m);

const struct portmap *mapper_portmap(const struct mapper *m, uint8_t ip_len); /* 4 or 16 */
/* Why nobody of that family is asked; NULL: somebody is. Static words. */
const char *mapper_why_not(const struct mapper *m, uint8_t ip_len);

#endif
