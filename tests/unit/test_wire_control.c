#include "tests/unit/wire_checks.h"
#include "daemon/wire/control.h"

#define LONGEST_NAME "a23456789-123456789.123456789-123456789.123456789-123456789.12z"

static uint8_t data[WIRE_CONTROL_MAX_BYTES];

static struct ip ip_of(const char *text)
{
	struct ip ip;

	assert_int_equal(ip_from_text(&ip, text), 0);
	return ip;
}

static struct wire_member longest_member(void)
{
	struct wire_member m = { .id = UINT32_MAX, .flags = 0xff, .name = LONGEST_NAME, .n_addrs = WIRE_ADDRS_MAX };

	static const uint8_t cert[CERT_MAX_BYTES] = { 0xce };

	m.cert = cert;
	m.cert_len = sizeof(cert);
	memset(m.key, 0xfd, sizeof(m.key));
	for (unsigned i = 0; i < m.n_addrs; i++)
		m.addrs[i] = ip_of("fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
	return m;
}

static struct wire_member shortest_member(void)
{
	return (struct wire_member){ .name = "a" };
}

static struct candidates some_candidates(void)
{
	struct candidates c = { .nat = { .mapping = NAT_MAPPING_NONE, .flags = NAT_TESTED }, .n = 2 };

	c.v[0].kind = CANDIDATE_HOST;
	assert_int_equal(endpoint_from_text(&c.v[0].endpoint, "192.0.2.1:1"), 0);
	c.v[1].kind = CANDIDATE_REFLEXIVE;
	assert_int_equal(endpoint_from_text(&c.v[1].endpoint, "[2001:db8::1]:65535"), 0);
	return c;
}

static void check_member(const struct wire_member *a, const struct wire_member *b)
{
	assert_int_equal(a->id, b->id);
	assert_memory_equal(a->key, b->key, sizeof(a->key));
	assert_int_equal(a->flags, b->flags);
	assert_string_equal(a->name, b->name);
	assert_int_equal(a->n_addrs, b->n_addrs);
	for (unsigned i = 0; i < a->n_addrs; i++)
		assert_true(ip_equal(&a->addrs[i], &b->addrs[i]));
	assert_int_equal(a->cert_len, b->cert_len);
	if (a->cert_len)
		assert_memory_equal(a->cert, b->cert, a->cert_len);
}

static void check_candidates(const struct candidates *a, const struct candidates *b)
{
	assert_memory_equal(&a->nat, &b->nat, sizeof(a->nat));
	assert_int_equal(a->n, b->n);
	for (unsigned i = 0; i < a->n; i++) {
		assert_int_equal(a->v[i].kind, b->v[i].kind);
		assert_true(endpoint_equal(&a->v[i].endpoint, &b->v[i].endpoint));
	}
}

static void names_are_those_of_hosts(void **state)
{
	static const char *const good[] = { "a", "0", "node-1.example", "a--b", "a..b", LONGEST_NAME };
	static const char *const bad[] = { "",    "-a",  "a-",  ".a",       "a.",  "A",
					   "a_b", "a b", "a/b", "\xc3\xa9", "a\n", LONGEST_NAME "a" };

	(void)state;
	assert_int_equal(strlen(LONGEST_NAME), WIRE_NAME_MAX_BYTES);
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(wire_name_is_valid(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(wire_name_is_valid(bad[i]));
}

static void the_type_is_the_first_byte(void **state)
{
	static const uint8_t unknown[] = { 0xff };

	(void)state;
	assert_int_equal(wire_control_type_of(unknown, 1), 0xff);
	assert_int_equal(wire_control_type_of(NULL, 0), -EBADMSG);
}

static void register_comes_back_with_a_name_or_without(void **state)
{
	static const char *const names[] = { "", LONGEST_NAME };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct wire_register m = { .version = 0xff, .flags = 0xfe, .boot_id = UINT64_MAX, .index = UINT32_MAX },
				     back;
		int len;

		memcpy(m.name, names[i], strlen(names[i]));
		len = wire_register_encode(data, sizeof(data), &m);
		assert_int_equal(len, 16 + strlen(names[i]));
		assert_int_equal(wire_control_type_of(data, (size_t)len), CONTROL_REGISTER);
		assert_int_equal(wire_register_decode(&back, data, (size_t)len), 0);
		assert_int_equal(back.version, 0xff);
		assert_int_equal(back.flags, 0xfe);
		assert_true(back.boot_id == UINT64_MAX);
		assert_int_equal(back.index, UINT32_MAX);
		assert_string_equal(back.name, names[i]);
		CHECK_STRICT(wire_register_decode, struct wire_register, data, len);
		CHECK_NO_ROOM(wire_register_encode, &m, len);
	}
}

static void registered_comes_back(void **state)
{
	struct wire_registered m = { .member = UINT32_MAX,
				     .index = UINT32_MAX - 1,
				     .flags = REGISTERED_RELAY,
				     .udp_port = UINT16_MAX,
				     .alternate_port = 1,
				     .relay_rate = UINT64_MAX,
				     .name = LONGEST_NAME,
				     .network = LONGEST_NAME,
				     .n_addrs = 2 },
			       back;
	int len;

	(void)state;
	m.addrs[0] = (struct prefix){ ip_of("10.77.0.2"), 16 };
	m.addrs[1] = (struct prefix){ ip_of("fd00::2"), 128 };
	m.source = (struct endpoint){ .ip = ip_of("203.0.113.9"), .port = 40001 };
	len = wire_registered_encode(data, sizeof(data), &m);
	assert_int_equal(len, 196);
	assert_int_equal(wire_registered_decode(&back, data, (size_t)len), 0);
	assert_int_equal(back.member, m.member);
	assert_int_equal(back.index, m.index);
	assert_int_equal(back.flags, m.flags);
	assert_int_equal(back.udp_port, m.udp_port);
	assert_int_equal(back.alternate_port, m.alternate_port);
	assert_true(back.relay_rate == m.relay_rate);
	assert_string_equal(back.name, m.name);
	assert_string_equal(back.network, m.network);
	assert_int_equal(back.n_addrs, 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(ip_equal(&back.addrs[i].ip, &m.addrs[i].ip));
		assert_int_equal(back.addrs[i].bits, m.addrs[i].bits);
	}
	assert_true(ip_is_none(&back.alternate_address));
	assert_true(endpoint_equal(&back.source, &m.source));
	CHECK_STRICT(wire_registered_decode, struct wire_registered, data, len);
	CHECK_NO_ROOM(wire_registered_encode, &m, len);
	data[174] = 129; /* prefix bits of the IPv6 address */
	CHECK_REFUSED(wire_registered_decode, struct wire_registered, data, (size_t)len);
	data[174] = 128;
	data[175] = 5; /* length of the alternate address */
	CHECK_REFUSED(wire_registered_decode, struct wire_registered, data, (size_t)len);
	m.alternate_address = ip_of("198.51.100.11");
	assert_int_equal(wire_registered_encode(data, sizeof(data), &m), len + 4);
	assert_int_equal(wire_registered_decode(&back, data, (size_t)len + 4), 0);
	assert_true(ip_equal(&back.alternate_address, &m.alternate_address));
	CHECK_STRICT(wire_registered_decode, struct wire_registered, data, len + 4);
	m.n_addrs = WIRE_ADDRS_MAX + 1;
	assert_int_equal(wire_registered_encode(data, sizeof(data), &m), -EINVAL);
	m.n_addrs = 0;
	m.network[0] = '\0';
	assert_int_equal(wire_registered_encode(data, sizeof(data), &m), -EINVAL);
}

static void refused_comes_back(void **state)
{
	struct wire_refused m = { .reason = 0xff }, back;
	int len;

	(void)state;
	memset(m.text, 0x80, sizeof(m.text) - 1);
	len = wire_refused_encode(data, sizeof(data), &m);
	assert_int_equal(len, 3 + 127);
	assert_int_equal(wire_refused_decode(&back, data, (size_t)len), 0);
	assert_int_equal(back.reason, 0xff);
	assert_string_equal(back.text, m.text);
	CHECK_STRICT(wire_refused_decode, struct wire_refused, data, len);
	CHECK_NO_ROOM(wire_refused_encode, &m, len);
	data[129] = '\0'; /* a text that would end early */
	CHECK_REFUSED(wire_refused_decode, struct wire_refused, data, (size_t)len);
}

static void a_text_longer_than_its_room_is_refused(void **state)
{
	uint8_t message[3 + 128] = { CONTROL_REFUSED, 1, 128 };

	(void)state;
	memset(message + 3, 'a', 128);
	CHECK_REFUSED(wire_refused_decode, struct wire_refused, message, sizeof(message));
}

static void candidates_come_back(void **state)
{
	struct candidates m = some_candidates(), back;
	int len = wire_control_candidates_encode(data, sizeof(data), &m);

	(void)state;
	assert_int_equal(len, 1 + WIRE_CANDIDATES_HEADER_BYTES + 8 + 20);
	assert_int_equal(wire_control_candidates_decode(&back, data, (size_t)len), 0);
	check_candidates(&back, &m);
	CHECK_STRICT(wire_control_candidates_decode, struct candidates, data, len);
	CHECK_NO_ROOM(wire_control_candidates_encode, &m, len);
}

static void lookups_come_back_by_each_of_their_values(void **state)
{
	(void)state;
	for (int by = LOOKUP_ADDRESS; by <= LOOKUP_ID; by++) {
		struct wire_lookup m = { .token = UINT32_MAX, .by = (enum lookup_by)by }, back;
		int len;

		if (by == LOOKUP_ADDRESS)
			m.address = ip_of("fd00::1");
		else if (by == LOOKUP_NAME)
			memcpy(m.name, LONGEST_NAME, sizeof(m.name));
		else if (by == LOOKUP_KEY)
			memset(m.key, 0xee, sizeof(m.key));
		else
			m.id = UINT32_MAX;
		len = wire_lookup_encode(data, sizeof(data), &m);
		assert_true(len > 0);
		assert_int_equal(wire_lookup_decode(&back, data, (size_t)len), 0);
		assert_int_equal(back.token, m.token);
		assert_int_equal(back.by, m.by);
		assert_true(ip_equal(&back.address, &m.address));
		assert_string_equal(back.name, m.name);
		assert_memory_equal(back.key, m.key, sizeof(m.key));
		assert_int_equal(back.id, m.id);
		CHECK_STRICT(wire_lookup_decode, struct wire_lookup, data, len);
		CHECK_NO_ROOM(wire_lookup_encode, &m, len);
		data[5] = 0; /* by nothing known */
		CHECK_REFUSED(wire_lookup_decode, struct wire_lookup, data, (size_t)len);
		data[5] = LOOKUP_ID + 1;
		CHECK_REFUSED(wire_lookup_decode, struct wire_lookup, data, (size_t)len);
	}
}

static void found_comes_back_with_its_member_or_without(void **state)
{
	struct wire_member members[] = { longest_member(), shortest_member() };
	struct wire_found none = { .token = 7 }, back;
	int len;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct wire_found m = { .token = UINT32_MAX, .found = true, .member = members[i] };

		len = wire_found_encode(data, sizeof(data), &m);
		assert_true(len > 0);
		assert_int_equal(wire_found_decode(&back, data, (size_t)len), 0);
		assert_int_equal(back.token, UINT32_MAX);
		assert_true(back.found);
		check_member(&back.member, &members[i]);
		CHECK_STRICT(wire_found_decode, struct wire_found, data, len);
		CHECK_NO_ROOM(wire_found_encode, &m, len);
	}
	len = wire_found_encode(data, sizeof(data), &none);
	assert_int_equal(len, 6);
	assert_int_equal(wire_found_decode(&back, data, 6), 0);
	assert_false(back.found);
	CHECK_STRICT(wire_found_decode, struct wire_found, data, 6);
	data[5] = 2;
	CHECK_REFUSED(wire_found_decode, struct wire_found, data, 6);
}

static void a_member_with_a_bad_part_is_refused_both_ways(void **state)
{
	struct wire_found m = { .found = true, .member = shortest_member() };
	int len;

	(void)state;
	m.member.n_addrs = 1;
	m.member.addrs[0] = ip_of("10.0.0.1");
	len = wire_found_encode(data, sizeof(data), &m);
	/* 1 type, 4 token, 1 found, 4 id, 32 key, 1 flags, 1 length, "a", 1 count, 1 length, address */
	data[44] = 'A';
	CHECK_REFUSED(wire_found_decode, struct wire_found, data, (size_t)len);
	data[44] = 'a';
	data[45] = WIRE_ADDRS_MAX + 1;
	CHECK_REFUSED(wire_found_decode, struct wire_found, data, (size_t)len);
	data[45] = 1;
	data[46] = 3;
	CHECK_REFUSED(wire_found_decode, struct wire_found, data, (size_t)len);
	data[46] = 4;
	data[52] = 1; /* a certificate that is not there */
	CHECK_REFUSED(wire_found_decode, struct wire_found, data, (size_t)len);
	m.member.name[0] = '-';
	assert_int_equal(wire_found_encode(data, sizeof(data), &m), -EINVAL);
	m.member.name[0] = 'a';
	m.member.n_addrs = WIRE_ADDRS_MAX + 1;
	assert_int_equal(wire_found_encode(data, sizeof(data), &m), -EINVAL);
	m.member.n_addrs = 1;
	m.member.addrs[0].len = 0;
	assert_int_equal(wire_found_encode(data, sizeof(data), &m), -ENOSPC);
	m.member = longest_member();
	m.member.cert_len++;
	assert_int_equal(wire_found_encode(data, sizeof(data), &m), -EINVAL);
	m.member.cert_len--;
	len = wire_found_encode(data, sizeof(data), &m);
	data[6 + 170]++; /* longer than any, were it there */
	data[6 + 171] = 0xff;
	CHECK_REFUSED(wire_found_decode, struct wire_found, data, (size_t)len);
}

static void connect_comes_back(void **state)
{
	uint32_t member = 0;
	int len = wire_connect_encode(data, sizeof(data), UINT32_MAX);

	(void)state;
	assert_int_equal(len, 5);
	assert_int_equal(wire_connect_decode(&member, data, 5), 0);
	assert_int_equal(member, UINT32_MAX);
	CHECK_STRICT(wire_connect_decode, uint32_t, data, 5);
	CHECK_NO_ROOM(wire_connect_encode, 1, len);
}

static void the_longest_introduction_comes_back(void **state)
{
	struct wire_introduce m = { .flags = INTRODUCE_ASKED, .start_in_ms = UINT16_MAX, .member = longest_member() },
			      back;
	int len;

	(void)state;
	m.candidates = some_candidates();
	for (m.candidates.n = 2; m.candidates.n < WIRE_CANDIDATES_MAX; m.candidates.n++)
		m.candidates.v[m.candidates.n] = m.candidates.v[1];
	len = wire_introduce_encode(data, sizeof(data), &m);
	assert_true(len > 0);
	assert_int_equal(wire_introduce_decode(&back, data, (size_t)len), 0);
	assert_int_equal(back.flags, INTRODUCE_ASKED);
	assert_int_equal(back.start_in_ms, UINT16_MAX);
	check_member(&back.member, &m.member);
	check_candidates(&back.candidates, &m.candidates);
	CHECK_STRICT(wire_introduce_decode, struct wire_introduce, data, len);
	CHECK_NO_ROOM(wire_introduce_encode, &m, len);
}

static void list_comes_back(void **state)
{
	struct wire_list m = { UINT64_MAX, UINT32_MAX }, back;
	int len = wire_list_encode(data, sizeof(data), &m);

	(void)state;
	assert_int_equal(len, 13);
	assert_int_equal(wire_list_decode(&back, data, 13), 0);
	assert_true(back.version == UINT64_MAX && back.from == UINT32_MAX);
	CHECK_STRICT(wire_list_decode, struct wire_list, data, 13);
	CHECK_NO_ROOM(wire_list_encode, &m, len);
}

/* As many as have room, be it for their number or for their length. */
static void a_full_page_fits_and_comes_back(void **state)
{
	const struct wire_member records[] = { longest_member(), shortest_member() };
	static struct wire_members m, back;
	int len;

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		m = (struct wire_members){ .version = UINT64_MAX, .next = CONTROL_LIST_UNCHANGED };
		while (wire_members_add(&m, &records[k]))
			;
		assert_int_equal(m.n,
				 k ? WIRE_MEMBERS_PER_PAGE : (WIRE_CONTROL_MAX_BYTES - 14) / (172 + CERT_MAX_BYTES));
		len = wire_members_encode(data, sizeof(data), &m);
		assert_int_equal(len, 14 + m.n * (k ? 42 : 172 + CERT_MAX_BYTES));
		assert_int_equal(wire_members_decode(&back, data, (size_t)len), 0);
		assert_true(back.version == UINT64_MAX && back.next == CONTROL_LIST_UNCHANGED);
		assert_int_equal(back.n, m.n);
		for (unsigned i = 0; i < back.n; i++)
			check_member(&back.v[i], &m.v[i]);
	}
	CHECK_STRICT(wire_members_decode, struct wire_members, data, len);
	CHECK_NO_ROOM(wire_members_encode, &m, len);
	data[13] = WIRE_MEMBERS_PER_PAGE + 1;
	CHECK_REFUSED(wire_members_decode, struct wire_members, data, (size_t)len);
	m.n = WIRE_MEMBERS_PER_PAGE + 1;
	assert_int_equal(wire_members_encode(data, sizeof(data), &m), -EINVAL);
}

