/* daemon/data/link.h - this node's tie to one coordinator
 *
 * Joins the decisions of peer/registrar.h and peer/binding.h to the network: gets a connection (dial.h), carries frames, and holds
 * the keys of the UDP side while registered.
 * Thread: loop. */
#ifndef DAEMON_DATA_LINK_H
#define DAEMON_DATA_LINK_H

#include <uv.h>

#include "daemon/config/config.h"
#include "daemon/data/dial.h"
#include "daemon/path/path.h"
#include "daemon/peer/binding.h"
#include "daemon/peer/discovery.h"
#include "daemon/peer/indices.h"
#include "daemon/peer/registrar.h"
#include "daemon/relay/link.h"

struct link;

struct link_env {
	void (*registered)(void *arg, struct link *l, const struct wire_registered *r);
	void (*lost)(void *arg, struct link *l);
	void (*message)(void *arg, struct link *l, int type, const uint8_t *data, size_t len);
	void (*changed)(void *arg, struct link *l); /* its binding: our endpoint, bound */
	void (*due)(void *arg, uint64_t at_ms);     /* link_tick wants to be called then */
	int (*send_udp)(void *arg, const struct endpoint *to, const uint8_t *data, size_t len);
	void (*came_by)(void *arg, struct link *l,
			int ifindex); /* the uplink it was answered through; 0: the kernel's choice */
};

/* Borrows all but `config`; `proxy` may change, and link_proxy_changed be told. */
struct link *link_new(const struct link_env *env, void *arg, uv_loop_t *loop, unsigned number,
		      const struct config_coordinator *config, const struct dial_proxy *proxy,
		      const struct identity *identity, const char *own_name, const char *bind_interface,
		      const struct uplinks *uplinks, uint16_t tcp_port, uint64_t boot_id, struct indices *indices,
		      uint64_t now_ms);
void link_free(struct link *l);

void link_tick(struct link *l, uint64_t now_ms);
uint64_t link_next_ms(const struct link *l);
void link_register_anew(struct link *l, uint64_t now_ms); /* registrar_again */
/* Our addresses or routes changed: a connection whose local address is no longer the one to use is made anew. */
void link_network_changed(struct link *l, uint64_t now_ms);
/* What goes through the proxy does so anew, and who is waiting tries at once. */
void link_proxy_changed(struct link *l, uint64_t now_ms);
/* Opens a bind datagram for this link's index, in place. 0 or why it is to be dropped. */
int link_open_bind(struct link *l, const struct wire_sealed *h, uint8_t *data, size_t len, struct wire_bind *out);
/* One that came to the node's port, and where it came from. False: it answers nothing that the binding asked. */
bool link_on_bind(struct link *l, const struct endpoint *from, const struct wire_bind *reply, uint64_t now_ms);
/* The datagram of a request. 0, or -ENOTCONN before the first registration. */
int link_seal_bind(struct link *l, uint8_t out[static RELAY_BIND_DATAGRAM_BYTES], const struct wire_bind *request);
/* Adds the UDP ports that answer bind requests to the n of `v`, the relay's first; none unless registered. Returns the new n. */
unsigned link_servers(const struct link *l, struct discovery_server *v, unsigned n, unsigned max);
/* A path fell silent: is our reflexive endpoint still what it was? */
void link_refresh(struct link *l, uint64_t now_ms);
/* And there is another uplink: is the coordinator still there? */
void link_doubt(struct link *l, uint64_t now_ms);
void link_set_keepalive(struct link *l, uint64_t keepalive_ms, uint64_t now_ms); /* binding_set_keepalive */

int link_send(struct link *l, const uint8_t *message, size_t len);
/* A datagram for a member over the control connection; dropped when that is slow. */
int link_send_relayed(struct link *l, uint32_t member, const uint8_t *datagram, size_t len);

unsigned link_number(const struct link *l);
const struct config_coordinator *link_config(const struct link *l);
bool link_is_registered(const struct link *l);
/* Does this coordinator relay for us now: over the control connection while registered, over UDP while the binding is proven? The latter
 * outlives the connection: the coordinator may not even have noticed that it broke. */
bool link_can_relay(const struct link *l, enum path_kind kind);
/* Where connections that leave from our TCP port are seen: as the one to this coordinator is, if it does; or if it is seen
 * with the port that it left from. */
bool link_tcp_reflexive(const struct link *l, struct endpoint *out);
bool link_is_proxied(const struct link *l); /* registered, through the proxy */
/* What came of the proxy when it was needed last, one clause; "" if nothing was wrong, or it was not. */
const char *link_proxy_error(const struct link *l);
/* The UDP side; NULL before the first registration. */
struct relay_link *link_udp(const struct link *l);
/* The far end of its TCP connection, the coordinator or the proxy; NULL: there is none. */
const struct endpoint *link_connection(const struct link *l);
/* Of the coordinator's relay port; ip none: through a proxy, and its name does not resolve here. */
const struct endpoint *link_udp_endpoint(const struct link *l);
/* The coordinator's address as far as it is known here, IPv4's first where it is not connected. False: it is not. */
bool link_address(const struct link *l, struct ip *out);
const struct registrar *link_registrar(const struct link *l);
const struct binding *link_binding(const struct link *l);
const struct wire_registered *link_registration(const struct link *l); /* the last one */

#endif
