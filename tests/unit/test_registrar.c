#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/peer/registrar.h"

#define INDEX 0xabcd0001
#define BOOT_ID UINT64_C(0x1122334455667788)

/* A coordinator made of the responder's half of handshake.h, and what the registrar did. */
struct fixture {
	struct registrar *r;
	struct identity peer, coordinator;
	uint64_t now_ms, wall_ms, pong_wall_ms;
	/* what the registrar asked for */
	unsigned n_connect, n_disconnect, n_registered, n_lost, n_messages, n_frames;
	int message_type;
	uint8_t message[WIRE_CONTROL_MAX_BYTES];
	size_t message_len;
	struct wire_registered registration;
	struct handshake_keys registered_keys;
	/* the coordinator's side */
	int send_result;                     /* of env.send, if negative */
	uint8_t frame[WIRE_FRAME_MAX_BYTES]; /* last from the peer, as sent */
	size_t frame_len;
	struct handshake_keys keys;
	struct channel channel;
	uint8_t timestamp[WIRE_TIMESTAMP_BYTES];
	unsigned n_pings, n_pongs;
	uint64_t ping_token;
};

static void on_connect(void *arg)
{
	((struct fixture *)arg)->n_connect++;
}

static void on_disconnect(void *arg)
{
	((struct fixture *)arg)->n_disconnect++;
}

static int on_send(void *arg, const uint8_t *body, size_t len, bool is_droppable)
{
	struct fixture *f = arg;

	if (f->send_result < 0 && (is_droppable || f->send_result != -ENOBUFS))
		return f->send_result;
	assert_in_range(len, 1, WIRE_FRAME_MAX_BYTES);
	memcpy(f->frame, body, len);
	f->frame_len = len;
	f->n_frames++;
	return 0;
}

static void on_registered(void *arg, const struct wire_registered *m, const struct handshake_keys *keys)
{
	struct fixture *f = arg;

	f->n_registered++;
	f->registration = *m;
	f->registered_keys = *keys;
}

static void on_lost(void *arg)
{
	((struct fixture *)arg)->n_lost++;
}

static void on_message(void *arg, int type, const uint8_t *data, size_t len)
{
	struct fixture *f = arg;

	f->n_messages++;
	f->message_type = type;
	memcpy(f->message, data, len);
	f->message_len = len;
}

static uint64_t on_wall_ms(void *arg)
{
	return ((struct fixture *)arg)->wall_ms;
}

static const struct registrar_env env = { on_connect, on_disconnect, on_send,   on_registered,
					  on_lost,    on_message,    on_wall_ms };

static int set_up(void **state)
{
	static const struct seckey peer = { { 1 } }, coordinator = { { 2 } };
	static const struct psk psk = { { 3 } }; /* the network's; the coordinator has none of it */
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	assert_int_equal(identity_init(&f.peer, &peer, &psk, aead_offer(), 0), 0);
	assert_int_equal(identity_init(&f.coordinator, &coordinator, NULL, aead_offer(), 0), 0);
	f.now_ms = 1000000;
	f.wall_ms = UINT64_C(1700000000000);
	f.r = registrar_new(&env, &f, &f.peer, &f.coordinator.public, "alice", BOOT_ID, INDEX, f.now_ms);
	assert_non_null(f.r);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	registrar_free(f->r);
	return 0;
}

/* The loop: ticks when something is due, until now_ms + ms. */
static void run(struct fixture *f, uint64_t ms)
{
	uint64_t end_ms = f->now_ms + ms;
	unsigned n_at_once = 0;

	while (registrar_next_ms(f->r) <= end_ms) {
		n_at_once = registrar_next_ms(f->r) > f->now_ms ? 0 : n_at_once + 1;
		assert_true(n_at_once < 3); /* or the loop would spin */
		if (registrar_next_ms(f->r) > f->now_ms)
			f->now_ms = registrar_next_ms(f->r);
		registrar_tick(f->r, f->now_ms);
	}
	f->now_ms = end_ms;
}

static void connect_now(struct fixture *f)
{
	run(f, 0);
	assert_int_equal(registrar_state(f->r), REGISTRAR_CONNECTING);
	registrar_on_connected(f->r, f->now_ms);
	assert_int_equal(registrar_state(f->r), REGISTRAR_HANDSHAKING);
}

