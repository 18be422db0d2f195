#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "crypto/aead.h"
#include "crypto/keyfile.h"
#include "daemon/config/config.h"
#include "daemon/config/config_keys.h"
#include "daemon/config/config_source.h"
#include "tests/unit/certs.h"

#define KEY1 "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="
#define KEY2 "3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08="
#define SECRET "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo="

#define PEER                     \
	"role = peer\n"          \
	"name = \"alice\"\n"     \
	"coordinator \"c1\" {\n" \
	"\tendpoint = \"c1.example.net:27700\"\n\tpublic_key = \"" KEY1 "\"\n}\n"
#define COORDINATOR            \
	"role = coordinator\n" \
	"name = \"c1\"\n"      \
	"network { name = \"home\"  prefix = \"10.77.0.0/16\" }\n"

struct place {
	char dir[64], conf[96];
};

static int make_place(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	if (!p)
		return -1;
	snprintf(p->dir, sizeof(p->dir), "/tmp/warren-config-XXXXXX");
	if (!mkdtemp(p->dir))
		return -1;
	snprintf(p->conf, sizeof(p->conf), "%s/home.conf", p->dir);
	*state = p;
	return 0;
}

static const char *const made[] = { "home.conf",
				    "more.conf",
				    "home.conf.d/10-b.conf",
				    "home.conf.d/05-a.conf",
				    "home.conf.d/notes.txt",
				    "key",
				    "psk",
				    "warren.key",
				    "warren.psk",
				    "warren.proxy",
				    "login" };

static int remove_place(void **state)
{
	struct place *p = *state;
	char path[192];

	for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", p->dir, made[i]);
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s.d", p->conf);
	rmdir(path);
	rmdir(p->dir);
	free(p);
	return 0;
}

static void put(const struct place *p, const char *name, const char *text, mode_t mode)
{
	char path[192];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", p->dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static struct config *load(const struct place *p, const char *text)
{
	char error[CONFIG_ERROR_BYTES];
	struct config *c;

	put(p, "home.conf", text, 0644);
	c = config_load(p->conf, error);
	if (!c)
		fail_msg("%s", error);
	return c;
}

/* The file is refused at this line of home.conf, in words that contain these. */
static void refused(const struct place *p, const char *text, int line, const char *words)
{
	char error[CONFIG_ERROR_BYTES], where[128];
	struct config *c;

	put(p, "home.conf", text, 0644);
	c = config_load(p->conf, error);
	assert_null(c);
	snprintf(where, sizeof(where), "%s:%d: ", p->conf, line);
	if (strncmp(error, where, strlen(where)) != 0 || !strstr(error + strlen(where), words))
		fail_msg("wanted line %d and \"%s\", got: %s", line, words, error);
	assert_null(strchr(error, '\n'));
	assert_null(strstr(error, "dwdtCnMYpX08"));
}

static void a_peer_gets_its_values_and_defaults(void **state)
{
	struct config *c = load(*state, PEER);

	assert_int_equal(c->role, CONFIG_PEER);
	assert_string_equal(c->name, "alice");
	assert_string_equal(c->state_dir, "/var/lib/warren/home");
	assert_string_equal(c->control_socket, "/run/warren/home.sock");
	assert_string_equal(c->private_key_file, "/var/lib/warren/home/private.key");
	assert_null(c->psk_file);
	assert_string_equal(c->log_level, "info");
	assert_int_equal(c->workers, 0);
	assert_true(c->offload);
	assert_int_equal(c->ciphers, 1 << AEAD_CHACHA20_POLY1305 | 1 << AEAD_AES_256_GCM);
	assert_int_equal(c->compression, CONFIG_COMPRESSION_OFF);
	assert_int_equal(c->listen.port, 0);
	assert_null(c->on_mapping_change);
	assert_true(c->listen.portmap);
	assert_int_equal(c->listen.public_endpoints.n, 0);
	assert_string_equal(c->tun.name, "warren0");
	assert_int_equal(c->tun.mtu, 0);
	assert_int_equal(c->n_coordinators, 1);
	assert_string_equal(c->coordinators[0].name, "c1");
	assert_string_equal(c->coordinators[0].host, "c1.example.net");
	assert_int_equal(c->coordinators[0].port, 27700);
	config_free(c);
}

static void a_peer_may_set_everything(void **state)
{
	struct config *c =
		load(*state, "# all of it\n"
			     "#\n"
			     "role = peer // words\n"
			     "name = \"alice.home-1\" /* several\n lines */\n"
			     "private_key_file = \"/k\"\npsk_file = \"/p\"\ncontrol_socket = \"/s\"\n"
			     "state_dir = \"/d\"\nworkers = 3\noffload = off\nlog_level = debug\n"
			     "on_mapping_change = \"/h\"\n"
			     "proxy = \"http://proxy.example.net:3128\"\nproxy_auth_file = \"/l\"\n"
			     "ciphers = { \"chacha20-poly1305\" }\ncompression = auto\n"
			     "listen { address = \"192.0.2.1\" port = 4000 bind_interface = \"eth0\" portmap = off\n"
			     "public_endpoint = { \"home.example.net:4001\", \"[2001:db8::1]:4000\" } }\n"
			     "tun { name = \"mesh0\"  mtu = 1400 }\n"
			     "coordinator \"c1\" { endpoint = \"[2001:db8::1]:1\" public_key = \"" KEY1 "\" }\n"
			     "coordinator \"c2\" { endpoint = \"192.0.2.7:2\" public_key = \"" KEY2 "\" }\n");

	assert_string_equal(c->name, "alice.home-1");
	assert_string_equal(c->private_key_file, "/k");
	assert_string_equal(c->psk_file, "/p");
	assert_string_equal(c->control_socket, "/s");
	assert_string_equal(c->state_dir, "/d");
	assert_int_equal(c->workers, 3);
	assert_false(c->offload);
	assert_string_equal(c->on_mapping_change, "/h");
	assert_string_equal(c->proxy.host, "proxy.example.net");
	assert_int_equal(c->proxy.port, 3128);
	assert_string_equal(c->proxy_auth_file, "/l");
	assert_string_equal(c->log_level, "debug");
	assert_int_equal(c->ciphers, 1 << AEAD_CHACHA20_POLY1305);
	assert_int_equal(c->compression, CONFIG_COMPRESSION_AUTO);
	assert_int_equal(c->listen.address.len, 4);
	assert_int_equal(c->listen.port, 4000);
	assert_string_equal(c->listen.bind_interface, "eth0");
	assert_false(c->listen.portmap);
	assert_int_equal(c->listen.public_endpoints.n, 2);
	assert_string_equal(c->listen.public_endpoints.v[0].host, "home.example.net");
	assert_int_equal(c->listen.public_endpoints.v[0].port, 4001);
	assert_string_equal(c->listen.public_endpoints.v[1].host, "2001:db8::1");
	assert_string_equal(c->tun.name, "mesh0");
	assert_int_equal(c->tun.mtu, 1400);
	assert_int_equal(c->n_coordinators, 2);
	assert_string_equal(c->coordinators[0].host, "2001:db8::1");
	assert_string_equal(c->coordinators[1].host, "192.0.2.7");
	assert_int_equal(c->coordinators[1].port, 2);
	config_free(c);
}

static void each_peer_may_have_its_own_path(void **state)
{
	struct config *c = load(*state, PEER "peer \"bob\" { path = relay }\npeer \"carol\" { path = \"direct\" }\n"
					     "peer \"dave\" { }\n");
	struct config *same = load(*state, PEER);
	char reload[256], restart[256];

	assert_int_equal(config_path_of(c, "bob"), CONFIG_PATH_RELAY);
	assert_int_equal(config_path_of(c, "carol"), CONFIG_PATH_DIRECT);
	assert_int_equal(config_path_of(c, "dave"), CONFIG_PATH_AUTO);
	assert_int_equal(config_path_of(c, "erin"), CONFIG_PATH_AUTO);
	config_diff(c, same, reload, restart, sizeof(reload));
	assert_string_equal(reload, "peer");
	assert_string_equal(restart, "");
	config_free(same);
	config_free(c);
	refused(*state, PEER "peer \"bob\" { path = fast }\n", 7, "neither auto, direct nor relay");
	refused(*state, PEER "peer \"Bob!\" { path = auto }\n", 7, "peer");
	refused(*state, COORDINATOR "peer \"bob\" { path = auto }\n", 4, "peer is for a peer");
}

static void networks_are_named_beside_the_peer_they_are_behind(void **state)
{
	struct config *c = load(*state, PEER "routes = {\"192.168.9.0/24\"}\n"
					     "peer \"bob\" { routes = {\"192.168.7.0/24\", \"fd12:7::/32\"} }\n");
	struct config *other = load(*state, PEER "peer \"bob\" { routes = {\"192.168.7.0/24\"} }\n");
	char reload[256], restart[256], text[ADDR_TEXT_BYTES];

	assert_int_equal(c->routes.n, 1);
	assert_string_equal(prefix_to_text(&c->routes.v[0], text), "192.168.9.0/24");
	assert_int_equal(c->peers[0].routes.n, 2);
	assert_string_equal(prefix_to_text(&c->peers[0].routes.v[1], text), "fd12:7::/32");
	config_diff(c, other, reload, restart, sizeof(reload));
	assert_string_equal(reload, "routes, peer");
	assert_string_equal(restart, "");
	config_free(other);
	config_free(c);
}

static void network_that_can_be_behind_nobody_is_refused(void **state)
{
	static const struct {
		const char *text, *words;
	} bad[] = {
		{ "0.0.0.0/0", "no peer is a way to the whole Internet" },
		{ "::/0", "no peer is a way to the whole Internet" },
		{ "128.0.0.0/1", "too wide" },
		{ "2000::/3", "too wide" },
		{ "192.168.7.1/24", "bits set behind its length" },
		{ "192.168.7.0", "is no prefix" },
		{ "lan", "is no prefix" },
		{ "127.0.0.0/8", "meaning of its own" },
		{ "224.0.0.0/8", "meaning of its own" },
		{ "169.254.0.0/16", "meaning of its own" },
		{ "fe80::/64", "meaning of its own" },
		{ "ff00::/16", "meaning of its own" },
	};
	char text[512];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), PEER "peer \"bob\" { routes = {\"%s\"} }\n", bad[i].text);
		refused(*state, text, 7, bad[i].words);
	}
	refused(*state, PEER "routes = {\"192.168.7.0/24\", \"192.168.7.0/24\"}\n", 7, "is there twice");
	refused(*state,
		PEER "routes = {\"10.1.0.0/16\", \"10.2.0.0/16\", \"10.3.0.0/16\", \"10.4.0.0/16\",\n"
		     "\"10.5.0.0/16\", \"10.6.0.0/16\", \"10.7.0.0/16\", \"10.8.0.0/16\", \"10.9.0.0/16\"}\n",
		8, "8 may be given");
	refused(*state, COORDINATOR "routes = {\"10.1.0.0/16\"}\n", 4, "routes is for a peer");
}

