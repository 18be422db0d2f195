#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/control/request.h"
#include "daemon/control/server.h"

struct fixture {
	char dir[64], path[96];
	uv_loop_t loop;
	struct control_server *server;
	struct control_request *later;
	unsigned n_reloads;
};

static void on_peers(void *arg, struct control_request *req, const json_t *args)
{
	(void)arg;
	control_reply_take(req,
			   json_pack("{s:s,s:O?}", "schema", "warren.peers/1", "arg", json_object_get(args, "arg")));
}

static void on_later(void *arg, struct control_request *req, const json_t *args)
{
	struct fixture *f = arg;

	(void)args;
	f->later = req;
}

static void on_big(void *arg, struct control_request *req, const json_t *args)
{
	size_t len = 4 << 20;
	char *text = malloc(len);

	(void)arg;
	(void)args;
	assert_non_null(text);
	memset(text, 'x', len);
	control_reply_take(req, json_pack("{s:s%}", "big", text, len));
	free(text);
}

static void on_ping(void *arg, struct control_request *req, const json_t *args)
{
	(void)arg;
	(void)args;
	control_fail(req, EXIT_NO, "no peer is called \"%s\"", "zoe");
}

static void on_reload(void *arg, struct control_request *req, const json_t *args)
{
	struct fixture *f = arg;

	(void)args;
	f->n_reloads++;
	control_reply_take(req, json_pack("{s:b}", "ok", 1));
}

static const struct control_command commands[] = {
	{ "peers", 0, on_peers },
	{ "later", 0, on_later },
	{ "big", 0, on_big },
	{ "ping", 0, on_ping },
	{ "reload", CONTROL_WRITE, on_reload },
	{ NULL, 0, NULL },
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	snprintf(f->dir, sizeof(f->dir), "/tmp/warren-control-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->path, sizeof(f->path), "%s/run/c.sock", f->dir);
	uv_loop_init(&f->loop);
	*state = f;
	return control_server_open(&f->server, &f->loop, f->path, commands, f);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	char run[80];

	control_server_close(f->server);
	uv_run(&f->loop, UV_RUN_DEFAULT); /* ends only if nothing was left open */
	if (uv_loop_close(&f->loop) != 0 || lstat(f->path, &st) == 0)
		return -1;
	snprintf(run, sizeof(run), "%s/run", f->dir);
	rmdir(run);
	rmdir(f->dir);
	free(f);
	return 0;
}

static int dial(struct fixture *f)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	memcpy(address.sun_path, f->path, strlen(f->path));
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void turn(struct fixture *f)
{
	for (int i = 0; i < 8; i++)
		uv_run(&f->loop, UV_RUN_NOWAIT);
}

static void say(struct fixture *f, int fd, const char *text)
{
	size_t len = strlen(text);

	while (len > 0) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n > 0) {
			text += n;
			len -= (size_t)n;
		} else if (errno != EAGAIN) {
			return;
		}
		turn(f);
	}
	turn(f);
}

/* What has arrived; "EOF" if it was closed with nothing more to read, "" if there is nothing yet. */
static const char *hear(struct fixture *f, int fd)
{
	static char text[4096];
	ssize_t n;

	turn(f);
	n = recv(fd, text, sizeof(text) - 1, 0);
	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return "EOF";
	text[n < 0 ? 0 : n] = '\0';
	return text;
}

static void a_request_gets_its_answer(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f);

	say(f, fd, "{\"cmd\":\"peers\",\"arg\":3}\n");
	assert_string_equal(hear(f, fd), "{\"schema\":\"warren.peers/1\",\"arg\":3}\n");
	say(f, fd, "{\"cmd\":\"peers\"}\n"); /* more may follow */
	assert_string_equal(hear(f, fd), "{\"schema\":\"warren.peers/1\",\"arg\":null}\n");
	close(fd);
}

static void a_line_may_arrive_in_pieces(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f);

	for (const char *p = "{\"cmd\":\"peers\"}"; *p; p++) {
		say(f, fd, (const char[]){ *p, '\0' });
		assert_string_equal(hear(f, fd), "");
	}
	say(f, fd, "\n");
	assert_non_null(strstr(hear(f, fd), "warren.peers/1"));
	close(fd);
}

static void requests_in_one_piece_are_answered_in_turn(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f);

	say(f, fd, "{\"cmd\":\"peers\",\"arg\":1}\n{\"cmd\":\"ping\"}\n{\"cmd\":\"peers\",\"arg\":2}\n{\"cmd\"");
	assert_string_equal(hear(f, fd), "{\"schema\":\"warren.peers/1\",\"arg\":1}\n"
					 "{\"error\":{\"code\":1,\"message\":\"no peer is called \\\"zoe\\\"\"}}\n"
					 "{\"schema\":\"warren.peers/1\",\"arg\":2}\n");
	close(fd);
}

static void a_client_that_shuts_its_end_still_gets_the_answer(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f);

	say(f, fd, "{\"cmd\":\"peers\"}\n");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	assert_non_null(strstr(hear(f, fd), "warren.peers/1"));
	assert_string_equal(hear(f, fd), "EOF");
	close(fd);
}

