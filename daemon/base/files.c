#include "daemon/base/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

int files_read(const char *path, void *out, size_t capacity)
{
	/* O_NONBLOCK: a FIFO in the file's place must not stop the daemon. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), ret = 0;
	char *at = out, more;
	size_t len = 0;

	if (fd < 0)
		return -errno;
	if (capacity > INT_MAX)
		capacity = INT_MAX;
	for (;;) {
		ssize_t n = read(fd, len < capacity ? at + len : &more, len < capacity ? capacity - len : 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			ret = n < 0 ? -errno : (int)len;
			break;
		}
		if (len == capacity) {
			ret = -EFBIG;
			break;
		}
		len += (size_t)n;
	}
	close(fd);
	return ret;
}

static int write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static int replace_at(int dir_fd, const char *name, const void *data, size_t len)
{
	char tmp[NAME_MAX + 1];
	int fd, ret;

	if (snprintf(tmp, sizeof(tmp), "%s.tmp", name) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	fd = openat(dir_fd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	ret = write_all(fd, data, len);
	if (ret == 0 && fsync(fd) < 0)
		ret = -errno;
	close(fd);
	if (ret == 0 && renameat(dir_fd, tmp, dir_fd, name) < 0)
		ret = -errno;
	if (ret < 0)
		unlinkat(dir_fd, tmp, 0);
	else
		fsync(dir_fd);
	return ret;
}

int files_replace(const char *dir, const char *name, const void *data, size_t len)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	ret = replace_at(fd, name, data, len);
	close(fd);
	return ret;
}

int files_set_aside(const char *dir, const char *name)
{
	char bad[NAME_MAX + 1];
	int fd, ret = 0;

	if (snprintf(bad, sizeof(bad), "%s.bad", name) >= (int)sizeof(bad))
		return -ENAMETOOLONG;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (renameat(fd, name, fd, bad) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

int files_sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), ret = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		ret = -errno;
	close(fd);
	return ret;
}
