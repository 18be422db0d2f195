#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/data/state.h"

static char work[] = "/tmp/test_state.XXXXXX"; /* each test's own directory */
static char path_buffer[256];

static const char *in_work(const char *name)
{
	snprintf(path_buffer, sizeof(path_buffer), "%s/%s", work, name);
	return path_buffer;
}

static int set_up(void **state)
{
	(void)state;
	memcpy(work + sizeof(work) - 7, "XXXXXX", 6);
	return mkdtemp(work) ? 0 : -1;
}

static int tear_down(void **state)
{
	static const char *const files[] = { "node.json", "node.json.tmp", "a/b/node.json" };
	static const char *const dirs[] = { "node.json", "a/b", "a", "" };

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		unlink(in_work(files[i]));
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		rmdir(in_work(dirs[i]));
	return access(work, F_OK) < 0 ? 0 : -1;
}

static void put_file(const char *text, size_t len)
{
	FILE *file = fopen(in_work("node.json"), "we");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static struct state full_state(void)
{
	static const char *const addrs[] = { "10.77.0.2/16", "fd77::2/64", "255.255.255.255/32",
					     "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128" };
	struct state s = { .port = 65535, .wall_floor_ms = (uint64_t)INT64_MAX, .n_addrs = WIRE_ADDRS_MAX };

	static_assert(sizeof(addrs) / sizeof(addrs[0]) == WIRE_ADDRS_MAX, "as many as there can be");
	for (unsigned i = 0; i < WIRE_ADDRS_MAX; i++)
		assert_int_equal(prefix_from_text(&s.addrs[i], addrs[i]), 0);
	return s;
}

static void assert_same(const struct state *a, const struct state *b)
{
	assert_int_equal(a->port, b->port);
	assert_int_equal(a->wall_floor_ms, b->wall_floor_ms);
	assert_int_equal(a->n_addrs, b->n_addrs);
	for (unsigned i = 0; i < a->n_addrs; i++) {
		assert_true(ip_equal(&a->addrs[i].ip, &b->addrs[i].ip));
		assert_int_equal(a->addrs[i].bits, b->addrs[i].bits);
	}
}

static void assert_empty(const struct state *s)
{
	const struct state none = { 0 };

	assert_same(s, &none);
}

static void what_is_written_is_read_back(void **state)
{
	const struct state full = full_state(), none = { 0 };
	struct state got;

	(void)state;
	assert_int_equal(state_write(&full, work), 0);
	assert_int_equal(state_read(&got, work), 0);
	assert_same(&got, &full);
	assert_int_equal(state_write(&none, work), 0);
	assert_int_equal(state_read(&got, work), 0);
	assert_empty(&got);
	assert_int_equal(access(in_work("node.json.tmp"), F_OK), -1);
}

static void missing_file_is_an_empty_state(void **state)
{
	struct state got = full_state();

	(void)state;
	assert_int_equal(state_read(&got, work), -ENOENT);
	assert_empty(&got);
	got = full_state();
	assert_int_equal(state_read(&got, in_work("nothing/there")), -ENOENT);
	assert_empty(&got);
}

static void file_cut_anywhere_is_not_believed(void **state)
{
	const struct state full = full_state();
	struct state got;
	char text[1024];
	FILE *file;
	size_t len;

	(void)state;
	assert_int_equal(state_write(&full, work), 0);
	file = fopen(in_work("node.json"), "re");
	assert_non_null(file);
	len = fread(text, 1, sizeof(text), file);
	fclose(file);
	assert_in_range(len, 50, sizeof(text) - 1);
	for (size_t cut = 0; cut < len; cut++) {
		put_file(text, cut);
		assert_int_equal(state_read(&got, work), -EUCLEAN);
		assert_empty(&got);
	}
}

static void alien_file_is_not_believed(void **state)
{
	static const char *const texts[] = {
		"PNG",
		"[]",
		"{}",
		"null",
		"{\"port\": 1, \"wall_floor_ms\": 1}",
		"{\"port\": 1, \"addresses\": []}",
		"{\"wall_floor_ms\": 1, \"addresses\": []}",
		"{\"port\": \"1\", \"wall_floor_ms\": 1, \"addresses\": []}",
		"{\"port\": 1.5, \"wall_floor_ms\": 1, \"addresses\": []}",
		"{\"port\": -1, \"wall_floor_ms\": 1, \"addresses\": []}",
		"{\"port\": 65536, \"wall_floor_ms\": 1, \"addresses\": []}",
		"{\"port\": 1, \"wall_floor_ms\": -1, \"addresses\": []}",
		"{\"port\": 1, \"wall_floor_ms\": true, \"addresses\": []}",
		"{\"port\": 1, \"wall_floor_ms\": 99999999999999999999, \"addresses\": []}",
		"{\"port\": 1, \"wall_floor_ms\": 1, \"addresses\": {}}",
		"{\"port\": 1, \"wall_floor_ms\": 1, \"addresses\": [1]}",
		"{\"port\": 1, \"wall_floor_ms\": 1, \"addresses\": [\"10.77.0.2/16\", \"10.77.0.2/33\"]}",
		"{\"port\": 1, \"wall_floor_ms\": 1, \"addresses\": [\"::1\",\"::2\",\"::3\",\"::4\",\"::5\"]}",
		"{\"port\": 1, \"port\": 2, \"wall_floor_ms\": 1, \"addresses\": []}",
		"{\"port\": 1, \"wall_floor_ms\": 1, \"addresses\": []} and more",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct state got = full_state();

		put_file(texts[i], strlen(texts[i]));
		if (state_read(&got, work) != -EUCLEAN)
			fail_msg("%s", texts[i]);
		assert_empty(&got);
	}
}

static void later_versions_fields_are_passed_over(void **state)
{
	static const char text[] = "{\"port\": 1, \"wall_floor_ms\": 2, \"addresses\": [], \"colour\": \"blue\"}";
	struct state got;

	(void)state;
	put_file(text, strlen(text));
	assert_int_equal(state_read(&got, work), 0);
	assert_int_equal(got.port, 1);
	assert_int_equal(got.wall_floor_ms, 2);
}

static void missing_directories_are_made_for_us_alone(void **state)
{
	const struct state full = full_state();
	struct state got;
	struct stat st;

	(void)state;
	umask(0);
	assert_int_equal(state_write(&full, in_work("a/b")), 0);
	assert_int_equal(state_read(&got, in_work("a/b")), 0);
	assert_same(&got, &full);
	assert_int_equal(stat(in_work("a/b"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(stat(in_work("a/b/node.json"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void file_in_place_of_the_directory_is_an_error(void **state)
{
	const struct state full = full_state();
	char long_dir[5000];

	(void)state;
	put_file("x", 1);
	assert_int_equal(state_write(&full, in_work("node.json")), -ENOTDIR);
	assert_int_equal(state_write(&full, in_work("node.json/below")), -ENOTDIR);
	memset(long_dir, 'd', sizeof(long_dir) - 1);
	long_dir[sizeof(long_dir) - 1] = '\0';
	assert_int_equal(state_write(&full, long_dir), -ENAMETOOLONG);
}

static void link_left_at_the_temporary_name_is_not_followed(void **state)
{
	const struct state full = full_state();
	struct state got;

	(void)state;
	put_file("x", 1);
	assert_int_equal(symlink("node.json", in_work("node.json.tmp")), 0);
	assert_int_equal(state_write(&full, work), -ELOOP);
	assert_int_equal(state_read(&got, work), -EUCLEAN); /* still the one byte */
}

static void full_disk_keeps_the_old_file(void **state)
{
	struct state full = full_state(), got;
	char fill[4096] = { 0 };
	int fd;

	(void)state;
	/* A disk of two pages, seen by this program alone. */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", work, "tmpfs", 0, "size=8k,mode=700") < 0)
		skip();
	full.port = 1111;
	assert_int_equal(state_write(&full, work), 0);
	fd = open(in_work("fill"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	while (write(fd, fill, sizeof(fill)) > 0)
		;
	full.port = 2222;
	assert_int_equal(state_write(&full, work), -ENOSPC);
	assert_int_equal(state_read(&got, work), 0);
	assert_int_equal(got.port, 1111);
	assert_int_equal(access(in_work("node.json.tmp"), F_OK), -1);

	close(fd);
	unlink(in_work("fill"));
	assert_int_equal(state_write(&full, work), 0);
	assert_int_equal(state_read(&got, work), 0);
	assert_int_equal(got.port, 2222);
	assert_int_equal(umount(work), 0);
}

/* Each life uses some timestamps and ends without a word; the clock stands, jumps back, or goes on. */
static void timestamps_rise_over_lives_whatever_the_clock_does(void **state)
{
	static const int64_t clocks[] = { 1000000, 1000000, 1000001, 400000, 2500000, 2500000, 10, 9000000 };
	struct state kept = { 0 };
	uint64_t highest = 0;
	unsigned n_saves = 0;

	(void)state;
	for (size_t life = 0; life < sizeof(clocks) / sizeof(clocks[0]); life++) {
		struct state s = kept; /* as read from the file */
		const uint64_t floor_ms = s.wall_floor_ms;
		uint64_t lowest = UINT64_MAX, now_ms = (uint64_t)clocks[life];

		for (unsigned i = 0; i < 5000; i++, now_ms += 200) { /* 1000 s */
			bool must_save;
			uint64_t wall_ms = state_wall_ms(&s, floor_ms, now_ms, &must_save);

			if (must_save) {
				kept = s;
				n_saves++;
			}
			lowest = wall_ms < lowest ? wall_ms : lowest;
			/* What could be used before a crash in this very moment. */
			assert_true(wall_ms < kept.wall_floor_ms);
			if (i == 0 && life > 0)
				assert_true(wall_ms > highest + 17); /* more than the grain of a timestamp */
		}
		highest = now_ms - 200 > floor_ms ? now_ms - 200 : floor_ms;
		assert_true(lowest >= floor_ms);
	}
	assert_in_range(n_saves, 8, 3 * 8); /* seldom: each is a write to the disk */
}

static struct state_network network_of(unsigned i)
{
	struct state_network v = { .outside = { 4, { 203, 0, 113, (uint8_t)i } },
				   .lifetime_s = (uint16_t)(i + 10),
				   .learned_wall_ms = 1700000000000 + i };

	if (i % 2)
		v.gateway = (struct ip){ 4, { 192, 168, 1, (uint8_t)i } };
	return v;
}

static void networks_are_kept_newest_first_and_read_back(void **state)
{
	struct state written = { .port = 1 }, back;
	struct state_network v;

	(void)state;
	for (unsigned i = 0; i < STATE_NETWORKS_MAX + 4; i++) {
		v = network_of(i);
		state_put_network(&written, &v);
	}
	v = network_of(10); /* anew */
	v.lifetime_s = 99;
	state_put_network(&written, &v);
	assert_int_equal(written.n_networks, STATE_NETWORKS_MAX);
	assert_int_equal(state_write(&written, work), 0);
	assert_int_equal(state_read(&back, work), 0);
	assert_int_equal(back.n_networks, STATE_NETWORKS_MAX);
	assert_int_equal(back.networks[0].lifetime_s, 99);
	assert_int_equal(back.networks[1].lifetime_s, STATE_NETWORKS_MAX + 3 + 10);
	for (unsigned i = 0; i < STATE_NETWORKS_MAX + 4; i++) {
		const struct state_network *found;

		v = network_of(i);
		found = state_network(&back, &v.gateway, &v.outside);
		assert_int_equal(found != NULL, i >= 4); /* the oldest gave way */
		assert_true(!found || found->learned_wall_ms == v.learned_wall_ms);
	}
}

static void network_that_makes_no_sense_is_left_out(void **state)
{
	static const char text[] =
		"{\"port\": 1, \"wall_floor_ms\": 0, \"addresses\": [], \"networks\": ["
		"{\"gateway\": null, \"outside\": \"203.0.113.1\", \"lifetime_s\": 30, \"learned_ms\": 5},"
		"{\"gateway\": 7, \"outside\": \"203.0.113.2\", \"lifetime_s\": 30, \"learned_ms\": 5},"
		"{\"gateway\": null, \"outside\": null, \"lifetime_s\": 30, \"learned_ms\": 5},"
		"{\"gateway\": null, \"outside\": \"203.0.113.4\", \"lifetime_s\": 0, \"learned_ms\": 5},"
		"{\"gateway\": null, \"outside\": \"203.0.113.5\", \"lifetime_s\": 70000, \"learned_ms\": 5}, 3]}";
	struct state back;

	(void)state;
	put_file(text, strlen(text));
	assert_int_equal(state_read(&back, work), 0);
	assert_int_equal(back.port, 1);
	assert_int_equal(back.n_networks, 1);
	assert_int_equal(back.networks[0].lifetime_s, 30);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timestamps_rise_over_lives_whatever_the_clock_does),
		TEST(what_is_written_is_read_back),
		TEST(networks_are_kept_newest_first_and_read_back),
		TEST(network_that_makes_no_sense_is_left_out),
		TEST(missing_file_is_an_empty_state),
		TEST(file_cut_anywhere_is_not_believed),
		TEST(alien_file_is_not_believed),
		TEST(later_versions_fields_are_passed_over),
		TEST(missing_directories_are_made_for_us_alone),
		TEST(file_in_place_of_the_directory_is_an_error),
		TEST(link_left_at_the_temporary_name_is_not_followed),
		TEST(full_disk_keeps_the_old_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
