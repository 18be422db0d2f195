/* daemon/base/counters.h - what happened to datagrams and packets, by reason
 *
 * Each thread adds to its own struct counters (no sharing, relaxed atomics so that another thread may read);
 * whoever shows them sums over all. Names are what `warrenctl status --json` shows. */
#ifndef DAEMON_BASE_COUNTERS_H
#define DAEMON_BASE_COUNTERS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* clang-format off */
#define COUNTERS(X)                                                                                             \
	X(rx_datagrams) X(tx_datagrams) X(rx_bytes) X(tx_bytes) /* underlay, all kinds */                       \
	X(tun_rx_packets) X(tun_tx_packets) X(tun_rx_bytes) X(tun_tx_bytes)                                     \
	X(relay_tx_datagrams) X(relay_rx_datagrams) X(relay_tx_bytes) X(relay_rx_bytes) /* peer: via a relay */ \
	X(relay_forwarded_datagrams) X(relay_forwarded_bytes) /* coordinator */                                 \
	X(handshakes_initiated) X(handshakes_completed) X(handshakes_answered)                                  \
	X(cookies_sent) X(stun_answered) X(binds_answered) X(registrations)                                     \
	X(drop_short) X(drop_type) X(drop_unknown_index) X(drop_auth) X(drop_replay) X(drop_expired)            \
	X(drop_source)      /* inner source address is not the sending peer's */                                \
	X(drop_inner)       /* inner packet malformed */                                                        \
	X(drop_lz4)         /* compressed, and not agreed upon or malformed */                                                        \
	X(drop_no_peer)     /* overlay address nobody has */                                                    \
	X(drop_no_path) X(drop_queue_full) X(drop_tun_error) X(drop_send_error) X(drop_too_big)                 \
	X(drop_answer)      /* to no probe of ours but one of a search, or late, or from elsewhere */            \
	X(drop_multicast)                                                                                       \
	X(handshake_bad_mac) X(handshake_unknown_key) X(handshake_bad_auth) X(handshake_replayed)               \
	X(handshake_rate_limited) X(handshake_malformed) X(handshake_no_cipher)                                 \
	X(handshake_untrusted)  /* a certificate was refused */                                                 \
	X(certificates_checked) /* signatures looked at: not those that were found good before */              \
	X(records_refused)      /* a coordinator's word about a peer, or us, that its certificate does not bear out */ \
	X(stun_rate_limited) X(bind_bad) X(control_bad_frame) X(control_unknown_key) X(control_rate_limited)    \
	X(network_looks) X(network_changes) /* after what the kernel told: looks, and those that found a difference */          \
	X(openers_sent)     /* towards a peer, past our own NATs and no further */                               \
	X(tcp_connected) X(tcp_accepted)                                                                        \
	X(tcp_refused)      /* connections from strangers: too many, silent for too long, or not warren's */    \
	X(relay_not_allowed) X(relay_no_receiver) X(relay_over_rate) X(relay_bad_source)                        \
	X(relay_over_share) /* of the heaviest senders, while there was not room for all */
/* clang-format on */

enum counter {
#define COUNTER_ENUM(name) COUNTER_##name,
	COUNTERS(COUNTER_ENUM)
#undef COUNTER_ENUM
	COUNTER_COUNT
};

struct counters {
	_Atomic uint64_t v[COUNTER_COUNT];
};

const char *counter_name(enum counter c);

static inline void counters_add(struct counters *c, enum counter which, uint64_t n)
{
	/* One writer: a plain load and store is enough and costs no locked instruction. */
	atomic_store_explicit(&c->v[which], atomic_load_explicit(&c->v[which], memory_order_relaxed) + n,
			      memory_order_relaxed);
}

static inline void counters_inc(struct counters *c, enum counter which)
{
	counters_add(c, which, 1);
}

static inline uint64_t counters_get(const struct counters *c, enum counter which)
{
	return atomic_load_explicit(&c->v[which], memory_order_relaxed);
}

/* Adds every counter of `from` to the plain array `sum` of COUNTER_COUNT. */
void counters_sum(uint64_t *sum, const struct counters *from);

#endif
