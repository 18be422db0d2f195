#include "daemon/coordinator/relayer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/clock.h"

#define ROUNDS 4 /* batches of one port before the other gets its turn */
/* Of a socket's buffers. The kernel gives room to receive back in quarters, so what is refused then makes as much at once;
 * less full it needs nothing but patience, as after a worker did not run for some time. What is to be sent may grow by
 * whole batches at once and must not come to the end, where the kernel would take from nobody. */
#define CONGESTED_IN_PERCENT 90
#define CONGESTED_OUT_PERCENT 25
/* The kernel is asked how full they are when a batch was as long as this, in runs or in bytes, or when they were not nearly
 * empty the last time: else one worker of a quiet relay would ask for every datagram. */
#define BUSY_RUNS 4
#define BUSY_BYTES 32768
#define BUSY_PERCENT 10
/* What a run costs besides its bytes, in bytes: receiving and sending a lone datagram takes as long as so much of a train. */
#define RUN_COST 4096

int relayer_init(struct relayer *r, uint64_t now_ms)
{
	fair_init(&r->fair, now_ms);
	r->buffers = malloc((size_t)RELAYER_BATCH * RELAYER_TRAIN_BYTES);
	return r->buffers ? 0 : -ENOMEM;
}

void relayer_fini(struct relayer *r)
{
	for (unsigned i = 0; i < PORTS_MAX; i++)
		if (r->udp[i].fd >= 0)
			udp_close(&r->udp[i]);
	free(r->buffers);
	r->buffers = NULL;
}

/* ---------------------------------------------------------------- sending */

static void tell(struct relayer *r, const struct relayer_mail *m, const uint8_t *data, size_t len, bool is_minor)
{
	if (!r->tell(r->arg, m, data, len, is_minor))
		counters_inc(&r->counters, COUNTER_drop_queue_full);
}

static void flush(struct relayer *r, unsigned nth)
{
	unsigned n_errors = 0;
	bool had_gso;
	int n;

	if (!r->n_out[nth])
		return;
	had_gso = udp_has_gso(&r->udp[nth], NULL);
	n = udp_send(&r->udp[nth], r->out[nth], r->n_out[nth], &n_errors, NULL);
	if (had_gso && !udp_has_gso(&r->udp[nth], NULL))
		tell(r, &(struct relayer_mail){ .kind = RELAYER_REFUSED }, NULL, 0, false);
	counters_add(&r->counters, COUNTER_drop_send_error, n_errors);
	for (unsigned i = 0; i < r->n_out[nth]; i++) {
		size_t count = udp_run_count(&r->out[nth][i]);

		if ((int)i >= n) {
			counters_add(&r->counters, COUNTER_drop_queue_full, count);
			r->is_busy[nth] = true;
			continue;
		}
		counters_add(&r->counters, COUNTER_tx_datagrams, count);
		counters_add(&r->counters, COUNTER_tx_bytes, r->out[nth][i].len);
	}
	r->n_out[nth] = 0;
}

static void flush_all(struct relayer *r)
{
	for (unsigned i = 0; i < PORTS_MAX; i++)
		flush(r, i);
	r->n_stun_replies = 0;
}

/* Queues one datagram, which stays where it is until the batch is sent. */
static void queue(struct relayer *r, const struct way *way, uint8_t *data, size_t len)
{
	if (r->n_out[way->port] == RELAYER_BATCH)
		flush_all(r);
	/* A relayed train for one member leaves as it came: its datagrams were rewritten where they lay. */
	r->n_out[way->port] = udp_runs_add(r->out[way->port], r->n_out[way->port], &way->peer, &way->local, data, len);
}

/* ---------------------------------------------------------------- datagrams */

static void on_stun(struct relayer *r, const struct way *from, const uint8_t *data, size_t len)
{
	struct stun_message request;
	uint8_t *reply;
	int ret;

	if (!*r->has_stun || stun_decode(&request, data, len) < 0 || request.class != STUN_REQUEST) {
		counters_inc(&r->counters, COUNTER_drop_type);
		return;
	}
	if (!stun_limit_take(r->stun_limit, &from->peer.ip, r->now_ms)) {
		counters_inc(&r->counters, COUNTER_stun_rate_limited);
		return;
	}
	/* Before a place is taken: a flush gives all of them back, this one too, while it waits in the next batch. */
	if (r->n_stun_replies == RELAYER_BATCH || r->n_out[from->port] == RELAYER_BATCH)
		flush_all(r);
	reply = r->stun_replies[r->n_stun_replies];
	ret = stun_reply_encode(reply, &request, &from->peer);
	if (ret <= 0)
		return;
	r->n_stun_replies++;
	counters_inc(&r->counters, COUNTER_stun_answered);
	queue(r, from, reply, (size_t)ret);
}

static void on_bind(struct relayer *r, const struct way *from, const uint8_t *data, size_t len)
{
	const struct relayer_mail m = { .kind = RELAYER_BIND, .from = *from };
	struct wire_sealed h;

	if (wire_sealed_decode(&h, data, len) < 0 || len != RELAY_BIND_DATAGRAM_BYTES) {
		counters_inc(&r->counters, COUNTER_drop_short);
		return;
	}
	/* An index that is not known may be one of a registration that has just begun: the loop will tell. */
	tell(r, &m, data, len, !roster_by_index(r->roster, h.index));
}

