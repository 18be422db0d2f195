/* daemon/data/node_private.h - the node's insides, shared by node*.c
 *
 * One turn of the loop: callbacks (mail, streams, timer, control socket) change decisions and mark what changed; before the loop sleeps,
 * node_settle() sends what became possible, publishes one new table and arms the timer. So no callback needs to know what else
 * must happen, and a burst of events costs one publication.
 * Thread: loop. */
#ifndef DAEMON_DATA_NODE_PRIVATE_H
#define DAEMON_DATA_NODE_PRIVATE_H

#include <utlist.h>

#include "daemon/base/clock.h"
#include "daemon/base/gaps.h"
#include "daemon/base/looks.h"
#include "daemon/base/log.h"
#include "daemon/control/server.h"
#include "daemon/data/held.h"
#include "daemon/data/lane.h"
#include "daemon/data/link.h"
#include "daemon/data/node.h"
#include "daemon/data/outside.h"
#include "daemon/data/spares.h"
#include "daemon/data/state.h"
#include "daemon/data/table.h"
#include "daemon/data/tcp_paths.h"
#include "daemon/data/worker.h"
#include "daemon/net/gso.h"
#include "daemon/net/hook.h"
#include "daemon/net/ifaces.h"
#include "daemon/net/loop.h"
#include "daemon/net/offload.h"
#include "daemon/net/udp.h"
#include "daemon/net/uplinks.h"
#include "daemon/peer/lifetime.h"
#include "daemon/peer/peers.h"
#include "daemon/peer/responder.h"
#include "daemon/peer/routes.h"

/* A direct path over IPv6 and 1500 bytes carries it whole: 1500 less IPv6 40, UDP 8, data 32. */
#define NODE_MTU_DEFAULT 1420
/* A peer with no traffic for this long is left alone until its next packet. */
#define NODE_ASLEEP_AFTER_MS 2500
/* A path proven within this needs no company when an initiation is sent over it. */
#define NODE_FRESH_MS 3000
#define NODE_ASK_AGAIN_MS 2000 /* between introductions asked for one peer */
#define NODE_LOOKUP_MS 3000    /* an address nobody answered for in this time is unreachable */
#define NODE_ABSENT_MS 2000    /* an address that is nobody's is not asked for again in this time */
#define NODE_LOOKUPS_MAX 64
#define NODE_UNKNOWN_INITS 8 /* kept at a time, NODE_UNKNOWN_MS long, oldest out */
#define NODE_UNKNOWN_MS 1000
#define NODE_KEY_LOOKUPS_PER_S 5 /* for initiations of unknown keys */
/* Candidates are told again after this, doubled each time, until the peer told its own. */
#define NODE_TELL_AGAIN_MS 400
#define NODE_TELLINGS_MAX 5
#define NODE_LIST_MS 500 /* how long `peers` waits for the directory */
/* A page that did not come in this time was refused: the coordinator has limits. The listing is asked for again. */
#define NODE_PAGE_MS 2000
#define NODE_PINGS_MAX 64
#define NODE_LIFETIME_SAFE_S 23             /* of a mapping: keepalives at their pace of 15 to 18 s hold it */
#define NODE_SWEEP_MS 30000                 /* between looks for spare sockets that no path uses any more */
#define NODE_REVOCATIONS_FILE "revocations" /* in state_dir */
#define NODE_SPARE_ROUNDS 4                 /* batches read of one before others have their turn */

/* The longest message inside a session: a probe that fills the largest datagram (tun { mtu } is at most 9000). */
#define NODE_SESSION_MAX_BYTES 9216

struct lookup { /* an overlay address nobody is known for */
	struct ip ip;
	uint32_t token;
	uint64_t until_ms;
	unsigned waiting; /* bits of the links that have not answered */
	bool is_absent;   /* all said no */
	struct held *held;
	struct lookup *prev, *next;
};

struct ping { /* `warrenctl ping` */
	struct control_request *req;
	uint64_t peer;
	uint8_t id[WIRE_PROBE_ID_BYTES];
	struct path_addr via;
	uint64_t sent_us; /* 0: waits for a session */
	uint64_t until_ms;
	struct ping *prev, *next;
};

