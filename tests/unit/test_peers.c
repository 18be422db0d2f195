#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "daemon/peer/peers.h"
#include "tests/unit/dataplane.h"

static int set_up(void **state)
{
	static struct peers peers;

	memset(&peers, 0, sizeof(peers));
	*state = &peers;
	return 0;
}

static int tear_down(void **state)
{
	struct peers *t = *state;

	while (t->by_number)
		peers_remove_take(t, t->by_number);
	return t->n == 0 && !t->by_key ? 0 : -1;
}

static struct wire_member record_of(uint8_t key, const char *name, const char *addr)
{
	struct wire_member m = { .id = 100u + key, .flags = MEMBER_ONLINE, .n_addrs = 1 };

	memset(m.key, key, sizeof(m.key));
	snprintf(m.name, sizeof(m.name), "%s", name);
	m.addrs[0] = ip_of(addr);
	return m;
}

static struct peer *put(struct peers *t, const struct wire_member *record, unsigned coordinator)
{
	struct peer *displaced, *p;
	bool is_new;

	p = peers_put(t, record, NULL, coordinator, &is_new, &displaced);
	assert_non_null(p);
	assert_null(displaced);
	return p;
}

static void peer_is_found_by_everything_it_is_known_by(void **state)
{
	struct peers *t = *state;
	struct wire_member bob = record_of(1, "bob", "10.77.0.2"), eve = record_of(2, "eve", "10.77.0.3");
	struct peer *displaced, *b, *e;
	struct ip ip;
	bool is_new;

	bob.addrs[bob.n_addrs++] = ip_of("fd77::2");
	b = peers_put(t, &bob, NULL, 0, &is_new, &displaced);
	assert_non_null(b);
	assert_true(is_new);
	assert_null(displaced);
	e = put(t, &eve, 0);
	assert_int_equal(t->n, 2);
	assert_true(b->number != 0 && b->number != e->number);
	assert_string_equal(b->name, "bob");
	assert_true(b->is_online[0]);
	assert_false(b->is_online[1]);

	assert_ptr_equal(peers_by_number(t, b->number), b);
	assert_ptr_equal(peers_by_key(t, &b->key), b);
	assert_ptr_equal(peers_by_key(t, &e->key), e);
	assert_ptr_equal(peers_by_member(t, 0, 101), b);
	assert_ptr_equal(peers_by_addr(t, &bob.addrs[0]), b);
	assert_ptr_equal(peers_by_addr(t, &bob.addrs[1]), b);
	assert_ptr_equal(peers_by_addr(t, &eve.addrs[0]), e);

	ip = ip_of("10.77.0.9");
	assert_null(peers_by_number(t, 99));
	assert_null(peers_by_addr(t, &ip));
	assert_null(peers_by_member(t, 0, 103));
	assert_null(peers_by_member(t, 1, 101));
	assert_null(peers_by_member(t, 1, 0)); /* not known there: not a match for one another */
	assert_null(peers_by_member(t, CONFIG_COORDINATORS_MAX, 101));
}

static void record_with_a_known_key_updates_its_peer(void **state)
{
	struct peers *t = *state;
	struct wire_member bob = record_of(1, "bob", "10.77.0.2");
	struct peer *b = put(t, &bob, 0), *again, *displaced;
	struct ip old = bob.addrs[0];
	uint64_t number = b->number;
	bool is_new;

	b->has_there = true;
	snprintf(bob.name, sizeof(bob.name), "robert");
	bob.addrs[0] = ip_of("10.77.0.22");
	bob.flags = 0;
	again = peers_put(t, &bob, NULL, 0, &is_new, &displaced);
	assert_ptr_equal(again, b);
	assert_false(is_new);
	assert_null(displaced);
	assert_int_equal(t->n, 1);
	assert_int_equal(b->number, number);
	assert_string_equal(b->name, "robert");
	assert_false(b->is_online[0]);
	assert_true(b->has_there);
	assert_null(peers_by_addr(t, &old));
	assert_ptr_equal(peers_by_addr(t, &bob.addrs[0]), b);
}

