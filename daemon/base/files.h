/* daemon/base/files.h - small files, read whole and replaced whole
 *
 * Thread: any.  Errors: negative errno. */
#ifndef DAEMON_BASE_FILES_H
#define DAEMON_BASE_FILES_H

#include <stddef.h>

/* Reads the whole file. Its length, or -EFBIG if it is longer than `capacity`. */
int files_read(const char *path, void *out, size_t capacity);

/* Makes `dir`/`name` (0600) hold these bytes: written aside, synced and renamed, so that a full disk or a crash leaves the old
 * file whole. `dir` is there. */
int files_replace(const char *dir, const char *name, const void *data, size_t len);

/* A file that is of no use, though perhaps to whoever wants to know why: it becomes `name`.bad, in place of an older one. */
int files_set_aside(const char *dir, const char *name);

/* What was made, renamed and removed in the directory stays so after a crash. */
int files_sync_dir(const char *dir);

#endif
