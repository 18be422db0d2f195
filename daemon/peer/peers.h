/* daemon/peer/peers.h - the peers a node knows of
 *
 * A table by number, key, name, overlay address, and member id at each coordinator. A key is a peer: a record with a known key updates
 * it; one whose address or name another key held takes it over, for the coordinator is the authority on both. Not so under a network
 * key: what a certificate says of name and addresses stands, and is nobody else's but by a later certificate. There a peer of which no
 * certificate was seen is one to shake hands with and no more: it is not listed, counted or found by words, for it may be a
 * coordinator's invention.
 * Thread: loop. */
#ifndef DAEMON_PEER_PEERS_H
#define DAEMON_PEER_PEERS_H

#include "daemon/base/hash.h"
#include "daemon/config/config.h"
#include "daemon/path/path_set.h"
#include "daemon/path/punch.h"
#include "daemon/peer/sessions.h"
#include "daemon/wire/control.h"

/* Most peers a node keeps; a coordinator cannot make it use memory without bound. */
#define PEERS_MAX 16384

/* What a certificate that the peer showed, and that was found good, says of it. */
struct credential {
	bool is_good;  /* and there are sessions by it; else name and addresses are the coordinators' to say */
	bool was_good; /* the rest is of the last that was, in this life */
	struct cert_serial serial;
	uint64_t not_before_s, not_after_s;
	struct grant *grant; /* owned; NULL: no groups and no routes */
};

struct grant {
	unsigned n_groups;
	char groups[CERT_GROUPS_MAX][CERT_GROUP_MAX_BYTES + 1];
	unsigned n_routes;
	struct prefix routes[CERT_ROUTES_MAX];
};

/* That the network key has signed a certificate for the peer: seen, and good then, in this life or the one before. Who has it is
 * listed; a session takes a credential. */
struct attested {
	bool is_so;
	uint64_t since_s; /* its not_before: of two with one name or address the later one has it; 0: not in force, or
			   * of a life before */
};

struct peer {
	/* fixed at creation */
	uint64_t number; /* never reused: what leaves the loop carries it in place of a pointer */
	struct pubkey key;
	/* as the coordinators say, or its certificate once it has shown one */
	char name[WIRE_NAME_MAX_BYTES + 1];
	unsigned n_addrs;
	struct ip addrs[WIRE_ADDRS_MAX];
	uint32_t member[CONFIG_COORDINATORS_MAX]; /* its id at each; 0: not known there */
	bool is_online[CONFIG_COORDINATORS_MAX];
	uint64_t listed[CONFIG_COORDINATORS_MAX]; /* mark of the last directory listing it stood in */
	uint8_t cached; /* bits of the coordinators that knew it in a life before this, and have said nothing of it since */
	bool was_in_contact;
	uint64_t last_seen_ms; /* anything authenticated, or seen online; 0: never */
	/* as the peer says */
	struct credential credential;
	struct attested attested; /* what its name and addresses are by */
	uint64_t epoch_there;     /* of its revocation list, when it last said */
	bool has_there;
	struct candidates there;
	uint32_t inside; /* bits of `there`: candidates that are not used, for the way to them leads into an overlay */
	uint64_t ways;   /* the mark (net/ways.h) of the ways to them */
	/* owned by whoever set them up */
	struct sessions sessions;
	struct path_set *paths;
	struct punch_history punches;
	enum path_policy policy; /* our file's, or the peer's that wants the relay */
	bool wants_relay;        /* it said so itself; a coordinator does not know */
	void *shared;            /* struct shared_peer of data/ */
	void *held;              /* struct held of data/ */
	void *owner;
	/* contact */
	uint64_t wanted_ms;        /* a packet or a person wanted it; 0: never */
	uint64_t offline_ms;       /* when a coordinator last answered that it is offline; 0: never, or it came back */
	uint64_t asked_ms;         /* when an introduction was asked for */
	uint8_t asking;            /* bits of the coordinators that may still answer that */
	uint64_t due_ms;           /* when its sessions and paths want a tick */
	unsigned n_tellings;       /* times our candidates were sent since they changed; 0: the peer has them */
	uint64_t tell_ms;          /* when to send them again */
	struct path_addr answered; /* where our answer to its last initiation went */
	bool is_other_version;     /* its initiations are of another version of the protocol, as far as is known */
	bool is_restarted;         /* its side of the session is gone: renew at the next introduction */
	bool is_changed;           /* sessions or paths changed since the last settle */
	uint32_t settled_index;    /* of the session its owner has acted on; 0: none */
	struct path_addr logged;   /* the path last told in the log, and since when it is in use */
	uint64_t path_since_ms;
	uint8_t untold;       /* bits of the coordinators that have not heard of it */
	struct peer_counted { /* of its traffic, and under which class of paths; data/node_metrics.c's */
		unsigned path_class;
		uint64_t rx_bytes, tx_bytes, rx_packets, tx_packets;
	} counted;
	uint64_t tcp_kept_ms;           /* since when the TCP path was in use for which others were ended; 0: none */
	unsigned first_route, n_routes; /* of the node's routes (routes.h), those at this peer's name; their owner's */
	UT_hash_handle by_number, by_key;
};

