#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "tests/unit/coordinator_world.h"
#include "tests/unit/netns.h"

/* Answers to bind requests: from elsewhere, and once more later. */

static struct ip first, second;

/* The coordinator anew: of any address, or of the first; with the second besides, or none. */
static void serve(struct world *f, bool is_any, bool has_second)
{
	coordinator_stop(f->coordinator);
	f->coordinator = NULL;
	if (f->clients[0].stream)
		assert_true(world_run_until(f, client_is_closed, &f->clients[0]));
	f->config.listen.address = is_any ? (struct ip){ 0 } : first;
	f->config.listen.alternate_address = has_second ? second : (struct ip){ 0 };
	world_start(f);
}

static uint64_t end_ms;

static bool is_elapsed(const struct client *c)
{
	(void)c;
	return clock_now_ms() >= end_ms;
}

/* Runs the loop for a while, and counts the answers. */
static unsigned answers_within(struct world *f, struct client *c, uint64_t ms)
{
	unsigned before = c->n_bound;

	end_ms = clock_now_ms() + ms;
	assert_true(world_run_until(f, is_elapsed, c));
	return c->n_bound - before;
}

static bool has_answer(const struct client *c)
{
	return c->n_bound > 0;
}

static bool has_two_answers(const struct client *c)
{
	return c->n_bound > 1;
}

static bool has_four_answers(const struct client *c)
{
	return c->n_bound > 3;
}

static void check_elsewhere(struct world *f, struct client *a)
{
	const struct wire_bind request = { .type = BIND_REQUEST, .token = 7 };
	struct wire_bind other_port = request, other_address = request;

	other_port.flags = BIND_NO_MOVE | BIND_OTHER_PORT;
	a->n_bound = 0;
	client_send_bind(a, UDP_PORT, &other_port);
	assert_true(world_run_until(f, has_answer, a));
	assert_true(ip_equal(&a->bound_from.ip, &first));
	assert_true(a->bound_from.port != UDP_PORT && a->bound_from.port != ALTERNATE_PORT);
	assert_int_equal(a->bound.token, 7);
	assert_int_equal(a->bound.flags, 0);

	other_address.flags = BIND_NO_MOVE | BIND_OTHER_ADDRESS;
	a->n_bound = 0;
	client_send_bind(a, ALTERNATE_PORT, &other_address);
	assert_true(world_run_until(f, has_answer, a));
	assert_true(ip_equal(&a->bound_from.ip, &second));
	assert_true(a->bound_from.port != UDP_PORT && a->bound_from.port != ALTERNATE_PORT);
	assert_int_equal(answers_within(f, a, 100), 0); /* one each */
}

static void answers_come_from_elsewhere_as_asked(void **state)
{
	struct world *f = *state;

	for (unsigned is_any = 0; is_any < 2; is_any++) {
		struct client *a;

		serve(f, is_any, true);
		a = client_join(f, 0);
		assert_true(a->member.registered.flags & REGISTERED_OTHER_PORT);
		assert_true(ip_equal(&a->member.registered.alternate_address, &second));
		check_elsewhere(f, a);
	}
}

static void both_ports_are_there_at_the_second_address(void **state)
{
	struct world *f = *state;

	for (unsigned is_any = 0; is_any < 2; is_any++) {
		const struct wire_bind request = { .type = BIND_REQUEST, .flags = BIND_NO_MOVE, .token = 9 };
		const uint16_t ports[] = { UDP_PORT, ALTERNATE_PORT };
		struct client *a;

		serve(f, is_any, true);
		a = client_join(f, 0);
		for (unsigned i = 0; i < 2; i++) {
			const struct endpoint to = { .ip = second, .port = ports[i] };

			a->n_bound = 0;
			client_send_bind_to(a, &to, &request);
			assert_true(world_run_until(f, has_answer, a));
			assert_true(endpoint_equal(&a->bound_from, &to));
		}
	}
}

static void what_cannot_be_done_is_not_answered_and_counted(void **state)
{
	struct world *f = *state;
	struct wire_bind request = { .type = BIND_REQUEST, .flags = BIND_NO_MOVE | BIND_OTHER_ADDRESS, .token = 1 };
	const struct endpoint there = { .ip = second, .port = UDP_PORT };
	struct client *a;

	serve(f, true, false);
	a = client_join(f, 0);
	assert_true(ip_is_none(&a->member.registered.alternate_address));
	client_send_bind(a, UDP_PORT, &request);
	assert_int_equal(answers_within(f, a, 100), 0);
	world_expect(f, "bind_bad", 1);
	serve(f, true, true);
	a = client_join(f, 0);
	a->n_bound = 0;
	client_send_bind_to(a, &there, &request); /* it is there that it shall not come from */
	assert_int_equal(answers_within(f, a, 100), 0);
	world_expect(f, "bind_bad", 1);
	request.flags = BIND_OTHER_ADDRESS | BIND_OTHER_PORT; /* what binds is answered from where it went */
	client_send_bind(a, UDP_PORT, &request);
	assert_true(world_run_until(f, has_answer, a));
	assert_int_equal(a->bound_from.port, UDP_PORT);
}

