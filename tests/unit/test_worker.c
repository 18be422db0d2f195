/* Two workers on a real device, in a namespace of the test's own:
 *
 *	app sockets 10.77.0.1 - kernel - TUN, 2 queues - workers - 2 UDP sockets, one port - loopback - far ends (10.77.0.2)
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/data/worker.h"
#include "tests/unit/dataplane.h"
#include "tests/unit/netns.h"
#include "tun/netlink.h"

#define WORKERS 2
#define FLOWS 8
#define APP_PORT 9000
#define MTU_BYTES 1400
#define PEER_ID 7
#define OWN "10.77.0.1"
#define PEERS "10.77.0.2"
#define NOBODYS "10.77.0.9"
#define PATIENCE_MS 10000
#define BOX_BYTES 65536

struct fixture {
	struct tun tun;
	struct udp udp[WORKERS];
	struct counters counters[WORKERS];
	struct tables tables;
	struct mailbox *boxes[WORKERS];
	struct worker *workers[WORKERS];
	struct udp far[FLOWS];
	int app[FLOWS];
	struct shared_peer *shared;
	struct session_pair current, previous;
	uv_loop_t loop;
	uv_async_t wake;
	uv_timer_t deadline;
	unsigned n_packets_told;
};

static void note_mail(void *arg, void *head, uint8_t *data, size_t len)
{
	const struct mail *m = head;
	struct fixture *f = arg;

	(void)data;
	(void)len;
	if (m->kind == MAIL_PACKET)
		f->n_packets_told++;
}

static void on_wake(uv_async_t *wake)
{
	struct fixture *f = wake->data;

	for (unsigned i = 0; i < WORKERS; i++)
		mailbox_drain(f->boxes[i], note_mail, f);
}

static void on_deadline(uv_timer_t *timer)
{
	(void)timer;
	fail_msg("nothing came within %d ms", PATIENCE_MS);
}

static struct endpoint loopback_endpoint(const struct udp *udp)
{
	struct endpoint ep = { .ip = ip_of("127.0.0.1") };

	ep.port = (uint16_t)udp_port(udp);
	return ep;
}

static void publish(struct fixture *f)
{
	struct table *t = table_new(1, 2);
	struct table_route r = {
		.peer = f->shared, .session = f->current.near, .n_paths = 1, .n_addrs = 1, .mtu_bytes = 1500
	};
	const struct table_route *route;

	assert_non_null(t);
	r.paths[0].addr = (struct path_addr){ .kind = PATH_UDP, .endpoint = loopback_endpoint(&f->far[0]) };
	r.addrs[0] = ip_of(PEERS);
	t->own[t->n_own++] = ip_of(OWN);
	route = table_add_route(t, &r);
	table_add_session(t, f->current.near, route);
	if (f->previous.near)
		table_add_session(t, f->previous.near, route);
	tables_publish_take(&f->tables, t);
}

static void start(struct fixture *f)
{
	for (unsigned i = 0; i < WORKERS; i++) {
		const struct lane lane = { .number = i,
					   .queue = i,
					   .tables = &f->tables,
					   .udp = &f->udp[i],
					   .tun = &f->tun,
					   .counters = &f->counters[i] };

		assert_int_equal(worker_start(&f->workers[i], &lane, MTU_BYTES, f->boxes[i], &f->wake), 0);
	}
}

static void stop(struct fixture *f)
{
	for (unsigned i = 0; i < WORKERS; i++) {
		worker_stop(f->workers[i]);
		f->workers[i] = NULL;
	}
}

static int app_open(uint16_t port)
{
	struct sockaddr_in own = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in far = { .sin_family = AF_INET, .sin_port = htons(7000) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, OWN, &own.sin_addr);
	inet_pton(AF_INET, PEERS, &far.sin_addr);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof(own)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&far, sizeof(far)), 0);
	return fd;
}

static int set_up(void **state)
{
	static struct fixture f;
	const struct ip own = ip_of(OWN);
	struct udp_options options = { .address = ip_of("127.0.0.1"), .reuse_port = true };

	memset(&f, 0, sizeof(f));
	assert_int_equal(tun_open(&f.tun, "test%d", WORKERS, TUN_MULTI_QUEUE | TUN_VNET), 0);
	assert_int_equal(f.tun.n_queues, WORKERS);
	assert_int_equal(netlink_addr_add(f.tun.ifindex, own.b, 4, 24), 0);
	assert_int_equal(netlink_link_up(f.tun.ifindex, MTU_BYTES), 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		assert_int_equal(udp_open(&f.udp[i], &options), 0);
		options.port = (uint16_t)udp_port(&f.udp[0]);
		f.boxes[i] = mailbox_new(BOX_BYTES, sizeof(struct mail));
		assert_non_null(f.boxes[i]);
	}
	for (unsigned i = 0; i < FLOWS; i++) {
		const struct udp_options plain = { .address = ip_of("127.0.0.1") };

		assert_int_equal(udp_open(&f.far[i], &plain), 0);
		f.app[i] = app_open((uint16_t)(APP_PORT + i));
	}
	assert_int_equal(uv_loop_init(&f.loop), 0);
	assert_int_equal(uv_async_init(&f.loop, &f.wake, on_wake), 0);
	assert_int_equal(uv_timer_init(&f.loop, &f.deadline), 0);
	f.wake.data = &f;
	f.shared = shared_peer_new(PEER_ID);
	f.shared->is_asleep = false;
	f.current = session_pair_new(1000, true, clock_now_ms());
	tables_init(&f.tables);
	publish(&f);
	start(&f);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	stop(f);
	uv_close((uv_handle_t *)&f->wake, NULL);
	uv_close((uv_handle_t *)&f->deadline, NULL);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	assert_false(tables_reclaim(&f->tables)); /* a stopped worker holds nothing */
	tables_fini(&f->tables);
	session_pair_free(&f->current);
	session_pair_free(&f->previous);
	assert_int_equal(f->shared->refs, 1);
	shared_peer_unref(f->shared);
	for (unsigned i = 0; i < WORKERS; i++) {
		mailbox_free(f->boxes[i]);
		udp_close(&f->udp[i]);
	}
	for (unsigned i = 0; i < FLOWS; i++) {
		udp_close(&f->far[i]);
		close(f->app[i]);
	}
	tun_close(&f->tun);
	return 0;
}

