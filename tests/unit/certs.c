#include "tests/unit/wire_checks.h"
#include "tests/unit/certs.h"

#include "crypto/mac.h"

struct signkey certs_network_key(uint8_t n)
{
	struct signkey key;

	memset(key.b, 0x40 + n, sizeof(key.b));
	return key;
}

struct verifykey certs_network(uint8_t n)
{
	struct signkey secret = certs_network_key(n);
	struct verifykey key;

	verifykey_of(&key, &secret);
	return key;
}

struct cert certs_of(const char *name, const struct pubkey *member, const char *const *addrs)
{
	struct cert c = { .member = *member,
			  .not_before_s = CERTS_NOW_S - 3600,
			  .not_after_s = CERTS_NOW_S + 30 * CERTS_DAY_S };
	uint8_t hash[32];

	hash_bytes(hash, name, strlen(name));
	memcpy(c.serial.b, hash, sizeof(c.serial.b));
	strcpy(c.name, name);
	while (addrs[c.n_addrs]) {
		assert_int_equal(ip_from_text(&c.addrs[c.n_addrs], addrs[c.n_addrs]), 0);
		c.n_addrs++;
	}
	cert_normalise(&c);
	return c;
}

struct cert certs_direct(const char *name, const struct pubkey *member, const char *const *addrs)
{
	struct signkey network = certs_network_key(0);
	struct cert c = certs_of(name, member, addrs);

	assert_int_equal(cert_sign_direct(&c, &network), 0);
	return c;
}

struct cert certs_invited(const char *name, const struct pubkey *member, const char *const *addrs, uint8_t seed)
{
	struct signkey network = certs_network_key(0), invitation;
	struct cert c = certs_of(name, member, addrs);

	memset(invitation.b, seed, sizeof(invitation.b));
	verifykey_of(&c.invitation_key, &invitation);
	c.expires_s = CERTS_NOW_S + CERTS_DAY_S;
	assert_int_equal(cert_sign_invitation(&c, &network), 0);
	assert_int_equal(cert_sign_invited(&c, &invitation), 0);
	return c;
}

size_t certs_revoke(uint8_t *out, uint64_t epoch, const struct pubkey *keys, unsigned n)
{
	struct signkey network = certs_network_key(0);
	struct revocation_entry *entries = calloc(n + 1, sizeof(*entries));
	int len;

	assert_non_null(entries);
	for (unsigned i = 0; i < n; i++)
		entries[i].key = keys[i];
	len = revocation_make(out, REVOCATION_MAX_BYTES, epoch, CERTS_NOW_S, 0, entries, n, &network);
	free(entries);
	assert_true(len > 0);
	return (size_t)len;
}
