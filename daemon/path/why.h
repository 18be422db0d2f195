/* daemon/path/why.h - one cause and one remedy for the path a peer has
 *
 * Judged from what was recorded, never from what was hoped: each cause names the facts it needs.
 * Thread: loop. */
#ifndef DAEMON_PATH_WHY_H
#define DAEMON_PATH_WHY_H

#include "daemon/path/path_set.h"

enum why_cause {      /* names: UX "Fixed cause codes" */
	WHY_NONE = 0, /* direct: nothing to explain */
	WHY_UDP_BLOCKED,
	WHY_HARD_HARD_NAT,
	WHY_HARD_EASY_PENDING,
	WHY_NO_COMMON_FAMILY,
	WHY_NO_HAIRPIN,
	WHY_FIREWALL_DROP,
	WHY_PEER_OFFLINE,
	WHY_ENDPOINT_INSIDE_MESH_ROUTE,
	WHY_POLICY_RELAY_ONLY,
	WHY_MTU_BLACKHOLE,
	WHY_VERSION_MISMATCH,
	WHY_KEY_REFUSED,
	WHY_CLOCK_SKEW,
	WHY_NO_COMMON_CIPHER,
	WHY_PROBING,
	/* Other circumstances, and so other words, of causes above: */
	WHY_KEY_REFUSED_BY_COORDINATOR,
	WHY_VERSION_MISMATCH_OF_COORDINATOR,
	WHY_PEER_OFFLINE_OR_ELSEWHERE,
	WHY_COUNT,
};

struct why_facts {
	struct nat_facts here;
	bool has_there;
	struct nat_facts there;
	bool here_has_v4, here_has_v6, there_has_v4, there_has_v6; /* usable underlay addresses */
	bool is_same_nat;                                          /* both are seen at the same IPv4 address */
	bool is_idle;                                              /* nothing is being tried */
	bool is_offline;                                           /* a coordinator says so */
	bool handshake_unanswered;   /* initiations were sent for 5 s and more, none answered */
	bool is_certificate_refused; /* the peer's by us, or ours by the peer */
	bool no_common_cipher;       /* one side refused the other's handshake for that */
	bool is_other_version;       /* the peer's initiations are of another version of the protocol */
	bool is_stale;               /* its initiations are refused: an earlier one had a later time */
	bool is_clock_off;           /* ours is far from a coordinator's */
	bool no_coordinator;         /* we are registered nowhere: */
	bool is_key_refused;         /* one closes the connection during the handshake */
	bool is_version_refused;     /* one speaks another version of the protocol */
	bool is_cached;              /* where the peer is, is known from a life before this only */
	bool is_relay_only;          /* the configuration of one side wants it so */
	unsigned n_inside;     /* endpoints of the peer that are not used: the way to them leads into an overlay */
	uint32_t wanted_bytes; /* the longest datagram that traffic would make; 0: not told */
	const struct path_set *paths; /* NULL: none */
};

enum why_cause why_judge(const struct why_facts *f);
const char *why_name(enum why_cause c); /* "hard-hard-nat"; NULL for WHY_NONE */
const char *why_text(enum why_cause c); /* one clause: "both sides change ports, so neither can guess the other's" */
const char *why_fix(enum why_cause c);  /* one remedy; NULL where there is nothing to do */

#endif
