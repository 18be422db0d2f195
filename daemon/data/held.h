/* daemon/data/held.h - inner packets held back until they can be sent
 *
 * A short bounded queue, oldest out: for a peer whose session is being made, or an address that is being looked up.
 * Thread: loop. */
#ifndef DAEMON_DATA_HELD_H
#define DAEMON_DATA_HELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HELD_PACKETS_MAX 128
#define HELD_BYTES_MAX (256 * 1024)

struct held;
typedef void held_fn(void *arg, const uint8_t *packet, size_t len);

struct held *held_new(void);
void held_free(struct held *h); /* NULL is fine */
/* Copies. Returns how many older packets had to go; -ENOMEM. */
int held_add(struct held *h, const uint8_t *packet, size_t len);
bool held_is_empty(const struct held *h);
/* Hands over and forgets all, oldest first; fn must not add. */
void held_drain(struct held *h, held_fn *fn, void *arg);

#endif
