/* A configuration as a list: what is in force, where it was written, and what differs from another. */
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

#include "crypto/key.h"
#include "daemon/config/config_keys.h"
#include "daemon/config/config_settings.h"

#define KEY1 "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="
#define KEY2 "3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08="

/* Every key of a role, with a value that is not the default: a key that is new in the table has to come here too. */
#define WHOLE_PEER                                                                                                                                          \
	"role = peer\nname = alice\nprivate_key_file = \"/k \\\"\\\\\\$x\"\npsk_file = \"/p\"\n"                                                            \
	"network_key = \"" KEY2 "\"\ncertificate_file = \"/c\"\n"                                                                                           \
	"control_socket = \"/s\"\nstate_dir = \"/d\"\nworkers = 3\noffload = off\nciphers = chacha20-poly1305\n"                                            \
	"compression = auto routes = { \"10.1.0.0/16\", \"fd07::/48\" }\nstun = { \"stun.example.net\", \"[2001:db8::1]:1\" }\nproxy = \"http://h:8080\"\n" \
	"proxy_auth_file = \"/l\"\nlog_level = debug\non_mapping_change = \"/h\"\n"                                                                         \
	"listen { address = \"192.0.2.1\" port = 4000 bind_interface = eth0 portmap = off\n"                                                                \
	"public_endpoint = \"192.0.2.9:1\" }\ntun { name = mesh0 mtu = 1400 }\n"                                                                            \
	"coordinator c1 { endpoint = \"c1.example.net:27700\" public_key = \"" KEY1 "\" }\n"                                                                \
	"coordinator c2 { endpoint = \"[2001:db8::2]:27700\" public_key = \"" KEY2 "\" }\n"                                                                 \
	"peer bob { path = relay routes = \"192.168.7.0/24\" }\npeer carol { path = direct }\n"                                                             \
	"metrics { listen = \"[::1]:9586\" peer_labels = yes }\n"
#define WHOLE_COORDINATOR                                                                                           \
	"role = coordinator\nname = c1\nprivate_key_file = \"/k\"\ncontrol_socket = \"/s\"\nstate_dir = \"/d\"\n"   \
	"workers = 1\noffload = off\nciphers = { aes-256-gcm }\nlog_level = error\n"                                \
	"listen { address = \"198.51.100.1\" port = 1 alternate_port = 2 alternate_address = \"198.51.100.2\"\n"    \
	"bind_interface = eth0 tcp_ports = { 443, 1 } stun = false }\n"                                             \
	"network { name = home prefix = \"10.77.0.0/16\" prefix6 = \"fd12:3456:789a::/64\" }\n"                     \
	"relay { enabled = false rate_per_peer = 1500kbit rate_total = 1Gbit packets_per_peer = 7 }\n"              \
	"member alice { public_key = \"" KEY1                                                                       \
	"\" address = \"10.77.0.2\" address6 = \"fd12:3456:789a::5\" }\nmember bob { public_key = \"" KEY2 "\" }\n" \
	"metrics { listen = \"/run/m.sock\" peer_labels = true }\n"
#define SMALL_PEER "role = peer\nname = alice\ncoordinator c1 { endpoint = \"h:1\" public_key = \"" KEY1 "\" }\n"

struct place {
	char dir[64], conf[96];
};

static int make_place(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	if (!p)
		return -1;
	snprintf(p->dir, sizeof(p->dir), "/tmp/warren-settings-XXXXXX");
	if (!mkdtemp(p->dir))
		return -1;
	snprintf(p->conf, sizeof(p->conf), "%s/home.conf", p->dir);
	*state = p;
	return 0;
}