static void an_empty_page_comes_back(void **state)
{
	static struct wire_members m, back;

	(void)state;
	m.n = 0;
	m.version = 3;
	assert_int_equal(wire_members_encode(data, sizeof(data), &m), 14);
	assert_int_equal(wire_members_decode(&back, data, 14), 0);
	assert_int_equal(back.n, 0);
	CHECK_STRICT(wire_members_decode, struct wire_members, data, 14);
}

static void ping_and_pong_come_back(void **state)
{
	struct wire_pong pong = { UINT64_MAX, UINT64_MAX - 1 }, back;
	uint64_t token = 0;

	(void)state;
	assert_int_equal(wire_ping_encode(data, 8, 1), -ENOSPC);
	assert_int_equal(wire_ping_encode(data, sizeof(data), UINT64_MAX), 9);
	assert_int_equal(wire_control_type_of(data, 9), CONTROL_PING);
	assert_int_equal(wire_ping_decode(&token, data, 9), 0);
	assert_true(token == UINT64_MAX);
	CHECK_STRICT(wire_ping_decode, uint64_t, data, 9);
	CHECK_REFUSED(wire_pong_decode, struct wire_pong, data, 9);

	assert_int_equal(wire_pong_encode(data, sizeof(data), &pong), 17);
	assert_int_equal(wire_control_type_of(data, 17), CONTROL_PONG);
	assert_int_equal(wire_pong_decode(&back, data, 17), 0);
	assert_true(back.token == UINT64_MAX && back.wall_ms == UINT64_MAX - 1);
	CHECK_STRICT(wire_pong_decode, struct wire_pong, data, 17);
	CHECK_NO_ROOM(wire_pong_encode, &pong, 17);
	CHECK_REFUSED(wire_ping_decode, uint64_t, data, 17);
}

