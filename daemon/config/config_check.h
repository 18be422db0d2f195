/* daemon/config/config_check.h - what no single key can tell: what is missing, there twice, or does not fit together
 *
 * Internal to config/. */
#ifndef DAEMON_CONFIG_CONFIG_CHECK_H
#define DAEMON_CONFIG_CONFIG_CHECK_H

#include "daemon/config/config.h"
#include "daemon/config/config_source.h"

struct config_load { /* one load, for the time of config_load() */
	struct config *c;
	cfg_t *root;
	char *error;
};

/* The value as written, NULL if it was not. */
const struct config_text *config_check_text(cfg_t *section, const char *key);

/* After all values and defaults are in place. 0, or -1 with a line in l->error. */
int config_check(const struct config_load *l);

#endif
