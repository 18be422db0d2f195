#include "daemon/wire/cert.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "daemon/wire/endpoint.h"
#include "daemon/wire/text.h"

static const char invitation_purpose[] = "warren-invite-1", cert_purpose[] = "warren-cert-1";

/* Room to encode what is too long, to see that it is. */
#define ENCODED_MAX_BYTES 1024
static_assert(ENCODED_MAX_BYTES > 33 + 64 + 1 + CERT_ADDRS_MAX * 17 + 1 + CERT_GROUPS_MAX * (CERT_GROUP_MAX_BYTES + 1) +
					  1 + CERT_ROUTES_MAX * 18 + 108 + 112,
	      "the longest struct cert is encoded whole");
static_assert(CERT_MAX_BYTES + sizeof(invitation_purpose) <= SIGN_MESSAGE_MAX_BYTES, "a certificate can be signed");

const char *cert_verdict_text(enum cert_verdict v)
{
	switch (v) {
	case CERT_GOOD:
		return "is good";
	case CERT_NONE:
		return "is missing";
	case CERT_MALFORMED:
		return "is damaged";
	case CERT_OTHER_NETWORK:
		return "is of another network";
	case CERT_OTHER_KEY:
		return "is for another node's key";
	case CERT_NOT_YET:
		return "is not valid yet";
	case CERT_EXPIRED:
		return "has expired";
	case CERT_BEYOND_INVITATION:
		return "goes beyond its invitation";
	case CERT_FORGED:
		return "is not signed by the network key";
	case CERT_REVOKED:
		return "is revoked";
	case CERT_SUPERSEDED:
		return "gave its name or address to a newer one";
	case CERT_UNCHECKED:
		return "cannot be checked: the list of revoked members has expired";
	case CERT_SPENT:
		return "is made of an invitation that was used before, or has expired";
	}
	return "is refused";
}

void cert_network_of(struct cert_network *out, const struct verifykey *key)
{
	memcpy(out->b, key->b, sizeof(out->b));
}

/* ---------------------------------------------------------------- order */

static int compare_ips(const void *a, const void *b)
{
	return ip_compare(a, b);
}