static void a_coordinator_gets_its_values_and_defaults(void **state)
{
	struct config *c =
		load(*state, COORDINATOR "member \"alice\" { public_key = \"" KEY1 "\"  address = \"10.77.0.2\" }\n"
					 "member \"bob\" {\n\tpublic_key = \"" KEY2 "\"\n}\n");
	char text[ADDR_TEXT_BYTES];

	assert_int_equal(c->role, CONFIG_COORDINATOR);
	assert_int_equal(c->listen.port, 27700);
	assert_int_equal(c->listen.alternate_port, 27701);
	assert_int_equal(c->listen.n_tcp_ports, 1);
	assert_int_equal(c->listen.tcp_ports[0], 27700);
	assert_true(c->listen.stun);
	assert_true(ip_is_none(&c->listen.address));
	assert_string_equal(c->network.name, "home");
	assert_string_equal(prefix_to_text(&c->network.prefix, text), "10.77.0.0/16");
	assert_int_equal(c->network.prefix6.bits, 64);
	assert_int_equal(c->network.prefix6.ip.b[0], 0xfd);
	assert_true(c->relay.enabled);
	assert_int_equal(c->relay.rate_per_peer, 20000000);
	assert_int_equal(c->relay.rate_total, 100000000);
	assert_int_equal(c->relay.packets_per_peer, 5000);
	assert_int_equal(c->n_members, 2);
	assert_string_equal(c->members[0].name, "alice");
	assert_int_equal(c->members[0].line, 4);
	assert_int_equal(c->members[1].line, 6);
	assert_true(ip_is_none(&c->members[1].address));
	config_free(c);
}

static void a_coordinator_may_set_everything(void **state)
{
	struct config *c =
		load(*state, "role = coordinator\nname = c1\n"
			     "listen { address = \"::\" port = 1 alternate_port = 0 tcp_ports = {1, 443} stun = no\n"
			     "         alternate_address = \"198.51.100.11\" }\n"
			     "network { name = n prefix = none prefix6 = \"fd12:3456:789a::/64\" }\n"
			     "relay { enabled = no rate_per_peer = 500kbit rate_total = \"1 Gbit\"\n"
			     "        packets_per_peer = 7 }\n"
			     "member m { public_key = \"" KEY1 "\" address6 = \"fd12:3456:789a::5\" }\n");

	assert_int_equal(c->listen.alternate_port, 0);
	assert_true(ip_is_none(&c->listen.address));
	assert_int_equal(c->listen.n_tcp_ports, 2);
	assert_int_equal(c->listen.tcp_ports[1], 443);
	assert_false(c->listen.stun);
	assert_int_equal(c->listen.alternate_address.b[3], 11);
	assert_int_equal(c->network.prefix.ip.len, 0);
	assert_int_equal(c->network.prefix6.ip.len, 16);
	assert_false(c->relay.enabled);
	assert_int_equal(c->relay.rate_per_peer, 500000);
	assert_int_equal(c->relay.rate_total, 1000000000);
	assert_int_equal(c->relay.packets_per_peer, 7);
	assert_int_equal(c->members[0].address6.b[15], 5);
	config_free(c);
}

