#include "crypto/keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

/* A key, its newline, and one byte more to see that nothing follows. */
#define KEYFILE_READ_BYTES (KEY_TEXT_BYTES - 1 + 1 + 1)

static int check_owner_and_mode(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return -EUCLEAN;
	if (st.st_mode & (S_IRWXG | S_IRWXO))
		return -EPERM;
	return 0;
}

/* Reads until `size` bytes or the end; returns the count. */
static ssize_t read_up_to(int fd, char *buf, size_t size)
{
	size_t len = 0;

	while (len < size) {
		ssize_t n = read(fd, buf + len, size - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

/* On success the line, without its newline, is in `text`. No stdio: its buffers could not be wiped. */
static int read_text(char *text, size_t capacity, size_t *len, const char *path)
{
	/* O_NONBLOCK: a FIFO in the file's place must not stop the daemon's start. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
	ssize_t n;
	int ret;

	if (fd < 0)
		return -errno;
	ret = check_owner_and_mode(fd);
	if (ret < 0)
		goto out;
	n = read_up_to(fd, text, capacity);
	if (n < 0) {
		ret = (int)n;
		goto out;
	}
	*len = (size_t)n;
	if (*len > 0 && text[*len - 1] == '\n')
		(*len)--;
out:
	close(fd);
	return ret;
}

int keyfile_read(struct seckey *out, const char *path)
{
	char text[KEYFILE_READ_BYTES];
	size_t len = 0;
	int ret = read_text(text, sizeof(text), &len, path);

	if (ret == 0)
		ret = seckey_from_text(out, text, len);
	sodium_memzero(text, sizeof(text));
	return ret;
}

int keyfile_read_psk(struct psk *out, const char *path)
{
	char text[KEYFILE_READ_BYTES];
	size_t len = 0;
	int ret = read_text(text, sizeof(text), &len, path);

	if (ret == 0)
		ret = psk_from_text(out, text, len);
	sodium_memzero(text, sizeof(text));
	return ret;
}

/* A user without a colon, a colon, and a password that may be empty; no control characters (RFC 7617 section 2). */
static bool is_login(const char *text, size_t len)
{
	const char *colon = memchr(text, ':', len);

	if (!colon || colon == text || len > LOGIN_MAX_BYTES)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return false;
	return true;
}

int keyfile_read_login(struct login *out, const char *path)
{
	char text[LOGIN_MAX_BYTES + 1 + 1]; /* as KEYFILE_READ_BYTES */
	size_t len = 0;
	int ret = read_text(text, sizeof(text), &len, path);

	if (ret == -EINVAL || (ret == 0 && !is_login(text, len)))
		ret = -EBADMSG;
	if (ret == 0)
		sodium_bin2base64(out->base64, sizeof(out->base64), (const unsigned char *)text, len,
				  sodium_base64_VARIANT_ORIGINAL);
	sodium_memzero(text, sizeof(text));
	return ret;
}

int keyfile_read_signkey(struct signkey *out, const char *path)
{
	char text[KEYFILE_READ_BYTES];
	size_t len = 0;
	int ret = read_text(text, sizeof(text), &len, path);

	if (ret == 0)
		ret = signkey_from_text(out, text, len);
	sodium_memzero(text, sizeof(text));
	return ret;
}

static int write_all(int fd, const char *buf, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, buf, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		buf += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Makes the directory entry durable. */
static int sync_directory_of(const char *path)
{
	char dir[PATH_MAX] = ".";
	const char *slash = strrchr(path, '/');
	int fd, ret = 0;

	if (slash) {
		size_t len = slash == path ? 1 : (size_t)(slash - path);

		if (len >= sizeof(dir))
			return -ENAMETOOLONG;
		memcpy(dir, path, len);
		dir[len] = '\0';
	}
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0 && errno != EINVAL) /* EINVAL: a file system that has nothing to sync here */
		ret = -errno;
	close(fd);
	return ret;
}

int keyfile_create(const char *path, const struct seckey *key)
{
	char text[KEY_TEXT_BYTES];
	int ret, fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR);

	if (fd < 0)
		return -errno;
	seckey_to_text(key, text);
	text[KEY_TEXT_BYTES - 1] = '\n'; /* in the NUL's place */
	ret = write_all(fd, text, sizeof(text));
	sodium_memzero(text, sizeof(text));
	if (ret == 0 && fsync(fd) < 0)
		ret = -errno;
	if (close(fd) < 0 && ret == 0)
		ret = -errno;
	if (ret == 0)
		ret = sync_directory_of(path);
	if (ret < 0)
		unlink(path); /* half a key is worse than none: the next try would find -EEXIST */
	return ret;
}

const char *keyfile_error(int err)
{
	switch (err) {
	case 0:
		return "no error";
	case -ENOENT:
		return "no such file";
	case -EACCES:
		return "we may not read it, or a directory above it";
	case -ELOOP:
		return "it is a symbolic link, and a key file must not be one";
	case -EPERM:
		return "others can read it (chmod 600)";
	case -EUCLEAN:
		return "it belongs to another user (chown)";
	case -EINVAL:
		return "it does not hold a key: one line of 44 characters of base64 is wanted";
	case -EBADMSG:
		return "it does not hold a login: one line of USER:PASSWORD is wanted";
	case -EEXIST:
		return "there is a file already, and it is not overwritten";
	case -ENOTDIR:
		return "a part of the path is not a directory";
	case -ENOSPC:
	case -EDQUOT:
		return "no space left";
	case -EROFS:
		return "the file system is read-only";
	case -ENAMETOOLONG:
		return "the path is too long";
	case -EMFILE:
	case -ENFILE:
		return "too many open files";
	default:
		return "it cannot be read or written (I/O error)";
	}
}
