/* daemon/config/config_settings.h - a configuration as a list: what each key is, and where that was said
 *
 * For `warrenctl config show`, and for what a reload changes. Values are as they may be written into a file. None is a secret: those
 * are in files of their own, which are named here and not read.
 * A setting and all that it points to is good for the time of the call that hands it over.  Thread: any. */
#ifndef DAEMON_CONFIG_CONFIG_SETTINGS_H
#define DAEMON_CONFIG_CONFIG_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/config/config.h"

#define CONFIG_VALUES_MAX 8

struct config_setting {
	const char *section, *key; /* section "": outside of all sections */
	const char *title;         /* of a section that may be there several times, else NULL */
	bool is_list, is_reloadable;
	const char *file; /* where it was written, NULL: nowhere, it is the default */
	int line;
	unsigned n; /* values; 0: it is not set */
	const char *values[CONFIG_VALUES_MAX];
	char text[CONFIG_VALUES_MAX][CONFIG_HOST_BYTES + 16]; /* of those that are no text in the configuration */
};

/* Every key of the role, sections and their titles together. What a reload applies is taken from `applied`, the rest from
 * `started`, which may be the same: so it is what is in force. */
void config_each_setting(const struct config *started, const struct config *applied, config_setting_fn *fn, void *arg);

/* What differs, key by key; of a block that comes or goes each key that is set in it, from or to n 0. Blocks are told from each
 * other by their titles; for coordinators, whose order counts, a key "order" stands for a changed one. Two files of one role. */
void config_each_change(const struct config *old, const struct config *new, config_change_fn *fn, void *arg);

/* ---------------------------------------------------------------- internal to config/ */

struct config_text;
/* The block of a titled section, which begins with its name; NULL past the end. */
const char *config_block_at(const struct config *c, const char *section, unsigned i);
/* `base`: the configuration itself, or block number `which`. */
void config_setting_of(struct config_setting *s, const struct config *c, size_t key, const void *base, unsigned which);

/* Notes where a key's value was written; the last one of a key counts. 0, or -1: memory is short. */
int config_origins_add(struct config_origins *o, size_t key, unsigned which, const struct config_text *text);
void config_origins_sort(struct config_origins *o); /* after the last */
void config_origins_free(struct config_origins *o);

#endif
