#include "daemon/config/config_settings.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/aead.h"
#include "daemon/config/config_keys.h"
#include "daemon/config/config_source.h"

/* ---------------------------------------------------------------- where values were written */

static unsigned file_number(struct config_origins *o, const char *file)
{
	char **more;

	for (unsigned i = o->n_files; i-- > 0;)
		if (strcmp(o->files[i], file) == 0)
			return i;
	more = realloc(o->files, (o->n_files + 1) * sizeof(*more));
	if (!more)
		return UINT_MAX;
	o->files = more;
	o->files[o->n_files] = strdup(file);
	return o->files[o->n_files] ? o->n_files++ : UINT_MAX;
}

static struct config_origin *slot_of(struct config_origins *o, size_t key, unsigned which)
{
	struct config_origin *more;
	unsigned capacity;

	/* The blocks of a titled section are many, and each comes once. */
	for (unsigned i = 0; which == 0 && i < o->n; i++)
		if (o->v[i].key == key && o->v[i].which == 0)
			return &o->v[i];
	if (o->n < o->capacity)
		return &o->v[o->n++];
	capacity = o->capacity ? o->capacity * 2 : 32;
	more = realloc(o->v, capacity * sizeof(*more));
	if (!more)
		return NULL;
	o->v = more;
	o->capacity = capacity;
	return &o->v[o->n++];
}

int config_origins_add(struct config_origins *o, size_t key, unsigned which, const struct config_text *text)
{
	unsigned file = file_number(o, text->file);
	struct config_origin *slot = file == UINT_MAX ? NULL : slot_of(o, key, which);

	if (!slot)
		return -1;
	*slot = (struct config_origin){
		.key = (uint16_t)key, .file = (uint16_t)file, .which = which, .line = text->line
	};
	return 0;
}

static int compare_origins(const void *a, const void *b)
{
	const struct config_origin *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return (x->which > y->which) - (x->which < y->which);
}

void config_origins_sort(struct config_origins *o)
{
	if (o->n > 0)
		qsort(o->v, o->n, sizeof(*o->v), compare_origins);
}

void config_origins_free(struct config_origins *o)
{
	for (unsigned i = 0; i < o->n_files; i++)
		free(o->files[i]);
	free(o->files);
	free(o->v);
	*o = (struct config_origins){ 0 };
}

static const struct config_origin *origin_of(const struct config_origins *o, size_t key, unsigned which)
{
	struct config_origin wanted = { .key = (uint16_t)key, .which = which };

	return o->n > 0 ? bsearch(&wanted, o->v, o->n, sizeof(*o->v), compare_origins) : NULL;
}

/* ---------------------------------------------------------------- values as text */

