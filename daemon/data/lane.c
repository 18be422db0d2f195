#include "daemon/data/lane.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/data/inner_ip.h"

#define RX_SLOT_BYTES 2048 /* longer datagrams are cut by the kernel and left out: our own never are */

int lane_init(struct lane *l, size_t mtu_bytes)
{
	/* The vnet header is read in front of the packet, so it needs no more room than the headers do. */
	static_assert(LANE_HEADROOM_BYTES >= TUN_VNET_BYTES, "the vnet header lies in the headroom");
	l->slot_bytes = (LANE_OVERHEAD_BYTES + mtu_bytes + 63) & ~(size_t)63;
	l->slots = malloc(LANE_BATCH * l->slot_bytes);
	l->rx = malloc(LANE_BATCH * (size_t)(RX_SLOT_BYTES + TUN_VNET_BYTES));
	if (!l->slots || !l->rx) {
		lane_fini(l);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < LANE_BATCH; i++) {
		l->rx_runs[i].data = l->rx + i * (size_t)(RX_SLOT_BYTES + TUN_VNET_BYTES) + TUN_VNET_BYTES;
		l->rx_runs[i].capacity = RX_SLOT_BYTES;
	}
	return 0;
}

void lane_fini(struct lane *l)
{
	free(l->slots);
	free(l->rx);
	l->slots = l->rx = NULL;
}

bool lane_enter(struct lane *l, uint64_t now_ms)
{
	l->now_ms = now_ms;
	l->table = tables_enter(l->tables, l->number);
	if (!l->table)
		tables_leave(l->tables, l->number);
	return l->table != NULL;
}

static void drop(struct lane *l, enum counter why)
{
	counters_inc(l->counters, why);
}

static void tell(struct lane *l, const struct mail *m)
{
	if (!l->tell(l->arg, m))
		drop(l, COUNTER_drop_queue_full);
}

static void store_ms(_Atomic uint64_t *at, uint64_t now_ms)
{
	/* Several workers may carry one peer: the same instant is not worth a write to a shared line. */
	if (atomic_load_explicit(at, memory_order_relaxed) != now_ms)
		atomic_store_explicit(at, now_ms, memory_order_relaxed);
}

static void add(_Atomic uint64_t *sum, uint64_t n)
{
	atomic_fetch_add_explicit(sum, n, memory_order_relaxed);
}

/* Traffic with a peer the loop left alone: it wants to look after its path again. */
static void wake_if_asleep(struct lane *l, struct shared_peer *peer)
{
	if (atomic_load_explicit(&peer->is_asleep, memory_order_relaxed) &&
	    atomic_exchange_explicit(&peer->is_asleep, false, memory_order_relaxed))
		tell(l, &(struct mail){ .kind = MAIL_AWAKE, .peer = peer->id });
}

/* ---------------------------------------------------------------- out */

/* The datagrams stay in their slots. */
static void send_runs(struct lane *l)
{
	unsigned done = 0, errors = 0;
	int last_error = 0;

	if (l->n_runs) {
		done = udp_send(l->udp, l->runs, l->n_runs, &errors, &last_error);
		for (unsigned i = 0; i < done; i++)
			counters_add(l->counters, COUNTER_tx_bytes, l->runs[i].len);
		counters_add(l->counters, COUNTER_tx_datagrams, done - errors);
		counters_add(l->counters, COUNTER_drop_send_error, errors + l->n_runs - done);
	}
	l->n_runs = 0;
}

static void flush(struct lane *l)
{
	send_runs(l);
	l->n_slots = 0;
}

void lane_leave(struct lane *l)
{
	flush(l);
	l->table = NULL;
	tables_leave(l->tables, l->number);
}

/* Puts a sealed datagram, which has WIRE_RELAY_HEADER_BYTES of headroom, on one path. */
static void put_on_path(struct lane *l, const struct table_path *path, uint8_t *datagram, size_t len)
{
	struct udp_run *run = &l->runs[l->n_runs];

	switch (path->addr.kind) {
	case PATH_UDP:
		*run = (struct udp_run){ .peer = path->addr.endpoint, .data = datagram, .len = len };
		break;
	case PATH_RELAY_UDP:
		if (l->n_runs && run[-1].data == datagram - WIRE_RELAY_HEADER_BYTES) {
			/* The copy through another coordinator has its header there still. */
			send_runs(l);
			run = l->runs;
		}
		relay_link_wrap(path->link, datagram - WIRE_RELAY_HEADER_BYTES, path->member, len);
		*run = (struct udp_run){ .peer = path->addr.endpoint,
					 .data = datagram - WIRE_RELAY_HEADER_BYTES,
					 .len = len + WIRE_RELAY_HEADER_BYTES };
		counters_inc(l->counters, COUNTER_relay_tx_datagrams);
		counters_add(l->counters, COUNTER_relay_tx_bytes, len);
		break;
	case PATH_RELAY_TCP:
		counters_inc(l->counters, COUNTER_relay_tx_datagrams);
		counters_add(l->counters, COUNTER_relay_tx_bytes, len);
		tell(l, &(struct mail){ .kind = MAIL_TCP_RELAY,
					.from = path->addr,
					.member = path->member,
					.data = datagram,
					.len = len });
		return;
	case PATH_NONE:
		drop(l, COUNTER_drop_no_path);
		return;
	}
	run->segment_bytes = run->len;
	l->n_runs++;
}

