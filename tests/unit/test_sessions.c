#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/two_nodes.h"

static int set_up(void **state)
{
	*state = two_nodes_new(1000);
	return 0;
}

static int tear_down(void **state)
{
	two_nodes_free(*state);
	return 0;
}

/* Node `from` asks, and both have the session. */
static void connect_from(struct two_nodes *w, unsigned from)
{
	sessions_want(&w->n[from].sessions, w->now_ms);
	two_nodes_run(w, 3 * w->delay_ms);
	assert_non_null(w->n[0].sessions.current);
	assert_non_null(w->n[1].sessions.current);
}

static bool have_one_session(const struct two_nodes *w)
{
	const struct session *a = w->n[0].sessions.current, *b = w->n[1].sessions.current;

	return a && b && a->local_index == b->remote_index && a->remote_index == b->local_index;
}

/* Data both ways each second. */
static void chat(struct two_nodes *w, unsigned seconds)
{
	for (unsigned i = 0; i < seconds; i++) {
		two_nodes_send_data(w, 0);
		two_nodes_send_data(w, 1);
		two_nodes_run(w, 1000);
	}
}

static bool lose_first(struct two_nodes *w, unsigned from, const uint8_t *data, size_t len)
{
	(void)from;
	(void)data;
	(void)len;
	if (w->lose_count == 0)
		return false;
	w->lose_count--;
	return true;
}

/* ---------------------------------------------------------------- connecting */

static void want_makes_a_session_in_one_round_trip(void **state)
{
	struct two_nodes *w = *state;

	assert_null(sessions_sendable(&w->n[0].sessions, w->now_ms));
	sessions_want(&w->n[0].sessions, w->now_ms);
	assert_true(sessions_is_initiating(&w->n[0].sessions));
	two_nodes_run(w, 20);
	assert_non_null(sessions_sendable(&w->n[0].sessions, w->now_ms));
	assert_false(sessions_is_initiating(&w->n[0].sessions));
	assert_int_equal(w->n[0].rtt_us, 20000);
	two_nodes_run(w, 10);
	assert_true(have_one_session(w));
	assert_true(two_nodes_both_directions_carry_data(w));
	assert_int_equal(w->n[0].n_initiations, 1);
	assert_int_equal(w->n[1].n_initiations, 0);
}

static void second_want_changes_nothing(void **state)
{
	struct two_nodes *w = *state;

	sessions_want(&w->n[0].sessions, w->now_ms);
	sessions_want(&w->n[0].sessions, w->now_ms);
	two_nodes_run(w, 30);
	sessions_want(&w->n[0].sessions, w->now_ms);
	assert_int_equal(w->n[0].n_initiations, 1);
}

static void unconfirmed_responder_sends_nothing(void **state)
{
	struct two_nodes *w = *state;

	sessions_want(&w->n[0].sessions, w->now_ms);
	two_nodes_run(w, 10); /* the response is on its way */
	assert_non_null(w->n[1].sessions.next);
	assert_null(w->n[1].sessions.current);
	assert_null(sessions_sendable(&w->n[1].sessions, w->now_ms));
	w->is_cut = true; /* the confirmation is lost, and every one after it */
	two_nodes_run(w, SESSION_REJECT_AFTER_MS);
	assert_null(sessions_sendable(&w->n[1].sessions, w->now_ms));
	assert_int_equal(w->n[1].n_keepalives, 0);
	assert_null(w->n[1].sessions.next);
}

static void initiator_confirms_by_itself(void **state)
{
	struct two_nodes *w = *state;

	connect_from(w, 0);
	assert_int_equal(w->n[0].n_keepalives, 1);
	assert_int_equal(w->n[0].n_data_received + w->n[1].n_data_received, 0);
	assert_true(atomic_load(&w->n[1].sessions.current->is_confirmed));
	assert_non_null(sessions_sendable(&w->n[1].sessions, w->now_ms));
}

static void lost_datagrams_are_repeated_soon(void **state)
{
	static const uint64_t expected_ms[] = { 0, 300, 900, 2100, 4500 };
	struct two_nodes *w = *state;
	uint64_t began_ms = w->now_ms;

	w->is_cut = true;
	sessions_want(&w->n[0].sessions, w->now_ms);
	two_nodes_run(w, SESSION_ATTEMPT_MS - 1);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(w->n[0].initiation_ms[i], began_ms + expected_ms[i]);
	for (unsigned i = 5; i < w->n[0].n_initiations; i++)
		assert_in_range(w->n[0].initiation_ms[i] - w->n[0].initiation_ms[i - 1], 5000, 5333);
}

