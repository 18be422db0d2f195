/* Packet -> seal -> path. */
#include <errno.h>
#include <string.h>

#include "daemon/data/inner_ip.h"
#include "daemon/data/lane_private.h"

/* Which run it was is not said: every path whose datagrams were the longest is checked, and one that carries them says so. */
static void tell_too_big(struct lane *l)
{
	size_t longest = 0;

	for (unsigned i = 0; i < l->n_runs; i++)
		if (l->runs[i].segment_bytes > longest)
			longest = l->runs[i].segment_bytes;
	for (unsigned i = 0; i < l->n_runs; i++) {
		struct mail m = { .kind = MAIL_TOO_BIG, .index = (uint32_t)longest };

		m.from = (struct path_addr){ .kind = PATH_UDP, .endpoint = l->runs[i].peer };
		if (endpoint_through(&m.from.endpoint))
			m.from.endpoint.scope = 0;
		if (l->runs[i].segment_bytes == longest)
			lane_tell(l, &m);
	}
}

void lane_flush_out(struct lane *l)
{
	unsigned done = 0, errors = 0;
	int last_error = 0;

	if (l->n_runs) {
		uint64_t sent = 0, refused = 0;
		bool had_gso = udp_has_gso(l->out_udp, NULL);

		done = udp_send(l->out_udp, l->runs, l->n_runs, &errors, &last_error);
		if (had_gso && !udp_has_gso(l->out_udp, NULL))
			lane_tell(l, &(struct mail){ .kind = MAIL_REFUSED });
		for (unsigned i = 0; i < l->n_runs; i++) {
			if (i >= done) {
				refused += udp_run_count(&l->runs[i]);
				continue;
			}
			sent += udp_run_count(&l->runs[i]);
			counters_add(l->counters, COUNTER_tx_bytes, l->runs[i].len);
		}
		counters_add(l->counters, COUNTER_tx_datagrams, sent > errors ? sent - errors : 0);
		counters_add(l->counters, COUNTER_drop_send_error, refused + errors);
		if (refused + errors)
			USDT2(drop, (int)COUNTER_drop_send_error, counter_name(COUNTER_drop_send_error));
		if (errors && last_error == EMSGSIZE)
			tell_too_big(l);
	}
	l->n_runs = 0;
	l->out_len = 0;
	l->out_udp = l->udp;
}

/* Datagrams of one flush leave by one socket. What stands at the end of the send buffer, not yet in a run, stays there. */
static void leave_by(struct lane *l, struct udp *udp)
{
	size_t at = l->out_len;

	if (l->out_udp == udp)
		return;
	lane_flush_out(l);
	l->out_udp = udp;
	l->out_len = at;
}

static size_t headroom_of(const struct table_path *path)
{
	return path->addr.kind == PATH_RELAY_UDP ? WIRE_RELAY_HEADER_BYTES : 0;
}

/* Room for a datagram of that body, and its copies; what is sealed is sent first if there is not enough, or if there is much of it.
 * Much of it goes when its last run is full: one cut short would cost the kernels as much as a whole one. */
static void make_room(struct lane *l, const struct table_route *route, size_t len)
{
	size_t longest = len + LANE_OVERHEAD_BYTES;

	if (l->out_len + route->n_paths * longest > LANE_OUT_BYTES || l->n_runs + route->n_paths > LANE_RUNS_MAX ||
	    (l->out_len >= LANE_FLUSH_BYTES && l->n_runs &&
	     udp_run_is_full(&l->runs[l->n_runs - 1],
			     headroom_of(&route->paths[0]) + len + WIRE_SEALED_OVERHEAD_BYTES)))
		lane_flush_out(l);
}

/* A sealed datagram that stands at the end of the send buffer, with the headroom its path wants before it. */
static void put_on_path(struct lane *l, const struct table_path *path, size_t len)
{
	size_t headroom = headroom_of(path);
	uint8_t *at = l->out + l->out_len, *datagram = at + headroom;
	struct endpoint to = path->addr.endpoint;

	if (path->through)
		to.scope = path->through;
	switch (path->addr.kind) {
	case PATH_UDP:
		break;
	case PATH_RELAY_UDP:
		relay_link_wrap(path->link, at, path->member, len);
		counters_inc(l->counters, COUNTER_relay_tx_datagrams);
		counters_add(l->counters, COUNTER_relay_tx_bytes, len);
		break;
	case PATH_RELAY_TCP:
		counters_inc(l->counters, COUNTER_relay_tx_datagrams);
		counters_add(l->counters, COUNTER_relay_tx_bytes, len);
		lane_tell(l, &(struct mail){ .kind = MAIL_TCP_RELAY,
					     .from = path->addr,
					     .member = path->member,
					     .data = datagram,
					     .len = len });
		return;
	case PATH_TCP:
		lane_tell(l, &(struct mail){ .kind = MAIL_TCP, .from = path->addr, .data = datagram, .len = len });
		return;
	case PATH_NONE:
		lane_drop(l, COUNTER_drop_no_path);
		return;
	}
	leave_by(l, path->spare ? &path->spare->udp : l->udp);
	l->n_runs = udp_runs_add(l->runs, l->n_runs, &to, NULL, at, headroom + len);
	l->out_len += headroom + len;
}

