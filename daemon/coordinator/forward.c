#include "daemon/coordinator/forward.h"

#include <errno.h>
#include <string.h>

#include "daemon/base/log.h"

/* ---------------------------------------------------------------- the roster */

static void free_roster(struct epochs_item *item)
{
	roster_free((struct roster *)item);
}

/* NULL if memory is short. */
static struct roster *roster_of(const struct directory *directory)
{
	struct roster *roster;
	struct member *m;
	unsigned n = 0;

	for (unsigned i = 0; (m = directory_at(directory, i)); i++)
		n += m->registration != NULL;
	roster = roster_new(n);
	for (unsigned i = 0; roster && (m = directory_at(directory, i)); i++) {
		const struct registration *r = m->registration;
		struct roster_end end = { .member = m->id, .account = m->account };

		if (!r)
			continue;
		end.link = r->link;
		end.is_bound = r->bound.is_bound;
		end.way = r->bound.way;
		roster_add(roster, &end);
	}
	return roster;
}

void forward_changed(struct forward *f)
{
	f->is_stale = true;
}

void forward_publish(struct forward *f)
{
	struct roster *roster;

	if (!f->is_stale)
		return;
	roster = roster_of(f->directory);
	if (!roster) {
		if (!f->is_short)
			log_error("memory is short: the relay keeps what it knew until there is more");
		f->is_short = true;
		return;
	}
	f->is_stale = f->is_short = false;
	epochs_publish_take(&f->rosters, &roster->item);
}

/* ---------------------------------------------------------------- limits */

int forward_init(struct forward *f, const struct directory *directory, struct counters *counters,
		 const struct config *config, uint64_t now_ms)
{
	struct roster *roster = roster_of(directory);

	memset(f, 0, sizeof(*f));
	if (!roster)
		return -ENOMEM;
	f->directory = directory;
	f->counters = counters;
	fair_init(&f->fair, now_ms);
	epochs_init(&f->rosters, free_roster);
	epochs_publish_take(&f->rosters, &roster->item);
	quota_init(&f->total, config->relay.rate_total, 0, now_ms);
	forward_reload(f, config);
	return 0;
}

void forward_fini(struct forward *f)
{
	epochs_fini(&f->rosters);
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
			quota_set(&m->account->quota, f->rate_per_peer, f->packets_per_peer);
	}
}

void forward_admit(const struct forward *f, struct member *m, uint64_t now_ms)
{
	quota_init(&m->account->quota, f->rate_per_peer, f->packets_per_peer, now_ms);
}

static bool admit(struct forward *f, struct relay_account *sender, size_t len, uint64_t now_ms,
		  struct counters *counters)
{
	if (quota_take_shared(&sender->quota, &f->total, len, now_ms))
		return true;
	counters_inc(counters, COUNTER_relay_over_rate);
	return false;
}

static bool is_allowed(const struct forward *f, struct counters *counters)
{
	if (f->is_enabled)
		return true;
	counters_inc(counters, COUNTER_relay_not_allowed);
	return false;
}

static void count(struct relay_account *sender, struct relay_account *receiver, size_t len, struct counters *counters)
{
	counters_inc(counters, COUNTER_relay_forwarded_datagrams);
	counters_add(counters, COUNTER_relay_forwarded_bytes, len);
	atomic_fetch_add_explicit(&sender->sent_bytes, len, memory_order_relaxed);
	atomic_fetch_add_explicit(&receiver->got_bytes, len, memory_order_relaxed);
}

/* ---------------------------------------------------------------- workers */

/* Was its endpoint proven lately? */
static bool is_proven(const struct roster_end *end, uint64_t now_ms)
{
	return end->is_bound && now_ms < atomic_load_explicit(&end->account->proven_until_ms, memory_order_relaxed);
}

