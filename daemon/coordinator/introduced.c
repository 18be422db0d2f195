#include "daemon/coordinator/introduced.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void introduced_fini(struct introduced *s)
{
	free(s->v);
	memset(s, 0, sizeof(*s));
}

static unsigned place_of(const struct introduced *s, uint32_t id)
{
	unsigned i = 0;

	while (i < s->n && s->v[i].id != id)
		i++;
	return i;
}

static void remove_at(struct introduced *s, unsigned i)
{
	memmove(&s->v[i], &s->v[i + 1], (s->n - i - 1) * sizeof(*s->v));
	s->n--;
}

int introduced_add(struct introduced *s, uint32_t id)
{
	struct introduction entry = { .id = id, .path = introduced_path(s, id) };
	unsigned i = place_of(s, id);

	if (i < s->n) {
		remove_at(s, i);
	} else if (s->n == INTRODUCED_MAX) {
		remove_at(s, 0);
	} else if (s->n == s->capacity) {
		unsigned capacity = s->capacity ? 2 * s->capacity : 8;
		struct introduction *v = reallocarray(s->v, capacity, sizeof(*v));

		if (!v)
			return -ENOMEM;
		s->v = v;
		s->capacity = capacity;
	}
	s->v[s->n++] = entry;
	return 0;
}

void introduced_remove(struct introduced *s, uint32_t id)
{
	unsigned i = place_of(s, id);

	if (i < s->n)
		remove_at(s, i);
}

bool introduced_has(const struct introduced *s, uint32_t id)
{
	return place_of(s, id) < s->n;
}

void introduced_set_path(struct introduced *s, uint32_t id, uint8_t path)
{
	unsigned i = place_of(s, id);

	if (i < s->n)
		s->v[i].path = path;
}

uint8_t introduced_path(const struct introduced *s, uint32_t id)
{
	unsigned i = place_of(s, id);

	return i < s->n ? s->v[i].path : INTRODUCED_PATH_UNKNOWN;
}

void introduced_forget_paths(struct introduced *s)
{
	for (unsigned i = 0; i < s->n; i++)
		s->v[i].path = INTRODUCED_PATH_UNKNOWN;
}
