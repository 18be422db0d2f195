/* daemon/base/notify.h - tells systemd how the service is doing (sd_notify(3), without libsystemd)
 *
 * One datagram to the socket that $NOTIFY_SOCKET names, a path or, after '@', an abstract one. Nothing happens where it
 * names none; where nobody listens, that is not our trouble. Thread: loop. */
#ifndef DAEMON_BASE_NOTIFY_H
#define DAEMON_BASE_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

bool notify_is_wanted(void);
/* "READY=1", "STOPPING=1\nSTATUS=..." */
void notify_send(const char *state);
/* RELOADING=1 with the time that systemd 253 and later ask for; READY=1 ends it. */
void notify_reloading(void);
/* The service's one line in `systemctl status`; control characters are escaped, so that it stays one. */
void notify_status(const char *line);
/* How often the service manager wants WATCHDOG=1 at the least, of this very process; 0: it does not ask. */
uint64_t notify_watchdog_ms(void);

#endif
