#include "tests/unit/certs.h"
#include "tests/unit/wire_checks.h"
#include "daemon/peer/revocations.h"

#define SOURCE 7
#define OTHER 8

static uint8_t list[REVOCATION_MAX_BYTES];

struct fixture {
	struct revocations *ours, *theirs;
};

static int set_up(void **state)
{
	struct verifykey network = certs_network(0);
	struct fixture *f = calloc(1, sizeof(*f));

	f->ours = revocations_new(&network);
	f->theirs = revocations_new(&network);
	*state = f;
	return f->ours && f->theirs ? 0 : -1;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	revocations_free(f->ours);
	revocations_free(f->theirs);
	free(f);
	return 0;
}

static struct pubkey key_of(unsigned n)
{
	struct pubkey key = { { 1, (uint8_t)(n >> 8), (uint8_t)n } };

	return key;
}

static size_t make(uint64_t epoch, unsigned n)
{
	struct pubkey *keys = calloc(n + 1, sizeof(*keys));
	size_t len;

	for (unsigned i = 0; i < n; i++)
		keys[i] = key_of(i);
	len = certs_revoke(list, epoch, keys, n);
	free(keys);
	return len;
}

static void adopt(struct revocations *r, uint64_t epoch, unsigned n)
{
	assert_int_equal(revocations_adopt(r, list, make(epoch, n)), 0);
}

/* Carries messages between the two until both are quiet; returns how many, and whether ours got news. */
static unsigned talk(struct fixture *f, struct wire_revocations first, bool *is_news)
{
	struct revocations *to = f->ours;
	struct wire_revocations m = first, reply;
	enum revocations_result result;
	unsigned n = 0;

	*is_news = false;
	for (; n < 200; n++) {
		result = revocations_on_message(to, SOURCE, &m, 0, &reply);
		*is_news |= result == REVOCATIONS_NEWS && to == f->ours;
		if (result != REVOCATIONS_REPLY)
			break;
		m = reply;
		to = to == f->ours ? f->theirs : f->ours;
	}
	return n;
}

static void newer_list_is_fetched_whole_and_no_older_one_taken(void **state)
{
	struct fixture *f = *state;
	struct cert_serial none = { { 9 } };
	struct pubkey last = key_of(REVOCATION_ENTRIES_MAX - 1);
	bool is_news;

	adopt(f->theirs, 3, REVOCATION_ENTRIES_MAX);
	talk(f, revocations_have(f->theirs), &is_news);
	assert_true(is_news);
	assert_int_equal(revocations_epoch(f->ours), 3);
	assert_true(revocations_name(f->ours, &last, &none));
	assert_int_equal(revocations_next_ms(f->ours) == UINT64_MAX, true);
	/* Never back, nor the same again. */
	assert_int_equal(revocations_adopt(f->ours, list, make(2, 1)), -EALREADY);
	assert_int_equal(revocations_adopt(f->ours, list, make(3, 1)), -EALREADY);
	assert_true(revocations_name(f->ours, &last, &none));
}

