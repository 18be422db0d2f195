/* daemon/coordinator/surroundings.h - the coordinator's own network: tells when it changes
 *
 * Thread: loop. */
#ifndef DAEMON_COORDINATOR_SURROUNDINGS_H
#define DAEMON_COORDINATOR_SURROUNDINGS_H

#include <stdbool.h>
#include <uv.h>

struct surroundings;
/* Something is other than at the last call, or was meanwhile; `is_moved`: the own addresses are others. */
typedef void surroundings_fn(void *arg, bool is_moved);

/* With bind_interface, unless it is "", only that link's addresses count. 0 or negative errno. */
int surroundings_open(struct surroundings **out, uv_loop_t *loop, const char *bind_interface, surroundings_fn *fn,
		      void *arg);
void surroundings_close(struct surroundings *s); /* NULL is fine */

#endif
