#include "tests/unit/certs.h"
#include "tests/unit/wire_checks.h"

static const char *const two_addrs[] = { "10.77.0.5", "fd00::5", NULL };

static struct pubkey member_key(uint8_t fill)
{
	struct seckey secret;
	struct pubkey key;

	memset(secret.b, fill, sizeof(secret.b));
	assert_int_equal(pubkey_of(&key, &secret), 0);
	return key;
}

/* Groups, routes, an invitation with a lifetime: every field is in use. */
static struct cert full_cert(enum cert_kind kind)
{
	struct signkey network = certs_network_key(0), invitation;
	struct pubkey key = member_key(7);
	struct cert c = certs_of("alice.office", &key, two_addrs);

	strcpy(c.groups[c.n_groups++], "staff");
	strcpy(c.groups[c.n_groups++], "admin");
	assert_int_equal(prefix_from_text(&c.routes[c.n_routes++], "192.168.7.0/24"), 0);
	assert_int_equal(prefix_from_text(&c.routes[c.n_routes++], "2001:db8::/48"), 0);
	cert_normalise(&c);
	memset(invitation.b, 9, sizeof(invitation.b));
	if (kind == CERT_DIRECT) {
		assert_int_equal(cert_sign_direct(&c, &network), 0);
		return c;
	}
	verifykey_of(&c.invitation_key, &invitation);
	c.expires_s = CERTS_NOW_S;
	c.lifetime_s = 40 * CERTS_DAY_S;
	assert_int_equal(cert_sign_invitation(&c, &network), 0);
	assert_int_equal(cert_sign_invited(&c, &invitation), 0);
	return c;
}

static size_t encoded(uint8_t out[static CERT_MAX_BYTES], const struct cert *c)
{
	int len = cert_encode(out, CERT_MAX_BYTES, c);

	assert_true(len > 0);
	return (size_t)len;
}

static enum cert_verdict verify(const struct cert *c)
{
	struct verifykey network = certs_network(0);

	return cert_verify(c, &network, &c->member, CERTS_NOW_S);
}

static const enum cert_kind kinds[] = { CERT_DIRECT, CERT_INVITED };

static void comes_back_and_is_good(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct cert c = full_cert(kinds[i]), back;
		uint8_t data[CERT_MAX_BYTES], again[CERT_MAX_BYTES];
		size_t len = encoded(data, &c);

		assert_int_equal(cert_decode(&back, data, len), 0);
		assert_int_equal(encoded(again, &back), len);
		assert_memory_equal(again, data, len);
		assert_string_equal(back.name, "alice.office");
		assert_int_equal(verify(&back), CERT_GOOD);
		assert_string_equal(back.groups[0], "admin");
		assert_true(cert_has_addr(&back, &c.addrs[1]));
		CHECK_NO_ROOM(cert_encode, &c, len);
		CHECK_STRICT(cert_decode, struct cert, data, len);
	}
}

