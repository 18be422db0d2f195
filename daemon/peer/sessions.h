/* daemon/peer/sessions.h - the life of the sessions with one peer
 *
 *   none --sessions_want--> initiating --response--> current
 *   none --initiation from the peer--> next (unconfirmed) --first datagram opens--> current
 * A new current moves the old one to previous; previous and next still receive. Timers are WireGuard's (whitepaper
 * section 6), with these differences:
 * - The first initiations of an attempt are repeated after 300, 600, 1200 and 2400 ms and only then every
 *   SESSION_REKEY_TIMEOUT_MS (+ 0..333 ms jitter), because a datagram lost on a lossy link must not cost 5 s of
 *   connecting.
 * - When both sides initiate at once, two sessions come to be; both keep the one whose initiator has the lower public
 *   key.
 * - A session is gone at reject time, from every slot: nothing opens or seals under it any more. So no key outlives
 *   180 s, and what WireGuard wipes after 540 s without a handshake is no longer there; secrets of an attempt go
 *   after 90 s.
 * An attempt ends after SESSION_ATTEMPT_MS. A session is renewed by its initiator when data is sent past rekey time,
 * by either when data is received 15 s before reject time, when it is worn, and when data was sent and nothing came
 * for 15 s. Workers write the traffic that decides this, so it is looked at every SESSIONS_POLL_MS while there is a
 * session; all peers at the same instants, for one wake-up. Deadlines found then are kept to the millisecond.
 * Decisions only: no socket, no clock. Thread: loop. */
#ifndef DAEMON_PEER_SESSIONS_H
#define DAEMON_PEER_SESSIONS_H

#include "daemon/path/path.h"
#include "daemon/peer/handshake.h"
#include "daemon/peer/indices.h"
#include "daemon/peer/session.h"

struct sessions_env {
	/* Sends an initiation; the owner chooses the ways. attempt: 0, 1, 2 ... within one handshake. */
	void (*send_initiation)(void *owner, const uint8_t *data, size_t len, unsigned attempt);
	/* Something about current, previous or next changed: publish, flush what waits. */
	void (*changed)(void *owner);
	/* An attempt ended unanswered after SESSION_ATTEMPT_MS. */
	void (*failed)(void *owner);
	/* An empty data datagram is due: 10 s after data came and nothing went, and after a response, which confirms
	 * the session to the responder (until then it may not send). */
	void (*keepalive)(void *owner);
	uint64_t (*wall_ms)(void *owner); /* for the timestamp */
	/* It was found, by either side, that no suite is common: suites_there says what the other accepts. is_news: it was not known. */
	void (*no_suite)(void *owner, bool is_news);
	/* May the peer, which shows this in its handshake, have a session? A good certificate counts from here on. NULL: every known
	 * peer may. */
	enum cert_verdict (*judge)(void *owner, const struct wire_trust *shown);
	/* A certificate was refused: refused_here (the peer's, by us) or refused_there (ours, by the peer) says why. */
	void (*untrusted)(void *owner, bool is_news);
};

struct sessions {
	/* fixed at creation */
	const struct sessions_env *env;
	void *owner;
	const struct identity *identity;
	struct indices *indices;
	struct pubkey remote;
	uint64_t rekey_after_ms, reject_after_ms; /* SESSION_..., or shortened by a test */
	/* owned; NULL: none */
	struct session *current, *previous, *next;
	/* initiating */
	struct handshake attempt;
	uint64_t attempt_started_ms, attempt_sent_ms, attempt_due_ms;
	uint64_t asked_since_ms; /* attempts have followed each other, none answered, since then; while one goes on */
	unsigned n_attempts;
	bool has_cookie;
	uint8_t cookie[COOKIE_BYTES];
	uint64_t cookie_ms;
	uint8_t last_timestamp_sent[WIRE_TIMESTAMP_BYTES];
	/* responding */
	uint8_t last_timestamp[WIRE_TIMESTAMP_BYTES]; /* highest accepted */
	uint64_t last_accepted_ms;
	uint64_t
		stale_ms; /* when one was refused for a time far before the highest; 0: never, or there was a session since */
	uint64_t keepalive_sent_ms;
	/* no common suite, as far as is known; until there is a session */
	bool has_no_suite;
	uint16_t suites_there;
	enum cert_verdict refused_here, refused_there; /* likewise: the peer's certificate, ours; CERT_GOOD: not */
	uint64_t refused_until_ms;
	uint64_t next_ms, quiet_ms;
	/* own book-keeping; 0: none */
	uint32_t attempt_index;    /* ours, of the attempt */
	uint64_t attempt_ended_ms; /* unanswered; only traffic after it starts another */
	unsigned n_cookie_repeats; /* of this attempt */
	uint64_t unanswered_ms;    /* first data noticed that nothing came after */
	uint64_t unreturned_ms;    /* first data received that nothing was sent after */
	uint64_t now_ms;           /* latest handed in */
};

