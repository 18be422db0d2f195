#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/coordinator/service.h"
#include "tests/unit/certs.h"
#include "tests/unit/member_double.h"

#define N_MEMBERS 60
#define CONNECTIONS_MAX 512

/* Registrations and service without sockets: what a registration sends goes straight to the member's double. */
struct connection {
	struct registration registration;
	struct member_double *member; /* NULL: nobody reads any more */
	bool is_closed;
	unsigned queued_percent;
	unsigned n_sent;
	int refusal; /* of a handshake that was answered by one: -EACCES */
};

struct fixture {
	char dir[64], path[96];
	struct config config;
	struct config_member members[N_MEMBERS];
	struct seckey secrets[N_MEMBERS], own_secret, stranger_secret;
	struct identity identity;
	struct store *store;
	struct directory *directory;
	struct indices *indices;
	struct counters counters;
	struct forward forward;
	struct service service;
	struct member_double doubles[N_MEMBERS], stranger;
	struct connection *connections[CONNECTIONS_MAX];
	unsigned n_connections;
	uint64_t now_ms;
	struct trust *trust, *shown[N_MEMBERS]; /* under a network key: the coordinator's, and the members' */
	bool is_refusing;
};

static struct connection *connection_of(struct registration *r)
{
	return r->stream;
}

static void on_send(void *arg, struct registration *r, const uint8_t *body, size_t len)
{
	struct connection *c = connection_of(r);
	uint8_t copy[WIRE_FRAME_MAX_BYTES];
	struct fixture *f = arg;

	assert_true(len <= sizeof(copy));
	c->n_sent++;
	memcpy(copy, body, len);
	if (c->member && f->is_refusing)
		c->refusal = member_double_take(c->member, copy, len);
	else if (c->member)
		assert_int_equal(member_double_take(c->member, copy, len), 0);
}

static unsigned queued_percent(void *arg, const struct registration *r)
{
	(void)arg;
	return ((struct connection *)r->stream)->queued_percent;
}

static void on_close(void *arg, struct registration *r)
{
	struct fixture *f = arg;

	connection_of(r)->is_closed = true;
	service_closed(&f->service, r, f->now_ms);
}

static struct member *on_find(void *arg, const struct registration *r, const struct pubkey *key)
{
	return service_find(&((struct fixture *)arg)->service, r, key);
}

static enum cert_verdict on_judge(void *arg, const struct registration *r, const struct wire_trust *shown,
				  struct cert *cert)
{
	return service_judge(&((struct fixture *)arg)->service, r, shown, cert);
}

static void on_registering(void *arg, struct registration *r, const struct wire_register *m, uint64_t now_ms)
{
	service_registering(&((struct fixture *)arg)->service, r, m, now_ms);
}

static void on_message(void *arg, struct registration *r, int type, uint8_t *data, size_t len, uint64_t now_ms)
{
	service_message(&((struct fixture *)arg)->service, r, type, data, len, now_ms);
}

static const struct registration_env env = { on_send,  queued_percent, on_close,  on_find,
					     on_judge, on_registering, on_message };

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char error[512];

	f->now_ms = 1000000;
	snprintf(f->dir, sizeof(f->dir), "/tmp/warren_service_XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/coordinator.db", f->dir);
	prefix_from_text(&f->config.network.prefix, "10.77.0.0/16");
	prefix_from_text(&f->config.network.prefix6, "fd12:3456:789a::/64");
	snprintf(f->config.network.name, sizeof(f->config.network.name), "home");
	f->config.relay.enabled = true;
	f->config.relay.rate_per_peer = 20000000;
	f->config.relay.rate_total = 100000000;
	f->config.relay.packets_per_peer = 5000;
	f->config.listen.port = 27700;
	f->config.listen.alternate_port = 27701;
	f->config.members = f->members;
	f->config.n_members = N_MEMBERS;
	for (unsigned i = 0; i < N_MEMBERS; i++) {
		seckey_generate(&f->secrets[i]);
		pubkey_of(&f->members[i].key, &f->secrets[i]);
		snprintf(f->members[i].name, sizeof(f->members[i].name), "m%u", i);
		f->members[i].address = (struct ip){ .len = 4, .b = { 10, 77, 1, (uint8_t)(i + 1) } };
		member_double_init(&f->doubles[i], &f->secrets[i], 100 + i);
	}
	seckey_generate(&f->own_secret);
	seckey_generate(&f->stranger_secret);
	member_double_init(&f->stranger, &f->stranger_secret, 1);
	assert_int_equal(identity_init(&f->identity, &f->own_secret, NULL, aead_offer(), 0), 0);
	if (store_open(&f->store, f->path, error, sizeof(error)))
		fail_msg("%s", error);
	f->directory = directory_new(f->store, 1);
	f->indices = indices_new();
	struct directory_changes changes;
	assert_int_equal(directory_load(f->directory, &f->config, &changes), 0);
	directory_changes_fini(&changes);
	assert_int_equal(forward_init(&f->forward, f->directory, &f->counters, &f->config, f->now_ms), 0);
	service_init(&f->service, f->directory, f->indices, &f->forward, &f->counters, &f->config);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < f->n_connections; i++) {
		f->connections[i]->member = NULL;
		registration_close(&f->connections[i]->registration);
		registration_fini(&f->connections[i]->registration);
		free(f->connections[i]);
	}
	for (unsigned i = 0; i < N_MEMBERS; i++)
		member_double_fini(&f->doubles[i]);
	member_double_fini(&f->stranger);
	for (unsigned i = 0; i < N_MEMBERS; i++)
		trust_free(f->shown[i]);
	trust_free(f->trust);
	forward_fini(&f->forward);
	indices_free(f->indices);
	directory_free(f->directory);
	store_close(f->store);
	identity_fini(&f->identity);
	unlink(f->path);
	rmdir(f->dir);
	free(f);
	return 0;
}

