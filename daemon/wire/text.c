#include "daemon/wire/text.h"

#include <string.h>

bool wire_name_is_valid(const char *name)
{
	size_t len = strnlen(name, WIRE_NAME_MAX_BYTES + 1);

	if (len == 0 || len > WIRE_NAME_MAX_BYTES)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = name[i];
		bool inner = c == '-' || c == '.';

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && !inner)
			return false;
		if (inner && (i == 0 || i == len - 1))
			return false;
	}
	return true;
}

void wire_text_write(struct writer *w, const char *text)
{
	size_t len = strlen(text);

	if (len > UINT8_MAX)
		w->failed = true;
	writer_u8(w, (uint8_t)len);
	writer_put(w, text, len);
}

void wire_text_read(struct reader *r, char *out, size_t capacity)
{
	uint8_t len = reader_u8(r);
	const uint8_t *bytes = reader_take(r, len);

	out[0] = '\0';
	if (!bytes || len >= capacity || (len > 0 && memchr(bytes, '\0', len))) {
		r->failed = true;
		return;
	}
	memcpy(out, bytes, len);
	out[len] = '\0';
}

void wire_name_read(struct reader *r, char out[static WIRE_NAME_MAX_BYTES + 1])
{
	wire_text_read(r, out, WIRE_NAME_MAX_BYTES + 1);
	if (!wire_name_is_valid(out))
		r->failed = true;
}
