#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/control/proto.h"
#include "daemon/coordinator/registry.h"
#include "daemon/wire/stun.h"
#include "tests/unit/coordinator_world.h"
#include "tests/unit/netns.h"

/* The whole role: each test starts a coordinator of its own. */

static void a_member_registers_over_tcp(void **state)
{
	struct world *f = *state;
	struct client *a = client_join(f, 0);

	assert_string_equal(a->member.registered.name, "m0");
	assert_int_equal(a->member.registered.udp_port, UDP_PORT);
	assert_int_equal(a->member.registered.alternate_port, ALTERNATE_PORT);
	world_expect(f, "registrations", 1);
}

static void an_unknown_key_is_closed_and_counted(void **state)
{
	struct world *f = *state;

	client_connect(f, &f->stranger);
	assert_true(world_run_until(f, client_is_closed, &f->stranger));
	assert_false(f->stranger.member.has_channel);
	world_expect(f, "control_unknown_key", 1);
}

static void silent_connections_give_way_to_new_ones(void **state)
{
	struct client *silent = calloc(REGISTRY_UNCONFIRMED_MAX, sizeof(*silent));
	struct world *f = *state;

	for (unsigned i = 0; i < REGISTRY_UNCONFIRMED_MAX; i++)
		client_dial(f, &silent[i]);
	for (unsigned i = 0; i < REGISTRY_UNCONFIRMED_MAX; i++)
		assert_true(world_run_until(f, client_is_connected, &silent[i]));
	client_join(f, 0);
	assert_true(world_run_until(f, client_is_closed, &silent[0]));
	assert_false(silent[REGISTRY_UNCONFIRMED_MAX - 1].is_closed);
	for (unsigned i = 0; i < REGISTRY_UNCONFIRMED_MAX; i++)
		stream_close(silent[i].stream);
	free(silent);
}

static void both_are_introduced(void **state)
{
	struct world *f = *state;
	struct client *a = client_join(f, 0), *b = client_join(f, 1);
	uint8_t message[64];

	client_say(a, message, wire_connect_encode(message, sizeof(message), client_id(b)));
	assert_true(world_run_until(f, client_is_introduced, a));
	assert_true(world_run_until(f, client_is_introduced, b));
}

static void both_udp_ports_tell_the_endpoint_and_one_binds_it(void **state)
{
	struct world *f = *state;
	struct client *a = client_join(f, 0);
	struct sockaddr_in own;
	socklen_t len = sizeof(own);

	getsockname(a->udp, (struct sockaddr *)&own, &len);
	client_ask_bind(f, a, ALTERNATE_PORT, 0, BIND_NO_MOVE);
	assert_int_equal(a->bound.observed.port, ntohs(own.sin_port));
	assert_int_equal(a->bound.challenge, 0);
	assert_int_equal(a->bound.token, 42);
	client_ask_bind(f, a, UDP_PORT, 0, 0);
	assert_int_equal(a->bound.observed.port, ntohs(own.sin_port));
	assert_int_not_equal(a->bound.challenge, 0);
	client_ask_bind(f, a, UDP_PORT, a->bound.challenge ^ 1, 0);
	assert_int_equal(a->bound.flags & BIND_BOUND, 0);
	client_ask_bind(f, a, UDP_PORT, a->bound.challenge, 0);
	assert_int_equal(a->bound.flags & BIND_BOUND, BIND_BOUND);
}

static void a_stock_stun_request_is_answered_on_both_ports(void **state)
{
	const uint16_t ports[] = { UDP_PORT, ALTERNATE_PORT };
	struct world *f = *state;
	struct client *c = &f->clients[0];
	uint8_t id[STUN_ID_BYTES] = "transaction", request[STUN_REQUEST_MAX_BYTES];
	struct sockaddr_in own;
	socklen_t len = sizeof(own);

	getsockname(c->udp, (struct sockaddr *)&own, &len);
	for (unsigned i = 0; i < 2; i++) {
		c->n_datagrams = 0;
		client_send(c->udp, ports[i], request, (size_t)stun_request_encode(request, id, 0));
		assert_true(world_run_until(f, client_has_datagram, c));
		/* Read by hand: stun_decode takes no answer that names a loopback address. */
		assert_int_equal(c->datagram_len, 32);
		assert_memory_equal(c->datagram, "\x01\x01\x00\x0c\x21\x12\xa4\x42", 8);
		assert_memory_equal(c->datagram + 8, id, sizeof(id));
		assert_memory_equal(c->datagram + 20, "\x00\x20\x00\x08\x00\x01", 6);
		assert_int_equal((c->datagram[26] << 8 | c->datagram[27]) ^ 0x2112, ntohs(own.sin_port));
		assert_memory_equal(c->datagram + 28, "\x5e\x12\xa4\x43", 4); /* 127.0.0.1 xor the magic cookie */
	}
	world_expect(f, "stun_answered", 2);
}

