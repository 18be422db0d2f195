/* ctl/tar.h - a tar archive (POSIX.1-2001 ustar), written to a stream
 *
 * Files only, with names of less than 100 characters; root's, 0644. */
#ifndef CTL_TAR_H
#define CTL_TAR_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

void tar_add(FILE *out, const char *name, const char *data, size_t len, uint64_t time_s);
void tar_end(FILE *out);

#endif
