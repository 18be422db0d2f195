/* daemon/net/ways.h - which ways the kernel sends, and whether they are others than before
 *
 * A look asks the kernel for the ways to some addresses, and mixes what concerns us (link, source, next router, MTU, and whether the
 * link was down meanwhile) into a mark: it is another when any of the ways is. So changes of routes, metrics, links and addresses count
 * where they matter to us, and nowhere else.
 * Thread: loop. */
#ifndef DAEMON_NET_WAYS_H
#define DAEMON_NET_WAYS_H

#include "daemon/base/addr.h"
#include "tun/netlink.h"

struct ways {
	struct netlink_watch watch;
	/* private */
	int own_ifindex;
	char bind_interface[IFNAMSIZ];
	struct netlink_ways netlink; /* while a look lasts */
	int bound;                   /* bind_interface's, or the one after which the kernel is not asked; 0: none */
	int via;                     /* net/uplinks.h's: everything is sent through that link; 0: none */
	int out_ifindex[2];          /* the link of the way out: IPv4, IPv6; 0: there is none */
};

/* `own_ifindex` is our own TUN; `bind_interface`, which may be "", what our sockets are bound to. 0 or negative errno. */
int ways_open(struct ways *w, int own_ifindex, const char *bind_interface);
void ways_close(struct ways *w);
/* After watch.fd became readable: is a look worth while? */
bool ways_drain(struct ways *w);

/* Begins a look, and mixes the ways out into *mark. Negative errno: the kernel cannot be asked; no look then. */
int ways_begin(struct ways *w, uint64_t *mark);
/* Within a look: does a router stand at that link that would take everything? */
bool ways_has_router(struct ways *w, int ifindex);
void ways_end(struct ways *w);
enum way_kind {
	WAY_NONE, /* no route there */
	WAY_OUTSIDE,
	WAY_INSIDE, /* into the mesh, or into another overlay that is not our only way out */
};
/* Within a look. Mixes the way to that address into *mark. `link`, if not NULL, gets the name of the link: IFNAMSIZ bytes. */
enum way_kind ways_find(struct ways *w, uint64_t *mark, const struct ip *ip, char *link);

#endif
