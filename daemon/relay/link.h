/* daemon/relay/link.h - one registration's UDP side: the keys of bind and relay datagrams
 *
 * Both ends hold one: the peer towards its coordinator, the coordinator towards each registered peer. Made by the
 * loop when a registration's handshake ends, published to workers, freed with the last reference. Thread: any, as
 * session.h. */
#ifndef DAEMON_RELAY_LINK_H
#define DAEMON_RELAY_LINK_H

#include <pthread.h>
#include <stdatomic.h>

#include "crypto/aead.h"
#include "crypto/mac.h"
#include "crypto/replay.h"
#include "daemon/wire/bind.h"
#include "daemon/wire/relay.h"

struct relay_link {
	/* fixed at creation */
	struct aead_key bind_send, bind_recv;
	uint8_t tag_send[SHORT_KEY_BYTES], tag_recv[SHORT_KEY_BYTES];
	uint32_t local_index, remote_index;
	void *owner; /* the loop's; workers hand it back */
	/* shared */
	_Atomic uint32_t refs;
	_Atomic uint64_t next_counter;
	pthread_mutex_t window_lock;
	struct replay window;
};

/* The secrets of a handshake with purpose coordinator, as handshake.h derives them. */
struct relay_link *relay_link_new(const uint8_t udp_send[static 32], const uint8_t udp_recv[static 32],
				  const uint8_t tag_send[static SHORT_KEY_BYTES],
				  const uint8_t tag_recv[static SHORT_KEY_BYTES], uint32_t local_index,
				  uint32_t remote_index, void *owner);
struct relay_link *relay_link_ref(struct relay_link *l);
void relay_link_unref(struct relay_link *l); /* NULL is fine; wipes at the last */

/* Writes the header in front of a payload of `payload_len` bytes bound for, or coming from, `member`. */
void relay_link_wrap(struct relay_link *l, uint8_t header[static WIRE_RELAY_HEADER_BYTES], uint32_t member,
		     size_t payload_len);
/* Checks tag and window of a decoded datagram. 0, -EBADMSG, -EALREADY. */
int relay_link_check(struct relay_link *l, const struct wire_relay *r, const uint8_t *data);

/* A whole bind datagram: WIRE_SEALED_OVERHEAD_BYTES + WIRE_BIND_BYTES. Returns its length. */
#define RELAY_BIND_DATAGRAM_BYTES (WIRE_SEALED_OVERHEAD_BYTES + WIRE_BIND_BYTES)
int relay_link_bind_seal(struct relay_link *l, uint8_t out[static RELAY_BIND_DATAGRAM_BYTES],
			 const struct wire_bind *b);
/* Opens one, in place. 0, -EBADMSG, -EALREADY. */
int relay_link_bind_open(struct relay_link *l, const struct wire_sealed *h, uint8_t *data, size_t len,
			 struct wire_bind *out);

#endif
