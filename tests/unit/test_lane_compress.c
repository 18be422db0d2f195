/* Two lanes that face each other over loopback: what goes into the one's device comes out of the other's, packed on the
 * way or not. Pairs of sockets stand in for the devices. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/data/inner_ip.h"
#include "daemon/data/lane.h"
#include "daemon/peer/handshake.h"
#include "tests/unit/dataplane.h"
#include "tests/unit/train_cases.h"
#include "tests/unit/vectors.h"

#define NOW_MS 5000000
#define MTU_BYTES 1500
#define PATH_BYTES 1400 /* the longest packet that goes whole */
#define SHORT_PATH_BYTES 600
#define NEAR_INDEX 1000
#define NEAR "10.77.0.1"
#define FAR "10.77.0.2"
#define OTHER "10.77.0.9"

struct end {
	struct lane lane;
	struct counters counters;
	struct tables tables;
	struct tun tun;
	struct udp udp;
	struct shared_peer *peer; /* the other end, as this one sees it */
	struct table_route route;
	int kernel; /* the other end of the TUN */
};

struct fixture {
	struct end near, far;
	struct session_pair sessions;
};

static bool tell(void *arg, const struct mail *m)
{
	(void)arg;
	(void)m; /* of what the loop is told, test_lane knows */
	return true;
}

static void publish(struct end *e, struct session *session, const char *own)
{
	struct table *t = table_new(1, 1);

	assert_non_null(t);
	t->own[t->n_own++] = ip_of(own);
	e->route.session = session;
	table_add_session(t, session, table_add_route(t, &e->route));
	tables_publish_take(&e->tables, t);
}

static void publish_both(struct fixture *f)
{
	publish(&f->near, f->sessions.near, NEAR);
	publish(&f->far, f->sessions.far, FAR);
}

static void end_open(struct end *e, const char *peers)
{
	const struct udp_options options = { .address = ip_of("127.0.0.1"), .buffer_bytes = 1 << 20 };
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &(int){ 1 << 20 }, sizeof(int)), 0);
	e->kernel = pair[1];
	e->tun = (struct tun){ .n_queues = 1, .features = TUN_VNET, .fd = { pair[0] } };
	assert_int_equal(udp_open(&e->udp, &options), 0);
	e->peer = shared_peer_new(7);
	e->route = (struct table_route){ .peer = e->peer, .n_paths = 1, .n_addrs = 1, .addrs = { ip_of(peers) } };
	e->route.mtu_bytes = PATH_BYTES;
	e->route.compression = CONFIG_COMPRESSION_ON;
	tables_init(&e->tables);
	e->lane = (struct lane){ .tables = &e->tables, .udp = &e->udp, .tun = &e->tun, .counters = &e->counters };
	e->lane.tell = tell;
	assert_int_equal(lane_init(&e->lane, MTU_BYTES), 0);
}

static void end_close(struct end *e)
{
	lane_fini(&e->lane);
	tables_fini(&e->tables);
	shared_peer_unref(e->peer);
	udp_close(&e->udp);
	tun_close(&e->tun);
	close(e->kernel);
}

static void set_path(struct end *from, const struct end *to)
{
	struct endpoint ep = { .ip = ip_of("127.0.0.1"), .port = (uint16_t)udp_port(&to->udp) };

	from->route.paths[0] = (struct table_path){ .addr = { .kind = PATH_UDP, .endpoint = ep } };
}

/* Compression is agreed upon, and on. */
static int set_up(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	end_open(&f.near, FAR);
	end_open(&f.far, NEAR);
	set_path(&f.near, &f.far);
	set_path(&f.far, &f.near);
	f.sessions = session_pair_new(NEAR_INDEX, true, NOW_MS);
	f.sessions.near->features = f.sessions.far->features = WIRE_FEATURE_LZ4;
	publish_both(&f);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	end_close(&f->near);
	end_close(&f->far);
	session_pair_free(&f->sessions);
	return 0;
}

static uint64_t count(const struct end *e, enum counter c)
{
	return counters_get(&e->counters, c);
}

static uint64_t all_drops(const struct end *e)
{
	uint64_t n = 0;

	for (enum counter c = COUNTER_drop_short; c <= COUNTER_drop_multicast; c++)
		n += count(e, c);
	return n;
}

