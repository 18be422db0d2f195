/* Relayers beside each other, as the workers of a coordinator have them, with members' sockets on the loopback:
 *
 *	m0, m1, m2 - loopback - 2 relayers, one port - the test, in the place of the loop
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "crypto/key.h"
#include "daemon/base/clock.h"
#include "daemon/coordinator/relayer.h"
#include "tests/unit/dataplane.h"
#include "tests/unit/netns.h"

#define MEMBERS 3
#define RELAYERS 2
#define FIRST_ID 10
#define NOW 1000000
#define PATIENCE_MS 5000

struct member_end {
	struct link_pair link;
	struct relay_account *account;
	struct udp udp;
	struct endpoint endpoint;
	bool is_bound, is_absent; /* as it is to be published */
};

struct fixture {
	struct config config;
	struct directory *directory;
	struct forward forward;
	struct counters loop_counters;
	struct stun_limit *stun_limit;
	_Atomic bool has_stun;
	struct relayer relayers[RELAYERS];
	struct member_end members[MEMBERS];
	uint16_t port;
	/* the last that a relayer told */
	_Atomic unsigned n_told;
	struct relayer_mail told;
	uint8_t bytes[2048];
	size_t len;
	bool is_minor;
};

static bool on_tell(void *arg, const struct relayer_mail *m, const uint8_t *data, size_t len, bool is_minor)
{
	struct fixture *f = arg;

	f->told = *m;
	if (len)
		memcpy(f->bytes, data, len);
	f->len = len;
	f->is_minor = is_minor;
	f->n_told++;
	return true;
}

static bool only_count(void *arg, const struct relayer_mail *m, const uint8_t *data, size_t len, bool is_minor)
{
	(void)m;
	(void)data;
	(void)len;
	(void)is_minor;
	((struct fixture *)arg)->n_told++;
	return true;
}

static struct endpoint loopback_endpoint(const struct udp *udp)
{
	struct endpoint ep = { .ip = ip_of("127.0.0.1"), .port = (uint16_t)udp_port(udp) };

	return ep;
}

static void publish(struct fixture *f)
{
	struct roster *roster = roster_new(MEMBERS);

	assert_non_null(roster);
	for (unsigned i = 0; i < MEMBERS; i++) {
		const struct member_end *m = &f->members[i];
		struct roster_end end = { .member = FIRST_ID + i,
					  .link = m->link.coordinator,
					  .account = m->account,
					  .is_bound = m->is_bound,
					  .way = { .peer = m->endpoint } };

		if (!m->is_absent)
			roster_add(roster, &end);
	}
	epochs_publish_take(&f->forward.rosters, &roster->item);
}

static int set_up(void **state)
{
	const struct udp_options plain = { .address = ip_of("127.0.0.1"), .want_gso = true, .buffer_bytes = 4 << 20 };
	static struct fixture f;
	struct udp shared[RELAYERS];

	memset(&f, 0, sizeof(f));
	f.config.relay.enabled = true;
	f.config.relay.rate_per_peer = f.config.relay.rate_total = 100000000000;
	f.config.relay.packets_per_peer = 100000000;
	f.directory = directory_new(NULL, 1);
	f.stun_limit = stun_limit_new(NOW);
	f.has_stun = true;
	assert_int_equal(forward_init(&f.forward, f.directory, &f.loop_counters, &f.config, NOW), 0);
	assert_int_equal(udp_open_shared(shared, RELAYERS, &plain), RELAYERS);
	f.port = (uint16_t)udp_port(&shared[0]);
	for (unsigned i = 0; i < RELAYERS; i++) {
		f.relayers[i] = (struct relayer){ .number = i,
						  .forward = &f.forward,
						  .stun_limit = f.stun_limit,
						  .has_stun = &f.has_stun,
						  .tell = on_tell,
						  .arg = &f,
						  .udp = { shared[i], { .fd = -1 }, { .fd = -1 }, { .fd = -1 } } };
		assert_int_equal(relayer_init(&f.relayers[i], NOW), 0);
	}
	for (unsigned i = 0; i < MEMBERS; i++) {
		struct member_end *m = &f.members[i];

		m->link = link_pair_new(1000 * (i + 1));
		m->account = relay_account_new();
		quota_init(&m->account->quota, f.config.relay.rate_per_peer, f.config.relay.packets_per_peer, NOW);
		m->account->proven_until_ms = NOW + BOUND_PROVEN_MS;
		assert_int_equal(udp_open(&m->udp, &plain), 0);
		m->endpoint = loopback_endpoint(&m->udp);
		m->is_bound = true;
	}
	publish(&f);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	forward_fini(&f->forward);
	for (unsigned i = 0; i < RELAYERS; i++)
		relayer_fini(&f->relayers[i]);
	for (unsigned i = 0; i < MEMBERS; i++) {
		assert_int_equal(f->members[i].account->refs, 1);
		assert_int_equal(f->members[i].link.coordinator->refs, 1);
		relay_account_unref(f->members[i].account);
		link_pair_free(&f->members[i].link);
		udp_close(&f->members[i].udp);
	}
	stun_limit_free(f->stun_limit);
	directory_free(f->directory);
	return 0;
}

