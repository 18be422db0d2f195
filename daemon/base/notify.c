#include "daemon/base/notify.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/log.h"

/* The socket's address and its length, which is 0 where there is none. */
static socklen_t find_socket(struct sockaddr_un *to)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t len = path ? strlen(path) : 0;

	*to = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (len < 2 || len >= sizeof(to->sun_path) || (path[0] != '/' && path[0] != '@'))
		return 0;
	memcpy(to->sun_path, path, len);
	if (path[0] == '@')
		to->sun_path[0] = '\0';
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

bool notify_is_wanted(void)
{
	struct sockaddr_un to;

	return find_socket(&to) > 0;
}

void notify_send(const char *state)
{
	struct sockaddr_un to;
	socklen_t len = find_socket(&to);
	int fd;

	if (!len)
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&to, len);
	close(fd);
}

void notify_reloading(void)
{
	struct timespec now;
	char state[96];

	/* CLOCK_MONOTONIC, not what base/clock.h counts, which goes on in suspend: systemd compares it with its own. */
	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=reloading",
		 (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
	notify_send(state);
}

void notify_status(const char *line)
{
	char state[512] = "STATUS=";
	size_t n = strlen(state);

	log_escape(state + n, sizeof(state) - n, line, strlen(line));
	notify_send(state);
}

uint64_t notify_watchdog_ms(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

	/* For another process: a parent's environment that came down to us (sd_watchdog_enabled(3)). */
	if (!usec || (pid && strtoull(pid, NULL, 10) != (unsigned long long)getpid()))
		return 0;
	return strtoull(usec, NULL, 10) / 1000;
}