static void kernel_sends(const struct end *e, const struct virtio_net_hdr *vnet, const uint8_t *packet, size_t len)
{
	static uint8_t buffer[TUN_VNET_BYTES + TUN_PACKET_MAX_BYTES];

	memset(buffer, 0, TUN_VNET_BYTES);
	if (vnet)
		memcpy(buffer, vnet, TUN_VNET_BYTES);
	memcpy(buffer + TUN_VNET_BYTES, packet, len);
	assert_int_equal(write(e->kernel, buffer, TUN_VNET_BYTES + len), TUN_VNET_BYTES + len);
}

/* The next packet or train the lane wrote to the device, -1 if there is none. */
static ssize_t kernel_gets(const struct end *e, struct virtio_net_hdr *vnet, uint8_t *packet)
{
	static uint8_t buffer[TUN_VNET_BYTES + TUN_PACKET_MAX_BYTES];
	size_t front = e->tun.features & TUN_VNET ? TUN_VNET_BYTES : 0;
	ssize_t n = read(e->kernel, buffer, sizeof(buffer));

	if (n < 0)
		return -1;
	assert_true(n >= (ssize_t)front);
	memset(vnet, 0, sizeof(*vnet));
	memcpy(vnet, buffer, front);
	memcpy(packet, buffer + front, (size_t)n - front);
	return n - (ssize_t)front;
}

static void pump_tun(struct end *e, uint64_t now_ms)
{
	assert_true(lane_enter(&e->lane, now_ms));
	while (lane_pump_tun(&e->lane, LANE_BATCH))
		;
	lane_leave(&e->lane);
}

/* Until nothing more is there. */
static void pump_udp(struct end *e)
{
	struct pollfd p = { .fd = e->udp.fd, .events = POLLIN };

	while (poll(&p, 1, 0) > 0) {
		assert_true(lane_enter(&e->lane, NOW_MS));
		lane_pump_udp(&e->lane, LANE_BATCH);
		lane_leave(&e->lane);
	}
}

static void carry(struct fixture *f)
{
	pump_tun(&f->near, NOW_MS);
	pump_udp(&f->far);
}

enum content {
	TEXT,
	NOISE,
	HALF /* of each */
};

static size_t make(uint8_t packet[static PACKET_MAX_BYTES], enum content content, size_t len)
{
	size_t data = len - PACKET_HEADERS_BYTES, noise = content == NOISE ? data : content == HALF ? data / 2 : 0;

	len = packet_make(packet, NEAR, FAR, 9, data);
	draw_bytes(packet + PACKET_HEADERS_BYTES, noise);
	for (size_t i = noise; i < data; i++)
		packet[PACKET_HEADERS_BYTES + i] = (uint8_t) "words and words "[i % 16];
	return len;
}

/* One packet there; returns how many datagrams it took. */
static uint64_t crosses(struct fixture *f, const uint8_t *packet, size_t len)
{
	uint64_t before = count(&f->near, COUNTER_tx_datagrams);
	struct virtio_net_hdr vnet;
	uint8_t got[TUN_PACKET_MAX_BYTES];

	kernel_sends(&f->near, NULL, packet, len);
	carry(f);
	assert_int_equal(kernel_gets(&f->far, &vnet, got), len);
	assert_memory_equal(got, packet, len);
	assert_int_equal(kernel_gets(&f->far, &vnet, got), -1);
	return count(&f->near, COUNTER_tx_datagrams) - before;
}

static void packets_of_every_length_cross(void **state)
{
	struct fixture *f = *state;
	uint8_t packet[PACKET_MAX_BYTES];
	uint64_t plain = 0;

	for (enum content content = TEXT; content <= HALF; content++)
		for (size_t len = PACKET_HEADERS_BYTES; len <= PATH_BYTES; len += 1 + len / 40) {
			assert_int_equal(crosses(f, packet, make(packet, content, len)), 1);
			plain += len >= COMPRESS_LEAST_BYTES ? len : 0;
		}
	assert_int_equal(f->near.peer->compression.tx_plain_bytes, plain);
	assert_true(f->near.peer->compression.tx_packed_bytes < plain * 3 / 4);
	assert_true(f->near.peer->compression.tx_packed_bytes > plain / 3);
	/* Only what came packed counts there. */
	assert_true(f->far.peer->compression.rx_plain_bytes < plain);
	assert_int_equal(f->far.peer->compression.rx_plain_bytes - f->far.peer->compression.rx_packed_bytes,
			 plain - f->near.peer->compression.tx_packed_bytes);
	assert_int_equal(all_drops(&f->near) + all_drops(&f->far), 0);
	/* The packets' own bytes count as traffic. */
	assert_int_equal(f->near.peer->traffic.tx_bytes, f->far.peer->traffic.rx_bytes);
	assert_true(f->near.peer->traffic.tx_bytes >= plain);
}