struct waiter { /* `warrenctl peers` and others that want the directory fresh */
	struct control_request *req;
	control_handler_fn *then; /* called with args, at the latest at until_ms */
	json_t *args;
	uint64_t until_ms;
	struct waiter *prev, *next;
};

struct unknown_init { /* an initiation that came before its sender was introduced */
	struct pubkey key;
	struct path_addr from;
	uint32_t member;
	size_t len; /* 0: free */
	uint64_t at_ms;
	uint8_t data[WIRE_INIT_MAX_BYTES];
};

struct directory_copy { /* of one link's member list */
	uint64_t version;
	bool is_fetching;
	uint64_t asked_ms; /* for the last page, */
	uint32_t from;     /* which begins here */
	uint64_t mark;     /* records seen in the listing under way carry it */
};

struct kept {            /* node_keep.c: state_dir as it is, and should be */
	bool is_started; /* the file of peers was read, and may be replaced */
	bool is_stale, is_state_unsaved, is_list_unsaved;
	uint64_t write_ms;   /* UINT64_MAX: nothing is to be written */
	uint64_t written_ms; /* the file of peers, last; 0: not yet */
	uint64_t
		confirm_ms; /* when coordinators are asked for who of the cached peers is still a member; UINT64_MAX: not */
	uint64_t
		alone_ms; /* when those we talked to are called, if no coordinator is there; UINT64_MAX: not any more */
	uint8_t hash[32]; /* of what was written */
	int error;        /* that keeps us from writing; 0: none */
};

struct node {
	/* fixed at start */
	uv_loop_t *loop;
	const struct config *config;
	struct dial_proxy proxy; /* a reload changes it */
	char name[WIRE_NAME_MAX_BYTES + 1], bind_interface[16],
		*state_dir; /* as started with, whatever a reload brings */
	struct identity identity;
	struct trust *trust; /* NULL: no network key */
	uint64_t boot_id;
	unsigned disabled; /* enum offload_disable */
	uint64_t started_ms, rekey_after_ms, reject_after_ms;
	unsigned lifetime_unit_ms;           /* as lifetime_new() */
	const struct config_owner *owner;    /* of the file; NULL: nobody */
	enum config_compression compression; /* a reload changes it, with identity.features */
	uint64_t loaded_ms;                  /* wall clock of the last load of the file */
	char reload_error[CONFIG_ERROR_BYTES];
	/* the data path */
	struct tun tun;
	bool is_tun_gone; /* deleted by somebody else */
	bool is_tun_down; /* set so, by us or by somebody else */
	bool is_tso_refusal_logged, is_uso_refusal_logged;
	unsigned mtu;
	struct gso gso;
	unsigned n_workers;
	struct udp udp[CONFIG_WORKERS_MAX];
	struct spares *spares;
	struct mailbox *boxes[CONFIG_WORKERS_MAX];
	struct worker *workers[CONFIG_WORKERS_MAX];
	struct counters counters[CONFIG_WORKERS_MAX + 1]; /* the last is the loop's */
	struct tables tables;
	struct lane lane; /* the loop's own */
	uint16_t port;
	struct tcp_paths *tcp;
	bool is_tcp_entered; /* the lane is, for the frames of one read */
	/* decisions */
	struct state state;
	struct kept kept;
	uint64_t wall_floor_ms; /* of the life before: no timestamp goes under it */
	struct indices *indices;
	struct responder *responder;
	struct peers peers;
	struct routes routes;    /* node_routes.c */
	uint64_t routes_version; /* of the peers, when those were looked for */
	uint64_t routes_due_ms;  /* when to ask, and look, again; UINT64_MAX: no need */
	uint64_t routes_retry_ms;
	unsigned n_links;
	struct link *links[CONFIG_COORDINATORS_MAX];
	struct directory_copy copies[CONFIG_COORDINATORS_MAX];
	struct ifaces ifaces;
	struct ways ways;
	struct uplinks uplinks;
	struct uplink_return {       /* is the kernel's choice of an uplink of use again? */
		uint64_t due_ms;     /* UINT64_MAX: nothing to do */
		uint64_t token;      /* of the question */
		uint16_t spare;      /* the socket it was sent from; 0: none is out */
		unsigned n_answered; /* in a row */
	} uplink_return;
	uint64_t out_mark; /* of the ways out and to the coordinators, at the last look */
	struct looks looks;
	struct gaps gaps;
	struct outside *outside; /* mapped and configured endpoints */
	struct candidates here;  /* what we last told others */
	struct exposed *exposed; /* node_expose.c's */
	unsigned n_exposed;
	struct hook *hook;               /* on_mapping_change; NULL: none */
	char *hook_program, *hook_heard; /* what it was told last, but for the time; NULL: nothing yet */
	uint64_t key_lookups_ms;
	unsigned n_key_lookups;
	struct unknown_init unknown[NODE_UNKNOWN_INITS];
	unsigned next_unknown;
	const struct unknown_init *receiving; /* the initiation being looked at */
	struct lookup *lookups;
	unsigned n_lookups;
	uint32_t last_token;
	struct ping *pings;
	unsigned n_pings;
	struct waiter *waiters;
	struct netcheck *netcheck;        /* node_netcheck.c's; NULL: none was asked for yet */
	struct node_discovery *discovery; /* node_discovery.c */
	struct node_lifetime *lifetime;   /* node_lifetime.c */
	struct punch punch;               /* one search at a time */
	uint64_t punch_peer;              /* its peer's number */
	uint64_t punch_token;             /* of the question where punch_socket is seen */
	uint16_t punch_socket;
	uint64_t sweep_ms;
	uint64_t report_ms;           /* when coordinators hear of paths that changed; UINT64_MAX: none did */
	struct node_metrics *metrics; /* node_metrics.c */
	struct node_capture *capture; /* node_capture.c; NULL: nothing is captured */
	/* marks of this turn */
	bool any_peer_changed, is_table_stale, are_candidates_stale;
	bool are_routes_stale; /* what is known of their peers' certificates, or of what is around them, may be other than it was */
	uint64_t due_ms;
	/* handles */
	struct loop_timer *timer;
	struct loop_watch *ways_watch;
	uv_prepare_t prepare;
	uv_async_t wake;
	struct control_server *control;
	unsigned n_open_handles;
};

