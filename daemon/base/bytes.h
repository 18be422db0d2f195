/* daemon/base/bytes.h - bounded reader and writer for wire formats
 *
 * The reader cannot pass the end: after a short read it yields zeros and stays failed, so a decoder reads
 * straight through and asks once. The writer likewise: past its end it writes nothing and stays failed.
 * Integers are big-endian.  Thread: any; a reader or writer belongs to one thread. */
#ifndef DAEMON_BASE_BYTES_H
#define DAEMON_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reader {
	const uint8_t *p, *end;
	bool failed;
};

struct reader reader_of(const void *data, size_t len);
uint8_t reader_u8(struct reader *r);
uint16_t reader_be16(struct reader *r);
uint32_t reader_be32(struct reader *r);
uint64_t reader_be64(struct reader *r);
void reader_copy(struct reader *r, void *out, size_t len); /* zeros after a failure */
const uint8_t *reader_take(struct reader *r, size_t len);  /* borrowed from the input; NULL if short */
void reader_skip(struct reader *r, size_t len);
size_t reader_left(const struct reader *r); /* 0 after a failure */
bool reader_ok(const struct reader *r);
bool reader_at_end(const struct reader *r); /* all read and nothing failed */

struct writer {
	uint8_t *begin, *p, *end;
	bool failed;
};

struct writer writer_of(void *data, size_t capacity);
void writer_u8(struct writer *w, uint8_t v);
void writer_be16(struct writer *w, uint16_t v);
void writer_be32(struct writer *w, uint32_t v);
void writer_be64(struct writer *w, uint64_t v);
void writer_put(struct writer *w, const void *data, size_t len);
void writer_zero(struct writer *w, size_t len);
uint8_t *writer_reserve(struct writer *w, size_t len); /* room to be filled later; NULL if short */
size_t writer_len(const struct writer *w);
/* Bytes written, or -ENOSPC if anything did not fit. */
int writer_finish(const struct writer *w);

#endif
