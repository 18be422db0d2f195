/* daemon/net/uplinks.h - the links that have a way out of their own
 *
 * Where there are several, the kernel sends everything through one of them, that of the lowest metric, whether it leads anywhere or not.
 * `via` is another that we send through instead, while nothing comes of the kernel's choice.
 * Thread: loop. */
#ifndef DAEMON_NET_UPLINKS_H
#define DAEMON_NET_UPLINKS_H

#include "daemon/net/ways.h"

#define UPLINKS_MAX 4

struct uplink {
	int ifindex;
	char name[IFNAMSIZ];
};

struct uplinks {
	struct uplink via; /* ifindex 0: as the kernel chooses */
	unsigned n;
	struct uplink v[UPLINKS_MAX]; /* the others, none where the node is bound to one */
};

/* Within a look of `w`: which there are now. `via` is dropped when it is none any more, or the kernel's choice itself. True: it was. */
bool uplinks_read(struct uplinks *u, struct ways *w);
/* The kernel's choice is among the others from now on; ifindex 0: everything goes as the kernel chooses again. False: no such link. */
bool uplinks_use(struct uplinks *u, int ifindex);

#endif
