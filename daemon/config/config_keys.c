#include "daemon/config/config_keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/nearest.h"

static const struct config_section sections[] = {
	{ "listen", CONFIG_OF_BOTH, false },       { "tun", CONFIG_OF_PEER, false },
	{ "coordinator", CONFIG_OF_PEER, true },   { "network", CONFIG_OF_COORDINATOR, false },
	{ "relay", CONFIG_OF_COORDINATOR, false }, { "member", CONFIG_OF_COORDINATOR, true },
	{ "peer", CONFIG_OF_PEER, true },          { "metrics", CONFIG_OF_BOTH, false },
};
static_assert(sizeof(sections) / sizeof(sections[0]) <= CONFIG_SECTIONS_MAX, "the grammar has room for all sections");

#define FIELD(type, member) .offset = offsetof(type, member), .size = sizeof(((type *)0)->member)
#define KEY(where, what, how, member) .section = (where), .name = (what), .set = (how), FIELD(struct config, member)
#define COORDINATOR(what, how, member)                                                                    \
	.section = "coordinator", .name = (what), .set = (how), FIELD(struct config_coordinator, member), \
	.roles = CONFIG_OF_PEER, .is_reloadable = true
#define MEMBER(what, how, member)                                                               \
	.section = "member", .name = (what), .set = (how), FIELD(struct config_member, member), \
	.roles = CONFIG_OF_COORDINATOR, .is_reloadable = true
#define OF_PEER(what, how, member)                                                                                   \
	.section = "peer", .name = (what), .set = (how), FIELD(struct config_peer, member), .roles = CONFIG_OF_PEER, \
	.is_reloadable = true
#define BOTH .roles = CONFIG_OF_BOTH
#define PEER .roles = CONFIG_OF_PEER
#define COORD .roles = CONFIG_OF_COORDINATOR
#define TEXT .is_pointer = true
#define STUN_PORT 3478 /* RFC 8489 section 18.6 */
#define RELOAD .is_reloadable = true

static const struct config_key keys[] = {
	{ KEY("", "role", config_set_role, role), BOTH },
	{ KEY("", "name", config_set_name, name), BOTH },
	{ KEY("", "private_key_file", config_set_path, private_key_file), BOTH, TEXT, .is_secret = true },
	{ KEY("", "psk_file", config_set_path, psk_file), PEER, TEXT, .is_secret = true },
	{ KEY("", "network_key", config_set_verifykey, network_key), BOTH },
	{ KEY("", "certificate_file", config_set_path, certificate_file), PEER, TEXT, RELOAD },
	{ KEY("", "control_socket", config_set_path, control_socket), BOTH, TEXT },
	{ KEY("", "state_dir", config_set_path, state_dir), BOTH, TEXT },
	{ KEY("", "workers", config_set_uint, workers), BOTH, .max = CONFIG_WORKERS_MAX },
	{ KEY("", "offload", config_set_auto_off, offload), BOTH },
	{ KEY("", "ciphers", config_set_cipher, ciphers), BOTH, .is_list = true },
	{ KEY("", "compression", config_set_compression, compression), PEER, RELOAD },
	{ KEY("", "stun", config_set_endpoint_list, stun), PEER, RELOAD, .is_list = true, .min = STUN_PORT },
	{ KEY("", "proxy", config_set_proxy, proxy), PEER, RELOAD, .is_secret = true },
	{ KEY("", "routes", config_set_route_list, routes), PEER, RELOAD, .is_list = true },
	{ KEY("", "proxy_auth_file", config_set_path, proxy_auth_file), PEER, RELOAD, TEXT, .is_secret = true },
	{ KEY("", "log_level", config_set_log_level, log_level), BOTH, TEXT, RELOAD },
	{ KEY("", "on_mapping_change", config_set_program, on_mapping_change), PEER, TEXT, RELOAD },

	{ KEY("listen", "address", config_set_ip, listen.address), BOTH },
	{ KEY("listen", "port", config_set_u16, listen.port), BOTH, .max = UINT16_MAX },
	{ KEY("listen", "alternate_port", config_set_u16, listen.alternate_port), COORD, .max = UINT16_MAX },
	{ KEY("listen", "alternate_address", config_set_ip, listen.alternate_address), COORD },
	{ KEY("listen", "bind_interface", config_set_interface, listen.bind_interface), BOTH },
	{ KEY("listen", "tcp_ports", config_set_port_list, listen.n_tcp_ports), COORD, .is_list = true },
	{ KEY("listen", "stun", config_set_bool, listen.stun), COORD, RELOAD },
	{ KEY("listen", "portmap", config_set_auto_off, listen.portmap), PEER, RELOAD },
	{ KEY("listen", "public_endpoint", config_set_endpoint_list, listen.public_endpoints), PEER, RELOAD,
	  .is_list = true },

	{ KEY("tun", "name", config_set_interface, tun.name), PEER },
	{ KEY("tun", "mtu", config_set_uint, tun.mtu), PEER, .min = 1280, .max = 9000 },

	{ COORDINATOR("endpoint", config_set_endpoint, host) },
	{ COORDINATOR("public_key", config_set_pubkey, key), .is_secret = true },

	{ OF_PEER("path", config_set_path_policy, path) },
	{ OF_PEER("routes", config_set_route_list, routes), .is_list = true },

	{ KEY("network", "name", config_set_name, network.name), COORD },
	{ KEY("network", "prefix", config_set_prefix, network.prefix), COORD, .min = 4 },
	{ KEY("network", "prefix6", config_set_prefix, network.prefix6), COORD, .min = 16 },

	{ KEY("relay", "enabled", config_set_bool, relay.enabled), COORD, RELOAD },
	{ KEY("relay", "rate_per_peer", config_set_rate, relay.rate_per_peer), COORD, RELOAD },
	{ KEY("relay", "rate_total", config_set_rate, relay.rate_total), COORD, RELOAD },
	{ KEY("relay", "packets_per_peer", config_set_u32, relay.packets_per_peer), COORD, RELOAD, .min = 1,
	  .max = UINT32_MAX },

	{ KEY("metrics", "listen", config_set_metrics_listen, metrics.listen), BOTH },
	{ KEY("metrics", "peer_labels", config_set_bool, metrics.peer_labels), BOTH, RELOAD },

	{ MEMBER("public_key", config_set_pubkey, key), .is_secret = true },
	{ MEMBER("address", config_set_ip, address) },
	{ MEMBER("address6", config_set_ip, address6) },
};

