#include "daemon/coordinator/surroundings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/base/looks.h"
#include "daemon/net/ifaces.h"
#include "daemon/net/loop.h"
#include "tun/netlink.h"

struct surroundings {
	char bind_interface[IFNAMSIZ];
	surroundings_fn *fn;
	void *arg;
	struct netlink_watch changes;
	struct loop_watch *watch;
	struct loop_timer *timer;
	struct looks looks;
	struct ifaces ifaces;
};

/* True: the addresses are others. */
static bool read_interfaces(struct surroundings *s)
{
	struct ifaces now;

	if (ifaces_read(&now, 0, s->bind_interface, NULL, 0) < 0 ||
	    (now.n == s->ifaces.n && memcmp(now.v, s->ifaces.v, now.n * sizeof(now.v[0])) == 0))
		return false;
	s->ifaces = now;
	return true;
}

static void on_due(void *arg)
{
	struct surroundings *s = arg;
	bool is_moved;

	looks_begin(&s->looks, clock_now_ms());
	is_moved = read_interfaces(s);
	looks_end(&s->looks, is_moved);
	s->fn(s->arg, is_moved);
}

static void on_change(void *arg, int fd)
{
	struct surroundings *s = arg;

	(void)fd;
	if (!netlink_watch_drain(&s->changes))
		return;
	looks_want(&s->looks, clock_now_ms());
	loop_timer_set(s->timer, s->looks.due_ms);
}

int surroundings_open(struct surroundings **out, uv_loop_t *loop, const char *bind_interface, surroundings_fn *fn,
		      void *arg)
{
	struct surroundings *s = calloc(1, sizeof(*s));
	int ret;

	if (!s)
		return -ENOMEM;
	snprintf(s->bind_interface, sizeof(s->bind_interface), "%s", bind_interface);
	s->fn = fn;
	s->arg = arg;
	looks_init(&s->looks);
	ret = netlink_watch_open(&s->changes);
	if (ret == 0)
		ret = loop_watch_open(&s->watch, loop, s->changes.fd, on_change, s);
	if (ret == 0)
		ret = loop_timer_open(&s->timer, loop, on_due, s);
	if (ret < 0) {
		surroundings_close(s);
		return ret;
	}
	read_interfaces(s);
	*out = s;
	return 0;
}

void surroundings_close(struct surroundings *s)
{
	if (!s)
		return;
	loop_timer_close(s->timer);
	if (s->watch)
		loop_watch_close(s->watch);
	netlink_watch_close(&s->changes);
	free(s);
}