static int remove_place(void **state)
{
	struct place *p = *state;
	char path[192];

	snprintf(path, sizeof(path), "%s.d/10-more.conf", p->conf);
	unlink(path);
	snprintf(path, sizeof(path), "%s.d", p->conf);
	rmdir(path);
	unlink(p->conf);
	rmdir(p->dir);
	free(p);
	return 0;
}

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static struct config *load(const struct place *p, const char *text)
{
	char error[CONFIG_ERROR_BYTES];
	struct config *c;

	put(p->conf, text);
	c = config_load(p->conf, error);
	if (!c)
		fail_msg("%s", error);
	return c;
}

/* ---------------------------------------------------------------- settings */

/* One line each: SECTION.TITLE.KEY=VALUE,VALUE@LINE */
static void write_setting(FILE *out, const struct config_setting *s)
{
	fprintf(out, "%s%s%s%s%s=", s->section, s->title ? "." : "", s->title ? s->title : "", s->section[0] ? "." : "",
		s->key);
	for (unsigned i = 0; i < s->n; i++)
		fprintf(out, "%s%s", i > 0 ? "," : "", s->values[i]);
}

static void note_setting(void *arg, const struct config_setting *s)
{
	write_setting(arg, s);
	fprintf(arg, "@%d\n", s->file ? s->line : 0);
}

static char *settings_of(const struct config *started, const struct config *applied)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	config_each_setting(started, applied, note_setting, out);
	fclose(out);
	return text;
}

static void has(const char *text, const char *line)
{
	if (!strstr(text, line))
		fail_msg("\"%s\" is not in:\n%s", line, text);
}

struct seen {
	bool is_shown[128]; /* by place in the table of keys */
};

static void see(void *arg, const struct config_setting *s)
{
	struct seen *seen = arg;

	for (size_t i = 0; config_key_at(i); i++) {
		if (strcmp(config_key_at(i)->section, s->section) != 0 || strcmp(config_key_at(i)->name, s->key) != 0)
			continue;
		assert_true(i < 128);
		seen->is_shown[i] |= s->n > 0 && s->file;
	}
}

static void every_key_is_shown_with_its_place(void **state)
{
	const char *const texts[] = { WHOLE_PEER, WHOLE_COORDINATOR };

	for (size_t role = 0; role < 2; role++) {
		struct config *c = load(*state, texts[role]);
		struct seen seen = { .is_shown = { false } };

		config_each_setting(c, c, see, &seen);
		for (size_t i = 0; config_key_at(i); i++) {
			const struct config_key *k = config_key_at(i);

			/* Certificates and members exclude each other. */
			if (k->roles & 1u << role && !seen.is_shown[i] &&
			    !(role == CONFIG_COORDINATOR && strcmp(k->name, "network_key") == 0))
				fail_msg("%s.%s is not shown, or not in this test's file", k->section, k->name);
		}
		config_free(c);
	}
}

/* As `warrenctl config show` does. */
static void write_as_file(void *arg, const struct config_setting *s)
{
	FILE *out = arg;

	if (s->n == 0)
		return;
	if (s->title)
		fprintf(out, "%s \"%s\" {\n", s->section, s->title);
	else if (s->section[0])
		fprintf(out, "%s {\n", s->section);
	fprintf(out, s->is_list ? "%s = {" : "%s = ", s->key);
	for (unsigned i = 0; i < s->n; i++) {
		fputs(i > 0 ? ", \"" : "\"", out);
		for (const char *p = s->values[i]; *p; p++)
			fprintf(out, strchr("\"\\$", *p) ? "\\%c" : "%c", *p);
		fputc('"', out);
	}
	fputs(s->is_list ? "}\n" : "\n", out);
	if (s->section[0])
		fputs("}\n", out);
}

/* Blocks of one title may be there once: each of the test's has one key then. */
static void is_read_back(const struct place *p, const char *text)
{
	struct config *c = load(p, text), *again;
	char reload[512], restart[512], *made = NULL;
	size_t len;
	FILE *out = open_memstream(&made, &len);

	assert_non_null(out);
	config_each_setting(c, c, write_as_file, out);
	fclose(out);
	again = load(p, made);
	config_diff(c, again, reload, restart, sizeof(reload));
	assert_string_equal(reload, "");
	assert_string_equal(restart, "");
	config_free(again);
	config_free(c);
	free(made);
}

