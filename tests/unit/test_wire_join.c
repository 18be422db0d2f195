#include "tests/unit/certs.h"
#include "tests/unit/wire_checks.h"

#include <stdio.h>

#include "crypto/mac.h"
#include "daemon/wire/join.h"

static struct join make(void)
{
	static const char *const addrs[] = { "10.77.0.5", "fd00::5", NULL };
	struct join j = { .network_key = certs_network(0), .network = "home", .n_coordinators = 2 };
	struct pubkey nobody = { { 0 } };

	memset(j.seed.b, 9, sizeof(j.seed.b));
	j.invitation = certs_invited("alice", &nobody, addrs, 9);
	for (unsigned i = 0; i < 2; i++) {
		memset(j.coordinators[i].key.b, 0x11 * (int)(i + 1), KEY_BYTES);
		strcpy(j.coordinators[i].host, i ? "2001:db8::1" : "c1.example.net");
		j.coordinators[i].port = (uint16_t)(27700 + i);
	}
	return j;
}

static size_t encoded(uint8_t out[static JOIN_MAX_BYTES], const struct join *j)
{
	int len = join_encode(out, j);

	assert_true(len > 0);
	return (size_t)len;
}

static void comes_back(void **state)
{
	struct join j = make(), back;
	uint8_t data[JOIN_MAX_BYTES], again[JOIN_MAX_BYTES];
	size_t len = encoded(data, &j);

	(void)state;
	assert_int_equal(join_decode(&back, data, len), 0);
	assert_int_equal(encoded(again, &back), len);
	assert_memory_equal(again, data, len);
	assert_string_equal(back.network, "home");
	assert_string_equal(back.coordinators[1].host, "2001:db8::1");
	assert_int_equal(back.coordinators[1].port, 27701);
	assert_memory_equal(back.seed.b, j.seed.b, KEY_BYTES);
	assert_string_equal(back.invitation.name, "alice");
	assert_int_equal(cert_verify_invitation(&back.invitation, &back.network_key, CERTS_NOW_S), CERT_GOOD);
	CHECK_STRICT(join_decode, struct join, data, len);
	for (size_t i = 0; i < len * 8; i++) {
		data[i / 8] ^= (uint8_t)(1 << i % 8);
		CHECK_REFUSED(join_decode, struct join, data, len);
		data[i / 8] ^= (uint8_t)(1 << i % 8);
	}
}

/* The largest there can be fits, and is as long as the header says. */
static void largest_fits(void **state)
{
	struct join j = make(), back;
	struct signkey network = certs_network_key(0);
	char url[JOIN_URL_BYTES];

	(void)state;
	j.n_coordinators = JOIN_COORDINATORS_MAX;
	for (unsigned i = 0; i < JOIN_COORDINATORS_MAX; i++) {
		memset(j.coordinators[i].host, 'a', JOIN_HOST_MAX_BYTES);
		j.coordinators[i].port = 65535;
	}
	memset(j.network, 'n', WIRE_NAME_MAX_BYTES);
	memset(j.invitation.name, 'm', WIRE_NAME_MAX_BYTES);
	for (unsigned i = 0; i < 5; i++)
		memset(j.invitation.groups[i], 'a' + (int)i, CERT_GROUP_MAX_BYTES);
	j.invitation.n_groups = 5;
	assert_int_equal(cert_sign_invitation(&j.invitation, &network), 0);
	assert_non_null(join_to_url(&j, url));
	assert_int_equal(join_from_url(&back, url, strlen(url)), 0);
	assert_string_equal(back.coordinators[3].host, j.coordinators[3].host);
}

static int from_url(struct join *out, const uint8_t *text, size_t len)
{
	return join_from_url(out, (const char *)text, len);
}

static void url_is_text_of_a_few_characters(void **state)
{
	struct join j = make(), back;
	char url[JOIN_URL_BYTES], longer[JOIN_URL_BYTES + 64];
	size_t len;

	(void)state;
	assert_non_null(join_to_url(&j, url));
	len = strlen(url);
	assert_int_equal(strncmp(url, "warren://join/", 14), 0);
	assert_int_equal(strspn(url + 14, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
			 len - 14);
	assert_int_equal(join_from_url(&back, url, len), 0);
	for (size_t i = 0; i < len; i++)
		CHECK_REFUSED(from_url, struct join, (const uint8_t *)url, i);
	memset(longer, 'A', sizeof(longer));
	memcpy(longer, url, 14);
	CHECK_REFUSED(from_url, struct join, (const uint8_t *)longer, sizeof(longer));
	snprintf(longer, sizeof(longer), "%s=", url);
	CHECK_REFUSED(from_url, struct join, (const uint8_t *)longer, len + 1);
	snprintf(longer, sizeof(longer), "http%s", url + 6);
	CHECK_REFUSED(from_url, struct join, (const uint8_t *)longer, len - 2);
}

#define REFUSES(change)                                           \
	do {                                                      \
		struct join j = make();                           \
		uint8_t data[JOIN_MAX_BYTES];                     \
                                                                  \
		change;                                           \
		assert_int_equal(join_encode(data, &j), -EINVAL); \
	} while (0)

static void what_does_not_fit_together_is_refused(void **state)
{
	(void)state;
	REFUSES(j.seed.b[3] ^= 1);
	REFUSES(j.network_key = certs_network(1));
	REFUSES(j.n_coordinators = 0);
	REFUSES(j.n_coordinators = JOIN_COORDINATORS_MAX + 1);
	REFUSES(j.coordinators[0].port = 0);
	REFUSES(strcpy(j.network, "Home"));
	/* It is written into a file. */
	REFUSES(strcpy(j.coordinators[0].host, "a\" }\nrole = x"));
	REFUSES(strcpy(j.coordinators[0].host, ""));
	REFUSES(strcpy(j.coordinators[0].host, "a b"));
	REFUSES(strcpy(j.coordinators[0].host, "${HOME}"));
}

/* A version to come has a check of its own, of the same kind. */
static void later_version_is_said_to_be_one(void **state)
{
	uint8_t data[40] = { JOIN_VERSION + 1 }, hash[32];
	struct join back;

	(void)state;
	hash_bytes(hash, data, sizeof(data) - JOIN_CHECK_BYTES);
	memcpy(data + sizeof(data) - JOIN_CHECK_BYTES, hash, JOIN_CHECK_BYTES);
	assert_int_equal(join_decode(&back, data, sizeof(data)), -EPROTONOSUPPORT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comes_back),
		cmocka_unit_test(largest_fits),
		cmocka_unit_test(url_is_text_of_a_few_characters),
		cmocka_unit_test(what_does_not_fit_together_is_refused),
		cmocka_unit_test(later_version_is_said_to_be_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
