/* daemon/net/loop.h - the small adapters to libuv: one timer, one readable descriptor, one resolver
 *
 * Handles are freed by the loop after _close, once the callback at hand has returned.
 * Thread: the loop they belong to. */
#ifndef DAEMON_NET_LOOP_H
#define DAEMON_NET_LOOP_H

#include <uv.h>

#include "daemon/base/addr.h"

/* One timer for all decisions: armed for the earliest instant that any of them named. */
struct loop_timer;
typedef void loop_timer_fn(void *arg);
int loop_timer_open(struct loop_timer **out, uv_loop_t *loop, loop_timer_fn *fn, void *arg);
/* Fires once at clock_now_ms() >= at_ms (CLOCK_BOOTTIME: at the wake-up, if the instant passed in suspend);
 * UINT64_MAX: not at all. Replaces what was set. */
void loop_timer_set(struct loop_timer *t, uint64_t at_ms);
void loop_timer_close(struct loop_timer *t);

/* Calls fn while fd is readable or has an error to be read. Does not own fd; close the watch before the fd. */
struct loop_watch;
typedef void loop_watch_fn(void *arg, int fd);
int loop_watch_open(struct loop_watch **out, uv_loop_t *loop, int fd, loop_watch_fn *fn, void *arg);
void loop_watch_close(struct loop_watch *w);

/* Resolves a name or numeric address ("[...]" around IPv6 is fine), on libuv's threads; calls back on the loop with up
 * to 8 endpoints in the resolver's order, or n = 0 and a negative UV_EAI error. A cancelled resolve does not call
 * back. */
struct loop_resolve;
#define LOOP_RESOLVE_MAX 8
typedef void loop_resolve_fn(void *arg, const struct endpoint *v, unsigned n, int error);
int loop_resolve_start(struct loop_resolve **out, uv_loop_t *loop, const char *host, uint16_t port, loop_resolve_fn *fn,
		       void *arg);
void loop_resolve_cancel(struct loop_resolve *r); /* NULL is fine; never after its callback */

#endif
