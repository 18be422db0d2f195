/* What the kernel offered and then refuses: the packets arrive all the same, the loop is told once, and no more is tried.
 * A pair of sockets stands in for the TUN: it takes packets, and no message longer than its buffer. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/data/lane.h"
#include "tests/unit/dataplane.h"

#define NOW_MS 5000000
#define OWN "10.77.0.1"
#define PEERS "10.77.0.2"
#define UDP 17
#define TCP 6
/* Two of them are a message too long, one is not, and leaves room for another. */
#define BUFFER_BYTES 32768
#define PAYLOAD_BYTES 17000
#define PACKET_BYTES (40 + PAYLOAD_BYTES)

struct fixture {
	struct lane lane;
	struct counters counters;
	struct tables tables;
	struct tun tun;
	struct udp udp, peer;
	int kernel; /* the other end of the TUN */
	struct session_pair sessions;
	struct shared_peer *shared;
	struct path_addr path;
	unsigned n_told;
	enum mail_kind told;
};

static bool tell(void *arg, const struct mail *m)
{
	struct fixture *f = arg;

	f->n_told++;
	f->told = m->kind;
	return true;
}

static int set_up(void **state)
{
	const struct udp_options options = { .address = ip_of("127.0.0.1"), .want_gso = true };
	struct table_route r = { .n_paths = 1, .n_addrs = 1, .mtu_bytes = 1400 };
	struct table *t = table_new(1, 1);
	int pair[2], bytes = BUFFER_BYTES / 2; /* which the kernel doubles */
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
	f.kernel = pair[1];
	f.tun = (struct tun){ .n_queues = 1, .features = TUN_VNET | TUN_TSO | TUN_USO, .fd = { pair[0] } };
	assert_int_equal(udp_open(&f.udp, &options), 0);
	assert_int_equal(udp_open(&f.peer, &options), 0);
	f.sessions = session_pair_new(1000, true, NOW_MS);
	f.shared = shared_peer_new(7);
	f.shared->is_asleep = false;
	atomic_store(&f.sessions.near->is_confirmed, true);
	tables_init(&f.tables);
	assert_non_null(t);
	t->own[t->n_own++] = ip_of(OWN);
	r.peer = f.shared;
	r.session = f.sessions.near;
	r.addrs[0] = ip_of(PEERS);
	f.path = (struct path_addr){ .kind = PATH_UDP, .endpoint = endpoint_of("127.0.0.1:1") };
	f.path.endpoint.port = (uint16_t)udp_port(&f.peer);
	r.paths[0].addr = f.path;
	table_add_session(t, f.sessions.near, table_add_route(t, &r));
	tables_publish_take(&f.tables, t);
	f.lane = (struct lane){ .tables = &f.tables, .udp = &f.udp, .tun = &f.tun, .counters = &f.counters };
	f.lane.tell = tell;
	f.lane.arg = &f;
	assert_int_equal(lane_init(&f.lane, 1400), 0);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	lane_fini(&f->lane);
	tables_fini(&f->tables);
	session_pair_free(&f->sessions);
	shared_peer_unref(f->shared);
	udp_close(&f->udp);
	udp_close(&f->peer);
	tun_close(&f->tun);
	if (f->kernel >= 0)
		close(f->kernel);
	return 0;
}

static void put_be16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t sum_of(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	return sum;
}

static uint16_t folded(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)(sum + (sum >> 16));
}

/* The nth packet of the peer's flow, its checksum left to the receiver. Returns its length. */
static size_t packet_of_flow(uint8_t out[static PACKET_BYTES], uint8_t proto, unsigned nth)
{
	size_t l4 = proto == TCP ? 20 : 8, len = 20 + l4 + PAYLOAD_BYTES;
	const struct ip from = ip_of(PEERS), to = ip_of(OWN);

	memset(out, 0, 20 + l4);
	memset(out + 20 + l4, 'a' + (int)nth, PAYLOAD_BYTES);
	out[0] = 0x45;
	put_be16(out + 2, len);
	out[6] = 0x40; /* DF */
	out[8] = 64;
	out[9] = proto;
	memcpy(out + 12, from.b, 4);
	memcpy(out + 16, to.b, 4);
	put_be16(out + 10, (uint16_t)~folded(sum_of(out, 20)));
	put_be16(out + 20, 7000);
	put_be16(out + 22, 9000);
	if (proto == TCP) {
		put_be16(out + 26, nth * PAYLOAD_BYTES); /* sequence number */
		out[32] = 5 << 4;
		out[33] = 0x10; /* ACK */
		put_be16(out + 36, folded(sum_of(out + 12, 8) + TCP + 20 + PAYLOAD_BYTES));
	} else {
		put_be16(out + 24, 8 + PAYLOAD_BYTES);
		put_be16(out + 26, folded(sum_of(out + 12, 8) + UDP + 8 + PAYLOAD_BYTES));
	}
	return len;
}

/* Both packets in one batch, as they come in a train. */
static void two_packets_come(struct fixture *f, uint8_t proto)
{
	static uint8_t datagram[2][PACKET_BYTES + WIRE_SEALED_OVERHEAD_BYTES], packet[PACKET_BYTES];

	assert_true(lane_enter(&f->lane, NOW_MS));
	for (unsigned i = 0; i < 2; i++) {
		size_t len = packet_of_flow(packet, proto, i);

		len = (size_t)session_seal(f->sessions.far, WIRE_DATA, WIRE_FLAG_PARTIAL, datagram[i], packet, len);
		lane_receive(&f->lane, &f->path, 0, datagram[i], len);
	}
	lane_leave(&f->lane);
}