static void the_same_network_name_gives_the_same_prefix6(void **state)
{
	struct config *a = load(*state, COORDINATOR), *b = load(*state, COORDINATOR);
	struct config *other = load(*state, "role=coordinator name=c1 network { name=work prefix=10.0.0.0/8 }");

	assert_memory_equal(&a->network.prefix6, &b->network.prefix6, sizeof(a->network.prefix6));
	assert_memory_not_equal(&a->network.prefix6, &other->network.prefix6, sizeof(a->network.prefix6));
	config_free(a);
	config_free(b);
	config_free(other);
}

static void unknown_keys_name_the_nearest_known_one(void **state)
{
	refused(*state, "role = peer\nnmae = \"x\"\n", 2, "unknown key \"nmae\" (did you mean \"name\"?)");
	refused(*state, "role = peer\ncoordinator \"c1\" {\n endpiont = \"x:1\"\n}\n", 3,
		"unknown key \"endpiont\" in coordinator \"c1\" (did you mean \"endpoint\"?)");
	refused(*state, "role = peer\nlisten { prot = 3 }\n", 2,
		"unknown key \"prot\" in listen (did you mean \"port\"?)");
	refused(*state, "role = peer\nport = 3\n", 2, "unknown key \"port\" (it belongs in listen)");
	refused(*state, "role = peer\n\ntunnel { }\n", 3, "unknown key \"tunnel\"");
	refused(*state, "listen { frobnicate = 3 }\n", 1, "known here: address, port");
	refused(*state, "tun { workers = 3 }\n", 1, "it belongs outside of all sections");
	refused(*state, "tun|name = 3\n", 1, "unknown key");
	refused(*state, "memebr \"a\" { }\n", 1, "did you mean \"member\"?");
}

static void secrets_are_never_quoted_back(void **state)
{
	refused(*state, SECRET "\n", 1, "not shown");
	refused(*state, PEER "private_key_file = \"" SECRET "\"\n", 7, "not the key");
	refused(*state, "role = coordinator\npsk_file = \"" SECRET "\"\n", 2, "psk_file is for a peer");
	refused(*state, PEER "name = \"" SECRET "\"\n", 7, "not shown");
	refused(*state, "role = peer\nname \"" SECRET "\"\n", 2, "equal sign");
	refused(*state, "role = \"" SECRET "\"\n", 1, "not shown");
	refused(*state, "role = peer = \"" SECRET "\"\n", 1, "unexpected");
	refused(*state, "listen { tcp_ports = { 1 \"" SECRET "\" } }\n", 1, "unexpected");
	refused(*state, "coordinator \"" SECRET "\" { endpiont = 3 }\n", 1, "endpiont");
	refused(*state, "role = peer\ncoordinator c { public_key = \"" SECRET "x\" }\n", 2, "is no public key");
	refused(*state, "member \"" SECRET "\" { }\nmember \"" SECRET "\" { }\n", 2, "twice");
	refused(*state, "role = peer\nlog_level = \"" SECRET "\"\n", 2, "log_level");
	refused(*state, "include(\"" SECRET "\")\n", 1, "no such file");
	refused(*state, PEER "proxy = \"http://user:" SECRET "@h:3128\"\n", 7, "a file that proxy_auth_file names");
	refused(*state, PEER "proxy = \"http://h:" SECRET "\"\n", 7, "port");
	refused(*state, PEER "proxy_auth_file = \"" SECRET "\"\n", 7, "not the key");
}

static void keys_of_the_other_role_are_refused(void **state)
{
	refused(*state, COORDINATOR "tun {\n\tname = \"warren0\"\n}\n", 5, "tun is for a peer");
	refused(*state, COORDINATOR "tun { }\n", 4, "tun is for a peer");
	refused(*state, COORDINATOR "coordinator c { }\n", 4, "coordinator is for a peer");
	refused(*state, PEER "member \"a\" { }\n", 7, "member is for a coordinator");
	refused(*state, PEER "network { name = x }\n", 7, "network is for a coordinator");
	refused(*state, PEER "relay { enabled = no }\n", 7, "relay is for a coordinator");
	refused(*state, PEER "listen { tcp_ports = {1} }\n", 7, "listen.tcp_ports is for a coordinator");
	refused(*state, PEER "listen { alternate_port = 2 }\n", 7, "listen.alternate_port is for a coordinator");
}

static void what_is_missing_is_named(void **state)
{
	refused(*state, "", 1, "role is missing");
	refused(*state, "name = x\n", 1, "role is missing");
	refused(*state, "role = peer\n", 1, "name is missing");
	refused(*state, "role = peer\nname = x\n", 1, "no coordinator");
	refused(*state, "role = peer\nname = x\ncoordinator c { public_key = \"" KEY1 "\" }\n", 3, "has no endpoint");
	refused(*state, "role = peer\nname = x\ncoordinator c { endpoint = \"h:1\"\n}\n", 4, "has no public_key");
	refused(*state, "role = coordinator\nname = x\n", 1, "no network");
	refused(*state, "role = coordinator\nname = x\nnetwork { prefix = 10.0.0.0/8 }\n", 3,
		"network.name is missing");
	refused(*state, "role = coordinator\nname = x\nnetwork { name = n }\n", 3, "network.prefix is missing");
	refused(*state, COORDINATOR "member m { }\n", 4, "has no public_key");
}

static void broken_grammar_is_found_at_its_line(void **state)
{
	refused(*state, "role = peer\nname = \"alice\nworkers = 1\n", 2, "not closed on its line");
	refused(*state, "role = peer\n/* never\n\n", 2, "a comment begins here");
	refused(*state, "role = peer\n\"", 2, "not closed");
	refused(*state, "role = \"${HOME\"\n}\n", 1, "not closed");
	refused(*state, "role = peer\nlisten { port = 1\n\n", 2, "not closed");
	refused(*state, "role = peer\nname =\n", 3, "ends too early");
	refused(*state, "role = peer\n}\n", 2, "closing brace");
	refused(*state, "role peer\n", 1, "missing equal sign after option 'role'");
	refused(*state, "role = peer\ncoordinator { }\n", 2, "missing title");
	refused(*state, "role = peer\nlisten = 3\n", 2, "missing opening brace");
	refused(*state, "role = peer\n\x01\n", 2, "no text");
	refused(*state, "role = elephant\n", 1, "role: \"elephant\" is neither peer nor coordinator");
	refused(*state, "#\n#\nrole = peer\n# x\n#\nzork = 1\n", 6, "zork");
}

