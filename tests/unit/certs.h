/* tests/unit/certs.h - certificates for tests, made as an administrator and a joining node would */
#ifndef TESTS_UNIT_CERTS_H
#define TESTS_UNIT_CERTS_H

#include "daemon/wire/cert.h"
#include "daemon/wire/revocation.h"

#define CERTS_NOW_S UINT64_C(1700000000) /* two_nodes.h begins then */
#define CERTS_DAY_S 86400

/* The same network in every test; `n` another. */
struct signkey certs_network_key(uint8_t n);
struct verifykey certs_network(uint8_t n);

/* Unsigned: a name, its addresses (NULL ends them), valid from an hour ago for 30 days. The serial follows from the name. */
struct cert certs_of(const char *name, const struct pubkey *member, const char *const *addrs);
struct cert certs_direct(const char *name, const struct pubkey *member, const char *const *addrs); /* signed */
/* Signed through an invitation, whose key's seed is all `seed`. */
struct cert certs_invited(const char *name, const struct pubkey *member, const char *const *addrs, uint8_t seed);
/* The list of an epoch that revokes these keys; REVOCATION_MAX_BYTES of room. */
size_t certs_revoke(uint8_t *out, uint64_t epoch, const struct pubkey *keys, unsigned n);

#endif