static void only_what_shrinks_goes_packed(void **state)
{
	struct fixture *f = *state;
	uint8_t packet[PACKET_MAX_BYTES];

	crosses(f, packet, make(packet, NOISE, 1300));
	assert_int_equal(f->near.peer->compression.tx_plain_bytes, 1300);
	assert_int_equal(f->near.peer->compression.tx_packed_bytes, 1300);
	assert_int_equal(f->far.peer->compression.rx_packed_bytes, 0);
	assert_int_equal(count(&f->near, COUNTER_tx_bytes), 1300 + WIRE_SEALED_OVERHEAD_BYTES);
	crosses(f, packet, make(packet, TEXT, 1300));
	assert_int_equal(f->far.peer->compression.rx_plain_bytes, 1300);
	assert_true(f->far.peer->compression.rx_packed_bytes < 200);
	assert_true(count(&f->near, COUNTER_tx_bytes) < 1500 + 2 * WIRE_SEALED_OVERHEAD_BYTES);
}

static void off_is_off_whatever_the_session_allows(void **state)
{
	struct fixture *f = *state;
	uint8_t packet[PACKET_MAX_BYTES];

	f->near.route.compression = CONFIG_COMPRESSION_OFF;
	publish_both(f);
	crosses(f, packet, make(packet, TEXT, 1300));
	assert_int_equal(f->near.peer->compression.tx_plain_bytes, 0);
	assert_int_equal(f->far.peer->compression.rx_packed_bytes, 0);
	assert_int_equal(count(&f->near, COUNTER_tx_bytes), 1300 + WIRE_SEALED_OVERHEAD_BYTES);
}

/* ---------------------------------------------------------------- trains */

