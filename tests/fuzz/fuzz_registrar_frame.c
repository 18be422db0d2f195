/* Frames of the control connection. The first byte tells who they come from: even: whoever answers at the
 * coordinator's endpoint, in place of the handshake's response; odd: the coordinator itself, inside the sealed
 * channel, first 1 message before and then all after it registered us. Each message: 2 bytes length, then its bytes. */
#include <stdlib.h>
#include <string.h>

#include "daemon/base/bytes.h"
#include "daemon/peer/registrar.h"

struct world {
	struct identity us, coordinator;
	struct registrar *r;
	struct channel channel;
	uint8_t initiation[WIRE_INIT_BYTES];
	unsigned n_registered;
	bool is_registered;
};

static void on_connect(void *arg)
{
	(void)arg;
}

static int on_send(void *arg, const uint8_t *body, size_t len, bool is_droppable)
{
	struct world *w = arg;

	(void)is_droppable;
	if (len == 0 || len > WIRE_FRAME_MAX_BYTES)
		abort();
	if (len == WIRE_INIT_BYTES && body[0] == WIRE_INIT)
		memcpy(w->initiation, body, len);
	return 0;
}

static void on_registered(void *arg, const struct wire_registered *m, const struct handshake_keys *keys)
{
	struct world *w = arg;

	(void)keys;
	if (m->n_addrs > WIRE_ADDRS_MAX || !wire_name_is_valid(m->name))
		abort();
	w->n_registered++;
	w->is_registered = true;
}

static void on_lost(void *arg)
{
	struct world *w = arg;

	if (!w->is_registered)
		abort();
	w->is_registered = false;
}

static void on_message(void *arg, int type, const uint8_t *data, size_t len)
{
	const struct world *w = arg;

	if (!w->is_registered || len == 0 || data[0] != type)
		abort();
}

static uint64_t on_wall_ms(void *arg)
{
	(void)arg;
	return UINT64_C(1700000000000);
}

static const struct registrar_env env = { on_connect, on_connect, on_send,   on_registered,
					  on_lost,    on_message, on_wall_ms };

static struct world *world_start(void)
{
	static struct world w;
	const struct seckey us = { { 1 } }, coordinator = { { 2 } };

	if (crypto_start() < 0 || identity_init(&w.us, &us, NULL, aead_offer(), 0) < 0 ||
	    identity_init(&w.coordinator, &coordinator, NULL, aead_offer(), 0) < 0)
		abort();
	return &w;
}

static void give_sealed(struct world *w, const uint8_t *message, size_t len)
{
	uint8_t body[WIRE_FRAME_MAX_BYTES];

	registrar_on_frame(w->r, body, channel_seal(&w->channel, body, message, len), 1000);
}

static void answer_handshake(struct world *w)
{
	struct wire_init_payload payload;
	uint8_t out[WIRE_RESPONSE_BYTES];
	struct handshake_keys keys;
	struct handshake h = { 0 };
	struct pubkey who;

	if (handshake_read_static(&h, &w->coordinator, HANDSHAKE_COORDINATOR, w->initiation, WIRE_INIT_BYTES, &who) <
		    0 ||
	    handshake_read_payload(&h, w->initiation, WIRE_INIT_BYTES, &payload) < 0 ||
	    handshake_respond(&h, &w->coordinator, &payload, 7, out, sizeof(out), &keys) < 0)
		abort();
	channel_init(&w->channel, keys.send, keys.recv);
	registrar_on_frame(w->r, out, sizeof(out), 1000);
	if (registrar_state(w->r) != REGISTRAR_REGISTERING)
		abort();
}

static void give_messages(struct world *w, struct reader *r)
{
	const struct wire_registered m = { .member = 5, .index = 77, .name = "alice", .network = "home" };
	uint8_t registered[256];
	int len = wire_registered_encode(registered, sizeof(registered), &m);

	answer_handshake(w);
	for (unsigned i = 0; reader_left(r) > 2 && registrar_state(w->r) >= REGISTRAR_REGISTERING; i++) {
		size_t n = reader_be16(r);

		n = n < reader_left(r) ? n : reader_left(r);
		n = n < WIRE_CONTROL_MAX_BYTES ? n : WIRE_CONTROL_MAX_BYTES;
		give_sealed(w, reader_take(r, n), n);
		if (i == 0 && registrar_state(w->r) == REGISTRAR_REGISTERING)
			give_sealed(w, registered, (size_t)len);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world *w;
	struct reader r = reader_of(data, size);
	uint8_t body[WIRE_FRAME_MAX_BYTES];
	bool is_sealed = reader_u8(&r) & 1;

	if (!w)
		w = world_start();
	if (!reader_ok(&r))
		return 0;
	w->is_registered = false;
	w->n_registered = 0;
	w->r = registrar_new(&env, w, &w->us, &w->coordinator.public, "alice", 1, 2, 1000);
	if (!w->r)
		abort();
	registrar_tick(w->r, 1000);
	registrar_on_connected(w->r, 1000);
	if (is_sealed) {
		give_messages(w, &r);
	} else if (reader_left(&r) > 0 && reader_left(&r) <= sizeof(body)) {
		size_t len = reader_left(&r);

		reader_copy(&r, body, len);
		registrar_on_frame(w->r, body, len, 1000);
		if (registrar_state(w->r) != REGISTRAR_WAITING || w->n_registered)
			abort(); /* not the coordinator's key */
	}
	if (registrar_next_ms(w->r) < 1000)
		abort();
	registrar_free(w->r);
	return 0;
}
