/* How large a datagram a path carries is found, checked and found again; it costs little, and nothing when idle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "daemon/path/path_mtu.h"
#include "daemon/wire/relay.h"
#include "daemon/wire/wire.h"

#define QUEUE_MAX 1024
#define PROBES_MAX 65536
#define DATA_EVERY_MS 5
#define LITTLE_EVERY_MS 500 /* less than PATH_MTU_BUSY_BYTES in PATH_MTU_VERIFY_MS */
#define WINDOW 20           /* datagrams of a patient sender */
#define RTO_MS 200u         /* Linux's least */
#define MAX_BYTES 1472      /* an inner MTU of 1440 */

/* Two nodes, and a link each way that drops in silence what is larger than it. Each sends data as large as it thinks it may and,
 * like TCP, is answered by a small datagram when its data arrived. */
struct node {
	struct world *w;
	struct path_set *set;
	struct path_activity activity;
	struct path_addr peer; /* the other's endpoint */
	unsigned link_bytes;   /* IP packet, from here to there */
	unsigned socket_bytes; /* what the own socket takes, same measure; 0: everything */
	bool sends, sends_little;
	bool is_patient; /* like TCP: a window that is not acknowledged is sent again after a while, and again after twice that */
	unsigned n_unacked, n_again;
	uint64_t data_ms;    /* is_patient: none before */
	uint64_t arrived_ms; /* the last large datagram that got there */
	unsigned n_data, n_ticks, n_size_probes;
	uint32_t n_received;
	uint64_t probed_ms[PROBES_MAX];
	bool is_unproven_probed;
};

struct flight {
	enum {
		NOTHING,
		PROBE,
		DATA,
		ACK
	} what;
	unsigned to;
	uint64_t due_ms;
	struct path_addr from;
	struct wire_probe probe;
};

struct world {
	uint64_t now_ms, random;
	unsigned delay_ms, loss_permille;
	bool is_down, is_ipv6;
	struct node node[2];
	struct flight queue[QUEUE_MAX];
	unsigned n_queue; /* none lies above */
};

static struct world world;

static bool is_lost(struct world *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->is_down || (w->random >> 11) % 1000 < w->loss_permille;
}

static unsigned packet_bytes(const struct world *w, const struct path_addr *to, unsigned datagram_bytes)
{
	return datagram_bytes + (w->is_ipv6 ? 48 : 28) + (to->kind == PATH_UDP ? 0 : WIRE_RELAY_HEADER_BYTES);
}

static bool is_refused(const struct node *n, const struct path_addr *to, unsigned bytes)
{
	return n->socket_bytes && packet_bytes(n->w, to, bytes) > n->socket_bytes;
}

static void transmit(struct node *n, const struct path_addr *to, unsigned bytes, const struct flight *f)
{
	struct world *w = n->w;
	unsigned peer = n == &w->node[0] ? 1 : 0;

	if (is_lost(w) || is_refused(n, to, bytes) || packet_bytes(w, to, bytes) > n->link_bytes)
		return;
	for (unsigned i = 0; i < QUEUE_MAX; i++) {
		if (w->queue[i].what != NOTHING)
			continue;
		w->queue[i] = *f;
		w->queue[i].to = peer;
		w->queue[i].due_ms = w->now_ms + w->delay_ms;
		w->queue[i].from = to->kind == PATH_UDP ? w->node[peer].peer : *to;
		w->n_queue = i < w->n_queue ? w->n_queue : i + 1;
		return;
	}
	fail();
}

static void on_send(void *arg, const struct path_addr *to, const struct wire_probe *probe)
{
	struct node *n = arg;
	unsigned body = probe->is_reply ? WIRE_PROBE_BYTES : probe->size;
	struct wire_probe said = *probe;

	if (probe->is_reply)
		said.n_received = n->n_received;
	if (body > WIRE_PROBE_BYTES) {
		const struct path *best = path_set_best(n->set);

		n->is_unproven_probed |= !best || !path_addr_equal(&best->addr, to);
		assert_true(n->n_size_probes < PROBES_MAX);
		n->probed_ms[n->n_size_probes++] = n->w->now_ms;
	}
	transmit(n, to, WIRE_SEALED_OVERHEAD_BYTES + body, &(struct flight){ .what = PROBE, .probe = said });
}

