#include <errno.h>
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

#include "daemon/base/files.h"

static char dir[64];

static int set_up(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/warren-files-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/list", dir);
	unlink(path);
	return rmdir(dir); /* nothing else was left in it */
}

static void file_is_replaced_whole_and_read_whole(void **state)
{
	char path[128], back[8];
	struct stat st;

	(void)state;
	snprintf(path, sizeof(path), "%s/list", dir);
	assert_int_equal(files_read(path, back, sizeof(back)), -ENOENT);
	assert_int_equal(files_replace(dir, "list", "12345678", 8), 0);
	assert_int_equal(files_read(path, back, sizeof(back)), 8);
	assert_memory_equal(back, "12345678", 8);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(files_read(path, back, 7), -EFBIG);
	assert_int_equal(files_replace(dir, "list", "", 0), 0);
	assert_int_equal(files_read(path, back, sizeof(back)), 0);
}

static void directory_that_is_not_there_is_an_error(void **state)
{
	(void)state;
	assert_int_equal(files_replace("/nonexistent/dir", "list", "x", 1), -ENOENT);
	assert_int_equal(files_replace("/dev/full", "list", "x", 1), -ENOTDIR);
}

static void useless_file_is_out_of_the_way_and_still_there(void **state)
{
	char path[128], back[8];

	(void)state;
	snprintf(path, sizeof(path), "%s/list.bad", dir);
	assert_int_equal(files_set_aside(dir, "list"), -ENOENT);
	for (const char *text = "12"; *text; text++) { /* the older one gives way */
		assert_int_equal(files_replace(dir, "list", text, 1), 0);
		assert_int_equal(files_set_aside(dir, "list"), 0);
		assert_int_equal(files_read(path, back, sizeof(back)), 1);
		assert_int_equal(back[0], *text);
	}
	unlink(path);
	assert_int_equal(files_set_aside("/nonexistent/dir", "list"), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(file_is_replaced_whole_and_read_whole, set_up, tear_down),
		cmocka_unit_test_setup_teardown(useless_file_is_out_of_the_way_and_still_there, set_up, tear_down),
		cmocka_unit_test(directory_that_is_not_there_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