/* Reads the initiation and writes the answer to it. */
static size_t coordinator_answers(struct fixture *f, uint8_t out[static WIRE_RESPONSE_BYTES])
{
	struct wire_init_payload payload;
	struct handshake h = { 0 };
	struct pubkey who;
	int len;

	assert_int_equal(f->frame[0], WIRE_INIT);
	assert_true(handshake_mac1_ok(&f->coordinator, f->frame, f->frame_len, f->frame_len - WIRE_MACS_BYTES));
	assert_int_equal(
		handshake_read_static(&h, &f->coordinator, HANDSHAKE_COORDINATOR, f->frame, f->frame_len, &who), 0);
	assert_true(pubkey_equal(&who, &f->peer.public));
	assert_int_equal(handshake_read_payload(&h, f->frame, f->frame_len, &payload), 0);
	assert_true(timestamp_compare(payload.timestamp, f->timestamp) > 0);
	memcpy(f->timestamp, payload.timestamp, sizeof(f->timestamp));
	len = handshake_respond(&h, &f->coordinator, &payload, 7, out, WIRE_RESPONSE_BYTES, &f->keys);
	assert_true(len > 0);
	handshake_wipe(&h);
	channel_init(&f->channel, f->keys.send, f->keys.recv);
	return (size_t)len;
}

static void coordinator_sends(struct fixture *f, const uint8_t *message, int len)
{
	uint8_t body[WIRE_FRAME_MAX_BYTES];

	assert_true(len >= 0);
	registrar_on_frame(f->r, body, channel_seal(&f->channel, body, message, (size_t)len), f->now_ms);
}

/* Opens the last frame of the peer; returns the message's type. */
static int coordinator_reads(struct fixture *f, uint8_t *message, size_t *len)
{
	int ret = channel_open(&f->channel, message, f->frame, f->frame_len);

	assert_true(ret >= 0);
	*len = (size_t)ret;
	return wire_control_type_of(message, *len);
}

static void handshake_now(struct fixture *f)
{
	uint8_t response[WIRE_RESPONSE_BYTES];
	size_t len;

	connect_now(f);
	len = coordinator_answers(f, response);
	registrar_on_frame(f->r, response, len, f->now_ms);
	assert_int_equal(registrar_state(f->r), REGISTRAR_REGISTERING);
}

static void coordinator_registers(struct fixture *f)
{
	struct wire_registered m = { .member = 5, .index = 77, .udp_port = 27700, .name = "alice", .network = "home" };
	uint8_t message[512], request[WIRE_FRAME_MAX_BYTES];
	struct wire_register asked;
	size_t len;

	assert_int_equal(coordinator_reads(f, request, &len), CONTROL_REGISTER);
	assert_int_equal(wire_register_decode(&asked, request, len), 0);
	assert_int_equal(asked.version, WIRE_VERSION);
	assert_int_equal(asked.index, INDEX);
	assert_true(asked.boot_id == BOOT_ID);
	assert_string_equal(asked.name, "alice");
	coordinator_sends(f, message, wire_registered_encode(message, sizeof(message), &m));
	assert_int_equal(registrar_state(f->r), REGISTRAR_REGISTERED);
}

/* The peer's last frame is a ping: answers it `delay_ms` later. */
static void coordinator_pongs(struct fixture *f, uint64_t delay_ms)
{
	uint8_t message[WIRE_FRAME_MAX_BYTES];
	struct wire_pong pong = { .wall_ms = f->pong_wall_ms };
	size_t len;

	assert_int_equal(coordinator_reads(f, message, &len), CONTROL_PING);
	assert_int_equal(wire_ping_decode(&pong.token, message, len), 0);
	f->now_ms += delay_ms;
	coordinator_sends(f, message, wire_pong_encode(message, sizeof(message), &pong));
}

static void register_now(struct fixture *f)
{
	handshake_now(f);
	coordinator_registers(f);
	coordinator_pongs(f, 3);
}

/* Registered and answering pings for so long. */
static void stay_registered(struct fixture *f, uint64_t ms)
{
	uint64_t end_ms = f->now_ms + ms;

	while (registrar_next_ms(f->r) < end_ms) {
		run(f, registrar_next_ms(f->r) - f->now_ms);
		assert_int_equal(registrar_state(f->r), REGISTRAR_REGISTERED);
		coordinator_pongs(f, 1);
	}
	run(f, end_ms - f->now_ms);
}

/* ---------------------------------------------------------------- registering */

