#include "daemon/peer/registrar.h"

#include <errno.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/log.h"
#include "daemon/peer/sessions.h"

#define WAIT_FIRST_MS 1000
#define WAIT_MAX_MS 60000
#define WAIT_OUTAGE_MAX_MS 1500 /* during the first OUTAGE_MS */
#define OUTAGE_MS 120000
#define STABLE_MS 2000 /* it worked: not refused, not replaced by a twin */
#define TRY_SPACING_MS 500
#define STEP_MS 5000
#define PING_MS 25000
#define SILENCE_MS 60000
#define CHANGE_PING_MS 3000
#define DOUBT_PING_MS 1500

struct registrar {
	const struct registrar_env *env;
	void *arg;
	const struct identity *identity;
	struct pubkey coordinator;
	char name[WIRE_NAME_MAX_BYTES + 1];
	uint64_t boot_id;
	uint32_t index;

	enum registrar_state state;
	uint64_t since_ms;      /* of the state */
	uint64_t due_ms;        /* waiting: the next try; up to registered: the end of the step */
	uint64_t tried_ms;      /* the last try's start */
	uint64_t outage_ms;     /* when registration was lost, or we began */
	uint64_t wait_ms;       /* the next, before jitter */
	bool is_change_pending; /* the network changed during this try: it may have failed by that */
	struct handshake handshake;
	uint8_t last_timestamp[WIRE_TIMESTAMP_BYTES];
	struct handshake_keys keys; /* until registered */
	struct channel channel;     /* from registering on */

	uint64_t ping_token, ping_sent_ms, ping_due_ms;
	uint64_t ping_deadline_ms; /* 0: none */
	uint64_t last_frame_ms;
	uint32_t rtt_us;
	bool has_skew;
	int64_t skew_ms;
	enum registrar_fault fault;
	char error[256];
};

