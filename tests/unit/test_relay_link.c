#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/key.h"
#include "daemon/relay/link.h"

#define PEER_INDEX 0x11223344
#define COORDINATOR_INDEX 0x55667788
#define PAYLOAD_BYTES 100

struct fixture {
	struct relay_link *peer, *coordinator;
	uint8_t datagram[WIRE_RELAY_HEADER_BYTES + PAYLOAD_BYTES];
};

static const uint8_t udp_up[32] = "udp to the coordinator", udp_down[32] = "udp to the peer";
static const uint8_t tag_up[SHORT_KEY_BYTES] = "tags up", tag_down[SHORT_KEY_BYTES] = "tags down";

static int set_up(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	f.peer = relay_link_new(udp_up, udp_down, tag_up, tag_down, PEER_INDEX, COORDINATOR_INDEX, NULL);
	f.coordinator = relay_link_new(udp_down, udp_up, tag_down, tag_up, COORDINATOR_INDEX, PEER_INDEX, NULL);
	assert_non_null(f.peer);
	assert_non_null(f.coordinator);
	memset(f.datagram + WIRE_RELAY_HEADER_BYTES, 'x', PAYLOAD_BYTES);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	relay_link_unref(f->peer);
	relay_link_unref(f->coordinator);
	return 0;
}

static int check(struct relay_link *l, const uint8_t *data, size_t len, struct wire_relay *r)
{
	int ret = wire_relay_decode(r, data, len);

	return ret < 0 ? ret : relay_link_check(l, r, data);
}

static int check_datagram(struct relay_link *l, struct fixture *f)
{
	struct wire_relay r;

	return check(l, f->datagram, sizeof(f->datagram), &r);
}

static void wrapped_datagram_is_taken_by_the_other_end(void **state)
{
	struct fixture *f = *state;
	struct wire_relay r;

	for (unsigned i = 0; i < 3; i++) {
		relay_link_wrap(f->peer, f->datagram, 42, PAYLOAD_BYTES);
		assert_int_equal(check(f->coordinator, f->datagram, sizeof(f->datagram), &r), 0);
		assert_int_equal(r.index, COORDINATOR_INDEX);
		assert_int_equal(r.member, 42);
		assert_int_equal(r.counter, i);
		assert_int_equal(r.payload_len, PAYLOAD_BYTES);
		relay_link_wrap(f->coordinator, f->datagram, 7, PAYLOAD_BYTES);
		assert_int_equal(check(f->peer, f->datagram, sizeof(f->datagram), &r), 0);
		assert_int_equal(r.index, PEER_INDEX);
		assert_int_equal(r.member, 7);
	}
}

static void replayed_datagram_is_refused(void **state)
{
	struct fixture *f = *state;

	relay_link_wrap(f->peer, f->datagram, 42, PAYLOAD_BYTES);
	assert_int_equal(check_datagram(f->coordinator, f), 0);
	assert_int_equal(check_datagram(f->coordinator, f), -EALREADY);
}

static void datagram_does_not_come_back_to_its_sender(void **state)
{
	struct fixture *f = *state;

	relay_link_wrap(f->peer, f->datagram, 42, PAYLOAD_BYTES);
	assert_int_equal(check_datagram(f->peer, f), -EBADMSG);
}