static void whole_registration_gives_member_and_keys(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(registrar_state(f->r), REGISTRAR_WAITING);
	register_now(f);
	assert_int_equal(f->n_registered, 1);
	assert_int_equal(f->registration.member, 5);
	assert_string_equal(f->registration.network, "home");
	assert_memory_equal(f->registered_keys.udp_send, f->keys.udp_recv, 32);
	assert_memory_equal(f->registered_keys.udp_recv, f->keys.udp_send, 32);
	assert_memory_equal(f->registered_keys.tag_send, f->keys.tag_recv, SHORT_KEY_BYTES);
	assert_int_equal(registrar_rtt_us(f->r), 3000);
	assert_string_equal(registrar_error(f->r), "");
	assert_int_equal(registrar_fault(f->r), REGISTRAR_FAULT_NONE);
	assert_int_equal(registrar_since_ms(f->r) + 3, f->now_ms);
	assert_int_equal(f->n_connect, 1);
	assert_int_equal(f->n_lost + f->n_disconnect, 0);
}

static void messages_pass_both_ways_in_order(void **state)
{
	static const uint8_t relayed[] = { CONTROL_RELAY, 0, 0, 0, 9, 'x' };
	static const uint8_t unknown[] = { 200, 1, 2, 3 };
	struct fixture *f = *state;
	uint8_t message[WIRE_FRAME_MAX_BYTES];
	size_t len;

	assert_int_equal(registrar_send(f->r, relayed, sizeof(relayed), false), -ENOTCONN);
	register_now(f);
	for (unsigned i = 0; i < 3 * CHANNEL_RATCHET_FRAMES; i++) {
		assert_int_equal(registrar_send(f->r, relayed, sizeof(relayed), true), 0);
		assert_int_equal(coordinator_reads(f, message, &len), CONTROL_RELAY);
		coordinator_sends(f, unknown, sizeof(unknown)); /* skipped */
		coordinator_sends(f, relayed, sizeof(relayed));
		assert_int_equal(f->n_messages, i + 1);
	}
	assert_int_equal(f->message_type, CONTROL_RELAY);
	assert_int_equal(f->message_len, sizeof(relayed));
	assert_memory_equal(f->message, relayed, sizeof(relayed));
	assert_int_equal(registrar_send(f->r, message, WIRE_CONTROL_MAX_BYTES + 1, true), -EMSGSIZE);
	memset(message, 0, sizeof(message));
	message[0] = CONTROL_RELAY;
	assert_int_equal(registrar_send(f->r, message, WIRE_CONTROL_MAX_BYTES, true), 0);
	assert_int_equal(f->frame_len, WIRE_FRAME_MAX_BYTES);
}

static void refused_droppable_frame_does_not_break_the_channel(void **state)
{
	static const uint8_t relayed[] = { CONTROL_RELAY, 0, 0, 0, 9, 'x' };
	struct fixture *f = *state;
	uint8_t message[WIRE_FRAME_MAX_BYTES];
	size_t len;

	register_now(f);
	for (unsigned i = 0; i < 3 * CHANNEL_RATCHET_FRAMES; i++) {
		f->send_result = -ENOBUFS;
		assert_int_equal(registrar_send(f->r, relayed, sizeof(relayed), true), -ENOBUFS);
		f->send_result = 0;
		assert_int_equal(registrar_send(f->r, relayed, sizeof(relayed), true), 0);
		assert_int_equal(coordinator_reads(f, message, &len), CONTROL_RELAY);
	}
}

static void ping_of_the_coordinator_is_answered(void **state)
{
	struct fixture *f = *state;
	uint8_t message[WIRE_FRAME_MAX_BYTES];
	struct wire_pong pong;
	size_t len;

	register_now(f);
	coordinator_sends(f, message, wire_ping_encode(message, sizeof(message), 4711));
	assert_int_equal(coordinator_reads(f, message, &len), CONTROL_PONG);
	assert_int_equal(wire_pong_decode(&pong, message, len), 0);
	assert_int_equal(pong.token, 4711);
	assert_int_equal(pong.wall_ms, 0); /* our clock is nobody's business */
}

static void message_before_registration_is_not_passed_on(void **state)
{
	static const uint8_t relayed[] = { CONTROL_RELAY, 0, 0, 0, 9, 'x' };
	struct fixture *f = *state;

	handshake_now(f);
	coordinator_sends(f, relayed, sizeof(relayed));
	assert_int_equal(f->n_messages, 0);
	assert_int_equal(registrar_state(f->r), REGISTRAR_REGISTERING);
}