static void a_datagram_goes_from_udp_to_udp(void **state)
{
	struct world *f = *state;
	struct client *a = client_join(f, 0), *b = client_join(f, 1);
	struct wire_relay r;

	client_bind(f, a);
	client_bind(f, b);
	client_relay(a, client_id(b), "opaque to the relay");
	assert_true(world_run_until(f, client_has_datagram, b));
	assert_int_equal(wire_relay_decode(&r, b->datagram, b->datagram_len), 0);
	assert_int_equal(r.member, client_id(a));
	assert_int_equal(r.index, b->member.index);
	assert_int_equal(relay_link_check(b->member.link, &r, b->datagram), 0);
	assert_int_equal(r.payload_len, 19);
	assert_memory_equal(r.payload, "opaque to the relay", 19);
	world_expect(f, "relay_forwarded_datagrams", 1);
	world_expect(f, "relay_forwarded_bytes", 19);
}

static void check_relayed_message(struct world *f, struct client *from, struct client *to, const char *payload)
{
	const uint8_t *data;
	uint32_t sender;
	size_t len;
	int i;

	assert_true(world_run_until(f, client_has_message, to));
	i = member_double_find(&to->member, CONTROL_RELAY, 0);
	assert_int_equal(
		wire_control_relay_decode(&sender, &data, &len, to->member.kept[i].data, to->member.kept[i].len), 0);
	assert_int_equal(sender, client_id(from));
	assert_int_equal(len, strlen(payload));
	assert_memory_equal(data, payload, len);
}

static void a_datagram_goes_from_udp_to_tcp_where_no_endpoint_is_bound(void **state)
{
	struct world *f = *state;
	struct client *a = client_join(f, 0), *b = client_join(f, 1);

	client_bind(f, a);
	client_relay(a, client_id(b), "to one without UDP");
	check_relayed_message(f, a, b, "to one without UDP");
}

static void a_message_goes_from_tcp_to_tcp_even_where_an_endpoint_is_bound(void **state)
{
	struct world *f = *state;
	struct client *a = client_join(f, 0), *b = client_join(f, 1);
	uint8_t message[64];
	int at = wire_control_relay_encode(message, sizeof(message), client_id(b));

	client_bind(f, b);
	memcpy(message + at, "reliably", 8);
	client_say(a, message, at + 8);
	check_relayed_message(f, a, b, "reliably");
	assert_int_equal(b->n_datagrams, 0);
}

static void forged_and_replayed_relay_datagrams_are_dropped(void **state)
{
	struct world *f = *state;
	struct client *a = client_join(f, 0), *b = client_join(f, 1), *c = client_join(f, 2);
	uint8_t datagram[256];
	size_t len;

	client_bind(f, a);
	client_bind(f, b);
	client_bind(f, c);
	len = client_wrap(a, client_id(b), "once", datagram);
	client_send(a->udp, UDP_PORT, datagram, len);
	client_send(a->udp, UDP_PORT, datagram, len); /* replayed */
	len = client_wrap(a, client_id(b), "forged", datagram);
	for (size_t at = 8; at < WIRE_RELAY_HEADER_BYTES; at++) { /* world_counter, member, tag */
		datagram[at] ^= 1;
		client_send(a->udp, UDP_PORT, datagram, len);
		datagram[at] ^= 1;
	}
	client_send(a->udp, UDP_PORT, datagram, len - 1); /* shorter than tagged */
	client_send(c->udp, UDP_PORT, datagram, len);     /* a's, from elsewhere */
	datagram[4] ^= 1;
	client_send(a->udp, UDP_PORT, datagram, len); /* nobody's index */
	client_settle(f, a);
	client_settle(f, c);
	world_expect(f, "relay_forwarded_datagrams", 1);
	world_expect(f, "drop_replay", 1);
	world_expect(f, "drop_auth", WIRE_RELAY_HEADER_BYTES - 8 + 1);
	world_expect(f, "relay_bad_source", 1);
	world_expect(f, "drop_unknown_index", 1);
	assert_true(world_run_until(f, client_has_datagram, b));
	assert_int_equal(b->n_datagrams, 1);
	datagram[4] ^= 1;
	client_send(a->udp, UDP_PORT, datagram, len); /* none of the forgeries used up its counter */
	client_settle(f, a);
	world_expect(f, "relay_forwarded_datagrams", 2);
}

