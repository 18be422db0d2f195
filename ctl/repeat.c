#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>

#include "ctl/ctl.h"
#include "daemon/base/clock.h"

void ctl_repeat_begin(struct ctl *ctl)
{
	sigset_t stops;

	sigemptyset(&stops);
	sigaddset(&stops, SIGINT);
	sigaddset(&stops, SIGTERM);
	ctl->stop_fd = signalfd(-1, &stops, SFD_CLOEXEC);
	if (ctl->stop_fd < 0)
		return; /* the signals end the program, as they always do */
	ctl->can_stop = true;
	sigprocmask(SIG_BLOCK, &stops, NULL);
	signal(SIGPIPE, SIG_IGN);
}

bool ctl_is_stopped(const struct ctl *ctl)
{
	struct pollfd wait = { .fd = ctl->stop_fd, .events = POLLIN };

	return ctl->can_stop && poll(&wait, 1, 0) > 0;
}

bool ctl_pause(const struct ctl *ctl, double seconds)
{
	/* Of the output only that its reader has gone is told. */
	struct pollfd waits[] = { { .fd = fileno(ctl->out) },
				  { .fd = ctl->can_stop ? ctl->stop_fd : -1, .events = POLLIN } };
	uint64_t end_us = clock_now_us() + (uint64_t)(seconds * 1e6);

	for (;;) {
		uint64_t now_us = clock_now_us();
		struct timespec left;
		int n;

		if (now_us >= end_us)
			return true;
		left.tv_sec = (time_t)((end_us - now_us) / 1000000);
		left.tv_nsec = (long)((end_us - now_us) % 1000000 * 1000);
		n = ppoll(waits, 2, &left, NULL);
		if (n > 0 || (n < 0 && errno != EINTR))
			return false;
	}
}
