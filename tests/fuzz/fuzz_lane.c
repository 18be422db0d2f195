/* Datagrams into a lane that knows one session and one relay link. The first byte says how the rest comes:
 * 0 as it is over UDP, 1 over a control connection, 2 relayed under a good header, 3 sealed by the peer, 4 both,
 * 5 sealed as an LZ4 block, 6 that in two pieces. */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crypto/key.h"
#include "daemon/data/lane.h"
#include "daemon/peer/handshake.h"
#include "daemon/wire/stun.h"

enum way {
	RAW,
	TCP,
	RELAYED,
	SEALED,
	SEALED_RELAYED,
	PACKED,
	PACKED_IN_PIECES,
	WAYS
};

#define NOW_MS 1000000
#define SESSION_INDEX 0x01020304
#define LINK_INDEX 0x05060708
#define MEMBER 9
#define BODY_MAX_BYTES 2000
#define MTU_BYTES 1400

static const struct ip own = { .len = 4, .b = { 10, 77, 0, 1 } }, peers = { .len = 4, .b = { 10, 77, 0, 2 } };

struct world {
	struct lane lane;
	struct counters counters;
	struct tables tables;
	struct tun tun;
	struct udp udp;
	int kernel;
	struct session *near, *far;
	struct relay_link *link, *coordinator;
	struct shared_peer *shared;
	bool is_proven; /* what is handed in was sealed by the peer */
	size_t len;     /* of what is handed in */
};

static bool tell(void *arg, const struct mail *m)
{
	const struct world *w = arg;

	if (m->kind != MAIL_DATAGRAM) {
		must(w->is_proven && (m->kind == MAIL_OPENED || m->kind == MAIL_SOURCE || m->kind == MAIL_AWAKE));
		return true;
	}
	must(m->len > 0 && m->len <= w->len);
	must(stun_is_answer(m->data, m->len) || (m->data[0] >= WIRE_INIT && m->data[0] <= WIRE_LOOP &&
						 m->data[0] != WIRE_DATA && m->data[0] != WIRE_RELAY));
	return true;
}

static struct world *world_new(void)
{
	static struct world w;
	struct handshake_keys keys = { .suite = AEAD_CHACHA20_POLY1305, .send = { 1 }, .recv = { 2 } }, mirrored = keys;
	const uint8_t up[32] = { 3 }, down[32] = { 4 }, tag_up[SHORT_KEY_BYTES] = { 5 },
		      tag_down[SHORT_KEY_BYTES] = { 6 };
	struct table_route route = { .mtu_bytes = MTU_BYTES, .n_addrs = 1, .addrs = { peers } };
	const struct table_route *added;
	struct table *t;
	int pair[2];