static void add(struct config_setting *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add(struct config_setting *s, const char *fmt, ...)
{
	va_list ap;

	if (s->n == CONFIG_VALUES_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(s->text[s->n], sizeof(s->text[0]), fmt, ap);
	va_end(ap);
	s->values[s->n] = s->text[s->n];
	s->n++;
}

/* Text that the configuration holds itself, and which may be longer than ours. */
static void add_text(struct config_setting *s, const char *text)
{
	if (text && text[0] != '\0')
		s->values[s->n++] = text;
}

/* One for each config_set_fn, the other way round. */
typedef void show_fn(const struct config_key *k, const void *field, struct config_setting *s);

static void show_role(const struct config_key *k, const void *field, struct config_setting *s)
{
	(void)k;
	add(s, "%s", *(const enum config_role *)field == CONFIG_PEER ? "peer" : "coordinator");
}

static void show_name(const struct config_key *k, const void *field, struct config_setting *s)
{
	(void)k;
	add_text(s, field);
}

static void show_path(const struct config_key *k, const void *field, struct config_setting *s)
{
	(void)k;
	add_text(s, *(const char *const *)field);
}

static void show_uint(const struct config_key *k, const void *field, struct config_setting *s)
{
	(void)k;
	add(s, "%u", *(const unsigned *)field);
}

static void show_u16(const struct config_key *k, const void *field, struct config_setting *s)
{
	(void)k;
	add(s, "%u", *(const uint16_t *)field);
}

static void show_u32(const struct config_key *k, const void *field, struct config_setting *s)
{
	(void)k;
	add(s, "%u", *(const uint32_t *)field);
}

static void show_bool(const struct config_key *k, const void *field, struct config_setting *s)
{
	(void)k;
	add(s, "%s", *(const bool *)field ? "true" : "false");
}

static void show_auto_off(const struct config_key *k, const void *field, struct config_setting *s)
{
	(void)k;
	add(s, "%s", *(const bool *)field ? "auto" : "off");
}

static void show_compression(const struct config_key *k, const void *field, struct config_setting *s)
{
	(void)k;
	add(s, "%s", config_compression_words[*(const enum config_compression *)field]);
}

static void show_path_policy(const struct config_key *k, const void *field, struct config_setting *s)
{
	(void)k;
	add(s, "%s", config_path_words[*(const enum config_path *)field]);
}

static void show_ciphers(const struct config_key *k, const void *field, struct config_setting *s)
{
	(void)k;
	for (unsigned suite = AEAD_NONE + 1; suite < AEAD_SUITE_COUNT; suite++)
		if (*(const uint16_t *)field >> suite & 1)
			add(s, "%s", aead_suite_name((enum aead_suite)suite));
}

static void show_ip(const struct config_key *k, const void *field, struct config_setting *s)
{
	char text[ADDR_TEXT_BYTES];

	(void)k;
	if (!ip_is_none(field))
		add(s, "%s", ip_to_text(field, text));
}

static void show_prefix(const struct config_key *k, const void *field, struct config_setting *s)
{
	const struct prefix *p = field;
	char text[ADDR_TEXT_BYTES];

	(void)k;
	add(s, "%s", ip_is_none(&p->ip) ? "none" : prefix_to_text(p, text));
}

static void show_route_list(const struct config_key *k, const void *field, struct config_setting *s)
{
	const struct config_routes *list = field;
	char text[ADDR_TEXT_BYTES];

	(void)k;
	static_assert(CONFIG_ROUTES_MAX <= CONFIG_VALUES_MAX, "there is room for all routes");
	for (unsigned i = 0; i < list->n; i++)
		add(s, "%s", prefix_to_text(&list->v[i], text));
}

static void show_port_list(const struct config_key *k, const void *field, struct config_setting *s)
{
	const struct config *c = (const struct config *)((const char *)field - k->offset);

	static_assert(CONFIG_TCP_PORTS_MAX <= CONFIG_VALUES_MAX, "there is room for all ports");
	for (unsigned i = 0; i < c->listen.n_tcp_ports; i++)
		add(s, "%u", c->listen.tcp_ports[i]);
}

static void show_rate(const struct config_key *k, const void *field, struct config_setting *s)
{
	uint64_t kbit = *(const uint64_t *)field / 1000;

	(void)k;
	if (kbit % 1000000 == 0)
		add(s, "%juGbit", (uintmax_t)(kbit / 1000000));
	else if (kbit % 1000 == 0)
		add(s, "%juMbit", (uintmax_t)(kbit / 1000));
	else
		add(s, "%jukbit", (uintmax_t)kbit);
}

static void show_pubkey(const struct config_key *k, const void *field, struct config_setting *s)
{
	char text[KEY_TEXT_BYTES];

	(void)k;
	add(s, "%s", pubkey_to_text(field, text));
}

static void show_verifykey(const struct config_key *k, const void *field, struct config_setting *s)
{
	static const struct verifykey none;
	char text[KEY_TEXT_BYTES];

	(void)k;
	if (!verifykey_equal(field, &none))
		add(s, "%s", verifykey_to_text(field, text));
}

static void add_endpoint(struct config_setting *s, const char *before, const char *host, uint16_t port)
{
	add(s, strchr(host, ':') ? "%s[%s]:%u" : "%s%s:%u", before, host, port);
}

static void show_endpoint(const struct config_key *k, const void *field, struct config_setting *s)
{
	const struct config_coordinator *c = (const void *)((const char *)field - k->offset);

	add_endpoint(s, "", c->host, c->port);
}

static void show_endpoint_list(const struct config_key *k, const void *field, struct config_setting *s)
{
	const struct config_endpoints *list = field;

	(void)k;
	for (unsigned i = 0; i < list->n; i++)
		add_endpoint(s, "", list->v[i].host, list->v[i].port);
}

static void show_proxy(const struct config_key *k, const void *field, struct config_setting *s)
{
	const struct config_endpoint *e = field;

	(void)k;
	if (e->port)
		add_endpoint(s, "http://", e->host, e->port);
}

static void show_metrics_listen(const struct config_key *k, const void *field, struct config_setting *s)
{
	const struct config_metrics_listen *m = field;
	char text[ADDR_TEXT_BYTES];

	(void)k;
	if (m->address.port)
		add(s, "%s", endpoint_to_text(&m->address, text));
	else
		add_text(s, m->path);
}

static show_fn *show_of(const struct config_key *k)
{
	static const struct {
		config_set_fn *set;
		show_fn *show;
	} pairs[] = {
		{ config_set_role, show_role },
		{ config_set_name, show_name },
		{ config_set_path, show_path },
		{ config_set_program, show_path },
		{ config_set_log_level, show_path },
		{ config_set_uint, show_uint },
		{ config_set_u16, show_u16 },
		{ config_set_u32, show_u32 },
		{ config_set_bool, show_bool },
		{ config_set_auto_off, show_auto_off },
		{ config_set_compression, show_compression },
		{ config_set_path_policy, show_path_policy },
		{ config_set_cipher, show_ciphers },
		{ config_set_ip, show_ip },
		{ config_set_prefix, show_prefix },
		{ config_set_port_list, show_port_list },
		{ config_set_route_list, show_route_list },
		{ config_set_interface, show_name },
		{ config_set_rate, show_rate },
		{ config_set_pubkey, show_pubkey },
		{ config_set_verifykey, show_verifykey },
		{ config_set_endpoint, show_endpoint },
		{ config_set_endpoint_list, show_endpoint_list },
		{ config_set_proxy, show_proxy },
		{ config_set_metrics_listen, show_metrics_listen },
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		if (pairs[i].set == k->set)
			return pairs[i].show;
	return NULL; /* tests/unit/test_config_settings.c sees each key */
}

/* ---------------------------------------------------------------- settings */

static_assert(offsetof(struct config_coordinator, name) == 0 && offsetof(struct config_member, name) == 0 &&
		      offsetof(struct config_peer, name) == 0,
	      "a block begins with its name");

const char *config_block_at(const struct config *c, const char *section, unsigned i)
{
	if (strcmp(section, "coordinator") == 0)
		return i < c->n_coordinators ? c->coordinators[i].name : NULL;
	if (strcmp(section, "member") == 0)
		return i < c->n_members ? c->members[i].name : NULL;
	if (strcmp(section, "peer") == 0)
		return i < c->n_peers ? c->peers[i].name : NULL;
	return NULL;
}

void config_setting_of(struct config_setting *s, const struct config *c, size_t key, const void *base, unsigned which)
{
	const struct config_key *k = config_key_at(key);
	const struct config_origin *o = origin_of(&c->origins, key, which);
	show_fn *show = show_of(k);

	s->section = k->section;
	s->key = k->name;
	s->title = base == c ? NULL : base;
	s->is_list = k->is_list;
	s->is_reloadable = k->is_reloadable;
	s->file = o ? c->origins.files[o->file] : NULL;
	s->line = o ? o->line : 0;
	s->n = 0;
	if (show)
		show(k, (const char *)base + k->offset, s);
}

/* The keys of one section, or of one block of it. */
static void each_key(const struct config *started, const struct config *applied, const char *section, const char *block,
		     unsigned which, config_setting_fn *fn, void *arg)
{
	for (size_t i = 0; config_key_at(i); i++) {
		const struct config_key *k = config_key_at(i);
		const struct config *c = k->is_reloadable ? applied : started;
		struct config_setting s;

		if (strcmp(k->section, section) != 0 || !(k->roles & 1u << c->role))
			continue;
		/* Blocks come and go with a reload. */
		config_setting_of(&s, block ? applied : c, i, block ? (const void *)block : c, which);
		fn(arg, &s);
	}
}

void config_each_setting(const struct config *started, const struct config *applied, config_setting_fn *fn, void *arg)
{
	const char *block;

	each_key(started, applied, "", NULL, 0, fn, arg);
	for (size_t i = 0; config_section_at(i); i++) {
		const struct config_section *section = config_section_at(i);

		if (!section->is_titled)
			each_key(started, applied, section->name, NULL, 0, fn, arg);
		for (unsigned j = 0; section->is_titled && (block = config_block_at(applied, section->name, j)); j++)
			each_key(started, applied, section->name, block, j, fn, arg);
	}
}