/* ---------------------------------------------------------------- steps */

static uint64_t count(const struct fixture *f, enum counter which)
{
	return counters_get(&f->counters, which);
}

static struct connection *dial(struct fixture *f, struct member_double *d, const char *source)
{
	struct connection *c = calloc(1, sizeof(*c));
	struct endpoint from;

	assert_true(f->n_connections < CONNECTIONS_MAX);
	for (unsigned i = 0; d && i < f->n_connections; i++) { /* it reads the new connection from now on */
		if (f->connections[i]->member == d)
			f->connections[i]->member = NULL;
	}
	assert_int_equal(endpoint_from_text(&from, source), 0);
	registration_init(&c->registration, &env, f, &f->identity, &f->counters, &from, f->now_ms);
	c->registration.stream = c;
	c->member = d;
	f->connections[f->n_connections++] = c;
	return c;
}

static void greet(struct fixture *f, struct connection *c)
{
	uint8_t frame[WIRE_FRAME_MAX_BYTES];
	size_t len = member_double_begin(c->member, &f->identity.public, frame, sizeof(frame));

	registration_on_frame(&c->registration, frame, len, f->now_ms);
}

/* The refusal, which comes at its time and not before. */
static void greet_in_vain(struct fixture *f, struct connection *c)
{
	uint8_t junk[64] = { 1 };

	f->is_refusing = true;
	greet(f, c);
	assert_int_equal(c->registration.state, REGISTRATION_REFUSING);
	assert_int_equal(registration_deadline_ms(&c->registration), f->now_ms + REGISTRATION_REFUSAL_MS);
	registration_on_frame(&c->registration, junk, sizeof(junk), f->now_ms); /* changes nothing */
	assert_false(c->is_closed);
	assert_int_equal(c->n_sent, 0);
	f->now_ms += REGISTRATION_REFUSAL_MS;
	registration_due(&c->registration);
	assert_int_equal(c->n_sent, 1);
	assert_int_equal(c->refusal, -EACCES);
	assert_true(c->is_closed);
	f->is_refusing = false;
}

static void ask_registration(struct fixture *f, struct connection *c)
{
	uint8_t frame[WIRE_FRAME_MAX_BYTES];
	size_t len = member_double_register(c->member, frame);

	registration_on_frame(&c->registration, frame, len, f->now_ms);
}

static struct connection *join(struct fixture *f, unsigned n)
{
	struct connection *c = dial(f, &f->doubles[n], "192.0.2.1:4000");

	greet(f, c);
	ask_registration(f, c);
	assert_int_equal(c->registration.state, REGISTRATION_REGISTERED);
	return c;
}

static void say(struct fixture *f, struct connection *c, const uint8_t *message, int len)
{
	uint8_t frame[WIRE_FRAME_MAX_BYTES];
	size_t n;

	assert_true(len > 0);
	n = member_double_seal(c->member, message, (size_t)len, frame);
	registration_on_frame(&c->registration, frame, n, f->now_ms);
}

static void say_connect(struct fixture *f, struct connection *c, uint32_t id)
{
	uint8_t message[64];

	say(f, c, message, wire_connect_encode(message, sizeof(message), id));
}

static uint32_t id_of(const struct fixture *f, unsigned n)
{
	return f->doubles[n].registered.member;
}

static bool was_told(const struct member_double *d, uint32_t about, enum peer_event event)
{
	for (int i = -1; (i = member_double_find(d, CONTROL_PEER_EVENT, (unsigned)(i + 1))) >= 0;) {
		struct wire_peer_event e;

		assert_int_equal(wire_peer_event_decode(&e, d->kept[i].data, d->kept[i].len), 0);
		if (e.member == about && e.event == event)
			return true;
	}
	return false;
}

static struct wire_introduce introduction(const struct member_double *d)
{
	int i = member_double_find(d, CONTROL_INTRODUCE, 0);
	struct wire_introduce out;

	assert_true(i >= 0);
	assert_int_equal(wire_introduce_decode(&out, d->kept[i].data, d->kept[i].len), 0);
	return out;
}

/* ---------------------------------------------------------------- registration */

static void a_member_is_registered_with_its_addresses(void **state)
{
	struct fixture *f = *state;
	struct wire_registered *r = &f->doubles[0].registered;

	join(f, 0);
	assert_string_equal(r->name, "m0");
	assert_string_equal(r->network, "home");
	assert_int_equal(r->member, 257); /* host number of 10.77.1.1 in a /16 */
	assert_int_equal(r->n_addrs, 2);
	assert_int_equal(r->addrs[0].bits, 16);
	assert_int_equal(r->udp_port, 27700);
	assert_int_equal(r->alternate_port, 27701);
	assert_int_equal(r->flags & REGISTERED_RELAY, REGISTERED_RELAY);
	assert_int_equal(r->source.port, 4000); /* of the connection */
	assert_int_equal(r->source.ip.b[0], 192);
	assert_int_equal(directory_online(f->directory), 1);
	assert_int_equal(count(f, COUNTER_registrations), 1);
}

