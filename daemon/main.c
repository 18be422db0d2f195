/* daemon/main.c - warrend: options, role, start order, stop order */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "crypto/key.h"
#include "daemon/base/clock.h"
#include "daemon/base/dirs.h"
#include "daemon/base/listen_fds.h"
#include "daemon/base/log.h"
#include "daemon/base/notify.h"
#include "daemon/base/privileges.h"
#include "daemon/config/config_settings.h"
#include "daemon/control/metrics_server.h"
#include "daemon/control/proto.h"
#include "daemon/coordinator/role.h"
#include "daemon/data/node.h"
#include "daemon/user.h"

static const char usage[] = "usage: warrend -c FILE [--check] [--user NAME] [-v]\n"
			    "       warrend --version | --help\n"
			    "\n"
			    "Runs in the foreground and logs to standard error. See warrend(8) and warren.conf(5).\n"
			    "\n"
			    "  -c, --config FILE  the configuration, one per network\n"
			    "      --check        only check it and the key files it names: exit code 0 or 78\n"
			    "      --user NAME    started by root, run as this user (warren, if there is one)\n"
			    "  -v, --verbose      log in detail, whatever log_level says\n"
			    "      --version      print the version\n"
			    "  -h, --help         print this\n";

/* Between two looks at whether the service manager has something new to be told. */
#define REPORT_MS 15000
/* For good-byes, and what closes after them; a program that systemd stops has 10 s. */
#define STOP_MS 2000

struct options {
	const char *path, *user;
	bool is_check, is_verbose;
};

struct program {
	struct options options;
	uv_loop_t loop;
	uv_signal_t terminate, interrupt, hangup;
	struct metrics_server *metrics;
	uv_timer_t report;               /* to the service manager */
	uv_timer_t patience;             /* while it stops */
	char summary[256];               /* that it was told last */
	bool is_watched;                 /* it wants signs of life */
	struct listen_fds handed;        /* sockets that it opened */
	struct config *config;           /* the last that was applied */
	struct config *started;          /* the one that was started with; perhaps the same */
	struct config_owner owner;       /* this program, for the roles */
	struct coordinator *coordinator; /* one of the two, by role */
	struct node *node;
	bool is_stopping, is_patience_over;
};

/* ---------------------------------------------------------------- options */

static int bad_usage(const char *words, const char *which)
{
	fprintf(stderr, "warrend: %s%s\n%s", words, which, usage);
	return EXIT_BAD_USAGE;
}

/* -1: go on; else the exit code. */
static int parse_options(struct options *o, int argc, char **argv)
{
	static const struct option known[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "check", no_argument, NULL, 'k' },
		{ "user", required_argument, NULL, 'u' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":c:vh", known, NULL)) >= 0) {
		switch (option) {
		case 'c':
			o->path = optarg;
			break;
		case 'k':
			o->is_check = true;
			break;
		case 'u':
			o->user = optarg;
			break;
		case 'v':
			o->is_verbose = true;
			break;
		case 'V':
			printf("warrend %s\n", WARREN_VERSION);
			return EXIT_YES;
		case 'h':
			fputs(usage, stdout);
			return EXIT_YES;
		case ':':
			return bad_usage("no argument after ", argv[optind - 1]);
		default:
			return bad_usage("unknown option ", argv[optind - 1]);
		}
	}
	if (optind < argc)
		return bad_usage("not an option: ", argv[optind]);
	if (!o->path)
		return bad_usage("which configuration? Say ", "-c FILE");
	return -1;
}

/* ---------------------------------------------------------------- process */

