/* ctl/tun_name.h - a name for one more network's TUN interface on this host
 *
 * The first network's is the daemon's default, TUN_NAME_DEFAULT; each other one needs a name in its file. Taken is what an interface has
 * now, and what a file of the directory may give one later: any such word in it, and the default where a peer's file has none.
 * warrenctl does not read configurations; to take a name for taken that is not costs nothing. */
#ifndef CTL_TUN_NAME_H
#define CTL_TUN_NAME_H

#include <net/if.h>
#include <stdbool.h>

#define TUN_NAME_DEFAULT "warren0"

/* A free one for the network whose files in `dir` are NAME.*; false: all that were tried are taken. */
bool tun_name_find(const char *dir, const char *name, char out[static IF_NAMESIZE]);

#endif
