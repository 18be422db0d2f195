#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"
#include "daemon/base/nearest.h"

/* Of whatever can be looked at again and again. */
/* clang-format off */
#define WATCH { "watch", 0, "[=SEC]", NULL, "again every SEC seconds (2), until Ctrl-C" }
/* clang-format on */

const struct ctl_command ctl_commands[] = {
	{ "status",
	  "",
	  0,
	  0,
	  "what the daemon is, is connected to and complains about",
	  { { "check", 0, NULL, NULL, "print nothing; exit 0 if all is well, 1 if not" }, WATCH },
	  ctl_status },
	{ "peers",
	  "",
	  0,
	  0,
	  "every member the node knows of, and the path to it",
	  { { "state", 0, "STATE", "up|idle|cached|down", "only those in this state" },
	    { "path", 0, "KIND", "lan|direct|relay|tcp|none", "only those on such a path" },
	    WATCH },
	  ctl_peers },
	{ "paths", "[PEER]", 0, 1, "the ways to a peer that were tried, and how they fared", { WATCH }, ctl_paths },
	{ "routes", "", 0, 0, "the networks behind peers, and which of them are used", { WATCH }, ctl_routes },
	{ "ping",
	  "PEER",
	  1,
	  1,
	  "round trips through the tunnel, and the path each took",
	  { { "count", 'c', "N", NULL, "stop after N (4)" },
	    { "interval", 'i', "SECONDS", NULL, "wait between two (1)" },
	    { "until-direct", 0, NULL, NULL, "stop at the first answer over a direct path (count 30)" },
	    { "require", 0, "KIND", "direct", "count only answers over a direct path" } },
	  ctl_ping },
	{ "netcheck",
	  "",
	  0,
	  0,
	  "what the network around this node lets through",
	  { { "every", 0, "TIME", NULL, "again and again, so long apart: 5s, 2m" } },
	  ctl_netcheck },
	{ "top",
	  "",
	  0,
	  0,
	  "peers with all columns, again and again",
	  { { "interval", 'i', "SECONDS", NULL, "wait between two (2)" } },
	  ctl_top },
	{ "whois", "ADDRESS", 1, 1, "whose an address in the network is", { { 0 } }, ctl_whois },
	{ "why", "PEER", 1, 1, "why the path to a peer is what it is, and what would better it", { { 0 } }, ctl_why },
	{ "expose",
	  "PROTOCOL PORT",
	  1,
	  2,
	  "a public endpoint for a tcp or udp port of this host, where its NAT allows one; or: list",
	  { { "seconds", 0, "N", NULL, "for so long; else until it is stopped or the daemon ends" },
	    { "stop", 0, NULL, NULL, "no more" } },
	  ctl_expose },
	{ "wait",
	  "",
	  0,
	  0,
	  "until the daemon is connected, or a peer answers",
	  { { "for", 0, "WHAT", NULL, "up, peer=NAME or direct=NAME (up)" },
	    { "timeout", 0, "SECONDS", NULL, "give up after so long (30)" } },
	  ctl_wait },
	{ "map",
	  "",
	  0,
	  0,
	  "who is registered at this coordinator, and how they reach each other",
	  { { "dot", 0, NULL, NULL, "as a graph for Graphviz" } },
	  ctl_map },
	{ "reload",
	  "",
	  0,
	  0,
	  "read the configuration again, and apply all of it or nothing",
	  { { "dry-run", 0, NULL, NULL, "say what would change, and change nothing" } },
	  ctl_reload },
	{ "config",
	  "show|check [FILE]",
	  1,
	  2,
	  "the configuration in force, as a file that could be used; whether FILE, or the daemon's, could be",
	  { { "origin", 0, NULL, NULL, "show: where each value was written" } },
	  ctl_config },
	{ "up", "", 0, 0, "set the interface up again, after down", { { 0 } }, ctl_up },
	{ "down", "", 0, 0, "set the interface down: no packet passes; the daemon goes on", { { 0 } }, ctl_down },
	{ "rebind",
	  "",
	  0,
	  0,
	  "check everything anew, as after a change of network: coordinators, port mappings, paths",
	  { { 0 } },
	  ctl_rebind },
	{ "init",
	  "NET",
	  1,
	  1,
	  "begin a network on its coordinator's host: keys and configuration",
	  { { "coordinator", 0, "HOST", NULL, "where members reach this host: a name or an address, and :PORT" },
	    { "prefix", 0, "PREFIX", NULL, "the IPv4 addresses of its members (10.x.0.0/16, drawn); or none" },
	    { "prefix6", 0, "PREFIX", NULL, "the IPv6 addresses of its members (fd.../64, drawn); or none" },
	    { "dir", 0, "DIR", NULL, "where to (/etc/warren)" } },
	  ctl_init },
	{ "invite",
	  "[NAME]",
	  0,
	  1,
	  "print a URL that makes one host the member NAME; what became of those that were made",
	  { { "ttl", 0, "TIME", NULL, "how long it can be used: 30m, 7d (24h)" },
	    { "lifetime", 0, "TIME", NULL, "how long the member is one: 90d; else for ever" },
	    { "ip", 0, "ADDRESSES", NULL,
	      "its addresses in the network, with commas between them; else the next ones" },
	    { "group", 0, "GROUPS", NULL, "its groups, with commas between them" },
	    { "route", 0, "PREFIXES", NULL, "the networks behind it that it may route for, with commas between them" },
	    { "again", 0, NULL, NULL, "another key shall take the place of the one invited before" },
	    { "list", 0, NULL, NULL, "print those that were made" },
	    { "revoke", 0, "NAME", NULL, "end those of NAME, used or not; asks the coordinator" },
	    { "signing-key", 0, "FILE", NULL, "the network's secret key (DIR/NET.network-key)" },
	    { "dir", 0, "DIR", NULL, "where init wrote to (/etc/warren)" } },
	  ctl_invite },
	{ "join",
	  "URL",
	  1,
	  1,
	  "become the member that a URL of invite makes; \"-\" reads it from stdin, out of the shell's history",
	  { { "as", 0, "NAME", NULL, "what the network is called here: its files, service and socket" },
	    { "timeout", 0, "TIME", NULL, "how long to wait until it is connected (30s)" },
	    { "dir", 0, "DIR", NULL, "where to (/etc/warren); in another the service is not started" } },
	  ctl_join },
	{ "key",
	  "gen|pub",
	  1,
	  1,
	  "print a new private key; print the public key of the one on stdin",
	  { { "network", 0, NULL, NULL, "a network key, which signs certificates; no node's" } },
	  ctl_key },
	{ "cert",
	  "sign|show NAME|FILE",
	  2,
	  2,
	  "print a new certificate that makes NAME a member; say what is in one, and whether it is good",
	  { { "signing-key", 0, "FILE", NULL, "the network's secret key (key gen --network)" },
	    { "public-key", 0, "KEY", NULL, "the member's (key pub)" },
	    { "ip", 0, "ADDRESSES", NULL, "its addresses in the network, with commas between them" },
	    { "days", 0, "N", NULL, "how long it is valid (365); 0: for ever" },
	    { "group", 0, "GROUPS", NULL, "its groups, with commas between them" },
	    { "route", 0, "PREFIXES", NULL, "the networks behind it that it may route for, with commas between them" },
	    { "network-key", 0, "KEY", NULL, "show: the public network key it must be under" } },
	  ctl_cert },
	{ "node",
	  "list|revoke|refresh|rename [NAME|KEY] [NAME]",
	  1,
	  3,
	  "list the members of a coordinator, revoke one, print a certificate that gives one another name",
	  { { "signing-key", 0, "FILE", NULL, "the network's secret key (key gen --network)" },
	    { "certificate", 0, "FILE", NULL,
	      "of the member: to rename it, or where the coordinator does not list it" },
	    { "expires", 0, "TIME", NULL,
	      "how long the list of the revoked is good: 30d, none; else as long as the one before" } },
	  ctl_node },
	{ "capture",
	  "",
	  0,
	  0,
	  "packets of the tunnel as a pcapng file, until Ctrl-C: warrenctl capture | tcpdump -nr -",
	  { { "output", 'o', "FILE", NULL, "a new file; -: standard output" },
	    { "peer", 0, "PEER", NULL, "only packets from and to this peer" },
	    { "count", 'c', "N", NULL, "stop after about N packets" },
	    { "snaplen", 0, "BYTES", NULL, "of each packet only so much (65535)" } },
	  ctl_capture },
	{ "doctor",
	  "",
	  0,
	  0,
	  "what on this host is in the daemon's way, and the command that mends it",
	  { { 0 } },
	  ctl_doctor },
	{ "log",
	  "[error|warn|info|debug]",
	  0,
	  1,
	  "the daemon's latest lines, all or those of a level and above",
	  { { "follow", 'f', NULL, NULL, "and those to come, until Ctrl-C" } },
	  ctl_log },
	{ "log-level",
	  "[error|warn|info|debug]",
	  0,
	  1,
	  "which lines the daemon makes; another level until the next reload or restart",
	  { { 0 } },
	  ctl_log_level },
	{ "bugreport",
	  "",
	  0,
	  0,
	  "one file with all that helps to find a fault, to read before it is sent to anybody",
	  { { "output", 'o', "FILE", NULL, "a new file (warren-report-TIME.tar.gz); -: standard output" },
	    { "anonymize", 0, NULL, NULL, "with stand-ins for names, addresses and keys" } },
	  ctl_bugreport },
	{ "completion",
	  "bash|zsh|fish",
	  1,
	  1,
	  "what that shell reads to complete warrenctl's words",
	  { { 0 } },
	  ctl_completion },
	{ "metrics",
	  "[write FILE]",
	  0,
	  2,
	  "what the daemon counts, as Prometheus reads it; FILE: whole or not at all, for node_exporter",
	  { { 0 } },
	  ctl_metrics },
	{ "version", "", 0, 0, "the version of warrenctl", { { 0 } }, ctl_version },
	{ "help", "[COMMAND]", 0, 1, "this text, or a command's", { { 0 } }, ctl_help_command },
	{ 0 },
};

