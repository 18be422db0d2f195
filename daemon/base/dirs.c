#include "daemon/base/dirs.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define PARENT_MODE 0755

static int make_one(const char *path, mode_t mode)
{
	struct stat st;

	if (mkdir(path, mode) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	if (stat(path, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int dirs_make(const char *path, mode_t mode)
{
	char text[PATH_MAX];
	size_t len = strlen(path);

	while (len > 1 && path[len - 1] == '/')
		len--;
	if (len == 0)
		return -ENOENT;
	if (len >= sizeof(text))
		return -ENAMETOOLONG;
	memcpy(text, path, len);
	text[len] = '\0';
	for (char *p = text + 1; *p; p++) {
		int ret;

		if (*p != '/')
			continue;
		*p = '\0';
		ret = make_one(text, PARENT_MODE);
		if (ret < 0)
			return ret;
		*p = '/';
	}
	return make_one(text, mode);
}
