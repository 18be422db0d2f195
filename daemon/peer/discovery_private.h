/* daemon/peer/discovery_private.h - what the files of the discovery share; nobody else includes it
 *
 * discovery.c         servers and rounds: what is asked, what arrives, when
 * discovery_survey.c  the tests of a survey
 * discovery_facts.c   what follows from the answers
 *
 * A survey's course:
 *   idle --begin--> round --somebody answered over IPv4, and all did or 1 s passed--> tests --all judged--> idle
 *   round --nobody answered--> idle
 * The tests run beside each other; a sample of ports begins when the one before was answered or given up, the tests that need
 * a spare port when its sample was answered. */
#ifndef DAEMON_PEER_DISCOVERY_PRIVATE_H
#define DAEMON_PEER_DISCOVERY_PRIVATE_H

#include "daemon/peer/discovery.h"

#define DISCOVERY_NEVER UINT64_MAX
#define DISCOVERY_READY_MS 1000 /* a round is judged by those who have answered */

struct server {
	struct discovery_server to;
	bool is_derived; /* a STUN server told us of it */
	uint64_t token, sent_ms, due_ms;
	unsigned n_unanswered; /* sent since the last answer; 0: none outstanding */
	bool is_settled;       /* answered or given up in this round */
	bool is_answered;      /* the last time it was settled */
	uint32_t round;        /* of the last answer */
	uint32_t rtt_ms;
	struct endpoint observed;
};

enum discovery_test {
	TEST_SAMPLE,
	TEST_DATA_PORT,
	TEST_DATA_ADDRESS,
	TEST_SPARE_PORT,
	TEST_SPARE_ADDRESS,
	TEST_HAIRPIN,
	TEST_COUNT
};

struct test {
	bool is_running;
	enum nat_answer answer;
	unsigned socket;
	enum discovery_from from;
	uint64_t token;
	unsigned n_sent;
	uint64_t due_ms; /* the next request, or the verdict */
};

enum discovery_stage {
	STAGE_IDLE,
	STAGE_ROUND,
	STAGE_TESTS,
};

struct survey {
	enum discovery_stage stage;
	uint64_t began_ms, ended_ms; /* the last one; 0: never */
	uint64_t due_ms;
	struct discovery_server asked; /* by the tests */
	uint32_t rtt_ms;               /* to it */
	struct endpoint reflexive;     /* of the data port, as it saw that */
	struct test tests[TEST_COUNT];
	unsigned n_opened;
	uint16_t local_ports[DISCOVERY_SPARES + 1]; /* by socket; 0: could not be opened */
	struct endpoint hairpin_reflexive;          /* of the spare port of that test */
	/* what it found */
	struct ip address; /* ours outside, then; none: nothing was found */
	unsigned n_samples;
	struct nat_port_sample samples[DISCOVERY_SPARES];
};

struct discovery {
	const struct discovery_env *env;
	void *arg;
	uint16_t data_port;
	unsigned n_servers;
	struct server servers[DISCOVERY_SERVERS_MAX];
	uint32_t round;
	uint64_t round_ms; /* when it began; 0: none yet */
	bool is_judged;    /* the mapping, in this round */
	uint64_t refresh_due_ms, retry_ms;
	struct survey survey;
	struct discovery_facts facts;
};

static inline uint64_t discovery_min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* discovery.c */
uint64_t discovery_token(void);
bool discovery_is_fresh(const struct discovery *d, const struct server *s); /* it answered in this round */
bool discovery_any_fresh(const struct discovery *d, uint8_t ip_len);        /* of that family; 0: of any */
bool discovery_is_round_over(const struct discovery *d);
void discovery_begin_round(struct discovery *d, uint64_t now_ms);

/* discovery_survey.c */
void survey_want(struct discovery *d, uint64_t now_ms);
void survey_begin(struct discovery *d, uint64_t now_ms);
void survey_stop(struct discovery *d, uint64_t now_ms);
void survey_step(struct discovery *d, uint64_t now_ms); /* goes on as far as the answers let it */
void survey_tick(struct discovery *d, uint64_t now_ms);
uint64_t survey_next_ms(const struct discovery *d);
/* True if the answer was one of its tests'. */
bool survey_on_answer(struct discovery *d, const struct discovery_answer *a, uint64_t now_ms);

/* discovery_facts.c */
void facts_put_reflexive(struct discovery_facts *f, const struct endpoint *e);
void facts_judge_ports(struct discovery *d);
void facts_judge_survey(struct discovery *d, const struct nat_filter_tests *filter, enum nat_answer hairpin);
void facts_forget_survey(struct discovery *d);
/* Draws what follows from the answers, and tells the owner if it is new. `before` was copied on the way in. */
void facts_conclude(struct discovery *d, const struct discovery_facts *before, uint64_t now_ms);

#endif
