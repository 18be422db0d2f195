/* daemon/base/hash.h - uthash, without the exit() it has in store for a table that cannot grow
 *
 * An element that there was no memory for is not in the table after HASH_ADD: ask hash_has(). */
#ifndef DAEMON_BASE_HASH_H
#define DAEMON_BASE_HASH_H

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

/* Is the element, just added, in the table of this handle? */
#define hash_has(handle, element) ((element)->handle.tbl != NULL)

#endif
