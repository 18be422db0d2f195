#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/path/path.h"

static struct path_addr udp(const char *text)
{
	struct path_addr a = { .kind = PATH_UDP };

	assert_int_equal(endpoint_from_text(&a.endpoint, text), 0);
	return a;
}

static void paths_to_other_endpoints_are_other_paths(void **state)
{
	struct path_addr a = udp("192.0.2.1:1"), b = udp("192.0.2.1:2"), c = udp("192.0.2.2:1"), d = udp("192.0.2.1:1");

	(void)state;
	assert_true(path_addr_equal(&a, &d));
	assert_false(path_addr_equal(&a, &b));
	assert_false(path_addr_equal(&a, &c));
}

static void relays_differ_by_coordinator_and_transport(void **state)
{
	const struct path_addr u0 = { .kind = PATH_RELAY_UDP }, t0 = { .kind = PATH_RELAY_TCP };
	const struct path_addr u1 = { .kind = PATH_RELAY_UDP, .coordinator = 1 };
	struct path_addr with_leftovers = udp("192.0.2.1:1");

	(void)state;
	with_leftovers.kind = PATH_RELAY_UDP;
	assert_true(path_addr_equal(&u0, &with_leftovers)); /* a relay has no endpoint to compare */
	assert_false(path_addr_equal(&u0, &t0));
	assert_false(path_addr_equal(&u0, &u1));
}

static void names_are_those_that_scripts_read(void **state)
{
	struct path p = { .addr = { .kind = PATH_UDP } };

	(void)state;
	assert_string_equal(path_kind_name(&p), "direct");
	assert_string_equal(path_transport_name(&p.addr), "udp");
	p.is_lan = true;
	assert_string_equal(path_kind_name(&p), "lan");
	p.addr.kind = PATH_RELAY_UDP;
	assert_string_equal(path_kind_name(&p), "relay");
	assert_string_equal(path_transport_name(&p.addr), "udp");
	p.addr.kind = PATH_RELAY_TCP;
	assert_string_equal(path_kind_name(&p), "relay");
	assert_string_equal(path_transport_name(&p.addr), "tcp");
	assert_string_equal(path_state_name(PATH_IN_USE), "in use");
	assert_string_equal(path_state_name(PATH_STANDBY), "standby");
	assert_string_equal(path_state_name(PATH_FAILED), "failed");
	assert_string_equal(path_state_name(PATH_PROBING), "probing");
	assert_string_equal(path_state_name(PATH_NOT_TRIED), "not tried");
	assert_string_equal(candidate_kind_name(CANDIDATE_HOST), "host");
	assert_string_equal(candidate_kind_name(CANDIDATE_PEER_REFLEXIVE), "peer-reflexive");
	assert_string_equal(candidate_kind_name((enum candidate_kind)99), "other");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_to_other_endpoints_are_other_paths),
		cmocka_unit_test(relays_differ_by_coordinator_and_transport),
		cmocka_unit_test(names_are_those_that_scripts_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