static void each_coordinator_has_its_own_id_for_a_peer(void **state)
{
	struct peers *t = *state;
	struct wire_member bob = record_of(1, "bob", "10.77.0.2"), eve = record_of(2, "eve", "10.77.0.3");
	struct peer *b = put(t, &bob, 0), *e = put(t, &eve, 0);

	bob.id = 102; /* eve's at the other coordinator */
	bob.flags = 0;
	assert_ptr_equal(put(t, &bob, 1), b);
	assert_ptr_equal(peers_by_member(t, 0, 101), b);
	assert_ptr_equal(peers_by_member(t, 1, 102), b);
	assert_ptr_equal(peers_by_member(t, 0, 102), e);
	assert_true(b->is_online[0]);
	assert_false(b->is_online[1]);
}

static void relay_tells_a_number_only_while_no_coordinator_did(void **state)
{
	struct peers *t = *state;
	struct wire_member bob = record_of(1, "bob", "10.77.0.2");
	struct peer *p = put(t, &bob, 0);

	/* A member that sends a captured initiation on must not get what is for the one who made it. */
	assert_false(peers_learn_member(p, 0, 666));
	assert_int_equal(p->member[0], 101);
	assert_true(peers_learn_member(p, 1, 7));
	assert_int_equal(p->member[1], 7);
	assert_false(peers_learn_member(p, 1, 666));
	assert_int_equal(p->member[1], 7);
	bob.id = 102; /* the coordinators' word stands above it */
	put(t, &bob, 1);
	assert_int_equal(p->member[1], 102);
}

static void peer_whose_address_or_name_went_to_another_is_told(void **state)
{
	struct peers *t = *state;
	struct wire_member bob = record_of(1, "bob", "10.77.0.2");
	const struct wire_member heirs[] = { record_of(2, "eve", "10.77.0.2"), record_of(3, "bob", "10.77.0.4") };

	for (size_t i = 0; i < 2; i++) {
		struct peer *b = put(t, &bob, 0), *displaced, *heir;
		bool is_new;

		heir = peers_put(t, &heirs[i], NULL, 0, &is_new, &displaced);
		assert_true(is_new);
		assert_ptr_equal(displaced, b);
		peers_remove_take(t, displaced);
		assert_ptr_equal(peers_by_addr(t, &heirs[i].addrs[0]), heir);
		assert_ptr_equal(peers_by_words(t, heirs[i].name), heir);
		peers_remove_take(t, heir);
	}
}

static void each_of_several_displaced_peers_is_told_in_its_turn(void **state)
{
	struct peers *t = *state;
	struct wire_member bob = record_of(1, "bob", "10.77.0.2"), eve = record_of(2, "eve", "10.77.0.3");
	const struct wire_member heir = record_of(3, "bob", "10.77.0.3"); /* the one's name, the other's address */
	struct peer *displaced, *first, *p;
	bool is_new;

	put(t, &bob, 0);
	put(t, &eve, 0);
	peers_put(t, &heir, NULL, 0, &is_new, &first);
	assert_non_null(first);
	peers_remove_take(t, first);
	p = peers_put(t, &heir, NULL, 0, &is_new, &displaced);
	assert_non_null(displaced);
	assert_false(is_new);
	peers_remove_take(t, displaced);
	assert_ptr_equal(put(t, &heir, 0), p);
	assert_int_equal(t->n, 1);
	assert_ptr_equal(peers_by_words(t, "bob"), p);
	assert_ptr_equal(peers_by_words(t, "10.77.0.3"), p);
}

static void removed_peers_number_is_not_used_again(void **state)
{
	struct peers *t = *state;
	struct wire_member bob = record_of(1, "bob", "10.77.0.2");
	struct peer *b = put(t, &bob, 0);
	uint64_t number = b->number;

	peers_remove_take(t, b);
	assert_int_equal(t->n, 0);
	assert_null(peers_by_number(t, number));
	b = put(t, &bob, 0);
	assert_true(b->number > number);
}

static void words_name_a_peer(void **state)
{
	struct peers *t = *state;
	struct wire_member bob = record_of(1, "bob", "10.77.0.2"), eve = record_of(2, "eve", "fd77::3");
	struct peer *b = put(t, &bob, 0), *e = put(t, &eve, 0);
	char text[KEY_TEXT_BYTES];

	assert_ptr_equal(peers_by_words(t, "bob"), b);
	assert_ptr_equal(peers_by_words(t, "10.77.0.2"), b);
	assert_ptr_equal(peers_by_words(t, "fd77:0::3"), e);
	pubkey_to_text(&b->key, text);
	assert_ptr_equal(peers_by_words(t, text), b);
	text[8] = '\0';
	assert_ptr_equal(peers_by_words(t, text), b);
	text[7] = '\0';
	assert_null(peers_by_words(t, text));
	assert_null(peers_by_words(t, ""));
	assert_null(peers_by_words(t, "bo"));
	assert_null(peers_by_words(t, "mallory-with-a-long-name"));
	assert_null(peers_by_words(t, "10.77.0.3"));
}