/* A datagram sealed at place_of(route); it and, while the first path is unsure, a copy are put on their ways. */
static uint8_t *place_of(struct lane *l, const struct table_route *route)
{
	return l->out + l->out_len + headroom_of(&route->paths[0]);
}

static void put_on_paths(struct lane *l, const struct table_route *route, size_t len)
{
	const uint8_t *datagram = place_of(l, route);

	put_on_path(l, &route->paths[0], len);
	if (route->n_paths > 1) {
		memmove(l->out + l->out_len + headroom_of(&route->paths[1]), datagram, len);
		put_on_path(l, &route->paths[1], len);
	}
}

/* A body is a packet, or what it was packed to. */
static int seal_body(struct lane *l, const struct table_route *route, uint8_t flags, const uint8_t *body, size_t len)
{
	int sealed;

	make_room(l, route, len);
	sealed = session_seal(route->session, WIRE_DATA, flags, place_of(l, route), body, len);
	if (sealed < 0)
		return sealed;
	put_on_paths(l, route, (size_t)sealed);
	return 0;
}

/* One the path does not carry whole. The pieces are as long as may be: should that be too much by now, nothing gets through that
 * would let a path look alive which loses all the rest. */
static int seal_pieces(struct lane *l, const struct table_route *route, uint8_t flags, const uint8_t *body, size_t len)
{
	size_t each = route->mtu_bytes, n = (len + each - 1) / each;
	uint64_t first;

	if (n > WIRE_PIECES_MAX)
		return -EMSGSIZE;
	if (!session_take(route->session, (unsigned)n, &first))
		return -EKEYEXPIRED;
	for (size_t i = 0; i < n; i++) {
		size_t part = i + 1 < n ? each : len - i * each;

		make_room(l, route, part);
		put_on_paths(l, route,
			     (size_t)session_seal_piece(route->session, first, (uint8_t)i, (uint8_t)n, flags,
							place_of(l, route), body + i * each, part));
	}
	return 0;
}

/* `packet_len` is the packet's, of which `body` is made. False: the session may seal no more. */
static bool send_body(struct lane *l, const struct table_route *route, uint8_t flags, const uint8_t *body, size_t len,
		      size_t packet_len)
{
	int ret = len <= route->mtu_bytes ? seal_body(l, route, flags, body, len) :
					    seal_pieces(l, route, flags, body, len);

	if (ret < 0) {
		lane_drop(l, ret == -EMSGSIZE ? COUNTER_drop_too_big : COUNTER_drop_expired);
		return ret == -EMSGSIZE;
	}
	l->pending.tx_bytes += packet_len;
	l->pending.tx_packets++;
	return true;
}

/* What the sender may make smaller, and only when it is known how small: a kernel remembers the answer for minutes. So it
 * is the packet's own length that counts, whatever its bytes would be packed to. */
static bool is_told_too_big(struct lane *l, const struct table_route *route, const uint8_t *packet, size_t len)
{
	uint8_t buffer[TUN_VNET_BYTES + INNER_IP_ERROR_MAX_BYTES];
	size_t mtu = route->mtu_bytes > LANE_WHOLE_BYTES ? route->mtu_bytes : LANE_WHOLE_BYTES, icmp;

	if (len <= mtu || !route->is_mtu_known)
		return false;
	icmp = inner_ip_too_big(buffer + TUN_VNET_BYTES, INNER_IP_ERROR_MAX_BYTES, packet, len, mtu);
	if (!icmp)
		return false;
	lane_drop(l, COUNTER_drop_too_big);
	lane_write_tun(l, buffer + TUN_VNET_BYTES, icmp);
	return true;
}

/* The loop holds packets back as they would leave: whole, their checksums finished. */
static void hand_to_loop(struct lane *l, struct train *t)
{
	uint8_t *packet;
	size_t len;

	while ((packet = train_next(t, &len))) {
		if (t->is_partial)
			train_finish_checksum(packet, len);
		lane_tell(l, &(struct mail){ .kind = MAIL_PACKET, .data = packet, .len = len });
	}
}

static bool begin_train(struct lane *l, struct train *t, uint8_t *packet, size_t len, const struct tun_vnet *vnet,
			size_t max_packet)
{
	int ret = train_begin(t, packet, len, vnet, max_packet);

	if (ret < 0)
		lane_drop(l, ret == -EMSGSIZE ? COUNTER_drop_too_big : COUNTER_drop_inner);
	return ret == 0;
}

