#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ctl/doctor.h"

#define ROUTES_HEAD "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
#define ROUTE_DEFAULT "eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
#define ROUTE_SECOND "wlan0\t00000000\t0102A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n"
#define ROUTE_OWN "warren0\t00004D0A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
#define ROUTE_INSIDE "tun9\t00054D0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n" /* 10.77.5.0/24 */
#define ROUTE_AROUND "tun9\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n" /* 10.0.0.0/8 */

/* A peer on which all is well. */
static struct doctor_facts healthy(void)
{
	return (struct doctor_facts){
		.status = json_loads(
			"{\"config\":{\"last_error\":null,\"changed_on_disk\":false},\"addresses\":[\"10.77.0.2/16\","
			"\"fd77::2/64\"],\"tun\":{\"name\":\"warren0\",\"mtu\":1420,\"present\":true},"
			"\"underlay\":{\"port\":27700}}",
			0, NULL),
		.netcheck = json_loads("{\"udp_blocked\":false,\"udp4\":{\"ok\":true},\"coordinators\":[{\"endpoint\":"
				       "\"c1.example.net:27700\"}]}",
				       0, NULL),
		.net = "home",
		.rp_filter = 0,
		.forwarding4 = 1,
		.clock_is_synchronised = 1,
		.tun_mtu = 1420,
		.underlay_mtu = 1500,
		.routes4 = ROUTES_HEAD ROUTE_DEFAULT ROUTE_OWN,
		.routes6 = "fd770000000000000000000000000000 40 00000000000000000000000000000000 00 "
			   "00000000000000000000000000000000 00000100 00000001 00000000 00000001  warren0\n",
		.ruleset = json_loads("{\"nftables\":[]}", 0, NULL),
	};
}

static void done(struct doctor_facts *f)
{
	json_decref((json_t *)(uintptr_t)f->routes);
	json_decref((json_t *)(uintptr_t)f->status);
	json_decref((json_t *)(uintptr_t)f->netcheck);
	json_decref((json_t *)(uintptr_t)f->ruleset);
}

/* The finding of that check; `findings` goes with it. */
static void finding_is(const struct doctor_facts *f, const char *check, const char *state, const char *words,
		       const char *mend)
{
	json_t *findings = doctor_judge(f);
	const json_t *finding;
	bool is_seen = false;
	size_t i;

	json_array_foreach(findings, i, finding) {
		const char *is = json_string_value(json_object_get(finding, "mend"));

		if (strcmp(json_string_value(json_object_get(finding, "check")), check) != 0)
			continue;
		is_seen = true;
		assert_string_equal(json_string_value(json_object_get(finding, "state")), state);
		if (words)
			assert_non_null(strstr(json_string_value(json_object_get(finding, "message")), words));
		if (mend)
			assert_string_equal(is, mend);
		else if (words)
			assert_null(is);
	}
	assert_true(is_seen);
	json_decref(findings);
}

static void nothing_is_wrong_with_a_healthy_host(void **state)
{
	struct doctor_facts f = healthy();
	json_t *findings = doctor_judge(&f);
	const json_t *finding;
	size_t i;

	(void)state;
	assert_int_equal(json_array_size(findings), 9);
	json_array_foreach(findings, i, finding)
		assert_string_equal(json_string_value(json_object_get(finding, "state")), "ok");
	json_decref(findings);
	done(&f);
}