static const struct path_set_env env = { .send = on_send };

static void send_data(struct node *n)
{
	const struct path *best = path_set_best(n->set);
	bool is_first = n->w->now_ms >= n->activity.last_sent_ms + 2000;
	unsigned bytes;

	if (!best || n->w->now_ms < n->data_ms)
		return;
	if (n->is_patient && ++n->n_unacked >= WINDOW)
		n->data_ms = n->w->now_ms + (RTO_MS << n->n_again++);
	bytes = path_datagram_max(best) < MAX_BYTES ? path_datagram_max(best) : MAX_BYTES;
	n->activity.last_sent_ms = n->w->now_ms;
	n->activity.sent_bytes += bytes;
	n->activity.n_sent++;
	if (is_first)
		path_set_tick(n->set, &n->activity, n->w->now_ms);
	n->n_data++;
	if (is_refused(n, &best->addr, bytes))
		path_set_on_too_big(n->set, &best->addr, bytes, n->w->now_ms);
	else
		transmit(n, &best->addr, bytes, &(struct flight){ .what = DATA });
}

static void receive(struct world *w, struct flight *f)
{
	struct node *n = &w->node[f->to];

	switch (f->what) {
	case PROBE:
		if (f->probe.is_reply)
			path_set_on_reply(n->set, &f->from, &f->probe, w->now_ms);
		else
			path_set_on_probe(n->set, &f->from, &f->probe, w->now_ms);
		break;
	case DATA:
		w->node[!f->to].arrived_ms = w->now_ms;
		n->n_received++;
		n->activity.path_received_ms = n->activity.last_sent_ms = w->now_ms;
		transmit(n, &f->from, 84, &(struct flight){ .what = ACK });
		break;
	case ACK:
		n->activity.path_received_ms = w->now_ms;
		n->n_unacked = n->n_again = 0;
		n->data_ms = 0;
		break;
	case NOTHING:
		break;
	}
}

static void step(struct world *w)
{
	for (unsigned i = 0; i < w->n_queue; i++) {
		struct flight f = w->queue[i];

		if (f.what == NOTHING || f.due_ms > w->now_ms)
			continue;
		w->queue[i].what = NOTHING;
		receive(w, &f);
	}
	while (w->n_queue && w->queue[w->n_queue - 1].what == NOTHING)
		w->n_queue--;
	for (unsigned i = 0; i < 2; i++) {
		struct node *n = &w->node[i];

		if (n->sends && w->now_ms % (n->sends_little ? LITTLE_EVERY_MS : DATA_EVERY_MS) == 0)
			send_data(n);
		if (path_set_next_ms(n->set) <= w->now_ms) {
			n->n_ticks++;
			path_set_tick(n->set, &n->activity, w->now_ms);
			assert_true(path_set_next_ms(n->set) > w->now_ms);
		}
	}
	w->now_ms++;
}

static void run(struct world *w, uint64_t ms)
{
	for (uint64_t end_ms = w->now_ms + ms; w->now_ms < end_ms;) {
		uint64_t next = end_ms;

		step(w);
		if (w->n_queue || w->node[0].sends || w->node[1].sends)
			continue;
		for (unsigned i = 0; i < 2; i++)
			next = path_set_next_ms(w->node[i].set) < next ? path_set_next_ms(w->node[i].set) : next;
		w->now_ms = next > w->now_ms ? next : w->now_ms;
	}
}

static struct path_addr addr_of(const char *text)
{
	struct path_addr a = { .kind = PATH_UDP };

	assert_int_equal(endpoint_from_text(&a.endpoint, text), 0);
	return a;
}

static void links(struct world *w, unsigned bytes)
{
	w->node[0].link_bytes = w->node[1].link_bytes = bytes;
}

