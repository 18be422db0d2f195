/* daemon/config/config_source.h - files -> libconfuse's tree, every value with the file and line it came from
 *
 * Reads FILE, what it includes, then FILE.d/ *.conf by name, into one tree; a later value replaces an earlier one. All
 * values arrive as text (struct config_text in the option's `ptr`), so that one place judges them and says so in one
 * style. Sections are "multi": cfg_size() tells whether one was written at all.
 * Thread: loop; libconfuse's scanner is global, so only one load at a time.  Internal to config/. */
#ifndef DAEMON_CONFIG_CONFIG_SOURCE_H
#define DAEMON_CONFIG_CONFIG_SOURCE_H

#include <confuse.h>
#include <stddef.h>

#define CONFIG_FILE_MAX_BYTES (8u << 20) /* some 50000 members */
#define CONFIG_FILES_MAX 256
#define CONFIG_INCLUDE_DEPTH_MAX 8

struct config_text {      /* one value as it was written; freed with the tree */
	const char *file; /* owned by the source */
	int line;
	char text[];
};

struct config_source {
	cfg_t *root;
	char *error; /* borrowed; CONFIG_ERROR_BYTES; "" until something failed */
	unsigned n_files, depth;
	char *files[CONFIG_FILES_MAX];
};

/* 0, or -1 with a line in `error`; either way config_source_close() is due. */
int config_source_open(struct config_source *s, const char *path, char *error);
void config_source_close(struct config_source *s);

/* The file that a section or the tree's end was read from. */
const char *config_source_file(const cfg_t *section);

/* Writes "FILE:LINE: words", unless an earlier error is there already; the first is the cause. Returns -1. */
int config_fail(char *error, const char *file, int line, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* `text` in quotes, fit for an error; what is long or could be a key is not shown. Returns out. */
#define CONFIG_QUOTE_BYTES 80
const char *config_quote(const char *text, char out[static CONFIG_QUOTE_BYTES]);

/* Blanks out comments (so that libconfuse, which miscounts lines in some, never sees one) and finds what it would
 * swallow in silence: a quote or comment that is not closed, bytes that are no text. `text` ends with a NUL at `len`.
 * NULL, or the words, with the line in *line. */
const char *config_scan(char *text, size_t len, int *line);

#endif
