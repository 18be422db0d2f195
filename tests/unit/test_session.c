#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/key.h"
#include "daemon/peer/handshake.h"
#include "daemon/peer/session.h"

#define BODY_BYTES 64
#define SEALED_BYTES (BODY_BYTES + WIRE_SEALED_OVERHEAD_BYTES)
#define CREATED_MS 1000

struct pair {
	struct session *a, *b; /* a: the initiator */
};

static struct pair pair_of(enum aead_suite suite)
{
	struct handshake_keys keys = { .suite = suite, .features = WIRE_FEATURE_LZ4 }, mirrored;
	struct pair p;

	memset(keys.send, 1, sizeof(keys.send));
	memset(keys.recv, 2, sizeof(keys.recv));
	mirrored = keys;
	memcpy(mirrored.send, keys.recv, sizeof(keys.send));
	memcpy(mirrored.recv, keys.send, sizeof(keys.recv));
	p.a = session_new(&keys, 10, 20, true, CREATED_MS, NULL);
	p.b = session_new(&mirrored, 20, 10, false, CREATED_MS, NULL);
	assert_non_null(p.a);
	assert_non_null(p.b);
	return p;
}

static void pair_free(struct pair p)
{
	session_unref(p.a);
	session_unref(p.b);
}

static int seal(struct session *s, uint8_t out[SEALED_BYTES])
{
	static const uint8_t body[BODY_BYTES] = "an inner packet";

	return session_seal(s, WIRE_DATA, 0, out, body, sizeof(body));
}

static int open_at(struct session *s, uint8_t *data, size_t len, uint64_t now_ms)
{
	struct wire_sealed h;
	int ret = wire_sealed_decode(&h, data, len);

	return ret < 0 ? ret : session_open(s, &h, data, len, now_ms);
}

static void sealed_datagram_opens_at_the_other_end(void **state)
{
	static const enum aead_suite suites[] = { AEAD_CHACHA20_POLY1305, AEAD_AES_256_GCM };
	uint8_t data[SEALED_BYTES];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct wire_sealed h;
		struct pair p;

		if (!aead_impl_of(suites[i]))
			continue;
		p = pair_of(suites[i]);
		for (unsigned n = 0; n < 3; n++) {
			assert_int_equal(seal(p.a, data), sizeof(data));
			assert_int_equal(wire_sealed_decode(&h, data, sizeof(data)), 0);
			assert_int_equal(h.type, WIRE_DATA);
			assert_int_equal(h.index, 20);
			assert_int_equal(h.counter, n);
			assert_int_equal(open_at(p.b, data, sizeof(data), CREATED_MS), BODY_BYTES);
			assert_string_equal(data + WIRE_SEALED_HEADER_BYTES, "an inner packet");
			assert_int_equal(seal(p.b, data), sizeof(data));
			assert_int_equal(open_at(p.a, data, sizeof(data), CREATED_MS), BODY_BYTES);
		}
		pair_free(p);
	}
}

static void body_may_stand_where_it_is_sealed(void **state)
{
	struct pair p = pair_of(AEAD_CHACHA20_POLY1305);
	uint8_t data[SEALED_BYTES] = { 0 };
	int len;

	(void)state;
	memcpy(data + WIRE_SEALED_HEADER_BYTES, "in place", 9);
	len = session_seal(p.a, WIRE_SESSION, 0, data, data + WIRE_SEALED_HEADER_BYTES, 9);
	assert_int_equal(len, 9 + WIRE_SEALED_OVERHEAD_BYTES);
	assert_int_equal(open_at(p.b, data, (size_t)len, CREATED_MS), 9);
	assert_string_equal(data + WIRE_SEALED_HEADER_BYTES, "in place");
	pair_free(p);
}

static void empty_body_is_a_keepalive(void **state)
{
	struct pair p = pair_of(AEAD_CHACHA20_POLY1305);
	uint8_t data[SEALED_BYTES];

	(void)state;
	assert_int_equal(session_seal(p.a, WIRE_DATA, 0, data, NULL, 0), WIRE_SEALED_OVERHEAD_BYTES);
	assert_int_equal(open_at(p.b, data, WIRE_SEALED_OVERHEAD_BYTES, CREATED_MS), 0);
	pair_free(p);
}

