#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/base/dirs.h"

static char base[] = "/tmp/test_dirs.XXXXXX";

/* The path of `name` below the test's own directory, good until the next call. */
static const char *at(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", base, name);
	return path;
}

static mode_t mode_of(const char *name)
{
	struct stat st;

	assert_int_equal(stat(at(name), &st), 0);
	return st.st_mode & 07777;
}

static int make_base(void **state)
{
	(void)state;
	umask(0077);
	return mkdtemp(base) ? 0 : -1;
}

static int remove_base(void **state)
{
	static const char *const names[] = { "a/b/c", "a/b", "a", "slash", "kept", "file", "" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		remove(at(names[i]));
	return access(base, F_OK) == 0 ? -1 : 0;
}

static void directory_is_private_and_those_above_are_open(void **state)
{
	(void)state;
	umask(0022);
	assert_int_equal(dirs_make(at("a/b/c"), 0700), 0);
	umask(0077);
	assert_int_equal(mode_of("a"), 0755);
	assert_int_equal(mode_of("a/b"), 0755);
	assert_int_equal(mode_of("a/b/c"), 0700);
}

static void umask_narrows_those_above_too(void **state)
{
	(void)state;
	assert_int_equal(dirs_make(at("a/b/c"), 0700), 0);
	assert_int_equal(mode_of("a"), 0700);
}

static void directory_that_is_there_keeps_its_mode(void **state)
{
	(void)state;
	assert_int_equal(mkdir(at("kept"), 0750), 0);
	assert_int_equal(chmod(at("kept"), 0751), 0);
	assert_int_equal(dirs_make(at("kept"), 0700), 0);
	assert_int_equal(mode_of("kept"), 0751);
}

static void slashes_at_the_end_do_not_count(void **state)
{
	(void)state;
	assert_int_equal(dirs_make(at("slash//"), 0700), 0);
	assert_int_equal(mode_of("slash"), 0700);
	assert_int_equal(dirs_make("/", 0700), 0);
}

static void file_in_the_way_is_an_error(void **state)
{
	FILE *f = fopen(at("file"), "w");

	(void)state;
	assert_non_null(f);
	fclose(f);
	assert_int_equal(dirs_make(at("file"), 0700), -ENOTDIR);
	assert_int_equal(dirs_make(at("file/below"), 0700), -ENOTDIR);
}

static void empty_and_overlong_paths_are_refused(void **state)
{
	char path[PATH_MAX + 1];

	(void)state;
	memset(path, 'x', PATH_MAX);
	path[PATH_MAX] = '\0';
	assert_int_equal(dirs_make("", 0700), -ENOENT);
	assert_int_equal(dirs_make(path, 0700), -ENAMETOOLONG);
}

static int remove_a(void **state)
{
	(void)state;
	return remove(at("a/b/c")) | remove(at("a/b")) | remove(at("a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(directory_is_private_and_those_above_are_open, remove_a),
		cmocka_unit_test_teardown(umask_narrows_those_above_too, remove_a),
		cmocka_unit_test(directory_that_is_there_keeps_its_mode),
		cmocka_unit_test(slashes_at_the_end_do_not_count),
		cmocka_unit_test(file_in_the_way_is_an_error),
		cmocka_unit_test(empty_and_overlong_paths_are_refused),
	};

	return cmocka_run_group_tests(tests, make_base, remove_base);
}
