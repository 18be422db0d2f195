/* daemon/data/cache.h - the peers a node knows of, as its state_dir keeps them: the file "members"
 *
 * With it a node that starts while no coordinator is in reach has whom to look for, and where. It proves nothing: a
 * handshake with a cached peer asks for key, psk, certificate and revocation as any other does, and a coordinator's word replaces
 * what the file says. The file is untrusted when it is read: decoded within its bounds, all of it or nothing.
 *   offset size field
 *        0   16 "warren-members-2"
 *       16   32 hash_bytes() of all that follows
 *       48   32 our public key: the file is of use to nobody else
 *       80   16 network: the first bytes of the network key, under which a certificate of each peer was seen; zeros: there was none
 *       96    1 coordinators, and 32 bytes of key for each
 *             2 peers, and for each:
 *               32 key; name; 1 number of overlay addresses, and these; 1 CACHE_*; 1 bits of the coordinators that know it;
 *               with CACHE_HAS_ENDPOINTS: candidates (wire/candidates.h)
 * Thread: any. */
#ifndef DAEMON_DATA_CACHE_H
#define DAEMON_DATA_CACHE_H

#include <stdbool.h>

#include "crypto/key.h"
#include "daemon/base/bytes.h"
#include "daemon/config/config.h"
#include "daemon/wire/candidates.h"
#include "daemon/wire/cert.h"
#include "daemon/wire/endpoint.h"

#define CACHE_FILE "members"
/* Those in contact come first; a peer that is left out is found again by a coordinator. */
#define CACHE_PEERS_MAX 1024
#define CACHE_HASH_BYTES 32
#define CACHE_HEAD_BYTES (16 + CACHE_HASH_BYTES)
#define CACHE_PEER_MAX_BYTES \
	(KEY_BYTES + 1 + WIRE_NAME_MAX_BYTES + 1 + WIRE_ADDRS_MAX * 17 + 2 + WIRE_CANDIDATES_MAX_BYTES)
#define CACHE_MAX_BYTES                                                                                    \
	(CACHE_HEAD_BYTES + KEY_BYTES + CERT_NETWORK_BYTES + 1 + CONFIG_COORDINATORS_MAX * KEY_BYTES + 2 + \
	 CACHE_PEERS_MAX * CACHE_PEER_MAX_BYTES)

#define CACHE_HAS_ENDPOINTS 0x01
#define CACHE_IN_CONTACT 0x02 /* when the file was written */

struct cache_peer {
	struct pubkey key;
	char name[WIRE_NAME_MAX_BYTES + 1];
	unsigned n_addrs; /* at least 1 */
	struct ip addrs[WIRE_ADDRS_MAX];
	uint8_t flags, known_at; /* bits of struct cache_head's coordinators */
	struct candidates endpoints;
};

struct cache_head {
	struct pubkey own;
	struct cert_network network;
	unsigned n_coordinators;
	struct pubkey coordinators[CONFIG_COORDINATORS_MAX];
};

/* Written piece by piece: begin, each peer, end. */
struct cache_writer {
	struct writer w;
	uint8_t *count;
	unsigned n_peers;
};

/* `out` has room for CACHE_MAX_BYTES. */
void cache_begin(struct cache_writer *c, uint8_t *out, const struct cache_head *head);
bool cache_has_room(const struct cache_writer *c);
void cache_add(struct cache_writer *c, const struct cache_peer *p);
size_t cache_end(struct cache_writer *c); /* the length; 0: a peer was not as a peer is */

/* Calls `fn` for each peer of a file that is good as a whole. 0, -EPROTONOSUPPORT (not such a file), -EBADMSG (damaged). */
typedef void cache_peer_fn(void *arg, const struct cache_head *head, const struct cache_peer *p);
int cache_decode(const uint8_t *data, size_t len, cache_peer_fn *fn, void *arg);

#endif