static void an_unknown_key_gets_no_byte(void **state)
{
	struct fixture *f = *state;
	struct connection *c = dial(f, &f->stranger, "192.0.2.66:1");

	greet(f, c);
	assert_true(c->is_closed);
	assert_int_equal(c->n_sent, 0);
	assert_int_equal(count(f, COUNTER_control_unknown_key), 1);
	assert_int_equal(count(f, COUNTER_registrations), 0);
}

static void junk_and_flipped_initiations_get_no_byte(void **state)
{
	struct fixture *f = *state;
	uint8_t frame[WIRE_FRAME_MAX_BYTES];
	size_t len = member_double_begin(&f->doubles[0], &f->identity.public, frame, sizeof(frame));

	for (size_t at = 0; at < len; at++) {
		struct connection *c = dial(f, &f->doubles[0], "192.0.2.66:1");
		uint8_t flipped[WIRE_FRAME_MAX_BYTES];

		if (at >= len - 16)
			continue; /* mac2, unused without load */
		memcpy(flipped, frame, len);
		flipped[at] ^= 1;
		registration_on_frame(&c->registration, flipped, len, f->now_ms);
		assert_true(c->is_closed);
		assert_int_equal(c->n_sent, 0);
		registration_fini(&c->registration);
		f->n_connections--;
		free(c);
	}
	assert_int_equal(count(f, COUNTER_handshakes_answered), 0);
}

static void a_replayed_initiation_does_not_replace_a_registration(void **state)
{
	struct fixture *f = *state;
	struct connection *first = dial(f, &f->doubles[0], "192.0.2.1:4000"), *second;
	uint8_t frame[WIRE_FRAME_MAX_BYTES], replayed[WIRE_FRAME_MAX_BYTES];
	size_t len = member_double_begin(&f->doubles[0], &f->identity.public, frame, sizeof(frame));

	memcpy(replayed, frame, len);
	registration_on_frame(&first->registration, frame, len, f->now_ms);
	ask_registration(f, first);
	second = dial(f, NULL, "192.0.2.66:1");
	registration_on_frame(&second->registration, replayed, len, f->now_ms);
	assert_int_equal(second->registration.state, REGISTRATION_CONFIRMING);
	memset(frame, 0x5a, 64); /* it cannot make the sealed frame that would confirm it */
	registration_on_frame(&second->registration, frame, 64, f->now_ms);
	assert_true(second->is_closed);
	assert_false(first->is_closed);
	assert_int_equal(first->registration.state, REGISTRATION_REGISTERED);
	assert_ptr_equal(directory_by_id(f->directory, id_of(f, 0))->registration, &first->registration);
}

static void the_newest_confirmed_registration_of_a_key_wins(void **state)
{
	struct fixture *f = *state;
	struct connection *old = join(f, 0), *fresh;
	struct member_double clone;
	struct wire_refused refused;
	int i;

	member_double_init(&clone, &f->secrets[0], 100);
	fresh = dial(f, &clone, "203.0.113.9:5000");
	greet(f, fresh);
	assert_false(old->is_closed);
	ask_registration(f, fresh);
	assert_true(old->is_closed);
	i = member_double_find(&f->doubles[0], CONTROL_REFUSED, 0);
	assert_true(i >= 0);
	assert_int_equal(wire_refused_decode(&refused, f->doubles[0].kept[i].data, f->doubles[0].kept[i].len), 0);
	assert_int_equal(refused.reason, REFUSED_REPLACED);
	assert_int_equal(directory_online(f->directory), 1);
	assert_ptr_equal(directory_by_id(f->directory, clone.registered.member)->registration, &fresh->registration);
	fresh->member = NULL;
	member_double_fini(&clone);
}

static void another_protocol_version_is_refused_with_the_reason(void **state)
{
	struct fixture *f = *state;
	struct connection *c = dial(f, &f->doubles[0], "192.0.2.1:4000");
	struct wire_register m = { .version = WIRE_VERSION + 1, .index = 5 };
	uint8_t message[128];

	greet(f, c);
	say(f, c, message, wire_register_encode(message, sizeof(message), &m));
	assert_true(c->is_closed);
	assert_int_equal(member_double_count(&f->doubles[0], CONTROL_REFUSED), 1);
	assert_int_equal(directory_online(f->directory), 0);
}

static void anything_but_a_register_first_ends_the_connection(void **state)
{
	struct fixture *f = *state;
	struct connection *c = dial(f, &f->doubles[0], "192.0.2.1:4000");

	greet(f, c);
	say_connect(f, c, 1);
	assert_true(c->is_closed);
	assert_int_equal(count(f, COUNTER_control_bad_frame), 1);
}

static void silence_has_a_deadline_in_every_state(void **state)
{
	struct fixture *f = *state;
	struct connection *c = dial(f, &f->doubles[0], "192.0.2.1:4000");
	uint64_t begun_ms = f->now_ms;

	assert_int_equal(registration_deadline_ms(&c->registration), begun_ms + REGISTRATION_HANDSHAKE_MS);
	f->now_ms += 3000;
	greet(f, c);
	assert_int_equal(registration_deadline_ms(&c->registration), begun_ms + REGISTRATION_HANDSHAKE_MS);
	ask_registration(f, c);
	assert_int_equal(registration_deadline_ms(&c->registration), f->now_ms + REGISTRATION_SILENCE_MS);
	f->now_ms += 25000;
	say_connect(f, c, 1);
	assert_int_equal(registration_deadline_ms(&c->registration), f->now_ms + REGISTRATION_SILENCE_MS);
}