enum way {
	DIRECT_V4,
	DIRECT_V6,
	RELAYED
};

/* Proven, no data yet. */
static struct world *set_up(enum way way, unsigned link_bytes)
{
	static const char *const v4[] = { "192.0.2.1:1000", "192.0.2.2:2000" };
	static const char *const v6[] = { "[2001:db8::1]:1000", "[2001:db8::2]:2000" };
	const struct path_addr relay = { .kind = PATH_RELAY_UDP };
	struct world *w = &world;

	assert_true(sodium_init() >= 0);
	memset(w, 0, sizeof(*w));
	w->now_ms = 100000;
	w->delay_ms = 10;
	w->random = 0x9e3779b97f4a7c15u;
	w->is_ipv6 = way == DIRECT_V6;
	for (unsigned i = 0; i < 2; i++) {
		struct node *n = &w->node[i];

		n->w = w;
		n->set = path_set_new(&env, n);
		assert_non_null(n->set);
		n->peer = addr_of(w->is_ipv6 ? v6[!i] : v4[!i]);
		n->activity.in_contact = true;
	}
	links(w, link_bytes);
	for (unsigned i = 0; i < 2; i++) {
		struct node *n = &w->node[i];
		const struct candidate c = { CANDIDATE_HOST, n->peer.endpoint };

		path_set_set_max_datagram(n->set, MAX_BYTES, w->now_ms);
		if (way == RELAYED)
			path_set_relay(n->set, PATH_RELAY_UDP, 0, true, w->now_ms);
		else
			assert_int_equal(path_set_add(n->set, &c, false, w->now_ms), 0);
		path_set_on_handshake(n->set, way == RELAYED ? &relay : &n->peer, 20000, w->now_ms);
		path_set_start(n->set, w->now_ms);
	}
	run(w, 100);
	return w;
}

static void tear_down(struct world *w)
{
	for (unsigned i = 0; i < 2; i++) {
		assert_false(w->node[i].is_unproven_probed);
		path_set_free(w->node[i].set);
	}
}

static const struct path *best(const struct world *w, unsigned side)
{
	const struct path *p = path_set_best(w->node[side].set);

	assert_non_null(p);
	return p;
}

static unsigned mtu(const struct world *w)
{
	return best(w, 0)->mtu_bytes;
}

/* The largest datagram that fits, found to the grain. */
static void assert_mtu(const struct world *w, unsigned link_bytes)
{
	const struct path_addr *a = &best(w, 0)->addr;
	unsigned fits = link_bytes - packet_bytes(w, a, 0);

	if (fits > MAX_BYTES)
		fits = MAX_BYTES;
	assert_in_range(mtu(w), fits - PATH_MTU_GRAIN_BYTES, fits);
}

static unsigned most_probes_in_5_s(const struct node *n)
{
	unsigned most = 0;

	for (unsigned i = 0, k = 0; i < n->n_size_probes; i++) {
		while (n->probed_ms[i] - n->probed_ms[k] >= 5000)
			k++;
		most = i - k + 1 > most ? i - k + 1 : most;
	}
	return most;
}

static const unsigned all_links[] = { 1500, 1420, 1280, 1100, 600 };
#define N_LINKS (sizeof(all_links) / sizeof(all_links[0]))

static void the_mtu_is_found_within_three_seconds(void **state)
{
	static const unsigned usual[] = { 1500, 1492, 1480, 1420, 1400, 1280 };

	(void)state;
	for (enum way way = DIRECT_V4; way <= RELAYED; way++) {
		for (unsigned i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
			struct world *w = set_up(way, usual[i]);

			assert_int_equal(mtu(w), 0);
			assert_int_equal(path_datagram_max(best(w, 0)), PATH_MTU_BASE_BYTES);
			w->node[0].sends = true;
			run(w, 200); /* what is usual is known after the volley */
			assert_in_range(mtu(w), usual[i] - 48 - 28, usual[i] - packet_bytes(w, &best(w, 0)->addr, 0));
			/* Nobody tells a relay's families: what its table lacks is found as the budget has it. */
			run(w, way == RELAYED ? 7800 : 2800);
			assert_mtu(w, usual[i]);
			tear_down(w);
		}
	}
}

