#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config/config_keys.h"
#include "daemon/config/config_settings.h"

static bool is_same(const struct config_setting *a, const struct config_setting *b)
{
	if (a->n != b->n)
		return false;
	for (unsigned i = 0; i < a->n; i++)
		if (strcmp(a->values[i], b->values[i]) != 0)
			return false;
	return true;
}

/* ---------------------------------------------------------------- blocks: members, coordinators, peers */

struct block { /* of the one configuration or the other; name NULL: it is not there */
	const char *name;
	unsigned which;
};

static int compare_blocks(const void *a, const void *b)
{
	return strcmp(((const struct block *)a)->name, ((const struct block *)b)->name);
}

/* By name. NULL if memory is short. */
static struct block *sorted_blocks(const struct config *c, const char *section, unsigned *n)
{
	struct block *blocks;

	for (*n = 0; config_block_at(c, section, *n);)
		++*n;
	blocks = calloc(*n + 1, sizeof(*blocks));
	for (unsigned i = 0; blocks && i < *n; i++)
		blocks[i] = (struct block){ .name = config_block_at(c, section, i), .which = i };
	if (blocks)
		qsort(blocks, *n, sizeof(*blocks), compare_blocks);
	return blocks;
}

static void setting_of_block(struct config_setting *s, const struct config *c, size_t key, struct block block,
			     const char *name)
{
	const struct config_key *k = config_key_at(key);

	if (block.name)
		config_setting_of(s, c, key, block.name, block.which);
	else
		*s = (struct config_setting){ .section = k->section,
					      .key = k->name,
					      .title = name,
					      .is_list = k->is_list,
					      .is_reloadable = k->is_reloadable };
}

static void each_change_of_block(const struct config *old, const struct config *new, const char *section,
				 struct block from, struct block to, config_change_fn *fn, void *arg)
{
	const char *name = to.name ? to.name : from.name;
	struct config_setting a, b;

	for (size_t i = 0; config_key_at(i); i++) {
		if (strcmp(config_key_at(i)->section, section) != 0)
			continue;
		setting_of_block(&a, old, i, from, name);
		setting_of_block(&b, new, i, to, name);
		if (!is_same(&a, &b))
			fn(arg, &a, &b);
	}
}

/* Coordinators are asked in their order; of others it means nothing. Names that one side lacks do not count. */
static bool is_same_order(const struct config *old, const struct config *new, const char *section)
{
	const char *name, *other;
	unsigned next = 0;

	if (strcmp(section, "coordinator") != 0)
		return true;
	for (unsigned i = 0; (name = config_block_at(new, section, i)); i++)
		for (unsigned j = 0; (other = config_block_at(old, section, j)); j++) {
			if (strcmp(name, other) != 0)
				continue;
			if (j < next)
				return false;
			next = j + 1;
		}
	return true;
}

static void order_of(struct config_setting *s, const struct config *c, const char *section)
{
	*s = (struct config_setting){ .section = section, .key = "order", .is_list = true, .is_reloadable = true };
	for (const char *name; s->n < CONFIG_VALUES_MAX && (name = config_block_at(c, section, s->n)); s->n++)
		s->values[s->n] = name;
}

static void change_of_order(const struct config *old, const struct config *new, const char *section,
			    config_change_fn *fn, void *arg)
{
	struct config_setting from, to;

	order_of(&from, old, section);
	order_of(&to, new, section);
	fn(arg, &from, &to);
}

static void each_change_of_blocks(const struct config *old, const struct config *new, const char *section,
				  config_change_fn *fn, void *arg)
{
	unsigned n_old, n_new, i = 0, j = 0;
	struct block *a = sorted_blocks(old, section, &n_old), *b = sorted_blocks(new, section, &n_new);
	static const struct block none;

	if (!a || !b || !is_same_order(old, new, section)) /* for want of memory: perhaps */
		change_of_order(old, new, section, fn, arg);
	while (a && b && (i < n_old || j < n_new)) {
		int order = i == n_old ? 1 : j == n_new ? -1 : strcmp(a[i].name, b[j].name);

		each_change_of_block(old, new, section, order <= 0 ? a[i] : none, order >= 0 ? b[j] : none, fn, arg);
		i += order <= 0;
		j += order >= 0;
	}
	free(a);
	free(b);
}

void config_each_change(const struct config *old, const struct config *new, config_change_fn *fn, void *arg)
{
	struct config_setting a, b;

	for (size_t i = 0; config_key_at(i); i++) {
		if (config_section_is_titled(config_key_at(i)->section) || !(config_key_at(i)->roles & 1u << new->role))
			continue;
		config_setting_of(&a, old, i, old, 0);
		config_setting_of(&b, new, i, new, 0);
		if (!is_same(&a, &b))
			fn(arg, &a, &b);
	}
	for (size_t i = 0; config_section_at(i); i++)
		if (config_section_at(i)->is_titled)
			each_change_of_blocks(old, new, config_section_at(i)->name, fn, arg);
}

/* ---------------------------------------------------------------- names */

struct name_list {
	char *text;
	size_t capacity, len;
	const char *block; /* the section that was added last, if it is a titled one: it is named once */
};

struct names {
	struct name_list now, later;
};

static void add_name(void *arg, const struct config_setting *from, const struct config_setting *to)
{
	struct names *names = arg;
	struct name_list *l = to->is_reloadable ? &names->now : &names->later;
	bool is_block = config_section_is_titled(to->section);
	int n;

	(void)from;
	if (is_block && l->block && strcmp(l->block, to->section) == 0)
		return;
	l->block = is_block ? to->section : NULL;
	n = snprintf(l->text + l->len, l->capacity - l->len, "%s%s%s%s", l->len ? ", " : "", to->section,
		     to->section[0] && !is_block ? "." : "", is_block ? "" : to->key);
	if (n > 0 && (size_t)n < l->capacity - l->len)
		l->len += (size_t)n;
	else
		l->text[l->len] = '\0';
}

void config_diff(const struct config *old, const struct config *new, char *reload, char *restart, size_t capacity)
{
	struct names names = { .now = { .text = reload, .capacity = capacity },
			       .later = { .text = restart, .capacity = capacity } };

	reload[0] = restart[0] = '\0';
	config_each_change(old, new, add_name, &names);
}