const struct ctl_command *ctl_command_find(const char *name)
{
	for (const struct ctl_command *c = ctl_commands; c->name; c++)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}

static void print_options(const struct ctl_option *options, FILE *out)
{
	for (const struct ctl_option *o = options; o->name; o++) {
		char left[64];
		const char *value = o->choices ? o->choices : o->value;
		int n = snprintf(left, sizeof(left), "  %c%c%s --%s%s%s", o->letter ? '-' : ' ',
				 o->letter ? o->letter : ' ', o->letter ? "," : " ", o->name,
				 !o->value || o->value[0] == '[' ? "" :
				 o->letter                       ? " " :
								   "=",
				 value && o->value ? value : "");

		fprintf(out, "%-30s%s%s\n", left, n > 29 ? "  " : "", o->help);
	}
}

void ctl_help(const struct ctl *ctl, FILE *out)
{
	const struct ctl_command *c = ctl->command;

	if (c) {
		fprintf(out, "usage: warrenctl [-n NET | -s SOCKET] %s%s%s%s\n\n%s\n", c->name,
			c->operands[0] ? " " : "", c->operands, c->options[0].name ? " [option ...]" : "", c->help);
		if (c->options[0].name)
			fputs("\noptions:\n", out);
		print_options(c->options, out);
		fputs("\noptions of every command:\n", out);
	} else {
		fputs("usage: warrenctl [-n NET | -s SOCKET] COMMAND [operand] [option ...]\n\ncommands:\n", out);
		for (c = ctl_commands; c->name; c++)
			fprintf(out, "  %-9s %-13s %s\n", c->name, c->operands, c->help);
		fputs("\noptions:\n", out);
	}
	print_options(ctl_global_options, out);
}