static bool has_good_checksum(const uint8_t *packet, size_t len)
{
	uint64_t sum = 6 + len - 20; /* TCP over IPv4 without options */

	for (size_t i = 12; i < len; i++)
		sum += (uint64_t)packet[i] << (i % 2 ? 0 : 8);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

#define TRAIN_HEADERS_BYTES 40
#define TRAIN_PAYLOAD_BYTES 50000
#define SEGMENT_BYTES 1340

/* A TCP train as the kernel hands it over, its checksum unfinished. */
static size_t train_of(uint8_t *packet, struct virtio_net_hdr *vnet, enum content content)
{
	size_t len = TRAIN_HEADERS_BYTES + TRAIN_PAYLOAD_BYTES;
	uint8_t header[PACKET_MAX_BYTES];
	uint32_t sum = 6 + (uint32_t)(len - 20);

	make(header, TEXT, PACKET_HEADERS_BYTES);
	memcpy(packet, header, 20);
	memset(packet + 20, 0, 20);
	packet[2] = (uint8_t)(len >> 8);
	packet[3] = (uint8_t)len;
	packet[6] = 0x40; /* DF */
	packet[9] = 6;
	packet[32] = 5 << 4;
	packet[33] = 0x10; /* ACK */
	for (size_t i = 12; i < 20; i++)
		sum += (uint32_t)packet[i] << (i % 2 ? 0 : 8);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	packet[36] = (uint8_t)(sum >> 8);
	packet[37] = (uint8_t)sum;
	for (size_t i = 0; i < TRAIN_PAYLOAD_BYTES; i++) {
		bool is_noise = content == NOISE || (content == HALF && i / 4000 % 2);

		packet[TRAIN_HEADERS_BYTES + i] = is_noise ? (uint8_t)draw(256) : (uint8_t) "line of text\n"[i % 13];
	}
	*vnet = (struct virtio_net_hdr){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					 .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
					 .hdr_len = TRAIN_HEADERS_BYTES,
					 .gso_size = SEGMENT_BYTES,
					 .csum_start = 20,
					 .csum_offset = 16 };
	return len;
}

/* Sends a train, and puts together what comes of it. Returns the number of writes at the far end. */
static unsigned train_crosses(struct fixture *f, enum content content, bool is_finished)
{
	static uint8_t packet[TUN_PACKET_MAX_BYTES], got[TUN_PACKET_MAX_BYTES], stream[TRAIN_PAYLOAD_BYTES];
	struct virtio_net_hdr vnet;
	size_t len = train_of(packet, &vnet, content), n = 0;
	unsigned n_writes = 0;
	ssize_t one;

	kernel_sends(&f->near, &vnet, packet, len);
	carry(f);
	while ((one = kernel_gets(&f->far, &vnet, got)) >= 0) {
		assert_true(one > TRAIN_HEADERS_BYTES && n + (size_t)one - TRAIN_HEADERS_BYTES <= sizeof(stream));
		if (is_finished)
			assert_true(has_good_checksum(got, (size_t)one));
		else
			assert_int_equal(vnet.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
		memcpy(stream + n, got + TRAIN_HEADERS_BYTES, (size_t)one - TRAIN_HEADERS_BYTES);
		n += (size_t)one - TRAIN_HEADERS_BYTES;
		n_writes++;
	}
	assert_int_equal(n, TRAIN_PAYLOAD_BYTES);
	assert_memory_equal(stream, packet + TRAIN_HEADERS_BYTES, TRAIN_PAYLOAD_BYTES);
	assert_int_equal(all_drops(&f->near) + all_drops(&f->far), 0);
	return n_writes;
}

static const unsigned n_segments = (TRAIN_PAYLOAD_BYTES + SEGMENT_BYTES - 1) / SEGMENT_BYTES;

static void a_trains_packets_go_one_by_one(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(train_crosses(f, TEXT, false), n_segments);
	assert_int_equal(count(&f->near, COUNTER_tx_datagrams), n_segments);
	assert_true(count(&f->near, COUNTER_tx_bytes) < TRAIN_PAYLOAD_BYTES / 4);
	train_crosses(f, NOISE, false);
	train_crosses(f, HALF, false);
	assert_int_equal(count(&f->near, COUNTER_tx_datagrams), 3 * n_segments);
}

static void packed_packets_are_joined_again(void **state)
{
	struct fixture *f = *state;

	f->far.tun.features |= TUN_TSO;
	for (enum content content = TEXT; content <= HALF; content++)
		assert_true(train_crosses(f, content, false) <= n_segments / 4);
}

static void a_device_without_headers_gets_finished_checksums(void **state)
{
	struct fixture *f = *state;

	f->far.tun.features = 0;
	assert_int_equal(train_crosses(f, TEXT, true), n_segments);
	assert_int_equal(train_crosses(f, NOISE, true), n_segments);
	assert_true(f->far.peer->compression.rx_plain_bytes > TRAIN_PAYLOAD_BYTES);
}

/* More than there is room for, joined and not, in one go. */
static void room_for_unpacked_packets_is_used_again(void **state)
{
	struct fixture *f = *state;
	struct path_addr from = f->far.route.paths[0].addr;
	uint8_t packet[PACKET_MAX_BYTES], got[TUN_PACKET_MAX_BYTES], datagram[2 * PACKET_MAX_BYTES];
	struct compressor *c = compressor_new(MTU_BYTES);
	struct virtio_net_hdr vnet;

	for (unsigned tso = 0; tso < 2; tso++) {
		f->far.tun.features = TUN_VNET | (tso ? TUN_TSO : 0);
		assert_true(lane_enter(&f->far.lane, NOW_MS));
		for (unsigned i = 0; i < 400; i++) {
			size_t len = make(packet, TEXT, 1300), n = 0;
			const uint8_t *block;

			packet[PACKET_HEADERS_BYTES] = (uint8_t)i;
			block = compressor_pack(c, packet, len, &n);
			assert_non_null(block);
			n = (size_t)session_seal(f->sessions.near, WIRE_DATA, WIRE_FLAG_LZ4, datagram, block, n);
			lane_receive(&f->far.lane, &from, 0, datagram, n);
			if (i == 0 && tso)
				continue; /* it waits for one to be joined with */
			packet[PACKET_HEADERS_BYTES] = (uint8_t)(i - tso);
			assert_int_equal(kernel_gets(&f->far, &vnet, got), len);
			assert_memory_equal(got, packet, len);
		}
		lane_leave(&f->far.lane);
		assert_int_equal(kernel_gets(&f->far, &vnet, got) >= 0, tso);
	}
	compressor_free(c);
}

/* ---------------------------------------------------------------- short paths */

static void what_shrinks_enough_needs_no_pieces(void **state)
{
	struct fixture *f = *state;
	uint8_t packet[PACKET_MAX_BYTES];

	f->near.route.mtu_bytes = SHORT_PATH_BYTES;
	publish_both(f);
	assert_int_equal(crosses(f, packet, make(packet, TEXT, 1280)), 1);
	assert_int_equal(crosses(f, packet, make(packet, NOISE, 1280)), 3);
	assert_int_equal(f->far.peer->compression.rx_plain_bytes, 1280);
	/* Packed, and still too long. */
	assert_int_equal(crosses(f, packet, make(packet, HALF, 1280)), 2);
	assert_int_equal(f->far.peer->compression.rx_plain_bytes, 2 * 1280);
	assert_int_equal(crosses(f, packet, make(packet, HALF, 1400)), 2);
	assert_int_equal(all_drops(&f->near) + all_drops(&f->far), 0);
}

static void a_packets_own_length_is_what_is_too_big(void **state)
{
	struct fixture *f = *state;
	struct virtio_net_hdr vnet;
	uint8_t packet[PACKET_MAX_BYTES], got[TUN_PACKET_MAX_BYTES];
	size_t len = make(packet, TEXT, 1400);

	packet[6] = 0x40; /* DF */
	f->near.route.mtu_bytes = 1300;
	f->near.route.is_mtu_known = true;
	publish_both(f);
	kernel_sends(&f->near, NULL, packet, len);
	carry(f);
	assert_int_equal(count(&f->near, COUNTER_drop_too_big), 1);
	assert_true(kernel_gets(&f->near, &vnet, got) > 0); /* told so */
	assert_int_equal(got[9], 1);
	assert_int_equal(kernel_gets(&f->far, &vnet, got), -1);
	assert_int_equal(count(&f->near, COUNTER_tx_datagrams), 0);
}

/* ---------------------------------------------------------------- what comes */

/* A data datagram with this body, of the near end. Returns the drops it made. */
static uint64_t far_receives(struct fixture *f, uint8_t flags, const uint8_t *body, size_t len)
{
	static uint8_t datagram[2 * PACKET_MAX_BYTES];
	struct path_addr from = f->far.route.paths[0].addr;
	uint64_t before = all_drops(&f->far);
	size_t n = (size_t)session_seal(f->sessions.near, WIRE_DATA, flags, datagram, body, len);

	assert_true(lane_enter(&f->far.lane, NOW_MS));
	lane_receive(&f->far.lane, &from, 0, datagram, n);
	lane_leave(&f->far.lane);
	return all_drops(&f->far) - before;
}

static void what_was_not_agreed_upon_is_dropped(void **state)
{
	struct fixture *f = *state;
	struct virtio_net_hdr vnet;
	uint8_t packet[PACKET_MAX_BYTES], got[TUN_PACKET_MAX_BYTES];

	f->sessions.far->features = 0;
	kernel_sends(&f->near, NULL, packet, make(packet, TEXT, 1000));
	carry(f);
	assert_int_equal(kernel_gets(&f->far, &vnet, got), -1);
	assert_int_equal(count(&f->far, COUNTER_drop_lz4), 1);
	assert_int_equal(all_drops(&f->far), 1);
	assert_int_equal(f->far.peer->traffic.rx_packets, 0);
	assert_int_equal(f->far.peer->compression.rx_plain_bytes, 0);
	kernel_sends(&f->near, NULL, packet, make(packet, NOISE, 1000)); /* it would not shrink */
	carry(f);
	assert_int_equal(kernel_gets(&f->far, &vnet, got), 1000);
}

static void hostile_blocks_reach_no_device(void **state)
{
	struct fixture *f = *state;
	struct vectors *v = vectors_open("lz4_hostile.txt");
	struct virtio_net_hdr vnet;
	uint8_t got[TUN_PACKET_MAX_BYTES];
	unsigned n_delivered = 0, n_dropped = 0;

	f->far.route.addrs[0] = ip_of("10.66.0.2");
	publish(&f->far, f->sessions.far, "10.66.0.1");
	while (vectors_next(v)) {
		struct vector_bytes block = vectors_hex(v, "block");
		uint64_t drops;
		ssize_t len;

		assert_int_equal(vectors_number(v, "cap"), MTU_BYTES);
		drops = far_receives(f, WIRE_FLAG_LZ4, block.data, block.len);
		len = kernel_gets(&f->far, &vnet, got);
		assert_int_equal(drops + (len >= 0), 1);
		if (len >= 0) {
			assert_true(vectors_is(v, "verdict", "accept"));
			assert_int_equal(len, vectors_number(v, "size"));
			n_delivered++;
		}
		n_dropped += vectors_is(v, "verdict", "drop");
	}
	vectors_close(v);
	assert_int_equal(n_delivered, 2); /* the third good block holds no packet */
	assert_true(n_dropped >= 13);
	assert_int_equal(count(&f->far, COUNTER_drop_lz4), n_dropped);
}

static void an_empty_block_is_no_keepalive(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(far_receives(f, 0, NULL, 0), 0);
	assert_int_equal(far_receives(f, WIRE_FLAG_LZ4, NULL, 0), 1);
	assert_int_equal(count(&f->far, COUNTER_drop_lz4), 1);
}

static void unpacked_packets_are_checked_like_others(void **state)
{
	struct fixture *f = *state;
	struct compressor *c = compressor_new(MTU_BYTES);
	uint8_t packet[PACKET_MAX_BYTES] = { 0 }, got[TUN_PACKET_MAX_BYTES];
	struct virtio_net_hdr vnet;
	const uint8_t *block;
	size_t n = 0;

	packet_make(packet, OTHER, FAR, 9, 400);
	block = compressor_pack(c, packet, 428, &n);
	assert_int_equal(far_receives(f, WIRE_FLAG_LZ4, block, n), 1);
	assert_int_equal(count(&f->far, COUNTER_drop_source), 1);
	packet_make(packet, NEAR, OTHER, 9, 400);
	block = compressor_pack(c, packet, 428, &n);
	assert_int_equal(far_receives(f, WIRE_FLAG_LZ4, block, n), 1);
	packet_make(packet, NEAR, FAR, 9, 400);
	block = compressor_pack(c, packet, 427, &n); /* a byte short */
	assert_int_equal(far_receives(f, WIRE_FLAG_LZ4, block, n), 1);
	assert_int_equal(count(&f->far, COUNTER_drop_inner), 2);
	block = compressor_pack(c, packet, 500, &n); /* bytes behind it */
	assert_int_equal(far_receives(f, WIRE_FLAG_LZ4, block, n), 0);
	assert_int_equal(kernel_gets(&f->far, &vnet, got), 428);
	assert_int_equal(kernel_gets(&f->far, &vnet, got), -1);
	compressor_free(c);
}

/* ---------------------------------------------------------------- auto */

static void what_gains_nothing_is_left_for_a_while(void **state)
{
	struct fixture *f = *state;
	const struct compress_trial *t = &f->near.peer->compression;
	uint8_t packet[PACKET_MAX_BYTES];
	uint64_t tried;

	f->near.route.compression = CONFIG_COMPRESSION_AUTO;
	publish_both(f);
	for (unsigned i = 0; i < COMPRESS_SAMPLE_BYTES / 1400 + 20; i++)
		crosses(f, packet, make(packet, NOISE, 1400));
	tried = t->tx_plain_bytes;
	assert_true(tried >= COMPRESS_SAMPLE_BYTES && tried < COMPRESS_SAMPLE_BYTES + 1400);
	assert_int_equal(compress_state(t, CONFIG_COMPRESSION_AUTO, NOW_MS), COMPRESS_PAUSED);
	crosses(f, packet, make(packet, TEXT, 1400)); /* it would shrink, and is not looked at */
	assert_int_equal(t->tx_plain_bytes, tried);
	kernel_sends(&f->near, NULL, packet, make(packet, TEXT, 1400));
	pump_tun(&f->near, NOW_MS + COMPRESS_PAUSE_FIRST_MS);
	assert_int_equal(t->tx_plain_bytes, tried + 1400);
	assert_true(t->tx_packed_bytes < tried + 300);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(packets_of_every_length_cross),
		TEST(only_what_shrinks_goes_packed),
		TEST(off_is_off_whatever_the_session_allows),
		TEST(a_trains_packets_go_one_by_one),
		TEST(packed_packets_are_joined_again),
		TEST(a_device_without_headers_gets_finished_checksums),
		TEST(room_for_unpacked_packets_is_used_again),
		TEST(what_shrinks_enough_needs_no_pieces),
		TEST(a_packets_own_length_is_what_is_too_big),
		TEST(what_was_not_agreed_upon_is_dropped),
		TEST(hostile_blocks_reach_no_device),
		TEST(an_empty_block_is_no_keepalive),
		TEST(unpacked_packets_are_checked_like_others),
		TEST(what_gains_nothing_is_left_for_a_while),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
