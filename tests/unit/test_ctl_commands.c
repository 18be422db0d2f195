/* warrenctl as a whole, against a daemon of one canned answer each. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctl/ctl.h"
#include "daemon/base/files.h"

#define SECRET "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo="
#define PUBLIC "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="

struct fixture {
	char dir[64], socket[96];
	char *out, *err;
	pid_t daemon;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	snprintf(f->dir, sizeof(f->dir), "/tmp/warren-ctl-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->socket, sizeof(f->socket), "%s/home.sock", f->dir);
	*state = f;
	return 0;
}

static void stop_daemon(struct fixture *f)
{
	if (f->daemon > 0) {
		kill(f->daemon, SIGKILL);
		waitpid(f->daemon, NULL, 0);
	}
	f->daemon = 0;
	unlink(f->socket);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	stop_daemon(f);
	rmdir(f->dir);
	free(f->out);
	free(f->err);
	free(f);
	return 0;
}

/* Answers the connections in turn, each with one line, the last one again and again; "" hangs up. */
static void serve(int fd, const char *const *answers)
{
	for (size_t i = 0;; i += answers[i + 1] != NULL) {
		int client = accept(fd, NULL, NULL);
		char request[512] = "";
		ssize_t n = read(client, request, sizeof(request) - 1);

		if (n > 0 && answers[i][0] != '\0')
			dprintf(client, "%s\n", answers[i]);
		close(client);
	}
}

static void start_daemon(struct fixture *f, const char *const *answers)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	stop_daemon(f);
	memcpy(address.sun_path, f->socket, strlen(f->socket));
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 4), 0);
	f->daemon = fork();
	assert_true(f->daemon >= 0);
	if (f->daemon == 0)
		serve(fd, answers);
	close(fd);
}

/* Runs `warrenctl` with these words and keeps what it printed. */
static int run_with(struct fixture *f, const char *input, const char *const *words)
{
	struct ctl ctl = { .socket_dir = f->dir };
	char *argv[24] = { (char *)"warrenctl" };
	size_t out_len, err_len;
	int argc = 1, code;

	for (; words[argc - 1] && argc < 24; argc++)
		argv[argc] = (char *)words[argc - 1];
	free(f->out);
	free(f->err);
	f->out = f->err = NULL;
	ctl.in = fmemopen((char *)input, strlen(input), "r");
	ctl.out = open_memstream(&f->out, &out_len);
	ctl.err = open_memstream(&f->err, &err_len);
	assert_true(ctl.in && ctl.out && ctl.err);
	code = ctl_run(&ctl, argc, argv);
	fclose(ctl.in);
	fclose(ctl.out);
	fclose(ctl.err);
	return code;
}

#define RUN(f, ...) run_with(f, " ", (const char *const[]){ __VA_ARGS__, NULL })
#define DAEMON(f, ...) start_daemon(f, (const char *const[]){ __VA_ARGS__, NULL })

static void says(const char *text, const char *words)
{
	if (!strstr(text, words))
		fail_msg("\"%s\" is not in: %s", words, text);
}

static void wrong_usage_exits_64_with_a_hint(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(run_with(f, " ", (const char *const[]){ NULL }), 64);
	says(f->err, "usage: warrenctl");
	assert_int_equal(RUN(f, "pers"), 64);
	says(f->err, "there is no command \"pers\" (did you mean \"peers\"?)");
	assert_string_equal(f->out, "");
	assert_int_equal(RUN(f, "frobnicate"), 64);
	assert_null(strstr(f->err, "did you mean"));
	assert_int_equal(RUN(f, "peers", "--frob"), 64);
	says(f->err, "no option \"--frob\" of peers");
	assert_int_equal(RUN(f, "peers", "x"), 64);
	assert_int_equal(RUN(f, "ping"), 64);
	says(f->err, "ping wants PEER");
	assert_int_equal(RUN(f, "peers", "--state", "asleep"), 64);
	says(f->err, "up|idle|cached|down");
	assert_int_equal(RUN(f, "peers", "--state"), 64);
	assert_int_equal(RUN(f, "peers", "--json=2"), 64);
	assert_int_equal(RUN(f, "peers", "--wide=1"), 64);
	assert_int_equal(RUN(f, "ping", "bob", "-c", "x"), 64);
	assert_int_equal(RUN(f, "ping", "bob", "-c0"), 64);
	assert_int_equal(RUN(f, "key", "make"), 64);
	assert_int_equal(RUN(f, "-n", "../x", "peers"), 64);
	assert_int_equal(RUN(f, "--color=red", "peers"), 64);
}

static void help_is_data_and_exits_0(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(RUN(f, "--help"), 0);
	for (const struct ctl_command *c = ctl_commands; c->name; c++) {
		says(f->out, c->name);
		says(f->out, c->help);
	}
	for (const struct ctl_command *c = ctl_commands; c->name; c++) {
		assert_int_equal(RUN(f, c->name, "--help"), 0);
		says(f->out, c->help);
		for (const struct ctl_option *o = c->options; o->name; o++)
			says(f->out, o->name);
		assert_string_equal(f->err, "");
		assert_int_equal(RUN(f, "help", c->name), 0);
		says(f->out, c->help);
	}
	assert_int_equal(RUN(f, "help", "nope"), 64);
	assert_int_equal(RUN(f, "--version"), 0);
	says(f->out, "warrenctl " WARREN_VERSION);
	assert_int_equal(RUN(f, "version", "--json"), 0);
	says(f->out, "{\"schema\":\"warren.version/1\"");
}

static void keys_need_no_daemon(void **state)
{
	struct fixture *f = *state;
	char first[64];

	assert_int_equal(RUN(f, "key", "gen"), 0);
	assert_int_equal(strlen(f->out), 45);
	snprintf(first, sizeof(first), "%s", f->out);
	assert_int_equal(run_with(f, first, (const char *const[]){ "key", "pub", NULL }), 0);
	assert_int_equal(strlen(f->out), 45);
	assert_string_not_equal(f->out, first);
	assert_int_equal(RUN(f, "key", "gen"), 0);
	assert_string_not_equal(f->out, first);
	/* RFC 7748 section 6.1: Alice's pair. */
	assert_int_equal(run_with(f, SECRET, (const char *const[]){ "key", "pub", NULL }), 0);
	assert_string_equal(f->out, PUBLIC "\n");
}

static void put_key(const struct fixture *f, const char *text, char path[static 96])
{
	FILE *file;

	snprintf(path, 96, "%s/network.key", f->dir);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	assert_int_equal(chmod(path, 0600), 0);
}

static void certificates_are_made_and_shown_without_a_daemon(void **state)
{
	struct fixture *f = *state;
	char secret[64], network[64], other[64], path[96], cert[1024];

	assert_int_equal(RUN(f, "key", "gen", "--network"), 0);
	snprintf(secret, sizeof(secret), "%s", f->out);
	put_key(f, secret, path);
	assert_int_equal(run_with(f, secret, (const char *const[]){ "key", "pub", "--network", NULL }), 0);
	snprintf(network, sizeof(network), "%.44s", f->out);
	assert_int_equal(run_with(f, secret, (const char *const[]){ "key", "pub", NULL }), 0);
	snprintf(other, sizeof(other), "%.44s", f->out); /* another kind of key of the same bytes */
	assert_string_not_equal(network, other);
	assert_int_equal(RUN(f, "cert", "sign", "alice", "--signing-key", path, "--public-key", PUBLIC, "--ip",
			     "10.77.0.5,fd77::5", "--group=staff,admin", "--route=192.168.7.0/24", "--days=10"),
			 0);
	assert_string_equal(f->err, "");
	snprintf(cert, sizeof(cert), "%s", f->out);
	assert_int_equal(
		run_with(f, cert, (const char *const[]){ "cert", "show", "-", "--network-key", network, NULL }), 0);
	says(f->out, "alice: signed by the network key");
	says(f->out, PUBLIC);
	says(f->out, "10.77.0.5, fd77::5");
	says(f->out, "admin, staff");
	says(f->out, "192.168.7.0/24");
	says(f->out, "it is good\n");
	assert_int_equal(run_with(f, cert, (const char *const[]){ "cert", "show", "-", NULL }), 0);
	says(f->out, "--network-key");
	assert_int_equal(run_with(f, cert, (const char *const[]){ "cert", "show", "-", "--network-key", other, NULL }),
			 1);
	says(f->out, "is of another network");
	assert_int_equal(run_with(f, cert, (const char *const[]){ "--json", "cert", "show", "-", NULL }), 0);
	says(f->out, "{\"schema\":\"warren.cert/1\"");
	cert[60] = cert[60] == 'A' ? 'B' : 'A';
	run_with(f, cert, (const char *const[]){ "cert", "show", "-", "--network-key", network, NULL });
	assert_null(f->out && strstr(f->out, "it is good\n") ? f->out : NULL);
	unlink(path);
}