static void list_has_an_end_and_it_is_known_before(void **state)
{
	const uint64_t day = CERTS_DAY_S;
	struct signkey network = certs_network_key(0);
	struct revocation_entry none;
	struct fixture *f = *state;
	int len;

	adopt(f->ours, 1, 0);
	assert_int_equal(revocations_expires_s(f->ours), 0);
	assert_false(revocations_is_over(f->ours, UINT64_MAX / 2) || revocations_is_ending(f->ours, UINT64_MAX / 2));
	len = revocation_make(list, sizeof(list), 2, CERTS_NOW_S, CERTS_NOW_S + 365 * day, &none, 0, &network);
	assert_int_equal(revocations_adopt(f->ours, list, (size_t)len), 0);
	assert_int_equal(revocations_expires_s(f->ours), CERTS_NOW_S + 365 * day);
	assert_false(revocations_is_ending(f->ours, CERTS_NOW_S + 335 * day - 1));
	assert_true(revocations_is_ending(f->ours, CERTS_NOW_S + 335 * day));
	assert_false(revocations_is_over(f->ours, CERTS_NOW_S + 365 * day + CERT_SKEW_S - 1));
	assert_true(revocations_is_over(f->ours, CERTS_NOW_S + 365 * day + CERT_SKEW_S));
	/* A short life is not one long warning. */
	len = revocation_make(list, sizeof(list), 3, CERTS_NOW_S, CERTS_NOW_S + 30 * day, &none, 0, &network);
	assert_int_equal(revocations_adopt(f->ours, list, (size_t)len), 0);
	assert_false(revocations_is_ending(f->ours, CERTS_NOW_S + 20 * day - 1));
	assert_true(revocations_is_ending(f->ours, CERTS_NOW_S + 20 * day));
	/* The next one is good again. */
	adopt(f->ours, 4, 1);
	assert_false(revocations_is_over(f->ours, CERTS_NOW_S + 365 * day));
}

static void who_has_the_older_list_is_told_and_asks(void **state)
{
	struct fixture *f = *state;
	bool is_news;

	adopt(f->ours, 5, 2);
	adopt(f->theirs, 4, 1);
	talk(f, revocations_have(f->theirs), &is_news);
	assert_false(is_news);
	assert_int_equal(revocations_epoch(f->theirs), 5);
}

static void list_of_another_network_is_not_taken(void **state)
{
	struct fixture *f = *state;
	struct verifykey other = certs_network(1);
	struct revocations *r = revocations_new(&other);

	assert_int_equal(revocations_adopt(r, list, make(1, 1)), -EBADMSG);
	assert_int_equal(revocations_adopt(f->ours, list, make(1, 1) - 1), -EBADMSG);
	assert_int_equal(revocations_epoch(f->ours), 0);
	revocations_free(r);
}

/* Says it has a list, and sends something else. */
static void who_lies_is_left_alone_for_a_while(void **state)
{
	struct fixture *f = *state;
	uint8_t junk[REVOCATION_HEAD_BYTES] = { REVOCATION_VERSION };
	struct wire_revocations have = { .step = REVOCATION_HAVE, .epoch = 1000 }, reply;
	struct wire_revocations part = { .step = REVOCATION_PART, .epoch = 1000, .data = junk, .len = sizeof(junk) };

	assert_int_equal(revocations_on_message(f->ours, SOURCE, &have, 0, &reply), REVOCATIONS_REPLY);
	assert_int_equal(reply.step, REVOCATION_ASK);
	assert_int_equal(revocations_on_message(f->ours, SOURCE, &part, 0, &reply), REVOCATIONS_QUIET);
	assert_int_equal(revocations_on_message(f->ours, SOURCE, &have, 1, &reply), REVOCATIONS_QUIET);
	have.epoch = 2;
	assert_int_equal(revocations_on_message(f->ours, OTHER, &have, 1, &reply), REVOCATIONS_REPLY);
	assert_int_equal(revocations_next_ms(f->ours), 1 + REVOCATIONS_ASK_AGAIN_MS);
}

/* A true head, and entries that are not those it was made for. */
static void altered_entries_are_noticed_at_the_end(void **state)
{
	struct fixture *f = *state;
	struct wire_revocations have = { .step = REVOCATION_HAVE, .epoch = 3 }, reply, part;
	size_t len = make(3, 2);

	list[len - 1] ^= 1;
	assert_int_equal(revocations_on_message(f->ours, SOURCE, &have, 0, &reply), REVOCATIONS_REPLY);
	part = (struct wire_revocations){ REVOCATION_PART, 3, 0, list, len };
	assert_int_equal(revocations_on_message(f->ours, SOURCE, &part, 0, &reply), REVOCATIONS_QUIET);
	assert_int_equal(revocations_epoch(f->ours), 0);
	assert_int_equal(revocations_on_message(f->ours, SOURCE, &have, 0, &reply), REVOCATIONS_QUIET); /* barred */
}

