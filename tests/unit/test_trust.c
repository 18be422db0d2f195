#include "tests/unit/certs.h"
#include "tests/unit/wire_checks.h"
#include "daemon/peer/trust.h"

static const char *const addrs[] = { "10.77.0.5", NULL };

struct fixture {
	struct counters counters;
	struct trust *trust;
	struct pubkey key, other;
};

static struct pubkey key_of(uint8_t fill)
{
	struct seckey secret;
	struct pubkey key;

	memset(secret.b, fill, sizeof(secret.b));
	assert_int_equal(pubkey_of(&key, &secret), 0);
	return key;
}

static int set_up(void **state)
{
	struct verifykey network = certs_network(0);
	struct fixture *f = calloc(1, sizeof(*f));

	f->trust = trust_new(&network, &f->counters);
	f->key = key_of(1);
	f->other = key_of(2);
	*state = f;
	return f->trust ? 0 : -1;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	trust_free(f->trust);
	free(f);
	return 0;
}

static struct wire_trust shown_of(const struct cert *c)
{
	struct wire_trust shown = { .is_shown = true };
	int len = cert_encode(shown.cert, sizeof(shown.cert), c);

	assert_true(len > 0);
	shown.len = (uint16_t)len;
	return shown;
}

static uint64_t n_checked(const struct fixture *f)
{
	return counters_get(&f->counters, COUNTER_certificates_checked);
}

static void chain_is_checked_once(void **state)
{
	struct fixture *f = *state;
	struct cert c = certs_invited("alice", &f->key, addrs, 9), out;
	struct wire_trust shown = shown_of(&c);

	for (int i = 0; i < 100; i++)
		assert_int_equal(trust_judge(f->trust, &shown, &f->key, CERTS_NOW_S, &out), CERT_GOOD);
	assert_string_equal(out.name, "alice");
	assert_int_equal(n_checked(f), 1);
	/* Known or not, it is no one else's, and has its time. */
	assert_int_equal(trust_judge(f->trust, &shown, &f->other, CERTS_NOW_S, &out), CERT_OTHER_KEY);
	assert_int_equal(trust_judge(f->trust, &shown, &f->key, c.not_after_s + CERT_SKEW_S, &out), CERT_EXPIRED);
	assert_int_equal(n_checked(f), 1);
}

static void what_is_refused_is_not_remembered(void **state)
{
	struct fixture *f = *state;
	struct cert c = certs_direct("alice", &f->key, addrs), out;
	struct wire_trust shown = shown_of(&c);

	shown.cert[shown.len - 1] ^= 1;
	for (int i = 0; i < 3; i++)
		assert_int_equal(trust_judge(f->trust, &shown, &f->key, CERTS_NOW_S, &out), CERT_FORGED);
	assert_int_equal(n_checked(f), 3);
}

static void nothing_and_nonsense_are_refused(void **state)
{
	struct fixture *f = *state;
	struct wire_trust shown = { 0 };
	struct cert out;

	assert_int_equal(trust_judge(f->trust, &shown, &f->key, CERTS_NOW_S, &out), CERT_NONE);
	shown.is_shown = true;
	assert_int_equal(trust_judge(f->trust, &shown, &f->key, CERTS_NOW_S, &out), CERT_NONE);
	shown.len = 100;
	assert_int_equal(trust_judge(f->trust, &shown, &f->key, CERTS_NOW_S, &out), CERT_MALFORMED);
	assert_int_equal(n_checked(f), 0);
}

static void revoked_one_is_refused_by_key_and_by_serial(void **state)
{
	static uint8_t list[REVOCATION_MAX_BYTES];
	struct fixture *f = *state;
	struct signkey network = certs_network_key(0);
	struct cert c = certs_invited("alice", &f->key, addrs, 9), again, out;
	struct wire_trust shown = shown_of(&c), shown_again;
	struct revocation_entry entry = { .serial = c.serial };
	int len = revocation_make(list, sizeof(list), 1, CERTS_NOW_S, 0, &entry, 1, &network);

	assert_int_equal(trust_judge(f->trust, &shown, &f->key, CERTS_NOW_S, &out), CERT_GOOD);
	assert_int_equal(trust_judge_again(f->trust, &f->key, &c.serial, c.not_after_s, CERTS_NOW_S), CERT_GOOD);
	assert_int_equal(revocations_adopt(trust_revocations(f->trust), list, (size_t)len), 0);
	assert_int_equal(trust_judge(f->trust, &shown, &f->key, CERTS_NOW_S, &out), CERT_REVOKED);
	assert_int_equal(trust_judge_again(f->trust, &f->key, &c.serial, c.not_after_s, CERTS_NOW_S), CERT_REVOKED);
	/* Whoever kept the invitation makes another certificate of it, for another key: the serial is the same. */
	again = certs_invited("alice", &f->other, addrs, 9);
	shown_again = shown_of(&again);
	assert_int_equal(trust_judge(f->trust, &shown_again, &f->other, CERTS_NOW_S, &out), CERT_REVOKED);
}

