#include <stdio.h>
#include <string.h>

#include "daemon/config/config_keys.h"

struct name_list {
	char *text;
	size_t capacity, len;
};

static void add_name(struct name_list *l, const char *section, const char *name)
{
	int n = snprintf(l->text + l->len, l->capacity - l->len, "%s%s%s%s", l->len ? ", " : "", section,
			 section[0] && name[0] ? "." : "", name);

	if (n > 0 && (size_t)n < l->capacity - l->len)
		l->len += (size_t)n;
	else
		l->text[l->len] = '\0';
}

static bool is_same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool is_same_field(const struct config_key *k, const void *old, const void *new)
{
	const char *a = (const char *)old + k->offset, *b = (const char *)new + k->offset;

	if (k->is_pointer)
		return is_same_text(*(const char *const *)a, *(const char *const *)b);
	return memcmp(a, b, k->size) == 0; /* fields are zeroed before they are set */
}

static bool is_same_ports(const struct config *old, const struct config *new)
{
	return memcmp(old->listen.tcp_ports, new->listen.tcp_ports, sizeof(old->listen.tcp_ports)) == 0;
}

static bool is_same_member(const struct config_member *a, const struct config_member *b)
{
	return strcmp(a->name, b->name) == 0 && pubkey_equal(&a->key, &b->key) && ip_equal(&a->address, &b->address) &&
	       ip_equal(&a->address6, &b->address6);
}

static bool is_same_members(const struct config *old, const struct config *new)
{
	if (old->n_members != new->n_members)
		return false;
	for (unsigned i = 0; i < old->n_members; i++)
		if (!is_same_member(&old->members[i], &new->members[i]))
			return false;
	return true;
}

static bool is_same_peers(const struct config *old, const struct config *new)
{
	if (old->n_peers != new->n_peers)
		return false;
	for (unsigned i = 0; i < old->n_peers; i++)
		if (strcmp(old->peers[i].name, new->peers[i].name) != 0 || old->peers[i].path != new->peers[i].path)
			return false;
	return true;
}

static bool is_same_coordinators(const struct config *old, const struct config *new)
{
	if (old->n_coordinators != new->n_coordinators)
		return false;
	for (unsigned i = 0; i < old->n_coordinators; i++) {
		const struct config_coordinator *a = &old->coordinators[i], *b = &new->coordinators[i];

		if (strcmp(a->name, b->name) != 0 || strcmp(a->host, b->host) != 0 || a->port != b->port ||
		    !pubkey_equal(&a->key, &b->key))
			return false;
	}
	return true;
}

static bool is_titled(const char *section)
{
	for (size_t i = 0; config_section_at(i); i++)
		if (strcmp(config_section_at(i)->name, section) == 0)
			return config_section_at(i)->is_titled;
	return false;
}

void config_diff(const struct config *old, const struct config *new, char *reload, char *restart, size_t capacity)
{
	struct name_list now = { .text = reload, .capacity = capacity };
	struct name_list later = { .text = restart, .capacity = capacity };

	reload[0] = restart[0] = '\0';
	for (size_t i = 0; config_key_at(i); i++) {
		const struct config_key *k = config_key_at(i);
		bool is_same = is_titled(k->section) || is_same_field(k, old, new);

		if (strcmp(k->section, "listen") == 0 && strcmp(k->name, "tcp_ports") == 0)
			is_same = is_same && is_same_ports(old, new);
		if (!is_same)
			add_name(k->is_reloadable ? &now : &later, k->section, k->name);
	}
	if (!is_same_coordinators(old, new))
		add_name(&now, "coordinator", "");
	if (!is_same_peers(old, new))
		add_name(&now, "peer", "");
	if (!is_same_members(old, new))
		add_name(&now, "member", "");
}