static void key_text_that_fits_two_names_nobody(void **state)
{
	struct peers *t = *state;
	struct wire_member bob = record_of(1, "bob", "10.77.0.2"), twin = record_of(1, "twin", "10.77.0.3");
	char text[KEY_TEXT_BYTES];
	struct peer *b, *w;

	twin.key[31] = 2;
	b = put(t, &bob, 0);
	w = put(t, &twin, 0);
	pubkey_to_text(&b->key, text);
	text[20] = '\0';
	assert_null(peers_by_words(t, text));
	pubkey_to_text(&w->key, text);
	assert_ptr_equal(peers_by_words(t, text), w);
}

static void table_has_a_limit(void **state)
{
	struct peers *t = *state;
	struct wire_member m = record_of(1, "x", "10.77.0.2");
	struct peer *displaced, *last = NULL;
	bool is_new;

	/* Without `displaced` nobody is looked for who holds the name already. */
	for (uint32_t i = 0; i < PEERS_MAX; i++) {
		memcpy(m.key, &i, sizeof(i));
		last = peers_put(t, &m, NULL, 0, &is_new, NULL);
		assert_non_null(last);
		assert_true(is_new);
	}
	memset(m.key, 0xff, sizeof(m.key));
	snprintf(m.name, sizeof(m.name), "one-more");
	m.addrs[0] = ip_of("10.77.0.3");
	assert_null(peers_put(t, &m, NULL, 0, &is_new, &displaced));
	assert_int_equal(t->n, PEERS_MAX);
	memcpy(m.key, last->key.b, sizeof(m.key));
	assert_ptr_equal(peers_put(t, &m, NULL, 0, &is_new, NULL), last); /* a known one may still change */
	assert_string_equal(last->name, "one-more");
}

/* What a certificate says of a peer is not for a record to change, nor to give to another. */
static void record_does_not_touch_a_good_credential(void **state)
{
	struct peers *t = *state;
	struct wire_member bob = record_of(1, "bob", "10.77.0.2"), lie = record_of(1, "eve", "10.77.0.3");
	struct wire_member eve = record_of(2, "bob", "10.77.0.2");
	struct peer *b = put(t, &bob, 0), *e;
	struct ip two = ip_of("10.77.0.2"), three = ip_of("10.77.0.3");

	b->credential.is_good = true;
	lie.id = 77;
	lie.flags = 0;
	assert_ptr_equal(put(t, &lie, 0), b);
	assert_string_equal(b->name, "bob");
	assert_ptr_equal(peers_by_addr(t, &two), b);
	assert_null(peers_by_addr(t, &three));
	assert_int_equal(b->member[0], 77); /* how to reach it stays the coordinator's to say */
	assert_false(b->is_online[0]);
	/* Another key with its name and address displaces nobody and has no address. */
	eve.addrs[eve.n_addrs++] = ip_of("fd77::9");
	e = put(t, &eve, 0);
	assert_ptr_equal(peers_by_addr(t, &two), b);
	assert_int_equal(e->n_addrs, 1);
	/* When the credential is gone, the coordinator's word is what there is. */
	b->credential.is_good = false;
	put(t, &lie, 0);
	assert_ptr_equal(peers_by_addr(t, &three), b);
}

static struct cert cert_of(const struct wire_member *record, uint64_t since_s)
{
	struct cert c = { .not_before_s = since_s, .n_addrs = record->n_addrs };

	memcpy(c.name, record->name, sizeof(c.name));
	memcpy(c.addrs, record->addrs, sizeof(record->addrs));
	return c;
}

static struct peer *put_signed(struct peers *t, const struct wire_member *record, uint64_t since_s,
			       struct peer **displaced)
{
	struct cert c = cert_of(record, since_s);
	bool is_new;

	return peers_put(t, record, &c, 0, &is_new, displaced);
}

