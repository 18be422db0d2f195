/* Completion: the shells' scripts ask `warrenctl __complete WORD...`, which knows the table of commands and asks the daemon for
 * names. A line is a word and, behind a TAB, what it is for. */
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"

static const char bash[] = "# bash completion for warrenctl(8); made by: warrenctl completion bash\n"
			   "_warrenctl()\n"
			   "{\n"
			   "	local line words IFS=$' \\t\\n'\n"
			   "	# COMP_WORDS is cut at '=' and ':'; the line itself is not.\n"
			   "	read -ra words <<<\"${COMP_LINE:0:COMP_POINT}\"\n"
			   "	[[ ${COMP_LINE:0:COMP_POINT} == *[[:space:]] ]] && words+=('')\n"
			   "	COMPREPLY=()\n"
			   "	while IFS=$'\\t' read -r line _; do\n"
			   "		# Of --option=value bash replaces what stands behind the '='.\n"
			   "		[[ $COMP_WORDBREAKS == *=* ]] && line=${line#--*=}\n"
			   "		COMPREPLY+=(\"$line\")\n"
			   "	done < <(warrenctl __complete \"${words[@]:1}\" 2>/dev/null)\n"
			   "}\n"
			   "complete -o default -F _warrenctl warrenctl\n";

static const char zsh[] = "#compdef warrenctl\n"
			  "# zsh completion for warrenctl(8); made by: warrenctl completion zsh\n"
			  "_warrenctl() {\n"
			  "	local -a lines described\n"
			  "	local line\n"
			  "	lines=(\"${(@f)$(warrenctl __complete \"${(@)words[2,CURRENT]}\" 2>/dev/null)}\")\n"
			  "	for line in $lines; do\n"
			  "		described+=(\"${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}\")\n"
			  "	done\n"
			  "	if (( $#described )); then\n"
			  "		_describe 'warrenctl' described\n"
			  "	else\n"
			  "		_files\n"
			  "	fi\n"
			  "}\n"
			  "_warrenctl \"$@\"\n";

static const char fish[] = "# fish completion for warrenctl(8); made by: warrenctl completion fish\n"
			   "function __warrenctl_complete\n"
			   "	set -l words (commandline -opc)\n"
			   "	set -e words[1]\n"
			   "	warrenctl __complete $words (commandline -ct) 2>/dev/null\n"
			   "end\n"
			   "complete -c warrenctl -f -a '(__warrenctl_complete)'\n"
			   "complete -c warrenctl -n '__fish_contains_opt -s o output' -F\n";

int ctl_completion(struct ctl *ctl)
{
	fputs(ctl->operands[0][0] == 'b' ? bash : ctl->operands[0][0] == 'z' ? zsh : fish, ctl->out);
	return EXIT_YES;
}

/* ---------------------------------------------------------------- what may stand there */

/* A candidate, if the word at the cursor begins like it. `before`: what stands before it in that word ("--state="). */
static void offer(const struct ctl *ctl, const char *word, const char *before, const char *candidate, const char *help)
{
	if (strncmp(candidate, word, strlen(word)) == 0)
		fprintf(ctl->out, "%s%s\t%s\n", before, candidate, help);
}

static void offer_choices(const struct ctl *ctl, const char *word, const char *before, const char *choices,
			  const char *help)
{
	while (*choices) {
		char one[64];
		size_t len = strcspn(choices, "| ]");

		snprintf(one, sizeof(one), "%.*s", (int)len, choices);
		offer(ctl, word, before, one, help);
		if (choices[len] != '|') /* behind a blank is what follows the choice */
			break;
		choices += len + 1;
	}
}

static void offer_peers(struct ctl *ctl, const char *word, const char *before)
{
	FILE *err = ctl->err, *nowhere = fopen("/dev/null", "we");
	const json_t *peer;
	json_t *answer;
	size_t i;
	int code;

	if (!nowhere)
		return;
	ctl->err = nowhere; /* a complaint in the middle of a line helps nobody */
	code = ctl_ask_take(ctl, json_pack("{s:s}", "cmd", "peers"), "warren.peers", 1000, &answer);
	ctl->err = err;
	fclose(nowhere);
	if (code != EXIT_YES)
		return;
	json_array_foreach(json_object_get(answer, "peers"), i, peer) {
		char name[CTL_CELL_BYTES], path[CTL_CELL_BYTES];

		offer(ctl, word, before, ctl_text(json_object_get(peer, "name"), name),
		      ctl_path(json_object_get(peer, "path"), path));
	}
	json_decref(answer);
}

