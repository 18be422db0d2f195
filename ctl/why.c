#include <string.h>

#include "ctl/ctl.h"
#include "daemon/base/log.h"

/* Sentences are longer than cells. */
static void print_sentence(const struct ctl *ctl, const char *label, const json_t *v)
{
	const char *text = json_string_value(v);
	char line[1024];

	if (!text)
		return;
	log_escape(line, sizeof(line), text, strlen(text));
	fprintf(ctl->out, "%s%s\n", label, line);
}

/* "endpoint-dependent" in the words of people: easy and hard to get through. */
static const char *nat_words(const json_t *mapping)
{
	const char *text = json_string_value(mapping);

	if (!text || strcmp(text, "unknown") == 0)
		return "NAT: not known";
	if (strcmp(text, "none") == 0)
		return "no NAT";
	if (strcmp(text, "endpoint-independent") == 0)
		return "NAT: one port for all destinations (\"easy\")";
	return "NAT: port changes per destination (\"hard\")";
}

static void print_side(const struct ctl *ctl, const char *label, const json_t *side)
{
	char filtering[CTL_CELL_BYTES], udp[CTL_CELL_BYTES], ipv6[CTL_CELL_BYTES];

	if (!json_is_object(side)) {
		fprintf(ctl->out, "  %-6s not known\n", label);
		return;
	}
	fprintf(ctl->out, "  %-6s %s; filtering %s; UDP %s; IPv6 %s\n", label,
		nat_words(json_object_get(side, "mapping")), ctl_known(json_object_get(side, "filtering"), filtering),
		ctl_known(json_object_get(side, "udp"), udp), ctl_known(json_object_get(side, "ipv6"), ipv6));
}

static void print_search(const struct ctl *ctl, const json_t *search)
{
	char method[CTL_CELL_BYTES], result[CTL_CELL_BYTES];

	if (!json_is_object(search))
		return;
	fprintf(ctl->out, "  %-6s %s: %s; %lld sockets, %lld probes in %lld searches\n", "search",
		ctl_text(json_object_get(search, "method"), method),
		ctl_text(json_object_get(search, "result"), result),
		(long long)json_integer_value(json_object_get(search, "sockets")),
		(long long)json_integer_value(json_object_get(search, "probes")),
		(long long)json_integer_value(json_object_get(search, "searches")));
}

static void print_words(const struct ctl *ctl, const json_t *answer)
{
	const json_t *tried = json_object_get(answer, "tried"), *cause = json_object_get(answer, "cause");
	char a[CTL_CELL_BYTES];
	struct ctl_table *t;

	if (json_is_string(json_object_get(answer, "text"))) {
		print_sentence(ctl, "", json_object_get(answer, "text"));
	} else {
		fprintf(ctl->out, "%s: ", ctl_text(json_object_get(answer, "peer"), a));
		fprintf(ctl->out, "path %s\n", ctl_path(json_object_get(answer, "path"), a));
	}
	print_side(ctl, "here", json_object_get(answer, "here"));
	print_side(ctl, "there", json_object_get(answer, "there"));
	fprintf(ctl->out, "  %-6s %zu pair%s\n", "tried", json_array_size(tried),
		json_array_size(tried) == 1 ? "" : "s");
	print_search(ctl, json_object_get(answer, "search"));
	print_sentence(ctl, "cause    ", cause);
	print_sentence(ctl, "fix      ", json_object_get(answer, "fix"));
	if (json_array_size(tried) > 0) {
		t = ctl_paths_table(false);
		ctl_paths_rows(t, NULL, tried, json_object_get(answer, "time"));
		ctl_table_print_take(t, ctl);
	}
}

int ctl_why(struct ctl *ctl)
{
	const json_t *path;
	json_t *answer;
	int code = ctl_ask_take(ctl, json_pack("{s:s,s:s}", "cmd", "why", "peer", ctl->operands[0]), "warren.why",
				CTL_TIMEOUT_MS, &answer);

	if (code != EXIT_YES)
		return code;
	if (ctl->is_json)
		ctl_print_json(ctl, answer);
	else
		print_words(ctl, answer);
	path = json_object_get(answer, "path");
	code = ctl_is_direct(path) ? EXIT_YES : json_is_object(path) ? EXIT_NOT_DIRECT : EXIT_NO;
	json_decref(answer);
	return code;
}