struct peers {
	struct peer *by_number, *by_key;
	uint64_t last_number;
	unsigned n;
	bool is_certified; /* there is a network key; set before the first peer */
	uint64_t version;  /* of who is here, under which name, and listed: another whenever that changes */
};

/* Finds or adds the peer of a record; *is_new says which. NULL: memory, or PEERS_MAX. A new one has nothing set up but
 * what the record says. `cert`: the record's certificate, found good, or NULL: what that says goes before what the record says.
 * `displaced`, if not NULL, gets a peer that lost its address or name to it: the caller removes that. */
struct peer *peers_put(struct peers *t, const struct wire_member *record, const struct cert *cert, unsigned coordinator,
		       bool *is_new, struct peer **displaced);
/* May it be shown to people? */
static inline bool peers_is_listed(const struct peers *t, const struct peer *p)
{
	return !t->is_certified || p->attested.is_so;
}
unsigned peers_listed(const struct peers *t); /* how many */
/* Adds one of a life before this, which was listed then. `known_at`: bits of coordinators. NULL: one of these is another's, no
 * coordinator is left that knew it, memory, or PEERS_MAX. */
struct peer *peers_recall(struct peers *t, const struct pubkey *key, const char *name, const struct ip *addrs,
			  unsigned n_addrs, uint8_t known_at);
/* The network key has signed it for the peer: name and addresses are the certificate's. */
void peers_attest(struct peers *t, struct peer *p, const struct cert *c);
/* And it was found good: it says all there is to say of the peer. */
void peers_take_certificate(struct peers *t, struct peer *p, const struct cert *c);
/* Does the last good certificate of the peer have that network, or one around it? */
bool peers_is_granted(const struct peer *p, const struct prefix *net);

/* It is known from a life before this only: no coordinator has said of it yet that it is a member. */
bool peers_is_cached(const struct peer *p);
/* The coordinator knows it, in this life or the one before. */
static inline bool peers_is_known_at(const struct peer *p, unsigned coordinator)
{
	return p->member[coordinator] || p->cached >> coordinator & 1;
}

/* Takes it out of the table and frees the struct; what its owner set up must be gone. */
void peers_remove_take(struct peers *t, struct peer *p);

/* Takes a peer's id from the relay that brought its initiation, should the introduction be late. That can be a replay by
 * another member, so it never replaces what a coordinator told. True if it was news. */
bool peers_learn_member(struct peer *p, unsigned coordinator, uint32_t member);

struct peer *peers_by_number(const struct peers *t, uint64_t number);
struct peer *peers_by_key(const struct peers *t, const struct pubkey *key);
struct peer *peers_by_member(const struct peers *t, unsigned coordinator, uint32_t member);
struct peer *peers_by_addr(const struct peers *t, const struct ip *ip);
/* The one listed, else who is called so by a coordinator alone: not to be shown, but to be met. */
struct peer *peers_by_name(const struct peers *t, const char *name);
/* Of those listed: a name, an overlay address, or 8 and more characters of the key's text if only one peer has them. */
struct peer *peers_by_words(const struct peers *t, const char *words);

#endif
