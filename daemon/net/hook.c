#include "daemon/net/hook.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/net/loop.h"

static char path_variable[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

struct hook {
	uv_loop_t *loop;
	const char *what;
	char *program;
	unsigned run_ms;
	struct loop_timer *timer;
	char *text;      /* not told yet */
	uint64_t due_ms; /* of telling it; 0: nothing waits */
	pid_t pid;       /* 0: nothing runs */
	int pid_fd;      /* readable when it has ended */
	struct loop_watch *watch;
	uint64_t kill_ms;
	bool is_killed;
	bool is_closing;
	struct hook_result result;
};

/* ---------------------------------------------------------------- a child */

/* In the child: only what is safe between fork and exec in a program with threads. Does not return. */
static void become(const char *program, int input, int report)
{
	char *const argv[] = { (char *)(uintptr_t)program, NULL }, *const environment[] = { path_variable, NULL };
	struct sigaction normal = { .sa_handler = SIG_DFL };
	sigset_t none;
	int error;

	setsid(); /* a group of its own, to be killed as one */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	sigaction(SIGPIPE, &normal, NULL); /* what is ignored stays so, what is caught does not */
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (dup2(input, STDIN_FILENO) == STDIN_FILENO && dup2(STDERR_FILENO, STDOUT_FILENO) == STDOUT_FILENO &&
	    chdir("/") == 0) {
		/* All of ours are closed on exec anyway; a library's, opened by a thread just now, may not be. */
		syscall(SYS_close_range, STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
		execve(program, argv, environment);
	}
	error = errno;
	(void)!write(report, &error, sizeof(error));
	_exit(127);
}

/* Starts it with `text` on its input. The process, or a negative errno. */
static pid_t start(const char *program, const char *text)
{
	int input[2] = { -1, -1 }, report[2] = { -1, -1 }, error = 0;
	size_t len = strlen(text);
	pid_t pid = -1;

	if (pipe2(input, O_CLOEXEC) < 0 || pipe2(report, O_CLOEXEC) < 0) {
		error = errno;
		goto out;
	}
	if (len > HOOK_TEXT_MAX_BYTES || write(input[1], text, len) != (ssize_t)len) {
		error = EMSGSIZE;
		goto out;
	}
	pid = fork();
	if (pid == 0)
		become(program, input[0], report[1]);
	if (pid < 0) {
		error = errno;
		goto out;
	}
	close(report[1]);
	report[1] = -1;
	/* Its copy of the pipe closes at exec, so this takes as long as that does. */
	while (read(report[0], &error, sizeof(error)) < 0 && errno == EINTR)
		;
	if (error)
		waitpid(pid, NULL, 0);
out:
	for (int i = 0; i < 2; i++) {
		if (input[i] >= 0)
			close(input[i]);
		if (report[i] >= 0)
			close(report[i]);
	}
	return error ? -error : pid;
}

/* Others than its owner, us or root, must not be able to change what we run. NULL, or what is wrong. */
static const char *fault_of(const char *program)
{
	struct stat st;

	if (stat(program, &st) < 0)
		return strerror(errno);
	if (!S_ISREG(st.st_mode))
		return "it is no file";
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) || (st.st_uid != 0 && st.st_uid != geteuid()))
		return "others than root and the daemon's user may write it";
	return NULL;
}

/* ---------------------------------------------------------------- one at a time */

static void settle(struct hook *h)
{
	loop_timer_set(h->timer, h->pid && !h->is_killed ? h->kill_ms : !h->pid && h->due_ms ? h->due_ms : UINT64_MAX);
}

static void failed(struct hook *h, const char *words)
{
	snprintf(h->result.error, sizeof(h->result.error), "%s", words);
	log_warn("%s: %s: %s", h->what, h->program, words);
}

static void free_now(struct hook *h)
{
	if (h->timer)
		loop_timer_close(h->timer);
	free(h->text);
	free(h->program);
	free(h);
}

static void judge(struct hook *h, int status)
{
	char words[64];

	h->result.error[0] = '\0';
	if (h->is_killed)
		snprintf(words, sizeof(words), "killed after %g s", h->run_ms / 1000.0);
	else if (WIFSIGNALED(status))
		snprintf(words, sizeof(words), "ended by signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status) != 0)
		snprintf(words, sizeof(words), "exit code %d", WEXITSTATUS(status));
	else
		return;
	if (!h->is_closing)
		failed(h, words);
}

static void on_ended(void *arg, int fd)
{
	struct hook *h = arg;
	siginfo_t ended = { 0 };
	int status = 0;

	if (waitid(P_PID, (id_t)h->pid, &ended, WEXITED | WNOHANG | WNOWAIT) < 0 || ended.si_pid != h->pid)
		return;
	kill(-h->pid, SIGKILL); /* what it left behind; its number is nobody else's before it is reaped */
	waitpid(h->pid, &status, 0);
	loop_watch_close(h->watch);
	close(fd);
	h->watch = NULL;
	h->pid = 0;
	judge(h, status);
	if (h->is_closing)
		free_now(h);
	else
		settle(h);
}

static void end(struct hook *h)
{
	h->is_killed = true;
	kill(-h->pid, SIGKILL);
}

static void run(struct hook *h)
{
	const char *fault = fault_of(h->program);
	char *text = h->text;
	pid_t pid = -EPERM;

	h->text = NULL;
	h->due_ms = 0;
	h->result.begun_ms = clock_now_ms();
	h->result.n_runs++;
	if (!fault)
		pid = start(h->program, text);
	free(text);
	if (pid < 0) {
		failed(h, fault ? fault : strerror(-pid));
		return;
	}
	h->pid = pid;
	h->is_killed = false;
	h->kill_ms = h->result.begun_ms + h->run_ms;
	h->pid_fd = (int)syscall(SYS_pidfd_open, pid, 0); /* closed on exec */
	if (h->pid_fd >= 0 && loop_watch_open(&h->watch, h->loop, h->pid_fd, on_ended, h) == 0)
		return;
	failed(h, "cannot be watched, and so not be run");
	kill(-pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (h->pid_fd >= 0)
		close(h->pid_fd);
	h->pid = 0;
}

static void on_timer(void *arg)
{
	struct hook *h = arg;
	uint64_t now_ms = clock_now_ms();

	if (h->pid && now_ms >= h->kill_ms)
		end(h);
	else if (!h->pid && h->due_ms && now_ms >= h->due_ms)
		run(h);
	settle(h);
}

int hook_open(struct hook **out, uv_loop_t *loop, const char *what, const char *program, unsigned run_ms)
{
	struct hook *h = calloc(1, sizeof(*h));
	int ret = -ENOMEM;

	*out = NULL;
	if (!h)
		return ret;
	h->loop = loop;
	h->what = what;
	h->run_ms = run_ms;
	h->program = strdup(program);
	if (h->program)
		ret = loop_timer_open(&h->timer, loop, on_timer, h);
	if (ret < 0) {
		free_now(h);
		return ret;
	}
	*out = h;
	return 0;
}

void hook_tell_take(struct hook *h, char *text)
{
	free(h->text);
	h->text = text;
	if (!h->due_ms)
		h->due_ms = clock_now_ms() + HOOK_SETTLE_MS;
	settle(h);
}

const struct hook_result *hook_last(const struct hook *h)
{
	return &h->result;
}

void hook_close(struct hook *h)
{
	if (!h || h->is_closing)
		return;
	h->is_closing = true;
	h->due_ms = 0;
	if (!h->pid) {
		free_now(h);
		return;
	}
	end(h);
	settle(h);
}