/* ---------------------------------------------------------------- introductions and events */

static void both_are_introduced_at_once_with_their_candidates(void **state)
{
	struct fixture *f = *state;
	struct connection *a = join(f, 0), *b = join(f, 1);
	struct candidates own = { .n = 1 };
	struct wire_introduce to_a, to_b;
	uint8_t message[512];

	join(f, 2);
	own.v[0].kind = CANDIDATE_HOST;
	endpoint_from_text(&own.v[0].endpoint, "192.168.1.5:7000");
	say(f, b, message, wire_control_candidates_encode(message, sizeof(message), &own));
	assert_int_equal(member_double_count(&f->doubles[0], CONTROL_INTRODUCE), 0); /* nothing is broadcast */
	say_connect(f, a, id_of(f, 1));
	to_a = introduction(&f->doubles[0]);
	to_b = introduction(&f->doubles[1]);
	assert_int_equal(to_a.flags & INTRODUCE_ASKED, INTRODUCE_ASKED);
	assert_int_equal(to_b.flags & INTRODUCE_ASKED, 0);
	assert_int_equal(to_a.member.id, id_of(f, 1));
	assert_int_equal(to_b.member.id, id_of(f, 0));
	assert_memory_equal(to_b.member.key, f->members[0].key.b, 32);
	assert_int_equal(to_a.candidates.n, 1);
	assert_true(endpoint_equal(&to_a.candidates.v[0].endpoint, &own.v[0].endpoint));
	assert_int_equal(member_double_count(&f->doubles[2], CONTROL_INTRODUCE), 0);
}

static void asking_for_one_who_is_offline_says_so_and_tells_of_its_coming(void **state)
{
	struct fixture *f = *state;
	struct connection *a = join(f, 0);
	uint32_t id = directory_by_name(f->directory, "m1")->id;

	say_connect(f, a, id);
	assert_true(was_told(&f->doubles[0], id, PEER_OFFLINE));
	assert_int_equal(member_double_count(&f->doubles[0], CONTROL_INTRODUCE), 0);
	join(f, 1);
	assert_true(was_told(&f->doubles[0], id, PEER_ONLINE));
}

static void asking_for_nobody_or_oneself_says_that_it_is_no_member(void **state)
{
	struct fixture *f = *state;
	struct connection *a = join(f, 0);

	say_connect(f, a, 9999);
	assert_true(was_told(&f->doubles[0], 9999, PEER_REMOVED));
	say_connect(f, a, id_of(f, 0));
	assert_int_equal(member_double_count(&f->doubles[0], CONTROL_INTRODUCE), 0);
}

static void only_those_introduced_learn_that_a_member_went(void **state)
{
	struct fixture *f = *state;
	struct connection *a = join(f, 0), *b = join(f, 1);

	join(f, 2);
	say_connect(f, a, id_of(f, 1));
	registration_close(&b->registration);
	assert_true(was_told(&f->doubles[0], id_of(f, 1), PEER_OFFLINE));
	assert_int_equal(member_double_count(&f->doubles[2], CONTROL_PEER_EVENT), 0);
	assert_int_equal(directory_online(f->directory), 2);
}

static void a_restart_is_told_apart_from_a_lost_connection(void **state)
{
	struct fixture *f = *state;
	struct connection *a = join(f, 0), *b = join(f, 1);
	uint32_t id = id_of(f, 1);

	say_connect(f, a, id);
	registration_close(&b->registration);
	b = join(f, 1); /* the same boot id */
	assert_true(was_told(&f->doubles[0], id, PEER_ONLINE));
	assert_false(was_told(&f->doubles[0], id, PEER_RESTARTED));
	member_double_forget(&f->doubles[0]);
	join(f, 1); /* replaces the connection, and nothing else */
	assert_int_equal(member_double_count(&f->doubles[0], CONTROL_PEER_EVENT), 0);
	f->doubles[1].boot_id++;
	join(f, 1);
	assert_true(was_told(&f->doubles[0], id, PEER_RESTARTED));
}

static void a_removed_member_is_refused_and_its_peers_are_told(void **state)
{
	struct fixture *f = *state;
	struct connection *a = join(f, 0), *last = join(f, N_MEMBERS - 1);
	struct directory_changes changes;
	uint32_t id = id_of(f, N_MEMBERS - 1);

	say_connect(f, a, id);
	f->config.n_members--;
	assert_int_equal(directory_load(f->directory, &f->config, &changes), 0);
	service_reloaded(&f->service, &changes);
	directory_changes_fini(&changes);
	assert_true(last->is_closed);
	assert_int_equal(member_double_count(&f->doubles[N_MEMBERS - 1], CONTROL_REFUSED), 1);
	assert_true(was_told(&f->doubles[0], id, PEER_REMOVED));
	assert_false(was_told(&f->doubles[0], id, PEER_OFFLINE));
	assert_false(a->is_closed);
	last = dial(f, &f->doubles[N_MEMBERS - 1], "192.0.2.1:1");
	greet(f, last);
	assert_true(last->is_closed);
	assert_int_equal(last->n_sent, 0);
}

