/* daemon/data/lane.h - packet -> seal -> path, and back
 *
 * A lane is what one thread needs to move packets: its UDP socket and TUN queue, its counters, its send buffers, a
 * reader's place at the published table, and a way to tell the loop. Each worker has one; the loop has one for the packets it
 * held back until a session was there and for datagrams that came over a control connection. What cannot be decided
 * from the table goes to the loop as mail. Nothing here allocates, logs or waits.
 * Thread: one lane, one thread. */
#ifndef DAEMON_DATA_LANE_H
#define DAEMON_DATA_LANE_H

#include "daemon/base/counters.h"
#include "daemon/data/mailbox.h"
#include "daemon/data/table.h"
#include "daemon/net/udp.h"
#include "tun/tun.h"

/* A packet's place in the send buffer: relay header, sealed header, packet, tag. */
#define LANE_HEADROOM_BYTES (WIRE_RELAY_HEADER_BYTES + WIRE_SEALED_HEADER_BYTES)
#define LANE_OVERHEAD_BYTES (LANE_HEADROOM_BYTES + WIRE_TAG_BYTES)
#define LANE_BATCH 32

/* Tells the loop; false: could not (the caller counts it). Called on the lane's thread. */
typedef bool lane_tell_fn(void *arg, const struct mail *m);

struct lane {
	/* fixed at creation */
	unsigned number; /* reader's place in tables, TUN queue (the loop's lane shares queue 0) */
	unsigned queue;
	struct tables *tables;
	struct udp *udp;
	const struct tun *tun;
	struct counters *counters;
	lane_tell_fn *tell;
	void *arg;
	size_t slot_bytes;
	/* while entered */
	const struct table *table;
	uint64_t now_ms;
	/* send batch */
	uint8_t *slots; /* LANE_BATCH * slot_bytes, the TUN's vnet header before each packet */
	unsigned n_slots;
	unsigned n_runs;
	struct udp_run runs[LANE_BATCH * TABLE_PATHS_MAX];
	/* receive buffers */
	uint8_t *rx;
	struct udp_run rx_runs[LANE_BATCH];
};

/* Allocates the buffers for packets up to mtu_bytes; other fields are the caller's to fill before. -ENOMEM. */
int lane_init(struct lane *l, size_t mtu_bytes);
void lane_fini(struct lane *l);

/* Around everything below: takes and gives back the table. lane_leave flushes. False: nothing is published. */
bool lane_enter(struct lane *l, uint64_t now_ms);
void lane_leave(struct lane *l);

/* Reads the TUN queue and sends, up to LANE_BATCH packets. True if there may be more. */
bool lane_pump_tun(struct lane *l);
/* Reads the UDP socket and handles what came, up to LANE_BATCH datagrams. True if there may be more. */
bool lane_pump_udp(struct lane *l);

/* Sends one inner packet, copied. For the loop's own lane. */
void lane_send_packet(struct lane *l, const uint8_t *packet, size_t len);
/* One datagram that came over `from`; altered in place. `member` is the sender on relay paths, else 0. */
void lane_receive(struct lane *l, const struct path_addr *from, uint32_t member, uint8_t *data, size_t len);
/* Writes a packet made here (ICMP) to the TUN; `packet` has TUN_VNET_BYTES of headroom. */
void lane_write_tun(struct lane *l, uint8_t *packet, size_t len);

#endif
