#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/data/spares.h"

struct world {
	uv_loop_t loop;
	struct spares *spares;
	unsigned n_told;
	uint16_t told, kept;
	bool closes_what_is_told;
};

static void on_spare(void *arg, struct spare *s)
{
	struct world *w = arg;
	uint8_t data[64];
	struct udp_run run = { .data = data, .capacity = sizeof(data) };

	w->n_told++;
	w->told = s->number;
	assert_int_equal(udp_recv(&s->udp, &run, 1), 1);
	if (w->closes_what_is_told)
		spares_close(w->spares, s->number);
}

static int set_up(void **state)
{
	static struct world w;
	struct udp_options options = { .port = 1 /* not taken */, .reuse_port = true, .want_gso = true };

	memset(&w, 0, sizeof(w));
	ip_from_text(&options.address, "127.0.0.1");
	assert_int_equal(uv_loop_init(&w.loop), 0);
	w.spares = spares_new(&w.loop, &options, on_spare, &w);
	assert_non_null(w.spares);
	*state = &w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	spares_free(w->spares);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	return uv_loop_close(&w->loop); /* nothing is left open */
}

static void send_to(struct world *w, uint16_t number)
{
	struct spare *s = spares_find(w->spares, number);
	struct endpoint to = { .port = (uint16_t)udp_port(&s->udp) };
	struct udp udp;

	ip_from_text(&to.ip, "127.0.0.1");
	assert_int_equal(udp_open(&udp, &(struct udp_options){ .address = to.ip }), 0);
	assert_int_equal(udp_send_one(&udp, &to, "x", 1), 0);
	udp_close(&udp);
}

static void each_has_a_number_of_its_own_and_is_heard(void **state)
{
	struct world *w = *state;
	int a = spares_open(w->spares), b = spares_open(w->spares);

	assert_true(a > 0 && b > 0 && a != b);
	assert_int_not_equal(udp_port(&spares_find(w->spares, (uint16_t)a)->udp),
			     udp_port(&spares_find(w->spares, (uint16_t)b)->udp));
	send_to(w, (uint16_t)b);
	uv_run(&w->loop, UV_RUN_ONCE);
	assert_int_equal(w->n_told, 1);
	assert_int_equal(w->told, b);
	spares_close(w->spares, (uint16_t)a);
	assert_null(spares_find(w->spares, (uint16_t)a));
	assert_null(spares_find(w->spares, 0));
	assert_true(spares_open(w->spares) > b); /* a number is not given again at once */
	assert_int_equal(spares_count(w->spares), 2);
}

static void one_can_be_closed_while_it_is_read(void **state)
{
	struct world *w = *state;
	int a = spares_open(w->spares);

	w->closes_what_is_told = true;
	spares_find(w->spares, (uint16_t)a)->refs++; /* as who reads it does */
	send_to(w, (uint16_t)a);
	struct spare *s = spares_find(w->spares, (uint16_t)a);
	uv_run(&w->loop, UV_RUN_ONCE);
	assert_int_equal(spares_count(w->spares), 0);
	spare_unref(s);
}

static void a_table_keeps_the_socket_open(void **state)
{
	struct world *w = *state;
	int a = spares_open(w->spares);
	struct spare *s = spare_ref(spares_find(w->spares, (uint16_t)a));
	struct endpoint to = { .port = 9 };

	ip_from_text(&to.ip, "127.0.0.1");
	spares_close(w->spares, (uint16_t)a);
	assert_int_equal(udp_send_one(&s->udp, &to, "x", 1), 0);
	spare_unref(s);
}

static bool is_kept(void *arg, uint16_t number)
{
	return ((struct world *)arg)->kept == number;
}

static void there_is_a_bound_and_a_sweep(void **state)
{
	struct world *w = *state;

	for (unsigned i = 0; i < SPARES_MAX; i++)
		w->kept = (uint16_t)spares_open(w->spares);
	assert_int_equal(spares_open(w->spares), -EMFILE);
	spares_sweep(w->spares, is_kept, w);
	assert_int_equal(spares_count(w->spares), 1);
	assert_non_null(spares_find(w->spares, w->kept));
	assert_true(spares_open(w->spares) > 0);
}

static void visit_spare(void *arg, struct spare *spare)
{
	udp_retry_gso(&spare->udp);
	++*(unsigned *)arg;
}

static void each_is_visited(void **state)
{
	struct world *w = *state;
	unsigned n_visited = 0;
	int a;

	spares_each(w->spares, visit_spare, &n_visited);
	assert_int_equal(n_visited, 0);
	assert_true(spares_open(w->spares) > 0);
	a = spares_open(w->spares);
	assert_true(spares_open(w->spares) > 0);
	spares_close(w->spares, (uint16_t)a);
	spares_each(w->spares, visit_spare, &n_visited);
	assert_int_equal(n_visited, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_has_a_number_of_its_own_and_is_heard, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_can_be_closed_while_it_is_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_table_keeps_the_socket_open, set_up, tear_down),
		cmocka_unit_test_setup_teardown(there_is_a_bound_and_a_sweep, set_up, tear_down),
		cmocka_unit_test_setup_teardown(each_is_visited, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