static void expired_list_lets_nobody_in_where_it_must_be_fresh(void **state)
{
	static uint8_t list[REVOCATION_MAX_BYTES];
	struct fixture *f = *state;
	struct signkey network = certs_network_key(0);
	struct cert c = certs_direct("alice", &f->key, addrs), out;
	struct wire_trust shown = shown_of(&c);
	struct revocation_entry entry = { .key = f->other };
	uint64_t end_s = CERTS_NOW_S + CERTS_DAY_S, over_s = end_s + CERT_SKEW_S;
	int len = revocation_make(list, sizeof(list), 1, CERTS_NOW_S, end_s, &entry, 1, &network);

	assert_int_equal(revocations_adopt(trust_revocations(f->trust), list, (size_t)len), 0);
	/* A coordinator's: there the next is handed in. */
	assert_int_equal(trust_judge(f->trust, &shown, &f->key, over_s, &out), CERT_GOOD);
	assert_int_equal(trust_judge_again(f->trust, &f->key, &c.serial, 0, over_s), CERT_GOOD);
	trust_require_fresh_list(f->trust);
	assert_int_equal(trust_judge(f->trust, &shown, &f->key, over_s - 1, &out), CERT_GOOD);
	assert_int_equal(trust_judge_again(f->trust, &f->key, &c.serial, 0, over_s - 1), CERT_GOOD);
	assert_int_equal(trust_judge(f->trust, &shown, &f->key, over_s, &out), CERT_UNCHECKED);
	assert_int_equal(trust_judge_again(f->trust, &f->key, &c.serial, 0, over_s), CERT_UNCHECKED);
	assert_int_equal(trust_judge_again(f->trust, &f->other, &c.serial, 0, over_s), CERT_REVOKED);
	assert_true(trust_is_signed(f->trust, &shown, &f->key, &out));
	len = revocation_make(list, sizeof(list), 2, end_s, 0, &entry, 1, &network);
	assert_int_equal(revocations_adopt(trust_revocations(f->trust), list, (size_t)len), 0);
	assert_int_equal(trust_judge(f->trust, &shown, &f->key, over_s, &out), CERT_GOOD);
}

/* There is such a member, whatever the time and the list of the revoked say of it. */
static void what_is_not_in_force_is_signed_all_the_same(void **state)
{
	static uint8_t list[REVOCATION_MAX_BYTES];
	struct fixture *f = *state;
	struct cert c = certs_direct("alice", &f->key, addrs), out;
	struct wire_trust shown = shown_of(&c);
	size_t len = certs_revoke(list, 1, &f->key, 1);

	assert_int_equal(revocations_adopt(trust_revocations(f->trust), list, len), 0);
	assert_int_equal(trust_judge(f->trust, &shown, &f->key, c.not_after_s + CERT_SKEW_S, &out), CERT_EXPIRED);
	assert_true(trust_is_signed(f->trust, &shown, &f->key, &out));
	assert_string_equal(out.name, "alice");
	assert_false(trust_is_signed(f->trust, &shown, &f->other, &out));
	shown.cert[shown.len - 1] ^= 1;
	assert_false(trust_is_signed(f->trust, &shown, &f->key, &out));
	c = certs_of("alice", &f->key, addrs);
	{
		struct signkey other = certs_network_key(1);

		assert_int_equal(cert_sign_direct(&c, &other), 0);
	}
	shown = shown_of(&c);
	assert_false(trust_is_signed(f->trust, &shown, &f->key, &out));
	shown.is_shown = false;
	assert_false(trust_is_signed(f->trust, &shown, &f->key, &out));
}

static void certified_time_ends(void **state)
{
	struct fixture *f = *state;
	struct cert_serial serial = { { 1 } };

	assert_int_equal(trust_judge_again(f->trust, &f->key, &serial, 0, UINT64_MAX / 2), CERT_GOOD);
	assert_int_equal(trust_judge_again(f->trust, &f->key, &serial, 1000, 1000 + CERT_SKEW_S - 1), CERT_GOOD);
	assert_int_equal(trust_judge_again(f->trust, &f->key, &serial, 1000, 1000 + CERT_SKEW_S), CERT_EXPIRED);
}

static void own_is_shown_with_the_epoch(void **state)
{
	static uint8_t list[REVOCATION_MAX_BYTES];
	struct fixture *f = *state;
	struct cert c = certs_direct("alice", &f->key, addrs), out;
	struct wire_trust shown = { 0 };
	size_t len = certs_revoke(list, 41, &f->other, 1);

	trust_show(NULL, &shown);
	trust_show(f->trust, &shown);
	assert_false(shown.is_shown);
	trust_set_own(f->trust, &c);
	assert_int_equal(revocations_adopt(trust_revocations(f->trust), list, len), 0);
	trust_show(f->trust, &shown);
	assert_true(shown.is_shown && shown.epoch == 41);
	assert_int_equal(trust_judge(f->trust, &shown, &f->key, CERTS_NOW_S, &out), CERT_GOOD);
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
		TEST(chain_is_checked_once),
		TEST(what_is_refused_is_not_remembered),
		TEST(nothing_and_nonsense_are_refused),
		TEST(revoked_one_is_refused_by_key_and_by_serial),
		TEST(what_is_not_in_force_is_signed_all_the_same),
		TEST(expired_list_lets_nobody_in_where_it_must_be_fresh),
		TEST(certified_time_ends),
		TEST(own_is_shown_with_the_epoch),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
