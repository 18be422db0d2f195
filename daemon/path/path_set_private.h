/* daemon/path/path_set_private.h - what the files of the path set share; nobody else includes it
 *
 * path_set.c     which paths there are, and the rounds as their owner starts and stops them
 * path_round.c   when the next probe is due: schedule, back-off, the tick
 * path_probe.c   probes and their answers: ids, budgets, proof
 * path_choice.c  which path is used, and when the one in use is no longer believed
 * path_loss.c    how much of the data arrives
 * path_mtu.c     how large a datagram the one in use carries */
#ifndef DAEMON_PATH_PATH_SET_PRIVATE_H
#define DAEMON_PATH_PATH_SET_PRIVATE_H

#include "daemon/path/path_mtu.h"
#include "daemon/path/path_set.h"

#define PATH_NEVER UINT64_MAX
#define PATH_RELAYS_MAX (PATH_SET_MAX - PATH_CANDIDATES_MAX)
#define PATH_PEER_REFLEXIVE_MAX (PATH_CANDIDATES_MAX - WIRE_CANDIDATES_MAX)

/* Endpoints are named by others: no more than this goes to one of them, whatever asks for it. */
#define PATH_BUDGET_PROBES 5
#define PATH_BUDGET_MS 5000

#define PATH_PROBING_MS 3000 /* a round without an answer for so long has failed */
#define PATH_ANSWER_MS 500   /* a probe has so long before its path is called failed */
/* Keepalives of all peers fall on common instants, so that an idle node wakes up once for all of them. */
#define PATH_KEEPALIVE_GRID_MS 3000
#define PATH_BACKOFF_MIN_MS 30000
#define PATH_BACKOFF_MAX_MS 300000
#define PATH_SENDING_MS 2000  /* data left within this time: the peer is being sent to */
#define PATH_LOST_MS 1000     /* nothing answers, data is being sent: everything is probed this often */
#define PATH_FRESH_MS 30000   /* a direct path not in use is believed so long: NATs forget after 30 s */
#define PATH_SETTLE_MS 10000  /* between two changes for the sake of RTT */
#define PATH_STRANGER_MS 1000 /* between two checks that data from elsewhere causes */
#define PATH_UNSURE_PROBES 2  /* unanswered */
#define PATH_DEAD_PROBES 4    /* unanswered */
/* Left alone so much longer than a keepalive would: unsure before the first probe can say so. */
#define PATH_LATE_MS 4000

/* The instants of the last probes: at most PATH_BUDGET_PROBES in any PATH_BUDGET_MS. */
struct path_budget {
	uint64_t sent_ms[PATH_BUDGET_PROBES]; /* 0: never */
	unsigned next;                        /* the oldest */
};

struct path_entry {
	struct path path;    /* what others see */
	bool is_known;       /* the slot is taken */
	bool is_usable;      /* relays: the owner says so; else true */
	bool is_given_up;    /* fell silent while in use, and has not proven itself since */
	uint8_t n_proofs;    /* answers since it was last not believed, up to PATH_PROOFS */
	uint8_t step;        /* of the round; PATH_STEPS: none left */
	uint64_t replied_ms; /* when the peer's probe of it was last answered: that keeps the mappings open as well */
	uint64_t base_ms;    /* when its round began */
	uint64_t urgent_ms;  /* a check out of turn is due; PATH_NEVER: none */
	uint32_t outcomes;   /* of the last metered probes, the newest lowest: 1 is a lost one */
	uint8_t n_outcomes;  /* up to 32 */
	uint32_t n_noted;    /* outcomes ever */
	uint64_t lost_ms;    /* when the last lost one was told */
	uint64_t lossy_ms;   /* since when path.is_lossy */
	/* Belong to the slot, not to the path: a peer that keeps naming new endpoints gains nothing. */
	struct path_budget planned, urgent;
	uint64_t opened_ms; /* when an opener was sent there last; 0: never */
};