static void on_relay(struct relayer *r, const struct way *from, uint8_t *data, size_t len)
{
	struct wire_relay relay;
	struct forwarded f;

	if (wire_relay_decode(&relay, data, len) < 0) {
		counters_inc(&r->counters, COUNTER_drop_short);
		return;
	}
	f = forward_datagram(r->forward, r->roster, from, &relay, data, r->now_ms, &r->counters);
	if (f.way)
		queue(r, f.way, data, len);
	else if (f.is_mail)
		tell(r, &(struct relayer_mail){ .kind = RELAYER_FORWARD, .sender = f.sender, .receiver = f.receiver },
		     relay.payload, relay.payload_len, fair_is_heavy(&r->fair, relay.index));
}

static void on_datagram(struct relayer *r, const struct way *from, uint8_t *data, size_t len)
{
	if (len == 0)
		counters_inc(&r->counters, COUNTER_drop_short);
	else if (stun_is(data, len))
		on_stun(r, from, data, len);
	else if (data[0] == WIRE_BIND)
		on_bind(r, from, data, len);
	else if (data[0] == WIRE_RELAY)
		on_relay(r, from, data, len);
	else
		counters_inc(&r->counters, COUNTER_drop_type);
}

/* ---------------------------------------------------------------- batches */

/* Who a run counts for: the member that its first datagram names, and whose endpoint it came from, by the index of its
 * registration; 0: a stranger, like all of them. A bind request may come from an endpoint that is to be bound. */
static uint32_t sender_of(const struct relayer *r, const struct udp_run *run)
{
	size_t first = run->segment_bytes && run->segment_bytes < run->len ? run->segment_bytes : run->len;
	const struct roster_end *end;
	struct wire_relay relay;
	struct wire_sealed h;

	if (wire_sealed_decode(&h, run->data, first) == 0 && h.type == WIRE_BIND)
		return roster_by_index(r->roster, h.index) ? h.index : 0;
	if (wire_relay_decode(&relay, run->data, first) < 0)
		return 0;
	end = roster_by_index(r->roster, relay.index);
	return end && end->is_bound && endpoint_equal(&end->way.peer, &run->peer) ? relay.index : 0;
}

static void on_run(struct relayer *r, unsigned nth, const struct udp_run *run)
{
	const struct way from = { .peer = run->peer, .local = run->local, .port = nth };
	size_t segment = run->segment_bytes ? run->segment_bytes : run->len, at = 0;

	do {
		size_t len = run->len - at < segment ? run->len - at : segment;

		on_datagram(r, &from, run->data + at, len);
		at += len;
	} while (at < run->len);
}

void relayer_batch(struct relayer *r, unsigned nth, const struct udp_run *runs, unsigned n, bool is_congested,
		   uint64_t now_ms)
{
	struct fair_item items[RELAYER_BATCH];

	/* Entered after the batch was received: the roster is not older than any answer its senders rely on. */
	r->roster = (const struct roster *)epochs_enter(&r->forward->rosters, r->number);
	r->now_ms = now_ms;
	for (unsigned i = 0; i < n; i++)
		items[i] = (struct fair_item){ .sender = sender_of(r, &runs[i]), .cost = runs[i].len + RUN_COST };
	fair_batch(&r->fair, items, n, is_congested, now_ms);
	for (unsigned i = 0; i < n; i++) {
		counters_add(&r->counters, COUNTER_rx_datagrams, udp_run_count(&runs[i]));
		counters_add(&r->counters, COUNTER_rx_bytes, runs[i].len);
		if (items[i].is_refused)
			counters_add(&r->counters, COUNTER_relay_over_share, udp_run_count(&runs[i]));
		else
			on_run(r, nth, &runs[i]);
	}
	flush_all(r);
	r->roster = NULL;
	epochs_leave(&r->forward->rosters, r->number);
}

static bool is_congested(struct relayer *r, unsigned nth)
{
	struct udp_fill fill;

	if (!r->is_busy[nth])
		return false;
	fill = udp_fill(&r->udp[nth]);
	r->is_busy[nth] = fill.in_percent >= BUSY_PERCENT || fill.out_percent >= BUSY_PERCENT;
	return fill.in_percent >= CONGESTED_IN_PERCENT || fill.out_percent >= CONGESTED_OUT_PERCENT;
}

static bool is_long(const struct udp_run *runs, unsigned n)
{
	size_t len = 0;

	for (unsigned i = 0; i < n; i++)
		len += runs[i].len;
	return n >= BUSY_RUNS || len >= BUSY_BYTES;
}

void relayer_pump(struct relayer *r, unsigned nth)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		bool is_full = is_congested(r, nth);
		int n;

		for (unsigned i = 0; i < RELAYER_BATCH; i++)
			r->in[i] = (struct udp_run){ .data = r->buffers + (size_t)i * RELAYER_TRAIN_BYTES,
						     .capacity = RELAYER_TRAIN_BYTES };
		n = udp_recv(&r->udp[nth], r->in, RELAYER_BATCH);
		if (n <= 0)
			break;
		r->is_busy[nth] |= is_long(r->in, (unsigned)n);
		relayer_batch(r, nth, r->in, (unsigned)n, is_full, clock_now_ms());
		if (n < RELAYER_BATCH)
			break;
	}
}