/* ---------------------------------------------------------------- steps */

static uint64_t count(const struct fixture *f, enum counter c)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < RELAYERS; i++)
		sum += counters_get(&f->relayers[i].counters, c);
	return sum;
}

struct datagram {
	uint8_t data[256];
	size_t len;
	struct endpoint from;
};

static struct datagram from_to(struct fixture *f, unsigned from, unsigned to, const char *payload)
{
	struct datagram d = { .from = f->members[from].endpoint };
	size_t len = strlen(payload);

	relay_link_wrap(f->members[from].link.near, d.data, FIRST_ID + to, len);
	memcpy(d.data + WIRE_RELAY_HEADER_BYTES, payload, len);
	d.len = WIRE_RELAY_HEADER_BYTES + len;
	return d;
}

static struct udp_run run_of(struct datagram *d)
{
	return (struct udp_run){ .peer = d->from, .data = d->data, .len = d->len, .segment_bytes = d->len };
}

/* By the nth relayer, as a batch of its own. */
static void take(struct fixture *f, unsigned nth, struct datagram d, bool is_congested)
{
	struct udp_run run = run_of(&d);

	relayer_batch(&f->relayers[nth], 0, &run, 1, is_congested, NOW);
}

/* What the member got, checked as it would itself. Returns the payload's length, -1: nothing. */
static int receive(struct fixture *f, unsigned n, unsigned from, char payload[static 256])
{
	struct member_end *m = &f->members[n];
	struct wire_relay r;
	uint8_t data[512];
	ssize_t len = recv(m->udp.fd, data, sizeof(data), MSG_DONTWAIT);

	if (len < 0)
		return -1;
	assert_int_equal(wire_relay_decode(&r, data, (size_t)len), 0);
	assert_int_equal(r.index, m->link.near->local_index);
	assert_int_equal(relay_link_check(m->link.near, &r, data), 0);
	assert_int_equal(r.member, FIRST_ID + from);
	assert_true(r.payload_len < 256);
	memcpy(payload, r.payload, r.payload_len);
	payload[r.payload_len] = '\0';
	return (int)r.payload_len;
}

static void expect(struct fixture *f, unsigned n, unsigned from, const char *payload)
{
	char got[256];

	assert_int_equal(receive(f, n, from, got), strlen(payload));
	assert_string_equal(got, payload);
}

static void expect_nothing(struct fixture *f, unsigned n)
{
	char got[256];

	assert_int_equal(receive(f, n, 0, got), -1);
}

/* ---------------------------------------------------------------- tests */

static void a_members_datagrams_may_come_to_any_relayer(void **state)
{
	struct fixture *f = *state;
	char payload[16];

	for (unsigned i = 0; i < 100; i++) {
		snprintf(payload, sizeof(payload), "number %u", i);
		take(f, i / 3 % RELAYERS, from_to(f, 0, 1, payload), false);
		expect(f, 1, 0, payload);
	}
	assert_int_equal(count(f, COUNTER_relay_forwarded_datagrams), 100);
	for (unsigned i = 0; i < RELAYERS; i++)
		assert_true(counters_get(&f->relayers[i].counters, COUNTER_relay_forwarded_datagrams) > 40);
	assert_int_equal(f->members[0].account->sent_bytes, f->members[1].account->got_bytes);
	assert_int_equal(f->members[0].account->sent_bytes, count(f, COUNTER_relay_forwarded_bytes));
}

