/* ctl/network.h - what whoever holds the network key knows of the network: the file NET.network
 *
 * `init` makes it beside the network key's secret half, `invite` reads and writes it, no daemon knows of it; both files can be moved
 * to another host together. JSON, schema "warren.network/1": name, network_key, prefix, prefix6, coordinators (host, port,
 * public_key) and the invitations that were made: id, name, ips, made and expires (seconds since 1970).
 * While it is open its directory is locked, so that two invitations made at once get two addresses. */
#ifndef CTL_NETWORK_H
#define CTL_NETWORK_H

#include "ctl/ctl.h"
#include "daemon/wire/join.h"

#define NETWORK_DIR "/etc/warren"
#define NETWORK_INVITATIONS_MAX 4096

struct network {
	char dir[2048]; /* absolute, without what would need quotes in a file */
	char name[WIRE_NAME_MAX_BYTES + 1];
	int lock_fd;
	json_t *doc;
	struct verifykey key;
	struct prefix prefix, prefix6; /* none: len 0 */
	unsigned n_coordinators;
	struct join_coordinator coordinators[JOIN_COORDINATORS_MAX];
};

/* The directory that --dir says, or NETWORK_DIR, locked. With `is_made` it is made if it is missing: NETWORK_DIR for root and the
 * group "warren". A code; words on ctl->err. */
int network_dir(const struct ctl *ctl, struct network *n, bool is_made);
/* network_dir, and the network that -n names, or the only one there. */
int network_open(const struct ctl *ctl, struct network *n);
/* Of a directory that is open, with the name that is in n: reads NET.network. */
int network_load(const struct ctl *ctl, struct network *n);
void network_close(struct network *n);
int network_save(const struct ctl *ctl, const struct network *n);
/* The secret half, from --signing-key or NET.network-key; wiped by the caller. */
int network_key(const struct ctl *ctl, const struct network *n, struct signkey *out);

/* `file` of this directory: "NET" and an ending. */
const char *network_path(const struct network *n, const char *name, const char *ending, char out[static 4096]);
bool network_has(const struct network *n, const char *name, const char *ending);
/* Writes it. With `is_shared` the service's group may read it, or the directory's where there is none. A code; words. */
int network_write(const struct ctl *ctl, const struct network *n, const char *name, const char *ending,
		  const char *text, bool is_shared);
void network_remove(const struct network *n, const char *name, const char *ending);

json_t *network_invitations(const struct network *n);                  /* borrowed */
json_t *network_invitation(const struct network *n, const char *name); /* the newest of a name; borrowed, NULL */
/* The lowest host number whose addresses no invitation has; 0: none. */
uint32_t network_free_host(const struct network *n);
struct ip network_host(const struct prefix *prefix, uint32_t host);

#endif
