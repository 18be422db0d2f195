#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/peer/nat_judge.h"

#define A "198.51.100.10"
#define B "198.51.100.11"
#define U NAT_ANSWER_UNKNOWN
#define N NAT_ANSWER_NO
#define Y NAT_ANSWER_YES

static struct endpoint at(const char *ip, uint16_t port)
{
	struct endpoint e = { .port = port };

	assert_int_equal(ip_from_text(&e.ip, ip), 0);
	return e;
}

static struct nat_observation seen(const char *server, uint16_t server_port, uint16_t port)
{
	return (struct nat_observation){ at(server, server_port), at("203.0.113.7", port) };
}

static void mapping_follows_from_what_two_addresses_and_ports_see(void **state)
{
	const struct nat_observation same[] = { seen(A, 1, 9), seen(A, 2, 9), seen(B, 1, 9), seen(B, 2, 9) },
				     address[] = { seen(A, 1, 9), seen(A, 2, 9), seen(B, 1, 8), seen(B, 2, 8) },
				     port[] = { seen(A, 1, 9), seen(A, 2, 8), seen(B, 1, 7), seen(B, 2, 6) },
				     diagonal[] = { seen(A, 1, 9), seen(B, 2, 8) },
				     only_port[] = { seen(A, 1, 9), seen(A, 2, 8), seen(B, 1, 9), seen(B, 2, 8) };

	(void)state;
	assert_int_equal(nat_judge_mapping(same, 4), NAT_MAPPING_ENDPOINT_INDEPENDENT);
	assert_int_equal(nat_judge_mapping(same, 2), NAT_MAPPING_ENDPOINT_INDEPENDENT);
	assert_int_equal(nat_judge_mapping(same, 1), NAT_MAPPING_UNKNOWN);
	assert_int_equal(nat_judge_mapping(same, 0), NAT_MAPPING_UNKNOWN);
	assert_int_equal(nat_judge_mapping(address, 4), NAT_MAPPING_ADDRESS_DEPENDENT);
	assert_int_equal(nat_judge_mapping(address, 3), NAT_MAPPING_ADDRESS_DEPENDENT);
	assert_int_equal(nat_judge_mapping(address + 1, 2), NAT_MAPPING_ENDPOINT_DEPENDENT); /* or on the port? */
	assert_int_equal(nat_judge_mapping(port, 4), NAT_MAPPING_ADDRESS_AND_PORT_DEPENDENT);
	assert_int_equal(nat_judge_mapping(port, 2), NAT_MAPPING_ADDRESS_AND_PORT_DEPENDENT);
	assert_int_equal(nat_judge_mapping(diagonal, 2), NAT_MAPPING_ENDPOINT_DEPENDENT);
	assert_int_equal(nat_judge_mapping(only_port, 4), NAT_MAPPING_ADDRESS_AND_PORT_DEPENDENT);
}

static void the_same_server_twice_tells_nothing_of_the_mapping(void **state)
{
	const struct nat_observation v[] = { seen(A, 1, 9), seen(A, 1, 8) };

	(void)state;
	assert_int_equal(nat_judge_mapping(v, 2), NAT_MAPPING_UNKNOWN);
}