/* ---------------------------------------------------------------- failing */

static void refusal_is_told_with_its_reason(void **state)
{
	struct wire_refused m = { .reason = REFUSED_NO_ADDRESS, .text = "pool \x1b[31m used up" };
	struct fixture *f = *state;
	uint8_t message[256];

	handshake_now(f);
	coordinator_sends(f, message, wire_refused_encode(message, sizeof(message), &m));
	assert_int_equal(registrar_state(f->r), REGISTRAR_WAITING);
	assert_int_equal(f->n_disconnect, 1);
	assert_non_null(strstr(registrar_error(f->r), "no address left"));
	assert_non_null(strstr(registrar_error(f->r), "\\x1b[31m used up")); /* escaped: foreign text */
	assert_int_equal(f->n_lost, 0);
	assert_int_equal(registrar_fault(f->r), REGISTRAR_FAULT_REFUSED);
}

static void certificate_that_is_not_taken_is_a_fault_of_the_key(void **state)
{
	struct wire_refused m = { .reason = REFUSED_CERTIFICATE, .text = "its invitation was used before" };
	struct fixture *f = *state;
	uint8_t message[256];

	handshake_now(f);
	coordinator_sends(f, message, wire_refused_encode(message, sizeof(message), &m));
	assert_int_equal(registrar_fault(f->r), REGISTRAR_FAULT_KEY);
	assert_non_null(strstr(registrar_error(f->r),
			       "does not take this node's certificate (its invitation was used before)"));
}

static void another_version_is_told(void **state)
{
	struct wire_refused m = { .reason = REFUSED_VERSION };
	struct fixture *f = *state;
	uint8_t message[256];

	handshake_now(f);
	coordinator_sends(f, message, wire_refused_encode(message, sizeof(message), &m));
	assert_int_equal(registrar_fault(f->r), REGISTRAR_FAULT_VERSION);
	assert_non_null(strstr(registrar_error(f->r), "another version"));
	f->now_ms = registrar_next_ms(f->r); /* it is what the last try ended with, until the next one does */
	registrar_tick(f->r, f->now_ms);
	assert_int_equal(registrar_fault(f->r), REGISTRAR_FAULT_VERSION);
	registrar_on_closed(f->r, -ECONNREFUSED, f->now_ms);
	assert_int_equal(registrar_fault(f->r), REGISTRAR_FAULT_UNREACHABLE);
}

static void node_with_our_key_elsewhere_is_not_fought(void **state)
{
	struct wire_refused m = { .reason = REFUSED_REPLACED };
	struct fixture *f = *state;
	uint8_t message[256];

	register_now(f);
	stay_registered(f, 200000);
	coordinator_sends(f, message, wire_refused_encode(message, sizeof(message), &m));
	assert_int_equal(f->n_lost, 1);
	assert_non_null(strstr(registrar_error(f->r), "another node registered"));
	assert_in_range(registrar_next_ms(f->r) - f->now_ms, 60000, 75000);
}

static void closing_during_the_handshake_is_told_as_a_refused_key(void **state)
{
	struct fixture *f = *state;

	connect_now(f);
	registrar_on_closed(f->r, -ECONNRESET, f->now_ms);
	assert_int_equal(registrar_state(f->r), REGISTRAR_WAITING);
	assert_int_equal(registrar_fault(f->r), REGISTRAR_FAULT_KEY);
	assert_non_null(strstr(registrar_error(f->r), "is our public key a member there"));
	assert_int_equal(f->n_disconnect, 0); /* it is closed */
	run(f, 2000);
	registrar_on_connected(f->r, f->now_ms);
	registrar_on_closed(f->r, -EBADMSG, f->now_ms); /* a web server, say */
	assert_int_equal(registrar_fault(f->r), REGISTRAR_FAULT_FOREIGN);
	assert_non_null(strstr(registrar_error(f->r), "no coordinator"));
}

static void accepted_key_is_refused_no_more(void **state)
{
	struct fixture *f = *state;

	connect_now(f);
	registrar_on_closed(f->r, 0, f->now_ms);
	assert_int_equal(registrar_fault(f->r), REGISTRAR_FAULT_KEY);
	f->now_ms = registrar_next_ms(f->r);
	register_now(f);
	assert_int_equal(registrar_fault(f->r), REGISTRAR_FAULT_NONE);
	assert_string_equal(registrar_error(f->r), "");
}

