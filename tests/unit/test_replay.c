#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/aead.h"
#include "crypto/key.h"
#include "crypto/replay.h"
#include "tests/unit/vectors.h"

/* The receiving end as the data path has it: the tag first, the window after it. */
struct receiver {
	struct aead_key key;
	struct replay window;
};

static bool receive(struct receiver *r, uint64_t counter, bool is_forged)
{
	static const uint8_t text[4] = "ping";
	uint8_t sealed[sizeof(text) + AEAD_TAG_BYTES], opened[sizeof(text)];

	aead_seal(&r->key, sealed, text, sizeof(text), NULL, 0, counter);
	if (is_forged)
		sealed[5] ^= 1;
	if (aead_open(&r->key, opened, sealed, sizeof(opened), NULL, 0, counter) < 0)
		return false;
	return replay_accept(&r->window, counter);
}

static bool verdict_of(const char *word)
{
	if (strcmp(word, "accept") != 0 && strcmp(word, "reject") != 0)
		fail_msg("no verdict: %s", word);
	return strcmp(word, "accept") == 0;
}

static void check(struct receiver *r, uint64_t counter, bool expected, const char *name)
{
	if (receive(r, counter, false) != expected)
		fail_msg("case %s: packet %" PRIu64 " is not %sed", name, counter, expected ? "accept" : "reject");
}

/* One line of the file; returns how many packets with a good tag it stands for. */
static size_t play(struct receiver *r, const char *line, char name[static 256])
{
	uint64_t from, to;
	char word[16];

	if (strncmp(line, "case ", 5) == 0) {
		snprintf(name, 256, "%s", line + 5);
		replay_init(&r->window);
		return 0;
	}
	if (sscanf(line, "rx %" SCNu64 " %15s", &from, word) == 2) {
		check(r, from, verdict_of(word), name);
		return 1;
	}
	if (sscanf(line, "range %" SCNu64 " %" SCNu64 " %15s", &from, &to, word) == 3) {
		size_t n = 1;

		for (; from != to; n++, from += to > from ? 1 : -1)
			check(r, from, verdict_of(word), name);
		check(r, to, verdict_of(word), name);
		return n;
	}
	if (sscanf(line, "forged %" SCNu64, &from) == 1) {
		const struct replay before = r->window;

		assert_false(receive(r, from, true));
		assert_memory_equal(&before, &r->window, sizeof(before));
		return 0;
	}
	fail_msg("not understood: %s", line);
	return 0;
}

static void all_cases_of_the_file_hold(void **state)
{
	static const uint8_t secret[32] = { 1 };
	FILE *file = vectors_file("replay_window.txt");
	struct receiver r;
	char *line = NULL, name[256] = "";
	size_t size = 0, n_cases = 0, n_forged = 0, n_packets = 0;
	ssize_t len;

	(void)state;
	assert_int_equal(aead_key_init(&r.key, AEAD_CHACHA20_POLY1305, secret), 0);
	replay_init(&r.window);
	while ((len = getline(&line, &size, file)) >= 0) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '\0' || line[0] == '#')
			continue;
		n_cases += strncmp(line, "case ", 5) == 0;
		n_forged += strncmp(line, "forged ", 7) == 0;
		n_packets += play(&r, line, name);
	}
	free(line);
	fclose(file);
	aead_key_wipe(&r.key);
	assert_int_equal(n_cases, 32);
	assert_int_equal(n_forged, 3);
	assert_int_equal(n_packets, 71769);
}

static void a_refused_counter_changes_nothing(void **state)
{
	struct replay w, before;

	(void)state;
	replay_init(&w);
	assert_true(replay_accept(&w, 100000));
	before = w;
	assert_false(replay_accept(&w, 100000));
	assert_false(replay_accept(&w, 100000 - REPLAY_WINDOW_BEHIND - 1));
	assert_false(replay_accept(&w, REPLAY_COUNTER_LIMIT));
	assert_false(replay_accept(&w, UINT64_MAX));
	assert_memory_equal(&before, &w, sizeof(w));
}

/* A window kept as a plain list of what was seen. */
struct model {
	uint64_t highest, seen[20000];
	size_t n;
};

static bool model_accept(struct model *m, uint64_t counter)
{
	if (counter >= REPLAY_COUNTER_LIMIT)
		return false;
	if (m->n > 0 && counter < m->highest && m->highest - counter > REPLAY_WINDOW_BEHIND)
		return false;
	for (size_t i = 0; i < m->n; i++)
		if (m->seen[i] == counter)
			return false;
	m->seen[m->n++] = counter;
	if (m->n == 1 || counter > m->highest)
		m->highest = counter;
	return true;
}

static void agrees_with_a_plain_list_on_random_walks(void **state)
{
	static const uint64_t reaches[] = { 3, 64, 130, 8128, 8200, 20000 };
	struct model *m = malloc(sizeof(*m));
	uint64_t random = 88172645463325252u; /* xorshift, fixed so that a failure comes again */

	(void)state;
	assert_non_null(m);
	for (size_t i = 0; i < sizeof(reaches) / sizeof(reaches[0]); i++) {
		struct replay w;
		uint64_t at = 1000000;

		replay_init(&w);
		m->n = 0;
		for (int step = 0; step < 3000; step++) {
			uint64_t counter;

			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			counter = at - reaches[i] + random % (2 * reaches[i] + 1);
			assert_int_equal(replay_accept(&w, counter), model_accept(m, counter));
			at = m->highest;
		}
	}
	free(m);
}

static int start(void **state)
{
	(void)state;
	return crypto_start();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_cases_of_the_file_hold),
		cmocka_unit_test(a_refused_counter_changes_nothing),
		cmocka_unit_test(agrees_with_a_plain_list_on_random_walks),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
