#include "daemon/base/log.h"
#include "daemon/base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_TEXT_BYTES 1024 /* longer text is cut */
#define LINES_PER_SECOND 10

static const char *const level_names[] = { "error", "warn", "info", "debug" };
static const int priorities[] = { 3, 4, 6, 7 }; /* syslog(3)'s, which sd-daemon(3) reads back */

static _Atomic int max_level = LOG_LEVEL_INFO;

static struct {
	pthread_mutex_t lock;
	struct {
		uint64_t since_ms; /* start of the second being counted */
		unsigned n_lines, n_left_out;
	} level[LOG_LEVEL_DEBUG + 1];
} limiter = { .lock = PTHREAD_MUTEX_INITIALIZER };

#define RECENT_LINES 2000

static struct {
	pthread_mutex_t lock;
	uint64_t n_written;          /* bytes since the start; where the next one goes */
	uint64_t base;               /* what log_recent()'s positions begin with; 0: nobody asked yet */
	char text[LOG_RECENT_BYTES]; /* only touched pages count */
} recent = { .lock = PTHREAD_MUTEX_INITIALIZER };

static pthread_once_t find_journal_once = PTHREAD_ONCE_INIT;
static bool to_journal;

/* systemd tells which device and inode the journal's end of stderr has (systemd.exec(5)). */
static void find_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char own[64];
	struct stat st;

	if (!stream || fstat(STDERR_FILENO, &st) < 0)
		return;
	snprintf(own, sizeof(own), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	to_journal = strcmp(stream, own) == 0;
}

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&max_level, (int)level, memory_order_relaxed);
}

enum log_level log_get_level(void)
{
	return (enum log_level)atomic_load_explicit(&max_level, memory_order_relaxed);
}

const char *log_level_name(enum log_level level)
{
	return level_names[level];
}