static void one_loss_costs_one_repetition(void **state)
{
	struct two_nodes *w = *state;

	w->lose = lose_first;
	for (unsigned lost = 1; lost <= 2; lost++) { /* the initiation; then initiation and repetition */
		two_nodes_restart(w, 0);
		two_nodes_restart(w, 1);
		w->lose_count = lost;
		sessions_want(&w->n[0].sessions, w->now_ms);
		two_nodes_run(w, lost == 1 ? 330 : 930);
		assert_true(have_one_session(w));
	}
}

static void slow_path_is_not_outrun_by_repetitions(void **state)
{
	struct two_nodes *w = *state;

	for (w->delay_ms = 100; w->delay_ms <= 1200; w->delay_ms += 100) {
		two_nodes_restart(w, 0);
		two_nodes_restart(w, 1);
		w->n_queued = 0;
		sessions_want(&w->n[0].sessions, w->now_ms);
		two_nodes_run(w, 10000);
		assert_true(have_one_session(w));
		assert_true(two_nodes_both_directions_carry_data(w));
	}
}

static void attempt_is_given_up_after_90_s_and_begins_anew_on_want(void **state)
{
	struct two_nodes *w = *state;
	unsigned n;

	w->is_cut = true;
	sessions_want(&w->n[0].sessions, w->now_ms);
	two_nodes_run(w, SESSION_ATTEMPT_MS - 1);
	assert_int_equal(w->n[0].n_failed, 0);
	assert_true(sessions_is_initiating(&w->n[0].sessions));
	two_nodes_run(w, 1);
	assert_int_equal(w->n[0].n_failed, 1);
	assert_false(sessions_is_initiating(&w->n[0].sessions));
	n = w->n[0].n_initiations;
	assert_in_range(n, 5 + 80 / 6, 23); /* bounded */
	two_nodes_run(w, 600000);
	assert_int_equal(w->n[0].n_initiations, n);
	assert_int_equal(sessions_next_ms(&w->n[0].sessions), UINT64_MAX);
	w->is_cut = false;
	connect_from(w, 0);
}

/* ---------------------------------------------------------------- both at once */

static void simultaneous_initiations_end_with_one_session(void **state)
{
	struct two_nodes *w = *state;

	/* The second starts 0..40 ms after the first: before, during and after each step of the other. */
	for (unsigned first = 0; first < 2; first++) {
		for (uint64_t later_ms = 0; later_ms <= 40; later_ms++) {
			two_nodes_restart(w, 0);
			two_nodes_restart(w, 1);
			w->n_queued = 0;
			w->now_ms += 1000;
			sessions_want(&w->n[first].sessions, w->now_ms);
			two_nodes_run(w, later_ms);
			sessions_want(&w->n[!first].sessions, w->now_ms);
			two_nodes_run(w, 50);
			assert_true(have_one_session(w));
			assert_true(two_nodes_both_directions_carry_data(w));
			assert_true(have_one_session(w));
			assert_int_equal(w->n[0].n_unopened + w->n[1].n_unopened, 0);
		}
	}
}

static void simultaneous_initiations_on_a_lossy_wire_carry_data_both_ways(void **state)
{
	struct two_nodes *w = *state;

	w->lose = lose_first;
	for (unsigned lost = 1; lost <= 6; lost++) {
		two_nodes_restart(w, 0);
		two_nodes_restart(w, 1);
		w->n_queued = 0;
		w->now_ms += 1000;
		w->lose_count = lost;
		sessions_want(&w->n[0].sessions, w->now_ms);
		sessions_want(&w->n[1].sessions, w->now_ms);
		two_nodes_run(w, 10000);
		assert_true(two_nodes_both_directions_carry_data(w));
		assert_true(two_nodes_both_directions_carry_data(w));
	}
}

static void simultaneous_renewal_loses_no_data(void **state)
{
	struct two_nodes *w = *state;

	connect_from(w, 0);
	two_nodes_run(w, 5000);
	sessions_renew(&w->n[0].sessions, w->now_ms);
	sessions_renew(&w->n[1].sessions, w->now_ms);
	for (unsigned ms = 0; ms < 60; ms++) {
		two_nodes_send_data(w, 0);
		two_nodes_send_data(w, 1);
		two_nodes_run(w, 1);
	}
	two_nodes_run(w, 100);
	assert_true(have_one_session(w));
	assert_int_equal(w->n[0].n_data_received, 60);
	assert_int_equal(w->n[1].n_data_received, 60);
	assert_int_equal(w->n[0].n_unopened + w->n[1].n_unopened, 0);
}