static uint64_t min_of(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void enter(struct registrar *r, enum registrar_state state, uint64_t now_ms)
{
	r->state = state;
	r->since_ms = now_ms;
	r->due_ms = now_ms + STEP_MS;
}

static void wipe(struct registrar *r)
{
	handshake_wipe(&r->handshake);
	channel_wipe(&r->channel);
	sodium_memzero(&r->keys, sizeof(r->keys));
}

static void schedule(struct registrar *r, bool at_once, uint64_t now_ms)
{
	uint64_t wait_ms = r->wait_ms;

	if (at_once) {
		r->due_ms = now_ms > r->tried_ms + TRY_SPACING_MS ? now_ms : r->tried_ms + TRY_SPACING_MS;
		return;
	}
	if (now_ms - r->outage_ms < OUTAGE_MS && wait_ms < WAIT_MAX_MS)
		wait_ms = min_of(wait_ms, WAIT_OUTAGE_MAX_MS);
	r->wait_ms = min_of(wait_ms * 2, WAIT_MAX_MS);
	if (now_ms - r->outage_ms < OUTAGE_MS)
		r->wait_ms = min_of(r->wait_ms, WAIT_OUTAGE_MAX_MS);
	r->due_ms = now_ms + wait_ms + randombytes_uniform((uint32_t)(wait_ms / 4) + 1);
}

/* The try, or the registration, has ended; r->error says why. */
static void end(struct registrar *r, bool is_closed, uint64_t now_ms)
{
	bool was_registered = r->state == REGISTRAR_REGISTERED, at_once = r->is_change_pending;

	if (was_registered) {
		r->outage_ms = now_ms;
		if (now_ms - r->since_ms > STABLE_MS) {
			at_once = true;
			r->wait_ms = WAIT_FIRST_MS;
		}
	}
	wipe(r);
	r->is_change_pending = false;
	r->ping_deadline_ms = 0;
	r->rtt_us = 0;
	enter(r, REGISTRAR_WAITING, now_ms);
	schedule(r, at_once, now_ms);
	/* Last: they may call back. */
	if (!is_closed)
		r->env->disconnect(r->arg);
	if (was_registered)
		r->env->lost(r->arg);
}

static void __attribute__((format(printf, 3, 4)))
set_error(struct registrar *r, enum registrar_fault fault, const char *fmt, ...)
{
	va_list args;

	r->fault = fault;
	va_start(args, fmt);
	vsnprintf(r->error, sizeof(r->error), fmt, args);
	va_end(args);
}

struct registrar *registrar_new(const struct registrar_env *env, void *arg, const struct identity *identity,
				const struct pubkey *coordinator, const char *own_name, uint64_t boot_id,
				uint32_t index, uint64_t now_ms)
{
	struct registrar *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->env = env;
	r->arg = arg;
	r->identity = identity;
	r->coordinator = *coordinator;
	snprintf(r->name, sizeof(r->name), "%s", own_name);
	r->boot_id = boot_id;
	r->index = index;
	r->outage_ms = now_ms;
	r->wait_ms = WAIT_FIRST_MS;
	enter(r, REGISTRAR_WAITING, now_ms);
	r->due_ms = now_ms;
	return r;
}

void registrar_free(struct registrar *r)
{
	if (!r)
		return;
	if (r->state != REGISTRAR_WAITING)
		r->env->disconnect(r->arg);
	wipe(r);
	sodium_memzero(r, sizeof(*r));
	free(r);
}

/* Seals one control message and sends it. A refused frame leaves the channel as it was: it has not gone anywhere, and
 * the next one must take its number. */
static int send_sealed(struct registrar *r, const uint8_t *message, size_t len, bool is_droppable)
{
	uint8_t body[WIRE_FRAME_MAX_BYTES];
	struct channel before = r->channel;
	int ret;

	static_assert(WIRE_CONTROL_MAX_BYTES + CHANNEL_TAG_BYTES <= WIRE_FRAME_MAX_BYTES, "a message fits a frame");
	if (len > WIRE_CONTROL_MAX_BYTES)
		return -EMSGSIZE;
	ret = r->env->send(r->arg, body, channel_seal(&r->channel, body, message, len), is_droppable);
	/* If the stream closed itself meanwhile, there is no channel any more to be put back. */
	if (ret == -ENOBUFS && r->state >= REGISTRAR_REGISTERING)
		r->channel = before;
	channel_wipe(&before);
	return ret;
}

int registrar_send(struct registrar *r, const uint8_t *message, size_t len, bool is_droppable)
{
	if (r->state != REGISTRAR_REGISTERED)
		return -ENOTCONN;
	return send_sealed(r, message, len, is_droppable);
}

static void send_ping(struct registrar *r, uint64_t now_ms)
{
	uint8_t message[16];
	int len;

	randombytes_buf(&r->ping_token, sizeof(r->ping_token));
	r->ping_sent_ms = now_ms;
	r->ping_due_ms = now_ms + PING_MS;
	len = wire_ping_encode(message, sizeof(message), r->ping_token);
	if (len > 0) /* if it does not get out, its silence ends the registration */
		send_sealed(r, message, (size_t)len, false);
}

void registrar_on_connected(struct registrar *r, uint64_t now_ms)
{
	uint8_t data[WIRE_INIT_MAX_BYTES];
	int ret;

	if (r->state != REGISTRAR_CONNECTING)
		return;
	enter(r, REGISTRAR_HANDSHAKING, now_ms);
	timestamp_advance(r->last_timestamp, r->env->wall_ms(r->arg));
	ret = handshake_initiate(&r->handshake, r->identity, HANDSHAKE_COORDINATOR, &r->coordinator, r->index,
				 r->last_timestamp, NULL, data, sizeof(data));
	if (ret > 0)
		ret = r->env->send(r->arg, data, (size_t)ret, false);
	if (ret < 0 && r->state == REGISTRAR_HANDSHAKING) {
		set_error(r, REGISTRAR_FAULT_LOST, "the handshake could not be sent: %s", strerror(-ret));
		end(r, false, now_ms);
	}
}

static void on_response(struct registrar *r, const uint8_t *body, size_t len, uint64_t now_ms)
{
	struct wire_register m = { .version = WIRE_VERSION, .boot_id = r->boot_id, .index = r->index };
	uint8_t message[128];
	int ret = handshake_finish(&r->handshake, r->identity, body, len, &r->keys, NULL);

	if (ret == -EACCES) {
		set_error(r, REGISTRAR_FAULT_KEY, "the coordinator refuses our certificate: it %s",
			  cert_verdict_text((enum cert_verdict)r->handshake.refusal));
		end(r, false, now_ms);
		return;
	}
	if (ret < 0) {
		/* Over a stream nobody else can have slipped it in unnoticed: what follows would be no better. */
		set_error(r, REGISTRAR_FAULT_FOREIGN,
			  "the answer to the handshake does not come from the coordinator's key: is its public_key "
			  "right here?");
		end(r, false, now_ms);
		return;
	}
	enter(r, REGISTRAR_REGISTERING, now_ms);
	r->fault = REGISTRAR_FAULT_NONE;
	channel_init(&r->channel, r->keys.send, r->keys.recv);
	memcpy(m.name, r->name, sizeof(m.name));
	ret = wire_register_encode(message, sizeof(message), &m);
	if (ret > 0)
		ret = send_sealed(r, message, (size_t)ret, false);
	if (ret < 0 && r->state == REGISTRAR_REGISTERING) {
		set_error(r, REGISTRAR_FAULT_LOST, "the registration could not be sent: %s", strerror(-ret));
		end(r, false, now_ms);
	}
}

static void on_registered(struct registrar *r, const struct wire_registered *m, uint64_t now_ms)
{
	struct handshake_keys keys = r->keys;

	sodium_memzero(&r->keys, sizeof(r->keys));
	enter(r, REGISTRAR_REGISTERED, now_ms);
	r->error[0] = '\0';
	r->fault = REGISTRAR_FAULT_NONE;
	r->is_change_pending = false;
	r->last_frame_ms = now_ms;
	send_ping(r, now_ms); /* a round-trip time to show */
	if (r->state == REGISTRAR_REGISTERED)
		r->env->registered(r->arg, m, &keys);
	sodium_memzero(&keys, sizeof(keys));
}

static const char *refused_text(uint8_t reason)
{
	switch (reason) {
	case REFUSED_VERSION:
		return "the coordinator speaks another version of the protocol";
	case REFUSED_REPLACED:
		return "another node registered with this node's private key";
	case REFUSED_REMOVED:
		return "the coordinator has removed this member";
	case REFUSED_NO_ADDRESS:
		return "the coordinator has no address left for this member";
	case REFUSED_CERTIFICATE:
		return "the coordinator does not take this node's certificate";
	default:
		return "the coordinator refused the registration";
	}
}

static enum registrar_fault refused_fault(uint8_t reason)
{
	switch (reason) {
	case REFUSED_VERSION:
		return REGISTRAR_FAULT_VERSION;
	case REFUSED_CERTIFICATE:
		return REGISTRAR_FAULT_KEY;
	default:
		return REGISTRAR_FAULT_REFUSED;
	}
}

static void on_refused(struct registrar *r, const struct wire_refused *m, uint64_t now_ms)
{
	char text[160];

	log_escape(text, sizeof(text), m->text, strnlen(m->text, sizeof(m->text)));
	set_error(r, refused_fault(m->reason), "%s%s%s%s", refused_text(m->reason), text[0] ? " (" : "", text,
		  text[0] ? ")" : "");
	if (r->state == REGISTRAR_REGISTERED)
		r->since_ms = now_ms; /* not lost by accident: no try at once */
	r->is_change_pending = false;
	if (m->reason == REFUSED_REPLACED)
		r->wait_ms = WAIT_MAX_MS;
	end(r, false, now_ms);
}

static void on_pong(struct registrar *r, const struct wire_pong *m, uint64_t now_ms)
{
	uint64_t rtt_ms = now_ms - r->ping_sent_ms;

	if (r->ping_sent_ms == 0 || m->token != r->ping_token)
		return;
	r->has_skew = m->wall_ms != 0;
	/* It was read half a round trip ago. */
	r->skew_ms = (int64_t)(r->env->wall_ms(r->arg) - rtt_ms / 2 - m->wall_ms);
	r->ping_sent_ms = 0; /* answered; a second pong is none */
	r->ping_deadline_ms = 0;
	r->rtt_us = rtt_ms ? (uint32_t)min_of(rtt_ms * 1000, UINT32_MAX) : 500; /* less than a tick of the clock */
}

/* One opened message. -EBADMSG: the coordinator's own messages must be well-formed. */
static int on_message(struct registrar *r, const uint8_t *data, size_t len, uint64_t now_ms)
{
	int ret = 0, type = wire_control_type_of(data, len);
	bool is_registered = r->state == REGISTRAR_REGISTERED;
	struct wire_registered registered;
	struct wire_refused refused;
	struct wire_pong pong = { 0 };
	uint8_t answer[32];

	if (type < 0)
		return type;
	switch (type) {
	case CONTROL_REGISTERED:
		ret = wire_registered_decode(&registered, data, len);
		if (ret == 0 && !is_registered)
			on_registered(r, &registered, now_ms);
		return ret;
	case CONTROL_REFUSED:
		ret = wire_refused_decode(&refused, data, len);
		if (ret == 0)
			on_refused(r, &refused, now_ms);
		return ret;
	case CONTROL_PING:
		ret = wire_ping_decode(&pong.token, data, len);
		if (ret < 0)
			return ret;
		ret = wire_pong_encode(answer, sizeof(answer), &pong);
		if (ret > 0)
			send_sealed(r, answer, (size_t)ret, false);
		return 0;
	case CONTROL_PONG:
		ret = wire_pong_decode(&pong, data, len);
		if (ret == 0 && is_registered)
			on_pong(r, &pong, now_ms);
		return ret;
	case CONTROL_FOUND:
	case CONTROL_INTRODUCE:
	case CONTROL_MEMBERS:
	case CONTROL_RELAY:
	case CONTROL_PEER_EVENT:
	case CONTROL_REVOCATIONS:
		if (is_registered)
			r->env->message(r->arg, type, data, len);
		return 0;
	default:
		return 0; /* a later version's */
	}
}

void registrar_on_frame(struct registrar *r, uint8_t *body, size_t len, uint64_t now_ms)
{
	int ret;

	if (r->state == REGISTRAR_HANDSHAKING) {
		on_response(r, body, len, now_ms);
		return;
	}
	if (r->state < REGISTRAR_REGISTERING)
		return; /* of a stream that is no more ours */
	ret = channel_open(&r->channel, body, body, len);
	if (ret >= 0) {
		r->last_frame_ms = now_ms;
		ret = on_message(r, body, (size_t)ret, now_ms);
	}
	if (ret < 0) {
		set_error(r, REGISTRAR_FAULT_LOST, "a frame from the coordinator was damaged");
		end(r, false, now_ms);
	}
}

void registrar_on_closed(struct registrar *r, int reason, uint64_t now_ms)
{
	const char *why = reason < 0 ? strerrordesc_np(-reason) : NULL; /* NULL: closed in order, or not the kernel's */

	switch (r->state) {
	case REGISTRAR_WAITING:
		return;
	case REGISTRAR_CONNECTING:
		set_error(r, REGISTRAR_FAULT_UNREACHABLE, "cannot connect to the coordinator: %s",
			  why ? why : "its name does not resolve");
		break;
	case REGISTRAR_HANDSHAKING:
		if (reason == -EBADMSG)
			set_error(r, REGISTRAR_FAULT_FOREIGN,
				  "what answers at the coordinator's endpoint is no coordinator");
		else
			set_error(r, REGISTRAR_FAULT_KEY,
				  "the coordinator closed the connection during the handshake: is our public key a "
				  "member there, and its public_key right here?");
		break;
	case REGISTRAR_REGISTERING:
		set_error(r, REGISTRAR_FAULT_LOST,
			  "the coordinator closed the connection before it answered the registration");
		break;
	case REGISTRAR_REGISTERED:
		set_error(r, REGISTRAR_FAULT_LOST, "the connection to the coordinator was lost: %s",
			  why ? why : "closed by the other end");
		break;
	}
	end(r, true, now_ms);
}

static void ping_within(struct registrar *r, uint64_t ms, uint64_t now_ms)
{
	if (r->ping_deadline_ms)
		return;
	r->ping_deadline_ms = now_ms + ms;
	send_ping(r, now_ms);
}

void registrar_network_changed(struct registrar *r, uint64_t now_ms)
{
	switch (r->state) {
	case REGISTRAR_WAITING:
		schedule(r, true, now_ms);
		break;
	case REGISTRAR_CONNECTING:
	case REGISTRAR_HANDSHAKING:
	case REGISTRAR_REGISTERING:
		r->is_change_pending = true;
		break;
	case REGISTRAR_REGISTERED:
		ping_within(r, CHANGE_PING_MS, now_ms);
		break;
	}
}

void registrar_doubt(struct registrar *r, uint64_t now_ms)
{
	if (r->state == REGISTRAR_REGISTERED)
		ping_within(r, DOUBT_PING_MS, now_ms);
}

void registrar_again(struct registrar *r, uint64_t now_ms)
{
	if (r->state == REGISTRAR_WAITING) {
		schedule(r, true, now_ms);
		return;
	}
	set_error(r, REGISTRAR_FAULT_LOST, "our certificate is another one now");
	r->is_change_pending = true;
	end(r, false, now_ms);
}

static void tick_registered(struct registrar *r, uint64_t now_ms)
{
	if (r->ping_deadline_ms && now_ms >= r->ping_deadline_ms) {
		set_error(r, REGISTRAR_FAULT_LOST,
			  "the coordinator did not answer when it was asked whether the way there is still open");
		r->is_change_pending = true; /* try anew at once, by the new way */
		end(r, false, now_ms);
	} else if (now_ms - r->last_frame_ms >= SILENCE_MS) {
		set_error(r, REGISTRAR_FAULT_LOST, "nothing came from the coordinator for %d s", SILENCE_MS / 1000);
		end(r, false, now_ms);
	} else if (now_ms >= r->ping_due_ms) {
		send_ping(r, now_ms);
	}
}

void registrar_tick(struct registrar *r, uint64_t now_ms)
{
	static const char *const steps[] = {
		[REGISTRAR_CONNECTING] = "the coordinator cannot be reached",
		[REGISTRAR_HANDSHAKING] = "the coordinator did not answer the handshake",
		[REGISTRAR_REGISTERING] = "the coordinator did not answer the registration",
	};

	if (now_ms < registrar_next_ms(r))
		return;
	switch (r->state) {
	case REGISTRAR_WAITING:
		r->tried_ms = now_ms;
		enter(r, REGISTRAR_CONNECTING, now_ms);
		r->env->connect(r->arg);
		break;
	case REGISTRAR_CONNECTING:
	case REGISTRAR_HANDSHAKING:
	case REGISTRAR_REGISTERING:
		set_error(r, r->state == REGISTRAR_CONNECTING ? REGISTRAR_FAULT_UNREACHABLE : REGISTRAR_FAULT_SILENT,
			  "%s within %d s", steps[r->state], STEP_MS / 1000);
		end(r, false, now_ms);
		break;
	case REGISTRAR_REGISTERED:
		tick_registered(r, now_ms);
		break;
	}
}

uint64_t registrar_next_ms(const struct registrar *r)
{
	uint64_t next;

	if (r->state != REGISTRAR_REGISTERED)
		return r->due_ms;
	next = min_of(r->ping_due_ms, r->last_frame_ms + SILENCE_MS);
	return r->ping_deadline_ms ? min_of(next, r->ping_deadline_ms) : next;
}

enum registrar_state registrar_state(const struct registrar *r)
{
	return r->state;
}

uint64_t registrar_since_ms(const struct registrar *r)
{
	return r->since_ms;
}

uint32_t registrar_rtt_us(const struct registrar *r)
{
	return r->rtt_us;
}

bool registrar_clock_skew(const struct registrar *r, int64_t *skew_ms)
{
	*skew_ms = r->skew_ms;
	return r->has_skew;
}

const char *registrar_error(const struct registrar *r)
{
	return r->error;
}

enum registrar_fault registrar_fault(const struct registrar *r)
{
	return r->fault;
}
