#include "daemon/base/listen_fds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define FIRST 3 /* SD_LISTEN_FDS_START */

/* Digits and nothing else; negative if it is no such number. */
static long number(const char *text)
{
	char *end;
	long n;

	if (text[0] < '0' || text[0] > '9')
		return -1;
	errno = 0;
	n = strtol(text, &end, 10);
	return *end || errno ? -1 : n;
}

static int take(struct listen_fds *out, const char *pid, const char *count)
{
	long n;

	/* For another process: a parent's environment that came down to us. */
	if (!pid || !count || number(pid) != (long)getpid())
		return 0;
	n = number(count);
	if (n < 0)
		return -EINVAL;
	if (n > LISTEN_FDS_MAX)
		return -E2BIG;
	for (int fd = FIRST; fd < FIRST + n; fd++) {
		int flags = fcntl(fd, F_GETFD);

		if (flags < 0 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0) {
			out->n = 0;
			return -errno;
		}
		out->fds[out->n++] = fd;
	}
	return 0;
}

int listen_fds_init(struct listen_fds *out)
{
	int ret;

	*out = (struct listen_fds){ .n = 0 };
	ret = take(out, getenv("LISTEN_PID"), getenv("LISTEN_FDS"));
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return ret;
}

void listen_fds_fini(struct listen_fds *l)
{
	for (unsigned i = 0; i < l->n; i++)
		if (l->fds[i] >= 0)
			close(l->fds[i]);
	l->n = 0;
}