static void an_answer_may_come_later(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f), other = dial(f);

	say(f, fd, "{\"cmd\":\"later\"}\n");
	assert_non_null(f->later);
	assert_string_equal(hear(f, fd), "");
	say(f, other, "{\"cmd\":\"peers\"}\n"); /* nobody else waits for it */
	assert_non_null(strstr(hear(f, other), "warren.peers/1"));
	control_reply_take(f->later, json_pack("{s:i}", "n", 7));
	assert_string_equal(hear(f, fd), "{\"n\":7}\n");
	close(fd);
	close(other);
}

static void an_answer_to_a_client_that_is_gone_is_dropped(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f);

	say(f, fd, "{\"cmd\":\"later\"}\n");
	close(fd);
	turn(f);
	control_reply_take(f->later, json_pack("{s:i}", "n", 7));
	turn(f);
}

static void an_answer_after_the_server_closed_is_dropped(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f);

	say(f, fd, "{\"cmd\":\"later\"}\n");
	control_server_close(f->server);
	turn(f);
	control_fail(f->later, EXIT_NO, "too late");
	assert_string_equal(hear(f, fd), "EOF");
	close(fd);
	assert_int_equal(control_server_open(&f->server, &f->loop, f->path, commands, f), 0);
}

static void malformed_requests_are_refused_in_words(void **state)
{
	static const char *const requests[] = { "peers\n",
						"\n",
						"[]\n",
						"{}\n",
						"{\"cmd\":3}\n",
						"{\"cmd\":\"nope\"}\n",
						"{\"cmd\":\"peers\",\"cmd\":\"ping\"}\n",
						"\xff\xfe\n" };
	struct fixture *f = *state;
	int fd = dial(f);

	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		say(f, fd, requests[i]);
		assert_non_null(strstr(hear(f, fd), "{\"error\":{\"code\":64,\"message\":\""));
	}
	say(f, fd, "{\"cmd\":\"peers\"}\n"); /* and the connection goes on */
	assert_non_null(strstr(hear(f, fd), "warren.peers/1"));
	close(fd);
}

static void nesting_without_end_is_refused(void **state)
{
	struct fixture *f = *state;
	char text[60001];
	int fd = dial(f);

	memset(text, '[', sizeof(text) - 2);
	text[sizeof(text) - 2] = '\n';
	text[sizeof(text) - 1] = '\0';
	say(f, fd, text);
	assert_non_null(strstr(hear(f, fd), "\"code\":64"));
	close(fd);
}

static void a_line_longer_than_64_kib_ends_the_connection(void **state)
{
	struct fixture *f = *state;
	char *text = malloc(200001);
	int fd = dial(f);

	assert_non_null(text);
	memset(text, ' ', 200000);
	text[200000] = '\0';
	say(f, fd, text);
	assert_non_null(strstr(hear(f, fd), "longer than 64 KiB"));
	assert_string_equal(hear(f, fd), "EOF");
	free(text);
	close(fd);
}

static void the_seventeenth_client_is_sent_away(void **state)
{
	struct fixture *f = *state;
	int fd[17];

	for (int i = 0; i < 17; i++) {
		fd[i] = dial(f);
		turn(f);
	}
	assert_non_null(strstr(hear(f, fd[16]), "too many clients"));
	assert_string_equal(hear(f, fd[16]), "EOF");
	say(f, fd[15], "{\"cmd\":\"peers\"}\n");
	assert_non_null(strstr(hear(f, fd[15]), "warren.peers/1"));
	close(fd[16]);
	close(fd[0]);
	turn(f);
	fd[16] = dial(f);
	say(f, fd[16], "{\"cmd\":\"peers\"}\n");
	assert_non_null(strstr(hear(f, fd[16]), "warren.peers/1"));
	for (int i = 1; i < 17; i++)
		close(fd[i]);
}

static void make_due(uv_handle_t *handle, void *n)
{
	uv_timer_t *timer = (uv_timer_t *)handle;

	if (handle->type != UV_TIMER || !uv_is_active(handle))
		return;
	assert_true(uv_timer_get_due_in(timer) <= 5000);
	uv_timer_set_repeat(timer, 1);
	uv_timer_again(timer); /* in 1 ms what was to come in 5 s */
	++*(int *)n;
}

/* Lets every idle timer that runs go off; returns how many did. */
static int pass_idle_time(struct fixture *f)
{
	int n = 0;

	uv_walk(&f->loop, make_due, &n);
	if (n > 0)
		uv_run(&f->loop, UV_RUN_ONCE);
	return n;
}

static void a_client_that_says_nothing_is_closed(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f), half = dial(f);

	say(f, half, "{\"cmd\":");
	assert_int_equal(pass_idle_time(f), 2);
	assert_string_equal(hear(f, fd), "EOF");
	assert_string_equal(hear(f, half), "EOF");
	close(fd);
	close(half);
}

