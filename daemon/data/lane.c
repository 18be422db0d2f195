#include "daemon/data/lane.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/data/lane_private.h"
#include "daemon/data/pieces.h"

/* Of a receive buffer: a train as long as IP allows, or, without GRO, a datagram longer than any of ours. */
#define RX_TRAIN_BYTES 65536
#define RX_DATAGRAM_BYTES 10240
#define RX_TRAINS 8

int lane_init(struct lane *l, size_t mtu_bytes)
{
	size_t rx_bytes = l->udp->has_gro ? RX_TRAIN_BYTES : RX_DATAGRAM_BYTES;

	l->mtu_bytes = mtu_bytes;
	l->table = NULL;
	l->pending.peer = NULL;
	l->out_len = 0;
	l->n_runs = 0;
	l->n_unpacked = 0;
	l->out_udp = l->udp;
	l->has_joined = false;
	l->n_rx_runs = l->udp->has_gro ? RX_TRAINS : LANE_BATCH;
	/* The kernel gives the pages as they are touched. */
	l->packet = malloc(TUN_VNET_BYTES + TUN_PACKET_MAX_BYTES);
	l->out = malloc(LANE_OUT_BYTES);
	l->rx = malloc(l->n_rx_runs * (rx_bytes + TUN_VNET_BYTES));
	l->pieces = pieces_new(mtu_bytes, TUN_VNET_BYTES);
	l->compressor = compressor_new(mtu_bytes);
	l->unpacked = malloc(LANE_UNPACKED_BYTES);
	if (!l->packet || !l->out || !l->rx || !l->pieces || !l->compressor || !l->unpacked) {
		lane_fini(l);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < l->n_rx_runs; i++)
		l->rx_runs[i] = (struct udp_run){ .data = l->rx + i * (rx_bytes + TUN_VNET_BYTES) + TUN_VNET_BYTES,
						  .capacity = rx_bytes };
	return 0;
}

void lane_fini(struct lane *l)
{
	free(l->packet);
	free(l->out);
	free(l->rx);
	free(l->unpacked);
	pieces_free(l->pieces);
	compressor_free(l->compressor);
	l->pieces = NULL;
	l->compressor = NULL;
	l->packet = l->out = l->rx = l->unpacked = NULL;
}

bool lane_enter(struct lane *l, uint64_t now_ms)
{
	l->now_ms = now_ms;
	l->table = tables_enter(l->tables, l->number);
	if (!l->table)
		tables_leave(l->tables, l->number);
	return l->table != NULL;
}

void lane_leave(struct lane *l)
{
	lane_flush_joined(l);
	lane_flush_out(l);
	lane_count_for(l, NULL);
	l->table = NULL;
	tables_leave(l->tables, l->number);
}

static void add(_Atomic uint64_t *sum, uint64_t n)
{
	atomic_fetch_add_explicit(sum, n, memory_order_relaxed);
}

void lane_count_for(struct lane *l, struct shared_peer *peer)
{
	struct shared_peer *old = l->pending.peer;

	if (old == peer)
		return;
	if (old) {
		struct traffic *t = &old->traffic;

		if (l->pending.tx_packets) {
			add(&t->tx_bytes, l->pending.tx_bytes);
			add(&t->tx_packets, l->pending.tx_packets);
			lane_store_ms(&t->last_data_sent_ms, l->now_ms);
			lane_store_ms(&t->last_sent_ms, l->now_ms);
		}
		if (l->pending.rx_packets) {
			add(&t->rx_bytes, l->pending.rx_bytes);
			add(&t->rx_packets, l->pending.rx_packets);
			lane_store_ms(&t->last_data_received_ms, l->now_ms);
		}
		if (l->pending.rx_packed_bytes) {
			add(&old->compression.rx_plain_bytes, l->pending.rx_plain_bytes);
			add(&old->compression.rx_packed_bytes, l->pending.rx_packed_bytes);
		}
		/* Traffic with a peer the loop left alone: it wants to look after its path again. */
		if ((l->pending.tx_packets || l->pending.rx_packets) &&
		    atomic_load_explicit(&old->is_asleep, memory_order_relaxed) &&
		    atomic_exchange_explicit(&old->is_asleep, false, memory_order_relaxed))
			lane_tell(l, &(struct mail){ .kind = MAIL_AWAKE, .peer = old->id });
	}
	l->pending.peer = peer;
	l->pending.tx_bytes = l->pending.tx_packets = l->pending.rx_bytes = l->pending.rx_packets = 0;
	l->pending.rx_plain_bytes = l->pending.rx_packed_bytes = 0;
}

void lane_write_tun(struct lane *l, uint8_t *packet, size_t len)
{
	if (tun_write(l->tun, l->queue, packet, len, NULL) < 0) {
		lane_drop(l, COUNTER_drop_tun_error);
		return;
	}
	counters_inc(l->counters, COUNTER_tun_tx_packets);
	counters_add(l->counters, COUNTER_tun_tx_bytes, len);
}
