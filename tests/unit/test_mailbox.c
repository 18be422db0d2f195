#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "daemon/base/mailbox.h"

#define CAPACITY 8192

struct head {
	uint64_t peer;
	uint32_t member, index;
	uint8_t odd[3];
};

#define HEAD_BYTES sizeof(struct head)
#define NOTHING (&(struct head){ .peer = 0 })

struct drained {
	unsigned n;
	struct head last;
	size_t last_len;
	uint8_t bytes[CAPACITY];
	struct mailbox *answer_to; /* a box to push to from inside the drain */
};

static void note(void *arg, void *head, uint8_t *data, size_t len)
{
	struct drained *d = arg;
	bool was_empty;

	d->n++;
	d->last = *(struct head *)head;
	d->last_len = len;
	memcpy(d->bytes, data, len);
	memset(data, 0, len); /* the drain may write to what it is handed */
	memset(head, 0, HEAD_BYTES);
	if (d->answer_to)
		assert_int_equal(mailbox_push(d->answer_to, NOTHING, NULL, 0, false, &was_empty), 0);
}

static unsigned fill(struct mailbox *b, bool is_strangers)
{
	static uint8_t bytes[100];
	bool was_empty;
	unsigned n = 0;

	while (mailbox_push(b, NOTHING, bytes, sizeof(bytes), is_strangers, &was_empty) == 0)
		n++;
	assert_int_equal(mailbox_push(b, NOTHING, bytes, sizeof(bytes), is_strangers, &was_empty), -ENOBUFS);
	assert_false(was_empty);
	return n;
}

static void mail_arrives_whole_and_copied(void **state)
{
	struct mailbox *b = mailbox_new(CAPACITY, HEAD_BYTES);
	struct drained d = { 0 };
	uint8_t bytes[] = "an odd number of them";
	const struct head head = { .member = 7, .index = 8, .peer = 9, .odd = { 1, 2, 3 } };
	bool was_empty;

	(void)state;
	assert_non_null(b);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(mailbox_push(b, &head, bytes, 21, false, &was_empty), 0);
		assert_int_equal(was_empty, i == 0);
	}
	memset(bytes, 0, sizeof(bytes));
	mailbox_drain(b, note, &d);
	assert_int_equal(d.n, 3);
	assert_memory_equal(&d.last, &head, sizeof(head));
	assert_int_equal(d.last_len, 21);
	assert_memory_equal(d.bytes, "an odd number of them", 21);
	mailbox_free(b);
}

static void full_box_refuses_until_it_is_drained(void **state)
{
	struct mailbox *b = mailbox_new(CAPACITY, HEAD_BYTES);
	struct drained d = { 0 };
	unsigned n;

	(void)state;
	n = fill(b, false);
	assert_in_range(n, CAPACITY / (HEAD_BYTES + 100 + 32), CAPACITY / (HEAD_BYTES + 100));
	mailbox_drain(b, note, &d);
	assert_int_equal(d.n, n);
	assert_int_equal(fill(b, false), n);
	mailbox_free(b);
}

static void strangers_fill_only_half(void **state)
{
	struct mailbox *b = mailbox_new(CAPACITY, HEAD_BYTES);
	unsigned n_strangers, n_packets, n_all;
	struct drained d = { 0 };

	(void)state;
	n_strangers = fill(b, true);
	n_packets = fill(b, false);
	mailbox_drain(b, note, &d);
	n_all = fill(b, false);
	assert_in_range(n_strangers, n_all / 2 - 1, n_all / 2);
	assert_int_equal(n_strangers + n_packets, n_all);
	mailbox_free(b);
}

