#include "daemon/peer/trust.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/mac.h"

#define HASH_BYTES 32
/* A coordinator's members, and some to spare: two that share a place take turns, which costs no more than time. */
#define CHAINS 16384

struct trust {
	struct verifykey network;
	struct counters *counters;
	bool has_own, needs_fresh_list;
	struct cert own;
	struct wire_trust shown; /* of it, but for the epoch */
	struct revocations *revocations;
	uint8_t (*chains)[HASH_BYTES]; /* whose signatures are good; zeros: free */
};

struct trust *trust_new(const struct verifykey *network, struct counters *counters)
{
	struct trust *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->network = *network;
	t->counters = counters;
	t->revocations = revocations_new(network);
	t->chains = calloc(CHAINS, sizeof(*t->chains)); /* untouched pages cost nothing */
	if (!t->revocations || !t->chains) {
		trust_free(t);
		return NULL;
	}
	return t;
}

void trust_free(struct trust *t)
{
	if (!t)
		return;
	revocations_free(t->revocations);
	free(t->chains);
	free(t);
}

const struct verifykey *trust_network(const struct trust *t)
{
	return &t->network;
}

void trust_set_own(struct trust *t, const struct cert *own)
{
	int len = cert_encode(t->shown.cert, sizeof(t->shown.cert), own);

	t->has_own = len > 0; /* it was decoded, so it can be encoded */
	t->own = *own;
	t->shown.is_shown = t->has_own;
	t->shown.len = (uint16_t)(len > 0 ? len : 0);
}

const struct cert *trust_own(const struct trust *t)
{
	return t && t->has_own ? &t->own : NULL;
}

struct revocations *trust_revocations(struct trust *t)
{
	return t->revocations;
}

void trust_require_fresh_list(struct trust *t)
{
	t->needs_fresh_list = true;
}

static bool is_list_over(const struct trust *t, uint64_t now_s)
{
	return t->needs_fresh_list && revocations_is_over(t->revocations, now_s);
}

void trust_show(const struct trust *t, struct wire_trust *out)
{
	if (!t || !t->has_own)
		return;
	*out = t->shown;
	out->epoch = revocations_epoch(t->revocations);
}

static bool are_signatures_good(struct trust *t, const struct wire_trust *shown, const struct cert *c)
{
	uint8_t hash[HASH_BYTES], *place;

	hash_bytes(hash, shown->cert, shown->len);
	place = t->chains[(hash[0] | hash[1] << 8) % CHAINS];
	if (memcmp(place, hash, sizeof(hash)) == 0)
		return true;
	counters_inc(t->counters, COUNTER_certificates_checked);
	if (cert_check_signatures(c, &t->network) != CERT_GOOD)
		return false;
	memcpy(place, hash, sizeof(hash));
	return true;
}

enum cert_verdict trust_judge(struct trust *t, const struct wire_trust *shown, const struct pubkey *key, uint64_t now_s,
			      struct cert *out)
{
	enum cert_verdict v;
	struct cert c;

	if (!shown->is_shown || shown->len == 0)
		return CERT_NONE;
	if (cert_decode(&c, shown->cert, shown->len) < 0)
		return CERT_MALFORMED;
	v = cert_check_terms(&c, &t->network, key, now_s);
	if (v != CERT_GOOD)
		return v;
	if (revocations_name(t->revocations, key, &c.serial))
		return CERT_REVOKED;
	if (!are_signatures_good(t, shown, &c))
		return CERT_FORGED;
	if (is_list_over(t, now_s))
		return CERT_UNCHECKED;
	*out = c;
	return CERT_GOOD;
}

bool trust_is_signed(struct trust *t, const struct wire_trust *shown, const struct pubkey *key, struct cert *out)
{
	struct cert c;

	if (!shown->is_shown || cert_decode(&c, shown->cert, shown->len) < 0 || !pubkey_equal(&c.member, key) ||
	    !are_signatures_good(t, shown, &c))
		return false;
	*out = c;
	return true;
}

enum cert_verdict trust_judge_again(const struct trust *t, const struct pubkey *key, const struct cert_serial *serial,
				    uint64_t not_after_s, uint64_t now_s)
{
	if (revocations_name(t->revocations, key, serial))
		return CERT_REVOKED;
	if (not_after_s && now_s >= not_after_s + CERT_SKEW_S)
		return CERT_EXPIRED;
	return is_list_over(t, now_s) ? CERT_UNCHECKED : CERT_GOOD;
}