static void a_relayed_datagram_stands_behind_its_five_bytes(void **state)
{
	const uint8_t *payload = NULL;
	size_t payload_len = 0;
	uint32_t member = 0;

	(void)state;
	assert_int_equal(wire_control_relay_encode(data, 4, 1), -ENOSPC);
	assert_int_equal(wire_control_relay_encode(data, sizeof(data), UINT32_MAX), 5);
	for (size_t cut = 0; cut <= 5; cut++) {
		uint8_t *copy = exact_copy(data, cut);

		assert_int_equal(wire_control_relay_decode(&member, &payload, &payload_len, copy, cut), -EBADMSG);
		assert_true(member == 0 && !payload && payload_len == 0);
		free(copy);
	}
	assert_int_equal(wire_control_relay_decode(&member, &payload, &payload_len, data, sizeof(data)), 0);
	assert_int_equal(member, UINT32_MAX);
	assert_ptr_equal(payload, data + 5);
	assert_int_equal(payload_len, WIRE_CONTROL_RELAY_MAX_BYTES);
	data[0] = CONTROL_PING;
	assert_int_equal(wire_control_relay_decode(&member, &payload, &payload_len, data, 9), -EBADMSG);
}

static void peer_events_come_back_and_others_are_refused(void **state)
{
	(void)state;
	for (unsigned event = 0; event < 256; event++) {
		struct wire_peer_event m = { UINT32_MAX, (enum peer_event)event }, back;

		assert_int_equal(wire_peer_event_encode(data, sizeof(data), &m), 6);
		if (event < PEER_RESTARTED || event > PEER_REMOVED) {
			CHECK_REFUSED(wire_peer_event_decode, struct wire_peer_event, data, 6);
			continue;
		}
		assert_int_equal(wire_peer_event_decode(&back, data, 6), 0);
		assert_int_equal(back.member, UINT32_MAX);
		assert_int_equal(back.event, event);
		CHECK_STRICT(wire_peer_event_decode, struct wire_peer_event, data, 6);
		CHECK_NO_ROOM(wire_peer_event_encode, &m, 6);
	}
}

