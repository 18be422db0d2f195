/* tests/unit/path_one.h - one path set; what it sends is kept, and the test answers as it likes */
#ifndef TESTS_UNIT_PATH_ONE_H
#define TESTS_UNIT_PATH_ONE_H

#include "daemon/path/path_set.h"

#define ONE_SENT_MAX 4096

struct one_sent {
	struct path_addr to;
	struct wire_probe probe;
	uint64_t ms;
	bool is_answered;
};

struct one {
	struct path_set *set;
	struct path_activity activity;
	uint64_t now_ms;
	unsigned n_sent, n_silent, n_calls, n_drops, n_openers;
	struct path_addr opened; /* the last */
	uint64_t called_ms;
	struct path_addr dropped; /* the last */
	struct one_sent sent[ONE_SENT_MAX];
};

void one_init(struct one *f); /* in contact, not started */
void one_fini(struct one *f);
void one_run(struct one *f, uint64_t ms); /* ticks, answers nothing */
/* For `ms`: what is sent to `to` is answered after rtt_ms; 0: not at all. Others by earlier calls are not. */
struct one_peer {
	struct path_addr addr;
	uint64_t rtt_ms;
};
void one_run_answered(struct one *f, uint64_t ms, const struct one_peer *peers, unsigned n_peers);
void one_answer(struct one *f, const struct one_sent *s);
struct path_addr one_udp(const char *text);
struct path_addr one_tcp(const char *text);
int one_add(struct one *f, enum candidate_kind kind, const char *text);
const struct one_sent *one_last_to(const struct one *f, const struct path_addr *to); /* the last probe, or NULL */
unsigned one_count_to(const struct one *f, const struct path_addr *to);
const struct path *one_path(const struct one *f, const struct path_addr *a); /* NULL: not known */

extern const struct path_addr one_relay_udp, one_relay_tcp;

#endif