static void every_flipped_bit_is_refused_and_leaves_the_window_alone(void **state)
{
	struct pair p = pair_of(AEAD_CHACHA20_POLY1305);
	uint8_t data[SEALED_BYTES], flipped[SEALED_BYTES];

	(void)state;
	seal(p.a, data);
	for (unsigned bit = 0; bit < sizeof(data) * 8; bit++) {
		memcpy(flipped, data, sizeof(data));
		flipped[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(open_at(p.b, flipped, sizeof(flipped), CREATED_MS), -EBADMSG);
	}
	for (size_t len = 0; len < sizeof(data); len++) {
		memcpy(flipped, data, sizeof(data));
		assert_int_equal(open_at(p.b, flipped, len, CREATED_MS), -EBADMSG);
	}
	assert_false(p.b->window.any);
	assert_int_equal(open_at(p.b, data, sizeof(data), CREATED_MS), BODY_BYTES);
	pair_free(p);
}

static void replayed_datagram_is_refused(void **state)
{
	struct pair p = pair_of(AEAD_CHACHA20_POLY1305);
	uint8_t data[SEALED_BYTES], again[SEALED_BYTES];

	(void)state;
	seal(p.a, data);
	memcpy(again, data, sizeof(data));
	assert_int_equal(open_at(p.b, data, sizeof(data), CREATED_MS), BODY_BYTES);
	assert_int_equal(open_at(p.b, again, sizeof(again), CREATED_MS), -EALREADY);
	pair_free(p);
}

static void own_datagram_reflected_is_refused(void **state)
{
	struct pair p = pair_of(AEAD_CHACHA20_POLY1305);
	uint8_t data[SEALED_BYTES];

	(void)state;
	seal(p.a, data);
	assert_int_equal(open_at(p.a, data, sizeof(data), CREATED_MS), -EBADMSG);
	pair_free(p);
}

static void keys_open_nothing_past_reject_time(void **state)
{
	struct pair p = pair_of(AEAD_CHACHA20_POLY1305);
	uint8_t data[SEALED_BYTES], late[SEALED_BYTES];

	(void)state;
	seal(p.a, data);
	memcpy(late, data, sizeof(data));
	assert_int_equal(open_at(p.b, late, sizeof(late), CREATED_MS + SESSION_REJECT_AFTER_MS), -EKEYEXPIRED);
	assert_int_equal(open_at(p.b, data, sizeof(data), CREATED_MS + SESSION_REJECT_AFTER_MS - 1), BODY_BYTES);
	seal(p.a, data);
	assert_int_equal(open_at(p.b, data, sizeof(data), CREATED_MS - 1), BODY_BYTES);
	pair_free(p);
}

static void worn_key_asks_for_another_and_then_seals_no_more(void **state)
{
	struct pair p = pair_of(AEAD_CHACHA20_POLY1305);
	const uint64_t last = aead_reject_after(AEAD_CHACHA20_POLY1305) - 1;
	uint8_t data[SEALED_BYTES];

	(void)state;
	assert_false(session_is_worn(p.a));
	atomic_store(&p.a->next_counter, aead_rekey_after(AEAD_CHACHA20_POLY1305) - 1);
	assert_false(session_is_worn(p.a));
	assert_int_equal(seal(p.a, data), sizeof(data));
	assert_true(session_is_worn(p.a));
	atomic_store(&p.a->next_counter, last);
	assert_int_equal(seal(p.a, data), sizeof(data));
	assert_int_equal(open_at(p.b, data, sizeof(data), CREATED_MS), BODY_BYTES);
	for (int i = 0; i < 20000; i++)
		assert_int_equal(seal(p.a, data), -EKEYEXPIRED);
	pair_free(p);
}

static void initiator_is_confirmed_from_the_start_and_responder_is_not(void **state)
{
	struct pair p = pair_of(AEAD_CHACHA20_POLY1305);

	(void)state;
	assert_true(atomic_load(&p.a->is_confirmed));
	assert_false(atomic_load(&p.b->is_confirmed));
	pair_free(p);
}

static void unknown_suite_makes_no_session(void **state)
{
	struct handshake_keys keys = { .suite = AEAD_NONE };

	(void)state;
	assert_null(session_new(&keys, 1, 2, true, 0, NULL));
}

/* What several workers do at once: what a few senders sealed, opened by a few receivers, every datagram by all of them. */
#define N_THREADS 3
#define N_DATAGRAMS 1500

struct shared {
	struct pair p;
	uint8_t sealed[N_THREADS][N_DATAGRAMS][SEALED_BYTES];
	_Atomic unsigned n_opened, n_replayed, n_failed;
};
struct worker {
	struct shared *shared;
	unsigned number;
	pthread_t thread;
};

static void *seal_many(void *arg)
{
	struct worker *w = arg;
	struct session *s = session_ref(w->shared->p.a);

	for (unsigned i = 0; i < N_DATAGRAMS; i++)
		if (seal(s, w->shared->sealed[w->number][i]) != SEALED_BYTES)
			atomic_fetch_add(&w->shared->n_failed, 1);
	session_unref(s);
	return NULL;
}

static void *open_all(void *arg)
{
	struct worker *w = arg;
	struct session *s = session_ref(w->shared->p.b);
	uint8_t data[SEALED_BYTES];

	for (unsigned i = 0; i < N_DATAGRAMS; i++) {
		for (unsigned from = 0; from < N_THREADS; from++) {
			int ret;

			memcpy(data, w->shared->sealed[from][i], sizeof(data));
			ret = open_at(s, data, sizeof(data), CREATED_MS);
			if (ret == BODY_BYTES)
				atomic_fetch_add(&w->shared->n_opened, 1);
			else if (ret == -EALREADY)
				atomic_fetch_add(&w->shared->n_replayed, 1);
			else
				atomic_fetch_add(&w->shared->n_failed, 1);
		}
	}
	session_unref(s);
	return NULL;
}

static void run(struct worker workers[N_THREADS], struct shared *shared, void *(*what)(void *))
{
	for (unsigned i = 0; i < N_THREADS; i++) {
		workers[i].shared = shared;
		workers[i].number = i;
		assert_int_equal(pthread_create(&workers[i].thread, NULL, what, &workers[i]), 0);
	}
	for (unsigned i = 0; i < N_THREADS; i++)
		pthread_join(workers[i].thread, NULL);
}

static void threads_never_repeat_a_counter_nor_accept_one_twice(void **state)
{
	static struct shared shared;
	struct worker workers[N_THREADS];

	(void)state;
	shared.p = pair_of(AEAD_CHACHA20_POLY1305);
	run(workers, &shared, seal_many);
	assert_int_equal(atomic_load(&shared.p.a->next_counter), N_THREADS * N_DATAGRAMS);
	run(workers, &shared, open_all);
	assert_int_equal(atomic_load(&shared.n_failed), 0);
	assert_int_equal(atomic_load(&shared.n_opened), N_THREADS * N_DATAGRAMS);
	assert_int_equal(atomic_load(&shared.n_replayed), (N_THREADS - 1) * N_THREADS * N_DATAGRAMS);
	assert_int_equal(atomic_load(&shared.p.b->refs), 1);
	pair_free(shared.p);
}

static int start(void **state)
{
	(void)state;
	return crypto_start();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sealed_datagram_opens_at_the_other_end),
		cmocka_unit_test(body_may_stand_where_it_is_sealed),
		cmocka_unit_test(empty_body_is_a_keepalive),
		cmocka_unit_test(every_flipped_bit_is_refused_and_leaves_the_window_alone),
		cmocka_unit_test(replayed_datagram_is_refused),
		cmocka_unit_test(own_datagram_reflected_is_refused),
		cmocka_unit_test(keys_open_nothing_past_reject_time),
		cmocka_unit_test(worn_key_asks_for_another_and_then_seals_no_more),
		cmocka_unit_test(initiator_is_confirmed_from_the_start_and_responder_is_not),
		cmocka_unit_test(unknown_suite_makes_no_session),
		cmocka_unit_test(threads_never_repeat_a_counter_nor_accept_one_twice),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