static void a_sender_that_is_not_bound_relays_nothing(void **state)
{
	struct world *f = *state;
	struct client *a = client_join(f, 0), *b = client_join(f, 1);

	client_bind(f, b);
	client_relay(a, client_id(b), "too early");
	client_settle(f, a);
	world_expect(f, "relay_bad_source", 1);
	world_expect(f, "relay_forwarded_datagrams", 0);
}

static void datagrams_over_the_quota_are_dropped(void **state)
{
	struct world *f = *state;
	struct client *a, *b;
	struct config slow = f->config;
	char error[256];
	int64_t n_forwarded;

	slow.relay.packets_per_peer = 1;
	assert_int_equal(coordinator_reload(f->coordinator, &slow, error, sizeof(error)), 0);
	a = client_join(f, 0);
	b = client_join(f, 1);
	client_bind(f, a);
	for (unsigned i = 0; i < 150; i++) {
		client_relay(a, client_id(b), "much");
		if (i % 50 == 49)
			client_settle(f, a);
	}
	n_forwarded = world_counter(f, "relay_forwarded_datagrams");
	assert_true(n_forwarded >= 64 && n_forwarded < 80);
	world_expect(f, "relay_over_rate", 150 - n_forwarded);
	assert_int_equal(coordinator_reload(f->coordinator, &f->config, error, sizeof(error)), 0);
}

#define PORTS_TRIED 64

static unsigned workers_that_forwarded(struct world *f)
{
	json_t *status = world_ask(f, "{\"cmd\":\"status\"}\n"), *n;
	unsigned n_workers = 0;
	size_t i;

	json_array_foreach(json_object_get(json_object_get(status, "relay"), "forwarded_by_worker"), i, n)
		n_workers += json_integer_value(n) > 0;
	json_decref(status);
	return n_workers;
}

/* The kernel chooses the worker by the ports: before long both have been met. Nothing is lost on the way. */
static void a_member_whose_port_changes_meets_another_worker_and_loses_nothing(void **state)
{
	struct world *f = *state;
	struct client *a = client_join(f, 0), *b = client_join(f, 1);
	unsigned n = 0;

	client_bind(f, b);
	while (workers_that_forwarded(f) < 2 && n < PORTS_TRIED) {
		client_move(a);
		client_bind(f, a);
		b->n_datagrams = 0;
		client_relay(a, client_id(b), "from a new port");
		assert_true(world_run_until(f, client_has_datagram, b));
		n++;
	}
	assert_int_equal(workers_that_forwarded(f), 2);
	world_expect(f, "relay_forwarded_datagrams", n);
	world_expect(f, "relay_bad_source", 0);
}

static void a_removed_members_datagrams_stop_with_the_reload(void **state)
{
	struct world *f = *state;
	struct client *a = client_join(f, 0), *b = client_join(f, 1), *c = client_join(f, 2);
	struct config fewer = f->config;
	uint8_t from_b[256], to_b[256];
	size_t from_b_len, to_b_len;
	char error[256];

	client_bind(f, a);
	client_bind(f, b);
	client_bind(f, c);
	from_b_len = client_wrap(b, client_id(a), "too late", from_b);
	to_b_len = client_wrap(a, client_id(b), "too late", to_b);
	fewer.members = (struct config_member[]){ f->members[0], f->members[2] };
	fewer.n_members = 2;
	assert_int_equal(coordinator_reload(f->coordinator, &fewer, error, sizeof(error)), 0);
	client_send(b->udp, UDP_PORT, from_b, from_b_len);
	client_send(a->udp, UDP_PORT, to_b, to_b_len);
	world_expect(f, "drop_unknown_index", 1);
	world_expect(f, "relay_no_receiver", 1);
	client_relay(a, client_id(c), "still here");
	assert_true(world_run_until(f, client_has_datagram, c));
	world_expect(f, "relay_forwarded_datagrams", 1);
	assert_int_equal(a->n_datagrams + b->n_datagrams, 0);
	assert_int_equal(coordinator_reload(f->coordinator, &f->config, error, sizeof(error)), 0);
}

