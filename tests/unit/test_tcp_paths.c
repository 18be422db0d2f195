/* Real connections over the loopback of a namespace of its own; the hours of those that are silent are handed in. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/data/tcp_paths.h"
#include "daemon/wire/frame.h"
#include "daemon/wire/wire.h"
#include "tests/unit/netns.h"

#define WAIT_MS 10000
#define CLIENTS_MAX 80

struct node {
	struct tcp_paths *tcp;
	struct counters counters;
	struct endpoint at;
	unsigned n_datagrams, n_reads, n_opened, n_closed;
	size_t last_len;
	uint8_t last[WIRE_FRAME_MAX_BYTES];
	struct path_addr from, closed;
	int reason;
	bool is_echo;
	uint64_t is_of; /* the peer that what comes shows itself to be; 0: nobody */
};

struct fixture {
	uv_loop_t loop;
	uv_timer_t watchdog;
	bool is_late;
	struct node a, b;
	int clients[CLIENTS_MAX]; /* raw sockets */
	unsigned n_clients;
};

static void on_datagram(void *arg, const struct path_addr *from, uint8_t *data, size_t len)
{
	struct node *n = arg;

	assert_int_equal(from->kind, PATH_TCP);
	n->n_datagrams++;
	n->last_len = len;
	memcpy(n->last, data, len);
	n->from = *from;
	if (n->is_of)
		tcp_paths_heard(n->tcp, &from->endpoint, n->is_of, clock_now_ms());
	if (n->is_echo)
		assert_int_equal(tcp_paths_send(n->tcp, &from->endpoint, data, len, TCP_PATHS_URGENT), 0);
}

static void on_read(void *arg)
{
	((struct node *)arg)->n_reads++;
}

static void on_opened(void *arg, const struct path_addr *to)
{
	(void)to;
	((struct node *)arg)->n_opened++;
}

static void on_closed(void *arg, const struct path_addr *to, int reason)
{
	struct node *n = arg;

	n->n_closed++;
	n->closed = *to;
	n->reason = reason;
}

static const struct tcp_paths_env env = {
	.datagram = on_datagram, .read = on_read, .opened = on_opened, .closed = on_closed
};

static void on_watchdog(uv_timer_t *timer)
{
	((struct fixture *)timer->data)->is_late = true;
}

static int bind_raw(const char *from, uint16_t port)
{
	struct endpoint ep = { .port = port };
	struct sockaddr_storage ss;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	socklen_t len;

	assert_int_equal(ip_from_text(&ep.ip, from), 0);
	len = endpoint_to_sockaddr(&ep, false, &ss);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&ss, len), 0);
	return fd;
}

static struct endpoint end_of(int fd)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct endpoint ep;

	assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
	assert_int_equal(endpoint_from_sockaddr(&ep, (struct sockaddr *)&ss), 0);
	return ep;
}

static uint16_t free_port(void)
{
	int fd = bind_raw("127.0.0.1", 0);
	uint16_t port = end_of(fd).port;

	close(fd);
	return port;
}

static void node_begin(struct fixture *f, struct node *n)
{
	const struct ip any = { 0 };

	assert_int_equal(tcp_paths_new(&n->tcp, &f->loop, &env, n, &n->counters, &any, ""), 0);
	assert_int_equal(tcp_paths_port(n->tcp), 0);
}

static void node_listen(struct node *n)
{
	uint16_t port = free_port();

	assert_int_equal(tcp_paths_listen(n->tcp, port), 0);
	assert_int_equal(tcp_paths_port(n->tcp), port);
	assert_int_equal(ip_from_text(&n->at.ip, "127.0.0.1"), 0);
	n->at.port = port;
}

static int begin(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f || uv_loop_init(&f->loop) < 0 || uv_timer_init(&f->loop, &f->watchdog) < 0)
		return -1;
	f->watchdog.data = f;
	uv_timer_start(&f->watchdog, on_watchdog, WAIT_MS, 0);
	node_begin(f, &f->a);
	node_begin(f, &f->b);
	node_listen(&f->a);
	node_listen(&f->b);
	*state = f;
	return 0;
}