static void small_links_are_found_too(void **state)
{
	(void)state;
	for (unsigned i = 0; i < N_LINKS; i++) {
		for (enum way way = DIRECT_V4; way <= RELAYED; way++) {
			struct world *w;

			if (way == DIRECT_V6 && all_links[i] < 1280)
				continue; /* no IPv6 there */
			w = set_up(way, all_links[i]);
			w->node[0].sends = w->node[1].sends = true;
			run(w, 3000);
			assert_true(w->node[0].arrived_ms + 100 > w->now_ms);
			assert_true(mtu(w) >= PATH_MTU_MIN_BYTES);
			run(w, 7000); /* within the budget, to the grain */
			assert_mtu(w, all_links[i]);
			for (unsigned k = 0; k < 100; k++) { /* also while more is looked for */
				assert_int_equal(best(w, 0)->mtu_state, PATH_MTU_FOUND);
				run(w, 100);
			}
			assert_int_equal(best(w, 0)->n_mtu_drops, 0);
			tear_down(w);
		}
	}
}

static void an_odd_link_is_found_to_the_grain(void **state)
{
	(void)state;
	for (unsigned link = 1206 + 28; link <= 1500; link += 19) {
		struct world *w = set_up(DIRECT_V4, link);

		w->node[0].sends = true;
		run(w, 3000);
		assert_true(mtu(w) >= PATH_MTU_BASE_BYTES);
		run(w, 7000);
		assert_mtu(w, link);
		tear_down(w);
	}
}

static uint64_t stalled_ms(struct world *w, uint64_t limit_ms)
{
	uint64_t begin_ms = w->now_ms;

	run(w, 2 * w->delay_ms); /* what is under way */
	w->node[0].arrived_ms = 0;
	while (!w->node[0].arrived_ms && w->now_ms < begin_ms + limit_ms)
		step(w);
	assert_true(w->node[0].arrived_ms);
	return w->now_ms - begin_ms;
}

/* Every ICMP error is dropped. */
static void after_a_decrease_data_flows_again(void **state)
{
	(void)state;
	for (enum way way = DIRECT_V4; way <= RELAYED; way++) {
		for (unsigned i = 1; i < N_LINKS; i++) {
			struct world *w;

			if (way == DIRECT_V6 && all_links[i] < 1280)
				continue;
			w = set_up(way, 1500);
			w->node[0].sends = true;
			run(w, 7000);
			links(w, all_links[i]);
			assert_true(stalled_ms(w, 10000) <= 4000);
			run(w, 20000);
			assert_mtu(w, all_links[i]);
			assert_int_equal(best(w, 0)->n_mtu_drops, 1);
			assert_int_equal(best(w, 0)->state, PATH_IN_USE);
			tear_down(w);
		}
	}
}

/* Nor is it taken for loss: the others would be no better. */
static void a_decrease_is_no_reason_to_leave_a_path(void **state)
{
	const struct path_addr relay = { .kind = PATH_RELAY_UDP };

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		struct world *w = set_up(DIRECT_V4, 1500);

		for (unsigned k = 0; k < 2; k++) {
			path_set_relay(w->node[k].set, PATH_RELAY_UDP, 0, true, w->now_ms);
			path_set_on_handshake(w->node[k].set, &relay, 90000, w->now_ms);
		}
		w->node[0].sends = true;
		w->node[0].is_patient = i % 2;
		w->node[1].sends = i % 4 < 2; /* if not, it is silent as well */
		run(w, 5000 + 37 * i);
		links(w, all_links[1 + i % (N_LINKS - 1)]);
		for (unsigned k = 0; k < 1000; k++) {
			run(w, 10);
			assert_int_equal(best(w, 0)->addr.kind, PATH_UDP);
			assert_int_equal(best(w, 1)->addr.kind, PATH_UDP);
			assert_true(k < 200 || (w->now_ms - w->node[0].arrived_ms < 1000 &&
						mtu(w) <= all_links[1 + i % (N_LINKS - 1)]));
		}
		tear_down(w);
	}
}