static void what_is_missing_in_a_certificate_is_named(void **state)
{
	struct fixture *f = *state;
	char path[96];

	put_key(f, SECRET "\n", path);
#define SIGN(...) RUN(f, "cert", "sign", __VA_ARGS__)
	assert_int_equal(SIGN("alice", "--public-key", PUBLIC, "--ip", "10.77.0.5"), 64);
	says(f->err, "--signing-key");
	assert_int_equal(SIGN("alice", "--signing-key", path, "--ip", "10.77.0.5"), 64);
	says(f->err, "--public-key");
	assert_int_equal(SIGN("alice", "--signing-key", path, "--public-key", PUBLIC), 64);
	says(f->err, "--ip");
	assert_int_equal(SIGN("Alice!", "--signing-key", path, "--public-key", PUBLIC, "--ip", "10.77.0.5"), 64);
	assert_int_equal(SIGN("alice", "--signing-key", path, "--public-key", PUBLIC, "--ip", "10.77.0.555"), 64);
	says(f->err, "10.77.0.555");
	assert_int_equal(SIGN("alice", "--signing-key", path, "--public-key", PUBLIC, "--ip",
			      "1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4,1.1.1.5"),
			 64);
	assert_int_equal(SIGN("alice", "--signing-key", path, "--public-key", PUBLIC, "--ip", "10.77.0.5", "--days=-1"),
			 64);
	assert_int_equal(SIGN("alice", "--signing-key", path, "--public-key", PUBLIC, "--ip", "10.77.0.5", "--route",
			      "10.0.0.1/8"),
			 64);
	says(f->err, "bits set behind");
	assert_int_equal(
		SIGN("alice", "--signing-key", path, "--public-key", PUBLIC, "--ip", "10.77.0.5", "--group", "A"), 64);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(SIGN("alice", "--signing-key", path, "--public-key", PUBLIC, "--ip", "10.77.0.5"), 1);
	says(f->err, "others can read it");
	assert_int_equal(RUN(f, "cert", "make", "alice"), 64);
	assert_int_equal(run_with(f, "nonsense\n", (const char *const[]){ "cert", "show", "-", NULL }), 1);
	unlink(path);
}

static void revocation_is_signed_here_and_handed_in(void **state)
{
	struct fixture *f = *state;
	char path[96];

	put_key(f, SECRET "\n", path);
	assert_int_equal(RUN(f, "node", "revoke", "bob"), 64);
	says(f->err, "--signing-key");
	DAEMON(f, "{\"schema\":\"warren.peers/1\",\"peers\":[]}");
	assert_int_equal(RUN(f, "node", "revoke", "bob", "--signing-key", path), 1);
	says(f->err, "lists no member \"bob\"");
	DAEMON(f, "{\"schema\":\"warren.revocations/1\",\"epoch\":0,\"entries\":0,\"list\":null}",
	       "{\"schema\":\"warren.revocations/1\",\"epoch\":1,\"entries\":1,\"list\":\"\"}");
	assert_int_equal(RUN(f, "node", "revoke", PUBLIC, "--signing-key", path), 0);
	says(f->out, "list 1 with 1 entries is in force");
	/* With an end, or only with another one. */
	assert_int_equal(RUN(f, "node", "refresh", "--expires", "30d"), 64);
	DAEMON(f, "{\"schema\":\"warren.revocations/1\",\"epoch\":0,\"entries\":0,\"expires\":null,\"list\":null}",
	       "{\"schema\":\"warren.revocations/1\",\"epoch\":1,\"entries\":0,\"expires\":\"2026-02-01T12:44:03Z\",\"list\":\"\"}");
	assert_int_equal(RUN(f, "node", "refresh", "--signing-key", path, "--expires", "30d"), 0);
	assert_string_equal(f->out, "list 1 with 0 entries is in force until 2026-02-01T12:44:03Z\n");
	assert_int_equal(RUN(f, "node", "refresh", "--signing-key", path, "--expires", "1s"), 64);
	says(f->err, "--expires is a time from 3600s");
	/* Another's list is not continued. */
	DAEMON(f, "{\"schema\":\"warren.revocations/1\",\"epoch\":7,\"entries\":1,\"list\":\"AAAA\"}");
	assert_int_equal(RUN(f, "node", "revoke", PUBLIC, "--signing-key", path), 1);
	says(f->err, "is not signed by this key");
	stop_daemon(f);
	unlink(path);
}

static void what_is_no_key_is_not_quoted(void **state)
{
	static const char *const inputs[] = { "\n", "dwdtCnMYpX08\n", SECRET "x", SECRET "\n" SECRET "\n" };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
		assert_int_equal(run_with(f, inputs[i], (const char *const[]){ "key", "pub", NULL }), 1);
		assert_string_equal(f->out, "");
		assert_null(strstr(f->err, "dwdt"));
	}
}

static void a_daemon_that_is_not_there_exits_69(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char other[128];
	int fd;

	assert_int_equal(RUN(f, "status"), 69);
	says(f->err, "no warrend runs here");
	assert_int_equal(RUN(f, "-n", "home", "status"), 69);
	says(f->err, f->socket);
	says(f->err, "is the service running?");
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	memcpy(address.sun_path, f->socket, strlen(f->socket));
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(RUN(f, "status"), 69); /* the only one there is */
	says(f->err, f->socket);
	snprintf(other, sizeof(other), "%s/work.sock", f->dir);
	memcpy(address.sun_path, other, strlen(other) + 1);
	close(fd);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	assert_int_equal(RUN(f, "status"), 64);
	says(f->err, "choose one with -n: home work");
	unlink(other);
	assert_string_equal(f->out, "");
}

static void a_socket_that_is_not_ours_exits_77(void **state)
{
	struct fixture *f = *state;

	if (geteuid() != 0)
		skip();
	DAEMON(f, "{}");
	assert_int_equal(chmod(f->dir, 0755) | chmod(f->socket, 0600), 0);
	assert_int_equal(seteuid(65534), 0);
	assert_int_equal(RUN(f, "-s", f->socket, "status"), 77);
	assert_int_equal(seteuid(0), 0);
	says(f->err, "not permitted to use");
	assert_int_equal(chmod(f->dir, 0700), 0);
	assert_int_equal(seteuid(65534), 0);
	assert_int_equal(RUN(f, "status"), 77);
	assert_int_equal(seteuid(0), 0);
	says(f->err, "not permitted to look into");
	DAEMON(f, "{\"error\":{\"code\":77,\"message\":\"reload is for root and the daemon's own user\"}}");
	assert_int_equal(RUN(f, "reload"), 77);
	says(f->err, "reload is for root");
}

static void answers_that_are_none_exit_69(void **state)
{
	struct fixture *f = *state;

	DAEMON(f, "hello", "{\"schema\":\"warren.peers/2\"}", "{\"schema\":\"warren.peers\"}", "");
	assert_int_equal(RUN(f, "peers"), 69);
	says(f->err, "no warrend");
	assert_int_equal(RUN(f, "peers"), 69);
	says(f->err, "warren.peers/2");
	assert_int_equal(RUN(f, "peers"), 69);
	assert_int_equal(RUN(f, "peers"), 69);
	says(f->err, "hung up");
	assert_string_equal(f->out, "");
}

static void an_unknown_peer_exits_1_and_names_the_nearest(void **state)
{
	struct fixture *f = *state;

	DAEMON(f,
	       "{\"error\":{\"code\":1,\"message\":\"no member is called \\\"bbo\\\"\",\"nearest\":[\"bob\",\"bo\\u001b\"]}}");
	assert_int_equal(RUN(f, "ping", "bbo"), 1);
	assert_string_equal(f->err, "warrenctl: no member is called \"bbo\" (did you mean bob, bo\\x1b?)\n");
	assert_string_equal(f->out, "");
}

/* What a shell is offered: the words themselves. */
static void offers(struct fixture *f, const char *const *words, const char *wanted)
{
	char got[4096] = "";
	size_t n = 0;

	assert_int_equal(run_with(f, " ", words), 0);
	for (const char *line = f->out; *line; line += strcspn(line, "\n") + 1)
		n += (size_t)snprintf(got + n, sizeof(got) - n, "%.*s ", (int)strcspn(line, "\t"), line);
	assert_string_equal(got, wanted);
}

static void words_are_completed_where_they_may_stand(void **state)
{
	struct fixture *f = *state;

#define OFFERS(wanted, ...) offers(f, (const char *const[]){ "__complete", __VA_ARGS__, NULL }, wanted)
	OFFERS("whois ", "who");
	OFFERS("log log-level ", "log");
	OFFERS("show check ", "config", "");
	OFFERS("check ", "config", "c");
	OFFERS("", "config", "check", "");
	OFFERS("--origin ", "config", "show", "--o");
	OFFERS("error warn info debug ", "log", "");
	OFFERS("--follow ", "log", "--f");
	OFFERS("debug ", "log-level", "d");
	OFFERS("write ", "metrics", "");
	OFFERS("--state=up ", "peers", "--state=u");
}

