#include "ctl/tar.h"

#include <assert.h>
#include <string.h>

#define RECORD_BYTES 512

/* Octal digits with a NUL at the end. */
static void put_octal(char *field, size_t size, uint64_t v)
{
	field[--size] = '\0';
	while (size > 0) {
		field[--size] = (char)('0' + (v & 7));
		v >>= 3;
	}
}

void tar_add(FILE *out, const char *name, const char *data, size_t len, uint64_t time_s)
{
	static const char zeros[RECORD_BYTES];
	struct {
		char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100], magic[6],
			version[2], owner[32], group[32], major[8], minor[8], prefix[155], rest[12];
	} h = { .type = '0', .magic = "ustar", .version = { '0', '0' }, .owner = "root", .group = "root" };
	unsigned sum = 0;

	static_assert(sizeof(h) == RECORD_BYTES, "a header is one record");
	snprintf(h.name, sizeof(h.name), "%s", name);
	put_octal(h.mode, sizeof(h.mode), 0644);
	put_octal(h.uid, sizeof(h.uid), 0);
	put_octal(h.gid, sizeof(h.gid), 0);
	put_octal(h.size, sizeof(h.size), len);
	put_octal(h.mtime, sizeof(h.mtime), time_s);
	/* Of all bytes, with blanks in the place of the sum. */
	memset(h.sum, ' ', sizeof(h.sum));
	for (size_t i = 0; i < sizeof(h); i++)
		sum += ((const unsigned char *)&h)[i];
	put_octal(h.sum, sizeof(h.sum) - 1, sum);
	fwrite(&h, sizeof(h), 1, out);
	fwrite(data, 1, len, out);
	fwrite(zeros, 1, (RECORD_BYTES - len % RECORD_BYTES) % RECORD_BYTES, out);
}

void tar_end(FILE *out)
{
	static const char zeros[2 * RECORD_BYTES];

	fwrite(zeros, 1, sizeof(zeros), out);
}