static void what_is_shown_is_read_back(void **state)
{
	struct config *c = load(*state, WHOLE_PEER);
	char *text = settings_of(c, c);

	has(text, "\nprivate_key_file=/k \"\\$x@3\n");
	has(text, "\nciphers=chacha20-poly1305@11\n");
	has(text, "\nstun=stun.example.net:3478,[2001:db8::1]:1@13\n");
	has(text, "\nproxy=http://h:8080@14\n");
	has(text, "\nlisten.public_endpoint=192.0.2.9:1@19\n");
	has(text, "\ncoordinator.c2.endpoint=[2001:db8::2]:27700@22\n");
	has(text, "\npeer.bob.path=relay@23\n");
	has(text, "\nmetrics.listen=[::1]:9586@25\n");
	free(text);
	config_free(c);
	c = load(*state, WHOLE_COORDINATOR);
	text = settings_of(c, c);
	has(text, "\nlisten.tcp_ports=443,1@");
	has(text, "\nrelay.rate_per_peer=1500kbit@");
	has(text, "\nrelay.rate_total=1Gbit@");
	has(text, "\nmember.alice.address6=fd12:3456:789a::5@");
	has(text, "\nmember.bob.address=@0\n");
	free(text);
	config_free(c);
	/* Blocks once more: those of one key, since write_as_file() makes one of each. */
	is_read_back(*state, "role = coordinator\nname = c1\nlisten { tcp_ports = { 443, 1 } alternate_port = 0 }\n"
			     "network { name = home prefix = none }\nrelay { rate_per_peer = 1kbit }\n"
			     "member \"b.1\" { public_key = \"" KEY2 "\" }\nstate_dir = \"/a b\"\n");
}

static void defaults_have_no_place_and_the_last_one_counts(void **state)
{
	const struct place *p = *state;
	char path[128], more[192], *text;
	struct config *c;

	snprintf(path, sizeof(path), "%s.d", p->conf);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(more, sizeof(more), "%s/10-more.conf", path);
	put(more, "\n\nlisten { port = 5 }\n");
	c = load(p, SMALL_PEER "listen { port = 4 }\n");
	text = settings_of(c, c);
	has(text, "\nlog_level=info@0\n");
	has(text, "\nlisten.port=5@3\n");
	has(text, "\nlisten.address=@0\n");
	has(text, "\nciphers=chacha20-poly1305,aes-256-gcm@0\n");
	has(text, "\ntun.name=warren0@0\n");
	free(text);
	config_free(c);
	unlink(more);
}

static void what_needs_a_restart_is_shown_as_it_runs(void **state)
{
	struct config *started = load(*state, SMALL_PEER "workers = 1\nlog_level = warn\n");
	struct config *applied =
		load(*state, SMALL_PEER "\nworkers = 2\nlog_level = debug\npeer bob { path = relay }\n");
	char *text = settings_of(started, applied);

	has(text, "\nworkers=1@4\n");
	has(text, "\nlog_level=debug@6\n");
	has(text, "\npeer.bob.path=relay@7\n");
	free(text);
	config_free(started);
	config_free(applied);
}

/* ---------------------------------------------------------------- changes */

static void note_change(void *arg, const struct config_setting *from, const struct config_setting *to)
{
	FILE *out = arg;

	fprintf(out, "%s: ", to->is_reloadable ? "reload" : "restart");
	write_setting(out, from);
	fputs(" -> ", out);
	for (unsigned i = 0; i < to->n; i++)
		fprintf(out, "%s%s", i > 0 ? "," : "", to->values[i]);
	fprintf(out, "@%d\n", to->file ? to->line : 0);
}

static void differ(const struct place *p, const char *old_text, const char *new_text, const char *wanted)
{
	struct config *old = load(p, old_text), *new = load(p, new_text);
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	config_each_change(old, new, note_change, out);
	fclose(out);
	assert_string_equal(text, wanted);
	free(text);
	config_free(old);
	config_free(new);
}

