/* A pair of sockets stands in for the TUN; datagrams go over loopback. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/data/lane.h"
#include "tests/unit/dataplane.h"
#include "tests/unit/vectors.h"

#define NOW_MS 5000000
#define MTU_BYTES 1400
#define NEAR_INDEX 1000
#define MEMBER 77
#define PEER_ID 7
#define OWN "10.77.0.1"
#define PEERS "10.77.0.2"
#define NOBODYS "10.77.0.9"
#define MAILS_MAX 8

struct told {
	struct mail mail;
	uint8_t bytes[PACKET_MAX_BYTES + WIRE_SEALED_OVERHEAD_BYTES];
};

struct fixture {
	struct lane lane;
	struct counters counters;
	struct tables tables;
	struct tun tun;
	struct udp udp;
	int kernel;                     /* the other end of the TUN */
	struct udp peer, relay, relay2; /* the far ends */
	struct session_pair sessions;
	struct link_pair links, links2;
	struct shared_peer *shared;
	struct table_route route;
	const char *peers_network, *own_network; /* behind each; NULL: none */
	bool is_box_full;
	unsigned n_told;
	struct told told[MAILS_MAX];
	uint8_t packet[PACKET_MAX_BYTES];
	size_t len;
};

static bool tell(void *arg, const struct mail *m)
{
	struct fixture *f = arg;
	struct told *t = &f->told[f->n_told];

	if (f->is_box_full)
		return false;
	assert_true(f->n_told < MAILS_MAX);
	f->n_told++;
	t->mail = *m;
	assert_true(m->len <= sizeof(t->bytes));
	if (m->len)
		memcpy(t->bytes, m->data, m->len);
	return true;
}

static void udp_on_loopback(struct udp *udp)
{
	const struct udp_options options = { .address = ip_of("127.0.0.1") };

	assert_int_equal(udp_open(udp, &options), 0);
}

static struct endpoint endpoint_at(const struct udp *udp)
{
	struct endpoint ep = { .ip = ip_of("127.0.0.1") };

	ep.port = (uint16_t)udp_port(udp);
	return ep;
}

static struct table_path path_to(const struct udp *udp, enum path_kind kind, uint8_t coordinator,
				 struct relay_link *link)
{
	struct table_path p = { .link = link };

	p.addr = (struct path_addr){ .kind = kind, .coordinator = coordinator, .endpoint = endpoint_at(udp) };
	p.member = kind == PATH_UDP ? 0 : MEMBER;
	return p;
}

static void publish(struct fixture *f)
{
	struct table *t = table_new(1, 3);
	const struct table_route *route;
	struct prefix net;

	assert_non_null(t);
	t->own[t->n_own++] = ip_of(OWN);
	t->own[t->n_own++] = ip_of("fd77::1");
	route = table_add_route(t, &f->route);
	table_add_session(t, f->sessions.near, route);
	table_add_link(t, f->links.near, 2);
	table_add_link(t, f->links2.near, 3);
	if (f->peers_network) {
		assert_int_equal(table_make_networks(t, 1), 0);
		assert_int_equal(prefix_from_text(&net, f->peers_network), 0);
		table_add_network(t, &net, route, true);
	}
	if (f->own_network)
		assert_int_equal(prefix_from_text(&t->behind[t->n_behind++], f->own_network), 0);
	tables_publish_take(&f->tables, t);
}

/* One direct path, a confirmed session, a peer that the loop looks after. */
static int set_up(void **state)
{
	static struct fixture f;
	int pair[2];

	memset(&f, 0, sizeof(f));
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	f.kernel = pair[1];
	f.tun = (struct tun){ .n_queues = 1, .features = TUN_VNET, .fd = { pair[0] } };
	udp_on_loopback(&f.udp);
	udp_on_loopback(&f.peer);
	udp_on_loopback(&f.relay);
	udp_on_loopback(&f.relay2);
	f.sessions = session_pair_new(NEAR_INDEX, true, NOW_MS);
	f.links = link_pair_new(2 * NEAR_INDEX);
	f.links2 = link_pair_new(3 * NEAR_INDEX);
	f.shared = shared_peer_new(PEER_ID);
	f.shared->is_asleep = false;
	f.route = (struct table_route){ .peer = f.shared, .session = f.sessions.near, .n_paths = 1, .n_addrs = 2 };
	f.route.mtu_bytes = MTU_BYTES;
	f.route.paths[0] = path_to(&f.peer, PATH_UDP, 0, NULL);
	f.route.addrs[0] = ip_of(PEERS);
	f.route.addrs[1] = ip_of("fd77::2");
	tables_init(&f.tables);
	publish(&f);
	f.lane = (struct lane){ .number = 1, .tables = &f.tables, .udp = &f.udp, .tun = &f.tun };
	f.lane.counters = &f.counters;
	f.lane.tell = tell;
	f.lane.arg = &f;
	assert_int_equal(lane_init(&f.lane, MTU_BYTES), 0);
	f.len = packet_make(f.packet, OWN, PEERS, 9, 100);
	memset(f.packet + PACKET_HEADERS_BYTES, 'x', 100);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	lane_fini(&f->lane);
	tables_fini(&f->tables);
	session_pair_free(&f->sessions);
	link_pair_free(&f->links);
	link_pair_free(&f->links2);
	shared_peer_unref(f->shared);
	udp_close(&f->udp);
	udp_close(&f->peer);
	udp_close(&f->relay);
	udp_close(&f->relay2);
	tun_close(&f->tun);
	if (f->kernel >= 0)
		close(f->kernel);
	return 0;
}

static uint64_t count(const struct fixture *f, enum counter c)
{
	return counters_get(&f->counters, c);
}

/* The one drop there was, or COUNTER_COUNT. */
static enum counter only_drop(const struct fixture *f)
{
	enum counter found = COUNTER_COUNT;

	for (enum counter c = COUNTER_drop_short; c <= COUNTER_drop_multicast; c++) {
		if (count(f, c) == 0)
			continue;
		assert_int_equal(count(f, c), 1);
		assert_int_equal(found, COUNTER_COUNT);
		found = c;
	}
	return found;
}

/* What the kernel sends into the device. */
static void kernel_sends(struct fixture *f, const uint8_t *packet, size_t len)
{
	uint8_t buffer[TUN_VNET_BYTES + 2 * PACKET_MAX_BYTES] = { 0 };

	memcpy(buffer + TUN_VNET_BYTES, packet, len);
	assert_int_equal(write(f->kernel, buffer, TUN_VNET_BYTES + len), TUN_VNET_BYTES + len);
}

/* What the lane wrote to the device: the packet's length, or -1. */
static ssize_t kernel_gets(struct fixture *f, uint8_t *packet)
{
	uint8_t buffer[TUN_VNET_BYTES + 2 * PACKET_MAX_BYTES];
	ssize_t n = read(f->kernel, buffer, sizeof(buffer));

	if (n < 0)
		return -1;
	assert_true(n >= TUN_VNET_BYTES);
	for (unsigned i = 0; i < TUN_VNET_BYTES; i++)
		assert_int_equal(buffer[i], 0); /* an ordinary packet */
	memcpy(packet, buffer + TUN_VNET_BYTES, (size_t)n - TUN_VNET_BYTES);
	return n - TUN_VNET_BYTES;
}