/* ---------------------------------------------------------------- under a network key */

/* From now on certificates say who is a member, and nobody is one yet. */
static void use_network_key(struct fixture *f)
{
	struct verifykey network = certs_network(0);
	struct directory_changes changes;

	f->config.n_members = 0;
	assert_int_equal(directory_load(f->directory, &f->config, &changes), 0);
	directory_changes_fini(&changes);
	f->trust = f->identity.trust = f->service.trust = trust_new(&network, &f->counters);
	f->service.state_dir = f->dir;
	assert_non_null(f->trust);
}

static void show(struct fixture *f, unsigned n, struct cert *c)
{
	struct signkey network = certs_network_key(0);
	struct verifykey public = certs_network(0);

	assert_int_equal(cert_sign_direct(c, &network), 0);
	f->shown[n] = f->shown[n] ? f->shown[n] : trust_new(&public, &f->counters);
	assert_non_null(f->shown[n]);
	trust_set_own(f->shown[n], c);
	f->doubles[n].identity.trust = f->shown[n];
}

/* Good for ever: the service looks at the clock. */
static struct cert cert_of(const struct fixture *f, unsigned n)
{
	char name[16], address[32];
	const char *const addrs[] = { address, NULL };
	struct cert c;

	snprintf(name, sizeof(name), "n%u", n);
	snprintf(address, sizeof(address), "10.77.2.%u", n + 1);
	c = certs_of(name, &f->doubles[n].identity.public, addrs);
	c.not_after_s = 0;
	return c;
}

static void certificate_registers_its_member(void **state)
{
	struct fixture *f = *state;
	struct cert c = cert_of(f, 0);

	use_network_key(f);
	show(f, 0, &c);
	join(f, 0);
	assert_string_equal(f->doubles[0].registered.name, "n0");
	assert_int_equal(f->doubles[0].registered.n_addrs, 1);
	assert_int_equal(f->doubles[0].registered.member, 2 * 256 + 1);
	assert_int_equal(directory_count(f->directory), 1);
	join(f, 0); /* anew, and nothing is checked twice */
	assert_int_equal(count(f, COUNTER_certificates_checked), 1);
	assert_int_equal(directory_count(f->directory), 1);
}

static void who_shows_none_or_a_bad_one_is_told_and_is_nobody(void **state)
{
	struct fixture *f = *state;
	struct connection *c;
	struct cert bad = cert_of(f, 1);

	use_network_key(f);
	c = dial(f, &f->doubles[0], "192.0.2.66:1");
	greet_in_vain(f, c);
	assert_int_equal(f->doubles[0].handshake.refusal, CERT_NONE);
	bad.not_after_s = CERTS_NOW_S;
	show(f, 1, &bad);
	c = dial(f, &f->doubles[1], "192.0.2.66:1");
	greet_in_vain(f, c);
	assert_int_equal(f->doubles[1].handshake.refusal, CERT_EXPIRED);
	assert_int_equal(count(f, COUNTER_handshake_untrusted), 2);
	assert_int_equal(directory_count(f->directory), 0);
	assert_int_equal(count(f, COUNTER_registrations), 0);
}

/* What the nth member makes of one and the same invitation, which expires so long from now. */
static void show_invited(struct fixture *f, unsigned n, int64_t expires_in_s)
{
	const char *const addrs[] = { "10.77.2.7", NULL };
	struct signkey network = certs_network_key(0), invitation = { { 5 } };
	struct cert c = certs_of("laptop", &f->doubles[n].identity.public, addrs);

	show(f, n, &c);
	verifykey_of(&c.invitation_key, &invitation);
	c.expires_s = clock_wall_ms() / 1000 + expires_in_s;
	c.not_before_s = c.expires_s - 1000;
	c.not_after_s = 0;
	assert_int_equal(cert_sign_invitation(&c, &network), 0);
	assert_int_equal(cert_sign_invited(&c, &invitation), 0);
	trust_set_own(f->shown[n], &c);
}

static bool try_to_join(struct fixture *f, unsigned n)
{
	struct connection *c = dial(f, &f->doubles[n], "192.0.2.1:1");

	greet(f, c);
	if (c->registration.state == REGISTRATION_CONFIRMING)
		ask_registration(f, c);
	return c->registration.state == REGISTRATION_REGISTERED;
}

static void expect_spent(struct fixture *f, unsigned n)
{
	struct connection *c = dial(f, &f->doubles[n], "192.0.2.1:1");

	greet_in_vain(f, c);
	assert_int_equal(f->doubles[n].handshake.refusal, CERT_SPENT);
}

static void invitation_makes_one_member_of_many_that_try(void **state)
{
	struct fixture *f = *state;
	unsigned n_registered = 0;

	use_network_key(f);
	for (unsigned i = 0; i < 2 * N_MEMBERS; i++) {
		unsigned n = i % N_MEMBERS;

		show_invited(f, n, 1000);
		if (n == 0)
			n_registered += try_to_join(f, n);
		else
			expect_spent(f, n);
	}
	assert_int_equal(n_registered, 2); /* the first, and the first again */
	assert_int_equal(directory_count(f->directory), 1);
	assert_true(pubkey_equal(&directory_by_name(f->directory, "laptop")->key, &f->doubles[0].identity.public));
}