static void wrong_coordinator_key_is_told(void **state)
{
	struct fixture *f = *state;
	uint8_t response[WIRE_RESPONSE_BYTES];
	size_t len;

	connect_now(f);
	len = coordinator_answers(f, response);
	response[20] ^= 1;
	registrar_on_frame(f->r, response, len, f->now_ms);
	assert_int_equal(registrar_state(f->r), REGISTRAR_WAITING);
	assert_int_equal(f->n_disconnect, 1);
	assert_non_null(strstr(registrar_error(f->r), "is its public_key right here"));
	f->now_ms = registrar_next_ms(f->r);
	register_now(f);
}

static void silent_server_ends_each_step_after_5_s(void **state)
{
	static const char *const words[] = { "cannot be reached within 5 s", "answer the handshake within 5 s",
					     "answer the registration within 5 s" };
	struct fixture *f = *state;

	for (unsigned step = 0; step < 3; step++) {
		f->now_ms = registrar_next_ms(f->r);
		if (step == 0)
			run(f, 0);
		else if (step == 1)
			connect_now(f);
		else
			handshake_now(f);
		assert_int_equal(registrar_state(f->r), REGISTRAR_CONNECTING + step);
		run(f, 4999);
		assert_int_equal(registrar_state(f->r), REGISTRAR_CONNECTING + step);
		run(f, 1);
		assert_int_equal(registrar_state(f->r), REGISTRAR_WAITING);
		assert_non_null(strstr(registrar_error(f->r), words[step]));
		assert_int_equal(f->n_disconnect, step + 1);
	}
	assert_int_equal(f->n_lost, 0);
}

static void late_events_of_an_ended_try_are_ignored(void **state)
{
	struct fixture *f = *state;
	uint8_t response[WIRE_RESPONSE_BYTES];
	size_t len;

	connect_now(f);
	len = coordinator_answers(f, response);
	run(f, 5000);
	assert_int_equal(registrar_state(f->r), REGISTRAR_WAITING);
	registrar_on_frame(f->r, response, len, f->now_ms);
	registrar_on_connected(f->r, f->now_ms);
	registrar_on_closed(f->r, -EPIPE, f->now_ms);
	assert_int_equal(registrar_state(f->r), REGISTRAR_WAITING);
	assert_int_equal(f->n_frames, 1);
}

static void damaged_frame_ends_the_registration(void **state)
{
	struct fixture *f = *state;
	uint8_t body[64], message[16];
	size_t len;

	register_now(f);
	len = channel_seal(&f->channel, body, message, (size_t)wire_ping_encode(message, sizeof(message), 1));
	body[3] ^= 1;
	registrar_on_frame(f->r, body, len, f->now_ms);
	assert_int_equal(registrar_state(f->r), REGISTRAR_WAITING);
	assert_int_equal(f->n_lost, 1);
	assert_int_equal(f->n_disconnect, 1);
	assert_non_null(strstr(registrar_error(f->r), "damaged"));
}

static void replayed_frame_ends_the_registration(void **state)
{
	struct fixture *f = *state;
	uint8_t body[64], again[64], message[16];
	size_t len;

	register_now(f);
	len = channel_seal(&f->channel, body, message, (size_t)wire_ping_encode(message, sizeof(message), 1));
	memcpy(again, body, len);
	registrar_on_frame(f->r, body, len, f->now_ms);
	assert_int_equal(registrar_state(f->r), REGISTRAR_REGISTERED);
	registrar_on_frame(f->r, again, len, f->now_ms);
	assert_int_equal(registrar_state(f->r), REGISTRAR_WAITING);
}

static void malformed_message_ends_the_registration(void **state)
{
	static const uint8_t short_ping[] = { CONTROL_PING, 1, 2 };
	struct fixture *f = *state;

	register_now(f);
	coordinator_sends(f, short_ping, sizeof(short_ping));
	assert_int_equal(registrar_state(f->r), REGISTRAR_WAITING);
	f->now_ms = registrar_next_ms(f->r);
	register_now(f);
	coordinator_sends(f, short_ping, 0);
	assert_int_equal(registrar_state(f->r), REGISTRAR_WAITING);
}