static void send_plain(struct lane *l, const struct table_route *route, struct train *t)
{
	uint8_t *packet;
	size_t len;

	while ((packet = train_next(t, &len))) {
		if (len > route->mtu_bytes && is_told_too_big(l, route, packet, len))
			return; /* one answer for all of a train */
		if (!send_body(l, route, t->is_partial ? WIRE_FLAG_PARTIAL : 0, packet, len, len))
			return;
	}
}

/* Each packet packed by itself: of uneven lengths, they seldom make a run for the socket, and go in a batch. */
static void send_packed(struct lane *l, const struct table_route *route, struct train *t)
{
	uint64_t plain_bytes = 0, packed_bytes = 0;
	uint8_t *packet;
	size_t len;

	while ((packet = train_next(t, &len))) {
		uint8_t flags = t->is_partial ? WIRE_FLAG_PARTIAL : 0;
		size_t body_len = len;
		const uint8_t *body;

		if (is_told_too_big(l, route, packet, len))
			break;
		body = compressor_pack(l->compressor, packet, len, &body_len);
		if (len >= COMPRESS_LEAST_BYTES) {
			plain_bytes += len;
			packed_bytes += body_len;
		}
		if (!send_body(l, route, body ? flags | WIRE_FLAG_LZ4 : flags, body ? body : packet, body_len, len))
			break;
	}
	if (plain_bytes)
		compress_note(&route->peer->compression, plain_bytes, packed_bytes, l->now_ms);
}

static void send_train(struct lane *l, uint8_t *packet, size_t len, const struct tun_vnet *vnet)
{
	const struct table_route *route;
	struct inner_ip ip;
	struct train t;
	size_t max;

	if (inner_ip_parse(&ip, packet, len) < 0) {
		lane_drop(l, COUNTER_drop_inner);
		return;
	}
	if (ip_is_multicast(&ip.dst) || ip_is_broadcast(&ip.dst)) {
		lane_drop(l, COUNTER_drop_multicast);
		return;
	}
	route = table_find_addr(l->table, &ip.dst);
	if (!route || !route->session || !route->n_paths) {
		if (begin_train(l, &t, packet, ip.len, vnet, l->mtu_bytes))
			hand_to_loop(l, &t);
		return;
	}
	if (!table_is_own(l->table, &ip.src)) {
		/* The far side would drop it; here it can be seen why. */
		lane_drop(l, COUNTER_drop_source);
		return;
	}
	/* TCP trains are cut to what the path carries; what cannot be cut keeps its length and is dealt with one by one. */
	max = route->mtu_bytes < l->mtu_bytes ? route->mtu_bytes : l->mtu_bytes;
	if (train_begin(&t, packet, ip.len, vnet, max) < 0 &&
	    !begin_train(l, &t, packet, ip.len, vnet, TUN_PACKET_MAX_BYTES))
		return;
	lane_count_for(l, route->peer);
	if (l->table->capture)
		capture_packet(l->table->capture, l->number, route->peer->id, false, packet, ip.len);
	if (compress_is_wanted(&route->peer->compression, route->compression, l->now_ms))
		send_packed(l, route, &t);
	else
		send_plain(l, route, &t);
}

bool lane_pump_tun(struct lane *l, unsigned most)
{
	uint8_t *packet = l->packet + TUN_VNET_BYTES;
	uint64_t n_bytes = 0;
	unsigned i;

	for (i = 0; i < most; i++) {
		struct tun_vnet vnet;
		ssize_t len = tun_read(l->tun, l->queue, packet, TUN_PACKET_MAX_BYTES, &vnet);

		if (len == -EMSGSIZE) {
			lane_drop(l, COUNTER_drop_too_big);
			continue;
		}
		if (len <= 0)
			break;
		n_bytes += (uint64_t)len;
		counters_inc(l->counters, COUNTER_tun_rx_packets);
		counters_add(l->counters, COUNTER_tun_rx_bytes, (uint64_t)len);
		send_train(l, packet, (size_t)len, &vnet);
	}
	if (n_bytes)
		USDT3(tun_rx_batch, l->queue, i, n_bytes);
	return i == most;
}

void lane_send_packet(struct lane *l, const uint8_t *packet, size_t len)
{
	static const struct tun_vnet plain = { 0 };

	if (len > TUN_PACKET_MAX_BYTES) {
		lane_drop(l, COUNTER_drop_too_big);
		return;
	}
	memcpy(l->packet + TUN_VNET_BYTES, packet, len);
	send_train(l, l->packet + TUN_VNET_BYTES, len, &plain);
}