/* No silence gives it away. */
static void a_decrease_is_noticed_while_other_data_comes_in(void **state)
{
	(void)state;
	for (unsigned is_little = 0; is_little < 2; is_little++) {
		struct world *w = set_up(DIRECT_V4, 1500);

		w->node[0].sends = w->node[1].sends = true;
		w->node[0].sends_little = is_little;
		run(w, 7000);
		w->node[0].link_bytes = 1280; /* there only: both ways are searched each by its sender */
		assert_true(stalled_ms(w, 10000) <= (is_little ? 7000 : 3000));
		run(w, 5000);
		assert_mtu(w, 1280);
		assert_int_equal(best(w, 1)->mtu_bytes, MAX_BYTES);
		tear_down(w);
	}
}

static void the_ways_there_and_back_may_differ(void **state)
{
	struct world *w = set_up(DIRECT_V4, 1500);

	(void)state;
	w->node[1].link_bytes = 1100;
	w->node[0].sends = w->node[1].sends = true;
	run(w, 15000);
	assert_int_equal(best(w, 0)->mtu_bytes, 1472);
	assert_in_range(best(w, 1)->mtu_bytes, 1072 - 16, 1072);
	tear_down(w);
}

/* The pauses grow, but not faster than the time that it stays small. */
static void an_increase_is_used_in_the_end(void **state)
{
	static const unsigned small_for_ms[] = { 3000, 20000, 100000, 1000000 };
	struct world *w = set_up(DIRECT_V4, 1500);

	(void)state;
	w->node[0].sends = true;
	run(w, 5000);
	for (unsigned i = 0; i < sizeof(small_for_ms) / sizeof(small_for_ms[0]); i++) {
		uint64_t limit_ms = small_for_ms[i] < PATH_MTU_RAISE_MAX_MS ? small_for_ms[i] : PATH_MTU_RAISE_MAX_MS;
		uint64_t begin_ms;

		links(w, i % 2 ? 1100 : 1280);
		run(w, small_for_ms[i]);
		links(w, 1500);
		begin_ms = w->now_ms;
		while (mtu(w) != MAX_BYTES)
			step(w);
		assert_true(w->now_ms - begin_ms <= limit_ms + 5000);
		run(w, 5000);
	}
	tear_down(w);
}

static void changes_in_mid_transfer_follow_one_another(void **state)
{
	static const unsigned sequence[] = { 1500, 600, 1420, 1100, 1500, 1280, 600 };
	struct world *w = set_up(RELAYED, 1500);

	(void)state;
	w->node[0].sends = true;
	for (unsigned i = 0; i < sizeof(sequence) / sizeof(sequence[0]); i++) {
		links(w, sequence[i]);
		assert_true(stalled_ms(w, 10000) <= 10000);
		run(w, 15000);
	}
	assert_true(most_probes_in_5_s(&w->node[0]) <= PATH_MTU_BUDGET_PROBES);
	tear_down(w);
}

/* It tries after 0.2, 0.6, 1.4, 3.0, 6.2 and 12.6 s. What fits is in use before the third or fourth. */
static void a_patient_sender_does_not_wait_long(void **state)
{
	uint64_t longest_ms = 0;

	(void)state;
	for (unsigned i = 0; i < 16; i++) {
		struct world *w = set_up(i % 2 ? RELAYED : DIRECT_V4, 1500);
		struct node *n = &w->node[0];

		w->random += i * 12345;
		w->delay_ms = 1 + i % 7;
		n->sends = n->is_patient = true;
		run(w, 3000 + 131 * i);
		for (unsigned k = 0; k < 10; k++) {
			uint64_t stall_ms;

			links(w, all_links[(i + k * (1 + i % 4)) % N_LINKS]);
			stall_ms = stalled_ms(w, 20000);
			longest_ms = stall_ms > longest_ms ? stall_ms : longest_ms;
			run(w, 300 + 97 * (i + k) % 4000); /* in the midst of the search, or after it */
		}
		assert_true(most_probes_in_5_s(n) <= PATH_MTU_BUDGET_PROBES);
		tear_down(w);
	}
	assert_true(longest_ms < 3500);
}