static void random_frames_register_nobody(void **state)
{
	struct fixture *f = *state;
	uint8_t body[WIRE_FRAME_MAX_BYTES];

	srandom(1);
	for (unsigned i = 0; i < 10000; i++) {
		size_t len = (size_t)random() % (i % 10 ? 200 : sizeof(body)) + 1;

		f->now_ms = registrar_next_ms(f->r);
		if (i % 20 == 0)
			handshake_now(f);
		else
			connect_now(f);
		for (size_t j = 0; j < len; j++)
			body[j] = (uint8_t)random();
		if (i % 2)
			body[0] = WIRE_RESPONSE;
		registrar_on_frame(f->r, body, i % 3 ? len : WIRE_RESPONSE_BYTES, f->now_ms);
		assert_int_equal(registrar_state(f->r), REGISTRAR_WAITING);
		assert_true(registrar_next_ms(f->r) <= f->now_ms + 75000);
	}
	assert_int_equal(f->n_registered + f->n_lost + f->n_messages, 0);
	assert_int_equal(f->n_disconnect, 10000);
	f->now_ms = registrar_next_ms(f->r);
	register_now(f);
}

static void failing_send_ends_the_try(void **state)
{
	struct fixture *f = *state;

	run(f, 0);
	f->send_result = -EPIPE;
	registrar_on_connected(f->r, f->now_ms);
	assert_int_equal(registrar_state(f->r), REGISTRAR_WAITING);
	assert_true(registrar_next_ms(f->r) > f->now_ms);
}

/* ---------------------------------------------------------------- waiting */

static void waits_grow_from_1_s_to_60_with_jitter(void **state)
{
	static const uint64_t early_ms[] = { 1000, 1500, 1500, 1500, 1500, 1500 };
	struct fixture *f = *state;
	uint64_t began_ms = f->now_ms, waited_ms = 0;

	assert_int_equal(registrar_next_ms(f->r), f->now_ms); /* the first try is at once */
	for (unsigned i = 0; i < 120; i++) {
		f->now_ms = registrar_next_ms(f->r);
		registrar_tick(f->r, f->now_ms);
		assert_int_equal(f->n_connect, i + 1);
		registrar_on_closed(f->r, -ECONNREFUSED, f->now_ms);
		waited_ms = registrar_next_ms(f->r) - f->now_ms;
		if (i < 6)
			assert_in_range(waited_ms, early_ms[i], early_ms[i] * 5 / 4);
		else if (f->now_ms - began_ms < 120000)
			assert_in_range(waited_ms, 1500, 1875); /* back within 3 s of the coordinator's return */
		assert_true(waited_ms <= 75000);
	}
	assert_in_range(waited_ms, 60000, 75000);
	assert_non_null(strstr(registrar_error(f->r), "Connection refused"));
}

static void jitter_spreads_nodes(void **state)
{
	struct fixture *f = *state;
	uint64_t least = UINT64_MAX, most = 0;

	for (unsigned i = 0; i < 100; i++) {
		uint64_t wait_ms;

		f->now_ms = registrar_next_ms(f->r);
		registrar_tick(f->r, f->now_ms);
		registrar_on_closed(f->r, -ECONNREFUSED, f->now_ms);
		wait_ms = registrar_next_ms(f->r) - f->now_ms;
		if (i < 50)
			continue; /* by now it is 60 s each time */
		least = wait_ms < least ? wait_ms : least;
		most = wait_ms > most ? wait_ms : most;
	}
	assert_true(most - least > 5000);
}

static void long_registration_that_is_lost_is_tried_at_once(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 20; i++) { /* waits have grown */
		f->now_ms = registrar_next_ms(f->r);
		registrar_tick(f->r, f->now_ms);
		registrar_on_closed(f->r, -ECONNREFUSED, f->now_ms);
	}
	f->now_ms = registrar_next_ms(f->r);
	register_now(f);
	stay_registered(f, 3000);
	registrar_on_closed(f->r, -ECONNRESET, f->now_ms);
	assert_int_equal(f->n_lost, 1);
	assert_int_equal(registrar_next_ms(f->r), f->now_ms);
	registrar_tick(f->r, f->now_ms);
	registrar_on_closed(f->r, -ECONNREFUSED, f->now_ms);
	assert_in_range(registrar_next_ms(f->r) - f->now_ms, 1000, 1250);
}

static void short_registration_that_is_lost_waits(void **state)
{
	struct fixture *f = *state;

	register_now(f);
	run(f, 1000);
	registrar_on_closed(f->r, -ECONNRESET, f->now_ms);
	assert_in_range(registrar_next_ms(f->r) - f->now_ms, 1000, 1250);
	assert_non_null(strstr(registrar_error(f->r), "reset"));
}