static void bad_values_are_quoted_with_the_reason(void **state)
{
	static const struct {
		const char *text, *words;
	} peer[] = {
		{ "name = \"Alice\"", "name: \"Alice\" is no name" },
		{ "name = \"-a\"", "begins and ends" },
		{ "name = \"\"", "name is empty" },
		{ "workers = 9", "workers: \"9\" is no number from 0 to 8" },
		{ "workers = -1", "workers" },
		{ "workers = \"1x\"", "workers" },
		{ "offload = on", "neither auto nor off" },
		{ "ciphers = { \"null\" }", "is no cipher" },
		{ "compression = yes", "compression: \"yes\" is neither off, auto nor on" },
		{ "compression = 1", "neither off, auto nor on" },
		{ "log_level = loud", "is none of error, warn, info, debug" },
		{ "on_mapping_change = \"h\"", "whole path" },
		{ "listen { port = 65536 }", "listen.port: \"65536\" is no port" },
		{ "listen { address = \"1.2.3\" }", "is no IP address" },
		{ "listen { address = \"224.0.0.1\" }", "is no address of a host" },
		{ "listen { bind_interface = \"a/b\" }", "is no interface's name" },
		{ "listen { portmap = yes }", "neither auto nor off" },
		{ "listen { public_endpoint = {\"h\"} }", "has no port" },
		{ "listen { public_endpoint = {\"h:1\", \"H:1\"} }", "is there twice" },
		{ "listen { public_endpoint = {\"h:1\", \"h:2\", \"h:3\", \"h:4\", \"h:5\"} }",
		  "one endpoint too many" },
		{ "listen { public_endpoint = {\"0.0.0.0:1\"} }", "nothing can be sent to" },
		{ "tun { name = \"0123456789abcdef\" }", "longer than 15" },
		{ "tun { name = \"\" }", "empty" },
		{ "tun { mtu = 1000 }", "is neither 0 nor a number from 1280 to 9000" },
		{ "coordinator c { endpoint = \"h\" }", "has no port" },
		{ "coordinator c { endpoint = \"h:0\" }", "has no port from 1" },
		{ "coordinator c { endpoint = \"h:70000\" }", "has no port from 1" },
		{ "coordinator c { endpoint = \":1\" }", "neither a host's name" },
		{ "coordinator c { endpoint = \"1.2.3:1\" }", "neither a host's name" },
		{ "coordinator c { endpoint = \"2001:db8::1:1\" }", "goes in brackets" },
		{ "coordinator c { endpoint = \"[1.2.3.4]:1\" }", "nothing can be sent to" },
		{ "coordinator c { endpoint = \"0.0.0.0:1\" }", "nothing can be sent to" },
		{ "coordinator c { endpoint = \"a b:1\" }", "neither a host's name" },
		{ "coordinator c { public_key = \"abc\" }", "is no public key" },
		{ "coordinator c { public_key = \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\" }",
		  "is no public key" },
		{ "coordinator \"C\" { }", "is no name" },
		{ "stun = {\"h:0\"}", "has no port from 1" },
		{ "stun = {\"\"}", "is empty" },
		{ "stun = {\"2001:db8::1:1\"}", "goes in brackets" },
		{ "stun = {\"[2001:db8::1]x\"}", "has no port" },
		{ "stun = {\"h\", \"H:3478\"}", "is there twice" },
		{ "stun = {\"a\",\"b\",\"c\",\"d\",\"e\"}", "too many" },
	};
	static const struct {
		const char *text, *words;
	} coordinator[] = {
		{ "network { prefix = \"10.0.0.0/61\" }", "\"10.0.0.0/61\" is no IPv4 prefix" },
		{ "network { prefix = \"10.0.0.0\" }", "is no IPv4 prefix" },
		{ "network { prefix = \"10.77.0.1/16\" }", "has bits set behind its length" },
		{ "network { prefix = \"10.77.0.0/31\" }", "outside of /8 to /30" },
		{ "network { prefix = \"fd00::/64\" }", "IPv6 goes to prefix6" },
		{ "network { prefix = \"224.0.0.0/8\" }", "meaning of its own" },
		{ "network { prefix = auto }", "is no IPv4 prefix" },
		{ "network { prefix6 = \"10.0.0.0/8\" }", "IPv4 goes to prefix" },
		{ "network { prefix6 = \"fe80::/64\" }", "meaning of its own" },
		{ "network { prefix6 = none prefix = none }", "no addresses" },
		{ "relay { enabled = maybe }", "is neither true nor false" },
		{ "relay { rate_per_peer = 20 }", "is no rate" },
		{ "relay { rate_per_peer = 0kbit }", "is no rate" },
		{ "relay { rate_per_peer = \"20 MB\" }", "is no rate" },
		{ "relay { rate_per_peer = 99999999999999999999Gbit }", "is no rate" },
		{ "relay { rate_total = 1Mbit }", "less than rate_per_peer" },
		{ "relay { packets_per_peer = 0 }", "is no number" },
		{ "listen { port = 0 }", "is 0" },
		{ "listen { alternate_port = 27700 }", "same as listen.port" },
		{ "listen { alternate_address = \"::\" }", "is no address of a host" },
		{ "listen { alternate_address = \"198.51.100.256\" }", "is no IP address" },
		{ "listen { address = \"198.51.100.1\" alternate_address = \"198.51.100.1\" }", "is the same as" },
		{ "listen { address = \"198.51.100.1\" alternate_address = \"2001:db8::1\" }", "another family" },
		{ "listen { address = \"0.0.0.0\" alternate_address = \"2001:db8::1\" }", "another family" },
		{ "listen { address = \"2001:db8::1\" alternate_address = \"198.51.100.1\" }", "another family" },
		{ "listen { tcp_ports = {1, 1} }", "is there twice" },
		{ "listen { tcp_ports = {0} }", "is no port" },
		{ "listen { tcp_ports = {1,2,3,4,5,6,7,8,9} }", "too many" },
		{ "member m { public_key = \"" KEY1 "\" address = \"10.78.0.1\" }", "outside of network.prefix" },
		{ "member m { public_key = \"" KEY1 "\" address = \"10.77.0.0\" }", "reserved" },
		{ "member m { public_key = \"" KEY1 "\" address = \"10.77.255.255\" }", "reserved" },
		{ "member m { public_key = \"" KEY1 "\" address = \"fd00::1\" }", "that is address6" },
		{ "member m { public_key = \"" KEY1 "\" address6 = \"10.77.0.2\" }", "that is address" },
		{ "member m { public_key = \"" KEY1 "\" address6 = \"2001:db8::1\" }", "outside of network.prefix6" },
		{ "member m { public_key = \"" KEY1 "\" address = \"10.77.0\" }", "is no IP address" },
	};
	char text[1024];

	for (size_t i = 0; i < sizeof(peer) / sizeof(peer[0]); i++) {
		snprintf(text, sizeof(text), PEER "%s\n", peer[i].text);
		refused(*state, text, 7, peer[i].words);
	}
	for (size_t i = 0; i < sizeof(coordinator) / sizeof(coordinator[0]); i++) {
		snprintf(text, sizeof(text), COORDINATOR "%s\n", coordinator[i].text);
		refused(*state, text, 4, coordinator[i].words);
	}
}

