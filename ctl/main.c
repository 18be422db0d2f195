#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ctl/ctl.h"

/* The terminal's width, or 0 if stdout is none. */
static unsigned terminal_columns(void)
{
	struct winsize size;

	if (!isatty(STDOUT_FILENO))
		return 0;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
		return 80;
	return size.ws_col;
}

int main(int argc, char **argv)
{
	struct ctl ctl = {
		.in = stdin, .out = stdout, .err = stderr, .socket_dir = CONTROL_DIR, .columns = terminal_columns()
	};
	int code = ctl_run(&ctl, argc, argv);

	/* A full disk or a closed pipe must not pass for an answer. */
	if (fflush(stdout) != 0 && code == EXIT_YES)
		code = EXIT_NO;
	return code;
}