static inline struct counters *node_counters(struct node *n)
{
	return &n->counters[CONFIG_WORKERS_MAX];
}

static inline void node_due(struct node *n, uint64_t at_ms)
{
	if (at_ms < n->due_ms)
		n->due_ms = at_ms;
}

/* node.c */
uint64_t node_wall_ms(struct node *n);
/* The way the loop itself sends: `datagram` has WIRE_RELAY_HEADER_BYTES of headroom. */
int node_send(struct node *n, const struct path_addr *to, uint32_t member, uint8_t *datagram, size_t len);
bool node_lane_enter(struct node *n);
void node_apply_addresses(struct node *n, const struct prefix *addrs, unsigned n_addrs);
void node_put_addresses(struct node *n); /* all that we have, on the interface */
bool node_is_overlay(const struct node *n, const struct ip *ip);

/* node_keep.c: what is kept in state_dir. Whatever could not be written is written when that is possible again. */
void node_keep_start(struct node *n);                   /* reads node.json, before all else */
void node_keep_recall(struct node *n, uint64_t now_ms); /* the cached peers, when coordinators have their numbers */
void node_keep_stop(struct node *n);
void node_save_state(struct node *n);                       /* at once */
void node_save_revocations(struct node *n);                 /* at once */
void node_keep_changed(struct node *n);                     /* a peer, or where it is */
void node_keep_registered(struct node *n, uint64_t now_ms); /* a coordinator is there */
void node_keep_tick(struct node *n, uint64_t now_ms);
uint64_t node_keep_next_ms(const struct node *n);