	keys.features = WIRE_FEATURE_LZ4;
	memcpy(mirrored.send, keys.recv, sizeof(keys.send));
	memcpy(mirrored.recv, keys.send, sizeof(keys.recv));
	must(crypto_start() == 0);
	must(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
	w.kernel = pair[1];
	w.tun = (struct tun){ .n_queues = 1, .features = TUN_VNET, .fd = { pair[0] } };
	w.udp.fd = -1; /* what is received is never answered here */
	w.near = session_new(&keys, SESSION_INDEX, 1, false, NOW_MS, NULL);
	w.far = session_new(&mirrored, 1, SESSION_INDEX, true, NOW_MS, NULL);
	w.link = relay_link_new(up, down, tag_up, tag_down, LINK_INDEX, 2, NULL);
	w.coordinator = relay_link_new(down, up, tag_down, tag_up, 2, LINK_INDEX, NULL);
	w.shared = shared_peer_new(7);
	must(w.near && w.far && w.link && w.coordinator && w.shared);
	route.peer = w.shared;
	route.session = w.near;
	t = table_new(1, 2);
	must(t != NULL);
	t->own[t->n_own++] = own;
	added = table_add_route(t, &route);
	must(table_make_networks(t, 1) == 0);
	table_add_network(t, &(struct prefix){ .ip = { 4, { 192, 168, 7 } }, .bits = 24 }, added, true);
	t->behind[t->n_behind++] = (struct prefix){ .ip = { 4, { 192, 168, 9 } }, .bits = 24 };
	table_add_session(t, w.near, added);
	table_add_link(t, w.link, 0);
	tables_init(&w.tables);
	tables_publish_take(&w.tables, t);
	w.lane = (struct lane){ .tables = &w.tables, .udp = &w.udp, .tun = &w.tun, .counters = &w.counters };
	w.lane.tell = tell;
	w.lane.arg = &w;
	must(lane_init(&w.lane, MTU_BYTES) == 0);
	return &w;
}

/* What reached the TUN, if anything did, is the front of `body`, the packet, and has the addresses it must have. */
static bool check_delivered(const struct world *w, const uint8_t *body, size_t len)
{
	uint8_t got[TUN_VNET_BYTES + 65536];
	const uint8_t *packet = got + TUN_VNET_BYTES;
	ssize_t n = read(w->kernel, got, sizeof(got));

	if (n < 0)
		return false;
	must(w->is_proven && n > TUN_VNET_BYTES);
	n -= TUN_VNET_BYTES;
	must((size_t)n <= len && memcmp(packet, body, (size_t)n) == 0);
	must(n >= 20 && packet[0] >> 4 == 4 && (packet[2] << 8 | packet[3]) == n);
	must(memcmp(packet + 12, peers.b, 4) == 0 || memcmp(packet + 12, "\xc0\xa8\x07", 3) == 0);
	must(memcmp(packet + 16, own.b, 4) == 0 || memcmp(packet + 16, "\xc0\xa8\x09", 3) == 0);
	must(read(w->kernel, got, sizeof(got)) < 0); /* once */
	return true;
}

/* Hands in what lies at `at`; a keepalive is no drop. Returns the drops it made. */
static uint64_t receive(struct world *w, const struct path_addr *from, uint8_t *at, size_t n)
{
	uint64_t n_counted = 0, sums[2][COUNTER_COUNT] = { 0 };

	counters_sum(sums[0], &w->counters);
	w->len = n;
	must(lane_enter(&w->lane, NOW_MS));
	lane_receive(&w->lane, from, from->kind == PATH_RELAY_TCP ? MEMBER : 0, at, n);
	must(w->lane.n_runs == 0 && w->lane.out_len == 0);
	lane_leave(&w->lane);
	counters_sum(sums[1], &w->counters);
	for (unsigned c = COUNTER_drop_short; c <= COUNTER_drop_multicast; c++)
		n_counted += sums[1][c] - sums[0][c];
	return n_counted;
}

/* The other end says that it is a block. */
static void receive_packed(struct world *w, const struct path_addr *from, const uint8_t *block, size_t len,
			   bool is_in_pieces)
{
	static uint8_t buffer[WIRE_SEALED_OVERHEAD_BYTES + BODY_MAX_BYTES], packet[MTU_BYTES];
	int packet_len = compress_unpack(packet, sizeof(packet), block, len);
	uint64_t n_counted = 0, first;
	bool is_delivered;
	size_t n;

	if (is_in_pieces) {
		if (len < 2 || len > MTU_BYTES) /* empty pieces are none; more than it keeps it drops */
			return;
		must(session_take(w->far, 2, &first));
		n = (size_t)session_seal_piece(w->far, first, 1, 2, WIRE_FLAG_LZ4, buffer, block + len / 2,
					       len - len / 2);
		must(receive(w, from, buffer, n) == 0);
		must(!check_delivered(w, NULL, 0));
		n = (size_t)session_seal_piece(w->far, first, 0, 2, WIRE_FLAG_LZ4, buffer, block, len / 2);
	} else {
		n = (size_t)session_seal(w->far, WIRE_DATA, WIRE_FLAG_LZ4, buffer, block, len);
	}
	n_counted = receive(w, from, buffer, n);
	is_delivered = check_delivered(w, packet, packet_len < 0 ? 0 : (size_t)packet_len);
	must(n_counted == !is_delivered);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct world *w;
	static uint8_t buffer[WIRE_RELAY_HEADER_BYTES + WIRE_SEALED_OVERHEAD_BYTES + BODY_MAX_BYTES];
	struct path_addr from = { .kind = PATH_UDP, .endpoint = { .ip = { 4, { 192, 0, 2, 1 } }, .port = 1 } };
	uint8_t *at = buffer + WIRE_RELAY_HEADER_BYTES;
	uint64_t n_counted, n_written;
	struct replay window, link_window;
	enum way way;
	size_t n;
	bool is_delivered;

	if (!w)
		w = world_new();
	if (len == 0 || len - 1 > BODY_MAX_BYTES)
		return 0;
	way = data[0] % WAYS;
	n = len - 1;
	w->is_proven = way >= SEALED;
	if (way >= PACKED) {
		receive_packed(w, &from, data + 1, n, way == PACKED_IN_PIECES);
		return 0;
	}
	if (w->is_proven)
		n = (size_t)session_seal(w->far, WIRE_DATA, 0, at, data + 1, n);
	else
		memcpy(at, data + 1, n);
	if (way == RELAYED || way == SEALED_RELAYED) {
		relay_link_wrap(w->coordinator, buffer, MEMBER, n);
		at = buffer;
		n += WIRE_RELAY_HEADER_BYTES;
	}
	if (way == TCP)
		from = (struct path_addr){ .kind = PATH_RELAY_TCP };
	window = w->near->window;
	link_window = w->link->window;
	n_written = counters_get(&w->counters, COUNTER_tun_tx_packets);
	n_counted = receive(w, &from, at, n);
	is_delivered = check_delivered(w, data + 1, len - 1);
	must(n_counted <= 1 && !(is_delivered && n_counted));
	must(counters_get(&w->counters, COUNTER_tun_tx_packets) - n_written == is_delivered);
	if (w->is_proven) {
		must(is_delivered || n_counted == 1 || len == 1); /* or a keepalive */
	} else {
		must(memcmp(&window, &w->near->window, sizeof(window)) == 0);
		must(way == RELAYED || memcmp(&link_window, &w->link->window, sizeof(link_window)) == 0);
	}
	return 0;
}
