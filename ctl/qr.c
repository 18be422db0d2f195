/* A QR code in half blocks: two modules a character, light on dark as most terminals are, with the colours said. */
#include "ctl/ctl.h"

#ifdef HAVE_QRENCODE
#include <qrencode.h>

#define QUIET 2 /* modules around it: ISO/IEC 18004 wants four, readers take two, and 80 columns hold no more */

static bool is_dark(const QRcode *code, int x, int y)
{
	return x >= 0 && y >= 0 && x < code->width && y < code->width && code->data[y * code->width + x] & 1;
}

static void print(FILE *out, const QRcode *code)
{
	static const char *const halves[2][2] = { { "\u2588", "\u2580" },
						  { "\u2584", " " } }; /* [upper dark][lower dark] */

	for (int y = -QUIET; y < code->width + QUIET; y += 2) {
		fputs("\033[40;97m", out);
		for (int x = -QUIET; x < code->width + QUIET; x++)
			fputs(halves[is_dark(code, x, y)][is_dark(code, x, y + 1)], out);
		fputs("\033[0m\n", out);
	}
}

void ctl_print_qr(const struct ctl *ctl, const char *text)
{
	QRcode *code = ctl->columns ? QRcode_encodeString(text, 0, QR_ECLEVEL_L, QR_MODE_8, 1) : NULL;

	if (code && code->width + 2 * QUIET <= (int)ctl->columns)
		print(ctl->out, code);
	QRcode_free(code); /* NULL is fine */
}
#else
void ctl_print_qr(const struct ctl *ctl, const char *text)
{
	(void)ctl;
	(void)text;
}
#endif
