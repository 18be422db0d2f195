#include "daemon/base/bytes.h"

#include <errno.h>
#include <string.h>

/* Stands for empty input, so that no arithmetic is done on a null pointer. */
static uint8_t nothing[1];

struct reader reader_of(const void *data, size_t len)
{
	const uint8_t *p = len > 0 ? data : nothing;

	return (struct reader){ .p = p, .end = p + len };
}

const uint8_t *reader_take(struct reader *r, size_t len)
{
	const uint8_t *p = r->p;

	if (r->failed || len > (size_t)(r->end - r->p)) {
		r->failed = true;
		return NULL;
	}
	r->p += len;
	return p;
}

void reader_skip(struct reader *r, size_t len)
{
	reader_take(r, len);
}

void reader_copy(struct reader *r, void *out, size_t len)
{
	const uint8_t *p = reader_take(r, len);

	if (len == 0)
		return;
	if (p)
		memcpy(out, p, len);
	else
		memset(out, 0, len);
}

static uint64_t read_be(struct reader *r, size_t len)
{
	const uint8_t *p = reader_take(r, len);
	uint64_t v = 0;

	for (size_t i = 0; p && i < len; i++)
		v = v << 8 | p[i];
	return v;
}

uint8_t reader_u8(struct reader *r)
{
	return (uint8_t)read_be(r, 1);
}

uint16_t reader_be16(struct reader *r)
{
	return (uint16_t)read_be(r, 2);
}

uint32_t reader_be32(struct reader *r)
{
	return (uint32_t)read_be(r, 4);
}

uint64_t reader_be64(struct reader *r)
{
	return read_be(r, 8);
}

size_t reader_left(const struct reader *r)
{
	return r->failed ? 0 : (size_t)(r->end - r->p);
}

bool reader_ok(const struct reader *r)
{
	return !r->failed;
}

bool reader_at_end(const struct reader *r)
{
	return !r->failed && r->p == r->end;
}

struct writer writer_of(void *data, size_t capacity)
{
	uint8_t *p = capacity > 0 ? data : nothing;

	return (struct writer){ .begin = p, .p = p, .end = p + capacity };
}

uint8_t *writer_reserve(struct writer *w, size_t len)
{
	uint8_t *p = w->p;

	if (w->failed || len > (size_t)(w->end - w->p)) {
		w->failed = true;
		return NULL;
	}
	w->p += len;
	return p;
}

void writer_put(struct writer *w, const void *data, size_t len)
{
	uint8_t *p = writer_reserve(w, len);

	if (p && len > 0)
		memcpy(p, data, len);
}

void writer_zero(struct writer *w, size_t len)
{
	uint8_t *p = writer_reserve(w, len);

	if (p && len > 0)
		memset(p, 0, len);
}

static void write_be(struct writer *w, uint64_t v, size_t len)
{
	uint8_t *p = writer_reserve(w, len);

	for (size_t i = len; p && i > 0; i--) {
		p[i - 1] = (uint8_t)v;
		v >>= 8;
	}
}

void writer_u8(struct writer *w, uint8_t v)
{
	write_be(w, v, 1);
}

void writer_be16(struct writer *w, uint16_t v)
{
	write_be(w, v, 2);
}

void writer_be32(struct writer *w, uint32_t v)
{
	write_be(w, v, 4);
}

void writer_be64(struct writer *w, uint64_t v)
{
	write_be(w, v, 8);
}

size_t writer_len(const struct writer *w)
{
	return (size_t)(w->p - w->begin);
}

int writer_finish(const struct writer *w)
{
	return w->failed ? -ENOSPC : (int)writer_len(w);
}