int log_level_from_text(const char *text, enum log_level *out)
{
	for (unsigned i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
		if (strcmp(text, level_names[i]) == 0) {
			*out = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

size_t log_escape(char *out, size_t capacity, const char *text, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		bool plain = c >= 0x20 && c < 0x7f;

		if (capacity - n <= (plain ? 1u : 4u)) /* room for the NUL besides */
			break;
		if (plain) {
			out[n++] = (char)c;
			continue;
		}
		out[n++] = '\\';
		out[n++] = 'x';
		out[n++] = hex[c >> 4];
		out[n++] = hex[c & 15];
	}
	out[n] = '\0';
	return n;
}

static void remember(const char *line, size_t len)
{
	size_t at, first;

	pthread_mutex_lock(&recent.lock);
	at = (size_t)(recent.n_written % LOG_RECENT_BYTES);
	first = len < LOG_RECENT_BYTES - at ? len : LOG_RECENT_BYTES - at;
	memcpy(recent.text + at, line, first);
	memcpy(recent.text, line + first, len - first);
	recent.n_written += len;
	pthread_mutex_unlock(&recent.lock);
}

/* Where the last RECENT_LINES lines begin. */
static const char *last_lines(const char *text, size_t len)
{
	unsigned n = 0;

	for (size_t i = len; i > 0; i--)
		if (text[i - 1] == '\n' && n++ == RECENT_LINES)
			return text + i;
	return text;
}

/* Of the text, whose end is what was written last, the part that came since then. */
static const char *lines_since(const char *text, size_t len, uint64_t since, uint64_t n_written)
{
	return n_written - since > len ? text : text + (len - (size_t)(n_written - since));
}

/* Bytes of ours that were written at that position; none where it is another process's. Positions of a process begin beyond those of the
 * one before, which wrote less than 2 KiB a millisecond: a new one may soon have written as much as the old one had. */
static uint64_t written_at(uint64_t position)
{
	if (recent.base == 0)
		recent.base = clock_wall_ms() * 2048;
	return position >= recent.base && position - recent.base <= recent.n_written ? position - recent.base : 0;
}

size_t log_recent(char *out, uint64_t *since, bool *has_missed)
{
	const char *start = out, *kept;
	uint64_t n_written, from;
	size_t len, at;

	pthread_mutex_lock(&recent.lock);
	from = written_at(*since);
	n_written = recent.n_written;
	*since = recent.base + n_written;
	at = (size_t)(recent.n_written % LOG_RECENT_BYTES);
	if (recent.n_written < LOG_RECENT_BYTES) {
		len = at;
		memcpy(out, recent.text, len);
	} else {
		len = LOG_RECENT_BYTES;
		memcpy(out, recent.text + at, LOG_RECENT_BYTES - at);
		memcpy(out + LOG_RECENT_BYTES - at, recent.text, at);
		start = (const char *)memchr(out, '\n', len) + 1; /* the first one was overwritten in part */
	}
	pthread_mutex_unlock(&recent.lock);
	kept = last_lines(start, len - (size_t)(start - out));
	len -= (size_t)(kept - out);
	start = lines_since(kept, len, from, n_written);
	len -= (size_t)(start - kept);
	*has_missed = from > 0 && n_written - from > len;
	memmove(out, start, len);
	out[len] = '\0';
	return len;
}

static void write_line(enum log_level level, const char *text)
{
	char line[64 + 4 * LINE_TEXT_BYTES], at[CLOCK_TEXT_BYTES];
	size_t head, n;

	pthread_once(&find_journal_once, find_journal);
	head = n = (size_t)snprintf(line, sizeof(line), "%s %s: ", clock_text(clock_now_ms(), at), level_names[level]);
	n += log_escape(line + n, sizeof(line) - n - 1, text, strlen(text));
	line[n++] = '\n';
	remember(line, n);
	/* The journal has the time already, and takes the level as a number: it goes where these stand. */
	if (to_journal) {
		char priority[8];
		size_t len = (size_t)snprintf(priority, sizeof(priority), "<%d>", priorities[level]);

		memcpy(line + head - len, priority, len);
		head -= len;
	} else {
		head = 0;
	}
	/* One write, so that the lines of two threads do not mix. Nobody is left to be told of a failure. */
	if (write(STDERR_FILENO, line + head, n - head) < 0)
		return;
}

/* Is there room for another line of this level? Sets n_left_out to how many had none in the second that ended. */
static bool admit(enum log_level level, unsigned n_left_out[static LOG_LEVEL_DEBUG + 1])
{
	uint64_t now_ms = clock_now_ms();
	bool admitted = true;

	pthread_mutex_lock(&limiter.lock);
	for (int i = LOG_LEVEL_WARN; i <= LOG_LEVEL_DEBUG; i++) {
		n_left_out[i] = 0;
		if (now_ms - limiter.level[i].since_ms < 1000)
			continue;
		n_left_out[i] = limiter.level[i].n_left_out;
		limiter.level[i].since_ms = now_ms;
		limiter.level[i].n_lines = 0;
		limiter.level[i].n_left_out = 0;
	}
	if (level > LOG_LEVEL_ERROR) {
		admitted = limiter.level[level].n_lines < LINES_PER_SECOND;
		if (admitted)
			limiter.level[level].n_lines++;
		else
			limiter.level[level].n_left_out++;
	}
	pthread_mutex_unlock(&limiter.lock);
	return admitted;
}

__attribute__((format(printf, 2, 0))) static void log_at(enum log_level level, const char *fmt, va_list args)
{
	unsigned n_left_out[LOG_LEVEL_DEBUG + 1];
	char text[LINE_TEXT_BYTES];
	bool admitted;

	if ((int)level > atomic_load_explicit(&max_level, memory_order_relaxed))
		return;
	admitted = admit(level, n_left_out);
	for (int i = LOG_LEVEL_WARN; i <= LOG_LEVEL_DEBUG; i++) {
		if (n_left_out[i] == 0)
			continue;
		snprintf(text, sizeof(text), "log: %u lines of level %s left out", n_left_out[i], level_names[i]);
		write_line((enum log_level)i, text);
	}
	if (!admitted || vsnprintf(text, sizeof(text), fmt, args) < 0)
		return;
	write_line(level, text);
}

#define LOG_FUNCTION(name, level)         \
	void name(const char *fmt, ...)   \
	{                                 \
		va_list args;             \
                                          \
		va_start(args, fmt);      \
		log_at(level, fmt, args); \
		va_end(args);             \
	}

LOG_FUNCTION(log_error, LOG_LEVEL_ERROR)
LOG_FUNCTION(log_warn, LOG_LEVEL_WARN)
LOG_FUNCTION(log_info, LOG_LEVEL_INFO)
LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG)
