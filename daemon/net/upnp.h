/* daemon/net/upnp.h - UPnP IGD by libminiupnpc, whose calls block, on a thread of its own
 *
 * A gateway that answers slowly holds up nobody: after UPNP_TIMEOUT_MS its job is given up and answered with an error, and the thread ends
 * when it ends, with the process at the latest. (libuv's pool would not do: its threads are few, resolve names too, and are waited
 * for at exit.) Devices other than the gateway that call themselves one are not spoken to, wherever their descriptions point.
 * Thread: the loop; the job's thread shares one locked block with it. */
#ifndef DAEMON_NET_UPNP_H
#define DAEMON_NET_UPNP_H

#include <uv.h>

#include "daemon/path/portmap.h"

/* Discovery takes 2 s where nobody answers, an exchange some ms. */
#define UPNP_TIMEOUT_MS 8000

struct upnp;
typedef void upnp_done_fn(void *arg, const struct portmap_upnp_job *answer);

bool upnp_is_built_in(void);
/* -ENOSYS where it is not built in. */
int upnp_open(struct upnp **out, uv_loop_t *loop, upnp_done_fn *fn, void *arg);
/* Calls back from the loop, always, never from here; a job that is under way is not answered any more. */
void upnp_start(struct upnp *u, const struct portmap_upnp_job *job);
/* Before the end: a job that is still looking for a gateway, which none of our mappings can be on then, will not ask it for any, and is
 * not answered. False: there is none, or it is past that. NULL is fine. */
bool upnp_give_up(struct upnp *u);
void upnp_close(struct upnp *u); /* does not wait; NULL is fine */

/* Is the host of this http:// address that IP address? */
bool upnp_url_is_at(const char *url, const struct ip *ip);

#endif