static void expect_two_packets(struct fixture *f, uint8_t proto)
{
	static uint8_t got[TUN_VNET_BYTES + 2 * PACKET_BYTES], want[PACKET_BYTES];

	for (unsigned i = 0; i < 2; i++) {
		size_t len = packet_of_flow(want, proto, i);

		assert_int_equal(read(f->kernel, got, sizeof(got)), TUN_VNET_BYTES + len);
		assert_int_equal(got[0], TUN_VNET_NEEDS_CSUM);
		assert_int_equal(got[1], 0); /* no train */
		assert_memory_equal(got + TUN_VNET_BYTES, want, len);
	}
	assert_int_equal(read(f->kernel, got, sizeof(got)), -1);
}

static void train_the_device_refuses_goes_packet_by_packet(struct fixture *f, uint8_t proto, unsigned feature)
{
	unsigned other = feature == TUN_TSO ? TUN_USO : TUN_TSO;

	assert_int_equal(tun_trains(&f->tun), TUN_TSO | TUN_USO);
	for (unsigned round = 0; round < 2; round++) {
		two_packets_come(f, proto);
		expect_two_packets(f, proto);
		assert_int_equal(f->n_told, 1);
		assert_int_equal(f->told, MAIL_REFUSED);
		assert_int_equal(tun_trains(&f->tun), other);
		assert_int_equal(tun_trains_error(&f->tun, feature), EMSGSIZE);
		assert_int_equal(tun_trains_error(&f->tun, other), 0);
		assert_int_equal(counters_get(&f->counters, COUNTER_tun_tx_packets), 2 * (round + 1));
	}
	assert_int_equal(counters_get(&f->counters, COUNTER_drop_tun_error), 0);
}

static void refused_train_of_tcp_goes_packet_by_packet(void **state)
{
	train_the_device_refuses_goes_packet_by_packet(*state, TCP, TUN_TSO);
}

static void refused_train_of_udp_goes_packet_by_packet(void **state)
{
	train_the_device_refuses_goes_packet_by_packet(*state, UDP, TUN_USO);
}

static void train_that_is_taken_stays_one(void **state)
{
	struct fixture *f = *state;
	static uint8_t got[TUN_VNET_BYTES + 2 * PACKET_BYTES];
	int bytes = 4 * BUFFER_BYTES;

	assert_int_equal(setsockopt(f->tun.fd[0], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)), 0);
	two_packets_come(f, TCP);
	assert_int_equal(read(f->kernel, got, sizeof(got)), TUN_VNET_BYTES + 40 + 2 * PAYLOAD_BYTES);
	assert_int_equal(got[1], 1); /* VIRTIO_NET_HDR_GSO_TCPV4 */
	assert_int_equal(f->n_told, 0);
	assert_int_equal(tun_trains(&f->tun), TUN_TSO | TUN_USO);
}

static void device_that_takes_nothing_keeps_its_trains(void **state)
{
	struct fixture *f = *state;

	close(f->kernel);
	f->kernel = -1;
	two_packets_come(f, TCP);
	assert_int_equal(counters_get(&f->counters, COUNTER_drop_tun_error), 2);
	assert_int_equal(tun_trains(&f->tun), TUN_TSO | TUN_USO);
	assert_int_equal(f->n_told, 0);
}

static void kernel_sends_two(struct fixture *f)
{
	uint8_t buffer[TUN_VNET_BYTES + PACKET_MAX_BYTES] = { 0 };
	size_t len = packet_make(buffer + TUN_VNET_BYTES, OWN, PEERS, 9, 1000);

	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(write(f->kernel, buffer, TUN_VNET_BYTES + len), TUN_VNET_BYTES + len);
	assert_true(lane_enter(&f->lane, NOW_MS));
	assert_false(lane_pump_tun(&f->lane, LANE_BATCH));
	lane_leave(&f->lane);
}

static void run_the_socket_refuses_goes_datagram_by_datagram(void **state)
{
	struct fixture *f = *state;
	int on = 1, error;

	if (!udp_has_gso(&f->udp, &error))
		skip();
	kernel_sends_two(f);
	assert_int_equal(f->n_told, 0);
	assert_int_equal(setsockopt(f->udp.fd, SOL_SOCKET, SO_NO_CHECK, &on, sizeof(on)), 0);
	for (unsigned round = 0; round < 2; round++) {
		kernel_sends_two(f);
		assert_int_equal(f->n_told, 1);
		assert_int_equal(f->told, MAIL_REFUSED);
		assert_false(udp_has_gso(&f->udp, &error));
		assert_int_equal(error, EINVAL);
	}
	for (unsigned i = 0; i < 6; i++) {
		uint8_t data[PACKET_MAX_BYTES + WIRE_SEALED_OVERHEAD_BYTES];
		struct pollfd p = { .fd = f->peer.fd, .events = POLLIN };
		ssize_t n;

		assert_int_equal(poll(&p, 1, 1000), 1);
		n = recv(f->peer.fd, data, sizeof(data), MSG_DONTWAIT);
		assert_true(n > 0);
		assert_true(datagram_open(f->sessions.far, data, (size_t)n, NOW_MS) > 0);
	}
	assert_int_equal(counters_get(&f->counters, COUNTER_drop_send_error), 0);
	/* Told again when it was tried again. */
	udp_retry_gso(&f->udp);
	kernel_sends_two(f);
	assert_int_equal(f->n_told, 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(refused_train_of_tcp_goes_packet_by_packet),
		TEST(refused_train_of_udp_goes_packet_by_packet),
		TEST(train_that_is_taken_stays_one),
		TEST(device_that_takes_nothing_keeps_its_trains),
		TEST(run_the_socket_refuses_goes_datagram_by_datagram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
