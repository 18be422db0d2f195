/* daemon/base/nearest.h - which of the known words was meant
 *
 * Thread: any. */
#ifndef DAEMON_BASE_NEAREST_H
#define DAEMON_BASE_NEAREST_H

#include <stddef.h>

#define NEAREST_WORD_MAX_BYTES 32

/* Changes between two words: a letter added, left out or replaced, or two neighbours swapped; case does not count.
 * NEAREST_WORD_MAX_BYTES + 1 when either word is longer than that. */
size_t nearest_distance(const char *a, const char *b);

/* Whether `known` is close enough to `word` to be worth naming: a third of its letters may differ, and at least two. */
int nearest_is_close(const char *word, const char *known);

#endif
