#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/net/thread.h"

#define PATIENCE_MS 5000

/* Two ends of a UDP conversation on the loopback; what the near end gets is read on a thread. */
struct fixture {
	int near, far;
	struct sockaddr_in far_address;
	struct thread *thread;
	_Atomic unsigned n_datagrams, n_errors, n_calls;
	_Atomic bool is_stuck;
};

static void on_near(void *arg)
{
	struct fixture *f = arg;
	char data[16];

	f->n_calls++;
	if (recv(f->near, data, sizeof(data), MSG_DONTWAIT) >= 0)
		f->n_datagrams++;
	else if (errno == ECONNREFUSED)
		f->n_errors++;
}

static struct sockaddr_in bind_loopback(int fd, uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	return a;
}

static void open_far(struct fixture *f)
{
	f->far = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	f->far_address = bind_loopback(f->far, f->far_address.sin_port);
}

static void far_sends(const struct fixture *f)
{
	struct sockaddr_in to;
	socklen_t len = sizeof(to);

	assert_int_equal(getsockname(f->near, (struct sockaddr *)&to, &len), 0);
	assert_int_equal(sendto(f->far, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)), 1);
}

static void wait_for(_Atomic unsigned *count, unsigned n)
{
	for (int waited_ms = 0; *count < n && waited_ms < PATIENCE_MS; waited_ms++)
		poll(NULL, 0, 1);
	assert_int_equal(*count, n);
}

static int set_up(void **state)
{
	static struct fixture f;

	f = (struct fixture){ .near = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0) };
	bind_loopback(f.near, 0);
	open_far(&f);
	/* Connected, so that the kernel tells of ICMP errors. */
	assert_int_equal(connect(f.near, (struct sockaddr *)&f.far_address, sizeof(f.far_address)), 0);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	thread_stop(f->thread);
	close(f->near);
	close(f->far);
	return 0;
}

static void a_socket_is_watched_on_after_an_error(void **state)
{
	struct fixture *f = *state;
	const struct thread_watch watch = { .fd = f->near, .is_socket = true, .fn = on_near, .arg = f };

	assert_int_equal(thread_start(&f->thread, &watch, 1), 0);
	far_sends(f);
	wait_for(&f->n_datagrams, 1);
	close(f->far);
	assert_int_equal(send(f->near, "x", 1, 0), 1);
	wait_for(&f->n_errors, 1);
	open_far(f);
	far_sends(f);
	wait_for(&f->n_datagrams, 2);
}

/* The reading end of a pipe that nobody can write to has its POLLHUP without end; its writing end, once nobody reads,
 * POLLERR, as the queue of a TUN that was deleted. */
static void another_descriptor_that_broke_is_let_go(void **state)
{
	struct fixture *f = *state;
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	close(ends[0]);
	{
		const struct thread_watch watches[] = {
			{ .fd = ends[1], .fn = on_near, .arg = f },
			{ .fd = f->near, .is_socket = true, .fn = on_near, .arg = f },
		};

		assert_int_equal(thread_start(&f->thread, watches, 2), 0);
	}
	wait_for(&f->n_calls, 1);
	far_sends(f);
	wait_for(&f->n_datagrams, 1);
	assert_int_equal(f->n_calls, 2);
	thread_stop(f->thread);
	f->thread = NULL;
	close(ends[1]);
}

static void a_descriptor_that_cannot_be_watched_is_refused(void **state)
{
	struct fixture *f = *state;
	const struct thread_watch watches[] = {
		{ .fd = f->near, .is_socket = true, .fn = on_near, .arg = f },
		{ .fd = -1, .fn = on_near, .arg = f },
	};

	assert_true(thread_start(&f->thread, watches, 2) < 0);
	assert_null(f->thread);
	thread_stop(NULL);
}

static void on_near_and_stay(void *arg)
{
	struct fixture *f = arg;

	on_near(arg);
	while (f->is_stuck)
		poll(NULL, 0, 1);
}

static bool answers(struct fixture *f)
{
	thread_ask(f->thread);
	for (int waited_ms = 0; waited_ms < PATIENCE_MS; waited_ms += 10) {
		poll(NULL, 0, 10);
		if (thread_ask(f->thread))
			return true;
	}
	return false;
}

static void a_thread_that_is_stuck_gives_no_sign_of_life(void **state)
{
	struct fixture *f = *state;
	const struct thread_watch watch = { .fd = f->near, .is_socket = true, .fn = on_near_and_stay, .arg = f };

	assert_int_equal(thread_start(&f->thread, &watch, 1), 0);
	assert_true(thread_ask(f->thread)); /* nobody had asked yet */
	assert_true(answers(f));
	f->is_stuck = true;
	far_sends(f);
	wait_for(&f->n_datagrams, 1);
	thread_ask(f->thread); /* what it answered before */
	for (int i = 0; i < 5; i++) {
		poll(NULL, 0, 10);
		assert_false(thread_ask(f->thread));
	}
	f->is_stuck = false;
	assert_true(answers(f));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_socket_is_watched_on_after_an_error),
		TEST(another_descriptor_that_broke_is_let_go),
		TEST(a_descriptor_that_cannot_be_watched_is_refused),
		TEST(a_thread_that_is_stuck_gives_no_sign_of_life),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
