#include <errno.h>
#include <glob.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"

static int fail(const struct ctl *ctl, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static int fail(const struct ctl *ctl, int code, const char *fmt, ...)
{
	va_list ap;

	fputs("warrenctl: ", ctl->err);
	va_start(ap, fmt);
	vfprintf(ctl->err, fmt, ap);
	va_end(ap);
	fputc('\n', ctl->err);
	return code;
}

/* ---------------------------------------------------------------- which socket */

/* The only socket there is, or words about none or several. */
static int find_only_socket(const struct ctl *ctl, char *path, size_t size)
{
	char pattern[256];
	glob_t found;
	int code = EXIT_YES;

	if (euidaccess(ctl->socket_dir, R_OK | X_OK) < 0 && errno == EACCES)
		return fail(ctl, EXIT_NOT_PERMITTED,
			    "not permitted to look into %s: it is for root and its group (sudo?)", ctl->socket_dir);
	snprintf(pattern, sizeof(pattern), "%s/*.sock", ctl->socket_dir);
	if (glob(pattern, 0, NULL, &found) != 0)
		return fail(ctl, EXIT_NO_DAEMON,
			    "no warrend runs here: there is no socket in %s (systemctl start warren@NET?)",
			    ctl->socket_dir);
	if (found.gl_pathc == 1) {
		snprintf(path, size, "%s", found.gl_pathv[0]);
	} else {
		fputs("warrenctl: several networks run here, choose one with -n:", ctl->err);
		for (size_t i = 0; i < found.gl_pathc; i++) {
			const char *name = strrchr(found.gl_pathv[i], '/') + 1;

			fprintf(ctl->err, " %.*s", (int)(strlen(name) - strlen(".sock")), name);
		}
		fputc('\n', ctl->err);
		code = EXIT_BAD_USAGE;
	}
	globfree(&found);
	return code;
}

static int find_socket(const struct ctl *ctl, char *path, size_t size)
{
	if (ctl->socket)
		snprintf(path, size, "%s", ctl->socket);
	else if (ctl->net)
		snprintf(path, size, "%s/%s.sock", ctl->socket_dir, ctl->net);
	else
		return find_only_socket(ctl, path, size);
	return EXIT_YES;
}

static int connect_error(const struct ctl *ctl, const char *path, int err)
{
	switch (err) {
	case ENOENT:
		return fail(ctl, EXIT_NO_DAEMON, "no warrend at %s: there is no such socket (is the service running?)",
			    path);
	case ECONNREFUSED:
		return fail(ctl, EXIT_NO_DAEMON,
			    "no warrend at %s: nobody listens there any more (is the service running?)", path);
	case EACCES:
	case EPERM:
		return fail(ctl, EXIT_NOT_PERMITTED, "not permitted to use %s: it is for root and the socket's group",
			    path);
	default:
		return fail(ctl, EXIT_NO_DAEMON, "no warrend at %s: %s", path, strerror(err));
	}
}

static int dial(const struct ctl *ctl, const char *path, int *out)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, err = 0;

	if (strlen(path) >= sizeof(address.sun_path))
		return fail(ctl, EXIT_BAD_USAGE, "%s is too long for a socket's path", path);
	memcpy(address.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(ctl, EXIT_NO_DAEMON, "socket: %s", strerror(errno));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		err = errno;
	if (err) {
		close(fd);
		return connect_error(ctl, path, err);
	}
	*out = fd;
	return EXIT_YES;
}

/* ---------------------------------------------------------------- one question, one answer */

struct answer {
	char *text;
	size_t len, capacity;
};

static bool send_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		text += n;
		len -= (size_t)n;
	}
	return true;
}

/* 0 once there is something to read, -ETIMEDOUT, -EINTR if the command is to stop, or another negative errno. */
static int wait_readable(const struct ctl *ctl, int fd, uint64_t deadline_ms)
{
	struct pollfd waits[] = { { .fd = fd, .events = POLLIN },
				  { .fd = ctl->can_stop ? ctl->stop_fd : -1, .events = POLLIN } };

	for (;;) {
		uint64_t now_ms = clock_now_ms();
		int n;

		if (now_ms >= deadline_ms)
			return -ETIMEDOUT;
		n = poll(waits, 2, (int)(deadline_ms - now_ms));
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			return waits[1].revents ? -EINTR : 0;
	}
}

