#include <string.h>

#include "ctl/ctl.h"
#include "daemon/base/log.h"

#define EVERY_MIN_S 0.5
#define EVERY_MAX_S 86400

#define LABEL "%-14s"

static const json_t *of(const json_t *o, const char *a, const char *b)
{
	return json_object_get(json_object_get(o, a), b);
}

static void print_udp(const struct ctl *ctl, const char *label, const json_t *family)
{
	const char *state = json_string_value(json_object_get(family, "state"));
	char a[CTL_CELL_BYTES];

	fprintf(ctl->out, LABEL, label);
	if (!state)
		fputs("not known\n", ctl->out);
	else if (strcmp(state, "ok") == 0)
		fprintf(ctl->out, "ok, %s\n", ctl_text(json_object_get(family, "endpoint"), a));
	else
		fputs(strcmp(state, "no-address") == 0 ? "none (no address)\n" : "no answer\n", ctl->out);
}

static void print_mapping(const struct ctl *ctl, const json_t *answer)
{
	const json_t *seen = json_object_get(answer, "mapping_seen"), *step = json_object_get(answer, "port_step");
	const json_t *kept = json_object_get(answer, "keeps_port");
	char a[CTL_CELL_BYTES], servers[CTL_CELL_BYTES], endpoints[CTL_CELL_BYTES];

	fprintf(ctl->out, LABEL "%s", "mapping", ctl_known(json_object_get(answer, "mapping"), a));
	if (json_is_object(seen))
		fprintf(ctl->out, " (seen by %s servers at %s endpoint%s)",
			ctl_text(json_object_get(seen, "servers"), servers),
			ctl_text(json_object_get(seen, "endpoints"), endpoints),
			strcmp(endpoints, "1") == 0 ? "" : "s");
	fprintf(ctl->out, "\n" LABEL "%s\n", "filtering", ctl_known(json_object_get(answer, "filtering"), a));
	fprintf(ctl->out, LABEL "%s", "ports",
		json_is_boolean(kept) ? (json_is_true(kept) ? "kept" : "not kept") : "not known");
	if (json_is_integer(step))
		fprintf(ctl->out, ", the next one is %+lld", (long long)json_integer_value(step));
	fprintf(ctl->out, "\n" LABEL "%s\n", "hairpin", ctl_known(json_object_get(answer, "hairpin"), a));
	if (ctl->is_wide)
		fprintf(ctl->out, LABEL "%s\n", "classic", ctl_known(json_object_get(answer, "classic"), a));
}

static void print_lifetime(const struct ctl *ctl, const json_t *answer)
{
	const json_t *held = of(answer, "lifetime", "held_s");
	bool is_measuring = json_is_true(of(answer, "lifetime", "measuring"));

	fprintf(ctl->out, LABEL, "lifetime");
	if (json_is_integer(held))
		fprintf(ctl->out, "UDP mapping held >= %lld s", (long long)json_integer_value(held));
	else
		fputs("not known", ctl->out);
	fputs(is_measuring ? ", still being measured\n" : "\n", ctl->out);
}

static void print_mtu(const struct ctl *ctl, const json_t *answer)
{
	const json_t *mtu = json_object_get(answer, "mtu");

	fprintf(ctl->out, LABEL, "mtu");
	if (json_is_integer(mtu))
		fprintf(ctl->out, "%lld%s (probed)\n", (long long)json_integer_value(mtu),
			json_is_true(json_object_get(answer, "mtu_is_least")) ? " and more" : "");
	else
		fputs("not known\n", ctl->out);
}