static void pump(struct fixture *f)
{
	assert_true(lane_enter(&f->lane, NOW_MS));
	assert_false(lane_pump_tun(&f->lane, LANE_BATCH));
	lane_leave(&f->lane);
}

static void send_one(struct fixture *f)
{
	kernel_sends(f, f->packet, f->len);
	pump(f);
}

/* The next datagram at a far end, -1 when none comes. What was sent before this is there already, or within `wait_ms`. */
static ssize_t far_gets(const struct udp *far, uint8_t *data, size_t capacity, int wait_ms)
{
	struct pollfd p = { .fd = far->fd, .events = POLLIN };

	if (poll(&p, 1, wait_ms) <= 0)
		return -1;
	return recv(far->fd, data, capacity, MSG_DONTWAIT);
}

static void assert_silent(const struct udp *far)
{
	uint8_t data[1];

	assert_int_equal(far_gets(far, data, sizeof(data), 0), -1);
}

/* A sealed datagram that came over a path holds the fixture's packet. Returns its counter. */
static uint64_t assert_sealed_packet(struct fixture *f, uint8_t *data, size_t len)
{
	struct wire_sealed h;

	assert_int_equal(wire_sealed_decode(&h, data, len), 0);
	assert_int_equal(h.type, WIRE_DATA);
	assert_int_equal(h.flags, 0);
	/* Not session_open: the same datagram may come twice. */
	assert_int_equal(h.index, f->sessions.far->local_index);
	assert_int_equal(aead_open(&f->sessions.far->recv, data + 16, data + 16, len - WIRE_SEALED_OVERHEAD_BYTES, data,
				   WIRE_SEALED_HEADER_BYTES, h.counter),
			 0);
	assert_int_equal(len, f->len + WIRE_SEALED_OVERHEAD_BYTES);
	assert_memory_equal(data + WIRE_SEALED_HEADER_BYTES, f->packet, f->len);
	return h.counter;
}

static uint64_t assert_direct(struct fixture *f)
{
	uint8_t data[2 * PACKET_MAX_BYTES];
	ssize_t n = far_gets(&f->peer, data, sizeof(data), 1000);

	assert_true(n > 0);
	return assert_sealed_packet(f, data, (size_t)n);
}

static uint64_t assert_relayed(struct fixture *f, const struct udp *relay, struct relay_link *link)
{
	uint8_t data[2 * PACKET_MAX_BYTES];
	ssize_t n = far_gets(relay, data, sizeof(data), 1000);
	struct wire_relay r;

	assert_true(n > 0);
	assert_int_equal(wire_relay_decode(&r, data, (size_t)n), 0);
	assert_int_equal(r.index, link->local_index);
	assert_int_equal(r.member, MEMBER);
	assert_int_equal(relay_link_check(link, &r, data), 0);
	return assert_sealed_packet(f, data + WIRE_RELAY_HEADER_BYTES, r.payload_len);
}

/* ---------------------------------------------------------------- out */

static void packet_leaves_sealed_on_the_direct_path(void **state)
{
	struct fixture *f = *state;

	send_one(f);
	assert_int_equal(assert_direct(f), 0);
	send_one(f);
	assert_int_equal(assert_direct(f), 1);
	assert_silent(&f->peer);
	assert_silent(&f->relay);
	assert_int_equal(f->n_told, 0);
	assert_int_equal(count(f, COUNTER_tun_rx_packets), 2);
	assert_int_equal(count(f, COUNTER_tun_rx_bytes), 2 * f->len);
	assert_int_equal(count(f, COUNTER_tx_datagrams), 2);
	assert_int_equal(count(f, COUNTER_tx_bytes), 2 * (f->len + WIRE_SEALED_OVERHEAD_BYTES));
	assert_int_equal(count(f, COUNTER_relay_tx_datagrams), 0);
	assert_int_equal(only_drop(f), COUNTER_COUNT);
	assert_int_equal(f->shared->traffic.tx_packets, 2);
	assert_int_equal(f->shared->traffic.tx_bytes, 2 * f->len);
	assert_int_equal(f->shared->traffic.last_data_sent_ms, NOW_MS);
	assert_int_equal(f->shared->traffic.last_sent_ms, NOW_MS);
	assert_int_equal(f->shared->traffic.last_received_ms, 0);
}

static void bytes_behind_the_packet_are_not_sent(void **state)
{
	struct fixture *f = *state;
	uint8_t padded[PACKET_MAX_BYTES] = { 0 };

	memcpy(padded, f->packet, f->len);
	kernel_sends(f, padded, f->len + 20);
	pump(f);
	assert_direct(f);
	assert_int_equal(f->shared->traffic.tx_bytes, f->len);
}

static void relayed_packet_has_header_and_tag_for_the_coordinator(void **state)
{
	struct fixture *f = *state;

	f->route.paths[0] = path_to(&f->relay, PATH_RELAY_UDP, 2, f->links.near);
	publish(f);
	send_one(f);
	assert_int_equal(assert_relayed(f, &f->relay, f->links.coordinator), 0);
	assert_silent(&f->peer);
	assert_int_equal(count(f, COUNTER_relay_tx_datagrams), 1);
	assert_int_equal(count(f, COUNTER_relay_tx_bytes), f->len + WIRE_SEALED_OVERHEAD_BYTES);
	assert_int_equal(count(f, COUNTER_tx_datagrams), 1);
	assert_int_equal(count(f, COUNTER_tx_bytes), f->len + WIRE_SEALED_OVERHEAD_BYTES + WIRE_RELAY_HEADER_BYTES);
}

static void extra_path_gets_a_copy(void **state)
{
	struct fixture *f = *state;

	f->route.n_paths = 2;
	f->route.paths[1] = path_to(&f->relay, PATH_RELAY_UDP, 2, f->links.near);
	publish(f);
	for (uint64_t i = 0; i < 3; i++) {
		send_one(f);
		assert_int_equal(assert_direct(f), i);
		assert_int_equal(assert_relayed(f, &f->relay, f->links.coordinator), i);
	}
	assert_int_equal(f->shared->traffic.tx_packets, 3);
	assert_int_equal(count(f, COUNTER_tx_datagrams), 6);
	/* And the other way round. */
	f->route.paths[0] = f->route.paths[1];
	f->route.paths[1] = path_to(&f->peer, PATH_UDP, 0, NULL);
	publish(f);
	send_one(f);
	assert_int_equal(assert_direct(f), 3);
	assert_int_equal(assert_relayed(f, &f->relay, f->links.coordinator), 3);
}

/* Copies over a path from a spare socket and one from the node's port, batch after batch: each leaves by its own. */
static void a_spare_sockets_path_leaves_by_it(void **state)
{
	struct fixture *f = *state;
	struct spare spare = { .number = 9, .refs = 1 };
	uint16_t ports[2];

	udp_on_loopback(&spare.udp);
	ports[0] = (uint16_t)udp_port(&spare.udp);
	ports[1] = (uint16_t)udp_port(&f->udp);
	f->route.n_paths = 2;
	f->route.paths[1] = path_to(&f->peer, PATH_UDP, 0, NULL);
	f->route.paths[0] = f->route.paths[1];
	f->route.paths[0].addr.socket = 9;
	f->route.paths[0].spare = &spare;
	publish(f);
	assert_int_equal(spare.refs, 2); /* the table's */
	for (unsigned i = 0; i < LANE_BATCH / 2; i++)
		kernel_sends(f, f->packet, f->len);
	pump(f);
	for (unsigned i = 0; i < LANE_BATCH; i++) {
		struct sockaddr_in from;
		uint8_t data[2 * PACKET_MAX_BYTES];
		ssize_t n = recvfrom(f->peer.fd, data, sizeof(data), 0, (struct sockaddr *)&from,
				     &(socklen_t){ sizeof(from) });

		assert_true(n > 0);
		assert_int_equal(assert_sealed_packet(f, data, (size_t)n), i / 2);
		assert_int_equal(ntohs(from.sin_port), ports[i % 2]);
	}
	assert_int_equal(f->lane.out_udp == &f->udp, 1); /* none is remembered that may be gone */
	f->route.n_paths = 1;
	f->route.paths[0].spare = NULL;
	publish(f);
	tables_reclaim(&f->tables);
	assert_int_equal(spare.refs, 1);
	udp_close(&spare.udp);
}

