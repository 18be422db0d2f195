#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/ctl.h"

static bool write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		text += n;
		len -= (size_t)n;
	}
	return true;
}

int ctl_write_file(struct ctl *ctl, const char *path, const char *data, size_t len, unsigned mode)
{
	char *temporary = NULL;
	int fd, err = 0;

	if (asprintf(&temporary, "%s.%d", path, (int)getpid()) < 0)
		return EXIT_NO;
	/* Whoever reads the directory meanwhile takes "*.prom", and no name of ours ends like that. */
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0) {
		err = errno;
	} else {
		if (!write_all(fd, data, len) || fsync(fd) < 0)
			err = errno;
		if (close(fd) < 0 && !err)
			err = errno;
		if (!err && rename(temporary, path) < 0)
			err = errno;
		if (err)
			unlink(temporary);
	}
	if (err)
		fprintf(ctl->err, "warrenctl: %s cannot be written: %s\n", path, strerror(err));
	free(temporary);
	return err ? EXIT_NO : EXIT_YES;
}

int ctl_metrics(struct ctl *ctl)
{
	bool is_write = ctl->n_operands > 0;
	const char *text;
	json_t *answer;
	int code;

	if (is_write && (strcmp(ctl->operands[0], "write") != 0 || ctl->n_operands != 2)) {
		fputs("warrenctl: metrics, or metrics write FILE\n", ctl->err);
		return EXIT_BAD_USAGE;
	}
	code = ctl_ask_take(ctl, json_pack("{s:s}", "cmd", "metrics"), "warren.metrics", CTL_TIMEOUT_MS, &answer);
	if (code != EXIT_YES)
		return code;
	text = json_string_value(json_object_get(answer, "text"));
	if (!text)
		text = "";
	if (is_write)
		code = ctl_write_file(ctl, ctl->operands[1], text, strlen(text), 0644);
	else if (ctl->is_json)
		ctl_print_json(ctl, answer);
	else
		fputs(text, ctl->out);
	json_decref(answer);
	return code;
}
