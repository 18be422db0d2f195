#include "crypto/aead_state.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <sodium.h>

#define SLOT_ALIGN 64
#define CHUNK_SLOTS 16
#define CHUNK_FULL ((1U << CHUNK_SLOTS) - 1)

struct chunk {
	uint8_t *pages;
	size_t slot_size, size; /* of one state, of the pages; bytes */
	unsigned int used;      /* bit per slot */
	struct chunk *next;
};

/* Mutable and global like the heap that it stands for: a key has no owner that all the others share. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct chunk *chunks;

static size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

static struct chunk *chunk_new(size_t slot_size)
{
	struct chunk *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->slot_size = slot_size;
	c->size = round_up(slot_size * CHUNK_SLOTS, (size_t)sysconf(_SC_PAGESIZE));
	c->pages = mmap(NULL, c->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (c->pages == MAP_FAILED) {
		free(c);
		return NULL;
	}
	/* Also MADV_DONTDUMP. Best effort: RLIMIT_MEMLOCK may be small, and a key in swap still beats no session. */
	(void)sodium_mlock(c->pages, c->size);
	c->next = chunks;
	chunks = c;
	return c;
}

static void chunk_free(struct chunk **at)
{
	struct chunk *c = *at;

	*at = c->next;
	(void)sodium_munlock(c->pages, c->size); /* fails where locking failed */
	munmap(c->pages, c->size);
	free(c);
}

void *aead_state_new(size_t size)
{
	size_t slot_size = round_up(size, SLOT_ALIGN);
	struct chunk *c;
	void *state = NULL;

	pthread_mutex_lock(&lock);
	for (c = chunks; c; c = c->next)
		if (c->slot_size == slot_size && c->used != CHUNK_FULL)
			break;
	if (!c)
		c = chunk_new(slot_size);
	if (c) {
		unsigned int slot = (unsigned int)__builtin_ctz(~c->used);

		c->used |= 1U << slot;
		state = c->pages + slot * slot_size;
	}
	pthread_mutex_unlock(&lock);
	return state;
}

static bool holds(const struct chunk *c, const void *state)
{
	uintptr_t begin = (uintptr_t)c->pages, p = (uintptr_t)state;

	return p >= begin && p - begin < c->size;
}

void aead_state_free(void *state, size_t size)
{
	struct chunk **at;

	if (!state)
		return;
	sodium_memzero(state, size);
	pthread_mutex_lock(&lock);
	for (at = &chunks; *at; at = &(*at)->next) {
		struct chunk *c = *at;

		if (!holds(c, state))
			continue;
		c->used &= ~(1U << ((size_t)((uint8_t *)state - c->pages) / c->slot_size));
		if (c->used == 0)
			chunk_free(at);
		break;
	}
	pthread_mutex_unlock(&lock);
}