static uint64_t count(const struct fixture *f, enum counter c)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < WORKERS; i++)
		sum += counters_get(&f->counters[i], c);
	return sum;
}

static size_t receive(int fd, uint8_t *data, size_t capacity)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n;

	assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
	n = recv(fd, data, capacity, MSG_DONTWAIT);
	assert_true(n >= 0);
	return (size_t)n;
}

static void app_sends(struct fixture *f, unsigned flow, uint32_t number)
{
	assert_int_equal(send(f->app[flow], &number, sizeof(number), 0), sizeof(number));
}

/* The number that came out of the tunnel at the far end. */
static uint32_t far_receives(struct fixture *f)
{
	uint8_t data[2048], *packet = data + WIRE_SEALED_HEADER_BYTES;
	size_t len = receive(f->far[0].fd, data, sizeof(data));
	int body = datagram_open(f->current.far, data, len, clock_now_ms());
	struct ip src = ip_of(OWN), dst = ip_of(PEERS);
	uint32_t number;

	if (body == -ENOENT && f->previous.far)
		body = datagram_open(f->previous.far, data, len, clock_now_ms());
	assert_int_equal(body, PACKET_HEADERS_BYTES + sizeof(number));
	assert_memory_equal(packet + 12, src.b, 4);
	assert_memory_equal(packet + 16, dst.b, 4);
	memcpy(&number, packet + PACKET_HEADERS_BYTES, sizeof(number));
	return number;
}

struct datagram {
	uint8_t data[PACKET_MAX_BYTES + WIRE_SEALED_OVERHEAD_BYTES];
	size_t len;
};

static struct datagram seal(struct session *far, const char *src, const char *dst, unsigned flow, uint32_t number)
{
	uint8_t packet[PACKET_MAX_BYTES];
	size_t len = packet_make(packet, src, dst, (uint16_t)(APP_PORT + flow), sizeof(number));
	struct datagram d;

	memcpy(packet + PACKET_HEADERS_BYTES, &number, sizeof(number));
	d.len = (size_t)session_seal(far, WIRE_DATA, 0, d.data, packet, len);
	return d;
}