static void copies_through_two_coordinators_have_their_own_headers(void **state)
{
	struct fixture *f = *state;

	f->route.n_paths = 2;
	f->route.paths[0] = path_to(&f->relay, PATH_RELAY_UDP, 2, f->links.near);
	f->route.paths[1] = path_to(&f->relay2, PATH_RELAY_UDP, 3, f->links2.near);
	publish(f);
	for (unsigned i = 0; i < LANE_BATCH / 2; i++)
		kernel_sends(f, f->packet, f->len);
	pump(f);
	for (unsigned i = 0; i < LANE_BATCH / 2; i++) {
		assert_int_equal(assert_relayed(f, &f->relay, f->links.coordinator), i);
		assert_int_equal(assert_relayed(f, &f->relay2, f->links2.coordinator), i);
	}
	assert_int_equal(count(f, COUNTER_tx_datagrams), LANE_BATCH);
}

static void packet_for_a_control_connection_goes_as_mail(void **state)
{
	struct fixture *f = *state;

	f->route.paths[0] = path_to(&f->relay, PATH_RELAY_TCP, 2, NULL);
	publish(f);
	send_one(f);
	assert_int_equal(f->n_told, 1);
	assert_int_equal(f->told[0].mail.kind, MAIL_TCP_RELAY);
	assert_int_equal(f->told[0].mail.member, MEMBER);
	assert_int_equal(f->told[0].mail.from.coordinator, 2);
	assert_sealed_packet(f, f->told[0].bytes, f->told[0].mail.len);
	assert_silent(&f->relay);
	assert_int_equal(count(f, COUNTER_relay_tx_datagrams), 1);
	assert_int_equal(count(f, COUNTER_tx_datagrams), 0);
}

static void packet_the_table_cannot_place_goes_to_the_loop(void **state)
{
	struct fixture *f = *state;
	size_t len = packet_make(f->packet, OWN, NOBODYS, 9, 100);

	send_one(f); /* nobody's address */
	packet_make(f->packet, OWN, PEERS, 9, 100);
	f->route.n_paths = 0;
	publish(f);
	send_one(f);
	f->route.n_paths = 1;
	f->route.session = NULL;
	publish(f);
	send_one(f);
	assert_int_equal(f->n_told, 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(f->told[i].mail.kind, MAIL_PACKET);
		assert_int_equal(f->told[i].mail.len, len);
		assert_memory_equal(f->told[i].bytes + 20, f->packet + 20, len - 20);
	}
	assert_silent(&f->peer);
	assert_int_equal(only_drop(f), COUNTER_COUNT);
	f->is_box_full = true;
	send_one(f);
	assert_int_equal(only_drop(f), COUNTER_drop_queue_full);
}

static void assert_not_sent(struct fixture *f, enum counter why)
{
	memset(&f->counters, 0, sizeof(f->counters));
	send_one(f);
	assert_int_equal(only_drop(f), why);
	assert_int_equal(f->n_told, 0);
	assert_silent(&f->peer);
	assert_int_equal(f->sessions.near->next_counter, 0);
	assert_int_equal(f->shared->traffic.tx_packets, 0);
}

static void multicast_and_broadcast_are_refused(void **state)
{
	struct fixture *f = *state;
	static const char *const destinations[] = { "224.0.0.251", "239.255.255.250", "255.255.255.255" };
	const struct ip all_nodes = ip_of("ff02::1");

	for (size_t i = 0; i < 3; i++) {
		packet_make(f->packet, OWN, destinations[i], 9, 100);
		assert_not_sent(f, COUNTER_drop_multicast);
	}
	memset(f->packet, 0, 40);
	f->packet[0] = 0x60;
	f->packet[6] = 59;
	memcpy(f->packet + 24, all_nodes.b, 16);
	f->len = 40;
	assert_not_sent(f, COUNTER_drop_multicast);
}

static void source_that_is_not_ours_is_refused(void **state)
{
	struct fixture *f = *state;

	packet_make(f->packet, NOBODYS, PEERS, 9, 100);
	assert_not_sent(f, COUNTER_drop_source);
	packet_make(f->packet, PEERS, PEERS, 9, 100);
	assert_not_sent(f, COUNTER_drop_source);
	packet_make(f->packet, OWN, PEERS, 9, 100);
	send_one(f);
	assert_direct(f);
}

/* From the LAN behind this node to the one behind the peer, and only from and to there. */
static void packets_of_networks_behind_both_ends_are_sent(void **state)
{
	struct fixture *f = *state;

	f->len = packet_make(f->packet, "192.168.9.5", "192.168.7.5", 9, 100);
	send_one(f);
	assert_int_equal(f->n_told, 1); /* the loop's to decide */
	f->n_told = 0;
	f->peers_network = "192.168.7.0/24";
	f->own_network = "192.168.9.0/24";
	publish(f);
	packet_make(f->packet, "192.168.10.5", "192.168.7.5", 9, 100);
	assert_not_sent(f, COUNTER_drop_source);
	packet_make(f->packet, "192.168.9.5", "192.168.7.5", 9, 100);
	send_one(f);
	assert_direct(f);
	packet_make(f->packet, OWN, "192.168.7.5", 9, 100);
	send_one(f);
	assert_direct(f);
	assert_int_equal(f->n_told, 0);
}

static void malformed_packet_is_refused(void **state)
{
	struct fixture *f = *state;

	f->packet[0] = 0x55;
	assert_not_sent(f, COUNTER_drop_inner);
	f->packet[0] = 0x45;
	f->len--;
	assert_not_sent(f, COUNTER_drop_inner);
}

static void worn_out_session_seals_no_more(void **state)
{
	struct fixture *f = *state;

	f->sessions.near->next_counter = aead_reject_after(f->sessions.near->suite) - 1;
	send_one(f);
	assert_direct(f);
	send_one(f);
	assert_silent(&f->peer);
	assert_int_equal(only_drop(f), COUNTER_drop_expired);
	assert_int_equal(f->shared->traffic.tx_packets, 1);
}

static void packet_longer_than_the_mtu_is_refused_and_the_next_goes(void **state)
{
	struct fixture *f = *state;
	uint8_t big[2 * PACKET_MAX_BYTES] = { 0x45, 0, sizeof(big) >> 8, sizeof(big) & 0xff };

	kernel_sends(f, big, sizeof(big));
	kernel_sends(f, f->packet, f->len);
	pump(f);
	assert_direct(f);
	assert_int_equal(only_drop(f), COUNTER_drop_too_big);
	assert_true(lane_enter(&f->lane, NOW_MS));
	lane_send_packet(&f->lane, big, sizeof(big));
	lane_leave(&f->lane);
	assert_int_equal(count(f, COUNTER_drop_too_big), 2);

	f->len = packet_make(f->packet, OWN, PEERS, 9, MTU_BYTES - PACKET_HEADERS_BYTES);
	memset(f->packet + PACKET_HEADERS_BYTES, 'y', MTU_BYTES - PACKET_HEADERS_BYTES);
	send_one(f);
	assert_direct(f);
}

