/* daemon/wire/cert.h - who is a member: certificates and invitations under the network key
 *
 * The network key (Ed25519) is nobody's that runs: its secret half signs certificates, or invitations that make one
 * certificate each. An invitation carries a key of its own, whose secret travels only in the join URL; whoever joins signs its
 * X25519 key with it. What a member may call itself and which addresses are its own the network key alone has signed, and the
 * serial too: a certificate made anew from a spent invitation has the serial of the first, so revoking that ends both.
 *
 *   offset size field          (integers big-endian; times in seconds since 1970)
 *        0    1 kind           enum cert_kind
 *        1   16 network        the first bytes of the network key
 *       17   16 serial         random; an invitation's id
 *       33      name           1 length, text
 *        .      addresses      1 count (1..CERT_ADDRS_MAX), each: 1 length (4, 16), address; rising
 *        .      groups         1 count (0..CERT_GROUPS_MAX), each: 1 length, text as a name's; rising
 *        .      routes         1 count (0..CERT_ROUTES_MAX), each: 1 length, address, 1 prefix bits; rising, no host bits
 *    of CERT_INVITED only; up to here and with these it is the invitation:
 *        .   32 invitation key
 *        .    8 expires        the certificate must begin before
 *        .    4 lifetime       longest validity of the certificate, s; 0: any
 *        .   64 signature      the network key's, "warren-invite-1", of all before
 *    then
 *        .   32 member         its X25519 key
 *        .    8 not_before
 *        .    8 not_after      0: no end
 *        .   64 signature      "warren-cert-1", of all before; the network key's, or the invitation's
 *
 * There is one encoding of one meaning: what the encoder would not write is refused. Pure functions.  Thread: any. */
#ifndef DAEMON_WIRE_CERT_H
#define DAEMON_WIRE_CERT_H

#include "crypto/sign.h"
#include "daemon/base/addr.h"
#include "daemon/wire/wire.h"

#define CERT_MAX_BYTES 640                                 /* a handshake's payload has room for it; see handshake.h */
#define CERT_TEXT_BYTES ((CERT_MAX_BYTES + 2) / 3 * 4 + 1) /* with the NUL */
#define CERT_NETWORK_BYTES 16
#define CERT_SERIAL_BYTES 16
#define CERT_ADDRS_MAX WIRE_ADDRS_MAX
#define CERT_GROUPS_MAX 8
#define CERT_GROUP_MAX_BYTES 31
#define CERT_ROUTES_MAX 8
/* Clocks of two hosts may differ by so much. */
#define CERT_SKEW_S 60
#define CERT_TIME_MAX (UINT64_C(1) << 40) /* s: sums cannot wrap, and a time in ms is taken for what it is */

enum cert_kind { /* numbers are on the wire */
	CERT_DIRECT = 1,
	CERT_INVITED = 2,
};

struct cert_network {
	uint8_t b[CERT_NETWORK_BYTES];
};
struct cert_serial {
	uint8_t b[CERT_SERIAL_BYTES];
};

struct cert {
	enum cert_kind kind;
	struct cert_network network;
	struct cert_serial serial;
	char name[WIRE_NAME_MAX_BYTES + 1];
	unsigned n_addrs;
	struct ip addrs[CERT_ADDRS_MAX];
	unsigned n_groups;
	char groups[CERT_GROUPS_MAX][CERT_GROUP_MAX_BYTES + 1];
	unsigned n_routes;
	struct prefix routes[CERT_ROUTES_MAX];
	/* CERT_INVITED */
	struct verifykey invitation_key;
	uint64_t expires_s;
	uint32_t lifetime_s;
	uint8_t invitation_signature[SIGNATURE_BYTES];
	/* not in an invitation */
	struct pubkey member;
	uint64_t not_before_s, not_after_s;
	uint8_t signature[SIGNATURE_BYTES];
};

/* Why a certificate is none; numbers are on the wire (a refusal's reason, handshake.h). */
enum cert_verdict {
	CERT_GOOD = 0,
	CERT_NONE = 1, /* none was shown */
	CERT_MALFORMED = 2,
	CERT_OTHER_NETWORK = 3,
	CERT_OTHER_KEY = 4, /* of another node's key */
	CERT_NOT_YET = 5,
	CERT_EXPIRED = 6,
	CERT_BEYOND_INVITATION = 7, /* longer, or later, than the invitation allows */
	CERT_FORGED = 8,            /* a signature is not the network key's, or not the invitation's */
	CERT_REVOKED = 9,
	CERT_SUPERSEDED = 10, /* a newer certificate has its name or one of its addresses */
	CERT_UNCHECKED = 11,  /* the list of the revoked that it would be looked up in has expired */
	CERT_SPENT = 12,      /* another key used its invitation, or nobody did in time */
};
/* A clause that goes behind "the certificate", e.g. "has expired". */
const char *cert_verdict_text(enum cert_verdict v);

void cert_network_of(struct cert_network *out, const struct verifykey *key);

/* Sorts addresses, groups and routes, and drops what is there twice. */
void cert_normalise(struct cert *c);

/* Fill in network and signature of the invitation, or kind, network and signature of a certificate; the rest is the caller's,
 * normalised. -EINVAL for what no decoder would take, -EMSGSIZE past CERT_MAX_BYTES. */
int cert_sign_invitation(struct cert *c, const struct signkey *network);
int cert_sign_direct(struct cert *c, const struct signkey *network);
int cert_sign_invited(struct cert *c, const struct signkey *invitation); /* c as of cert_invitation_decode */

/* Lengths, or -EINVAL, -EMSGSIZE, -ENOSPC as above. */
int cert_encode(uint8_t *out, size_t capacity, const struct cert *c);
int cert_invitation_encode(uint8_t *out, size_t capacity, const struct cert *c);
/* -EBADMSG, and *out stays as it was. */
int cert_decode(struct cert *out, const uint8_t *data, size_t len);
int cert_invitation_decode(struct cert *out, const uint8_t *data, size_t len); /* the rest is zeros */

/* Standard base64 with padding, as of keys; CERT_TEXT_BYTES of room. NULL as cert_encode. */
const char *cert_to_text(const struct cert *c, char out[static CERT_TEXT_BYTES]);
int cert_from_text(struct cert *out, const char *text, size_t len); /* -EBADMSG */

/* Is it `member`'s, of this network, now? Cheap: signatures are not looked at. `member` NULL: anyone's. */
enum cert_verdict cert_check_terms(const struct cert *c, const struct verifykey *network, const struct pubkey *member,
				   uint64_t now_s);
enum cert_verdict cert_check_signatures(const struct cert *c, const struct verifykey *network);
/* Both. */
enum cert_verdict cert_verify(const struct cert *c, const struct verifykey *network, const struct pubkey *member,
			      uint64_t now_s);
/* Of an invitation, as whoever uses it sees it. */
enum cert_verdict cert_verify_invitation(const struct cert *c, const struct verifykey *network, uint64_t now_s);

bool cert_has_addr(const struct cert *c, const struct ip *ip);
bool cert_has_route(const struct cert *c, const struct prefix *net); /* or one around it */

#endif
