#include "tests/unit/two_nodes.h"
#include "tests/unit/certs.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BODY_BYTES 32

const struct path_addr two_nodes_address[2] = {
	{ .kind = PATH_UDP, .endpoint = { .ip = { 4, { 192, 0, 2, 1 } }, .port = 1000 } },
	{ .kind = PATH_UDP, .endpoint = { .ip = { 4, { 198, 51, 100, 1 } }, .port = 2000 } },
};

void two_nodes_inject(struct two_nodes *w, unsigned to, const uint8_t *data, size_t len)
{
	assert_true(w->n_queued < TWO_NODES_QUEUE && len <= TWO_NODES_DATAGRAM_BYTES);
	w->queue[w->n_queued].at_ms = w->now_ms + w->delay_ms;
	w->queue[w->n_queued].to = to;
	w->queue[w->n_queued].len = len;
	memcpy(w->queue[w->n_queued++].data, data, len);
}

static void transmit(struct node *n, const uint8_t *data, size_t len)
{
	struct two_nodes *w = n->world;

	if (w->is_cut || (w->lose && w->lose(w, n->number, data, len)))
		return;
	two_nodes_inject(w, !n->number, data, len);
}

static void transmit_sealed(struct node *n, const uint8_t *body, size_t len)
{
	struct session *s = sessions_sendable(&n->sessions, n->world->now_ms);
	uint8_t data[BODY_BYTES + WIRE_SEALED_OVERHEAD_BYTES];
	int sealed;

	assert_non_null(s);
	sealed = session_seal(s, WIRE_DATA, 0, data, body, len);
	assert_true(sealed > 0);
	atomic_store(&n->traffic.last_sent_ms, n->world->now_ms);
	transmit(n, data, (size_t)sealed);
}

int two_nodes_send_data(struct two_nodes *w, unsigned from)
{
	static const uint8_t body[BODY_BYTES] = "inner packet";
	struct node *n = &w->n[from];

	if (!sessions_sendable(&n->sessions, w->now_ms)) {
		sessions_want(&n->sessions, w->now_ms);
		return -ENOTCONN;
	}
	atomic_store(&n->traffic.last_data_sent_ms, w->now_ms);
	transmit_sealed(n, body, sizeof(body));
	return 0;
}

static void send_initiation(void *owner, const uint8_t *data, size_t len, unsigned attempt)
{
	struct node *n = owner;

	(void)attempt;
	if (n->n_initiations < sizeof(n->initiation_ms) / sizeof(n->initiation_ms[0]))
		n->initiation_ms[n->n_initiations] = n->world->now_ms;
	n->n_initiations++;
	assert_int_equal(len, trust_own(n->identity.trust) ? WIRE_INIT_MAX_BYTES : WIRE_INIT_BYTES);
	memcpy(n->world->last_initiation, data, len);
	n->world->last_initiation_len = len;
	transmit(n, data, len);
}

static void changed(void *owner)
{
	((struct node *)owner)->n_changed++;
}

static void failed(void *owner)
{
	((struct node *)owner)->n_failed++;
}

static void keepalive(void *owner)
{
	struct node *n = owner;

	n->n_keepalives++;
	transmit_sealed(n, NULL, 0);
}

static uint64_t wall_ms(void *owner)
{
	const struct node *n = owner;

	return UINT64_C(1700000000000) + n->world->now_ms + n->wall_offset_ms;
}

static void no_suite(void *owner, bool is_news)
{
	struct node *n = owner;

	n->n_no_suite++;
	n->n_no_suite_news += is_news;
}

static enum cert_verdict judge(void *owner, const struct wire_trust *shown)
{
	struct node *n = owner;
	struct cert c;

	if (!n->identity.trust)
		return CERT_GOOD;
	n->epoch_there = shown->epoch;
	return trust_judge(n->identity.trust, shown, &n->sessions.remote, wall_ms(n) / 1000, &c);
}

static void untrusted(void *owner, bool is_news)
{
	struct node *n = owner;

	n->n_untrusted++;
	n->n_untrusted_news += is_news;
}

static const struct sessions_env sessions_env = { send_initiation, changed,  failed, keepalive,
						  wall_ms,         no_suite, judge,  untrusted };

static struct sessions *find(void *arg, const struct pubkey *key)
{
	struct node *n = arg;

	return pubkey_equal(key, &n->world->n[!n->number].identity.public) ? &n->sessions : NULL;
}

static void send_answer(void *arg, const struct path_addr *to, uint32_t relay_member, const uint8_t *data, size_t len)
{
	struct node *n = arg;

	(void)relay_member;
	/* Never longer than what it answers. */
	assert_true(len <= WIRE_INIT_BYTES || len <= n->world->last_initiation_len);
	if (data[0] == WIRE_RESPONSE) {
		n->n_responses++;
		memcpy(n->world->last_response, data, len);
		n->world->last_response_len = len;
	}
	if (endpoint_equal(&to->endpoint, &two_nodes_address[!n->number].endpoint))
		transmit(n, data, len);
}

static const struct responder_env responder_env = { .find = find, .send = send_answer };

static void node_start(struct two_nodes *w, unsigned i)
{
	struct node *n = &w->n[i];

	n->world = w;
	n->number = i;
	n->indices = indices_new();
	n->responder = responder_new(&responder_env, n, &n->identity, n->indices, &n->counters);
	assert_non_null(n->indices);
	assert_non_null(n->responder);
	sessions_init(&n->sessions, &sessions_env, n, &n->identity, n->indices, &w->n[!i].identity.public);
}