/* Of keys that are to come too: nothing takes 5000 letters, and none is quoted. */
static void every_key_refuses_what_no_key_can_be(void **state)
{
	char value[5001], text[6000];

	memset(value, 'x', sizeof(value));
	value[sizeof(value) - 1] = '\0';
	for (size_t i = 0; config_key_at(i); i++) {
		const struct config_key *k = config_key_at(i);
		bool is_peers = k->roles & CONFIG_OF_PEER;
		const char *base = is_peers ? PEER : COORDINATOR;

		if (k->section[0])
			snprintf(text, sizeof(text), "%s%s%s { %s = \"%s\" }\n", base, k->section,
				 config_section_is_titled(k->section) ? " \"z\"" : "", k->name, value);
		else
			snprintf(text, sizeof(text), "%s%s = \"%s\"\n", base, k->name, value);
		refused(*state, text, is_peers ? 7 : 4, k->name);
	}
}

static void what_is_there_twice_is_found(void **state)
{
	refused(*state, PEER "coordinator \"c1\" { }\n", 7, "\"c1\" is there twice");
	refused(*state, PEER "coordinator c2 { public_key = \"" KEY2 "\"\n endpoint = \"C1.example.net:27700\" }\n", 8,
		"the endpoint of another coordinator");
	refused(*state, COORDINATOR "member a { public_key = \"" KEY1 "\" }\nmember a { public_key = \"" KEY2 "\" }\n",
		5, "\"a\" is there twice");
	refused(*state, COORDINATOR "member b { public_key = \"" KEY1 "\" }\nmember a { public_key = \"" KEY1 "\" }\n",
		5, "member \"a\" has the public_key of member \"b\"");
	refused(*state,
		COORDINATOR "member b { address = 10.77.0.2 public_key = \"" KEY1 "\" }\n"
			    "member a {\n address = 10.77.0.2\n public_key = \"" KEY2 "\" }\n",
		6, "member \"a\" has the address 10.77.0.2 of member \"b\"");
}

static void too_many_coordinators_are_refused(void **state)
{
	char text[2048];
	int n = snprintf(text, sizeof(text), PEER);

	for (int i = 2; i <= CONFIG_COORDINATORS_MAX + 1; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n,
			      "coordinator \"c%d\" { endpoint = \"h%d:1\" public_key = \"" KEY2 "\" }\n", i, i);
	refused(*state, text, 6 + CONFIG_COORDINATORS_MAX, "one coordinator too many");
}

static void a_missing_file_is_named(void **state)
{
	char error[CONFIG_ERROR_BYTES];

	assert_null(config_load("/nonexistent/home.conf", error));
	assert_string_equal(error, "/nonexistent/home.conf:0: No such file or directory");
	assert_null(config_load("/dev/null", error));
	assert_non_null(strstr(error, "/dev/null:0: "));
	(void)state;
}

static void an_included_file_counts_its_own_lines(void **state)
{
	struct place *p = *state;
	char error[CONFIG_ERROR_BYTES];
	struct config *c;

	put(p, "more.conf", "# more\nworkers = 2\n", 0644);
	c = load(p, "include(\"more.conf\")\n" PEER);
	assert_int_equal(c->workers, 2);
	config_free(c);
	refused(p, "include(\"more.conf\")\nzork = 1\n", 2, "zork");
	put(p, "more.conf", "\n\nworkers = 12\n", 0644);
	put(p, "home.conf", "include(\"more.conf\")\n" PEER, 0644);
	assert_null(config_load(p->conf, error));
	assert_non_null(strstr(error, "/more.conf:3: workers"));
	put(p, "more.conf", "\nlisten { port = x\n", 0644);
	assert_null(config_load(p->conf, error));
	assert_non_null(strstr(error, "/more.conf:2: the \"{\" here is not closed"));
	refused(p, PEER "include(\"none.conf\")\n", 7, "none.conf: No such file or directory");
	refused(p, "include(\"home.conf\")\n" PEER, 1, "too deeply");
	refused(p, PEER "include()\n", 7, "one file's name");
}

static void drop_ins_are_read_by_name_and_the_last_wins(void **state)
{
	struct place *p = *state;
	char dir[160], error[CONFIG_ERROR_BYTES];
	struct config *c;

	snprintf(dir, sizeof(dir), "%s.d", p->conf);
	assert_int_equal(mkdir(dir, 0755), 0);
	put(p, "home.conf.d/10-b.conf", "workers = 2\nlisten { port = 9 }\n", 0644);
	put(p, "home.conf.d/05-a.conf", "workers = 1\nlog_level = warn\n", 0644);
	put(p, "home.conf.d/notes.txt", "this is no configuration", 0644);
	c = load(p, "workers = 3\nlisten { port = 8 bind_interface = eth1 }\n" PEER);
	assert_int_equal(c->workers, 2);
	assert_string_equal(c->log_level, "warn");
	assert_int_equal(c->listen.port, 9);
	assert_string_equal(c->listen.bind_interface, "eth1");
	config_free(c);
	put(p, "home.conf.d/10-b.conf", "workers = 2\nwrokers = 2\n", 0644);
	assert_null(config_load(p->conf, error));
	assert_non_null(strstr(error, "home.conf.d/10-b.conf:2: unknown key \"wrokers\" (did you mean \"workers\"?)"));
	put(p, "home.conf.d/10-b.conf", "\nlisten {\n port = 70000 }\n", 0644);
	assert_null(config_load(p->conf, error));
	assert_non_null(strstr(error, "home.conf.d/10-b.conf:3: listen.port"));
}

static void a_bad_file_does_not_spoil_the_next(void **state)
{
	struct place *p = *state;
	char error[CONFIG_ERROR_BYTES];

	put(p, "more.conf", "listen { port = {\n", 0644);
	for (int i = 0; i < 20; i++) {
		put(p, "home.conf", "include(\"more.conf\")\n", 0644);
		assert_null(config_load(p->conf, error));
		assert_non_null(strstr(error, "/more.conf:1: "));
		config_free(load(p, PEER));
	}
}

