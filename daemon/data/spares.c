#include "daemon/data/spares.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/net/loop.h"

struct slot {
	struct spare *spare; /* NULL: free */
	struct loop_watch *watch;
	struct spares *owner;
};

struct spares {
	uv_loop_t *loop;
	struct udp_options options;
	spares_fn *fn;
	void *arg;
	uint16_t last_number;
	unsigned n;
	struct slot slots[SPARES_MAX];
};

struct spare *spare_ref(struct spare *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void spare_unref(struct spare *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	udp_close(&s->udp);
	free(s);
}

struct spares *spares_new(uv_loop_t *loop, const struct udp_options *options, spares_fn *fn, void *arg)
{
	struct spares *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->loop = loop;
	s->options = *options;
	s->options.port = 0;
	s->options.reuse_port = false;
	s->options.buffer_bytes = 0;
	s->fn = fn;
	s->arg = arg;
	return s;
}

static void slot_close(struct spares *s, struct slot *slot)
{
	loop_watch_close(slot->watch);
	spare_unref(slot->spare);
	*slot = (struct slot){ 0 };
	s->n--;
}

void spares_free(struct spares *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < SPARES_MAX; i++)
		if (s->slots[i].spare)
			slot_close(s, &s->slots[i]);
	free(s);
}

static struct slot *slot_of(const struct spares *s, uint16_t number)
{
	for (unsigned i = 0; i < SPARES_MAX; i++)
		if (s->slots[i].spare && s->slots[i].spare->number == number)
			return (struct slot *)&s->slots[i];
	return NULL;
}

static void on_readable(void *arg, int fd)
{
	struct slot *slot = arg;

	(void)fd;
	slot->owner->fn(slot->owner->arg, slot->spare);
}

static uint16_t draw_number(struct spares *s)
{
	do
		s->last_number++;
	while (s->last_number == 0 || slot_of(s, s->last_number));
	return s->last_number;
}

int spares_open(struct spares *s)
{
	struct slot *slot = s->slots;
	struct spare *spare;
	int ret;

	while (slot < s->slots + SPARES_MAX && slot->spare)
		slot++;
	if (slot == s->slots + SPARES_MAX)
		return -EMFILE;
	spare = calloc(1, sizeof(*spare));
	if (!spare)
		return -ENOMEM;
	ret = udp_open(&spare->udp, &s->options);
	if (ret < 0)
		goto no_socket;
	ret = loop_watch_open(&slot->watch, s->loop, spare->udp.fd, on_readable, slot);
	if (ret < 0)
		goto no_watch;
	atomic_init(&spare->refs, 1);
	spare->number = draw_number(s);
	slot->spare = spare;
	slot->owner = s;
	s->n++;
	return spare->number;

no_watch:
	udp_close(&spare->udp);
no_socket:
	free(spare);
	return ret;
}

void spares_close(struct spares *s, uint16_t number)
{
	struct slot *slot = slot_of(s, number);

	if (slot)
		slot_close(s, slot);
}

struct spare *spares_find(const struct spares *s, uint16_t number)
{
	struct slot *slot = slot_of(s, number);

	return slot ? slot->spare : NULL;
}

unsigned spares_count(const struct spares *s)
{
	return s->n;
}

void spares_sweep(struct spares *s, bool (*is_used)(void *arg, uint16_t number), void *arg)
{
	for (unsigned i = 0; i < SPARES_MAX && s->n; i++)
		if (s->slots[i].spare && !is_used(arg, s->slots[i].spare->number))
			slot_close(s, &s->slots[i]);
}

void spares_each(const struct spares *s, spares_fn *fn, void *arg)
{
	for (unsigned i = 0; i < SPARES_MAX && s->n; i++)
		if (s->slots[i].spare)
			fn(arg, s->slots[i].spare);
}
