/* daemon/data/lane.h - packet -> seal -> path, and back
 *
 * A lane is what one thread needs to move packets: its UDP socket and TUN queue, its counters, its send buffers, a
 * reader's place at the published table, and a way to tell the loop. Each worker has one; the loop has one for the
 * packets it held back until a session was there and for datagrams that came over a control connection. What cannot be
 * decided from the table goes to the loop as mail. Nothing here allocates, logs or waits.
 *
 * Out: one read of the TUN yields a train (train.h); each packet cut from it is sealed straight from the read buffer into one
 * contiguous send buffer, and what is contiguous, of one length and bound for one endpoint is one run for the socket (UDP_SEGMENT).
 * Where a peer's packets are compressed (compress.h), each is by itself, after the cut and before the seal.
 * In: a run (UDP_GRO) is opened in place, and packets that continue each other are written to the TUN as one train.
 * Thread: one lane, one thread. */
#ifndef DAEMON_DATA_LANE_H
#define DAEMON_DATA_LANE_H

#include "daemon/base/counters.h"
#include "daemon/data/mail.h"
#include "daemon/data/table.h"
#include "daemon/data/train.h"
#include "daemon/net/udp.h"
#include "tun/tun.h"

/* A datagram's parts around the packet: relay header, sealed header, tag. */
#define LANE_OVERHEAD_BYTES (WIRE_RELAY_HEADER_BYTES + WIRE_SEALED_OVERHEAD_BYTES)
#define LANE_BATCH 32 /* TUN reads, or datagrams without GRO, in one pump */
#define LANE_RUNS_MAX UDP_BATCH_MAX
#define LANE_OUT_BYTES (256 * 1024) /* of the send buffer; a longest packet and its copy fit always */
/* So much is sent, with the whole of the run it ends in, without waiting for more: it still lies in the cache. */
#define LANE_FLUSH_BYTES (96 * 1024)

/* Tells the loop; false: could not (the caller counts it). Called on the lane's thread. */
typedef bool lane_tell_fn(void *arg, const struct mail *m);

struct pieces;
struct compressor;

struct lane {
	/* fixed at creation */
	unsigned number; /* reader's place in tables, TUN queue (the loop's lane shares queue 0) */
	unsigned queue;
	struct tables *tables;
	struct udp *udp;
	struct tun *tun;
	struct counters *counters;
	lane_tell_fn *tell;
	void *arg;
	size_t mtu_bytes;
	/* while entered */
	const struct table *table;
	uint64_t now_ms;
	struct {                          /* not yet added to the peer's traffic, nor stamped */
		struct shared_peer *peer; /* NULL: nothing */
		uint64_t tx_bytes, tx_packets, rx_bytes, rx_packets;
		uint64_t rx_plain_bytes, rx_packed_bytes; /* of those that came compressed */
	} pending;
	/* out */
	struct compressor *compressor;
	uint8_t *packet; /* what the TUN is read into, TUN_VNET_BYTES in front */
	uint8_t *out;    /* sealed datagrams, one behind the other */
	size_t out_len;
	unsigned n_runs;
	struct udp_run runs[LANE_RUNS_MAX];
	struct udp *out_udp; /* the socket they leave by: udp, or a spare one's while the table at hand names it */
	/* in */
	struct pieces *pieces; /* of packets that came in part */
	uint8_t *unpacked;     /* packets that came compressed, one behind the other; they wait there to be joined */
	size_t n_unpacked;
	uint8_t *rx;
	unsigned n_rx_runs;
	struct udp_run rx_runs[LANE_BATCH];
	bool has_joined;
	struct joined joined;
};

/* Allocates the buffers; all fields above but those fixed at creation, which are the caller's to fill before, are set. -ENOMEM. */
int lane_init(struct lane *l, size_t mtu_bytes);
void lane_fini(struct lane *l);

/* Around everything below: takes and gives back the table. lane_leave flushes. False: nothing is published. */
bool lane_enter(struct lane *l, uint64_t now_ms);
void lane_leave(struct lane *l);

/* Reads the TUN queue and sends, up to `most` packets or trains. True if there may be more. */
bool lane_pump_tun(struct lane *l, unsigned most);
/* Reads the UDP socket once and handles what came, up to `most` datagrams or trains, and not more than it has buffers for. True
 * if there may be more. */
bool lane_pump_udp(struct lane *l, unsigned most);
/* The same of a spare socket, for the loop's own lane. */
bool lane_pump_spare(struct lane *l, struct spare *spare);

/* Sends one whole inner packet, copied. For the loop's own lane. */
void lane_send_packet(struct lane *l, const uint8_t *packet, size_t len);
/* One datagram that came over `from`; altered in place, and read until lane_leave. `member` is the sender on relay paths,
 * else 0. */
void lane_receive(struct lane *l, const struct path_addr *from, uint32_t member, uint8_t *data, size_t len);
/* Writes a packet made here (ICMP) to the TUN; `packet` has TUN_VNET_BYTES of headroom. */
void lane_write_tun(struct lane *l, uint8_t *packet, size_t len);

#endif