static int compare_groups(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int compare_routes(const void *a, const void *b)
{
	const struct prefix *x = a, *y = b;
	int ret = ip_compare(&x->ip, &y->ip);

	return ret ? ret : x->bits - y->bits;
}

typedef int compare_fn(const void *a, const void *b);

static void sort_unique(void *base, unsigned *n, size_t size, compare_fn *compare)
{
	uint8_t *v = base;
	unsigned kept = 0;

	qsort(v, *n, size, compare);
	for (unsigned i = 0; i < *n; i++)
		if (kept == 0 || compare(v + (kept - 1) * size, v + i * size) != 0)
			memmove(v + kept++ * size, v + i * size, size);
	memset(v + kept * size, 0, (*n - kept) * size);
	*n = kept;
}

static bool is_rising(const void *base, unsigned n, size_t size, compare_fn *compare)
{
	const uint8_t *v = base;

	for (unsigned i = 1; i < n; i++)
		if (compare(v + (i - 1) * size, v + i * size) >= 0)
			return false;
	return true;
}

void cert_normalise(struct cert *c)
{
	for (unsigned i = 0; i < c->n_routes; i++)
		c->routes[i].ip = prefix_network(&c->routes[i]);
	sort_unique(c->addrs, &c->n_addrs, sizeof(c->addrs[0]), compare_ips);
	sort_unique(c->groups, &c->n_groups, sizeof(c->groups[0]), compare_groups);
	sort_unique(c->routes, &c->n_routes, sizeof(c->routes[0]), compare_routes);
}

/* ---------------------------------------------------------------- what may stand in one */

static bool is_route(const struct prefix *p)
{
	struct ip network = prefix_network(p);

	return (p->ip.len == 4 || p->ip.len == 16) && p->bits <= p->ip.len * 8 && ip_equal(&network, &p->ip);
}

static bool is_grant_valid(const struct cert *c)
{
	if (!wire_name_is_valid(c->name) || c->n_addrs == 0 || c->n_addrs > CERT_ADDRS_MAX ||
	    c->n_groups > CERT_GROUPS_MAX || c->n_routes > CERT_ROUTES_MAX)
		return false;
	for (unsigned i = 0; i < c->n_addrs; i++)
		if (!ip_is_sendable(&c->addrs[i]))
			return false;
	for (unsigned i = 0; i < c->n_groups; i++)
		if (!wire_name_is_valid(c->groups[i]))
			return false;
	for (unsigned i = 0; i < c->n_routes; i++)
		if (!is_route(&c->routes[i]))
			return false;
	return is_rising(c->addrs, c->n_addrs, sizeof(c->addrs[0]), compare_ips) &&
	       is_rising(c->groups, c->n_groups, sizeof(c->groups[0]), compare_groups) &&
	       is_rising(c->routes, c->n_routes, sizeof(c->routes[0]), compare_routes);
}

static bool is_invitation_valid(const struct cert *c)
{
	return c->kind == CERT_INVITED && is_grant_valid(c) && c->expires_s > 0 && c->expires_s < CERT_TIME_MAX;
}

static bool is_valid(const struct cert *c)
{
	if (c->kind == CERT_INVITED ? !is_invitation_valid(c) : c->kind != CERT_DIRECT || !is_grant_valid(c))
		return false;
	return c->not_before_s < CERT_TIME_MAX &&
	       (c->not_after_s == 0 || (c->not_after_s > c->not_before_s && c->not_after_s < CERT_TIME_MAX));
}

/* ---------------------------------------------------------------- bytes */

static void grant_write(struct writer *w, const struct cert *c)
{
	writer_u8(w, (uint8_t)c->kind);
	writer_put(w, c->network.b, sizeof(c->network.b));
	writer_put(w, c->serial.b, sizeof(c->serial.b));
	wire_text_write(w, c->name);
	writer_u8(w, (uint8_t)c->n_addrs);
	for (unsigned i = 0; i < c->n_addrs; i++)
		wire_ip_write(w, &c->addrs[i]);
	writer_u8(w, (uint8_t)c->n_groups);
	for (unsigned i = 0; i < c->n_groups; i++)
		wire_text_write(w, c->groups[i]);
	writer_u8(w, (uint8_t)c->n_routes);
	for (unsigned i = 0; i < c->n_routes; i++) {
		wire_ip_write(w, &c->routes[i].ip);
		writer_u8(w, c->routes[i].bits);
	}
}

/* Up to where the network key signs. */
static void invitation_write(struct writer *w, const struct cert *c)
{
	grant_write(w, c);
	writer_put(w, c->invitation_key.b, sizeof(c->invitation_key.b));
	writer_be64(w, c->expires_s);
	writer_be32(w, c->lifetime_s);
}

/* Up to where the last signature begins. */
static void cert_write(struct writer *w, const struct cert *c)
{
	if (c->kind == CERT_INVITED) {
		invitation_write(w, c);
		writer_put(w, c->invitation_signature, sizeof(c->invitation_signature));
	} else {
		grant_write(w, c);
	}
	writer_put(w, c->member.b, sizeof(c->member.b));
	writer_be64(w, c->not_before_s);
	writer_be64(w, c->not_after_s);
}

static int finish(const struct writer *w)
{
	int len = writer_finish(w);

	return len > CERT_MAX_BYTES ? -EMSGSIZE : len;
}

int cert_invitation_encode(uint8_t *out, size_t capacity, const struct cert *c)
{
	struct writer w = writer_of(out, capacity);

	if (!is_invitation_valid(c))
		return -EINVAL;
	invitation_write(&w, c);
	writer_put(&w, c->invitation_signature, sizeof(c->invitation_signature));
	return finish(&w);
}

int cert_encode(uint8_t *out, size_t capacity, const struct cert *c)
{
	struct writer w = writer_of(out, capacity);

	if (!is_valid(c))
		return -EINVAL;
	cert_write(&w, c);
	writer_put(&w, c->signature, sizeof(c->signature));
	return finish(&w);
}

static void group_read(struct reader *r, char out[static CERT_GROUP_MAX_BYTES + 1])
{
	wire_text_read(r, out, CERT_GROUP_MAX_BYTES + 1);
}

static uint8_t count_read(struct reader *r, unsigned most)
{
	uint8_t n = reader_u8(r);

	if (n > most)
		r->failed = true;
	return reader_ok(r) ? n : 0;
}

static void grant_read(struct reader *r, struct cert *c)
{
	c->kind = (enum cert_kind)reader_u8(r);
	reader_copy(r, c->network.b, sizeof(c->network.b));
	reader_copy(r, c->serial.b, sizeof(c->serial.b));
	wire_name_read(r, c->name);
	c->n_addrs = count_read(r, CERT_ADDRS_MAX);
	for (unsigned i = 0; i < c->n_addrs; i++)
		wire_ip_read(r, &c->addrs[i]);
	c->n_groups = count_read(r, CERT_GROUPS_MAX);
	for (unsigned i = 0; i < c->n_groups; i++)
		group_read(r, c->groups[i]);
	c->n_routes = count_read(r, CERT_ROUTES_MAX);
	for (unsigned i = 0; i < c->n_routes; i++) {
		wire_ip_read(r, &c->routes[i].ip);
		c->routes[i].bits = reader_u8(r);
	}
}

static void invitation_read(struct reader *r, struct cert *c)
{
	reader_copy(r, c->invitation_key.b, sizeof(c->invitation_key.b));
	c->expires_s = reader_be64(r);
	c->lifetime_s = reader_be32(r);
	reader_copy(r, c->invitation_signature, sizeof(c->invitation_signature));
}

typedef int encode_fn(uint8_t *out, size_t capacity, const struct cert *c);

/* What we would write differently (an IPv4 address in IPv6's form, say) is another's encoding of the same, or nonsense. */
static int take(struct cert *out, const struct cert *c, const struct reader *r, encode_fn *encode, const uint8_t *data,
		size_t len)
{
	uint8_t again[CERT_MAX_BYTES];

	if (!reader_at_end(r) || encode(again, sizeof(again), c) != (int)len || memcmp(again, data, len) != 0)
		return -EBADMSG;
	*out = *c;
	return 0;
}

int cert_invitation_decode(struct cert *out, const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);
	struct cert c = { 0 };

	if (len > CERT_MAX_BYTES)
		return -EBADMSG;
	grant_read(&r, &c);
	invitation_read(&r, &c);
	return take(out, &c, &r, cert_invitation_encode, data, len);
}