/* Both were found good before either was the first. */
static void of_two_at_once_the_second_is_refused_when_it_registers(void **state)
{
	struct fixture *f = *state;
	struct connection *c[2];

	use_network_key(f);
	for (unsigned n = 0; n < 2; n++) {
		show_invited(f, n, 1000);
		c[n] = dial(f, &f->doubles[n], "192.0.2.1:1");
		greet(f, c[n]);
	}
	for (unsigned n = 0; n < 2; n++)
		ask_registration(f, c[n]);
	assert_int_equal(c[0]->registration.state, REGISTRATION_REGISTERED);
	assert_true(c[1]->is_closed);
	assert_int_equal(member_double_count(&f->doubles[1], CONTROL_REFUSED), 1);
	assert_int_equal(directory_count(f->directory), 1);
}

/* Whoever has an old URL can let its certificate begin when the invitation was good. */
static void invitation_that_expired_unused_makes_none(void **state)
{
	struct fixture *f = *state;

	use_network_key(f);
	show_invited(f, 0, -100);
	expect_spent(f, 0);
	assert_int_equal(directory_count(f->directory), 0);
}

static void revoked_member_is_refused_and_its_peers_are_told(void **state)
{
	static uint8_t list[REVOCATION_MAX_BYTES];
	struct fixture *f = *state;
	struct connection *a, *b;
	struct cert c;
	char path[128];
	uint32_t id;
	size_t len;
	int at;

	use_network_key(f);
	for (unsigned i = 0; i < 2; i++) {
		c = cert_of(f, i);
		show(f, i, &c);
	}
	a = join(f, 0);
	b = join(f, 1);
	id = id_of(f, 1);
	say_connect(f, a, id);
	len = certs_revoke(list, 1, &f->doubles[1].identity.public, 1);
	assert_int_equal(service_revoke(&f->service, list, len - 1, f->now_ms), -EBADMSG);
	assert_int_equal(service_revoke(&f->service, list, len, f->now_ms), 0);
	assert_int_equal(service_revoke(&f->service, list, len, f->now_ms), -EALREADY);
	assert_true(b->is_closed);
	assert_int_equal(member_double_count(&f->doubles[1], CONTROL_REFUSED), 1);
	assert_true(was_told(&f->doubles[0], id, PEER_REMOVED));
	at = member_double_find(&f->doubles[0], CONTROL_REVOCATIONS, 0);
	assert_true(at >= 0); /* there is a list, for whoever wants it */
	assert_null(directory_by_name(f->directory, "n1"));
	b = dial(f, &f->doubles[1], "192.0.2.1:1");
	greet_in_vain(f, b);
	assert_int_equal(f->doubles[1].handshake.refusal, CERT_REVOKED);
	/* It is kept. */
	trust_free(f->trust);
	f->trust = NULL;
	use_network_key(f);
	assert_int_equal(service_read_revocations(&f->service), 0);
	assert_int_equal(revocations_epoch(trust_revocations(f->trust)), 1);
	snprintf(path, sizeof(path), "%s/revocations", f->dir);
	assert_int_equal(truncate(path, 50), 0);
	trust_free(f->trust);
	f->trust = NULL;
	use_network_key(f);
	assert_int_equal(service_read_revocations(&f->service), -EBADMSG);
	unlink(path);
}

static void a_member_whose_number_changed_comes_back_under_the_new_one(void **state)
{
	struct fixture *f = *state;
	struct connection *a = join(f, 0), *b = join(f, 1);
	struct directory_changes changes;
	uint32_t old_id = id_of(f, 1);

	say_connect(f, a, old_id);
	f->members[1].address.b[3] = 200;
	assert_int_equal(directory_load(f->directory, &f->config, &changes), 0);
	service_reloaded(&f->service, &changes);
	directory_changes_fini(&changes);
	assert_true(was_told(&f->doubles[0], old_id, PEER_REMOVED));
	assert_true(b->is_closed);
	assert_false(a->is_closed);
	join(f, 1);
	assert_int_not_equal(id_of(f, 1), old_id);
	assert_int_equal(f->doubles[1].registered.addrs[0].ip.b[3], 200);
}

/* ---------------------------------------------------------------- look-up and list */

static struct wire_found look_up(struct fixture *f, struct connection *c, const struct wire_lookup *lookup)
{
	struct wire_found found = { 0 };
	uint8_t message[256];
	int i;

	member_double_forget(c->member);
	say(f, c, message, wire_lookup_encode(message, sizeof(message), lookup));
	i = member_double_find(c->member, CONTROL_FOUND, 0);
	if (i >= 0)
		assert_int_equal(wire_found_decode(&found, c->member->kept[i].data, c->member->kept[i].len), 0);
	return found;
}