static void ten_percent_of_loss_make_it_no_smaller_for_long(void **state)
{
	struct world *w = set_up(DIRECT_V4, 1500);
	unsigned n_low = 0, n_very_low = 0;

	(void)state;
	w->loss_permille = 100;
	w->node[0].sends = true;
	run(w, 3000);
	for (unsigned i = 0; i < 18000; i++) { /* half an hour */
		run(w, 100);
		n_low += path_datagram_max(best(w, 0)) < MAX_BYTES;
		n_very_low += path_datagram_max(best(w, 0)) < 1452; /* one size in the table less */
	}
	assert_true(n_low < 18000 / 50);
	assert_true(n_very_low < 18000 / 100);
	assert_true(most_probes_in_5_s(&w->node[0]) <= PATH_MTU_BUDGET_PROBES);
	tear_down(w);
}

static void a_decrease_is_found_on_a_lossy_path_too(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		struct world *w = set_up(i % 2 ? RELAYED : DIRECT_V4, 1500);

		w->random += i * 12345;
		w->loss_permille = 100;
		w->node[0].sends = true;
		run(w, 7000 + 331 * i);
		links(w, all_links[1 + i % 4]);
		assert_true(stalled_ms(w, 10000) < 10000);
		run(w, 60000);
		assert_true(mtu(w) >= PATH_MTU_MIN_BYTES &&
			    packet_bytes(w, &best(w, 0)->addr, mtu(w)) <= w->node[0].link_bytes);
		tear_down(w);
	}
}

static void a_refused_size_is_left_at_once(void **state)
{
	struct world *w = set_up(DIRECT_V4, 1500);
	unsigned n_data;

	(void)state;
	w->node[0].sends = true;
	run(w, 3000);
	assert_int_equal(mtu(w), 1472);
	w->node[0].socket_bytes = 1450;
	n_data = w->node[0].n_data;
	while (w->node[0].n_data < n_data + 3) /* 1472, 1464, 1452 */
		step(w);
	assert_int_equal(mtu(w), 1392);
	run(w, 5000);
	assert_mtu(w, 1450);
	assert_int_equal(best(w, 0)->n_mtu_drops, 0);                           /* somebody said so */
	path_set_on_too_big(w->node[0].set, &w->node[0].peer, 1472, w->now_ms); /* as before: changes nothing */
	assert_mtu(w, 1450);
	path_set_on_too_big(w->node[0].set, &w->node[0].peer, 100, w->now_ms); /* no link has that */
	assert_mtu(w, 1450);
	tear_down(w);
}

static void a_suspicion_is_settled_within_a_second(void **state)
{
	struct world *w = set_up(DIRECT_V4, 1500);
	uint64_t begin_ms;

	(void)state;
	w->node[0].sends = w->node[1].sends = true;
	run(w, 3000);
	path_set_suspect_mtu(w->node[0].set, w->now_ms);
	run(w, 1000);
	assert_int_equal(mtu(w), 1472);
	links(w, 1420);
	begin_ms = w->now_ms;
	path_set_suspect_mtu(w->node[0].set, w->now_ms);
	while (mtu(w) == 1472)
		step(w);
	assert_true(w->now_ms - begin_ms <= 600);
	run(w, 100);
	assert_int_equal(mtu(w), 1392);
	tear_down(w);
}