#define PEERS                                                                                                         \
	"{\"schema\":\"warren.peers/1\",\"time\":\"2026-01-02T12:44:03Z\",\"self\":\"alice\",\"peers\":["             \
	"{\"name\":\"bob\",\"key\":\"" PUBLIC                                                                         \
	"\",\"ips\":[\"10.44.0.3\"],\"state\":\"up\",\"path\":{\"kind\":\"direct\","                                  \
	"\"transport\":\"udp\",\"remote\":\"198.51.100.9:27700\"},\"rtt_ms\":12.1,\"loss_ratio\":0.0,"                \
	"\"rx_bytes\":1288490189,\"tx_bytes\":0,\"last_seen\":\"2026-01-02T12:44:01Z\",\"suite\":\"aes-256-gcm\","    \
	"\"implementation\":\"libsodium\",\"compression\":{\"mode\":\"auto\",\"state\":\"on\",\"gain_ratio\":0.431}," \
	"\"why\":null},"                                                                                              \
	"{\"name\":\"erin\",\"key\":\"x\",\"ips\":[\"10.44.0.6\"],\"state\":\"down\",\"path\":null,\"rtt_ms\":null,"  \
	"\"rx_bytes\":0,\"tx_bytes\":0,\"last_seen\":null,\"why\":\"peer-offline\"}]}"

static void peers_are_a_table(void **state)
{
	struct fixture *f = *state;

	DAEMON(f, PEERS);
	assert_int_equal(RUN(f, "peers"), 0);
	assert_string_equal(f->out,
			    "PEER  ADDRESS    STATE  PATH                       RTT    LOSS  RX       TX  SEEN\n"
			    "bob   10.44.0.3  up     direct 198.51.100.9:27700  12 ms  0%    1.2 GiB  0   2s\n"
			    "erin  10.44.0.6  down   -                          -      -     0        0   -\n");
	assert_int_equal(RUN(f, "peers", "--state=down", "--no-header"), 0);
	assert_string_equal(f->out, "erin  10.44.0.6  down  -  -  -  0  0  -\n");
	assert_int_equal(RUN(f, "peers", "--path", "none", "--json"), 0);
	says(f->out, "\"name\":\"erin\"");
	assert_null(strstr(f->out, "bob"));
	assert_int_equal(RUN(f, "-w", "peers"), 0);
	says(f->out, PUBLIC);
	says(f->out, "aes-256-gcm by libsodium  on 43%  ");
	assert_int_equal(RUN(f, "peers", "--color=always"), 0);
	says(f->out, "\033[32mup\033[0m");
	assert_int_equal(RUN(f, "peers", "--plain", "--no-header"), 0);
	says(f->out, "bob\t10.44.0.3\tup\tdirect 198.51.100.9:27700\t");
	assert_int_equal(RUN(f, "peers", "--json=1"), 0);
	assert_string_equal(f->out, PEERS "\n");
}

#define PATHS                                                                                                         \
	"{\"schema\":\"warren.paths/1\",\"time\":\"2026-01-02T12:44:03Z\",\"peers\":[{\"peer\":\"carol\",\"paths\":[" \
	"{\"kind\":\"lan\",\"transport\":\"udp\",\"candidate\":\"host\",\"local\":\"192.168.1.5:1\","                 \
	"\"remote\":\"192.168.7.9:1\",\"via\":null,\"state\":\"failed\",\"rtt_ms\":null,\"sent\":12,\"answered\":0,"  \
	"\"since\":null,\"note\":null},"                                                                              \
	"{\"kind\":\"relay\",\"transport\":\"udp\",\"candidate\":\"relay\",\"local\":null,\"remote\":null,"           \
	"\"via\":\"c1\",\"state\":\"in use\",\"rtt_ms\":74.1,\"mtu\":1392,\"sent\":3,\"answered\":3,"                 \
	"\"since\":\"2026-01-02T12:03:01Z\",\"note\":null}]}]}"

static void paths_show_every_try(void **state)
{
	struct fixture *f = *state;

	DAEMON(f, PATHS);
	assert_int_equal(RUN(f, "paths", "carol"), 0);
	assert_string_equal(f->out,
			    "   KIND   LOCAL          REMOTE         STATE       RTT    MTU   NOTE\n"
			    "   lan    192.168.1.5:1  192.168.7.9:1  failed      -      -     12 probes, 0 answers\n"
			    "*  relay  c1/udp         c1/udp         in use 41m  74 ms  1392  -\n");
	assert_int_equal(RUN(f, "paths"), 0);
	says(f->out, "carol  *  relay");
	assert_int_equal(RUN(f, "paths", "--json"), 0);
	assert_string_equal(f->out, PATHS "\n");
}

#define ROUTE(prefix, peer, state, since, with, error)                                                                \
	"{\"prefix\":\"" prefix "\",\"peer\":\"" peer "\",\"state\":\"" state "\",\"since\":" since ",\"with\":" with \
	",\"error\":" error "}"
#define ROUTES                                                                                                     \
	"{\"schema\":\"warren.routes/1\",\"time\":\"2026-01-02T12:44:03Z\",\"self\":\"alice\",\"routes\":[" ROUTE( \
		"192.168.7.0/24", "bob", "in use", "\"2026-01-02T12:03:01Z\"", "null",                             \
		"null") "," ROUTE("192.168.7.0/24", "carol", "overlaps", "null", "\"bob\"",                        \
				  "null") "," ROUTE("fd07::/32", "bob", "peer down", "null", "null",               \
						    "\"Permission denied\"") "]}"

static void routes_say_who_has_each(void **state)
{
	struct fixture *f = *state;

	DAEMON(f, ROUTES);
	assert_int_equal(RUN(f, "routes"), 0);
	assert_string_equal(f->out, "PREFIX          PEER   STATE              SINCE  ERROR\n"
				    "192.168.7.0/24  bob    in use             41m    -\n"
				    "192.168.7.0/24  carol  overlaps with bob  -      -\n"
				    "fd07::/32       bob    peer down          -      Permission denied\n");
	assert_int_equal(RUN(f, "routes", "--json"), 0);
	assert_string_equal(f->out, ROUTES "\n");
}

#define PING(rtt, path)                                                                                         \
	"{\"schema\":\"warren.ping/1\",\"peer\":\"bob\",\"ip\":\"10.44.0.3\",\"answered\":true,\"rtt_ms\":" rtt \
	",\"path\":" path "}"
#define RELAY "{\"kind\":\"relay\",\"via\":\"c1\",\"transport\":\"udp\",\"remote\":null}"
#define DIRECT "{\"kind\":\"direct\",\"via\":null,\"transport\":\"udp\",\"remote\":\"198.51.100.9:27700\"}"
#define LOST \
	"{\"schema\":\"warren.ping/1\",\"peer\":\"bob\",\"ip\":\"10.44.0.3\",\"answered\":false,\"rtt_ms\":null,\"path\":null}"

static void ping_tells_direct_from_relayed_and_lost(void **state)
{
	struct fixture *f = *state;

	DAEMON(f, PING("41.0", RELAY), PING("12.2", DIRECT));
	assert_int_equal(RUN(f, "ping", "--until-direct", "-i", "0.01", "bob"), 0);
	assert_string_equal(f->out, "bob 10.44.0.3 seq=1 via relay c1/udp 41.0 ms\n"
				    "bob 10.44.0.3 seq=2 via direct 198.51.100.9:27700 12.2 ms   (path changed)\n"
				    "2 sent, 2 received, min/avg/max 12.2/26.6/41.0 ms; path now: direct\n");
	DAEMON(f, PING("41.0", RELAY));
	assert_int_equal(RUN(f, "ping", "bob", "-c1"), 2);
	assert_int_equal(RUN(f, "ping", "bob", "-c", "2", "-i0.01", "--until-direct"), 2);
	assert_int_equal(RUN(f, "ping", "bob", "-c1", "--require", "direct"), 1);
	assert_int_equal(RUN(f, "ping", "bob", "-c1", "--json"), 2);
	assert_string_equal(f->out, PING("41.0", RELAY) "\n");
	DAEMON(f, LOST);
	assert_int_equal(RUN(f, "ping", "bob", "-c1"), 1);
	assert_string_equal(f->out, "bob 10.44.0.3 seq=1 no answer\n1 sent, 0 received\n");
}

#define WHY(path, cause)                                                                                          \
	"{\"schema\":\"warren.why/1\",\"peer\":\"carol\",\"state\":\"up\",\"path\":" path ",\"cause\":" cause "," \
	"\"text\":\"carol is as it is\",\"fix\":\"forward a port\",\"here\":{\"mapping\":\"endpoint-dependent\"," \
	"\"filtering\":null,\"udp\":true,\"ipv6\":false},\"there\":null,\"tried\":[]}"

static void why_gives_cause_and_remedy(void **state)
{
	struct fixture *f = *state;

	DAEMON(f, WHY(RELAY, "\"hard-hard-nat\""), WHY(DIRECT, "null"), WHY("null", "\"peer-offline\""));
	assert_int_equal(RUN(f, "why", "carol"), 2);
	assert_string_equal(
		f->out, "carol is as it is\n"
			"  here   NAT: port changes per destination (\"hard\"); filtering not known; UDP yes; IPv6 no\n"
			"  there  not known\n"
			"  tried  0 pairs\n"
			"cause    hard-hard-nat\n"
			"fix      forward a port\n");
	assert_int_equal(RUN(f, "why", "carol"), 0);
	assert_int_equal(RUN(f, "why", "carol", "--json"), 1);
	assert_string_equal(f->out, WHY("null", "\"peer-offline\"") "\n");
}

#define RELOADED \
	"{\"schema\":\"warren.reload/1\",\"ok\":true,\"error\":null,\"applied\":[\"log_level\",\"member\"],\"restart\":[\"workers\"]}"
