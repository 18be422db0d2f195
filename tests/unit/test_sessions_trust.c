/* Two nodes whose network has a key: who gets a session with whom, and what is said where there is none. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/certs.h"
#include "tests/unit/two_nodes.h"

static const char *const addrs[2][2] = { { "10.77.0.1", NULL }, { "10.77.0.2", NULL } };

static struct cert cert_of(const struct two_nodes *w, unsigned i)
{
	return certs_direct(i ? "bob" : "alice", &w->n[i].identity.public, addrs[i]);
}

static struct two_nodes *certified(void)
{
	struct two_nodes *w = two_nodes_new(1000);

	for (unsigned i = 0; i < 2; i++) {
		struct cert c = cert_of(w, i);

		two_nodes_certify(w, i, &c);
	}
	return w;
}

static bool has_session(const struct two_nodes *w, unsigned i)
{
	const struct sessions *s = &w->n[i].sessions;

	return s->current || s->previous || s->next;
}

static void meet(struct two_nodes *w)
{
	two_nodes_send_data(w, 0);
	two_nodes_run(w, 1000);
	assert_true(two_nodes_both_directions_carry_data(w));
}

/* Node 0 wants one, for long; neither has one to send under, and no byte arrives. */
static void expect_no_session(struct two_nodes *w)
{
	for (int i = 0; i < 20; i++) {
		two_nodes_send_data(w, 0);
		two_nodes_run(w, 1000);
		assert_null(sessions_sendable(&w->n[0].sessions, w->now_ms));
		assert_null(sessions_sendable(&w->n[1].sessions, w->now_ms));
	}
	assert_int_equal(w->n[0].n_data_received + w->n[1].n_data_received, 0);
}

static void two_members_have_a_session(void **state)
{
	struct two_nodes *w = certified();

	(void)state;
	meet(w);
	assert_int_equal(w->last_initiation_len, WIRE_INIT_MAX_BYTES);
	assert_int_equal(w->last_response_len, WIRE_RESPONSE_MAX_BYTES);
	assert_int_equal(w->n[0].n_untrusted + w->n[1].n_untrusted, 0);
	two_nodes_free(w);
}

static void rekey_checks_no_signature(void **state)
{
	struct two_nodes *w = certified();

	(void)state;
	for (int i = 0; i < 10 * 60; i++) {
		two_nodes_send_data(w, i % 2 ? 1 : 0);
		two_nodes_run(w, 1000);
	}
	assert_true(w->n[0].n_responses + w->n[1].n_responses >= 4);
	assert_int_equal(counters_get(&w->n[0].counters, COUNTER_certificates_checked), 1);
	assert_int_equal(counters_get(&w->n[1].counters, COUNTER_certificates_checked), 1);
	two_nodes_free(w);
}

static void without_a_certificate_there_is_no_session_either_way(void **state)
{
	(void)state;
	for (unsigned without = 0; without < 2; without++) {
		struct two_nodes *w = two_nodes_new(1000);
		struct cert c = cert_of(w, !without);

		/* One knows the network key and shows a certificate; the other is a plain node, or has none to show. */
		two_nodes_certify(w, !without, &c);
		expect_no_session(w);
		if (without == 0) { /* the plain one asked, and was told */
			assert_int_equal(w->n[0].sessions.refused_there, CERT_NONE);
			assert_int_equal(w->last_response_len, WIRE_RESPONSE_BYTES);
		} else {
			assert_int_equal(w->n[0].sessions.refused_here, CERT_NONE);
		}
		two_nodes_free(w);
	}
}

static void bad_certificate_is_refused_and_both_know_why(void **state)
{
	static const enum cert_verdict cases[] = { CERT_OTHER_KEY, CERT_EXPIRED, CERT_NOT_YET, CERT_FORGED,
						   CERT_OTHER_NETWORK };

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (unsigned bad = 0; bad < 2; bad++) {
			struct two_nodes *w = certified();
			struct cert c = cert_of(w, bad);
			struct signkey network = certs_network_key(0), other = certs_network_key(1);

			if (cases[i] == CERT_OTHER_KEY)
				c.member.b[0] ^= 1;
			else if (cases[i] == CERT_EXPIRED)
				c.not_after_s = CERTS_NOW_S - CERT_SKEW_S - 1;
			else if (cases[i] == CERT_NOT_YET)
				c.not_before_s = CERTS_NOW_S + 10 * CERT_SKEW_S;
			assert_int_equal(cert_sign_direct(&c, cases[i] == CERT_OTHER_NETWORK ? &other : &network), 0);
			if (cases[i] == CERT_FORGED)
				c.signature[0] ^= 1;
			two_nodes_certify(w, bad, &c);
			expect_no_session(w);
			/* Whoever refuses says why; the initiator hears it from the responder. */
			assert_int_equal(bad ? w->n[0].sessions.refused_here : w->n[0].sessions.refused_there,
					 cases[i]);
			if (!bad)
				assert_int_equal(w->n[1].sessions.refused_here, cases[i]);
			assert_true(w->n[0].n_untrusted_news == 1 && w->n[0].n_untrusted > 1); /* said once */
			/* It is not asked in a hurry. */
			assert_true(w->n[0].n_initiations <= 6);
			two_nodes_free(w);
		}
}

static void renewed_certificate_brings_the_session(void **state)
{
	struct two_nodes *w = certified();
	struct cert c = cert_of(w, 1);
	struct signkey network = certs_network_key(0);

	(void)state;
	c.not_after_s = CERTS_NOW_S - 1000;
	assert_int_equal(cert_sign_direct(&c, &network), 0);
	two_nodes_certify(w, 1, &c);
	expect_no_session(w);
	c = cert_of(w, 1);
	two_nodes_certify(w, 1, &c);
	two_nodes_run(w, SESSIONS_REFUSED_MS);
	meet(w);
	assert_int_equal(w->n[0].sessions.refused_here, CERT_GOOD);
	two_nodes_free(w);
}

static void revoking_ends_all_at_once(void **state)
{
	struct two_nodes *w = certified();

	(void)state;
	meet(w);
	sessions_revoke(&w->n[0].sessions, CERT_REVOKED, w->now_ms);
	assert_false(has_session(w, 0));
	assert_int_equal(w->n[0].sessions.refused_here, CERT_REVOKED);
	assert_null(sessions_sendable(&w->n[0].sessions, w->now_ms));
	assert_true(sessions_is_refused(&w->n[0].sessions, w->now_ms + SESSIONS_REFUSED_MS - 1));
	two_nodes_free(w);
}

/* What each knows of revocations travels with the handshake. */
static void epochs_are_exchanged(void **state)
{
	static uint8_t list[REVOCATION_MAX_BYTES];
	struct two_nodes *w = certified();
	struct pubkey somebody = { { 77 } };
	size_t len = certs_revoke(list, 12, &somebody, 1);

	(void)state;
	assert_int_equal(revocations_adopt(trust_revocations(w->n[1].identity.trust), list, len), 0);
	meet(w);
	assert_int_equal(w->n[0].epoch_there, 12);
	assert_int_equal(w->n[1].epoch_there, 0);
	two_nodes_free(w);
}

static int start(void **state)
{
	(void)state;
	return crypto_start();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_members_have_a_session),
		cmocka_unit_test(rekey_checks_no_signature),
		cmocka_unit_test(without_a_certificate_there_is_no_session_either_way),
		cmocka_unit_test(bad_certificate_is_refused_and_both_know_why),
		cmocka_unit_test(renewed_certificate_brings_the_session),
		cmocka_unit_test(revoking_ends_all_at_once),
		cmocka_unit_test(epochs_are_exchanged),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
