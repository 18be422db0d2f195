/* daemon/coordinator/role_private.h - what the role's own files share; for this directory only */
#ifndef DAEMON_COORDINATOR_ROLE_PRIVATE_H
#define DAEMON_COORDINATOR_ROLE_PRIVATE_H

#include <jansson.h>
#include <sys/stat.h>

#include "daemon/control/server.h"
#include "daemon/coordinator/ports.h"
#include "daemon/coordinator/registry.h"
#include "daemon/coordinator/role.h"

struct coordinator {
	const struct config *config;
	struct identity identity;
	struct trust *trust; /* NULL: no network key */
	struct counters counters;
	struct store *store;
	struct directory *directory;
	struct indices *indices;
	struct forward forward;
	struct service service;
	struct ports *ports;
	struct registry *registry;
	struct control_server *control;
	uint64_t started_ms, loaded_ms;
	struct timespec loaded_mtime; /* of the file, when it was loaded */
	char reload_error[CONFIG_ERROR_BYTES];
	const struct config_owner *owner; /* of the file; NULL: nobody */
};

/* metrics.c: adds what the loop and all workers have counted. */
void coordinator_count(const struct coordinator *c, uint64_t sums[static COUNTER_COUNT]);

/* documents.c: the answers of the control socket. NULL if memory is short. */
json_t *document_status(const struct coordinator *c);
json_t *document_peers(const struct coordinator *c);
json_t *document_map(const struct coordinator *c); /* map.c */
json_t *document_version(void);
json_t *document_revocations(const struct coordinator *c);

/* When the file was last written; zeros if it is not there. */
struct timespec config_file_mtime(const struct config *config);

#endif
