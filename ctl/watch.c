#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ctl/ctl.h"

static bool is_bad(int code)
{
	return code != EXIT_YES && code != EXIT_NO;
}

void ctl_terminal(unsigned *columns, unsigned *rows)
{
	struct winsize size;

	*columns = *rows = 0;
	if (!isatty(STDOUT_FILENO))
		return;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
		size = (struct winsize){ .ws_col = 80, .ws_row = 24 };
	*columns = size.ws_col;
	*rows = size.ws_row;
}

/* One line, cut where the terminal ends; what sets colours takes no room. Returns where the next one begins. */
static const char *draw_line(FILE *out, const char *text, unsigned columns)
{
	for (unsigned n = 0; *text && *text != '\n';) {
		if (text[0] == '\033' && text[1] == '[') {
			size_t len = strcspn(text, "m");

			fwrite(text, 1, len + (text[len] == 'm'), out);
			text += len + (text[len] == 'm');
			continue;
		}
		n += ((unsigned char)*text & 0xc0) != 0x80; /* not one of the further bytes of UTF-8 */
		if (n > columns)
			break;
		fputc(*text++, out);
	}
	text += strcspn(text, "\n");
	fputs("\033[0m\033[K\n", out);
	return *text ? text + 1 : text;
}

void ctl_draw(FILE *out, const char *text, unsigned columns, unsigned rows)
{
	fputs("\033[H", out);
	for (unsigned n = 1; *text && n < rows; n++) /* the last row is the cursor's */
		text = draw_line(out, text, columns);
	fputs("\033[J", out);
}

/* Runs the command once; on a terminal what it says goes in the place of what it said before, also what is wrong, but for the
 * first time. */
static int run_once(struct ctl *ctl, int (*run)(struct ctl *ctl), bool is_first)
{
	FILE *out = ctl->out, *err = ctl->err, *page;
	unsigned rows;
	char *text = NULL;
	size_t len;
	int code;

	page = open_memstream(&text, &len);
	if (!page)
		return EXIT_NO;
	ctl_terminal(&ctl->columns, &rows);
	ctl->out = page;
	if (!is_first)
		ctl->err = page;
	code = run(ctl);
	ctl->out = out;
	ctl->err = err;
	if (fclose(page) == 0 && !(is_first && is_bad(code))) {
		if (is_first)
			fputs("\033[?25l\033[2J", out); /* no cursor; an empty screen */
		ctl_draw(out, text, ctl->columns, rows);
	}
	free(text);
	return code;
}

int ctl_watch(struct ctl *ctl, int (*run)(struct ctl *ctl), double seconds)
{
	bool is_in_place = ctl->columns > 0 && !ctl->is_json, is_first = true;

	ctl_repeat_begin(ctl);
	do {
		int code = is_in_place ? run_once(ctl, run, is_first) : run(ctl);

		/* What is wrong from the start will not mend itself; later a daemon may be away for a while. */
		if (is_first && is_bad(code))
			return code;
		is_first = false;
	} while (fflush(ctl->out) == 0 && !ferror(ctl->out) && ctl_pause(ctl, seconds));
	if (is_in_place)
		fputs("\033[?25h", ctl->out);
	return EXIT_YES;
}
