#include "daemon/net/gso.h"

#include <string.h>

#include "daemon/base/log.h"

struct state {
	bool is_on;
	int error;
};

static void ask(void *arg, struct udp *udp)
{
	struct state *all = arg;
	int error;

	all->is_on &= udp_has_gso(udp, &error);
	if (error)
		all->error = error;
}

static void retry(void *arg, struct udp *udp)
{
	(void)arg;
	udp_retry_gso(udp);
}

bool gso_is_on(const struct gso *g, int *error)
{
	struct state all = { .is_on = true };

	g->sockets(g->owner, ask, &all);
	*error = all.error;
	return all.is_on;
}

void gso_refused(struct gso *g, uint16_t port)
{
	int error;

	gso_is_on(g, &error);
	if (!error || g->is_told)
		return;
	g->is_told = true;
	log_warn("UDP port %u: the kernel refuses trains (UDP_SEGMENT: %s): datagrams are sent one by one "
		 "until the network changes",
		 port, strerror(error));
}

void gso_retry(struct gso *g, bool is_worth_a_line)
{
	g->sockets(g->owner, retry, NULL);
	if (is_worth_a_line)
		g->is_told = false;
}
