#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"
#include "daemon/base/nearest.h"

const struct ctl_option ctl_global_options[] = {
	{ "net", 'n', "NET", NULL, "the network: socket " CONTROL_DIR "/NET.sock" },
	{ "socket", 's', "PATH", NULL, "the daemon's control socket" },
	{ "json", 0, NULL, NULL, "one JSON document (--json=1 insists on this version)" },
	{ "plain", 0, NULL, NULL, "rows of whole values with TABs between them" },
	{ "no-header", 0, NULL, NULL, "tables without their first line" },
	{ "wide", 'w', NULL, NULL, "all columns, keys in full" },
	{ "color", 0, "WHEN", "auto|always|never", "colour on a terminal (auto)" },
	{ "help", 'h', NULL, NULL, "say how the command is used" },
	{ 0 },
};

static int usage(const struct ctl *ctl, const char *hint_for)
{
	fprintf(ctl->err, "see: warrenctl %s%s--help\n", hint_for ? hint_for : "", hint_for ? " " : "");
	return EXIT_BAD_USAGE;
}

static const struct ctl_option *find_option(const struct ctl_option *options, const char *name, size_t len, char letter)
{
	for (; options && options->name; options++)
		if (name ? strlen(options->name) == len && strncmp(options->name, name, len) == 0 :
			   options->letter == letter)
			return options;
	return NULL;
}

static bool is_among(const char *choices, const char *value)
{
	size_t len = strlen(value);

	for (const char *p = choices; p; p = strchr(p, '|')) {
		p += *p == '|';
		if (strncmp(p, value, len) == 0 && strchr("| ]", p[len])) /* or at the end */
			return true;
	}
	return false;
}

const char *ctl_choices(const char *operands)
{
	operands += operands[0] == '[';
	return operands[0] >= 'a' && operands[0] <= 'z' ? operands : NULL;
}

static int set_global(struct ctl *ctl, const struct ctl_option *o, const char *value)
{
	if (strcmp(o->name, "net") == 0) {
		/* It becomes a part of a path. */
		if (value[0] == '\0' || value[0] == '.' || strchr(value, '/')) {
			fprintf(ctl->err, "warrenctl: \"%s\" is no network's name\n", value);
			return EXIT_BAD_USAGE;
		}
		ctl->net = value;
	} else if (strcmp(o->name, "socket") == 0) {
		ctl->socket = value;
	} else if (strcmp(o->name, "json") == 0) {
		if (value[0] != '\0' && strcmp(value, "1") != 0) {
			fprintf(ctl->err, "warrenctl: there is no version %s of the JSON documents, only 1\n", value);
			return EXIT_BAD_USAGE;
		}
		ctl->is_json = true;
	} else if (strcmp(o->name, "color") == 0) {
		ctl->color = value[0] == 'n' ? CTL_COLOR_NEVER : value[1] == 'l' ? CTL_COLOR_ALWAYS : CTL_COLOR_AUTO;
	} else if (strcmp(o->name, "plain") == 0) {
		ctl->is_plain = true;
	} else if (strcmp(o->name, "no-header") == 0) {
		ctl->has_no_header = true;
	} else if (strcmp(o->name, "wide") == 0) {
		ctl->is_wide = true;
	} else {
		ctl->is_help = true;
	}
	return EXIT_YES;
}

/* `value` NULL: none was attached. */
static int set_option(struct ctl *ctl, const struct ctl_option *o, const char *value)
{
	if (!o->value && value && strcmp(o->name, "json") != 0) {
		fprintf(ctl->err, "warrenctl: --%s takes no value\n", o->name);
		return usage(ctl, ctl->command ? ctl->command->name : NULL);
	}
	if (o->choices && value && !is_among(o->choices, value)) {
		fprintf(ctl->err, "warrenctl: --%s is one of %s, not \"%s\"\n", o->name, o->choices, value);
		return EXIT_BAD_USAGE;
	}
	for (size_t i = 0; ctl->command && ctl->command->options[i].name; i++)
		if (o == &ctl->command->options[i]) {
			ctl->values[i] = value ? value : "";
			return EXIT_YES;
		}
	return set_global(ctl, o, value ? value : "");
}

static int unknown_option(const struct ctl *ctl, const char *text)
{
	fprintf(ctl->err, "warrenctl: there is no option \"%s\"%s%s\n", text, ctl->command ? " of " : "",
		ctl->command ? ctl->command->name : "");
	return usage(ctl, ctl->command ? ctl->command->name : NULL);
}

/* One word that begins with a dash; *i moves on if the next word is its value. */
static int parse_option(struct ctl *ctl, int argc, char **argv, int *i)
{
	const char *text = argv[*i], *value = NULL;
	const struct ctl_option *o = NULL, *own = ctl->command ? ctl->command->options : NULL;

	if (text[1] == '-') {
		const char *equals = strchr(text, '=');
		size_t len = equals ? (size_t)(equals - text - 2) : strlen(text + 2);

		o = find_option(own, text + 2, len, 0);
		if (!o)
			o = find_option(ctl_global_options, text + 2, len, 0);
		value = equals ? equals + 1 : NULL;
	} else {
		o = find_option(own, NULL, 0, text[1]);
		if (!o)
			o = find_option(ctl_global_options, NULL, 0, text[1]);
		value = text[2] != '\0' ? text + 2 : NULL;
	}
	if (!o)
		return unknown_option(ctl, text);
	if (o->value && o->value[0] != '[' && !value) {
		if (*i + 1 >= argc) {
			fprintf(ctl->err, "warrenctl: %s wants a value: %s\n", text,
				o->choices ? o->choices : o->value);
			return usage(ctl, ctl->command ? ctl->command->name : NULL);
		}
		value = argv[++*i];
	}
	return set_option(ctl, o, value);
}

