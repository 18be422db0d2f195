/* daemon/coordinator/introduced.h - whom a member was introduced to: who is told when it goes or restarts
 *
 * At most INTRODUCED_MAX ids; the one introduced longest ago gives way. Thread: one. */
#ifndef DAEMON_COORDINATOR_INTRODUCED_H
#define DAEMON_COORDINATOR_INTRODUCED_H

#include <stdbool.h>
#include <stdint.h>

#define INTRODUCED_MAX 256

struct introduced {    /* zeroed: empty */
	uint32_t *ids; /* oldest first */
	unsigned n, capacity;
};

void introduced_fini(struct introduced *s);
/* Adds an id, or makes it the newest. -ENOMEM. */
int introduced_add(struct introduced *s, uint32_t id);
void introduced_remove(struct introduced *s, uint32_t id);
bool introduced_has(const struct introduced *s, uint32_t id);

#endif
