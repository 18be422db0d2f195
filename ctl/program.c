#include "ctl/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/base/clock.h"

#define PATIENCE_MS 5000
#define OUTPUT_MAX_BYTES (8 << 20)
#define FILE_MAX_BYTES (1 << 20)

/* The child: never returns. Of the environment it has a path and a plain locale. */
static void become(const char *const argv[], int in, int out)
{
	static const char *const directories[] = { "/usr/sbin", "/usr/bin", "/sbin", "/bin" };
	static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin", locale[] = "LC_ALL=C";
	char *const environment[] = { path, locale, NULL };
	int null = open("/dev/null", O_RDWR);
	char file[256];

	if (null < 0 || dup2(in >= 0 ? in : null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
	    dup2(null, STDERR_FILENO) < 0)
		_exit(127);
	for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
		snprintf(file, sizeof(file), "%s/%s", directories[i], argv[0]);
		execve(file, (char *const *)(uintptr_t)argv, environment);
	}
	_exit(127);
}

static bool ended_well(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* All that comes until the end or the deadline; NULL if it is too much, too late, or memory is short. */
static char *read_all(int fd, size_t max, uint64_t deadline_ms, size_t *len)
{
	size_t capacity = 65536, n = 0;
	char *text = malloc(capacity), *more;

	while (text) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		uint64_t now_ms = clock_now_ms();
		ssize_t got;

		if (now_ms >= deadline_ms || poll(&p, 1, (int)(deadline_ms - now_ms)) == 0)
			break;
		got = read(fd, text + n, capacity - n - 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			break;
		n += (size_t)got;
		text[n] = '\0';
		if (got == 0) {
			*len = n;
			return text;
		}
		if (n + 1 < capacity)
			continue;
		more = capacity < max ? realloc(text, capacity * 2) : NULL;
		if (!more)
			break;
		text = more;
		capacity *= 2;
	}
	free(text);
	return NULL;
}

char *program_read(const char *const argv[], size_t *len)
{
	int ends[2];
	char *text;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return NULL;
	pid = fork();
	if (pid == 0)
		become(argv, -1, ends[1]);
	close(ends[1]);
	text = pid > 0 ? read_all(ends[0], OUTPUT_MAX_BYTES, clock_now_ms() + PATIENCE_MS, len) : NULL;
	close(ends[0]);
	if (pid > 0 && !text)
		kill(pid, SIGKILL);
	if (pid > 0 && !ended_well(pid)) {
		free(text);
		return NULL;
	}
	return text;
}

int program_filter(const char *const argv[], int in, int out)
{
	pid_t pid = fork();

	if (pid == 0)
		become(argv, in, out);
	return pid > 0 && ended_well(pid) ? 0 : -1;
}

int program_run(const char *const argv[])
{
	pid_t pid;

	return posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)(uintptr_t)argv, environ) == 0 &&
			       ended_well(pid) ?
		       0 :
		       -1;
}

int program_ask(const char *const argv[], char **words)
{
	int ends[2], status = -1;
	size_t len;
	pid_t pid;

	*words = NULL;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		if (dup2(ends[1], STDOUT_FILENO) >= 0 && dup2(ends[1], STDERR_FILENO) >= 0)
			execv(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	close(ends[1]);
	*words = pid > 0 ? read_all(ends[0], OUTPUT_MAX_BYTES, clock_now_ms() + PATIENCE_MS, &len) : NULL;
	close(ends[0]);
	if (pid > 0 && !*words)
		kill(pid, SIGKILL);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (*words && WIFEXITED(status) && WEXITSTATUS(status) != 127)
		return WEXITSTATUS(status);
	free(*words);
	*words = NULL;
	return -1;
}

char *program_file(const char *path, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char *text;

	if (fd < 0)
		return NULL;
	text = read_all(fd, FILE_MAX_BYTES, clock_now_ms() + PATIENCE_MS, len);
	close(fd);
	return text;
}
