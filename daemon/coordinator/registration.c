#include "daemon/coordinator/registration.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void registration_init(struct registration *r, const struct registration_env *env, void *arg,
		       const struct identity *identity, struct counters *counters, const struct endpoint *source,
		       uint64_t now_ms)
{
	memset(r, 0, sizeof(*r));
	r->env = env;
	r->arg = arg;
	r->identity = identity;
	r->counters = counters;
	r->source = *source;
	r->opened_ms = r->heard_ms = now_ms;
}

void registration_fini(struct registration *r)
{
	for (unsigned i = 0; i < REGISTRATION_LATER_MAX; i++)
		later_cancel(&r->later[i]);
	relay_link_unref(r->link);
	r->link = NULL;
	free(r->cert);
	r->cert = NULL;
	channel_wipe(&r->channel);
	sodium_memzero(&r->keys, sizeof(r->keys));
}

void registration_close(struct registration *r)
{
	if (r->state == REGISTRATION_CLOSED)
		return;
	r->state = REGISTRATION_CLOSED;
	r->env->close(r->arg, r);
}

uint64_t registration_deadline_ms(const struct registration *r)
{
	switch (r->state) {
	case REGISTRATION_HANDSHAKING:
	case REGISTRATION_CONFIRMING:
		return r->opened_ms + REGISTRATION_HANDSHAKE_MS;
	case REGISTRATION_REFUSING:
		return r->refuse_ms;
	case REGISTRATION_REGISTERED:
		return r->heard_ms + REGISTRATION_SILENCE_MS;
	case REGISTRATION_CLOSED:
		break;
	}
	return UINT64_MAX;
}

void registration_due(struct registration *r)
{
	if (r->state == REGISTRATION_REFUSING)
		r->env->send(r->arg, r, r->refusal, r->refusal_len);
	registration_close(r);
}

int registration_send(struct registration *r, const uint8_t *message, size_t len, bool is_droppable)
{
	uint8_t sealed[WIRE_FRAME_MAX_BYTES];

	if (r->state != REGISTRATION_CONFIRMING && r->state != REGISTRATION_REGISTERED)
		return -ENOTCONN;
	if (len > WIRE_CONTROL_MAX_BYTES)
		return -EMSGSIZE;
	/* Asked before sealing: a sealed frame that is not sent would leave a gap in the channel's count. */
	if (is_droppable && registration_queued_percent(r) > 100)
		return -ENOBUFS;
	len = channel_seal(&r->channel, sealed, message, len);
	r->env->send(r->arg, r, sealed, len);
	return 0;
}

unsigned registration_queued_percent(const struct registration *r)
{
	return r->env->queued_percent(r->arg, r);
}

void registration_refuse(struct registration *r, enum refused_reason reason, const char *text)
{
	struct wire_refused refused = { .reason = (uint8_t)reason };
	uint8_t message[256];
	int len;

	snprintf(refused.text, sizeof(refused.text), "%s", text);
	len = wire_refused_encode(message, sizeof(message), &refused);
	if (len > 0)
		registration_send(r, message, (size_t)len, false);
	registration_close(r);
}

int registration_accept(struct registration *r, struct member *m, uint32_t local_index, uint32_t remote_index)
{
	struct handshake_keys *k = &r->keys;

	r->link = relay_link_new(k->udp_send, k->udp_recv, k->tag_send, k->tag_recv, local_index, remote_index, r);
	sodium_memzero(k, sizeof(*k));
	if (!r->link) {
		registration_close(r);
		return -ENOMEM;
	}
	free(r->cert);
	r->cert = NULL;
	r->member = m;
	r->state = REGISTRATION_REGISTERED;
	return 0;
}

/* Under a network key the certificate says who is a member. 0, or an error, and refusing if why is to be said. */
static int judge_certificate(struct registration *r, struct handshake *h, const struct wire_trust *shown,
			     uint64_t now_ms)
{
	enum cert_verdict v;
	int len;

	r->cert = malloc(sizeof(*r->cert));
	if (!r->cert)
		return -ENOMEM;
	v = r->env->judge(r->arg, r, shown, r->cert);
	if (v == CERT_GOOD)
		return 0;
	counters_inc(r->counters, COUNTER_handshake_untrusted);
	len = handshake_refuse(h, r->identity, v, r->refusal, sizeof(r->refusal));
	if (len > 0) {
		r->state = REGISTRATION_REFUSING;
		r->refusal_len = (uint16_t)len;
		r->refuse_ms = now_ms + REGISTRATION_REFUSAL_MS;
	}
	return -EACCES;
}

