/* What a stranger, or a member gone bad, sends as an initiation. The first byte tells how it is dressed up, so that
 * the fuzzer gets past checks it cannot guess its way through: bit 0: mac1 is made right; bit 1: the bytes are the
 * payload of a whole initiation by a known member; bit 2: the responder is under load. */
#include <stdlib.h>
#include <string.h>

#include "daemon/peer/responder.h"

struct node {
	struct identity us, member;
	struct indices *indices;
	struct counters counters;
	struct sessions sessions;
	struct responder *responder;
};

static void on_initiation(void *owner, const uint8_t *data, size_t len, unsigned attempt)
{
	(void)owner;
	(void)data;
	(void)len;
	(void)attempt;
}

static void on_event(void *owner)
{
	(void)owner;
}

static void on_no_suite(void *owner, bool is_news)
{
	(void)owner;
	(void)is_news;
}

static uint64_t on_wall_ms(void *owner)
{
	(void)owner;
	return UINT64_C(1700000000000);
}

static const struct sessions_env sessions_env = { on_initiation, on_event,    on_event, on_event,
						  on_wall_ms,    on_no_suite, NULL,     on_no_suite };

static struct sessions *on_find(void *arg, const struct pubkey *key)
{
	struct node *n = arg;

	return pubkey_equal(key, &n->member.public) ? &n->sessions : NULL;
}

static void on_answer(void *arg, const struct path_addr *to, uint32_t relay_member, const uint8_t *data, size_t len)
{
	(void)arg;
	(void)to;
	(void)relay_member;
	(void)data;
	if (len > WIRE_INIT_BYTES)
		abort(); /* longer than any request */
}

static const struct responder_env responder_env = { .find = on_find, .send = on_answer };

static struct node *node_start(void)
{
	static struct node n;
	const struct seckey us = { { 1 } }, member = { { 2 } };

	if (crypto_start() < 0 || identity_init(&n.us, &us, NULL, aead_offer(), 0) < 0 ||
	    identity_init(&n.member, &member, NULL, aead_offer(), 0) < 0)
		abort();
	return &n;
}

/* A member's initiation whose payload is the fuzzer's. Returns its length. */
static size_t member_initiation(const struct node *n, const uint8_t *payload, size_t len, uint8_t *out)
{
	const uint8_t prologue[] = { 'w', 'a', 'r', 'r', 'e', 'n', WIRE_VERSION, HANDSHAKE_PEER };
	uint8_t whole[sizeof(prologue) + WIRE_INIT_HEADER_BYTES];
	const struct seckey ephemeral = { { 3 } };
	struct noise noise;

	wire_init_header_encode(out, 4711);
	memcpy(whole, prologue, sizeof(prologue));
	memcpy(whole + sizeof(prologue), out, WIRE_INIT_HEADER_BYTES);
	if (noise_init_initiator(&noise, &n->member.secret, &n->member.public, &n->us.public, &n->member.psk, whole,
				 sizeof(whole)) < 0 ||
	    noise_write_1(&noise, &ephemeral, out + WIRE_INIT_HEADER_BYTES, payload, len) < 0)
		abort();
	noise_wipe(&noise);
	memset(out + WIRE_INIT_HEADER_BYTES + NOISE_MESSAGE_1_BYTES + len, 0, WIRE_MACS_BYTES);
	return WIRE_INIT_HEADER_BYTES + NOISE_MESSAGE_1_BYTES + len + WIRE_MACS_BYTES;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct node *n;
	const struct path_addr from = { .kind = PATH_UDP, .endpoint = { .ip = { 4, { 192, 0, 2, 1 } }, .port = 7 } };
	uint8_t msg[WIRE_HANDSHAKE_MAX_BYTES];
	uint8_t how;
	size_t len;

	if (!n)
		n = node_start();
	if (size < 1 || size - 1 > sizeof(msg) - WIRE_INIT_BYTES)
		return 0;
	how = data[0];
	len = size - 1;
	memcpy(msg, data + 1, len);
	if (how & 2)
		len = member_initiation(n, data + 1, size - 1, msg);
	if ((how & 3) && len >= WIRE_MACS_BYTES)
		mac_compute(msg + len - WIRE_MACS_BYTES, n->us.mac1_key.b, sizeof(n->us.mac1_key.b), msg,
			    len - WIRE_MACS_BYTES);

	n->indices = indices_new();
	n->responder = responder_new(&responder_env, n, &n->us, n->indices, &n->counters);
	if (!n->indices || !n->responder)
		abort();
	sessions_init(&n->sessions, &sessions_env, n, &n->us, n->indices, &n->member.public);
	for (unsigned i = 0; i < (how & 4 ? RESPONDER_LOAD_PER_S + 10 : 2); i++) {
		struct sessions *s = responder_receive(n->responder, &from, 0, msg, len, 1000 + i);

		if (s && (!(how & 2) || i > 0))
			abort(); /* nobody but the member is let in, and nobody twice with one message */
	}
	sessions_fini(&n->sessions);
	responder_free(n->responder);
	indices_free(n->indices);
	return 0;
}
