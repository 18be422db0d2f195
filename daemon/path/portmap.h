/* daemon/path/portmap.h - ports that the gateway keeps open for us
 *
 * Decides what to ask a gateway when, by PCP (RFC 6887), NAT-PMP (RFC 6886) and UPnP IGD. Opens no socket, reads no clock, arms no
 * timer. One instance an address family; with an IPv6 gateway only PCP is spoken, and what it maps are pinholes.
 * Thread: loop only.  Time: now_ms counts on in suspend.
 *
 * Rounds. A round begins with the first mapping wanted, with another gateway, and after a round in which nothing was granted with
 * back-off 2 min .. 1 h. PCP and NAT-PMP are asked together whether they are there, with messages that change nothing, at 0, 250, 750 and 1750 ms; what
 * has not answered at 3750 ms is not there. Each mapping is then asked for by PCP; by NAT-PMP if PCP is not there, or has not answered in
 * 250 ms; by UPnP if neither is there after 250 ms, or it refused. So a gateway that speaks all three holds one mapping, not three.
 * By PCP the port asked for is wanted or none (PREFER_FAILURE), and where that is taken, PORTMAP_PORT_TRIES others, drawn here: a gateway left to
 * choose among all ports, none of which its rules allow us, goes through all of them: miniupnpd 2.3 then answers nobody for a minute.
 * Asked for: the outside port of the same number, for 7200 s. Renewed at half of what was granted, UPnP every 10 minutes at least,
 * since nothing else tells that the gateway forgot.
 * The gateway forgot. Each answer of PCP and NAT-PMP tells for how long the gateway has known what it knows; every 2 minutes it is asked.
 * Where that time does not fit ours (RFC 6887 section 8.5), or the outer address changed, every mapping is asked for anew; until the answer it
 * stands. A gateway that leaves three of these questions unanswered is gone, and its mappings with it.
 * Who may answer: the gateway asked, from the port asked, to what was asked: with the nonce of the mapping (PCP), its port, and its opcode. All
 * else changes nothing, and nothing received causes more than one request a mapping in 4 s. */
#ifndef DAEMON_PATH_PORTMAP_H
#define DAEMON_PATH_PORTMAP_H

#include "daemon/base/addr.h"

#define PORTMAP_MAX 20 /* mappings wanted at a time */
#define PORTMAP_LIFETIME_S 7200
#define PORTMAP_SEED_BYTES 32
#define PORTMAP_PORT_TRIES 3

struct portmap;

enum portmap_protocol {
	PORTMAP_PCP,
	PORTMAP_NATPMP,
	PORTMAP_UPNP,
	PORTMAP_PROTOCOLS
};
enum portmap_verdict {
	PORTMAP_NOT_TRIED,
	PORTMAP_ASKING,
	PORTMAP_NO,
	PORTMAP_YES /* it answers, and refused nothing or granted something */
};

/* What UPnP is to do, and, filled in, what came of it. */
struct portmap_upnp_item {
	uint8_t protocol; /* IPPROTO_UDP or IPPROTO_TCP */
	uint16_t internal_port;
	uint16_t external_port; /* wanted; then granted */
	uint32_t lifetime_s;    /* wanted, 0: take it away; then granted */
	const char *error;      /* NULL: done; else static words */
};
struct portmap_upnp_job {
	struct ip gateway, local;
	unsigned n;
	struct portmap_upnp_item items[PORTMAP_MAX];
	/* the answer */
	const char *error; /* NULL: there is an IGD on the gateway; else static words */
	struct ip external;
};

struct portmap_env {
	/* To the gateway's PCP port, from a socket of the local address. */
	void (*send)(void *arg, const struct endpoint *to, const uint8_t *data, size_t len);
	/* Starts a job, which is copied; portmap_on_upnp() brings it back, later. One at a time. NULL: there is no UPnP. */
	void (*upnp)(void *arg, const struct portmap_upnp_job *job);
	/* An outside endpoint or the outer address changed. Must not call back into the portmap but to read it. */
	void (*changed)(void *arg);
};