static void network_change_ends_the_wait(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 40; i++) {
		f->now_ms = registrar_next_ms(f->r);
		registrar_tick(f->r, f->now_ms);
		registrar_on_closed(f->r, -ENETUNREACH, f->now_ms);
	}
	f->now_ms += 5000;
	registrar_network_changed(f->r, f->now_ms);
	assert_int_equal(registrar_next_ms(f->r), f->now_ms);
	registrar_tick(f->r, f->now_ms);
	assert_int_equal(registrar_state(f->r), REGISTRAR_CONNECTING);
	/* A change during the try is followed by another try, but changes do not set the pace. */
	registrar_network_changed(f->r, f->now_ms + 10);
	registrar_on_closed(f->r, -ENETUNREACH, f->now_ms + 20);
	assert_int_equal(registrar_next_ms(f->r), f->now_ms + 500);
	registrar_network_changed(f->r, f->now_ms + 30);
	assert_int_equal(registrar_next_ms(f->r), f->now_ms + 500);
}

/* ---------------------------------------------------------------- registered */

static void registered_node_pings_every_25_s(void **state)
{
	struct fixture *f = *state;
	unsigned before;

	register_now(f);
	before = f->n_frames;
	stay_registered(f, 600000);
	assert_in_range(f->n_frames - before, 23, 24);
	assert_int_equal(f->n_lost, 0);
}

static void silence_of_60_s_ends_the_registration(void **state)
{
	struct fixture *f = *state;

	register_now(f);
	run(f, 59999);
	assert_int_equal(registrar_state(f->r), REGISTRAR_REGISTERED);
	run(f, 1);
	assert_int_equal(f->n_lost, 1);
	assert_int_equal(f->n_disconnect, 1);
	assert_non_null(strstr(registrar_error(f->r), "for 60 s"));
}

static void ping_after_a_network_change_is_answered_within_3_s_or_else(void **state)
{
	struct fixture *f = *state;

	register_now(f);
	run(f, 5000);
	registrar_network_changed(f->r, f->now_ms);
	coordinator_pongs(f, 2999);
	run(f, 10000);
	assert_int_equal(registrar_state(f->r), REGISTRAR_REGISTERED);
	assert_int_equal(registrar_rtt_us(f->r), 2999000);
	registrar_network_changed(f->r, f->now_ms);
	run(f, 1000);
	registrar_network_changed(f->r, f->now_ms); /* does not prolong it */
	run(f, 1999);
	assert_int_equal(registrar_state(f->r), REGISTRAR_REGISTERED);
	run(f, 1);
	assert_int_equal(f->n_lost, 1);
	assert_int_equal(f->n_connect, 2); /* and the next try begins at once */
}

static void doubt_is_settled_within_1500_ms(void **state)
{
	struct fixture *f = *state;

	registrar_doubt(f->r, f->now_ms); /* not registered: nothing to doubt */
	register_now(f);
	run(f, 5000);
	registrar_doubt(f->r, f->now_ms);
	coordinator_pongs(f, 1499);
	run(f, 10000);
	assert_int_equal(registrar_state(f->r), REGISTRAR_REGISTERED);
	registrar_doubt(f->r, f->now_ms);
	run(f, 1499);
	assert_int_equal(registrar_state(f->r), REGISTRAR_REGISTERED);
	run(f, 1);
	assert_int_equal(f->n_lost, 1);
}

/* It says what it has against us, which is worth more than a closed connection. */
static void refused_certificate_is_told(void **state)
{
	struct fixture *f = *state;
	struct wire_init_payload payload;
	struct handshake h = { 0 };
	struct pubkey who;
	uint8_t out[WIRE_RESPONSE_BYTES];
	int len;

	connect_now(f);
	assert_int_equal(
		handshake_read_static(&h, &f->coordinator, HANDSHAKE_COORDINATOR, f->frame, f->frame_len, &who), 0);
	assert_int_equal(handshake_read_payload(&h, f->frame, f->frame_len, &payload), 0);
	len = handshake_refuse(&h, &f->coordinator, CERT_EXPIRED, out, sizeof(out));
	assert_int_equal(len, WIRE_RESPONSE_BYTES);
	registrar_on_frame(f->r, out, (size_t)len, f->now_ms);
	assert_int_equal(registrar_state(f->r), REGISTRAR_WAITING);
	assert_int_equal(registrar_fault(f->r), REGISTRAR_FAULT_KEY);
	assert_non_null(strstr(registrar_error(f->r), "our certificate: it has expired"));
	handshake_wipe(&h);
}

