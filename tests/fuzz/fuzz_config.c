/* The configuration file: any text is taken or refused with one line, two loads of it agree, and what was taken can be shown. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/config/config_settings.h"

static void look(void *arg, const struct config_setting *s)
{
	unsigned *n = arg;

	for (unsigned i = 0; i < s->n; i++)
		if (s->values[i][0] == '\0')
			abort();
	if (s->n > CONFIG_VALUES_MAX || (s->file && s->line < 1))
		abort();
	++*n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[64], error[CONFIG_ERROR_BYTES], again[CONFIG_ERROR_BYTES], reload[256], restart[256];
	int fd = memfd_create("config", MFD_CLOEXEC);
	struct config *a, *b;
	unsigned n = 0;

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	a = config_load(path, error);
	b = config_load(path, again);
	if (!a != !b || (!a && (strcmp(error, again) != 0 || error[0] == '\0' || strchr(error, '\n'))))
		abort();
	if (a) {
		config_diff(a, b, reload, restart, sizeof(reload));
		if (reload[0] || restart[0])
			abort();
		config_each_setting(a, a, look, &n);
		if (n < 20)
			abort();
	}
	config_free(a);
	config_free(b);
	close(fd);
	return 0;
}
