/* daemon/peer/lifetime.h - how long the NAT keeps an idle UDP mapping, learned in the background
 *
 * One test: a new spare port asks a coordinator, asks again LIFETIME_SETTLE_MS later (some NATs keep a flow longer once it has
 * gone on both ways for a while, and ours do), now to be answered at once and again after T, and is silent from then on. That
 * answer comes: the mapping lives T and more. It does not: once more, for datagrams get lost; then it lives less.
 *   T ascends 25, 45, 60, 90, 120, 180 s to the first that fails, or from a 25 that fails descends 20, 12, 8, 5 s to the first
 *   that succeeds; then it halves what is between the longest success and the shortest failure until they are within a fifth.
 * What is known is the longest success, and a success at 180 s is enough. A test wakes the node up once besides its exchange.
 * Decisions only. Thread: loop. */
#ifndef DAEMON_PEER_LIFETIME_H
#define DAEMON_PEER_LIFETIME_H

#include <stdbool.h>
#include <stdint.h>

#define LIFETIME_SETTLE_MS 2500
#define LIFETIME_ENOUGH_S 180

struct lifetime;

struct lifetime_env {
	int (*open)(void *arg); /* a new port; 0 or negative errno */
	void (*close)(void *arg);
	/* To be answered at once and, unless 0, again after delay_ds tenths of a second. False: there is nobody to ask. */
	bool (*ask)(void *arg, uint64_t token, uint16_t delay_ds);
	void (*learned)(void *arg); /* lifetime_s() is another, or it is done */
};

/* unit_ms: a second; less in tests. */
struct lifetime *lifetime_new(const struct lifetime_env *env, void *arg, unsigned unit_ms);
void lifetime_free(struct lifetime *l);

/* In a network where nothing is known yet. */
void lifetime_start(struct lifetime *l, uint64_t now_ms);
/* In one that was measured before. */
void lifetime_take(struct lifetime *l, uint16_t known_s);
/* Whom it asked may have gone: a test under way is carried out again, later. */
void lifetime_disturbed(struct lifetime *l, uint64_t now_ms);
/* Ends a test that is under way; what is known is forgotten. */
void lifetime_stop(struct lifetime *l);
/* The token of one of its requests came back, the second answer to it or the first. False: it is none of its. */
bool lifetime_on_answer(struct lifetime *l, uint64_t token, bool is_later, uint64_t now_ms);
void lifetime_tick(struct lifetime *l, uint64_t now_ms);
uint64_t lifetime_next_ms(const struct lifetime *l);

/* At least so long; 0: unknown; 1: less than the shortest that is tested. */
uint16_t lifetime_s(const struct lifetime *l);
bool lifetime_is_done(const struct lifetime *l);
bool lifetime_is_measuring(const struct lifetime *l);

#endif
