/* daemon/coordinator/service_private.h - what service*.c share; for these files only */
#ifndef DAEMON_COORDINATOR_SERVICE_PRIVATE_H
#define DAEMON_COORDINATOR_SERVICE_PRIVATE_H

#include "daemon/coordinator/service.h"

/* service.c: ends the registrations of members that are out of the directory, and tells those introduced to them. */
void service_removed(struct service *s, const struct directory_changes *changes, const char *why);

/* service_trust.c; all of it under a network key only, but for service_greet */
/* Who the certificate of a confirmed key makes; NULL: it cannot be a member here. *why tells it, the log more. */
struct member *service_admit(struct service *s, struct registration *r, const char **why);
void service_greet(struct service *s, struct registration *r); /* which revocation list there is */
void service_on_revocations(struct service *s, struct registration *r, const uint8_t *data, size_t len,
			    uint64_t now_ms);

#endif