static void loops_packet_is_sent_and_not_counted_as_the_devices(void **state)
{
	struct fixture *f = *state;

	assert_true(lane_enter(&f->lane, NOW_MS));
	lane_send_packet(&f->lane, f->packet, f->len);
	lane_leave(&f->lane);
	assert_direct(f);
	/* It was counted when a worker read it and handed it to the loop. */
	assert_int_equal(count(f, COUNTER_tun_rx_packets), 0);
	assert_int_equal(f->shared->traffic.tx_packets, 1);
}

static void batches_leave_in_order(void **state)
{
	enum {
		PACKETS = 2 * LANE_BATCH + 10
	};
	struct fixture *f = *state;

	for (unsigned i = 0; i < PACKETS; i++)
		kernel_sends(f, f->packet, f->len);
	assert_true(lane_enter(&f->lane, NOW_MS));
	assert_true(lane_pump_tun(&f->lane, LANE_BATCH));
	assert_true(lane_pump_tun(&f->lane, LANE_BATCH));
	assert_false(lane_pump_tun(&f->lane, LANE_BATCH));
	lane_leave(&f->lane);
	for (unsigned i = 0; i < PACKETS; i++)
		assert_int_equal(assert_direct(f), i);
	assert_silent(&f->peer);
	assert_int_equal(count(f, COUNTER_tx_datagrams), PACKETS);
}

static void much_leaves_in_full_runs(void **state)
{
	struct fixture *f = *state;
	size_t len = packet_make(f->packet, OWN, PEERS, 9, MTU_BYTES - PACKET_HEADERS_BYTES), n_sent = 0;
	size_t datagram = len + WIRE_SEALED_OVERHEAD_BYTES, full = UDP_RUN_BYTES_MAX / datagram;

	assert_true(lane_enter(&f->lane, NOW_MS));
	while (count(f, COUNTER_tx_datagrams) == 0) {
		assert_true(n_sent * datagram < LANE_OUT_BYTES);
		lane_send_packet(&f->lane, f->packet, len);
		n_sent++;
	}
	assert_int_equal(count(f, COUNTER_tx_datagrams),
			 n_sent - 1); /* the one that had no room in the last run waits */
	assert_true(count(f, COUNTER_tx_bytes) >= LANE_FLUSH_BYTES);
	assert_int_equal(count(f, COUNTER_tx_datagrams) % full, 0);
	lane_leave(&f->lane);
	assert_int_equal(count(f, COUNTER_tx_datagrams), n_sent);
}

static void refused_datagram_stops_no_other(void **state)
{
	struct fixture *f = *state;

	f->route.n_paths = 2;
	f->route.paths[1] = f->route.paths[0];
	f->route.paths[0].addr.endpoint = (struct endpoint){ 0 };
	publish(f);
	send_one(f);
	assert_direct(f);
	assert_int_equal(only_drop(f), COUNTER_drop_send_error);
	assert_int_equal(count(f, COUNTER_tx_datagrams), 1);
}

static void lane_is_not_entered_before_a_table_is_published(void **state)
{
	struct fixture *f = *state;
	struct tables empty;

	tables_init(&empty);
	f->lane.tables = &empty;
	assert_false(lane_enter(&f->lane, NOW_MS));
	assert_int_equal(empty.epochs.active[f->lane.number], 0);
	f->lane.tables = &f->tables;
	assert_true(lane_enter(&f->lane, NOW_MS));
	assert_int_not_equal(f->tables.epochs.active[f->lane.number], 0);
	lane_leave(&f->lane);
	assert_int_equal(f->tables.epochs.active[f->lane.number], 0);
	tables_fini(&empty);
}

/* ---------------------------------------------------------------- in */

/* A sealed datagram of the peer, with headroom for what is put in front. */
struct datagram {
	uint8_t buffer[64 + 2 * PACKET_MAX_BYTES];
	uint8_t *data; /* in buffer */
	size_t len;
};

static struct datagram *sealed_by(struct session *far, uint8_t type, const uint8_t *body, size_t len)
{
	static struct datagram d;

	d.data = d.buffer + 64;
	d.len = (size_t)session_seal(far, type, 0, d.data, body, len);
	return &d;
}

static struct datagram *data_of_peer(struct fixture *f)
{
	f->len = packet_make(f->packet, PEERS, OWN, 9, 100);
	return sealed_by(f->sessions.far, WIRE_DATA, f->packet, f->len);
}

static void receive_from(struct fixture *f, const struct path_addr *from, uint32_t member, struct datagram *d,
			 uint64_t now_ms)
{
	assert_true(lane_enter(&f->lane, now_ms));
	lane_receive(&f->lane, from, member, d->data, d->len);
	lane_leave(&f->lane);
}

static struct path_addr from_peer(const struct fixture *f)
{
	return (struct path_addr){ .kind = PATH_UDP, .endpoint = f->route.paths[0].addr.endpoint };
}

static void receive(struct fixture *f, struct datagram *d)
{
	struct path_addr from = from_peer(f);

	receive_from(f, &from, 0, d, NOW_MS);
}

static void relay(struct datagram *d, struct relay_link *coordinator, uint32_t member)
{
	relay_link_wrap(coordinator, d->data - WIRE_RELAY_HEADER_BYTES, member, d->len);
	d->data -= WIRE_RELAY_HEADER_BYTES;
	d->len += WIRE_RELAY_HEADER_BYTES;
}

static void assert_delivered(struct fixture *f)
{
	uint8_t got[2 * PACKET_MAX_BYTES];

	assert_int_equal(kernel_gets(f, got), f->len);
	assert_memory_equal(got, f->packet, f->len);
}

static void assert_nothing_delivered(struct fixture *f)
{
	uint8_t got[2 * PACKET_MAX_BYTES];

	assert_int_equal(kernel_gets(f, got), -1);
}

static void opened_packet_reaches_the_device(void **state)
{
	struct fixture *f = *state;

	receive(f, data_of_peer(f));
	assert_delivered(f);
	assert_int_equal(f->n_told, 0);
	assert_int_equal(only_drop(f), COUNTER_COUNT);
	assert_int_equal(count(f, COUNTER_tun_tx_packets), 1);
	assert_int_equal(count(f, COUNTER_tun_tx_bytes), f->len);
	assert_int_equal(f->shared->traffic.rx_packets, 1);
	assert_int_equal(f->shared->traffic.rx_bytes, f->len);
	assert_int_equal(f->shared->traffic.last_received_ms, NOW_MS);
	assert_int_equal(f->shared->traffic.last_data_received_ms, NOW_MS);
	assert_int_equal(f->shared->traffic.path_received_ms, NOW_MS);
}