#define NOT_RELOADED \
	"{\"schema\":\"warren.reload/1\",\"ok\":false,\"error\":\"/etc/x.conf:3: unknown key\",\"applied\":[],\"restart\":[]}"

static void a_failed_reload_exits_78(void **state)
{
	struct fixture *f = *state;

	DAEMON(f, RELOADED, NOT_RELOADED);
	assert_int_equal(RUN(f, "reload"), 0);
	assert_string_equal(f->out, "applied: log_level, member\nchanged, but needs a restart: workers\n");
	assert_int_equal(RUN(f, "reload"), 78);
	assert_string_equal(f->out, "");
	says(f->err, "/etc/x.conf:3: unknown key");
	says(f->err, "the old settings stay in force");
}

#define CHANGE(section, title, key, from, to, file, line, apply)                                            \
	"{\"section\":\"" section "\",\"title\":" title ",\"key\":\"" key "\",\"from\":" from ",\"to\":" to \
	",\"file\":" file ",\"line\":" line ",\"apply\":\"" apply "\"}"
#define DRY_RUN                                                                                                        \
	"{\"schema\":\"warren.reload/1\",\"ok\":true,\"dry_run\":true,\"error\":null,\"applied\":[\"log_level\"],"     \
	"\"restart\":[\"workers\"],\"changes\":[" CHANGE(                                                              \
		"", "null", "log_level", "\"info\"", "\"debug\"", "\"/etc/x.conf\"", "3",                              \
		"reload") "," CHANGE("coordinator", "\"c1\"", "public_key", "null", "\"" PUBLIC "\"",                  \
				     "\"/etc/x.conf\"", "9",                                                           \
				     "reload") "," CHANGE("listen", "null", "tcp_ports", "[\"1\",\"443\"]", "[\"1\"]", \
							  "null", "null", "restart") "],\"changes_left_out\":7}"

static void a_dry_run_shows_what_differs(void **state)
{
	struct fixture *f = *state;

	DAEMON(f, DRY_RUN);
	assert_int_equal(RUN(f, "reload", "--dry-run"), 0);
	assert_string_equal(f->out, "a reload would apply: log_level\nchanged, but needs a restart: workers\n"
				    "KEY                             FROM    TO        APPLIES  WHERE\n"
				    "log_level                       info    debug     reload   /etc/x.conf:3\n"
				    "public_key of coordinator \"c1\"  -       hSDwCYkw  reload   /etc/x.conf:9\n"
				    "listen.tcp_ports                1, 443  1         restart  default\n");
	assert_string_equal(f->err, "warrenctl: 7 more are not shown\n");
	assert_int_equal(RUN(f, "reload", "--dry-run", "-w"), 0);
	says(f->out, PUBLIC);
	assert_int_equal(RUN(f, "reload", "--dry-run", "--json"), 0);
	assert_string_equal(f->out, DRY_RUN "\n");
}

#define SETTING(section, title, key, value, file, line)                                                           \
	"{\"section\":\"" section "\",\"title\":" title ",\"key\":\"" key "\",\"value\":" value ",\"file\":" file \
	",\"line\":" line ",\"apply\":\"reload\"}"
#define CONFIG                                                                                                                   \
	"{\"schema\":\"warren.config/1\",\"path\":\"/etc/x.conf\",\"settings\":[" SETTING(                                       \
		"", "null", "role", "\"peer\"", "\"/etc/x.conf\"",                                                               \
		"1") "," SETTING("", "null", "psk_file", "null", "null",                                                         \
				 "null") "," SETTING("", "null", "state_dir", "\"/a \\\"$x\\\\\\u001b\"", "null",                \
						     "null") "," SETTING("listen", "null", "tcp_ports",                          \
									 "[\"1\",\"443\"]", "null",                              \
									 "null") "," SETTING("coordinator", "\"c1\"",            \
											     "endpoint", "\"h:1\"",              \
											     "\"/etc/x.conf.d/a.conf\"",         \
											     "7") "," SETTING("coordinator",     \
													      "\"c.2\"",         \
													      "endpoint",        \
													      "\"h:2\"",         \
													      "\"/etc/x.conf\"", \
													      "8") "],\"left_out\":0}"

static void settings_are_shown_as_a_file(void **state)
{
	struct fixture *f = *state;

	DAEMON(f, CONFIG);
	assert_int_equal(RUN(f, "config", "show"), 0);
	assert_string_equal(f->out, "role = peer\n"
				    "state_dir = \"/a \\\"\\$x\\\\\\x1b\"\n"
				    "listen {\n"
				    "\ttcp_ports = { 1, 443 }\n"
				    "}\n"
				    "coordinator c1 {\n"
				    "\tendpoint = \"h:1\"\n"
				    "}\n"
				    "coordinator \"c.2\" {\n"
				    "\tendpoint = \"h:2\"\n"
				    "}\n");
	assert_int_equal(RUN(f, "config", "show", "--origin", "-w"), 0);
	says(f->out, "role = peer  # /etc/x.conf:1\n# psk_file is not set\n");
	says(f->out, "\ttcp_ports = { 1, 443 }  # default\n");
	says(f->out, "\tendpoint = \"h:1\"  # /etc/x.conf.d/a.conf:7\n");
	assert_int_equal(RUN(f, "config", "show", "x.conf"), 64);
	assert_int_equal(RUN(f, "config", "shout"), 64);
	assert_int_equal(RUN(f, "config"), 64);
}

#define LOG(lines, next, missed) \
	"{\"schema\":\"warren.log/1\",\"lines\":[" lines "],\"next\":" next ",\"missed\":" missed "}"

static void lines_are_shown_by_their_level(void **state)
{
	struct fixture *f = *state;

	DAEMON(f, LOG("\"t info: a\",\"t error: b\",\"t warn: c\",\"t warning: d\"", "9", "true"));
	assert_int_equal(RUN(f, "log"), 0);
	assert_string_equal(f->out, "t info: a\nt error: b\nt warn: c\nt warning: d\n");
	says(f->err, "more lines than could be kept");
	assert_int_equal(RUN(f, "log", "warn"), 0);
	assert_string_equal(f->out, "t error: b\nt warn: c\n");
	assert_int_equal(RUN(f, "log", "error", "--json"), 0);
	assert_string_equal(f->out, LOG("\"t error: b\"", "9", "true") "\n");
	assert_int_equal(RUN(f, "log", "loud"), 64);
	DAEMON(f, "{\"schema\":\"warren.log_level/1\",\"level\":\"warn\"}");
	assert_int_equal(RUN(f, "log-level"), 0);
	assert_string_equal(f->out, "warn\n");
	assert_int_equal(RUN(f, "log-level", "loud"), 64);
}

#define STATUS(state, error)                                                                                                   \
	"{\"schema\":\"warren.status/1\",\"time\":\"2026-01-02T12:44:03Z\",\"role\":\"peer\",\"name\":\"alice\","              \
	"\"version\":\"0.1.0\",\"pid\":4121,\"uptime_s\":11520,\"config\":{\"path\":\"/etc/warren/home.conf\","                \
	"\"loaded\":\"2026-01-02T12:03:11Z\",\"changed_on_disk\":false,\"last_error\":" error "},\"key\":\"" PUBLIC            \
	"\","                                                                                                                  \
	"\"addresses\":[\"10.44.0.2/24\"],\"tun\":{\"name\":\"warren0\",\"mtu\":1420,\"queues\":2,\"features\":[\"gso\"]},"    \
	"\"workers\":2,\"offload\":{\"reuseport\":true,\"gso\":false},"                                                        \
	"\"offload_off\":{\"gso\":\"refused by the kernel: EIO\",\"tso\":\"turned off\"},"                                     \
	"\"ciphers\":[{\"suite\":\"aes-256-gcm\",\"implementation\":\"libsodium\"}],"                                          \
	"\"compression\":\"auto\",\"coordinators\":[{\"name\":\"c1\",\"endpoint\":\"c1.example.net:27700\",\"state\":\"" state \
	"\",\"rtt_ms\":18.0,"                                                                                                  \
	"\"since\":\"2026-01-02T12:43:59Z\",\"error\":null}],\"underlay\":{\"udp4\":\"203.0.113.7:41833\",\"udp6\":null,"      \
	"\"portmap\":{\"by\":\"pcp\",\"endpoint\":\"9.0.0.1:41833\"},"                                                         \
	"\"port\":41833,\"mapping\":\"endpoint-dependent\",\"udp_blocked\":false},\"peers\":{\"known\":4,\"up\":3,"            \
	"\"lan\":1,\"direct\":1,\"relay\":1,\"tcp\":0},\"counters\":{\"rx_bytes\":5},\"notices\":[\"carol is relayed\"]}"

