#include <string.h>

#include "ctl/ctl.h"

static bool is_json_true(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

/* "endpoint-independent", "UDP blocked" */
static const char *nat_text(const json_t *nat, char out[static CTL_CELL_BYTES])
{
	if (is_json_true(nat, "udp_blocked"))
		snprintf(out, CTL_CELL_BYTES, "UDP blocked");
	else
		ctl_text(json_object_get(nat, "mapping"), out);
	return out;
}

/* "relay/tcp", "direct", "-" */
static const char *path_text(const json_t *path, char out[static CTL_CELL_BYTES])
{
	char kind[CTL_CELL_BYTES], transport[CTL_CELL_BYTES];

	ctl_text(json_object_get(path, "kind"), kind);
	if (strcmp(kind, "relay") == 0)
		snprintf(out, CTL_CELL_BYTES, "relay/%.60s", ctl_text(json_object_get(path, "transport"), transport));
	else
		memcpy(out, kind, sizeof(kind));
	return out;
}

/* ---------------------------------------------------------------- tables */

static void print_members(const struct ctl *ctl, const json_t *members)
{
	static const struct ctl_column columns[] = { { "MEMBER", false },   { "ADDRESS", false },  { "ONLINE", false },
						     { "TCP FROM", false }, { "UDP FROM", false }, { "NAT", false },
						     { "RTT", false } };
	struct ctl_table *t = ctl_table_new(columns, sizeof(columns) / sizeof(columns[0]));
	char a[CTL_CELL_BYTES];
	const json_t *m;
	size_t i;

	json_array_foreach(members, i, m) {
		ctl_table_row(t);
		ctl_table_cell(t, 0, "%s", ctl_text(json_object_get(m, "name"), a));
		ctl_table_cell(t, 0, "%s", ctl_text(json_array_get(json_object_get(m, "ips"), 0), a));
		ctl_table_cell(t, is_json_true(m, "online") ? 32 : 2, "%s", ctl_text(json_object_get(m, "online"), a));
		ctl_table_cell(t, 0, "%s", ctl_text(json_object_get(m, "tcp"), a));
		ctl_table_cell(t, 0, "%s", ctl_text(json_object_get(m, "udp"), a));
		ctl_table_cell(t, 0, "%s", nat_text(json_object_get(m, "nat"), a));
		ctl_table_cell(t, 0, "%s", ctl_rtt(json_object_get(m, "rtt_ms"), a));
	}
	ctl_table_print_take(t, ctl);
}

static void print_pairs(const struct ctl *ctl, const json_t *pairs)
{
	static const struct ctl_column columns[] = {
		{ "A", false }, { "B", false }, { "A TO B", false }, { "B TO A", false }
	};
	struct ctl_table *t = ctl_table_new(columns, sizeof(columns) / sizeof(columns[0]));
	char a[CTL_CELL_BYTES];
	const json_t *p;
	size_t i;

	json_array_foreach(pairs, i, p) {
		ctl_table_row(t);
		ctl_table_cell(t, 0, "%s", ctl_text(json_object_get(p, "a"), a));
		ctl_table_cell(t, 0, "%s", ctl_text(json_object_get(p, "b"), a));
		ctl_table_cell(t, 0, "%s", path_text(json_object_get(p, "a_path"), a));
		ctl_table_cell(t, 0, "%s", path_text(json_object_get(p, "b_path"), a));
	}
	ctl_table_print_take(t, ctl);
}

/* ---------------------------------------------------------------- a graph */

/* Between quotes a backslash and a quote mean something to Graphviz, and control characters have been escaped by ctl_text. */
static void put_quoted(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		fputc(*text, out);
	}
}

static void put_text(FILE *out, const json_t *v)
{
	char a[CTL_CELL_BYTES];

	put_quoted(out, ctl_text(v, a));
}

static void print_node(FILE *out, const json_t *m)
{
	const json_t *ip = json_array_get(json_object_get(m, "ips"), 0);

	fputs("  \"", out);
	put_text(out, json_object_get(m, "name"));
	fputs("\" [label=\"", out);
	put_text(out, json_object_get(m, "name"));
	if (ip) {
		fputs("\\n", out);
		put_text(out, ip);
	}
	if (json_is_string(json_object_get(m, "tcp"))) {
		fputs("\\n", out);
		put_text(out, json_object_get(m, "tcp"));
	}
	fprintf(out, "\"%s];\n", is_json_true(m, "online") ? "" : ", style=dashed");
}

static bool is_path_of(const json_t *path, const char *kind)
{
	const char *text = json_string_value(json_object_get(path, "kind"));

	return text && strcmp(text, kind) == 0;
}

static void print_edge(FILE *out, const json_t *p)
{
	const json_t *a = json_object_get(p, "a_path"), *b = json_object_get(p, "b_path");
	bool is_relayed = is_path_of(a, "relay") || is_path_of(b, "relay");
	char here[CTL_CELL_BYTES], there[CTL_CELL_BYTES];

	path_text(a, here);
	path_text(b, there);
	fputs("  \"", out);
	put_text(out, json_object_get(p, "a"));
	fputs("\" -- \"", out);
	put_text(out, json_object_get(p, "b"));
	fputs("\" [label=\"", out);
	put_quoted(out, here);
	if (strcmp(here, there) != 0) {
		fputs(" | ", out);
		put_quoted(out, there);
	}
	fprintf(out, "\"%s];\n",
		ctl_is_direct(a) || ctl_is_direct(b) ? "" :
		is_relayed                           ? ", style=dashed" :
						       ", style=dotted");
}

static void print_graph(const struct ctl *ctl, const json_t *map)
{
	const json_t *entry;
	size_t i;

	fputs("graph \"", ctl->out);
	put_text(ctl->out, json_object_get(map, "net"));
	fputs("\" {\n  node [shape=box];\n", ctl->out);
	json_array_foreach(json_object_get(map, "members"), i, entry)
		print_node(ctl->out, entry);
	json_array_foreach(json_object_get(map, "pairs"), i, entry)
		print_edge(ctl->out, entry);
	fputs("}\n", ctl->out);
}

int ctl_map(struct ctl *ctl)
{
	json_t *answer;
	int code = ctl_ask_take(ctl, json_pack("{s:s}", "cmd", "map"), "warren.map", CTL_TIMEOUT_MS, &answer);

	if (code != EXIT_YES)
		return code;
	if (ctl->is_json) {
		ctl_print_json(ctl, answer);
	} else if (ctl_value(ctl, "dot")) {
		print_graph(ctl, answer);
	} else {
		print_members(ctl, json_object_get(answer, "members"));
		fputc('\n', ctl->out);
		print_pairs(ctl, json_object_get(answer, "pairs"));
	}
	if (is_json_true(answer, "truncated"))
		fputs("warrenctl: the network is larger than this\n", ctl->err);
	json_decref(answer);
	return EXIT_YES;
}