static void filtering_is_said_only_where_the_tests_decide_it(void **state)
{
	enum {
		UNKNOWN = NAT_FILTERING_UNKNOWN,
		EI = NAT_FILTERING_ENDPOINT_INDEPENDENT,
		AD = NAT_FILTERING_ADDRESS_DEPENDENT,
		APD = NAT_FILTERING_ADDRESS_AND_PORT_DEPENDENT
	};
	static const struct {
		struct nat_filter_tests t; /* data: port, address; spare: port, address */
		int filtering;
	} cases[] = {
		{ { U, U, U, U }, UNKNOWN }, { { N, U, U, U }, APD },     { { N, N, N, N }, APD },
		{ { Y, U, U, U }, UNKNOWN }, { { Y, N, Y, N }, AD },      { { Y, N, U, U }, AD },
		{ { Y, Y, Y, Y }, EI },      { { Y, Y, Y, N }, AD }, /* the data port has sent there */
		{ { Y, Y, N, N }, EI },                              /* it is forwarded */
		{ { Y, Y, U, U }, UNKNOWN }, { { Y, Y, U, N }, UNKNOWN }, { { U, N, Y, N }, UNKNOWN },
		{ { N, Y, N, Y }, APD }, /* it has sent even to that port */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(nat_judge_filtering(&cases[i].t), cases[i].filtering);
}

static int step_of(const uint16_t *outside, unsigned n)
{
	static const uint16_t local[8] = { 40001, 52000, 33000, 45111, 60000, 39999, 41000, 50000 };
	struct nat_port_sample v[8];

	for (unsigned i = 0; i < n; i++)
		v[i] = (struct nat_port_sample){ local[i], outside[i] };
	return nat_judge_step(v, n);
}

static void step_is_found_through_others_mappings_and_the_last_port(void **state)
{
	(void)state;
	assert_int_equal(step_of((uint16_t[]){ 500, 501, 502, 503, 504 }, 5), 1);
	assert_int_equal(step_of((uint16_t[]){ 500, 502, 504, 506 }, 4), 2);
	assert_int_equal(step_of((uint16_t[]){ 504, 503, 502, 501, 500 }, 5), -1);
	assert_int_equal(step_of((uint16_t[]){ 500, 501, 507, 508, 510 }, 5), 1);
	assert_int_equal(step_of((uint16_t[]){ 500, 504, 506, 512, 514 }, 5), 2);
	assert_int_equal(step_of((uint16_t[]){ 65534, 65535, 0, 1, 2 }, 5), 1);
}

static void no_rule_is_no_step(void **state)
{
	(void)state;
	assert_int_equal(step_of((uint16_t[]){ 500, 41000, 7, 32000, 60000 }, 5), 0);
	assert_int_equal(step_of((uint16_t[]){ 500, 501, 502 }, 3), 0); /* too few to tell */
	assert_int_equal(step_of((uint16_t[]){ 500, 501, 500, 501, 502 }, 5), 0);
	assert_int_equal(step_of((uint16_t[]){ 500, 500, 500, 500, 500 }, 5), 0);
	assert_int_equal(step_of((uint16_t[]){ 500, 501, 502, 503, 9000 }, 5), 0);
	assert_int_equal(step_of((uint16_t[]){ 500, 700, 900, 1100, 1300 }, 5), 0); /* does not fit the message */
}

static void ports_that_follow_the_local_ones_have_no_step(void **state)
{
	struct nat_port_sample kept[5], offset[5];

	(void)state;
	for (uint16_t i = 0; i < 5; i++) {
		kept[i].local = kept[i].outside = offset[i].local = (uint16_t)(40000 + 2 * i);
		offset[i].outside = (uint16_t)(1024 + 2 * i);
	}
	assert_int_equal(nat_judge_step(kept, 5), 0);
	assert_int_equal(nat_judge_step(offset, 5), 0);
}

static void classic_names_need_both_facts(void **state)
{
	static const struct {
		struct nat_facts nat;
		const char *name;
	} cases[] = {
		{ { .mapping = NAT_MAPPING_NONE, .filtering = NAT_FILTERING_ENDPOINT_INDEPENDENT }, "open" },
		{ { .mapping = NAT_MAPPING_NONE, .filtering = NAT_FILTERING_ADDRESS_AND_PORT_DEPENDENT },
		  "symmetric firewall" },
		{ { .mapping = NAT_MAPPING_ENDPOINT_INDEPENDENT, .filtering = NAT_FILTERING_ENDPOINT_INDEPENDENT },
		  "full cone" },
		{ { .mapping = NAT_MAPPING_ENDPOINT_INDEPENDENT, .filtering = NAT_FILTERING_ADDRESS_DEPENDENT },
		  "restricted cone" },
		{ { .mapping = NAT_MAPPING_ENDPOINT_INDEPENDENT,
		    .filtering = NAT_FILTERING_ADDRESS_AND_PORT_DEPENDENT },
		  "port-restricted cone" },
		{ { .mapping = NAT_MAPPING_ADDRESS_DEPENDENT }, "symmetric" },
		{ { .mapping = NAT_MAPPING_ADDRESS_AND_PORT_DEPENDENT }, "symmetric" },
		{ { .mapping = NAT_MAPPING_ENDPOINT_DEPENDENT }, "symmetric" },
		{ { .flags = NAT_UDP_BLOCKED }, "UDP blocked" },
	};
	const struct nat_facts unknown[] = { { 0 },
					     { .mapping = NAT_MAPPING_NONE },
					     { .mapping = NAT_MAPPING_ENDPOINT_INDEPENDENT },
					     { .filtering = NAT_FILTERING_ENDPOINT_INDEPENDENT } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(nat_classic_name(&cases[i].nat), cases[i].name);
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		assert_null(nat_classic_name(&unknown[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mapping_follows_from_what_two_addresses_and_ports_see),
		cmocka_unit_test(the_same_server_twice_tells_nothing_of_the_mapping),
		cmocka_unit_test(filtering_is_said_only_where_the_tests_decide_it),
		cmocka_unit_test(step_is_found_through_others_mappings_and_the_last_port),
		cmocka_unit_test(no_rule_is_no_step),
		cmocka_unit_test(ports_that_follow_the_local_ones_have_no_step),
		cmocka_unit_test(classic_names_need_both_facts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
