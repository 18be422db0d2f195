/* daemon/path/portmap_private.h - what portmap.c (what is wanted and known), portmap_rounds.c
 * (when it is asked for) and portmap_ask.c (PCP and NAT-PMP) share */
#ifndef DAEMON_PATH_PORTMAP_PRIVATE_H
#define DAEMON_PATH_PORTMAP_PRIVATE_H

#include "daemon/path/portmap.h"
#include "daemon/wire/pcp.h"

#define PORTMAP_NEVER UINT64_MAX
#define PORTMAP_TRIES 4
#define PORTMAP_BACKOFF_MS 120000 /* the first */

struct portmap_entry {
	bool is_known;
	bool is_leaving; /* not wanted; waits for UPnP to take it away */
	struct portmap_mapping m;
	uint8_t nonce[PCP_NONCE_BYTES];
	enum portmap_protocol asked; /* while m.is_asking */
	unsigned tried;              /* bits of the protocols that refused since it was last granted or begun */
	unsigned n_sent;
	uint64_t asked_ms, due_ms; /* of the request under way; due: NEVER with UPnP */
	uint64_t granted_ms;
	uint64_t retry_ms;  /* refused by all: not before; 0: not yet */
	struct ip last;     /* granted last; none: never */
	uint16_t suggested; /* outside port; 0: the same as inside */
	unsigned n_drawn;   /* suggestions since it was last granted or begun */
	bool is_plain;      /* the gateway does not know PREFER_FAILURE */
};

struct portmap_speaker {
	bool is_alive;
	bool is_settled;   /* in this round */
	unsigned n_sent;   /* questions without an answer; 0: none under way */
	unsigned n_missed; /* series of them in a row */
	uint64_t due_ms;
	const char *error; /* of the last refusal, or why it is not there */
	/* The gateway's clock, at ours. */
	bool has_epoch;
	uint32_t epoch_s;
	uint64_t epoch_ms;
};

struct portmap {
	const struct portmap_env *env;
	void *arg;
	uint8_t seed[PORTMAP_SEED_BYTES];
	struct endpoint gateway; /* ip none: nobody */
	struct ip local, outer;
	struct portmap_entry entries[PORTMAP_MAX];
	struct portmap_speaker speakers[PORTMAP_PROTOCOLS];
	bool is_round;       /* one was begun with this gateway */
	uint64_t round_ms;   /* when */
	uint64_t backoff_ms; /* after it, if nothing is granted */
	uint64_t tick_ms;    /* the last */
	uint64_t hint_ms;    /* the next round is due; NEVER: nothing asks for one */
	uint64_t check_ms;   /* the next question whether the gateway remembers; NEVER: none */
	bool is_upnp_busy;
};

/* portmap_ask.c */
extern const uint16_t portmap_repeat_ms[PORTMAP_TRIES]; /* after each try; the last: until it is given up */
/* "Are you there, and since when": PCP or NAT-PMP. */
void portmap_ask_alive(struct portmap *pm, enum portmap_protocol p, uint64_t now_ms);
/* One request for the entry, by e->asked. */
void portmap_ask_mapping(struct portmap *pm, struct portmap_entry *e, uint64_t now_ms);
/* Nobody waits for the answer; sent twice, as one may get lost. */
void portmap_ask_removal(struct portmap *pm, const struct portmap_entry *e);

/* portmap.c: NULL if there is none; perhaps one that is leaving. */
struct portmap_entry *portmap_entry_of(struct portmap *pm, uint8_t protocol, uint16_t internal_port);

/* portmap_rounds.c */
void portmap_granted(struct portmap *pm, struct portmap_entry *e, const struct endpoint *external, uint32_t lifetime_s,
		     uint64_t now_ms);
/* `for_s`: the gateway says how long that will not change; 0: it does not. */
void portmap_refused(struct portmap *pm, struct portmap_entry *e, const char *error, uint32_t for_s);
/* Mappings by NAT-PMP, whose answers tell no address, move to it; if there was another before, all are asked for anew. */
void portmap_set_outer(struct portmap *pm, const struct ip *outer, uint64_t now_ms);
/* Every mapping by `p` is asked for anew; it stands meanwhile. */
void portmap_remake(struct portmap *pm, enum portmap_protocol p, uint64_t now_ms);
/* As soon as the distance from the last request allows. */
void portmap_renew_soon(struct portmap_entry *e, uint64_t now_ms);
/* No request is under way, and nobody has refused. */
void portmap_from_the_start(struct portmap_entry *e);
void portmap_lose(struct portmap_entry *e, const char *error); /* the same, and it is not granted */

static inline bool portmap_has_gateway(const struct portmap *pm)
{
	return !ip_is_none(&pm->gateway.ip);
}

static inline bool portmap_is_wanted(const struct portmap_entry *e)
{
	return e->is_known && !e->is_leaving;
}

#endif
