#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"
#include "daemon/base/log.h"

#define COLUMNS_MAX 16
#define GAP 2

struct cell {
	char *text; /* NULL: "-" */
	int color;
};

struct ctl_table {
	const struct ctl_column *columns;
	size_t n_columns, n_rows, n_cells; /* cells filled in the last row */
	struct cell *cells;                /* n_rows of n_columns */
};

struct ctl_table *ctl_table_new(const struct ctl_column *columns, size_t n)
{
	struct ctl_table *t = n <= COLUMNS_MAX ? calloc(1, sizeof(*t)) : NULL;

	if (t) {
		t->columns = columns;
		t->n_columns = n;
	}
	return t;
}

void ctl_table_row(struct ctl_table *t)
{
	struct cell *more;

	if (!t)
		return;
	more = realloc(t->cells, (t->n_rows + 1) * t->n_columns * sizeof(*t->cells));
	if (!more)
		abort(); /* a listing that lacks lines would be a wrong answer */
	t->cells = more;
	memset(&t->cells[t->n_rows * t->n_columns], 0, t->n_columns * sizeof(*t->cells));
	t->n_rows++;
	t->n_cells = 0;
}

void ctl_table_cell(struct ctl_table *t, int color, const char *fmt, ...)
{
	char raw[1024], text[1024];
	struct cell *cell;
	va_list ap;
	int n;

	if (!t || t->n_rows == 0 || t->n_cells == t->n_columns)
		return;
	va_start(ap, fmt);
	n = vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	cell = &t->cells[(t->n_rows - 1) * t->n_columns + t->n_cells++];
	log_escape(text, sizeof(text), raw, n < 0 ? 0 : strlen(raw));
	cell->text = strdup(text);
	cell->color = color;
}

static const char *text_at(const struct ctl_table *t, size_t row, size_t column)
{
	const char *text = t->cells[row * t->n_columns + column].text;

	return text && (text[0] != '\0' || t->columns[column].name[0] == '\0') ? text : "-";
}

static void print_plain(const struct ctl_table *t, const struct ctl *ctl)
{
	for (size_t c = 0; !ctl->has_no_header && c < t->n_columns; c++)
		fprintf(ctl->out, "%s%s", t->columns[c].name, c + 1 < t->n_columns ? "\t" : "\n");
	for (size_t r = 0; r < t->n_rows; r++)
		for (size_t c = 0; c < t->n_columns; c++)
			fprintf(ctl->out, "%s%s", text_at(t, r, c), c + 1 < t->n_columns ? "\t" : "\n");
}

/* Which columns are shown, and how wide: the last ones go first where the terminal is too narrow for all. */
static size_t lay_out(const struct ctl_table *t, const struct ctl *ctl, size_t shown[static COLUMNS_MAX],
		      size_t width[static COLUMNS_MAX])
{
	size_t n = 0, total = 0;

	for (size_t c = 0; c < t->n_columns; c++) {
		size_t w = ctl->has_no_header ? 0 : strlen(t->columns[c].name);

		if (t->columns[c].is_wide && !ctl->is_wide)
			continue;
		for (size_t r = 0; r < t->n_rows; r++)
			if (strlen(text_at(t, r, c)) > w)
				w = strlen(text_at(t, r, c));
		shown[n] = c;
		width[n] = w;
		total += w + (n > 0 ? GAP : 0);
		n++;
	}
	while (ctl->columns > 0 && !ctl->is_wide && n > 1 && total > ctl->columns) {
		n--;
		total -= width[n] + GAP;
	}
	return n;
}

static void print_cell(const struct ctl *ctl, const char *text, int color, size_t width, bool is_last)
{
	if (ctl->is_colored && color)
		fprintf(ctl->out, "\033[%dm%s\033[0m", color, text);
	else
		fputs(text, ctl->out);
	if (is_last)
		fputc('\n', ctl->out);
	else
		fprintf(ctl->out, "%*s", (int)(width - strlen(text)) + GAP, "");
}

static void print_aligned(const struct ctl_table *t, const struct ctl *ctl)
{
	size_t shown[COLUMNS_MAX], width[COLUMNS_MAX], n = lay_out(t, ctl, shown, width);

	for (size_t i = 0; !ctl->has_no_header && i < n; i++)
		print_cell(ctl, t->columns[shown[i]].name, 1, width[i], i + 1 == n);
	for (size_t r = 0; r < t->n_rows; r++)
		for (size_t i = 0; i < n; i++)
			print_cell(ctl, text_at(t, r, shown[i]), t->cells[r * t->n_columns + shown[i]].color, width[i],
				   i + 1 == n);
}

void ctl_table_print_take(struct ctl_table *t, const struct ctl *ctl)
{
	if (!t)
		return;
	if (ctl->is_plain)
		print_plain(t, ctl);
	else
		print_aligned(t, ctl);
	for (size_t i = 0; i < t->n_rows * t->n_columns; i++)
		free(t->cells[i].text);
	free(t->cells);
	free(t);
}