static void what_expires_is_said_in_time(void **state)
{
	static const struct {
		const char *certificate, *list; /* as JSON */
		const char *state, *words, *list_state, *list_words;
	} cases[] = {
		{ "null", "null", "ok", "does not expire", NULL, NULL },
		{ "\"2026-06-01T00:00:00Z\"", "\"2026-03-01T00:00:00Z\"", "ok", NULL, "ok", NULL },
		{ "\"2026-01-31T00:00:00Z\"", "\"2026-01-02T12:00:00Z\"", "warn", "expires in 30 days", "warn",
		  "expires in 1 days" },
		{ "\"2025-12-31T00:00:00Z\"", "\"2026-01-01T12:00:00Z\"", "bad", "has expired", "bad", "has expired" },
	};
	struct doctor_facts f = healthy();

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256];

		snprintf(text, sizeof(text),
			 "{\"time\":\"2026-01-01T12:00:00Z\",\"certificate\":{\"not_after\":%s,"
			 "\"revocations_expire\":%s}}",
			 cases[i].certificate, cases[i].list);
		json_decref((json_t *)(uintptr_t)f.status);
		f.status = json_loads(text, 0, NULL);
		assert_non_null(f.status);
		finding_is(&f, "certificate", cases[i].state, cases[i].words,
			   strcmp(cases[i].state, "ok") ?
				   "warrenctl cert sign NAME, where the network key is; warrenctl reload here" :
				   NULL);
		if (cases[i].list_state)
			finding_is(&f, "revocations", cases[i].list_state, cases[i].list_words,
				   strcmp(cases[i].list_state, "ok") ?
					   "warrenctl node refresh, where the network key is" :
					   NULL);
	}
	done(&f);
}

static void without_a_daemon_the_host_is_looked_at_still(void **state)
{
	struct doctor_facts f = {
		.net = "home", .tun_error = ENOENT, .rp_filter = -1, .forwarding4 = -1, .clock_is_synchronised = -1
	};

	(void)state;
	finding_is(&f, "daemon", "bad", "does not answer", "systemctl enable --now warren@home");
	finding_is(&f, "tun", "bad", "there is no /dev/net/tun", "modprobe tun");
	finding_is(&f, "routes", "unknown", NULL, NULL);
	finding_is(&f, "firewall", "unknown", NULL, NULL);
	finding_is(&f, "clock", "unknown", NULL, NULL);
	f.tun_error = EPERM;
	finding_is(&f, "tun", "bad", "--cap-add NET_ADMIN", "chmod 0666 /dev/net/tun");
}

static void an_ordinary_user_who_asks_is_no_proof_against_the_device(void **state)
{
	struct doctor_facts f = healthy();

	(void)state;
	f.tun_error = EACCES;
	finding_is(&f, "tun", "ok", "the daemon has its interface", NULL);
	done(&f);
}

static void a_route_inside_the_mesh_is_found_one_around_it_is_not(void **state)
{
	struct doctor_facts f = healthy();

	(void)state;
	f.routes4 = ROUTES_HEAD ROUTE_DEFAULT ROUTE_OWN ROUTE_AROUND;
	finding_is(&f, "routes", "ok", NULL, NULL);
	f.routes4 = ROUTES_HEAD ROUTE_AROUND ROUTE_OWN ROUTE_INSIDE;
	finding_is(&f, "routes", "bad", "10.77.5.0/24 through tun9 takes packets away from the mesh's 10.77.0.0/16",
		   "ip route del 10.77.5.0/24 dev tun9");
	f.routes4 = ROUTES_HEAD ROUTE_OWN;
	f.routes6 = "fd770000000000000000000000000000 50 00000000000000000000000000000000 00 "
		    "00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth1\n";
	finding_is(&f, "routes", "bad", "fd77::/80 through eth1", "ip route del fd77::/80 dev eth1");
	done(&f);
}

#define ROUTE(prefix, peer, state, with, error)                                                                  \
	"{\"prefix\":\"" prefix "\",\"peer\":\"" peer "\",\"state\":\"" state "\",\"since\":null,\"with\":" with \
	",\"error\":" error "}"

static void networks_are(struct doctor_facts *f, const char *rows)
{
	char text[1024];

	snprintf(text, sizeof(text), "{\"routes\":[%s]}", rows);
	json_decref((json_t *)(uintptr_t)f->routes);
	f->routes = json_loads(text, 0, NULL);
	assert_non_null(f->routes);
}

