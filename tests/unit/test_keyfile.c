#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "crypto/keyfile.h"

#define SOMEBODY_UID 12345

struct fixture {
	char dir[64];
	char path[128];
	struct seckey key;
	char text[KEY_TEXT_BYTES];
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f || crypto_start() < 0)
		return -1;
	snprintf(f->dir, sizeof(f->dir), "/tmp/test_keyfile.XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->path, sizeof(f->path), "%s/private.key", f->dir);
	seckey_generate(&f->key);
	seckey_to_text(&f->key, f->text);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	unlink(f->path);
	rmdir(f->dir);
	free(f);
	return 0;
}

static void put(const struct fixture *f, const char *text, size_t len, mode_t mode)
{
	int fd = open(f->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), (ssize_t)len);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

/* Reads the file, and sees that a key comes out on success only. */
static int try_read(const struct fixture *f)
{
	struct seckey key, before;
	int ret;

	memset(&key, 0x5a, sizeof(key));
	before = key;
	ret = keyfile_read(&key, f->path);
	if (ret == 0)
		assert_memory_equal(&key, &f->key, sizeof(key));
	else
		assert_memory_equal(&key, &before, sizeof(key));
	return ret;
}

static void a_created_file_is_read_back_and_private(void **state)
{
	const struct fixture *f = *state;
	char content[64];
	struct stat st;
	mode_t old_mask = umask(0);
	int fd;

	assert_int_equal(keyfile_create(f->path, &f->key), 0);
	umask(old_mask);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, 45);
	assert_int_equal(try_read(f), 0);
	fd = open(f->path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, content, sizeof(content)), 45);
	close(fd);
	assert_memory_equal(content, f->text, 44);
	assert_int_equal(content[44], '\n');
}

static void a_file_that_is_there_is_never_overwritten(void **state)
{
	const struct fixture *f = *state;
	struct seckey other;

	assert_int_equal(keyfile_create(f->path, &f->key), 0);
	seckey_generate(&other);
	assert_int_equal(keyfile_create(f->path, &other), -EEXIST);
	assert_int_equal(try_read(f), 0);
}

static void creating_in_no_directory_or_over_a_link_fails(void **state)
{
	const struct fixture *f = *state;
	char path[256];
	struct stat st;

	snprintf(path, sizeof(path), "%s/none/private.key", f->dir);
	assert_int_equal(keyfile_create(path, &f->key), -ENOENT);
	snprintf(path, sizeof(path), "%s/elsewhere", f->dir);
	assert_int_equal(symlink(path, f->path), 0);
	assert_int_equal(keyfile_create(f->path, &f->key), -EEXIST);
	assert_int_equal(stat(path, &st), -1);
}

static void a_path_without_a_directory_is_fine(void **state)
{
	const struct fixture *f = *state;
	struct seckey key;
	int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(chdir(f->dir), 0);
	assert_int_equal(keyfile_create("private.key", &f->key), 0);
	assert_int_equal(keyfile_read(&key, "private.key"), 0);
	assert_int_equal(fchdir(here), 0);
	close(here);
	assert_memory_equal(&key, &f->key, sizeof(key));
}

static void the_newline_may_be_missing(void **state)
{
	const struct fixture *f = *state;

	put(f, f->text, 44, 0600);
	assert_int_equal(try_read(f), 0);
	put(f, f->text, 44, 0400);
	assert_int_equal(try_read(f), 0);
}

static void only_one_newline_and_nothing_else_may_follow(void **state)
{
	const struct fixture *f = *state;
	static const char *const endings[] = { "\n\n", "\r\n", " \n", "x", "\nx", "\n# a comment that is long\n" };
	char content[128];

	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		snprintf(content, sizeof(content), "%s%s", f->text, endings[i]);
		put(f, content, strlen(content), 0600);
		assert_int_equal(try_read(f), -EINVAL);
	}
}

static void a_short_file_is_no_key(void **state)
{
	const struct fixture *f = *state;
	char content[64];

	for (size_t len = 0; len < 44; len++) {
		put(f, f->text, len, 0600);
		assert_int_equal(try_read(f), -EINVAL);
		snprintf(content, sizeof(content), "%.*s\n", (int)len, f->text);
		put(f, content, strlen(content), 0600);
		assert_int_equal(try_read(f), -EINVAL);
	}
}

static void any_right_of_group_or_others_is_refused(void **state)
{
	const struct fixture *f = *state;

	for (mode_t bit = 1; bit <= 040; bit <<= 1) {
		put(f, f->text, 44, 0600 | bit);
		assert_int_equal(try_read(f), -EPERM);
	}
}

static void a_link_is_refused(void **state)
{
	const struct fixture *f = *state;
	char target[256];

	put(f, f->text, 44, 0600);
	snprintf(target, sizeof(target), "%s/target", f->dir);
	assert_int_equal(rename(f->path, target), 0);
	assert_int_equal(symlink(target, f->path), 0);
	assert_int_equal(try_read(f), -ELOOP);
	unlink(target);
}

