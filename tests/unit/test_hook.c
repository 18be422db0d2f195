/* Programs that are told of changes: small shell scripts, in a directory of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/net/hook.h"

struct fixture {
	char dir[64], program[96], out[96];
	uv_loop_t loop;
	uv_timer_t deadline;
	struct hook *hook;
	bool is_late;
};

static void on_deadline(uv_timer_t *timer)
{
	((struct fixture *)timer->data)->is_late = true;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	snprintf(f->dir, sizeof(f->dir), "/tmp/warren-hook-XXXXXX");
	if (!mkdtemp(f->dir) || uv_loop_init(&f->loop) < 0)
		return -1;
	snprintf(f->program, sizeof(f->program), "%s/program", f->dir);
	snprintf(f->out, sizeof(f->out), "%s/out", f->dir);
	uv_timer_init(&f->loop, &f->deadline);
	f->deadline.data = f;
	log_set_level(LOG_LEVEL_ERROR);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	int ret;

	hook_close(f->hook);
	uv_close((uv_handle_t *)&f->deadline, NULL);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	ret = uv_loop_close(&f->loop); /* nothing is left open */
	unlink(f->program);
	unlink(f->out);
	rmdir(f->dir);
	free(f);
	return ret;
}

/* `body` runs with OUT as the file that the test reads. */
static void open_limited(struct fixture *f, const char *body, mode_t mode, unsigned run_ms)
{
	FILE *file = fopen(f->program, "we");

	assert_non_null(file);
	fprintf(file, "#!/bin/sh\nOUT=%s\n%s", f->out, body);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(f->program, mode), 0);
	assert_int_equal(hook_open(&f->hook, &f->loop, "on_mapping_change", f->program, run_ms), 0);
}

static void open_script(struct fixture *f, const char *body, mode_t mode)
{
	open_limited(f, body, mode, 10000);
}

static void tell(struct fixture *f, const char *text)
{
	char *copy = strdup(text);

	assert_non_null(copy);
	hook_tell_take(f->hook, copy);
}

static const char *output(const struct fixture *f)
{
	static char text[4096];
	FILE *file = fopen(f->out, "re");
	size_t n = file ? fread(text, 1, sizeof(text) - 1, file) : 0;

	text[n] = '\0';
	if (file)
		fclose(file);
	return text;
}

static bool says(const struct fixture *f, const char *words)
{
	return strstr(output(f), words) != NULL;
}

static bool has_error(const struct fixture *f, const char *words)
{
	return strcmp(hook_last(f->hook)->error, words) == 0;
}

/* Runs the loop until `is_so`, at most `ms`. */
static void until(struct fixture *f, bool (*is_so)(const struct fixture *, const char *), const char *words,
		  unsigned ms)
{
	f->is_late = false;
	uv_timer_start(&f->deadline, on_deadline, ms, 0);
	while (!is_so(f, words) && !f->is_late) {
		uv_run(&f->loop, UV_RUN_NOWAIT);
		usleep(5000);
	}
	uv_timer_stop(&f->deadline);
	if (!is_so(f, words))
		fail_msg("not within %u ms: \"%s\"; it wrote \"%s\", error \"%s\"", ms, words, output(f),
			 hook_last(f->hook)->error);
}

static void the_document_comes_on_standard_input_and_nothing_else_comes_along(void **state)
{
	struct fixture *f = *state;
	int kept = open("/dev/null", O_RDONLY); /* no close-on-exec, as some library might */

	open_script(
		f,
		"{ cat; echo \"args $#\"; env | grep -v -e '^PWD=' -e '^SHLVL=' -e '^_=' -e '^OLDPWD='; pwd;\n"
		"ls -v /proc/$$/fd | tr '\\n' ' '; grep -i -e CapAmb -e SigIgn /proc/$$/status; echo end; } >$OUT\n",
		0700);
	assert_int_equal(setenv("WARREN_SECRET", "x", 1), 0);
	tell(f, "{\"a\":1}\n");
	assert_int_equal(hook_last(f->hook)->n_runs, 0); /* not at once */
	until(f, says, "end\n", 5000);
	close(kept);
	assert_true(says(f, "{\"a\":1}\nargs 0\nPATH="));
	assert_false(says(f, "WARREN_SECRET"));
	assert_true(says(f, "\n/\n"));
	/* Standard descriptors, what the shell opened (its script at 10 or 255, the list itself at 3), none of ours. */
	assert_false(strstr(output(f), "WARREN"));
	assert_true(says(f, "0 1 2 "));
	for (int fd = 4; fd < 10; fd++) {
		char word[16];

		snprintf(word, sizeof(word), " %d ", fd);
		assert_false(says(f, word));
	}
	assert_true(says(f, "CapAmb:\t0000000000000000"));
	assert_true(says(f, "SigIgn:\t0000000000000000"));
	until(f, has_error, "", 1000);
	assert_int_equal(hook_last(f->hook)->n_runs, 1);
	assert_true(hook_last(f->hook)->begun_ms > 0);
}

