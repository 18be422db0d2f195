/* daemon/coordinator/introduced.h - whom a member was introduced to: who is told when it goes or restarts
 *
 * And by what kind of path it reaches each, as it says. At most INTRODUCED_MAX; the one introduced longest ago gives way.
 * Thread: one. */
#ifndef DAEMON_COORDINATOR_INTRODUCED_H
#define DAEMON_COORDINATOR_INTRODUCED_H

#include <stdbool.h>
#include <stdint.h>

#define INTRODUCED_MAX 256
#define INTRODUCED_PATH_UNKNOWN UINT8_MAX

struct introduction {
	uint32_t id;
	uint8_t path; /* enum control_path, or INTRODUCED_PATH_UNKNOWN: it said nothing */
};

struct introduced {             /* zeroed: empty */
	struct introduction *v; /* oldest first */
	unsigned n, capacity;
};

void introduced_fini(struct introduced *s);
/* Adds an id, or makes it the newest. -ENOMEM. */
int introduced_add(struct introduced *s, uint32_t id);
void introduced_remove(struct introduced *s, uint32_t id);
bool introduced_has(const struct introduced *s, uint32_t id);
/* Nothing happens for an id that is not there. */
void introduced_set_path(struct introduced *s, uint32_t id, uint8_t path);
uint8_t introduced_path(const struct introduced *s, uint32_t id);
void introduced_forget_paths(struct introduced *s);

#endif
