/* daemon/path/path_set.h - which way to reach one peer
 *
 * Probes every candidate of a peer, remembers what answered, names the best path. Opens no socket, reads no clock, arms no
 * timer: a test can live an hour of it in a millisecond. One set per peer; it lives as long as the peer is in contact.
 * Thread: loop only.  Time: now_ms is monotonic.  After: RFC 8445, one component, no roles.
 *
 * Rounds. path_set_start begins a round: every candidate and relay is probed at 0, 100, 250, 500 and 1000 ms (paced
 * PATH_PACE_MS apart), then again at 5 s and 8 s, and after that with back-off 30 s .. 5 min while no direct path is found
 * and the peer is in contact. What has not answered after 3 s failed. No endpoint gets more than 5 of these probes in 5 s,
 * nor more than 5 of those that something which arrived causes.
 * A probe from an endpoint that is not known adds it as peer-reflexive and is checked at once; any probe from a candidate
 * that is not yet proven triggers a check of it.
 * Openers. A Linux router that drops nothing meant for itself takes the peer's first probe, if that comes before ours, for a flow of
 * its own, and gives our next one to there another outside port. path_set_open, called when the peer is about to learn of us,
 * sends something ahead that passes our NATs and never reaches the peer's: at most once in PATH_OPEN_MS for each endpoint.
 * TCP. Candidates of kinds CANDIDATE_TCP_* are paths of their own, PATH_TCP; the owner connects when the first probe is sent to
 * one. They are probed PATH_TCP_LATER_MS after the round began, where UDP is known to be blocked at once, and then once a
 * second, 5 times in all; unless a UDP path is proven by then. The owner says when a connection was made and when it
 * ended. While a TCP path is in use a round goes over UDP every PATH_TCP_ROUND_MS.
 * Proof. A path is used when PATH_PROOFS (2) probes were answered over it (the second is sent as soon as the first is
 * answered); TCP, relays and the path a handshake was answered over need one. An answer counts only for the path and the
 * id it was sent with, within PATH_PROBE_LIFE_MS.
 * Trust. A path in use is proven by answers and by authenticated data that arrived over it (path_set_on_data). While the peer
 * is being sent to and nothing came for PATH_SILENCE_MS, it is probed; with 2 probes unanswered it is unsure
 * (path_set_extra names a second path to send copies on), with PATH_DEAD_PROBES it is given up: the best other proven
 * path is used, a new round starts, and env.silent is called so that the owner refreshes its own reflexive endpoint.
 * A path that was silent for longer than a keepalive takes is unsure from the first of these probes on. With no other path
 * the one given up stays in use, and all are probed once a second while data is being sent.
 * Idle direct paths are kept open by a probe every PATH_KEEPALIVE_MS, or as path_set_set_keepalive says, TCP every
 * PATH_TCP_KEEPALIVE_MS, while the peer is in contact. A TCP path is believed as long as its connection lasts.
 * MTU. Once set with path_set_set_max_datagram, the size of datagrams the path in use carries is searched, checked and
 * searched again while data is being sent (path_mtu.h); the result is in struct path. Over TCP it is what a frame holds.
 * Measuring. While data is being sent, probes count what the peer received of it: the loss of the path in use (path_loss.c). A
 * lossy one is compared with the next best, and left when that is clean and, being a relay, has room for the traffic; it is
 * measured on and taken up again when it is clean, PATH_LOSSY_MS later at the earliest.
 * Choice. lan, then direct IPv6 ~ direct IPv4, then direct TCP, then relay by UDP, then relay by TCP; inside a class the lower
 * RTT, with hysteresis: better by 10 % and 3 ms. */
#ifndef DAEMON_PATH_PATH_SET_H
#define DAEMON_PATH_PATH_SET_H

#include "daemon/path/path.h"
#include "daemon/wire/session.h"

#define PATH_CANDIDATES_MAX 24                 /* 16 told, the rest peer-reflexive */
#define PATH_SET_MAX (PATH_CANDIDATES_MAX + 8) /* and relays; PATH_MAX is limits.h's */
#define PATH_PACE_MS 5
#define PATH_PROOFS 2
#define PATH_PROBE_LIFE_MS 5000
#define PATH_OUTSTANDING_MAX 64
#define PATH_OPEN_MS 5000
#define PATH_SILENCE_MS 400
#define PATH_LOSSY_MS 10000
/* At the latest so long after the last datagram, rounded down to a common instant: 15 to 18 s. Under the 20 s some NATs keep a
 * UDP binding, over the 15 s that RFC 8085 section 3.5 names as the floor. */