/* ---------------------------------------------------------------- renewing */

static void initiator_renews_at_120_s_and_no_data_is_lost(void **state)
{
	struct two_nodes *w = *state;
	const struct session *first;

	connect_from(w, 0);
	first = w->n[0].sessions.current;
	chat(w, 119);
	assert_ptr_equal(w->n[0].sessions.current, first);
	chat(w, 5);
	assert_ptr_not_equal(w->n[0].sessions.current, first);
	assert_true(have_one_session(w));
	assert_int_equal(w->n[0].n_initiations, 2);
	assert_int_equal(w->n[1].n_initiations, 0);
	chat(w, 600);
	assert_int_equal(w->n[1].n_initiations, 0);
	assert_in_range(w->n[0].n_initiations, 6, 7);
	assert_int_equal(w->n[0].n_data_received, 724);
	assert_int_equal(w->n[1].n_data_received, 724);
	assert_int_equal(w->n[0].n_unopened + w->n[1].n_unopened, 0);
}

static void responder_renews_at_165_s_when_its_initiator_does_not(void **state)
{
	struct two_nodes *w = *state;
	uint64_t began_ms = w->now_ms;

	connect_from(w, 0);
	/* The initiator's own renewals are lost: all that the responder sees of them is that data goes on. */
	for (unsigned i = 0; i < 164; i++) {
		atomic_store(&w->n[1].traffic.last_data_received_ms, w->now_ms);
		atomic_store(&w->n[1].traffic.last_received_ms, w->now_ms);
		two_nodes_run(w, 1000);
		atomic_store(&w->n[1].traffic.last_sent_ms, w->now_ms);
	}
	assert_int_equal(w->n[1].n_initiations, 0);
	for (unsigned i = 0; i < 6; i++) {
		atomic_store(&w->n[1].traffic.last_data_received_ms, w->now_ms);
		two_nodes_run(w, 1000);
	}
	assert_int_equal(w->n[1].n_initiations, 1);
	assert_in_range(w->n[1].initiation_ms[0] - began_ms, 165000, 170000);
	assert_true(have_one_session(w));
}

static void idle_session_is_not_renewed(void **state)
{
	struct two_nodes *w = *state;

	connect_from(w, 0);
	two_nodes_run(w, SESSION_REJECT_AFTER_MS);
	assert_int_equal(w->n[0].n_initiations, 1);
	assert_int_equal(w->n[1].n_initiations, 0);
	assert_null(sessions_sendable(&w->n[0].sessions, w->now_ms));
	assert_int_equal(two_nodes_send_data(w, 1), -ENOTCONN); /* the next packet makes a new one */
	two_nodes_run(w, 30);
	assert_true(two_nodes_both_directions_carry_data(w));
}

static void worn_session_is_renewed(void **state)
{
	struct two_nodes *w = *state;

	for (unsigned i = 0; i < 2; i++) {
		struct session *s;

		connect_from(w, 0);
		s = w->n[i].sessions.current;
		atomic_store(&s->next_counter, aead_rekey_after(s->suite));
		two_nodes_run(w, 5000);
		assert_ptr_equal(w->n[i].sessions.current, s); /* nothing is sent: nothing is due */
		two_nodes_send_data(w, i);
		two_nodes_run(w, SESSIONS_POLL_MS + 50);
		assert_ptr_not_equal(w->n[i].sessions.current, s);
		assert_true(have_one_session(w));
	}
}

static void silence_of_15_s_after_data_asks_anew(void **state)
{
	struct two_nodes *w = *state;
	uint64_t sent_ms;

	connect_from(w, 0);
	two_nodes_run(w, 30000);
	two_nodes_restart(w, 1);
	sent_ms = w->now_ms;
	two_nodes_send_data(w, 0);
	two_nodes_run(w, 14999);
	assert_int_equal(w->n[0].n_initiations, 1);
	two_nodes_run(w, 1);
	assert_int_equal(w->n[0].n_initiations, 2);
	assert_int_equal(w->n[0].initiation_ms[1], sent_ms + 15000);
	two_nodes_run(w, 30);
	assert_true(two_nodes_both_directions_carry_data(w));
}

static void steady_sending_into_silence_asks_anew_too(void **state)
{
	struct two_nodes *w = *state;

	connect_from(w, 0);
	two_nodes_run(w, 60000);
	two_nodes_restart(w, 1);
	for (unsigned i = 0; i < 15 + 3; i++) {
		two_nodes_send_data(w, 0);
		two_nodes_run(w, 1000);
	}
	assert_int_equal(w->n[0].n_initiations, 2);
	assert_true(two_nodes_both_directions_carry_data(w));
}

