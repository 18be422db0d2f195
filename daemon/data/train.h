/* daemon/data/train.h - super-packets cut into packets, and packets joined into super-packets
 *
 * The kernel's TUN hands over, and takes, a "train": one IP header, one TCP or UDP header, and the payload of many
 * packets, with a vnet header that says how to cut it (virtio spec 5.1.6; TSO, USO). What is cut here and joined there
 * saves both kernels a walk through their stack per packet. Only what is surely one flow's consecutive packets is
 * joined; anything else passes alone, unchanged.
 * Inner checksums: a packet the kernel left unfinished (NEEDS_CSUM) travels so (WIRE_FLAG_PARTIAL), for the AEAD proves
 * its bytes; the far end hands it on as unfinished, or finishes it where it has no vnet header.
 * Pure: no sockets, no allocation. Thread: any; a struct belongs to one thread. */
#ifndef DAEMON_DATA_TRAIN_H
#define DAEMON_DATA_TRAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "tun/tun.h"

/* ---------------------------------------------------------------- cutting */

/* IPv4 with options or IPv6 with what may stand before TCP/UDP, and TCP with options. */
#define TRAIN_HEADER_MAX_BYTES 120

struct train { /* filled by train_begin; `n` segments */
	uint8_t *packet;
	/* payload_len is a plain packet's whole length; its header_len is 0 */
	size_t header_len, payload_len, segment_payload, at;
	unsigned n, i;
	bool is_ipv6, is_tcp;
	bool is_partial;            /* the packets' checksums are unfinished, where train_locate_checksum finds them */
	bool has_checksum;          /* private: false for UDP without one */
	size_t csum_start, csum_at; /* private: what is to be finished in a plain packet; both 0: nothing */
	/* of the original header */
	uint32_t seq;
	uint16_t ip_id, urgent;
	uint8_t tcp_flags;
	/* sums of what is the same in every segment, as loaded from memory */
	uint64_t ip_sum, pseudo_sum;
	size_t l4; /* where TCP or UDP begins */
	uint8_t header[TRAIN_HEADER_MAX_BYTES];
};

/* Takes a packet as tun_read gave it (`vnet` zeroed without the feature). A plain packet is a train of one.
 * `max_packet` bounds each cut packet (a path's inner MTU); TCP trains are cut smaller to fit, UDP ones cannot be.
 * 0; -EBADMSG: malformed, or a kind of train this cannot cut; -EMSGSIZE: does not fit max_packet and must not be cut
 * (the caller answers with ICMP or splits). Nothing in `packet` is changed yet. */
int train_begin(struct train *t, uint8_t *packet, size_t len, const struct tun_vnet *vnet, size_t max_packet);
/* The next packet, contiguous in the train's own buffer: its header is written over the tail of the payload before it,
 * which must have been sealed by then. NULL after the last. The packet's checksum is finished unless t->is_partial,
 * when it holds the pseudo-header's sum, as the kernel leaves it. */
uint8_t *train_next(struct train *t, size_t *len);

/* Finishes an unfinished (WIRE_FLAG_PARTIAL) TCP or UDP checksum in place. -EBADMSG if the packet is neither. */
int train_finish_checksum(uint8_t *packet, size_t len);
/* Where a partial checksum lies, for a vnet header. -EBADMSG if the packet is neither TCP nor UDP, or a fragment. */
int train_locate_checksum(const uint8_t *packet, size_t len, uint16_t *start, uint16_t *offset);

/* ---------------------------------------------------------------- joining */

#define TRAIN_JOIN_MAX 64 /* packets in one super-packet; the kernel takes no more of UDP */

struct joined {               /* one write to the TUN: vnet header (the caller writes its bytes), then iov[0..n_iov) */
	struct tun_vnet vnet; /* by train_join_end */
	unsigned n_packets, n_iov;
	struct iovec iov[TRAIN_JOIN_MAX];
	size_t len;
	/* private: what the next packet must match */
	size_t header_len, segment_payload;
	uint32_t next_seq;
	uint16_t next_ip_id;
	bool is_closed, is_ipv6, is_tcp, is_joinable, is_partial, is_pushed;
};

/* Begins with one packet (whose source was checked). `is_partial`: its checksum is unfinished. `features` are the
 * device's: TCP is joined with TUN_TSO, UDP with TUN_USO. Bytes behind the packet's own length are cut off. The bytes
 * are borrowed until the write, and the first packet's header is changed by train_join_end. */
void train_join_begin(struct joined *j, uint8_t *packet, size_t len, bool is_partial, unsigned features);
/* Adds the next packet if it surely continues the flow: same addresses, ports, TOS, TTL, options, ack, window;
 * consecutive sequence number (and IPv4 id, or DF); same payload size, only the last shorter; no flags but ACK, and PSH
 * on the last; both partial; neither fragment nor IP options nor IPv6 extension headers; total at most 65535.
 * False: not added; write j, begin anew. */
bool train_join_add(struct joined *j, uint8_t *packet, size_t len, bool is_partial);
/* Finishes lengths, pseudo-header sum and the vnet header before the write. A single packet is left as it is. */
void train_join_end(struct joined *j);
/* After train_join_end: the i-th of the n_packets again, as it came in, for where the train was refused. */
uint8_t *train_join_packet(struct joined *j, unsigned i, size_t *len);

#endif
