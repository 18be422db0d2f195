#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/coordinator/store.h"

struct fixture {
	char dir[64], path[96], error[512];
	struct store *store;
	uint32_t reserved;         /* a number kept for a fixed address, or 0 */
	const struct pubkey *used; /* the one key that is still a member, NULL: none */
	bool all_are_used;
	struct store_range range;
};

static struct pubkey key(unsigned n)
{
	struct pubkey k = { { (uint8_t)n, (uint8_t)(n >> 8), 0xaa } };

	return k;
}

static bool is_reserved(void *arg, uint32_t id)
{
	return id == ((struct fixture *)arg)->reserved;
}

static bool is_unused(void *arg, const struct pubkey *k)
{
	const struct fixture *f = arg;

	return !f->all_are_used && (!f->used || !pubkey_equal(f->used, k));
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "/tmp/warren_store_XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/coordinator.db", f->dir);
	f->range = (struct store_range){
		.first = 1, .last = 254, .is_reserved = is_reserved, .is_unused = is_unused, .arg = f
	};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	static const char *const endings[] = { "", "-wal", "-shm", ".new", ".new-journal" };
	struct fixture *f = *state;

	store_close(f->store);
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		char path[128];

		snprintf(path, sizeof(path), "%s%s", f->path, endings[i]);
		unlink(path);
	}
	assert_int_equal(rmdir(f->dir), 0); /* nothing else was left behind */
	free(f);
	return 0;
}

static void open_store(struct fixture *f)
{
	int ret = store_open(&f->store, f->path, f->error, sizeof(f->error));

	if (ret)
		fail_msg("%s", f->error);
}

static void reopen(struct fixture *f)
{
	store_close(f->store);
	f->store = NULL;
	open_store(f);
}

static uint32_t lease(struct fixture *f, unsigned n)
{
	struct pubkey k = key(n);
	uint32_t id = 0;

	assert_int_equal(store_lease(f->store, &k, &f->range, &id), 0);
	return id;
}

static void a_lease_outlives_a_restart(void **state)
{
	struct fixture *f = *state;
	struct pubkey nobody = key(99);
	uint32_t id;
	struct stat st;

	open_store(f);
	assert_int_equal(lease(f, 1), 1);
	assert_int_equal(lease(f, 2), 2);
	reopen(f);
	assert_int_equal(lease(f, 2), 2);
	assert_int_equal(lease(f, 3), 3);
	assert_int_equal(store_find(f->store, &nobody, &id), -ENOENT);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void a_reserved_number_is_not_given(void **state)
{
	struct fixture *f = *state;

	open_store(f);
	f->reserved = 2;
	assert_int_equal(lease(f, 1), 1);
	assert_int_equal(lease(f, 2), 3);
	f->reserved = 1; /* whoever has it must move */
	assert_int_equal(lease(f, 1), 4);
}

static void a_fixed_number_is_taken_from_its_holder(void **state)
{
	struct fixture *f = *state;
	struct pubkey fixed = key(7), first = key(1);
	uint32_t id;

	open_store(f);
	assert_int_equal(lease(f, 1), 1);
	assert_int_equal(store_lease_fixed(f->store, &fixed, 1), 0);
	assert_int_equal(store_find(f->store, &fixed, &id), 0);
	assert_int_equal(id, 1);
	assert_int_equal(store_find(f->store, &first, &id), -ENOENT);
	assert_int_equal(lease(f, 1), 2);
	assert_int_equal(store_lease_fixed(f->store, &fixed, 0), -EINVAL);
	assert_int_equal(store_lease_fixed(f->store, &fixed, UINT32_MAX), -EINVAL);
}

static void a_full_prefix_takes_back_what_no_member_uses(void **state)
{
	struct fixture *f = *state;
	struct pubkey used = key(1), late = key(9);
	uint32_t id;

	open_store(f);
	f->range.last = 3;
	f->used = &used;
	for (unsigned i = 1; i <= 3; i++)
		assert_int_equal(lease(f, i), i);
	assert_int_equal(lease(f, 4), 2); /* 1 is a member's; 2 is the oldest of the others */
	f->all_are_used = true;
	assert_int_equal(store_lease(f->store, &late, &f->range, &id), -EADDRNOTAVAIL);
}

static void a_lease_outside_a_smaller_prefix_is_replaced(void **state)
{
	struct fixture *f = *state;

	open_store(f);
	f->reserved = 1;
	assert_int_equal(lease(f, 1), 2);
	f->reserved = 0;
	f->range.last = 1;
	assert_int_equal(lease(f, 1), 1);
}

static void a_transaction_gives_all_or_nothing(void **state)
{
	struct fixture *f = *state;
	struct pubkey k = key(1);
	uint32_t id;

	open_store(f);
	assert_int_equal(store_begin(f->store), 0);
	assert_int_equal(lease(f, 1), 1);
	assert_int_equal(lease(f, 2), 2);
	store_rollback(f->store);
	assert_int_equal(store_find(f->store, &k, &id), -ENOENT);
	assert_int_equal(store_begin(f->store), 0);
	assert_int_equal(lease(f, 3), 1);
	assert_int_equal(store_commit(f->store), 0);
	reopen(f);
	assert_int_equal(lease(f, 3), 1);
}

/* ---------------------------------------------------------------- damage */

static uint8_t *slurp(const char *path, size_t *len)
{
	struct stat st;
	uint8_t *data;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	*len = (size_t)st.st_size;
	data = malloc(*len + 1);
	assert_int_equal(read(fd, data, *len), (ssize_t)*len);
	close(fd);
	return data;
}

/* The file at f->path is refused with its name and left byte for byte as it is. */
static void check_refused_and_left_whole(struct fixture *f)
{
	size_t before_len, after_len;
	uint8_t *before = slurp(f->path, &before_len), *after;

	assert_int_equal(store_open(&f->store, f->path, f->error, sizeof(f->error)), -EUCLEAN);
	assert_null(f->store);
	assert_non_null(strstr(f->error, f->path));
	after = slurp(f->path, &after_len);
	assert_int_equal(after_len, before_len);
	assert_memory_equal(after, before, before_len);
	free(before);
	free(after);
}

static void put(const struct fixture *f, const void *data, size_t len)
{
	int fd = open(f->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), (ssize_t)len);
	close(fd);
}