static void whoever_has_a_network_behind_it_must_forward(void **state)
{
	struct doctor_facts f = healthy();

	(void)state;
	networks_are(&f, ROUTE("192.168.7.0/24", "alice", "own", "null", "null"));
	finding_is(&f, "forwarding", "ok", "on", NULL);
	f.forwarding4 = 0;
	finding_is(&f, "forwarding", "bad", "192.168.7.0/24", "sysctl -w net.ipv4.ip_forward=1");
	/* Each family for itself. */
	networks_are(&f, ROUTE("fd07::/32", "alice", "own", "null", "null"));
	f.forwarding6 = 1;
	finding_is(&f, "forwarding", "ok", NULL, NULL);
	f.forwarding6 = 0;
	finding_is(&f, "forwarding", "bad", "fd07::/32", "sysctl -w net.ipv6.conf.all.forwarding=1");
	/* Whoever only uses one need not. */
	networks_are(&f, ROUTE("192.168.7.0/24", "bob", "in use", "null", "null"));
	finding_is(&f, "forwarding", "ok", "off", "sysctl -w net.ipv4.ip_forward=1");
	done(&f);
}

/* 192.168.7.0/25 */
#define ROUTE_PART "eth1\t0007A8C0\t00000000\t0001\t0\t0\t0\t80FFFFFF\t0\t0\t0\n"

static void overlaps_with_networks_behind_peers_are_found(void **state)
{
	struct doctor_facts f = healthy();

	(void)state;
	networks_are(&f, ROUTE("192.168.7.0/24", "bob", "in use", "null", "null"));
	finding_is(&f, "routes", "ok", NULL, NULL);
	f.routes4 = ROUTES_HEAD ROUTE_DEFAULT ROUTE_OWN ROUTE_PART;
	finding_is(&f, "routes", "warn",
		   "192.168.7.0/25 through eth1 takes packets away from the mesh's 192.168.7.0/24",
		   "ip route del 192.168.7.0/25 dev eth1");
	f.routes4 = ROUTES_HEAD ROUTE_DEFAULT ROUTE_OWN;
	networks_are(&f, ROUTE("192.168.7.0/24", "bob", "overlaps", "\"eth1\"", "null"));
	finding_is(&f, "routes", "warn", "192.168.7.0/24 behind bob overlaps with eth1", "warrenctl routes");
	networks_are(&f, ROUTE("10.77.3.0/24", "bob", "overlaps", "\"10.77.0.0/16\"", "null"));
	finding_is(&f, "routes", "warn", "overlaps with 10.77.0.0/16", "warrenctl routes");
	networks_are(&f, ROUTE("192.168.7.0/24", "bob", "not certified", "null", "null"));
	finding_is(&f, "routes", "warn", "no good certificate", "warrenctl routes");
	networks_are(&f, ROUTE("192.168.7.0/24", "bob", "in use", "null", "\"Permission denied\""));
	finding_is(&f, "routes", "warn", "cannot be set: Permission denied", "warrenctl routes");
	/* Two peers for one network are meant so, and what nobody asked for is nobody's concern. */
	networks_are(&f, ROUTE("192.168.7.0/24", "bob", "in use", "null", "null") "," ROUTE(
				 "192.168.7.0/24", "carol", "overlaps", "\"bob\"",
				 "null") "," ROUTE("192.168.8.0/24", "carol", "not accepted", "null", "null"));
	finding_is(&f, "routes", "ok", NULL, NULL);
	done(&f);
}

static void a_strict_filter_matters_where_there_are_two_ways_out(void **state)
{
	struct doctor_facts f = healthy();

	(void)state;
	f.rp_filter = 1;
	finding_is(&f, "rp_filter", "ok", "one way out", NULL);
	f.routes4 = ROUTES_HEAD ROUTE_DEFAULT ROUTE_SECOND;
	finding_is(&f, "rp_filter", "warn", "several ways out", "sysctl -w net.ipv4.conf.all.rp_filter=2");
	f.rp_filter = 2;
	finding_is(&f, "rp_filter", "ok", NULL, NULL);
	done(&f);
}

#define CHAIN(policy)                                                                                                     \
	"{\"chain\":{\"family\":\"inet\",\"table\":\"filter\",\"name\":\"input\",\"type\":\"filter\",\"hook\":\"input\"," \
	"\"prio\":0,\"policy\":\"" policy "\"}}"