static void datagrams_are_read_from_the_socket(void **state)
{
	enum {
		DATAGRAMS = LANE_BATCH + 5
	};
	struct fixture *f = *state;
	struct endpoint to = endpoint_at(&f->udp);
	unsigned n_delivered = 0;
	uint8_t got[2 * PACKET_MAX_BYTES];

	for (unsigned i = 0; i < DATAGRAMS; i++) {
		struct datagram *d = data_of_peer(f);

		assert_int_equal(udp_send_one(&f->peer, &to, d->data, d->len), 0);
	}
	assert_int_equal(udp_send_one(&f->peer, &to, "", 0), 0);
	while (n_delivered < DATAGRAMS || count(f, COUNTER_drop_short) == 0) {
		struct pollfd p = { .fd = f->udp.fd, .events = POLLIN };

		assert_true(poll(&p, 1, 1000) > 0);
		assert_true(lane_enter(&f->lane, NOW_MS));
		lane_pump_udp(&f->lane, LANE_BATCH);
		lane_leave(&f->lane);
		while (kernel_gets(f, got) >= 0)
			n_delivered++;
	}
	assert_int_equal(n_delivered, DATAGRAMS);
	assert_int_equal(count(f, COUNTER_rx_datagrams), DATAGRAMS);
	assert_int_equal(count(f, COUNTER_rx_bytes), DATAGRAMS * (f->len + WIRE_SEALED_OVERHEAD_BYTES));
	assert_int_equal(f->shared->traffic.path_received_ms, NOW_MS);
	assert_int_equal(f->n_told, 0);
}

static void no_more_is_taken_than_asked(void **state)
{
	struct fixture *f = *state;
	struct endpoint to = endpoint_at(&f->udp);
	struct pollfd p = { .fd = f->udp.fd, .events = POLLIN };

	for (unsigned i = 0; i < 2; i++) {
		struct datagram *d = data_of_peer(f);

		kernel_sends(f, f->packet, f->len);
		assert_int_equal(udp_send_one(&f->peer, &to, d->data, d->len), 0);
	}
	assert_true(poll(&p, 1, 1000) > 0);
	for (unsigned i = 1; i <= 2; i++) {
		assert_true(lane_enter(&f->lane, NOW_MS));
		assert_true(lane_pump_tun(&f->lane, 1));
		assert_true(lane_pump_udp(&f->lane, 1));
		lane_leave(&f->lane);
		assert_int_equal(count(f, COUNTER_tun_rx_packets), i);
		assert_int_equal(count(f, COUNTER_rx_datagrams), i);
	}
	assert_true(lane_enter(&f->lane, NOW_MS));
	assert_false(lane_pump_tun(&f->lane, 1));
	assert_false(lane_pump_udp(&f->lane, 1));
	lane_leave(&f->lane);
}

static void data_to_a_spare_socket_is_its_paths(void **state)
{
	struct fixture *f = *state;
	struct spare spare = { .number = 9, .refs = 1 };
	struct datagram *d = data_of_peer(f);
	struct endpoint to;
	struct pollfd p;

	udp_on_loopback(&spare.udp);
	to = endpoint_at(&spare.udp);
	assert_int_equal(udp_send_one(&f->peer, &to, d->data, d->len), 0);
	p = (struct pollfd){ .fd = spare.udp.fd, .events = POLLIN };
	assert_true(poll(&p, 1, 1000) > 0);
	assert_true(lane_enter(&f->lane, NOW_MS));
	lane_pump_spare(&f->lane, &spare);
	lane_leave(&f->lane);
	assert_delivered(f);
	assert_int_equal(f->n_told, 1); /* the path in use is from the node's port */
	assert_int_equal(f->told[0].mail.kind, MAIL_SOURCE);
	assert_int_equal(f->told[0].mail.from.socket, 9);
	assert_int_equal(f->shared->traffic.path_received_ms, 0);
	udp_close(&spare.udp);
}

static void keepalive_is_noted_and_goes_no_further(void **state)
{
	struct fixture *f = *state;

	f->shared->is_asleep = true;
	receive(f, sealed_by(f->sessions.far, WIRE_DATA, NULL, 0));
	assert_nothing_delivered(f);
	assert_int_equal(only_drop(f), COUNTER_COUNT);
	assert_int_equal(f->n_told, 0);
	assert_true(f->shared->is_asleep);
	assert_int_equal(f->shared->traffic.last_received_ms, NOW_MS);
	assert_int_equal(f->shared->traffic.path_received_ms, NOW_MS);
	assert_int_equal(f->shared->traffic.last_data_received_ms, 0);
	assert_int_equal(f->shared->traffic.rx_packets, 0);
	assert_int_equal(count(f, COUNTER_tun_tx_packets), 0);
}

static void addresses_from(const char *list, struct ip *out, unsigned *n)
{
	char text[128], *rest = text, *word;

	snprintf(text, sizeof(text), "%s", list);
	*n = 0;
	while ((word = strsep(&rest, ","))) {
		struct prefix p;

		assert_int_equal(prefix_from_text(&p, word), 0);
		if (p.bits == p.ip.len * 8) /* a member has addresses, not nets */
			out[(*n)++] = p.ip;
	}
}

static void every_inner_packet_gets_its_verdict(void **state)
{
	struct fixture *f = *state;
	struct vectors *v = vectors_open("inner_ip.txt");
	unsigned n = 0;

	while (vectors_next(v)) {
		struct vector_bytes packet = vectors_hex(v, "packet");
		struct table *t = table_new(1, 1);
		const struct table_route *route;
		uint8_t got[2 * PACKET_MAX_BYTES];
		ssize_t len;

		addresses_from(vectors_text(v, "allowed"), f->route.addrs, &f->route.n_addrs);
		addresses_from(vectors_text(v, "local"), t->own, &t->n_own);
		route = table_add_route(t, &f->route);
		table_add_session(t, f->sessions.near, route);
		tables_publish_take(&f->tables, t);
		memset(&f->counters, 0, sizeof(f->counters));
		receive(f, sealed_by(f->sessions.far, WIRE_DATA, packet.data, packet.len));
		len = kernel_gets(f, got);
		if (vectors_is(v, "verdict", "accept")) {
			if (len != (ssize_t)vectors_number(v, "length") || memcmp(got, packet.data, (size_t)len) != 0)
				fail_msg("%s", vectors_text(v, "name"));
		} else {
			enum counter why = only_drop(f);

			if (len >= 0)
				fail_msg("%s", vectors_text(v, "name"));
			if (vectors_is(v, "verdict", "keepalive"))
				assert_int_equal(why, COUNTER_COUNT);
			else
				assert_true(why == COUNTER_drop_inner || why == COUNTER_drop_source);
		}
		n++;
	}
	vectors_close(v);
	assert_int_equal(f->n_told, 0);
	assert_true(n >= 60);
}

static void assert_dropped(struct fixture *f, struct datagram *d, enum counter why)
{
	memset(&f->counters, 0, sizeof(f->counters));
	receive(f, d);
	assert_int_equal(only_drop(f), why);
	assert_nothing_delivered(f);
	assert_int_equal(f->n_told, 0);
}

