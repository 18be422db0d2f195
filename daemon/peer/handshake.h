/* daemon/peer/handshake.h - building and checking the handshake's messages
 *
 * Noise (crypto/noise.h), the message formats (wire/handshake.h), macs and suite choice put together, for both purposes:
 * between peers and between a peer and its coordinator. Keeps no state between calls but the caller's struct handshake;
 * timers, retries, indices, cookies and load belong to sessions.h and responder.h.
 * Thread: loop only.  Time and randomness: timestamps are handed in, ephemeral keys are drawn here. */
#ifndef DAEMON_PEER_HANDSHAKE_H
#define DAEMON_PEER_HANDSHAKE_H

#include "crypto/aead.h"
#include "crypto/key.h"
#include "crypto/mac.h"
#include "crypto/noise.h"
#include "daemon/peer/trust.h"
#include "daemon/wire/handshake.h"

enum handshake_purpose {
	HANDSHAKE_PEER = 1,
	HANDSHAKE_COORDINATOR = 2
};

/* Who we are; made once, `const` afterwards but for the features, which may change between two messages. Secrets: wipe with
 * identity_fini. */
struct identity {
	struct seckey secret;
	struct pubkey public;
	struct psk psk;          /* the network's, or zeros; used with peers only */
	struct mac_key mac1_key; /* what others must know to talk to us */
	struct mac_key cookie_key;
	uint16_t suites; /* offer: aead_offer() cut to what the configuration allows */
	uint16_t features;
	struct trust
		*trust; /* borrowed; NULL: no network key. Its certificate, if it has one, goes with every handshake */
};
int identity_init(struct identity *id, const struct seckey *secret, const struct psk *psk /* NULL: none */,
		  uint16_t suites, uint16_t features);
void identity_fini(struct identity *id);

/* What a finished handshake yields. For peers `send`/`recv` are the transport keys of `suite`, derived from Noise's
 * split keys and the suite's number. For a coordinator they are the stream's (crypto/channel.h, and suite is ignored);
 * `udp_send`/`udp_recv` and the tag keys are derived beside them for bind and relay datagrams. Wipe after use. */
struct handshake_keys {
	enum aead_suite suite;
	uint16_t features;
	uint8_t send[32], recv[32];
	uint8_t udp_send[32], udp_recv[32];                           /* ChaCha20-Poly1305, for WIRE_BIND */
	uint8_t tag_send[SHORT_KEY_BYTES], tag_recv[SHORT_KEY_BYTES]; /* for WIRE_RELAY */
};

struct handshake { /* one attempt in progress; handshake_wipe() on every way out */
	struct noise noise;
	enum handshake_purpose purpose;
	uint32_t local_index, remote_index;
	uint16_t offered, features;
	uint16_t suites_there;   /* what the other side accepts, of an initiation or a refusal */
	uint8_t refusal;         /* enum cert_verdict of a refusal: what the other side has against our certificate */
	uint8_t mac1[MAC_BYTES]; /* of the last message we sent: binds a cookie reply to it */
	bool is_active;
};
void handshake_wipe(struct handshake *h);

/* The prologue binds protocol version, purpose and the initiation's header as sent (version, index); the network is
 * bound by the keys and the psk. */

/* Initiator. Writes an initiation, WIRE_INIT_MAX_BYTES at most, to `out` and leaves *h waiting for the response. `cookie` (16
 * bytes) keys mac2, NULL: zeros. `index` is ours. Returns the length or a negative errno (a bad remote key). */
int handshake_initiate(struct handshake *h, const struct identity *id, enum handshake_purpose purpose,
		       const struct pubkey *remote, uint32_t index,
		       const uint8_t timestamp[static WIRE_TIMESTAMP_BYTES], const uint8_t *cookie, uint8_t *out,
		       size_t capacity);
/* Takes the response to h; checks its mac1 too. On success fills *keys and wipes h's secrets; on -EBADMSG (does not authenticate, index of
 * another attempt, suite not offered) *h waits on: a forged response must not end an attempt. -ENOTSUP: it authenticates, and says that
 * the responder accepts no suite of ours but h->suites_there, or -EACCES: not our certificate, for h->refusal; the attempt is
 * over. *trust (NULL: not wanted) gets what the responder shows, for the caller to judge. */
int handshake_finish(struct handshake *h, const struct identity *id, const uint8_t *data, size_t len,
		     struct handshake_keys *keys, struct wire_trust *trust);

/* Does the message end with a mac1 made for us? The first check of any handshake message; one hash. */
bool handshake_mac1_ok(const struct identity *id, const uint8_t *data, size_t len, size_t mac1_at);
/* And mac2 under this cookie? */
bool handshake_mac2_ok(const uint8_t cookie[static COOKIE_BYTES], const uint8_t *data, size_t len, size_t mac1_at);

/* Responder, in two steps so that an unknown key costs one DH and changes nothing. A step that fails wipes *h.
 * Step 1, after the mac: who is it? -EBADMSG if it does not authenticate or is malformed, -EPROTONOSUPPORT version. */
int handshake_read_static(struct handshake *h, const struct identity *id, enum handshake_purpose purpose,
			  const uint8_t *data, size_t len, struct pubkey *initiator);
/* Step 2, for a known key: authenticates the payload. The caller then checks the timestamp. */
int handshake_read_payload(struct handshake *h, const uint8_t *data, size_t len, struct wire_init_payload *payload);
/* Step 3: writes the response, WIRE_RESPONSE_MAX_BYTES at most, and yields the keys; wipes h's secrets. -ENOTSUP: no common
 * suite. What the payload shows is judged before. */
int handshake_respond(struct handshake *h, const struct identity *id, const struct wire_init_payload *payload,
		      uint32_t index, uint8_t *out, size_t capacity, struct handshake_keys *keys);
/* In place of step 3 where there is no common suite (CERT_GOOD), or the certificate is not good: writes a response of
 * WIRE_RESPONSE_BYTES that says so, and wipes h's secrets. */
int handshake_refuse(struct handshake *h, const struct identity *id, enum cert_verdict verdict, uint8_t *out,
		     size_t capacity);

/* Takes a cookie reply to the last message of h: fills `cookie`, -EBADMSG if it is not for it. */
int handshake_take_cookie(const struct handshake *h, const struct pubkey *remote, const uint8_t *data, size_t len,
			  uint8_t cookie[static COOKIE_BYTES]);

/* TAI64N of a wall-clock time, nanoseconds masked to 2^24 so that the clock does not leak. */
void timestamp_encode(uint8_t out[static WIRE_TIMESTAMP_BYTES], uint64_t wall_ms);
int timestamp_compare(const uint8_t a[static WIRE_TIMESTAMP_BYTES], const uint8_t b[static WIRE_TIMESTAMP_BYTES]);

#endif
