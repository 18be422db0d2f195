#include "daemon/coordinator/introduced.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void introduced_fini(struct introduced *s)
{
	free(s->ids);
	memset(s, 0, sizeof(*s));
}

static unsigned place_of(const struct introduced *s, uint32_t id)
{
	unsigned i = 0;

	while (i < s->n && s->ids[i] != id)
		i++;
	return i;
}

static void remove_at(struct introduced *s, unsigned i)
{
	memmove(&s->ids[i], &s->ids[i + 1], (s->n - i - 1) * sizeof(*s->ids));
	s->n--;
}

int introduced_add(struct introduced *s, uint32_t id)
{
	unsigned i = place_of(s, id);

	if (i < s->n) {
		remove_at(s, i);
	} else if (s->n == INTRODUCED_MAX) {
		remove_at(s, 0);
	} else if (s->n == s->capacity) {
		unsigned capacity = s->capacity ? 2 * s->capacity : 8;
		uint32_t *ids = reallocarray(s->ids, capacity, sizeof(*ids));

		if (!ids)
			return -ENOMEM;
		s->ids = ids;
		s->capacity = capacity;
	}
	s->ids[s->n++] = id;
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