static void strangers_datagram_is_dropped_and_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct session_pair strangers = session_pair_new(NEAR_INDEX + 50, true, NOW_MS);
	struct datagram *d;

	for (size_t bit = 0; bit < 8 * 48; bit++) { /* header, and some of the body */
		enum counter why = COUNTER_drop_auth;

		d = data_of_peer(f);
		d->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (bit < 8)
			continue; /* another type: below */
		if (bit / 8 >= 4 && bit / 8 < 8)
			why = COUNTER_drop_unknown_index;
		if (bit / 8 == 2 || (bit / 8 == 3 && bit % 8 > 4))
			why = COUNTER_drop_short; /* a piece that cannot be */
		assert_dropped(f, d, why);
	}
	for (size_t len = 0; len < WIRE_SEALED_OVERHEAD_BYTES + 5; len++) {
		d = data_of_peer(f);
		d->len = len;
		assert_dropped(f, d, len < WIRE_SEALED_OVERHEAD_BYTES ? COUNTER_drop_short : COUNTER_drop_auth);
	}
	strangers.far->remote_index = NEAR_INDEX; /* knows the index, not the key */
	d = sealed_by(strangers.far, WIRE_DATA, f->packet, f->len);
	assert_dropped(f, d, COUNTER_drop_auth);
	d = data_of_peer(f);
	d->data[7] = d->data[6] = d->data[5] = d->data[4] = 0; /* no index at all */
	assert_dropped(f, d, COUNTER_drop_unknown_index);
	assert_int_equal(f->shared->traffic.last_received_ms, 0);
	assert_int_equal(f->shared->told[0], 0);
	session_pair_free(&strangers);
}

static void other_types_are_dropped(void **state)
{
	struct fixture *f = *state;

	for (unsigned type = 0; type < 256; type++) {
		struct datagram *d = data_of_peer(f);

		if (type >= WIRE_INIT && type <= WIRE_LOOP)
			continue;
		d->data[0] = (uint8_t)type;
		assert_dropped(f, d, COUNTER_drop_type);
	}
}

static void replayed_datagram_is_dropped(void **state)
{
	struct fixture *f = *state;
	struct datagram *d = data_of_peer(f), again = *d;

	again.data = again.buffer + 64;
	receive(f, d);
	assert_delivered(f);
	assert_dropped(f, &again, COUNTER_drop_replay);
}

static void session_published_after_the_lane_entered_is_known(void **state)
{
	struct fixture *f = *state;
	struct session_pair old = f->sessions;
	struct path_addr from = from_peer(f);
	struct datagram *d;

	assert_true(lane_enter(&f->lane, NOW_MS));
	f->sessions = session_pair_new(NEAR_INDEX + 10, true, NOW_MS);
	f->route.session = f->sessions.near;
	publish(f);
	d = data_of_peer(f);
	lane_receive(&f->lane, &from, 0, d->data, d->len);
	assert_delivered(f);
	assert_int_equal(only_drop(f), COUNTER_COUNT);
	/* The old table is let go at once, and what it alone knew is known no more. */
	assert_false(tables_reclaim(&f->tables));
	assert_int_equal(old.near->refs, 1);
	d = sealed_by(old.far, WIRE_DATA, f->packet, f->len);
	lane_receive(&f->lane, &from, 0, d->data, d->len);
	assert_int_equal(only_drop(f), COUNTER_drop_unknown_index);
	lane_leave(&f->lane);
	session_pair_free(&old);
}

static void expired_session_opens_nothing(void **state)
{
	struct fixture *f = *state;
	struct path_addr from = from_peer(f);

	receive_from(f, &from, 0, data_of_peer(f), NOW_MS + SESSION_REJECT_AFTER_MS - 1);
	assert_delivered(f);
	receive_from(f, &from, 0, data_of_peer(f), NOW_MS + SESSION_REJECT_AFTER_MS);
	assert_nothing_delivered(f);
	assert_int_equal(only_drop(f), COUNTER_drop_expired);
}

static void packet_of_anothers_address_is_dropped(void **state)
{
	struct fixture *f = *state;

	f->len = packet_make(f->packet, NOBODYS, OWN, 9, 100);
	assert_dropped(f, sealed_by(f->sessions.far, WIRE_DATA, f->packet, f->len), COUNTER_drop_source);
	f->len = packet_make(f->packet, OWN, OWN, 9, 100);
	assert_dropped(f, sealed_by(f->sessions.far, WIRE_DATA, f->packet, f->len), COUNTER_drop_source);
	f->len = packet_make(f->packet, PEERS, NOBODYS, 9, 100);
	assert_dropped(f, sealed_by(f->sessions.far, WIRE_DATA, f->packet, f->len), COUNTER_drop_inner);
	assert_int_equal(f->shared->traffic.rx_packets, 0);
}

static void packet_of_a_network_behind_the_peer_is_taken_others_are_dropped(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *src, *dst;
		enum counter why;
	} dropped[] = {
		{ "192.168.8.5", OWN, COUNTER_drop_source },
		{ NOBODYS, OWN, COUNTER_drop_source },
		{ "192.168.9.5", "192.168.9.6", COUNTER_drop_source },
		{ "192.168.7.5", "192.168.7.6", COUNTER_drop_inner },
		{ PEERS, "192.168.10.6", COUNTER_drop_inner },
	};

	f->len = packet_make(f->packet, "192.168.7.5", OWN, 9, 100);
	assert_dropped(f, sealed_by(f->sessions.far, WIRE_DATA, f->packet, f->len), COUNTER_drop_source);
	f->peers_network = "192.168.7.0/24";
	f->own_network = "192.168.9.0/24";
	publish(f);
	memset(&f->counters, 0, sizeof(f->counters));
	for (size_t i = 0; i < 3; i++) {
		static const char *const taken[][2] = { { "192.168.7.5", OWN },
							{ "192.168.7.5", "192.168.9.6" },
							{ PEERS, "192.168.9.6" } };

		f->len = packet_make(f->packet, taken[i][0], taken[i][1], 9, 100);
		receive(f, sealed_by(f->sessions.far, WIRE_DATA, f->packet, f->len));
		assert_delivered(f);
	}
	for (size_t i = 0; i < sizeof(dropped) / sizeof(dropped[0]); i++) {
		memset(&f->counters, 0, sizeof(f->counters));
		f->len = packet_make(f->packet, dropped[i].src, dropped[i].dst, 9, 100);
		assert_dropped(f, sealed_by(f->sessions.far, WIRE_DATA, f->packet, f->len), dropped[i].why);
	}
}

static void device_that_refuses_is_counted(void **state)
{
	struct fixture *f = *state;

	close(f->kernel);
	f->kernel = -1;
	receive(f, data_of_peer(f));
	assert_int_equal(only_drop(f), COUNTER_drop_tun_error);
	assert_int_equal(count(f, COUNTER_tun_tx_packets), 0);
}

static void packet_made_by_the_loop_is_written(void **state)
{
	struct fixture *f = *state;
	uint8_t buffer[TUN_VNET_BYTES + PACKET_MAX_BYTES];

	memcpy(buffer + TUN_VNET_BYTES, f->packet, f->len);
	lane_write_tun(&f->lane, buffer + TUN_VNET_BYTES, f->len);
	assert_delivered(f);
	assert_int_equal(count(f, COUNTER_tun_tx_packets), 1);
}

/* ---------------------------------------------------------------- what the loop is told */

