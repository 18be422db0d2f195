#include "daemon/base/privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int privileges_find(struct privileges_user *out, const char *name)
{
	const struct passwd *entry;

	errno = 0;
	entry = getpwnam(name);
	if (!entry)
		return errno ? -errno : -ENOENT;
	*out = (struct privileges_user){ .uid = entry->pw_uid, .gid = entry->pw_gid };
	return 0;
}

/* Without libcap: the kernel's own calls, which have two words for their 64 bits. */
static int set_capabilities(uint64_t keep)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
		data[i].effective = data[i].permitted = (uint32_t)(keep >> 32 * i);
	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

void privileges_forget(uint64_t caps)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };
	uint64_t has = 0;

	if (geteuid() == 0 || syscall(SYS_capget, &header, data) < 0)
		return;
	for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
		has |= (uint64_t)data[i].permitted << 32 * i;
	if (has & caps)
		set_capabilities(has & ~caps); /* less is always granted */
}

/* The kernel may know more capabilities than our headers do, or fewer: it says where they end. */
static int narrow_bounds(uint64_t keep)
{
	for (unsigned cap = 0; cap < 64; cap++) {
		if (keep & (uint64_t)1 << cap || prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 0)
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return errno == EINVAL ? 0 : -errno;
	}
	return 0;
}

int privileges_drop(const char *name, const struct privileges_user *user, uint64_t keep, uint64_t for_now)
{
	int ret = narrow_bounds(keep);

	if (ret < 0)
		return ret;
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || initgroups(name, user->gid) < 0 ||
	    setresgid(user->gid, user->gid, user->gid) < 0 || setresuid(user->uid, user->uid, user->uid) < 0 ||
	    prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return set_capabilities(keep | for_now);
}
