/* daemon/control/local_socket.h - a Unix socket to listen on, at a path of the file system
 *
 * Thread: loop. */
#ifndef DAEMON_CONTROL_LOCAL_SOCKET_H
#define DAEMON_CONTROL_LOCAL_SOCKET_H

/* A bound stream socket of mode 0660, not yet listening, or a negative errno: -EADDRINUSE if somebody answers there,
 * -ENOTSOCK if something else is in the way. A stale socket is removed only after a connect to it was refused; the directory
 * is made 0750 if it is missing. */
int local_socket_bind(const char *path);

#endif