static void an_address_has_an_owner_or_none(void **state)
{
	struct fixture *f = *state;

	DAEMON(f, PEERS);
	assert_int_equal(RUN(f, "whois", "10.44.0.3"), 0);
	assert_string_equal(f->out, "bob\n  addresses  10.44.0.3\n  key        hSDwCYkw\n"
				    "  state      up, direct 198.51.100.9:27700\n");
	assert_int_equal(RUN(f, "whois", "10.44.0.3:80"), 0);
	assert_int_equal(RUN(f, "whois", "::ffff:10.44.0.3"), 0);
	assert_int_equal(RUN(f, "whois", "10.44.0.3/24", "--json"), 0);
	says(f->out, "{\"schema\":\"warren.whois/1\",\"ip\":\"10.44.0.3\",\"self\":false,\"name\":\"bob\"");
	assert_int_equal(RUN(f, "whois", "bob"), 64);
	says(f->err, "no address: bob");
	DAEMON(f, "{\"schema\":\"warren.peers/1\",\"peers\":[{\"name\":\"gw1\",\"key\":\"k\",\"ips\":[\"10.44.0.3\"],"
		  "\"routes\":[\"192.168.0.0/16\"]},{\"name\":\"gw2\",\"key\":\"k\",\"ips\":[\"10.44.0.4\"],"
		  "\"routes\":[\"fd07::/48\",\"192.168.7.0/24\"]}]}");
	assert_int_equal(RUN(f, "whois", "192.168.7.9"), 0);
	assert_string_equal(f->out,
			    "gw2\n  addresses  10.44.0.4\n  network    192.168.7.0/24, behind it\n  key        k\n");
	assert_int_equal(RUN(f, "whois", "192.168.8.9", "--json"), 0);
	says(f->out, "\"name\":\"gw1\"");
	says(f->out, "\"network\":\"192.168.0.0/16\"");
	assert_int_equal(RUN(f, "whois", "10.44.0.4", "--json"), 0);
	says(f->out, "\"network\":null");
	DAEMON(f, PEERS, STATUS("connected", "null"));
	assert_int_equal(RUN(f, "whois", "10.44.0.2"), 0);
	says(f->out, "alice (this node)\n  addresses  10.44.0.2/24\n");
	DAEMON(f, PEERS, STATUS("connected", "null"));
	assert_int_equal(RUN(f, "whois", "10.44.0.9"), 1);
	says(f->err, "no member that is known here has the address 10.44.0.9");
}

static void status_tells_a_peer_from_top_to_bottom(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(setenv("TZ", "UTC", 1), 0);
	DAEMON(f, STATUS("connected", "null"));
	assert_int_equal(RUN(f, "status"), 0);
	assert_string_equal(
		f->out, "alice: peer, up 3h12m, warrend 0.1.0 (pid 4121)\n"
			"  config       /etc/warren/home.conf loaded 12:03:11, unchanged on disk\n"
			"  self         10.44.0.2/24  key hSDwCYkw\n"
			"  tun          warren0 mtu 1420, 2 queues, gso\n"
			"  coordinator  c1 c1.example.net:27700  connected, rtt 18 ms, for 4s\n"
			"  underlay     udp4 203.0.113.7:41833, udp6 -, port 41833 (mapping depends on destination), "
			"portmap pcp 9.0.0.1:41833\n"
			"  peers        3 of 4 up: 1 lan, 1 direct, 1 relay\n"
			"  ciphers      aes-256-gcm by libsodium\n"
			"  compression  auto\n"
			"  workers      2, reuseport on, gso off (refused by the kernel: EIO), tso off (turned off)\n"
			"! carol is relayed\n");
	assert_int_equal(RUN(f, "status", "-w"), 0);
	says(f->out, PUBLIC);
	says(f->out, "rx_bytes ");
}

static void status_check_is_silent_when_all_is_well(void **state)
{
	struct fixture *f = *state;

	DAEMON(f, STATUS("connected", "null"), STATUS("waiting", "null"), STATUS("connected", "\"x.conf:3: bad\""));
	assert_int_equal(RUN(f, "status", "--check"), 0);
	assert_string_equal(f->out, "");
	assert_string_equal(f->err, "");
	assert_int_equal(RUN(f, "status", "--check"), 1);
	says(f->err, "no coordinator is connected");
	assert_int_equal(RUN(f, "status", "--check"), 1);
	says(f->err, "the last reload failed");
}

static void a_coordinators_status_shows_its_network(void **state)
{
	struct fixture *f = *state;

	DAEMON(f, "{\"schema\":\"warren.status/1\",\"role\":\"coordinator\",\"name\":\"c1\",\"tun\":null,"
		  "\"network\":{\"name\":\"home\",\"prefix\":\"10.77.0.0/16\",\"prefix6\":null},"
		  "\"members\":{\"total\":3,\"online\":2},\"relay\":{\"enabled\":true}}");
	assert_int_equal(RUN(f, "status"), 0);
	says(f->out, "  network      home  10.77.0.0/16 -\n");
	says(f->out, "  members      2 of 3 online\n");
	says(f->out, "  relay        on\n");
	assert_int_equal(RUN(f, "status", "--check"), 0);
}

#define PORTMAP(v4, v6) \
	"{\"schema\":\"warren.netcheck/1\",\"portmap\":{\"enabled\":true,\"ipv4\":" v4 ",\"ipv6\":" v6 "}}"
#define NO_ANSWER "{\"state\":\"no\",\"error\":\"no answer\"}"

static void netcheck_shows_what_the_gateway_maps(void **state)
{
	struct fixture *f = *state;

	DAEMON(f,
	       PORTMAP("{\"gateway\":\"192.168.1.1\",\"external\":\"9.0.0.1\",\"double_nat\":false,\"why_not\":null,"
		       "\"pcp\":{\"state\":\"yes\",\"error\":null},\"nat_pmp\":" NO_ANSWER
		       ",\"upnp\":{\"state\":\"not tried\",\"error\":null},\"mappings\":[{\"protocol\":\"udp\","
		       "\"port\":41833,\"granted\":true,\"by\":\"pcp\",\"external\":\"9.0.0.1:41833\","
		       "\"lifetime_s\":7200},{\"protocol\":\"tcp\",\"port\":22,\"granted\":false,"
		       "\"error\":\"not authorized\"}]}",
		       "{\"mappings\":[{\"protocol\":\"udp\",\"port\":41833,\"granted\":true,\"by\":\"pcp\","
		       "\"external\":\"[2001:db8::1]:41833\",\"lifetime_s\":null},{\"granted\":false}]}"),
	       PORTMAP("{\"gateway\":\"192.168.1.1\",\"external\":\"100.64.1.2\",\"double_nat\":true,"
		       "\"why_not\":null,\"pcp\":" NO_ANSWER ",\"nat_pmp\":" NO_ANSWER ",\"upnp\":" NO_ANSWER
		       ",\"mappings\":[]}",
		       "null"),
	       PORTMAP("{\"why_not\":\"the way out is a tunnel\"}", "null"),
	       "{\"schema\":\"warren.netcheck/1\",\"portmap\":{\"enabled\":false,\"ipv4\":null,\"ipv6\":null}}");
	assert_int_equal(RUN(f, "netcheck"), 0);
	says(f->out, "portmap       pcp yes, nat-pmp no (no answer), upnp not tried\n"
		     "              gateway 192.168.1.1, outside 9.0.0.1\n"
		     "              udp 41833 is 9.0.0.1:41833 by pcp, for 7200 s\n"
		     "              tcp 22 is not mapped: not authorized\n"
		     "              udp 41833 is [2001:db8::1]:41833 by pcp\n");
	assert_int_equal(RUN(f, "netcheck"), 0);
	says(f->out, "              gateway 192.168.1.1, outside 100.64.1.2: there is another NAT behind it\n");
	assert_int_equal(RUN(f, "netcheck"), 0);
	says(f->out, "portmap       nobody is asked: the way out is a tunnel\n");
	assert_int_equal(RUN(f, "netcheck"), 0);
	says(f->out, "portmap       off\n");
}

static void netcheck_shows_what_passes(void **state)
{
	struct fixture *f = *state;

	DAEMON(f, "{\"schema\":\"warren.netcheck/1\",\"time\":\"2026-01-02T12:44:03Z\","
		  "\"udp4\":{\"state\":\"ok\",\"endpoint\":\"203.0.113.7:41833\"},"
		  "\"udp6\":{\"state\":\"no-address\",\"endpoint\":null},\"mapping\":\"address-and-port-dependent\","
		  "\"mapping_seen\":{\"servers\":4,\"addresses\":2,\"endpoints\":3},\"filtering\":null,"
		  "\"classic\":\"symmetric\",\"keeps_port\":false,\"port_step\":1,\"hairpin\":false,"
		  "\"lifetime\":{\"held_s\":60,\"done\":false,\"measuring\":true},\"udp_blocked\":false,"
		  "\"mtu\":1480,\"mtu_is_least\":true,\"captive\":false,\"captive_seen\":null,"
		  "\"tcp443\":{\"state\":\"ok\",\"connect_ms\":31.2,\"error\":null},\"clock_offset_s\":0.021,"
		  "\"coordinators\":[{\"name\":\"c1\",\"rtt_ms\":18,\"udp_rtt_ms\":17.5,\"preferred\":true,"
		  "\"state\":\"connected\",\"error\":null},{\"name\":\"c2\",\"rtt_ms\":null,\"state\":\"waiting\","
		  "\"error\":\"cannot connect\"}],"
		  "\"interfaces\":[\"eth0\",{\"name\":\"wlan0\",\"addresses\":[\"192.0.2.1\"]}],\"pending\":[]}");
	assert_int_equal(RUN(f, "netcheck"), 0);
	assert_string_equal(f->out, "udp4          ok, 203.0.113.7:41833\n"
				    "udp6          none (no address)\n"
				    "udp blocked   no\n"
				    "mapping       address-and-port-dependent (seen by 4 servers at 3 endpoints)\n"
				    "filtering     not known\n"
				    "ports         not kept, the next one is +1\n"
				    "hairpin       no\n"
				    "lifetime      UDP mapping held >= 60 s, still being measured\n"
				    "mtu           1480 and more (probed)\n"
				    "tcp443        ok, 31 ms\n"
				    "portmap       not known\n"
				    "captive       no\n"
				    "coordinators  c1: connected, tcp 18 ms, udp 18 ms (preferred)\n"
				    "              c2: waiting, tcp -, udp -: cannot connect\n"
				    "clock         +0.02 s\n"
				    "interfaces    eth0\n"
				    "              wlan0 192.0.2.1\n");
	assert_int_equal(RUN(f, "netcheck", "-w"), 0);
	says(f->out, "classic       symmetric\n");
}