static void more_than_was_asked_for_is_refused(void **state)
{
	struct fixture *f = *state;
	struct wire_revocations have = { .step = REVOCATION_HAVE, .epoch = 3 }, reply, part;
	size_t len = make(3, 1);

	assert_int_equal(revocations_on_message(f->ours, SOURCE, &have, 0, &reply), REVOCATIONS_REPLY);
	part = (struct wire_revocations){ REVOCATION_PART, 3, 0, list, len + 1 };
	assert_int_equal(revocations_on_message(f->ours, SOURCE, &part, 0, &reply), REVOCATIONS_QUIET);
	assert_int_equal(revocations_epoch(f->ours), 0);
}

static void lost_part_is_asked_for_again_and_then_given_up(void **state)
{
	struct fixture *f = *state;
	struct wire_revocations ask;
	uint64_t source, now_ms = 0;

	adopt(f->theirs, 3, 100);
	assert_int_equal(revocations_heard(f->ours, SOURCE, 3, 0, &ask), REVOCATIONS_REPLY);
	for (unsigned i = 1; i < REVOCATIONS_ASKS_MAX; i++) {
		assert_false(revocations_tick(f->ours, now_ms + REVOCATIONS_ASK_AGAIN_MS - 1, &source, &ask));
		now_ms += REVOCATIONS_ASK_AGAIN_MS;
		assert_true(revocations_tick(f->ours, now_ms, &source, &ask));
		assert_int_equal(source, SOURCE);
		assert_int_equal(ask.offset, 0);
	}
	now_ms += REVOCATIONS_ASK_AGAIN_MS;
	assert_false(revocations_tick(f->ours, now_ms, &source, &ask));
	assert_int_equal(revocations_heard(f->ours, SOURCE, 3, now_ms, &ask), REVOCATIONS_QUIET);
	assert_int_equal(revocations_heard(f->ours, OTHER, 3, now_ms, &ask), REVOCATIONS_REPLY);
	assert_int_equal(revocations_heard(f->ours, SOURCE, 4, now_ms + REVOCATIONS_BARRED_MS, &ask),
			 REVOCATIONS_QUIET); /* another is at it */
}

static void list_that_changes_meanwhile_is_begun_anew(void **state)
{
	struct fixture *f = *state;
	struct wire_revocations ask, reply;
	bool is_news;

	adopt(f->theirs, 3, 100);
	assert_int_equal(revocations_heard(f->ours, SOURCE, 3, 0, &ask), REVOCATIONS_REPLY);
	assert_int_equal(revocations_on_message(f->theirs, SOURCE, &ask, 0, &reply), REVOCATIONS_REPLY);
	assert_int_equal(revocations_on_message(f->ours, SOURCE, &reply, 0, &ask), REVOCATIONS_REPLY);
	adopt(f->theirs, 4, 101);
	assert_int_equal(revocations_on_message(f->theirs, SOURCE, &ask, 0, &reply), REVOCATIONS_REPLY);
	assert_int_equal(reply.step, REVOCATION_HAVE);
	talk(f, reply, &is_news);
	assert_true(is_news);
	assert_int_equal(revocations_epoch(f->ours), 4);
}

static int start(void **state)
{
	(void)state;
	return crypto_start();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(newer_list_is_fetched_whole_and_no_older_one_taken),
		TEST(who_has_the_older_list_is_told_and_asks),
		TEST(list_has_an_end_and_it_is_known_before),
		TEST(list_of_another_network_is_not_taken),
		TEST(who_lies_is_left_alone_for_a_while),
		TEST(altered_entries_are_noticed_at_the_end),
		TEST(more_than_was_asked_for_is_refused),
		TEST(lost_part_is_asked_for_again_and_then_given_up),
		TEST(list_that_changes_meanwhile_is_begun_anew),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