/* Twenty from the first member to each of the others, in one run. */
static void take_a_train(struct fixture *f)
{
	static uint8_t data[64 * 100];
	struct udp_run run = { .peer = f->members[0].endpoint, .data = data, .segment_bytes = 100 };

	for (unsigned i = 0; i < 40; i++) {
		size_t len = i < 39 ? 100 - WIRE_RELAY_HEADER_BYTES : 20;

		relay_link_wrap(f->members[0].link.near, data + run.len, FIRST_ID + 1 + (i >= 20), len);
		memset(data + run.len + WIRE_RELAY_HEADER_BYTES, 'a', len);
		run.len += WIRE_RELAY_HEADER_BYTES + len;
	}
	relayer_batch(&f->relayers[0], 0, &run, 1, false, NOW);
}

static void expect_a_train(struct fixture *f)
{
	char payload[256];

	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(receive(f, 1, 0, payload), 72);
	for (unsigned i = 20; i < 40; i++)
		assert_int_equal(receive(f, 2, 0, payload), i < 39 ? 72 : 20);
}

static void a_train_goes_on_as_a_train(void **state)
{
	struct fixture *f = *state;

	take_a_train(f);
	expect_a_train(f);
	assert_int_equal(count(f, COUNTER_rx_datagrams), 40);
	assert_int_equal(count(f, COUNTER_tx_datagrams), 40);
}

static void a_train_that_is_refused_goes_on_and_is_told_once(void **state)
{
	struct fixture *f = *state;
	int on = 1;

	if (!udp_has_gso(&f->relayers[0].udp[0], NULL))
		skip();
	/* Every kernel refuses trains of a socket that is forbidden to checksum. */
	assert_int_equal(setsockopt(f->relayers[0].udp[0].fd, SOL_SOCKET, SO_NO_CHECK, &on, sizeof(on)), 0);
	for (unsigned i = 1; i <= 3; i++) {
		take_a_train(f);
		expect_a_train(f);
		assert_int_equal(count(f, COUNTER_tx_datagrams), 40 * i);
	}
	assert_int_equal(f->n_told, 1);
	assert_int_equal(f->told.kind, RELAYER_REFUSED);
	assert_int_equal(count(f, COUNTER_drop_send_error), 0);
	udp_retry_gso(&f->relayers[0].udp[0]); /* it is refused again */
	take_a_train(f);
	expect_a_train(f);
	assert_int_equal(f->n_told, 2);
}

static void a_replay_is_noticed_by_the_other_relayer_too(void **state)
{
	struct fixture *f = *state;
	struct datagram d = from_to(f, 0, 1, "once");

	take(f, 0, d, false);
	take(f, 1, d, false);
	expect(f, 1, 0, "once");
	expect_nothing(f, 1);
	assert_int_equal(count(f, COUNTER_drop_replay), 1);
}

static void only_the_bound_endpoint_is_a_source(void **state)
{
	struct fixture *f = *state;
	struct datagram d = from_to(f, 0, 1, "from elsewhere");

	d.from = f->members[2].endpoint;
	take(f, 0, d, false);
	assert_int_equal(count(f, COUNTER_relay_bad_source), 1);
	d.from = f->members[0].endpoint; /* its counter is not used up */
	take(f, 0, d, false);
	expect(f, 1, 0, "from elsewhere");
	f->members[0].is_bound = false;
	publish(f);
	take(f, 0, from_to(f, 0, 1, "unbound"), false);
	assert_int_equal(count(f, COUNTER_relay_bad_source), 2);
}

static void what_cannot_go_over_udp_is_told(void **state)
{
	struct fixture *f = *state;

	f->members[1].is_bound = false;
	publish(f);
	take(f, 0, from_to(f, 0, 1, "unbound"), false);
	assert_int_equal(f->n_told, 1);
	assert_int_equal(f->told.kind, RELAYER_FORWARD);
	assert_int_equal(f->told.sender, FIRST_ID);
	assert_int_equal(f->told.receiver, FIRST_ID + 1);
	assert_int_equal(f->len, 7);
	assert_memory_equal(f->bytes, "unbound", 7);
	f->members[2].account->proven_until_ms = NOW;
	take(f, 0, from_to(f, 0, 2, "silent"), false);
	assert_int_equal(f->n_told, 2);
	f->members[2].account->proven_until_ms = NOW + 1;
	take(f, 0, from_to(f, 0, 2, "proven"), false);
	expect(f, 2, 0, "proven");
	take(f, 0, from_to(f, 0, 77, "unknown here"), false);
	assert_int_equal(f->n_told, 3);
	assert_int_equal(f->told.receiver, FIRST_ID + 77);
	take(f, 0, from_to(f, 0, 0, "itself"), false);
	assert_int_equal(f->n_told, 3);
	assert_int_equal(count(f, COUNTER_relay_no_receiver), 1);
}