int cert_decode(struct cert *out, const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);
	struct cert c = { 0 };

	if (len > CERT_MAX_BYTES)
		return -EBADMSG;
	grant_read(&r, &c);
	if (c.kind == CERT_INVITED)
		invitation_read(&r, &c);
	reader_copy(&r, c.member.b, sizeof(c.member.b));
	c.not_before_s = reader_be64(&r);
	c.not_after_s = reader_be64(&r);
	reader_copy(&r, c.signature, sizeof(c.signature));
	return take(out, &c, &r, cert_encode, data, len);
}

const char *cert_to_text(const struct cert *c, char out[static CERT_TEXT_BYTES])
{
	uint8_t data[CERT_MAX_BYTES];
	int len = cert_encode(data, sizeof(data), c);

	static_assert(CERT_TEXT_BYTES == sodium_base64_ENCODED_LEN(CERT_MAX_BYTES, sodium_base64_VARIANT_ORIGINAL),
		      "text form");
	if (len < 0)
		return NULL;
	return sodium_bin2base64(out, CERT_TEXT_BYTES, data, (size_t)len, sodium_base64_VARIANT_ORIGINAL);
}

int cert_from_text(struct cert *out, const char *text, size_t len)
{
	uint8_t data[CERT_MAX_BYTES];
	size_t n;

	/* libsodium 1.0.18 takes some bytes above 127 for letters, where char is signed. */
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] > 127)
			return -EBADMSG;
	if (sodium_base642bin(data, sizeof(data), text, len, NULL, &n, NULL, sodium_base64_VARIANT_ORIGINAL) != 0)
		return -EBADMSG;
	return cert_decode(out, data, n);
}

/* ---------------------------------------------------------------- signing */

typedef void write_fn(struct writer *w, const struct cert *c);

static int sign(uint8_t out[static SIGNATURE_BYTES], const struct cert *c, write_fn *write, const char *purpose,
		const struct signkey *key)
{
	uint8_t body[ENCODED_MAX_BYTES];
	struct writer w = writer_of(body, sizeof(body));
	int len;

	write(&w, c);
	len = writer_finish(&w);
	if (len < 0 || len + SIGNATURE_BYTES > CERT_MAX_BYTES)
		return -EMSGSIZE;
	return sign_make(out, key, purpose, body, (size_t)len);
}

