/* daemon/base/privileges.h - from root to a user of its own, for good
 *
 * Only for a process that was started by root by hand: a service manager has done all this before. The kernel keeps
 * capabilities for each thread, so this is called before there is a second one, and every later thread has what is kept.
 * Thread: the only one. */
#ifndef DAEMON_BASE_PRIVILEGES_H
#define DAEMON_BASE_PRIVILEGES_H

#include <stdint.h>
#include <sys/types.h>

struct privileges_user {
	uid_t uid;
	gid_t gid;
};

/* 0, -ENOENT if there is no such user, or another negative errno. */
int privileges_find(struct privileges_user *out, const char *name);
/* Becomes that user, with the groups it is in. Of root's capabilities only `keep` (bits 1 << CAP_...) stay, here and in
 * whatever is started later, and `for_now` until privileges_forget(); no program run later gets more than `keep`. 0, or a
 * negative errno, after which the process is not to go on. */
int privileges_drop(const char *name, const struct privileges_user *user, uint64_t keep, uint64_t for_now);
/* Gives up these capabilities of an ordinary user's process, if it has them. Nothing happens to root's. */
void privileges_forget(uint64_t caps);

#endif