static void changes_have_both_values_and_the_new_place(void **state)
{
	differ(*state, SMALL_PEER, SMALL_PEER, "");
	/* Written out, but as it was. */
	differ(*state, SMALL_PEER, SMALL_PEER "log_level = info\nlisten { port = 0 address = \"::\" }\n", "");
	differ(*state, SMALL_PEER "psk_file = \"/p\"\nworkers = 2\n",
	       SMALL_PEER "workers = 3\nlog_level = debug\nstun = { \"a:1\", \"b:2\" }\n",
	       "restart: psk_file=/p -> @0\n"
	       "restart: workers=2 -> 3@4\n"
	       "reload: stun= -> a:1,b:2@6\n"
	       "reload: log_level=info -> debug@5\n");
}

#define C(name, host) "coordinator " name " { endpoint = \"" host ":1\" public_key = \"" KEY1 "\" }\n"
#define HEAD "role = peer\nname = alice\n"

static void blocks_are_told_by_their_titles(void **state)
{
	differ(*state, HEAD C("c1", "a") C("c2", "b") "peer dave { path = relay }\n",
	       HEAD C("c2", "x") C("c3", "c") "peer bob { }\n",
	       "reload: coordinator.c1.endpoint=a:1 -> @0\n"
	       "reload: coordinator.c1.public_key=" KEY1 " -> @0\n"
	       "reload: coordinator.c2.endpoint=b:1 -> x:1@3\n"
	       "reload: coordinator.c3.endpoint= -> c:1@4\n"
	       "reload: coordinator.c3.public_key= -> " KEY1 "@4\n"
	       "reload: peer.bob.path= -> auto@0\n"
	       "reload: peer.dave.path=relay -> @0\n");
	/* Coordinators are asked in their order. */
	differ(*state, HEAD C("c1", "a") C("c2", "b"), HEAD C("c2", "b") C("c1", "a"),
	       "reload: coordinator.order=c1,c2 -> c2,c1@0\n");
	differ(*state, HEAD C("c1", "a") C("c2", "b"), HEAD C("c0", "z") C("c1", "a") C("c2", "b"),
	       "reload: coordinator.c0.endpoint= -> z:1@3\n"
	       "reload: coordinator.c0.public_key= -> " KEY1 "@3\n");
	/* Of others the order says nothing. */
	differ(*state, HEAD C("c1", "a") "peer bob { path = relay }\npeer carol { }\n",
	       HEAD C("c1", "a") "peer carol { }\npeer bob { path = relay }\n", "");
}

static void a_value_of_every_kind_that_differs_is_told(void **state)
{
	struct config *old = load(*state, SMALL_PEER), *new = load(*state, WHOLE_PEER);
	char reload[1024], restart[1024];

	config_diff(old, new, reload, restart, sizeof(reload));
	assert_string_equal(reload, "certificate_file, compression, stun, proxy, routes, proxy_auth_file, log_level, "
				    "on_mapping_change, listen.portmap, listen.public_endpoint, metrics.peer_labels, "
				    "coordinator, peer");
	assert_string_equal(restart, "private_key_file, psk_file, network_key, control_socket, state_dir, workers, "
				     "offload, ciphers, listen.address, listen.port, listen.bind_interface, tun.name, "
				     "tun.mtu, metrics.listen");
	config_free(old);
	config_free(new);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_place, remove_place)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_key_is_shown_with_its_place),
		TEST(what_is_shown_is_read_back),
		TEST(defaults_have_no_place_and_the_last_one_counts),
		TEST(what_needs_a_restart_is_shown_as_it_runs),
		TEST(changes_have_both_values_and_the_new_place),
		TEST(blocks_are_told_by_their_titles),
		TEST(a_value_of_every_kind_that_differs_is_told),
	};

	if (crypto_start() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