static void a_file_that_is_no_database_is_refused(void **state)
{
	struct fixture *f = *state;
	char text[2048];

	memset(text, 'x', sizeof(text));
	put(f, text, sizeof(text));
	check_refused_and_left_whole(f);
}

static void an_empty_file_is_refused(void **state)
{
	struct fixture *f = *state;

	put(f, "", 0);
	check_refused_and_left_whole(f);
}

static void a_truncated_database_is_refused(void **state)
{
	struct fixture *f = *state;
	size_t len;
	uint8_t *data;

	open_store(f);
	for (unsigned i = 1; i <= 200; i++)
		lease(f, i);
	store_close(f->store);
	f->store = NULL;
	data = slurp(f->path, &len);
	assert_true(len > 8192);
	for (size_t keep = len - 1; keep > 0; keep = keep / 2) {
		put(f, data, keep);
		check_refused_and_left_whole(f);
	}
	free(data);
}

static void run_sql(const struct fixture *f, const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void anothers_database_is_refused(void **state)
{
	struct fixture *f = *state;

	run_sql(f, "CREATE TABLE lease (key, id); INSERT INTO lease VALUES (1, 2)");
	check_refused_and_left_whole(f);
}

static void a_later_schema_is_refused(void **state)
{
	struct fixture *f = *state;

	open_store(f);
	lease(f, 1);
	store_close(f->store);
	f->store = NULL;
	run_sql(f, "PRAGMA user_version = 9");
	check_refused_and_left_whole(f);
	assert_non_null(strstr(f->error, "schema version 9"));
}

static void count_one(void *arg, const uint8_t *data, size_t len)
{
	unsigned *n = arg;

	assert_int_equal(len, 3);
	assert_memory_equal(data, "abc", 3);
	(*n)++;
}

static void file_of_the_first_version_keeps_its_leases_and_takes_certificates(void **state)
{
	struct fixture *f = *state;
	struct pubkey one = key(1), two = key(2);
	unsigned n = 0;
	uint32_t id;

	open_store(f);
	id = lease(f, 1);
	store_close(f->store);
	f->store = NULL;
	run_sql(f, "DROP TABLE certificate; DROP TABLE invitation; PRAGMA user_version = 1");
	open_store(f);
	assert_int_equal(lease(f, 1), id);
	assert_int_equal(store_put_certificate(f->store, &one, "xyz", 3), 0);
	assert_int_equal(store_put_certificate(f->store, &one, "abc", 3), 0); /* in its place */
	assert_int_equal(store_put_certificate(f->store, &two, "abc", 3), 0);
	reopen(f);
	assert_int_equal(store_each_certificate(f->store, count_one, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(store_drop_certificate(f->store, &one), 0);
	assert_int_equal(store_drop_certificate(f->store, &one), 0);
	reopen(f);
	n = 0;
	assert_int_equal(store_each_certificate(f->store, count_one, &n), 0);
	assert_int_equal(n, 1);
}

/* ---------------------------------------------------------------- invitations */

static const uint8_t serial_a[STORE_SERIAL_BYTES] = "invitation of a", serial_b[STORE_SERIAL_BYTES] = "invitation of b";

static int spend(struct store *s, const uint8_t *serial, const struct pubkey *by, uint64_t expires_s, uint64_t ends_s)
{
	struct store_invitation used = { .key = *by, .expires_s = expires_s, .ends_s = ends_s };

	memcpy(used.serial, serial, sizeof(used.serial));
	return store_spend(s, &used);
}

static void an_invitation_is_used_once_and_for_good(void **state)
{
	struct fixture *f = *state;
	struct pubkey one = key(1), two = key(2), by;

	open_store(f);
	assert_int_equal(store_spender(f->store, serial_a, &by), -ENOENT);
	assert_int_equal(spend(f->store, serial_a, &one, 1000, 0), 0);
	assert_int_equal(spend(f->store, serial_a, &two, 1000, 0), -EEXIST);
	reopen(f);
	assert_int_equal(spend(f->store, serial_a, &two, 1000, 0), -EEXIST);
	assert_int_equal(store_spender(f->store, serial_a, &by), 0);
	assert_true(pubkey_equal(&by, &one));
	assert_int_equal(store_spender(f->store, serial_b, &by), -ENOENT);
	assert_int_equal(spend(f->store, serial_b, &one, 1000, 0), 0);
}

static void invitation_is_forgotten_when_nobody_can_be_a_member_by_it(void **state)
{
	struct fixture *f = *state;
	struct pubkey one = key(1), by;

	open_store(f);
	assert_int_equal(spend(f->store, serial_a, &one, 1000, 5000), 0);
	assert_int_equal(spend(f->store, serial_b, &one, 1000, 0), 0);
	assert_int_equal(store_forget_ended(f->store, 5000), 0);
	assert_int_equal(store_spender(f->store, serial_a, &by), 0);
	assert_int_equal(store_forget_ended(f->store, 5001), 0);
	assert_int_equal(store_spender(f->store, serial_a, &by), -ENOENT);
	assert_int_equal(store_forget_ended(f->store, INT64_MAX), 0);
	assert_int_equal(store_spender(f->store, serial_b, &by), 0); /* its member is one for ever */
	assert_int_equal(store_forget_revoked(f->store, serial_b, 1000), 0);
	assert_int_equal(store_spender(f->store, serial_b, &by),
			 0); /* unless that is taken back, and before it expired */
	assert_int_equal(store_forget_revoked(f->store, serial_a, 1001), 0);
	assert_int_equal(store_spender(f->store, serial_b, &by), 0);
	assert_int_equal(store_forget_revoked(f->store, serial_b, 1001), 0);
	assert_int_equal(store_spender(f->store, serial_b, &by), -ENOENT);
}

static void file_of_the_third_version_forgets_no_invitation_of_its_own(void **state)
{
	struct fixture *f = *state;
	struct pubkey one = key(1), by;

	open_store(f);
	assert_int_equal(spend(f->store, serial_a, &one, 1000, 5000), 0);
	store_close(f->store);
	f->store = NULL;
	run_sql(f, "ALTER TABLE invitation DROP COLUMN expires; ALTER TABLE invitation DROP COLUMN ends;"
		   "PRAGMA user_version = 3");
	open_store(f);
	assert_int_equal(spend(f->store, serial_b, &one, 1000, 5000), 0);
	assert_int_equal(store_forget_ended(f->store, INT64_MAX), 0);
	assert_int_equal(store_forget_revoked(f->store, serial_a, INT64_MAX), 0);
	assert_int_equal(store_spender(f->store, serial_a, &by), 0);
	assert_int_equal(store_spender(f->store, serial_b, &by), -ENOENT);
}

static void file_of_the_second_version_takes_invitations(void **state)
{
	struct fixture *f = *state;
	struct pubkey one = key(1);
	unsigned n = 0;

	open_store(f);
	assert_int_equal(store_put_certificate(f->store, &one, "abc", 3), 0);
	store_close(f->store);
	f->store = NULL;
	run_sql(f, "DROP TABLE invitation; PRAGMA user_version = 2");
	open_store(f);
	assert_int_equal(spend(f->store, serial_a, &one, 1000, 0), 0);
	assert_int_equal(store_each_certificate(f->store, count_one, &n), 0);
	assert_int_equal(n, 1);
}

/* Keys in turn use one invitation, and say through the pipe who was told that it did. */
static void spend_until_killed(const char *path, const uint8_t *serial, int fd)
{
	char error[512];
	struct store *s;

	if (store_open(&s, path, error, sizeof(error)))
		_exit(1);
	for (unsigned n = 1; n <= 50; n++) {
		struct pubkey k = key(n);
		uint8_t who = (uint8_t)n;

		if (spend(s, serial, &k, 1000, 0) == 0 && write(fd, &who, 1) != 1)
			_exit(1);
	}
	for (;;)
		pause();
}

static void after_a_sigkill_an_invitation_is_whose_it_was_said_to_be(void **state)
{
	struct fixture *f = *state;
	unsigned n_told = 0;

	open_store(f);
	for (unsigned round = 0; round < 50; round++) {
		uint8_t serial[STORE_SERIAL_BYTES] = { (uint8_t)round }, told[2];
		struct timespec wait = { .tv_nsec = (long)round * 100000 };
		struct pubkey by, late = key(77), told_key;
		int fds[2], ret;
		ssize_t n;
		pid_t pid;

		store_close(f->store);
		f->store = NULL;
		assert_int_equal(pipe(fds), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			spend_until_killed(f->path, serial, fds[1]);
		close(fds[1]);
		nanosleep(&wait, NULL);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		n = read(fds[0], told, sizeof(told));
		close(fds[0]);
		assert_in_range(n, 0, 1); /* never two */
		open_store(f);
		ret = store_spender(f->store, serial, &by);
		if (n == 1) {
			told_key = key(told[0]);
			assert_int_equal(ret, 0);
			assert_true(pubkey_equal(&by, &told_key));
			n_told++;
		}
		assert_int_equal(spend(f->store, serial, &late, 1000, 0), ret == 0 ? -EEXIST : 0);
	}
	print_message("%u of 50 rounds were told before they were killed\n", n_told);
}

/* A file that may not grow behaves as a full disk does. */
static void a_full_disk_refuses_new_leases_and_keeps_the_old(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, small;
	struct pubkey late = key(5000);
	struct stat st;
	char wal[128];
	uint32_t id;
	int ret = 0;

	open_store(f);
	for (unsigned i = 1; i <= 20; i++)
		lease(f, i);
	snprintf(wal, sizeof(wal), "%s-wal", f->path);
	assert_int_equal(stat(wal, &st), 0);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = (struct rlimit){ (rlim_t)st.st_size, old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	ret = store_lease(f->store, &late, &f->range, &id);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_true(ret == -ENOSPC || ret == -EIO);
	assert_int_equal(store_find(f->store, &late, &id), -ENOENT);
	assert_int_equal(lease(f, 20), 20);
	assert_int_equal(lease(f, 5000), 21); /* and goes on once there is room */
	reopen(f);
	assert_int_equal(lease(f, 7), 7);
	assert_int_equal(lease(f, 5000), 21);
}

static void a_missing_directory_is_said_with_its_path(void **state)
{
	struct fixture *f = *state;
	struct store *store = NULL;

	assert_int_equal(store_open(&store, "/nonexistent/coordinator.db", f->error, sizeof(f->error)), -ENOENT);
	assert_non_null(strstr(f->error, "/nonexistent/coordinator.db"));
	assert_null(store);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_lease_outlives_a_restart),
		TEST(a_reserved_number_is_not_given),
		TEST(a_fixed_number_is_taken_from_its_holder),
		TEST(a_full_prefix_takes_back_what_no_member_uses),
		TEST(a_lease_outside_a_smaller_prefix_is_replaced),
		TEST(a_transaction_gives_all_or_nothing),
		TEST(a_file_that_is_no_database_is_refused),
		TEST(an_empty_file_is_refused),
		TEST(a_truncated_database_is_refused),
		TEST(anothers_database_is_refused),
		TEST(a_later_schema_is_refused),
		TEST(file_of_the_first_version_keeps_its_leases_and_takes_certificates),
		TEST(an_invitation_is_used_once_and_for_good),
		TEST(file_of_the_second_version_takes_invitations),
		TEST(file_of_the_third_version_forgets_no_invitation_of_its_own),
		TEST(invitation_is_forgotten_when_nobody_can_be_a_member_by_it),
		TEST(after_a_sigkill_an_invitation_is_whose_it_was_said_to_be),
		TEST(a_full_disk_refuses_new_leases_and_keeps_the_old),
		TEST(a_missing_directory_is_said_with_its_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