static void mail_longer_than_the_box_is_refused(void **state)
{
	static uint8_t bytes[CAPACITY];
	struct mailbox *b = mailbox_new(CAPACITY, HEAD_BYTES);
	bool was_empty = true;

	(void)state;
	assert_int_equal(mailbox_push(b, NOTHING, bytes, CAPACITY, false, &was_empty), -ENOBUFS);
	assert_false(was_empty);
	assert_int_equal(mailbox_push(b, NOTHING, bytes, CAPACITY - HEAD_BYTES - 32, false, &was_empty), 0);
	assert_true(was_empty);
	mailbox_free(b);
}

static void mail_pushed_during_a_drain_waits_for_the_next(void **state)
{
	struct mailbox *b = mailbox_new(CAPACITY, HEAD_BYTES);
	struct drained d = { .answer_to = b };
	bool was_empty;

	(void)state;
	assert_int_equal(mailbox_push(b, NOTHING, NULL, 0, false, &was_empty), 0);
	mailbox_drain(b, note, &d);
	assert_int_equal(d.n, 1);
	d.answer_to = NULL;
	mailbox_drain(b, note, &d);
	assert_int_equal(d.n, 2);
	mailbox_drain(b, note, &d);
	assert_int_equal(d.n, 2);
	mailbox_free(b);
	mailbox_free(NULL);
}

#define WRITERS 3
#define MAILS 20000

struct mail_writer {
	pthread_t thread;
	struct mailbox *box;
	uint32_t number;
	_Atomic unsigned *n_wakes;
};

static void *write_all(void *arg)
{
	struct mail_writer *w = arg;

	for (uint32_t i = 0; i < MAILS;) {
		const struct head head = { .member = w->number, .index = i };
		uint8_t bytes[64];
		bool was_empty;

		memset(bytes, (int)i, sizeof(bytes));
		if (mailbox_push(w->box, &head, bytes, i % sizeof(bytes), false, &was_empty) < 0) {
			sched_yield();
			continue;
		}
		if (was_empty)
			atomic_fetch_add(w->n_wakes, 1);
		i++;
	}
	return NULL;
}

struct read_back {
	uint32_t next[WRITERS];
	unsigned n, n_wrong;
};

static void read_back(void *arg, void *head, uint8_t *data, size_t len)
{
	const struct head *h = head;
	struct read_back *r = arg;

	r->n++;
	if (h->member >= WRITERS || h->index != r->next[h->member]++ || len != h->index % 64)
		r->n_wrong++;
	for (size_t i = 0; i < len; i++)
		if (data[i] != (uint8_t)h->index)
			r->n_wrong++;
}

static void threads_write_while_the_loop_drains(void **state)
{
	struct mailbox *b = mailbox_new(CAPACITY, HEAD_BYTES);
	struct mail_writer writers[WRITERS];
	struct read_back r = { 0 };
	_Atomic unsigned n_wakes = 0;
	unsigned n_filled_drains = 0;

	(void)state;
	for (uint32_t i = 0; i < WRITERS; i++) {
		writers[i] = (struct mail_writer){ .box = b, .number = i, .n_wakes = &n_wakes };
		assert_int_equal(pthread_create(&writers[i].thread, NULL, write_all, &writers[i]), 0);
	}
	while (r.n < WRITERS * MAILS) {
		unsigned before = r.n;

		mailbox_drain(b, read_back, &r);
		n_filled_drains += r.n > before;
		if (r.n == before)
			sched_yield();
	}
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(writers[i].thread, NULL);
	assert_int_equal(r.n, WRITERS * MAILS);
	assert_int_equal(r.n_wrong, 0);
	/* A loop that drains once a wake-up reads everything. */
	assert_int_equal(n_wakes, n_filled_drains);
	mailbox_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mail_arrives_whole_and_copied),
		cmocka_unit_test(full_box_refuses_until_it_is_drained),
		cmocka_unit_test(strangers_fill_only_half),
		cmocka_unit_test(mail_longer_than_the_box_is_refused),
		cmocka_unit_test(mail_pushed_during_a_drain_waits_for_the_next),
		cmocka_unit_test(threads_write_while_the_loop_drains),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