static void netcheck_says_what_is_not_known_and_what_was_seen(void **state)
{
	struct fixture *f = *state;

	DAEMON(f, "{\"schema\":\"warren.netcheck/1\"}",
	       "{\"schema\":\"warren.netcheck/1\",\"udp4\":{\"state\":\"no-answer\"},\"udp_blocked\":true,"
	       "\"captive\":true,\"captive_seen\":\"TCP port 443 of c1 is answered by something that is not it\","
	       "\"tcp443\":{\"state\":\"unreachable\",\"error\":\"Connection refused\"},"
	       "\"pending\":[\"nat\",\"portmap\"]}");
	assert_int_equal(RUN(f, "netcheck"), 0);
	assert_string_equal(f->out, "udp4          not known\n"
				    "udp6          not known\n"
				    "udp blocked   not known\n"
				    "mapping       not known\n"
				    "filtering     not known\n"
				    "ports         not known\n"
				    "hairpin       not known\n"
				    "lifetime      not known\n"
				    "mtu           not known\n"
				    "tcp443        not known\n"
				    "portmap       not known\n"
				    "captive       not known\n"
				    "clock         not known\n");
	assert_int_equal(RUN(f, "netcheck"), 0);
	says(f->out, "udp4          no answer\n");
	says(f->out, "tcp443        no connection: Connection refused\n");
	says(f->out,
	     "captive       yes: TCP port 443 of c1 is answered by something that is not it; only TCP passes\n");
	says(f->out, "measuring     nat, portmap: ask again\n");
}

#define NETCHECK "{\"schema\":\"warren.netcheck/1\",\"time\":\"2026-01-02T12:44:03Z\"}"

static void netcheck_is_repeated_until_the_daemon_is_gone(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(RUN(f, "netcheck", "--every", "5x"), 64);
	says(f->err, "--every is a time from 0.5s to 86400s, such as 5s or 2m, not \"5x\"");
	assert_int_equal(RUN(f, "netcheck", "--every", "s"), 64);
	assert_int_equal(RUN(f, "netcheck", "--every", "100ms"), 64);
	assert_int_equal(RUN(f, "netcheck", "--every", "25h"), 64);
	DAEMON(f, NETCHECK, NETCHECK, "");
	assert_int_equal(RUN(f, "netcheck", "--json", "--every", "500ms"), 69);
	assert_string_equal(f->out, NETCHECK "\n" NETCHECK "\n");
	says(f->err, "hung up without an answer");
}

static void expose_prints_the_endpoint(void **state)
{
	struct fixture *f = *state;

	DAEMON(f,
	       "{\"schema\":\"warren.expose/1\",\"exposed\":[{\"protocol\":\"tcp\",\"port\":22,"
	       "\"endpoint\":\"9.0.0.1:22\",\"by\":\"pcp\",\"until\":null}]}",
	       "{\"error\":{\"code\":1,\"message\":\"udp port 53 cannot be exposed: no gateway\"}}",
	       "{\"schema\":\"warren.expose/1\",\"exposed\":[]}",
	       "{\"schema\":\"warren.expose/1\",\"exposed\":[{\"protocol\":\"udp\",\"port\":53,"
	       "\"endpoint\":null,\"by\":\"stun\",\"until\":\"2026-01-02T12:44:03Z\"}]}");
	assert_int_equal(RUN(f, "expose", "tcp", "22", "--no-header"), 0);
	assert_string_equal(f->out, "tcp  22  9.0.0.1:22  pcp  -\n");
	assert_int_equal(RUN(f, "expose", "udp", "53", "--seconds=60"), 1);
	says(f->err, "udp port 53 cannot be exposed: no gateway");
	assert_int_equal(RUN(f, "expose", "udp", "53", "--stop"), 0);
	assert_string_equal(f->out, "");
	assert_int_equal(RUN(f, "expose", "list", "--no-header"), 0);
	assert_string_equal(f->out, "udp  53  -  stun  2026-01-02T12:44:03Z\n");
	assert_int_equal(RUN(f, "expose", "tcp"), 64);
	says(f->err, "expose what?");
	assert_int_equal(RUN(f, "expose", "sctp", "1"), 64);
	assert_int_equal(RUN(f, "expose", "tcp", "0"), 64);
	assert_int_equal(RUN(f, "expose", "tcp", "65536"), 64);
	assert_int_equal(RUN(f, "expose", "tcp", "22x"), 64);
	says(f->err, "is no port");
	assert_int_equal(RUN(f, "expose", "list", "22"), 64);
	assert_int_equal(RUN(f, "expose", "tcp", "22", "--seconds=0"), 64);
}

#define PROXY(in_use, error)                                                                                       \
	"{\"schema\":\"warren.netcheck/1\",\"coordinators\":[{\"name\":\"c1\",\"rtt_ms\":18,\"udp_rtt_ms\":null,"  \
	"\"state\":\"connected\",\"proxy\":{\"endpoint\":\"http://p:3128\",\"in_use\":" in_use ",\"error\":" error \
	"}}]}"

static void netcheck_tells_of_the_proxy(void **state)
{
	struct fixture *f = *state;

	DAEMON(f, PROXY("true", "null"), PROXY("false", "null"), PROXY("false", "\"wants a user\\u001b\""));
	assert_int_equal(RUN(f, "netcheck"), 0);
	says(f->out, "coordinators  c1: connected, tcp 18 ms, udp -, through the proxy\n"
		     "proxy         http://p:3128 to c1: in use\n");
	assert_int_equal(RUN(f, "netcheck"), 0);
	says(f->out, "tcp 18 ms, udp -\nproxy         http://p:3128 to c1: not in use\n");
	assert_int_equal(RUN(f, "netcheck"), 0);
	says(f->out, "proxy         http://p:3128 to c1: it wants a user\\x1b\n");
}

static void wait_returns_when_it_is_so(void **state)
{
	struct fixture *f = *state;

	DAEMON(f, STATUS("waiting", "null"), STATUS("connected", "null"));
	assert_int_equal(RUN(f, "wait", "--timeout", "5"), 0);
	assert_string_equal(f->out, "");
	assert_string_equal(f->err, "");
	DAEMON(f, "{\"error\":{\"code\":1,\"message\":\"no peer is known\"}}", LOST, PING("41.0", RELAY));
	assert_int_equal(RUN(f, "wait", "--for", "peer=bob", "--timeout=5", "--json"), 0);
	says(f->out, "{\"schema\":\"warren.wait/1\",\"for\":\"peer=bob\",\"reached\":true,\"waited_s\":0.");
	DAEMON(f, PING("41.0", RELAY), PING("12.2", DIRECT));
	assert_int_equal(RUN(f, "wait", "--for=direct=bob", "--timeout=5"), 0);
}

static void wait_gives_up_and_says_what_is_missing(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(RUN(f, "-n", "home", "wait", "--timeout", "0.3"), 69); /* it may yet start */
	says(f->err, "is the service running?");
	assert_int_equal(strlen(f->err), strchr(f->err, '\n') + 1 - f->err); /* said once */
	DAEMON(f, STATUS("waiting", "null"));
	assert_int_equal(RUN(f, "wait", "--timeout=0", "--json"), 1);
	says(f->err, "no coordinator is connected");
	says(f->out, "\"for\":\"up\",\"reached\":false,");
	DAEMON(f, PING("41.0", RELAY));
	assert_int_equal(RUN(f, "wait", "--for=direct=bob", "--timeout=0.3"), 2);
	says(f->err, "not over a direct path");
	DAEMON(f, LOST);
	assert_int_equal(RUN(f, "wait", "--for=peer=bob", "--timeout=0"), 1);
	says(f->err, "the peer does not answer");
	DAEMON(f, "{\"error\":{\"code\":1,\"message\":\"no peer is known\"}}");
	assert_int_equal(RUN(f, "wait", "--for=peer=bbo", "--timeout=0"), 1);
	says(f->err, "no peer is known");
	/* What no waiting mends ends it at once. */
	DAEMON(f, "{\"error\":{\"code\":64,\"message\":\"which peer?\"}}");
	assert_int_equal(RUN(f, "wait", "--for=peer=bob", "--timeout=1000"), 64);
	assert_int_equal(RUN(f, "wait", "--for=bob"), 64);
	says(f->err, "wait for what?");
	assert_int_equal(RUN(f, "wait", "--for=peer="), 64);
	assert_int_equal(RUN(f, "wait", "--timeout=-1"), 64);
}