struct path_outstanding {
	uint8_t id[WIRE_PROBE_ID_BYTES];
	struct path_entry *entry; /* NULL: free */
	uint16_t datagram_bytes;  /* of a padded probe; 0: a small one */
	bool is_metered;          /* its fate is an outcome of the path, still to come */
	uint32_t noted;           /* it was called lost as the path's so manyth outcome; 0: it was not */
	uint64_t n_data;          /* inner packets that were sent before it; 0: not of the path in use */
	uint64_t sent_ms, sent_us;
};

#define PATH_LOSS_SAMPLES 16

/* What says that the path in use loses here and there, and had not only one outage. */
enum {
	PATH_LOSS_OF_DATA = 1 << 0,
	PATH_LOSS_OF_PROBES = 1 << 1,
};

/* What was sent and what arrived, as answered probes of the path in use told. */
struct path_loss {
	struct {
		uint64_t ms, n_sent;
		uint32_t n_received;
	} v[PATH_LOSS_SAMPLES]; /* the newest at (n - 1) % PATH_LOSS_SAMPLES */
	unsigned n;
	uint64_t asked_ms, asked_n;  /* when the last probe left, and n_sent then */
	uint64_t rate_ms, rate_from; /* since when the rate is measured, and sent_bytes then */
	uint64_t bit_s;
	struct path_entry *rival; /* compared with the path in use; NULL: none */
	unsigned sure;            /* PATH_LOSS_OF_*; 0: a comparison may have begun, but comes to nothing */
	uint64_t compared_ms;     /* since when */
	uint64_t rival_ms, heal_ms;
	uint64_t compare_ms, compare_wait_ms; /* no comparison before; what was waited last */
};

/* Doubt about the path in use: from the first probe that asks whether it is alive to its answer. */
struct path_watch {
	unsigned n_sent; /* 0: no doubt */
	uint64_t since_ms, due_ms;
	bool was_long; /* silent for PATH_LONG_SILENCE_MS, or not believed, before the first probe */
};

struct path_set {
	const struct path_set_env *env;
	void *arg;
	enum path_policy policy;
	bool is_running; /* between start and stop */
	bool is_probing; /* the first PATH_PROBING_MS of a round */
	uint64_t now_ms; /* the latest time heard of */
	uint64_t round_ms, next_round_ms;
	uint64_t backoff_ms;   /* from the beginning of this round to the next */
	uint64_t pace_ms;      /* no probe of a round earlier than this */
	uint64_t stranger_ms;  /* no check for data from elsewhere earlier than this */
	uint64_t swapped_ms;   /* last change for the sake of RTT; 0: never */
	uint64_t keepalive_ms; /* of UDP paths; 0: none is needed */
	uint64_t look_ms;      /* look at the traffic again; PATH_NEVER: when the caller comes */
	struct path_activity activity;
	struct path_watch watch;
	struct path_mtu mtu;
	struct path_loss loss;
	struct path_entry *current;
	bool is_udp_blocked;
	uint64_t
		tcp_start_ms; /* when TCP candidates are called and connected to; PATH_NEVER: this round did, or need not */
	struct endpoint observed;
	struct path_outstanding outstanding[PATH_OUTSTANDING_MAX];
	struct path_entry entries[PATH_SET_MAX]; /* candidates, then relays */
};

static inline bool path_is_udp(const struct path_entry *e)
{
	return e->path.addr.kind == PATH_UDP;
}

static inline bool path_is_tcp(const struct path_entry *e)
{
	return e->path.addr.kind == PATH_TCP;
}

static inline bool path_is_relay(const struct path_entry *e)
{
	return path_addr_is_relay(&e->path.addr);
}

/* The answer to one probe shows that a NAT let it through once; that it goes on doing so a second shows. Connections do not need that. */
static inline bool path_may_use(const struct path_set *set, const struct path_entry *e)
{
	enum path_policy other = path_is_relay(e) ? PATH_POLICY_DIRECT : PATH_POLICY_RELAY;

	return e->is_usable && set->policy != other;
}

