/* daemon/wire/text.h - texts and names inside messages: one length byte and that many bytes */
#ifndef DAEMON_WIRE_TEXT_H
#define DAEMON_WIRE_TEXT_H

#include "daemon/base/bytes.h"
#include "daemon/wire/wire.h"

/* 1..63 of [a-z0-9-.], not beginning or ending with '-' or '.'. */
bool wire_name_is_valid(const char *name);

void wire_text_write(struct writer *w, const char *text); /* at most 255 bytes */
/* A text with a NUL inside or without room for its own fails the reader. */
void wire_text_read(struct reader *r, char *out, size_t capacity);
/* Fails the reader unless it is a valid name. */
void wire_name_read(struct reader *r, char out[static WIRE_NAME_MAX_BYTES + 1]);

#endif