static void silence_after_long_idleness_is_counted_from_the_packet(void **state)
{
	struct two_nodes *w = *state;

	connect_from(w, 0);
	two_nodes_run(w, 90000);
	two_nodes_send_data(w, 0); /* answered by a keepalive in 10 s */
	two_nodes_run(w, 60000);
	assert_int_equal(w->n[0].n_initiations, 1);
	assert_int_equal(w->n[1].n_keepalives, 1);
}

static void attempt_that_failed_is_repeated_only_for_new_data(void **state)
{
	struct two_nodes *w = *state;
	unsigned n;

	w->n[0].sessions.reject_after_ms = 10 * SESSION_REJECT_AFTER_MS; /* the session outlives its attempts */
	connect_from(w, 0);
	w->is_cut = true;
	two_nodes_run(w, 121000);
	two_nodes_send_data(w, 0); /* past rekey time, and unanswered */
	two_nodes_run(w, 100000);
	assert_int_equal(w->n[0].n_failed, 1);
	n = w->n[0].n_initiations;
	two_nodes_run(w, 300000);
	assert_int_equal(w->n[0].n_initiations, n);
	two_nodes_send_data(w, 0);
	two_nodes_run(w, SESSIONS_POLL_MS);
	assert_true(w->n[0].n_initiations > n);
}

static void keepalive_follows_data_by_10_s(void **state)
{
	struct two_nodes *w = *state;

	connect_from(w, 0);
	two_nodes_run(w, 1000);
	two_nodes_send_data(w, 0);
	two_nodes_run(w, 10 + SESSION_KEEPALIVE_MS - 1);
	assert_int_equal(w->n[1].n_keepalives, 0);
	two_nodes_run(w, 1);
	assert_int_equal(w->n[1].n_keepalives, 1);
	two_nodes_run(w, 60000);
	assert_int_equal(w->n[1].n_keepalives, 1); /* and a keepalive is not answered by one */
	assert_int_equal(w->n[0].n_keepalives, 1); /* the confirmation */
}

static void one_way_stream_is_kept_alive(void **state)
{
	struct two_nodes *w = *state;

	connect_from(w, 0);
	for (unsigned i = 0; i < 1000; i++) {
		two_nodes_send_data(w, 0);
		two_nodes_run(w, 100);
	}
	assert_int_equal(w->n[0].n_initiations, 1); /* never taken for silence */
	assert_in_range(w->n[1].n_keepalives, 7, 10);
	assert_int_equal(w->n[1].n_data_received, 1000);
}

/* ---------------------------------------------------------------- old keys */

static void late_datagram_opens_under_the_previous_session(void **state)
{
	static const uint8_t body[4] = "late";
	struct two_nodes *w = *state;
	uint8_t data[2][sizeof(body) + WIRE_SEALED_OVERHEAD_BYTES];

	connect_from(w, 0);
	for (unsigned i = 0; i < 2; i++)
		session_seal(w->n[0].sessions.current, WIRE_DATA, 0, data[i], body, sizeof(body));
	two_nodes_run(w, 5000);
	sessions_renew(&w->n[0].sessions, w->now_ms);
	two_nodes_run(w, 50);
	two_nodes_inject(w, 1, data[0], sizeof(data[0]));
	two_nodes_run(w, 20);
	assert_int_equal(w->n[1].n_data_received, 1);
	two_nodes_run(w, SESSION_REJECT_AFTER_MS - 5200); /* just before its time is up */
	assert_non_null(w->n[1].sessions.previous);
	two_nodes_run(w, 200);
	assert_null(w->n[0].sessions.previous);
	assert_null(w->n[1].sessions.previous);
	two_nodes_inject(w, 1, data[1], sizeof(data[1]));
	two_nodes_run(w, 20);
	assert_int_equal(w->n[1].n_data_received, 1);
	assert_int_equal(w->n[1].n_unopened, 1);
	assert_non_null(w->n[1].sessions.current);
}