/* node_peers.c: peers in contact */
struct peer *node_put_peer(struct node *n, unsigned coordinator, const struct wire_member *record);
void node_remove_peer(struct node *n, struct peer *p);
int node_set_up_peer(struct node *n, struct peer *p); /* sessions, paths; 0 if they are there already */
void node_want_peer(struct node *n, struct peer *p);
void node_mark_peer(struct node *n, struct peer *p);
void node_tick_peer(struct node *n, struct peer *p, uint64_t now_ms);
void node_settle_peer(struct node *n, struct peer *p, uint64_t now_ms);
void node_say_close(struct node *n);
/* The way packets to a peer go now; {PATH_NONE} if there is none. */
struct path_addr node_path_of(const struct node *n, const struct peer *p);
bool node_is_in_contact(const struct peer *p, uint64_t now_ms);
int node_send_session(struct node *n, struct peer *p, const struct path_addr *to, const uint8_t *body, size_t len);
/* Tells the peer where we can be reached, over the path in use and a relay, again until it answers. */
void node_tell_peer(struct node *n, struct peer *p, uint64_t now_ms);
/* Once over the path in use and a relay. */
void node_send_candidates(struct node *n, struct peer *p, bool want_reply);
void node_take_candidates(struct node *n, struct peer *p, const struct candidates *c);
void node_apply_policy(struct node *n, struct peer *p); /* `path` of the peer's block, as it is now */
void node_unreachable(struct node *n, struct held *held);
static inline struct shared_peer *node_shared(const struct peer *p)
{
	return p->shared;
}

/* node_network.c: what changes around us */
int node_open_network(struct node *n);
void node_close_network(struct node *n);
void node_network_tick(struct node *n, uint64_t now_ms);
void node_look_anew(struct node *n, uint64_t now_ms); /* as if all ways were new */
void node_check_tun(
	struct node *n); /* whether the interface is there, and up; if it is up again, puts back what went */
void node_woke_up(struct node *n,
		  uint64_t now_ms); /* whenever the loop does: did it sleep for longer than it was to? */
/* The peer's candidates, as far as they may be used, into its path set. */
void node_place_candidates(struct node *n, struct peer *p, uint64_t now_ms);
/* Something of the peer's came from there: may it be a path? What its set knows was judged before. */
bool node_may_send_to(struct node *n, struct peer *p, const struct path_addr *to);
/* The name of the link, if the way to that address leads into the mesh or another overlay; else NULL. */
const char *node_inside_link(struct node *n, const struct ip *ip, char name[static IF_NAMESIZE]);

/* node_uplinks.c: through which of several uplinks */
/* The link to send there through; 0: the kernel's choice. */
uint32_t node_through(const struct node *n, const struct endpoint *to);
int node_udp_send(struct node *n, const struct udp *udp, const struct endpoint *to, const void *data, size_t len);
void node_uplinks_look(struct node *n); /* within a look */
void node_uplinks_came_by(void *arg, struct link *l, int ifindex);
bool node_uplinks_uses_socket(const struct node *n, uint16_t number);
void node_uplinks_doubt(struct node *n, uint64_t now_ms); /* a path does not answer */
void node_uplinks_on_bind(struct node *n, uint16_t socket, const struct wire_bind *reply);
void node_uplinks_tick(struct node *n, uint64_t now_ms);

/* node_relays.c: what coordinators do for a peer */
/* The relay a first packet takes; {PATH_NONE} if there is none. */
struct path_addr node_relay_of(const struct node *n, const struct peer *p);
bool node_can_relay(const struct node *n, const struct peer *p, unsigned coordinator, enum path_kind kind);
/* What node_can_relay() goes by is other than it was. */
void node_relays_changed(struct node *n, struct peer *p, uint64_t now_ms);
bool node_is_known_offline(const struct node *n, const struct peer *p);
/* Asks all coordinators, at most every NODE_ASK_AGAIN_MS. */
void node_ask_introduction(struct node *n, struct peer *p, uint64_t now_ms);
bool node_introduce_at(struct link *l,
		       const struct peer *p); /* asks one; false: it does not know the peer, or is away */

/* node_offload.c */
void node_offload_init(struct node *n);
void node_offload_refused(struct node *n); /* a worker says so */