/* The place of the next packet in the send buffer; there is always one, for the batch is flushed when it is full. */
static uint8_t *next_packet(struct lane *l)
{
	if (l->n_slots == LANE_BATCH)
		flush(l);
	return l->slots + l->n_slots * l->slot_bytes + LANE_HEADROOM_BYTES;
}

/* A packet that stands in next_packet(). */
static void send_packet(struct lane *l, uint8_t *packet, size_t len)
{
	const struct table_route *route;
	struct inner_ip ip;
	uint8_t *datagram = packet - WIRE_SEALED_HEADER_BYTES;
	int sealed;

	if (inner_ip_parse(&ip, packet, len) < 0) {
		drop(l, COUNTER_drop_inner);
		return;
	}
	if (ip_is_multicast(&ip.dst) || ip_is_broadcast(&ip.dst)) {
		drop(l, COUNTER_drop_multicast);
		return;
	}
	route = table_find_addr(l->table, &ip.dst);
	if (!route || !route->session || !route->n_paths) {
		tell(l, &(struct mail){ .kind = MAIL_PACKET, .data = packet, .len = ip.len });
		return;
	}
	if (!table_is_own(l->table, &ip.src)) {
		/* The far side would drop it; here it can be seen why. */
		drop(l, COUNTER_drop_source);
		return;
	}
	sealed = session_seal(route->session, WIRE_DATA, 0, datagram, packet, ip.len);
	if (sealed < 0) {
		drop(l, COUNTER_drop_expired);
		return;
	}
	l->n_slots++;
	for (unsigned i = 0; i < route->n_paths; i++)
		put_on_path(l, &route->paths[i], datagram, (size_t)sealed);

	struct traffic *traffic = &route->peer->traffic;

	add(&traffic->tx_bytes, ip.len);
	add(&traffic->tx_packets, 1);
	store_ms(&traffic->last_data_sent_ms, l->now_ms);
	store_ms(&traffic->last_sent_ms, l->now_ms);
	wake_if_asleep(l, route->peer);
}

bool lane_pump_tun(struct lane *l)
{
	for (unsigned i = 0; i < LANE_BATCH; i++) {
		struct tun_vnet vnet;
		uint8_t *packet = next_packet(l);
		ssize_t len = tun_read(l->tun, l->queue, packet, l->slot_bytes - LANE_OVERHEAD_BYTES, &vnet);

		if (len == -EMSGSIZE) { /* somebody raised the device's MTU */
			drop(l, COUNTER_drop_too_big);
			continue;
		}
		if (len <= 0)
			return false;
		counters_inc(l->counters, COUNTER_tun_rx_packets);
		counters_add(l->counters, COUNTER_tun_rx_bytes, (uint64_t)len);
		send_packet(l, packet, (size_t)len);
	}
	return true;
}

void lane_send_packet(struct lane *l, const uint8_t *packet, size_t len)
{
	uint8_t *at = next_packet(l);

	if (len > l->slot_bytes - LANE_OVERHEAD_BYTES) {
		drop(l, COUNTER_drop_too_big);
		return;
	}
	memcpy(at, packet, len);
	send_packet(l, at, len);
}

/* ---------------------------------------------------------------- in */

void lane_write_tun(struct lane *l, uint8_t *packet, size_t len)
{
	if (tun_write(l->tun, l->queue, packet, len, NULL) < 0) {
		drop(l, COUNTER_drop_tun_error);
		return;
	}
	counters_inc(l->counters, COUNTER_tun_tx_packets);
	counters_add(l->counters, COUNTER_tun_tx_bytes, len);
}

/* Once per source and second, and of few sources: the loop checks a path, it does not count packets. */
static bool is_worth_telling(struct shared_peer *peer, const struct path_addr *from, uint64_t now_ms)
{
	uint32_t hash = endpoint_hash(&from->endpoint) ^ ((uint32_t)from->kind << 8 | from->coordinator);
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

		if (used.kind != PATH_UDP)
			used.endpoint = (struct endpoint){ 0 };
		if (path_addr_equal(&used, from)) {
			store_ms(&peer->traffic.path_received_ms, l->now_ms);
			return;
		}
	}
	if (is_worth_telling(peer, from, l->now_ms))
		tell(l, &(struct mail){ .kind = MAIL_SOURCE, .peer = peer->id, .from = *from });
}

/* A session may have been published, and used by its peer, since this lane entered: then it goes on with the new table.
 * What was found in the old one is not to be used after this. */
static const struct table_index *find_index(struct lane *l, uint32_t index)
{
	const struct table_index *slot = table_find_index(l->table, index);

	if (!slot && atomic_load(&l->tables->current) != l->table) {
		l->table = tables_enter(l->tables, l->number);
		slot = table_find_index(l->table, index);
	}
	return slot;
}

