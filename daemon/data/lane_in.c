/* Datagram -> open -> TUN. */
#include <errno.h>
#include <string.h>

#include "daemon/data/inner_ip.h"
#include "daemon/data/lane_private.h"
#include "daemon/data/pieces.h"
#include "daemon/wire/handshake.h"
#include "daemon/wire/stun.h"

/* ---------------------------------------------------------------- to the TUN */

static void count_written(struct lane *l, int ret, uint64_t packets, uint64_t bytes)
{
	if (ret < 0) {
		counters_add(l->counters, COUNTER_drop_tun_error, packets);
		return;
	}
	counters_add(l->counters, COUNTER_tun_tx_packets, packets);
	counters_add(l->counters, COUNTER_tun_tx_bytes, bytes);
}

/* Without trains on the TUN: one packet, one write. What the kernel said, 0 where it was not asked. */
static int write_alone(struct lane *l, uint8_t *packet, size_t len, bool is_partial)
{
	struct tun_vnet vnet = { 0 };
	int ret;

	if (is_partial && !(l->tun->features & TUN_VNET)) {
		if (train_finish_checksum(packet, len) < 0) {
			lane_drop(l, COUNTER_drop_inner);
			return 0;
		}
	} else if (is_partial) {
		if (train_locate_checksum(packet, len, &vnet.csum_start, &vnet.csum_offset) < 0) {
			lane_drop(l, COUNTER_drop_inner);
			return 0;
		}
		vnet.flags = TUN_VNET_NEEDS_CSUM;
	}
	ret = tun_write(l->tun, l->queue, packet, len, &vnet);
	count_written(l, ret, 1, len);
	return ret;
}

/* The train was refused, or there was no memory for so long a packet; each of its packets may do better. If all do, it was
 * not for want of memory, and no more such trains are written. */
static void write_one_by_one(struct lane *l, struct joined *j, int error)
{
	unsigned feature = j->is_tcp ? TUN_TSO : TUN_USO;
	bool is_any_refused = false;

	for (unsigned i = 0; i < j->n_packets; i++) {
		size_t len;
		uint8_t *packet = train_join_packet(j, i, &len);

		is_any_refused |= write_alone(l, packet, len, true) < 0;
	}
	if (is_any_refused || error == -ENOMEM || error == -ENOBUFS || tun_trains_error(l->tun, feature))
		return;
	tun_refuse_trains(l->tun, feature, -error);
	lane_tell(l, &(struct mail){ .kind = MAIL_REFUSED });
}

void lane_flush_joined(struct lane *l)
{
	struct joined *j = &l->joined;
	int ret;

	if (!l->has_joined)
		return;
	l->has_joined = false;
	train_join_end(j);
	ret = tun_writev(l->tun, l->queue, j->iov, j->n_iov, &j->vnet);
	/* EIO: the interface is down, EBADFD: it is gone; EAGAIN: no room. */
	if (ret < 0 && j->n_packets > 1 && ret != -EIO && ret != -EBADFD && ret != -EAGAIN)
		write_one_by_one(l, j, ret);
	else
		count_written(l, ret, j->n_packets, j->len);
}

static void deliver(struct lane *l, uint8_t *packet, size_t len, bool is_partial)
{
	unsigned trains = tun_trains(l->tun);

	if (!trains) {
		lane_flush_joined(l);
		write_alone(l, packet, len, is_partial);
		return;
	}
	if (l->has_joined && train_join_add(&l->joined, packet, len, is_partial))
		return;
	lane_flush_joined(l);
	if (is_partial && train_locate_checksum(packet, len, &(uint16_t){ 0 }, &(uint16_t){ 0 }) < 0) {
		lane_drop(l, COUNTER_drop_inner); /* its sender says there is a checksum to finish, and there is none */
		return;
	}
	train_join_begin(&l->joined, packet, len, is_partial, trains);
	l->has_joined = true;
}

/* ---------------------------------------------------------------- datagrams */

/* Once per source and second, and of few sources: the loop checks a path, it does not count packets. */
static bool is_worth_telling(struct shared_peer *peer, const struct path_addr *from, uint64_t now_ms)
{
	uint32_t hash = endpoint_hash(&from->endpoint) ^
			((uint32_t)from->socket << 16 | (uint32_t)from->kind << 8 | from->coordinator);
	uint64_t second = now_ms / 1000 << 32;
	_Atomic uint64_t *stale = NULL;

	for (unsigned i = 0; i < SHARED_PEER_TOLD; i++) {
		uint64_t told = atomic_load_explicit(&peer->told[i], memory_order_relaxed);

		if (told == (second | hash))
			return false;
		if (told >> 32 != second >> 32)
			stale = &peer->told[i];
	}
	if (!stale)
		return false;
	atomic_store_explicit(stale, second | hash, memory_order_relaxed);
	return true;
}

