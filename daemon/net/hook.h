/* daemon/net/hook.h - a program that is told of a change
 *
 *   idle --told--> waits HOOK_SETTLE_MS --> runs --ends, or is killed after run_ms--> idle, or waits, if told meanwhile
 * What it is told replaces what it was not told yet, so that of a burst of changes it hears the last, and at most one runs at a time.
 * It gets one document on its standard input, and no arguments, no shell, no environment but PATH, no capability, no descriptor of ours
 * but the log for what it prints. It is killed with all it started. What anybody could have written is not run.
 * Thread: loop. */
#ifndef DAEMON_NET_HOOK_H
#define DAEMON_NET_HOOK_H

#include <uv.h>

#define HOOK_SETTLE_MS 500
/* What a pipe takes at once, so that nobody waits for the reader. */
#define HOOK_TEXT_MAX_BYTES 65536

struct hook;

struct hook_result {
	unsigned n_runs;
	uint64_t begun_ms; /* the last; 0: none yet */
	char error[128];   /* of the last that ended; "": it went well */
};

/* `what` names it in the log, and stays the caller's. */
int hook_open(struct hook **out, uv_loop_t *loop, const char *what, const char *program, unsigned run_ms);
/* Takes the text, which free() can free. */
void hook_tell_take(struct hook *h, char *text);
const struct hook_result *hook_last(const struct hook *h);
/* Kills what runs; is gone when that has ended. NULL is fine. */
void hook_close(struct hook *h);

#endif