/* 1 with a whole line, 0 at the end without one, or as wait_readable. */
static int receive_line(const struct ctl *ctl, int fd, struct answer *a, uint64_t deadline_ms)
{
	for (;;) {
		int ret = wait_readable(ctl, fd, deadline_ms);
		char *more;
		ssize_t n;

		if (ret < 0)
			return ret;
		if (a->len == a->capacity) {
			if (a->capacity >= CONTROL_ANSWER_MAX_BYTES)
				return -EMSGSIZE;
			a->capacity = a->capacity ? a->capacity * 2 : 16384;
			more = realloc(a->text, a->capacity);
			if (!more)
				return -ENOMEM;
			a->text = more;
		}
		n = recv(fd, a->text + a->len, a->capacity - a->len, 0);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		a->len += (size_t)n;
		if (a->text[a->len - 1] == '\n')
			return 1;
	}
}

/* {"error":{"code","message","nearest"}} in words. */
static int daemon_error(const struct ctl *ctl, const json_t *error)
{
	json_int_t code = json_integer_value(json_object_get(error, "code"));
	const json_t *nearest = json_object_get(error, "nearest");
	char text[1024];
	const char *message = json_string_value(json_object_get(error, "message"));
	const json_t *name;
	size_t i;

	if (!message)
		message = "the daemon refused, without a reason";
	log_escape(text, sizeof(text), message, strlen(message));
	fprintf(ctl->err, "warrenctl: %s", text);
	json_array_foreach(nearest, i, name) {
		char cell[CTL_CELL_BYTES];

		fprintf(ctl->err, "%s%s", i == 0 ? " (did you mean " : ", ", ctl_text(name, cell));
	}
	fprintf(ctl->err, "%s\n", json_array_size(nearest) > 0 ? "?)" : "");
	switch (code) {
	case EXIT_NOT_DIRECT:
	case EXIT_BAD_USAGE:
	case EXIT_NO_DAEMON:
	case EXIT_NOT_PERMITTED:
	case EXIT_BAD_CONFIG:
		return (int)code;
	default:
		return EXIT_NO;
	}
}

static int judge(const struct ctl *ctl, const struct answer *a, const char *path, const char *schema, json_t **out)
{
	json_t *document = json_loadb(a->text, a->len, JSON_REJECT_DUPLICATES, NULL);
	const json_t *error = json_object_get(document, "error");
	const char *is = json_string_value(json_object_get(document, "schema"));
	size_t len = strlen(schema);
	char cell[CTL_CELL_BYTES];
	int code;

	if (json_is_object(error)) {
		code = daemon_error(ctl, error);
	} else if (!is) {
		code = fail(ctl, EXIT_NO_DAEMON, "what answers at %s is no warrend", path);
	} else if (strncmp(is, schema, len) != 0 || strcmp(is + len, "/1") != 0) {
		code = fail(ctl, EXIT_NO_DAEMON, "the daemon answers with %s, and this warrenctl knows %s/1 only",
			    ctl_text(json_object_get(document, "schema"), cell), schema);
	} else {
		*out = document;
		return EXIT_YES;
	}
	json_decref(document);
	return code;
}

static int ask(const struct ctl *ctl, const char *request, const char *schema, unsigned timeout_ms, json_t **out)
{
	struct answer answer = { 0 };
	char path[512];
	int fd = -1, ret, code = find_socket(ctl, path, sizeof(path));

	if (code == EXIT_YES)
		code = dial(ctl, path, &fd);
	if (code != EXIT_YES)
		return code;
	/* Not asked whether it all went: a daemon that has too many clients says so and hangs up first. */
	(void)(send_all(fd, request, strlen(request)) && send_all(fd, "\n", 1));
	ret = receive_line(ctl, fd, &answer, clock_now_ms() + timeout_ms);
	if (ret == 1)
		code = judge(ctl, &answer, path, schema, out);
	else if (ret == -EINTR)
		code = EXIT_NO;
	else if (ret == -ETIMEDOUT)
		code = fail(ctl, EXIT_NO_DAEMON, "warrend at %s did not answer within %u s", path, timeout_ms / 1000);
	else
		code = fail(ctl, EXIT_NO_DAEMON, "warrend at %s hung up without an answer%s%s", path, ret ? ": " : "",
			    ret ? strerror(-ret) : "");
	free(answer.text);
	close(fd);
	return code;
}

int ctl_ask_take(struct ctl *ctl, json_t *request, const char *schema, unsigned timeout_ms, json_t **answer)
{
	char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	int code;

	*answer = NULL;
	json_decref(request);
	if (!text) /* an operand that is no UTF-8 cannot be a name either */
		return fail(ctl, EXIT_BAD_USAGE, "the name is no text");
	code = ask(ctl, text, schema, timeout_ms, answer);
	free(text);
	return code;
}
