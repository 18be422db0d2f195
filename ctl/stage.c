#include "ctl/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/files.h"

static int fail_at(const struct ctl *ctl, const char *path, int error)
{
	fprintf(ctl->err, "warrenctl: %s: %s\n", path,
		error == EEXIST ? "is there already, and is not overwritten" : strerror(error));
	return EXIT_NO;
}

static bool path_in(const char *dir, const struct stage *s, const char *ending, char out[static PATH_MAX])
{
	return snprintf(out, PATH_MAX, "%s/%s.%s", dir, s->name, ending) < PATH_MAX;
}

/* Whatever of the files is in there, and what files_replace leaves when it is killed. */
static void clear(const struct stage *s, const char *dir)
{
	static const char *const tails[] = { "", ".tmp" };
	char path[PATH_MAX];

	for (size_t i = 0; s->endings[i]; i++)
		for (size_t k = 0; k < 2; k++)
			if (snprintf(path, sizeof(path), "%s/%s.%s%s", dir, s->name, s->endings[i], tails[k]) <
			    PATH_MAX)
				unlink(path);
	rmdir(dir);
}

/* Each file is in one of the two places at any moment, and nothing is replaced. */
static int rename_to_nothing(const char *from, const char *to)
{
	struct stat st;

	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return 0;
	/* A file system that cannot do it at once: nobody who asks for the lock is between these two. */
	if (errno == EINVAL && lstat(to, &st) < 0 && errno == ENOENT)
		return rename(from, to) < 0 ? -errno : 0;
	return -errno;
}

static int move_in(const struct stage *s, const struct ctl *ctl, const char *ending)
{
	char from[PATH_MAX], to[PATH_MAX];
	int ret;

	if (!path_in(s->whole, s, ending, from) || !path_in(s->network->dir, s, ending, to))
		return fail_at(ctl, s->whole, ENAMETOOLONG);
	ret = rename_to_nothing(from, to);
	return ret == 0 || ret == -ENOENT ? EXIT_YES : fail_at(ctl, to, -ret); /* ENOENT: moved, or there is none */
}

static int move_all(const struct stage *s, const struct ctl *ctl)
{
	int code = EXIT_YES, ret;

	for (size_t i = 0; s->endings[i] && code == EXIT_YES; i++)
		code = move_in(s, ctl, s->endings[i]);
	if (code != EXIT_YES)
		return code;
	ret = files_sync_dir(s->network->dir);
	if (ret < 0)
		return fail_at(ctl, s->network->dir, -ret);
	clear(s, s->whole);
	return EXIT_YES;
}

int stage_open(struct stage *s, const struct ctl *ctl, const struct network *n, const char *kind, const char *name,
	       const char *const *endings, bool *is_finished)
{
	struct stat st;

	*s = (struct stage){ .network = n, .name = name, .endings = endings, .inside = { .lock_fd = -1 } };
	*is_finished = false;
	if (snprintf(s->whole, sizeof(s->whole), "%s/.%s.%s", n->dir, name, kind) >= (int)sizeof(s->whole) ||
	    snprintf(s->inside.dir, sizeof(s->inside.dir), "%s.tmp", s->whole) >= (int)sizeof(s->inside.dir))
		return fail_at(ctl, n->dir, ENAMETOOLONG);
	clear(s, s->inside.dir);
	if (lstat(s->whole, &st) < 0)
		return EXIT_YES;
	*is_finished = true;
	return move_all(s, ctl);
}

int stage_begin(const struct stage *s, const struct ctl *ctl)
{
	struct stat st;

	if (mkdir(s->inside.dir, 0700) < 0)
		return fail_at(ctl, s->inside.dir, errno);
	/* network_write shares with the directory's group where the service has none. */
	if (stat(s->network->dir, &st) < 0 || chown(s->inside.dir, (uid_t)-1, st.st_gid) < 0)
		return fail_at(ctl, s->inside.dir, errno);
	return EXIT_YES;
}

int stage_write(const struct stage *s, const struct ctl *ctl, const char *ending, const char *text, bool is_shared)
{
	return network_write(ctl, &s->inside, s->name, ending, text, is_shared);
}

int stage_commit(const struct stage *s, const struct ctl *ctl)
{
	int ret = files_sync_dir(s->inside.dir);

	if (ret == 0 && rename(s->inside.dir, s->whole) < 0)
		ret = -errno;
	if (ret == 0)
		ret = files_sync_dir(s->network->dir);
	return ret < 0 ? fail_at(ctl, s->whole, -ret) : move_all(s, ctl);
}

void stage_discard(const struct stage *s)
{
	clear(s, s->inside.dir);
}