static void no_key_is_left_after_180_s_and_none_after_540(void **state)
{
	struct two_nodes *w = *state;
	uint32_t index[2];

	connect_from(w, 0);
	sessions_renew(&w->n[1].sessions, w->now_ms); /* so that previous is filled too */
	two_nodes_run(w, 50);
	for (unsigned i = 0; i < 2; i++)
		index[i] = w->n[i].sessions.current->local_index;
	w->is_cut = true;
	two_nodes_send_data(w, 0); /* an attempt that is never answered goes on meanwhile */
	for (unsigned waited_s = 180; waited_s <= 540; waited_s += 360) {
		two_nodes_run(w, waited_s * 1000);
		for (unsigned i = 0; i < 2; i++) {
			const struct sessions *s = &w->n[i].sessions;
			const struct noise wiped = { 0 };
			enum index_kind kind;

			assert_null(s->current);
			assert_null(s->previous);
			assert_null(s->next);
			assert_null(indices_find(w->n[i].indices, index[i], &kind));
			assert_memory_equal(&s->attempt.noise, &wiped, sizeof(wiped));
			assert_int_equal(sessions_next_ms(s), UINT64_MAX);
		}
	}
	assert_int_equal(w->n[0].n_failed, 1);
}

static void shortened_timers_renew_and_expire_in_proportion(void **state)
{
	struct two_nodes *w = *state;

	for (unsigned i = 0; i < 2; i++) {
		w->n[i].sessions.rekey_after_ms = 2000;
		w->n[i].sessions.reject_after_ms = 6000;
	}
	connect_from(w, 0);
	chat(w, 20);
	assert_in_range(w->n[0].n_initiations, 6, 10);
	assert_int_equal(w->n[0].n_data_received, 20);
	assert_int_equal(w->n[1].n_data_received, 20);
	two_nodes_run(w, 6000);
	assert_null(w->n[0].sessions.current);
	assert_null(w->n[1].sessions.current);
}

static void dropped_sessions_leave_nothing(void **state)
{
	struct two_nodes *w = *state;
	enum index_kind kind;
	uint32_t index;
	unsigned n;

	connect_from(w, 0);
	index = w->n[0].sessions.current->local_index;
	sessions_renew(&w->n[0].sessions, w->now_ms);
	n = w->n[0].n_changed;
	sessions_drop(&w->n[0].sessions);
	assert_int_equal(w->n[0].n_changed, n + 1);
	assert_null(w->n[0].sessions.current);
	assert_false(sessions_is_initiating(&w->n[0].sessions));
	assert_null(indices_find(w->n[0].indices, index, &kind));
	assert_int_equal(sessions_next_ms(&w->n[0].sessions), UINT64_MAX);
	sessions_drop(&w->n[0].sessions);
	assert_int_equal(w->n[0].n_changed, n + 1); /* there was nothing more */
}

/* ---------------------------------------------------------------- restarts */

static void restarted_peer_comes_back_by_itself(void **state)
{
	struct two_nodes *w = *state;

	connect_from(w, 0);
	for (unsigned i = 0; i < 2; i++) { /* at once, whichever it is and whoever asked */
		two_nodes_restart(w, i);
		sessions_want(&w->n[i].sessions, w->now_ms);
		two_nodes_run(w, 50);
		assert_true(have_one_session(w));
		assert_true(two_nodes_both_directions_carry_data(w));
		/* a restarted node has forgotten which timestamps it saw; the other goes on rising */
		two_nodes_run(w, 1000);
	}
}

static void renew_after_the_peers_restart_replaces_a_good_looking_session(void **state)
{
	struct two_nodes *w = *state;

	connect_from(w, 0);
	two_nodes_run(w, 1000);
	two_nodes_restart(w, 1);
	sessions_renew(&w->n[0].sessions, w->now_ms);
	two_nodes_run(w, 50);
	assert_true(have_one_session(w));
	assert_true(two_nodes_both_directions_carry_data(w));
}

static void renew_does_not_wait_for_a_rare_repetition(void **state)
{
	struct two_nodes *w = *state;
	enum index_kind kind;
	uint32_t index;

	w->is_cut = true;
	sessions_want(&w->n[0].sessions, w->now_ms);
	two_nodes_run(w, 12000); /* the last was sent at 9.5..9.9 s, the next is due after 14.5 s */
	index = w->n[0].sessions.attempt_index;
	w->is_cut = false;
	sessions_renew(&w->n[0].sessions, w->now_ms);
	two_nodes_run(w, 50);
	assert_true(have_one_session(w));
	assert_null(indices_find(w->n[0].indices, index, &kind)); /* the old attempt's */
}

static void renewals_do_not_set_the_pace(void **state)
{
	struct two_nodes *w = *state;

	w->is_cut = true;
	for (unsigned i = 0; i < 1000; i++) {
		sessions_renew(&w->n[0].sessions, w->now_ms);
		two_nodes_run(w, 1);
	}
	assert_in_range(w->n[0].n_initiations, 5, 6);
}