#define SESSIONS_POLL_MS 2500
/* So much earlier than the highest no timestamp is that was only overtaken: the peer's clock was set back. */
#define SESSIONS_STALE_S 60
/* A peer that refused is not asked again before this. */
#define SESSIONS_REFUSED_MS 5000
/* Cookie replies that are followed at once, an attempt: forged ones must not make us send at the pace of their
 * sender. */
#define SESSIONS_COOKIE_REPEATS_MAX 3
/* A cookie is good for 120 s less the time it may have travelled (WireGuard's). */
#define SESSIONS_COOKIE_AGE_MS 115000

void sessions_init(struct sessions *s, const struct sessions_env *env, void *owner, const struct identity *identity,
		   struct indices *indices, const struct pubkey *remote);
void sessions_fini(struct sessions *s);

/* A session is wanted now: starts an attempt unless one is going on, current is good, or the peer refused lately. */
void sessions_want(struct sessions *s, uint64_t now_ms);
/* Starts an attempt even though current looks good (the peer restarted), or anew though one is going on whose repeats
 * have become rare (the peer came back). At most one a SESSIONS_RENEW_MS. */
#define SESSIONS_RENEW_MS 200
void sessions_renew(struct sessions *s, uint64_t now_ms);
/* Ends all sessions and any attempt (the peer said close, or is no member any more). */
void sessions_drop(struct sessions *s);

/* A response for this peer's attempt (its receiver index was looked up in indices). 0, or -EBADMSG (ignored). *rtt_us
 * gets the time since the last initiation was sent. -ENOTSUP: the peer refuses for want of a common suite, and so has no
 * session with us: the attempt and all sessions are over. -EACCES: the same for want of a good certificate, of either side. */
int sessions_on_response(struct sessions *s, const uint8_t *data, size_t len, uint64_t now_ms, uint32_t *rtt_us);
/* A cookie reply: the initiation is repeated at once with mac2. */
int sessions_on_cookie(struct sessions *s, const uint8_t *data, size_t len, uint64_t now_ms);
/* The responder made keys for us; becomes next. */
void sessions_on_answered(struct sessions *s, const struct handshake_keys *keys, uint32_t local_index,
			  uint32_t remote_index, uint64_t now_ms);
/* The responder refused an initiation of the peer, which accepts these suites. That may be an old one: nothing ends. */
void sessions_on_refused(struct sessions *s, uint16_t suites_there);
/* The responder refused one that authenticates, for its timestamp. It may be an old one sent again: nothing ends. */
void sessions_on_replayed(struct sessions *s, const uint8_t timestamp[static WIRE_TIMESTAMP_BYTES], uint64_t now_ms);
/* The responder's question about an initiation, which authenticates. Not CERT_GOOD: it is to be refused. */
enum cert_verdict sessions_judge(struct sessions *s, const struct wire_trust *shown);
/* The certificate of a session that is ours is good no more: ends all, and says why as above. */
void sessions_revoke(struct sessions *s, enum cert_verdict why, uint64_t now_ms);
/* The peer is another since it, or we, refused. */
void sessions_forget_refusal(struct sessions *s);
bool sessions_is_refused(const struct sessions *s, uint64_t now_ms); /* lately, by the peer */
/* A datagram opened under `session`: if it is next, it becomes current. Cheap when it is not. */
void sessions_on_opened(struct sessions *s, struct session *session, uint64_t now_ms);

void sessions_tick(struct sessions *s, const struct traffic *traffic, uint64_t now_ms);
uint64_t sessions_next_ms(const struct sessions *s);
/* The same for a caller that is told when traffic begins again, and ticks then: without the looks at the traffic. */
uint64_t sessions_quiet_ms(const struct sessions *s);
/* The session to send under now, or NULL. */
struct session *sessions_sendable(const struct sessions *s, uint64_t now_ms);
bool sessions_is_initiating(const struct sessions *s);

/* Turns the last timestamp an initiator sent into its next: the time, or one nanosecond later where the clock stood
 * still or was set back. It rises whatever the clock does, so that nobody is locked out by it. */
void timestamp_advance(uint8_t last[static WIRE_TIMESTAMP_BYTES], uint64_t wall_ms);

#endif
