#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/two_nodes.h"

#define MAC1_END (WIRE_INIT_BYTES - MAC_BYTES)

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

/* An initiation of node 0 that has not been delivered. */
static void hold_initiation(struct two_nodes *w, uint8_t out[static WIRE_INIT_BYTES])
{
	w->is_cut = true;
	sessions_drop(&w->n[0].sessions);
	sessions_want(&w->n[0].sessions, w->now_ms);
	w->is_cut = false;
	memcpy(out, w->last_initiation, WIRE_INIT_BYTES);
}

static struct sessions *give(struct two_nodes *w, const uint8_t *data, size_t len)
{
	return responder_receive(w->n[1].responder, &two_nodes_address[0], 0, data, len, w->now_ms);
}

static uint64_t count(const struct two_nodes *w, enum counter c)
{
	return counters_get(&w->n[1].counters, c);
}

/* Everything of the responding node that a datagram could have changed. */
struct snapshot {
	struct sessions sessions;
	unsigned n_responses, n_changed, n_queued;
};

static struct snapshot snapshot_of(const struct two_nodes *w)
{
	struct snapshot s;

	memset(&s, 0, sizeof(s));
	memcpy(&s.sessions, &w->n[1].sessions, sizeof(s.sessions));
	s.n_responses = w->n[1].n_responses;
	s.n_changed = w->n[1].n_changed;
	s.n_queued = w->n_queued;
	return s;
}

static void assert_unchanged(const struct two_nodes *w, const struct snapshot *before)
{
	struct snapshot after = snapshot_of(w);

	assert_memory_equal(&after, before, sizeof(after));
}

/* Correct mac1 over whatever stands before it: what any stranger can do who knows the public key. */
static void fix_mac1(const struct two_nodes *w, uint8_t data[static WIRE_INIT_BYTES])
{
	size_t at = WIRE_INIT_BYTES - WIRE_MACS_BYTES;

	mac_compute(data + at, w->n[1].identity.mac1_key.b, sizeof(w->n[1].identity.mac1_key.b), data, at);
}

static void good_initiation_is_answered_once(void **state)
{
	struct two_nodes *w = *state;
	uint8_t data[WIRE_INIT_BYTES];
	struct snapshot before;

	hold_initiation(w, data);
	assert_ptr_equal(give(w, data, sizeof(data)), &w->n[1].sessions);
	assert_int_equal(w->n[1].n_responses, 1);
	assert_int_equal(count(w, COUNTER_handshakes_answered), 1);
	before = snapshot_of(w);
	assert_null(give(w, data, sizeof(data)));
	assert_unchanged(w, &before);
	assert_int_equal(count(w, COUNTER_handshake_replayed), 1);
}