static void a_handler_may_take_its_time(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f);

	say(f, fd, "{\"cmd\":\"later\"}\n");
	assert_int_equal(pass_idle_time(f), 0);
	control_reply_take(f->later, json_object());
	assert_string_equal(hear(f, fd), "{}\n");
	close(fd);
}

static void a_slow_reader_blocks_nobody_and_is_closed(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f), other = dial(f);

	say(f, fd, "{\"cmd\":\"big\"}\n{\"cmd\":\"peers\"}\n");
	say(f, other, "{\"cmd\":\"peers\"}\n");
	assert_non_null(strstr(hear(f, other), "warren.peers/1"));
	close(other);
	turn(f);
	assert_int_equal(pass_idle_time(f), 1);
	for (int i = 0; i < 10000 && strcmp(hear(f, fd), "EOF") != 0; i++)
		assert_int_not_equal(i, 9999);
	close(fd);
}

static void a_big_answer_arrives_whole(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f);
	size_t got = 0;
	char buf[65536];

	say(f, fd, "{\"cmd\":\"big\"}\n");
	while (got == 0 || buf[0] != '\n') {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);

		if (n > 0) {
			got += (size_t)n;
			buf[0] = buf[n - 1];
		} else {
			assert_true(n < 0 && errno == EAGAIN);
		}
		turn(f);
	}
	assert_int_equal(got, (4 << 20) + strlen("{\"big\":\"\"}\n"));
	close(fd);
}

static void write_commands_are_for_root_and_the_owner(void **state)
{
	struct fixture *f = *state;
	char run[80];
	int fd = dial(f);

	say(f, fd, "{\"cmd\":\"reload\"}\n");
	assert_string_equal(hear(f, fd), "{\"ok\":true}\n");
	close(fd);
	if (geteuid() != 0)
		return; /* nobody else to be */
	snprintf(run, sizeof(run), "%s/run", f->dir);
	assert_int_equal(chmod(f->dir, 0755) | chmod(run, 0755) | chmod(f->path, 0666), 0);
	assert_int_equal(seteuid(65534), 0);
	fd = dial(f);
	assert_int_equal(seteuid(0), 0);
	say(f, fd, "{\"cmd\":\"reload\"}\n");
	assert_non_null(strstr(hear(f, fd), "\"code\":77"));
	assert_int_equal(f->n_reloads, 1);
	say(f, fd, "{\"cmd\":\"peers\"}\n");
	assert_non_null(strstr(hear(f, fd), "warren.peers/1"));
	close(fd);
}

static void the_socket_is_for_owner_and_group(void **state)
{
	struct fixture *f = *state;
	char run[80];
	struct stat st;

	assert_int_equal(lstat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	snprintf(run, sizeof(run), "%s/run", f->dir);
	assert_int_equal(lstat(run, &st), 0);
	assert_int_equal(st.st_mode & 0027, 0);
}

static void a_socket_in_use_is_left_alone_and_a_stale_one_replaced(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct fixture *f = *state;
	struct control_server *second = NULL;
	char path[96];
	FILE *file;
	int fd;

	assert_int_equal(control_server_open(&second, &f->loop, f->path, commands, f), -EADDRINUSE);
	snprintf(path, sizeof(path), "%s/run/d.sock", f->dir);
	memcpy(address.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd); /* the file stays, as after SIGKILL */
	assert_int_equal(control_server_open(&second, &f->loop, path, commands, f), 0);
	control_server_close(second);
	turn(f);
	file = fopen(path, "w");
	assert_non_null(file);
	fclose(file);
	assert_int_equal(control_server_open(&second, &f->loop, path, commands, f), -ENOTSOCK);
	assert_int_equal(unlink(path), 0);
}

static void a_path_too_long_for_a_socket_is_refused(void **state)
{
	struct fixture *f = *state;
	struct control_server *s = NULL;
	char path[200];

	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(control_server_open(&s, &f->loop, path, commands, f), -ENAMETOOLONG);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_request_gets_its_answer),
		TEST(a_line_may_arrive_in_pieces),
		TEST(requests_in_one_piece_are_answered_in_turn),
		TEST(a_client_that_shuts_its_end_still_gets_the_answer),
		TEST(an_answer_may_come_later),
		TEST(an_answer_to_a_client_that_is_gone_is_dropped),
		TEST(an_answer_after_the_server_closed_is_dropped),
		TEST(malformed_requests_are_refused_in_words),
		TEST(nesting_without_end_is_refused),
		TEST(a_line_longer_than_64_kib_ends_the_connection),
		TEST(the_seventeenth_client_is_sent_away),
		TEST(a_client_that_says_nothing_is_closed),
		TEST(a_handler_may_take_its_time),
		TEST(a_slow_reader_blocks_nobody_and_is_closed),
		TEST(a_big_answer_arrives_whole),
		TEST(write_commands_are_for_root_and_the_owner),
		TEST(the_socket_is_for_owner_and_group),
		TEST(a_socket_in_use_is_left_alone_and_a_stale_one_replaced),
		TEST(a_path_too_long_for_a_socket_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
