#include "daemon/coordinator/forward.h"

#include <errno.h>
#include <string.h>

void forward_init(struct forward *f, const struct directory *directory, struct counters *counters,
		  const struct config *config, uint64_t now_ms)
{
	memset(f, 0, sizeof(*f));
	f->directory = directory;
	f->counters = counters;
	quota_init(&f->total, config->relay.rate_total, 0, now_ms);
	forward_reload(f, config);
}

void forward_reload(struct forward *f, const struct config *config)
{
	struct member *m;

	f->is_enabled = config->relay.enabled;
	f->rate_per_peer = config->relay.rate_per_peer;
	f->packets_per_peer = config->relay.packets_per_peer;
	quota_set(&f->total, config->relay.rate_total, 0);
	for (unsigned i = 0; (m = directory_at(f->directory, i)); i++) {
		if (m->has_limits)
			quota_set(&m->quota, f->rate_per_peer, f->packets_per_peer);
	}
}

void forward_admit(const struct forward *f, struct member *m, uint64_t now_ms)
{
	quota_init(&m->quota, f->rate_per_peer, f->packets_per_peer, now_ms);
}

/* The receiver of `len` bytes if the sender may send them to it, else NULL, counted. */
static struct member *admit(struct forward *f, struct member *sender, uint32_t receiver, size_t len, uint64_t now_ms)
{
	struct member *m;

	if (!f->is_enabled) {
		counters_inc(f->counters, COUNTER_relay_not_allowed);
		return NULL;
	}
	m = directory_by_id(f->directory, receiver);
	if (!m || !m->registration || m == sender) {
		counters_inc(f->counters, COUNTER_relay_no_receiver);
		return NULL;
	}
	/* The sender's own limit first: who is over it uses up nothing of the others'. */
	if (!quota_take(&sender->quota, len, now_ms) || !quota_take(&f->total, len, now_ms)) {
		counters_inc(f->counters, COUNTER_relay_over_rate);
		return NULL;
	}
	return m;
}

static void count(struct forward *f, struct member *sender, struct member *receiver, size_t len)
{
	counters_inc(f->counters, COUNTER_relay_forwarded_datagrams);
	counters_add(f->counters, COUNTER_relay_forwarded_bytes, len);
	sender->relayed_from += len;
	receiver->relayed_to += len;
}

static void send_over_tcp(struct forward *f, struct member *sender, struct member *receiver, const uint8_t *payload,
			  size_t len)
{
	uint8_t message[WIRE_CONTROL_MAX_BYTES];
	int at;

	if (len > WIRE_CONTROL_RELAY_MAX_BYTES) {
		counters_inc(f->counters, COUNTER_drop_too_big);
		return;
	}
	at = wire_control_relay_encode(message, sizeof(message), sender->id);
	memcpy(message + at, payload, len);
	if (registration_send(receiver->registration, message, (size_t)at + len, true) < 0)
		counters_inc(f->counters, COUNTER_drop_queue_full);
	else
		count(f, sender, receiver, len);
}

const struct way *forward_datagram(struct forward *f, struct registration *r, const struct way *from,
				   const struct wire_relay *relay, uint8_t *data, uint64_t now_ms)
{
	struct member *receiver;
	const struct way *way;

	int ret;

	/* Before the window: a captured datagram that is sent from elsewhere must not use up its counter. */
	if (!bound_is_source(&r->bound, &from->peer)) {
		counters_inc(f->counters, COUNTER_relay_bad_source);
		return NULL;
	}
	ret = relay_link_check(r->link, relay, data);
	if (ret) {
		counters_inc(f->counters, ret == -EALREADY ? COUNTER_drop_replay : COUNTER_drop_auth);
		return NULL;
	}
	receiver = admit(f, r->member, relay->member, relay->payload_len, now_ms);
	if (!receiver)
		return NULL;
	way = bound_way(&receiver->registration->bound, now_ms);
	if (!way) {
		send_over_tcp(f, r->member, receiver, relay->payload, relay->payload_len);
		return NULL;
	}
	relay_link_wrap(receiver->registration->link, data, r->member->id, relay->payload_len);
	count(f, r->member, receiver, relay->payload_len);
	return way;
}

void forward_message(struct forward *f, struct registration *r, const uint8_t *data, size_t len, uint64_t now_ms)
{
	const uint8_t *payload;
	struct member *receiver;
	size_t payload_len;
	uint32_t id;

	if (wire_control_relay_decode(&id, &payload, &payload_len, data, len) < 0) {
		counters_inc(f->counters, COUNTER_control_bad_frame);
		return;
	}
	receiver = admit(f, r->member, id, payload_len, now_ms);
	if (receiver)
		send_over_tcp(f, r->member, receiver, payload, payload_len);
}