static void how_long_nobody_answers_is_counted_through_renewals(void **state)
{
	struct two_nodes *w = *state;
	struct sessions *s = &w->n[0].sessions;
	uint64_t begin_ms = w->now_ms;

	w->is_cut = true;
	sessions_want(s, w->now_ms);
	for (unsigned i = 0; i < 10; i++) {
		two_nodes_run(w, 2000);
		sessions_renew(s, w->now_ms);
		assert_true(s->attempt.is_active);
	}
	assert_true(s->attempt_started_ms > begin_ms);
	assert_int_equal(s->asked_since_ms, begin_ms);
	sessions_forget_refusal(s); /* the peer is another since */
	assert_int_equal(s->asked_since_ms, w->now_ms);
	two_nodes_run(w, 2000);
	sessions_drop(s);
	sessions_renew(s, w->now_ms); /* and after a pause it is counted anew */
	assert_int_equal(s->asked_since_ms, w->now_ms);
}

/* ---------------------------------------------------------------- forgeries */

static void forged_response_does_not_end_an_attempt(void **state)
{
	struct two_nodes *w = *state;
	uint8_t flipped[WIRE_RESPONSE_BYTES];
	uint32_t rtt_us = 77;

	w->lose = lose_first;
	sessions_want(&w->n[0].sessions, w->now_ms);
	w->lose_count = 1; /* the response */
	two_nodes_run(w, 10);
	assert_int_equal(w->n[1].n_responses, 1);
	for (unsigned bit = 0; bit < (WIRE_RESPONSE_BYTES - MAC_BYTES) * 8; bit++) {
		memcpy(flipped, w->last_response, sizeof(flipped));
		flipped[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(sessions_on_response(&w->n[0].sessions, flipped, sizeof(flipped), w->now_ms, &rtt_us),
				 -EBADMSG);
	}
	for (size_t len = 0; len < WIRE_RESPONSE_BYTES; len++)
		assert_int_equal(sessions_on_response(&w->n[0].sessions, w->last_response, len, w->now_ms, &rtt_us),
				 -EBADMSG);
	assert_int_equal(rtt_us, 77);
	assert_int_equal(w->n[0].n_changed, 0);
	two_nodes_inject(w, 0, w->last_response, WIRE_RESPONSE_BYTES);
	two_nodes_run(w, 30);
	assert_true(have_one_session(w));
}

static void replayed_response_makes_no_second_session(void **state)
{
	struct two_nodes *w = *state;
	const struct session *s;
	uint32_t rtt_us;

	connect_from(w, 0);
	s = w->n[0].sessions.current;
	assert_int_equal(
		sessions_on_response(&w->n[0].sessions, w->last_response, WIRE_RESPONSE_BYTES, w->now_ms, &rtt_us),
		-EBADMSG);
	sessions_renew(&w->n[0].sessions, w->now_ms);
	assert_int_equal(
		sessions_on_response(&w->n[0].sessions, w->last_response, WIRE_RESPONSE_BYTES, w->now_ms, &rtt_us),
		-EBADMSG);
	assert_ptr_equal(w->n[0].sessions.current, s);
}

static void cookie_from_a_stranger_is_ignored(void **state)
{
	struct two_nodes *w = *state;
	uint8_t data[WIRE_COOKIE_BYTES] = { WIRE_COOKIE };

	assert_int_equal(sessions_on_cookie(&w->n[0].sessions, data, sizeof(data), w->now_ms), -EBADMSG);
	sessions_want(&w->n[0].sessions, w->now_ms);
	memcpy(data + 4, w->last_initiation + 4, 4); /* the right index is no secret */
	for (size_t len = 0; len <= sizeof(data); len++)
		assert_int_equal(sessions_on_cookie(&w->n[0].sessions, data, len, w->now_ms), -EBADMSG);
	assert_int_equal(w->n[0].n_initiations, 1);
	assert_false(w->n[0].sessions.has_cookie);
}

static void cookie_replies_do_not_set_the_pace(void **state)
{
	struct two_nodes *w = *state;
	unsigned n_accepted = 0;

	/* Whoever sees an initiation can make a cookie reply to it: the keys are public. */
	w->is_cut = true;
	sessions_want(&w->n[0].sessions, w->now_ms);
	for (unsigned i = 0; i < 1000; i++) {
		struct wire_cookie reply = { 0 };
		uint8_t data[WIRE_COOKIE_BYTES], cookie[COOKIE_BYTES] = { (uint8_t)i };

		reply.receiver = w->n[0].sessions.attempt.local_index;
		cookie_seal(reply.sealed, reply.nonce, &w->n[1].identity.cookie_key, cookie,
			    w->last_initiation + WIRE_INIT_BYTES - WIRE_MACS_BYTES);
		wire_cookie_encode(data, &reply);
		n_accepted += sessions_on_cookie(&w->n[0].sessions, data, sizeof(data), w->now_ms) == 0;
	}
	assert_int_equal(n_accepted, 1000);
	assert_int_equal(w->n[0].n_initiations, 1 + SESSIONS_COOKIE_REPEATS_MAX);
	w->is_cut = false; /* a false cookie does no harm where there is no load */
	two_nodes_run(w, 400);
	assert_true(have_one_session(w));
}

/* ---------------------------------------------------------------- timestamps */

static void clock_set_back_still_gives_rising_timestamps(void **state)
{
	struct two_nodes *w = *state;
	uint8_t last[WIRE_TIMESTAMP_BYTES] = { 0 };

	w->is_cut = true;
	for (unsigned i = 0; i < 200; i++) {
		struct sessions *s = &w->n[0].sessions;

		w->n[0].wall_offset_ms = (uint64_t)0 - i * 1000000; /* each time further into the past */
		sessions_want(s, w->now_ms);
		assert_true(timestamp_compare(s->last_timestamp_sent, last) > 0);
		memcpy(last, s->last_timestamp_sent, sizeof(last));
		sessions_drop(s);
	}
	w->is_cut = false;
	connect_from(w, 0); /* and the other side takes them */
}

static void timestamp_of_a_full_second_carries(void **state)
{
	static const uint8_t full[WIRE_TIMESTAMP_BYTES] = { 0x7f, 0, 0, 0, 0, 0, 0, 0xff, 0x3b, 0x9a, 0xc9, 0xff };
	static const uint8_t carried[WIRE_TIMESTAMP_BYTES] = { 0x7f, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0 };
	struct two_nodes *w = *state;

	memcpy(w->n[0].sessions.last_timestamp_sent, full, sizeof(full));
	sessions_want(&w->n[0].sessions, w->now_ms);
	assert_memory_equal(w->n[0].sessions.last_timestamp_sent, carried, sizeof(carried));
}

static void wrong_psk_makes_no_session(void **state)
{
	struct two_nodes *w = *state;

	w->n[1].identity.psk.b[0] ^= 1;
	sessions_want(&w->n[0].sessions, w->now_ms);
	two_nodes_run(w, SESSION_ATTEMPT_MS);
	assert_null(w->n[0].sessions.current);
	assert_null(w->n[1].sessions.current);
	assert_int_equal(w->n[0].n_failed, 1);
}

static int start(void **state)
{
	(void)state;
	return crypto_start();
}

/* ---------------------------------------------------------------- no common suite */

static void a_refusal_ends_the_attempt_at_once(void **state)
{
	struct two_nodes *w = *state;
	struct node *a = &w->n[0], *b = &w->n[1];

	a->identity.suites = 1 << AEAD_AES_256_GCM;
	b->identity.suites = 1 << AEAD_CHACHA20_POLY1305;
	sessions_want(&a->sessions, w->now_ms);
	two_nodes_run(w, 3 * w->delay_ms);
	assert_false(sessions_is_initiating(&a->sessions));
	assert_true(a->sessions.has_no_suite);
	assert_int_equal(a->sessions.suites_there, b->identity.suites);
	assert_true(b->sessions.has_no_suite);
	assert_int_equal(b->sessions.suites_there, a->identity.suites);
	assert_int_equal(a->n_no_suite_news, 1);
	assert_int_equal(a->n_failed, 0);
	assert_int_equal(sessions_next_ms(&a->sessions), UINT64_MAX);
	assert_null(a->sessions.current);
	assert_null(b->sessions.next);

	/* Packets do not make it ask again at their pace. */
	for (unsigned i = 0; i < 100; i++) {
		sessions_want(&a->sessions, w->now_ms);
		two_nodes_run(w, 100);
	}
	assert_int_equal(a->n_initiations, 2 + (100 * 100 - 1) / SESSIONS_REFUSED_MS - 1);
	assert_int_equal(a->n_no_suite_news, 1);
	assert_int_equal(b->n_no_suite_news, 1);
	assert_true(a->n_no_suite > 1);
}

static void a_peer_that_came_back_is_asked_at_once(void **state)
{
	struct two_nodes *w = *state;
	struct node *a = &w->n[0];
	uint16_t all = a->identity.suites;

	w->n[1].identity.suites = 1 << 7; /* of the future */
	sessions_want(&a->sessions, w->now_ms);
	two_nodes_run(w, 3 * w->delay_ms);
	assert_true(sessions_is_refused(&a->sessions, w->now_ms));
	w->n[1].identity.suites = all;
	two_nodes_restart(w, 1);
	sessions_forget_refusal(&a->sessions);
	assert_false(a->sessions.has_no_suite);
	assert_false(sessions_is_refused(&a->sessions, w->now_ms));
	connect_from(w, 0);
	assert_true(two_nodes_both_directions_carry_data(w));
}

static void a_session_ends_what_was_said_of_suites(void **state)
{
	struct two_nodes *w = *state;
	uint16_t all = w->n[0].identity.suites;

	w->n[0].identity.suites = 1 << AEAD_AES_256_GCM;
	w->n[1].identity.suites = 1 << AEAD_CHACHA20_POLY1305;
	sessions_want(&w->n[0].sessions, w->now_ms);
	two_nodes_run(w, 3 * w->delay_ms);
	w->n[0].identity.suites = all;
	connect_from(w, 1); /* the other way round */
	assert_false(w->n[0].sessions.has_no_suite);
	assert_false(w->n[1].sessions.has_no_suite);
	assert_false(sessions_is_refused(&w->n[0].sessions, w->now_ms));
}

/* Whoever refuses has no session with us: it was started anew with other suites. Whoever is refused may be replayed. */
static void only_the_refused_gives_up_its_session(void **state)
{
	struct two_nodes *w = *state;

	connect_from(w, 0);
	two_nodes_restart(w, 1);
	w->n[0].identity.suites = 1 << AEAD_AES_256_GCM;
	w->n[1].identity.suites = 1 << AEAD_CHACHA20_POLY1305;
	sessions_want(&w->n[1].sessions, w->now_ms);
	two_nodes_run(w, 3 * w->delay_ms);
	assert_true(w->n[0].sessions.has_no_suite);
	assert_non_null(w->n[0].sessions.current);
	sessions_renew(&w->n[0].sessions, w->now_ms);
	two_nodes_run(w, 3 * w->delay_ms);
	assert_null(w->n[0].sessions.current);
	assert_true(sessions_is_refused(&w->n[0].sessions, w->now_ms));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(want_makes_a_session_in_one_round_trip),
		TEST(second_want_changes_nothing),
		TEST(unconfirmed_responder_sends_nothing),
		TEST(initiator_confirms_by_itself),
		TEST(lost_datagrams_are_repeated_soon),
		TEST(one_loss_costs_one_repetition),
		TEST(slow_path_is_not_outrun_by_repetitions),
		TEST(attempt_is_given_up_after_90_s_and_begins_anew_on_want),
		TEST(simultaneous_initiations_end_with_one_session),
		TEST(simultaneous_initiations_on_a_lossy_wire_carry_data_both_ways),
		TEST(simultaneous_renewal_loses_no_data),
		TEST(initiator_renews_at_120_s_and_no_data_is_lost),
		TEST(responder_renews_at_165_s_when_its_initiator_does_not),
		TEST(idle_session_is_not_renewed),
		TEST(worn_session_is_renewed),
		TEST(silence_of_15_s_after_data_asks_anew),
		TEST(steady_sending_into_silence_asks_anew_too),
		TEST(silence_after_long_idleness_is_counted_from_the_packet),
		TEST(attempt_that_failed_is_repeated_only_for_new_data),
		TEST(keepalive_follows_data_by_10_s),
		TEST(one_way_stream_is_kept_alive),
		TEST(late_datagram_opens_under_the_previous_session),
		TEST(no_key_is_left_after_180_s_and_none_after_540),
		TEST(shortened_timers_renew_and_expire_in_proportion),
		TEST(dropped_sessions_leave_nothing),
		TEST(restarted_peer_comes_back_by_itself),
		TEST(renew_after_the_peers_restart_replaces_a_good_looking_session),
		TEST(renew_does_not_wait_for_a_rare_repetition),
		TEST(renewals_do_not_set_the_pace),
		TEST(how_long_nobody_answers_is_counted_through_renewals),
		TEST(forged_response_does_not_end_an_attempt),
		TEST(replayed_response_makes_no_second_session),
		TEST(cookie_from_a_stranger_is_ignored),
		TEST(cookie_replies_do_not_set_the_pace),
		TEST(clock_set_back_still_gives_rising_timestamps),
		TEST(timestamp_of_a_full_second_carries),
		TEST(wrong_psk_makes_no_session),
		TEST(a_refusal_ends_the_attempt_at_once),
		TEST(a_peer_that_came_back_is_asked_at_once),
		TEST(a_session_ends_what_was_said_of_suites),
		TEST(only_the_refused_gives_up_its_session),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
