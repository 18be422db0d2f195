/* daemon/base/log.h - log lines on stderr
 *
 * A line is subject, event, values with units; never a secret. error: the operator must act; warn: degraded but
 * going on; info: a change of state; debug: rate-limited detail. Under systemd ($JOURNAL_STREAM matches stderr)
 * lines carry "<N>" priorities and no time, else an ISO time and the level. Every byte that is not printable
 * ASCII is written as \xNN, so a hostile name stays on its line. At most 10 lines a second per level below
 * error, then one line says how many were left out.
 * Thread: any (one write per line). The level, the rate limiter and the latest lines are this module's only
 * globals. */
#ifndef DAEMON_BASE_LOG_H
#define DAEMON_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG
};

void log_set_level(enum log_level level); /* LOG_LEVEL_INFO at start */
enum log_level log_get_level(void);
int log_level_from_text(const char *text, enum log_level *out); /* -EINVAL */
const char *log_level_name(enum log_level level);

void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The latest lines, as they are written where there is no journal, oldest first: whole lines, at most 2000 of them and
 * LOG_RECENT_BYTES. Only those that came since *since, which becomes what to give the next time; 0, or what another process
 * gave: all that are kept. *has_missed: there were more, and older ones. Ends with a NUL; `out` has room for
 * LOG_RECENT_BYTES + 1. Returns the length. */
#define LOG_RECENT_BYTES (256 * 1024)
size_t log_recent(char *out, uint64_t *since, bool *has_missed);

/* Writes text as log lines show it, cut where the next byte does not fit, with a NUL. Returns the length without it.
 * `capacity` is at least 1. */
size_t log_escape(char *out, size_t capacity, const char *text, size_t len);

#endif