/* node_punch.c: searches through NATs that change ports */
extern const struct punch_env node_punch_env;
enum punch_method node_punch_method(const struct node *n, const struct peer *p); /* what this pair calls for */
uint64_t node_punch_begin_ms(const struct node *n, const struct peer *p, uint64_t now_ms); /* when to consider one */
void node_punch_consider(struct node *n, struct peer *p, uint64_t now_ms);
void node_punch_on_message(struct node *n, struct peer *p, const struct wire_punch *m);
void node_punch_on_bind(struct node *n, uint16_t socket, const struct wire_bind *reply);
void node_punch_settled(struct node *n, const struct peer *p, uint64_t now_ms); /* its path may be another one */
void node_punch_gone(struct node *n, const struct peer *p);
void node_punch_changed(struct node *n, struct peer *p); /* our NAT or its: earlier failures say nothing any more */
/* Towards there, and no further than past our own NATs and `further` hops more; socket 0: from the node's port. */
void node_send_opener(struct node *n, uint16_t socket, const struct endpoint *to, unsigned further);
void node_punch_tick(struct node *n, uint64_t now_ms);
uint64_t node_punch_next_ms(const struct node *n);
spares_fn node_on_spare;
/* node_port.c. Says in the log what went wrong. */
int node_open_port(struct node *n);

/* node_tcp.c: TCP paths */
int node_open_tcp(struct node *n);
/* Something of p's authenticated, and came from there. */
void node_heard(struct node *n, const struct peer *p, const struct path_addr *from);
/* received_ms: when the path in use last carried data of p's. */
void node_tcp_tick_peer(struct node *n, struct peer *p, uint64_t received_ms, uint64_t now_ms);
void node_tcp_call(void *peer);
void node_tcp_drop(void *peer, const struct path_addr *addr);
void node_udp_blocked(struct node *n, struct peer *p, uint64_t now_ms); /* at one of the ends, as far as is known now */

/* node_trust.c: certificates and revocations; where there is no network key these do nothing */
int node_trust_start(struct node *n, const struct seckey *secret); /* after the state was read; says what went wrong */
/* The certificate of the new file, for node_trust_set_own once all of it applies (no addresses: none). */
int node_trust_reload(struct node *n, const struct config *new_config, struct cert *own,
		      char error[static CONFIG_ERROR_BYTES]);
void node_trust_set_own(struct node *n, const struct cert *own, uint64_t now_ms);
/* Those that a coordinator gives us and that may be ours. Returns how many. */
unsigned node_own_addresses(struct node *n, const struct link *l, const struct wire_registered *r,
			    struct prefix out[static WIRE_ADDRS_MAX]);
enum cert_verdict node_judge_certificate(struct node *n, struct peer *p, const struct wire_trust *shown);
void node_untrusted(struct node *n, struct peer *p, bool is_news);
/* The certificate that a coordinator handed on with a record: true if it is good, else counted. */
bool node_judge_record(struct node *n, unsigned coordinator, const struct wire_member *record, struct cert *out);
void node_check_record(struct node *n, unsigned coordinator, const struct wire_member *record,
		       const struct cert *own); /* counts what is refused */
void node_trust_tick_peer(struct node *n, struct peer *p,
			  uint64_t now_ms); /* ends sessions whose certificate is no good */
uint64_t node_trust_next_ms(const struct node *n, const struct peer *p, uint64_t now_ms);
void node_trust_settle_peer(struct peer *p);
void node_trust_tick(struct node *n, uint64_t now_ms);
uint64_t node_trust_due_ms(const struct node *n);
void node_revocations_met(struct node *n, struct peer *p, uint64_t now_ms); /* a new session */
void node_revocations_registered(struct node *n, struct link *l);
int node_revocations_from_peer(struct node *n, struct peer *p, const uint8_t *body, size_t len); /* -EBADMSG */
int node_revocations_from_link(struct node *n, const struct link *l, const uint8_t *data, size_t len);

/* node_routes.c: networks behind peers, and behind us */
int node_routes_start(struct node *n);                      /* -ENOMEM */
void node_routes_take(struct node *n, struct routes *next); /* those of another file; *next is emptied */
void node_routes_free(struct node *n);                      /* the kernel's go with the interface */
void node_routes_changed(struct node *n);                   /* are_routes_stale */
void node_routes_ask(struct node *n);                       /* for peers that are not known, at once */
void node_routes_look(struct node *n);                      /* the network changed: is the kernel's part still there? */
void node_routes_settle(struct node *n, uint64_t now_ms);   /* before each publication */
int node_routes_publish(const struct node *n, struct table *t); /* first; -ENOMEM */
void node_routes_publish_peer(const struct node *n, struct table *t, const struct peer *p,
			      const struct table_route *route);            /* each peer; NULL: it is not in the table */
