/* daemon/base/listen_fds.h - sockets that the service manager opened for us (sd_listen_fds(3), without libsystemd)
 *
 * They are the descriptors from 3 on; $LISTEN_FDS says how many, and $LISTEN_PID for which process. With them a daemon without
 * any capability serves ports below 1024, and those who connect while it is started anew have to wait, but are not refused.
 * Thread: the only one, before anything is started that could inherit them. */
#ifndef DAEMON_BASE_LISTEN_FDS_H
#define DAEMON_BASE_LISTEN_FDS_H

#define LISTEN_FDS_MAX 8

struct listen_fds {
	unsigned n;
	int fds[LISTEN_FDS_MAX]; /* -1: somebody has taken it */
};

/* Takes over those meant for this process, which no program that it runs will inherit, and removes the variables from the
 * environment. 0, also if there are none; -EINVAL: no number, -E2BIG: more than LISTEN_FDS_MAX, -EBADF: one is not open; `out`
 * is empty then. */
int listen_fds_init(struct listen_fds *out);
/* Closes what nobody took. */
void listen_fds_fini(struct listen_fds *l);

#endif