static void receive_data(struct lane *l, const struct path_addr *from, uint8_t *data, size_t len)
{
	const struct table_index *slot;
	const struct table_route *route;
	struct traffic *traffic;
	struct wire_sealed h;
	struct inner_ip ip;
	uint8_t *packet = data + WIRE_SEALED_HEADER_BYTES;
	int body;

	if (wire_sealed_decode(&h, data, len) < 0) {
		drop(l, COUNTER_drop_short);
		return;
	}
	slot = find_index(l, h.index);
	if (!slot || !slot->session) {
		drop(l, COUNTER_drop_unknown_index);
		return;
	}
	route = slot->route;
	body = session_open(slot->session, &h, data, len, l->now_ms);
	if (body < 0) {
		drop(l, body == -EALREADY    ? COUNTER_drop_replay :
			body == -EKEYEXPIRED ? COUNTER_drop_expired :
					       COUNTER_drop_auth);
		return;
	}
	traffic = &route->peer->traffic;
	store_ms(&traffic->last_received_ms, l->now_ms);
	if (!atomic_load_explicit(&slot->session->is_confirmed, memory_order_relaxed) &&
	    !atomic_exchange_explicit(&slot->session->is_confirmed, true, memory_order_relaxed))
		tell(l,
		     &(struct mail){ .kind = MAIL_OPENED, .peer = route->peer->id, .index = h.index, .from = *from });
	note_path(l, route, from);
	if (body == 0)
		return; /* a keepalive */

	/* The source belongs to the sender: before anything else looks at the packet. */
	if (inner_ip_parse(&ip, packet, (size_t)body) < 0) {
		drop(l, COUNTER_drop_inner);
		return;
	}
	if (!table_route_has(route, &ip.src)) {
		drop(l, COUNTER_drop_source);
		return;
	}
	if (!table_is_own(l->table, &ip.dst)) {
		drop(l, COUNTER_drop_inner);
		return;
	}
	add(&traffic->rx_bytes, ip.len);
	add(&traffic->rx_packets, 1);
	store_ms(&traffic->last_data_received_ms, l->now_ms);
	wake_if_asleep(l, route->peer);
	lane_write_tun(l, packet, ip.len);
}

static void receive_relayed(struct lane *l, const struct path_addr *from, uint8_t *data, size_t len)
{
	const struct table_index *slot;
	struct wire_relay r;
	struct path_addr via = { .kind = PATH_RELAY_UDP };

	if (from->kind != PATH_UDP || wire_relay_decode(&r, data, len) < 0) {
		drop(l, COUNTER_drop_short); /* also a relayed datagram inside another */
		return;
	}
	slot = find_index(l, r.index);
	if (!slot || !slot->link) {
		drop(l, COUNTER_drop_unknown_index);
		return;
	}
	switch (relay_link_check(slot->link, &r, data)) {
	case 0:
		break;
	case -EALREADY:
		drop(l, COUNTER_drop_replay);
		return;
	default:
		drop(l, COUNTER_drop_auth);
		return;
	}
	via.coordinator = slot->coordinator;
	lane_receive(l, &via, r.member, data + WIRE_RELAY_HEADER_BYTES, r.payload_len);
}

void lane_receive(struct lane *l, const struct path_addr *from, uint32_t member, uint8_t *data, size_t len)
{
	if (from->kind != PATH_UDP) {
		counters_inc(l->counters, COUNTER_relay_rx_datagrams);
		counters_add(l->counters, COUNTER_relay_rx_bytes, len);
	}
	if (len == 0) {
		drop(l, COUNTER_drop_short);
		return;
	}
	switch (data[0]) {
	case WIRE_DATA:
		receive_data(l, from, data, len);
		break;
	case WIRE_RELAY:
		receive_relayed(l, from, data, len);
		break;
	case WIRE_INIT:
	case WIRE_RESPONSE:
	case WIRE_COOKIE:
	case WIRE_SESSION:
	case WIRE_BIND:
		tell(l, &(struct mail){
				.kind = MAIL_DATAGRAM, .from = *from, .member = member, .data = data, .len = len });
		break;
	default:
		drop(l, COUNTER_drop_type);
	}
}

bool lane_pump_udp(struct lane *l)
{
	int n;

	for (unsigned i = 0; i < LANE_BATCH; i++) {
		l->rx_runs[i].peer = (struct endpoint){ 0 };
		l->rx_runs[i].len = 0;
	}
	n = udp_recv(l->udp, l->rx_runs, LANE_BATCH);
	for (int i = 0; i < n; i++) {
		struct udp_run *run = &l->rx_runs[i];
		struct path_addr from = { .kind = PATH_UDP, .endpoint = run->peer };
		size_t step = run->segment_bytes ? run->segment_bytes : run->len;

		counters_add(l->counters, COUNTER_rx_bytes, run->len);
		if (run->len == 0)
			counters_inc(l->counters, COUNTER_drop_short);
		for (size_t at = 0; at < run->len; at += step) {
			size_t len = run->len - at < step ? run->len - at : step;

			counters_inc(l->counters, COUNTER_rx_datagrams);
			lane_receive(l, &from, 0, run->data + at, len);
		}
	}
	return n == LANE_BATCH;
}
