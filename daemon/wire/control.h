/* daemon/wire/control.h - messages between a peer and its coordinator inside the control connection
 *
 * Each message is one sealed frame; its first byte is the type. Unknown types are skipped. Texts are one length byte and
 * that many bytes. A member record is: 4 id, 32 public key, 1 flags (bit 0 MEMBER_ONLINE), text name, 1 count of overlay
 * addresses, then each: 1 length (4, 16), address; 2 length of the certificate that it registered with, certificate (cert.h; 0: none
 * is known).
 *
 *   type                    from  body after the type byte
 *   CONTROL_REGISTER        peer  1 version, 1 flags, 8 boot id, 4 index (of the peer, for bind and relay datagrams),
 *                                 text name as the node's file has it
 *   CONTROL_REGISTERED      coord 4 member id, 4 index (of the coordinator), 1 flags (REGISTERED_*), 2 UDP port,
 *                                 2 alternate UDP port or 0, 8 relay rate bit/s, text name, text network,
 *                                 1 count, then each overlay address: 1 length, address, 1 prefix bits;
 *                                 its alternate address: 1 length (4, 16, or 0: none), address;
 *                                 20 where this connection comes from (endpoint.h)
 *   CONTROL_REFUSED         coord 1 reason (enum refused_reason), text for the log
 *   CONTROL_CANDIDATES      peer  candidates.h: kept, and told to whom this peer is introduced
 *   CONTROL_LOOKUP          peer  4 token, 1 by (enum lookup_by), value: address (1 length, bytes), name text, 32 key or 4 id
 *   CONTROL_FOUND           coord 4 token, 1 found, member record if found
 *   CONTROL_CONNECT         peer  4 member id: introduce us
 *   CONTROL_INTRODUCE       coord 1 flags (INTRODUCE_ASKED: you asked for it), 2 start in ms, member record, candidates.h
 *   CONTROL_LIST            peer  8 version known, 4 from id (0: from the start): the whole directory, in pages
 *   CONTROL_MEMBERS         coord 8 version, 4 next id (0: last page; UINT32_MAX: unchanged), 1 count, records
 *   CONTROL_PING            both  8 token
 *   CONTROL_PONG            both  8 token, 8 the sender's clock (ms since 1970; 0: not told)
 *   CONTROL_RELAY           both  4 member id (peer: the receiver; coordinator: the sender), the datagram
 *   CONTROL_PEER_EVENT      coord 4 member id, 1 event (enum peer_event): of a member this one was introduced to
 *   CONTROL_PATHS           peer  1 count, then each: 4 member id, 1 kind (enum control_path): of the path that is used to it from
 *                                 now on, for the administrator's eyes
 *   CONTROL_REVOCATIONS     both  revocation.h: the list of revoked members, where there is a network key */
#ifndef DAEMON_WIRE_CONTROL_H
#define DAEMON_WIRE_CONTROL_H

#include "daemon/wire/candidates.h"
#include "daemon/wire/frame.h"
#include "daemon/wire/revocation.h"
#include "daemon/wire/text.h"

enum wire_control_type {
	CONTROL_REGISTER = 1,
	CONTROL_REGISTERED = 2,
	CONTROL_REFUSED = 3,
	CONTROL_CANDIDATES = 4,
	CONTROL_LOOKUP = 5,
	CONTROL_FOUND = 6,
	CONTROL_CONNECT = 7,
	CONTROL_INTRODUCE = 8,
	CONTROL_LIST = 9,
	CONTROL_MEMBERS = 10,
	CONTROL_PING = 11,
	CONTROL_PONG = 12,
	CONTROL_RELAY = 13,
	CONTROL_PEER_EVENT = 14,
	CONTROL_PATHS = 15,
	CONTROL_REVOCATIONS = 16,
};

#define MEMBER_ONLINE 0x01
#define REGISTERED_RELAY 0x01
#define REGISTERED_OTHER_PORT 0x02 /* it answers bind requests from other ports, if asked */
#define INTRODUCE_ASKED 0x01
#define CONTROL_LIST_UNCHANGED UINT32_MAX

enum refused_reason {
	REFUSED_VERSION = 1,
	REFUSED_REPLACED = 2,
	REFUSED_REMOVED = 3,
	REFUSED_NO_ADDRESS = 4,
	REFUSED_CERTIFICATE = 5
};
enum lookup_by {
	LOOKUP_ADDRESS = 1,
	LOOKUP_NAME = 2,
	LOOKUP_KEY = 3,
	LOOKUP_ID = 4
};
enum peer_event {
	PEER_RESTARTED = 1, /* registered anew under another boot id: its sessions are gone */
	PEER_OFFLINE = 2,
	PEER_ONLINE = 3,
	PEER_REMOVED = 4, /* no longer a member: end its sessions */
};

enum control_path {
	CONTROL_PATH_NONE = 0,
	CONTROL_PATH_LAN = 1,
	CONTROL_PATH_DIRECT = 2,
	CONTROL_PATH_TCP = 3,
	CONTROL_PATH_RELAY_UDP = 4, /* the sender's half over UDP */
	CONTROL_PATH_RELAY_TCP = 5,
};

/* A control message (before sealing) is at most this long. */
#define WIRE_CONTROL_MAX_BYTES (WIRE_FRAME_MAX_BYTES - 16)
/* The longest datagram that fits a CONTROL_RELAY. */
#define WIRE_CONTROL_RELAY_MAX_BYTES (WIRE_CONTROL_MAX_BYTES - 5)

