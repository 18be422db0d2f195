/* daemon/base/dirs.h - a directory, made with those above it
 *
 * Thread: any. */
#ifndef DAEMON_BASE_DIRS_H
#define DAEMON_BASE_DIRS_H

#include <sys/types.h>

/* Makes the directory `path` with `mode`, and what is missing above it open to all (0755), both less the umask: the
 * directory above is shared with daemons of other users. What is there stays as it is. 0, or a negative errno: -ENOTDIR
 * where a part of the path is a file. */
int dirs_make(const char *path, mode_t mode);

#endif