static void keys_are_read_from_their_files(void **state)
{
	struct place *p = *state;
	char text[1024], error[CONFIG_ERROR_BYTES];
	struct seckey secret, wanted;
	struct psk psk;
	struct config *c;

	snprintf(text, sizeof(text), PEER "private_key_file = \"%s/key\"\npsk_file = \"%s/psk\"\n", p->dir, p->dir);
	c = load(p, text);
	put(p, "key", SECRET "\n", 0600);
	put(p, "psk", KEY2 "\n", 0600);
	assert_int_equal(config_read_keys(c, &secret, &psk, error), 0);
	assert_int_equal(seckey_from_text(&wanted, SECRET, strlen(SECRET)), 0);
	assert_memory_equal(&secret, &wanted, sizeof(secret));
	assert_int_equal(config_read_keys(c, NULL, NULL, error), 0);

	put(p, "key", SECRET "\n", 0644);
	assert_int_equal(config_read_keys(c, &secret, &psk, error), -1);
	snprintf(text, sizeof(text), "%s:7: private key %s/key: others can read it", p->conf, p->dir);
	assert_non_null(strstr(error, text));
	put(p, "key", "dwdtCnMY\n", 0600);
	assert_int_equal(config_read_keys(c, NULL, NULL, error), -1);
	assert_null(strstr(error, "dwdtCnMY"));
	put(p, "key", SECRET "\n", 0600);
	put(p, "psk", KEY2 "\n", 0640);
	assert_int_equal(config_read_keys(c, NULL, NULL, error), -1);
	assert_non_null(strstr(error, "home.conf:8: pre-shared key"));
	config_free(c);
}

static void network_key_and_certificate_go_together(void **state)
{
	refused(*state, PEER "network_key = \"" KEY1 "\"\n", 7, "wants a certificate_file");
	refused(*state, PEER "certificate_file = \"/c\"\n", 7, "wants the network_key");
	refused(*state, PEER "network_key = \"abc\"\n", 7, "is no network key");
	refused(*state, COORDINATOR "certificate_file = \"/c\"\n", 4, "for a peer");
	refused(*state, COORDINATOR "network_key = \"" KEY1 "\"\nmember a { public_key = \"" KEY2 "\" }\n", 5,
		"certificates say who is a member");
	config_free(load(*state, COORDINATOR "network_key = \"" KEY1 "\"\n"));
}

static void certificate_is_read_and_judged(void **state)
{
	static const char *const addrs[] = { "10.77.0.5", NULL };
	struct verifykey network = certs_network(0);
	char text[1024], key[KEY_TEXT_BYTES], error[CONFIG_ERROR_BYTES], at[256], cert_text[CERT_TEXT_BYTES];
	struct seckey secret, other = { { 1 } };
	struct place *p = *state;
	struct pubkey public;
	struct config *c;
	struct cert cert;

	assert_int_equal(seckey_from_text(&secret, SECRET, strlen(SECRET)), 0);
	assert_int_equal(pubkey_of(&public, &secret), 0);
	snprintf(text, sizeof(text), PEER "network_key = \"%s\"\ncertificate_file = \"%s/key\"\n",
		 verifykey_to_text(&network, key), p->dir);
	c = load(p, text);
	assert_true(config_has_network_key(c));
	snprintf(at, sizeof(at), "%s:8: certificate %s/key", p->conf, p->dir);
	assert_int_equal(config_read_certificate(c, &secret, &cert, error), -1);
	assert_non_null(strstr(error, "cannot be read"));
	assert_ptr_equal(strstr(error, at), error);
	put(p, "key", "nonsense\n", 0644);
	assert_int_equal(config_read_certificate(c, &secret, &cert, error), -1);
	assert_non_null(strstr(error, "one line of base64"));
	cert = certs_direct("alice", &public, addrs);
	put(p, "key", cert_to_text(&cert, cert_text), 0644);
	assert_int_equal(config_read_certificate(c, &secret, &cert, error), 0);
	assert_int_equal(config_read_certificate(c, &other, &cert, error), -1);
	assert_non_null(strstr(error, "is for another node's key"));
	cert = certs_direct("bob", &public, addrs);
	put(p, "key", cert_to_text(&cert, cert_text), 0644);
	assert_int_equal(config_read_certificate(c, &secret, &cert, error), -1);
	assert_non_null(strstr(error, "is for \"bob\", and this node's name is \"alice\""));
	cert = certs_direct("alice", &public, addrs);
	cert.signature[3] ^= 1;
	put(p, "key", cert_to_text(&cert, cert_text), 0644);
	assert_int_equal(config_read_certificate(c, &secret, &cert, error), -1);
	assert_non_null(strstr(error, "is not signed by the network key"));
	config_free(c);
}

static void routes_of_the_file_must_be_the_certificates(void **state)
{
	static const char *const addrs[] = { "10.77.0.2", NULL };
	char text[1024], key[KEY_TEXT_BYTES], cert_text[CERT_TEXT_BYTES], error[CONFIG_ERROR_BYTES];
	struct verifykey network = certs_network(0);
	struct signkey signer = certs_network_key(0);
	struct place *p = *state;
	struct seckey secret;
	struct pubkey public;
	struct config *c;
	struct cert cert;

	assert_int_equal(seckey_from_text(&secret, SECRET, strlen(SECRET)), 0);
	assert_int_equal(pubkey_of(&public, &secret), 0);
	cert = certs_of("alice", &public, addrs);
	cert.n_routes = 1;
	assert_int_equal(prefix_from_text(&cert.routes[0], "192.168.0.0/16"), 0);
	assert_int_equal(cert_sign_direct(&cert, &signer), 0);
	put(p, "key", cert_to_text(&cert, cert_text), 0644);
	for (int is_wider = 0; is_wider < 2; is_wider++) {
		snprintf(text, sizeof(text),
			 PEER "network_key = \"%s\"\ncertificate_file = \"%s/key\"\nroutes = {\"%s\"}\n",
			 verifykey_to_text(&network, key), p->dir, is_wider ? "192.0.0.0/8" : "192.168.7.0/24");
		c = load(p, text);
		assert_int_equal(config_read_certificate(c, &secret, &cert, error), is_wider ? -1 : 0);
		if (is_wider)
			assert_non_null(strstr(error, "does not have 192.0.0.0/8"));
		config_free(c);
	}
}

static void a_credential_of_the_service_goes_first(void **state)
{
	struct place *p = *state;
	char error[CONFIG_ERROR_BYTES];
	struct seckey secret, wanted;
	struct config *c = load(p, PEER "private_key_file = \"/nonexistent/key\"\n");

	assert_int_equal(config_read_keys(c, &secret, NULL, error), -1);
	assert_int_equal(setenv("CREDENTIALS_DIRECTORY", p->dir, 1), 0);
	put(p, "warren.key", SECRET, 0600);
	assert_int_equal(config_read_keys(c, &secret, NULL, error), 0);
	assert_int_equal(seckey_from_text(&wanted, SECRET, strlen(SECRET)), 0);
	assert_memory_equal(&secret, &wanted, sizeof(secret));
	unsetenv("CREDENTIALS_DIRECTORY");
	config_free(c);
}