struct peer *node_routes_peer(const struct node *n, const struct ip *dst); /* NULL: it is in no network behind a peer */
unsigned node_routes_behind(const struct node *n, const struct prefix **out); /* behind us, by certificate or file */
bool node_routes_is_behind(const struct node *n, const struct prefix *net);   /* one of those: is it forwarded for? */
void node_routes_tick(struct node *n, uint64_t now_ms);
uint64_t node_routes_next_ms(const struct node *n);

/* node_table.c */
void node_publish(struct node *n, uint64_t now_ms);

/* node_capture.c */
struct capture *node_capture_of(const struct node *n);
void node_capture_tick(struct node *n, uint64_t now_ms);
uint64_t node_capture_next_ms(const struct node *n, uint64_t now_ms);
void node_capture_end(struct node *n);

/* node_metrics.c */
int node_metrics_start(struct node *n);
void node_metrics_free(struct node *n);
void node_metrics_begin(struct peer *p); /* when it is set up */
/* What the peer has sent and received since the last time goes to the path it had; now it may have another. */
void node_metrics_settle(struct node *n, struct peer *p, uint64_t now_ms);
void node_metrics_gone(struct node *n, struct peer *p);
void node_metrics_punch(struct node *n, enum punch_method method, bool was_found);
void node_metrics_late(struct node *n, uint64_t late_ms); /* the loop's timer fired so late */

/* node_compression.c */
/* How packets are sent under a session, which may be NULL: not compressed unless both ends agreed. */
enum config_compression node_compression(const struct node *n, const struct session *s);
/* From now on; peers in contact agree anew where the offer changes. */
void node_set_compression(struct node *n, enum config_compression mode, uint64_t now_ms);
/* A session that is new: was it agreed upon before the offer changed, with more than we want now? Then it is replaced. */
void node_check_compression(struct node *n, struct peer *p, const struct session *s, uint64_t now_ms);

/* node_arrivals.c: handshakes, session messages, bind answers, mail */
extern const struct responder_env node_responder_env;
void node_mail(void *arg, struct mail *m);
void node_datagram(struct node *n, const struct path_addr *from, uint32_t member, uint8_t *data, size_t len);
/* An initiation of p's that came before we knew it. */
void node_take_unknown_init(struct node *n, struct peer *p);

/* node_discovery.c: what NAT we are behind */
int node_discovery_start(struct node *n);
void node_discovery_stop(struct node *n);
void node_discovery_reload(struct node *n);                           /* the STUN servers of the file */
void node_discovery_servers_changed(struct node *n, uint64_t now_ms); /* a coordinator came or went */
void node_discovery_binding_changed(struct node *n, struct link *l, uint64_t now_ms);
void node_discovery_network_changed(struct node *n, uint64_t now_ms);
void node_discovery_refresh(struct node *n, uint64_t now_ms); /* a path fell silent */
void node_discovery_survey(struct node *n, uint64_t now_ms);  /* somebody wants to know it now */
bool node_discovery_is_surveying(const struct node *n);
bool node_discovery_asks(const struct node *n, uint8_t ip_len);
uint64_t node_discovery_surveyed_ms(const struct node *n); /* when the last survey ended; 0: never */
void node_discovery_on_bind(struct node *n, const struct link *l, const struct path_addr *from,
			    const struct wire_bind *reply);
void node_discovery_on_stun(struct node *n, const struct path_addr *from, const uint8_t *data, size_t len);
void node_discovery_on_loop(struct node *n, const struct path_addr *from, const uint8_t *data, size_t len);
bool node_discovery_uses_socket(const struct node *n, uint16_t number);
const struct discovery_facts *node_discovery_facts(const struct node *n);
const struct discovery_server *node_discovery_coordinator(const struct node *n); /* NULL: none answers over IPv4 */
void node_discovery_tick(struct node *n, uint64_t now_ms);
uint64_t node_discovery_next_ms(const struct node *n);

/* node_lifetime.c: how long our NAT keeps an idle mapping, and keepalives */
int node_lifetime_start(struct node *n, unsigned unit_ms);
void node_lifetime_stop(struct node *n);
void node_lifetime_facts_changed(struct node *n, uint64_t now_ms); /* are we in another network? */
void node_lifetime_disturbed(struct node *n, uint64_t now_ms);     /* a test under way tells nothing */
void node_lifetime_doubted(struct node *n, uint64_t now_ms);       /* a mapping was forgotten all the same */
void node_lifetime_on_bind(struct node *n, const struct link *l, const struct path_addr *from,
			   const struct wire_bind *reply);
