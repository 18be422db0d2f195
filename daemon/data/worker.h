/* daemon/data/worker.h - one thread that moves packets
 *
 * A worker has a loop of its own, on which its TUN queue and its UDP socket are polled. It is started once the node's parts are
 * open and stopped before they are closed.
 * Thread: start and stop by the loop. */
#ifndef DAEMON_DATA_WORKER_H
#define DAEMON_DATA_WORKER_H

#include <uv.h>

#include "daemon/base/mailbox.h"
#include "daemon/data/lane.h"

struct worker;

/* `lane` is a template: its number, queue, tables, udp, tun and counters are taken; its mail goes to `box`, and `wake` is signalled
 * when the box was empty. Negative errno. */
int worker_start(struct worker **out, const struct lane *lane, size_t mtu_bytes, struct mailbox *box, uv_async_t *wake);
/* As thread_ask(). */
bool worker_ask(struct worker *w);
void worker_stop(struct worker *w); /* returns when the thread has ended; NULL is fine */

#endif