/* Before any key is read: neither a core dump nor a debugger of our own user shall find it. */
static void protect_memory(void)
{
	struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* A coordinator holds one connection a member. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max < 65536 ? limit.rlim_max : 65536;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void take_sockets(struct program *p)
{
	int ret = listen_fds_init(&p->handed);

	if (ret < 0)
		log_warn("no socket of the service manager is used: $LISTEN_FDS: %s", strerror(-ret));
	if (p->handed.n && p->config->role == CONFIG_PEER)
		log_warn("no socket of the service manager is used: only a coordinator listens with them");
}

static void set_log_level(const struct options *o, const struct config *config)
{
	enum log_level level = LOG_LEVEL_INFO;

	if (config->log_level)
		log_level_from_text(config->log_level, &level); /* checked by config_load */
	log_set_level(o->is_verbose ? LOG_LEVEL_DEBUG : level);
}

/* ---------------------------------------------------------------- what the service manager is told */

/* One line, and only when it is another one. */
static void report_summary(struct program *p)
{
	char summary[sizeof(p->summary)];

	if (!notify_is_wanted())
		return;
	if (p->coordinator)
		coordinator_summary(p->coordinator, summary, sizeof(summary));
	else
		node_summary(p->node, summary, sizeof(summary));
	if (strcmp(summary, p->summary) == 0)
		return;
	memcpy(p->summary, summary, sizeof(summary));
	notify_status(summary);
}

/* This loop turns, as it is here; the threads that move packets are asked, and have until the next time to answer. */
static void on_report(uv_timer_t *timer)
{
	struct program *p = timer->data;

	if (!p->coordinator && !p->node)
		return;
	if (p->is_watched && (p->coordinator ? coordinator_is_alive(p->coordinator) : node_is_alive(p->node)))
		notify_send("WATCHDOG=1");
	report_summary(p);
}

static void start_reports(struct program *p)
{
	uint64_t watchdog_ms = notify_watchdog_ms(), every_ms = REPORT_MS;

	uv_timer_init(&p->loop, &p->report);
	uv_unref((uv_handle_t *)&p->report);
	p->report.data = p;
	p->is_watched = watchdog_ms > 0;
	if (p->is_watched && watchdog_ms / 2 < every_ms)
		every_ms = watchdog_ms / 2 ? watchdog_ms / 2 : 1;
	if (notify_is_wanted())
		uv_timer_start(&p->report, on_report, every_ms, every_ms);
}

/* ---------------------------------------------------------------- reload */

static bool is_same_role(const struct program *p, const struct config *fresh, struct config_reload *r)
{
	if (fresh->role == p->config->role)
		return true;
	snprintf(r->error, sizeof(r->error), "%.400s: another role needs a restart", fresh->path);
	return false;
}

static int apply(struct program *p, const struct config *fresh, struct config_reload *r)
{
	if (r->is_dry)
		return p->node ? node_try_reload(p->node, fresh, r->error, sizeof(r->error)) : 0;
	return p->coordinator ? coordinator_reload(p->coordinator, fresh, r->error, sizeof(r->error)) :
				node_reload(p->node, fresh, r->error, sizeof(r->error));
}

struct told { /* changes of one kind go on to whoever wants to know */
	const struct config_reload *r;
	bool is_reloadable;
};

static void on_change(void *arg, const struct config_setting *from, const struct config_setting *to)
{
	const struct told *t = arg;

	if (to->is_reloadable == t->is_reloadable)
		t->r->on_change(t->r->change_arg, from, to);
}

/* What a reload applies is compared with the last file, what only a restart applies with what runs. */
static void compare(const struct program *p, const struct config *fresh, struct config_reload *r)
{
	struct told applied = { .r = r, .is_reloadable = true }, restart = { .r = r };
	char ignored[sizeof(r->restart)];

	config_diff(p->started, fresh, ignored, r->restart, sizeof(r->restart));
	config_diff(p->config, fresh, r->applied, ignored, sizeof(r->applied));
	if (!r->on_change)
		return;
	config_each_change(p->config, fresh, on_change, &applied);
	config_each_change(p->started, fresh, on_change, &restart);
}

static void take(struct program *p, struct config *fresh, const struct config_reload *r)
{
	if (p->config != p->started)
		config_free(p->config);
	p->config = fresh;
	set_log_level(&p->options, fresh);
	log_info("reload: applied: %s", r->applied[0] ? r->applied : "nothing changed");
	if (r->restart[0])
		log_warn("reload: changed, but only a restart applies it: %s", r->restart);
}

/* Whole or not at all: with a bad file everything stays as it is. */
static void reload(void *arg, struct config_reload *r)
{
	struct program *p = arg;
	struct config *fresh;

	if (!r->is_dry)
		notify_reloading();
	fresh = config_load(p->options.path, r->error);
	r->ok = fresh && is_same_role(p, fresh, r) && apply(p, fresh, r) == 0;
	if (r->ok)
		compare(p, fresh, r);
	if (r->is_dry) {
		config_free(fresh);
		return;
	}
	if (r->ok) {
		take(p, fresh, r);
	} else {
		log_error("reload: %s; the settings before it stay", r->error);
		if (p->coordinator)
			coordinator_set_reload_error(p->coordinator, r->error);
		else
			node_set_reload_error(p->node, r->error);
		config_free(fresh);
	}
	notify_send("READY=1");
	report_summary(p);
}

/* What is in force: of the last file that was good, but for what a restart would have to apply. */
static void each_setting(void *arg, config_setting_fn *fn, void *fn_arg)
{
	const struct program *p = arg;

	config_each_setting(p->started, p->config, fn, fn_arg);
}

/* ---------------------------------------------------------------- signals */

static void close_handles(struct program *p)
{
	uv_handle_t *handles[] = { (uv_handle_t *)&p->terminate, (uv_handle_t *)&p->interrupt,
				   (uv_handle_t *)&p->hangup, (uv_handle_t *)&p->report, (uv_handle_t *)&p->patience };

	for (size_t i = 0; i < sizeof(handles) / sizeof(handles[0]); i++) {
		if (!uv_is_closing(handles[i]))
			uv_close(handles[i], NULL);
	}
}

/* All that is left are look-ups of names, which libuv cannot take back from its threads; with no name server in reach the C
 * library goes on with each for many seconds. */
static void on_patience_over(uv_timer_t *timer)
{
	struct program *p = timer->data;

	p->is_patience_over = true;
	uv_stop(&p->loop);
}

static void stop(struct program *p)
{
	p->is_stopping = true;
	uv_timer_start(&p->patience, on_patience_over, STOP_MS, 0);
	notify_send("STOPPING=1");
	metrics_server_close(p->metrics);
	p->metrics = NULL;
	coordinator_stop(p->coordinator);
	if (p->node)
		node_stop(p->node);
	p->coordinator = NULL;
	p->node = NULL;
	/* Signals are still caught while the rest closes, so that a second one can end it; they do not keep the loop
	 * alive. */
	uv_unref((uv_handle_t *)&p->terminate);
	uv_unref((uv_handle_t *)&p->interrupt);
}

static void on_stop_signal(uv_signal_t *handle, int number)
{
	struct program *p = handle->data;

	if (p->is_stopping)
		_exit(EXIT_NO);
	log_info("%s: stopping", number == SIGINT ? "SIGINT" : "SIGTERM");
	stop(p);
}

static void on_hangup(uv_signal_t *handle, int number)
{
	struct program *p = handle->data;
	struct config_reload r = { .is_dry = false };

	(void)number;
	if (!p->is_stopping)
		reload(p, &r);
}

static int start_signals(struct program *p)
{
	uv_signal_t *handles[] = { &p->terminate, &p->interrupt, &p->hangup };
	uv_signal_cb callbacks[] = { on_stop_signal, on_stop_signal, on_hangup };
	int numbers[] = { SIGTERM, SIGINT, SIGHUP };
	int ret = 0;

	for (size_t i = 0; i < 3; i++) {
		int r = uv_signal_init(&p->loop, handles[i]);

		handles[i]->data = p;
		r = r ? r : uv_signal_start(handles[i], callbacks[i], numbers[i]);
		ret = ret ? ret : r;
	}
	uv_unref((uv_handle_t *)&p->hangup);
	return ret;
}

/* ---------------------------------------------------------------- run */

static int start_role(struct program *p, const struct seckey *secret, const struct psk *psk)
{
	const char *state_dir = p->config->state_dir;
	int ret = state_dir ? dirs_make(state_dir, 0700) : 0;

	/* A peer can do without; a coordinator ends a moment later, when it opens its store. */
	if (ret < 0)
		log_warn("state directory %s: %s", state_dir, strerror(-ret));
	if (p->config->role == CONFIG_COORDINATOR) {
		ret = coordinator_start(&p->coordinator, &p->loop, p->config, secret, &p->handed);
		if (ret == 0)
			coordinator_set_owner(p->coordinator, &p->owner);
	} else {
		ret = node_start(&p->node, &p->loop, p->config, secret, psk);
		if (ret == 0)
			node_set_owner(p->node, &p->owner);
	}
	return ret;
}

static char *write_metrics(void *arg, enum metrics_format format)
{
	struct program *p = arg;

	return p->coordinator ? coordinator_metrics(p->coordinator, format) : node_metrics(p->node, format);
}

static int start_metrics(struct program *p)
{
	const struct config_metrics_listen *at = &p->config->metrics.listen;
	char address[ADDR_TEXT_BYTES];
	int ret;

	if (!at->path[0] && !at->address.port)
		return 0;
	ret = metrics_server_open(&p->metrics, &p->loop, at, write_metrics, p);
	if (ret < 0)
		log_error("metrics at %s: %s", at->path[0] ? at->path : endpoint_to_text(&at->address, address),
			  ret == -EADDRINUSE ? "another program is listening there" : strerror(-ret));
	return ret;
}

static int run(struct program *p, const struct seckey *secret, const struct psk *psk)
{
	int ret = uv_loop_init(&p->loop);

	if (ret) {
		log_error("event loop: %s", uv_strerror(ret));
		return EXIT_NO;
	}
	ret = start_signals(p);
	start_reports(p);
	uv_timer_init(&p->loop, &p->patience);
	uv_unref((uv_handle_t *)&p->patience);
	p->patience.data = p;
	if (ret)
		log_error("signals: %s", uv_strerror(ret));
	else
		ret = start_role(p, secret, psk);
	if (ret == 0) {
		ret = start_metrics(p);
		if (ret < 0)
			stop(p);
	}
	if (ret == 0) {
		notify_send("READY=1");
		report_summary(p);
		uv_run(&p->loop, UV_RUN_DEFAULT); /* until stop() and everything it closes, or patience is over */
	}
	close_handles(p);
	uv_run(&p->loop, p->is_patience_over ? UV_RUN_NOWAIT : UV_RUN_DEFAULT);
	if (!p->is_patience_over && uv_loop_close(&p->loop) < 0)
		log_warn("stopped with handles open");
	if (ret == -EPERM || ret == -EACCES)
		return EXIT_NOT_PERMITTED;
	return ret ? EXIT_NO : EXIT_YES;
}

/* That it has expired is an error to --check only: a daemon whose clock is wrong, or whose certificate is about to be renewed,
 * starts, and has no session before it is good. */
static int check_certificate(const struct program *p, const struct seckey *secret,
			     char error[static CONFIG_ERROR_BYTES])
{
	enum cert_verdict v;
	struct cert cert;

	if (p->config->role != CONFIG_PEER || !config_has_network_key(p->config))
		return 0;
	if (config_read_certificate(p->config, secret, &cert, error) < 0)
		return -1;
	v = cert_check_terms(&cert, &p->config->network_key, NULL, clock_wall_ms() / 1000);
	if (v == CERT_GOOD || !p->options.is_check)
		return 0;
	snprintf(error, CONFIG_ERROR_BYTES, "%.200s: certificate %.150s %s", p->config->certificate_at,
		 p->config->certificate_file, cert_verdict_text(v));
	return -1;
}

int main(int argc, char **argv)
{
	struct program p = { .options = { .path = NULL } };
	char error[CONFIG_ERROR_BYTES] = "";
	struct seckey secret = { { 0 } };
	struct psk psk = { { 0 } };
	int ret = parse_options(&p.options, argc, argv);

	if (ret >= 0)
		return ret;
	protect_memory();
	signal(SIGPIPE, SIG_IGN);
	tzset();
	if (crypto_start() < 0) {
		log_error("libsodium does not start");
		return EXIT_NO;
	}
	p.config = config_load(p.options.path, error);
	if (!p.config || config_read_keys(p.config, &secret, &psk, error) < 0 ||
	    check_certificate(&p, &secret, error) < 0) {
		fprintf(stderr, "%s\n", error);
		config_free(p.config);
		key_wipe(&secret, sizeof(secret));
		key_wipe(&psk, sizeof(psk));
		return EXIT_BAD_CONFIG;
	}
	if (p.options.is_check) {
		printf("%s: ok\n", p.options.path);
		config_free(p.config);
		key_wipe(&secret, sizeof(secret));
		key_wipe(&psk, sizeof(psk));
		return EXIT_YES;
	}
	p.started = p.config;
	p.owner = (struct config_owner){ .arg = &p, .reload = reload, .each = each_setting };
	set_log_level(&p.options, p.config);
	raise_file_limit();
	take_sockets(&p);
	key_lock(&secret, sizeof(secret));
	key_lock(&psk, sizeof(psk));
	ret = user_become(p.config, p.options.user);
	protect_memory(); /* another user can be looked into again */
	if (ret == EXIT_YES)
		ret = run(&p, &secret, &psk);
	listen_fds_fini(&p.handed);
	key_unlock(&secret, sizeof(secret));
	key_unlock(&psk, sizeof(psk));
	if (p.config != p.started)
		config_free(p.config);
	config_free(p.started);
	if (p.is_patience_over)
		_exit(ret); /* exit() would wait for libuv's threads */
	return ret;
}