bool node_lifetime_uses_socket(const struct node *n, uint16_t number);
uint16_t node_lifetime_s(const struct node *n); /* as lifetime_s() */
bool node_lifetime_is_measuring(const struct node *n);
bool node_lifetime_is_done(const struct node *n);
void node_lifetime_tick(struct node *n, uint64_t now_ms);
uint64_t node_lifetime_next_ms(const struct node *n);
void node_set_keepalive(struct node *n, struct peer *p); /* by both ends' lifetimes */
void node_set_keepalives(struct node *n, uint64_t now_ms);

/* node_lookup.c: inner packets without a route */
void node_packet(struct node *n, const uint8_t *packet, size_t len);
void node_lookup_answered(struct node *n, struct link *l, const struct wire_found *found);
void node_lookup_tick(struct node *n, uint64_t now_ms);
uint64_t node_lookup_next_ms(const struct node *n);
void node_lookup_free(struct node *n);
void node_tell_unreachable(void *n, const uint8_t *packet, size_t len); /* a held_fn */
void node_ask_key(struct node *n, const struct pubkey *key);
void node_ask_name(struct node *n, const char name[static WIRE_NAME_MAX_BYTES + 1]);
void node_ask_key_at(struct node *n, struct link *l, const struct pubkey *key); /* one coordinator, without a limit */

/* node_links.c: what coordinators tell */
extern const struct link_env node_link_env;
void node_add_candidate(struct candidates *c, enum candidate_kind kind, const struct endpoint *endpoint); /* once */
void node_candidates_changed(struct node *n, uint64_t now_ms); /* tells everyone, if they did change */
int node_fetch_directory(struct node *n);                      /* how many links were asked */

/* node_report.c: which kinds of paths are used */
void node_report_path(struct node *n, struct peer *p, uint64_t now_ms);      /* another is, to this peer */
void node_report_all(struct node *n, const struct link *l, uint64_t now_ms); /* a coordinator knows of none */
void node_report_tick(struct node *n, uint64_t now_ms);

/* node_outside.c: endpoints by mapping and configuration */
int node_open_outside(struct node *n, const struct seckey *secret, uint64_t now_ms);
void node_add_outside(struct node *n, struct candidates *c);
void node_add_outside_tcp(struct node *n, struct candidates *c);
/* The gateway says that its own outer address is behind another one. */
bool node_is_behind_two_nats(const struct node *n);
/* An IPv4 endpoint that others saw us at is no more. */
bool node_was_moved(const struct candidates *before, const struct candidates *after);

/* node_expose.c: ports of others */
void node_expose_tick(struct node *n, uint64_t now_ms);
uint64_t node_expose_next_ms(const struct node *n);
void node_expose_network_changed(struct node *n);
void node_expose_free(struct node *n);
control_handler_fn node_cmd_expose;

/* node_hook.c: on_mapping_change */
void node_set_hook(struct node *n, const char *program); /* NULL: none */
void node_tell_hook(struct node *n);                     /* if there is something new */

/* node_control.c, node_pings.c: the control socket */
extern const struct control_command node_commands[];
void node_ping_tick(struct node *n, uint64_t now_ms);
void node_ping_peer_ready(struct node *n, struct peer *p, uint64_t now_ms);
void node_ping_free(struct node *n);
bool node_ping_answered(struct node *n, struct peer *p, const struct wire_probe *reply);
uint64_t node_ping_next_ms(const struct node *n);
void node_waiters_tick(struct node *n, uint64_t now_ms, bool is_fresh);
uint64_t node_waiters_next_ms(const struct node *n);
void node_control_free(struct node *n);
control_handler_fn node_cmd_ping;

/* node_netcheck.c: what the network lets through. Answers when all is measured; at each turn's end, and when it is due. */
void node_netcheck_tick(struct node *n, uint64_t now_ms);
uint64_t node_netcheck_next_ms(const struct node *n);
void node_netcheck_free(struct node *n);

#endif