#define MAP                                                                                                                \
	"{\"schema\":\"warren.map/1\",\"time\":\"2026-01-02T12:44:03Z\",\"net\":\"home\",\"self\":\"c1\",\"members\":["    \
	"{\"name\":\"alice\",\"ips\":[\"10.77.0.2\"],\"online\":true,\"tcp\":\"203.0.113.7:40000\","                       \
	"\"udp\":null,\"rtt_ms\":18.0,\"nat\":{\"mapping\":\"endpoint-dependent\",\"filtering\":\"unknown\","              \
	"\"udp_blocked\":true}},"                                                                                          \
	"{\"name\":\"b\\\"ob\\\\\\n\",\"ips\":[],\"online\":false,\"tcp\":null,\"udp\":null,\"rtt_ms\":null,\"nat\":null}" \
	"],\"pairs\":[{\"a\":\"alice\",\"b\":\"b\\\"ob\\\\\\n\",\"a_path\":{\"kind\":\"relay\",\"transport\":\"tcp\"},"    \
	"\"b_path\":{\"kind\":\"relay\",\"transport\":\"udp\"}},"                                                          \
	"{\"a\":\"alice\",\"b\":\"carol\",\"a_path\":{\"kind\":\"direct\",\"transport\":\"udp\"},"                         \
	"\"b_path\":{\"kind\":\"direct\",\"transport\":\"udp\"}},"                                                         \
	"{\"a\":\"alice\",\"b\":\"dave\",\"a_path\":null,\"b_path\":null}],\"truncated\":"