static int end(void **state)
{
	struct fixture *f = *state;
	int ret;

	tcp_paths_free(f->a.tcp);
	tcp_paths_free(f->b.tcp);
	tcp_paths_free(NULL);
	for (unsigned i = 0; i < f->n_clients; i++)
		close(f->clients[i]);
	uv_close((uv_handle_t *)&f->watchdog, NULL);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	ret = uv_loop_close(&f->loop); /* UV_EBUSY: a handle was left */
	free(f);
	return ret;
}

static void turn(struct fixture *f)
{
	tcp_paths_flush(f->a.tcp);
	tcp_paths_flush(f->b.tcp);
	uv_run(&f->loop, UV_RUN_ONCE);
}

#define RUN_UNTIL(f, condition)                              \
	do {                                                 \
		while (!(condition) && !(f)->is_late)        \
			turn(f);                             \
		if (!(condition))                            \
			fail_msg("in vain: %s", #condition); \
	} while (0)

static int say(struct node *n, const struct endpoint *to, char type, enum tcp_paths_urgency urgency)
{
	const uint8_t datagram[] = { 0, (uint8_t)type, 'x' };

	return tcp_paths_send(n->tcp, to, datagram + 1, 2, urgency);
}

static uint64_t counted(const struct node *n, enum counter c)
{
	return counters_get(&n->counters, c);
}

/* A stranger's connection to a, accepted. */
static int client(struct fixture *f, const char *from)
{
	uint64_t before = counted(&f->a, COUNTER_tcp_accepted) + counted(&f->a, COUNTER_tcp_refused);
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(&f->a.at, false, &ss);
	int fd = bind_raw(from, 0), on = 1;

	assert_int_equal(connect(fd, (struct sockaddr *)&ss, len), 0);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	RUN_UNTIL(f, counted(&f->a, COUNTER_tcp_accepted) + counted(&f->a, COUNTER_tcp_refused) > before);
	assert_true(f->n_clients < CLIENTS_MAX);
	f->clients[f->n_clients++] = fd;
	return fd;
}

static void wake(uv_timer_t *timer)
{
	(void)timer;
}

/* Turns that do not wait for anything to happen. */
static void let_pass(struct fixture *f, unsigned n)
{
	uv_timer_t tick;

	uv_timer_init(&f->loop, &tick);
	uv_timer_start(&tick, wake, 1, 1);
	for (unsigned i = 0; i < n; i++)
		turn(f);
	uv_close((uv_handle_t *)&tick, NULL);
	turn(f);
}

/* Did a end this connection, and without a word? */
static bool is_ended(struct fixture *f, int fd)
{
	char byte;
	ssize_t n;

	let_pass(f, 1);
	n = recv(fd, &byte, 1, MSG_DONTWAIT);
	assert_true(n <= 0);
	return n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

static void a_datagram_makes_the_connection_and_the_answer_uses_it(void **state)
{
	struct fixture *f = *state;
	struct endpoint local;

	f->b.is_echo = true;
	assert_int_equal(tcp_paths_local(f->a.tcp, &f->b.at, &local), -ENOTCONN);
	assert_int_equal(say(&f->a, &f->b.at, WIRE_SESSION, TCP_PATHS_URGENT), 0);
	RUN_UNTIL(f, f->a.n_datagrams == 1);
	assert_int_equal(f->a.last_len, 2);
	assert_memory_equal(f->a.last, "\x54x", 2);
	assert_true(endpoint_equal(&f->a.from.endpoint, &f->b.at));
	assert_true(endpoint_equal(&f->b.from.endpoint, &f->a.at)); /* left from the port that a listens to */
	assert_int_equal(tcp_paths_local(f->a.tcp, &f->b.at, &local), 0);
	assert_int_equal(local.port, f->a.at.port);
	assert_int_equal(f->a.n_opened, 1);
	assert_int_equal(f->b.n_opened, 0);
	assert_int_equal(counted(&f->a, COUNTER_tcp_connected), 1);
	assert_int_equal(counted(&f->b, COUNTER_tcp_accepted), 1);
	assert_int_equal(f->a.n_closed + f->b.n_closed, 0);
}

static void of_several_before_the_connection_the_last_goes(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(say(&f->a, &f->b.at, WIRE_SESSION, TCP_PATHS_URGENT), 0);
	assert_int_equal(say(&f->a, &f->b.at, WIRE_DATA, TCP_PATHS_DATA), -ENOTCONN);
	assert_int_equal(say(&f->a, &f->b.at, WIRE_INIT, TCP_PATHS_URGENT), 0);
	RUN_UNTIL(f, f->b.n_datagrams);
	let_pass(f, 5);
	assert_int_equal(f->b.n_datagrams, 1);
	assert_int_equal(f->b.last[0], WIRE_INIT);
}

static void datagrams_of_one_turn_leave_and_arrive_together(void **state)
{
	uint8_t big[1400] = { WIRE_DATA };
	struct fixture *f = *state;

	f->b.is_of = 7;
	assert_int_equal(say(&f->a, &f->b.at, WIRE_SESSION, TCP_PATHS_URGENT), 0);
	RUN_UNTIL(f, f->b.n_datagrams == 1);
	f->b.n_reads = 0;
	for (unsigned i = 0; i < 60; i++) { /* more than one batch holds */
		memcpy(big + 1, &i, sizeof(i));
		assert_int_equal(tcp_paths_send(f->a.tcp, &f->b.at, big, sizeof(big), TCP_PATHS_DATA), 0);
	}
	RUN_UNTIL(f, f->b.n_datagrams == 61);
	assert_in_range(f->b.n_reads, 1, 10);
	assert_memory_equal(f->b.last, big, sizeof(big));
	assert_int_equal(tcp_paths_send(f->a.tcp, &f->b.at, big, WIRE_FRAME_MAX_BYTES + 1, TCP_PATHS_DATA), -EMSGSIZE);
	assert_int_equal(tcp_paths_send(f->a.tcp, &f->b.at, big, 0, TCP_PATHS_DATA), -EMSGSIZE);
}

static void data_makes_no_connection(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(say(&f->a, &f->b.at, WIRE_DATA, TCP_PATHS_DATA), -ENOTCONN);
	let_pass(f, 5);
	assert_int_equal(counted(&f->b, COUNTER_tcp_accepted), 0);
}

static void a_refused_connection_is_told(void **state)
{
	struct endpoint nobody = { .port = free_port() };
	struct fixture *f = *state;

	assert_int_equal(ip_from_text(&nobody.ip, "127.0.0.1"), 0);
	assert_int_equal(say(&f->a, &nobody, WIRE_SESSION, TCP_PATHS_URGENT), 0);
	RUN_UNTIL(f, f->a.n_closed);
	assert_int_equal(f->a.reason, -ECONNREFUSED);
	assert_true(endpoint_equal(&f->a.closed.endpoint, &nobody));
	assert_int_equal(f->a.n_opened, 0);
	assert_int_equal(ip_from_text(&nobody.ip, "192.0.2.1"), 0); /* no route */
	assert_int_equal(say(&f->a, &nobody, WIRE_SESSION, TCP_PATHS_URGENT), -ENETUNREACH);
}

static void the_end_of_a_peers_connection_is_told(void **state)
{
	struct fixture *f = *state;

	f->a.is_of = 2;
	f->b.is_of = 1;
	f->b.is_echo = true;
	assert_int_equal(say(&f->a, &f->b.at, WIRE_SESSION, TCP_PATHS_URGENT), 0);
	RUN_UNTIL(f, f->a.n_datagrams == 1);
	tcp_paths_drop(f->a.tcp, &f->b.at);
	tcp_paths_drop(f->a.tcp, &f->b.at);
	RUN_UNTIL(f, f->b.n_closed);
	assert_true(endpoint_equal(&f->b.closed.endpoint, &f->a.at));
	assert_int_equal(f->a.n_closed, 0); /* knows it */
	/* and a new one can be made at once, from whatever port the kernel allows */
	f->b.is_echo = false;
	assert_int_equal(say(&f->a, &f->b.at, WIRE_SESSION, TCP_PATHS_URGENT), 0);
	RUN_UNTIL(f, f->b.n_datagrams == 2);
}

static void silent_strangers_are_ended_without_a_word(void **state)
{
	struct fixture *f = *state;
	int fd = client(f, "127.0.0.1");
	uint64_t now_ms = clock_now_ms();

	assert_in_range(tcp_paths_next_ms(f->a.tcp), now_ms, now_ms + TCP_PATHS_STRANGER_MS);
	tcp_paths_tick(f->a.tcp, now_ms + TCP_PATHS_STRANGER_MS - 1000);
	let_pass(f, 2);
	assert_false(is_ended(f, fd));
	assert_int_equal(send(fd, "\0\5\x50", 3, 0), 3); /* a drop at a time helps nobody */
	let_pass(f, 2);
	tcp_paths_tick(f->a.tcp, now_ms + TCP_PATHS_STRANGER_MS);
	assert_true(is_ended(f, fd));
	assert_int_equal(counted(&f->a, COUNTER_tcp_refused), 1);
	assert_int_equal(f->a.n_closed, 0);
	assert_true(tcp_paths_next_ms(f->a.tcp) == UINT64_MAX);
}

static void who_connects_out_is_a_stranger_too(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(say(&f->a, &f->b.at, WIRE_SESSION, TCP_PATHS_URGENT), 0);
	RUN_UNTIL(f, f->b.n_datagrams);
	tcp_paths_tick(f->a.tcp, clock_now_ms() + TCP_PATHS_STRANGER_MS);
	assert_int_equal(f->a.n_closed, 1); /* but whom we connected to is told */
	assert_true(endpoint_equal(&f->a.closed.endpoint, &f->b.at));
}

static void strangers_bytes(struct fixture *f, const void *bytes, size_t len, unsigned n_datagrams)
{
	uint64_t refused = counted(&f->a, COUNTER_tcp_refused);
	int fd = client(f, "127.0.0.1");

	f->a.n_datagrams = 0;
	assert_int_equal(send(fd, bytes, len, 0), (ssize_t)len);
	RUN_UNTIL(f, counted(&f->a, COUNTER_tcp_refused) > refused);
	assert_int_equal(f->a.n_datagrams, n_datagrams);
	assert_true(is_ended(f, fd));
}

static void garbage_ends_a_strangers_connection(void **state)
{
	struct fixture *f = *state;
	uint8_t many[(TCP_PATHS_STRANGER_FRAMES + 1) * 3];

	strangers_bytes(f, "GET / HTTP/1.1\r\n\r\n", 18, 0);
	strangers_bytes(f, "\0\0", 2, 0);
	strangers_bytes(f, "\x10\x01", 2, 0);
	strangers_bytes(f, "\0\1\x50\0\1\x53", 6, 1); /* data */
	strangers_bytes(f, "\0\1\x55", 3, 0);         /* and what is a coordinator's business */
	strangers_bytes(f, "\0\1\x56", 3, 0);
	for (size_t i = 0; i < sizeof(many); i++)
		many[i] = (uint8_t[]){ 0, 1, WIRE_INIT }[i % 3];
	strangers_bytes(f, many, sizeof(many), TCP_PATHS_STRANGER_FRAMES);
}

static void one_network_has_few_strangers(void **state)
{
	struct fixture *f = *state;
	int first = client(f, "127.0.0.1"), fd = -1;

	for (unsigned i = 1; i < TCP_PATHS_SOURCE_MAX; i++)
		fd = client(f, "127.0.0.1");
	assert_false(is_ended(f, fd));
	fd = client(f, "127.0.0.1");
	assert_true(is_ended(f, fd));
	assert_int_equal(counted(&f->a, COUNTER_tcp_refused), 1);
	assert_false(is_ended(f, first));
	fd = client(f, "127.0.0.2");
	assert_false(is_ended(f, fd));
}

static void the_oldest_stranger_gives_way(void **state)
{
	struct fixture *f = *state;
	int fds[TCP_PATHS_STRANGERS_MAX + 1], known;
	char from[32];

	f->a.is_of = 5;
	known = client(f, "127.0.0.100");
	assert_int_equal(send(known, "\0\1\x54", 3, 0), 3);
	RUN_UNTIL(f, f->a.n_datagrams == 1);
	for (unsigned i = 0; i <= TCP_PATHS_STRANGERS_MAX; i++) {
		snprintf(from, sizeof(from), "127.0.0.%u", 1 + i / TCP_PATHS_SOURCE_MAX);
		fds[i] = client(f, from);
	}
	assert_true(is_ended(f, fds[0]));
	assert_false(is_ended(f, fds[1]));
	assert_false(is_ended(f, fds[TCP_PATHS_STRANGERS_MAX]));
	assert_false(is_ended(f, known));
}

static void a_peers_connection_lasts_while_it_is_heard(void **state)
{
	struct fixture *f = *state;
	int fd = client(f, "127.0.0.1");
	uint64_t now_ms = clock_now_ms();
	struct endpoint from = end_of(fd);

	f->a.is_of = 5;
	assert_int_equal(send(fd, "\0\1\x54", 3, 0), 3);
	RUN_UNTIL(f, f->a.n_datagrams == 1);
	tcp_paths_tick(f->a.tcp, now_ms + TCP_PATHS_IDLE_MS - 1000);
	assert_false(is_ended(f, fd));
	tcp_paths_heard(f->a.tcp, &from, 5, now_ms + 60000);
	tcp_paths_tick(f->a.tcp, now_ms + TCP_PATHS_IDLE_MS + 59000);
	assert_int_equal(f->a.n_closed, 0);
	tcp_paths_tick(f->a.tcp, now_ms + TCP_PATHS_IDLE_MS + 60000);
	assert_int_equal(f->a.n_closed, 1);
	assert_int_equal(f->a.reason, -ETIMEDOUT);
	assert_true(is_ended(f, fd));
}

static void one_peer_has_few_connections_and_in_the_end_one(void **state)
{
	int fds[TCP_PATHS_PER_PEER + 2];
	struct fixture *f = *state;
	struct endpoint kept;

	for (unsigned i = 0; i < TCP_PATHS_PER_PEER + 2; i++) {
		f->a.is_of = i == 1 ? 6 : 5; /* one is another's */
		fds[i] = client(f, "127.0.0.1");
		kept = end_of(fds[i]);
		assert_int_equal(send(fds[i], "\0\1\x54", 3, 0), 3);
		RUN_UNTIL(f, f->a.n_datagrams == i + 1);
		tcp_paths_heard(f->a.tcp, &kept, f->a.is_of, clock_now_ms() + i);
	}
	assert_true(is_ended(f, fds[0]));
	assert_false(is_ended(f, fds[2]));
	assert_int_equal(f->a.n_closed, 1);
	tcp_paths_keep_one(f->a.tcp, 5, &kept);
	assert_int_equal(f->a.n_closed, TCP_PATHS_PER_PEER);
	assert_true(is_ended(f, fds[2]));
	assert_false(is_ended(f, fds[1]));
	assert_false(is_ended(f, fds[TCP_PATHS_PER_PEER + 1]));
}

static void a_slow_peer_costs_data_and_never_memory(void **state)
{
	static uint8_t datagram[WIRE_FRAME_MAX_BYTES] = { WIRE_DATA };
	struct fixture *f = *state;
	struct endpoint slow;
	size_t n = 0;
	int ret;

	f->a.is_of = 5;
	slow = end_of(client(f, "127.0.0.1"));
	assert_int_equal(send(f->clients[0], "\0\1\x54", 3, 0), 3);
	RUN_UNTIL(f, f->a.n_datagrams == 1);
	do { /* the kernel's buffers first */
		ret = tcp_paths_send(f->a.tcp, &slow, datagram, sizeof(datagram), TCP_PATHS_DATA);
		tcp_paths_flush(f->a.tcp);
	} while (ret == 0 && ++n < 100000);
	assert_int_equal(ret, -ENOBUFS);
	for (n = 0; n < 1000; n++) { /* what keeps the path alive still has room, but not without end */
		ret = tcp_paths_send(f->a.tcp, &slow, datagram, sizeof(datagram), TCP_PATHS_URGENT);
		tcp_paths_flush(f->a.tcp);
		if (ret < 0)
			break;
	}
	assert_int_equal(ret, -ENOBUFS);
	assert_in_range(n, 10, 2 * TCP_PATHS_QUEUE_BYTES / sizeof(datagram));
	assert_int_equal(f->a.n_closed, 0);
}

static void a_port_of_another_program_is_not_shared(void **state)
{
	struct fixture *f = *state;
	const struct ip any = { 0 };
	struct tcp_paths *t;

	assert_int_equal(tcp_paths_new(&t, &f->loop, &env, &f->a, &f->a.counters, &any, ""), 0);
	assert_int_equal(tcp_paths_listen(t, f->b.at.port), -EADDRINUSE);
	assert_int_equal(tcp_paths_port(t), 0);
	tcp_paths_free(t);
	/* without one, connections leave from any port */
	tcp_paths_free(f->a.tcp);
	node_begin(f, &f->a);
	assert_int_equal(say(&f->a, &f->b.at, WIRE_SESSION, TCP_PATHS_URGENT), 0);
	RUN_UNTIL(f, f->b.n_datagrams);
	assert_int_not_equal(f->b.from.endpoint.port, f->a.at.port);
}

/* A far end that takes no connection, and refuses none: its queue is full. */
static struct endpoint busy(struct fixture *f)
{
	int fd = bind_raw("127.0.0.1", 0);
	struct endpoint at = end_of(fd);
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(&at, false, &ss);

	assert_int_equal(listen(fd, 0), 0);
	f->clients[f->n_clients++] = fd;
	for (int i = 0; i < 3; i++) {
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		connect(fd, (struct sockaddr *)&ss, len);
		f->clients[f->n_clients++] = fd;
	}
	return at;
}

static void connect_from(struct fixture *f, const struct endpoint *from, const struct endpoint *to)
{
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(to, false, &ss);
	int fd = bind_raw("127.0.0.1", from->port);

	assert_int_equal(connect(fd, (struct sockaddr *)&ss, len), 0);
	assert_int_equal(send(fd, "\0\1\x54", 3, 0), 3);
	f->clients[f->n_clients++] = fd;
}

static void two_that_connect_to_each_other_have_one_connection(void **state)
{
	struct fixture *f = *state;
	struct endpoint far = busy(f);

	assert_int_equal(say(&f->a, &far, WIRE_SESSION, TCP_PATHS_URGENT), 0);
	let_pass(f, 5);
	assert_int_equal(f->a.n_opened, 0);
	connect_from(f, &far, &f->a.at);
	RUN_UNTIL(f, f->a.n_datagrams == 1);
	assert_int_equal(f->a.n_opened, 1);
	assert_int_equal(counted(&f->a, COUNTER_tcp_connected), 1);
	assert_int_equal(counted(&f->a, COUNTER_tcp_accepted), 0); /* it met ours under way */
	assert_int_equal(f->a.n_closed, 0);
}

static void one_accepted_from_where_we_connect_to_takes_its_place(void **state)
{
	struct fixture *f = *state;
	struct endpoint far = busy(f);
	uint8_t frame[4] = { 0 };

	tcp_paths_free(f->a.tcp);
	node_begin(f, &f->a);
	assert_int_equal(say(&f->a, &far, WIRE_SESSION, TCP_PATHS_URGENT), 0); /* from a port of its own */
	node_listen(&f->a);
	connect_from(f, &far, &f->a.at);
	RUN_UNTIL(f, f->a.n_datagrams == 1);
	assert_int_equal(f->a.n_opened, 1);
	assert_int_equal(f->a.n_closed, 0);
	/* and what was to go over ours goes over it */
	let_pass(f, 1);
	assert_int_equal(recv(f->clients[f->n_clients - 1], frame, sizeof(frame), MSG_WAITALL), 4);
	assert_memory_equal(frame, "\0\2\x54x", 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_datagram_makes_the_connection_and_the_answer_uses_it),
		TEST(of_several_before_the_connection_the_last_goes),
		TEST(datagrams_of_one_turn_leave_and_arrive_together),
		TEST(data_makes_no_connection),
		TEST(a_refused_connection_is_told),
		TEST(the_end_of_a_peers_connection_is_told),
		TEST(silent_strangers_are_ended_without_a_word),
		TEST(who_connects_out_is_a_stranger_too),
		TEST(garbage_ends_a_strangers_connection),
		TEST(one_network_has_few_strangers),
		TEST(the_oldest_stranger_gives_way),
		TEST(a_peers_connection_lasts_while_it_is_heard),
		TEST(one_peer_has_few_connections_and_in_the_end_one),
		TEST(a_slow_peer_costs_data_and_never_memory),
		TEST(a_port_of_another_program_is_not_shared),
		TEST(two_that_connect_to_each_other_have_one_connection),
		TEST(one_accepted_from_where_we_connect_to_takes_its_place),
	};

	signal(SIGPIPE, SIG_IGN);
	netns_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