static void a_second_answer_comes_when_it_was_asked_for(void **state)
{
	struct world *f = *state;
	struct client *a = client_join(f, 0);
	const struct wire_bind request = { .type = BIND_REQUEST, .flags = BIND_NO_MOVE, .time_ds = 5, .token = 11 };
	uint64_t begin_ms = clock_now_ms();

	client_send_bind(a, ALTERNATE_PORT, &request);
	assert_true(world_run_until(f, has_answer, a));
	assert_int_equal(a->bound.flags, 0);
	assert_true(clock_now_ms() - begin_ms < 400);
	assert_true(world_run_until(f, has_two_answers, a));
	assert_in_range(clock_now_ms() - begin_ms, 500, 5000);
	assert_int_equal(a->bound.flags, BIND_LATER);
	assert_int_equal(a->bound.token, 11);
	assert_int_equal(a->bound_from.port, ALTERNATE_PORT);
	assert_int_equal(answers_within(f, a, 700), 0);
}

static void repeated_request_waits_anew_and_no_more_than_two_wait(void **state)
{
	struct world *f = *state;
	struct client *a = client_join(f, 0);
	struct wire_bind request = { .type = BIND_REQUEST, .flags = BIND_NO_MOVE, .time_ds = 4, .token = 1 };

	client_send_bind(a, UDP_PORT, &request);
	client_send_bind(a, UDP_PORT, &request);
	request.token = 2;
	client_send_bind(a, UDP_PORT, &request);
	request.token = 3;
	client_send_bind(a, UDP_PORT, &request); /* the first gives way */
	assert_true(world_run_until(f, has_four_answers, a));
	assert_int_equal(answers_within(f, a, 1000), 2);
	assert_int_equal(a->bound.token, 3);
}

static void what_waits_goes_with_the_registration(void **state)
{
	struct world *f = *state;
	struct client *a = client_join(f, 0);
	const struct wire_bind request = { .type = BIND_REQUEST, .flags = BIND_NO_MOVE, .time_ds = 5, .token = 1 };

	client_send_bind(a, UDP_PORT, &request);
	assert_true(world_run_until(f, has_answer, a));
	stream_close(a->stream);
	a = client_join(f, 0); /* anew, with other keys */
	a->n_bound = 0;
	assert_int_equal(answers_within(f, a, 1000), 0);
}

static void relay_believes_a_peer_as_long_as_it_says(void **state)
{
	struct world *f = *state;
	struct client *a = client_join(f, 0), *b = client_join(f, 1);
	struct wire_bind request = { .type = BIND_REQUEST, .time_ds = 1, .token = 1 };

	client_bind(f, a);
	client_bind(f, b);
	b->n_bound = 0;
	client_send_bind(b, UDP_PORT, &request); /* a quarter of a second */
	assert_true(world_run_until(f, has_answer, b));
	answers_within(f, b, 400);
	client_relay(a, client_id(b), "over TCP by now");
	assert_true(world_run_until(f, client_has_message, b));
	assert_int_equal(b->n_datagrams, 0);
	request.time_ds = BIND_TIME_NEVER;
	b->n_bound = 0;
	client_send_bind(b, UDP_PORT, &request);
	assert_true(world_run_until(f, has_answer, b));
	client_relay(a, client_id(b), "over UDP");
	assert_true(world_run_until(f, client_has_datagram, b));
}

static void second_address_that_is_not_ours_is_an_error_at_the_start(void **state)
{
	struct world *f = *state;

	coordinator_stop(f->coordinator);
	f->coordinator = NULL;
	assert_int_equal(ip_from_text(&f->config.listen.alternate_address, "192.0.2.1"), 0);
	assert_true(coordinator_start(&f->coordinator, &f->loop, &f->config, &f->secret, NULL) < 0);
	assert_null(f->coordinator);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(answers_come_from_elsewhere_as_asked),
		TEST(both_ports_are_there_at_the_second_address),
		TEST(what_cannot_be_done_is_not_answered_and_counted),
		TEST(a_second_answer_comes_when_it_was_asked_for),
		TEST(repeated_request_waits_anew_and_no_more_than_two_wait),
		TEST(what_waits_goes_with_the_registration),
		TEST(relay_believes_a_peer_as_long_as_it_says),
		TEST(second_address_that_is_not_ours_is_an_error_at_the_start),
	};

	signal(SIGPIPE, SIG_IGN);
	netns_enter();
	ip_from_text(&first, "127.0.0.1");
	ip_from_text(&second, "127.0.0.2");
	if (crypto_start() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