/* While it runs it is told three things: it hears the last. */
static void a_burst_is_told_once_and_only_one_runs_at_a_time(void **state)
{
	struct fixture *f = *state;

	open_script(f,
		    "read -r word\n"
		    "[ -e $OUT.lock ] && echo two at a time >>$OUT\n"
		    ": >$OUT.lock; echo \"begin $word\" >>$OUT; sleep 0.7; echo \"end $word\" >>$OUT; rm $OUT.lock\n",
		    0700);
	tell(f, "a\n");
	tell(f, "b\n");
	until(f, says, "begin b\n", 5000);
	tell(f, "c\n");
	tell(f, "d\n");
	tell(f, "e\n");
	until(f, says, "end e\n", 5000);
	assert_string_equal(output(f), "begin b\nend b\nbegin e\nend e\n");
	assert_int_equal(hook_last(f->hook)->n_runs, 2);
}

static void what_it_ends_with_is_remembered(void **state)
{
	struct fixture *f = *state;

	open_script(f, "read -r word; eval \"$word\"\n", 0700);
	tell(f, "exit 3\n");
	until(f, has_error, "exit code 3", 5000);
	tell(f, "kill -15 $$\n");
	until(f, has_error, "ended by signal 15", 5000);
	tell(f, "exit 0\n");
	until(f, has_error, "", 5000);
}

/* And with it what it has started. */
static void a_program_that_hangs_is_killed(void **state)
{
	struct fixture *f = *state;
	uint64_t begin_ms = clock_now_ms(), took_ms;
	pid_t child = 0;

	open_limited(f, "sleep 1000 &\necho \"child $! \" >$OUT; trap '' TERM; wait\n", 0700, 500);
	tell(f, "x\n");
	until(f, has_error, "killed after 0.5 s", 5000);
	took_ms = clock_now_ms() - begin_ms;
	assert_in_range(took_ms, HOOK_SETTLE_MS + 500, HOOK_SETTLE_MS + 3000);
	assert_int_equal(sscanf(output(f), "child %d", &child), 1);
	for (int i = 0; i < 200 && kill(child, 0) == 0; i++) {
		char path[64], line[256] = "";
		FILE *file;

		/* Whoever inherits it may not have reaped it: dead is enough. */
		snprintf(path, sizeof(path), "/proc/%d/stat", child);
		file = fopen(path, "re");
		if (file) {
			assert_non_null(fgets(line, sizeof(line), file));
			fclose(file);
		}
		if (strstr(line, ") Z"))
			return;
		usleep(10000);
	}
	assert_int_equal(kill(child, 0), -1);
}

static void closing_does_not_wait_for_it(void **state)
{
	struct fixture *f = *state;
	uint64_t begin_ms;

	open_script(f, "echo begun >$OUT; sleep 1000\n", 0700);
	tell(f, "x\n");
	until(f, says, "begun", 5000);
	begin_ms = clock_now_ms();
	hook_close(f->hook);
	f->hook = NULL;
	uv_run(&f->loop, UV_RUN_DEFAULT); /* until the killed one is reaped */
	assert_in_range(clock_now_ms() - begin_ms, 0, 2000);
}

static void what_others_could_have_written_is_not_run(void **state)
{
	static const mode_t modes[] = { 0720, 0702, 0777 };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		open_script(f, "echo run >$OUT\n", modes[i]);
		tell(f, "x\n");
		until(f, has_error, "others than root and the daemon's user may write it", 5000);
		assert_string_equal(output(f), "");
		hook_close(f->hook);
		f->hook = NULL;
		uv_run(&f->loop, UV_RUN_DEFAULT);
	}
}

static void what_cannot_be_run_is_said(void **state)
{
	struct fixture *f = *state;

	open_script(f, "echo run >$OUT\n", 0600);
	tell(f, "x\n");
	until(f, has_error, "Permission denied", 5000);
	unlink(f->program);
	tell(f, "x\n");
	until(f, has_error, "No such file or directory", 5000);
	assert_int_equal(mkdir(f->program, 0700), 0);
	tell(f, "x\n");
	until(f, has_error, "it is no file", 5000);
	rmdir(f->program);
}

/* It does not read: nobody waits for it. */
static void a_long_document_is_taken_whole_or_refused(void **state)
{
	struct fixture *f = *state;
	char *text = malloc(HOOK_TEXT_MAX_BYTES + 2);

	assert_non_null(text);
	open_script(f, "sleep 0.2; wc -c >$OUT\n", 0700);
	memset(text, 'x', HOOK_TEXT_MAX_BYTES + 1);
	text[HOOK_TEXT_MAX_BYTES] = '\0';
	tell(f, text);
	until(f, says, "65536", 5000);
	text[HOOK_TEXT_MAX_BYTES] = 'x';
	text[HOOK_TEXT_MAX_BYTES + 1] = '\0';
	tell(f, text);
	until(f, has_error, "Message too long", 5000);
	free(text);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(the_document_comes_on_standard_input_and_nothing_else_comes_along),
		TEST(a_burst_is_told_once_and_only_one_runs_at_a_time),
		TEST(what_it_ends_with_is_remembered),
		TEST(a_program_that_hangs_is_killed),
		TEST(closing_does_not_wait_for_it),
		TEST(what_others_could_have_written_is_not_run),
		TEST(what_cannot_be_run_is_said),
		TEST(a_long_document_is_taken_whole_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
