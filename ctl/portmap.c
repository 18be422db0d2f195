/* The part of `netcheck` that tells of the gateway's port mapping. */
#include <string.h>

#include "ctl/ctl.h"

static const char *text_of(const json_t *o, const char *key, char out[static CTL_CELL_BYTES])
{
	return ctl_text(json_object_get(o, key), out);
}

static void print_protocol(const struct ctl *ctl, const char *name, const json_t *p, bool is_first)
{
	char state[CTL_CELL_BYTES], error[CTL_CELL_BYTES];

	fprintf(ctl->out, "%s%s %s", is_first ? "" : ", ", name, text_of(p, "state", state));
	if (json_is_string(json_object_get(p, "error")))
		fprintf(ctl->out, " (%s)", text_of(p, "error", error));
}

static void print_mapping(const struct ctl *ctl, const json_t *m)
{
	char protocol[CTL_CELL_BYTES], port[CTL_CELL_BYTES], a[CTL_CELL_BYTES], by[CTL_CELL_BYTES];

	fprintf(ctl->out, "%-14s%s %s ", "", text_of(m, "protocol", protocol), text_of(m, "port", port));
	if (!json_is_true(json_object_get(m, "granted"))) {
		fprintf(ctl->out, "is not mapped: %s\n",
			json_is_string(json_object_get(m, "error")) ? text_of(m, "error", a) : "not asked yet");
		return;
	}
	fprintf(ctl->out, "is %s by %s", text_of(m, "external", a), text_of(m, "by", by));
	if (json_is_integer(json_object_get(m, "lifetime_s")))
		fprintf(ctl->out, ", for %s s", text_of(m, "lifetime_s", a));
	fputc('\n', ctl->out);
}

static void print_mappings(const struct ctl *ctl, const json_t *family, bool granted_only)
{
	const json_t *m;
	size_t i;

	json_array_foreach(json_object_get(family, "mappings"), i, m)
		if (!granted_only || json_is_true(json_object_get(m, "granted")))
			print_mapping(ctl, m);
}

void ctl_print_portmap(const struct ctl *ctl, const json_t *portmap)
{
	const json_t *v4 = json_object_get(portmap, "ipv4");
	char a[CTL_CELL_BYTES], b[CTL_CELL_BYTES];

	fprintf(ctl->out, "%-14s", "portmap");
	if (!json_is_object(v4)) {
		fputs(json_is_false(json_object_get(portmap, "enabled")) ? "off\n" : "not known\n", ctl->out);
		return;
	}
	if (json_is_string(json_object_get(v4, "why_not"))) {
		fprintf(ctl->out, "nobody is asked: %s\n", text_of(v4, "why_not", a));
	} else {
		print_protocol(ctl, "pcp", json_object_get(v4, "pcp"), true);
		print_protocol(ctl, "nat-pmp", json_object_get(v4, "nat_pmp"), false);
		print_protocol(ctl, "upnp", json_object_get(v4, "upnp"), false);
		fprintf(ctl->out, "\n%-14sgateway %s, outside %s%s\n", "", text_of(v4, "gateway", a),
			json_is_string(json_object_get(v4, "external")) ? text_of(v4, "external", b) : "not known",
			json_is_true(json_object_get(v4, "double_nat")) ? ": there is another NAT behind it" : "");
		print_mappings(ctl, v4, false);
	}
	print_mappings(ctl, json_object_get(portmap, "ipv6"), true);
}