static int unknown_command(const struct ctl *ctl, const char *word)
{
	const struct ctl_command *best = NULL;

	for (const struct ctl_command *c = ctl_commands; c->name; c++)
		if (nearest_is_close(word, c->name) &&
		    (!best || nearest_distance(word, c->name) < nearest_distance(word, best->name)))
			best = c;
	fprintf(ctl->err, "warrenctl: there is no command \"%s\"", word);
	if (best)
		fprintf(ctl->err, " (did you mean \"%s\"?)", best->name);
	fputc('\n', ctl->err);
	return usage(ctl, NULL);
}

static int parse_word(struct ctl *ctl, const char *word)
{
	const struct ctl_command *c = ctl->command;
	const char *choices;

	if (!c) {
		ctl->command = ctl_command_find(word);
		return ctl->command ? EXIT_YES : unknown_command(ctl, word);
	}
	if (ctl->n_operands == c->max_operands || ctl->n_operands == CTL_OPERANDS_MAX) {
		fprintf(ctl->err, "warrenctl: \"%s\" is one word too many for %s\n", word, c->name);
		return usage(ctl, c->name);
	}
	/* Only the first word is one of several. */
	choices = ctl->n_operands == 0 ? ctl_choices(c->operands) : NULL;
	if (choices && !is_among(choices, word)) {
		fprintf(ctl->err, "warrenctl: %s is followed by one of %.*s, not \"%s\"\n", c->name,
			(int)strcspn(choices, "]"), choices, word);
		return usage(ctl, c->name);
	}
	ctl->operands[ctl->n_operands++] = word;
	return EXIT_YES;
}

int ctl_parse(struct ctl *ctl, int argc, char **argv)
{
	bool has_options = true;
	int code = EXIT_YES;

	for (int i = 1; i < argc && code == EXIT_YES; i++) {
		if (has_options && strcmp(argv[i], "--") == 0)
			has_options = false;
		else if (has_options && strcmp(argv[i], "--version") == 0 && !ctl->command)
			ctl->command = ctl_command_find("version");
		else if (has_options && argv[i][0] == '-' && argv[i][1] != '\0')
			code = parse_option(ctl, argc, argv, &i);
		else
			code = parse_word(ctl, argv[i]);
	}
	if (code != EXIT_YES || ctl->is_help)
		return code;
	if (!ctl->command) {
		ctl_help(ctl, ctl->err);
		return EXIT_BAD_USAGE;
	}
	if (ctl->n_operands < ctl->command->min_operands) {
		fprintf(ctl->err, "warrenctl: %s wants %s\n", ctl->command->name, ctl->command->operands);
		return usage(ctl, ctl->command->name);
	}
	return EXIT_YES;
}

const char *ctl_value(const struct ctl *ctl, const char *option)
{
	for (size_t i = 0; ctl->command->options[i].name; i++)
		if (strcmp(ctl->command->options[i].name, option) == 0)
			return ctl->values[i];
	return NULL;
}

static bool is_within(double v, double min, double max)
{
	return isfinite(v) && v >= min && v <= max;
}

/* May its value be left out? */
static bool is_optional(const struct ctl *ctl, const char *option)
{
	const struct ctl_option *o = find_option(ctl->command->options, option, strlen(option), 0);

	return o && o->value && o->value[0] == '[';
}

bool ctl_seconds(const struct ctl *ctl, const char *option, double min, double max, double fallback, double *out)
{
	static const struct {
		const char *name;
		double seconds;
	} units[] = { { "", 1 }, { "s", 1 }, { "ms", 0.001 }, { "m", 60 }, { "h", 3600 }, { "d", 86400 } };
	const char *text = ctl_value(ctl, option);
	char *end;
	double v;

	*out = fallback;
	if (!text || (text[0] == '\0' && is_optional(ctl, option)))
		return true;
	v = strtod(text, &end);
	for (size_t i = 0; end != text && i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].name) != 0 || !is_within(v * units[i].seconds, min, max))
			continue;
		*out = v * units[i].seconds;
		return true;
	}
	fprintf(ctl->err, "warrenctl: --%s is a time from %gs to %gs, such as 5s or 2m, not \"%s\"\n", option, min, max,
		text);
	return false;
}

bool ctl_number(const struct ctl *ctl, const char *option, double min, double max, double fallback, double *out)
{
	const char *text = ctl_value(ctl, option);
	char *end;

	*out = fallback;
	if (!text)
		return true;
	*out = strtod(text, &end);
	if (end != text && *end == '\0' && is_within(*out, min, max))
		return true;
	fprintf(ctl->err, "warrenctl: --%s is a number from %g to %g, not \"%s\"\n", option, min, max, text);
	return false;
}

int ctl_usage(const struct ctl *ctl, const char *words, const char *what)
{
	fprintf(ctl->err, "warrenctl: %s%s\n", words, what);
	return usage(ctl, ctl->command->name);
}

int ctl_fail(const struct ctl *ctl, const char *words, const char *what)
{
	fprintf(ctl->err, "warrenctl: %s%s\n", words, what);
	return EXIT_NO;
}
