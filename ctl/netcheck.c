#include <string.h>

#include "ctl/ctl.h"
#include "daemon/base/log.h"

/* Two of the loop's rounds of binds fit: the daemon asks its coordinators before it answers. */
#define NETCHECK_TIMEOUT_MS 10000

static void print_udp(const struct ctl *ctl, const char *label, const json_t *family)
{
	const json_t *ok = json_object_get(family, "ok");
	char a[CTL_CELL_BYTES];

	fprintf(ctl->out, "%-14s", label);
	if (json_is_true(ok))
		fprintf(ctl->out, "ok, %s\n", ctl_text(json_object_get(family, "endpoint"), a));
	else
		fprintf(ctl->out, "%s\n", json_is_false(ok) ? "none" : "not known");
}

static void print_coordinator(const struct ctl *ctl, const json_t *c, bool is_first)
{
	char name[CTL_CELL_BYTES], tcp[CTL_CELL_BYTES], udp[CTL_CELL_BYTES], state[CTL_CELL_BYTES];

	fprintf(ctl->out, "%-14s%s: %s, tcp %s, udp %s", is_first ? "coordinators" : "",
		ctl_text(json_object_get(c, "name"), name), ctl_text(json_object_get(c, "state"), state),
		ctl_rtt(json_object_get(c, "rtt_ms"), tcp), ctl_rtt(json_object_get(c, "udp_rtt_ms"), udp));
	ctl_print_proxy(ctl, c);
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
	fprintf(ctl->out, "%-14s%s to %s: ", "proxy", ctl_text(json_object_get(proxy, "endpoint"), endpoint),
		ctl_text(json_object_get(c, "name"), name));
	if (error) {
		log_escape(text, sizeof(text), error, strlen(error));
		fprintf(ctl->out, "it %s\n", text);
		return;
	}
	fputs(json_is_true(json_object_get(proxy, "in_use")) ? "in use\n" : "not in use\n", ctl->out);
}

/* An interface is a name, or an object with "name" and "addresses". */
static void print_interface(const struct ctl *ctl, const json_t *i, bool is_first)
{
	const json_t *address;
	char a[CTL_CELL_BYTES];
	size_t n;

	fprintf(ctl->out, "%-14s%s", is_first ? "interfaces" : "",
		ctl_text(json_is_object(i) ? json_object_get(i, "name") : i, a));
	json_array_foreach(json_object_get(i, "addresses"), n, address)
		fprintf(ctl->out, " %s", ctl_text(address, a));
	fputc('\n', ctl->out);
}

int ctl_netcheck(struct ctl *ctl)
{
	const json_t *entry;
	char a[CTL_CELL_BYTES];
	json_t *answer;
	size_t i;
	int code = ctl_ask_take(ctl, json_pack("{s:s}", "cmd", "netcheck"), "warren.netcheck", NETCHECK_TIMEOUT_MS,
				&answer);

	if (code != EXIT_YES)
		return code;
	if (ctl->is_json) {
		ctl_print_json(ctl, answer);
	} else {
		print_udp(ctl, "udp4", json_object_get(answer, "udp4"));
		print_udp(ctl, "udp6", json_object_get(answer, "udp6"));
		fprintf(ctl->out, "%-14s%s\n", "mapping", ctl_text(json_object_get(answer, "mapping"), a));
		fprintf(ctl->out, "%-14s%s\n", "filtering", ctl_text(json_object_get(answer, "filtering"), a));
		fprintf(ctl->out, "%-14s%s\n", "udp blocked", ctl_text(json_object_get(answer, "udp_blocked"), a));
		ctl_print_portmap(ctl, json_object_get(answer, "portmap"));
		json_array_foreach(json_object_get(answer, "coordinators"), i, entry)
			print_coordinator(ctl, entry, i == 0);
		json_array_foreach(json_object_get(answer, "coordinators"), i, entry)
			print_proxy(ctl, entry);
		json_array_foreach(json_object_get(answer, "interfaces"), i, entry)
			print_interface(ctl, entry, i == 0);
	}
	json_decref(answer);
	return EXIT_YES;
}