static void who_is_not_registered_any_more_is_nobody_at_once(void **state)
{
	struct fixture *f = *state;
	struct datagram late;

	take(f, 0, from_to(f, 1, 2, "before"), false);
	expect(f, 2, 1, "before");
	late = from_to(f, 1, 2, "after");
	f->members[1].is_absent = true;
	publish(f);
	assert_false(epochs_reclaim(&f->forward.rosters));
	assert_int_equal(f->members[1].account->refs, 1);
	assert_int_equal(f->members[1].link.coordinator->refs, 1);
	take(f, 0, late, false);
	assert_int_equal(count(f, COUNTER_drop_unknown_index), 1);
	take(f, 0, from_to(f, 0, 1, "to nobody"), false);
	assert_int_equal(f->n_told, 1); /* the loop will say that there is no such member */
	expect_nothing(f, 1);
	expect_nothing(f, 2);
	f->config.relay.enabled = false;
	forward_reload(&f->forward, &f->config);
	take(f, 0, from_to(f, 0, 2, "switched off"), false);
	assert_int_equal(count(f, COUNTER_relay_not_allowed), 1);
}

static void limits_hold_over_all_relayers(void **state)
{
	struct fixture *f = *state;
	unsigned n = 0;
	char payload[256];

	quota_init(&f->members[0].account->quota, 100000000, 100, NOW);
	for (unsigned i = 0; i < 200; i++) {
		take(f, i % RELAYERS, from_to(f, 0, 1, "much"), false);
		n += receive(f, 1, 0, payload) > 0;
	}
	assert_int_equal(n, 64);
	assert_int_equal(count(f, COUNTER_relay_over_rate), 200 - 64);
	take(f, 0, from_to(f, 2, 1, "another's"), false);
	expect(f, 1, 2, "another's");
}

static void a_congested_relayer_refuses_the_flood(void **state)
{
	struct fixture *f = *state;
	char payload[256];

	for (unsigned i = 0; i < 50; i++) {
		take(f, 0, from_to(f, 0, 1, "flood"), false);
		expect(f, 1, 0, "flood");
	}
	for (unsigned i = 0; i < 20; i++) {
		struct datagram flood = from_to(f, 0, 1, "flood"), other = from_to(f, 2, 1, "other");
		struct udp_run runs[] = { run_of(&flood), run_of(&other) };

		relayer_batch(&f->relayers[0], 0, runs, 2, true, NOW);
		expect(f, 1, 2, "other");
	}
	assert_int_equal(receive(f, 1, 0, payload), -1);
	assert_int_equal(count(f, COUNTER_relay_over_share), 20);
	/* What it forwards over TCP must leave half of the loop's mailbox to the others. */
	f->members[1].is_bound = false;
	publish(f);
	take(f, 0, from_to(f, 0, 1, "flood"), false);
	assert_true(f->is_minor);
	take(f, 0, from_to(f, 2, 1, "other"), false);
	assert_false(f->is_minor);
	/* Another relayer is not congested, and knows nothing. */
	f->members[1].is_bound = true;
	publish(f);
	take(f, 1, from_to(f, 0, 1, "flood"), false);
	expect(f, 1, 0, "flood");
}