static void far_sends(struct fixture *f, unsigned flow, const struct datagram *d)
{
	const struct endpoint to = loopback_endpoint(&f->udp[0]);

	assert_int_equal(udp_send_one(&f->far[flow], &to, d->data, d->len), 0);
}

static void far_sends_number(struct fixture *f, unsigned flow, uint32_t number)
{
	const struct datagram d = seal(f->current.far, PEERS, OWN, flow, number);

	far_sends(f, flow, &d);
}

static uint32_t app_receives(struct fixture *f, unsigned flow)
{
	uint32_t number;

	assert_int_equal(receive(f->app[flow], (uint8_t *)&number, sizeof(number)), sizeof(number));
	return number;
}

/* A worker adds to a peer's traffic when its batch has ended, after its datagrams have left. */
static void expect_count(_Atomic uint64_t *count, uint64_t want)
{
	for (int waited_ms = 0; atomic_load(count) != want && waited_ms < PATIENCE_MS; waited_ms++)
		poll(NULL, 0, 1);
	assert_int_equal(atomic_load(count), want);
}

static void packets_arrive_sealed_at_the_far_end(void **state)
{
	struct fixture *f = *state;
	unsigned seen = 0;

	for (unsigned i = 0; i < FLOWS; i++)
		app_sends(f, i, i);
	for (unsigned i = 0; i < FLOWS; i++)
		seen |= 1u << far_receives(f);
	assert_int_equal(seen, (1u << FLOWS) - 1);
	expect_count(&f->shared->traffic.tx_packets, FLOWS);
}

static void sealed_datagrams_reach_the_device(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < FLOWS; i++)
		far_sends_number(f, i, 100 + i);
	for (unsigned i = 0; i < FLOWS; i++)
		assert_int_equal(app_receives(f, i), 100 + i);
	assert_int_equal(count(f, COUNTER_rx_datagrams), FLOWS);
	expect_count(&f->shared->traffic.rx_packets, FLOWS);
}

static void bad_datagrams_are_counted_and_stop_at_the_worker(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < FLOWS; i++) {
		struct datagram good = seal(f->current.far, PEERS, OWN, i, 200 + i), forged, stranger;
		const struct datagram anothers = seal(f->current.far, NOBODYS, OWN, i, 0),
				      beyond = seal(f->current.far, PEERS, NOBODYS, i, 0);

		forged = stranger = seal(f->current.far, PEERS, OWN, i, 0);
		forged.data[forged.len - 1] ^= 1;
		stranger.data[4] ^= 0xff;
		far_sends(f, i, &forged);
		far_sends(f, i, &stranger);
		far_sends(f, i, &anothers);
		far_sends(f, i, &beyond);
		far_sends(f, i, &good);
		far_sends(f, i, &good);
		far_sends_number(f, i, 300 + i);
	}
	/* What one far end sends, one worker takes, in order: behind the last good one all is decided. */
	for (unsigned i = 0; i < FLOWS; i++) {
		assert_int_equal(app_receives(f, i), 200 + i);
		assert_int_equal(app_receives(f, i), 300 + i);
	}
	assert_int_equal(count(f, COUNTER_drop_auth), FLOWS);
	assert_int_equal(count(f, COUNTER_drop_unknown_index), FLOWS);
	assert_int_equal(count(f, COUNTER_drop_source), FLOWS);
	assert_int_equal(count(f, COUNTER_drop_inner), FLOWS);
	assert_int_equal(count(f, COUNTER_drop_replay), FLOWS);
	expect_count(&f->shared->traffic.rx_packets, 2 * FLOWS);
}

static void packet_without_a_route_wakes_the_loop(void **state)
{
	struct sockaddr_in nobody = { .sin_family = AF_INET, .sin_port = htons(7000) };
	struct fixture *f = *state;

	inet_pton(AF_INET, NOBODYS, &nobody.sin_addr);
	uv_timer_start(&f->deadline, on_deadline, PATIENCE_MS, 0);
	for (unsigned i = 1; i <= 20; i++) {
		int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&nobody, sizeof(nobody)), 1);
		while (f->n_packets_told < i)
			uv_run(&f->loop, UV_RUN_ONCE);
		close(fd);
	}
	uv_timer_stop(&f->deadline);
	assert_int_equal(f->n_packets_told, 20);
}