static void the_map_is_tables_or_a_graph(void **state)
{
	struct fixture *f = *state;

	DAEMON(f, MAP "false}", MAP "false}", MAP "true}", "{\"error\":{\"code\":1,\"message\":\"alice is a peer\"}}");
	assert_int_equal(RUN(f, "map"), 0);
	assert_string_equal(f->out, "MEMBER     ADDRESS    ONLINE  TCP FROM           UDP FROM  NAT          RTT\n"
				    "alice      10.77.0.2  yes     203.0.113.7:40000  -         UDP blocked  18 ms\n"
				    "b\"ob\\\\x0a  -          no      -                  -         -            -\n"
				    "\n"
				    "A      B          A TO B     B TO A\n"
				    "alice  b\"ob\\\\x0a  relay/tcp  relay/udp\n"
				    "alice  carol      direct     direct\n"
				    "alice  dave       -          -\n");
	assert_int_equal(RUN(f, "map", "--dot"), 0);
	assert_string_equal(f->out,
			    "graph \"home\" {\n"
			    "  node [shape=box];\n"
			    "  \"alice\" [label=\"alice\\n10.77.0.2\\n203.0.113.7:40000\"];\n"
			    "  \"b\\\"ob\\\\\\\\x0a\" [label=\"b\\\"ob\\\\\\\\x0a\", style=dashed];\n"
			    "  \"alice\" -- \"b\\\"ob\\\\\\\\x0a\" [label=\"relay/tcp | relay/udp\", style=dashed];\n"
			    "  \"alice\" -- \"carol\" [label=\"direct\"];\n"
			    "  \"alice\" -- \"dave\" [label=\"-\", style=dotted];\n"
			    "}\n");
	assert_string_equal(f->err, "");
	assert_int_equal(RUN(f, "map", "--json"), 0);
	assert_string_equal(f->out, MAP "true}\n");
	says(f->err, "larger than this");
	assert_int_equal(RUN(f, "map"), 1);
	says(f->err, "alice is a peer");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

/* ---------------------------------------------------------------- from nothing to a mesh */

static void remove_in(const struct fixture *f, const char *const *names)
{
	char path[160];

	for (; *names; names++) {
		snprintf(path, sizeof(path), "%s/%s", f->dir, *names);
		unlink(path);
	}
}

static bool is_there(const struct fixture *f, const char *name, mode_t mode)
{
	char path[160];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	if (stat(path, &st) < 0)
		return false;
	assert_int_equal(st.st_mode & 07777, mode);
	return true;
}

static const char *const network_files[] = { "home.network-key", "home.key", "home.network", "home.conf", NULL };
static const char *const member_files[] = { "m.key", "m.cert", "m.conf", NULL };

/* With prefixes as small as there are. */
static void init(struct fixture *f)
{
	assert_int_equal(RUN(f, "init", "home", "--coordinator", "c1.example.net", "--dir", f->dir, "--prefix",
			     "10.9.0.0/29", "--prefix6", "fd09::/64"),
			 0);
}

static void init_makes_a_network_once(void **state)
{
	static const char *const bad[] = { "", "a b", "[::1", "h:0", "h:65535", "h:x", "a\"b", "$HOME" };
	struct fixture *f = *state;
	char path[160], old[512], now[512];

	assert_int_equal(RUN(f, "init", "home", "--dir", f->dir), 64);
	assert_int_equal(RUN(f, "init", "Home", "--coordinator", "h", "--dir", f->dir), 64);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(RUN(f, "init", "home", "--coordinator", bad[i], "--dir", f->dir), 64);
	assert_int_equal(RUN(f, "init", "home", "--coordinator", "h", "--dir", f->dir, "--prefix", "fd09::/64"), 64);
	assert_int_equal(
		RUN(f, "init", "home", "--coordinator", "h", "--dir", f->dir, "--prefix", "none", "--prefix6", "none"),
		64);
	assert_int_equal(rmdir(f->dir), 0); /* nothing was written */
	assert_int_equal(RUN(f, "init", "home", "--coordinator", "h", "--dir", f->dir), 1);
	assert_int_equal(mkdir(f->dir, 0700), 0);
	init(f);
	says(f->out, "warrenctl -n home invite NAME");
	assert_true(is_there(f, "home.network-key", 0600) && is_there(f, "home.key", 0600));
	assert_true(is_there(f, "home.network", 0600) && is_there(f, "home.conf", 0640));
	snprintf(path, sizeof(path), "%s/home.conf", f->dir);
	old[files_read(path, old, sizeof(old) - 1)] = '\0';
	says(old, "network { name = \"home\"  prefix = \"10.9.0.0/29\"  prefix6 = \"fd09::/64\" }");
	for (unsigned i = 0; network_files[i + 1]; i++) { /* whichever is left */
		assert_int_equal(RUN(f, "init", "home", "--coordinator", "h", "--dir", f->dir), 1);
		says(f->err, "is there already; nothing was changed");
		remove_in(f, (const char *const[]){ network_files[i], NULL });
	}
	now[files_read(path, now, sizeof(now) - 1)] = '\0';
	assert_string_equal(now, old);
	remove_in(f, network_files);
}

static void invitations_have_addresses_of_their_own(void **state)
{
	struct fixture *f = *state;
	char name[8], address[32];

	init(f);
	for (unsigned i = 1; i <= 6; i++) {
		snprintf(name, sizeof(name), "m%u", i);
		snprintf(address, sizeof(address), ": 10.9.0.%u fd09::%u;",
			 i == 2 ? 3 :
			 i == 3 ? 2 :
				  i,
			 i == 3 ? 2 : i);
		if (i == 2)
			assert_int_equal(RUN(f, "invite", "m2", "--dir", f->dir, "--ip", "10.9.0.3"), 0);
		else
			assert_int_equal(RUN(f, "invite", name, "--dir", f->dir), 0);
		assert_int_equal(strncmp(f->out, "warren://join/", 14), 0);
		assert_ptr_equal(strchr(f->out, '\n'), f->out + strlen(f->out) - 1); /* a URL and nothing else */
		if (i != 2)
			says(f->err, address);
	}
	assert_int_equal(RUN(f, "invite", "m7", "--dir", f->dir), 1);
	says(f->err, "no address is left");
	assert_int_equal(RUN(f, "invite", "m3", "--dir", f->dir), 1);
	says(f->err, "m3 was invited already");
	assert_int_equal(RUN(f, "invite", "m3", "--dir", f->dir, "--again"), 0);
	says(f->err, ": 10.9.0.2 fd09::2;");
	assert_int_equal(RUN(f, "invite", "m8", "--dir", f->dir, "--ip", "10.9.0.3"), 1);
	says(f->err, "10.9.0.3 is m2's");
	assert_int_equal(RUN(f, "invite", "m8", "--dir", f->dir, "--ip", "192.0.2.1"), 64);
	assert_int_equal(RUN(f, "invite", "m8", "--list", "--dir", f->dir), 64);
	assert_int_equal(RUN(f, "invite", "--dir", f->dir), 64);
	assert_int_equal(RUN(f, "invite", "m8", "--dir", f->dir, "--ttl", "never"), 64);
	assert_int_equal(RUN(f, "-n", "other", "invite", "m8", "--dir", f->dir), 1);
	assert_int_equal(RUN(f, "invite", "--list", "--dir", f->dir, "--plain"), 0);
	says(f->out, "m3\t10.9.0.2\tfd09::2\topen or used\t");
	remove_in(f, network_files);
}

static void list_of_invitations_knows_who_is_a_member(void **state)
{
	struct fixture *f = *state;
	char answer[256], *id;

	init(f);
	assert_int_equal(RUN(f, "invite", "alice", "--dir", f->dir, "--json"), 0);
	id = strstr(f->out, "\"id\"");
	assert_non_null(id);
	id = strpbrk(id + 4, "0123456789abcdef");
	snprintf(answer, sizeof(answer),
		 "{\"schema\":\"warren.peers/1\",\"peers\":[{\"name\":\"alice\",\"serial\":\"%.32s\"}]}", id);
	DAEMON(f, answer, answer, "{\"schema\":\"warren.peers/1\",\"peers\":[]}");
	assert_int_equal(RUN(f, "invite", "--list", "--dir", f->dir), 0);
	says(f->out, "used");
	assert_int_equal(RUN(f, "invite", "--list", "--dir", f->dir, "--json"), 0);
	says(f->out, "\"state\":\"used\"");
	assert_int_equal(RUN(f, "invite", "--list", "--dir", f->dir), 0);
	says(f->out, "open");
	stop_daemon(f);
	assert_int_equal(RUN(f, "invite", "--revoke", "bob", "--dir", f->dir), 1);
	says(f->err, "there is no invitation of bob");
	assert_int_equal(RUN(f, "invite", "--revoke", "alice", "--dir", f->dir), 69);
	remove_in(f, network_files);
}

static void url_makes_a_member_that_is_written_whole_or_not_at_all(void **state)
{
	struct fixture *f = *state;
	char url[4096], path[160], key[64], again[64];

	init(f);
	assert_int_equal(RUN(f, "invite", "alice", "--dir", f->dir, "--lifetime", "30d", "--group", "staff"), 0);
	snprintf(url, sizeof(url), "%s", f->out);
	assert_int_equal(run_with(f, url, (const char *const[]){ "join", "-", "--dir", f->dir, NULL }), 1);
	says(f->err, "home.conf is there already");
	assert_int_equal(run_with(f, url, (const char *const[]){ "join", "-", "--dir", f->dir, "--as", "m", NULL }), 0);
	says(f->err, "m.conf is written, for alice; start it with: warrend -c ");
	assert_true(is_there(f, "m.key", 0600) && is_there(f, "m.cert", 0640) && is_there(f, "m.conf", 0640));
	snprintf(path, sizeof(path), "%s/m.cert", f->dir);
	assert_int_equal(RUN(f, "cert", "show", path), 0);
	says(f->out, "alice: signed by an invitation's key");
	says(f->out, "10.9.0.1, fd09::1");
	says(f->out, "staff");
	assert_null(strstr(f->out, "for ever"));
	/* The same again has nothing to do. */
	snprintf(path, sizeof(path), "%s/m.key", f->dir);
	assert_int_equal(files_read(path, key, sizeof(key)), 45);
	assert_int_equal(run_with(f, url, (const char *const[]){ "join", "-", "--dir", f->dir, "--as", "m", NULL }), 0);
	says(f->err, "m.conf is written, for alice; start it with: warrend -c ");
	assert_int_equal(files_read(path, again, sizeof(again)), 45);
	assert_memory_equal(key, again, 45);
	/* A key that a try which was cut short left is used again. */
	snprintf(path, sizeof(path), "%s/m.key", f->dir);
	assert_int_equal(files_read(path, key, sizeof(key)), 45);
	remove_in(f, (const char *const[]){ "m.conf", "m.cert", NULL });
	assert_int_equal(run_with(f, url, (const char *const[]){ "join", "-", "--dir", f->dir, "--as", "m", NULL }), 0);
	assert_int_equal(files_read(path, again, sizeof(again)), 45);
	assert_memory_equal(key, again, 45);
	remove_in(f, member_files);
	/* Where they cannot be written nothing stays. */
	snprintf(path, sizeof(path), "%s/.m.join.tmp", f->dir);
	assert_int_equal(symlink("/nowhere", path), 0);
	assert_int_equal(run_with(f, url, (const char *const[]){ "join", "-", "--dir", f->dir, "--as", "m", NULL }), 1);
	says(f->err, ".m.join.tmp: is there already, and is not overwritten");
	assert_false(is_there(f, "m.key", 0600) || is_there(f, "m.conf", 0640));
	assert_int_equal(unlink(path), 0);
	url[strlen(url) - 3] ^= 1;
	assert_int_equal(run_with(f, url, (const char *const[]){ "join", "-", "--dir", f->dir, "--as", "m", NULL }), 1);
	says(f->err, "this URL cannot be used: it is not whole, was changed");
	assert_int_equal(RUN(f, "join", "https://example.net/", "--dir", f->dir, "--as", "m"), 1);
	assert_int_equal(RUN(f, "join", "warren://join/", "--dir", f->dir, "--as", "m"), 1);
	assert_false(is_there(f, "m.key", 0600));
	remove_in(f, network_files);
}

static void member_is_renamed_by_a_new_certificate(void **state)
{
	struct fixture *f = *state;
	char cert[160], key[160], text[1024];

	init(f);
	snprintf(key, sizeof(key), "%s/home.network-key", f->dir);
	assert_int_equal(RUN(f, "cert", "sign", "alice", "--signing-key", key, "--public-key", PUBLIC, "--ip",
			     "10.9.0.2", "--group", "staff"),
			 0);
	assert_int_equal(files_replace(f->dir, "m.cert", f->out, strlen(f->out)), 0);
	snprintf(cert, sizeof(cert), "%s/m.cert", f->dir);
	assert_int_equal(RUN(f, "node", "rename", "bob", "anna", "--certificate", cert, "--signing-key", key), 1);
	assert_int_equal(RUN(f, "node", "rename", "alice", "A", "--certificate", cert, "--signing-key", key), 64);
	assert_int_equal(RUN(f, "node", "rename", "alice", "--certificate", cert, "--signing-key", key), 64);
	assert_int_equal(RUN(f, "node", "rename", "alice", "anna", "--signing-key", key), 64);
	assert_int_equal(RUN(f, "node", "rename", "alice", "anna", "--certificate", cert, "--signing-key", key), 0);
	snprintf(text, sizeof(text), "%s", f->out);
	assert_int_equal(run_with(f, text, (const char *const[]){ "cert", "show", "-", NULL }), 0);
	says(f->out, "anna: signed by the network key");
	says(f->out, PUBLIC);
	says(f->out, "staff");
	remove_in(f, member_files);
	remove_in(f, network_files);
}

static void members_are_listed(void **state)
{
	struct fixture *f = *state;

	DAEMON(f,
	       "{\"schema\":\"warren.peers/1\",\"time\":\"2026-01-02T12:44:03Z\",\"peers\":[{\"name\":\"alice\",\"serial\":\"ab\","
	       "\"key\":\"" PUBLIC
	       "\",\"ips\":[\"10.9.0.1\"],\"online\":true,\"last_seen\":\"2026-01-02T12:44:01Z\"}]}");
	assert_int_equal(RUN(f, "node", "list", "--plain"), 0);
	says(f->out, "alice\t10.9.0.1\t-\tonline\t2s\t" PUBLIC "\tab\n");
	assert_int_equal(RUN(f, "node", "revoke"), 64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(wrong_usage_exits_64_with_a_hint),
		TEST(help_is_data_and_exits_0),
		TEST(keys_need_no_daemon),
		TEST(certificates_are_made_and_shown_without_a_daemon),
		TEST(what_is_missing_in_a_certificate_is_named),
		TEST(revocation_is_signed_here_and_handed_in),
		TEST(what_is_no_key_is_not_quoted),
		TEST(a_daemon_that_is_not_there_exits_69),
		TEST(a_socket_that_is_not_ours_exits_77),
		TEST(answers_that_are_none_exit_69),
		TEST(an_unknown_peer_exits_1_and_names_the_nearest),
		TEST(words_are_completed_where_they_may_stand),
		TEST(peers_are_a_table),
		TEST(paths_show_every_try),
		TEST(routes_say_who_has_each),
		TEST(ping_tells_direct_from_relayed_and_lost),
		TEST(why_gives_cause_and_remedy),
		TEST(a_failed_reload_exits_78),
		TEST(a_dry_run_shows_what_differs),
		TEST(settings_are_shown_as_a_file),
		TEST(lines_are_shown_by_their_level),
		TEST(an_address_has_an_owner_or_none),
		TEST(status_tells_a_peer_from_top_to_bottom),
		TEST(status_check_is_silent_when_all_is_well),
		TEST(a_coordinators_status_shows_its_network),
		TEST(expose_prints_the_endpoint),
		TEST(netcheck_shows_what_passes),
		TEST(netcheck_says_what_is_not_known_and_what_was_seen),
		TEST(netcheck_is_repeated_until_the_daemon_is_gone),
		TEST(netcheck_shows_what_the_gateway_maps),
		TEST(netcheck_tells_of_the_proxy),
		TEST(wait_returns_when_it_is_so),
		TEST(wait_gives_up_and_says_what_is_missing),
		TEST(the_map_is_tables_or_a_graph),
		TEST(init_makes_a_network_once),
		TEST(invitations_have_addresses_of_their_own),
		TEST(list_of_invitations_knows_who_is_a_member),
		TEST(url_makes_a_member_that_is_written_whole_or_not_at_all),
		TEST(member_is_renamed_by_a_new_certificate),
		TEST(members_are_listed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
