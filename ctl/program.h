/* ctl/program.h - other programs, without a shell
 *
 * For `doctor` and `bugreport`, which look at what ip and nft say, `join`, which has systemctl start a service, and `config check`,
 * which asks the daemon's program. */
#ifndef CTL_PROGRAM_H
#define CTL_PROGRAM_H

#include <stddef.h>

/* Runs argv[0], found in the usual directories, with nothing on its standard input; it has 5 seconds. Returns what it wrote on
 * standard output, which the caller frees and behind whose *len bytes stands a NUL; NULL if it cannot be run, or failed. */
char *program_read(const char *const argv[], size_t *len);
/* Runs it with descriptors for its input and output. 0 if it ended well, else -1. */
int program_filter(const char *const argv[], int in, int out);
/* Runs it as a shell would, with this program's environment and output, for as long as it takes. 0 if it ended well, else -1. */
int program_run(const char *const argv[]);
/* Runs the program argv[0], a path, with this program's environment; it has 5 seconds. Its exit code, with all that it wrote in
 * *words, which the caller frees; -1 if it cannot be run, or was ended by a signal. */
int program_ask(const char *const argv[], char **words);
/* A file's whole text, at most 1 MiB of it; NULL if it cannot be read. The caller frees it. */
char *program_file(const char *path, size_t *len);

#endif