static void under_a_network_key_who_is_not_signed_is_not_listed(void **state)
{
	struct peers *t = *state;
	struct wire_member bob = record_of(1, "bob", "10.77.0.2"), eve = record_of(2, "eve", "10.77.0.3");
	struct ip three = ip_of("10.77.0.3");
	char key[KEY_TEXT_BYTES];
	struct peer *b, *e, *displaced;

	t->is_certified = true;
	b = put_signed(t, &bob, 1000, &displaced);
	e = put(t, &eve, 0);
	assert_int_equal(t->n, 2);
	assert_int_equal(peers_listed(t), 1);
	assert_true(peers_is_listed(t, b) && !peers_is_listed(t, e));
	assert_ptr_equal(peers_by_words(t, "bob"), b);
	assert_ptr_equal(peers_by_words(t, "10.77.0.2"), b);
	assert_null(peers_by_words(t, "eve"));
	assert_null(peers_by_words(t, "10.77.0.3"));
	assert_null(peers_by_words(t, pubkey_to_text(&e->key, key)));
	assert_ptr_equal(peers_by_addr(t, &three), e); /* but there to shake hands with */
	assert_ptr_equal(peers_by_name(t, "eve"), e);
	t->is_certified = false;
	assert_ptr_equal(peers_by_words(t, "eve"), e);
	assert_int_equal(peers_listed(t), 2);
}

/* The same record again without its certificate, as another coordinator may tell it, changes nothing. */
static void signed_face_is_changed_by_a_later_certificate_only(void **state)
{
	struct peers *t = *state;
	struct wire_member bob = record_of(1, "bob", "10.77.0.2"), lie = record_of(1, "eve", "10.77.0.3");
	struct peer *b, *displaced;

	t->is_certified = true;
	b = put_signed(t, &bob, 1000, &displaced);
	put(t, &lie, 1);
	assert_string_equal(b->name, "bob");
	assert_int_equal(b->member[1], lie.id);
	put_signed(t, &lie, 999, &displaced);
	assert_string_equal(b->name, "bob");
	put_signed(t, &lie, 1001, &displaced);
	assert_string_equal(b->name, "eve");
	assert_true(ip_equal(&b->addrs[0], &lie.addrs[0]));
}

static void name_and_address_are_the_later_certificates(void **state)
{
	struct peers *t = *state;
	struct wire_member bob = record_of(1, "bob", "10.77.0.2"), heir = record_of(2, "bob", "10.77.0.2");
	struct wire_member liar = record_of(3, "bob", "10.77.0.2");
	struct peer *b, *h, *l, *displaced;

	t->is_certified = true;
	b = put_signed(t, &bob, 1000, &displaced);
	/* Neither the coordinator's word nor an older certificate takes them away. */
	l = put(t, &liar, 0);
	assert_int_equal(l->n_addrs, 0);
	h = put_signed(t, &heir, 999, &displaced);
	assert_ptr_equal(displaced, l);
	peers_remove_take(t, l);
	assert_false(peers_is_listed(t, h));
	assert_ptr_equal(peers_by_words(t, "bob"), b);
	/* A later one does, but not from a session that goes on. */
	b->credential.is_good = true;
	put_signed(t, &heir, 1001, &displaced);
	assert_null(displaced);
	assert_false(peers_is_listed(t, h));
	b->credential.is_good = false;
	put_signed(t, &heir, 1001, &displaced);
	assert_ptr_equal(displaced, b);
	peers_remove_take(t, b);
	put_signed(t, &heir, 1001, &displaced);
	assert_null(displaced);
	assert_ptr_equal(peers_by_words(t, "10.77.0.2"), h);
	assert_true(peers_is_listed(t, h));
}

