#include "ctl/ctl.h"

int main(int argc, char **argv)
{
	struct ctl ctl = { .in = stdin, .out = stdout, .err = stderr, .socket_dir = CONTROL_DIR };
	unsigned rows;
	int code;

	ctl_terminal(&ctl.columns, &rows);
	code = ctl_run(&ctl, argc, argv);
	/* A full disk or a closed pipe must not pass for an answer. */
	if (fflush(stdout) != 0 && code == EXIT_YES)
		code = EXIT_NO;
	return code;
}