/* Did it come over the path we use ourselves? Then that path is proven; else the peer may have moved. */
static void note_path(struct lane *l, const struct table_route *route, const struct path_addr *from)
{
	struct shared_peer *peer = route->peer;

	if (route->n_paths) {
		struct path_addr used = route->paths[0].addr;

		if (path_addr_is_relay(&used))
			used.endpoint = (struct endpoint){ 0 };
		if (path_addr_equal(&used, from)) {
			lane_store_ms(&peer->traffic.path_received_ms, l->now_ms);
			return;
		}
	}
	if (is_worth_telling(peer, from, l->now_ms))
		lane_tell(l, &(struct mail){ .kind = MAIL_SOURCE, .peer = peer->id, .from = *from });
}

/* A session may have been published, and used by its peer, since this lane entered: then it goes on with the new table.
 * What was found in the old one is not to be used after this. */
static const struct table_index *find_index(struct lane *l, uint32_t index)
{
	const struct table_index *slot = table_find_index(l->table, index);

	if (!slot && !tables_is_current(l->tables, l->table)) {
		lane_count_for(l, NULL); /* its peer is the old table's */
		lane_flush_out(l);       /* and so is the socket */
		l->table = tables_enter(l->tables, l->number);
		slot = table_find_index(l->table, index);
	}
	return slot;
}

static uint8_t *unpack(struct lane *l, const struct session *session, const uint8_t *block, size_t *len)
{
	uint8_t *packet;
	int n = -EBADMSG;

	if (!l->has_joined)
		l->n_unpacked = 0;
	if (LANE_UNPACKED_BYTES - l->n_unpacked < TUN_VNET_BYTES + l->mtu_bytes) {
		lane_flush_joined(l);
		l->n_unpacked = 0;
	}
	packet = l->unpacked + l->n_unpacked + TUN_VNET_BYTES;
	if (session->features & WIRE_FEATURE_LZ4)
		n = compress_unpack(packet, l->mtu_bytes, block, *len);
	if (n < 0) {
		lane_drop(l, COUNTER_drop_lz4);
		return NULL;
	}
	l->n_unpacked += TUN_VNET_BYTES + (size_t)n;
	l->pending.rx_packed_bytes += *len;
	l->pending.rx_plain_bytes += (size_t)n;
	*len = (size_t)n;
	return packet;
}

/* The packet of a body that is not simply one: of pieces put together, of a block unpacked. NULL: there is none, or not yet. */
static uint8_t *packet_of(struct lane *l, const struct session *session, const struct wire_sealed *h, uint8_t *body,
			  size_t *len)
{
	if (h->n_pieces) {
		lane_flush_joined(l); /* it may hold the last packet that was put together */
		body = pieces_add(l->pieces, h, body, *len, len);
	}
	return body && (h->flags & WIRE_FLAG_LZ4) ? unpack(l, session, body, len) : body;
}

static void receive_data(struct lane *l, const struct path_addr *from, uint8_t *data, size_t len)
{
	const struct table_index *slot;
	const struct table_route *route;
	struct session *session;
	struct wire_sealed h;
	struct inner_ip ip;
	uint8_t *packet = data + WIRE_SEALED_HEADER_BYTES;
	size_t n;
	int body;

	if (wire_sealed_decode(&h, data, len) < 0) {
		lane_drop(l, COUNTER_drop_short);
		return;
	}
	slot = find_index(l, h.index);
	if (!slot || !slot->session) {
		lane_drop(l, COUNTER_drop_unknown_index);
		return;
	}
	route = slot->route;
	session = slot->session;
	body = session_open(session, &h, data, len, l->now_ms);
	if (body < 0) {
		lane_drop(l, body == -EALREADY    ? COUNTER_drop_replay :
			     body == -EKEYEXPIRED ? COUNTER_drop_expired :
						    COUNTER_drop_auth);
		return;
	}
	lane_count_for(l, route->peer);
	lane_store_ms(&route->peer->traffic.last_received_ms, l->now_ms);
	if (!atomic_load_explicit(&session->is_confirmed, memory_order_relaxed) &&
	    !atomic_exchange_explicit(&session->is_confirmed, true, memory_order_relaxed))
		lane_tell(l, &(struct mail){
				     .kind = MAIL_OPENED, .peer = route->peer->id, .index = h.index, .from = *from });
	note_path(l, route, from);
	n = (size_t)body;
	if (h.n_pieces | (h.flags & WIRE_FLAG_LZ4)) {
		packet = packet_of(l, session, &h, packet, &n);
		if (!packet)
			return;
	}
	if (n == 0)
		return; /* a keepalive */
	/* The source belongs to the sender: before anything else looks at the packet. */
	if (inner_ip_parse(&ip, packet, n) < 0) {
		lane_drop(l, COUNTER_drop_inner);
		return;
	}
	if (!table_may_come_from(l->table, route, &ip.src)) {
		lane_drop(l, COUNTER_drop_source);
		return;
	}
	if (!table_is_own(l->table, &ip.dst)) {
		lane_drop(l, COUNTER_drop_inner);
		return;
	}
	if (l->table->capture)
		capture_packet(l->table->capture, l->number, route->peer->id, true, packet, ip.len);
	l->pending.rx_bytes += ip.len;
	l->pending.rx_packets++;
	deliver(l, packet, ip.len, h.flags & WIRE_FLAG_PARTIAL);
}

