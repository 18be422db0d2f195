#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "tests/unit/coordinator_world.h"

#define DEADLINE_MS 5000

/* ---------------------------------------------------------------- clients */

static void on_connected(void *arg, struct stream *s)
{
	struct client *c = arg;

	(void)s;
	c->is_connected = true;
}

static void on_frame(void *arg, struct stream *s, uint8_t *body, size_t len)
{
	struct client *c = arg;
	uint8_t frame[WIRE_FRAME_MAX_BYTES];
	bool had_channel = c->member.has_channel;
	int ret = member_double_take(&c->member, body, len);

	if (ret == -EACCES) {
		c->refused_us = clock_now_us();
		return;
	}
	assert_int_equal(ret, 0);
	if (!had_channel) {
		len = member_double_register(&c->member, frame);
		assert_int_equal(stream_send(s, frame, len, false), 0);
	}
}

static void on_closed(void *arg, struct stream *s, int reason)
{
	struct client *c = arg;

	(void)s;
	(void)reason;
	c->is_closed = true;
	c->stream = NULL;
}

static const struct stream_events events = { .on_connected = on_connected,
					     .on_frame = on_frame,
					     .on_closed = on_closed };

static int open_udp(void)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
	return fd;
}

void client_send(int fd, uint16_t port, const void *data, size_t len)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	assert_int_equal(sendto(fd, data, len, 0, (struct sockaddr *)&to, sizeof(to)), (ssize_t)len);
}

static void take_datagram(struct client *c, const struct sockaddr *from, uint8_t *data, size_t len)
{
	struct wire_sealed h;

	if (data[0] == WIRE_BIND) {
		assert_int_equal(endpoint_from_sockaddr(&c->bound_from, from), 0);
		c->n_bound++;
		assert_int_equal(wire_sealed_decode(&h, data, len), 0);
		assert_int_equal(relay_link_bind_open(c->member.link, &h, data, len, &c->bound), 0);
		return;
	}
	memcpy(c->datagram, data, len);
	c->datagram_len = len;
	c->n_datagrams++;
}

static void poll_udp(struct client *c)
{
	uint8_t data[2048];
	struct sockaddr_in from;
	socklen_t n_from = sizeof(from);
	ssize_t len;

	while (c->udp >= 0 && (len = recvfrom(c->udp, data, sizeof(data), 0, (struct sockaddr *)&from, &n_from)) > 0)
		take_datagram(c, (struct sockaddr *)&from, data, (size_t)len);
}

/* ---------------------------------------------------------------- loop */

static void wake(uv_timer_t *timer)
{
	(void)timer;
}

/* Runs the loop until `done` says so; false after the deadline. */
bool world_run_until(struct world *f, bool (*done)(const struct client *c), const struct client *c)
{
	uint64_t deadline_ms = clock_now_ms() + DEADLINE_MS;
	uv_timer_t tick;
	bool is_done;

	uv_timer_init(&f->loop, &tick);
	uv_timer_start(&tick, wake, 1, 1); /* UDP sockets of the clients are looked at by hand */
	do {
		uv_run(&f->loop, UV_RUN_ONCE);
		for (unsigned i = 0; i < N_MEMBERS; i++)
			poll_udp(&f->clients[i]);
		is_done = done(c);
	} while (!is_done && clock_now_ms() < deadline_ms);
	uv_close((uv_handle_t *)&tick, NULL);
	uv_run(&f->loop, UV_RUN_NOWAIT);
	return is_done;
}

/* A question whose answer came shows that what was sent before it, over the same socket, was dealt with. */
static bool has_bind_reply(const struct client *c)
{
	return c->bound.type == BIND_REPLY;
}

static bool is_registered(const struct client *c)
{
	return c->member.link != NULL;
}

bool client_is_closed(const struct client *c)
{
	return c->is_closed;
}

bool client_is_connected(const struct client *c)
{
	return c->is_connected;
}

bool client_is_introduced(const struct client *c)
{
	return member_double_count(&c->member, CONTROL_INTRODUCE) > 0;
}

bool client_has_datagram(const struct client *c)
{
	return c->n_datagrams > 0;
}

bool client_has_message(const struct client *c)
{
	return member_double_count(&c->member, CONTROL_RELAY) > 0;
}

/* ---------------------------------------------------------------- fixture */

void world_start(struct world *f)
{
	assert_int_equal(coordinator_start(&f->coordinator, &f->loop, &f->config, &f->secret, &f->handed), 0);
}