static void members_are_found_by_address_name_key_and_id(void **state)
{
	struct fixture *f = *state;
	struct connection *a = join(f, 0);
	struct wire_lookup lookup = { .token = 7, .by = LOOKUP_NAME, .name = "m1" };
	struct wire_found found = look_up(f, a, &lookup);

	assert_true(found.found);
	assert_int_equal(found.token, 7);
	assert_string_equal(found.member.name, "m1");
	assert_int_equal(found.member.flags & MEMBER_ONLINE, 0);
	join(f, 1);
	lookup = (struct wire_lookup){ .token = 8, .by = LOOKUP_ADDRESS, .address = f->members[1].address };
	found = look_up(f, a, &lookup);
	assert_true(found.found && found.member.id == id_of(f, 1));
	assert_int_equal(found.member.flags & MEMBER_ONLINE, MEMBER_ONLINE);
	lookup = (struct wire_lookup){ .token = 9, .by = LOOKUP_ID, .id = id_of(f, 1) };
	assert_true(look_up(f, a, &lookup).found);
	lookup = (struct wire_lookup){ .token = 10, .by = LOOKUP_KEY };
	memcpy(lookup.key, f->members[1].key.b, 32);
	assert_true(look_up(f, a, &lookup).found);
	lookup.key[0] ^= 1;
	found = look_up(f, a, &lookup);
	assert_false(found.found);
	assert_int_equal(found.token, 10);
}

static void lookups_over_the_limit_are_dropped_and_counted(void **state)
{
	struct fixture *f = *state;
	struct connection *a = join(f, 0);
	struct wire_lookup lookup = { .by = LOOKUP_NAME, .name = "m1" };
	unsigned n = 0;

	for (unsigned i = 0; i < SERVICE_REQUESTS_BURST + 50; i++)
		n += look_up(f, a, &lookup).found;
	assert_int_equal(n, SERVICE_REQUESTS_BURST);
	assert_int_equal(count(f, COUNTER_control_rate_limited), 50);
	a = join(f, 0); /* coming back does not fill it again */
	assert_false(look_up(f, a, &lookup).found);
	f->now_ms += 1000;
	assert_true(look_up(f, a, &lookup).found);
}

static struct wire_members list_page(struct fixture *f, struct connection *c, uint64_t version, uint32_t from)
{
	struct wire_list list = { .version = version, .from = from };
	struct wire_members out;
	uint8_t message[64];
	int i;

	member_double_forget(c->member);
	say(f, c, message, wire_list_encode(message, sizeof(message), &list));
	i = member_double_find(c->member, CONTROL_MEMBERS, 0);
	assert_true(i >= 0);
	assert_int_equal(wire_members_decode(&out, c->member->kept[i].data, c->member->kept[i].len), 0);
	return out;
}

static void the_list_comes_in_pages_and_not_again_while_it_is_known(void **state)
{
	struct fixture *f = *state;
	struct connection *a = join(f, 0);
	struct wire_members page = list_page(f, a, 0, 0);
	uint64_t version = page.version;
	unsigned n = page.n, n_online = 0, n_pages = 1;

	while (page.next) {
		page = list_page(f, a, 0, page.next);
		n += page.n;
		n_pages++;
	}
	assert_int_equal(n, N_MEMBERS);
	assert_int_equal(n_pages, (N_MEMBERS + WIRE_MEMBERS_PER_PAGE - 1) / WIRE_MEMBERS_PER_PAGE);
	page = list_page(f, a, version, 0);
	assert_int_equal(page.next, CONTROL_LIST_UNCHANGED);
	assert_int_equal(page.n, 0);
	join(f, 1); /* an online flag is a change */
	page = list_page(f, a, version, 0);
	assert_true(page.version > version);
	for (unsigned i = 0; i < page.n; i++)
		n_online += page.v[i].flags & MEMBER_ONLINE;
	assert_int_equal(n_online, 2);
}

static void a_ping_is_answered_and_junk_inside_the_session_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct connection *a = join(f, 0);
	uint8_t message[64] = { 200, 1, 2, 3 };
	struct wire_pong pong;
	int i;

	say(f, a, message, 4); /* a type of a later version */
	message[0] = CONTROL_CONNECT;
	say(f, a, message, 3);
	assert_false(a->is_closed);
	say(f, a, message, wire_ping_encode(message, sizeof(message), 4711));
	i = member_double_find(a->member, CONTROL_PONG, 0);
	assert_true(i >= 0);
	assert_int_equal(wire_pong_decode(&pong, a->member->kept[i].data, a->member->kept[i].len), 0);
	assert_int_equal(pong.token, 4711);
	assert_in_range(clock_wall_ms() - pong.wall_ms, 0, 5000); /* and our clock is told */
}

/* ---------------------------------------------------------------- relay over the connections */

static void say_relay(struct fixture *f, struct connection *c, uint32_t to, const void *payload, size_t len)
{
	uint8_t message[WIRE_CONTROL_MAX_BYTES];
	int at = wire_control_relay_encode(message, sizeof(message), to);

	memcpy(message + at, payload, len);
	say(f, c, message, at + (int)len);
}

static void a_relayed_message_arrives_whole_with_its_senders_id(void **state)
{
	struct fixture *f = *state;
	struct connection *a = join(f, 0);
	const uint8_t *payload;
	size_t len;
	uint32_t from;
	int i;

	join(f, 1);
	say_relay(f, a, id_of(f, 1), "opaque", 6);
	i = member_double_find(&f->doubles[1], CONTROL_RELAY, 0);
	assert_true(i >= 0);
	assert_int_equal(
		wire_control_relay_decode(&from, &payload, &len, f->doubles[1].kept[i].data, f->doubles[1].kept[i].len),
		0);
	assert_int_equal(from, id_of(f, 0));
	assert_int_equal(len, 6);
	assert_memory_equal(payload, "opaque", 6);
	assert_int_equal(count(f, COUNTER_relay_forwarded_datagrams), 1);
}