#define RULE(expr) \
	"{\"rule\":{\"family\":\"inet\",\"table\":\"filter\",\"chain\":\"input\",\"handle\":1,\"expr\":[" expr "]}}"
#define MATCH(what) \
	"{\"match\":{\"op\":\"==\",\"left\":{\"meta\":{\"key\":\"x\"}},\"right\":" what "}},{\"accept\":null}"

static void firewall_is(const char *rules, const char *state, const char *words, const char *mend)
{
	struct doctor_facts f = healthy();

	json_decref((json_t *)(uintptr_t)f.ruleset);
	f.ruleset = json_loads(rules, 0, NULL);
	assert_non_null(f.ruleset);
	finding_is(&f, "firewall", state, words, mend);
	done(&f);
}

static void a_chain_that_drops_is_bad_unless_it_lets_us_in(void **state)
{
	(void)state;
	firewall_is("{\"nftables\":[" CHAIN("accept") "]}", "ok", NULL, NULL);
	firewall_is("{\"nftables\":[" CHAIN("drop") "]}", "bad", "packets of the tunnel",
		    "nft insert rule inet filter input iifname warren0 accept");
	firewall_is("{\"nftables\":[" CHAIN("drop") "," RULE(MATCH("\"warren0\"")) "]}", "warn",
		    "UDP to the daemon's port", "nft insert rule inet filter input udp dport 27700 accept");
	firewall_is("{\"nftables\":[" CHAIN("drop") "," RULE(MATCH("\"warren0\"")) "," RULE(MATCH("27700")) "]}", "ok",
		    NULL, NULL);
	firewall_is("{\"nftables\":[" CHAIN("drop") "," RULE(MATCH("{\"set\":[\"eth0\",\"warren0\"]}")) "," RULE(
			    MATCH("{\"range\":[27000,28000]}")) "]}",
		    "ok", NULL, NULL);
	firewall_is("{\"nftables\":[" CHAIN("drop") "," RULE("{\"accept\":null}") "]}", "ok", NULL, NULL);
}

static void the_rest_is_judged_by_one_fact_each(void **state)
{
	struct doctor_facts f = healthy();
	json_t *netcheck = (json_t *)(uintptr_t)f.netcheck;

	(void)state;
	f.clock_is_synchronised = 0;
	finding_is(&f, "clock", "warn", "nothing keeps", "timedatectl set-ntp true");
	f.forwarding4 = 0;
	finding_is(&f, "forwarding", "ok", "off", "sysctl -w net.ipv4.ip_forward=1");
	f.tun_mtu = 1300;
	finding_is(&f, "mtu", "bad", "from 1420 to 1300", "ip link set warren0 mtu 1420");
	f.tun_mtu = 1420;
	f.underlay_mtu = 1300;
	finding_is(&f, "mtu", "warn", "1300", "ip link set DEVICE mtu 1500, if the link carries that");
	json_object_set_new(netcheck, "udp_blocked", json_true());
	finding_is(&f, "udp", "bad", "c1.example.net:27700",
		   "nft insert rule inet filter output meta l4proto udp accept");
	json_object_set_new(json_object_get(f.status, "config"), "last_error", json_string("home.conf:3: no"));
	finding_is(&f, "daemon", "bad", "home.conf:3", "warrenctl reload");
	done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_expires_is_said_in_time),
		cmocka_unit_test(nothing_is_wrong_with_a_healthy_host),
		cmocka_unit_test(without_a_daemon_the_host_is_looked_at_still),
		cmocka_unit_test(an_ordinary_user_who_asks_is_no_proof_against_the_device),
		cmocka_unit_test(a_route_inside_the_mesh_is_found_one_around_it_is_not),
		cmocka_unit_test(whoever_has_a_network_behind_it_must_forward),
		cmocka_unit_test(overlaps_with_networks_behind_peers_are_found),
		cmocka_unit_test(a_strict_filter_matters_where_there_are_two_ways_out),
		cmocka_unit_test(a_chain_that_drops_is_bad_unless_it_lets_us_in),
		cmocka_unit_test(the_rest_is_judged_by_one_fact_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
