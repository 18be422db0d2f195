/* tests/unit/vectors.h - reads tests/vectors/
 *
 * Records of `name = value` lines with a blank line between them and comments after #. Whatever is wrong with a file
 * fails the test that reads it: a vector that is not read proves nothing.
 *
 *	struct vectors *v = vectors_open("wycheproof_x25519.txt");
 *
 *	while (vectors_next(v)) {
 *		struct vector_bytes pub = vectors_hex(v, "public");
 *		...
 *	}
 *	vectors_close(v); */
#ifndef TESTS_UNIT_VECTORS_H
#define TESTS_UNIT_VECTORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct vectors;

struct vector_bytes {
	uint8_t *data; /* never NULL; exactly `len` bytes of heap, so that the address sanitizer sees the end */
	size_t len;
};

struct vectors *vectors_open(const char *file_name);
void vectors_close(struct vectors *v);
/* Goes to the next record; false at the end. What the functions below gave for the one before is freed. */
bool vectors_next(struct vectors *v);

bool vectors_has(const struct vectors *v, const char *name);
const char *vectors_text(const struct vectors *v, const char *name);
/* True if the field is there and has this text. */
bool vectors_is(const struct vectors *v, const char *name, const char *text);
size_t vectors_number(const struct vectors *v, const char *name); /* decimal */
struct vector_bytes vectors_hex(struct vectors *v, const char *name);
/* The same, into a buffer that must be filled exactly. */
void vectors_hex_exact(struct vectors *v, const char *name, void *out, size_t size);

/* For a file of another form. */
FILE *vectors_file(const char *file_name);

#endif