static void lost_size_probes_are_not_held_against_the_path(void **state)
{
	struct world *w = set_up(DIRECT_V4, 600);

	(void)state;
	w->node[0].sends = w->node[1].sends = true;
	run(w, 60000);
	assert_true(w->node[0].n_size_probes > 20);
	assert_in_range(best(w, 0)->n_sent - best(w, 0)->n_answered, 0, 2); /* nor counted as attempts */
	assert_int_equal(best(w, 0)->state, PATH_IN_USE);
	assert_null(path_set_extra(w->node[0].set));
	tear_down(w);
}

static void in_use_and_confirmed_it_costs_a_probe_in_five_seconds_or_one(void **state)
{
	(void)state;
	for (unsigned is_little = 0; is_little < 2; is_little++) {
		struct world *w = set_up(DIRECT_V4, 1500);
		unsigned n;

		w->node[0].sends = w->node[1].sends = true;
		w->node[0].sends_little = is_little;
		run(w, 10000);
		n = w->node[0].n_size_probes;
		run(w, 100000);
		assert_in_range(w->node[0].n_size_probes - n, is_little ? 19 : 50, is_little ? 20 : 100);
		tear_down(w);
	}
}

static void idle_it_costs_nothing(void **state)
{
	struct world *w = set_up(RELAYED, 1100);
	struct node *n = &w->node[0];

	(void)state;
	n->activity.in_contact = w->node[1].activity.in_contact = false;
	run(w, 10000);
	assert_int_equal(n->n_size_probes, 0); /* no data, no search */
	assert_true(path_set_next_ms(n->set) == UINT64_MAX);
	n->sends = true;
	run(w, 300); /* in the midst of the search */
	assert_int_equal(best(w, 0)->mtu_state, PATH_MTU_SEARCHING);
	n->sends = false;
	run(w, 5000);
	n->n_ticks = n->n_size_probes = 0;
	assert_true(path_set_next_ms(n->set) == UINT64_MAX);
	run(w, 3600000);
	assert_int_equal(n->n_ticks, 0);
	assert_int_equal(n->n_size_probes, 0);
	n->sends = true; /* it goes on */
	run(w, 15000);
	assert_mtu(w, 1100);
	tear_down(w);
}

static void paths_not_in_use_are_not_searched(void **state)
{
	struct world *w = set_up(DIRECT_V4, 1500);
	const struct path_addr relay = { .kind = PATH_RELAY_UDP };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		path_set_relay(w->node[i].set, PATH_RELAY_UDP, 0, true, w->now_ms);
		path_set_on_handshake(w->node[i].set, &relay, 90000, w->now_ms);
		w->node[i].sends = true;
	}
	run(w, 20000);
	assert_int_equal(best(w, 0)->addr.kind, PATH_UDP);
	assert_int_equal(path_set_count(w->node[0].set), 2);
	assert_int_equal(path_set_at(w->node[0].set, 1)->mtu_bytes, 0);
	assert_int_equal(mtu(w), 1472);
	tear_down(w); /* and says whether one was probed */
}

static void another_network_is_searched_anew(void **state)
{
	struct world *w = set_up(DIRECT_V4, 1500);

	(void)state;
	w->node[0].sends = true;
	run(w, 5000);
	links(w, 1280);
	path_set_network_changed(w->node[0].set, w->now_ms);
	assert_int_equal(mtu(w), 0);
	run(w, 200);
	assert_int_equal(mtu(w), 1252);
	tear_down(w);
}

static void a_path_that_was_dead_is_searched_anew(void **state)
{
	struct world *w = set_up(DIRECT_V4, 1500);

	(void)state;
	w->node[0].sends = true;
	run(w, 5000);
	w->is_down = true;
	run(w, 20000);
	w->is_down = false;
	links(w, 1420);
	run(w, 3000);
	assert_int_equal(mtu(w), 1392);
	assert_int_equal(best(w, 0)->n_mtu_drops, 0);
	tear_down(w);
}