/* The socket shared by all is full of one member's datagrams, with a few of another's among them. */
static void a_full_socket_is_freed_of_the_flood(void **state)
{
	struct fixture *f = *state;
	struct relayer *r = &f->relayers[0];
	const struct endpoint to = loopback_endpoint(&r->udp[0]);
	unsigned n_others = 0, n_got = 0, n_flood = 0;
	uint64_t n_refused;
	char payload[256];

	relayer_fini(&f->relayers[1]); /* all goes to one socket */
	f->relayers[1].udp[0].fd = -1;
	f->members[0].account->proven_until_ms = f->members[1].account->proven_until_ms = UINT64_MAX;
	while (udp_fill(&r->udp[0]).in_percent < 95) {
		unsigned from = n_flood++ % 50 == 25 ? 2 : 0;
		const struct datagram d = from_to(f, from, 1, from ? "other" : "flood");

		n_others += from == 2;
		assert_int_equal(udp_send_one(&f->members[from].udp, &to, d.data, d.len), 0);
		assert_true(n_flood < 100000);
	}
	while (udp_fill(&r->udp[0]).in_percent > 0) {
		ssize_t len;

		relayer_pump(r, 0);
		while ((len = recv(f->members[1].udp.fd, payload, sizeof(payload), MSG_DONTWAIT)) > 0)
			n_got += memcmp(payload + len - 5, "other", 5) == 0;
	}
	n_refused = count(f, COUNTER_relay_over_share);
	assert_int_equal(n_got, n_others);
	assert_true(n_refused >= n_flood / 10); /* what was over three quarters */
	assert_true(n_refused < n_flood / 2);
	assert_int_equal(count(f, COUNTER_rx_datagrams), n_flood);
	/* With room again, all pass. */
	for (unsigned i = 0; i < 100; i++) {
		const struct datagram d = from_to(f, 0, 1, "flood");

		assert_int_equal(udp_send_one(&f->members[0].udp, &to, d.data, d.len), 0);
	}
	relayer_pump(r, 0);
	assert_int_equal(count(f, COUNTER_relay_over_share), n_refused);
}

static void strangers_are_one_sender(void **state)
{
	struct fixture *f = *state;
	uint8_t id[STUN_ID_BYTES] = "transaction";

	for (unsigned i = 0; i < 100; i++) {
		struct datagram junk = { .data = { WIRE_RELAY, 0, 0, 0, 1, 2, 3, 4 }, .len = 100 };

		junk.from = (struct endpoint){ .ip = ip_of("127.0.0.1"), .port = (uint16_t)(20000 + i) };
		take(f, 0, junk, false);
	}
	assert_int_equal(count(f, COUNTER_drop_unknown_index), 100);
	for (unsigned i = 0; i < 20; i++) {
		struct datagram stun = { .len = 20, .from = f->members[1].endpoint };

		stun_request_encode(stun.data, id, 0);
		take(f, 0, stun, true);
		take(f, 0, from_to(f, 0, 1, "a member's"), true);
		expect(f, 1, 0, "a member's");
	}
	assert_int_equal(count(f, COUNTER_relay_over_share), 20);
}

static void binds_are_told_and_those_of_nobody_take_half_the_room(void **state)
{
	const struct wire_bind request = { .type = BIND_REQUEST, .token = 42 };
	struct fixture *f = *state;
	struct link_pair stranger = link_pair_new(9000);
	struct datagram d = { .len = RELAY_BIND_DATAGRAM_BYTES, .from = f->members[2].endpoint };

	relay_link_bind_seal(f->members[0].link.near, d.data, &request);
	take(f, 0, d, false); /* from an endpoint that is to be bound, perhaps */
	assert_int_equal(f->n_told, 1);
	assert_int_equal(f->told.kind, RELAYER_BIND);
	assert_true(endpoint_equal(&f->told.from.peer, &f->members[2].endpoint));
	assert_int_equal(f->len, RELAY_BIND_DATAGRAM_BYTES);
	assert_memory_equal(f->bytes, d.data, d.len);
	assert_false(f->is_minor);
	relay_link_bind_seal(stranger.near, d.data, &request);
	take(f, 0, d, false); /* it may have registered a moment ago */
	assert_int_equal(f->n_told, 2);
	assert_true(f->is_minor);
	d.len--;
	take(f, 0, d, false);
	assert_int_equal(f->n_told, 2);
	assert_int_equal(count(f, COUNTER_drop_short), 1);
	link_pair_free(&stranger);
}

/* ---------------------------------------------------------------- threads */

struct pump {
	pthread_t id;
	struct relayer *relayer;
	_Atomic bool *is_over;
};

static void *pump_on(void *arg)
{
	struct pump *p = arg;

	while (!*p->is_over) {
		struct pollfd fd = { .fd = p->relayer->udp[0].fd, .events = POLLIN };

		if (poll(&fd, 1, 1) > 0)
			relayer_pump(p->relayer, 0);
	}
	return NULL;
}

