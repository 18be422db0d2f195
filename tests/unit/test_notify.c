#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/base/notify.h"

struct manager { /* in the place of systemd: a datagram socket of its own */
	int fd;
	char path[64]; /* "": an abstract one */
	char said[1024];
};

static void manager_open(struct manager *m, const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = strlen(name);

	assert_true(len < sizeof(address.sun_path));
	memcpy(address.sun_path, name, len);
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	m->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(m->fd >= 0);
	assert_int_equal(
		bind(m->fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)), 0);
	snprintf(m->path, sizeof(m->path), "%s", name[0] == '@' ? "" : name);
	setenv("NOTIFY_SOCKET", name, 1);
}

static void manager_close(struct manager *m)
{
	close(m->fd);
	if (m->path[0])
		unlink(m->path);
	unsetenv("NOTIFY_SOCKET");
}

/* One datagram, "" if there is none. */
static const char *said(struct manager *m)
{
	ssize_t n = recv(m->fd, m->said, sizeof(m->said) - 1, 0);

	m->said[n > 0 ? n : 0] = '\0';
	return m->said;
}

static void manager_with_path(struct manager *m)
{
	char name[64];

	snprintf(name, sizeof(name), "/tmp/warren-notify-%d", (int)getpid());
	manager_open(m, name);
}

static void one_datagram_reaches_a_socket_with_a_path(void **state)
{
	struct manager m;

	(void)state;
	manager_with_path(&m);
	assert_true(notify_is_wanted());
	notify_send("READY=1");
	assert_string_equal(said(&m), "READY=1");
	assert_string_equal(said(&m), "");
	manager_close(&m);
}

static void one_datagram_reaches_an_abstract_socket(void **state)
{
	struct manager m;
	char name[64];

	(void)state;
	snprintf(name, sizeof(name), "@warren/notify/%d", (int)getpid());
	manager_open(&m, name);
	notify_send("WATCHDOG=1");
	assert_string_equal(said(&m), "WATCHDOG=1");
	manager_close(&m);
}

static void nobody_who_listens_is_no_trouble(void **state)
{
	static const char *const names[] = {
		"/tmp/warren-notify-nobody", "@warren-notify-nobody", "relative", "/", "", "vsock:2:1234"
	};
	char longest[200];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		setenv("NOTIFY_SOCKET", names[i], 1);
		notify_send("READY=1");
	}
	memset(longest, 'a', sizeof(longest) - 1);
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	setenv("NOTIFY_SOCKET", longest, 1);
	assert_false(notify_is_wanted());
	notify_send("READY=1");
	unsetenv("NOTIFY_SOCKET");
	assert_false(notify_is_wanted());
	notify_send("READY=1");
}

static void a_manager_that_reads_nothing_does_not_hold_us_up(void **state)
{
	struct manager m;

	(void)state;
	manager_with_path(&m);
	for (int i = 0; i < 10000; i++) /* many more than its queue takes; the test has a deadline */
		notify_send("STATUS=again");
	assert_string_equal(said(&m), "STATUS=again");
	manager_close(&m);
}

static void reloading_carries_the_time_of_the_monotonic_clock(void **state)
{
	struct timespec before, after;
	unsigned long long usec;
	struct manager m;
	const char *at;

	(void)state;
	manager_with_path(&m);
	clock_gettime(CLOCK_MONOTONIC, &before);
	notify_reloading();
	clock_gettime(CLOCK_MONOTONIC, &after);
	assert_int_equal(strncmp(said(&m), "RELOADING=1\n", 12), 0);
	at = strstr(m.said, "\nMONOTONIC_USEC=");
	assert_non_null(at);
	usec = strtoull(at + strlen("\nMONOTONIC_USEC="), NULL, 10);
	assert_true(usec >= (unsigned long long)before.tv_sec * 1000000 + (unsigned long long)before.tv_nsec / 1000);
	assert_true(usec <= (unsigned long long)after.tv_sec * 1000000 + (unsigned long long)after.tv_nsec / 1000);
	manager_close(&m);
}

static void a_status_stays_on_its_line(void **state)
{
	char longest[2000];
	struct manager m;

	(void)state;
	manager_with_path(&m);
	notify_status("3 of 4 peers\nREADY=1\033[2J");
	assert_string_equal(said(&m), "STATUS=3 of 4 peers\\x0aREADY=1\\x1b[2J");
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	notify_status(longest);
	assert_in_range(strlen(said(&m)), 400, 511);
	manager_close(&m);
}

static void the_watchdog_of_another_process_is_not_ours(void **state)
{
	char own[32];

	(void)state;
	unsetenv("WATCHDOG_PID");
	unsetenv("WATCHDOG_USEC");
	assert_int_equal(notify_watchdog_ms(), 0);
	setenv("WATCHDOG_USEC", "30000000", 1);
	assert_int_equal(notify_watchdog_ms(), 30000);
	setenv("WATCHDOG_PID", "1", 1);
	assert_int_equal(notify_watchdog_ms(), 0);
	snprintf(own, sizeof(own), "%d", (int)getpid());
	setenv("WATCHDOG_PID", own, 1);
	assert_int_equal(notify_watchdog_ms(), 30000);
	unsetenv("WATCHDOG_PID");
	unsetenv("WATCHDOG_USEC");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_datagram_reaches_a_socket_with_a_path),
		cmocka_unit_test(one_datagram_reaches_an_abstract_socket),
		cmocka_unit_test(nobody_who_listens_is_no_trouble),
		cmocka_unit_test(a_manager_that_reads_nothing_does_not_hold_us_up),
		cmocka_unit_test(reloading_carries_the_time_of_the_monotonic_clock),
		cmocka_unit_test(a_status_stays_on_its_line),
		cmocka_unit_test(the_watchdog_of_another_process_is_not_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
