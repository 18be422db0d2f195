/* daemon/wire/handshake.h - the handshake's messages and the payloads inside them
 *
 * Initiation (over UDP, relayed, or as a frame of the control connection):
 *   offset size field
 *        0    1 type      WIRE_INIT
 *        1    1 version   WIRE_VERSION
 *        2    2 reserved  sent 0, ignored
 *        4    4 sender    the initiator's index
 *        8   32 ephemeral        \
 *       40   48 sealed static     > Noise message 1, NOISE_MESSAGE_1_BYTES + payload
 *       88 n+16 sealed payload   /
 *        .   16 mac1      over all before it
 *        .   16 mac2      over all before it, or zeros
 * Response:
 *        0    1 type      WIRE_RESPONSE
 *        1    1 version
 *        2    2 reserved
 *        4    4 sender    the responder's index
 *        8    4 receiver  the initiator's index
 *       12   32 ephemeral        \ Noise message 2, NOISE_MESSAGE_2_BYTES + payload
 *       44 n+16 sealed payload   /
 *        .   16 mac1, 16 mac2
 * Cookie reply:
 *        0    1 type      WIRE_COOKIE
 *        1    3 reserved
 *        4    4 receiver  the sender's index of the message it answers
 *        8   24 nonce
 *       32   32 sealed cookie
 *
 * Payload of an initiation, 32 bytes, may be followed by extensions (u16 type, u16 length, value), of which
 * unknown ones are skipped:
 *        0   12 timestamp TAI64N: 8 seconds, 4 nanoseconds; strictly rising for one initiator
 *       12    2 suites    bits 1 << enum aead_suite that the initiator accepts
 *       14    2 features  bit 0 WIRE_FEATURE_LZ4
 *       16   16 reserved  sent 0, ignored: keeps the initiation longer than the response
 * Payload of a response, 16 bytes, extensions likewise:
 *        0    1 suite     enum aead_suite, one of those offered; 0: the responder accepts none of them, there is no session
 *        1    1 refusal   with suite 0: enum cert_verdict, what is wrong with the initiator's certificate; 0: it is the suites
 *        2    2 features  those of the offer the responder agrees to
 *        4    2 suites    with suite 0: those the responder accepts
 *        6   10 reserved
 *
 * Extension WIRE_EXTENSION_TRUST, of a node with a certificate; in a response only when the initiation had one. It has one
 * length, whoever's certificate it is: names do not show, and the initiation stays longer than the response.
 *        0    8 epoch     of the newest revocation list that the sender has, 0: none
 *        8    2 length    of the certificate
 *       10  640 certificate (cert.h), then zeros (ignored) */
#ifndef DAEMON_WIRE_HANDSHAKE_H
#define DAEMON_WIRE_HANDSHAKE_H

#include "daemon/wire/cert.h"
#include "daemon/wire/wire.h"

#define WIRE_MACS_BYTES 32
#define WIRE_INIT_HEADER_BYTES 8
#define WIRE_INIT_PAYLOAD_BYTES 32
#define WIRE_INIT_BYTES (WIRE_INIT_HEADER_BYTES + 96 + WIRE_INIT_PAYLOAD_BYTES + WIRE_MACS_BYTES)
#define WIRE_RESPONSE_HEADER_BYTES 12
#define WIRE_RESPONSE_PAYLOAD_BYTES 16
#define WIRE_RESPONSE_BYTES (WIRE_RESPONSE_HEADER_BYTES + 48 + WIRE_RESPONSE_PAYLOAD_BYTES + WIRE_MACS_BYTES)
#define WIRE_COOKIE_BYTES 64
#define WIRE_EXTENSION_TRUST 1
#define WIRE_TRUST_BYTES (8 + 2 + CERT_MAX_BYTES)
#define WIRE_EXTENSIONS_BYTES (4 + WIRE_TRUST_BYTES)
/* With all extensions we send. */
#define WIRE_INIT_MAX_BYTES (WIRE_INIT_BYTES + WIRE_EXTENSIONS_BYTES)
#define WIRE_RESPONSE_MAX_BYTES (WIRE_RESPONSE_BYTES + WIRE_EXTENSIONS_BYTES)
/* Longest of either that is read, whatever a later version adds. */
#define WIRE_HANDSHAKE_MAX_BYTES WIRE_SAFE_DATAGRAM_BYTES
static_assert(WIRE_INIT_BYTES >= WIRE_RESPONSE_BYTES && WIRE_RESPONSE_BYTES >= WIRE_COOKIE_BYTES &&
		      WIRE_INIT_MAX_BYTES >= WIRE_RESPONSE_MAX_BYTES,
	      "no answer may be longer than its request");
static_assert(WIRE_INIT_MAX_BYTES + 64 <= WIRE_SAFE_DATAGRAM_BYTES, "a relayed initiation is never cut");

#define WIRE_TIMESTAMP_BYTES 12
#define WIRE_FEATURE_LZ4 0x0001

struct wire_init { /* pointers borrow from the datagram */
	uint8_t version;
	uint32_t sender;
	const uint8_t *noise;
	size_t noise_len;
	size_t mac1_at; /* offset of mac1: what it covers; mac2 is 16 further */
};
struct wire_response {
	uint8_t version;
	uint32_t sender, receiver;
	const uint8_t *noise;
	size_t noise_len;
	size_t mac1_at;
};
struct wire_cookie {
	uint32_t receiver;
	uint8_t nonce[24];
	uint8_t sealed[32];
};
struct wire_trust {
	bool is_shown; /* the extension is there */
	uint64_t epoch;
	uint16_t len; /* 0: no certificate */
	uint8_t cert[CERT_MAX_BYTES];
};
struct wire_init_payload {
	uint8_t timestamp[WIRE_TIMESTAMP_BYTES];
	uint16_t suites, features;
	struct wire_trust trust;
};
struct wire_response_payload {
	uint8_t suite, refusal;
	uint16_t features, suites;
	struct wire_trust trust;
};

/* -EBADMSG when malformed; a foreign version decodes (the caller refuses it, and can count it). */
int wire_init_decode(struct wire_init *out, const uint8_t *data, size_t len);
int wire_response_decode(struct wire_response *out, const uint8_t *data, size_t len);
int wire_cookie_decode(struct wire_cookie *out, const uint8_t *data, size_t len);
int wire_init_payload_decode(struct wire_init_payload *out, const uint8_t *data, size_t len);
int wire_response_payload_decode(struct wire_response_payload *out, const uint8_t *data, size_t len);

/* The headers only: Noise's bytes and the macs are written behind them by daemon/peer/handshake.c. */
void wire_init_header_encode(uint8_t out[static WIRE_INIT_HEADER_BYTES], uint32_t sender);
void wire_response_header_encode(uint8_t out[static WIRE_RESPONSE_HEADER_BYTES], uint32_t sender, uint32_t receiver);
void wire_cookie_encode(uint8_t out[static WIRE_COOKIE_BYTES], const struct wire_cookie *c);
/* The extension is written if trust.is_shown. Lengths; there is room for the longest. */
size_t wire_init_payload_encode(uint8_t out[static WIRE_INIT_PAYLOAD_BYTES + WIRE_EXTENSIONS_BYTES],
				const struct wire_init_payload *p);
size_t wire_response_payload_encode(uint8_t out[static WIRE_RESPONSE_PAYLOAD_BYTES + WIRE_EXTENSIONS_BYTES],
				    const struct wire_response_payload *p);

#endif