#define PATH_KEEPALIVE_MS 18000
/* Under what cheap routers keep a TCP connection for, 60 s. */
#define PATH_TCP_KEEPALIVE_MS 50000
/* What UDP needs where it works, over the longest way; a connection made in vain is made at the peer as well. */
#define PATH_TCP_LATER_MS 1000
#define PATH_TCP_ROUND_MS 60000

struct path_set;

struct path_set_env {
	/* A clock finer than now_ms, for RTT; any origin. NULL: now_ms is all there is. */
	uint64_t (*now_us)(void *arg);
	/* Hands one probe, or the answer to one, to the network. A probe's body is padded to probe->size bytes; of an answer size
	 * is only told. Borrows; must not call back into the set. */
	void (*send)(void *arg, const struct path_addr *to, const struct wire_probe *probe);
	/* Send something towards there that passes our own NATs and dies soon after. May be NULL. Must not call back into the set. */
	void (*open)(void *arg, const struct path_addr *to);
	/* A probe of the path in use went unanswered: perhaps our own mapping is gone. May be NULL. Must not call back into the set. */
	void (*unsure)(void *arg);
	/* The path in use was given up for silence. May be NULL. Must not call back into the set. */
	void (*silent)(void *arg);
	/* Tell the peer, over a relay, that TCP is tried now (path_set_tcp_called): we begin half a round trip later. May be NULL. Must
	 * not call back into the set. */
	void (*tcp_call)(void *arg);
	/* Nothing was answered over this PATH_TCP: its connection, or the one being made, is of no use. May be NULL. Must not call back
	 * into the set. */
	void (*tcp_drop)(void *arg, const struct path_addr *addr);
};

/* What the owner knows of the traffic; instants, 0: never. */
struct path_activity {
	uint64_t last_sent_ms;       /* data to the peer, any path */
	uint64_t path_received_ms;   /* authenticated data over the path in use */
	bool in_contact;             /* keep idle mappings open */
	uint64_t n_sent, sent_bytes; /* inner packets to the peer since it is known, any path */
	uint64_t relay_bit_s;        /* what the relays take of us; 0: not limited */
};

/* Makes an empty set; `arg` goes to env's functions and must outlive it. NULL if memory is short. */
struct path_set *path_set_new(const struct path_set_env *env, void *arg);
void path_set_free(struct path_set *set); /* NULL is fine */

/* Adds a copy of a candidate. 0, -EEXIST if known (its kind is updated), -ENOSPC past PATH_CANDIDATES_MAX (a failed
 * peer-reflexive one gives way first). During a round it is probed at once, if it is none for TCP. */
int path_set_add(struct path_set *set, const struct candidate *c, bool is_lan, uint64_t now_ms);
/* Forgets told candidates (not peer-reflexive, not proven ones) that are not among `c`, adds the others. */
void path_set_replace(struct path_set *set, const struct candidates *c, bool (*is_lan)(void *arg, const struct ip *ip),
		      uint64_t now_ms);
/* Nothing is to be sent to that address any more, be a path there in use. */
void path_set_forget(struct path_set *set, const struct ip *ip, uint64_t now_ms);
/* UDP does not get through at one of the two ends, or does after all. */
void path_set_udp_blocked(struct path_set *set, bool is_blocked, uint64_t now_ms);
/* The connection of a PATH_TCP is made: what was sent to it last leaves now. */
void path_set_tcp_opened(struct path_set *set, const struct path_addr *addr, uint64_t now_ms);
/* It ended, or could not be made: the path is not believed any more. */
void path_set_tcp_closed(struct path_set *set, const struct path_addr *addr, uint64_t now_ms);
/* The peer connects to us at this moment: so do we to it, for the NATs of both to let the other's in. */
void path_set_tcp_called(struct path_set *set, uint64_t now_ms);
/* A relay can now be used, or no more. kind is PATH_RELAY_UDP or PATH_RELAY_TCP. */
void path_set_relay(struct path_set *set, enum path_kind kind, uint8_t coordinator, bool is_usable, uint64_t now_ms);