static inline bool path_is_proven(const struct path_entry *e)
{
	return e->n_proofs >= (path_is_udp(e) ? PATH_PROOFS : 1);
}

/* path_set.c */
struct path_entry *path_find(struct path_set *set, const struct path_addr *addr);
struct path_entry *path_add_peer_reflexive(struct path_set *set, const struct path_addr *from, uint64_t now_ms);
struct path_entry *path_add_relay(struct path_set *set, enum path_kind kind, uint8_t coordinator, uint64_t now_ms);
void path_state_set(struct path_entry *e, enum path_state state, uint64_t now_ms);

/* path_round.c */
void path_round_begin(struct path_set *set, uint64_t now_ms);
/* A round of one path's own; of TCP candidates it is planned for all together. */
void path_schedule(struct path_set *set, struct path_entry *e, uint64_t now_ms);
void path_tcp_connect(struct path_set *set, uint64_t at_ms); /* to all candidates there are */
void path_tcp_stand_down(struct path_set *set, uint64_t now_ms);
void path_schedule_end(struct path_entry *e);

/* path_probe.c */
uint64_t path_budget_free_ms(const struct path_budget *b);
void path_budget_spend(struct path_budget *b, uint64_t now_ms);
void path_budget_reset(struct path_budget *b);
void path_probe_send(struct path_set *set, struct path_entry *e, uint64_t now_ms);
/* Whether a datagram of that size gets there: it does not count as an attempt to find a path. */
void path_probe_send_size(struct path_set *set, struct path_entry *e, uint16_t datagram_bytes, uint64_t now_ms);
/* It leaves only now: what it waited before is not the path's. */
void path_outstanding_restart(struct path_set *set, struct path_outstanding *o, uint64_t now_ms);
/* Answers to probes of `e` (NULL: of all) count no more. */
void path_outstanding_forget(struct path_set *set, const struct path_entry *e);

void path_probe_send_metered(struct path_set *set, struct path_entry *e, uint64_t n_data, uint64_t now_ms);

/* path_loss.c */
void path_loss_reset(struct path_set *set); /* another path is in use */
/* A metered probe of `e` that was sent then was answered. */
void path_loss_answered(struct path_set *set, struct path_entry *e, uint64_t sent_ms, uint64_t now_ms);
/* One that was called lost, then. */
void path_loss_late(struct path_set *set, struct path_entry *e, uint32_t noted);
void path_loss_sample(struct path_set *set, uint64_t n_sent, uint32_t n_received, uint64_t now_ms);
void path_loss_tick(struct path_set *set, uint64_t now_ms);
uint64_t path_loss_next_ms(const struct path_set *set);
/* It fell silent. If it had lost much before, two answers are not enough to take it up again. */
void path_loss_given_up(struct path_entry *e, uint64_t now_ms);
/* An entry that is no more is compared no more. */
void path_loss_forget(struct path_set *set, const struct path_entry *e);

/* path_choice.c */
struct path_entry *path_second_best(const struct path_set *set, uint64_t now_ms);
/* How long an answer over this path may take. */
uint64_t path_wait_ms(const struct path *p);
unsigned path_class(const struct path_entry *e);
/* Enough to send data on without having tried it again. */
bool path_is_trusted(const struct path_set *set, const struct path_entry *e, uint64_t now_ms);
void path_choose(struct path_set *set, uint64_t now_ms);
void path_use(struct path_set *set, struct path_entry *e, uint64_t now_ms); /* NULL: none */
void path_give_up(struct path_set *set, uint64_t now_ms);
bool path_is_sending(const struct path_set *set, uint64_t now_ms);
void path_watch_tick(struct path_set *set, uint64_t now_ms);
uint64_t path_watch_next_ms(const struct path_set *set);
void path_watch_start(struct path_set *set, uint64_t now_ms);
void path_watch_end(struct path_set *set);

#endif