int ctl_help_command(struct ctl *ctl)
{
	struct ctl copy = *ctl;

	copy.command = NULL;
	if (ctl->n_operands > 0) {
		copy.command = ctl_command_find(ctl->operands[0]);
		if (!copy.command) {
			fprintf(ctl->err, "warrenctl: there is no command \"%s\"\n", ctl->operands[0]);
			return EXIT_BAD_USAGE;
		}
	}
	ctl_help(&copy, ctl->out);
	return EXIT_YES;
}

int ctl_version(struct ctl *ctl)
{
	if (ctl->is_json) {
		json_t *document = json_pack("{s:s,s:s}", "schema", "warren.version/1", "version", WARREN_VERSION);

		ctl_print_json(ctl, document);
		json_decref(document);
	} else {
		fprintf(ctl->out, "warrenctl %s\n", WARREN_VERSION);
	}
	return EXIT_YES;
}

/* https://no-color.org: any value but an empty one. */
static bool wants_color(const struct ctl *ctl)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	if (ctl->color != CTL_COLOR_AUTO)
		return ctl->color == CTL_COLOR_ALWAYS;
	return ctl->columns > 0 && (!no_color || no_color[0] == '\0') && (!term || strcmp(term, "dumb") != 0);
}

static int run_watched(struct ctl *ctl)
{
	double seconds;

	if (!ctl_seconds(ctl, "watch", 0.1, 3600, CTL_WATCH_SECONDS, &seconds))
		return EXIT_BAD_USAGE;
	return ctl_watch(ctl, ctl->command->run, seconds);
}

int ctl_run(struct ctl *ctl, int argc, char **argv)
{
	int code;

	if (argc >= 2 && strcmp(argv[1], "__complete") == 0)
		return ctl_complete(ctl, argc - 2, argv + 2);
	code = ctl_parse(ctl, argc, argv);

	if (code != EXIT_YES)
		return code;
	if (ctl->is_help) {
		ctl_help(ctl, ctl->out);
		return EXIT_YES;
	}
	ctl->is_colored = wants_color(ctl);
	if (ctl_value(ctl, "watch"))
		return run_watched(ctl);
	return ctl->command->run(ctl);
}
