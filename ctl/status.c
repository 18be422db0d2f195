#include <string.h>

#include "ctl/ctl.h"
#include "daemon/base/log.h"

static const json_t *at(const json_t *o, const char *a, const char *b)
{
	return json_object_get(json_object_get(o, a), b);
}

static const char *cell(const json_t *o, const char *a, const char *b, char out[static CTL_CELL_BYTES])
{
	return ctl_text(b ? at(o, a, b) : json_object_get(o, a), out);
}

/* "a, b, c" of an array of strings, or "-". */
static void print_list(const struct ctl *ctl, const json_t *list, const char *separator)
{
	char a[CTL_CELL_BYTES];
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
		fprintf(ctl->out, "%s%s", i > 0 ? separator : "", ctl_text(item, a));
	if (json_array_size(list) == 0)
		fputc('-', ctl->out);
}

static void print_head(const struct ctl *ctl, const json_t *s)
{
	char a[CTL_CELL_BYTES], b[CTL_CELL_BYTES], c[CTL_CELL_BYTES], d[CTL_CELL_BYTES], e[CTL_CELL_BYTES];
	double uptime_s = json_number_value(json_object_get(s, "uptime_s"));

	fprintf(ctl->out, "%s: %s, up %s, warrend %s (pid %s)\n", cell(s, "name", NULL, a), cell(s, "role", NULL, b),
		json_is_number(json_object_get(s, "uptime_s")) ? ctl_duration(uptime_s, c) : "-",
		cell(s, "version", NULL, d), cell(s, "pid", NULL, e));
	fprintf(ctl->out, "  %-12s %s loaded %s, %s\n", "config", cell(s, "config", "path", a),
		ctl_clock(at(s, "config", "loaded"), b),
		json_is_true(at(s, "config", "changed_on_disk")) ? "changed on disk since" : "unchanged on disk");
}

static void print_self(const struct ctl *ctl, const json_t *s)
{
	char a[CTL_CELL_BYTES], b[CTL_CELL_BYTES];

	fprintf(ctl->out, "  %-12s ", "self");
	if (json_array_size(json_object_get(s, "addresses")) > 0) {
		print_list(ctl, json_object_get(s, "addresses"), ", ");
		fputs("  ", ctl->out);
	}
	fprintf(ctl->out, ctl->is_wide || ctl->is_plain ? "key %s\n" : "key %.8s\n", cell(s, "key", NULL, a));
	if (json_is_object(json_object_get(s, "tun"))) {
		fprintf(ctl->out, "  %-12s %s%s mtu %s, ", "tun", cell(s, "tun", "name", a),
			json_is_false(at(s, "tun", "up")) ? " down," : "", cell(s, "tun", "mtu", b));
		fprintf(ctl->out, "%s queues, ", cell(s, "tun", "queues", a));
		print_list(ctl, at(s, "tun", "features"), " ");
		fputc('\n', ctl->out);
	}
}

void ctl_print_proxy(const struct ctl *ctl, const json_t *coordinator)
{
	if (json_is_true(at(coordinator, "proxy", "in_use")))
		fputs(", through the proxy", ctl->out);
}

static void print_coordinators(const struct ctl *ctl, const json_t *s)
{
	char a[CTL_CELL_BYTES], b[CTL_CELL_BYTES], c[CTL_CELL_BYTES];
	const json_t *entry, *now = json_object_get(s, "time");
	double age;
	size_t i;

	json_array_foreach(json_object_get(s, "coordinators"), i, entry) {
		const char *state = json_string_value(json_object_get(entry, "state"));
		bool is_connected = state && strcmp(state, "connected") == 0;

		fprintf(ctl->out, "  %-12s %s %s  %s", i == 0 ? "coordinator" : "", cell(entry, "name", NULL, a),
			cell(entry, "endpoint", NULL, b), cell(entry, "state", NULL, c));
		if (is_connected)
			fprintf(ctl->out, ", rtt %s", ctl_rtt(json_object_get(entry, "rtt_ms"), a));
		ctl_print_proxy(ctl, entry);
		if (ctl_age(json_object_get(entry, "since"), now, &age))
			fprintf(ctl->out, ", for %s", ctl_duration(age, a));
		if (json_is_string(json_object_get(entry, "error")))
			fprintf(ctl->out, ": %s", cell(entry, "error", NULL, a));
		fputc('\n', ctl->out);
	}
}

static const char *mapping_words(const json_t *underlay)
{
	const char *mapping = json_string_value(json_object_get(underlay, "mapping"));

	if (!mapping || strcmp(mapping, "unknown") == 0)
		return "mapping not known";
	if (strcmp(mapping, "none") == 0)
		return "no NAT";
	return strcmp(mapping, "endpoint-independent") == 0 ? "mapping the same for all destinations" :
							      "mapping depends on destination";
}

static void print_peer_role(const struct ctl *ctl, const json_t *s)
{
	static const char *const kinds[] = { "lan", "direct", "relay", "tcp" };
	const json_t *underlay = json_object_get(s, "underlay"), *peers = json_object_get(s, "peers");
	char a[CTL_CELL_BYTES], b[CTL_CELL_BYTES], c[CTL_CELL_BYTES];
	bool is_first = true;

	print_coordinators(ctl, s);
	fprintf(ctl->out, "  %-12s udp4 %s, udp6 %s, port %s (%s)%s", "underlay", cell(underlay, "udp4", NULL, a),
		cell(underlay, "udp6", NULL, b), cell(underlay, "port", NULL, c), mapping_words(underlay),
		json_is_true(json_object_get(underlay, "udp_blocked")) ? ", UDP is blocked" : "");
	if (json_is_object(json_object_get(underlay, "portmap")))
		fprintf(ctl->out, ", portmap %s %s\n", cell(underlay, "portmap", "by", a),
			cell(underlay, "portmap", "endpoint", b));
	else
		fputs(", portmap none\n", ctl->out);
	fprintf(ctl->out, "  %-12s %s of %s up", "peers", cell(peers, "up", NULL, a), cell(peers, "known", NULL, b));
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const json_t *n = json_object_get(peers, kinds[i]);

		if (json_integer_value(n) == 0)
			continue;
		fprintf(ctl->out, "%s %s %s", is_first ? ":" : ",", ctl_text(n, a), kinds[i]);
		is_first = false;
	}
	fputc('\n', ctl->out);
}