static void paths_come_back_with_their_kinds(void **state)
{
	static struct wire_paths m, back;
	int len;

	(void)state;
	assert_int_equal(wire_paths_encode(data, sizeof(data), &m), 2); /* none at all */
	assert_int_equal(wire_paths_decode(&back, data, 2), 0);
	assert_int_equal(back.n, 0);
	m.n = WIRE_PATHS_MAX;
	for (unsigned i = 0; i < m.n; i++) {
		m.v[i].member = UINT32_MAX - i;
		m.v[i].kind = (enum control_path)(i % (CONTROL_PATH_RELAY_TCP + 1));
	}
	len = wire_paths_encode(data, sizeof(data), &m);
	assert_int_equal(len, 2 + 5 * WIRE_PATHS_MAX);
	assert_int_equal(wire_paths_decode(&back, data, (size_t)len), 0);
	assert_int_equal(back.n, m.n);
	for (unsigned i = 0; i < m.n; i++) {
		assert_int_equal(back.v[i].member, m.v[i].member);
		assert_int_equal(back.v[i].kind, m.v[i].kind);
	}
	CHECK_STRICT(wire_paths_decode, struct wire_paths, data, (size_t)len);
	CHECK_NO_ROOM(wire_paths_encode, &m, (size_t)len);
	data[6] = CONTROL_PATH_RELAY_TCP + 1;
	CHECK_REFUSED(wire_paths_decode, struct wire_paths, data, (size_t)len);
	m.n++;
	assert_int_equal(wire_paths_encode(data, sizeof(data), &m), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_those_of_hosts),
		cmocka_unit_test(the_type_is_the_first_byte),
		cmocka_unit_test(register_comes_back_with_a_name_or_without),
		cmocka_unit_test(registered_comes_back),
		cmocka_unit_test(refused_comes_back),
		cmocka_unit_test(a_text_longer_than_its_room_is_refused),
		cmocka_unit_test(candidates_come_back),
		cmocka_unit_test(lookups_come_back_by_each_of_their_values),
		cmocka_unit_test(found_comes_back_with_its_member_or_without),
		cmocka_unit_test(a_member_with_a_bad_part_is_refused_both_ways),
		cmocka_unit_test(connect_comes_back),
		cmocka_unit_test(the_longest_introduction_comes_back),
		cmocka_unit_test(list_comes_back),
		cmocka_unit_test(a_full_page_fits_and_comes_back),
		cmocka_unit_test(an_empty_page_comes_back),
		cmocka_unit_test(ping_and_pong_come_back),
		cmocka_unit_test(a_relayed_datagram_stands_behind_its_five_bytes),
		cmocka_unit_test(peer_events_come_back_and_others_are_refused),
		cmocka_unit_test(paths_come_back_with_their_kinds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
