#include "ctl/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/program.h"
#include "daemon/base/log.h"

/* A number that stands in a file of its own, or -1. */
static int number_in(const char *path)
{
	size_t len;
	char *text = program_file(path, &len), *end;
	long v = text ? strtol(text, &end, 10) : -1;
	bool is_one = text && end != text;

	free(text);
	return is_one ? (int)v : -1;
}

/* The kernel takes the stricter of an interface's own and of "all": 1 is strict, 2 loose. */
static int strictest_rp_filter(const char *tun)
{
	int all = number_in("/proc/sys/net/ipv4/conf/all/rp_filter"), strictest = -1;
	glob_t found;

	if (glob("/proc/sys/net/ipv4/conf/*/rp_filter", 0, NULL, &found) != 0)
		return -1;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		const char *name = found.gl_pathv[i] + strlen("/proc/sys/net/ipv4/conf/");
		size_t len = strcspn(name, "/");
		int own;

		if ((len == 3 && strncmp(name, "all", 3) == 0) || (len == 7 && strncmp(name, "default", 7) == 0) ||
		    (len == 2 && strncmp(name, "lo", 2) == 0) ||
		    (tun && strlen(tun) == len && strncmp(name, tun, len) == 0))
			continue;
		own = number_in(found.gl_pathv[i]);
		own = own > all ? own : all; /* the higher one counts (ip-sysctl) */
		if (strictest < 0 || (own == 1 && strictest != 1))
			strictest = own;
	}
	globfree(&found);
	return strictest;
}

static int mtu_of(const char *device)
{
	char path[96];
	int mtu;

	if (!device || strchr(device, '/'))
		return 0;
	snprintf(path, sizeof(path), "/sys/class/net/%.40s/mtu", device);
	mtu = number_in(path);
	return mtu > 0 ? mtu : 0;
}

/* Of the devices with a default route. */
static int smallest_underlay_mtu(const char *routes4)
{
	int smallest = 0;

	while (routes4 && *routes4) {
		char device[32];
		unsigned destination, mask;

		if (sscanf(routes4, "%31s %8x %*8x %*x %*d %*d %*d %8x", device, &destination, &mask) == 3 &&
		    mask == 0) {
			int mtu = mtu_of(device);

			if (mtu && (!smallest || mtu < smallest))
				smallest = mtu;
		}
		routes4 += strcspn(routes4, "\n");
		routes4 += *routes4 == '\n';
	}
	return smallest;
}

static int try_tun(void)
{
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC), err = fd < 0 ? errno : 0;

	if (fd >= 0)
		close(fd);
	return err;
}

static int is_clock_synchronised(void)
{
	struct timex t = { .modes = 0 };

	return adjtimex(&t) < 0 ? -1 : !(t.status & STA_UNSYNC);
}

/* What the daemon says, if it says anything; words about a failure would only hide the finding. */
static json_t *ask_quietly(struct ctl *ctl, const char *command, const char *schema, unsigned timeout_ms)
{
	FILE *err = ctl->err, *nowhere = fopen("/dev/null", "we");
	json_t *answer = NULL;

	if (!nowhere)
		return NULL;
	ctl->err = nowhere;
	ctl_ask_take(ctl, json_pack("{s:s}", "cmd", command), schema, timeout_ms, &answer);
	ctl->err = err;
	fclose(nowhere);
	return answer;
}

json_t *ctl_doctor_document(struct ctl *ctl)
{
	static const char *const list_rules[] = { "nft", "-j", "list", "ruleset", NULL };
	json_t *status = ask_quietly(ctl, "status", "warren.status", CTL_TIMEOUT_MS),
	       *netcheck = ask_quietly(ctl, "netcheck", "warren.netcheck", CTL_NETCHECK_TIMEOUT_MS),
	       *networks = ask_quietly(ctl, "routes", "warren.routes", CTL_TIMEOUT_MS), *ruleset, *findings;
	const char *tun = json_string_value(json_object_get(json_object_get(status, "tun"), "name"));
	size_t len;
	char *routes4 = program_file("/proc/net/route", &len), *routes6 = program_file("/proc/net/ipv6_route", &len),
	     *rules = program_read(list_rules, &len);
	struct doctor_facts f = { .status = status,
				  .netcheck = netcheck,
				  .routes = networks,
				  .net = ctl->net,
				  .tun_error = try_tun(),
				  .rp_filter = strictest_rp_filter(tun),
				  .forwarding4 = number_in("/proc/sys/net/ipv4/ip_forward"),
				  .forwarding6 = number_in("/proc/sys/net/ipv6/conf/all/forwarding"),
				  .clock_is_synchronised = is_clock_synchronised(),
				  .tun_mtu = mtu_of(tun),
				  .underlay_mtu = smallest_underlay_mtu(routes4),
				  .routes4 = routes4,
				  .routes6 = routes6 };

	f.ruleset = ruleset = rules ? json_loads(rules, 0, NULL) : NULL;
	findings = doctor_judge(&f);
	json_decref(ruleset);
	json_decref(status);
	json_decref(netcheck);
	json_decref(networks);
	free(rules);
	free(routes4);
	free(routes6);
	return json_pack("{s:s, s:o}", "schema", "warren.doctor/1", "findings", findings);
}

static void print_finding(const struct ctl *ctl, const json_t *finding)
{
	const char *state = json_string_value(json_object_get(finding, "state"));
	const char *message = json_string_value(json_object_get(finding, "message")),
		   *mend = json_string_value(json_object_get(finding, "mend"));
	int color = strcmp(state, "ok") == 0   ? 32 :
		    strcmp(state, "bad") == 0  ? 31 :
		    strcmp(state, "warn") == 0 ? 33 :
						 2;
	char check[CTL_CELL_BYTES], line[1024];

	fprintf(ctl->out, "%-11s", ctl_text(json_object_get(finding, "check"), check));
	if (ctl->is_colored)
		fprintf(ctl->out, "\033[%dm%-8s\033[0m", color, state);
	else
		fprintf(ctl->out, "%-8s", state);
	log_escape(line, sizeof(line), message, strlen(message));
	fprintf(ctl->out, "%s\n", line);
	/* What is well needs no mending; -w says what could be done still. */
	if (!mend || (strcmp(state, "ok") == 0 && !ctl->is_wide))
		return;
	log_escape(line, sizeof(line), mend, strlen(mend));
	fprintf(ctl->out, "%-11s%-8s%s\n", "", "", line);
}

int ctl_doctor(struct ctl *ctl)
{
	json_t *document = ctl_doctor_document(ctl);
	const json_t *finding;
	bool is_bad = false;
	size_t i;

	json_array_foreach(json_object_get(document, "findings"), i, finding) {
		const char *state = json_string_value(json_object_get(finding, "state"));

		is_bad |= state && strcmp(state, "bad") == 0;
		if (!ctl->is_json)
			print_finding(ctl, finding);
	}
	if (ctl->is_json)
		ctl_print_json(ctl, document);
	json_decref(document);
	return is_bad ? EXIT_NO : EXIT_YES;
}