static void print_coordinator_role(const struct ctl *ctl, const json_t *s)
{
	const json_t *relay = json_object_get(s, "relay");
	char a[CTL_CELL_BYTES], b[CTL_CELL_BYTES], c[CTL_CELL_BYTES];

	fprintf(ctl->out, "  %-12s %s  %s %s\n", "network", cell(s, "network", "name", a),
		cell(s, "network", "prefix", b), cell(s, "network", "prefix6", c));
	fprintf(ctl->out, "  %-12s %s of %s online\n", "members", cell(s, "members", "online", a),
		cell(s, "members", "total", b));
	fprintf(ctl->out, "  %-12s %s\n", "relay", json_is_true(json_object_get(relay, "enabled")) ? "on" : "off");
}

static void print_means(const struct ctl *ctl, const json_t *s)
{
	char a[CTL_CELL_BYTES], b[CTL_CELL_BYTES];
	json_t *off = json_object_get(s, "offload_off");
	const json_t *entry, *value;
	const char *name;
	size_t i;

	fprintf(ctl->out, "  %-12s ", "ciphers");
	json_array_foreach(json_object_get(s, "ciphers"), i, entry)
		fprintf(ctl->out, "%s%s by %s", i > 0 ? ", " : "", cell(entry, "suite", NULL, a),
			cell(entry, "implementation", NULL, b));
	if (json_is_string(json_object_get(s, "compression")))
		fprintf(ctl->out, "\n  %-12s %s", "compression", cell(s, "compression", NULL, a));
	fprintf(ctl->out, "\n  %-12s %s", "workers", cell(s, "workers", NULL, a));
	json_object_foreach((json_t *)json_object_get(s, "offload"), name, value)
		if (json_is_true(value) || !json_object_get(off, name))
			fprintf(ctl->out, ", %s %s", name, json_is_true(value) ? "on" : "off");
	json_object_foreach(off, name, value)
		fprintf(ctl->out, ", %s off (%s)", name, ctl_text(value, a));
	fputc('\n', ctl->out);
	if (!ctl->is_wide)
		return;
	json_object_foreach((json_t *)json_object_get(s, "counters"), name, value)
		fprintf(ctl->out, "  %-32s %s\n", name, ctl_text(value, a));
}

static void print_notices(const struct ctl *ctl, const json_t *s)
{
	const json_t *notice;
	char line[1024];
	size_t i;

	if (json_is_string(at(s, "config", "last_error"))) {
		const char *text = json_string_value(at(s, "config", "last_error"));

		log_escape(line, sizeof(line), text, strlen(text));
		fprintf(ctl->out, "! the last reload failed, the old settings stay in force: %s\n", line);
	}
	json_array_foreach(json_object_get(s, "notices"), i, notice) {
		const char *text = json_string_value(notice);

		log_escape(line, sizeof(line), text ? text : "-", text ? strlen(text) : 1);
		fprintf(ctl->out, "! %s\n", line);
	}
}

/* Well: the settings in force are the ones on disk, and a peer has its interface and is registered with a coordinator. */
const char *ctl_what_is_wrong(const json_t *s)
{
	const char *role = json_string_value(json_object_get(s, "role"));
	const json_t *entry;
	size_t i;

	if (json_is_string(at(s, "config", "last_error")))
		return "the last reload failed";
	if (!role || strcmp(role, "peer") != 0)
		return NULL;
	if (json_is_false(at(s, "tun", "present")))
		return "the TUN interface was deleted";
	if (json_is_false(at(s, "tun", "up")))
		return "the TUN interface is down";
	json_array_foreach(json_object_get(s, "coordinators"), i, entry) {
		const char *state = json_string_value(json_object_get(entry, "state"));

		if (state && strcmp(state, "connected") == 0)
			return NULL;
	}
	return "no coordinator is connected";
}

int ctl_status(struct ctl *ctl)
{
	const char *role, *wrong;
	json_t *answer;
	int code = ctl_ask_take(ctl, json_pack("{s:s}", "cmd", "status"), "warren.status", CTL_TIMEOUT_MS, &answer);

	if (code != EXIT_YES)
		return code;
	wrong = ctl_value(ctl, "check") ? ctl_what_is_wrong(answer) : NULL;
	role = json_string_value(json_object_get(answer, "role"));
	if (ctl->is_json) {
		ctl_print_json(ctl, answer);
	} else if (!ctl_value(ctl, "check")) {
		print_head(ctl, answer);
		print_self(ctl, answer);
		if (role && strcmp(role, "coordinator") == 0)
			print_coordinator_role(ctl, answer);
		else
			print_peer_role(ctl, answer);
		print_means(ctl, answer);
		print_notices(ctl, answer);
	}
	if (wrong)
		fprintf(ctl->err, "warrenctl: %s\n", wrong);
	json_decref(answer);
	return wrong ? EXIT_NO : EXIT_YES;
}