static void one_socket_serves_where_ports_cannot_be_shared(void **state)
{
	struct world *f = *state;
	struct client *a, *b;
	json_t *status;

	coordinator_stop(f->coordinator);
	setenv("WARREN_DISABLE", "reuseport", 1);
	world_start(f);
	unsetenv("WARREN_DISABLE");
	a = client_join(f, 0);
	b = client_join(f, 1);
	client_bind(f, a);
	client_bind(f, b);
	client_relay(a, client_id(b), "by one worker");
	assert_true(world_run_until(f, client_has_datagram, b));
	status = world_ask(f, "{\"cmd\":\"status\"}\n");
	assert_int_equal(json_integer_value(json_object_get(status, "workers")), 1);
	assert_true(json_is_false(json_object_get(json_object_get(status, "offload"), "reuseport")));
	assert_string_equal(json_string_value(json_object_get(json_object_get(status, "offload_off"), "reuseport")),
			    "turned off");
	assert_int_equal(json_array_size(json_object_get(status, "notices")), 1);
	json_decref(status);
}

static void a_restarted_coordinator_gives_the_same_addresses(void **state)
{
	struct world *f = *state;
	struct client *b;
	uint32_t id;

	b = client_join(f, 1);
	id = client_id(b);
	coordinator_stop(f->coordinator);
	f->coordinator = NULL;
	assert_true(world_run_until(f, client_is_closed, b));
	world_start(f);
	b = client_join(f, 1);
	assert_int_equal(client_id(b), id);
}

static void the_control_socket_tells_status_and_peers(void **state)
{
	struct world *f = *state;
	json_t *answer, *peer;

	client_join(f, 1);
	answer = world_ask(f, "{\"cmd\":\"peers\"}\n");
	assert_string_equal(json_string_value(json_object_get(answer, "schema")), "warren.peers/1");
	assert_int_equal(json_array_size(json_object_get(answer, "peers")), N_MEMBERS);
	peer = json_array_get(json_object_get(answer, "peers"), 1);
	assert_string_equal(json_string_value(json_object_get(peer, "name")), "m1");
	assert_string_equal(json_string_value(json_object_get(peer, "state")), "up");
	peer = json_array_get(json_object_get(answer, "peers"), 0);
	assert_string_equal(json_string_value(json_object_get(peer, "state")), "down");
	json_decref(answer);
	answer = world_ask(f, "{\"cmd\":\"status\"}\n");
	assert_string_equal(json_string_value(json_object_get(answer, "role")), "coordinator");
	assert_int_equal(json_integer_value(json_object_get(json_object_get(answer, "members"), "online")), 1);
	json_decref(answer);
	answer = world_ask(f, "{\"cmd\":\"netcheck\"}\n");
	assert_int_equal(json_integer_value(json_object_get(json_object_get(answer, "error"), "code")), EXIT_NO);
	json_decref(answer);
}

static void a_taken_port_is_named_and_leaves_nothing_open(void **state)
{
	struct world *f = *state;
	struct coordinator *second = NULL;

	assert_int_equal(coordinator_start(&second, &f->loop, &f->config, &f->secret, NULL), -EADDRINUSE);
	assert_null(second);
}

static int listening(uint16_t port)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)); /* connections of earlier tests linger */
	assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

static void sockets_of_the_service_manager_stand_in_for_its_own(void **state)
{
	struct world *f = *state;
	json_t *answer, *tcp;
	int own, other;

	coordinator_stop(f->coordinator);
	f->coordinator = NULL;
	own = listening(UDP_PORT); /* nobody else can listen there now */
	other = listening(443);
	f->handed = (struct listen_fds){ .n = 3, .fds = { other, socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), own } };
	world_start(f);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(f->handed.fds[i], -1);
	answer = world_ask(f, "{\"cmd\":\"status\"}\n");
	tcp = json_object_get(json_object_get(answer, "listen"), "tcp");
	assert_int_equal(json_array_size(tcp), 2);
	assert_int_equal(json_integer_value(json_array_get(tcp, 0)), 443);
	assert_int_equal(json_integer_value(json_array_get(tcp, 1)), UDP_PORT);
	json_decref(answer);
	client_join(f, 0);
	f->handed.n = 0;
}

static void a_damaged_database_keeps_the_role_from_starting(void **state)
{
	struct world *f = *state;
	char path[256];
	int fd;

	coordinator_stop(f->coordinator);
	f->coordinator = NULL;
	snprintf(path, sizeof(path), "%s/coordinator.db", f->state_dir);
	assert_int_equal(truncate(path, 100), 0);
	assert_int_equal(coordinator_start(&f->coordinator, &f->loop, &f->config, &f->secret, NULL), -EUCLEAN);
	assert_null(f->coordinator);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(lseek(fd, 0, SEEK_END), 100);
	close(fd);
}