#define SENT 6000
#define WINDOW 30

static void drain(struct fixture *f, unsigned n, uint64_t *n_got)
{
	uint8_t data[512];

	while (recv(f->members[n].udp.fd, data, sizeof(data), MSG_DONTWAIT) > 0)
		++*n_got;
}

/* Each datagram is accounted for, whatever is published meanwhile, and whichever relayer it comes to: m0 sends from a new
 * port for every window. m1 comes and goes; m2 is there always, and gets all of its own. */
static void members_come_and_go_under_traffic(void **state)
{
	const struct udp_options plain = { .address = ip_of("127.0.0.1") };
	struct fixture *f = *state;
	const struct endpoint to = loopback_endpoint(&f->relayers[0].udp[0]);
	_Atomic bool is_over = false;
	struct pump pumps[RELAYERS];
	uint64_t n_got[MEMBERS] = { 0 }, n_seen = 0, now_ms = clock_now_ms();

	for (unsigned i = 0; i < MEMBERS; i++) {
		quota_init(&f->members[i].account->quota, 100000000000, 100000000, now_ms);
		f->members[i].account->proven_until_ms = now_ms + BOUND_PROVEN_MS;
	}
	quota_init(&f->forward.total, 100000000000, 0, now_ms);
	for (unsigned i = 0; i < RELAYERS; i++) {
		f->relayers[i].tell = only_count;
		pumps[i] = (struct pump){ .relayer = &f->relayers[i], .is_over = &is_over };
		assert_int_equal(pthread_create(&pumps[i].id, NULL, pump_on, &pumps[i]), 0);
	}
	for (unsigned i = 0; i < SENT; i++) {
		const struct datagram d = from_to(f, 0, 1 + i % 2, "whoever takes it");

		if (i % WINDOW == 0) {
			udp_close(&f->members[0].udp);
			assert_int_equal(udp_open(&f->members[0].udp, &plain), 0);
			f->members[0].endpoint = loopback_endpoint(&f->members[0].udp);
			publish(f);
		}
		assert_int_equal(udp_send_one(&f->members[0].udp, &to, d.data, d.len), 0);
		if (i % 7 == 0) {
			f->members[1].is_absent = !f->members[1].is_absent;
			publish(f);
		}
		if (i % WINDOW != WINDOW - 1)
			continue;
		for (int waited_ms = 0; n_seen <= i && waited_ms < PATIENCE_MS; waited_ms++) {
			drain(f, 1, &n_got[1]);
			drain(f, 2, &n_got[2]);
			n_seen = n_got[1] + n_got[2] + f->n_told;
			if (n_seen <= i)
				poll(NULL, 0, 1);
		}
		assert_int_equal(n_seen, i + 1);
	}
	is_over = true;
	for (unsigned i = 0; i < RELAYERS; i++)
		pthread_join(pumps[i].id, NULL);
	assert_int_equal(n_got[2], SENT / 2);
	assert_true(n_got[1] > 0 && f->n_told > 0);
	for (unsigned i = 0; i < RELAYERS; i++)
		assert_true(counters_get(&f->relayers[i].counters, COUNTER_relay_forwarded_datagrams) > SENT / 20);
	assert_int_equal(count(f, COUNTER_relay_forwarded_datagrams), n_got[1] + n_got[2]);
	assert_false(epochs_reclaim(&f->forward.rosters));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_members_datagrams_may_come_to_any_relayer),
		TEST(a_train_goes_on_as_a_train),
		TEST(a_train_that_is_refused_goes_on_and_is_told_once),
		TEST(a_replay_is_noticed_by_the_other_relayer_too),
		TEST(only_the_bound_endpoint_is_a_source),
		TEST(what_cannot_go_over_udp_is_told),
		TEST(who_is_not_registered_any_more_is_nobody_at_once),
		TEST(limits_hold_over_all_relayers),
		TEST(a_congested_relayer_refuses_the_flood),
		TEST(a_full_socket_is_freed_of_the_flood),
		TEST(strangers_are_one_sender),
		TEST(binds_are_told_and_those_of_nobody_take_half_the_room),
		TEST(members_come_and_go_under_traffic),
	};

	netns_enter();
	if (crypto_start() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