static void an_answer_that_tells_another_size_proves_none(void **state)
{
	struct world *w = set_up(DIRECT_V4, 1500);

	(void)state;
	w->node[0].sends = true;
	for (unsigned i = 0; i < 3000; i++) {
		for (unsigned k = 0; k < QUEUE_MAX; k++)
			if (w->queue[k].what == PROBE && w->queue[k].probe.is_reply)
				w->queue[k].probe.size = WIRE_PROBE_BYTES;
		step(w);
	}
	assert_true(mtu(w) <= PATH_MTU_MIN_BYTES); /* nothing is assumed any more */
	tear_down(w);
}

static void without_a_largest_size_nothing_is_searched(void **state)
{
	struct world *w = set_up(DIRECT_V4, 1500);

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		path_set_set_max_datagram(w->node[i].set, 0, w->now_ms);
		w->node[i].sends = true;
	}
	run(w, 20000);
	assert_int_equal(w->node[0].n_size_probes, 0);
	path_set_set_max_datagram(w->node[0].set, 1300, w->now_ms);
	run(w, 2000);
	assert_int_equal(mtu(w), 1300); /* and no more */
	path_set_set_max_datagram(w->node[0].set, 1000, w->now_ms);
	assert_int_equal(mtu(w), 1000);
	tear_down(w);
}

static void jumbo_frames_are_found(void **state)
{
	static const unsigned links_bytes[] = { 9000, 4000, 1500 };

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct world *w = set_up(DIRECT_V4, links_bytes[i]);

		path_set_set_max_datagram(w->node[0].set, 65535, w->now_ms);
		w->node[0].sends = true;
		run(w, 30000);
		assert_in_range(mtu(w), links_bytes[i] - 28 - PATH_MTU_GRAIN_BYTES, links_bytes[i] - 28);
		tear_down(w);
	}
}

static void a_slow_path_is_not_taken_for_a_small_one(void **state)
{
	struct world *w = set_up(DIRECT_V4, 1500);

	(void)state;
	w->node[0].sends = w->node[1].sends = true;
	run(w, 3000);
	w->delay_ms = 300; /* a buffer filled up; probes measured 20 ms */
	for (unsigned i = 0; i < 6000; i++) {
		run(w, 10);
		assert_true(i < 800 || mtu(w) == 1472);
	}
	assert_int_equal(best(w, 0)->n_mtu_drops, 0);
	tear_down(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_mtu_is_found_within_three_seconds),
		cmocka_unit_test(small_links_are_found_too),
		cmocka_unit_test(an_odd_link_is_found_to_the_grain),
		cmocka_unit_test(after_a_decrease_data_flows_again),
		cmocka_unit_test(a_decrease_is_no_reason_to_leave_a_path),
		cmocka_unit_test(a_decrease_is_noticed_while_other_data_comes_in),
		cmocka_unit_test(the_ways_there_and_back_may_differ),
		cmocka_unit_test(an_increase_is_used_in_the_end),
		cmocka_unit_test(changes_in_mid_transfer_follow_one_another),
		cmocka_unit_test(a_patient_sender_does_not_wait_long),
		cmocka_unit_test(ten_percent_of_loss_make_it_no_smaller_for_long),
		cmocka_unit_test(a_decrease_is_found_on_a_lossy_path_too),
		cmocka_unit_test(a_refused_size_is_left_at_once),
		cmocka_unit_test(a_suspicion_is_settled_within_a_second),
		cmocka_unit_test(lost_size_probes_are_not_held_against_the_path),
		cmocka_unit_test(in_use_and_confirmed_it_costs_a_probe_in_five_seconds_or_one),
		cmocka_unit_test(idle_it_costs_nothing),
		cmocka_unit_test(paths_not_in_use_are_not_searched),
		cmocka_unit_test(another_network_is_searched_anew),
		cmocka_unit_test(a_path_that_was_dead_is_searched_anew),
		cmocka_unit_test(an_answer_that_tells_another_size_proves_none),
		cmocka_unit_test(without_a_largest_size_nothing_is_searched),
		cmocka_unit_test(jumbo_frames_are_found),
		cmocka_unit_test(a_slow_path_is_not_taken_for_a_small_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