enum path_policy {
	PATH_POLICY_AUTO,
	PATH_POLICY_DIRECT, /* never a relay */
	PATH_POLICY_RELAY,  /* never anything else: nothing direct is sent to or answered */
};
/* Which paths may be used; AUTO at first. */
void path_set_set_policy(struct path_set *set, enum path_policy policy, uint64_t now_ms);

/* The peer will probe us in a moment: our NATs shall have heard of its endpoints before. */
void path_set_open(struct path_set *set, uint64_t now_ms);
/* Starts a round from its beginning: the session is up, or something changed. */
void path_set_start(struct path_set *set, uint64_t now_ms);
/* No session any more: nothing is probed, no path is trusted; what was learned of candidates stays. */
void path_set_stop(struct path_set *set, uint64_t now_ms);
/* Our own network changed: no path is trusted until it answers anew (the one in use stays while it is checked); a round
 * starts. */
void path_set_network_changed(struct path_set *set, uint64_t now_ms);

/* An authenticated probe or answer, and the way it came. on_probe answers through env.send; on_reply returns false for what answers
 * no probe of ours, came too late, or not from where the probe went: it changed nothing. */
void path_set_on_probe(struct path_set *set, const struct path_addr *from, const struct wire_probe *probe,
		       uint64_t now_ms);
bool path_set_on_reply(struct path_set *set, const struct path_addr *from, const struct wire_probe *probe,
		       uint64_t now_ms);
/* Authenticated data came over `from`, which is not the path in use: perhaps the peer moved. At most a check. */
void path_set_on_data(struct path_set *set, const struct path_addr *from, uint64_t now_ms);
/* A handshake was answered over `addr`. */
void path_set_on_handshake(struct path_set *set, const struct path_addr *addr, uint32_t rtt_us, uint64_t now_ms);

/* How long both ends' NATs keep an idle mapping, less a margin; 0: neither has one to keep. */
void path_set_set_keepalive(struct path_set *set, uint64_t keepalive_ms);
/* The largest datagram, before the relay header, that will ever be sent; up to it MTUs are searched. 0, as at first: they are not. */
void path_set_set_max_datagram(struct path_set *set, uint32_t bytes, uint64_t now_ms);
/* The socket refused a datagram of so many bytes, before the relay header, for its size. Cheap when said again. */
void path_set_on_too_big(struct path_set *set, const struct path_addr *addr, uint32_t datagram_bytes, uint64_t now_ms);
/* Data over the path in use seems lost: is it the size? */
void path_set_suspect_mtu(struct path_set *set, uint64_t now_ms);

/* Does what is due; the caller comes back at path_set_next_ms() (UINT64_MAX: nothing due), which is earlier or later after
 * each call into the set. Activity is seen here only: the caller also comes when the peer gets in or out of contact, and when
 * the first data leaves after 2 s or more without. */
void path_set_tick(struct path_set *set, const struct path_activity *activity, uint64_t now_ms);
uint64_t path_set_next_ms(const struct path_set *set);

/* Best path, NULL when none is proven. Owned by the set, valid until it next changes. */
const struct path *path_set_best(const struct path_set *set);
/* While the best is unsure: a second one to send copies on; else NULL. */
const struct path *path_set_extra(const struct path_set *set);
/* The endpoint the peer says it saw us at in its last answer over a direct path; ip.len 0: never. */
const struct endpoint *path_set_observed(const struct path_set *set);

/* Is there hope in a path from that spare socket? */
bool path_set_uses_socket(const struct path_set *set, uint16_t socket);

/* For `paths` and `why`: every path tried, in order of class. */
unsigned path_set_count(const struct path_set *set);
const struct path *path_set_at(const struct path_set *set, unsigned i);
uint64_t path_set_last_round_ms(const struct path_set *set); /* 0: none yet */
uint64_t path_set_next_round_ms(const struct path_set *set); /* UINT64_MAX: none planned */
bool path_set_is_probing(const struct path_set *set);        /* the first 3 s of a round */

#endif
