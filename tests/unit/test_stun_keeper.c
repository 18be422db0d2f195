/* A keeper, a server it asks, and a program that has the port: all on lo, in a namespace of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/base/clock.h"
#include "daemon/net/stun_keeper.h"
#include "daemon/wire/stun.h"
#include "tests/unit/netns.h"

#define EVERY_MS 50

struct fixture {
	uv_loop_t loop;
	int server, program; /* program -1: nobody has the port */
	uint16_t port;
	struct endpoint server_endpoint, seen_as;
	struct stun_keeper *keeper;
	unsigned n_asked, n_told;
	bool is_silent, lies;
};

static int udp_socket(int option, uint16_t *port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(*port) };
	socklen_t len = sizeof(sin);
	int one = 1, fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, "127.0.0.1", &sin.sin_addr);
	if (*port)
		sin.sin_addr.s_addr = 0;
	assert_true(fd >= 0);
	if (option)
		assert_int_equal(setsockopt(fd, SOL_SOCKET, option, &one, sizeof(one)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	*port = ntohs(sin.sin_port);
	return fd;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	uint16_t port = 0;

	if (!f || uv_loop_init(&f->loop) < 0)
		return -1;
	f->program = -1;
	f->port = 4000;
	f->server = udp_socket(0, &port);
	assert_int_equal(endpoint_from_text(&f->server_endpoint, "127.0.0.1:1"), 0);
	f->server_endpoint.port = port;
	assert_int_equal(endpoint_from_text(&f->seen_as, "203.0.113.7:5000"), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	int ret;

	stun_keeper_close(f->keeper);
	close(f->server);
	if (f->program >= 0)
		close(f->program);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	ret = uv_loop_close(&f->loop);
	free(f);
	return ret;
}

static void on_told(void *arg, struct stun_keeper *k)
{
	struct fixture *f = arg;

	assert_true(stun_keeper_has_tried(k));
	f->n_told++;
}

static void serve(struct fixture *f)
{
	uint8_t data[512], reply[STUN_REPLY_MAX_BYTES];
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	ssize_t n = recvfrom(f->server, data, sizeof(data), 0, (struct sockaddr *)&from, &len);
	struct stun_message m;

	if (n < 0)
		return;
	assert_int_equal(ntohs(from.sin_port), f->port);
	assert_int_equal(stun_decode(&m, data, (size_t)n), 0);
	f->n_asked++;
	if (f->is_silent)
		return;
	if (f->lies)
		m.id[0] ^= 1;
	n = stun_reply_encode(reply, &m, &f->seen_as);
	assert_int_equal(sendto(f->server, reply, (size_t)n, 0, (struct sockaddr *)&from, len), n);
}

static void run(struct fixture *f, unsigned ms)
{
	uint64_t end_ms = clock_now_ms() + ms;

	while (clock_now_ms() < end_ms) {
		serve(f);
		uv_run(&f->loop, UV_RUN_NOWAIT);
		usleep(1000);
	}
}

static int open_keeper(struct fixture *f)
{
	return stun_keeper_open(&f->keeper, &f->loop, f->port, &f->server_endpoint, "", EVERY_MS, on_told, f);
}

static void the_endpoint_is_learned_and_kept(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(open_keeper(f), 0);
	assert_null(stun_keeper_endpoint(f->keeper));
	assert_false(stun_keeper_has_tried(f->keeper));
	run(f, 400);
	assert_true(endpoint_equal(stun_keeper_endpoint(f->keeper), &f->seen_as));
	assert_int_equal(f->n_told, 1);
	assert_in_range(f->n_asked, 4, 9);
	f->seen_as.port++; /* the NAT restarted */
	run(f, 200);
	assert_true(endpoint_equal(stun_keeper_endpoint(f->keeper), &f->seen_as));
	assert_int_equal(f->n_told, 2);
}

static void the_program_keeps_all_that_is_not_the_servers_answers(void **state)
{
	static const int options[] = { SO_REUSEADDR, SO_REUSEPORT };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		uint16_t other_port = 0;
		int other = udp_socket(0, &other_port);
		struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(f->port) };
		char data[64];

		inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
		f->program = udp_socket(options[i], &f->port);
		assert_int_equal(open_keeper(f), 0);
		for (int k = 0; k < 20; k++) {
			run(f, 10);
			assert_int_equal(sendto(other, "hello", 5, 0, (struct sockaddr *)&to, sizeof(to)), 5);
			assert_int_equal(recv(f->program, data, sizeof(data), 0), 5);
			assert_int_equal(recv(f->program, data, sizeof(data), 0), -1); /* and none of ours */
		}
		assert_non_null(stun_keeper_endpoint(f->keeper));
		stun_keeper_close(f->keeper);
		f->keeper = NULL;
		close(f->program);
		close(other);
		f->program = -1;
	}
}

static void a_port_that_is_not_shared_is_left_alone(void **state)
{
	struct fixture *f = *state;

	f->program = udp_socket(0, &f->port);
	assert_int_equal(open_keeper(f), -EADDRINUSE);
	assert_null(f->keeper);
}

static void answers_to_what_was_not_asked_are_none(void **state)
{
	struct fixture *f = *state;

	f->lies = true;
	assert_int_equal(open_keeper(f), 0);
	run(f, 300);
	assert_int_equal(f->n_asked, 1);
	assert_null(stun_keeper_endpoint(f->keeper));
	f->lies = false;
	run(f, 400); /* asked again at 500 ms */
	assert_non_null(stun_keeper_endpoint(f->keeper));
}

static void a_silent_server_is_given_up_and_said_so(void **state)
{
	struct fixture *f = *state;

	f->is_silent = true;
	assert_int_equal(open_keeper(f), 0);
	run(f, 3400);
	assert_int_equal(f->n_asked, 3);
	assert_int_equal(f->n_told, 0);
	run(f, 400);
	assert_true(stun_keeper_has_tried(f->keeper));
	assert_null(stun_keeper_endpoint(f->keeper));
	assert_int_equal(f->n_told, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(the_endpoint_is_learned_and_kept),
		TEST(the_program_keeps_all_that_is_not_the_servers_answers),
		TEST(a_port_that_is_not_shared_is_left_alone),
		TEST(answers_to_what_was_not_asked_are_none),
		TEST(a_silent_server_is_given_up_and_said_so),
	};

	netns_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
