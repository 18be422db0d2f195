/* daemon/notify.h - tells systemd how the service is doing (sd_notify(3), without libsystemd)
 *
 * Nothing happens unless $NOTIFY_SOCKET names a socket. Thread: loop. */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

/* "READY=1", "STOPPING=1\nSTATUS=..." */
void notify_send(const char *state);

#endif