static void certificate_says_who_a_peer_is_and_what_it_may_route_for(void **state)
{
	struct peers *t = *state;
	struct wire_member bob = record_of(1, "bob", "10.77.0.2");
	struct peer *b = put(t, &bob, 0);
	struct cert c = { .name = "robert", .n_addrs = 1, .n_groups = 1, .n_routes = 2, .not_after_s = 77 };
	struct prefix same, part, wider, other;
	uint64_t version = t->version;

	c.addrs[0] = ip_of("10.77.0.9");
	snprintf(c.groups[0], sizeof(c.groups[0]), "staff");
	prefix_from_text(&c.routes[0], "192.168.7.0/24");
	prefix_from_text(&c.routes[1], "fd07::/32");
	prefix_from_text(&same, "192.168.7.0/24");
	prefix_from_text(&part, "192.168.7.128/25");
	prefix_from_text(&wider, "192.168.0.0/16");
	prefix_from_text(&other, "192.168.8.0/24");
	assert_false(peers_is_granted(b, &same));
	peers_take_certificate(t, b, &c);
	assert_true(b->credential.is_good && b->credential.was_good);
	assert_string_equal(b->name, "robert");
	assert_ptr_equal(peers_by_name(t, "robert"), b);
	assert_null(peers_by_name(t, "bob"));
	assert_true(t->version > version);
	assert_ptr_equal(peers_by_addr(t, &c.addrs[0]), b);
	assert_true(peers_is_granted(b, &same) && peers_is_granted(b, &part));
	assert_false(peers_is_granted(b, &wider) || peers_is_granted(b, &other));
	assert_string_equal(b->credential.grant->groups[0], "staff");
	/* A newer one takes away what it does not have. */
	version = t->version;
	c.n_groups = c.n_routes = 0;
	peers_take_certificate(t, b, &c);
	assert_null(b->credential.grant);
	assert_false(peers_is_granted(b, &same));
	assert_int_equal(t->version, version); /* nobody came, went or has another name */
}

static struct peer *recall(struct peers *t, uint8_t key, const char *name, const char *addr, uint8_t known_at)
{
	struct pubkey k;
	struct ip ip = ip_of(addr);

	memset(k.b, key, sizeof(k.b));
	return peers_recall(t, &k, name, &ip, 1, known_at);
}

static void peer_of_a_life_before_is_cached_until_a_coordinator_speaks(void **state)
{
	struct peers *t = *state;
	struct wire_member bob = record_of(1, "bob", "10.77.0.9");
	struct peer *p = recall(t, 1, "bob", "10.77.0.2", 0x3);
	struct ip ip = ip_of("10.77.0.9");

	assert_non_null(p);
	assert_true(peers_is_cached(p));
	assert_true(peers_is_known_at(p, 0) && peers_is_known_at(p, 1) && !peers_is_known_at(p, 2));
	assert_ptr_equal(put(t, &bob, 0), p);
	assert_false(peers_is_cached(p));
	assert_true(peers_is_known_at(p, 1));       /* that one has said nothing */
	assert_ptr_equal(peers_by_addr(t, &ip), p); /* what the coordinator says replaces what was kept */
	assert_int_equal(p->cached, 0x2);
}

static void recalled_peers_have_nothing_in_common(void **state)
{
	struct peers *t = *state;

	assert_non_null(recall(t, 1, "bob", "10.77.0.2", 1));
	assert_null(recall(t, 1, "eve", "10.77.0.3", 1));
	assert_null(recall(t, 2, "bob", "10.77.0.3", 1));
	assert_null(recall(t, 2, "eve", "10.77.0.2", 1));
	assert_null(recall(t, 2, "eve", "10.77.0.3", 0)); /* no coordinator of ours knew it */
	assert_non_null(recall(t, 2, "eve", "10.77.0.3", 1));
	assert_int_equal(t->n, 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(record_does_not_touch_a_good_credential),
		TEST(under_a_network_key_who_is_not_signed_is_not_listed),
		TEST(signed_face_is_changed_by_a_later_certificate_only),
		TEST(name_and_address_are_the_later_certificates),
		TEST(certificate_says_who_a_peer_is_and_what_it_may_route_for),
		TEST(peer_is_found_by_everything_it_is_known_by),
		TEST(record_with_a_known_key_updates_its_peer),
		TEST(each_coordinator_has_its_own_id_for_a_peer),
		TEST(relay_tells_a_number_only_while_no_coordinator_did),
		TEST(peer_whose_address_or_name_went_to_another_is_told),
		TEST(each_of_several_displaced_peers_is_told_in_its_turn),
		TEST(removed_peers_number_is_not_used_again),
		TEST(words_name_a_peer),
		TEST(key_text_that_fits_two_names_nobody),
		TEST(table_has_a_limit),
		TEST(peer_of_a_life_before_is_cached_until_a_coordinator_speaks),
		TEST(recalled_peers_have_nothing_in_common),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