static void new_session(struct fixture *f, uint32_t near_index)
{
	session_pair_free(&f->previous);
	f->previous = f->current;
	f->current = session_pair_new(near_index, true, clock_now_ms());
	publish(f);
}

#define NUMBERS 4000
#define WINDOW 32
#define REKEY_EVERY 50 /* and more than a window: what is on its way is under this session or the one before */

static void rekey_under_traffic_loses_nothing(void **state)
{
	struct fixture *f = *state;
	static bool is_out[NUMBERS], is_in[NUMBERS];

	memset(is_out, 0, sizeof(is_out));
	memset(is_in, 0, sizeof(is_in));
	for (uint32_t i = 0; i < NUMBERS; i++) {
		struct datagram d = seal(f->current.far, PEERS, OWN, i % FLOWS, i);

		app_sends(f, i % FLOWS, i);
		if (i % REKEY_EVERY == REKEY_EVERY - 1)
			new_session(f, 1000 + 2 * i); /* and d is still under the old one */
		far_sends(f, i % FLOWS, &d);
		if (i % WINDOW != WINDOW - 1)
			continue;
		for (uint32_t j = i + 1 - WINDOW; j <= i; j++) {
			uint32_t number = far_receives(f);

			assert_true(number < NUMBERS && !is_out[number]);
			is_out[number] = true;
			number = app_receives(f, j % FLOWS);
			assert_true(number < NUMBERS && !is_in[number]);
			is_in[number] = true;
		}
	}
	expect_count(&f->shared->traffic.tx_packets, NUMBERS);
	expect_count(&f->shared->traffic.rx_packets, NUMBERS);
	/* All but the multicast, which the kernel sends into every new device. */
	for (enum counter c = COUNTER_drop_short; c < COUNTER_drop_multicast; c++)
		assert_int_equal(count(f, c), 0);
}

static unsigned descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void workers_start_and_stop_under_traffic(void **state)
{
	struct fixture *f = *state;
	unsigned n_descriptors = descriptors();

	for (uint32_t round = 1; round <= 50; round++) {
		app_sends(f, round % FLOWS, round);
		while (far_receives(f) != round)
			; /* what was still on its way when they stopped */
		far_sends_number(f, round % FLOWS, round);
		while (app_receives(f, round % FLOWS) != round)
			;
		for (unsigned i = 0; i < FLOWS; i++) {
			far_sends_number(f, i, 0);
			app_sends(f, i, 0);
		}
		stop(f);
		assert_false(tables_reclaim(&f->tables));
		start(f);
		assert_int_equal(descriptors(), n_descriptors);
	}
}

static void worker_that_cannot_poll_is_not_started(void **state)
{
	struct fixture *f = *state;
	unsigned n_descriptors = descriptors();
	struct udp none = { .fd = -1 };
	const struct lane lane = {
		.number = WORKERS, .tables = &f->tables, .udp = &none, .tun = &f->tun, .counters = &f->counters[0]
	};
	struct worker *w = NULL;

	assert_true(worker_start(&w, &lane, MTU_BYTES, f->boxes[0], &f->wake) < 0);
	assert_null(w);
	assert_int_equal(descriptors(), n_descriptors);
	worker_stop(NULL);
}

static int enter(void **state)
{
	struct tun tun;
	int ret;

	(void)state;
	netns_enter();
	ret = tun_open(&tun, "test%d", 1, 0);
	if (ret < 0) {
		fprintf(stderr, "%s\n", tun_error(ret));
		exit(77);
	}
	tun_close(&tun);
	return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(packets_arrive_sealed_at_the_far_end),
		TEST(sealed_datagrams_reach_the_device),
		TEST(bad_datagrams_are_counted_and_stop_at_the_worker),
		TEST(packet_without_a_route_wakes_the_loop),
		TEST(rekey_under_traffic_loses_nothing),
		TEST(workers_start_and_stop_under_traffic),
		TEST(worker_that_cannot_poll_is_not_started),
	};

	return cmocka_run_group_tests(tests, enter, NULL);
}
