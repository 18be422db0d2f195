#include "daemon/data/state.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/dirs.h"
#include "daemon/base/files.h"

#define STATE_PATH_BYTES 4096

static int path_of(char out[static STATE_PATH_BYTES], const char *dir, const char *name)
{
	int n = snprintf(out, STATE_PATH_BYTES, "%s/%s", dir, name);

	return n < 0 || n >= STATE_PATH_BYTES ? -ENAMETOOLONG : 0;
}

const struct state_network *state_network(const struct state *s, const struct ip *gateway, const struct ip *outside)
{
	for (unsigned i = 0; i < s->n_networks; i++)
		if (ip_equal(&s->networks[i].gateway, gateway) && ip_equal(&s->networks[i].outside, outside))
			return &s->networks[i];
	return NULL;
}

void state_put_network(struct state *s, const struct state_network *network)
{
	const struct state_network copy = *network, *old = state_network(s, &copy.gateway, &copy.outside);
	size_t at = old ? (size_t)(old - s->networks) : s->n_networks;

	if (at == STATE_NETWORKS_MAX)
		at--;
	else if (at == s->n_networks)
		s->n_networks++;
	memmove(&s->networks[1], &s->networks[0], at * sizeof(copy));
	s->networks[0] = copy;
}

static int ip_from_json(struct ip *out, const json_t *text)
{
	*out = (struct ip){ 0 };
	if (json_is_null(text))
		return 0;
	return json_is_string(text) ? ip_from_text(out, json_string_value(text)) : -EINVAL;
}

/* A network that was not written by us is left out: it only has to be learned again. */
static void networks_from_json(struct state *out, const json_t *networks)
{
	const json_t *item;
	size_t i;

	json_array_foreach(networks, i, item) {
		const json_t *lifetime = json_object_get(item, "lifetime_s"), *at = json_object_get(item, "learned_ms");
		struct state_network v = { .lifetime_s = (uint16_t)json_integer_value(lifetime),
					   .learned_wall_ms = (uint64_t)json_integer_value(at) };

		if (out->n_networks == STATE_NETWORKS_MAX)
			return;
		if (ip_from_json(&v.gateway, json_object_get(item, "gateway")) < 0 ||
		    ip_from_json(&v.outside, json_object_get(item, "outside")) < 0 || ip_is_none(&v.outside) ||
		    json_integer_value(lifetime) <= 0 || json_integer_value(lifetime) > UINT16_MAX ||
		    json_integer_value(at) < 0)
			continue;
		out->networks[out->n_networks++] = v;
	}
}

static json_t *networks_to_json(const struct state *s)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < s->n_networks; i++) {
		const struct state_network *v = &s->networks[i];
		char gateway[ADDR_TEXT_BYTES], outside[ADDR_TEXT_BYTES];

		ip_to_text(&v->outside, outside);
		json_array_append_new(list, json_pack("{s:s?, s:s, s:i, s:I}", "gateway",
						      ip_is_none(&v->gateway) ? NULL : ip_to_text(&v->gateway, gateway),
						      "outside", outside, "lifetime_s", (int)v->lifetime_s,
						      "learned_ms", (json_int_t)v->learned_wall_ms));
	}
	return list;
}

static int from_json(struct state *out, const json_t *root)
{
	const json_t *addrs = json_object_get(root, "addresses"), *item;
	const json_t *port_item = json_object_get(root, "port"), *floor_item = json_object_get(root, "wall_floor_ms");
	json_int_t port = json_integer_value(port_item), floor = json_integer_value(floor_item);
	size_t i;

	if (!json_is_integer(port_item) || !json_is_integer(floor_item) || !json_is_array(addrs))
		return -EUCLEAN;
	if (port < 0 || port > UINT16_MAX || floor < 0)
		return -EUCLEAN;
	out->port = (uint16_t)port;
	out->wall_floor_ms = (uint64_t)floor;
	json_array_foreach(addrs, i, item) {
		if (out->n_addrs == WIRE_ADDRS_MAX || !json_is_string(item) ||
		    prefix_from_text(&out->addrs[out->n_addrs], json_string_value(item)) < 0)
			return -EUCLEAN;
		out->n_addrs++;
	}
	networks_from_json(out, json_object_get(root, "networks"));
	return 0;
}

/* Timestamps are rounded down to 16.8 ms and raised by nanoseconds when they repeat: well within this. */
#define FLOOR_MARGIN_MS 1000

uint64_t state_wall_ms(struct state *s, uint64_t floor_ms, uint64_t clock_ms, bool *must_save)
{
	uint64_t wall_ms = clock_ms > floor_ms ? clock_ms : floor_ms;

	*must_save = wall_ms + FLOOR_MARGIN_MS > s->wall_floor_ms;
	if (*must_save)
		s->wall_floor_ms = wall_ms + STATE_FLOOR_STEP_MS;
	return wall_ms;
}

int state_read(struct state *out, const char *state_dir)
{
	char path[STATE_PATH_BYTES];
	int ret = path_of(path, state_dir, STATE_FILE);
	json_t *root;

	*out = (struct state){ 0 };
	if (ret < 0)
		return ret;
	if (access(path, R_OK) < 0)
		return -errno;
	root = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
	ret = root ? from_json(out, root) : -EUCLEAN;
	if (ret < 0)
		*out = (struct state){ 0 };
	json_decref(root);
	return ret;
}

int state_write(const struct state *s, const char *state_dir)
{
	json_t *root, *addrs = json_array();
	char *text = NULL;
	int ret = dirs_make(state_dir, 0700);

	for (unsigned i = 0; i < s->n_addrs; i++) {
		char buf[ADDR_TEXT_BYTES];

		json_array_append_new(addrs, json_string(prefix_to_text(&s->addrs[i], buf)));
	}
	root = json_pack("{s:i, s:I, s:o, s:o}", "port", (int)s->port, "wall_floor_ms", (json_int_t)s->wall_floor_ms,
			 "addresses", addrs, "networks", networks_to_json(s));
	if (root)
		text = json_dumps(root, JSON_INDENT(1));
	json_decref(root);
	if (!text)
		return -ENOMEM;
	if (ret == 0)
		ret = files_replace(state_dir, STATE_FILE, text, strlen(text));
	free(text);
	return ret;
}