static void drain(struct world *f)
{
	uv_run(&f->loop, UV_RUN_DEFAULT); /* ends when all handles are closed */
}

int world_setup(void **state)
{
	struct world *f = calloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "/tmp/warren_coordinator_XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->state_dir, sizeof(f->state_dir), "%s/state", f->dir);
	snprintf(f->socket_path, sizeof(f->socket_path), "%s/c1.sock", f->dir);
	snprintf(f->conf_path, sizeof(f->conf_path), "%s/c1.conf", f->dir);
	assert_int_equal(uv_loop_init(&f->loop), 0);
	seckey_generate(&f->secret);
	pubkey_of(&f->public, &f->secret);
	f->config.role = CONFIG_COORDINATOR;
	snprintf(f->config.name, sizeof(f->config.name), "c1");
	f->config.path = f->conf_path;
	f->config.state_dir = f->state_dir;
	f->config.control_socket = f->socket_path;
	f->config.ciphers = UINT16_MAX;
	f->config.listen.port = UDP_PORT;
	f->config.listen.alternate_port = ALTERNATE_PORT;
	f->config.listen.n_tcp_ports = 1;
	f->config.listen.tcp_ports[0] = UDP_PORT;
	f->config.listen.stun = true;
	f->config.offload = true;
	f->config.workers = 2;
	snprintf(f->config.network.name, sizeof(f->config.network.name), "home");
	prefix_from_text(&f->config.network.prefix, "10.77.0.0/16");
	f->config.relay.enabled = true;
	f->config.relay.rate_per_peer = 20000000;
	f->config.relay.rate_total = 100000000;
	f->config.relay.packets_per_peer = 5000;
	f->config.members = f->members;
	f->config.n_members = N_MEMBERS;
	for (unsigned i = 0; i < N_MEMBERS; i++) {
		seckey_generate(&f->member_secrets[i]);
		pubkey_of(&f->members[i].key, &f->member_secrets[i]);
		snprintf(f->members[i].name, sizeof(f->members[i].name), "m%u", i);
		member_double_init(&f->clients[i].member, &f->member_secrets[i], i);
		f->clients[i].udp = open_udp();
	}
	seckey_generate(&f->stranger_secret);
	member_double_init(&f->stranger.member, &f->stranger_secret, 1);
	f->stranger.udp = -1;
	world_start(f);
	*state = f;
	return 0;
}

static void client_fini(struct client *c)
{
	stream_close(c->stream);
	member_double_fini(&c->member);
	if (c->udp >= 0)
		close(c->udp);
}

int world_teardown(void **state)
{
	static const char *const files[] = { "coordinator.db", "coordinator.db-wal", "coordinator.db-shm" };
	struct world *f = *state;

	for (unsigned i = 0; i < N_MEMBERS; i++)
		client_fini(&f->clients[i]);
	client_fini(&f->stranger);
	coordinator_stop(f->coordinator);
	drain(f);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char path[256];

		snprintf(path, sizeof(path), "%s/%s", f->state_dir, files[i]);
		unlink(path);
	}
	rmdir(f->state_dir);
	assert_int_equal(rmdir(f->dir), 0); /* the control socket is gone too */
	free(f);
	return 0;
}

/* ---------------------------------------------------------------- steps */

void client_dial(struct world *f, struct client *c)
{
	struct endpoint to;

	endpoint_from_text(&to, "127.0.0.1:27700");
	c->is_connected = c->is_closed = false;
	assert_int_equal(
		stream_connect(&c->stream, &f->loop, &to, &(struct stream_options){ .timeout_ms = 3000 }, &events, c),
		0);
}

void client_connect(struct world *f, struct client *c)
{
	uint8_t frame[WIRE_FRAME_MAX_BYTES];
	size_t len;

	client_dial(f, c);
	assert_true(world_run_until(f, client_is_connected, c));
	len = member_double_begin(&c->member, &f->public, frame, sizeof(frame));
	assert_int_equal(stream_send(c->stream, frame, len, false), 0);
}

struct client *client_join(struct world *f, unsigned n)
{
	struct client *c = &f->clients[n];

	client_connect(f, c);
	assert_true(world_run_until(f, is_registered, c));
	return c;
}

void client_say(struct client *c, const uint8_t *message, int len)
{
	uint8_t frame[WIRE_FRAME_MAX_BYTES];
	size_t n;

	assert_true(len > 0);
	n = member_double_seal(&c->member, message, (size_t)len, frame);
	assert_int_equal(stream_send(c->stream, frame, n, false), 0);
}

