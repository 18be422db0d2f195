#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/coordinator/fair.h"

#define FLOOD 7
#define LIGHT 8
#define OTHER 9

static unsigned admit_many(struct fair *f, uint32_t sender, unsigned n, bool is_congested, uint64_t now_ms)
{
	unsigned n_admitted = 0;

	for (unsigned i = 0; i < n; i++)
		n_admitted += fair_admit(f, sender, 1000, is_congested, now_ms);
	return n_admitted;
}

static void nobody_is_refused_while_there_is_room(void **state)
{
	struct fair f;

	(void)state;
	fair_init(&f, 0);
	assert_false(fair_is_heavy(&f, FLOOD));
	assert_int_equal(admit_many(&f, FLOOD, 10000, false, 1), 10000);
	assert_int_equal(admit_many(&f, LIGHT, 1, false, 1), 1);
	assert_true(fair_is_heavy(&f, FLOOD));
	assert_false(fair_is_heavy(&f, LIGHT));
}

static void who_got_most_gives_way(void **state)
{
	struct fair f;

	(void)state;
	fair_init(&f, 0);
	admit_many(&f, FLOOD, 1000, false, 0);
	admit_many(&f, LIGHT, 100, false, 0);
	assert_int_equal(admit_many(&f, FLOOD, 100, true, 1), 0);
	assert_int_equal(admit_many(&f, LIGHT, 100, true, 1), 100);
	assert_int_equal(admit_many(&f, OTHER, 1, true, 1), 1); /* a newcomer */
	assert_int_equal(admit_many(&f, FLOOD, 1, false, 1), 1);
}

static void nobody_gets_more_than_the_heaviest_while_it_is_crowded(void **state)
{
	struct fair f;

	(void)state;
	fair_init(&f, 0);
	admit_many(&f, FLOOD, 1000, false, 0);
	assert_in_range(admit_many(&f, LIGHT, 5000, true, 1), 870, 880); /* seven eighths */
	assert_int_equal(admit_many(&f, FLOOD, 10, true, 1), 0);
}

static void what_was_sent_is_forgotten(void **state)
{
	struct fair f;

	(void)state;
	fair_init(&f, 1000);
	admit_many(&f, FLOOD, 1000, false, 1000);
	for (unsigned i = 1; i < 8; i++) /* the other goes on, little as it is */
		admit_many(&f, LIGHT, 100, false, 1000 + i * FAIR_HALVED_MS);
	assert_false(fair_is_heavy(&f, FLOOD));
	assert_true(fair_is_heavy(&f, LIGHT));
	assert_int_equal(admit_many(&f, FLOOD, 1, true, 1000 + 8 * FAIR_HALVED_MS), 1);
	/* After a long silence, and where the clock of another thread was ahead. */
	assert_int_equal(admit_many(&f, FLOOD, 1, true, 1000 + 1000 * FAIR_HALVED_MS), 1);
	assert_true(fair_admit(&f, LIGHT, 1000, false, 0));
}

/* A queue that takes `room` a ms of what the senders offer, and is congested while more than half of it is full: what they
 * get in ten seconds, each in hundredths of what it offered. The queue serves everybody alike: who comes when it is full
 * is dropped. */
#define QUEUE 100000 /* ten times what the heaviest offers at once */

static void simulate(const unsigned *offered, unsigned n, unsigned room, unsigned *percent)
{
	uint64_t got[4] = { 0 }, queued[4] = { 0 }, all = 0;
	struct fair f;

	fair_init(&f, 0);
	for (uint64_t now = 0; now < 10000; now++) {
		uint64_t left = room;

		for (unsigned i = 0; i < n; i++) {
			/* What is refused was taken out of the queue, which costs nothing here. */
			if (all + offered[i] > QUEUE || !fair_admit(&f, i, offered[i], all > QUEUE / 2, now))
				continue;
			queued[i] += offered[i];
			all += offered[i];
		}
		for (unsigned i = 0; i < n && all; i++) {
			uint64_t served = queued[i] * room / (all > room ? all : room);

			served = served < left ? served : left;
			got[i] += served;
			queued[i] -= served;
			left -= served;
		}
		all = 0;
		for (unsigned i = 0; i < n; i++)
			all += queued[i];
	}
	for (unsigned i = 0; i < n; i++)
		percent[i] = (unsigned)(got[i] / (uint64_t)offered[i] / 100);
}

static void a_flood_leaves_the_others_what_they_ask_for(void **state)
{
	const unsigned offered[] = { 10000, 1000, 100, 1500 };
	unsigned percent[4];

	(void)state;
	simulate(offered, 4, 5000, percent);
	for (unsigned i = 1; i < 4; i++)
		assert_in_range(percent[i], 97, 100);
	assert_in_range(percent[0], 22, 26); /* all that is left: 2400 of 10000 */
}

static void two_floods_share_alike(void **state)
{
	const unsigned offered[] = { 10000, 5000, 500 };
	unsigned percent[3];

	(void)state;
	simulate(offered, 3, 4500, percent);
	assert_in_range(percent[2], 97, 100);
	/* 2000 each: 20 % of the one, 40 % of the other. */
	assert_in_range(percent[0], 14, 26);
	assert_in_range(percent[1], 28, 52);
	assert_in_range(percent[0] * 100 + percent[1] * 50, 3600, 4000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_is_refused_while_there_is_room),
		cmocka_unit_test(who_got_most_gives_way),
		cmocka_unit_test(nobody_gets_more_than_the_heaviest_while_it_is_crowded),
		cmocka_unit_test(what_was_sent_is_forgotten),
		cmocka_unit_test(a_flood_leaves_the_others_what_they_ask_for),
		cmocka_unit_test(two_floods_share_alike),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
