/* daemon/path/path_mtu.h - how large a datagram the path in use carries; for the files of the path set only
 *
 * After: RFC 8899 (DPLPMTUD). Sizes are datagram bytes: UDP payload, before the relay header.
 *
 * Assumed   PATH_MTU_BASE_BYTES, until something larger is answered or it is found too big itself.
 * Search    begins with the first data on a path newly in use. A volley: every size at which links usually end, the largest first,
 *           PATH_PACE_MS apart, until one that leaves nothing to ask is answered; the largest answered is used at once, after the
 *           volley also when it is below what was assumed. Then the smallest size above it has PATH_MTU_TRIES probes in all
 *           before it is too big; then three sizes between the two, and so on until PATH_MTU_GRAIN_BYTES are left. Again after
 *           4 s, and after back-off every 10 min: perhaps the path grew, or it was loss.
 * Check     The size in use is probed when it was not confirmed for PATH_MTU_VERIFY_MS, under much data for PATH_MTU_BUSY_MS: what is
 *           too big may be lost between smaller datagrams that are answered. Twice, should the first be lost.
 *           Also when data is lost, before another path is looked for.
 * Doubt     When that went unanswered, or a silence that only a small probe ended makes it suspect, the search begins anew, up to the
 *           size in doubt and with it; what is answered first is used at once.
 * All of it only while data is being sent and the path answers small probes, a check and the search in doubt for
 * a while longer; a search that falls asleep goes on with the next data.
 * A lost probe of a size says nothing about the path. */
#ifndef DAEMON_PATH_PATH_MTU_H
#define DAEMON_PATH_PATH_MTU_H

#include "daemon/path/path_set.h"

#define PATH_MTU_MIN_BYTES 540 /* an IPv4 link of 600 through a relay; below it nothing is tried */
#define PATH_MTU_SIZES_MAX 12
#define PATH_MTU_TRIES 3
#define PATH_MTU_GRAIN_BYTES 16
/* In doubt data is being lost, and a check and its volley must not wait for what was sent before: what only looks for more
 * leaves them this much of the budget. */
#define PATH_MTU_BUDGET_PROBES 48
#define PATH_MTU_CALM_PROBES 32
#define PATH_MTU_BUDGET_MS 5000
#define PATH_MTU_VERIFY_MS 5000
#define PATH_MTU_BUSY_MS 1000
#define PATH_MTU_BUSY_BYTES 16384 /* sent since it was confirmed: a probe more is less than a tenth of them */
#define PATH_MTU_SUSPECT_MS 2000 /* between two silences that make it suspect: who is never answered has other causes */
#define PATH_MTU_CHECK_PROBES 2
#define PATH_MTU_URGENT_MS 10000 /* after the last data: so long a check and the search after it go on */
#define PATH_MTU_AGAIN_MS 1000   /* not even the smallest was answered */
#define PATH_MTU_RAISE_MIN_MS 4000
#define PATH_MTU_RAISE_MAX_MS 600000 /* PMTU_RAISE_TIMER, RFC 8899 section 5.1.1 */
#define PATH_MTU_KEEP_MS 60000       /* a path left for longer may have changed */

struct path_entry;

/* Of the path in use. */
struct path_mtu {
	uint16_t max_bytes; /* no larger datagram will ever be sent; 0: nothing is searched */
	bool is_begun;      /* the rest holds for the path in use; but the budget, which is the set's */
	/* search */
	uint16_t low_bytes;                 /* the largest answered; 0: none */
	uint16_t high_bytes;                /* the smallest that is too big */
	uint16_t sizes[PATH_MTU_SIZES_MAX]; /* between the two, rising */
	unsigned n_sizes;                   /* 0: no search is on */
	unsigned n_volley;                  /* of sizes, still to be probed in the volley */
	unsigned n_tries;                   /* of the smallest size above low_bytes, the volley's included */
	uint64_t search_ms;                 /* next step, or next search */
	uint64_t raise_ms, raise_after_ms;  /* more is looked for at; how long the pause after this search is */
	uint64_t refused_ms;                /* answers to earlier probes came before the socket refused their size */
	uint16_t doubted_bytes; /* the size in use before this search, which began in doubt; 0: it did not */
	/* check */
	unsigned n_checks;               /* probes of it; 0: it is not on */
	uint64_t check_ms, confirmed_ms; /* check_ms: no answer by then */
	uint64_t suspected_ms;           /* the last silence that made it suspect */
	uint64_t confirmed_bytes;        /* activity.sent_bytes then, as far as it was known */
	/* budget: the instants of the last probes */
	uint64_t sent_ms[PATH_MTU_BUDGET_PROBES]; /* 0: never */
	unsigned oldest;
};

/* Nothing that was learned of `e` is believed any more. */
void path_mtu_forget(struct path_set *set, struct path_entry *e);
/* `e` is about to be the path in use (NULL: none). */
void path_mtu_use(struct path_set *set, struct path_entry *e, uint64_t now_ms);
/* A probe of `bytes`, sent over `e` at sent_ms, was answered. */
void path_mtu_answered(struct path_set *set, const struct path_entry *e, uint32_t bytes, uint64_t sent_ms,
		       uint64_t now_ms);
/* The path in use was silent under data, and a small probe was answered: perhaps it loses only what is large. */
void path_mtu_on_silence(struct path_set *set, uint64_t now_ms);
/* Data was lost since an instant. True: perhaps for its size, which is being looked into. */
bool path_mtu_on_loss(struct path_set *set, uint64_t since_ms, uint64_t now_ms);
void path_mtu_tick(struct path_set *set, uint64_t now_ms);
uint64_t path_mtu_next_ms(const struct path_set *set);

#endif