static void first_opened_datagram_confirms_the_session_once(void **state)
{
	struct fixture *f = *state;

	session_pair_free(&f->sessions);
	f->sessions = session_pair_new(NEAR_INDEX, false, NOW_MS);
	f->route.session = f->sessions.near;
	publish(f);
	receive(f, data_of_peer(f));
	assert_delivered(f);
	receive(f, data_of_peer(f));
	assert_delivered(f);
	assert_int_equal(f->n_told, 1);
	assert_int_equal(f->told[0].mail.kind, MAIL_OPENED);
	assert_int_equal(f->told[0].mail.peer, PEER_ID);
	assert_int_equal(f->told[0].mail.index, NEAR_INDEX);
	assert_true(endpoint_equal(&f->told[0].mail.from.endpoint, &f->route.paths[0].addr.endpoint));
	assert_true(f->sessions.near->is_confirmed);
}

static void sleeping_peer_is_reported_awake_once(void **state)
{
	struct fixture *f = *state;

	f->shared->is_asleep = true;
	send_one(f);
	send_one(f);
	assert_int_equal(f->n_told, 1);
	f->shared->is_asleep = true;
	receive(f, data_of_peer(f));
	receive(f, data_of_peer(f));
	assert_int_equal(f->n_told, 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(f->told[i].mail.kind, MAIL_AWAKE);
		assert_int_equal(f->told[i].mail.peer, PEER_ID);
	}
}

static void data_from_another_way_is_told_once_a_second(void **state)
{
	struct fixture *f = *state;
	const struct path_addr moved = { .kind = PATH_UDP, .endpoint = endpoint_of("198.51.100.7:4242") };
	struct path_addr used = from_peer(f);

	for (uint64_t ms = 0; ms < 3000; ms += 100)
		receive_from(f, &moved, 0, data_of_peer(f), NOW_MS + ms);
	assert_int_equal(f->n_told, 3);
	assert_int_equal(f->told[0].mail.kind, MAIL_SOURCE);
	assert_int_equal(f->told[0].mail.peer, PEER_ID);
	assert_true(path_addr_equal(&f->told[0].mail.from, &moved));
	assert_int_equal(f->shared->traffic.path_received_ms, 0);
	receive_from(f, &used, 0, data_of_peer(f), NOW_MS + 3000);
	assert_int_equal(f->n_told, 3);
	assert_int_equal(f->shared->traffic.path_received_ms, NOW_MS + 3000);
}

static void sources_in_turns_are_told_no_more_often(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 200; i++) {
		struct path_addr from = { .kind = PATH_UDP, .endpoint = endpoint_of("198.51.100.7:4242") };

		from.endpoint.port = (uint16_t)(from.endpoint.port + i % 2);
		receive_from(f, &from, 0, data_of_peer(f), NOW_MS);
	}
	assert_int_equal(f->n_told, 2);
	for (unsigned i = 0; i < 200; i++) {
		struct path_addr from = { .kind = PATH_UDP, .endpoint = endpoint_of("198.51.100.8:4242") };

		from.endpoint.port = (uint16_t)(from.endpoint.port + i);
		receive_from(f, &from, 0, data_of_peer(f), NOW_MS);
	}
	assert_int_equal(f->n_told, SHARED_PEER_TOLD);
}

static void relay_and_direct_are_different_ways(void **state)
{
	struct fixture *f = *state;
	struct datagram *d = data_of_peer(f);

	relay(d, f->links.coordinator, MEMBER);
	receive(f, d);
	assert_delivered(f);
	assert_int_equal(f->n_told, 1);
	assert_int_equal(f->told[0].mail.kind, MAIL_SOURCE);
	assert_int_equal(f->told[0].mail.from.kind, PATH_RELAY_UDP);
	assert_int_equal(f->told[0].mail.from.coordinator, 2);

	/* With the relay in use, the same datagram is what is expected. */
	f->route.paths[0] = path_to(&f->relay, PATH_RELAY_UDP, 2, f->links.near);
	publish(f);
	d = data_of_peer(f);
	relay(d, f->links.coordinator, MEMBER);
	receive(f, d);
	assert_int_equal(f->n_told, 1);
	assert_int_equal(f->shared->traffic.path_received_ms, NOW_MS);
	/* But not through the other coordinator. */
	d = data_of_peer(f);
	relay(d, f->links2.coordinator, MEMBER);
	receive(f, d);
	assert_int_equal(f->n_told, 2);
	assert_int_equal(f->told[1].mail.from.coordinator, 3);
}

static void relayed_datagram_is_opened(void **state)
{
	struct fixture *f = *state;
	struct datagram *d = data_of_peer(f);
	size_t sealed = d->len;

	f->route.paths[0] = path_to(&f->relay, PATH_RELAY_UDP, 2, f->links.near);
	publish(f);
	relay(d, f->links.coordinator, MEMBER);
	receive(f, d);
	assert_delivered(f);
	assert_int_equal(count(f, COUNTER_relay_rx_datagrams), 1);
	assert_int_equal(count(f, COUNTER_relay_rx_bytes), sealed);
	assert_int_equal(only_drop(f), COUNTER_COUNT);
}

static void datagram_of_a_control_connection_is_opened(void **state)
{
	struct fixture *f = *state;
	const struct path_addr from = { .kind = PATH_RELAY_TCP, .coordinator = 2 };

	f->route.paths[0] = path_to(&f->relay, PATH_RELAY_TCP, 2, NULL);
	publish(f);
	receive_from(f, &from, MEMBER, data_of_peer(f), NOW_MS);
	assert_delivered(f);
	assert_int_equal(f->n_told, 0);
	assert_int_equal(count(f, COUNTER_relay_rx_datagrams), 1);
}

static void forged_and_replayed_relay_headers_are_dropped(void **state)
{
	struct fixture *f = *state;
	struct datagram *d, again;

	for (unsigned bit = 8 * 4; bit < 8 * WIRE_RELAY_HEADER_BYTES; bit++) {
		d = data_of_peer(f);
		relay(d, f->links.coordinator, MEMBER);
		d->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_dropped(f, d, bit / 8 < 8 ? COUNTER_drop_unknown_index : COUNTER_drop_auth);
	}
	d = data_of_peer(f);
	relay(d, f->links2.coordinator, MEMBER);
	d->data[4] = d->data[5] = 0;
	d->data[6] = 2 * NEAR_INDEX >> 8;
	d->data[7] = 2 * NEAR_INDEX & 0xff;
	assert_dropped(f, d, COUNTER_drop_auth); /* another link's tag */
	d = data_of_peer(f);
	relay(d, f->links.coordinator, MEMBER);
	d->len--;
	assert_dropped(f, d, COUNTER_drop_auth); /* the tag knows the length */
	d = data_of_peer(f);
	relay(d, f->links.coordinator, MEMBER);
	d->len = WIRE_RELAY_HEADER_BYTES - 1;
	assert_dropped(f, d, COUNTER_drop_short);

	f->route.paths[0] = path_to(&f->relay, PATH_RELAY_UDP, 2, f->links.near);
	publish(f);
	d = data_of_peer(f);
	relay(d, f->links.coordinator, MEMBER);
	again = *d;
	again.data = again.buffer + (d->data - d->buffer);
	receive(f, d);
	assert_delivered(f);
	assert_dropped(f, &again, COUNTER_drop_replay);
}