/* From its bound endpoint, fresh, and tagged with its key. */
static bool is_genuine(const struct roster_end *sender, const struct way *from, const struct wire_relay *relay,
		       const uint8_t *data, struct counters *counters)
{
	int ret;

	/* Before the window: a captured datagram that is sent from elsewhere must not use up its counter. */
	if (!sender->is_bound || !endpoint_equal(&sender->way.peer, &from->peer)) {
		counters_inc(counters, COUNTER_relay_bad_source);
		return false;
	}
	ret = relay_link_check(sender->link, relay, data);
	if (ret)
		counters_inc(counters, ret == -EALREADY ? COUNTER_drop_replay : COUNTER_drop_auth);
	return ret == 0;
}

struct forwarded forward_datagram(struct forward *f, const struct roster *roster, const struct way *from,
				  const struct wire_relay *relay, uint8_t *data, uint64_t now_ms,
				  struct counters *counters)
{
	const struct roster_end *sender = roster_by_index(roster, relay->index), *receiver;
	struct forwarded result = { .way = NULL };

	if (!sender) {
		counters_inc(counters, COUNTER_drop_unknown_index);
		return result;
	}
	if (!is_genuine(sender, from, relay, data, counters) || !is_allowed(f, counters))
		return result;
	receiver = roster_by_member(roster, relay->member);
	if (receiver == sender) {
		counters_inc(counters, COUNTER_relay_no_receiver);
		return result;
	}
	if (!admit(f, sender->account, relay->payload_len, now_ms, counters))
		return result;
	/* One that is not there may have come since the roster was made: the loop knows. */
	if (!receiver || !is_proven(receiver, now_ms)) {
		result.is_mail = true;
		result.sender = sender->member;
		result.receiver = relay->member;
		return result;
	}
	relay_link_wrap(receiver->link, data, sender->member, relay->payload_len);
	count(sender->account, receiver->account, relay->payload_len, counters);
	result.way = &receiver->way;
	return result;
}

/* ---------------------------------------------------------------- the loop */

static struct member *receiver_of(struct forward *f, const struct member *sender, uint32_t id)
{
	struct member *m = directory_by_id(f->directory, id);

	if (m && m->registration && m != sender)
		return m;
	counters_inc(f->counters, COUNTER_relay_no_receiver);
	return NULL;
}

static void send_over_tcp(struct forward *f, struct member *sender, struct member *receiver, const uint8_t *payload,
			  size_t len, uint64_t now_ms)
{
	uint8_t message[WIRE_CONTROL_MAX_BYTES];
	int at;

	if (len > WIRE_CONTROL_RELAY_MAX_BYTES) {
		counters_inc(f->counters, COUNTER_drop_too_big);
		return;
	}
	/* Half of the queue is everybody's; the rest is for those who are not the heaviest. */
	if (!fair_admit(&f->fair, sender->id, len, registration_queued_percent(receiver->registration) > 50, now_ms)) {
		counters_inc(f->counters, COUNTER_relay_over_share);
		return;
	}
	at = wire_control_relay_encode(message, sizeof(message), sender->id);
	memcpy(message + at, payload, len);
	if (registration_send(receiver->registration, message, (size_t)at + len, true) < 0)
		counters_inc(f->counters, COUNTER_drop_queue_full);
	else
		count(sender->account, receiver->account, len, f->counters);
}

void forward_mail(struct forward *f, uint32_t sender, uint32_t receiver, const uint8_t *payload, size_t len,
		  uint64_t now_ms)
{
	struct member *from = directory_by_id(f->directory, sender), *to;

	if (!from || !from->registration) { /* it ended meanwhile */
		counters_inc(f->counters, COUNTER_drop_unknown_index);
		return;
	}
	to = receiver_of(f, from, receiver);
	if (to)
		send_over_tcp(f, from, to, payload, len, now_ms);
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
	if (!is_allowed(f, f->counters))
		return;
	receiver = receiver_of(f, r->member, id);
	if (receiver && admit(f, r->member->account, payload_len, now_ms, f->counters))
		send_over_tcp(f, r->member, receiver, payload, payload_len, now_ms);
}