static void another_certificate_is_shown_at_once(void **state)
{
	struct fixture *f = *state;

	register_now(f);
	run(f, 600);
	registrar_again(f->r, f->now_ms);
	assert_int_equal(f->n_lost, 1);
	registrar_tick(f->r, f->now_ms);
	assert_int_equal(registrar_state(f->r), REGISTRAR_CONNECTING);
	assert_int_equal(f->n_connect, 2);
}

static void clock_skew_is_reckoned_from_the_middle_of_the_round_trip(void **state)
{
	struct fixture *f = *state;
	int64_t skew_ms;

	register_now(f); /* its coordinator told no time */
	assert_false(registrar_clock_skew(f->r, &skew_ms));
	f->pong_wall_ms = f->wall_ms - 10000;
	registrar_network_changed(f->r, f->now_ms);
	coordinator_pongs(f, 40);
	assert_true(registrar_clock_skew(f->r, &skew_ms));
	assert_int_equal(skew_ms, 10000 - 20);
	f->pong_wall_ms = f->wall_ms + 5000;
	run(f, 25000 - 40); /* the next ping leaves this moment */
	coordinator_pongs(f, 0);
	assert_true(registrar_clock_skew(f->r, &skew_ms));
	assert_true(skew_ms == -5000);
}

static void stale_pong_is_not_an_answer(void **state)
{
	struct fixture *f = *state;
	uint8_t message[32];

	register_now(f);
	registrar_network_changed(f->r, f->now_ms);
	coordinator_sends(f, message,
			  wire_pong_encode(message, sizeof(message), &(struct wire_pong){ .token = 12345 }));
	run(f, 3000);
	assert_int_equal(f->n_lost, 1);
}

static void clock_set_back_does_not_lock_us_out(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 10; i++) { /* the double refuses timestamps that do not rise */
		f->now_ms = registrar_next_ms(f->r);
		register_now(f);
		registrar_on_closed(f->r, 0, f->now_ms);
		f->wall_ms -= 1000000;
	}
	assert_int_equal(f->n_registered, 10);
}

static void freeing_a_registered_one_disconnects(void **state)
{
	struct fixture *f = *state;

	register_now(f);
	registrar_free(f->r);
	assert_int_equal(f->n_disconnect, 1);
	f->r = NULL;
	registrar_free(NULL);
}

static int start(void **state)
{
	(void)state;
	return crypto_start();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(whole_registration_gives_member_and_keys),
		TEST(messages_pass_both_ways_in_order),
		TEST(refused_droppable_frame_does_not_break_the_channel),
		TEST(ping_of_the_coordinator_is_answered),
		TEST(message_before_registration_is_not_passed_on),
		TEST(refusal_is_told_with_its_reason),
		TEST(node_with_our_key_elsewhere_is_not_fought),
		TEST(certificate_that_is_not_taken_is_a_fault_of_the_key),
		TEST(another_version_is_told),
		TEST(closing_during_the_handshake_is_told_as_a_refused_key),
		TEST(accepted_key_is_refused_no_more),
		TEST(wrong_coordinator_key_is_told),
		TEST(silent_server_ends_each_step_after_5_s),
		TEST(late_events_of_an_ended_try_are_ignored),
		TEST(damaged_frame_ends_the_registration),
		TEST(replayed_frame_ends_the_registration),
		TEST(malformed_message_ends_the_registration),
		TEST(random_frames_register_nobody),
		TEST(failing_send_ends_the_try),
		TEST(waits_grow_from_1_s_to_60_with_jitter),
		TEST(jitter_spreads_nodes),
		TEST(long_registration_that_is_lost_is_tried_at_once),
		TEST(short_registration_that_is_lost_waits),
		TEST(network_change_ends_the_wait),
		TEST(registered_node_pings_every_25_s),
		TEST(silence_of_60_s_ends_the_registration),
		TEST(ping_after_a_network_change_is_answered_within_3_s_or_else),
		TEST(doubt_is_settled_within_1500_ms),
		TEST(refused_certificate_is_told),
		TEST(another_certificate_is_shown_at_once),
		TEST(clock_skew_is_reckoned_from_the_middle_of_the_round_trip),
		TEST(stale_pong_is_not_an_answer),
		TEST(clock_set_back_does_not_lock_us_out),
		TEST(freeing_a_registered_one_disconnects),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