static void a_pre_shared_key_may_be_a_credential_and_an_empty_one_is_none(void **state)
{
	struct place *p = *state;
	char text[1024], error[CONFIG_ERROR_BYTES];
	struct psk psk, wanted;
	struct config *c;

	snprintf(text, sizeof(text), PEER "private_key_file = \"%s/key\"\npsk_file = \"%s/psk\"\n", p->dir, p->dir);
	c = load(p, text);
	put(p, "key", SECRET "\n", 0600);
	put(p, "psk", KEY1 "\n", 0600);
	put(p, "warren.psk", "\n", 0600);
	assert_int_equal(setenv("CREDENTIALS_DIRECTORY", p->dir, 1), 0);
	assert_int_equal(config_read_keys(c, NULL, &psk, error), 0);
	assert_int_equal(psk_from_text(&wanted, KEY1, strlen(KEY1)), 0);
	assert_memory_equal(&psk, &wanted, sizeof(psk));
	put(p, "warren.psk", KEY2 "\n", 0600);
	assert_int_equal(config_read_keys(c, NULL, &psk, error), 0);
	assert_int_equal(psk_from_text(&wanted, KEY2, strlen(KEY2)), 0);
	assert_memory_equal(&psk, &wanted, sizeof(psk));
	put(p, "warren.psk", KEY2 "\n", 0644);
	assert_int_equal(config_read_keys(c, NULL, &psk, error), -1);
	assert_non_null(strstr(error, "warren.psk: others can read it"));
	config_free(c);
	c = load(p, PEER "private_key_file = \"/nonexistent/key\"\n");
	put(p, "warren.key", SECRET "\n", 0600);
	assert_int_equal(config_read_keys(c, NULL, &psk, error), 0); /* not asked for */
	unsetenv("CREDENTIALS_DIRECTORY");
	config_free(c);
}

static void the_login_of_a_proxy_is_a_file_too(void **state)
{
	struct place *p = *state;
	char text[1024], error[CONFIG_ERROR_BYTES];
	struct login login;
	struct config *c = load(p, PEER);

	assert_int_equal(config_read_login(c, &login, error), 0); /* none is needed */
	assert_string_equal(login.base64, "");
	config_free(c);
	put(p, "key", SECRET "\n", 0600);
	snprintf(text, sizeof(text), PEER "private_key_file = \"%s/key\"\nproxy_auth_file = \"%s/login\"\n", p->dir,
		 p->dir);
	c = load(p, text);
	put(p, "login", "Aladdin:open sesame\n", 0600);
	assert_int_equal(config_read_login(c, &login, error), 0);
	assert_string_equal(login.base64, "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="); /* RFC 7617 section 2 */
	assert_int_equal(config_read_keys(c, NULL, NULL, error), 0);
	put(p, "login", "Aladdin:open sesame\n", 0644);
	assert_int_equal(config_read_keys(c, NULL, NULL, error), -1); /* --check sees it */
	snprintf(text, sizeof(text), "home.conf:8: login of the proxy %s/login: others can read it", p->dir);
	assert_non_null(strstr(error, text));
	put(p, "login", "open sesame\n", 0600);
	assert_int_equal(config_read_login(c, &login, error), -1);
	assert_non_null(strstr(error, "one line of USER:PASSWORD is wanted"));
	assert_null(strstr(error, "sesame"));
	assert_string_equal(login.base64, "");
	assert_int_equal(setenv("CREDENTIALS_DIRECTORY", p->dir, 1), 0);
	put(p, "warren.key", SECRET "\n", 0600);
	put(p, "warren.proxy", "a:b\n", 0600);
	assert_int_equal(config_read_login(c, &login, error), 0);
	assert_string_equal(login.base64, "YTpi");
	unsetenv("CREDENTIALS_DIRECTORY");
	config_free(c);
}

static void a_proxy_is_of_http_and_has_a_port(void **state)
{
	struct config *c = load(*state, PEER "proxy = \"HTTP://[2001:db8::1]:8080/\"\n");

	assert_string_equal(c->proxy.host, "2001:db8::1");
	assert_int_equal(c->proxy.port, 8080);
	config_free(c);
	c = load(*state, PEER "proxy = \"http://h:1\"\nproxy = \"\"\n");
	assert_int_equal(c->proxy.port, 0);
	assert_string_equal(c->proxy.host, "");
	config_free(c);
	refused(*state, PEER "proxy = \"h:3128\"\n", 7, "proxy is no HTTP proxy: http://HOST:PORT is wanted");
	refused(*state, PEER "proxy = \"https://h:3128\"\n", 7, "is no HTTP proxy");
	refused(*state, PEER "proxy = \"http://\"\n", 7, "has no port");
	refused(*state, PEER "proxy = \"http://h\"\n", 7, "has no port");
	refused(*state, PEER "proxy = \"http://h:0\"\n", 7, "no port from 1 to 65535");
	refused(*state, PEER "proxy = \"http://h:80/path\"\n", 7, "no port from 1 to 65535");
	refused(*state, PEER "proxy = \"http://h h:80\"\n", 7, "neither a host's name nor an IP address");
	refused(*state, COORDINATOR "proxy = \"http://h:80\"\n", 4, "proxy is for a peer");
}

static void metrics_are_served_on_a_path_or_the_loopback(void **state)
{
	struct config *c = load(*state, PEER "metrics { listen = \"127.0.0.1:9586\" }\n"), *q;
	char reload[256], restart[256];

	assert_int_equal(c->metrics.listen.address.port, 9586);
	assert_string_equal(c->metrics.listen.path, "");
	assert_false(c->metrics.peer_labels);
	q = load(*state, PEER "metrics { listen = \"[::1]:1\" peer_labels = true }\n");
	config_diff(c, q, reload, restart, sizeof(reload));
	assert_string_equal(reload, "metrics.peer_labels");
	assert_string_equal(restart, "metrics.listen");
	config_free(q);
	config_free(c);
	c = load(*state, PEER "metrics { listen = \"127.0.0.1:1\" listen = \"/run/warren/m.sock\" }\n");
	assert_string_equal(c->metrics.listen.path, "/run/warren/m.sock");
	assert_int_equal(c->metrics.listen.address.port, 0);
	config_free(c);
	c = load(*state, COORDINATOR "metrics { listen = \"\" }\n");
	assert_string_equal(c->metrics.listen.path, "");
	config_free(c);
	refused(*state, PEER "metrics { listen = \"0.0.0.0:9586\" }\n", 7, "no address of the loopback");
	refused(*state, PEER "metrics { listen = \"[::ffff:10.0.0.1]:9586\" }\n", 7, "no address of the loopback");
	refused(*state, PEER "metrics { listen = \"localhost:9586\" }\n", 7, "neither a path");
	refused(*state, PEER "metrics { listen = \"127.0.0.1:0\" }\n", 7, "neither a path");
	refused(*state, PEER "metrics { listen = \"9586\" }\n", 7, "neither a path");
}