static void every_flipped_header_bit_is_refused_and_changes_nothing(void **state)
{
	struct fixture *f = *state;

	relay_link_wrap(f->peer, f->datagram, 42, PAYLOAD_BYTES);
	for (unsigned bit = 0; bit < WIRE_RELAY_HEADER_BYTES * 8; bit++) {
		f->datagram[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(check_datagram(f->coordinator, f), -EBADMSG);
		f->datagram[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(check_datagram(f->coordinator, f), 0);
}

static void cut_datagram_is_refused_and_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct wire_relay r;

	relay_link_wrap(f->peer, f->datagram, 42, PAYLOAD_BYTES);
	for (size_t len = 0; len < sizeof(f->datagram); len++)
		assert_int_equal(check(f->coordinator, f->datagram, len, &r), -EBADMSG);
	assert_int_equal(check_datagram(f->coordinator, f), 0);
}

static int open_bind(struct relay_link *l, uint8_t *data, size_t len, struct wire_bind *out)
{
	struct wire_sealed h;
	int ret = wire_sealed_decode(&h, data, len);

	return ret < 0 ? ret : relay_link_bind_open(l, &h, data, len, out);
}

static void bind_request_is_read_by_the_other_end(void **state)
{
	struct fixture *f = *state;
	const struct wire_bind request = { .type = BIND_REQUEST, .flags = BIND_NO_MOVE, .token = 5, .challenge = 6 };
	uint8_t data[RELAY_BIND_DATAGRAM_BYTES], again[RELAY_BIND_DATAGRAM_BYTES];
	struct wire_bind got;

	assert_int_equal(relay_link_bind_seal(f->peer, data, &request), sizeof(data));
	memcpy(again, data, sizeof(data));
	assert_int_equal(open_bind(f->coordinator, data, sizeof(data), &got), 0);
	assert_int_equal(got.type, BIND_REQUEST);
	assert_int_equal(got.flags, BIND_NO_MOVE);
	assert_int_equal(got.token, 5);
	assert_int_equal(got.challenge, 6);
	assert_int_equal(open_bind(f->coordinator, again, sizeof(again), &got), -EALREADY);
}

static void every_flipped_bit_of_a_bind_is_refused(void **state)
{
	struct fixture *f = *state;
	const struct wire_bind request = { .type = BIND_REQUEST, .token = 5 };
	uint8_t data[RELAY_BIND_DATAGRAM_BYTES], flipped[RELAY_BIND_DATAGRAM_BYTES];
	struct wire_bind got = { .token = 99 };

	relay_link_bind_seal(f->peer, data, &request);
	for (unsigned bit = 0; bit < sizeof(data) * 8; bit++) {
		memcpy(flipped, data, sizeof(data));
		flipped[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(open_bind(f->coordinator, flipped, sizeof(flipped), &got), -EBADMSG);
	}
	assert_int_equal(got.token, 99);
	for (size_t len = 0; len < sizeof(data); len++) {
		memcpy(flipped, data, sizeof(data));
		assert_int_equal(open_bind(f->coordinator, flipped, len, &got), -EBADMSG);
	}
	assert_int_equal(open_bind(f->coordinator, data, sizeof(data), &got), 0);
}

static void bind_and_relay_share_one_counter(void **state)
{
	struct fixture *f = *state;
	const struct wire_bind request = { .type = BIND_REQUEST };
	uint8_t data[RELAY_BIND_DATAGRAM_BYTES];
	struct wire_bind got;
	struct wire_relay r;

	relay_link_bind_seal(f->peer, data, &request);
	relay_link_wrap(f->peer, f->datagram, 1, PAYLOAD_BYTES);
	assert_int_equal(open_bind(f->coordinator, data, sizeof(data), &got), 0);
	assert_int_equal(check(f->coordinator, f->datagram, sizeof(f->datagram), &r), 0);
	assert_int_equal(r.counter, 1);
}

static void link_lives_as_long_as_its_last_reference(void **state)
{
	struct fixture *f = *state;
	struct relay_link *held = relay_link_ref(f->peer);

	relay_link_unref(held);
	relay_link_wrap(f->peer, f->datagram, 1, PAYLOAD_BYTES);
	assert_int_equal(check_datagram(f->coordinator, f), 0);
	relay_link_unref(NULL);
}

static int start(void **state)
{
	(void)state;
	return crypto_start();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(wrapped_datagram_is_taken_by_the_other_end),
		TEST(replayed_datagram_is_refused),
		TEST(datagram_does_not_come_back_to_its_sender),
		TEST(every_flipped_header_bit_is_refused_and_changes_nothing),
		TEST(cut_datagram_is_refused_and_changes_nothing),
		TEST(bind_request_is_read_by_the_other_end),
		TEST(every_flipped_bit_of_a_bind_is_refused),
		TEST(bind_and_relay_share_one_counter),
		TEST(link_lives_as_long_as_its_last_reference),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