struct wire_member {
	const uint8_t *cert; /* borrowed: of a record that was read, from the message; not looked into */
	uint32_t id;
	unsigned n_addrs;
	uint16_t cert_len; /* 0: none */
	uint8_t flags;
	uint8_t key[32];
	char name[WIRE_NAME_MAX_BYTES + 1]; /* validated: [a-z0-9-.]+ */
	struct ip addrs[WIRE_ADDRS_MAX];
};
struct wire_register {
	uint8_t version, flags;
	uint64_t boot_id;
	uint32_t index;
	char name[WIRE_NAME_MAX_BYTES + 1];
};
struct wire_registered {
	uint32_t member, index;
	uint8_t flags;
	uint16_t udp_port, alternate_port;
	uint64_t relay_rate;
	char name[WIRE_NAME_MAX_BYTES + 1], network[WIRE_NAME_MAX_BYTES + 1];
	unsigned n_addrs;
	struct prefix addrs[WIRE_ADDRS_MAX]; /* own overlay address with its network's prefix length */
	struct ip alternate_address;         /* of the coordinator's UDP ports; none: it has but one */
	struct endpoint source;              /* of the connection, as the coordinator sees it; ip.len 0: not said */
};
struct wire_refused {
	uint8_t reason;
	char text[128]; /* as received: escape before printing (log.h does) */
};
struct wire_lookup {
	uint32_t token;
	enum lookup_by by;
	struct ip address;
	char name[WIRE_NAME_MAX_BYTES + 1];
	uint8_t key[32];
	uint32_t id;
};
struct wire_found {
	uint32_t token;
	bool found;
	struct wire_member member;
};
struct wire_introduce {
	uint8_t flags;
	uint16_t start_in_ms;
	struct wire_member member;
	struct candidates candidates;
};
struct wire_list {
	uint64_t version;
	uint32_t from;
};
#define WIRE_MEMBERS_PER_PAGE 23 /* at most: certificates take room too */
struct wire_members {
	uint64_t version;
	uint32_t next;
	unsigned n;
	struct wire_member v[WIRE_MEMBERS_PER_PAGE];
};
struct wire_pong {
	uint64_t token;
	uint64_t wall_ms; /* the sender's clock; 0: not told */
};
struct wire_peer_event {
	uint32_t member;
	enum peer_event event;
};
#define WIRE_PATHS_MAX 255
struct wire_paths {
	unsigned n;
	struct {
		uint32_t member;
		enum control_path kind;
	} v[WIRE_PATHS_MAX];
};

/* The type byte, or -EBADMSG for an empty message. */
int wire_control_type_of(const uint8_t *data, size_t len);

/* Encoders write the whole message with its type byte and return its length, or -ENOSPC, or -EINVAL for what no decoder
 * would take (a bad name, a count too high). Decoders take the whole message; -EBADMSG when
 * malformed (trailing bytes included). Both check names: wire_name_is_valid (empty allowed in REGISTER). */
int wire_register_encode(uint8_t *out, size_t capacity, const struct wire_register *m);
int wire_register_decode(struct wire_register *out, const uint8_t *data, size_t len);
int wire_registered_encode(uint8_t *out, size_t capacity, const struct wire_registered *m);
int wire_registered_decode(struct wire_registered *out, const uint8_t *data, size_t len);
int wire_refused_encode(uint8_t *out, size_t capacity, const struct wire_refused *m);
int wire_refused_decode(struct wire_refused *out, const uint8_t *data, size_t len);
int wire_control_candidates_encode(uint8_t *out, size_t capacity, const struct candidates *m);
int wire_control_candidates_decode(struct candidates *out, const uint8_t *data, size_t len);
int wire_lookup_encode(uint8_t *out, size_t capacity, const struct wire_lookup *m);
int wire_lookup_decode(struct wire_lookup *out, const uint8_t *data, size_t len);
int wire_found_encode(uint8_t *out, size_t capacity, const struct wire_found *m);
int wire_found_decode(struct wire_found *out, const uint8_t *data, size_t len);
int wire_connect_encode(uint8_t *out, size_t capacity, uint32_t member);
int wire_connect_decode(uint32_t *member, const uint8_t *data, size_t len);
int wire_introduce_encode(uint8_t *out, size_t capacity, const struct wire_introduce *m);
int wire_introduce_decode(struct wire_introduce *out, const uint8_t *data, size_t len);
int wire_list_encode(uint8_t *out, size_t capacity, const struct wire_list *m);
int wire_list_decode(struct wire_list *out, const uint8_t *data, size_t len);
/* One more on the page; false: it has no room. */
bool wire_members_add(struct wire_members *m, const struct wire_member *record);
int wire_members_encode(uint8_t *out, size_t capacity, const struct wire_members *m);
int wire_members_decode(struct wire_members *out, const uint8_t *data, size_t len);
int wire_ping_encode(uint8_t *out, size_t capacity, uint64_t token);
int wire_ping_decode(uint64_t *token, const uint8_t *data, size_t len);
int wire_pong_encode(uint8_t *out, size_t capacity, const struct wire_pong *m);
int wire_pong_decode(struct wire_pong *out, const uint8_t *data, size_t len);
/* Writes the 5 bytes that stand before the datagram. */
int wire_control_relay_encode(uint8_t *out, size_t capacity, uint32_t member);
int wire_control_relay_decode(uint32_t *member, const uint8_t **payload, size_t *payload_len, const uint8_t *data,
			      size_t len);
int wire_peer_event_encode(uint8_t *out, size_t capacity, const struct wire_peer_event *m);
int wire_peer_event_decode(struct wire_peer_event *out, const uint8_t *data, size_t len);
int wire_paths_encode(uint8_t *out, size_t capacity, const struct wire_paths *m);
int wire_paths_decode(struct wire_paths *out, const uint8_t *data, size_t len);

#endif