static void ciphers_the_machine_lacks_are_no_choice(void **state)
{
	struct config *c;

	setenv("WARREN_DISABLE", "aes", 1);
	refused(*state, PEER "\nciphers = {\"aes-256-gcm\"}\n", 8,
		"ciphers has none that this machine has, which is chacha20-poly1305");
	c = load(*state, PEER "ciphers = {\"aes-256-gcm\", \"chacha20-poly1305\"}\n");
	assert_int_equal(c->ciphers, 1 << AEAD_CHACHA20_POLY1305 | 1 << AEAD_AES_256_GCM);
	config_free(c);
	unsetenv("WARREN_DISABLE");
}

static void stun_servers_have_a_port_of_their_own_or_3478(void **state)
{
	struct config *c = load(*state, PEER "stun = {\"stun.example.net\", \"192.0.2.1:1\", \"[2001:db8::1]\","
					     " \"[2001:db8::1]:2\"}\n"),
		      *q;
	char reload[256], restart[256];

	assert_int_equal(c->stun.n, 4);
	assert_string_equal(c->stun.v[0].host, "stun.example.net");
	assert_int_equal(c->stun.v[0].port, 3478);
	assert_string_equal(c->stun.v[1].host, "192.0.2.1");
	assert_int_equal(c->stun.v[1].port, 1);
	assert_string_equal(c->stun.v[2].host, "2001:db8::1");
	assert_int_equal(c->stun.v[2].port, 3478);
	assert_int_equal(c->stun.v[3].port, 2);
	q = load(*state, PEER "stun = {\"stun.example.net\", \"192.0.2.1:1\", \"[2001:db8::1]\","
			      " \"[2001:db8::1]:3\"}\n");
	config_diff(c, q, reload, restart, sizeof(reload));
	assert_string_equal(reload, "stun");
	assert_string_equal(restart, "");
	config_free(q);
	config_free(c);
}

static void differences_are_sorted_into_reload_and_restart(void **state)
{
	struct config *a = load(*state, COORDINATOR "member a { public_key = \"" KEY1 "\" }\n");
	struct config *b = load(*state, COORDINATOR "member a { public_key = \"" KEY2 "\" }\n"
						    "log_level = debug\nworkers = 2\nrelay { rate_per_peer = 1Mbit }\n"
						    "listen { tcp_ports = {443} }\n");
	struct config *p = load(*state, PEER), *q;
	char reload[256], restart[256];

	config_diff(a, a, reload, restart, sizeof(reload));
	assert_string_equal(reload, "");
	assert_string_equal(restart, "");
	config_diff(a, b, reload, restart, sizeof(reload));
	assert_string_equal(reload, "log_level, relay.rate_per_peer, member");
	assert_string_equal(restart, "workers, listen.tcp_ports");
	q = load(*state,
		 PEER "coordinator c2 { endpoint = \"h:1\" public_key = \"" KEY2
		      "\" }\npsk_file = \"/p\"\ncompression = on\nproxy = \"http://h:1\"\nproxy_auth_file = \"/l\"\n");
	config_diff(p, q, reload, restart, sizeof(reload));
	assert_string_equal(reload, "compression, proxy, proxy_auth_file, coordinator");
	assert_string_equal(restart, "psk_file");
	assert_int_equal(q->compression, CONFIG_COMPRESSION_ON);
	config_diff(p, q, reload, restart, 4);
	assert_string_equal(reload, "");
	config_free(a);
	config_free(b);
	config_free(p);
	config_free(q);
}

static void comments_are_blanked_and_lines_kept(void **state)
{
	char text[] = "a # b\n/* c\n d */ e 'f # g' \"h // i\" // j\nk//l";
	int line = 0;

	(void)state;
	assert_null(config_scan(text, strlen(text), &line));
	assert_string_equal(text, "a    \n    \n      e 'f # g' \"h // i\"     \nk//l");
}

static void the_examples_are_sound(void **state)
{
	static const char *const examples[] = { "peer", "coordinator" };
	char path[512], error[CONFIG_ERROR_BYTES];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct config *c;

		snprintf(path, sizeof(path), "%s/conf/%s.conf", WARREN_SOURCE_DIR, examples[i]);
		c = config_load(path, error);
		if (!c)
			fail_msg("%s", error);
		assert_int_equal(c->role, i == 0 ? CONFIG_PEER : CONFIG_COORDINATOR);
		config_free(c);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_place, remove_place)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_peer_gets_its_values_and_defaults),
		TEST(a_peer_may_set_everything),
		TEST(each_peer_may_have_its_own_path),
		TEST(networks_are_named_beside_the_peer_they_are_behind),
		TEST(network_that_can_be_behind_nobody_is_refused),
		TEST(a_coordinator_gets_its_values_and_defaults),
		TEST(a_coordinator_may_set_everything),
		TEST(the_same_network_name_gives_the_same_prefix6),
		TEST(unknown_keys_name_the_nearest_known_one),
		TEST(secrets_are_never_quoted_back),
		TEST(keys_of_the_other_role_are_refused),
		TEST(what_is_missing_is_named),
		TEST(broken_grammar_is_found_at_its_line),
		TEST(bad_values_are_quoted_with_the_reason),
		TEST(every_key_refuses_what_no_key_can_be),
		TEST(what_is_there_twice_is_found),
		TEST(too_many_coordinators_are_refused),
		TEST(a_missing_file_is_named),
		TEST(an_included_file_counts_its_own_lines),
		TEST(drop_ins_are_read_by_name_and_the_last_wins),
		TEST(a_bad_file_does_not_spoil_the_next),
		TEST(keys_are_read_from_their_files),
		TEST(network_key_and_certificate_go_together),
		TEST(certificate_is_read_and_judged),
		TEST(routes_of_the_file_must_be_the_certificates),
		TEST(a_credential_of_the_service_goes_first),
		TEST(a_pre_shared_key_may_be_a_credential_and_an_empty_one_is_none),
		TEST(metrics_are_served_on_a_path_or_the_loopback),
		TEST(ciphers_the_machine_lacks_are_no_choice),
		TEST(the_login_of_a_proxy_is_a_file_too),
		TEST(a_proxy_is_of_http_and_has_a_port),
		TEST(stun_servers_have_a_port_of_their_own_or_3478),
		TEST(differences_are_sorted_into_reload_and_restart),
		TEST(comments_are_blanked_and_lines_kept),
		TEST(the_examples_are_sound),
	};

	if (crypto_start() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
