/* daemon/data/spares.h - UDP sockets beside the node's port
 *
 * A search through a NAT that changes ports (path/punch.h) sends from many sockets and keeps the one that was answered.
 * A spare socket's number stands in struct path_addr and is not soon given again. Its receive side is the loop's; workers send
 * on it by the reference that their table holds, so it stays open until no table names it.
 * Thread: loop; spare_ref and spare_unref: any. */
#ifndef DAEMON_DATA_SPARES_H
#define DAEMON_DATA_SPARES_H

#include <stdatomic.h>
#include <uv.h>

#include "daemon/net/udp.h"

/* One search's sockets, and those that earlier ones found a path with. */
#define SPARES_MAX 320

struct spare {
	struct udp udp;
	uint16_t number; /* never 0 */
	_Atomic uint32_t refs;
};
struct spare *spare_ref(struct spare *s);
void spare_unref(struct spare *s); /* closes the socket with the last; NULL is fine */

struct spares;
typedef void spares_fn(void *arg, struct spare *s);

/* Sockets are opened with `options`, but for the port, which the kernel draws. `fn`: there is something to read. NULL: memory. */
struct spares *spares_new(uv_loop_t *loop, const struct udp_options *options, spares_fn *fn, void *arg);
void spares_free(struct spares *s); /* closes all; NULL is fine */

/* The new socket's number, or -EMFILE at SPARES_MAX, or what the kernel says. */
int spares_open(struct spares *s);
void spares_close(struct spares *s, uint16_t number);
struct spare *spares_find(const struct spares *s, uint16_t number); /* NULL: none */
unsigned spares_count(const struct spares *s);
/* Closes those that `is_used` does not claim. */
void spares_sweep(struct spares *s, bool (*is_used)(void *arg, uint16_t number), void *arg);
void spares_each(const struct spares *s, spares_fn *fn, void *arg); /* fn opens and closes none */

#endif
