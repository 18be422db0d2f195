#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/base/listen_fds.h"

/* What the child found, as its exit code: the descriptors 3, 4, ... are its own to arrange. */
typedef int child_fn(void);

/* Runs `fn` in a child that has `n_open` descriptors from 3 on, $LISTEN_FDS and, with `is_meant`, its own pid in $LISTEN_PID. */
static int in_child(const char *count, int n_open, int is_meant, child_fn *fn)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		char text[32];

		snprintf(text, sizeof(text), "%ld", (long)getpid() + !is_meant);
		setenv("LISTEN_PID", text, 1);
		setenv("LISTEN_FDS", count, 1);
		setenv("LISTEN_FDNAMES", "a:b", 1);
		for (int fd = 3; fd < 64; fd++) {
			close(fd);
			if (fd < 3 + n_open && open("/dev/null", O_RDONLY) != fd)
				_exit(98);
		}
		_exit(fn());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int expect(int wanted_ret, unsigned wanted_n)
{
	struct listen_fds l;
	int ret = listen_fds_init(&l);

	if (getenv("LISTEN_PID") || getenv("LISTEN_FDS") || getenv("LISTEN_FDNAMES"))
		return 97;
	if (ret != wanted_ret || l.n != wanted_n)
		return 1;
	for (unsigned i = 0; i < l.n; i++)
		if (l.fds[i] != 3 + (int)i || !(fcntl(l.fds[i], F_GETFD) & FD_CLOEXEC))
			return 2;
	return 0;
}

static int expect_two(void)
{
	return expect(0, 2);
}

static int expect_none(void)
{
	return expect(0, 0);
}

static int expect_invalid(void)
{
	return expect(-EINVAL, 0);
}

static int expect_too_many(void)
{
	return expect(-E2BIG, 0);
}

static int expect_not_open(void)
{
	return expect(-EBADF, 0);
}

static int expect_only_the_rest_closed(void)
{
	struct listen_fds l;

	if (listen_fds_init(&l) || l.n != 2)
		return 1;
	l.fds[0] = -1; /* taken */
	listen_fds_fini(&l);
	return l.n == 0 && fcntl(3, F_GETFD) >= 0 && fcntl(4, F_GETFD) < 0 ? 0 : 2;
}

static void two_are_taken_and_closed_on_exec(void **state)
{
	(void)state;
	assert_int_equal(in_child("2", 2, 1, expect_two), 0);
	assert_int_equal(in_child("2", 5, 1, expect_two), 0);
}

static void none_are_taken_that_are_for_another_process(void **state)
{
	(void)state;
	assert_int_equal(in_child("2", 2, 0, expect_none), 0);
	assert_int_equal(in_child("0", 2, 1, expect_none), 0);
}

static void what_is_no_number_of_open_descriptors_is_refused(void **state)
{
	static const char *const bad[] = { "", "-1", " 1", "1 ", "0x1", "two", "99999999999999999999" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(in_child(bad[i], 2, 1, expect_invalid), 0);
	assert_int_equal(in_child("9", 9, 1, expect_too_many), 0);
	assert_int_equal(in_child("2147483647", 2, 1, expect_too_many), 0);
	assert_int_equal(in_child("2", 1, 1, expect_not_open), 0);
}

static void what_nobody_took_is_closed(void **state)
{
	(void)state;
	assert_int_equal(in_child("2", 2, 1, expect_only_the_rest_closed), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_are_taken_and_closed_on_exec),
		cmocka_unit_test(none_are_taken_that_are_for_another_process),
		cmocka_unit_test(what_is_no_number_of_open_descriptors_is_refused),
		cmocka_unit_test(what_nobody_took_is_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