static void node_stop(struct node *n)
{
	sessions_fini(&n->sessions);
	responder_free(n->responder);
	indices_free(n->indices);
}

struct two_nodes *two_nodes_new(uint64_t now_ms)
{
	struct two_nodes *w = calloc(1, sizeof(*w));
	struct seckey secret[2] = { { { 11 } }, { { 22 } } };
	struct psk psk = { { 33 } };

	assert_non_null(w);
	w->now_ms = now_ms;
	w->delay_ms = 10;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(identity_init(&w->n[i].identity, &secret[i], &psk, aead_offer(), 0), 0);
	if (memcmp(w->n[0].identity.public.b, w->n[1].identity.public.b, KEY_BYTES) > 0) {
		struct identity swapped = w->n[0].identity;

		w->n[0].identity = w->n[1].identity;
		w->n[1].identity = swapped;
	}
	node_start(w, 0);
	node_start(w, 1);
	return w;
}

void two_nodes_restart(struct two_nodes *w, unsigned number)
{
	struct identity identity = w->n[number].identity;

	node_stop(&w->n[number]);
	memset(&w->n[number], 0, sizeof(w->n[number]));
	w->n[number].identity = identity;
	node_start(w, number);
}

void two_nodes_certify(struct two_nodes *w, unsigned number, const struct cert *cert)
{
	struct verifykey network = certs_network(0);
	struct node *n = &w->n[number];

	if (!n->identity.trust)
		n->identity.trust = trust_new(&network, &n->counters);
	assert_non_null(n->identity.trust);
	if (cert)
		trust_set_own(n->identity.trust, cert);
}

void two_nodes_free(struct two_nodes *w)
{
	node_stop(&w->n[0]);
	node_stop(&w->n[1]);
	trust_free(w->n[0].identity.trust);
	trust_free(w->n[1].identity.trust);
	free(w);
}

static void receive_sealed(struct node *n, uint8_t *data, size_t len)
{
	struct session *held[] = { n->sessions.current, n->sessions.next, n->sessions.previous };
	uint64_t now_ms = n->world->now_ms;
	struct wire_sealed h;

	assert_int_equal(wire_sealed_decode(&h, data, len), 0);
	for (unsigned i = 0; i < 3; i++) {
		int ret;

		if (!held[i] || held[i]->local_index != h.index)
			continue;
		ret = session_open(held[i], &h, data, len, now_ms);
		if (ret < 0)
			break;
		atomic_store(&n->traffic.last_received_ms, now_ms);
		if (ret > 0) {
			n->n_data_received++;
			atomic_store(&n->traffic.last_data_received_ms, now_ms);
		}
		sessions_on_opened(&n->sessions, held[i], now_ms);
		return;
	}
	n->n_unopened++;
}

static void receive(struct node *n, uint8_t *data, size_t len)
{
	uint64_t now_ms = n->world->now_ms;

	if (len == 0)
		return;
	switch (data[0]) {
	case WIRE_INIT:
		responder_receive(n->responder, &two_nodes_address[!n->number], 0, data, len, now_ms);
		break;
	case WIRE_RESPONSE:
		sessions_on_response(&n->sessions, data, len, now_ms, &n->rtt_us);
		break;
	case WIRE_COOKIE:
		sessions_on_cookie(&n->sessions, data, len, now_ms);
		break;
	case WIRE_DATA:
		receive_sealed(n, data, len);
		break;
	default:
		break;
	}
}

static void deliver_due(struct two_nodes *w)
{
	for (unsigned i = 0; i < w->n_queued;) {
		uint8_t data[TWO_NODES_DATAGRAM_BYTES];
		size_t len = w->queue[i].len;
		unsigned to = w->queue[i].to;

		if (w->queue[i].at_ms > w->now_ms) {
			i++;
			continue;
		}
		memcpy(data, w->queue[i].data, len);
		memmove(&w->queue[i], &w->queue[i + 1], (w->n_queued - i - 1) * sizeof(w->queue[0]));
		w->n_queued--;
		receive(&w->n[to], data, len);
		i = 0; /* what it sent may be due too */
	}
}

void two_nodes_run(struct two_nodes *w, uint64_t ms)
{
	uint64_t end_ms = w->now_ms + ms;

	for (;;) {
		uint64_t next = end_ms;

		deliver_due(w);
		for (unsigned i = 0; i < 2; i++) {
			struct sessions *s = &w->n[i].sessions;

			if (sessions_next_ms(s) <= w->now_ms) {
				sessions_tick(s, &w->n[i].traffic, w->now_ms);
				assert_true(sessions_next_ms(s) > w->now_ms); /* or the loop would spin */
			}
			if (sessions_next_ms(s) < next)
				next = sessions_next_ms(s);
		}
		for (unsigned i = 0; i < w->n_queued; i++)
			if (w->queue[i].at_ms < next)
				next = w->queue[i].at_ms;
		if (next <= w->now_ms && w->now_ms < end_ms)
			continue; /* a datagram without delay */
		if (w->now_ms >= end_ms)
			return;
		w->now_ms = next;
	}
}

bool two_nodes_both_directions_carry_data(struct two_nodes *w)
{
	unsigned before[2] = { w->n[0].n_data_received, w->n[1].n_data_received };

	if (two_nodes_send_data(w, 0) < 0 || two_nodes_send_data(w, 1) < 0)
		return false;
	two_nodes_run(w, w->delay_ms + 1);
	return w->n[0].n_data_received == before[0] + 1 && w->n[1].n_data_received == before[1] + 1;
}
