#include "tests/unit/vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FIELDS_MAX 64

struct vectors {
	FILE *file;
	char *line;
	size_t line_size;
	size_t n_fields;
	struct {
		char *name, *value;
		uint8_t *bytes; /* made by vectors_hex() */
	} fields[FIELDS_MAX];
};

FILE *vectors_file(const char *file_name)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", WARREN_TEST_VECTORS, file_name);
	file = fopen(path, "re");
	if (!file)
		fail_msg("no vectors at %s", path);
	return file;
}

struct vectors *vectors_open(const char *file_name)
{
	struct vectors *v = calloc(1, sizeof(*v));

	assert_non_null(v);
	v->file = vectors_file(file_name);
	return v;
}

static void clear_record(struct vectors *v)
{
	for (size_t i = 0; i < v->n_fields; i++) {
		free(v->fields[i].name);
		free(v->fields[i].value);
		free(v->fields[i].bytes);
		v->fields[i].bytes = NULL;
	}
	v->n_fields = 0;
}

void vectors_close(struct vectors *v)
{
	clear_record(v);
	free(v->line);
	fclose(v->file);
	free(v);
}

static void add_field(struct vectors *v, char *line)
{
	char *equals = strchr(line, '=');
	char *name_end = equals;
	char *value;

	if (!equals || v->n_fields == FIELDS_MAX)
		fail_msg("not a field, or one too many: %s", line);
	while (name_end > line && name_end[-1] == ' ')
		name_end--;
	value = equals + 1;
	value += strspn(value, " ");
	v->fields[v->n_fields].name = strndup(line, (size_t)(name_end - line));
	v->fields[v->n_fields].value = strdup(value);
	v->n_fields++;
}

bool vectors_next(struct vectors *v)
{
	ssize_t len;

	clear_record(v);
	while ((len = getline(&v->line, &v->line_size, v->file)) >= 0) {
		if (len > 0 && v->line[len - 1] == '\n')
			v->line[--len] = '\0';
		if (len == 0 && v->n_fields > 0)
			return true;
		if (len > 0 && v->line[0] != '#')
			add_field(v, v->line);
	}
	return v->n_fields > 0;
}

static size_t index_of(const struct vectors *v, const char *name)
{
	size_t i = 0;

	while (i < v->n_fields && strcmp(v->fields[i].name, name) != 0)
		i++;
	return i;
}

bool vectors_has(const struct vectors *v, const char *name)
{
	return index_of(v, name) < v->n_fields;
}

const char *vectors_text(const struct vectors *v, const char *name)
{
	size_t i = index_of(v, name);

	if (i == v->n_fields)
		fail_msg("no field %s in this record", name);
	return v->fields[i].value;
}

bool vectors_is(const struct vectors *v, const char *name, const char *text)
{
	return vectors_has(v, name) && strcmp(vectors_text(v, name), text) == 0;
}

size_t vectors_number(const struct vectors *v, const char *name)
{
	const char *text = vectors_text(v, name);
	char *end;
	size_t number = strtoull(text, &end, 10);

	if (end == text || *end != '\0')
		fail_msg("%s is no number: %s", name, text);
	return number;
}

static int nibble(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

struct vector_bytes vectors_hex(struct vectors *v, const char *name)
{
	const char *text = vectors_text(v, name);
	size_t i = index_of(v, name), len = strlen(text) / 2;
	uint8_t *bytes = malloc(len > 0 ? len : 1);

	assert_non_null(bytes);
	free(v->fields[i].bytes);
	v->fields[i].bytes = bytes;
	if (strlen(text) % 2 != 0)
		fail_msg("%s has half a byte", name);
	for (size_t k = 0; k < len; k++) {
		int high = nibble(text[2 * k]), low = nibble(text[2 * k + 1]);

		if (high < 0 || low < 0)
			fail_msg("%s is not hex", name);
		bytes[k] = (uint8_t)(high << 4 | low);
	}
	return (struct vector_bytes){ bytes, len };
}

void vectors_hex_exact(struct vectors *v, const char *name, void *out, size_t size)
{
	struct vector_bytes bytes = vectors_hex(v, name);

	if (bytes.len != size)
		fail_msg("%s has %zu bytes in place of %zu", name, bytes.len, size);
	memcpy(out, bytes.data, size);
}
