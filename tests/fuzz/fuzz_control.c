#include "tests/fuzz/fuzz.h"
#include "daemon/wire/control.h"

static int connect_encode(uint8_t *out, size_t capacity, const uint32_t *member)
{
	return wire_connect_encode(out, capacity, *member);
}

static void ping(const uint8_t *data, size_t len)
{
	uint8_t again[9];
	uint64_t token;

	if (wire_ping_decode(&token, data, len) < 0)
		return;
	must(wire_ping_encode(again, sizeof(again), token) == (int)len);
	must(memcmp(again, data, len) == 0);
}

static void relay(const uint8_t *data, size_t len)
{
	uint8_t again[5];
	const uint8_t *payload;
	size_t payload_len;
	uint32_t member;

	if (wire_control_relay_decode(&member, &payload, &payload_len, data, len) < 0)
		return;
	must(wire_control_relay_encode(again, sizeof(again), member) == 5);
	must(memcmp(again, data, 5) == 0 && payload == data + 5 && payload_len == len - 5);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	int type = wire_control_type_of(data, len);

	must(type == (len > 0 ? data[0] : type) && (len > 0) == (type >= 0));
	FUZZ_ROUND_TRIP(struct wire_register, wire_register_decode, wire_register_encode, data, len);
	FUZZ_ROUND_TRIP(struct wire_registered, wire_registered_decode, wire_registered_encode, data, len);
	FUZZ_ROUND_TRIP(struct wire_refused, wire_refused_decode, wire_refused_encode, data, len);
	FUZZ_ROUND_TRIP(struct candidates, wire_control_candidates_decode, wire_control_candidates_encode, data, len);
	FUZZ_ROUND_TRIP(struct wire_lookup, wire_lookup_decode, wire_lookup_encode, data, len);
	FUZZ_ROUND_TRIP(struct wire_found, wire_found_decode, wire_found_encode, data, len);
	FUZZ_ROUND_TRIP(uint32_t, wire_connect_decode, connect_encode, data, len);
	FUZZ_ROUND_TRIP(struct wire_introduce, wire_introduce_decode, wire_introduce_encode, data, len);
	FUZZ_ROUND_TRIP(struct wire_list, wire_list_decode, wire_list_encode, data, len);
	FUZZ_ROUND_TRIP(struct wire_members, wire_members_decode, wire_members_encode, data, len);
	FUZZ_ROUND_TRIP(struct wire_pong, wire_pong_decode, wire_pong_encode, data, len);
	FUZZ_ROUND_TRIP(struct wire_peer_event, wire_peer_event_decode, wire_peer_event_encode, data, len);
	FUZZ_ROUND_TRIP(struct wire_paths, wire_paths_decode, wire_paths_encode, data, len);
	ping(data, len);
	relay(data, len);
	return 0;
}
