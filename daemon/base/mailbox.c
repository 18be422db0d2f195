#include "daemon/base/mailbox.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Two buffers: one is filled while the other is read. The kernel gives their pages as they are touched. */
struct mailbox {
	size_t capacity, head_bytes;
	pthread_mutex_t lock;
	uint8_t *filling; /* under lock */
	size_t filled;    /* under lock */
	uint8_t *reading; /* the loop's */
};

/* In front of a head; of a size that leaves the head aligned. */
struct letter {
	_Alignas(max_align_t) size_t len;
};

static size_t letter_bytes(const struct mailbox *b, size_t len)
{
	const size_t align = _Alignof(struct letter);

	return (sizeof(struct letter) + b->head_bytes + len + align - 1) & ~(align - 1);
}

struct mailbox *mailbox_new(size_t capacity_bytes, size_t head_bytes)
{
	struct mailbox *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->capacity = capacity_bytes;
	b->head_bytes = head_bytes;
	b->filling = malloc(capacity_bytes);
	b->reading = malloc(capacity_bytes);
	pthread_mutex_init(&b->lock, NULL);
	if (!b->filling || !b->reading) {
		mailbox_free(b);
		return NULL;
	}
	return b;
}

void mailbox_free(struct mailbox *b)
{
	if (!b)
		return;
	pthread_mutex_destroy(&b->lock);
	free(b->filling);
	free(b->reading);
	free(b);
}

int mailbox_push(struct mailbox *b, const void *head, const void *data, size_t len, bool is_strangers, bool *was_empty)
{
	size_t need = letter_bytes(b, len), room = is_strangers ? b->capacity / 2 : b->capacity;
	const struct letter letter = { .len = len };
	int ret = 0;

	*was_empty = false;
	pthread_mutex_lock(&b->lock);
	if (b->filled + need > room) {
		ret = -ENOBUFS;
	} else {
		uint8_t *at = b->filling + b->filled;

		*was_empty = b->filled == 0;
		memcpy(at, &letter, sizeof(letter));
		memcpy(at + sizeof(letter), head, b->head_bytes);
		if (len)
			memcpy(at + sizeof(letter) + b->head_bytes, data, len);
		b->filled += need;
	}
	pthread_mutex_unlock(&b->lock);
	return ret;
}

void mailbox_drain(struct mailbox *b, mailbox_fn *fn, void *arg)
{
	uint8_t *buffer;
	size_t filled;

	pthread_mutex_lock(&b->lock);
	buffer = b->filling;
	filled = b->filled;
	b->filling = b->reading;
	b->reading = buffer;
	b->filled = 0;
	pthread_mutex_unlock(&b->lock);

	for (size_t at = 0; at < filled;) {
		uint8_t *head = buffer + at + sizeof(struct letter);
		struct letter letter;

		memcpy(&letter, buffer + at, sizeof(letter));
		at += letter_bytes(b, letter.len);
		fn(arg, head, head + b->head_bytes, letter.len);
	}
}