/* In place of a state: what was seen. */
static const char *tcp_words(const char *state)
{
	static const struct {
		const char *state, *words;
	} all[] = {
		{ "foreign-answer", "something that is not the coordinator answers" },
		{ "closed", "closed without a word" },
		{ "silent", "connected, and no answer" },
		{ "unreachable", "no connection" },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (strcmp(all[i].state, state) == 0)
			return all[i].words;
	return "not known";
}

static void print_tcp(const struct ctl *ctl, const json_t *tcp)
{
	const char *state = json_string_value(json_object_get(tcp, "state"));
	char a[CTL_CELL_BYTES];

	fprintf(ctl->out, LABEL, "tcp443");
	if (state && strcmp(state, "ok") == 0) {
		fprintf(ctl->out, "ok, %s\n", ctl_rtt(json_object_get(tcp, "connect_ms"), a));
		return;
	}
	fputs(state ? tcp_words(state) : "not known", ctl->out);
	if (json_is_string(json_object_get(tcp, "error")))
		fprintf(ctl->out, ": %s", ctl_text(json_object_get(tcp, "error"), a));
	fputc('\n', ctl->out);
}

static void print_captive(const struct ctl *ctl, const json_t *answer)
{
	const json_t *seen = json_object_get(answer, "captive_seen");
	char a[CTL_CELL_BYTES];

	fprintf(ctl->out, LABEL "%s", "captive", ctl_known(json_object_get(answer, "captive"), a));
	if (json_is_string(seen))
		fprintf(ctl->out, ": %s", ctl_text(seen, a));
	fputs(json_is_true(json_object_get(answer, "udp_blocked")) ? "; only TCP passes\n" : "\n", ctl->out);
}

static void print_coordinator(const struct ctl *ctl, const json_t *c, bool is_first)
{
	char name[CTL_CELL_BYTES], tcp[CTL_CELL_BYTES], udp[CTL_CELL_BYTES], state[CTL_CELL_BYTES];
	const json_t *error = json_object_get(c, "error");
	char line[512];

	fprintf(ctl->out, LABEL "%s: %s, tcp %s, udp %s%s", is_first ? "coordinators" : "",
		ctl_text(json_object_get(c, "name"), name), ctl_text(json_object_get(c, "state"), state),
		ctl_rtt(json_object_get(c, "rtt_ms"), tcp), ctl_rtt(json_object_get(c, "udp_rtt_ms"), udp),
		json_is_true(json_object_get(c, "preferred")) ? " (preferred)" : "");
	ctl_print_proxy(ctl, c);
	if (json_is_string(error)) {
		log_escape(line, sizeof(line), json_string_value(error), strlen(json_string_value(error)));
		fprintf(ctl->out, ": %s", line);
	}
	fputc('\n', ctl->out);
}

/* What the proxy does, or what is wrong with it. */
static void print_proxy(const struct ctl *ctl, const json_t *c)
{
	const json_t *proxy = json_object_get(c, "proxy");
	const char *error = json_string_value(json_object_get(proxy, "error"));
	char endpoint[CTL_CELL_BYTES], name[CTL_CELL_BYTES], text[512];

	if (!json_is_object(proxy))
		return;
	fprintf(ctl->out, LABEL "%s to %s: ", "proxy", ctl_text(json_object_get(proxy, "endpoint"), endpoint),
		ctl_text(json_object_get(c, "name"), name));
	if (error) {
		log_escape(text, sizeof(text), error, strlen(error));
		fprintf(ctl->out, "it %s\n", text);
		return;
	}
	fputs(json_is_true(json_object_get(proxy, "in_use")) ? "in use\n" : "not in use\n", ctl->out);
}

static void print_clock(const struct ctl *ctl, const json_t *offset)
{
	fprintf(ctl->out, LABEL, "clock");
	if (json_is_number(offset))
		fprintf(ctl->out, "%+.2f s\n", json_number_value(offset));
	else
		fputs("not known\n", ctl->out);
}

/* An interface is a name, or an object with "name" and "addresses". */
static void print_interface(const struct ctl *ctl, const json_t *i, bool is_first)
{
	const json_t *address;
	char a[CTL_CELL_BYTES];
	size_t n;

	fprintf(ctl->out, LABEL "%s", is_first ? "interfaces" : "",
		ctl_text(json_is_object(i) ? json_object_get(i, "name") : i, a));
	json_array_foreach(json_object_get(i, "addresses"), n, address)
		fprintf(ctl->out, " %s", ctl_text(address, a));
	fputc('\n', ctl->out);
}

/* What the daemon did not wait for any longer. */
static void print_pending(const struct ctl *ctl, const json_t *pending)
{
	const json_t *name;
	char a[CTL_CELL_BYTES];
	size_t i;

	json_array_foreach(pending, i, name)
		fprintf(ctl->out, i == 0 ? LABEL "%s" : "%s%s", i == 0 ? "measuring" : ", ", ctl_text(name, a));
	if (json_array_size(pending) > 0)
		fputs(": ask again\n", ctl->out);
}

static void print_words(const struct ctl *ctl, const json_t *answer)
{
	const json_t *entry;
	char a[CTL_CELL_BYTES];
	size_t i;

	print_udp(ctl, "udp4", json_object_get(answer, "udp4"));
	print_udp(ctl, "udp6", json_object_get(answer, "udp6"));
	fprintf(ctl->out, LABEL "%s\n", "udp blocked", ctl_known(json_object_get(answer, "udp_blocked"), a));
	print_mapping(ctl, answer);
	print_lifetime(ctl, answer);
	print_mtu(ctl, answer);
	print_tcp(ctl, json_object_get(answer, "tcp443"));
	ctl_print_portmap(ctl, json_object_get(answer, "portmap"));
	print_captive(ctl, answer);
	json_array_foreach(json_object_get(answer, "coordinators"), i, entry)
		print_coordinator(ctl, entry, i == 0);
	json_array_foreach(json_object_get(answer, "coordinators"), i, entry)
		print_proxy(ctl, entry);
	print_clock(ctl, json_object_get(answer, "clock_offset_s"));
	json_array_foreach(json_object_get(answer, "interfaces"), i, entry)
		print_interface(ctl, entry, i == 0);
	print_pending(ctl, json_object_get(answer, "pending"));
}

static int check_once(struct ctl *ctl, bool is_repeated)
{
	char a[CTL_CELL_BYTES];
	json_t *answer;
	int code = ctl_ask_take(ctl, json_pack("{s:s}", "cmd", "netcheck"), "warren.netcheck", CTL_NETCHECK_TIMEOUT_MS,
				&answer);

	if (code != EXIT_YES)
		return code;
	if (ctl->is_json) {
		ctl_print_json(ctl, answer);
	} else {
		if (is_repeated)
			fprintf(ctl->out, "-- %s\n", ctl_clock(json_object_get(answer, "time"), a));
		print_words(ctl, answer);
		fflush(ctl->out);
	}
	json_decref(answer);
	return EXIT_YES;
}

int ctl_netcheck(struct ctl *ctl)
{
	double every_s;
	int code;

	if (!ctl_seconds(ctl, "every", EVERY_MIN_S, EVERY_MAX_S, 0, &every_s))
		return EXIT_BAD_USAGE;
	if (every_s <= 0)
		return check_once(ctl, false);
	ctl_repeat_begin(ctl);
	do
		code = check_once(ctl, true);
	while (code == EXIT_YES && !ferror(ctl->out) && ctl_pause(ctl, every_s));
	return ctl_is_stopped(ctl) ? EXIT_YES : code;
}