static void every_flipped_bit_changes_nothing_and_is_counted(void **state)
{
	struct two_nodes *w = *state;
	uint8_t data[WIRE_INIT_BYTES];
	uint64_t n_malformed = 2 * 8; /* type and version */
	struct snapshot before;

	hold_initiation(w, data);
	before = snapshot_of(w);
	for (unsigned bit = 0; bit < MAC1_END * 8; bit++) {
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_null(give(w, data, sizeof(data)));
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_unchanged(w, &before);
	assert_int_equal(count(w, COUNTER_handshake_malformed), n_malformed);
	assert_int_equal(count(w, COUNTER_handshake_bad_mac), MAC1_END * 8 - n_malformed);
	assert_non_null(give(w, data, sizeof(data)));
}

static void every_flipped_bit_under_a_good_mac1_changes_nothing_and_is_counted(void **state)
{
	struct two_nodes *w = *state;
	uint8_t data[WIRE_INIT_BYTES], flipped[WIRE_INIT_BYTES];
	const unsigned first = 16, last = (WIRE_INIT_BYTES - WIRE_MACS_BYTES) * 8; /* past type and version */
	struct snapshot before;

	hold_initiation(w, data);
	before = snapshot_of(w);
	for (unsigned bit = first; bit < last; bit++) {
		memcpy(flipped, data, sizeof(data));
		flipped[bit / 8] ^= (uint8_t)(1 << bit % 8);
		fix_mac1(w, flipped);
		w->now_ms += 20; /* below the load at which cookies are asked for */
		assert_null(give(w, flipped, sizeof(flipped)));
	}
	assert_unchanged(w, &before);
	/* The top bit of an X25519 key is not part of its value, but Noise authenticates the bytes. */
	assert_int_equal(count(w, COUNTER_handshake_bad_auth), last - first);
	assert_non_null(give(w, data, sizeof(data)));
}

static void every_length_but_the_right_one_changes_nothing(void **state)
{
	struct two_nodes *w = *state;
	uint8_t data[WIRE_INIT_BYTES + 64] = { 0 };
	struct snapshot before;

	hold_initiation(w, data);
	before = snapshot_of(w);
	for (size_t len = 0; len < WIRE_INIT_BYTES; len++)
		assert_null(give(w, data, len));
	assert_int_equal(count(w, COUNTER_handshake_malformed), WIRE_INIT_BYTES);
	for (size_t len = WIRE_INIT_BYTES + 1; len <= sizeof(data); len++)
		assert_null(give(w, data, len)); /* room for extensions, but then the macs stand elsewhere */
	assert_int_equal(count(w, COUNTER_handshake_malformed) + count(w, COUNTER_handshake_bad_mac),
			 WIRE_INIT_BYTES + 64);
	assert_unchanged(w, &before);
	assert_non_null(give(w, data, WIRE_INIT_BYTES));
}

static void random_bytes_change_nothing(void **state)
{
	struct two_nodes *w = *state;
	struct snapshot before = snapshot_of(w);
	uint8_t data[WIRE_INIT_BYTES];

	srandom(1);
	for (unsigned i = 0; i < 10000; i++) {
		for (size_t j = 0; j < sizeof(data); j++)
			data[j] = (uint8_t)random();
		if (i % 2) {
			data[0] = WIRE_INIT;
			data[1] = WIRE_VERSION;
		}
		if (i % 100 == 1)
			fix_mac1(w, data);
		w->now_ms++;
		assert_null(give(w, data, i % 3 ? sizeof(data) : (size_t)random() % sizeof(data)));
	}
	assert_unchanged(w, &before);
	assert_int_equal(count(w, COUNTER_handshakes_answered), 0);
	assert_int_equal(count(w, COUNTER_cookies_sent), 0);
}

static void unknown_key_gets_no_answer(void **state)
{
	struct two_nodes *w = *state;
	struct seckey secret = { { 99 } };
	struct identity stranger;
	struct handshake h = { 0 };
	uint8_t data[WIRE_INIT_BYTES], timestamp[WIRE_TIMESTAMP_BYTES] = { 1 };
	struct snapshot before = snapshot_of(w);

	assert_int_equal(identity_init(&stranger, &secret, NULL, aead_offer(), 0), 0);
	assert_int_equal(handshake_initiate(&h, &stranger, HANDSHAKE_PEER, &w->n[1].identity.public, 1, timestamp, NULL,
					    data, sizeof(data)),
			 sizeof(data));
	handshake_wipe(&h);
	assert_null(give(w, data, sizeof(data)));
	assert_int_equal(count(w, COUNTER_handshake_unknown_key), 1);
	assert_unchanged(w, &before);
}

static void initiation_for_a_coordinator_is_not_a_peers(void **state)
{
	struct two_nodes *w = *state;
	struct handshake h = { 0 };
	uint8_t data[WIRE_INIT_BYTES], timestamp[WIRE_TIMESTAMP_BYTES] = { 1 };

	handshake_initiate(&h, &w->n[0].identity, HANDSHAKE_COORDINATOR, &w->n[1].identity.public, 1, timestamp, NULL,
			   data, sizeof(data));
	handshake_wipe(&h);
	assert_null(give(w, data, sizeof(data)));
	assert_int_equal(count(w, COUNTER_handshake_bad_auth), 1);
}

static void older_timestamp_is_refused(void **state)
{
	struct two_nodes *w = *state;
	uint8_t older[WIRE_INIT_BYTES], newer[WIRE_INIT_BYTES];
	struct snapshot before;

	hold_initiation(w, older);
	w->now_ms += 1000;
	hold_initiation(w, newer);
	assert_non_null(give(w, newer, sizeof(newer)));
	before = snapshot_of(w);
	w->now_ms += 1000;
	assert_null(give(w, older, sizeof(older)));
	assert_unchanged(w, &before);
	assert_int_equal(count(w, COUNTER_handshake_replayed), 1);
}

static void clock_far_behind_is_noticed_and_forgotten_with_a_session(void **state)
{
	struct two_nodes *w = *state;
	uint8_t older[WIRE_INIT_BYTES], newer[WIRE_INIT_BYTES];

	hold_initiation(w, older);
	w->now_ms += SESSIONS_STALE_S * 1000 + 2000;
	hold_initiation(w, newer);
	assert_non_null(give(w, newer, sizeof(newer)));
	assert_int_equal(w->n[1].sessions.stale_ms, 0);
	w->now_ms += 1000;
	older[40] ^= 1; /* not of that peer, whatever it says */
	fix_mac1(w, older);
	assert_null(give(w, older, sizeof(older)));
	assert_int_equal(w->n[1].sessions.stale_ms, 0);
	older[40] ^= 1;
	fix_mac1(w, older);
	assert_null(give(w, older, sizeof(older)));
	assert_int_equal(w->n[1].sessions.stale_ms, w->now_ms);
	w->now_ms += 1000;
	sessions_want(&w->n[0].sessions, w->now_ms);
	two_nodes_run(w, 100);
	assert_true(two_nodes_both_directions_carry_data(w));
	assert_int_equal(w->n[1].sessions.stale_ms, 0);
}

struct version_heard {
	unsigned n;
	uint8_t version;
	uint32_t member;
	struct path_addr from;
};

static void hear_version(void *arg, const struct path_addr *from, uint32_t relay_member, uint8_t version)
{
	struct version_heard *heard = arg;

	heard->n++;
	heard->version = version;
	heard->member = relay_member;
	heard->from = *from;
}

static struct sessions *find_none(void *arg, const struct pubkey *key)
{
	(void)arg;
	(void)key;
	return NULL;
}

static void send_nothing(void *arg, const struct path_addr *to, uint32_t relay_member, const uint8_t *data, size_t len)
{
	(void)arg, (void)to, (void)relay_member, (void)data, (void)len;
	fail();
}

static void another_version_is_told_where_the_relay_vouches_for_its_sender(void **state)
{
	static const struct responder_env env = { .find = find_none,
						  .send = send_nothing,
						  .other_version = hear_version };
	const struct path_addr relay = { .kind = PATH_RELAY_UDP, .coordinator = 2 };
	struct two_nodes *w = *state;
	struct version_heard heard = { 0 };
	struct responder *r = responder_new(&env, &heard, &w->n[1].identity, w->n[1].indices, &w->n[1].counters);
	uint8_t data[WIRE_INIT_BYTES];

	hold_initiation(w, data);
	data[1] = WIRE_VERSION + 1;
	assert_null(responder_receive(r, &relay, 7, data, sizeof(data), w->now_ms)); /* not made for us */
	assert_int_equal(heard.n, 0);
	fix_mac1(w, data);
	assert_null(responder_receive(r, &two_nodes_address[0], 0, data, sizeof(data), w->now_ms)); /* of anybody */
	assert_int_equal(heard.n, 0);
	assert_null(responder_receive(r, &relay, 7, data, WIRE_INIT_HEADER_BYTES, w->now_ms));
	assert_int_equal(heard.n, 0);
	assert_null(responder_receive(r, &relay, 7, data, sizeof(data), w->now_ms));
	assert_int_equal(heard.n, 1);
	assert_int_equal(heard.version, WIRE_VERSION + 1);
	assert_int_equal(heard.member, 7);
	assert_int_equal(heard.from.coordinator, 2);
	assert_int_equal(count(w, COUNTER_handshake_malformed), 4);
	responder_free(r);
}

static void initiations_of_one_peer_are_20_ms_apart(void **state)
{
	struct two_nodes *w = *state;
	uint8_t data[WIRE_INIT_BYTES];
	struct snapshot before;

	hold_initiation(w, data);
	assert_non_null(give(w, data, sizeof(data)));
	w->now_ms += RESPONDER_SPACING_MS - 1;
	hold_initiation(w, data);
	before = snapshot_of(w);
	assert_null(give(w, data, sizeof(data)));
	assert_unchanged(w, &before);
	assert_int_equal(count(w, COUNTER_handshake_rate_limited), 1);
	w->now_ms++;
	assert_non_null(give(w, data, sizeof(data))); /* the refusal did not use it up */
}

static void peer_without_a_common_suite_is_told_so(void **state)
{
	struct two_nodes *w = *state;
	uint8_t data[WIRE_INIT_BYTES];

	w->n[1].identity.suites = 0;
	hold_initiation(w, data);
	assert_null(give(w, data, sizeof(data)));
	assert_null(w->n[1].sessions.next);
	assert_int_equal(w->n[1].n_responses, 1);
	assert_int_equal(count(w, COUNTER_handshake_no_cipher), 1);
	assert_int_equal(count(w, COUNTER_handshakes_answered), 0);
	assert_int_equal(w->n[1].n_no_suite, 1);
	assert_int_equal(w->n[1].sessions.suites_there, w->n[0].identity.suites);
	assert_null(give(w, data, sizeof(data))); /* once */
	assert_int_equal(w->n[1].n_responses, 1);
	assert_int_equal(count(w, COUNTER_handshake_replayed), 1);
}

/* ---------------------------------------------------------------- under load */

static struct path_addr udp_from(uint8_t a, uint8_t b, uint8_t c, uint16_t port)
{
	return (struct path_addr){ .kind = PATH_UDP, .endpoint = { .ip = { 4, { 203, a, b, c } }, .port = port } };
}

/* What a stranger sends who knows the public key: all right up to the mac. */
static void junk_initiation(const struct two_nodes *w, uint8_t data[static WIRE_INIT_BYTES])
{
	memset(data, 0, WIRE_INIT_BYTES);
	data[0] = WIRE_INIT;
	data[1] = WIRE_VERSION;
	data[8] = 9; /* some ephemeral key */
	fix_mac1(w, data);
}

static void load_asks_for_a_cookie_and_the_round_trip_succeeds(void **state)
{
	struct two_nodes *w = *state;
	uint8_t junk[WIRE_INIT_BYTES];
	struct path_addr flooder = udp_from(0, 113, 7, 4000);

	junk_initiation(w, junk);
	for (unsigned i = 0; i < RESPONDER_LOAD_PER_S; i++)
		responder_receive(w->n[1].responder, &flooder, 0, junk, sizeof(junk), w->now_ms);
	assert_int_equal(count(w, COUNTER_cookies_sent), 0);
	sessions_want(&w->n[0].sessions, w->now_ms);
	two_nodes_run(w, 20); /* initiation there, cookie back, initiation with mac2 leaves */
	assert_int_equal(count(w, COUNTER_cookies_sent), 1);
	assert_true(w->n[0].sessions.has_cookie);
	assert_int_equal(w->n[0].n_initiations, 2);
	assert_int_equal(w->n[1].n_responses, 0);
	two_nodes_run(w, 30);
	assert_int_equal(w->n[1].n_responses, 1);
	assert_true(two_nodes_both_directions_carry_data(w));
}

static void innocent_is_not_starved_by_a_flooder(void **state)
{
	struct two_nodes *w = *state;
	uint8_t junk[WIRE_INIT_BYTES];

	/* Three floods of 20 a ms: from one address, from one network's many ports, from forged addresses all over. */
	junk_initiation(w, junk);
	for (unsigned kind = 0; kind < 3; kind++) {
		two_nodes_restart(w, 0);
		two_nodes_restart(w, 1);
		w->n_queued = 0;
		for (unsigned ms = 0; ms < 1000; ms++) {
			for (unsigned i = 0; i < 20; i++) {
				unsigned n = ms * 20 + i;
				struct path_addr from = udp_from(0, 113, 7, 4000);

				if (kind == 1)
					from.endpoint.port = (uint16_t)(1 + n);
				if (kind == 2)
					from = udp_from((uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n, 4000);
				responder_receive(w->n[1].responder, &from, 0, junk, sizeof(junk), w->now_ms);
			}
			if (ms == 500)
				sessions_want(&w->n[0].sessions, w->now_ms);
			two_nodes_run(w, 1);
		}
		assert_non_null(w->n[0].sessions.current);
		assert_true(w->n[0].initiation_ms[1] - w->n[0].initiation_ms[0] <= 2 * w->delay_ms);
		assert_true(two_nodes_both_directions_carry_data(w));
		assert_true(count(w, COUNTER_handshake_bad_auth) <= RESPONDER_LOAD_PER_S);
	}
}

/* An initiation with a good mac2 for a source, as a flooder makes it who really lives there. */
struct cookie_catcher {
	struct two_nodes *world;
	bool is_caught;
	uint8_t cookie[COOKIE_BYTES];
	const uint8_t *mac1;
};

static void catch_cookie(void *arg, const struct path_addr *to, uint32_t relay_member, const uint8_t *data, size_t len)
{
	struct cookie_catcher *c = arg;
	struct wire_cookie reply;

	(void)to;
	(void)relay_member;
	if (wire_cookie_decode(&reply, data, len) == 0)
		c->is_caught = cookie_unseal(c->cookie, reply.nonce, &c->world->n[1].identity.cookie_key, reply.sealed,
					     c->mac1) == 0;
}

static const struct responder_env catching_env = { .find = find_none, .send = catch_cookie };

struct flooder {
	struct cookie_catcher catcher;
	struct responder *responder;
	uint8_t junk[WIRE_INIT_BYTES];
};

/* A loaded responder whose answers the test sees, and an initiation with mac2 for `from`. */
static void flooder_start(struct flooder *f, struct two_nodes *w, const struct path_addr *from, uint32_t member)
{
	memset(f, 0, sizeof(*f));
	f->catcher.world = w;
	f->responder = responder_new(&catching_env, &f->catcher, &w->n[1].identity, w->n[1].indices, &w->n[1].counters);
	assert_non_null(f->responder);
	junk_initiation(w, f->junk);
	f->catcher.mac1 = f->junk + WIRE_INIT_BYTES - WIRE_MACS_BYTES;
	for (unsigned i = 0; i <= RESPONDER_LOAD_PER_S; i++)
		responder_receive(f->responder, from, member, f->junk, sizeof(f->junk), w->now_ms);
	assert_true(f->catcher.is_caught);
	mac_compute(f->junk + MAC1_END, f->catcher.cookie, COOKIE_BYTES, f->junk, MAC1_END);
}

/* How many of n initiations get as far as the first DH. */
static unsigned passed(struct flooder *f, struct two_nodes *w, const struct path_addr *from, uint32_t member,
		       unsigned n)
{
	uint64_t before = count(w, COUNTER_handshake_bad_auth);

	for (unsigned i = 0; i < n; i++)
		responder_receive(f->responder, from, member, f->junk, sizeof(f->junk), w->now_ms);
	return (unsigned)(count(w, COUNTER_handshake_bad_auth) - before);
}

static void proven_source_is_held_to_20_a_second_by_its_network(void **state)
{
	struct two_nodes *w = *state;
	struct path_addr home = { .kind = PATH_UDP, .endpoint = { .ip = { 16, { 0x20, 1, 0xd, 0xb8 } }, .port = 7 } };
	struct flooder f;
	unsigned n = 0;

	flooder_start(&f, w, &home, 0);
	assert_int_equal(passed(&f, w, &home, 0, 1000), RESPONDER_SOURCE_BURST);
	for (unsigned ms = 0; ms < 5000; ms++) {
		w->now_ms++;
		n += passed(&f, w, &home, 0, 5);
	}
	assert_in_range(n, 5 * RESPONDER_SOURCE_PER_S - 1, 5 * RESPONDER_SOURCE_PER_S + 1);
	assert_true(count(w, COUNTER_handshake_rate_limited) > 20000);
	responder_free(f.responder);
}

static void cookie_is_good_for_one_endpoint_and_not_for_ever(void **state)
{
	struct two_nodes *w = *state;
	struct path_addr home = udp_from(0, 113, 7, 4000), other_port = udp_from(0, 113, 7, 4001),
			 other_host = udp_from(0, 113, 8, 4000);
	struct path_addr relayed = { .kind = PATH_RELAY_UDP, .coordinator = 1 };
	struct flooder f;

	flooder_start(&f, w, &home, 0);
	assert_int_equal(passed(&f, w, &other_port, 0, 1), 0);
	assert_int_equal(passed(&f, w, &other_host, 0, 1), 0);
	assert_int_equal(passed(&f, w, &relayed, 5, 1), 0);
	assert_int_equal(passed(&f, w, &home, 0, 1), 1);
	w->now_ms += 121000;
	for (unsigned i = 0; i <= RESPONDER_LOAD_PER_S; i++) /* loaded again */
		responder_receive(f.responder, &other_host, 0, f.junk, sizeof(f.junk), w->now_ms);
	assert_int_equal(passed(&f, w, &home, 0, 1), 0);
	responder_free(f.responder);
}

static void relayed_members_have_a_share_each(void **state)
{
	struct two_nodes *w = *state;
	struct path_addr udp = { .kind = PATH_RELAY_UDP, .coordinator = 1 };
	struct path_addr tcp = { .kind = PATH_RELAY_TCP, .coordinator = 1 };
	struct flooder f;

	flooder_start(&f, w, &udp, 5);
	assert_int_equal(passed(&f, w, &udp, 5, 100), RESPONDER_SOURCE_BURST);
	assert_int_equal(passed(&f, w, &tcp, 5, 100), 0); /* the same member by another way */
	f.catcher.is_caught = false;
	assert_int_equal(passed(&f, w, &udp, 6, 1), 0); /* another one has to show a cookie of its own, */
	assert_true(f.catcher.is_caught);               /* and gets it */
	responder_free(f.responder);
}

static void cookie_replies_to_one_source_are_limited(void **state)
{
	struct two_nodes *w = *state;
	uint8_t junk[WIRE_INIT_BYTES];
	struct path_addr victim = udp_from(0, 113, 7, 4000);
	struct snapshot before = snapshot_of(w);

	junk_initiation(w, junk);
	for (unsigned i = 0; i < 10000; i++)
		responder_receive(w->n[1].responder, &victim, 0, junk, sizeof(junk), w->now_ms);
	assert_int_equal(count(w, COUNTER_cookies_sent), RESPONDER_COOKIE_BURST);
	assert_unchanged(w, &before);
}

static void load_passes_with_the_flood(void **state)
{
	struct two_nodes *w = *state;
	uint8_t junk[WIRE_INIT_BYTES];
	struct path_addr flooder = udp_from(0, 113, 7, 4000);

	junk_initiation(w, junk);
	for (unsigned i = 0; i < 200; i++)
		responder_receive(w->n[1].responder, &flooder, 0, junk, sizeof(junk), w->now_ms);
	two_nodes_run(w, 2000);
	sessions_want(&w->n[0].sessions, w->now_ms);
	two_nodes_run(w, 50);
	assert_int_equal(w->n[0].n_initiations, 1);
	assert_false(w->n[0].sessions.has_cookie);
	assert_true(two_nodes_both_directions_carry_data(w));
}

static int start(void **state)
{
	(void)state;
	return crypto_start();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(good_initiation_is_answered_once),
		TEST(every_flipped_bit_changes_nothing_and_is_counted),
		TEST(every_flipped_bit_under_a_good_mac1_changes_nothing_and_is_counted),
		TEST(every_length_but_the_right_one_changes_nothing),
		TEST(random_bytes_change_nothing),
		TEST(unknown_key_gets_no_answer),
		TEST(initiation_for_a_coordinator_is_not_a_peers),
		TEST(older_timestamp_is_refused),
		TEST(clock_far_behind_is_noticed_and_forgotten_with_a_session),
		TEST(another_version_is_told_where_the_relay_vouches_for_its_sender),
		TEST(initiations_of_one_peer_are_20_ms_apart),
		TEST(peer_without_a_common_suite_is_told_so),
		TEST(load_asks_for_a_cookie_and_the_round_trip_succeeds),
		TEST(innocent_is_not_starved_by_a_flooder),
		TEST(proven_source_is_held_to_20_a_second_by_its_network),
		TEST(cookie_is_good_for_one_endpoint_and_not_for_ever),
		TEST(relayed_members_have_a_share_each),
		TEST(cookie_replies_to_one_source_are_limited),
		TEST(load_passes_with_the_flood),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
