/* The daemon's lines, and which of them it makes. */
#include <string.h>

#include "ctl/ctl.h"

/* Between two looks for what is new. */
#define FOLLOW_SECONDS 0.5

static const char *const levels[] = { "error", "warn", "info", "debug" };
#define N_LEVELS (sizeof(levels) / sizeof(levels[0]))

/* "2026-01-02T12:44:03Z info: ..." is of level 2; of what is no such line, the last. */
static size_t level_of(const char *line)
{
	const char *word = strchr(line, ' ');

	for (size_t i = 0; word && i < N_LEVELS; i++)
		if (strncmp(word + 1, levels[i], strlen(levels[i])) == 0 && word[1 + strlen(levels[i])] == ':')
			return i;
	return N_LEVELS - 1;
}

/* Leaves out what is of less weight than was asked for. */
static void keep_level(const struct ctl *ctl, json_t *lines)
{
	size_t wanted = 0;

	if (ctl->n_operands == 0)
		return;
	while (wanted + 1 < N_LEVELS && strcmp(levels[wanted], ctl->operands[0]) != 0)
		wanted++;
	for (size_t i = json_array_size(lines); i-- > 0;) {
		const char *line = json_string_value(json_array_get(lines, i));

		if (!line || level_of(line) > wanted)
			json_array_remove(lines, i);
	}
}

static void print(const struct ctl *ctl, const json_t *answer)
{
	const json_t *line;
	size_t i;

	if (json_is_true(json_object_get(answer, "missed")))
		fputs("warrenctl: there were more lines than could be kept\n", ctl->err);
	json_array_foreach(json_object_get(answer, "lines"), i, line)
		fprintf(ctl->out, "%s\n", json_string_value(line) ? json_string_value(line) : "");
}

/* What came since *since. */
static int look(struct ctl *ctl, json_int_t *since, bool is_first)
{
	json_t *answer, *lines;
	int code = ctl_ask_take(ctl, json_pack("{s:s, s:I}", "cmd", "log", "since", *since), "warren.log",
				CTL_TIMEOUT_MS, &answer);

	if (code != EXIT_YES)
		return code;
	lines = json_object_get(answer, "lines");
	keep_level(ctl, lines);
	if (!ctl->is_json)
		print(ctl, answer);
	else if (is_first || json_array_size(lines) > 0)
		ctl_print_json(ctl, answer);
	*since = json_integer_value(json_object_get(answer, "next"));
	json_decref(answer);
	return EXIT_YES;
}

/* A daemon that is away for a while, as for a restart, is waited for, with one word about it. */
static int follow(struct ctl *ctl)
{
	FILE *err = ctl->err, *nowhere = fopen("/dev/null", "we");
	json_int_t since = 0;
	int code;

	if (!nowhere)
		return ctl_fail(ctl, "cannot be opened: ", "/dev/null");
	ctl_repeat_begin(ctl);
	code = look(ctl, &since, true);
	/* What is wrong from the start will not mend itself. */
	while (code == EXIT_YES && fflush(ctl->out) == 0 && !ferror(ctl->out) && ctl_pause(ctl, FOLLOW_SECONDS)) {
		code = look(ctl, &since, false);
		if (code == EXIT_NO && ctl_is_stopped(ctl))
			code = EXIT_YES;
		ctl->err = code == EXIT_NO_DAEMON ? nowhere : err;
		if (code == EXIT_NO_DAEMON)
			code = EXIT_YES;
	}
	ctl->err = err;
	fclose(nowhere);
	return code;
}

int ctl_log(struct ctl *ctl)
{
	json_int_t since = 0;

	return ctl_value(ctl, "follow") ? follow(ctl) : look(ctl, &since, true);
}

int ctl_log_level(struct ctl *ctl)
{
	json_t *answer, *request = ctl->n_operands > 0 ?
					   json_pack("{s:s, s:s}", "cmd", "set_log_level", "level", ctl->operands[0]) :
					   json_pack("{s:s}", "cmd", "log_level");
	char a[CTL_CELL_BYTES];
	int code = ctl_ask_take(ctl, request, "warren.log_level", CTL_TIMEOUT_MS, &answer);

	if (code != EXIT_YES)
		return code;
	if (ctl->is_json)
		ctl_print_json(ctl, answer);
	else
		fprintf(ctl->out, "%s\n", ctl_text(json_object_get(answer, "level"), a));
	json_decref(answer);
	return EXIT_YES;
}