struct portmap_mapping { /* a mapping that is wanted */
	uint8_t protocol;
	uint16_t internal_port;
	bool is_asking;
	bool is_granted;
	/* while it is granted */
	enum portmap_protocol by;
	struct endpoint external; /* perhaps private: another NAT is behind the gateway */
	uint32_t lifetime_s;
	uint64_t renew_ms, expires_ms;
	/* while it is not */
	const char *error; /* static words; NULL: nothing was refused */
};

/* `seed` is secret, and the same in the next life of the daemon: nonces follow from it, and without its nonce nobody can renew a mapping that
 * outlived a crash. `arg` goes to env's functions and must outlive it. NULL if memory is short. */
struct portmap *portmap_new(const struct portmap_env *env, void *arg, const uint8_t seed[static PORTMAP_SEED_BYTES]);
void portmap_free(struct portmap *pm); /* withdraws nothing; NULL is fine */

/* Whom to ask, and our address towards it; gateway none: nobody. The same as before is a hint (portmap_hint). Another one: all mappings
 * are gone, and are asked for anew. */
void portmap_set_gateway(struct portmap *pm, const struct ip *gateway, uint32_t scope, const struct ip *local,
			 uint64_t now_ms);
/* Wants a mapping. 0, -EEXIST, -ENOSPC past PORTMAP_MAX. */
int portmap_add(struct portmap *pm, uint8_t protocol, uint16_t internal_port, uint64_t now_ms);
/* Wants it no more, and takes it away. */
void portmap_remove(struct portmap *pm, uint8_t protocol, uint16_t internal_port, uint64_t now_ms);
void portmap_remove_all(struct portmap *pm, uint64_t now_ms);
/* No UPnP job is running, and none is due: after portmap_remove_all(), nothing of ours is left. */
bool portmap_is_idle(const struct portmap *pm);
/* Something says that the gateway or its address changed: asks anew, at most every 4 s for what is granted and every 10 s where nothing is. */
void portmap_hint(struct portmap *pm, uint64_t now_ms);

/* A datagram on the socket that `send` sends from. */
void portmap_on_datagram(struct portmap *pm, const struct endpoint *from, const uint8_t *data, size_t len,
			 uint64_t now_ms);
void portmap_on_upnp(struct portmap *pm, const struct portmap_upnp_job *answer, uint64_t now_ms);

/* Does what is due; the caller comes back at portmap_next_ms() (UINT64_MAX: nothing due), which may be earlier after each call into it. */
void portmap_tick(struct portmap *pm, uint64_t now_ms);
uint64_t portmap_next_ms(const struct portmap *pm);

/* ---------------------------------------------------------------- what is known */

unsigned portmap_count(const struct portmap *pm);
const struct portmap_mapping *portmap_at(const struct portmap *pm, unsigned i);
const struct portmap_mapping *portmap_find(const struct portmap *pm, uint8_t protocol, uint16_t internal_port);
/* *error: static words to PORTMAP_NO, else NULL. */
enum portmap_verdict portmap_verdict(const struct portmap *pm, enum portmap_protocol p, const char **error);
const struct ip *portmap_gateway(const struct portmap *pm); /* none: there is nobody to ask */
const struct ip *portmap_local(const struct portmap *pm);
/* The gateway's address on its outer side, by any protocol, whether it maps or not; none: unknown. */
const struct ip *portmap_outer(const struct portmap *pm);
/* Everything was asked and answered, or given up. */
bool portmap_is_settled(const struct portmap *pm);

const char *portmap_protocol_name(enum portmap_protocol p); /* "pcp", "nat-pmp", "upnp" */
const char *portmap_verdict_name(enum portmap_verdict v);   /* "yes", "no", "asking", "not tried" */

#endif
