/* daemon/config/config_keys.h - every key the file may have: where it belongs, whose it is, how it is read
 *
 * One table drives the grammar, the hints after a misspelling, the setting of struct config and the comparison for a
 * reload. warren.conf(5) documents each row; tests/check_manuals.sh compares the two.  Internal to config/. */
#ifndef DAEMON_CONFIG_CONFIG_KEYS_H
#define DAEMON_CONFIG_CONFIG_KEYS_H

#include <confuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/config/config.h"

#define CONFIG_SECTIONS_MAX 12
#define CONFIG_SECTION_KEYS_MAX 40 /* with the sections, at the root */

#define CONFIG_OF_PEER (1u << CONFIG_PEER)
#define CONFIG_OF_COORDINATOR (1u << CONFIG_COORDINATOR)
#define CONFIG_OF_BOTH (CONFIG_OF_PEER | CONFIG_OF_COORDINATOR)

struct config_section {
	const char *name;
	unsigned roles;
	bool is_titled; /* and may be there several times; its keys are kept in a struct of their own */
};

/* Reads `text` into `field`. `i` counts the values of a list from 0. NULL, or what is wrong, in words that go behind
 * the key's name ("is no port"), with the value quoted by the caller; static or in `words`. */
struct config_key;
typedef const char *config_set_fn(const struct config_key *k, void *field, const char *text, unsigned i);

struct config_key {
	const char *section; /* "": outside of all sections */
	const char *name;
	config_set_fn *set;
	size_t offset, size; /* of the field in struct config, or in the titled section's struct */
	uint64_t min, max;   /* of numbers */
	unsigned roles;
	bool is_list, is_pointer; /* is_pointer: a char *, compared as text */
	bool is_reloadable;
	bool is_secret; /* never quoted back: it is one, or a user might think that it goes there */
};

const struct config_section *config_section_at(size_t i); /* NULL past the end */
bool config_section_is_titled(const char *name);
const struct config_key *config_key_at(size_t i); /* NULL past the end */
/* `section` NULL: in any. */
const struct config_key *config_key_find(const char *section, const char *name);
/* The known word of that place closest to `word` (at the root, sections count), or NULL if none is close. */
const char *config_key_nearest(const char *section, const char *word);
const char *config_key_list(const char *section, char *out, size_t size); /* "endpoint, public_key" */

/* Fills the arrays with the grammar and returns the root. */
cfg_opt_t *config_key_options(cfg_opt_t root[static CONFIG_SECTION_KEYS_MAX + 1],
			      cfg_opt_t sections[static CONFIG_SECTIONS_MAX][CONFIG_SECTION_KEYS_MAX + 1],
			      cfg_callback_t on_value, cfg_func_t on_include);

/* config_values.c: the config_set_fn's. */
config_set_fn config_set_role, config_set_name, config_set_path, config_set_program, config_set_uint, config_set_u16,
	config_set_u32, config_set_bool, config_set_auto_off, config_set_compression, config_set_path_policy,
	config_set_cipher, config_set_log_level, config_set_ip, config_set_prefix, config_set_port_list,
	config_set_interface, config_set_rate, config_set_pubkey, config_set_verifykey, config_set_endpoint,
	config_set_endpoint_list, config_set_proxy, config_set_metrics_listen, config_set_route_list;
extern const char *const config_compression_words[], *const config_path_words[]; /* by their enums */
/* NULL if `name` may be a node's or network's name, else what is wrong with it. */
const char *config_name_error(const char *name);

#endif