/* The checks in SECURITY's order, the dear ones last. 0 when the initiation was answered. */
static int answer_initiation(struct registration *r, const uint8_t *body, size_t len, uint64_t now_ms)
{
	struct wire_init_payload payload;
	uint8_t response[WIRE_RESPONSE_MAX_BYTES];
	struct wire_init init;
	struct handshake h;
	int ret;

	if (wire_init_decode(&init, body, len) < 0) {
		counters_inc(r->counters, COUNTER_handshake_malformed);
		return -EBADMSG;
	}
	if (!handshake_mac1_ok(r->identity, body, len, init.mac1_at)) {
		counters_inc(r->counters, COUNTER_handshake_bad_mac);
		return -EBADMSG;
	}
	memset(&h, 0, sizeof(h));
	ret = handshake_read_static(&h, r->identity, HANDSHAKE_COORDINATOR, body, len, &r->key);
	if (ret) {
		counters_inc(r->counters, COUNTER_handshake_bad_auth);
		goto out;
	}
	if (!r->identity->trust && !r->env->find(r->arg, r, &r->key)) {
		counters_inc(r->counters, COUNTER_control_unknown_key);
		ret = -EACCES;
		goto out;
	}
	ret = handshake_read_payload(&h, body, len, &payload);
	if (ret) {
		counters_inc(r->counters, COUNTER_handshake_bad_auth);
		goto out;
	}
	ret = r->identity->trust ? judge_certificate(r, &h, &payload.trust, now_ms) : 0;
	if (ret)
		goto out;
	ret = handshake_respond(&h, r->identity, &payload, 0, response, sizeof(response), &r->keys);
	if (ret < 0)
		goto out;
	channel_init(&r->channel, r->keys.send, r->keys.recv);
	sodium_memzero(r->keys.send, sizeof(r->keys.send));
	sodium_memzero(r->keys.recv, sizeof(r->keys.recv));
	counters_inc(r->counters, COUNTER_handshakes_answered);
	r->env->send(r->arg, r, response, (size_t)ret);
	ret = 0;
out:
	handshake_wipe(&h);
	return ret;
}

static void confirm(struct registration *r, const uint8_t *message, size_t len, uint64_t now_ms)
{
	struct wire_register m;

	if (wire_register_decode(&m, message, len) < 0) {
		counters_inc(r->counters, COUNTER_control_bad_frame);
		registration_close(r);
		return;
	}
	counters_inc(r->counters, COUNTER_handshakes_completed);
	r->env->registering(r->arg, r, &m, now_ms);
}

void registration_on_frame(struct registration *r, uint8_t *body, size_t len, uint64_t now_ms)
{
	int ret, type;

	if (r->state == REGISTRATION_CLOSED || r->state == REGISTRATION_REFUSING)
		return;
	if (r->state == REGISTRATION_HANDSHAKING) {
		ret = answer_initiation(r, body, len, now_ms);
		if (ret < 0 && r->state != REGISTRATION_REFUSING)
			registration_close(r);
		else if (r->state == REGISTRATION_HANDSHAKING) /* sending can have closed it */
			r->state = REGISTRATION_CONFIRMING;
		return;
	}
	ret = len < CHANNEL_TAG_BYTES ? -EBADMSG : channel_open(&r->channel, body, body, len);
	type = ret < 0 ? ret : wire_control_type_of(body, (size_t)ret);
	if (type < 0) {
		counters_inc(r->counters, COUNTER_control_bad_frame);
		registration_close(r);
		return;
	}
	r->heard_ms = now_ms;
	if (r->state == REGISTRATION_CONFIRMING)
		confirm(r, body, (size_t)ret, now_ms);
	else
		r->env->message(r->arg, r, type, body, (size_t)ret, now_ms);
}