static void invitation_comes_back_and_is_good(void **state)
{
	struct cert c = full_cert(CERT_INVITED), back;
	struct verifykey network = certs_network(0), other = certs_network(1);
	uint8_t data[CERT_MAX_BYTES];
	int len = cert_invitation_encode(data, sizeof(data), &c);

	(void)state;
	assert_true(len > 0);
	assert_int_equal(cert_invitation_decode(&back, data, (size_t)len), 0);
	assert_int_equal(cert_verify_invitation(&back, &network, CERTS_NOW_S), CERT_GOOD);
	assert_int_equal(cert_verify_invitation(&back, &network, CERTS_NOW_S + CERT_SKEW_S), CERT_EXPIRED);
	assert_int_equal(cert_verify_invitation(&back, &other, CERTS_NOW_S), CERT_OTHER_NETWORK);
	CHECK_STRICT(cert_invitation_decode, struct cert, data, (size_t)len);
	for (int bit = 0; bit < len * 8; bit++) {
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(cert_invitation_decode(&back, data, (size_t)len) == 0 &&
			     cert_verify_invitation(&back, &network, CERTS_NOW_S) == CERT_GOOD);
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void no_bit_of_it_can_be_changed(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct cert c = full_cert(kinds[i]), back;
		uint8_t data[CERT_MAX_BYTES];
		size_t len = encoded(data, &c);

		for (size_t bit = 0; bit < len * 8; bit++) {
			data[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_false(cert_decode(&back, data, len) == 0 && verify(&back) == CERT_GOOD);
			data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
}

static void every_field_is_signed(void **state)
{
	struct cert good = full_cert(CERT_INVITED), c;

	(void)state;
#define CHANGED(change)                                      \
	do {                                                 \
		c = good;                                    \
		change;                                      \
		assert_int_not_equal(verify(&c), CERT_GOOD); \
	} while (0)
	CHANGED(c.serial.b[0] ^= 1);
	CHANGED(c.name[0] = 'b');
	CHANGED(c.addrs[0].b[3]++);
	CHANGED(c.n_addrs--);
	CHANGED(c.n_groups--);
	CHANGED(c.routes[0].bits = 16; c.routes[0].ip.b[2] = 0); /* wider than the invitation's */
	CHANGED(c.n_routes--);
	CHANGED(c.expires_s++);
	CHANGED(c.lifetime_s = 0);
	CHANGED(c.not_before_s--);
	CHANGED(c.not_after_s--);
	CHANGED(c.kind = CERT_DIRECT);
#undef CHANGED
}

static void is_refused_for_what_is_wrong_with_it(void **state)
{
	struct verifykey network = certs_network(0), other = certs_network(1);
	struct signkey other_secret = certs_network_key(1), own = certs_network_key(0);
	struct pubkey key = member_key(7), thief = member_key(8);
	struct cert c = certs_direct("alice", &key, two_addrs), forged;

	(void)state;
	assert_int_equal(cert_verify(&c, &network, &key, CERTS_NOW_S), CERT_GOOD);
	assert_int_equal(cert_verify(&c, &other, &key, CERTS_NOW_S), CERT_OTHER_NETWORK);
	assert_int_equal(cert_verify(&c, &network, &thief, CERTS_NOW_S), CERT_OTHER_KEY);
	assert_int_equal(cert_verify(&c, &network, &key, c.not_before_s - CERT_SKEW_S), CERT_GOOD);
	assert_int_equal(cert_verify(&c, &network, &key, c.not_before_s - CERT_SKEW_S - 1), CERT_NOT_YET);
	assert_int_equal(cert_verify(&c, &network, &key, c.not_after_s + CERT_SKEW_S - 1), CERT_GOOD);
	assert_int_equal(cert_verify(&c, &network, &key, c.not_after_s + CERT_SKEW_S), CERT_EXPIRED);
	/* Signed by somebody else, and said to be of this network. */
	forged = c;
	assert_int_equal(cert_sign_direct(&forged, &other_secret), 0);
	forged.network = c.network;
	assert_int_equal(cert_verify(&forged, &network, &key, CERTS_NOW_S), CERT_FORGED);
	/* For ever is for ever. */
	c.not_after_s = 0;
	assert_int_equal(cert_sign_direct(&c, &own), 0);
	assert_int_equal(cert_verify(&c, &network, &key, CERT_TIME_MAX - 1), CERT_GOOD);
}

/* Who holds an invitation's secret makes of it what it allows and no more. */
static void cannot_go_beyond_its_invitation(void **state)
{
	struct verifykey network = certs_network(0);
	struct signkey invitation;
	struct cert good = full_cert(CERT_INVITED), c = good;
	struct pubkey other = member_key(8);

	(void)state;
	memset(invitation.b, 9, sizeof(invitation.b));
	c.not_after_s = c.not_before_s + c.lifetime_s;
	assert_int_equal(cert_sign_invited(&c, &invitation), 0);
	assert_int_equal(verify(&c), CERT_GOOD);
	c.not_after_s++;
	assert_int_equal(cert_sign_invited(&c, &invitation), 0);
	assert_int_equal(verify(&c), CERT_BEYOND_INVITATION);
	c.not_after_s = 0;
	assert_int_equal(cert_sign_invited(&c, &invitation), 0);
	assert_int_equal(verify(&c), CERT_BEYOND_INVITATION);
	c = good;
	c.not_before_s = c.expires_s + 1;
	assert_int_equal(cert_sign_invited(&c, &invitation), 0);
	assert_int_equal(verify(&c), CERT_BEYOND_INVITATION);
	/* Routes, addresses and the name are not its to change. */
	c = good;
	c.addrs[0].b[3]++;
	assert_int_equal(cert_sign_invited(&c, &invitation), 0);
	assert_int_equal(verify(&c), CERT_FORGED);
	c = good;
	c.routes[0].ip.b[2] = 0;
	c.routes[0].bits = 16;
	assert_int_equal(cert_sign_invited(&c, &invitation), 0);
	assert_int_equal(verify(&c), CERT_FORGED);
	/* It can be used for another key, with the same serial. */
	c = good;
	c.member = other;
	assert_int_equal(cert_sign_invited(&c, &invitation), 0);
	assert_int_equal(verify(&c), CERT_GOOD);
	assert_memory_equal(c.serial.b, good.serial.b, sizeof(c.serial.b));
	/* Nor can its key sign for the network. */
	c = good;
	c.kind = CERT_DIRECT;
	assert_int_equal(cert_sign_direct(&c, &invitation), 0);
	c.network = good.network;
	assert_int_equal(cert_verify(&c, &network, &c.member, CERTS_NOW_S), CERT_FORGED);
}

/* A signature of an invitation is none of a certificate, though the bytes be the same. */
static void signatures_do_not_cross_purposes(void **state)
{
	struct verifykey network = certs_network(0);
	struct signkey secret = certs_network_key(0);
	struct cert c = full_cert(CERT_INVITED);

	(void)state;
	c.invitation_key = network;
	assert_int_equal(cert_sign_invitation(&c, &secret), 0);
	memcpy(c.signature, c.invitation_signature, sizeof(c.signature));
	assert_int_equal(verify(&c), CERT_FORGED);
}

static void only_the_canonical_form_is_taken(void **state)
{
	struct signkey network = certs_network_key(0);
	struct pubkey key = member_key(7);
	struct cert c = certs_of("alice", &key, two_addrs), bad;
	struct ip first = c.addrs[0];
	uint8_t data[CERT_MAX_BYTES];

	(void)state;
#define NOT_SIGNED(change)                                                        \
	do {                                                                      \
		bad = c;                                                          \
		change;                                                           \
		assert_int_equal(cert_sign_direct(&bad, &network), -EINVAL);      \
		assert_int_equal(cert_encode(data, sizeof(data), &bad), -EINVAL); \
	} while (0)
	NOT_SIGNED(bad.addrs[0] = bad.addrs[1]; bad.addrs[1] = first); /* falling */
	NOT_SIGNED(bad.addrs[1] = bad.addrs[0]);                       /* twice */
	NOT_SIGNED(bad.n_addrs = 0);
	NOT_SIGNED(bad.n_addrs = CERT_ADDRS_MAX + 1);
	NOT_SIGNED(bad.n_groups = CERT_GROUPS_MAX + 1);
	NOT_SIGNED(bad.n_routes = CERT_ROUTES_MAX + 1);
	NOT_SIGNED(bad.name[0] = '\0');
	NOT_SIGNED(bad.name[0] = '\n');
	NOT_SIGNED(strcpy(bad.groups[bad.n_groups++], "Staff"));
	NOT_SIGNED(
		assert_int_equal(prefix_from_text(&bad.routes[bad.n_routes++], "192.168.7.1/24"), 0)); /* host bits */
	NOT_SIGNED(bad.addrs[0].b[0] = 127);
	NOT_SIGNED(bad.not_after_s = bad.not_before_s);
	NOT_SIGNED(bad.not_after_s = CERT_TIME_MAX);
#undef NOT_SIGNED
}

/* An IPv4 address in the form of IPv6 would be a second way to say the same. */
static void mapped_address_is_refused(void **state)
{
	struct pubkey key = member_key(7);
	struct cert c = certs_direct("alice", &key, two_addrs);
	uint8_t data[CERT_MAX_BYTES];
	size_t len = encoded(data, &c), at = 33 + 1 + 5 + 1 + 5; /* the second address */

	(void)state;
	assert_int_equal(data[at], 16);
	memset(data + at + 1, 0, 10);
	memset(data + at + 11, 0xff, 2);
	CHECK_REFUSED(cert_decode, struct cert, data, len);
}

static void normalising_sorts_and_drops_doubles(void **state)
{
	static const char *const addrs[] = { "fd00::5", "10.0.0.9", "10.0.0.1", "10.0.0.9", NULL };
	struct pubkey key = member_key(1);
	struct cert c = certs_of("a", &key, addrs);
	char text[ADDR_TEXT_BYTES];

	(void)state;
	assert_int_equal(c.n_addrs, 3);
	assert_string_equal(ip_to_text(&c.addrs[0], text), "10.0.0.1");
	assert_string_equal(ip_to_text(&c.addrs[2], text), "fd00::5");
	assert_int_equal(c.addrs[3].len, 0);
}

static void text_comes_back(void **state)
{
	struct cert c = full_cert(CERT_INVITED), back;
	char text[CERT_TEXT_BYTES];
	size_t len;

	(void)state;
	assert_non_null(cert_to_text(&c, text));
	len = strlen(text);
	assert_int_equal(cert_from_text(&back, text, len), 0);
	assert_int_equal(verify(&back), CERT_GOOD);
	assert_int_equal(cert_from_text(&back, text, len - 1), -EBADMSG);
	assert_int_equal(cert_from_text(&back, text, 0), -EBADMSG);
	text[3] = '\n';
	assert_int_equal(cert_from_text(&back, text, len), -EBADMSG);
	text[3] = (char)0xc3;
	assert_int_equal(cert_from_text(&back, text, len), -EBADMSG);
}

static void longest_is_refused_when_it_does_not_fit(void **state)
{
	struct signkey network = certs_network_key(0);
	struct pubkey key = member_key(7);
	struct cert c = certs_of("alice", &key, two_addrs);

	(void)state;
	for (unsigned i = 0; i < CERT_GROUPS_MAX; i++) {
		memset(c.groups[i], 'a' + (int)i, CERT_GROUP_MAX_BYTES);
		c.n_groups++;
		assert_int_equal(prefix_from_text(&c.routes[i], "fd00::/64"), 0);
		c.routes[i].ip.b[7] = (uint8_t)i;
		c.n_routes++;
	}
	assert_int_equal(cert_sign_direct(&c, &network), 0);
	assert_int_equal(verify(&c), CERT_GOOD);
	/* An invitation is refused at once if what comes of it would not fit. */
	memset(c.name, 'n', WIRE_NAME_MAX_BYTES);
	assert_int_equal(cert_sign_direct(&c, &network), 0);
	c.expires_s = CERTS_NOW_S;
	assert_int_equal(cert_sign_invitation(&c, &network), -EMSGSIZE);
}

static void every_verdict_has_words(void **state)
{
	(void)state;
	for (int v = CERT_GOOD; v <= CERT_SPENT; v++)
		for (int other = CERT_GOOD; other < v; other++)
			assert_string_not_equal(cert_verdict_text((enum cert_verdict)v),
						cert_verdict_text((enum cert_verdict)other));
	assert_string_equal(cert_verdict_text((enum cert_verdict)99), "is refused");
}

static int start(void **state)
{
	(void)state;
	return crypto_start();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comes_back_and_is_good),
		cmocka_unit_test(invitation_comes_back_and_is_good),
		cmocka_unit_test(no_bit_of_it_can_be_changed),
		cmocka_unit_test(every_field_is_signed),
		cmocka_unit_test(is_refused_for_what_is_wrong_with_it),
		cmocka_unit_test(cannot_go_beyond_its_invitation),
		cmocka_unit_test(signatures_do_not_cross_purposes),
		cmocka_unit_test(only_the_canonical_form_is_taken),
		cmocka_unit_test(mapped_address_is_refused),
		cmocka_unit_test(normalising_sorts_and_drops_doubles),
		cmocka_unit_test(text_comes_back),
		cmocka_unit_test(longest_is_refused_when_it_does_not_fit),
		cmocka_unit_test(every_verdict_has_words),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
