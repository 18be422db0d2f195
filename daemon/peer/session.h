/* daemon/peer/session.h - the keys agreed with one peer, as workers use them
 *
 * Made by the loop, published to workers in their snapshot, freed when the last reference goes. What workers change is
 * atomic or locked; all else is fixed at creation.
 * Thread: any, as marked. */
#ifndef DAEMON_PEER_SESSION_H
#define DAEMON_PEER_SESSION_H

#include <pthread.h>
#include <stdatomic.h>

#include "crypto/aead.h"
#include "crypto/replay.h"
#include "daemon/wire/wire.h"

struct session {
	/* fixed at creation */
	struct aead_key send, recv;
	enum aead_suite suite;
	uint16_t features;
	uint32_t local_index, remote_index;
	bool is_initiator;
	uint64_t created_ms;
	void *peer; /* the loop's peer; workers hand it back, never look inside */
	/* shared */
	_Atomic uint32_t refs;
	_Atomic uint64_t next_counter;
	_Atomic bool is_confirmed; /* responder: a datagram of the initiator opened under these keys */
	pthread_mutex_t window_lock;
	struct replay window; /* under window_lock */
};

struct handshake_keys;
struct session *session_new(const struct handshake_keys *keys, uint32_t local_index, uint32_t remote_index,
			    bool is_initiator, uint64_t now_ms, void *peer); /* NULL: memory, suite */
struct session *session_ref(struct session *s);
void session_unref(struct session *s); /* wipes at the last; NULL is fine */

/* Writes header and sealed body: len + WIRE_SEALED_OVERHEAD_BYTES. `in` may stand at out + WIRE_SEALED_HEADER_BYTES.
 * Returns the datagram's length, or -EKEYEXPIRED when the key may seal no more. Any thread. */
int session_seal(struct session *s, uint8_t type, uint8_t flags, uint8_t *out, const uint8_t *in, size_t len);
/* The same of a packet's piece: `first` is the first of its counters, from session_take(). */
int session_seal_piece(struct session *s, uint64_t first, uint8_t piece, uint8_t n_pieces, uint8_t flags, uint8_t *out,
		       const uint8_t *in, size_t len);
/* Takes n consecutive counters; false when the key may seal no more. */
bool session_take(struct session *s, unsigned n, uint64_t *first);
/* Opens a datagram whose header was decoded into *h, in place: the body then stands at data +
 * WIRE_SEALED_HEADER_BYTES. Returns its length; -EBADMSG: does not authenticate; -EALREADY: replayed or too old;
 * -EKEYEXPIRED: older than REJECT_AFTER_TIME at now_ms. Any thread. */
int session_open(struct session *s, const struct wire_sealed *h, uint8_t *data, size_t len, uint64_t now_ms);
/* Sealed so many that a new handshake is due. */
bool session_is_worn(const struct session *s);

/* Times, WireGuard's; the tests shorten rekey and reject. */
#define SESSION_REKEY_AFTER_MS 120000
#define SESSION_REJECT_AFTER_MS 180000
#define SESSION_KEEPALIVE_MS 10000
#define SESSION_REKEY_TIMEOUT_MS 5000
#define SESSION_ATTEMPT_MS 90000

/* What passed between us and one peer; written by workers, read by the loop. */
struct traffic {
	_Atomic uint64_t rx_bytes, tx_bytes, rx_packets, tx_packets; /* inner */
	_Atomic uint64_t last_data_sent_ms, last_data_received_ms;   /* inner packets, not keepalives */
	_Atomic uint64_t last_sent_ms, last_received_ms;             /* anything sealed */
	_Atomic uint64_t path_received_ms;                           /* data over the path in use */
};

#endif