static const json_t *only_pair(const json_t *map)
{
	const json_t *pairs = json_object_get(map, "pairs");

	assert_int_equal(json_array_size(pairs), 1);
	return json_array_get(pairs, 0);
}

static const char *kind_in(const json_t *pair, const char *key)
{
	return json_string_value(json_object_get(json_object_get(pair, key), "kind"));
}

static void the_map_shows_members_and_the_pairs_that_were_introduced(void **state)
{
	struct world *f = *state;
	json_t *map = world_ask(f, "{\"cmd\":\"map\"}\n");
	struct client *a, *b;
	struct wire_paths paths = { .n = 2 };
	uint8_t message[64];
	const json_t *member, *pair;

	assert_string_equal(json_string_value(json_object_get(map, "schema")), "warren.map/1");
	assert_int_equal(json_array_size(json_object_get(map, "members")), N_MEMBERS);
	assert_int_equal(json_array_size(json_object_get(map, "pairs")), 0);
	json_decref(map);
	a = client_join(f, 0);
	b = client_join(f, 1);
	client_say(b, message, wire_connect_encode(message, sizeof(message), client_id(a)));
	assert_true(world_run_until(f, client_is_introduced, a));
	assert_true(world_run_until(f, client_is_introduced, b));
	paths.v[0].member = client_id(b);
	paths.v[0].kind = CONTROL_PATH_RELAY_TCP;
	paths.v[1].member = 9999; /* nobody it was introduced to */
	client_say(a, message, wire_paths_encode(message, sizeof(message), &paths));
	message[6] = 99; /* no kind of path */
	client_say(b, message, 2 + 2 * 5);
	world_expect(f, "control_bad_frame", 1);
	map = world_ask(f, "{\"cmd\":\"map\"}\n");
	pair = only_pair(map);
	assert_string_equal(json_string_value(json_object_get(pair, "a")), "m0");
	assert_string_equal(json_string_value(json_object_get(pair, "b")), "m1");
	assert_string_equal(kind_in(pair, "a_path"), "relay");
	assert_true(json_is_null(json_object_get(pair, "b_path")));
	member = json_array_get(json_object_get(map, "members"), 0);
	assert_string_equal(json_string_value(json_object_get(member, "name")), "m0");
	assert_true(json_is_true(json_object_get(member, "online")));
	assert_non_null(strstr(json_string_value(json_object_get(member, "tcp")), "127.0.0.1:"));
	assert_true(json_is_null(json_object_get(member, "nat")));
	member = json_array_get(json_object_get(map, "members"), 2);
	assert_true(json_is_false(json_object_get(member, "online")));
	assert_true(json_is_null(json_object_get(member, "tcp")));
	json_decref(map);
	/* Who went says nothing any more. */
	stream_close(a->stream);
	a->stream = NULL;
	do {
		map = world_ask(f, "{\"cmd\":\"map\"}\n");
		pair = only_pair(map);
		if (json_is_null(json_object_get(pair, "a_path")))
			break;
		json_decref(map);
	} while (true);
	json_decref(map);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_member_registers_over_tcp),
		TEST(an_unknown_key_is_closed_and_counted),
		TEST(silent_connections_give_way_to_new_ones),
		TEST(both_are_introduced),
		TEST(the_map_shows_members_and_the_pairs_that_were_introduced),
		TEST(both_udp_ports_tell_the_endpoint_and_one_binds_it),
		TEST(a_stock_stun_request_is_answered_on_both_ports),
		TEST(a_datagram_goes_from_udp_to_udp),
		TEST(a_datagram_goes_from_udp_to_tcp_where_no_endpoint_is_bound),
		TEST(a_message_goes_from_tcp_to_tcp_even_where_an_endpoint_is_bound),
		TEST(forged_and_replayed_relay_datagrams_are_dropped),
		TEST(a_sender_that_is_not_bound_relays_nothing),
		TEST(datagrams_over_the_quota_are_dropped),
		TEST(a_member_whose_port_changes_meets_another_worker_and_loses_nothing),
		TEST(a_removed_members_datagrams_stop_with_the_reload),
		TEST(one_socket_serves_where_ports_cannot_be_shared),
		TEST(a_restarted_coordinator_gives_the_same_addresses),
		TEST(the_control_socket_tells_status_and_peers),
		TEST(a_taken_port_is_named_and_leaves_nothing_open),
		TEST(sockets_of_the_service_manager_stand_in_for_its_own),
		TEST(a_damaged_database_keeps_the_role_from_starting),
	};

	signal(SIGPIPE, SIG_IGN);
	netns_enter();
	if (crypto_start() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