static void relaying_stops_at_the_senders_limit_and_spares_the_others(void **state)
{
	struct fixture *f = *state;
	struct connection *a, *c, *b;
	uint8_t payload[1000] = { 1 };
	unsigned n;

	f->config.relay.packets_per_peer = 100; /* a burst of 64 datagrams is the least */
	forward_reload(&f->forward, &f->config);
	a = join(f, 0);
	b = join(f, 1);
	c = join(f, 2);
	b->member = NULL; /* counts alone */
	for (unsigned i = 0; i < 200; i++)
		say_relay(f, a, id_of(f, 1), payload, sizeof(payload));
	n = (unsigned)count(f, COUNTER_relay_forwarded_datagrams);
	assert_true(n >= 64 && n < 130);
	assert_int_equal(count(f, COUNTER_relay_over_rate), 200 - n);
	say_relay(f, c, id_of(f, 1), payload, sizeof(payload));
	assert_int_equal(count(f, COUNTER_relay_forwarded_datagrams), n + 1);
}

static void the_relay_drops_what_has_no_receiver_and_counts_it(void **state)
{
	struct fixture *f = *state;
	struct connection *a = join(f, 0), *b;

	say_relay(f, a, 9999, "x", 1);
	say_relay(f, a, directory_by_name(f->directory, "m1")->id, "x", 1); /* offline */
	say_relay(f, a, id_of(f, 0), "x", 1);                               /* itself */
	assert_int_equal(count(f, COUNTER_relay_no_receiver), 3);
	b = join(f, 1);
	b->queued_percent = 101;
	say_relay(f, a, id_of(f, 1), "x", 1);
	assert_int_equal(count(f, COUNTER_drop_queue_full), 1);
	b->queued_percent = 0;
	say_relay(f, a, id_of(f, 1), "x", 1); /* and the channel has no gap: on_send checks that it opens */
	assert_int_equal(member_double_count(&f->doubles[1], CONTROL_RELAY), 1);
	f->config.relay.enabled = false;
	forward_reload(&f->forward, &f->config);
	say_relay(f, a, id_of(f, 1), "x", 1);
	assert_int_equal(count(f, COUNTER_relay_not_allowed), 1);
}

static void a_receivers_long_queue_is_for_those_who_sent_little(void **state)
{
	struct fixture *f = *state;
	struct connection *heavy = join(f, 0), *b = join(f, 1), *light = join(f, 2);
	uint8_t payload[1000] = { 0 };

	for (unsigned i = 0; i < 10; i++)
		say_relay(f, heavy, id_of(f, 1), payload, sizeof(payload));
	say_relay(f, light, id_of(f, 1), payload, sizeof(payload));
	assert_int_equal(count(f, COUNTER_relay_forwarded_datagrams), 11);
	b->queued_percent = 51;
	say_relay(f, heavy, id_of(f, 1), payload, sizeof(payload));
	assert_int_equal(count(f, COUNTER_relay_over_share), 1);
	say_relay(f, light, id_of(f, 1), payload, sizeof(payload));
	assert_int_equal(count(f, COUNTER_relay_forwarded_datagrams), 12);
	b->queued_percent = 50; /* half of it is everybody's */
	say_relay(f, heavy, id_of(f, 1), payload, sizeof(payload));
	assert_int_equal(count(f, COUNTER_relay_forwarded_datagrams), 13);
	assert_int_equal(count(f, COUNTER_relay_over_share), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_member_is_registered_with_its_addresses),
		TEST(an_unknown_key_gets_no_byte),
		TEST(junk_and_flipped_initiations_get_no_byte),
		TEST(a_replayed_initiation_does_not_replace_a_registration),
		TEST(the_newest_confirmed_registration_of_a_key_wins),
		TEST(another_protocol_version_is_refused_with_the_reason),
		TEST(anything_but_a_register_first_ends_the_connection),
		TEST(silence_has_a_deadline_in_every_state),
		TEST(both_are_introduced_at_once_with_their_candidates),
		TEST(asking_for_one_who_is_offline_says_so_and_tells_of_its_coming),
		TEST(asking_for_nobody_or_oneself_says_that_it_is_no_member),
		TEST(only_those_introduced_learn_that_a_member_went),
		TEST(a_restart_is_told_apart_from_a_lost_connection),
		TEST(a_removed_member_is_refused_and_its_peers_are_told),
		TEST(certificate_registers_its_member),
		TEST(who_shows_none_or_a_bad_one_is_told_and_is_nobody),
		TEST(invitation_makes_one_member_of_many_that_try),
		TEST(of_two_at_once_the_second_is_refused_when_it_registers),
		TEST(invitation_that_expired_unused_makes_none),
		TEST(revoked_member_is_refused_and_its_peers_are_told),
		TEST(a_member_whose_number_changed_comes_back_under_the_new_one),
		TEST(members_are_found_by_address_name_key_and_id),
		TEST(lookups_over_the_limit_are_dropped_and_counted),
		TEST(the_list_comes_in_pages_and_not_again_while_it_is_known),
		TEST(a_ping_is_answered_and_junk_inside_the_session_changes_nothing),
		TEST(a_relayed_message_arrives_whole_with_its_senders_id),
		TEST(relaying_stops_at_the_senders_limit_and_spares_the_others),
		TEST(the_relay_drops_what_has_no_receiver_and_counts_it),
		TEST(a_receivers_long_queue_is_for_those_who_sent_little),
	};

	if (crypto_start() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
