#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/net/gso.h"

#define SOCKETS 3

struct world {
	struct udp udp[SOCKETS];
	unsigned n_open;
	struct gso gso;
};

static void visit_all(void *owner, gso_visit_fn *visit, void *arg)
{
	struct world *w = owner;

	for (unsigned i = 0; i < w->n_open; i++)
		visit(arg, &w->udp[i]);
}

static int set_up(void **state)
{
	static const struct udp_options options = { .address = { .len = 4, .b = { 127, 0, 0, 1 } }, .want_gso = true };
	static struct world w;

	w = (struct world){ .gso = { .sockets = visit_all, .owner = &w } };
	for (; w.n_open < SOCKETS; w.n_open++)
		assert_int_equal(udp_open(&w.udp[w.n_open], &options), 0);
	*state = &w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	for (unsigned i = 0; i < SOCKETS; i++)
		udp_close(&w->udp[i]);
	return 0;
}

/* A train of three; the socket may be forbidden to checksum, which every kernel refuses trains for. */
static void send_a_train(struct udp *udp, int is_forbidden)
{
	uint8_t data[3000] = { 0 };
	struct udp_run run = { .data = data, .len = sizeof(data), .segment_bytes = 1000 };

	run.peer = (struct endpoint){ .ip = { .len = 4, .b = { 127, 0, 0, 1 } }, .port = (uint16_t)udp_port(udp) };
	assert_int_equal(setsockopt(udp->fd, SOL_SOCKET, SO_NO_CHECK, &is_forbidden, sizeof(is_forbidden)), 0);
	assert_int_equal(udp_send(udp, &run, 1, NULL, NULL), 1);
}

static void refusal_on_one_socket_is_known_and_tried_again(void **state)
{
	struct world *w = *state;
	int error = -1;

	if (!gso_is_on(&w->gso, &error))
		skip();
	assert_int_equal(error, 0);
	gso_refused(&w->gso, 1); /* it was tried again meanwhile: nothing to tell */
	assert_false(w->gso.is_told);
	send_a_train(&w->udp[1], 1);
	assert_false(gso_is_on(&w->gso, &error));
	assert_int_equal(error, EINVAL);
	gso_refused(&w->gso, 1);
	assert_true(w->gso.is_told);
	gso_retry(&w->gso, false);
	assert_true(gso_is_on(&w->gso, &error));
	assert_int_equal(error, 0);
	assert_true(w->gso.is_told); /* so that no second line is written */
	gso_retry(&w->gso, true);
	assert_false(w->gso.is_told);
	send_a_train(&w->udp[1], 0);
	assert_true(gso_is_on(&w->gso, &error));
}

static void socket_that_never_had_it_is_no_refusal(void **state)
{
	struct world *w = *state;
	int error = -1;

	w->udp[2].has_gso = false;
	assert_false(gso_is_on(&w->gso, &error));
	assert_int_equal(error, 0);
	gso_refused(&w->gso, 1);
	assert_false(w->gso.is_told);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(refusal_on_one_socket_is_known_and_tried_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(socket_that_never_had_it_is_no_refusal, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