/* Asks and waits for the answer, which is left in c->bound. */
void client_send_bind_to(struct client *c, const struct endpoint *to, const struct wire_bind *request)
{
	uint8_t datagram[RELAY_BIND_DATAGRAM_BYTES];
	struct sockaddr_storage sa;
	socklen_t len = endpoint_to_sockaddr(to, false, &sa);

	assert_int_equal(relay_link_bind_seal(c->member.link, datagram, request), sizeof(datagram));
	assert_int_equal(sendto(c->udp, datagram, sizeof(datagram), 0, (struct sockaddr *)&sa, len), sizeof(datagram));
}

void client_send_bind(struct client *c, uint16_t port, const struct wire_bind *request)
{
	const struct endpoint to = { .ip = { 4, { 127, 0, 0, 1 } }, .port = port };

	client_send_bind_to(c, &to, request);
}

void client_ask_bind(struct world *f, struct client *c, uint16_t port, uint64_t challenge, uint8_t flags)
{
	struct wire_bind request = { .type = BIND_REQUEST, .token = 42, .challenge = challenge, .flags = flags };
	uint8_t datagram[RELAY_BIND_DATAGRAM_BYTES];

	assert_int_equal(relay_link_bind_seal(c->member.link, datagram, &request), RELAY_BIND_DATAGRAM_BYTES);
	memset(&c->bound, 0, sizeof(c->bound));
	client_send(c->udp, port, datagram, sizeof(datagram));
	assert_true(world_run_until(f, has_bind_reply, c));
}

void client_move(struct client *c)
{
	close(c->udp);
	c->udp = open_udp();
}

void client_bind(struct world *f, struct client *c)
{
	client_ask_bind(f, c, UDP_PORT, 0, 0);
	assert_int_equal(c->bound.flags & BIND_BOUND, 0);
	client_ask_bind(f, c, UDP_PORT, c->bound.challenge, 0);
	assert_int_equal(c->bound.flags & BIND_BOUND, BIND_BOUND);
}

void client_settle(struct world *f, struct client *c)
{
	client_ask_bind(f, c, UDP_PORT, 0, BIND_NO_MOVE);
}

size_t client_wrap(struct client *c, uint32_t to, const char *payload, uint8_t out[static 256])
{
	size_t len = strlen(payload);

	relay_link_wrap(c->member.link, out, to, len);
	memcpy(out + WIRE_RELAY_HEADER_BYTES, payload, len);
	return WIRE_RELAY_HEADER_BYTES + len;
}

void client_relay(struct client *c, uint32_t to, const char *payload)
{
	uint8_t datagram[256];
	size_t len = client_wrap(c, to, payload, datagram);

	client_send(c->udp, UDP_PORT, datagram, len);
}

uint32_t client_id(const struct client *c)
{
	return c->member.registered.member;
}

/* Asks the control socket. The caller drops the reference. */
json_t *world_ask(struct world *f, const char *request)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t deadline_ms = clock_now_ms() + DEADLINE_MS;
	char line[32768];
	size_t len = 0;
	json_t *answer;

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", f->socket_path);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(write(fd, request, strlen(request)), (ssize_t)strlen(request));
	while (!memchr(line, '\n', len) && clock_now_ms() < deadline_ms) {
		ssize_t n;

		uv_run(&f->loop, UV_RUN_NOWAIT);
		n = recv(fd, line + len, sizeof(line) - len, MSG_DONTWAIT);
		len += n > 0 ? (size_t)n : 0;
	}
	close(fd);
	uv_run(&f->loop, UV_RUN_NOWAIT);
	answer = json_loadb(line, len, JSON_DISABLE_EOF_CHECK, NULL);
	assert_non_null(answer);
	return answer;
}

int64_t world_counter(struct world *f, const char *name)
{
	json_t *status = world_ask(f, "{\"cmd\":\"status\"}\n");
	json_t *value = json_object_get(json_object_get(status, "counters"), name);
	int64_t n;

	assert_true(json_is_integer(value));
	n = json_integer_value(value);
	json_decref(status);
	return n;
}

void world_expect(struct world *f, const char *counter, int64_t value)
{
	uint64_t deadline_ms = clock_now_ms() + DEADLINE_MS;
	int64_t now;

	do {
		now = world_counter(f, counter);
	} while (now != value && clock_now_ms() < deadline_ms);
	assert_int_equal(now, value);
}