const struct config_section *config_section_at(size_t i)
{
	return i < sizeof(sections) / sizeof(sections[0]) ? &sections[i] : NULL;
}

bool config_section_is_titled(const char *name)
{
	for (size_t i = 0; config_section_at(i); i++)
		if (strcmp(sections[i].name, name) == 0)
			return sections[i].is_titled;
	return false;
}

const struct config_key *config_key_at(size_t i)
{
	return i < sizeof(keys) / sizeof(keys[0]) ? &keys[i] : NULL;
}

const struct config_key *config_key_find(const char *section, const char *name)
{
	for (size_t i = 0; config_key_at(i); i++)
		if ((!section || strcmp(keys[i].section, section) == 0) && strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

/* Calls `fn` with each word that may stand at the start of an entry there. */
static void each_word(const char *section, void (*fn)(void *arg, const char *word), void *arg)
{
	for (size_t i = 0; config_key_at(i); i++)
		if (strcmp(keys[i].section, section) == 0)
			fn(arg, keys[i].name);
	if (section[0] != '\0')
		return;
	for (size_t i = 0; config_section_at(i); i++)
		fn(arg, sections[i].name);
	fn(arg, "include");
}

struct nearest {
	const char *word, *best;
};

static void compare(void *arg, const char *known)
{
	struct nearest *n = arg;

	if (nearest_is_close(n->word, known) &&
	    (!n->best || nearest_distance(n->word, known) < nearest_distance(n->word, n->best)))
		n->best = known;
}

const char *config_key_nearest(const char *section, const char *word)
{
	struct nearest n = { .word = word };

	each_word(section, compare, &n);
	return n.best;
}

struct list {
	char *out;
	size_t size, len;
};

static void append(void *arg, const char *word)
{
	struct list *l = arg;
	int n = snprintf(l->out + l->len, l->size - l->len, "%s%s", l->len ? ", " : "", word);

	if (n > 0 && (size_t)n < l->size - l->len)
		l->len += (size_t)n;
	else
		l->out[l->len] = '\0'; /* whole words only */
}

const char *config_key_list(const char *section, char *out, size_t size)
{
	struct list l = { .out = out, .size = size };

	out[0] = '\0';
	each_word(section, append, &l);
	return out;
}

static unsigned fill(cfg_opt_t *opts, const char *section, cfg_callback_t on_value)
{
	unsigned n = 0;

	for (size_t i = 0; config_key_at(i) && n < CONFIG_SECTION_KEYS_MAX; i++)
		if (strcmp(keys[i].section, section) == 0)
			opts[n++] = (cfg_opt_t){ .name = keys[i].name,
						 .type = CFGT_PTR,
						 .flags = CFGF_NODEFAULT | (keys[i].is_list ? CFGF_LIST : 0),
						 .parsecb = on_value,
						 .freecb = free };
	opts[n] = (cfg_opt_t)CFG_END();
	return n;
}

cfg_opt_t *config_key_options(cfg_opt_t root[static CONFIG_SECTION_KEYS_MAX + 1],
			      cfg_opt_t subs[static CONFIG_SECTIONS_MAX][CONFIG_SECTION_KEYS_MAX + 1],
			      cfg_callback_t on_value, cfg_func_t on_include)
{
	unsigned n = fill(root, "", on_value);

	for (size_t i = 0; config_section_at(i) && n + 1 < CONFIG_SECTION_KEYS_MAX; i++) {
		cfg_flag_t flags = CFGF_MULTI | (sections[i].is_titled ? CFGF_TITLE | CFGF_NO_TITLE_DUPES : 0);

		fill(subs[i], sections[i].name, on_value);
		root[n++] = (cfg_opt_t)CFG_SEC(sections[i].name, subs[i], flags);
	}
	root[n++] = (cfg_opt_t)CFG_FUNC("include", on_include);
	root[n] = (cfg_opt_t)CFG_END();
	return root;
}
