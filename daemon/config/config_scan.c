#include <stdbool.h>
#include <string.h>

#include "daemon/config/config_source.h"

struct scan {
	char *p, *end; /* *end is a NUL */
	int line;
	int depth, opened_at; /* of braces; the line of the outermost that is open */
};

static bool is_break(char c)
{
	return c == '\0' || strchr(" \t\r\n={}()+,\"'", c);
}

static void blank_to_end_of_line(struct scan *s)
{
	while (s->p < s->end && *s->p != '\n')
		*s->p++ = ' ';
}

static const char *blank_block(struct scan *s)
{
	char *close = strstr(s->p + 2, "*/");

	if (!close)
		return "a comment begins here and is not closed";
	for (close += 2; s->p < close; s->p++) {
		if (*s->p == '\n')
			s->line++;
		else
			*s->p = ' ';
	}
	return NULL;
}

/* "${NAME}" and "${NAME:-words}" stand for the environment; libconfuse looks for the brace beyond the line and the
 * closing quote. */
static const char *skip_variable(struct scan *s)
{
	char *brace = s->p + strcspn(s->p, "}\"'\n");

	if (*brace != '}')
		return "\"${\" is not closed";
	s->p = brace + 1;
	return NULL;
}

static const char *skip_quoted(struct scan *s)
{
	char quote = *s->p++;

	while (s->p < s->end && *s->p != quote) {
		if (*s->p == '\\' && s->p + 1 < s->end)
			s->p++;
		if (*s->p == '\n')
			break;
		if (quote == '"' && s->p[0] == '$' && s->p[1] == '{') {
			const char *words = skip_variable(s);

			if (words)
				return words;
			continue;
		}
		s->p++;
	}
	if (s->p >= s->end || *s->p != quote)
		return "a quoted text is not closed on its line";
	s->p++;
	return NULL;
}

/* include("FILE"), from its parenthesis on: libconfuse loses the memory of arguments that a syntax error follows. */
static const char *skip_argument(struct scan *s)
{
	const char *words = NULL;

	s->p++;
	s->p += strspn(s->p, " \t");
	if (*s->p == '"' || *s->p == '\'')
		words = skip_quoted(s);
	else
		s->p += strcspn(s->p, " #\"'\t\n\r={}()+,*$");
	s->p += strspn(s->p, " \t");
	if (!words && (*s->p != ')' || s->p[-1] == '('))
		words = "include takes one file's name, as in include(\"FILE\")";
	return words;
}

/* A file that ends inside a section would pass. One "}" too many is left to libconfuse, which stops at it. */
static void count_brace(struct scan *s, char c)
{
	if (c == '{' && s->depth++ == 0)
		s->opened_at = s->line;
	else if (c == '}' && s->depth > 0)
		s->depth--;
}

const char *config_scan(char *text, size_t len, int *line)
{
	struct scan s = { .p = text, .end = text + len, .line = 1 };
	const char *words = NULL;
	bool at_word_start = true;

	for (size_t i = 0; i < len && !words; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == 0x7f || (c < ' ' && c != '\t' && c != '\n' && c != '\r'))
			words = "a byte that is no text";
		else if (c == '\n')
			s.line++;
	}
	if (!words)
		s.line = 1;
	while (!words && s.p < s.end) {
		char c = *s.p;

		if (c == '#' || (at_word_start && c == '/' && s.p[1] == '/'))
			blank_to_end_of_line(&s);
		else if (at_word_start && c == '/' && s.p[1] == '*')
			words = blank_block(&s);
		else if (c == '"' || c == '\'')
			words = skip_quoted(&s);
		else if (c == '$' && s.p[1] == '{')
			words = skip_variable(&s);
		else if (c == '(')
			words = skip_argument(&s);
		else if (s.p++, c == '\n')
			s.line++;
		else
			count_brace(&s, c);
		at_word_start = s.p == text || is_break(s.p[-1]);
	}
	if (!words && s.depth > 0) {
		words = "the \"{\" here is not closed";
		s.line = s.opened_at;
	}
	*line = s.line;
	return words;
}
