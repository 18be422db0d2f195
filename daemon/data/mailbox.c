#include "daemon/data/mailbox.h"

#include <errno.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

/* Two buffers: one is filled while the other is read. The kernel gives their pages as they are touched. */
struct mailbox {
	size_t capacity;
	pthread_mutex_t lock;
	uint8_t *filling; /* under lock */
	size_t filled;    /* under lock */
	uint8_t *reading; /* the loop's */
};

#define MAIL_ALIGN alignof(struct mail)

static size_t mail_bytes(size_t len)
{
	return (sizeof(struct mail) + len + MAIL_ALIGN - 1) & ~(MAIL_ALIGN - 1);
}

struct mailbox *mailbox_new(size_t capacity_bytes)
{
	struct mailbox *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->capacity = capacity_bytes;
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

int mailbox_push(struct mailbox *b, const struct mail *m, bool *was_empty)
{
	size_t need = mail_bytes(m->len), room = m->kind == MAIL_DATAGRAM ? b->capacity / 2 : b->capacity;
	int ret = 0;

	*was_empty = false;
	pthread_mutex_lock(&b->lock);
	if (b->filled + need > room) {
		ret = -ENOBUFS;
	} else {
		*was_empty = b->filled == 0;
		memcpy(b->filling + b->filled, m, sizeof(*m));
		if (m->len)
			memcpy(b->filling + b->filled + sizeof(*m), m->data, m->len);
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
		struct mail m;

		memcpy(&m, buffer + at, sizeof(m));
		m.data = buffer + at + sizeof(m);
		at += mail_bytes(m.len);
		fn(arg, &m);
	}
}
