#include "daemon/base/nearest.h"

#include <ctype.h>
#include <string.h>

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;

	return m < c ? m : c;
}

static int lower(char c)
{
	return tolower((unsigned char)c);
}

size_t nearest_distance(const char *a, const char *b)
{
	size_t n = strnlen(a, NEAREST_WORD_MAX_BYTES + 1), m = strnlen(b, NEAREST_WORD_MAX_BYTES + 1);
	/* Three rows of the table: two back for a swap, one back, and the one being filled. */
	size_t rows[3][NEAREST_WORD_MAX_BYTES + 1];

	if (n > NEAREST_WORD_MAX_BYTES || m > NEAREST_WORD_MAX_BYTES)
		return NEAREST_WORD_MAX_BYTES + 1;
	for (size_t j = 0; j <= m; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t *row = rows[i % 3], *last = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= m; j++) {
			size_t replaced = last[j - 1] + (lower(a[i - 1]) != lower(b[j - 1]));

			row[j] = min3(last[j] + 1, row[j - 1] + 1, replaced);
			if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
			    lower(a[i - 2]) == lower(b[j - 1]) && before[j - 2] + 1 < row[j])
				row[j] = before[j - 2] + 1;
		}
	}
	return rows[n % 3][m];
}

int nearest_is_close(const char *word, const char *known)
{
	size_t allowed = strlen(known) / 3;

	if (allowed < 2)
		allowed = 2;
	if (strlen(known) <= allowed) /* nothing would be left of it */
		allowed = strlen(known) - 1;
	return nearest_distance(word, known) <= allowed;
}