static void offer_networks(const struct ctl *ctl, const char *word, const char *before)
{
	char pattern[256];
	glob_t found;

	snprintf(pattern, sizeof(pattern), "%s/*.sock", ctl->socket_dir);
	if (glob(pattern, 0, NULL, &found) != 0)
		return;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		const char *name = strrchr(found.gl_pathv[i], '/') + 1;
		char net[128];

		snprintf(net, sizeof(net), "%.*s", (int)(strlen(name) - strlen(".sock")), name);
		offer(ctl, word, before, net, "network");
	}
	globfree(&found);
}

static void offer_value(struct ctl *ctl, const struct ctl_option *o, const char *word, const char *before)
{
	if (o->choices)
		offer_choices(ctl, word, before, o->choices, o->help);
	else if (strcmp(o->value, "PEER") == 0)
		offer_peers(ctl, word, before);
	else if (strcmp(o->value, "NET") == 0)
		offer_networks(ctl, word, before);
}

static void offer_options(const struct ctl *ctl, const struct ctl_option *options, const char *word)
{
	for (; options && options->name; options++) {
		char text[64];

		snprintf(text, sizeof(text), "--%s", options->name);
		offer(ctl, word, "", text, options->help);
	}
}

/* Only the first operand is one of several words. */
static void offer_operand(struct ctl *ctl, const struct ctl_command *c, unsigned n_before, const char *word)
{
	if (ctl_choices(c->operands)) {
		if (n_before == 0)
			offer_choices(ctl, word, "", ctl_choices(c->operands), c->help);
	} else if (strstr(c->operands, "PEER"))
		offer_peers(ctl, word, "");
	else if (strstr(c->operands, "COMMAND"))
		for (c = ctl_commands; c->name; c++)
			offer(ctl, word, "", c->name, c->help);
}

/* ---------------------------------------------------------------- where the cursor is */

static const struct ctl_option *option_of(const struct ctl_option *options, const char *word)
{
	size_t len = strcspn(word, "=");

	for (; options && options->name; options++)
		if (word[1] == '-' ?
			    strlen(options->name) == len - 2 && strncmp(options->name, word + 2, len - 2) == 0 :
			    options->letter && options->letter == word[1])
			return options;
	return NULL;
}

static const struct ctl_option *known_option(const struct ctl_command *c, const char *word)
{
	const struct ctl_option *o = c ? option_of(c->options, word) : NULL;

	return o ? o : option_of(ctl_global_options, word);
}

/* Does the option want its value in the word that follows? */
static bool wants_next(const struct ctl_option *o, const char *word)
{
	return o && o->value && o->value[0] != '[' && !strchr(word, '=') && (word[1] == '-' || word[2] == '\0');
}

int ctl_complete(struct ctl *ctl, int n_words, char **words)
{
	const char *word = n_words > 0 ? words[n_words - 1] : "", *equals = strchr(word, '=');
	const struct ctl_option *awaited = NULL;
	const struct ctl_command *c = NULL;
	unsigned n_operands = 0;

	for (int i = 0; i + 1 < n_words; i++) {
		if (awaited) {
			/* -n and -s say whom to ask for names. */
			if (strcmp(awaited->name, "net") == 0)
				ctl->net = words[i];
			else if (strcmp(awaited->name, "socket") == 0)
				ctl->socket = words[i];
			awaited = NULL;
		} else if (words[i][0] == '-' && words[i][1] != '\0') {
			const struct ctl_option *o = known_option(c, words[i]);

			awaited = wants_next(o, words[i]) ? o : NULL;
		} else if (!c) {
			c = ctl_command_find(words[i]);
			if (!c)
				return EXIT_NO;
		} else {
			n_operands++;
		}
	}
	if (awaited) {
		offer_value(ctl, awaited, word, "");
	} else if (word[0] == '-' && equals && known_option(c, word) && known_option(c, word)->value) {
		char before[64];

		snprintf(before, sizeof(before), "%.*s=", (int)(equals - word), word);
		offer_value(ctl, known_option(c, word), equals + 1, before);
	} else if (word[0] == '-') {
		offer_options(ctl, c ? c->options : NULL, word);
		offer_options(ctl, ctl_global_options, word);
	} else if (!c) {
		for (c = ctl_commands; c->name; c++)
			offer(ctl, word, "", c->name, c->help);
	} else if (n_operands < c->max_operands) {
		offer_operand(ctl, c, n_operands, word);
	}
	return EXIT_YES;
}
