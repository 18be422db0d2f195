/* How many handshakes a core does in a second, whole and in the steps a responder takes before it knows whom it serves. */
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "daemon/peer/handshake.h"
#include "tests/bench/bench.h"

#define INIT_MAC1_AT (WIRE_INIT_BYTES - WIRE_MACS_BYTES)

struct bench {
	struct identity alice, bob;
	struct handshake a, b;
	struct handshake_keys a_keys, b_keys;
	uint64_t wall_ms;
	uint8_t init[WIRE_INIT_BYTES], response[WIRE_RESPONSE_BYTES];
};

static void must(bool is_ok, const char *what)
{
	if (is_ok)
		return;
	fprintf(stderr, "bench_handshake: %s failed\n", what);
	exit(1);
}

static void initiate(void *arg)
{
	struct bench *b = arg;
	uint8_t stamp[WIRE_TIMESTAMP_BYTES];

	timestamp_encode(stamp, b->wall_ms++);
	must(handshake_initiate(&b->a, &b->alice, HANDSHAKE_PEER, &b->bob.public, 1, stamp, NULL, b->init,
				sizeof(b->init)) == WIRE_INIT_BYTES,
	     "initiation");
}

static void check_mac(void *arg)
{
	struct bench *b = arg;

	must(handshake_mac1_ok(&b->bob, b->init, sizeof(b->init), INIT_MAC1_AT), "mac1");
}

static void read_static(void *arg)
{
	struct bench *b = arg;
	struct pubkey who;

	must(handshake_read_static(&b->b, &b->bob, HANDSHAKE_PEER, b->init, sizeof(b->init), &who) == 0, "static key");
}

static void respond(void *arg)
{
	struct bench *b = arg;
	struct wire_init_payload payload;

	check_mac(b);
	read_static(b);
	must(handshake_read_payload(&b->b, b->init, sizeof(b->init), &payload) == 0, "payload");
	must(handshake_respond(&b->b, &b->bob, &payload, 2, b->response, sizeof(b->response), &b->b_keys) ==
		     WIRE_RESPONSE_BYTES,
	     "response");
}

static void whole(void *arg)
{
	struct bench *b = arg;

	initiate(b);
	respond(b);
	must(handshake_finish(&b->a, &b->alice, b->response, sizeof(b->response), &b->a_keys, NULL) == 0, "finish");
}

int main(void)
{
	static const struct psk psk = { { 7 } };
	static struct bench b = { .wall_ms = 1700000000000 };
	struct identity *ids[] = { &b.alice, &b.bob };

	must(sodium_init() >= 0, "libsodium");
	must(crypto_start() == 0, "crypto");
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		struct seckey secret;

		seckey_generate(&secret);
		must(identity_init(ids[i], &secret, &psk, aead_offer(), 0) == 0, "identity");
	}
	whole(&b);
	must(sodium_memcmp(b.a_keys.send, b.b_keys.recv, sizeof(b.a_keys.send)) == 0, "equal keys");

	bench_rate("handshake, both ends", whole, &b, 1);
	bench_rate("initiator: initiation", initiate, &b, 1);
	bench_rate("responder: whole answer to a member", respond, &b, 1);
	bench_rate("responder: initiation of an unknown key refused", read_static, &b, 1);
	bench_rate("responder: datagram of a stranger refused (mac1)", check_mac, &b, 1);
	sodium_memzero(&b, sizeof(b));
	return 0;
}