static bool is_signed(const uint8_t signature[static SIGNATURE_BYTES], const struct cert *c, write_fn *write,
		      const char *purpose, const struct verifykey *key)
{
	uint8_t body[ENCODED_MAX_BYTES];
	struct writer w = writer_of(body, sizeof(body));
	int len;

	write(&w, c);
	len = writer_finish(&w);
	return len > 0 && sign_is_good(signature, key, purpose, body, (size_t)len);
}

static void set_network(struct cert *c, const struct signkey *network)
{
	struct verifykey key;

	verifykey_of(&key, network);
	cert_network_of(&c->network, &key);
}

/* An invitation that leaves no room for the certificate to come would be of no use. */
int cert_sign_invitation(struct cert *c, const struct signkey *network)
{
	uint8_t whole[ENCODED_MAX_BYTES];
	int ret;

	c->kind = CERT_INVITED;
	set_network(c, network);
	if (!is_invitation_valid(c))
		return -EINVAL;
	ret = cert_encode(whole, sizeof(whole), c);
	return ret < 0 ? ret : sign(c->invitation_signature, c, invitation_write, invitation_purpose, network);
}

int cert_sign_direct(struct cert *c, const struct signkey *network)
{
	c->kind = CERT_DIRECT;
	set_network(c, network);
	return is_valid(c) ? sign(c->signature, c, cert_write, cert_purpose, network) : -EINVAL;
}

int cert_sign_invited(struct cert *c, const struct signkey *invitation)
{
	return c->kind == CERT_INVITED && is_valid(c) ? sign(c->signature, c, cert_write, cert_purpose, invitation) :
							-EINVAL;
}

/* ---------------------------------------------------------------- verification */

static bool is_of(const struct cert *c, const struct verifykey *network)
{
	return memcmp(c->network.b, network->b, sizeof(c->network.b)) == 0;
}

static bool is_within_invitation(const struct cert *c)
{
	if (c->not_before_s > c->expires_s)
		return false;
	return c->lifetime_s == 0 || (c->not_after_s && c->not_after_s - c->not_before_s <= c->lifetime_s);
}

enum cert_verdict cert_check_terms(const struct cert *c, const struct verifykey *network, const struct pubkey *member,
				   uint64_t now_s)
{
	if (!is_of(c, network))
		return CERT_OTHER_NETWORK;
	if (member && !pubkey_equal(&c->member, member))
		return CERT_OTHER_KEY;
	if (c->kind == CERT_INVITED && !is_within_invitation(c))
		return CERT_BEYOND_INVITATION;
	if (now_s + CERT_SKEW_S < c->not_before_s)
		return CERT_NOT_YET;
	if (c->not_after_s && now_s >= c->not_after_s + CERT_SKEW_S)
		return CERT_EXPIRED;
	return CERT_GOOD;
}

enum cert_verdict cert_check_signatures(const struct cert *c, const struct verifykey *network)
{
	const struct verifykey *by = c->kind == CERT_INVITED ? &c->invitation_key : network;

	if (c->kind == CERT_INVITED &&
	    !is_signed(c->invitation_signature, c, invitation_write, invitation_purpose, network))
		return CERT_FORGED;
	return is_signed(c->signature, c, cert_write, cert_purpose, by) ? CERT_GOOD : CERT_FORGED;
}

enum cert_verdict cert_verify(const struct cert *c, const struct verifykey *network, const struct pubkey *member,
			      uint64_t now_s)
{
	enum cert_verdict v = cert_check_terms(c, network, member, now_s);

	return v == CERT_GOOD ? cert_check_signatures(c, network) : v;
}

enum cert_verdict cert_verify_invitation(const struct cert *c, const struct verifykey *network, uint64_t now_s)
{
	if (!is_of(c, network))
		return CERT_OTHER_NETWORK;
	if (now_s >= c->expires_s + CERT_SKEW_S)
		return CERT_EXPIRED;
	return is_signed(c->invitation_signature, c, invitation_write, invitation_purpose, network) ? CERT_GOOD :
												      CERT_FORGED;
}

bool cert_has_addr(const struct cert *c, const struct ip *ip)
{
	for (unsigned i = 0; i < c->n_addrs; i++)
		if (ip_equal(&c->addrs[i], ip))
			return true;
	return false;
}

bool cert_has_route(const struct cert *c, const struct prefix *net)
{
	for (unsigned i = 0; i < c->n_routes; i++)
		if (prefix_covers(&c->routes[i], net))
			return true;
	return false;
}