/* A coordinator that means ill can make the relay's header and tag anew; what is within is the peers' own. */
static void what_a_relay_alters_or_repeats_is_dropped(void **state)
{
	struct fixture *f = *state;
	size_t len = data_of_peer(f)->len;
	struct datagram *d, kept;

	for (size_t bit = 0; bit < 8 * len; bit++) {
		d = data_of_peer(f);
		d->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		relay(d, f->links.coordinator, MEMBER);
		if (bit / 8 >= WIRE_SEALED_HEADER_BYTES) {
			assert_dropped(f, d, COUNTER_drop_auth);
			continue;
		}
		receive(f, d); /* for some other reason, or as another message, which the loop judges */
		assert_nothing_delivered(f);
		f->n_told = 0;
	}
	d = data_of_peer(f);
	kept = *d;
	kept.data = kept.buffer + (d->data - d->buffer);
	relay(d, f->links.coordinator, MEMBER);
	receive(f, d);
	assert_delivered(f);
	f->n_told = 0; /* that it came another way */
	relay(&kept, f->links.coordinator, MEMBER);
	assert_dropped(f, &kept, COUNTER_drop_replay);
}

static void relayed_datagram_inside_another_is_dropped(void **state)
{
	struct fixture *f = *state;
	const struct path_addr tcp = { .kind = PATH_RELAY_TCP, .coordinator = 2 };
	struct datagram *d = data_of_peer(f);

	relay(d, f->links.coordinator, MEMBER);
	relay(d, f->links.coordinator, MEMBER);
	assert_dropped(f, d, COUNTER_drop_short);
	d = data_of_peer(f);
	relay(d, f->links.coordinator, MEMBER);
	memset(&f->counters, 0, sizeof(f->counters));
	receive_from(f, &tcp, MEMBER, d, NOW_MS);
	assert_int_equal(only_drop(f), COUNTER_drop_short);
	assert_nothing_delivered(f);
}

static void index_of_a_link_is_none_of_a_session(void **state)
{
	struct fixture *f = *state;
	struct datagram *d = data_of_peer(f);

	d->data[6] = 2 * NEAR_INDEX >> 8;
	d->data[7] = 2 * NEAR_INDEX & 0xff;
	assert_dropped(f, d, COUNTER_drop_unknown_index);
	d = data_of_peer(f);
	relay(d, f->links.coordinator, MEMBER);
	d->data[6] = NEAR_INDEX >> 8;
	d->data[7] = NEAR_INDEX & 0xff;
	assert_dropped(f, d, COUNTER_drop_unknown_index);
}

static void of_stun_only_answers_go_to_the_loop(void **state)
{
	static const uint8_t answer[] = { 0x01, 0x01, 0, 12, 0x21, 0x12, 0xa4, 0x42 };
	struct fixture *f = *state;
	struct datagram *d = data_of_peer(f);

	memcpy(d->data, answer, sizeof(answer));
	receive(f, d);
	assert_int_equal(f->n_told, 1);
	assert_int_equal(f->told[0].mail.kind, MAIL_DATAGRAM);
	assert_int_equal(only_drop(f), COUNTER_COUNT);
	f->n_told = 0;
	d = data_of_peer(f);
	memcpy(d->data, answer, sizeof(answer));
	d->data[0] = 0; /* a request */
	assert_dropped(f, d, COUNTER_drop_type);
	d = data_of_peer(f);
	memcpy(d->data, answer, sizeof(answer));
	d->data[4] ^= 1; /* not the cookie */
	assert_dropped(f, d, COUNTER_drop_type);
}

static void what_is_not_data_goes_to_the_loop_as_it_is(void **state)
{
	static const uint8_t types[] = { WIRE_INIT, WIRE_RESPONSE, WIRE_COOKIE, WIRE_SESSION, WIRE_BIND, WIRE_LOOP };
	struct fixture *f = *state;

	for (unsigned i = 0; i < sizeof(types); i++) {
		struct datagram *d = data_of_peer(f);
		struct told *told = &f->told[i];
		size_t len = d->len - i;

		d->data[0] = types[i];
		d->len = len;
		if (i % 2)
			relay(d, f->links.coordinator, MEMBER + i);
		receive(f, d);
		assert_int_equal(f->n_told, i + 1);
		assert_int_equal(told->mail.kind, MAIL_DATAGRAM);
		assert_int_equal(told->mail.len, len);
		assert_int_equal(told->bytes[0], types[i]);
		assert_int_equal(told->mail.member, i % 2 ? MEMBER + i : 0);
		assert_int_equal(told->mail.from.kind, i % 2 ? PATH_RELAY_UDP : PATH_UDP);
		if (i % 2)
			assert_int_equal(told->mail.from.coordinator, 2);
		else
			assert_true(endpoint_equal(&told->mail.from.endpoint, &f->route.paths[0].addr.endpoint));
		assert_nothing_delivered(f);
	}
	f->is_box_full = true;
	receive(f, sealed_by(f->sessions.far, WIRE_SESSION, NULL, 0));
	assert_int_equal(only_drop(f), COUNTER_drop_queue_full);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(packet_leaves_sealed_on_the_direct_path),
		TEST(bytes_behind_the_packet_are_not_sent),
		TEST(relayed_packet_has_header_and_tag_for_the_coordinator),
		TEST(extra_path_gets_a_copy),
		TEST(a_spare_sockets_path_leaves_by_it),
		TEST(copies_through_two_coordinators_have_their_own_headers),
		TEST(packet_for_a_control_connection_goes_as_mail),
		TEST(packet_the_table_cannot_place_goes_to_the_loop),
		TEST(multicast_and_broadcast_are_refused),
		TEST(source_that_is_not_ours_is_refused),
		TEST(packets_of_networks_behind_both_ends_are_sent),
		TEST(malformed_packet_is_refused),
		TEST(worn_out_session_seals_no_more),
		TEST(packet_longer_than_the_mtu_is_refused_and_the_next_goes),
		TEST(loops_packet_is_sent_and_not_counted_as_the_devices),
		TEST(no_more_is_taken_than_asked),
		TEST(batches_leave_in_order),
		TEST(much_leaves_in_full_runs),
		TEST(refused_datagram_stops_no_other),
		TEST(lane_is_not_entered_before_a_table_is_published),
		TEST(opened_packet_reaches_the_device),
		TEST(datagrams_are_read_from_the_socket),
		TEST(data_to_a_spare_socket_is_its_paths),
		TEST(keepalive_is_noted_and_goes_no_further),
		TEST(every_inner_packet_gets_its_verdict),
		TEST(strangers_datagram_is_dropped_and_changes_nothing),
		TEST(other_types_are_dropped),
		TEST(replayed_datagram_is_dropped),
		TEST(session_published_after_the_lane_entered_is_known),
		TEST(expired_session_opens_nothing),
		TEST(packet_of_anothers_address_is_dropped),
		TEST(packet_of_a_network_behind_the_peer_is_taken_others_are_dropped),
		TEST(device_that_refuses_is_counted),
		TEST(packet_made_by_the_loop_is_written),
		TEST(first_opened_datagram_confirms_the_session_once),
		TEST(sleeping_peer_is_reported_awake_once),
		TEST(data_from_another_way_is_told_once_a_second),
		TEST(sources_in_turns_are_told_no_more_often),
		TEST(relay_and_direct_are_different_ways),
		TEST(relayed_datagram_is_opened),
		TEST(datagram_of_a_control_connection_is_opened),
		TEST(forged_and_replayed_relay_headers_are_dropped),
		TEST(what_a_relay_alters_or_repeats_is_dropped),
		TEST(relayed_datagram_inside_another_is_dropped),
		TEST(index_of_a_link_is_none_of_a_session),
		TEST(of_stun_only_answers_go_to_the_loop),
		TEST(what_is_not_data_goes_to_the_loop_as_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