static void receive_relayed(struct lane *l, const struct path_addr *from, uint8_t *data, size_t len)
{
	const struct table_index *slot;
	struct wire_relay r;
	struct path_addr via = { .kind = PATH_RELAY_UDP };

	if (from->kind != PATH_UDP || wire_relay_decode(&r, data, len) < 0) {
		lane_drop(l, COUNTER_drop_short); /* also a relayed datagram inside another */
		return;
	}
	slot = find_index(l, r.index);
	if (!slot || !slot->link) {
		lane_drop(l, COUNTER_drop_unknown_index);
		return;
	}
	switch (relay_link_check(slot->link, &r, data)) {
	case 0:
		break;
	case -EALREADY:
		lane_drop(l, COUNTER_drop_replay);
		return;
	default:
		lane_drop(l, COUNTER_drop_auth);
		return;
	}
	via.coordinator = slot->coordinator;
	lane_receive(l, &via, r.member, data + WIRE_RELAY_HEADER_BYTES, r.payload_len);
}

void lane_receive(struct lane *l, const struct path_addr *from, uint32_t member, uint8_t *data, size_t len)
{
	if (path_addr_is_relay(from)) {
		counters_inc(l->counters, COUNTER_relay_rx_datagrams);
		counters_add(l->counters, COUNTER_relay_rx_bytes, len);
	}
	if (len == 0) {
		lane_drop(l, COUNTER_drop_short);
		return;
	}
	switch (data[0]) {
	case WIRE_DATA:
		receive_data(l, from, data, len);
		return;
	case WIRE_RELAY:
		receive_relayed(l, from, data, len);
		return;
	case WIRE_INIT:
	case WIRE_RESPONSE:
	case WIRE_COOKIE:
	case WIRE_SESSION:
	case WIRE_BIND:
	case WIRE_LOOP:
		break;
	default:
		if (stun_is_answer(data, len))
			break;
		lane_drop(l, COUNTER_drop_type);
		return;
	}
	lane_tell(l,
		  &(struct mail){ .kind = MAIL_DATAGRAM, .from = *from, .member = member, .data = data, .len = len });
}

static bool pump_socket(struct lane *l, struct udp *udp, uint16_t socket, unsigned most)
{
	int n;

	if (most > l->n_rx_runs)
		most = l->n_rx_runs;
	for (unsigned i = 0; i < most; i++)
		l->rx_runs[i].len = 0;
	n = udp_recv(udp, l->rx_runs, most);
	for (int i = 0; i < n; i++) {
		struct udp_run *run = &l->rx_runs[i];
		struct path_addr from = { .kind = PATH_UDP, .socket = socket, .endpoint = run->peer };
		size_t step = run->segment_bytes ? run->segment_bytes : run->len;

		counters_add(l->counters, COUNTER_rx_bytes, run->len);
		if (run->len == 0)
			lane_drop(l, COUNTER_drop_short);
		for (size_t at = 0; at < run->len; at += step) {
			size_t len = run->len - at < step ? run->len - at : step;

			counters_inc(l->counters, COUNTER_rx_datagrams);
			lane_receive(l, &from, 0, run->data + at, len);
		}
	}
	/* The joined packets lie in the receive buffers. */
	lane_flush_joined(l);
	return n == (int)most;
}

bool lane_pump_udp(struct lane *l, unsigned most)
{
	return pump_socket(l, l->udp, 0, most);
}

bool lane_pump_spare(struct lane *l, struct spare *spare)
{
	return pump_socket(l, &spare->udp, spare->number, LANE_BATCH);
}