static void a_file_of_somebody_else_is_refused(void **state)
{
	const struct fixture *f = *state;

	if (geteuid() != 0)
		skip(); /* only root can give a file away */
	put(f, f->text, 44, 0600);
	assert_int_equal(chown(f->path, SOMEBODY_UID, (gid_t)-1), 0);
	assert_int_equal(try_read(f), -EUCLEAN);
}

static void what_is_not_a_regular_file_is_refused_at_once(void **state)
{
	const struct fixture *f = *state;

	assert_int_equal(mkfifo(f->path, 0600), 0);
	assert_int_equal(try_read(f), -EINVAL);
	unlink(f->path);
	assert_int_equal(mkdir(f->path, 0700), 0);
	assert_int_equal(try_read(f), -EINVAL);
	rmdir(f->path);
}

static void a_missing_file_is_named_so(void **state)
{
	assert_int_equal(try_read(*state), -ENOENT);
}

static void a_psk_is_read_alike_but_never_zeros(void **state)
{
	const struct fixture *f = *state;
	struct psk psk;
	char zeros[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";

	assert_int_equal(keyfile_create(f->path, &f->key), 0);
	assert_int_equal(keyfile_read_psk(&psk, f->path), 0);
	assert_memory_equal(psk.b, f->key.b, sizeof(psk.b));
	assert_int_equal(chmod(f->path, 0644), 0);
	assert_int_equal(keyfile_read_psk(&psk, f->path), -EPERM);
	put(f, zeros, strlen(zeros), 0600);
	assert_int_equal(keyfile_read_psk(&psk, f->path), -EINVAL);
}

static void every_error_has_words_and_none_holds_the_secret(void **state)
{
	const struct fixture *f = *state;
	static const int named[] = { -ENOENT, -EACCES, -ELOOP, -EPERM, -EUCLEAN, -EINVAL, -EEXIST };

	put(f, f->text, 40, 0600);
	assert_int_equal(try_read(f), -EINVAL);
	for (int err = 0; err > -200; err--) {
		const char *words = keyfile_error(err);

		assert_non_null(words);
		assert_true(strlen(words) > 0);
		for (size_t i = 0; i + 8 <= 44; i++) {
			char piece[9] = { 0 };

			memcpy(piece, f->text + i, 8);
			assert_null(strstr(words, piece));
		}
	}
	for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++)
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(keyfile_error(named[i]), keyfile_error(named[k]));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static int try_login(const struct fixture *f, const char *text, size_t len, struct login *login)
{
	put(f, text, len, 0600);
	return keyfile_read_login(login, f->path);
}

static void a_login_is_one_line_with_a_user_and_a_colon(void **state)
{
	static const char *const bad[] = { "",          "\n",         "user",      ":password",
					   "user:a\nb", "user:a\n\n", "user:\x7f", "us\ter:a" };
	const struct fixture *f = *state;
	struct login login, before;
	char longest[LOGIN_MAX_BYTES + 2];

	memset(&before, 0x5a, sizeof(before));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		login = before;
		assert_int_equal(try_login(f, bad[i], strlen(bad[i]), &login), -EBADMSG);
		assert_memory_equal(&login, &before, sizeof(login));
	}
	assert_int_equal(try_login(f, "user:a\0b", 8, &login), -EBADMSG);
	assert_int_equal(try_login(f, "user:", 5, &login), 0);
	assert_string_equal(login.base64, "dXNlcjo=");
	assert_int_equal(try_login(f, "test:123\xc2\xa3\n", 11, &login), 0);
	assert_string_equal(login.base64, "dGVzdDoxMjPCow=="); /* RFC 7617 section 2.1 */
	memset(longest, ':', sizeof(longest));
	longest[0] = 'u';
	longest[LOGIN_MAX_BYTES] = '\n';
	assert_int_equal(try_login(f, longest, LOGIN_MAX_BYTES + 1, &login), 0);
	assert_int_equal(strlen(login.base64), sizeof(login.base64) - 1);
	longest[LOGIN_MAX_BYTES] = ':';
	assert_int_equal(try_login(f, longest, LOGIN_MAX_BYTES + 1, &login), -EBADMSG);
	assert_int_equal(try_login(f, longest, LOGIN_MAX_BYTES + 2, &login), -EBADMSG);
	put(f, "user:x\n", 7, 0640);
	assert_int_equal(keyfile_read_login(&login, f->path), -EPERM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_login_is_one_line_with_a_user_and_a_colon),
		TEST(a_created_file_is_read_back_and_private),
		TEST(a_file_that_is_there_is_never_overwritten),
		TEST(creating_in_no_directory_or_over_a_link_fails),
		TEST(a_path_without_a_directory_is_fine),
		TEST(the_newline_may_be_missing),
		TEST(only_one_newline_and_nothing_else_may_follow),
		TEST(a_short_file_is_no_key),
		TEST(any_right_of_group_or_others_is_refused),
		TEST(a_link_is_refused),
		TEST(a_file_of_somebody_else_is_refused),
		TEST(what_is_not_a_regular_file_is_refused_at_once),
		TEST(a_missing_file_is_named_so),
		TEST(a_psk_is_read_alike_but_never_zeros),
		TEST(every_error_has_words_and_none_holds_the_secret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
